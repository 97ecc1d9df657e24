"""What scales would not weigh, and why: for the pages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "scale_refusals",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("edge", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("t_ms", sa.BigInteger(), nullable=True),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scale_refusals")),
    )
    op.create_index(op.f("ix_scale_refusals_site"), "scale_refusals", ["site"], unique=False)
    op.create_index(op.f("ix_scale_refusals_received_ms"), "scale_refusals", ["received_ms"], unique=False)
