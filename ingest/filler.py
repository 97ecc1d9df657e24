"""Fill the time series from the journal, at the filler's own pace and offset.

    journal.after(offset) ─▶ columns ─┬─ dated ──────────────────────────▶ store ─▶ offset (durable)
                                      └─ undated, anchors ─▶ FillerState ──┘

The store says "on disk" before the offset moves; a kill between makes duplicates that the store swallows. A dead
store stops this and nothing else: receipts and the journal go on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gateway.journal import AFTER_BYTES, Entry, Journal
from ingest.config import Config
from ingest.outage import Outage
from ingest.quarantine import Fault, QuarantinePort, Reason, plain
from ingest.quick_json import decode_readings
from ingest.store import Row, Store, StreamBatch
from ingest.store.model import batch_of, batches_of
from ingest.undated import FillerState, Source
from telemetry.columns import ReadingsUpload, StreamColumns, columns_of, facts_of
from telemetry.contract import Upload, decode_upload, encode_upload
from telemetry.errors import ContractError, NeighbourDownError
from telemetry.readings import Event, Numbered, Origin, Ranges, Reading, Stamp, Sync, is_anchor

_log = logging.getLogger("ingest")
# Kinds whose entries hold neither readings nor anchors.
_NOT_OURS = ("hello", "weighings")
_LONGEST_WAIT_S = 300.0


@dataclass(slots=True)
class _Work:
    """What a step found in the journal."""

    batches: list[StreamBatch] = field(default_factory=list)
    clockwork: list[tuple[Source, Numbered]] = field(default_factory=list)
    readings: int = 0


@dataclass(slots=True)
class FillerCounters:
    """What this process did since it started."""

    entries: int = 0
    committed: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: int = 0


class Filler:
    """Belongs to one thread. ``read`` may be set to what remembers decoded uploads (``ingest/recent.py``)."""

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
        self.is_behind = False
        """Whether the last step left entries or dated readings for the next one, as far as it could see."""
        self._per_entry = 1.0  # readings in an entry, by the last step: what is read is to be used
        self.read: Callable[[bytes], ReadingsUpload] = decode_readings

    def run(self, stop: threading.Event) -> None:
        """Fill until ``stop``. ``wake`` set from outside spares the wait for the next look."""
        started = False
        while not stop.is_set():
            try:
                if not started:
                    self.start()
                    started = True
                self.step()
                unfinished = self._store.tidy()
            except NeighbourDownError as error:
                self._outage.down(error)
                stop.wait(max(self._config.retry_s, min(error.retry_after_s, _LONGEST_WAIT_S)))
                continue
            self._outage.up()
            if not self.is_behind and not unfinished:
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
        work = _Work()
        done, offset = 0, before
        enough = min(self._config.fill_entries, int(self._config.fill_rows / self._per_entry) + 1)
        page = self._journal.after(before, enough)
        for entry_offset, entry in page:
            self._sort(entry, work)
            done, offset = done + 1, entry_offset
            if work.readings >= self._config.fill_rows:
                break
        found = self._state.learn(work.clockwork, self._config.fill_rows)
        if self._state.clashes:
            self._quarantine.put([_clash(source, numbered) for source, numbered in self._state.clashes])
        if work.batches or found:
            self._put([*work.batches, *batches_of(found)])
        if offset != before or found:
            self._state.done(offset, found)
        self.counters.entries += done
        heavy = sum(len(entry.payload) for _, entry in page) >= AFTER_BYTES
        self.is_behind = done < len(page) or len(page) == enough or heavy or bool(found)
        self._per_entry = max(1.0, work.readings / done) if done else self._per_entry
        return done + len(found)

    def _sort(self, entry: Entry, work: _Work) -> None:
        if entry.kind in _NOT_OURS:
            return
        source = Source(entry.site, entry.edge, entry.epoch, entry.received_at_ms)
        try:
            if entry.kind == "readings":
                self._sort_columns(source, self.read(entry.payload).streams, work)
            else:
                self._sort_facts(source, decode_upload(entry.payload), work)
        except ContractError as error:
            _log.error("journal entry of %s/%s cannot be read: %s", entry.site, entry.edge, error)
            self._quarantine.put([_unreadable(entry, error)])

    def _sort_columns(self, source: Source, streams: Sequence[StreamColumns], work: _Work) -> None:
        for columns in streams:
            work.readings += len(columns.seq)
            if columns.sync is Sync.UNSYNCED and columns.origin is Origin.LIVE:
                # Undated, or dated by the edge afterwards: FillerState knows whether it has a date already.
                work.clockwork += ((source, numbered) for numbered in facts_of([columns]))
                continue
            if None in columns.t_ms:
                undated = (
                    n for n in facts_of([columns]) if isinstance(n.fact, Reading) and n.fact.sampled_at_ms is None
                )
                work.clockwork += ((source, numbered) for numbered in undated)
            batch = batch_of(source.site, source.edge, source.epoch, source.received_at_ms, columns)
            if batch.seq:
                work.batches.append(batch)

    def _sort_facts(self, source: Source, upload: Upload, work: _Work) -> None:
        """Events, and imports, which may hold anything."""
        if upload.kind == "readings":
            self._sort_columns(source, columns_of(upload.facts), work)
            return
        anchors = [n for n in upload.facts if isinstance(n.fact, Event) and is_anchor(n.fact)]
        work.readings += len(anchors)
        work.clockwork += ((source, numbered) for numbered in anchors)

    def _put(self, batches: Sequence[StreamBatch]) -> None:
        result = self._store.append_columns(batches)
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


def _clash(source: Source, numbered: Numbered) -> Fault:
    """A reading without a date under a number that holds another one: it could not be compared when it came."""
    upload = Upload("readings", source.edge, source.epoch, 0, (numbered,))
    return Fault(
        Reason.NUMBER_CONFLICT,
        "1 readings under numbers that hold other content",
        "journal",
        encode_upload(upload),
        source.received_at_ms,
        source.site,
        source.edge,
        source.epoch,
        seqs=Ranges([(numbered.seq, numbered.seq)]),
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
