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
LOOK_FOR_READER_S = 0.01


class PtyPort:
    """``on_bytes`` is called with what the reader's side writes; without it the port is one-way.

    It holds no slave of its own: what is sent while nobody listens is lost, as on a real line, and a reader that set
    the port exclusive and died does not keep the next one out.
    """

    def __init__(self, link: Path, baud: int, on_bytes: Callable[[bytes], None] | None = None) -> None:
        self.link = link
        self._byte_s = 10.0 / baud
        self._on_bytes = on_bytes
        self._master = -1
        self._line = asyncio.Lock()  # one frame at a time: an answer waits for a greeting to end
        self._look: asyncio.TimerHandle | None = None

    @property
    def plugged(self) -> bool:
        """Is the cable in?"""
        return self._master >= 0

    @property
    def listened(self) -> bool:
        """Has somebody the port open?"""
        return self.plugged and not self._poll(0) & select.POLLHUP

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
        self._master = master
        os.close(slave)  # from now on POLLHUP says that nobody listens
        fresh.replace(self.link)
        if self._on_bytes is not None:
            self._look_for_reader()

    def unplug(self) -> None:
        """Pull the cable: the reader's next read fails."""
        if not self.plugged:
            return
        self.link.unlink(missing_ok=True)
        if self._look is not None:
            self._look.cancel()
        asyncio.get_running_loop().remove_reader(self._master)
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
        events = self._poll(select.POLLOUT)
        if events & select.POLLHUP or not events & select.POLLOUT:
            return  # nobody has the port open, or nobody reads
        try:
            os.write(self._master, bytes([byte]))
        except OSError as error:
            if error.errno not in (errno.EIO, errno.EAGAIN):
                raise

    def _poll(self, mask: int) -> int:
        poll = select.poll()
        poll.register(self._master, mask)
        return dict(poll.poll(0)).get(self._master, 0)

    def _look_for_reader(self) -> None:
        """Without a reader the master is at HUP and would wake the loop for ever: look now and then instead."""
        loop = asyncio.get_running_loop()
        if self.listened:
            loop.add_reader(self._master, self._readable)
        else:
            self._look = loop.call_later(LOOK_FOR_READER_S, self._look_for_reader)

    def _readable(self) -> None:
        try:
            data = os.read(self._master, 4096)
        except BlockingIOError:
            return
        except OSError:
            asyncio.get_running_loop().remove_reader(self._master)
            self._look_for_reader()
            return
        if data and self._on_bytes is not None:
            self._on_bytes(data)
