"""The simulator as a process: bleak hears it, pyserial and serialx read it, and it leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import serial
import serialx
from bleak import BleakScanner
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakBluetoothNotAvailableError

BTHOME = "0000fcd2-0000-1000-8000-00805f9b34fb"
Start = Callable[[dict[str, Any]], Any]


async def _listen(until: Callable[[dict[int, list[bytes]]], bool], deadline_s: float = 60) -> dict[int, list[bytes]]:
    """Packets by packet id, as bleak's own BlueZ backend reports them."""
    heard: dict[int, list[bytes]] = {}
    done = asyncio.Event()

    def on_advert(_device: BLEDevice, advert: AdvertisementData) -> None:
        packet = advert.service_data.get(BTHOME)
        if packet:
            heard.setdefault(packet[2], []).append(packet)
            if until(heard):
                done.set()

    async with BleakScanner(on_advert):
        await asyncio.wait_for(done.wait(), deadline_s)
    return heard


def test_the_real_bleak_scanner_hears_each_packet_more_than_once_and_it_was_in_the_ledger(
    plan: dict[str, Any], start_sim: Start
) -> None:
    plan["clock"]["speed"] = 1800  # a sample each half second
    sim = start_sim(plan)
    heard = asyncio.run(_listen(lambda h: len(h) >= 5))
    full = [packets for _, packets in sorted(heard.items())][1:-1]
    assert all(len(packets) >= 2 and len(set(packets)) == 1 for packets in full)
    temperatures = {
        line["seq"] % 256: line["value"] for line in sim.produced() if line.get("stream") == "BT-0001/temperature_c"
    }
    for packet_id, packets in heard.items():
        counts = int.from_bytes(packets[0][6:8], "little", signed=True)
        assert f"{counts / 100:.2f}" == temperatures[packet_id]
    assert {line["stream"] for line in sim.produced()} >= {
        "BT-0001/temperature_c",
        "BT-0001/mains_power_on",
        "BT-0001/door_open",
        "BT-0001/battery_percent",
    }


def test_produced_values_are_the_same_in_two_runs(plan: dict[str, Any], start_sim: Start) -> None:
    plan["clock"]["speed"] = 9000
    plan["end_s"] = 18_000
    runs = []
    for _ in range(2):
        sim = start_sim(plan)
        sim.wait_for(lambda sim=sim: sim.control(do="status")["ended"], "the end of the plan")
        sim.stop()
        runs.append({(e["stream"], e["t_ms"]): e["value"] for e in sim.produced()})
    both = runs[0].keys() & runs[1].keys()
    assert len(both) > 40
    assert all(runs[0][key] == runs[1][key] for key in both)
    assert runs[0].keys() ^ runs[1].keys() <= {
        k for run in runs for k in run if k[1] <= plan["clock"]["t0_ms"] + 3600_000
    }


def test_mains_off_over_the_control_socket_reaches_the_air(plan: dict[str, Any], start_sim: Start) -> None:
    plan["clock"]["speed"] = 1800
    sim = start_sim(plan)
    assert sim.control(do="mains_off", equipment="fridge-1")["ok"]
    asyncio.run(_listen(lambda h: any(p[0][9] == 0 for p in h.values())))
    assert sim.control(do="mains_on", equipment="fridge-1")["ended"] == 1
    asyncio.run(_listen(lambda h: any(p[-1][9] == 1 for p in h.values())))
    assert sim.control(do="fly") == {"ok": False, "error": sim.control(do="fly")["error"]}
    assert "must be one of" in sim.control(do="fly")["error"]


def test_a_restart_of_bluetoothd_silences_a_scanner_and_a_new_one_hears(
    plan: dict[str, Any], start_sim: Start
) -> None:
    """devices.md 1.3/1."""
    sim = start_sim(plan | {"clock": {"speed": 9000}})

    async def scenario() -> tuple[int, int]:
        count = 0

        first = asyncio.Event()

        def on_advert(_device: BLEDevice, _advert: AdvertisementData) -> None:
            nonlocal count
            count += 1
            first.set()

        scanner = BleakScanner(on_advert)
        await scanner.start()
        await asyncio.wait_for(first.wait(), 60)
        sim.control(do="bluez_restart", down_s=0.2)
        await asyncio.sleep(0.5)
        before = count
        await asyncio.sleep(0.6)
        with pytest.raises(Exception, match="No discovery started"):
            await scanner.stop()
        return before, count

    before, after = asyncio.run(scenario())
    assert before == after
    assert asyncio.run(_listen(lambda h: len(h) >= 2))


def test_an_adapter_that_is_off_says_so(plan: dict[str, Any], start_sim: Start) -> None:
    """devices.md 1.3/2."""
    sim = start_sim(plan)
    sim.control(do="adapter_off")

    async def scan() -> None:
        await BleakScanner.discover(timeout=0.1)

    with pytest.raises(BleakBluetoothNotAvailableError, match="powered"):
        asyncio.run(scan())
    sim.control(do="adapter_on")
    assert asyncio.run(_listen(lambda h: len(h) >= 1))


def _lines(port: serial.Serial, until: Callable[[list[bytes]], bool]) -> list[bytes]:
    lines: list[bytes] = []
    while not until(lines):
        line = port.readline()
        assert line, f"the scale fell silent after {lines[-3:]}"
        lines.append(line)
    return lines


def test_pyserial_reads_us_then_st_and_the_weighing_is_in_the_ledger(plan: dict[str, Any], start_sim: Start) -> None:
    sim = start_sim(plan)
    with serial.Serial(sim.ready["serial"]["SC-0001"], 57600, timeout=5, exclusive=True) as port:
        sim.control(do="load", device="SC-0001", mass_kg="5.40", bag="000120082026")
        lines = _lines(port, lambda seen: any(b"5.400" in line and line.startswith(b"ST") for line in seen))
        assert any(line.startswith(b"US") for line in lines)
        assert all(len(line) == 22 for line in lines[1:])
        _lines(port, lambda seen: bool(seen) and seen[-1].startswith(b"ST") and b"0000.000" in seen[-1])
        sim.control(do="load", device="SC-0001", mass_kg="16")
        _lines(port, lambda seen: bool(seen) and seen[-1].startswith(b"OL"))
    weighings = [line for line in sim.produced() if line["kind"] == "weighing"]
    assert len(weighings) == 1, "an overload is no weighing"
    assert weighings[0]["gross_kg"] == "5.400"
    assert (weighings[0]["tare_kg"], weighings[0]["net_kg"], weighings[0]["bag"]) == (
        "0.000",
        "5.400",
        "000120082026",
    )


def test_serialx_sees_the_cable_pulled_and_reads_again_after_replug(plan: dict[str, Any], start_sim: Start) -> None:
    """devices.md 5: OSError 5 at once, FileNotFoundError while gone, the same link afterwards."""
    sim = start_sim(plan)
    link = sim.ready["serial"]["SC-0001"]

    async def scenario() -> None:
        reader, writer = await serialx.open_serial_connection(url=link, baudrate=57600)
        await asyncio.wait_for(reader.readline(), 60)
        node = os.readlink(link)
        sim.control(do="unplug", device="SC-0001")
        with pytest.raises(OSError, match="5"):
            await asyncio.wait_for(reader.read(-1), 60)
        writer.close()
        sim.wait_for(lambda: not Path(link).is_symlink(), "the link gone")
        sim.control(do="replug", device="SC-0001")
        sim.wait_for(lambda: Path(link).exists(), "the link back")
        reader, writer = await serialx.open_serial_connection(url=link, baudrate=57600)
        assert (await asyncio.wait_for(reader.readline(), 60)).endswith(b"kg\r\n")
        writer.close()
        assert node.startswith("/dev/pts/")

    asyncio.run(scenario())


def test_nothing_stale_is_read_by_who_opens_late(plan: dict[str, Any], start_sim: Start) -> None:
    sim = start_sim(plan)
    port_path = sim.ready["serial"]["SC-0001"]
    sim.wait_for(lambda: sim.control(do="status")["at_s"] > 450, "a second of unread frames")
    fd = os.open(port_path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        fresh = b""
        try:
            fresh = os.read(fd, 4096)
        except BlockingIOError:
            pass
        assert len(fresh) <= 44, "more than the line carries in a moment"
    finally:
        os.close(fd)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_bus_dies_with_the_simulator(plan: dict[str, Any], start_sim: Start, number: int) -> None:
    """devices.md 1.4 pitfall 3: no orphans."""
    sim = start_sim(plan)
    config = str(sim.folder / "dbus.conf")

    def buses() -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if config in (entry / "cmdline").read_text():
                        found.append(int(entry.name))
                except OSError:
                    continue
        return found

    assert len(buses()) == 1
    assert sim.stop(number) == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    for _ in range(3000):
        if not buses():
            return
        asyncio.run(asyncio.sleep(0.02))
    raise AssertionError("dbus-daemon lives on")


_SCAN_FOR_EVER = """
import asyncio
from bleak import BleakScanner
async def main():
    async with BleakScanner(lambda d, a: print("heard", flush=True)):
        await asyncio.sleep(60)
asyncio.run(main())
"""


def test_a_killed_scanner_does_not_stand_in_the_way_of_the_next(plan: dict[str, Any], start_sim: Start) -> None:
    plan["clock"]["speed"] = 9000
    start_sim(plan)
    with subprocess.Popen([sys.executable, "-c", _SCAN_FOR_EVER], stdout=subprocess.PIPE) as scanner:
        assert scanner.stdout is not None
        assert scanner.stdout.readline() == b"heard\n"
        scanner.kill()
    assert len(asyncio.run(_listen(lambda h: len(h) >= 2))) >= 2
