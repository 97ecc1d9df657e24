"""What every package has and none does; the example files; the locks."""

from __future__ import annotations

import ast
import re
import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from edge.config import DeviceSettings, EdgeSettings, MqttSettings
from edge.config import load as load_edge
from gateway.records import Actor, Role, open_records
from gateway.records.load import load_toml
from smile_iot.settings import load_settings

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = tuple(PROJECT["tool"]["mypy"]["packages"])
SOURCES = [p for package in PACKAGES for p in sorted((ROOT / package).rglob("*.py"))]
# The programs that speak on stdout to whoever started them.
SPEAK = ("smile_iot", "firmware_sim")


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_typed_and_says_what_it_is(package: str) -> None:
    assert (ROOT / package / "py.typed").exists()
    for folder in {p.parent for p in SOURCES if p.is_relative_to(ROOT / package)}:
        assert (folder / "__init__.py").exists(), f"{folder} would not be installed"
    assert ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text()))


def test_every_package_is_checked_installed_and_kept_apart() -> None:
    """A new folder stands in all three lists of pyproject.toml, or it is not there for somebody."""
    tools = PROJECT["tool"]
    installed = {name.rstrip("*") for name in tools["setuptools"]["packages"]["find"]["include"]}
    assert installed == set(PACKAGES) == set(tools["importlinter"]["root_packages"])
    folders = {p.parent.name for p in ROOT.glob("*/__init__.py")}
    assert folders == set(PACKAGES)


def _imports(path: Path) -> set[str]:
    """The first names of what a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_nothing_imports_the_wiring_or_the_tests() -> None:
    wrong = [str(p) for p in SOURCES if p.relative_to(ROOT).parts[0] != "smile_iot" and "smile_iot" in _imports(p)]
    wrong += [str(p) for p in SOURCES if "tests" in _imports(p)]
    assert not wrong


def test_parts_do_not_print() -> None:
    """Services log. A program's own words to its starter are in its ``__main__``."""
    wrong = []
    for path in SOURCES:
        name = str(path.relative_to(ROOT))
        if name.startswith(SPEAK) or path.name == "__main__.py":
            continue
        calls = (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call))
        wrong += [f"{name}:{c.lineno}" for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"]
    assert not wrong


def test_only_the_wiring_and_the_clock_read_the_environment() -> None:
    """Everything else gets values (``docs/architecture.md``)."""
    reads = {str(p.relative_to(ROOT)) for p in SOURCES if re.search(r"\bos\.(environ|getenv)\b", p.read_text())}
    assert {name for name in reads if not name.startswith(("smile_iot/", "firmware_sim/"))} == {"telemetry/clock.py"}


# --- example files ----------------------------------------------------------------------------------------


def test_the_edges_example_loads_and_its_comments_are_the_defaults() -> None:
    path = ROOT / "edge/edge.example.toml"
    config = load_edge(path)
    assert [d.driver for d in config.devices] == ["bthome", "scale_ascii"]
    said = re.findall(r"^# (\w+) = (\"[^\"]*\"|\[[^\]]*\]|[^\s#]+)", path.read_text(), re.MULTILINE)
    defaults: dict[str, object] = {}
    for kind in (DeviceSettings, MqttSettings, EdgeSettings):
        defaults |= {f.name: f.default for f in kind.__dataclass_fields__.values()}
    checked = 0
    for key, text in said:
        value = tomllib.loads(f"x = {text}")["x"]
        if key in defaults:
            assert value == (str(d) if isinstance(d := defaults[key], Decimal) else d), key
            checked += 1
    assert checked > 20


def test_the_records_example_loads(tmp_path: Path) -> None:
    source = ROOT / "gateway/records/site.example.toml"
    copy = tmp_path / "site.toml"
    copy.write_text(source.read_text())
    for name in re.findall(r'^\w+_file = "([^"]+)"', source.read_text(), re.MULTILINE):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("mailto://user:word@example.org")
    with open_records(str(tmp_path / "records.db")) as records:
        report = load_toml(records, copy, Actor("Sari", Role.SUPER_ADMIN), "a test", 1_790_000_000_000)
        assert report.created
        assert records.verify_chain(records.sites()[0].id).ok


@pytest.mark.parametrize("file", sorted((ROOT / "deploy").glob("server*.toml")), ids=lambda p: p.name)
def test_the_servers_file_names_settings_there_are(file: Path) -> None:
    load_settings(file, {})


# --- locks ------------------------------------------------------------------------------------------------


def _name(requirement: str) -> str:
    return re.split(r"[\[<>=~! ;]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def _locked(lock: str) -> dict[str, str]:
    text = (ROOT / "requirements" / lock).read_text()
    return dict(re.findall(r"^([a-z0-9.-]+)(?:\[[\w,]+\])?==(\S+)", text, re.MULTILINE))


EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]


@pytest.mark.parametrize(("lock", "extra"), [("edge.lock", "edge"), ("server.lock", "server")])
def test_a_lock_holds_its_extra(lock: str, extra: str) -> None:
    assert {_name(r) for r in EXTRAS[extra]} - set(_locked(lock)) == set()


def test_the_whole_lock_holds_every_extra_and_agrees_with_the_others() -> None:
    whole = _locked("all.lock")
    wanted = {_name(r) for extra in EXTRAS.values() for r in extra}
    assert wanted - set(whole) == set()
    for lock in ("edge.lock", "server.lock"):
        other = _locked(lock)
        assert {n: v for n, v in other.items() if whole.get(n) != v} == {}


def test_a_lock_keeps_what_pyproject_asks_of_versions() -> None:
    from packaging.requirements import Requirement

    whole = _locked("all.lock")
    for extra in EXTRAS.values():
        for text in extra:
            wanted = Requirement(text)
            assert wanted.specifier.contains(whole[_name(text)], prereleases=True), text


@pytest.mark.parametrize("lock", sorted((ROOT / "requirements").glob("*.lock")), ids=lambda p: p.name)
def test_every_locked_package_has_a_hash(lock: Path) -> None:
    blocks = re.split(r"^(?=[a-z0-9])", lock.read_text(), flags=re.MULTILINE)
    assert [b.split()[0] for b in blocks if b.strip() and not b.startswith("#") and "--hash=sha256:" not in b] == []


def test_the_script_that_locks_names_extras_there_are() -> None:
    named = set(re.findall(r"--extra (\w+)", (ROOT / "scripts/lock").read_text()))
    assert named == set(EXTRAS)
