"""A client of OpenAI's chat protocol (`POST {base}/chat/completions`), for writing texts and for rating them.

The key is sent in the header and appears nowhere else. Requests go out a few at a time and are repeated when the
endpoint is busy; answers come in the order of requests.
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

AT_ONCE: Final = 8
"""Requests in flight: polite to a shared endpoint, enough to keep a local one busy."""

TRIES: Final = 5

WAIT_S: Final = 1.0
"""Before the second try; doubled each time."""

TIMEOUT_S: Final = 120.0
"""For one answer; a local model on a processor may take a minute."""

LONGEST_ANSWER_BYTES: Final = 1 << 20

BUSY: Final = (408, 409, 429, 500, 502, 503, 504)


class ChatClient:
    """One model behind HTTP.

    Args:
        base: for example `http://localhost:8080/v1`.
        model: its name there.
        key: sent as bearer token where not empty.
        sleep: how to wait between tries.
    """

    def __init__(self, base: str, model: str, *, key: str = "", sleep: Callable[[float], None] = time.sleep) -> None:
        parts = urlsplit(base)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise UsageError(
                f"texts: {base!a} is no address of an endpoint: write for example http://localhost:8080/v1"
            )
        self._url = base.rstrip("/") + "/chat/completions"
        self._host = parts.hostname or ""
        self._model, self._key, self._sleep = model, key, sleep

    def answers(self, requests: Sequence[dict[str, Any]]) -> list[str]:
        """The model's answer to each request; a request is the body without the model.

        Raises:
            SwarmlightError: the endpoint cannot be reached, refuses, or answers with something else.
        """
        bodies = [json.dumps({"model": self._model, **request}).encode() for request in requests]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(self._answer, bodies))

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
