"""The detector beside a society that is acted out: what `swarmlight run` says, step by step, and no text read twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from simulation.feeds.agreement import Ratings
from simulation.feeds.raters import RuleRater
from simulation.feeds.values import RatedPost
from simulation.lab.enforcement import PolicedSociety, feed_plan, reading_of
from simulation.lab.interventions import Assumed, Policy
from simulation.lab.live_detector import LiveDetector, NewlyNamed, remembered
from simulation.lab.spoken_words import SpokenWords, TextRatings
from simulation.lab.trial_society import SocietySettings, population
from simulation.output import Renderer
from simulation.world import World
from streaming.assess import RerankRequest
from streaming.pipeline import run_recording
from streaming.playback import live_reranker

CORPUS = "".join(
    f'{{"author": "{author}", "text": "{word} on monday {i}, so I {verb} my bread early and told nobody"}}\n'
    for author, word, verb in (("ann", "Rain", "buy"), ("bob", "Snow", "sold"), ("cy", "Never trust them", "hid"))
    for i in range(60)
)


def test_step_by_step_it_says_what_a_run_over_the_recording_says(tmp_path: Path) -> None:
    for name in ("people", "machines"):
        (tmp_path / f"{name}.jsonl").write_text(CORPUS, encoding="utf-8")
    trial = SocietySettings(
        accounts=90, days=0.25, people=f"corpus:{tmp_path}/people.jsonl", machines=f"corpus:{tmp_path}/machines.jsonl"
    )
    world = World(population(trial, 0), 0)
    words = SpokenWords(world, TextRatings(RuleRater()))
    society = PolicedSociety(
        world, feed_plan(), reading_of(Assumed()), Policy(name="nothing", measure="nothing"), rated=words
    )
    models = remembered(None)
    detector, recording = LiveDetector(Renderer(world), models, 0.05), Renderer(world)
    found, lines = [], []
    for step in society.steps():
        texts = words.of(step.events)
        found += detector.read(step.events, texts)
        lines.append(recording.lines(step.events, texts))
    found += detector.end()
    (tmp_path / "events.jsonl").write_bytes(b"".join(lines))
    whole = run_recording([tmp_path / "events.jsonl"], config=detector.config, models=models.models)
    assert sum(row.posts for row in whole.scores) > 30
    assert list(detector.assess.scores()) == whole.scores
    assert NewlyNamed({name: i for i, name in enumerate(recording.names)}).take(whole.alerts) == found


def test_what_is_remembered_is_what_the_models_say() -> None:
    models = remembered(None)
    texts = ["Rain again, so I stayed in with the cat and a book.", "No text is read twice here.", "Rain again, so I"]
    texts.append(texts[0])
    first = np.array([100, -200, 300, 100], np.int16)
    request = RerankRequest(0, texts, ["en"] * 4, first, texts)
    once, again, plain = models.rerank(request), models.rerank(request), live_reranker(models.models)(request)
    for answer in (once, again):
        assert np.array_equal(answer.llrs, plain.llrs)
        assert np.array_equal(answer.vectors, plain.vectors)
    read = models.text.read(texts, ["en"] * 4)
    assert np.array_equal(read, models.models.text.read(texts, ["en"] * 4))


def test_ratings_are_kept_and_no_text_is_rated_twice(tmp_path: Path) -> None:
    class Once(RuleRater):
        rated = 0

        def rate(self, posts: Sequence[RatedPost]) -> Ratings:
            self.rated += len(posts)
            return super().rate(posts)

    texts = ["Rain again.", "Never trust them, they all lie and cheat.", "Rain again."]
    first, second = Once(), Once()
    ratings = TextRatings(first)
    made = ratings.of(texts)
    assert first.rated == 2
    ratings.keep(tmp_path)
    (file,) = tmp_path.glob("ratings-*.json")
    other = TextRatings(second)
    other.remember(tmp_path)
    assert other.of(texts).tolist() == made.tolist()
    assert second.rated == 0
    before = file.stat().st_mtime_ns
    other.keep(tmp_path)  # nothing new
    assert file.stat().st_mtime_ns == before


def test_posts_that_go_against_values_are_rated_by_their_words(tmp_path: Path) -> None:
    (tmp_path / "people.jsonl").write_text(CORPUS, encoding="utf-8")
    trial = SocietySettings(accounts=90, days=0.25, people=f"corpus:{tmp_path}/people.jsonl")
    world = World(population(trial, 0), 0)
    words = SpokenWords(world, TextRatings(RuleRater()))
    society = PolicedSociety(
        world, feed_plan(), reading_of(Assumed()), Policy(name="nothing", measure="nothing"), rated=words
    )
    heated = calm = 0
    for step in society.steps():
        for serial, text in zip(step.events.serial, words.of(step.events) or (), strict=False):
            slot = int(society.posts.slots(np.array([serial]))[0])
            if text is None or slot < 0:
                continue
            against = "trust" in text.words
            assert (society.posts.rating[slot] > 0) == against
            heated, calm = heated + against, calm + (not against)
    assert heated > 5
    assert calm > 5
