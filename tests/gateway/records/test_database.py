"""Both databases: migrations, several processes at once, exact values, clear errors."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, MetaData, String, Table, insert, select, text

from gateway.records import Actor, Site, database, open_records
from gateway.records.canonical import canonical, plain_decimal
from gateway.records.columns import DecimalExact
from gateway.records.database import make_engine
from gateway.records.tables import metadata
from telemetry.errors import ConfigError, NeighbourDownError


def test_the_migrations_make_the_tables_that_the_code_wants(records_url: str) -> None:
    open_records(records_url).close()
    engine = make_engine(records_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, metadata)
    engine.dispose()
    assert differences == []


def test_every_constraint_and_index_has_the_name_that_the_tables_give_it(records_url: str) -> None:
    """``compare_metadata`` does not look at names; a migration that drops one later must know it."""
    open_records(records_url).close()
    engine = make_engine(records_url)
    wanted = {name for table in metadata.tables.values() for name in _names_of(table)}
    made = MetaData()
    made.reflect(engine)
    there = {name for table in made.tables.values() if table.name in metadata.tables for name in _names_of(table)}
    engine.dispose()
    assert there == wanted


def _names_of(table: Table) -> set[tuple[str, str]]:
    return {(table.name, str(x.name)) for x in (*table.constraints, *table.indexes)}


def test_a_database_of_the_first_seven_migrations_keeps_its_rows(records_url: str) -> None:
    """What stood before 0008 (commit e81d718): the newest tables come beside it, and devices know no date of service."""
    engine = make_engine(records_url)
    migrations = Config()
    migrations.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    with engine.begin() as connection:
        migrations.attributes["connection"] = connection
        command.upgrade(migrations, "0007")
    old = MetaData()
    old.reflect(engine)
    with engine.begin() as connection:
        for name, row in _OLD_ROWS.items():
            connection.execute(insert(old.tables[name]).values(row))
    engine.dispose()
    with open_records(records_url) as records:
        assert (records.site("S1").name, records.bag("S1", "000121092026").bast_no) == ("Old", "B/1")
        device = records.device("LOG-1")
        assert (device.since_ms, device.in_service_ms) == (None, None)
        assert [e.since_ms for e in records.equipment_list("S1")] == [None]
        case = records.open_destruction("S1", "B/1", "", Actor("Sari", "operator"), "", 5)
        assert records.destructions("S1") == [case]


_OLD_ROWS: dict[str, dict[str, Any]] = {
    "sites": {
        "id": "S1",
        "name": "Old",
        "region": "kab",
        "zone": "Asia/Jakarta",
        "shard": "s0",
        "level": "puskesmas",
    },
    "equipment": {"id": "K1", "site": "S1", "name": "Kulkas", "kind": "refrigerator", "profile": "refrigerator"},
    "devices": {
        "serial": "LOG-1",
        "site": "S1",
        "edge": "E1",
        "driver": "bthome",
        "equipment": "K1",
        "tera_valid_days": 365,
    },
    "bags": {
        "code": "000121092026",
        "site": "S1",
        "classification": "expired_vaccine",
        "waste_code": "A337-2",
        "color": "brown",
        "source_id": 7,
        "classification_id": 1,
        "bast_no": "B/1",
        "material_ids": "[990002]",
    },
}


OPEN = "import sys; from gateway.records import open_records; open_records(sys.argv[1]).close()"


def test_several_processes_may_start_on_an_empty_database_at_once(records_url: str) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", OPEN, records_url]) for _ in range(4)]
    assert [p.wait(90) for p in processes] == [0] * 4
    with open_records(records_url) as records:
        assert records.sites() == []


def test_opening_again_keeps_what_is_there(records_url: str) -> None:
    site = Site("S1", "x", "kab", "Asia/Jakarta", "s0", "puskesmas")
    for _ in range(2):
        with open_records(records_url) as records:
            records.upsert_site(site, Actor("A", "admin"), "", 1)
    with open_records(records_url) as records:
        assert records.sites() == [site]
        assert records.verify_chain("S1").rows == 1


def test_sqlite_runs_in_wal_with_foreign_keys_and_a_timeout(tmp_path: Path) -> None:
    open_records(tmp_path / "r.db").close()
    engine = make_engine(tmp_path / "r.db")
    with engine.connect() as connection:
        said = {p: connection.execute(text(f"PRAGMA {p}")).scalar() for p in _PRAGMAS}
    engine.dispose()
    assert said == {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 15_000, "synchronous": 2}


_PRAGMAS = ("journal_mode", "foreign_keys", "busy_timeout", "synchronous")


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite://", "sqlite:///:memory:", "://"])
def test_other_urls_are_a_setting_to_mend(url: str) -> None:
    with pytest.raises(ConfigError):
        open_records(url)


def test_a_database_that_does_not_answer_is_a_neighbour_to_wait_for() -> None:
    with pytest.raises(NeighbourDownError) as down:
        open_records("postgresql://smile:hush@127.0.0.1:1/records")
    assert down.value.again
    assert "hush" not in str(down.value)


def test_a_disk_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(NeighbourDownError):
        open_records(tmp_path / "no such folder" / "r.db")


_exact = MetaData()
_values = Table("exact", _exact, Column("text", String, primary_key=True), Column("value", DecimalExact))


def test_decimals_come_back_with_all_their_digits(records_url: str) -> None:
    given = [Decimal(t) for t in ("12.40", "0.1", "0.000", "-0.5", "-0.0", "1E+3", "123456789012345.678", "0.001")]
    engine = make_engine(records_url)
    with engine.begin() as connection:
        _exact.create_all(connection)
        connection.execute(insert(_values), [{"text": str(v), "value": v} for v in given])
        back = {row.text: row.value for row in connection.execute(select(_values))}
    engine.dispose()
    assert {t: str(v) for t, v in back.items()} == {str(v): str(plain_decimal(v)) for v in given}


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**9), max_value=10**9))
def test_a_plain_decimal_is_the_same_number(value: Decimal) -> None:
    assert plain_decimal(value) == value
    assert "E" not in str(plain_decimal(value))
    assert Decimal(canonical(value).strip('"')) == value


@pytest.mark.parametrize("value", [0.1, {"a": [1.5]}, {1, 2}, object()])
def test_canonical_json_refuses_what_has_no_one_text(value: Any) -> None:
    with pytest.raises(TypeError):
        canonical(value)


def test_canonical_json_is_one_text_per_value() -> None:
    assert canonical({"b": Decimal("1.50"), "a": (True, None, "é")}) == '{"a":[true,null,"é"],"b":"1.50"}'


def test_threads_may_share_the_records(records_url: str) -> None:
    """Commands come in threads (``asyncio.to_thread``); transactions of one thread do not join another's."""
    with open_records(records_url) as records, ThreadPoolExecutor(8) as threads:
        actor = Actor("A", "admin")

        def put(n: int) -> None:
            with records.together():
                records.upsert_site(
                    Site(f"S{n % 4}-{n}", "x", "kab", "Asia/Jakarta", "s0", "puskesmas"), actor, "", n
                )

        list(threads.map(put, range(40)))
        assert len(records.sites()) == 40
        assert [a.id for a in records.changes_after(0)] == list(range(1, 41))
