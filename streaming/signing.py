"""Signatures of what is sent to a webhook, by the Standard Webhooks specification (standardwebhooks.com).

Signed is `ID.TIMESTAMP.BODY` with HMAC-SHA256; the signature goes beside it in three headers. A receiver computes the
same, compares in constant time, refuses timestamps that are minutes away, and takes an id once. Libraries for most
languages do so; `verify` is ours.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from detector.errors import UsageError

ID_HEADER: Final = "webhook-id"
"""The same for every attempt to deliver the same thing: what a receiver takes once."""

TIMESTAMP_HEADER: Final = "webhook-timestamp"
"""Seconds since 1970 of the attempt."""

SIGNATURE_HEADER: Final = "webhook-signature"
"""`v1,BASE64`; several, separated by spaces, while a secret is being replaced."""

TOLERANCE_S: Final = 300
"""How far a timestamp may be from the receiver's clock: the specification's five minutes."""

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the prefix, not a secret
"""How the specification marks a secret in base64."""

SHORTEST_SECRET_BYTES: Final = 24
"""The specification asks for 24 to 64 bytes: shorter ones can be guessed."""


class Signer:
    """Signs with one secret.

    Args:
        secret: `whsec_` and base64, or any other text, whose bytes are taken.

    Raises:
        UsageError: it is too short, or no base64 behind `whsec_`. The message does not repeat it.
    """

    def __init__(self, secret: str) -> None:
        key = secret.encode("utf-8")
        if secret.startswith(SECRET_PREFIX):
            try:
                key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
            except (binascii.Error, ValueError):
                raise UsageError(f"the webhook's secret has no base64 behind {SECRET_PREFIX}") from None
        if len(key) < SHORTEST_SECRET_BYTES:
            raise UsageError(
                f"the webhook's secret has {len(key)} bytes, and {SHORTEST_SECRET_BYTES} at least are needed: make one "
                "with `openssl rand -base64 32`"
            )
        self._key = key

    def headers(self, message_id: str, body: bytes, now_s: int) -> dict[str, str]:
        """The three headers of one attempt.

        Args:
            message_id: names what is delivered, the same in every attempt; without a dot.
            body: what is sent, byte for byte.
            now_s: the time of the attempt, seconds since 1970.
        """
        return {
            ID_HEADER: message_id,
            TIMESTAMP_HEADER: str(now_s),
            SIGNATURE_HEADER: f"v1,{self._signature(message_id, str(now_s), body)}",
        }

    def verify(self, headers: Mapping[str, str], body: bytes, now_s: int) -> bool:
        """Whether a request was signed with this secret, within `TOLERANCE_S` of `now_s`.

        Args:
            headers: with names in lower case.
            body: as it came.
            now_s: the receiver's clock, seconds since 1970.
        """
        stamp = headers.get(TIMESTAMP_HEADER, "")
        if not (stamp.isascii() and stamp.isdecimal() and len(stamp) < 16) or abs(int(stamp) - now_s) > TOLERANCE_S:
            return False
        wanted = f"v1,{self._signature(headers.get(ID_HEADER, ''), stamp, body)}".encode("ascii")
        given = headers.get(SIGNATURE_HEADER, "").encode("utf-8", "replace").split(b" ")
        return any(hmac.compare_digest(wanted, each) for each in given)

    def _signature(self, message_id: str, stamp: str, body: bytes) -> str:
        signed = f"{message_id}.{stamp}.".encode() + body
        return base64.b64encode(hmac.new(self._key, signed, hashlib.sha256).digest()).decode("ascii")
