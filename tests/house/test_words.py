"""The prose keeps its word: every path named in Markdown exists; nothing names a registry's host."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_FOLDERS = (
    "docs|edge|gateway|ingest|alerts|api|telemetry|smile_iot|firmware_sim|tests|scripts|deploy|dashboards|benchmarks"
)
_PATH = re.compile(rf"`((?:{_FOLDERS})/[\w./-]+)`")
_HOSTS = ("pypi" + ".org", "files.python" + "hosted", "registry.npmjs" + ".org", "deb.debian" + ".org")


def tracked() -> list[Path]:
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in names.splitlines() if (ROOT / name).is_file()]


@pytest.mark.parametrize("page", [p for p in tracked() if p.suffix == ".md"], ids=lambda p: str(p.relative_to(ROOT)))
def test_every_path_named_in_markdown_exists(page: Path) -> None:
    gone = [name for name in _PATH.findall(page.read_text()) if not (ROOT / name).exists()]
    assert not gone


def test_no_file_names_a_registry_host() -> None:
    found = []
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {host}" for host in _HOSTS if host in text]
    assert not found
