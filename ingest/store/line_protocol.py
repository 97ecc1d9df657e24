"""InfluxDB's line protocol for our rows: strings with a cached series key (``facts/data-path.md`` 2). Pure.

    readings,site=S,stream=T1/temperature_c,variant=0[,slot=1] value=4.125,quality="good",...,seq=7i 1790000000000
    reading_windows,site=S,stream=T1/temperature_c first_ms=..i,last_ms=..i <number of the 72 h window, as ms>

``value`` is a float field and left out where the device said "no value"; whole numbers carry ``i``. Times are ms.
Three decimals below 1e9 survive the way through a double unchanged: its shortest print is what went in.
"""

from __future__ import annotations

from ingest.store.model import Row

READINGS = "readings"
WINDOWS = "reading_windows"
WINDOW_MS = 72 * 3_600_000


def tag(text: str) -> str:
    """A tag's value with its escapes. Backslashes and line breaks have none: ``refusal`` keeps them out."""
    return text.replace(",", "\\,").replace("=", "\\=").replace(" ", "\\ ")


def string(text: str) -> str:
    """A string field."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{escaped}"'


def series_key(site: str, stream_id: str, variant: int, slot: int) -> str:
    """Measurement and tags. ``slot`` parts readings of other numbers at one time; 0 is not written."""
    extra = f",slot={slot}" if slot else ""
    return f"{READINGS},site={tag(site)}{extra},stream={tag(stream_id)},variant={variant}"


def reading_line(key: str, row: Row) -> str:
    value = "" if row.value is None else f"value={row.value:f},"
    device_seq = "" if row.device_seq is None else f"device_seq={row.device_seq}i,"
    max_error = "" if row.max_error_ms is None else f"max_error_ms={row.max_error_ms}i,"
    return (
        f"{key} {value}{device_seq}{max_error}quality={string(row.quality.value)},origin={string(row.origin.value)},"
        f"edge={string(row.edge)},epoch={string(row.epoch)},seq={row.seq}i,sync={string(row.sync.value)},"
        f"received_at_ms={row.received_at_ms}i {row.t_ms}"
    )


def window_line(site: str, stream_id: str, window: int, first_ms: int, last_ms: int) -> str:
    key = f"{WINDOWS},site={tag(site)},stream={tag(stream_id)}"
    return f"{key} first_ms={first_ms}i,last_ms={last_ms}i {window}"


def quoted(text: str) -> str:
    """A string in InfluxQL."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"
