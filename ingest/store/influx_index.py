"""The writer's own memory beside InfluxDB: how far each stream goes, which device numbers and windows are there.

InfluxDB overwrites silently: the same series and time replaces what stood there. So "duplicate, conflict or new?" is
answered before anything is written (``docs/decisions/0018-store-once.md``):

    raise the marks (one commit) ─▶ InfluxDB ─▶ settle (only new windows and device numbers; one commit)

A mark is raised *before* its rows are written, so whatever may be in the database lies below it and is compared with
the database itself when it comes again. A kill between the steps therefore costs a question and nothing else. The marks
of live readings wait for no disk, which is what a reading waits longest for: a kill keeps them, and a power cut is known
by the machine's boot id, which the file says until it is closed. Then the database is asked how far each stream goes. Device
numbers are compared here, for a number may come again with any time; the span in which some were being written is
kept until they are settled, and read back after a kill. All of it can be rebuilt from the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ingest.sqlite_file import SqliteFile
from ingest.store import stream_ids
from ingest.store.express import Span
from ingest.store.identity import Fresh
from ingest.store.line_protocol import WINDOW_MS
from ingest.store.model import Row, Said, thousandths
from ingest.store.stream_ids import StreamIds
from telemetry.errors import NeighbourDownError
from telemetry.readings import Quality

# The tables of decision 0003 are not read: what they knew is asked of the database.
_SCHEMA = """
DROP TABLE IF EXISTS identities;
DROP TABLE IF EXISTS intent;
DROP TABLE IF EXISTS windows;
CREATE TABLE IF NOT EXISTS rebuilt(id INTEGER PRIMARY KEY CHECK(id = 1));
CREATE TABLE IF NOT EXISTS opened(id INTEGER PRIMARY KEY CHECK(id = 1), boot_id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS marks(
  stream INTEGER PRIMARY KEY, t_ms INTEGER, number INTEGER, numbered_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS numbers(
  stream INTEGER NOT NULL, number INTEGER NOT NULL, variant INTEGER NOT NULL, value INTEGER, quality TEXT NOT NULL,
  t_ms INTEGER NOT NULL, slot INTEGER NOT NULL, PRIMARY KEY(stream, number, variant)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS numbers_by_place ON numbers(stream, t_ms, variant, slot);
CREATE TABLE IF NOT EXISTS unsure(stream INTEGER NOT NULL, from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS known_windows(
  stream INTEGER NOT NULL, site TEXT NOT NULL, window INTEGER NOT NULL, PRIMARY KEY(stream, site, window))
  WITHOUT ROWID;
"""
_MAX_KNOWN_WINDOWS = 200_000


class Place(NamedTuple):
    """How far a stream goes. ``t_ms`` and ``number`` None: lost with the file, ask the database.

    ``numbered_ms`` is the latest time of a row with a device number.
    """

    t_ms: int | None = -1
    number: int | None = -1
    numbered_ms: int = -1

    def raised(self, t_ms: int) -> Place:
        """After rows without device numbers up to ``t_ms``."""
        known_ms, number, numbered_ms = self
        return Place(max(known_ms or 0, t_ms), number, numbered_ms)

    def raised_by_number(self, t_ms: int, number: int) -> Place:
        """After rows with device numbers up to ``number``, the latest at ``t_ms``."""
        return self._replace(number=max(self.number or 0, number), numbered_ms=max(self.numbered_ms, t_ms))


_NOWHERE = Place()


class Window(NamedTuple):
    """A stream has rows in this span of 72 h."""

    site: str
    stream_id: str
    number: int


@dataclass(slots=True)
class Numbered:
    """New readings with device numbers, the slot that each was given, and the places that the server refused."""

    fresh: Fresh
    slots: list[int]
    refused: set[int] = field(default_factory=set)


class InfluxIndex(SqliteFile):
    """One SQLite file of the one writer. ``boot_id`` is that of the running machine."""

    def __init__(self, path: str | Path, boot_id: str) -> None:
        super().__init__("store", path, stream_ids.SCHEMA + _SCHEMA)
        with self._told, self._transaction():
            (closed_or_same,) = self._db.execute(
                "SELECT coalesce(max(boot_id IN ('', ?)), TRUE) FROM opened", (boot_id,)
            ).fetchone()
            if not closed_or_same:
                self._db.execute("UPDATE marks SET t_ms = NULL")
            self._db.execute("INSERT OR REPLACE INTO opened VALUES (1, ?)", (boot_id,))
        self._streams = StreamIds(self._db)
        self._windows: set[Window] = set()
        self.spans: dict[str, Span] = {}
        """Of each stream a window that readers were told of, the last one that was looked for."""
        self.latest: dict[str, int] = {}
        """The latest time of rows without a device number, of the streams that were written or looked for."""
        self._places: dict[str, Place] | None = None
        with self._told:
            self.is_new = self._db.execute("SELECT 1 FROM rebuilt").fetchone() is None
            self._is_sure = self._db.execute("SELECT 1 FROM unsure").fetchone() is None

    def close(self) -> None:
        # Waits for all that did not wait. Where the disk fails, it is as after a power cut.
        with suppress(NeighbourDownError), self._told, self._transaction():
            self._db.execute("UPDATE opened SET boot_id = ''")
        super().close()

    def place(self, stream_id: str) -> Place:
        return self._known_places().get(stream_id, Place())

    # --- rebuild ----------------------------------------------------------------------------------------------

    def begin(self, windows: Iterable[Window]) -> None:
        """A new file beside a database that may hold rows: all its windows, every stream's place not known yet."""
        with self._changing():
            for window in windows:
                self._keep_window(window)
                self._set(window.stream_id, Place(None, None))
            self._db.execute("INSERT OR IGNORE INTO rebuilt VALUES (1)")
        self.is_new = False

    def found_time(self, stream_id: str, t_ms: int) -> None:
        """The latest time that the database holds of a stream."""
        with self._changing():
            self._set(stream_id, self.place(stream_id)._replace(t_ms=t_ms))

    def learn_numbers(self, rows: Iterable[tuple[Row, int]]) -> None:
        """Rows with device numbers, and their slots, as the database holds them."""
        with self._changing():
            for row, slot in rows:
                stream = self._streams.make(row.stream_id)
                content = (thousandths(row.value), row.quality.value)
                self._db.execute(
                    "INSERT OR IGNORE INTO numbers VALUES (?,?,?,?,?,?,?)",
                    (stream, row.device_seq, row.variant, *content, row.t_ms, slot),
                )

    def found_numbers(self, stream_id: str) -> None:
        """All numbers of a stream have been learnt."""
        with self._changing():
            query = "SELECT max(number), max(t_ms) FROM numbers WHERE stream = ?"
            number, t_ms = self._db.execute(query, (self._streams.make(stream_id),)).fetchone()
            place = self.place(stream_id)
            known = (-1, -1) if number is None else (number, t_ms)
            self._set(stream_id, Place(place.t_ms, known[0], known[1]))

    def unsure(self) -> list[tuple[str, int, int]]:
        """(stream, from, to inclusive): a killed run may have written numbers there that are not settled."""
        if self._is_sure:
            return []
        with self._told:
            query = "SELECT s.name, u.from_ms, u.to_ms FROM unsure u JOIN streams s ON s.id = u.stream"
            return [(str(name), int(low), int(high)) for name, low, high in self._db.execute(query)]

    def sure(self) -> None:
        """Every unsure span has been read back."""
        with self._changing():
            self._db.execute("DELETE FROM unsure")
        self._is_sure = True

    # --- ask --------------------------------------------------------------------------------------------------

    def at_numbers(self, stream_id: str, numbers: Sequence[int]) -> Mapping[int, list[Said]]:
        query = "SELECT value, quality FROM numbers WHERE stream = ? AND number = ? ORDER BY variant"
        with self._told:
            stream = self._streams.find(stream_id)
            return {n: [(v, Quality(q)) for v, q in self._db.execute(query, (stream, n))] for n in numbers}

    def slots(self, fresh: Sequence[Fresh]) -> list[Numbered]:
        """Two device numbers at one time would be one point in InfluxDB; the second gets a slot of its own.

        Rows without a number stand in slot 0, those with one from 1 on: so no order of arrival brings them together.
        """
        taken: dict[tuple[str, int, int], int] = {}
        given: list[Numbered] = []
        for one in fresh:
            if one.batch.device_seq is None:
                continue
            slots = []
            for i, t_ms in enumerate(one.batch.t_ms):
                key = (one.batch.stream_id, t_ms, one.variant(i))
                if key not in taken:
                    taken[key] = self._highest_slot(*key)
                taken[key] += 1
                slots.append(taken[key])
            given.append(Numbered(one, slots))
        return given

    def _highest_slot(self, stream_id: str, t_ms: int, variant: int) -> int:
        if t_ms > self.place(stream_id).numbered_ms:
            return 0
        query = "SELECT max(slot) FROM numbers WHERE stream = ? AND t_ms = ? AND variant = ?"
        with self._told:
            found = self._db.execute(query, (self._streams.find(stream_id), t_ms, variant)).fetchone()[0]
        return int(found or 0)

    def unknown(self, windows: Iterable[Window]) -> list[Window]:
        """Those that readers have not been told of."""
        return [w for w in windows if w not in self._windows and not self._has_window(w)]

    def _has_window(self, window: Window) -> bool:
        query = "SELECT 1 FROM known_windows WHERE (stream, site, window) = (?,?,?)"
        with self._told:
            stream = self._streams.find(window.stream_id)
            found = self._db.execute(query, (stream, window.site, window.number)).fetchone() is not None
        if found:
            self._remember(window)
        return found

    # --- write ------------------------------------------------------------------------------------------------

    def raise_times(self, latest: Mapping[str, int]) -> None:
        """Before writing: no row without a device number will be later than these. Safe from a kill at return."""
        known = self._known_places()
        with self._changing(self._unhurried()):
            self._set_all({name: known.get(name, _NOWHERE).raised(t_ms) for name, t_ms in latest.items()})

    def raise_marks(self, fresh: Sequence[Fresh], numbered: Sequence[Numbered]) -> None:
        """Before writing: nothing of a stream will lie beyond these. On disk at return."""
        latest: dict[str, int] = {}
        with_numbers: dict[str, tuple[int, int]] = {}
        for one in fresh:
            name, numbers = one.batch.stream_id, one.batch.device_seq
            if numbers is None:
                if one.last_ms > latest.get(name, -1):
                    latest[name] = one.last_ms
            else:
                t_ms, number = with_numbers.get(name, (-1, -1))
                with_numbers[name] = (max(t_ms, one.last_ms), max(number, *numbers))
        known = self._known_places()
        places = {name: known.get(name, _NOWHERE).raised(t_ms) for name, t_ms in latest.items()}
        for name, (t_ms, number) in with_numbers.items():
            place = places.get(name) or self.place(name)
            places[name] = place.raised_by_number(t_ms, number)
        changed = {name: place for name, place in places.items() if place != known.get(name)}
        self._is_sure = self._is_sure and not numbered
        with self._changing():
            self._set_all(changed)
            self._db.executemany(
                "INSERT INTO unsure VALUES (?,?,?)",
                [(self._streams.make(n.fresh.batch.stream_id), n.fresh.first_ms, n.fresh.last_ms) for n in numbered],
            )

    def settle(self, windows: Sequence[Window], numbered: Sequence[Numbered]) -> None:
        """InfluxDB has these now, but for the numbered readings marked as refused."""
        if not windows and not numbered:
            return
        with self._changing():
            for window in windows:
                self._keep_window(window)
            for one in numbered:
                self._keep_numbers(one)
            self._db.execute("DELETE FROM unsure")
        self._is_sure = True

    def _keep_numbers(self, numbered: Numbered) -> None:
        batch, numbers = numbered.fresh.batch, numbered.fresh.batch.device_seq or []
        stream = self._streams.make(batch.stream_id)
        self._db.executemany(
            "INSERT OR IGNORE INTO numbers VALUES (?,?,?,?,?,?,?)",
            [
                (stream, number, numbered.fresh.variant(i), *batch.said(i), batch.t_ms[i], numbered.slots[i])
                for i, number in enumerate(numbers)
                if i not in numbered.refused
            ],
        )

    def _keep_window(self, window: Window) -> None:
        stream = self._streams.make(window.stream_id)
        self._db.execute("INSERT OR IGNORE INTO known_windows VALUES (?,?,?)", (stream, window.site, window.number))
        self._remember(window)

    def _remember(self, window: Window) -> None:
        if len(self._windows) >= _MAX_KNOWN_WINDOWS:
            self._windows.clear()
            self.spans.clear()
        self._windows.add(window)
        self.spans[window.stream_id] = (window.site, window.number * WINDOW_MS, (window.number + 1) * WINDOW_MS)

    def _set(self, stream_id: str, place: Place) -> None:
        self._set_all({stream_id: place})

    def _set_all(self, places: Mapping[str, Place]) -> None:
        make = self._streams.make
        self._db.executemany(
            "INSERT OR REPLACE INTO marks VALUES (?,?,?,?)", [(make(name), *place) for name, place in places.items()]
        )
        self._known_places().update(places)
        self.latest.update((name, place.t_ms) for name, place in places.items() if place.t_ms is not None)

    @contextmanager
    def _changing(self, transaction: AbstractContextManager[None] | None = None) -> Iterator[None]:
        try:
            with self._told, transaction or self._transaction():
                yield
        except BaseException:  # a rolled back transaction took with it what we remember
            self._streams.forget()
            self._windows.clear()
            self.spans.clear()
            self.latest.clear()
            self._places = None
            raise

    def _known_places(self) -> dict[str, Place]:
        if self._places is None:
            query = "SELECT s.name, m.t_ms, m.number, m.numbered_ms FROM marks m JOIN streams s ON s.id = m.stream"
            with self._told:
                self._places = {name: Place(*place) for name, *place in self._db.execute(query)}
        return self._places
