"""A decision on a campaign covers the alerts of its members: which decisions belong together."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("decisions", sa.Column("part_of", sa.String(length=64), nullable=True))
    op.create_index("ix_decisions_part_of", "decisions", ["part_of"])


def downgrade() -> None:
    op.drop_index("ix_decisions_part_of", "decisions")
    op.drop_column("decisions", "part_of")
