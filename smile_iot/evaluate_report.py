"""What a person sees of an evaluation: a table, and a picture drawn with blocks. Nothing is told by colour alone."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

_WIDTH, _HEIGHT = 72, 12
Stretch = tuple[int, int, Decimal | None, Decimal | None]  # from, to, lowest, highest; None: unknown


def table(report: dict[str, Any]) -> str:
    """The numbers as text, one fact a line."""
    source = report["source"]
    low, high = report["range_c"]
    lines = [
        f"{source['device']}  {source['serial'] or ''}  ({source['format']})",
        f"profile {report['profile']} {report['profile_version']}, range {_or(low)} to {_or(high)} C",
        f"zone {report['zone']}",
        *([f"signature {_SIGNATURES[report['signature']]}"] if report["signature"] else []),
        "",
        f"readings        {report['readings']}",
        f"known time      {_span(report['known_s'])}",
        f"unknown time    {_span(report['unknown_s'])}",
        f"min / max       {_or(report['min_c'])} / {_or(report['max_c'])} C",
        f"mean            {_or(report['mean_c'])} C",
        f"MKT             {_or(report['mkt_c'])} C (energy {_or(report['mkt_energy_kj_mol'])} kJ/mol)",
        f"in range        {_percent(report['in_range_fraction'])} of the known time",
    ]
    lines += _section("episodes", [_episode(e) for e in report["episodes"]])
    lines += _section("alarms", [_alarm(a) for a in report["alarms"]])
    lines += _section("warnings", [_alarm(a) for a in report["warnings"]])
    lines += _section("the device's own alarms", [_device_alarm(a) for a in report["device_alarms"]])
    lines += _section("days", [_day(d) for d in report["daily"]])
    lines += _section("VVM life used (an estimate; the label decides)", _vvm(report["vvm"]))
    lines += _section("notes", report["notes"])
    return "\n".join(lines)


_SIGNATURES = {
    "valid": "fits",
    "valid_key_not_checked": "fits the key in the file; who issued that key could not be checked",
    "broken": "DOES NOT FIT: the file was changed",
    "not_checkable": "cannot be checked",
    "none": "none",
}


def _section(title: str, rows: Sequence[str]) -> list[str]:
    return ["", title, *(f"  {row}" for row in rows)] if rows else []


def _or(value: object) -> str:
    return "-" if value is None else str(value)


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{fraction * 100:.2f} %"


def _span(seconds: int | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds // 86400} d {seconds // 3600 % 24:02d} h {seconds // 60 % 60:02d} min"


def _episode(e: dict[str, Any]) -> str:
    goes_on = " (goes on at the end)" if e["open"] else ""
    span = f"{e['start']} to {e['end']}  {_span(e['duration_s'])}"
    return f"{e['code']:<16} {span}  extreme {_or(e['extreme_c'])} C{goes_on}"


def _alarm(a: dict[str, Any]) -> str:
    word = "confirmed" if a["confirmed"] else "POSSIBLE (unknown time in it)"
    return f"{a['rule']:<16} {a['at']}  since {a['episode_start']}  {word}"


def _device_alarm(a: dict[str, Any]) -> str:
    matched = {True: "  ours agrees", False: "  ours differs: see docs/evaluate.md"}.get(a.get("matched"), "")  # type: ignore[arg-type]
    return f"slot {a['slot']}  {a['at']}{'  (goes on)' if a.get('continued') else ''}{matched}"


def _day(d: dict[str, Any]) -> str:
    above, below = (None if d[k] is None else d[k] // 60 for k in ("above_s", "below_s"))
    span = f"{_or(d['min_c']):>7} to {_or(d['max_c']):>6} C  mean {_or(d['mean_c']):>6}"
    return f"{d['date']}  {span}  above {_or(above):>4} min  below {_or(below):>4} min"


def _vvm(rows: Sequence[dict[str, Any]]) -> list[str]:
    return [f"{r['type']:<6} model {r['model']}  {r['used_percent']:.2f} %" for r in rows]


# --- picture ----------------------------------------------------------------------------------------------


def picture(chart: Sequence[Stretch], report: dict[str, Any]) -> str:
    """The history in 72 columns: ``█`` in range, ``▲`` above, ``▼`` below, ``?`` unknown; ``┄`` marks the limits."""
    columns = _columns(chart)
    known = [v for c in columns if c is not None for v in c]
    if not known:
        return "\nno value to draw"
    low, high = (None if x is None else float(x) for x in report["range_c"])
    bottom = min([*known, *([low] if low is not None else [])])
    top = max([*known, *([high] if high is not None else [])])
    scale = max(top - bottom, 1.0)
    edges = [bottom + scale * i / _HEIGHT for i in range(_HEIGHT + 1)]
    rows = []
    for i in reversed(range(_HEIGHT)):
        limit_here = any(x is not None and edges[i] <= x < edges[i + 1] for x in (low, high))
        cells = (_cell(c, edges[i], edges[i + 1], low, high, limit_here) for c in columns)
        rows.append(f"{edges[i + 1]:8.1f} │{''.join(cells)}")
    foot = "".join("?" if c is None else "─" for c in columns)
    legend = "█ in range  ▲ above  ▼ below  ? unknown time  ┄ limits"
    if not report["readings"]:
        legend += "  (one column a day, from the day's minimum to its maximum)"
    return "\n" + "\n".join([*rows, f"{bottom:8.1f} └{foot}", f"          {legend}"])


_PLAIN = str.maketrans({"█": "#", "▲": "^", "▼": "v", "┄": "-", "─": "-", "│": "|", "└": "+"})


def printable(text: str, encoding: str | None) -> str:
    """The text for a terminal of that encoding: one without the blocks gets plain signs, never a traceback."""
    try:
        text.encode(encoding or "ascii")
    except UnicodeEncodeError:
        return (
            text.translate(_PLAIN).encode(encoding or "ascii", errors="backslashreplace").decode(encoding or "ascii")
        )
    return text


def _columns(chart: Sequence[Stretch]) -> list[tuple[float, float] | None]:
    """Lowest and highest of each column's time; None where all of it is unknown."""
    if not chart:
        return []
    start, end = chart[0][0], chart[-1][1]
    width = min(_WIDTH, len(chart)) if len(chart) > 1 else 1
    out: list[tuple[float, float] | None] = [None] * width
    span = max(1, end - start)
    for low_ms, high_ms, low, high in chart:
        if low is None or high is None:
            continue
        first = (low_ms - start) * width // span
        last = max(first, (max(low_ms, high_ms - 1) - start) * width // span)
        for i in range(first, min(last, width - 1) + 1):
            was = out[i]
            now = (float(low), float(high))
            out[i] = now if was is None else (min(was[0], now[0]), max(was[1], now[1]))
    return out


def _cell(
    column: tuple[float, float] | None, bottom: float, top: float, low: float | None, high: float | None, limit: bool
) -> str:
    if column is None:
        return "?" if limit else " "
    if column[1] < bottom or column[0] >= top + (0 if column[0] < column[1] else 1e-9):
        return "┄" if limit else " "
    value = min(max(column[0], bottom), column[1])
    if high is not None and min(column[1], top) > high and column[1] > high:
        return "▲"
    if low is not None and value < low:
        return "▼"
    return "█"
