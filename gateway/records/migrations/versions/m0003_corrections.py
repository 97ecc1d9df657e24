"""Quarantine: a person's correction beside the bytes as they came, and who asked to send them through."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("repair", "corrected_topic", "asked_by"):
        op.add_column("quarantine", sa.Column(name, sa.String(), nullable=False, server_default=""))
    op.add_column("quarantine", sa.Column("corrected", sa.LargeBinary(), nullable=True))
    op.add_column("quarantine", sa.Column("asked_ms", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_quarantine_asked_ms"), "quarantine", ["asked_ms"], unique=False)
