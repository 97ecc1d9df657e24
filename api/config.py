"""Settings of the API and pages as values. ``smile_iot`` reads them from TOML and environment; nothing here does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.broker_accounts import BrokerFiles
from ingest.store import StoreConfig
from telemetry.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class WasteIds:
    """The ids by which SMILE's waste service knows a class of waste and its source (smile-core-api.md 6.5)."""

    source_id: int
    classification_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the application behaves. Times are real seconds: a session never follows the virtual clock.

    ``secure_cookies`` is turned off only where the page is reached over plain HTTP (a demo on one machine).
    ``waste`` gives SMILE's ids per class of ``gateway/records/waste_classes.toml``: the classes the page offers.
    """

    secure_cookies: bool = True
    session_s: int = 12 * 3600
    login_failures: int = 5  # as SMILE's own limiter: 5 in 5 minutes (smile-and-waste.md 2.1)
    login_window_s: int = 300
    max_body_bytes: int = 64 * 1024
    import_edge: str = "import"  # under this name a person's facts come in anew
    waste: Mapping[str, WasteIds] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in ("session_s", "login_failures", "login_window_s", "max_body_bytes"):
            if getattr(self, key) < 1:
                raise ConfigError(f"api.{key}", "must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """What a new edge is told: this server's own address and CA ("": a public one), and the broker as the Pis reach it.

    CAs are PEM texts. ``import_edge`` is no Pi: that name is not given away.
    """

    server_url: str
    broker_host: str
    broker_port: int
    broker_tls: bool = True
    broker_ca: str = ""
    server_ca: str = ""
    import_edge: str = "import"
    files: BrokerFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything ``api.service.run`` needs. ``store`` is ingest's own store setting: the same file or database.

    ``cert_file`` and ``key_file`` (PEM) make it speak HTTPS by itself; ``enrolment`` None: no edge is enrolled here.
    """

    records: str
    store: StoreConfig
    ledger_path: Path = Path("ledger.db")
    profiles_path: Path | None = None
    products_path: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    settings: Settings = field(default_factory=Settings)
    enrolment: Enrolment | None = None
    cert_file: str = ""
    key_file: str = field(default="", repr=False)

    @property
    def ledger_files(self) -> list[Path]:
        """One ledger a shard: the others stand beside the first."""
        return sorted(self.ledger_path.parent.glob("ledger*.db")) or [self.ledger_path]

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ConfigError("api.port", f"{self.port} is no port")
