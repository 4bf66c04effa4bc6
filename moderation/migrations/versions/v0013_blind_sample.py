"""The blind sample: accounts that nothing flagged, to be decided on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013_blind_sample"
down_revision = "0012_appeals"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "blind_sample",
        sa.Column("id", sa.String(length=128), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("sampled_with", sa.Float(), nullable=False),
        sa.Column("smallest", sa.Float(), nullable=False),
        sa.Column("population", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("arrived", sa.BigInteger(), nullable=False),
        sa.Column("verdict", sa.String(length=32), server_default="", nullable=False),
        sa.Column("decided", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("decided_by", sa.String(length=32), nullable=True),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_blind_sample_account", "blind_sample", ["account"])
    op.create_index("blind_sample_by_day", "blind_sample", ["day"])
    op.create_index("blind_sample_waiting", "blind_sample", ["verdict", "arrived"])


def downgrade() -> None:
    op.drop_table("blind_sample")
