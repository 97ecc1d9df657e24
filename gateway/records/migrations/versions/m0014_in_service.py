"""Devices: since when they are in service; what they say of earlier times is refused."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("devices", sa.Column("in_service_ms", sa.BigInteger(), nullable=True))
