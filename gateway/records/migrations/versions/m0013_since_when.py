"""Since when a device stands in its equipment, and since when an equipment is of its kind, as a person said."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("devices", sa.Column("since_ms", sa.BigInteger(), nullable=True))
    op.add_column("equipment", sa.Column("since_ms", sa.BigInteger(), nullable=True))
