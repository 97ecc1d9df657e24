"""The first tables: registry, findings, verdicts, waste, quarantine, accounts, audit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# A decimal with all its digits (gateway.records.columns.DecimalExact).
DECIMAL = sa.String().with_variant(sa.Numeric(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("old", sa.Text(), nullable=True),
        sa.Column("new", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("prev_hash", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        sa.UniqueConstraint("site", "number", name=op.f("uq_audit_site_number")),
        sa.UniqueConstraint("site", "prev_hash", name=op.f("uq_audit_site_prev_hash")),
    )
    op.create_index(op.f("ix_audit_kind_id"), "audit", ["kind", "id"], unique=False)
    op.create_index(op.f("ix_audit_subject"), "audit", ["subject"], unique=False)
    op.create_table(
        "quarantine",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("edge", sa.String(), nullable=False),
        sa.Column("epoch", sa.String(), nullable=False),
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("serials", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
    )
    op.create_index(op.f("ix_quarantine_site"), "quarantine", ["site"], unique=False)
    op.create_index(op.f("ix_quarantine_state"), "quarantine", ["state"], unique=False)
    op.create_table(
        "sites",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("shard", sa.String(), nullable=False),
        sa.Column("level", sa.String(), nullable=False),
        sa.Column("smile_entity_id", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sites")),
    )
    op.create_table(
        "attachments",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reply", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["sites.id"], name=op.f("fk_attachments_site")),
        sa.PrimaryKeyConstraint("kind", "subject", "target", name=op.f("pk_attachments")),
    )
    op.create_index(op.f("ix_attachments_site"), "attachments", ["site"], unique=False)
    op.create_table(
        "bags",
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("classification", sa.String(), nullable=False),
        sa.Column("waste_code", sa.String(), nullable=False),
        sa.Column("color", sa.String(), nullable=False),
        sa.Column("source_id", sa.BigInteger(), nullable=False),
        sa.Column("classification_id", sa.BigInteger(), nullable=False),
        sa.Column("bast_no", sa.String(), nullable=True),
        sa.Column("material_ids", sa.Text(), nullable=False),
        sa.Column("decay_until_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["site"], ["sites.id"], name=op.f("fk_bags_site")),
        sa.PrimaryKeyConstraint("code", "site", name=op.f("pk_bags")),
    )
    op.create_index(op.f("ix_bags_site"), "bags", ["site"], unique=False)
    op.create_table(
        "batches",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("product_kfa", sa.String(), nullable=False),
        sa.Column("product_name", sa.String(), nullable=False),
        sa.Column("batch_number", sa.String(), nullable=False),
        sa.Column("expires_on", sa.Date(), nullable=False),
        sa.Column("doses", sa.Integer(), nullable=False),
        sa.Column("smile", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["site"], ["sites.id"], name=op.f("fk_batches_site")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batches")),
    )
    op.create_index(op.f("ix_batches_site"), "batches", ["site"], unique=False)
    op.create_table(
        "equipment",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column("smile_asset_id", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["site"], ["sites.id"], name=op.f("fk_equipment_site")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_equipment")),
    )
    op.create_index(op.f("ix_equipment_site"), "equipment", ["site"], unique=False)
    op.create_table(
        "quarantine_serials",
        sa.Column("item", sa.String(), nullable=False),
        sa.Column("serial", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["item"], ["quarantine.id"], name=op.f("fk_quarantine_serials_item")),
        sa.PrimaryKeyConstraint("item", "serial", name=op.f("pk_quarantine_serials")),
    )
    op.create_index(op.f("ix_quarantine_serials_serial"), "quarantine_serials", ["serial"], unique=False)
    op.create_table(
        "users",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=True),
        sa.Column("region", sa.String(), nullable=True),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column("contacts", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["sites.id"], name=op.f("fk_users_site")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_users")),
    )
    op.create_table(
        "devices",
        sa.Column("serial", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("edge", sa.String(), nullable=False),
        sa.Column("driver", sa.String(), nullable=False),
        sa.Column("equipment", sa.String(), nullable=True),
        sa.Column("interval_s", sa.Integer(), nullable=True),
        sa.Column("smile_serial", sa.String(), nullable=True),
        sa.Column("e_kg", DECIMAL, nullable=True),
        sa.Column("max_kg", DECIMAL, nullable=True),
        sa.Column("smile_scale_asset_id", sa.BigInteger(), nullable=True),
        sa.Column("calibrated_until_ms", sa.BigInteger(), nullable=True),
        sa.Column("calibration_error_c", DECIMAL, nullable=True),
        sa.Column("tera_on", sa.Date(), nullable=True),
        sa.Column("tera_valid_days", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["equipment"], ["equipment.id"], name=op.f("fk_devices_equipment")),
        sa.ForeignKeyConstraint(["site"], ["sites.id"], name=op.f("fk_devices_site")),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_devices")),
        sa.UniqueConstraint("smile_serial", name=op.f("uq_devices_smile_serial")),
    )
    op.create_index(op.f("ix_devices_site"), "devices", ["site"], unique=False)
    op.create_table(
        "findings",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("equipment", sa.String(), nullable=True),
        sa.Column("batch", sa.String(), nullable=True),
        sa.Column("episode_start_ms", sa.BigInteger(), nullable=False),
        sa.Column("event_ms", sa.BigInteger(), nullable=False),
        sa.Column("detected_ms", sa.BigInteger(), nullable=False),
        sa.Column("end_ms", sa.BigInteger(), nullable=True),
        sa.Column("extreme_c", DECIMAL, nullable=True),
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column("profile_version", sa.String(), nullable=False),
        sa.Column("supersedes", sa.String(), nullable=True),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("alarms", sa.Boolean(), nullable=False),
        sa.Column("device", sa.String(), nullable=True),
        sa.Column("superseded_by", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["batch"], ["batches.id"], name=op.f("fk_findings_batch")),
        sa.ForeignKeyConstraint(["equipment"], ["equipment.id"], name=op.f("fk_findings_equipment")),
        sa.ForeignKeyConstraint(["site"], ["sites.id"], name=op.f("fk_findings_site")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_findings")),
    )
    op.create_index(op.f("ix_findings_batch"), "findings", ["batch"], unique=False)
    op.create_index(op.f("ix_findings_equipment"), "findings", ["equipment"], unique=False)
    op.create_index(op.f("ix_findings_event_ms"), "findings", ["event_ms"], unique=False)
    op.create_index(op.f("ix_findings_site"), "findings", ["site"], unique=False)
    op.create_index(op.f("ix_findings_supersedes"), "findings", ["supersedes"], unique=False)
    op.create_table(
        "placements",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("batch", sa.String(), nullable=False),
        sa.Column("equipment", sa.String(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger(), nullable=True),
        sa.Column("said_by", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["batch"], ["batches.id"], name=op.f("fk_placements_batch")),
        sa.ForeignKeyConstraint(["equipment"], ["equipment.id"], name=op.f("fk_placements_equipment")),
        sa.ForeignKeyConstraint(["site"], ["sites.id"], name=op.f("fk_placements_site")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_placements")),
    )
    op.create_index(op.f("ix_placements_batch"), "placements", ["batch"], unique=False)
    op.create_index(op.f("ix_placements_equipment"), "placements", ["equipment"], unique=False)
    op.create_index(op.f("ix_placements_site"), "placements", ["site"], unique=False)
    op.create_table(
        "role_proposals",
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("proposed_by", sa.String(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["user"], ["users.name"], name=op.f("fk_role_proposals_user")),
        sa.PrimaryKeyConstraint("user", name=op.f("pk_role_proposals")),
    )
    op.create_table(
        "sessions",
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["user"], ["users.name"], name=op.f("fk_sessions_user")),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_sessions")),
    )
    op.create_index(op.f("ix_sessions_user"), "sessions", ["user"], unique=False)
    op.create_table(
        "verdicts",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("batch", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("findings", sa.Text(), nullable=False),
        sa.Column("judged_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("decided_by", sa.String(), nullable=True),
        sa.Column("decision", sa.String(), nullable=True),
        sa.Column("decided_ms", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["batch"], ["batches.id"], name=op.f("fk_verdicts_batch")),
        sa.ForeignKeyConstraint(["site"], ["sites.id"], name=op.f("fk_verdicts_site")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verdicts")),
        sa.UniqueConstraint("batch", "number", name=op.f("uq_verdicts_batch_number")),
    )
    op.create_index(op.f("ix_verdicts_site"), "verdicts", ["site"], unique=False)
    op.create_table(
        "vvm_observations",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("batch", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["batch"], ["batches.id"], name=op.f("fk_vvm_observations_batch")),
        sa.ForeignKeyConstraint(["site"], ["sites.id"], name=op.f("fk_vvm_observations_site")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vvm_observations")),
    )
    op.create_index(op.f("ix_vvm_observations_batch"), "vvm_observations", ["batch"], unique=False)
    op.create_index(op.f("ix_vvm_observations_site"), "vvm_observations", ["site"], unique=False)
    op.create_table(
        "alarms",
        sa.Column("finding", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("opened_ms", sa.BigInteger(), nullable=False),
        sa.Column("acknowledged_by", sa.String(), nullable=True),
        sa.Column("acknowledged_ms", sa.BigInteger(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("resolved_ms", sa.BigInteger(), nullable=True),
        sa.Column("closed_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["finding"], ["findings.id"], name=op.f("fk_alarms_finding")),
        sa.ForeignKeyConstraint(["site"], ["sites.id"], name=op.f("fk_alarms_site")),
        sa.PrimaryKeyConstraint("finding", name=op.f("pk_alarms")),
    )
    op.create_index(op.f("ix_alarms_site"), "alarms", ["site"], unique=False)
    op.create_index(op.f("ix_alarms_state"), "alarms", ["state"], unique=False)
    op.create_table(
        "finding_history",
        sa.Column("finding", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["finding"], ["findings.id"], name=op.f("fk_finding_history_finding")),
        sa.PrimaryKeyConstraint("finding", "number", name=op.f("pk_finding_history")),
    )
    op.create_table(
        "notifications",
        sa.Column("finding", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["finding"], ["findings.id"], name=op.f("fk_notifications_finding")),
        sa.PrimaryKeyConstraint("finding", "person", "channel", name=op.f("pk_notifications")),
    )
    op.create_table(
        "weighings",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("gross_kg", DECIMAL, nullable=False),
        sa.Column("tare_kg", DECIMAL, nullable=False),
        sa.Column("net_kg", DECIMAL, nullable=False),
        sa.Column("t_ms", sa.BigInteger(), nullable=True),
        sa.Column("raw_frame", sa.Text(), nullable=False),
        sa.Column("flags", sa.Text(), nullable=False),
        sa.Column("tare_mode", sa.String(), nullable=False),
        sa.Column("e_kg", DECIMAL, nullable=True),
        sa.Column("edge", sa.String(), nullable=True),
        sa.Column("received_ms", sa.BigInteger(), nullable=True),
        sa.Column("bag", sa.String(), nullable=True),
        sa.Column("tied_by", sa.String(), nullable=True),
        sa.Column("tied_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["bag", "site"], ["bags.code", "bags.site"], name=op.f("fk_weighings_bag_site")),
        sa.ForeignKeyConstraint(["device"], ["devices.serial"], name=op.f("fk_weighings_device")),
        sa.ForeignKeyConstraint(["site"], ["sites.id"], name=op.f("fk_weighings_site")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_weighings")),
        sa.UniqueConstraint("bag", "site", name=op.f("uq_weighings_bag_site")),
    )
    op.create_index(op.f("ix_weighings_site"), "weighings", ["site"], unique=False)
    op.create_index(op.f("ix_weighings_t_ms"), "weighings", ["t_ms"], unique=False)
    op.create_table(
        "corrections",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("weighing", sa.String(), nullable=False),
        sa.Column("old_bag", sa.String(), nullable=False),
        sa.Column("new_bag", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["sites.id"], name=op.f("fk_corrections_site")),
        sa.ForeignKeyConstraint(["weighing"], ["weighings.id"], name=op.f("fk_corrections_weighing")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_corrections")),
    )
    op.create_index(op.f("ix_corrections_site"), "corrections", ["site"], unique=False)
    op.create_index(op.f("ix_corrections_weighing"), "corrections", ["weighing"], unique=False)
