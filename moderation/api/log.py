"""The audit log."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Query

from moderation import audit
from moderation.access import Lead, Parts
from moderation.api.models import DEFAULT_LIMIT, AuditItem, AuditList, AuditVerdict, Limit
from moderation.records import rfc3339

router = APIRouter(tags=["audit"])


@router.get("/audit")
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


@router.get("/audit/verify")
def verify(services: Parts, actor: Lead) -> AuditVerdict:
    """Check the whole chain."""
    with services.database.read() as connection:
        found = audit.verify(connection)
    return AuditVerdict(entries=found.entries, head=found.head, problem=found.problem)
