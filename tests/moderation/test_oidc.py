"""Signing in with an OpenID provider: who gets in with which role, and every forged or stale way that does not."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from joserfc.jwk import OctKey, RSAKey
from sqlalchemy import func, select
from starlette.testclient import TestClient

from detector.errors import ConfigError
from moderation import audit, cli, oidc_users, users
from moderation.database_tables import PendingSignIn, Session, Token, User
from moderation.oidc import OidcSettings, Provider, read_roles
from moderation.permissions import SYSTEM
from streaming.config import load_config
from tests.moderation.conftest import Site
from tests.moderation.openid import CLIENT, KEY_BITS, SECRET, OpenIdProvider

ROLES = "cn=mods,ou=groups=moderator; leads=lead"
ANNA: dict[str, Any] = {"sub": "248289761001", "preferred_username": "anna", "groups": ["cn=mods,ou=groups"]}


@pytest.fixture(scope="module")
def keys() -> tuple[RSAKey, RSAKey]:
    """The provider's key, and one that is not its own."""
    own, other = (RSAKey.generate_key(KEY_BITS, {"kid": name}) for name in ("first", "first"))
    return own, other


@pytest.fixture
def provider(site: Site, keys: tuple[RSAKey, RSAKey]) -> Iterator[OpenIdProvider]:
    made = OpenIdProvider(lambda: site.feed.clock() / 1000, dict(ANNA), keys[0])
    site.services.oidc = Provider(settings(made.issuer))
    yield made
    made.close()


def settings(issuer: str, **changes: Any) -> OidcSettings:
    roles = read_roles(ROLES)
    base = OidcSettings(issuer, CLIENT, SECRET, "openid profile", "groups", roles, "preferred_username", "Acme")
    return replace(base, **changes)


def begin(client: TestClient, onward: str = "/decisions") -> str:
    """Where the feed sends a browser that wants to sign in."""
    answer = client.get(f"/oidc/begin?next={quote(onward)}")
    assert answer.status_code == 303
    return answer.headers["location"]


def sign_in(site: Site, provider: OpenIdProvider, client: TestClient | None = None, onward: str = "/decisions") -> Any:
    client = client or site.client()
    return client.get(provider.sign_in(begin(client, onward)))


def sessions(site: Site) -> int:
    with site.feed.database.read() as connection:
        return int(connection.scalar(select(func.count()).select_from(Session)) or 0)


def user(site: Site, name: str) -> Any:
    with site.feed.database.read() as connection:
        return connection.execute(select(User).where(User.name == name)).one_or_none()


def test_somebody_of_a_group_is_let_in_with_its_role(site: Site, provider: OpenIdProvider) -> None:
    client = site.client()
    assert "Sign in with Acme" in client.get("/login").text
    answer = sign_in(site, provider, client)
    assert (answer.status_code, answer.headers["location"]) == (303, "/decisions")
    cookies = answer.headers.get_list("set-cookie")
    assert all("httponly" in each.lower() and "samesite=lax" in each.lower() for each in cookies)
    assert client.get("/decisions").status_code == 200
    assert "anna" in client.get("/me").text
    assert client.get("/audit").status_code == 403
    row = user(site, "anna")
    assert (row.role, row.password, row.subject) == ("moderator", "", ANNA["sub"])
    with site.feed.database.read() as connection:
        assert audit.verify(connection).problem is None


def test_the_session_is_as_long_as_any(site: Site, provider: OpenIdProvider) -> None:
    client = site.client()
    sign_in(site, provider, client)
    site.feed.clock.at += users.SESSION_MS - 1
    assert client.get("/queue").status_code == 200
    site.feed.clock.at += 1
    assert client.get("/queue").status_code == 303


def test_roles_follow_the_groups_at_every_sign_in(site: Site, provider: OpenIdProvider) -> None:
    first = site.client()
    sign_in(site, provider, first)
    provider.person["groups"] = ["leads", "cn=mods,ou=groups", "others", 7]
    second = site.client()
    assert sign_in(site, provider, second).status_code == 303
    assert user(site, "anna").role == "lead"
    assert second.get("/audit").status_code == 200
    assert first.get("/queue").status_code == 303


@pytest.mark.parametrize("groups", [[], ["others"], None, {"leads": True}, "others", ["leads "], [["leads"]]])
def test_nobody_gets_in_without_a_role(site: Site, provider: OpenIdProvider, groups: Any) -> None:
    provider.person["groups"] = groups
    before = sessions(site)
    answer = sign_in(site, provider)
    assert (answer.status_code, sessions(site)) == (403, before)
    assert "none of your groups" in answer.text
    assert user(site, "anna") is None


def test_who_loses_their_role_loses_sessions_and_tokens(site: Site, provider: OpenIdProvider) -> None:
    client = site.client()
    sign_in(site, provider, client)
    row = user(site, "anna")
    site.feed.do(users.add_token, "admin", row, "t", ["read"], 30)
    provider.person["groups"] = []
    assert sign_in(site, provider).status_code == 403
    assert client.get("/queue").status_code == 303
    with site.feed.database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(Token).where(Token.user_id == row.id)) == 0


def test_a_group_may_lie_deep_in_a_token(site: Site, provider: OpenIdProvider) -> None:
    site.services.oidc = Provider(settings(provider.issuer, role_claim="realm_access.roles"))
    provider.person = {"sub": "1", "realm_access": {"roles": ["leads"]}}
    assert sign_in(site, provider).status_code == 303
    with site.feed.database.read() as connection:
        assert connection.scalar(select(User.name).where(User.role == "lead", User.subject == "1")) == "user-6b86b2"


FORGERIES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "another nonce": lambda claims: claims | {"nonce": "of another sign-in"},
    "no nonce": lambda claims: {name: value for name, value in claims.items() if name != "nonce"},
    "another audience": lambda claims: claims | {"aud": "another-service"},
    "several audiences without saying for whom": lambda claims: claims | {"aud": ["another-service", CLIENT]},
    "for us among others, and meant for another": lambda claims: claims | {"aud": [CLIENT, "x"], "azp": "x"},
    "another issuer": lambda claims: claims | {"iss": "https://evil.example"},
    "expired": lambda claims: claims | {"iat": claims["iat"] - 900, "exp": claims["exp"] - 600},
    "of the future": lambda claims: claims | {"iat": claims["iat"] + 900, "exp": claims["exp"] + 900},
    "without an end": lambda claims: {name: value for name, value in claims.items() if name != "exp"},
    "an end in words": lambda claims: claims | {"exp": "soon"},
    "of another access token": lambda claims: claims | {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
    "nobody": lambda claims: claims | {"sub": ""},
    "a number": lambda claims: claims | {"sub": 7},
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_token_that_says_something_wrong_lets_nobody_in(site: Site, provider: OpenIdProvider, forgery: str) -> None:
    provider.claims = FORGERIES[forgery]
    before = sessions(site)
    answer = sign_in(site, provider)
    assert (answer.status_code, sessions(site)) == (401, before)
    assert user(site, "anna") is None


def unsigned(claims: dict[str, Any]) -> str:
    parts = ({"alg": "none", "kid": "first"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") for each in parts) + "."


@pytest.mark.parametrize("how", ["none", "another key", "public key as secret", "client secret", "rubbish", "changed"])
def test_a_token_that_the_provider_did_not_sign_lets_nobody_in(
    site: Site, provider: OpenIdProvider, keys: tuple[RSAKey, RSAKey], how: str
) -> None:
    def changed(claims: dict[str, Any]) -> str:
        head, _, signature = provider.sign(claims).split(".")
        lied = json.dumps(claims | {"groups": ["leads"]}).encode()
        return ".".join((head, base64.urlsafe_b64encode(lied).decode().rstrip("="), signature))

    public = keys[0].as_pem(private=False)
    provider.signed = {
        "none": unsigned,
        "another key": lambda claims: provider.sign(claims, key=keys[1]),
        "public key as secret": lambda claims: provider.sign(claims, "HS256", OctKey.import_key(public.hex())),
        "client secret": lambda claims: provider.sign(claims, "HS256", OctKey.import_key(SECRET)),
        "rubbish": lambda _: "not.a.token",
        "changed": changed,
    }[how]
    before = sessions(site)
    answer = sign_in(site, provider)
    assert (answer.status_code, sessions(site)) == (401, before)


def test_a_return_is_good_once(site: Site, provider: OpenIdProvider) -> None:
    client = site.client()
    back = provider.sign_in(begin(client))
    assert client.get(back).status_code == 303
    again = client.get(back)
    assert again.status_code == 401
    assert "used already" in again.text
    # Even with the browser's secret of a departure that was not used, a state of another one is nothing.
    begin(client)
    assert client.get(back).status_code == 401


def test_a_return_is_good_in_the_browser_that_began(site: Site, provider: OpenIdProvider) -> None:
    attacker, victim = site.client(), site.client()
    back = provider.sign_in(begin(attacker))
    assert victim.get(back).status_code == 401
    begin(victim)
    assert victim.get(back).status_code == 401
    assert "swarmlight=" not in str(victim.cookies)


@pytest.mark.parametrize(
    "query", ["", "?state=x", "?code=x", "?state=x&code=y", "?state=%00&code=%00", f"?state={'x' * 5000}"]
)
def test_a_return_that_was_no_departure_is_refused(site: Site, provider: OpenIdProvider, query: str) -> None:
    client = site.client()
    begin(client)
    assert client.get(f"/oidc/callback{query}").status_code == 401


def test_a_return_is_good_for_ten_minutes(site: Site, provider: OpenIdProvider) -> None:
    client = site.client()
    back = provider.sign_in(begin(client))
    site.feed.clock.at += oidc_users.DEPARTURE_MS
    assert client.get(back).status_code == 401
    begin(client)
    with site.feed.database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(PendingSignIn)) == 1


def test_what_broke_off_there_is_said_in_our_words(site: Site, provider: OpenIdProvider) -> None:
    client = site.client()
    state = parse_qs(urlsplit(begin(client)).query)["state"][0]
    answer = client.get(f"/oidc/callback?state={state}&error=access_denied&error_description=call+0800-evil")
    assert answer.status_code == 401
    assert "broken off" in answer.text
    assert "evil" not in answer.text


def test_another_issuers_answer_is_not_taken(site: Site, provider: OpenIdProvider) -> None:
    client = site.client()
    back = provider.sign_in(begin(client)).replace(quote(provider.issuer, safe=""), "https%3A%2F%2Fevil.example")
    assert "evil.example" in back
    assert client.get(back).status_code == 401
    assert not provider.refused


def test_a_stolen_code_is_worth_nothing_without_its_verifier(site: Site, provider: OpenIdProvider) -> None:
    attacker, victim = site.client(), site.client()
    code = parse_qs(urlsplit(provider.sign_in(begin(victim))).query)["code"][0]
    state = parse_qs(urlsplit(begin(attacker)).query)["state"][0]
    assert attacker.get(f"/oidc/callback?state={state}&code={code}").status_code == 401
    assert provider.refused == ["invalid_grant"]


@pytest.mark.parametrize(
    "onward", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:1", "/a\nb"]
)
def test_nobody_is_sent_elsewhere_after_signing_in(site: Site, provider: OpenIdProvider, onward: str) -> None:
    assert sign_in(site, provider, onward=onward).headers["location"] == "/queue"


def test_a_local_account_is_not_taken_over_by_its_name(site: Site, provider: OpenIdProvider) -> None:
    provider.person |= {"preferred_username": "admin", "groups": ["leads"]}
    answer = sign_in(site, provider)
    assert answer.status_code == 409
    assert "feed user" in answer.text
    admin = user(site, "admin")
    assert (admin.subject, admin.role) == (None, "admin")
    with site.feed.database.write() as connection:
        oidc_users.link(connection, SYSTEM, admin, provider.issuer, ANNA["sub"], site.feed.clock())
    assert sign_in(site, provider).status_code == 303
    assert user(site, "admin").role == "lead"
    by_password = site.client().post("/login", data={"name": "admin", "password": "password of admin"})
    assert by_password.status_code == 401


def test_two_people_of_one_name_are_two(site: Site, provider: OpenIdProvider) -> None:
    sign_in(site, provider)
    provider.person |= {"sub": "another anna", "groups": ["leads"]}
    assert sign_in(site, provider).status_code == 303
    with site.feed.database.read() as connection:
        found = dict(connection.execute(select(User.name, User.role).where(User.subject.is_not(None))).all())
    assert found == {"anna": "moderator", "anna-e0df2f": "lead"}


def test_who_is_locked_out_stays_out(site: Site, provider: OpenIdProvider) -> None:
    sign_in(site, provider)
    site.feed.do(users.change_user, "admin", user(site, "anna").id, active=False)
    before = sessions(site)
    answer = sign_in(site, provider)
    assert (answer.status_code, sessions(site)) == (403, before)


def test_passwords_can_be_switched_off(site: Site, provider: OpenIdProvider) -> None:
    site.services.settings = replace(site.services.settings, local_accounts=False)
    form = site.client().get("/login").text
    assert 'type="password"' not in form
    assert "Sign in with Acme" in form
    good = {"name": "lead", "password": "password of lead"}
    assert site.client().post("/login", data=good).status_code == 403
    admin = site.browser("admin")
    assert admin.post(f"/people/{site.feed.actors['lead'].user_id}/link").status_code == 403
    assert admin.post("/password", {"old": "password of admin", "new": "a new password"}).status_code == 403
    assert sign_in(site, provider).status_code == 303


def test_nobody_goes_around_the_provider(site: Site, provider: OpenIdProvider) -> None:
    client = site.client()
    sign_in(site, provider, client)
    number = user(site, "anna").id
    admin = site.browser("admin")
    assert admin.post(f"/people/{number}/link").status_code == 403
    assert admin.api("PATCH", f"/users/{number}", json={"password": "a long password"}).status_code == 409
    assert 'name="new"' not in client.get("/me").text


def test_logging_out_ends_the_session_and_shows_the_way_out_there(site: Site, provider: OpenIdProvider) -> None:
    client = site.client()
    sign_in(site, provider, client)
    secret = client.get("/queue").text.partition('data-csrf="')[2].partition('"')[0]
    left = client.post("/logout", data={"csrf": secret})
    assert left.headers["location"] == "/login?done=left"
    page = client.get("/login?done=left").text
    assert f'href="{provider.issuer}/end_session_endpoint?client_id={CLIENT}&amp;post_logout_redirect_uri=' in page
    assert client.get("/queue").status_code == 303


def test_keys_are_kept_and_a_new_one_is_looked_for_once_in_a_while(
    site: Site, provider: OpenIdProvider, keys: tuple[RSAKey, RSAKey]
) -> None:
    clock = [1000.0]
    site.services.oidc = Provider(settings(provider.issuer), lambda: clock[0])
    for _ in range(2):
        assert sign_in(site, provider).status_code == 303
    assert provider.fetched.count("/jwks_uri") == 1
    provider.key = keys[1]
    assert sign_in(site, provider).status_code == 401
    clock[0] += 31
    assert sign_in(site, provider).status_code == 303
    assert provider.fetched.count("/jwks_uri") == 2
    assert provider.fetched.count("/.well-known/openid-configuration") == 1


def test_a_provider_under_another_name_or_without_an_answer_is_said(site: Site, provider: OpenIdProvider) -> None:
    provider.calls_itself = "https://other.example"
    answer = site.client().get("/oidc/begin")
    assert answer.status_code == 503
    assert "oidc_issuer" in answer.text
    site.services.oidc = Provider(settings("http://127.0.0.1:1"))
    assert site.client().get("/oidc/begin").status_code == 503
    assert site.client().get("/login?done=left").status_code == 200


def test_without_a_provider_there_is_no_way_to_one(site: Site) -> None:
    assert "Sign in with" not in site.client().get("/login").text
    assert site.client().get("/oidc/begin").status_code == 404
    assert site.client().get("/oidc/callback?state=x&code=y").status_code == 404


def test_the_secret_comes_from_a_file_or_the_environment_and_no_key(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the file\n")
    config = tmp_path / "swarmlight.toml"
    lines = ['oidc_issuer = "https://id.example"', 'oidc_client_id = "feed"', 'oidc_roles = "leads=lead"',
             f'oidc_client_secret_file = "{secret}"']  # fmt: skip
    config.write_text("[sign_in]\n" + "\n".join(lines))
    loaded = load_config(config, {})
    kept = [cli.open_provider(loaded, environ) for environ in ({}, {"OIDC_CLIENT_SECRET": "of the environment"})]
    assert [each and each.settings.client_secret for each in kept] == ["of the file", "of the environment"]
    config.write_text("[sign_in]\n" + "\n".join([*lines[:3], 'oidc_client_secret = "here"']))
    with pytest.raises(ConfigError, match="unknown key"):
        load_config(config, {})


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (['oidc_issuer = "http://id.example"'], "oidc_issuer"),
        (['oidc_issuer = "https://id.example"'], "oidc_client_id"),
        (['oidc_issuer = "https://id.example"', 'oidc_client_id = "f"'], "oidc_roles"),
        (['local_accounts = "no"'], "oidc_issuer"),
        (['oidc_scopes = "profile"'], "oidc_scopes"),
    ],
)
def test_a_sign_in_that_could_let_nobody_in_is_refused_at_the_start(
    tmp_path: Path, lines: list[str], said: str
) -> None:
    config = tmp_path / "swarmlight.toml"
    config.write_text("[sign_in]\n" + "\n".join(lines))
    with pytest.raises(ConfigError, match=said):
        load_config(config, {})


@pytest.mark.parametrize("text", ["leads", "leads=boss", "=lead", "a=lead; b"])
def test_roles_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="GROUP=ROLE"):
        read_roles(text)
