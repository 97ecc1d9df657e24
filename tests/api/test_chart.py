"""The chart and the day behind it: unknown time is never bridged, peaks survive thinning, texts are escaped."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from alerts.rules.spans import RangeState
from api.chart import Chart, Point, Span, draw
from api.roles import Person, Role
from telemetry.readings import Quality

HOUR = 3_600_000
ME = Person("admin", Role.ADMIN)


def chart(points: list[Point], **changes: Any) -> Chart:
    values: dict[str, Any] = {
        "points": points, "from_ms": 0, "to_ms": 24 * HOUR, "low_c": Decimal("2.0"), "high_c": Decimal("8.0"),
        "unknown": [], "alarms": [], "ticks": [(6 * HOUR, "06:00")], "title": "Kulkas <A>", "summary": "5 & 9",
        "unknown_word": "unknown",
    }  # fmt: skip
    return Chart(**(values | changes))


def path_of(svg: str) -> str:
    found = re.search(r'<path class="line" d="([^"]*)"', svg)
    return found[1] if found else ""


def test_the_picture_is_well_formed_and_tells_its_text() -> None:
    svg = draw(chart([Point(HOUR, Decimal("5.1"))]))
    root = ET.fromstring(svg)
    assert root.get("role") == "img"
    assert [child.text for child in list(root)[:2]] == ["Kulkas <A>", "5 & 9"]
    assert "style=" not in svg


def test_the_line_never_bridges_unknown_time() -> None:
    points = [Point(h * HOUR, Decimal("5")) for h in (1, 2, 5, 6)]
    svg = draw(chart(points, unknown=[Span(2 * HOUR + 900_000, 5 * HOUR)]))
    assert path_of(svg).count("M") == 2
    assert svg.count('class="unknown"') == 1


def test_a_reading_without_a_value_breaks_the_line_and_is_no_zero() -> None:
    svg = draw(chart([Point(HOUR, Decimal("5")), Point(2 * HOUR, None), Point(3 * HOUR, Decimal("5"))]))
    assert path_of(svg).count("M") == 2
    assert path_of(draw(chart([Point(HOUR, None)]))) == ""


def test_every_peak_survives_thinning_and_the_page_stays_small() -> None:
    points = [Point(n * 1000, Decimal("5.0")) for n in range(86_400)]
    points[40_000] = Point(40_000_000, Decimal("12.7"))
    svg = draw(chart(points))
    assert len(svg) < 16_000
    tops = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", path_of(svg))]
    assert tops.count(min(tops)) >= 1
    assert min(tops) < tops[0] - 50


def test_an_empty_day_is_drawn_too() -> None:
    svg = draw(chart([], unknown=[Span(0, 24 * HOUR)]))
    assert 'class="unknown"' in svg
    ET.fromstring(svg)


@given(
    st.lists(st.tuples(st.integers(0, 24 * HOUR), st.none() | st.decimals(-100, 100, places=3)), max_size=60),
    st.booleans(),
)
def test_any_day_gives_a_picture_within_its_frame(values: list[tuple[int, Decimal | None]], comma: bool) -> None:
    points = [Point(t, v) for t, v in sorted(values, key=lambda x: x[0])]
    svg = draw(chart(points, decimal_comma=comma))
    ET.fromstring(svg)
    for x, y in re.findall(r"[ML]([-\d.]+) ([-\d.]+)", path_of(svg)):
        assert 0 <= float(x) <= 480
        assert 0 <= float(y) <= 260


# --- the day behind it ----------------------------------------------------------------------------------------


def test_a_day_says_what_is_unknown_and_what_is_out(world: Any) -> None:
    """cold-chain.md 6, conventions: before a longer gap a reading counts one interval; unknown is never in range."""
    desk = world.app.state.desk
    site = desk.questions.site(ME, "PKM-A")
    view = desk.questions.equipment_view(site, "KULKAS-A", world.clock.now)
    day = desk.questions.day(view, "LOG-1/temperature_c", world.clock.now)
    # Readings every 10 min from 5 min in; those of hours 6 and 7 are missing: last 5:55 + 10 min, next 8:05.
    start = world.clock.now - 24 * HOUR
    assert [(a - start, b - start) for a, b in day.unknown] == [
        (0, 300_000),
        (6 * HOUR + 300_000, 8 * HOUR + 300_000),
    ]
    assert day.out_ms == 11 * HOUR - 300_000
    assert day.unknown_ms == 2 * HOUR + 300_000
    states = [hour.state for hour in day.hours]
    assert states[6:9] == [RangeState.UNKNOWN, RangeState.UNKNOWN, RangeState.UNKNOWN]
    assert states[5] is RangeState.IN
    assert states[13] is RangeState.OUT


def test_readings_that_are_not_good_are_unknown_and_no_value(world: Any) -> None:
    from dataclasses import replace

    desk, now = world.app.state.desk, world.clock.now
    last = world.store.latest(["LOG-2/temperature_c"])["LOG-2/temperature_c"]
    bad = replace(last, t_ms=now - 1000, value=Decimal("4.2"), quality=Quality.SENSOR_FAULT)
    world.store.append([bad])
    view = desk.questions.equipment_view(desk.questions.site(ME, "PKM-A"), "KULKAS-B", now)
    assert view.range_state is RangeState.UNKNOWN
    assert view.state.kind == "unknown"


def test_13_a_silent_logger_is_never_reported_in_range(world: Any) -> None:
    """cold-chain.md 13: no reading for 3 intervals -> silent; and unknown already after the longest gap."""
    desk = world.app.state.desk
    site = desk.questions.site(ME, "PKM-A")
    last_ms = world.store.latest(["LOG-2/temperature_c"])["LOG-2/temperature_c"].t_ms
    seen = []
    for after_s in (0, 1200, 1201, 1800, 1801):
        view = desk.questions.equipment_view(site, "KULKAS-B", last_ms + after_s * 1000)
        seen.append((view.range_state.value, view.state.word))
    assert seen == [("in", "in"), ("in", "in"), ("unknown", "unknown"), ("unknown", "unknown"), ("unknown", "silent")]
