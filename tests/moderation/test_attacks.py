"""What an attacker would try: each is refused, and nothing of it reaches a page or a log as more than text."""

from __future__ import annotations

import io
import logging
import re
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select

from detector.reasons import NOT_USED, Limitation, Reason, shared_code
from moderation import appeals, decisions, missed_accounts, second_looks
from moderation.database_tables import AlertRow, User
from moderation.decisions import DecisionRequest
from moderation.login_limits import ADDRESS_FAILURES, LOGIN_FAILURES, LOGIN_WINDOW_S
from moderation.middleware import MAX_BODY_BYTES
from moderation.rate_limits import RateLimit
from streaming import logs
from streaming.assess.alert_store import account_alert_id
from streaming.config import LogConfig
from streaming.schema.alert import AlertRecord
from tests.moderation.builders import alert, pages, sampled
from tests.moderation.conftest import Site

SCRIPTS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</textarea><svg/onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}${7*7}",
    "javascript:alert(1)//https://tunnel.example",
    "</title><base href=//evil.example>",
)

INJECTIONS = ("'; DROP TABLE alerts; --", "%' OR '1'='1", "c1\0")


class Page(HTMLParser):
    """What a browser would make of a page: its elements and where they lead."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def active_content(self) -> list[str]:
        """Elements and attributes that would run or load something that is not ours."""
        found = []
        for tag, attributes in self.elements:
            if tag in ("iframe", "object", "embed", "base", "style", "img", "video", "audio"):
                found.append(tag)
            if tag == "svg" and not str(attributes.get("class", "")).startswith("chart "):
                found.append(tag)
            if tag == "script" and not str(attributes.get("src", "")).startswith("/static/"):
                found.append("script")
            for name, value in attributes.items():
                if name.startswith("on") or name == "style":
                    found.append(f"{tag} {name}")
                if name in ("href", "src", "action", "formaction") and not re.match(r"/(?!/)|#|$", value or ""):
                    found.append(f"{tag} {name}={value}")
        return found


def alert_with_scripts() -> AlertRecord:
    """An alert with a script in every place that a stranger fills, and in those that only assess should fill."""
    record = alert("c1", accounts=SCRIPTS, texts=SCRIPTS)
    reasons = [
        Reason(SCRIPTS[0], component=SCRIPTS[1], objects=[SCRIPTS[2]]),
        Reason(shared_code(SCRIPTS[3]), observed=3, expected=0.5, posts=[SCRIPTS[0]]),
        Reason(SCRIPTS[2]),
    ]
    return msgspec.structs.replace(
        record,
        reasons=reasons,
        why=list(SCRIPTS),
        limitations=[Limitation(script) for script in SCRIPTS] + [Limitation(NOT_USED, "graph", SCRIPTS[0])],
        limits=list(SCRIPTS),
        models={SCRIPTS[0]: SCRIPTS[1]},
        edges=[
            msgspec.structs.replace(edge, objects=[text], kind=text)
            for edge, text in zip(record.edges, SCRIPTS, strict=False)
        ],
    )


def test_an_alert_of_version_1_shows_its_sentences_as_text(site: Site) -> None:
    old = msgspec.structs.replace(alert_with_scripts(), v=1, reasons=[], limitations=[])
    site.feed.put(old)
    page = Page(site.browser("moderator").get("/alerts/c1").text)
    assert page.active_content() == []
    assert all(script in page.text for script in SCRIPTS)


def test_a_stored_script_is_text_on_every_page(site: Site) -> None:
    site.feed.put(alert_with_scripts(), *pages("c1", accounts=SCRIPTS))
    site.feed.do(decisions.decide, "moderator", DecisionRequest(
        "c1", "needs_more", policy=SCRIPTS[0], reason=SCRIPTS[1], note=SCRIPTS[3], account=SCRIPTS[0],
    ))  # fmt: skip
    admin = site.browser("admin")
    admin.post("/views", {"name": SCRIPTS[0], "query": "q=" + SCRIPTS[1]})
    admin.post("/me/tokens", {"name": SCRIPTS[1], "scopes": "read"})
    shown = ["/queue", "/alerts/c1", "/decisions", "/audit", "/people", "/me", "/nowhere<script>"]
    for script in SCRIPTS:
        shown += [f"/account?name={script}".replace("#", "%23"), f"/queue?q={script[:150]}", f"/missed?name={script}"]
    for path in shown:
        answer = admin.get(path)
        assert answer.status_code in (200, 404), path
        assert Page(answer.text).active_content() == [], path
    text = Page(admin.get("/alerts/c1").text).text
    assert all(script in text for script in SCRIPTS)
    bulk = admin.post(
        "/bulk/preview", {"action": "decide", "decision": "needs_more", "ids": "c1", "reason": SCRIPTS[1]}
    )
    assert bulk.status_code == 200
    assert Page(bulk.text).active_content() == []
    graph = admin.get("/alerts/c1/graph.json")
    assert graph.headers["content-type"] == "application/json"


def test_a_stored_script_is_text_on_the_pages_of_the_sample_of_second_looks_and_of_appeals(site: Site) -> None:
    own = account_alert_id(SCRIPTS[0])
    site.feed.put(alert(own, kind="account", accounts=SCRIPTS[:1], texts=SCRIPTS))
    drawn = sampled(SCRIPTS[1])
    posts = [msgspec.structs.replace(drawn.posts[0], text=script) for script in SCRIPTS]
    with site.feed.database.write() as connection:
        second_looks.set_share(connection, 1.0)
        missed_accounts.store(connection, [msgspec.structs.replace(drawn, posts=posts)], site.feed.clock())
    request = DecisionRequest(own, "llm_campaign", policy=SCRIPTS[1], reason=SCRIPTS[2], note=SCRIPTS[3])
    number = site.feed.do(decisions.decide, "moderator", request)
    token = site.feed.do(appeals.make_notice, "moderator", SCRIPTS[0])
    with site.feed.database.write() as connection:
        appeals.appeal_by_notice(connection, token, SCRIPTS[4], site.feed.clock())
    admin = site.browser("admin")
    sample = f"/blind-sample/{drawn.id}"
    for path in ("/appeals", "/results", "/actions?state=all", f"/notice/{token}", "/second-looks", sample,
                 f"/second-looks/{number}"):  # fmt: skip
        answer = admin.get(path)
        assert answer.status_code == 200, path
        assert Page(answer.text).active_content() == [], path
    text = Page(admin.get(sample).text).text
    assert all(script in text for script in SCRIPTS)


def test_what_cannot_be_seen_is_shown(site: Site) -> None:
    site.feed.put(alert(accounts=("evil\u202egpj.exe", "zero\u200bwidth"), texts=("abc\u2066def",)))
    text = site.browser("viewer").get("/alerts/c1").text
    assert "evil⟨U+202E⟩gpj.exe" in text
    assert "zero⟨U+200B⟩width" in text
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b]", text)


def test_every_answer_carries_the_strict_policy(site: Site) -> None:
    browser = site.browser("viewer")
    for path in ("/queue", "/login", "/nope", "/api/v1/me", "/static/app.css", "/api/v1/nope", "/healthz"):
        headers = browser.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"
    assert browser.get("/queue").headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"}, {"origin": "http://localhost.evil.example"},
    ],
)  # fmt: skip
def test_a_forged_request_is_refused_even_with_the_secret(site: Site, headers: dict[str, str]) -> None:
    site.feed.put(alert())
    browser = site.browser("moderator")
    assert browser.post("/alerts/c1/claim", headers=headers).status_code == 403
    assert browser.api("POST", "/alerts/c1/claim", headers=headers).status_code == 403
    if "origin" in headers:
        data = {"name": "lead", "password": "password of lead"}
        assert site.client().post("/login", data=data, headers=headers).status_code == 403


def test_a_request_without_the_page_s_secret_is_refused(site: Site) -> None:
    site.feed.put(alert())
    browser, other = site.browser("moderator"), site.browser("lead")
    for secret in ("", "x", other.csrf, "é"):
        assert browser.client.post("/alerts/c1/claim", data={"csrf": secret}).status_code == 403
    for header in ({}, {"x-csrf-token": "x"}, {"x-csrf-token": other.csrf}):
        assert browser.client.post("/api/v1/alerts/c1/claim", headers=header).status_code == 403
    for path in ("/logout", "/people", "/queue/next", "/views", "/missed", "/me/tokens", "/password"):
        assert browser.client.post(path, data={"name": "x"}).status_code == 403, path
    assert browser.client.post("/alerts/c1/claim", json={"csrf": browser.csrf}).status_code == 400


def test_nobody_gains_rights(site: Site) -> None:
    moderator = site.browser("moderator")
    me = site.feed.actors["moderator"].user_id
    assert moderator.api("PATCH", f"/users/{me}", json={"role": "admin"}).status_code == 403
    assert moderator.post(f"/people/{me}", {"role": "admin"}).status_code == 403
    assert moderator.api("POST", "/views", json={"name": "x", "shared": True}).status_code == 403
    assert moderator.post("/me/tokens", {"name": "x", "scopes": "admin"}).status_code == 403
    lead = site.browser("lead")
    assert lead.post("/people", {"name": "friend", "role": "admin"}).status_code == 403
    assert lead.post(f"/people/{site.feed.actors['admin'].user_id}/link").status_code == 403
    with site.feed.database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(User)) == 5


def test_ids_of_others_open_nothing(site: Site) -> None:
    site.feed.put(alert())
    number = site.feed.do(decisions.decide, "colleague", DecisionRequest("c1", "llm_campaign"))
    made = site.browser("colleague").api("POST", "/views", json={"name": "mine"}).json()["id"]
    moderator = site.browser("moderator")
    assert moderator.api("POST", f"/decisions/{number}/undo", json={}).status_code == 403
    assert moderator.post(f"/decisions/{number}/undo").status_code == 403
    assert moderator.api("DELETE", f"/views/{made}").status_code == 404
    assert moderator.api("GET", "/views").json()["views"] == []
    for guess in ("../../etc/passwd", "%2e%2e%2fetc", "a" * 500, "c%00", "é"):
        assert moderator.get(f"/alerts/{guess}").status_code in (404, 405, 422), guess
        assert moderator.get(f"/static/{guess}").status_code == 404, guess


@pytest.mark.parametrize("text", INJECTIONS)
def test_sql_is_text(site: Site, text: str) -> None:
    site.feed.put(alert(), alert("c2", accounts=(text, "bob")))
    admin = site.browser("admin")
    for params in (
        {"q": text},
        {"state": text},
        {"sort": text},
        {"cursor": text},
        {"min_members": text},
        {"kind": text},
    ):
        for path in ("/queue", "/api/v1/alerts"):
            assert admin.get(path, params=params).status_code in (200, 400, 422), params
    assert admin.get("/account", params={"name": text}).status_code in (200, 404)
    assert admin.get("/decisions", params={"cursor": text}).status_code == 400
    assert admin.get("/audit", params={"before": text}).status_code == 200
    for path, data in {
        "/missed": {"account": text, "reason": "x"},
        "/people": {"name": text, "role": text},
        "/views": {"name": "v", "query": text},
        "/alerts/c1/decide": {"decision": text, "account": text},
        "/alerts/c1/assign": {"user": text},
        "/bulk/preview": {"action": text, "ids": text},
        "/login": {"name": text, "password": text},
    }.items():
        assert admin.post(path, data).status_code < 500, path
    with site.feed.database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(AlertRow)) == 2


def test_bytes_that_are_no_text_break_nothing(site: Site) -> None:
    site.feed.put(alert())
    browser = site.browser("moderator")
    form = {"content-type": "application/x-www-form-urlencoded"}
    secret = f"csrf={browser.csrf}".encode()
    for bad in (b"%ff%fe", b"%ED%A0%80", b"%00", b"\xff\xfe"):
        for path in ("/missed", "/alerts/c1/decide", "/login", "/views"):
            body = (
                secret + b"&account=" + bad + b"&name=" + bad + b"&reason=" + bad + b"&decision=needs_more&note=" + bad
            )
            assert browser.client.post(path, content=body, headers=form).status_code < 500, (path, bad)
        raw = b'{"account": "a' + bad + b'"}'
        assert browser.api("POST", "/missed", content=raw).status_code < 500
        assert browser.client.get("/queue?q=" + bad.decode("latin-1")).status_code < 500
    assert browser.api("POST", "/missed", content=b'{"account": "\\ud800"}').status_code in (400, 422)
    multipart = {"content-type": "multipart/form-data; boundary=x"}
    assert browser.client.post("/missed", content=b"--x\r\ngarbage", headers=multipart).status_code in (400, 403)
    assert (
        browser.client.post("/missed", content=b"", headers={"content-type": "multipart/form-data"}).status_code == 400
    )


def test_oversized_input_is_refused(site: Site) -> None:
    site.feed.put(alert())
    browser = site.browser("moderator")
    huge = "x" * (MAX_BODY_BYTES + 1)
    assert browser.post("/alerts/c1/decide", {"note": huge}).status_code == 413
    assert browser.api("POST", "/alerts/c1/decisions", content=huge.encode()).status_code == 413

    def stream() -> Any:
        for _ in range(20):
            yield b"x" * 20_000

    assert browser.api("POST", "/alerts/c1/decisions", content=stream()).status_code in (400, 413)
    assert browser.get("/queue?q=" + "x" * 9000).status_code == 414
    assert browser.post("/alerts/c1/decide", {"decision": "needs_more", "note": "x" * 3000}).status_code == 400
    assert (
        browser.api("POST", "/alerts/c1/decisions", json={"decision": "needs_more", "note": "x" * 3000}).status_code
        == 422
    )
    many = {f"field{number}": "x" for number in range(600)}
    assert browser.post("/alerts/c1/decide", many).status_code == 400
    deep = b"[" * 50_000 + b"]" * 50_000
    assert browser.api("POST", "/alerts/c1/decisions", content=deep).status_code in (400, 422)
    files = {"upload": ("a.txt", b"x", "text/plain")}
    assert browser.client.post("/missed", files=files, data={"csrf": browser.csrf}).status_code == 400


def test_guessing_passwords_is_slowed_down_and_only_for_whom_it_is_tried(site: Site) -> None:
    client = site.client()
    answers = [client.post("/login", data={"name": "lead", "password": f"guess number {n}"}).status_code
               for n in range(LOGIN_FAILURES + 3)]  # fmt: skip
    assert answers == [401] * LOGIN_FAILURES + [429] * 3
    right = client.post("/login", data={"name": "lead", "password": "password of lead"})
    assert right.status_code == 429
    site.feed.clock.pass_s(2 * LOGIN_WINDOW_S)
    late = client.post("/login", data={"name": "lead", "password": "password of lead"})
    assert late.status_code == 303


def test_guessing_many_names_from_one_address_is_slowed_down(site: Site) -> None:
    client = site.client()
    codes = [client.post("/login", data={"name": f"name{n}", "password": "a wrong password"}).status_code
             for n in range(ADDRESS_FAILURES + 3)]  # fmt: skip
    assert codes == [401] * ADDRESS_FAILURES + [429] * 3


def test_too_many_requests_are_refused(site: Site) -> None:
    site.services.user_limit = RateLimit(5, 60)
    browser = site.browser("viewer")
    codes = [browser.get("/me").status_code for _ in range(7)]
    assert codes == [200] * 5 + [429] * 2
    assert site.browser("lead").get("/me").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8080", ""])
def test_another_name_for_this_address_is_not_answered(site: Site, host: str) -> None:
    assert site.client().get("/login", headers={"host": host}).status_code == 421
    assert site.client().get("/login", headers={"host": "127.0.0.1:8080"}).status_code == 200


def test_no_text_of_a_stranger_reaches_the_log_or_a_metric(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    logs.configure(LogConfig(), log)
    forged = 'x\r\n{"level": "INFO", "message": "all is well"}\x1b[2J'
    site.feed.put(alert("c1", accounts=(forged, "bob"), texts=(forged,)))
    browser = site.browser("moderator")

    def fail(*_: object, **__: object) -> None:
        raise ValueError(forged)

    browser.post("/login", {"name": forged, "password": forged})
    browser.get("/account", params={"name": forged})
    browser.get("/queue", params={"q": forged})
    browser.client.request("BREW", "/queue")
    monkeypatch.setattr("moderation.alert_lists.list_alerts", fail)
    assert browser.get("/queue").status_code == 500
    monkeypatch.undo()
    lines = log.getvalue().splitlines()
    assert lines
    assert all(line.isascii() and line.isprintable() and line.startswith('{"at":') for line in lines)
    metrics = browser.get("/metrics").text
    assert "all is well" not in metrics
    assert "BREW" not in metrics
    assert "c1" not in re.sub(r"_created|[0-9.]+e[+-]\d+", "", metrics)
    logging.getLogger().handlers.clear()


def test_an_error_tells_nothing_of_the_inside(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("SELECT secret FROM inside")

    monkeypatch.setattr("moderation.alert_lists.list_alerts", fail)
    browser = site.browser("moderator")
    page = browser.get("/queue")
    assert page.status_code == 500
    assert "secret" not in page.text
    answer = browser.get("/api/v1/alerts")
    assert "secret" not in answer.text
