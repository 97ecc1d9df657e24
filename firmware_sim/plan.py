"""The plan of a run: read from JSON, checked, frozen. Pure.

README.md describes the file. Every mistake is a PlanError that names the place and what would be right there.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path
from typing import Any

from firmware_sim.ascii_scale import LineFormat
from firmware_sim.faults import SCOPE, Fault, FaultKind, Scope
from firmware_sim.scale import Load
from firmware_sim.thermal import Equipment


class PlanError(ValueError):
    """The plan cannot be run. ``where`` is the place in the file, ``why`` says what would be right."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}" if where else why)
        self.where = where
        self.why = why


class DeviceKind(StrEnum):
    """What we can simulate."""

    BTHOME = "bthome"
    RUUVI = "ruuvi"
    MODBUS = "modbus"
    SCALE_ASCII = "scale_ascii"
    MT_SICS = "mt_sics"


BLE = frozenset({DeviceKind.BTHOME, DeviceKind.RUUVI})
SCALES = frozenset({DeviceKind.SCALE_ASCII, DeviceKind.MT_SICS})
THERMOMETERS = BLE | {DeviceKind.MODBUS}
SERIAL = SCALES | {DeviceKind.MODBUS}


@dataclass(frozen=True, slots=True)
class ClockPlan:
    """``t0_ms`` None: the wall clock at the start; ``m0_ns`` None: CLOCK_MONOTONIC at the start."""

    t0_ms: int | None
    m0_ns: int | None
    speed: float
    until_s: float = math.inf
    then_speed: float = 1.0


@dataclass(frozen=True, slots=True)
class Thermometer:
    """A logger or probe in an equipment. ``address`` for BLE; ``unit_id`` and ``baud`` for Modbus; the rest
    Ruuvi's."""

    serial: str
    kind: DeviceKind
    equipment: str
    interval_s: float
    address: str = ""
    baud: int = 9600
    unit_id: int = 1
    memory_records: int = 2880
    clock_drift_ppm: float = 0.0
    battery_mv: int | None = None


@dataclass(frozen=True, slots=True)
class Scale:
    """A scale on a serial line. ``rate_hz`` (frames a real second); ``settle_s`` and ``stable_s`` are real
    seconds."""

    serial: str
    kind: DeviceKind
    capacity_kg: Decimal
    e_kg: Decimal
    rate_hz: float = 4.0
    baud: int = 9600
    settle_s: float = 0.75
    stable_s: float = 2.0
    format: LineFormat = LineFormat.CAS


Device = Thermometer | Scale


@dataclass(frozen=True, slots=True)
class Plan:
    """All that fixes a run."""

    seed: int
    clock: ClockPlan
    end_s: float
    equipment: tuple[Equipment, ...]
    devices: tuple[Device, ...]
    faults: tuple[Fault, ...]
    loads: Mapping[str, tuple[Load, ...]]


class _Reader:
    """One JSON object being read: takes its fields one by one and refuses what is left over."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise PlanError(where, f"must be an object, is {value!r}")
        self.where = where
        self._left: dict[str, Any] = dict(value)

    def at(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    def take(self, key: str, default: object = MISSING) -> Any:
        if key not in self._left:
            if default is MISSING:
                raise PlanError(self.where, f"{key!r} is missing")
            return default
        return self._left.pop(key)

    def text(self, key: str, default: object = MISSING) -> Any:
        value = self.take(key, default)
        if value is not default and not (isinstance(value, str) and value):
            raise PlanError(self.at(key), f"must be a text, is {value!r}")
        return value

    def number(self, key: str, default: object = MISSING, low: float = -math.inf, high: float = math.inf) -> Any:
        value = self.take(key, default)
        if value is default:
            return value
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise PlanError(self.at(key), f"must be a number, is {value!r}")
        if not low <= value <= high:
            raise PlanError(self.at(key), f"must be from {low:g} to {high:g}, is {value!r}")
        return value

    def integer(self, key: str, default: object = MISSING, low: float = 0, high: float = math.inf) -> Any:
        value = self.number(key, default, low, high)
        if value is not default and not isinstance(value, int):
            raise PlanError(self.at(key), f"must be a whole number, is {value!r}")
        return value

    def decimal(self, key: str, default: object = MISSING, low: Decimal = Decimal(0)) -> Any:
        value = self.take(key, default)
        if value is default:
            return value
        try:
            number = Decimal(str(value)) if not isinstance(value, bool) else Decimal("nan")
        except InvalidOperation:
            number = Decimal("nan")
        if not number.is_finite() or number < low:
            raise PlanError(self.at(key), f"must be a decimal number >= {low}, is {value!r}")
        return number

    def choice(self, key: str, choices: type[StrEnum], default: object = MISSING) -> Any:
        value = self.take(key, default)
        if value is default:
            return value
        try:
            return choices(value)
        except ValueError:
            raise PlanError(self.at(key), f"must be one of {', '.join(choices)}, is {value!r}") from None

    def items(self, key: str) -> list[tuple[object, str]]:
        value = self.take(key, [])
        if not isinstance(value, list):
            raise PlanError(self.at(key), f"must be a list, is {value!r}")
        return [(item, f"{self.at(key)}[{i}]") for i, item in enumerate(value)]

    def end(self) -> None:
        if self._left:
            raise PlanError(self.where, f"unknown: {', '.join(sorted(self._left))}")


SERIAL_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}")
ADDRESS_PATTERN = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){5}")


def load_plan(path: Path) -> Plan:
    """Read a plan file; raises PlanError (also for a file that is not there or not JSON)."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise PlanError(str(path), error.strerror or "cannot be read") from None
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise PlanError(str(path), f"is not JSON: {error}") from None
    return parse_plan(value)


def parse_plan(value: object) -> Plan:
    """Check a plan; raises PlanError with the place of the first mistake."""
    top = _Reader(value, "")
    seed = top.integer("seed", 1)
    clock = _clock(_Reader(top.take("clock", {}), "clock"))
    end_s = float(top.number("end_s", math.inf, low=0))
    equipment = tuple(_equipment(_Reader(item, where)) for item, where in top.items("equipment"))
    _unique([e.id for e in equipment], "equipment", "id")
    devices = tuple(_device(_Reader(item, where)) for item, where in top.items("devices"))
    _unique([d.serial for d in devices], "devices", "serial")
    _unique([d.address for d in devices if isinstance(d, Thermometer) and d.address], "devices", "address")
    known = {e.id for e in equipment}
    for i, device in enumerate(devices):
        if isinstance(device, Thermometer) and device.equipment not in known:
            raise PlanError(f"devices[{i}].equipment", f"there is no equipment {device.equipment!r}")
    faults = tuple(parse_fault(item, where, equipment, devices) for item, where in top.items("faults"))
    loads: dict[str, tuple[Load, ...]] = {}
    for item, where in top.items("loads"):
        serial, load = parse_load(item, where, devices)
        loads[serial] = (*loads.get(serial, ()), load)
    top.end()
    return Plan(seed, clock, end_s, equipment, devices, faults, loads)


def parse_fault(
    value: object,
    where: str,
    equipment: tuple[Equipment, ...],
    devices: tuple[Device, ...],
    now_s: float | None = None,
) -> Fault:
    """One fault; ``now_s`` is the default of ``at_s`` (for the control socket)."""
    read = _Reader(value, where)
    kind = FaultKind(read.choice("do", FaultKind))
    at_s = float(read.number("at_s", MISSING if now_s is None else now_s))
    for_s = float(read.number("for_s", math.inf, low=0))
    target = _target(read, kind, equipment, devices)
    ratio = float(read.number("ratio", 1.0, low=0, high=1)) if kind in _WIRE_DAMAGE else 1.0
    notifications = int(read.integer("notifications")) if kind is FaultKind.DROP_AFTER else 0
    links = int(read.integer("links", 1, low=1)) if kind is FaultKind.DROP_AFTER else 1
    down_s = float(read.number("down_s", 1.0, low=0, high=60)) if kind is FaultKind.BLUEZ_RESTART else 1.0
    mode = str(read.choice("mode", ProbeFault, "no_value")) if kind is FaultKind.PROBE_FAULT else "no_value"
    read.end()
    return Fault(kind, at_s, at_s + for_s, target, ratio, notifications, links, down_s, mode)


class ProbeFault(StrEnum):
    """How a BTHome logger tells that its probe is broken."""

    NO_VALUE = "no_value"
    OMIT = "omit"


_WIRE_DAMAGE = {FaultKind.HALF_FRAME, FaultKind.NOISE, FaultKind.BIT_FLIP, FaultKind.DUPLICATE, FaultKind.SPLIT}
_KINDS_FOR: dict[FaultKind, frozenset[DeviceKind]] = {
    FaultKind.PROBE_FAULT: THERMOMETERS,
    FaultKind.STUCK_VALUE: THERMOMETERS,
    FaultKind.LOW_BATTERY: frozenset({DeviceKind.BTHOME}),
    FaultKind.OUT_OF_RANGE: BLE,
    FaultKind.SILENCE: THERMOMETERS | SCALES,
    FaultKind.REFUSE_CONNECT: frozenset({DeviceKind.RUUVI}),
    FaultKind.DROP_AFTER: frozenset({DeviceKind.RUUVI}),
}


def _target(read: _Reader, kind: FaultKind, equipment: tuple[Equipment, ...], devices: tuple[Device, ...]) -> str:
    scope = SCOPE[kind]
    if scope is Scope.EQUIPMENT:
        target = str(read.text("equipment"))
        if target not in {e.id for e in equipment}:
            raise PlanError(read.at("equipment"), f"there is no equipment {target!r}")
        return target
    if kind in (FaultKind.BLUEZ_RESTART, FaultKind.ADAPTER_OFF):
        return ""
    target = str(read.text("device", MISSING if scope is Scope.DEVICE else ""))
    if target:
        _device_for(target, read.at("device"), _KINDS_FOR.get(kind, SERIAL), f"cannot have {kind}", devices)
    return target


def parse_load(
    value: object, where: str, devices: tuple[Device, ...], now_s: float | None = None
) -> tuple[str, Load]:
    """One load and the serial of its scale."""
    read = _Reader(value, where)
    serial = str(read.text("device"))
    scale = _device_for(serial, read.at("device"), SCALES, "is not a scale", devices)
    load = Load(
        at_s=float(read.number("at_s", MISSING if now_s is None else now_s)),
        mass_kg=read.decimal("mass_kg"),
        hold_s=float(read.number("hold_s", 600.0, low=0)),
        bag=read.text("bag", None),
        tare_kg=read.decimal("tare_kg", Decimal(0)),
    )
    if load.tare_kg and scale.kind is not DeviceKind.MT_SICS:
        raise PlanError(read.at("tare_kg"), "only an mt_sics scale tares; this one sends gross weights")
    if load.tare_kg > load.mass_kg:
        raise PlanError(read.at("tare_kg"), "is more than mass_kg, which is the gross mass")
    read.end()
    return serial, load


def _device_for(
    serial: str, where: str, kinds: frozenset[DeviceKind], complaint: str, devices: tuple[Device, ...]
) -> Device:
    for device in devices:
        if device.serial == serial:
            if device.kind not in kinds:
                raise PlanError(where, f"{serial} ({device.kind}) {complaint}")
            return device
    raise PlanError(where, f"there is no device {serial!r}")


def _clock(read: _Reader) -> ClockPlan:
    clock = ClockPlan(
        t0_ms=read.integer("t0_ms", None),
        m0_ns=read.integer("m0_ns", None),
        speed=float(read.number("speed", 1.0, low=0.001, high=100_000)),
        until_s=float(read.number("until_s", math.inf, low=0)),
        then_speed=float(read.number("then_speed", 1.0, low=0.001, high=100_000)),
    )
    read.end()
    return clock


_THERMAL_LIMITS = {"leak_tau_s": 1.0, "door_tau_s": 1.0, "probe_tau_s": 0.0, "hysteresis_c": 0.01, "noise_c": 0.0}


def _equipment(read: _Reader) -> Equipment:
    values: dict[str, Any] = {"id": read.text("id")}
    for spec in fields(Equipment):
        if spec.name != "id":
            low = _THERMAL_LIMITS.get(spec.name, -200.0)
            default = spec.default if spec.default is not MISSING else MISSING
            values[spec.name] = float(read.number(spec.name, default, low=low))
    read.end()
    return Equipment(**values)


def _device(read: _Reader) -> Device:
    kind = DeviceKind(read.choice("kind", DeviceKind))
    serial = str(read.text("serial"))
    if not SERIAL_PATTERN.fullmatch(serial):
        raise PlanError(read.at("serial"), f"letters, digits, - _ . only, is {serial!r}")
    device = _scale(read, serial, kind) if kind in SCALES else _thermometer(read, serial, kind)
    read.end()
    return device


def _thermometer(read: _Reader, serial: str, kind: DeviceKind) -> Thermometer:
    common: dict[str, Any] = {
        "equipment": str(read.text("equipment")),
        "interval_s": float(read.number("interval_s", low=1)),
    }
    if kind in BLE:
        address = str(read.text("address"))
        if not ADDRESS_PATTERN.fullmatch(address):
            raise PlanError(read.at("address"), f"must look like A4:C1:38:00:00:01, is {address!r}")
        common["address"] = address
    if kind is DeviceKind.MODBUS:
        common |= {"baud": _baud(read), "unit_id": read.integer("unit_id", 1, low=1, high=247)}
    if kind is DeviceKind.RUUVI:
        common |= {
            "memory_records": read.integer("memory_records", 2880, low=1),
            "clock_drift_ppm": float(read.number("clock_drift_ppm", 0.0, low=-1000, high=1000)),
            "battery_mv": read.integer("battery_mv", None, low=1600, high=3646),
        }
    return Thermometer(serial, kind, **common)


def _scale(read: _Reader, serial: str, kind: DeviceKind) -> Scale:
    more: dict[str, Any] = {}
    if kind is DeviceKind.SCALE_ASCII:
        more["format"] = read.choice("format", LineFormat, LineFormat.CAS)
    scale = Scale(
        serial,
        kind,
        capacity_kg=read.decimal("capacity_kg"),
        e_kg=read.decimal("e_kg", low=Decimal("0.0001")),
        rate_hz=float(read.number("rate_hz", 4.0, low=0.2, high=30)),
        baud=_baud(read),
        settle_s=float(read.number("settle_s", 0.75, low=0)),
        stable_s=float(read.number("stable_s", 2.0, low=0)),
        **more,
    )
    if scale.capacity_kg < scale.e_kg:
        raise PlanError(read.at("capacity_kg"), "must be more than e_kg")
    return scale


def _baud(read: _Reader) -> int:
    return int(read.integer("baud", 9600, low=300, high=921_600))


def _unique(values: list[str], where: str, what: str) -> None:
    for value in values:
        if values.count(value) > 1:
            raise PlanError(where, f"{what} {value!r} is used twice")
