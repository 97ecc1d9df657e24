"""A throwaway PostgreSQL and the journals that the contract suite runs over."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from benchmarks.simulation.models import MemoryJournal
from gateway.journal import Journal, SqliteJournal
from gateway.journal.postgres import PostgresJournal


def _binary(name: str) -> str | None:
    folders = [str(p) for p in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    return shutil.which(name, path=os.pathsep.join([*folders, os.environ.get("PATH", "")]))


def _as_user(command: list[str]) -> list[str]:
    """initdb and postgres refuse to run as root."""
    return ["runuser", "-u", "postgres", "--", *command] if os.geteuid() == 0 else command


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    initdb, postgres = _binary("initdb"), _binary("postgres")
    if initdb is None or postgres is None:
        pytest.fail("PostgreSQL is missing: apt-get install -y --no-install-recommends postgresql")
    folder = Path(tempfile.mkdtemp(prefix="smile-iot-pg-"))
    folder.chmod(0o777)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    subprocess.run(
        _as_user([initdb, "-D", f"{folder}/data", "-A", "trust", "-U", "smile", "--no-sync"]),
        check=True,
        capture_output=True,
    )
    settings = [f"listen_addresses=127.0.0.1", f"port={port}", f"unix_socket_directories={folder}"]  # noqa: F541
    command = [postgres, "-D", f"{folder}/data", *(part for s in settings for part in ("-c", s))]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(_as_user(command), stdout=log, stderr=log)
    url = f"postgresql://smile@127.0.0.1:{port}/postgres"
    try:
        _wait(url, folder / "log")
        yield url
    finally:
        server.terminate()
        server.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(url: str, log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(url, connect_timeout=10).close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise AssertionError(f"PostgreSQL did not start: {log.read_text()}") from None
            time.sleep(0.1)


@pytest.fixture
def database(postgres_url: str) -> Iterator[str]:
    """The URL of a new, empty database."""
    name = f"j{uuid.uuid4().hex}"
    with psycopg.connect(postgres_url, autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name}")
    yield postgres_url.rsplit("/", 1)[0] + f"/{name}"
    with psycopg.connect(postgres_url, autocommit=True) as db:
        db.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgres", "simulated"])
def open_again(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Journal]]:
    """Opens the same journal again and again, as other processes and restarts do."""
    opened: list[Journal] = []
    url = request.getfixturevalue("database") if request.param == "postgres" else ""

    in_memory = MemoryJournal()

    def opener() -> Journal:
        if request.param == "simulated":  # what the deterministic simulation runs on
            return in_memory
        journal: Journal = PostgresJournal(url) if url else SqliteJournal(tmp_path / "journal.db")
        opened.append(journal)
        return journal

    yield opener
    for journal in opened:
        journal.close()


@pytest.fixture
def journal(open_again: Callable[[], Journal]) -> Journal:
    return open_again()
