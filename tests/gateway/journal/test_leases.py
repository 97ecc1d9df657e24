"""Leases in a real PostgreSQL: one owner a name, an end by the database's clock."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from gateway.journal.leases import KEEP_EVERY_S, LEASE_S, LOST_AFTER_S, PostgresLeases
from telemetry.errors import NeighbourDownError

pytestmark = pytest.mark.neighbour("postgresql")


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex


def end_now(url: str, name: str) -> None:
    """As if ``LEASE_S`` had passed since it was kept."""
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE leases SET ends = clock_timestamp() - interval '1 ms' WHERE name = %s", (name,))


def test_one_owner_a_name_until_it_lets_go(postgres_url: str, name: str) -> None:
    a, b = PostgresLeases(postgres_url), PostgresLeases(postgres_url)
    assert a.take(name)
    assert a.take(name)
    assert not b.take(name)
    assert not b.keep(name)
    b.release(name)
    assert a.keep(name)
    a.release(name)
    assert b.take(name)


def test_a_lease_that_was_not_kept_is_anybodys_and_its_owner_learns_it(postgres_url: str, name: str) -> None:
    """A worker killed or stopped: SIGSTOP would keep a connection and a lock alive for ever."""
    a, b = PostgresLeases(postgres_url), PostgresLeases(postgres_url)
    assert a.take(name)
    end_now(postgres_url, name)
    assert not a.keep(name)
    assert b.take(name)
    assert not a.keep(name)
    assert not a.take(name)


def test_of_many_that_ask_at_once_one_gets_it(postgres_url: str, name: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("DROP TABLE IF EXISTS leases")
    workers = [PostgresLeases(postgres_url) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda worker: worker.take(name), workers)) == 1


def test_a_database_that_is_away_is_a_neighbour_that_is_down() -> None:
    with pytest.raises(NeighbourDownError):
        PostgresLeases("postgresql://nobody@127.0.0.1:1/nothing").take("x")


def test_an_owner_takes_its_lease_for_lost_before_another_may_take_it() -> None:
    assert KEEP_EVERY_S + LOST_AFTER_S < LEASE_S
