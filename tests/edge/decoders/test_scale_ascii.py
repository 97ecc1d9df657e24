"""ST/US lines: the vectors AD1 to AD6 and CA1 to CA3 of facts/devices.md 3.3 and 3.4."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.decoders import scale_ascii
from edge.decoders.frames import Basis, FrameError, Stability
from edge.sources.lines import LineBuffer

STABLE, UNSTABLE, OVERLOAD = Stability.STABLE, Stability.UNSTABLE, Stability.OVERLOAD
FRAMES = [
    ("AD1", b"ST,+0001.234 kg", STABLE, Basis.UNKNOWN, "1.234"),
    ("AD2", b"ST,OK,+0001.234 kg", STABLE, Basis.UNKNOWN, "1.234"),
    ("AD4", b"ST,+001234.5  g", STABLE, Basis.UNKNOWN, "1.2345"),
    ("AD5", b"ST,+00123.45  g", STABLE, Basis.UNKNOWN, "0.12345"),
    ("AD6", b"US,-00183.96  g", UNSTABLE, Basis.UNKNOWN, "-0.18396"),
    ("CA1", b"ST,GS,0\xc4,000013.5 kg", STABLE, Basis.GROSS, "13.5"),
    ("CA2", b"ST,GS,+00013.5kg", STABLE, Basis.GROSS, "13.5"),
    ("CA3", b"ST,GS,   245.6 g", STABLE, Basis.GROSS, "0.2456"),
    ("T-Scale", b"ST,GS,+003015.0kg", STABLE, Basis.GROSS, "3015.0"),
    ("net", b"ST,NT,0\xc4,000012.4 kg", STABLE, Basis.NET, "12.4"),
    ("motion", b"US,GS,0\x84,000005.2 kg", UNSTABLE, Basis.GROSS, "5.2"),
]


@pytest.mark.parametrize(("name", "line", "stability", "basis", "mass"), FRAMES, ids=[f[0] for f in FRAMES])
def test_one_pattern_reads_cas_and_a_and_d(
    name: str, line: bytes, stability: Stability, basis: Basis, mass: str
) -> None:
    frame = scale_ascii.decode(line)
    assert (frame.stability, frame.basis, frame.mass_kg, frame.raw) == (stability, basis, Decimal(mass), line)


@pytest.mark.parametrize("line", [b"OL,+999999.9  g", b"OL,+9999999E+19", b"OL,GS,0\xc4,000013.5 kg", b"ST,GOL,xx"])
def test_an_overload_line_is_never_a_weight(line: bytes) -> None:
    """An OL frame carries a plausible number."""
    frame = scale_ascii.decode(line)
    assert (frame.stability, frame.mass_kg) == (OVERLOAD, None)


def test_ad3_a_counting_line_is_refused() -> None:
    with pytest.raises(FrameError, match="counting"):
        scale_ascii.decode(b"QT,+00001234 PC")


def test_a_half_frame_glued_in_front_costs_nothing() -> None:
    frame = scale_ascii.decode(b"ST,GS,0\xc4,0000\xff\x00US,GSST,GS,0\xc4,000005.4 kg")
    assert (frame.mass_kg, frame.raw) == (Decimal("5.4"), b"ST,GS,0\xc4,000005.4 kg")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"ST,GS,0\xc4,000013.5 lb", "unknown_unit"),
        (b"ST,GS,0\xc4,0000", "no_frame"),
        (b"000013.5", "no_frame"),
        (b"", "no_frame"),
        (b"ST,GS,0\xc4,000013.5 kg then noise", "no_frame"),
        (b"x" * 300, "too_long"),
    ],
)
def test_what_is_no_weight_is_refused(line: bytes, reason: str) -> None:
    with pytest.raises(FrameError) as caught:
        scale_ascii.decode(line)
    assert caught.value.reason == reason


def test_the_unit_comes_from_the_frame_and_the_step_from_its_digits() -> None:
    assert scale_ascii.decode(b"ST,GS,   245.6 g").step_kg == Decimal("0.0001")
    assert scale_ascii.decode(b"ST,GS,0\xc4,000013.5 kg").step_kg == Decimal("0.1")


def frame_of(centi_kg: int) -> bytes:
    return b"ST,GS,0\xc4,%08.2f kg\r\n" % (centi_kg / 100)


@given(st.lists(st.tuples(st.integers(0, 15000), st.binary(max_size=6)), min_size=1, max_size=8), st.data())
def test_any_split_and_noise_before_a_frame_lose_no_frame(
    frames: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    """The soak of facts/devices.md 5: noise in front of a frame, bytes split anywhere: all frames, in order."""
    noise = [bytes(b for b in n if b not in b"\r\nSUOQTL") for _, n in frames]
    wire = b"".join(n + frame_of(kg) for n, (kg, _) in zip(noise, frames, strict=True))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=10)))
    buffer = LineBuffer()
    lines: list[bytes] = []
    for low, high in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        lines += buffer.feed(wire[low:high])
    assert [scale_ascii.decode(line).mass_kg for line in lines] == [Decimal(kg) / 100 for kg, _ in frames]


@given(st.binary(max_size=300))
def test_no_bytes_break_the_decoder(line: bytes) -> None:
    try:
        frame = scale_ascii.decode(line)
    except FrameError:
        return
    assert line.rstrip(b"\r\n").endswith(frame.raw)


def test_an_endless_line_does_not_grow_the_buffer() -> None:
    buffer = LineBuffer(limit=64)
    for _ in range(1000):
        assert buffer.feed(b"z" * 100) == []
    (line,) = buffer.feed(frame_of(540))
    assert scale_ascii.decode(line).mass_kg == Decimal("5.4")
