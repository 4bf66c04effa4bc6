"""Pseudonyms of accounts in the audit log and among the forgotten: a keyed hash, so that no list of names undoes it."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from sqlalchemy import Connection, select

from moderation.schema import Meta

KEY: Final = "pseudonym-key"


def key(connection: Connection) -> bytes:
    """The key of this database, made with its first table."""
    return bytes.fromhex(connection.execute(select(Meta.value).where(Meta.key == KEY)).scalar_one())


def pseudonym(secret: bytes, account: str) -> str:
    """`acc-` and 24 hexadecimal digits."""
    digest = hmac.new(secret, account.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
    return f"acc-{digest[:24]}"
