"""Who may do what. A role is a set of rights; a token has the rights of its owner that are also among its scopes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from detector.errors import FeedError

Role = Literal["viewer", "moderator", "lead", "admin"]
Right = Literal["read", "work", "lead", "admin"]

RIGHTS: Final[Mapping[str, frozenset[Right]]] = {
    "viewer": frozenset({"read"}),
    "moderator": frozenset({"read", "work"}),
    "lead": frozenset({"read", "work", "lead"}),
    "admin": frozenset({"read", "work", "lead", "admin"}),
}
"""`read` looks; `work` claims, decides and undoes one's own; `lead` assigns, undoes others' and decides what was
escalated; `admin` keeps people and their tokens."""

ROLES: Final = tuple(RIGHTS)

SCOPES: Final[tuple[Right, ...]] = ("read", "work", "lead", "admin")


@dataclass(frozen=True)
class Actor:
    """Somebody who asked for something.

    Args:
        user_id, name, pseudonym, role: of the person.
        rights: what they may do now, by role and, with a token, scopes.
        csrf: the secret their forms carry; "" with a token.
        by_token: whether a program asks with their token.
    """

    user_id: str
    name: str
    pseudonym: str
    role: str
    rights: frozenset[Right]
    csrf: str = ""
    by_token: bool = False

    def may(self, right: Right) -> bool:
        return right in self.rights

    def require(self, right: Right) -> None:
        """Let it pass.

        Raises:
            FeedError: `forbidden`.
        """
        if right not in self.rights:
            raise FeedError("forbidden", f"this needs the right '{right}', which your role or token does not have")


SYSTEM: Final = Actor("", "system", "system", "admin", RIGHTS["admin"])
"""Whoever has the command line on the machine of the feed."""
