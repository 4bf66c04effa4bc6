"""What an alert shows besides evidence: what events said of its members, and posts of others that they passed on."""

from __future__ import annotations

from typing import Any

import pytest

from streaming.schema.alert import AccountProfileRecord, AlertRecord
from tests.streaming.assess import societies
from tests.streaming.assess.test_alerts import run
from tests.streaming.builders import T0, event

MINUTE = 60_000

CREATED = T0 - 86_400_000


def with_profiles() -> list[dict[str, Any]]:
    """A campaign whose first account says something of itself, and whose members repost and answer an outsider."""
    items = societies.campaign(0, people=30)
    for item in items:
        if item["account"] == "m0":
            item["profile"] = {"created_at": CREATED, "followers": 12}
        if item["account"] == "m1":
            item["profile"] = {"automated": False}
    items.append(event("mayor", at=1000, id="speech/1", text="the pumps were paid for by the old council"))
    for number in range(6):
        for kind in ("repost", "reply"):
            name = f"of-mayor-{kind}-{number}"
            items.append(
                event(f"m{number}", at=(5 + number) * MINUTE, id=name, kind=kind, text="so it was", target="speech/1",
                      target_account="mayor")
            )  # fmt: skip
    items[-1]["profile"] = {"followers": -5}
    return sorted(items, key=lambda item: item["at"])


@pytest.fixture(scope="module")
def campaign() -> AlertRecord:
    return next(alert for alert in run(with_profiles()).alerts() if alert.kind == "campaign")


def test_what_events_say_of_an_account_is_shown_with_it(campaign: AlertRecord) -> None:
    said = {member.account: member.profile for member in campaign.members}
    assert said["m0"] == AccountProfileRecord("2025-12-31T00:00:00Z", 12, None)
    assert said["m1"] == AccountProfileRecord(None, None, False)
    # A number that is none is as if it had not been said.
    assert said["m5"] is None
    assert said["m2"] is None


def test_posts_of_others_that_members_passed_on_are_quoted_once(campaign: AlertRecord) -> None:
    (target,) = campaign.targets
    assert (target.account, target.id, target.text) == (
        "mayor",
        "speech/1",
        "the pumps were paid for by the old council",
    )
    # Members who repost each other are the group, not what it answers.
    assert not {post.account for post in campaign.targets} & {member.account for member in campaign.members}
