"""``smile-iot doctor``: look whether this machine has what it needs, and say in plain words what to do.

Looks only: nothing is migrated or sent, and of the data folder it makes but the folder and a file it removes. With
``--alive SERVICE`` it answers one question for a container's health check: does that service still turn its loop?
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from smile_iot.service import add_config_argument, alive_file, settings_of
from telemetry.clock import SystemClock

ALIVE_MAX_AGE_S = 30


class Sign(StrEnum):
    """How it stands with one thing. Only ``missing`` makes the exit code 1."""

    OK = "ok"
    WARNING = "warning"
    MISSING = "missing"


MARKS = {Sign.OK: "\u2713", Sign.WARNING: "!", Sign.MISSING: "\u2717"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, and what to do about it ("" when nothing)."""

    subject: str
    sign: Sign
    said: str
    todo: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    parser.add_argument("--edge", type=Path, metavar="EDGE.toml", help="look at an edge instead (or as well)")
    parser.add_argument(
        "--alive", metavar="SERVICE", help=f"only: did SERVICE show life in the last {ALIVE_MAX_AGE_S} s?"
    )


def run(args: argparse.Namespace) -> int:
    now_ms = SystemClock().now_ms()
    if args.alive:
        findings = [alive(_service_folder(args), args.alive, now_ms)]
    else:
        findings = _look(args, now_ms)
    print(as_text(findings, marks=_can_print_marks()))
    return 1 if any(f.sign is Sign.MISSING for f in findings) else 0


def _service_folder(args: argparse.Namespace) -> Path:
    if args.edge is None:
        return settings_of(args).data_dir
    from edge.config import load

    return Path(load(args.edge).edge.outbox).parent


def _look(args: argparse.Namespace, now_ms: int) -> list[Finding]:
    from smile_iot import doctor_edge, doctor_server

    findings: list[Finding] = []
    if args.config is not None or args.edge is None:
        findings += doctor_server.look(settings_of(args), now_ms)
    if args.edge is not None:
        findings += doctor_edge.look(args.edge, now_ms)
    return findings


def alive(folder: Path, service: str, now_ms: int) -> Finding:
    """Whether the service's sign-of-life file is young enough."""
    path = alive_file(folder, service)
    try:
        age_s = now_ms / 1000 - path.stat().st_mtime
    except OSError:
        todo = f"start it: smile-iot {service} (it writes {path})"
        return Finding(f"service {service}", Sign.MISSING, "never showed a sign of life here", todo)
    if age_s <= ALIVE_MAX_AGE_S:
        return Finding(f"service {service}", Sign.OK, f"showed life {max(0, round(age_s))} s ago")
    todo = f"look into its log and start it again: smile-iot {service}"
    return Finding(f"service {service}", Sign.MISSING, f"last showed life {round(age_s)} s ago", todo)


def as_text(findings: Sequence[Finding], *, marks: bool = True) -> str:
    """One line each, with a sign and its word (never colour alone), what to do below, and a last line in words."""
    width = max(len(f.subject) for f in findings)
    lines: list[str] = []
    for f in findings:
        mark = f"{MARKS[f.sign]} " if marks else ""
        lines.append(f"{mark}{f.sign:<7}  {f.subject:<{width}}  {f.said}")
        if f.todo:
            lines.append(f"{'':{len(mark) + 9}}{'to do':<{width}}  {f.todo}")
    counts = {sign: sum(f.sign is sign for f in findings) for sign in Sign}
    if len(findings) > 1:
        lines += ["", ", ".join(f"{count} {sign}" for sign, count in counts.items())]
    return "\n".join(lines)


def _can_print_marks() -> bool:
    try:
        "".join(MARKS.values()).encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
