"""People who an OpenID provider vouches for, their sign-ins under way, and whether somebody's texts are blurred."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010_sign_in"
down_revision = "0009_actions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "departures",
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("browser", sa.String(length=64), nullable=False),
        sa.Column("nonce", sa.String(length=64), nullable=False),
        sa.Column("verifier", sa.String(length=64), nullable=False),
        sa.Column("onward", sa.Text(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("state"),
    )
    op.add_column("users", sa.Column("issuer", sa.Text(), nullable=True))
    op.add_column("users", sa.Column("subject", sa.Text(), nullable=True))
    op.add_column("users", sa.Column("blur", sa.Integer(), server_default="0", nullable=False))
    op.create_index("users_by_identity", "users", ["issuer", "subject"], unique=True)


def downgrade() -> None:
    op.drop_index("users_by_identity", "users")
    for column in ("blur", "subject", "issuer"):
        op.drop_column("users", column)
    op.drop_table("departures")
