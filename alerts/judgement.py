"""One judgement of one batch, from all that was told of it and all readings of the places it stood in. Pure.

    Told (people: batch, placements, VVM, equipment, devices, release) ─┐
    facts (readings of the places) ─────────────────────────────────────┼─▶ judge_told ─▶ Judged
    catalogue (limits), products, now_ms ───────────────────────────────┘

The service judges by this door, and ``smile-iot explain`` by the same one from what was stored: so that both can only
say the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal

from alerts.amended import NOTHING_SAID, Amendments, laid_over, within
from alerts.bulk import Columns, Points, columns_by_stream, expose_points, points_of
from alerts.bulk.points import Whole
from alerts.exposure import BudgetUse, Exposure, Placement, budgets_used
from alerts.products import UNKNOWN_PRODUCT, Product
from alerts.rules import Dated, Profile, Profiles, ReadingFact, RuleFinding, StreamSettings
from alerts.storage import Place, Stood, by_place, is_plain, is_shipped, stood_in, wrong_storage
from alerts.verdicts import (
    BatchVerdict,
    VerdictWord,
    VvmSeen,
    goes_on_after,
    judge_batch,
    never_below_hold,
)
from alerts.vvm import used_percent
from telemetry.quantities import parse_stream_id
from telemetry.readings import Quality

_FOREVER_MS = 1 << 62
REACH_MS = 86_400_000
"""How far outside a placement a reading may still matter: it holds from before, or shows a gap after."""


@dataclass(frozen=True, slots=True)
class BatchInfo:
    """What the records say of a batch."""

    id: str
    site: str
    product_kfa: str
    product_name: str
    batch_number: str
    expires_on: date
    doses: int


@dataclass(frozen=True, slots=True)
class Told:
    """All that people said which a judgement rests on.

    ``places``: equipment -> what it was for first; ``places_later``: (since when, what it was for then on), where it changed.
    ``devices``: serial -> declared interval and sensor's sigma.
    ``amended``: what they said of readings.
    ``released_ms``: when a person last released the batch, None where the last decision was none.
    """

    batch: BatchInfo
    stays: tuple[Placement, ...] = ()
    seen: tuple[VvmSeen, ...] = ()
    places: Mapping[str, Place] = field(default_factory=dict)
    devices: Mapping[str, StreamSettings] = field(default_factory=dict)
    amended: Amendments = NOTHING_SAID
    released_ms: int | None = None
    places_later: Mapping[str, tuple[tuple[int, Place], ...]] = field(default_factory=dict)

    @property
    def stood(self) -> list[Stood]:
        """The stays by what their places were at the time."""
        return stood_in(self.stays, self.places, self.places_later)


@dataclass(frozen=True, slots=True)
class Judged:
    """The outcome, with what it rests on. ``facts`` are those given, as they came; ``exposure`` None: never placed by
    then.

    ``eras``: what the product's profile meant from when, and what its shipment type did where it was in a box.
    """

    told: Told
    product: Product | None
    profile: Profile
    facts: tuple[ReadingFact, ...]
    exposure: Exposure | None
    findings: tuple[RuleFinding, ...]
    verdict: BatchVerdict
    now_ms: int
    budgets: tuple[BudgetUse, ...] = ()
    eras: tuple[Dated, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """What each profile's id meant: first as in ``catalogue``, then by its dated ``versions`` (decision 0023)."""

    catalogue: Mapping[str, Profile]
    versions: Mapping[str, tuple[Dated, ...]] = field(default_factory=dict)

    def later(self, profile: str, now_ms: int) -> tuple[Dated, ...]:
        """The versions of a profile that have begun by ``now_ms``."""
        return tuple(d for d in self.versions.get(profile, ()) if d.from_ms <= now_ms)

    def at(self, profile: str, now_ms: int) -> Profile:
        """What it means at a time."""
        return next((d.profile for d in reversed(self.later(profile, now_ms))), self.catalogue[profile])


def profile_id_of(product: Product | None) -> str:
    """The id of a product's limits; one that is not in the table has the refrigerator's."""
    return (product or UNKNOWN_PRODUCT).profile


def spans_of(stays: Iterable[Placement]) -> dict[str, tuple[int, int | None]]:
    """Equipment -> (from, to): from a day before the first placement there to a day after the last (None: open)."""
    spans: dict[str, tuple[int, int | None]] = {}
    for p in stays:
        low, high = spans.get(p.equipment, (p.from_ms, p.to_ms))
        open_end = high is None or p.to_ms is None
        spans[p.equipment] = (min(low, p.from_ms), None if open_end else max(high or 0, p.to_ms or 0))
    return {e: (low - REACH_MS, None if high is None else high + REACH_MS) for e, (low, high) in spans.items()}


def judge_told(
    told: Told,
    facts: Sequence[ReadingFact],
    limits: Limits | Mapping[str, Profile],
    products: Mapping[str, Product],
    now_ms: int,
) -> Judged:
    """Judge a batch. ``facts``: the readings of its places over ``spans_of`` its placements (more does no harm).

    Findings go by the limits that held at their time; sums and range states by those in force at ``now_ms``. A plain
    catalogue is limits that never changed.
    """
    limits = limits if isinstance(limits, Limits) else Limits(limits)
    product = products.get(told.batch.product_kfa)
    name = profile_id_of(product)
    profile = limits.at(name, now_ms)
    if product is not None and product.transport not in limits.catalogue:
        product = replace(product, transport="")  # no such type: judged by its own limits in a box too
    columns = columns_by_stream(facts)
    wrong = wrong_storage(told.batch.id, product, told.stood, now_ms)

    def seen(amended: Amendments, raw: Sequence[RuleFinding] = ()) -> _Seen:
        exposure = _expose(told, product, limits, columns, amended, now_ms)
        if exposure is not None and amended.marks:
            exposure = replace(exposure, findings=tuple(laid_over(raw, exposure.findings)))
        budgets = () if exposure is None or product is None else budgets_used(exposure.line, product.budgets, profile)
        used = _used(product, exposure)
        return _Seen(
            exposure, budgets, judge_batch(told.batch.id, product, exposure, told.seen, now_ms, used, wrong, budgets)
        )

    if any(_is_marked(told.amended, stream, of[0]) for (_, stream), of in columns.items()):
        raw = _expose(told, product, limits, columns, told.amended.unmarked, now_ms, brief=True)
        what = seen(told.amended, () if raw is None else raw.findings)
        if what.verdict.verdict.strength < VerdictWord.HOLD_AND_INSPECT.strength:
            what = replace(what, verdict=never_below_hold(what.verdict, seen(told.amended.unmarked).verdict))
    else:
        what = seen(told.amended.unmarked)
    exposure, budgets, made = what.exposure, what.budgets, what.verdict
    spans = _spans_of(told.stays, columns)
    found = tuple(told.amended.named(f, spans) for f in (*(exposure.findings if exposure else ()), *wrong))
    if told.released_ms is not None and made.verdict is not VerdictWord.NO_ACTION:
        later = _readings_after(told, facts)
        went_on = goes_on_after(made, found, later, told.released_ms)
        made = made if went_on is None else replace(made, reasons=(*made.reasons, went_on))
    eras = (*_eras(limits, name, now_ms), *_shipping(told, product, limits, now_ms))
    return Judged(told, product, profile, tuple(facts), exposure, found, made, now_ms, budgets, eras)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the batch lived through by one reading of the marks, and what is to be done."""

    exposure: Exposure | None
    budgets: tuple[BudgetUse, ...]
    verdict: BatchVerdict


def _is_marked(amended: Amendments, stream: str, t_ms: Whole) -> bool:
    return stream in amended.marked and bool(within(amended.marked[stream], t_ms).any())


def _spans_of(stays: Sequence[Placement], columns: Mapping[tuple[str, str], Columns]) -> list[tuple[str, int, int]]:
    """(stream, from, to) of the readings that the batch was judged by: those of its places while it stood there."""
    found: list[tuple[str, int, int]] = []
    for p in stays:
        for (equipment, stream), (t_ms, *_) in columns.items():
            if equipment == p.equipment:
                here = t_ms[(t_ms >= p.from_ms) & (t_ms < (_FOREVER_MS if p.to_ms is None else p.to_ms))]
                if here.size:
                    found.append((stream, int(here.min()), int(here.max())))
    return sorted(found)


def _eras(limits: Limits, profile: str, now_ms: int) -> tuple[Dated, ...]:
    """What was judged by: the first meaning of the profile (from 0) and its later ones."""
    return (Dated(0, limits.catalogue[profile]), *limits.later(profile, now_ms))


def _shipping(told: Told, product: Product | None, limits: Limits, now_ms: int) -> tuple[Dated, ...]:
    """The same of its shipment type, where it was in a box."""
    if product is None or not any(is_shipped(product, one.place) for one in told.stood):
        return ()
    return _eras(limits, product.transport, now_ms)


def _expose(
    told: Told,
    product: Product | None,
    limits: Limits,
    columns: Mapping[tuple[str, str], Columns],
    amended: Amendments,
    now_ms: int,
    *,
    brief: bool = False,
) -> Exposure | None:
    """What the batch lived through, by the range of its product where it stood (cold-chain 6, 27).

    ``brief``: its findings and sums, without the history where these do not need it.
    """
    streams = {s: told.devices.get(parse_stream_id(s).serial, StreamSettings()) for _, s in columns}
    # In columns: the same exposure as ``alerts.exposure.expose``, for histories of years (tests/alerts/bulk).
    points = {key: _points(amended, key[1], of) for key, of in columns.items()}
    eras = _eras(limits, profile_id_of(product), now_ms)
    profile, profiles = eras[-1].profile, Profiles(limits.catalogue, streams=streams)
    stays = [one.stay for one in told.stood]  # cut where a place became another thing, so that a hold is too
    lived = expose_points(told.batch.id, stays, points, profiles, profile, now_ms, eras, amended.marked)
    if lived is None:
        return None
    if brief and is_plain(told.stood, product, profile):
        return lived.summed
    sigma_c = max((s.sigma_c for s in streams.values() if s.sigma_c is not None), default=None)
    shipping = _shipping(told, product, limits, now_ms)
    return by_place(lived.exposure(), told.stood, product, profile, sigma_c, eras, told.released_ms, shipping)


def _points(amended: Amendments, stream: str, columns: Columns) -> Points:
    t_ms, value_m, missing, device_seq = columns
    return points_of(t_ms, *amended.columns(stream, t_ms, value_m, missing), device_seq)


def _used(product: Product | None, exposure: Exposure | None) -> Decimal | None:
    """Life of the VVM used by the model, in percent (it can add a hold, cold-chain 6, 22), or None."""
    if product is None or product.vvm_type is None or exposure is None:
        return None
    return used_percent(product.vvm_type, exposure.timeline)


def _readings_after(told: Told, facts: Iterable[ReadingFact]) -> Iterator[tuple[int, Decimal]]:
    """(time, value) of the good readings of a place while the batch stood in it, after its release; marked ones too."""
    released_ms = 0 if told.released_ms is None else told.released_ms
    for f in facts:
        if f.t_ms <= released_ms or f.quality is not Quality.GOOD or f.value_c is None:
            continue
        if any(
            p.equipment == f.equipment and p.from_ms <= f.t_ms and (p.to_ms is None or f.t_ms < p.to_ms)
            for p in told.stays
        ):
            yield f.t_ms, told.amended.corrected_c(f.stream_id, f.t_ms, f.value_c)
