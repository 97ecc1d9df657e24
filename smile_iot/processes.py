"""Programs as children: started by name, logged to files, restarted when they die, and taken along when we go."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from telemetry.errors import NeighbourDownError

_PR_SET_PDEATHSIG = 1
SET_UP_WRONGLY = 2


def _die_with_parent() -> None:
    """In the child: ask the kernel for SIGTERM when the parent dies, so that a killed parent leaves no orphan."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def free_port() -> int:
    """A port of the loopback address that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(slots=True)
class Program:
    """One child process. ``start`` may be called again after ``kill``: same command, same log."""

    name: str
    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    _log_begin: int = 0

    @property
    def log_path(self) -> Path:
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._log_begin = log.tell()
            self.process = subprocess.Popen(
                list(self.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                preexec_fn=_die_with_parent,
            )
        self.starts += 1

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def how_it_ended(self) -> str:
        """In words: its exit code or the signal that ended it, and where its log is."""
        code = None if self.process is None else self.process.poll()
        if code is None:
            return "runs"
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return f"ended {how}; log: {self.log_path}"

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self.process is not None and self.alive:
            self.process.kill()
            self.process.wait()

    def stop(self, patience_s: float = 8.0) -> None:
        """SIGTERM, then SIGKILL after ``patience_s``."""
        if self.process is None or not self.alive:
            return
        self.process.terminate()
        try:
            self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def said(self) -> str:
        """What the log got since the last start."""
        with self.log_path.open("rb") as log:
            log.seek(self._log_begin)
            return log.read().decode(errors="replace")

    def tail(self, lines: int = 15) -> str:
        """The end of its log, for an error message."""
        if not self.log_path.exists():
            return "(no log)"
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def wait_ready(self, patience_s: float = 90.0) -> dict[str, Any]:
        """The JSON line with ``"ready": true`` that the program prints; raises NeighbourDownError with its log."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            for line in self.said().splitlines():
                if line.startswith("{") and '"ready"' in line:
                    ready: dict[str, Any] = json.loads(line)
                    return ready
            if not self.alive:
                break
            time.sleep(0.05)
        raise NeighbourDownError(self.name, f"did not get ready:\n{self.tail()}")


def wait_port(port: int, name: str, patience_s: float = 90.0) -> None:
    """Until something listens on the loopback port; raises NeighbourDownError."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            probe.settimeout(0.5)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise NeighbourDownError(name, f"nothing listens on port {port}")


@dataclass(slots=True)
class Supervisor:
    """Keeps programs running: a dead one is started again after a pause that doubles up to 30 s."""

    programs: list[Program]
    _pause_s: dict[str, float] = field(default_factory=dict)
    _again_at: dict[str, float] = field(default_factory=dict)

    def start(self) -> None:
        for program in self.programs:
            program.start()

    def wrongly_set_up(self) -> Program | None:
        """A program that ended with exit code 2: what a person must mend before a new start makes sense."""
        for program in self.programs:
            if program.process is not None and program.process.poll() == SET_UP_WRONGLY:
                return program
        return None

    def check(self, now_s: float) -> list[str]:
        """Start again what died; the names of those started now. ``now_s`` is a monotonic time."""
        started: list[str] = []
        for program in self.programs:
            if program.alive:
                continue
            due = self._again_at.get(program.name)
            if due is None:
                pause = self._pause_s.get(program.name, 0.0)
                self._again_at[program.name] = now_s + pause
                self._pause_s[program.name] = min(30.0, max(1.0, pause * 2))
            elif now_s >= due:
                del self._again_at[program.name]
                program.start()
                started.append(program.name)
        return started

    def stop(self) -> None:
        for program in reversed(self.programs):
            program.stop()
