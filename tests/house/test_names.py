"""Our generic import names belong to us alone (a stranger's ``api`` or ``edge`` would shadow ours silently)."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

OURS = ("telemetry", "edge", "gateway", "ingest", "alerts", "api", "firmware_sim", "smile_iot", "dashboards", "tests")
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", OURS)
def test_no_strangers_package_owns_our_name(name: str) -> None:
    owners = set(importlib.metadata.packages_distributions().get(name, [])) - {"smile-iot"}
    assert not owners, f"{owners} installs a package called {name!r}: ours would be shadowed"


@pytest.mark.parametrize("name", [n for n in OURS if n not in ("dashboards", "tests")])
def test_our_name_means_our_folder(name: str) -> None:
    module = importlib.import_module(name)
    assert Path(str(module.__file__)).parent == ROOT / name


def test_no_package_files_under_tests() -> None:
    """With ``tests/edge/__init__.py``, ``import edge`` would mean the tests' folder (house-style: a trap to know)."""
    assert not list((ROOT / "tests").rglob("__init__.py"))
