"""Corrections of sensors from a date on, as their certificates say them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gateway.records.columns import DecimalExact

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "probe_corrections",
        sa.Column("stream", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("offset_c", DecimalExact(), nullable=False),
        sa.Column("certificate", sa.String(), nullable=False),
        sa.Column("said_by", sa.String(), nullable=False),
        sa.Column("said_ms", sa.BigInteger(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["sites.id"], name=op.f("fk_probe_corrections_site")),
        sa.PrimaryKeyConstraint("stream", "number", name=op.f("pk_probe_corrections")),
    )
    op.create_index(op.f("ix_probe_corrections_site"), "probe_corrections", ["site"], unique=False)
