"""The API, tried with requests made from its own description: no server error, whatever comes."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error

from moderation import decisions
from moderation.decisions import Wish
from tests.moderation.builders import alert, pages
from tests.moderation.conftest import Feed, Site

EXAMPLES = 4
"""Requests per route by default; `make chaos` tries a hundred times as many."""


def reached(site: Site, examples: int) -> dict[str, set[int]]:
    """Try every route; the statuses that each gave."""
    fill(site.feed)
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", site.app)
    headers = site.token("admin", "read", "work", "lead", "admin")
    seen: dict[str, set[int]] = {}
    for result in schema.get_all_operations():
        operation = result.ok()
        label = operation.label
        if label == "GET /api/v1/live":
            # It never ends; that it begins is tested elsewhere.
            continue
        seen[label] = set()

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def attempt(case: Any, label: str = label) -> None:
            response = case.call(headers=headers)
            seen[label].add(response.status_code)
            case.validate_response(response, checks=[not_a_server_error], headers=headers)

        given(case=operation.as_strategy())(attempt)()
    return seen


def fill(feed: Feed) -> None:
    feed.put(alert("c1"), *pages(), alert("a1", kind="account", accounts=("zoe",)), alert("m", status="merged",
             merged_into="c1"), alert("w", revision=2, status="withdrawn"))  # fmt: skip
    feed.do(decisions.decide, "moderator", Wish("a1", "llm_campaign"))


def test_no_request_breaks_the_service(site: Site) -> None:
    site.services.requests._burst = 1_000_000
    site.services.addresses._burst = 1_000_000
    seen = reached(site, EXAMPLES)
    assert len(seen) >= 29
    assert all(status < 500 for statuses in seen.values() for status in statuses)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_request_of_many_breaks_the_service(site: Site) -> None:
    site.services.requests._burst = 10_000_000
    site.services.addresses._burst = 10_000_000
    seen = reached(site, 100 * EXAMPLES)
    # What goes through is tried as well as what is refused.
    assert {200, 422} <= seen["GET /api/v1/alerts"]
    assert 201 in seen["POST /api/v1/missed"]
