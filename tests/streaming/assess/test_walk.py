"""The page about `assess` tells the way from a record to an alert as it is."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from streaming.assess import Assess
from streaming.playback import live_reranker, play, scorer_of
from streaming.sources.base import SourceRecord
from tests.streaming.assess import fakes, harness
from tests.streaming.builders import T0, event, record

PAGE = Path(__file__).resolve().parents[3] / "docs" / "explanation" / "architecture.md"
HEADING = "### One event, in twelve steps\n"


def steps() -> list[list[Any]]:
    """The functions that each step of the page names, the one it is about first."""
    text = PAGE.read_text(encoding="utf-8").split(HEADING)[1].split("\n## ")[0]
    found = []
    for item in re.split(r"\n(?=\d+\. )", text)[1:]:
        named = re.findall(r"`([\w/]+)\.py`: `([\w.]+)`", item)
        found.append([_function(path.replace("/", "."), name) for path, name in named])
    return found


def _function(module: str, name: str) -> Any:
    value: Any = importlib.import_module(module)
    for part in name.split("."):
        value = getattr(value, part)
    assert callable(value), f"{module}.{name}"
    return value


def test_there_are_at_most_twelve_steps_and_each_names_a_function_that_exists() -> None:
    found = steps()
    assert 0 < len(found) <= 12
    assert [len(named) > 0 for named in found] == [True] * len(found)


def test_a_post_takes_these_steps_in_this_order() -> None:
    """Step 5 is a tick. Its steps come in their order at each; groups are searched for at the last one only."""
    first = [named[0] for named in steps()]
    number_of = {function.__code__: number for number, function in enumerate(first)}
    tick = first.index(Assess.advance)
    called: list[int] = []
    ticks: list[list[int]] = []

    def note(frame: FrameType, what: str, _: object) -> None:
        number = number_of.get(frame.f_code)
        if what != "call" or number is None:
            return
        into = called if number <= tick else ticks[-1]
        if number not in into:
            into.append(number)
        if number == tick:
            ticks.append([])

    models = fakes.models(second_stage=fakes.EchoSecondStage(), meaning=fakes.CrcMeaning(), graph=fakes.pair_weights())
    text = "robot robot robot said the old robot"
    lines = [record(event("ann", at=i, id=str(i), text=text, lang="en")) for i in range(3)]
    records = [SourceRecord(i, -1, line) for i, line in enumerate(lines)]
    assess = Assess(harness.SETTINGS, models, partitions=1)
    sys.setprofile(note)
    try:
        outputs = list(
            play(records, assess, scorer_of(models, harness.SETTINGS), live_reranker(models), lambda: T0 + 10**9)
        )
    finally:
        sys.setprofile(None)
    assert [alert.kind for step in outputs for output in step.outputs for alert in output.alerts] == ["account"]
    assert called == list(range(tick + 1))
    assert ticks == [sorted(each) for each in ticks]
    assert {number for each in ticks for number in each} == set(range(tick + 1, len(first)))
