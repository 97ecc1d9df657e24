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
    from ingest.identities import Identity
    from ingest.ledger import ClockOff, EdgeSummary
    from telemetry.readings import Ranges

_HEAD = (
    *("site", "edge", "epoch"),
    *("numbered", "received", "thinned", "quarantined", "lost", "missing", "doubled", "late", "last heard"),
)
_TEXT_COLUMNS = 3
_STREAM_HEAD = ("site", "edge", "stream", "produced", "received", "thinned", "not here", "late", "at worst", "newest")
_SHOWN_SPANS = 8

# What it is and what to do. {epoch} began it, {previous} was before.
_IDENTITY_WORDS = {
    "new_card": "began anew on the same machine (epoch {epoch} after {previous}): its card was made anew or changed."
    " Was the old card's backlog sent? If not, keep that card",
    "restored": "runs from a restored backup (epoch {epoch} after {previous}). What was sampled between backup and"
    " restoring is only on the old card",
    "copied": "runs from a copied card (epoch {epoch} after {previous}). See that the original no longer runs under"
    " this name",
    "moved": "has its card in another machine (epoch {epoch} after {previous}). If nobody moved it, find out who did",
    "salvaged": "found its outbox damaged and saved what could be saved (epoch {epoch} after {previous}). Replace the"
    " card",
    "replaced": "is another machine now (epoch {epoch} after {previous}). If nobody replaced the Pi, revoke the key",
    "two_pis": "is the name of two Pis at once (epochs {previous} and {epoch}). Switch one off and enrol it under a"
    " name of its own; what contradicts waits in quarantine as number_conflict",
}


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
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
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
        print(as_streams(book) if args.streams else as_text(book))
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


def as_text(book: Book) -> str:
    """The table, and below it in words what is not here and why, and what a person should look at."""
    if not book.lines:
        return "No edge has been heard yet (ingest keeps the ledger in its data folder: is --config right?)."
    return "\n".join([*_table(_HEAD, [_row(line) for line in book.lines], _TEXT_COLUMNS), "", *_words(book)])


def as_streams(book: Book) -> str:
    """One line a stream of the epoch that each edge lives in. ``produced`` is the edge's own count at its last hello."""
    rows = [
        (
            *(line.site, line.edge, s.stream_id),
            *(str(n) for n in (s.produced or "not told", s.received, s.thinned, s.not_here, s.late)),
            _span(s.worst_late_ms),
            _time(s.newest_ms),
        )
        for line in book.lines
        if line.current
        for s in line.streams
    ]
    if not rows:
        return "No readings have been received yet."
    note = "produced: as the edge counted itself and said in a hello (at a start, within the hour after a new stream, then"
    note += " every six hours): what came since is in received, and until the first such hello it is not told"
    return "\n".join([*_table(_STREAM_HEAD, rows, _TEXT_COLUMNS), "", note])


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


def _row(line: EdgeSummary) -> tuple[str, ...]:
    counts = (
        *(line.numbered_to, line.received, line.thinned, line.quarantined, line.lost_count),
        *(len(line.missing), line.duplicates, line.late),
    )
    epoch = line.epoch if line.current else f"{line.epoch} (earlier)"
    return (line.site, line.edge, epoch, *map(str, counts), _time(line.last_seen_ms))


def _words(book: Book) -> list[str]:
    said = [words for line in book.lines for words in _absent(line, book.now_ms)]
    said += [
        f"{site}/{edge}: {count} readings have no date yet: they wait until the edge's clock is set"
        for (site, edge), count in book.undated.items()
        if count
    ]
    if not said:
        said = ["Nothing is missing: every number that an edge gave is received, quarantined or thinned."]
    said += [_late(line) for line in book.lines if line.late]
    said += [_clock(off) for off in book.clocks]
    said += [_identity(found) for found in book.identities]
    return said


def _absent(line: EdgeSummary, now_ms: int) -> list[str]:
    from ingest.epochs import Cause, absences

    name = f"{line.site}/{line.edge} {line.epoch}"
    said = []
    for absent in absences(line, now_ms):
        which = _ranges(absent.numbers)
        match absent.cause:
            case Cause.ASKED_FOR:
                said.append(f"{name}: missing {which} (asked for again)")
            case Cause.SILENT:
                said.append(f"{name}: missing {which} (the edge is silent since {_time(line.last_seen_ms)})")
            case Cause.EPOCH_ENDED:
                hope = "the edge has begun a new epoch: what its outbox still held it sends under new numbers"
                said.append(f"{name}: missing {which} ({hope})")
            case Cause.LOST:
                said.append(f"{name}: lost at the edge {which} ({absent.detail})")
            case Cause.QUARANTINE:
                said.append(f"{name}: {absent.count} wait in quarantine (smile-iot quarantine says why)")
    return said


def _ranges(numbers: Ranges) -> str:
    spans = [str(low) if low == high else f"{low}-{high}" for low, high in numbers.spans]
    shown = ", ".join(spans[:_SHOWN_SPANS])
    return shown if len(spans) <= _SHOWN_SPANS else f"{shown} and {len(spans) - _SHOWN_SPANS} ranges more"


def _late(line: EdgeSummary) -> str:
    return (
        f"{line.site}/{line.edge} {line.epoch}: {line.late} readings came more than 15 minutes after they were sampled,"
        f" at worst {_span(line.worst_late_ms)} after"
    )


def _clock(off: ClockOff) -> str:
    claims = "says it is synchronised" if off.synced else "says it is not synchronised"
    way = "ahead" if off.off_ms > 0 else "behind"
    return (
        f"{off.site}/{off.edge}: its clock is {_span(abs(off.off_ms))} {way} of ours since {_time(off.since_ms)}, and it"
        f" {claims}. Look at its NTP server and clock battery (and at this server's own clock)"
    )


def _identity(found: Identity) -> str:
    words = _IDENTITY_WORDS[str(found.kind)].format(epoch=found.epoch, previous=found.previous_epoch)
    return f"{found.site}/{found.edge}: since {_time(found.since_ms)} {words}"


def _span(ms: int) -> str:
    seconds = ms // 1000
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7200:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h" if seconds < 172_800 else f"{seconds // 86_400} days"


def _time(ms: int) -> str:
    return iso_utc_seconds(ms) if ms else "never"
