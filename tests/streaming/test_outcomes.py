"""Every record ends as exactly one of dead, late, duplicate and accepted, through both stages."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from detector.errors import EventError
from streaming.assess import Assess, AssessSettings
from streaming.playback import live_reranker, play, scorer_of
from streaming.schema.event import parse
from streaming.sources.base import SourceRecord
from tests.streaming.assess import fakes, societies
from tests.streaming.builders import T0, event, record

NOW = T0 + 10**9
SETTINGS = AssessSettings(allowed_lateness_s=60, duplicate_window_s=3600)


def run(lines: list[bytes], chunk: int = 7) -> tuple[Assess, int, list[Any]]:
    """The state at the end, the number of dead letters, and all that ticks said."""
    models = fakes.models()
    assess = Assess(SETTINGS, models, partitions=1)
    records = [SourceRecord(i, -1, line, "f:", i + 1) for i, line in enumerate(lines)]
    letters, said = 0, []
    scorer = scorer_of(models, SETTINGS)
    for step in play(records, assess, scorer, live_reranker(models), lambda: NOW, chunk=chunk):
        letters += len(step.letters)
        said += [alert for output in step.outputs for alert in output.alerts]
    return assess, letters, said


def outcomes(assess: Assess) -> dict[str, int]:
    counts = assess.counts
    return {
        "dead": counts.dead, "late": counts.late, "duplicate": counts.duplicate, "accepted": counts.accepted,
    }  # fmt: skip


def expected(lines: list[bytes]) -> dict[str, int]:
    """The same by the letter of the contract, for events within an hour of each other."""
    counts: Counter[str] = Counter({"dead": 0, "late": 0, "duplicate": 0, "accepted": 0})
    highest: int | None = None
    seen: set[tuple[str, str]] = set()
    for line in lines:
        try:
            one = parse(line, now_ms=NOW)
        except EventError:
            counts["dead"] += 1
            continue
        if highest is not None and one.at < highest - 60_000:
            counts["late"] += 1
            continue
        highest = one.at if highest is None else max(highest, one.at)
        counts["duplicate" if (one.account, one.id) in seen else "accepted"] += 1
        seen.add((one.account, one.id))
    return dict(counts)


def malformed(count: int, seed: int = 0) -> Iterator[bytes]:
    """Broken records of every sort."""
    rng = random.Random(seed)
    good = record(event("zoe", at=0, text="robot robot robot robot and so on", lang="en", profile={"followers": 1}))
    spoilers: list[Any] = [
        {"id": ""}, {"account": None}, {"at": True}, {"at": "2026-01-01T00:00:00"}, {"at": -(10**12)}, {"at": NOW * 2},
        {"kind": "shout"}, {"v": 2}, {"v": True}, {"text": ["x"]}, {"mentions": "all"},
        {"profile": {"posts": False}},
    ]  # fmt: skip
    for _ in range(count):
        sort = rng.randrange(6)
        if sort == 0:
            yield rng.randbytes(rng.randrange(60)).replace(b"\n", b"")
        elif sort == 1:
            yield good[: rng.randrange(1, len(good))]
        elif sort == 2:
            yield good.replace(b"so on", b"\\ud800")
        elif sort == 3:
            yield b"[" * rng.randrange(5000)
        elif sort == 4:
            yield good.replace(b"robot", b"\xff", 1)
        else:
            yield record(json.loads(good) | rng.choice(spoilers))


KINDS = {"x": "post", "y": "like", "z": "repost", "q": "follow", "s": "shout"}
"""By id: the same id with other words would be an edit, which has a test of its own."""

lines = st.lists(
    st.one_of(
        st.binary(max_size=12),
        st.builds(
            lambda account, id, at: record(
                event(account, id=id, at=at, kind=KINDS[id], text="robot robot robot here" if id == "x" else None)
            ),
            account=st.sampled_from("ab"),
            id=st.sampled_from(sorted(KINDS)),
            at=st.integers(0, 300).map(lambda second: second * 1000),
        ),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(lines, st.integers(1, 9))
def test_the_four_outcomes_are_those_of_the_contract_and_add_up(items: list[bytes], chunk: int) -> None:
    assess, letters, _ = run(items, chunk)
    assert outcomes(assess) == expected(items)
    assert sum(outcomes(assess).values()) == len(items)
    assert letters == assess.counts.dead


def test_of_two_copies_of_one_time_the_same_counts_in_any_order() -> None:
    tags = ("en", "fi", "de", "fr", "it")
    copies = [record(event("ann", at=0, id="x", text="one and the same text", lang=lang)) for lang in tags]
    kept = []
    for order in (copies, copies[::-1]):
        assess, _, _ = run(order)
        assert outcomes(assess) == {"dead": 0, "late": 0, "duplicate": 4, "accepted": 1}
        (text,) = assess.state.texts.of(0)
        kept.append((text.text, text.lang, text.first_stage))
    assert kept[0] == kept[1]
    assert kept[0][1] == "en", "the text decides, whatever its copies declare"


def test_of_two_texts_of_one_time_the_hash_decides_which_is_the_edit() -> None:
    texts = [record(event("ann", at=0, id="x", text=f"text number {i} of it", lang="en")) for i in range(5)]
    last = max(texts, key=lambda line: hashlib.sha256(line).digest())
    for order in (texts, texts[::-1]):
        assess, _, _ = run(order)
        assert outcomes(assess) == {"dead": 0, "late": 0, "duplicate": 0, "accepted": 5}
        (kept,) = assess.state.texts.of(0)
        assert (assess.counts.revised, kept.text) == (4, json.loads(last)["text"])


def test_ten_thousand_malformed_records_are_accounted_for_and_change_no_alert() -> None:
    good = [record(item) for item in societies.society(3)]
    bad = list(malformed(10_000))
    mixed = [*good, *bad]
    order = list(range(len(mixed)))
    random.Random(1).shuffle(order)
    places = iter(sorted(number for number, which in enumerate(order) if which < len(good)))
    where = {next(places): line for line in good}
    rest = iter(bad)
    plain, _, said = run(good, 500)
    assess, letters, mixed_said = run([where[i] if i in where else next(rest) for i in range(len(mixed))], 500)
    assert letters == assess.counts.dead == 10_000
    assert outcomes(assess) | {"dead": 0} == outcomes(plain)
    assert said
    assert mixed_said == said
    assert list(assess.scores()) == list(plain.scores())
