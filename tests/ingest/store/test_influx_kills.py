"""InfluxDB against the SQLite store as an oracle, with kills between any two steps of an append."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.store import Row, SqliteStore
from ingest.store.influx import InfluxStore
from ingest.store.local_influx import LocalInflux

pytestmark = pytest.mark.neighbour("influxdb")
FOREVER = (0, 1 << 43)
T0 = 1_790_000_000_000
# Steps of an append after or before which a kill may come. Requests count twice: never sent, and sent but not heard.
_STEPS = ("raise_marks", "settle", "learn_numbers", "found_time", "found_numbers", "begin")


class KilledError(Exception):
    """Stands for SIGKILL: everything in memory is thrown away after it."""


def arm(store: InfluxStore, at: int) -> None:
    """The ``at``-th step is the last that happens."""
    left = [at]

    def tick() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KilledError

    def cut(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            tick()
            result = call(*arguments, **named)
            tick()
            return result

        return wrapped

    store._post = cut(store._post)  # type: ignore[method-assign]
    for name in _STEPS:
        setattr(store._index, name, cut(getattr(store._index, name)))


READINGS = st.tuples(st.integers(0, 9), st.none() | st.integers(0, 5), st.integers(0, 2), st.booleans())
UPLOADS = st.lists(st.tuples(st.lists(READINGS, max_size=8), st.integers(0, 12), st.booleans()), max_size=6)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(UPLOADS)
def test_killed_anywhere_and_repeated_it_holds_what_an_unkilled_sqlite_store_holds(
    influx: LocalInflux, bucket: str, tmp_path: Path, row: Callable[..., Row], uploads: list[Any]
) -> None:
    """Each upload is cut short at some step, the process starts anew (sometimes without its index), and the caller
    repeats from the journal: the same rows in the same order.
    """
    run = uuid.uuid4().hex
    stream = f"X{run}/temperature_c"
    influx.make_bucket(run)
    folder = tmp_path / run
    folder.mkdir()
    oracle = SqliteStore(folder / "oracle.db")

    def opened() -> InfluxStore:
        return InfluxStore(influx.url, influx.org, run, influx.token, index_path=folder / "index.db")

    seq = 0
    for readings, at, lose_index in uploads:
        made = []
        for minute, number, value, far in readings:
            seq += 1
            t_ms = T0 + minute * 60_000 + far * 10 * 86_400_000
            made.append(replace(row(0, str(value)), stream_id=stream, t_ms=t_ms, device_seq=number, seq=seq))
        store = opened()
        arm(store, at)
        try:
            store.append(made)
        except KilledError:
            pass
        store.close()
        if lose_index:
            for path in folder.glob("index.db*"):
                path.unlink()
        store = opened()
        store.append(made)
        assert store.append(made).committed == 0
        store.close()
        oracle.append(made)
        reader = InfluxStore(influx.url, influx.org, run, influx.token, index_path=None)
        assert reader.read(stream, *FOREVER).rows == oracle.read(stream, *FOREVER).rows
        assert reader.latest([stream]) == oracle.latest([stream])
        reader.close()
    oracle.close()
