"""Who one is, and the people of the feed.

Saved views of the queue.

Tokens for programs.

The audit log.

Live updates as server-sent events.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import StreamingResponse
from sqlalchemy import Connection, select

from moderation import audit, queue, users
from moderation.api.models import (
    DEFAULT_LIMIT,
    AuditItem,
    AuditList,
    AuditVerdict,
    Done,
    Hex,
    Limit,
    Me,
    NewToken,
    NewUser,
    NewView,
    TokenItem,
    TokenList,
    TokenMade,
    UserChange,
    UserItem,
    UserList,
    ViewItem,
    ViewList,
)
from moderation.auth import Admin, Lead, Parts, Reader, right
from moderation.db import User
from moderation.records import rfc3339
from moderation.roles import Actor

people_router = APIRouter(tags=["people"])


@people_router.get("/me")
def me(services: Parts, actor: Reader) -> Me:
    """Whoever asks, and how much waits for them."""
    with services.database.read() as connection:
        counts = queue.counts(connection, actor, services.now(), services.waiting(connection))
    return Me(name=actor.name, pseudonym=actor.pseudonym, role=actor.role, rights=sorted(actor.rights), counts=counts)


@people_router.get("/users")
def list_users(services: Parts, actor: Lead) -> UserList:
    """Everybody."""
    with services.database.read() as connection:
        rows = users.list_users(connection, actor)
    return UserList(
        users=[
            UserItem(id=row.id, name=row.name, pseudonym=row.pseudonym, role=row.role, active=bool(row.active))
            for row in rows
        ]
    )


@people_router.post("/users", status_code=201)
def add_user(services: Parts, actor: Admin, user: NewUser) -> Done:
    """Add a person."""
    made = services.database.transact(
        lambda connection: users.add_user(connection, actor, user.name, user.role, user.password, services.now())
    )
    return Done(id=made)


@people_router.patch("/users/{user_id}")
def change_user(services: Parts, actor: Admin, user_id: Hex, change: UserChange) -> Done:
    """Change a person's role, password, or whether they may come in."""
    services.database.transact(
        lambda connection: users.change_user(
            connection,
            actor,
            user_id,
            services.now(),
            role=change.role,
            active=change.active,
            password=change.password,
        )
    )
    return Done(id=user_id)


views_router = APIRouter(tags=["views"])


@views_router.get("/views")
def list_views(services: Parts, actor: Reader) -> ViewList:
    """Views one can use."""
    with services.database.read() as connection:
        rows = queue.listed(connection, actor)
    return ViewList(
        views=[
            ViewItem(
                id=row.id, name=row.name, query=row.query, shared=bool(row.shared), mine=row.user_id == actor.user_id
            )
            for row in rows
        ]
    )


@views_router.post("/views", status_code=201)
def add_view(services: Parts, actor: Reader, view: NewView) -> Done:
    """Save a view; leads can share it with everybody."""
    made = services.database.transact(
        lambda connection: queue.add(connection, actor, view.name, view.query, shared=view.shared)
    )
    return Done(id=made)


@views_router.delete("/views/{view_id}")
def remove_view(services: Parts, actor: Reader, view_id: Hex) -> Done:
    """Delete a view."""
    services.database.transact(lambda connection: queue.remove(connection, actor, view_id))
    return Done(id=view_id)


tokens_router = APIRouter(tags=["tokens"])


@tokens_router.get("/tokens")
def list_tokens(services: Parts, actor: Reader) -> TokenList:
    """One's own tokens; an admin sees all."""
    with services.database.read() as connection:
        rows = users.list_tokens(connection, actor)
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


@tokens_router.post("/tokens", status_code=201)
def add_token(services: Parts, actor: Reader, wish: NewToken) -> TokenMade:
    """Make a token for oneself; it is shown this once."""

    def work(connection: Connection) -> tuple[str, str]:
        user = connection.execute(select(User).where(User.id == actor.user_id)).one()
        return users.add_token(connection, actor, user, wish.name, wish.scopes, wish.days, services.now())

    number, value = services.database.transact(work)
    return TokenMade(id=number, token=value)


@tokens_router.delete("/tokens/{token_id}")
def revoke_token(services: Parts, actor: Reader, token_id: Hex) -> Done:
    """End a token."""
    services.database.transact(lambda connection: users.revoke_token(connection, actor, token_id, services.now()))
    return Done(id=token_id)


log_router = APIRouter(tags=["audit"])


@log_router.get("/audit")
def list_entries(
    services: Parts,
    actor: Lead,
    before: Annotated[int | None, Query(ge=1, le=2**53)] = None,
    limit: Limit = DEFAULT_LIMIT,
) -> AuditList:
    """Entries, the newest first."""
    with services.database.read() as connection:
        rows = audit.recent(connection, before, limit)
    entries = [
        AuditItem(
            seq=row["seq"],
            at=rfc3339(row["at"]),
            actor=row["actor"],
            action=row["action"],
            subject=row["subject"],
            facts=json.loads(row["facts"]),
            hash=row["hash"],
        )
        for row in rows
    ]
    return AuditList(entries=entries, next=entries[-1].seq if len(entries) == limit and entries[-1].seq > 1 else None)


@log_router.get("/audit/verify")
def verify(services: Parts, actor: Lead) -> AuditVerdict:
    """Check the whole chain."""
    with services.database.read() as connection:
        found = audit.verify(connection)
    return AuditVerdict(entries=found.entries, head=found.head, problem=found.problem)


stream_router = APIRouter(tags=["live"])

LONGEST_MS: Final = 30 * 60_000
"""Then the browser connects anew, and its session is looked at again."""

STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "`hello`, then `change` events", "content": {"text/event-stream": {}}}
}


@stream_router.get("/live", response_class=StreamingResponse, responses=STREAM)
async def live(
    services: Parts,
    actor: Annotated[Actor, Depends(right("read"))],
    since: Annotated[int | None, Query(ge=0, le=2**53, description="id of the last event seen")] = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> StreamingResponse:
    """That something changed: `{"waiting": n, "changed": [ids], "times": [ms], "arrived": [ids], "more": n}`.

    Whoever says which event was the last one seen is first told what changed since, in one event.
    """
    if last_event_id and last_event_id.isascii() and last_event_id.isdecimal() and len(last_event_id) < 16:
        since = int(last_event_id)
    events = await services.hub.listen(actor.user_id, services.now() + LONGEST_MS, since)
    return StreamingResponse(events, media_type="text/event-stream", headers={"x-accel-buffering": "no"})
