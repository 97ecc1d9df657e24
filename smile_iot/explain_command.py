"""``smile-iot explain VERDICT``: recompute a verdict from what was stored, and say whether it is the same.

Exit codes: 0 the same, 1 something differs (it is named), 2 called or set up wrongly, 3 nothing differs and it was made by
another version of the rules, 4 it cannot be known (a feed was restored from a backup at that very place).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from smile_iot.service import add_config_argument, settings_of
from telemetry.errors import ConfigError

if TYPE_CHECKING:
    from alerts.explain import Difference, Explanation
    from api.words import Words
    from gateway.records import Records

_EXIT = {"same": 0, "differs": 1, "other_rules": 3, "unknowable": 4}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "verdict", metavar="VERDICT", help="the verdict's id, as B1.v3; or a batch: its latest verdict"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with the document")
    parser.add_argument("--language", choices=("id", "en"), default="id", help="language of the answer (id)")
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    from alerts.explain import explain
    from alerts.memory import Memory
    from alerts.rulebook import rules_of
    from api.words import Words
    from smile_iot.parts import alerts_config, never_ran, open_kept_records
    from telemetry.clock import clock_from_environment

    settings = settings_of(args)
    config = alerts_config(settings)
    if not config.memory_path.exists():
        raise never_ran(config.memory_path, "alerts")
    with open_kept_records(settings) as records:
        memory = Memory(config.memory_path, read_only=True)
        try:
            now_ms = clock_from_environment().now_ms()
            found = explain(records, memory, rules_of(config), _verdict_id(records, args.verdict), now_ms)
        finally:
            memory.close()
        print(json.dumps(as_json(found), indent=2) if args.json else as_text(found, records, Words(args.language)))
    return _EXIT[found.outcome.value]


def _verdict_id(records: Records, name: str) -> str:
    from gateway.records import UnknownRecord

    try:
        return records.verdict_by_id(name).id
    except UnknownRecord as error:
        latest = records.verdict(name)
        if latest is None:
            raise ConfigError("verdict", f"{name!r} is neither a verdict nor a batch with one") from error
        return latest.id


def as_json(found: Explanation) -> dict[str, Any]:
    def differences(of: Sequence[Difference]) -> list[dict[str, Any]]:
        plain = ({"part": d.part, "subject": d.subject, "says": d.says, "values": d.values} for d in of)
        return [{**row, "within": differences(d.within)} for row, d in zip(plain, of, strict=True)]

    today = found.today
    return {
        "verdict": found.verdict.id,
        "same": found.same,
        "outcome": found.outcome.value,
        "engines": None if found.engines is None else {"then": found.engines[0], "now": found.engines[1]},
        "comes_out": differences(found.comes_out),
        "differences": differences(found.differences),
        "rule_changes": differences(found.rule_changes),
        "document": found.document,
        "hash_now": None if found.rebuilt is None else found.rebuilt["hash"],
        "today": None
        if today is None
        else {"word": today.word, "reasons": list(today.reasons), "changes": differences(today.changes)},
    }


def as_text(found: Explanation, records: Records, words: Words) -> str:
    """For a person: what was judged and why, whether it comes out the same, and what today's facts say."""
    from smile_iot.explain_words import difference_line

    verdict, document = found.verdict, found.document
    site = records.site(verdict.site)
    places = {e.id: e.name for e in records.equipment_list(verdict.site)}
    judged = words.time(verdict.judged_ms, site.zone)
    lines = [f"{verdict.id}: {words.known('verdict', verdict.verdict)} ({judged})"]
    lines += _reasons(verdict.reasons, site.zone, places, words)
    if document is not None:
        as_of = document["as_of"]
        offset, audit = as_of["journal_offset"], as_of["audit_id"]
        lines.append(words("explain.as_of", offset=offset, audit=audit, hash=document["hash"]))
        lines += [
            words("explain.facts", n=f["count"], stream=f["stream"], place=places.get(f["equipment"], f["equipment"]))
            for f in document["facts"]
        ]
    lines.append(words(f"explain.{found.outcome.value}"))
    if found.engines is not None:
        word = "" if found.rebuilt is None else words.known("verdict", found.rebuilt["word"])
        lines.append(words("explain.engines", then=found.engines[0], now=found.engines[1], verdict=word))
    lines += [difference_line("explain.difference", d, words, site.zone) for d in found.comes_out]
    lines += [difference_line("explain.difference", d, words, site.zone) for d in found.differences]
    if found.rule_changes:
        lines.append(words("explain.rules_changed"))
        lines += [difference_line("explain.difference", d, words, site.zone) for d in found.rule_changes]
    if found.today is not None:
        lines.append(words("explain.today", verdict=words.known("verdict", found.today.word)))
        lines += _reasons(found.today.reasons, site.zone, places, words)
        lines += [difference_line("explain.since_then", d, words, site.zone) for d in found.today.changes]
    return "\n".join(lines)


def _reasons(reasons: Any, zone: str, places: dict[str, str], words: Words) -> list[str]:
    from api.present import reason_text

    return [f"  - {reason_text(words, zone, places, {**r, **r.get('params', {})})}" for r in reasons]
