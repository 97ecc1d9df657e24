"""Our agent, whole and unprivileged, with a real bluetoothd, a real kernel's Bluetooth and bumble's virtual radio.

Runs in the guest that ``scripts/test-ble-real`` starts, never in the normal test run. The tests are one story in this
order: one radio and (till the last test) one outbox; what must hold is asked of the whole outbox after each chapter.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from edge.outbox import SqliteOutbox
from telemetry.clock import _Timex
from telemetry.readings import Event, Fact, Origin, Ranges, Reading, Sync

ROOT = Path(os.environ["ROOT"])
BLE_REAL = Path(os.environ["BLE_REAL"])  # bumble, the unpacked bluez
OUT = Path("/out")  # logs, for the machine outside
BLUETOOTHD = BLE_REAL / "bluez/usr/libexec/bluetooth/bluetoothd"
NOBODY = 65534

T0_MS = 1_767_225_600_000
SPEED = 60
# Virtual; three and five seconds of real time. A packet of the logger is on the air for one interval and then gone: a
# guest on a busy machine stands still for a second now and then.
LOGGER_MS, TAG_MS = 180_000, 300_000
READ_DELAY_MS = 500 * SPEED  # half a real second from the agent's "now" to the tag's getting it
WATCHDOG_S = 4.0
PLAN: dict[str, Any] = {
    "seed": 7,
    "clock": {"t0_ms": T0_MS, "speed": SPEED},
    "equipment": [{"id": "fridge-1", "setpoint_c": 4.5, "ambient_c": 30}],
    "devices": [
        {
            "serial": "BT-1",
            "kind": "bthome",
            "address": "A4:C1:38:00:00:01",
            "equipment": "fridge-1",
            "interval_s": 180,
        },
        {
            "serial": "RV-1",
            "kind": "ruuvi",
            "address": "CB:B8:33:4C:88:4F",
            "equipment": "fridge-1",
            "interval_s": 300,
        },
    ],
}


def config(outbox: Path) -> str:
    return f"""
[edge]
id = "E1"
site = "P"
outbox = "{outbox}"
anchor_every_s = 1
[mqtt]
port = 9
[ble]
watchdog_s = {WATCHDOG_S}
reconnect_max_s = 1.0
[[device]]
serial = "BT-1"
driver = "bthome"
address = "A4:C1:38:00:00:01"
interval_s = 180
[[device]]
serial = "RV-1"
driver = "ruuvi"
address = "CB:B8:33:4C:88:4F"
interval_s = 300
"""


def wait_for(met: Callable[[], Any], what: str, deadline_s: float = 60) -> Any:
    until = time.monotonic() + deadline_s
    while True:
        found = met()
        if found:
            return found
        assert time.monotonic() < until, f"never saw {what}"
        time.sleep(0.2)


# --- the parts of the site ---------------------------------------------------------------------------------


class Bluetoothd:
    """The real one."""

    def __init__(self) -> None:
        self._log = (OUT / "bluetoothd.log").open("ab")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen([BLUETOOTHD, "-n", "-d"], stdout=self._log, stderr=self._log)
        wait_for(lambda: powered() is not None, "the adapter", 30)
        self.power(True)

    def power(self, on: bool) -> None:
        def done() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, f"bluetoothd ended with {self.process.returncode}"
            return powered(on) is on

        wait_for(done, f"the adapter {'on' if on else 'off'}", 30)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.kill()
        self._log.close()


def powered(wanted: bool | None = None) -> bool | None:
    """The adapter's power by bluetoothd's word, None without an adapter; ``wanted``: set it first."""

    async def ask() -> bool | None:
        bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
        try:
            if wanted is not None:
                value = Variant("b", wanted)
                await bus.call(_properties("Set", "ssv", ["org.bluez.Adapter1", "Powered", value]))
            reply = await bus.call(_properties("Get", "ss", ["org.bluez.Adapter1", "Powered"]))
            return bool(reply.body[0].value) if reply and reply.message_type is MessageType.METHOD_RETURN else None
        finally:
            bus.disconnect()

    return asyncio.run(asyncio.wait_for(ask(), 20))


def _properties(member: str, signature: str, body: list[Any]) -> Message:
    place = {"destination": "org.bluez", "path": "/org/bluez/hci0"}
    return Message(
        **place, interface="org.freedesktop.DBus.Properties", member=member, signature=signature, body=body
    )


class Radio:
    """``radio.py``: firmware_sim's devices on the kernel's hci0."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        (folder / "plan.json").write_text(json.dumps(PLAN))
        command = [sys.executable, ROOT / "tests/ble_real/radio.py", "--plan", folder / "plan.json", "--out", folder]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=(OUT / "radio.log").open("ab"),
            text=True,
            env=os.environ | {"PYTHONPATH": f"{ROOT}:{BLE_REAL}/python"},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the radio did not start: " + (OUT / "radio.log").read_text()[-2000:]
        self.ready: dict[str, Any] = json.loads(line)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def tell(self, **command: object) -> None:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(self.ready["control"])
            link.sendall(json.dumps(command).encode() + b"\n")
            with link.makefile() as lines:
                answer = json.loads(lines.readline())
        assert answer["ok"], answer

    def made(self, stream: str, interval_ms: int) -> dict[int, Decimal]:
        """Every sample the device took, by its number."""
        lines = [json.loads(line) for line in (self.folder / "produced.ndjson").read_text().splitlines()]
        return {(x["t_ms"] - T0_MS) // interval_ms: Decimal(x["value"]) for x in lines if x["stream"] == stream}

    @property
    def clock(self) -> str:
        return f"{self.ready['t0_ms']}:{self.ready['m0_ns']}:{self.ready['speed']}"


class Agent:
    """``smile-iot edge`` as an unprivileged user, as on a Pi."""

    def __init__(self, name: str) -> None:
        self.folder = Path("/run") / name
        self.folder.mkdir()
        os.chown(self.folder, NOBODY, NOBODY)
        self.outbox = self.folder / "outbox.db"
        self._config = self.folder / "edge.toml"
        self._config.write_text(config(self.outbox))
        self._log = OUT / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> None:
        """Returns when it runs: before, a reader of its new outbox could be in the way of its making."""
        runs = self.log.count(" runs: ")
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "smile_iot", "edge", "--config", str(self._config)],
                cwd=ROOT,
                env=os.environ | environment,
                stderr=log,
                stdout=log,
                user=NOBODY,
                group=NOBODY,
                extra_groups=[],
            )
        wait_for(lambda: self.log.count(" runs: ") > runs, "the agent running")

    def stop(self, number: int = signal.SIGTERM) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(20)

    @property
    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    @property
    def facts(self) -> list[Fact]:
        if not self.outbox.exists():
            return []
        box = SqliteOutbox(self.outbox)
        try:
            return [n.fact for n in box.select(seq=Ranges([(1, 1 << 40)]), limit=1 << 30)]
        finally:
            box.close()

    def readings(self, stream: str) -> list[Reading]:
        return [f for f in self.facts if isinstance(f, Reading) and f.stream_id == stream]


class Site:
    def __init__(self, folder: Path) -> None:
        self.bluetoothd = Bluetoothd()
        self.radio = Radio(folder / "radio")
        self.bluetoothd.start()
        self.agent = Agent("agent")

    def close(self) -> None:
        self.agent.stop()
        for path in (self.agent.outbox, self.radio.folder / "produced.ndjson", self.radio.folder / "commands.ndjson"):
            if path.exists():
                shutil.copy(path, OUT)  # for whoever reads the logs of a failure
        self.bluetoothd.close()
        self.radio.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("site"))
    try:
        made.agent.start(SMILE_IOT_CLOCK=made.radio.clock)
        more_heard(made)
        wait_for(lambda: made.agent.readings(TAG), "the tag")
        yield made
    finally:
        made.close()


# --- what must hold of the outbox at any time --------------------------------------------------------------


def slots_of(reading: Reading, interval_ms: int) -> tuple[int, ...]:
    """The samples a reading may show, likeliest first. Live ones are heard after it: at once, or (a new scanner, a slow
    guest) when the next is due already; records are dated by the tag a little before it."""
    assert reading.sampled_at_ms is not None
    passed = (reading.sampled_at_ms - T0_MS) / interval_ms
    return (round(passed),) if reading.origin is Origin.MEMORY else (int(passed), int(passed) - 1)


def read_back_at_the_edge(live: Reading, memory: Reading | None, interval_ms: int) -> bool:
    """A packet heard in the last moment before the next sample, and its record as well: the agent takes them for one up
    to an interval apart, and the tag dates its records early by the delay of the read, here x SPEED (firmware_sim/README.md).
    At a real tag's pace that moment is a tenth of a second in five minutes."""
    assert live.sampled_at_ms is not None
    late_ms = (live.sampled_at_ms - T0_MS) % interval_ms
    return (
        live.origin is Origin.LIVE
        and late_ms > interval_ms - READ_DELAY_MS
        and memory is not None
        and memory.origin is Origin.MEMORY
        and memory.value == live.value
    )


def kept(site: Site, stream: str, interval_ms: int) -> list[int]:
    """The samples of a stream that are in the outbox; none twice, and each with the value the device measured."""
    made = site.radio.made(stream, interval_ms)
    shown: dict[int, Reading] = {}
    for r in sorted(site.agent.readings(stream), key=lambda r: r.sampled_at_ms or 0):
        slots = slots_of(r, interval_ms)
        slot = next((s for s in slots if s not in shown and made.get(s) == r.value), None)
        if slot is None and read_back_at_the_edge(r, shown.get(slots[0]), interval_ms):
            continue
        near = {s: (made.get(s), shown.get(s)) for s in slots}
        assert slot is not None, f"doubled or wrong: {r}; (measured, kept) near it: {near}"
        shown[slot] = r
    return sorted(shown)


def gapless(numbers: list[int]) -> bool:
    return bool(numbers) and numbers == list(range(numbers[0], numbers[-1] + 1))


LOGGER, TAG = "BT-1/temperature_c", "RV-1/temperature_c"


def note(what: str, numbers: list[int]) -> None:
    """For whoever reads the logs of a failure: what is there and what is missing."""
    missing = sorted(set(range(numbers[0], numbers[-1] + 1)) - set(numbers)) if numbers else []
    (OUT / f"{what}.samples").write_text(f"kept {numbers}\nmissing {missing}\n")


def more_heard(site: Site, count: int = 3) -> None:
    """Wait until the agent has heard ``count`` more packets of the logger."""
    had = len(site.agent.readings(LOGGER))
    wait_for(lambda: len(site.agent.readings(LOGGER)) >= had + count, f"{count} more packets")


# --- the story ---------------------------------------------------------------------------------------------


def test_every_packet_on_the_air_is_kept_once_with_its_value(site: Site) -> None:
    """BTHome service data and data format 5 through kernel, bluetoothd, D-Bus and bleak (devices.md 1.3, finding 5)."""
    wait_for(lambda: len(site.agent.readings(LOGGER)) >= 8, "eight packets", 90)
    wait_for(lambda: len(site.agent.readings(TAG)) >= 2, "two samples of the tag")
    assert gapless(kept(site, LOGGER, LOGGER_MS))
    assert gapless(kept(site, TAG, TAG_MS))
    for quantity in ("mains_power_on", "door_open", "battery_percent"):
        assert gapless(kept(site, f"BT-1/{quantity}", LOGGER_MS))
    assert {r.value for r in site.agent.readings("BT-1/rssi_dbm")} == {Decimal(-50)}  # bumble's link says so
    assert site.agent.log.count("bluetooth is up") == 1
    assert "bluetooth is down" not in site.agent.log


def test_a_killed_agent_takes_nothing_from_bluetoothds_cache(site: Site) -> None:
    """The logger falls silent, the agent is killed and comes back: the cached packet is no new reading (finding 5)."""
    site.radio.tell(do="silence", device="BT-1")
    last = max(site.radio.made(LOGGER, LOGGER_MS))
    wait_for(lambda: kept(site, LOGGER, LOGGER_MS)[-1] == last, "the last packet before the silence")
    had = len(site.agent.readings(LOGGER))
    tags = len(site.agent.readings(TAG))
    site.agent.stop(signal.SIGKILL)
    site.agent.start(SMILE_IOT_CLOCK=site.radio.clock)
    wait_for(lambda: len(site.agent.readings(TAG)) >= tags + 2, "the tag again")
    assert len(site.agent.readings(LOGGER)) == had
    site.radio.tell(do="speak", device="BT-1")
    more_heard(site)
    kept(site, LOGGER, LOGGER_MS)


def test_the_watchdog_gets_over_a_restart_of_bluetoothd(site: Site) -> None:
    """Finding 1: the scanner goes silent for ever, without an exception. One word of the outage, one of its end."""
    downs, ups = site.agent.log.count("bluetooth is down"), site.agent.log.count("bluetooth is up")
    site.bluetoothd.kill()
    time.sleep(1)
    site.bluetoothd.start()
    wait_for(lambda: site.agent.log.count("bluetooth is down") > downs, "the word of the outage")
    wait_for(lambda: site.agent.log.count("bluetooth is up") > ups, "the word of its end")
    more_heard(site)
    assert site.agent.log.count("bluetooth is down") == downs + 1
    assert site.agent.log.count("bluetooth is up") == ups + 1
    assert f"no advert from any device for {WATCHDOG_S:g} s" in site.agent.log
    assert "a fault in the agent's own code" not in site.agent.log
    kept(site, LOGGER, LOGGER_MS)


def test_a_restart_with_one_tag_on_the_air_loses_no_sample_of_it(site: Site) -> None:
    """As above where only the tag is near: what was missed meanwhile is read out of its memory."""
    site.radio.tell(do="silence", device="BT-1")
    try:
        site.bluetoothd.kill()
        time.sleep(1)
        site.bluetoothd.start()
        now_at = max(site.radio.made(TAG, TAG_MS))

        def complete() -> bool:
            numbers = kept(site, TAG, TAG_MS)
            return gapless(numbers) and numbers[-1] >= now_at + 4

        wait_for(complete, "every sample of the tag", 90)
    finally:
        site.radio.tell(do="speak", device="BT-1")
    more_heard(site)


def test_an_adapter_that_is_off_is_an_outage_and_no_more(site: Site) -> None:
    """Finding 2: NotReady and its relatives, told once however often the scanner is tried."""
    downs, ups = site.agent.log.count("bluetooth is down"), site.agent.log.count("bluetooth is up")
    site.bluetoothd.power(False)
    wait_for(lambda: site.agent.log.count("bluetooth is down") > downs, "the word of the outage")
    time.sleep(5)  # several tries of a new scanner fall in here
    site.bluetoothd.power(True)
    wait_for(lambda: site.agent.log.count("bluetooth is up") > ups, "the word of its end")
    more_heard(site)
    assert site.agent.log.count("bluetooth is down") == downs + 1
    assert "a fault in the agent's own code" not in site.agent.log
    kept(site, LOGGER, LOGGER_MS)


def test_the_tags_memory_fills_the_hole_over_real_gatt(site: Site) -> None:
    """Out of range for ten samples; on return the first link drops after six notifications (devices.md 6)."""
    site.radio.tell(do="drop_after", device="RV-1", notifications=6, links=1)
    site.radio.tell(do="out_of_range", device="RV-1")
    gone_at = max(site.radio.made(TAG, TAG_MS))
    wait_for(lambda: max(site.radio.made(TAG, TAG_MS)) >= gone_at + 10, "ten samples that nobody hears", 90)
    site.radio.tell(do="in_range", device="RV-1")

    def complete() -> bool:
        numbers = kept(site, TAG, TAG_MS)
        note("tag", numbers)
        return gapless(numbers) and numbers[-1] > gone_at + 10

    wait_for(complete, "every sample of the tag", 60)
    kept_of_memory = [r for r in site.agent.readings(TAG) if r.origin is Origin.MEMORY]
    assert len(kept_of_memory) >= 9
    assert [f for f in site.agent.facts if isinstance(f, Event) and f.kind == "history_read"]
    assert "its memory cannot be read yet" in site.agent.log  # the dropped link
    told = (site.radio.folder / "commands.ndjson").read_text()
    assert "link will drop after 6 notifications" in told
    assert told.count("log read: ") >= 2
    assert "a fault in the agent's own code" not in site.agent.log


def set_clock(utc_s: int) -> None:
    """What chrony does when it gets the time: step the clock, then tell the kernel that it is good."""
    time.clock_settime(time.CLOCK_REALTIME, utc_s)
    timex = _Timex()
    timex.modes, timex.status, timex.maxerror, timex.esterror = 0x10 | 0x04 | 0x08, 0, 10_000, 10_000
    assert ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex)) != -1


def test_a_boot_in_2010_is_dated_once_the_clock_is_good(site: Site) -> None:
    """devices.md 7: readings of an unsynced boot are undated, never dated 2010, and dated by the anchor afterwards."""
    site.agent.stop()
    agent = Agent("agent-2010")
    assert time.gmtime().tm_year == 2010
    began_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    agent.start()
    try:
        early = wait_for(lambda: (r := agent.readings(LOGGER)) and len(r) >= 3 and r, "three packets")
        assert all(r.sampled_at_ms is None and r.stamp.sync is Sync.UNSYNCED for r in early)
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        now_s = int(os.environ["HOST_TIME_S"]) + now_ns // 10**9
        set_clock(now_s)

        def anchors() -> list[Event]:
            return [f for f in agent.facts if isinstance(f, Event) and f.kind == "clock_anchored"]

        wait_for(anchors, "the anchor")
        had = len(agent.readings(LOGGER))
        wait_for(lambda: len(agent.readings(LOGGER)) >= had + 2, "packets after it")
        readings = agent.readings(LOGGER)
        for r in readings:
            expected_ms = now_s * 1000 + (r.stamp.boottime_ns - now_ns) // 1_000_000
            assert r.sampled_at_ms is not None
            assert abs(r.sampled_at_ms - expected_ms) < 100
            assert r.stamp.boottime_ns >= began_ns
        assert [r.value for r in readings[: len(early)]] == [r.value for r in early]
        assert [r.stamp for r in readings[: len(early)]] == [r.stamp for r in early]  # never rewritten
        assert len(anchors()) == 1
        assert readings[-1].stamp.sync is Sync.SYNCED
    finally:
        agent.stop()
