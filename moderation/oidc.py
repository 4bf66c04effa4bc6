"""Signing in with an OpenID Connect provider: where a browser is sent, and who comes back.

The authorization code flow with PKCE (RFC 7636, S256), `state` and `nonce`. The provider's discovery document and keys
are fetched when they are first needed and kept for an hour. An ID token counts only if one of the provider's keys
signed it with an asymmetric algorithm, and issuer, audience, times and nonce are right (OpenID Connect Core 1.0,
3.1.3.7). Authlib builds the requests and checks the claims, joserfc the signature. This module knows no database.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, get_args
from urllib.parse import urlencode, urlsplit

import httpx2 as httpx
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import OAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from detector.errors import ConfigError, FeedError
from moderation.permissions import ROLES, Role
from moderation.users import new_secret

ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA"
)  # fmt: skip
"""Signatures that are taken. Never `none`, and none made with the client's secret or with a public key as a secret."""

TIMEOUT_S: Final = 5.0
"""A provider answers in a fraction of it; somebody waits before their browser meanwhile."""

KEPT_S: Final = 3600.0
"""Providers change their keys over days; a key that is not known is looked for at once."""

REFRESH_S: Final = 30.0
"""Unknown keys make the feed fetch the provider's keys again at most so often: tokens may be made up."""

LEEWAY_S: Final = 60
"""Difference of two clocks that are kept in time, with room."""

MAX_SUBJECT_CHARACTERS: Final = 255
"""Of `sub`, OpenID Connect Core 1.0, section 2."""

NOT_ANSWERING: Final = "the OpenID provider does not answer as it should: try again later, or ask who keeps the feed"


@dataclass(frozen=True)
class OidcSettings:
    """What the feed and its provider agreed on.

    Args:
        issuer: the provider's name, as its discovery document has it.
        client_id: the feed's name there.
        client_secret: None for a client without one, which PKCE alone protects.
        scopes: what is asked for, separated by spaces.
        role_claim: claim that lists groups; dots lead into objects.
        roles: role of each group.
        name_claim: claim that holds a name.
        label: what people call the provider.
    """

    issuer: str
    client_id: str
    client_secret: str | None
    scopes: str
    role_claim: str
    roles: Mapping[str, Role]
    name_claim: str
    label: str


@dataclass(frozen=True)
class AuthorizationRequest:
    """A browser on its way to the provider: its address there, and what has to match when it comes back."""

    address: str
    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True)
class Identity:
    """Who came back.

    Args:
        issuer: who says so.
        subject: their id there, which is never given to anybody else.
        name: for people to read; "" where the token has none.
        role: the highest that their groups give; None for none.
    """

    issuer: str
    subject: str
    name: str
    role: Role | None


def read_roles(text: str) -> dict[str, Role]:
    """Groups and their roles out of `[sign_in] oidc_roles`: `GROUP=ROLE; GROUP=ROLE`.

    A group's name may hold `=`, as names of directories do: the last one divides.

    Raises:
        ConfigError: something that is no such pair.
    """
    found: dict[str, Role] = {}
    for part in filter(None, (each.strip() for each in text.split(";"))):
        group, _, wanted = (each.strip() for each in part.rpartition("="))
        role = next((each for each in get_args(Role) if each == wanted), None)
        if not group or role is None:
            raise ConfigError(
                f"sign_in.oidc_roles: {part[:80]!a} is no GROUP=ROLE: the roles are {', '.join(ROLES)}, and pairs are "
                "separated by semicolons"
            )
        found[group] = role
    return found


@cache
def _authorities() -> ssl.SSLContext:
    """Whose certificates are believed. Reading them takes a tenth of a second, so it is done once."""
    return ssl.create_default_context()


class Provider:
    """An OpenID Connect provider.

    Args:
        settings: what was agreed on with it.
        clock: a monotonic clock, seconds.
    """

    def __init__(self, settings: OidcSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._metadata: dict[str, Any] = {}
        self._metadata_at = 0.0
        self._keys: KeySet | None = None
        self._keys_at = 0.0

    def depart(self, callback: str) -> AuthorizationRequest:
        """Send a browser to the provider.

        Args:
            callback: address of the feed that it comes back to.

        Raises:
            FeedError: `unavailable`: the provider does not answer.
        """
        state, nonce, verifier = new_secret(), new_secret(), new_secret()
        with self._client(callback) as client:
            address, _ = client.create_authorization_url(
                self._endpoint("authorization_endpoint"), state=state, nonce=nonce, code_verifier=verifier
            )
        return AuthorizationRequest(str(address), state, nonce, verifier)

    def arrive(self, code: str, callback: str, nonce: str, verifier: str, now_s: float) -> Identity:
        """Who a browser that came back belongs to.

        Args:
            code: that it brought.
            callback: as it was given to `depart`.
            nonce: of its departure.
            verifier: of its departure.
            now_s: wall clock, seconds since 1970.

        Raises:
            FeedError: `login`: the provider does not know the code, or its token does not hold; `unavailable`.
        """
        try:
            with self._client(callback) as client:
                token = client.fetch_token(
                    self._endpoint("token_endpoint"), grant_type="authorization_code", code=code,
                    code_verifier=verifier, redirect_uri=callback,
                )  # fmt: skip
        except AuthlibBaseError:
            raise FeedError("login", "the OpenID provider does not take this sign-in any more: begin again") from None
        except (httpx.HTTPError, ValueError) as error:
            raise FeedError("unavailable", NOT_ANSWERING) from error
        claims = self._claims(token, nonce, now_s)
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT_CHARACTERS:
            raise FeedError("login", "the OpenID provider says nothing usable about who you are: ask who keeps it")
        name = claims.get(self.settings.name_claim)
        return Identity(self.settings.issuer, subject, name if isinstance(name, str) else "", self._role(claims))

    def farewell(self, back: str) -> str | None:
        """Where a browser logs out of the provider, too; None where it has no such place, or does not answer.

        Args:
            back: address of the feed that it may return to.
        """
        try:
            address = self._discovered().get("end_session_endpoint")
        except FeedError:
            return None
        if not isinstance(address, str) or not self._trusted(address):
            return None
        query = urlencode({"client_id": self.settings.client_id, "post_logout_redirect_uri": back})
        return f"{address}{'&' if urlsplit(address).query else '?'}{query}"

    def _claims(self, token: Mapping[str, Any], nonce: str, now_s: float) -> CodeIDToken:
        raw = token.get("id_token")
        if not isinstance(raw, str):
            raise FeedError("login", "the OpenID provider sent no ID token: ask who keeps the feed whether scope "
                            "`openid` is allowed there")  # fmt: skip
        try:
            decoded = self._decoded(raw)
            claims = CodeIDToken(
                decoded.claims,
                decoded.header,
                options={
                    "iss": {"essential": True, "value": self.settings.issuer},
                    "aud": {"essential": True, "value": self.settings.client_id},
                },
                params={
                    "nonce": nonce,
                    "client_id": self.settings.client_id,
                    "access_token": token.get("access_token"),
                },
            )
            claims.validate(now=int(now_s), leeway=LEEWAY_S)
        except (JoseError, AuthlibBaseError, ValueError, TypeError, KeyError):
            # What is wrong with it is for nobody before the browser to know: it may be a forgery of theirs.
            raise FeedError("login", "the OpenID provider's answer does not hold: begin again") from None
        return claims

    def _decoded(self, raw: str) -> jwt.Token:
        registry = JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False)
        try:
            return jwt.decode(raw, self._key_set(), registry=registry)
        except (JoseError, ValueError):
            with self._lock:
                stale = self._clock() - self._keys_at > REFRESH_S
            if not stale:
                raise
        return jwt.decode(raw, self._key_set(again=True), registry=registry)

    def _role(self, claims: Mapping[str, Any]) -> Role | None:
        value: Any = claims
        for part in self.settings.role_claim.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        groups = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        held = {self.settings.roles[each] for each in groups if isinstance(each, str) and each in self.settings.roles}
        return max(held, key=ROLES.index, default=None)

    def _client(self, callback: str) -> OAuth2Client:
        methods = self._discovered().get("token_endpoint_auth_methods_supported")
        secret = self.settings.client_secret
        method = None
        if secret and isinstance(methods, list) and methods and "client_secret_basic" not in methods:
            method = "client_secret_post"
        return OAuth2Client(
            self.settings.client_id, secret, token_endpoint_auth_method=method, scope=self.settings.scopes,
            redirect_uri=callback, code_challenge_method="S256", timeout=TIMEOUT_S, follow_redirects=False,
            verify=_authorities(),
        )  # fmt: skip

    def _key_set(self, *, again: bool = False) -> KeySet:
        with self._lock:
            kept, at = self._keys, self._keys_at
        if kept is not None and not again and self._clock() - at < KEPT_S:
            return kept
        document: Any = self._fetch(self._endpoint("jwks_uri"))
        try:
            keys = KeySet.import_key_set(document)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise FeedError("unavailable", NOT_ANSWERING) from error
        with self._lock:
            self._keys, self._keys_at = keys, self._clock()
        return keys

    def _endpoint(self, name: str) -> str:
        address = self._discovered().get(name)
        if not isinstance(address, str) or not self._trusted(address):
            raise FeedError("unavailable", NOT_ANSWERING)
        return address

    def _trusted(self, address: str) -> bool:
        """Whether an address is encrypted, or the issuer itself is on this machine."""
        return address.startswith("https://") or (
            self.settings.issuer.startswith("http://") and address.startswith("http://")
        )

    def _discovered(self) -> dict[str, Any]:
        with self._lock:
            kept, at = self._metadata, self._metadata_at
        if kept and self._clock() - at < KEPT_S:
            return kept
        found = self._fetch(f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration")
        if found.get("issuer") != self.settings.issuer:
            raise FeedError("unavailable", "the OpenID provider calls itself otherwise than [sign_in] oidc_issuer: "
                            "ask who keeps the feed to compare the two")  # fmt: skip
        with self._lock:
            self._metadata, self._metadata_at = found, self._clock()
        return found

    def _fetch(self, address: str) -> dict[str, Any]:
        try:
            answer = httpx.get(address, timeout=TIMEOUT_S, follow_redirects=False, verify=_authorities())
            answer.raise_for_status()
            document = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise FeedError("unavailable", NOT_ANSWERING) from error
        if not isinstance(document, dict):
            raise FeedError("unavailable", NOT_ANSWERING)
        return document
