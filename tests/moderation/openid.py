"""A small OpenID Connect provider on this machine: real keys, one-time codes, PKCE checked; it lies when told."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from joserfc.jws import JWSRegistry

CLIENT, SECRET = "the-feed", "a secret of the feed's"

KEY_BITS = 2048


@dataclass
class OpenIdProvider:
    """Serves discovery, keys, sign-in and tokens; `person` is who signs in.

    `claims` and `signed` may be replaced to make it lie: one changes what a token says, the other how it is made.
    """

    now_s: Callable[[], float]
    person: dict[str, Any] = field(default_factory=dict)
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(KEY_BITS, {"kid": "first"}))
    claims: Callable[[dict[str, Any]], dict[str, Any]] = lambda claims: claims
    signed: Callable[[dict[str, Any]], str] | None = None
    calls_itself: str = ""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.fetched.append(self.path)
                self._answer(*provider.documents(self.path))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0"))).decode()
                form = {name: values[0] for name, values in parse_qs(body).items()}
                self._answer(*provider.token(form, self.headers.get("authorization", "")))

            def _answer(self, status: int, document: dict[str, Any]) -> None:
                data = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                """Nothing to say."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def documents(self, path: str) -> tuple[int, dict[str, Any]]:
        if path == "/.well-known/openid-configuration":
            names = ("authorization_endpoint", "token_endpoint", "jwks_uri", "end_session_endpoint")
            return 200, {"issuer": self.calls_itself or self.issuer} | {name: f"{self.issuer}/{name}" for name in names}
        if path == "/jwks_uri":
            return 200, dict(KeySet([self.key]).as_dict(private=False))
        return 404, {}

    def sign_in(self, address: str) -> str:
        """Where a browser that was sent to `address` is sent back to, once the person has signed in."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert asked["client_id"] == CLIENT
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        parts = urlsplit(asked["redirect_uri"])
        return f"{parts.path}?{urlencode({'code': code, 'state': asked['state'], 'iss': self.issuer})}"

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        wanted = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        asked = self.codes.pop(form.get("code", ""), None)
        if authorization != f"Basic {wanted}":
            return self._refuse("invalid_client")
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if (
            asked is None
            or challenge.decode().rstrip("=") != asked["code_challenge"]
            or form.get("redirect_uri") != asked["redirect_uri"]
        ):
            return self._refuse("invalid_grant")
        now = int(self.now_s())
        claims = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        claims = self.claims(claims | self.person)
        made = self.signed(claims) if self.signed is not None else self.sign(claims)
        return 200, {"access_token": "opaque", "token_type": "Bearer", "expires_in": 300, "id_token": made}

    def sign(self, claims: dict[str, Any], algorithm: str = "RS256", key: Any = None) -> str:
        registry = JWSRegistry(algorithms=[algorithm])
        header = {"alg": algorithm, "kid": self.key.kid}
        return jwt.encode(header, claims, key or self.key, registry=registry)

    def _refuse(self, error: str) -> tuple[int, dict[str, Any]]:
        self.refused.append(error)
        return 400, {"error": error}
