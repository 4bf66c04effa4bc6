"""The alert store: ids, the number of alerts a day, and what a revision changes."""

from __future__ import annotations

from streaming.assess.alert_store import AlertStore, account_alert_id

DAY = 86_400_000


def test_a_new_day_brings_new_alerts() -> None:
    store = AlertStore()
    assert [store.admit(at, 2) for at in (DAY, DAY, DAY, DAY + 1)] == [True, True, False, True]
    unlimited = AlertStore()
    assert [unlimited.admit(DAY, 0) for _ in range(50)] == [True] * 50


def test_an_account_s_alert_is_named_by_its_hash() -> None:
    assert account_alert_id("ann") == account_alert_id("ann") != account_alert_id("bob")
    assert "ann" not in account_alert_id("ann")


def test_alerts_are_found_by_id_and_by_account_and_keep_their_count() -> None:
    store = AlertStore()
    ann, group = store.open_account("ann"), store.open_group("g1", "coordination")
    assert store.get(account_alert_id("ann")) is store.of_account("ann") is ann
    assert store.get("g1") is group
    assert store.get("g2") is store.of_account("bob") is None
    ann.revise("open", (3.0,))
    ann.revise("withdrawn", (0.0,))
    assert store.open_account("ann").revision == 2
    assert store.open_group("g1", "campaign") is group
    assert group.kind == "campaign"


def test_only_an_open_revision_shows_anybody() -> None:
    alert = AlertStore().open_group("g1", "campaign")
    alert.revise("open", (3.0,))
    alert.members, alert.shown, alert.merged_into = ["ann"], [b"key"], "g2"
    alert.revise("merged", (3.0,))
    assert (alert.open, alert.members, alert.shown, alert.merged_into) == (False, [], [], "g2")
    alert.revise("open", (3.0,))
    assert alert.merged_into is None
    assert (alert.open, alert.revision) == (True, 3)
