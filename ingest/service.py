"""Run ingest: the receiver and the filler, each in its own thread with its own connections.

Threads, because both sides block by nature (paho's sockets, fsync) and share nothing but a wake-up and a memo of what
was decoded; a dead store then stops the filler alone. A thread that dies of a fault of ours ends the service with that
fault, and whoever supervises starts it anew: everything durable is repeatable.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sqlite3
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from gateway.journal import Journal, open_journal
from ingest.check import Edges, InService, Registry, no_dates, no_keys
from ingest.config import Config
from ingest.filler import Filler
from ingest.intake import Intake
from ingest.ledger import READERS_AHEAD, Ledger
from ingest.outage import Outage
from ingest.quarantine import QuarantinePort
from ingest.receiver import Receiver
from ingest.recent import Recent
from ingest.store import open_store
from ingest.undated import FillerState, read_place
from telemetry.clock import Clock
from telemetry.errors import NeighbourDownError

__all__ = ["Link", "fill", "open_store", "receive", "run"]

_log = logging.getLogger("ingest")
T = TypeVar("T")
Mine = Callable[[str], bool]
"""Whether a site is of our shard."""


def everything(_site: str) -> bool:
    """Of a worker that has no others beside it."""
    return True


# A thread that was woken gets its turn after this, not after Python's 5 ms: the way from the journal into the store.
_SWITCH_S = 0.001
# Python looks for cycles after 700 new lists and dicts, which one upload makes; ours make none but for exceptions. The
# look cost a fifth of the receiver's time (decision 0022).
_GARBAGE = (20_000, 20, 20)


@dataclass(frozen=True, slots=True)
class Link:
    """What receivers and filler share: the wake-up, and what was decoded a moment ago."""

    wake: threading.Event = field(default_factory=threading.Event)
    recent: Recent = field(default_factory=Recent)


async def run(
    config: Config,
    clock: Clock,
    registry: Registry,
    quarantine: QuarantinePort,
    stop: asyncio.Event,
    edges: Edges = no_keys,
    in_service: InService = no_dates,
) -> None:
    """Receive one shard, journal, receipt and fill until ``stop``.

    ``registry``, ``edges`` and ``in_service`` are called from one thread, ``quarantine`` from two, never from the event loop's.
    """
    link = Link()
    parts = [
        asyncio.create_task(receive(config, clock, registry, quarantine, stop, edges, link, in_service=in_service)),
        asyncio.create_task(fill(config, quarantine, stop, link)),
    ]
    try:
        await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.set()
        outcomes = await asyncio.gather(*parts, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


async def receive(
    config: Config,
    clock: Clock,
    registry: Registry,
    quarantine: QuarantinePort,
    stop: asyncio.Event,
    edges: Edges,
    link: Link,
    mine: Mine = everything,
    in_service: InService = no_dates,
) -> None:
    """Receive, journal and receipt the shard of ``config`` until ``stop``; who calls owns it alone.

    ``mine`` tells the sites of the shard: with other shards' workers the journal holds their entries too.
    """
    sys.setswitchinterval(_SWITCH_S)
    gc.set_threshold(*_GARBAGE)
    await _until(
        stop, link, lambda halt: _receive(config, clock, registry, edges, in_service, quarantine, link, mine, halt)
    )


async def fill(config: Config, quarantine: QuarantinePort, stop: asyncio.Event, link: Link) -> None:
    """Fill the store of ``config`` until ``stop``; who calls is its only writer."""
    await _until(stop, link, lambda halt: _fill(config, quarantine, link, halt))


async def _until(stop: asyncio.Event, link: Link, work: Callable[[threading.Event], None]) -> None:
    """Run ``work`` in a thread until ``stop``, or until it ends; raises what it raised."""
    halt = threading.Event()
    working = asyncio.create_task(asyncio.to_thread(work, halt))
    watch = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([working, watch], return_when=asyncio.FIRST_COMPLETED)
    finally:
        halt.set()
        link.wake.set()
        watch.cancel()
        await working


def _receive(
    config: Config,
    clock: Clock,
    registry: Registry,
    edges: Edges,
    in_service: InService,
    quarantine: QuarantinePort,
    link: Link,
    mine: Mine,
    halt: threading.Event,
) -> None:
    with contextlib.ExitStack() as stack:
        journal = _try_on("journal", lambda: open_journal(config.journal), halt, config.retry_s)
        if journal is None:
            return
        stack.callback(journal.close)
        ledger = Ledger(config.ledger_path)
        stack.callback(ledger.close)
        intake = Intake(journal, ledger, quarantine, registry, edges, link.wake.set, link.recent, mine, in_service)

        def begin() -> tuple[int]:
            ended_at = journal.last_offset()
            missed = intake.start()
            fill_again_after_a_restore(journal, config, ended_at)
            return (missed,)

        if _try_on("journal", begin, halt, config.retry_s) is not None:
            Receiver(config, intake, clock).run(halt)


def fill_again_after_a_restore(journal: Journal, config: Config, ended_at: int) -> None:
    """Before anything is received: a journal that ended before the filler's place was restored from a backup. No offset
    that a reader has passed is given again, and the filler begins anew: it may never have seen what the backup holds.
    (It cannot see that itself: it may begin late, when its store is back, and the journal has grown.)
    """
    try:
        place = read_place(config.filler_file)
    except sqlite3.Error as error:  # a dead store stops nothing: its filler looks again when it is back
        _log.warning("the filler's place in %s cannot be read: %s", config.filler_file, error)
        return
    if ended_at >= place:
        return
    journal.skip_to(place + READERS_AHEAD)
    state = FillerState(config.filler_file)
    try:
        state.start_over()
    finally:
        state.close()


def _fill(config: Config, quarantine: QuarantinePort, link: Link, halt: threading.Event) -> None:
    with contextlib.ExitStack() as stack:
        journal = _try_on("journal", lambda: open_journal(config.journal), halt, config.retry_s)
        store = _try_on("store", lambda: open_store(config.store), halt, config.retry_s)
        if journal is None or store is None:
            return
        stack.callback(journal.close)
        stack.callback(store.close)
        state = FillerState(config.filler_file)
        stack.callback(state.close)
        filler = Filler(config, journal, store, state, quarantine)
        filler.wake, filler.read = link.wake, link.recent.take
        filler.run(halt)


def _try_on(name: str, make: Callable[[], T], halt: threading.Event, retry_s: float) -> T | None:
    """Call until the neighbour answers; None when halted before."""
    outage = Outage(name)
    while not halt.is_set():
        try:
            made = make()
        except NeighbourDownError as error:
            outage.down(error)
            halt.wait(retry_s)
            continue
        outage.up()
        return made
    return None
