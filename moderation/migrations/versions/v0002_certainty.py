"""How sure alerts are (odds, posts, watch), and who escalated or put them off, when and why."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

OLD_ORDER = ("escalated DESC", "urgency DESC", "id", "snoozed_until", "waits_revision", "revision")
NEW_ORDER = (*OLD_ORDER, "watch")


def columns() -> tuple[sa.Column[Any], ...]:
    """The new columns of table `alerts`."""
    return (
        sa.Column("odds", sa.Float(), nullable=True),
        sa.Column("posts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("watch", sa.Integer(), server_default="0", nullable=False),
        sa.Column("escalated_by", sa.String(length=32), nullable=True),
        sa.Column("escalated_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("escalated_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("snoozed_by", sa.String(length=32), nullable=True),
        sa.Column("snoozed_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("snoozed_reason", sa.Text(), server_default="", nullable=False),
    )


def upgrade() -> None:
    for column in columns():
        op.add_column("alerts", column)
    _order(NEW_ORDER)


def downgrade() -> None:
    _order(OLD_ORDER)
    for column in columns():
        op.drop_column("alerts", column.name)


def _order(columns: tuple[str, ...]) -> None:
    """Make the index of waiting alerts anew, with every column of that condition."""
    undecided = sa.text("status = 'open' AND decision IS NULL")
    op.drop_index("alerts_by_urgency", "alerts")
    op.create_index(
        "alerts_by_urgency", "alerts", [sa.text(each) for each in columns], sqlite_where=undecided,
        postgresql_where=undecided,
    )  # fmt: skip
