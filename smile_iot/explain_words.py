"""What differs between a verdict's document and today, in a person's words: pure, one language at a time.

A name of the document is a field (``explain_field``); a value is written by its field: degrees and percent as numbers are
written in the language, times on the site's clock, rows of the product table (``explain_row``) as sentences.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from alerts.explain import Difference
from api.history import number_of
from api.words import Words
from telemetry.contract import parse_iso_utc

_DAY_MS = 86_400_000
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_BEFORE_TIME = re.compile(r"\b(from|to) (?=\d{4}-)")
_MEASURED = ("_c", "_percent")
_WORDS_OF = {
    **dict.fromkeys(("levels", "freezer_at", "level"), "level"),
    "word": "verdict",
    "freeze_class": "freeze_class",
    "profile": "profile_name",
    "kind": "finding_kind",
}
_EDGES = {"from_c": "ge", "above_c": "gt", "to_c": "le", "below_c": "lt"}


def difference_line(key: str, d: Difference, words: Words, zone: str) -> str:
    """A difference with its part and subject, as the sentence ``key`` puts them."""
    subject, text = _plain(d.subject, words, zone), difference_text(d, words, zone)
    return words(key, part=words.known("explain_part", d.part), subject=subject, text=text)


def difference_text(d: Difference, words: Words, zone: str) -> str:
    """What differs of a subject, in one line: its own sentence, then what differs inside of it."""
    own = {name: value_text(words, zone, d.subject, value) for name, value in d.values.items()}
    said = [] if d.says == "within" else [words(f"explain_says.{d.says}", **own)]
    for inner in d.within:
        text = difference_text(inner, words, zone)
        between = "" if not inner.subject else " " if inner.says == "was" else ": "
        said.append(f"{_plain(inner.subject, words, zone)}{between}{text}")
    return "; ".join(said)


def value_text(words: Words, zone: str, field: str, value: Any) -> str:
    """A value of the document as the field that holds it is told; of a list or table nothing is left as JSON."""
    if value is None or value in ([], {}, ""):
        return words("explain_says.nothing")
    if isinstance(value, bool):
        return words("verdict_page.yes" if value else "verdict_page.no")
    if isinstance(value, Mapping):
        return _row(words, zone, field, value)
    if isinstance(value, (list, tuple)):
        return words(f"explain_says.{'rows' if any(isinstance(v, Mapping) for v in value) else 'list'}").join(
            value_text(words, zone, field, v) for v in value
        )
    if field.endswith(_MEASURED) and (number := number_of(value)) is not None:
        return words.number(number)
    if field in _WORDS_OF:
        return words.known(_WORDS_OF[field], value)
    return _plain(value, words, zone) if isinstance(value, str) else str(value)


def _row(words: Words, zone: str, field: str, row: Mapping[str, Any]) -> str:
    """A row of the product table by its sentence; of any other table each field by its word."""
    told = {name: value_text(words, zone, name, value) for name, value in row.items()}
    if field == "budgets" and "allowed_s" in row:
        edges = [
            words(f"counter.{how}", limit=told[name]) for name, how in _EDGES.items() if row.get(name) is not None
        ]
        told["allowed"] = words.span(int(row["allowed_s"]) * 1000)
        told["band"] = words("explain_says.list").join(edges)
    try:
        text = words(f"explain_row.{field}", **told)
    except KeyError:  # no sentence for it, or an older document's row without a field of it
        return words("explain_says.list").join(f"{words.known('explain_field', k)} {v}" for k, v in told.items())
    return text if row.get("verified", True) else f"{text} {words('explain_row.unverified')}"


def _plain(text: str, words: Words, zone: str) -> str:
    """A name or value of the document for a person: a field by its word, times on the site's clock.

    A day of readings is one of UTC (``alerts.document.facts_json``): it is told from when to when it is at the site.
    """
    if _DAY.fullmatch(text):
        began_ms = parse_iso_utc(f"{text}T00:00:00.000Z")
        span = (words.time(ms, zone) for ms in (began_ms, began_ms + _DAY_MS))
        return words("alarms.from_to", **dict(zip(("start", "end"), span, strict=True)))
    named = _BEFORE_TIME.sub(lambda m: f"{words.known('explain_field', m[1])} ", words.known("explain_field", text))
    return _TIME.sub(lambda m: words.time(parse_iso_utc(m[0]), zone), named)
