"""Rows, and every store that the contract suite runs over."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ingest.store import AppendResult, Row, SqliteStore, Store, StreamBatch
from ingest.store.influx import InfluxStore
from ingest.store.local_influx import LocalInflux
from telemetry.readings import Origin, Quality, Sync

T0 = 1_790_000_000_000
BASE = Row(
    site="SITE1",
    stream_id="T1/temperature_c",
    t_ms=T0,
    value=Decimal("5.0"),
    quality=Quality.GOOD,
    origin=Origin.LIVE,
    device_seq=None,
    variant=0,
    edge="E1",
    epoch="ep1",
    seq=1,
    sync=Sync.SYNCED,
    max_error_ms=50,
    received_at_ms=T0 + 1_000,
)


@pytest.fixture
def row() -> Callable[..., Row]:
    """``row(minute, value, **fields)``."""

    def make(minute: int = 0, value: str | None = "5.0", **fields: Any) -> Row:
        number = None if value is None else Decimal(value)
        quality = Quality.SENSOR_FAULT if value is None else Quality.GOOD
        base = replace(BASE, t_ms=T0 + minute * 60_000, value=number, quality=quality, seq=minute + 1)
        return replace(base, **fields)

    return make


@pytest.fixture(scope="session")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalInflux]:
    """Debian's InfluxDB 1.6.7 behind the nginx rewrite, with authentication on."""
    server = LocalInflux(tmp_path_factory.mktemp("influx"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def bucket(influx: LocalInflux) -> str:
    name = f"b{uuid.uuid4().hex}"
    influx.make_bucket(name)
    return name


@pytest.fixture
def open_influx(influx: LocalInflux, bucket: str, tmp_path: Path) -> Iterator[Callable[..., InfluxStore]]:
    opened: list[InfluxStore] = []

    def opener(*, read_only: bool = False) -> InfluxStore:
        index = None if read_only else tmp_path / "index.db"
        store = InfluxStore(influx.url, influx.org, bucket, influx.token, index_path=index)
        opened.append(store)
        return store

    yield opener
    for store in opened:
        store.close()


class SealedStore(SqliteStore):
    """Every append is sealed into blocks at once."""

    def append_columns(self, batches: Sequence[StreamBatch]) -> AppendResult:
        result = super().append_columns(batches)
        self.seal()
        return result


@pytest.fixture(params=["sqlite", "sqlite, sealed", pytest.param("influx", marks=pytest.mark.neighbour("influxdb"))])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Opens the same store again and again; ``read_only=True`` is another process's reader."""
    opened: list[Store] = []
    if request.param == "influx":
        yield request.getfixturevalue("open_influx")
        return

    def opener(*, read_only: bool = False) -> Store:
        made = SqliteStore if request.param == "sqlite" else SealedStore
        store = made(tmp_path / "store #1?.db", read_only=read_only)
        opened.append(store)
        return store

    yield opener
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[..., Store]) -> Store:
    return open_store()
