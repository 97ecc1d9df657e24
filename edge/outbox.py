"""The durable buffer of one edge: every fact gets a number and stays until retention, receipted or not.

``append`` returns after fsync (SQLite WAL, synchronous=FULL; power cuts below the file system: ``tests/powercut``).
Numbers are gapless from 1 per ``epoch``, one sequence for readings, events and weighings. A receipt only notes the
numbers; ``forget_receipted`` drops what is receipted and older than the retention (design.md: six months).

When there is no room (disk or ``Quota``): receipted facts go first, oldest first; then unsent readings within their
limits are thinned to the least, greatest and last of 15 minutes, each thinning a numbered fact in the same commit
(``edge.thinning``); values beyond a limit, faults, weighings and events never go. Then ``append`` is refused.

*Hints* are small texts committed with the facts they belong to ("this packet id was heard", "this load is captured"),
so that a SIGKILL between two instructions can neither double nor lose a reading.

*Epoch*: a random id, new when the file is new, was copied or restored from a backup, came to another machine, or was
damaged and salvaged (decision 0013). What is not receipted is numbered anew from 1, receipted rows stay for re-sending
by time. ``identity`` says why the epoch began.

``SqliteOutbox`` is one file, ``MemoryOutbox`` the same contract in a dict; ``edge.commit`` stands before them.
"""

from __future__ import annotations

from edge.outbox_memory import MemoryOutbox
from edge.outbox_model import EpochReason, Identity, Outbox, OutboxUsage, Quota
from edge.outbox_sqlite import SqliteOutbox

__all__ = ["EpochReason", "Identity", "MemoryOutbox", "Outbox", "OutboxUsage", "Quota", "SqliteOutbox"]
