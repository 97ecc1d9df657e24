"""Who owns a shard: one worker at a time (``docs/architecture.md``, topics and shards).

On one machine the owner holds a lock file. The lock is the kernel's (``flock``): it goes with the process, however that
ends, so a worker that was killed leaves nothing to clean up, and a second worker of the same shard waits instead of
receiving the same messages. Workers on several machines share the journal's PostgreSQL and there a row with an end
(``gateway/journal/leases.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from telemetry.errors import NeighbourDownError

log = logging.getLogger(__name__)
LOOK_EVERY_S = 0.5
# A spare is left to those that own it by preference for as long as a machine takes to start them all.
SPARE_AFTER_S = 5.0


class Leases(Protocol):
    """Calls block a little and may raise NeighbourDownError."""

    def take(self, name: str) -> bool: ...

    def keep(self, name: str) -> bool: ...

    def release(self, name: str) -> None: ...


class FileLeases:
    """Lock files in one folder. Once taken a lease is kept by living."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir
        self._handles: dict[str, int] = {}

    def take(self, name: str) -> bool:
        path = self._folder / f"ingest-{name.replace('+', 'all')}.lock"
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._handles[name] = handle
        return True

    def keep(self, name: str) -> bool:
        return name in self._handles

    def release(self, name: str) -> None:
        handle = self._handles.pop(name, None)
        if handle is not None:
            os.close(handle)


async def own(
    leases: Leases,
    name: str,
    stop: asyncio.Event,
    work: Callable[[asyncio.Event], Awaitable[None]],
    *,
    spare: bool = False,
) -> None:
    """Run ``work(its own stop)`` while ``name`` is ours, again and again until ``stop``. What work raises is raised.

    When the lease is lost work is stopped and the lease is waited for again.
    """
    if spare:
        await _pause(stop, SPARE_AFTER_S)
    while not stop.is_set():
        if await _wait_for(leases, name, stop):
            log.info("%s is ours", name)
            try:
                await _work_while_kept(leases, name, stop, work)
            finally:
                with contextlib.suppress(NeighbourDownError):
                    await asyncio.to_thread(leases.release, name)


async def _wait_for(leases: Leases, name: str, stop: asyncio.Event) -> bool:
    """True when taken, False when stopped. An owner that stays and a database that is away are said once."""
    said = ""
    while not stop.is_set():
        try:
            if await asyncio.to_thread(leases.take, name):
                return True
            trouble = "is owned by another ingest process: waiting"
        except NeighbourDownError as error:
            trouble = f"cannot be had: {error}"
        if trouble != said:
            log.warning("%s %s", name, trouble)
            said = trouble
        await _pause(stop, LOOK_EVERY_S)
    return False


async def _work_while_kept(
    leases: Leases, name: str, stop: asyncio.Event, work: Callable[[asyncio.Event], Awaitable[None]]
) -> None:
    halt = asyncio.Event()
    working = asyncio.ensure_future(work(halt))
    keeping = asyncio.ensure_future(_keep(leases, name, halt))
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, keeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        halt.set()
        stopping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await working


async def _keep(leases: Leases, name: str, halt: asyncio.Event) -> None:
    """Keep the lease until halted; returns when it is lost, or when nothing is known of it for too long."""
    from gateway.journal.leases import KEEP_EVERY_S, LOST_AFTER_S

    kept_s = time.monotonic()
    while not halt.is_set():
        await _pause(halt, KEEP_EVERY_S)
        begun_s = time.monotonic()
        try:
            # A database may also say nothing at all, for longer than a lease lasts.
            left_s = max(0.0, kept_s + LOST_AFTER_S - begun_s)
            if not await asyncio.wait_for(asyncio.to_thread(leases.keep, name), left_s):
                log.warning("%s is another worker's now", name)
                return
            kept_s = begun_s
        except TimeoutError:
            log.warning("%s could not be kept: no answer", name)
            return
        except NeighbourDownError as error:
            if time.monotonic() - kept_s > LOST_AFTER_S:
                log.warning("%s could not be kept: %s", name, error)
                return


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
