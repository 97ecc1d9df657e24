"""From the journal into the store: offsets, kills between the steps, undated readings and their anchors."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.journal import Entry, SqliteJournal
from ingest.config import Config
from ingest.filler import Filler
from ingest.store import Row, SqliteStore
from ingest.undated import FillerState, Source, read_undated
from telemetry.contract import decode_upload, encode_upload
from telemetry.errors import NeighbourDownError
from telemetry.readings import Event, Numbered, Reading, Stamp, Sync, date_by_anchor

S = "T1/temperature_c"


@dataclass
class Bench:
    folder: Path
    quarantine: Any
    config: Config

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.journal = SqliteJournal(self.folder / "journal.db")
        self.store = SqliteStore(self.folder / "store.db")
        self.state = FillerState(self.folder / "store.db")
        self.filler = Filler(self.config, self.journal, self.store, self.state, self.quarantine)
        self.filler.start()

    def put(self, make: Any, facts: Any, kind: str = "readings", *, entry_kind: str = "") -> None:
        payload = encode_upload(make.upload(facts, kind))
        entry = Entry("SITE1", "E1", make.epoch, entry_kind or kind, make.t0 + 5, payload)
        self.journal.append([entry])

    def fill(self) -> None:
        while self.filler.step():
            pass

    def rows(self) -> list[Row]:
        return list(self.store.read(S, 0, 1 << 43).rows)


@pytest.fixture
def bench(tmp_path: Path, quarantine_module: Any) -> Bench:
    return Bench(tmp_path, quarantine_module.SqliteQuarantine(tmp_path / "q.db"), Config())


@pytest.fixture
def undated(make: Any) -> Callable[..., Any]:
    """``undated(seq, boottime_s)``: a reading without a date, taken this long after boot."""

    def reading(seq: int, boottime_s: int, value: str = "5.0", boot_id: str = "boot1") -> Any:
        stamp = Stamp(boot_id, boottime_s * 1_000_000_000, 0, Sync.UNSYNCED)
        return make.reading(seq, value, sampled_at_ms=None, stamp=stamp)

    return reading


@pytest.fixture
def anchor(make: Any) -> Callable[..., Any]:
    """``anchor(seq, boottime_s, utc_ms)``: the clock was set then."""

    def event(seq: int, boottime_s: int, utc_ms: int, boot_id: str = "boot1", sync: Sync = Sync.SYNCED) -> Any:
        stamp = Stamp(boot_id, boottime_s * 1_000_000_000, utc_ms, sync, 40)
        return make.event(seq, "clock_anchored", "E1", sampled_at_ms=utc_ms, stamp=stamp)

    return event


def test_what_is_journaled_is_stored_with_its_stamp_and_source(bench: Bench, make: Any) -> None:
    bench.put(make, [make.reading(1, "4.125", device_seq=9), make.reading(2, None)])
    bench.fill()
    first, second = bench.rows()
    assert (first.seq, first.t_ms, str(first.value), first.device_seq) == (1, make.t0 + 60_000, "4.125", 9)
    assert (first.site, first.edge, first.epoch, first.sync, first.max_error_ms) == (
        "SITE1",
        "E1",
        "epoch1",
        "synced",
        50,
    )
    assert (first.received_at_ms, second.value, second.quality) == (make.t0 + 5, None, "sensor_fault")


def test_hello_events_and_weighings_make_no_rows_and_do_not_stop_it(bench: Bench, make: Any) -> None:
    bench.put(make, [], "hello")
    bench.put(make, [make.event(1, "power_lost", "E1")], "events")
    bench.put(make, [make.weighing(2)], "weighings")
    bench.put(make, [make.reading(3)], entry_kind="import")
    bench.fill()
    assert [r.seq for r in bench.rows()] == [3]
    assert bench.state.offset == bench.journal.last_offset()


def test_a_kill_between_store_and_offset_stores_nothing_twice(bench: Bench, make: Any) -> None:
    bench.put(make, [make.reading(n) for n in range(1, 6)])
    done = bench.state.done
    bench.state.done = lambda offset, rows: (_ for _ in ()).throw(RuntimeError("SIGKILL"))  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        bench.filler.step()
    assert done is not None
    bench.restart()
    bench.fill()
    assert [r.seq for r in bench.rows()] == [1, 2, 3, 4, 5]
    assert bench.filler.counters.duplicates == 5


def test_a_dead_store_keeps_the_offset_where_it_was(bench: Bench, make: Any) -> None:
    bench.put(make, [make.reading(1)])
    append = bench.store.append_columns
    bench.store.append_columns = lambda batches: (_ for _ in ()).throw(NeighbourDownError("store", "gone"))  # type: ignore[method-assign]
    for _ in range(3):
        with pytest.raises(NeighbourDownError):
            bench.filler.step()
    bench.store.append_columns = append  # type: ignore[method-assign]
    bench.fill()
    assert [r.seq for r in bench.rows()] == [1]


class Waits(threading.Event):
    """A stop that remembers how long it was waited on, and comes after the second time."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout or 0.0)
        if len(self.seconds) == 3:
            self.set()
        return self.is_set()


def test_a_database_that_asks_for_time_gets_it(bench: Bench, make: Any) -> None:
    """Retry-After, within reason; without one the setting ``retry_s``."""
    bench.put(make, [make.reading(1)])
    asked = iter([0.0, 30.0, 86_400.0])

    def busy(_: Any) -> Any:
        raise NeighbourDownError("store", "503", retry_after_s=next(asked))

    bench.store.append_columns = busy  # type: ignore[method-assign]
    stop = Waits()
    bench.filler.run(stop)
    assert stop.seconds == [1.0, 30.0, 300.0]


def test_a_step_is_bounded_by_rows(bench: Bench, make: Any) -> None:
    bench.config = replace(bench.config, fill_rows=3)
    bench.restart()
    for n in range(1, 8):
        bench.put(make, [make.reading(n)])
    assert bench.filler.step() == 3
    bench.fill()
    assert len(bench.rows()) == 7


def test_an_entry_that_cannot_be_read_goes_to_quarantine_and_the_next_is_stored(bench: Bench, make: Any) -> None:
    bench.journal.append([Entry("SITE1", "E1", "epoch1", "readings", 1, b"{broken")])
    bench.put(make, [make.reading(1)])
    bench.fill()
    assert [r.seq for r in bench.rows()] == [1]
    ((reason, _, topic, payload, _),) = bench.quarantine.rows()
    assert (reason, topic, payload) == ("not_json", "journal", b"{broken")


def test_a_row_that_the_store_rejects_goes_to_quarantine(
    bench: Bench, make: Any, undated: Callable[..., Any], anchor: Callable[..., Any]
) -> None:
    """An anchor that dates a reading before 1970 dates nothing that can be stored."""
    bench.put(make, [undated(1, 0)])
    bench.put(make, [anchor(2, 100, 50_000)], "events")
    bench.fill()
    assert bench.rows() == []
    assert [(r[0], r[1]) for r in bench.quarantine.rows()] == [("store_rejected", f"{S}: bad_time")]


def test_a_new_journal_is_read_from_its_beginning(bench: Bench, make: Any) -> None:
    for n in (1, 2, 3):
        bench.put(make, [make.reading(n)])
    bench.fill()
    for name in ("journal.db", "journal.db-wal", "journal.db-shm"):
        (bench.folder / name).unlink(missing_ok=True)
    bench.restart()
    bench.put(make, [make.reading(4)])
    bench.fill()
    assert [r.seq for r in bench.rows()] == [1, 2, 3, 4]


def test_a_lost_store_is_filled_anew_with_the_same_rows_and_dates(
    bench: Bench, make: Any, undated: Callable[..., Any], anchor: Callable[..., Any]
) -> None:
    bench.put(make, [undated(1, 10), make.reading(2)])
    bench.put(make, [anchor(3, 100, make.t0)], "events")
    bench.fill()
    before = bench.rows()
    bench.store.close()
    bench.state.close()
    for name in ("store.db", "store.db-wal", "store.db-shm"):
        (bench.folder / name).unlink(missing_ok=True)
    bench.restart()
    bench.fill()
    assert len(before) == 2
    assert bench.rows() == before


# --- undated readings (design.md promise 8) ----------------------------------------------------------------------


def test_undated_readings_wait_in_a_table_of_their_own(bench: Bench, make: Any, undated: Callable[..., Any]) -> None:
    bench.put(make, [undated(1, 10), undated(2, 20), make.reading(3)])
    bench.fill()
    assert [r.seq for r in bench.rows()] == [3]
    ((site, edge, waiting),) = [(c.site, c.edge, c.waiting) for c in read_undated(bench.folder / "store.db")]
    assert (site, edge, waiting) == ("SITE1", "E1", 2)


def test_an_anchor_of_the_same_boot_dates_those_before_and_after_it(
    bench: Bench, make: Any, undated: Callable[..., Any], anchor: Callable[..., Any]
) -> None:
    """utc = anchor + boot time difference; the raw stamp is not rewritten."""
    bench.put(make, [undated(1, 10), undated(2, 20, boot_id="other")])
    bench.put(make, [anchor(3, 100, make.t0)], "events")
    bench.put(make, [undated(4, 130)])
    bench.fill()
    assert [(r.seq, r.t_ms - make.t0, r.sync) for r in bench.rows()] == [
        (1, -90_000, "unsynced"),
        (4, 30_000, "unsynced"),
    ]
    assert [c.waiting for c in read_undated(bench.folder / "store.db")] == [1]


def test_the_nearest_of_several_anchors_dates_and_a_date_never_moves(
    bench: Bench, make: Any, undated: Callable[..., Any], anchor: Callable[..., Any]
) -> None:
    """The second anchor says that the clock had drifted 2 s; what was dated before keeps its key."""
    early = [undated(1, 10)]
    bench.put(make, early)
    bench.put(make, [anchor(2, 100, make.t0)], "events")
    bench.fill()
    bench.put(make, [anchor(3, 200, make.t0 + 102_000)], "events")
    bench.put(make, [undated(4, 190), undated(5, 110)])
    bench.put(make, early)  # comes again
    bench.fill()
    assert [(r.seq, r.t_ms - make.t0) for r in bench.rows()] == [(1, -90_000), (5, 10_000), (4, 92_000)]


def test_an_anchor_of_an_unsynced_clock_dates_nothing(
    bench: Bench, make: Any, undated: Callable[..., Any], anchor: Callable[..., Any]
) -> None:
    bench.put(make, [undated(1, 10)])
    bench.put(make, [anchor(2, 100, make.t0, sync=Sync.UNSYNCED)], "events")
    bench.fill()
    assert bench.rows() == []


@pytest.mark.parametrize("where", ["learn", "store", "done"])
def test_a_kill_between_any_two_steps_of_dating_loses_and_doubles_nothing(
    bench: Bench, make: Any, undated: Callable[..., Any], anchor: Callable[..., Any], where: str
) -> None:
    bench.put(make, [undated(1, 10), make.reading(2)])
    bench.put(make, [anchor(3, 100, make.t0)], "events")
    bench.put(make, [undated(4, 110)])

    def kill(*_: Any) -> Any:
        raise RuntimeError("SIGKILL")

    if where == "learn":
        bench.state.learn = kill  # type: ignore[method-assign]
    elif where == "store":
        bench.store.append_columns = kill  # type: ignore[method-assign]
    else:
        bench.state.done = kill  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        bench.filler.step()
    bench.restart()
    bench.put(make, [anchor(5, 111, make.t0 + 99_000)], "events")  # known now, must not redate
    bench.fill()
    dates = {r.seq: r.t_ms - make.t0 for r in bench.rows()}
    assert dates[1] == -90_000
    assert dates[4] == 10_000  # journal order decides, not where the batch was cut
    assert sorted(r.seq for r in bench.rows()) == [1, 2, 4]


def test_a_boot_id_may_hold_any_text(
    bench: Bench, make: Any, undated: Callable[..., Any], anchor: Callable[..., Any]
) -> None:
    bench.put(make, [undated(1, 10, boot_id="\x00ä'\u2028")])
    bench.put(make, [anchor(2, 11, make.t0, boot_id="\x00ä'\u2028")], "events")
    bench.fill()
    assert [r.t_ms - make.t0 for r in bench.rows()] == [-1000]


@given(
    st.lists(
        st.tuples(st.sampled_from(["reading", "anchor"]), st.integers(0, 40), st.integers(0, 2_500_000)),
        min_size=1,
        max_size=25,
    ),
    st.integers(1, 25),
)
@settings(max_examples=60, deadline=None)
def test_dating_is_by_journal_order_whatever_the_cut(facts: list[tuple[str, int, int]], cut: int) -> None:
    """Against the rule as it reads: at each fact, date all that wait by the nearest anchor known (docs/contract.md)."""
    with tempfile.TemporaryDirectory() as folder:
        state = FillerState(Path(folder) / "f.db")
        source = Source("SITE1", "E1", "epoch1", 5)
        numbered, expected, anchors, waiting = [], {}, {}, {}
        for seq, (kind, at_s, ns) in enumerate(facts):
            at_ns, utc_ms = at_s * 10**9 + ns, 1_000_000 + at_s * 1_001 + seq
            stamp = Stamp("boot1", at_ns, utc_ms, Sync.SYNCED)
            if kind == "anchor":
                numbered.append(Numbered(seq, Event("clock_anchored", "E1", utc_ms, stamp)))
                anchors.setdefault(at_ns, utc_ms)
            else:
                numbered.append(Numbered(seq, Reading(S, Decimal(1), None, stamp)))
                waiting[seq] = at_ns
            for n, t in list(waiting.items()) if anchors else ():
                nearest = min(anchors, key=lambda a: (abs(a - t), a))
                expected[n] = date_by_anchor(anchors[nearest], nearest, waiting.pop(n))
        found: dict[int, int] = {}
        for start in range(0, len(numbered), cut):
            rows = state.learn([(source, n) for n in numbered[start : start + cut]], 3)
            while rows:
                found |= {r.seq: r.t_ms for r in rows}
                state.done(start, rows)
                rows = state.learn([], 3)
        assert found == expected
        state.close()


def test_very_many_undated_readings_of_one_boot_are_dated_by_one_anchor(
    bench: Bench, make: Any, undated: Callable[..., Any], anchor: Callable[..., Any]
) -> None:
    """Work grows with the readings and not with their square: here 20,000, in well under the test's time-out."""
    for start in range(1, 20_000, 500):
        bench.put(make, [undated(n, n) for n in range(start, start + 500)])
    bench.put(make, [anchor(20_001, 30_000, make.t0)], "events")
    bench.put(make, [undated(20_002, 30_001)])
    bench.fill()
    assert bench.store.count(S) == 20_001
    assert read_undated(bench.folder / "store.db") == []


@pytest.mark.parametrize(
    ("anchor_ns", "reading_ns", "expected"), [(0, 0, 1000), (0, 1_999_999, 1001), (1_000_000, 0, 999), (1, 0, 999)]
)
def test_dates_are_whole_milliseconds_rounded_down(anchor_ns: int, reading_ns: int, expected: int) -> None:
    assert date_by_anchor(1000, anchor_ns, reading_ns) == expected


def test_a_reading_that_a_copied_outbox_dates_once_more_keeps_its_first_date(
    bench: Bench, make: Any, undated: Callable[..., Any], anchor: Callable[..., Any]
) -> None:
    """Found by the kill campaign (seed 916393): a cloned edge dated the same reading a millisecond apart, and it stood
    twice. One boot, one boot time and one stream are one live reading, whatever its number and epoch."""
    bench.put(make, [anchor(1, 100, make.t0)], "events")
    bench.put(make, [undated(2, 40)])
    bench.fill()
    (first,) = bench.rows()
    twin = replace(undated(9, 40).fact, sampled_at_ms=first.t_ms + 1)
    make.epoch = "epoch2"
    bench.put(make, [Numbered(1, twin)])
    bench.fill()
    assert [row.t_ms for row in bench.rows()] == [first.t_ms]


@pytest.mark.parametrize("together", [True, False])
def test_another_undated_reading_under_a_number_that_waits_is_not_lost(
    bench: Bench, make: Any, undated: Callable[..., Any], anchor: Callable[..., Any], together: bool
) -> None:
    """Two Pis of one card, and a repeat that could not be compared when it came (the journal forgot the first)."""
    for facts in ([undated(1, 10, "5.0")], [undated(1, 10, "9.0")], [undated(1, 10, "5.0")]):
        bench.put(make, facts)
        if not together:
            bench.fill()
    bench.put(make, [anchor(3, 100, make.t0)], "events")
    bench.fill()
    bench.state.start_over()  # a lost store: nothing waits twice
    bench.fill()
    assert [row.value for row in bench.rows()] == [Decimal("5.0")]
    ((reason, _, _, payload, _),) = bench.quarantine.rows()
    (kept,) = decode_upload(payload).facts
    assert (reason, kept.seq, kept.fact.value) == ("number_conflict", 1, Decimal("9.0"))


@pytest.mark.parametrize("together", [True, False])
def test_a_reading_that_waits_undated_takes_the_date_its_edge_found_meanwhile(
    bench: Bench, make: Any, undated: Callable[..., Any], together: bool
) -> None:
    waiting = undated(2, 40)
    found = Numbered(3, replace(waiting.fact, sampled_at_ms=make.t0 + 7))
    if together:
        bench.put(make, [waiting, found])
    else:
        bench.put(make, [waiting])
        bench.fill()
        assert not bench.rows()
        bench.put(make, [found])
    bench.fill()
    assert [row.t_ms for row in bench.rows()] == [make.t0 + 7]
    assert not read_undated(bench.folder / "store.db")


def test_readings_of_one_instant_and_other_streams_or_values_are_not_the_same(
    bench: Bench, make: Any, undated: Callable[..., Any], anchor: Callable[..., Any]
) -> None:
    bench.put(make, [anchor(1, 100, make.t0)], "events")
    other = undated(4, 40)
    bench.put(
        make, [undated(2, 40), undated(3, 41), Numbered(4, replace(other.fact, stream_id="T1/humidity_percent"))]
    )
    bench.fill()
    assert len(bench.rows()) == 2
    assert bench.store.count("T1/humidity_percent") == 1
