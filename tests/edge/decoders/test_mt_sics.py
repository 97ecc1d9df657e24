"""MT-SICS: the vectors MT1 to MT15 of facts/devices.md 3.1 (numbered in the order of its table), and the cycle."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import DeviceSettings
from edge.decoders import mt_sics
from edge.decoders.frames import Basis, FrameError, Stability, WeightFrame
from edge.decoders.mt_sics import Answer, Status
from edge.sources.mt_sics import Conversation, weigh
from edge.weighing import Captured, Phase, ScaleRules, State, step
from telemetry.errors import NeighbourDownError


def grams(text: str) -> Decimal:
    return Decimal(text) / 1000


VECTORS = [
    ("MT1", b"S S     100.00 g\r\n", Answer("S", Status.STABLE, grams("100.00"), grams("0.01"))),
    ("MT1", b"S I\r\n", Answer("S", Status.NOT_NOW)),
    ("MT2", b"S D     129.07 g\r\n", Answer("S", Status.DYNAMIC, grams("129.07"), grams("0.01"))),
    ("MT3", b"S S     129.07 g\r\n", Answer("S", Status.STABLE, grams("129.07"), grams("0.01"))),
    ("MT4", b"S +\r\n", Answer("S", Status.OVER)),
    ("MT4", b"S -\r\n", Answer("S", Status.UNDER)),
    ("MT5", b"S S    -100.00 g\r\n", Answer("S", Status.STABLE, grams("-100.00"), grams("0.01"))),
    ("MT6", b"Z A\r\n", Answer("Z", Status.DONE)),
    ("MT6", b"Z I\r\n", Answer("Z", Status.NOT_NOW)),
    ("MT7", b"ZI S\r\n", Answer("ZI", Status.STABLE)),
    ("MT8", b"T S     100.00 g\r\n", Answer("T", Status.STABLE, grams("100.00"), grams("0.01"))),
    ("MT8", b"T A 2.486 g\r\n", Answer("T", Status.DONE, grams("2.486"), grams("0.001"))),
    ("MT9", b"TI A 1.234 g\r\n", Answer("TI", Status.DONE, grams("1.234"), grams("0.001"))),
    ("MT10", b"TA A 2.486 g\r\n", Answer("TA", Status.DONE, grams("2.486"), grams("0.001"))),
    ("MT11", b"TAC A\r\n", Answer("TAC", Status.DONE)),
    ("MT12", b'I4 A "1234567"\r\n', Answer("I4", Status.DONE, text="1234567")),
    ("MT13", b"I4 A 1234567\r\n", Answer("I4", Status.DONE, text="1234567")),
    ("MT14", b'I2 A "ICS469 OU 60.18 kg"\r\n', Answer("I2", Status.DONE, text="ICS469 OU 60.18 kg")),
    ("MT15", b'I0 B 0 "I0"\r\n', Answer("I0", Status.MORE)),
    ("kg", b"S S   12.345 kg\r\n", Answer("S", Status.STABLE, Decimal("12.345"), Decimal("0.001"))),
]


@pytest.mark.parametrize(
    ("name", "line", "answer"), VECTORS, ids=[f"{v[0]}-{v[1].decode().strip()}" for v in VECTORS]
)
def test_the_published_answers_decode(name: str, line: bytes, answer: Answer) -> None:
    assert mt_sics.decode(line) == answer


@pytest.mark.parametrize("line", [b"ES\r\n", b"ET\r\n", b"EL\r\n"])
def test_an_error_answer_is_told(line: bytes) -> None:
    with pytest.raises(FrameError, match="error_answer"):
        mt_sics.decode(line)


@pytest.mark.parametrize(
    "line", [b"", b"S", b"S Q 1 g", b"S S 1.0", b"S S 1.0 lb", b"S S one g", b"S S NaN g", b"\xff S"]
)
def test_nonsense_is_refused(line: bytes) -> None:
    with pytest.raises(FrameError):
        mt_sics.decode(line)


@given(st.binary(max_size=40))
def test_no_bytes_break_the_decoder(line: bytes) -> None:
    try:
        mt_sics.decode(line)
    except FrameError:
        return


class Scripted:
    """A transport whose answers are given; they come in small pieces."""

    def __init__(self, *answers: bytes, unasked: bytes = b"") -> None:
        self._answers = list(answers)
        self._waiting = unasked
        self.asked: list[bytes] = []

    async def open(self) -> None: ...

    async def read(self) -> bytes:
        if not self._waiting:
            await asyncio.sleep(3600)
        piece, self._waiting = self._waiting[:5], self._waiting[5:]
        return piece

    async def write(self, data: bytes) -> None:
        self.asked.append(data)
        if self._answers:
            self._waiting += self._answers.pop(0)

    async def close(self) -> None: ...


def cycle(port: Scripted, silence_s: float = 1.0) -> WeightFrame:
    device = DeviceSettings("SC-2", "mt_sics", port="x", silence_s=silence_s)
    return asyncio.run(weigh(Conversation(port, device)))


def test_s_then_ta_in_one_cycle_is_gross_net_and_tare() -> None:
    """Net 2.75 and tare 0.35 are gross 3.10; the raw frame holds both answers."""
    port = Scripted(
        b"S S      2.750 kg\r\n", b"TA A 0.350 kg\r\n", b"S S      2.750 kg\r\n", unasked=b'I4 A "SC-2"\r\n'
    )
    frame = cycle(port)
    assert port.asked == [b"S\r\n", b"TA\r\n", b"SI\r\n"]
    assert (frame.stability, frame.basis) == (Stability.STABLE, Basis.NET)
    assert frame.raw == b"S S      2.750 kg\r\nTA A 0.350 kg"
    (captured,) = step(State(Phase.ARMED), frame, ScaleRules(Decimal("0.005")), 0)[1]
    assert isinstance(captured, Captured)
    assert (captured.gross_kg, captured.tare_kg, captured.net_kg) == (
        Decimal("3.100"),
        Decimal("0.350"),
        Decimal("2.750"),
    )
    assert captured.gross_kg == captured.net_kg + captured.tare_kg


@pytest.mark.parametrize("check", [b"S S      0.000 kg\r\n", b"S D      2.750 kg\r\n", b"S +\r\n"])
def test_a_weight_that_changed_during_the_cycle_does_not_count(check: bytes) -> None:
    frame = cycle(Scripted(b"S S      2.750 kg\r\n", b"TA A 0.000 kg\r\n", check))
    assert frame.stability is Stability.UNSTABLE


@pytest.mark.parametrize(
    ("answer", "stability"),
    [(b"S I\r\n", Stability.UNSTABLE), (b"S +\r\n", Stability.OVERLOAD), (b"S -\r\n", Stability.UNDERLOAD)],
)
def test_what_is_not_stable_ends_the_cycle(answer: bytes, stability: Stability) -> None:
    port = Scripted(answer)
    frame = cycle(port)
    assert (frame.stability, frame.mass_kg, port.asked) == (stability, None, [b"S\r\n"])


def test_silence_is_a_neighbour_that_is_down() -> None:
    with pytest.raises(NeighbourDownError, match="no answer"):
        cycle(Scripted(), silence_s=0.05)


def test_a_tare_that_is_refused_gives_no_weight() -> None:
    with pytest.raises(FrameError):
        cycle(Scripted(b"S S      2.750 kg\r\n", b"TA I\r\n", b"S S      2.750 kg\r\n"))


@pytest.mark.parametrize("digits", ["1E9", "1_0", "Infinity", "\u0661", "1234567890123", "1.2345678"])
def test_only_plain_digits_are_a_weight(digits: str) -> None:
    with pytest.raises(FrameError):
        mt_sics.decode(f"S S {digits} g".encode())
