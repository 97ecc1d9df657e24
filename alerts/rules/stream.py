"""One stream's memory: its points in chunks, each with the walker it starts from and the findings closed in it.

A new newest reading costs one step of a copied walker. A late one refolds from its chunk until a walker comes out
as it was before; what lies after is untouched. So the incremental answer is the answer from scratch, by construction
of the same fold, and memory can be cut at any chunk (``forget``).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from operator import is_

from alerts.rules.facts import Entries, Point, ReadingFact, Values, point, value_of
from alerts.rules.finding import Kind, RuleFinding
from alerts.rules.fold import StreamWalker, Walker, silence
from alerts.rules.interval import LEARN_FROM, Learner, max_gap_ms, warm_up
from alerts.rules.limits import SILENCE_INTERVALS, Plan

SPLIT_FROM, SPLIT_INTO = "split_from", "split_into"
"""Names in a finding's ``details``: the other part of an episode that late facts cut in two."""
_SPLIT_OVER = 128
_PIECE = 64
_INDEX_BLOCK = 256

Index = dict[int, dict[int, int]]  # device_seq // 256 -> {device_seq: time of its first instant}


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive points. ``start`` is the walker before the first, ``end`` after the last."""

    points: tuple[Point, ...]
    start: StreamWalker
    end: StreamWalker
    closed: tuple[RuleFinding, ...]

    @property
    def first_ms(self) -> int:
        return self.points[0].t_ms

    @property
    def last_ms(self) -> int:
        return self.points[-1].t_ms


@dataclass(frozen=True, slots=True)
class StreamState:
    """A stream in an equipment, as far as the facts have said. Never changed in place."""

    plan: Plan
    chunks: tuple[Chunk, ...] = ()
    index: Index | None = None
    warm: tuple[int, ...] = ()
    silent: RuleFinding | None = None
    held_to_ms: int = 0  # of an event-driven stream: the last word holds until here, and rules fired by that
    changed_to_ms: int = 0  # the last change of limits that came after the last reading
    lost: bool = False  # open episodes ended with what was known: the sensor is lost
    detected: Mapping[str, tuple[str, int]] = field(default_factory=dict)  # finding id -> (kind, detected_ms)

    def points(self) -> Iterable[Point]:
        return chain.from_iterable(c.points for c in self.chunks)

    def forgotten_to_ms(self) -> int | None:
        """The last instant that was forgotten, None where nothing was."""
        last = self.chunks[0].start.last if self.chunks else None
        return None if last is None else last.t_ms

    def wake_at_ms(self) -> int | None:
        """When there is something to say although nothing is heard, or None.

        That is when silence is told (after it began, by what is held back), when an open episode counts as lost, when
        what an event-driven stream said last has held for long enough, or when the limits change.
        """
        if not self.chunks:
            return None
        end = self.chunks[-1].end
        times: list[int] = []
        if self.plan.changes:
            since = max(self.changed_to_ms, self.chunks[-1].last_ms)
            times = [at for at, _ in self.plan.changes if at > since][:1]
        if self.plan.event_driven:
            times += [at for at in _present(self)[0].due_ms() if at > self.held_to_ms]
        else:
            if self.plan.silence and self.silent is None:
                times.append(_silence_ms(self))
            if not self.lost and end.walker.has_open_episode():
                times.append(_lost_ms(self))
        return min(times, default=None)

    def standing(self) -> list[RuleFinding]:
        """Everything that stands, each with its detection time."""
        return [replace(f, detected_ms=self.detected[i][1]) for i, f in _said(self, self.chunks).items()]


# --- taking facts in --------------------------------------------------------------------------------------


def _first_ms(chunk: Chunk) -> int:
    return chunk.first_ms


class _Overlay:
    """The instants that a set of facts changes, read through to the state."""

    def __init__(self, state: StreamState) -> None:
        self.state = state
        self.index: Index | None = state.index
        self.fresh_blocks: set[int] = set()
        self.table: dict[int, dict[int | None, Values]] = {}

    def chunk_of(self, t_ms: int) -> int:
        return max(0, bisect_right(self.state.chunks, t_ms, key=_first_ms) - 1)

    def at(self, t_ms: int) -> dict[int | None, Values]:
        entries = self.table.get(t_ms)
        if entries is None:
            entries = self.table[t_ms] = dict(self._stored(t_ms))
        return entries

    def _stored(self, t_ms: int) -> Entries:
        if not self.state.chunks:
            return {}
        points = self.state.chunks[self.chunk_of(t_ms)].points
        i = bisect_left(points, t_ms, key=lambda p: p.t_ms)
        return dict(points[i].entries) if i < len(points) and points[i].t_ms == t_ms else {}

    def _block(self, seq: int) -> dict[int, int]:
        """The index block of a sequence number, copied once before it is written."""
        number = seq // _INDEX_BLOCK
        if not self.fresh_blocks:
            self.index = dict(self.index or {})
        assert self.index is not None  # noqa: S101  (set on the line above)
        if number not in self.fresh_blocks:
            self.fresh_blocks.add(number)
            self.index[number] = dict(self.index.get(number, {}))
        return self.index[number]

    def take(self, fact: ReadingFact) -> None:
        """One fact. The same device_seq at another time is the same reading; its earliest time counts."""
        seq, t_ms = fact.device_seq, fact.t_ms
        values: Values = frozenset((value_of(fact),))
        if seq is not None:
            block = self._block(seq)
            known_ms = block.get(seq)
            if known_ms is None:
                block[seq] = t_ms
            elif known_ms <= t_ms:
                t_ms = known_ms
            else:
                values |= self.at(known_ms).pop(seq)
                block[seq] = t_ms
        entries = self.at(t_ms)
        entries[seq] = entries.get(seq, frozenset()) | values

    def by_chunk(self) -> dict[int, dict[int, dict[int | None, Values]]]:
        groups: dict[int, dict[int, dict[int | None, Values]]] = {}
        for t_ms, entries in self.table.items():
            groups.setdefault(self.chunk_of(t_ms), {})[t_ms] = entries
        return groups


def _merged(points: Sequence[Point], changes: dict[int, dict[int | None, Values]]) -> tuple[Point, ...] | None:
    """The points with the changed instants, or None when nothing is new."""
    table = {p.t_ms: p for p in points}
    changed = False
    for t_ms, entries in changes.items():
        made = point(t_ms, entries) if entries else None
        if made == table.get(t_ms):
            continue
        changed = True
        if made is None:
            del table[t_ms]
        else:
            table[t_ms] = made
    return tuple(table[t] for t in sorted(table)) if changed else None


def _pieces(points: tuple[Point, ...]) -> list[tuple[Point, ...]]:
    if len(points) <= _SPLIT_OVER:
        return [points] if points else []
    return [points[i : i + _PIECE] for i in range(0, len(points), _PIECE)]


def absorb(state: StreamState, facts: Iterable[ReadingFact]) -> StreamState:
    """The state that also knows ``facts``. ``silent`` and ``detected`` are left for ``settle``."""
    overlay = _Overlay(state)
    for fact in facts:
        overlay.take(fact)
    lists: list[tuple[Point, ...] | Chunk] = list(state.chunks)
    changed = False
    for i, changes in sorted(overlay.by_chunk().items()):
        chunk = state.chunks[i] if state.chunks else None
        merged = _merged(chunk.points if chunk else (), changes)
        if merged is None:
            continue
        changed = True
        if chunk is None:
            lists = [merged]
        else:
            lists[i] = merged
    state = replace(state, index=overlay.index)
    return _refold(state, lists) if changed else state


def _refold(state: StreamState, lists: Sequence[tuple[Point, ...] | Chunk]) -> StreamState:
    """Fold anew what changed. A chunk object stays as it is while the walker before it stays the same."""
    warm = state.warm
    if len(warm) < LEARN_FROM or not isinstance(lists[0], Chunk):
        points = chain.from_iterable(x.points if isinstance(x, Chunk) else x for x in lists)
        first = state.chunks[0].start.last if state.chunks else None
        if first is None:  # else the stream's beginning is forgotten and ``warm`` stands
            warm = warm_up([p.t_ms for p in islice(points, LEARN_FROM + 1)])
    walker = _first_walker(state, lists, warm)
    made: list[Chunk] = []
    if warm == state.warm:  # chunks before the first changed one stand as they are
        kinds = list(map(type, lists))  # by C: a step must not cost more the longer a history is
        made = lists[: kinds.index(tuple)] if tuple in kinds else lists[:]  # type: ignore[assignment]
        walker = made[-1].end if made else walker
    for i in range(len(made), len(lists)):
        piece = lists[i]
        if isinstance(piece, Chunk) and piece.start.same_as(walker):
            made.append(piece)
            walker = piece.end
            continue
        old = state.chunks[i] if i < len(state.chunks) else None
        for part in _pieces(piece.points if isinstance(piece, Chunk) else piece):
            chunk = _grown(old, part, walker) or _folded(part, walker)
            made.append(chunk)
            walker = chunk.end
    return replace(state, chunks=tuple(made), warm=warm)


def _first_walker(
    state: StreamState, lists: Sequence[tuple[Point, ...] | Chunk], warm: tuple[int, ...]
) -> StreamWalker:
    if state.chunks and state.chunks[0].start.last is not None:
        return state.chunks[0].start  # the part before was forgotten; its walker stands for it
    first_ms = 0  # only a settling time asks for the true one
    if any(t.ignore_first_ms for t in state.plan.thresholds):
        points = chain.from_iterable(x.points if isinstance(x, Chunk) else x for x in lists)
        first_ms = next((p.t_ms for p in points), 0)
    return StreamWalker(Walker(state.plan, first_ms), Learner(state.plan.interval_ms, warm))


def _folded(points: tuple[Point, ...], start: StreamWalker) -> Chunk:
    closed: list[RuleFinding] = []
    walker = start.copy()
    walker.advance_all(points, closed)
    return Chunk(points, start, walker, tuple(closed))


def _grown(old: Chunk | None, points: tuple[Point, ...], start: StreamWalker) -> Chunk | None:
    """The chunk ``old`` with newer points at its end, when that is all that changed."""
    if old is None:
        return None
    n = len(old.points)
    if not 0 < n < len(points) or points[:n] != old.points or not old.start.same_as(start):
        return None
    closed: list[RuleFinding] = []
    walker = old.end.copy()
    walker.advance_all(points[n:], closed)
    return Chunk(points, old.start, walker, (*old.closed, *closed))


def resume(plan: Plan, start: StreamWalker, warm: tuple[int, ...], facts: Iterable[ReadingFact]) -> StreamState:
    """A stream whose past was walked elsewhere: ``start`` stands for it, all ``facts`` come after it."""
    overlay = _Overlay(StreamState(plan))
    for fact in facts:
        overlay.take(fact)
    points = _merged((), {t_ms: entries for t_ms, entries in overlay.table.items() if entries}) or ()
    chunks: list[Chunk] = []
    for part in _pieces(points):
        chunks.append(_folded(part, chunks[-1].end if chunks else start))
    return StreamState(plan, tuple(chunks), overlay.index, warm)


# --- what changed -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Settled:
    """A stream after a step: its state, what is said anew or otherwise, and which of it is news."""

    state: StreamState
    findings: tuple[RuleFinding, ...]
    news: frozenset[str]


def _silence_ms(state: StreamState) -> int:
    """When silence is told: three intervals after the last reading, and what the edge may hold back."""
    last = state.chunks[-1]
    return last.last_ms + SILENCE_INTERVALS * last.end.learner.interval_ms() + state.plan.held_back_ms


def _lost_ms(state: StreamState) -> int:
    """When an open episode ends because nothing is heard: as silence, and not before the gap rule gives it up."""
    last = state.chunks[-1]
    return max(_silence_ms(state), last.last_ms + max_gap_ms(last.end.learner.interval_ms()) + 1)


def _present(state: StreamState) -> tuple[Walker, list[RuleFinding]]:
    """The last walker under the limits of now, and what ended with the limits before."""
    end, last_ms = state.chunks[-1].end, state.chunks[-1].last_ms
    if not state.changed_to_ms:
        return end.walker, []
    interval = end.learner.interval_ms()
    held_ms = state.changed_to_ms - last_ms
    if not state.plan.event_driven and held_ms > max_gap_ms(interval):
        held_ms = interval
    walker = end.walker.copy()
    closed: list[RuleFinding] = []
    walker.change_until(state.changed_to_ms, held_ms, closed)
    return walker, closed


def _as_of(state: StreamState, now_ms: int) -> StreamState:
    """The state with what the clock alone says of it at ``now_ms``."""
    if not state.chunks:
        return state
    plan, end, last_ms = state.plan, state.chunks[-1].end, state.chunks[-1].last_ms
    since = [at for at, _ in plan.changes if last_ms < at <= now_ms] if plan.changes else []
    state = replace(state, changed_to_ms=since[-1] if since else 0, silent=None, held_to_ms=0, lost=False)
    if plan.event_driven:
        return replace(state, held_to_ms=max((at for at in _present(state)[0].due_ms() if at <= now_ms), default=0))
    silent = None
    if plan.silence and now_ms >= _silence_ms(state):
        interval, out = end.learner.interval_ms(), end.walker.in_excursion()
        silent = silence(plan, end.walker.thresholds, last_ms, interval, out, None)
    lost = end.walker.has_open_episode() and now_ms >= _lost_ms(state)
    return replace(state, silent=silent, lost=lost)


def _by_clock(state: StreamState) -> tuple[object, ...]:
    return state.silent, state.held_to_ms, state.changed_to_ms, state.lost


def _differing(old: Sequence[Chunk], new: Sequence[Chunk]) -> tuple[Sequence[Chunk], Sequence[Chunk]]:
    """Both without the chunks they share at either end."""
    shared = min(len(old), len(new))
    same = list(map(is_, old, new))
    low = same.index(False) if False in same else shared
    high = 0
    while high < shared - low and old[-1 - high] is new[-1 - high]:
        high += 1
    return old[low : len(old) - high], new[low : len(new) - high]


def _said(state: StreamState, chunks: Sequence[Chunk]) -> dict[str, RuleFinding]:
    found = {f.finding_id: f for c in chunks for f in c.closed}
    if state.chunks:
        walker, ended = _present(state)
        # Silence: the last reading counts one interval, and no more will come of it.
        held_ms = state.chunks[-1].end.learner.interval_ms() if state.lost or state.silent is not None else 0
        if state.held_to_ms:
            held_ms = state.held_to_ms - state.chunks[-1].last_ms
        found |= {f.finding_id: f for f in (*ended, *walker.open_findings(held_ms, lost=state.lost))}
    if state.silent is not None:
        found[state.silent.finding_id] = state.silent
    return found


def settle(old: StreamState, new: StreamState, now_ms: int, heard: dict[str, RuleFinding] | None = None) -> Settled:
    """Compare what stood with what stands; date what is new; withdraw what fell.

    ``heard`` replaces what ``old`` said, for a restart from records (``engine.restore``).
    """
    new = _as_of(new, now_ms)
    if old.chunks is new.chunks and _by_clock(old) == _by_clock(new) and heard is None:
        return Settled(replace(new, detected=old.detected), (), frozenset())
    old_part, new_part = _differing(old.chunks, new.chunks)
    before = _said(old, old_part) if heard is None else heard
    after = _said(new, new_part if heard is None else new.chunks)
    if before == after and heard is None:
        return Settled(replace(new, detected=old.detected), (), frozenset())
    dates = dict(old.detected)
    if heard is not None:
        dates = {i: (f.kind.value, f.detected_ms) for i, f in heard.items()}
    findings, news = _reconciled(before, after, dates, now_ms)
    return Settled(replace(new, detected=dates), findings, news)


def _reconciled(
    before: Mapping[str, RuleFinding],
    after: Mapping[str, RuleFinding],
    dates: dict[str, tuple[str, int]],
    now_ms: int,
) -> tuple[tuple[RuleFinding, ...], frozenset[str]]:
    """What to say so that ``before`` becomes ``after``; ``dates`` is brought up to date in place."""
    gone = [f for i, f in before.items() if i not in after]
    split = _splits(before, after)
    out: list[RuleFinding] = []
    news: set[str] = set()
    replaced: dict[str, list[str]] = {}
    for i, f in after.items():
        was = before.get(i)
        taken = _overlap if was is None else _grew_over
        moved = tuple(g.finding_id for g in gone if taken(g, f))
        for g in moved:
            replaced.setdefault(g, []).append(i)
        told = replace(f, supersedes=moved, details=(*f.details, *split.get(i, ())))
        if was is not None and was.kind is f.kind:
            if moved or i in split or not _same(was, f):
                out.append(replace(told, detected_ms=dates[i][1]))
            continue
        dates[i] = (f.kind.value, now_ms)
        news.add(i)
        out.append(replace(told, detected_ms=now_ms))
    for f in gone:
        detected = dates.pop(f.finding_id, ("", now_ms))[1]
        heirs = replaced.get(f.finding_id)
        reason = f"superseded by {', '.join(heirs)}" if heirs else "late_data"
        out.append(replace(f, kind=Kind.WITHDRAWN, reason=reason, detected_ms=detected))
    return tuple(out), frozenset(news)


def _splits(
    before: Mapping[str, RuleFinding], after: Mapping[str, RuleFinding]
) -> dict[str, tuple[tuple[str, str], ...]]:
    """Late facts cut an episode in two: its finding says what came of its later part, and that where it came from."""
    made: dict[str, tuple[tuple[str, str], ...]] = {}
    if all(i in before for i in after):
        return made
    for i, f in after.items():
        if i in before:
            continue
        for g in before.values():
            now = after.get(g.finding_id)
            if now is None or now.end_ms is None or not _is_later_part(g, now.end_ms, f):
                continue
            made[g.finding_id] = (*made.get(g.finding_id, ()), (SPLIT_INTO, i))
            made[i] = ((SPLIT_FROM, g.finding_id),)
    return made


def _is_later_part(whole: RuleFinding, now_ends_ms: int, part: RuleFinding) -> bool:
    if (whole.code, whole.profile) != (part.code, part.profile) or whole.readings is None:
        return False
    return whole.episode_start_ms < part.episode_start_ms <= whole.readings.last_ms and (
        now_ends_ms <= part.episode_start_ms
    )


def reconcile(
    said: Iterable[RuleFinding], found: Iterable[RuleFinding], now_ms: int
) -> tuple[tuple[RuleFinding, ...], frozenset[str]]:
    """(findings to save, ids that are news), so that what was said becomes what is found. For batch findings."""
    before = {f.finding_id: f for f in said}
    dates = {i: (f.kind.value, f.detected_ms) for i, f in before.items()}
    return _reconciled(before, {f.finding_id: f for f in found}, dates, now_ms)


def _same(a: RuleFinding, b: RuleFinding) -> bool:
    """Whether b says no more than a; a finding kept before readings were named need not be said again for them."""
    known = b.readings if a.readings is None else a.readings
    if _own(a.details) != _own(b.details):
        return False
    bare = replace(a, detected_ms=0, supersedes=(), readings=known, details=())
    return bare == replace(b, detected_ms=0, supersedes=(), details=())


def _own(details: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple(row for row in details if row[0] not in (SPLIT_FROM, SPLIT_INTO)) if details else ()


def _grew_over(gone: RuleFinding, now: RuleFinding) -> bool:
    """Whether an episode that was said before goes on over one that fell (late facts joined the two)."""
    if (gone.code, gone.profile) != (now.code, now.profile):
        return False
    return now.episode_start_ms <= gone.episode_start_ms and (
        now.end_ms is None or gone.episode_start_ms < now.end_ms
    )


def _overlap(gone: RuleFinding, new: RuleFinding) -> bool:
    """Whether a finding that fell and one that rose speak of the same excursion."""
    if (gone.code, gone.profile) != (new.code, new.profile):
        return False
    starts_before_end = gone.end_ms is None or new.episode_start_ms <= gone.end_ms
    return starts_before_end and (new.end_ms is None or gone.episode_start_ms <= new.end_ms)


def forget(state: StreamState, before_ms: int) -> StreamState:
    """The state without chunks that end before ``before_ms``; the walker at the cut stands for them.

    Facts from before the cut cannot be judged by it any more: rebuild the stream from the store for those.
    The last chunk always stays, and all of them while the stream's interval is being learnt from them.
    """
    keep = 0
    while keep < len(state.chunks) - 1 and state.chunks[keep].last_ms < before_ms:
        keep += 1
    if not keep or _is_learning_from(state, keep):
        return state
    dropped = {f.finding_id for c in state.chunks[:keep] for f in c.closed}
    kept_index = None
    if state.index is not None:
        cut_ms = state.chunks[keep].first_ms
        blocks = ((n, {s: t for s, t in b.items() if t >= cut_ms}) for n, b in state.index.items())
        kept_index = {n: b for n, b in blocks if b}
    return replace(
        state,
        chunks=state.chunks[keep:],
        index=kept_index,
        detected={i: d for i, d in state.detected.items() if i not in dropped},
    )


def _is_learning_from(state: StreamState, keep: int) -> bool:
    """Whether the first ``keep`` chunks still teach the interval: its first 16 differences serve all readings before the
    17th, so that a reading that comes late among them, or after too few, changes how the oldest ones are judged.
    """
    if state.plan.interval_ms is not None or state.chunks[0].start.last is not None:
        return False
    return sum(len(c.points) for c in state.chunks[:keep]) <= LEARN_FROM


def replan(state: StreamState, plan: Plan) -> StreamState:
    """The same points under another plan, folded anew.

    What was forgotten stays judged as it was where the plan of that time is the same (limits are dated); else it cannot
    be judged anew and is left out.
    """
    fresh = StreamState(plan, index=state.index)
    if not state.chunks:
        return fresh
    points = [c.points for c in state.chunks]
    start = state.chunks[0].start
    walker = None if start.last is None else start.walker.under(plan, start.last.t_ms)
    settings = (state.plan.interval_ms, state.plan.event_driven, state.plan.silence)
    if walker is None or settings != (plan.interval_ms, plan.event_driven, plan.silence):
        return _refold(fresh, points)
    learner = Learner(start.learner.declared_ms, start.learner.warm, start.learner.last)
    begin = StreamWalker(walker, learner, start.last)
    bridge = Chunk((), begin, begin, ())  # stands for what was forgotten
    return _refold(replace(fresh, chunks=(bridge,), warm=state.warm), points)
