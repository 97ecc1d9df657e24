"""What people change, the same for pages and JSON: the place is checked, then the records are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from api.desk import Desk, actor_of
from api.places import GoesOn, against_release
from api.problems import ProblemError, Wrong, not_found
from api.questions import EquipmentView, Questions
from api.roles import Person
from gateway.records import (
    Alarm,
    Bag,
    Batch,
    Decision,
    EquipmentKind,
    Placement,
    ProbeCorrection,
    QuarantineItem,
    QuarantineState,
    ReadingMark,
    Refused,
    Site,
    UnknownRecord,
    Verdict,
    VvmObservation,
    WeighingRecord,
)
from gateway.records.errors import Code
from gateway.records.quarantine import NEVER_REPLAYED
from gateway.repairs import Place, Repair, repaired, repairs_for
from telemetry.errors import ContractError

_OF_A_DEVICE = ("unknown_device", "wrong_site")  # ingest's words: over once the device is registered here
T = TypeVar("T")


def alarm_of(questions: Questions, person: Person, alarm_id: str) -> tuple[Alarm, Site]:
    """An alarm with its site, in the person's reach."""
    try:
        alarm = questions.records.alarm(alarm_id)
    except UnknownRecord as error:
        raise not_found("alarm", alarm_id) from error
    return alarm, questions.site(person, alarm.finding.site)


def batch_of(questions: Questions, person: Person, batch_id: str) -> tuple[Batch, Site]:
    """A batch with its site, in the person's reach."""
    try:
        batch = questions.records.batch(batch_id)
    except UnknownRecord as error:
        raise not_found("batch", batch_id) from error
    return batch, questions.site(person, batch.site)


def weighing_of(questions: Questions, person: Person, weighing_id: str) -> tuple[WeighingRecord, Site]:
    """A weighing with its site, in the person's reach."""
    try:
        weighing = questions.records.weighing(weighing_id)
    except UnknownRecord as error:
        raise not_found("weighing", weighing_id) from error
    return weighing, questions.site(person, weighing.site)


def quarantined(questions: Questions, person: Person, item_id: str) -> tuple[QuarantineItem, Site]:
    """A quarantined message with its site, in the person's reach."""
    try:
        item = questions.records.quarantine_item(item_id)
    except UnknownRecord as error:
        raise not_found("quarantined message", item_id) from error
    return item, questions.site(person, item.site)


def acknowledge(desk: Desk, person: Person, alarm_id: str, comment: str) -> Alarm:
    """Answer an alarm."""
    alarm_of(desk.questions, person, alarm_id)
    return desk.records.acknowledge(alarm_id, actor_of(person), comment, desk.clock.now_ms())


def decide(
    desk: Desk, person: Person, batch_id: str, decision: str, reason: str, *, knowing: bool = False
) -> Verdict:
    """Release or discard a batch. ``knowing``: the person knows that its excursion goes on or its place is in alarm; a
    release without is refused then. One with it keeps in its audit row what went on at the release, which may be more
    than the person was shown: it says nothing of what they knew of each.
    """
    batch, site = batch_of(desk.questions, person, batch_id)
    still = GoesOn()
    if decision == Decision.RELEASED:
        still = against_release(desk.questions, site, desk.questions.batch_view(site, batch.id), desk.clock.now_ms())
        if still and not knowing:
            named = ", ".join([*(f.code for f in still.findings), *(p.id for p in still.places)])
            raise ProblemError(
                409,
                "still_in_alarm",
                f"it goes on while {batch_id} would be released: {named}",
                "Move the batch first, or say that you know it (knowing).",
            )
    return desk.records.decide(batch_id, decision, actor_of(person), reason, desk.clock.now_ms(), still.as_json())


def observe_vvm(desk: Desk, person: Person, batch_id: str, stage: str, reason: str) -> VvmObservation:
    """Record what a person read on the vials."""
    batch_of(desk.questions, person, batch_id)
    return desk.records.observe_vvm(batch_id, stage, actor_of(person), reason, desk.clock.now_ms())


@dataclass(frozen=True, slots=True)
class Move:
    """Where a batch stands from when; ``to_ms`` given: where it stood then."""

    equipment: str
    reason: str
    from_ms: int | None = None
    to_ms: int | None = None


def place(desk: Desk, person: Person, batch_id: str, move: Move) -> Placement:
    """Say where a batch stands. An open placement ends where the new one begins."""
    batch, _ = batch_of(desk.questions, person, batch_id)
    now_ms, records, actor = desk.clock.now_ms(), desk.records, actor_of(person)
    from_ms = now_ms if move.from_ms is None else move.from_ms
    _not_in_future(max(from_ms, move.to_ms or 0), now_ms)
    _for_vaccines(desk, batch, move.equipment)
    if move.to_ms is not None:  # told afterwards
        return records.add_placement(batch_id, move.equipment, from_ms, actor, move.reason, now_ms, move.to_ms)
    decided = records.decision(batch_id)
    if decided is not None and decided.decision == Decision.DISCARDED:
        raise ProblemError(
            409, "discarded_stays", f"batch {batch_id} was discarded", "Say only that it was taken out."
        )
    places = records.placements(batch=batch_id)
    standing = [p for p in places if p.to_ms is None]
    if standing and standing[0].equipment == move.equipment:
        raise Refused(Code.ALREADY_PLACED, f"batch {batch_id} stands in {move.equipment} already")
    _after_last_move(places, from_ms)
    if standing:
        return records.move_batch(batch_id, move.equipment, from_ms, actor, move.reason, now_ms)
    return records.add_placement(batch_id, move.equipment, from_ms, actor, move.reason, now_ms)


def take_out(desk: Desk, person: Person, batch_id: str, reason: str, to_ms: int | None = None) -> Placement:
    """Say that a batch left its equipment: to a cold box nobody watches, to another place, or for good."""
    batch_of(desk.questions, person, batch_id)
    now_ms = desk.clock.now_ms()
    out_ms = now_ms if to_ms is None else to_ms
    _not_in_future(out_ms, now_ms)
    _after_last_move([p for p in desk.records.placements(batch=batch_id) if p.to_ms is None], out_ms)
    return desk.records.end_placement(batch_id, out_ms, actor_of(person), reason, now_ms)


def _not_in_future(at_ms: int, now_ms: int) -> None:
    if at_ms > now_ms:
        raise ProblemError(422, "future", "a placement cannot lie in the future", "Give the time it was moved.")


def _for_vaccines(desk: Desk, batch: Batch, equipment_id: str) -> None:
    """A vaccine is never placed in a waste store (the records refuse another site's equipment)."""
    place = desk.records.equipment(equipment_id)
    if place.site == batch.site and place.kind == EquipmentKind.WASTE_STORE:
        raise ProblemError(
            409,
            "no_place_for_vaccines",
            f"{equipment_id} is a waste store",
            "Choose a refrigerator, a cold room, a freezer or a cold box.",
        )


def _after_last_move(places: Sequence[Placement], at_ms: int) -> None:
    """A move lies after all that is told already: the records keep one place at a time."""
    last_ms = max((p.from_ms + 1 if p.to_ms is None else p.to_ms for p in places), default=at_ms)
    if at_ms < last_ms:
        raise ProblemError(
            422,
            "before_last_move",
            f"{at_ms} is before the last recorded move",
            "Give a time after the batch's last recorded move.",
        )


def correct_probe(
    desk: Desk, person: Person, view: EquipmentView, stream: str, told: tuple[int, Decimal, str, str]
) -> ProbeCorrection:
    """Enter the correction of a sensor of this equipment. ``told``: from when, offset, certificate, reason."""
    _of_here(view, stream)
    from_ms, offset_c, certificate, reason = told
    return desk.records.correct_probe(
        stream, from_ms, offset_c, certificate, actor_of(person), reason, desk.clock.now_ms()
    )


def mark_readings(
    desk: Desk, person: Person, site: str, stream: str, span: tuple[int, int], reason: str
) -> ReadingMark:
    """Mark readings of a sensor as not to be counted, in [from, to); it stood at this site then."""
    return desk.records.mark_readings(stream, *span, actor_of(person), reason, desk.clock.now_ms(), site)


def take_back_mark(desk: Desk, person: Person, site: str, stream: str, number: int, reason: str) -> ReadingMark:
    """Readings that were marked at this site count again."""
    return desk.records.take_back_mark(stream, number, actor_of(person), reason, desk.clock.now_ms(), site)


def _of_here(view: EquipmentView, stream: str) -> None:
    if stream.partition("/")[0] not in {d.serial for d in view.devices}:
        raise no_sensor_of(view, stream)


def no_sensor_of(view: EquipmentView, stream: str) -> ProblemError:
    """The stream is of no sensor of this equipment."""
    return ProblemError(
        422,
        "bad_input",
        f"no sensor of {view.equipment.id} says {stream!r}",
        "Choose one of the sensors.",
        Wrong("choice", "stream"),
    )


def register_bag(desk: Desk, person: Person, bag: Bag, reason: str) -> Bag:
    """Register a waste bag at a site in the person's reach."""
    desk.questions.site(person, bag.site)
    desk.records.add_bags([bag], actor_of(person), reason, desk.clock.now_ms())
    return bag


def tie(desk: Desk, person: Person, weighing_id: str, bag: str, reason: str) -> WeighingRecord:
    """Say which bag was on the scale."""
    weighing_of(desk.questions, person, weighing_id)
    return desk.records.tie_weighing(weighing_id, bag, actor_of(person), reason, desk.clock.now_ms())


def correct_tie(desk: Desk, person: Person, weighing_id: str, bag: str, reason: str) -> WeighingRecord:
    """Say that another bag was on the scale; what was said first, by whom and why it was wrong stay kept."""
    weighing_of(desk.questions, person, weighing_id)
    return desk.records.correct_tie(weighing_id, bag, actor_of(person), reason, desk.clock.now_ms())


def replay(desk: Desk, person: Person, item_id: str, reason: str) -> QuarantineItem:
    """Ask for a waiting message to go through ingest's check again; who asked stays in the audit.

    Ingest alone writes the journal: it tries what was asked for within seconds, and a device's messages by itself once
    the device is registered (``ingest.intake.sweep``). What would surely be refused again is refused here, with what to do.
    """
    item, site = quarantined(desk.questions, person, item_id)
    if item.state != QuarantineState.WAITING:
        raise Refused(Code.NOT_WAITING, f"{item_id} is {item.state}")
    if item.corrected is None and Repair.AS_IS not in repairs_for(item.reason) and item.reason not in NEVER_REPLAYED:
        raise ProblemError(
            409,
            "not_replayable",
            f"a message with the reason {item.reason} would be refused again",
            "Correct it first, or correct the cause at the edge and put this message aside.",
        )
    if item.corrected is None and item.reason in _OF_A_DEVICE:
        _registered_here(desk, site, item)
    return desk.records.ask_replay(item_id, actor_of(person), reason, desk.clock.now_ms())


def _registered_here(desk: Desk, site: Site, item: QuarantineItem) -> None:
    homes = {serial: desk.records.device(serial) for serial in item.serials}
    strangers = [serial for serial, device in homes.items() if device is None or device.site != site.id]
    if strangers or not homes:
        raise ProblemError(
            409,
            "device_not_registered",
            f"not registered at {site.id}: {', '.join(strangers) or 'no serial can be read'}",
            "Register the device; its messages are then replayed without further help.",
        )


def correct(
    desk: Desk, person: Person, item_id: str, repair: str, supplied: bytes, reason: str, *, ask: bool = False
) -> QuarantineItem:
    """Keep a correction beside the original; ``ask``: and ask for it to go through, both or none."""
    item, site = quarantined(desk.questions, person, item_id)
    place = Place(site.shard, desk.settings.import_edge)
    try:
        topic, payload = repaired(item, Repair(repair), place, supplied)
    except (ContractError, ValueError) as error:
        raise ProblemError(
            422, "bad_correction", f"{repair}: {error}", "Choose another repair, or supply the whole message."
        ) from error
    actor, now_ms = actor_of(person), desk.clock.now_ms()
    with desk.records.together():
        made = desk.records.correct_quarantine(item_id, repair, topic, payload, actor, reason, now_ms)
        return desk.records.ask_replay(item_id, actor, reason, now_ms) if ask else made


def put_aside(desk: Desk, person: Person, item_id: str, reason: str) -> QuarantineItem:
    """Give a waiting message up, with a reason; it stays readable."""
    quarantined(desk.questions, person, item_id)
    return desk.records.settle_quarantine(
        item_id, QuarantineState.DISCARDED, actor_of(person), reason, desk.clock.now_ms()
    )
