"""BLE adverts through bleak: one scanner for all devices, rebuilt by a watchdog.

A restart of bluetoothd leaves a scanner silent for ever without an exception (devices.md 1.3, finding 1); so when no
advert comes from anyone for ``watchdog_s`` this life ends and the supervisor starts a new scanner. BlueZ merges
adverts and repeats them: ``edge.collect.take`` decides what is new.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence

from bleak import BleakScanner
from bleak.args.bluez import BlueZScannerArgs
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakError

from edge import history
from edge.collect import Heard, dump_heard, load_heard, readings_of, take
from edge.config import BleSettings, DeviceSettings
from edge.decoders import ADVERT_DECODERS
from edge.decoders.frames import Advert, FrameError
from edge.history import hole_between
from edge.outbox import Outbox
from edge.sources.pulse import beating
from edge.stall import Stall
from edge.supervisor import Outage, end
from telemetry.clock import Clock, stamp
from telemetry.errors import NeighbourDownError
from telemetry.readings import Fact, Stamp

log = logging.getLogger(__name__)
EXPECTED = (OSError, BleakError, TimeoutError)
_QUEUE = 4096


class BleSource:
    """Adverts of ``devices`` into the outbox: a packet's readings and the hint that it was heard in one commit."""

    def __init__(
        self,
        devices: Sequence[DeviceSettings],
        settings: BleSettings,
        clock: Clock,
        outbox: Outbox,
        appended: Callable[[], None],
        outage: Outage,
    ) -> None:
        self._devices = {d.address.upper(): d for d in devices}
        self._settings = settings
        self._clock = clock
        self._outbox = outbox
        self._appended = appended
        self._outage = outage
        self._heard: dict[str, Heard] = {}
        self.refused: Counter[str] = Counter()
        self.seen: dict[str, BLEDevice] = {}
        self.taken: Callable[[], None] = lambda: None

    async def run(self) -> None:
        """One scanner's life; raises one of EXPECTED or NeighbourDownError when a new one is needed."""
        queue: asyncio.Queue[tuple[BLEDevice, Advert, Stamp]] = asyncio.Queue(_QUEUE)
        heard_anyone = asyncio.Event()
        loop = asyncio.get_running_loop()
        stall = Stall(loop.time())

        def on_advert(device: BLEDevice, data: AdvertisementData) -> None:
            heard_anyone.set()
            if stall.stale(loop.time()):
                return  # of unknown age; what is still on the air will be heard again
            if device.address.upper() in self._devices and not queue.full():  # full: it will be heard again
                advert = Advert(device.address.upper(), data.rssi, data.service_data, data.manufacturer_data)
                queue.put_nowait((device, advert, stamp(self._clock)))

        bluez = BlueZScannerArgs(filters={"DuplicateData": True})
        if self._settings.adapter:
            bluez["adapter"] = self._settings.adapter
        scanner = BleakScanner(on_advert, bluez=bluez)
        await scanner.start()
        consumer = asyncio.create_task(self._consume(queue), name="ble-consumer")
        pulse = asyncio.create_task(beating(stall), name="ble-pulse")
        try:
            await self._watch(heard_anyone, consumer)
        finally:
            await end(consumer, pulse)
            try:
                await scanner.stop()
            except EXPECTED as error:  # after a restart of bluetoothd: "No discovery started"
                log.debug("stopping the scanner: %s", error)

    async def _watch(self, heard_anyone: asyncio.Event, consumer: asyncio.Task[None]) -> None:
        while True:
            heard = asyncio.create_task(heard_anyone.wait())
            done, _ = await asyncio.wait(
                {heard, consumer}, timeout=self._settings.watchdog_s, return_when=asyncio.FIRST_COMPLETED
            )
            if consumer in done:
                heard.cancel()
                consumer.result()
            if heard not in done:
                heard.cancel()
                raise NeighbourDownError(
                    "bluetooth",
                    f"no advert from any device for {self._settings.watchdog_s:g} s",
                    advice="check that a logger is near and has a good battery; the scanner is started again",
                )
            self._outage.ended()
            heard_anyone.clear()
            # Look again after half the watchdog's time: cheap, and silence is still noticed in time.
            await asyncio.wait({consumer}, timeout=self._settings.watchdog_s / 2)

    async def _consume(self, queue: asyncio.Queue[tuple[BLEDevice, Advert, Stamp]]) -> None:
        while True:
            waiting = [await queue.get()]
            while not queue.empty():
                waiting.append(queue.get_nowait())
            for device, advert, _ in waiting:
                self.seen[advert.address] = device
            self.take_all([(advert, at) for _, advert, at in waiting])

    def take_all(self, adverts: Sequence[tuple[Advert, Stamp]]) -> None:
        """Decode, leave repeats, append what is new in one commit. NeighbourDownError: nothing was taken."""
        facts: list[Fact] = []
        heard: dict[str, Heard] = {}
        hints: dict[str, str] = {}
        for advert, at in adverts:
            device = self._devices[advert.address]
            driver = ADVERT_DECODERS[device.driver]
            try:
                decoded = driver.decode(advert)
            except FrameError as error:
                self._refuse(device, error)
                continue
            known = heard.get(device.serial) or self._known(device.serial)
            now_heard = take(known, decoded, at, device.interval_s, driver.sampled)
            if now_heard is None or not decoded.measurements:
                continue
            heard[device.serial] = now_heard
            if driver.history and device.history:
                hole = hole_between(known.t_ms, now_heard.t_ms, device.interval_s)
                if hole is not None:
                    key = history.hint_key(device.serial)
                    held = hints.get(key, self._outbox.hint(key))
                    hints[key] = history.dump((*history.load(held), hole))
            facts += readings_of(device.serial, decoded.measurements, at, advert.rssi_dbm)
        if not facts:
            return
        self._outbox.append(facts, hints | {_hint_key(serial): dump_heard(h) for serial, h in heard.items()})
        self._heard |= heard
        self._appended()
        self.taken()

    def _known(self, serial: str) -> Heard:
        if serial not in self._heard:
            self._heard[serial] = load_heard(self._outbox.hint(_hint_key(serial)))
        return self._heard[serial]

    def _refuse(self, device: DeviceSettings, error: FrameError) -> None:
        key = f"{device.serial}:{error.reason}"
        if not self.refused[key]:
            log.warning("%s: adverts refused: %s", device.serial, error)
        self.refused[key] += 1


def _hint_key(serial: str) -> str:
    return f"heard:{serial}"
