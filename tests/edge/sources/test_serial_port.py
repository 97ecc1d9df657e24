"""A serial line behind a device server, as ``socket://host:port``: both libraries open it, read, write and see it end."""

from __future__ import annotations

import asyncio

import pytest

from edge.config import DeviceSettings
from edge.sources.serial_port import transport_of

LINE = b"ST,GS,+0003.250kg\r\n"


@pytest.mark.parametrize("library", ["serialx", "pyserial"])
def test_a_device_server_is_read_and_written_and_its_end_is_an_outage(library: str) -> None:
    async def talk() -> None:
        heard: list[bytes] = []
        all_heard = asyncio.Event()

        async def device(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await reader.readexactly(1))
            writer.write(LINE)
            await writer.drain()
            await all_heard.wait()
            writer.close()

        server = await asyncio.start_server(device, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        transport = transport_of(
            DeviceSettings("SC-1", "scale_ascii", port=f"socket://127.0.0.1:{port}", library=library)
        )
        await transport.open()
        await transport.write(b"P")
        said = b""
        while len(said) < len(LINE):
            said += await transport.read()
        all_heard.set()
        with pytest.raises(OSError):
            await transport.read()
        await transport.close()
        server.close()
        assert (heard, said) == ([b"P"], LINE)

    asyncio.run(asyncio.wait_for(talk(), 60))
