"""The tables, the same on SQLite and PostgreSQL. A change here needs a new file in ``migrations/versions``.

Column names are the field names of ``gateway.records.model``: one row is one value.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from gateway.records import model
from gateway.records.columns import DecimalExact, EnumText, JsonText

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _smile_ids(value: object) -> model.SmileStockIds:
    assert isinstance(value, dict)  # noqa: S101  (only our own canonical text is read here)
    return model.SmileStockIds(**value)


def _site() -> Column[str]:
    return Column("site", String, ForeignKey("sites.id"), nullable=False, index=True)


audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    # No foreign key: a chain outlives everything, and "-" is the house's own.
    Column("site", String, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", String, nullable=False),
    Column("role", String, nullable=False),
    Column("action", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("old", Text),
    Column("new", Text),
    Column("reason", Text, nullable=False),
    Column("prev_hash", String, nullable=False),
    Column("hash", String, nullable=False),
    # Two belts against a forked chain, should a lock ever fail: no number and no predecessor twice.
    UniqueConstraint("site", "number"),
    UniqueConstraint("site", "prev_hash"),
    Index(None, "kind", "id"),
    Index(None, "subject"),
)

sites = Table(
    "sites",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("region", String, nullable=False),
    Column("zone", String, nullable=False),
    Column("shard", String, nullable=False),
    Column("level", EnumText(model.SiteLevel), nullable=False),
    Column("smile_entity_id", BigInteger),
)

equipment = Table(
    "equipment",
    metadata,
    Column("id", String, primary_key=True),
    _site(),
    Column("name", String, nullable=False),
    Column("kind", EnumText(model.EquipmentKind), nullable=False),
    Column("profile", String, nullable=False),
    Column("smile_asset_id", BigInteger),
    Column("since_ms", BigInteger),
)

profile_versions = Table(
    "profile_versions",
    metadata,
    Column("profile", String, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("version", String, nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("body", JsonText(dict), nullable=False),
    # "": for all sites, in the house's own chain.
    Column("site", String, nullable=False),
    UniqueConstraint("profile", "version"),
)

devices = Table(
    "devices",
    metadata,
    Column("serial", String, primary_key=True),
    _site(),
    Column("edge", String, nullable=False),
    Column("driver", String, nullable=False),
    Column("equipment", String, ForeignKey("equipment.id")),
    Column("interval_s", Integer),
    Column("smile_serial", String, unique=True),
    Column("e_kg", DecimalExact),
    Column("max_kg", DecimalExact),
    Column("smile_scale_asset_id", BigInteger),
    Column("calibrated_until_ms", BigInteger),
    Column("calibration_error_c", DecimalExact),
    Column("tera_on", Date),
    Column("tera_valid_days", Integer, nullable=False),
    Column("since_ms", BigInteger),
    Column("in_service_ms", BigInteger),
)

probe_corrections = Table(
    "probe_corrections",
    metadata,
    Column("stream", String, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("offset_c", DecimalExact, nullable=False),
    Column("certificate", String, nullable=False),
    Column("said_by", String, nullable=False),
    Column("said_ms", BigInteger, nullable=False),
    _site(),
)

reading_marks = Table(
    "reading_marks",
    metadata,
    Column("stream", String, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger, nullable=False),
    Column("said_by", String, nullable=False),
    Column("said_ms", BigInteger, nullable=False),
    _site(),
    Column("taken_back", Boolean, nullable=False),
)

edges = Table(
    "edges",
    metadata,
    Column("site", String, ForeignKey("sites.id"), primary_key=True),
    Column("edge", String, primary_key=True),
    Column("shard", String, nullable=False),
    Column("state", EnumText(model.EdgeState), nullable=False),
    Column("account", String, nullable=False, unique=True),
    Column("said_by", String, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("machine", String, nullable=False),
    Column("enrolled_ms", BigInteger),
    Column("code_id", String, nullable=False),
    Column("code_expires_ms", BigInteger),
    Column("upload_key", LargeBinary),
    Column("previous_key", LargeBinary),
    Column("previous_until_ms", BigInteger),
    Column("password_hash", String, nullable=False),
)

# Not in the audit, as sessions are not: what is known of a code until it is used up. ``used_ms``: by ``machine``.
edge_codes = Table(
    "edge_codes",
    metadata,
    Column("id", String, primary_key=True),
    Column("site", String, nullable=False),
    Column("edge", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("used_ms", BigInteger),
    Column("machine", String, nullable=False),
    ForeignKeyConstraint(["site", "edge"], ["edges.site", "edges.edge"]),
)

batches = Table(
    "batches",
    metadata,
    Column("id", String, primary_key=True),
    _site(),
    Column("product_kfa", String, nullable=False),
    Column("product_name", String, nullable=False),
    Column("batch_number", String, nullable=False),
    Column("expires_on", Date, nullable=False),
    Column("doses", Integer, nullable=False),
    Column("smile", JsonText(_smile_ids)),
    # No foreign key: SQLite cannot add one to a table that is there; ``upsert_batch`` asks for it.
    Column("came_from", String, index=True),
    Column("left_ms", BigInteger),
)

gtin_links = Table(
    "gtin_links",
    metadata,
    Column("gtin", String, primary_key=True),
    # "": for all sites, in the house's own chain; no foreign key for it.
    Column("site", String, primary_key=True),
    Column("product_kfa", String, nullable=False),
    Column("product_name", String, nullable=False),
)

placements = Table(
    "placements",
    metadata,
    Column("id", String, primary_key=True),
    Column("batch", String, ForeignKey("batches.id"), nullable=False, index=True),
    Column("equipment", String, ForeignKey("equipment.id"), nullable=False, index=True),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger),
    Column("said_by", String, nullable=False),
    _site(),
)

vvm_observations = Table(
    "vvm_observations",
    metadata,
    Column("id", String, primary_key=True),
    Column("batch", String, ForeignKey("batches.id"), nullable=False, index=True),
    Column("stage", EnumText(model.VvmStage), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("by", String, nullable=False),
    _site(),
)

findings = Table(
    "findings",
    metadata,
    Column("id", String, primary_key=True),
    Column("rule", String, nullable=False),
    Column("code", String, nullable=False),
    Column("kind", EnumText(model.FindingKind), nullable=False),
    _site(),
    Column("equipment", String, ForeignKey("equipment.id"), index=True),
    Column("batch", String, ForeignKey("batches.id"), index=True),
    Column("episode_start_ms", BigInteger, nullable=False),
    Column("event_ms", BigInteger, nullable=False, index=True),
    Column("detected_ms", BigInteger, nullable=False),
    Column("end_ms", BigInteger),
    Column("extreme_c", DecimalExact),
    Column("profile", String, nullable=False),
    Column("profile_version", String, nullable=False),
    # No foreign key: which of the two is saved first does not matter.
    Column("supersedes", String, index=True),
    Column("evidence", JsonText(dict), nullable=False),
    Column("alarms", Boolean, nullable=False),
    Column("device", String),
    Column("superseded_by", String),
)

finding_history = Table(
    "finding_history",
    metadata,
    Column("finding", String, ForeignKey("findings.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
)

alarms = Table(
    "alarms",
    metadata,
    Column("finding", String, ForeignKey("findings.id"), primary_key=True),
    _site(),
    Column("state", EnumText(model.AlarmState), nullable=False, index=True),
    Column("opened_ms", BigInteger, nullable=False),
    Column("acknowledged_by", String),
    Column("acknowledged_ms", BigInteger),
    Column("comment", Text),
    Column("resolved_ms", BigInteger),
    Column("closed_ms", BigInteger),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("id", String, primary_key=True),
    Column("batch", String, ForeignKey("batches.id"), nullable=False),
    Column("verdict", EnumText(model.VerdictKind), nullable=False),
    Column("reasons", JsonText(tuple), nullable=False),
    Column("findings", JsonText(tuple), nullable=False),
    Column("judged_ms", BigInteger, nullable=False),
    Column("state", EnumText(model.VerdictState), nullable=False),
    Column("decided_by", String),
    Column("decision", EnumText(model.Decision)),
    Column("decided_ms", BigInteger),
    Column("reason", Text),
    _site(),
    Column("number", Integer, nullable=False),
    Column("document_hash", String),
    Column("journal_offset", BigInteger),
    Column("audit_id", BigInteger),
    Column("despite", JsonText(tuple)),
    UniqueConstraint("batch", "number"),
)

# By their hash, which the audited verdict's row carries: the documents themselves need no audit rows.
verdict_documents = Table(
    "verdict_documents",
    metadata,
    Column("hash", String, primary_key=True),
    Column("document", Text, nullable=False),
)

# What the latest verdict rests on with the facts since; written over and over, so not in the audit.
batch_histories = Table(
    "batch_histories",
    metadata,
    Column("batch", String, ForeignKey("batches.id"), primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
)

# The latest forecast of each equipment; written over and over, so not in the audit. No reference: it may outlive it.
forecasts = Table(
    "forecasts",
    metadata,
    Column("equipment", String, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
)

bags = Table(
    "bags",
    metadata,
    Column("code", String, primary_key=True),
    Column("site", String, ForeignKey("sites.id"), primary_key=True, index=True),
    Column("classification", String, nullable=False),
    Column("waste_code", String, nullable=False),
    Column("color", String, nullable=False),
    Column("source_id", BigInteger, nullable=False),
    Column("classification_id", BigInteger, nullable=False),
    Column("bast_no", String),
    Column("material_ids", JsonText(tuple), nullable=False),
    Column("decay_until_ms", BigInteger),
)

weighings = Table(
    "weighings",
    metadata,
    Column("id", String, primary_key=True),
    _site(),
    Column("device", String, ForeignKey("devices.serial"), nullable=False),
    Column("gross_kg", DecimalExact, nullable=False),
    Column("tare_kg", DecimalExact, nullable=False),
    Column("net_kg", DecimalExact, nullable=False),
    Column("t_ms", BigInteger, index=True),
    Column("raw_frame", Text, nullable=False),
    Column("flags", JsonText(tuple), nullable=False),
    Column("tare_mode", String, nullable=False),
    Column("e_kg", DecimalExact),
    Column("edge", String),
    Column("received_ms", BigInteger),
    Column("bag", String),
    Column("tied_by", String),
    Column("tied_ms", BigInteger),
    ForeignKeyConstraint(["bag", "site"], ["bags.code", "bags.site"]),
    UniqueConstraint("bag", "site"),
)

# What a scale would not weigh: nobody decides on it, so not in the audit. No references: it is told as it came.
scale_refusals = Table(
    "scale_refusals",
    metadata,
    Column("id", String, primary_key=True),
    Column("site", String, nullable=False, index=True),
    Column("edge", String, nullable=False),
    Column("device", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("t_ms", BigInteger),
    Column("received_ms", BigInteger, nullable=False, index=True),
)

destructions = Table(
    "destructions",
    metadata,
    Column("id", String, primary_key=True),
    _site(),
    Column("bast_no", String, nullable=False),
    Column("third_party", String, nullable=False),
    Column("opened_by", String, nullable=False),
    Column("opened_ms", BigInteger, nullable=False),
    Column("lines", JsonText(dict), nullable=False),
    Column("damaged_by", String, nullable=False),
    Column("damaged_ms", BigInteger),
    Column("report_no", String, nullable=False),
    Column("report_signed_by", String, nullable=False),
    Column("report_entered_by", String, nullable=False),
    Column("report_ms", BigInteger),
    Column("closed_by", String, nullable=False),
    Column("closed_ms", BigInteger),
    UniqueConstraint("site", "bast_no"),
)

destruction_bags = Table(
    "destruction_bags",
    metadata,
    Column("site", String, primary_key=True),
    Column("bag", String, primary_key=True),
    Column("destruction", String, ForeignKey("destructions.id"), nullable=False, index=True),
    Column("vials", JsonText(dict), nullable=False),
    Column("destroyed_ms", BigInteger),
    Column("destroyed_by", String, nullable=False),
    ForeignKeyConstraint(["bag", "site"], ["bags.code", "bags.site"]),
)

corrections = Table(
    "corrections",
    metadata,
    Column("id", String, primary_key=True),
    _site(),
    Column("weighing", String, ForeignKey("weighings.id"), nullable=False, index=True),
    Column("old_bag", String, nullable=False),
    Column("new_bag", String, nullable=False),
    Column("by", String, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", String, primary_key=True),
    # No foreign key: what waits here may name a site nobody knows.
    Column("site", String, nullable=False, index=True),
    Column("edge", String, nullable=False),
    Column("epoch", String, nullable=False),
    Column("topic", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("detail", Text, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("state", EnumText(model.QuarantineState), nullable=False, index=True),
    Column("serials", JsonText(tuple), nullable=False),
    Column("repair", String, nullable=False, server_default=""),
    Column("corrected_topic", String, nullable=False, server_default=""),
    Column("corrected", LargeBinary),
    Column("asked_by", String, nullable=False, server_default=""),
    Column("asked_ms", BigInteger, index=True),
    Index("ix_quarantine_reason_received_ms", "reason", "received_ms"),
)

quarantine_serials = Table(
    "quarantine_serials",
    metadata,
    Column("item", String, ForeignKey("quarantine.id"), primary_key=True),
    Column("serial", String, primary_key=True, index=True),
)

attachments = Table(
    "attachments",
    metadata,
    Column("kind", EnumText(model.AttachmentKind), primary_key=True),
    Column("subject", String, primary_key=True),
    Column("target", String, primary_key=True),
    Column("digest", String, nullable=False),
    Column("state", EnumText(model.SmileState), nullable=False),
    Column("reply", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    _site(),
)

users = Table(
    "users",
    metadata,
    Column("name", String, primary_key=True),
    Column("role", EnumText(model.Role), nullable=False),
    Column("site", String, ForeignKey("sites.id")),
    Column("region", String),
    Column("language", EnumText(model.Language), nullable=False),
    Column("password_hash", String, nullable=False),
    Column("contacts", JsonText(tuple), nullable=False),
    Column("active", Boolean, nullable=False),
)

role_proposals = Table(
    "role_proposals",
    metadata,
    Column("user", String, ForeignKey("users.name"), primary_key=True),
    Column("role", EnumText(model.Role), nullable=False),
    Column("proposed_by", String, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", String, primary_key=True),
    Column("user", String, ForeignKey("users.name"), nullable=False, index=True),
    Column("kind", EnumText(model.SessionKind), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("label", String, nullable=False),
)

notifications = Table(
    "notifications",
    metadata,
    Column("finding", String, ForeignKey("findings.id"), primary_key=True),
    Column("person", String, primary_key=True),
    Column("channel", String, primary_key=True),
    Column("state", EnumText(model.NotificationState), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("detail", Text, nullable=False),
)
