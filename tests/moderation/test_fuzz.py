"""The API, tried with requests made from its own description: no server error, whatever comes."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode

from moderation import decisions
from moderation.decisions import DecisionRequest
from moderation.rate_limits import RateLimit
from moderation.services import Settings
from tests.moderation.builders import alert, pages
from tests.moderation.conftest import Feed, Site

EXAMPLES = 3
"""Requests per route by default, all as described; the slow test makes a hundred times as many, and as many that break
the description."""


def reached(site: Site, examples: int, mode: GenerationMode = GenerationMode.POSITIVE) -> dict[str, set[int]]:
    """Try every route; the statuses that each gave. A route that takes anything at all breaks no description."""
    fill(site.feed)
    site.services.settings = Settings(hosts=("*",))
    site.services.user_limit = site.services.address_limit = RateLimit(10_000_000, 1)
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", site.app)
    headers = site.token("admin", "read", "work", "lead", "admin")
    seen: dict[str, set[int]] = {}
    for result in schema.get_all_operations():
        operation: Any = getattr(result, "ok")()  # noqa: B009 - its two kinds are told apart by this call alone
        # Live updates never end; that they begin is tested elsewhere.
        if operation.label != "GET /api/v1/live":
            with suppress(Unsatisfiable):
                seen[operation.label] = tried(operation, headers, examples, mode)
    return seen


def tried(operation: Any, headers: dict[str, str], examples: int, mode: GenerationMode) -> set[int]:
    """Make that many requests to one route; the statuses it gave."""
    statuses = set()

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def attempt(case: Any) -> None:
        response = case.call(headers=headers)
        statuses.add(response.status_code)
        case.validate_response(response, checks=[not_a_server_error], headers=headers)

    attempt()
    return statuses


def fill(feed: Feed) -> None:
    feed.put(alert("c1"), *pages(), alert("a1", kind="account", accounts=("zoe",)), alert("m", status="merged",
             merged_into="c1"), alert("w", revision=2, status="withdrawn"))  # fmt: skip
    feed.do(decisions.decide, "moderator", DecisionRequest("a1", "llm_campaign"))


def test_no_request_breaks_the_service(site: Site) -> None:
    seen = reached(site, EXAMPLES)
    assert len(seen) >= 29
    assert all(status < 500 for statuses in seen.values() for status in statuses)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_no_request_of_many_breaks_the_service(site: Site, mode: GenerationMode) -> None:
    seen = reached(site, 100 * EXAMPLES, mode)
    assert all(status < 500 for statuses in seen.values() for status in statuses)
    # What goes through is tried as well as what is refused.
    good = mode is GenerationMode.POSITIVE
    assert (200 if good else 422) in seen["GET /api/v1/alerts"]
    assert (201 if good else 422) in seen["POST /api/v1/missed"]
