"""CONTRIBUTING's recipes are tests: each code block is put in its place and its own test is called.

A block names its place in its first line: ``# FILE`` is a new file, ``# FILE, in TABLE`` a line of that table.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import alerts.profiles
from alerts import channels
from api import words
from edge.config import parse
from edge.decoders import ADVERT_DECODERS
from edge.decoders.frames import Advert
from edge.outbox import MemoryOutbox
from edge.sources.ble import BleSource
from edge.supervisor import Outage
from gateway.records import Actor, Batch, Role, Site, Verdict, open_records
from smile_iot import __main__ as command_line
from telemetry.errors import NeighbourDownError
from telemetry.readings import Stamp, Sync

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
T0 = 1_790_000_000_000
SECTIONS = re.split(r"^## ", PAGE, flags=re.MULTILINE)
# The recipe for a channel holds two: to people, and to another system.
TO_PEOPLE, TO_SYSTEMS = next(s for s in SECTIONS if s.startswith("Add a channel")).split("**To another system**")
RECIPES = {
    "device": next(s for s in SECTIONS if s.startswith("Add a device")),
    "rule": next(s for s in SECTIONS if s.startswith("Add a rule")),
    "channel to people": TO_PEOPLE,
    "channel to another system": TO_SYSTEMS,
}


@pytest.fixture
def pieces(prose: Any) -> Any:
    """recipe -> {(file, table or ""): code without the line that names the place}."""

    def of(recipe: str) -> dict[tuple[str, str], str]:
        found = {}
        for _, code in prose.blocks(RECIPES[recipe]):
            head, _, rest = code.partition("\n")
            file, _, table = head.removeprefix("# ").partition(", in ")
            found[file, table] = rest
        return found

    return of


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Put a new file's code in its place: importable under its name, until the test ends."""

    def make(file: str, code: str) -> ModuleType:
        path = tmp_path / "tree" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
        name = file.removesuffix(".py").replace("/", ".")
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        package, _, last = name.rpartition(".")
        if not file.startswith("tests/"):
            monkeypatch.setattr(importlib.import_module(package), last, module, raising=False)
        spec.loader.exec_module(module)
        return module

    return make


def rows(code: str, names: dict[str, Any]) -> dict[str, Any]:
    """A table's lines as a dict."""
    made: dict[str, Any] = eval("{" + code + "}", names)  # our own page  # noqa: S307
    return made


def call_tests(module: ModuleType, tmp_path: Path) -> int:
    """Call every test of a module; how many."""
    tests = [f for name, f in vars(module).items() if name.startswith("test_")]
    for number, test in enumerate(tests):
        folder = tmp_path / f"called-{number}"
        folder.mkdir()
        test(**({"tmp_path": folder} if "tmp_path" in inspect.signature(test).parameters else {}))
    return len(tests)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_takes_three_files_and_its_tables_are_where_it_says(pieces: Any, recipe: str) -> None:
    found = pieces(recipe)
    assert len({file for file, _ in found}) == 3
    for file, table in found:
        if table:
            first = table.split()[0]
            assert re.search(rf"\b{first}\b", (ROOT / file).read_text()), (file, table)
        elif file != "docs/devices.md":
            assert not (ROOT / file).exists(), f"{file} is there already: the example needs another name"
            assert (ROOT / file).parents[1].is_dir()


def test_the_code_keeps_the_house_style(pieces: Any, tmp_path: Path) -> None:
    for recipe in RECIPES:
        for (file, table), code in pieces(recipe).items():
            if file.endswith(".py") and not table:
                (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / file).write_text(code)
    config = ("--config", str(ROOT / "pyproject.toml"), str(tmp_path))
    # I001: the copy does not know which packages are ours.
    for command in (("check", "--ignore", "I001"), ("format", "--diff")):
        line = [sys.executable, "-m", "ruff", *command, *config]
        done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stdout


# --- a device ---------------------------------------------------------------------------------------------


@pytest.fixture
def govee(pieces: Any, put: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """The example's driver, registered."""
    code = pieces("device")
    module = put("edge/decoders/govee_h5075.py", code["edge/decoders/govee_h5075.py", ""])
    names = {"govee_h5075": module, **vars(importlib.import_module("edge.decoders"))}
    (row,) = rows(code["edge/decoders/__init__.py", "ADVERT_DECODERS"], names).items()
    monkeypatch.setitem(ADVERT_DECODERS, *row)
    return str(row[0])


def test_a_new_devices_vectors_decode(pieces: Any, prose: Any, govee: str) -> None:
    found = prose.vectors(pieces("device")["docs/devices.md", ""])
    assert {v.driver for v in found} == {govee}
    assert len(found) == 4
    assert [prose.decode(v) for v in found] == [prose.plain(v.meant) for v in found]


def test_a_new_devices_adverts_become_readings_without_another_line(govee: str) -> None:
    table = {"serial": "GV-1", "driver": govee, "address": "A4:C1:38:00:00:01", "interval_s": 60}
    config = parse({"edge": {"id": "E1", "site": "S1"}, "device": [table]})
    outbox = MemoryOutbox()
    source = BleSource(config.devices, config.ble, None, outbox, lambda: None, Outage("b"))  # type: ignore[arg-type]
    advert = Advert("A4:C1:38:00:00:01", -60, {}, {0xEC88: bytes.fromhex("00034DB26400")})
    source.take_all(
        [(advert, Stamp("boot", 1, T0, Sync.SYNCED, 50)), (advert, Stamp("boot", 2, T0, Sync.SYNCED, 50))]
    )
    kept = {n.fact.stream_id: str(n.fact.value) for n in outbox.pending(10)}  # type: ignore[union-attr]
    assert kept == {
        "GV-1/temperature_c": "21.6",
        "GV-1/humidity_percent": "49.8",
        "GV-1/battery_percent": "100",
        "GV-1/rssi_dbm": "-60",
    }


# --- a rule -----------------------------------------------------------------------------------------------


def test_a_new_rule_fires_and_holds_a_batch(
    pieces: Any, put: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code = pieces("rule")
    row = code["alerts/profiles.toml", "limits of refrigerator"]
    text = (ROOT / "alerts/profiles.toml").read_text()
    head, marker, rest = text.partition("[refrigerator]")
    first, limits, after = rest.partition("limits = [\n")
    known = alerts.profiles.parse_profiles(head + marker + first + limits + row + after, "profiles.toml")
    monkeypatch.setattr(alerts.profiles, "builtin_profiles", lambda: known)
    file = "tests/alerts/test_rule_heat_20.py"
    assert call_tests(put(file, code[file, ""]), tmp_path) == 2


@pytest.fixture
def texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the catalogue that may be written to."""
    path = tmp_path / "texts.toml"
    path.write_text((ROOT / "api/texts.toml").read_text())
    monkeypatch.setattr(words, "_CATALOGUE", path)
    words.catalogue.cache_clear()
    yield path
    words.catalogue.cache_clear()


def test_a_new_rule_has_linein_both_languages(pieces: Any, texts: Path) -> None:
    body = texts.read_text()
    for group in ("code", "advice"):
        line = pieces("rule")["api/texts.toml", group]
        body = body.replace(f"\n[{group}]\n", f"\n[{group}]\n{line}")
    texts.write_text(body)
    for language in words.LANGUAGES:
        assert "20 °C" in words.Words(language)("code.HEAT_20")
        assert "VVM" in words.Words(language)("advice.HEAT_20")


# --- a channel --------------------------------------------------------------------------------------------


def test_a_new_channel_to_people_sends(
    pieces: Any, put: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code = pieces("channel to people")
    module = put("alerts/channels/logbook.py", code["alerts/channels/logbook.py", ""])
    (row,) = rows(code["alerts/channels/__init__.py", "CHANNELS"], {"logbook": module}).items()
    monkeypatch.setitem(channels.CHANNELS, *row)
    file = "tests/alerts/channels/test_logbook.py"
    assert call_tests(put(file, code[file, ""]), tmp_path) == 2


def test_what_no_channel_of_ours_takes_goes_through_apprise(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []
    monkeypatch.setattr(channels, "apprise_send", lambda url, message: not sent.append((url, message.title)))
    assert channels.send("mailto://nurse@example.org", channels.Message("Beku", ""))
    assert sent == [("mailto://nurse@example.org", "Beku")]


class _Hook(BaseHTTPRequestHandler):
    """The other system: keeps what it gets; answers 503 while ``down``."""

    got: list[dict[str, Any]]
    down: bool

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not type(self).down:
            type(self).got.append(body)
        self.send_response(503 if type(self).down else 204)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def hook() -> Iterator[tuple[str, type[_Hook]]]:
    _Hook.got, _Hook.down = [], False
    with HTTPServer(("127.0.0.1", 0), _Hook) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/verdicts", _Hook
        server.shutdown()
        thread.join()


def test_a_new_system_gets_each_verdict_also_over_its_outage(
    pieces: Any, put: Any, hook: tuple[str, type[_Hook]], tmp_path: Path
) -> None:
    import datetime

    import httpx

    bulletin = put("gateway/bulletin.py", pieces("channel to another system")["gateway/bulletin.py", ""])
    url, other = hook
    config = bulletin.Config(url, tmp_path / "place")
    sari, alerting = Actor("Sari", Role.MANAGER), Actor.system("alerts")
    with open_records(str(tmp_path / "records.db")) as records, httpx.Client() as http:
        records.upsert_site(Site("S1", "Abepura", "kab-a", "Asia/Jayapura", "1", "puskesmas"), sari, "new", T0)
        day = datetime.date(2027, 11, 30)
        records.upsert_batch(Batch("B1", "S1", "93005477", "HepB", "PB2411A", day, 40), alerting, "new", T0)
        records.save_verdicts([Verdict("", "B1", "hold_and_inspect", ["unknown_exposure"], [], T0)], T0)
        other.down = True
        with pytest.raises(NeighbourDownError, match="bulletin"):
            bulletin.hand_over(config, records, http)
        other.down = False
        assert bulletin.hand_over(config, records, http) == 1
        records.decide("B1", "released", sari, "the VVM is good", T0 + 1)
        assert bulletin.hand_over(config, records, http) == 1
        assert bulletin.hand_over(config, records, http) == 0
    assert [(b["action"], b["verdict"]["batch"]) for b in other.got] == [
        ("verdict_proposed", "B1"),
        ("batch_released", "B1"),
    ]


def test_a_new_system_is_a_command(
    pieces: Any, put: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = pieces("channel to another system")
    put("smile_iot/run_bulletin.py", code["smile_iot/run_bulletin.py", ""])
    (row,) = rows(code["smile_iot/__main__.py", "COMMANDS"], {}).items()
    monkeypatch.setitem(command_line.COMMANDS, *row)
    with pytest.raises(SystemExit) as ended:
        command_line.main(["bulletin", "--help"])
    assert ended.value.code == 0
    assert "--url" in capsys.readouterr().out
