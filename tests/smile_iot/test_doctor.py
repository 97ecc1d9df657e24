"""``smile-iot doctor`` against real neighbours: Mosquitto, PostgreSQL's absence, D-Bus with and without BlueZ, ports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from gateway.journal import SqliteJournal
from smile_iot import doctor, doctor_edge, doctor_looks, doctor_server
from smile_iot.__main__ import main
from smile_iot.demo.mosquitto import Mosquitto
from smile_iot.doctor import MARKS, Finding, Sign, as_text
from smile_iot.processes import Program, free_port
from smile_iot.service import alive_file
from smile_iot.settings import Value, load_settings, to_toml
from telemetry.readings import Sync

NOW = 1_790_000_000_000


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    if Mosquitto.binary() is None:
        pytest.fail("Mosquitto is missing: apt-get install -y --no-install-recommends mosquitto")
    broker = Mosquitto(tmp_path_factory.mktemp("broker"), {"E1": ("s0", "PKM-0001")})
    broker.start()
    yield broker
    assert broker.program is not None
    broker.program.stop()


@pytest.fixture
def server(tmp_path: Path, broker: Mosquitto) -> dict[str, Value]:
    return {
        "server.data_dir": str(tmp_path / "data"),
        "mqtt.port": broker.port,
        "mqtt.password_file": str(broker.password_files["ingest"]),
    }


def written(folder: Path, values: dict[str, Value]) -> Path:
    path = folder / "server.toml"
    path.write_text(to_toml(values))
    return path


def by_subject(findings: list[Finding]) -> dict[str, Finding]:
    return {f.subject: f for f in findings}


# --- the words ----------------------------------------------------------------------------------------------


def test_each_line_has_a_sign_and_its_word_and_what_to_do() -> None:
    findings = [
        Finding("Python", Sign.OK, "3.11.7"),
        Finding("clock", Sign.WARNING, "wrong", "set it"),
        Finding("broker", Sign.MISSING, "dead", "start it"),
    ]
    assert as_text(findings).splitlines() == [
        "✓ ok       Python  3.11.7",
        "! warning  clock   wrong",
        "           to do   set it",
        "✗ missing  broker  dead",
        "           to do   start it",
        "",
        "1 ok, 1 warning, 1 missing",
    ]
    assert not any(mark in as_text(findings, marks=False) for mark in MARKS.values())


def test_a_terminal_that_knows_no_signs_gets_the_words(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "SMILE_IOT_SERVER_DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "smile_iot", "doctor", "--alive", "ingest"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1
    assert done.stdout.startswith("missing  service ingest")


# --- sign of life -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("age_s", "code"), [(0, 0), (25, 0), (29, 0), (40, 1), (86_400, 1)])
def test_alive_only_when_the_sign_of_life_is_young(tmp_path: Path, age_s: int, code: int) -> None:
    file = alive_file(tmp_path, "api")
    file.touch()
    at_s = file.stat().st_mtime - age_s
    os.utime(file, (at_s, at_s))
    config = written(tmp_path, {"server.data_dir": str(tmp_path)})
    assert main(["doctor", "--config", str(config), "--alive", "api"]) == code


def test_a_service_that_never_ran_is_not_alive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alive_file(tmp_path, "api").touch()
    config = written(tmp_path, {"server.data_dir": str(tmp_path)})
    assert main(["doctor", "--config", str(config), "--alive", "ingest"]) == 1
    assert "start it: smile-iot ingest" in capsys.readouterr().out


def test_an_edge_shows_life_beside_its_outbox(tmp_path: Path) -> None:
    edge = tmp_path / "edge.toml"
    edge.write_text(f'[edge]\nid = "E1"\nsite = "S"\noutbox = "{tmp_path}/deep/outbox.db"\n')
    (tmp_path / "deep").mkdir()
    alive_file(tmp_path / "deep", "edge").touch()
    assert main(["doctor", "--edge", str(edge), "--alive", "edge"]) == 0


# --- a server -----------------------------------------------------------------------------------------------


def test_a_healthy_server_has_nothing_missing(
    tmp_path: Path, server: dict[str, Value], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--config", str(written(tmp_path, server))]) == 0
    said = capsys.readouterr().out
    assert "lets 'ingest' in" in said
    assert "not set up: nothing is sent" in said
    assert ", 0 missing" in said
    assert sorted(p.name for p in (tmp_path / "data").iterdir()) == []  # it looked, and left nothing behind


def test_a_wrong_password_is_told_apart_from_a_dead_broker(tmp_path: Path, server: dict[str, Value]) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong\n")
    refused = doctor_server.broker(load_settings(written(tmp_path, server | {"mqtt.password_file": str(wrong)}), {}))
    assert by_subject(refused)["broker"].sign is Sign.MISSING
    assert "refused 'ingest': Not authorized" in by_subject(refused)["broker"].said
    dead = doctor_server.broker(load_settings(written(tmp_path, server | {"mqtt.port": free_port()}), {}))
    assert "Connection refused" in by_subject(dead)["broker"].said


def test_a_setting_at_fault_does_not_hide_the_other_looks(tmp_path: Path, server: dict[str, Value]) -> None:
    server |= {"mqtt.password_file": str(tmp_path / "gone"), "store.kind": "paper"}
    found = by_subject(doctor_server.look(load_settings(written(tmp_path, server), {}), NOW))
    assert "cannot read" in found["broker"].said
    assert "neither sqlite nor influx" in found["time series"].said
    assert found["records"].sign is found["journal"].sign is Sign.OK


def test_a_listener_that_is_no_broker_is_said_within_seconds(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        account = doctor_looks.Account("127.0.0.1", http.server_address[1], "x", "y", tls=False)
        (found,) = doctor_looks.broker(account, timeout_s=0.5)
        http.shutdown()
    assert found.sign is Sign.MISSING


def test_databases_answer_or_are_told_to_be_dead(tmp_path: Path) -> None:
    with closing(SqliteJournal(tmp_path / "journal.db")):
        pass
    assert doctor_server.database("journal", str(tmp_path / "journal.db")).sign is Sign.OK
    (tmp_path / "spoiled.db").write_bytes(b"not a database" * 100)
    spoiled = doctor_server.database("journal", f"sqlite:///{tmp_path}/spoiled.db")
    assert (spoiled.sign, "not a database" in spoiled.said) == (Sign.MISSING, True)
    url = f"postgresql+psycopg://smile:secret@127.0.0.1:{free_port()}/smile"
    dead = doctor_server.database("records", url)
    assert dead.sign is Sign.MISSING
    assert "secret" not in dead.said + dead.todo


def test_an_influx_that_is_not_there_is_missing(tmp_path: Path, server: dict[str, Value]) -> None:
    server |= {"store.kind": "influx", "store.influx_url": f"http://127.0.0.1:{free_port()}"}
    found = by_subject(doctor_server.look(load_settings(written(tmp_path, server), {}), NOW))
    assert found["time series"].sign is Sign.MISSING


class Smile(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(503 if self.path == "/down" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def test_smile_is_reachable_when_it_answers_anything_but_trouble(tmp_path: Path, server: dict[str, Value]) -> None:
    password = tmp_path / "smile.password"
    password.write_text("x")
    with ThreadingHTTPServer(("127.0.0.1", 0), Smile) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{http.server_address[1]}"
        server |= {
            "smile.core_url": address,
            "smile.main_url": f"{address}/down",
            "smile.wms_url": f"http://127.0.0.1:{free_port()}",
            "smile.password_file": str(password),
        }
        found = by_subject(doctor_server.smile(load_settings(written(tmp_path, server), {})))
        http.shutdown()
    assert [found[f"SMILE {k}_url"].sign for k in ("core", "main", "wms")] == [Sign.OK, Sign.WARNING, Sign.MISSING]
    assert "SMILE account" not in found


@pytest.mark.parametrize(
    ("free_mb", "sign"), [(0, Sign.MISSING), (199, Sign.MISSING), (200, Sign.WARNING), (1000, Sign.OK)]
)
def test_what_the_free_space_means(free_mb: int, sign: Sign) -> None:
    assert doctor_looks.space(free_mb).sign is sign


def test_a_folder_that_cannot_be_written_is_missing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (found,) = doctor_looks.data_folder(tmp_path / "file" / "data")
    assert found.sign is Sign.MISSING
    assert "chown" in found.todo


def test_an_unsynced_clock_is_a_warning_and_no_fault() -> None:
    """devices.md 7: undated readings wait for an anchor; the machine can work meanwhile."""
    assert doctor_looks.clock(Sync.UNSYNCED, None).sign is Sign.WARNING
    assert doctor_looks.clock(Sync.SYNCED, 12) == Finding("clock", Sign.OK, "synchronised, at most 12 ms off")


def test_a_missing_package_names_the_lock_that_brings_it() -> None:
    found = by_subject(doctor_looks.python(("json", "no_such_package_at_all"), "edge"))["Python packages"]
    assert (found.sign, found.said) == (Sign.MISSING, "without no_such_package_at_all")
    assert "requirements/edge.lock" in found.todo


# --- an edge ------------------------------------------------------------------------------------------------


@pytest.fixture
def edge_toml(tmp_path: Path, broker: Mosquitto) -> Path:
    file = tmp_path / "edge.toml"
    (tmp_path / "ttyUSB0").write_text("")
    file.write_text(
        f'[edge]\nid = "E1"\nsite = "PKM-0001"\noutbox = "{tmp_path}/var/outbox.db"\n'
        f'[mqtt]\nport = {broker.port}\nusername = "E1"\npassword_file = "{broker.password_files["E1"]}"\n'
        '[[device]]\nserial = "LOG-1"\ndriver = "bthome"\naddress = "A4:C1:38:00:00:01"\n'
        f'[[device]]\nserial = "SC-1"\ndriver = "scale_ascii"\nport = "{tmp_path}/ttyUSB0"\n'
        f'[[device]]\nserial = "SC-2"\ndriver = "scale_ascii"\nport = "{tmp_path}/gone"\n'
        f'[[device]]\nserial = "SC-3"\ndriver = "mt_sics"\nport = "socket://127.0.0.1:{broker.port}"\n'
        f'[[device]]\nserial = "SC-4"\ndriver = "mt_sics"\nport = "socket://127.0.0.1:{free_port()}"\n'
    )
    return file


def test_an_edge_with_bluez_has_all_but_the_cable(
    tmp_path: Path, edge_toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BlueZ as the simulator serves it on a bus of its own; one scale unplugged, one named by a number that moves."""
    plan = {
        "seed": 1,
        "clock": {"t0_ms": NOW, "m0_ns": None, "speed": 1},
        "end_s": 1000,
        "equipment": [{"id": "f", "setpoint_c": 4.5, "ambient_c": 30}],
        "devices": [
            {"serial": "LOG-1", "kind": "bthome", "address": "A4:C1:38:00:00:01", "equipment": "f", "interval_s": 900}
        ],
    }
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    words = ["-m", "firmware_sim", "--plan", str(tmp_path / "plan.json"), "--out", str(tmp_path / "sim")]
    (tmp_path / "sim").mkdir()
    simulator = Program("sim", [sys.executable, *words], tmp_path)
    simulator.start()
    try:
        for key, value in simulator.wait_ready()["env"].items():
            monkeypatch.setenv(key, str(value))
        found = by_subject(doctor_edge.look(edge_toml, NOW))
    finally:
        simulator.stop()
    assert found["Bluetooth"] == Finding("Bluetooth", Sign.OK, "BlueZ with hci0, powered")
    assert found["broker"].sign is Sign.OK
    signs = {name: found[f"port of {name}"].sign for name in ("SC-1", "SC-2", "SC-3", "SC-4")}
    assert signs == {"SC-1": Sign.WARNING, "SC-2": Sign.MISSING, "SC-3": Sign.OK, "SC-4": Sign.MISSING}
    assert "by-id" in found["port of SC-1"].todo


def test_a_bus_without_bluez_and_no_bus_are_told_apart(
    tmp_path: Path, edge_toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = doctor_edge.load(edge_toml)
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/bus")
    (no_bus,) = doctor_edge.bluetooth(config)
    assert no_bus.subject == "D-Bus"
    bus_file = tmp_path / "bus.conf"
    bus_file.write_text(
        f"<busconfig><type>session</type><listen>unix:path={tmp_path}/bus</listen><auth>EXTERNAL</auth>"
        '<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>'
        '<allow own="*"/></policy></busconfig>'
    )
    daemon = subprocess.Popen(
        ["dbus-daemon", f"--config-file={bus_file}", "--nofork", "--print-address"], stdout=subprocess.PIPE
    )
    try:
        assert daemon.stdout is not None
        daemon.stdout.readline()
        (no_bluez,) = doctor_edge.bluetooth(config)
    finally:
        daemon.terminate()
        daemon.communicate()
    assert (no_bluez.subject, no_bluez.sign) == ("BlueZ", Sign.MISSING)


@pytest.mark.parametrize(
    ("adapters", "wanted", "sign", "words"),
    [
        ({"hci0": True}, "", Sign.OK, "hci0, powered"),
        ({"hci0": False}, "", Sign.MISSING, "hci0 is off"),
        ({}, "", Sign.MISSING, "no adapter"),
        ({"hci0": True}, "hci1", Sign.MISSING, "no adapter hci1 (there are hci0)"),
    ],
)
def test_the_adapter_must_be_there_and_powered(
    adapters: dict[str, bool], wanted: str, sign: Sign, words: str
) -> None:
    found = doctor_edge._adapter(adapters, wanted)
    assert (found.sign, words in found.said) == (sign, True)


def test_an_edge_without_radio_devices_needs_no_bluetooth(tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    file.write_text('[edge]\nid = "E1"\nsite = "S"\n')
    assert doctor_edge.bluetooth(doctor_edge.load(file)) == []


def test_a_mistake_in_the_edges_file_is_a_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "edge.toml"
    file.write_text('[edge]\nid = "E1"\n')
    assert main(["doctor", "--edge", str(file)]) == 1
    assert "edge.site: is required" in capsys.readouterr().out


def test_the_doctor_can_run_where_only_the_edge_is_installed() -> None:
    """design.md: the edge loads no server dependency; nor does its doctor."""
    code = (
        "import sys, smile_iot.doctor_edge; "
        "print([m for m in ('sqlalchemy', 'fastapi', 'influxdb_client', 'httpx', 'psycopg') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"
    assert doctor.ALIVE_MAX_AGE_S == 30
