"""Safe repairs of a quarantined message: what a person may choose, and the message it becomes. Pure.

=========  ===============================================  =====================================================
repair     for                                              does
=========  ===============================================  =====================================================
as_is      device registered (or moved here) meanwhile,     nothing: the bytes as they came
           or a server that has learned to read it
undated    a clock that was wrong and said it was right     takes the wrong time away; an anchor of the same boot may
                                                            date the facts, else they stay without a date
readdress  edge or kind of the upload is not the topic's    believes the topic, which the broker's account vouches for
import     its numbers hold other facts, or the store       gives the facts new numbers as imported ones, in an epoch
           refused it after its receipt                     of this item's own; the store's identities find doubles
supplied   everything else                                  takes what a person wrote
=========  ===============================================  =====================================================

What comes out goes through ingest's ordinary check under a person's name and without a MAC: so what was refused for its
signature is never repaired (``NEVER_REPLAYED``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from gateway.records.model import QuarantineItem
from gateway.records.quarantine import NEVER_REPLAYED
from telemetry.contract import Upload, decode_upload, encode_upload
from telemetry.errors import ContractError
from telemetry.readings import Fact, Numbered, Sync
from telemetry.topics import UP_KINDS, EdgeAddress, parse_up


class Repair(StrEnum):
    """How a message was, or may be, made acceptable."""

    AS_IS = "as_is"
    UNDATED = "undated"
    READDRESS = "readdress"
    IMPORT = "import"
    SUPPLIED = "supplied"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the item's site is heard, and under which name imported facts come in."""

    shard: str
    import_edge: str = "import"


_FITTING: dict[str, tuple[Repair, ...]] = {
    "unknown_device": (Repair.AS_IS,),
    "wrong_site": (Repair.AS_IS,),
    "clock_ahead": (Repair.UNDATED,),
    "clock_behind": (Repair.UNDATED,),
    "before_service": (Repair.UNDATED, Repair.AS_IS),
    "address_mismatch": (Repair.READDRESS,),
    "kind_mismatch": (Repair.READDRESS,),
    "bad_epoch": (Repair.IMPORT,),
    "number_conflict": (Repair.IMPORT,),
    "store_rejected": (Repair.IMPORT,),
    "decoder_fault": (Repair.AS_IS,),
    "unknown_version": (Repair.AS_IS,),
    "unknown_encoding": (Repair.AS_IS,),
    "unknown_kind": (Repair.AS_IS,),
}


def repairs_for(reason: str) -> tuple[Repair, ...]:
    """What may be done about a message refused for this reason, the usual one first; nothing for a wrong signature."""
    if reason in NEVER_REPLAYED:
        return ()
    return (*_FITTING.get(reason, ()), Repair.SUPPLIED)


def repaired(item: QuarantineItem, repair: Repair, place: Place, supplied: bytes = b"") -> tuple[str, bytes]:
    """(topic, payload) to be checked in place of the original. Raises ContractError where this repair cannot help."""
    if repair not in repairs_for(item.reason):
        raise ContractError("no_repair", f"{repair} is no repair of {item.reason}")
    if repair is Repair.AS_IS:
        return item.topic, item.payload
    if repair is Repair.SUPPLIED:
        return _topic(item, place, decode_upload(supplied).kind), supplied
    upload = replace(decode_upload(item.payload), mac=None, lazy=False)
    if repair is Repair.UNDATED:
        facts = tuple(Numbered(n.seq, _undated(n.fact)) for n in upload.facts)
        return _topic(item, place, upload.kind), encode_upload(replace(upload, facts=facts))
    if repair is Repair.READDRESS:
        address, _ = parse_up(item.topic)
        return address.up(upload.kind), encode_upload(replace(upload, edge=address.edge))
    return _imported(item, place, upload)


def _undated(fact: Fact) -> Fact:
    """Without the time, and without the claim to know it: such an event anchors nothing either."""
    stamp = replace(fact.stamp, sync=Sync.UNSYNCED, max_error_ms=None)
    return replace(fact, sampled_at_ms=None, stamp=stamp)


def _imported(item: QuarantineItem, place: Place, upload: Upload) -> tuple[str, bytes]:
    facts = tuple(Numbered(number, n.fact) for number, n in enumerate(upload.facts, 1))
    if not facts:
        raise ContractError("no_repair", "there are no facts in it")
    address = EdgeAddress(place.shard, item.site, place.import_edge)
    body = replace(upload, edge=place.import_edge, epoch=f"q-{item.id}"[:64], facts=facts)
    return address.up(upload.kind), encode_upload(body)


def _topic(item: QuarantineItem, place: Place, kind: str) -> str:
    """The item's own topic; where it is none (a journal's or the store's), that of its edge."""
    try:
        parse_up(item.topic)
    except ContractError:
        if kind not in UP_KINDS:
            raise
        return EdgeAddress(place.shard, item.site, item.edge).up(kind)
    return item.topic
