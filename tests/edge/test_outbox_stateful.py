"""Any sequence of calls: both outboxes answer alike, and every fact is in exactly one place."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge.outbox import MemoryOutbox, Quota, SqliteOutbox
from edge.thinning import THINNED, ranges_in
from telemetry.readings import Event, Fact, Numbered, Ranges, Reading, Stamp, Sync, Weighing

T0 = 1_800_000_000_000
MINUTE_MS = 60_000
ALL = Ranges([(1, 1 << 40)])
QUOTA = Quota(max_age_ms=90 * MINUTE_MS, edge="E1")
SPANS = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 30)), max_size=3)


def plain(found: list[Numbered]) -> list[tuple[int, Fact]]:
    """Without the epoch's name, which is random."""
    return [(n.seq, bare(n.fact)) for n in found]


def bare(fact: Fact) -> Fact:
    if isinstance(fact, Event) and fact.kind == THINNED:
        return replace(fact, detail={k: v for k, v in fact.detail.items() if k != "epoch"})
    return fact


class TwoOutboxes(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.disk = SqliteOutbox(self.folder / "o.db", quota=QUOTA)
        self.memory = MemoryOutbox(QUOTA)
        self.now_ms, self.made = T0, 0
        self.given: set[str] = set()
        self.receipted: set[str] = set()
        self.thinned: set[str] = set()

    def _stamp(self, synced: bool) -> Stamp:
        """Its boot time names the fact."""
        self.made += 1
        sync = Sync.SYNCED if synced else Sync.UNSYNCED
        return Stamp("boot-1", self.made * 1_000_000, self.now_ms, sync, 20 if synced else None)

    def _fact(self, kind: str) -> Fact:
        stamp = self._stamp(kind != "undated")
        if kind == "event":
            return Event("rezero_needed", "SC-1", self.now_ms, stamp, {"reason": "x"})
        if kind == "weighing":
            kg = Decimal("1.5")
            return Weighing(f"W-{self.made}", "SC-1", kg, Decimal(0), kg, self.now_ms, stamp, "00")
        value = Decimal(20) if kind == "warm" else Decimal(300 + self.made * 37 % 400) / 100
        t_ms = None if kind == "undated" else self.now_ms
        return Reading(f"LOG-{self.made % 2}/temperature_c", value, t_ms, stamp)

    @rule(
        kinds=st.lists(
            st.sampled_from(["plain", "plain", "plain", "warm", "undated", "event", "weighing"]), max_size=8
        ),
        minutes=st.integers(0, 30),
    )
    def append(self, kinds: list[str], minutes: int) -> None:
        facts = []
        for kind in kinds:
            self.now_ms += minutes * MINUTE_MS // max(1, len(kinds))
            facts.append(self._fact(kind))
        hints = {"made": str(self.made)}
        assert self.disk.append(facts, hints) == self.memory.append(facts, hints)
        self.given |= {name(f) for f in facts}

    @rule(spans=SPANS, quarantined=SPANS)
    def receipt(self, spans: list[tuple[int, int]], quarantined: list[tuple[int, int]]) -> None:
        top = self.memory.usage().numbered_to
        have, doubt = (
            Ranges((low, min(low + n, top)) for low, n in part if low <= top) for part in (spans, quarantined)
        )
        held = self.memory.select(seq=have | doubt, limit=1 << 30) if have or doubt else []
        self.receipted |= {name(n.fact) for n in held if n.seq in (have | doubt)}
        self.disk.received(have, doubt)
        self.memory.received(have, doubt)

    @rule()
    def restored(self) -> None:
        """A receipt for a number never given."""
        over = Ranges([(1, self.memory.usage().numbered_to + 1)])
        before = self.disk.epoch
        self.disk.received(over, Ranges())
        self.memory.received(over, Ranges())
        assert self.disk.epoch != before
        assert self.disk.identity().previous_epoch == before

    @rule()
    def grow_old(self) -> None:
        before = {name(n.fact) for n in self.memory.pending(1 << 30)}
        now = self._stamp(True)
        assert self.disk.keep_age(now) == self.memory.keep_age(now)
        self.thinned |= before - {name(n.fact) for n in self.memory.pending(1 << 30)}

    @rule(minutes=st.integers(0, 200))
    def forget(self, minutes: int) -> None:
        before_ms = self.now_ms - minutes * MINUTE_MS
        assert self.disk.forget_receipted(before_ms) == self.memory.forget_receipted(before_ms)

    @rule(after=st.integers(0, 20))
    def anchor(self, after: int) -> None:
        boot_ns = self.made * 1_000_000
        assert self.disk.date_undated("boot-1", boot_ns, self.now_ms, after) == self.memory.date_undated(
            "boot-1", boot_ns, self.now_ms, after
        )

    @rule(spans=SPANS, only=st.sampled_from(["all", "unreceipted"]), limit=st.integers(1, 40))
    def by_number(self, spans: list[tuple[int, int]], only: str, limit: int) -> None:
        seq = Ranges((low, low + n) for low, n in spans)
        asked: dict[str, Any] = {"seq": seq, "only": only, "limit": limit}
        assert plain(self.disk.select(**asked)) == plain(self.memory.select(**asked))

    @rule(
        low=st.integers(0, 600), length=st.integers(0, 300), only=st.sampled_from(["all", "unreceipted"]),
        limit=st.integers(1, 40),
    )  # fmt: skip
    def by_time(self, low: int, length: int, only: str, limit: int) -> None:
        from_ms = T0 + low * MINUTE_MS
        asked: dict[str, Any] = {
            "from_ms": from_ms,
            "to_ms": from_ms + length * MINUTE_MS,
            "only": only,
            "limit": limit,
        }
        assert plain(self.disk.select(**asked)) == plain(self.memory.select(**asked))
        times = ("LOG-1/temperature_c", asked["from_ms"], asked["to_ms"])
        assert self.disk.reading_times(*times) == self.memory.reading_times(*times)

    @precondition(lambda self: self.made > 3)
    @rule()
    def restart(self) -> None:
        self.disk.close()
        self.disk = SqliteOutbox(self.folder / "o.db", quota=QUOTA)

    @invariant()
    def they_answer_alike(self) -> None:
        if not hasattr(self, "disk"):
            return
        limit, after = 1 << 30, self.made % 7
        assert plain(self.disk.pending(limit)) == plain(self.memory.pending(limit))
        assert plain(self.disk.pending(5, after)) == plain(self.memory.pending(5, after))
        one, two = self.disk.usage(), self.memory.usage()
        assert (one.rows, one.unreceipted, one.numbered_to) == (two.rows, two.unreceipted, two.numbered_to)
        produced = {stream: n for stream, n in self.disk.produced().items() if n}
        assert produced == {stream: n for stream, n in self.memory.produced().items() if n}
        assert self.disk.hint("made") == self.memory.hint("made")

    @invariant()
    def every_fact_is_in_one_place(self) -> None:
        if not hasattr(self, "disk"):
            return
        pending = self.disk.pending(1 << 30)
        names = [name(n.fact) for n in pending if not (isinstance(n.fact, Event) and n.fact.kind == THINNED)]
        assert len(names) == len(set(names))
        assert set(names) | self.receipted | self.thinned == self.given | self.receipted | self.thinned
        assert not set(names) & self.thinned, "a thinned number never comes back"
        held = Ranges.of(n.seq for n in self.disk.select(seq=ALL, limit=1 << 30))
        told = [
            n.fact for n in pending if isinstance(n.fact, Event) and n.fact.detail.get("epoch") == self.disk.epoch
        ]
        assert not any(n in held for event in told for n in ranges_in(event))

    def teardown(self) -> None:
        if hasattr(self, "disk"):
            self.disk.close()
            shutil.rmtree(self.folder)


def name(fact: Fact) -> str:
    return f"{type(fact).__name__}{fact.stamp.boottime_ns}"


TestTwoOutboxes = TwoOutboxes.TestCase
TestTwoOutboxes.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
