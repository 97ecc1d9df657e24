"""A private message bus: one ``dbus-daemon`` child that dies with us."""

from __future__ import annotations

import asyncio
import ctypes
import signal
from pathlib import Path
from types import TracebackType
from typing import Self

_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:tmpdir=/tmp</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
  </policy>
</busconfig>
"""

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)  # loaded here: nothing may be imported between fork and exec


class BusMissingError(RuntimeError):
    """``dbus-daemon`` could not be started; install Debian's ``dbus-daemon`` (375 kB)."""


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class PrivateBus:
    """``async with PrivateBus(folder) as bus``: ``bus.address`` is what ``DBUS_SYSTEM_BUS_ADDRESS`` must hold."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self.address = ""

    async def __aenter__(self) -> Self:
        config = self._folder / "dbus.conf"
        config.write_text(_CONFIG, encoding="utf-8")
        try:
            self._process = await asyncio.create_subprocess_exec(
                "dbus-daemon",
                f"--config-file={config}",
                "--nofork",
                "--print-address=1",
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,  # "Failed to set fd limit" is harmless
                preexec_fn=_die_with_parent,
            )
        except FileNotFoundError:
            raise BusMissingError("dbus-daemon is not installed: apt-get install dbus-daemon") from None
        if self._process.stdout is not None:
            line = await asyncio.wait_for(self._process.stdout.readline(), 10)
            self.address = line.decode().strip()
        if not self.address:
            raise BusMissingError(f"dbus-daemon refused {config} (exit code {await self._process.wait()})")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()
