"""A person's discard as SMILE main takes it: drafted for the person to see, posted once (duties 20, 21, 28).

SMILE answers 204 without an id and books the same body again after five seconds (facts/smile-core-api.md 5.3), so the
only protection against a second booking is to look in its list of discards first, each time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from gateway.smile.client import Answer, Main
from gateway.smile.port import Cause, DiscardOrder, Draft, Outcome, Person, PostResult, StockIds, program_value
from telemetry.errors import SmileIotError

DISCARD_TYPE = 4  # smile-core-api 5.1: transaction type 4 = discard
MAX_REASON = 255
_PAGE = 100
_MAX_PAGES = 100
_DAY_MS = 86_400_000
# Titles, never ids: the list is not seeded and differs (5.2). First match wins; SMILE has no reason for heat.
REASON_TITLES: dict[Cause, tuple[str, ...]] = {
    Cause.FREEZE: ("frozen", "beku"),
    Cause.HEAT: ("damaged", "rusak", "other", "others", "lainnya"),
}


class DraftRefusedError(SmileIotError):
    """No discard can be drafted; ``outcome`` says why, ``again`` whether later may do."""

    def __init__(self, outcome: Outcome, message: str, *, again: bool = False, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.outcome = outcome
        self.again = again


# --- pure ----------------------------------------------------------------------------------------------------


def reason_of(reasons: object, cause: Cause) -> tuple[int, str]:
    """(id, title) of the reason whose title fits the cause; raises DraftRefusedError (duty 21)."""
    rows = [r for r in reasons if isinstance(r, Mapping)] if isinstance(reasons, list) else []
    for wanted in REASON_TITLES[cause]:
        for row in rows:
            title = str(row.get("title") or "")
            if title.strip().casefold() == wanted and isinstance(row.get("id"), int):
                return row["id"], title
    raise DraftRefusedError(
        Outcome.FORBIDDEN,
        f"SMILE's list of reasons has none of {', '.join(REASON_TITLES[cause])}",
        advice="ask the SMILE administrator for a discard reason with one of these titles",
    )


def quality_of(qualities: object, vvm: str | None) -> int:
    """The ``stock_quality_id`` of a VVM stage by its label ("VVM B"); raises DraftRefusedError."""
    if vvm is None:
        raise DraftRefusedError(
            Outcome.REFUSED,
            "SMILE wants the VVM stage of a temperature-sensitive vaccine",
            again=True,
            advice="read the VVM on the vials and enter its stage for this batch",
        )
    rows = [r for r in qualities if isinstance(r, Mapping)] if isinstance(qualities, list) else []
    for row in rows:
        label = str(row.get("label") or row.get("name") or row.get("title") or "")
        if label.casefold().split()[-1:] == [vvm.casefold()] and isinstance(row.get("id"), int):
            return int(row["id"])
    raise DraftRefusedError(Outcome.FORBIDDEN, f"SMILE has no stock quality for VVM {vvm}")


@dataclass(frozen=True, slots=True)
class StockRow:
    """What SMILE says of one stock row now."""

    doses_per_vial: int
    available: Decimal
    temperature_sensitive: bool


def stock_row(details: object, stock: StockIds) -> StockRow:
    """The row of our batch in ``/stocks/details``; raises DraftRefusedError when it is not there or not ours.

    A global id where the program's is due finds no row or another material: both are refused here (duty 28).
    """
    for material, row in _stock_rows(details):
        if row.get("id") == stock.stock_id.value and material.get("id") == stock.material_id.value:
            batch = row.get("batch")
            code = str(batch.get("code") if isinstance(batch, Mapping) else "")
            if code.strip().casefold() != stock.batch_code.strip().casefold():
                raise DraftRefusedError(
                    Outcome.REFUSED,
                    f"SMILE's stock {stock.stock_id.value} is batch {code!r}, ours is {stock.batch_code!r}",
                    advice="set the right SMILE stock id for this batch",
                )
            unit = material.get("consumption_unit_per_distribution_unit")
            per_vial = unit if isinstance(unit, int) and unit > 0 else 1
            available = row.get("available_qty", row.get("qty"))
            return StockRow(per_vial, _number(available), bool(material.get("is_temperature_sensitive")))
    raise DraftRefusedError(
        Outcome.REFUSED,
        f"SMILE's entity {stock.entity_id.value} has no stock {stock.stock_id.value} "
        f"of material {stock.material_id.value}",
        advice="check the batch's SMILE ids: they must be the program's own, not the global ones",
    )


def _stock_rows(details: object) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """(material, stock row) wherever they stand: ``group_by`` changes the nesting (5.1)."""
    found: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = []

    def walk(node: object) -> None:
        if isinstance(node, list):
            for one in node:
                walk(one)
        elif isinstance(node, Mapping):
            material, stocks = node.get("material"), node.get("stocks")
            if isinstance(material, Mapping) and isinstance(stocks, list):
                found.extend((material, row) for row in stocks if isinstance(row, Mapping))
            else:
                for one in node.values():
                    walk(one)

    walk(details)
    return found


def _number(value: object) -> Decimal:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return Decimal(0)


def other_reason(order: DiscardOrder, person: str) -> str:
    """Our incident and the person in SMILE's free text; ``order_id`` is how we find the booking again."""
    text = f"SMILE-IoT {order.incident_id} [{order.order_id}] {person}"
    said = " ".join(order.reason.split())
    return f"{text}: {said}"[:MAX_REASON] if said else text[:MAX_REASON]


def discard_body(
    order: DiscardOrder, person: str, row: StockRow, reason_id: int, quality_id: int | None
) -> dict[str, Any]:
    """The body of ``discard-stock`` (5.3); raises DraftRefusedError for a quantity SMILE would refuse."""
    stock = order.stock
    if stock.doses <= 0 or stock.doses % row.doses_per_vial:
        raise DraftRefusedError(
            Outcome.REFUSED,
            f"{stock.doses} doses are no whole number of vials of {row.doses_per_vial} doses",
            advice="discard whole vials; enter an opened vial in SMILE by hand",
        )
    if stock.doses > row.available:
        raise DraftRefusedError(
            Outcome.REFUSED,
            f"SMILE has {row.available} doses of this batch, {stock.doses} are to be discarded",
            advice="correct the stock in SMILE, or the doses of the batch here",
        )
    return {
        "entity_id": program_value("entity_id", stock.entity_id),
        "activity_id": program_value("activity_id", stock.activity_id),
        "entity_activity_id": program_value("entity_activity_id", stock.entity_activity_id),
        "materials": [
            {
                "material_id": program_value("material_id", stock.material_id),
                "transaction_reason_id": reason_id,
                "other_reason": other_reason(order, person),
                "stock_id": program_value("stock_id", stock.stock_id),
                **({} if quality_id is None else {"stock_quality_id": quality_id}),
                "qty": stock.doses,
                "transaction_type_id": DISCARD_TYPE,
            }
        ],
    }


@dataclass(frozen=True, slots=True)
class Booked:
    """What SMILE's list says: ``ours`` carries our order id; ``twin`` is the same quantity without it."""

    ours: Mapping[str, Any] | None = None
    twin: Mapping[str, Any] | None = None


def booked(rows: Sequence[Mapping[str, Any]], order: DiscardOrder) -> Booked:
    """Find our discard among SMILE's (duty 21: never twice)."""
    ours = twin = None
    for row in rows:
        if order.order_id in str(row.get("other_reason") or ""):
            ours = row
        elif (
            _stock_id(row) == order.stock.stock_id.value and abs(_number(row.get("change_qty"))) == order.stock.doses
        ):
            twin = row
    return Booked(ours, twin)


def _stock_id(row: Mapping[str, Any]) -> object:
    stock = row.get("stock")
    return row.get("stock_id", stock.get("id") if isinstance(stock, Mapping) else None)


# --- with SMILE ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Discards:
    """Drafts and posts discards of one site's entity with its manager account."""

    main: Main
    now_ms: Callable[[], int]

    async def draft(self, order: DiscardOrder) -> Draft:
        """The discard as SMILE would get it. Raises DraftRefusedError."""
        stock = order.stock
        entity_id, material_id = (
            program_value("entity_id", stock.entity_id),
            program_value("material_id", stock.material_id),
        )
        details = await self._get(
            "/stocks/details",
            {"entity_id": entity_id, "material_id": material_id, "group_by": "activity_material"},
        )
        row = stock_row(details, stock)
        reason_id, title = reason_of(
            _data(await self._get("/transactions/reason", {"transaction_type_id": DISCARD_TYPE})), order.cause
        )
        quality_id = None
        if row.temperature_sensitive:
            quality_id = quality_of(_data(await self._get("/stock-qualities", {})), stock.vvm)
        body = discard_body(order, order.decided_by, row, reason_id, quality_id)
        notes = () if order.cause is Cause.FREEZE else ("SMILE has no reason for heat",)
        return Draft(order, body, title, row.doses_per_vial, notes)

    async def _get(self, path: str, params: Mapping[str, str | int]) -> object:
        answer = await self.main.call("GET", path, params=params)
        if answer.outcome is not Outcome.DONE:
            raise DraftRefusedError(
                answer.outcome, f"SMILE main, GET {path}: {answer.words or answer.status}", again=answer.outcome.again
            )
        return answer.body

    async def post(self, draft: Draft, person: Person) -> PostResult:
        """Book the discard once: look, post, and look again when the answer does not say (duty 21)."""
        if not person.name.strip():
            return PostResult(Outcome.REFUSED, "a discard needs the name of the person who decided it")
        before = await self._look(draft.order)
        if before is not None:
            return before
        answer = await self.main.call("POST", "/transactions/discard-stock", body=draft.body)
        if answer.outcome is Outcome.DONE:
            return PostResult(Outcome.DONE, "booked", {"status": answer.status})
        if answer.outcome is Outcome.LOST or _is_double_submit(answer):
            after = await self._look(draft.order)
            if after is not None and after.outcome.done:
                return after
            # Not there yet: it may still be on its way. The next try looks first, after the pause.
            return PostResult(Outcome.LOST, answer.words)
        return PostResult(answer.outcome, answer.words, {"status": answer.status})

    async def _look(self, order: DiscardOrder) -> PostResult | None:
        """None when the discard is not booked and nothing looks like it; else what was found, or why nobody knows."""
        rows, answer = await self._list(order)
        if rows is None:
            return PostResult(answer.outcome, f"the list of discards cannot be read: {answer.words}")
        found = booked(rows, order)
        if found.ours is not None:
            return PostResult(Outcome.ALREADY, "booked", {"transaction": found.ours.get("id")})
        if found.twin is not None:
            text = (
                f"SMILE holds a discard of {order.stock.doses} doses of this stock that we did not make "
                f"(transaction {found.twin.get('id')}): nothing is sent, a person must compare"
            )
            return PostResult(Outcome.HELD, text, {"transaction": found.twin.get("id")})
        return None

    async def _list(self, order: DiscardOrder) -> tuple[list[Mapping[str, Any]] | None, Answer]:
        now = self.now_ms()
        rows: list[Mapping[str, Any]] = []
        answer = Answer(Outcome.DONE)
        for page in range(1, _MAX_PAGES + 1):
            answer = await self.main.call(
                "GET",
                "/transactions/discard",
                params={
                    "entity_id": program_value("entity_id", order.stock.entity_id),
                    "start_date": _date(min(order.decided_ms, now) - _DAY_MS),
                    "end_date": _date(max(order.decided_ms, now) + _DAY_MS),
                    "page": page,
                    "paginate": _PAGE,
                },
            )
            if answer.outcome is not Outcome.DONE:
                return None, answer
            got = [r for r in _data(answer.body) if isinstance(r, Mapping)]
            rows += got
            total = answer.body.get("total_page") if isinstance(answer.body, Mapping) else None
            if (isinstance(total, int) and page >= total) or len(got) < _PAGE:
                break
        return rows, answer


def _is_double_submit(answer: Answer) -> bool:
    return answer.status == 400 and "duplicate_request" in answer.words


def _data(body: object) -> list[Any]:
    """The rows of a list, bare or in a page; an empty 204 is no rows."""
    rows = body.get("data") if isinstance(body, Mapping) else body
    return rows if isinstance(rows, list) else []


def _date(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d")
