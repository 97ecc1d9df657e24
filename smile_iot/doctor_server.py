"""The doctor's looks at a server: databases, store, SMILE, services."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, urlsplit

from smile_iot import doctor_looks as looks
from smile_iot.doctor import Finding, Sign, alive
from smile_iot.parts import journal_url, records_url, store_config
from smile_iot.service import alive_file
from smile_iot.settings import Settings
from telemetry.clock import kernel_sync
from telemetry.errors import ConfigError, SmileIotError

PACKAGES = (
    *("alembic", "apprise", "apscheduler", "argon2", "fastapi", "httpx", "influxdb_client", "jinja2", "numpy"),
    *("paho", "psycopg", "sqlalchemy", "uvicorn"),
)
SERVICES = ("ingest", "alerts", "smile", "api")


def look(settings: Settings, now_ms: int) -> list[Finding]:
    """Everything a server needs, in the order in which a technician would look."""
    return [
        *looks.python(PACKAGES, "server"),
        *looks.data_folder(settings.data_dir),
        looks.clock(*kernel_sync()),
        *_told("broker", lambda: broker(settings)),
        *_told("records", lambda: [database("records", records_url(settings))]),
        *_told("journal", lambda: [database("journal", journal_url(settings))]),
        *_told("time series", lambda: store(settings)),
        *_told("SMILE", lambda: smile(settings)),
        *services(settings.data_dir, now_ms),
    ]


def _told(subject: str, look_at: Callable[[], list[Finding]]) -> list[Finding]:
    """A setting or neighbour at fault is a finding like any other: the looks after it still happen."""
    try:
        return look_at()
    except ConfigError as error:
        return [Finding(subject, Sign.MISSING, error.message, error.advice or "smile-iot settings lists them all")]
    except SmileIotError as error:
        return [Finding(subject, Sign.MISSING, error.message, error.advice)]


def broker(settings: Settings) -> list[Finding]:
    host, ca_file = settings.text("mqtt.host"), settings.text("mqtt.ca_file")
    here = []
    if host in looks.LOOPBACK:
        here = [looks.program("mosquitto", "mosquitto", "the broker should run on this machine")]
    if ca_file and not Path(ca_file).is_file():
        return [*here, Finding("broker", Sign.MISSING, f"{ca_file} is not there", "copy the CA certificate there")]
    account = looks.Account(
        host,
        settings.number("mqtt.port"),
        settings.text("mqtt.username"),
        settings.secret("mqtt.password_file"),
        bool(ca_file),
        ca_file,
    )
    return [*here, *looks.broker(account)]


def database(subject: str, url: str) -> Finding:
    """Whether the database behind a path or URL answers. A SQLite file that is not there yet is no fault."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme == "sqlite":
        return _sqlite(subject, Path(rest.removeprefix("/") if separator else url))
    return _postgres(subject, url)


def _sqlite(subject: str, path: Path) -> Finding:
    if not path.exists():
        return Finding(subject, Sign.OK, f"{path}: made at the first start")
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=5.0)) as db:
            tables = db.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()[0]
    except sqlite3.Error as error:
        todo = "stop the services, put the file aside and take the last backup"
        return Finding(subject, Sign.MISSING, f"{path}: {error}", todo)
    return Finding(subject, Sign.OK, f"{path} answers ({tables} tables)")


def _postgres(subject: str, url: str) -> Finding:
    import psycopg

    plain = "postgresql" + url[url.index("://") :]
    place = urlsplit(plain)
    name = f"PostgreSQL at {place.hostname}:{place.port or 5432}{place.path}"
    try:
        with psycopg.connect(plain, connect_timeout=round(looks.NETWORK_S)) as connection:
            connection.execute("SELECT 1").fetchone()
    except psycopg.Error as error:
        said = str(error).strip().splitlines()[-1]
        todo = "is it running, does the database exist, and does records.password_file hold its password?"
        return Finding(subject, Sign.MISSING, f"{name}: {said}", todo)
    return Finding(subject, Sign.OK, f"{name} answers")


def store(settings: Settings) -> list[Finding]:
    """Ask the time series the way the pages do."""
    from ingest.store import StoreKind, open_store

    config = store_config(settings)
    if config.kind is StoreKind.SQLITE:
        return [_sqlite("time series", config.path)]
    here = []
    if urlsplit(config.url).hostname in looks.LOOPBACK:
        here = [looks.program("influxd", "influxdb", "store.kind is influx, and its address is this machine")]
    with closing(open_store(config, read_only=True)) as opened:
        count = len(opened.streams())
    return [*here, Finding("time series", Sign.OK, f"InfluxDB at {config.url} answers ({count} streams)")]


def smile(settings: Settings) -> list[Finding]:
    """Whether each of SMILE's addresses answers at all; nobody logs in (wrong tries would count against us)."""
    import httpx

    if not settings.text("smile.core_url"):
        todo = "set smile.core_url, main_url, wms_url and the account when the Ministry has given them"
        return [Finding("SMILE", Sign.WARNING, "not set up: nothing is sent", todo)]
    found = []
    for key in ("core_url", "main_url", "wms_url"):
        url = settings.text(f"smile.{key}")
        if not url:
            found.append(Finding(f"SMILE {key}", Sign.WARNING, "is empty", f"set smile.{key}"))
            continue
        try:
            answer = httpx.get(url, timeout=looks.NETWORK_S)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            todo = "is the address right, and does the network let us out? Temperatures wait in smile.db meanwhile"
            found.append(Finding(f"SMILE {key}", Sign.MISSING, f"{url}: {error}", todo))
            continue
        if answer.status_code >= 500:
            todo = "SMILE itself is in trouble: temperatures wait in smile.db, nothing is lost"
            found.append(Finding(f"SMILE {key}", Sign.WARNING, f"{url} answers {answer.status_code}", todo))
        else:
            found.append(Finding(f"SMILE {key}", Sign.OK, f"{url} answers"))
    if not settings.secret("smile.password_file"):
        found.append(Finding("SMILE account", Sign.MISSING, "no password", "set smile.username, smile.password_file"))
    return found


def services(folder: Path, now_ms: int) -> list[Finding]:
    """Signs of life of the services that have ever run here."""
    return [alive(folder, name, now_ms) for name in SERVICES if alive_file(folder, name).exists()]
