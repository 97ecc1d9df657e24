"""The C client (``c/mqtt_bench.c``): built when it is older than its source, run, its JSON given back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from telemetry.errors import NeighbourDownError
from telemetry.topics import ROOT

SOURCE = Path(__file__).parent / "c"
RECEIPTS = f"{ROOT}/+/+/+/down/+"


def build(folder: Path) -> Path:
    """The program, compiled into ``folder``."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise NeighbourDownError("gcc", "is not installed", advice="apt-get install gcc libc6-dev")
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "mqtt_bench"
    newest = max(path.stat().st_mtime for path in SOURCE.iterdir())
    if not program.exists() or program.stat().st_mtime < newest:
        subprocess.run([compiler, "-O2", "-o", str(program), str(SOURCE / "mqtt_bench.c")], check=True)
    return program


@dataclass(frozen=True, slots=True)
class Client:
    """The client logged in at one broker."""

    program: Path
    port: int
    user: str
    password: str

    def ceiling(self, topic: str, size: int, count: int, window: int) -> dict[str, Any]:
        """Messages a second from one publisher to one subscriber, QoS 1, at most ``window`` unacknowledged."""
        return self._run("ceiling", topic, size, count, window)

    def send(
        self,
        messages: Path,
        *,
        window: int = 1000,
        ahead: int = 200_000,
        rate: float = 0.0,
        timeout_s: float = 120.0,
        stamps: Path | None = None,
        receipts: Path | None = None,
    ) -> dict[str, Any]:
        """Publish a file of messages and wait until all their readings are receipted (see the program's head)."""
        paths = (str(stamps or ""), str(receipts or ""))
        return self._run("send", messages, RECEIPTS, window, ahead, rate, timeout_s, *paths)

    def _run(self, mode: str, *arguments: object) -> dict[str, Any]:
        command = [str(self.program), mode, str(self.port), *map(str, arguments)]
        environment = {**os.environ, "MQTT_USER": self.user, "MQTT_PASSWORD": self.password}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
        told: dict[str, Any] = json.loads(done.stdout)
        return told
