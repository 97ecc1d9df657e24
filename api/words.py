"""The one catalogue of texts (``texts.toml``, Bahasa Indonesia and English) and how times and numbers are written."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from telemetry.numbers import written

LANGUAGES = ("id", "en")
DEFAULT_LANGUAGE = "id"
_CATALOGUE = Path(__file__).parent / "texts.toml"
_MONTHS = {
    "id": ["Jan", "Feb", "Mar", "Apr", "Mei", "Jun", "Jul", "Agu", "Sep", "Okt", "Nov", "Des"],
    "en": ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
}
# The tz database writes WIB, WITA and WIT itself; other zones show their abbreviation.


@cache
def catalogue() -> Mapping[str, Mapping[str, str]]:
    """All texts: key -> {language: text}."""
    tables = tomllib.loads(_CATALOGUE.read_text(encoding="utf-8"))
    return {f"{group}.{name}": text for group, names in tables.items() for name, text in names.items()}


@dataclass(frozen=True, slots=True)
class Words:
    """The texts of one language, and that language's way of writing."""

    language: str

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key with its ``{names}`` filled in; raises KeyError for an unknown key."""
        text = catalogue()[key][self.language]
        return text.format(**values) if values else text

    def known(self, group: str, name: object, **values: object) -> str:
        """The text ``group.name`` where there is one, else the name as it is (codes written by other parts)."""
        key = f"{group}.{name}"
        return self(key, **values) if key in catalogue() else str(name)

    def number(self, value: Decimal | None, places: int | None = None) -> str:
        """``4,25`` in Bahasa Indonesia, ``4.25`` in English; ``places`` rounds half to even for show only."""
        if value is None:
            return "–"
        shown = value if places is None else value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN)
        return written(shown, comma=self.language == "id")

    def signed(self, offset: Decimal) -> str:
        """A difference with its sign: ``+0,2``."""
        return f"+{self.number(offset)}" if offset > 0 else self.number(offset)

    def time(self, ms: int | None, zone: str) -> str:
        """``20 Nov 2026 15.04 WIB`` / ``20 Nov 2026 15:04 WIB``: the site's wall clock with its zone's name."""
        if ms is None:
            return "–"
        at = datetime.fromtimestamp(ms // 1000, UTC).astimezone(ZoneInfo(zone))
        month = _MONTHS[self.language][at.month - 1]
        return f"{at.day} {month} {at.year} {self.clock(ms, zone)} {at.tzname()}"

    def day_month(self, day: date) -> str:
        """``30 Nov``: a mark below a picture."""
        return f"{day.day} {_MONTHS[self.language][day.month - 1]}"

    def date(self, day: date) -> str:
        """``30 Nov 2027``: a calendar day, which has no zone."""
        return f"{day.day} {_MONTHS[self.language][day.month - 1]} {day.year}"

    def clock(self, ms: int, zone: str) -> str:
        """Hours and minutes on the site's wall clock."""
        at = datetime.fromtimestamp(ms // 1000, UTC).astimezone(ZoneInfo(zone))
        return at.strftime("%H.%M" if self.language == "id" else "%H:%M")

    def span(self, duration_ms: int) -> str:
        """A duration in its two largest useful units: ``3 jam 20 menit``."""
        seconds = max(0, duration_ms) // 1000
        days, hours, minutes = seconds // 86400, seconds % 86400 // 3600, seconds % 3600 // 60
        if days:
            return self("time.days_hours", d=days, h=hours) if hours else self("time.days", d=days)
        if hours:
            return self("time.hours_minutes", h=hours, m=minutes) if minutes else self("time.hours", h=hours)
        return self("time.minutes", m=minutes) if minutes else self("time.seconds", s=seconds)


def pick_language(*wishes: str | None) -> str:
    """The first wish we speak; an Accept-Language header counts as a wish."""
    for wish in wishes:
        for part in (wish or "").split(","):
            code = part.split(";")[0].strip().lower()[:2]
            if code in LANGUAGES:
                return code
            if code == "in":  # the old code of Bahasa Indonesia, still sent by some phones
                return "id"
    return DEFAULT_LANGUAGE
