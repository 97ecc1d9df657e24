"""A TOML text whose tables are rules' numbers and which says its version: profiles, thresholds. Pure."""

from __future__ import annotations

import tomllib
from typing import Any

from telemetry.errors import ConfigError


def versioned_tables(text: str, what: str, where: str) -> tuple[str, dict[str, Any]]:
    """(version, everything else). Raises ConfigError with the place; ``what`` names the tables."""
    try:
        body = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(what, f"{where}: {error}") from error
    version = body.pop("version", None)
    if not isinstance(version, str) or not version:
        raise ConfigError("version", f"{where}: a file of {what} says its version as a text")
    return version, body
