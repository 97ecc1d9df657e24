"""Quarantine in plain words: what each reason means and what to do, from the one catalogue; for pages and the command."""

from __future__ import annotations

import re
from dataclasses import dataclass

from api.words import Words
from gateway.records.model import AuditRow, Role
from gateway.repairs import Repair, repairs_for

# What to do is the same for reasons of one kind; everything else is about what the message holds.
_KINDS = {
    "unknown_device": "device",
    "wrong_site": "site",
    "clock_ahead": "clock",
    "clock_behind": "clock",
    "before_service": "clock",
    "address_mismatch": "address",
    "kind_mismatch": "address",
    "number_conflict": "number",
    "bad_epoch": "number",
    "no_mac": "signature",
    "bad_mac": "signature",
    "edge_revoked": "revoked",
    "unknown_edge": "stranger",
    "store_rejected": "store",
    "decoder_fault": "software",
    "unknown_version": "software",
    "unknown_encoding": "software",
    "unknown_kind": "software",
}
_CONTENT = "content"


@dataclass(frozen=True, slots=True)
class Explained:
    """A reason for people. ``repairs``: (word, text) of what may be chosen, the usual one first."""

    title: str
    means: str
    todo: str
    repairs: tuple[tuple[str, str], ...]


def explained(words: Words, reason: str) -> Explained:
    """The reason in this language; one that nobody foresaw is told as it is."""
    kind = _KINDS.get(reason, _CONTENT)
    title = words.known("quarantine_reason", reason)
    means = words.known("quarantine_means", reason)
    return Explained(
        title,
        words("quarantine_means.other") if means == reason else means,
        words(f"quarantine_todo.{kind}"),
        tuple((str(repair), words(f"repair.{repair}")) for repair in repairs_for(reason)),
    )


def shown_payload(payload: bytes, limit: int = 2_000) -> tuple[str, bool]:
    """The beginning of a message to look at, and whether it is text: bytes that are none are shown in hex digits."""
    head = payload[:limit]
    try:
        return head.decode(), True
    except UnicodeDecodeError as error:
        if error.start > limit - 4 and len(payload) > limit:  # cut within a sign
            return head[: error.start].decode(), True
        return head[: limit // 3].hex(" "), False


# How ingest tells what a message holds (``ingest.check``, ``ingest.intake``); a test takes these from there.
_OF_DEVICE = re.compile(r"(\d+) (\w+) of (\S+)")
_UNDER_NUMBERS = re.compile(r"(\d+) (\w+) under numbers that hold other content")
_OTHER_EDGE = re.compile(r"upload says edge '([^']*)'")


def detail_text(words: Words, detail: str) -> str:
    """What ingest noted of a message, in this language; "" where it is for technicians only (the page shows it apart)."""
    if found := _OF_DEVICE.fullmatch(detail):
        what = words.known("quarantine_kind", found[2])
        return words("quarantine_detail.of_device", n=found[1], what=what, serial=found[3])
    if found := _UNDER_NUMBERS.fullmatch(detail):
        return words("quarantine_detail.under_numbers", n=found[1], what=words.known("quarantine_kind", found[2]))
    if found := _OTHER_EDGE.fullmatch(detail):
        return words("quarantine_detail.other_edge", edge=found[1])
    return ""


def step_text(words: Words, row: AuditRow) -> str:
    """One row of a message's history. What our own processes wrote is said in the person's language."""
    action = words.known("action", row.action)
    if row.role != Role.SYSTEM:
        return f"{action}: {row.reason}"
    first, _, reason = row.reason.partition(": ")
    return f"{action}: {words.known('quarantine_reason', reason)}" if first == "refused again" and reason else action


def needs_text(repair: str) -> bool:
    """Whether a person writes the message for this repair."""
    return repair == Repair.SUPPLIED
