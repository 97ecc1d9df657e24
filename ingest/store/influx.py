"""The time series in InfluxDB: 1.x (behind a rewrite of ``/api/v2/write``, see ``local_influx``), 2.x or 3.

Writes go through influxdb-client, one synchronous request a batch, as line protocol strings: when it returns, the
server has it on disk. Its batching mode is never used: it has no result to commit an offset by
(``facts/data-path.md`` 2).
A 4xx means "this will never pass as it is": the batch is halved until the bad line stands alone, and that line is
rejected with the server's words. 5xx and lost connections mean: later.

Reads are plain HTTP: InfluxQL at ``/query``, which 1.x, 2.x and 3 answer, never over more than 72 h at once. To know
which of all 72 h windows hold anything, the writer keeps a second measurement, ``reading_windows``: one point per
stream and window, *whose time is the number of the window in ms*. All of them lie in the first ten hours of 1970, so
one short query finds them, and latest, streams and count need no other knowledge. The bucket must keep data for ever.

Whether a row is new is decided by ``InfluxIndex`` before writing; only the writer needs it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import urllib3.exceptions
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException

from ingest.store.identity import sort_rows
from ingest.store.influx_index import InfluxIndex, Intended
from ingest.store.line_protocol import READINGS, WINDOW_MS, WINDOWS, quoted
from ingest.store.model import AppendResult, Cursor, Page, Row
from telemetry.errors import ConfigError, NeighbourDownError
from telemetry.readings import Origin, Quality, Sync

_BATCH_LINES = 10_000
_TIMEOUT_MS = 30_000
# Statuses that say "these data": all others in 4xx say "this set-up" (token, bucket) and must not cost a reading.
_BAD_DATA = (400, 413, 422)
_TIES = 50


class InfluxStore:
    """``index_path`` None makes a reader. Threads may share an object."""

    def __init__(self, url: str, org: str, bucket: str, token: str, *, index_path: str | Path | None) -> None:
        self._lock = threading.Lock()
        self._bucket = bucket
        self._org = org or "-"
        self._index = None if index_path is None else InfluxIndex(index_path)
        self._client = InfluxDBClient(url=url, token=token, org=self._org, timeout=_TIMEOUT_MS)
        self._write_api = self._client.write_api(write_options=SYNCHRONOUS)
        headers = {"Accept": "application/json"} | ({"Authorization": f"Token {token}"} if token else {})
        self._http = httpx.Client(base_url=url, headers=headers, timeout=_TIMEOUT_MS / 1000)
        db, _, rp = bucket.partition("/")
        self._place = {"db": db, "epoch": "ms"} | ({"rp": rp} if rp else {})

    # --- write ------------------------------------------------------------------------------------------------

    def append(self, rows: Sequence[Row]) -> AppendResult:
        index = self._index
        if index is None:
            raise ConfigError("ingest.store.index_path", "this store was opened for reading only")
        with self._lock:
            self._write_left_over(index)
            divided = sort_rows(rows, index.contents)
            refused: list[tuple[Intended, str]] = []
            if divided.fresh:
                intended = index.intend(divided.fresh)
                refused = self._write(intended)
                index.settle([line for line, _ in refused])
        for line, reason in refused:
            if line.row is not None:
                divided.rejected.append((line.row, reason))
                divided.conflicts -= line.row.variant > 0
        committed = len(rows) - divided.duplicates - len(divided.rejected)
        return AppendResult(committed, divided.duplicates, divided.conflicts, tuple(divided.rejected))

    def _write_left_over(self, index: InfluxIndex) -> None:
        left = index.left_over()
        if left:
            index.settle([line for line, _ in self._write(left)])

    def _write(self, lines: Sequence[Intended]) -> list[tuple[Intended, str]]:
        """Write all; the refused ones with the server's reason."""
        refused: list[tuple[Intended, str]] = []
        for start in range(0, len(lines), _BATCH_LINES):
            refused += self._write_part(lines[start : start + _BATCH_LINES])
        for intended, reason in refused:
            if intended.line.startswith(f"{WINDOWS},"):  # rows that no reader would find
                raise _down(f"the bucket must keep data for ever: {reason}")
        return refused

    def _write_part(self, lines: Sequence[Intended]) -> list[tuple[Intended, str]]:
        reason = self._post("\n".join(intended.line for intended in lines))
        if reason is None:
            return []
        if len(lines) == 1:
            return [(lines[0], reason)]
        middle = len(lines) // 2
        return self._write_part(lines[:middle]) + self._write_part(lines[middle:])

    def _post(self, body: str) -> str | None:
        """None when all lines are on disk, else why at least one will never pass."""
        try:
            self._write_api.write(
                bucket=self._bucket,
                org=self._org,
                record=body.encode(),
                write_precision=WritePrecision.MS,  # type: ignore[arg-type]  # the client's hint names the class
            )
        except ApiException as error:
            if error.status in _BAD_DATA:
                return f"{error.status} {_words(error.body)}"
            raise _down(f"write answered {error.status} {_words(error.body)}") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _down(str(error)) from error
        return None

    # --- read -------------------------------------------------------------------------------------------------

    def _ask(self, query: str) -> list[dict[str, Any]]:
        """The points that an InfluxQL query gives, each as a dict of its columns; tags of GROUP BY included."""
        try:
            answer = self._http.get("/query", params={**self._place, "q": query})
            if answer.status_code != httpx.codes.OK:
                raise _down(f"query answered {answer.status_code} {_words(answer.text)}")
            result = json.loads(answer.text, parse_float=Decimal)["results"][0]
        except (httpx.HTTPError, ValueError, LookupError) as error:
            raise _down(f"query: {error!r}") from error
        if "error" in result:
            raise _down(f"query: {result['error']}")
        return [
            dict(zip(series["columns"], values, strict=True)) | series.get("tags", {})
            for series in result.get("series", ())
            for values in series["values"]
        ]

    def _windows(self, stream_id: str, from_ms: int, to_ms: int) -> list[int]:
        """The numbers of the windows in [from_ms, to_ms) that hold rows, in order."""
        first, last = max(0, from_ms) // WINDOW_MS, (to_ms - 1) // WINDOW_MS
        points = self._ask(
            f'SELECT last_ms FROM "{WINDOWS}" WHERE "stream" = {quoted(stream_id)}'  # noqa: S608
            f" AND time >= {first}ms AND time <= {last}ms"
        )
        return sorted({int(point["time"]) for point in points})

    def _rows(self, stream_id: str, from_ms: int, to_ms: int, limit: int) -> tuple[list[Row], int | None]:
        """(rows in the order of Cursor, the time up to which they are complete or None for the whole span)."""
        points = self._ask(
            f'SELECT * FROM "{READINGS}" WHERE "stream" = {quoted(stream_id)}'  # noqa: S608
            f" AND time >= {from_ms}ms AND time < {to_ms}ms LIMIT {limit}"
        )
        rows = sorted((row for point in points if (row := _row(point))), key=lambda row: row.cursor)
        if len(points) < limit:
            return rows, None
        cut = int(points[-1]["time"])  # the server may have left out others of this same time
        return [row for row in rows if row.t_ms < cut], cut

    def _in_order(self, stream_id: str, from_ms: int, to_ms: int, step: int) -> Iterator[Row]:
        """All rows of a span, window by window, ``step`` or so at a time."""
        for window in self._windows(stream_id, from_ms, to_ms):
            start, end = max(from_ms, window * WINDOW_MS), min(to_ms, (window + 1) * WINDOW_MS)
            limit = step
            while start < end:
                rows, complete_to = self._rows(stream_id, start, end, limit)
                yield from rows
                if complete_to is None:
                    break
                limit = 2 * limit if complete_to == start else step  # more rows at one time than the limit
                start = complete_to

    def read(
        self, stream_id: str, from_ms: int, to_ms: int, *, limit: int = 10_000, after: Cursor | None = None
    ) -> Page:
        if from_ms >= to_ms:
            return Page(())
        start = max(0, from_ms, after.t_ms if after else 0)
        rows: list[Row] = []
        for row in self._in_order(stream_id, start, to_ms, limit + _TIES):
            if after is not None and row.cursor <= after:
                continue
            rows.append(row)
            if len(rows) > limit:
                return Page(tuple(rows[:limit]), rows[limit - 1].cursor)
        return Page(tuple(rows))

    def latest(self, stream_ids: Sequence[str]) -> dict[str, Row]:
        found = {name: self._last_row(name) for name in stream_ids}
        return {name: row for name, row in found.items() if row is not None}

    def _last_row(self, stream_id: str) -> Row | None:
        points = self._ask(
            f'SELECT last_ms FROM "{WINDOWS}" WHERE "stream" = {quoted(stream_id)}'  # noqa: S608
            f" AND time >= 0ms AND time < {WINDOW_MS}ms"
        )
        last_ms = max((int(point["last_ms"]) for point in points), default=-1)
        rows = list(self._in_order(stream_id, last_ms, last_ms + 1, _TIES)) if points else []
        if points and not rows:  # the server refused the row that the window tells of
            rows = list(self._in_order(stream_id, 0, last_ms + 1, 10_000))
        return rows[-1] if rows else None

    def streams(self, site: str | None = None) -> list[str]:
        where = "" if site is None else f'"site" = {quoted(site)} AND '
        points = self._ask(
            f'SELECT last(last_ms) FROM "{WINDOWS}" WHERE {where}time >= 0ms AND time < {WINDOW_MS}ms'  # noqa: S608
            ' GROUP BY "stream"'
        )
        return sorted({str(point["stream"]) for point in points})

    def count(self, stream_id: str) -> int:
        total = 0
        for window in self._windows(stream_id, 0, 1 << 43):
            points = self._ask(
                f'SELECT count("seq") AS n FROM "{READINGS}" WHERE "stream" = {quoted(stream_id)}'  # noqa: S608
                f" AND time >= {window * WINDOW_MS}ms AND time < {(window + 1) * WINDOW_MS}ms"
            )
            total += sum(int(point["n"]) for point in points)
        return total

    def close(self) -> None:
        with self._lock:
            self._client.close()  # type: ignore[no-untyped-call]
            self._http.close()
            if self._index is not None:
                self._index.close()


def _down(message: str) -> NeighbourDownError:
    advice = "see whether InfluxDB runs, and whether url, bucket and token are right"
    return NeighbourDownError("InfluxDB", message[:300], advice=advice)


def _words(body: object) -> str:
    """The server's own words in one short line (nginx answers HTML)."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    try:
        told = json.loads(text)
    except ValueError:
        return " ".join(text.split())[:160]
    words = told.get("error") or told.get("message") or text if isinstance(told, dict) else text
    return " ".join(str(words).split())[:160]


def _row(point: dict[str, Any]) -> Row | None:
    """None for a point that is not ours (someone else wrote into our measurement)."""
    try:
        return _our_row(point)
    except (LookupError, ValueError, TypeError, ArithmeticError):
        return None


def _our_row(point: dict[str, Any]) -> Row:
    value, device_seq, max_error_ms = point.get("value"), point.get("device_seq"), point.get("max_error_ms")
    return Row(
        site=point["site"],
        stream_id=point["stream"],
        t_ms=int(point["time"]),
        value=None if value is None else Decimal(value),
        quality=Quality(point["quality"]),
        origin=Origin(point["origin"]),
        device_seq=None if device_seq is None else int(device_seq),
        variant=int(point["variant"]),
        edge=point["edge"],
        epoch=point["epoch"],
        seq=int(point["seq"]),
        sync=Sync(point["sync"]),
        max_error_ms=None if max_error_ms is None else int(max_error_ms),
        received_at_ms=int(point["received_at_ms"]),
    )
