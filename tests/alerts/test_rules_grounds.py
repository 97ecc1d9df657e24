"""A finding names the readings it rests on, so that an auditor can fetch them (the issue: "the readings it rests on")."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from alerts.profiles import builtin_profiles
from alerts.rules import Grounds, Profiles, ReadingFact, RuleFinding, StreamSettings, judge

MIN = 60_000
STREAM = "S1/temperature_c"
CATALOGUE = builtin_profiles()


def series(*parts: tuple[int, str], start_min: int = 0, every_min: int = 15) -> list[ReadingFact]:
    values = [value for count, value in parts for _ in range(count)]
    at = (start_min + i * every_min for i in range(len(values)))
    return [ReadingFact("F1", STREAM, t * MIN, Decimal(v)) for t, v in zip(at, values, strict=True)]


def grounds(facts: Sequence[ReadingFact], code: str, profile: str = "refrigerator") -> list[Grounds]:
    profiles = Profiles(CATALOGUE, {"F1": (profile,)}, {STREAM: StreamSettings(900)})
    found: list[RuleFinding] = judge(facts, profiles, max(f.t_ms for f in facts))
    return [f.readings for f in found if f.code == code and f.readings is not None]


def test_an_episode_names_its_first_deciding_last_and_worst_reading_and_how_many_there_were() -> None:
    facts = series((20, "8.5"), (1, "11.2"), (24, "8.5"), (1, "5.0"))
    (heat,) = grounds(facts, "HEAT")
    assert heat == Grounds(0, 600 * MIN, 44 * 15 * MIN, 20 * 15 * MIN, 45)


def test_of_equal_extremes_the_first_is_named() -> None:
    (cold,) = grounds(series((2, "1.0"), (1, "0.5"), (2, "0.5")), "WARNING_LOW")
    assert (cold.extreme_ms, cold.deciding_ms, cold.count) == (30 * MIN, 30 * MIN, 5)


def test_what_is_possible_over_a_gap_names_the_readings_on_both_sides() -> None:
    facts = [*series((20, "8.5")), *series((20, "8.6"), (1, "5.0"), start_min=390)]
    (heat,) = grounds(facts, "HEAT")
    assert heat == Grounds(0, 600 * MIN, 675 * MIN, 390 * MIN, 40)


def test_a_sum_names_the_readings_it_was_made_of() -> None:
    facts = series((3, "-0.6"), (1, "0.2"), (3, "-0.7"), (1, "3.0"))
    (check,) = grounds(facts, "STOCK_CHECK")
    assert check == Grounds(0, 60 * MIN, 90 * MIN, 60 * MIN, 6)  # the hour is full while the reading of 1:00 holds


def test_each_repetition_of_smiles_rule_counts_its_own_readings() -> None:
    facts = series((1000, "9.1"), every_min=1)
    assert grounds(facts, "SMILE_ABOVE", "smile_grace") == [
        Grounds(0, 481 * MIN, 481 * MIN, 0, 482),
        Grounds(481 * MIN, 962 * MIN, 962 * MIN, 0, 482),
    ]


def test_silence_and_a_conflict_name_the_reading_they_speak_of() -> None:
    facts = [
        *series((2, "5.0")),
        ReadingFact("F1", STREAM, 15 * MIN, Decimal("6.0")),
        *series((1, "5.0"), start_min=90),
    ]
    assert grounds(facts, "CONFLICT") == [Grounds(15 * MIN, 15 * MIN, 15 * MIN, None, 2)]
    assert grounds(facts, "SILENT") == [Grounds(15 * MIN, 15 * MIN, 15 * MIN, None, 1)]
