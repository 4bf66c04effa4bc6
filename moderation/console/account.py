"""An account's page."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from detector.errors import FeedError
from moderation import alerts, decisions, words
from moderation.access import Parts, Visitor
from moderation.console.alert import known_alerts
from moderation.console.deeds import past_decision
from moderation.console.pages import page
from moderation.console.rows import queue_row
from moderation.hostile import visible
from moderation.records import LARGEST_ACCOUNT, PostRecord, milliseconds, read_alert

router = APIRouter()


@router.get("/account")
def show(request: Request, services: Parts, actor: Visitor, name: str = "") -> Response:
    """Its alerts, its quoted posts, and what was decided on it. `?name=`, as names may hold anything."""
    if not name or len(name) > LARGEST_ACCOUNT or "\0" in name:
        raise FeedError("not_found", "no account has this name")
    now = services.now()
    with services.database.read() as connection:
        rows = alerts.of_account(connection, actor, name)
        made = decisions.history(connection, account=name)
        known = known_alerts(connection, {row.alert_id for row in made})
    posts: dict[str, PostRecord] = {}
    members = []
    for row in rows:
        record = read_alert(row.body)
        members += [(row.id, each) for each in record.members if each.account == name]
        posts |= {post.id: post for post in record.posts if post.account == name}
    return page(
        request, services, "account.html", actor, name=name, shown=visible(name),
        rows=[queue_row(row, actor, now) for row in rows], members=members,
        posts=[(words.when(milliseconds(post.at) or 0), post.text)
               for post in sorted(posts.values(), key=lambda post: post.at)],
        decisions=[past_decision(row, actor, known, now) for row in made],
    )  # fmt: skip
