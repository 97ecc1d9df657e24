"""``docs/validation.md`` from the answers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median

from benchmarks.labelled import Kind
from benchmarks.validation.answers import Answer, Outcome
from benchmarks.validation.faults import FIRST_SEED, SAYS, TEMPERATURE, Count, Played, added, days

HEAD = """# Validation: our answers beside independent ones

    make validate                                     all of it, about ten minutes; writes this page
    make validate VALIDATE_ARGS="--files FOLDER"      other exports of loggers, beside those of ../shared/data/fridge-tag
    make validate VALIDATE_ARGS="--each 2"            fewer labelled runs

This page is written by the command, which fails where an answer leaves its tolerance. Tolerances were stated first, in
`benchmarks/validation/` and in `docs/evaluate.md`; no code of ours knows any of these files by name, and
`tests/benchmarks/test_validation.py` asks the same of files that were made otherwise (other limits, another firmware, no zone).

*agrees*: within the tolerance. *explained*: not, and the source itself shows why it must be so (rows that are missing,
times between two rows): such a row counts as no failure. *not tested*: the source holds too little to say anything.
*by intent*: we decided otherwise and say where. Anything else fails.
"""

FAULTS_NOTE = """The command fails where a temperature rule missed anything or said anything false, where more than one in ten of
all faults of equipment and sensors was missed, or half of a kind. What may be missed: noise of about a degree on a logger
of ten minutes whose sensor is noisy already: it is less than three times its usual (`alerts/equipment/thresholds.toml`,
NOISE). What may be said too much: NOISE for one block of readings of a healthy sensor, by chance; it is a notice."""


def page(groups: Sequence[tuple[str, Sequence[Answer]]], runs: Sequence[Played]) -> str:
    parts = [HEAD, "## In short\n", _short(groups, runs)]
    for title, answers in groups:
        parts += [f"\n## {title}\n", _table(answers)]
    if runs:
        parts += ["\n## The simulator's labelled faults\n", faults(runs)]
    return "\n".join(parts).rstrip() + "\n"


def _short(groups: Sequence[tuple[str, Sequence[Answer]]], runs: Sequence[Played]) -> str:
    rows = [
        "| compared with | answers | agree | explained | not tested | by intent | differ |",
        "|---|---|---|---|---|---|---|",
    ]
    for title, answers in groups:
        n = Counter(a.outcome for a in answers)
        counts = " | ".join(str(n[o]) for o in Outcome)
        rows.append(f"| {title} | {len(answers)} | {counts} |")
    if runs:
        t, own = added(r.temperatures for r in runs), added(r.labels for r in runs)
        rows += ["", "| labelled runs | asked | found | missed | false |", "|---|---|---|---|---|"]
        for name, counts_of in (("temperature rules", t), ("door, power and sensor rules", own)):
            found, missed = sum(c.found for c in counts_of.values()), sum(c.missed for c in counts_of.values())
            false = sum(c.false for c in counts_of.values())
            rows.append(f"| {name} | {found + missed} | {found} | {missed} | {false} |")
    return "\n".join(rows)


def _table(answers: Sequence[Answer]) -> str:
    """One row an answer; what could not be tested, and many answers of the same kind, are one row with their count."""
    rows = ["| of | what | theirs | ours | tolerance | | why |", "|---|---|---|---|---|---|---|"]
    said: set[tuple[str, str, str]] = set()
    for a in answers:
        key = (a.subject, _stem(a), a.outcome)
        same = [x for x in answers if (x.subject, _stem(x), x.outcome) == key]
        if key in said:
            continue
        if len(same) < 4 or a.outcome is Outcome.DIFFERS:
            rows.append(f"| {a.subject} | {a.what} | {a.theirs} | {a.ours} | {a.tolerance} | {a.outcome} | {a.why} |")
            continue
        said.add(key)
        span = f"{len(same)} times, from {a.theirs} to {same[-1].theirs}"
        rows.append(f"| {a.subject} | {_stem(a)} | {span} | | {a.tolerance} | {a.outcome} | the first: {a.why} |")
    return "\n".join(rows)


def _stem(a: Answer) -> str:
    """What is asked, without the day and with the numbers of its reason left out."""
    return re.sub(r"^\d{4}-\d{2}-\d{2}, ", "", a.what) if a.why else f"{a.what} {a.theirs}"


def faults(runs: Sequence[Played]) -> str:
    """Both tables, and where something was missed or false."""
    each = Counter(r.kind for r in runs)
    wanted = [(r.kind, 0) for r in runs]
    total = added(r.temperatures for r in runs)
    rows = [
        f"{len(runs)} runs, {days(wanted)} days, seeds from {FIRST_SEED} (`python -m benchmarks.labelled KIND --seed N`).",
        "Truth of the temperature rules is the probe without noise: beyond the limit by 0.5 C, 15 minutes longer than the rule",
        "asks, must be found on each healthy logger; what stays 0.5 C off must not be said. Between the two anything goes.",
        "",
        "| temperature rule | asked | found | missed | false |",
        "|---|---|---|---|---|",
    ]
    rows += [_row(code, total[code]) for code, _, _ in TEMPERATURE if code in total]
    rows += ["", "| the same by fault | runs | asked | found | missed | false |", "|---|---|---|---|---|---|"]
    for kind in each:
        c = _all(added(r.temperatures for r in runs if r.kind is kind).values())
        rows.append(f"| {kind} | {each[kind]} | {c.found + c.missed} | {c.found} | {c.missed} | {c.false} |")
    own = added(r.labels for r in runs)
    rows += ["", "| fault | found by | runs | found | missed | half of them within |", "|---|---|---|---|---|---|"]
    for kind in each:
        if kind in SAYS:
            c = own[str(kind)]
            late = f"{median(c.late_min):.0f} min" if c.late_min else "-"
            rows.append(f"| {kind} | {', '.join(SAYS[kind])} | {c.runs} | {c.found} | {c.missed} | {late} |")
    rows += ["", "| said where no such fault was | times | in |", "|---|---|---|"]
    for name in sorted(n for n in own if n.startswith("false ")):
        where = Counter(own[name].where).most_common(3)
        rows.append(
            f"| {name.removeprefix('false ')} | {own[name].false} | {', '.join(f'{w} ({n})' for w, n in where)} |"
        )
    rows += ["", FAULTS_NOTE]
    quiet = sum(1 for r in runs if r.kind is Kind.CALM and not any(n.startswith("false") for n in r.labels))
    rows.append(f"\nOf {each[Kind.CALM]} calm runs {quiet} had no finding of a sensor, door or power at all.")
    missed = [w for c in (*total.values(), *own.values()) if c.missed or c.false for w in c.where]
    if missed:
        rows.append(f"\nRuns to look at: {', '.join(f'{w}' for w, _ in Counter(missed).most_common(12))}.")
    return "\n".join(rows)


def _all(counts: Iterable[Count]) -> Count:
    made = Count()
    for c in counts:
        made.found, made.missed, made.false = made.found + c.found, made.missed + c.missed, made.false + c.false
    return made


def _row(name: str, c: Count) -> str:
    return f"| {name} | {c.found + c.missed} | {c.found} | {c.missed} | {c.false} |"


def fails(runs: Sequence[Played]) -> list[str]:
    """What makes the command fail: a temperature rule that missed or said something false, or too many of the others.

    Rules over sensors are judgements: nine of ten of all faults must be found, and of each kind more than half (of a
    handful of runs of a kind one miss is already a fifth).
    """
    made: list[str] = []
    for code, c in added(r.temperatures for r in runs).items():
        if c.missed or c.false:
            made.append(f"{code}: {c.missed} missed, {c.false} false ({', '.join(c.where[:5])})")
    own = added(r.labels for r in runs)
    for name, c in own.items():
        if c.missed and c.missed >= c.found:
            made.append(f"{name}: {c.missed} of {c.found + c.missed} missed ({', '.join(c.where[:5])})")
    found, missed = sum(c.found for c in own.values()), sum(c.missed for c in own.values())
    if missed * 10 > found + missed:
        made.append(f"faults of equipment and sensors: {missed} of {found + missed} missed")
    return made


__all__ = ["fails", "faults", "page"]
