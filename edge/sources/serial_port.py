"""Bytes of a serial line: serialx, or pyserial in a thread as fallback (``library`` setting). Both open paths and
``socket://host:port``. Every failure is an OSError (pyserial's SerialException is one) or a TimeoutError.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from edge.config import DeviceSettings

EXPECTED = (OSError, TimeoutError)
_CHUNK = 512
# pyserial's read blocks its thread for so long; close() must wait for it (devices.md 5: the thread stays blocked).
_PYSERIAL_READ_S = 0.2


class SerialTransport(Protocol):
    """Open, read some bytes (b"" never: a closed line raises OSError), write, discard what waits, close."""

    async def open(self) -> None: ...

    async def read(self) -> bytes: ...

    async def write(self, data: bytes) -> None: ...

    async def close(self) -> None: ...


def transport_of(device: DeviceSettings) -> SerialTransport:
    """The transport that the device's settings name; not opened yet."""
    return PyserialTransport(device) if device.library == "pyserial" else SerialxTransport(device)


class SerialxTransport:
    """serialx streams: about 16 us of CPU an exchange, no thread, unplug is an OSError at once (devices.md 5)."""

    def __init__(self, device: DeviceSettings) -> None:
        self._device = device
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> None:
        import serialx

        device = self._device
        line = {
            "baudrate": device.baudrate,
            "byte_size": device.bytesize,
            "parity": device.parity,
            "stopbits": device.stopbits,
            "exclusive": True,
        }
        if "://" in device.port:  # a socket has no line; serialx asks for a baud rate all the same
            line = {"baudrate": device.baudrate}
        self._reader, self._writer = await serialx.open_serial_connection(url=device.port, **line)

    async def read(self) -> bytes:
        if self._reader is None:
            raise OSError("the port is not open")
        data = await self._reader.read(_CHUNK)
        if not data:
            raise OSError(f"{self._device.port} was closed or unplugged")
        return data

    async def write(self, data: bytes) -> None:
        if self._writer is None:
            raise OSError("the port is not open")
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        writer, self._writer, self._reader = self._writer, None, None
        if writer is None:
            return
        try:
            writer.close()
            await asyncio.wait_for(writer.wait_closed(), 2)
        except EXPECTED:
            pass  # an unplugged port says so again when it is closed


class PyserialTransport:
    """pyserial 3.5 in a thread: the fallback where serialx does not serve."""

    def __init__(self, device: DeviceSettings) -> None:
        import serial

        self._device = device
        self._port = serial.serial_for_url(device.port, do_not_open=True)  # type: ignore[no-untyped-call]
        self._port.timeout = _PYSERIAL_READ_S
        self._port.baudrate = device.baudrate
        self._port.bytesize = device.bytesize
        self._port.parity = device.parity
        self._port.stopbits = device.stopbits
        self._reading: asyncio.Future[bytes] | None = None

    async def open(self) -> None:
        if "://" not in self._device.port:
            self._port.exclusive = True
        await asyncio.to_thread(self._port.open)

    async def read(self) -> bytes:
        while True:
            # The read goes on in its thread when this task is cancelled: shield it and take it up again.
            if self._reading is None:
                self._reading = asyncio.ensure_future(asyncio.to_thread(self._read_some))
            data = await asyncio.shield(self._reading)
            self._reading = None
            if data:
                return data

    def _read_some(self) -> bytes:
        first: bytes = self._port.read(1)
        waiting = self._port.in_waiting if first else 0
        return first + (self._port.read(min(waiting, _CHUNK)) if waiting else b"")

    async def write(self, data: bytes) -> None:
        await asyncio.to_thread(self._port.write, data)

    async def close(self) -> None:
        if self._reading is not None:
            await asyncio.gather(self._reading, return_exceptions=True)
            self._reading = None
        await asyncio.to_thread(self._port.close)
