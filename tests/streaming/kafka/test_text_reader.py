"""The process that reads texts: its answers are those of the caller's own, and it is begun again where it dies."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from detector.errors import ModelError
from streaming.assess.outputs import Reranker, RerankRequest
from streaming.kafka.text_reader import MOST_FAILURES, InProcess, ReaderProcess
from tests.streaming.kafka import readers
from tests.streaming.kafka.tiny import steady


def request(texts: int, meanings: int = 1) -> RerankRequest:
    """A request that is larger than what a pipe holds, from a few hundred texts on."""
    said = [f"{number} " + "x" * 490 for number in range(texts)]
    return RerankRequest(60_000, said, ["en"] * texts, np.zeros(texts, np.int16), said[:meanings])


@pytest.fixture
def begun() -> Iterator[Callable[..., ReaderProcess]]:
    made: list[ReaderProcess] = []

    def begin(make: Callable[[], Reranker] = readers.made, patience_s: float = 60.0) -> ReaderProcess:
        made.append(ReaderProcess(make, request(1), patience_s))
        return made[-1]

    yield begin
    for each in made:
        each.close()


def test_a_process_answers_as_the_callers_own_and_once_for_each_request(begun: Callable[..., ReaderProcess]) -> None:
    process, here = begun(), InProcess(steady)
    for count in (3, 1200, 0):
        asked = request(count)
        began = time.monotonic()
        process.ask(asked)
        process.ask(asked)
        assert time.monotonic() - began < 5.0, "asking does not wait"
        there, own = process.take(asked), here.take(asked)
        assert (there.llrs == own.llrs).all()
        assert (there.vectors == own.vectors).all()
    assert process.restarts == 0


def test_one_that_is_killed_is_begun_again_and_asked_again(begun: Callable[..., ReaderProcess]) -> None:
    process, asked = begun(), request(5)
    process.prepare()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    process.ask(asked)
    assert not process.answered(asked, 0.05)
    os.kill(process.pid, signal.SIGKILL)
    assert len(process.take(asked).llrs) == 5
    assert process.restarts == 1


@pytest.mark.parametrize(
    ("make", "patience_s", "what"), [(readers.dies, 60.0, "ended"), (readers.hangs, 0.0, "gave no")]
)
def test_one_that_never_answers_is_an_error_that_says_what_to_do(
    begun: Callable[..., ReaderProcess], make: readers.Make, patience_s: float, what: str
) -> None:
    process = begun(make, patience_s)
    with pytest.raises(ModelError, match=rf"{what}.*{MOST_FAILURES} times in a row.*second_stage_texts_per_s = 0"):
        process.take(request(2))
