"""The codecs: what is encoded comes back, to the last digit; what is not the contract is refused with a reason."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telemetry.contract import (
    MAX_FACTS,
    MAX_PAYLOAD_BYTES,
    Receipt,
    Request,
    Upload,
    decode_receipt,
    decode_request,
    decode_upload,
    encode_receipt,
    encode_request,
    encode_upload,
    iso_utc,
    parse_iso_utc,
)
from telemetry.errors import ContractError
from telemetry.quantities import QUANTITIES
from telemetry.readings import Event, Numbered, Origin, Quality, Ranges, Reading, Stamp, Sync, Weighing

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
DOCS = Path(__file__).parents[2] / "docs" / "contract.md"

# --- strategies: everything that the contract allows -------------------------------------------------------------

TIMES = st.integers(0, 1 << 43)
WHOLE = st.integers(0, 1 << 62)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,20}", fullmatch=True)
WORDS = st.text(min_size=1, max_size=20)
STAMPS = st.builds(
    Stamp, st.text(max_size=20), WHOLE, TIMES, st.sampled_from(Sync), st.none() | st.integers(0, 100_000)
)


def decimals(low: Decimal, high: Decimal) -> st.SearchStrategy[Decimal]:
    return st.integers(int(low * 1000), int(high * 1000)).map(lambda n: Decimal(n) / 1000)


@st.composite
def readings(draw: st.DrawFn) -> Reading:
    quantity = draw(st.sampled_from(list(QUANTITIES.values())))
    channel = draw(st.just("") | st.from_regex(r"/[A-Za-z0-9_\-]{1,16}", fullmatch=True))
    value = draw(st.none() | decimals(quantity.low, quantity.high))
    quality = draw(st.sampled_from([q for q in Quality if value is not None or q is not Quality.GOOD]))
    return Reading(
        f"{draw(NAMES)}/{quantity.name}{channel}",
        value,
        draw(st.none() | TIMES),
        draw(STAMPS),
        draw(st.none() | WHOLE),
        draw(st.sampled_from(Origin)),
        quality,
    )


EVENTS = st.builds(
    Event,
    WORDS,
    WORDS,
    st.none() | TIMES,
    STAMPS,
    st.dictionaries(st.text(max_size=10), st.none() | st.integers() | st.text(max_size=20), max_size=4),
)


@st.composite
def weighings(draw: st.DrawFn) -> Weighing:
    net, tare = (draw(decimals(Decimal(-400), Decimal(4000))) for _ in range(2))
    return Weighing(
        draw(WORDS),
        draw(NAMES),
        net + tare,
        tare,
        net,
        draw(st.none() | TIMES),
        draw(STAMPS),
        draw(WORDS),
        draw(st.sampled_from(["none", "measured", "preset"])),
        draw(st.none() | decimals(Decimal(0), Decimal(10))),
        tuple(draw(st.lists(st.text(max_size=10), max_size=3))),
    )


KINDS: dict[str, st.SearchStrategy[Any]] = {"readings": readings(), "events": EVENTS, "weighings": weighings()}


@st.composite
def uploads(draw: st.DrawFn, kind: str) -> Upload:
    facts = draw(st.lists(KINDS[kind], max_size=12))
    first = draw(st.integers(1, 1 << 40))
    numbers = sorted(draw(st.sets(st.integers(first, first + 30), min_size=len(facts), max_size=len(facts))))
    sent_at_ms = draw(st.integers(0, 4_102_444_800_000))
    numbered = tuple(Numbered(n, f) for n, f in zip(numbers, facts, strict=True))
    return Upload(kind, draw(NAMES), draw(WORDS), sent_at_ms, numbered, mac=draw(st.none() | WORDS))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_encoded_comes_back(kind: str) -> None:
    @settings(CALM, max_examples=40)
    @given(uploads(kind))
    def comes_back(upload: Upload) -> None:
        payload = encode_upload(upload)
        assert payload[:1] == b"{"
        assert decode_upload(payload) == upload

    comes_back()


@given(st.integers(-(10**12) + 1, 10**12 - 1))
def test_decimals_lose_no_digit_on_the_wire(thousandths: int) -> None:
    """Through a JSON number and back: exactly the same decimal, though a float prints it."""
    value = Decimal(thousandths) / 1000
    gross = Weighing("w", "S", value, Decimal(0), value, 1, Stamp("b", 0, 0, Sync.SYNCED), "00")
    payload = encode_upload(Upload("weighings", "E", "e", 0, (Numbered(1, gross),)))
    printed = re.search(rb'"gross_kg":([^,]+),', payload)
    assert printed is not None
    assert Decimal(printed[1].decode()) == value


@pytest.mark.parametrize("value", ["1.2345", "1000000000", "NaN", "Infinity"])
def test_a_value_that_the_wire_cannot_hold_is_not_sent(value: str) -> None:
    reading = Reading("T/temperature_c", Decimal(value), 1, Stamp("b", 0, 0, Sync.SYNCED))
    with pytest.raises((ContractError, ArithmeticError)):
        encode_upload(Upload("readings", "E", "e", 0, (Numbered(1, reading),)))


def test_hello_brings_its_info() -> None:
    hello = Upload("hello", "E1", "e", 1_000, info={"numbered_to": 104, "software": "0.1.0"})
    assert decode_upload(encode_upload(hello)) == hello


SPANS = st.lists(st.tuples(st.integers(1, 500), st.integers(0, 40)).map(lambda p: (p[0], p[0] + p[1])), max_size=8)


@given(st.text(min_size=1, max_size=64), SPANS.map(Ranges), SPANS.map(Ranges))
def test_receipts_come_back(epoch: str, have: Ranges, quarantined: Ranges) -> None:
    receipt = Receipt(epoch, have, quarantined)
    assert decode_receipt(encode_receipt(receipt)) == receipt


@given(SPANS.map(Ranges), st.none() | st.tuples(TIMES, TIMES), st.sampled_from(["all", "unreceipted"]))
def test_requests_come_back(seq: Ranges, span: tuple[int, int] | None, only: str) -> None:
    request = Request("r1", seq, span[0] if span else None, span[1] if span else None, only)
    assert decode_request(encode_request(request)) == request


# --- golden messages: design.md's own, and those of the manual ---------------------------------------------------


def test_the_upload_of_design_md_is_read() -> None:
    """As pinned, with its dots filled in: the stamp's columns are younger and may be absent."""
    payload = b"""{"v":1,"kind":"readings","edge":"E1","epoch":"x","ranges":[[101,102]],
    "sent_at":"2026-11-20T08:00:00Z","streams":[{"id":"T1/temperature_c","origin":"live","seq":[101,102],"t_ms":[1,2],"value":[4.5,5],"quality":{},
    "device_seq":[7,8]}],"mac":null}"""
    upload = decode_upload(payload)
    assert upload.ranges == Ranges([(101, 102)])
    first = upload.facts[0].fact
    assert isinstance(first, Reading)
    assert (first.value, first.device_seq, first.origin, first.stamp.sync) == (Decimal("4.5"), 7, "live", "unsynced")
    assert upload.sent_at_ms == 1_795_161_600_000


def test_the_receipt_of_design_md_is_read() -> None:
    receipt = decode_receipt(b'{"v":1,"epoch":"..","have":[[1,148],[160,171]],"quarantined":[[150,150]]}')
    assert receipt == Receipt("..", Ranges([(1, 148), (160, 171)]), Ranges([(150, 150)]))


def test_the_request_of_design_md_is_read() -> None:
    assert decode_request(b'{"v":1,"id":"..","seq":[[149,159]]}') == Request("..", Ranges([(149, 159)]))
    span = decode_request(b'{"v":1,"id":"r","from":"2026-11-20T08:00:00Z","to":"2026-11-20T09:00:00+01:00"}')
    assert (span.from_ms, span.to_ms, span.only) == (1_795_161_600_000, 1_795_161_600_000, "all")


def manual_examples() -> list[str]:
    return re.findall(r"```json\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("example", manual_examples())
def test_every_example_of_the_manual_is_the_contract(example: str) -> None:
    payload = example.encode()
    body = json.loads(payload)
    if "kind" in body:
        upload = decode_upload(payload)
        assert json.loads(encode_upload(upload)) == body
    elif "epoch" in body:
        assert json.loads(encode_receipt(decode_receipt(payload))) == body
    else:
        assert json.loads(encode_request(decode_request(payload))) == body


def test_the_manual_shows_every_kind() -> None:
    kinds = {json.loads(example).get("kind") for example in manual_examples()}
    assert kinds == {"readings", "events", "weighings", "hello", None}


def test_fields_may_be_added() -> None:
    payload = b'{"v":1,"kind":"hello","edge":"E","epoch":"e","sent_at":"2026-11-20T08:00:00Z","news":{"a":[1]}}'
    assert decode_upload(payload).kind == "hello"


# --- refusals -----------------------------------------------------------------------------------------------------


def body_with(**changes: Any) -> bytes:
    stream = {"id": "T1/temperature_c", "seq": [1, 2], "t_ms": [1, 2], "value": [4, 5]}
    whole = {
        "v": 1, "kind": "readings", "edge": "E", "epoch": "e", "ranges": [[1, 2]], "sent_at": "2026-11-20T08:00:00Z",
    }  # fmt: skip
    top = {key: changes.pop(key) for key in list(changes) if key in whole}
    return json.dumps(whole | top | {"streams": [stream | changes]}).encode()


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "unknown_encoding"),
        (b"[]", "unknown_encoding"),
        (b"\x00{}", "unknown_encoding"),
        (b"{", "not_json"),
        (b'{"v":1,"v":', "not_json"),
        (b'{"a":' + b"[" * 100_000, "not_json"),
        (b'{"v":1,"x":NaN}', "bad_value"),
        (b'{"v":1,"x":-Infinity}', "bad_value"),
        (b"{" + b" " * MAX_PAYLOAD_BYTES, "too_large"),
        (b"{}", "unknown_version"),
        (b'{"v":true}', "unknown_version"),
        (b'{"v":"1"}', "unknown_version"),
        (b'{"v":1,"kind":"x"}', "unknown_kind"),
        (b'{"v":1}', "bad_field"),
        (body_with(edge=""), "bad_field"),
        (body_with(epoch=7), "bad_field"),
        (body_with(sent_at="2026-11-20T08:00:00"), "bad_time"),
        (body_with(sent_at="yesterday"), "bad_time"),
        (body_with(ranges=[[1, 3]]), "bad_ranges"),
        (body_with(ranges=[[2, 1]]), "bad_ranges"),
        (body_with(ranges=[]), "bad_ranges"),
        (body_with(ranges="1-2"), "bad_ranges"),
        (body_with(seq=[1, 1]), "bad_ranges"),
        (body_with(seq=[0, 1]), "bad_field"),
        (body_with(seq=5), "bad_columns"),
        (body_with(t_ms=[1]), "bad_columns"),
        (body_with(t_ms=[1, -1]), "bad_field"),
        (body_with(t_ms=[1, 1.5]), "bad_field"),
        (body_with(t_ms=[1, True]), "bad_field"),
        (body_with(value=[4, 4.0001]), "bad_value"),
        (body_with(value=[4, "5"]), "bad_value"),
        (body_with(value=[4, True]), "bad_value"),
        (body_with(value=[4, None]), "bad_value"),
        (body_with(value=[4, 100.001]), "out_of_bounds"),
        (body_with(value=[4, -100.001]), "out_of_bounds"),
        (body_with(quality={"2": "good"}), "bad_columns"),
        (body_with(quality={"1": "splendid"}), "bad_field"),
        (body_with(origin="dream"), "bad_field"),
        (body_with(sync="maybe"), "bad_field"),
        (body_with(id="T1"), "bad_stream"),
        (body_with(id="T1/temperature_f"), "bad_stream"),
        (body_with(id="T 1/temperature_c"), "bad_stream"),
        (body_with(id="T1/temperature_c/a b"), "bad_stream"),
    ],
)
def test_what_breaks_the_contract_is_refused_with_its_reason(payload: bytes, reason: str) -> None:
    with pytest.raises(ContractError) as caught:
        decode_upload(payload)
    assert caught.value.reason == reason
    assert not caught.value.again


def test_an_upload_holds_a_bounded_number_of_facts() -> None:
    many = list(range(1, MAX_FACTS + 2))
    payload = body_with(seq=many, t_ms=many, value=[1] * len(many), ranges=[[1, len(many)]])
    with pytest.raises(ContractError, match="too_large"):
        decode_upload(payload)


def test_gross_is_net_plus_tare_or_it_is_no_weighing() -> None:
    weighing = Weighing("w", "S", Decimal("2.5"), Decimal("0.5"), Decimal(2), 1, Stamp("b", 0, 0, Sync.SYNCED), "00")
    payload = encode_upload(Upload("weighings", "E", "e", 0, (Numbered(1, weighing),)))
    with pytest.raises(ContractError, match="bad_weight"):
        decode_upload(payload.replace(b'"gross_kg":2.5', b'"gross_kg":2.6'))


@pytest.mark.parametrize(
    "payload",
    [
        b'{"v":1,"id":"r","only":"some"}',
        b'{"v":1,"id":"r","from":"2026-11-20T08:00:00Z"}',
        b'{"v":1,"id":""}',
        b'{"v":1,"id":"r","seq":[[2,1]]}',
        b'{"v":1,"id":"r","seq":[[0,1]]}',
        b'{"v":1,"id":"r","seq":[[1]]}',
    ],
)
def test_requests_that_break_the_contract_are_refused(payload: bytes) -> None:
    with pytest.raises(ContractError):
        decode_request(payload)


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_795_161_600_001, "2026-11-20T08:00:00.001Z"),
        (999, "1970-01-01T00:00:00.999Z"),
    ],
)
def test_times_are_told_in_utc_to_the_millisecond(ms: int, text: str) -> None:
    assert iso_utc(ms) == text
    assert parse_iso_utc(text) == ms


@given(st.integers(0, 4_102_444_800_000))
def test_times_come_back(ms: int) -> None:
    assert parse_iso_utc(iso_utc(ms)) == ms
