"""A chart of temperature as one small SVG, drawn on the server; pure: points in, text out.

Drawn: the band of the profile, a line a stream, unknown time as hatching, alarms as a bar with a mark at the foot, below it lanes
(the history of a batch: the state of each span, and its places). Nothing is told by colour alone: unknown time is hatched and
named, time out of range is chequered, the limits are dashed and carry their value, alarms carry a sign, places a letter.
No style attribute and no script (the Content-Security-Policy allows neither): ``style.css`` colours it.

Which time is unknown is said by the rules (``alerts.rules.spans``), not here; the line never bridges it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape

from telemetry.numbers import written

WIDTH, HEIGHT = 480, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 6, 8, 42
_PLOT_W, _PLOT_H = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
_LANE = 22  # height of one lane with its distance to the next
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
class Piece:
    """A piece of a lane: ``look`` is in, out, unknown or place; ``mark`` stands in it where there is room."""

    span: Span
    look: str
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """What to draw. ``ticks`` are (time, label) on the site's clock, chosen by the caller who knows the zone.

    ``others``: the points of further streams. ``extents``: (span, lowest, highest) where no readings can be drawn any more.
    ``bands``: (span, low, high) where the range was not one all along; they stand in place of ``low_c`` and ``high_c``.
    ``key`` tells the pictures of one page apart.
    """

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
    others: Sequence[Sequence[Point]] = ()
    extents: Sequence[tuple[Span, Decimal, Decimal]] = ()
    lanes: Sequence[Sequence[Piece]] = ()
    bands: Sequence[tuple[Span, Decimal | None, Decimal | None]] = ()
    key: str = ""


def draw(chart: Chart) -> str:
    """The whole ``<svg>`` element. It is marked as one image whose description is ``title`` and ``summary``."""
    low, high = _bounds(chart)
    frame = Frame(chart.from_ms, chart.to_ms, low, high)
    k = chart.key
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT + _LANE * len(chart.lanes)}" role="img" '
        f'aria-labelledby="chart-title{k} chart-text{k}">',
        f'<title id="chart-title{k}">{escape(chart.title)}</title><desc id="chart-text{k}">{escape(chart.summary)}</desc>',
        _patterns(k),
        f'<rect class="plot" x="{_LEFT}" y="{_TOP}" width="{_PLOT_W}" height="{_PLOT_H}"/>',
        *_band(chart, frame),
        *_grid(chart, frame),
        *_unknown(chart, frame),
        *_limits(chart, frame),
        *_extents(chart, frame),
        *(_line(points, chart, frame, n) for n, points in enumerate((chart.points, *chart.others))),
        *_alarms(chart, frame),
        *_lanes(chart, frame),
        "</svg>",
    ]
    return "".join(parts)


def _patterns(key: str) -> str:
    """Hatching for unknown time, chequers for time out of range."""
    return (
        f'<defs><pattern id="hatch{key}" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<rect class="hatch-ground" width="8" height="8"/><path class="hatch-line" d="M0 0V8"/></pattern>'
        f'<pattern id="chequer{key}" width="6" height="6" patternUnits="userSpaceOnUse">'
        '<rect class="chequer-ground" width="6" height="6"/><path class="chequer" d="M0 0h3v6h3v-3H0z"/></pattern></defs>'
    )


@dataclass(frozen=True, slots=True)
class Frame:
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
    values = [p.value for points in (chart.points, *chart.others) for p in points if p.value is not None]
    values += [value for _, low, high in chart.extents for value in (low, high)]
    values += [limit for _, *limits in _ranges(chart) for limit in limits if limit is not None]
    if not values:
        return Decimal(0), Decimal(10)
    low, high = min(values).__floor__() - 1, max(values).__ceil__() + 1
    return Decimal(low), Decimal(high)


def _band(chart: Chart, frame: Frame) -> list[str]:
    parts = []
    for span, low_c, high_c in _ranges(chart):
        if low_c is None and high_c is None:
            continue
        x, top = frame.x(span.from_ms), frame.y(frame.high if high_c is None else high_c)
        foot = frame.y(frame.low if low_c is None else low_c)
        width = round(frame.x(span.to_ms) - x, 1)
        parts.append(f'<rect class="band" x="{x:g}" y="{top}" width="{width:g}" height="{round(foot - top, 1)}"/>')
    return parts


def _ranges(chart: Chart) -> Sequence[tuple[Span, Decimal | None, Decimal | None]]:
    return chart.bands or [(Span(chart.from_ms, chart.to_ms), chart.low_c, chart.high_c)]


def _grid(chart: Chart, frame: Frame) -> list[str]:
    parts = []
    step = next((s for s in _STEPS if (frame.high - frame.low) / s <= 7), _STEPS[-1])
    value = (frame.low / step).__ceil__() * step
    while value <= frame.high:
        y = frame.y(value)
        parts.append(f'<path class="grid" d="M{_LEFT} {y}H{WIDTH - _RIGHT}"/>')
        parts.append(
            f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{written(value.normalize(), comma=chart.decimal_comma)}</text>'
        )
        value += step
    for t_ms, label in chart.ticks:
        x = frame.x(t_ms)
        parts.append(f'<path class="grid" d="M{x} {_TOP}V{_TOP + _PLOT_H}"/>')
        parts.append(
            f'<text x="{x}" y="{_TOP + _PLOT_H + 34 + _LANE * len(chart.lanes)}" text-anchor="middle">{escape(label)}</text>'
        )
    return parts


def _limits(chart: Chart, frame: Frame) -> list[str]:
    parts = []
    for span, *limits in _ranges(chart):
        x, end = frame.x(span.from_ms), frame.x(span.to_ms)
        for limit in (limit for limit in limits if limit is not None):
            y = frame.y(limit)
            parts.append(f'<path class="limit" d="M{x:g} {y}H{end:g}"/>')
            label = f"{written(limit.normalize(), comma=chart.decimal_comma)} °C"
            parts.append(
                f'<text class="limit-text" x="{round(end - 4, 1):g}" y="{y - 4}" text-anchor="end">{label}</text>'
            )
    return parts


def _unknown(chart: Chart, frame: Frame) -> list[str]:
    parts = []
    for span in chart.unknown:
        x, width = frame.x(span.from_ms), round(frame.x(span.to_ms) - frame.x(span.from_ms), 1)
        if width <= 0:
            continue
        parts.append(
            f'<rect class="unknown" fill="url(#hatch{chart.key})" x="{x}" y="{_TOP}" width="{width}" height="{_PLOT_H}">'
            f"<title>{escape(span.text or chart.unknown_word)}</title></rect>"
        )
        if width > 9 * len(chart.unknown_word):
            middle = round(x + width / 2, 1)
            parts.append(
                f'<text class="unknown-text" x="{middle}" y="{_TOP + 16}" text-anchor="middle">'
                f"{escape(chart.unknown_word)}</text>"
            )
    return parts


def _alarms(chart: Chart, frame: Frame) -> list[str]:
    parts, y = [], _TOP + _PLOT_H + 4
    for span in chart.alarms:
        x = frame.x(span.from_ms)
        width = max(3.0, round(frame.x(span.to_ms) - x, 1))
        parts.append(
            f'<g class="alarm"><title>{escape(span.text)}</title><rect x="{x}" y="{y}" width="{width}" height="8"/>'
            f'<path d="M{x} {y + 16}l6 -11l6 11z"/></g>'
        )
    return parts


def _extents(chart: Chart, frame: Frame) -> list[str]:
    """From the lowest to the highest value of a span, where that is all that is known."""
    parts = []
    for span, low, high in chart.extents:
        x, y = frame.x(span.from_ms), frame.y(high)
        width, height = max(1.0, round(frame.x(span.to_ms) - x, 1)), max(2.0, round(frame.y(low) - y, 1))
        parts.append(f'<rect class="extent" x="{x}" y="{y}" width="{width}" height="{height}"/>')
    return parts


_FILLS = {"unknown": "hatch", "out": "chequer"}


def _lanes(chart: Chart, frame: Frame) -> list[str]:
    parts = []
    for row, pieces in enumerate(chart.lanes):
        y = _TOP + _PLOT_H + 22 + row * _LANE
        for piece in pieces:
            x = frame.x(piece.span.from_ms)
            width = max(1.0, round(frame.x(piece.span.to_ms) - x, 1))
            fill = f' fill="url(#{_FILLS[piece.look]}{chart.key})"' if piece.look in _FILLS else ""
            parts.append(
                f'<rect class="lane {piece.look}"{fill} x="{x}" y="{y}" width="{width}" height="{_LANE - 4}">'
            )
            parts.append(f"<title>{escape(piece.span.text)}</title></rect>")
            if piece.mark and width > 12 * len(piece.mark):
                middle = round(x + width / 2, 1)
                parts.append(
                    f'<text x="{middle}" y="{y + _LANE - 8}" text-anchor="middle">{escape(piece.mark)}</text>'
                )
    return parts


def _line(points: Sequence[Point], chart: Chart, frame: Frame, number: int) -> str:
    """One path; a new piece begins after each unknown span, so that the line never bridges what is not known."""
    breaks = [span.from_ms for span in chart.unknown]
    steps, at, previous = [], 0, None
    for point in thinned(points, frame):
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
    look = "line" if number == 0 else f"line also{number % 3}"
    return f'<path class="{look}" d="{"".join(steps)}"/>' if steps else ""


def thinned(points: Sequence[Point], frame: Frame) -> list[Point]:
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
