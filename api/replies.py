"""What SMILE answered, in a person's words: pure. The adapter writes its answers for machines (``gateway.smile``)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from api.words import Words

# A known refusal by words that the adapter (gateway/smile/discards.py, weights.py) writes; tests/api/test_replies.py
# takes each from there. The first that fits says it.
_KNOWN = (
    ("vvm_missing", "SMILE wants the VVM stage"),
    ("no_stock_ids", "has no SMILE stock ids"),
    ("not_whole_vials", "no whole number of vials"),
    ("too_few", "doses of this batch,"),
    ("other_batch", " is batch "),
    ("no_quality", "no stock quality for VVM"),
    ("no_stock", " has no stock "),
    ("no_reason", "list of reasons has none of"),
    ("twin", "that we did not make"),
    ("not_issued", "never issued this bag code"),
    ("weigh_again", "weigh again"),
    ("no_scale", "no SMILE asset id"),
    ("no_scale", "knows no scale"),
    ("calibration", "calibration is not known"),
    ("other_label", "the bag's label says"),
    ("other_weight", " kg, ours is "),
    ("booked", "booked"),
)
_COUNTED = ("stored", "waiting", "sent", "unknown_device", "uncertain", "held", "refused", "no_reading")
_NO_FIELD = "SMILE has no field for "


@dataclass(frozen=True, slots=True)
class Reply:
    """A known answer's ``code`` ("" for an unknown one) and its text."""

    code: str
    text: str


def reply_of(words: Words, reply: str) -> Reply:
    """SMILE's answer as a sentence; what nobody foresaw is shown as it was said, without the JSON around it."""
    if reply.startswith(_NO_FIELD):
        return Reply("no_field", words("smile.no_field"))
    body = _body(reply)
    if body is None:
        return Reply("", reply)
    if "outcome" not in body:
        return Reply("", _counts(words, body))
    outcome, text = str(body["outcome"]), str(body.get("text", ""))
    code = next((code for code, sign in _KNOWN if sign in text), "")
    if code:
        return Reply(code, words(f"smile_reply.{code}"))
    said = words.known("smile_outcome", outcome)
    # SMILE's own words are for whom they mean something: the refusals of its own checks.
    return Reply("", f"{said} ({text})" if text and outcome in ("data", "refused", "conflict", "held") else said)


def _counts(words: Words, body: dict[str, Any]) -> str:
    known = [f"{words(f'reading_state.{name}')}: {body[name]}" for name in _COUNTED if body.get(name)]
    other = [f"{name}: {value}" for name, value in body.items() if name not in _COUNTED]
    return ", ".join(known + other)


def _body(reply: str) -> dict[str, Any] | None:
    try:
        body = json.loads(reply)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def audit_reason(words: Words, kind: str, reason: str) -> str:
    """Why an audit row was written; what our own processes write is said in the person's language."""
    first, _, rest = reason.partition(": ")
    if kind == "attachment" and first == "SMILE":
        return f"SMILE: {words.known('smile_state', rest)}"
    if kind == "verdict" and first == "judged":
        return words("audit.judged", findings=words("audit.no_findings") if rest == "no findings" else rest)
    if kind == "finding":
        return _finding_reason(words, reason)
    if kind in ("profile", "weighing"):
        return words.known("audit_reason", reason)
    return reason


def _finding_reason(words: Words, reason: str) -> str:
    """As ``gateway/records/findings.py`` writes it: the rule, and what became of what it says."""
    rule, colon, became = reason.partition(": ")
    if rule.startswith("rule "):
        said = words("audit.rule", rule=rule.removeprefix("rule "))
        old, arrow, new = became.partition(" -> ")
        if arrow:
            became = f"{words.known('finding_kind', old)} → {words.known('finding_kind', new)}"
        return f"{said}: {words.known('audit_reason', became)}" if colon else said
    if reason.startswith("superseded by "):
        return words("audit.superseded", finding=reason.removeprefix("superseded by "))
    return words.known("audit_reason", reason)
