"""Whether a verdict can be reached again from what was stored, and what a judgement with today's facts would say.

    document (sealed) ─▶ places in both feeds ─▶ facts of then (alerts.db), people's rows of then (audit) ─┐
    the limits and the product's row that stand in the document ───────────────────────────────────────────┴▶ judge_told
                                                                     compare with the document, part by part ◀──┘

Reads only; the services may run. ``explain`` answers with named differences, none of them means "the same".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from alerts.batch_facts import KnownThen
from alerts.document import (
    ENGINE,
    AsOf,
    document,
    product_json,
    product_of_json,
    profile_json,
    profile_of_json,
)
from alerts.judgement import Judged, Limits, judge_told
from alerts.memory import Memory
from alerts.rulebook import Rules, limits_of
from alerts.rules import Dated, Profile
from alerts.told import told_as_of, told_now
from gateway.records import AuditRow, Records, UnknownRecord, Verdict
from gateway.records.chain import row_hash
from gateway.records.documents import HASH, document_hash, seal
from telemetry.contract import parse_iso_utc

_MOST_DAYS = 5


@dataclass(frozen=True, slots=True)
class Difference:
    """``part`` is a stable word (document, audit, batch, placement, vvm, correction, mark, release, place,
    device, fact, rule, verdict).

    So is ``says`` (was, gone, came, within ...): who tells a person has its sentence in both languages
    (``explain_says`` of the catalogue), with ``values`` in it; ``within``: what differs inside of the subject.
    """

    part: str
    subject: str
    says: str
    values: Mapping[str, object] = field(default_factory=dict)
    within: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class Today:
    """What a judgement with all that is known now says."""

    word: str
    reasons: tuple[dict[str, Any], ...]
    changes: tuple[Difference, ...]


class Outcome(StrEnum):
    """What became of a verdict when it was recomputed."""

    SAME = "same"
    DIFFERS = "differs"
    OTHER_RULES = "other_rules"
    UNKNOWABLE = "unknowable"


@dataclass(frozen=True, slots=True)
class Explanation:
    """``differences`` empty: the stored facts and rules give the same document, hash and all.

    ``engines``: (then, now), where another version of the rules' code made it. That code is not here: ``comes_out`` is what
    this one makes otherwise of the same facts, and no difference. ``blurred``: a feed was restored from a backup at the
    very place, so that what was known then cannot be told from what came later.

    ``rule_changes``: today's limits or product row say otherwise than those it was judged by. The recomputation goes by
    the latter, so they alone are no difference: what matters of them today is in ``today``.

    ``document`` None: judged before documents were kept, nothing can be recomputed. ``rebuilt`` is the document that
    comes out now, by the rules of then.
    """

    verdict: Verdict
    document: dict[str, Any] | None
    differences: tuple[Difference, ...]
    rebuilt: dict[str, Any] | None = None
    today: Today | None = None
    rule_changes: tuple[Difference, ...] = ()
    engines: tuple[str, str] | None = None
    comes_out: tuple[Difference, ...] = ()
    blurred: bool = False

    @property
    def same(self) -> bool:
        return self.outcome is Outcome.SAME

    @property
    def outcome(self) -> Outcome:
        of_facts = {d.part for d in self.differences} <= {"fact", "verdict", "document"}
        if self.document is None or self.differences:
            return Outcome.UNKNOWABLE if self.blurred and of_facts else Outcome.DIFFERS
        return Outcome.SAME if self.engines is None else Outcome.OTHER_RULES


def explain(records: Records, memory: Memory, rules: Rules, verdict_id: str, now_ms: int) -> Explanation:
    """Recompute a verdict; raises UnknownRecord for an unknown one."""
    verdict = records.verdict_by_id(verdict_id)
    kept = records.verdict_document(verdict_id)
    today = _today(records, memory, rules, verdict, kept, now_ms)
    if kept is None:
        return Explanation(verdict, None, tuple(_no_document(verdict)), None, today)
    rebuilt = _rebuilt(records, memory, rules, kept)
    then = str(kept["rules"]["engine"])
    found = [*_sealed(verdict, kept, records.audit_of(f"verdict:{verdict_id}")), *_inputs(kept, rebuilt)]
    comes_out = tuple(_outcome(kept, rebuilt))
    if then == ENGINE or found:
        found += comes_out
    if not found and then == ENGINE and document_hash(rebuilt) != document_hash(kept):
        found.append(Difference("document", verdict.id, "other_hash"))
    changed = _rules(kept, rules, limits_of(records, rules.catalogue), rebuilt["batch"]["product_kfa"])
    return Explanation(
        verdict,
        kept,
        tuple(found),
        rebuilt,
        today,
        tuple(changed),
        None if then == ENGINE else (then, ENGINE),
        () if then == ENGINE or found else comes_out,
        memory.is_blurred(kept["as_of"]["homes_audit_id"]),
    )


def _no_document(verdict: Verdict) -> Iterator[Difference]:
    if verdict.document_hash is None:
        yield Difference("document", verdict.id, "no_document")
    else:
        yield Difference("document", verdict.id, "document_gone")


def _rebuilt(records: Records, memory: Memory, rules: Rules, kept: Mapping[str, Any]) -> dict[str, Any]:
    """The document again: facts and people's rows as of then, judged by the limits that stand in the document."""
    as_of = AsOf(**kept["as_of"])
    limits = _limits_of_then(kept, rules)
    product = product_of_json(kept["product"])
    serials = sorted({f["stream"].partition("/")[0] for f in kept["facts"]} | set(kept["devices"]))
    told = told_as_of(records, kept["batch"]["id"], as_of.audit_id, serials, limits.catalogue)
    facts = KnownThen(memory, as_of.journal_offset, as_of.homes_audit_id).of(told.stays)
    products = {} if product is None else {told.batch.product_kfa: product}
    judged = judge_told(told, facts, limits, products, parse_iso_utc(kept["judged_at"]))
    return seal(document(judged, as_of, kept["rules"]["products"]), kept["verdict"])


def _limits_of_then(kept: Mapping[str, Any], rules: Rules) -> Limits:
    """The limits that stand in the document; of profiles that only say what a place is for, today's."""
    first = {p["id"]: profile_of_json(p) for p in kept["rules"]["profiles"] if p.get("from") is None}
    later: dict[str, list[Dated]] = {}
    for p in kept["rules"]["profiles"]:
        if p.get("from") is not None:
            later.setdefault(p["id"], []).append(Dated(parse_iso_utc(p["from"]), profile_of_json(p)))
    return Limits({**rules.catalogue, **first}, {name: tuple(rows) for name, rows in later.items()})


# --- differences ------------------------------------------------------------------------------------------------


def _sealed(verdict: Verdict, kept: Mapping[str, Any], rows: Sequence[AuditRow]) -> Iterator[Difference]:
    """The document against its own hash, the row's, and the audit's first word of it."""
    if kept.get(HASH) != verdict.document_hash or document_hash(kept) != verdict.document_hash:
        yield Difference("document", verdict.id, "other_seal")
    if not rows:
        yield Difference("audit", verdict.id, "no_audit")
        return
    first = rows[0]
    columns = ("id", "site", "number", "at_ms", "actor", "role", "action", "kind", "subject", "old", "new", "reason")
    if row_hash({name: getattr(first, name) for name in columns}, first.prev_hash) != first.hash:
        yield Difference("audit", verdict.id, "audit_altered", {"row": first.id})
    if first.new_value.get("document_hash") != verdict.document_hash:
        yield Difference("audit", verdict.id, "audit_other_hash", {"row": first.id})


def _inputs(kept: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
    yield from _fields("batch", kept["batch"], now["batch"])
    yield from _rows("placement", _by("id", kept["placements"]), _by("id", now["placements"]))
    yield from _rows("vvm", _readings(kept["vvm_readings"]), _readings(now["vvm_readings"]))
    for part, name in (("correction", "corrections"), ("mark", "marks")):
        yield from _rows(part, *(_said_of_readings(d.get(name, ())) for d in (kept, now)))
    if kept["released_at"] != now["released_at"]:
        yield _was("release", kept["batch"]["id"], kept["released_at"], now["released_at"])
    same_code = kept["rules"]["engine"] == now["rules"]["engine"]
    places = now["places"] if same_code else _as_told_before(kept["places"], now["places"])
    yield from _rows("place", kept["places"], places)
    yield from _rows("device", kept["devices"], now["devices"])
    yield from _facts(kept["facts"], now["facts"])


def _as_told_before(kept: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What the places were in the end, in the words of an older document: its code knew one thing of each."""
    last = {name: place["later"][-1] if place.get("later") else place for name, place in now.items()}
    return {name: {k: v for k, v in row.items() if k in kept.get(name, row)} for name, row in last.items()}


def _by(key: str, rows: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {str(row[key]): row for row in rows}


def _said_of_readings(rows: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """By stream and span; several of one span each by their number too."""
    out: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        span = " ".join(f"{name} {row[name]}" for name in ("from", "to") if name in row)
        key, n = f"{row['stream']} {span}", 1
        while key in out:
            n += 1
            key = f"{row['stream']} {span} ({n})"
        out[key] = row
    return out


def _readings(rows: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """By time; several of one time each by their number too."""
    out: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        at_time = str(row["at"])
        more = sum(key.partition(" ")[0] == at_time for key in out)
        out[f"{at_time} ({more + 1})" if more else at_time] = row
    return out


def _fields(part: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield _was(part, name, old.get(name), new.get(name))


def _rows(part: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    for key in sorted({*old, *new}):
        if key not in new:
            yield Difference(part, key, "gone")
        elif key not in old:
            yield Difference(part, key, "came")
        elif old[key] != new[key]:
            yield Difference(part, key, "within", within=tuple(_fields(part, old[key], new[key])))


def _was(part: str, subject: str, old: object, new: object) -> Difference:
    """Of None a person is told "nothing"."""
    return Difference(part, subject, "was", {"old": old, "new": new})


def _facts(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> Iterator[Difference]:
    """Which stream, and of it which days: a digest tells that a day is another one, not which of its readings."""
    before, after = ({f"{f['stream']} ({f['equipment']})": f for f in facts} for facts in (old, new))
    for key in sorted({*before, *after}):
        was, now = before.get(key), after.get(key)
        if was is None or now is None:
            count = (now or was or {})["count"]
            yield Difference("fact", key, "readings_came" if was is None else "readings_gone", {"n": count})
        elif was["sha256"] != now["sha256"]:
            yield Difference("fact", key, "within", within=tuple(_days(was["days"], now["days"])))


def _days(old: Sequence[Sequence[Any]], new: Sequence[Sequence[Any]]) -> list[Difference]:
    before, after = ({d[0]: (d[1], d[2]) for d in days} for days in (old, new))
    said = []
    for day in sorted({*before, *after}):
        was, now = before.get(day, (0, "")), after.get(day, (0, ""))
        if was[0] != now[0]:
            said.append(Difference("fact", day, "day_count", {"was": was[0], "now": now[0]}))
        elif was != now:
            said.append(Difference("fact", day, "day_other", {"n": was[0]}))
    more = len(said) - _MOST_DAYS
    return [*said[:_MOST_DAYS], *([Difference("fact", "", "more_days", {"n": more})] if more > 0 else [])]


def _rules(kept: Mapping[str, Any], rules: Rules, limits: Limits, kfa: str) -> Iterator[Difference]:
    """The rules of then against today's. The recomputation goes by those of then, so this alone changes no outcome."""
    for old in kept["rules"]["profiles"]:
        profile = _meant(limits, old)
        new = None if profile is None else profile_json(profile)
        if new is None:
            yield Difference("rule", old["id"], "no_version", {"version": old["version"]})
        elif (new["sha256"], new["version"]) != (old["sha256"], old["version"]):
            yield _limits(old, new)
    product = product_json(rules.products.get(kfa))
    if product != kept["product"]:
        said = tuple(_fields("rule", kept["product"], product))
        yield Difference("rule", f"product {kfa}", "table", {"version": kept["rules"]["products"]}, said)


def _meant(limits: Limits, old: Mapping[str, Any]) -> Profile | None:
    """The same profile's version of the same date, as it is kept today. Versions that came since are no difference."""
    if old.get("from") is None:
        return limits.catalogue.get(old["id"])
    from_ms = parse_iso_utc(old["from"])
    return next((d.profile for d in limits.versions.get(old["id"], ()) if d.from_ms == from_ms), None)


def _limits(old: Mapping[str, Any], new: Mapping[str, Any]) -> Difference:
    before, after = (_by("code", p["limits"]["rows"]) for p in (old, new))
    said = [*_rows("rule", before, after)]
    plain = [{k: v for k, v in p["limits"].items() if k != "rows"} for p in (old, new)]
    said += _fields("rule", *plain)
    return Difference("rule", old["id"], "versions", {"was": old["version"], "now": new["version"]}, tuple(said))


_OUTCOME = ("word", "reasons", "exposure", "findings", "timeline")


def _outcome(kept: Mapping[str, Any], rebuilt: Mapping[str, Any]) -> Iterator[Difference]:
    for name in _OUTCOME:
        if kept[name] == rebuilt[name]:
            continue
        match name:
            case "word":
                yield _was("verdict", name, kept[name], rebuilt[name])
                continue
            case "exposure" if kept[name] and rebuilt[name]:
                said = tuple(_fields("verdict", kept[name], rebuilt[name]))
            case "reasons" | "findings":
                key = "code" if name == "reasons" else "id"
                said = tuple(_rows("verdict", _by(key, kept[name]), _by(key, rebuilt[name])))
            case _:
                said = ()
        yield Difference("verdict", name, "within" if said else "another", within=said)


# --- today ------------------------------------------------------------------------------------------------------


def _today(
    records: Records, memory: Memory, rules: Rules, verdict: Verdict, kept: Mapping[str, Any] | None, now_ms: int
) -> Today | None:
    """None where the batch is not known any more."""
    limits = limits_of(records, rules.catalogue)
    try:
        told, audit_id = told_now(records, verdict.batch, records.registry(), limits.catalogue, memory.homes())
    except UnknownRecord:
        return None
    judged: Judged = judge_told(told, KnownThen(memory).of(told.stays), limits, rules.products, now_ms)
    place = memory.place()
    now = document(judged, AsOf(memory.known_to(), audit_id, place.audit_id), rules.products_version)
    changes = () if kept is None else tuple(_inputs(kept, now))
    return Today(now["word"], tuple(now["reasons"]), changes)
