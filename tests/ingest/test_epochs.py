"""What the ledger says of one epoch: per stream, late, lost, thinned, and why something is missing."""

from __future__ import annotations

from typing import Any

import pytest

from ingest.epochs import (
    LATE_MS,
    MAX_REASONS,
    MAX_STREAMS,
    SILENT_MS,
    Absent,
    Cause,
    Change,
    EpochKey,
    EpochState,
    absences,
    apply,
    change_of,
    current_of,
    summaries,
)
from telemetry.columns import ReadingsUpload, columns_of
from telemetry.contract import Upload
from telemetry.readings import Ranges

KEY = EpochKey("SITE1", "E1", "epoch1")


def columns(upload: Upload) -> ReadingsUpload:
    return ReadingsUpload(upload.edge, upload.epoch, upload.sent_at_ms, columns_of(upload.facts), upload.ranges)


def summary(*changes: Change) -> Any:
    state = EpochState()
    for change in changes:
        apply(state, change)
    return summaries({KEY: state})[0]


def hello(make: Any, at_ms: int = 0, **info: Any) -> Change:
    return change_of(KEY, make.upload((), "hello", info=info), at_ms)


@pytest.mark.parametrize("as_columns", [True, False])
def test_late_is_received_more_than_15_minutes_after_it_was_sampled(make: Any, as_columns: bool) -> None:
    t0 = make.t0
    facts = [make.reading(n, sampled_at_ms=t) for n, t in enumerate((t0, t0 + 1, t0 + LATE_MS, None), 1)]
    upload = make.upload(facts)
    line = summary(change_of(KEY, columns(upload) if as_columns else upload, t0 + LATE_MS + 1))
    assert (line.late, line.worst_late_ms, line.undated) == (1, LATE_MS + 1, 1)
    (stream,) = line.streams
    assert (stream.stream_id, stream.received, stream.newest_ms) == ("T1/temperature_c", 4, t0 + LATE_MS)


def test_a_number_that_comes_again_is_counted_in_no_stream_twice(make: Any) -> None:
    upload = columns(make.upload([make.reading(1), make.reading(2), make.reading(3)]))
    line = summary(
        change_of(KEY, columns(make.upload([make.reading(1)])), make.t0),
        change_of(KEY, upload, make.t0, known=Ranges([(1, 1)])),
    )
    assert line.streams[0].received == line.received == 3


def test_what_the_edge_produced_stands_beside_what_is_here(make: Any) -> None:
    upload = columns(make.upload([make.reading(1), make.reading(2, stream="T2/temperature_c")]))
    thinned = make.event(9, "readings_thinned", "E1", detail={"ranges": "[[3,4]]", "stream": "T1/temperature_c"})
    line = summary(
        change_of(KEY, upload, make.t0),
        change_of(KEY, make.upload([thinned], "events"), make.t0),
        hello(make, produced={"T1/temperature_c": 5, "T2/temperature_c": 1}, numbered_to=9),
    )
    rows = {s.stream_id: (s.produced, s.received, s.thinned, s.not_here) for s in line.streams}
    assert rows == {"T1/temperature_c": (5, 1, 2, 2), "T2/temperature_c": (1, 1, 0, 0)}


@pytest.mark.parametrize(
    "said",
    [
        {"produced": 7, "lost": 3, "wire_bytes": "x"},
        {"produced": {"a": True, "b": -1, "c": "9"}, "lost": "[[9,1]]", "wire_bytes": True},
        {"produced": [1], "lost": {"why": [["a", "b"]]}, "wire_bytes": -4},
        {"machine": 5, "epoch_reason": None, "previous_epoch": ["x"]},
    ],
)
def test_a_hello_that_says_nonsense_is_not_believed(make: Any, said: dict[str, Any]) -> None:
    line = summary(hello(make, **said))
    assert (line.numbered_to, line.wire_bytes, dict(line.lost)) == (0, 0, {})
    assert all(s.produced == 0 for s in line.streams)


def test_what_an_edge_makes_us_keep_is_bounded(make: Any) -> None:
    produced = {f"T{n}/temperature_c": 1 for n in range(2 * MAX_STREAMS)}
    lost = {f"r{n}": f"[[{n},{n}]]" for n in range(1, 50)}
    line = summary(*[hello(make, produced=produced, lost=lost) for _ in range(3)])
    assert len(line.streams) == MAX_STREAMS
    assert len(line.lost) <= MAX_REASONS + 1


def test_lost_at_the_edge_is_no_longer_missing_and_says_why(make: Any) -> None:
    lost = make.event(9, "numbers_lost", "E1", detail={"ranges": "[[3,5]]", "reason": "corrupt_file"})
    line = summary(
        change_of(KEY, columns(make.upload([make.reading(1), make.reading(4)])), make.t0),
        change_of(KEY, make.upload([lost], "events"), make.t0),
        hello(make, lost={"quota": "[[6,6]]"}),
    )
    assert {reason: r.to_lists() for reason, r in line.lost.items()} == {
        "corrupt_file": [[3, 3], [5, 5]],
        "quota": [[6, 6]],
    }
    assert line.missing == Ranges([(2, 2), (7, 8)])


def test_an_event_that_outlived_its_epoch_speaks_of_that_epochs_numbers(make: Any) -> None:
    """A salvaged or renewed outbox sends what it could not send before, under new numbers."""
    detail = {"ranges": "[[3,5]]", "reason": "corrupt_file", "epoch": "old"}
    events = [
        make.event(1, "numbers_lost", "E1", detail=detail),
        make.event(2, "readings_thinned", "E1", detail=detail | {"ranges": "[[7,8]]", "stream": "T1/temperature_c"}),
    ]
    change = change_of(KEY, make.upload(events, "events"), make.t0)
    assert (change.thinned, change.lost) == (Ranges(), {})
    (earlier,) = change.elsewhere
    assert (earlier.key, earlier.numbered_to) == (KEY._replace(epoch="old"), 8)
    assert (earlier.thinned, earlier.lost) == (Ranges([(7, 8)]), {"corrupt_file": Ranges([(3, 5)])})
    said = hello(make, lost={"corrupt_file": "[[3,5]]"}, lost_epoch="old")
    assert said.info is not None
    assert (dict(said.info.lost), said.elsewhere[0].lost) == ({}, {"corrupt_file": Ranges([(3, 5)])})


def test_every_number_is_in_exactly_one_place(make: Any) -> None:
    thinned = make.event(9, "readings_thinned", "E1", detail={"ranges": "[[1,4]]"})
    line = summary(
        change_of(KEY, columns(make.upload([make.reading(1)])), make.t0),
        Change(KEY, 0, quarantined=Ranges([(2, 2)])),
        change_of(KEY, make.upload([thinned], "events"), make.t0),
        hello(make, lost="[[1,6]]", numbered_to=12),
    )
    counts = (line.received, line.quarantined, line.thinned, line.lost_count, len(line.missing))
    assert counts == (2, 1, 2, 2, 5)
    assert sum(counts) == line.numbered_to


@pytest.mark.parametrize(
    ("current", "age_ms", "cause"),
    [
        (True, 0, Cause.ASKED_FOR),
        (True, SILENT_MS, Cause.ASKED_FOR),
        (True, SILENT_MS + 1, Cause.SILENT),
        (False, 0, Cause.EPOCH_ENDED),
    ],
)
def test_what_is_missing_has_a_cause(make: Any, current: bool, age_ms: int, cause: Cause) -> None:
    state = EpochState("s1", 5, Ranges([(1, 2)]), Ranges([(3, 3)]), last_seen_ms=1_000)
    state.lost["corrupt_file"] = Ranges([(4, 4)])
    newer = EpochState("s1", 1, Ranges([(1, 1)]), last_seen_ms=1_001, hello_ms=1_001)
    states = {KEY: state} if current else {KEY: state, KEY._replace(epoch="later"): newer}
    (line,) = [x for x in summaries(states) if x.epoch == KEY.epoch]
    assert absences(line, 1_000 + age_ms) == [
        Absent(Cause.LOST, 1, Ranges([(4, 4)]), "corrupt_file"),
        Absent(cause, 1, Ranges([(5, 5)])),
        Absent(Cause.QUARANTINE, 1, Ranges()),
    ]


def test_an_epoch_whose_hello_went_with_a_restored_journal_is_the_one_the_edge_lives_in() -> None:
    """Else nobody asks for what it lacks until the edge's next hello (found by simulation, seed 700030)."""
    old, now = KEY, KEY._replace(epoch="now")
    states = {
        old: EpochState("s1", 9, hello_ms=1_000, last_seen_ms=1_500),
        now: EpochState("s1", 9, last_seen_ms=2_000),
    }
    assert current_of(states) == [now]
    states[old].hello_ms = 3_000  # it came back
    assert current_of(states) == [old]
