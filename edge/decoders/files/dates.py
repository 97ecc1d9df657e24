"""Dates of a text export in whatever order its locale writes them, turned to ``yyyy-MM-dd`` before it is parsed.

The table's heading names the order (``dd.MM.yyyy hh:mm``, also ``JJJJ-MM-TT`` or ``aaaa-MM-jj``: the word of four
letters is the year, ``MM`` the month). Without one dots mean day first, and other dates must show it themselves, by a
day above 12. An order is never guessed: 03/04/2026 alone is refused.
"""

from __future__ import annotations

import re

from edge.decoders.files.model import ISO_DATES, LoggerFileError

_L = r"[^\W\d_]"
HEADING = re.compile(rf"[ \t]*({_L}{{2,4}})([./-])({_L}{{2,4}})\2({_L}{{2,4}})[ T]{_L}{{2}}:{_L}{{2}}(?::{_L}{{2}})?")
_DATE = re.compile(r"(?<![^\s:,])(\d{1,4})([./-])(\d{1,2})\2(\d{1,4})(?![^\sT,])")


def iso_dates(text: str) -> str:
    """The text with every date as ``yyyy-MM-dd``. Raises LoggerFileError where the order cannot be known."""
    heading = next((m for line in text.split("\n") if (m := HEADING.match(line))), None)
    order = "ymd" if heading is None else _order([heading[1], heading[3], heading[4]], text, heading[0])
    last = dict.fromkeys("./-", order) if order[2] == "y" else {".": "dmy"}

    def iso(match: re.Match[str]) -> str:
        parts = (match[1], match[3], match[4])
        if len(parts[0]) == 4 and len(parts[2]) <= 2:
            use = order if order[0] == "y" else "ymd"
        elif len(parts[2]) == 4 and len(parts[0]) <= 2:
            if match[2] not in last:
                last[match[2]] = _year_last(text, match[2])
            use = last[match[2]]
        else:
            return match[0]
        by = dict(zip(use, parts, strict=True))
        return f"{by['y']}-{by['m']:0>2}-{by['d']:0>2}"

    return _DATE.sub(iso, text)


def _order(words: list[str], text: str, heading: str) -> str:
    """``ymd``, ``dmy``, ``mdy`` or ``ydm`` of a heading's three words."""
    upper = "MM" in words
    kinds = "".join("y" if len(w) == 4 else "m" if w == "MM" or (not upper and w == "mm") else "d" for w in words)
    if sorted(kinds) != ["d", "m", "y"] or kinds[1] == "y":
        line = text[: text.index(heading)].count("\n") + 1
        raise LoggerFileError(f"unknown time format {heading.strip()[:40]!r}", line=line, advice=ISO_DATES)
    return kinds


def _year_last(text: str, separator: str) -> str:
    """The order of dates that end with their year, from those with this separator (a version number may have others)."""
    found = [m for m in _DATE.finditer(text) if m[2] == separator and len(m[4]) == 4 and len(m[1]) <= 2]
    day_first = any(int(m[1]) > 12 for m in found)
    month_first = any(int(m[3]) > 12 for m in found)
    if day_first == month_first:
        line = text[: found[0].start()].count("\n") + 1
        raise LoggerFileError(f"the date {found[0][0]} may be day or month first", line=line, advice=ISO_DATES)
    return "dmy" if day_first else "mdy"
