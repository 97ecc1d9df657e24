"""When an entry may go: after every reader passed it, and after the retention time (``design.md``)."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.journal.model import Journal

_STEP = 500


def forget_passed(journal: Journal, reader_offsets: Sequence[int], received_before_ms: int) -> int:
    """Drop the oldest entries that all readers passed and that were received before a time; how many.

    ``reader_offsets`` are the offsets that the readers have committed; with none given nothing goes. Stops at the
    first entry that must stay, so that the journal has no holes.
    """
    passed = min(reader_offsets, default=0)
    dropped = 0
    while entries := journal.after(0, _STEP):
        old = [n for n, entry in entries if n <= passed and entry.received_at_ms < received_before_ms]
        leading = [n for (n, _), candidate in zip(entries, old, strict=False) if n == candidate]
        if not leading:
            break
        dropped += journal.forget(leading[-1] + 1)
    return dropped
