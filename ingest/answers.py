"""Which receipts and requests go out, and when. Pure: it is told what was taken and the time, and says what to send.

Theory. A receipt is what an edge forgets by, and each one costs the edge's data package about 200 bytes, so it goes

- at once for a hello, and for whatever an edge must learn: something missing, quarantined, doubled or refused;
- at once for an upload that does not say ``lazy``; while messages press, a quarter of a second later, for then one
  receipt answers many;
- for a lazy upload when its time is up, or with the next receipt of its epoch, whichever comes first;
- for every edge at each (re)connection: what was published before may have died with the broker.

Lost receipts do no harm: the edge asks again by sending again. Memory only: a restarted ingest connects anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ingest.epochs import EpochKey, EpochState
from ingest.gaps import GapWatch
from telemetry.contract import Receipt, Request

PRESSED_MS = 250


class Books(Protocol):
    """What is asked of the ledger."""

    @property
    def states(self) -> Mapping[EpochKey, EpochState]: ...

    def current_keys(self) -> list[EpochKey]: ...

    def is_current(self, key: EpochKey) -> bool: ...

    def receipt(self, key: EpochKey) -> Receipt: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """One message to an edge. ``retain``: the broker keeps it for an edge that connects later."""

    shard: str
    key: EpochKey
    body: Receipt | Request
    retain: bool


@dataclass(slots=True)
class Answers:
    """Times are ms of one clock that never goes back; ``linger_ms`` is how long a lazy upload's receipt may wait."""

    linger_ms: int = 3_600_000
    gaps: GapWatch = field(default_factory=GapWatch)
    _soon: dict[EpochKey, int] = field(default_factory=dict)
    _later: dict[EpochKey, int] = field(default_factory=dict)
    _touched: set[EpochKey] = field(default_factory=set)
    _look_ms: int = 0
    _tell_all: bool = False

    def connected(self) -> None:
        """A connection began: everybody is told anew."""
        self._tell_all = True

    def taken(self, lazy: Mapping[EpochKey, bool], now_ms: int) -> None:
        """``Intake.take`` kept something of these epochs; True where the receipt may wait."""
        for key, may_wait in lazy.items():
            if may_wait:
                self._later.setdefault(key, now_ms + self.linger_ms)
                self._touched.add(key)
            else:
                self._soon.setdefault(key, now_ms)

    def receipts(self, books: Books, now_ms: int, *, pressed: bool = False) -> list[Answer]:
        """The receipts to send now. Of one edge the epoch it lives in comes last, and only that one is retained.

        ``pressed``: more messages wait to be read.
        """
        self._sort_out(books, now_ms)
        latest_ms = now_ms - PRESSED_MS if pressed else now_ms
        due = [key for key, at_ms in self._soon.items() if at_ms <= latest_ms]
        if not due:
            return []
        told = []
        for key in sorted(due, key=books.is_current):
            del self._soon[key]
            self._later.pop(key, None)
            state = books.states.get(key)
            if state is not None and state.shard:  # a ledger made anew from the journal learns the shard by a message
                told.append(Answer(state.shard, key, books.receipt(key), books.is_current(key)))
        return told

    def _sort_out(self, books: Books, now_ms: int) -> None:
        """Move what may wait no longer from later to soon."""
        hurry = [key for key in self._touched if _open(books.states.get(key))]
        self._touched.clear()
        if now_ms >= self._look_ms:
            self._look_ms = now_ms + PRESSED_MS
            hurry += [key for key, at_ms in self._later.items() if at_ms <= now_ms]
        if self._tell_all:
            self._tell_all = False
            hurry += books.current_keys()
        for key in hurry:
            self._later.pop(key, None)
            self._soon.setdefault(key, now_ms)

    def requests(self, books: Books, now_ms: int) -> list[Answer]:
        """What to ask for again now."""
        missing = {key: books.states[key].missing for key in books.current_keys()}
        return [
            Answer(books.states[key].shard, key, request, retain=False)
            for key, request in self.gaps.due(missing, now_ms)
            if books.states[key].shard
        ]


def _open(state: EpochState | None) -> bool:
    """Whether a number below the highest one received is not received."""
    if state is None or not state.have:
        return True
    return bool(state.missing_below(state.have.spans[-1][1]))
