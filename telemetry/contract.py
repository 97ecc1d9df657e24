"""The contract on the wire, JSON form, version 1 (``docs/contract.md`` has the same examples).

Upload   edge -> ingest   numbered facts of one kind, with the ranges of numbers it holds
Receipt  ingest -> edge   the ranges the journal holds (retained; answers every upload and hello)
Request  ingest -> edge   numbers or times wanted again

The first byte of a payload names its encoding: ``{`` is JSON. Fields may be added, never change meaning.
Values travel as JSON numbers of at most three decimals and are decimals on both sides: a float is only the
writer's way to print one, and reading goes straight from the digits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

from telemetry.errors import ContractError
from telemetry.quantities import QUANTITIES, SERIAL_PATTERN, parse_stream_id
from telemetry.readings import (
    Event,
    Fact,
    Numbered,
    Origin,
    Quality,
    Ranges,
    Reading,
    Stamp,
    Sync,
    Weighing,
)

VERSION = 1
MAX_PAYLOAD_BYTES = 1 << 20
MAX_FACTS = 10_000
MAX_SPANS = 10_000
_MAX_MS = 1 << 43  # year 2248: beyond it a time is a fault, not a date
_MAX_INT = 1 << 62
_PLACES = Decimal("0.001")

_E = TypeVar("_E", Origin, Quality, Sync)


@dataclass(frozen=True, slots=True)
class Upload:
    """One message of numbered facts of one ``kind`` (readings, events, weighings, hello).

    ``facts`` is empty for hello, whose ``info`` says software, start time and ``numbered_to`` (the highest number
    given out so far), so that the ledger knows what was produced even when nothing arrives. ``lazy``: the receipt may
    wait until ingest has something to say, for the edge asks for it later.
    """

    kind: str
    edge: str
    epoch: str
    sent_at_ms: int
    facts: tuple[Numbered, ...] = ()
    info: dict[str, Any] = field(default_factory=dict)
    mac: str | None = None
    lazy: bool = False

    @property
    def ranges(self) -> Ranges:
        return Ranges.of(n.seq for n in self.facts)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the journal holds of one epoch. ``quarantined`` numbers arrived and wait with a reason: do not re-send."""

    epoch: str
    have: Ranges
    quarantined: Ranges = field(default_factory=Ranges)


@dataclass(frozen=True, slots=True)
class Request:
    """Numbers, or a span of time, wanted again. ``only`` is "all" or "unreceipted"."""

    request_id: str
    seq: Ranges = field(default_factory=Ranges)
    from_ms: int | None = None
    to_ms: int | None = None
    only: str = "all"


# --- time and numbers -------------------------------------------------------------------------------------


def iso_utc(ms: int) -> str:
    """``2026-11-20T08:00:00.000Z``."""
    at = datetime.fromtimestamp(ms // 1000, UTC)
    return at.isoformat(timespec="seconds")[:19] + f".{ms % 1000:03d}Z"


def parse_iso_utc(text: str) -> int:
    """Milliseconds of an RFC 3339 time that carries an offset; raises ContractError("bad_time")."""
    try:
        at = datetime.fromisoformat(text)
    except (ValueError, TypeError) as error:
        raise ContractError("bad_time", repr(text)[:60]) from error
    if at.tzinfo is None:
        raise ContractError("bad_time", f"{text} has no offset")
    return round(at.timestamp() * 1000)


def _number(value: Decimal | None) -> float | int | None:
    """A decimal as something ``json`` prints with the same digits (<= 3 places, < 1e9: exact in a double's repr)."""
    if value is None:
        return None
    if value != value.quantize(_PLACES) or abs(value) >= 1_000_000_000:
        raise ContractError("bad_value", f"{value} has more than 3 places or is too large")
    return int(value) if value == value.to_integral_value() else float(value)


def _decimal(value: object) -> Decimal | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ContractError("bad_value", f"{value!r} is not a number"[:80])
    try:
        number = Decimal(value)
        exact = number.is_finite() and abs(number) < 1_000_000_000 and number == number.quantize(_PLACES)
    except (ArithmeticError, ValueError):
        exact = False
    if not exact:
        raise ContractError("bad_value", "a value has more than 3 places or is too large")
    return number


# --- encode ------------------------------------------------------------------------------------------------


def encode_upload(upload: Upload) -> bytes:
    """The JSON form. Readings are grouped into columns per stream, origin and boot."""
    body: dict[str, Any] = {
        "v": VERSION,
        "kind": upload.kind,
        "edge": upload.edge,
        "epoch": upload.epoch,
        "ranges": upload.ranges.to_lists(),
        "sent_at": iso_utc(upload.sent_at_ms),
    }
    if upload.kind == "readings":
        body["streams"] = _columns(upload.facts)
    elif upload.kind == "hello":
        body["info"] = upload.info
    else:
        body["items"] = [_item(n) for n in upload.facts]
    body["mac"] = upload.mac
    return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()


def _columns(facts: Iterable[Numbered]) -> list[dict[str, Any]]:
    groups: dict[tuple[object, ...], dict[str, Any]] = {}
    for numbered in facts:
        r = numbered.fact
        assert isinstance(r, Reading)  # noqa: S101  (the kind says so; Upload is ours)
        key = (
            r.stream_id,
            r.origin,
            r.stamp.boot_id,
            r.stamp.sync,
            r.stamp.max_error_ms,
            r.device_seq is None,
        )
        group = groups.get(key)
        if group is None:
            group = groups[key] = {
                "id": r.stream_id,
                "origin": r.origin.value,
                "boot_id": r.stamp.boot_id,
                "sync": r.stamp.sync.value,
                "max_error_ms": r.stamp.max_error_ms,
                "seq": [],
                "t_ms": [],
                "value": [],
                "quality": {},
                "boottime_ns": [],
                "wall_ms": [],
            }
            if r.device_seq is not None:
                group["device_seq"] = []
        if r.quality is not Quality.GOOD:
            group["quality"][str(len(group["seq"]))] = r.quality.value
        group["seq"].append(numbered.seq)
        group["t_ms"].append(r.sampled_at_ms)
        group["value"].append(_number(r.value))
        group["boottime_ns"].append(r.stamp.boottime_ns)
        group["wall_ms"].append(r.stamp.wall_ms)
        if r.device_seq is not None:
            group["device_seq"].append(r.device_seq)
    return list(groups.values())


def _stamp_body(stamp: Stamp) -> dict[str, Any]:
    return {
        "boot_id": stamp.boot_id,
        "boottime_ns": stamp.boottime_ns,
        "wall_ms": stamp.wall_ms,
        "sync": stamp.sync.value,
        "max_error_ms": stamp.max_error_ms,
    }


def _item(numbered: Numbered) -> dict[str, Any]:
    fact = numbered.fact
    body: dict[str, Any] = {"seq": numbered.seq, "t_ms": fact.sampled_at_ms, "stamp": _stamp_body(fact.stamp)}
    if isinstance(fact, Event):
        body |= {"type": fact.kind, "subject": fact.subject, "detail": fact.detail}
    elif isinstance(fact, Weighing):
        body |= {
            "type": "weight_captured",
            "id": fact.weighing_id,
            "device": fact.device_serial,
            "gross_kg": _number(fact.gross_kg),
            "tare_kg": _number(fact.tare_kg),
            "net_kg": _number(fact.net_kg),
            "tare_mode": fact.tare_mode,
            "e_kg": _number(fact.e_kg),
            "flags": list(fact.flags),
            "raw_frame": fact.raw_frame,
        }
    return body


def encode_receipt(receipt: Receipt) -> bytes:
    body = {
        "v": VERSION,
        "epoch": receipt.epoch,
        "have": receipt.have.to_lists(),
        "quarantined": receipt.quarantined.to_lists(),
    }
    return json.dumps(body, separators=(",", ":")).encode()


def encode_request(request: Request) -> bytes:
    body: dict[str, Any] = {"v": VERSION, "id": request.request_id, "only": request.only}
    if request.seq:
        body["seq"] = request.seq.to_lists()
    if request.from_ms is not None and request.to_ms is not None:
        body |= {"from": iso_utc(request.from_ms), "to": iso_utc(request.to_ms)}
    return json.dumps(body, separators=(",", ":")).encode()


# --- decode ------------------------------------------------------------------------------------------------


def _refuse_constant(text: str) -> None:
    raise ContractError("bad_value", f"{text} is not a number")


def _load(payload: bytes) -> dict[str, Any]:
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ContractError("too_large", f"{len(payload)} bytes, at most {MAX_PAYLOAD_BYTES}")
    if payload[:1] != b"{":
        raise ContractError("unknown_encoding", f"first byte {payload[:1].hex() or 'none'}")
    try:
        body = json.loads(payload, parse_float=Decimal, parse_constant=_refuse_constant)
    except ContractError:
        raise
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise ContractError("not_json", str(error)[:120]) from error
    if not isinstance(body, dict):
        raise ContractError("not_json", "not an object")
    version = body.get("v")
    if isinstance(version, bool) or version != VERSION:
        raise ContractError("unknown_version", f"v={version!r}, known: {VERSION}"[:120])
    return body


def _text(body: dict[str, Any], key: str, limit: int = 128) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value or len(value) > limit:
        raise ContractError("bad_field", f"{key} is {value!r}, wanted a text of 1 to {limit} signs"[:160])
    return value


def _whole(value: object, key: str, low: int = 0, high: int = _MAX_INT) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ContractError("bad_field", f"{key} is {str(value)[:40]}, wanted a whole number {low}..{high}")
    return value


def _maybe_whole(value: object, key: str, low: int = 0, high: int = _MAX_INT) -> int | None:
    return None if value is None else _whole(value, key, low, high)


def _choice(kind: type[_E], value: object, key: str) -> _E:
    try:
        return kind(str(value))
    except ValueError as error:
        raise ContractError("bad_field", f"{key} is {value!r}"[:120]) from error


def _spans(value: object, key: str) -> Ranges:
    if not isinstance(value, list) or len(value) > MAX_SPANS:
        raise ContractError("bad_ranges", f"{key} is not a list of at most {MAX_SPANS} ranges")
    spans: list[tuple[int, int]] = []
    for span in value:
        if not isinstance(span, list) or len(span) != 2:
            raise ContractError("bad_ranges", f"{key} holds {span!r}"[:120])
        low, high = _whole(span[0], key, 1), _whole(span[1], key, 1)
        if low > high:
            raise ContractError("bad_ranges", f"{key} holds {span!r}"[:120])
        spans.append((low, high))
    return Ranges(spans)


def decode_upload(payload: bytes) -> Upload:
    """The upload in ``payload``; raises ContractError with a reason for quarantine. Never a partial result."""
    body = _load(payload)
    kind = _text(body, "kind", 16)
    decode = _DECODERS.get(kind)
    if decode is None:
        raise ContractError("unknown_kind", kind)
    facts = decode(body)
    if len(facts) > MAX_FACTS:
        raise ContractError("too_large", f"{len(facts)} facts, at most {MAX_FACTS}")
    seqs = [n.seq for n in facts]
    if len(set(seqs)) != len(seqs):
        raise ContractError("bad_ranges", "a number stands twice")
    declared = _spans(body.get("ranges", []), "ranges")
    if len(declared) != len(facts) or declared != Ranges.of(seqs):
        raise ContractError("bad_ranges", "ranges are not the numbers of the facts")
    mac = body.get("mac")
    if mac is not None and (not isinstance(mac, str) or len(mac) > 256):
        raise ContractError("bad_field", "mac")
    info = body.get("info", {})
    if not isinstance(info, dict) or len(info) > 64:
        raise ContractError("bad_field", "info")
    return Upload(
        kind=kind,
        edge=_text(body, "edge", 64),
        epoch=_text(body, "epoch", 64),
        sent_at_ms=parse_iso_utc(_text(body, "sent_at", 40)),
        facts=tuple(sorted(facts, key=lambda n: n.seq)),
        info=info,
        mac=mac,
    )


def _column(stream: dict[str, Any], key: str, length: int, default: object = None) -> Sequence[Any]:
    column = stream.get(key)
    if column is None:
        return [default] * length
    if not isinstance(column, list) or len(column) != length:
        raise ContractError("bad_columns", f"{key} has not {length} entries")
    return column


def _decode_readings(body: dict[str, Any]) -> list[Numbered]:
    streams = body.get("streams")
    if not isinstance(streams, list):
        raise ContractError("bad_field", "streams is not a list")
    facts: list[Numbered] = []
    for stream in streams:
        if not isinstance(stream, dict):
            raise ContractError("bad_field", "a stream is not an object")
        facts.extend(_decode_stream(stream))
        if len(facts) > MAX_FACTS:
            break
    return facts


def _decode_stream(stream: dict[str, Any]) -> Iterable[Numbered]:
    name = _text(stream, "id")
    quantity = QUANTITIES[parse_stream_id(name).quantity]
    origin = _choice(Origin, stream.get("origin", "live"), "origin")
    boot_id = str(stream.get("boot_id") or "")[:64]
    sync = _choice(Sync, stream.get("sync", "unsynced"), "sync")
    max_error_ms = _maybe_whole(stream.get("max_error_ms"), "max_error_ms")
    seqs = stream.get("seq")
    if not isinstance(seqs, list):
        raise ContractError("bad_columns", "seq is not a list")
    length = len(seqs)
    times = _column(stream, "t_ms", length)
    values = _column(stream, "value", length)
    device_seqs = _column(stream, "device_seq", length)
    boottimes = _column(stream, "boottime_ns", length, 0)
    walls = _column(stream, "wall_ms", length)
    qualities = stream.get("quality") or {}
    if not isinstance(qualities, dict):
        raise ContractError("bad_columns", "quality is not an object")
    for key in qualities:
        if not (len(key) <= 5 and key.isascii() and key.isdigit() and int(key) < length):
            raise ContractError("bad_columns", f"quality names entry {key!r}"[:60])
    for i, seq in enumerate(seqs):
        value = _decimal(values[i])
        quality = _choice(Quality, qualities.get(str(i), "good"), "quality")
        if value is None and quality is Quality.GOOD:
            raise ContractError("bad_value", f"{name} has no value and says good")
        if value is not None and not quantity.low <= value <= quantity.high:
            raise ContractError("out_of_bounds", f"{name} = {value} {quantity.unit}")
        t_ms = _maybe_whole(times[i], "t_ms", 0, _MAX_MS)
        wall_ms = _maybe_whole(walls[i], "wall_ms", 0, _MAX_MS)
        stamp = Stamp(
            boot_id,
            _whole(boottimes[i], "boottime_ns"),
            wall_ms if wall_ms is not None else (t_ms or 0),
            sync,
            max_error_ms,
        )
        device_seq = _maybe_whole(device_seqs[i], "device_seq")
        yield Numbered(_whole(seq, "seq", 1), Reading(name, value, t_ms, stamp, device_seq, origin, quality))


def _items(body: dict[str, Any]) -> list[dict[str, Any]]:
    items = body.get("items")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ContractError("bad_field", "items is not a list of objects")
    if len(items) > MAX_FACTS:
        raise ContractError("too_large", f"{len(items)} facts, at most {MAX_FACTS}")
    return items


def _stamp_of(item: dict[str, Any]) -> Stamp:
    raw = item.get("stamp")
    if not isinstance(raw, dict):
        raise ContractError("bad_field", "stamp is not an object")
    return Stamp(
        str(raw.get("boot_id") or "")[:64],
        _whole(raw.get("boottime_ns", 0), "boottime_ns"),
        _whole(raw.get("wall_ms", 0), "wall_ms", 0, _MAX_MS),
        _choice(Sync, raw.get("sync", "unsynced"), "sync"),
        _maybe_whole(raw.get("max_error_ms"), "max_error_ms"),
    )


def _decode_events(body: dict[str, Any]) -> list[Numbered]:
    return [Numbered(_whole(item.get("seq"), "seq", 1), _event(item)) for item in _items(body)]


def _event(item: dict[str, Any]) -> Fact:
    detail = item.get("detail", {})
    if not isinstance(detail, dict) or len(detail) > 32:
        raise ContractError("bad_field", "detail")
    for key, value in detail.items():
        if isinstance(value, bool) or not (value is None or isinstance(value, int | str)) or len(key) > 64:
            raise ContractError("bad_field", f"detail {key[:40]!r}")
        if isinstance(value, str) and len(value) > 512:
            raise ContractError("bad_field", f"detail {key[:40]!r} is too long")
    return Event(
        _text(item, "type", 40),
        _text(item, "subject"),
        _maybe_whole(item.get("t_ms"), "t_ms", 0, _MAX_MS),
        _stamp_of(item),
        detail,
    )


def _decode_weighings(body: dict[str, Any]) -> list[Numbered]:
    return [Numbered(_whole(item.get("seq"), "seq", 1), _weighing(item)) for item in _items(body)]


def _kg(item: dict[str, Any], key: str) -> Decimal:
    value = _decimal(item.get(key))
    bounds = QUANTITIES["mass_kg"]
    if value is None or not bounds.low <= value <= bounds.high:
        raise ContractError("out_of_bounds", f"{key} = {value}")
    return value


def _weighing(item: dict[str, Any]) -> Fact:
    gross, tare, net = _kg(item, "gross_kg"), _kg(item, "tare_kg"), _kg(item, "net_kg")
    if gross != net + tare:
        raise ContractError("bad_weight", f"gross {gross} is not net {net} + tare {tare}")
    flags = item.get("flags", [])
    if not isinstance(flags, list) or len(flags) > 16 or not all(isinstance(f, str) and len(f) <= 32 for f in flags):
        raise ContractError("bad_field", "flags")
    serial = _text(item, "device", 64)
    if not SERIAL_PATTERN.fullmatch(serial):
        raise ContractError("bad_field", f"device {serial!r}")
    return Weighing(
        weighing_id=_text(item, "id", 64),
        device_serial=serial,
        gross_kg=gross,
        tare_kg=tare,
        net_kg=net,
        sampled_at_ms=_maybe_whole(item.get("t_ms"), "t_ms", 0, _MAX_MS),
        stamp=_stamp_of(item),
        raw_frame=_text(item, "raw_frame", 512),
        tare_mode=_text(item, "tare_mode", 16),
        e_kg=_decimal(item.get("e_kg")),
        flags=tuple(flags),
    )


def _decode_hello(_body: dict[str, Any]) -> list[Numbered]:
    return []


_DECODERS: dict[str, Callable[[dict[str, Any]], list[Numbered]]] = {
    "readings": _decode_readings,
    "events": _decode_events,
    "weighings": _decode_weighings,
    "hello": _decode_hello,
}


def decode_receipt(payload: bytes) -> Receipt:
    """A receipt; raises ContractError."""
    body = _load(payload)
    return Receipt(
        _text(body, "epoch", 64),
        _spans(body.get("have", []), "have"),
        _spans(body.get("quarantined", []), "quarantined"),
    )


def decode_request(payload: bytes) -> Request:
    """A request; raises ContractError."""
    body = _load(payload)
    only = body.get("only", "all")
    if only not in ("all", "unreceipted"):
        raise ContractError("bad_field", f"only is {only!r}"[:80])
    start, end = body.get("from"), body.get("to")
    if (start is None) != (end is None):
        raise ContractError("bad_field", "from and to go together")
    return Request(
        _text(body, "id", 64),
        _spans(body.get("seq", []), "seq"),
        None if start is None else parse_iso_utc(start),
        None if end is None else parse_iso_utc(end),
        only,
    )
