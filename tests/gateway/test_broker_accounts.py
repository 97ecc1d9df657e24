"""The broker's files are a function of the records: who is enrolled, its own topics, and a hash of its password."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.broker_accounts import (
    BrokerAccounts,
    BrokerFiles,
    acl_text,
    new_password,
    password_hash,
    passwords_text,
)
from gateway.records import Actor, Edge, EdgeState, Records, Role, Site, open_records
from telemetry.errors import ConfigError, ContractError

T0 = 1_790_000_000_000
BOSS = Actor("Boss", Role.SUPER_ADMIN)


def edge(name: str, state: EdgeState = EdgeState.ENROLLED, site: str = "S1") -> Edge:
    return Edge(site, name, "s0", state, f"{site}.{name}", "Boss", T0, password_hash="$7$101$c2FsdA==$aGFzaA==")


def test_a_hash_is_what_mosquitto_passwd_writes(tmp_path: Path) -> None:
    """The real tool (2.0) makes one; ours with its salt is the same text."""
    file, word = tmp_path / "passwords", new_password()
    file.touch()
    subprocess.run(["mosquitto_passwd", "-b", str(file), "S1.E1", word], check=True, capture_output=True)
    account, _, theirs = file.read_text().strip().partition(":")
    salt = base64.b64decode(theirs.split("$")[3])
    assert account == "S1.E1"
    assert password_hash(word, salt) == theirs
    assert password_hash(word) != password_hash(word)


def test_passwords_are_random_and_long() -> None:
    assert len({new_password() for _ in range(100)}) == 100
    assert len(new_password()) >= 32


def test_only_who_is_enrolled_has_an_account_and_its_own_topics() -> None:
    all_of_them = [edge("E1"), edge("E2", EdgeState.REVOKED), edge("E3", EdgeState.INVITED)]
    assert passwords_text("ingest:x\n", all_of_them) == "ingest:x\nS1.E1:$7$101$c2FsdA==$aGFzaA==\n"
    assert acl_text("user ingest\ntopic read #\n", all_of_them) == (
        "user ingest\ntopic read #\n\n"
        "user S1.E1\ntopic write smile-iot/v1/s0/S1/E1/up/+\ntopic read smile-iot/v1/s0/S1/E1/down/+\n"
    )


@pytest.mark.parametrize("name", ["+", "#", "E1\ntopic write #", "a/b"])
def test_a_name_that_would_open_a_door_never_becomes_a_rule(name: str) -> None:
    with pytest.raises(ContractError):
        acl_text("", [edge(name)])


@dataclass
class Place:
    """Records with a site, and the broker's files."""

    records: Records
    files: BrokerFiles

    def enrol(self, name: str) -> None:
        code = self.records.invite_edge("S1", name, BOSS, "test", T0)
        self.records.enrol_edge(code.text, "pi", T0, password_hash=password_hash("word"))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "base").write_text("ingest:hash\n")
    (tmp_path / "base_acl").write_text("user ingest\n")
    files = BrokerFiles(
        passwords=tmp_path / "passwords",
        acl=tmp_path / "acl",
        base_passwords=tmp_path / "base",
        base_acl=tmp_path / "base_acl",
        pid_file=tmp_path / "pid",
    )
    with open_records(tmp_path / "records.db") as records:
        records.upsert_site(Site("S1", "x", "kab", "Asia/Jakarta", "s0", "puskesmas"), BOSS, "", T0)
        yield Place(records, files)


def test_the_files_follow_the_records_and_nothing_is_written_twice(place: Place) -> None:
    accounts = BrokerAccounts(place.files, place.records)
    assert accounts.sync()
    assert place.files.passwords.read_text() == "ingest:hash\n"
    assert not accounts.sync()
    place.enrol("E1")
    assert accounts.sync()
    assert "S1.E1:$7$" in place.files.passwords.read_text()
    assert "user S1.E1" in place.files.acl.read_text()
    assert not BrokerAccounts(place.files, place.records).sync()  # another process finds all well
    place.records.revoke_edge("S1", "E1", BOSS, "stolen", T0 + 1)
    assert accounts.sync()
    assert "S1.E1" not in place.files.passwords.read_text() + place.files.acl.read_text()
    left = {p.name for p in place.files.acl.parent.iterdir() if not p.name.startswith("records")}
    assert left == {"passwords", "acl", "base", "base_acl"}


def test_a_changed_base_file_is_taken_over(place: Place) -> None:
    accounts = BrokerAccounts(place.files, place.records)
    accounts.sync()
    place.files.base_passwords.write_text("ingest:another-hash\n")
    assert accounts.sync()
    assert place.files.passwords.read_text() == "ingest:another-hash\n"


def test_the_broker_is_told_by_its_pid_file(place: Place) -> None:
    """A real process that waits for its SIGHUP."""
    script = "trap 'exit 7' HUP; echo ready; while :; do sleep 0.05; done"
    # Under nohup SIGHUP is ignored, and a shell cannot trap what it found ignored.
    child = subprocess.Popen(
        ["sh", "-c", script], stdout=-1, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL)
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    assert place.files.pid_file is not None
    place.files.pid_file.write_text(f"{child.pid}\n")
    BrokerAccounts(place.files, place.records).sync()
    try:
        assert child.wait(60) == 7
    finally:
        if child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
        child.stdout.close()


def test_a_broker_that_does_not_run_is_no_error(place: Place) -> None:
    assert BrokerAccounts(place.files, place.records).sync()


def test_files_that_cannot_be_written_are_a_setting_to_mend(place: Place) -> None:
    place.files.base_acl.unlink()
    with pytest.raises(ConfigError, match="base_acl"):
        BrokerAccounts(place.files, place.records).sync()


def test_the_files_can_be_read_by_the_brokers_own_user_whatever_our_umask(place: Place) -> None:
    old = os.umask(0o077)
    try:
        BrokerAccounts(place.files, place.records).sync()
    finally:
        os.umask(old)
    assert {p.stat().st_mode & 0o777 for p in (place.files.passwords, place.files.acl)} == {0o644}
