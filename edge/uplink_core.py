"""What to send when: the decisions of the uplink, without a clock, a socket or a task.

``step(now_s)`` says the next thing to do, one action with its reason: say hello, publish these facts, connect anew, or
wait. The shell (``edge/uplink.py``) does it and reports what came: ``connected``, ``disconnected``, ``receipt``,
``request``. ``now_s`` is any clock that only runs forward, in real seconds. The same calls in the same order give the
same actions, so that whole campaigns of lost, doubled and late messages are replayed from a seed.

Theory. A fact stays in the outbox until a receipt names its number. What was handed out and is not named is *in
flight*: entries of one message each, at most ``window_facts`` facts. Facts are handed out in the order of their
numbers; ``cursor`` is the last one. An entry comes out of flight by being named, or is sent again:

    a receipt names a later message and not this one      the message was lost: at once, but only once
    no receipt named it until its deadline                again; after a few times in two halves, down to a single fact
                                                          that is set aside until the next hello and holds up nothing
    no receipt at all came since                          the server is away: only one probe, ever more rarely

*Lazy* messages (``receipt_every_s`` > 0) have no deadline: nobody waits for their receipt until the next message that
is not lazy, or a hello, asks for it; from then on they are like the others.

A receipt can name what stood in the outbox when this life began, or what this life handed out. One that names more was
earned by a later life of this file: it is a backup written over the old one, and a new epoch begins (``renew``).

After a connect the hello is answered first (``greeting``): what an earlier life of this process or of the link sent is
named then and not sent again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from telemetry.contract import Receipt, Request
from telemetry.errors import NeighbourDownError
from telemetry.readings import Event, Fact, Numbered, Ranges, Reading

_KNOWN_REQUESTS = 64
# How often a message may go unnamed by receipts that do come before it is cut in two.
_PATIENCE = 3
_GREETING_S = 5.0
_LONGEST_SILENCE_S = 900.0  # a quarter of an hour: what a dead server costs in mobile data is 100 probes a day
# Probes without any receipt after which the connection itself is not trusted (a subscription may be gone).
_RECONNECT_AFTER = 6
# An event or a weighing may be large (a detail of 32 texts): so many fit below MAX_PAYLOAD_BYTES in any case.
_MAX_ITEMS = 50
# A hello that could tell of no reading yet is followed so soon by one that can: the ledger has the edge's own counts then.
# Not where readings wait for company to save mobile data, for a hello takes with it what waits.
_FIRST_COUNT_S = 60.0
# Numbers that were set aside and are tried again, each alone, with one hello.
_SECOND_CHANCES = 50
_BEYOND = 1 << 62
_UNHEARD = "uplink:unheard"


class Why(StrEnum):
    """The reason of an action."""

    CONNECTED = "connected"
    NEW_EPOCH = "new epoch"
    HELLO_DUE = "hello is due"
    AT_ONCE = "nothing is to be waited for"
    URGENT = "a value beyond a limit, an event or a weighing"
    SIZE = "enough facts for a message"
    AGE = "the oldest fact has waited long enough"
    BACKLOG = "facts from before the connection, the hello or the request"
    RECEIPT_DUE = "a receipt is to be asked for"
    ASKED = "the server asked for it"
    LOST = "a receipt names what was sent later"
    NO_RECEIPT = "no receipt in time"
    PROBE = "whether the server is back"
    HALVED = "a larger message was not taken"
    SECOND_CHANCE = "set aside earlier"
    SILENCE = "no receipt for long: the link may be half open"
    # waits
    OFFLINE = "not connected"
    GREETING = "the answer to hello"
    FILLING = "more facts for a message"
    RECEIPT = "receipts of what is in flight"
    IDLE = "nothing to do"


@dataclass(frozen=True, slots=True)
class Hello:
    """Say who we are; the server answers it at once."""

    epoch: str
    why: Why


@dataclass(frozen=True, slots=True)
class Publish:
    """One upload. ``lazy``: its receipt may wait. ``ticket`` is for ``UplinkCore.published``."""

    kind: str
    epoch: str
    facts: tuple[Numbered, ...]
    lazy: bool
    why: Why
    ticket: int = 0


@dataclass(frozen=True, slots=True)
class Wait:
    """Until ``until_s``, or until something comes or is appended; None: only that."""

    until_s: float | None
    why: Why


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Close the connection and make a new one."""

    why: Why


Action = Hello | Publish | Wait | Reconnect


@dataclass(frozen=True, slots=True)
class Policy:
    """How the link is used; see ``edge.example.toml``. Times are real seconds."""

    window_facts: int = 4000
    flush_facts: int = 1000
    flush_after_s: float = 0.0
    receipt_timeout_s: float = 20.0
    receipt_every_s: float = 0.0
    hello_every_s: float = 3600.0


class _Usage(Protocol):
    @property
    def numbered_to(self) -> int: ...


class Facts(Protocol):
    """What the core needs of an outbox (``edge.outbox.Outbox`` has it)."""

    @property
    def epoch(self) -> str: ...

    def pending(self, limit: int, after: int = 0) -> list[Numbered]: ...

    def received(self, have: Ranges, quarantined: Ranges) -> None: ...

    def renew(self) -> None: ...

    def produced(self) -> dict[str, int]: ...

    def hint(self, key: str) -> str | None: ...

    def append(self, facts: Sequence[Fact], hints: Mapping[str, str]) -> Ranges: ...

    def select(
        self,
        *,
        seq: Ranges | None = None,
        from_ms: int | None = None,
        to_ms: int | None = None,
        only: str = "all",
        limit: int = 1000,
    ) -> list[Numbered]: ...

    def usage(self) -> _Usage: ...


@dataclass(slots=True)
class _Entry:
    """One message: ``open`` are its numbers that no receipt named. Before it is sent it holds its facts."""

    kind: str
    open: Ranges
    why: Why
    lazy: bool = False
    patience: int = _PATIENCE
    facts: tuple[Numbered, ...] = ()
    order: int = 0  # of its last sending; 0 while it waits to be sent
    sent_s: float = 0.0
    deadline_s: float | None = None
    tries: int = 0
    heard: int = 0  # receipts heard before it was sent or asked for
    lost: bool = False


@dataclass(slots=True)
class _Answering:
    """A request that is being answered: ``left`` are the numbers still to look at, None for all that there are."""

    request: Request
    left: Ranges | None
    pages: deque[Publish] = field(default_factory=deque)


class UplinkCore:
    """See the module. ``urgent`` says which facts wait for nothing. Belongs to one task."""

    def __init__(self, policy: Policy, outbox: Facts, urgent: Callable[[Fact], bool]) -> None:
        self._policy = policy
        self._outbox = outbox
        self._urgent = urgent
        self._connected = False
        self._requests: deque[_Answering] = deque()
        self._answered: deque[str] = deque(maxlen=_KNOWN_REQUESTS)
        self._order = 0
        self._silent = 0
        self._heard = 0
        self._start_over()
        self._bound()

    def _start_over(self) -> None:
        """Numbers mean something in their epoch only."""
        self._epoch = self._outbox.epoch
        self._opened_to = self._outbox.usage().numbered_to
        self._bounded = False
        self._entries: list[_Entry] = []
        self._cursor = 0
        self._flush_to = 0
        self._aside = Ranges()
        self._ask_by_s: float | None = None
        self._waiting_since_s: float | None = None
        self._greeted_by_s: float | None = None
        self._hello_at_s: float | None = None
        self._hello_why = Why.NEW_EPOCH
        self._requests = deque(_Answering(a.request, None) for a in self._requests if not a.request.seq)

    def _bound(self) -> None:
        """Note durably what stood in the outbox when lives began that no receipt has reached yet: a restored file may
        be opened, numbered on and opened again before the first receipt tells what it once had given.
        """
        epoch, _, number = (self._outbox.hint(_UNHEARD) or "").partition(":")
        self._bounded = True
        if epoch == self._epoch and number.isdecimal():
            self._opened_to = min(self._opened_to, int(number))
        elif self._opened_to:
            self._note(f"{self._epoch}:{self._opened_to}")

    def _note(self, text: str) -> None:
        try:
            self._outbox.append([], {_UNHEARD: text})
        except NeighbourDownError:
            return  # a full disk takes no new numbers either

    # --- what may be asked -------------------------------------------------------------------------------

    @property
    def sent_to(self) -> int:
        """The highest number that was handed out in this epoch: facts up to it must not change any more."""
        return self._cursor

    @property
    def in_flight(self) -> Ranges:
        """Numbers that were handed out and that no receipt named."""
        return Ranges(span for entry in self._entries for span in entry.open.spans)

    @property
    def aside(self) -> Ranges:
        """Numbers that the server does not take; each gets another chance after a hello."""
        return self._aside

    # --- what came ---------------------------------------------------------------------------------------

    def connected(self, now_s: float) -> None:
        """The link is there and the topics are subscribed. The hello asks for all that is in flight."""
        self._connected = True
        self._hello_at_s, self._hello_why = now_s, Why.CONNECTED

    def disconnected(self) -> None:
        self._connected = False
        for entry in self._entries:
            entry.facts = ()  # they may be dated or thinned before the next connection
        for answering in self._requests:
            answering.pages.clear()  # whoever asked asks again for what a lost page held

    def receipt(self, receipt: Receipt, now_s: float, *, retained: bool = False) -> None:
        """A receipt came. ``retained``: the broker kept it, so it is no answer to what we just sent."""
        if receipt.epoch != self._outbox.epoch:
            return  # of an earlier life of this outbox
        named = receipt.have | receipt.quarantined
        if self._outbox.epoch == self._epoch and named and named.spans[-1][1] > max(self._opened_to, self._cursor):
            self._outbox.renew()  # numbers of a later life of this file: what we took since under them is another thing
        else:
            self._outbox.received(receipt.have, receipt.quarantined)
        if self._outbox.epoch != self._epoch:
            self._start_over()
            return
        if not retained:
            self._greeted_by_s = None
        # What names something in flight was said after it was sent, whatever the broker's flag says.
        if not retained or any(entry.order and entry.open & named for entry in self._entries):
            self._heard += 1
            if self._bounded:
                self._bounded = False
                if self._outbox.hint(_UNHEARD):
                    self._note("")
            if self._silent:
                self._silent = 0
                self._ask(now_s, anew=True)
                # What was a probe and is not named by the answer: only this receipt may ever come, so it counts.
                for entry in self._entries:
                    entry.heard -= entry.tries > 1
        self._name(named, now_s)

    def request(self, request: Request, now_s: float) -> None:
        """The server wants facts again. What it asked for and was not sent yet goes at once."""
        del now_s
        known = {a.request.request_id for a in self._requests} | set(self._answered)
        if request.request_id not in known and len(self._requests) < _KNOWN_REQUESTS:
            self._requests.append(_Answering(request, request.seq or None))
            self._flush_to = self._outbox.usage().numbered_to

    def published(self, now_s: float, ticket: int | None = None) -> None:
        """The broker has this message (None: the last one): its time starts to count now, however slow the link was."""
        number = self._order if ticket is None else ticket
        for entry in self._entries:
            if entry.order == number and number:
                if entry.deadline_s is not None:
                    entry.deadline_s += now_s - entry.sent_s
                entry.sent_s = now_s

    def _name(self, named: Ranges, now_s: float) -> None:
        """Take what is named out of flight; what was sent before a named message and is not named was lost."""
        newest = 0
        for entry in self._entries:
            left = entry.open - named
            if not left:
                newest = max(newest, entry.order)
            entry.open = left
        self._entries = [entry for entry in self._entries if entry.open]
        for entry in self._entries:
            if 0 < entry.order < newest and entry.tries == 1:
                entry.deadline_s, entry.lost = now_s, True
        self._aside -= named
        if not any(entry.order and entry.deadline_s is None for entry in self._entries):
            self._ask_by_s = None

    # --- what to do --------------------------------------------------------------------------------------

    def step(self, now_s: float) -> Action:
        """The next action; it counts as done. Call again after it, or when a wait ends."""
        if not self._connected:
            return Wait(None, Why.OFFLINE)
        if self._outbox.epoch != self._epoch:
            self._start_over()
        if self._hello_at_s is None or now_s >= self._hello_at_s:
            return self._hello(self._hello_why, now_s)
        if self._greeted_by_s is not None and now_s < self._greeted_by_s:
            return Wait(self._greeted_by_s, Why.GREETING)
        return (
            self._again(now_s)
            or self._planned(now_s)
            or self._new(now_s)
            or self._page(now_s)
            or self._asking(now_s)
            or self._waiting(now_s)
        )

    def _hello(self, why: Why, now_s: float) -> Action:
        """Greet; after it goes what waits, for the server would miss the numbers that the hello tells of."""
        if why in (Why.CONNECTED, Why.NEW_EPOCH):
            self._greeted_by_s = now_s + min(_GREETING_S, self._policy.receipt_timeout_s)
        if why is not Why.PROBE:
            self._flush_to = self._outbox.usage().numbered_to
            self._give_second_chances()
        next_s = self._policy.hello_every_s
        if why is Why.CONNECTED and self._policy.flush_after_s == 0 and not self._outbox.produced():
            next_s = min(next_s, _FIRST_COUNT_S)
        self._hello_at_s, self._hello_why = now_s + next_s, Why.HELLO_DUE
        self._ask(now_s, anew=why is Why.CONNECTED)
        return Hello(self._epoch, why)

    def _ask(self, now_s: float, *, anew: bool = False) -> None:
        """From now on a receipt is waited for, of lazy messages too; ``anew``: of all, from now."""
        for entry in self._entries:
            if entry.order and (anew or entry.deadline_s is None):
                entry.sent_s, entry.deadline_s = now_s, now_s + self._patience_s()
                entry.heard = self._heard
        self._ask_by_s = None

    def _patience_s(self) -> float:
        """How long to wait for a receipt: longer each time that none came at all."""
        timeout_s = self._policy.receipt_timeout_s
        return min(timeout_s * 2.0 ** min(self._silent, 16), max(timeout_s, _LONGEST_SILENCE_S))

    # again: what is in flight too long

    def _again(self, now_s: float) -> Action | None:
        while True:
            due = [e for e in self._entries if e.order and e.deadline_s is not None and e.deadline_s <= now_s]
            if not due:
                return None
            entry = min(due, key=lambda e: e.order)
            action: Action | None = None
            if entry.lost:
                action = self._repeat(entry, Why.LOST, now_s)
            elif self._heard == entry.heard:
                action = self._probe(entry, now_s)
            elif entry.tries < entry.patience:
                action = self._repeat(entry, Why.NO_RECEIPT, now_s)
            else:
                self._give_way(entry)
            if action is not None:
                return action

    def _probe(self, entry: _Entry, now_s: float) -> Action | None:
        """No receipt at all: by turns the oldest message again and a hello, and all others wait."""
        self._silent += 1
        self._ask(now_s, anew=True)
        if self._silent % _RECONNECT_AFTER == 0:
            self._connected = False
            return Reconnect(Why.SILENCE)
        if self._silent % 2 == 0:
            return self._hello(Why.PROBE, now_s)
        return self._repeat(entry, Why.NO_RECEIPT, now_s)

    def _repeat(self, entry: _Entry, why: Why, now_s: float) -> Action | None:
        """Send what of it is still open and in the outbox; None if nothing is."""
        facts = self._still_open(entry)
        entry.open, entry.facts = Ranges.of(n.seq for n in facts), tuple(facts)
        if not facts:
            self._entries.remove(entry)
            return None
        entry.why, entry.lazy = why, False
        return self._send(entry, now_s)

    def _still_open(self, entry: _Entry) -> list[Numbered]:
        """Its facts that wait for a receipt and are still there (an event may stand at the end for what is not)."""
        found = self._outbox.select(seq=entry.open, only="unreceipted", limit=len(entry.open))
        return [n for n in found if n.seq in entry.open]

    def _give_way(self, entry: _Entry) -> None:
        """Receipts come and never name it: cut it in two, or set a single fact aside."""
        facts = self._still_open(entry)
        place = self._entries.index(entry)
        if len(facts) == 1:
            self._aside = self._aside | Ranges.of([facts[0].seq])
            facts = []
        half = len(facts) // 2
        self._entries[place : place + 1] = [
            _Entry(entry.kind, Ranges.of(n.seq for n in part), Why.HALVED, patience=1, facts=tuple(part))
            for part in (facts[:half], facts[half:])
            if part
        ]

    def _give_second_chances(self) -> None:
        chosen = Ranges.of(seq for seq, _ in zip(self._aside, range(_SECOND_CHANCES), strict=False))
        facts = self._outbox.select(seq=chosen, only="unreceipted", limit=_SECOND_CHANCES) if chosen else []
        self._aside -= chosen
        for n in (n for n in facts if n.seq in chosen):
            seq = Ranges.of([n.seq])
            self._entries.append(_Entry(kind_of(n.fact), seq, Why.SECOND_CHANCE, patience=1, facts=(n,)))

    # new: what was never handed out

    def _planned(self, now_s: float) -> Action | None:
        """The next message that was planned and not sent; its facts are looked up anew if a connection lay between."""
        while True:
            entry = next((e for e in self._entries if not e.order), None)
            if entry is None:
                return None
            if not entry.facts:
                entry.facts = tuple(self._still_open(entry))
            entry.open &= Ranges.of(n.seq for n in entry.facts)
            if entry.open:
                return self._send(entry, now_s)
            self._entries.remove(entry)

    def _send(self, entry: _Entry, now_s: float) -> Publish:
        facts = tuple(n for n in entry.facts if n.seq in entry.open)
        entry.facts = ()
        self._order += 1
        entry.order, entry.sent_s, entry.tries = self._order, now_s, entry.tries + 1
        entry.deadline_s, entry.lost, entry.heard = None, False, self._heard
        if entry.lazy:
            if self._ask_by_s is None:
                self._ask_by_s = now_s + self._policy.receipt_every_s
        else:
            self._ask(now_s)
        return Publish(entry.kind, self._epoch, facts, entry.lazy, entry.why, entry.order)

    def _room(self) -> int:
        return self._policy.window_facts - sum(len(e.open) for e in self._entries)

    def _new(self, now_s: float) -> Action | None:
        """Hand out the next facts if there is room in the window and a reason not to wait."""
        room = self._room()
        limit = min(self._policy.flush_facts, room)
        facts = self._outbox.pending(limit, self._cursor) if limit > 0 else []
        if not facts:
            self._waiting_since_s = None
            return None
        if self._waiting_since_s is None:
            self._waiting_since_s = now_s
        why = self._flush_why(facts, limit, now_s)
        if why is None:
            return None
        self._cursor, self._waiting_since_s = facts[-1].seq, None
        lazy = self._may_wait(why, room - len(facts), now_s)
        self._entries += [
            _Entry(kind, Ranges.of(n.seq for n in part), why, lazy, facts=part) for kind, part in _messages(facts)
        ]
        return self._planned(now_s)

    def _flush_why(self, facts: Sequence[Numbered], limit: int, now_s: float) -> Why | None:
        policy = self._policy
        if (policy.flush_after_s > 0 or policy.receipt_every_s > 0) and any(self._urgent(n.fact) for n in facts):
            return Why.URGENT
        if policy.flush_after_s <= 0:
            return Why.AT_ONCE
        if facts[0].seq <= self._flush_to:
            return Why.BACKLOG
        if len(facts) >= limit:
            return Why.SIZE
        if now_s >= (self._waiting_since_s or 0.0) + policy.flush_after_s:
            return Why.AGE
        return Why.RECEIPT_DUE if self._ask_by_s is not None and now_s >= self._ask_by_s else None

    def _may_wait(self, why: Why, room_left: int, now_s: float) -> bool:
        """Whether the receipt of a new message may wait: not when it is urgent, nor when no later one could ask."""
        policy = self._policy
        if policy.receipt_every_s <= 0 or why is Why.URGENT or room_left < policy.flush_facts:
            return False
        ask_by_s = now_s + policy.receipt_every_s if self._ask_by_s is None else self._ask_by_s
        return now_s + policy.flush_after_s <= ask_by_s

    def _asking(self, now_s: float) -> Action | None:
        """Ask for the receipts of lazy messages when no new message does it."""
        if self._ask_by_s is not None and (now_s >= self._ask_by_s or self._room() <= 0):
            return self._hello(Why.RECEIPT_DUE, now_s)
        return None

    # again: what the server asked for

    def _page(self, now_s: float) -> Action | None:
        """The next page of the oldest request. Facts that were not handed out yet go as new ones, not here."""
        looked = False
        while self._requests:
            answering = self._requests[0]
            if answering.pages:
                return answering.pages.popleft()
            looked = True
            if not self._next_page(answering, now_s):
                self._answered.append(answering.request.request_id)
                self._requests.popleft()
        return self._new(now_s) if looked else None  # it may have given rows of an earlier epoch new numbers

    def _next_page(self, answering: _Answering, now_s: float) -> bool:
        """Look at the next page's facts; False when there are none left."""
        request, limit = answering.request, self._policy.flush_facts
        left = Ranges([(1, _BEYOND)]) if answering.left is None else answering.left
        facts = self._outbox.select(
            seq=left, from_ms=request.from_ms, to_ms=request.to_ms, only=request.only, limit=limit
        )
        if request.from_ms is not None and answering.left is None:
            self._flush_to = self._outbox.usage().numbered_to  # rows of an earlier epoch may have got numbers
        if not facts:
            return False
        # At the end of a page the outbox tells of what was asked for and thinned away: events with numbers of their own.
        own = [n.seq for n in facts if n.seq in left]
        answering.left = left - Ranges([(1, own[-1])]) if len(own) >= limit else Ranges()
        waiting = self._outbox.pending(1, self._cursor)
        known = [n for n in facts if not waiting or n.seq < waiting[0].seq]
        self._count_as_sent(Ranges.of(n.seq for n in known), now_s)
        parts = _messages(known)
        last = not answering.left
        for place, (kind, part) in enumerate(parts, 1):
            lazy = not (last and place == len(parts))
            answering.pages.append(Publish(kind, self._epoch, part, lazy, Why.ASKED))
        return True

    def _count_as_sent(self, numbers: Ranges, now_s: float) -> None:
        """What is in flight and goes once more by request need not go a third time at once."""
        for entry in self._entries:
            if entry.order and len(entry.open - numbers) < len(entry.open):
                entry.tries += 1
                entry.sent_s, entry.deadline_s = now_s, now_s + self._patience_s()
                entry.heard, entry.lost = self._heard, False

    # wait

    def _waiting(self, now_s: float) -> Wait:
        times = [e.deadline_s for e in self._entries if e.deadline_s is not None]
        why = Why.RECEIPT if self._entries else Why.IDLE
        if self._waiting_since_s is not None:
            times.append(self._waiting_since_s + self._policy.flush_after_s)
            why = Why.FILLING
        times += [t for t in (self._hello_at_s, self._ask_by_s) if t is not None]
        return Wait(max(now_s, min(times)), why)


def kind_of(fact: Fact) -> str:
    """The kind of upload that carries this fact."""
    if isinstance(fact, Reading):
        return "readings"
    return "events" if isinstance(fact, Event) else "weighings"


def _messages(facts: Iterable[Numbered]) -> list[tuple[str, tuple[Numbered, ...]]]:
    """Facts by kind, what a person may wait for first."""
    kinds: dict[str, list[Numbered]] = {"events": [], "weighings": [], "readings": []}
    for n in facts:
        kinds[kind_of(n.fact)].append(n)
    found: list[tuple[str, tuple[Numbered, ...]]] = []
    for kind, chosen in kinds.items():
        size = len(chosen) if kind == "readings" else _MAX_ITEMS
        found += [(kind, tuple(chosen[i : i + size])) for i in range(0, len(chosen), size or 1)]
    return found
