"""From our journal and records to what goes through the port. Pure: values in, values out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from gateway.records.model import Bag, Batch, Device, Finding, Registry, Verdict, VerdictKind, WeighingRecord
from gateway.smile.config import Config
from gateway.smile.items import Beside, NotPushed, item_of, shared_serials, smile_serial
from gateway.smile.port import (
    BagLabel,
    BagWeight,
    Cause,
    DiscardOrder,
    Item,
    ProgramId,
    Route,
    ScaleLink,
    StockIds,
)
from telemetry.errors import ContractError
from telemetry.quantities import StreamId, parse_stream_id
from telemetry.readings import Quality, Reading

PUSHED = "temperature_c"
BESIDE = frozenset({"humidity_percent", "battery_percent", "rssi_dbm", "mains_power_on"})
NO_FIELD = "SMILE has no field"


@dataclass(frozen=True, slots=True)
class Names:
    """Our streams' names in SMILE: {(serial, channel): device_id}, and what cannot have one."""

    of: Mapping[tuple[str, str], str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    def device_id(self, stream: StreamId) -> str | None:
        """The name in SMILE; a channel of its own is written behind the serial, since SMILE knows no channels."""
        base = self.of.get((stream.serial, ""))
        return base if base is None or not stream.channel else f"{base}-{stream.channel}"


def names(devices: Iterable[Device]) -> Names:
    """Each registered device's serial in SMILE's form; pairs that would become one are refused both (duty 13)."""
    wanted = {d.serial: d.smile_serial or d.serial for d in devices}
    good: dict[str, str] = {}
    refused: dict[str, str] = {}
    for serial, name in wanted.items():
        try:
            good[serial] = smile_serial(name)
        except ContractError as error:
            refused[serial] = error.detail
    for serials in shared_serials(good):
        for serial in serials:
            refused[serial] = f"{good.pop(serial)} would be the SMILE serial of {' and '.join(serials)}"
    return Names({(serial, ""): name for serial, name in good.items()}, refused)


def beside_of(last: Mapping[str, tuple[int, Decimal]], t_ms: int, max_age_ms: int) -> Beside:
    """What else the device said near this time; a value older (or newer) than the bound is not known."""
    near = {q: value for q, (at_ms, value) in last.items() if abs(t_ms - at_ms) <= max_age_ms}
    power = near.get("mains_power_on")
    return Beside(
        humidity_percent=near.get("humidity_percent"),
        battery_percent=near.get("battery_percent"),
        rssi_dbm=near.get("rssi_dbm"),
        mains_power_on=None if power is None else power != 0,
    )


@dataclass(slots=True)
class Harvest:
    """What some readings hold for SMILE. ``undated`` wait for an anchor; ``unregistered`` is a count."""

    found: list[Item | NotPushed] = field(default_factory=list)
    beside: list[tuple[str, str, int, Decimal]] = field(default_factory=list)
    undated: list[Reading] = field(default_factory=list)
    unregistered: int = 0


def harvest(
    readings: Iterable[Reading],
    registry: Registry,
    known: Names,
    last: Mapping[str, Mapping[str, tuple[int, Decimal]]],
    config: Config,
    now_ms: int,
) -> Harvest:
    """The items of some readings: temperatures of registered devices, with what stood beside them.

    ``last``: {serial: {quantity: (time, value)}} known before; the readings' own values come on top.
    """
    result = Harvest()
    beside: dict[str, dict[str, tuple[int, Decimal]]] = {serial: dict(values) for serial, values in last.items()}
    temperatures: list[tuple[StreamId, Reading]] = []
    for reading in readings:
        stream = parse_stream_id(reading.stream_id)
        if stream.quantity == PUSHED:
            temperatures.append((stream, reading))
        elif stream.quantity in BESIDE and not stream.channel:
            _note_beside(stream, reading, result, beside)
    for stream, reading in temperatures:
        device_id = known.device_id(stream)
        if registry.device(stream.serial) is None:
            result.unregistered += 1
        elif reading.sampled_at_ms is None:
            result.undated.append(reading)
        elif device_id is not None:
            result.found.append(_item(stream, reading, device_id, registry, beside, config, now_ms))
    return result


def serials_of(readings: Iterable[Reading]) -> set[str]:
    return {reading.stream_id.partition("/")[0] for reading in readings}


def _note_beside(
    stream: StreamId, reading: Reading, result: Harvest, beside: dict[str, dict[str, tuple[int, Decimal]]]
) -> None:
    at_ms, value = reading.sampled_at_ms, reading.value
    if at_ms is None or value is None or reading.quality is not Quality.GOOD:
        return
    result.beside.append((stream.serial, stream.quantity, at_ms, value))
    mine = beside.setdefault(stream.serial, {})
    if mine.get(stream.quantity, (0, value))[0] <= at_ms:
        mine[stream.quantity] = (at_ms, value)


def _item(
    stream: StreamId,
    reading: Reading,
    device_id: str,
    registry: Registry,
    beside: Mapping[str, Mapping[str, tuple[int, Decimal]]],
    config: Config,
    now_ms: int,
) -> Item | NotPushed:
    equipment = registry.equipment_of(stream.serial)
    room = equipment is not None and str(equipment.kind) in config.room_equipment_kinds
    near = beside_of(beside.get(stream.serial, {}), reading.sampled_at_ms or 0, config.beside_max_age_s * 1000)
    return item_of(
        reading,
        device_id,
        beside=near,
        assumed=config.assumed,
        bounds=config.bounds,
        now_ms=now_ms,
        route=Route.ROOM if room else Route.COLD,
    )


# --- discards ------------------------------------------------------------------------------------------------


def verdict_word(verdict: Verdict) -> str:
    """Why SMILE holds nothing of this verdict, in one line for the page."""
    what = verdict.decision or verdict.verdict
    if verdict.verdict == VerdictKind.DISCARD_PROPOSED and verdict.decision is None:
        return "a person has not decided yet"
    return f"{NO_FIELD} for {what}"


def cause_of(findings: Iterable[Finding]) -> Cause:
    """Freezing if any finding of the verdict is of freezing (codes FRZ...), else heat: SMILE knows no other two."""
    return Cause.FREEZE if any(f.code.upper().startswith("FR") for f in findings) else Cause.HEAT


def discard_order(verdict: Verdict, batch: Batch, findings: Iterable[Finding], vvm: str | None) -> DiscardOrder | str:
    """The order for a decided discard, or why SMILE cannot get it."""
    if batch.smile is None:
        return "the batch has no SMILE stock ids: enter them in the registry"
    ids = batch.smile
    found = list(findings)
    digest = hashlib.sha256(f"{verdict.id}|{batch.id}".encode()).hexdigest()[:12]
    return DiscardOrder(
        order_id=f"D-{digest}",
        incident_id=found[0].id if found else verdict.id,
        site=batch.site,
        stock=StockIds(
            entity_id=ProgramId(ids.entity_id),
            activity_id=ProgramId(ids.activity_id),
            entity_activity_id=ProgramId(ids.entity_activity_id),
            material_id=ProgramId(ids.material_id),
            stock_id=ProgramId(ids.stock_id),
            batch_code=batch.batch_number,
            doses=batch.doses,
            vvm=vvm,
        ),
        cause=cause_of(found),
        decided_by=verdict.decided_by or "",
        decided_ms=verdict.decided_ms or verdict.judged_ms,
        reason=verdict.reason or "",
    )


# --- weights -------------------------------------------------------------------------------------------------


def bag_label(bag: Bag) -> BagLabel:
    return BagLabel(
        code=bag.code,
        site=bag.site,
        waste_source_id=bag.source_id,
        waste_classification_id=bag.classification_id,
        bast_no=bag.bast_no,
        material_ids=tuple(ProgramId(m) for m in bag.material_ids),
    )


def bag_weight(weighing: WeighingRecord, device: Device | None, bluetooth_drivers: frozenset[str]) -> BagWeight:
    """``link``: bluetooth only where the driver is one; a wire to our gateway is SMILE's "internet" (duty 24)."""
    driver = "" if device is None else device.driver.casefold()
    over_the_air = any(word in driver for word in bluetooth_drivers)
    return BagWeight(
        weighing_id=weighing.id,
        net_kg=weighing.net_kg,
        sampled_at_ms=weighing.t_ms,
        flags=weighing.flags,
        link=ScaleLink.BLUETOOTH if over_the_air else ScaleLink.INTERNET,
        scale_asset_id=None if device is None else device.smile_scale_asset_id,
        calibrated_until_ms=None if device is None else device.calibrated_until_ms,
    )
