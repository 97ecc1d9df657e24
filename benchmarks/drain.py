"""A week or a month without a broker: how fast the backlog of a real outbox goes out when it is back.

    make bench-drain        prints the table and writes benchmarks/drain.md

430,000 readings (ten one-minute streams for a month) stand in a real ``SqliteOutbox``. The real uplink sends them through
a real Mosquitto to a receiver in a process of its own, which reads each message, watches the order of the numbers and
answers with receipts, as ingest does without its journal. A delaying relay stands in for a link with a long way.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from edge.config import MqttSettings
from edge.outbox import SqliteOutbox
from edge.supervisor import Outage
from edge.uplink import Uplink
from telemetry.clock import SystemClock
from telemetry.readings import Ranges, Reading, Stamp, Sync
from telemetry.topics import EdgeAddress

HERE = Path(__file__).parent
ADDRESS = EdgeAddress("s0", "P", "E1")
START_MS = 1_790_000_000_000
STREAMS = 10


@dataclass(frozen=True)
class Case:
    """``delay_ms``: of the link, one way."""

    name: str
    encoding: str = "compact"
    flush_facts: int = 1000
    window_facts: int = 4000
    delay_ms: int = 0


CASES = (
    Case("as set by default"),
    Case("JSON", encoding="json"),
    Case("500 in a message, 2,000 in flight", flush_facts=500, window_facts=2000),
    Case("as set by default, 300 ms there and back", delay_ms=150),
)


def fill(path: Path, count: int) -> None:
    """A month of a site: a round of ten streams a minute."""
    outbox = SqliteOutbox(path)
    batch: list[Reading] = []
    for number in range(count):
        at_ms = START_MS + number // STREAMS * 60_000 + number % STREAMS * 37
        stamp = Stamp("0b7e3c1a-5555-4000-8000-1234567890ab", (at_ms - START_MS) * 1_000_000, at_ms, Sync.SYNCED, 25)
        value = Decimal(500 + number * 7919 % 41).scaleb(-2)
        batch.append(Reading(f"LOG-{number % STREAMS}/temperature_c", value, at_ms, stamp))
        if len(batch) == 1000:
            outbox.append(batch)
            batch = []
    outbox.append(batch)
    outbox.close()


def receiver(port: int) -> None:
    """Answers uploads; says ``ready``, and how many messages were out of order at its end."""
    import paho.mqtt.client as paho

    from telemetry.contract import Receipt, decode_readings, encode_receipt

    have, last, disorder = Ranges(), 0, 0

    def on_message(client: Any, _data: Any, message: Any) -> None:
        nonlocal have, last, disorder
        if message.topic.endswith("readings"):
            upload = decode_readings(message.payload)
            disorder += upload.ranges.spans[0][0] != last + 1
            last = upload.ranges.spans[-1][1]
            have = have | upload.ranges
            print(disorder, flush=True)
            epoch = upload.epoch
        else:
            from telemetry.contract import decode_upload

            epoch = decode_upload(message.payload).epoch
        client.publish(ADDRESS.down("receipt"), encode_receipt(Receipt(epoch, have)), qos=1, retain=True)

    client = paho.Client(paho.CallbackAPIVersion.VERSION2, "ingest")
    client.on_message = on_message
    client.on_subscribe = lambda *_: print("ready", flush=True)
    client.connect("127.0.0.1", port)
    client.subscribe("smile-iot/v1/s0/P/E1/up/+", qos=1)
    client.loop_forever()


async def relay(port: int, delay_s: float) -> asyncio.Server:
    """Every byte comes ``delay_s`` later."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(asyncio.CancelledError):
            while data := await reader.read(1 << 16):
                loop.call_later(delay_s, writer.write, data)
            loop.call_later(delay_s, writer.close)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer), return_exceptions=True)

    return await asyncio.start_server(serve, "127.0.0.1", 0)


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def send_all(path: Path, port: int, case: Case) -> dict[str, float]:
    outbox = SqliteOutbox(path)
    count = outbox.usage().unreceipted
    server = await relay(port, case.delay_ms / 1000) if case.delay_ms else None
    if server is not None:
        port = server.sockets[0].getsockname()[1]
    settings = MqttSettings(
        "127.0.0.1",
        port,
        encoding=case.encoding,
        flush_facts=case.flush_facts,
        window_facts=case.window_facts,
    )
    uplink = Uplink(ADDRESS, settings, SystemClock(), outbox, Outage("broker"))
    before_mb, most_mb = resident_mb(), 0.0
    began_s, cpu_s = time.monotonic(), time.process_time()
    task = asyncio.create_task(uplink.run())
    while outbox.pending(1):
        await asyncio.sleep(0.1)
        most_mb = max(most_mb, resident_mb())
        if task.done():
            task.result()
    took_s, cpu_s = time.monotonic() - began_s, time.process_time() - cpu_s
    uplink._meter.look()
    wire = uplink._meter.total().total / count
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    if server is not None:
        server.close()
    outbox.close()
    return {
        "per_s": count / took_s,
        "took_s": took_s,
        "cpu_us": cpu_s * 1e6 / count,
        "mb": most_mb - before_mb,
        "wire": wire,
    }


def run(case: Case, count: int) -> dict[str, float]:
    """One case with a broker, a receiver and an outbox of its own."""
    folder = Path(tempfile.mkdtemp(prefix="drain-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    config = folder / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nset_tcp_nodelay true\n"
    )
    broker = subprocess.Popen(["mosquitto", "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    words = [sys.executable, "-m", "benchmarks.drain", "--receive", str(port)]
    try:
        fill(folder / "outbox.db", count)
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        hearing = subprocess.Popen(words, stdout=(folder / "heard").open("w"))
        try:
            while "ready" not in (folder / "heard").read_text():
                time.sleep(0.05)
            found = asyncio.run(send_all(folder / "outbox.db", port, case))
        finally:
            hearing.kill()
            hearing.wait()
        found["disorder"] = int((folder / "heard").read_text().split()[-1])
        return found
    finally:
        broker.kill()
        broker.wait()
        shutil.rmtree(folder)


def report(rows: list[tuple[Case, dict[str, float]]], count: int) -> str:
    at = datetime.fromtimestamp(SystemClock().now_ms() / 1000, UTC)
    machine = f"{os.cpu_count()} cores shared by all three, load {os.getloadavg()[0]:.1f}"
    lines = [
        "# A month's backlog leaves the edge",
        "",
        f"{count:,} readings of {STREAMS} streams from a real outbox through a real Mosquitto to a receiver that answers;",
        f"{at:%Y-%m-%d %H:%M} UTC, {machine}; `make bench-drain`.",
        "",
        "| case | readings/s | seconds | edge CPU, us a reading | memory on top, MB | bytes on the line | out of order |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {case.name} | {found['per_s']:,.0f} | {found['took_s']:.1f} | {found['cpu_us']:.1f} | {found['mb']:.1f}"
        f" | {found['wire']:.2f} | {found['disorder']:.0f} |"
        for case, found in rows
    ]
    lines += [
        "",
        "The load says who else wanted the cores: the rates are what was left, and CPU is counted too high;"
        " bytes, memory and order hold.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.drain")
    parser.add_argument("--readings", type=int, default=430_000)
    parser.add_argument("--write", action="store_true", help="write benchmarks/drain.md")
    parser.add_argument("--receive", type=int, metavar="PORT", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.receive:
        receiver(args.receive)
        return
    rows = []
    for case in CASES:
        rows.append((case, run(case, args.readings)))
        print(case.name, rows[-1][1], file=sys.stderr)
    text = report(rows, args.readings)
    print(text)
    if args.write:
        (HERE / "drain.md").write_text(text)


if __name__ == "__main__":
    main()
