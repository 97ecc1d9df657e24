"""Weight lines against facts/devices.md 3.3 and 3.4, and the platform behind them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from firmware_sim.ascii_scale import LineFormat, Status, encode_and, encode_cas, encode_line
from firmware_sim.scale import Indication, Load, Platform, to_interval


def test_ca1_a_cas_line_is_22_bytes() -> None:
    #           ST,GS,0 lamp ,8 digits_kg CR LF
    expected = bytes.fromhex("53 54 2C 47 53 2C 30 C4 2C 30 30 30 30 31 33 2E 35 20 6B 67 0D 0A")
    assert encode_cas(Status.STABLE, Decimal("13.5")) == expected == b"ST,GS,0\xc4,000013.5 kg\r\n"


def test_ad1_an_and_line_is_17_bytes() -> None:
    assert encode_and(Status.STABLE, Decimal("1.234")) == b"ST,+0001.234 kg\r\n"


def test_ad3_grams_and_unstable_negative() -> None:
    assert encode_and(Status.STABLE, Decimal("1234.5"), "g") == b"ST,+001234.5  g\r\n"
    assert encode_and(Status.UNSTABLE, Decimal("-183.96"), "g") == b"US,-00183.96  g\r\n"


def test_lamps_follow_the_state() -> None:
    assert encode_cas(Status.UNSTABLE, Decimal("5.170"))[7] == 0x84
    assert encode_cas(Status.STABLE, Decimal("0.000"))[7] == 0xC5
    assert encode_cas(Status.STABLE, Decimal("-0.005")) == b"ST,GS,0\xc4,-000.005 kg\r\n"


def test_an_overload_line_carries_a_plausible_number() -> None:
    assert encode_line(LineFormat.AND, Status.OVERLOAD, Decimal("15.100")) == b"OL,+9999.999 kg\r\n"
    assert encode_line(LineFormat.CAS, Status.OVERLOAD, Decimal("15.100")) == b"OL,GS,0\x84,9999.999 kg\r\n"


def _run(platform: Platform, frames: int, step_s: float = 10) -> list[Indication]:
    return [platform.tick(i * step_s) for i in range(frames)]


def _platform(*loads: Load, seed: int = 1) -> Platform:
    return Platform("SC-0001", Decimal(15), Decimal("0.005"), seed, loads)


def test_a_load_moves_first_then_stands_then_goes_back_to_zero() -> None:
    shown = _run(_platform(Load(100, Decimal("5.40"), hold_s=200)), 60)
    loaded = [s for s in shown if s.load is not None]
    assert [s.stable for s in loaded[:4]] == [False, False, False, True]
    assert all(s.gross_kg != Decimal("5.400") or s.stable for s in loaded)
    assert {str(s.gross_kg) for s in loaded if s.stable} == {"5.400"}
    assert sum(s.came_to_rest for s in shown) == 1
    gone = max(i for i, s in enumerate(shown) if s.load is not None) + 1
    assert not shown[gone].stable
    assert shown[-1].stable
    assert shown[-1].gross_kg == 0


def test_a_load_stands_for_eight_heard_frames_however_fast_virtual_time_runs() -> None:
    shown = _run(_platform(Load(100, Decimal("5.40"), hold_s=1)), 40, step_s=5000)
    assert sum(s.stable for s in shown if s.load is not None) == 8
    platform = _platform(Load(100, Decimal("5.40"), hold_s=1))
    _run(platform, 10, step_s=5000)
    assert platform.load is not None
    assert all(platform.tick(1e6, heard=False).load is not None for _ in range(50))


def test_two_loads_at_the_same_time_come_one_after_the_other() -> None:
    shown = _run(_platform(Load(50, Decimal("1.0"), 10), Load(50, Decimal("2.0"), 10)), 80)
    rests = [str(s.gross_kg) for s in shown if s.came_to_rest]
    assert rests == ["1.000", "2.000"]


def test_over_capacity_is_overload_and_nine_intervals_are_still_shown() -> None:
    assert not any(s.overload for s in _run(_platform(Load(0, Decimal("15.045"), 500)), 30))
    assert any(s.overload and s.stable for s in _run(_platform(Load(0, Decimal("15.100"), 500)), 30))


@pytest.mark.parametrize("seed", [1, 2])
def test_the_frames_of_a_run_depend_on_seed_and_frame_number_only(seed: int) -> None:
    def shown(step_s: float) -> list[Decimal]:
        platform = _platform(Load(0, Decimal("5.40"), hold_s=1e9), seed=seed)
        return [s.gross_kg for s in _run(platform, 20, step_s)]

    assert shown(1) == shown(700)


def test_masses_round_to_the_verification_interval() -> None:
    assert str(to_interval(Decimal("5.4026"), Decimal("0.005"))) == "5.405"
    assert str(to_interval(Decimal("5.40"), Decimal("0.005"))) == "5.400"
    assert str(to_interval(Decimal("5.43"), Decimal("0.05"))) == "5.45"
