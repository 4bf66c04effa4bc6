"""The state and its outputs are a function of the log: of neither cuts, interleaving, repetition nor snapshots."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.errors import LogError
from streaming.schema.observation import End
from tests.streaming.assess import harness, societies
from tests.streaming.builders import batch

SOCIETY = societies.society(1, hours=4, events=170)
OBSERVED = harness.score(SOCIETY)
PLAIN = harness.play(harness.logs(OBSERVED, 1, random.Random(0))[0])
modest = settings(max_examples=8, deadline=None)


def test_the_stream_of_these_tests_has_everything_in_it() -> None:
    kinds = {alert.kind for alert in PLAIN.alerts()}
    counts = PLAIN.assess.counts
    assert "account" in kinds
    assert counts.duplicate > 0
    assert counts.accepted + counts.duplicate == len(OBSERVED)
    assert any(len(output.rerank_answer.llrs) and len(output.rerank_answer.vectors) for output in PLAIN.outputs)
    assert any(each.score is None for each in PLAIN.gone())


@modest
@given(st.integers(0, 2**32), st.sampled_from([1, 2, 4]), st.booleans(), st.booleans())
def test_any_partitioning_interleaving_and_laziness_gives_the_same(
    seed: int, partitions: int, keyed: bool, lazy: bool
) -> None:
    chance = random.Random(seed)
    parts = harness.logs(OBSERVED, partitions, chance, keyed=keyed)
    played = harness.play(harness.interleaved(parts, chance), partitions=partitions, lazy=lazy)
    assert played.said() == PLAIN.said()
    assert harness.picture(played.assess, log=False) == harness.picture(PLAIN.assess, log=False)


@modest
@given(st.integers(0, 2**32), st.booleans())
def test_repeated_and_overlapping_batches_say_nothing_new(seed: int, overlap: bool) -> None:
    chance = random.Random(seed)
    parts = harness.logs(OBSERVED, 2, chance)
    spoil = harness.overlapping if overlap else harness.repeated
    played = harness.play(harness.interleaved([spoil(part, chance) for part in parts], chance), partitions=2)
    assert played.said() == PLAIN.said()
    assert harness.picture(played.assess, log=False) == harness.picture(PLAIN.assess, log=False)


@modest
@given(st.integers(0, 2**32), st.sets(st.integers(0, 45), min_size=1, max_size=4))
def test_a_snapshot_anywhere_changes_nothing(seed: int, places: set[int]) -> None:
    chance = random.Random(seed)
    entries = harness.interleaved(harness.logs(OBSERVED, 2, chance), chance)
    broken = harness.play(entries, partitions=2, snapshots=places)
    assert broken.said() == PLAIN.said()
    assert harness.picture(broken.assess, log=False) == harness.picture(PLAIN.assess, log=False)


@modest
@given(st.integers(0, 2**32))
def test_arrival_within_the_lateness_changes_nothing(seed: int) -> None:
    arrived = societies.shuffled(SOCIETY, seed, 60_000)
    played = harness.play(harness.logs(harness.score(arrived), 1, random.Random(seed))[0])
    assert played.assess.counts.late == 0
    assert played.said() == PLAIN.said()


def test_traces_and_groups_are_the_same_over_four_partitions_and_snapshots() -> None:
    observed = harness.score(societies.campaign(0, people=60, hours=8, rounds=20))
    plain = harness.play(harness.logs(observed, 1, random.Random(0))[0])
    assert any(len(output.alerts) for output in plain.outputs)
    entries = list(harness.interleaved(harness.logs(observed, 4, random.Random(1)), random.Random(2)))
    places = range(0, len(entries), 9)
    spread = harness.play(entries, partitions=4, snapshots=places)
    assert spread.said() == plain.said()
    assert harness.picture(spread.assess, log=False) == harness.picture(plain.assess, log=False)


@pytest.mark.parametrize("seed", [3, 4])
def test_the_seed_of_a_stream_is_all_that_decides(seed: int) -> None:
    observed = harness.score(societies.society(seed))
    first, second = (harness.play(harness.logs(observed, 1, random.Random(seed))[0]) for _ in range(2))
    assert harness.picture(first.assess) == harness.picture(second.assess)


def test_a_gap_of_three_months_runs_few_ticks_and_closes_all_windows() -> None:
    quarter = 90 * 86_400_000
    later = [{**item, "at": item["at"] + quarter, "id": f"l{item['id']}"} for item in societies.society(2)]
    items = [*(item for item in SOCIETY if item["kind"] != "delete_account"), *later]
    played = harness.play(harness.logs(harness.score(items), 1, random.Random(0))[0])
    assert len(played.outputs) < 3000
    assert played.assess.counts.accepted > len(OBSERVED)
    assert played.assess.ended()


def test_without_any_event_nothing_runs() -> None:
    assess = harness.begin()
    assess.feed(End(0, 1, 0))
    assert assess.ended()
    assert harness.drain(assess) == []


def test_two_first_stage_models_are_never_mixed_nor_is_a_log_read_of_another_than_expected() -> None:
    for expected in (None, {"text": "a@1"}):
        assess = harness.begin()
        assess.state.log_models = expected
        assess.feed(batch(OBSERVED[:5], models={"text": "a@1"}))
        with pytest.raises(LogError, match=r'a@1.* and of .*b@2.*log = "own"'):
            assess.feed(batch(OBSERVED[5:9], models={"text": "b@2"}))
    assess = harness.begin()
    assess.state.log_models = {"text": "b@2"}
    with pytest.raises(LogError, match="two model versions"):
        assess.feed(batch(OBSERVED[:5], models={"text": "a@1"}))


def test_a_log_that_is_not_read_from_its_beginning_begins_with_whatever_comes_first() -> None:
    assess = harness.begin(partitions=2)
    assess.ordering.begin_anywhere()
    middle = len(OBSERVED) // 2
    assess.feed(batch(OBSERVED[middle:], partitions=2))
    assess.feed(End(1, 2, 17))
    assert assess.positions == [len(OBSERVED), 17]
    assert not assess.ordering.open_gaps
    assert assess.counts.offset_gaps == 0
    assess.feed(batch(OBSERVED[:5], partitions=2))
    assert assess.counts.repeated == 1, "what lies before the beginning is never taken in afterwards"
