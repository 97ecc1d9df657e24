"""``smile-iot ingest``: receive, check, journal, receipt; fill the time series."""

from __future__ import annotations

import argparse
import asyncio
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from smile_iot.lease import shard_lease
from smile_iot.parts import ingest_config, open_records
from smile_iot.service import add_config_argument, serve, settings_of
from telemetry.clock import Clock

if TYPE_CHECKING:
    from gateway.records import Records, Registry
    from ingest.quarantine import Fault, Waiting

UNKNOWN_DEVICE = "unknown_device"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)


class RegistryLookup:
    """Which site a serial is registered at; read again when the registry's version moved."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._lock = threading.Lock()
        self._known: Registry | None = None

    def __call__(self, serial: str) -> str | None:
        with self._lock:
            if self._known is None or self._known.version != self._records.registry_version():
                self._known = self._records.registry()
            device = self._known.device(serial)
        return None if device is None else device.site


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
        from gateway.records import Actor, QuarantineState

        for item_id in item_ids:
            self._records.settle_quarantine(
                item_id, QuarantineState.REPLAYED, Actor.system("ingest"), "device registered", self._clock.now_ms()
            )


def run(args: argparse.Namespace) -> int:
    from ingest import service
    from ingest.check import no_keys
    from smile_iot import housekeeping

    settings = settings_of(args)
    config = ingest_config(settings)

    async def ingest(clock: Clock, stop: asyncio.Event) -> None:
        async with shard_lease(settings.data_dir, config.shard, stop) as mine:
            if not mine:
                return
            scheduler = housekeeping.start(settings, clock)
            with open_records(settings) as records:
                lookup, quarantine = RegistryLookup(records), RecordsQuarantine(records, clock)
                await service.run(config, clock, lookup, quarantine, stop, edges=no_keys)
            scheduler.shutdown(wait=False)

    return serve("ingest", settings.data_dir, ingest)
