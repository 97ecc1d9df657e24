"""From settings to the parts: one function per neighbour or store, so that each is named once."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from smile_iot.settings import Settings
from telemetry.errors import ConfigError

if TYPE_CHECKING:
    from gateway.records import Records
    from ingest.config import Config as IngestConfig
    from ingest.config import StoreConfig


def _with_password(url: str, password: str) -> str:
    """``scheme://user@host/db`` with the password put in; other URLs as they are."""
    scheme, separator, rest = url.partition("://")
    user, at, host = rest.partition("@")
    if not (password and separator and at) or ":" in user:
        return url
    return f"{scheme}://{user}:{quote(password, safe='')}@{host}"


def records_url(settings: Settings) -> str:
    url = settings.text("records.url")
    if not url:
        return str(settings.data_dir / "records.db")
    return _with_password(url, settings.secret("records.password_file"))


def journal_url(settings: Settings) -> str:
    url = settings.text("journal.url")
    if not url:
        return str(settings.data_dir / "journal.db")
    return _with_password(url, settings.secret("records.password_file"))


def open_records(settings: Settings) -> Records:
    from gateway.records import open_records

    settings.data_dir.mkdir(parents=True, exist_ok=True)
    return open_records(records_url(settings))


def store_config(settings: Settings) -> StoreConfig:
    from ingest.config import StoreConfig, StoreKind

    try:
        kind = StoreKind(settings.text("store.kind"))
    except ValueError as error:
        raise ConfigError("store.kind", f"{settings.text('store.kind')!r} is neither sqlite nor influx") from error
    return StoreConfig(
        kind=kind,
        path=settings.data_dir / "store.db",
        url=settings.text("store.influx_url"),
        org=settings.text("store.influx_org"),
        bucket=settings.text("store.influx_bucket"),
        token=settings.secret("store.influx_token_file"),
        index_path=settings.data_dir / "influx_index.db",
    )


def ingest_config(settings: Settings) -> IngestConfig:
    from ingest.config import BrokerConfig, Config

    return Config(
        journal=journal_url(settings),
        ledger_path=settings.data_dir / "ledger.db",
        shard=settings.text("server.shard"),
        broker=BrokerConfig(
            host=settings.text("mqtt.host"),
            port=settings.number("mqtt.port"),
            username=settings.text("mqtt.username") or None,
            password=settings.secret("mqtt.password_file") or None,
            ca_file=settings.text("mqtt.ca_file") or None,
        ),
        store=store_config(settings),
        receipt_linger_s=settings.number("ingest.receipt_linger_s"),
    )
