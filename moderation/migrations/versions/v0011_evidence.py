"""The evidence of alerts, and what each decision was made on: for similar cases and for results."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011_evidence"
down_revision = "0010_sign_in"
branch_labels = None
depends_on = None

NATS = ("text_nats", "behaviour_nats", "coordination_nats", "graph_nats")

SHOWN = ("kind", "odds", "members", "arrived")


def upgrade() -> None:
    for name in NATS:
        op.add_column("alerts", sa.Column(name, sa.Float(), server_default="0", nullable=False))
        op.add_column("decisions", sa.Column(name, sa.Float(), nullable=True))
    op.add_column("decisions", sa.Column("kind", sa.String(length=16), server_default="", nullable=False))
    op.add_column("decisions", sa.Column("odds", sa.Float(), nullable=True))
    op.add_column("decisions", sa.Column("members", sa.Integer(), server_default="0", nullable=False))
    op.add_column("decisions", sa.Column("arrived", sa.BigInteger(), server_default="0", nullable=False))
    # Of earlier decisions, what their alerts show now is the nearest there is.
    decisions = sa.table("decisions", sa.column("alert_id"), *(sa.column(name) for name in SHOWN))
    alerts = sa.table("alerts", sa.column("id"), *(sa.column(name) for name in SHOWN))
    there = decisions.c.alert_id.in_(sa.select(alerts.c.id))
    for name in SHOWN:
        now = sa.select(alerts.c[name]).where(alerts.c.id == decisions.c.alert_id).scalar_subquery()
        op.execute(decisions.update().where(there).values({name: now}))
    op.create_index("decisions_by_kind", "decisions", ["kind", "at"])


def downgrade() -> None:
    op.drop_index("decisions_by_kind", "decisions")
    for name in ("arrived", "members", "odds", "kind"):
        op.drop_column("decisions", name)
    for name in NATS:
        op.drop_column("decisions", name)
        op.drop_column("alerts", name)
