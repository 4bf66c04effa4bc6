"""Roles, rights, and the actor on whose behalf something is done.

A role is a set of rights. A token has those rights of its owner's role that are also among its scopes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from detector.errors import FeedError

Role = Literal["viewer", "moderator", "lead", "admin"]
Right = Literal["read", "report", "work", "lead", "admin"]

RIGHTS: Final[Mapping[str, frozenset[Right]]] = {
    "viewer": frozenset({"read"}),
    "moderator": frozenset({"read", "report", "work"}),
    "lead": frozenset({"read", "report", "work", "lead"}),
    "admin": frozenset({"read", "report", "work", "lead", "admin"}),
}
"""`read`: look at alerts. `report`: say what came of an action, for programs that act on decisions. `work`: claim,
decide, undo one's own decisions. `lead`: assign, undo other people's decisions, decide on escalated alerts. `admin`:
manage users and their tokens."""

ROLES: Final = tuple(RIGHTS)

SCOPES: Final[tuple[Right, ...]] = ("read", "report", "work", "lead", "admin")


@dataclass(frozen=True)
class Actor:
    """The user on whose behalf something is done, in a browser or by a program with their token.

    Args:
        user_id: primary key in table `users`; "" for `SYSTEM`.
        name: login name.
        pseudonym: the id that leaves this service: in feedback records and in the audit log.
        role: name of the role, a key of `RIGHTS`.
        rights: what is allowed now: the role's rights, with a token those of them that are among its scopes.
        csrf: secret that forms of the session have to carry; "" with a token.
        by_token: whether a program asks with a token.
        vouched: whether an OpenID provider vouches for them, so that they have no password here.
        blur: whether texts are blurred for them until they ask.
    """

    user_id: str
    name: str
    pseudonym: str
    role: str
    rights: frozenset[Right]
    csrf: str = ""
    by_token: bool = False
    vouched: bool = False
    blur: bool = False

    def may(self, right: Right) -> bool:
        """Whether the actor has a right."""
        return right in self.rights

    def require(self, right: Right) -> None:
        """Return if the actor has the right.

        Raises:
            FeedError: `forbidden`: the actor does not have it.
        """
        if right not in self.rights:
            raise FeedError(
                "forbidden",
                f"this needs the right '{right}', which your role or token does not have: ask somebody with the role "
                f"'{ROLE_FOR[right]}'",
            )


ROLE_FOR: Final[Mapping[Right, Role]] = {
    "read": "viewer",
    "report": "moderator",
    "work": "moderator",
    "lead": "lead",
    "admin": "admin",
}
"""The least role that has a right."""

SYSTEM: Final = Actor("", "system", "system", "admin", RIGHTS["admin"])
"""Whoever runs the command line on the machine of the feed."""
