"""RuuviTag: data format 5 adverts and the log read over the Nordic UART. Sources: docs.ruuvi.com (data format 5, log
read); vectors RU1 to RU7 of facts/devices.md 9.

::

    05 12FC 5394 C37C 0004 FFFC 040C AC36 42 00CD CBB8334C884F     manufacturer 0x0499, 24 bytes, big-endian
    |  |    |    |    |    |    |    |    |  |    +- address
    |  |    |    |    |    |    |    |    |  +------ measurement sequence u16, 65535 = none: wraps, a hint only
    |  |    |    |    |    |    |    |    +--------- movement counter
    |  |    |    |    |    |    |    +-------------- battery 11 bits, mV - 1600, 2047 = none; tx power 5 bits
    |  |    |    |    +----+----+------------------- acceleration x, y, z, mg
    |  |    |    +---------------------------------- pressure, Pa - 50000
    |  |    +--------------------------------------- humidity u16, 0.0025 %, 65535 = none
    |  +-------------------------------------------- temperature s16, 0.005 C, 0x8000 = none
    +----------------------------------------------- format 5

    3A 3A 11 nnnnnnnn ssssssss      ask: the reader's now, records since; seconds u32
    3A 30 10 tttttttt vvvvvvvv      a record: its time, s32 in 0.01 (30 temperature C, 31 humidity %, 32 pressure Pa)
    3A 3A 10 FFFFFFFF FFFFFFFF      the end;  30 30 F0 FF...  an error;  05 ...  a live packet in between: not ours

The tag has no clock: a record's time is the reader's now less the record's age, so two reads of one record may differ
by a second or two, and a live packet has no time of its own either.

*Live and memory, recognised as the same.* The tag's log is its own sampling at its interval; a live packet, kept once
an interval, is another look at the same slot. So within half an interval of a time at which the outbox holds a
reading of the stream, live or from memory, a record is the same reading and is left; else it fills a hole and is
appended with origin ``memory``. One packet more: the one that ends a hole may have been made up to an interval before
it was heard (the agent started between two samples), so a record up to an interval before it with its very value is
that packet. Read the log twice, or half of it before the link drops, and nothing is doubled.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from edge.decoders.frames import Advert, DecodedAdvert, FrameError, Measurement
from telemetry.readings import Quality

COMPANY_ID = 0x0499
NUS_RX = "6e400002-b5a3-f393-e0a9-e50e24dcca9e"
NUS_TX = "6e400003-b5a3-f393-e0a9-e50e24dcca9e"
_DF5 = struct.Struct(">BhHHhhhHBH6s")
_ASK = bytes((0x3A, 0x3A, 0x11))
_END = bytes((0x3A, 0x3A, 0x10)) + b"\xff" * 8
_LOGGED = {0x30: "temperature_c", 0x31: "humidity_percent"}
_MAX_SECONDS = 0xFFFFFFFF


def decode(advert: Advert) -> DecodedAdvert:
    """The measurements of an advert; raises FrameError(not_ruuvi|unknown_format|truncated)."""
    data = advert.manufacturer_data.get(COMPANY_ID)
    if data is None:
        raise FrameError("not_ruuvi", "no manufacturer data of 0x0499")
    return decode_df5(data)


def decode_df5(data: bytes) -> DecodedAdvert:
    """As ``decode``, from the manufacturer data. Only a missing temperature is told: other sensors may be absent."""
    if data[:1] != b"\x05":
        raise FrameError("unknown_format", f"data format {data[:1].hex() or 'none'}, known: 05")
    if len(data) != _DF5.size:
        raise FrameError("truncated", f"{len(data)} bytes, not {_DF5.size}")
    _, temperature, humidity, _pressure, _x, _y, _z, power, _moves, sequence, _address = _DF5.unpack(data)
    found = [
        Measurement("temperature_c", None, Quality.SENSOR_FAULT)
        if temperature == -0x8000
        else Measurement("temperature_c", temperature * Decimal("0.005"))
    ]
    if humidity != 0xFFFF:
        found.append(Measurement("humidity_percent", humidity * Decimal("0.0025")))
    if power >> 5 != 0x7FF:
        found.append(Measurement("voltage_v", Decimal((power >> 5) + 1600) / 1000))
    return DecodedAdvert(tuple(found), None if sequence == 0xFFFF else sequence, bytes(data))


# --- log ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the tag's memory; ``t_ms`` by the reader's clock, whole seconds."""

    t_ms: int
    measurement: Measurement


@dataclass(frozen=True, slots=True)
class LogEnd:
    """Nothing more to come."""


def encode_log_request(now_ms: int, since_ms: int) -> bytes:
    """Ask for temperature, humidity and pressure records since a time. ``now_ms`` sets the tag's idea of now."""
    now_s, since_s = now_ms // 1000, max(0, since_ms // 1000)
    if not 0 <= since_s <= now_s <= _MAX_SECONDS:
        raise ValueError(f"log request from {since_s} to {now_s}")
    return _ASK + struct.pack(">II", now_s, since_s)


def decode_log(data: bytes) -> Record | LogEnd | None:
    """One notification: a record, the end, or None for what is not ours (live packets, pressure).

    Raises FrameError(log_error|truncated|unknown_record).
    """
    if data[:1] == b"\x05":
        return None
    if len(data) != 11:
        raise FrameError("truncated", data.hex())
    if data[2] == 0xF0:
        raise FrameError("log_error", "the tag refused the log read")
    if data[2] != 0x10:
        raise FrameError("unknown_record", data.hex())
    if data == _END:
        return LogEnd()
    seconds, value = struct.unpack(">Ii", data[3:])
    quantity = _LOGGED.get(data[1])
    if quantity is None:
        return None
    return Record(seconds * 1000, Measurement(quantity, Decimal(value) / 100))


def unknown_records(
    records: Iterable[Record], known_ms: Sequence[int], interval_ms: int, ending: Record | None = None
) -> list[Record]:
    """The records of one quantity that are no reading yet: none known within half an interval (see the module).

    ``ending`` is the live reading that ended the hole.
    """
    times = sorted(known_ms)
    fresh: list[Record] = []
    for record in sorted(records, key=lambda r: r.t_ms):
        at = bisect_left(times, record.t_ms)
        near = times[max(0, at - 1) : at + 1]
        if ending is not None and _is_packet(record, ending, interval_ms):
            continue
        if all(2 * abs(record.t_ms - t) > interval_ms for t in near):
            fresh.append(record)
            insort(times, record.t_ms)
    return fresh


def _is_packet(record: Record, ending: Record, interval_ms: int) -> bool:
    """Whether the record shows what ``ending`` showed (the log has two places, the advert three)."""
    logged, live = record.measurement.value, ending.measurement.value
    if logged is None or live is None or abs(logged - live) >= Decimal("0.01"):
        return False
    return 0 <= ending.t_ms - record.t_ms <= interval_ms
