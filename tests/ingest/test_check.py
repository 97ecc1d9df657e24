"""What becomes of one message: journaled, quarantined, or both. Pure."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.check import CLOCK_AHEAD_MS, Arrived, Edges, Standing, check
from ingest.quarantine import Reason
from telemetry.contract import decode_upload
from telemetry.errors import NeighbourDownError
from telemetry.mac import sign_json
from telemetry.readings import Origin, Ranges, Sync

HOMES = {"T1": "SITE1", "T2": "SITE1", "W1": "SITE1", "FAR": "SITE2"}
registry = HOMES.get
TOPIC = "smile-iot/v1/s1/SITE1/E1/up/readings"
CALM = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], deadline=None)


def test_a_good_message_is_journaled_as_it_came(make: Any) -> None:
    message = make.message([make.reading(1), make.reading(2)])
    checked = check(message, registry)
    assert checked.payload == message.payload
    assert checked.accepted == Ranges([(1, 2)])
    assert checked.faults == ()


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        ("smile-iot/v1/s1/SITE1/E1/up/nonsense", b"{}", "bad_topic"),
        ("smile-iot/v1/s1/SI TE/E1/up/readings", b"{}", "bad_topic"),
        ("something/else", b"{}", "bad_topic"),
        ("smile-iot/v1/s1/SITE1/E1/up/readings", b"", "unknown_encoding"),
        ("smile-iot/v1/s1/SITE1/E1/up/readings", b"\x82\xa1v\x01", "unknown_encoding"),
        ("smile-iot/v1/s1/SITE1/E1/up/readings", b'{"v":1', "not_json"),
        ("smile-iot/v1/s1/SITE1/E1/up/readings", b'{"v":2}', "unknown_version"),
        ("smile-iot/v1/s1/SITE1/E1/up/readings", b'{"v":1,"kind":"recipes"}', "unknown_kind"),
    ],
)
def test_a_message_that_cannot_be_read_waits_whole_with_its_reason(topic: str, payload: bytes, reason: str) -> None:
    checked = check(Arrived(topic, payload, 7), registry)
    assert [f.reason for f in checked.faults] == [reason]
    assert checked.faults[0].payload == payload
    assert checked.payload is None
    assert not checked.accepted


def test_an_edge_may_speak_only_for_itself(make: Any, maker_class: Any) -> None:
    message = make.message([make.reading(1)])
    other = Arrived(message.topic.replace("/E1/", "/E2/"), message.payload, 1)
    assert [f.reason for f in check(other, registry).faults] == [Reason.ADDRESS_MISMATCH]


def test_the_kind_of_topic_and_upload_must_agree(make: Any) -> None:
    message = make.message([make.reading(1)])
    other = Arrived(message.topic.replace("/readings", "/events"), message.payload, 1)
    assert [f.reason for f in check(other, registry).faults] == [Reason.KIND_MISMATCH]


@pytest.mark.parametrize("epoch", ["a b", "x\x00y", "\ud800", "ä", "a/b"])
def test_an_epoch_is_fit_for_a_key(make: Any, epoch: str) -> None:
    make.epoch = epoch
    checked = check(make.message([make.reading(1)]), registry)
    assert [f.reason for f in checked.faults] == [Reason.BAD_EPOCH]
    checked.faults[0].detail.encode()


def test_facts_of_an_unknown_device_wait_alone_and_the_rest_goes_on(make: Any) -> None:
    message = make.message([make.reading(1), make.reading(2, stream="NEW/temperature_c"), make.reading(3)])
    checked = check(message, registry)
    assert checked.accepted == Ranges([(1, 1), (3, 3)])
    assert checked.payload is not None
    assert [n.seq for n in decode_upload(checked.payload).facts] == [1, 3]
    (fault,) = checked.faults
    assert (fault.reason, fault.serial, fault.seqs) == (Reason.UNKNOWN_DEVICE, "NEW", Ranges([(2, 2)]))
    assert decode_upload(fault.payload).facts == (make.reading(2, stream="NEW/temperature_c"),)
    assert (fault.site, fault.edge, fault.epoch) == ("SITE1", "E1", "epoch1")


def test_a_device_of_anwrong_site_is_not_heard_here(make: Any) -> None:
    checked = check(make.message([make.reading(1, stream="FAR/temperature_c")]), registry)
    assert [f.reason for f in checked.faults] == [Reason.WRONG_SITE]
    assert checked.payload is None


@pytest.mark.parametrize("sync", list(Sync))
@pytest.mark.parametrize("origin", list(Origin))
@pytest.mark.parametrize(("late_ms", "accepted"), [(0, True), (-1, False)])
def test_cold_chain_10_a_device_says_nothing_of_the_time_before_it_was_in_service(
    make: Any, sync: Sync, origin: Origin, late_ms: int, accepted: bool
) -> None:
    """facts/cold-chain.md 10: before EDOP/LDOP, whatever its clock claims and however it came; the others go on."""
    since = {"T1": make.t0 + 60_000}
    t_ms = since["T1"] + late_ms
    early = make.reading(1, sampled_at_ms=t_ms, origin=origin, stamp=make.stamp(make.t0 + 90_000, sync=sync))
    other = make.reading(2, stream="T2/temperature_c", sampled_at_ms=t_ms)
    checked = check(make.message([early, other]), registry, in_service=since.get)
    assert checked.accepted == (Ranges([(1, 2)]) if accepted else Ranges([(2, 2)]))
    assert [(f.reason, f.serial, f.seqs) for f in checked.faults] == (
        [] if accepted else [(Reason.BEFORE_SERVICE, "T1", Ranges([(1, 1)]))]
    )


def test_cold_chain_10_a_reading_without_a_date_is_before_nothing(make: Any) -> None:
    undated = make.reading(1, sampled_at_ms=None, stamp=make.stamp(sync=Sync.UNSYNCED))
    checked = check(make.message([undated]), registry, in_service={"T1": 1 << 42}.get)
    assert (checked.faults, bool(checked.accepted)) == ((), True)


@pytest.mark.parametrize(
    ("ahead_ms", "sync", "accepted"),
    [
        (CLOCK_AHEAD_MS, Sync.SYNCED, True),
        (CLOCK_AHEAD_MS + 1, Sync.SYNCED, False),
        (CLOCK_AHEAD_MS + 1, Sync.UNSYNCED, True),
    ],
)
def test_cold_chain_10_a_synced_clock_may_not_be_more_than_5_min_ahead(
    make: Any, ahead_ms: int, sync: Sync, accepted: bool
) -> None:
    """facts/cold-chain.md 10, and design.md: the check applies only to clocks that claim to be synced."""
    t_ms = make.t0 + 60_000
    message = make.message([make.reading(1, stamp=make.stamp(t_ms, sync=sync))], at_ms=t_ms - ahead_ms)
    checked = check(message, registry)
    assert bool(checked.accepted) is accepted
    assert [f.reason for f in checked.faults] == ([] if accepted else [Reason.CLOCK_AHEAD])


def test_an_undated_reading_has_no_time_to_be_ahead_with(make: Any) -> None:
    checked = check(make.message([make.reading(1, sampled_at_ms=None)], at_ms=0), registry)
    assert checked.accepted == Ranges([(1, 1)])


@pytest.mark.parametrize(
    ("kind", "subject", "accepted"),
    [
        ("clock_anchored", "E1", True),
        ("power_lost", "E1", True),
        ("device_silent", "T1", True),
        ("device_silent", "NEW", False),
        ("door_opened", "NEW/door_open", False),
        ("power_lost", "FAR", False),
        ("power_lost", "weird \ud800 \x00 words", True),
    ],
)
def test_an_event_about_a_device_needs_the_device_one_about_a_place_does_not(
    make: Any, kind: str, subject: str, accepted: bool
) -> None:
    checked = check(make.message([make.event(1, kind, subject)], "events"), registry)
    assert bool(checked.accepted) is accepted
    for fault in checked.faults:
        (fault.detail + fault.serial).encode()


def test_weighings_belong_to_a_registered_scale(make: Any) -> None:
    checked = check(make.message([make.weighing(1), make.weighing(2, "W9")], "weighings"), registry)
    assert checked.accepted == Ranges([(1, 1)])
    assert [(f.reason, f.serial) for f in checked.faults] == [(Reason.UNKNOWN_DEVICE, "W9")]


@pytest.mark.parametrize("error", [NeighbourDownError("records", "gone"), RuntimeError("locked")])
def test_a_dead_registry_is_not_the_messages_fault(make: Any, error: Exception) -> None:
    def dead(serial: str) -> str | None:
        raise error

    with pytest.raises(type(error)):
        check(make.message([make.reading(1)]), dead)


KEY, OTHER_KEY = b"k" * 32, b"o" * 32


def enrolled(*keys: bytes, **more: bool) -> Edges:
    return lambda _site, _edge: Standing(keys, **more)


def test_a_signed_message_of_an_enrolled_edge_is_journaled_with_its_mac(make: Any) -> None:
    message = make.message([make.reading(1)])
    signed = replace(message, payload=sign_json(message.payload, KEY))
    checked = check(signed, registry, enrolled(OTHER_KEY, KEY))
    assert (checked.payload, checked.faults) == (signed.payload, ())


@pytest.mark.parametrize(
    ("edges", "key", "reason"),
    [
        (enrolled(KEY), None, "no_mac"),
        (enrolled(KEY), OTHER_KEY, "bad_mac"),
        (enrolled(KEY, revoked=True), KEY, Reason.EDGE_REVOKED),
        (enrolled(required=True), None, Reason.UNKNOWN_EDGE),
        (enrolled(), None, None),
        (enrolled(), KEY, None),
    ],
)
def test_who_may_not_speak_waits_whole_and_marks_nothing(
    make: Any, edges: Edges, key: bytes | None, reason: str | None
) -> None:
    message = make.message([make.reading(1)])
    if key is not None:
        message = replace(message, payload=sign_json(message.payload, key))
    checked = check(message, registry, edges)
    assert [f.reason for f in checked.faults] == ([reason] if reason else [])
    for fault in checked.faults:
        assert (fault.payload, fault.site, fault.edge) == (message.payload, "SITE1", "E1")
        assert (fault.epoch, fault.seqs, checked.payload) == ("", Ranges(), None)


@CALM
@given(st.data())
def test_a_changed_byte_anywhere_in_a_signed_message_is_never_journaled(make: Any, data: Any) -> None:
    payload = bytearray(sign_json(make.message([make.reading(1), make.reading(2)]).payload, KEY))
    payload[data.draw(st.integers(0, len(payload) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    checked = check(Arrived(TOPIC, bytes(payload), 1 << 42), registry, enrolled(KEY))
    assert checked.payload is None
    assert [f.reason in ("no_mac", "bad_mac") for f in checked.faults] == [True]


@pytest.mark.parametrize("error", [NeighbourDownError("records", "gone"), RuntimeError("locked")])
def test_dead_records_of_edges_are_not_the_messages_fault(make: Any, error: Exception) -> None:
    def dead(site: str, edge: str) -> Standing:
        raise error

    with pytest.raises(type(error)):
        check(make.message([make.reading(1)]), registry, dead)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


COLUMNS = [
    "seq",
    "t_ms",
    "value",
    "quality",
    "device_seq",
    "boottime_ns",
    "wall_ms",
    "id",
    "origin",
    "sync",
    "boot_id",
]
KEYS = ["v", "kind", "edge", "epoch", "ranges", "sent_at", "streams", "items"]


def body_of(stream: dict[str, Any]) -> dict[str, Any]:
    whole = {"v": 1, "kind": "readings", "edge": "E1", "epoch": "e", "ranges": [[1, 2]]}
    return whole | {"sent_at": "2026-11-20T08:00:00.000Z", "streams": [stream]}


@CALM
@given(st.binary(max_size=200))
def test_any_bytes_are_decided_over(payload: bytes) -> None:
    assert check(Arrived(TOPIC, payload, 0), registry).faults


@CALM
@given(st.dictionaries(st.sampled_from(KEYS), JSON))
def test_any_object_is_decided_over(body: dict[str, Any]) -> None:
    payload = json.dumps({"v": 1, "kind": "readings", "edge": "E1"} | body).encode()
    checked = check(Arrived(TOPIC, payload, 0), registry)
    assert checked.faults or checked.payload


@CALM
@given(st.sampled_from([*COLUMNS, "max_error_ms"]), JSON | st.lists(JSON, min_size=2, max_size=2))
def test_any_spoiled_column_is_decided_over(column: str, spoiled: Any) -> None:
    stream = {"id": "T1/temperature_c", "origin": "live", "seq": [1, 2], "t_ms": [1, 2], "value": [5, 6]}
    payload = json.dumps(body_of(stream | {column: spoiled})).encode()
    checked = check(Arrived(TOPIC, payload, 0), registry)
    assert checked.faults or checked.payload


@pytest.mark.parametrize("number", ["1e9999999999999999999", "-1e-9999999999999999999", "9" * 5000, "NaN", "1e400"])
def test_numbers_beyond_all_bounds_wait_in_quarantine(number: str) -> None:
    stream = {"id": "T1/temperature_c", "seq": [1, 2], "t_ms": [1, 2], "value": [4, "HERE"]}
    payload = json.dumps(body_of(stream)).replace('"HERE"', number).encode()
    checked = check(Arrived(TOPIC, payload, 0), registry)
    assert checked.faults
    assert checked.payload is None


@pytest.mark.parametrize("key", ["9" * 5000, "-1", "x", "2"])
def test_a_quality_for_an_entry_that_is_not_there_waits_in_quarantine(key: str) -> None:
    stream = {"id": "T1/temperature_c", "seq": [1, 2], "t_ms": [1, 2], "value": [4, 5], "quality": {key: "good"}}
    checked = check(Arrived(TOPIC, json.dumps(body_of(stream)).encode(), 0), registry)
    assert checked.faults
