"""From messages to the journal: the part of ingest that a broker is not needed for.

    check ─▶ [numbers that come again: the same?] ─▶ quarantine (durable) ─▶ journal (durable) ─▶ ledger ─▶ [PUBACK, receipt]

A kill between any two of these loses nothing: nothing was acknowledged or receipted yet, so the same messages come
again; quarantine swallows what it holds, the ledger catches up from the journal, and numbers that the ledger holds
are counted as duplicates and not journaled twice.

A number that comes again is compared with what the journal holds under it. The same: a duplicate. Another content: two
edges number in one epoch (a copied card), and the newcomer's fact waits in quarantine. Not to be had any more, or too
much to look up: it is journaled again, and the store decides by the identity of the reading.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gateway.journal import Entry, Journal
from ingest.check import Arrived, Checked, Edges, InService, Registry, as_facts, check, encoded, no_dates, no_keys
from ingest.epochs import Change, EpochKey, change_of
from ingest.flood import Flood
from ingest.ledger import Ledger, Run, decoded
from ingest.number_conflicts import Print, differing, prints_of
from ingest.quarantine import Asked, Fault, QuarantinePort, Reason, Waiting, plain
from ingest.recent import Recent
from telemetry.columns import ReadingsUpload
from telemetry.contract import Upload, decode_upload
from telemetry.errors import ContractError
from telemetry.readings import Ranges, Sync
from telemetry.topics import EdgeAddress

# How many runs of the journal one batch may read to compare, how many (and of how many facts) are remembered, and
# entries a read.
_LOOKS = 8
_REMEMBERED = 16
_REMEMBERED_FACTS = 200_000
_STEP = 500


@dataclass(slots=True)
class Counters:
    """What this process did since it started; for logs and health."""

    messages: int = 0
    journaled: int = 0
    facts: int = 0
    duplicates: int = 0
    quarantined: int = 0
    conflicts: int = 0
    not_kept: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Batch:
    """What one batch will write."""

    entries: list[Entry] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    seen: dict[EpochKey, Ranges] = field(default_factory=dict)
    unprinted: dict[EpochKey, list[Entry]] = field(default_factory=dict)
    printed: dict[EpochKey, dict[int, Print]] = field(default_factory=dict)
    lazy: dict[EpochKey, bool] = field(default_factory=dict)
    looks: int = _LOOKS

    def answer(self, key: EpochKey, *, may_wait: bool = False) -> None:
        self.lazy[key] = may_wait and self.lazy.get(key, True)

    def prints(self, key: EpochKey) -> Mapping[int, Print]:
        """Those of the facts that this very batch journals."""
        known = self.printed.setdefault(key, {})
        for entry in self.unprinted.pop(key, ()):
            for number, print_ in _readable_prints(entry).items():
                known.setdefault(number, print_)
        return known

    def add(self, key: EpochKey, entry: Entry) -> None:
        self.entries.append(entry)
        waiting = self.unprinted.get(key)
        if waiting is None:
            self.unprinted[key] = [entry]
        else:
            waiting.append(entry)


class _Homes(dict[str, str | None]):
    """The registry's answers to one batch: the same few devices speak again and again."""

    def __init__(self, registry: Registry) -> None:
        super().__init__()
        self._registry = registry

    def __missing__(self, serial: str) -> str | None:
        home = self[serial] = self._registry(serial)
        return home


class Intake:
    """Takes messages in batches; belongs to one thread. ``journaled`` is called as soon as the journal has a batch;
    ``recent`` is given what the filler will read next; ``mine`` tells the sites of this worker's shard.
    """

    def __init__(
        self,
        journal: Journal,
        ledger: Ledger,
        quarantine: QuarantinePort,
        registry: Registry,
        edges: Edges = no_keys,
        journaled: Callable[[], None] = lambda: None,
        recent: Recent | None = None,
        mine: Callable[[str], bool] = lambda _site: True,
        in_service: InService = no_dates,
    ) -> None:
        self._journal = journal
        self._ledger = ledger
        self._quarantine = quarantine
        self._registry = registry
        self._edges = edges
        self._in_service = in_service
        self._journaled = journaled
        self._recent = recent
        self._mine = mine
        self._flood = Flood()
        self._prints: OrderedDict[tuple[EpochKey, Run], dict[int, Print]] = OrderedDict()
        self.counters = Counters()

    @property
    def ledger(self) -> Ledger:
        return self._ledger

    def start(self) -> int:
        """Catch the ledger up with the journal; how many entries it had missed."""
        return self._ledger.catch_up(self._journal, self._mine)

    def take(self, messages: Sequence[Arrived]) -> dict[EpochKey, bool]:
        """Check, keep and count a batch; the epochs that deserve a receipt, True where it may wait.

        All durable at return, or to be had from the journal. Raises NeighbourDownError when registry, quarantine,
        journal or ledger do not answer: take the batch again.
        """
        batch = _Batch()
        registry = _Homes(self._registry).__getitem__
        for message in messages:
            self._sort(check(message, registry, self._edges, self._in_service), message, batch)
        self._keep(batch)
        self.counters.messages += len(messages)
        return batch.lazy

    def replay(self, serial: str) -> list[EpochKey]:
        """Journal the quarantined facts of a device that is registered now; the epochs that deserve a receipt.

        Items of other sites stay where they are. Repeatable, as ``take``.
        """
        home = self._registry(serial)
        items = [
            i for i in self._quarantine.waiting(serial) if home is not None and i.site == home and self._mine(home)
        ]
        batch = _Batch()
        settled = [item.item_id for item in items if home is not None and self._sort_waiting(item, home, batch)]
        self._keep(batch)
        self._quarantine.replayed(settled)
        return list(batch.lazy)

    def sweep(self) -> list[EpochKey]:
        """Replay every waiting device that has been registered in the meantime, and what people asked for."""
        # Nobody else appends what is ours: the ledger knows the journal to its end, also while other shards fill it.
        self._ledger.commit([], self._journal.last_offset())
        keys: list[EpochKey] = []
        for serial in self._quarantine.waiting_serials():
            home = self._registry(serial)
            if home is not None and self._mine(home):
                keys += self.replay(serial)
        for asked in self._quarantine.asked():
            if self._mine(asked.site):
                keys += self._replay_asked(asked)
        return keys

    def tidy(self) -> None:
        """Forget where numbers lie in a part of the journal that is forgotten itself."""
        oldest = self._journal.after(0, 1)
        self._ledger.forget_runs(oldest[0][0] if oldest else self._journal.last_offset() + 1)

    def _replay_asked(self, asked: Asked) -> list[EpochKey]:
        """Check one message anew: a person stands for it, so no MAC is asked for. Repeatable, as ``take``.

        What is refused again waits on under its own item; of a message that is good in part, the rest becomes new ones.
        """
        message = Arrived(asked.topic, asked.payload, asked.received_at_ms)
        checked, batch = check(message, self._registry, in_service=self._in_service), _Batch()
        self._sort(checked, message, batch)
        faults = [*checked.faults, *(f for f in batch.faults if f.reason == Reason.NUMBER_CONFLICT)]
        if faults and not batch.entries:
            self._quarantine.refused_again(asked, faults[0].reason, faults[0].detail)
            return []
        # Its numbers are marked as quarantined already, which ``_sort`` takes for "waits there": here they must be put.
        batch.faults = faults
        self._keep(batch)
        self._quarantine.replayed([asked.item_id])
        return list(batch.lazy)

    # --- one message --------------------------------------------------------------------------------------------

    def _sort(self, checked: Checked, message: Arrived, batch: _Batch) -> None:
        """Put one checked message where it belongs."""
        if checked.upload is None or checked.address is None:
            for fault in checked.faults:
                self._sort_refused(checked, fault, batch)
            return
        key = EpochKey(checked.address.site, checked.address.edge, checked.upload.epoch)
        state = self._ledger.state(key)
        known = batch.seen.get(key, state.have)
        fresh = checked.accepted - known
        faults = checked.faults
        if faults:
            faults = tuple(
                f for f in faults if f.seqs - known - state.quarantined or self._says_other(key, f, known, batch)
            )
        duplicates = conflicts = 0
        if checked.faults:
            duplicates = sum(len(f.seqs) for f in checked.faults) - sum(len(f.seqs) for f in faults)
        if fresh is checked.accepted or fresh == checked.accepted:
            if checked.payload is not None:
                batch.add(key, _entry(key, checked.kind, message.received_at_ms, checked.payload))
                if self._recent is not None and isinstance(checked.upload, ReadingsUpload):
                    self._recent.keep(checked.payload, checked.upload)
        else:
            again = checked.accepted - fresh
            conflict = self._sort_again(key, checked, again, fresh, message, batch)
            conflicts = 0 if conflict is None else len(conflict.seqs)
            duplicates += len(again) - conflicts
            if conflict is not None:
                faults = (*faults, conflict)
        batch.seen[key] = known | fresh
        batch.faults += faults
        batch.answer(key, may_wait=checked.upload.lazy and not duplicates and not conflicts and not checked.faults)
        batch.changes.append(self._change(key, checked, message, known, faults, duplicates, conflicts))

    def _change(
        self,
        key: EpochKey,
        checked: Checked,
        message: Arrived,
        known: Ranges,
        faults: Sequence[Fault],
        duplicates: int,
        conflicts: int,
    ) -> Change:
        assert checked.upload is not None  # noqa: S101  (the caller asked)
        assert checked.address is not None  # noqa: S101
        change = change_of(key, checked.upload, message.received_at_ms, known, checked.spans)
        change.shard, change.duplicates, change.conflicts = checked.address.shard, duplicates, conflicts
        if faults or checked.faults:
            highest = max((f.seqs.spans[-1][1] for f in checked.faults if f.seqs), default=0)
            change.quarantined = Ranges(span for f in faults for span in f.seqs.spans) - known
            change.numbered_to = max(change.numbered_to, highest)
        if message.fresh and checked.accepted:
            change.sent_at_ms = checked.upload.sent_at_ms
            change.synced, change.max_error_ms = _claimed(checked.upload)
        return change

    def _sort_again(
        self, key: EpochKey, checked: Checked, again: Ranges, fresh: Ranges, message: Arrived, batch: _Batch
    ) -> Fault | None:
        """A message with numbers that we hold: journal what is new or can not be compared; the fault for what differs."""
        upload = checked.upload
        assert upload is not None  # noqa: S101  (the caller asked)
        kept = self._kept(key, again, batch)
        facts = (as_facts(upload) if isinstance(upload, ReadingsUpload) else upload).facts
        other = differing((n for n in facts if n.seq in again), kept)
        unsure = any(n not in kept for n in again)
        if not other:
            if (fresh or unsure) and checked.payload is not None:
                batch.add(key, _entry(key, checked.kind, message.received_at_ms, checked.payload))
            return None
        whole = as_facts(upload) if isinstance(upload, ReadingsUpload) else upload
        rest = replace(whole, facts=tuple(n for n in facts if n.seq not in other), mac=None)
        if rest.facts and (fresh or unsure):
            batch.add(key, _entry(key, checked.kind, message.received_at_ms, encoded(rest)))
        # A sending time of its own would make the same facts, sent again, another item of the quarantine.
        own = replace(whole, facts=tuple(n for n in facts if n.seq in other), mac=None, sent_at_ms=0, lazy=False)
        return Fault(
            Reason.NUMBER_CONFLICT,
            f"{len(other)} {checked.kind} under numbers that hold other content",
            plain(message.topic),
            encoded(own),
            message.received_at_ms,
            key.site,
            key.edge,
            key.epoch,
            seqs=own.ranges,
        )

    def _says_other(self, key: EpochKey, fault: Fault, known: Ranges, batch: _Batch) -> bool:
        """Whether facts at fault under numbers that are settled may be other facts (two edges number in one epoch).

        Under quarantined numbers the quarantine tells: there the same facts are the same item.
        """
        held = fault.seqs - (fault.seqs - known)
        if held != fault.seqs:
            return True
        kept = self._kept(key, held, batch)
        return any(n not in kept for n in held) or bool(differing(decode_upload(fault.payload).facts, kept))

    def _kept(self, key: EpochKey, again: Ranges, batch: _Batch) -> Mapping[int, Print]:
        """Prints of what is journaled under these numbers, as far as it can be looked up in bounds."""
        found: dict[int, Print] = dict(batch.prints(key))
        for run in self._ledger.runs(key, again):
            if all(n in found for n in again):
                break
            found = {**found, **self._prints_of_run(key, run, batch)}
        return found

    def _prints_of_run(self, key: EpochKey, run: Run, batch: _Batch) -> Mapping[int, Print]:
        known = self._prints.get((key, run))
        if known is not None:
            self._prints.move_to_end((key, run))
            return known
        if batch.looks <= 0:
            return {}
        batch.looks -= 1
        prints: dict[int, Print] = {}
        offset = run.after_offset
        while offset < run.to_offset and (entries := self._journal.after(offset, _STEP)):
            for at, entry in entries:
                if at <= run.to_offset and (entry.site, entry.edge, entry.epoch) == key:
                    for number, print_ in _readable_prints(entry).items():
                        prints.setdefault(number, print_)
            offset = entries[-1][0]
        self._prints[key, run] = prints
        while len(self._prints) > _REMEMBERED or sum(map(len, self._prints.values())) > _REMEMBERED_FACTS:
            self._prints.popitem(last=False)
        return prints

    def _sort_refused(self, checked: Checked, fault: Fault, batch: _Batch) -> None:
        """A message refused as a whole; its edge is answered, so that it learns that we are here."""
        address = checked.address
        kept = bool(fault.seqs) or self._flood.keeps(fault.site, fault.edge, fault.reason, fault.received_at_ms)
        self.counters.not_kept += not kept
        if address is None or not fault.epoch:
            batch.faults += [fault] if kept else []
            for key in self._ledger.current_keys() if address else ():
                if address and key[:2] == (address.site, address.edge):
                    batch.answer(key)
            return
        key = EpochKey(fault.site, fault.edge, fault.epoch)
        state = self._ledger.state(key)
        known = batch.seen.get(key, state.have) | state.quarantined
        if kept and (not fault.seqs or fault.seqs - known):
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

    def _sort_waiting(self, item: Waiting, home: str, batch: _Batch) -> bool:
        """Put the facts of a device that is known now where they belong; False: refused anew, they wait on.

        They were never looked at but for the device: a clock that is wrong is not made right by its registration.
        """
        key = EpochKey(item.site, item.edge, item.epoch)
        state = self._ledger.state(key)
        message = Arrived(_topic_of(item, state.shard), item.payload, item.received_at_ms)
        checked = check(message, lambda _serial: home, in_service=self._in_service)
        if checked.upload is None or checked.payload is None:
            asked = Asked(item.item_id, item.site, message.topic, item.payload, item.received_at_ms, None)
            self._quarantine.refused_again(asked, checked.faults[0].reason, checked.faults[0].detail)
            return False
        known = batch.seen.get(key, state.have)
        if checked.accepted - known:
            batch.add(key, _entry(key, checked.kind, item.received_at_ms, checked.payload))
            batch.changes.append(change_of(key, checked.upload, item.received_at_ms, known))
            batch.seen[key] = known | checked.accepted
            batch.answer(key)
        batch.faults += checked.faults
        return True

    def _keep(self, batch: _Batch) -> None:
        if batch.faults:
            self._quarantine.put(batch.faults)
        offset = self._ledger.offset
        if batch.entries:
            offset = self._journal.append(batch.entries)
            self._journaled()
        if batch.changes:
            self._ledger.commit(batch.changes, offset)
        self._count(batch)

    def _count(self, batch: _Batch) -> None:
        counters = self.counters
        counters.journaled += len(batch.entries)
        counters.quarantined += len(batch.faults)
        for change in batch.changes:
            counters.duplicates += change.duplicates
            counters.conflicts += change.conflicts
            counters.facts += len(change.received)
        for fault in batch.faults:
            counters.reasons[str(fault.reason)] = counters.reasons.get(str(fault.reason), 0) + 1


def _entry(key: EpochKey, kind: str, received_at_ms: int, payload: bytes) -> Entry:
    return Entry(key.site, key.edge, key.epoch, kind, received_at_ms, payload)


def _topic_of(item: Waiting, shard: str) -> str:
    """Where these facts came by; ``shard`` "" where the ledger does not know it (any will do: only the check reads it)."""
    try:
        kind = decode_upload(item.payload).kind
    except ContractError:  # the check says why
        kind = "readings"
    return EdgeAddress(shard or "-", item.site, item.edge).up(kind)


def _readable_prints(entry: Entry) -> dict[int, Print]:
    try:
        return prints_of(decoded(entry))
    except ContractError:
        return {}


def _claimed(upload: Upload | ReadingsUpload) -> tuple[bool, int | None]:
    """Whether the edge's clock claims to be synchronised, and its own bound of error, by the newest fact."""
    if isinstance(upload, ReadingsUpload):
        newest = upload.streams[-1] if upload.streams else None
        return (False, None) if newest is None else (newest.sync is Sync.SYNCED, newest.max_error_ms)
    if not upload.facts:
        return False, None
    stamp = upload.facts[-1].fact.stamp
    return stamp.sync is Sync.SYNCED, stamp.max_error_ms
