"""The agent's settings: one TOML file read once into frozen values. ``edge.example.toml`` shows every one of them.

Secrets are never in the file: ``password_file`` names a file that holds one. Unknown keys are errors, so that a
mistyped setting cannot be silently ignored.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from edge.decoders import ADVERT_DECODERS, LINE_DECODERS
from edge.decoders.frames import Basis
from edge.limits import DEFAULT as DEFAULT_LIMITS
from edge.limits import Bounds, Limits
from edge.sources import POLLED
from edge.weighing import MIN_LOAD_E, ScaleRules
from telemetry.contract import MAX_FACTS, Encoding
from telemetry.errors import ConfigError, ContractError
from telemetry.quantities import QUANTITIES, SERIAL_PATTERN, parse_stream_id
from telemetry.topics import EdgeAddress

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """Who this edge is and where it keeps its facts."""

    id: str
    site: str
    shard: str = "s0"
    outbox: str = "var/outbox.db"
    retention_days: int = 183  # design.md: six months
    anchor_every_s: int = 5  # real seconds between looks at the kernel's clock state
    commit_after_s: float = 5.0  # plain readings wait so long for others to share a commit (edge/commit.py)
    quota_mb: int = 0  # 0: as much as the disk gives
    quota_days: int = 0  # 0: unsent readings are kept in full however old


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """The broker. Times are real seconds."""

    host: str = "localhost"
    port: int = 1883
    username: str = ""
    password_file: str = ""
    client_id: str = ""
    tls: bool = False
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    upload_key_file: str = ""  # signs the uploads (telemetry/mac.py); made by `smile-iot edge enrol`
    keepalive_s: int = 60
    window_facts: int = 4000
    flush_facts: int = 1000
    flush_after_s: float = 0.0
    encoding: str = "compact"
    receipt_timeout_s: float = 20.0
    receipt_every_s: float = 0.0
    hello_every_s: float = 3600.0
    reconnect_min_s: float = 0.5
    reconnect_max_s: float = 60.0


@dataclass(frozen=True, slots=True)
class BleSettings:
    """The one shared scanner. ``watchdog_s``: no advert from anyone for so long -> a new scanner (devices.md 1.3)."""

    adapter: str = ""
    watchdog_s: float = 120.0
    reconnect_max_s: float = 60.0


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """One device. ``address`` for BLE, ``port`` (path or socket:// URL) for serial ones."""

    serial: str
    driver: str
    address: str = ""
    port: str = ""
    interval_s: int | None = None
    # serial line
    baudrate: int = 9600
    bytesize: int = 8
    parity: str = "N"
    stopbits: float = 1
    library: str = "serialx"
    silence_s: float = 30.0
    poll_s: float = 0.5
    unit_id: int = 1
    # scale
    e_kg: Decimal | None = None
    max_kg: Decimal | None = None
    accuracy_class: str = "III"
    basis: str = "unknown"
    preset_tare_kg: Decimal = Decimal(0)
    same_frames: int = 1  # 2 on noisy cables: a line without a checksum
    # logger with a memory
    history: bool = True

    @property
    def scale_rules(self) -> ScaleRules:
        # MT-SICS asks twice within a cycle.
        same_frames = 1 if self.driver == "mt_sics" else self.same_frames
        return ScaleRules(
            self.e_kg, self.max_kg, self.accuracy_class, Basis(self.basis), self.preset_tare_kg, same_frames
        )


@dataclass(frozen=True, slots=True)
class Config:
    """All of it. ``address`` is the edge's place in the topics."""

    edge: EdgeSettings
    mqtt: MqttSettings = field(default_factory=MqttSettings)
    ble: BleSettings = field(default_factory=BleSettings)
    devices: tuple[DeviceSettings, ...] = ()
    limits: Limits = field(default_factory=Limits)

    @property
    def address(self) -> EdgeAddress:
        return EdgeAddress(self.edge.shard, self.edge.site, self.edge.id)


def load(path: Path) -> Config:
    """Read and check a TOML file; raises ConfigError that names the setting."""
    try:
        return parse(tomllib.loads(path.read_text()))
    except OSError as error:
        raise ConfigError("--config", f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("--config", f"{path} is not TOML: {error}") from error


def parse(body: Mapping[str, Any]) -> Config:
    """As ``load``, from the parsed tables ``edge``, ``mqtt``, ``ble``, ``limits`` and the array ``device``."""
    unknown = set(body) - {"edge", "mqtt", "ble", "limits", "device"}
    if unknown:
        raise ConfigError(sorted(unknown)[0], "unknown table; known are edge, mqtt, ble, limits, device")
    devices = body.get("device", [])
    if not isinstance(devices, list):
        raise ConfigError("device", "write [[device]] with two brackets")
    config = Config(
        _build(EdgeSettings, body.get("edge", {}), "edge"),
        _build(MqttSettings, body.get("mqtt", {}), "mqtt"),
        _build(BleSettings, body.get("ble", {}), "ble"),
        tuple(_build(DeviceSettings, table, f"device[{i}]") for i, table in enumerate(devices)),
        _limits(body.get("limits", {})),
    )
    _check(config)
    return config


def _limits(table: object) -> Limits:
    """The table ``limits`` over its defaults: quantity or stream id -> ["low", "high"]."""
    if not isinstance(table, Mapping):
        raise ConfigError("limits", "is not a table")
    bounds: dict[str, Bounds] = dict(DEFAULT_LIMITS)
    for name, pair in table.items():
        where = f"limits.{name}"
        try:
            known = name in QUANTITIES or parse_stream_id(name)
        except ContractError as error:
            raise ConfigError(where, f"is neither a quantity nor a stream: {error.detail}") from error
        if not known or not isinstance(pair, list) or len(pair) != 2:
            raise ConfigError(where, 'write the lowest and the highest value, for example ["2", "8"]')
        low, high = (_value(Decimal, end, where) for end in pair)
        if not isinstance(low, Decimal) or not isinstance(high, Decimal) or low > high:
            raise ConfigError(where, "the lowest value comes first")
        bounds[name] = (low, high)
    return Limits(bounds)


def _build(kind: type[_T], table: object, where: str) -> _T:
    """A settings dataclass from a TOML table: unknown keys, missing keys and wrong types are ConfigError."""
    if not isinstance(table, Mapping):
        raise ConfigError(where, "is not a table")
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    hints = get_type_hints(kind)
    for key in table:
        if key not in known:
            raise ConfigError(f"{where}.{key}", f"unknown; known are {', '.join(known)}")
    for name, spec in known.items():
        if spec.default is MISSING and name not in table:
            raise ConfigError(f"{where}.{name}", "is required")
    return kind(**{key: _value(hints[key], value, f"{where}.{key}") for key, value in table.items()})


def _value(hint: Any, value: object, where: str) -> object:
    wanted = next((a for a in get_args(hint) if a is not type(None)), hint)
    if wanted is Decimal and isinstance(value, str | int) and not isinstance(value, bool):
        try:
            return Decimal(value)
        except InvalidOperation as error:
            raise ConfigError(where, f"{value!r} is not a number") from error
    if wanted is Decimal:
        raise ConfigError(where, f'{value!r}: write it in quotes, for example "0.05", so that its digits are kept')
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise ConfigError(where, f"{value!r} is not {wanted.__name__}")
    return value


def _check(config: Config) -> None:
    try:
        _ = config.address
    except ContractError as error:
        raise ConfigError("edge", f"shard, site and id stand in MQTT topics: {error.detail}") from error
    for key, value in (("commit_after_s", config.edge.commit_after_s), ("quota_mb", config.edge.quota_mb)):
        if value < 0:
            raise ConfigError(f"edge.{key}", "must be 0 or more")
    if config.edge.quota_days < 0:
        raise ConfigError("edge.quota_days", "must be 0 or more")
    _check_mqtt(config.mqtt)
    seen: set[str] = set()
    for i, device in enumerate(config.devices):
        _check_device(device, f"device[{i}]")
        if device.serial in seen:
            raise ConfigError(f"device[{i}].serial", f"{device.serial} stands twice")
        seen.add(device.serial)


def _check_mqtt(mqtt: MqttSettings) -> None:
    for key, value, least in (
        ("window_facts", mqtt.window_facts, 1),
        ("flush_facts", mqtt.flush_facts, 1),
        ("flush_after_s", mqtt.flush_after_s, 0),
        ("receipt_every_s", mqtt.receipt_every_s, 0),
    ):
        if value < least:
            raise ConfigError(f"mqtt.{key}", f"must be at least {least}")
    encodings = [encoding.value for encoding in Encoding]
    if mqtt.encoding not in encodings:
        raise ConfigError("mqtt.encoding", f"{mqtt.encoding!r} is not one of {', '.join(encodings)}")
    if mqtt.flush_facts > MAX_FACTS:
        raise ConfigError("mqtt.flush_facts", f"must be at most {MAX_FACTS}: more do not fit into one message")
    for key, value, above in (
        ("receipt_timeout_s", mqtt.receipt_timeout_s, 0),
        ("hello_every_s", mqtt.hello_every_s, 0),
    ):
        if value <= above:
            raise ConfigError(f"mqtt.{key}", f"must be above {above}")


def known_drivers() -> tuple[str, ...]:
    """Every driver there is, by name."""
    return (*ADVERT_DECODERS, *LINE_DECODERS, *POLLED)


def _check_device(device: DeviceSettings, where: str) -> None:
    if not SERIAL_PATTERN.fullmatch(device.serial):
        raise ConfigError(f"{where}.serial", f"{device.serial!r}: letters, digits, - _ . only, at most 64")
    drivers = known_drivers()
    if device.driver not in drivers:
        raise ConfigError(f"{where}.driver", f"{device.driver!r} is not one of {', '.join(drivers)}")
    if device.driver in ADVERT_DECODERS and not device.address:
        raise ConfigError(f"{where}.address", "is required: the Bluetooth address, like A4:C1:38:00:00:01")
    if device.driver not in ADVERT_DECODERS and not device.port:
        raise ConfigError(
            f"{where}.port", "is required: /dev/serial/by-id/... (never ttyUSB0: it moves) or socket://"
        )
    for key, value, choices in (
        ("basis", device.basis, tuple(Basis)),
        ("accuracy_class", device.accuracy_class, tuple(MIN_LOAD_E)),
        ("parity", device.parity, ("N", "E", "O")),
        ("library", device.library, ("serialx", "pyserial")),
    ):
        if value not in choices:
            raise ConfigError(f"{where}.{key}", f"{value!r} is not one of {', '.join(choices)}")
    if device.interval_s is None and device.driver in ADVERT_DECODERS and ADVERT_DECODERS[device.driver].sampled:
        raise ConfigError(f"{where}.interval_s", f"is required: a {device.driver} advertises far more often")
    if device.interval_s is not None and device.interval_s < 1:
        raise ConfigError(f"{where}.interval_s", "must be at least 1")
    if device.e_kg is not None and device.e_kg <= 0:
        raise ConfigError(f"{where}.e_kg", "must be above 0")
    if device.e_kg is not None and device.e_kg != round(device.e_kg, 3):
        raise ConfigError(f"{where}.e_kg", "must be whole grams: a message says kilograms with three decimals")
