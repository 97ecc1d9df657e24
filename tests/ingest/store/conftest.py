"""Rows, and every store that the contract suite runs over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ingest.store import Row, SqliteStore, Store
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


@pytest.fixture(params=["sqlite"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Opens the same store again and again; ``read_only=True`` is another process's reader."""
    opened: list[Store] = []

    def opener(*, read_only: bool = False) -> Store:
        store = SqliteStore(tmp_path / "store #1?.db", read_only=read_only)
        opened.append(store)
        return store

    yield opener
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[..., Store]) -> Store:
    return open_store()
