"""A fake ``org.bluez`` on a private bus: the D-Bus face of bluetoothd, enough for bleak's own BlueZ backend.

It has one adapter (hci0) and any number of peripherals. What real BlueZ does and this repeats (facts/devices.md
1.3): a restart of bluetoothd leaves a running scan silent without an error, and stopping it says "No discovery
started"; an adapter that is off says NotReady; adverts reach the bus only while somebody scans, merged into one
property set per device.

Pitfalls of dbus-fast that shape this file (1.4): no interface may have an attribute called ``name``, and a burst
of notifications must await a ``Peer.Ping`` every so often or the bus is dropped on EAGAIN. And (3) this file may
not postpone its annotations: dbus-fast 5.2 reads a postponed ``-> None`` as a wrong signature.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Annotated, Any, Protocol, Self

from dbus_fast import Message, MessageType, PropertyAccess, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.annotations import (
    DBusBool,
    DBusBytes,
    DBusDict,
    DBusInt16,
    DBusObjectPath,
    DBusSignature,
    DBusStr,
    DBusUInt16,
)
from dbus_fast.errors import DBusError
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property

ADAPTER_PATH = "/org/bluez/hci0"
ADAPTER_ADDRESS = "00:1A:7D:DA:71:13"
PING_EVERY = 25
READ = PropertyAccess.READ

_Strings = Annotated[list[str], DBusSignature("as")]
_Manufacturer = Annotated[dict[int, Variant], DBusSignature("a{qv}")]


class LinkLostError(ConnectionError):
    """The link to the central is gone; what was being sent did not arrive."""


@dataclass(frozen=True, slots=True)
class Advert:
    """What a peripheral broadcasts."""

    service_data: dict[str, bytes] = field(default_factory=dict)
    manufacturer_data: dict[int, bytes] = field(default_factory=dict)
    service_uuids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CharacteristicSpec:
    """One characteristic: UUID and BlueZ flags (``read``, ``write``, ``notify`` ...)."""

    uuid: str
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """One GATT service."""

    uuid: str
    characteristics: tuple[CharacteristicSpec, ...]


Notify = Callable[[str, bytes], Awaitable[None]]


class GattServer(Protocol):
    """The connectable side of a peripheral. ``notify(uuid, data)`` raises LinkLostError when the link is gone."""

    services: Sequence[ServiceSpec]

    def refuses(self) -> str | None:
        """The reason why a connection fails just now, or None."""

    async def wrote(self, uuid: str, data: bytes, notify: Notify) -> None:
        """A central wrote to a characteristic."""

    def subscribed(self, uuid: str, notify: Notify) -> None:
        """A central turned a characteristic's notifications on."""

    def read(self, uuid: str) -> bytes:
        """A central reads a characteristic."""


@dataclass(slots=True)
class Peripheral:
    """One BLE device: address as printed, advertised name, and its GATT side if it can be connected to."""

    address: str
    local_name: str
    gatt: GattServer | None = None
    drop_after: Callable[[], int | None] = lambda: None  # notifications a new link will survive


def _error(kind: str, text: str) -> DBusError:
    return DBusError(f"org.bluez.Error.{kind}", text)


class _Adapter(ServiceInterface):
    def __init__(self, fake: "FakeBlueZ") -> None:
        self._fake = fake
        self.powered = True
        self.scanners: set[str] = set()
        super().__init__("org.bluez.Adapter1")

    @dbus_property(access=READ, name="Address")
    def address(self) -> DBusStr:
        return ADAPTER_ADDRESS

    @dbus_property(access=READ, name="AddressType")
    def address_type(self) -> DBusStr:
        return "public"

    @dbus_property(access=READ, name="Name")
    def adapter_name(self) -> DBusStr:
        return "firmware-sim"

    @dbus_property(access=READ, name="Alias")
    def alias(self) -> DBusStr:
        return "firmware-sim"

    @dbus_property(access=READ, name="Powered")
    def is_powered(self) -> DBusBool:
        return self.powered

    @dbus_property(access=READ, name="Discovering")
    def discovering(self) -> DBusBool:
        return bool(self.scanners)

    @dbus_property(access=READ, name="Roles")
    def roles(self) -> _Strings:
        return ["central", "peripheral"]

    @dbus_property(access=READ, name="UUIDs")
    def uuids(self) -> _Strings:
        return []

    @dbus_method(name="SetDiscoveryFilter")
    def set_discovery_filter(self, _filters: DBusDict) -> None:
        """Accepted and not applied: every advert is reported."""

    @dbus_method(name="StartDiscovery")
    def start_discovery(self) -> None:
        if not self.powered:
            raise _error("NotReady", "Resource Not Ready")
        if self._fake.caller in self.scanners:
            raise _error("InProgress", "Operation already in progress")
        self.scanners.add(self._fake.caller)
        self.tell_discovering()

    @dbus_method(name="StopDiscovery")
    def stop_discovery(self) -> None:
        if not self.powered:
            raise _error("NotReady", "Resource Not Ready")
        if self._fake.caller not in self.scanners:
            raise _error("Failed", "No discovery started")
        self.scanners.discard(self._fake.caller)
        self.tell_discovering()

    @dbus_method(name="RemoveDevice")
    def remove_device(self, path: DBusObjectPath) -> None:
        if not self._fake.forget(path):
            raise _error("DoesNotExist", "Does Not Exist")

    def tell_discovering(self) -> None:
        self.emit_properties_changed({"Discovering": bool(self.scanners)})


class _Characteristic(ServiceInterface):
    def __init__(self, device: "_Device", service_path: str, path: str, spec: CharacteristicSpec) -> None:
        self.device = device
        self.path = path
        self.spec = spec
        self._service_path = service_path
        self.value = b""
        self.notifying_to: set[str] = set()
        super().__init__("org.bluez.GattCharacteristic1")

    @dbus_property(access=READ, name="UUID")
    def uuid(self) -> DBusStr:
        return self.spec.uuid

    @dbus_property(access=READ, name="Service")
    def service(self) -> DBusObjectPath:
        return self._service_path

    @dbus_property(access=READ, name="Flags")
    def flags(self) -> _Strings:
        return list(self.spec.flags)

    @dbus_property(access=READ, name="MTU")
    def mtu(self) -> DBusUInt16:
        return 247

    @dbus_property(access=READ, name="Notifying")
    def notifying(self) -> DBusBool:
        return bool(self.notifying_to)

    @dbus_property(access=READ, name="Value")
    def current(self) -> DBusBytes:
        return self.value

    @dbus_method(name="ReadValue")
    def read_value(self, _options: DBusDict) -> DBusBytes:
        gatt = self._linked()
        if "read" not in self.spec.flags:
            raise _error("NotPermitted", "Read not permitted")
        self.value = gatt.read(self.spec.uuid)
        return self.value

    @dbus_method(name="WriteValue")
    def write_value(self, value: DBusBytes, _options: DBusDict) -> None:
        gatt = self._linked()
        if not {"write", "write-without-response"} & set(self.spec.flags):
            raise _error("NotPermitted", "Write not permitted")
        self.device.start(gatt.wrote(self.spec.uuid, bytes(value), self.device.notify))

    @dbus_method(name="StartNotify")
    def start_notify(self) -> None:
        gatt = self._linked()
        if "notify" not in self.spec.flags:
            raise _error("NotSupported", "Operation is not supported")
        self.notifying_to.add(self.device.fake.caller)
        self.emit_properties_changed({"Notifying": True})
        gatt.subscribed(self.spec.uuid, self.device.notify)

    @dbus_method(name="StopNotify")
    def stop_notify(self) -> None:
        self.notifying_to.discard(self.device.fake.caller)
        self.emit_properties_changed({"Notifying": bool(self.notifying_to)})

    def _linked(self) -> GattServer:
        gatt = self.device.peripheral.gatt
        if not self.device.is_connected or gatt is None:
            raise _error("Failed", "Not connected")
        return gatt


class _Service(ServiceInterface):
    def __init__(self, device_path: str, spec: ServiceSpec) -> None:
        self._device_path = device_path
        self._spec = spec
        super().__init__("org.bluez.GattService1")

    @dbus_property(access=READ, name="UUID")
    def uuid(self) -> DBusStr:
        return self._spec.uuid

    @dbus_property(access=READ, name="Primary")
    def primary(self) -> DBusBool:
        return True

    @dbus_property(access=READ, name="Device")
    def device(self) -> DBusObjectPath:
        return self._device_path


class _Device(ServiceInterface):
    """A device as BlueZ knows it: made by its first advert, kept until it is removed or bluetoothd restarts."""

    def __init__(self, fake: "FakeBlueZ", peripheral: Peripheral, advert: Advert, rssi_dbm: int) -> None:
        self.fake = fake
        self.peripheral = peripheral
        self.path = device_path(peripheral.address)
        self.advert = advert
        self.rssi_dbm = rssi_dbm
        self.is_connected = False
        self.is_resolved = False
        self.central = ""
        self._characteristics: dict[str, _Characteristic] = {}
        self._exported: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._sent = 0
        self._drop_after: int | None = None
        super().__init__("org.bluez.Device1")

    @dbus_property(access=READ, name="Address")
    def address(self) -> DBusStr:
        return self.peripheral.address

    @dbus_property(access=READ, name="AddressType")
    def address_type(self) -> DBusStr:
        return "public"

    @dbus_property(access=READ, name="Name")
    def local_name(self) -> DBusStr:
        return self.peripheral.local_name

    @dbus_property(access=READ, name="Alias")
    def alias(self) -> DBusStr:
        return self.peripheral.local_name

    @dbus_property(access=READ, name="Adapter")
    def adapter(self) -> DBusObjectPath:
        return ADAPTER_PATH

    @dbus_property(access=READ, name="Paired")
    def paired(self) -> DBusBool:
        return False

    @dbus_property(access=READ, name="Trusted")
    def trusted(self) -> DBusBool:
        return False

    @dbus_property(access=READ, name="Blocked")
    def blocked(self) -> DBusBool:
        return False

    @dbus_property(access=READ, name="Connected")
    def connected(self) -> DBusBool:
        return self.is_connected

    @dbus_property(access=READ, name="ServicesResolved")
    def services_resolved(self) -> DBusBool:
        return self.is_resolved

    @dbus_property(access=READ, name="RSSI")
    def rssi(self) -> DBusInt16:
        return self.rssi_dbm

    @dbus_property(access=READ, name="UUIDs")
    def uuids(self) -> _Strings:
        return list(self.advert.service_uuids)

    @dbus_property(access=READ, name="ServiceData")
    def service_data(self) -> DBusDict:
        return {uuid: Variant("ay", data) for uuid, data in self.advert.service_data.items()}

    @dbus_property(access=READ, name="ManufacturerData")
    def manufacturer_data(self) -> _Manufacturer:
        return {company: Variant("ay", data) for company, data in self.advert.manufacturer_data.items()}

    @dbus_method(name="Connect")
    async def connect(self) -> None:
        gatt = self.peripheral.gatt
        caller = self.fake.caller  # read before the first await: it is the caller of this call only until then
        if not self.fake.adapter.powered:
            raise _error("NotReady", "Resource Not Ready")
        if gatt is None:
            raise _error("NotAvailable", "br-connection-profile-unavailable")
        if (reason := gatt.refuses()) is not None:
            await asyncio.sleep(0.02)
            raise _error("Failed", reason)
        if self.is_connected:
            return
        self.is_connected, self.central = True, caller
        self._sent, self._drop_after = 0, self.peripheral.drop_after()
        self.emit_properties_changed({"Connected": True})
        self._export_services(gatt)
        self.is_resolved = True
        self.emit_properties_changed({"ServicesResolved": True})

    @dbus_method(name="Disconnect")
    def disconnect(self) -> None:
        self.drop_link()

    def heard(self, advert: Advert, rssi_dbm: int) -> None:
        """An advert: BlueZ emits the data and the signal strength, changed or not."""
        self.advert, self.rssi_dbm = advert, rssi_dbm
        changed: dict[str, Any] = {"RSSI": rssi_dbm}
        if advert.service_data:
            changed["ServiceData"] = {uuid: Variant("ay", data) for uuid, data in advert.service_data.items()}
        if advert.manufacturer_data:
            changed["ManufacturerData"] = {c: Variant("ay", data) for c, data in advert.manufacturer_data.items()}
        self.emit_properties_changed(changed)

    async def notify(self, uuid: str, data: bytes) -> None:
        """Send a notification to whoever subscribed; raises LinkLostError when the link is or goes down."""
        if not self.is_connected:
            raise LinkLostError(self.peripheral.address)
        if self._drop_after is not None and self._sent >= self._drop_after:
            self.drop_link()
            raise LinkLostError(self.peripheral.address)
        characteristic = self._characteristics[uuid]
        if not characteristic.notifying_to:
            return
        characteristic.value = data
        characteristic.emit_properties_changed({"Value": data})
        self._sent += 1
        if self._sent % PING_EVERY == 0:
            await self.fake.ping()

    def start(self, work: Awaitable[None]) -> None:
        """Run what a write set off; it ends with the link."""

        async def run() -> None:
            try:
                await work
            except LinkLostError:
                pass

        task = asyncio.create_task(run(), name=f"gatt {self.peripheral.address}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def drop_link(self) -> None:
        """The link is gone, whoever wanted it."""
        if not self.is_connected:
            return
        self.is_connected = self.is_resolved = False
        self.central = ""
        for characteristic in self._characteristics.values():
            characteristic.notifying_to.clear()
        self.emit_properties_changed({"ServicesResolved": False, "Connected": False})

    def unexport(self, bus: MessageBus) -> None:
        """Forget the device and its services."""
        self.drop_link()
        for task in self._tasks:
            task.cancel()
        for path in reversed(self._exported):
            bus.unexport(path)
        bus.unexport(self.path)

    def _export_services(self, gatt: GattServer) -> None:
        if self._exported:
            return
        handle = 0x000A
        for service in gatt.services:
            service_path = f"{self.path}/service{handle:04x}"
            self._export(service_path, _Service(self.path, service))
            for spec in service.characteristics:
                handle += 1
                path = f"{service_path}/char{handle:04x}"
                characteristic = _Characteristic(self, service_path, path, spec)
                self._characteristics[spec.uuid] = characteristic
                self._export(path, characteristic)
            handle += 5

    def _export(self, path: str, interface: ServiceInterface) -> None:
        self.fake.bus.export(path, interface)
        self._exported.append(path)


def device_path(address: str) -> str:
    """BlueZ's object path of an address."""
    return f"{ADAPTER_PATH}/dev_{address.replace(':', '_')}"


class FakeBlueZ:
    """``async with FakeBlueZ(bus_address)``: owns ``org.bluez`` until it leaves the block."""

    def __init__(self, bus_address: str) -> None:
        self._address = bus_address
        self.bus = MessageBus(bus_address=bus_address)
        self.adapter = _Adapter(self)
        self.caller = ""
        self._devices: dict[str, _Device] = {}
        self._running = False

    async def __aenter__(self) -> Self:
        await self.bus.connect()
        self.bus.add_message_handler(self._note_caller)
        await self.bus.call(
            Message(
                destination="org.freedesktop.DBus",
                path="/org/freedesktop/DBus",
                interface="org.freedesktop.DBus",
                member="AddMatch",
                signature="s",
                body=["type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged'"],
            )
        )
        self.bus.export(ADAPTER_PATH, self.adapter)
        await self.bus.request_name("org.bluez")
        self._running = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._running = False
        self.bus.disconnect()

    def advertise(self, peripheral: Peripheral, advert: Advert, rssi_dbm: int) -> bool:
        """One advert on the air; True when somebody scans and so the bus heard it."""
        if not (self._running and self.adapter.powered and self.adapter.scanners):
            return False
        device = self._devices.get(peripheral.address)
        if device is None:
            device = _Device(self, peripheral, advert, rssi_dbm)
            self._devices[peripheral.address] = device
            self.bus.export(device.path, device)  # InterfacesAdded carries the first advert
        else:
            device.heard(advert, rssi_dbm)
        return True

    def forget(self, path: str) -> bool:
        """Remove a device; False when there is none."""
        for address, device in list(self._devices.items()):
            if device.path == path:
                del self._devices[address]
                device.unexport(self.bus)
                return True
        return False

    def drop_link(self, address: str) -> None:
        """Cut the link to a peripheral, if there is one."""
        if (device := self._devices.get(address)) is not None:
            device.drop_link()

    def set_powered(self, powered: bool) -> None:
        """Turn the adapter on or off: off ends every scan and link."""
        if powered == self.adapter.powered:
            return
        self.adapter.powered = powered
        if not powered:
            self.adapter.scanners.clear()
            for device in self._devices.values():
                device.drop_link()
            self.adapter.tell_discovering()
        self.adapter.emit_properties_changed({"Powered": powered})

    async def restart(self, down_s: float) -> None:
        """bluetoothd dies and comes back ``down_s`` real seconds later, knowing no scan, no link and no device."""
        self._running = False
        for device in list(self._devices.values()):
            self.forget(device.path)
        self.adapter.scanners.clear()  # and nobody is told: that is the trap of 1.3/1
        await self.bus.release_name("org.bluez")
        await asyncio.sleep(down_s)
        await self.bus.request_name("org.bluez")
        self._running = True

    async def ping(self) -> None:
        """Wait until the bus has taken what we sent (pitfall 1.4/2)."""
        await self.bus.call(
            Message(
                destination="org.freedesktop.DBus",
                path="/org/freedesktop/DBus",
                interface="org.freedesktop.DBus.Peer",
                member="Ping",
            )
        )

    def _note_caller(self, message: Message) -> None:
        if message.message_type is MessageType.METHOD_CALL:
            self.caller = message.sender or ""
        elif message.member == "NameOwnerChanged" and not message.body[2]:
            self._client_left(message.body[0])

    def _client_left(self, client: str) -> None:
        """A killed client ends its scan, as in BlueZ. Its links end too (BlueZ would keep them; a phone's would
        not)."""
        if client in self.adapter.scanners:
            self.adapter.scanners.discard(client)
            self.adapter.tell_discovering()
        for device in self._devices.values():
            if device.central == client:
                device.drop_link()
