"""Edges: who may speak for which, and the one-time codes by which they are enrolled."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "edges",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("edge", sa.String(), nullable=False),
        sa.Column("shard", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("said_by", sa.String(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("machine", sa.String(), nullable=False),
        sa.Column("enrolled_ms", sa.BigInteger(), nullable=True),
        sa.Column("code_id", sa.String(), nullable=False),
        sa.Column("code_expires_ms", sa.BigInteger(), nullable=True),
        sa.Column("upload_key", sa.LargeBinary(), nullable=True),
        sa.Column("previous_key", sa.LargeBinary(), nullable=True),
        sa.Column("previous_until_ms", sa.BigInteger(), nullable=True),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["sites.id"], name=op.f("fk_edges_site")),
        sa.PrimaryKeyConstraint("site", "edge", name=op.f("pk_edges")),
        sa.UniqueConstraint("account", name=op.f("uq_edges_account")),
    )
    op.create_table(
        "edge_codes",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("edge", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=True),
        sa.Column("machine", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["site", "edge"], ["edges.site", "edges.edge"], name=op.f("fk_edge_codes_site_edge")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_edge_codes")),
    )
