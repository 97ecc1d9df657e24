"""The audit chain: nothing changes unseen, and it never forks."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.records import HOUSE, Refused, User, Verdict, WeighingRecord
from gateway.records.chain import check_rows, genesis


def _weigh(world: Any) -> None:
    kg = Decimal("12.40")
    world.records.save_weighings([WeighingRecord("W1", "S1", "SCALE-1", kg, Decimal("0.00"), kg, 5, "aa")], 5)


def test_a_fresh_chain_begins_at_the_sites_genesis_and_holds(world: Any) -> None:
    r = world.records
    rows = r.changes_after(0, site="S1")
    assert rows[0].prev_hash == genesis("S1")
    assert genesis("S1") != genesis("S2")
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
    report = r.verify_chain("S1")
    assert (report.ok, report.rows, report.head) == (True, len(rows), rows[-1].hash)
    assert r.verify_chain("NOWHERE").rows == 0


@pytest.mark.parametrize(
    ("column", "value"),
    [("reason", "none"), ("actor", "Nobody"), ("at_ms", 1), ("new", "{}"), ("old", "{}"), ("subject", "device:X")],
)
def test_an_altered_audit_row_is_named(world: Any, tamper: Any, column: str, value: object) -> None:
    """cold-chain.md 37: altering a stored row breaks chain verification."""
    tamper("UPDATE audit SET " + column + " = ? WHERE site = 'S1' AND number = 3", value)  # noqa: S608
    report = world.records.verify_chain("S1")
    assert not report.ok
    altered = [b for b in report.breaks if b.why == "the row was altered after it was written"]
    assert [b.number for b in altered] == [3]


def test_a_removed_audit_row_is_missed(world: Any, tamper: Any) -> None:
    tamper("DELETE FROM audit WHERE site = 'S1' AND number = 3")
    whys = [(b.number, b.why) for b in world.records.verify_chain("S1").breaks]
    assert (4, "row 3 of the chain is missing") in whys
    assert (4, "does not follow the row before it") in whys


def test_a_cut_end_shows_in_the_head_and_in_the_records(world: Any, tamper: Any) -> None:
    head = world.records.verify_chain("S1").head
    tamper("DELETE FROM audit WHERE site = 'S1' AND number = (SELECT max(number) FROM audit WHERE site = 'S1')")
    report = world.records.verify_chain("S1")
    assert report.head != head
    assert [b.subject for b in report.breaks] == ["batch:B1"]


def test_a_weight_changed_by_ten_grams_is_named(world: Any, tamper: Any) -> None:
    """smile-and-waste.md 40: changing one stored weight by 0.01 makes the chain check name that record."""
    _weigh(world)
    assert world.records.verify_chain("S1").ok
    tamper("UPDATE weighings SET net_kg = ? WHERE id = 'W1'", "12.41")
    (found,) = world.records.verify_chain("S1").breaks
    assert (found.subject, found.why) == ("weighing:W1", "the record was altered: net_kg")
    assert found.audit_id == world.records.audit_of("weighing:W1")[0].id


def test_a_record_put_in_or_taken_out_behind_our_back_is_named(world: Any, tamper: Any) -> None:
    _weigh(world)
    tamper("INSERT INTO equipment (id, site, name, kind, profile) VALUES ('X', 'S1', 'x', 'freezer', 'p')")
    tamper("DELETE FROM weighings")
    assert {(b.subject, b.why) for b in world.records.verify_chain("S1").breaks} == {
        ("equipment:X", "the record has no audit row"),
        ("weighing:W1", "the record is gone"),
    }


def test_a_refused_change_leaves_neither_record_nor_row(world: Any) -> None:
    r = world.records
    before = r.newest_change()

    def rename_twice() -> None:
        with r.together():
            r.upsert_equipment(replace(r.equipment("KUL-1"), name="New"), world.budi, "renamed", 1)
            r.upsert_equipment(replace(r.equipment("KUL-1"), name="Newer"), world.budi, "", 1)

    with pytest.raises(Refused):
        rename_twice()
    assert r.equipment("KUL-1").name == "Kulkas"
    assert r.newest_change() == before


def test_calls_together_are_one_transaction(world: Any) -> None:
    r = world.records
    with r.together():
        r.save_findings([world.finding()], 1)
        r.save_verdicts([Verdict("", "B1", "hold_and_inspect", (), ("F",), 1)], 1)
        assert r.verdict("B1") is not None  # its own changes are seen within
    assert [a.action for a in r.changes_after(r.newest_change() - 3)] == [
        "finding_created",
        "alarm_created",
        "verdict_proposed",
    ]


def test_secrets_never_enter_the_audit(world: Any) -> None:
    r = world.records
    user = User("sari", "operator", "S1", password_hash="$argon2id$secret", contacts=("mailto://u:hush@x",))
    r.upsert_user(user, world.loader, "", 1)
    r.upsert_user(replace(user, contacts=("mailto://u:other@x",)), world.loader, "moved", 2)
    text = json.dumps([[a.old, a.new] for a in r.audit_of("user:sari")])
    assert "secret" not in text
    assert "hush" not in text
    assert len(r.audit_of("user:sari")) == 2
    assert "hush" not in repr(user)
    assert "secret" not in repr(user)
    assert r.verify_chain("S1").ok


def test_people_of_a_region_are_in_the_houses_chain(world: Any, tamper: Any) -> None:
    r = world.records
    r.upsert_user(User("budi", "manager", None, "kab-a", password_hash="$x"), world.loader, "", 1)
    assert r.verify_chain(HOUSE).rows == 1
    assert r.verify_chain(HOUSE).ok
    tamper("UPDATE users SET role = 'super_admin' WHERE name = 'budi'")
    (found,) = r.verify_chain(HOUSE).breaks
    assert (found.subject, found.why) == ("user:budi", "the record was altered: role")


def test_the_feed_pages_and_filters(world: Any) -> None:
    r = world.records
    rows = r.changes_after(0)
    paged, last = [], 0
    while page := r.changes_after(last, 2):
        paged += page
        last = page[-1].id
    assert paged == rows
    assert [a.key for a in r.changes_after(0, actions=["device_created"])] == ["LOG-1", "SCALE-1"]
    assert r.changes_after(0, site="S2") == []
    assert r.changes_after(r.newest_change()) == []


WRITER = textwrap.dedent(
    """
    import sys
    from dataclasses import replace
    from gateway.records import Actor, open_records
    url, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with open_records(url) as records:
        print("ready", flush=True)
        sys.stdin.readline()
        for n in range(count):
            device = records.device(f"SCALE-{1 + n % 2}")
            records.upsert_device(replace(device, interval_s=1 + n, driver=name), Actor(name, "manager"), "test", n)
    """
)


def test_writers_in_several_processes_do_not_fork_the_chain(world: Any, world_url: str, second_site: Any) -> None:
    """Four processes change two sites at once; a reader of the feed sees every id in order, none twice, none late."""
    r = world.records
    second_site(r)
    begun, each = r.newest_change(), 25
    with _writers(world_url, each) as processes:
        seen, last = [], begun
        while any(p.poll() is None for p in processes) or r.newest_change() > last:
            for row in r.changes_after(last):
                seen.append(row.id)
                last = row.id
        assert [p.wait(60) for p in processes] == [0] * 4
    assert seen == list(range(begun + 1, begun + 1 + 4 * each))
    for site in ("S1", "S2"):
        report = r.verify_chain(site)
        assert report.ok, report.breaks
        assert report.rows > each


class _writers:  # noqa: N801  (reads as a verb where it is used)
    def __init__(self, url: str, count: int) -> None:
        self.command = [sys.executable, "-c", WRITER, url]
        self.count = count

    def __enter__(self) -> list[subprocess.Popen[str]]:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.all = [subprocess.Popen([*self.command, f"P{n}", str(self.count)], **pipes) for n in range(4)]
        for p in self.all:
            assert p.stdout is not None
            assert p.stdout.readline() == "ready\n"
        for p in self.all:
            assert p.stdin is not None
            p.stdin.write("go\n")
            p.stdin.flush()
        return self.all

    def __exit__(self, *_: object) -> None:
        for p in self.all:
            p.kill()
            p.wait()
            for pipe in (p.stdin, p.stdout):
                assert pipe is not None
                pipe.close()


# --- the chain alone (pure) ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    from gateway.records import Actor, Site, open_records

    with open_records(tmp_path_factory.mktemp("chain") / "r.db") as records:
        for n in range(8):
            site = Site("S", f"name {n} é ☃", "kab", "Asia/Jakarta", "s0", "hospital")
            records.upsert_site(site, Actor("A", "admin"), f"{n}", n)
        return records.changes_after(0, site="S")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_change_of_any_row_is_found_at_that_row(chain: list[Any], data: st.DataObject) -> None:
    assert list(check_rows("S", chain)) == []
    index = data.draw(st.integers(0, len(chain) - 1))
    column = data.draw(st.sampled_from(["actor", "role", "action", "reason", "old", "new", "hash", "prev_hash"]))
    other = data.draw(st.text(max_size=20).filter(lambda text: text != getattr(chain[index], column)))
    altered = [*chain]
    altered[index] = replace(chain[index], **{column: other})
    assert chain[index].id in {b.audit_id for b in check_rows("S", altered)}


def test_another_sites_chain_does_not_pass_for_ours(chain: list[Any]) -> None:
    assert [b.number for b in check_rows("T", chain)] == [1]


def test_records_as_they_were_at_an_id_come_from_the_audit_alone(world: Any) -> None:
    """A verdict is recomputed by what people had said when it was judged (decision 0027)."""
    r = world.records
    r.add_placement("B1", "KUL-1", 1000, world.sari, "", 1000)
    then = r.newest_change()
    r.move_batch("B1", "KUL-1b", 2000, world.sari, "warm", 2000)
    device = replace(r.device("LOG-1"), interval_s=60, calibration_error_c=Decimal("0.50"))
    r.upsert_device(device, world.sari, "other", 2000)
    (old,) = r.states_at("placement", then, prefix="B1.at.")
    assert (old.equipment, old.to_ms) == ("KUL-1", None)
    assert r.states_at("placement", r.newest_change(), prefix="B1.at.") == r.placements("B1")
    assert r.states_at("batch", then, key="B1") == [r.batch("B1")]
    assert r.states_at("device", r.newest_change(), key="LOG-1") == [r.device("LOG-1")]
    assert r.states_at("device", then, key="LOG-1")[0].interval_s != 60
    assert r.states_at("batch", then, key="B") == []
    with pytest.raises(KeyError):
        r.states_at("user", then)
