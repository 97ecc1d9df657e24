"""Every command and health check of docker-compose.yml, run for real; and a reading all the way through it.

Mosquitto with the deployed configuration and TLS, PostgreSQL with password, InfluxDB (Debian's 1.6.7 behind a rewrite in
place of 2.7) and our four services, each started by the command its container has.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

OURS = ("ingest", "alerts", "smile", "api")
pytestmark = pytest.mark.timeout(600)
# Health checks of images that cannot run here; deploy/README.md says so.
NOT_RUN_HERE = {
    "influxdb": ["CMD", "influx", "ping"],
    "grafana": ["CMD-SHELL", "wget -q -O /dev/null http://127.0.0.1:3000/api/health"],
}

SITE = """
[[site]]
id = "PKM-1"
name = "Puskesmas Satu"
region = "kota-jayapura"
zone = "Asia/Jayapura"
shard = "s0"
level = "puskesmas"

[[equipment]]
id = "PKM-1.KUL-1"
site = "PKM-1"
name = "Kulkas vaksin 1"
kind = "refrigerator"
profile = "refrigerator"

[[device]]
serial = "LOG-1"
site = "PKM-1"
edge = "import"
driver = "file"
equipment = "PKM-1.KUL-1"
interval_s = 60
"""


@pytest.fixture(scope="module")
def running(deployed: Any, wait_for: Any) -> Any:
    """All four services up. Before that, each health check must say no."""
    for service in OURS:
        assert not deployed.healthy(service), f"{service} is called healthy before it runs"
    (deployed.copy.folder / "site.toml").write_text(SITE)
    loaded = deployed.smile_iot("gateway", "load", str(deployed.copy.folder / "site.toml"))
    assert loaded.returncode == 0, loaded.stderr
    for service in OURS:
        deployed.start(service)
    for service in OURS:
        program = deployed.running[service]
        wait_for(lambda s=service: deployed.healthy(s), f"{service} is healthy:\n{program.tail()}")
    deployed.broker.wait()  # it had waited for its accounts, which api wrote
    return deployed


def test_each_service_runs_by_its_containers_command_and_is_healthy(running: Any) -> None:
    for service in OURS:
        assert running.running[service].alive, running.running[service].tail()
        assert "Traceback" not in running.running[service].said()


@pytest.mark.parametrize("service", OURS)
def test_a_service_that_hangs_is_called_unhealthy(running: Any, service: str) -> None:
    """A loop that turns no more touches its sign of life no more."""
    process = running.running[service].process
    process.send_signal(signal.SIGSTOP)  # it hangs, and is not dead
    file = running.data / f"{service}.alive"
    was = file.stat().st_mtime
    try:
        os.utime(file, (was - 60, was - 60))
        assert not running.healthy(service)
    finally:
        os.utime(file, (was, was))
        process.send_signal(signal.SIGCONT)


def test_the_pages_answer(running: Any) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{running.api_port}/health/live", timeout=10) as answer:
        assert answer.status == 200


def test_doctor_finds_nothing_missing_on_the_deployed_server(running: Any) -> None:
    looked = running.smile_iot("doctor")
    assert looked.returncode == 0, looked.stdout
    for words in ("lets 'ingest' in", "records", "PostgreSQL at 127.0.0.1", "InfluxDB at", "service api"):
        assert words in looked.stdout


def test_a_reading_goes_through_tls_postgresql_and_influx(running: Any, wait_for: Any) -> None:
    """From a file, by the import account, over TLS into the journal in PostgreSQL, and from there into InfluxDB."""
    begin = datetime.now(UTC).replace(tzinfo=None, microsecond=0) - timedelta(hours=2)  # noqa: TID251
    rows = [f"{(begin + timedelta(minutes=i)).isoformat()}Z,{4 + i / 100:.2f}" for i in range(60)]
    file = running.copy.folder / "export.csv"
    file.write_text("time,temperature_c\n" + "\n".join(rows) + "\n")
    sent = running.smile_iot("import", str(file), "--equipment", "PKM-1.KUL-1", "--serial", "LOG-1")
    assert sent.returncode == 0, sent.stdout + sent.stderr
    assert "60 readings are in the journal, 0 in quarantine, 0 without receipt" in sent.stdout
    # Its file follows the journal within half a second.
    wait_for(lambda: json.loads(running.smile_iot("ledger", "--json").stdout), "a line in the ledger")
    (line,) = json.loads(running.smile_iot("ledger", "--json").stdout)
    assert (line["site"], line["edge"], line["received"], line["missing"]) == ("PKM-1", "import", 60, 0)
    password = (running.copy.secrets / "postgres_password").read_text().strip()
    place = f"postgresql://smile@127.0.0.1:{running.postgres.port}/smile"
    with psycopg.connect(place, password=password) as connection:
        kinds = [r[0] for r in connection.execute("SELECT DISTINCT kind FROM journal").fetchall()]
        assert "readings" in kinds
        assert connection.execute("SELECT count(*) FROM devices").fetchone() == (1,)

    from ingest.store.influx import InfluxStore

    store = InfluxStore(running.influx.url, "smile-iot", "smile_iot", running.influx.token, index_path=None)
    wait_for(lambda: store.count("LOG-1/temperature_c") == 60, "all readings are in InfluxDB")
    store.close()


def test_nothing_is_written_outside_the_data_folder(running: Any) -> None:
    """The containers' root is read-only: what a service writes lies under data_dir."""
    for service in OURS:
        pid = running.running[service].process.pid
        opened = {os.readlink(p) for p in Path(f"/proc/{pid}/fd").iterdir() if p.is_symlink() and p.exists()}
        files = {f for f in opened if f.startswith("/") and not f.startswith("/dev/")}
        allowed = (str(running.data), str(running.copy.folder / "logs"), str(running.broker.accounts))
        assert not [
            f for f in files if not f.startswith(allowed) and os.access(f, os.W_OK) and _open_for_writing(pid, f)
        ]


def _open_for_writing(pid: int, file: str) -> bool:
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if os.readlink(link) == file:
                flags = Path(f"/proc/{pid}/fdinfo/{link.name}").read_text()
                return int(re.findall(r"flags:\s+(\d+)", flags)[0], 8) & 3 != 0
        except OSError:
            continue
    return False


def test_the_brokers_health_check_sees_whether_it_listens(running: Any, deployed: Any) -> None:
    kind, script = deployed.compose["services"]["mosquitto"]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    assert f"{8883:04X}" == "22B3"
    here = script.replace("22B3", f"{deployed.broker.port:04X}")
    assert here != script
    assert subprocess.run(["sh", "-c", here], check=False).returncode == 0
    nobody = script.replace("22B3", "0001")
    assert subprocess.run(["sh", "-c", nobody], check=False).returncode == 1


def test_the_databases_health_check_sees_whether_it_answers(deployed: Any) -> None:
    kind, program, *words = deployed.compose["services"]["postgres"]["healthcheck"]["test"]
    assert (kind, program) == ("CMD", "pg_isready")
    at = ["-h", "127.0.0.1", "-p", str(deployed.postgres.port)]
    tool = deployed.postgres.tool("pg_isready")
    assert subprocess.run([tool, *words, *at], check=False, stdout=subprocess.DEVNULL).returncode == 0
    at[-1] = "1"
    assert subprocess.run([tool, *words, *at], check=False, stdout=subprocess.DEVNULL).returncode == 2


def test_what_is_not_run_here_is_said_so(deployed: Any) -> None:
    """Each command of the compose file is run above or named here, and in deploy/README.md."""
    services = deployed.compose["services"]
    run_above = {*OURS, "mosquitto", "postgres"}
    assert set(services) == run_above | set(NOT_RUN_HERE)
    for name, test in NOT_RUN_HERE.items():
        assert services[name]["healthcheck"]["test"] == test
    assert [name for name, s in services.items() if s.get("command") and name not in OURS] == ["mosquitto"]
    assert services["mosquitto"]["command"][0] == "/mosquitto/config/run"  # Broker.start runs it
    readme = (Path(__file__).parents[2] / "deploy/README.md").read_text()
    for test in NOT_RUN_HERE.values():
        words = test[1] if test[0] == "CMD-SHELL" else shlex.join(test[1:])
        assert words.split(" http")[0] in readme
