"""A scale that must be asked (MT-SICS): S, then TA, then SI as a check, as one frame for the weighing machine.

Between S and TA a hand may take the bag off or press the tare key; then net and tare would not belong together. So a
weight counts only when SI right after TA still shows the same stable weight.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from edge.config import DeviceSettings
from edge.decoders import mt_sics
from edge.decoders.frames import FrameError, Stability, WeightFrame
from edge.decoders.mt_sics import Answer
from edge.outbox import Outbox
from edge.sources.lines import LineBuffer
from edge.sources.pulse import beating
from edge.sources.serial import Scale
from edge.sources.serial_port import EXPECTED, SerialTransport, transport_of
from edge.stall import Stall
from edge.supervisor import Outage, end
from telemetry.clock import Clock
from telemetry.errors import NeighbourDownError

__all__ = ["EXPECTED", "Conversation", "SicsSource", "weigh"]

log = logging.getLogger(__name__)


class Conversation:
    """One command, one answer; lines said unasked (I4 at power-on) are passed over."""

    def __init__(self, port: SerialTransport, device: DeviceSettings) -> None:
        self._port = port
        self._device = device
        self._lines = LineBuffer()
        self._waiting: list[bytes] = []

    async def ask(self, command: bytes) -> tuple[Answer, bytes]:
        """The answer and its raw line; raises FrameError, OSError, or NeighbourDownError when nothing comes."""
        await self._port.write(command)
        # The answer to SI begins with S (devices.md 3.1).
        wanted = {"S", "SI"} if command.startswith(b"S") else {command.split()[0].decode()}
        try:
            # S waits for rest inside the scale, some seconds by its settings.
            async with asyncio.timeout(self._device.silence_s or None):
                while True:
                    line = await self._line()
                    answer = mt_sics.decode(line)
                    if answer.id in wanted:
                        return answer, line
        except TimeoutError as error:
            raise NeighbourDownError(
                self._device.serial,
                f"no answer for {self._device.silence_s:g} s on {self._device.port}",
                advice="check that the scale is on and speaks MT-SICS with the agent's line settings",
            ) from error

    async def _line(self) -> bytes:
        while not self._waiting:
            self._waiting = self._lines.feed(await self._port.read())
        return self._waiting.pop(0)


async def weigh(talk: Conversation) -> WeightFrame:
    """One cycle; raises as ``Conversation.ask``."""
    weight, raw = await talk.ask(mt_sics.STABLE_WEIGHT)
    frame = mt_sics.weight_frame(weight, raw)
    if frame.stability is not Stability.STABLE:
        return frame
    tare, tare_raw = await talk.ask(mt_sics.TARE)
    check, _ = await talk.ask(mt_sics.WEIGHT_NOW)
    frame = mt_sics.weight_frame(weight, raw + b"\r\n" + tare_raw, tare)
    if check.status is not mt_sics.Status.STABLE or check.mass_kg != weight.mass_kg:
        return WeightFrame(Stability.UNSTABLE, frame.basis, frame.mass_kg, frame.step_kg, frame.raw)
    return frame


class SicsSource:
    """One MT-SICS scale on one port."""

    def __init__(
        self,
        device: DeviceSettings,
        clock: Clock,
        outbox: Outbox,
        appended: Callable[[], None],
        outage: Outage,
        transport: Callable[[DeviceSettings], SerialTransport] = transport_of,
    ) -> None:
        self._device = device
        self._scale = Scale(device, clock, outbox, appended)
        self._outage = outage
        self._transport = transport
        self.refused = 0

    async def run(self) -> None:
        """One life of the port; raises OSError, TimeoutError or NeighbourDownError when it must be opened again."""
        port = self._transport(self._device)
        loop = asyncio.get_running_loop()
        stall = Stall(loop.time())
        pulse = asyncio.create_task(beating(stall), name=f"{self._device.serial}-pulse")
        try:
            await port.open()
            self._scale.opened()
            talk = Conversation(port, self._device)
            while True:
                try:
                    frame = await weigh(talk)
                except FrameError as error:
                    self._refuse(error)
                else:
                    self._outage.ended()
                    self._scale.frame(frame, int(loop.time() * 1000), stall.age_s(loop.time()))
                await asyncio.sleep(self._device.poll_s)
        finally:
            await end(pulse)
            await port.close()

    def _refuse(self, error: FrameError) -> None:
        if not self.refused:
            log.warning("%s: answer refused: %s", self._device.serial, error)
        self.refused += 1
