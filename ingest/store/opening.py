"""Open the store that the settings name; the client of a store that is not named is never loaded."""

from __future__ import annotations

from ingest.store.config import StoreConfig, StoreKind
from ingest.store.model import Store
from ingest.store.sqlite import SqliteStore


def open_store(config: StoreConfig, *, read_only: bool = False) -> Store:
    """The store that the settings name. ``read_only`` for the api's process."""
    if config.kind is StoreKind.SQLITE:
        return SqliteStore(config.path, read_only=read_only)
    from ingest.store.influx import InfluxStore

    return InfluxStore(
        config.url, config.org, config.bucket, config.token, index_path=None if read_only else config.index_path
    )
