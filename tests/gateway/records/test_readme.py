"""The README's example runs, and each method it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import gateway.records
from gateway.records import Records
from gateway.records.errors import Code
from gateway.records.model import Alarm, AuditRow, Registry

README = (Path(gateway.records.__file__).parent / "README.md").read_text()


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102
    assert (tmp_path / "records.db").exists()


def test_every_method_has_its_line_in_the_readme() -> None:
    methods = [name for name in dir(Records) if not name.startswith("_") and callable(getattr(Records, name))]
    missing = [name for name in methods if not re.search(rf"\b{name}\(", README)]
    assert missing == []


def test_every_method_the_readme_names_exists() -> None:
    section = README.partition("## Methods")[2].partition("## Actions")[0]
    named = set(re.findall(r"(?<![\w.])\.?([a-z_]+)\(", section))
    known = {n for part in (Records, Registry, Alarm, AuditRow) for n in dir(part)}
    assert named - known <= {"bag_day", "check_bag"}


def test_the_codes_that_the_readme_names_exist() -> None:
    assert set(re.findall(r"\b[A-Z]{3,}(?:_[A-Z]+)+\b", README)) <= set(Code)
