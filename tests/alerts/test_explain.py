"""A verdict is reached again from what was stored, or what differs is named."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import alerts.document
import alerts.explain as explain_module
from alerts.config import Config
from alerts.document import product_json
from alerts.explain import Difference, Explanation, Outcome, explain
from alerts.homes import EVER_MS, FOREVER_MS
from alerts.memory import Memory
from alerts.products import builtin_table
from alerts.profiles import table_of
from alerts.rulebook import Rules, rules_of
from alerts.rules import ReadingFact
from api.words import Words
from gateway.journal import SqliteJournal
from gateway.records import Actor, Batch, Role
from smile_iot.explain_words import difference_text, value_text

HOUR = 3_600_000
SARI = Actor("Sari", Role.MANAGER)
Ask = Callable[..., Explanation]


@pytest.fixture
def ask(world: Any) -> Ask:
    """Explain a verdict while the service has its file open, by a memory that can only read."""

    def explained(verdict: str | None = None, rules: Rules | None = None) -> Explanation:
        memory = Memory(world.folder / "alerts.db", read_only=True)
        try:
            name = verdict or world.records.verdict("B1").id
            return explain(world.records, memory, rules or rules_of(Config()), name, world.clock.now_ms())
        finally:
            memory.close()

    return explained


@pytest.fixture
def hot(world: Any, start: int) -> Any:
    """B1 came at 00:00, refrigerator F1 was at 9 degrees for eleven hours; B1 was moved at 12:00 and read at 13:00."""
    world.batch("B1")
    world.alerts.start()
    world.say(*world.temperatures(0, 11, "9.0"), *world.temperatures(11.25, 14, "5.0"))
    world.say(*world.temperatures(11, 14, "4.0", "LOG-B"))
    world.at(11)
    world.clock.wall_ms = start + 13 * HOUR
    world.records.move_batch("B1", "F2", start + 12 * HOUR, SARI, "too warm", world.clock.wall_ms)
    world.records.observe_vvm("B1", "B", SARI, "", world.clock.wall_ms)
    world.at(13)
    return world


def parts(found: Explanation) -> list[tuple[str, str]]:
    return [(d.part, d.subject) for d in found.differences]


def test_the_same_verdict_comes_out_hash_and_all(hot: Any, ask: Ask) -> None:
    for verdict in hot.records.verdict_history("B1"):
        found = ask(verdict.id)
        assert (parts(found), found.same) == ([], True)
        assert found.rebuilt == found.document == hot.records.verdict_document(verdict.id)
    assert found.document is not None
    assert found.document["word"] == "hold_and_inspect"
    assert found.today is not None
    assert found.today.word == "hold_and_inspect"


def test_late_data_afterwards_do_not_change_the_old_verdict(hot: Any, ask: Ask) -> None:
    """Facts are taken as of the journal's offset then, what people said as of the audit's id then."""
    old = hot.records.verdict("B1").id
    hot.say(*hot.temperatures(9, 13, "-2.0", "LOG-B"))
    hot.records.observe_vvm("B1", "C", SARI, "", hot.clock.wall_ms + 1)
    device = replace(hot.records.device("LOG-A"), interval_s=300, calibration_error_c=Decimal("0.5"))
    hot.records.upsert_device(device, SARI, "another interval", hot.clock.wall_ms)
    freezer = replace(hot.records.equipment("F1"), kind="freezer")
    hot.records.upsert_equipment(freezer, SARI, "a freezer now", hot.clock.wall_ms)
    hot.at(14)
    found = ask(old)
    assert (parts(found), found.same) == ([], True)
    assert found.today is not None
    assert found.today.word == "discard_proposed"
    changed = {(d.part, d.subject) for d in found.today.changes}
    assert {("fact", "LOG-B/temperature_c (F2)"), ("device", "LOG-A"), ("place", "F1")} <= changed
    assert any(part == "vvm" for part, _ in changed)
    newer = ask()
    assert (newer.verdict.id != old, newer.same) == (True, True)


def test_a_fact_altered_in_the_file_is_found_by_stream_and_day(hot: Any, ask: Ask) -> None:
    with sqlite3.connect(hot.folder / "alerts.db") as db:
        (at_ms,) = db.execute("SELECT max(t_ms) FROM kept WHERE value_m = 9000").fetchone()
        db.execute("UPDATE kept SET value_m = 8000 WHERE t_ms = ? AND value_m = 9000", (at_ms,))
    found = ask()
    (fact, *more) = found.differences
    day = date.fromtimestamp(at_ms // 1000).isoformat()
    assert (fact.part, fact.subject) == ("fact", "LOG-A/temperature_c (F1)")
    assert [(d.subject, d.says, d.values) for d in fact.within] == [(day, "day_other", {"n": 57})]
    assert {d.subject for d in more} <= {"word", "reasons", "exposure", "findings", "timeline"}


def test_a_fact_taken_out_and_a_stream_put_in_are_counted(hot: Any, ask: Ask) -> None:
    with sqlite3.connect(hot.folder / "alerts.db") as db:
        db.execute("DELETE FROM kept WHERE t_ms = (SELECT min(t_ms) FROM kept)")
        db.execute("INSERT INTO name(text) VALUES ('LOG-X/temperature_c')")
        (x,) = db.execute("SELECT id FROM name WHERE text = 'LOG-X/temperature_c'").fetchone()
        (f1,) = db.execute("SELECT id FROM name WHERE text = 'F1'").fetchone()
        db.execute("INSERT INTO kept SELECT ?, t_ms, 0, value_m, quality, ?, 1, 0 FROM kept LIMIT 1", (x, f1))
        db.execute("INSERT INTO home VALUES (?,?)", (f1, x))
    told = {d.subject: d for d in ask().differences if d.part == "fact"}
    (day,) = told["LOG-A/temperature_c (F1)"].within
    assert (day.says, day.values) == ("day_count", {"was": 57, "now": 56})
    assert (told["LOG-X/temperature_c (F1)"].says, told["LOG-X/temperature_c (F1)"].values) == (
        "readings_came",
        {"n": 1},
    )


def test_a_placement_altered_in_the_audit_is_named(hot: Any, ask: Ask) -> None:
    with sqlite3.connect(hot.folder / "records.db") as db:
        db.execute('UPDATE audit SET new = replace(new, \'"equipment":"F1"\', \'"equipment":"F2"\')')
    assert any(part == "placement" for part, _ in parts(ask()))


def test_a_placement_altered_in_its_table_alone_changes_nothing_that_was_judged(hot: Any, ask: Ask) -> None:
    """The audit is what counts; ``verify_chain`` tells of the table."""
    with sqlite3.connect(hot.folder / "records.db") as db:
        db.execute("UPDATE placements SET equipment = 'F2'")
    assert ask().same
    assert not hot.records.verify_chain("S1").ok


@pytest.mark.parametrize("what", ["document", "row"])
def test_an_altered_document_or_row_is_named(hot: Any, ask: Ask, what: str) -> None:
    with sqlite3.connect(hot.folder / "records.db") as db:
        if what == "document":
            db.execute(
                'UPDATE verdict_documents SET document = replace(document, \'"max_c":"9.0"\', \'"max_c":"7.0"\')'
            )
            expected = ("document", "B1.v2")
        else:
            db.execute("UPDATE audit SET reason = 'x' WHERE subject = 'verdict:B1.v2'")
            expected = ("audit", "B1.v2")
    assert hot.records.verdict("B1").id == "B1.v2"
    assert expected in parts(ask())


def test_a_changed_rule_version_is_named_and_the_old_verdict_still_comes_out_by_the_old_rule(
    hot: Any, ask: Ask
) -> None:
    rules = rules_of(Config())
    fridge = rules.catalogue["refrigerator"]
    limits = tuple(
        replace(x, limit_c=Decimal("9.5")) if x.limit_c == 8 and x.code == "HEAT" else x for x in fridge.limits
    )
    other = {**rules.catalogue, "refrigerator": replace(fridge, version="2027.1", limits=limits)}
    with sqlite3.connect(hot.folder / "records.db") as db:
        db.execute("DELETE FROM profile_versions")  # the file is followed where nobody keeps versions
    found = ask(rules=replace(rules, catalogue=other))
    (rule,) = found.rule_changes
    assert (rule.part, rule.subject) == ("rule", "refrigerator")
    text = f"version {fridge.version} then, 2027.1 now; HEAT: limit (°C) was 8.0, is 9.5"
    assert difference_text(rule, Words("en"), "Asia/Jakarta") == text
    text = f"versi {fridge.version} saat itu, 2027.1 sekarang; HEAT: batas (°C) dulu 8,0, sekarang 9,5"
    assert difference_text(rule, Words("id"), "Asia/Jakarta") == text
    assert (found.same, found.rebuilt) == (True, found.document)
    assert found.today is not None
    assert found.today.word == "use_first"


def test_req_37_a_limit_changed_by_a_person_holds_from_its_date_and_leaves_the_old_verdict_the_same(
    hot: Any, ask: Ask, start: int
) -> None:
    """HEAT from 16:00 on after two hours: the warm afternoon counts by it, the morning's verdict stands as it was."""
    old = hot.records.verdict("B1").id
    fridge = rules_of(Config()).catalogue["refrigerator"]
    limits = tuple(replace(x, alarm_after_s=7200) if x.code == "HEAT" else x for x in fridge.limits)
    body = table_of(replace(fridge, version="2027.1", limits=limits))
    since = start + 16 * HOUR
    hot.records.put_profile("refrigerator", "2027.1", body, since, SARI, "circular 12", hot.clock.wall_ms)
    hot.say(*hot.temperatures(14.25, 15.75, "5.0", "LOG-B"), *hot.temperatures(16, 18.25, "9.0", "LOG-B"))
    hot.say(*hot.temperatures(18.5, 19, "5.0", "LOG-B"))
    hot.at(19)
    assert ask(old).same
    newest = ask()
    assert newest.same
    assert newest.document is not None
    assert (
        newest.document["rules"]["profiles"][1]["from"] == newest.document["timeline"][-3]["from"][:11] + "16:00:00Z"
    )
    heat = [f for f in newest.document["findings"] if f["code"] == "HEAT"]
    assert [f["after_s"] for f in heat] == [36000, 7200]
    assert [f["profile_version"] for f in heat] == [fridge.version, "2027.1"]


def test_a_changed_product_row_is_named(hot: Any, ask: Ask) -> None:
    rules = rules_of(Config())
    kfa = hot.records.batch("B1").product_kfa
    other = {**rules.products, kfa: replace(rules.products[kfa], vvm_type="VVM30")}
    found = ask(rules=replace(rules, products=other))
    (rule,) = found.rule_changes
    assert found.same
    assert rule.subject == f"product {kfa}"
    assert difference_text(rule, Words("en"), "Asia/Jakarta").endswith("; VVM type was VVM7, is VVM30")


def test_a_footnote_in_the_product_table_is_a_change_of_rules_and_no_difference(hot: Any, ask: Ask) -> None:
    rules = rules_of(Config())
    kfa = hot.records.batch("B1").product_kfa
    row = rules.products[kfa]
    found = ask(rules=replace(rules, products={**rules.products, kfa: replace(row, sources=(*row.sources, "also"))}))
    assert (found.same, parts(found)) == (True, [])
    assert [d.subject for d in found.rule_changes] == [f"product {kfa}"]


def test_a_document_of_another_engine_is_not_the_same(hot: Any, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    then = alerts.document.ENGINE
    monkeypatch.setattr("alerts.document.ENGINE", "next")
    monkeypatch.setattr("alerts.explain.ENGINE", "next")
    found = ask()
    assert (found.same, found.outcome, found.engines) == (False, Outcome.OTHER_RULES, (then, "next"))
    assert (found.differences, found.comes_out) == ((), ())


def test_what_this_version_of_the_rules_makes_of_the_same_facts_is_said_and_is_no_difference(
    hot: Any, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerts.document.ENGINE", "next")
    monkeypatch.setattr("alerts.explain.ENGINE", "next")
    document = explain_module.document
    other = {"word": "no_action", "reasons": []}
    monkeypatch.setattr(explain_module, "document", lambda *a, **k: {**document(*a, **k), **other})
    found = ask()
    assert (found.outcome, [d.subject for d in found.comes_out]) == (Outcome.OTHER_RULES, ["word", "reasons"])
    with sqlite3.connect(hot.folder / "alerts.db") as db:
        db.execute("UPDATE kept SET value_m = 8000 WHERE value_m = 9000")
    assert (ask().outcome, "fact" in dict(parts(ask()))) == (Outcome.DIFFERS, True)


def test_a_place_of_an_older_document_is_compared_by_what_it_was_in_the_end(hot: Any, ask: Ask) -> None:
    """Documents of before knew one kind of each place, that of then, and no box."""
    then = {"F1": {"level": "kabupaten", "freezes": True, "chills": False}}
    first = {"level": "kabupaten", "freezes": False, "chills": True}
    now = {"F1": {**first, "later": [{"since": "x", **then["F1"], "carries": True}]}}
    assert explain_module._as_told_before(then, now) == then


def test_a_restored_journal_gives_its_offsets_again_and_old_verdicts_come_out_the_same(
    hot: Any, ask: Ask, start: int
) -> None:
    """The backup knew nothing: what comes now has small offsets, and was not known to the verdicts of before."""
    old = [v.id for v in hot.records.verdict_history("B1")]
    hot.journal.close()
    (hot.folder / "journal.db").unlink()
    for more in ("journal.db-wal", "journal.db-shm"):
        (hot.folder / more).unlink(missing_ok=True)
    hot.journal = SqliteJournal(hot.folder / "journal.db")
    hot.again()
    hot.say(*hot.temperatures(5, 9, "-3.0", "LOG-B"), *hot.temperatures(9, 13, "-2.0", "LOG-B"))
    hot.at(14)
    hot.say(*hot.temperatures(13.25, 16, "-2.0", "LOG-B"))
    hot.at(16)
    new = hot.records.verdict("B1").id
    assert new not in old
    for verdict in (*old, new):
        assert ask(verdict).same, ask(verdict).differences
    hot.again()
    assert ask(new).same


def test_homes_by_changes_that_the_restored_records_do_not_know_hold_since_its_last_one(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "alerts.db")
    stays = ((EVER_MS, FOREVER_MS, "F1"),)
    later = ((EVER_MS, 50, "F1"), (50, FOREVER_MS, "F2"))
    fact = ReadingFact("F1", "S/temperature_c", 60, Decimal(5))
    with memory.transaction():
        memory.add([fact], 1)
        memory.house("S/temperature_c", stays, 10)
        memory.house("S/temperature_c", later, 120)
        memory.set_audit_id(120)
    assert list(memory.facts(equipment="F2", up_to_audit=105)) == []
    with memory.transaction():
        memory.records_restored(100)

    def where(audit_id: int) -> list[str]:
        return [e for e in ("F1", "F2") if list(memory.facts(equipment=e, up_to_audit=audit_id))]

    assert (where(99), where(101), memory.place().audit_id) == (["F1"], ["F2"], 0)
    assert [memory.is_blurred(i) for i in (99, 100, 101)] == [False, True, False]
    memory.close()


def test_what_was_blurred_by_a_restored_backup_is_not_called_different(hot: Any, ask: Ask) -> None:
    audit_id = ask().document["as_of"]["homes_audit_id"]
    with sqlite3.connect(hot.folder / "alerts.db") as db:
        db.execute("INSERT INTO restored(learnt_base, audit_id) VALUES (0, ?)", (audit_id,))
        db.execute("UPDATE kept SET value_m = 8000 WHERE value_m = 9000")
    assert ask().outcome is Outcome.UNKNOWABLE


def test_the_hash_has_the_last_word(hot: Any, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of the document that no comparison names comes out another."""
    document = explain_module.document
    monkeypatch.setattr(explain_module, "document", lambda *a, **k: {**document(*a, **k), "v": 99})
    assert (ask().same, parts(ask())) == (False, [("document", "B1.v2")])


def test_two_vvm_readings_of_one_time_are_two() -> None:
    """A batch's own, and one of the batch it came from."""
    rows = [{"at": "T", "stage": "B"}, {"at": "T", "stage": "C"}, {"at": "U", "stage": "C"}]
    assert list(explain_module._readings(rows).values()) == rows


def test_a_release_and_what_went_on_after_it_come_out_the_same(world: Any, ask: Ask, start: int) -> None:
    world.batch("B1")
    world.alerts.start()
    world.say(*world.temperatures(0, 11, "9.0"))
    world.at(11)
    world.records.decide("B1", "released", SARI, "VVM at A", world.clock.wall_ms)
    world.say(*world.temperatures(11.25, 13, "9.0"))
    world.at(13)
    found = ask()
    assert found.document is not None
    assert "went_on_after_release" in [r["code"] for r in found.document["reasons"]]
    assert (parts(found), found.same) == ([], True)


def test_readings_of_a_device_that_got_its_equipment_later_were_not_known_then(world: Any, ask: Ask) -> None:
    world.device("LOG-N", None)
    world.batch("B1")
    world.alerts.start()
    world.say(*world.temperatures(0, 11, "9.0"), *world.temperatures(0, 11, "-3.0", "LOG-N"))
    world.at(11)
    old = world.records.verdict("B1").id
    world.device("LOG-N", "F1")
    world.at(11.1)
    assert world.records.verdict("B1").id != old
    assert ask(old).same
    assert ask().same


def test_a_verdict_from_before_documents_says_so(hot: Any, ask: Ask) -> None:
    with sqlite3.connect(hot.folder / "records.db") as db:
        db.execute("UPDATE verdicts SET document_hash = NULL")
    found = ask()
    assert (found.document, found.same, parts(found)) == (None, False, [("document", "B1.v2")])
    assert found.today is not None


def test_a_batch_whose_name_begins_with_anothers_is_not_mixed_up_with_it(hot: Any, ask: Ask, start: int) -> None:
    batch = replace(hot.records.batch("B1"), id="B1.at.1")
    hot.records.upsert_batch(batch, SARI, "", hot.clock.wall_ms)
    hot.records.add_placement("B1.at.1", "F1", start, SARI, "came", hot.clock.wall_ms)
    hot.records.observe_vvm("B1", "C", SARI, "", hot.clock.wall_ms + 1)
    hot.at(14)
    assert ask().same


@given(
    values=st.lists(st.sampled_from(["5.0", "9.0", "-1.0", None]), min_size=4, max_size=24),
    late=st.lists(st.integers(0, 23), max_size=4),
    seen=st.sampled_from(["", "A", "B"]),
)
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happened_every_verdict_of_a_batch_comes_out_the_same(
    world: Any, start: int, values: list[str | None], late: list[int], seen: str
) -> None:
    """Hours of readings, some of them late, a VVM read in between: each verdict on the way is recomputed."""
    n = len(world.records.batches())
    batch = Batch(f"H{n}", "S1", "93005477", "HepB", "x", date(2027, 1, 1), 10)
    shift = n * 100 * HOUR
    world.clock.wall_ms = start + shift
    world.records.upsert_batch(batch, SARI, "", world.clock.wall_ms)
    world.records.add_placement(batch.id, "F1", start + shift, SARI, "came", world.clock.wall_ms)
    if n == 0:
        world.alerts.start()
    for hour, value in enumerate(values):
        world.clock.wall_ms = start + shift + hour * HOUR
        if hour not in late:
            world.say(world.reading(world.clock.wall_ms, value))
        if hour == 3 and seen:
            world.records.observe_vvm(batch.id, seen, SARI, "", world.clock.wall_ms)
        world.turn()
    world.say(*(world.reading(start + shift + h * HOUR, values[h]) for h in late if h < len(values)))
    world.turn()
    memory = Memory(world.folder / "alerts.db", read_only=True)
    history = world.records.verdict_history(batch.id)
    assert history
    for verdict in history:
        found = explain(world.records, memory, rules_of(Config()), verdict.id, world.clock.now_ms())
        assert found.same, found.differences
    memory.close()


def test_differences_name_fields_in_words_and_times_on_the_sites_clock_with_its_zone() -> None:
    """Of a day of UTC it is said from when to when it is at the site; nothing of the document's own spelling is left."""
    ended = Difference("placement", "to", "was", {"old": None, "new": "2026-11-28T12:29:04.017Z"})
    place = Difference("placement", "P1", "within", within=(ended,))
    day = Difference("fact", "2026-11-28", "day_count", {"was": 3, "now": 4})
    assert (
        difference_text(place, Words("id"), "Asia/Jakarta") == "sampai dulu tidak ada, sekarang 28 Nov 2026 19.29 WIB"
    )
    assert difference_text(place, Words("en"), "Asia/Jakarta") == "to was nothing, is 28 Nov 2026 19:29 WIB"
    said = difference_text(Difference("fact", "LOG-1", "within", within=(day,)), Words("id"), "Asia/Makassar")
    assert "28 Nov 2026 08.00 WITA" in said
    assert "29 Nov 2026 08.00 WITA" in said
    assert "3 data saat itu, 4 sekarang" in said


@pytest.mark.parametrize("language", ["id", "en"])
def test_rows_of_the_product_table_are_told_in_words_and_never_as_json(language: str) -> None:
    """Of every row of the table, against no row at all: ranges, opened vials, budgets, sources."""
    words, nothing = Words(language), product_json(None)
    for product in builtin_table().rows:
        row = product_json(product)
        inner = tuple(Difference("rule", k, "was", {"old": nothing[k], "new": v}) for k, v in row.items())
        said = difference_text(Difference("rule", "product", "within", within=inner), words, "Asia/Jakarta")
        assert not re.search(r"[{}]|': |\bNone\b|\bTrue\b|\bFalse\b|_c\b|_s\b", said), said


def test_a_range_a_vial_and_a_budget_read_as_sentences() -> None:
    levels = [{"levels": ["puskesmas", "hospital"], "low_c": "-25.0", "high_c": "-15.5", "source": "label"}]
    vial = [{"hours": 6, "by": "WHO", "source": "[S7]", "verified": False}]
    budget = [
        {"code": "WARM", "allowed_s": 14400, "above_c": "8.0", "to_c": "30.0", "source": "SmPC", "verified": True}
    ]
    told = [value_text(Words("id"), "Asia/Jakarta", name, value) for name, value in
            (("ranges", levels), ("opened_vial", vial), ("budgets", budget), ("freezer_at", []))]  # fmt: skip
    assert told == [
        "−25,0 sampai −15,5 °C pada Puskesmas, Rumah sakit (label)",
        "6 jam menurut WHO ([S7]) (belum diperiksa dengan dokumen resmi)",
        "paling lama 4 jam pada Di atas 8,0 °C, 30,0 °C atau kurang (SmPC)",
        "tidak ada",
    ]


def test_numbers_of_a_difference_are_written_as_the_language_writes_them() -> None:
    """Found by a reader: a correction stood as -0.3 in a Bahasa sentence."""
    inner = (Difference("correction", "offset_c", "was", {"old": None, "new": "-0.3"}),)
    correction = Difference("correction", "LOG-1/temperature_c", "within", within=inner)
    assert difference_text(correction, Words("id"), "Asia/Jakarta") == "koreksi (°C) dulu tidak ada, sekarang −0,3"
    assert difference_text(correction, Words("en"), "Asia/Jakarta") == "correction (°C) was nothing, is −0.3"
