"""Live updates: whoever was away gets what changed meanwhile, from whichever process answers; nothing is sent twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import anyio
import pytest
from sse_starlette import ServerSentEvent

from detector.errors import FeedError
from moderation import live, queue
from moderation.feed_metrics import FeedMetrics
from moderation.live import Hub
from tests.moderation.builders import alert
from tests.moderation.conftest import Feed, Site

UNTIL = 2**50

Found = TypeVar("Found")


def read(event: ServerSentEvent) -> dict[str, Any]:
    """The fields of one event as a browser gets them, its data as JSON."""
    fields = dict(line.split(": ", 1) for line in event.encode().decode().splitlines() if line)
    return fields | {"data": json.loads(fields["data"])}


def hub_of(feed: Feed) -> Hub:
    return Hub(feed.database, FeedMetrics(), feed.clock)


def run(work: Coroutine[Any, Any, Found]) -> Found:
    """What `work` gives, in a thread of its own: a browser driven by the same tests has a loop running in this one."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(asyncio.run, work).result()


def first_events(hub: Hub, count: int, since: int | None) -> list[dict[str, Any]]:
    """That many events of a browser that connects now, after being told how long to wait before it connects again."""

    async def listen() -> list[dict[str, Any]]:
        events = await hub.listen("ada", UNTIL, since)
        assert (await anext(events)).encode() == b"retry: 3000\r\n\r\n"
        return [read(await anext(events)) for _ in range(count)]

    return run(listen())


def test_whoever_was_away_gets_what_changed_meanwhile(feed: Feed) -> None:
    feed.put(alert("old"))
    before = hub_of(feed)
    event = before._poll()
    assert event is not None
    seen = int(read(event)["id"])
    assert before._poll() is None
    feed.clock.pass_s(60)
    feed.put(alert("new"))
    feed.clock.pass_s(60)
    feed.do(queue.claim, "moderator", "old")
    feed.clock.pass_s(60)
    # A process that has just started knows nothing of what the first one sent.
    hello, meanwhile = first_events(hub_of(feed), 2, seen)
    assert hello["event"] == "hello"
    data = meanwhile["data"]
    assert (data["changed"], data["arrived"], data["more"]) == (["old", "new"], ["new"], 0)
    # What somebody has claimed waits for nobody else.
    assert (data["waiting"], data["for_leads"]) == (1, 0)
    assert data["times"] == [feed.clock() - 60_000, feed.clock() - 120_000]
    assert int(meanwhile["id"]) == feed.clock() - 60_000
    # Whoever saw that gets nothing but the greeting.
    (again,) = first_events(hub_of(feed), 1, feed.clock())
    assert (again["event"], int(again["id"])) == ("hello", feed.clock())


def test_a_change_is_sent_once_even_where_its_transaction_was_slow(feed: Feed) -> None:
    hub = hub_of(feed)
    hub._poll()
    feed.clock.pass_s(2)
    feed.put(alert("fast"))
    event = hub._poll()
    assert event is not None
    assert read(event)["data"]["changed"] == ["fast"]
    # Begun a second earlier, committed only now.
    feed.clock.pass_s(-1)
    feed.put(alert("slow"))
    feed.clock.pass_s(2)
    event = hub._poll()
    assert event is not None
    assert read(event)["data"]["changed"] == ["slow"]
    assert hub._poll() is None


def test_what_waits_for_leads_alone_is_counted_apart(feed: Feed) -> None:
    feed.put(alert("a"), alert("b"))
    feed.do(queue.escalate, "moderator", "a")
    event = hub_of(feed)._poll()
    assert event is not None
    data = read(event)["data"]
    assert (data["waiting"], data["for_leads"]) == (2, 1)


def test_of_many_changes_only_the_number_is_sent(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_IDS", 3)
    feed.put(*(alert(f"a{n}", kind="account", accounts=(f"u{n}",)) for n in range(10)))
    _, meanwhile = first_events(hub_of(feed), 2, 0)
    assert len(meanwhile["data"]["changed"]) == 3
    assert meanwhile["data"]["more"] == 7


def test_one_user_has_at_most_eight_windows(feed: Feed) -> None:
    async def open_all() -> int:
        hub = hub_of(feed)
        windows = [await hub.listen("ada", UNTIL) for _ in range(live.MAX_LISTENERS_PER_USER)]
        for each in windows:
            await anext(each)
        with pytest.raises(FeedError, match="too many windows"):
            await hub.listen("ada", UNTIL)
        await anext(await hub.listen("bob", UNTIL))
        await windows[0].aclose()  # type: ignore[attr-defined]
        await anext(await hub.listen("ada", UNTIL))
        return len(windows)

    assert run(open_all()) == 8


@pytest.mark.parametrize(
    ("headers", "wanted"), [({}, 0), ({"last-event-id": "1799999999000"}, 1), ({"last-event-id": "é9"}, 0)]
)
def test_the_browser_s_own_header_names_the_last_event(
    site: Site, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], wanted: int
) -> None:
    monkeypatch.setattr("moderation.api.user_routes.STREAM_MS", 0)
    site.feed.put(alert())
    answer = site.browser("viewer").get("/api/v1/live", headers={k: v.encode() for k, v in headers.items()})
    assert answer.text.count("event: change") == wanted


def test_a_stream_ends_by_itself_when_the_feed_does(feed: Feed) -> None:
    async def follow() -> list[ServerSentEvent]:
        ending = anyio.Event()
        events = await hub_of(feed).listen("ada", UNTIL, None, ending)
        first = await anext(events)
        ending.set()
        return [first, *[event async for event in events]]

    assert [event.event for event in run(follow())] == [None, "hello"]
