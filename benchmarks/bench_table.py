"""The table: rows with a figure, its goal and whether it is met; as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One line. ``goal`` is the issue's, "" where it sets none; ``met`` None where there is nothing to meet."""

    section: str
    what: str
    figure: str
    goal: str = ""
    met: bool | None = None
    note: str = ""


def at_least(section: str, what: str, value: float, goals: Sequence[float], note: str = "") -> Row:
    """A ratio that shall not be below its goals; met when it reaches the first, the note says if the last."""
    goal = " then ".join(f">= {goal:g}" for goal in goals)
    return Row(section, what, f"{value:.2f}", goal, value >= goals[0], note)


def at_most(section: str, what: str, value: float, goal: float, unit: str, note: str = "", digits: int = 1) -> Row:
    return Row(
        section, what, f"{value:.{digits}f} {unit}".strip(), f"<= {goal:g} {unit}".strip(), value <= goal, note
    )


def count_text(number: float) -> str:
    """937k, 26.8k, 515."""
    if number >= 100_000:
        return f"{number / 1000:.0f}k"
    return f"{number / 1000:.1f}k" if number >= 1000 else f"{number:.0f}"


_MET = {True: "yes", False: "**no**", None: ""}


def markdown(rows: Sequence[Row], head: Mapping[str, str]) -> str:
    """The page ``benchmarks/bench.md``."""
    lines = ["# What the data path does, measured in one run", ""]
    lines += [f"- {key}: {value}" for key, value in head.items()]
    section = ""
    for row in rows:
        if row.section != section:
            section = row.section
            lines += ["", f"## {section}", "", "| what | measured | goal | met | note |", "|---|---|---|---|---|"]
        lines.append(f"| {row.what} | {row.figure} | {row.goal} | {_MET[row.met]} | {row.note} |")
    return "\n".join(lines) + "\n"
