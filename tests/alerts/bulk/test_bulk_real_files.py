"""Bulk and engine say the same of real loggers' readings, whatever interval is declared or learned."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from alerts.bulk import judge_all, points_by_stream
from alerts.profiles import builtin_profiles
from alerts.rules import Profiles, ReadingFact, StreamSettings, judge
from edge.decoders.files import decode_file

SHARED = Path(__file__).parents[4] / "shared" / "data" / "fridge-tag"
STREAM = "S1/temperature_c"
KITS = [("refrigerator", "smile_grace"), ("transport_1", "transport_2"), ("freezer", "room"), ("ultra_cold",)]


def facts_of(name: str) -> list[ReadingFact]:
    path = SHARED / name
    if not path.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{path} is missing")
        pytest.skip("not run: real files absent")
    return [ReadingFact("F1", STREAM, r.instant_ms, r.value_c) for r in decode_file(path.read_bytes()).readings]


@pytest.mark.real_files
@pytest.mark.parametrize("name", ["q-tag-clm-RCPJ00010-run-2.txt", "fridge-tag-2l-format-sample.txt"])
@pytest.mark.parametrize("interval_s", [None, 60, 600])
def test_bulk_and_engine_agree_on_a_real_file(name: str, interval_s: int | None) -> None:
    facts = facts_of(name)
    assert len(facts) > 50
    for ids in KITS:
        profiles = Profiles(builtin_profiles(), {"F1": ids}, {STREAM: StreamSettings(interval_s)})
        for later_ms in (0, 40 * 86_400_000):
            now_ms = facts[-1].t_ms + later_ms
            assert judge_all(points_by_stream(facts), profiles, now_ms) == judge(facts, profiles, now_ms)
