"""``docs/architecture.md`` and ``docs/README.md`` say what is there."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from alerts.rules import RuleFinding, Step
from edge.outbox import Outbox
from gateway.journal import Entry, Journal
from gateway.smile.port import PushStatus, SmilePort
from ingest.quarantine import QuarantinePort, Reason
from ingest.store import Row, Store
from smile_iot.up import PARTS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text()
INDEX = (ROOT / "docs/README.md").read_text()


def methods_of(protocol: type[Any]) -> set[str]:
    return {name for name in vars(protocol) if not name.startswith("_")}


@pytest.mark.parametrize("protocol", [Outbox, Journal, Store, SmilePort], ids=lambda p: str(p.__name__))
def test_an_interface_on_the_page_has_exactly_the_codes_methods(protocol: type[Any]) -> None:
    block = PAGE.partition(f"    class {protocol.__name__}(Protocol):\n")[2].partition("\n\n")[0]
    said = set(re.findall(r"^        (?:async )?(?:def )?(\w+)[(:]", block, re.MULTILINE))
    assert said == methods_of(protocol)


@pytest.mark.parametrize("protocol", [Outbox, Journal, Store], ids=lambda p: str(p.__name__))
def test_the_arguments_on_the_page_are_the_codes(protocol: type[Any]) -> None:
    block = PAGE.partition(f"    class {protocol.__name__}(Protocol):\n")[2].partition("\n\n")[0]
    for name, text in re.findall(r"^        def (\w+)\(([^)]*)\)", block, re.MULTILINE):
        said = [re.split(r"[:=]", part)[0].strip() for part in text.split(",") if part.strip() not in ("", "*")]
        assert said == list(inspect.signature(getattr(protocol, name)).parameters)[1:], name


@pytest.mark.parametrize("value", [Row, Entry, RuleFinding], ids=lambda v: str(v.__name__))
def test_a_value_on_the_page_has_exactly_the_codes_fields(value: type[Any]) -> None:
    said = re.search(rf"`{value.__name__}\(([^)]*)\)`", PAGE)
    assert said is not None
    assert [name.strip() for name in said[1].split(",")] == [f.name for f in dataclasses.fields(value)]


def test_the_other_names_on_the_page_are_the_codes() -> None:
    assert f"Step({', '.join(f.name for f in dataclasses.fields(Step))})" in PAGE
    assert f"per item {', '.join(status.value for status in PushStatus)}" in PAGE
    for name in methods_of(QuarantinePort):
        assert f"`{name}(" in PAGE
    for name in re.findall(r"^    (\w+)\(.*\) -> ", PAGE, re.MULTILINE):
        assert hasattr(importlib.import_module("alerts.rules"), name), name


def test_every_module_named_with_dots_can_be_imported() -> None:
    packages = "telemetry|edge|gateway|ingest|alerts|api|smile_iot"
    for name in sorted(set(re.findall(rf"`((?:{packages})(?:\.\w+)+)[(`]", PAGE))):
        module, _, last = name.rpartition(".")
        if last == "db":  # alerts.db is a file
            continue
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), last), name


def test_every_process_that_up_starts_is_on_the_page_with_its_files() -> None:
    rows = dict(re.findall(r"^\| [^|]+ \| `smile-iot (\w+) --config FILE` \| ([^|]+) \|", PAGE, re.MULTILINE))
    assert set(rows) == {"edge", "up", *PARTS}
    code = "".join(p.read_text() for p in sorted((ROOT / "smile_iot").glob("*.py")))
    made = set(re.findall(r'data_dir / "([\w-]+(?:\.db)?)"', code)) - {"broker"}
    named = set(re.findall(r"`([\w-]+(?:\.db)?)/?`", " ".join(rows.values()))) | {"records.db"}
    assert {name for name in made if name.endswith(".db") or name == "smile-tokens"} <= named


def test_the_index_lists_every_page_and_every_decision() -> None:
    pages = {f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")} - {"docs/README.md"}
    assert {p for p in pages if f"`{p}`" not in INDEX} == set()
    numbers = sorted(p.name[:4] for p in (ROOT / "docs/decisions").glob("*.md"))
    assert numbers == sorted(re.findall(r"^\| (\d{4}) \|", INDEX, re.MULTILINE))
    assert len(set(numbers)) == len(numbers)  # given out before they are written, so one may be missing for a while


def test_a_decision_named_by_its_number_is_there() -> None:
    numbers = {p.name[:4] for p in (ROOT / "docs/decisions").glob("*.md")}
    for page in [*(ROOT / "docs").rglob("*.md"), ROOT / "CONTRIBUTING.md"]:
        assert set(re.findall(r"\bdecision (\d{4})\b", page.read_text())) <= numbers, page


def test_the_contract_names_every_reason_that_ingest_and_the_codec_can_give() -> None:
    page = (ROOT / "docs/contract.md").read_text().partition("## What is refused")[2]
    said = set(re.findall(r"`(\w+)`", page))
    sources = [(ROOT / f"telemetry/{name}.py").read_text() for name in ("contract", "topics", "quantities")]
    codec = {reason for text in sources for reason in re.findall(r'ContractError\(\s*"(\w+)"', text)}
    assert len(codec) > 8
    assert codec | {str(reason) for reason in Reason} <= said
