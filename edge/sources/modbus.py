"""A Modbus RTU probe, asked once an interval of the clock; pymodbus over a serial port or ``socket://host:port``.

Polls stand at the multiples of ``interval_s`` and a late one at most half an interval after; which slot was read is a
hint in the commit of its readings, so that a restart does not read a slot twice. A refusal by the probe is a fact (no
value); silence is an outage and no fact.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from urllib.parse import urlsplit

import serial  # noqa: F401  (pymodbus looks for it in sys.modules)
from pymodbus import FramerType, ModbusException
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient

from edge.collect import readings_of
from edge.config import DeviceSettings
from edge.decoders import modbus_probe
from edge.decoders.frames import FrameError, Measurement
from edge.outbox import Outbox
from edge.sources.pulse import beating
from edge.stall import DRAIN_S, Stall
from edge.supervisor import Outage, end
from telemetry.clock import Clock, stamp
from telemetry.errors import NeighbourDownError

log = logging.getLogger(__name__)
EXPECTED = (OSError, TimeoutError, ModbusException)
DEFAULT_INTERVAL_S = 60
_ANSWER_S = 1.0
_RETRIES = 2


def ms_until_poll(now_ms: int, interval_ms: int, polled_slot: int) -> int:
    """Milliseconds until the next poll is due; 0: now.

    A slot whose first half has gone by unread stays unread: its poll would lie closer to the next slot's than half
    an interval, and the probe's one measurement would stand in the record as two.
    """
    slot, phase_ms = divmod(now_ms, interval_ms)
    if slot != polled_slot and 2 * phase_ms < interval_ms:
        return 0
    return interval_ms - phase_ms


class ModbusSource:
    """One probe on one port."""

    def __init__(
        self, device: DeviceSettings, clock: Clock, outbox: Outbox, appended: Callable[[], None], outage: Outage
    ) -> None:
        self._device = device
        self._interval_ms = (device.interval_s or DEFAULT_INTERVAL_S) * 1000
        self._clock = clock
        self._outbox = outbox
        self._appended = appended
        self._outage = outage
        self._key = f"polled:{device.serial}"
        self._polled = int(outbox.hint(self._key) or -1)

    async def run(self) -> None:
        """One life of the port; raises one of EXPECTED or NeighbourDownError when it must be opened again."""
        client = _client(self._device)
        loop = asyncio.get_running_loop()
        stall = Stall(loop.time())
        pulse = asyncio.create_task(beating(stall), name=f"{self._device.serial}-pulse")
        try:
            if not await client.connect():
                raise NeighbourDownError(
                    self._device.serial, f"cannot open {self._device.port}", advice="check the adapter and its cable"
                )
            while True:
                await self._wait_for_slot()
                slot = self._clock.now_ms() // self._interval_ms
                measurements = await self._ask(client)
                if stall.stale(loop.time()):
                    await asyncio.sleep(DRAIN_S)  # the answer may have waited for us: ask again
                    continue
                now = stamp(self._clock)
                self._outbox.append(readings_of(self._device.serial, measurements, now), {self._key: str(slot)})
                self._polled = slot
                self._appended()
                self._outage.ended()
        finally:
            client.close()
            await end(pulse)

    async def _wait_for_slot(self) -> None:
        while left_ms := ms_until_poll(self._clock.now_ms(), self._interval_ms, self._polled):
            # At most a minute of real time at once: the clock may be stepped meanwhile.
            left_s = self._clock.real_seconds(left_ms / 1000)
            await asyncio.sleep(min(60.0, max(0.001, left_s)))

    async def _ask(self, client: AsyncModbusSerialClient | AsyncModbusTcpClient) -> tuple[Measurement, ...]:
        profile = modbus_probe.XY_MD02
        answer = await client.read_input_registers(profile.first, count=profile.count, device_id=self._device.unit_id)
        if answer.isError():
            log.debug("%s refused: %s", self._device.serial, answer)
            return modbus_probe.refused(profile)
        try:
            return modbus_probe.decode(answer.registers, profile)
        except FrameError as error:
            raise NeighbourDownError(self._device.serial, str(error)) from error


def _client(device: DeviceSettings) -> AsyncModbusSerialClient | AsyncModbusTcpClient:
    if "://" in device.port:
        url = urlsplit(device.port)
        return AsyncModbusTcpClient(
            url.hostname or "",
            port=url.port or 502,
            framer=FramerType.RTU,
            timeout=_ANSWER_S,
            retries=_RETRIES,
            reconnect_delay=0,
        )
    return AsyncModbusSerialClient(
        device.port,
        baudrate=device.baudrate,
        bytesize=device.bytesize,
        parity=device.parity,
        stopbits=int(device.stopbits),
        timeout=_ANSWER_S,
        retries=_RETRIES,
        reconnect_delay=0,
    )
