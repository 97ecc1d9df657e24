"""One engine and its two kinds of transaction; SQLite and PostgreSQL differ only here.

Writing on SQLite is BEGIN IMMEDIATE (one writer at a time, over all processes); on PostgreSQL a transaction takes an
advisory lock per site it touches, and at its end one short lock for the feed (see ``Tx.flush``).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, OperationalError

from gateway.records.errors import Code, Refused
from telemetry.errors import ConfigError, NeighbourDownError

if TYPE_CHECKING:
    from gateway.records.tx import Tx

BUSY_TIMEOUT_MS = 15_000
_MIGRATIONS = Path(__file__).parent / "migrations"
_WRITING = "smile_iot_writing"


def lock_number(name: str) -> int:
    """A PostgreSQL advisory lock's number (signed 64 bits) from a name."""
    return int.from_bytes(hashlib.sha256(f"smile-iot records:{name}".encode()).digest()[:8], "big", signed=True)


def _url(text_or_path: str | Path) -> URL:
    given = str(text_or_path)
    if "://" not in given:
        return URL.create("sqlite", database=str(Path(given).absolute()))
    try:
        url = make_url(given)
    except ArgumentError as error:
        raise ConfigError("records", "the database URL cannot be read") from error
    backend = url.get_backend_name()
    if backend == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if backend != "sqlite" or url.database in (None, "", ":memory:"):
        raise ConfigError("records", f"{backend} is not known: sqlite:///FILE or postgresql://HOST/DATABASE")
    return url.set(drivername="sqlite")


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves (below)
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get(_WRITING, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def make_engine(url: str | Path) -> Engine:
    """An engine that has connected to nothing yet; raises ConfigError for a URL we cannot use."""
    parsed = _url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed)
        _prepare_sqlite(engine)
        return engine
    return create_engine(parsed, pool_pre_ping=True, connect_args={"connect_timeout": 10})


@contextmanager
def our_errors() -> Iterator[None]:
    """The database's errors in the words of the house. Statements and values stay out of the message."""
    try:
        yield
    except OperationalError as error:
        raise NeighbourDownError(
            "records database", str(error.orig).strip(), advice="is it running, and is the disk not full?"
        ) from error
    except IntegrityError as error:
        raise Refused(Code.BROKEN_REFERENCE, str(error.orig).strip().splitlines()[0]) from error


class Database:
    """Transactions on one engine. In one thread, a transaction within another joins it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.postgresql = engine.dialect.name == "postgresql"
        self._local = threading.local()

    @property
    def _open(self) -> Tx | None:
        return getattr(self._local, "tx", None)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent look."""
        if self._open is not None:
            yield self._open.connection
            return
        with our_errors(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A look that stays the same over many statements (SQLite's reads always do)."""
        with our_errors(), self.engine.connect() as connection:
            if self.postgresql:
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def write(self) -> Iterator[Tx]:
        """All or nothing, with the audit rows; raises NeighbourDownError when the database does not answer."""
        from gateway.records.tx import Tx  # Tx knows the tables; this module does not

        if self._open is not None:
            with our_errors():
                yield self._open
            return
        with our_errors(), self.engine.connect() as connection:
            connection.execution_options(**{_WRITING: True})
            with connection.begin():
                tx = self._local.tx = Tx(connection, self.postgresql)
                try:
                    yield tx
                    tx.flush()
                finally:
                    self._local.tx = None

    def migrate(self) -> None:
        """Bring the tables to the newest form. Several processes may do so at once: one works, the others wait."""
        self._private()
        with our_errors(), self.engine.connect() as connection:
            connection.execution_options(**{_WRITING: True})
            with connection.begin():
                if self.postgresql:
                    lock(connection, "migrate")
                config = AlembicConfig()
                config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
                config.attributes["connection"] = connection
                command.upgrade(config, "head")

    def _private(self) -> None:
        """A new SQLite file is its owner's alone (its WAL gets the same mode): it holds the edges' keys."""
        file = None if self.postgresql else self.engine.url.database
        if file:
            with contextlib.suppress(OSError):  # there already; or SQLite says better what is wrong
                os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))

    def close(self) -> None:
        self.engine.dispose()


def lock(connection: Connection, name: str) -> None:
    """Hold PostgreSQL's advisory lock of this name to the end of the transaction."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": lock_number(name)})
