"""The index of the search: every word that an alert's pages show, instead of the first characters of its digest."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

FTS = "CREATE VIRTUAL TABLE search_words USING fts5(words, tokenize = 'ascii', detail = none, prefix = '2 3')"
"""The words come made: any sign beyond ASCII is part of one, nothing is to be folded. No positions are kept."""


def upgrade() -> None:
    op.create_table(
        "search_parts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("alert_id", sa.String(length=128), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("alert_id", "part", name="search_parts_of_alert"),
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute(FTS)
    else:
        op.execute("ALTER TABLE search_parts ADD COLUMN words tsvector")
        op.execute("CREATE INDEX search_parts_words ON search_parts USING gin (words)")
    op.drop_column("alerts", "digest")


def downgrade() -> None:
    op.add_column("alerts", sa.Column("digest", sa.Text(), server_default="", nullable=False))
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE search_words")
    op.drop_table("search_parts")
