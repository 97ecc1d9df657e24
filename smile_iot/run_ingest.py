"""``smile-iot ingest``: receive, check, journal, receipt; fill the time series."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from smile_iot.lease import FileLeases, Leases, own
from smile_iot.parts import ingest_configs, journal_url, open_records, shards
from smile_iot.service import add_config_argument, serve, settings_of
from telemetry.clock import Clock

if TYPE_CHECKING:
    from gateway.records import Edge, Records, Registry
    from ingest.check import Standing
    from ingest.config import Config as IngestConfig
    from ingest.quarantine import Asked, Fault, Waiting
    from smile_iot.settings import Settings

Work = Callable[[asyncio.Event], Awaitable[None]]
UNKNOWN_DEVICE = "unknown_device"
REGISTRY_FRESH_S = 0.5
EDGES_FRESH_S = 1.0
_WHILE_CHANGING = 2
_ASKED_AT_ONCE = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)


class RegistryLookup:
    """Which site a serial is registered at, and since when it is in service; read again when the registry's version moved.

    Asked for every device of every message, so the records are asked for their version twice a second at most: a new
    device waits that much longer in quarantine, from which ingest's sweep takes it.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._lock = threading.Lock()
        self._known: Registry | None = None
        self._homes: Mapping[str, str] = {}
        self._in_service_ms: Mapping[str, int] = {}
        self._look_at_s = 0.0

    def __call__(self, serial: str) -> str | None:
        if time.monotonic() >= self._look_at_s:
            with self._lock:
                self._registry()
        return self._homes.get(serial)

    def in_service_ms(self, serial: str) -> int | None:
        """As last read: who asks for a device's site reads the registry."""
        return self._in_service_ms.get(serial)

    def shard_of(self, site: str) -> str:
        """The shard that a site is registered in, "" where it is not."""
        with self._lock:
            found = self._registry().sites.get(site)
        return "" if found is None else found.shard

    def _registry(self) -> Registry:
        now_s = time.monotonic()
        if self._known is not None and now_s < self._look_at_s:
            return self._known
        if self._known is None or self._known.version != self._records.registry_version():
            self._known = self._records.registry()
            devices = self._known.devices.values()
            self._homes = {d.serial: d.site for d in devices}
            self._in_service_ms = {d.serial: d.in_service_ms for d in devices if d.in_service_ms is not None}
        self._look_at_s = now_s + REGISTRY_FRESH_S
        return self._known


class EdgesLookup:
    """An edge's standing; read again when the version of the edges moved (``ingest.check.Edges``).

    The version is asked for at most once in ``EDGES_FRESH_S``, so a revocation is felt within that time; for an edge
    that would be refused at every message: who was just enrolled is not. Used from one thread.
    """

    def __init__(self, records: Records, clock: Clock, *, required: bool, unsigned: str) -> None:
        """``required``: who was never enrolled is not heard, but for the edge ``unsigned`` (imports of files)."""
        self._records, self._clock = records, clock
        self._required, self._unsigned = required, unsigned
        self._known: Mapping[tuple[str, str], Edge] = {}
        self._standings: dict[tuple[str, str], Standing] = {}
        self._version, self._looked_at = -1, float("-inf")

    def __call__(self, site: str, edge: str) -> Standing:
        if time.monotonic() - self._looked_at > EDGES_FRESH_S:
            self._look()
        found = self._standing(site, edge)
        if found.required and not found.keys:
            self._look()
            found = self._standing(site, edge)
        return found

    def _standing(self, site: str, edge: str) -> Standing:
        """By what is known of the records; remembered until that changes."""
        found = self._standings.get((site, edge))
        if found is None:
            required = self._required and edge != self._unsigned
            found = standing_of(self._known.get((site, edge)), self._clock.now_ms(), required=required)
            if len(found.keys) < _WHILE_CHANGING:  # two keys: the old one ends by the clock
                self._standings[site, edge] = found
        return found

    def _look(self) -> None:
        version = self._records.edges_version()
        if version != self._version:
            self._known = {(e.site, e.edge): e for e in self._records.edges()}
            self._standings.clear()
        self._version, self._looked_at = version, time.monotonic()


def standing_of(edge: Edge | None, now_ms: int, *, required: bool) -> Standing:
    """Who was enrolled once is never heard unsigned again, also while it waits for its next code to be used."""
    from gateway.records import EdgeState
    from ingest.check import Standing

    if edge is None:
        return Standing(required=required)
    return Standing(
        keys=edge.keys_at(now_ms),
        revoked=edge.state == EdgeState.REVOKED,
        required=required or edge.enrolled_ms is not None,
    )


class RecordsQuarantine:
    """Ingest's quarantine port on the records (``ingest.quarantine.QuarantinePort``)."""

    def __init__(self, records: Records, clock: Clock) -> None:
        self._records = records
        self._clock = clock

    def put(self, faults: Sequence[Fault]) -> None:
        from gateway.records import QuarantineItem

        items = [
            QuarantineItem(
                id="",
                site=fault.site,
                edge=fault.edge,
                epoch=fault.epoch,
                topic=fault.topic,
                reason=str(fault.reason),
                detail=fault.detail,
                received_ms=fault.received_at_ms,
                payload=fault.payload,
                serials=(fault.serial,) if fault.serial else (),
            )
            for fault in faults
        ]
        self._records.quarantine(items)

    def waiting_serials(self) -> list[str]:
        return self._records.waiting_serials(UNKNOWN_DEVICE)

    def waiting(self, serial: str) -> list[Waiting]:
        from ingest.quarantine import Waiting

        return [
            Waiting(item.id, item.site, item.edge, item.epoch, serial, item.received_ms, item.payload)
            for item in self._records.waiting_for(serial)
            if item.reason == UNKNOWN_DEVICE
        ]

    def replayed(self, item_ids: Sequence[str]) -> None:
        from gateway.records import Actor, QuarantineState, Refused

        for item_id in item_ids:
            item = self._records.quarantine_item(item_id)
            why = f"asked for by {item.asked_by}" if item.asked_ms is not None else "device registered"
            with contextlib.suppress(Refused):  # a person put it aside in this very moment: both stand in the audit
                self._records.settle_quarantine(
                    item_id, QuarantineState.REPLAYED, Actor.system("ingest"), why, self._clock.now_ms()
                )

    def asked(self) -> list[Asked]:
        from ingest.quarantine import Asked

        return [
            Asked(item.id, item.site, *item.to_replay, item.received_ms, item.asked_ms)
            for item in self._records.asked_replays(_ASKED_AT_ONCE)
            if item.asked_ms is not None
        ]

    def refused_again(self, asked: Asked, reason: str, detail: str) -> None:
        from gateway.records import Actor

        self._records.replay_refused(
            asked.item_id, reason, detail, Actor.system("ingest"), self._clock.now_ms(), asked_ms=asked.asked_ms
        )


def run(args: argparse.Namespace) -> int:
    from smile_iot import housekeeping

    settings = settings_of(args)
    shards(settings)

    async def ingest(clock: Clock, stop: asyncio.Event) -> None:
        scheduler = housekeeping.start(settings, clock)
        with open_records(settings) as records:
            await _own_all(settings, clock, records, stop)
        scheduler.shutdown(wait=False)

    return serve("ingest", settings.data_dir, ingest)


async def _own_all(settings: Settings, clock: Clock, records: Records, stop: asyncio.Event) -> None:
    """Each shard by its own lease, and the store, which has one writer, by one more. The first fault ends them all."""
    from ingest import service

    quarantine, link, leases = RecordsQuarantine(records, clock), service.Link(), leases_of(settings)
    # What was imported stays for ever: a look for garbage that went through it would hold a message for 50 ms.
    gc.collect()
    gc.freeze()
    configs = ingest_configs(settings)
    _, spare = shards(settings)
    several = len(configs) > 1

    def receiver(config: IngestConfig) -> Work:
        async def work(halt: asyncio.Event) -> None:
            lookup = RegistryLookup(records)
            required, unsigned = settings.switch("ingest.require_edge_keys"), settings.text("import.edge")
            edges = EdgesLookup(records, clock, required=required, unsigned=unsigned)

            def mine(site: str) -> bool:
                return not several or lookup.shard_of(site) == config.shard

            await service.receive(config, clock, lookup, quarantine, halt, edges, link, mine, lookup.in_service_ms)

        return work

    async def filler(halt: asyncio.Event) -> None:
        await service.fill(next(iter(configs.values())), quarantine, halt, link)

    owners = [
        asyncio.create_task(own(leases, name, stop, receiver(config), spare=name in spare))
        for name, config in configs.items()
    ]
    owners.append(asyncio.create_task(own(leases, "store", stop, filler)))
    try:
        await asyncio.wait(owners, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.set()
        outcomes = await asyncio.gather(*owners, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


def leases_of(settings: Settings) -> Leases:
    """Rows of the journal's PostgreSQL, or lock files where the journal is a file."""
    url = journal_url(settings)
    if not url.startswith(("postgresql://", "postgres://")):
        return FileLeases(settings.data_dir)
    from gateway.journal.leases import PostgresLeases

    return PostgresLeases(url)
