"""The edge agent under load: the real agent with one source more, which appends readings at a rate.

``python -m benchmarks.bench_edge RATE FOLDER --config EDGE.toml``: ten rounds a second, each one commit of the outbox.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

ROUNDS_A_S = 10
EXPECTED = ()
_rate = ROUNDS_A_S


class Source:
    """Readings of ten sensors, ``_rate`` a second in all."""

    def __init__(self, _device: Any, clock: Any, outbox: Any, appended: Callable[[], None], _outage: Any) -> None:
        self._clock, self._outbox, self._appended = clock, outbox, appended

    async def run(self) -> None:
        from telemetry.clock import stamp
        from telemetry.readings import Origin, Reading

        count = max(1, _rate // ROUNDS_A_S)
        for number in range(1 << 30):
            now = stamp(self._clock)
            value = Decimal(400 + number % 200) / 100
            self._outbox.append(
                [
                    Reading(f"T0000-{n % 10}/temperature_c", value, now.wall_ms + n, now, None, Origin.LIVE)
                    for n in range(count)
                ]
            )
            self._appended()
            await asyncio.sleep(1 / ROUNDS_A_S)


def main(rate: int, folder: Path, arguments: list[str]) -> int:
    from edge.sources import POLLED, PolledDriver
    from smile_iot.__main__ import main as smile_iot

    global _rate
    _rate = rate
    POLLED["bench"] = PolledDriver("bench", "benchmarks.bench_edge", "Source")
    signal.signal(signal.SIGUSR1, lambda *_: (folder / "modules.json").write_text(json.dumps(sorted(sys.modules))))
    return smile_iot(["edge", *arguments])


def rss_live(
    folder: Path, port: int, username: str, password_file: Path, rate: int, seconds: float
) -> tuple[int, int]:
    """(highest resident bytes while it runs, bytes of its import baseline)."""
    from benchmarks.bench_memory import Peak, import_baseline

    folder.mkdir(parents=True)
    config = folder / "edge.toml"
    config.write_text(
        f'[edge]\nid = "E0"\nsite = "S0000"\noutbox = "{folder}/outbox.db"\n'
        f'[mqtt]\nhost = "127.0.0.1"\nport = {port}\nusername = "{username}"\npassword_file = "{password_file}"\n'
        '[[device]]\nserial = "T0000-0"\ndriver = "bench"\nport = "none"\n'
    )
    command = [sys.executable, "-m", "benchmarks.bench_edge", str(rate), str(folder), "--config", str(config)]
    with (folder / "edge.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait_for(folder / "outbox.db", process)
        with Peak(process.pid) as peak:
            time.sleep(seconds)
            process.send_signal(signal.SIGUSR1)
            _wait_for(folder / "modules.json", process)
    finally:
        process.terminate()
        process.wait(20)
    return peak.rss, import_baseline(json.loads((folder / "modules.json").read_text()))


def _wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while not path.exists() or not path.stat().st_size:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the edge agent made no {path}: {path.with_name('edge.log').read_text()[-500:]}")
        time.sleep(0.05)
    time.sleep(0.2)


if __name__ == "__main__":
    from benchmarks import bench_edge as by_its_name  # the table of drivers finds Source there, not in __main__

    sys.exit(by_its_name.main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
