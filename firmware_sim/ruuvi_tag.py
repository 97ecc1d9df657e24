"""A RuuviTag (the temperature-only Pro 2in1): adverts, and a ring memory that is read back over the Nordic
UART."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from firmware_sim import ruuvi
from firmware_sim.ble_logger import MIN_DWELL_S, Broadcaster
from firmware_sim.bluez import Advert, CharacteristicSpec, LinkLostError, Notify, ServiceSpec
from firmware_sim.clock import VirtualClock
from firmware_sim.faults import FaultBook, FaultKind
from firmware_sim.loggers import LoggerSample, Sampler
from firmware_sim.plan import Thermometer
from firmware_sim.produced import Ledger

HEARTBEAT_S = 1.285  # Ruuvi's own interval; real time
HEARTBEAT_EVERY_RECORDS = 100
SEQUENCES = 65_535  # 65535 itself means "no sequence"

_DEVICE_INFORMATION = {
    "00002a29-0000-1000-8000-00805f9b34fb": "Ruuvi Innovations Ltd",
    "00002a24-0000-1000-8000-00805f9b34fb": "RuuviTag Pro 2in1 (simulated)",
    "00002a26-0000-1000-8000-00805f9b34fb": "3.31.1",
}


@dataclass(frozen=True, slots=True)
class Record:
    """A line of the memory: the tag's own seconds since it was started, and 0.01 C."""

    tick_s: float
    centi_c: int


def tick_of(at_s: float, drift_ppm: float) -> float:
    """The tag's own count of seconds at a virtual second."""
    return at_s * (1 + drift_ppm / 1e6)


def log_records(request: ruuvi.LogRequest, memory: Sequence[Record], tick_s: float) -> list[bytes]:
    """The records from the asked time on, oldest first, dated with the reader's now and each record's age.
    Pure."""
    if request.destination not in (ruuvi.TEMPERATURE, ruuvi.ENVIRONMENT):
        return []
    answers = []
    for record in memory:
        when_s = request.now_s - (int(tick_s) - int(record.tick_s))
        if request.start_s <= when_s <= request.now_s:
            answers.append(ruuvi.encode_record(request.source, ruuvi.TEMPERATURE, when_s, record.centi_c))
    return answers


class RuuviTag:
    """One device of kind ``ruuvi``. Each sample is broadcast and goes into the memory, also while nobody hears
    it."""

    services: Sequence[ServiceSpec] = (
        ServiceSpec(
            "0000180a-0000-1000-8000-00805f9b34fb",
            tuple(CharacteristicSpec(uuid, ("read",)) for uuid in _DEVICE_INFORMATION),
        ),
        ServiceSpec(
            ruuvi.NUS_SERVICE,
            (
                CharacteristicSpec(ruuvi.NUS_RX, ("write", "write-without-response")),
                CharacteristicSpec(ruuvi.NUS_TX, ("notify",)),
            ),
        ),
    )

    def __init__(
        self,
        plan: Thermometer,
        sampler: Sampler,
        clock: VirtualClock,
        book: FaultBook,
        ledger: Ledger,
        seed: int,
        note: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._sampler = sampler
        self._clock = clock
        self._book = book
        self._ledger = ledger
        self._note = note
        self._memory: deque[Record] = deque(maxlen=plan.memory_records)
        self._df5 = b""
        chance = random.Random(f"{seed}/{plan.serial}/body")
        self._acceleration = (chance.randint(-30, 30), chance.randint(-30, 30), 1000 + chance.randint(-30, 30))
        self._heartbeats: asyncio.Task[None] | None = None

    @property
    def stored(self) -> int:
        """Records in the memory."""
        return len(self._memory)

    async def run(self, end_s: float, air: Broadcaster) -> None:
        """Measure until ``end_s`` (virtual); the last packet stays on the air, the memory readable."""
        async with asyncio.TaskGroup() as group:
            group.create_task(air.run(), name=f"adverts {self._plan.serial}")
            index = self._sampler.first_index(self._clock.now_s())
            while index * self._plan.interval_s <= end_s:
                await self._clock.until(index * self._plan.interval_s)
                self._measure(self._sampler.sample(index), air)
                await asyncio.sleep(min(MIN_DWELL_S, self._plan.interval_s / self._clock.speed / 2))
                index += 1

    def refuses(self) -> str | None:
        """A tag that nobody hears cannot be connected to either."""
        now_s = self._clock.now_s()
        for kind in (FaultKind.REFUSE_CONNECT, FaultKind.SILENCE, FaultKind.OUT_OF_RANGE):
            if self._book.is_on(kind, self._plan.serial, now_s):
                return "Software caused connection abort"
        return None

    def read(self, uuid: str) -> bytes:
        """Device information."""
        return _DEVICE_INFORMATION[uuid].encode()

    def subscribed(self, _uuid: str, notify: Notify) -> None:
        """Someone listens to the UART: the tag sends its live packet now and then."""
        if self._heartbeats is not None:
            self._heartbeats.cancel()
        self._heartbeats = asyncio.create_task(self._beat(notify), name=f"heartbeats {self._plan.serial}")

    async def wrote(self, _uuid: str, data: bytes, notify: Notify) -> None:
        """A log read: the records, with a live packet in between, and the end mark."""
        request = ruuvi.parse_request(data)
        if request is None or request.destination in (ruuvi.HUMIDITY, ruuvi.PRESSURE):
            self._note(f"log read refused: {data.hex(' ')}")
            await notify(ruuvi.NUS_TX, ruuvi.encode_error())
            return
        tick_s = tick_of(self._clock.now_s(), self._plan.clock_drift_ppm)
        records = log_records(request, tuple(self._memory), tick_s)
        self._note(f"log read: now {request.now_s} start {request.start_s} records {len(records)}")
        for i, record in enumerate(records):
            if i % HEARTBEAT_EVERY_RECORDS == 0:
                await self._one_heartbeat(notify)
            await notify(ruuvi.NUS_TX, record)
        await notify(ruuvi.NUS_TX, ruuvi.encode_end(request.source, request.destination))
        self._note(f"log sent: records {len(records)}")

    async def _beat(self, notify: Notify) -> None:
        try:
            while True:
                await asyncio.sleep(HEARTBEAT_S)
                await self._one_heartbeat(notify)
        except LinkLostError:
            pass

    async def _one_heartbeat(self, notify: Notify) -> None:
        if self._df5:
            await notify(ruuvi.NUS_TX, ruuvi.heartbeat(self._df5))

    def _measure(self, sample: LoggerSample, air: Broadcaster) -> None:
        serial, t_ms = self._plan.serial, self._clock.unix_ms(sample.at_s)
        value = None if sample.temperature_c is None else str(sample.temperature_c)
        self._ledger.reading(serial, "temperature_c", t_ms, value, sample.index)
        if self._plan.battery_mv is not None:
            volts = str((Decimal(self._plan.battery_mv) / 1000).quantize(Decimal("0.001")))
            self._ledger.reading(serial, "voltage_v", t_ms, volts, sample.index)
        if sample.temperature_c is not None:  # what could not be measured is not logged
            tick_s = tick_of(sample.at_s, self._plan.clock_drift_ppm)
            self._memory.append(Record(tick_s, int(sample.temperature_c * 100)))
        self._df5 = ruuvi.encode_df5(
            ruuvi.Environment(
                temperature_c=sample.temperature_c,
                acceleration_mg=self._acceleration,
                battery_mv=self._plan.battery_mv,
                tx_power_dbm=4,
                movement=0,
                sequence=sample.index % SEQUENCES,
                address=self._plan.address,
            )
        )
        air.fresh(Advert(manufacturer_data={ruuvi.COMPANY_ID: self._df5}))
