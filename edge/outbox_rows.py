"""A fact as a row of the outbox and back, and the check that a row is what was written. Pure.

The check is there because a rotten card is not always found by the database: a flipped bit in a value or a time gives
a row that is well formed and false. It is bound to the row's number and to the epoch, so that an old version of a
page can not be taken for the present one; and it is a sum, so that numbering anew needs no reading of the rows.
"""

from __future__ import annotations

import json
import zlib
from decimal import Decimal
from typing import Any

from telemetry.readings import Event, Fact, Origin, Quality, Reading, Stamp, Sync, Weighing

MASK = 0x7FFFFFFF
Content = tuple[str, str, int | None, str | None, str, int, int, int, int | None, str | None]


def content_of(fact: Fact) -> Content:
    """kind, subject, t_ms, value, boot id, boottime_ns, wall_ms, synced, max_error_ms, extra."""
    stamp = fact.stamp
    return (
        kind_of(fact),
        subject_of(fact),
        fact.sampled_at_ms,
        value_of(fact),
        stamp.boot_id,
        stamp.boottime_ns,
        stamp.wall_ms,
        int(stamp.sync is Sync.SYNCED),
        stamp.max_error_ms,
        extra_of(fact),
    )


def word_of(text: str) -> int:
    """The number of an epoch or of any other text in a check."""
    return zlib.crc32(text.encode()) & MASK


def check(content: tuple[object, ...], seq: int, epoch_word: int) -> int:
    """The check of a row: sum of its content's CRC-32, its number and its epoch's word, 31 bits."""
    return (zlib.crc32(repr(content).encode()) + seq + epoch_word) & MASK


def kind_of(fact: Fact) -> str:
    return "r" if isinstance(fact, Reading) else "e" if isinstance(fact, Event) else "w"


def subject_of(fact: Fact) -> str:
    if isinstance(fact, Reading):
        return fact.stream_id
    return fact.subject if isinstance(fact, Event) else fact.device_serial


def value_of(fact: Fact) -> str | None:
    return None if not isinstance(fact, Reading) or fact.value is None else str(fact.value)


def extra_of(fact: Fact) -> str | None:
    """JSON of what has no column; None for a plain live reading, which is almost every row."""
    body: dict[str, Any]
    if isinstance(fact, Reading):
        body = {}
        if fact.device_seq is not None:
            body["device_seq"] = fact.device_seq
        if fact.origin is not Origin.LIVE:
            body["origin"] = fact.origin.value
        if fact.quality is not Quality.GOOD:
            body["quality"] = fact.quality.value
    elif isinstance(fact, Event):
        body = {"kind": fact.kind, "detail": fact.detail}
    else:
        body = {
            "id": fact.weighing_id,
            "gross_kg": str(fact.gross_kg),
            "tare_kg": str(fact.tare_kg),
            "net_kg": str(fact.net_kg),
            "raw_frame": fact.raw_frame,
            "tare_mode": fact.tare_mode,
            "e_kg": None if fact.e_kg is None else str(fact.e_kg),
            "flags": list(fact.flags),
        }
    return json.dumps(body, separators=(",", ":")) if body else None


def fact_of(
    kind: str,
    subject: str,
    t_ms: int | None,
    value: str | None,
    boot_id: str,
    boottime_ns: int,
    wall_ms: int,
    synced: int,
    max_error_ms: int | None,
    extra: str | None,
) -> Fact:
    """The fact of a row; the inverse of the functions above."""
    stamp = Stamp(boot_id, boottime_ns, wall_ms, Sync.SYNCED if synced else Sync.UNSYNCED, max_error_ms)
    if kind == "r" and extra is None:  # almost every row
        return Reading(subject, None if value is None else Decimal(value), t_ms, stamp)
    body: dict[str, Any] = json.loads(extra) if extra else {}
    if kind == "r":
        return Reading(
            subject,
            None if value is None else Decimal(value),
            t_ms,
            stamp,
            body.get("device_seq"),
            Origin(body.get("origin", Origin.LIVE)),
            Quality(body.get("quality", Quality.GOOD)),
        )
    if kind == "e":
        return Event(body["kind"], subject, t_ms, stamp, body["detail"])
    return Weighing(
        body["id"],
        subject,
        Decimal(body["gross_kg"]),
        Decimal(body["tare_kg"]),
        Decimal(body["net_kg"]),
        t_ms,
        stamp,
        body["raw_frame"],
        body["tare_mode"],
        None if body["e_kg"] is None else Decimal(body["e_kg"]),
        tuple(body["flags"]),
    )
