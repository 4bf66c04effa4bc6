"""The sink `webhook`: every revision of every alert as a signed HTTP POST.

`--sink webhook:https://HOST/PATH` sends the alert as `--alerts` has it, one request at a time, the next when the one
before was taken. Requests are signed (`streaming.signing`) and carry an id made of the alert's id and revision, the
same in every attempt, so that a receiver that takes an id once has each revision once. What is not taken is tried again
with growing waits; nothing is left out.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from detector.errors import DeliveryError, UsageError
from streaming.config import Config
from streaming.config_keys import WEBHOOK_SECRET_VARIABLE
from streaming.outgoing import Endpoint, HttpAnswer
from streaming.retry import Backoff
from streaming.signing import Signer

log = logging.getLogger(__name__)

FIRST_WAIT_S: Final = 1.0
"""Bound of the first wait after a failure: a receiver that restarts is back in seconds."""

LONGEST_WAIT_S: Final = 60.0
"""Bound of any wait: an operator who mended the receiver waits a minute at most."""

_PLAIN: Final = re.compile(r"[^A-Za-z0-9_-]+")


class SignedWebhook:
    """Sends signed requests to one URL; each call is one attempt.

    Args:
        endpoint: where to.
        signer: with the secret that the receiver knows.
        now_s: seconds since 1970.
    """

    def __init__(self, endpoint: Endpoint, signer: Signer, now_s: Callable[[], float] = time.time) -> None:
        self.endpoint = endpoint
        self._signer = signer
        self._now_s = now_s

    def post(self, message_id: str, body: bytes, headers: Mapping[str, str] | None = None) -> HttpAnswer:
        """Send one message once.

        Args:
            message_id: names it, the same in every attempt.
            body: JSON.
            headers: further ones.

        Raises:
            DeliveryError: it was not taken; `lasting` says whether the same request will be refused again.
        """
        signed = self._signer.headers(message_id, body, int(self._now_s()))
        return self.endpoint.request("POST", body, {"Content-Type": "application/json", **(headers or {}), **signed})

    def close(self) -> None:
        """Close the connection."""
        self.endpoint.close()


def deliver(
    attempt: Callable[[], object],
    backoff: Backoff,
    *,
    give_up_s: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Try until it succeeds.

    Args:
        attempt: one try; raises DeliveryError where it fails.
        backoff: waits between tries, kept from one delivery to the next.
        give_up_s: seconds after which the last failure is raised; a lasting refusal is raised at once.
        clock: seconds, monotonic.
        sleep: waits so many seconds.

    Raises:
        DeliveryError: a lasting refusal, or the last failure once `give_up_s` are over.
    """
    deadline = clock() + give_up_s
    while True:
        try:
            attempt()
        except DeliveryError as error:
            wait = backoff.failed(error.wait_s)
            if error.lasting or clock() + wait > deadline:
                raise
            log.warning("%s; again in %.1f s", error, wait)
            sleep(wait)
        else:
            backoff.succeeded()
            return


def message_id(alert_id: str, body: bytes) -> str:
    """The id of one revision of an alert: letters, digits, `-` and `_` alone, the same whenever it is computed."""
    revision = msgspec.json.decode(body, type=_Revision).revision
    return f"{_PLAIN.sub('_', alert_id)[:100]}-{revision}"


class _Revision(msgspec.Struct):
    revision: int = 0


class WebhookAlerts:
    """Sends every revision and returns when it was taken.

    Args:
        webhook: where to.
        give_up_s: seconds after which a receiver that takes nothing ends the run.
        clock: seconds, monotonic.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        webhook: SignedWebhook,
        give_up_s: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._webhook = webhook
        self._give_up_s = give_up_s
        self._clock, self._sleep = clock, sleep
        self._backoff = Backoff(FIRST_WAIT_S, LONGEST_WAIT_S)

    def write(self, alert_id: str, body: bytes) -> None:
        """Send a revision.

        Raises:
            DeliveryError: it was not taken.
        """
        name = message_id(alert_id, body)
        deliver(
            lambda: self._webhook.post(name, body),
            self._backoff,
            give_up_s=self._give_up_s,
            clock=self._clock,
            sleep=self._sleep,
        )

    flush_s = 0.0
    """At once: what was written was taken."""

    def flush(self) -> None:
        """Nothing to wait for."""

    def close(self) -> None:
        """Close the connection; everything that was written was taken."""
        self._webhook.close()


def open_sink(target: str, config: Config) -> WebhookAlerts:
    """The webhook at the URL `target`.

    Raises:
        UsageError: no URL that can be used, or no secret.
    """
    if not target:
        raise UsageError("--sink webhook: name a URL, as in webhook:https://example.org/alerts")
    secret = config.sinks.secret()
    if secret is None:
        raise UsageError(
            f"--sink webhook: requests are signed: put a secret into {WEBHOOK_SECRET_VARIABLE}, or into a file that "
            "[sinks] webhook_secret_file names"
        )
    endpoint = Endpoint(target, "--sink webhook", internal=config.sinks.internal_addresses == "allow")
    return WebhookAlerts(SignedWebhook(endpoint, Signer(secret.get_secret_value())), config.sinks.give_up_s)
