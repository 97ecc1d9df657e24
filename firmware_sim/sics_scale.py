"""A scale that speaks MT-SICS on a pseudo-terminal, keeps a tare, and writes down what it was told."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from firmware_sim import mt_sics
from firmware_sim.clock import VirtualClock
from firmware_sim.mt_sics import Command, Said
from firmware_sim.plan import Scale
from firmware_sim.produced import Ledger
from firmware_sim.pty_port import PtyPort
from firmware_sim.scale import Indication, Load, Platform, to_interval
from firmware_sim.serial_scale import frames
from firmware_sim.wire import Wire

STABLE_WAIT_S = 5.0  # real: how long S, Z and T wait for rest before they say I
MAX_LINE = 64


class SicsScale:
    """One scale of kind ``mt_sics``. ``note(command, answer)`` is told every exchange."""

    def __init__(
        self,
        plan: Scale,
        platform: Platform,
        wire: Wire,
        clock: VirtualClock,
        ledger: Ledger,
        link: Path,
        note: Callable[[str, str], None],
    ) -> None:
        self.platform = platform
        self.port = PtyPort(link, plan.baud, self._received)
        self.wire = wire
        self._plan = plan
        self._clock = clock
        self._ledger = ledger
        self._note_exchange = note
        self._zero_kg = to_interval(Decimal(0), plan.e_kg)
        self._tare_kg = self._zero_kg
        self._tared_for: Load | None = None
        self._shown = Indication(self._zero_kg, stable=True, overload=False, load=None)
        self._framed = asyncio.Event()
        self._repeat = False
        self._buffer = b""
        self._lines: asyncio.Queue[bytes] = asyncio.Queue()
        self._greeted = False

    async def run(self) -> None:
        """Weigh and answer, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._weigh(), name=f"{self._plan.serial} weigh")
            group.create_task(self._answer_lines(), name=f"{self._plan.serial} answer")

    async def _weigh(self) -> None:
        while True:
            now_s = self._clock.now_s()
            await self._greet_after_power_on()
            self._shown = self.platform.tick(now_s, heard=self.port.plugged and not self.wire.silent(now_s))
            self._follow_load(self._shown)
            self._framed.set()
            self._framed.clear()
            if self._repeat:
                await self._send(self._now("S"))
            await frames(self._plan.rate_hz)

    async def _greet_after_power_on(self) -> None:
        """At power-on a balance forgets its tare and says its serial number unasked (here: to its first reader)."""
        if not self.port.plugged:
            self._greeted, self._repeat, self._tare_kg = False, False, self._zero_kg
        elif not self._greeted and self.port.listened:
            self._greeted = True
            await self._send(mt_sics.text("I4", self._plan.serial))

    def _follow_load(self, shown: Indication) -> None:
        load = shown.load
        if load is not None and load is not self._tared_for and load.tare_kg:
            self._tared_for = load
            self._tare_kg = to_interval(load.tare_kg, self._plan.e_kg)
        elif load is None and self._tared_for is not None:
            self._tared_for, self._tare_kg = None, self._zero_kg
        if load is not None and shown.came_to_rest and not shown.overload:
            t_ms, now_ms = self._clock.unix_ms(load.at_s), self._clock.now_ms()
            self._ledger.weighing(self._plan.serial, t_ms, now_ms, shown.gross_kg, self._tare_kg, load.bag)

    def _received(self, data: bytes) -> None:
        *lines, self._buffer = (self._buffer + data.replace(b"\r", b"\n")).split(b"\n")
        self._buffer = self._buffer[-MAX_LINE:]
        for line in lines:
            if line:
                self._lines.put_nowait(line)

    async def _answer_lines(self) -> None:
        while True:
            line = await self._lines.get()
            await self._greet_after_power_on()  # before the first answer, never after it
            command = mt_sics.parse_command(line)
            answer = mt_sics.SYNTAX_ERROR if command is None else await self._do(command)
            self._note_exchange(line.decode("latin-1"), answer.decode("latin-1").strip())
            await self._send(answer)

    async def _send(self, frame: bytes) -> None:
        await self.port.send(self.wire.carry(frame, self._clock.now_s()))

    async def _do(self, command: Command) -> bytes:
        if command.word in ("S", "SI", "SIR", "@"):
            self._repeat = command.word == "SIR"
        match command.word:
            case "S":
                return self._now("S") if await self._rest() else mt_sics.status("S", Said.NOT_NOW)
            case "SI" | "SIR":
                return self._now("S")
            case "Z" | "ZI":
                return await self._zero(command.word)
            case "T":
                return await self._tare_stable()
            case "TI":
                return self._tare_now()
            case "TA":
                return self._tare_value(command.rest)
            case "TAC":
                self._tare_kg = self._zero_kg
                return mt_sics.status("TAC", Said.DONE)
            case "@":
                self._tare_kg = self._zero_kg
                return mt_sics.text("I4", self._plan.serial)
            case "I0":
                return mt_sics.command_list()
            case "I2":
                return mt_sics.text("I2", f"SIM SICS {self._plan.capacity_kg} kg")
            case "I3":
                return mt_sics.text("I3", "1.00")
            case _:
                return mt_sics.text("I4", self._plan.serial)

    def _now(self, word: str) -> bytes:
        if self._shown.overload:
            return mt_sics.status(word, Said.OVER)
        said = Said.STABLE if self._shown.stable else Said.DYNAMIC
        return mt_sics.weight(word, said, self._shown.gross_kg - self._tare_kg)

    async def _rest(self) -> bool:
        """Wait until the platform stands still; False when it does not."""
        for _ in range(math.ceil(STABLE_WAIT_S * self._plan.rate_hz)):
            if self._shown.stable:
                return True
            await self._framed.wait()
        return self._shown.stable

    async def _zero(self, word: str) -> bytes:
        if word == "Z" and not await self._rest():
            return mt_sics.status(word, Said.NOT_NOW)
        if self._shown.load is not None:  # outside the zero-setting range
            return mt_sics.status(word, Said.OVER)
        self._tare_kg = self._zero_kg
        if word == "Z":
            return mt_sics.status(word, Said.DONE)
        return mt_sics.status(word, Said.STABLE if self._shown.stable else Said.DYNAMIC)

    async def _tare_stable(self) -> bytes:
        if not await self._rest():
            return mt_sics.status("T", Said.NOT_NOW)
        if self._shown.overload:
            return mt_sics.status("T", Said.OVER)
        self._tare_kg = self._shown.gross_kg
        return mt_sics.weight("T", Said.STABLE, self._tare_kg)

    def _tare_now(self) -> bytes:
        if self._shown.overload:
            return mt_sics.status("TI", Said.OVER)
        self._tare_kg = self._shown.gross_kg
        return mt_sics.bare_weight("TI", Said.STABLE if self._shown.stable else Said.DYNAMIC, self._tare_kg)

    def _tare_value(self, rest: str) -> bytes:
        if rest:
            preset_kg = mt_sics.preset_of(rest, "kg")
            if preset_kg is None or preset_kg > self._plan.capacity_kg:
                return mt_sics.status("TA", Said.WRONG)
            self._tare_kg = to_interval(preset_kg, self._plan.e_kg)
        return mt_sics.bare_weight("TA", Said.DONE, self._tare_kg)
