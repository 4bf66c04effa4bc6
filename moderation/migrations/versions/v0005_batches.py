"""Decisions that one bulk action made belong together, so that they can be undone together."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("decisions", sa.Column("batch", sa.String(length=64), nullable=True))
    op.create_index("ix_decisions_batch", "decisions", ["batch"])
    op.create_index("ix_decisions_undoes", "decisions", ["undoes"])


def downgrade() -> None:
    op.drop_index("ix_decisions_undoes", "decisions")
    op.drop_index("ix_decisions_batch", "decisions")
    op.drop_column("decisions", "batch")
