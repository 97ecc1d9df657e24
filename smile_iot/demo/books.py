"""The books of a run, closed at its end: what must balance, and ``report.json``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from gateway.records import AttachmentKind, SmileState
from ingest.store import open_store
from smile_iot.demo import site_file
from smile_iot.demo.panels import rows_of_panels
from smile_iot.demo.play import Play
from smile_iot.demo.report import Made, Produced, StreamBooks, balance, hits_of, owners, read_produced, stored_rows
from smile_iot.demo.scenario import SAMPLE_S
from smile_iot.demo.script import BATCH, SMILE_SHIFT_MS, smile_discards
from smile_iot.parts import store_config
from telemetry.contract import iso_utc


def _produced(play: Play) -> Produced:
    """The story's measurements. A probe asked shortly before second 0 gave the value of its first slot then."""
    scenario = play.world.scenario
    return read_produced(play.world.produced_file, scenario.t0_ms - SAMPLE_S * 1000 // 2, scenario.end_ms)


def stream_balance(play: Play) -> dict[str, StreamBooks]:
    """Each stream of the devices against the store, for what was made before the story's end."""
    world = play.world
    produced = _produced(play)
    store = open_store(store_config(play.settings), read_only=True)
    try:
        books: dict[str, StreamBooks] = {}
        for stream, made in sorted(produced.readings.items()):
            interval_ms = _interval_ms(play, stream)
            rows = stored_rows(store, stream, world.scenario.t0_ms, world.scenario.end_ms)
            books[stream] = balance(made, rows, interval_ms)
        return books
    finally:
        store.close()


def _interval_ms(play: Play, stream: str) -> int:
    serial = stream.partition("/")[0]
    device = next(d for d in play.world.scenario.devices if d["serial"] == serial)
    return int(device["interval_s"]) * 1000


def smile_balance(play: Play) -> dict[str, dict[str, int]]:
    """Each logger's temperatures against SMILE's own history of it, read back by GET."""
    world = play.world
    produced = _produced(play)
    found: dict[str, dict[str, int]] = {}
    for stream, made in sorted(produced.readings.items()):
        serial, _, quantity = stream.partition("/")
        if quantity != "temperature_c" or serial not in site_file.LOGGER_IDS:
            continue
        rows = [_smile_row(row) for row in play.eyes.temperatures(site_file.LOGGER_IDS[serial])]
        mine = [row for row in rows if world.scenario.t0_ms - 1000 <= row.t_ms < world.scenario.end_ms]
        found[serial] = _match(made, mine, _interval_ms(play, stream))
    return found


def _smile_row(row: dict[str, Any]) -> Made:
    at = datetime.fromisoformat(str(row["actual_time"]))
    return Made(round(at.timestamp() * 1000) - SMILE_SHIFT_MS, Decimal(str(row["temperature"])))


def _match(made: Sequence[Made], rows: list[Made], interval_ms: int) -> dict[str, int]:
    """As the store's books; SMILE keeps whole seconds, so a row may stand up to a second early."""
    with_value = [m for m in made if m.value is not None]
    owned = owners(with_value, ((row.t_ms, row.value) for row in rows), interval_ms, grace_ms=1000)
    hits = hits_of(with_value, owned)
    return {
        "measured": len(with_value),
        "stored": sum(1 for h in hits if h),
        "missing": sum(1 for h in hits if not h),
        "duplicated": sum(h - 1 for h in hits if h > 1),
        "unexplained": owned.count(None),
    }


def close_books(play: Play, steps: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """(``report.json``'s body, what does not balance)."""
    scenario = play.world.scenario
    streams = stream_balance(play)
    smile = smile_balance(play)
    body: dict[str, Any] = {
        "seed": scenario.seed,
        "speed": scenario.speed,
        "store": play.world.store_kind,
        "from": iso_utc(scenario.t0_ms),
        "to": iso_utc(scenario.end_ms),
        "steps": steps,
        "streams": {stream: books.to_json() for stream, books in streams.items()},
        "episodes": [_finding(f) for f in reversed(play.records.findings(site_file.SITE))],
        "alarms": [
            _finding(a.finding) | {"state": str(a.state), "acknowledged_by": a.acknowledged_by, "comment": a.comment}
            for a in play.records.alarms(site_file.SITE)
        ],
        "verdicts": [_verdict(v) for b in site_file.STOCKS for v in play.records.verdict_history(b.id)],
        "weighings": _weighings(play),
        "attachments": _attachments(play, smile),
        "messages": [{"title": m.get("title"), "message": m.get("message")} for m in play.chat.messages],
        "kills": play.killed,
    }
    if play.world.influx is not None:
        body["grafana_panels"] = rows_of_panels(play.world.influx, scenario.t0_ms, scenario.end_ms)
    return body, _problems(play, streams, smile, body)


def _problems(
    play: Play, streams: dict[str, StreamBooks], smile: dict[str, dict[str, int]], body: dict[str, Any]
) -> list[str]:
    found: list[str] = []
    for name, books in streams.items():
        if books.missing or books.duplicated or books.unexplained or not books.produced:
            found.append(f"{name}: {books.to_json()}")
    for serial, counts in smile.items():
        if counts["missing"] or counts["duplicated"] or counts["unexplained"]:
            found.append(f"SMILE's history of {serial}: {counts}")
    found += [f"weighing {row}" for row in body["weighings"] if not row["balances"]]
    if len(body["weighings"]) != len(play.world.scenario.loads):
        found.append(f"{len(body['weighings'])} weighings of {len(play.world.scenario.loads)} loads")
    discards = [d for d in body["attachments"]["discards"] if abs(int(d.get("change_qty", 0))) == BATCH.doses]
    if len(discards) != 1:
        found.append(f"the discard stands {len(discards)} times in SMILE")
    chain = play.records.verify_chain(site_file.SITE)
    if not chain.ok:
        found.append(f"the audit chain is broken: {chain.breaks[0].why}")
    if len(play.killed) != len(play.world.scenario.kills):
        found.append(f"{len(play.killed)} of {len(play.world.scenario.kills)} shots were fired")
    return found


def _finding(f: Any) -> dict[str, Any]:
    return {
        "id": f.id,
        "code": f.code,
        "kind": str(f.kind),
        "equipment": f.equipment,
        "batch": f.batch,
        "start": iso_utc(f.episode_start_ms),
        "event": iso_utc(f.event_ms),
        "detected": iso_utc(f.detected_ms),
        "end": None if f.end_ms is None else iso_utc(f.end_ms),
        "extreme_c": None if f.extreme_c is None else str(f.extreme_c),
    }


def _verdict(v: Any) -> dict[str, Any]:
    return {
        "batch": v.batch,
        "verdict": str(v.verdict),
        "state": str(v.state),
        "judged": iso_utc(v.judged_ms),
        "reasons": [r["code"] for r in v.reasons if isinstance(r, dict)],
        "decision": None if v.decision is None else str(v.decision),
        "decided_by": v.decided_by,
        "reason": v.reason,
    }


def _weighings(play: Play) -> list[dict[str, Any]]:
    """Each weighing that a device made against our record and SMILE's waste bag."""
    produced = _produced(play)
    bags = {bag.get("wasteBagQrCodeId"): bag for bag in play.eyes.waste_bags()}
    ours = {w.bag: w for w in play.records.weighings(site_file.SITE) if w.bag}
    rows = []
    for made in produced.weighings:
        record, bag = ours.get(made["bag"]), bags.get(made["bag"])
        net_kg = Decimal(str(made["net_kg"]))
        in_smile = None if bag is None else Decimal(str(bag["weightInKgs"]))
        rows.append(
            {
                "device": made["device"],
                "bag": made["bag"],
                "made_net_kg": str(net_kg),
                "record_net_kg": None if record is None else str(record.net_kg),
                "smile_kg": None if in_smile is None else str(in_smile),
                "raw_frame": None if record is None else record.raw_frame,
                "tied_by": None if record is None else record.tied_by,
                "balances": record is not None and record.net_kg == net_kg == in_smile,
            }
        )
    return rows


def _attachments(play: Play, smile: dict[str, dict[str, int]]) -> dict[str, Any]:
    """What SMILE got, as SMILE itself says it, and what it cannot hold, as our records say it."""
    cannot = [a for a in play.records.attachments(site=site_file.SITE) if a.state == SmileState.NO_FIELD]
    kinds = {k: len(play.records.attachments(kind=k)) for k in AttachmentKind}
    return {
        "temperatures": smile,
        "discards": smile_discards(play),
        "waste_bags": play.eyes.waste_bags(),
        "smile_has_no_field_for": sorted({f"{a.kind} {a.subject}: {a.reply}" for a in cannot}),
        "our_rows": {str(k): n for k, n in kinds.items()},
    }


def write_report(folder: Path, body: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.json"
    path.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n")
    return path
