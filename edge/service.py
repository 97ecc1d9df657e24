"""The agent: wires config, clock, outbox, sources and uplink, and runs them in one TaskGroup of named tasks."""

from __future__ import annotations

import asyncio
import importlib
import logging
import random
from collections.abc import Coroutine
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edge.anchor import Anchorer
from edge.clock_guard import REFERENCE_HINT, ClockGuard, GuardedClock, load_reference, stepped
from edge.commit import GroupCommit
from edge.config import Config, DeviceSettings, load
from edge.decoders import ADVERT_DECODERS, LINE_DECODERS
from edge.machine import machine_id
from edge.outbox import Outbox, Quota, SqliteOutbox
from edge.sources import POLLED, ble, ruuvi_history, serial, serial_port
from edge.sources.ruuvi_history import RuuviHistory
from edge.supervisor import Backoff, Outage, end, supervise
from edge.uplink import EXPECTED as UPLINK_ERRORS
from edge.uplink import Uplink
from telemetry.clock import Clock, stamp
from telemetry.errors import ConfigError, NeighbourDownError

__all__ = ["load", "run"]

log = logging.getLogger(__name__)
_DAY_MS = 86_400_000
_HOUSEKEEPING_S = 3600.0


async def run(config: Config, clock: Clock, stop: asyncio.Event) -> None:
    """Run the agent until ``stop``; raises NeighbourDownError if the outbox cannot be opened."""
    outbox = SqliteOutbox(
        Path(config.edge.outbox), quota=quota_of(config), machine=machine_id(), now=lambda: stamp(clock)
    )
    try:
        await Agent(config, clock, outbox).run(stop)
    finally:
        outbox.close()


def quota_of(config: Config) -> Quota:
    """What the outbox may keep."""
    e = config.edge
    return Quota(e.quota_mb << 20, e.quota_days * _DAY_MS, config.limits, e.id)


class Agent:
    """One edge with its parts. Tests build it with a MemoryOutbox."""

    def __init__(self, config: Config, clock: Clock, outbox: Outbox) -> None:
        self._config = config
        self._guard = ClockGuard(load_reference(outbox.hint(REFERENCE_HINT)))
        clock = GuardedClock(clock, self._guard)
        self._clock = clock
        self._outbox = GroupCommit(
            outbox, clock, config.edge.commit_after_s, config.limits, lambda: self._uplink.wake()
        )
        self._rng = random.Random()  # noqa: S311  (jitter)
        info = {"software": f"smile-iot {_software()}", "boot_id": clock.boot_id(), "started_ms": clock.now_ms()}
        info["devices"] = len(config.devices)
        self._uplink_outage = Outage(f"broker {config.mqtt.host}:{config.mqtt.port}")
        self._uplink = Uplink(
            config.address,
            config.mqtt,
            clock,
            self._outbox,
            self._uplink_outage,
            info,
            config.limits,
        )
        self._anchorer = Anchorer(config.edge.id, clock, self._outbox)

    async def run(self, stop: asyncio.Event) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(part, name=name) for name, part in self._parts()]
                log.info("edge %s runs: %s", self._config.edge.id, ", ".join(t.get_name() for t in tasks))
                await stop.wait()
                await end(*tasks)
        finally:
            self._uplink.settle()
            self._outbox.settle()

    def _parts(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        mqtt = self._config.mqtt
        backoff = Backoff(mqtt.reconnect_min_s, mqtt.reconnect_max_s)
        uplink = supervise(self._uplink.run, self._uplink_outage, (*UPLINK_ERRORS, ConfigError), backoff, self._rng)
        parts: list[tuple[str, Coroutine[Any, Any, None]]] = [
            ("uplink", uplink),
            ("commit", self._outbox.run()),
            ("anchor", self._anchor()),
            ("housekeeping", self._keep_house()),
        ]
        parts += [(f"{d.driver}:{d.serial}", self._polled(d)) for d in self._config.devices if d.driver in POLLED]
        heard = [d for d in self._config.devices if d.driver in ADVERT_DECODERS]
        if heard:
            parts += self._ble(heard)
        parts += [(f"serial:{d.serial}", self._serial(d)) for d in self._config.devices if d.driver in LINE_DECODERS]
        return parts

    def _ble(self, devices: list[DeviceSettings]) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        settings = self._config.ble
        outage = Outage("bluetooth")
        source = ble.BleSource(devices, settings, self._clock, self._outbox, self._uplink.wake, outage)
        backoff = Backoff(high_s=settings.reconnect_max_s)
        parts = [("ble", supervise(source.run, outage, ble.EXPECTED, backoff, self._rng))]
        with_memory = {d.serial: d for d in devices if ADVERT_DECODERS[d.driver].history and d.history}
        if with_memory:
            reader = RuuviHistory(with_memory, self._clock, self._outbox, self._uplink.wake, source.seen)
            source.taken = reader.wake
            outage = Outage("memory read")
            parts.append(("history", supervise(reader.run, outage, ruuvi_history.EXPECTED, backoff, self._rng)))
        return parts

    def _polled(self, device: DeviceSettings) -> Coroutine[Any, Any, None]:
        driver = POLLED[device.driver]
        module = importlib.import_module(driver.module)
        outage = Outage(f"{driver.what} {device.serial} on {device.port}")
        source = getattr(module, driver.source)(device, self._clock, self._outbox, self._uplink.wake, outage)
        return supervise(source.run, outage, module.EXPECTED, Backoff(high_s=10.0), self._rng)

    def _serial(self, device: DeviceSettings) -> Coroutine[Any, Any, None]:
        outage = Outage(f"scale {device.serial} on {device.port}")
        source = serial.SerialSource(device, self._clock, self._outbox, self._uplink.wake, outage)
        return supervise(source.run, outage, serial_port.EXPECTED, Backoff(high_s=10.0), self._rng)

    async def _anchor(self) -> None:
        """Watch the kernel's word on the clock; anchor a boot when it becomes good, tell when it jumps."""
        anew = self._guard.anew
        while True:
            try:
                self._tell_steps()
                if self._guard.anew != anew:
                    anew = self._guard.anew
                    self._anchorer.anew()
                if self._anchorer.look(self._uplink.sent_to):
                    self._uplink.wake()
            except NeighbourDownError as error:
                log.warning("cannot keep a clock anchor: %s", error)
            await asyncio.sleep(self._config.edge.anchor_every_s)

    def _tell_steps(self) -> None:
        made = stamp(self._clock)
        while self._guard.steps:
            step = self._guard.steps[0]
            self._outbox.append([stepped(self._config.edge.id, step, made)])
            self._guard.steps.popleft()
            log.warning("the clock jumped by %d ms while it claimed to be right", step.delta_ms)
            self._uplink.wake()

    async def _keep_house(self) -> None:
        """Drop what is receipted and older than the retention, only by a clock that claims to be right."""
        while True:
            await asyncio.sleep(_HOUSEKEEPING_S)
            before_ms = self._clock.now_ms() - self._config.edge.retention_days * _DAY_MS
            try:
                count = self._outbox.forget_receipted(before_ms) if self._anchorer.synced else 0
                self._outbox.keep_age(stamp(self._clock))
            except NeighbourDownError as error:
                log.warning("retention: %s", error)
                continue
            if count:
                log.info("retention: %d receipted facts dropped", count)


def _software() -> str:
    try:
        return version("smile-iot")
    except PackageNotFoundError:
        return "unpackaged"
