"""Which receipts go out when: lazy uploads are answered together, everything else at once."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from ingest.answers import PRESSED_MS, Answer, Answers
from ingest.epochs import EpochKey, EpochState, current_of
from ingest.gaps import GapWatch
from telemetry.contract import Receipt, Request
from telemetry.readings import Ranges

OLD, NOW, FAR = EpochKey("SITE1", "E1", "old"), EpochKey("SITE1", "E1", "now"), EpochKey("SITE1", "E2", "e")
HOUR = 3_600_000


class Books:
    """A ledger in memory."""

    def __init__(self, **epochs: EpochState) -> None:
        names = {"old": OLD, "now": NOW, "far": FAR}
        self.states = {names[name]: state for name, state in epochs.items()}

    def current_keys(self) -> list[EpochKey]:
        return current_of(self.states)

    def is_current(self, key: EpochKey) -> bool:
        return key in self.current_keys()

    def receipt(self, key: EpochKey) -> Receipt:
        return Receipt(key.epoch, self.states[key].have, self.states[key].quarantined)


def whole(to: int, **more: int) -> EpochState:
    return EpochState("s1", to, Ranges([(1, to)]), **more)  # type: ignore[arg-type]


def keys(answers: list[Answer]) -> list[EpochKey]:
    return [answer.key for answer in answers]


def test_an_upload_in_haste_is_answered_at_once_and_retained() -> None:
    books, answers = Books(now=whole(5)), Answers()
    answers.taken({NOW: False}, 7)
    assert answers.receipts(books, 7) == [Answer("s1", NOW, Receipt("now", Ranges([(1, 5)])), retain=True)]
    assert answers.receipts(books, 8) == []


def test_lazy_uploads_are_answered_together_when_their_hour_is_up() -> None:
    books, answers = Books(now=whole(5)), Answers(linger_ms=HOUR)
    told = []
    for now_ms in range(0, HOUR + 60_000, 60_000):
        answers.taken({NOW: True}, now_ms)
        told += [now_ms] * len(answers.receipts(books, now_ms))
    assert told == [HOUR]


def test_an_upload_in_haste_answers_the_lazy_ones_before_it() -> None:
    books, answers = Books(now=whole(5)), Answers(linger_ms=HOUR)
    answers.taken({NOW: True}, 0)
    answers.taken({NOW: False}, 10)
    assert keys(answers.receipts(books, 10)) == [NOW]
    assert answers.receipts(books, 2 * HOUR) == []


def test_a_lazy_upload_beyond_a_hole_is_answered_at_once() -> None:
    state = EpochState("s1", 9, Ranges([(1, 3), (5, 9)]))
    answers = Answers()
    answers.taken({NOW: True}, 0)
    assert keys(answers.receipts(Books(now=state), 0)) == [NOW]


def test_what_was_numbered_and_not_sent_yet_is_no_hole() -> None:
    state = EpochState("s1", 90, Ranges([(1, 5)]))
    answers = Answers()
    answers.taken({NOW: True}, 0)
    assert answers.receipts(Books(now=state), 0) == []


def test_quarantined_and_thinned_numbers_are_no_hole() -> None:
    state = EpochState("s1", 9, Ranges([(1, 3), (6, 9)]), Ranges([(4, 4)]), Ranges([(5, 5)]))
    answers = Answers()
    answers.taken({NOW: True}, 0)
    assert answers.receipts(Books(now=state), 0) == []


def test_while_messages_press_one_receipt_answers_many() -> None:
    books, answers = Books(now=whole(5)), Answers()
    told = []
    for now_ms in range(0, 1_000, 10):
        answers.taken({NOW: False}, now_ms)
        told += [now_ms] * len(answers.receipts(books, now_ms, pressed=True))
    assert [b - a for a, b in itertools.pairwise([0, *told])] == [PRESSED_MS] + [PRESSED_MS + 10] * (len(told) - 1)


def test_at_a_connection_every_edge_is_told_of_the_epoch_it_lives_in() -> None:
    books, answers = Books(old=whole(3), now=whole(5, hello_ms=9), far=whole(1)), Answers()
    answers.connected()
    assert sorted(keys(answers.receipts(books, 0))) == [NOW, FAR]
    assert answers.receipts(books, 1) == []


def test_of_one_edge_the_epoch_it_lives_in_comes_last_and_alone_is_retained() -> None:
    books, answers = Books(now=whole(5, hello_ms=9), old=whole(3)), Answers()
    answers.taken({NOW: False, OLD: False}, 0)
    told = answers.receipts(books, 0)
    assert [(a.key, a.retain) for a in told] == [(OLD, False), (NOW, True)]


def test_an_edge_whose_shard_is_not_known_yet_is_not_answered() -> None:
    answers = Answers()
    answers.taken({NOW: False}, 0)
    assert answers.receipts(Books(now=EpochState()), 0) == []


def test_what_stays_missing_is_asked_for() -> None:
    books = Books(now=EpochState("s1", 9, Ranges([(1, 3), (5, 9)])))
    answers = Answers(gaps=GapWatch(wait_ms=60, new_id=lambda: "r1"))
    assert answers.requests(books, 0) == []
    assert answers.requests(books, 60) == [Answer("s1", NOW, Request("r1", Ranges([(4, 4)])), retain=False)]


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, HOUR // 4)), max_size=30))
def test_no_upload_waits_longer_than_it_may(steps: list[tuple[bool, bool, int]]) -> None:
    """Whatever comes: a hasty one is answered within PRESSED_MS of the next look, a lazy one within its linger."""
    books, answers = Books(now=whole(5)), Answers(linger_ms=HOUR)
    now_ms, hasty, waiting = 0, None, None
    for lazy, pressed, pause_ms in steps:
        now_ms += pause_ms
        answers.taken({NOW: lazy}, now_ms)
        waiting = now_ms if waiting is None else waiting
        hasty = now_ms if hasty is None and not lazy else hasty
        if answers.receipts(books, now_ms, pressed=pressed):
            hasty = waiting = None
        elif hasty is not None:
            assert pressed
            assert now_ms - hasty < PRESSED_MS
        elif waiting is not None:
            assert now_ms - waiting <= HOUR + PRESSED_MS
