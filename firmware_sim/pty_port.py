"""A serial port that is not there: a pseudo-terminal behind a stable link, its bytes paced by the line's speed.

A pty takes any baud rate and has no modem lines, so the speed is kept here: ten bit times a byte. Unplugging
closes the master (the reader gets EIO at once) and takes the link away; plugging in makes a new node and swaps
the link in one step.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import tty
from collections.abc import Callable, Sequence
from pathlib import Path

CHUNK_PAUSE_S = 0.03


class PtyPort:
    """``on_bytes`` is called with what the reader's side writes; without it the port is one-way.

    A one-way port holds no slave of its own, so that what is sent while nobody listens is lost, as on a real line.
    """

    def __init__(self, link: Path, baud: int, on_bytes: Callable[[bytes], None] | None = None) -> None:
        self.link = link
        self._byte_s = 10.0 / baud
        self._on_bytes = on_bytes
        self._master = -1
        self._slave = -1
        self._line = asyncio.Lock()  # one frame at a time: an answer waits for a greeting to end

    @property
    def plugged(self) -> bool:
        """Is the cable in?"""
        return self._master >= 0

    def plug(self) -> None:
        """Make the node and point the link at it."""
        if self.plugged:
            return
        master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        fresh = self.link.with_name(self.link.name + ".new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.ttyname(slave))
        fresh.replace(self.link)
        self._master = master
        if self._on_bytes is not None:
            self._slave = slave
            asyncio.get_running_loop().add_reader(master, self._readable)
        else:
            os.close(slave)  # from now on POLLHUP says that nobody listens

    def unplug(self) -> None:
        """Pull the cable: the reader's next read fails."""
        if not self.plugged:
            return
        self.link.unlink(missing_ok=True)
        if self._on_bytes is not None:
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._slave)
            self._slave = -1
        os.close(self._master)
        self._master = -1

    async def send(self, chunks: Sequence[bytes]) -> None:
        """Put these bytes on the line at its speed, with a pause between chunks. What nobody takes is lost."""
        async with self._line:
            await self._paced(chunks)

    async def _paced(self, chunks: Sequence[bytes]) -> None:
        loop = asyncio.get_running_loop()
        for i, chunk in enumerate(chunks):
            if i:
                await asyncio.sleep(CHUNK_PAUSE_S)
            due = loop.time()
            for byte in chunk:
                if not self.plugged:
                    return
                self._put(byte)
                due += self._byte_s
                if (wait_s := due - loop.time()) > 0:
                    await asyncio.sleep(wait_s)

    def _put(self, byte: int) -> None:
        poll = select.poll()
        poll.register(self._master, select.POLLOUT)
        events = poll.poll(0)
        if not events or events[0][1] & select.POLLHUP:
            return  # nobody has the port open, or nobody reads
        try:
            os.write(self._master, bytes([byte]))
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno != errno.EIO:
                raise

    def _readable(self) -> None:
        try:
            data = os.read(self._master, 4096)
        except OSError:
            return
        if data and self._on_bytes is not None:
            self._on_bytes(data)
