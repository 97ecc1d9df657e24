"""The script of the demo: a list of steps in reading order. Each acts or waits, and raises when it did not happen.

Steps look at the world as a person or an auditor would: over the pages and the API, in the records, in the store, and
at SMILE by GET. The deadline of a wait is real time; the story runs on virtual time.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from api.words import Words
from gateway.records import (
    Actor,
    Alarm,
    AlarmState,
    AttachmentKind,
    EdgeState,
    FindingKind,
    Role,
    SmileState,
    Verdict,
)
from smile_iot.demo import site_file
from smile_iot.demo.person import Person
from smile_iot.demo.play import Play, StepError
from smile_iot.demo.scenario import HOUR_S, LATE_LOGGER, LATE_ROOM, SAMPLE_S
from smile_iot.demo.secret_file import write_secret
from smile_iot.demo.sink import ChatSink
from smile_iot.demo.smile_eyes import SmileEyes
from smile_iot.demo.thief import publish
from smile_iot.demo.world import EDGE, SHARD, new_password
from smile_iot.parts import open_records
from smile_iot.settings import load_settings
from telemetry.contract import Upload, encode_upload, sign
from telemetry.mac import KEY_BYTES
from telemetry.topics import EdgeAddress

SMILE_USERNAME = "iot-manager"
SMILE_PASSWORD = "demo-word-manager"  # noqa: S105  (a word of the stand-in's seed, known to all the world)
FRIDGE = "fridge-1"
BATCH = site_file.PENTABIO
SMILE_SHIFT_MS = 7 * 3600 * 1000  # the refrigerator route stores Jakarta's wall clock (smile-core-api.md 3.2)
_SITE_PAGE = f"/sites/{site_file.SITE}"
_ALLOWANCES_S = (8.0, 25.0, 60.0)

Step = tuple[str, Callable[[Play], None]]


# --- setting the stage ---------------------------------------------------------------------------------------


def start_neighbours(play: Play) -> None:
    world = play.world
    world.start_smile()
    world.start_broker()
    if world.store_kind == "influx":
        world.start_influx()
    play.eyes = SmileEyes(world.smile)
    world.closers.append(play.eyes.close)
    ids = (site_file.FACILITY_ID, site_file.SOURCE_ID, site_file.CLASSIFICATION_ID)
    play.labels = play.eyes.print_labels(*ids, count=len(world.scenario.loads))


def load_site(play: Play) -> None:
    """The registry is made by the same command and file as on a real site."""
    world = play.world
    config = world.write_server_config(SMILE_USERNAME, SMILE_PASSWORD)
    play.settings = load_settings(config, {})
    for name in site_file.PEOPLE:
        password = play.passwords.setdefault(name, new_password())
        write_secret(world.folder / f"{name}.password", password)
    play.chat = ChatSink()
    world.closers.append(play.chat.close)
    write_secret(world.folder / f"{site_file.OPERATOR}.contacts", play.chat.contact + "\n")
    file = world.folder / "site.toml"
    file.write_text(site_file.site_toml(world.scenario, EDGE, SHARD, site_file.STOCKS, play.labels))
    world.run_once("gateway-load", "smile_iot", "gateway", "load", str(file), "--config", str(config))
    play.records = open_records(play.settings)
    world.closers.append(play.records.close)


def enrol_edge(play: Play) -> None:
    """A super admin invites, the Pi's own command uses the code up; on the day before the story."""
    boss = Actor(site_file.SUPER_ADMIN, Role.SUPER_ADMIN)
    code = play.records.invite_edge(site_file.SITE, EDGE, boss, "gerbang baru", play.clock.now_ms())
    play.world.enrol_edge(play.world.folder / "server.toml", code.text)
    enrolled = play.records.find_edge(site_file.SITE, EDGE)
    if enrolled is None or enrolled.state != EdgeState.ENROLLED:
        raise StepError("the edge is not enrolled")
    play.world.remember()


def start_line(play: Play) -> None:
    """Everybody starts and listens before virtual second 0, or is started anew with more time."""
    world = play.world
    for allowance_s in _ALLOWANCES_S:
        world.set_time(allowance_s)
        world.start_services(world.folder / "server.toml")
        world.start_devices(play.labels)
        file = world.folder / "edge.toml"
        if world.broker is None:
            raise RuntimeError("the broker starts first")
        ports = {str(k): str(v) for k, v in world.simulator["serial"].items()}
        outbox = world.folder / "pi" / "outbox.db"
        file.write_text(site_file.edge_toml(world.scenario, EDGE, SHARD, world.broker, ports, outbox, world.pi))
        world.start_edge(file)
        if play.at_s() < 0:
            break
        play.say("this machine is slow: starting again with more time")
        world.stop_line()
        play.records.close()
        world.forget_line()  # what the devices said in the first attempt is not of the story
        play.records = open_records(play.settings)
        world.closers.append(play.records.close)
        for folder in (world.folder / "sim", world.folder / "pi"):
            shutil.rmtree(folder, ignore_errors=True)
    else:
        raise StepError("the line did not start in time on this machine")
    play.kills = list(world.scenario.kills)
    for name, attribute in zip(site_file.PEOPLE, ("operator", "manager", "super_admin"), strict=True):
        person = Person(f"http://127.0.0.1:{world.api_port}", name, play.passwords[name])
        setattr(play, attribute, person)
        world.closers.append(person.close)


# --- the story -------------------------------------------------------------------------------------------------


def first_readings(play: Play) -> None:
    """Every logger's temperature is in the store, read through the API."""
    for person in (play.operator, play.manager, play.super_admin):
        person.log_in()

    def look() -> bool:
        rows = play.operator.ask(f"/sites/{site_file.SITE}/equipment")
        return bool(rows) and all(row["latest"] is not None for row in rows)

    play.wait_for("first readings of every logger", look, until_s=SAMPLE_S)


def place_batches(play: Play) -> None:
    """The operator says where each batch stands; only from now on its history counts."""
    for stock in site_file.STOCKS:
        page = f"{_SITE_PAGE}/batches/{stock.id}"
        play.operator.send(page, f"{page}/placements", equipment=stock.equipment, reason="diterima dan disimpan")


def freeze_alarm(play: Play) -> None:
    """FRZE in refrigerator 2; its hepatitis B, freeze-sensitive, goes to the shake test."""

    def alarm() -> Alarm | None:
        alarms = play.records.open_alarms(site_file.SITE)
        return next((a for a in alarms if a.finding.code == "FRZE" and a.finding.equipment == "fridge-2"), None)

    play.wait_for("FRZE", alarm, until_s=2 * HOUR_S)

    def shake_test() -> bool:
        verdict = play.records.verdict(site_file.HEPB.id)
        return verdict is not None and verdict.verdict == "shake_test"

    play.wait_for("verdict shake test", shake_test, until_s=2 * HOUR_S)


def register_late_logger(play: Play) -> None:
    """A logger that nobody registered waits in quarantine; registered by POST, all it said is in the store."""
    waiting = play.manager.ask(f"/sites/{site_file.SITE}/quarantine")
    if not any(LATE_LOGGER in item["serials"] and item["reason"] == "unknown_device" for item in waiting):
        raise StepError(f"nothing of {LATE_LOGGER} waits in quarantine")
    room = {"id": LATE_ROOM, "site": site_file.SITE, "name": "Gudang", "kind": "waste_store", "profile": "room"}
    play.super_admin.command("/equipment", room | {"reason": "gudang dipantau"})
    logger = {"serial": LATE_LOGGER, "site": site_file.SITE, "edge": EDGE, "driver": "bthome", "equipment": LATE_ROOM}
    play.super_admin.command("/devices", logger | {"interval_s": SAMPLE_S, "reason": "pencatat suhu baru"})
    first_until_ms = play.world.scenario.t0_ms + SAMPLE_S * 1000

    def replayed() -> bool:
        rows = play.operator.readings(site_file.SITE, f"{LATE_LOGGER}/temperature_c")
        return bool(rows) and rows[0]["t_ms"] < first_until_ms

    play.wait_for("the logger's first reading, replayed", replayed)


def memory_read_back(play: Play) -> None:
    """What the tag measured out of range stands in the store, from its own memory."""

    def look() -> bool:
        rows = play.operator.readings(site_file.SITE, "RV-0001/temperature_c")
        return sum(1 for row in rows if row["origin"] == "memory") >= 2 * HOUR_S // SAMPLE_S - 1

    play.wait_for("the tag's memory in the store", look, until_s=8 * HOUR_S)


def weigh(play: Play) -> None:
    """Each load becomes one weighing, which the operator ties to the bag's label; SMILE has it with its weight."""
    for load, label in zip(play.world.scenario.loads, play.labels, strict=True):
        net_kg = Decimal(load.mass_kg) - Decimal(load.tare_kg or 0)

        def captured(device: str = load.device, kg: Decimal = net_kg) -> str | None:
            found = [w for w in play.records.weighings(site_file.SITE) if w.device == device and w.net_kg == kg]
            return next((w.id for w in found if w.bag is None), None)

        weighing = play.wait_for(f"a stable net weight of {net_kg} kg", captured, until_s=load.at_s + load.hold_s)
        page = f"{_SITE_PAGE}/weighing"
        play.operator.send(page, f"{_SITE_PAGE}/weighings/{weighing}/tie", bag=label)
        play.tied[weighing] = label

    def in_smile() -> bool:
        bags = {bag.get("wasteBagQrCodeId"): bag for bag in play.eyes.waste_bags()}
        for weighing, label in play.tied.items():
            row = play.records.weighing(weighing)
            if label not in bags or Decimal(str(bags[label]["weightInKgs"])) != row.net_kg:
                return False
        return True

    play.wait_for("the weights in SMILE's waste record", in_smile, patience_s=90)


def heat_alarm(play: Play) -> None:
    """HEAT is confirmed and stands on the alarm page of the operator."""

    def look() -> Alarm | None:
        alarms = play.records.open_alarms(site_file.SITE)
        return next((a for a in alarms if a.finding.code == "HEAT" and a.finding.equipment == FRIDGE), None)

    alarm = play.wait_for("HEAT", look, until_s=12 * HOUR_S)
    if alarm.finding.kind != FindingKind.CONFIRMED:
        raise StepError(f"HEAT is {alarm.finding.kind}, not confirmed")
    minutes = (alarm.finding.event_ms - alarm.finding.episode_start_ms) / 60_000
    if not 600 <= minutes < 600 + SAMPLE_S / 60 + 1:
        raise StepError(f"HEAT after {minutes} minutes above the limit, not at the first reading from 600 on")
    if alarm.id not in play.operator.page(f"{_SITE_PAGE}/alarms"):
        raise StepError("the alarm does not stand on the page")


def message_reached(play: Play) -> None:
    """The operator got one message of this HEAT, on the chat channel, in her language."""
    alarm = next(a for a in play.records.open_alarms(site_file.SITE) if a.finding.code == "HEAT")

    def sent() -> bool:
        told = play.records.notifications(finding=alarm.id, person=site_file.OPERATOR)
        return [str(n.state) for n in told] == ["sent"]

    play.wait_for("the message", sent)
    # On a slow start the loggers are silent for a while before the story: that alarm has a message of its own.
    hot = Words("id")("code.HEAT")
    heat = [m for m in play.chat.messages if hot in str(m.get("title")) and "Kulkas vaksin 1" in str(m.get("title"))]
    if len(heat) != 1:
        raise StepError(f"{len(heat)} messages of this alarm reached the operator, not one: {heat}")


def acknowledge(play: Play) -> None:
    alarm = next(a for a in play.records.open_alarms(site_file.SITE) if a.finding.code == "HEAT")
    page = f"{_SITE_PAGE}/alarms"
    play.operator.send(page, f"{page}/{alarm.id}/acknowledge", comment="Listrik padam; vaksin dipindah ke cool box")
    now = play.records.alarm(alarm.id)
    if now.state == AlarmState.OPEN or now.acknowledged_by != site_file.OPERATOR:
        raise StepError(f"the alarm is {now.state}, answered by {now.acknowledged_by}")


def batch_judged(play: Play) -> None:
    """The batch in that refrigerator: hold and inspect, with HEAT as a reason."""

    def look() -> Verdict | None:
        verdict = play.records.verdict(BATCH.id)
        if verdict is None or verdict.verdict != "hold_and_inspect":
            return None
        codes = {r["code"] for r in verdict.reasons if isinstance(r, dict)}
        return verdict if "heat_confirmed" in codes else None

    play.wait_for("verdict hold and inspect, because of HEAT", look)
    if "PB-2603" not in play.manager.page(f"{_SITE_PAGE}/batches/{BATCH.id}"):
        raise StepError("the batch has no page")


def read_vvm_and_discard(play: Play) -> None:
    """The operator reads the VVM; the manager, a named person, discards; SMILE books it once."""
    page = f"{_SITE_PAGE}/batches/{BATCH.id}"
    play.operator.send(page, f"{page}/vvm", stage="C", reason="VVM diperiksa pada 10 vial")

    def proposed() -> bool:
        verdict = play.records.verdict(BATCH.id)
        return verdict is not None and verdict.verdict == "discard_proposed"

    play.wait_for("discard proposed by the VVM", proposed)
    sure = {"decision": "discarded", "reason": "VVM C setelah panas 10 jam", "sure": "yes"}
    play.manager.send(page, f"{page}/decision", **sure)

    def booked() -> bool:
        return any(_quantity(row) == BATCH.doses for row in smile_discards(play))

    play.wait_for("the discard in SMILE", booked, patience_s=90)


def smile_discards(play: Play) -> list[dict[str, Any]]:
    year = datetime.fromtimestamp(time.time_ns() / 1e9, UTC).year  # SMILE's stand-in dates by the machine's own clock
    return play.eyes.discards(site_file.ENTITY_ID, f"{year - 1}-01-01", f"{year + 1}-12-31")


def _quantity(row: dict[str, Any]) -> int:
    return abs(int(row.get("change_qty", row.get("qty", 0))))


def story_ends(play: Play) -> None:
    """The mains come back; the refrigerator is cold again; all shots were fired."""

    def look() -> bool:
        return play.at_s() >= play.world.scenario.end_s and not play.kills

    play.wait_for("the end of the story", look, until_s=play.world.scenario.end_s)


def cheat_refused(play: Play) -> None:
    """Who stole the edge's account but not its key: what it sends waits in quarantine, and the manager puts it aside."""
    world = play.world
    if world.broker is None:
        raise RuntimeError("the broker starts first")
    before = {item["id"] for item in play.manager.ask(f"/sites/{site_file.SITE}/quarantine")}
    account = f"{site_file.SITE}.{EDGE}"
    forged = sign(encode_upload(Upload("hello", EDGE, "forged", play.clock.now_ms(), info={})), bytes(KEY_BYTES))
    topic = EdgeAddress(SHARD, site_file.SITE, EDGE).up("hello")
    publish(world.broker.port, account, (world.pi / "password").read_text().strip(), topic, forged)

    def waits() -> list[dict[str, Any]]:
        items = play.manager.ask(f"/sites/{site_file.SITE}/quarantine")
        return [item for item in items if item["id"] not in before and item["reason"] == "bad_mac"]

    (item,) = play.wait_for("the forged message in quarantine", waits)
    page = f"{_SITE_PAGE}/quarantine/{item['id']}"
    play.manager.send(page, f"{page}/discard", reason="kunci tidak cocok")


def all_arrived(play: Play) -> None:
    """Nothing waits any more on its way to SMILE, and SMILE has every temperature."""

    def look() -> bool:
        pending = [
            a
            for a in play.records.attachments(kind=AttachmentKind.TEMPERATURES)
            if a.state not in (SmileState.STORED, SmileState.NO_FIELD)
        ]
        return not pending and smile_has_all(play)

    play.wait_for("every temperature in SMILE", look, patience_s=120)


def smile_has_all(play: Play) -> bool:
    from smile_iot.demo.books import smile_balance

    return all(not books["missing"] for books in smile_balance(play).values())


STEPS: tuple[Step, ...] = (
    ("the broker and SMILE's stand-in run; labels are printed in SMILE", start_neighbours),
    ("the site, its people and its batches are loaded", load_site),
    ("the edge is enrolled by its one-time code: account, password, key", enrol_edge),
    ("ingest, alerts, smile, api, the devices and the edge run", start_line),
    ("readings of every logger are in the store", first_readings),
    ("the operator places the batches", place_batches),
    ("an hour at or below -0.5 degrees: FRZE, and the shake test for hepatitis B", freeze_alarm),
    ("bags are weighed, tied to their labels and in SMILE's waste record", weigh),
    ("a logger nobody knew is registered; its quarantine is replayed", register_late_logger),
    ("two hours out of radio range are read back from the tag's memory", memory_read_back),
    ("ten hours above 8 degrees: HEAT stands on the page", heat_alarm),
    ("the alarm reached the operator once, by chat, in her language", message_reached),
    ("the operator answers the alarm", acknowledge),
    ("the batch is judged: hold and inspect", batch_judged),
    ("the VVM is read, the manager discards, SMILE books it", read_vvm_and_discard),
    ("the story ends", story_ends),
    ("a stolen account without the edge's key brings nothing in", cheat_refused),
    ("every temperature is in SMILE", all_arrived),
)
