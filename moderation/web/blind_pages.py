"""Decisions without what the system says: second looks at alerts, and accounts of the blind sample.

Both wait in one list, where leads see how far people agree.
"""

from __future__ import annotations

import math

from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

from moderation import console_config, missed_accounts, second_looks, words
from moderation.auth import Form, SignedIn
from moderation.topic_records import milliseconds
from moderation.web.alert_pages import blind_page
from moderation.web.charts import strip
from moderation.web.context_views import Platform, profile_words
from moderation.web.rendering import MAX_NOTE_CHARACTERS, AlertId, page, text_field, verdict_field
from moderation.web.untrusted_text import visible

router = APIRouter()


@router.get("/second-looks")
def show_waiting(context: SignedIn) -> Response:
    """Second looks that one may take, accounts of the blind sample, and for leads how far people agree."""
    actor = context.actor
    with context.read() as connection:
        rows = second_looks.waiting(connection, actor, context.now)
        found = second_looks.agreement(connection) if actor.may("lead") else None
        sample = missed_accounts.waiting(connection, actor, context.now)
        drawn = missed_accounts.is_drawn(connection)
        unlike = second_looks.disagreements(connection, actor) if actor.may("lead") else []
    return page(
        context, "second_looks.html", rows=rows, found=found, unlike=unlike, sample=sample, drawn=drawn,
        defined=found is not None and not math.isnan(found.kappa),
    )  # fmt: skip


@router.get("/second-looks/{decision_id}")
def show_second_look(context: SignedIn, decision_id: str) -> Response:
    """The alert as the first moderator saw it, without what they decided."""
    with context.read() as connection:
        look = second_looks.take(connection, context.actor, decision_id)
    return blind_page(context, look)


@router.post("/second-looks/{decision_id}")
def answer_second_look(context: SignedIn, decision_id: str, form: Form) -> Response:
    """Decide a second time, and go on to the next.

    Args:
        context: of the request.
        decision_id: of the first decision.
        form: with `decision` and `note`.
    """
    verdict, note = verdict_field(form), text_field(form, "note", MAX_NOTE_CHARACTERS)
    context.write(
        lambda connection: second_looks.answer(connection, context.actor, decision_id, verdict, note, context.now)
    )
    with context.read() as connection:
        rows = second_looks.waiting(connection, context.actor, context.now)
    onward = f"/second-looks/{rows[0].decision_id}" if rows else "/second-looks"
    return RedirectResponse(f"{onward}?done=second_look", 303)


@router.get("/blind-sample/{sample_id}")
def show_blind_sample(context: SignedIn, sample_id: AlertId) -> Response:
    """What an account wrote, when it acted and what it says of itself: no evidence, no odds."""
    with context.read() as connection:
        record = missed_accounts.take(connection, context.actor, sample_id)
        left = len(missed_accounts.waiting(connection, context.actor, context.now))
        config = console_config.current(connection)
    platform = Platform(config.links)
    times = sorted(at for at in (milliseconds(each.at) for each in record.moments) if at is not None)
    said = f"{words.counted(len(times), 'act')} from {words.when(times[0])} to {words.when(times[-1])}" if times else ""
    posts = [
        (words.when(milliseconds(each.at) or 0), visible(each.text), platform.post(each.account, each.id))
        for each in record.posts
    ]
    return page(
        context, "blind_sample.html", number=sample_id, account=record.account, day=record.day, posts=posts,
        profile=profile_words(record.member.profile, milliseconds(record.at) or 0), left=left, platform=platform,
        chart=strip(times, f"When it acted: {said}") if len(times) > 1 else "", said=said,
    )  # fmt: skip


@router.post("/blind-sample/{sample_id}")
def answer_blind_sample(context: SignedIn, sample_id: AlertId, form: Form) -> Response:
    """Decide on it, and go on to the next.

    Args:
        context: of the request.
        sample_id: which account.
        form: with `decision` and `note`.
    """
    verdict, note = verdict_field(form), text_field(form, "note", MAX_NOTE_CHARACTERS)
    context.write(
        lambda connection: missed_accounts.answer(connection, context.actor, sample_id, verdict, note, context.now)
    )
    with context.read() as connection:
        left = missed_accounts.waiting(connection, context.actor, context.now)
    return RedirectResponse(f"/blind-sample/{left[0]}?done=sampled" if left else "/second-looks?done=sampled", 303)
