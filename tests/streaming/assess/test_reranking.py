"""Which texts the second stage is asked about, and what becomes of its answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from detector.errors import LogError
from streaming.assess import NOT_READ, Answer, Assess, AssessSettings, RerankRequest
from streaming.assess.reranking import CARRY_TEXTS, ShareBudget, TextBudget
from tests.streaming.assess import harness
from tests.streaming.assess.fakes import models
from tests.streaming.assess.harness import MILD, posts
from tests.streaming.builders import batch, end, event


def asked(items: list[dict[str, Any]], settings: AssessSettings, answer: int = 0) -> tuple[list[RerankRequest], Assess]:
    """Everything the second stage was asked, which answers each text with its first-stage LLR plus `answer`."""
    assess = harness.begin(settings, bundle=models(second_stage=object()))
    observed = harness.score(items)
    assess.feed(batch(observed))
    assess.feed(end(len(observed)))
    requests: list[RerankRequest] = []

    def second_stage(request: RerankRequest) -> Answer:
        requests.append(request)
        if answer == NOT_READ:
            return Answer.unread(len(request.texts))
        return Answer.unread()._replace(llrs=request.first_stage + np.int16(answer))

    while assess.advance(second_stage) is not None:
        pass
    return requests, assess


ANY = AssessSettings(min_texts=1)


def read(requests: list[RerankRequest]) -> list[str]:
    return [text for request in requests for text in request.texts]


def test_the_second_stage_reads_texts_of_candidates_only() -> None:
    human, robot = "human human human human human human here", "robot robot robot robot robot robot robot robot robot"
    items = [*posts("mild", 2), *posts("clear", 9, robot), *posts("person", 9, human)]
    requests, _ = asked(sorted(items, key=lambda item: int(item["at"])), ANY)
    texts = read(requests)
    assert texts.count(MILD) == 2
    assert human not in texts
    assert texts.count(robot) <= 2


def test_an_account_is_read_so_often_in_an_hour() -> None:
    items = posts("mild", 60, "robot robot said the old man here")
    settings = AssessSettings(second_stage_texts_per_s=100.0, second_stage_texts_per_account_h=2, min_texts=1)
    requests, _ = asked(items, settings)
    assert 0 < len(read(requests)) <= 4, "sixty minutes touch two hours"


def test_the_more_was_read_of_an_account_the_nearer_it_has_to_be_to_be_read_again() -> None:
    far, near = "human human robot said the old man here", "human robot said the old man here"
    settings = AssessSettings(second_stage_texts_per_s=100.0, second_stage_texts_per_account_h=60, min_texts=1)
    by_text = {text: len(read(asked(posts("mild", 59, text), settings)[0])) for text in (far, near)}
    assert 0 < by_text[far] < by_text[near]


def test_an_account_that_cannot_be_flagged_yet_is_not_read() -> None:
    assert read(asked(posts("mild", 2), AssessSettings(min_texts=3))[0]) == []
    assert len(read(asked(posts("mild", 3), AssessSettings(min_texts=3))[0])) > 0


def test_no_more_than_the_share_of_all_texts_is_read() -> None:
    items = sorted([item for n in range(20) for item in posts(f"a{n}", 5)], key=lambda item: int(item["at"]))
    requests, _ = asked(items, AssessSettings(second_stage_share=0.15, min_texts=1))
    assert 0 < len(read(requests)) <= 15


def test_the_unused_part_of_a_share_is_carried_over_for_so_many_texts_and_no_more() -> None:
    budget = ShareBudget()
    assert budget.earn(0.5, 3) == 1
    budget.spend(1)
    assert budget.earn(0.5, 1) == 1
    assert budget.earn(0.5, 10 * CARRY_TEXTS) == CARRY_TEXTS // 2


def test_the_budget_is_of_event_time_and_saves_only_so_much() -> None:
    items = [item for name in range(40) for item in posts(f"a{name:02}", 3, start=name)]
    requests, _ = asked(
        sorted(items, key=lambda item: int(item["at"])), AssessSettings(second_stage_texts_per_s=1 / 60, min_texts=1)
    )
    assert [len(request.texts) for request in requests] == [1, 1, 1]


def test_a_tick_never_asks_for_more_than_two_ticks_earn_whatever_was_saved() -> None:
    budget = TextBudget()
    assert budget.earn(20.0, 60_000, 60_000) == 1200, "at the start that of one tick"
    budget.spend(1200)
    assert budget.earn(20.0, 120_000, 60_000) == 1200
    assert budget.earn(20.0, 86_400_000, 60_000) == 2400
    slow = TextBudget()
    assert [slow.earn(0.001, minute * 60_000, 60_000) for minute in (1, 10, 17, 500)] == [0, 0, 1, 1]


def test_what_a_tick_asks_for_enters_at_the_next_whatever_comes_then() -> None:
    """A tick runs for it where nothing else would; accounts and events that go at that tick are no trouble."""
    items = posts("mild", 2, step=1000)
    for later in ([], [event("mild", at=70_000, kind="delete_account", id="d")]):
        assess = harness.begin(ANY, bundle=models(second_stage=object()))
        assess.feed(batch(harness.score([*items, *later, event("far", at=3_600_000)])))
        first = assess.advance(harness.echo)
        assert first is not None
        assert first.rerank_answer.empty
        request = assess.asked()
        assert request is not None
        assert len(request.texts) == 2
        assert assess.next_tick() == request.tick_ms == first.tick_ms + 60_000
        assess = harness.through_disk(assess, ANY, bundle=models(second_stage=object()))
        again = assess.asked()
        assert again is not None
        assert again.texts == request.texts
        second = assess.advance(harness.echo)
        assert second is not None
        assert len(second.rerank_answer.llrs) == 2
        assert assess.asked() is None
        row = assess.state.accounts.find("mild")
        assert (row is None) == bool(later)
        if row is not None:
            assert assess.state.statistics.features(np.array([row])).second_stage[0] > 0


def test_what_the_second_stage_says_enters_the_evidence_and_not_the_choice() -> None:
    items = posts("mild", 5)
    silent, without = asked(items, ANY, NOT_READ)
    loud, with_it = asked(items, ANY, 9000)
    assert [request.texts for request in silent] == [request.texts for request in loud]
    assert without.state.statistics.features(np.array([0])).second_stage[0] == 0
    assert with_it.state.statistics.features(np.array([0])).second_stage[0] > 4
    assert [text.llr for text in with_it.state.texts.of(0)] == [10_000] * 5


def test_nothing_is_asked_without_a_second_stage_or_without_text() -> None:
    for bundle, settings in ((models(), AssessSettings()), (None, AssessSettings(without=frozenset({"text"})))):
        observed = harness.score(posts("mild", 5))
        played = harness.play([batch(observed), end(5)], settings, bundle=bundle)
        assert len(played.outputs) > 0
        assert not any(len(output.rerank_answer.llrs) for output in played.outputs)


def test_an_answer_of_another_length_is_refused() -> None:
    assess = harness.begin(bundle=models(second_stage=object()))
    assess.feed(batch(harness.score(posts("mild", 2))))
    assess.feed(end(2))
    assert assess.advance(lambda request: Answer.unread(7)) is not None, "what the first tick asks for is read after it"
    with pytest.raises(LogError, match="second-stage model was asked"):
        assess.advance(lambda request: Answer.unread(7))
