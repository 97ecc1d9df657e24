"""The doctor's looks at an edge: its broker account, BlueZ on D-Bus, and the serial ports of its devices."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edge.config import Config, DeviceSettings, load
from edge.decoders import ADVERT_DECODERS
from smile_iot import doctor_looks as looks
from smile_iot.doctor import Finding, Sign, alive
from smile_iot.service import alive_file
from telemetry.clock import kernel_sync
from telemetry.errors import ConfigError

PACKAGES = ("aiomqtt", "bleak", "dbus_fast", "paho", "pymodbus", "serial", "serialx")


def look(file: Path, now_ms: int) -> list[Finding]:
    """Everything that the edge of this settings file needs."""
    found = looks.python(PACKAGES, "edge")
    try:
        config = load(file)
    except ConfigError as error:
        advice = error.advice or "edge/edge.example.toml shows all of them"
        return [*found, Finding("settings", Sign.MISSING, error.message, advice)]
    folder = Path(config.edge.outbox).parent
    return [
        *found,
        *looks.data_folder(folder, "outbox folder"),
        looks.clock(*kernel_sync()),
        *broker(config),
        *bluetooth(config),
        *[port(d) for d in config.devices if d.driver not in ADVERT_DECODERS],
        *([alive(folder, "edge", now_ms)] if alive_file(folder, "edge").exists() else []),
    ]


def broker(config: Config) -> list[Finding]:
    m = config.mqtt
    for path in (m.password_file, m.ca_file, m.upload_key_file):
        if path and not os.access(path, os.R_OK):
            todo = "smile-iot edge enrol makes it, for the owner of its folder: is that the agent's user?"
            return [Finding("broker", Sign.MISSING, f"{path} cannot be read", todo)]
    password = Path(m.password_file).read_text().strip() if m.password_file else ""
    return looks.broker(
        looks.Account(m.host, m.port, m.username, password, m.tls, m.ca_file, m.cert_file, m.key_file)
    )


def bluetooth(config: Config) -> list[Finding]:
    """BlueZ and a powered adapter, if any device speaks Bluetooth."""
    if not any(d.driver in ADVERT_DECODERS for d in config.devices):
        return []
    try:
        adapters = asyncio.run(asyncio.wait_for(_adapters(), looks.NETWORK_S))
    except (OSError, EOFError, TimeoutError) as error:
        todo = "apt-get install dbus bluez, and systemctl start dbus bluetooth"
        return [Finding("D-Bus", Sign.MISSING, f"the system bus does not answer: {error or 'too late'}", todo)]
    if adapters is None:
        todo = "apt-get install bluez, and systemctl enable --now bluetooth"
        return [Finding("BlueZ", Sign.MISSING, "is not on the system bus", todo)]
    return [_adapter(adapters, config.ble.adapter)]


def _adapter(adapters: dict[str, bool], wanted: str) -> Finding:
    name = wanted or next(iter(sorted(adapters)), "")
    if name not in adapters:
        said = f"no adapter {wanted}".rstrip() + (f" (there are {', '.join(adapters)})" if adapters else "")
        return Finding("Bluetooth", Sign.MISSING, said, "plug in an adapter, or see: bluetoothctl list")
    if not adapters[name]:
        return Finding("Bluetooth", Sign.MISSING, f"{name} is off", "rfkill unblock bluetooth; bluetoothctl power on")
    return Finding("Bluetooth", Sign.OK, f"BlueZ with {name}, powered")


async def _adapters() -> dict[str, bool] | None:
    """{adapter: powered}; None when nobody owns org.bluez. Raises OSError or EOFError when there is no bus."""
    from dbus_fast import BusType, Message, MessageType
    from dbus_fast.aio import MessageBus

    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    try:
        reply = await bus.call(
            Message(
                destination="org.bluez",
                path="/",
                interface="org.freedesktop.DBus.ObjectManager",
                member="GetManagedObjects",
            )
        )
    finally:
        bus.disconnect()
    if reply is None or reply.message_type is MessageType.ERROR:
        return None
    objects: dict[str, dict[str, dict[str, Any]]] = reply.body[0]
    return {
        path.rpartition("/")[2]: bool(faces["org.bluez.Adapter1"]["Powered"].value)
        for path, faces in objects.items()
        if "org.bluez.Adapter1" in faces
    }


def port(device: DeviceSettings) -> Finding:
    """Whether a device's serial port is there and may be used; ``socket://host:port`` is tried."""
    subject = f"port of {device.serial}"
    if device.port.startswith("socket://"):
        return _socket(subject, device.port)
    path = Path(device.port)
    if not path.exists():
        todo = "is it plugged in? ls -l /dev/serial/by-id shows what is"
        return Finding(subject, Sign.MISSING, f"{path} is not there", todo)
    if not os.access(path, os.R_OK | os.W_OK):
        todo = "give the agent's user the group: usermod -aG dialout smile-iot, then restart the agent"
        return Finding(subject, Sign.MISSING, f"{path} may not be used by this user", todo)
    if path.name.startswith(("ttyUSB", "ttyACM")):
        todo = "name it by /dev/serial/by-id/...: this number moves when cables are moved"
        return Finding(subject, Sign.WARNING, f"{path} is there", todo)
    return Finding(subject, Sign.OK, f"{path} is there")


def _socket(subject: str, url: str) -> Finding:
    place = urlsplit(url)
    try:
        with socket.create_connection((place.hostname or "", place.port or 0), looks.NETWORK_S):
            return Finding(subject, Sign.OK, f"{url} answers")
    except (OSError, ValueError) as error:
        return Finding(subject, Sign.MISSING, f"{url}: {error}", "is the serial server on and its address right?")
