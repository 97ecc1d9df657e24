"""In which order the batches of a store are used: VVM stage B before A even if its expiry is later, then first expiry.

Source: WHO's order of use as recorded in facts/cold-chain.md 2.4 (VVM C and D never). What waits for a person (hold, shake test,
a proposed discard) has no turn, nor has what nobody judged or what stands nowhere now (unknown is not safe), and what is
expired never has one: nothing clears itself. Pure; the day is an argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from alerts.verdicts import VerdictWord, VvmStage

_WAITS = frozenset({VerdictWord.HOLD_AND_INSPECT, VerdictWord.SHAKE_TEST, VerdictWord.DISCARD_PROPOSED})


class Why(StrEnum):
    """Why a batch has its turn, or none."""

    VVM_B = "vvm_b"  # before all with stage A
    USE_FIRST = "use_first"  # the verdict asks for it
    FIRST_EXPIRY = "first_expiry"
    WAITS = "waits"  # a person has to decide first
    NOT_JUDGED = "not_judged"  # nothing is known of it
    NOWHERE = "nowhere"  # nobody said where it stands since its last placement ended: how warm it is now is not known
    VVM_END = "vvm_end"  # stage C or D was read
    EXPIRED = "expired"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class Stock:
    """A batch in a store. ``stage``: the worst VVM stage ever read, None where nobody read it.

    ``stands``: somewhere now, as far as was said.
    ``verdict``: the latest word on it, None when it was not judged; ``released``: a person's release still answers that verdict.
    """

    batch: str
    product: str
    expires_on: date
    stage: VvmStage | None = None
    verdict: VerdictWord | None = None
    released: bool = False
    discarded: bool = False
    stands: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """``turn``: 1 is used first, of its product; None: not to be used (now)."""

    stock: Stock
    turn: int | None
    why: Why


def order_of_use(stocks: Iterable[Stock], today: date) -> list[Turn]:
    """All batches by product, each product's usable ones in their order, then those without a turn.

    ``today`` is the site's own day; a batch may be used up to and with its last day.
    """
    made: list[Turn] = []
    by_product: dict[str, list[Stock]] = {}
    for stock in stocks:
        by_product.setdefault(stock.product, []).append(stock)
    for product in sorted(by_product):
        made += _of_one_product(by_product[product], today)
    return made


def _of_one_product(stocks: Sequence[Stock], today: date) -> list[Turn]:
    barred = {s.batch: why for s in stocks if (why := _barred(s, today)) is not None}
    usable = sorted((s for s in stocks if s.batch not in barred), key=_rank)
    rest = sorted((s for s in stocks if s.batch in barred), key=lambda s: (s.expires_on, s.batch))
    turns = [Turn(s, n, _why(s)) for n, s in enumerate(usable, 1)]
    return [*turns, *(Turn(s, None, barred[s.batch]) for s in rest)]


def _barred(s: Stock, today: date) -> Why | None:
    if s.discarded:
        return Why.DISCARDED
    if s.expires_on < today:
        return Why.EXPIRED
    if s.stage in (VvmStage.C, VvmStage.D):
        return Why.VVM_END
    if s.verdict is None:
        return Why.NOT_JUDGED
    waits = s.verdict in _WAITS and not s.released
    if not s.stands and (not waits or s.verdict is VerdictWord.HOLD_AND_INSPECT):
        return Why.NOWHERE  # it is held for its unknown time, most likely: say why
    return Why.WAITS if waits else None


def _why(s: Stock) -> Why:
    if s.stage is VvmStage.B:
        return Why.VVM_B
    return Why.USE_FIRST if s.verdict is VerdictWord.USE_FIRST else Why.FIRST_EXPIRY


def _rank(s: Stock) -> tuple[bool, date, str]:
    return (_why(s) is Why.FIRST_EXPIRY, s.expires_on, s.batch)
