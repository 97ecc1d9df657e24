"""The polled faces as a process: bleak reads a Ruuvi's memory, pymodbus a probe, pyserial an MT-SICS scale."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import serial
from bleak import BleakClient, BleakScanner
from bleak.backends.device import BLEDevice
from bleak.exc import BleakDBusError
from pymodbus.client import ModbusSerialClient
from pymodbus.exceptions import ModbusIOException

Start = Callable[[dict[str, Any]], Any]
NUS_RX = "6e400002-b5a3-f393-e0a9-e50e24dcca9e"
NUS_TX = "6e400003-b5a3-f393-e0a9-e50e24dcca9e"
T0_MS = 1_767_225_600_000
TAG = {
    "serial": "RV-0001",
    "kind": "ruuvi",
    "address": "CB:B8:33:4C:88:4F",
    "equipment": "freezer-1",
    "interval_s": 300,
}
PROBE = {"serial": "MB-0001", "kind": "modbus", "equipment": "freezer-1", "interval_s": 900, "baud": 57600}
SICS = {"serial": "SC-0002", "kind": "mt_sics", "capacity_kg": 15, "e_kg": "0.005", "rate_hz": 20, "baud": 57600}


def _plan(device: dict[str, Any], speed: float = 450) -> dict[str, Any]:
    return {
        "clock": {"t0_ms": T0_MS, "speed": speed},
        "equipment": [{"id": "freezer-1", "setpoint_c": -20, "ambient_c": 30}],
        "devices": [device],
    }


def _events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "commands.ndjson").read_text().splitlines()]


async def _find() -> BLEDevice:
    found = await BleakScanner.find_device_by_address(TAG["address"], timeout=10)
    assert found is not None
    return found


async def _read_log(now_s: int, start_s: int, until_drop: bool = False) -> tuple[list[bytes], int]:
    """One log read through bleak: the records and the number of heartbeats among them."""
    records: list[bytes] = []
    beats = 0
    done = asyncio.Event()

    def on_value(_char: object, data: bytearray) -> None:
        nonlocal beats
        if data[0] == 0x05:
            beats += 1
        elif bytes(data[3:]) == b"\xff" * 8:
            records.append(bytes(data))
            done.set()
        else:
            records.append(bytes(data))

    device = await _find()
    async with BleakClient(device, disconnected_callback=lambda _c: done.set()) as client:
        await client.start_notify(NUS_TX, on_value)
        await client.write_gatt_char(NUS_RX, b"\x3a\x3a\x11" + now_s.to_bytes(4, "big") + start_s.to_bytes(4, "big"))
        await asyncio.wait_for(done.wait(), 60)
    return records, beats


def test_a_ruuvis_memory_holds_what_nobody_heard(start_sim: Start) -> None:
    sim = start_sim(_plan(TAG, speed=6000) | {"end_s": 15_000})
    sim.control(do="out_of_range", device="RV-0001")
    assert asyncio.run(BleakScanner.find_device_by_address(TAG["address"], timeout=1)) is None
    sim.wait_for(lambda: sim.control(do="status")["ended"], "the end of the plan")
    assert sim.control(do="in_range", device="RV-0001")["ended"] == 1
    records, _ = asyncio.run(_read_log(T0_MS // 1000 + 10_000_000, 0))
    produced = [line for line in sim.produced() if line["stream"] == "RV-0001/temperature_c"]
    assert len(records) - 1 == len(produced) > 30


def test_ru5_a_log_read_gives_every_sample_with_its_value_and_time(start_sim: Start) -> None:
    sim = start_sim(_plan(TAG, speed=6000) | {"end_s": 15_000})
    sim.wait_for(lambda: sim.control(do="status")["ended"], "the end of the plan")
    now_s = sim.control(do="status")["t_ms"] // 1000
    records, beats = asyncio.run(_read_log(now_s, 0))
    assert records[-1] == bytes.fromhex("3A3A10") + b"\xff" * 8
    assert beats >= 1
    produced = [line for line in sim.produced() if line["stream"] == "RV-0001/temperature_c"]
    values = [f"{int.from_bytes(r[7:], 'big', signed=True) / 100:.2f}" for r in records[:-1]]
    assert values == [line["value"] for line in produced]
    times = [int.from_bytes(r[3:7], "big") for r in records[:-1]]
    # "now" was taken before the scan and connect: the whole log is early by that, but its steps are exact
    assert {b - a for a, b in pairwise(times)} == {300}
    assert 0 <= produced[0]["t_ms"] // 1000 - times[0] <= 6000 * 12
    assert any("log read" in event.get("event", "") for event in _events(sim.folder))


def test_a_reader_may_ask_from_a_time_on_and_an_empty_answer_has_its_end_mark(start_sim: Start) -> None:
    sim = start_sim(_plan(TAG, speed=6000) | {"end_s": 6000})
    sim.wait_for(lambda: sim.control(do="status")["ended"], "the end of the plan")
    now_s = T0_MS // 1000
    records, _ = asyncio.run(_read_log(now_s, now_s))
    assert len(records) == 1
    error, _ = asyncio.run(_read_log(now_s, now_s + 5))
    assert error == [bytes.fromhex("3030F0") + b"\xff" * 8]


def test_a_link_drops_after_n_notifications_once_and_the_next_read_is_whole(start_sim: Start) -> None:
    plan = _plan(TAG, speed=30_000) | {"end_s": 90_000}
    plan["faults"] = [{"at_s": 0, "do": "drop_after", "device": "RV-0001", "notifications": 40}]
    sim = start_sim(plan)
    sim.wait_for(lambda: sim.control(do="status")["memory"]["RV-0001"] > 150, "a filled memory")
    cut, _ = asyncio.run(_read_log(T0_MS // 1000 + 10_000_000, 0))
    assert len(cut) in (38, 39, 40)
    whole, _ = asyncio.run(_read_log(T0_MS // 1000 + 10_000_000, 0))
    assert len(whole) > 150
    assert [r[7:] for r in whole[:38]] == [r[7:] for r in cut[:38]]


def test_a_full_memory_of_ten_days_comes_over_without_losing_the_bus(start_sim: Start) -> None:
    """devices.md 1.4 pitfall 2: unpaced, dbus-fast drops the bus after about 330 notifications."""
    sim = start_sim(_plan(TAG | {"interval_s": 1, "memory_records": 2880}, speed=300) | {"end_s": 1e9})
    sim.wait_for(lambda: sim.control(do="status")["memory"]["RV-0001"] >= 1200, "a filled memory", 60)
    records, _ = asyncio.run(_read_log(T0_MS // 1000 + 10_000_000, 0))
    assert len(records) > 1200


def test_a_refused_connection(start_sim: Start) -> None:
    sim = start_sim(_plan(TAG, speed=6000))

    async def connect() -> None:
        device = await _find()
        sim.control(do="refuse_connect", device="RV-0001")
        with pytest.raises(BleakDBusError, match="abort"):
            await BleakClient(device).connect(timeout=3)
        sim.control(do="accept_connect", device="RV-0001")
        async with BleakClient(device) as client:
            model = await client.read_gatt_char("00002a24-0000-1000-8000-00805f9b34fb")
        assert b"RuuviTag" in model

    asyncio.run(connect())


def test_pymodbus_reads_the_probe_and_the_ledger_has_each_measurement_once(start_sim: Start) -> None:
    """devices.md 4, through the public client library."""
    sim = start_sim(_plan(PROBE))
    client = ModbusSerialClient(sim.ready["serial"]["MB-0001"], baudrate=57600, timeout=1, retries=0)
    assert client.connect()
    answers = [client.read_input_registers(1, count=2, device_id=1).registers for _ in range(5)]
    assert all(a == answers[0] for a in answers), "five polls within a third of an interval are one measurement"
    lines = [line for line in sim.produced() if line["stream"] == "MB-0001/temperature_c"]
    assert len(lines) == 1
    counts = answers[0][0] - 0x10000 if answers[0][0] > 0x7FFF else answers[0][0]
    assert f"{counts / 10:.1f}" == lines[0]["value"]
    assert client.read_input_registers(9, count=1, device_id=1).exception_code == 2
    sim.control(do="probe_fault", device="MB-0001", for_s=2000)
    sim.wait_for(lambda: client.read_input_registers(1, count=1, device_id=1).isError(), "the broken probe")
    assert sim.produced()[-1]["value"] is None
    client.close()


def test_a_silent_probe_and_another_unit_id_do_not_answer(start_sim: Start) -> None:
    sim = start_sim(_plan(PROBE))
    client = ModbusSerialClient(sim.ready["serial"]["MB-0001"], baudrate=57600, timeout=0.3, retries=0)
    assert client.connect()
    with pytest.raises(ModbusIOException):
        client.read_input_registers(1, count=1, device_id=7)
    sim.control(do="silence", device="MB-0001")
    with pytest.raises(ModbusIOException):
        client.read_input_registers(1, count=1, device_id=1)
    sim.control(do="speak", device="MB-0001")
    assert not client.read_input_registers(1, count=1, device_id=1).isError()
    client.close()


def _ask(port: serial.Serial, command: bytes) -> bytes:
    port.write(command + b"\r\n")
    return bytes(port.readline())


def test_an_mt_sics_scale_weighs_tares_and_writes_down_what_it_was_told(start_sim: Start) -> None:
    """smile-and-waste: S and TA in one cycle; gross = net + tare."""
    sim = start_sim(_plan(SICS, speed=20))
    with serial.Serial(sim.ready["serial"]["SC-0002"], 57600, timeout=6, exclusive=True) as port:
        port.write(b"I2\r\n")
        while port.readline() != b'I2 A "SIM SICS 15 kg"\r\n':  # past the power-on line
            pass
        assert _ask(port, b"@") == b'I4 A "SC-0002"\r\n'
        assert _ask(port, b"S") == b"S S      0.000 kg\r\n"
        sim.control(do="load", device="SC-0002", mass_kg="5.40", tare_kg="0.35", bag="000120082026", hold_s=1000)
        sim.wait_for(lambda: any(e["kind"] == "weighing" for e in sim.produced()), "the load at rest")
        assert _ask(port, b"S") == b"S S      5.050 kg\r\n"
        assert _ask(port, b"TA") == b"TA A 0.350 kg\r\n"
        weighing = sim.produced()[-1]
        assert (weighing["gross_kg"], weighing["tare_kg"], weighing["net_kg"]) == ("5.400", "0.350", "5.050")
        assert _ask(port, b"TAC") == b"TAC A\r\n"
        assert _ask(port, b"SI") == b"S S      5.400 kg\r\n"
        assert _ask(port, b"T") == b"T S      5.400 kg\r\n"
        assert _ask(port, b"S") == b"S S      0.000 kg\r\n"
        assert _ask(port, b"Z") == b"Z +\r\n"
        assert _ask(port, b"TA 99 kg") == b"TA L\r\n"
        assert _ask(port, b"HELLO") == b"ES\r\n"
        sim.control(do="unload", device="SC-0002")
        assert _ask(port, b"TAC") == b"TAC A\r\n"
        port.write(b"SIR\r\n")
        seen = [port.readline() for _ in range(30)]
        assert seen[-1] == b"S S      0.000 kg\r\n"
        assert all(line.startswith((b"S D", b"S S")) for line in seen)
        port.write(b"@\r\n")
        while port.readline() != b'I4 A "SC-0002"\r\n':
            pass
    commands = [event["command"] for event in _events(sim.folder)]
    assert commands[:5] == ["I2", "@", "S", "S", "TA"]
    assert {"command": "HELLO", "answer": "ES"}.items() <= next(
        e for e in _events(sim.folder) if e["command"] == "HELLO"
    ).items()


def test_an_mt_sics_scale_says_its_number_at_power_on(start_sim: Start) -> None:
    """devices.md 3.1: flush on open."""
    sim = start_sim(_plan(SICS))
    sim.control(do="unplug", device="SC-0002")
    link = Path(sim.ready["serial"]["SC-0002"])
    sim.wait_for(lambda: not link.is_symlink(), "the cable out")
    sim.control(do="replug", device="SC-0002")
    with serial.Serial(str(link), 57600, timeout=5) as port:
        assert _ask(port, b"XX") in (b'I4 A "SC-0002"\r\n', b"ES\r\n")
        port.write(b"I4\r\n")
        assert b'I4 A "SC-0002"\r\n' in (port.readline(), port.readline())


def test_all_kinds_run_from_one_plan(start_sim: Start) -> None:
    plan = _plan(TAG, speed=3000)
    plan["devices"] += [
        PROBE,
        SICS,
        {"serial": "SC-0001", "kind": "scale_ascii", "capacity_kg": 15, "e_kg": "0.005", "format": "and"},
        {
            "serial": "BT-0001",
            "kind": "bthome",
            "address": "A4:C1:38:00:00:01",
            "equipment": "freezer-1",
            "interval_s": 900,
        },
    ]
    plan["loads"] = [{"at_s": 1000, "device": s, "mass_kg": "2.5"} for s in ("SC-0001", "SC-0002")]
    sim = start_sim(plan)
    assert set(sim.ready["serial"]) == {"MB-0001", "SC-0001", "SC-0002"}
    wanted = {"BT-0001/temperature_c", "RV-0001/temperature_c", "SC-0001/weighings", "SC-0002/weighings"}
    sim.wait_for(lambda: wanted <= set(sim.control(do="status")["produced"]), "all of them")
    assert sim.stop() == 0
