"""Settings of the API and pages as values. ``smile_iot`` reads them from TOML and environment; nothing here does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

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
    waste: Mapping[str, WasteIds] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in ("session_s", "login_failures", "login_window_s", "max_body_bytes"):
            if getattr(self, key) < 1:
                raise ConfigError(f"api.{key}", "must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything ``api.service.run`` needs. ``store`` is ingest's own store setting: the same file or database."""

    records: str
    store: StoreConfig
    ledger_path: Path = Path("ledger.db")
    profiles_path: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ConfigError("api.port", f"{self.port} is no port")
