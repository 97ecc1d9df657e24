"""Readings as columns: the same facts, the same refusals, whichever form they are asked in."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from telemetry.contract import (
    Claim,
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
from telemetry.readings import Numbered, Quality, Ranges, Reading, Stamp, Sync

KEY, OLD_KEY = b"k" * 32, b"o" * 32
STREAM = {"id": "T1/temperature_c", "seq": [1, 2, 3], "t_ms": [1, 2, 3], "value": [4, 5.25, -0.001]}


def message(**changes: Any) -> bytes:
    body = {
        "v": 1,
        "kind": "readings",
        "edge": "E",
        "epoch": "e",
        "ranges": [[1, 3]],
        "sent_at": "2026-11-20T08:00:00Z",
    }
    stream = STREAM | {k: v for k, v in changes.items() if k not in body and k != "lazy"}
    body |= {k: v for k, v in changes.items() if k in body or k == "lazy"}
    return json.dumps(body | {"streams": [stream], "mac": None}, separators=(",", ":")).encode()


def test_values_are_whole_thousandths_whatever_way_the_number_is_written() -> None:
    text = message().replace(b"[4,5.25,-0.001]", b"[4.000,525E-2,-0.001]")
    assert decode_readings(text).streams[0].milli == [4000, 5250, -1]


@pytest.mark.parametrize(
    "written", ["4.0000000000000000001", "4.2500000000000000001", "1e-4", "4.00000000000000000000000000000001"]
)
def test_a_fourth_decimal_is_seen_even_where_a_float_would_forget_it(written: str) -> None:
    for read in (decode_readings, decode_upload):
        with pytest.raises(ContractError, match="bad_value"):
            read(message().replace(b"5.25", written.encode()))


def test_a_number_with_decimals_that_nobody_asked_for_is_no_trouble() -> None:
    assert len(decode_readings(message(firmware=1.23456789)).streams[0]) == 3


def test_readings_numbered_by_the_device_and_others_are_told_apart() -> None:
    upload = decode_readings(message(device_seq=[7, None, 9], quality={"1": "unstable"}))
    numbered, plain = upload.streams
    assert (numbered.seq, numbered.device_seq, numbered.quality) == ([1, 3], [7, 9], {})
    assert (plain.seq, plain.device_seq, plain.quality) == ([2], None, {0: Quality.UNSTABLE})
    facts = decode_upload(message(device_seq=[7, None, 9], quality={"1": "unstable"})).facts
    assert [n.fact.device_seq for n in facts if isinstance(n.fact, Reading)] == [7, None, 9]


def test_undated_readings_stay_undated_and_a_missing_wall_clock_is_the_readings_own_time() -> None:
    columns = decode_readings(message(t_ms=[1, None, 3])).streams[0]
    assert columns.t_ms == [1, None, 3]
    assert columns.wall_ms == [1, 0, 3]
    assert columns.boottime_ns == [0, 0, 0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"seq": [1, 2, True], "ranges": [[1, 3]]}, "bad_field"),
        ({"t_ms": [1, 2, False]}, "bad_field"),
        ({"wall_ms": [1, 2, 2.5]}, "bad_field"),
        ({"boottime_ns": [1, None, 3]}, "bad_field"),
        ({"boottime_ns": [1, 2, 1 << 63]}, "bad_field"),
        ({"boottime_ns": [1, 2, 1 << 70]}, "bad_field"),
        ({"device_seq": [1, 2, "3"]}, "bad_field"),
        ({"max_error_ms": True}, "bad_field"),
        ({"max_error_ms": [1]}, "bad_field"),
        ({"id": ["T1/temperature_c"]}, "bad_field"),
        ({"boot_id": 7}, "bad_field"),
        ({"boot_id": "b" * 65}, "bad_field"),
        ({"origin": None}, "bad_field"),
        ({"quality": {"01": "unstable"}}, "bad_columns"),
        ({"quality": {"\u0661": "unstable"}}, "bad_columns"),
        ({"quality": ["unstable"]}, "bad_columns"),
        ({"value": [1, 2, [3]]}, "bad_value"),
        ({"lazy": 1}, "bad_field"),
        ({"boot_id": "\ud800"}, "bad_field"),
        ({"kind": "events"}, "kind_mismatch"),
        ({"kind": "nonsense"}, "unknown_kind"),
    ],
)
def test_one_bad_entry_refuses_the_message(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ContractError) as caught:
        decode_readings(message(**change))
    assert caught.value.reason == reason


def test_bytes_that_are_not_utf_8_are_refused() -> None:
    with pytest.raises(ContractError, match="not_json"):
        decode_readings(message().replace(b'"e"', b'"\xff"'))
    with pytest.raises(ContractError, match="not_json"):
        decode_readings(message().decode().encode("utf-16-le"))


def reading(seq: int, value: str = "4.25") -> Numbered:
    return Numbered(seq, Reading("T1/temperature_c", Decimal(value), 5, Stamp("b", 1_000_000, 5, Sync.SYNCED, 50)))


def test_columns_and_facts_are_the_same_message() -> None:
    upload = Upload("readings", "E", "e", 1000, (reading(1), reading(2, "5")), lazy=True)
    columns = decode_readings(encode_upload(upload))
    assert columns.lazy
    assert encode_readings(columns) == encode_upload(upload)
    assert decode_upload(encode_readings(replace(columns, lazy=False))) == replace(upload, lazy=False)


def test_a_message_says_of_itself_whose_it_is_even_when_its_content_is_refused() -> None:
    assert claim(message(value=[4, 5, 500])) == Claim("E", "e", Ranges([(1, 3)]))
    assert claim(message(ranges="all")) == Claim("E", "e", Ranges())
    assert claim(message(epoch=7)) is None
    assert claim(b"{") is None
    assert claim(b"") is None


def test_a_signed_message_is_read_as_before_and_a_changed_byte_is_seen() -> None:
    signed = sign(encode_upload(Upload("readings", "E", "e", 1000, (reading(1),), lazy=True)), KEY)
    verify(signed, [OLD_KEY, KEY])
    assert decode_readings(signed).mac is not None
    with pytest.raises(ContractError, match="bad_mac"):
        verify(signed.replace(b"4.25", b"4.26"), [KEY])
    with pytest.raises(ContractError, match="bad_mac"):
        verify(signed, [OLD_KEY])
    with pytest.raises(ContractError, match="no_mac"):
        verify(message(), [KEY])
