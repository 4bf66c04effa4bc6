"""Saved views of the queue."""

from __future__ import annotations

from fastapi import APIRouter

from moderation import saved
from moderation.access import Parts, Reader
from moderation.api.models import Done, Hex, NewView, ViewItem, ViewList

router = APIRouter(tags=["views"])


@router.get("/views")
def list_views(services: Parts, actor: Reader) -> ViewList:
    """Views one can use."""
    with services.database.read() as connection:
        rows = saved.listed(connection, actor)
    return ViewList(
        views=[
            ViewItem(
                id=row.id, name=row.name, query=row.query, shared=bool(row.shared), mine=row.user_id == actor.user_id
            )
            for row in rows
        ]
    )


@router.post("/views", status_code=201)
def add_view(services: Parts, actor: Reader, view: NewView) -> Done:
    """Save a view; leads can share it with everybody."""
    made = services.database.transact(
        lambda connection: saved.add(connection, actor, view.name, view.query, shared=view.shared)
    )
    return Done(id=made)


@router.delete("/views/{view_id}")
def remove_view(services: Parts, actor: Reader, view_id: Hex) -> Done:
    """Delete a view."""
    services.database.transact(lambda connection: saved.remove(connection, actor, view_id))
    return Done(id=view_id)
