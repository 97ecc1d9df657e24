"""The JSON shapes of the API: what comes in (bounded, strict) and what goes out. Times are ms since the epoch, UTC.

Decimals go out as JSON numbers of at most three places, as on the wire (``telemetry.contract``).
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, StringConstraints


def _plain(value: Decimal) -> float | int:
    return int(value) if value == value.to_integral_value() else float(value)


Number = Annotated[Decimal, PlainSerializer(_plain, return_type=float | int, when_used="json")]
Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}$")]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=500)]
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]
BagCode = Annotated[str, StringConstraints(pattern=r"^[0-9]{12}$")]
Kilograms = Annotated[Decimal, Field(gt=0, le=100_000, max_digits=9, decimal_places=3)]
TimeMs = Annotated[int, Field(ge=0, lt=1 << 43)]
SmileId = Annotated[int, Field(ge=0, lt=1 << 53)]


class Out(BaseModel):
    """An answer: read from the records' values by name."""

    model_config = ConfigDict(from_attributes=True)


class In(BaseModel):
    """A command: unknown fields are refused, so that a misspelt one is never lost silently."""

    model_config = ConfigDict(extra="forbid")


# --- answers --------------------------------------------------------------------------------------------------


class SiteOut(Out):
    id: str
    name: str
    region: str
    zone: str
    shard: str
    level: str
    smile_entity_id: int | None = None


class DeviceOut(Out):
    serial: str
    site: str
    edge: str
    driver: str
    equipment: str | None = None
    interval_s: int | None = None
    smile_serial: str | None = None
    e_kg: Number | None = None
    max_kg: Number | None = None
    smile_scale_asset_id: int | None = None
    calibrated_until_ms: int | None = None
    calibration_error_c: Number | None = None
    tera_on: date | None = None
    tera_valid_days: int
    since_ms: int | None = None
    in_service_ms: int | None = None


class ReadingOut(Out):
    """``value``: as the device said it. ``counted``: what the rules judge of it, by what people said of its sensor."""

    stream_id: str
    t_ms: int
    value: Number | None
    counted: Number | None
    quality: str
    origin: str
    device_seq: int | None
    variant: int
    edge: str
    epoch: str
    seq: int
    sync: str
    max_error_ms: int | None
    received_at_ms: int


class ReadingsOut(Out):
    """``next`` is given as ``after`` to go on; None after the last page."""

    rows: list[ReadingOut]
    next: str | None


class EquipmentOut(Out):
    """``state``: alarm, over, answered, in, out, unknown, silent, no_device; ``range_state``: in, out, unknown.

    ``conflict``: of its last instant a device told different values; ``latest`` is the worse one.
    """

    id: str
    site: str
    name: str
    kind: str
    profile: str
    smile_asset_id: int | None
    state: str
    range_state: str
    low_c: Number | None
    high_c: Number | None
    latest: ReadingOut | None
    age_ms: int | None
    streams: list[str]
    devices: list[str]
    open_alarms: list[str]
    conflict: bool


class BeyondOut(Out):
    """Time beyond one limit: ``comparator`` is >, >=, < or <=; ``codes`` are the rules on that limit."""

    comparator: str
    limit_c: Number
    codes: list[str]
    beyond_ms: int


class CounterOut(Out):
    """Time added up over ``from_ms``..``to_ms``. ``span``: today (since the site's midnight) or 24h."""

    span: Literal["today", "24h"]
    from_ms: int
    to_ms: int
    beyond: list[BeyondOut]
    known_ms: int
    unknown_ms: int


class ForecastOut(Out):
    """A forecast, not a reading and not a finding: minutes from ``made_ms`` until ``limit_c`` is passed if nothing changes.

    ``basis``: curve (the warming), holdover (the power cuts before) or hold (what the appliance says).
    """

    code: str
    limit_c: Number
    low_min: int
    likely_min: int
    high_min: int
    basis: str
    made_ms: int
    value_c: Number


class ForecastSilenceOut(Out):
    """Why nothing is forecast: ``why`` is a word of ``alerts.forecast.Silence``; ``since_ms`` null: with the last reading."""

    why: str
    since_ms: int | None


class EquipmentNowOut(EquipmentOut):
    """One equipment with its cumulative counters, and what lies ahead of it (null: nothing is forecast).

    ``forecast_silence``: why nothing is forecast; null where something is, or nobody looked.
    """

    counters: list[CounterOut]
    forecast: ForecastOut | None = None
    forecast_silence: ForecastSilenceOut | None = None


class LimitOut(Out):
    """One limit of a profile; ``limit_c`` is in the unit of its ``quantity``."""

    code: str
    comparator: str
    limit_c: Number
    alarm_after_s: int
    mode: str
    level: str
    quantity: str
    source: str


class SaidOut(Out):
    """Who said so, when, and why: a row of the audit."""

    id: int
    at_ms: int
    actor: str
    role: str
    reason: str


class ProfileVersionOut(Out):
    """A version of a profile, or (in ``assignments``) the id of the profile that watched from then on. ``changed``: codes."""

    version: str
    from_ms: int
    said: SaidOut | None
    changed: list[str]


class LimitsOut(Out):
    """The limits of an equipment now, and how they came to be, newest first."""

    profile: str
    version: str
    since_ms: int
    limits: list[LimitOut]
    versions: list[ProfileVersionOut]
    assignments: list[ProfileVersionOut]


class WhatIfOut(Out):
    """Alarms as they were and as they would have been. ``moved``: (event as it is, as it would be)."""

    as_is: int
    then: int
    gone: list[str]
    new: list[str]
    moved: list[tuple[int, int]]


class FindingOut(Out):
    id: str
    rule: str
    code: str
    kind: str
    site: str
    equipment: str | None
    batch: str | None
    device: str | None
    episode_start_ms: int
    event_ms: int
    detected_ms: int
    end_ms: int | None
    extreme_c: Number | None
    profile: str
    profile_version: str
    supersedes: str | None
    superseded_by: str | None
    alarms: bool
    evidence: dict[str, Any]


class AlarmOut(Out):
    id: str
    finding: FindingOut
    state: str
    opened_ms: int
    acknowledged_by: str | None
    acknowledged_ms: int | None
    comment: str | None
    resolved_ms: int | None
    closed_ms: int | None


class FindingStateOut(Out):
    """One state a finding went through; ``at_ms``: when the records learnt it."""

    number: int
    at_ms: int
    state: FindingOut


class AlarmWithFateOut(Out):
    """``fate``: stands, moved, merged, split or withdrawn; ``by``: the findings in its place.

    ``detect_ms`` from the event to its detection, ``answer_ms`` and ``resolve_ms`` from the alarm on (cold-chain.md 35).
    """

    alarm: AlarmOut
    fate: str
    by: list[FindingOut]
    found_late: bool
    detect_ms: int
    answer_ms: int | None
    resolve_ms: int | None
    history: list[FindingStateOut]


class VerdictOut(Out):
    """``despite``: what still went on at the release; null: nothing (or from before this was kept)."""

    id: str
    batch: str
    verdict: str
    reasons: list[Any]
    findings: list[str]
    judged_ms: int
    state: str
    decided_by: str | None
    decision: str | None
    decided_ms: int | None
    reason: str | None
    despite: list[Any] | None = None


class VerdictWithDocumentOut(Out):
    """``document``: what the verdict rests on, with its hash; null for one made before documents were kept."""

    verdict: VerdictOut
    document: dict[str, Any] | None


class PlacementOut(Out):
    id: str
    batch: str
    equipment: str
    from_ms: int
    to_ms: int | None
    said_by: str


class VvmOut(Out):
    id: str
    batch: str
    stage: str
    at_ms: int
    by: str


class BatchOut(Out):
    """``answer``: what holds now: released, discarded, or a verdict's word, never better than ``vvm_worst``; null: not judged.

    ``judged_anew``: that reading is newer than the verdict, which is judged anew. ``vvm``: the last one (single batch only).
    """

    id: str
    site: str
    product_kfa: str
    product_name: str
    batch_number: str
    expires_on: date
    doses: int
    verdict: VerdictOut | None = None
    placements: list[PlacementOut] = []
    vvm: VvmOut | None = None
    vvm_worst: VvmOut | None = None
    answer: str | None = None
    judged_anew: bool = False


class TurnOut(Out):
    """A batch in the order of use of its product. ``why``: vvm_b, use_first, first_expiry; without a ``turn`` waits,
    not_judged, nowhere (no place recorded now), vvm_end, expired, discarded. ``vvm_stage``: the worst ever read.
    """

    product_kfa: str
    batch: str
    turn: int | None
    why: str
    expires_on: date
    vvm_stage: str | None
    stands: list[str]


class GtinOut(Out):
    """Packs with this GTIN are this product; ``site`` null: at all sites."""

    gtin: str
    site: str | None
    product_kfa: str
    product_name: str


class GtinSaidOut(Out):
    """``source``: site, all (people said so) or table (the products file)."""

    source: str
    product_kfa: str
    product_name: str


class ProductOut(Out):
    """What the products table says of the vaccine; the range is that of the site's level."""

    kfa: list[str]
    name: str
    vvm_type: str | None
    freeze_class: str
    shake_test_valid: bool
    low_c: Number | None
    high_c: Number | None


class GivenOut(Out):
    """A batch that the pack may be. ``expiry``: same, differs, not_in_code. ``may_give``: nothing known here speaks against it.

    ``why``: a word of ``use-first``, or expiry_differs, or not_first (batch ``first`` comes before it).
    ``written_otherwise``: the records write its number with other capitals than the pack.
    """

    batch: str
    expires_on: date
    expiry: str
    written_otherwise: bool
    may_give: bool
    why: str
    turn: int | None
    first: str | None


class ScanOut(Out):
    """``word``: found, expiry_differs, not_here, unknown_gtin, disputed_gtin, no_gtin, no_batch.

    ``namesakes``: batches with this number whose product is not known or another; ``near``: batches whose number the scanned
    one begins with, as where a scanner sends no separator.
    """

    gtin: str | None
    batch_number: str | None
    expires_on: date | None
    serial: str | None
    word: str
    links: list[GtinSaidOut]
    product: ProductOut | None
    batches: list[GivenOut]
    namesakes: list[str]
    near: list[str]


class BagOut(Out):
    code: str
    site: str
    classification: str
    waste_code: str
    color: str
    source_id: int
    classification_id: int
    bast_no: str | None
    material_ids: list[int]


class MissingOut(Out):
    """What keeps a destruction open: a word of ``gateway.records.destruction.Open``, what it is about, vials."""

    why: str
    subject: str
    count: int


class DestructionBagOut(Out):
    bag: str
    vials: dict[str, int]
    net_kg: Number | None
    destroyed_ms: int | None
    destroyed_by: str


class DestructionOut(Out):
    """``lines``: batch -> vials. ``missing``: all that keeps it open; it is closed where ``closed_ms`` is set."""

    id: str
    site: str
    bast_no: str
    third_party: str
    opened_by: str
    opened_ms: int
    lines: dict[str, int]
    bags: list[DestructionBagOut]
    damaged_by: str
    damaged_ms: int | None
    report_no: str
    report_signed_by: str
    report_entered_by: str
    report_ms: int | None
    closed_by: str
    closed_ms: int | None
    missing: list[MissingOut]


class WeighingOut(Out):
    id: str
    site: str
    device: str
    gross_kg: Number
    tare_kg: Number
    net_kg: Number
    t_ms: int | None
    raw_frame: str
    flags: list[str]
    tare_mode: str
    e_kg: Number | None
    bag: str | None
    tied_by: str | None
    tied_ms: int | None
    smile_state: str


class QuarantineOut(Out):
    """Without the payload's bytes: ``bytes`` says how many there are."""

    id: str
    site: str
    edge: str
    epoch: str
    topic: str
    reason: str
    detail: str
    received_ms: int
    state: str
    serials: list[str]
    bytes: int


class QuarantineItemOut(QuarantineOut):
    """One message in full: ``payload`` as it came (base64), the correction beside it, and what may be done."""

    payload: str
    repairs: list[str]
    repair: str
    corrected: str | None
    asked_by: str
    asked_ms: int | None


class AttachmentOut(Out):
    kind: str
    subject: str
    target: str
    digest: str
    state: str
    reply: str
    at_ms: int


class AttachmentsOut(Out):
    """``cannot_hold``: what SMILE has no field for, so it is kept here only."""

    rows: list[AttachmentOut]
    cannot_hold: list[str]
    verdicts_without_field: list[str]


class AbsentOut(Out):
    """Numbers that are not here: ``asked_for``, ``silent``, ``epoch_ended``, ``lost`` (``detail``: why) or ``quarantine``."""

    cause: str
    count: int
    detail: str


class LedgerStreamOut(Out):
    """Counts of readings of one stream; ``produced`` as the edge said at its last hello, 0 where it did not."""

    stream: str
    produced: int
    received: int
    thinned: int
    not_here: int
    late: int
    worst_late_ms: int


class LedgerOut(Out):
    """Counts of numbered facts of one edge and epoch; ``missing_ranges`` are inclusive. ``late``: more than 15 minutes.

    ``clock_off_ms``: how far the edge's clock is ahead (+) or behind (-), 0 where nothing speaks against it.
    """

    edge: str
    epoch: str
    current: bool
    produced: int
    received: int
    quarantined: int
    thinned: int
    duplicated: int
    missing: int
    missing_ranges: list[list[int]]
    absent: list[AbsentOut]
    conflicts: int
    late: int
    worst_late_ms: int
    wire_bytes: int
    clock_off_ms: int
    identities: list[str]
    streams: list[LedgerStreamOut]
    last_seen_ms: int


class AuditOut(Out):
    id: int
    site: str
    number: int
    at_ms: int
    actor: str
    role: str
    action: str
    subject: str
    old: str | None
    new: str | None
    reason: str
    prev_hash: str
    hash: str


class ChainBreakOut(Out):
    audit_id: int | None
    number: int | None
    subject: str
    why: str


class ChainOut(Out):
    site: str
    ok: bool
    rows: int
    head: str
    breaks: list[ChainBreakOut]


class ChangedOut(Out):
    """What a command did: created, changed or unchanged. ``waiting``: quarantined messages of a device's serial."""

    id: str
    change: str
    waiting: list[str] = []


class MeOut(Out):
    """Who asks, and what the level allows."""

    name: str
    role: str
    site: str | None
    region: str | None
    rights: list[str]


class HealthOut(Out):
    status: str
    checks: dict[str, str]


# --- commands -------------------------------------------------------------------------------------------------


class AcknowledgeIn(In):
    comment: Reason


class LimitChangeIn(In):
    """``from_ms`` (default now): from when on; never back, and at most a year ahead.

    ``supersede``: also instead of versions that were announced for that time or later and have not begun.
    """

    code: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{0,31}$")]
    limit_c: Annotated[Decimal, Field(ge=-120, le=80, decimal_places=3)]
    alarm_after_s: Annotated[int, Field(ge=0, le=2_678_400)]
    from_ms: TimeMs | None = None
    supersede: bool = False
    reason: Reason


class CorrectionIn(In):
    """``offset_c`` is added to what the sensor of ``stream`` says from ``from_ms`` on, past times too; zero ends a correction."""

    stream: Annotated[str, StringConstraints(min_length=3, max_length=128)]
    from_ms: TimeMs
    offset_c: Annotated[Decimal, Field(ge=-5, le=5, decimal_places=3)]
    certificate: Line
    reason: Reason


class CorrectionOut(Out):
    """A correction as it was said. Of two of a stream for one date the later ``number`` holds."""

    stream: str
    number: int
    from_ms: int
    offset_c: Number
    certificate: str
    said: SaidOut | None


class MarkIn(In):
    """What ``stream`` said in [from_ms, to_ms) is not to be counted; a day at most."""

    stream: Annotated[str, StringConstraints(min_length=3, max_length=128)]
    from_ms: TimeMs
    to_ms: TimeMs
    reason: Reason


class MarkBackIn(In):
    stream: Annotated[str, StringConstraints(min_length=3, max_length=128)]
    number: Annotated[int, Field(ge=1, lt=1 << 31)]
    reason: Reason


class MarkOut(Out):
    """A mark, with all that was said of it: first who made it, then who took it back."""

    stream: str
    number: int
    from_ms: int
    to_ms: int
    taken_back: bool
    said: list[SaidOut]


class DecisionIn(In):
    """``knowing``: the person knows that the batch's excursion goes on, or that its place is in alarm (asked of a release)."""

    decision: Literal["released", "discarded"]
    reason: Reason
    knowing: bool = False


class PlacementIn(In):
    """``from_ms`` defaults to now; ``to_ms`` closes it at once (a placement told afterwards)."""

    equipment: Id
    from_ms: TimeMs | None = None
    to_ms: TimeMs | None = None
    reason: Reason


class TakenOutIn(In):
    """``to_ms`` (default now): when the batch left its equipment."""

    to_ms: TimeMs | None = None
    reason: Reason


class VvmIn(In):
    stage: Literal["A", "B", "C", "D"]
    reason: Reason


class BagIn(In):
    code: BagCode
    site: Id
    classification: Line
    waste_code: Line
    color: Line
    source_id: SmileId
    classification_id: SmileId
    bast_no: Line | None = None
    material_ids: list[SmileId] = Field(default_factory=list, max_length=20)
    reason: Reason


class TieIn(In):
    bag: BagCode
    reason: Reason


class SiteIn(In):
    id: Id
    name: Line
    region: Id
    zone: Line
    shard: Id
    level: Literal["puskesmas", "kabupaten", "provinsi", "hospital"]
    smile_entity_id: SmileId | None = None
    reason: Reason


class EquipmentIn(In):
    id: Id
    site: Id
    name: Line
    kind: Literal["refrigerator", "freezer", "cold_room", "cold_box", "waste_store"]
    profile: Id
    smile_asset_id: SmileId | None = None
    since_ms: TimeMs | None = None
    reason: Reason


class DeviceIn(In):
    serial: Id
    site: Id
    edge: Id
    driver: Line
    equipment: Id | None = None
    interval_s: Annotated[int, Field(ge=1, le=86_400)] | None = None
    smile_serial: Id | None = None
    e_kg: Kilograms | None = None
    max_kg: Kilograms | None = None
    smile_scale_asset_id: SmileId | None = None
    calibrated_until_ms: TimeMs | None = None
    calibration_error_c: Annotated[Decimal, Field(ge=0, le=20, decimal_places=3)] | None = None
    tera_on: date | None = None
    tera_valid_days: Annotated[int, Field(ge=1, le=3660)] = 365
    since_ms: TimeMs | None = None
    in_service_ms: TimeMs | None = None
    reason: Reason


class SmileStockIn(In):
    program_id: SmileId
    entity_id: SmileId
    activity_id: SmileId
    entity_activity_id: SmileId
    material_id: SmileId
    stock_id: SmileId
    doses_per_vial: Annotated[int, Field(ge=1, le=1000)] = 1
    temperature_sensitive: bool = True


class BatchIn(In):
    id: Id
    site: Id
    product_kfa: Annotated[str, StringConstraints(pattern=r"^9[1-4][0-9]{6}$")]
    product_name: Line
    batch_number: Line
    expires_on: date
    doses: Annotated[int, Field(ge=0, le=100_000_000)]
    smile: SmileStockIn | None = None
    reason: Reason


class DestructionIn(In):
    """``third_party`` "": the facility destroys by itself."""

    bast_no: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]
    third_party: Annotated[str, StringConstraints(strip_whitespace=True, max_length=120)] = ""
    reason: Reason


class VialsIn(In):
    batch: Id
    vials: Annotated[int, Field(ge=0, le=1_000_000)]
    reason: Reason


class BaggedIn(VialsIn):
    bag: BagCode


class DamagedIn(In):
    """``damaged_ms`` (default now): when vials or labels were made unusable."""

    damaged_ms: TimeMs | None = None
    reason: Reason


class DestroyedIn(In):
    """``destroyed_ms`` (default now): when the bag was destroyed."""

    bag: BagCode
    destroyed_ms: TimeMs | None = None
    reason: Reason


class ReportIn(In):
    """The third party's own report: its number, and who signed it there."""

    report_no: Line
    signed_by: Line
    reason: Reason


class WhyIn(In):
    reason: Reason


class GtinIn(In):
    """``site`` null: at all sites."""

    gtin: Annotated[str, StringConstraints(pattern=r"^[0-9]{14}$")]
    site: Id | None
    product_kfa: Annotated[str, StringConstraints(pattern=r"^9[1-4][0-9]{6}$")]
    product_name: Line
    reason: Reason


class UserOut(Out):
    """An account without its secrets."""

    name: str
    role: str
    site: str | None
    region: str | None
    language: str
    active: bool


class UserIn(In):
    """``password`` is needed for a new account and keeps the old one otherwise; ``contacts`` are Apprise addresses."""

    name: Id
    role: Literal["operator", "manager", "admin", "super_admin"]
    site: Id | None = None
    region: Id | None = None
    language: Literal["id", "en"] = "id"
    password: Annotated[str, StringConstraints(min_length=8, max_length=200)] | None = None
    contacts: list[Annotated[str, StringConstraints(max_length=500)]] | None = Field(default=None, max_length=5)
    active: bool = True
    reason: Reason


class RoleIn(In):
    role: Literal["operator", "manager", "admin", "super_admin"]
    reason: Reason


class TokenIn(In):
    """A machine's token for an account; ``days`` bounds its life."""

    label: Line
    days: Annotated[int, Field(ge=1, le=366)]


class TokenOut(Out):
    """The token is shown this once; only its digest is kept."""

    token: str
    expires_ms: int


class EdgeOut(Out):
    """An edge without its secrets. ``code_expires_ms``: a code is open until then."""

    site: str
    edge: str
    shard: str
    state: str
    account: str
    machine: str
    said_by: str
    since_ms: int
    enrolled_ms: int | None = None
    code_expires_ms: int | None = None


class InviteIn(In):
    edge: Id
    reason: Reason


class InviteOut(Out):
    """A one-time code, shown this once. ``line`` holds server, code and pin in one text, for a QR code."""

    edge: str
    code: str
    server: str
    pin: str
    line: str
    expires_ms: int


class RevokeIn(In):
    reason: Reason


class EnrolIn(In):
    code: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    machine: Id


class BrokerOut(Out):
    host: str
    port: int
    tls: bool
    ca: str
    username: str
    password: str


class EnrolOut(Out):
    """What an enrolled edge needs; told to it alone, once."""

    shard: str
    site: str
    edge: str
    upload_key: str
    mqtt: BrokerOut


class ServerCaOut(Out):
    ca: str


class CorrectIn(In):
    """``payload``: the whole message as JSON text, for ``supplied`` only."""

    repair: Literal["as_is", "undated", "readdress", "import", "supplied"]
    payload: Annotated[str, StringConstraints(max_length=48_000)] = ""
    reason: Reason


class ReplayIn(In):
    reason: Reason
