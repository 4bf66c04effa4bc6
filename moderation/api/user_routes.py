"""Routes of the API on users, their tokens and saved views, on the audit log, and the stream of live updates."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

import anyio
from fastapi import APIRouter, Header, Query
from sqlalchemy import Connection, select
from sse_starlette import EventSourceResponse

from moderation import alert_lists, audit, live, users
from moderation.api.schemas import (
    DEFAULT_LIMIT,
    AuditCheck,
    AuditItem,
    AuditList,
    Done,
    Limit,
    Me,
    NewToken,
    NewUser,
    NewView,
    RowId,
    TokenItem,
    TokenList,
    TokenMade,
    UserChange,
    UserItem,
    UserList,
    ViewItem,
    ViewList,
)
from moderation.auth import Admin, Lead, Reader
from moderation.database_tables import User
from moderation.topic_records import rfc3339

users_router = APIRouter(tags=["people"])
views_router = APIRouter(tags=["views"])
tokens_router = APIRouter(tags=["tokens"])
audit_router = APIRouter(tags=["audit"])
live_router = APIRouter(tags=["live"])

routers: Final = (views_router, users_router, tokens_router, audit_router, live_router)

STREAM_MS: Final = 30 * 60_000
"""Longest stream of live updates; then the browser connects again, and its session is checked again."""

STREAM_RESPONSE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "`hello`, then `change` events", "content": {"text/event-stream": {}}}
}


@users_router.get("/me")
def me(context: Reader) -> Me:
    """Whoever asks, and how much waits for them."""
    actor = context.actor
    with context.read() as connection:
        counts = alert_lists.counts(connection, actor, context.now, context.services.count_waiting(connection))
    return Me(name=actor.name, pseudonym=actor.pseudonym, role=actor.role, rights=sorted(actor.rights), counts=counts)


@users_router.get("/users")
def list_users(context: Lead) -> UserList:
    """All users."""
    with context.read() as connection:
        rows = users.list_users(connection, context.actor)
    return UserList(
        users=[
            UserItem(id=row.id, name=row.name, pseudonym=row.pseudonym, role=row.role, active=bool(row.active))
            for row in rows
        ]
    )


@users_router.post("/users", status_code=201)
def add_user(context: Admin, body: NewUser) -> Done:
    """Add a user."""
    made = context.write(
        lambda connection: users.add_user(connection, context.actor, body.name, body.role, body.password, context.now)
    )
    return Done(id=made)


@users_router.patch("/users/{user_id}")
def change_user(context: Admin, user_id: RowId, body: UserChange) -> Done:
    """Change a user's role or password, or whether they may log in.

    \f
    Args:
        context: of the request.
        user_id: which user.
        body: what changes.
    """
    context.write(
        lambda connection: users.change_user(
            connection,
            context.actor,
            user_id,
            context.now,
            role=body.role,
            active=body.active,
            password=body.password,
        )
    )
    return Done(id=user_id)


@views_router.get("/views")
def list_views(context: Reader) -> ViewList:
    """One's own saved views and the shared ones."""
    with context.read() as connection:
        rows = alert_lists.list_views(connection, context.actor)
    mine = context.actor.user_id
    return ViewList(
        views=[
            ViewItem(id=row.id, name=row.name, query=row.query, shared=bool(row.shared), mine=row.user_id == mine)
            for row in rows
        ]
    )


@views_router.post("/views", status_code=201)
def add_view(context: Reader, body: NewView) -> Done:
    """Save a view; leads can share it with everybody."""
    made = context.write(
        lambda connection: alert_lists.save_view(connection, context.actor, body.name, body.query, shared=body.shared)
    )
    return Done(id=made)


@views_router.delete("/views/{view_id}")
def remove_view(context: Reader, view_id: RowId) -> Done:
    """Delete a saved view."""
    context.write(lambda connection: alert_lists.delete_view(connection, context.actor, view_id))
    return Done(id=view_id)


@tokens_router.get("/tokens")
def list_tokens(context: Reader) -> TokenList:
    """One's own tokens; an admin sees all."""
    with context.read() as connection:
        rows = users.list_tokens(connection, context.actor)
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
def add_token(context: Reader, body: NewToken) -> TokenMade:
    """Make a token for oneself; it is shown this once."""

    def work(connection: Connection) -> tuple[str, str]:
        user = connection.execute(select(User).where(User.id == context.actor.user_id)).one()
        return users.add_token(connection, context.actor, user, body.name, body.scopes, body.days, context.now)

    number, value = context.write(work)
    return TokenMade(id=number, token=value)


@tokens_router.delete("/tokens/{token_id}")
def revoke_token(context: Reader, token_id: RowId) -> Done:
    """Revoke a token."""
    context.write(lambda connection: users.revoke_token(connection, context.actor, token_id, context.now))
    return Done(id=token_id)


@audit_router.get("/audit")
def list_entries(
    context: Lead,
    before: Annotated[int | None, Query(ge=1, le=2**53, description="number of an entry: `next` of a page")] = None,
    limit: Limit = DEFAULT_LIMIT,
) -> AuditList:
    """Entries of the audit log, the newest first.

    \f
    Args:
        context: of the request.
        before: `next` of the page before.
        limit: entries on a page.
    """
    with context.read() as connection:
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


@audit_router.get("/audit/verify")
def verify(context: Lead) -> AuditCheck:
    """Check the whole chain of the audit log."""
    with context.read() as connection:
        check = audit.verify(connection)
    return AuditCheck(entries=check.entries, head=check.head, problem=check.problem)


@live_router.get("/live", response_class=EventSourceResponse, responses=STREAM_RESPONSE)
async def follow(
    context: Reader,
    since: Annotated[int | None, Query(ge=0, le=2**53, description="id of the last event seen")] = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> EventSourceResponse:
    """That something changed: `{"waiting": n, "changed": [ids], "times": [ms], "arrived": [ids], "more": n}`.

    Whoever says which event was the last one seen is first told what changed since, in one event.

    \f
    Args:
        context: of the request.
        since: id of the last event seen.
        last_event_id: the same, as a browser sends it that connects again; it wins.
    """
    if last_event_id and last_event_id.isascii() and last_event_id.isdecimal() and len(last_event_id) < 16:
        since = int(last_event_id)
    services = context.services
    ending = anyio.Event()
    events = await services.hub.listen(context.actor.user_id, services.now() + STREAM_MS, since, ending)
    return EventSourceResponse(
        events,
        ping=live.PING_S,
        ping_message_factory=live.ping,
        shutdown_event=ending,
        shutdown_grace_period=live.END_GRACE_S,
        headers={"x-accel-buffering": "no"},
    )
