"""Which time series store, as a value. It stands here, so that a reader needs nothing of ingest but its store."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class StoreKind(StrEnum):
    """Which time series store is filled."""

    SQLITE = "sqlite"
    INFLUX = "influx"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig:
    """The time series store. SQLite wants ``path``; InfluxDB wants the others and an ``index_path`` of its own."""

    kind: StoreKind = StoreKind.SQLITE
    path: Path = Path("store.db")
    url: str = ""
    org: str = ""
    bucket: str = ""
    token: str = field(default="", repr=False)
    index_path: Path = Path("influx_index.db")
