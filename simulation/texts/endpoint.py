"""Texts from any endpoint that speaks OpenAI's chat protocol: `POST {base}/chat/completions`.

The key comes from the environment, is sent in the header and appears nowhere else. Requests go out a few at a time and
are repeated when the endpoint is busy; their order in the output is that of the events.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import urlsplit

from detector.errors import SwarmlightError, UsageError
from simulation.texts.personas import Personas
from simulation.texts.requests import Request, Text

AT_ONCE: Final = 8
"""Requests in flight: polite to a shared endpoint, enough to keep a local one busy."""

TRIES: Final = 5

WAIT_S: Final = 1.0
"""Before the second try; doubled each time."""

TIMEOUT_S: Final = 120.0
"""For one answer; a local model on a processor may take a minute."""

LONGEST_ANSWER_BYTES: Final = 1 << 20

BUSY: Final = (408, 409, 429, 500, 502, 503, 504)


class Endpoint:
    """A source of texts behind HTTP.

    Args:
        base: for example `http://localhost:8080/v1`.
        model: its name there.
        key: sent as bearer token where not empty.
        sleep: how to wait between tries.
    """

    speaks = True

    def __init__(
        self, base: str, model: str, personas: Personas, seed: int, *, key: str = "", max_tokens: int = 120,
        temperature: float = 0.9, sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        parts = urlsplit(base)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise UsageError(
                f"texts: {base!a} is no address of an endpoint: write for example http://localhost:8080/v1"
            )
        self._url = base.rstrip("/") + "/chat/completions"
        self._host = parts.hostname or ""
        self._model, self._personas, self._seed = model, personas, seed
        self._key, self._max_tokens, self._temperature = key, max_tokens, temperature
        self._sleep = sleep

    def write(self, requests: Sequence[Request]) -> list[Text | None]:
        """A text for each request.

        Raises:
            SwarmlightError: the endpoint cannot be reached, refuses, or answers with something else.
        """
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(self._one, requests))

    def _one(self, request: Request) -> Text | None:
        body = {
            "model": self._model,
            "messages": [
                {"role": "system", "content": self._personas.system_prompt(self._seed, request)},
                {"role": "user", "content": self._personas.prompt(self._seed, request)},
            ],
            "max_tokens": self._max_tokens,
            "temperature": self._temperature,
            "seed": (self._seed * 1_000_003 + request.number) % 2**31,
        }
        words = tidy(self._answer(json.dumps(body).encode()))
        return Text(words) if words else None

    def _answer(self, body: bytes) -> str:
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        wait, reason = WAIT_S, ""
        for attempt in range(TRIES):
            if attempt:
                self._sleep(wait)
                wait *= 2
            try:
                asked = urllib.request.Request(self._url, body, headers, method="POST")  # noqa: S310 - scheme checked
                with urllib.request.urlopen(asked, timeout=TIMEOUT_S) as answer:  # noqa: S310
                    return _content(answer.read(LONGEST_ANSWER_BYTES))
            except urllib.error.HTTPError as error:
                reason = f"it answers {error.code}"
                error.close()
                if error.code not in BUSY:
                    break
            except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
                reason = f"it cannot be reached ({getattr(error, 'reason', error)})"
        raise SwarmlightError(f"the endpoint for texts at {self._host} gives none: {reason}; see its own log, or check "
                              "address, model and key")  # fmt: skip


def _content(answer: bytes) -> str:
    try:
        decoded: Any = json.loads(answer)
        content = decoded["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError):
        raise SwarmlightError(
            "the endpoint for texts answers with something that is no chat completion; is its address the one that "
            "ends in /v1?"
        ) from None
    return content if isinstance(content, str) else ""


def tidy(answer: str) -> str:
    """A model's answer as a post: on one line, without the quotation marks it likes to put around."""
    words = " ".join(answer.split())
    for left, right in (('"', '"'), ("“", "”"), ("'", "'")):
        if len(words) > 1 and words.startswith(left) and words.endswith(right):
            words = words[1:-1].strip()
    return words
