"""Batches: from which batch of another store they came, and when they left there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("batches", sa.Column("came_from", sa.String(), nullable=True))
    op.add_column("batches", sa.Column("left_ms", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_batches_came_from"), "batches", ["came_from"], unique=False)
