"""``smile-iot edge enrol`` against ``smile-iot api`` over HTTPS, both as processes: pins, files, lost answers, refusals."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge.config import load
from gateway.records import Actor, EdgeState, Records, Role, Site, open_records
from smile_iot import edge_enrol
from smile_iot.edge_enrol import EnrolRefusedError, enrol, granted_of
from smile_iot.processes import Program, free_port, wait_port
from smile_iot.settings import to_toml
from telemetry.enrolment import Invitation, read_line
from telemetry.errors import ConfigError, NeighbourDownError

T0 = 1_790_000_000_000
BOSS = Actor("Boss", Role.SUPER_ADMIN)
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith("SMILE_IOT")}


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def make_certificates(folder: Path) -> None:
    """A CA with a certificate for localhost, and another CA that nobody should trust."""
    for name in ("ca", "other"):
        openssl(
            folder,
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"),
            *("-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem"),
        )
    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost")
    openssl(folder, *new, "-keyout", "server.key", "-out", "request")
    (folder / "names").write_text("subjectAltName=DNS:localhost")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30", "-extfile", "names")
    openssl(folder, "x509", "-req", "-in", "request", *signed, "-out", "server.pem")


@dataclass
class Server:
    """The api as a process, with its records."""

    folder: Path
    records: Records
    config: Path
    port: int
    pis: int = field(default=0)

    def cli(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "smile_iot", *words]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, env=CLEAN)

    def invite(self, edge: str) -> Invitation:
        """By the command, as it is printed."""
        words = ("--site", "S1", "--edge", edge, "--reason", "test", "--config", str(self.config))
        done = self.cli("gateway", "invite", *words)
        assert done.returncode == 0, done.stderr
        (line,) = [text.strip() for text in done.stdout.splitlines() if "smile-iot-enrol:" in text]
        return read_line(line)

    def pi(self) -> Path:
        self.pis += 1
        return self.folder / f"pi-{self.pis}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    make_certificates(folder)
    (folder / "base").write_text("ingest:hash\n")
    (folder / "base_acl").write_text("user ingest\n")
    config = folder / "server.toml"
    values: dict[str, str | int | float | bool] = {
        "server.data_dir": str(folder / "data"),
        "api.port": port,
        "api.public_url": f"https://localhost:{port}",
        "api.cert_file": str(folder / "server.pem"),
        "api.key_file": str(folder / "server.key"),
        "enrol.broker_host": "broker.example",
        "enrol.broker_ca_file": str(folder / "ca.pem"),
        "enrol.server_ca_file": str(folder / "ca.pem"),
        "broker.passwords_file": str(folder / "passwords"),
        "broker.acl_file": str(folder / "acl"),
        "broker.base_passwords_file": str(folder / "base"),
        "broker.base_acl_file": str(folder / "base_acl"),
    }
    config.write_text(to_toml(values))
    (folder / "data").mkdir()
    with open_records(folder / "data" / "records.db") as records:
        records.upsert_site(Site("S1", "x", "kab", "Asia/Jakarta", "s0", "puskesmas"), BOSS, "", T0)
        api = Program("api", [sys.executable, "-m", "smile_iot", "api", "--config", str(config)], folder)
        api.start()
        try:
            wait_port(port, "api")
            yield Server(folder, records, config, port)
        finally:
            api.stop()


def test_a_pi_is_enrolled_by_the_line_that_the_server_printed(server: Server) -> None:
    folder = server.pi()
    done = server.cli("edge", "enrol", "--line", server.invite("E1").line, "--config", str(folder))
    assert done.returncode == 0, done.stderr
    edge = server.records.find_edge("S1", "E1")
    assert edge is not None
    assert edge.state == EdgeState.ENROLLED
    assert edge.upload_key is not None
    assert (folder / "upload.key").read_text() == edge.upload_key.hex() + "\n"
    assert (folder / "ca.pem").read_text().strip() == (server.folder / "ca.pem").read_text().strip()
    assert f"S1.E1:{edge.password_hash}\n" in (server.folder / "passwords").read_text()
    assert {p.name for p in folder.iterdir()} == {"password", "upload.key", "ca.pem", "edge.toml"}
    assert {stat.S_IMODE(p.stat().st_mode) for p in folder.iterdir()} == {0o600}
    word = (folder / "password").read_text().strip()
    assert word not in done.stdout + done.stderr
    assert edge.upload_key.hex() not in done.stdout + done.stderr
    config = load(folder / "edge.toml")
    assert (config.edge.id, config.edge.site, config.edge.shard) == ("E1", "S1", "s0")
    mqtt = config.mqtt
    assert (mqtt.host, mqtt.port, mqtt.tls, mqtt.username) == ("broker.example", 8883, True, "S1.E1")
    assert (mqtt.password_file, mqtt.upload_key_file) == (str(folder / "password"), str(folder / "upload.key"))
    assert mqtt.ca_file == str(folder / "ca.pem")


def test_a_code_may_be_typed_in_so_that_no_history_has_it(server: Server) -> None:
    asked = server.invite("E2")
    words = ("--server", asked.server, "--pin", asked.pin.lower(), "--config", str(server.pi()))
    done = server.cli("edge", "enrol", *words, stdin=asked.code.lower() + "\n")
    assert done.returncode == 0, done.stderr


def test_the_same_pi_may_repeat_its_code_and_its_settings_are_left_alone(server: Server) -> None:
    asked, folder = server.invite("E3"), server.pi()
    assert server.cli("edge", "enrol", "--line", asked.line, "--config", str(folder)).returncode == 0
    word, key = (folder / "password").read_text(), (folder / "upload.key").read_text()
    with (folder / "edge.toml").open("a") as file:
        file.write("# my devices\n")
    again = server.cli("edge", "enrol", "--line", asked.line, "--config", str(folder))
    assert again.returncode == 0, again.stderr
    assert (folder / "upload.key").read_text() == key
    assert (folder / "password").read_text() != word
    assert (folder / "edge.toml").read_text().endswith("# my devices\n")
    assert load(folder / "edge.enrolled.toml").edge.id == "E3"
    assert f"[mqtt] of {folder / 'edge.enrolled.toml'} differ" in again.stdout


def test_who_invites_an_edge_again_is_told_to_say_why(server: Server) -> None:
    server.invite("E7")
    done = server.cli("gateway", "invite", "--site", "S1", "--edge", "E7", "--config", str(server.config))
    assert (done.returncode, done.stdout) == (2, "")
    assert "--reason: E7 was invited before" in done.stderr


def test_another_machine_gets_nothing_with_a_used_code(server: Server) -> None:
    asked = server.invite("E4")
    enrol(asked, "machine-one")
    with pytest.raises(EnrolRefusedError) as refused:
        enrol(asked, "machine-two")
    assert refused.value.reason == "CODE_USED"


def test_a_server_that_does_not_show_the_pinned_ca_never_gets_the_code(server: Server) -> None:
    """Somebody in the middle has another CA, or none that the pin names."""
    asked = server.invite("E5")
    signs = asked.pin.replace("-", "")
    other = ("0" if signs[0] != "0" else "1") + signs[1:]
    with pytest.raises(EnrolRefusedError) as refused:
        enrol(Invitation(asked.server, asked.code, other), "machine")
    assert refused.value.reason == "pin"
    edge = server.records.find_edge("S1", "E5")
    assert edge is not None
    assert edge.state == EdgeState.INVITED


def test_without_a_pin_only_the_systems_authorities_are_trusted(server: Server) -> None:
    asked = server.invite("E6")
    with pytest.raises(NeighbourDownError, match="not to be trusted"):
        enrol(Invitation(asked.server, asked.code), "machine")
    edge = server.records.find_edge("S1", "E6")
    assert edge is not None
    assert edge.state == EdgeState.INVITED


def test_a_certificate_for_another_name_is_refused_although_the_pin_fits(server: Server) -> None:
    asked = server.invite("E7")
    by_number = asked.server.replace("localhost", "127.0.0.1")
    with pytest.raises(NeighbourDownError, match="not to be trusted"):
        enrol(Invitation(by_number, asked.code, asked.pin), "machine")


@pytest.mark.parametrize("address", ["http://iot.example.org", "http://192.0.2.7:8080", "http://localhost.example"])
def test_plain_http_leaves_this_machine_never(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_enrol, "_ask", lambda *_: pytest.fail("it asked"))
    with pytest.raises(ConfigError, match="plain http"):
        enrol(Invitation(address, "code"), "machine")


@pytest.mark.parametrize("address", ["ftp://x", "https://", "://"])
def test_what_is_no_address_is_said(address: str) -> None:
    with pytest.raises(ConfigError):
        enrol(Invitation(address, "code"), "machine")


def test_a_revoked_edge_cannot_come_back_with_its_code_or_a_new_machine(server: Server) -> None:
    asked = server.invite("E8")
    enrol(asked, "machine")
    words = ("--site", "S1", "--edge", "E8", "--reason", "stolen", "--config", str(server.config))
    done = server.cli("gateway", "revoke", *words)
    assert done.returncode == 0, done.stderr
    for machine in ("machine", "another"):
        with pytest.raises(EnrolRefusedError) as refused:
            enrol(asked, machine)
        assert refused.value.reason == "CODE_REFUSED"
    listed = server.cli("gateway", "edges", "--config", str(server.config)).stdout
    assert "revoked" in next(line for line in listed.splitlines() if " E8 " in line)


def test_a_server_that_does_not_answer_is_said_and_the_code_is_still_good(server: Server) -> None:
    asked = server.invite("E9")
    with pytest.raises(NeighbourDownError):
        enrol(Invitation(f"https://localhost:{free_port()}", asked.code, asked.pin), "machine")
    assert enrol(asked, "machine").address.edge == "E9"


GOOD = {
    "shard": "s0",
    "site": "S1",
    "edge": "E1",
    "upload_key": "00" * 32,
    "mqtt": {"host": "h", "port": 1, "tls": True, "ca": "", "username": "u", "password": "p"},
}


@pytest.mark.parametrize(
    "change",
    [
        {"site": "S1/+"},
        {"edge": 'E1"\n[mqtt]\ntls = false'},
        {"upload_key": "00"},
        {"upload_key": "zz" * 32},
        {"mqtt": GOOD["mqtt"] | {"host": 'h"\ntls = false'}},  # type: ignore[operator]
        {"mqtt": GOOD["mqtt"] | {"password": ""}},  # type: ignore[operator]
        {"mqtt": None},
    ],
)
def test_an_answer_that_would_spoil_the_settings_is_refused(change: dict[str, object]) -> None:
    assert granted_of(GOOD).address.site == "S1"
    with pytest.raises(NeighbourDownError):
        granted_of(GOOD | change)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError):
        edge_enrol.write_files(tmp_path / "file" / "etc", granted_of(GOOD), "outbox.db")


def test_files_belong_to_the_owner_of_their_folder(tmp_path: Path) -> None:
    """``sudo smile-iot edge enrol`` writes, the agent's user reads."""
    folder = tmp_path / "etc"
    folder.mkdir()
    if os.geteuid() == 0:  # nobody else can give a file away
        shutil.chown(folder, "nobody")
    written = edge_enrol.write_files(folder, granted_of(GOOD), "outbox.db")
    assert {p.stat().st_uid for p in written} == {folder.stat().st_uid}
