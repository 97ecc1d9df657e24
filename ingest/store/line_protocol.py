"""InfluxDB's line protocol for our readings: strings with a cached series key (``facts/data-path.md`` 2). Pure.

    readings,site=S,source=E1/epoch,stream=T1/temperature_c,variant=0 value=4.125,seq=7i,received_at_ms=..i,...i <ms>
    reading_windows,site=S,stream=T1/temperature_c first_ms=..i,last_ms=..i <number of the 72 h window, as ms>

What an upload says once is a tag, and the usual is not said: ``quality`` only where it is not good, ``origin`` where
it is not live, ``sync`` where the clock was not, ``slot`` where two device numbers share a time. A field costs the
server 1.5 us a point, and nine of them made it four times as slow as four (``docs/decisions/0018-store-once.md``).

``value`` is a float field and left out where the device said "no value"; whole numbers carry ``i``. Times are ms.
Three decimals below 1e9 survive the way through a double unchanged: its shortest print is what went in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

from ingest.store.identity import Fresh
from ingest.store.model import Row, StreamBatch
from telemetry.readings import Origin, Quality, Sync

READINGS = "readings"
WINDOWS = "reading_windows"
WINDOW_MS = 72 * 3_600_000
# Signs that a tag takes as they are. Another edge or epoch goes into fields: a tag has no escape for a backslash.
_PLAIN = re.compile(r"[A-Za-z0-9_.:\-]{1,128}")


class _Texts(dict[int | None, str]):
    """Thousandths as the server reads them. Printing a double takes longer than all the rest of a line, and a
    probe says the same few hundred values again and again.
    """

    def __missing__(self, milli: int | None) -> str:
        assert milli is not None  # noqa: S101  (a reading without a value has no such field)
        if len(self) >= _MAX_TEXTS:
            self.clear()
        text = self[milli] = repr(milli / 1000)
        return text


_MAX_TEXTS = 20_000
_texts = _Texts()


def tag(text: str) -> str:
    """A tag's value with its escapes. Backslashes and line breaks have none: ``refusal`` keeps them out."""
    return text.replace(",", "\\,").replace("=", "\\=").replace(" ", "\\ ")


def string(text: str) -> str:
    """A string field."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{escaped}"'


@lru_cache(200_000)
def _series_key(
    site: str, stream_id: str, source: str, origin: Origin, quality: Quality, sync: Sync, variant: int, slot: int
) -> str:
    """Measurement and tags, in the order that the server keeps them in."""
    tags = {
        "origin": "" if origin is Origin.LIVE else origin.value,
        "quality": "" if quality is Quality.GOOD else quality.value,
        "site": tag(site),
        "slot": str(slot or ""),
        "source": source,
        "stream": tag(stream_id),
        "sync": "" if sync is Sync.SYNCED else sync.value,
        "variant": str(variant),
    }
    return ",".join([READINGS, *(f"{name}={text}" for name, text in tags.items() if text)])


def lines_of(fresh: Fresh, slots: list[int] | None = None) -> list[str]:
    """A line for each reading; ``slots`` only for those with a device number."""
    batch = fresh.batch
    if (
        fresh.variants is None
        and batch.device_seq is None
        and batch.origin is Origin.LIVE
        and batch.sync is Sync.SYNCED
        and not batch.quality
        and None not in batch.milli
    ):
        return usual_lines(batch).split("\n")
    source, named = _source(batch.edge, batch.epoch)
    names = (batch.site, batch.stream_id, source, batch.origin)
    tail = f"{_tail(batch)}{named} "
    lines = []
    for i, milli in enumerate(batch.milli):
        quality = batch.quality.get(i, Quality.GOOD)
        key = _series_key(*names, quality, batch.sync, fresh.variant(i), slots[i] if slots else 0)
        value = "" if milli is None else f"value={_texts[milli]},"
        number = "" if batch.device_seq is None else f"device_seq={batch.device_seq[i]}i,"
        lines.append(f"{key} {value}{number}seq={batch.seq[i]}{tail}{batch.t_ms[i]}")
    return lines


def usual_lines(batch: StreamBatch) -> str:
    """The lines, joined, of readings that are all good, live, synced, with a value, without a device number."""
    head, named = _usual(batch.site, batch.stream_id, batch.edge, batch.epoch)
    tail, texts = f"{_tail(batch)}{named} ", _texts
    columns = zip(batch.milli, batch.seq, batch.t_ms, strict=True)
    lines = [f"{texts[milli]},seq={seq}{tail}{t_ms}" for milli, seq, t_ms in columns]
    return head + f"\n{head}".join(lines)


def _tail(batch: StreamBatch) -> str:
    """What follows the number: the fields that the upload says once."""
    max_error = "" if batch.max_error_ms is None else f",max_error_ms={batch.max_error_ms}i"
    return f"i,received_at_ms={batch.received_at_ms}i{max_error}"


@lru_cache(100_000)
def _usual(site: str, stream_id: str, edge: str, epoch: str) -> tuple[str, str]:
    """What stands before the value of a good, live, synced reading of variant 0, and what follows after the number."""
    source, named = _source(edge, epoch)
    key = _series_key(site, stream_id, source, Origin.LIVE, Quality.GOOD, Sync.SYNCED, 0, 0)
    return f"{key} value=", named


def _source(edge: str, epoch: str) -> tuple[str, str]:
    """(the tag, the fields in its place)."""
    if _PLAIN.fullmatch(edge) and _PLAIN.fullmatch(epoch):
        return f"{edge}/{epoch}", ""
    return "", f",edge={string(edge)},epoch={string(epoch)}"


def window_line(site: str, stream_id: str, window: int, first_ms: int, last_ms: int) -> str:
    """Tells readers that a stream has rows in a window; the times are of the rows that were the first in it."""
    key = f"{WINDOWS},site={tag(site)},stream={tag(stream_id)}"
    return f"{key} first_ms={first_ms}i,last_ms={last_ms}i {window}"


def quoted(text: str) -> str:
    """A string in InfluxQL."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"


def row_of_point(point: Mapping[str, Any]) -> Row | None:
    """A point of ``SELECT *`` as a row; None for one that is not ours (someone else wrote into our measurement).

    Points from before decision 0018 have edge, epoch, quality, origin and sync as fields.
    """
    try:
        return _our_row(point)
    except (LookupError, ValueError, TypeError, ArithmeticError):
        return None


def _our_row(point: Mapping[str, Any]) -> Row:
    value, device_seq, max_error_ms = point.get("value"), point.get("device_seq"), point.get("max_error_ms")
    edge, _, epoch = str(point.get("source") or "").partition("/")
    return Row(
        site=point["site"],
        stream_id=point["stream"],
        t_ms=int(point["time"]),
        value=None if value is None else Decimal(value),
        quality=Quality(_either(point, "quality", "good")),
        origin=Origin(_either(point, "origin", "live")),
        device_seq=None if device_seq is None else int(device_seq),
        variant=int(point["variant"]),
        edge=edge or point["edge"],
        epoch=epoch or point["epoch"],
        seq=int(point["seq"]),
        sync=Sync(_either(point, "sync", "synced")),
        max_error_ms=None if max_error_ms is None else int(max_error_ms),
        received_at_ms=int(point["received_at_ms"]),
    )


def _either(point: Mapping[str, Any], name: str, usual: str) -> str:
    """A tag, or the field of the same name (InfluxQL calls one of them ``name_1``)."""
    return str(point.get(name) or point.get(f"{name}_1") or usual)
