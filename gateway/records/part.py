"""What every part of ``Records`` stands on: one database, and reading helpers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from sqlalchemy import ColumnElement

from gateway.records.database import Database
from gateway.records.tx import Kind, Tx, fetch, get, need

T = TypeVar("T")


class Part:
    """A part of ``Records``: the methods about one subject."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def _write(self) -> AbstractContextManager[Tx]:
        return self._db.write()

    def _get(self, kind: Kind[T], *key: Any) -> T | None:
        with self._db.read() as connection:
            return get(connection, kind, *key)

    def _need(self, kind: Kind[T], *key: Any) -> T:
        with self._db.read() as connection:
            return need(connection, kind, *key)

    def _all(self, kind: Kind[T], *where: ColumnElement[bool], **options: Any) -> list[T]:
        with self._db.read() as connection:
            return fetch(connection, kind, *where, **options)


def chunks(items: Sequence[T], size: int = 500) -> Iterator[Sequence[T]]:
    """The items in pieces: a statement takes only so many values (SQLite: 32766)."""
    return (items[at : at + size] for at in range(0, len(items), size))


def given(**columns: Any) -> dict[str, Any]:
    """The keyword arguments that are not None."""
    return {name: value for name, value in columns.items() if value is not None}


def equal(kind: Kind[Any], /, **columns: Any) -> tuple[ColumnElement[bool], ...]:
    """Conditions "column = value" for those values that are not None."""
    return tuple(kind.table.c[name] == value for name, value in given(**columns).items())
