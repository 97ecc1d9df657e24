"""What an MQTT client costs ingest a message: ``python -m benchmarks.mqtt_clients`` (decision 0020).

Each client in a process of its own takes the same messages of one reading from a real Mosquitto, sent by the C client as
fast as they are acknowledged, and acknowledges them by hand in batches. Nothing is decoded. gmqtt is measured where it
is installed (it is no dependency of ours): ``pip install gmqtt``.
"""

from __future__ import annotations

import asyncio
import json
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.bench_client import build
from benchmarks.bench_line import client_of, make_records, start_broker
from benchmarks.bench_messages import SINGLE, write_messages
from telemetry.clock import SystemClock
from telemetry.topics import subscription

RUNS = 3


def paho_threads(port: int, password: str, count: int) -> None:
    """paho as most use it: its own thread calls ``on_message``, which hands over; each ack wakes that thread."""
    import queue

    import paho.mqtt.client as mqtt

    arrived: queue.Queue[tuple[int, int]] = queue.Queue()
    client = _paho(password)
    client.on_message = lambda _c, _d, m: arrived.put((m.mid, m.qos))
    client.on_connect = lambda c, *_: c.subscribe(subscription("+"), qos=1)
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert isinstance(client, mqtt.Client)
    _ready()
    for _ in range(count):
        client.ack(*arrived.get())
    _told(count)


def paho_loop(port: int, password: str, count: int) -> None:
    """paho as ingest uses it: its documented loop_read and loop_write in the thread that does the work."""
    client = _paho(password)
    batch: list[tuple[int, int]] = []
    client.on_message = lambda _c, _d, m: batch.append((m.mid, m.qos))
    client.on_connect = lambda c, *_: c.subscribe(subscription("+"), qos=1)
    client.on_socket_register_write = lambda *_: None
    client.connect("127.0.0.1", port)
    done = 0
    said = False
    while done < count:
        sock: Any = client.socket()
        select.select([sock], [sock] if client.want_write() else [], [], 0.2)
        before = -1
        while len(batch) != before and len(batch) < 500:
            before = len(batch)
            client.loop_read()
        for mid, qos in batch:
            client.ack(mid, qos)
        done += len(batch)
        batch.clear()
        client.loop_write()
        client.loop_misc()
        if not said and client.is_connected():
            said = True
            _ready()
    _told(count)


def _paho(password: str) -> Any:
    import paho.mqtt.client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion

    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311, manual_ack=True)
    client.username_pw_set("ingest", password)
    return client


def gmqtt(port: int, password: str, count: int) -> None:
    """gmqtt without its optimistic acknowledgement: the callback's coroutine ends when its batch is done."""
    import gmqtt as library  # type: ignore[import-not-found]

    async def run() -> None:
        client = library.Client("bench-gmqtt", optimistic_acknowledgement=False)
        client.set_auth_credentials("ingest", password)
        waiting: list[asyncio.Future[None]] = []
        done = 0
        finished = asyncio.Event()
        loop = asyncio.get_running_loop()

        def release() -> None:
            nonlocal done
            done += len(waiting)
            for future in waiting:
                future.set_result(None)
            waiting.clear()
            if done >= count:
                loop.call_later(0.1, finished.set)

        async def on_message(*_: Any) -> int:
            if not waiting:
                loop.call_soon(release)
            future = loop.create_future()
            waiting.append(future)
            await future
            return 0

        client.on_message = on_message
        await client.connect("127.0.0.1", port, version=4)
        client.subscribe(subscription("+"), qos=1)
        await asyncio.sleep(0.3)
        _ready()
        await finished.wait()

    asyncio.run(run())
    _told(count)


_begun = [0.0, 0.0]


def _ready() -> None:
    print("ready", flush=True)
    _begun[:] = [time.process_time(), time.monotonic()]


def _told(count: int) -> None:
    cpu_us = (time.process_time() - _begun[0]) * 1e6 / count
    print(json.dumps({"us": cpu_us, "per_s": count / (time.monotonic() - _begun[1])}), flush=True)


CLIENTS: dict[str, Callable[[int, str, int], None]] = {
    "paho, its own thread": paho_threads,
    "paho, loop_read in our thread": paho_loop,
    "gmqtt, asyncio": gmqtt,
}


def measure(name: str, folder: Path, messages: Path, count: int) -> dict[str, float]:
    broker = start_broker(folder / f"{list(CLIENTS).index(name)}-{time.monotonic_ns()}")
    assert broker.program is not None
    try:
        password = broker.password_files["ingest"].read_text()
        command = [sys.executable, "-m", "benchmarks.mqtt_clients", name, str(broker.port), password, str(count)]
        consumer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert consumer.stdout is not None
        if consumer.stdout.readline().strip() != "ready":
            raise RuntimeError(f"{name} did not get ready")
        time.sleep(0.3)
        client_of(build(folder), broker).send(messages, ahead=1 << 40, timeout_s=6)  # no receipts will come
        told: dict[str, float] = json.loads(consumer.stdout.readline())
        consumer.wait(60)
        return told
    finally:
        broker.program.stop()


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="smile-iot-clients-"))
    now_ms = SystemClock().now_ms()
    fleet = make_records(folder / "records.db", 10, now_ms)
    count = 20_000
    write_messages(folder / "messages", fleet, SINGLE, count, now_ms)
    print("| client | CPU us a message |\n|---|---|")
    for name in CLIENTS:
        try:
            runs = [measure(name, folder, folder / "messages", count) for _ in range(RUNS)]
        except RuntimeError as error:
            print(f"| {name} | {error} |")
            continue
        print(f"| {name} | {median(run['us'] for run in runs):.1f} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 5:
        CLIENTS[sys.argv[1]](int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    else:
        main()
