"""Fill the time series from the journal, at the filler's own pace and offset.

    journal.after(offset) ─▶ decode ─┬─ dated ──────────────────────────▶ store.append ─▶ offset (durable)
                                     └─ undated, anchors ─▶ FillerState ──┘

The store says "on disk" before the offset moves; a kill between makes duplicates that the store swallows. A dead
store stops this and nothing else: receipts and the journal go on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.journal import Entry, Journal
from ingest.config import Config
from ingest.outage import Outage
from ingest.quarantine import Fault, QuarantinePort, Reason, plain
from ingest.store import Row, Store
from ingest.store.model import row_of
from ingest.undated import FillerState, Source
from telemetry.contract import Upload, decode_upload, encode_upload
from telemetry.errors import ContractError, NeighbourDownError
from telemetry.readings import Event, Numbered, Ranges, Reading, Stamp, is_anchor

_log = logging.getLogger("ingest")


@dataclass(slots=True)
class FillerCounters:
    """What this process did since it started."""

    entries: int = 0
    committed: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: int = 0


class Filler:
    """Belongs to one thread."""

    def __init__(
        self, config: Config, journal: Journal, store: Store, state: FillerState, quarantine: QuarantinePort
    ) -> None:
        self._config = config
        self._journal = journal
        self._store = store
        self._state = state
        self._quarantine = quarantine
        self._outage = Outage("store")
        self.counters = FillerCounters()
        self.wake = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Fill until ``stop``. ``wake`` set from outside spares the wait for the next look."""
        started = False
        while not stop.is_set():
            try:
                if not started:
                    self.start()
                    started = True
                worked = self.step()
            except NeighbourDownError as error:
                self._outage.down(error)
                stop.wait(self._config.retry_s)
                continue
            self._outage.up()
            if not worked:
                self.wake.wait(self._config.poll_s)
                self.wake.clear()

    def start(self) -> None:
        """Begin again if the journal is not the one that our offset belongs to."""
        if self._journal.last_offset() < self._state.offset:
            _log.warning("the journal is behind the time series (restored?): filling from its beginning")
            self._state.start_over()

    def step(self) -> int:
        """Store the next entries; how many entries were done. Raises NeighbourDownError with nothing forgotten."""
        before = self._state.offset
        entries = self._journal.after(before, self._config.fill_entries)
        rows: list[Row] = []
        clockwork: list[tuple[Source, Numbered]] = []
        done, offset = 0, before
        for entry_offset, entry in entries:
            self._sort(entry, rows, clockwork)
            done, offset = done + 1, entry_offset
            if len(rows) + len(clockwork) >= self._config.fill_rows:
                break
        found = self._state.learn(clockwork)
        if rows or found:
            self._put([*rows, *found])
        if offset != before or found:
            self._state.done(offset, found)
        self.counters.entries += done
        return done

    def _sort(self, entry: Entry, rows: list[Row], clockwork: list[tuple[Source, Numbered]]) -> None:
        try:
            upload = decode_upload(entry.payload)
        except ContractError as error:
            _log.error("journal entry of %s/%s cannot be read: %s", entry.site, entry.edge, error)
            self._quarantine.put([_unreadable(entry, error)])
            return
        source = Source(entry.site, entry.edge, entry.epoch, entry.received_at_ms)
        for numbered in upload.facts:
            fact = numbered.fact
            if isinstance(fact, Reading) and fact.sampled_at_ms is not None:
                rows.append(row_of(entry.site, entry.edge, entry.epoch, numbered, entry.received_at_ms))
            elif isinstance(fact, Reading) or (isinstance(fact, Event) and is_anchor(fact)):
                clockwork.append((source, numbered))

    def _put(self, rows: Sequence[Row]) -> None:
        result = self._store.append(rows)
        if result.rejected:
            self._quarantine.put([_rejected(row, reason) for row, reason in result.rejected])
        self.counters.committed += result.committed
        self.counters.duplicates += result.duplicates
        self.counters.conflicts += result.conflicts
        self.counters.rejected += len(result.rejected)


def _unreadable(entry: Entry, error: ContractError) -> Fault:
    return Fault(
        error.reason,
        plain(error.detail),
        "journal",
        entry.payload,
        entry.received_at_ms,
        entry.site,
        entry.edge,
        entry.epoch,
    )


def _rejected(row: Row, reason: str) -> Fault:
    """The row as an upload of its own; its raw stamp stays in the journal."""
    stamp = Stamp("", 0, row.t_ms, row.sync, row.max_error_ms)
    reading = Reading(row.stream_id, row.value, row.t_ms, stamp, row.device_seq, row.origin, row.quality)
    upload = Upload("readings", row.edge, row.epoch, row.received_at_ms, (Numbered(row.seq, reading),))
    return Fault(
        Reason.STORE_REJECTED,
        plain(f"{row.stream_id}: {reason}"),
        "store",
        encode_upload(upload),
        row.received_at_ms,
        row.site,
        row.edge,
        row.epoch,
        row.stream_id.partition("/")[0],
        Ranges([(row.seq, row.seq)]),
    )
