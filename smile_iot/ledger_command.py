"""``smile-iot ledger``: per edge and epoch what was numbered, received, quarantined, doubled, and what is missing."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from smile_iot.service import add_config_argument, settings_of

if TYPE_CHECKING:
    from ingest.ledger import EdgeSummary

_HEAD = (
    *("site", "edge", "epoch"),
    *("numbered", "received", "quarantined", "thinned", "missing", "duplicates", "last heard"),
)
_TEXT_COLUMNS = 3
_SHOWN_SPANS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    from ingest.ledger import read_ledger
    from ingest.undated import read_undated
    from smile_iot.parts import ingest_config

    settings = settings_of(args)
    lines = read_ledger(settings.data_dir / "ledger.db")
    undated = {(u.site, u.edge): u.waiting for u in read_undated(ingest_config(settings).filler_file)}
    if args.json:
        print(json.dumps(as_json(lines, undated), indent=2))
    else:
        print(as_text(lines, undated))
    return 0


def as_json(lines: Sequence[EdgeSummary], undated: Mapping[tuple[str, str], int]) -> list[dict[str, Any]]:
    """One object per epoch. ``missing`` is a count, ``missing_ranges`` says which numbers; times are RFC 3339 UTC."""
    return [
        {
            "site": line.site,
            "edge": line.edge,
            "epoch": line.epoch,
            "current": line.current,
            "numbered": line.numbered_to,
            "received": line.received,
            "quarantined": line.quarantined,
            "thinned": line.thinned,
            "missing": len(line.missing),
            "missing_ranges": line.missing.to_lists(),
            "duplicates": line.duplicates,
            "undated": undated.get((line.site, line.edge), 0) if line.current else 0,
            "last_heard": _time(line.last_seen_ms),
        }
        for line in lines
    ]


def as_text(lines: Sequence[EdgeSummary], undated: Mapping[tuple[str, str], int]) -> str:
    """The table, and below it in words what is missing or waits for a date."""
    if not lines:
        return "No edge has been heard yet (ingest keeps the ledger in its data folder: is --config right?)."
    rows = [_HEAD, *(_row(line) for line in lines)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
    table = [
        "  ".join(
            cell.ljust(width) if i < _TEXT_COLUMNS or i == len(_HEAD) - 1 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([*table, "", *_words(lines, undated)])


def _row(line: EdgeSummary) -> tuple[str, ...]:
    counts = (line.numbered_to, line.received, line.quarantined, line.thinned, len(line.missing), line.duplicates)
    epoch = line.epoch if line.current else f"{line.epoch} (earlier)"
    return (line.site, line.edge, epoch, *map(str, counts), _time(line.last_seen_ms))


def _words(lines: Sequence[EdgeSummary], undated: Mapping[tuple[str, str], int]) -> list[str]:
    said = [_missing(line) for line in lines if line.missing]
    said += [
        f"{site}/{edge}: {count} readings have no date yet: they wait until the edge's clock is set"
        for (site, edge), count in undated.items()
        if count
    ]
    return said or ["Nothing is missing: every number that an edge gave is received, quarantined or thinned."]


def _missing(line: EdgeSummary) -> str:
    spans = [str(low) if low == high else f"{low}-{high}" for low, high in line.missing.spans]
    shown = ", ".join(spans[:_SHOWN_SPANS])
    if len(spans) > _SHOWN_SPANS:
        shown += f" and {len(spans) - _SHOWN_SPANS} ranges more"
    hope = "asked for again" if line.current else "the edge has begun a new epoch and sends them under new numbers"
    return f"{line.site}/{line.edge} {line.epoch}: missing {shown} ({hope})"


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if ms else "never"
