"""The records as values: frozen, without a database behind them.

Times are integer ms since the Unix epoch, UTC (``*_ms``); measured values are ``Decimal``; dates of an expiry or a
tera are calendar days. Ids are texts that a person may read (letters, digits, ``-_.``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

HOUSE = "-"
"""The chain of what belongs to no single site (people of a region, the country's own accounts)."""


# --- who and what happened -----------------------------------------------------------------------------------


class Role(StrEnum):
    """The decree's four levels (HK.01.07/MENKES/1568/2024, Table 1; smile-and-waste.md 1.1), and our processes."""

    OPERATOR = "operator"
    MANAGER = "manager"
    ADMIN = "admin"
    SUPER_ADMIN = "super_admin"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes a record: a person by name, or one of our processes (``Actor.system``)."""

    name: str
    role: Role | str

    @classmethod
    def system(cls, name: str) -> Actor:
        return cls(name, Role.SYSTEM)

    @property
    def is_system(self) -> bool:
        return self.role == Role.SYSTEM


class Change(StrEnum):
    """What a write did."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One change. ``old``/``new`` are canonical JSON texts of the record (None: there was none).

    ``id`` numbers all chains together (the feed), ``number`` the site's own chain, gapless from 1.
    """

    id: int
    site: str
    number: int
    at_ms: int
    actor: str
    role: str
    action: str
    kind: str
    subject: str
    old: str | None
    new: str | None
    reason: str
    prev_hash: str
    hash: str

    @property
    def key(self) -> str:
        """The record's id: the subject without its kind."""
        return self.subject.partition(":")[2]

    @property
    def old_value(self) -> dict[str, Any]:
        return {} if self.old is None else dict(json.loads(self.old))

    @property
    def new_value(self) -> dict[str, Any]:
        return {} if self.new is None else dict(json.loads(self.new))


@dataclass(frozen=True, slots=True)
class ChainBreak:
    """Where a chain or a record does not agree with what was written. ``audit_id`` None: a record without a row."""

    audit_id: int | None
    number: int | None
    subject: str
    why: str


@dataclass(frozen=True, slots=True)
class ChainReport:
    """The answer of ``verify_chain``. ``head`` is the last hash: noted elsewhere, it proves the length too."""

    site: str
    rows: int
    head: str
    breaks: tuple[ChainBreak, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.breaks


# --- registry -------------------------------------------------------------------------------------------------


class SiteLevel(StrEnum):
    PUSKESMAS = "puskesmas"
    KABUPATEN = "kabupaten"
    PROVINSI = "provinsi"
    HOSPITAL = "hospital"


class EquipmentKind(StrEnum):
    REFRIGERATOR = "refrigerator"
    FREEZER = "freezer"
    COLD_ROOM = "cold_room"
    COLD_BOX = "cold_box"
    WASTE_STORE = "waste_store"


@dataclass(frozen=True, slots=True)
class Site:
    """A health facility or store. ``zone`` is an IANA name; ``region`` what managers are responsible for."""

    id: str
    name: str
    region: str
    zone: str
    shard: str
    level: SiteLevel | str
    smile_entity_id: int | None = None


@dataclass(frozen=True, slots=True)
class Equipment:
    """What is watched. ``profile`` is the id of a profile of ``alerts/profiles.toml``.

    ``since_ms``: since when it is of this kind and for this profile's range (None: since it was said; 0: it always was),
    for what a batch in it lived through. The limits of the equipment itself change when it is said (decision 0023).
    """

    id: str
    site: str
    name: str
    kind: EquipmentKind | str
    profile: str
    smile_asset_id: int | None = None
    since_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ProfileVersion:
    """What a profile's id means from ``from_ms`` on (``number`` 1, from 0: as its file had it when it was first used).

    ``body``: its table as in ``alerts/profiles.toml``, plain JSON values; ``alerts.profiles`` reads it. The past is judged
    by the limits that held then, so a version is never changed and none is dated back.
    """

    profile: str
    number: int
    version: str
    from_ms: int
    body: dict[str, Any]
    site: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """A logger, probe, monitor or scale, by its serial (unique in the whole house).

    ``smile_serial``: its name in SMILE, letters, digits and ``-_.`` (smile-core-api.md 3.5). ``e_kg``: R76's
    verification interval, ``max_kg`` the scale's capacity. ``tera_on``: day of the last legal verification, good for
    ``tera_valid_days`` (smile-and-waste.md 23). ``since_ms``: since when it stands in ``equipment`` (None: since it was
    said; 0: it always did). ``in_service_ms``: when it was made or put into service (DS01's EDOP, LDOP): nothing that it
    says is of an earlier time (cold-chain.md 10). None: nobody said.
    """

    serial: str
    site: str
    edge: str
    driver: str
    equipment: str | None = None
    interval_s: int | None = None
    smile_serial: str | None = None
    e_kg: Decimal | None = None
    max_kg: Decimal | None = None
    smile_scale_asset_id: int | None = None
    calibrated_until_ms: int | None = None
    calibration_error_c: Decimal | None = None
    tera_on: date | None = None
    tera_valid_days: int = 365
    since_ms: int | None = None
    in_service_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ProbeCorrection:
    """From ``from_ms`` on, ``offset_c`` is added to what a stream's sensor says (cold-chain.md 38), until a later one.

    Of two for one date the later ``number`` holds, so a mistake is put right by another row and none is changed.
    """

    stream: str
    number: int
    from_ms: int
    offset_c: Decimal
    certificate: str
    said_by: str
    said_ms: int
    site: str


@dataclass(frozen=True, slots=True)
class ReadingMark:
    """A person's word that what a stream said in [from, to) is not to be counted (cold-chain.md 12), until taken back."""

    stream: str
    number: int
    from_ms: int
    to_ms: int
    said_by: str
    said_ms: int
    site: str
    taken_back: bool = False


@dataclass(frozen=True, slots=True)
class Registered:
    """The answer to a device's registration: what changed, and the waiting quarantine items of its serial."""

    change: Change
    waiting: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SmileStockIds:
    """Where SMILE keeps a batch: ids of one program, as its stock list gives them (smile-core-api.md 5).

    ``doses_per_vial``: SMILE wants a quantity that is a multiple of it. ``temperature_sensitive``: whether a discard
    must carry a ``stock_quality_id``.
    """

    program_id: int
    entity_id: int
    activity_id: int
    entity_activity_id: int
    material_id: int
    stock_id: int
    doses_per_vial: int = 1
    temperature_sensitive: bool = True


@dataclass(frozen=True, slots=True)
class Batch:
    """Vaccine stock of one site: product (KFA code), batch number, expiry, doses.

    ``came_from``: the batch of another store of which this is a part; it left there at ``left_ms``. What that batch lived
    through until then is this one's past.
    """

    id: str
    site: str
    product_kfa: str
    product_name: str
    batch_number: str
    expires_on: date
    doses: int
    smile: SmileStockIds | None = None
    came_from: str | None = None
    left_ms: int | None = None


@dataclass(frozen=True, slots=True)
class GtinLink:
    """Packs with this GTIN are this product (cold-chain.md 40), said for one site, or for all where ``site`` is ""."""

    gtin: str
    product_kfa: str
    product_name: str
    site: str = ""


@dataclass(frozen=True, slots=True)
class Placement:
    """A batch stood in an equipment from ``from_ms`` to ``to_ms`` (None: it still stands there)."""

    id: str
    batch: str
    equipment: str
    from_ms: int
    to_ms: int | None
    said_by: str
    site: str


class VvmStage(StrEnum):
    A = "A"
    B = "B"
    C = "C"
    D = "D"


@dataclass(frozen=True, slots=True)
class VvmObservation:
    """What a person saw on the vials: it beats any model (cold-chain.md 22)."""

    id: str
    batch: str
    stage: VvmStage | str
    at_ms: int
    by: str
    site: str


@dataclass(frozen=True, slots=True)
class Registry:
    """All sites, equipment and devices at one ``version``; a new version means: read again."""

    version: int
    sites: Mapping[str, Site]
    equipment: Mapping[str, Equipment]
    devices: Mapping[str, Device]

    def device(self, serial: str) -> Device | None:
        return self.devices.get(serial)

    def site_of(self, serial: str) -> Site | None:
        device = self.devices.get(serial)
        return None if device is None else self.sites.get(device.site)

    def equipment_of(self, serial: str) -> Equipment | None:
        device = self.devices.get(serial)
        return None if device is None or device.equipment is None else self.equipment.get(device.equipment)

    def devices_of(self, equipment: str) -> tuple[Device, ...]:
        return tuple(d for d in self.devices.values() if d.equipment == equipment)


# --- edges ----------------------------------------------------------------------------------------------------


class EdgeState(StrEnum):
    """INVITED: a code is out and nobody has used it yet."""

    INVITED = "invited"
    ENROLLED = "enrolled"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Edge:
    """One Pi's place at a site: who may speak there, and by which secrets.

    ``account`` is its name at the broker, ``password_hash`` the hash that the broker compares with. ``upload_key`` signs
    its uploads; ``previous_key`` is good until ``previous_until_ms``, while a key is being changed. ``machine`` is a
    hash of the Pi's own number. ``said_by`` brought it into its ``state`` at ``since_ms``. A code is open where
    ``code_expires_ms`` is set. ``enrolled_ms`` None: never enrolled.
    """

    site: str
    edge: str
    shard: str
    state: EdgeState | str
    account: str
    said_by: str
    since_ms: int
    machine: str = ""
    enrolled_ms: int | None = None
    code_id: str = ""
    code_expires_ms: int | None = None
    upload_key: bytes | None = field(default=None, repr=False)
    previous_key: bytes | None = field(default=None, repr=False)
    previous_until_ms: int | None = None
    password_hash: str = field(default="", repr=False)

    def keys_at(self, now_ms: int) -> tuple[bytes, ...]:
        """The keys by which its uploads may be signed now."""
        old = self.previous_key if now_ms < (self.previous_until_ms or 0) else None
        return tuple(key for key in (self.upload_key, old) if key)


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an enrolled edge is given, once. ``again``: the same machine repeated its code, its answer was lost."""

    edge: Edge
    again: bool = False


# --- findings and alarms --------------------------------------------------------------------------------------


class FindingKind(StrEnum):
    CONFIRMED = "confirmed"
    POSSIBLE = "possible"
    WITHDRAWN = "withdrawn"


class AlarmState(StrEnum):
    """Open until a person answers; closed when it is answered and over (or its finding was withdrawn)."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule says of facts. ``event_ms`` is when the rule was met, ``detected_ms`` when we first knew.

    ``alarms``: a person must answer it. ``evidence`` is plain JSON (Decimals come back as texts, floats are refused).
    ``superseded_by`` is set by the records when a finding that is not withdrawn supersedes this one.
    """

    id: str
    rule: str
    code: str
    kind: FindingKind | str
    site: str
    equipment: str | None
    batch: str | None
    episode_start_ms: int
    event_ms: int
    detected_ms: int
    end_ms: int | None
    extreme_c: Decimal | None
    profile: str
    profile_version: str
    supersedes: str | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    alarms: bool = True
    device: str | None = None
    superseded_by: str | None = None


@dataclass(frozen=True, slots=True)
class FindingState:
    """One state a finding went through: ``at_ms`` is when the records learnt it."""

    finding: str
    number: int
    at_ms: int
    state: Finding


@dataclass(frozen=True, slots=True)
class SavedFindings:
    """Ids by what happened to them; ``opened``: alarms a person must be told of now."""

    created: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AlarmRow:
    """The answer side of a finding, as stored (``Alarm`` is what you read)."""

    finding: str
    site: str
    state: AlarmState | str
    opened_ms: int
    acknowledged_by: str | None = None
    acknowledged_ms: int | None = None
    comment: str | None = None
    resolved_ms: int | None = None
    closed_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Alarm:
    """A finding that alarms, with its state. ``answer_ms`` and ``resolve_ms`` are the KPIs of cold-chain.md 35."""

    finding: Finding
    state: AlarmState | str
    opened_ms: int
    acknowledged_by: str | None = None
    acknowledged_ms: int | None = None
    comment: str | None = None
    resolved_ms: int | None = None
    closed_ms: int | None = None

    @property
    def id(self) -> str:
        return self.finding.id

    @property
    def answer_ms(self) -> int | None:
        return None if self.acknowledged_ms is None else self.acknowledged_ms - self.opened_ms

    @property
    def resolve_ms(self) -> int | None:
        return None if self.resolved_ms is None else self.resolved_ms - self.opened_ms


# --- verdicts -------------------------------------------------------------------------------------------------


class VerdictKind(StrEnum):
    """design.md, strongest first: discard proposed > shake test > hold and inspect > use first > no action."""

    DISCARD_PROPOSED = "discard_proposed"
    SHAKE_TEST = "shake_test"
    HOLD_AND_INSPECT = "hold_and_inspect"
    USE_FIRST = "use_first"
    NO_ACTION = "no_action"


class VerdictState(StrEnum):
    """Withdrawn: a later judgement took the proposal's place. What a person decided is never withdrawn."""

    PROPOSED = "proposed"
    DECIDED = "decided"
    WITHDRAWN = "withdrawn"


class Decision(StrEnum):
    RELEASED = "released"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the findings mean for a batch, and what a person made of it.

    ``id`` and ``site`` are given by the records on saving (leave them ""). ``reasons`` are plain JSON values.
    ``document_hash`` seals the document of what it was judged from (``gateway.records.documents``; None: judged before
    documents were kept); ``journal_offset`` and ``audit_id`` say how far the journal and the audit were read then.
    ``despite``: what still went on at the release, whether or not the person knew of each (plain JSON values); None: nothing.
    """

    id: str
    batch: str
    verdict: VerdictKind | str
    reasons: tuple[Any, ...]
    findings: tuple[str, ...]
    judged_ms: int
    state: VerdictState | str = VerdictState.PROPOSED
    decided_by: str | None = None
    decision: Decision | str | None = None
    decided_ms: int | None = None
    reason: str | None = None
    site: str = ""
    number: int = 0
    document_hash: str | None = None
    journal_offset: int | None = None
    audit_id: int | None = None
    despite: tuple[Any, ...] | None = None


# --- waste ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bag:
    """A waste bag with its code (4-digit counter + DDMMYYYY); one code may exist once per site.

    ``classification`` is a row of ``waste_classes.toml``; ``source_id`` and ``classification_id`` are SMILE's ids.
    ``decay_until_ms``: radioactive waste stays in store until then.
    """

    code: str
    site: str
    classification: str
    waste_code: str
    color: str
    source_id: int
    classification_id: int
    bast_no: str | None = None
    material_ids: tuple[int, ...] = ()
    decay_until_ms: int | None = None


class SmileState(StrEnum):
    """What SMILE got of a subject. UNCERTAIN: sent, no answer. NO_FIELD: SMILE cannot hold it."""

    NONE = "none"
    PENDING = "pending"
    STORED = "stored"
    REFUSED = "refused"
    UNCERTAIN = "uncertain"
    NO_FIELD = "no_field"


@dataclass(frozen=True, slots=True)
class WeighingRecord:
    """One stable weight with its evidence; kg; gross = net + tare. ``t_ms`` None: not dated yet.

    ``smile_state`` is read from the attachments (kind weight, subject = id); writing it here changes nothing.
    """

    id: str
    site: str
    device: str
    gross_kg: Decimal
    tare_kg: Decimal
    net_kg: Decimal
    t_ms: int | None
    raw_frame: str
    flags: tuple[str, ...] = ()
    tare_mode: str = "none"
    e_kg: Decimal | None = None
    edge: str | None = None
    received_ms: int | None = None
    bag: str | None = None
    tied_by: str | None = None
    tied_ms: int | None = None
    smile_state: SmileState | str = SmileState.NONE


@dataclass(frozen=True, slots=True)
class ScaleRefusal:
    """A load that a scale did not weigh. ``reason``: a word of ``edge.weighing.Refused``. ``t_ms`` None: not dated."""

    id: str
    site: str
    edge: str
    device: str
    reason: str
    t_ms: int | None
    received_ms: int

    @property
    def at_ms(self) -> int:
        """When it happened, and never after it was received; of one without a date, when it was received."""
        return self.received_ms if self.t_ms is None else min(self.t_ms, self.received_ms)


@dataclass(frozen=True, slots=True)
class SavedWeighings:
    """Ids by what happened. A conflict (same id, other weight) changed nothing: the first one stays."""

    created: tuple[str, ...] = ()
    dated: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Correction:
    """A tie that was wrong: the record that points to the old one, with person and reason (smile-and-waste.md 40)."""

    id: str
    site: str
    weighing: str
    old_bag: str
    new_bag: str
    by: str
    at_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class Destruction:
    """The destruction of discarded vaccines under one BAST (smile-and-waste.md 8, 37); ``id`` is given by the records.

    ``lines``: batch -> vials, as the BAST lists them. ``third_party``: who destroys, "" where the facility does it itself;
    then ``report_no`` is that party's own report, and ``report_signed_by`` signed it there. ``damaged_by`` confirmed that
    vials or labels were made unusable before they left, at ``damaged_ms``.
    """

    id: str
    site: str
    bast_no: str
    third_party: str
    opened_by: str
    opened_ms: int
    lines: Mapping[str, int] = field(default_factory=dict)
    damaged_by: str = ""
    damaged_ms: int | None = None
    report_no: str = ""
    report_signed_by: str = ""
    report_entered_by: str = ""
    report_ms: int | None = None
    closed_by: str = ""
    closed_ms: int | None = None


@dataclass(frozen=True, slots=True)
class DestructionBag:
    """What of a destruction went into a bag (batch -> vials), and when the bag was destroyed, as a person says."""

    site: str
    bag: str
    destruction: str
    vials: Mapping[str, int]
    destroyed_ms: int | None = None
    destroyed_by: str = ""


# --- quarantine -----------------------------------------------------------------------------------------------


class QuarantineState(StrEnum):
    WAITING = "waiting"
    REPLAYED = "replayed"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class QuarantineItem:
    """A message that was not accepted, as it came. ``serials``: the devices it speaks of, where they are readable.

    ``id`` "" lets the records take one from topic, reason and payload, so that the same message waits once.
    ``site`` and ``edge`` may be "" where the topic could not be read. ``payload`` and ``topic`` are never changed: a
    person's correction stands beside them, with how it was made (``repair``). ``asked_ms``: somebody asked to send
    it through, ingest has not done so yet.
    """

    id: str
    site: str
    edge: str
    epoch: str
    topic: str
    reason: str
    detail: str
    received_ms: int
    payload: bytes
    state: QuarantineState | str = QuarantineState.WAITING
    serials: tuple[str, ...] = ()
    repair: str = ""
    corrected_topic: str = ""
    corrected: bytes | None = None
    asked_by: str = ""
    asked_ms: int | None = None

    @property
    def to_replay(self) -> tuple[str, bytes]:
        """(topic, payload) that goes through ingest's check: the correction where there is one, else as it came."""
        return (self.topic, self.payload) if self.corrected is None else (self.corrected_topic, self.corrected)


# --- SMILE ----------------------------------------------------------------------------------------------------


class AttachmentKind(StrEnum):
    """VERDICT: a judgement or release that SMILE has no field for; DISCARD: one that a person decided, and only that."""

    TEMPERATURES = "temperatures"
    DISCARD = "discard"
    WEIGHT = "weight"
    VERDICT = "verdict"


@dataclass(frozen=True, slots=True)
class Attachment:
    """What SMILE got: one row per (kind, subject, target); ``digest`` is the sha256 of what was sent."""

    kind: AttachmentKind | str
    subject: str
    target: str
    digest: str
    state: SmileState | str
    reply: str
    at_ms: int
    site: str


# --- people ---------------------------------------------------------------------------------------------------


class Language(StrEnum):
    ID = "id"
    EN = "en"


@dataclass(frozen=True, slots=True)
class User:
    """A person. Rights reach as far as ``site`` (operator), ``region`` (manager) or, with both None, the country.

    ``contacts`` are Apprise URLs; they and ``password_hash`` hold secrets: never printed, never in the audit.
    """

    name: str
    role: Role | str
    site: str | None = None
    region: str | None = None
    language: Language | str = Language.ID
    password_hash: str = field(default="", repr=False)
    contacts: tuple[str, ...] = field(default=(), repr=False)
    active: bool = True


class SessionKind(StrEnum):
    SESSION = "session"
    TOKEN = "token"  # noqa: S105  (a kind of log-in, no secret)


@dataclass(frozen=True, slots=True)
class Session:
    """A log-in (page) or an API token; only the sha256 of its secret is stored."""

    token_hash: str = field(repr=False)
    user: str
    kind: SessionKind | str
    created_ms: int
    expires_ms: int
    label: str = ""


class NotificationState(StrEnum):
    CLAIMED = "claimed"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Notification:
    """One finding told to one person on one channel, once."""

    finding: str
    person: str
    channel: str
    state: NotificationState | str
    at_ms: int
    attempts: int = 1
    detail: str = ""
