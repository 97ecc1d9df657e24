"""What journal entries bring to alerts: facts to judge by, undated facts, anchors, weighings, refusals. Pure but for the log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from alerts.convert import scale_refusal, weighing_record
from alerts.equipment import watched_quantities
from alerts.memory import Source
from alerts.rules import ReadingFact
from gateway.journal import Entry
from gateway.records import ScaleRefusal, WeighingRecord
from telemetry.contract import decode_upload
from telemetry.errors import ContractError
from telemetry.quantities import parse_stream_id
from telemetry.readings import Event, Fact, Numbered, Reading, Weighing, is_anchor

log = logging.getLogger(__name__)

TEMPERATURE = "temperature_c"
KEPT = frozenset({TEMPERATURE, "ambient_temperature_c", "door_open", "mains_power_on"}) | watched_quantities()
"""The quantities that a rule may ask for; what is kept once is kept for ever, so that a verdict can be told again."""


REFUSALS = frozenset({"weighing_refused", "rezero_needed"})
"""The events in which an edge tells that a scale did not weigh (docs/contract.md)."""


@dataclass(slots=True)
class Arrivals:
    """Each with the journal offset of its entry, in the journal's order. ``clockwork``: undated facts and anchors."""

    facts: list[tuple[int, ReadingFact]] = field(default_factory=list)
    clockwork: list[tuple[int, Source, Fact]] = field(default_factory=list)
    weighings: list[WeighingRecord] = field(default_factory=list)
    refusals: list[ScaleRefusal] = field(default_factory=list)


def arrivals(entries: Sequence[tuple[int, Entry]], home: Callable[[str, int], str]) -> Arrivals:
    """``home`` names the equipment that a stream's device stood in at a time, "" where it stood in none."""
    found = Arrivals()
    for offset, entry in entries:
        try:
            for numbered in decode_upload(entry.payload).facts:
                _sort(offset, entry, numbered, home, found)
        except ContractError as error:
            # Ingest checked it before; a journal entry we cannot read must not stop the line.
            log.error("journal entry %d cannot be read: %s", offset, error)
    return found


def _sort(offset: int, entry: Entry, numbered: Numbered, home: Callable[[str, int], str], found: Arrivals) -> None:
    fact = numbered.fact
    source = Source(entry.site, entry.edge, entry.epoch, numbered.seq)
    match fact:
        case Reading() if parse_stream_id(fact.stream_id).quantity in KEPT:
            if fact.sampled_at_ms is None:
                found.clockwork.append((offset, source, fact))
            else:
                t_ms = fact.sampled_at_ms
                place = home(fact.stream_id, t_ms)
                made = ReadingFact(place, fact.stream_id, t_ms, fact.value, fact.quality, fact.device_seq)
                found.facts.append((offset, made))
        case Weighing():
            found.weighings.append(weighing_record(entry, fact))
            if fact.sampled_at_ms is None:
                found.clockwork.append((offset, source, fact))
        case Event() if is_anchor(fact):
            found.clockwork.append((offset, source, fact))
        case Event() if fact.kind in REFUSALS:
            found.refusals.append(scale_refusal(entry, numbered.seq, fact))
        case _:
            pass
