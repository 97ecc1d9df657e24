"""Who owns a shard on one machine: the process that holds its lock file (``docs/architecture.md``, topics and shards).

The lock is the kernel's (``flock``): it goes with the process, however that ends, so a worker that was killed leaves
nothing to clean up, and a second worker of the same shard waits instead of writing the same journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path

log = logging.getLogger(__name__)
LOOK_EVERY_S = 0.5


@contextlib.asynccontextmanager
async def shard_lease(data_dir: Path, shard: str, stop: asyncio.Event) -> AsyncIterator[bool]:
    """Wait for the lease of a shard and hold it; yields False when ``stop`` came first."""
    path = data_dir / f"ingest-{shard.replace('+', 'all')}.lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        said = False
        while not _take(handle):
            if not said:
                log.warning("shard %s is owned by another ingest process (%s): waiting", shard, path)
                said = True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_EVERY_S)
            if stop.is_set():
                yield False
                return
        yield True
    finally:
        os.close(handle)


def _take(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
