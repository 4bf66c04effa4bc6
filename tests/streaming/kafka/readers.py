"""What a `ReaderProcess` runs in tests: functions that its process can import."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from streaming.assess.outputs import Answer, Reranker, RerankRequest
from tests.streaming.kafka.tiny import steady


def made() -> Reranker:
    """Reads at once."""
    return steady


def dies() -> Reranker:
    """Is killed over whatever it is asked."""

    def read(request: RerankRequest) -> Answer:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")

    return read


def hangs() -> Reranker:
    """Never answers."""

    def read(request: RerankRequest) -> Answer:
        time.sleep(3600)
        raise AssertionError("unreachable")

    return read


Make = Callable[[], Reranker]
