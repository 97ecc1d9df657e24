"""What a person does with a quarantined message, on the real records, journal, ledger and check: repaired, sent through,
refused again, counted; and what nobody can send through.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.journal import SqliteJournal
from gateway.records import Actor, Code, Device, QuarantineItem, Records, Refused, Role, Site, open_records
from gateway.repairs import Place, Repair, repaired, repairs_for
from ingest.check import Arrived, Standing
from ingest.intake import Intake
from ingest.ledger import EpochKey, Ledger
from ingest.quarantine import Fault, Reason
from smile_iot.run_ingest import RecordsQuarantine, RegistryLookup
from telemetry.contract import Upload, decode_upload, encode_upload
from telemetry.errors import ContractError
from telemetry.readings import Event, Numbered, Ranges, Reading, Stamp, Sync
from telemetry.topics import EdgeAddress

T0 = 1_790_000_000_000
HOUR = 3_600_000
AT = EdgeAddress("s0", "S1", "E1")
KEY = EpochKey("S1", "E1", "ep1")
BOSS, DEWI = Actor("Boss", Role.SUPER_ADMIN), Actor("Dewi", Role.MANAGER)
WHY = "looked at by the test"


class Clock:
    def now_ms(self) -> int:
        return T0 + HOUR


@dataclass
class Desk:
    """A person's and ingest's side of one quarantine."""

    records: Records
    journal: SqliteJournal
    ledger: Ledger
    intake: Intake

    def take(self, payload: bytes, kind: str = "readings", at_ms: int = T0) -> None:
        self.intake.take([Arrived(AT.up(kind), payload, at_ms)])

    def item(self, reason: str) -> QuarantineItem:
        (found,) = [i for i in self.records.quarantine_items() if i.reason == reason]
        return found

    def repair(self, item: QuarantineItem, repair: Repair, supplied: bytes = b"") -> None:
        topic, payload = repaired(item, repair, Place("s0"), supplied)
        self.records.correct_quarantine(item.id, repair, topic, payload, DEWI, WHY, T0)

    def replay(self, item: QuarantineItem) -> QuarantineItem:
        self.records.ask_replay(item.id, DEWI, WHY, T0)
        self.intake.sweep()
        return self.records.quarantine_item(item.id)

    def facts(self, edge: str = "E1") -> list[Numbered]:
        return [n for _, e in self.journal.after(0, 100) if e.edge == edge for n in decode_upload(e.payload).facts]

    @property
    def state(self) -> Any:
        return self.ledger.state(KEY)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr("smile_iot.run_ingest.REGISTRY_FRESH_S", 0.0)
    clock: Any = Clock()
    journal, ledger = SqliteJournal(tmp_path / "journal.db"), Ledger(tmp_path / "ledger.db")
    with open_records(tmp_path / "records.db") as records:
        for site in ("S1", "S2"):
            records.upsert_site(Site(site, site, "kab", "Asia/Jakarta", "s0", "puskesmas"), BOSS, "", T0)
        records.upsert_device(Device("LOG-1", "S1", "E1", "bthome"), BOSS, "", T0)
        records.upsert_device(Device("LOG-2", "S2", "E1", "bthome"), BOSS, "", T0)
        quarantine = RecordsQuarantine(records, clock)
        lookup = RegistryLookup(records)
        intake = Intake(journal, ledger, quarantine, lookup, in_service=lookup.in_service_ms)
        yield Desk(records, journal, ledger, intake)
        assert records.verify_chain("S1").ok
    ledger.close()
    journal.close()


def reading(number: int, value: str = "4.5", *, serial: str = "LOG-1", at_ms: int = T0) -> Numbered:
    stamp = Stamp("boot", number * 1_000_000_000, at_ms, Sync.SYNCED, 5)
    return Numbered(number, Reading(f"{serial}/temperature_c", Decimal(value), at_ms, stamp))


def upload(*facts: Numbered, edge: str = "E1", epoch: str = "ep1") -> bytes:
    return encode_upload(Upload("readings", edge, epoch, T0, facts))


def actions(desk: Desk) -> list[tuple[str, str]]:
    return [(r.action, r.actor) for r in desk.records.changes_after(0) if r.kind == "quarantine"]


def test_a_device_of_another_site_is_sent_through_once_it_is_moved_here(desk: Desk) -> None:
    desk.take(upload(reading(1, serial="LOG-2")))
    item = desk.item("wrong_site")
    assert desk.state.quarantined == Ranges([(1, 1)])
    refused = desk.replay(item)
    assert (refused.state, refused.reason, refused.asked_ms) == ("waiting", "wrong_site", None)
    desk.records.upsert_device(Device("LOG-2", "S1", "E1", "bthome"), BOSS, "moved", T0)
    done = desk.replay(item)
    assert done.state == "replayed"
    assert [n.seq for n in desk.facts()] == [1]
    assert desk.state.have == Ranges([(1, 1)])
    assert actions(desk) == [
        ("quarantine_replay_asked", "Dewi"),
        ("quarantine_replay_refused", "ingest"),
        ("quarantine_replay_asked", "Dewi"),
        ("quarantine_replayed", "ingest"),
    ]


def test_a_clock_that_was_ahead_is_accepted_without_its_time(desk: Desk) -> None:
    desk.take(upload(reading(1, at_ms=T0 + 24 * HOUR)))
    item = desk.item("clock_ahead")
    desk.repair(item, Repair.UNDATED)
    assert desk.replay(item).state == "replayed"
    ((_, fact),) = [(n.seq, n.fact) for n in desk.facts()]
    assert isinstance(fact, Reading)
    assert (fact.sampled_at_ms, fact.value, fact.stamp.sync) == (None, Decimal("4.5"), Sync.UNSYNCED)
    assert fact.stamp.boottime_ns == 1_000_000_000  # an anchor of this boot may date it
    assert desk.state.have == Ranges([(1, 1)])


def test_req_10_what_is_dated_before_the_device_was_in_service_waits_until_clock_or_date_is_put_right(
    desk: Desk,
) -> None:
    """cold-chain.md 10: before EDOP/LDOP; sent through once the registration's date was corrected."""
    made = Device("LOG-1", "S1", "E1", "bthome", in_service_ms=T0)
    desk.records.upsert_device(made, BOSS, "its data sheet", T0)
    desk.take(upload(reading(1, at_ms=T0 - HOUR), reading(2)))
    item = desk.item("before_service")
    assert (item.serials, [n.seq for n in desk.facts()]) == (("LOG-1",), [2])
    assert desk.replay(item).reason == "before_service"
    desk.records.upsert_device(replace(made, in_service_ms=T0 - HOUR), BOSS, "the year was wrong", T0)
    assert desk.replay(item).state == "replayed"
    assert [n.seq for n in desk.facts()] == [2, 1]
    assert desk.state.have == Ranges([(1, 2)])


def test_a_wrong_anchor_accepted_without_its_time_anchors_nothing(desk: Desk) -> None:
    from telemetry.readings import is_anchor

    ahead = T0 + 24 * HOUR
    event = Event(
        "clock_anchored", "E1", sampled_at_ms=ahead, stamp=Stamp("boot", 5, ahead, Sync.SYNCED, 5), detail={}
    )
    desk.take(encode_upload(Upload("events", "E1", "ep1", T0, (Numbered(1, event),))), "events")
    item = desk.item("clock_ahead")
    desk.repair(item, Repair.UNDATED)
    assert desk.replay(item).state == "replayed"
    (kept,) = [n.fact for n in desk.facts()]
    assert isinstance(kept, Event)
    assert not is_anchor(kept)


def test_a_clock_at_1970_that_claimed_to_be_right_is_accepted_without_its_time(desk: Desk) -> None:
    desk.take(upload(reading(1, at_ms=1_000_000)))
    item = desk.item("clock_behind")
    desk.repair(item, Repair.UNDATED)
    assert desk.replay(item).state == "replayed"


def test_an_upload_that_names_another_edge_is_readdressed_to_the_one_that_sent_it(desk: Desk) -> None:
    desk.take(upload(reading(1), edge="E9"))
    item = desk.item("address_mismatch")
    desk.repair(item, Repair.READDRESS)
    assert desk.replay(item).state == "replayed"
    assert [n.seq for n in desk.facts()] == [1]


def test_a_kind_that_is_not_the_topics_is_readdressed(desk: Desk) -> None:
    desk.take(upload(reading(1)), "weighings")
    item = desk.item("kind_mismatch")
    desk.repair(item, Repair.READDRESS)
    assert desk.replay(item).state == "replayed"


def test_two_facts_under_one_number_are_both_kept_the_second_as_imported(desk: Desk) -> None:
    desk.take(upload(reading(1, "4.5")))
    desk.take(upload(reading(1, "9.9", at_ms=T0 + 1000)))
    item = desk.item("number_conflict")
    desk.repair(item, Repair.IMPORT)
    assert desk.replay(item).state == "replayed"
    assert [n.fact.value for n in desk.facts() if isinstance(n.fact, Reading)] == [Decimal("4.5")]
    (imported,) = desk.facts("import")
    assert isinstance(imported.fact, Reading)
    assert (imported.seq, imported.fact.value) == (1, Decimal("9.9"))
    assert desk.ledger.state(EpochKey("S1", "import", f"q-{item.id}")).have == Ranges([(1, 1)])


def test_a_conflict_sent_through_as_it_is_stays_a_conflict(desk: Desk) -> None:
    desk.take(upload(reading(1, "4.5")))
    desk.take(upload(reading(1, "9.9", at_ms=T0 + 1000)))
    item = desk.item("number_conflict")
    desk.repair(item, Repair.SUPPLIED, upload(reading(1, "9.8", at_ms=T0 + 1000)))
    refused = desk.replay(item)
    assert (refused.state, refused.reason) == ("waiting", "number_conflict")
    assert len(desk.records.quarantine_items()) == 1
    assert len(desk.facts()) == 1


def test_what_the_store_rejected_comes_in_anew_as_imported(desk: Desk) -> None:
    """It was receipted and its number is taken; its topic is the store's."""
    desk.take(upload(reading(1)))
    fault = Fault(
        Reason.STORE_REJECTED, "x", "store", upload(reading(1)), T0, "S1", "E1", "ep1", "LOG-1", Ranges([(1, 1)])
    )
    RecordsQuarantine(desk.records, Clock()).put([fault])  # type: ignore[arg-type]
    item = desk.item("store_rejected")
    desk.repair(item, Repair.IMPORT)
    assert desk.replay(item).state == "replayed"
    assert len(desk.facts("import")) == 1


def test_a_broken_message_is_corrected_by_hand_and_its_bytes_stay(desk: Desk) -> None:
    broken = upload(reading(1)).replace(b"4.5", b"999999")
    desk.take(broken)
    item = desk.item("out_of_bounds")
    desk.repair(item, Repair.SUPPLIED, upload(reading(1, "9.9")))
    done = desk.replay(item)
    assert (done.state, done.payload, done.topic) == ("replayed", broken, AT.up("readings"))
    assert done.corrected == upload(reading(1, "9.9"))
    assert actions(desk)[0] == ("quarantine_corrected", "Dewi")


def test_a_correction_that_is_refused_waits_again_with_its_new_reason(desk: Desk) -> None:
    desk.take(upload(reading(1)).replace(b"4.5", b"999999"))
    item = desk.item("out_of_bounds")
    desk.repair(item, Repair.SUPPLIED, upload(reading(1, serial="NEW-1")))
    refused = desk.replay(item)
    assert (refused.state, refused.reason, refused.asked_ms) == ("waiting", "unknown_device", None)
    assert desk.facts() == []
    desk.records.upsert_device(Device("NEW-1", "S1", "E1", "bthome"), BOSS, "", T0)
    assert desk.replay(item).state == "replayed"


def test_of_a_correction_that_is_good_in_part_the_rest_waits_as_a_message_of_its_own(desk: Desk) -> None:
    desk.take(upload(reading(1), reading(2)).replace(b"4.5", b"999999", 1))
    item = desk.item("out_of_bounds")
    desk.repair(item, Repair.SUPPLIED, upload(reading(1), reading(2, serial="NEW-1")))
    assert desk.replay(item).state == "replayed"
    assert [n.seq for n in desk.facts()] == [1]
    assert desk.item("unknown_device").serials == ("NEW-1",)
    assert desk.state.quarantined == Ranges([(2, 2)])


def test_a_replay_that_is_tried_twice_journals_once(desk: Desk) -> None:
    """A kill between the journal and the quarantine: the next sweep tries again."""
    desk.take(upload(reading(1, at_ms=T0 + 24 * HOUR)))
    item = desk.item("clock_ahead")
    desk.repair(item, Repair.UNDATED)
    desk.records.ask_replay(item.id, DEWI, WHY, T0)
    quarantine: Any = desk.intake._quarantine
    (asked,) = quarantine.asked()
    real = quarantine.replayed
    quarantine.replayed = lambda _ids: None
    desk.intake.sweep()
    assert quarantine.asked() == [asked]
    quarantine.replayed = real
    desk.intake.sweep()
    assert desk.records.quarantine_item(item.id).state == "replayed"
    assert len(desk.facts()) == 1


@pytest.mark.parametrize("reason", ["no_mac", "bad_mac", "edge_revoked", "unknown_edge"])
def test_what_was_refused_for_its_signature_is_never_sent_through(desk: Desk, reason: str) -> None:
    standings = {
        "no_mac": Standing((bytes(32),), required=True),
        "bad_mac": Standing((bytes(32),), required=True),
        "edge_revoked": Standing(revoked=True),
        "unknown_edge": Standing(required=True),
    }
    desk.intake._edges = lambda _site, _edge: standings[reason]
    payload = upload(reading(1))
    desk.take(payload.replace(b'"mac":null', b'"mac":"' + b"0" * 32 + b'"') if reason == "bad_mac" else payload)
    item = desk.item(reason)
    assert repairs_for(reason) == ()
    for repair in Repair:
        with pytest.raises(ContractError):
            repaired(item, repair, Place("s0"), payload)
    with pytest.raises(Refused) as refused:
        desk.records.correct_quarantine(item.id, Repair.SUPPLIED, item.topic, payload, BOSS, WHY, T0)
    assert refused.value.code is Code.NOT_REPLAYABLE
    with pytest.raises(Refused) as refused:
        desk.records.ask_replay(item.id, BOSS, WHY, T0)
    assert refused.value.code is Code.NOT_REPLAYABLE
    assert desk.records.settle_quarantine(item.id, "discarded", DEWI, WHY, T0).state == "discarded"


def test_people_correct_with_a_reason_and_once_it_is_settled_nothing_is_changed(desk: Desk) -> None:
    desk.take(upload(reading(1, at_ms=T0 + 24 * HOUR)))
    item = desk.item("clock_ahead")
    for actor, why, code in ((Actor.system("x"), WHY, Code.PERSON_REQUIRED), (DEWI, " ", Code.REASON_REQUIRED)):
        with pytest.raises(Refused) as refused:
            desk.records.correct_quarantine(item.id, "undated", item.topic, b"x", actor, why, T0)
        assert refused.value.code is code
    desk.repair(item, Repair.UNDATED)
    desk.replay(item)
    for act in (
        lambda: desk.records.correct_quarantine(item.id, "undated", item.topic, b"x", DEWI, WHY, T0),
        lambda: desk.records.ask_replay(item.id, DEWI, WHY, T0),
        lambda: desk.records.settle_quarantine(item.id, "discarded", DEWI, WHY, T0),
    ):
        with pytest.raises(Refused) as refused:
            act()
        assert refused.value.code is Code.NOT_WAITING


def test_the_same_bytes_that_come_again_wait_once_whatever_became_of_the_reason(desk: Desk) -> None:
    payload = upload(reading(1)).replace(b"4.5", b"999999")
    desk.take(payload)
    item = desk.item("out_of_bounds")
    desk.repair(item, Repair.SUPPLIED, upload(reading(1, serial="NEW-1")))
    desk.replay(item)
    desk.take(payload)
    assert len(desk.records.quarantine_items(state=None)) == 1


def test_an_older_answer_does_not_end_a_newer_wish(desk: Desk) -> None:
    desk.take(upload(reading(1)).replace(b"4.5", b"999999"))
    item = desk.item("out_of_bounds")
    desk.repair(item, Repair.SUPPLIED, upload(reading(1)))
    asked = desk.records.ask_replay(item.id, DEWI, WHY, T0 + 1)
    desk.records.replay_refused(item.id, "x", "y", Actor.system("ingest"), T0, asked_ms=T0)
    assert desk.records.quarantine_item(item.id) == asked


def test_a_repair_that_does_not_fit_says_so() -> None:
    item = QuarantineItem("i", "S1", "E1", "ep1", AT.up("readings"), "not_json", "x", T0, b"{oops")
    assert repairs_for("not_json") == (Repair.SUPPLIED,)
    for repair in (Repair.UNDATED, Repair.IMPORT, Repair.READDRESS, Repair.AS_IS):
        with pytest.raises(ContractError):
            repaired(item, repair, Place("s0"))
    with pytest.raises(ContractError):
        repaired(item, Repair.SUPPLIED, Place("s0"), b"{oops")
    empty = replace(item, reason="number_conflict", payload=upload())
    with pytest.raises(ContractError):
        repaired(empty, Repair.IMPORT, Place("s0"))


def test_a_repaired_message_carries_no_signature() -> None:
    payload = json.loads(upload(reading(1)))
    payload["mac"] = "0" * 32
    item = QuarantineItem(
        "i", "S1", "E1", "ep1", AT.up("readings"), "clock_ahead", "x", T0, json.dumps(payload).encode()
    )
    _, made = repaired(item, Repair.UNDATED, Place("s0"))
    assert decode_upload(made).mac is None
