"""The compact encoding of readings, version 1. The specification is ``docs/contract.md``; this file follows its words.

    0x01  flags  body (raw deflate, if a flag says so)  [16 bytes MAC]

A minute's reading says little that is new: the clock went on by a minute, the value by a step or two. So the body
holds what each reading adds to the one before, thing by thing for the whole message (*columns*), and columns that
add the same each time take no room. Every message is whole: none needs another one to be read.

*Column*: a ``base`` that no entry is below and, byte for byte, what each entry is above it, as wide as the widest needs
(0 to 8 bytes); first the lowest bytes of all entries, then the next higher ones. Such planes suit deflate, and both
ways run at C speed: no loop over bits or bytes.
*Track*: the stamps of a run of readings. Streams polled together have one stamp, so they share a track.
*Group*: readings of one stream with the same origin, boot, sync state and error bound: a ``StreamColumns``.

Decoding is bounded before it unpacks: bytes by MAX_PAYLOAD_BYTES, entries by MAX_FACTS.
"""

from __future__ import annotations

import re
import struct
import zlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, chain, pairwise
from math import gcd, log2
from typing import NamedTuple, TypeVar

from telemetry.columns import ReadingsUpload, StreamColumns, check_bounds
from telemetry.errors import ContractError
from telemetry.limits import MAX_FACTS, MAX_INT, MAX_MS, MAX_PAYLOAD_BYTES, numbers_as_ranges, text
from telemetry.mac import MAC_BYTES, check_mac, mac_of
from telemetry.readings import Origin, Quality, Ranges, Sync

FIRST_BYTE = b"\x01"
DEFLATED, SIGNED, LAZY, NANOSECONDS = 1, 2, 4, 8
_FLAGS = DEFLATED | SIGNED | LAZY | NANOSECONDS

ORIGINS = (Origin.LIVE, Origin.MEMORY, Origin.FILE)
QUALITIES = (
    Quality.GOOD, Quality.UNSTABLE, Quality.OVER_RANGE, Quality.UNDER_RANGE, Quality.SENSOR_FAULT, Quality.INVALID,
)  # fmt: skip
_NO_VALUE = 8  # added to the code of a quality: the reading has no value
_NUMBERED = 4  # added to the code of an origin: the device numbers its readings
_HOWS = frozenset((0, 1, 2, _NUMBERED, _NUMBERED | 1, _NUMBERED | 2))
_AS_WALL, _UNDATED, _OWN = 0, 1, 2  # how a track tells t_ms

# What deflate may point back at in a short message: common words, the most common last.
DICTIONARY = (
    b"/mass_kg\n/door_open\n/voltage_v\n/mains_power_on\n/rssi_dbm\n/battery_percent\n"
    b"/ambient_temperature_c\n/humidity_percent\n/temperature_c\n"
)

_UTF8, _HEX, _UUID = 0, 1, 2
_HEX_TEXT = re.compile(r"(?:[0-9a-f]{2})+")
_UUID_TEXT = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_MAC_TEXT = re.compile(r"[0-9a-f]{32}")
_NS_PER_MS = 1_000_000
_SPLIT, _PACKED = 9, 10  # forms of a column beside 0 to 8 planes of bytes
_CODES = frozenset({1, 2, 3, 4, 5} | {_NO_VALUE | code for code in (1, 2, 3, 4, 5)})
# Ways and block lengths that deflate is tried with; the shortest is sent.
_WAYS = (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_FIXED)
_LEAST = (1 << 30, 200, 50)
# Entries of so few bits are packed: deflate finds chance repeats in bytes of 0 and 1, at twice the cost of a bit each.
_PACKED_UP_TO = (2, 64)

_T = TypeVar("_T")
_Context = tuple[str, Sync, int | None]
_Track = tuple[tuple[int, ...], tuple[int, ...], tuple[int | None, ...]]


_Part = bytes | list[int]  # bytes as they are, or the entries of a column


class _Stamps(NamedTuple):
    boottime_ns: list[int]
    wall_ms: list[int]
    t_ms: list[int | None]


class _Group(NamedTuple):
    name: str
    context: _Context
    stamps: _Stamps
    how: int
    place: int


# --- writing ---------------------------------------------------------------------------------------------------


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _zigzag(number: int) -> int:
    return number << 1 if number >= 0 else (-number << 1) - 1


def _text(value: str) -> bytes:
    """varint(2-bit form, length in bytes) and the bytes: UTF-8, or half as many for hex digits and UUIDs."""
    if _UUID_TEXT.fullmatch(value):
        form, packed = _UUID, bytes.fromhex(value.replace("-", ""))
    elif _HEX_TEXT.fullmatch(value):
        form, packed = _HEX, bytes.fromhex(value)
    else:
        try:
            form, packed = _UTF8, value.encode()
        except UnicodeEncodeError as error:
            raise ContractError("bad_field", "a text holds half a character") from error
    return _varint(len(packed) << 2 | form) + packed


def _column(entries: Sequence[int], packed_up_to: int) -> list[bytes]:
    """A column as its head and its planes; of no entries: nothing. Up to so many bits an entry prefer bits to bytes."""
    if not entries:
        return []
    base = min(entries)
    bits = (max(entries) - base).bit_length()
    if not bits:
        return [_varint(_zigzag(base) << 4)]
    above = [entry - base for entry in entries]
    if bits <= packed_up_to and bits % 8:
        whole = int("".join(format(number, f"0{bits}b") for number in reversed(above)), 2)
        size = (len(above) * bits + 7) // 8
        return [_varint(_zigzag(base) << 4 | _PACKED) + bytes((bits,)), whole.to_bytes(size, "little")]
    if bits <= 8:
        return [_varint(_zigzag(base) << 4 | 1), bytes(above)]
    if bits <= 15:
        low, below = _best_split(above, bits)
        form = bytes((low,)) if low < 8 else b""
        head = _varint(_zigzag(base - below) << 4 | (_SPLIT if form else 2)) + form
        return [head, *_parts([n + below for n in above], low)]
    width = (bits + 7) // 8
    cells = struct.pack(f"<{len(above)}Q", *above)
    return [_varint(_zigzag(base) << 4 | width), *(cells[plane::8] for plane in range(width))]


def _parts(above: Sequence[int], low: int) -> tuple[bytes, bytes]:
    """The lowest ``low`` bits of each, and the rest."""
    mask = (1 << low) - 1
    return bytes(n & mask for n in above), bytes(n >> low for n in above)


def _best_split(above: Sequence[int], bits: int) -> tuple[int, int]:
    """How many low bits to set apart and how far below the least entry to begin, for short codes of both parts."""
    top = max(above)
    ways = [(low, below) for low in range(max(1, bits - 8), 9) for below in {0, _turn(above, low)}]
    costs = [
        (_cost(_parts([n + below for n in above], low)), low, below)
        for low, below in ways
        if top + below >> low < 256
    ]
    _, low, below = min(costs)
    return low, below


def _turn(above: Sequence[int], low: int) -> int:
    """What to add so that the widest gap between the low parts lies at their end.

    Adverts come at some multiple of a second or so, give or take 20 ms: then no crowd of steps is cut in two by a carry.
    """
    size = 1 << low
    used = sorted({n & size - 1 for n in above})
    _, after = max((b - a, b) for a, b in zip(used, [*used[1:], used[0] + size], strict=True))
    return -after % size


def _cost(parts: Sequence[bytes]) -> float:
    """About so many bits: the entropy of the parts, and a bit for each sign that a code must name."""
    total = 0.0
    for part in map(Counter, parts):
        total += len(part) - sum(count * log2(count / part.total()) for count in part.values())
    return total


def _steps(numbers: Iterable[int]) -> list[int]:
    return [b - a for a, b in pairwise(numbers)]


def _along(numbers: Sequence[int]) -> list[int]:
    """What each number adds to the one before, the first to 0."""
    return _steps((0, *numbers))


def _all_steps(runs: Iterable[Sequence[int]]) -> list[int]:
    """The steps within each run, run after run (their first numbers stand elsewhere)."""
    return list(chain.from_iterable(map(_steps, runs)))


class _Index(dict[_T, int]):
    """Numbers things 0, 1, 2, ... in the order they first come."""

    def __missing__(self, thing: _T) -> int:
        self[thing] = number = len(self)
        return number


def _held(numbers: Sequence[int | None]) -> list[int]:
    """What stands where there is no number: the one before; at the start the next; 0 if there is none at all."""
    last = next((n for n in numbers if n is not None), 0)
    held = []
    for number in numbers:
        last = last if number is None else number
        held.append(last)
    return held


def encode(upload: ReadingsUpload) -> bytes:
    """The message; raises ContractError for a ``mac`` that is not 32 hex digits, and for text that is no Unicode."""
    groups = [s for s in upload.streams if s.seq]
    in_ns = any(b % _NS_PER_MS for s in groups for b in s.boottime_ns)
    flags = (LAZY if upload.lazy else 0) | (NANOSECONDS if in_ns else 0)
    flags, body = _shortest(_body(upload, groups, 1 if in_ns else _NS_PER_MS), flags)
    if upload.mac is None:
        return FIRST_BYTE + bytes((flags,)) + body
    if not _MAC_TEXT.fullmatch(upload.mac):
        raise ContractError("bad_field", "mac is not 32 hex digits")
    return FIRST_BYTE + bytes((flags | SIGNED,)) + body + bytes.fromhex(upload.mac)


def _shortest(parts: Sequence[_Part], flags: int) -> tuple[int, bytes]:
    """Several ways to write the same; the shortest is sent: bits or bytes, as they are or deflated, in which blocks."""
    found = []
    for bits in _PACKED_UP_TO:
        pieces = list(chain.from_iterable([p] if isinstance(p, bytes) else _column(p, bits) for p in parts))
        found.append((flags, b"".join(pieces)))
        found += ((flags | DEFLATED, _deflate(pieces, way, least)) for way in _WAYS for least in _LEAST)
    return min(found, key=lambda way: len(way[1]))


def _deflate(pieces: Sequence[bytes], way: int, least: int) -> bytes:
    """Pieces of at least so many bytes get blocks (so: codes) of their own."""
    pack = zlib.compressobj(9, zlib.DEFLATED, -15, 9, way, DICTIONARY)
    out, open_ = [], False
    for part in pieces:
        own = len(part) >= least
        if own and open_:
            out.append(pack.flush(zlib.Z_BLOCK))
        out.append(pack.compress(part))
        if own:
            out.append(pack.flush(zlib.Z_BLOCK))
        open_ = not own
    return b"".join((*out, pack.flush()))


def _body(upload: ReadingsUpload, groups: Sequence[StreamColumns], ns: int) -> list[_Part]:
    contexts: _Index[_Context] = _Index()
    tracks: _Index[_Track] = _Index()
    streams: dict[str, list[StreamColumns]] = {}
    for s in groups:
        streams.setdefault(s.stream_id, []).append(s)
    place = {name: i for i, name in enumerate(streams)}
    rows = [
        (
            place[s.stream_id],
            contexts[s.boot_id, s.sync, s.max_error_ms],
            tracks[tuple(s.boottime_ns), tuple(s.wall_ms), tuple(s.t_ms)],
            ORIGINS.index(s.origin) | (0 if s.device_seq is None else _NUMBERED),
        )
        for s in groups
    ]
    parts: list[_Part] = [_varint(_zigzag(upload.sent_at_ms)), _text(upload.edge), _text(upload.epoch)]
    parts.append(_varint(len(contexts)))
    for boot_id, sync, max_error_ms in contexts:
        error = 0 if max_error_ms is None else max_error_ms + 1
        parts += _text(boot_id), _varint(error << 1 | (sync is Sync.SYNCED))
    parts.append(_varint(len(streams)))
    if streams:
        parts.append(_text("\n".join(streams)))
    parts += _tracks(list(tracks), ns)
    parts.append(_varint(len(rows)))
    parts += (_along([row[i] for row in rows]) for i in range(3))
    parts.append([how for *_, how in rows])
    return [*parts, *_readings(list(streams.values()), _ranks(contexts))]


def _tracks(tracks: Sequence[_Track], ns: int) -> list[_Part]:
    boots = [[b // ns for b in boot] for boot, _, _ in tracks]
    offsets = [[w - b // _NS_PER_MS for b, w in zip(boot, wall, strict=True)] for boot, wall, _ in tracks]
    told = [_AS_WALL if t == wall else _OWN if any(x is not None for x in t) else _UNDATED for _, wall, t in tracks]
    own = [
        [None if t is None else t - w for t, w in zip(times, wall, strict=True)]
        for (_, wall, times), how in zip(tracks, told, strict=True)
        if how == _OWN
    ]
    undated = [i for i, t in enumerate(chain.from_iterable(own)) if t is None]
    ahead = [_held(t) for t in own]
    parts: list[_Part] = [
        _varint(len(tracks)),
        [len(boot) for boot in boots],
        told,
        _along([boot[0] for boot in boots]),
        _along([t[0] for t in ahead]),
        _all_steps(boots),
        list(chain.from_iterable(offsets)),
        _all_steps(ahead),
    ]
    return [*parts, _varint(len(undated)), _along(undated)] if own else parts


def _ranks(contexts: Iterable[_Context]) -> dict[str, int]:
    """The boots, numbered as they first come."""
    return {boot_id: rank for rank, boot_id in enumerate(dict.fromkeys(boot_id for boot_id, _, _ in contexts))}


def _in_time(ranks: Sequence[int], boots: Sequence[int]) -> list[int]:
    """The places of readings in the order they were stamped, which is that of their numbers as a rule."""
    if len(set(ranks)) < 2:
        return sorted(range(len(boots)), key=boots.__getitem__)
    return sorted(range(len(boots)), key=lambda i: (ranks[i], boots[i]))


def _readings(streams: Sequence[Sequence[StreamColumns]], rank_of: Mapping[str, int]) -> list[_Part]:
    """What the readings say, stream after stream, each stream's groups in their order."""
    seqs = list(chain.from_iterable(s.seq for groups in streams for s in groups))
    boots = list(chain.from_iterable(s.boottime_ns for groups in streams for s in groups))
    ranks = list(chain.from_iterable([rank_of[s.boot_id]] * len(s.seq) for groups in streams for s in groups))
    in_time = [seqs[i] for i in _in_time(ranks, boots)]
    plain = [list(chain.from_iterable(s.milli for s in groups)) for groups in streams]
    held = [_held(milli) for milli in plain]
    steps = [gcd(*milli) or 1 for milli in held]
    values = [[m // step for m in milli] for milli, step in zip(held, steps, strict=True)]
    codes = [
        QUALITIES.index(s.quality.get(i, Quality.GOOD)) | (_NO_VALUE if milli is None else 0)
        for groups in streams
        for s in groups
        for i, milli in enumerate(s.milli)
    ]
    odd = [i for i, code in enumerate(codes) if code]
    numbered = [
        list(chain.from_iterable(s.device_seq for s in groups if s.device_seq is not None)) for groups in streams
    ]
    numbered = [n for n in numbered if n]
    parts: list[_Part] = [_varint(in_time[0]), _steps(in_time)] if in_time else []
    return [
        *parts,
        _varint(len(odd)),
        _along(odd),
        [codes[i] for i in odd],
        _along([n[0] for n in numbered]),
        _all_steps(numbered),
        steps,
        [v[0] for v in values],
        _all_steps(values),
    ]


def sign(payload: bytes, key: bytes) -> bytes:
    """The message with its MAC at the end; ``payload`` must be unsigned."""
    if payload[1] & SIGNED:
        raise ValueError("not an unsigned upload")
    body = FIRST_BYTE + bytes((payload[1] | SIGNED,)) + payload[2:]
    return body + mac_of(body, key)


def verify(payload: bytes, keys: Sequence[bytes]) -> None:
    """Raises ContractError("no_mac") or ("bad_mac") unless one of the edge's keys made this message's MAC."""
    if len(payload) < 2 + MAC_BYTES or not payload[1] & SIGNED:
        raise ContractError("no_mac", "the edge has a key, and this message carries no MAC at its end")
    check_mac(payload[:-MAC_BYTES], payload[-MAC_BYTES:].hex().encode(), keys)


# --- reading ---------------------------------------------------------------------------------------------------


class _Reader:
    """Takes a body apart from the front; every fault is ContractError("bad_columns")."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def varint(self) -> int:
        body, at = self._body, self._at
        if at < len(body) and body[at] < 128:  # most are short
            self._at = at + 1
            return body[at]
        number = shift = 0
        while True:
            if at >= len(body) or shift > 70:
                raise _broken("a number is cut off or too long")
            byte = body[at]
            at += 1
            number |= (byte & 127) << shift
            if byte < 128:
                break
            shift += 7
        if not byte and shift:
            raise _broken("a number is longer than it need be")
        self._at = at
        return number

    def signed(self) -> int:
        number = self.varint()
        return number >> 1 ^ -(number & 1)

    def count(self) -> int:
        number = self.varint()
        if number > MAX_FACTS:
            raise ContractError("too_large", f"{number} entries, at most {MAX_FACTS}")
        return number

    def text(self) -> str:
        head = self.varint()
        packed = self._take(head >> 2)
        match head & 3:
            case 0:
                try:
                    return packed.decode()
                except UnicodeDecodeError as error:
                    raise _broken("a text is not UTF-8") from error
            case 1:
                return packed.hex()
            case 2 if len(packed) == 16:
                return f"{packed[:4].hex()}-{packed[4:6].hex()}-{packed[6:8].hex()}-{packed[8:10].hex()}-{packed[10:].hex()}"
        raise _broken("a text of no known form")

    def _take(self, length: int) -> bytes:
        at, end = self._at, self._at + length
        if end > len(self._body):
            raise _broken("cut off")
        self._at = end
        return self._body[at:end]

    def column(self, length: int) -> list[int]:
        """``length`` entries."""
        if not length:
            return []
        head = self.varint()
        width = head & 15
        base = head >> 5 ^ -(head >> 4 & 1)
        if not width:
            return [base] * length
        above: Sequence[int]
        if width == _PACKED:
            above = self._packed(length)
        elif width == _SPLIT:
            above = self._split(length)
        elif width > 8:
            raise _broken("a column of no known form")
        else:
            above = self._planes(length, width)
        return [base + number for number in above] if base else list(above)

    def _planes(self, length: int, width: int) -> Sequence[int]:
        planes = self._take(length * width)
        if width == 1:
            return planes
        size, letter = (2, "H") if width == 2 else (4, "I") if width <= 4 else (8, "Q")
        cells = bytearray(length * size)
        for plane in range(width):
            cells[plane::size] = planes[plane * length : (plane + 1) * length]
        return struct.unpack(f"<{length}{letter}", cells)

    def _split(self, length: int) -> Sequence[int]:
        shift = self._take(1)[0]
        low, high = self._take(length), self._take(length)
        if not 0 < shift < 8 or max(low) >> shift:
            raise _broken("a split column of no possible shape")
        return [a | b << shift for a, b in zip(low, high, strict=True)]

    def _packed(self, length: int) -> Sequence[int]:
        bits = self._take(1)[0]
        if not 0 < bits <= 64:
            raise _broken("a packed column of no possible width")
        data = self._take((length * bits + 7) // 8)
        spare = len(data) * 8 - length * bits
        if spare and data[-1] >> 8 - spare:
            raise _broken("a packed column with bits left over")
        mask, found = (1 << bits) - 1, list[int]()
        # 32 entries are a whole number of bytes; shifting a short number is quick, a long one is not
        for start in range(0, length, 32):
            whole = int.from_bytes(data[start * bits // 8 : (start + 32) * bits // 8], "little")
            found += [whole >> at & mask for at in range(0, min(32, length - start) * bits, bits)]
        return found

    def along(self, length: int) -> list[int]:
        """``length`` numbers, each told by what it adds to the one before."""
        return list(accumulate(self.column(length)))

    def runs(self, firsts: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
        """Runs of these lengths, each told by the steps from its first number."""
        steps = self.column(sum(lengths) - len(lengths))
        if len(lengths) == 1:
            return [list(accumulate(steps, initial=firsts[0]))]
        found, at = [], 0
        for first, length in zip(firsts, lengths, strict=True):
            end = at + length - 1
            found.append(list(accumulate(steps[at:end], initial=first)))
            at = end
        return found

    def end(self) -> None:
        if self._at != len(self._body):
            raise _broken("bytes are left over")


def _broken(what: str) -> ContractError:
    return ContractError("bad_columns", what)


def _opened(payload: bytes) -> tuple[int, bytes, str | None]:
    """(flags, body, MAC) of a message."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ContractError("too_large", f"{len(payload)} bytes, at most {MAX_PAYLOAD_BYTES}")
    if payload[:1] != FIRST_BYTE or len(payload) < 2:
        raise ContractError("unknown_encoding", f"begins with {payload[:2].hex()}")
    flags = payload[1]
    if flags & ~_FLAGS:
        raise ContractError("unknown_version", f"flags {flags:#04x}")
    body, mac = payload[2:], None
    if flags & SIGNED:
        if len(body) < MAC_BYTES:
            raise _broken("cut off")
        body, mac = body[:-MAC_BYTES], body[-MAC_BYTES:].hex()
    return flags, _inflated(body) if flags & DEFLATED else body, mac


def _inflated(packed: bytes) -> bytes:
    unpack = zlib.decompressobj(-15, zdict=DICTIONARY)
    try:
        body = unpack.decompress(packed, MAX_PAYLOAD_BYTES)
    except zlib.error as error:
        raise _broken("not deflate") from error
    if not unpack.eof:
        more = unpack.unconsumed_tail
        raise (
            ContractError("too_large", f"more than {MAX_PAYLOAD_BYTES} bytes inside") if more else _broken("cut off")
        )
    if unpack.unused_data:
        raise _broken("bytes are left over")
    return body


def decode(payload: bytes) -> ReadingsUpload:
    """The upload; raises ContractError. Never a partial result."""
    flags, body, mac = _opened(payload)
    reader = _Reader(body)
    sent_at_ms, edge, epoch = reader.signed(), reader.text(), reader.text()
    streams, tracks = _streams(reader, 1 if flags & NANOSECONDS else _NS_PER_MS)
    reader.end()
    _check(streams, tracks)
    if not 0 <= sent_at_ms <= MAX_MS:
        raise ContractError("bad_time", f"sent_at {sent_at_ms} ms")
    ranges = numbers_as_ranges(list(chain.from_iterable(s.seq for s in streams)))
    edge, epoch = text(edge, "edge", 64), text(epoch, "epoch", 64)
    return ReadingsUpload(edge, epoch, sent_at_ms, streams, ranges, bool(flags & LAZY), mac)


def claimed(payload: bytes) -> tuple[str, str, Ranges]:
    """(edge, epoch, numbers) that a message names, its readings unchecked; no numbers where they cannot be read."""
    flags, body, _ = _opened(payload)
    reader = _Reader(body)
    reader.signed()
    edge, epoch = text(reader.text(), "edge", 64), text(reader.text(), "epoch", 64)
    try:
        streams, _ = _streams(reader, 1 if flags & NANOSECONDS else _NS_PER_MS)
        numbers = list(chain.from_iterable(s.seq for s in streams))
        if min(numbers, default=1) < 1 or max(numbers, default=1) > MAX_INT:
            return edge, epoch, Ranges()
        return edge, epoch, numbers_as_ranges(numbers)
    except ContractError:
        return edge, epoch, Ranges()


def _streams(reader: _Reader, ns: int) -> tuple[list[StreamColumns], list[_Stamps]]:
    contexts = [_context(reader) for _ in range(reader.count())]
    count = reader.count()
    names = reader.text().split("\n") if count else []
    if len(names) != count:
        raise _broken(f"{len(names)} streams, {count} announced")
    tracks = _read_tracks(reader, ns)
    rows = reader.count()
    places, which, runs = reader.along(rows), reader.along(rows), reader.along(rows)
    hows = reader.column(rows)
    for column, top in ((places, count), (which, len(contexts)), (runs, len(tracks))):
        if rows and not (min(column) >= 0 and max(column) < top):
            raise _broken("a group points at nothing")
    if not _HOWS.issuperset(hows):
        raise _broken("an origin that is none")
    groups = [
        _Group(names[p], contexts[c], tracks[t], h, p) for p, c, t, h in zip(places, which, runs, hows, strict=True)
    ]
    return _read_readings(reader, groups, count), tracks


def _context(reader: _Reader) -> _Context:
    boot_id, rest = reader.text(), reader.varint()
    if len(boot_id) > 64:
        raise ContractError("bad_field", "boot_id has more than 64 signs")
    error = rest >> 1
    if error > MAX_INT + 1:
        raise ContractError("bad_field", f"max_error_ms is {error - 1}")
    return boot_id, Sync.SYNCED if rest & 1 else Sync.UNSYNCED, error - 1 if error else None


def _read_tracks(reader: _Reader, ns: int) -> list[_Stamps]:
    count = reader.count()
    lengths, told = reader.column(count), reader.column(count)
    if count and (min(lengths) < 1 or sum(lengths) > MAX_FACTS or not _AS_WALL <= min(told) <= max(told) <= _OWN):
        raise _broken("tracks of no possible length or kind")
    first_boots = reader.along(count)
    own_lengths = [length for length, how in zip(lengths, told, strict=True) if how == _OWN]
    first_ahead = reader.along(len(own_lengths))
    boots = reader.runs(first_boots, lengths)
    offsets = iter(reader.column(sum(lengths)))
    own = iter(_own_times(reader, first_ahead, own_lengths))
    found = []
    for boot, how in zip(boots, told, strict=True):
        nanoseconds = boot if ns == 1 else [b * ns for b in boot]
        milliseconds = boot if ns != 1 else [b // _NS_PER_MS for b in boot]
        wall = [b + next(offsets) for b in milliseconds]
        times: list[int | None] = [*wall]
        if how == _UNDATED:
            times = [None] * len(wall)
        elif how == _OWN:
            times = [None if a is None else w + a for a, w in zip(next(own), wall, strict=True)]
        found.append(_Stamps(nanoseconds, wall, times))
    return found


def _own_times(reader: _Reader, firsts: Sequence[int], lengths: Sequence[int]) -> list[list[int | None]]:
    """How far t_ms is ahead of wall_ms, in the tracks that tell it; None: undated."""
    ahead: list[list[int | None]] = [[*run] for run in reader.runs(firsts, lengths)]
    if not ahead:
        return ahead
    undated = _positions(reader, sum(lengths))
    starts = list(accumulate(lengths, initial=0))
    for position in undated:
        track = bisect_right(starts, position) - 1
        ahead[track][position - starts[track]] = None
    return ahead


def _positions(reader: _Reader, length: int) -> list[int]:
    """Some of ``length`` places, rising."""
    found = reader.along(reader.count())
    if found and not (found[0] >= 0 and found[-1] < length and all(a < b for a, b in pairwise(found))):
        raise _broken("places that are none, or not in order")
    return found


def _read_readings(reader: _Reader, groups: Sequence[_Group], count: int) -> list[StreamColumns]:
    lengths, numbered_lengths = [0] * count, [0] * count
    for group in groups:
        lengths[group.place] += len(group.stamps.wall_ms)
        if group.how & _NUMBERED:
            numbered_lengths[group.place] += len(group.stamps.wall_ms)
    total = sum(lengths)
    if total > MAX_FACTS:
        raise ContractError("too_large", f"{total} facts, at most {MAX_FACTS}")
    if count and not min(lengths):
        raise _broken("a stream without readings")
    starts = list(accumulate(lengths, initial=0))
    seqs = _read_numbers(reader, groups, count)
    odd = _positions(reader, total)
    codes = dict(zip(odd, reader.column(len(odd)), strict=True))
    if not _CODES.issuperset(codes.values()):
        raise ContractError("bad_value", "a quality that is none, or a reading that has no value and says good")
    with_numbers = [length for length in numbered_lengths if length]
    numbers = iter(reader.runs(reader.along(len(with_numbers)), with_numbers))
    device_seqs = [next(numbers) if length else [] for length in numbered_lengths]
    steps = reader.column(count)
    values = reader.runs(reader.column(count), lengths)
    milli: list[list[int | None]] = [
        [v * step for v in run] if step != 1 else [*run] for run, step in zip(values, steps, strict=True)
    ]
    for position, code in codes.items():
        if code & _NO_VALUE:
            stream = bisect_right(starts, position) - 1
            milli[stream][position - starts[stream]] = None
    return _cut(groups, seqs, milli, device_seqs, starts, codes)


def _read_numbers(reader: _Reader, groups: Sequence[_Group], count: int) -> list[int]:
    """The numbers of all readings, stream after stream."""
    rank_of = _ranks(group.context for group in groups)
    ranks: list[list[int]] = [[] for _ in range(count)]
    boots: list[list[int]] = [[] for _ in range(count)]
    for group in groups:
        boots[group.place] += group.stamps.boottime_ns
        if len(rank_of) > 1:
            ranks[group.place] += [rank_of[group.context[0]]] * len(group.stamps.boottime_ns)
    in_time = _in_time(list(chain.from_iterable(ranks)), list(chain.from_iterable(boots)))
    seqs = [0] * len(in_time)
    if seqs:
        first = reader.varint()
        for i, seq in zip(in_time, accumulate(reader.column(len(seqs) - 1), initial=first), strict=True):
            seqs[i] = seq
    return seqs


def _cut(
    groups: Sequence[_Group],
    seqs: Sequence[int],
    milli: Sequence[list[int | None]],
    device_seqs: Sequence[list[int]],
    starts: Sequence[int],
    codes: Mapping[int, int],
) -> list[StreamColumns]:
    """Each group's part of its stream."""
    read, numbers_read = [0] * len(milli), [0] * len(milli)
    found = []
    for name, (boot_id, sync, max_error_ms), stamps, how, place in groups:
        start = read[place]
        end = read[place] = start + len(stamps.wall_ms)
        device_seq = None
        if how & _NUMBERED:
            first = numbers_read[place]
            numbers_read[place] = first + end - start
            device_seq = device_seqs[place][first : first + end - start]
        quality = {}
        before = starts[place] + start
        if codes:
            quality = {i: QUALITIES[codes[before + i] & 7] for i in range(end - start) if before + i in codes}
        found.append(
            StreamColumns(
                name,
                ORIGINS[how & 3],
                boot_id,
                sync,
                max_error_ms,
                list(seqs[before : before + end - start]),
                stamps.t_ms[:],
                milli[place][start:end],
                stamps.boottime_ns[:],
                stamps.wall_ms[:],
                device_seq,
                quality,
            )
        )
    return found


def _check(streams: Sequence[StreamColumns], tracks: Sequence[_Stamps]) -> None:
    """The same bounds as in JSON. Stamps are checked once for all streams that share them."""
    _within("seq", 1, MAX_INT, (s.seq for s in streams))
    _within("device_seq", 0, MAX_INT, (s.device_seq for s in streams if s.device_seq is not None))
    _within("boottime_ns", 0, MAX_INT, (t.boottime_ns for t in tracks))
    _within("wall_ms", 0, MAX_MS, (t.wall_ms for t in tracks))
    _within("t_ms", 0, MAX_MS, ([x for x in t.t_ms if x is not None] if None in t.t_ms else t.t_ms for t in tracks))  # type: ignore[misc]
    check_bounds(streams)


def _within(key: str, low: int, high: int, columns: Iterable[Sequence[int]]) -> None:
    numbers = list(chain.from_iterable(columns))
    if numbers and not (low <= min(numbers) and max(numbers) <= high):
        raise ContractError("bad_field", f"{key} is {min(numbers)} to {max(numbers)}, wanted {low}..{high}"[:160])
