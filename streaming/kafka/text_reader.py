"""Who has texts read for `assess`: a process of its own, so that a tick does not wait for a transformer.

What a tick asks for is known when it has run, and is used at the next (`streaming.assess.tick`); so the loop hands the
texts over (`ask`), goes on, and looks whether the answer is there (`answered`) before it runs the tick that needs it.
The answer enters the journal with that tick, which makes the outputs a function of log and journal, whatever the
process took. One that dies or hangs is started again and asked again.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Final, Protocol

import msgspec
import numpy as np

from detector.errors import ModelError
from detector.text.meaning import MEANING_DIM
from streaming.assess.outputs import Answer, Reranker, RerankRequest

log = logging.getLogger(__name__)

PATIENCE_S: Final = 300.0
"""Longest time an answer may take. What two ticks earn by default is read in ten seconds, and a machine may be thirty
times as slow as the one that was measured; beyond that the process hangs."""

MOST_FAILURES: Final = 3
"""Times in a row that the process may end or hang over the same texts. One kill is an accident, the third a fault."""


class BackgroundReader(Protocol):
    """Has texts read while the loop goes on."""

    restarts: int
    """Times that reading had to begin again."""

    def prepare(self) -> None:
        """Load what is needed, which takes seconds, before anything is asked."""
        ...

    def ask(self, request: RerankRequest) -> None:
        """Begin to have these texts read; does not wait."""
        ...

    def answered(self, request: RerankRequest, wait_s: float) -> bool:
        """Whether the answer to a request is there, or comes within `wait_s` seconds; asks where nobody has."""
        ...

    def take(self, request: RerankRequest) -> Answer:
        """The answer to a request, waiting for it where it is not there yet."""
        ...

    def close(self) -> None:
        """Give up what is being read."""
        ...


class InProcess:
    """Reads at the moment of `take`, in the caller's process: what tests use, and what `ReaderProcess` is held against.

    Args:
        reranker: reads.
        load: loads what it needs.
    """

    def __init__(self, reranker: Reranker, load: Callable[[], None] = lambda: None) -> None:
        self._reranker, self._load = reranker, load
        self.restarts = 0

    def prepare(self) -> None:
        self._load()

    def ask(self, request: RerankRequest) -> None:
        return

    def answered(self, request: RerankRequest, wait_s: float) -> bool:
        return True

    def take(self, request: RerankRequest) -> Answer:
        return self._reranker(request)

    def close(self) -> None:
        return


class ReaderProcess:
    """Has texts read by a process of its own, one request at a time.

    Args:
        make: makes what reads, in that process; has to be picklable.
        specimen: a request that has everything loaded.
        patience_s: longest time an answer may take.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        make: Callable[[], Reranker],
        specimen: RerankRequest,
        patience_s: float = PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make, self._specimen, self._patience_s, self._clock = make, specimen, patience_s, clock
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._request: RerankRequest | None = None
        self._answer: Answer | None = None
        self._since = 0.0
        self._failures = 0
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        """Of the process, None where it has not been started."""
        return None if self._process is None else self._process.pid

    def prepare(self) -> None:
        if self._specimen.texts or self._specimen.meanings:
            self.take(self._specimen)

    def ask(self, request: RerankRequest) -> None:
        if self._is_of(request):
            return
        if self._request is not None and self._answer is None:
            self._stop()  # it reads what nobody waits for any more
        self._request, self._answer, self._failures = request, None, 0
        self._send()

    def answered(self, request: RerankRequest, wait_s: float) -> bool:
        """As `BackgroundReader.answered`.

        Raises:
            ModelError: the process ends or hangs again and again.
        """
        self.ask(request)
        if self._answer is not None:
            return True
        assert self._pipe is not None
        try:
            if self._pipe.poll(wait_s):
                self._answer = _decode_answer(self._pipe.recv_bytes())
                self._failures = 0
                return True
        except (EOFError, OSError):
            self._again("ended")
            return False
        if self._clock() - self._since > self._patience_s:
            self._again(f"gave no answer for {self._patience_s:.0f} s")
        return False

    def take(self, request: RerankRequest) -> Answer:
        """As `BackgroundReader.take`.

        Raises:
            ModelError: the process ends or hangs again and again.
        """
        while not self.answered(request, 1.0):
            pass
        answer = self._answer
        assert answer is not None
        self._request, self._answer = None, None
        return answer

    def close(self) -> None:
        self._stop()
        self._request, self._answer = None, None

    def _is_of(self, request: RerankRequest) -> bool:
        asked = self._request
        return asked is not None and (asked.texts, asked.meanings) == (request.texts, request.meanings)

    def _send(self) -> None:
        assert self._request is not None
        if self._process is None or not self._process.is_alive():
            self._start()
        assert self._pipe is not None
        self._since = self._clock()
        pipe, body = self._pipe, _encode_request(self._request)

        def send() -> None:
            with suppress(OSError, ValueError):  # the process has ended, which the wait for its answer sees
                pipe.send_bytes(body)

        # A pipe holds less than a request, and a process that starts, or was stopped, does not read.
        threading.Thread(target=send, name="to the text reader", daemon=True).start()

    def _start(self) -> None:
        self._stop()
        context = multiprocessing.get_context("spawn")
        ours, its = context.Pipe()
        process = context.Process(target=serve, args=(self._make, its), name="text reader", daemon=True)
        process.start()
        its.close()
        self._process, self._pipe = process, ours

    def _stop(self) -> None:
        process, pipe = self._process, self._pipe
        self._process, self._pipe = None, None
        if process is not None:
            process.kill()
            process.join(5)
        if pipe is not None:
            pipe.close()

    def _again(self, what: str) -> None:
        self._failures += 1
        self.restarts += 1
        asked = self._request
        assert asked is not None
        if self._failures >= MOST_FAILURES:
            self._stop()
            raise ModelError(
                f"the process that reads texts {what}, {MOST_FAILURES} times in a row, over {len(asked.texts)} texts "
                f"and {len(asked.meanings)} meanings: look whether the machine has memory left (it takes about 1 GB), "
                "or switch it off with second_stage_texts_per_s = 0 and meaning_texts_per_s = 0"
            )
        log.error("the process that reads texts %s; it is started again", what)
        self._stop()
        self._send()


def serve(make: Callable[[], Reranker], pipe: Connection) -> None:
    """Answer requests until the other end of the pipe is gone: the body of the process.

    Args:
        make: makes what reads.
        pipe: requests come from it, answers go into it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the worker ends it
    reranker: Reranker | None = None
    while True:
        try:
            body = pipe.recv_bytes()
        except (EOFError, OSError):
            return
        reranker = reranker or make()
        answer = reranker(_decode_request(body))
        try:
            pipe.send_bytes(_encode_answer(answer))
        except OSError:
            return


# What goes through the pipe holds strangers' texts: MessagePack, which can run nothing.


class _Request(msgspec.Struct, array_like=True):
    tick_ms: int
    texts: list[str]
    langs: list[str]
    first_stage: bytes
    meanings: list[str]


class _Answer(msgspec.Struct, array_like=True):
    llrs: bytes
    vectors: bytes


def _encode_request(request: RerankRequest) -> bytes:
    first_stage = request.first_stage.astype("<i2").tobytes()
    return msgspec.msgpack.encode(
        _Request(request.tick_ms, request.texts, request.langs, first_stage, request.meanings)
    )


def _decode_request(body: bytes) -> RerankRequest:
    held = msgspec.msgpack.decode(body, type=_Request)
    first_stage = np.frombuffer(held.first_stage, "<i2").astype(np.int16)
    return RerankRequest(held.tick_ms, held.texts, held.langs, first_stage, held.meanings)


def _encode_answer(answer: Answer) -> bytes:
    return msgspec.msgpack.encode(_Answer(answer.llrs.astype("<i2").tobytes(), answer.vectors.tobytes()))


def _decode_answer(body: bytes) -> Answer:
    held = msgspec.msgpack.decode(body, type=_Answer)
    vectors = np.frombuffer(held.vectors, np.int8).reshape(-1, MEANING_DIM)
    return Answer(np.frombuffer(held.llrs, "<i2").astype(np.int16), vectors)
