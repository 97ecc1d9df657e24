"""Quarantine: what was refused for a reason since a time is found without reading the rest (``refused_times``)."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_quarantine_reason_received_ms"), "quarantine", ["reason", "received_ms"], unique=False)
