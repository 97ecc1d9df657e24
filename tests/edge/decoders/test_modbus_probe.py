"""The XY-MD02 probe: the vectors MB1 to MB5 of facts/devices.md 4, through pymodbus on a pseudo-terminal."""

from __future__ import annotations

import asyncio
import os
import threading
import tty
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import serial  # noqa: F401  (pymodbus looks for it in sys.modules)
from pymodbus.client import AsyncModbusSerialClient

from edge.decoders import modbus_probe
from edge.decoders.frames import FrameError, Measurement
from telemetry.readings import Quality


class Wire:
    """A pty whose far end answers one request with given bytes."""

    def __init__(self) -> None:
        self.master, self._slave = os.openpty()
        tty.setraw(self.master)
        self.path = os.ttyname(self._slave)
        self.asked = b""

    def answer(self, request_bytes: int, reply: bytes) -> None:
        def talk() -> None:
            while len(self.asked) < request_bytes:
                self.asked += os.read(self.master, 64)
            os.write(self.master, reply)

        threading.Thread(target=talk, daemon=True).start()

    def close(self) -> None:
        os.close(self.master)
        os.close(self._slave)


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    yield made
    made.close()


def exchange(wire: Wire, count: int, reply: str) -> Any:
    wire.answer(8, bytes.fromhex(reply.replace(" ", "")))

    async def ask() -> Any:
        client = AsyncModbusSerialClient(wire.path, baudrate=9600, timeout=2, retries=0, reconnect_delay=0)
        assert await client.connect()
        try:
            return await client.read_input_registers(1, count=count, device_id=1)
        finally:
            client.close()

    return asyncio.run(ask())


ONE = modbus_probe.Profile(1, 1, modbus_probe.XY_MD02.registers[:1])


@pytest.mark.parametrize(
    ("name", "reply", "celsius"),
    [("MB1", "01 04 02 01 31 79 74", "30.5"), ("MB2", "01 04 02 01 07 F9 62", "26.3")],
)
def test_mb1_mb2_one_register(wire: Wire, name: str, reply: str, celsius: str) -> None:
    answer = exchange(wire, 1, reply)
    assert wire.asked == bytes.fromhex("010400010001600A")
    assert modbus_probe.decode(answer.registers, ONE) == (Measurement("temperature_c", Decimal(celsius)),)


def test_mb3_both_registers(wire: Wire) -> None:
    answer = exchange(wire, 2, "01 04 04 01 31 02 22 2A CE")
    assert wire.asked == bytes.fromhex("010400010002200B")
    assert modbus_probe.decode(answer.registers) == (
        Measurement("temperature_c", Decimal("30.5")),
        Measurement("humidity_percent", Decimal("54.6")),
    )


def test_mb4_an_exception_answer_is_no_value(wire: Wire) -> None:
    answer = exchange(wire, 2, "01 84 02 C2 C1")
    assert answer.isError()
    assert modbus_probe.refused() == (Measurement("temperature_c", None, Quality.SENSOR_FAULT),)


def test_mb5_a_freezing_register_is_negative() -> None:
    assert modbus_probe.decode([0xFF38, 0])[0] == Measurement("temperature_c", Decimal("-20.0"))


@pytest.mark.parametrize("registers", [[], [1], [1, 2, 3], [1, 0x10000]])
def test_what_is_not_two_registers_is_refused(registers: list[int]) -> None:
    with pytest.raises(FrameError):
        modbus_probe.decode(registers)
