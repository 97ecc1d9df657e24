"""Rows out of the pages of a damaged SQLite file, without its trees. Pure: bytes in, records out.

Every leaf page says by itself which records it holds (sqlite.org/fileformat2.html), so a broken tree, header or
schema costs nothing but the broken page:

    leaf page   | 0D (table) or 0A (index) | freeblock 2 | cells 2 | content 2 | frag 1 | cell pointers 2 each | ... cells
    table cell  | payload size v | rowid v | payload (its end may be on overflow pages) |
    index cell  | payload size v | payload |
    record      | header size v | serial type v of each column | the columns |             v: 1 to 9 bytes, 7 bits each

Whether a record is one of ours, and still what was written, its own check says (``edge.outbox_rows``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

Value = int | str | bytes | float | None
TABLE, INDEX = 0x0D, 0x0A
_MAX_PAYLOAD = 1 << 20
_WIDTHS = (0, 1, 2, 3, 4, 6, 8)


@dataclass(frozen=True, slots=True)
class Record:
    """``rowid`` is None in an index leaf (a table without rowid)."""

    rowid: int | None
    values: tuple[Value, ...]


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at this place and the place after it; IndexError beyond the end."""
    value = 0
    for place in range(8):
        byte = data[at + place]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + place + 1
    return value << 8 | data[at + 8], at + 9


def signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def record(payload: bytes) -> tuple[Value, ...]:
    """The columns; ValueError or IndexError if this is no record."""
    size, at = varint(payload, 0)
    types: list[int] = []
    while at < size:
        kind, at = varint(payload, at)
        types.append(kind)
    if at != size:
        raise ValueError("the header does not end where it says")
    values: list[Value] = []
    for kind in types:
        value, at = _column(payload, kind, at)
        values.append(value)
    if at != len(payload):
        raise ValueError("the columns do not fill the record")
    return tuple(values)


def _column(payload: bytes, kind: int, at: int) -> tuple[Value, int]:
    if kind == 0:
        return None, at
    if kind <= 6:
        width = _WIDTHS[kind]
        return int.from_bytes(_part(payload, at, width), "big", signed=True), at + width
    if kind in (8, 9):
        return kind - 8, at
    if kind < 12:
        raise ValueError("a column of a kind we never write")
    width = (kind - 12) // 2
    part = _part(payload, at, width)
    return (part.decode() if kind % 2 else part), at + width


def _part(payload: bytes, at: int, width: int) -> bytes:
    part = payload[at : at + width]
    if len(part) != width:
        raise ValueError("the record is cut off")
    return part


def records(
    page: bytes,
    size: int,
    page_of: Callable[[int], bytes | None],
    first: bool = False,
    wanted: Callable[[int], bool] = bool,
) -> Iterator[Record]:
    """The records of a leaf page; none of another page. ``first``: the file's first page, which begins with a header
    of 100 bytes. ``page_of`` gives the pages that long records go on in. ``wanted`` chooses by the size of a record's
    header, which is one more than its columns if none is long.
    """
    head = 100 if first else 0
    kind = page[head]
    if kind not in (TABLE, INDEX):
        return
    count = min(int.from_bytes(page[head + 3 : head + 5], "big"), (size - head - 8) // 2)
    for place in range(count):
        pointer = head + 8 + 2 * place
        at = int.from_bytes(page[pointer : pointer + 2], "big")
        if not head + 8 <= at < size:
            continue
        try:
            found = _cell(page, at, size, kind, page_of, wanted)
            if found is not None:
                yield found
        except (ValueError, IndexError, UnicodeDecodeError):
            continue


def _cell(
    page: bytes, at: int, size: int, kind: int, page_of: Callable[[int], bytes | None], wanted: Callable[[int], bool]
) -> Record | None:
    length, at = varint(page, at)
    rowid = None
    if kind == TABLE:
        number, at = varint(page, at)
        rowid = signed(number)
    if not 0 < length <= _MAX_PAYLOAD:
        raise ValueError("no record is so long")
    if not wanted(page[at]):
        return None
    local = _local(length, size, kind)
    payload = _part(page, at, local)
    if local < length:
        following = int.from_bytes(page[at + local : at + local + 4], "big")
        payload += _overflow(following, length - local, size, page_of)
    return Record(rowid, record(payload))


def _local(length: int, size: int, kind: int) -> int:
    """How much of a payload stands on the leaf itself."""
    most = size - 35 if kind == TABLE else (size - 12) * 64 // 255 - 23
    if length <= most:
        return length
    least = (size - 12) * 32 // 255 - 23
    part = least + (length - least) % (size - 4)
    return part if part <= most else least


def _overflow(number: int, left: int, size: int, page_of: Callable[[int], bytes | None]) -> bytes:
    found = b""
    while left > 0:
        page = page_of(number)
        if page is None:
            raise ValueError("its end is on a page that is missing")
        part = page[4 : 4 + min(left, size - 4)]
        found += part
        left -= len(part)
        number = int.from_bytes(page[:4], "big")
    return found


# --- the write-ahead log -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Frame:
    """A page in the log: its number, where its bytes begin, and whether it ends a commit."""

    page: int
    at: int
    commit: bool


@dataclass(frozen=True, slots=True)
class Wal:
    """``sound``: the frames that SQLite takes. ``more``: whole frames after a break, in order; ``damaged`` says that
    one of those was accepted: a later commit began after it, so the break is no torn end of a power cut.
    """

    sound: tuple[Frame, ...] = ()
    more: tuple[Frame, ...] = ()
    damaged: bool = False


_HEADER, _FRAME = 32, 24


def checksum(data: bytes, start: tuple[int, int], big: bool) -> tuple[int, int]:
    """SQLite's running checksum over whole pairs of 32-bit words."""
    s0, s1 = start
    words = memoryview(data).cast("I") if not big else _swapped(data)
    for place in range(0, len(words), 2):
        s0 = (s0 + words[place] + s1) & 0xFFFFFFFF
        s1 = (s1 + words[place + 1] + s0) & 0xFFFFFFFF
    return s0, s1


def _swapped(data: bytes) -> memoryview:
    swapped = bytearray(len(data))
    for place in range(4):
        swapped[place::4] = data[3 - place :: 4]
    return memoryview(bytes(swapped)).cast("I")


def wal(data: bytes) -> Wal:
    """What the log holds. Written for machines that store the lowest byte first, as every Pi and PC does."""
    if len(data) < _HEADER + _FRAME:
        return Wal()
    size = int.from_bytes(data[8:12], "big")
    magic = int.from_bytes(data[:4], "big")
    big = bool(magic & 1)
    stored = int.from_bytes(data[24:28], "big"), int.from_bytes(data[28:32], "big")
    sound_head = magic in (0x377F0682, 0x377F0683) and size in (512, 1024, 2048, 4096, 8192)
    sound_head = sound_head and checksum(data[:24], (0, 0), big) == stored
    salt = data[16:24]
    if not sound_head:
        size, big, salt = 1024, False, _usual_salt(data, 1024)
    running: tuple[int, int] | None = stored if sound_head else None
    sound: list[Frame] = []
    more: list[Frame] = []
    commits = 0
    broken = not sound_head
    for at in range(_HEADER, len(data) - _FRAME - size + 1, _FRAME + size):
        head = data[at : at + _FRAME]
        if head[8:16] != salt:  # the end of what was written since the log began anew, or a spoiled frame
            broken, running = True, None
            continue
        body = data[at + _FRAME : at + _FRAME + size]
        told = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
        whole = running is not None and checksum(body, checksum(head[:8], running, big), big) == told
        broken = broken or not whole
        frame = Frame(int.from_bytes(head[:4], "big"), at + _FRAME, head[4:8] != b"\0\0\0\0")
        commits += broken and frame.commit
        if whole:
            (more if broken else sound).append(frame)
        running = told
    while sound and not sound[-1].commit:
        sound.pop()
    return Wal(tuple(sound), tuple(more), commits >= 2)


def _usual_salt(data: bytes, size: int) -> bytes:
    """The salt of most frames, where the header does not tell it."""
    salts = [data[at + 8 : at + 16] for at in range(_HEADER, len(data) - _FRAME - size + 1, _FRAME + size)]
    return max(set(salts), key=salts.count, default=b"")
