"""The contract on the wire, version 1 (``docs/contract.md`` has the same examples).

Upload   edge -> ingest   numbered facts of one kind, with the ranges of numbers it holds
Receipt  ingest -> edge   the ranges the journal holds (retained; answers every upload and hello)
Request  ingest -> edge   numbers or times wanted again

The first byte of a payload names its encoding: ``{`` is JSON, 0x01 the compact form of readings. Fields may be
added, never change meaning. Values have at most three decimals and are exact on both sides: in JSON a float is only
the writer's way to print one, and reading goes straight from the digits (``telemetry.json_readings``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from itertools import chain
from typing import Any

from telemetry import compact
from telemetry.columns import ReadingsUpload, columns_of, facts_of
from telemetry.errors import ContractError
from telemetry.json_readings import DECODER as READINGS_DECODER
from telemetry.json_readings import decode_streams, encode_streams
from telemetry.limits import MAX_FACTS as MAX_FACTS
from telemetry.limits import (
    MAX_MS,
    choice,
    maybe_whole,
    numbers_as_ranges,
    spans,
    text,
    thousandths,
    whole,
)
from telemetry.limits import MAX_PAYLOAD_BYTES as MAX_PAYLOAD_BYTES
from telemetry.limits import MAX_SPANS as MAX_SPANS
from telemetry.mac import sign_json, verify_json
from telemetry.quantities import QUANTITIES, SERIAL_PATTERN
from telemetry.readings import Event, Fact, Numbered, Ranges, Stamp, Sync, Weighing

VERSION = 1


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


def iso_utc_seconds(ms: int) -> str:
    """``2026-11-20T08:00:00Z``: whole seconds, for people and for SMILE."""
    return f"{iso_utc(ms)[:19]}Z"


def parse_iso_utc(text: str) -> int:
    """Milliseconds of an RFC 3339 time that carries an offset; raises ContractError("bad_time")."""
    try:
        at = datetime.fromisoformat(text)
    except (ValueError, TypeError) as error:
        raise ContractError("bad_time", repr(text)[:60]) from error
    if at.tzinfo is None:
        raise ContractError("bad_time", f"{text} has no offset")
    ms = round(at.timestamp() * 1000)
    if not 0 <= ms <= MAX_MS:
        raise ContractError("bad_time", f"{text} is no time of ours"[:80])
    return ms


def _number(value: Decimal | None) -> float | int | None:
    """A decimal as something ``json`` prints with the same digits (<= 3 places, < 1e9: exact in a double's repr)."""
    if value is None:
        return None
    milli = thousandths(value)
    return milli / 1000 if milli % 1000 else milli // 1000


def _decimal(value: object) -> Decimal | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ContractError("bad_value", f"{value!r} is not a number"[:80])
    number = Decimal(value)
    thousandths(number)
    return number


# --- encode ------------------------------------------------------------------------------------------------


class Encoding(Enum):
    """How an upload of readings is written; everything else is JSON always."""

    JSON = "json"
    COMPACT = "compact"


def encode_upload(upload: Upload, encoding: Encoding = Encoding.JSON) -> bytes:
    """The bytes of an upload. Readings are grouped into columns per stream, origin and boot."""
    if upload.kind == "readings":
        return encode_readings(
            ReadingsUpload(
                upload.edge,
                upload.epoch,
                upload.sent_at_ms,
                columns_of(upload.facts),
                upload.ranges,
                upload.lazy,
                upload.mac,
            ),
            encoding,
        )
    content = {"info": upload.info} if upload.kind == "hello" else {"items": [_item(n) for n in upload.facts]}
    return _json_upload(upload, upload.kind, content)


def encode_readings(upload: ReadingsUpload, encoding: Encoding = Encoding.JSON) -> bytes:
    """The bytes of an upload that is in columns; raises ContractError for what the encoding cannot hold."""
    if encoding is Encoding.COMPACT:
        return compact.encode(upload)
    return _json_upload(upload, "readings", {"streams": encode_streams(upload.streams)})


def _json_upload(upload: Upload | ReadingsUpload, kind: str, content: dict[str, Any]) -> bytes:
    """The envelope. ``mac`` stands last: ``telemetry.mac`` signs the bytes before it."""
    body: dict[str, Any] = {
        "v": VERSION,
        "kind": kind,
        "edge": upload.edge,
        "epoch": upload.epoch,
        "ranges": upload.ranges.to_lists(),
        "sent_at": iso_utc(upload.sent_at_ms),
    }
    body |= content
    if upload.lazy:
        body["lazy"] = True
    body["mac"] = upload.mac
    return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()


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


def _refuse_constant(name: str) -> None:
    raise ContractError("bad_value", f"{name} is not a number")


_DECIMALS = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse_constant)


def _load(payload: bytes, decoder: json.JSONDecoder = _DECIMALS) -> dict[str, Any]:
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ContractError("too_large", f"{len(payload)} bytes, at most {MAX_PAYLOAD_BYTES}")
    if payload[:1] != b"{":
        raise ContractError("unknown_encoding", f"first byte {payload[:1].hex() or 'none'}")
    try:
        body = decoder.decode(payload.decode())
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


def decode_upload(payload: bytes) -> Upload:
    """The upload in ``payload``; raises ContractError with a reason for quarantine. Never a partial result."""
    if payload[:1] == b"{":
        body = _load(payload)
        kind = text(body.get("kind"), "kind", 16)
        if kind != "readings":
            return _decode_others(kind, body)
    columns = decode_readings(payload)
    facts = sorted(facts_of(columns.streams), key=lambda n: n.seq)
    return Upload(
        kind="readings",
        edge=columns.edge,
        epoch=columns.epoch,
        sent_at_ms=columns.sent_at_ms,
        facts=tuple(facts),
        mac=columns.mac,
        lazy=columns.lazy,
    )


def decode_readings(payload: bytes) -> ReadingsUpload:
    """Readings as columns, from either encoding; raises ContractError, never a partial result.

    A message of another kind is refused as ``kind_mismatch``.
    """
    if payload[:1] == compact.FIRST_BYTE:
        return compact.decode(payload)
    body = _load(payload, READINGS_DECODER)
    kind = text(body.get("kind"), "kind", 16)
    if kind != "readings":
        raise ContractError("kind_mismatch" if kind in _DECODERS else "unknown_kind", kind)
    # ``lazy`` is true in most messages; any other true or false costs a look at each entry.
    bools = payload.count(b"true") > (body.get("lazy") is True) or b"false" in payload
    streams = decode_streams(body.get("streams"), bools=bools)
    ranges = numbers_as_ranges(list(chain.from_iterable(s.seq for s in streams)))
    edge, epoch, sent_at_ms, lazy, mac = _envelope(body, ranges)
    return ReadingsUpload(edge, epoch, sent_at_ms, streams, ranges, lazy, mac)


def _envelope(body: dict[str, Any], numbers: Ranges) -> tuple[str, str, int, bool, str | None]:
    """(edge, epoch, sent_at_ms, lazy, mac) of a body whose facts have these numbers."""
    declared = spans(body.get("ranges", []), "ranges")
    if declared != numbers:
        raise ContractError("bad_ranges", "ranges are not the numbers of the facts")
    mac = body.get("mac")
    if mac is not None and (not isinstance(mac, str) or len(mac) > 256):
        raise ContractError("bad_field", "mac")
    lazy = body.get("lazy", False)
    if not isinstance(lazy, bool):
        raise ContractError("bad_field", "lazy")
    edge, epoch = text(body.get("edge"), "edge", 64), text(body.get("epoch"), "epoch", 64)
    return edge, epoch, parse_iso_utc(text(body.get("sent_at"), "sent_at", 40)), lazy, mac


def _plain(info: object) -> object:
    """What hello tells, for people and counters: no measured value, so a number with a point is a float here."""
    try:
        return json.loads(json.dumps(info, default=float, allow_nan=False))
    except (ValueError, RecursionError) as error:
        raise ContractError("bad_field", "info") from error


def _decode_others(kind: str, body: dict[str, Any]) -> Upload:
    decode = _DECODERS.get(kind)
    if decode is None:
        raise ContractError("unknown_kind", kind)
    facts = decode(body)
    edge, epoch, sent_at_ms, lazy, mac = _envelope(body, numbers_as_ranges([n.seq for n in facts]))
    info = _plain(body.get("info", {}))
    if not isinstance(info, dict) or len(info) > 64:
        raise ContractError("bad_field", "info")
    facts.sort(key=lambda n: n.seq)
    return Upload(kind, edge, epoch, sent_at_ms, tuple(facts), info, mac, lazy)


# --- what a message says of itself, and its signature ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Claim:
    """What a message says of itself; nothing of it is proved. ``ranges`` are empty where they are not to be had."""

    edge: str
    epoch: str
    ranges: Ranges


def claim(payload: bytes) -> Claim | None:
    """Edge, epoch and numbers that a message names, also of one that is refused; None where it names no edge."""
    try:
        if payload[:1] == compact.FIRST_BYTE:
            return Claim(*compact.claimed(payload))
        body = _load(payload)
        edge, epoch = text(body.get("edge"), "edge", 64), text(body.get("epoch"), "epoch", 64)
    except ContractError:
        return None
    try:
        return Claim(edge, epoch, spans(body.get("ranges", []), "ranges"))
    except ContractError:
        return Claim(edge, epoch, Ranges())


def sign(payload: bytes, key: bytes) -> bytes:
    """The message with the edge's MAC; ``payload`` is unsigned, as the encoders make it."""
    return compact.sign(payload, key) if payload[:1] == compact.FIRST_BYTE else sign_json(payload, key)


def verify(payload: bytes, keys: Sequence[bytes]) -> None:
    """Raises ContractError("no_mac") or ("bad_mac") unless one of these keys signed the message."""
    if payload[:1] == compact.FIRST_BYTE:
        compact.verify(payload, keys)
    else:
        verify_json(payload, keys)


# --- events, weighings, hello -----------------------------------------------------------------------------------


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
        whole(raw.get("boottime_ns", 0), "boottime_ns"),
        whole(raw.get("wall_ms", 0), "wall_ms", 0, MAX_MS),
        choice(Sync, raw.get("sync", "unsynced"), "sync"),
        maybe_whole(raw.get("max_error_ms"), "max_error_ms"),
    )


def _decode_events(body: dict[str, Any]) -> list[Numbered]:
    return [Numbered(whole(item.get("seq"), "seq", 1), _event(item)) for item in _items(body)]


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
        text(item.get("type"), "type", 40),
        text(item.get("subject"), "subject"),
        maybe_whole(item.get("t_ms"), "t_ms", 0, MAX_MS),
        _stamp_of(item),
        detail,
    )


def _decode_weighings(body: dict[str, Any]) -> list[Numbered]:
    return [Numbered(whole(item.get("seq"), "seq", 1), _weighing(item)) for item in _items(body)]


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
    serial = text(item.get("device"), "device", 64)
    if not SERIAL_PATTERN.fullmatch(serial):
        raise ContractError("bad_field", f"device {serial!r}")
    return Weighing(
        weighing_id=text(item.get("id"), "id", 64),
        device_serial=serial,
        gross_kg=gross,
        tare_kg=tare,
        net_kg=net,
        sampled_at_ms=maybe_whole(item.get("t_ms"), "t_ms", 0, MAX_MS),
        stamp=_stamp_of(item),
        raw_frame=text(item.get("raw_frame"), "raw_frame", 512),
        tare_mode=text(item.get("tare_mode"), "tare_mode", 16),
        e_kg=_decimal(item.get("e_kg")),
        flags=tuple(flags),
    )


def _decode_hello(_body: dict[str, Any]) -> list[Numbered]:
    return []


_DECODERS: dict[str, Callable[[dict[str, Any]], list[Numbered]]] = {
    "events": _decode_events,
    "weighings": _decode_weighings,
    "hello": _decode_hello,
}


def decode_receipt(payload: bytes) -> Receipt:
    """A receipt; raises ContractError."""
    body = _load(payload)
    return Receipt(
        text(body.get("epoch"), "epoch", 64),
        spans(body.get("have", []), "have"),
        spans(body.get("quarantined", []), "quarantined"),
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
        text(body.get("id"), "id", 64),
        spans(body.get("seq", []), "seq"),
        None if start is None else parse_iso_utc(start),
        None if end is None else parse_iso_utc(end),
        only,
    )
