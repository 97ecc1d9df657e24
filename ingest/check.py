"""Decide over one message: what of it is journaled, what is quarantined and why. Pure.

    topic, bytes ─▶ parse_up ─▶ standing, MAC ─▶ decode_upload ─▶ address, kind, epoch ─▶ each fact: device, clock ─▶ Checked
                       └──────────────┴────────────────┴─ whole message to quarantine      └─ these facts to quarantine

Readings are checked as columns: a device once a stream, clocks by the extremes of a column. Only where something is
at fault a message is taken apart into single facts.

A whole-message fault keeps the bytes as they came; if it names its edge and epoch it is answered by a receipt too.
What comes without a MAC that should have one, or with a wrong one, may be anybody's: what it says of itself is not
believed, it marks nothing in the ledger.
Facts at fault become an upload of their own, re-encoded (its ``mac`` is dropped: it covered the original bytes); the
rest is journaled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from ingest.epochs import Span, span_of
from ingest.quarantine import Fault, Reason, plain
from ingest.quick_json import decode_readings
from telemetry.columns import ReadingsUpload, StreamColumns, facts_of
from telemetry.contract import Upload, claim, decode_upload, encode_upload, verify
from telemetry.errors import ContractError
from telemetry.readings import Event, Fact, Numbered, Origin, Ranges, Reading, Sync
from telemetry.topics import EdgeAddress, parse_up

# facts/cold-chain.md 10: later than the receive time + 5 min is a bad clock, not a reading.
CLOCK_AHEAD_MS = 5 * 60 * 1000
# 2020-01-01: no edge of this house ran before. A clock that claims to be synchronised and says less is broken (a
# battery that died, a counter that wrapped); one that does not claim it gave no date at all (decision 0016).
FIRST_MS = 1_577_836_800_000
# An epoch is a random id; it becomes a database key and part of names, so it keeps to the letters of a topic.
_EPOCH = re.compile(r"[A-Za-z0-9_.\-]{1,64}")

# Refusals for what one fact holds. The others speak of the envelope: a younger server may well read the same bytes.
_FAULTS_OF_DATA = frozenset(
    ("bad_field", "bad_time", "bad_stream", "bad_columns", "bad_value", "out_of_bounds", "bad_weight")
) | {Reason.DECODER_FAULT.value}

# Refusals of who speaks, not of what is said.
_NOT_BELIEVED = frozenset(("no_mac", "bad_mac", Reason.EDGE_REVOKED.value, Reason.UNKNOWN_EDGE.value))

READINGS = "readings"

Registry = Callable[[str], str | None]
"""The site at which a device serial is registered, or None. May raise NeighbourDownError."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the records say of an edge: its keys (two while one is being changed), and whether it may still speak.

    ``required``: an edge without a key is not heard at all.
    """

    keys: tuple[bytes, ...] = ()
    revoked: bool = False
    required: bool = False


InService = Callable[[str], int | None]
"""Since when a device is in service (its EDOP or LDOP), or None where nobody said. May raise NeighbourDownError."""


def no_dates(_serial: str) -> int | None:
    """Nobody said of any device since when it is in service."""
    return None


Edges = Callable[[str, str], Standing]
"""(site, edge) -> its standing. May raise NeighbourDownError."""

_ANYBODY = Standing()


def no_keys(_site: str, _edge: str) -> Standing:
    """The standing of every edge where nobody signs: the broker's accounts alone keep strangers out."""
    return _ANYBODY


@dataclass(frozen=True, slots=True)
class Arrived:
    """One message as the broker gave it. ``fresh``: it surely did not wait at the broker for us."""

    topic: str
    payload: bytes
    received_at_ms: int
    fresh: bool = False


@dataclass(slots=True)
class Checked:
    """The decision. ``upload`` and ``address`` are None when the whole message is at fault.

    ``payload`` is what to journal, None when nothing is left; ``accepted`` its numbers. ``spans`` says of each column
    of readings when it begins and ends (``ingest.epochs.span_of``); None where the facts are single. Not frozen, as
    what is made for every message: that costs a third of the making.
    """

    address: EdgeAddress | None = None
    upload: Upload | ReadingsUpload | None = None
    kind: str = ""
    payload: bytes | None = None
    accepted: Ranges = field(default_factory=Ranges)
    faults: tuple[Fault, ...] = ()
    spans: list[Span] | None = None


def check(arrived: Arrived, registry: Registry, edges: Edges = no_keys, in_service: InService = no_dates) -> Checked:
    """Decide over one message. Never raises for what the message holds."""
    try:
        address, kind = _address_of(arrived.topic)
    except ContractError as error:
        return _refused(arrived, error.reason, error.detail)
    # What registry and edges raise is their own trouble and not the message's: it goes through, unlike all else.
    standing = edges(address.site, address.edge)
    try:
        _authenticate(arrived.payload, standing)
        upload = _read(arrived.payload, address, kind)
        serials = _serials(upload)
    except Exception as error:  # noqa: BLE001  (a fault of our own code must not stop the line; it is counted)
        return _failed(arrived, error, address)
    homes = {serial: registry(serial) for serial in serials}
    since = {serial: since_ms for serial in serials if (since_ms := in_service(serial)) is not None}
    try:
        return _check(arrived, address, kind, upload, homes, since)
    except Exception as error:  # noqa: BLE001  (as above)
        return _failed(arrived, error, address)


# The same few topics come for ever.
_address_of = lru_cache(maxsize=8_192)(parse_up)


def _failed(arrived: Arrived, error: Exception, address: EdgeAddress) -> Checked:
    """The refusal of the whole message for what was raised."""
    if isinstance(error, ContractError):
        return _refused(arrived, error.reason, error.detail, address)
    return _refused(arrived, Reason.DECODER_FAULT, repr(error), address)


def _authenticate(payload: bytes, standing: Standing) -> None:
    """Raises ContractError unless the edge may speak and its MAC fits."""
    if standing.revoked:
        raise ContractError(Reason.EDGE_REVOKED, "this edge's key was taken back")
    if standing.keys:
        verify(payload, standing.keys)
    elif standing.required:
        raise ContractError(Reason.UNKNOWN_EDGE, "this edge was never enrolled")


def _read(payload: bytes, address: EdgeAddress, kind: str) -> Upload | ReadingsUpload:
    """The upload, if it is of the edge and the kind that the topic says; raises ContractError."""
    if kind == READINGS:
        upload: Upload | ReadingsUpload = decode_readings(payload)
    else:
        upload = decode_upload(payload)
    if upload.edge != address.edge:
        raise ContractError(Reason.ADDRESS_MISMATCH, f"upload says edge {upload.edge!r}")
    if isinstance(upload, Upload) and upload.kind != kind:
        raise ContractError(Reason.KIND_MISMATCH, f"upload says {upload.kind}, topic {kind}")
    if not _is_epoch(upload.epoch):
        raise ContractError(Reason.BAD_EPOCH, repr(upload.epoch))
    return upload


@lru_cache(maxsize=8_192)
def _is_epoch(text: str) -> bool:
    return _EPOCH.fullmatch(text) is not None


def _serials(upload: Upload | ReadingsUpload) -> set[str]:
    """The devices that an upload speaks of."""
    if isinstance(upload, ReadingsUpload):
        return {s.stream_id.partition("/")[0] for s in upload.streams}
    return {device_of(n.fact)[0] for n in upload.facts}


def _check(
    arrived: Arrived,
    address: EdgeAddress,
    kind: str,
    upload: Upload | ReadingsUpload,
    homes: Mapping[str, str | None],
    since: Mapping[str, int],
) -> Checked:
    if isinstance(upload, ReadingsUpload):
        if all(home == address.site for home in homes.values()):
            spans = _spans_if_good(upload.streams, arrived.received_at_ms, since)
            if spans is not None:
                return Checked(address, upload, kind, arrived.payload, upload.ranges, (), spans)
        upload = as_facts(upload)
    return _check_facts(arrived, address, upload, homes, since)


def as_facts(upload: ReadingsUpload) -> Upload:
    """The same upload with single facts."""
    facts = sorted(facts_of(upload.streams), key=lambda n: n.seq)
    return Upload(
        READINGS, upload.edge, upload.epoch, upload.sent_at_ms, tuple(facts), mac=upload.mac, lazy=upload.lazy
    )


def _spans_if_good(
    streams: Sequence[StreamColumns], received_at_ms: int, since: Mapping[str, int]
) -> list[Span] | None:
    """The span of each column, if every reading is good by ``_verdict`` (of devices that are at home here); None where
    only a look at each can tell."""
    synced, live = Sync.SYNCED, Origin.LIVE
    ahead_ms = received_at_ms + CLOCK_AHEAD_MS
    spans: list[Span] = []
    for s in streams:
        span = oldest_ms, newest_ms, undated = span_of(s.t_ms)
        spans.append(span)
        if since and undated < len(s.seq) and oldest_ms < since.get(s.stream_id.partition("/")[0], oldest_ms):
            return None
        if s.sync is not synced or not s.seq:
            continue
        if newest_ms > ahead_ms or (oldest_ms < FIRST_MS and s.origin is live and undated < len(s.seq)):
            return None
        if (oldest_ms if s.wall_ms == s.t_ms else min(s.wall_ms)) < FIRST_MS:
            return None
    return spans


def _refused(arrived: Arrived, reason: str, detail: str, address: EdgeAddress | None = None) -> Checked:
    site, edge = (address.site, address.edge) if address else ("", "")
    epoch, number = ("", 0) if reason in _NOT_BELIEVED else _claim(arrived.payload, edge)
    fault = Fault(
        str(reason),
        plain(detail),
        plain(arrived.topic),
        arrived.payload,
        arrived.received_at_ms,
        site,
        edge,
        epoch,
        seqs=Ranges([(number, number)]) if number and reason in _FAULTS_OF_DATA else Ranges(),
    )
    return Checked(address=address, faults=(fault,))


def _claim(payload: bytes, edge: str) -> tuple[str, int]:
    """(epoch, number) that a refused message names for itself: "" and 0 where it names none credibly.

    An edge whose window is never named by receipts halves it down to one fact. That last message is known by its one
    number: it waits here with its reason, its receipt says "quarantined", and it is not sent for ever.
    """
    said = claim(payload)
    if said is None or said.edge != edge or not _is_epoch(said.epoch):
        return "", 0
    numbers = said.ranges
    return said.epoch, numbers.spans[0][0] if len(numbers) == 1 else 0


def _check_facts(
    arrived: Arrived,
    address: EdgeAddress,
    upload: Upload,
    homes: Mapping[str, str | None],
    since: Mapping[str, int],
) -> Checked:
    good: list[Numbered] = []
    bad: dict[tuple[str, str], list[Numbered]] = {}
    for numbered in upload.facts:
        reason, serial = _verdict(numbered.fact, address, arrived.received_at_ms, homes, since)
        if reason is None:
            good.append(numbered)
        else:
            bad.setdefault((reason, serial), []).append(numbered)
    if not bad:
        return Checked(address, upload, upload.kind, arrived.payload, upload.ranges)
    faults = tuple(
        _fault_of(arrived, address, upload, reason, serial, facts) for (reason, serial), facts in bad.items()
    )
    rest = replace(upload, facts=tuple(good), mac=None)
    return Checked(address, rest, rest.kind, encoded(rest) if good else None, rest.ranges, faults)


def encoded(upload: Upload) -> bytes:
    """Our own words for part of an upload, proved to say the same."""
    payload = encode_upload(upload)
    if decode_upload(payload).facts != upload.facts:
        raise ContractError(Reason.DECODER_FAULT, "a part of this upload cannot be told in our own words")
    return payload


def _verdict(
    fact: Fact, address: EdgeAddress, received_at_ms: int, homes: Mapping[str, str | None], since: Mapping[str, int]
) -> tuple[Reason | None, str]:
    """(reason or None, serial of the device)."""
    serial, must_be_known = device_of(fact)
    home = homes[serial]
    if home is None and must_be_known:
        return Reason.UNKNOWN_DEVICE, serial
    if home is not None and home != address.site:
        return Reason.WRONG_SITE, serial
    at_ms = fact.sampled_at_ms
    # facts/cold-chain.md 10: whatever its clock claims, a device says nothing of the time before it was in service.
    if at_ms is not None and at_ms < since.get(serial, at_ms):
        return Reason.BEFORE_SERVICE, serial
    if fact.stamp.sync is not Sync.SYNCED:
        return None, serial
    if at_ms is not None and at_ms > received_at_ms + CLOCK_AHEAD_MS:
        return Reason.CLOCK_AHEAD, serial
    # A reading out of a device's memory or a file may be older than any edge.
    by_edge = not isinstance(fact, Reading) or fact.origin is Origin.LIVE
    if fact.stamp.wall_ms < FIRST_MS or (by_edge and at_ms is not None and at_ms < FIRST_MS):
        return Reason.CLOCK_BEHIND, serial
    return None, serial


def device_of(fact: Fact) -> tuple[str, bool]:
    """(serial, whether it must be registered).

    An event may be about the edge itself or a place (``clock_anchored``, ``power_lost``): only what names a
    stream or happened to a device must belong to a registered one.
    """
    if isinstance(fact, Reading):
        return fact.stream_id.partition("/")[0], True
    if isinstance(fact, Event):
        serial, stream, _ = fact.subject.partition("/")
        return plain(serial), bool(stream) or fact.kind.startswith("device_")
    return fact.device_serial, True


def _fault_of(
    arrived: Arrived, address: EdgeAddress, upload: Upload, reason: str, serial: str, facts: list[Numbered]
) -> Fault:
    # A sending time of its own would make the same facts, sent again, another item of the quarantine.
    own = replace(upload, facts=tuple(facts), mac=None, sent_at_ms=0, lazy=False)
    return Fault(
        str(reason),
        f"{len(facts)} {upload.kind} of {serial}",
        plain(arrived.topic),
        encoded(own),
        arrived.received_at_ms,
        address.site,
        address.edge,
        upload.epoch,
        serial,
        own.ranges,
    )
