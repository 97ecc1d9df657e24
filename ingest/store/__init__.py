"""The time series store: rows by stream and time, filled from the journal, read by api and dashboards."""

from __future__ import annotations

from ingest.store.config import StoreConfig, StoreKind
from ingest.store.model import AppendResult, Cursor, Page, Row, Store, StreamBatch
from ingest.store.opening import open_store
from ingest.store.sqlite import SqliteStore

__all__ = [
    "AppendResult",
    "Cursor",
    "Page",
    "Row",
    "SqliteStore",
    "Store",
    "StoreConfig",
    "StoreKind",
    "StreamBatch",
    "open_store",
]
