"""Tokens for programs."""

from __future__ import annotations

from fastapi import APIRouter
from sqlalchemy import Connection, select

from moderation import tokens
from moderation.access import Parts, Reader
from moderation.api.models import Done, Hex, NewToken, TokenItem, TokenList, TokenMade
from moderation.records import rfc3339
from moderation.schema import User

router = APIRouter(tags=["tokens"])


@router.get("/tokens")
def list_tokens(services: Parts, actor: Reader) -> TokenList:
    """One's own tokens; an admin sees all."""
    with services.database.read() as connection:
        rows = tokens.listed(connection, actor)
    return TokenList(
        tokens=[
            TokenItem(
                id=row.id,
                name=row.name,
                owner=row.owner,
                scopes=row.scopes.split(),
                expires=rfc3339(row.expires),
                used=rfc3339(row.used) if row.used else None,
            )
            for row in rows
        ]
    )


@router.post("/tokens", status_code=201)
def add_token(services: Parts, actor: Reader, wish: NewToken) -> TokenMade:
    """Make a token for oneself; it is shown this once."""

    def work(connection: Connection) -> tuple[str, str]:
        user = connection.execute(select(User).where(User.id == actor.user_id)).one()
        return tokens.add(connection, actor, user, wish.name, wish.scopes, wish.days, services.now())

    number, value = services.database.transact(work)
    return TokenMade(id=number, token=value)


@router.delete("/tokens/{token_id}")
def revoke_token(services: Parts, actor: Reader, token_id: Hex) -> Done:
    """End a token."""
    services.database.transact(lambda connection: tokens.revoke(connection, actor, token_id, services.now()))
    return Done(id=token_id)
