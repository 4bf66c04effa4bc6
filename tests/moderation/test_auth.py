"""Who gets in, and what each role and each token may do: every route is asked as everybody."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from msgspec.structs import replace as replace_struct
from sqlalchemy import select

from moderation import missed_accounts, users
from moderation.database_tables import Session, User
from moderation.login_limits import LOGIN_FAILURES, NAME_FAILURES, network_of
from moderation.permissions import RIGHTS, ROLES, SCOPES
from tests.moderation.builders import alert, sampled
from tests.moderation.conftest import Site

NOBODY = "00000000000000000000000000000000"
NO_DECISION = "00000000-0000-4000-8000-000000000000"

NEEDED: dict[str, tuple[str, dict[str, Any] | None]] = {
    "GET /alerts": ("read", None),
    "GET /alerts/{alert_id}": ("read", None),
    "GET /alerts/{alert_id}/details": ("read", None),
    "POST /claim-next": ("work", None),
    "POST /alerts/{alert_id}/claim": ("work", None),
    "POST /alerts/{alert_id}/release": ("work", None),
    "POST /alerts/{alert_id}/assign": ("lead", {"user": NOBODY}),
    "POST /alerts/{alert_id}/snooze": ("work", {"minutes": 0}),
    "POST /alerts/{alert_id}/escalate": ("work", None),
    "POST /alerts/{alert_id}/hand-back": ("lead", None),
    "POST /alerts/{alert_id}/skip": ("work", None),
    "POST /alerts/{alert_id}/comments": ("work", {"text": "look at page 41"}),
    "POST /alerts/{alert_id}/decisions": ("work", {"decision": "needs_more", "account": "nobody here"}),
    "POST /decisions/{decision_id}/undo": ("work", {}),
    "POST /missed": ("work", {"account": "x"}),
    "GET /decisions": ("read", None),
    "POST /bulk/preview": ("work", {"action": "claim", "ids": ["c1"]}),
    "POST /bulk/apply": (
        "work",
        {"order": {"action": "claim", "ids": ["c1"]}, "revisions": {}, "until": 0, "made": 0, "proof": "0" * 64},
    ),
    "GET /policies": ("read", None),
    "GET /deliveries": ("lead", None),
    "POST /deliveries/{delivery_id}/again": ("lead", None),
    "POST /outcomes": ("report", {"delivery": NO_DECISION, "outcome": "removed"}),
    "GET /accounts": ("read", None),
    "GET /views": ("read", None),
    "POST /views": ("read", {"name": "v"}),
    "DELETE /views/{view_id}": ("read", None),
    "GET /me": ("read", None),
    "GET /users": ("lead", None),
    "POST /users": ("admin", {"name": "new", "role": "viewer"}),
    "PATCH /users/{user_id}": ("admin", {"active": True}),
    "GET /tokens": ("read", None),
    "POST /tokens": ("read", {"name": "t", "scopes": ["read"]}),
    "DELETE /tokens/{token_id}": ("read", None),
    "GET /audit": ("lead", None),
    "GET /audit/verify": ("lead", None),
    "GET /live": ("read", None),
    "GET /appeals": ("read", None),
    "POST /appeals": ("work", {"account": "x", "words": "it was me"}),
    "POST /appeals/{appeal_id}/answer": ("work", {"outcome": "upheld", "reason": "it stands"}),
    "GET /second-looks": ("work", None),
    "GET /second-looks/{decision_id}": ("work", None),
    "POST /second-looks/{decision_id}": ("work", {"decision": "llm_campaign"}),
    "GET /blind-sample": ("work", None),
    "GET /blind-sample/{sample_id}": ("work", None),
    "POST /blind-sample/{sample_id}": ("work", {"decision": "llm_campaign"}),
}
"""Every route of the API: the right it needs, and a body that reaches it."""

PAGES = {
    "/queue": "read", "/alerts/c1": "read", "/alerts/c1/graph.json": "read", "/account?name=ada": "read",
    "/decisions": "read", "/decisions.csv": "read", "/audit.csv": "lead", "/missed": "work",
    "/appeals": "read", "/second-looks": "work", "/blind-sample/s1": "work",
    "/audit": "lead", "/actions": "lead", "/results": "read", "/results.csv": "read", "/people": "admin", "/me": "read",
}  # fmt: skip

FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "/queue/next": ("work", {}),
    "/alerts/c1/claim": ("work", {}),
    "/alerts/c1/release": ("work", {}),
    "/alerts/c1/assign": ("lead", {"user": NOBODY}),
    "/alerts/c1/snooze": ("work", {"minutes": "0"}),
    "/alerts/c1/escalate": ("work", {}),
    "/alerts/c1/hand-back": ("lead", {}),
    "/alerts/c1/skip": ("work", {}),
    "/alerts/c1/comment": ("work", {"comment": "look at page 41"}),
    "/drafts/c1": ("work", {"reason": "half a"}),
    "/bulk/none/undo": ("work", {}),
    f"/second-looks/{NO_DECISION}": ("work", {"decision": "llm_campaign"}),
    "/blind-sample/s1": ("work", {"decision": "llm_campaign"}),
    "/account/notice": ("work", {"name": "ada"}),
    "/account/appeal": ("work", {"name": "ada", "words": "it was me"}),
    f"/appeals/{NOBODY}": ("work", {"outcome": "upheld", "reason": "it stands"}),
    "/alerts/c1/decide": ("work", {"decision": "needs_more", "account": "nobody here"}),
    f"/decisions/{NO_DECISION}/undo": ("work", {}),
    "/missed": ("work", {"account": "x"}),
    "/actions/again": ("lead", {"id": NO_DECISION}),
    "/bulk/preview": ("work", {"action": "claim", "ids": "c1"}),
    "/bulk/apply": ("work", {"action": "claim", "ids": "c1"}),
    "/people": ("admin", {"name": "new2", "role": "viewer"}),
    f"/people/{NOBODY}": ("admin", {}),
    f"/people/{NOBODY}/link": ("admin", {}),
}
"""Every form of the console that needs more than reading."""


def address(route: str) -> tuple[str, str]:
    method, path = route.split(" ")
    for name, value in {"alert_id": "c1", "decision_id": NO_DECISION, "delivery_id": NO_DECISION}.items():
        path = path.replace("{" + name + "}", value)
    path = re.sub(r"\{\w+\}", NOBODY, path)
    return method, path + ("?name=ada" if path == "/accounts" else "")


def test_the_table_of_this_test_has_every_route(site: Site) -> None:
    described = site.app.openapi()["paths"]
    found = {
        f"{method.upper()} {path.removeprefix('/api/v1')}" for path, methods in described.items() for method in methods
    }
    assert found == set(NEEDED)


@pytest.mark.parametrize("who", ["nobody", *ROLES])
def test_each_role_reaches_exactly_what_it_may(site: Site, who: str) -> None:
    site.feed.put(alert())
    with site.feed.database.write() as connection:
        missed_accounts.store(connection, [replace_struct(sampled(), id="s1")], site.feed.clock())
    browser = site.browser(who) if who != "nobody" else None
    client = site.client()
    assert (len(NEEDED), len(PAGES), len(FORMS)) == (45, 17, 25)
    for route, (right, body) in NEEDED.items():
        if route == "GET /live" and who != "nobody":
            continue
        method, path = address(route)
        if browser is None:
            assert client.request(method, f"/api/v1{path}", json=body).status_code == 401, route
            continue
        answer = browser.api(method, path, json=body)
        refused = answer.status_code == 403
        assert refused == (right not in RIGHTS[who]), (route, answer.status_code, answer.text)
        assert answer.status_code < 500, (route, answer.text)
    for path, right in PAGES.items():
        if browser is None:
            assert client.get(path).headers["location"].startswith("/login"), path
        else:
            assert browser.get(path).status_code == (200 if right in RIGHTS[who] else 403), path
    for path, (right, data) in FORMS.items():
        if browser is None:
            assert client.post(path, data=data).status_code == 401, path
        else:
            answer = browser.post(path, data)
            assert (answer.status_code == 403) == (right not in RIGHTS[who]), (path, answer.status_code)
            assert answer.status_code < 500, path


@pytest.mark.parametrize("scope", SCOPES)
def test_a_token_reaches_exactly_what_its_scope_allows(site: Site, scope: str) -> None:
    site.feed.put(alert())
    headers = site.token("admin", scope)
    client = site.client()
    refused = {}
    for route, (_, body) in NEEDED.items():
        if route == "GET /live":
            continue
        method, path = address(route)
        answer = client.request(method, f"/api/v1{path}", json=body, headers=headers)
        refused[route] = answer.status_code == 403
    allowed = {route for route, (right, _) in NEEDED.items() if right == scope} - {"POST /tokens", "GET /live"}
    assert {route for route, answer in refused.items() if not answer} == allowed


def test_a_token_makes_no_other_token(site: Site) -> None:
    body = {"name": "t", "scopes": ["read"]}
    made = [
        site.client().post("/api/v1/tokens", json=body, headers=site.token("admin", *scopes)).status_code
        for scopes in (["read"], ["read", "work", "lead"], ["read", "admin"])
    ]
    assert made == [403, 403, 201]


def test_a_token_never_has_more_rights_than_its_owner(site: Site) -> None:
    moderator = site.browser("moderator")
    assert moderator.api("POST", "/tokens", json={"name": "t", "scopes": ["admin"]}).status_code == 403
    headers = site.token("moderator", "read")
    made = site.client().post("/api/v1/tokens", json={"name": "t", "scopes": ["work"]}, headers=headers)
    assert made.status_code == 403
    strong = site.token("admin", "read", "admin")
    admin = site.feed.actors["admin"]
    site.feed.do(users.add_user, "admin", "second", "admin", None)
    site.feed.do(users.change_user, "admin", admin.user_id, role="viewer")
    assert site.client().get("/api/v1/users", headers=strong).status_code == 403


def test_tokens_end_when_revoked_expired_or_their_owner_is_gone(site: Site) -> None:
    client = site.client()
    first, second = site.token("moderator", "read"), site.token("moderator", "read")
    other = site.token("colleague", "read")
    listed = client.get("/api/v1/tokens", headers=first).json()["tokens"]
    assert len(listed) == 2
    with site.feed.database.read() as connection:
        known = users.find_token(connection, first["authorization"].split()[1], site.feed.clock())
    assert known is not None
    assert client.delete(f"/api/v1/tokens/{known.token_id}", headers=other).status_code == 404
    assert client.delete(f"/api/v1/tokens/{known.token_id}", headers=second).status_code == 200
    assert client.get("/api/v1/me", headers=first).status_code == 401
    site.feed.do(users.change_user, "admin", site.feed.actors["colleague"].user_id, active=False)
    assert client.get("/api/v1/me", headers=other).status_code == 401
    site.feed.clock.pass_s(2 * 86_400)
    assert client.get("/api/v1/me", headers=second).status_code == 401


def test_login_by_password(site: Site) -> None:
    client = site.client()
    assert client.post("/login", data={"name": "lead", "password": "wrong password"}).status_code == 401
    assert client.post("/login", data={"name": "nobody", "password": "wrong password"}).status_code == 401
    good = client.post("/login", data={"name": "lead", "password": "password of lead", "next": "/audit"})
    assert (good.status_code, good.headers["location"]) == (303, "/audit")
    cookie = good.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert client.get("/audit").status_code == 200


def test_sessions_end_by_logout_time_lockout_and_change_of_role(site: Site) -> None:
    first, second, third = site.browser("moderator"), site.browser("moderator"), site.browser("colleague")
    first.post("/logout")
    assert first.get("/queue").status_code == 303
    assert second.get("/queue").status_code == 200
    site.feed.do(users.change_user, "admin", site.feed.actors["colleague"].user_id, role="viewer")
    assert third.get("/queue").status_code == 303
    site.feed.clock.at += users.SESSION_MS
    assert second.get("/queue").status_code == 303


def test_a_login_link_works_once_and_soon(site: Site) -> None:
    user = site.feed.actors["moderator"].user_id
    with site.feed.database.write() as connection:
        link, late = (users.make_link(connection, user, site.feed.clock()) for _ in range(2))
    client = site.client()
    for _ in range(9):
        # Whoever previews the link in a chat does not use it up.
        shown = site.client().get(f"/enter?token={link}&next=/alerts/c1")
        assert (shown.status_code, shown.headers.get("set-cookie")) == (200, None)
    answer = client.post("/enter", data={"token": link, "next": "/alerts/c1"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/alerts/c1")
    assert site.client().post("/enter", data={"token": link}).status_code == 401
    site.feed.clock.at += users.LINK_MS
    assert site.client().post("/enter", data={"token": late}).status_code == 401


def test_a_login_link_is_not_taken_from_another_site(site: Site) -> None:
    with site.feed.database.write() as connection:
        link = users.make_link(connection, site.feed.actors["moderator"].user_id, site.feed.clock())
    headers = {"origin": "https://evil.example"}
    assert site.client().post("/enter", data={"token": link}, headers=headers).status_code == 403
    assert site.client().post("/enter", data={"token": link}).status_code == 303


@pytest.mark.parametrize(
    ("settings", "begins"),
    [
        ({"secure": True, "proxied": True, "public_url": "https://feed.example/"}, "https://feed.example/enter?token="),
        ({}, "http://localhost/enter?token="),
    ],
)
def test_login_links_lead_to_the_public_address(site: Site, settings: dict[str, Any], begins: str) -> None:
    browser = site.browser("admin")
    cookie = browser.client.cookies["swarmlight"]
    site.services.settings = replace(site.services.settings, **settings)
    browser.client.headers["cookie"] = f"__Host-swarmlight={cookie}; swarmlight={cookie}"
    page = browser.post(f"/people/{site.feed.actors['viewer'].user_id}/link").text
    assert f">{begins}" in page


def attempt(site: Site, name: str, password: str, address: str) -> int:
    """Status of an attempt to log in from an address behind the proxy."""
    answer = site.client().post(
        "/login", data={"name": name, "password": password}, headers={"x-forwarded-for": address}
    )
    return answer.status_code


def test_logging_in_rightly_counts_against_nobody(site: Site) -> None:
    codes = [
        site.client().post("/login", data={"name": name, "password": f"password of {name}"}).status_code
        for _ in range(LOGIN_FAILURES)
        for name in ("lead", "moderator", "colleague")
    ]
    assert codes == [303] * (3 * LOGIN_FAILURES)


def test_a_colleague_who_mistypes_locks_nobody_else_out_of_the_office(site: Site) -> None:
    wrong = [site.client().post("/login", data={"name": "lead", "password": "mistyped"}).status_code for _ in range(6)]
    assert wrong == [401] * LOGIN_FAILURES + [429]
    right = site.client().post("/login", data={"name": "moderator", "password": "password of moderator"})
    assert right.status_code == 303


def test_guesses_elsewhere_lock_nobody_out_and_get_one_try_an_address(site: Site) -> None:
    site.services.settings = replace(site.services.settings, proxied=True)
    guesses = [attempt(site, "lead", "a wrong password", f"192.0.2.{n}") for n in range(NAME_FAILURES)]
    assert guesses == [401] * NAME_FAILURES
    # Under attack, an address has one try at the name: 192.0.2.1 had it, 198.51.100.1 has it once.
    assert attempt(site, "lead", "a wrong password", "192.0.2.1") == 429
    assert [attempt(site, "lead", "another guess", "198.51.100.1") for _ in range(3)] == [401, 429, 429]
    assert attempt(site, "lead", "password of lead", "203.0.113.7") == 303
    assert attempt(site, "LEAD", "password of lead", "203.0.113.8") == 401
    assert attempt(site, "admin", "password of admin", "192.0.2.1") == 303


def test_one_networks_addresses_are_one(site: Site) -> None:
    site.services.settings = replace(site.services.settings, proxied=True)
    codes = [attempt(site, "lead", "guess", f"2001:db8:1:2::{n:x}") for n in range(LOGIN_FAILURES + 1)]
    assert codes == [401] * LOGIN_FAILURES + [429]
    assert attempt(site, "lead", "guess", "2001:db8:1:3::1") == 401
    assert network_of("::ffff:192.0.2.9") == "192.0.2.9"
    assert network_of("unknown") == "unknown"


@pytest.mark.parametrize(
    "onward", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:1", "/a\nb"]
)
def test_nobody_is_sent_elsewhere_after_login(site: Site, onward: str) -> None:
    answer = site.client().post("/login", data={"name": "lead", "password": "password of lead", "next": onward})
    assert answer.headers["location"] == "/queue"


def test_secrets_are_kept_as_hashes(site: Site) -> None:
    browser = site.browser("moderator")
    cookie = browser.client.cookies["swarmlight"]
    with site.feed.database.read() as connection:
        kept = [row.hash for row in connection.execute(select(Session))]
        hashes = list(connection.scalars(select(User.password)))
    assert cookie not in kept
    assert users.fingerprint(cookie) in kept
    assert all(value.startswith("$argon2id$") for value in hashes)


def test_the_last_admin_stays(site: Site) -> None:
    admin = site.browser("admin")
    number = site.feed.actors["admin"].user_id
    for change in ({"role": "lead"}, {"active": False}):
        assert admin.api("PATCH", f"/users/{number}", json=change).status_code == 409
    assert admin.get("/people").status_code == 200


def test_a_person_changes_their_own_password(site: Site) -> None:
    browser = site.browser("viewer")
    assert browser.post("/password", {"old": "wrong", "new": "a new password"}).status_code == 400
    assert browser.post("/password", {"old": "password of viewer", "new": "short"}).status_code == 400
    assert browser.post("/password", {"old": "password of viewer", "new": "a new password"}).status_code == 303
    assert site.client().post("/login", data={"name": "viewer", "password": "a new password"}).status_code == 303
