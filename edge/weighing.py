"""One weighing per load, from a stream of scale frames. Pure: frames and a monotonic time in, outcomes out.

::

              stable, in range, > zero band: CAPTURE
    ARMED ───────────────────────────────────────────▶ LOADED ◀── a load already stands ── START
      ▲                                                   │                                  │
      └──────── stable and near zero (not straight ◀──────┴──────────────────────────────────┘
                after an overload): RE-ARM

The rules are facts/smile-and-waste.md 18 to 21:

* 18: only stable frames in range whose basis (gross or net) is known; never OL, never the zero right after an
  overload (some indicators send an overload as zeros); only unstable frames for 7 s say "unstable" and record
  nothing; a negative stable weight says "re-zero".
* 19: near zero is within 0.25 e; up to ``ZERO_BAND_E`` x e the platform counts as empty but "set zero" is said and
  the next weighing is flagged NOT_ZEROED. (The 2 e are our choice: the smallest bag must stay weighable.)
  A load that stands when the agent meets the scale for the first time is no bag: above ``OLD_LOAD_E`` x e "load_left"
  (remove the old load), below that "set zero"; nothing is captured until the platform was near zero. Only a load that
  is seen to come (motion from below it) is weighed before the first zero, with the flag NOT_ZEROED.
* 20: net below Min (class III: 20 e, class IIII: 10 e, OIML R76) is kept with the flag BELOW_MIN.
* 21: gross, tare, net are decimals and gross = net + tare; net <= 0 is refused; the tare's mode is kept. A preset
  tare is rounded to e (0.715 at e = 0.05 is 0.70).

* These lines have no checksum: one flipped bit makes a plausible weight. So from a scale that talks all the time a
  stable frame counts when ``same_frames`` of them in a row say the same: 1, as 18 has it, unless the settings say 2,
  which is for noisy cables; always 1 for MT-SICS, whose cycle asks twice. A zero after motion needs no second one:
  bags may follow closely.

A restart goes by the hint, which is committed with each outcome, so that a SIGKILL neither loses nor doubles a bag.
A line that was down (``after_gap``) is the same: bags may have come and gone meanwhile:

=============== =============================================================================================
hint            a load that stands at the restart, or when the line is back, is
=============== =============================================================================================
none, start     old: nobody ever saw this platform empty. Refused until it was near zero
armed           new: it came after the platform was seen empty. Weighed
loaded, 5.40    the same within e: weighed already, and "same_as_before" is said once per gap: it may be another bag of
                the same weight. Another one: a bag that came meanwhile. Weighed, NOT_ZEROED, for no empty platform
                was seen between the two
loaded, no mass the old load that was refused. Refused until it was near zero
=============== =============================================================================================

Without a configured e the step of the display stands in for the zero band, and BELOW_MIN is not judged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum

from edge.decoders.frames import Basis, Stability, WeightFrame
from telemetry.quantities import QUANTITIES

UNSTABLE_AFTER_MS = 7_000  # smile-and-waste 18; the time-out of Dibal indicators (5.2)
ZERO_E = Decimal("0.25")
ZERO_BAND_E = 2
OLD_LOAD_E = 20  # smile-and-waste 19: 1.00 kg at e = 0.05
MIN_LOAD_E = {"III": 20, "IIII": 10}
# A zero that lasts this long after an overload is an empty platform and no "overload as zeros" (our choice).
OVERLOAD_ZERO_MS = 2_000
_GRAM = Decimal("0.001")


class Phase(StrEnum):
    """START: no zero was seen yet, and nothing is known of what stands on the platform."""

    START = "start"
    ARMED = "armed"
    LOADED = "loaded"


@dataclass(frozen=True, slots=True)
class ScaleRules:
    """Settings of one scale, kg. ``basis`` is what frames without GS/NT mean; UNKNOWN refuses them."""

    e_kg: Decimal | None = None
    max_kg: Decimal | None = None
    accuracy_class: str = "III"
    basis: Basis = Basis.UNKNOWN
    preset_tare_kg: Decimal = Decimal(0)
    same_frames: int = 1


@dataclass(frozen=True, slots=True)
class Captured:
    """A stable load: gross = net + tare."""

    gross_kg: Decimal
    tare_kg: Decimal
    net_kg: Decimal
    tare_mode: str
    flags: tuple[str, ...]
    raw: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """No weighing, with a stable reason; said once per load and reason.

    unstable, overload, rezero, set_zero, basis_unknown, tare_unknown, net_not_positive, load_left (remove the old load),
    same_as_before (after a gap the load of before stands there, or another bag of its weight: was this one weighed?).
    """

    reason: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Rearmed:
    """The platform is seen empty, after a load or for the first time: the next load is a new one."""


Outcome = Captured | Refused | Rearmed


@dataclass(frozen=True, slots=True)
class State:
    """What one scale's frames have said so far.

    ``captured_kg`` is the gross of the load that is still on; None while LOADED with an old load that was refused.
    """

    phase: Phase = Phase.START
    captured_kg: Decimal | None = None
    unwatched: bool = False  # LOADED before a restart or a gap of the line: the load may have changed meanwhile
    not_zeroed: bool = False
    overloaded: bool = False
    zero_since_ms: int | None = None
    unstable_since_ms: int | None = None
    gross_before_net_kg: Decimal | None = None
    measured_tare_kg: Decimal | None = None
    said: frozenset[str] = frozenset()
    stable: tuple[Basis, Decimal, int] | None = None  # the last stable frames: what they say, how many in a row
    moved: bool = False  # an unstable frame came since the last weighing or zero
    rose_from_kg: Decimal | None = None  # START: the least that was shown in motion


def preset_tare(tare_kg: Decimal, e_kg: Decimal) -> Decimal:
    """A tare rounded to the verification interval, as R76 wants a preset tare (requirement 21)."""
    return (tare_kg / e_kg).to_integral_value(ROUND_HALF_EVEN) * e_kg


def min_load_kg(e_kg: Decimal, accuracy_class: str = "III") -> Decimal:
    """R76 Min: 20 e for class III, 10 e for class IIII."""
    return e_kg * MIN_LOAD_E[accuracy_class]


def dump(state: State) -> str:
    """The part of the state that must survive a restart, as a hint text: ``armed:``, ``loaded:5.40``."""
    return f"{state.phase}:{'' if state.captured_kg is None else state.captured_kg}"


def load(text: str | None) -> State:
    """The state of a hint text; a fresh one if there is none."""
    phase, _, captured = (text or Phase.START).partition(":")
    return State(Phase(phase), Decimal(captured) if captured else None, unwatched=bool(captured))


def after_gap(state: State) -> State:
    """The state when the line is back after nobody heard the scale: what was in the middle begins again, and the load
    that stands may be another one. The tare that an indicator measured may be another one too.
    """
    return replace(
        state,
        unwatched=state.captured_kg is not None,
        zero_since_ms=None,
        unstable_since_ms=None,
        gross_before_net_kg=None,
        measured_tare_kg=None,
        stable=None,
        moved=False,
        rose_from_kg=None,
    )


def step(state: State, frame: WeightFrame, rules: ScaleRules, mono_ms: int) -> tuple[State, tuple[Outcome, ...]]:
    """The next state and what came of ``frame`` (``mono_ms`` from any monotonic clock)."""
    moved = state.moved or frame.stability is Stability.UNSTABLE
    state = replace(state, stable=_in_a_row(state, frame), moved=moved)
    emptied = moved and frame.mass_kg == 0
    if state.stable is not None and state.stable[2] < rules.same_frames and not emptied:
        return state, ()
    # Without a setting: what no message can hold (a bit flipped among the digits) must not become a weighing.
    max_kg = QUANTITIES["mass_kg"].high if rules.max_kg is None else rules.max_kg
    over = frame.mass_kg is not None and frame.mass_kg > max_kg
    if frame.stability is Stability.OVERLOAD or over:
        state = replace(state, overloaded=True, zero_since_ms=None, unstable_since_ms=None)
        return _refuse(state, "overload", frame)
    if frame.stability is Stability.UNDERLOAD:
        return _refuse(replace(state, zero_since_ms=None, unstable_since_ms=None), "rezero", frame)
    if frame.stability is Stability.UNSTABLE or frame.mass_kg is None:
        return _unstable(state, frame, mono_ms)
    return _stable(replace(state, unstable_since_ms=None), frame, frame.mass_kg, rules, mono_ms)


def _in_a_row(state: State, frame: WeightFrame) -> tuple[Basis, Decimal, int] | None:
    if frame.stability is not Stability.STABLE or frame.mass_kg is None:
        return None
    same = state.stable is not None and state.stable[:2] == (frame.basis, frame.mass_kg)
    return frame.basis, frame.mass_kg, state.stable[2] + 1 if same and state.stable else 1


def _refuse(state: State, reason: str, frame: WeightFrame) -> tuple[State, tuple[Outcome, ...]]:
    if reason in state.said:
        return state, ()
    return replace(state, said=state.said | {reason}), (Refused(reason, frame.raw),)


def _unstable(state: State, frame: WeightFrame, mono_ms: int) -> tuple[State, tuple[Outcome, ...]]:
    since = mono_ms if state.unstable_since_ms is None else state.unstable_since_ms
    state = replace(state, unstable_since_ms=since, overloaded=False, zero_since_ms=None)
    if state.phase is Phase.START and frame.mass_kg is not None:
        least_kg = frame.mass_kg if state.rose_from_kg is None else min(state.rose_from_kg, frame.mass_kg)
        state = replace(state, rose_from_kg=least_kg)
    if mono_ms - since < UNSTABLE_AFTER_MS:
        return state, ()
    return _refuse(state, "unstable", frame)


def _stable(
    state: State, frame: WeightFrame, mass_kg: Decimal, rules: ScaleRules, mono_ms: int
) -> tuple[State, tuple[Outcome, ...]]:
    basis = rules.basis if frame.basis is Basis.UNKNOWN else frame.basis
    if basis is Basis.UNKNOWN:
        return _refuse(state, "basis_unknown", frame)
    state = _learn_tare(state, basis, mass_kg)
    e_kg = rules.e_kg or frame.step_kg or _GRAM
    tare_kg = _tare(state, frame, basis, rules)
    if mass_kg < -ZERO_E * e_kg:
        # A net scale shows minus its tare when the tared box is taken off: that is an empty platform.
        if basis is Basis.NET and tare_kg is not None and abs(mass_kg + tare_kg) <= ZERO_BAND_E * e_kg:
            return _empty(state, frame, mass_kg + tare_kg, e_kg, mono_ms)
        return _refuse(replace(state, zero_since_ms=None), "rezero", frame)
    if mass_kg <= ZERO_BAND_E * e_kg:
        return _empty(state, frame, mass_kg, e_kg, mono_ms)
    state = replace(state, overloaded=False, zero_since_ms=None)
    if tare_kg is None:
        return _refuse(state, "tare_unknown", frame)
    return _loaded(state, frame, basis, mass_kg, tare_kg, rules, e_kg)


def _learn_tare(state: State, basis: Basis, mass_kg: Decimal) -> State:
    """The last stable gross before the indicator turns to net is the tare it measured."""
    if basis is Basis.GROSS:
        return replace(state, gross_before_net_kg=mass_kg, measured_tare_kg=None)
    if state.measured_tare_kg is None and state.gross_before_net_kg is not None:
        return replace(state, measured_tare_kg=state.gross_before_net_kg)
    return state


def _tare(state: State, frame: WeightFrame, basis: Basis, rules: ScaleRules) -> Decimal | None:
    if frame.tare_kg is not None:
        return frame.tare_kg
    if basis is Basis.NET:
        return state.measured_tare_kg
    return rules.preset_tare_kg if rules.e_kg is None else preset_tare(rules.preset_tare_kg, rules.e_kg)


def _empty(
    state: State, frame: WeightFrame, offset_kg: Decimal, e_kg: Decimal, mono_ms: int
) -> tuple[State, tuple[Outcome, ...]]:
    since = mono_ms if state.zero_since_ms is None else state.zero_since_ms
    if state.overloaded and mono_ms - since < OVERLOAD_ZERO_MS:
        return replace(state, zero_since_ms=since), ()
    not_zeroed = abs(offset_kg) > ZERO_E * e_kg
    was_armed = state.phase is Phase.ARMED
    state = replace(
        state,
        phase=Phase.ARMED,
        captured_kg=None,
        unwatched=False,
        overloaded=False,
        zero_since_ms=since,
        not_zeroed=not_zeroed,
        said=state.said & {"set_zero"} if not_zeroed else frozenset(),
        moved=False,
    )
    rearmed: tuple[Outcome, ...] = () if was_armed else (Rearmed(),)
    if not not_zeroed:
        return state, rearmed
    state, said = _refuse(state, "set_zero", frame)
    return state, rearmed + said


def _loaded(
    state: State,
    frame: WeightFrame,
    basis: Basis,
    mass_kg: Decimal,
    tare_kg: Decimal,
    rules: ScaleRules,
    e_kg: Decimal,
) -> tuple[State, tuple[Outcome, ...]]:
    gross_kg = mass_kg if basis is Basis.GROSS else mass_kg + tare_kg
    rounded = (_to_gram(gross_kg), _to_gram(tare_kg))
    flags = ["ROUNDED"] if rounded != (gross_kg, tare_kg) else []
    gross_kg, tare_kg = rounded
    net_kg = gross_kg - tare_kg
    if not all(QUANTITIES["mass_kg"].low <= kg <= QUANTITIES["mass_kg"].high for kg in (gross_kg, tare_kg)):
        return _refuse(state, "tare_unknown", frame)
    if state.phase is Phase.LOADED:
        if state.captured_kg is None:
            return _old_load(state, frame, mass_kg, e_kg)
        if abs(gross_kg - state.captured_kg) <= e_kg:
            return replace(state, unwatched=False), (Refused("same_as_before", frame.raw),) if state.unwatched else ()
        if not state.unwatched:
            return _refuse(state, "load_left", frame)
    if state.phase is Phase.START and not _came(state, mass_kg, e_kg):
        return _old_load(replace(state, phase=Phase.LOADED), frame, mass_kg, e_kg)
    if net_kg <= 0:
        return _refuse(state, "net_not_positive", frame)
    if rules.e_kg is not None and net_kg < min_load_kg(rules.e_kg, rules.accuracy_class):
        flags.append("BELOW_MIN")
    if state.not_zeroed or state.phase is not Phase.ARMED:
        flags.append("NOT_ZEROED")
    captured = Captured(gross_kg, tare_kg, net_kg, _tare_mode(frame, basis, tare_kg), tuple(flags), frame.raw)
    return replace(state, phase=Phase.LOADED, captured_kg=gross_kg, unwatched=False, moved=False, said=frozenset()), (
        captured,
    )


def _came(state: State, mass_kg: Decimal, e_kg: Decimal) -> bool:
    """Was the load seen to come: did the motion before it start more than e below it? An old load only shivers."""
    return state.rose_from_kg is not None and mass_kg - state.rose_from_kg > e_kg


def _old_load(state: State, frame: WeightFrame, mass_kg: Decimal, e_kg: Decimal) -> tuple[State, tuple[Outcome, ...]]:
    return _refuse(state, "load_left" if mass_kg > OLD_LOAD_E * e_kg else "set_zero", frame)


def _to_gram(mass_kg: Decimal) -> Decimal:
    """At most three places, as the contract has them; the digits shown are kept where they fit."""
    fits = int(mass_kg.as_tuple().exponent) >= -3
    return mass_kg if fits else mass_kg.quantize(_GRAM, ROUND_HALF_EVEN)


def _tare_mode(frame: WeightFrame, basis: Basis, tare_kg: Decimal) -> str:
    if tare_kg == 0:
        return "none"
    return "measured" if frame.tare_kg is not None or basis is Basis.NET else "preset"
