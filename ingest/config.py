"""Settings of ingest as values. ``smile_iot`` reads them from TOML and environment; nothing here does."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ingest.store.config import StoreConfig, StoreKind
from telemetry.errors import ConfigError

__all__ = ["BrokerConfig", "Config", "StoreConfig", "StoreKind"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerConfig:
    """Where the MQTT broker is and how to log in. ``ca_file`` set means TLS."""

    host: str = "127.0.0.1"
    port: int = 1883
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    keepalive_s: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything ingest needs. Times are real seconds: network timers never follow the virtual clock.

    ``shard`` is this worker's own ("+" for all); ``client_id`` must stay the same, the broker keeps our queue under
    it. ``batch_messages`` and ``batch_bytes`` bound memory: beyond them the socket is not read. ``receipt_linger_s``
    is how long the receipt of a lazy upload may wait, ``linger_s`` the time within which a batch that waits for more is stored.
    ``filler_path`` keeps the filler's offset and the undated readings; by default it is the SQLite store's own file,
    so that both are lost or kept together.
    """

    journal: str = "journal.db"
    ledger_path: Path = Path("ledger.db")
    shard: str = "+"
    client_id: str = ""
    broker: BrokerConfig = field(default_factory=BrokerConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    filler_path: Path | None = None
    receipt_linger_s: float = 3600.0
    linger_s: float = 0.0
    batch_messages: int = 500
    batch_bytes: int = 8 << 20
    sweep_s: float = 2.0
    gap_wait_s: float = 60.0
    gap_again_s: float = 600.0
    fill_rows: int = 20_000
    fill_entries: int = 5_000
    poll_s: float = 0.5
    retry_s: float = 1.0

    def __post_init__(self) -> None:
        for key in ("batch_messages", "batch_bytes", "fill_rows", "fill_entries"):
            if getattr(self, key) < 1:
                raise ConfigError(f"ingest.{key}", "must be at least 1")
        if self.store.kind is StoreKind.INFLUX and not (self.store.url and self.store.bucket):
            raise ConfigError("ingest.store", "InfluxDB wants url and bucket")

    @property
    def mqtt_client_id(self) -> str:
        return self.client_id or f"smile-iot-ingest-{'all' if self.shard == '+' else self.shard}"

    @property
    def filler_file(self) -> Path:
        if self.filler_path is not None:
            return self.filler_path
        return self.store.path if self.store.kind is StoreKind.SQLITE else self.store.index_path
