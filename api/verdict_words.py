"""The document of a verdict in a person's words: pure, one language at a time.

Everything is told by code and parameters. A code that has no words yet is shown as it is, a number that is missing as a dash:
nothing of the document is left out because this page is older than the rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from markupsafe import Markup

from alerts.rules.facts import degrees
from alerts.verdicts import WRONG_STORAGE
from api.chart import Chart, Piece, Point, Span, draw
from api.history import Stay, Stretch, bounds_of, joined, ms_of, number_of, pixels, stays_of, stretches_of
from api.present import VERDICT_KINDS, over_by_now, reason_text, ticks, without_doubt
from api.range_words import JudgedBy, range_text, ranges_of
from api.words import Words
from gateway.records.model import Decision, Site, Verdict, VerdictState

DAY_MS = 86_400_000
_ROWS = 40  # of a long timeline only what needs a look is listed; the JSON has all
_COMPARED = {">": "gt", ">=": "ge", "<": "lt", "<=": "le"}
_EXPOSURE = ("known", "unknown", "above", "below", "freezing", "freeze_possible")
_OUT = ("above", "below", "freezing", "freeze_possible")
_READINGS = ("first", "deciding", "last", "extreme")


@dataclass(frozen=True, slots=True)
class Line:
    """The readings of one stream that the batch saw (``api.history.drawn``)."""

    stream_id: str
    points: Sequence[Point]


def verdict_kind(verdict: Verdict) -> str:
    """Sign and colour of a verdict: a proposal that was withdrawn asks nothing any more."""
    if verdict.state == VerdictState.WITHDRAWN:
        return "gone"
    if verdict.state == VerdictState.DECIDED:
        return "ok" if verdict.decision == Decision.RELEASED else "gone"
    return VERDICT_KINDS.get(str(verdict.verdict), "unknown")


def history_item(words: Words, site: Site, verdict: Verdict, latest: Verdict | None) -> dict[str, Any]:
    """One verdict in the list of a batch's verdicts."""
    return {
        "id": verdict.id,
        "kind": verdict_kind(verdict),
        "badge": words.known("verdict", verdict.verdict),
        "state": words.known("verdict_state", verdict.state),
        "judged": words.time(verdict.judged_ms, site.zone),
        "decided": decided_line(words, site, verdict),
        "reason": verdict.reason or "",
        "latest": latest is not None and latest.id == verdict.id,
    }


def decided_line(words: Words, site: Site, verdict: Verdict) -> str:
    """Who decided what and when; "" when nobody did on this verdict."""
    if verdict.decision is None:
        return ""
    decision = words.known("decision", verdict.decision)
    when = words.time(verdict.decided_ms, site.zone)
    return words("batch.decided", decision=decision, name=verdict.decided_by or "–", time=when)


def despite_lines(words: Words, places: Mapping[str, str], verdict: Verdict) -> list[str]:
    """What still went on at the release: findings by code and id, places by their state then."""
    lines = []
    for row in verdict.despite or ():
        if "place" in row:
            state = words.known("state", row["state"])
            lines.append(words("place.now", name=places.get(row["place"], row["place"]), state=state))
        else:
            lines.append(f"{words.known('code', row['code'])} ({row['finding']})")
    return lines


@dataclass(frozen=True, slots=True)
class Told:
    """A document ready to be shown. ``places`` names equipment by id, ``zone`` is the site's.

    ``ended_ms``: begin -> end of the stays that are over by now, though the document was made before.
    """

    words: Words
    zone: str
    places: Mapping[str, str]
    document: Mapping[str, Any]
    ended_ms: Mapping[int, int] = field(default_factory=dict)

    def when(self, text: Any) -> str:
        return self.words.time(ms_of(text), self.zone)

    def place(self, equipment: Any) -> str:
        if not equipment:
            return self.words("verdict_page.nowhere")
        return self.places.get(str(equipment), str(equipment))

    def celsius(self, value: Any) -> str:
        number = number_of(value)
        return "–" if number is None else f"{self.words.number(number)} °C"

    def seconds(self, value: Any) -> str:
        number = number_of(value)
        if number is None:
            return "–"
        return self.words.span(int(number) * 1000) if number else self.words("verdict_page.no_time")

    # --- why ---

    def reasons(self) -> list[dict[str, Any]]:
        """Each reason in words, with what it asks for and the findings it rests on."""
        found = {row["id"]: row for row in self.findings()}
        made = []
        spells = self._wrong_places()
        for reason in without_doubt(self.document.get("reasons", ())):
            now = over_by_now(reason, spells)
            flat = {**now, **(now.get("params") or {})}
            flat = {k: v for k, v in flat.items() if k not in ("params", "findings", "asks_for", "text")}
            made.append(
                {
                    "text": reason_text(self.words, self.zone, self.places, flat),
                    "asks_for": self.words.known("asks_for", reason.get("asks_for") or "no_action"),
                    "findings": [found[i] for i in reason.get("findings") or () if i in found],
                }
            )
        return made

    def _wrong_places(self) -> dict[str, tuple[int, int | None]]:
        """Finding's id -> (from, to) of the stays in a place that was wrong for the vaccine."""
        found = {}
        for row in self.document.get("findings", ()):
            from_ms = ms_of(row.get("from"))
            if row.get("code") == WRONG_STORAGE and from_ms is not None:
                found[str(row.get("id"))] = (from_ms, self.ended_ms.get(from_ms, ms_of(row.get("to"))))
        return found

    def findings(self) -> list[dict[str, Any]]:
        """The findings with limit, rule and version, and the readings they rest on."""
        return [self._finding(row) for row in self.document.get("findings", ())]

    def _finding(self, row: Mapping[str, Any]) -> dict[str, Any]:
        words, comparator = self.words, str(row.get("comparator") or "")
        limit, extreme = number_of(row.get("limit_c")), number_of(row.get("extreme_c"))
        title = words.known("code", row.get("code"))
        if extreme is not None:
            side = "highest" if comparator.startswith(">") else "lowest" if comparator.startswith("<") else "extreme"
            title = f"{title}, {words(f'alarms.{side}', value=words.number(extreme))}"
        if row.get("kind") == "possible":
            title = words("alarms.possible", text=title)
        compared = _COMPARED.get(comparator)
        return {
            "id": str(row.get("id")),
            "title": title,
            "when": self._span(row.get("from"), row.get("to")),
            "fired": self.when(row.get("fired")),
            "limit": self._limit(row, compared, limit),
            "rule": str(row.get("rule") or "–"),
            "version": str(row.get("profile_version") or "–"),
            "readings": self._readings(row.get("readings") or {}),
        }

    def _limit(self, row: Mapping[str, Any], compared: str | None, limit: Decimal | None) -> str:
        """``Above 8 °C for 10 h, added up``."""
        if compared is None or limit is None:
            return "–"
        beyond = self.words(f"counter.{compared}", limit=self.words.number(limit))
        after = number_of(row.get("after_s"))
        if not after:
            return beyond
        how = "cumulative" if row.get("mode") == "cumulative" else "single"
        return self.words(f"verdict_page.after_{how}", beyond=beyond, span=self.seconds(after))

    def _span(self, start: Any, end: Any) -> str:
        if end is None:
            return self.words("alarms.since", time=self.when(start))
        return self.words("alarms.from_to", start=self.when(start), end=self.when(end))

    def _readings(self, rests_on: Mapping[str, Any]) -> str:
        """The readings a finding rests on, in one line: how many, and when the telling ones were."""
        parts = []
        if rests_on.get("count") is not None:
            parts.append(self.words("verdict_page.readings_count", n=rests_on["count"]))
        for name in _READINGS:
            at = rests_on.get(name, rests_on.get(f"{name}_at"))
            if name == "first" and ms_of(at) in {stay.from_ms for stay in stays_of(self.document)}:
                name = "placed"  # a limit of the batch counts from there; no reading stands at that instant
            if ms_of(at) is not None:
                parts.append(self.words(f"verdict_page.reading_{name}", time=self.when(at)))
        return ", ".join(parts)

    def no_reason(self) -> str:
        """Why nothing is asked: it was never out of range, or out too shortly for an alarm."""
        sums = self.document.get("exposure") or {}
        out = any((number_of(sums.get(f"{name}_s")) or 0) > 0 for name in _OUT)
        return self.words("batch.no_reason_out" if out else "batch.no_reason")

    # --- what it lived through ---

    def exposure(self) -> list[tuple[str, str]]:
        """(name, value) of the sums; the estimates stand apart (``estimates``)."""
        sums, words = self.document.get("exposure") or {}, self.words
        if not sums:
            return []
        rows = [(words("verdict_page.span"), self._span(sums.get("from"), sums.get("to")))]
        rows += [(words(f"verdict_page.{name}"), self.seconds(sums.get(f"{name}_s"))) for name in _EXPOSURE]
        rows.append((words("verdict_page.min_c"), self.celsius(sums.get("min_c"))))
        rows.append((words("verdict_page.max_c"), self.celsius(sums.get("max_c"))))
        return rows

    def estimates(self) -> list[tuple[str, str]]:
        """What is computed and not measured: MKT, the life of the VVM by each model, the budgets of label and CTC."""
        sums, words = self.document.get("exposure") or {}, self.words
        rows = [
            (words(f"verdict_page.{name}"), self.celsius(sums[name]))
            for name in ("mkt_c", "mkt_24h_max_c")
            if number_of(sums.get(name)) is not None
        ]
        for model in sums.get("vvm") or ():
            used = number_of(model.get("used_percent"))
            name = words("verdict_page.vvm_model", model=words.known("vvm_model", model.get("model")))
            rows.append((name, "–" if used is None else f"{words.number(used, 1)} %"))
        for budget in sums.get("budgets") or ():
            spent, allowed = self.seconds(budget.get("used_s")), self.seconds(budget.get("allowed_s"))
            text = words("verdict_page.budget_used", used=spent, allowed=allowed)
            rows.append((words.known("budget", budget.get("code")), text))
        return rows

    def stays(self) -> list[dict[str, str]]:
        """Where it stood, with the letter of the picture."""
        return [
            {
                "mark": stay.mark,
                "place": self.place(stay.equipment),
                "from": self.words.time(stay.from_ms, self.zone),
                "to": self.words("batch.still") if stay.to_ms is None else self.words.time(stay.to_ms, self.zone),
                "said_by": stay.said_by,
            }
            for stay in stays_of(self.document)
        ]

    def timeline(self) -> tuple[list[dict[str, str]], int]:
        """(rows of the timeline, how many more there are). Of a long one what was out or unknown is listed."""
        made = joined(stretches_of(self.document))
        shown = made if len(made) <= _ROWS else [s for s in made if s.state != "in"][:_ROWS]
        return [self._stretch(s) for s in shown], len(made) - len(shown)

    def _stretch(self, s: Stretch) -> dict[str, str]:
        low, high = self.words.number(s.low_c), self.words.number(s.high_c)
        if s.low_c is None or s.high_c is None:
            extent = "–"
        else:
            extent = f"{low} °C" if low == high else self.words("verdict_page.extent", low=low, high=high)
        return {
            "from": self.words.time(s.from_ms, self.zone),
            "length": self.words.span(s.to_ms - s.from_ms),
            "state": s.state,
            "word": self.words(f"range.{s.state}"),
            "kind": {"in": "ok", "out": "out"}.get(s.state, "unknown"),
            "extent": extent,
            "place": ", ".join(self.place(e) for e in s.equipment) or self.place(""),
        }

    def vvm(self) -> list[str]:
        """What people read on the vials."""
        return [
            self.words("batch.vvm_last", stage=row.get("stage"), time=self.when(row.get("at")), by=row.get("by"))
            for row in self.document.get("vvm_readings", ())
        ]

    # --- what it rests on ---

    def marks(self) -> list[str]:
        """Whose readings were not counted, from when to when, and who said so."""
        return [
            self.words(
                "verdict_page.mark",
                stream=row.get("stream"),
                time=self.when(row.get("from")),
                end=self.when(row.get("to")),
                name=row.get("by"),
            )
            for row in self.document.get("marks", ())
        ]

    def corrections(self) -> list[str]:
        """What was added to what the sensors said, by which certificate."""
        words = self.words
        return [
            words(
                "verdict_page.correction",
                offset=words.signed(number_of(row.get("offset_c")) or Decimal(0)),
                stream=row.get("stream"),
                time=self.when(row.get("from")),
                number=row.get("certificate"),
                name=row.get("by"),
            )
            for row in self.document.get("corrections", ())
        ]

    def facts(self) -> list[dict[str, str]]:
        """The readings by stream: how many, from when to when, and their digest."""
        return [
            {
                "stream": str(row.get("stream")),
                "place": self.place(row.get("equipment")),
                "count": str(row.get("count")),
                "when": self._span(row.get("first"), row.get("last")) if row.get("count") else "–",
                "sha256": str(row.get("sha256") or "–"),
            }
            for row in self.document.get("facts", ())
        ]

    def rules(self) -> list[tuple[str, str, str]]:
        """(what, version, digest) of engine, profiles and product table."""
        rules = self.document.get("rules") or {}
        rows = [(self.words("verdict_page.engine"), str(rules.get("engine") or "–"), "")]
        for profile in rules.get("profiles") or ():
            name = self.words("verdict_page.profile", id=profile.get("id"))
            rows.append((name, str(profile.get("version") or "–"), str(profile.get("sha256") or "")))
        rows.append((self.words("verdict_page.products"), str(rules.get("products") or "–"), ""))
        return rows

    def product(self) -> list[tuple[str, str]]:
        """What the verdict knew of the vaccine."""
        it, words = self.document.get("product") or {}, self.words
        rows = [
            (words("verdict_page.freeze_class"), words.known("freeze_class", it.get("freeze_class") or "unknown")),
            (words("verdict_page.shake_test"), self._yes_no(it.get("shake_test_valid"))),
            (words("verdict_page.diluent"), self._yes_no(it.get("has_diluent"))),
            (words("verdict_page.vvm_type"), str(it.get("vvm_type") or "–")),
            *self._limits_used(str(it.get("profile") or "–")),
        ]
        return rows if it else []

    def _limits_used(self, profile: str) -> list[tuple[str, str]]:
        """The product's limits by name; where other ones hold in a place, the range there."""
        name = self.words("verdict_page.limits_used")
        here = {(r.equipment, range_text(self.words, r.allowed)): None for r in self.ranges() if not r.plain}
        rows = [(f"{name}, {self.place(equipment)}", text) for equipment, text in here]
        if not rows or any(r.plain for r in self.ranges()):
            rows.insert(0, (name, self.words.known("profile_name", profile)))
        return rows

    def ranges(self) -> list[JudgedBy]:
        """The range of each stay; none where the document does not tell."""
        return ranges_of(self.document)

    def _yes_no(self, value: Any) -> str:
        return self.words("verdict_page.yes" if value else "verdict_page.no") if isinstance(value, bool) else "–"

    def range_c(self) -> tuple[Decimal | None, Decimal | None] | None:
        """(lowest, highest) of the product's limits when it was judged; None where the document does not hold them."""
        wanted = (self.document.get("product") or {}).get("profile")
        for profile in reversed((self.document.get("rules") or {}).get("profiles") or ()):
            limits = profile.get("limits")
            if limits and profile.get("id") == wanted:
                return number_of(limits.get("low_c")), number_of(limits.get("high_c"))
        return None

    def as_of(self) -> str:
        """Up to which place of the journal and of the audit facts and records were taken."""
        as_of = self.document.get("as_of") or {}
        offset, audit = as_of.get("journal_offset", "–"), as_of.get("audit_id", "–")
        return self.words("verdict_page.as_of_text", offset=offset, audit=audit)

    @property
    def hash(self) -> str:
        return str(self.document.get("hash") or "–")


# --- the picture --------------------------------------------------------------------------------------------------


def picture(
    told: Told, name: str, lines: Sequence[Line], low_c: Decimal | None, high_c: Decimal | None
) -> tuple[Markup, str] | None:
    """(SVG, summary sentence) of a batch's history; None where the document has none.

    ``lines`` empty: the store has no readings (any more); then each span is drawn from its lowest to its highest value.
    """
    stretches, words = stretches_of(told.document), told.words
    bounds = bounds_of(stretches)
    if bounds is None:
        return None
    from_ms, to_ms = bounds
    spans = pixels(stretches, from_ms, to_ms)
    summary = _summary(told, stretches)
    lanes = [
        [Piece(Span(s.from_ms, s.to_ms, words(f"range.{s.text}")), s.text) for s in spans],
        [_stay_piece(told, stay, to_ms) for stay in stays_of(told.document)],
    ]
    chart = Chart(
        points=lines[0].points if lines else (),
        others=[line.points for line in lines[1:]],
        from_ms=from_ms,
        to_ms=to_ms,
        low_c=low_c,
        high_c=high_c,
        bands=_bands(told, to_ms),
        unknown=[Span(s.from_ms, s.to_ms, words("chart.unknown")) for s in spans if s.text == "unknown"],
        alarms=_alarms(told, to_ms),
        ticks=history_ticks(words, told.zone, from_ms, to_ms),
        title=words("verdict_page.picture", name=name),
        summary=summary,
        unknown_word=words("chart.unknown"),
        decimal_comma=words.language == "id",
        extents=() if lines else _extents(stretches),
        lanes=lanes,
    )
    return Markup(draw(chart)), summary  # noqa: S704  (every text in it is escaped by chart.draw)


def _bands(told: Told, to_ms: int) -> list[tuple[Span, Decimal | None, Decimal | None]]:
    """The range stay by stay, where it was not the product's own all along."""
    ranges = told.ranges()
    if all(r.plain for r in ranges):
        return []
    return [
        (Span(r.from_ms, to_ms if r.to_ms is None else r.to_ms), _edge(r.allowed.low_m), _edge(r.allowed.high_m))
        for r in ranges
    ]


def _edge(milli: int | None) -> Decimal | None:
    return None if milli is None else degrees(milli)


def _extents(stretches: Sequence[Stretch]) -> list[tuple[Span, Decimal, Decimal]]:
    return [
        (Span(s.from_ms, s.to_ms), s.low_c, s.high_c)
        for s in stretches
        if s.low_c is not None and s.high_c is not None and s.state != "unknown"
    ][:400]


def _stay_piece(told: Told, stay: Stay, to_ms: int) -> Piece:
    end_ms = to_ms if stay.to_ms is None else stay.to_ms
    return Piece(Span(stay.from_ms, end_ms, f"{stay.mark}: {told.place(stay.equipment)}"), "place", stay.mark)


def _alarms(told: Told, to_ms: int) -> list[Span]:
    spans = []
    for row, said in zip(told.document.get("findings", ()), told.findings(), strict=True):
        from_ms, end_ms = ms_of(row.get("from")), ms_of(row.get("to"))
        if from_ms is not None and row.get("kind") != "withdrawn":
            spans.append(Span(from_ms, to_ms if end_ms is None else end_ms, said["title"]))
    return spans


def _summary(told: Told, stretches: Sequence[Stretch]) -> str:
    """The picture in one sentence, for who does not see it."""
    lows = [s.low_c for s in stretches if s.low_c is not None]
    highs = [s.high_c for s in stretches if s.high_c is not None]
    lengths = {state: sum(s.to_ms - s.from_ms for s in stretches if s.state == state) for state in ("out", "unknown")}
    whole = max(s.to_ms for s in stretches) - stretches[0].from_ms
    if not lows or not highs:
        return told.words("verdict_page.summary_none", whole=told.words.span(whole))
    return told.words(
        "verdict_page.summary",
        low=told.words.number(min(lows), 1),
        high=told.words.number(max(highs), 1),
        out=told.words.span(lengths["out"]),
        unknown=told.words.span(lengths["unknown"]),
        whole=told.words.span(whole),
    )


def history_ticks(words: Words, zone: str, from_ms: int, to_ms: int) -> list[tuple[int, str]]:
    """Few marks: every sixth hour of the site's clock for a short history (midnight is its date), else some of its midnights."""
    if to_ms - from_ms <= 2 * DAY_MS:
        marks = ticks(words, zone, from_ms, to_ms)
        return [(at, _day(words, zone, at) if words.clock(at, zone)[:2] == "00" else label) for at, label in marks]
    info = ZoneInfo(zone)
    first = datetime.fromtimestamp(from_ms // 1000, UTC).astimezone(info)
    step = max(1, -(-(to_ms - from_ms) // (6 * DAY_MS)))
    made, day = [], first.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    while (at := int(day.timestamp()) * 1000) < to_ms:
        made.append((at, _day(words, zone, at)))
        day += timedelta(days=step)
    return made


def _day(words: Words, zone: str, ms: int) -> str:
    return words.day_month(datetime.fromtimestamp(ms // 1000, UTC).astimezone(ZoneInfo(zone)).date())
