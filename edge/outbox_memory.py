"""The outbox in a dict: the same contract for tests and for demos without a disk."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from edge.outbox_model import (
    NO_HINTS,
    NO_NUMBERS,
    EpochReason,
    Identity,
    OutboxUsage,
    Quota,
    anchored,
)
from edge.thinning import closed, surplus, thinned_events
from telemetry.readings import Fact, Numbered, Ranges, Reading, Stamp, Sync


class MemoryOutbox:
    """See ``edge.outbox``. It has no bytes, so of the quota only the age counts."""

    def __init__(self, quota: Quota | None = None) -> None:
        self._quota = quota or Quota()
        self._identity = Identity(_new_epoch(), EpochReason.NEW)
        self._facts: dict[int, Fact] = {}
        self._named = Ranges()
        self._archive: list[tuple[Fact, bool]] = []  # True: asked for again, its place tells no time
        self._asked: set[int] = set()
        self._hints: dict[str, str] = {}
        self._gone: dict[int, Ranges] = {}
        self._produced: Counter[str] = Counter()
        self._numbered_to = 0
        self._thinned_to = 0

    @property
    def epoch(self) -> str:
        return self._identity.epoch

    def identity(self) -> Identity:
        return self._identity

    def produced(self) -> dict[str, int]:
        return dict(self._produced)

    def append(self, facts: Sequence[Fact], hints: Mapping[str, str] = NO_HINTS) -> Ranges:
        first = self._numbered_to + 1
        self._number(facts)
        self._hints |= hints
        return Ranges([(first, self._numbered_to)]) if facts else Ranges()

    def _number(self, facts: Iterable[Fact]) -> None:
        for fact in facts:
            self._numbered_to += 1
            self._facts[self._numbered_to] = fact
            if isinstance(fact, Reading):
                self._produced[fact.stream_id] += 1

    def hint(self, key: str) -> str | None:
        return self._hints.get(key)

    def _all(self) -> Iterator[Numbered]:
        return (Numbered(seq, fact) for seq, fact in self._facts.items())

    def _unsent(self) -> list[Numbered]:
        open_ = Ranges([(1, self._numbered_to)] if self._numbered_to else []) - self._named
        return [Numbered(seq, self._facts[seq]) for seq in open_ if seq in self._facts]

    def pending(self, limit: int, after: int = 0) -> list[Numbered]:
        if limit <= 0 or after >= self._numbered_to:
            return []
        open_ = Ranges([(after + 1, self._numbered_to)]) - self._named
        return list(islice((Numbered(seq, self._facts[seq]) for seq in open_ if seq in self._facts), limit))

    def received(self, have: Ranges, quarantined: Ranges) -> None:
        named = have | quarantined
        if named and named.spans[-1][1] > self._numbered_to:
            self.renew()
            return
        self._named = self._named | named

    def select(
        self,
        *,
        seq: Ranges | None = None,
        from_ms: int | None = None,
        to_ms: int | None = None,
        only: str = "all",
        limit: int = 1000,
    ) -> list[Numbered]:
        def in_time(fact: Fact) -> bool:
            t_ms = fact.sampled_at_ms
            if from_ms is None and to_ms is None:
                return True
            return t_ms is not None and (from_ms or 0) <= t_ms and (to_ms is None or t_ms <= to_ms)

        if from_ms is not None and only == "all":
            asked = [fact for fact, _ in self._archive if in_time(fact)]
            self._archive = [old for old in self._archive if not in_time(old[0])]
            self._asked |= set(range(self._numbered_to + 1, self._numbered_to + 1 + len(asked)))
            self._number(asked)
        asked_for = Ranges([(1, self._numbered_to)] if self._numbered_to else [])
        if seq is not None:
            asked_for = asked_for & seq
        if only != "all":
            asked_for = asked_for - self._named
        chosen = (Numbered(n, self._facts[n]) for n in asked_for if n in self._facts)
        found = list(islice((n for n in chosen if in_time(n.fact)), limit))
        return found + self._telling(seq, found, limit) if from_ms is None and seq is not None else found

    def _telling(self, seq: Ranges, found: list[Numbered], limit: int) -> list[Numbered]:
        page = seq & Ranges([(1, found[-1].seq)]) if found and len(found) >= limit else seq
        return [
            Numbered(event, self._facts[event])
            for event, gone in self._gone.items()
            if event not in seq and event in self._facts and gone & page
        ]

    def last_reading(self, stream_id: str) -> Numbered | None:
        found = [n for n in self._all() if isinstance(n.fact, Reading) and n.fact.stream_id == stream_id]
        return found[-1] if found else None

    def reading_times(self, stream_id: str, from_ms: int, to_ms: int) -> list[int]:
        times = (
            f.sampled_at_ms
            for f in (*(fact for fact, _ in self._archive), *self._facts.values())
            if isinstance(f, Reading) and f.stream_id == stream_id
        )
        return sorted(t for t in times if t is not None and from_ms <= t <= to_ms)

    def date_undated(self, boot_id: str, boottime_ns: int, utc_ms: int, after: int = 0) -> int:
        count = 0
        for n in self._unsent():
            found = anchored(n.fact, boot_id, boottime_ns, utc_ms)
            if found is not None and n.seq > after:
                self._facts[n.seq] = found
                count += 1
        return count

    def _recorded_before(self, before_ms: int) -> int:
        old = (seq for seq, fact in self._facts.items() if _old(fact, before_ms) and seq not in self._asked)
        return max(old, default=0)

    def forget_receipted(self, before_ms: int) -> int:
        cut = self._recorded_before(before_ms)
        gone = [seq for seq in self._facts if seq <= cut and seq in self._named]
        for seq in gone:
            del self._facts[seq]
        old = [place for place, (fact, asked) in enumerate(self._archive, 1) if _old(fact, before_ms) and not asked]
        kept = self._archive[max(old, default=0) :]
        count = len(gone) + len(self._archive) - len(kept)
        self._archive = kept
        return count

    def keep_age(self, now: Stamp) -> int:
        if not self._quota.max_age_ms or now.sync is not Sync.SYNCED:
            return 0
        before_ms = now.wall_ms - self._quota.max_age_ms
        count = self.forget_receipted(before_ms)
        cut = self._recorded_before(before_ms)
        facts = [n for n in self._unsent() if n.seq > self._thinned_to]
        facts = [n for n in facts[: closed(facts)] if n.seq <= cut]
        self._thinned_to = facts[-1].seq if facts else self._thinned_to
        gone = surplus(facts, self._quota.limits)
        for numbers in gone.values():
            for seq in numbers:
                del self._facts[seq]
                count += 1
        for ranges, event in thinned_events(gone, "quota_days", self._quota.edge, self.epoch, now):
            self._number([event])
            self._gone[self._numbered_to] = ranges
        return count

    def usage(self) -> OutboxUsage:
        facts = [*(fact for fact, _ in self._archive), *self._facts.values()]
        oldest_ms = facts[0].stamp.wall_ms if facts else None
        return OutboxUsage(len(facts), 0, len(self._unsent()), self._numbered_to, oldest_ms)

    def renew(self, reason: EpochReason = EpochReason.RESTORED) -> None:
        self._identity = Identity(_new_epoch(), reason, self.epoch)
        self._archive += [(fact, seq in self._asked) for seq, fact in self._facts.items() if seq in self._named]
        numbered = self._unsent()
        self._asked = {place for place, n in enumerate(numbered, 1) if n.seq in self._asked}
        unsent = [n.fact for n in numbered]
        self._facts, self._named, self._gone, self._numbered_to = {}, NO_NUMBERS, {}, 0
        self._thinned_to = 0
        self._produced = Counter()
        self._number(unsent)

    def close(self) -> None:
        """Nothing to close."""


def _old(fact: Fact, before_ms: int) -> bool:
    return fact.stamp.sync is Sync.SYNCED and fact.stamp.wall_ms < before_ms


def _new_epoch() -> str:
    return secrets.token_hex(8)
