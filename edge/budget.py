"""How many megabytes a month a site's settings will use, before it uses them. No I/O.

The payloads are not estimated: an upload of the site's own streams, filled with likely values, is written by the real
encoders and measured. What MQTT, TLS and TCP add to a message was captured on a line (``COST``, with its source).

Assumed   a month of 30 days; one link that is held; the streams that a driver usually gives (``STREAMS``), rssi for each
          BLE packet among them; noise of a few last digits. ``smile-iot edge budget`` sets what was really used beside it.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from edge.config import Config, DeviceSettings
from telemetry.contract import Encoding, Receipt, Upload, encode_receipt, encode_upload
from telemetry.mac import MAC_BYTES
from telemetry.readings import Event, Numbered, Ranges, Reading, Stamp, Sync, Weighing

MONTH_S = 30 * 86_400
MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Cost:
    """Bytes at the IP level, both directions together, payload not in them."""

    message: int  # PUBLISH, its PUBACK and TCP's acknowledgements, with a topic of ``TOPIC_SIGNS``
    receipt: int  # the same the other way, at once behind a message: more bare acknowledgements
    ping: int  # PINGREQ, PINGRESP, acknowledgements
    connect: int  # TCP and TLS handshake, CONNECT, SUBSCRIBE, the first hello, two receipts, DISCONNECT


# Captured at MTU 1500, TLS 1.3 with an ECDSA certificate (True) and plain: message and ping in
# ../shared/facts/data-path.md, section 3; receipt and connect in benchmarks/wire.md of 2026-11-28 (``make bench-wire``),
# plain ones less the same share.
TOPIC_SIGNS = 24
COST = {
    True: Cost(message=236, receipt=336, ping=204, connect=3_900),
    False: Cost(message=192, receipt=292, ping=160, connect=1_600),
}
# A large payload is cut into segments of 1,448 bytes, each with 52 of headers (the same source).
SEGMENT_SHARE = 0.036

# What a driver usually gives: (quantity, usual value, noise in last digits, decimals). Device pages of docs/devices.md.
_RSSI = ("rssi_dbm", "-71", 4, 0)
STREAMS: dict[str, tuple[tuple[str, str, int, int], ...]] = {
    "bthome": (
        ("temperature_c", "5", 3, 2),
        ("humidity_percent", "61", 5, 2),
        ("battery_percent", "93", 0, 0),
        _RSSI,
    ),
    "ruuvi": (("temperature_c", "5", 6, 3), ("humidity_percent", "61", 20, 3), ("voltage_v", "2.977", 2, 3), _RSSI),
    "modbus_probe": (("temperature_c", "5", 1, 1),),
}
_USUAL_INTERVAL_S = 60
_T0_MS = 1_800_000_000_000
_BOOT = "00000000-0000-4000-8000-000000000000"
_EPOCH = "0123456789abcdef"
_MAX_ERROR_MS = 25

# What ``edge/service.py`` and ``edge/uplink.py`` say in a hello, in its usual size.
USUAL_HELLO: dict[str, Any] = {
    "software": "smile-iot 0.1.0",
    "boot_id": _BOOT,
    "started_ms": _T0_MS,
    "devices": 10,
    "epoch_reason": "new",
    "machine": 32 * "0",
    "numbered_to": 1_000_000,
    "unreceipted": 100,
    "rows": 100_000,
    "bytes": 10_000_000,
    "oldest_ms": _T0_MS,
    "flush_after_s": 600,
    "receipt_every_s": 3600,
    "wire_bytes": MEGABYTE,
}


@dataclass(frozen=True, slots=True)
class Habits:
    """What no setting says, a day. ``weighings`` of each scale."""

    reconnects: float = 2
    weighings: float = 10
    events: float = 2


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that bytes are spent on. ``messages`` a month, both directions."""

    what: str
    messages: float
    bytes: float


@dataclass(frozen=True, slots=True)
class Saving:
    """One change of the settings and what it saves a month."""

    setting: str
    bytes: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """A month: rows, largest first; and what an hour beyond a limit costs on top for one stream."""

    rows: tuple[Row, ...]
    readings: float
    hour_beyond_limit: float

    @property
    def total(self) -> float:
        return sum(row.bytes for row in self.rows)


def forecast(config: Config, habits: Habits | None = None) -> Forecast:
    """A month of this site by its settings."""
    return _Site(config, habits or Habits()).month()


def savings(config: Config, habits: Habits | None = None) -> list[Saving]:
    """Single changes of ``[mqtt]`` that would save something, the largest first; then all of them together."""
    now = forecast(config, habits).total
    found: list[Saving] = []
    together = config.mqtt
    for key, value in _CHANGES:
        before = getattr(config.mqtt, key)
        if before == value or (isinstance(value, float | int) and before >= value):
            continue
        changed = replace(config, mqtt=replace(config.mqtt, **{key: value}))
        saved = now - forecast(changed, habits).total
        if saved > _WORTH_SAYING * now:
            found.append(Saving(f"{key} = {_toml(value)}", saved))
            together = replace(together, **{key: value})
    found.sort(key=lambda s: -s.bytes)
    if len(found) > 1:
        found.append(Saving("all together", now - forecast(replace(config, mqtt=together), habits).total))
    return found


def _toml(value: float | str) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


# What mobile data wants, in the order of what it takes away: nothing; a view of calm values that is ten minutes old;
# receipts and hellos that come seldom; a link whose end is noticed late (the operator's NAT must allow it).
_CHANGES: tuple[tuple[str, Any], ...] = (
    ("encoding", Encoding.COMPACT.value),
    ("flush_after_s", 600.0),
    ("receipt_every_s", 3600.0),
    ("hello_every_s", 86_400.0),
    ("keepalive_s", 900),
)
_WORTH_SAYING = 0.01


class _Site:
    """The sums of one site."""

    def __init__(self, config: Config, habits: Habits) -> None:
        self._config = config
        self._mqtt = config.mqtt
        self._habits = habits
        self._cost = COST[config.mqtt.tls]
        self._encoding = Encoding(config.mqtt.encoding)
        self._signed = bool(config.mqtt.upload_key_file)
        self._devices = [d for d in config.devices if d.driver in STREAMS]
        self._scales = [d for d in config.devices if d.driver not in STREAMS]

    def month(self) -> Forecast:
        uploads, readings, payload = self._uploads()
        receipts = uploads if self._mqtt.receipt_every_s <= 0 else MONTH_S / self._mqtt.receipt_every_s
        others = self._others()
        receipts += others if self._mqtt.receipt_every_s <= 0 else 0
        hellos = MONTH_S / self._mqtt.hello_every_s
        reconnects = 30 * self._habits.reconnects
        up, down = self._message("readings"), self._message_down()
        hello = self._message("hello") + self._hello_bytes()
        rows = [
            Row("readings and their envelope", 0, payload),
            Row("messages that carry them (MQTT, TLS, TCP)", uploads, uploads * up),
            Row("receipts", receipts, receipts * down),
            Row("events and weighings", others, others * (up + self._item_bytes())),
            Row("hello and its receipt", 2 * hellos, hellos * (hello + down)),
            Row("keepalive", self._pings(uploads), self._pings(uploads) * self._cost.ping),
            Row("connecting", reconnects, reconnects * self._cost.connect),
        ]
        rows = [row for row in rows if row.bytes]
        return Forecast(tuple(sorted(rows, key=lambda r: -r.bytes)), readings, self._hour_beyond(up + down))

    def _uploads(self) -> tuple[float, float, float]:
        """Messages of readings, readings and bytes of payload a month."""
        rates = [(len(STREAMS[d.driver]), _interval_s(d)) for d in self._devices]
        a_second = sum(streams / interval_s for streams, interval_s in rates)
        if not a_second:
            return 0.0, 0.0, 0.0
        if self._mqtt.flush_after_s > 0:
            period_s = min(self._mqtt.flush_after_s, self._mqtt.flush_facts / a_second)
            period_s = max(period_s, min(interval_s for _, interval_s in rates))
        else:
            # Packets of different devices that come within one group commit share a message.
            shortest_s = min(interval_s for _, interval_s in rates)
            packets = sum(shortest_s / interval_s for _, interval_s in rates)
            shared = shortest_s / self._config.edge.commit_after_s if self._config.edge.commit_after_s else math.inf
            period_s = shortest_s / max(1.0, min(packets, shared))
        uploads = MONTH_S / period_s
        readings = MONTH_S * a_second
        return uploads, readings, uploads * self._payload(readings / uploads)

    def _payload(self, readings: float) -> float:
        """Bytes of one upload of so many readings, written by the real encoder."""
        streams = list(self._streams())
        facts = _likely(streams, max(1, round(readings)))
        size: float = self._encoded("readings", facts, lazy=self._mqtt.receipt_every_s > 0)
        size *= readings / len(facts) if len(facts) > readings else 1.0
        return size * (1 + SEGMENT_SHARE) if size > 1_000 else size

    def _streams(self) -> Iterator[tuple[str, int, tuple[str, str, int, int]]]:
        for device in self._devices:
            for kind in STREAMS[device.driver]:
                yield f"{device.serial}/{kind[0]}", _interval_s(device), kind

    def _encoded(self, kind: str, facts: Sequence[Numbered], *, lazy: bool = False) -> int:
        upload = Upload(kind, self._config.edge.id, _EPOCH, _T0_MS, tuple(facts), lazy=lazy)
        size = len(encode_upload(upload, self._encoding))
        if not self._signed:
            return size
        compact = kind == "readings" and self._encoding is Encoding.COMPACT
        return size + (MAC_BYTES if compact else 2 * MAC_BYTES)

    def _message(self, kind: str) -> float:
        return self._cost.message + len(self._config.address.up(kind)) - TOPIC_SIGNS

    def _message_down(self) -> float:
        receipt = encode_receipt(Receipt(_EPOCH, Ranges([(1, 1_000_000)])))
        return self._cost.receipt + len(self._config.address.down("receipt")) - TOPIC_SIGNS + len(receipt)

    def _hello_bytes(self) -> int:
        """A hello with its usual fields (a count for each stream is in every sixth or so at most, and not here)."""
        hello = Upload("hello", self._config.edge.id, _EPOCH, _T0_MS, info=USUAL_HELLO)
        return len(encode_upload(hello)) + (2 * MAC_BYTES if self._signed else 0)

    def _others(self) -> float:
        return 30 * (self._habits.events + self._habits.weighings * len(self._scales))

    def _item_bytes(self) -> float:
        """An event or a weighing, by how many there are of each."""
        stamp = Stamp(_BOOT, 86_400_000_000_000, _T0_MS, Sync.SYNCED, _MAX_ERROR_MS)
        event = Event("power_lost", "LOG-1", _T0_MS, stamp, {"source": "mains"})
        kg = Decimal("12.40")
        frame = "53542c47532c20202031322e34306b670d0a"
        weighing = Weighing("W-" + 24 * "0", "SCALE-1", kg, Decimal(0), kg, _T0_MS, stamp, frame)
        sizes = self._encoded("events", [Numbered(1, event)]), self._encoded("weighings", [Numbered(1, weighing)])
        weights = self._habits.events, self._habits.weighings * len(self._scales)
        return sum(map(math.prod, zip(sizes, weights, strict=True))) / (sum(weights) or 1)

    def _pings(self, uploads: float) -> float:
        """A ping goes when nothing went for the keepalive."""
        period_s = MONTH_S / uploads if uploads else self._mqtt.hello_every_s
        return MONTH_S / period_s * (math.ceil(period_s / self._mqtt.keepalive_s) - 1)

    def _hour_beyond(self, message: float) -> float:
        if not self._devices:
            return 0.0
        device = self._devices[0]
        return 3600 / _interval_s(device) * (message + self._payload(len(STREAMS[device.driver])))


def _interval_s(device: DeviceSettings) -> int:
    return device.interval_s or _USUAL_INTERVAL_S


def _likely(streams: Sequence[tuple[str, int, tuple[str, str, int, int]]], count: int) -> list[Numbered]:
    """So many readings of these streams as a site makes them, each stream in its own interval."""
    found: list[Numbered] = []
    noise = 12_345
    first: dict[str, int] = {}
    places = {name: first.setdefault(name.split("/")[0], len(first)) for name, _, _ in streams}
    slots = sorted(
        (packet * interval_s + places[name] % interval_s, place)
        for place, (name, interval_s, _) in enumerate(streams)
        for packet in range(count)
    )[:count]
    for number, (t_s, place) in enumerate(slots, 1_000_000):
        name, _, (_, usual, digits, decimals) = streams[place]
        noise = (noise * 1_103_515_245 + 12_345) & 0x7FFFFFFF
        # The sum of three dice is near enough to a bell; a compressor's swing of an hour lies under it.
        dice = sum((noise >> shift) % (2 * digits + 1) for shift in (8, 13, 18)) // 3 - digits
        swing = round(10 * digits * math.sin(t_s / 570)) if decimals else 0
        value = Decimal(usual) + Decimal(dice + swing).scaleb(-decimals)
        # One packet's values carry one stamp; packets come up to half a second late, as no sum of ours would tell: the
        # encoder finds any regular pattern.
        at_ms = _T0_MS + t_s * 1000 + zlib.crc32(f"{t_s} {places[name]}".encode()) % 500
        stamp = Stamp(_BOOT, (at_ms - _T0_MS + 86_400_000) * 1_000_000, at_ms, Sync.SYNCED, _MAX_ERROR_MS)
        found.append(Numbered(number, Reading(name, value, at_ms, stamp)))
    return found
