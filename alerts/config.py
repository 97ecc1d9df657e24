"""Settings of the alerts service as values; ``smile_iot`` reads them from TOML and environment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """``memory_path`` is our own file: facts, undated facts, and our places in the two feeds.

    ``poll_s`` is real time between looks at the journal, ``tell_poll_s`` between looks at what people wait to be
    told (new alarms are told at once). ``public_url`` stands in messages. ``held_back_s``: what edges hold back.
    ``keep_s``: what ended longer ago leaves the rules' state and is read from disk when late facts ask for it.
    """

    memory_path: Path = Path("alerts.db")
    profiles_files: tuple[Path, ...] = ()
    products_files: tuple[Path, ...] = ()
    poll_s: float = 0.2
    tell_poll_s: float = 2.0
    batch_entries: int = 500
    public_url: str = ""
    held_back_s: int = 0
    keep_s: int = 86_400
