"""Which product a pack's GTIN is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "gtin_links",
        sa.Column("gtin", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("product_kfa", sa.String(), nullable=False),
        sa.Column("product_name", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("gtin", "site", name=op.f("pk_gtin_links")),
    )
