"""Pseudonyms of accounts in the audit log and among the forgotten: a keyed hash, so that no list of names undoes it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final

from sqlalchemy import Connection, select

from moderation.database import upsert
from moderation.schema import Meta

KEY: Final = "pseudonym-key"


def key(connection: Connection) -> bytes:
    """The key of this database, made where there is none yet (inside a write)."""
    found = connection.scalar(select(Meta.value).where(Meta.key == KEY))
    if found is None:
        fresh = secrets.token_hex(32)
        connection.execute(upsert(connection, Meta).values(key=KEY, value=fresh).on_conflict_do_nothing())
        found = connection.scalar(select(Meta.value).where(Meta.key == KEY))
    assert found is not None
    return bytes.fromhex(found)


def pseudonym(secret: bytes, account: str) -> str:
    """`acc-` and 24 hexadecimal digits."""
    digest = hmac.new(secret, account.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
    return f"acc-{digest[:24]}"
