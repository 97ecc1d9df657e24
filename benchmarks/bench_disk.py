"""What the disk alone takes: a message appended to a file and synced, at the pace of the live runs.

The reference of "publish to stored": between broker and store a lone message waits for two such commits, ingest's
journal and the database's log (docs/decisions/0022), whatever the programs do.
"""

from __future__ import annotations

import os
import time
from pathlib import Path


def commits_ms(path: Path, size: int, per_s: float, seconds: float) -> list[float]:
    """Milliseconds of each write-and-sync of ``size`` bytes, ``per_s`` a second, counted from when each was due."""
    body = os.urandom(size)
    found: list[float] = []
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        start = time.monotonic()
        for number in range(max(1, round(per_s * seconds))):
            due = start + number / per_s
            while (left := due - time.monotonic()) > 0:
                time.sleep(left)
            os.write(handle, body)
            os.fdatasync(handle)
            found.append((time.monotonic() - due) * 1000)
    finally:
        os.close(handle)
    return found
