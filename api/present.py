"""Values of the records in a person's words: pure, one language at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from markupsafe import Markup

from alerts.rules import Comparator
from alerts.verdicts import WENT_ON, WRONG_STORAGE
from api.alarm_words import is_late
from api.chart import Chart, Span, draw
from api.history import ms_of
from api.places import GoesOn, PlaceNow
from api.problems import Wrong
from api.questions import (
    HOUR_MS,
    BatchView,
    Counters,
    DayView,
    EquipmentView,
    LedgerBook,
    LedgerLine,
    RefusedLoad,
    Shown,
    finding_state,
    reason_codes,
)
from api.replies import reply_of
from api.words import Words, catalogue
from gateway.records.model import (
    Alarm,
    AlarmState,
    Attachment,
    AttachmentKind,
    Batch,
    Decision,
    Finding,
    FindingKind,
    Placement,
    Site,
    Verdict,
    VvmObservation,
)
from ingest.epochs import Absent, absences

VERDICT_KINDS = {
    "discard_proposed": "alarm",
    "shake_test": "alarm",
    "hold_and_inspect": "out",
    "use_first": "warn",
    "no_action": "ok",
}
_ICONS = {
    "ok": '<circle cx="12" cy="12" r="10"/><path d="M7 12.5l3.5 3.5L17 9"/>',
    "alarm": '<path d="M12 3L2 21h20zM12 10v5M12 18v.01"/>',
    "out": '<path d="M12 2l10 10-10 10L2 12zM12 7v6M12 16v.01"/>',
    "warn": '<path d="M12 2l10 10-10 10L2 12zM8 12l3 3 5-5"/>',
    "gone": '<circle cx="12" cy="12" r="10"/><path d="M8 8l8 8M16 8l-8 8"/>',
    "unknown": '<circle cx="12" cy="12" r="10" stroke-dasharray="3 3"/>'
    '<path d="M9 9a3 3 0 1 1 4 3c-1 .5-1 1-1 2M12 17v.01"/>',
}


def badge(kind: str, text: str) -> Markup:
    """A state as sign, word and colour: never by colour alone."""
    shape = Markup(_ICONS.get(kind, _ICONS["unknown"]))  # noqa: S704  (our own constants)
    return Markup(
        '<span class="state {kind}"><svg viewBox="0 0 24 24" aria-hidden="true" focusable="false">{shape}</svg>'
        "{text}</span>"
    ).format(kind=kind, shape=shape, text=text)


@dataclass(frozen=True, slots=True)
class Item:
    """A finding in a list: its sign and word, where, what, when, and what was answered."""

    finding: Finding
    kind: str
    badge: str
    place: str
    words: str
    when: str
    open: bool = False
    answer: str = ""
    comment: str = ""


def item(words: Words, site: Site, places: Mapping[str, str], finding: Finding, alarm: Alarm | None) -> Item:
    """A finding or alarm as a person reads it. ``places`` names equipment and batches by id."""
    shown = finding_state(finding, alarm)
    subject = finding.equipment or finding.batch or finding.device or ""
    answer = comment = ""
    if alarm is not None and alarm.acknowledged_by is not None:
        when = words.time(alarm.acknowledged_ms, site.zone)
        answer = words("alarms.answered_by", name=alarm.acknowledged_by, time=when)
        comment = alarm.comment or ""
    return Item(
        finding,
        shown.kind,
        words(f"state.{shown.word}"),
        places.get(subject, subject or words("alarms.whole_site")),
        what(words, finding),
        when_text(words, site.zone, finding),
        alarm is not None and alarm.state == AlarmState.OPEN,
        answer,
        comment,
    )


def what(words: Words, finding: Finding) -> str:
    """``Too warm for too long, highest 9.3 °C (possible: ...)``."""
    text = words.known("code", finding.code)
    if finding.extreme_c is not None:
        text = f"{text}, {words(f'alarms.{_side(finding)}', value=words.number(finding.extreme_c))}"
    if finding.kind == FindingKind.POSSIBLE:
        return words("alarms.possible", text=text)
    return words("alarms.withdrawn", text=text) if finding.kind == FindingKind.WITHDRAWN else text


def _side(finding: Finding) -> str:
    """Which extreme it is: by the limit it crossed, else by its code."""
    comparator = str(finding.evidence.get("comparator", ""))
    if comparator.startswith((">", "<")):
        return "highest" if comparator[0] == ">" else "lowest"
    if finding.code.startswith("HEAT") or finding.code.endswith(("_HIGH", "_ABOVE")):
        return "highest"
    cold = finding.code in ("FRZE", "COLD", "LOW", "FREEZE_POSSIBLE", "STOCK_CHECK")
    return "lowest" if cold or finding.code.endswith(("_LOW", "_BELOW")) else "extreme"


def when_text(words: Words, zone: str, finding: Finding) -> str:
    """From when to when, and when it was known: both times are kept (cold-chain.md 8)."""
    start = words.time(finding.episode_start_ms, zone)
    if finding.end_ms is None:
        span = words("alarms.since", time=start)
    else:
        span = words("alarms.from_to", start=start, end=words.time(finding.end_ms, zone))
    known = words(
        "alarms.late" if is_late(finding) else "alarms.known_at", time=words.time(finding.detected_ms, zone)
    )
    return f"{span} · {known}"


# --- batches --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BatchItem:
    """A batch as it is shown. ``may_decide``: there is a verdict, and the batch was not discarded.

    ``word``: the verdict's word that holds now (``BatchView.word``); ``anew``: which VVM reading waits to be judged, or "";
    ``over``: the release does not hold any more, ``decision_line`` says since when and why.
    """

    batch: Batch
    verdict: Verdict | None
    kind: str
    badge: str
    decision_line: str
    decision_reason: str
    settled: bool
    may_decide: bool
    reasons: tuple[str, ...]
    findings: tuple[Item, ...]
    placements: tuple[dict[str, Any], ...]
    vvm: VvmObservation | None
    vvm_missing: bool
    discarded: bool
    worst: VvmObservation | None
    word: str
    anew: str
    over: bool

    @property
    def was_out(self) -> bool:
        """Whether a limit of temperature was passed at all, however shortly."""
        return any(x.finding.kind != FindingKind.WITHDRAWN and x.finding.extreme_c is not None for x in self.findings)


def batch_item(words: Words, site: Site, places: Mapping[str, str], view: BatchView) -> BatchItem:
    """The batch, its verdict in words and why."""
    verdict, decision = view.verdict, view.decision
    if view.settled and decision is not None:
        kind = "ok" if decision.decision == Decision.RELEASED else "gone"
        text = words.known("decision", decision.decision)
    elif view.word:
        kind = VERDICT_KINDS.get(view.word, "unknown")
        text = words.known("verdict", view.word)
    else:
        kind, text = "unknown", words("verdict.none")
    line, anew = "", _anew(words, site, view)
    over = decision is not None and not view.discarded and view.waits
    if decision is not None and over:
        line = _release_over(words, site, places, view, decision, anew)
    elif decision is not None:
        line = words(
            "batch.decided",
            decision=words.known("decision", decision.decision),
            name=decision.decided_by or "–",
            time=words.time(decision.decided_ms, site.zone),
        )
    return BatchItem(
        view.batch,
        verdict,
        kind,
        text,
        line,
        (decision.reason or "") if decision is not None else "",
        view.settled,
        verdict is not None and not view.discarded,
        _reasons(words, site, places, view),
        tuple(_exposure(item(words, site, places, f, None), words) for f in view.findings),
        tuple(_placement(places, p) for p in reversed(view.placements)),
        view.vvm,
        view.vvm_missing,
        view.discarded,
        view.worst,
        view.word,
        anew,
        over,
    )


def _reasons(words: Words, site: Site, places: Mapping[str, str], view: BatchView) -> tuple[str, ...]:
    if view.verdict is None:
        return ()
    ends = {p.from_ms: p.to_ms for p in view.placements}
    spells = {
        f.id: (f.episode_start_ms, ends.get(f.episode_start_ms, f.end_ms))
        for f in view.findings
        if f.code == WRONG_STORAGE
    }
    found = (over_by_now(r, spells) for r in without_doubt(view.verdict.reasons))
    return tuple(reason_text(words, site.zone, places, r) for r in found)


def _anew(words: Words, site: Site, view: BatchView) -> str:
    """The VVM reading that is newer than the verdict; "" where there is none."""
    if view.unjudged is None or view.worst is None:
        return ""
    when = words.time(view.worst.at_ms, site.zone)
    return words("batch.anew", stage=view.worst.stage, by=view.worst.by, time=when)


def _release_over(
    words: Words, site: Site, places: Mapping[str, str], view: BatchView, decision: Verdict, anew: str
) -> str:
    """Who released it, since when that does not hold any more, and why: what is new since then comes first."""
    since_ms, why = decision.decided_ms, ""
    if anew and view.worst is not None:
        since_ms, why = view.worst.at_ms, anew
    elif view.verdict is not None:
        known = set(reason_codes(decision)) - {WENT_ON}
        rows = list(zip(reason_codes(view.verdict), view.verdict.reasons, strict=True))
        first = next((r for code, r in rows if code not in known), rows[0][1] if rows else None)
        since_ms = view.verdict.judged_ms
        why = "" if first is None else reason_text(words, site.zone, places, first)
    return words(
        "batch.release_over",
        name=decision.decided_by or "–",
        time=words.time(decision.decided_ms, site.zone),
        since=words.time(since_ms, site.zone),
        why=why,
    ).rstrip(" :")


def still_lines(words: Words, site: Site, places: Mapping[str, str], still: GoesOn) -> list[str]:
    """What speaks against a release, each in a sentence."""
    found = [f"{x.words}: {x.when}" for x in (item(words, site, places, f, None) for f in still.findings)]
    return [*(words("decide.still_place", place=place_text(words, p)) for p in still.places), *found]


def place_text(words: Words, place: PlaceNow) -> str:
    """``Kulkas A: alarm, 9.3 °C``."""
    state = words(f"state.{place.word}")
    if place.view is None or place.view.counted_c is None:
        return words("place.now", name=place.name, state=state)
    return words("place.now_value", name=place.name, state=state, value=words.number(place.view.counted_c, 1))


def _exposure(shown: Item, words: Words) -> Item:
    """A finding in a batch's history: one of alarm level stays an alarm, answered or not, over or not."""
    finding = shown.finding
    if not finding.alarms or finding.kind == FindingKind.WITHDRAWN:
        return shown
    return replace(shown, kind="alarm", badge=words("state.alarm" if finding.end_ms is None else "state.over"))


def _placement(places: Mapping[str, str], placement: Placement) -> dict[str, Any]:
    return {
        "place": places.get(placement.equipment, placement.equipment),
        "from_ms": placement.from_ms,
        "to_ms": placement.to_ms,
        "said_by": placement.said_by,
    }


def without_doubt(reasons: Sequence[Any]) -> list[Any]:
    """The reasons a page tells: beside a freeze alarm nobody needs to read that freezing cannot be ruled out."""
    codes = {r.get("code") if isinstance(r, Mapping) else str(r) for r in reasons}
    sure = bool(codes & {"freeze_shake_test", "freeze_no_shake_test"})
    return [
        r for r in reasons if not (sure and (r.get("code") if isinstance(r, Mapping) else r) == "freeze_possible")
    ]


def reason_text(words: Words, zone: str, places: Mapping[str, str], reason: Any) -> str:
    """One reason of a verdict in plain words: ``{"code", "text", ...}`` as ``alerts.batches`` saves it, or a code.

    Facts are written by their unit's name (``_ms`` a time, ``_s`` a duration, ``_c`` degrees). A code the catalogue
    does not have is shown by its own (English) text, else as it is: nothing is hidden.
    """
    facts = dict(reason) if isinstance(reason, Mapping) else {"code": str(reason)}
    code = str(facts.pop("code", ""))
    shown = {name: fact_text(words, zone, places, name, value) for name, value in facts.items()}
    for key in (f"why_with.{code}", f"why.{code}"):  # with its facts, else (an older reason) without
        if key in catalogue():
            with contextlib.suppress(KeyError):
                return words(key, **shown)
    if shown.get("text"):
        return shown["text"]
    details = ", ".join(f"{name} {value}" for name, value in shown.items())
    return f"{words.known('code', code)}: {details}" if details else words.known("code", code)


def wrong_text(words: Words, wrong: Wrong) -> str:
    """What is wrong with a field, by its name as on the form; its bounds written as numbers are."""
    facts = {k: words.number(v) if isinstance(v, Decimal) else v for k, v in wrong.facts.items()}
    return words(f"wrong.{wrong.rule}", field=words.known("field", wrong.name), **facts)


def over_by_now(reason: Any, spells: Mapping[str, tuple[int, int | None]]) -> Any:
    """A reason that asks to take a vaccine out, told as over once it was taken out of every such place.

    ``spells``: finding's id -> (from, to) of those stays; to is None while it is still there.
    """
    if not isinstance(reason, Mapping) or str(reason.get("code")) not in _TAKE_OUT:
        return reason
    mine = [spells[name] for name in reason.get("findings") or spells if name in spells]
    ends = [to_ms for _, to_ms in mine if to_ms is not None]
    if not mine or len(ends) < len(mine):
        return reason
    return {
        **reason,
        "code": f"{reason['code']}_over",
        "from_ms": min(from_ms for from_ms, _ in mine),
        "to_ms": max(ends),
    }


_TAKE_OUT = frozenset({"wrong_storage_freezer", "wrong_storage_not_frozen"})


def fact_text(words: Words, zone: str, places: Mapping[str, str], name: str, value: Any) -> str:
    """A fact written by its unit, which stands in its name."""
    if isinstance(value, bool) or value is None:
        return str(value)
    if name.endswith("_ms") and isinstance(value, int):
        return words.time(value, zone)
    if name.endswith("_s") and isinstance(value, int):
        return words.span(value * 1000)
    if name.endswith("_c") and _is_number(value):
        return f"{words.number(Decimal(str(value)))} °C"
    if name.endswith("_percent") and _is_number(value):
        return f"{words.number(Decimal(str(value)), 1)} %"
    if name.endswith("_at") and (at_ms := ms_of(value)) is not None:
        return words.time(at_ms, zone)
    if name == "equipment":
        return places.get(str(value), str(value))
    if name == "budget":
        return words.known("budget", value)
    return words.known("code", value) if name in ("rule", "finding_code") else str(value)


def _is_number(value: Any) -> bool:
    try:
        return Decimal(str(value)).is_finite()
    except ArithmeticError:
        return False


# --- equipment ------------------------------------------------------------------------------------------------


def day_picture(
    words: Words, site: Site, view: EquipmentView, day: DayView, findings: list[Item]
) -> tuple[Markup, str, list[dict[str, Any]]]:
    """(SVG, summary sentence, rows of the table) of one stream's day."""
    values = [p.value for p in day.points if p.value is not None]
    if values:
        summary = words(
            "chart.summary",
            low=words.number(min(values), 1),
            high=words.number(max(values), 1),
            out=words.span(day.out_ms),
            unknown=words.span(day.unknown_ms),
        )
    else:
        summary = words("chart.summary_none")
    alarms = [
        Span(x.finding.episode_start_ms, x.finding.end_ms or day.to_ms, x.words)
        for x in findings
        if x.finding.kind != FindingKind.WITHDRAWN
        and x.finding.episode_start_ms < day.to_ms
        and (x.finding.end_ms or day.to_ms) > day.from_ms
    ]
    chart = Chart(
        points=day.points,
        from_ms=day.from_ms,
        to_ms=day.to_ms,
        low_c=day.low_c,
        high_c=day.high_c,
        unknown=[Span(a, b, f"{words('chart.unknown')}: {words.span(b - a)}") for a, b in day.unknown],
        alarms=alarms,
        ticks=ticks(words, site.zone, day.from_ms, day.to_ms),
        title=words("chart.title", name=view.equipment.name),
        summary=summary,
        unknown_word=words("chart.unknown"),
        decimal_comma=words.language == "id",
    )
    hours = [
        {
            "label": f"{words.day_month(_day_of(h.from_ms, site.zone))} {words.clock(h.from_ms, site.zone)}",
            "low_c": h.low_c,
            "high_c": h.high_c,
            "state": h.state.value,
            "unknown_ms": h.unknown_ms,
            "part": h.unknown_ms and h.low_c is not None,
        }
        for h in reversed(day.hours)
    ]
    return Markup(draw(chart)), summary, hours  # noqa: S704  (every text in it is escaped by chart.draw)


def _day_of(ms: int, zone: str) -> date:
    return datetime.fromtimestamp(ms // 1000, UTC).astimezone(ZoneInfo(zone)).date()


_COMPARED = {Comparator.GT: "gt", Comparator.GE: "ge", Comparator.LT: "lt", Comparator.LE: "le"}


def counter_rows(words: Words, counted: Counters) -> list[dict[str, str]]:
    """The table of time added up: one row per limit and one for unknown time; today and 24 h (cold-chain.md 5)."""
    rows = []
    for today, day in zip(counted.today.beyond, counted.last_24h.beyond, strict=True):
        mark = today.mark
        label = words(f"counter.{_COMPARED[mark.comparator]}", limit=words.number(mark.limit_c))
        if "FRZE" in mark.codes:
            label = words("counter.freezing", limit=label)
        rows.append({"label": label, "today": words.span(today.ms), "day": words.span(day.ms)})
    unknown = (words.span(counted.today.unknown_ms), words.span(counted.last_24h.unknown_ms))
    rows.append({"label": words("counter.unknown"), "today": unknown[0], "day": unknown[1]})
    return rows


def ticks(words: Words, zone: str, from_ms: int, to_ms: int) -> list[tuple[int, str]]:
    """Every sixth hour of the site's own clock."""
    info = ZoneInfo(zone)
    return [
        (at, words.clock(at, zone))
        for at in range(from_ms - from_ms % HOUR_MS + HOUR_MS, to_ms, HOUR_MS)
        if datetime.fromtimestamp(at // 1000, UTC).astimezone(info).hour % 6 == 0
    ]


def local_time(ms: int, zone: str, timespec: str = "minutes") -> str:
    """The value of a ``datetime-local`` field."""
    at = datetime.fromtimestamp(ms // 1000, UTC).astimezone(ZoneInfo(zone))
    return at.replace(tzinfo=None).isoformat(timespec=timespec)


def zone_name(zone: str, now_ms: int) -> str:
    """WIB, WITA, WIT, or the zone's own abbreviation."""
    return datetime.fromtimestamp(now_ms // 1000, UTC).astimezone(ZoneInfo(zone)).tzname() or zone


# --- SMILE ----------------------------------------------------------------------------------------------------

_SMILE_KINDS = {"stored": "ok", "refused": "alarm", "uncertain": "out", "pending": "unknown"}


def smile_sign(state: str) -> str:
    """The sign of what SMILE made of a sending."""
    return _SMILE_KINDS.get(state, "unknown")


def attachment_item(words: Words, attachment: Attachment, names: Mapping[str, str]) -> dict[str, Any]:
    """One sending as it is shown: a weight by its bag's code, a discard by its batch's name (``names`` by id)."""
    kind, reply = str(attachment.kind), reply_of(words, attachment.reply)
    subject = attachment.target if kind == AttachmentKind.WEIGHT else attachment.subject
    return {
        "kind": kind,
        "subject": names.get(subject, subject) if kind == AttachmentKind.DISCARD else subject,
        "state": str(attachment.state),
        "sign": smile_sign(str(attachment.state)),
        "at_ms": attachment.at_ms,
        "reply": reply.text,
        "code": reply.code,
    }


def kept_here(words: Words, view: BatchView) -> str:
    """What SMILE has no field for, in one line: what a person decided comes before what was judged."""
    word = view.kept_here
    said = words.known("decision" if view.settled else "verdict", word)
    return words("smile.kept_here", word=said) if word else ""


# --- scale ----------------------------------------------------------------------------------------------------


def refusal_item(words: Words, zone: str, load: RefusedLoad) -> dict[str, str]:
    """A load that was not weighed: which, when, why, and what to do at the scale."""
    r = load.refusal
    return {
        "kind": "gone" if load.weighed_since else "warn",
        "badge": words("refused.weighed_since" if load.weighed_since else "refused.badge"),
        "when": words(
            "refused.at" if r.t_ms is not None else "refused.received",
            time=words.time(r.at_ms, zone),
            device=r.device,
        ),
        "why": words.known("refused_why", r.reason),
        "todo": words(f"refused_do.{r.reason}" if f"refused_do.{r.reason}" in catalogue() else "refused_do.any"),
    }


_COUNTS_SHOWN = 20


def refusal_counts(
    words: Words, counts: Mapping[str, Mapping[str, int]]
) -> tuple[list[tuple[str, int, list[str]]], int]:
    """((scale, how many it refused, how many for each reason), how many lines are not shown); the commonest shown."""
    lines = sorted((-n, device, reason) for device, reasons in counts.items() for reason, n in reasons.items())
    said: dict[str, list[str]] = {}
    for n, device, reason in lines[:_COUNTS_SHOWN]:
        line = words("refused.count", n=-n, why=words.known("refused_why", reason))
        said.setdefault(device, []).append(line)
    shown = [(device, sum(counts[device].values()), said[device]) for device in sorted(said)]
    return shown, max(0, len(lines) - _COUNTS_SHOWN)


# --- ledger ---------------------------------------------------------------------------------------------------


# Where an edge's numbers are, in the order of the bar: (text, class of the piece).
_PLACES = ("received", "thinned", "quarantined", "lost", "missing")
_SHOWN_STREAMS = 40


def ledger_item(words: Words, line: LedgerLine, now_ms: int, zone: str) -> dict[str, Any]:
    """One epoch with a bar of where its numbers are, why some are not here, and its streams."""
    counts = {
        "received": line.received,
        "thinned": line.thinned,
        "quarantined": line.quarantined,
        "lost": line.lost_count,
        "missing": len(line.missing),
    }
    more = (("duplicated", line.duplicates), ("conflicts", line.conflicts), ("late", line.late))
    gone = counts["missing"] + counts["lost"]
    state = Shown("ok", "complete") if not gone else Shown("out", "incomplete")
    return {
        "edge": line.edge,
        "epoch": line.epoch,
        "kind": state.kind,
        "badge": words(f"ledger.{state.word}"),
        "numbers": (("produced", line.numbered_to), *counts.items(), *(pair for pair in more if pair[1])),
        "bar": _bar(counts),
        "absent": [_absent(words, absent, line, zone) for absent in absences(line, now_ms)],
        "late": words("ledger.worst_late", span=words.span(line.worst_late_ms)) if line.late else "",
        "data": words("ledger.data", n=words.number(Decimal(line.wire_bytes) / 1_000_000, 1))
        if line.wire_bytes
        else "",
        "streams": line.streams[:_SHOWN_STREAMS],
        "last_ms": line.last_seen_ms,
    }


def _bar(counts: Mapping[str, int]) -> list[tuple[str, float, float]]:
    """(place, begin, width) in percent; what is there at all is at least half a percent wide, so that it is seen."""
    total = sum(counts.values())
    if not total:
        return []
    widths = {name: max(0.5, 100 * counts[name] / total) for name in _PLACES if counts[name]}
    scale = 100 / sum(widths.values())
    pieces, begin = [], 0.0
    for name, width in widths.items():
        pieces.append((name, round(begin, 2), round(width * scale, 2)))
        begin += width * scale
    return pieces


def _absent(words: Words, absent: Absent, line: LedgerLine, zone: str) -> str:
    spans = absent.numbers.spans
    shown = ", ".join(f"{a}–{b}" if a != b else f"{a}" for a, b in spans[:12]) + (" …" if len(spans) > 12 else "")
    why = words.known("lost_reason", absent.detail) if absent.detail else ""
    at = words.time(line.last_seen_ms, zone)
    return words(f"ledger.absent_{absent.cause}", n=absent.count, numbers=shown, why=why, time=at)


def ledger_notes(words: Words, book: LedgerBook, zone: str) -> list[str]:
    """What a person should look at: clocks that are off, and who speaks under an edge's name."""
    notes = [
        words(
            "ledger.clock_ahead" if off.off_ms > 0 else "ledger.clock_behind",
            edge=off.edge,
            span=words.span(abs(off.off_ms)),
            time=words.time(off.since_ms, zone),
        )
        for off in book.clocks
    ]
    notes += [words(f"identity.{i.kind}", edge=i.edge, time=words.time(i.since_ms, zone)) for i in book.identities]
    return notes
