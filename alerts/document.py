"""The document of a judgement: all it rests on, as plain JSON that can be kept, shown and recomputed. Pure.

``document(judged, as_of, products_version)`` gives all keys but ``verdict`` and ``hash``, which the records add when
they number the verdict (``gateway.records.documents``). Temperatures and percents are texts (no floats), times are
UTC texts, durations whole seconds. The facts themselves stay where they are: of each stream stand the count, the
first and last time, and a digest (of each UTC day too, so that an altered fact is found by its day). The limits and
the product's row stand in it in full: a later version of either cannot change what a verdict was judged by.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from alerts.exposure import Exposure, Placement
from alerts.judgement import Judged
from alerts.mkt import mkt_of, sliding_mkt_max
from alerts.products import UNKNOWN_PRODUCT, Budget, FreezeClass, LevelRange, OpenedVial, Product
from alerts.rules import Comparator, Grounds, Level, Limit, Mode, Profile, ReadingFact, RuleFinding, Segment
from alerts.rules.facts import degrees, milli
from alerts.rules.spans import RangeState, state_of
from alerts.storage import Place
from alerts.verdicts import Reason
from alerts.vvm import used
from telemetry.contract import iso_utc

VERSION = 1
ENGINE = "8"
"""Version of the judgement's code: raised when the same facts and limits may give another verdict."""

_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000
_STEPS = 240
_MOST_SPANS = 1500
_HUNDREDTH = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class AsOf:
    """How far was read: the journal's offset, and the audit's id for what people said of the batch.

    ``homes_audit_id``: up to which the service knew which device stands in which equipment (it may lag by a turn).
    """

    journal_offset: int
    audit_id: int
    homes_audit_id: int


def document(judged: Judged, as_of: AsOf, products_version: str, *, digests: bool = True) -> dict[str, Any]:
    """The document but for ``verdict`` and ``hash``. The same judgement gives the same document.

    ``digests`` False: without those of the facts, for a history that nobody will recompute.
    """
    told, made = judged.told, judged.verdict
    return {
        "v": VERSION,
        "batch": _batch(judged),
        "product": product_json(judged.product),
        "judged_at": at(judged.now_ms),
        "as_of": asdict(as_of),
        "word": made.verdict.value,
        "reasons": [_reason(r) for r in made.reasons],
        "placements": [_placement(p) for p in told.stays],
        "places": {e: _places(p, told.places_later.get(e, ())) for e, p in sorted(told.places.items())},
        "devices": _devices(judged),
        **_amended(judged),
        "vvm_readings": [{"stage": v.stage.value, "at": at(v.at_ms), "by": v.by} for v in told.seen],
        "released_at": _maybe(told.released_ms),
        "exposure": None if judged.exposure is None else _exposure(judged, judged.exposure),
        "timeline": [] if judged.exposure is None else _history(judged, judged.exposure),
        "findings": [_finding(f) for f in judged.findings],
        "facts": facts_json(judged.facts) if digests else [],
        "rules": {
            "engine": ENGINE,
            "profiles": [
                {**profile_json(d.profile), "from": at(d.from_ms) if d.from_ms else None} for d in judged.eras
            ],
            "products": products_version,
        },
    }


def at(t_ms: int) -> str:
    """A time as the document writes it: UTC, to the second where it is a whole one."""
    text = iso_utc(t_ms)
    return text.replace(".000Z", "Z")


def _maybe(t_ms: int | None) -> str | None:
    return None if t_ms is None else at(t_ms)


def digest(value: Any) -> str:
    """sha256 (hex) of the canonical JSON of plain values."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


# --- who and what -----------------------------------------------------------------------------------------------


def _batch(judged: Judged) -> dict[str, Any]:
    b = judged.told.batch
    return {
        "id": b.id,
        "site": b.site,
        "product_kfa": b.product_kfa,
        "product_name": b.product_name,
        "batch_number": b.batch_number,
        "expires_on": b.expires_on.isoformat(),
        "doses": b.doses,
    }


def product_json(product: Product | None) -> dict[str, Any]:
    """The row of the product table it was judged by; ``known`` false: not in the table, judged with care."""
    p = product or UNKNOWN_PRODUCT
    return {
        "known": product is not None,
        "name": p.name,
        "freeze_class": p.freeze_class.value,
        "shake_test_valid": p.shake_test_valid,
        "has_diluent": p.has_diluent,
        "vvm_type": p.vvm_type,
        "profile": p.profile,
        "freezer_at": list(p.freezer_at),
        "ranges": [
            {"levels": list(r.levels), "low_c": str(r.low_c), "high_c": str(r.high_c), "source": r.source}
            for r in p.ranges
        ],
        "opened_vial": [asdict(o) for o in p.opened_vial],
        "diluent": p.diluent,
        "transport": p.transport,
        "budgets": [
            {name: str(v) if isinstance(v, Decimal) else v for name, v in asdict(b).items()} for b in p.budgets
        ],
        "sources": list(p.sources),
        "unverified": list(p.unverified),
    }


def profile_json(profile: Profile) -> dict[str, Any]:
    """A profile with all its limits, and the digest of these."""
    limits = {
        "low_c": _c(profile.low_c),
        "high_c": _c(profile.high_c),
        "max_gap_s": profile.max_gap_s,
        "ignore_first_s": profile.ignore_first_s,
        **({} if profile.lasts_at_most_s is None else {"lasts_at_most_s": profile.lasts_at_most_s}),
        "rows": [
            {
                "code": x.code,
                "comparator": x.comparator.value,
                "limit_c": str(x.limit_c),
                "alarm_after_s": x.alarm_after_s,
                "mode": x.mode.value,
                "level": x.level.value,
                "window_s": x.window_s,
                "repeats": x.repeats,
                "guard_code": x.guard_code,
                "source": x.source,
                "verified": x.verified,
                "quantity": x.quantity,
                "longer_than": x.longer_than,
            }
            for x in profile.limits
        ],
    }
    return {"id": profile.id, "version": profile.version, "sha256": digest(limits), "limits": limits}


def profile_of_json(kept: Mapping[str, Any]) -> Profile:
    """The inverse of ``profile_json``, as far as a judgement looks."""
    body = kept["limits"]
    rows = tuple(
        Limit(
            code=x["code"],
            comparator=Comparator(x["comparator"]),
            limit_c=Decimal(x["limit_c"]),
            alarm_after_s=x["alarm_after_s"],
            mode=Mode(x["mode"]),
            level=Level(x["level"]),
            window_s=x["window_s"],
            repeats=x["repeats"],
            guard_code=x["guard_code"],
            source=x["source"],
            verified=x["verified"],
            quantity=x["quantity"],
            longer_than=x["longer_than"],
        )
        for x in body["rows"]
    )
    low_c, high_c = (None if body[k] is None else Decimal(body[k]) for k in ("low_c", "high_c"))
    gap_s, ignore_s = body["max_gap_s"], body["ignore_first_s"]
    return Profile(
        kept["id"],
        kept["version"],
        low_c,
        high_c,
        rows,
        max_gap_s=gap_s,
        ignore_first_s=ignore_s,
        sources=("kept",),
        lasts_at_most_s=body.get("lasts_at_most_s"),
    )


def product_of_json(kept: Mapping[str, Any]) -> Product | None:
    """The inverse of ``product_json``, without its KFA codes."""
    if not kept["known"]:
        return None
    return Product(
        kept["name"],
        (),
        FreezeClass(kept["freeze_class"]),
        kept["shake_test_valid"],
        kept["has_diluent"],
        kept["vvm_type"],
        kept["profile"],
        tuple(kept["sources"]),
        tuple(kept["freezer_at"]),
        tuple(
            LevelRange(tuple(r["levels"]), Decimal(r["low_c"]), Decimal(r["high_c"]), r["source"])
            for r in kept.get("ranges", ())
        ),
        tuple(OpenedVial(**o) for o in kept.get("opened_vial", ())),
        kept.get("diluent", ""),
        kept.get("transport", ""),
        budgets=tuple(Budget(**{k: _revived(k, v) for k, v in b.items()}) for b in kept.get("budgets", ())),
        unverified=tuple(kept.get("unverified", ())),
    )


def _revived(name: str, value: Any) -> Any:
    return Decimal(value) if name.endswith("_c") and value is not None else value


def _c(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


def _place(p: Place) -> dict[str, Any]:
    said = {"level": p.level, "freezes": p.freezes, "chills": p.chills}
    return {**said, "carries": True} if p.carries else said


def _places(first: Place, later: Sequence[tuple[int, Place]]) -> dict[str, Any]:
    """What a place was for; where it became another thing, what it was then on."""
    rows = [{"since": at(since_ms), **_place(p)} for since_ms, p in later]
    return {**_place(first), "later": rows} if rows else _place(first)


def _placement(p: Placement) -> dict[str, Any]:
    return {"id": p.id, "equipment": p.equipment, "from": at(p.from_ms), "to": _maybe(p.to_ms), "said_by": p.said_by}


def _devices(judged: Judged) -> dict[str, Any]:
    """The settings of the devices whose readings were judged."""
    serials = sorted({f.stream_id.partition("/")[0] for f in judged.facts})
    known = judged.told.devices
    return {s: {"interval_s": known[s].interval_s, "sigma_c": _c(known[s].sigma_c)} for s in serials if s in known}


def _amended(judged: Judged) -> dict[str, Any]:
    """What people said of the readings that were judged; no key where nothing was (as in documents of before)."""
    streams = sorted({f.stream_id for f in judged.facts})
    corrections = [
        {
            "stream": s,
            "from": at(c.from_ms),
            "offset_c": str(c.offset_c),
            "certificate": c.certificate,
            "by": c.said_by,
        }
        for s in streams
        for c in judged.told.amended.corrections.get(s, ())
    ]
    marks = [
        {"stream": s, "from": at(m.from_ms), "to": at(m.to_ms), "by": m.said_by}
        for s in streams
        for m in judged.told.amended.marks.get(s, ())
    ]
    return {name: rows for name, rows in (("corrections", corrections), ("marks", marks)) if rows}


def _reason(r: Reason) -> dict[str, Any]:
    return {
        "code": r.code,
        "asks_for": r.asks_for.value,
        "text": r.text,
        "findings": list(r.findings),
        "params": dict(r.params),
    }


# --- what it lived through --------------------------------------------------------------------------------------


def _exposure(judged: Judged, e: Exposure) -> dict[str, Any]:
    vvm_type = None if judged.product is None else judged.product.vvm_type
    uses = () if vvm_type is None else used(vvm_type, e.timeline)
    return {
        "from": at(e.from_ms),
        "to": at(e.to_ms),
        "known_s": e.known_s,
        "unknown_s": e.unknown_s,
        "above_s": e.above_s,
        "below_s": e.below_s,
        "freezing_s": e.freezing_s,
        "freeze_possible_s": e.freeze_possible_s,
        "min_c": _c(e.min_c),
        "max_c": _c(e.max_c),
        "mkt_c": _hundredths(mkt_of(e.timeline)),
        "mkt_24h_max_c": _hundredths(sliding_mkt_max(e.timeline)),
        "vvm": [{"model": u.model.value, "type": u.vvm_type, "used_percent": str(u.used_percent)} for u in uses],
        "budgets": [asdict(b) for b in judged.budgets],
    }


def _hundredths(value: Decimal | None) -> str | None:
    """Two places: what lies beyond depends on the machine's floats (``alerts.mkt``)."""
    return None if value is None else str(value.quantize(_HUNDREDTH, ROUND_HALF_EVEN))


@dataclass(slots=True)
class _Span:
    from_ms: int
    to_ms: int
    state: RangeState
    low_m: int | None
    high_m: int | None
    equipment: str

    def json(self) -> dict[str, Any]:
        return {
            "from": at(self.from_ms),
            "to": at(self.to_ms),
            "state": self.state.value,
            "low_c": None if self.low_m is None else str(degrees(self.low_m)),
            "high_c": None if self.high_m is None else str(degrees(self.high_m)),
            "equipment": self.equipment,
        }


_WORSE = (RangeState.IN, RangeState.UNKNOWN, RangeState.OUT)


def timeline_json(
    line: Sequence[Segment],
    stays: Sequence[Placement],
    profile: Profile,
    ranges: Sequence[tuple[int | None, int | None]] = (),
) -> list[dict[str, Any]]:
    """The history as stretches of one state in one place, none longer than a step of the picture.

    A step is an hour, longer where the history has more than 240 of them. A history that went in and out too often
    to be told is told by the step: the worst state of each (out, unknown, in), never a better one. ``ranges``: of each
    stretch the range that holds there, where it is not the profile's all along.
    """
    if not line:
        return []
    step_ms = max(1, -(-(line[-1].to_ms - line[0].from_ms) // (_STEPS * _HOUR_MS))) * _HOUR_MS
    pieces = list(_pieces(line, stays, ranges or [_plain(profile)] * len(line), step_ms))
    made = _joined(pieces, step_ms, lambda a, b: a.state is b.state and a.equipment == b.equipment)
    if len(made) > _MOST_SPANS:
        made = _joined(pieces, step_ms, lambda a, b: a.equipment == b.equipment)
    if len(made) > _MOST_SPANS:
        made = _joined(pieces, step_ms, lambda _a, _b: True)
    return [s.json() for s in made]


def _history(judged: Judged, e: Exposure) -> list[dict[str, Any]]:
    """States by the range where it stood (cold in its right place is in range), temperatures as read."""
    return timeline_json(e.timeline, judged.told.stays, judged.profile, e.ranges)


def _plain(profile: Profile) -> tuple[int | None, int | None]:
    low_m, high_m = (None if c is None else milli(c) for c in (profile.low_c, profile.high_c))
    return low_m, high_m


def _pieces(
    line: Sequence[Segment],
    stays: Sequence[Placement],
    ranges: Sequence[tuple[int | None, int | None]],
    step_ms: int,
) -> Iterable[_Span]:
    for s, edges in zip(line, ranges, strict=True):
        state, a = state_of(s, *edges), s.from_ms
        here = "+".join(sorted({p.equipment for p in stays if p.from_ms <= a and (p.to_ms is None or a < p.to_ms)}))
        while a < s.to_ms:
            b = min(s.to_ms, (a // step_ms + 1) * step_ms)
            yield _Span(a, b, state, s.low_m, s.high_m, here)
            a = b


def _joined(pieces: Iterable[_Span], step_ms: int, alike: Any) -> list[_Span]:
    out: list[_Span] = []
    for p in pieces:
        last = out[-1] if out else None
        if last is None or last.from_ms // step_ms != p.from_ms // step_ms or not alike(last, p):
            out.append(_Span(p.from_ms, p.to_ms, p.state, p.low_m, p.high_m, p.equipment))
            continue
        last.to_ms = p.to_ms
        last.state = max(last.state, p.state, key=_WORSE.index)
        last.low_m = min((v for v in (last.low_m, p.low_m) if v is not None), default=None)
        last.high_m = max((v for v in (last.high_m, p.high_m) if v is not None), default=None)
        if p.equipment not in last.equipment.split("+"):
            last.equipment = "+".join(filter(None, (last.equipment, p.equipment)))
    return out


# --- what it rests on -------------------------------------------------------------------------------------------


def _finding(f: RuleFinding) -> dict[str, Any]:
    return {
        "id": f.finding_id,
        "code": f.code,
        "kind": f.kind.value,
        "level": f.level.value,
        "rule": f.rule,
        "profile_version": f.profile_version,
        "limit_c": _c(f.limit_c),
        "comparator": f.comparator,
        "after_s": f.after_s,
        "mode": f.mode,
        "from": at(f.episode_start_ms),
        "fired": at(f.event_ms),
        "to": _maybe(f.end_ms),
        "extreme_c": _c(f.extreme_c),
        "known_s": f.known_s,
        "unknown_s": f.unknown_s,
        "reason": f.reason,
        "readings": _grounds(f.readings),
    }


def _grounds(g: Grounds | None) -> dict[str, Any]:
    if g is None:
        return {}
    times = {"first": g.first_ms, "deciding": g.deciding_ms, "last": g.last_ms, "extreme": g.extreme_ms}
    return {**{name: _maybe(t_ms) for name, t_ms in times.items()}, "count": g.count}


def facts_json(facts: Iterable[ReadingFact]) -> list[dict[str, Any]]:
    """Each stream's facts as (count, first, last, digest), with the digest of each UTC day. Order plays no part."""
    kept: dict[tuple[str, str], dict[tuple[int, int, int, str], None]] = {}
    for f in facts:
        kept.setdefault((f.stream_id, f.equipment), {})[fact_key(f)] = None
    out = []
    for (stream, equipment), keys in sorted(kept.items()):
        rows = sorted(keys)
        days: dict[int, list[tuple[int, int, int, str]]] = {}
        for row in rows:
            days.setdefault(row[0] // _DAY_MS, []).append(row)
        out.append(
            {
                "stream": stream,
                "equipment": equipment,
                "count": len(rows),
                "first": at(rows[0][0]),
                "last": at(rows[-1][0]),
                "sha256": rows_digest(rows),
                "days": [[at(day * _DAY_MS)[:10], len(of), rows_digest(of)[:16]] for day, of in days.items()],
            }
        )
    return out


_NO_VALUE = -(1 << 40)


def fact_key(f: ReadingFact) -> tuple[int, int, int, str]:
    """(time, device's number or -1, thousandths of a degree, quality): what makes a fact of a stream this one."""
    value = _NO_VALUE if f.value_c is None else milli(f.value_c)
    return f.t_ms, -1 if f.device_seq is None else f.device_seq, value, f.quality.value


def rows_digest(rows: Iterable[tuple[int, int, int, str]]) -> str:
    """sha256 (hex) of facts, one a line: time, number, value, quality."""
    text = "".join(f"{t} {seq} {value} {quality}\n" for t, seq, value, quality in rows)
    return hashlib.sha256(text.encode()).hexdigest()
