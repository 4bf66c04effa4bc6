"""A feed to test: a migrated database, people in every role, and a clock that stands still unless moved."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2 as httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from moderation import ingest, users
from moderation.app import create_app
from moderation.db import Database
from moderation.permissions import ROLES, SYSTEM, Actor
from moderation.services import Services, Settings, build_services
from moderation.topic_records import read_alert, read_page
from streaming.schema.alert import AlertRecord, PageRecord
from tests.moderation import builders

NOW = 1_800_000_000_000


@dataclass
class Clock:
    """A wall clock in ms that moves when told."""

    at: int = NOW

    def __call__(self) -> int:
        return self.at

    def pass_s(self, seconds: float) -> None:
        self.at += round(seconds * 1000)


@dataclass
class Feed:
    """A database with people in it, and the functions under test around it."""

    database: Database
    clock: Clock
    actors: dict[str, Actor]
    sent: list[bytes] = field(default_factory=list)

    def put(self, *records: AlertRecord | PageRecord) -> ingest.IngestCounts:
        """Take records of `alerts` and `alert-details` in."""
        counts = ingest.IngestCounts()
        alerts = [read_alert(builders.line(each)) for each in records if isinstance(each, AlertRecord)]
        pages = [read_page(builders.line(each)) for each in records if isinstance(each, PageRecord)]
        with self.database.write() as connection:
            ingest.store_alerts(connection, alerts, self.clock(), counts)
            ingest.store_pages(connection, pages, counts)
        return counts

    def do(self, work: Callable[..., Any], who: str, *arguments: Any, **named: Any) -> Any:
        """Run `work(connection, actor, ..., now)` in a transaction."""
        with self.database.write() as connection:
            return work(connection, self.actors[who], *arguments, now=self.clock(), **named)

    def see(self, work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Run `work(connection, ...)` on a connection that only looks."""
        with self.database.read() as connection:
            return work(connection, *arguments, **named)


@pytest.fixture(scope="session")
def fast_passwords() -> Iterator[None]:
    """Argon2 as cheap as it gets: what is tested is not how slow it is."""
    before = users._hasher, users._nobody
    cheap = type(before[0])(time_cost=1, memory_cost=8, parallelism=1)
    users._hasher, users._nobody = cheap, cheap.hash("nobody")  # type: ignore[misc]
    yield
    users._hasher, users._nobody = before  # type: ignore[misc]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, fast_passwords: None) -> tuple[Path, dict[str, Actor]]:
    """A migrated database with one person in each role (and a second moderator), to be copied."""
    path = tmp_path_factory.mktemp("feed") / "template.db"
    database = Database(f"sqlite:///{path}")
    actors = {}
    with database.write() as connection:
        for name, role in [*((role, role) for role in ROLES), ("colleague", "moderator")]:
            number = users.add_user(connection, SYSTEM, name, role, f"password of {name}", NOW)
            login = users.begin_session(connection, number, NOW, "test")
            actor = users.find_session(connection, login.cookie, NOW)
            assert actor is not None
            actors[name] = actor
    database.close()
    return path, actors


@pytest.fixture
def feed(tmp_path: Path, template: tuple[Path, dict[str, Actor]]) -> Iterator[Feed]:
    path = tmp_path / "feed.db"
    shutil.copy(template[0], path)
    database = Database(f"sqlite:///{path}")
    yield Feed(database, Clock(), dict(template[1]))
    database.close()


class Browser:
    """Somebody's browser: keeps the cookie, sends forms with the page's secret."""

    def __init__(self, client: TestClient, csrf: str) -> None:
        self.client = client
        self.csrf = csrf

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.client.get(path, **more)

    def post(self, path: str, data: dict[str, Any] | None = None, **more: Any) -> httpx.Response:
        return self.client.post(path, data={"csrf": self.csrf} | (data or {}), **more)

    def api(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"x-csrf-token": self.csrf} | more.pop("headers", {})
        return self.client.request(method, f"/api/v1{path}", headers=headers, **more)


@dataclass
class Site:
    """A served feed (in this process), without background loops."""

    feed: Feed
    services: Services
    app: FastAPI

    def client(self) -> TestClient:
        """Somebody nobody knows."""
        return TestClient(
            self.app,
            base_url="http://localhost",
            follow_redirects=False,
            raise_server_exceptions=False,
        )

    def browser(self, who: str) -> Browser:
        """Somebody who has logged in."""
        with self.feed.database.write() as connection:
            login = users.begin_session(connection, self.feed.actors[who].user_id, self.feed.clock(), "test")
            actor = users.find_session(connection, login.cookie, self.feed.clock())
        assert actor is not None
        client = self.client()
        client.cookies.set("swarmlight", login.cookie, domain="localhost.local")
        return Browser(client, actor.csrf)

    def token(self, who: str, *scopes: str) -> dict[str, str]:
        """Headers of a program that acts for somebody."""
        actor = self.feed.actors[who]
        with self.feed.database.write() as connection:
            user = users.user_by_name(connection, actor.name)
            value = users.add_token(connection, actor, user, "test", scopes, 1, self.feed.clock())[1]
        return {"authorization": f"Bearer {value}"}


@pytest.fixture(scope="session")
def app(template: tuple[Path, dict[str, Actor]]) -> FastAPI:
    """Routes take a third of a second to make: they are made once, and given each test's services."""
    return create_app(build_services(Database(f"sqlite:///{template[0]}"), Settings()))


@pytest.fixture
def site(feed: Feed, app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A served feed whose rate limits go by the feed's clock, too."""
    monkeypatch.setattr("limits.storage.memory.time", SimpleNamespace(time=lambda: feed.clock() / 1000))
    services = build_services(feed.database, Settings(), feed.clock)
    app.state.services = services
    return Site(feed, services, app)


class ListSink:
    """Keeps what is sent; fails when told."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.fail_after: int | None = None

    def send(self, records: Any) -> None:
        for record in records:
            if self.fail_after is not None and len(self.bodies) >= self.fail_after:
                raise OSError("the disk is full")
            self.bodies.append(record.body)

    def close(self) -> None:
        """Nothing to close."""
