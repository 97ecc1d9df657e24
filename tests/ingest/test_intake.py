"""From messages to the journal without a broker: duplicates, quarantine, receipts, kills between the steps."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.journal import Entry
from ingest.check import Arrived
from ingest.identities import IdentityKind
from ingest.intake import Intake
from ingest.ledger import Change, EpochKey, Ledger, read_clocks, read_identities, read_ledger
from telemetry.contract import Receipt, decode_upload, encode_upload
from telemetry.errors import NeighbourDownError
from telemetry.readings import Ranges

KEY = EpochKey("SITE1", "E1", "epoch1")


def journaled(pipeline: Any) -> list[int]:
    found: list[int] = []
    for _, entry in pipeline.journal.after(0, 10_000):
        found += [n.seq for n in decode_upload(entry.payload).facts]
    return found


def lines_of(pipeline: Any) -> list[Any]:
    """What another process reads."""
    pipeline.ledger.flush()
    return read_ledger(pipeline.folder / "ledger.db")


def test_a_batch_is_one_commit_and_its_epochs_get_receipts(pipeline: Any, make: Any) -> None:
    keys = pipeline.intake.take([make.message([make.reading(1)]), make.message([make.reading(2), make.reading(3)])])
    assert keys == {KEY: False}
    receipt = pipeline.ledger.receipt(KEY)
    assert (receipt.epoch, receipt.have, receipt.quarantined) == ("epoch1", Ranges([(1, 3)]), Ranges())
    assert next(e.payload for _, e in pipeline.journal.after(0, 9)) == make.message([make.reading(1)]).payload


def test_the_same_upload_again_is_counted_and_answered_but_not_journaled(pipeline: Any, make: Any) -> None:
    message = make.message([make.reading(1), make.reading(2)])
    pipeline.intake.take([message, message])
    assert pipeline.intake.take([message]) == {KEY: False}
    assert journaled(pipeline) == [1, 2]
    assert pipeline.ledger.state(KEY).duplicates == 4


def test_an_upload_that_is_partly_new_is_journaled_whole(pipeline: Any, make: Any) -> None:
    pipeline.intake.take([make.message([make.reading(1)])])
    pipeline.intake.take([make.message([make.reading(1), make.reading(2)])])
    assert journaled(pipeline) == [1, 1, 2]
    assert pipeline.ledger.state(KEY).have == Ranges([(1, 2)])
    assert pipeline.ledger.state(KEY).duplicates == 1


def test_quarantined_numbers_stand_apart_in_the_receipt(pipeline: Any, make: Any) -> None:
    """design.md's receipt: have [[1,148],[160,171]], quarantined [[150,150]]."""
    message = make.message([make.reading(1), make.reading(2, stream="NEW/temperature_c"), make.reading(3)])
    pipeline.intake.take([message])
    pipeline.intake.take([message])  # comes again: nothing waits twice
    receipt = pipeline.ledger.receipt(KEY)
    assert receipt.have == Ranges([(1, 1), (3, 3)])
    assert receipt.quarantined == Ranges([(2, 2)])
    assert len(pipeline.quarantine.rows()) == 1


def spoiled(make: Any, numbers: list[int], **stream: Any) -> Arrived:
    """An upload whose values are out of bounds."""
    body = json.loads(make.message([make.reading(n) for n in numbers]).payload)
    body["streams"][0] |= {"value": [999] * len(numbers)} | stream
    return Arrived(make.address.up("readings"), json.dumps(body).encode(), make.t0)


def test_a_refused_upload_is_answered_so_that_its_edge_halves_it(pipeline: Any, make: Any) -> None:
    """The receipt names none of its numbers: which of the two facts is bad is not ours to say."""
    assert pipeline.intake.take([spoiled(make, [1, 2])]) == {KEY: False}
    assert pipeline.ledger.receipt(KEY).have == pipeline.ledger.receipt(KEY).quarantined == Ranges()
    assert pipeline.ledger.state(KEY).shard == "s1"
    cut = Arrived(make.address.up("readings"), b'{"v":1', make.t0)
    assert pipeline.intake.take([cut]) == {KEY: False}
    assert [row[0] for row in pipeline.quarantine.rows()] == ["out_of_bounds", "not_json"]


def test_a_refused_upload_of_one_fact_waits_once_and_is_not_sent_for_ever(pipeline: Any, make: Any) -> None:
    bad = spoiled(make, [7])
    pipeline.intake.take([bad])
    later = Arrived(bad.topic, bad.payload.replace(b'"mac": null', b'"mac": "later"'), bad.received_at_ms)
    assert pipeline.intake.take([later]) == {KEY: False}
    assert pipeline.ledger.receipt(KEY).quarantined == Ranges([(7, 7)])
    assert len(pipeline.quarantine.rows()) == 1
    pipeline.intake.take([make.message([make.reading(7)])])  # the edge was mended and has it right now
    assert pipeline.ledger.receipt(KEY) == Receipt("epoch1", Ranges([(7, 7)]))


def test_what_has_been_received_is_not_quarantined_afterwards(pipeline: Any, make: Any) -> None:
    pipeline.intake.take([make.message([make.reading(7)])])
    pipeline.intake.take([spoiled(make, [7])])
    assert pipeline.ledger.receipt(KEY) == Receipt("epoch1", Ranges([(7, 7)]))


@pytest.mark.parametrize(
    "change",
    [{"edge": "E2"}, {"epoch": "a b"}, {"epoch": 5}, {"v": 2}, {"ranges": [[True, True]]}, {"ranges": [[7, 8]]},
     {"ranges": None}, {"edge": None}],
)  # fmt: skip
def test_a_refused_upload_claims_no_number_that_is_not_surely_its_own(
    pipeline: Any, make: Any, change: dict[str, Any]
) -> None:
    """Another edge's, an unreadable epoch's; and a version that a younger server will read."""
    body = json.loads(spoiled(make, [7]).payload) | change
    pipeline.intake.take([Arrived(make.address.up("readings"), json.dumps(body).encode(), make.t0)])
    assert all(not state.quarantined for state in pipeline.ledger.states.values())
    assert len(pipeline.quarantine.rows()) == 1


def test_registering_a_device_replays_its_quarantine(pipeline: Any, make: Any) -> None:
    news = [make.reading(n, stream="NEW/temperature_c") for n in (1, 2)]
    pipeline.intake.take([make.message([news[0]]), make.message([news[1], make.reading(3)])])
    assert pipeline.intake.sweep() == []
    pipeline.homes["NEW"] = "SITE1"
    assert pipeline.intake.sweep() == [KEY]
    assert sorted(journaled(pipeline)) == [1, 2, 3]
    assert pipeline.ledger.receipt(KEY).have == Ranges([(1, 3)])
    assert not pipeline.ledger.receipt(KEY).quarantined
    assert pipeline.intake.sweep() == []
    assert {row[4] for row in pipeline.quarantine.rows()} == {"replayed"}


def test_a_replay_after_a_registration_dates_nothing_by_a_wrong_clock(pipeline: Any, make: Any) -> None:
    """A device that is not known is the first thing that is seen of a fact; its clock is looked at when it is known."""
    ahead_ms = make.t0 + 1_000_000_000
    wrong = {"stream": "NEW/temperature_c", "sampled_at_ms": ahead_ms, "stamp": make.stamp(ahead_ms)}
    pipeline.intake.take([make.message([make.reading(1, **wrong), make.reading(2, stream="NEW/temperature_c")])])
    pipeline.intake.take([make.message([make.reading(3, **wrong)])])
    pipeline.homes["NEW"] = "SITE1"
    for _ in range(2):
        pipeline.intake.sweep()
    assert journaled(pipeline) == [2]
    receipt = pipeline.ledger.receipt(KEY)
    assert (receipt.have, receipt.quarantined) == (Ranges([(2, 2)]), Ranges([(1, 1), (3, 3)]))
    waiting = [(row[0], decode_upload(row[3]).ranges) for row in pipeline.quarantine.rows() if row[4] == "waiting"]
    assert sorted(waiting, key=str) == [
        ("clock_ahead", Ranges([(1, 1)])),
        ("clock_ahead", Ranges([(3, 3)])),
    ]


def test_two_pis_of_one_card_lose_no_faulty_reading_under_a_number_that_is_settled(pipeline: Any, make: Any) -> None:
    """The number is received, or waits; the other Pi's fact under it is another fact and waits beside it."""
    strange = make.reading(2, "9.5", stream="NEW/temperature_c")
    pipeline.intake.take([make.message([make.reading(1), strange])])
    pipeline.intake.take([make.message([make.reading(1, "7.5", stream="NEW/temperature_c")])])
    pipeline.intake.take([make.message([make.reading(2, "8.5", stream="NEW/temperature_c")])])
    pipeline.intake.take([replace(make.message([make.reading(1), strange]), received_at_ms=make.t0)])
    waiting = [n.fact.value for row in pipeline.quarantine.rows() for n in decode_upload(row[3]).facts]
    assert [str(value) for value in waiting] == ["9.5", "7.5", "8.5"]


def test_the_same_reading_at_fault_sent_at_another_time_waits_once(pipeline: Any, make: Any) -> None:
    facts = [make.reading(1, stream="NEW/temperature_c")]
    for sent_at_ms in (make.t0, make.t0 + 5_000):
        payload = encode_upload(make.upload(facts, sent_at_ms=sent_at_ms))
        pipeline.intake.take([Arrived(make.address.up("readings"), payload, sent_at_ms)])
    assert len(pipeline.quarantine.rows()) == 1


def test_a_device_known_no_more_makes_no_fault_of_readings_that_are_held(pipeline: Any, make: Any) -> None:
    message = make.message([make.reading(1), make.reading(2)])
    pipeline.intake.take([message])
    home = pipeline.homes.pop("T1")
    pipeline.intake.take([message])
    pipeline.homes["T1"] = home
    assert pipeline.quarantine.rows() == []
    assert pipeline.ledger.state(KEY).duplicates == 2


def test_of_two_shards_workers_the_sites_own_replays(pipeline: Any, make: Any) -> None:
    """They share the quarantine and the journal: each item goes through once, into its own shard's ledger."""
    pipeline.intake.take([make.message([make.reading(1, stream="NEW/temperature_c")])])
    pipeline.homes["NEW"] = "SITE1"
    other = Ledger(pipeline.folder / "ledger-s2.db")
    stranger = Intake(
        pipeline.journal, other, pipeline.quarantine, pipeline.homes.get, mine=lambda site: site == "SITE2"
    )
    stranger.start()
    assert stranger.sweep() == []
    assert pipeline.intake.sweep() == [KEY]
    assert journaled(pipeline) == [1]
    assert stranger.sweep() == []
    assert other.states == {}
    assert other.offset == pipeline.journal.last_offset()  # so that the journal may forget
    other.close()


def test_a_device_registered_at_anwrong_site_stays_in_quarantine(pipeline: Any, make: Any) -> None:
    pipeline.intake.take([make.message([make.reading(1, stream="NEW/temperature_c")])])
    pipeline.homes["NEW"] = "SITE2"
    assert pipeline.intake.sweep() == []
    assert journaled(pipeline) == []
    assert pipeline.ledger.receipt(KEY).quarantined == Ranges([(1, 1)])


def test_a_replay_cut_off_before_its_mark_journals_nothing_twice(pipeline: Any, make: Any) -> None:
    pipeline.intake.take([make.message([make.reading(1, stream="NEW/temperature_c")])])
    pipeline.homes["NEW"] = "SITE1"
    mark = pipeline.quarantine.replayed
    pipeline.quarantine.replayed = lambda ids: (_ for _ in ()).throw(RuntimeError("SIGKILL"))
    with pytest.raises(RuntimeError):
        pipeline.intake.sweep()
    pipeline.quarantine.replayed = mark
    pipeline.restart()
    pipeline.intake.sweep()
    assert journaled(pipeline) == [1]


def test_hello_says_what_was_produced_so_that_a_silent_loss_shows(pipeline: Any, make: Any) -> None:
    pipeline.intake.take([make.hello(5), make.message([make.reading(2)])])
    (line,) = lines_of(pipeline)
    assert (line.numbered_to, line.received, line.missing) == (5, 1, Ranges([(1, 1), (3, 5)]))
    assert [e.kind for _, e in pipeline.journal.after(0, 9)] == ["hello", "readings"]


@pytest.mark.parametrize("said", [True, -3, 1 << 70, "9", None, [1]])
def test_a_hello_that_says_nonsense_claims_nothing(pipeline: Any, make: Any, said: object) -> None:
    pipeline.intake.take([make.hello(said)])  # type: ignore[arg-type]
    assert pipeline.ledger.state(KEY).numbered_to == 0


def test_thinned_numbers_are_thinned_and_neither_received_nor_missing(pipeline: Any, make: Any) -> None:
    """design.md promise 1: the ledger says "thinned", never "received"."""
    thinned = make.event(9, "readings_thinned", "E1", detail={"ranges": "[[2,4],[6,6]]"})
    pipeline.intake.take([make.message([make.reading(1)]), make.message([thinned], "events")])
    (line,) = lines_of(pipeline)
    assert (line.received, line.thinned) == (2, 4)
    assert line.missing == Ranges([(5, 5), (7, 8)])


@pytest.mark.parametrize("text", ["x", "[[1]]", "[[2,1]]", '[["a","b"]]', "7", "[[0,2]]", None, 5])
def test_a_thinning_that_cannot_be_read_thins_nothing(pipeline: Any, make: Any, text: object) -> None:
    event = make.event(1, "readings_thinned", "E1", detail={"ranges": text})
    pipeline.intake.take([make.message([event], "events")])
    assert not pipeline.ledger.state(KEY).thinned


def test_two_epochs_are_two_lines_and_the_newest_hello_is_current(pipeline: Any, make: Any) -> None:
    pipeline.intake.take([make.hello(3, at_ms=1_000)])
    make.epoch = "epoch2"
    pipeline.intake.take([make.hello(1, at_ms=2_000)])
    make.epoch = "epoch1"
    pipeline.intake.take([make.message([make.reading(1)], at_ms=3_000)])  # a late message of the old outbox
    lines = {line.epoch: line for line in lines_of(pipeline)}
    assert {e: line.current for e, line in lines.items()} == {"epoch1": False, "epoch2": True}
    assert pipeline.ledger.current_keys() == [EpochKey("SITE1", "E1", "epoch2")]


def test_a_kill_between_journal_and_ledger_is_made_good_at_start(pipeline: Any, make: Any) -> None:
    pipeline.ledger.commit = lambda changes, offset: (_ for _ in ()).throw(RuntimeError("SIGKILL"))
    message = make.message([make.reading(1), make.reading(2)])
    with pytest.raises(RuntimeError):
        pipeline.intake.take([message])
    pipeline.restart()
    assert pipeline.ledger.receipt(KEY).have == Ranges([(1, 2)])
    pipeline.intake.take([message])  # the broker sends it again
    assert journaled(pipeline) == [1, 2]


def test_a_kill_between_quarantine_and_journal_quarantines_nothing_twice(pipeline: Any, make: Any) -> None:
    append = pipeline.journal.append
    pipeline.journal.append = lambda entries: (_ for _ in ()).throw(NeighbourDownError("journal", "gone"))
    message = make.message([make.reading(1), make.reading(2, stream="NEW/temperature_c")])
    for _ in range(3):
        with pytest.raises(NeighbourDownError):
            pipeline.intake.take([message])
    assert not pipeline.ledger.states
    pipeline.journal.append = append
    pipeline.intake.take([message])
    assert len(pipeline.quarantine.rows()) == 1
    assert journaled(pipeline) == [1]


def test_a_journal_restored_from_a_backup_takes_the_ledgers_claims_back(pipeline: Any, make: Any) -> None:
    """A receipt never claims what the journal lost; the gap is then asked for."""
    pipeline.intake.take([make.message([make.reading(1)])])
    backup = pipeline.journal.after(0, 9)
    pipeline.intake.take([make.message([make.reading(2)])])
    for name in ("journal.db", "journal.db-wal", "journal.db-shm"):
        (pipeline.folder / name).unlink(missing_ok=True)
    pipeline.restart()
    assert pipeline.ledger.state(KEY).have == Ranges()
    pipeline.journal.append([entry for _, entry in backup])
    pipeline.restart()
    assert pipeline.ledger.state(KEY).have == Ranges([(1, 1)])


def test_the_ledger_outlives_forgotten_entries(pipeline: Any, make: Any) -> None:
    pipeline.intake.take([make.message([make.reading(n)]) for n in (1, 2, 3)])
    pipeline.ledger.flush()  # housekeeping forgets only what the ledger's file has passed
    pipeline.journal.forget(pipeline.journal.last_offset() + 1)
    pipeline.restart()
    assert pipeline.ledger.receipt(KEY).have == Ranges([(1, 3)])


def test_reopened_numbers_are_missing_and_journaled_again(pipeline: Any, make: Any) -> None:
    """A lost store after the journal's retention: the operator reopens, the edge re-sends (promise 3)."""
    message = make.message([make.reading(n) for n in (1, 2, 3)])
    pipeline.intake.take([message])
    pipeline.ledger.reopen(KEY, Ranges([(2, 3)]))
    pipeline.restart()
    assert pipeline.ledger.state(KEY).missing == Ranges([(2, 3)])
    pipeline.intake.take([message])
    assert journaled(pipeline) == [1, 2, 3, 1, 2, 3]


def test_an_unreadable_journal_entry_does_not_stop_the_start(pipeline: Any, make: Any) -> None:
    pipeline.journal.append(
        [Entry("SITE1", "E1", "epoch1", "readings", 1, b"\xff"), Entry("S", "", "", "import", 1, b"")]
    )
    pipeline.restart()
    assert pipeline.intake.take([make.message([make.reading(1)])]) == {KEY: False}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=5, unique=True), min_size=1, max_size=8), st.data())
def test_however_uploads_overlap_and_batches_fall_every_number_is_journaled(
    pipeline: Any, make: Any, uploads: list[list[int]], data: Any
) -> None:
    """The receipt holds exactly the numbers sent, the journal holds each at least once."""
    make.epoch = uuid.uuid4().hex
    messages = [make.message([make.reading(n) for n in sorted(numbers)]) for numbers in uploads]
    while messages:
        size = data.draw(st.integers(1, len(messages)))
        pipeline.intake.take(messages[:size])
        messages = messages[size:]
    sent = {n for numbers in uploads for n in numbers}
    key = EpochKey("SITE1", "E1", make.epoch)
    assert pipeline.ledger.receipt(key).have == Ranges.of(sent)
    mine = [e for _, e in pipeline.journal.after(0, 100_000) if e.epoch == make.epoch]
    assert {n.seq for e in mine for n in decode_upload(e.payload).facts} == sent
    assert numbers_of(mine) == sent


def numbers_of(entries: Iterable[Entry]) -> set[int]:
    return {number for entry in entries for number in decode_upload(entry.payload).ranges}


# --- numbers that come again ---------------------------------------------------------------------------------


def conflicts_of(pipeline: Any) -> list[tuple[int, ...]]:
    """The numbers of each item that waits for this reason."""
    rows = [row for row in pipeline.quarantine.rows() if row[0] == "number_conflict"]
    return [tuple(decode_upload(row[3]).ranges) for row in rows]


@pytest.mark.parametrize("flushed", [True, False])
def test_one_number_with_other_content_waits_in_quarantine_and_is_counted(
    pipeline: Any, make: Any, flushed: bool
) -> None:
    """Two Pis that run copies of one card: to swallow the second as a repeat would lose a reading unseen."""
    pipeline.intake.take([make.message([make.reading(n, "5.0") for n in (1, 2, 3)])])
    if flushed:
        pipeline.restart()
    other = make.message([make.reading(1, "5.0"), make.reading(2, "9.9"), make.reading(3, "8.8"), make.reading(4)])
    assert pipeline.intake.take([other]) == {KEY: False}
    assert conflicts_of(pipeline) == [(2, 3)]
    assert journaled(pipeline) == [1, 2, 3, 1, 4]
    (line,) = lines_of(pipeline)
    assert (line.received, line.conflicts, line.duplicates, line.streams[0].received) == (4, 2, 1, 4)


def test_a_conflict_sent_again_waits_once_and_a_third_content_waits_beside_it(pipeline: Any, make: Any) -> None:
    pipeline.intake.take([make.message([make.reading(1, "5.0")])])
    for value in ("6.0", "6.0", "7.0"):
        message = make.message([make.reading(1, value)])
        later = make.upload([make.reading(1, value)], sent_at_ms=make.t0 + 5_000)
        pipeline.intake.take([message, Arrived(message.topic, encode_upload(later), message.received_at_ms)])
    assert conflicts_of(pipeline) == [(1,), (1,)]


def test_a_conflict_within_one_batch_is_seen(pipeline: Any, make: Any) -> None:
    pipeline.intake.take([make.message([make.reading(1, "5.0")]), make.message([make.reading(1, "6.0")])])
    assert conflicts_of(pipeline) == [(1,)]
    assert journaled(pipeline) == [1]


def test_a_reading_dated_meanwhile_is_the_same_reading(pipeline: Any, make: Any) -> None:
    pipeline.intake.take([make.message([make.reading(1, sampled_at_ms=None)])])
    pipeline.intake.take([make.message([make.reading(1)])])
    assert conflicts_of(pipeline) == []
    assert pipeline.ledger.state(KEY).duplicates == 1


def test_what_cannot_be_compared_any_more_is_journaled_again(pipeline: Any, make: Any) -> None:
    """The store decides by the identity of the reading; a doubt costs room, never a reading."""
    pipeline.intake.take([make.message([make.reading(1, "5.0")])])
    pipeline.ledger.flush()
    pipeline.journal.forget(pipeline.journal.last_offset() + 1)
    pipeline.intake.take([make.message([make.reading(1, "6.0")])])
    assert journaled(pipeline) == [1]


def test_a_storm_of_repeats_costs_bounded_looks_into_the_journal(pipeline: Any, make: Any) -> None:
    for n in range(1, 101):
        pipeline.intake.take([make.message([make.reading(n)])])
        pipeline.ledger.flush()
    reads: list[int] = []
    after = pipeline.journal.after
    pipeline.journal.after = lambda offset, limit: (reads.append(offset), after(offset, limit))[1]
    pipeline.intake.take([make.message([make.reading(n)]) for n in range(1, 101)])
    assert len(reads) <= 16
    assert pipeline.ledger.state(KEY).duplicates == 100


@pytest.mark.parametrize("kind", ["events", "weighings"])
def test_other_facts_are_compared_too(pipeline: Any, make: Any, kind: str) -> None:
    def message(word: str) -> Arrived:
        fact = (
            make.event(1, "power_lost", word) if kind == "events" else make.weighing(1, {"a": "W1", "b": "T1"}[word])
        )
        return make.message([fact], kind)

    pipeline.intake.take([message("a")])
    pipeline.intake.take([message("a"), message("b")])
    assert conflicts_of(pipeline) == [(1,)]


def test_an_edge_whose_clock_is_behind_is_named(pipeline: Any, make: Any) -> None:
    for n in range(1, 7):
        message = make.message([make.reading(n)], at_ms=make.t0 + 300_000)
        pipeline.intake.take([replace(message, fresh=True)])
    pipeline.ledger.flush()
    (off,) = read_clocks(pipeline.folder / "ledger.db")
    assert (off.edge, off.off_ms, off.synced) == ("E1", -300_000, True)


def test_cards_and_machines_are_told_from_hellos(pipeline: Any, make: Any) -> None:
    for n, (epoch, reason) in enumerate([("epoch1", "new"), ("epoch2", "restored")]):
        make.epoch = epoch
        info = {"numbered_to": 1, "machine": "m1", "epoch_reason": reason, "previous_epoch": "epoch1"}
        payload = encode_upload(make.upload((), "hello", info=info))
        pipeline.intake.take([Arrived(make.address.up("hello"), payload, make.t0 + n)])
    pipeline.restart()
    pipeline.ledger.flush()
    (found,) = read_identities(pipeline.folder / "ledger.db")
    assert (found.kind, found.epoch, found.previous_epoch) == (IdentityKind.RESTORED, "epoch2", "epoch1")


def test_a_lazy_upload_may_wait_for_its_receipt_and_nothing_else_may(pipeline: Any, make: Any) -> None:
    def lazy(*numbers: int, stream: str = "T1/temperature_c") -> Arrived:
        upload = make.upload([make.reading(n, stream=stream) for n in numbers], lazy=True)
        return Arrived(make.address.up("readings"), encode_upload(upload), make.t0 + 100_000_000)

    assert pipeline.intake.take([lazy(1, 2)]) == {KEY: True}
    assert pipeline.intake.take([lazy(2, 3)]) == {KEY: False}
    assert pipeline.intake.take([lazy(4, stream="NEW/temperature_c")]) == {KEY: False}
    assert pipeline.intake.take([lazy(5), make.message([make.reading(6)])]) == {KEY: False}
    assert pipeline.intake.take([lazy(7), make.hello(9)]) == {KEY: False}


def test_a_ledger_of_an_older_version_is_read_on(pipeline: Any, make: Any) -> None:
    path = pipeline.folder / "old.db"
    with sqlite3.connect(path) as db:
        db.executescript(
            "CREATE TABLE epochs(site TEXT NOT NULL, edge TEXT NOT NULL, epoch TEXT NOT NULL, shard TEXT NOT NULL,"
            " numbered_to INTEGER NOT NULL, have TEXT NOT NULL, quarantined TEXT NOT NULL, thinned TEXT NOT NULL,"
            " duplicates INTEGER NOT NULL, last_seen_ms INTEGER NOT NULL, hello_ms INTEGER NOT NULL,"
            " PRIMARY KEY(site, edge, epoch));"
            "INSERT INTO epochs VALUES ('SITE1', 'E1', 'epoch1', 's1', 3, '[[1,3]]', '[]', '[]', 0, 5, 5);"
        )
    db.close()
    assert read_ledger(path)[0].received == 3
    ledger = Ledger(path)
    ledger.commit([Change(KEY, 9, received=Ranges([(4, 4)]))], 1)
    ledger.close()
    assert read_ledger(path)[0].received == 4


def test_what_is_remembered_to_compare_repeats_is_bounded_by_facts(
    pipeline: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.intake._REMEMBERED_FACTS", 5)
    messages = [make.message([make.reading(n), make.reading(n + 1)]) for n in range(1, 20, 2)]
    for message in messages:
        pipeline.intake.take([message])
        pipeline.ledger.flush()  # a run of its own
    for message in messages:
        pipeline.intake.take([message])
        assert sum(map(len, pipeline.intake._prints.values())) <= 5
    assert pipeline.ledger.state(KEY).duplicates == 20


def test_a_batch_asks_the_registry_once_for_a_device(pipeline: Any, make: Any) -> None:
    asked: list[str] = []

    def home(serial: str) -> str | None:
        asked.append(serial)
        return pipeline.homes.get(serial)

    pipeline.intake._registry = home
    pipeline.intake.take([make.message([make.reading(n)]) for n in (1, 2, 3)])
    assert asked == ["T1"]
    pipeline.intake.take([make.message([make.reading(4)])])
    assert asked == ["T1", "T1"]
