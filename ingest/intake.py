"""From messages to the journal: the part of ingest that a broker is not needed for.

    check ─▶ quarantine (durable) ─▶ journal (durable) ─▶ ledger (durable) ─▶ [acknowledge, receipt]

A kill between any two of these loses nothing: nothing was acknowledged or receipted yet, so the same messages come
again; quarantine swallows what it holds, the ledger catches up from the journal, and numbers that the ledger holds
are counted as duplicates and not journaled twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from gateway.journal import Entry, Journal
from ingest.check import Arrived, Checked, Edges, Registry, check, no_keys
from ingest.ledger import Change, EpochKey, Ledger, change_of
from ingest.quarantine import Fault, QuarantinePort, Waiting
from telemetry.contract import decode_upload
from telemetry.readings import Ranges


@dataclass(slots=True)
class Counters:
    """What this process did since it started; for logs and health."""

    messages: int = 0
    journaled: int = 0
    facts: int = 0
    duplicates: int = 0
    quarantined: int = 0


@dataclass(slots=True)
class _Batch:
    """What one batch will write."""

    entries: list[Entry] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    seen: dict[EpochKey, Ranges] = field(default_factory=dict)
    lazy: dict[EpochKey, bool] = field(default_factory=dict)

    def answer(self, key: EpochKey, *, may_wait: bool = False) -> None:
        self.lazy[key] = may_wait and self.lazy.get(key, True)


class Intake:
    """Takes messages in batches; belongs to one thread."""

    def __init__(
        self,
        journal: Journal,
        ledger: Ledger,
        quarantine: QuarantinePort,
        registry: Registry,
        edges: Edges = no_keys,
    ) -> None:
        self._journal = journal
        self._ledger = ledger
        self._quarantine = quarantine
        self._registry = registry
        self._edges = edges
        self.counters = Counters()

    @property
    def ledger(self) -> Ledger:
        return self._ledger

    def start(self) -> int:
        """Catch the ledger up with the journal; how many entries it had missed."""
        return self._ledger.catch_up(self._journal)

    def take(self, messages: Sequence[Arrived]) -> dict[EpochKey, bool]:
        """Check, keep and count a batch; the epochs that deserve a receipt, True where it may wait.

        All durable at return.

        Raises NeighbourDownError when registry, quarantine, journal or ledger do not answer: take the batch again.
        """
        batch = _Batch()
        for message in messages:
            self._sort(check(message, self._registry, self._edges), message, batch)
        self._keep(batch)
        self.counters.messages += len(messages)
        return batch.lazy

    def replay(self, serial: str) -> list[EpochKey]:
        """Journal the quarantined facts of a device that is registered now; the epochs that deserve a receipt.

        Items of other sites stay where they are. Repeatable, as ``take``.
        """
        home = self._registry(serial)
        items = [i for i in self._quarantine.waiting(serial) if home is not None and i.site == home]
        batch = _Batch()
        for item in items:
            self._sort_waiting(item, batch)
        self._keep(batch)
        self._quarantine.replayed([i.item_id for i in items])
        return list(batch.lazy)

    def sweep(self) -> list[EpochKey]:
        """Replay every waiting device that has been registered in the meantime."""
        keys: list[EpochKey] = []
        for serial in self._quarantine.waiting_serials():
            if self._registry(serial) is not None:
                keys += self.replay(serial)
        return keys

    def _sort(self, checked: Checked, message: Arrived, batch: _Batch) -> None:
        """Put one checked message where it belongs."""
        if checked.upload is None or checked.address is None:
            for fault in checked.faults:
                self._sort_refused(checked, fault, batch)
            return
        key = EpochKey(checked.address.site, checked.address.edge, checked.upload.epoch)
        state = self._ledger.state(key)
        known = batch.seen.get(key, state.have)
        faults = [f for f in checked.faults if f.seqs - known - state.quarantined]
        fresh = checked.accepted - known
        if checked.payload is not None and (fresh or not checked.accepted):
            batch.entries.append(_entry(key, checked.upload.kind, message.received_at_ms, checked.payload))
        duplicates = len(checked.accepted) - len(fresh) + _already(checked, faults)
        batch.seen[key] = known | checked.accepted
        batch.faults += faults
        batch.answer(key, may_wait=checked.upload.lazy and not duplicates and not checked.faults)
        batch.changes.append(
            replace(
                _change(key, checked, message.received_at_ms),
                quarantined=_union(f.seqs for f in faults) - known,
                duplicates=duplicates,
            )
        )

    def _sort_refused(self, checked: Checked, fault: Fault, batch: _Batch) -> None:
        """A message refused as a whole; its edge is answered, so that it learns that we are here."""
        address = checked.address
        if address is None or not fault.epoch:
            batch.faults.append(fault)
            for key in self._ledger.current_keys() if address else ():
                if address and key[:2] == (address.site, address.edge):
                    batch.answer(key)
            return
        key = EpochKey(fault.site, fault.edge, fault.epoch)
        state = self._ledger.state(key)
        known = batch.seen.get(key, state.have) | state.quarantined
        if not fault.seqs or fault.seqs - known:
            batch.faults.append(fault)
        numbered_to = fault.seqs.spans[-1][1] if fault.seqs else 0
        batch.answer(key)
        batch.changes.append(
            Change(
                key,
                fault.received_at_ms,
                quarantined=fault.seqs - known,
                numbered_to=numbered_to,
                shard=address.shard,
            )
        )

    def _sort_waiting(self, item: Waiting, batch: _Batch) -> None:
        key = EpochKey(item.site, item.edge, item.epoch)
        upload = decode_upload(item.payload)
        known = batch.seen.get(key, self._ledger.state(key).have)
        if upload.ranges - known:
            batch.entries.append(_entry(key, upload.kind, item.received_at_ms, item.payload))
            batch.changes.append(change_of(key, upload, item.received_at_ms))
            batch.seen[key] = known | upload.ranges
            batch.answer(key)

    def _keep(self, batch: _Batch) -> None:
        if batch.faults:
            self._quarantine.put(batch.faults)
        offset = self._journal.append(batch.entries) if batch.entries else self._ledger.offset
        if batch.changes:
            self._ledger.commit(batch.changes, offset)
        self.counters.journaled += len(batch.entries)
        self.counters.quarantined += len(batch.faults)
        self.counters.duplicates += sum(c.duplicates for c in batch.changes)
        self.counters.facts += sum(len(c.received) for c in batch.changes)


def _entry(key: EpochKey, kind: str, received_at_ms: int, payload: bytes) -> Entry:
    return Entry(key.site, key.edge, key.epoch, kind, received_at_ms, payload)


def _change(key: EpochKey, checked: Checked, received_at_ms: int) -> Change:
    assert checked.upload is not None  # noqa: S101  (the caller asked)
    assert checked.address is not None  # noqa: S101
    change = change_of(key, checked.upload, received_at_ms)
    highest = max((f.seqs.spans[-1][1] for f in checked.faults if f.seqs), default=0)
    return replace(change, shard=checked.address.shard, numbered_to=max(change.numbered_to, highest))


def _already(checked: Checked, faults: list[Fault]) -> int:
    return sum(len(f.seqs) for f in checked.faults) - sum(len(f.seqs) for f in faults)


def _union(ranges: Iterable[Ranges]) -> Ranges:
    return Ranges(span for r in ranges for span in r.spans)
