"""``step`` and ``judge``: the two doors of the rules, with the same answer behind both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from alerts.rules import stream
from alerts.rules.facts import RuleFact
from alerts.rules.finding import RuleFinding
from alerts.rules.limits import Profiles
from alerts.rules.stream import StreamState, absorb, settle

Key = tuple[str, str]  # (equipment, stream id)


@dataclass(frozen=True, slots=True)
class State:
    """What the rules remember. Opaque to callers; start with ``State()``; never changed in place."""

    streams: Mapping[Key, StreamState] = field(default_factory=dict)
    profiles: Profiles | None = None
    wake_at_ms: int | None = None

    def forget(self, before_ms: int) -> State:
        """Drop history that ended before a time; open episodes and counters stay (see ``stream.forget``)."""
        kept = {key: stream.forget(s, before_ms) for key, s in self.streams.items()}
        return replace(self, streams=kept)

    def oldest_ms(self, equipment: str, stream_id: str) -> int | None:
        """From when on late facts of a stream can still be judged; None where nothing was forgotten."""
        held = self.streams.get((equipment, stream_id))
        cut_ms = None if held is None else held.forgotten_to_ms()
        return None if cut_ms is None else cut_ms + 1


@dataclass(frozen=True, slots=True)
class Step:
    """The outcome of a step.

    ``findings``: every finding that is new, changed (an episode goes on or ended) or withdrawn, to be saved by id.
    ``news``: ids that nobody has been told of in this kind. ``wake_at_ms``: step again then, even without facts.
    ``too_old``: facts from before ``State.forget``'s cut, not taken in: rebuild with ``restore`` from the store.
    """

    state: State
    findings: tuple[RuleFinding, ...]
    wake_at_ms: int | None
    news: frozenset[str] = frozenset()
    too_old: tuple[RuleFact, ...] = ()


def step(state: State, facts: Sequence[RuleFact], profiles: Profiles, now_ms: int) -> Step:
    """Take facts in, in any order, any number of times. An empty ``facts`` is a wake-up.

    ``profiles`` other than at the last step: the streams whose limits changed are judged anew.
    Raises ValueError for a value of more than three places, before anything is taken in.
    """
    groups: dict[Key, list[RuleFact]] = {}
    too_old: list[RuleFact] = []
    for fact in facts:
        oldest_ms = state.oldest_ms(fact.equipment, fact.stream_id)
        if oldest_ms is not None and fact.t_ms < oldest_ms:
            too_old.append(fact)
        else:
            groups.setdefault((fact.equipment, fact.stream_id), []).append(fact)
    streams = dict(state.streams)
    touched = dict.fromkeys(groups)
    replanned = _replanned(state, profiles)
    touched |= dict.fromkeys(replanned)
    if state.wake_at_ms is not None and now_ms >= state.wake_at_ms:
        due = (k for k, s in state.streams.items() if (at := s.wake_at_ms()) is not None and at <= now_ms)
        touched |= dict.fromkeys(due)
    findings: list[RuleFinding] = []
    news: set[str] = set()
    for key in touched:
        old = streams.get(key) or StreamState(profiles.plan(*key))
        new = absorb(replanned.get(key, old), groups.get(key, ()))
        settled = settle(old, new, now_ms)
        streams[key] = settled.state
        findings += settled.findings
        news |= settled.news
    wake = min((at for s in streams.values() if (at := s.wake_at_ms()) is not None), default=None)
    return Step(State(streams, profiles, wake), tuple(findings), wake, frozenset(news), tuple(too_old))


def _replanned(state: State, profiles: Profiles) -> dict[Key, StreamState]:
    if state.profiles is None or state.profiles is profiles or state.profiles == profiles:
        return {}
    changed: dict[Key, StreamState] = {}
    for key, held in state.streams.items():
        plan = profiles.plan(*key)
        if plan != held.plan:
            changed[key] = stream.replan(held, plan)
    return changed


def standing(state: State) -> list[RuleFinding]:
    """All findings that stand, in order of event, each with its detection time."""
    found = [f for s in state.streams.values() for f in s.standing()]
    return sorted(found, key=lambda f: (f.event_ms, f.finding_id))


def judge(facts: Sequence[RuleFact], profiles: Profiles, now_ms: int) -> list[RuleFinding]:
    """What stands, from scratch. The same findings as any sequence of steps, but for the detection times."""
    return standing(step(State(), facts, profiles, now_ms).state)


def restore(facts: Sequence[RuleFact], said: Iterable[RuleFinding], profiles: Profiles, now_ms: int) -> Step:
    """A state from stored facts and the findings that were said (not withdrawn), after a restart or a rebuild.

    What stands and was said keeps its detection time; what was said and does not stand is withdrawn; what stands
    and was never said is news. ``said`` must lie inside the span of ``facts`` (older findings are history).
    """
    heard: dict[Key, dict[str, RuleFinding]] = {}
    for f in said:
        heard.setdefault((f.equipment, f.stream_id), {})[f.finding_id] = f
    base = step(State(), facts, profiles, now_ms).state
    streams = dict(base.streams)
    findings: list[RuleFinding] = []
    news: set[str] = set()
    for key in dict.fromkeys((*streams, *heard)):
        held = streams.get(key) or StreamState(profiles.plan(*key))
        settled = settle(StreamState(held.plan), held, now_ms, heard.get(key, {}))
        streams[key] = settled.state
        findings += settled.findings
        news |= settled.news
    wake = min((at for s in streams.values() if (at := s.wake_at_ms()) is not None), default=None)
    return Step(State(streams, profiles, wake), tuple(findings), wake, frozenset(news))
