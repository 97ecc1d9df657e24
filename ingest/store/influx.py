"""The time series in InfluxDB: 1.x (behind a rewrite of ``/api/v2/write``, see ``local_influx``), 2.x or 3.

Writes go through influxdb-client, one synchronous request a batch, as one body of line protocol: when the server
says 204 it has it on disk, and no other answer counts (a captive portal says 200 to everything). The client's
batching mode is never used: it has no result to commit an offset by (``facts/data-path.md`` 2).

Reads are plain HTTP: InfluxQL at ``/query``, which 1.x, 2.x and 3 answer, never over more than 72 h at once. To know
which of all 72 h windows hold anything, the writer keeps a second measurement, ``reading_windows``: one point per
stream and window, *whose time is the number of the window in ms*. All of them lie in the first ten hours of 1970, so
one short query finds them, and latest, streams and count need no other knowledge. The bucket must keep data for ever.

Whether a reading is new is decided before writing: ``identity`` with the marks of ``InfluxIndex``, and for what lies
below a mark with what the database itself holds. Only the writer needs the index.
"""

from __future__ import annotations

import json
import threading
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx
import urllib3.exceptions
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService

from ingest.store.express import Express, express
from ingest.store.identity import Fresh, append_rows, divide
from ingest.store.influx_index import InfluxIndex, Numbered, Window
from ingest.store.line_protocol import (
    READINGS,
    WINDOW_MS,
    WINDOWS,
    lines_of,
    quoted,
    row_of_point,
    window_line,
)
from ingest.store.model import AppendResult, Cursor, Page, Row, Said, Series, StreamBatch, thousandths
from telemetry.clock import SystemClock
from telemetry.errors import ConfigError, NeighbourDownError

# A step of the filler in one request: 20,000 readings and what its last upload brings beyond.
_BATCH_LINES = 25_000
_TIMEOUT_MS = 30_000
# Statuses that say "these data": all others say "later" or "this set-up" (token, bucket) and must not cost a reading.
_BAD_DATA = (400, 422)
# So many refused requests of one batch are spent on finding the bad lines by halving; then the database is asked.
_HALVINGS = 64
# Two times to look up that lie further apart are two questions.
_APART_MS = 6 * 3_600_000
_READ_STEP = 10_000
_TIES = 50
_FOREVER_MS = 1 << 43


class InfluxStore:
    """``index_path`` None makes a reader. Threads may share an object. ``boot_id``: of another machine than this one."""

    def __init__(
        self,
        url: str,
        org: str,
        bucket: str,
        token: str,
        *,
        index_path: str | Path | None,
        boot_id: str | None = None,
    ) -> None:
        self._lock = threading.Lock()
        self._bucket = bucket
        self._org = org or "-"
        self._index = None if index_path is None else InfluxIndex(index_path, boot_id or SystemClock().boot_id())
        self._client = InfluxDBClient(url=url, token=token, org=self._org, timeout=_TIMEOUT_MS)
        self._write_service = WriteService(self._client.api_client)  # type: ignore[no-untyped-call]
        self._batch_lines = _BATCH_LINES
        headers = {"Accept": "application/json"} | ({"Authorization": f"Token {token}"} if token else {})
        self._http = httpx.Client(base_url=url, headers=headers, timeout=_TIMEOUT_MS / 1000)
        db, _, rp = bucket.partition("/")
        self._place = {"db": db, "epoch": "ms"} | ({"rp": rp} if rp else {})

    # --- write ------------------------------------------------------------------------------------------------

    def append(self, rows: Sequence[Row]) -> AppendResult:
        return append_rows(self, rows)

    def append_columns(self, batches: Sequence[StreamBatch]) -> AppendResult:
        index = self._index
        if index is None:
            raise ConfigError("ingest.store.index_path", "this store was opened for reading only")
        with self._lock:
            self._catch_up(index)
            short = express(batches, index.latest, index.spans)
            refused = self._store_usual(index, short) if short.batches else []
            divided = divide(short.rest, _Known(self, index))
            refused += self._store(index, divided.fresh) if divided.fresh else []
        rejected = (*divided.rejected, *((fresh.batch.row(i, fresh.variant(i)), why) for fresh, i, why in refused))
        conflicts = divided.conflicts - sum(fresh.variant(i) > 0 for fresh, i, _ in refused)
        given = sum(len(batch) for batch in batches)
        committed = given - divided.duplicates - len(rejected)
        return AppendResult(committed, divided.duplicates, conflicts, rejected)

    def _catch_up(self, index: InfluxIndex) -> None:
        """What a lost index or a killed run has to be told by the database first."""
        if index.is_new:
            index.begin(self._all_windows())
        unsure = index.unsure()
        for stream_id, low, high in unsure:
            index.learn_numbers(self._numbered(stream_id, low, high + 1))
        if unsure:
            index.sure()

    def _store_usual(self, index: InfluxIndex, short: Express) -> list[tuple[Fresh, int, str]]:
        """Raise the marks and write: there is nothing to settle."""
        index.raise_times(short.marks)
        refused: list[tuple[Fresh, int, str]] = []
        for low, high in _bodies(short.batches, self._batch_lines):
            too_long = len(short.batches[low].seq) > self._batch_lines
            if too_long or self._post("\n".join(short.texts[low:high])) is not None:
                refused += self._write(short.fresh(low, high), [])  # in parts, to find the lines at fault
        return refused

    def _store(self, index: InfluxIndex, fresh: Sequence[Fresh]) -> list[tuple[Fresh, int, str]]:
        """Write all; the refused readings with the server's reason."""
        numbered = index.slots(fresh)
        windows = _windows_of(fresh)
        unknown = index.unknown(windows)
        index.raise_marks(fresh, numbered)
        if unknown:
            self._tell_windows({w: windows[w] for w in unknown})
        refused = self._write(fresh, numbered)
        for one in numbered:
            one.refused = {i for of, i, _ in refused if of is one.fresh}
        index.settle(unknown, numbered)
        return refused

    def _tell_windows(self, windows: Mapping[Window, tuple[int, int]]) -> None:
        lines = [window_line(w.site, w.stream_id, w.number, *span) for w, span in windows.items()]
        reason = self._post("\n".join(lines))
        if reason is not None:  # rows that no reader would find
            raise _down(f"the bucket must keep data for ever: {reason}")

    def _write(self, fresh: Sequence[Fresh], numbered: Sequence[Numbered]) -> list[tuple[Fresh, int, str]]:
        """Write all; what the server refused, and why. Repeatable."""
        slots = {id(one.fresh): one.slots for one in numbered}
        lines: list[str] = []
        starts: list[int] = []
        for one in fresh:
            starts.append(len(lines))
            lines += lines_of(one, slots.get(id(one)) if slots else None)
        sending = _Sending(lines)
        at = 0
        while at < len(lines):
            step = self._batch_lines
            self._write_part(sending, at, min(at + step, len(lines)))
            at += step
        refused = sending.refused
        if sending.doubtful:
            refused |= self._absent(sending.doubtful, list(zip(starts, fresh, strict=True)))
        return [(*_owner(line, starts, fresh), reason) for line, reason in sorted(refused.items())]

    def _write_part(self, sending: _Sending, low: int, high: int) -> None:
        reason = self._post("\n".join(sending.lines[low:high]))
        if reason is None:
            return
        too_large = reason.startswith("413")
        if too_large:
            if high - low == 1:
                raise _down(f"write of one line answered {reason}")
            self._batch_lines = max(1, min(self._batch_lines, (high - low) // 2))
        elif high - low == 1:
            sending.refused[low] = reason
            return
        elif sending.halvings == 0:
            sending.doubtful.append((low, high, reason))
            return
        else:
            sending.halvings -= 1
        middle = (low + high) // 2
        self._write_part(sending, low, middle)
        self._write_part(sending, middle, high)

    def _absent(
        self, doubtful: Sequence[tuple[int, int, str]], places: Sequence[tuple[int, Fresh]]
    ) -> dict[int, str]:
        """Lines of refused requests that the database has not: one that says "partial write" keeps the good ones."""
        absent: dict[int, str] = {}
        for low, high, reason in doubtful:
            for start, fresh in places:
                inside = [i for i in range(len(fresh.batch)) if low <= start + i < high]
                there = self._there(fresh.batch, inside) if inside else set()
                rows = ((i, fresh.batch.row(i, fresh.variant(i))) for i in inside)
                absent.update((start + i, f"one of several bad lines: {reason}") for i, r in rows if r not in there)
        return absent

    def _there(self, batch: StreamBatch, inside: Sequence[int]) -> set[Row]:
        wanted = {batch.t_ms[i] for i in inside}
        return {row for row in self._near(batch.stream_id, sorted(wanted)) if row.t_ms in wanted}

    def _post(self, body: str) -> str | None:
        """None when all lines are on disk, else why at least one will never pass, or too many at once did not."""
        try:
            _, status, _ = self._write_service.post_write_with_http_info(  # type: ignore[no-untyped-call]
                self._org,
                self._bucket,
                body.encode(),
                precision="ms",
                async_req=False,
                _return_http_data_only=False,
                content_encoding="identity",
                content_type="text/plain; charset=utf-8",
                accept="application/json",
            )
        except ApiException as error:
            words = f"{error.status} {_words(error.body)}"
            if error.status in (*_BAD_DATA, 413):
                return words
            raise _down(f"write answered {words}", _retry_after_s(error.headers)) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _down(str(error)) from error
        if status != 204:
            raise _down(f"write answered {status}, which InfluxDB never says: another server stands between")
        return None

    # --- what the database holds of identities ----------------------------------------------------------------

    def mark(self, index: InfluxIndex, stream_id: str, *, numbered: bool) -> int:
        place = index.place(stream_id)
        if numbered and place.number is None:
            index.learn_numbers(self._numbered(stream_id, 0, _FOREVER_MS))
            index.found_numbers(stream_id)
        elif not numbered and place.t_ms is None:
            last = self._last_row(stream_id)
            index.found_time(stream_id, -1 if last is None else last.t_ms)
        place = index.place(stream_id)
        found = place.number if numbered else place.t_ms
        return -1 if found is None else found

    def at_times(self, stream_id: str, times: Sequence[int]) -> Mapping[int, list[Said]]:
        found: dict[int, list[Said]] = {t_ms: [] for t_ms in times}
        for row in self._near(stream_id, times):
            if row.device_seq is None and row.t_ms in found:
                found[row.t_ms].append((thousandths(row.value), row.quality))
        return found

    def _near(self, stream_id: str, times: Sequence[int]) -> Iterator[Row]:
        """The rows around these times (in order), few questions for many times."""
        for low, high in _spans(times):
            for row, _ in self._span(stream_id, low, high + 1, _READ_STEP):
                yield row

    def _numbered(self, stream_id: str, from_ms: int, to_ms: int) -> Iterator[tuple[Row, int]]:
        for row, slot in self._in_order(stream_id, from_ms, to_ms, _READ_STEP):
            if row.device_seq is not None:
                yield row, slot

    def _all_windows(self) -> Iterator[Window]:
        points = self._ask(
            f'SELECT first_ms FROM "{WINDOWS}" WHERE time >= 0ms AND time < {WINDOW_MS}ms'  # noqa: S608
            ' GROUP BY "site", "stream"'
        )
        for point in points:
            yield Window(str(point["site"]), str(point["stream"]), int(point["time"]))

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

    def _rows(self, stream_id: str, from_ms: int, to_ms: int, limit: int) -> tuple[list[tuple[Row, int]], int | None]:
        """(rows in the order of Cursor with their slots, the time up to which they are complete or None for all)."""
        points = self._ask(
            f'SELECT * FROM "{READINGS}" WHERE "stream" = {quoted(stream_id)}'  # noqa: S608
            f" AND time >= {from_ms}ms AND time < {to_ms}ms LIMIT {limit}"
        )
        found = [(row, int(point.get("slot") or 0)) for point in points if (row := row_of_point(point))]
        found.sort(key=lambda pair: pair[0].cursor)
        if len(points) < limit:
            return found, None
        cut = int(points[-1]["time"])  # the server may have left out others of this same time
        return [pair for pair in found if pair[0].t_ms < cut], cut

    def _span(self, stream_id: str, from_ms: int, to_ms: int, step: int) -> Iterator[tuple[Row, int]]:
        """All rows of a span of at most 72 h, ``step`` or so at a time."""
        limit = step
        while from_ms < to_ms:
            rows, complete_to = self._rows(stream_id, from_ms, to_ms, limit)
            yield from rows
            if complete_to is None:
                break
            limit = 2 * limit if complete_to == from_ms else step  # more rows at one time than the limit
            from_ms = complete_to

    def _in_order(self, stream_id: str, from_ms: int, to_ms: int, step: int) -> Iterator[tuple[Row, int]]:
        """All rows of any span, window by window."""
        for window in self._windows(stream_id, from_ms, to_ms):
            start, end = max(from_ms, window * WINDOW_MS), min(to_ms, (window + 1) * WINDOW_MS)
            yield from self._span(stream_id, start, end, step)

    def read(
        self, stream_id: str, from_ms: int, to_ms: int, *, limit: int = 10_000, after: Cursor | None = None
    ) -> Page:
        if from_ms >= to_ms:
            return Page(())
        start = max(0, from_ms, after.t_ms if after else 0)
        rows: list[Row] = []
        for row, _ in self._in_order(stream_id, start, to_ms, limit + _TIES):
            if after is not None and row.cursor <= after:
                continue
            rows.append(row)
            if len(rows) > limit:
                return Page(tuple(rows[:limit]), rows[limit - 1].cursor)
        return Page(tuple(rows))

    def read_columns(self, stream_id: str, from_ms: int, to_ms: int) -> Series:
        series = Series()
        if from_ms < to_ms:
            for row, _ in self._in_order(stream_id, max(0, from_ms), to_ms, _READ_STEP):
                series.add(row)
        return series

    def latest(self, stream_ids: Sequence[str]) -> dict[str, Row]:
        found = {name: self._last_row(name) for name in stream_ids}
        return {name: row for name, row in found.items() if row is not None}

    def _last_row(self, stream_id: str) -> Row | None:
        for window in reversed(self._windows(stream_id, 0, _FOREVER_MS)):
            points = self._ask(
                f'SELECT * FROM "{READINGS}" WHERE "stream" = {quoted(stream_id)}'  # noqa: S608
                f" AND time >= {window * WINDOW_MS}ms AND time < {(window + 1) * WINDOW_MS}ms"
                f" ORDER BY time DESC LIMIT 1"
            )
            rows = [row for point in points if (row := row_of_point(point))]
            if rows:  # others may stand at the same time
                last_ms = rows[0].t_ms
                return [row for row, _ in self._span(stream_id, last_ms, last_ms + 1, _TIES)][-1]
        return None

    def streams(self, site: str | None = None) -> list[str]:
        where = "" if site is None else f'"site" = {quoted(site)} AND '
        points = self._ask(
            f'SELECT last(last_ms) FROM "{WINDOWS}" WHERE {where}time >= 0ms AND time < {WINDOW_MS}ms'  # noqa: S608
            ' GROUP BY "stream"'
        )
        return sorted({str(point["stream"]) for point in points})

    def count(self, stream_id: str) -> int:
        total = 0
        for window in self._windows(stream_id, 0, _FOREVER_MS):
            points = self._ask(
                f'SELECT count("seq") AS n FROM "{READINGS}" WHERE "stream" = {quoted(stream_id)}'  # noqa: S608
                f" AND time >= {window * WINDOW_MS}ms AND time < {(window + 1) * WINDOW_MS}ms"
            )
            total += sum(int(point["n"]) for point in points)
        return total

    def tidy(self) -> bool:
        return False

    def close(self) -> None:
        with self._lock:
            self._client.close()  # type: ignore[no-untyped-call]
            self._http.close()
            if self._index is not None:
                self._index.close()


class _Sending:
    """One batch on its way: what was refused so far, and how many more halvings it may cost."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = lines
        self.refused: dict[int, str] = {}
        self.doubtful: list[tuple[int, int, str]] = []
        self.halvings = _HALVINGS


class _Known:
    """The store and its index, as ``identity`` asks."""

    def __init__(self, store: InfluxStore, index: InfluxIndex) -> None:
        self._store = store
        self._index = index

    def mark(self, stream_id: str, *, numbered: bool) -> int:
        return self._store.mark(self._index, stream_id, numbered=numbered)

    def at_times(self, stream_id: str, times: Sequence[int]) -> Mapping[int, list[Said]]:
        return self._store.at_times(stream_id, times)

    def at_numbers(self, stream_id: str, numbers: Sequence[int]) -> Mapping[int, list[Said]]:
        return self._index.at_numbers(stream_id, numbers)


def _owner(line: int, starts: Sequence[int], fresh: Sequence[Fresh]) -> tuple[Fresh, int]:
    n = bisect_right(starts, line) - 1
    return fresh[n], line - starts[n]


def _bodies(batches: Sequence[StreamBatch], most_lines: int) -> Iterator[tuple[int, int]]:
    """Batches [low, high) with at most so many lines, or one batch alone."""
    low = lines = 0
    for high, count in enumerate([len(batch.seq) for batch in batches]):
        lines += count
        if lines > most_lines and high > low:
            yield low, high
            low, lines = high, count
    if batches:
        yield low, len(batches)


def _windows_of(fresh: Sequence[Fresh]) -> dict[Window, tuple[int, int]]:
    """The windows that readings lie in, with their first and last time."""
    spans: dict[tuple[str, str, int], tuple[int, int]] = {}
    for one in fresh:
        batch, first_ms, last_ms = one.batch, one.first_ms, one.last_ms
        number = first_ms // WINDOW_MS
        parts = [(number, first_ms, last_ms)] if last_ms // WINDOW_MS == number else _parts(batch.t_ms)
        for n, first, last in parts:
            key = (batch.site, batch.stream_id, n)
            old = spans.get(key)
            spans[key] = (first, last) if old is None else (min(first, old[0]), max(last, old[1]))
    return {Window(*key): span for key, span in spans.items()}


def _parts(times: Sequence[int]) -> list[tuple[int, int, int]]:
    """(window, first, last) of each window that times lie in."""
    grouped = groupby(sorted(times), key=lambda t_ms: t_ms // WINDOW_MS)
    parts = [(number, list(part)) for number, part in grouped]
    return [(number, part[0], part[-1]) for number, part in parts]


def _spans(times: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Sorted times as (first, last) of spans within one window and without wide holes."""
    low = high = times[0]
    for t_ms in times:
        if t_ms - high > _APART_MS or t_ms // WINDOW_MS != low // WINDOW_MS:
            yield low, high
            low = t_ms
        high = t_ms
    yield low, high


def _down(message: str, retry_after_s: float = 0.0) -> NeighbourDownError:
    advice = "see whether InfluxDB runs, and whether url, bucket and token are right"
    return NeighbourDownError("InfluxDB", message[:300], advice=advice, retry_after_s=retry_after_s)


def _retry_after_s(headers: Mapping[str, str] | None) -> float:
    """The seconds of a Retry-After; 0 for none, and for the form with a date."""
    text = str((headers or {}).get("Retry-After", ""))
    return float(text) if text.isdecimal() else 0.0


def _words(body: object) -> str:
    """The server's own words in one short line (nginx answers HTML)."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    try:
        told = json.loads(text)
    except ValueError:
        return " ".join(text.split())[:160]
    words = told.get("error") or told.get("message") or text if isinstance(told, dict) else text
    return " ".join(str(words).split())[:160]
