"""Which rules and tables judge: when they change, the whole past is judged anew at the next start."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path


def fingerprint(own_files: Iterable[Path] = ()) -> str:
    """A digest of this package's code and tables, and of the profiles and products that go before the built-in ones."""
    digest = hashlib.sha256()
    for name, content in sorted(_sources(files("alerts"), "alerts")):
        digest.update(f"{name} {len(content)} ".encode() + content)
    for path in own_files:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _sources(folder: Traversable, name: str) -> Iterable[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _sources(entry, f"{name}/{entry.name}")
        elif entry.name.endswith((".py", ".toml")):
            yield f"{name}/{entry.name}", entry.read_bytes()
