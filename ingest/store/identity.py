"""Which readings are new: pure, over what a store knows. Shared by the stores.

InfluxDB overwrites silently and an index of all identities costs more than the readings, so a store keeps a mark per
stream: nothing it holds lies beyond. What lies beyond the mark and rises (live data, a backlog in order) is new by
construction, column by column. Only the rest (late, read from memory, sent again, imported) is compared one by one
with what the store holds of these identities.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import lt
from typing import Protocol

from ingest.store.model import AppendResult, Row, Said, Store, StreamBatch, batches_of, refusal, refusals


class Known(Protocol):
    """What a store holds of identities on disk."""

    def mark(self, stream_id: str, *, numbered: bool) -> int:
        """No row without a number is later than this; ``numbered``: no device number is higher. -1 for none."""
        ...

    def at_times(self, stream_id: str, times: Sequence[int]) -> Mapping[int, list[Said]]:
        """{time: contents by variant} of the rows without a number; times with none may be left out."""
        ...

    def at_numbers(self, stream_id: str, numbers: Sequence[int]) -> Mapping[int, list[Said]]:
        """{device number: contents by variant}; numbers with none may be left out."""
        ...


@dataclass(slots=True)
class Fresh:
    """New readings between two times; ``variants`` None says that all are variant 0."""

    batch: StreamBatch
    first_ms: int
    last_ms: int
    variants: list[int] | None = None

    def variant(self, i: int) -> int:
        return 0 if self.variants is None else self.variants[i]


@dataclass(slots=True)
class Divided:
    """Batches divided, in their order."""

    fresh: list[Fresh] = field(default_factory=list)
    duplicates: int = 0
    conflicts: int = 0
    rejected: list[tuple[Row, str]] = field(default_factory=list)


def divide(batches: Iterable[StreamBatch], known: Known) -> Divided:
    """Divide ``batches``. Deterministic in their order; ``known`` does not change meanwhile."""
    result = Divided()
    sides: dict[tuple[str, bool], _Side] = {}
    for given in batches:
        batch = _acceptable(given, result)
        if not batch.seq:
            continue
        key = (batch.stream_id, batch.device_seq is not None)
        side = sides.get(key)
        if side is None:
            side = sides[key] = _Side(known, *key)
        fresh = side.take(batch, result)
        if fresh is not None:
            result.fresh.append(fresh)
    return result


def append_rows(store: Store, rows: Sequence[Row]) -> AppendResult:
    """``Store.append`` by way of ``append_columns``."""
    reasons = [refusal(row) for row in rows]
    refused = tuple((row, reason) for row, reason in zip(rows, reasons, strict=True) if reason is not None)
    fit = rows if not refused else [row for row, reason in zip(rows, reasons, strict=True) if reason is None]
    result = store.append_columns(batches_of(fit))
    return replace(result, rejected=refused + result.rejected) if refused else result


def rising(numbers: Sequence[int]) -> bool:
    """Whether each is higher than the one before."""
    return len(numbers) == 1 or all(map(lt, numbers, numbers[1:]))


def _acceptable(batch: StreamBatch, result: Divided) -> StreamBatch:
    bad = refusals(batch)
    if not bad:
        return batch
    result.rejected += [(batch.row(i), bad[i]) for i in sorted(bad)]
    return batch.pick([i for i in range(len(batch)) if i not in bad])


class _Side:
    """One stream's identities of one kind (times or device numbers) while a call divides."""

    def __init__(self, known: Known, stream_id: str, numbered: bool) -> None:
        self._stream_id = stream_id
        self._ask = known.at_numbers if numbered else known.at_times
        self._stored_to = known.mark(stream_id, numbered=numbered)
        self._mark = self._stored_to
        self._whole: list[tuple[Sequence[int], StreamBatch]] = []
        self._contents: dict[int, list[Said]] = {}

    def take(self, batch: StreamBatch, result: Divided) -> Fresh | None:
        keys = batch.t_ms if batch.device_seq is None else batch.device_seq
        if keys[0] > self._mark and rising(keys):
            self._mark = keys[-1]
            self._whole.append((keys, batch))
            times = batch.t_ms
            if keys is times:
                return Fresh(batch, keys[0], self._mark)
            return Fresh(batch, min(times), max(times))
        return self._compare(keys, batch, result)

    def _compare(self, keys: Sequence[int], batch: StreamBatch, result: Divided) -> Fresh | None:
        self._look_up(keys)
        places: list[int] = []
        variants: list[int] = []
        for i, key in enumerate(keys):
            content = batch.said(i)
            held = self._contents.setdefault(key, [])
            if content in held:
                result.duplicates += 1
                continue
            result.conflicts += bool(held)
            places.append(i)
            variants.append(len(held))
            held.append(content)
            self._mark = max(self._mark, key)
        if not places:
            return None
        fresh = batch if len(places) == len(batch) else batch.pick(places)
        return Fresh(fresh, min(fresh.t_ms), max(fresh.t_ms), variants if any(variants) else None)

    def _look_up(self, keys: Sequence[int]) -> None:
        for whole_keys, whole in self._whole:  # taken whole before, earlier in this call
            self._contents.update((key, [whole.said(i)]) for i, key in enumerate(whole_keys))
        self._whole.clear()
        asked = sorted({key for key in keys if key <= self._stored_to and key not in self._contents})
        if asked:
            found = self._ask(self._stream_id, asked)
            self._contents.update((key, list(found.get(key, ()))) for key in asked)
