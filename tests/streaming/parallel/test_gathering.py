"""The deciding operator: the same as `play` in whatever order parts come, wherever it is interrupted."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.errors import EngineError, LogError
from detector.models import Models
from streaming.assess import Answer, Assess, Reranker, RerankRequest
from streaming.config import load_config
from streaming.parallel.gathering import (
    AheadAnswers,
    Gathering,
    KeptInput,
    SaidRecord,
    decode_kept,
    decode_said,
    encode_kept,
    encode_said,
)
from streaming.parallel.part_reading import PartReader, ReadAhead
from streaming.parallel.results import outputs_of, written
from streaming.parallel.slices import ReadTexts, encode_record, meaning_key, slices, split
from streaming.playback import live_reranker, play
from streaming.score import Scorer
from streaming.sources.base import SourceRecord
from tests.streaming import builders
from tests.streaming.assess import fakes, harness, societies

NOW = builders.T0 + 10**11


@cache
def recording() -> list[SourceRecord]:
    items = societies.campaign(3, people=8, machines=4, hours=4, rounds=10)
    values = [builders.record(item) for item in items]
    values.insert(50, b"this is no event")
    return [SourceRecord(i, -1, value) for i, value in enumerate(values)]


@cache
def bundle() -> Models:
    return fakes.models(fakes.EchoSecondStage(), meaning=fakes.CrcMeaning(), graph=fakes.pair_weights())


def scorer() -> Scorer:
    return Scorer(bundle().text, language=lambda text, declared, readable: declared or "en")


def refuse(request: RerankRequest) -> Answer:
    raise AssertionError("the answers of a tick that ran are in the kept inputs")


@cache
def undisturbed() -> tuple[list[bytes], list[Any], int]:
    """Alerts, scores and dead letters of one process."""
    assess = Assess(harness.SETTINGS, bundle(), 1)
    steps = list(play(recording(), assess, scorer(), live_reranker(bundle()), lambda: NOW))
    alerts = [alert.body for step in steps for output in step.outputs for alert in output.alerts]
    return alerts, list(assess.scores()), sum(len(step.letters) for step in steps)


@cache
def parts(shards: int, size: int, ahead: bool) -> list[bytes]:
    readers = {
        shard: PartReader(
            scorer(), ReadAhead(harness.SETTINGS, bundle(), shards, live_reranker(bundle())) if ahead else None
        )
        for shard in range(shards)
    }
    made = [part for whole in slices(recording(), NOW, size=size) for part in split(whole, shards)]
    return [encode_record(readers[part.shard].read(part)) for part in made]


def fresh(live: Reranker | None = None) -> Gathering:
    return Gathering(harness.SETTINGS, bundle(), 1, live or live_reranker(bundle()))


def shuffled(bodies: Sequence[bytes], seed: int) -> list[bytes]:
    """Parts as they may come: those of a shard in order, shards in any."""
    chance, held = random.Random(seed), dict[int, list[bytes]]()
    for body in bodies:
        held.setdefault(body[1], []).append(body)  # the shard is the second byte
    order: list[bytes] = []
    while any(held.values()):
        order.append(held[chance.choice([shard for shard in held if held[shard]])].pop(0))
    return order


def told(said: Sequence[SaidRecord]) -> tuple[list[bytes], list[Any], int]:
    alerts = [alert.body for record in said for alert in record.alerts]
    return alerts, [s for record in said for s in record.scores], sum(len(record.letters) for record in said)


def test_the_undisturbed_run_says_something() -> None:
    alerts, scores, letters = undisturbed()
    assert len(alerts) > 3
    assert len(scores) == 12
    assert letters == 1


@pytest.mark.parametrize(("shards", "size", "ahead"), [(4, 20, True), (5, 9, False)])
def test_results_are_those_of_one_process(shards: int, size: int, ahead: bool) -> None:
    gathering = fresh()
    said = [each for body in shuffled(parts(shards, size, ahead), shards) for each in gathering.take(body)[0]]
    assert gathering.ended
    assert told(said) == undisturbed()
    assert [record.number for record in said] == list(range(len(said)))
    end = said[-1].end
    assert end is not None
    assert (end.counts.dead, end.counts.accepted) == (1, len(recording()) - 1)
    assert (end.hits > end.misses) == ahead
    assert end.hits + end.misses > 20


@pytest.mark.parametrize("seed", range(2))
def test_after_a_failure_the_rest_is_said_as_if_there_had_been_none(seed: int) -> None:
    bodies = shuffled(parts(4, 20, ahead=True), seed)
    chance = random.Random(seed)
    saved_at, failed_at = sorted(chance.sample(range(1, len(bodies)), 2))
    first = fresh()
    said: list[SaidRecord] = []
    kept: list[bytes] = []
    saved = b""
    for number, body in enumerate(bodies[:failed_at]):
        if number == saved_at:
            saved, kept = first.save(), []
        now, each = first.take(body)
        said += now
        kept.append(encode_kept(each))
    again = fresh(refuse)
    again.restore(saved)
    for body in kept:
        again.again(decode_kept(body))
    state = again.save()
    assert state == first.save()
    last = fresh()
    last.restore(state)
    said += [each for body in bodies[failed_at:] for each in last.take(body)[0]]
    assert told(said) == undisturbed()
    assert [record.number for record in said] == list(range(len(said)))


def test_inputs_of_another_state_are_refused() -> None:
    bodies = parts(1, 1000, True)
    kept = fresh().take(bodies[0])[1]
    with pytest.raises(LogError, match="do not belong"):
        fresh().again(KeptInput(kept.part, [], 0, 0))


def test_an_answer_that_was_read_ahead_is_used_and_others_are_read() -> None:
    asked: list[RerankRequest] = []

    def live(request: RerankRequest) -> Answer:
        asked.append(request)
        return live_reranker(bundle())(request)

    answers = AheadAnswers(live)
    vector = fakes.meanings(["one"])
    answers.add(ReadTexts([], b"", [meaning_key("one")], vector.tobytes()))
    request = RerankRequest(0, [], [], np.zeros(0, np.int16), ["two", "one"])
    assert (answers(request).vectors == fakes.meanings(["two", "one"])).all()
    assert [each.meanings for each in asked] == [["two"]]
    assert (answers.hits, answers.misses) == (1, 1)


def test_a_record_of_output_is_a_line(tmp_path: Path) -> None:
    gathering = fresh()
    said = [each for body in parts(1, 1000, True) for each in gathering.take(body)[0]]
    lines = [encode_said(record) for record in said]
    assert all("\n" not in line for line in lines)
    assert [decode_said(line) for line in lines] == said
    with outputs_of(tmp_path, [], load_config(None, {})) as outputs:
        assert written([*said[:2], *said], outputs).accounts == 12
        outputs.publish()
    assert (tmp_path / "alerts.jsonl").read_bytes().splitlines() == undisturbed()[0]
    with outputs_of(tmp_path, [], load_config(None, {})) as outputs:
        with pytest.raises(EngineError, match="output 1 of the job is missing"):
            written([said[0], *said[2:]], outputs)
        with pytest.raises(EngineError, match="ended before"):
            written(said[:1], outputs)
    with pytest.raises(LogError, match="cannot be read"):
        decode_said("{}")
