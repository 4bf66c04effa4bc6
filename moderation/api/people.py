"""Who one is, and the people of the feed."""

from __future__ import annotations

from fastapi import APIRouter

from moderation import queue, users
from moderation.access import Admin, Lead, Parts, Reader
from moderation.api.models import Done, Hex, Me, NewUser, UserChange, UserItem, UserList

router = APIRouter(tags=["people"])


@router.get("/me")
def me(services: Parts, actor: Reader) -> Me:
    """Whoever asks, and how much waits for them."""
    with services.database.read() as connection:
        counts = queue.counts(connection, actor, services.now(), services.waiting(connection))
    return Me(name=actor.name, pseudonym=actor.pseudonym, role=actor.role, rights=sorted(actor.rights), counts=counts)


@router.get("/users")
def list_users(services: Parts, actor: Lead) -> UserList:
    """Everybody."""
    with services.database.read() as connection:
        rows = users.everybody(connection, actor)
    return UserList(
        users=[
            UserItem(id=row.id, name=row.name, pseudonym=row.pseudonym, role=row.role, active=bool(row.active))
            for row in rows
        ]
    )


@router.post("/users", status_code=201)
def add_user(services: Parts, actor: Admin, user: NewUser) -> Done:
    """Add a person."""
    made = services.database.transact(
        lambda connection: users.add(connection, actor, user.name, user.role, user.password, services.now())
    )
    return Done(id=made)


@router.patch("/users/{user_id}")
def change_user(services: Parts, actor: Admin, user_id: Hex, change: UserChange) -> Done:
    """Change a person's role, password, or whether they may come in."""
    services.database.transact(
        lambda connection: users.change(
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
