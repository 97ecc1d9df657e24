"""Reading a RuuviTag's memory back after a hole: Nordic UART over GATT, one connection at a time.

Subscribe before writing; live packets in between are passed over; 5 s without a notification is a lost link (an idle
and no total time-out). What came is committed batch by batch with how far the hole is read, so that a dropped link or
a SIGKILL costs one batch. Nothing is ever deleted on the device. (devices.md 6)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from bleak import BleakClient
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError

from edge import history
from edge.collect import reading
from edge.config import DeviceSettings
from edge.decoders import ruuvi
from edge.decoders.frames import FrameError, Measurement
from edge.history import Hole
from edge.outbox import Outbox
from telemetry.clock import Clock, stamp
from telemetry.errors import NeighbourDownError
from telemetry.quantities import stream_id
from telemetry.readings import Event, Fact, Reading

log = logging.getLogger(__name__)
EXPECTED = (OSError, BleakError, TimeoutError, FrameError, NeighbourDownError)
IDLE_S = 5.0
CONNECT_S = 15.0
BATCH = 240
_RETRY_S = (1.0, 60.0)


class RuuviHistory:
    """Fills the holes of ``devices``; ``seen`` are the BLE devices the scanner knows now, by address."""

    def __init__(
        self,
        devices: Mapping[str, DeviceSettings],
        clock: Clock,
        outbox: Outbox,
        appended: Callable[[], None],
        seen: Mapping[str, BLEDevice],
    ) -> None:
        self._devices = devices
        self._clock = clock
        self._outbox = outbox
        self._appended = appended
        self._seen = seen
        self._wake = asyncio.Event()
        self._failures: dict[str, int] = {}

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Read hole after hole, for ever."""
        while True:
            self._wake.clear()
            for device in self._devices.values():
                await self._fill(device)
            low_s, high_s = _RETRY_S
            worst = max(self._failures.values(), default=0)
            try:
                async with asyncio.timeout(min(high_s, low_s * 2.0**worst) if worst else None):
                    await self._wake.wait()
            except TimeoutError:
                continue
            if worst:  # a packet was heard: the tag is near, but do not hammer it
                await asyncio.sleep(low_s)

    async def _fill(self, device: DeviceSettings) -> None:
        found = self._seen.get(device.address.upper())
        holes = history.load(self._outbox.hint(history.hint_key(device.serial)))
        if found is None or not holes:
            return
        try:
            await self._read(device, found, holes[0])
        except EXPECTED as error:
            failures = self._failures[device.serial] = self._failures.get(device.serial, 0) + 1
            level = logging.WARNING if failures == 1 else logging.DEBUG
            log.log(level, "%s: its memory cannot be read yet: %s", device.serial, str(error) or type(error).__name__)
        else:
            self._failures.pop(device.serial, None)
            if len(holes) > 1:
                self._wake.set()

    async def _read(self, device: DeviceSettings, found: BLEDevice, hole: Hole) -> None:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        lost = b""  # no notification is empty

        def on_lost(_client: BleakClient) -> None:
            queue.put_nowait(lost)

        async with BleakClient(found, on_lost, timeout=CONNECT_S) as client:
            await client.start_notify(ruuvi.NUS_TX, lambda _, data: queue.put_nowait(bytes(data)))
            interval_ms = (device.interval_s or 300) * 1000
            # The tag dates records by this "now": take it at the last moment.
            request = ruuvi.encode_log_request(self._clock.now_ms(), hole[0] - interval_ms)
            await client.write_gatt_char(ruuvi.NUS_RX, request, response=False)
            filler = _Filler(device, hole, self._clock, self._outbox, self._appended)
            try:
                while True:
                    async with asyncio.timeout(IDLE_S):
                        data = await queue.get()
                    if data == lost:
                        raise OSError("the link was lost")
                    entry = ruuvi.decode_log(data)
                    if isinstance(entry, ruuvi.LogEnd):
                        filler.close()
                        return
                    if entry is not None:
                        filler.add(entry)
            finally:
                filler.flush()


class _Filler:
    """Records of one hole on their way into the outbox."""

    def __init__(
        self, device: DeviceSettings, hole: Hole, clock: Clock, outbox: Outbox, appended: Callable[[], None]
    ) -> None:
        self._device = device
        self._hole = hole
        self._clock = clock
        self._outbox = outbox
        self._appended = appended
        self._interval_ms = (device.interval_s or 300) * 1000
        self._batch: list[ruuvi.Record] = []
        self._last_ms = 0
        self._ordered = True
        self._count = 0

    def add(self, record: ruuvi.Record) -> None:
        self._ordered = self._ordered and record.t_ms >= self._last_ms
        self._last_ms = record.t_ms
        if self._hole[0] < record.t_ms < self._hole[1]:
            self._batch.append(record)
        if len(self._batch) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Commit what came, and how far the hole is read if the records come in order of time."""
        if not self._batch:
            return
        # One interval back: the next read overlaps, and what is known already is recognised.
        reached_ms = self._batch[-1].t_ms - self._interval_ms if self._ordered else self._hole[0]
        self._commit(self._fresh(), reached_ms)

    def close(self) -> None:
        """The tag said that was all: commit the rest, close the hole and say so."""
        fresh = self._fresh()
        now = stamp(self._clock)
        detail: dict[str, str | int | None] = {
            "from_ms": self._hole[0],
            "to_ms": self._hole[1],
            "readings": self._count + len(fresh),
        }
        self._commit([*fresh, Event("history_read", self._device.serial, now.wall_ms, now, detail)], None)

    def _fresh(self) -> list[Fact]:
        now = stamp(self._clock)
        found: list[Fact] = []
        for quantity in {r.measurement.quantity: None for r in self._batch}:
            records = [r for r in self._batch if r.measurement.quantity == quantity]
            stream = stream_id(self._device.serial, quantity)
            margin_ms = self._interval_ms
            known = self._outbox.reading_times(stream, self._hole[0] - margin_ms, self._hole[1] + margin_ms)
            found += [
                reading(self._device.serial, r.measurement, now, r.t_ms)
                for r in ruuvi.unknown_records(records, known, self._interval_ms, self._ending(stream, quantity))
            ]
        return found

    def _ending(self, stream: str, quantity: str) -> ruuvi.Record | None:
        """The live reading that ended the hole."""
        at_ms = self._hole[1]
        for numbered in self._outbox.select(from_ms=at_ms, to_ms=at_ms):
            fact = numbered.fact
            if isinstance(fact, Reading) and fact.stream_id == stream:
                return ruuvi.Record(at_ms, Measurement(quantity, fact.value))
        return None

    def _commit(self, facts: list[Fact], reached_ms: int | None) -> None:
        key = history.hint_key(self._device.serial)
        holes = history.load(self._outbox.hint(key))
        # The hole may have been shortened by an earlier batch: it is known by its end.
        ours = next((h for h in holes if h[1] == self._hole[1]), self._hole)
        self._outbox.append(facts, {key: history.dump(history.read_up_to(holes, ours, reached_ms))})
        self._count += len(facts)
        self._batch = []
        self._appended()
