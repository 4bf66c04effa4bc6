"""Live updates as server-sent events."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import StreamingResponse

from moderation.access import Parts, right
from moderation.roles import Actor

router = APIRouter(tags=["live"])

LONGEST_MS: Final = 30 * 60_000
"""Then the browser connects anew, and its session is looked at again."""

STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "`hello`, then `change` events", "content": {"text/event-stream": {}}}
}


@router.get("/live", response_class=StreamingResponse, responses=STREAM)
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
