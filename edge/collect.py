"""From measurements and outcomes to facts: stamps, bounds and repeats. Pure; the stamp is an argument.

*Repeats*: a BLE advert is heard many times, and BlueZ hands out its cache again after a restart. The packet id of
BTHome is one byte and wraps, so it is a hint and no identity: the same id with the same bytes among the last
``RECENT`` packets is the same reading, whenever it is heard. What was heard is kept as an outbox hint in the commit
of its readings. (A device that falls silent and comes back with the very id and bytes it left with loses that one
reading; the alternative, an old cached advert dated now, would be a false record.)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from edge.decoders.frames import DecodedAdvert, Measurement
from edge.weighing import Captured, Refused
from telemetry.quantities import QUANTITIES, stream_id
from telemetry.readings import Event, Origin, Quality, Reading, Stamp, Sync, Weighing

RECENT = 16
# How many of them a restart must know: BlueZ hands out the last packet of each device again, so one would do. What is
# kept is written with every commit and makes up half of what a reading costs the flash.
KEPT = 2
_DIGEST_SIGNS = 8
_BOOT_SIGNS = 8
_PLACES = Decimal("0.001")
_MAX_RAW_BYTES = 200


def sampled_at(stamp: Stamp) -> int | None:
    """The time of a fact stamped now: None while the clock does not claim to be synced (devices.md 7)."""
    return stamp.wall_ms if stamp.sync is Sync.SYNCED else None


def reading(serial: str, m: Measurement, stamp: Stamp, memory_t_ms: int | None = None) -> Reading:
    """One measurement as a reading, at most 3 places. A value beyond the quantity's bounds becomes None, INVALID.

    ``memory_t_ms``: the record's own time, for what was read back from a device's memory.
    """
    bounds = QUANTITIES[m.quantity]
    value, quality = m.value, m.quality
    if value is not None:
        value = value.quantize(_PLACES, ROUND_HALF_EVEN).normalize() + 0
        if not bounds.low <= value <= bounds.high:
            value, quality = None, Quality.INVALID
    if value is None and quality is Quality.GOOD:
        quality = Quality.SENSOR_FAULT
    name = stream_id(serial, m.quantity, m.channel)
    if memory_t_ms is not None:
        return Reading(name, value, memory_t_ms, stamp, None, Origin.MEMORY, quality)
    return Reading(name, value, sampled_at(stamp), stamp, None, Origin.LIVE, quality)


def readings_of(
    serial: str, measurements: Iterable[Measurement], stamp: Stamp, rssi_dbm: int | None = None
) -> list[Reading]:
    """All readings of one live packet."""
    found = [reading(serial, m, stamp) for m in measurements]
    if rssi_dbm is not None and -127 < rssi_dbm <= 20:  # -127: BlueZ (and bleak) for "not known"
        found.append(reading(serial, Measurement("rssi_dbm", Decimal(rssi_dbm)), stamp))
    return found


# --- repeats -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Heard:
    """What was taken of one device: the last packets' tokens (newest last) and when the last one was taken.

    ``t_ms`` is that time by the wall if the clock was synced, ``boottime_ns`` in any case.
    """

    recent: tuple[str, ...] = ()
    boot_id: str = ""
    boottime_ns: int = 0
    t_ms: int | None = None

    def since_s(self, stamp: Stamp) -> float | None:
        """Seconds since the last packet was taken, None over a reboot."""
        same_boot = self.boot_id and stamp.boot_id.startswith(self.boot_id)
        return (stamp.boottime_ns - self.boottime_ns) / 1e9 if same_boot else None


def dump_heard(heard: Heard) -> str:
    """As a hint: the last ``KEPT`` packets, the boot id's beginning, whole milliseconds."""
    boottime_ms = heard.boottime_ns // 1_000_000
    body = [heard.recent[-KEPT:], heard.boot_id[:_BOOT_SIGNS], boottime_ms, heard.t_ms]
    return json.dumps(body, separators=(",", ":"))


def load_heard(text: str | None) -> Heard:
    if not text:
        return Heard()
    recent, boot_id, boottime_ms, t_ms = json.loads(text)
    if len(boot_id) > _BOOT_SIGNS:  # written before version 2 of the outbox: nanoseconds, longer digests
        boottime_ms //= 1_000_000
        recent = [token[: token.index(":") + 1 + _DIGEST_SIGNS] for token in recent]
    return Heard(tuple(recent), boot_id, boottime_ms * 1_000_000, t_ms)


def take(heard: Heard, advert: DecodedAdvert, stamp: Stamp, interval_s: int | None, sampled: bool) -> Heard | None:
    """What has been heard once this packet is taken, or None if it is to be left: a repeat, or between two samples.

    ``sampled``: the device advertises far more often than anyone wants to keep; the first packet in each
    interval of the wall clock is taken (no drift: a late one does not delay the next), or one an interval of boot time
    while the clock is not synced.
    A packet without an id is a repeat while its bytes stay the same, for one interval.
    """
    digest = hashlib.sha256(advert.payload).hexdigest()[:_DIGEST_SIGNS]
    token = f"{advert.packet_id}:{digest}"
    since_s = heard.since_s(stamp)
    waited = since_s is None or interval_s is None or since_s >= interval_s
    if sampled and interval_s is not None and heard.recent:
        now_ms = sampled_at(stamp)
        if heard.t_ms is not None and now_ms is not None:
            waited = heard.t_ms // (interval_s * 1000) != now_ms // (interval_s * 1000)
        if not waited:
            return None
    if advert.packet_id is not None:
        if token in heard.recent:
            return None
    elif heard.recent and heard.recent[-1] == token and (interval_s is None or not waited):
        return None
    return Heard((*heard.recent, token)[-RECENT:], stamp.boot_id, stamp.boottime_ns, sampled_at(stamp))


# --- scale -------------------------------------------------------------------------------------------------


def weighing(serial: str, captured: Captured, stamp: Stamp, e_kg: Decimal | None) -> Weighing:
    """The fact ``weight_captured``; its id is made of where, when and what was shown: unique and stable."""
    seed = f"{serial}|{stamp.boot_id}|{stamp.boottime_ns}|{captured.raw.hex()}"
    return Weighing(
        weighing_id=f"W-{hashlib.sha256(seed.encode()).hexdigest()[:24]}",
        device_serial=serial,
        gross_kg=captured.gross_kg,
        tare_kg=captured.tare_kg,
        net_kg=captured.net_kg,
        sampled_at_ms=sampled_at(stamp),
        stamp=stamp,
        raw_frame=captured.raw[-_MAX_RAW_BYTES:].hex(),
        tare_mode=captured.tare_mode,
        e_kg=e_kg,
        flags=captured.flags,
    )


_REZERO = ("rezero", "set_zero")


def refusal(serial: str, refused: Refused, stamp: Stamp) -> Event:
    """``rezero_needed`` (requirements 18, 19) or ``weighing_refused`` with the reason and the frame."""
    kind = "rezero_needed" if refused.reason in _REZERO else "weighing_refused"
    detail: dict[str, str | int | None] = {"reason": refused.reason, "raw_frame": refused.raw[-_MAX_RAW_BYTES:].hex()}
    return Event(kind, serial, sampled_at(stamp), stamp, detail)
