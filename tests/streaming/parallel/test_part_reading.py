"""Reading ahead: what `assess` will ask for, by and large; nothing where nothing is read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from graph.narratives import VECTORS_KEPT
from streaming.assess import AssessSettings
from streaming.assess.settings import DAY_MS
from streaming.parallel.part_reading import ReadAhead
from streaming.parallel.slices import meaning_key
from streaming.playback import live_reranker
from tests.streaming.assess import fakes, harness
from tests.streaming.builders import event

MINUTE = 60_000


def ahead(**more: Any) -> ReadAhead:
    bundle = fakes.models(fakes.EchoSecondStage(), meaning=fakes.CrcMeaning())
    return ReadAhead(replace(harness.SETTINGS, **more), bundle, 1, live_reranker(bundle))


def test_of_an_account_as_many_texts_are_read_for_their_meaning_as_it_gets_vectors_and_then_one_an_hour() -> None:
    reading = ahead()
    posts = harness.posts("ann", VECTORS_KEPT + 130)
    first = reading.read(harness.score(posts[:10]))
    assert first.meanings == [meaning_key(harness.MILD)]  # all of them say the same
    said = [event("bob", at=i * MINUTE, id=str(i), text=f"robot number {i} said this", lang="en") for i in range(146)]
    keys = [key for n in range(0, 146, 20) for key in reading.read(harness.score(said[n : n + 20])).meanings]
    assert keys[:VECTORS_KEPT] == [meaning_key(item["text"]) for item in said[:VECTORS_KEPT]]
    assert len(keys) == VECTORS_KEPT + 2


def test_a_part_without_texts_is_no_trouble() -> None:
    likes = [event("ann", at=0, id="1", kind="like", target="x"), event("ann", at=1, id="2", kind="delete", target="1")]
    read = ahead().read(harness.score(likes))
    assert (read.texts, read.meanings, read.llrs, read.vectors) == ([], [], b"", b"")
    assert ahead().read([]).texts == []


def test_an_account_that_was_silent_for_long_is_forgotten() -> None:
    reading = ahead()
    reading.read(harness.score(harness.posts("ann", 3)))
    reading.read(harness.score(harness.posts("bob", 3, start=(AssessSettings().account_ttl_days + 2) * DAY_MS)))
    assert list(reading._accounts.rows) == ["bob"]


@pytest.mark.parametrize(
    ("settings", "texts", "meanings"),
    [
        ({}, True, True),
        ({"second_stage_texts_per_s": 0.0}, False, True),
        ({"meaning_texts_per_s": 0.0}, True, False),
        ({"without": frozenset({"text", "coordination"})}, False, False),
    ],
)
def test_what_is_not_asked_for_is_not_read(settings: dict[str, Any], texts: bool, meanings: bool) -> None:
    read = ahead(**settings).read(harness.score(harness.posts("ann", 5)))
    assert (bool(read.texts), bool(read.meanings)) == (texts, meanings)
