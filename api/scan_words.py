"""The answer to a scan in a person's words: pure, one language at a time."""

from __future__ import annotations

from dataclasses import dataclass

from alerts.rules.facts import milli
from alerts.storage import Allowed
from api.range_words import range_text
from api.scan import Answer, Expiry, Scanned
from api.words import Words
from gateway.records import Site

_SIGNS = {
    "expiry_differs": "alarm",
    "vvm_end": "alarm",
    "expired": "alarm",
    "waits": "out",
    "not_judged": "unknown",
    "nowhere": "unknown",
    "discarded": "gone",
    "vvm_b": "warn",
    "use_first": "warn",
    "not_first": "warn",
}


@dataclass(frozen=True, slots=True)
class AnswerItem:
    """A batch as the scan's page shows it: sign, the answer in a word, why, and what to look at."""

    answer: Answer
    kind: str
    badge: str
    why: str
    notes: tuple[str, ...]


def answer_item(words: Words, answer: Answer) -> AnswerItem:
    """``May be given`` or ``Do not give``, and why."""
    if answer.why == "waits":
        why = words.known("verdict_means", answer.place.view.word)
    elif answer.why == "not_first" and answer.first is not None:
        why = words("give_why.not_first", number=answer.first.batch_number)
    else:
        why = words.known("give_why", answer.why)
    notes = []
    if answer.expiry is Expiry.NOT_IN_CODE:
        notes.append(words("scan.no_expiry", date=words.date(answer.batch.expires_on)))
    if answer.written_otherwise:
        notes.append(words("scan.other_case", number=answer.batch.batch_number))
    return AnswerItem(
        answer,
        _SIGNS.get(answer.why, "ok"),
        words("scan.may_give" if answer.may_give else "scan.may_not"),
        why,
        tuple(notes),
    )


def product_line(words: Words, found: Scanned, site: Site) -> str:
    """VVM type, freeze class and range where it stands, else at this level of store; "" where the product is not known."""
    if not found.scan.product_kfa:
        return ""
    row = found.product
    if row is None:
        return words("scan.not_in_table")
    parts = [words(f"freeze_class.{row.freeze_class}"), *([row.vvm_type] if row.vvm_type else ())]
    parts += [words("scan.range_at", place=name, range=range_text(words, allowed)) for name, allowed in found.ranges]
    at_level = row.range_at(str(site.level))
    if at_level is not None and not found.ranges:  # it stands nowhere yet
        allowed = Allowed(milli(at_level.low_c), milli(at_level.high_c))
        parts.append(words("scan.range", range=range_text(words, allowed)))
    return " · ".join(parts)
