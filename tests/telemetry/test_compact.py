"""The compact encoding: whatever is valid comes back to the last nanosecond; what is not the encoding is refused."""

from __future__ import annotations

import tracemalloc
import zlib
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from telemetry import compact
from telemetry.columns import ReadingsUpload, StreamColumns, columns_of, facts_of
from telemetry.contract import (
    Claim,
    Encoding,
    Upload,
    claim,
    decode_readings,
    decode_upload,
    encode_readings,
    encode_upload,
    sign,
    verify,
)
from telemetry.errors import ContractError
from telemetry.quantities import QUANTITIES
from telemetry.readings import Numbered, Origin, Quality, Ranges, Sync

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
KEY = b"k" * 32
T0_MS = 1_795_161_600_000

# --- everything that the contract allows --------------------------------------------------------------------------

TIMES = st.integers(0, 1 << 43)
WHOLE = st.integers(0, 1 << 62)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,12}", fullmatch=True)
HEX = st.from_regex(r"[0-9a-f]{2,32}", fullmatch=True)
BOOTS = st.text(max_size=20) | HEX | st.uuids().map(str)
WALKS = st.sampled_from([1, 1000, 60_000, 60_000_000_000, 1 << 40])


@st.composite
def near(draw: st.DrawFn, length: int, low: int, high: int) -> list[int]:
    """A walk with mostly small steps, as clocks and temperatures go, and sometimes a jump anywhere."""
    step = draw(WALKS)
    at = draw(st.integers(low, high))
    found = []
    for _ in range(length):
        found.append(at)
        jump = draw(st.integers(0, 20)) == 0
        at = draw(st.integers(low, high)) if jump else min(high, max(low, at + draw(st.integers(-2, 3)) * step))
    return found


@st.composite
def streams(draw: st.DrawFn) -> StreamColumns:
    quantity = draw(st.sampled_from(list(QUANTITIES.values())))
    channel = draw(st.just("") | st.from_regex(r"/[A-Za-z0-9_\-]{1,16}", fullmatch=True))
    length = draw(st.integers(1, 12))
    low, high = int(quantity.low * 1000), int(quantity.high * 1000)
    milli: list[int | None] = [*draw(near(length, low, high))]
    quality: dict[int, Quality] = {}
    for i in draw(st.sets(st.integers(0, length - 1), max_size=3)):
        quality[i] = draw(st.sampled_from([q for q in Quality if q is not Quality.GOOD]))
        milli[i] = draw(st.sampled_from([milli[i], None]))
    wall = draw(near(length, 0, 1 << 43))
    boot = draw(near(length, 0, 1 << 62))
    if draw(st.booleans()):
        boot = [b // 1_000_000 * 1_000_000 for b in boot]
    times: list[int | None] = [*wall]
    match draw(st.integers(0, 3)):
        case 0:
            times = [None] * length
        case 1:
            times = [draw(st.none() | TIMES) for _ in range(length)]
        case 2:
            times = [*draw(near(length, 0, 1 << 43))]
    return StreamColumns(
        f"{draw(NAMES)}/{quantity.name}{channel}",
        draw(st.sampled_from(Origin)),
        draw(BOOTS),
        draw(st.sampled_from(Sync)),
        draw(st.none() | st.integers(0, 1000) | WHOLE),
        [0] * length,
        times,
        milli,
        boot,
        wall,
        draw(st.none() | near(length, 0, 1 << 62)),
        quality,
    )


@st.composite
def uploads(draw: st.DrawFn) -> ReadingsUpload:
    columns = draw(st.lists(streams(), max_size=5))
    if columns:  # streams that share their stamps, and streams in several pieces
        for _ in range(draw(st.integers(0, 3))):
            like, other = draw(st.sampled_from(columns)), draw(st.sampled_from(columns))
            columns.append(replace(like, boot_id=other.boot_id, sync=draw(st.sampled_from(Sync))))
    total = sum(len(s) for s in columns)
    first = draw(st.integers(1, 1 << 40))
    numbers = list(range(first, first + total))
    if draw(st.booleans()):
        numbers = draw(st.permutations(numbers))
    elif draw(st.booleans()):
        numbers = draw(st.lists(st.integers(1, 1 << 62), min_size=total, max_size=total, unique=True))
    at = 0
    for i, s in enumerate(columns):
        columns[i] = replace(s, seq=numbers[at : at + len(s)])
        at += len(s)
    return ReadingsUpload(
        draw(st.text(min_size=1, max_size=20) | NAMES),
        draw(HEX | st.text(min_size=1, max_size=64)),
        draw(TIMES),
        columns,
        Ranges.of(numbers),
        draw(st.booleans()),
        draw(st.none() | st.binary(min_size=16, max_size=16).map(bytes.hex)),
    )


@settings(CALM, max_examples=60)
@given(uploads())
def test_whatever_is_valid_comes_back(upload: ReadingsUpload) -> None:
    payload = encode_readings(upload, Encoding.COMPACT)
    assert payload[:1] == b"\x01"
    assert decode_readings(payload) == upload
    assert claim(payload) == Claim(upload.edge, upload.epoch, upload.ranges)


@settings(CALM, max_examples=25)
@given(uploads())
def test_both_encodings_say_the_same(upload: ReadingsUpload) -> None:
    compact_form, json_form = encode_readings(upload, Encoding.COMPACT), encode_readings(upload)
    assert decode_readings(json_form) == upload
    assert decode_upload(compact_form) == decode_upload(json_form)


@settings(CALM, max_examples=25)
@given(uploads())
def test_facts_survive_whatever_columns_they_are_put_in(upload: ReadingsUpload) -> None:
    facts = tuple(sorted(facts_of(upload.streams), key=lambda n: n.seq))
    whole = Upload("readings", upload.edge, upload.epoch, upload.sent_at_ms, facts, lazy=upload.lazy)
    assert decode_upload(encode_upload(whole, Encoding.COMPACT)) == whole


def hour(streams_: int = 8, minutes: int = 60, **changes: object) -> ReadingsUpload:
    """Polled rounds of one-minute streams."""
    columns = []
    for stream in range(streams_):
        walls = [T0_MS + 60_000 * i + i % 7 for i in range(minutes)]
        columns.append(
            StreamColumns(
                f"T-{stream:04d}/temperature_c",
                Origin.LIVE,
                "c5b1a5a0-1234-4222-8333-123456789abc",
                Sync.SYNCED,
                50,
                [1 + stream + streams_ * i for i in range(minutes)],
                [*walls],
                [4000 + 10 * (i * (stream + 3) % 13) for i in range(minutes)],
                [(w - T0_MS + 5_000_000) * 1_000_000 for w in walls],
                walls,
            )
        )
    total = streams_ * minutes
    upload = ReadingsUpload("EDGE-1", "9f86d081884c7d65", T0_MS, columns, Ranges([(1, total)] if total else []))
    return replace(upload, **changes)  # type: ignore[arg-type]


def test_an_hour_of_eight_streams_is_small() -> None:
    """Even with a signature: about a byte for a value, and next to nothing for all the rest."""
    signed = sign(encode_readings(hour(), Encoding.COMPACT), KEY)
    assert len(signed) < 1.3 * 480
    assert len(signed) < len(zlib.compress(encode_readings(hour()), 9)) / 2


def test_nothing_at_all_is_a_message_too() -> None:
    assert decode_readings(encode_readings(hour(0), Encoding.COMPACT)) == hour(0)


def test_streams_do_not_share_their_lists_though_they_share_their_stamps() -> None:
    first, second, *_ = decode_readings(encode_readings(hour(2, 3), Encoding.COMPACT)).streams
    first.t_ms[0] = first.wall_ms[0] = first.boottime_ns[0] = 0
    assert second.wall_ms[0] == second.t_ms[0] == T0_MS
    assert second.boottime_ns[0] > 0


def test_only_readings_are_ever_compact() -> None:
    hello = Upload("hello", "E", "e", 0)
    assert encode_upload(hello, Encoding.COMPACT) == encode_upload(hello)


def test_a_signature_is_the_last_sixteen_bytes_over_all_before() -> None:
    signed = sign(encode_readings(hour(), Encoding.COMPACT), KEY)
    verify(signed, [b"o" * 32, KEY])
    assert decode_readings(signed) == hour(mac=signed[-16:].hex())
    for at in range(2, len(signed), 7):
        spoilt = bytearray(signed)
        spoilt[at] ^= 1
        with pytest.raises(ContractError, match="bad_mac"):
            verify(bytes(spoilt), [KEY])
    with pytest.raises(ContractError, match="no_mac"):
        verify(encode_readings(hour(), Encoding.COMPACT), [KEY])
    with pytest.raises(ContractError, match="no_mac"):
        verify(b"\x01\x02", [KEY])


@pytest.mark.parametrize("mac", ["", "ab", "A" * 32, "g" * 32])
def test_a_signature_of_another_kind_cannot_be_told(mac: str) -> None:
    with pytest.raises(ContractError):
        encode_readings(hour(mac=mac), Encoding.COMPACT)


def test_half_a_character_cannot_be_told() -> None:
    with pytest.raises(ContractError, match="half a character"):
        encode_readings(hour(edge="\ud800"), Encoding.COMPACT)


# --- refusals -------------------------------------------------------------------------------------------------------


def plain(upload: ReadingsUpload) -> bytes:
    """The message, its body not deflated."""
    payload = encode_readings(upload, Encoding.COMPACT)
    flags, body, _ = compact._opened(payload)
    return bytes((1, flags & ~compact.DEFLATED & ~compact.SIGNED)) + body


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\x01", "unknown_encoding"),
        (b"\x02\x00", "unknown_encoding"),
        (b"\x01\x10", "unknown_version"),
        (b"\x01\x00", "bad_columns"),
        (b"\x01\x01", "bad_columns"),
        (b"\x01\x02" + b"m" * 15, "bad_columns"),
        (b"\x01\x01\xff\xff\xff", "bad_columns"),
        (b"\x01\x00" + b"\xff" * 40, "bad_columns"),
        (b"\x01\x00\x80\x00", "bad_columns"),
        (b"\x01" * ((1 << 20) + 1), "too_large"),
    ],
)
def test_what_is_not_the_encoding_is_refused_with_its_reason(payload: bytes, reason: str) -> None:
    with pytest.raises(ContractError) as caught:
        decode_readings(payload)
    assert caught.value.reason == reason


def changed(**changes: object) -> ReadingsUpload:
    upload = hour(2, 3)
    upload.streams[1] = replace(upload.streams[1], **changes)  # type: ignore[arg-type]
    return upload


@pytest.mark.parametrize(
    ("upload", "reason"),
    [
        (changed(seq=[0, 2, 4]), "bad_field"),
        (changed(seq=[2, 4, (1 << 62) + 1]), "bad_field"),
        (changed(seq=[1, 4, 6]), "bad_ranges"),
        (changed(t_ms=[1, None, (1 << 43) + 1]), "bad_field"),
        (changed(wall_ms=[-1, 0, 0]), "bad_field"),
        (changed(boottime_ns=[-1, 0, 0]), "bad_field"),
        (changed(device_seq=[-1, 0, 0]), "bad_field"),
        (changed(max_error_ms=(1 << 62) + 1), "bad_field"),
        (changed(boot_id="b" * 65), "bad_field"),
        (changed(milli=[4000, 100_001, 4000]), "out_of_bounds"),
        (changed(milli=[4000, None, 4000]), "bad_value"),
        (changed(stream_id="T1"), "bad_stream"),
        (changed(stream_id="T1/temperature_f"), "bad_stream"),
        (hour(1, 1, edge=""), "bad_field"),
        (hour(1, 1, epoch="e" * 65), "bad_field"),
        (hour(1, 1, sent_at_ms=-1), "bad_time"),
        (hour(1, 1, sent_at_ms=(1 << 43) + 1), "bad_time"),
        (hour(10, 1001), "too_large"),
    ],
)
def test_the_same_is_refused_as_in_json(upload: ReadingsUpload, reason: str) -> None:
    with pytest.raises(ContractError) as caught:
        decode_readings(plain(upload))
    assert caught.value.reason == reason


def test_a_refused_message_still_says_whose_it_is() -> None:
    assert claim(plain(changed(milli=[4000, 100_001, 4000]))) == Claim("EDGE-1", "9f86d081884c7d65", Ranges([(1, 6)]))
    assert claim(plain(hour(2, 3))[:-9]) == Claim("EDGE-1", "9f86d081884c7d65", Ranges())
    assert claim(b"\x01\x00\x00") is None


def test_every_cut_is_refused() -> None:
    for whole in (plain(hour(2, 3)), encode_readings(hour(), Encoding.COMPACT)):
        for length in range(len(whole)):
            with pytest.raises(ContractError):
                decode_readings(whole[:length])
        with pytest.raises(ContractError, match="left over"):
            decode_readings(whole + b"\x00")


def test_a_bomb_is_refused_before_it_goes_off() -> None:
    """A megabyte of noughts in a kilobyte; ten thousand groups that all point at one track of ten thousand."""
    pack = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, compact.DICTIONARY)
    noughts = b"\x01\x01" + pack.compress(bytes(300 << 20)) + pack.flush()
    tracks = compact._varint
    body = b"".join(
        [
            b"\x00", b"\x04E", b"\x04e", b"\x01\x00\x00",  # sent_at, edge, epoch, one context
            b"\x01", compact._text("T/temperature_c"),
            b"\x01", tracks(compact._zigzag(10_000) << 4), b"\x00", b"\x00", b"\x00", b"\x00",
            tracks(10_000), b"\x00", b"\x00", b"\x00", b"\x00",
        ]
    )  # fmt: skip
    for bomb, what in ((noughts, "more than 1048576 bytes"), (b"\x01\x00" + body, "100000000 facts")):
        tracemalloc.start()
        try:
            with pytest.raises(ContractError, match=what) as caught:
                decode_readings(bomb)
            assert tracemalloc.get_traced_memory()[1] < 16 << 20
        finally:
            tracemalloc.stop()
        assert caught.value.reason == "too_large"


@settings(CALM, max_examples=100)
@given(uploads(), st.data())
def test_a_spoilt_message_is_refused_or_still_a_message(upload: ReadingsUpload, data: st.DataObject) -> None:
    """Bytes changed at will, inside the deflated part: a refusal of the contract, or an upload that goes round."""
    body = bytearray(plain(upload))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(2, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = decode_readings(bytes(body))
    except ContractError:
        return
    assert decode_readings(encode_readings(read, Encoding.COMPACT)) == read
    assert decode_readings(encode_readings(read)) == replace(
        read, streams=decode_readings(encode_readings(read)).streams
    )


@given(
    st.lists(st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(0, 300), max_size=40), st.sampled_from((0, 2, 64))
)
@example([0, 255, 256], 0)
@example([5, 5, 5], 64)
@example([0, 1, 0], 2)
@example([1 << 62, 0, 1], 0)
@example([-(1 << 63), (1 << 14) - (1 << 63), 300 - (1 << 63)], 2)
def test_any_column_comes_back(entries: list[int], packed_up_to: int) -> None:
    reader = compact._Reader(b"".join(compact._column(entries, packed_up_to)))
    assert reader.column(len(entries)) == entries
    reader.end()


@given(st.lists(st.integers(0, (1 << 15) - 1), min_size=2, max_size=60), st.integers(-(1 << 40), 1 << 40))
def test_a_column_that_begins_below_its_least_entry_comes_back(entries: list[int], first: int) -> None:
    """The widths at which the encoder chooses where a column begins (decision 0034)."""
    entries = [first + entry for entry in entries]
    reader = compact._Reader(b"".join(compact._column(entries, 2)))
    assert reader.column(len(entries)) == entries
    reader.end()


def test_steps_a_multiple_of_the_advert_interval_apart_are_not_cut_by_a_carry() -> None:
    """Steps of 59,360 or 60,645 ms and 20 ms more or less: the low bytes are one crowd, the high ones two signs."""
    above = [1_285 * (i % 2) + i * 37 % 41 for i in range(400)]
    turned = [n + compact._turn(above, 8) for n in above]
    assert len({n >> 8 for n in turned}) == 2
    low = [n & 255 for n in turned]
    assert max(low) - min(low) < 64


def test_columns_of_many_facts_are_the_same_facts() -> None:
    facts = [Numbered(n.seq, n.fact) for n in facts_of(hour().streams)]
    assert sorted(facts_of(columns_of(facts)), key=lambda n: n.seq) == sorted(facts, key=lambda n: n.seq)
