"""A site made from one TOML file."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from argon2 import PasswordHasher

import gateway.records
from gateway.records import Actor, QuarantineItem, Records, Role, open_records
from gateway.records.load import LoadError, load_toml

EXAMPLE = Path(gateway.records.__file__).parent / "site.example.toml"
WHO = Actor("Loader", Role.SUPER_ADMIN)


@pytest.fixture
def records(records_url: str) -> Iterator[Records]:
    with open_records(records_url) as opened:
        yield opened


def test_the_example_loads_and_loading_it_again_changes_nothing(records: Records) -> None:
    report = load_toml(records, EXAMPLE, WHO, "", 1000)
    assert set(report.created) == {
        "site:PKM-ABEPURA",
        "equipment:PKM-ABEPURA.KUL-1",
        "equipment:PKM-ABEPURA.KUL-2",
        "device:LOG-7F3A21",
        "device:SCALE-01",
        "batch:HEPB-PB2411A",
        "placement:HEPB-PB2411A",
        "gtin:08991234000015",
        "bag:000120112026",
        "user:sari",
    }
    scale = records.device("SCALE-01")
    assert scale is not None
    assert (scale.e_kg, scale.max_kg, str(scale.tera_on)) == (Decimal("0.005"), Decimal(15), "2026-03-10")
    stock = records.batch("HEPB-PB2411A").smile
    assert stock is not None
    assert (stock.stock_id, stock.doses_per_vial) == (90, 10)
    newest = records.newest_change()
    again = load_toml(records, EXAMPLE, WHO, "", 2000)
    assert (again.created, again.changed, set(again.unchanged)) == ((), (), set(report.created))
    assert records.newest_change() == newest
    assert records.verify_chain("PKM-ABEPURA").ok


def test_every_key_of_the_file_is_in_the_example() -> None:
    """The example is the manual: each key that can be loaded stands in it, at least commented out."""
    from gateway.records.load import TABLES

    text = EXAMPLE.read_text()
    for kind, table in TABLES.items():
        assert f"[[{kind}]]" in text
        for key in (*table.needed, *table.optional):
            assert f"{key} = " in text or f"[{kind}.{key}]" in text, (kind, key)


def test_a_change_needs_a_reason_and_is_told_with_its_line(records: Records) -> None:
    load_toml(records, EXAMPLE, WHO, "", 1000)
    changed = EXAMPLE.read_text().replace("interval_s = 900", "interval_s = 600")
    with pytest.raises(LoadError) as error:
        load_toml(records, changed, WHO, "", 2000)
    (problem,) = error.value.problems
    line = changed.splitlines().index("[[device]]") + 1
    assert (problem.line, problem.where) == (line, "device LOG-7F3A21")
    assert "REASON_REQUIRED" in problem.message
    assert load_toml(records, changed, WHO, "new firmware", 3000).changed == ("device:LOG-7F3A21",)
    assert records.audit_of("device:LOG-7F3A21")[-1].reason == "new firmware"


BAD = """
[[site]]
id = "S1"
name = "x"
region = "kab"
zone = "Asia/Nowhere"
shard = "s0"
level = "puskesmas"

[[equipment]]
id = "K1"
site = "S2"
name = "x"
kind = "fridge"
profile = "refrigerator"

[[device]]
serial = "D 1"
site = "S1"
edge = "E1"
driver = "bthome"
"""


def test_all_problems_are_told_at_once_with_their_lines_and_nothing_is_loaded(records: Records) -> None:
    with pytest.raises(LoadError) as error:
        load_toml(records, BAD, WHO, "", 1)
    told = {(p.line, p.where) for p in error.value.problems}
    assert told == {(2, "site S1"), (10, "equipment K1"), (17, "device D 1")}
    text = str(error.value)
    for word in ("Asia/Nowhere", "'S2' is neither in the file nor in the records", "fridge", "D 1"):
        assert word in text
    assert records.newest_change() == 0


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[[site]", "is not TOML"),
        ("[[sites]]\nid = 'x'", "is none of"),
        ("[site]\nid = 'x'", "is none of"),
        ("[[device]]\nserial = 'D'\nsite = 'S'\nedge = 'E'\ndriver = 'd'\ncolour = 1", "unknown key 'colour'"),
        ("[[device]]\nserial = 'D'", "driver is missing"),
        ("[[device]]\nserial = 7\nsite = 'S'\nedge = 'E'\ndriver = 'd'", "is not a text"),
        ("[[placement]]\nbatch = 'B'\nequipment = 'K'\nfrom = 2026-11-01T08:00:00", "time with an offset"),
        ("[[batch]]\nid = 'B'\nexpires_on = '2027-01-01'", "is not a date"),
        ("[[batch]]\nid = 'B'\nsmile = {stock_id = 1}", "missing ['program_id'"),
        ("[[user]]\nname = 'u'\nrole = 'admin'", "password_file or password_hash"),
        ("[[user]]\nname = 'u'\nrole = 'admin'\npassword_file = 'nowhere'", "nowhere"),
        ("[[user]]\nname = 'u'\nrole = 'boss'\npassword_hash = '$x'", "boss"),
        ("[[user]]\nname='u'\nrole='admin'\npassword_hash='$x'\n" * 2, "twice (first in line 1)"),
    ],
)
def test_a_clear_word_for_each_mistake(tmp_path: Path, text: str, word: str) -> None:
    with open_records(tmp_path / "r.db") as records:
        with pytest.raises(LoadError) as error:
            load_toml(records, text, WHO, "", 1)
        assert word in str(error.value)
        assert records.newest_change() == 0


def test_a_password_comes_from_a_file_beside_it_and_keeps_its_hash(records: Records, tmp_path: Path) -> None:
    file = tmp_path / "people.toml"
    file.write_text("[[user]]\nname='pusat'\nrole='admin'\npassword_file='pw'\ncontacts_file='ways'\n")
    (tmp_path / "pw").write_text("rahasia besar\n")
    (tmp_path / "ways").write_text("# mine\njson://127.0.0.1:9/a\n\n")
    load_toml(records, file, WHO, "", 1)
    user = records.user("pusat")
    assert PasswordHasher().verify(user.password_hash, "rahasia besar")
    assert user.contacts == ("json://127.0.0.1:9/a",)
    assert load_toml(records, file, WHO, "", 2).unchanged == ("user:pusat",)
    (tmp_path / "pw").write_text("baru\n")
    assert load_toml(records, file, WHO, "forgotten", 3).changed == ("user:pusat",)
    assert PasswordHasher().verify(records.user("pusat").password_hash, "baru")


def test_a_later_placement_in_the_file_moves_the_batch_and_people_have_the_last_word(records: Records) -> None:
    load_toml(records, EXAMPLE, WHO, "", 1000)
    more = EXAMPLE.read_text() + (
        '\n[[placement]]\nbatch = "HEPB-PB2411A"\nequipment = "PKM-ABEPURA.KUL-2"\nfrom = 2026-11-05T08:00:00+09:00\n'
    )
    assert load_toml(records, more, WHO, "moved", 2000).created == ("placement:HEPB-PB2411A",)
    first, second = records.placements("HEPB-PB2411A")
    assert first.to_ms == second.from_ms
    assert load_toml(records, more, WHO, "", 3000).created == ()
    records.end_placement("HEPB-PB2411A", second.from_ms + 1, WHO, "used up", 4000)
    newest = records.newest_change()
    load_toml(records, more, WHO, "", 5000)
    assert records.newest_change() == newest


def test_loading_a_device_tells_what_waits_for_it(records: Records) -> None:
    item = QuarantineItem("", "PKM-ABEPURA", "E1", "e", "t", "unknown_device", "", 1, b"x", serials=("LOG-7F3A21",))
    ids = records.quarantine(item)
    assert load_toml(records, EXAMPLE, WHO, "", 1000).waiting == ids


def test_a_refusal_while_writing_undoes_all_of_it(records: Records) -> None:
    """The SMILE serial of the file is taken by a device that the file does not name: seen only on writing."""
    load_toml(records, EXAMPLE, WHO, "", 1000)
    newest = records.newest_change()
    text = EXAMPLE.read_text().replace('serial = "LOG-7F3A21" ', 'serial = "LOG-NEW" ', 1).replace("Kulkas", "Lemari")
    with pytest.raises(LoadError) as error:
        load_toml(records, text, WHO, "renamed", 2000)
    assert "SERIAL_TAKEN" in str(error.value)
    assert records.newest_change() == newest
    assert records.equipment("PKM-ABEPURA.KUL-1").name == "Kulkas vaksin 1"
