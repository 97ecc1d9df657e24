"""An XY-MD02 probe on a pseudo-terminal: it measures when it is asked, and says nothing otherwise.

A probe has no memory and no sequence number. A poll is a new measurement when a third of an interval has passed
since the last one; a poll before that (a repeat after a damaged answer, a reader that restarted) gives the same value
and is not measured again. The value belongs to the nearest multiple of ``interval_s``, so that it does not depend
on the very moment of the poll.
"""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal
from pathlib import Path

from firmware_sim import modbus_rtu
from firmware_sim.clock import VirtualClock
from firmware_sim.loggers import LoggerSample, Sampler
from firmware_sim.plan import Thermometer
from firmware_sim.produced import Ledger
from firmware_sim.pty_port import PtyPort
from firmware_sim.wire import Wire

TEMPERATURE_REGISTER, HUMIDITY_REGISTER = 1, 2
BAUD_CODES = {9600: 0, 14400: 1, 19200: 2}
TURNAROUND_BYTES = 3.5


class ModbusProbe:
    """One device of kind ``modbus``."""

    def __init__(
        self,
        plan: Thermometer,
        sampler: Sampler,
        wire: Wire,
        clock: VirtualClock,
        ledger: Ledger,
        link: Path,
        seed: int,
    ) -> None:
        self.port = PtyPort(link, plan.baud, self._received)
        self.wire = wire
        self._plan = plan
        self._sampler = sampler
        self._clock = clock
        self._ledger = ledger
        self._seed = seed
        self._reader = modbus_rtu.RequestReader()
        self._requests: asyncio.Queue[modbus_rtu.Request] = asyncio.Queue()
        self._measured: LoggerSample | None = None
        self._measured_s = 0.0
        self._noted: set[str] = set()
        self._count = 0

    async def run(self) -> None:
        """Answer requests, for ever."""
        while True:
            request = await self._requests.get()
            if request.unit_id == self._plan.unit_id:
                await self._answer(request)

    def _received(self, data: bytes) -> None:
        for request in self._reader.feed(data):
            self._requests.put_nowait(request)

    async def _answer(self, request: modbus_rtu.Request) -> None:
        now_s = self._clock.now_s()
        sample = self._measure(now_s)
        if sample.temperature_c is None and request.function == modbus_rtu.READ_INPUT:
            frame = modbus_rtu.encode_refusal(request.unit_id, request.function, modbus_rtu.Refusal.DEVICE)
        else:
            frame = modbus_rtu.answer(request, self._tables(sample))
        chunks = self.wire.carry(frame, now_s)
        if b"".join(chunks) == frame and request.function == modbus_rtu.READ_INPUT:
            self._note(request, sample, now_s)
        await asyncio.sleep(TURNAROUND_BYTES * 10 / self._plan.baud)
        await self.port.send(chunks)

    def _measure(self, now_s: float) -> LoggerSample:
        if self._measured is None or now_s - self._measured_s >= self._plan.interval_s / 3 or not self._noted:
            index = max(0, round(now_s / self._plan.interval_s))
            self._measured, self._measured_s = self._sampler.sample(index), now_s
            self._noted.clear()
        return self._measured

    def _tables(self, sample: LoggerSample) -> dict[int, dict[int, int]]:
        counts = 0 if sample.temperature_c is None else int(sample.temperature_c * 10)
        return {
            modbus_rtu.READ_INPUT: {
                TEMPERATURE_REGISTER: counts,
                HUMIDITY_REGISTER: int(self._humidity(sample) * 10),
            },
            modbus_rtu.READ_HOLDING: {
                0x0101: self._plan.unit_id,
                0x0102: BAUD_CODES.get(self._plan.baud, 0),
                0x0103: 0,
                0x0104: 0,
            },
        }

    def _humidity(self, sample: LoggerSample) -> Decimal:
        chance = random.Random(f"{self._seed}/{self._plan.serial}/humidity/{sample.index}")
        return Decimal(round(chance.gauss(450, 12))) / 10

    def _note(self, request: modbus_rtu.Request, sample: LoggerSample, now_s: float) -> None:
        """What goes on the air for the first time goes into the ledger before."""
        temperature = None if sample.temperature_c is None else str(sample.temperature_c)
        asked = range(request.first, request.first + request.count)
        said = {}
        if TEMPERATURE_REGISTER in asked:
            said["temperature_c"] = temperature
        if HUMIDITY_REGISTER in asked and temperature is not None:
            said["humidity_percent"] = str(self._humidity(sample))
        if not self._noted and said:
            self._count += 1
        for quantity, value in said.items():
            if quantity not in self._noted:
                self._noted.add(quantity)
                t_ms = self._clock.unix_ms(now_s)
                self._ledger.reading(self._plan.serial, quantity, t_ms, value, self._count)
