"""A BTHome logger on the air: samples on virtual time, the newest packet repeated in real time."""

from __future__ import annotations

import asyncio
import random

from firmware_sim import bthome
from firmware_sim.bluez import Advert, FakeBlueZ, Peripheral
from firmware_sim.clock import VirtualClock
from firmware_sim.faults import FaultBook, FaultKind
from firmware_sim.loggers import LoggerSample, Sampler
from firmware_sim.plan import Thermometer
from firmware_sim.produced import Ledger

ADVERT_EVERY_S = (0.15, 0.25)
MIN_DWELL_S = 0.3


class Broadcaster:
    """Repeats the newest advert every 0.15 to 0.25 s of real time, with the signal strength wandering."""

    def __init__(
        self, fake: FakeBlueZ, peripheral: Peripheral, clock: VirtualClock, book: FaultBook, serial: str, seed: int
    ) -> None:
        self._fake = fake
        self._peripheral = peripheral
        self._clock = clock
        self._book = book
        self._serial = serial
        self._chance = random.Random(f"{seed}/{serial}/radio")
        self._rssi_dbm = self._chance.randint(-80, -50)
        self.advert: Advert | None = None

    def fresh(self, advert: Advert) -> None:
        """A new packet: on the air at once."""
        self.advert = advert
        self._send()

    async def run(self) -> None:
        """Repeat for ever."""
        while True:
            await asyncio.sleep(self._chance.uniform(*ADVERT_EVERY_S))
            self._send()

    def _send(self) -> None:
        now_s = self._clock.now_s()
        quiet = (FaultKind.SILENCE, FaultKind.OUT_OF_RANGE)
        if self.advert is None or any(self._book.is_on(kind, self._serial, now_s) for kind in quiet):
            return
        drift = self._chance.randint(-4, 4)
        self._fake.advertise(self._peripheral, self.advert, max(-95, min(-40, self._rssi_dbm + drift)))


class BthomeLogger:
    """One logger of kind ``bthome``. It has no memory: a packet that nobody heard is lost."""

    def __init__(
        self,
        plan: Thermometer,
        sampler: Sampler,
        air: Broadcaster,
        clock: VirtualClock,
        book: FaultBook,
        ledger: Ledger,
    ) -> None:
        self._plan = plan
        self._sampler = sampler
        self._air = air
        self._clock = clock
        self._book = book
        self._ledger = ledger

    async def run(self, end_s: float) -> None:
        """Measure until ``end_s`` (virtual); the last packet stays on the air afterwards."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._air.run(), name=f"adverts {self._plan.serial}")
            index = self._sampler.first_index(self._clock.now_s())
            while index * self._plan.interval_s <= end_s:
                await self._clock.until(index * self._plan.interval_s)
                self._measure(index)
                # After a standstill of the machine there are samples to catch up on: let each be heard.
                await asyncio.sleep(min(MIN_DWELL_S, self._plan.interval_s / self._clock.speed / 2))
                index += 1

    def _measure(self, index: int) -> None:
        sample = self._sampler.sample(index)
        if self._book.is_on(FaultKind.SILENCE, self._plan.serial, sample.at_s):
            return  # switched off
        self._ledger.logger_sample(self._plan.serial, self._clock.unix_ms(sample.at_s), sample)
        self._air.fresh(Advert(service_data={bthome.SERVICE_UUID: _packet(sample)}))


def _packet(sample: LoggerSample) -> bytes:
    return bthome.encode_logger(
        sample.index,
        sample.battery_percent,
        sample.temperature_c,
        sample.mains_power_on,
        sample.door_open,
        sample.temperature_present,
    )
