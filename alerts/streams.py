"""The rules' state over a kill and over years: what is remembered is what is open, and the rest is read from disk.

    fresh facts ─▶ step(State) ─────────────────────────▶ findings
        │ older than the state reaches, or the stream's limits changed
        └▶ rebuild(all readings of that one stream) ─────▶ findings, and a state cut at ``keep_ms`` again

Every hour the state forgets what ended more than ``keep_ms`` before now. Facts from before that cut, and device
numbers that were first heard before it, cannot be judged by the state any more: the stream is made anew from disk,
with what was said of it, so that the answer is the answer from scratch.

A stream with marked readings has two states: with these unknown, and as if nothing were marked. What is said is laid
together from both (``rebuild.Both``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from alerts.amended import NOTHING_SAID, Amendments
from alerts.memory import Memory
from alerts.rebuild import Both, rebuild
from alerts.rules import Profiles, ReadingFact, RuleFinding, State, reconcile, step

Key = tuple[str, str]  # (equipment, stream id)
Said = Callable[[str, str], Iterable[RuleFinding]]
"""What the records say of a stream in an equipment, not withdrawn; may raise NeighbourDownError."""

_FORGET_EVERY_MS = 3_600_000


class StreamJudge:
    """Used from one thread. What a raised error left undone is done at the next call."""

    def __init__(self, memory: Memory, keep_ms: int, said: Said) -> None:
        self._memory = memory
        self._keep_ms = keep_ms
        self._said = said
        self._due: dict[Key, None] = {}
        self._facts: list[ReadingFact] = []
        self._found: list[RuleFinding] = []
        self._forgot_ms: int | None = None
        self._started = False
        self._amended = NOTHING_SAID
        self.state = State()
        self._raw = State()  # of streams with marked readings, as if nothing were marked
        self._both: dict[Key, Both] = {}

    def forget_all(self) -> None:
        """Before a start: nothing is known, and facts that arrive are left on disk."""
        self.state, self._raw, self._both, self._started = State(), State(), {}, False
        self._facts, self._found, self._due = [], [], {}

    def start(self, keys: Iterable[Key]) -> None:
        """These streams are made from disk at the next ``judge``, with all that arrived meanwhile."""
        self._due, self._started = dict.fromkeys(keys), True

    def make_again(self, key: Key) -> None:
        """Facts of a stream are no longer where they were: it is made from disk at the next ``judge``."""
        if self._started:
            self._due[key] = None

    def add(self, facts: Iterable[ReadingFact]) -> None:
        """Facts that the memory holds already, to be judged."""
        if self._started:
            self._facts += facts

    def has_all(self) -> bool:
        """Whether everything that was added is judged."""
        return not (self._due or self._facts)

    def silent(self) -> list[tuple[str, int]]:
        """(equipment, time of the last reading) of the streams that are silent now."""
        held = ((key[0], s.silent) for key, s in self.state.streams.items())
        return [(equipment, f.episode_start_ms) for equipment, f in held if f is not None]

    def is_due(self, now_ms: int) -> bool:
        wakes = (self.state.wake_at_ms, self._raw.wake_at_ms)
        return bool(self._due or self._facts) or any(wake is not None and now_ms >= wake for wake in wakes)

    def judge(self, profiles: Profiles, now_ms: int, amended: Amendments = NOTHING_SAID) -> list[RuleFinding]:
        """What is new, changed or withdrawn. Raises NeighbourDownError: call again, nothing was skipped.

        ``amended``: what people said of readings; a stream of which they say something else now is made from disk.
        """
        if amended is not self._amended:
            was, self._amended = self._amended, amended
            self._due |= dict.fromkeys(key for key in self.state.streams if amended.of(key[1]) != was.of(key[1]))
        near = self._within_reach()
        new = {(f.equipment, f.stream_id) for f in near} - self.state.streams.keys()
        self._due |= dict.fromkeys(key for key in new if key[1] in amended.marks)
        self._due |= dict.fromkeys(self._replanned(profiles))
        made_anew = set(self._due)
        for key in made_anew:
            self._make(key, profiles, now_ms)
        # What was made from disk knows its fresh facts already.
        fresh = [f for f in near if (f.equipment, f.stream_id) not in made_anew]
        made = step(self.state, amended.facts(fresh), profiles, now_ms)
        unmarked = amended.unmarked.facts(f for f in fresh if (f.equipment, f.stream_id) in self._both)
        raw = step(self._raw, unmarked, profiles, now_ms)
        self.state, self._raw = made.state, raw.state
        plain = [f for f in made.findings if (f.equipment, f.stream_id) not in self._both]
        findings = [*self._found, *map(amended.named, plain)]
        for key in dict.fromkeys((f.equipment, f.stream_id) for f in (*made.findings, *raw.findings)):
            if key in self._both:
                self._both[key], told, _ = self._kept(key).say(amended, now_ms)
                findings += told
        self._facts, self._found = [], []
        self._forget(now_ms)
        return findings

    def _kept(self, key: Key) -> Both:
        """Both sides of a stream with marked readings, as their states are now."""
        both = self._both[key]
        return replace(
            both,
            raw=replace(both.raw, state=self._raw.streams[key]),
            counted=replace(both.counted, state=self.state.streams[key]),
        )

    def _within_reach(self) -> list[ReadingFact]:
        """The facts that the state can take in; the streams of the others are due to be made from disk."""
        near = []
        for fact in self._facts:
            key = (fact.equipment, fact.stream_id)
            oldest_ms = self.state.oldest_ms(*key)
            if oldest_ms is not None and self._memory.first_ms(fact) < oldest_ms:
                self._due[key] = None
            else:
                near.append(fact)
        return near

    def _replanned(self, profiles: Profiles) -> list[Key]:
        if self.state.profiles is None or self.state.profiles is profiles or self.state.profiles == profiles:
            return []
        return [key for key, held in self.state.streams.items() if profiles.plan(*key) != held.plan]

    def _make(self, key: Key, profiles: Profiles, now_ms: int) -> None:
        history = self._memory.columns(*key)
        # What was said of times before all facts of the stream is history: none of ours can deny it. What was said of
        # facts that are in another equipment now is denied by their going.
        first_ms = self._memory.start_of(key[1])
        said = [] if first_ms is None else [f for f in self._said(*key) if f.episode_start_ms >= first_ms]
        others = {k: s for k, s in self._raw.streams.items() if k != key}
        self._both.pop(key, None)
        if history.t_ms.size:
            made = rebuild(history, profiles.plan(*key), said, now_ms - self._keep_ms, now_ms, self._amended)
            self.state = replace(self.state, streams={**self.state.streams, key: made.state})
            if made.marked is not None:
                self._both[key], others[key] = made.marked, made.marked.raw.state
            self._found += made.findings
        else:
            self.state = replace(self.state, streams={k: s for k, s in self.state.streams.items() if k != key})
            self._found += reconcile(said, (), now_ms)[0]
        self._raw = replace(self._raw, streams=others)
        del self._due[key]

    def _forget(self, now_ms: int) -> None:
        if self._forgot_ms is None or not self._forgot_ms <= now_ms < self._forgot_ms + _FORGET_EVERY_MS:
            self._forgot_ms, before_ms = now_ms, now_ms - self._keep_ms
            for key in self._both:
                kept = self._kept(key)
                self._both[key] = replace(
                    kept, raw=kept.raw.forget(before_ms), counted=kept.counted.forget(before_ms)
                )
            self.state, self._raw = self.state.forget(before_ms), self._raw.forget(before_ms)
