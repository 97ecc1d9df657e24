"""The uplink's decisions, played by hand and against chance: time is a number, the server a set."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.outbox import MemoryOutbox
from edge.uplink_core import Action, Hello, Policy, Publish, Reconnect, UplinkCore, Wait, Why
from telemetry.contract import Receipt, Request
from telemetry.readings import Event, Fact, Ranges, Reading, Stamp, Sync

STAMP = Stamp("boot-1", 5_000_000_000, 1_800_000_000_000, Sync.SYNCED, 20)
POLICY = Policy(window_facts=8, flush_facts=4, receipt_timeout_s=20.0, hello_every_s=3600.0)
MOBILE = replace(POLICY, window_facts=40, flush_facts=10, flush_after_s=600.0, receipt_every_s=3600.0)


def reading(value: str = "5.0") -> Reading:
    return Reading("LOG-1/temperature_c", Decimal(value), 1000, STAMP)


def event() -> Event:
    return Event("door_opened", "LOG-1", 1000, STAMP)


def urgent(fact: Fact) -> bool:
    return not isinstance(fact, Reading) or fact.value is None or fact.value > 8


@dataclass
class World:
    """One edge, one server, one link; ``now_s`` moves only by ``go`` and ``until``."""

    policy: Policy = POLICY
    outbox: MemoryOutbox = field(default_factory=MemoryOutbox)
    now_s: float = 1000.0
    refuses: set[int] = field(default_factory=set)
    answers: bool = True
    swallows: set[int] = field(default_factory=set)  # a message with one of these is never answered
    loses: int = 0  # so many messages to come

    def __post_init__(self) -> None:
        self.core = UplinkCore(self.policy, self.outbox, urgent)
        self.have: dict[str, Ranges] = {}
        self.log: list[tuple[float, Action]] = []

    def append(self, *facts: Fact) -> None:
        self.outbox.append(facts)

    def turn(self) -> Wait | Reconnect:
        """Do what is to be done now; the action that ends it."""
        for _ in range(1000):
            action = self.core.step(self.now_s)
            self.log.append((self.now_s, action))
            if isinstance(action, Wait | Reconnect):
                return action
            if self.loses:
                self.loses -= 1
                continue
            self.serve(action)
        raise AssertionError("it never waits")

    def serve(self, action: Hello | Publish) -> None:
        have = self.have.setdefault(action.epoch, Ranges())
        lazy = False
        if isinstance(action, Publish) and self.swallows & {n.seq for n in action.facts}:
            return
        if isinstance(action, Publish):
            lazy = action.lazy
            self.have[action.epoch] = have | Ranges.of(n.seq for n in action.facts if n.seq not in self.refuses)
        if self.answers and not lazy:
            self.core.receipt(Receipt(action.epoch, self.have[action.epoch]), self.now_s)

    def until(self, end_s: float) -> None:
        """Let time pass, waking where the core asks for it."""
        while True:
            last = self.turn()
            if isinstance(last, Reconnect):
                self.core.disconnected()
                self.core.connected(self.now_s)
                continue
            if last.until_s is None or last.until_s > end_s:
                self.now_s = end_s
                return
            assert last.until_s > self.now_s, f"it spins: {last}"
            self.now_s = last.until_s

    def go(self, seconds: float) -> None:
        self.until(self.now_s + seconds)

    def connect(self) -> World:
        self.core.connected(self.now_s)
        self.turn()
        return self

    @property
    def published(self) -> list[Publish]:
        return [a for _, a in self.log if isinstance(a, Publish)]

    def whys(self) -> list[Why]:
        return [a.why for _, a in self.log if not isinstance(a, Wait)]

    def numbers(self) -> list[int]:
        return [n.seq for p in self.published for n in p.facts]


def test_before_a_connection_it_only_waits() -> None:
    assert World().core.step(0.0) == Wait(None, Why.OFFLINE)


def test_it_greets_then_sends_in_the_order_of_the_numbers_and_rests() -> None:
    world = World()
    world.append(*[reading()] * 10)
    world.connect()
    assert world.whys()[:2] == [Why.CONNECTED, Why.AT_ONCE]
    assert world.numbers() == list(range(1, 11))
    assert not world.core.in_flight
    assert world.log[-1][1] == Wait(world.now_s + 3600.0, Why.IDLE)


def test_until_the_hello_is_answered_nothing_is_sent_and_then_only_what_the_answer_does_not_name() -> None:
    world = World(answers=False)
    world.append(*[reading()] * 4)
    world.connect()
    assert world.log[-1][1] == Wait(world.now_s + 5.0, Why.GREETING)
    world.core.receipt(Receipt(world.outbox.epoch, Ranges([(1, 2)])), world.now_s, retained=True)
    assert isinstance(world.turn(), Wait)
    assert world.numbers() == []
    world.core.receipt(Receipt(world.outbox.epoch, Ranges([(1, 3)])), world.now_s)
    world.turn()
    assert world.numbers() == [4]


def test_a_hello_that_knew_of_no_reading_is_followed_by_one_that_does_a_minute_later_and_only_once() -> None:
    """Else the ledger would not know for an hour how many readings a new edge made."""
    world = World().connect()
    assert world.log[-1][1] == Wait(world.now_s + 60.0, Why.IDLE)
    world.append(reading())
    world.go(61.0)
    hellos = [(at_s, a.why) for at_s, a in world.log if isinstance(a, Hello)]
    assert hellos == [(1000.0, Why.CONNECTED), (1060.0, Why.HELLO_DUE)]
    world.go(3540.0)
    assert len([a for _, a in world.log if isinstance(a, Hello)]) == 2
    world.go(60.0)
    assert len([a for _, a in world.log if isinstance(a, Hello)]) == 3


def test_an_unanswered_hello_holds_up_nothing_for_long() -> None:
    world = World(answers=False)
    world.append(reading())
    world.connect()
    world.go(5.0)
    world.turn()
    assert world.numbers() == [1]


def test_the_window_bounds_what_is_in_flight() -> None:
    world = World()
    world.connect()
    world.answers = False
    world.append(*[reading()] * 20)
    world.turn()
    assert world.numbers() == list(range(1, 9))
    assert len(world.core.in_flight) == 8


def test_a_lost_message_goes_again_at_once_when_a_receipt_names_a_later_one() -> None:
    world = World()
    world.connect()
    world.loses = 1
    world.append(*[reading()] * 8)
    world.turn()
    assert world.numbers() == [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4]
    assert world.whys()[-1] is Why.LOST
    assert not world.core.in_flight


def test_a_lost_last_message_goes_again_when_no_receipt_came_in_time() -> None:
    world = World()
    world.connect()
    world.loses = 1
    world.append(reading())
    world.go(30.0)
    assert (world.numbers(), world.whys()[-1]) == ([1, 1], Why.NO_RECEIPT)


def test_a_server_that_is_away_is_probed_ever_more_rarely_and_gets_all_when_it_is_back() -> None:
    world = World()
    world.connect()
    world.answers = False
    world.append(*[reading()] * 20)
    world.go(86_400.0)
    assert len(world.published) < 80
    assert len([a for _, a in world.log if isinstance(a, Reconnect)]) < 30
    world.answers = True
    world.go(1000.0)
    assert world.outbox.usage().unreceipted == 0


def test_a_broker_that_marks_every_message_as_retained_is_no_silent_server() -> None:
    world = World()
    world.connect()
    world.answers = False
    world.append(*[reading()] * 4)
    world.turn()
    for _ in range(3):
        world.go(25.0)
        world.core.receipt(Receipt(world.outbox.epoch, Ranges([(1, 2)])), world.now_s, retained=True)
    assert world.core.in_flight == Ranges([(3, 4)])
    assert not [a for _, a in world.log if isinstance(a, Reconnect)]


def test_one_fact_the_server_cannot_take_holds_up_only_itself_and_gets_another_chance() -> None:
    world = World()
    world.connect()
    world.refuses = {3}
    world.append(*[reading()] * 12)
    world.turn()
    assert set(world.outbox.pending(99)) == {n for n in world.outbox.pending(99) if n.seq <= 4}
    world.go(600.0)
    assert [n.seq for n in world.outbox.pending(9)] == [3]
    assert world.core.aside == Ranges([(3, 3)])
    before = len(world.published)
    world.go(2000.0)
    assert len(world.published) == before
    world.refuses = set()
    world.go(1100.0)
    assert world.whys()[-1] is Why.SECOND_CHANCE
    assert world.outbox.usage().unreceipted == 0


def test_a_fact_whose_messages_nobody_answers_stands_aside_though_nothing_else_is_on_its_way() -> None:
    """Only hellos are answered then: those receipts count, or it would be sent for ever."""
    world = World(swallows={3}).connect()
    world.append(*[reading() for _ in range(4)])
    world.go(1800)
    assert world.core.aside == Ranges([(3, 3)])
    assert [n.seq for n in world.outbox.pending(9)] == [3]
    sent = len(world.published)
    world.go(1700)
    assert len(world.published) == sent


def test_events_go_before_readings_and_large_ones_in_small_messages() -> None:
    world = World(replace(POLICY, window_facts=500, flush_facts=500))
    world.append(*[reading()] * 3, *[event()] * 120)
    world.connect()
    assert [(p.kind, len(p.facts)) for p in world.published] == [
        ("events", 50), ("events", 50), ("events", 20), ("readings", 3),
    ]  # fmt: skip


def test_a_new_epoch_is_told_first_and_everything_pending_goes_under_it() -> None:
    world = World()
    world.append(*[reading()] * 3)
    world.connect()
    old = world.outbox.epoch
    world.append(reading())
    world.core.receipt(Receipt(old, Ranges([(1, 100)])), world.now_s)
    world.turn()
    new = world.outbox.epoch
    assert new != old
    assert [a for _, a in world.log if isinstance(a, Hello)][-1] == Hello(new, Why.NEW_EPOCH)
    assert [n.seq for p in world.published if p.epoch == new for n in p.facts] == [1]
    assert world.core.sent_to == 1


# --- flushing and lazy receipts ----------------------------------------------------------------------------


def test_readings_wait_for_company_until_the_oldest_is_old_enough() -> None:
    world = World(MOBILE).connect()
    world.append(reading())
    world.go(300.0)
    world.append(reading())
    world.go(299.0)
    assert world.published == []
    world.go(2.0)
    assert [(len(p.facts), p.why) for p in world.published] == [(2, Why.AGE)]


def test_enough_readings_for_a_message_wait_no_longer() -> None:
    world = World(MOBILE).connect()
    world.append(*[reading()] * 10)
    world.turn()
    assert [(len(p.facts), p.why) for p in world.published] == [(10, Why.SIZE)]


@pytest.mark.parametrize("fact", [event(), reading("8.1")])
def test_what_is_urgent_goes_at_once_with_all_before_it_and_its_receipt_may_not_wait(fact: Fact) -> None:
    world = World(MOBILE).connect()
    world.append(reading())
    world.turn()
    assert world.published == []
    world.append(fact)
    world.turn()
    assert world.numbers() in ([1, 2], [2, 1])
    assert {(p.why, p.lazy) for p in world.published} == {(Why.URGENT, False)}


def test_what_waited_when_the_link_came_back_goes_with_the_greeting() -> None:
    world = World(MOBILE)
    world.append(reading())
    world.connect()
    assert [p.why for p in world.published] == [Why.BACKLOG]


def test_one_receipt_serves_an_hour_of_lazy_messages() -> None:
    world = World(MOBILE).connect()
    start = len(world.log)
    for _ in range(24 * 60):
        world.append(reading())
        world.go(60.0)
    world.go(600.0)
    sent = [a for _, a in world.log[start:] if isinstance(a, Publish)]
    asked = [a for a in sent if not a.lazy]
    hellos = [a for _, a in world.log[start:] if isinstance(a, Hello)]
    assert len(sent) <= 24 * 6 + 24
    assert len(asked) + len(hellos) <= 2 * 24 + 2
    assert world.outbox.usage().unreceipted <= 60
    assert sorted(world.numbers()) == list(range(1, 24 * 60 + 1))


def test_a_lost_lazy_message_is_found_by_the_next_answered_one() -> None:
    world = World(MOBILE).connect()
    world.loses = 1
    world.append(reading())
    world.go(601.0)
    assert world.published[0].lazy
    world.append(event())
    world.turn()
    assert world.whys()[-2:] == [Why.URGENT, Why.LOST]
    assert world.outbox.usage().unreceipted == 0


def test_after_a_reconnect_only_what_the_receipt_leaves_unnamed_goes_again() -> None:
    world = World(MOBILE).connect()
    world.append(*[reading()] * 10)
    world.turn()
    world.loses = 1
    world.append(*[reading()] * 10)
    world.turn()
    assert [p.lazy for p in world.published] == [True, True]
    world.core.disconnected()
    world.core.connected(world.now_s)
    world.turn()
    assert len(world.core.in_flight) == 10
    world.go(21.0)
    assert world.numbers() == [*range(1, 21), *range(11, 21)]
    assert world.outbox.usage().unreceipted == 0


def test_a_restarted_process_sends_nothing_that_the_retained_receipt_names() -> None:
    world = World(MOBILE).connect()
    world.append(*[reading()] * 10)
    world.turn()
    after = World(MOBILE, world.outbox)
    after.have = world.have
    after.connect()
    assert after.published == []
    assert world.outbox.usage().unreceipted == 0


# --- requests ----------------------------------------------------------------------------------------------


def test_a_request_is_answered_once_page_by_page_also_for_receipted_facts() -> None:
    world = World()
    world.append(*[reading()] * 10)
    world.connect()
    start = len(world.numbers())
    for _ in range(2):
        world.core.request(Request("r1", Ranges([(2, 3), (5, 9)])), world.now_s)
    world.turn()
    assert world.numbers()[start:] == [2, 3, 5, 6, 7, 8, 9]
    assert {p.why for p in world.published[-2:]} == {Why.ASKED}


def test_what_a_request_finds_waiting_goes_at_once_and_only_once() -> None:
    world = World(MOBILE).connect()
    world.append(*[reading()] * 5)
    world.turn()
    world.core.request(Request("r1", Ranges([(1, 5)])), world.now_s)
    world.turn()
    assert world.numbers()[:5] == [1, 2, 3, 4, 5]
    assert world.published[0].why is Why.BACKLOG


def test_a_request_of_numbers_dies_with_their_epoch_and_one_of_times_does_not() -> None:
    world = World()
    world.append(*[reading()] * 2)
    world.connect()
    world.core.request(Request("r1", Ranges([(1, 1)])), world.now_s)
    world.core.request(Request("r2", Ranges(), 0, 2000), world.now_s)
    world.outbox.renew()
    before = len(world.published)
    world.turn()
    # The receipted two were numbered anew by the request of times, and go as new ones.
    assert [n.seq for p in world.published[before:] for n in p.facts if p.why is not Why.ASKED] == [1, 2]


# --- against chance ----------------------------------------------------------------------------------------

FATES = st.sampled_from(["arrive", "arrive", "lose", "double", "late"])
MOVES = st.one_of(
    st.tuples(st.just("append"), st.integers(1, 9), st.booleans()),
    st.tuples(st.just("pass"), st.integers(1, 2000), st.just(0)),
    st.tuples(st.just("cut"), st.just(0), st.just(0)),
    st.tuples(st.just("crash"), st.just(0), st.just(0)),
    st.tuples(st.just("ask"), st.integers(1, 40), st.integers(0, 20)),
    st.tuples(st.just("renew"), st.just(0), st.just(0)),
    st.tuples(st.just("thin"), st.integers(1, 40), st.just(0)),
    st.tuples(st.just("silence"), st.booleans(), st.just(0)),
)


class Chance(World):
    """A link with a fate for every message, both ways."""

    def __init__(self, policy: Policy, fates: list[str]) -> None:
        self.fates = fates
        self.late: list[Any] = []
        super().__init__(policy)
        self.named = Ranges()

    def fate(self) -> str:
        return self.fates.pop() if self.fates else "arrive"

    def serve(self, action: Hello | Publish) -> None:
        if isinstance(action, Publish):
            assert action.epoch == self.outbox.epoch
            assert action.facts
            if action.why is not Why.ASKED:
                pending = {n.seq for n in self.outbox.pending(10_000)}
                assert {n.seq for n in action.facts} <= pending, "sent although it was named"
            assert len(self.core.in_flight) <= self.policy.window_facts + 50
        self._travel(action)

    def _travel(self, message: Any) -> None:
        match self.fate():
            case "lose":
                return
            case "late":
                self.late.append(message)
                return
            case "double":
                self._arrive(message)
        self._arrive(message)
        while self.late and self.fates:
            self._arrive(self.late.pop(0))

    def _arrive(self, message: Any) -> None:
        if isinstance(message, Receipt):
            self.core.receipt(message, self.now_s)
            return
        have = self.have.setdefault(message.epoch, Ranges())
        if isinstance(message, Publish):
            have = self.have[message.epoch] = have | Ranges.of(n.seq for n in message.facts)
        if self.answers and not (isinstance(message, Publish) and message.lazy):
            self._travel(Receipt(message.epoch, have))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(FATES, max_size=80),
    st.lists(MOVES, max_size=25),
    st.sampled_from([POLICY, MOBILE, replace(POLICY, receipt_every_s=100.0)]),
)
def test_whatever_happens_everything_is_named_in_the_end(
    fates: list[str], moves: list[tuple[str, int, int]], policy: Policy
) -> None:
    world = Chance(policy, list(fates))
    world.connect()
    asked = 0
    for what, number, more in moves:
        match what:
            case "append":
                world.append(*[event() if more and not i % 3 else reading() for i in range(number)])
            case "pass":
                world.go(float(number))
            case "cut":
                world.core.disconnected()
                world.core.connected(world.now_s)
            case "crash":
                world.core = UplinkCore(policy, world.outbox, urgent)
                world.core.connected(world.now_s)
            case "ask":
                asked += 1
                world.core.request(Request(f"r{asked}", Ranges([(number, number + more)])), world.now_s)
            case "renew":
                world.outbox.renew()
            case "thin":  # a full disk gives up what is not named yet
                world.outbox._facts.pop(number, None)
            case "silence":
                world.answers = not number
        world.until(world.now_s)
    world.answers = True
    world.fates.clear()
    world.go(10_000.0)
    world.turn()
    assert world.outbox.usage().unreceipted == 0
    assert not world.core.in_flight
    assert not world.core.aside
    before = len(world.published)
    world.go(10 * 3600.0)
    assert len(world.published) == before, "it goes on sending what is named"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 30), max_size=6, unique=True), st.sampled_from([POLICY, MOBILE]))
def test_whatever_the_server_refuses_costs_a_bounded_number_of_messages(refused: list[int], policy: Policy) -> None:
    world = World(policy)
    world.refuses = set(refused)
    world.append(*[reading()] * 30)
    world.connect()
    world.go(5400.0)
    assert {n.seq for n in world.outbox.pending(99)} == set(refused)
    for seq in range(1, 31):
        sent = sum(seq == n for n in world.numbers())
        assert sent <= 10, f"number {seq} was sent {sent} times"


def test_a_backup_written_over_the_old_file_is_found_by_a_receipt_for_what_this_life_never_sent() -> None:
    """Found by the simulation (seed 7): the restored file gave numbers 3 and 4 again while the link was down, and the
    receipt that an earlier life had earned for 3 and 4 made the new facts look received."""
    world = World()
    world.append(reading("1"), reading("2"))  # the backup holds these, and the link is down
    world.core = UplinkCore(POLICY, world.outbox, urgent)
    world.append(reading("3.5"), reading("4.5"))
    epoch = world.outbox.epoch
    world.core.connected(world.now_s)
    world.core.receipt(Receipt(epoch, Ranges([(1, 4)]), Ranges()), world.now_s, retained=True)
    assert world.outbox.epoch != epoch
    kept = {n.fact.value for n in world.outbox.pending(10) if isinstance(n.fact, Reading)}
    assert {Decimal("3.5"), Decimal("4.5")} <= kept


def test_a_restored_file_that_was_opened_twice_before_the_first_receipt_is_found_too() -> None:
    """Found by the kill campaign (seed 331306): the second life took the numbers that the first had given again for its
    own, and receipts earned before the restore made 331 readings look received."""
    world = World()
    world.append(reading("1"), reading("2"))
    for value in ("3.5", "4.5"):  # two lives, each killed before a receipt came
        UplinkCore(POLICY, world.outbox, urgent)
        world.append(reading(value))
    world.core = UplinkCore(POLICY, world.outbox, urgent)
    epoch = world.outbox.epoch
    world.core.connected(world.now_s)
    world.core.receipt(Receipt(epoch, Ranges([(1, 4)]), Ranges()), world.now_s, retained=True)
    assert world.outbox.epoch != epoch
    kept = {n.fact.value for n in world.outbox.pending(10) if isinstance(n.fact, Reading)}
    assert {Decimal("3.5"), Decimal("4.5")} <= kept


def test_a_life_that_was_heard_leaves_no_bound_to_the_next() -> None:
    world = World()
    world.append(reading("1"))
    world.core = UplinkCore(POLICY, world.outbox, urgent)
    world.core.connected(world.now_s)
    world.append(reading("2"))
    world.turn()
    epoch = world.outbox.epoch
    world.core = UplinkCore(POLICY, world.outbox, urgent)
    world.core.connected(world.now_s)
    world.turn()
    assert world.outbox.epoch == epoch


def test_a_receipt_for_what_this_life_sent_or_found_renews_nothing() -> None:
    world = World()
    world.append(reading("1"), reading("2"))
    world.core = UplinkCore(POLICY, world.outbox, urgent)
    epoch = world.outbox.epoch
    world.core.connected(world.now_s)
    world.append(reading("3"))
    world.turn()
    assert world.outbox.epoch == epoch
    assert not world.outbox.pending(10)
