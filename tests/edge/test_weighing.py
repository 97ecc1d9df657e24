"""The weighing machine: facts/smile-and-waste.md 18 to 21, with their numbers."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import DeviceSettings
from edge.decoders import scale_ascii
from edge.decoders.frames import Basis, Stability, WeightFrame
from edge.weighing import (
    Captured,
    Outcome,
    Phase,
    Rearmed,
    Refused,
    ScaleRules,
    State,
    after_gap,
    dump,
    load,
    min_load_kg,
    preset_tare,
    step,
)

E50 = ScaleRules(e_kg=Decimal("0.05"), max_kg=Decimal(150))
E5 = ScaleRules(e_kg=Decimal("0.005"), max_kg=Decimal(15))
FRAME_MS = 250
ARMED = State(Phase.ARMED)


def scale(**more: Decimal) -> DeviceSettings:
    """A scale as a site file has it, all else by default."""
    return DeviceSettings(
        "SC-1",
        "scale_ascii",
        **{"e_kg": Decimal("0.05"), "max_kg": Decimal(150), **more},  # type: ignore[arg-type]
    )


DEFAULTS = scale().scale_rules


def frame(text: str, basis: Basis = Basis.GROSS) -> WeightFrame:
    """``ST 5.40``, ``US 5.20``, ``OL``."""
    head, _, digits = text.partition(" ")
    kind = {"ST": Stability.STABLE, "US": Stability.UNSTABLE, "OL": Stability.OVERLOAD, "UL": Stability.UNDERLOAD}[
        head
    ]
    mass = Decimal(digits) if digits else None
    return WeightFrame(kind, basis, mass, Decimal("0.01"), text.encode())


def play(texts: list[str], rules: ScaleRules = E50, state: State = ARMED, ms: int = FRAME_MS) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for i, text in enumerate(texts):
        state, some = step(state, frame(text), rules, i * ms)
        outcomes += some
    return outcomes


def weights(outcomes: list[Outcome]) -> list[str]:
    return [str(o.gross_kg) for o in outcomes if isinstance(o, Captured)]


def reasons(outcomes: list[Outcome]) -> list[str]:
    return [o.reason for o in outcomes if isinstance(o, Refused)]


@pytest.mark.parametrize("rules", [E50, DEFAULTS])
def test_18_only_the_stable_frame_is_the_weight(rules: ScaleRules) -> None:
    (captured,) = play(["US 5.20", "US 5.35", "ST 5.40"], rules)
    assert isinstance(captured, Captured)
    assert (captured.gross_kg, captured.net_kg, captured.raw) == (Decimal("5.40"), Decimal("5.40"), b"ST 5.40")
    assert (captured.tare_mode, captured.flags) == ("none", ())


def test_18_the_bytes_of_the_example_are_one_weighing_by_default_settings() -> None:
    """Also as the first thing ever heard of a scale: the load is seen to come. No zero was seen: the flag says so."""
    state, outcomes = State(), list[Outcome]()
    for i, line in enumerate([b"US,GS,   5.20kg", b"US,GS,   5.35kg", b"ST,GS,   5.40kg", b"ST,GS,   5.40kg"]):
        state, some = step(state, scale_ascii.decode(line), DEFAULTS, i * FRAME_MS)
        outcomes += some
    (captured,) = outcomes
    assert isinstance(captured, Captured)
    assert (str(captured.net_kg), captured.flags) == ("5.40", ("NOT_ZEROED",))


def test_18_the_refusals_hold_by_default_settings() -> None:
    for texts, reason in (
        (["US 5.20"] * 30, "unstable"),
        (["OL", "ST 0.00"], "overload"),
        (["ST 150.05", "ST 0.00"], "overload"),
        (["ST -0.05"], "rezero"),
    ):
        outcomes = play(texts, DEFAULTS)
        assert (weights(outcomes), reasons(outcomes)) == ([], [reason])


def test_18_seven_seconds_of_motion_are_unstable_and_no_record() -> None:
    assert play(["US 5.2"] * 28) == []
    outcomes = play(["US 5.2"] * 60)
    assert (weights(outcomes), reasons(outcomes)) == ([], ["unstable"])


@pytest.mark.parametrize("load_kg", ["OL", "ST 150.05"])
def test_18_overload_is_refused_and_the_zero_after_it_is_no_weight(load_kg: str) -> None:
    outcomes = play([load_kg, load_kg, "ST 0.00", "ST 0.00"])
    assert (weights(outcomes), reasons(outcomes)) == ([], ["overload"])


def test_18_a_zero_sent_for_overload_does_not_make_the_same_load_a_new_one() -> None:
    assert weights(play(["ST 40.00", "OL", "ST 0.00", "ST 0.00", "ST 40.00"])) == ["40.00"]


def test_18_after_an_overload_is_lifted_the_next_load_counts() -> None:
    assert weights(play(["ST 40.00", "OL", "US 20.00", "ST 0.00", "US 3.00", "ST 5.40"])) == ["40.00", "5.40"]
    assert weights(play(["ST 40.00", "OL", *["ST 0.00"] * 10, "ST 5.40"])) == ["40.00", "5.40"]


def test_18_a_negative_weight_says_re_zero() -> None:
    assert play(["ST -0.05", "ST -0.05"]) == [Refused("rezero", b"ST -0.05")]
    assert reasons(play(["UL"])) == ["rezero"]


def test_18_an_unknown_basis_is_refused_unless_a_setting_says_it() -> None:
    shown = frame("ST 5.40", Basis.UNKNOWN)
    assert step(ARMED, shown, E50, 0)[1] == (Refused("basis_unknown", b"ST 5.40"),)
    gross = ScaleRules(e_kg=Decimal("0.05"), basis=Basis.GROSS)
    (captured,) = step(ARMED, shown, gross, 0)[1]
    assert isinstance(captured, Captured)


@pytest.mark.parametrize(
    ("reading", "said"), [("ST 0.010", []), ("ST 0.0125", []), ("ST 0.013", ["set_zero"]), ("ST 0.05", ["set_zero"])]
)
@pytest.mark.parametrize("start", [State(), ARMED])
@pytest.mark.parametrize("rules", [E50, DEFAULTS])
def test_19_the_platform_must_be_zero_before_a_bag(
    reading: str, said: list[str], start: State, rules: ScaleRules
) -> None:
    """e = 0.05: up to 0.25 e = 0.0125 is zero; more says "set zero", and the next weighing is flagged."""
    outcomes = play([reading, "ST 5.40"], rules, start)
    assert reasons(outcomes) == said
    (captured,) = [o for o in outcomes if isinstance(o, Captured)]
    assert captured.flags == (("NOT_ZEROED",) if said else ())


def test_19_an_old_load_left_on_is_told_and_not_weighed_again() -> None:
    outcomes = play(["ST 5.40", "US 7.00", "ST 9.80", "ST 9.80"])
    assert (weights(outcomes), reasons(outcomes)) == (["5.40"], ["load_left"])


@pytest.mark.parametrize(
    ("standing", "said"), [("0.15", "set_zero"), ("1.00", "set_zero"), ("1.05", "load_left"), ("5.40", "load_left")]
)
def test_19_a_load_that_stands_at_the_start_is_old_and_nothing_is_captured_before_a_zero(
    standing: str, said: str
) -> None:
    """Platform above 20 e (1.00 kg at e = 0.05) before a new bag: "remove old load"; up to 20 e: "set zero"."""
    still = [f"ST {standing}"] * 3
    outcomes = play(still, DEFAULTS, State())
    assert (weights(outcomes), reasons(outcomes)) == ([], [said])
    # A bag on top of it, or it shivers, or the agent restarts: still nothing.
    assert weights(play([*still, "US 4.00", "ST 9.80"], DEFAULTS, State())) == []
    assert weights(play([f"US {standing}", *still], DEFAULTS, State())) == []
    state, _ = step(State(), frame(still[0]), DEFAULTS, 0)
    assert weights(play(still, DEFAULTS, load(dump(state)))) == []
    assert weights(play(["ST 9.80"], DEFAULTS, load(dump(state)))) == []
    outcomes = play([*still, "US 0.50", "ST 0.00", "US 3.00", "ST 5.40"], DEFAULTS, State())
    assert [type(o) for o in outcomes] == [Refused, Rearmed, Captured]
    (captured,) = [o for o in outcomes if isinstance(o, Captured)]
    assert (str(captured.gross_kg), captured.flags) == ("5.40", ())


def test_19_a_load_lifted_off_at_the_start_is_no_load_that_comes() -> None:
    outcomes = play(["US 9.00", "US 7.00", "ST 5.40"], DEFAULTS, State())
    assert (weights(outcomes), reasons(outcomes)) == ([], ["load_left"])


def test_20_below_the_minimum_is_kept_with_a_flag() -> None:
    """Class III: Min is 20 e."""
    assert min_load_kg(Decimal("0.05")) == 1
    assert min_load_kg(Decimal("0.05"), "IIII") == Decimal("0.5")
    e5 = scale(e_kg=Decimal("0.005")).scale_rules
    for rules, flags in ((E50, ("BELOW_MIN",)), (E5, ()), (DEFAULTS, ("BELOW_MIN",)), (e5, ())):
        (captured,) = play(["ST 0.62"], rules)
        assert isinstance(captured, Captured)
        assert captured.flags == flags


def test_20_a_load_at_the_minimum_is_not_flagged() -> None:
    (captured,) = play(["ST 1.00"])
    assert isinstance(captured, Captured)
    assert captured.flags == ()


@pytest.mark.parametrize(
    "rules",
    [
        ScaleRules(Decimal("0.05"), preset_tare_kg=Decimal("0.715")),
        scale(preset_tare_kg=Decimal("0.715")).scale_rules,
    ],
)
def test_21_gross_less_the_rounded_preset_tare_is_exact(rules: ScaleRules) -> None:
    """gross 13.10, preset tare 0.715 at e = 0.05 is 0.70: net 12.40 exactly."""
    assert preset_tare(Decimal("0.715"), Decimal("0.05")) == Decimal("0.70")
    (captured,) = play(["ST 13.10"], rules)
    assert isinstance(captured, Captured)
    assert (captured.gross_kg, captured.tare_kg, captured.net_kg) == (
        Decimal("13.10"),
        Decimal("0.70"),
        Decimal("12.40"),
    )
    assert captured.tare_mode == "preset"


def test_21_a_net_of_zero_or_less_is_refused() -> None:
    for gross in ("ST 0.70", "ST 0.60"):
        outcomes = play([gross], ScaleRules(Decimal("0.05"), preset_tare_kg=Decimal("0.70")))
        assert (weights(outcomes), reasons(outcomes)) == ([], ["net_not_positive"])


def test_21_a_net_frame_needs_a_known_tare() -> None:
    assert step(ARMED, frame("ST 5.40", Basis.NET), E50, 0)[1] == (Refused("tare_unknown", b"ST 5.40"),)


def test_21_the_last_stable_gross_before_net_is_the_measured_tare() -> None:
    state, outcomes = State(), list[Outcome]()
    for i, (text, basis) in enumerate(
        [("ST 0.00", Basis.GROSS), ("ST 0.70", Basis.GROSS), ("ST 0.00", Basis.NET), ("ST 12.40", Basis.NET)]
    ):
        state, some = step(state, frame(text, basis), ScaleRules(Decimal("0.05")), i)
        outcomes += some
    captured = [o for o in outcomes if isinstance(o, Captured)][-1]
    assert (captured.gross_kg, captured.tare_kg, captured.net_kg, captured.tare_mode) == (
        Decimal("13.10"),
        Decimal("0.70"),
        Decimal("12.40"),
        "measured",
    )


def test_21_a_tenth_and_two_tenths_are_three_tenths() -> None:
    shown = WeightFrame(Stability.STABLE, Basis.NET, Decimal("0.2"), None, b"x", tare_kg=Decimal("0.1"))
    (captured,) = step(ARMED, shown, E5, 0)[1]
    assert isinstance(captured, Captured)
    assert captured.gross_kg == Decimal("0.3")


def test_one_weighing_a_load_and_rearmed_near_zero() -> None:
    outcomes = play(["ST 5.40", "ST 5.40", "US 2.00", "ST 0.00", "US 3.00", "ST 3.20", "ST 3.20"])
    assert weights(outcomes) == ["5.40", "3.20"]
    assert sum(isinstance(o, Rearmed) for o in outcomes) == 1


def test_a_tenth_of_a_gram_is_rounded_with_a_flag() -> None:
    (captured,) = play(["ST 1.2345"], E5)
    assert isinstance(captured, Captured)
    assert (captured.gross_kg, captured.net_kg, captured.flags) == (Decimal("1.234"), Decimal("1.234"), ("ROUNDED",))


def test_one_damaged_frame_is_no_weight_and_no_zero() -> None:
    """A line without a checksum: a flipped bit in a digit is a plausible weight."""
    twice = ScaleRules(e_kg=Decimal("0.05"), same_frames=2)
    frames = ["US 5.20", "ST 7.40", "ST 5.40", "ST 5.40", "ST 0.00", "ST 5.40", "ST 5.40", "OL", "ST 5.40"]
    assert weights(play(frames, twice)) == ["5.40"]
    assert weights(play(["ST 5.40", "US 5.40", "ST 5.40"], twice)) == []
    frames = ["ST 4.00", "ST 4.00", "ST 0.00", "ST 4.00", "ST 4.00", "US 2.00", "ST 0.00", "ST 4.00", "ST 4.00"]
    assert weights(play(frames, twice)) == ["4.00", "4.00"]


def test_a_restart_does_not_weigh_the_same_load_twice() -> None:
    state, _ = step(ARMED, frame("ST 5.40"), E50, 0)
    assert weights(play(["ST 5.40"], state=load(dump(state)))) == []
    assert weights(play(["ST 5.45", "ST 5.45"], state=load(dump(state)))) == []


def test_a_load_found_the_same_after_a_gap_is_asked_about_once_per_gap_and_not_weighed() -> None:
    """A second bag within e of the first, put on while nobody heard the scale, was taken for the first in silence."""
    state, _ = step(ARMED, frame("ST 5.40"), E50, 0)
    assert play(["ST 5.40", "ST 5.40"], state=state) == []
    for _ in range(2):
        state = after_gap(state)
        state, outcomes = step(state, frame("ST 5.45"), E50, 1)
        assert outcomes == (Refused("same_as_before", b"ST 5.45"),)
        assert play(["ST 5.45", "US 5.30", "ST 5.45"], state=state) == []
    assert play(["ST 5.40"], state=load(dump(state))) == [Refused("same_as_before", b"ST 5.40")]
    assert weights(play(["ST 0.00", "ST 5.40"], state=after_gap(state))) == ["5.40"]


def test_a_load_that_came_during_a_kill_is_new_if_the_platform_was_seen_empty_before() -> None:
    """The hint of the first zero is kept, so the bag is weighed once: not lost, and not twice over a second kill."""
    for before in ([], ["ST 5.40", "US 2.00"]):
        state = State()
        for i, text in enumerate([*before, "ST 0.00"]):
            state, _ = step(state, frame(text), DEFAULTS, i)
        assert dump(state) == "armed:"
        state, outcomes = step(load(dump(state)), frame("ST 1.05"), DEFAULTS, 0)
        (captured,) = outcomes
        assert isinstance(captured, Captured)
        assert (str(captured.gross_kg), captured.flags) == ("1.05", ())
        assert weights(play(["ST 1.05"], DEFAULTS, load(dump(state)))) == []


def test_another_load_found_after_a_restart_is_a_new_one() -> None:
    state, _ = step(ARMED, frame("ST 5.40"), E50, 0)
    (captured,) = play(["ST 8.20"], state=load(dump(state)))
    assert isinstance(captured, Captured)
    assert (str(captured.gross_kg), captured.flags) == ("8.20", ("NOT_ZEROED",))
    assert (load(None), load(dump(State())), load("armed:")) == (State(), State(), ARMED)


@given(
    st.lists(
        st.one_of(
            st.just("OL"),
            st.tuples(st.sampled_from(["ST", "US"]), st.integers(-200, 20000)).map(
                lambda t: f"{t[0]} {t[1] / 100:.2f}"
            ),
        ),
        max_size=40,
    ),
    st.sampled_from([State(), ARMED]),
)
def test_whatever_comes_a_weighing_is_a_stable_load_in_range(texts: list[str], start: State) -> None:
    """Each weighing repeats a stable frame's digits, gross = net + tare, and between two of one state lies a zero."""
    outcomes = play(texts, state=start)
    for outcome in outcomes:
        if isinstance(outcome, Captured):
            assert outcome.raw.startswith(b"ST ")
            assert outcome.gross_kg == Decimal(outcome.raw[3:].decode()) == outcome.net_kg + outcome.tare_kg
            assert 0 < outcome.gross_kg <= 150
    kinds = [type(o) for o in outcomes if not isinstance(o, Refused)]
    assert all(a is not b for a, b in pairwise(kinds))
