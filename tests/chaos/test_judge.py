"""The campaign's comparison can fail: each kind of trouble is found in books made by hand."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from benchmarks.chaos.judge import Accepted, Books, Made, Rules, Stored, Verdict, Window, judge

STREAM, OTHER = "P/temperature_c", "L/temperature_c"
RULES = Rules(
    late_ms={STREAM: 5_000, OTHER: 20_000}, gap_ms={STREAM: 3_000, OTHER: 3_000}, polled_ms={STREAM: 10_000}
)
T0 = 1_000_000


def value(n: int) -> Decimal:
    return Decimal(n) / 10


def books(count: int = 6, stream: str = STREAM) -> Books:
    """A run in which all went well: one measurement every ten seconds."""
    made = [Made(stream, T0 + n * 10_000, value(n)) for n in range(count)]
    taken = [Accepted(stream, (n * 10_000 + 200) * 1_000_000, T0 + n * 10_000 + 200, value(n)) for n in range(count)]
    rows = [Stored(stream, a.true_ms, a.value, 50, 0, ("e1", n)) for n, a in enumerate(taken, 1)]
    numbers = {("e1", n): [a] for n, a in enumerate(taken, 1)}
    none: frozenset[tuple[str, int]] = frozenset()
    return Books(made, taken, numbers, rows, none, none, none, [])


def counts(verdict: Verdict) -> dict[str, int]:
    names = (
        "lost",
        "doubled",
        "misdated",
        "changed",
        "unheard_unexplained",
        "quarantined",
        "destroyed",
        "asked_twice",
        "heard_again",
    )
    return {name: n for name in names if (n := getattr(verdict, name))}


def test_a_run_in_which_all_went_well_is_good() -> None:
    verdict = judge(books(), RULES)
    assert verdict.good
    assert (verdict.made, verdict.accepted, verdict.stored) == (6, 6, 6)


def test_what_the_outbox_took_and_the_store_has_not_is_lost() -> None:
    b = books()
    assert counts(judge(replace(b, rows=b.rows[:3] + b.rows[4:]), RULES)) == {"lost": 1}


def test_what_waits_in_quarantine_or_went_with_a_replaced_file_is_counted_apart() -> None:
    b = replace(books(), rows=books().rows[:4])
    gone = replace(b, quarantined=frozenset([("e1", 5)]), destroyed=frozenset([(STREAM, 50_200_000_000)]))
    assert counts(judge(gone, RULES)) == {"quarantined": 1, "destroyed": 1}


def test_a_reading_that_stands_twice_is_doubled_under_whatever_number() -> None:
    b = books()
    again = replace(b.rows[2], t_ms=b.rows[2].t_ms + 40, number=("e2", 1))
    numbers = {**b.numbers, ("e2", 1): b.numbers["e1", 3]}
    assert counts(judge(replace(b, rows=[*b.rows, again], numbers=numbers), RULES)) == {"doubled": 1}


def test_a_row_an_hour_off_is_misdated() -> None:
    b = books()
    rows = [replace(b.rows[0], t_ms=b.rows[0].t_ms + 3_600_000), *b.rows[1:]]
    assert counts(judge(replace(b, rows=rows), RULES)) == {"misdated": 1}


def test_a_row_with_another_value_is_changed() -> None:
    b = books()
    rows = [replace(b.rows[0], value=Decimal("9.9")), *b.rows[1:]]
    assert counts(judge(replace(b, rows=rows), RULES)) == {"changed": 1}


def test_a_row_that_nobody_made_is_changed() -> None:
    b = books()
    ghost = Stored(STREAM, T0 + 25_000, Decimal("7.7"), 50, 0, ("e9", 1))
    assert counts(judge(replace(b, rows=[*b.rows, ghost]), RULES)) == {"changed": 1}


def test_a_packet_of_before_a_stall_dated_at_its_end_is_found() -> None:
    """The campaign's first find: the value was made 40 s before the time it was stamped with."""
    b = books(stream=OTHER)
    late = Accepted(OTHER, 60_000_000_000, T0 + 60_000, value(1))
    row = Stored(OTHER, T0 + 60_000, value(1), 50, 0, ("e1", 7))
    found = replace(b, accepted=[*b.accepted, late], numbers={**b.numbers, ("e1", 7): [late]}, rows=[*b.rows, row])
    assert counts(judge(found, RULES)) == {"changed": 1}


def test_silence_needs_a_fault_of_ours_to_explain_it() -> None:
    b = books()
    unheard = replace(b, accepted=[a for a in b.accepted if a.value != value(3)], rows=b.rows[:3] + b.rows[4:])
    assert counts(judge(unheard, RULES)) == {"unheard_unexplained": 1}
    dead = Window(T0 + 28_000, T0 + 31_000, "killed")
    verdict = judge(replace(unheard, deaf=[dead]), RULES)
    assert verdict.good
    assert verdict.unheard == 1


def test_a_probe_asked_in_two_slots_less_than_half_an_interval_apart_is_no_double() -> None:
    b = books(30)
    second = Accepted(STREAM, 20_900_000_000, T0 + 20_900, value(2))
    row = Stored(STREAM, second.true_ms, second.value, 50, 0, ("e1", 99))
    twice = replace(
        b, accepted=[*b.accepted, second], numbers={**b.numbers, ("e1", 99): [second]}, rows=[*b.rows, row]
    )
    assert counts(judge(twice, RULES)) == {"asked_twice": 1}


def test_a_probe_asked_more_often_than_once_a_slot_is_doubled() -> None:
    b = books(30)
    more = [Accepted(STREAM, (n * 10_000 + 900) * 1_000_000, T0 + n * 10_000 + 900, value(n)) for n in range(30)]
    rows = [Stored(STREAM, a.true_ms, a.value, 50, 0, ("e2", n)) for n, a in enumerate(more, 1)]
    numbers = {**b.numbers, **{("e2", n): [a] for n, a in enumerate(more, 1)}}
    often = replace(b, accepted=[*b.accepted, *more], numbers=numbers, rows=[*b.rows, *rows])
    assert judge(often, RULES).doubled > 20


def test_an_advert_heard_again_by_a_restored_outbox_is_counted_apart_and_otherwise_doubled() -> None:
    """Seed 349520: a backup put back between two hearings of one advert knows nothing of the first."""
    b = books(stream=OTHER)
    again = Accepted(OTHER, 9_000_000_000, T0 + 9_000, value(0))
    twice = replace(
        b,
        accepted=[*b.accepted, again],
        rows=[*b.rows, Stored(OTHER, again.true_ms, again.value, 50, 0, ("e2", 1))],
        numbers={**b.numbers, ("e2", 1): [again]},
    )
    assert counts(judge(twice, RULES)) == {"doubled": 1}
    assert counts(judge(replace(twice, restored=[T0 + 5_000.0]), RULES)) == {"heard_again": 1}
    assert counts(judge(replace(twice, restored=[T0 + 20_000.0]), RULES)) == {"doubled": 1}


def test_a_packet_heard_just_before_the_next_of_the_same_value_is_not_taken_for_it() -> None:
    """Seed 119936: a door that stays shut, heard late after a restart, half a second before the next measurement."""
    made = [Made(OTHER, T0 + n * 15_000, value(0)) for n in range(3)]
    taken = [Accepted(OTHER, ms * 1_000_000, T0 + ms, value(0)) for ms in (100, 29_500, 30_050)]
    rows = [Stored(OTHER, a.true_ms, a.value, 50, 0, ("e1", n)) for n, a in enumerate(taken, 1)]
    numbers = {("e1", n): [a] for n, a in enumerate(taken, 1)}
    none: frozenset[tuple[str, int]] = frozenset()
    assert counts(judge(Books(made, taken, numbers, rows, none, none, none, []), RULES)) == {}


def test_an_advert_heard_again_after_a_restore_is_not_taken_for_the_next_of_the_same_value() -> None:
    """Seed 943758: the first hearing went with the replaced file, the second came just before the next measurement."""
    made = [Made(OTHER, T0 + n * 15_000, value(0)) for n in range(3)]
    taken = [Accepted(OTHER, ms * 1_000_000, T0 + ms, value(0)) for ms in (100, 15_050, 29_500, 30_050)]
    rows = [Stored(OTHER, a.true_ms, a.value, 50, 0, ("e2", n)) for n, a in enumerate(taken, 1) if n != 2]
    numbers = {("e2", n): [a] for n, a in enumerate(taken, 1)}
    none: frozenset[tuple[str, int]] = frozenset()
    gone = frozenset([(OTHER, taken[1].true_ns)])
    assert counts(judge(Books(made, taken, numbers, rows, none, none, gone, []), RULES)) == {}
