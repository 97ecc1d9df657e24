"""The journal: an append-only log of accepted uploads, written once, fsynced, then receipted (``design.md``).

Readers (time series, alerts, SMILE) read it by offset and commit their offset with their own result, so a dead
reader stops neither receipts nor the other readers.
"""

from __future__ import annotations

from gateway.journal.model import AFTER_BYTES, Entry, Journal, open_journal
from gateway.journal.retention import forget_passed
from gateway.journal.sqlite import SqliteJournal

__all__ = ["AFTER_BYTES", "Entry", "Journal", "SqliteJournal", "forget_passed", "open_journal"]
