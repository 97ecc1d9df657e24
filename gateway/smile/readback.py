"""What SMILE's history holds of our readings: the only way to know after a lost answer (duty 9).

Theory. SMILE has no key against duplicates, so an item whose answer was lost must not be sent again until its
history says it is not there. But an account that may not see a refrigerator gets an empty list and no error
(facts/smile-core-api.md 4.4), so an empty list proves nothing: absence counts only beside a *witness*, a reading of
the same logger that we know is stored and that the list shows. The witness proves the time rule too: it must stand
exactly 7 hours after its true time on the cold route (3.2); anything else means that SMILE's rule has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from gateway.smile.client import Answer, Session
from gateway.smile.items import ROUTE_SHIFT_MS, parse_time
from gateway.smile.port import Item, Outcome

_PAGE = 100
_MAX_PAGES = 200
_DAY_MS = 86_400_000
_OLDEST_MS = 89 * _DAY_MS  # from_date may not be older than 3 months (4.4), and a month may have 28 days


class Seen(StrEnum):
    STORED = "stored"
    ABSENT = "absent"
    UNSEEN = "unseen"  # the list cannot say: no witness, or the account may not


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One row of SMILE's history: the time as it stands there (shifted), and the value."""

    stored_ms: int
    temperature_c: Decimal


@dataclass(frozen=True, slots=True)
class Finding:
    """What the history says of each uncertain item, and how far the witness's time is off (0 or None: right)."""

    seen: dict[tuple[str, int], Seen]
    shift_error_ms: int | None = None
    text: str = ""


def compare(rows: Iterable[HistoryRow], items: Sequence[Item], witnesses: Sequence[Item]) -> Finding:
    """Judge the uncertain ``items`` of one logger by its history rows. Pure."""
    held = {(row.stored_ms // 1000, row.temperature_c) for row in rows}
    found = {i.key: Seen.STORED for i in items if _place(i) in held}
    missing = [i for i in items if i.key not in found]
    if any(_place(w) in held for w in witnesses):
        return Finding(found | {i.key: Seen.ABSENT for i in missing})
    shift_ms = _whole_hours_off(held, witnesses)
    if shift_ms is not None:
        return Finding({i.key: Seen.UNSEEN for i in items}, shift_ms, "the history's times are off by whole hours")
    return Finding(found | {i.key: Seen.UNSEEN for i in missing}, None, "no reading known to be stored is shown")


def _place(item: Item, off_h: int = 0) -> tuple[int, Decimal]:
    shifted_ms = item.sampled_at_ms + ROUTE_SHIFT_MS[item.route] + off_h * 3_600_000
    return shifted_ms // 1000, item.temperature_c


def _whole_hours_off(held: set[tuple[int, Decimal]], witnesses: Sequence[Item]) -> int | None:
    """The shift by whole hours at which ALL of at least three witnesses stand, or None. Fewer could be chance:
    a steady refrigerator says 4.5 °C at every full hour."""
    if len(witnesses) < 3:
        return None
    offsets: list[int] = [h for h in range(-14, 15) if h]
    for off_h in offsets:
        if all(_place(w, off_h) in held for w in witnesses):
            return off_h * 3_600_000
    return None


@dataclass(slots=True)
class History:
    """Reads the history with an account that may (a manager's of the site, by setting)."""

    session: Session
    core_url: str
    now_ms: Callable[[], int]
    _rtmd_ids: dict[str, int] = field(default_factory=dict)

    async def look(self, device_id: str, items: Sequence[Item], witnesses: Sequence[Item]) -> tuple[Outcome, Finding]:
        """(DONE, finding) when the history was read; another outcome when it could not be."""
        rtmd_id, refused = await self._rtmd_id(device_id)
        if rtmd_id is None:
            return refused, _unseen(items, "the logger is not in this account's list")
        times = [i.sampled_at_ms + ROUTE_SHIFT_MS[i.route] for i in (*items, *witnesses)]
        rows: list[HistoryRow] = []
        for page in range(1, _MAX_PAGES + 1):
            answer = await self._page(rtmd_id, min(times), max(times), page)
            if answer.outcome is not Outcome.DONE:
                return answer.outcome, _unseen(items, answer.words)
            got, last = _rows(answer.body, page)
            rows += got
            if last:
                return Outcome.DONE, compare(rows, items, witnesses)
        return Outcome.DONE, _unseen(items, "the history has too many pages")

    async def _page(self, rtmd_id: int, from_ms: int, to_ms: int, page: int) -> Answer:
        # A day on either side: how the server cuts a day depends on its zone.
        return await self.session.call(
            "GET",
            f"{self.core_url.rstrip('/')}/asset-monitoring-temperature/{rtmd_id}/history",
            params={
                "from_date": _date(max(from_ms - _DAY_MS, self.now_ms() - _OLDEST_MS)),
                "to_date": _date(to_ms + _DAY_MS),
                "page": page,
                "paginate": _PAGE,
            },
        )

    async def _rtmd_id(self, device_id: str) -> tuple[int | None, Outcome]:
        known = self._rtmd_ids.get(device_id)
        if known is not None:
            return known, Outcome.DONE
        for page in range(1, _MAX_PAGES + 1):
            answer = await self.session.call(
                "GET", f"{self.core_url.rstrip('/')}/api/assets", params={"page": page, "paginate": _PAGE}
            )
            rows = answer.body.get("list") if isinstance(answer.body, Mapping) else None
            if answer.outcome is not Outcome.DONE or not isinstance(rows, list):
                return None, answer.outcome if answer.outcome is not Outcome.DONE else Outcome.NOT_FOUND
            for row in rows:
                if isinstance(row, Mapping) and isinstance(row.get("id"), int):
                    self._rtmd_ids[str(row.get("serial_number"))] = int(row["id"])
            if device_id in self._rtmd_ids or len(rows) < _PAGE:
                break
        found = self._rtmd_ids.get(device_id)
        return found, Outcome.DONE if found is not None else Outcome.NOT_FOUND


def _rows(body: object, page: int) -> tuple[list[HistoryRow], bool]:
    """The rows of one page and whether it is the last one."""
    data = body.get("data") if isinstance(body, Mapping) else None
    rows = [row for row in data if isinstance(row, Mapping)] if isinstance(data, list) else []
    total = body.get("total_page") if isinstance(body, Mapping) else None
    last = page >= total if isinstance(total, int) else len(rows) < _PAGE
    return [r for r in (_row(row) for row in rows) if r is not None], last


def _row(row: Mapping[str, object]) -> HistoryRow | None:
    stored_ms = parse_time(row.get("actual_time"))
    try:
        value = Decimal(str(row.get("temperature")))
    except InvalidOperation:
        return None
    return None if stored_ms is None else HistoryRow(stored_ms, value)


def _unseen(items: Sequence[Item], text: str) -> Finding:
    return Finding({i.key: Seen.UNSEEN for i in items}, None, text)


def _date(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d")
