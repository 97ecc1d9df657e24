"""Verdicts: the places in both feeds they were judged at, and the document of what they were judged from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("verdicts", sa.Column("document_hash", sa.String(), nullable=True))
    for name in ("journal_offset", "audit_id"):
        op.add_column("verdicts", sa.Column(name, sa.BigInteger(), nullable=True))
    op.create_table(
        "verdict_documents",
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_verdict_documents")),
    )
    op.create_table(
        "batch_histories",
        sa.Column("batch", sa.String(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["batch"], ["batches.id"], name=op.f("fk_batch_histories_batch")),
        sa.PrimaryKeyConstraint("batch", name=op.f("pk_batch_histories")),
    )
