"""``smile-iot edge budget``: the megabytes a month that a site's settings will use, and what was really used."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telemetry.errors import ConfigError

if TYPE_CHECKING:
    from edge.budget import Forecast, Habits, Saving
    from edge.data_package import Traffic

_MEGABYTE = 1_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, default=argparse.SUPPRESS, metavar="FILE", help="edge.toml (edge/edge.example.toml)"
    )
    parser.add_argument("--weighings", type=float, default=10, metavar="N", help="of each scale, a day (default: 10)")
    parser.add_argument("--events", type=float, default=2, metavar="N", help="doors, power cuts, a day (default: 2)")
    parser.add_argument("--reconnects", type=float, default=2, metavar="N", help="lost links, a day (default: 2)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table; bytes, not megabytes")


def run(args: argparse.Namespace) -> int:
    from edge.budget import Habits, forecast, savings
    from edge.config import load
    from edge.data_package import read_months

    if getattr(args, "config", None) is None:
        raise ConfigError("--config", "is missing", advice="smile-iot edge budget --config /etc/smile-iot/edge.toml")
    config = load(args.config)
    habits = Habits(args.reconnects, args.weighings, args.events)
    month, changes = forecast(config, habits), savings(config, habits)
    used = read_months(Path(config.edge.outbox))
    if args.json:
        print(json.dumps(as_json(month, changes, used, habits), indent=2))
    else:
        print(as_text(month, changes, used, habits))
    return 0


def as_json(month: Forecast, changes: list[Saving], used: Mapping[str, Traffic], habits: Habits) -> dict[str, Any]:
    """Bytes a month of 30 days; ``used`` as the kernel counted them, headers estimated."""
    return {
        "forecast_bytes": round(month.total),
        "readings": round(month.readings),
        "rows": [{"what": r.what, "messages": round(r.messages), "bytes": round(r.bytes)} for r in month.rows],
        "hour_beyond_a_limit_bytes": round(month.hour_beyond_limit),
        "savings": [{"setting": s.setting, "bytes": round(s.bytes)} for s in changes],
        "assumed_a_day": asdict(habits),
        "used": {
            name: {"sent": t.sent, "received": t.received, "headers_estimated": t.headers, "total": t.total}
            for name, t in used.items()
        },
    }


def as_text(month: Forecast, changes: list[Saving], used: Mapping[str, Traffic], habits: Habits) -> str:
    lines = ["What these settings will use in a month of 30 days", ""]
    lines += [
        _line(row.what, row.bytes, f"{row.messages:,.0f} messages" if row.messages else "") for row in month.rows
    ]
    lines += [_line("in all", month.total, f"{month.readings:,.0f} readings"), ""]
    lines.append(
        f"An hour beyond a limit costs {month.hour_beyond_limit / 1000:,.1f} kB more for one device: such values do not wait."
    )
    lines.append(
        f"Assumed a day: {habits.reconnects:g} lost links, {habits.events:g} events,"
        f" {habits.weighings:g} weighings of each scale."
    )
    lines += ["", f"The next megabyte goes into: {month.rows[0].what}" if month.rows else "Nothing is sent."]
    if changes:
        lines += ["", "What would save, in [mqtt]: one at a time, and all together", ""]
        lines += [_line(saving.setting, -saving.bytes, "") for saving in changes]
    lines += ["", "What was really used (bytes by the kernel's count; headers estimated)", ""]
    lines += [
        _line(name, t.total, f"sent {_mb(t.sent)}, received {_mb(t.received)}, headers {_mb(t.headers)}")
        for name, t in used.items()
    ] or ["  nothing yet: the agent has not run here"]
    return "\n".join(lines)


def _mb(size: float) -> str:
    return f"{size / _MEGABYTE:.2f} MB"


def _line(what: str, size: float, more: str) -> str:
    return f"  {what:<42} {_mb(size):>11}  {more}".rstrip()
