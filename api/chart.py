"""A chart of temperature as one small SVG, drawn on the server; pure: points in, text out.

Drawn: the band of the profile, the line, unknown time as hatching, alarms as a bar with a mark at the foot. Nothing
is told by colour alone: unknown time is hatched and named, the limits are dashed and carry their value, alarms
carry a sign. No style attribute and no script (the Content-Security-Policy allows neither): ``style.css`` colours it.

Which time is unknown is said by the rules (``alerts.rules.spans``), not here; the line never bridges it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape

WIDTH, HEIGHT = 480, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 6, 8, 42
_PLOT_W, _PLOT_H = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
_BUCKET_PX = 1  # two points (lowest, highest) per bucket keep every peak and the page small
_STEPS = [Decimal(s) for s in ("0.5", "1", "2", "5", "10", "20", "50")]


@dataclass(frozen=True, slots=True)
class Point:
    """One reading: time and temperature in Celsius; None means "no value" and counts as unknown time."""

    t_ms: int
    value: Decimal | None


@dataclass(frozen=True, slots=True)
class Span:
    """A span of time, half open; ``text`` is shown when it is pointed at."""

    from_ms: int
    to_ms: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """What to draw. ``ticks`` are (time, label) on the site's clock, chosen by the caller who knows the zone."""

    points: Sequence[Point]
    from_ms: int
    to_ms: int
    low_c: Decimal | None
    high_c: Decimal | None
    unknown: Sequence[Span]
    alarms: Sequence[Span]
    ticks: Sequence[tuple[int, str]]
    title: str
    summary: str
    unknown_word: str
    decimal_comma: bool = False


def draw(chart: Chart) -> str:
    """The whole ``<svg>`` element. It is marked as one image whose description is ``title`` and ``summary``."""
    low, high = _bounds(chart)
    frame = _Frame(chart.from_ms, chart.to_ms, low, high)
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="chart-title chart-text">',
        f'<title id="chart-title">{escape(chart.title)}</title><desc id="chart-text">{escape(chart.summary)}</desc>',
        '<defs><pattern id="hatch" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<rect class="hatch-ground" width="8" height="8"/><path class="hatch-line" d="M0 0V8"/></pattern></defs>',
        f'<rect class="plot" x="{_LEFT}" y="{_TOP}" width="{_PLOT_W}" height="{_PLOT_H}"/>',
        *_band(chart, frame),
        *_grid(chart, frame),
        *_unknown(chart, frame),
        *_limits(chart, frame),
        _line(chart, frame),
        *_alarms(chart, frame),
        "</svg>",
    ]
    return "".join(parts)


@dataclass(frozen=True, slots=True)
class _Frame:
    from_ms: int
    to_ms: int
    low: Decimal
    high: Decimal

    def x(self, t_ms: int) -> float:
        share = (min(max(t_ms, self.from_ms), self.to_ms) - self.from_ms) / (self.to_ms - self.from_ms)
        return round(_LEFT + share * _PLOT_W, 1)

    def y(self, value: Decimal) -> float:
        share = float((value - self.low) / (self.high - self.low))
        return round(_TOP + (1 - min(max(share, 0.0), 1.0)) * _PLOT_H, 1)


def _bounds(chart: Chart) -> tuple[Decimal, Decimal]:
    """The axis: all values and both limits with a margin of one degree."""
    values = [p.value for p in chart.points if p.value is not None]
    values += [limit for limit in (chart.low_c, chart.high_c) if limit is not None]
    if not values:
        return Decimal(0), Decimal(10)
    low, high = min(values).__floor__() - 1, max(values).__ceil__() + 1
    return Decimal(low), Decimal(high)


def _band(chart: Chart, frame: _Frame) -> list[str]:
    if chart.low_c is None and chart.high_c is None:
        return []
    top = frame.y(frame.high if chart.high_c is None else chart.high_c)
    foot = frame.y(frame.low if chart.low_c is None else chart.low_c)
    return [f'<rect class="band" x="{_LEFT}" y="{top}" width="{_PLOT_W}" height="{round(foot - top, 1)}"/>']


def _grid(chart: Chart, frame: _Frame) -> list[str]:
    parts = []
    step = next((s for s in _STEPS if (frame.high - frame.low) / s <= 7), _STEPS[-1])
    value = (frame.low / step).__ceil__() * step
    while value <= frame.high:
        y = frame.y(value)
        parts.append(f'<path class="grid" d="M{_LEFT} {y}H{WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{_written(value, chart)}</text>')
        value += step
    for t_ms, label in chart.ticks:
        x = frame.x(t_ms)
        parts.append(f'<path class="grid" d="M{x} {_TOP}V{_TOP + _PLOT_H}"/>')
        parts.append(f'<text x="{x}" y="{_TOP + _PLOT_H + 34}" text-anchor="middle">{escape(label)}</text>')
    return parts


def _limits(chart: Chart, frame: _Frame) -> list[str]:
    parts = []
    for limit in (chart.low_c, chart.high_c):
        if limit is None:
            continue
        y = frame.y(limit)
        parts.append(f'<path class="limit" d="M{_LEFT} {y}H{WIDTH - _RIGHT}"/>')
        label = f"{_written(limit, chart)} °C"
        parts.append(
            f'<text class="limit-text" x="{WIDTH - _RIGHT - 4}" y="{y - 4}" text-anchor="end">{label}</text>'
        )
    return parts


def _unknown(chart: Chart, frame: _Frame) -> list[str]:
    parts = []
    for span in chart.unknown:
        x, width = frame.x(span.from_ms), round(frame.x(span.to_ms) - frame.x(span.from_ms), 1)
        if width <= 0:
            continue
        parts.append(
            f'<rect class="unknown" fill="url(#hatch)" x="{x}" y="{_TOP}" width="{width}" height="{_PLOT_H}">'
            f"<title>{escape(span.text or chart.unknown_word)}</title></rect>"
        )
        if width > 9 * len(chart.unknown_word):
            middle = round(x + width / 2, 1)
            parts.append(
                f'<text class="unknown-text" x="{middle}" y="{_TOP + 16}" text-anchor="middle">'
                f"{escape(chart.unknown_word)}</text>"
            )
    return parts


def _alarms(chart: Chart, frame: _Frame) -> list[str]:
    parts, y = [], _TOP + _PLOT_H + 4
    for span in chart.alarms:
        x = frame.x(span.from_ms)
        width = max(3.0, round(frame.x(span.to_ms) - x, 1))
        parts.append(
            f'<g class="alarm"><title>{escape(span.text)}</title><rect x="{x}" y="{y}" width="{width}" height="8"/>'
            f'<path d="M{x} {y + 16}l6 -11l6 11z"/></g>'
        )
    return parts


def _line(chart: Chart, frame: _Frame) -> str:
    """One path; a new piece begins after each unknown span, so that the line never bridges what is not known."""
    breaks = [span.from_ms for span in chart.unknown]
    steps, at, previous = [], 0, None
    for point in _thinned(chart.points, frame):
        if point.value is None:
            previous = None
            continue
        while at < len(breaks) and breaks[at] < point.t_ms:
            at, previous = at + 1, None
        letter = "M" if previous is None else "L"
        steps.append(f"{letter}{frame.x(point.t_ms):g} {frame.y(point.value):g}")
        if previous is None:
            steps.append("h0")  # a lone reading shows as a dot (round caps)
        previous = point
    return f'<path class="line" d="{"".join(steps)}"/>' if steps else ""


def _thinned(points: Sequence[Point], frame: _Frame) -> list[Point]:
    """At most the lowest and the highest point of every pixel, in time order; "no value" stays a break."""
    kept: list[Point] = []
    bucket: list[Point] = []
    key: int | None = None

    def flush() -> None:
        if bucket:
            ends = {min(bucket, key=lambda p: (p.value, p.t_ms)), max(bucket, key=lambda p: (p.value, p.t_ms))}
            kept.extend(sorted(ends, key=lambda p: p.t_ms))
            bucket.clear()

    for point in points:
        if not frame.from_ms <= point.t_ms <= frame.to_ms:
            continue
        mine = int(frame.x(point.t_ms) // _BUCKET_PX)
        if point.value is None:
            flush()
            kept.append(point)
            continue
        if mine != key:
            flush()
            key = mine
        bucket.append(point)
    flush()
    return kept


def _written(value: Decimal, chart: Chart) -> str:
    text = f"{value.normalize():f}".replace("-", "−")
    return text.replace(".", ",") if chart.decimal_comma else text
