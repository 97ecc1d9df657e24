"""The quick way into JSON uploads says what ``telemetry.contract`` says, of whatever arrives; and it is taken."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest import quick_json
from telemetry import contract
from telemetry.columns import ReadingsUpload, StreamColumns
from telemetry.errors import ContractError
from telemetry.limits import MAX_FACTS, MAX_INT, MAX_MS
from telemetry.readings import Origin, Quality, Ranges, Sync

CALM = settings(deadline=None, suppress_health_check=list(HealthCheck))
T0 = 1_790_000_000_000


def outcome(decode: Callable[[bytes], ReadingsUpload], payload: bytes) -> ReadingsUpload | tuple[str, str]:
    try:
        return decode(payload)
    except ContractError as error:
        return error.reason, error.detail


def same(payload: bytes) -> ReadingsUpload | tuple[str, str]:
    """What both ways say of a message."""
    said = outcome(contract.decode_readings, payload)
    assert outcome(quick_json.decode_readings, payload) == said
    return said


def body(**changes: Any) -> dict[str, Any]:
    """An upload of two streams with four readings, as parsed JSON."""
    streams = [
        stream("T1/temperature_c", [1, 3], value=[4.06, 5]),
        stream("T2/humidity_percent", [2, 4], value=[55.5, 60.125]),
    ]
    return {
        "v": 1, "kind": "readings", "edge": "E1", "epoch": "ep1", "ranges": [[1, 4]],
        "sent_at": "2026-11-20T08:00:00.000Z", "streams": streams, "mac": None,
    } | changes  # fmt: skip


def stream(name: str, seq: list[Any], **changes: Any) -> dict[str, Any]:
    times = [T0 + n for n in range(len(seq))]
    return {
        "id": name, "origin": "live", "boot_id": "b", "sync": "synced", "max_error_ms": 50, "seq": seq,
        "t_ms": times, "value": [4.06] * len(seq), "quality": {}, "boottime_ns": [7] * len(seq), "wall_ms": times,
    } | changes  # fmt: skip


def bytes_of(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def quickly(payload: bytes) -> bool:
    """Whether the quick way takes it itself."""
    try:
        return quick_json._usual(quick_json._decode(payload)) is not None
    except (ValueError, ArithmeticError, ContractError):
        return False


def test_the_usual_upload_is_taken_and_says_the_same() -> None:
    for content in (body(), body(lazy=True), body(lazy=False, mac="ab" * 16)):
        assert quickly(bytes_of(content))
        assert isinstance(same(bytes_of(content)), ReadingsUpload)
    numbered = body(streams=[stream("T1/temperature_c", [1, 2, 3, 4], device_seq=[7, 8, 9, 10])])
    assert quickly(bytes_of(numbered))
    assert isinstance(same(bytes_of(numbered)), ReadingsUpload)


@pytest.mark.parametrize(
    "value",
    ["4.0", "4", "-0", "-0.0", "1e2", "1E-3", "99.999", "-100.000", "100.001", "0.0005", "0.00100", "1.5e-3",
    "4.06000000000000000001",
     "1e400", "1e-400", "1e999999999999", "123456789012345678901234567890", "18446744073709551616", "true",
     "null", '"4"', "[4]", "{}", "NaN", "-Infinity"],
)  # fmt: skip
def test_a_number_is_its_digits_and_never_a_float(value: str) -> None:
    text = bytes_of(body()).replace(b"4.06,", value.encode() + b",")
    said = same(text)
    if isinstance(said, ReadingsUpload) and value != "null":
        assert said.streams[0].milli[0] == int(Decimal(value) * 1000)


CHANGES: list[dict[str, Any]] = [
    {"v": True}, {"v": 1.0}, {"v": 2}, {"v": None}, {"kind": "events"}, {"kind": "reading"}, {"kind": 3},
    {"edge": ""}, {"edge": "x" * 65}, {"edge": "é"}, {"edge": None}, {"epoch": 1}, {"epoch": "a\nb"},
    {"ranges": []}, {"ranges": [[1, 2], [3, 4]]}, {"ranges": [[1, 3]]}, {"ranges": [[4, 1]]}, {"ranges": [[1, 4, 5]]},
    {"ranges": [[1.0, 4]]}, {"ranges": None}, {"sent_at": "2026-11-20"}, {"sent_at": "2026-11-20T08:00:00+07:00"},
    {"sent_at": "1026-11-20T08:00:00Z"}, {"sent_at": 5}, {"sent_at": ""}, {"lazy": None}, {"lazy": 1},
    {"mac": 5}, {"mac": "x" * 257},
    {"streams": None}, {"streams": []}, {"streams": [5]}, {"streams": {}}, {"info": 3, "more": [1.5, {"a": [True]}]},
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_an_odd_envelope_is_refused_in_the_same_words(change: dict[str, Any]) -> None:
    same(bytes_of(body(**change)))


ODD: list[dict[str, Any]] = [
    {"id": ""}, {"id": "T1"}, {"id": "T1/colour"}, {"id": "T 1/temperature_c"}, {"id": 5}, {"id": "x" * 129},
    {"id": "\ud800/temperature_c"},
    {"origin": "memory"}, {"origin": "elsewhere"}, {"origin": None}, {"boot_id": None}, {"boot_id": ""},
    {"boot_id": "x" * 65},
    {"boot_id": "\ud800"}, {"boot_id": "\u0000é"}, {"sync": "unsynced"}, {"sync": "half"}, {"max_error_ms": None},
    {"max_error_ms": -1}, {"max_error_ms": True}, {"max_error_ms": 1.5}, {"seq": [1, 1]}, {"seq": [0, 3]},
    {"seq": [1.0, 3]},
    {"seq": [True, 3]}, {"seq": [1, MAX_INT + 1]}, {"seq": []}, {"seq": None}, {"seq": [1, 3, 5]},
    {"t_ms": [None, T0]}, {"t_ms": [T0]},
    {"t_ms": None}, {"t_ms": [MAX_MS + 1, T0]}, {"t_ms": [-1, T0]}, {"t_ms": ["1", T0]}, {"t_ms": [MAX_MS, 0]},
    {"wall_ms": [None, T0]},
    {"wall_ms": None}, {"wall_ms": [False, T0]}, {"boottime_ns": None}, {"boottime_ns": [1.0, 2]},
    {"boottime_ns": [MAX_INT, MAX_INT]},
    {"value": [4.0605, 1]}, {"value": [101, 1]}, {"value": [-100.001, 1]}, {"value": [None, 1]}, {"value": [True, 1]},
    {"value": [1]}, {"value": None}, {"value": [1, 2], "quality": {"0": "unstable"}},
    {"value": [None, 2], "quality": {"0": "invalid"}},
    {"quality": {"0": "good"}}, {"quality": {"9": "invalid"}}, {"quality": {"00": "invalid"}}, {"quality": []},
    {"quality": None}, {"quality": 0},
    {"device_seq": None}, {"device_seq": [5, 6]}, {"device_seq": [5, None]}, {"device_seq": [5]},
    {"device_seq": [5, -6]}, {"more": [1.25]},
]  # fmt: skip


@pytest.mark.parametrize("change", ODD, ids=str)
def test_an_odd_stream_is_taken_or_refused_in_the_same_words(change: dict[str, Any]) -> None:
    other = stream("T2/humidity_percent", [2, 4])
    same(bytes_of(body(streams=[stream("T1/temperature_c", [1, 3]) | change, other])))


def test_too_many_readings_and_too_many_bytes_are_refused() -> None:
    many = [stream("T1/temperature_c", list(range(1, MAX_FACTS + 2)))]
    assert same(bytes_of(body(ranges=[[1, MAX_FACTS + 1]], streams=many))) == ("too_large", "more than 10000 facts")
    assert same(bytes_of(body()) + b" " * (1 << 20))[0] == "too_large"  # type: ignore[index]
    assert isinstance(same(bytes_of(body()) + b" \r\n\t"), ReadingsUpload)


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"{}", b"\xef\xbb\xbf{}", b"{\xff}", b"[1]", b"{" * 5_000, b'{"v":1,' * 3_000, b"null"],
    ids=lambda p: repr(p[:12]),
)
def test_what_is_no_upload_is_refused_in_the_same_words(payload: bytes) -> None:
    assert isinstance(same(payload), tuple)


def test_of_a_key_that_stands_twice_the_last_one_counts() -> None:
    text = bytes_of(body())
    for first in (b'"edge":"E0",', b'"edge":7,', b'"streams":[],'):
        same(text.replace(b'"edge"', first + b'"edge"', 1))
    same(text.replace(b'"mac":null', b'"mac":null,"edge":7'))


@st.composite
def usual(draw: st.DrawFn) -> ReadingsUpload:
    """Uploads as an edge makes them, and now and then something else in them."""
    first, count = draw(st.integers(1, 1 << 40)), draw(st.integers(1, 8))
    order = draw(st.permutations(range(first, first + count)))
    cut = draw(st.integers(0, count))
    streams = []
    for n, seq in enumerate((order[:cut], order[cut:])):
        milli = draw(st.lists(st.integers(-100_000, 100_000) | st.none(), min_size=len(seq), max_size=len(seq)))
        quality = {i: Quality.INVALID for i, m in enumerate(milli) if m is None}
        times = draw(st.lists(st.integers(0, MAX_MS), min_size=len(seq), max_size=len(seq)))
        head = (draw(st.sampled_from(Origin)), draw(st.text(max_size=8)), draw(st.sampled_from(Sync)))
        if seq:
            streams.append(
                StreamColumns(
                    f"T{n}/temperature_c", *head, draw(st.none() | st.integers(0, MAX_INT)), list(seq), list(times), milli,
                    [5] * len(seq), list(times), draw(st.none() | st.just(list(seq))), quality,
                )
            )  # fmt: skip
    return ReadingsUpload(
        "E1", "ep1", T0, streams, Ranges.of(order), draw(st.booleans()), draw(st.none() | st.just("0" * 32))
    )


@settings(CALM, max_examples=80)
@given(usual(), st.data())
def test_what_an_edge_sends_says_the_same_whole_and_spoilt(upload: ReadingsUpload, data: st.DataObject) -> None:
    payload = contract.encode_readings(upload)
    assert same(payload) == upload
    place = data.draw(st.integers(0, len(payload) - 1))
    length = data.draw(st.integers(0, 4))
    put = data.draw(
        st.binary(max_size=2) | st.sampled_from([b"0", b"-", b".", b"e", b",", b"null", b"1.0", b'"', b"]", b"true"])
    )
    same(payload[:place] + put + payload[place + length :])
