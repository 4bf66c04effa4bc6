"""What happened to a case (`case_log`), skips and drafts of people, and queues: shared views with a service time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "case_log",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("alert_id", sa.String(length=128), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.String(length=32), nullable=True),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("case_log_by_alert", "case_log", ["alert_id", "at"])
    op.create_table(
        "skips",
        sa.Column("user_id", sa.String(length=32), nullable=False),
        sa.Column("alert_id", sa.String(length=128), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "alert_id"),
    )
    op.create_table(
        "drafts",
        sa.Column("user_id", sa.String(length=32), nullable=False),
        sa.Column("alert_id", sa.String(length=128), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "alert_id"),
    )
    op.add_column("views", sa.Column("queue", sa.Integer(), server_default="0", nullable=False))
    op.add_column("views", sa.Column("due_minutes", sa.Integer(), server_default="0", nullable=False))
    op.add_column("alerts", sa.Column("script", sa.String(length=40), server_default="", nullable=False))


def downgrade() -> None:
    op.drop_column("alerts", "script")
    op.drop_column("views", "due_minutes")
    op.drop_column("views", "queue")
    for table in ("drafts", "skips", "case_log"):
        op.drop_table(table)
