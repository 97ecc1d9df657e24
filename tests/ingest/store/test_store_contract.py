"""One suite over every store (design.md: Identity, Store)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.store import AppendResult, Cursor, Row, Store
from ingest.store.model import Series, batches_of, thousandths
from telemetry.errors import ConfigError
from telemetry.readings import Origin, Quality, Sync

S = "T1/temperature_c"
T0 = 1_790_000_000_000
DAY = 86_400_000
FOREVER = (0, 1 << 43)
RowMaker = Callable[..., Row]


def everything(store: Store, stream: str = S) -> list[Row]:
    return list(store.read(stream, *FOREVER).rows)


def test_a_new_store_is_empty(store: Store) -> None:
    assert store.streams() == []
    assert store.count(S) == 0
    assert store.latest([S]) == {}
    page = store.read(S, *FOREVER)
    assert (page.rows, page.next) == ((), None)


def test_rows_come_back_in_time_order_as_they_went_in(store: Store, row: RowMaker) -> None:
    rows = [
        row(0, "4.125"),
        row(1, "-0.5", quality=Quality.UNSTABLE, origin=Origin.MEMORY, sync=Sync.UNSYNCED, max_error_ms=None),
        row(2, None),
        row(3, "0", origin=Origin.FILE),
        row(4, "100", device_seq=0),
        row(5, "-100", device_seq=1 << 61, seq=1 << 61),
    ]
    result = store.append([rows[i] for i in (3, 0, 5, 1, 4, 2)])
    assert (result.committed, result.duplicates, result.conflicts, result.rejected) == (6, 0, 0, ())
    assert everything(store) == rows


def test_appending_again_changes_nothing(store: Store, row: RowMaker) -> None:
    rows = [row(n) for n in range(5)] + [row(9, device_seq=7)]
    store.append(rows)
    result = store.append(rows)
    assert (result.committed, result.duplicates) == (0, 6)
    assert len(everything(store)) == store.count(S) == 6


def test_the_same_row_twice_in_one_batch_is_one_row(store: Store, row: RowMaker) -> None:
    result = store.append([row(1), row(1)])
    assert (result.committed, result.duplicates) == (1, 1)
    assert store.count(S) == 1


def test_the_same_time_with_another_value_is_a_second_variant(store: Store, row: RowMaker) -> None:
    """design.md: the same identity with another value is a conflict: variant 1, 2, ...; nothing is overwritten."""
    store.append([row(1, "5")])
    result = store.append([row(1, "9"), row(1, "5"), row(1, "-1"), row(1, "9")])
    assert (result.committed, result.conflicts, result.duplicates) == (2, 2, 2)
    assert [(r.variant, r.value) for r in everything(store)] == [(0, 5), (1, 9), (2, -1)]


def test_the_same_value_of_another_quality_is_a_variant_too(store: Store, row: RowMaker) -> None:
    store.append([row(1, "5")])
    assert store.append([row(1, "5", quality=Quality.INVALID)]).conflicts == 1
    assert store.append([row(1, None)]).conflicts == 1
    assert [(r.variant, r.value) for r in everything(store)] == [(0, 5), (1, 5), (2, None)]


def test_where_the_device_counts_its_number_is_the_identity(store: Store, row: RowMaker) -> None:
    """Heard live and read from memory with another time: one reading, and its stored key does not move."""
    store.append([row(1, "5", device_seq=77)])
    again = row(1, "5", device_seq=77, origin=Origin.MEMORY, t_ms=T0 + 61_500)
    assert store.append([again]).duplicates == 1
    assert [r.t_ms for r in everything(store)] == [T0 + 60_000]
    other = row(1, "6", device_seq=77, t_ms=T0 + 61_500)
    assert store.append([other]).conflicts == 1
    assert [(r.t_ms - T0, r.variant) for r in everything(store)] == [(60_000, 0), (61_500, 1)]


def test_two_numbers_at_one_time_are_two_readings(store: Store, row: RowMaker) -> None:
    """A device that resolves seconds and samples faster: neither overwrites the other."""
    rows = [row(1, "5", device_seq=1), row(1, "5", device_seq=2), row(1, "6", device_seq=3), row(1, "7")]
    result = store.append(rows)
    assert (result.committed, result.conflicts) == (4, 0)
    assert [(r.device_seq, r.value) for r in everything(store)] == [(None, 7), (1, 5), (2, 5), (3, 6)]
    assert store.append(rows).duplicates == 4
    assert store.count(S) == 4


def test_what_a_writer_says_of_the_variant_is_ignored(store: Store, row: RowMaker) -> None:
    store.append([row(1, variant=5)])
    assert [r.variant for r in everything(store)] == [0]


def rows_of(series: Series) -> list[tuple[Any, ...]]:
    usual = enumerate(zip(series.t_ms, series.milli, strict=True))
    said = [(t_ms, *series.odd.get(i, (milli, Quality.GOOD))) for i, (t_ms, milli) in usual]
    return [(*s, series.device_seq.get(i), series.variant.get(i, 0)) for i, s in enumerate(said)]


def test_columns_are_read_as_rows_are(store: Store, row: RowMaker) -> None:
    store.append(
        [row(1, "5"), row(1, "6"), row(2, None), row(3, device_seq=8), row(3, device_seq=9), row(4, "-0.001")]
    )
    store.append([row(2_000), row(0, quality=Quality.UNSTABLE)])
    for span in (FOREVER, (T0 + 60_000, T0 + 240_000), (T0 + 60_001, T0 + 180_001), (T0 + 1, T0 + 2), (5, 5)):
        rows = store.read(S, *span).rows
        found = rows_of(store.read_columns(S, *span))
        assert found == [(r.t_ms, thousandths(r.value), r.quality, r.device_seq, r.variant) for r in rows]
        facts = list(store.read_columns(S, *span).facts())
        assert facts == [(r.t_ms, r.value, r.quality, r.device_seq) for r in rows]
    assert rows_of(store.read_columns("T9/temperature_c", *FOREVER)) == []


def test_streams_do_not_mix(store: Store, row: RowMaker) -> None:
    names = ["T1/temperature_c", "T1/temperature_c/2", "T10/temperature_c", "T1/humidity_percent", "a-b_c.d/rssi_dbm"]
    store.append([row(1, str(n), stream_id=name) for n, name in enumerate(names)])
    assert store.streams() == sorted(names)
    for n, name in enumerate(names):
        assert [r.value for r in everything(store, name)] == [n]


def test_streams_of_a_site(store: Store, row: RowMaker) -> None:
    store.append([row(1), row(1, stream_id="T2/temperature_c", site="SITE2")])
    assert store.streams("SITE1") == [S]
    assert store.streams("SITE2") == ["T2/temperature_c"]
    assert store.streams("SITE3") == []
    assert store.streams() == [S, "T2/temperature_c"]


def test_a_span_holds_its_start_and_not_its_end(store: Store, row: RowMaker) -> None:
    store.append([row(n) for n in range(4)])
    page = store.read(S, T0 + 60_000, T0 + 180_000)
    assert [r.t_ms - T0 for r in page.rows] == [60_000, 120_000]
    assert store.read(S, T0, T0).rows == ()


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_pages_join_to_the_whole(store: Store, row: RowMaker, limit: int) -> None:
    """Over several days, with variants and numbers at one time: nothing doubled, nothing left out."""
    rows = [row(n * 900, device_seq=n if n % 2 else None) for n in range(12)]
    rows += [row(0, "6"), row(0, "7"), row(900, device_seq=500), row(900, "8", device_seq=1)]
    store.append(rows)
    whole, after = [], None
    for _ in range(100):
        page = store.read(S, *FOREVER, limit=limit, after=after)
        assert len(page.rows) <= limit
        whole += page.rows
        after = page.next
        if after is None:
            break
    assert whole == everything(store)
    assert len(whole) == len(rows)
    assert [r.cursor for r in whole] == sorted(r.cursor for r in whole)


def test_a_page_that_ends_with_the_last_row_is_the_last(store: Store, row: RowMaker) -> None:
    store.append([row(n) for n in range(3)])
    assert store.read(S, *FOREVER, limit=3).next is None
    assert store.read(S, *FOREVER, limit=2).next == Cursor(T0 + 60_000, -1, 0)


def test_years_lie_between_two_rows(store: Store, row: RowMaker) -> None:
    store.append([row(0), row(60 * 24 * 800), row(0, t_ms=0)])
    assert [r.t_ms for r in everything(store)] == [0, T0, T0 + 800 * DAY]
    assert store.count(S) == 3


def test_latest_is_the_last_in_time_and_not_in_arrival(store: Store, row: RowMaker) -> None:
    store.append([row(5, "8"), row(3)])
    store.append([row(4), row(5, "9"), row(1, stream_id="T2/temperature_c")])
    found = store.latest([S, "T2/temperature_c", "T3/temperature_c"])
    assert sorted(found) == [S, "T2/temperature_c"]
    assert (found[S].t_ms, found[S].variant, found[S].value) == (T0 + 300_000, 1, 9)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"stream_id": "nonsense"}, "bad_stream"),
        ({"stream_id": "T1/unknown_x"}, "bad_stream"),
        ({"value": Decimal("1.0001")}, "bad_value"),
        ({"value": Decimal("NaN")}, "bad_value"),
        ({"value": Decimal("Infinity")}, "bad_value"),
        ({"t_ms": -1}, "bad_time"),
        ({"site": ""}, "bad_site"),
        ({"site": "a b,c\\"}, "bad_site"),
        ({"t_ms": 1 << 70}, "bad_time"),
    ],
)
def test_a_row_that_can_never_pass_is_rejected_with_its_reason_and_the_rest_stored(
    store: Store, row: RowMaker, fields: dict[str, Any], reason: str
) -> None:
    bad = row(2, **fields)
    result = store.append([row(1), bad, row(3)])
    assert (result.committed, result.rejected) == (2, ((bad, reason),))
    assert [r.t_ms - T0 for r in everything(store)] == [60_000, 180_000]


def test_a_store_opened_again_knows_what_it_holds(open_store: Callable[..., Store], row: RowMaker) -> None:
    first = open_store()
    first.append([row(1), row(1, "9"), row(2, device_seq=5)])
    first.close()
    again = open_store()
    assert again.append([row(1), row(1, "9"), row(2, device_seq=5)]).duplicates == 3
    assert again.append([row(1, "10")]).conflicts == 1
    assert [r.variant for r in everything(again)] == [0, 1, 2, 0]


def test_a_reader_in_another_process_sees_what_is_appended(open_store: Callable[..., Store], row: RowMaker) -> None:
    writer = open_store()
    writer.append([row(1)])
    reader = open_store(read_only=True)
    assert len(everything(reader)) == 1
    writer.append([row(2)])
    assert [r.t_ms - T0 for r in everything(reader)] == [60_000, 120_000]
    assert reader.streams() == [S]
    assert reader.latest([S])[S].t_ms == T0 + 120_000
    assert reader.count(S) == 2


def test_a_reader_that_comes_first_finds_nothing_and_then_what_is_appended(
    open_store: Callable[..., Store], row: RowMaker
) -> None:
    """The api may start before ingest ever ran."""
    reader = open_store(read_only=True)
    assert (everything(reader), reader.streams(), reader.latest([S]), reader.count(S)) == ([], [], {}, 0)
    open_store().append([row(1)])
    assert len(everything(reader)) == reader.count(S) == 1


def test_a_reader_cannot_append(open_store: Callable[..., Store], row: RowMaker) -> None:
    with pytest.raises(ConfigError):
        open_store(read_only=True).append([row(1)])


def test_appending_nothing_is_nothing(store: Store) -> None:
    assert store.append([]).committed == 0


VALUES = st.integers(-100_000, 100_000).map(lambda n: Decimal(n) / 1000)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 6), st.none() | st.integers(0, 3), VALUES), max_size=25),
    st.integers(1, 10),
)
def test_whatever_order_and_repetition_each_content_of_each_identity_is_stored_once(
    store: Store, row: RowMaker, rows: list[tuple[int, int | None, Decimal]], cut: int
) -> None:
    """Decimals come back exactly; a repeated, differently cut delivery adds nothing."""
    stream = f"X{uuid.uuid4().hex}/temperature_c"
    made = [row(minute, str(v), device_seq=number, stream_id=stream) for minute, number, v in rows]
    for start in range(0, len(made), cut):
        store.append(made[start : start + cut])
    expected = {(r.identity, r.value) for r in made}
    found = everything(store, stream)
    assert {(r.identity, r.value) for r in found} == expected
    assert len(found) == len(expected) == store.count(stream)
    assert store.append(made[::-1]).committed == 0
    assert everything(store, stream) == found


ENTRIES = st.tuples(
    st.integers(-1, 8), st.none() | st.integers(0, 4), st.none() | VALUES, st.sampled_from(Quality), st.booleans()
)


def same(result: AppendResult) -> tuple[int, int, int, list[tuple[int, str]]]:
    return result.committed, result.duplicates, result.conflicts, [(r.seq, why) for r, why in result.rejected]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ENTRIES, max_size=25), st.integers(1, 25), st.integers(1, 10))
def test_rows_and_columns_are_the_same_to_a_store(
    store: Store, row: RowMaker, entries: list[Any], cut: int, columns_cut: int
) -> None:
    """However the columns are cut: the same counts, refusals and rows. Minute -1 is a time that is refused."""
    by_rows, by_columns = (f"{kind}{uuid.uuid4().hex}/temperature_c" for kind in "RC")
    made = [
        replace(
            row(0),
            t_ms=-1 if minute < 0 else T0 + minute * 60_000,
            value=value,
            quality=quality,
            seq=n,
            device_seq=number,
            origin=Origin.LIVE if live else Origin.MEMORY,
        )
        for n, (minute, number, value, quality, live) in enumerate(entries)
    ]
    for start in range(0, len(made), cut):
        part = made[start : start + cut]
        rows = [replace(r, stream_id=by_rows) for r in part]
        columns = [replace(r, stream_id=by_columns) for r in part]
        batches = [
            batch
            for first in range(0, len(columns), columns_cut)
            for batch in batches_of(columns[first : first + columns_cut])
        ]
        assert same(store.append(rows)) == same(store.append_columns(batches))
    again = [replace(r, stream_id=by_columns) for r in everything(store, by_rows)]
    assert everything(store, by_columns) == again
