"""The policy that an alert is proposed to be decided under, and its language, for queues."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008_policies"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("alerts", sa.Column("policy", sa.String(length=64), server_default="", nullable=False))
    op.add_column("alerts", sa.Column("language", sa.String(length=16), server_default="", nullable=False))


def downgrade() -> None:
    op.drop_column("alerts", "language")
    op.drop_column("alerts", "policy")
