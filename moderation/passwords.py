"""Passwords: Argon2id, with the parameters of RFC 9106's second choice (64 MiB), which argon2-cffi has by default."""

from __future__ import annotations

import secrets
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from detector.errors import FeedError

SHORTEST: Final = 12
LONGEST: Final = 200

_hasher: Final = PasswordHasher()
_nobody: Final = _hasher.hash(secrets.token_hex(16))
"""What a password is compared with where there is no such person, so that the time taken does not tell."""


def hashed(password: str) -> str:
    """The hash to keep.

    Raises:
        FeedError: `invalid`: too short or too long.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise FeedError("invalid", f"a password has {SHORTEST} to {LONGEST} characters")
    return _hasher.hash(password.encode("utf-8", "surrogatepass"))


def matches(kept: str | None, password: str) -> bool:
    """Whether the password is the one; takes as long where there is none to compare with."""
    try:
        good = _hasher.verify(kept or _nobody, password[:LONGEST].encode("utf-8", "surrogatepass"))
    except (VerificationError, InvalidHashError):
        return False
    return good and bool(kept)


def secret() -> str:
    """256 random bits for a cookie, link or token."""
    return secrets.token_urlsafe(32)
