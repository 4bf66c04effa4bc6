"""The page of an account's owner, which needs no login but its address, and the page on which appeals are decided."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from detector.errors import FeedError
from detector.reason_sentences import explain_to_owner
from moderation import appeals, words
from moderation.auth import FeedServices, Form, SignedIn, read_form
from moderation.login_limits import network_of
from moderation.middleware import client_address, same_site
from moderation.services import Services
from moderation.web.alert_pages import account_page
from moderation.web.rendering import page, public_url, render, text_field

router = APIRouter()

UNKNOWN: Final = "there is no such notice, or no longer: ask the platform that sent it"


@router.get("/notice/{token}")
def show_notice(request: Request, services: FeedServices, token: str) -> Response:
    """The page of an account's owner.

    Args:
        request: of the browser.
        services: the parts of the running feed.
        token: the secret of its address.
    """
    return _notice(request, services, token)


@router.post("/notice/{token}")
def appeal(
    request: Request, services: FeedServices, token: str, form: Annotated[FormData, Depends(read_form)]
) -> Response:
    """File an appeal from there.

    Args:
        request: of the browser.
        services: the parts of the running feed.
        token: the secret of its address.
        form: with `words`.
    """
    if not same_site(request.headers):
        raise FeedError("forbidden", "the form does not come from a page of this feed: load the page again")
    try:
        said = text_field(form, "words", appeals.MAX_APPEAL_CHARACTERS)
        services.database.transact(lambda connection: appeals.appeal_by_notice(connection, token, said, services.now()))
    except FeedError as refusal:
        if refusal.code != "invalid":
            raise
        return _notice(request, services, token, 400, str(refusal), str(form.get("words", "")))
    return RedirectResponse(f"/notice/{token}?done=appealed", 303)


@router.post("/account/notice")
def make_notice(context: SignedIn, form: Form) -> Response:
    """Make the page for an account's owner, and show its address this once."""
    name = str(form.get("name", ""))
    token = context.write(lambda connection: appeals.make_notice(connection, context.actor, name, context.now))
    return account_page(context, name, f"{public_url(context.request, context.services)}/notice/{token}")


@router.post("/account/appeal")
def file_appeal(context: SignedIn, form: Form) -> Response:
    """File an appeal for an owner who wrote to the platform."""
    name = str(form.get("name", ""))
    said = text_field(form, "words", appeals.MAX_APPEAL_CHARACTERS)
    context.write(lambda connection: appeals.appeal_for(connection, context.actor, name, said, context.now))
    return RedirectResponse("/appeals?done=appeal", 303)


@router.get("/appeals")
def show_appeals(context: SignedIn) -> Response:
    """Appeals that are open, and what came of the others."""
    with context.read() as connection:
        rows = appeals.list_appeals(connection, context.actor)
    return page(context, "appeals.html", rows=rows, outcomes=appeals.OVERTURNED_BY)


@router.post("/appeals/{appeal_id}")
def answer(context: SignedIn, appeal_id: str, form: Form) -> Response:
    """Decide an appeal.

    Args:
        context: of the request.
        appeal_id: which appeal.
        form: with `outcome` ("upheld", or what is decided instead) and `reason`.
    """
    chosen = str(form.get("outcome", ""))
    verdict = next((each for each in appeals.OVERTURNED_BY if each == chosen), None)
    if verdict is None and chosen != "upheld":
        raise FeedError("invalid", "choose whether the decision stands, or what is decided instead")
    reason = text_field(form, "reason", 1000)
    context.write(lambda connection: appeals.answer(connection, context.actor, appeal_id, verdict, reason, context.now))
    if verdict is not None:
        context.services.decision_made(verdict)
    return RedirectResponse("/appeals?done=appeal_decided", 303)


def _notice(
    request: Request, services: Services, token: str, status: int = 200, problem: str = "", typed: str = ""
) -> Response:
    key = f"notice:{network_of(client_address(request.scope, request.headers, services))}"
    if not services.secret_limit.begin(key):
        raise FeedError("limited", "too many attempts: wait three minutes and try again")
    found = None
    try:
        with services.database.read() as connection:
            found = appeals.find_notice(connection, token, services.now())
    finally:
        services.secret_limit.settle(key, failed=found is None)
    if found is None:
        raise FeedError("not_found", UNKNOWN)
    return render(
        request, services, "notice.html", None, status, found=found, seen=explain_to_owner(found.facts.nats),
        verdict=words.TO_OWNER[found.facts.verdict], token=token, problem=problem, typed=typed[:4000],
        outcome=words.TO_OWNER.get(found.facts.verdict, ""),
    )  # fmt: skip
