"""Messages as the first release wrote them (26 November 2026) are read for ever, and say what they said."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from telemetry.contract import (
    decode_receipt,
    decode_request,
    decode_upload,
    encode_receipt,
    encode_request,
    encode_upload,
)
from telemetry.readings import Event, Origin, Quality, Ranges, Reading, Sync, Weighing

LINES = (Path(__file__).parent / "golden" / "json_v1.ndjson").read_bytes().splitlines()


@pytest.mark.parametrize("line", LINES)
def test_an_old_message_is_read_and_written_to_the_same_bytes(line: bytes) -> None:
    if b'"kind"' in line:
        assert encode_upload(decode_upload(line)) == line
    elif b'"have"' in line:
        assert encode_receipt(decode_receipt(line)) == line
    else:
        assert encode_request(decode_request(line)) == line


def test_old_readings_say_what_they_said() -> None:
    upload = decode_upload(LINES[0])
    assert upload.ranges == Ranges([(1, 2), (4, 4), (9, 9)])
    first, second, third, fourth = (n.fact for n in upload.facts)
    assert isinstance(first, Reading)
    assert isinstance(second, Reading)
    assert (first.value, first.sampled_at_ms, first.stamp.boottime_ns) == (
        Decimal("4.25"),
        1_795_161_600_123,
        1_000_123_456_789,
    )
    assert (second.value, second.sampled_at_ms, second.device_seq) == (Decimal("-20.005"), None, 7)
    assert (second.origin, second.quality, second.stamp.sync) == (Origin.MEMORY, Quality.UNSTABLE, Sync.UNSYNCED)
    assert isinstance(third, Reading)
    assert (third.value, third.quality) == (None, Quality.SENSOR_FAULT)
    assert isinstance(fourth, Reading)
    assert (fourth.stream_id, fourth.value) == ("BT-0001/mains_power_on", 1)


def test_old_events_and_weighings_say_what_they_said() -> None:
    event = decode_upload(LINES[2]).facts[0].fact
    weighing = decode_upload(LINES[3]).facts[0].fact
    assert isinstance(event, Event)
    assert event.detail == {"utc_ms": 1_795_161_600_123, "by": None, "note": "Jam disetel ké 08:00"}
    assert isinstance(weighing, Weighing)
    assert (weighing.gross_kg, weighing.net_kg, weighing.flags) == (Decimal("13.1"), Decimal("12.4"), ("BELOW_MIN",))
    assert decode_upload(LINES[4]).info == {"numbered_to": 104, "software": "0.1.0"}
