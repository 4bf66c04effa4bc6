"""Alerts in the order in which they came in, for the oldest first."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("alerts_by_arrival", "alerts", ["arrived", "id"])


def downgrade() -> None:
    op.drop_index("alerts_by_arrival", "alerts")
