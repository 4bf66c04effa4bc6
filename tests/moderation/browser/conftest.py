"""A served feed and a browser: one of each for all tests here. Without Chromium or Playwright they are skipped."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import uvicorn

from moderation import ingest, users
from moderation.app import create_app
from moderation.db import Database
from moderation.outbox import FeedbackFile, FeedbackLoop
from moderation.permissions import ROLES, SYSTEM, Actor
from moderation.services import Settings, build_services
from moderation.topic_records import read_alert, read_page
from streaming.schema.alert import AlertRecord, PageRecord
from tests.moderation import builders

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WAIT_MS: Final = 30_000
"""A browser beside other tests on two cores is slow; what is awaited is there in a fraction of it."""

FLAGS: Final = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions"]


def chromium_path() -> str:
    """Debian's browser; skips where there is none."""
    found = os.environ.get("SWARMLIGHT_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("no Chromium: install Debian's package chromium, or name one in SWARMLIGHT_CHROMIUM")
    return found


@dataclass
class Served:
    """A feed behind an address, with a person in each role (and passwords `password of NAME`)."""

    address: str
    database: Database
    feedback: Path

    def put(self, *records: AlertRecord | PageRecord) -> None:
        """Let records of `alerts` and `alert-details` arrive."""
        alerts = [read_alert(builders.line(each)) for each in records if isinstance(each, AlertRecord)]
        pages = [read_page(builders.line(each)) for each in records if isinstance(each, PageRecord)]
        counts = ingest.IngestCounts()
        with self.database.write() as connection:
            ingest.store_alerts(connection, alerts, _now(), counts)
            ingest.store_pages(connection, pages, counts)

    def now(self) -> int:
        """The time, ms."""
        return _now()

    def actor(self, who: str) -> Actor:
        """Somebody, as the rest of the code knows them."""
        with self.database.read() as connection:
            found = users.find_session(connection, self.cookie(who)["value"], _now())
        assert found is not None
        return found

    def cookie(self, who: str) -> dict[str, Any]:
        """The cookie of somebody who is in."""
        with self.database.write() as connection:
            person = users.user_by_name(connection, who)
            login = users.begin_session(connection, person.id, _now(), "test")
        return {"name": "swarmlight", "value": login.cookie, "url": self.address}


def _now() -> int:
    return round(time.time() * 1000)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A feed on a free port of this machine, with its live updates and its feedback file."""
    folder = tmp_path_factory.mktemp("served")
    hasher = users._hasher
    users._hasher = type(hasher)(time_cost=1, memory_cost=8, parallelism=1)  # type: ignore[misc]
    database = Database(f"sqlite:///{folder / 'feed.db'}")
    with database.write() as connection:
        for name, role in [*((role, role) for role in ROLES), ("nadia", "moderator")]:
            users.add_user(connection, SYSTEM, name, role, f"password of {name}", _now())
    services = build_services(database, Settings())
    services.feedback = FeedbackLoop(database, FeedbackFile(folder / "feedback.jsonl"), services.metrics, services.now)
    server = uvicorn.Server(
        uvicorn.Config(create_app(services), host="127.0.0.1", port=0, log_level="error", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Served(f"http://127.0.0.1:{port}", database, folder / "feedback.jsonl")
    server.should_exit = True
    thread.join(10)
    database.close()
    users._hasher = hasher  # type: ignore[misc]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for the tests of a file: while it is open, no other can be opened in the process."""
    path = chromium_path()
    api = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install playwright")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


AXE_TAGS: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong on a page, as lines."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="no axe-core: pip install axe-playwright-python"
    )
    options = {"runOnly": {"type": "tag", "values": AXE_TAGS}, "resultTypes": ["violations"]}
    found = axe.Axe().run(page, options=options)
    return [
        f"{page.url} {each['id']}: {node['target']} {node['failureSummary']}"
        for each in found.response["violations"]
        for node in each["nodes"]
    ]


@dataclass
class Visit:
    """Somebody's window, and everything that went wrong in it."""

    page: Page
    problems: list[str]


@pytest.fixture
def visit(served: Served, chromium: Browser) -> Iterator[Callable[..., Visit]]:
    """Open windows; none of them may log an error, ask another host for anything or try what the policy forbids."""
    opened: list[tuple[Any, list[str]]] = []

    def open_(who: str | None, *, problems_expected: bool = False, **options: Any) -> Visit:
        context = chromium.new_context(base_url=served.address, **options)
        context.set_default_timeout(WAIT_MS)
        if who is not None:
            context.add_cookies([served.cookie(who)])  # type: ignore[list-item]
        page = context.new_page()
        problems: list[str] = []
        page.on("console", lambda said: problems.append(f"{said.type}: {said.text}") if said.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith(served.address) else problems.append(asked.url))
        opened.append((context, [] if problems_expected else problems))
        return Visit(page, problems)

    yield open_
    found = [each for _, problems in opened for each in problems]
    for context, _ in opened:
        context.close()
    assert found == [], found
