"""Live updates as server-sent events."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends
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
async def live(services: Parts, actor: Annotated[Actor, Depends(right("read"))]) -> StreamingResponse:
    """That something changed: `{"waiting": n, "changed": [ids], "arrived": [ids], "more": n}`."""
    events = await services.hub.listen(actor.user_id, services.now() + LONGEST_MS)
    return StreamingResponse(events, media_type="text/event-stream", headers={"x-accel-buffering": "no"})
