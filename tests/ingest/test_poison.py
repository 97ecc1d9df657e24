"""Whatever arrives, the line goes on: what is good is journaled, the rest waits with its reason or is counted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest import check as checking
from ingest.check import Arrived
from ingest.epochs import EpochKey
from ingest.flood import BURST, MAX_KEYS, REFILL_MS, Flood
from telemetry.contract import Encoding, decode_upload, encode_upload
from telemetry.readings import Ranges

TOPIC = "smile-iot/v1/s1/SITE1/E1/up"
LEVELS = st.text(max_size=8) | st.sampled_from(
    ["smile-iot", "v1", "s1", "SITE1", "E1", "up", "readings", "hello", "+", "#"]
)
TOPICS = (
    st.text(max_size=60)
    | st.lists(LEVELS, min_size=7, max_size=7).map("/".join)
    | st.sampled_from(["readings", "events", "weighings", "hello"]).map(lambda kind: f"{TOPIC}/{kind}")
)
CALM = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@st.composite
def spoiled(draw: st.DrawFn, bodies: list[bytes]) -> bytes:
    """Random bytes, or a good message cut, changed or with bytes put in."""
    kind = draw(st.sampled_from(["random", "cut", "changed", "put in"]))
    body = draw(st.sampled_from(bodies))
    at = draw(st.integers(0, len(body)))
    noise = draw(st.binary(max_size=12))
    return {"random": noise, "cut": body[:at], "changed": body[:at] + noise + body[at + len(noise) :],
            "put in": body[:at] + noise + body[at:]}[kind]  # fmt: skip


def bodies_of(make: Any) -> list[bytes]:
    readings = make.upload([make.reading(90 + n) for n in range(4)])
    event = make.upload([make.event(80, "power_lost", "E1")], "events")
    weighing = make.upload([make.weighing(81)], "weighings")
    hello = make.upload((), "hello", info={"numbered_to": 9, "produced": {"T1/temperature_c": 2}})
    compact = encode_upload(readings, encoding=Encoding.COMPACT)
    return [*(encode_upload(u) for u in (readings, event, weighing, hello)), compact]


@CALM
@given(st.data())
def test_good_messages_among_any_others_are_journaled(pipeline: Any, make: Any, data: Any) -> None:
    bodies = bodies_of(make)
    count = data.draw(st.integers(1, 6))
    poison = [Arrived(data.draw(TOPICS), data.draw(spoiled(bodies)), make.t0) for _ in range(count)]
    seq = len(pipeline.ledger.state(EpochKey("SITE1", "E1", "good")).have) + 1
    make.epoch = "good"
    good = make.message([make.reading(seq)])
    make.epoch = "epoch1"
    batch = data.draw(st.permutations([good, *poison]))
    pipeline.intake.take(batch)
    assert seq in pipeline.ledger.state(EpochKey("SITE1", "E1", "good")).have
    for _, entry in pipeline.journal.after(0, 100_000):
        decode_upload(entry.payload)  # nothing is journaled that cannot be read


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("a fault of ours"),
        RecursionError(),
        MemoryError(),
        KeyError("x"),
        AssertionError(),
        OverflowError(),
    ],
)
def test_a_decoder_that_raises_anything_stops_nothing(
    pipeline: Any, make: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    decode = checking.decode_readings

    def faulty(payload: bytes) -> Any:
        if b'"seq":[2]' in payload:
            raise error
        return decode(payload)

    monkeypatch.setattr(checking, "decode_readings", faulty)
    pipeline.intake.take([make.message([make.reading(n)]) for n in (1, 2, 3)])
    assert pipeline.ledger.state(EpochKey("SITE1", "E1", "epoch1")).have == Ranges([(1, 1), (3, 3)])
    (row,) = pipeline.quarantine.rows()
    assert row[0] == "decoder_fault"
    assert pipeline.intake.counters.reasons == {"decoder_fault": 1}


def test_poison_that_comes_for_ever_is_counted_and_not_kept_for_ever(pipeline: Any, make: Any) -> None:
    body = json.loads(make.message([make.reading(1), make.reading(2)]).payload)
    body["streams"][0]["value"] = [999, 999]
    for n in range(2 * BURST):
        body["sent_at"] = f"2026-11-20T08:{n // 60:02d}:{n % 60:02d}.000Z"
        pipeline.intake.take([Arrived(f"{TOPIC}/readings", json.dumps(body).encode(), make.t0 + n)])
    assert len(pipeline.quarantine.rows()) == BURST
    assert pipeline.intake.counters.not_kept == BURST
    single = json.loads(make.message([make.reading(3)]).payload)
    single["streams"][0]["value"] = [999]
    pipeline.intake.take([Arrived(f"{TOPIC}/readings", json.dumps(single).encode(), make.t0)])
    assert pipeline.ledger.state(EpochKey("SITE1", "E1", "epoch1")).quarantined == Ranges([(3, 3)])
    assert len(pipeline.quarantine.rows()) == BURST + 1


def test_the_flood_gate_fills_again_slowly_and_is_bounded() -> None:
    flood = Flood()
    assert sum(flood.keeps("S", "E", "bad_mac", 0) for _ in range(3 * BURST)) == BURST
    assert flood.keeps("S", "E", "not_json", 0)
    assert [flood.keeps("S", "E", "bad_mac", t) for t in (REFILL_MS - 1, REFILL_MS, REFILL_MS)] == [
        False,
        True,
        False,
    ]
    assert not flood.keeps("S", "E", "bad_mac", 0)  # a clock that goes back gives nothing
    for n in range(2 * MAX_KEYS):
        flood.keeps("S", str(n), "bad_mac", 0)
    assert len(flood._left) == MAX_KEYS
