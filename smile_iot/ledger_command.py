"""``smile-iot ledger``: per edge and epoch what was numbered, what is here, and why the rest is not."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from smile_iot.service import add_config_argument, settings_of
from telemetry.contract import iso_utc_seconds

if TYPE_CHECKING:
    from api.words import Words
    from ingest.identities import Identity
    from ingest.ledger import ClockOff, EdgeSummary
    from telemetry.readings import Ranges

_HEAD = (
    *("site", "edge", "epoch"),
    *("numbered", "received", "thinned", "quarantined", "lost", "missing", "doubled", "late", "last_heard"),
)
_TEXT_COLUMNS = 3
_STREAM_HEAD = ("site", "edge", "stream", "produced", "received", "thinned", "not_here", "late", "at_worst", "newest")
_SHOWN_SPANS = 8


@dataclass(frozen=True, slots=True)
class Book:
    """All that is told: the epochs, what waits for a date by (site, edge), clocks that are off, cards and machines."""

    lines: Sequence[EdgeSummary]
    undated: Mapping[tuple[str, str], int] = field(default_factory=dict)
    clocks: Sequence[ClockOff] = ()
    identities: Sequence[Identity] = ()
    now_ms: int = 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--streams", action="store_true", help="one line a stream of the epoch that each edge lives in"
    )
    parser.add_argument("--language", choices=("id", "en"), default="id", help="language of the tables (id)")
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    from api.words import Words
    from ingest.ledger import read_clocks, read_identities, read_ledger
    from ingest.undated import read_undated
    from smile_iot.parts import ingest_config, ledger_files, never_ran
    from telemetry.clock import clock_from_environment

    settings = settings_of(args)
    files = ledger_files(settings)
    if not any(file.exists() for file in files):
        raise never_ran(files[0], "ingest")
    book = Book(
        [line for file in files for line in read_ledger(file)],
        {(u.site, u.edge): u.waiting for u in read_undated(ingest_config(settings).filler_file)},
        [off for file in files for off in read_clocks(file)],
        [found for file in files for found in read_identities(file)],
        clock_from_environment().now_ms(),
    )
    if args.json:
        print(json.dumps(as_json(book), indent=2))
    else:
        print((as_streams if args.streams else as_text)(book, Words(args.language)))
    return 0


# --- JSON ---------------------------------------------------------------------------------------------------


def as_json(book: Book) -> list[dict[str, Any]]:
    """One object per epoch. ``missing`` is a count, ``missing_ranges`` says which numbers; times are RFC 3339 UTC."""
    clocks = {(c.site, c.edge): c for c in book.clocks}
    return [_line_json(line, book, clocks.get((line.site, line.edge))) for line in book.lines]


def _line_json(line: EdgeSummary, book: Book, clock: ClockOff | None) -> dict[str, Any]:
    from ingest.epochs import absences

    return {
        "site": line.site,
        "edge": line.edge,
        "epoch": line.epoch,
        "current": line.current,
        "numbered": line.numbered_to,
        "received": line.received,
        "quarantined": line.quarantined,
        "thinned": line.thinned,
        "lost": line.lost_count,
        "lost_ranges": {reason: numbers.to_lists() for reason, numbers in line.lost.items()},
        "missing": len(line.missing),
        "missing_ranges": line.missing.to_lists(),
        "absent": [
            {"cause": str(a.cause), "count": a.count, "ranges": a.numbers.to_lists(), "detail": a.detail}
            for a in absences(line, book.now_ms)
        ],
        "duplicates": line.duplicates,
        "conflicts": line.conflicts,
        "late": line.late,
        "worst_late_ms": line.worst_late_ms,
        "undated": book.undated.get((line.site, line.edge), 0) if line.current else 0,
        "wire_bytes": line.wire_bytes,
        "clock_off_ms": clock.off_ms if clock and line.current else 0,
        "clock_off_since": _time(clock.since_ms) if clock and line.current else None,
        "identities": [
            {"kind": str(i.kind), "previous_epoch": i.previous_epoch, "since": _time(i.since_ms)}
            for i in book.identities
            if (i.site, i.edge, i.epoch) == (line.site, line.edge, line.epoch)
        ],
        "streams": [
            {
                "stream": s.stream_id,
                "produced": s.produced,
                "received": s.received,
                "thinned": s.thinned,
                "not_here": s.not_here,
                "undated": s.undated,
                "late": s.late,
                "worst_late_ms": s.worst_late_ms,
                "newest": _time(s.newest_ms),
            }
            for s in line.streams
        ],
        "last_heard": _time(line.last_seen_ms),
    }


# --- tables -------------------------------------------------------------------------------------------------


def as_text(book: Book, words: Words) -> str:
    """The table, and below it in words what is not here and why, and what a person should look at."""
    if not book.lines:
        return words("ledger_list.none")
    rows = [_row(line, words) for line in book.lines]
    return "\n".join([*_table(_head(words, _HEAD), rows, _TEXT_COLUMNS), "", *_told(book, words)])


def as_streams(book: Book, words: Words) -> str:
    """One line a stream of the epoch that each edge lives in. ``produced`` is the edge's own count at its last hello."""
    rows = [
        (
            *(line.site, line.edge, s.stream_id),
            *(
                str(n)
                for n in (s.produced or words("ledger_list.not_told"), s.received, s.thinned, s.not_here, s.late)
            ),
            words.span(s.worst_late_ms),
            _when(s.newest_ms, words),
        )
        for line in book.lines
        if line.current
        for s in line.streams
    ]
    if not rows:
        return words("ledger_list.no_readings")
    return "\n".join(
        [*_table(_head(words, _STREAM_HEAD), rows, _TEXT_COLUMNS), "", words("ledger_list.produced_note")]
    )


def _head(words: Words, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(words(f"ledger_head.{name}") for name in names)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], texts: int) -> list[str]:
    """Lines of a table; the first ``texts`` columns and the last are texts, the others numbers."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    return [
        "  ".join(
            cell.ljust(width) if i < texts or i == len(head) - 1 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    ]


def _row(line: EdgeSummary, words: Words) -> tuple[str, ...]:
    counts = (
        *(line.numbered_to, line.received, line.thinned, line.quarantined, line.lost_count),
        *(len(line.missing), line.duplicates, line.late),
    )
    epoch = line.epoch if line.current else words("ledger_list.earlier", epoch=line.epoch)
    return (line.site, line.edge, epoch, *map(str, counts), _when(line.last_seen_ms, words))


def _told(book: Book, words: Words) -> list[str]:
    said = [text for line in book.lines for text in _absent(line, book.now_ms, words)]
    said += [
        words("ledger_list.undated", edge=f"{site}/{edge}", n=count)
        for (site, edge), count in book.undated.items()
        if count
    ]
    if not said:
        said = [words("ledger_list.complete")]
    said += [
        words("ledger_list.late", epoch=_name(line), n=line.late, span=words.span(line.worst_late_ms))
        for line in book.lines
        if line.late
    ]
    said += [_clock(off, words) for off in book.clocks]
    said += [_identity(found, words) for found in book.identities]
    return said


def _name(line: EdgeSummary) -> str:
    return f"{line.site}/{line.edge} {line.epoch}"


def _absent(line: EdgeSummary, now_ms: int, words: Words) -> list[str]:
    from ingest.epochs import absences

    return [
        words(
            f"ledger_absent.{absent.cause}",
            epoch=_name(line),
            numbers=_ranges(absent.numbers, words),
            n=absent.count,
            why=absent.detail,
            since=_when(line.last_seen_ms, words),
        )
        for absent in absences(line, now_ms)
    ]


def _ranges(numbers: Ranges, words: Words) -> str:
    spans = [str(low) if low == high else f"{low}-{high}" for low, high in numbers.spans]
    shown, more = ", ".join(spans[:_SHOWN_SPANS]), len(spans) - _SHOWN_SPANS
    return shown if more <= 0 else words("ledger_list.more", shown=shown, n=more)


def _clock(off: ClockOff, words: Words) -> str:
    return words(
        f"ledger_list.clock_{'ahead' if off.off_ms > 0 else 'behind'}",
        edge=f"{off.site}/{off.edge}",
        span=words.span(abs(off.off_ms)),
        since=_time(off.since_ms),
        claims=words(f"ledger_list.{'synced' if off.synced else 'unsynced'}"),
    )


def _identity(found: Identity, words: Words) -> str:
    text = words(f"ledger_identity.{found.kind}", epoch=found.epoch, previous=found.previous_epoch)
    return words("ledger_list.identity", edge=f"{found.site}/{found.edge}", since=_time(found.since_ms), text=text)


def _when(ms: int, words: Words) -> str:
    return _time(ms) if ms else words("ledger_list.never")


def _time(ms: int) -> str:
    return iso_utc_seconds(ms) if ms else "never"
