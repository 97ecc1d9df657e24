"""The devices of ``firmware_sim`` on a virtual radio that a real kernel and a real bluetoothd listen to.

Plan, thermal model, frames, ledger and control socket are the simulator's own; only its fake ``org.bluez`` is taken out
and bumble put in: a peripheral a device, one controller at /dev/vhci as the kernel's ``hci0``, all on one local link.
Runs in the guest only (facts/devices.md 1.2, 1.3): ``python radio.py --plan PLAN.json --out DIR``.
"""

import asyncio
import struct
import sys
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from bumble import core, ll
from bumble.controller import Controller, LegacyAdvertiser
from bumble.core import PhysicalTransport
from bumble.device import Connection, Device
from bumble.gatt import Attribute, Characteristic, CharacteristicValue, Service
from bumble.hci import Address, LeFeatureMask, OwnAddressType
from bumble.host import Host
from bumble.link import LocalLink
from bumble.transport import open_transport
from bumble.transport.common import AsyncPipeSink

import firmware_sim.__main__
import firmware_sim.service
from firmware_sim.bluez import Advert, CharacteristicSpec, GattServer, LinkLostError, Peripheral

MANUFACTURER, SERVICE_DATA_16 = 0xFF, 0x16
FLAGS = bytes((2, 0x01, 0x06))
# bumble answers with plain events where a controller with these features owes extended ones: the kernel would wait for
# "LE Enhanced Connection Complete", give up after 4 s, and every connection but the first would fail (devices.md 1.3).
NOT_KEPT_BY_BUMBLE = LeFeatureMask.LL_PRIVACY | LeFeatureMask.LE_EXTENDED_ADVERTISING
PROPERTIES = {
    "read": Characteristic.Properties.READ,
    "write": Characteristic.Properties.WRITE,
    "write-without-response": Characteristic.Properties.WRITE_WITHOUT_RESPONSE,
    "notify": Characteristic.Properties.NOTIFY,
}
NOTIFY_PAUSE_S = 0.001  # let the HCI queue drain: a radio is not faster either


def payload(advert: Advert) -> bytes:
    """AD structures of an advert, at most 31 bytes."""
    found = FLAGS
    for uuid, data in advert.service_data.items():
        found += bytes((len(data) + 3, SERVICE_DATA_16)) + struct.pack("<H", int(uuid[:8], 16)) + data
    for company, data in advert.manufacturer_data.items():
        found += bytes((len(data) + 3, MANUFACTURER)) + struct.pack("<H", company) + data
    if len(found) > 31:
        raise ValueError(f"{len(found)} bytes do not fit an advert")
    return found


class OnCommand(LegacyAdvertiser):
    """Connectable while the host wants it, but sends only when the device says so: no timer of its own."""

    def start(self) -> None:
        self.enabled = True

    def stop(self) -> None:
        self.enabled = False


class OnAir:
    """One peripheral: controller, host and GATT server."""

    def __init__(self, link: LocalLink, peripheral: Peripheral) -> None:
        self._plan = peripheral
        # Addresses with the two highest bits set are static random ones, as a tag's; others stand for public ones.
        self._random = peripheral.address[0] in "CDEF"
        kind = Address.RANDOM_DEVICE_ADDRESS if self._random else Address.PUBLIC_DEVICE_ADDRESS
        self.address = Address(peripheral.address, kind)
        public = None if self._random else self.address
        self._controller = Controller(peripheral.address, link=link, public_address=public)
        self._controller.le_features &= ~NOT_KEPT_BY_BUMBLE
        self._controller.le_legacy_advertiser = OnCommand(self._controller)
        host = Host(controller_sink=AsyncPipeSink(self._controller))
        self._controller.host = AsyncPipeSink(host)
        self._device = Device(name=peripheral.local_name, address=self.address, host=host)
        self._characteristics: dict[str, Characteristic[bytes]] = {}
        self._connection: Connection | None = None
        self._left: int | None = None  # notifications that this link survives
        self._tasks: set[asyncio.Task[None]] = set()
        if peripheral.gatt is not None:
            self._serve(peripheral.gatt)
        self._device.on(Device.EVENT_CONNECTION, self._connected)

    async def power_on(self) -> None:
        await self._device.power_on()
        own = OwnAddressType.RANDOM if self._random else OwnAddressType.PUBLIC
        await self._device.start_advertising(own_address_type=own, auto_restart=True)

    def send(self, advert: Advert) -> None:
        self._controller.send_advertising_pdu(ll.AdvInd(advertiser_address=self.address, data=payload(advert)))

    def _serve(self, gatt: GattServer) -> None:
        for service in gatt.services:
            made = [self._characteristic(gatt, spec) for spec in service.characteristics]
            self._device.add_service(Service(core.UUID(service.uuid), made))

    def _characteristic(self, gatt: GattServer, spec: CharacteristicSpec) -> Characteristic[bytes]:
        properties = Characteristic.Properties(0)
        for flag in spec.flags:
            properties |= PROPERTIES[flag]
        permissions = Attribute.Permissions(0)
        if "read" in spec.flags:
            permissions |= Attribute.READABLE
        if "write" in spec.flags:
            permissions |= Attribute.WRITEABLE

        def wrote(_connection: Connection, data: bytes) -> None:
            self._start(gatt.wrote(spec.uuid, bytes(data), self._notify))

        value = CharacteristicValue(read=lambda _: gatt.read(spec.uuid), write=wrote)
        made: Characteristic[bytes] = Characteristic(core.UUID(spec.uuid), properties, permissions, value)

        def subscribed(_connection: Connection, notify: bool, _indicate: bool) -> None:
            if notify:
                gatt.subscribed(spec.uuid, self._notify)

        made.on(made.EVENT_SUBSCRIPTION, subscribed)
        self._characteristics[spec.uuid] = made
        return made

    def _connected(self, connection: Connection) -> None:
        self._connection, self._left = connection, self._plan.drop_after()

        def gone(_reason: int) -> None:
            self._connection = None

        connection.on(Connection.EVENT_DISCONNECTION, gone)

    async def _notify(self, uuid: str, data: bytes) -> None:
        connection = self._connection
        if connection is None:
            raise LinkLostError(self._plan.address)
        if self._left is not None:
            if self._left == 0:
                await connection.disconnect()
                raise LinkLostError(self._plan.address)
            self._left -= 1
        await self._device.notify_subscriber(connection, self._characteristics[uuid], data)
        await asyncio.sleep(NOTIFY_PAUSE_S)

    def _start(self, work: Awaitable[None]) -> None:
        async def run() -> None:
            try:
                await work
            except LinkLostError:
                pass

        task = asyncio.create_task(run(), name=f"gatt {self._plan.address}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Link(LocalLink):
    """bumble's link names the sender of data by its present random address; but the kernel takes a new one for each
    scan, also while a link is up. Here the sender is who it was when the link was made."""

    def send_acl_data(
        self, sender_controller: Controller, destination_address: Address, transport: PhysicalTransport, data: bytes
    ) -> None:
        receiver = self.find_le_controller(destination_address)
        link = sender_controller.le_connections.get(destination_address)
        if receiver is not None and link is not None:
            asyncio.get_running_loop().call_soon(receiver.on_link_acl_data, link.self_address, transport, data)


class BumbleRadio:
    """Stands where ``FakeBlueZ`` stands in the simulator. bluetoothd and the adapter's power belong to the tests."""

    def __init__(self, _bus_address: str) -> None:
        self._link = Link()
        self._devices: dict[str, OnAir] = {}
        self._starting: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._transport = await open_transport("vhci")
        # No public address: BlueZ then uses a static random one, without which bumble drops ACL data (devices.md 1.2).
        self._hci0 = Controller("hci0", self._transport.source, self._transport.sink, link=self._link)
        self._hci0.le_features &= ~NOT_KEPT_BY_BUMBLE
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._transport.close()

    def advertise(self, peripheral: Peripheral, advert: Advert, _rssi_dbm: int) -> bool:
        """One advert on the air (bumble's link tells -50 dBm whatever we say)."""
        device = self._devices.get(peripheral.address)
        if device is None:
            device = self._devices[peripheral.address] = OnAir(self._link, peripheral)
            task = asyncio.create_task(device.power_on(), name=f"power on {peripheral.address}")
            self._starting.add(task)
            task.add_done_callback(lambda done: (self._starting.discard(done), done.result()))
        device.send(advert)
        return True

    def set_powered(self, powered: bool) -> None:
        if not powered:
            raise NotImplementedError("the tests turn the real adapter off themselves")


class RealBus:
    """Stands where ``PrivateBus`` stands: the guest's system bus, started by the tests."""

    address = "unix:path=/run/dbus/system_bus_socket"

    def __init__(self, _folder: object) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None: ...


def main() -> int:
    replaced: dict[str, Callable[..., object]] = {"FakeBlueZ": BumbleRadio, "PrivateBus": RealBus}
    for name, stand_in in replaced.items():
        if not hasattr(firmware_sim.service, name):
            raise SystemExit(f"firmware_sim.service has no {name} any more: this stand-in must follow it")
        setattr(firmware_sim.service, name, stand_in)
    return firmware_sim.__main__.main()


if __name__ == "__main__":
    sys.exit(main())
