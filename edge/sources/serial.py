"""A scale that talks by itself on a serial line: frames -> weighing machine -> outbox.

One task and one life per port. Silence: no valid frame for ``silence_s`` ends the life and the port is reopened
(a hung adapter gives no error, devices.md 5); 0 turns that off, for scales that print only on a key.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from edge import weighing as machine
from edge.collect import refusal, weighing
from edge.config import DeviceSettings
from edge.decoders import LINE_DECODERS
from edge.decoders.frames import FrameError, WeightFrame
from edge.outbox import Outbox
from edge.sources.lines import LineBuffer
from edge.sources.pulse import beating
from edge.sources.serial_port import SerialTransport, transport_of
from edge.stall import Stall
from edge.supervisor import Outage, end
from telemetry.clock import Clock, stamp
from telemetry.errors import NeighbourDownError
from telemetry.readings import Fact, Stamp

log = logging.getLogger(__name__)


class Scale:
    """The weighing machine of one scale joined to the outbox. A SIGKILL anywhere neither doubles nor loses a load."""

    def __init__(self, device: DeviceSettings, clock: Clock, outbox: Outbox, appended: Callable[[], None]) -> None:
        self._device = device
        self._clock = clock
        self._outbox = outbox
        self._appended = appended
        self._key = f"scale:{device.serial}"
        self._state = machine.load(outbox.hint(self._key))

    def opened(self) -> None:
        """The port is open (again): nobody heard the scale until now."""
        self._state = machine.after_gap(self._state)

    def frame(self, frame: WeightFrame, mono_ms: int, age_s: float = 0.0) -> None:
        """Take one frame; NeighbourDownError("outbox") means it was not taken and the next frame tries again.

        ``age_s``: how long, in real seconds, it may have waited for us (``edge.stall``).
        """
        device = self._device
        state, outcomes = machine.step(self._state, frame, device.scale_rules, mono_ms)
        if outcomes:
            now = self._stamp(age_s)
            facts: list[Fact] = []
            for outcome in outcomes:
                if isinstance(outcome, machine.Captured):
                    facts.append(weighing(device.serial, outcome, now, device.e_kg))
                elif isinstance(outcome, machine.Refused):
                    facts.append(refusal(device.serial, outcome, now))
            self._outbox.append(facts, {self._key: machine.dump(state)})
            if facts:
                self._appended()
        self._state = state

    def _stamp(self, age_s: float) -> Stamp:
        """Now, and how wrong that may be for something of this age."""
        now = stamp(self._clock)
        if age_s <= 0:
            return now
        age_ms = int(age_s * 1000 / self._clock.real_seconds(1.0)) + 1
        return replace(now, max_error_ms=(now.max_error_ms or 0) + age_ms)


class SerialSource:
    """One scale of ``LINE_DECODERS`` on one port."""

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
        self._decode = LINE_DECODERS[device.driver]
        self._scale = Scale(device, clock, outbox, appended)
        self._outage = outage
        self._transport = transport
        self.refused: Counter[str] = Counter()

    async def run(self) -> None:
        """One life of the port; raises OSError, TimeoutError or NeighbourDownError when it must be opened again."""
        port = self._transport(self._device)
        lines = LineBuffer()
        loop = asyncio.get_running_loop()
        stall = Stall(loop.time())
        pulse = asyncio.create_task(beating(stall), name=f"{self._device.serial}-pulse")
        try:
            await port.open()
            self._scale.opened()
            valid_at = loop.time()
            while True:
                data = await self._read(port, valid_at - loop.time())
                for line in lines.feed(data):
                    if self._line(line, int(loop.time() * 1000), stall.age_s(loop.time())):
                        valid_at = loop.time()
        finally:
            await end(pulse)
            await port.close()

    async def _read(self, port: SerialTransport, since_valid_s: float) -> bytes:
        silence_s = self._device.silence_s
        if not silence_s:
            return await port.read()
        left_s = silence_s + since_valid_s
        try:
            if left_s <= 0:
                raise TimeoutError
            async with asyncio.timeout(left_s):
                return await port.read()
        except TimeoutError as error:
            raise NeighbourDownError(
                self._device.serial,
                f"no valid frame for {silence_s:g} s on {self._device.port}",
                advice="check that the scale is on and that its line settings are the agent's",
            ) from error

    def _line(self, line: bytes, mono_ms: int, age_s: float) -> bool:
        try:
            frame = self._decode(line)
        except FrameError as error:
            if not self.refused[error.reason]:
                log.warning("%s: line refused: %s", self._device.serial, error)
            self.refused[error.reason] += 1
            return False
        self._outage.ended()
        self._scale.frame(frame, mono_ms, age_s)
        return True
