"""The summary of an alert: its order in the queue and its title."""

from __future__ import annotations

from moderation.cases import summarise
from moderation.topic_records import read_alert
from tests.moderation.builders import alert, line


def test_campaigns_come_before_accounts_and_large_before_small() -> None:
    def urgency(**more: object) -> float:
        return summarise(read_alert(line(alert(**more)))).urgency  # type: ignore[arg-type]

    order = [
        urgency(accounts=[f"u{n}" for n in range(50)]), urgency(), urgency(kind="account", accounts=["ada"]),
        urgency(kind="coordination", accounts=[f"u{n}" for n in range(1000)]),
    ]  # fmt: skip
    assert order == sorted(order, reverse=True)


def test_a_name_with_a_comma_is_one_name() -> None:
    record = read_alert(line(alert(accounts=["Smith, Jane", "bob"])))
    assert len(summarise(record).title.split(", ")) == 2
