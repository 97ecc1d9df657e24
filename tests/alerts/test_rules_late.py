"""Late data open, move, merge, split and withdraw findings, and each says what became of it (cold-chain 6, 8 and 9).

Both directions: the new one names those whose place it takes (``supersedes``) or the one it was cut from
(``split_from``), the old one its heir (``superseded by``) or the part cut off (``split_into``).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from alerts.convert import with_history
from alerts.profiles import builtin_profiles
from alerts.rules import Kind, Profiles, ReadingFact, RuleFinding, State, StreamSettings, restore, standing, step

MIN, HOUR = 60_000, 3_600_000
STREAM = "S1/temperature_c"
PROFILES = Profiles(builtin_profiles(), streams={STREAM: StreamSettings(900)})


def at(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * HOUR + int(minutes) * MIN


def rows(start: str, last: str, value: str) -> list[ReadingFact]:
    return [ReadingFact("F1", STREAM, t, Decimal(value)) for t in range(at(start), at(last) + 1, 15 * MIN)]


def of(findings: Sequence[RuleFinding], code: str = "HEAT") -> list[RuleFinding]:
    return [f for f in findings if f.code == code]


def test_req_08_late_data_open_a_finding_in_the_past_with_both_times() -> None:
    """smile-and-waste 13 for HEAT: twelve hours of outage hold ten of heat, found when the memory is read."""
    calm = step(State(), [*rows("0:00", "1:00", "5.0"), *rows("13:00", "13:15", "5.0")], PROFILES, at("13:15"))
    late = step(calm.state, [*rows("1:15", "11:30", "9.0"), *rows("11:45", "12:45", "5.0")], PROFILES, at("13:20"))
    (heat,) = of(late.findings)
    assert (heat.episode_start_ms, heat.event_ms, heat.end_ms) == (at("1:15"), at("11:15"), at("11:45"))
    assert (heat.detected_ms, heat.supersedes, heat.details) == (at("13:20"), (), ())
    assert heat.finding_id in late.news
    silent = next(f for f in late.findings if f.code == "SILENT")
    assert (silent.kind, silent.reason) == (Kind.WITHDRAWN, "late_data")


def test_req_08_late_data_move_a_finding_to_an_earlier_start() -> None:
    first = step(State(), rows("1:00", "12:00", "9.0"), PROFILES, at("12:00"))
    (old,) = of(first.findings)
    moved = step(first.state, rows("0:00", "0:45", "9.0"), PROFILES, at("13:00"))
    new, gone = sorted(of(moved.findings), key=lambda f: f.episode_start_ms)
    assert (new.supersedes, new.event_ms) == ((old.finding_id,), at("10:00"))
    assert (gone.kind, gone.reason) == (Kind.WITHDRAWN, f"superseded by {new.finding_id}")


def test_req_08_late_data_merge_two_episodes_and_the_first_goes_on_over_the_second() -> None:
    """HEAT at 10:00 and again at 24:00, an hour of silence between: the hour was hot as well."""
    one, two = rows("0:00", "12:00", "9.0"), rows("14:00", "25:00", "9.0")
    first = step(State(), [*one, *two], PROFILES, at("25:00"))
    early, later = (f for f in of(first.findings) if f.kind is Kind.CONFIRMED)
    filled = step(first.state, rows("12:15", "13:45", "9.0"), PROFILES, at("25:05"))
    by_id = {f.finding_id: f for f in of(filled.findings)}
    assert (by_id[early.finding_id].end_ms, by_id[early.finding_id].supersedes) == (None, (later.finding_id,))
    gone = by_id[later.finding_id]
    assert (gone.kind, gone.reason) == (Kind.WITHDRAWN, f"superseded by {early.finding_id}")
    assert early.finding_id not in filled.news  # the same alarm, longer


def test_req_08_late_data_split_an_episode_and_each_part_names_the_other() -> None:
    """23 hours of heat but for one reading of the memory at 11:30: the first alarm ends there, the second is new."""
    first = step(State(), [f for f in rows("0:00", "23:00", "9.0") if f.t_ms != at("11:30")], PROFILES, at("23:00"))
    (whole,) = of(first.findings)
    cut = step(first.state, rows("11:30", "11:30", "5.0"), PROFILES, at("24:00"))
    part, rest = sorted(of(cut.findings), key=lambda f: f.episode_start_ms)
    assert (part.finding_id, part.end_ms) == (whole.finding_id, at("11:30"))
    assert (rest.episode_start_ms, rest.event_ms) == (at("11:45"), at("21:45"))
    assert dict(part.details) == {"split_into": rest.finding_id}
    assert dict(rest.details) == {"split_from": whole.finding_id}
    assert cut.news == {rest.finding_id} | {f.finding_id for f in cut.findings if f.finding_id in cut.news}


def test_req_08_late_data_split_an_episode_too_short_for_an_alarm_on_either_side() -> None:
    first = step(State(), [f for f in rows("0:00", "12:00", "9.0") if f.t_ms != at("6:00")], PROFILES, at("12:00"))
    (whole,) = of(first.findings)
    cut = step(first.state, rows("6:00", "6:00", "5.0"), PROFILES, at("13:00"))
    (gone,) = of(cut.findings)
    assert (gone.finding_id, gone.kind, gone.reason) == (whole.finding_id, Kind.WITHDRAWN, "late_data")
    assert not of(standing(cut.state))


def test_req_08_what_took_the_place_of_two_names_both_and_both_name_it() -> None:
    """A possible heat over a gap and a confirmed one after it become one confirmed from the first reading on."""
    facts = [*rows("0:00", "4:45", "8.5"), *rows("6:30", "17:00", "8.5")]
    first = step(State(), facts, PROFILES, at("17:00"))
    possible, sure = sorted(of(first.findings), key=lambda f: f.episode_start_ms)
    assert (possible.kind, sure.kind) == (Kind.POSSIBLE, Kind.CONFIRMED)
    filled = step(first.state, rows("5:00", "6:15", "8.6"), PROFILES, at("18:00"))
    by_id = {f.finding_id: f for f in of(filled.findings)}
    heir = by_id[possible.finding_id]
    assert (heir.kind, heir.supersedes, heir.event_ms) == (Kind.CONFIRMED, (sure.finding_id,), at("10:00"))
    assert by_id[sure.finding_id].reason == f"superseded by {heir.finding_id}"
    assert heir.finding_id in filled.news  # nobody was told that it is sure


def test_what_a_finding_was_cut_from_or_took_the_place_of_stays_with_it() -> None:
    first = step(State(), [f for f in rows("0:00", "23:00", "9.0") if f.t_ms != at("11:30")], PROFILES, at("23:00"))
    cut = step(first.state, rows("11:30", "11:30", "5.0"), PROFILES, at("24:00"))
    said = {f.finding_id: f for f in (*first.findings, *cut.findings)}
    longer = step(cut.state, rows("23:15", "24:00", "9.5"), PROFILES, at("24:00"))
    (rest,) = of(longer.findings)
    assert rest.details == ()
    kept = with_history(said[rest.finding_id], rest)
    assert dict(kept.details) == {"split_from": next(f for f in of(first.findings)).finding_id}
    facts = [*rows("0:00", "11:15", "9.0"), *rows("11:30", "11:30", "5.0"), *rows("11:45", "23:00", "9.0")]
    again = restore([*facts, *rows("23:15", "24:00", "9.5")], standing(longer.state), PROFILES, at("24:00"))
    assert again.findings == ()
