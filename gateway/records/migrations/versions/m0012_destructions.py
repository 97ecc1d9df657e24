"""Destructions of discarded vaccines under a BAST, and what of them is in which bag."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "destructions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("bast_no", sa.String(), nullable=False),
        sa.Column("third_party", sa.String(), nullable=False),
        sa.Column("opened_by", sa.String(), nullable=False),
        sa.Column("opened_ms", sa.BigInteger(), nullable=False),
        sa.Column("lines", sa.Text(), nullable=False),
        sa.Column("damaged_by", sa.String(), nullable=False),
        sa.Column("damaged_ms", sa.BigInteger(), nullable=True),
        sa.Column("report_no", sa.String(), nullable=False),
        sa.Column("report_signed_by", sa.String(), nullable=False),
        sa.Column("report_entered_by", sa.String(), nullable=False),
        sa.Column("report_ms", sa.BigInteger(), nullable=True),
        sa.Column("closed_by", sa.String(), nullable=False),
        sa.Column("closed_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["site"], ["sites.id"], name=op.f("fk_destructions_site")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_destructions")),
        sa.UniqueConstraint("site", "bast_no", name=op.f("uq_destructions_site_bast_no")),
    )
    op.create_index(op.f("ix_destructions_site"), "destructions", ["site"], unique=False)
    op.create_table(
        "destruction_bags",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("bag", sa.String(), nullable=False),
        sa.Column("destruction", sa.String(), nullable=False),
        sa.Column("vials", sa.Text(), nullable=False),
        sa.Column("destroyed_ms", sa.BigInteger(), nullable=True),
        sa.Column("destroyed_by", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["bag", "site"], ["bags.code", "bags.site"], name=op.f("fk_destruction_bags_bag_site")
        ),
        sa.ForeignKeyConstraint(["destruction"], ["destructions.id"], name=op.f("fk_destruction_bags_destruction")),
        sa.PrimaryKeyConstraint("site", "bag", name=op.f("pk_destruction_bags")),
    )
    op.create_index(op.f("ix_destruction_bags_destruction"), "destruction_bags", ["destruction"], unique=False)
