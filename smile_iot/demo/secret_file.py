"""Files of one run that only who runs it may read."""

from __future__ import annotations

from pathlib import Path


def write_secret(path: Path, text: str) -> Path:
    """Write a text that nobody else could read at any time; returns the path."""
    path.touch(mode=0o600)
    path.write_text(text)
    return path
