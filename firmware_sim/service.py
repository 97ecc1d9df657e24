"""The whole simulator: one bus, one radio, the ports, and what the plan and the control socket do to them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from firmware_sim.ble_logger import Broadcaster, BthomeLogger
from firmware_sim.bluez import FakeBlueZ, GattServer, Peripheral
from firmware_sim.bus import PrivateBus
from firmware_sim.clock import VirtualClock
from firmware_sim.control import serve_control
from firmware_sim.faults import ENDS, Fault, FaultBook, FaultKind
from firmware_sim.loggers import Sampler
from firmware_sim.modbus_probe import ModbusProbe
from firmware_sim.plan import (
    BLE,
    ClockPlan,
    DeviceKind,
    Plan,
    PlanError,
    Scale,
    Thermometer,
    parse_fault,
    parse_load,
)
from firmware_sim.produced import Ledger, LineFile
from firmware_sim.pty_port import PtyPort
from firmware_sim.ruuvi_tag import RuuviTag
from firmware_sim.scale import Platform
from firmware_sim.serial_scale import AsciiScale, platform_of
from firmware_sim.sics_scale import SicsScale
from firmware_sim.thermal import ThermalModel
from firmware_sim.wire import Wire

MAX_SOCKET_PATH = 107  # sockaddr_un holds 108 with the zero
FAULT_CHECK_S = 0.02  # real: how late a cable may be pulled


def clock_of(plan: ClockPlan) -> VirtualClock:
    """The plan's clock; what it leaves open begins now."""
    t0_ms = time.time_ns() // 1_000_000 if plan.t0_ms is None else plan.t0_ms
    m0_ns = time.monotonic_ns() if plan.m0_ns is None else plan.m0_ns
    return VirtualClock(t0_ms, m0_ns, plan.speed, plan.until_s, plan.then_speed)


class SerialFace(Protocol):
    """A device on a serial line."""

    port: PtyPort
    wire: Wire

    async def run(self) -> None:
        """Live, for ever."""


class Simulator:
    """``async with Simulator(plan, folder) as sim: await sim.run()``. ``sim.ready()`` is the line others wait
    for."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan = plan
        folder = folder.resolve()  # others may read the paths from another folder
        self._folder = folder
        self._stack = AsyncExitStack()
        self.clock = clock_of(plan.clock)
        self.book = FaultBook(list(plan.faults))
        self.ledger = Ledger(folder / "produced.ndjson")
        self._models = {e.id: ThermalModel(e, plan.seed, self.book) for e in plan.equipment}
        self._commands = LineFile(folder / "commands.ndjson")
        self._loggers: list[Coroutine[Any, Any, None]] = []
        self._tags: dict[str, RuuviTag] = {}
        self._ports: dict[str, SerialFace] = {}
        self._platforms: dict[str, Platform] = {}
        self._bus: PrivateBus | None = None
        self._fake: FakeBlueZ | None = None
        self._used: dict[Fault, int] = {}

    async def __aenter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _open(self) -> None:
        self._stack.enter_context(self.ledger)
        self._stack.enter_context(self._commands)
        self._stack.callback(self._never_awaited)
        if any(device.kind in BLE for device in self._plan.devices):
            self._bus = await self._stack.enter_async_context(PrivateBus(self._folder))
            self._fake = await self._stack.enter_async_context(FakeBlueZ(self._bus.address))
        for device in self._plan.devices:
            if isinstance(device, Scale):
                self._add_scale(device)
            else:
                self._add_thermometer(device)
        for face in self._ports.values():
            face.port.plug()
            self._stack.callback(face.port.unplug)
        control = self._folder / "control.sock"
        if len(os.fsencode(control)) > MAX_SOCKET_PATH:
            raise PlanError("--out", f"{control} is longer than {MAX_SOCKET_PATH} bytes, which no unix socket may be")
        control.unlink(missing_ok=True)  # left by a run that was killed
        server = await serve_control(control, self.answer)
        self._stack.callback(server.close)

    def ready(self) -> dict[str, object]:
        """What another process needs to reach the devices."""
        return {
            "ready": True,
            "env": {"DBUS_SYSTEM_BUS_ADDRESS": self._bus.address} if self._bus else {},
            "serial": {serial: str(face.port.link) for serial, face in self._ports.items()},
            "control": str(self._folder / "control.sock"),
            "t0_ms": self.clock.t0_ms,
            "m0_ns": self.clock.m0_ns,
            "speed": self.clock.speed,
        }

    async def run(self) -> None:
        """Until cancelled; the devices measure until the plan's ``end_s``."""
        async with asyncio.TaskGroup() as group:
            while self._loggers:
                group.create_task(self._loggers.pop())
            for serial, face in self._ports.items():
                group.create_task(face.run(), name=serial)
            group.create_task(self._follow_faults(), name="faults")

    def _never_awaited(self) -> None:
        for logger in self._loggers:
            logger.close()

    def _add_scale(self, plan: Scale) -> None:
        platform = platform_of(plan, self._plan.seed, self._plan.loads.get(plan.serial, ()))
        wire = Wire(plan.serial, self._plan.seed, self.book)
        link = self._folder / f"tty-{plan.serial}"
        self._platforms[plan.serial] = platform
        if plan.kind is DeviceKind.SCALE_ASCII:
            self._ports[plan.serial] = AsciiScale(plan, platform, wire, self.clock, self.ledger, link)
            return

        def note(command: str, answer: str) -> None:
            self._note(plan.serial, {"command": command, "answer": answer})

        self._ports[plan.serial] = SicsScale(plan, platform, wire, self.clock, self.ledger, link, note)

    def _note(self, serial: str, what: dict[str, object]) -> None:
        self._commands.write({"device": serial, "t_ms": self.clock.now_ms(), **what})

    def _add_thermometer(self, plan: Thermometer) -> None:
        seed, model = self._plan.seed, self._models[plan.equipment]
        resolution_c = Decimal("0.1") if plan.kind is DeviceKind.MODBUS else Decimal("0.01")
        sampler = Sampler(plan.serial, model, plan.interval_s, seed, self.book, resolution_c)
        if plan.kind is DeviceKind.MODBUS:
            wire, link = Wire(plan.serial, seed, self.book), self._folder / f"tty-{plan.serial}"
            probe = ModbusProbe(plan, sampler, wire, self.clock, self.ledger, link, seed)
            self._ports[plan.serial] = probe
        elif plan.kind is DeviceKind.RUUVI:
            tag = RuuviTag(
                plan,
                sampler,
                self.clock,
                self.book,
                self.ledger,
                seed,
                lambda said: self._note(plan.serial, {"event": said}),
            )
            self._tags[plan.serial] = tag
            name = "Ruuvi " + plan.address.replace(":", "")[-4:]
            self._loggers.append(tag.run(self._plan.end_s, self._on_air(plan, name, tag)))
        else:
            logger = BthomeLogger(plan, sampler, self._on_air(plan, plan.serial), self.clock, self.book, self.ledger)
            self._loggers.append(logger.run(self._plan.end_s))

    def _on_air(self, plan: Thermometer, local_name: str, gatt: GattServer | None = None) -> Broadcaster:
        if self._fake is None:
            raise PlanError("devices", "a BLE device needs the bus")
        peripheral = Peripheral(plan.address, local_name, gatt, lambda: self._link_life(plan.serial))
        return Broadcaster(self._fake, peripheral, self.clock, self.book, plan.serial, self._plan.seed)

    def _link_life(self, serial: str) -> int | None:
        """How many notifications a new link to this device will carry; None for all."""
        fault = self.book.active(FaultKind.DROP_AFTER, serial, self.clock.now_s())
        if fault is None or self._used.get(fault, 0) >= fault.links:
            return None
        self._used[fault] = self._used.get(fault, 0) + 1
        self._note(serial, {"event": f"link will drop after {fault.notifications} notifications"})
        return fault.notifications

    async def _follow_faults(self) -> None:
        while True:
            now_s = self.clock.now_s()
            self._apply_faults(now_s)
            if self._fake is not None:
                await self._restart_when_due(self._fake, now_s)
            await asyncio.sleep(FAULT_CHECK_S)

    def _apply_faults(self, now_s: float) -> None:
        """Cables and the adapter's power, as the book says for this virtual second."""
        for face in self._ports.values():
            if face.wire.unplugged(now_s):
                face.port.unplug()
            else:
                face.port.plug()
        if self._fake is not None:
            self._fake.set_powered(not self.book.is_on(FaultKind.ADAPTER_OFF, "", now_s))

    async def _restart_when_due(self, fake: FakeBlueZ, now_s: float) -> None:
        for fault in tuple(self.book.faults):
            if fault.kind is FaultKind.BLUEZ_RESTART and fault.at_s <= now_s and fault not in self._used:
                self._used[fault] = 1
                await fake.restart(fault.down_s)

    def answer(self, value: object) -> dict[str, object]:
        """One command of the control socket; raises PlanError for what makes no sense."""
        now_s = self.clock.now_s()
        if not isinstance(value, dict) or not isinstance(value.get("do"), str):
            raise PlanError("", 'must be an object like {"do": "status"}')
        what = value["do"]
        if what == "status":
            return self._status(now_s)
        if what == "load":
            rest = {key: item for key, item in value.items() if key != "do"}
            serial, load = parse_load(rest, "", self._plan.devices, now_s)
            self._platforms[serial].add(load)
            return {"at_s": load.at_s}
        if what == "unload":
            self._platform(value).unload()
            return {"at_s": now_s}
        if what in ENDS:
            ended = self.book.clear(ENDS[what], str(value.get("equipment") or value.get("device") or ""), now_s)
            self._apply_faults(now_s)
            return {"at_s": now_s, "ended": ended}
        fault = parse_fault(value, "", self._plan.equipment, self._plan.devices, now_s)
        self.book.add(fault)
        self._apply_faults(now_s)
        return {"at_s": fault.at_s}

    def _platform(self, value: dict[str, object]) -> Platform:
        platform = self._platforms.get(str(value.get("device")))
        if platform is None:
            raise PlanError("device", f"there is no scale {value.get('device')!r}")
        return platform

    def _status(self, now_s: float) -> dict[str, object]:
        return {
            "at_s": now_s,
            "t_ms": self.clock.unix_ms(now_s),
            "ended": now_s > self._plan.end_s,
            "produced": dict(self.ledger.counts),
            "memory": {serial: tag.stored for serial, tag in self._tags.items()},
            "faults": [_told(fault) for fault in self.book.faults if fault.covers(now_s)],
            "loads_waiting": {serial: platform.waiting() for serial, platform in self._platforms.items()},
        }


def _told(fault: Fault) -> dict[str, object]:
    return {"do": str(fault.kind), "target": fault.target, "at_s": fault.at_s}
