"""Which texts are read for what they say, whose vectors are kept, and when they leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from detector.errors import LogError
from graph.narratives import VECTORS_KEPT, Narratives
from streaming.assess import Answer, Assess, AssessSettings, Reranker, RerankRequest
from streaming.assess.duplicates import event_key
from streaming.assess.meaning_reading import DRAWN, MOST_AT_ONCE, PANEL, MeaningReading
from streaming.assess.reranking import TextBudget
from streaming.assess.store import AccountTable, KeptText, KeptTexts
from streaming.kafka.journal import Journal, JournalEntry, RerankResults, decode, encode
from streaming.playback import live_reranker
from tests.streaming.assess import fakes, harness
from tests.streaming.assess.harness import MILD, posts
from tests.streaming.builders import batch, end, event

HUMAN = "human human said the old man here"
ROBOT = "robot robot robot said the old man here"
HOUR, DAY = 3_600_000, 86_400_000
SETTINGS = AssessSettings()
BUNDLE = fakes.models(meaning=object())
"""Without a second stage: only meanings are asked for."""


def played(
    items: list[dict[str, Any]], settings: AssessSettings = SETTINGS, reranker: Reranker = harness.echo
) -> Assess:
    """The state after these events and their last tick."""
    assess = harness.begin(settings, bundle=BUNDLE)
    observed = harness.score(sorted(items, key=lambda item: int(item["at"])))
    assess.feed(batch(observed))
    assess.feed(end(len(observed)))
    while assess.advance(reranker) is not None:
        pass
    return assess


def asked(items: list[dict[str, Any]], settings: AssessSettings = SETTINGS, *, shed: bool = False) -> list[list[str]]:
    """What was asked for, tick by tick."""
    requests: list[list[str]] = []

    def note(request: RerankRequest) -> Answer:
        requests.append(request.meanings)
        return Answer.unread(len(request.texts), len(request.meanings)) if shed else harness.echo(request)

    played(items, settings, note)
    return requests


def vectors_of(assess: Assess, account: str) -> list[bytes]:
    row = assess.state.accounts.find(account)
    return [] if row is None else assess.state.narratives.gather([row]).keys


def test_every_text_of_a_suspect_and_of_the_panel_is_read_in_its_tick() -> None:
    """Also those of a person, of whom only two are kept beyond the tick."""
    for text in (ROBOT, HUMAN):
        items = posts("ann", 6, text, step=1000)
        assess = played(items)
        assert vectors_of(assess, "ann") == [event_key("ann", item["id"]) for item in items]
        row = assess.state.accounts.find("ann")
        assert row is not None
        assert (assess.state.narratives.gather([row]).matrix == fakes.meanings([text])).all()
        assert len(asked(items)) == 1


def test_a_text_without_evidence_is_not_read() -> None:
    assert asked([*posts("ann", 3, "good morning"), *posts("ben", 3, "")]) == []


def test_a_text_that_was_left_out_leaves_nothing_and_is_asked_for_again() -> None:
    assert asked(posts("ann", 2), shed=True) == [[MILD], [MILD, MILD]]
    assert asked(posts("ann", 2)) == [[MILD], [MILD]]


def test_who_has_sixteen_gets_one_an_hour_for_the_oldest() -> None:
    items = posts("ann", 200, step=60_000)
    ticks = asked(items)
    assert len(ticks) == VECTORS_KEPT + 200 // 60
    kept = vectors_of(played(items), "ann")
    assert len(kept) == VECTORS_KEPT
    assert event_key("ann", items[0]["id"]) not in kept


def test_the_budget_is_of_event_time_and_saves_only_so_much() -> None:
    items = [item for name in range(40) for item in posts(f"a{name:02}", 3, start=name)]
    ticks = asked(items, AssessSettings(meaning_texts_per_s=1 / 60))
    assert [len(texts) for texts in ticks] == [1, 1, 1]


def test_who_has_fewest_vectors_comes_first() -> None:
    settings = AssessSettings(meaning_texts_per_s=2 / 60)
    early = [posts(f"a{name}", 1, f"{MILD} early", start=name * 1000)[0] for name in range(2)]
    late = [
        *posts("a0", 1, f"{MILD} again", start=60_000),
        *posts("b", 1, f"{MILD} first", start=61_000),
        *posts("a1", 1, f"{MILD} again", start=62_000),
    ]
    assert asked([*early, *late], settings)[1][0] == f"{MILD} first"


@pytest.mark.parametrize("changed", ["coordination", "text", "rate", "encoder"])
def test_nothing_is_asked_where_nobody_compares(changed: str) -> None:
    """Without coordination or text, without a budget, and without an encoder."""
    bundle = fakes.models() if changed == "encoder" else BUNDLE
    settings = AssessSettings(
        without=frozenset({changed}) if changed in ("coordination", "text") else frozenset(),  # type: ignore[arg-type]
        meaning_texts_per_s=0.0 if changed == "rate" else 10.0,
    )
    made = harness.play([batch(harness.score(posts("mild", 5))), end(5)], settings, bundle=bundle)
    assert len(made.outputs) > 0
    assert all(output.rerank_answer.empty for output in made.outputs)
    assert len(made.assess.state.narratives) == 0


def test_an_answer_of_another_size_is_refused() -> None:
    for vectors in (np.zeros((7, 384), np.int8), np.zeros((1, 384), np.int16), np.zeros((1, 9), np.int8)):
        with pytest.raises(LogError, match="the meaning of 1 texts was asked for"):
            played(posts("ann", 1), reranker=lambda request, vectors=vectors: Answer.unread()._replace(vectors=vectors))  # type: ignore[misc]


def test_vectors_leave_with_their_event_and_with_their_account() -> None:
    items = [*posts("ann", 3), *posts("ben", 3)]
    later = 10 * 60_000
    some = played([*items, event("ann", at=later, kind="delete", target=items[1]["id"], id="d")])
    assert vectors_of(some, "ann") == [event_key("ann", items[place]["id"]) for place in (0, 2)]
    assert len(vectors_of(some, "ben")) == 3
    none = played([*items, event("ann", at=later, kind="delete_account", id="d"), *posts("cat", 1, start=20 * 60_000)])
    assert len(none.state.narratives) == 4
    row = none.state.accounts.find("cat")
    assert row == 0, "the row of the deleted account is used again"
    assert vectors_of(none, "cat") == [event_key("cat", "cat-1200000-0")]


def test_an_event_deleted_in_the_tick_in_which_it_came_is_never_read() -> None:
    items = posts("ann", 2, step=1000)
    delete = event("ann", kind="delete", target=items[0]["id"], at=2000, id="d")
    assert vectors_of(played([*items, delete]), "ann") == [event_key("ann", items[1]["id"])]


def test_vectors_leave_when_texts_do() -> None:
    settings = AssessSettings(text_ttl_days=2)
    items = [*posts("ann", 2), *posts("ben", 1, start=2 * DAY - HOUR), *posts("cat", 1, start=3 * DAY)]
    assess = played(items, settings)
    assert [len(vectors_of(assess, name)) for name in ("ann", "ben", "cat")] == [0, 1, 1]


def test_a_replay_from_the_journal_comes_to_the_same_vectors() -> None:
    """Also where the encoder would say something else each time."""
    rng = np.random.default_rng(0)
    items = [*posts("ann", 30, step=40_000), *posts("ben", 20, HUMAN, step=50_000)]
    answers: list[RerankResults] = []

    def fickle(request: RerankRequest) -> Answer:
        vectors = rng.integers(-127, 128, (len(request.meanings), 384)).astype(np.int8)
        vectors[rng.random(len(vectors)) < 0.2] = 0
        answer = Answer.unread()._replace(vectors=vectors)
        answers.append(RerankResults.of(request.tick_ms, answer))
        return answer

    first = played(items, reranker=fickle)
    journal = Journal()
    journal.add(decode(encode(JournalEntry("run", 0, [1], "s", False, answers)), "journal-0@0"), 0)
    second = played(items, reranker=journal.answer)
    assert len(first.state.narratives) > VECTORS_KEPT
    assert harness.picture(second) == harness.picture(first)
    other = harness.picture(played(items))
    assert other["narratives/vector"] != harness.picture(first)["narratives/vector"]


class Many:
    """Accounts with one text each, ready to be read, and what reads them."""

    def __init__(self, count: int, evidence: Callable[[int], float] = lambda row: 0.0, seed: int = 0) -> None:
        self.accounts, self.texts, self.narratives = AccountTable(), KeptTexts(), Narratives()
        self.seed = seed
        self.budget = TextBudget()
        self.add(count, evidence)

    def add(self, count: int, evidence: Callable[[int], float] = lambda row: 0.0) -> None:
        for number in range(self.accounts.used, self.accounts.used + count):
            row = self.accounts.row(f"a{number}")
            self.accounts.posts[row] = 1
            self.accounts.text[row] = evidence(row)
            self.texts.add(row, KeptText(row, "x", "some text", "en", 0, 0))

    def reading(self) -> MeaningReading:
        return MeaningReading(1e6, 60_000, self.seed, self.accounts, self.texts, self.narratives, self.budget)

    def read(self) -> list[int]:
        """Rows read until there is nothing to read."""
        reading, rows = self.reading(), []
        while (chosen := reading.choose(self.accounts.live(), 0)).rows:
            assert len(chosen.rows) <= MOST_AT_ONCE
            reading.keep(chosen, np.ones((len(chosen.rows), 384), np.int8))
            rows += chosen.rows
        return sorted(rows)


def test_a_few_accounts_are_all_of_the_panel() -> None:
    assert Many(int(PANEL * DRAWN)).read() == list(range(int(PANEL * DRAWN)))


def test_the_panel_is_drawn_by_name_and_seed_and_keeps_its_size() -> None:
    expected = PANEL * DRAWN
    for count in (3000, 8000):
        found = Many(count).read()
        assert abs(len(found) - expected) < 4 * np.sqrt(expected)
        assert found == Many(count).read()
    assert set(found) != set(Many(8000, seed=1).read())
    assert set(found) < set(Many(3000).read()) | set(range(3000, 8000))


def test_all_suspects_are_read_however_many_there_are() -> None:
    suspects = {row for row in range(3000) if row % 2}
    found = set(Many(3000, lambda row: 0.01 if row % 2 else 0.0).read())
    assert suspects < found
    assert 0 < len(found - suspects) < PANEL


def test_who_is_neither_suspect_nor_of_the_panel_any_more_is_swept_out() -> None:
    many = Many(1000, lambda row: 2.0)
    before = many.read()
    many.accounts.text[500:] = 0.0
    many.add(3000)
    many.reading().sweep()
    kept = set(many.narratives.rows().tolist())
    assert set(range(500)) < kept < set(before)
    assert kept - set(range(500)) < set(Many(4000).read())
    assert many.narratives.swept == len(kept)


def test_growth_beyond_the_double_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streaming.assess.meaning_reading.FEWEST_SWEPT", 900)
    many = Many(1500, lambda row: 2.0)
    many.read()
    assert (len(many.narratives), many.narratives.swept) == (1500, 0)
    many.accounts.text[:] = 0.0
    many.add(500, lambda row: 2.0)
    many.read()
    assert 500 < many.narratives.swept < 1800
    assert len(many.narratives) == many.narratives.swept
    assert set(range(1500, 2000)) < set(many.narratives.rows().tolist())


def test_what_reads_texts_live_uses_what_the_bundle_has() -> None:
    request = RerankRequest(60, ["one", "two"], ["en", "en"], np.array([5, -5], np.int16), ["three"])
    nothing = live_reranker(fakes.models())(request)
    assert (nothing.llrs == Answer.unread(2).llrs).all()
    assert nothing.vectors.shape == (1, 384)
    assert not nothing.vectors.any()
    second_stage, meaning = fakes.EchoSecondStage(), fakes.CrcMeaning()
    both = live_reranker(fakes.models(second_stage, meaning=meaning))(request)
    assert both.llrs.tolist() == [1005, 995]
    assert (both.vectors == fakes.meanings(["three"])).all()
    assert (second_stage.asked, meaning.asked) == (["one", "two"], ["three"])
