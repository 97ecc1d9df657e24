"""Waste bags, weighings, and which weighing belongs to which bag."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import and_, select

from gateway.records import tables
from gateway.records.errors import Code, Refused
from gateway.records.kinds import BAG, CORRECTION, DESTRUCTION, DESTRUCTION_BAG, DEVICE, SITE, WEIGHING
from gateway.records.model import (
    Actor,
    AttachmentKind,
    Bag,
    Change,
    Correction,
    Device,
    SavedWeighings,
    WeighingRecord,
)
from gateway.records.part import Part, chunks, equal
from gateway.records.tx import Act, Tx

INGEST = Actor.system("ingest")
TERA_EXPIRED = "TERA_EXPIRED"
_MAX_MATERIAL_IDS = 64  # smile-core-api.md 6.2: WMS keeps at most 64 characters of them
_BAG_CODE = re.compile(r"(\d{4})(\d{2})(\d{2})(\d{4})", re.ASCII)


# --- rules, pure ------------------------------------------------------------------------------------------------


def bag_day(code: str) -> date:
    """The day in a bag code: 4-digit daily counter + DDMMYYYY (smile-and-waste.md 26); raises Refused."""
    parts = _BAG_CODE.fullmatch(code)
    if parts is None:
        raise Refused(Code.BAD_BAG_CODE, f"{code!r} is not 12 digits: counter and DDMMYYYY", field="code")
    try:
        return date(int(parts[4]), int(parts[3]), int(parts[2]))
    except ValueError as error:
        raise Refused(Code.BAD_BAG_CODE, f"{code!r} has no real date in it: {error}", field="code") from error


@dataclass(frozen=True, slots=True)
class WasteClass:
    codes: tuple[str, ...]
    colors: tuple[str, ...]
    decays: bool = False


@cache
def waste_classes() -> dict[str, WasteClass]:
    """The classes of ``waste_classes.toml``."""
    raw = tomllib.loads((Path(__file__).parent / "waste_classes.toml").read_text(encoding="utf-8"))
    return {
        name: WasteClass(tuple(row["codes"]), tuple(row["colors"]), row.get("decays", False))
        for name, row in raw.items()
    }


def check_bag(bag: Bag) -> None:
    """Code, class, waste code and colour agree (smile-and-waste.md 26, 27); raises Refused."""
    bag_day(bag.code)
    row = waste_classes().get(bag.classification)
    if row is None:
        known = ", ".join(waste_classes())
        raise Refused(Code.BAD_VALUE, f"class {bag.classification!r} is none of {known}", field="classification")
    if row.codes and bag.waste_code not in row.codes:
        raise _disagrees(bag, "waste_code", bag.waste_code, row.codes)
    if row.colors and bag.color not in row.colors:
        raise _disagrees(bag, "color", bag.color, row.colors)
    if row.decays and bag.decay_until_ms is None:
        raise Refused(Code.BAD_VALUE, "radioactive waste needs the end of its decay", field="decay_until_ms")
    if len(",".join(str(n) for n in bag.material_ids)) > _MAX_MATERIAL_IDS:
        raise Refused(Code.BAD_VALUE, f"more than {_MAX_MATERIAL_IDS} characters", field="material_ids")


def _disagrees(bag: Bag, field: str, has: str, wanted: Sequence[str]) -> Refused:
    return Refused(
        Code.CLASS_DISAGREES,
        f"{bag.classification} goes with {' or '.join(wanted)}, not with {has}",
        field=field,
        advice="take the right bag",
    )


def tera_expired(device: Device, t_ms: int, zone: str) -> bool:
    """Whether the scale's legal verification was over on the site's day of this time (smile-and-waste.md 23).

    Without a tera date there is nothing to be over: that a scale has none is another question.
    """
    if device.tera_on is None:
        return False
    day = datetime.fromtimestamp(t_ms / 1000, UTC).astimezone(ZoneInfo(zone)).date()
    return day > device.tera_on + timedelta(days=device.tera_valid_days)


# --- records ----------------------------------------------------------------------------------------------------


class WastePart(Part):
    """Bags are registered once per site; a weighing is kept once by its id and tied to one bag by a person."""

    def add_bags(self, bags: Sequence[Bag], actor: Actor, reason: str, at_ms: int) -> None:
        """Register bags, all or none; raises Refused (ALREADY_REGISTERED, BAD_BAG_CODE, CLASS_DISAGREES ...)."""
        for bag in bags:
            check_bag(bag)
        with self._write() as tx:
            tx.lock_site(*{b.site for b in bags})
            for bag in bags:
                tx.need(SITE, bag.site)
                if tx.get(BAG, bag.site, bag.code) is not None:
                    raise Refused(
                        Code.ALREADY_REGISTERED, f"bag {bag.code} is registered at {bag.site}", field="code"
                    )
                tx.put(BAG, bag, Act(actor, reason, at_ms), action="bag_registered")

    def upsert_bag(self, bag: Bag, actor: Actor, reason: str, at_ms: int) -> Change:
        """Register a bag, or correct what is said of it (that takes a reason): for loading, not for scanning."""
        check_bag(bag)
        with self._write() as tx:
            tx.need(SITE, bag.site)
            return tx.put(BAG, bag, Act(actor, reason, at_ms))

    def bag(self, site: str, code: str) -> Bag:
        return self._need(BAG, site, code)

    def bags(self, site: str | None = None, bast_no: str | None = None) -> list[Bag]:
        return self._all(BAG, *equal(BAG, site=site, bast_no=bast_no))

    def bag_conflicts(self, site: str) -> dict[str, tuple[str, ...]]:
        """Codes of a site's bags that are registered at other sites too (all are kept), with those sites."""
        bags, here = tables.bags, tables.bags.alias()
        same = bags.join(here, and_(here.c.code == bags.c.code, here.c.site == site, bags.c.site != site))
        query = select(bags.c.code, bags.c.site).select_from(same).order_by(bags.c.code, bags.c.site)
        found: dict[str, tuple[str, ...]] = {}
        with self._db.read() as connection:
            for row in connection.execute(query):
                found[row.code] = (*found.get(row.code, ()), row.site)
        return found

    def save_weighings(
        self, weighings: Sequence[WeighingRecord], at_ms: int, actor: Actor = INGEST
    ) -> SavedWeighings:
        """Keep weighings by id (the edge's). Again: unchanged; undated before, dated now: dated; else a conflict.

        A scale whose tera is over on that day gets the flag TERA_EXPIRED. Raises UnknownRecord for a device that
        nobody registered (ingest puts such a message into quarantine).
        """
        done: dict[str, list[str]] = {"created": [], "dated": [], "unchanged": [], "conflicts": []}
        with self._write() as tx:
            tx.lock_site(*{w.site for w in weighings})
            for weighing in weighings:
                done[_save(tx, weighing, at_ms, actor)].append(weighing.id)
        return SavedWeighings(**{name: tuple(ids) for name, ids in done.items()})

    def weighing(self, weighing_id: str) -> WeighingRecord:
        return self._with_smile([self._need(WEIGHING, weighing_id)])[0]

    def weighings(
        self,
        site: str | None = None,
        bag: str | None = None,
        *,
        tied: bool | None = None,
        limit: int | None = None,
    ) -> list[WeighingRecord]:
        """Newest first, undated ones before all. ``tied``: only those with (True) or without (False) a bag."""
        c = WEIGHING.table.c
        where = [*equal(WEIGHING, site=site, bag=bag)]
        if tied is not None:
            where.append(c.bag.is_not(None) if tied else c.bag.is_(None))
        order = (c.t_ms.is_not(None), c.t_ms.desc(), c.id)
        with self._db.read():
            return self._with_smile(self._all(WEIGHING, *where, order_by=order, limit=limit))

    def tie_weighing(self, weighing_id: str, bag_code: str, actor: Actor, reason: str, at_ms: int) -> WeighingRecord:
        """A person says which bag was on the scale: one weighing, one bag. A wrong tie takes ``correct_tie``."""
        _person(actor)
        with self._write() as tx:
            weighing = _locked(tx, weighing_id)
            if weighing.bag == bag_code:
                return weighing
            if weighing.bag is not None:
                raise Refused(
                    Code.ALREADY_TIED, f"{weighing_id} is tied to {weighing.bag}", advice="correct it, with a reason"
                )
            return _tie(tx, weighing, bag_code, Act(actor, reason or "bag on the scale", at_ms), "weighing_tied")

    def correct_tie(self, weighing_id: str, bag_code: str, actor: Actor, reason: str, at_ms: int) -> WeighingRecord:
        """Tie a weighing to another bag; a correction record keeps the old one, the person and the reason."""
        _person(actor)
        if not reason.strip():
            raise Refused(Code.REASON_REQUIRED, "a correction says why", field="reason")
        act = Act(actor, reason, at_ms)
        with self._write() as tx:
            weighing = _locked(tx, weighing_id)
            if weighing.bag is None:
                raise Refused(Code.NOT_TIED, f"{weighing_id} is tied to no bag yet")
            if weighing.bag == bag_code:
                raise Refused(Code.ALREADY_TIED, f"{weighing_id} is tied to {bag_code} already")
            _not_closed(tx, weighing.site, weighing.bag)
            number = len(tx.all(CORRECTION, CORRECTION.table.c.weighing == weighing_id)) + 1
            correction = Correction(
                f"{weighing_id}.c{number}",
                weighing.site,
                weighing_id,
                weighing.bag,
                bag_code,
                actor.name,
                at_ms,
                reason.strip(),
            )
            tx.put(CORRECTION, correction, act)
            return _tie(tx, weighing, bag_code, act, "weighing_tie_corrected")

    def corrections(self, weighing_id: str | None = None, site: str | None = None) -> list[Correction]:
        c = CORRECTION.table.c
        return self._all(CORRECTION, *equal(CORRECTION, weighing=weighing_id, site=site), order_by=(c.at_ms, c.id))

    def _with_smile(self, weighings: list[WeighingRecord]) -> list[WeighingRecord]:
        a = tables.attachments
        states: dict[str, str] = {}
        with self._db.read() as connection:
            for ids in chunks([w.id for w in weighings]):
                wanted = and_(a.c.kind == AttachmentKind.WEIGHT, a.c.subject.in_(ids))
                query = select(a.c.subject, a.c.state).where(wanted).order_by(a.c.at_ms)
                states |= {row.subject: row.state for row in connection.execute(query)}
        return [replace(w, smile_state=states[w.id]) if w.id in states else w for w in weighings]


def _person(actor: Actor) -> None:
    if actor.is_system:
        raise Refused(Code.PERSON_REQUIRED, "a person saw which bag was on the scale", field="actor")


def _locked(tx: Tx, weighing_id: str) -> WeighingRecord:
    tx.lock_site(tx.need(WEIGHING, weighing_id).site)
    return tx.need(WEIGHING, weighing_id)


def _tie(tx: Tx, weighing: WeighingRecord, bag_code: str, act: Act, action: str) -> WeighingRecord:
    bag = tx.need(BAG, weighing.site, bag_code)
    when = act.at_ms if weighing.t_ms is None else weighing.t_ms
    if bag.decay_until_ms is not None and when < bag.decay_until_ms:
        raise Refused(Code.RADIOACTIVE_STILL_IN_STORAGE, f"bag {bag_code} decays until {bag.decay_until_ms}")
    c = WEIGHING.table.c
    other = tx.all(WEIGHING, c.bag == bag_code, c.site == weighing.site, c.id != weighing.id)
    if other:
        raise Refused(Code.BAG_ALREADY_WEIGHED, f"bag {bag_code} has weighing {other[0].id}")
    tied = replace(weighing, bag=bag_code, tied_by=act.actor.name, tied_ms=act.at_ms)
    tx.put(WEIGHING, tied, act, action=action)
    return tied


def _not_closed(tx: Tx, site: str, bag: str) -> None:
    """A bag's weight stays once the destruction it belongs to was closed upon it."""
    there = tx.get(DESTRUCTION_BAG, site, bag)
    if there is not None and there.vials and tx.need(DESTRUCTION, there.destruction).closed_ms is not None:
        raise Refused(Code.ALREADY_CLOSED, f"bag {bag} belongs to {there.destruction}, which is closed", field="bag")


def _evidence(weighing: WeighingRecord) -> tuple[object, ...]:
    """What makes two weighings of one id the same."""
    kg = (weighing.gross_kg, weighing.tare_kg, weighing.net_kg)
    return (weighing.site, weighing.device, kg, weighing.raw_frame)


def _save(tx: Tx, weighing: WeighingRecord, at_ms: int, actor: Actor) -> str:
    old = tx.get(WEIGHING, weighing.id)
    if old is not None and _evidence(old) != _evidence(weighing):
        return "conflicts"
    if old is not None and (old.t_ms is not None or weighing.t_ms is None):
        return "unchanged"
    if weighing.gross_kg != weighing.net_kg + weighing.tare_kg:
        raise Refused(Code.BAD_VALUE, f"weighing {weighing.id}: gross is not net + tare", field="gross_kg")
    flags = _flags(tx, weighing)
    if old is None:
        new = replace(weighing, flags=flags, bag=None, tied_by=None, tied_ms=None)
        change = tx.put(WEIGHING, new, Act(actor, "captured", at_ms), action="weighing_captured")
        return "created" if change is Change.CREATED else "unchanged"
    dated = replace(old, t_ms=weighing.t_ms, flags=flags)
    tx.put(WEIGHING, dated, Act(actor, "its time became known", at_ms), action="weighing_dated")
    return "dated"


def _flags(tx: Tx, weighing: WeighingRecord) -> tuple[str, ...]:
    device = tx.need(DEVICE, weighing.device)
    zone = tx.need(SITE, weighing.site).zone
    over = weighing.t_ms is not None and tera_expired(device, weighing.t_ms, zone)
    flags = tuple(f for f in weighing.flags if f != TERA_EXPIRED)
    return (*flags, TERA_EXPIRED) if over else flags
