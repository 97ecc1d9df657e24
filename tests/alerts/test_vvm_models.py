"""VVM life used: cold-chain 2.1 and 6, 21."""

from __future__ import annotations

from decimal import Decimal

import pytest

from alerts.rules import Segment
from alerts.vvm import Model, rate_per_day, used, used_fraction, used_percent

DAY_MS = 86_400_000
SAMPLES = [5.0, 30.0, 37.0]
WEIGHTS = [30 * 86_400.0, 3 * 86_400.0, 6 * 3_600.0]


@pytest.mark.parametrize(
    ("vvm", "k37"), [("VVM2", 0.5689053), ("VVM7", 0.1646515), ("VVM14", 0.08232575), ("VVM30", 0.03847373)]
)
def test_req_21_nexleafs_published_values_at_37_to_1e_6(vvm: str, k37: float) -> None:
    assert abs(rate_per_day(vvm, Model.B, [37.0])[0] - k37) < 1e-6


def test_req_21_nexleafs_288_ten_minute_samples_at_37() -> None:
    lost = used_fraction("VVM2", Model.B, [37.0] * 288, [600.0] * 288)
    assert round(lost * 100, 2) == 113.78


@pytest.mark.parametrize(
    ("vvm", "model_a", "model_b"),
    [("VVM2", 83.96, 98.85), ("VVM7", 20.41, 25.11), ("VVM14", 10.20, 12.56), ("VVM30", 4.76, 5.87)],
)
def test_req_21_thirty_days_three_days_six_hours(vvm: str, model_a: float, model_b: float) -> None:
    assert used_fraction(vvm, Model.A, SAMPLES, WEIGHTS) * 100 == pytest.approx(model_a, abs=0.005)
    assert used_fraction(vvm, Model.B, SAMPLES, WEIGHTS) * 100 == pytest.approx(model_b, abs=0.005)


def test_req_21_twelve_hours_at_37_is_a_quarter_of_a_vvm2() -> None:
    assert used_fraction("VVM2", Model.A, [37.0], [12 * 3600.0]) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("vvm", "lives"),
    [
        ("VVM2", [371, 225, 138, 45.9, 10.4, 5.16, 2.00, 1.35]),
        ("VVM7", [2507, 1429, 824, 239, 45.0, 20.4, 7.00, 4.50]),
        ("VVM14", [5014, 2858, 1649, 478, 90.0, 40.7, 14.0, 8.99]),
        ("VVM30", [10769, 6137, 3540, 1025, 193, 87.3, 30.0, 19.3]),
    ],
)
def test_req_21_model_a_life_table(vvm: str, lives: list[float]) -> None:
    ours = 1 / rate_per_day(vvm, Model.A, [2, 5, 8, 15, 25, 30, 37, 40])
    assert list(ours) == pytest.approx(lives, rel=0.006)


def test_req_21_result_names_its_model_and_the_worse_one_serves_the_verdict() -> None:
    made = [Segment(0, 30 * DAY_MS, 5000, 5000), Segment(30 * DAY_MS, 33 * DAY_MS, 30000, 30000)]
    both = used("VVM2", made)
    assert [u.model for u in both] == [Model.A, Model.B]
    assert used_percent("VVM2", made) == both[1].used_percent > both[0].used_percent
    assert isinstance(both[0].used_percent, Decimal)


def test_req_21_a_vvm_cannot_show_freezing() -> None:
    assert used_fraction("VVM30", Model.B, [-1.0], [70 * 60.0]) < 1e-5


def test_an_unpublished_type_is_an_error_and_no_number() -> None:
    with pytest.raises(KeyError):
        rate_per_day("VVM11", Model.A, [5.0])
