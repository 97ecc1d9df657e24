"""Records on both databases: each test that takes ``records`` runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from gateway.records import (
    Actor,
    Batch,
    Device,
    Equipment,
    EquipmentKind,
    Finding,
    FindingKind,
    Records,
    Role,
    Site,
    SiteLevel,
    open_records,
)

T0 = 1_790_000_000_000  # 21 Sep 2026


def _tool(name: str) -> str:
    """A PostgreSQL program: on the path, or where Debian keeps it."""
    found = shutil.which(name)
    if found:
        return found
    for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True):
        return str(path)
    pytest.fail(f"{name} is missing: apt-get install -y --no-install-recommends postgresql")


def _as_postgres(*command: str) -> list[str]:
    """initdb and postgres refuse to run as root."""
    return ["runuser", "-u", "postgres", "--", *command] if os.geteuid() == 0 else list(command)


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextmanager
def _postgres_server() -> Iterator[str]:
    """A throwaway PostgreSQL; gives the URL of its server without a database name."""
    home = Path(tempfile.mkdtemp(prefix="smile-iot-pg-"))
    data = home / "data"
    if os.geteuid() == 0:
        shutil.chown(home, "postgres", "postgres")
    port = _free_port()
    run: dict[str, Any] = {"check": True, "cwd": "/", "stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
    initdb = (_tool("initdb"), "-D", str(data), "-A", "trust", "-U", "smile", "-E", "UTF8", "--locale=C", "-N")
    subprocess.run(_as_postgres(*initdb), **run)
    settings = "-c listen_addresses=127.0.0.1 -c fsync=off -c synchronous_commit=off -c max_connections=100"
    options = f"-p {port} -k {home} {settings}"
    control = (_tool("pg_ctl"), "-D", str(data), "-w", "-l", str(home / "log"))
    subprocess.run(_as_postgres(*control, "-o", options, "start"), **run)
    try:
        yield f"postgresql://smile@127.0.0.1:{port}"
    finally:
        subprocess.run(_as_postgres(*control, "-m", "immediate", "stop"), **run)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    with _postgres_server() as url:
        yield url


def _new_database(server: str, template: str = "template0") -> str:
    name = "t" + os.urandom(6).hex()
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    return f"{server}/{name}"


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def records_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database (the whole PostgreSQL is thrown away at the end)."""
    if backend == "sqlite":
        return f"sqlite:///{tmp_path / 'records.db'}"
    return _new_database(request.getfixturevalue("postgres_server"))


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "records.db"
    with open_records(path) as records:
        _fill(records)
    return path


@pytest.fixture(scope="session")
def _postgres_template(postgres_server: str) -> str:
    url = _new_database(postgres_server)
    with open_records(url) as records:
        _fill(records)
    return url.rpartition("/")[2]


@pytest.fixture
def world_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database that holds the ``World``: a copy, since making one takes long."""
    if backend == "sqlite":
        shutil.copy(request.getfixturevalue("_sqlite_template"), tmp_path / "world.db")
        return f"sqlite:///{tmp_path / 'world.db'}"
    server, template = (request.getfixturevalue(name) for name in ("postgres_server", "_postgres_template"))
    return _new_database(server, template)


@dataclass
class World:
    """One site with a refrigerator, a second one, a logger, a scale and a batch, and the people in it."""

    records: Records
    loader: Actor = field(default_factory=lambda: Actor("Loader", Role.SUPER_ADMIN))
    sari: Actor = field(default_factory=lambda: Actor("Sari", Role.OPERATOR))
    budi: Actor = field(default_factory=lambda: Actor("Budi", Role.MANAGER))
    alerts: Actor = field(default_factory=lambda: Actor.system("alerts"))

    def finding(self, id: str = "HEAT:KUL-1:1", **fields: Any) -> Finding:  # noqa: A002
        base: dict[str, Any] = {
            "rule": "HEAT",
            "code": "HEAT",
            "kind": FindingKind.CONFIRMED,
            "site": "S1",
            "equipment": "KUL-1",
            "batch": None,
            "episode_start_ms": T0,
            "event_ms": T0 + 600 * 60_000,
            "detected_ms": T0 + 600 * 60_000,
            "end_ms": None,
            "extreme_c": Decimal("9.1"),
            "profile": "refrigerator",
            "profile_version": "1",
            "evidence": {"first": "8.1", "count": 41},
        }
        return Finding(id=id, **(base | fields))


def _fill(records: Records, site: str = "S1", suffix: str = "1") -> None:
    who, why, at = Actor("Loader", Role.SUPER_ADMIN), "", T0
    records.upsert_site(
        Site(site, f"Puskesmas {site}", "kab-a", "Asia/Jayapura", "s0", SiteLevel.PUSKESMAS), who, why, at
    )
    for number in (suffix, suffix + "b"):
        kind = EquipmentKind.REFRIGERATOR
        records.upsert_equipment(Equipment(f"KUL-{number}", site, "Kulkas", kind, "refrigerator"), who, why, at)
    records.upsert_device(Device(f"LOG-{suffix}", site, "E1", "bthome", f"KUL-{suffix}", 900), who, why, at)
    scale = Device(f"SCALE-{suffix}", site, "E1", "stus", e_kg=Decimal("0.05"), max_kg=Decimal(150))
    records.upsert_device(scale, who, why, at)
    batch = Batch(f"B{suffix}", site, "93005477", "HepB", "PB2411A", date(2027, 11, 30), 40)
    records.upsert_batch(batch, who, why, at)


@pytest.fixture
def world(world_url: str) -> Iterator[World]:
    with open_records(world_url) as records:
        yield World(records)


@pytest.fixture
def second_site() -> Callable[[Records], None]:
    return lambda records: _fill(records, "S2", "2")


@pytest.fixture
def tamper(world_url: str) -> Callable[..., None]:
    """Change the database behind our back: raw SQL with ? placeholders."""

    def run(sql: str, *values: Any) -> None:
        if world_url.startswith("sqlite"):
            import sqlite3

            connection = sqlite3.connect(world_url.removeprefix("sqlite:///"))
            connection.execute(sql, values)
            connection.commit()
            connection.close()
        else:
            with psycopg.connect(world_url) as pg:
                pg.execute(sql.replace("?", "%s"), values)

    return run


@pytest.fixture
def times() -> SimpleNamespace:
    return SimpleNamespace(t0=T0, minute=60_000, hour=3_600_000)
