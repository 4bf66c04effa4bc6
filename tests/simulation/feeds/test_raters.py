"""Raters of posts: the mapping, the shipped posts and rules, files of people's ratings, a model behind an endpoint."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.errors import ConfigError, UsageError
from simulation.content.chat_client import ChatClient
from simulation.feeds.agreement import ordinal_alpha
from simulation.feeds.endpoint_rater import EndpointRater, codebook, read_answer
from simulation.feeds.raters import MeaningRater, RuleRater, from_criteria, people_of
from simulation.feeds.rating_report import raters_of
from simulation.feeds.values import KEYS, VALUES, RatedPost, intended, load_posts, on_scale, shipped_posts
from streaming.cli import main


def post(text: str, **ratings: Any) -> RatedPost:
    return RatedPost(id="x1", text=text, side="none", part="held-out", ratings=ratings)


def test_none_one_two_and_three_criteria_are_ratings_of_one_two_three_and_three() -> None:
    met = np.zeros((4, 8, 3), bool)
    for row in range(4):
        met[row, 2, :row] = True
    assert from_criteria(met)[:, 2].tolist() == [1, 2, 3, 3]
    assert (from_criteria(met)[:, [0, 1, 3, 4, 5, 6, 7]] == 1).all()


def test_the_scale_goes_from_nothing_to_everything() -> None:
    assert on_scale(np.array([[1] * 8, [3] * 8, [3] + [1] * 7, [0] * 8], np.int8)).tolist() == [0, 1, 0.125, 0]


def test_the_shipped_posts_are_many_distinct_balanced_between_sides_and_cover_every_value_in_both_parts() -> None:
    posts = shipped_posts()
    assert len(posts) >= 200
    assert len({post.text for post in posts}) == len({post.id for post in posts}) == len(posts)
    sides = Counter(post.side for post in posts)
    assert abs(sides["left"] - sides["right"]) <= 2
    scores = {side: on_scale(intended(tuple(p for p in posts if p.side == side))).mean() for side in ("left", "right")}
    assert abs(scores["left"] - scores["right"]) < 0.01
    for part in ("tuning", "held-out"):
        ratings = intended(tuple(post for post in posts if post.part == part))
        assert (ratings > 1).sum(axis=0).min() >= 5
        assert (ratings == 3).sum(axis=0).min() >= 1
        assert (ratings.max(axis=1) == 1).sum() >= 15


def test_rules_know_the_posts_they_were_written_against_and_treat_sides_alike() -> None:
    tuning = tuple(post for post in shipped_posts() if post.part == "tuning")
    found, wanted = RuleRater().rate(tuning), intended(tuning)
    assert ordinal_alpha(np.stack((found.ravel(), wanted.ravel()))) > 0.9
    mean = {side: found[[p.side == side for p in tuning]].mean() for side in ("left", "right")}
    assert abs(mean["left"] - mean["right"]) < 0.03


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_meanings_agree_with_the_author_on_posts_they_were_not_tuned_on_and_rules_do_not() -> None:
    """Rules find what they were written against; `swarmlight lab rate` prints both."""
    held_out = tuple(post for post in shipped_posts() if post.part == "held-out")
    wanted = intended(held_out).ravel()
    meanings = ordinal_alpha(np.stack((MeaningRater().rate(held_out).ravel(), wanted)))
    rules = ordinal_alpha(np.stack((RuleRater().rate(held_out).ravel(), wanted)))
    assert meanings > 0.5 > 0.3 > rules


def test_a_model_is_asked_by_the_whole_codebook_and_its_answer_becomes_ratings(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def answers(client: ChatClient, requests: list[dict[str, Any]]) -> list[str]:
        asked.extend(requests)
        return ['Sure: {"partisan_animosity": [1, 2], "social_distance": [3], "biased_facts": []} done', "I cannot."]

    monkeypatch.setattr(ChatClient, "answers", answers)
    ratings = EndpointRater(ChatClient("http://localhost:1/v1", "m"), "m").rate([post("They're vile."), post("Hello")])
    assert ratings[0].tolist() == [3, 0, 0, 0, 0, 0, 2, 1]
    assert (ratings[1] == 0).all()
    prompt = asked[0]["messages"][0]["content"]
    assert all(text in prompt for value in VALUES for text in (value.key, *value.criteria))
    assert "They're vile." in asked[0]["messages"][1]["content"]
    assert codebook() in prompt


@pytest.mark.parametrize("answer", ["", "{", "[1]", '{"partisan_animosity": "no"}', '{"partisan_animosity": [4]}'])
def test_an_answer_that_cannot_be_read_is_a_missing_rating(answer: str) -> None:
    assert read_answer(answer) == [0] * 8


def test_ratings_by_people_are_read_from_a_csv_and_what_they_left_out_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text(
        "rater,post,value,rating\nbo,x1,social_distance,3\nann,x1,social_distance,2\nann,x2,biased_facts,1\n"
    )
    ann, bo = people_of(path)
    assert (ann.name, bo.name) == ("ann", "bo")
    assert ann.rate([post("a")])[0].tolist() == [0, 0, 0, 0, 0, 0, 2, 0]
    assert bo.rate([post("a")])[0, KEYS.index("social_distance")] == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("rater,post,value,rating\nann,x1,social_distance,2\nann,x1,kindness,2\n", "line 3: no value 'kindness'"),
        ("rater,post,value,rating\nann,x1,social_distance,4\n", "line 2: rating '4': write 1, 2 or 3"),
        ("a,b\n", "no ratings in it"),
        (None, "ratings cannot be read"),
    ],
)
def test_a_csv_that_cannot_be_used_is_an_error_with_its_line(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "ratings.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        people_of(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [("{}", "line 2: .*missing required field"), (json.dumps({"x": 1}), "line 2"), ("nonsense", "line 2")],
)
def test_a_file_of_posts_that_cannot_be_used_is_an_error_with_its_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "posts.jsonl"
    good = {"id": "a", "text": "b", "side": "none", "part": "tuning", "ratings": {}}
    path.write_text(json.dumps(good) + "\n" + line + "\n")
    with pytest.raises(ConfigError, match=message):
        load_posts(path)
    path.write_text(json.dumps(good | {"ratings": {"kindness": 2}}) + "\n")
    with pytest.raises(ConfigError, match="line 1: no value 'kindness'"):
        load_posts(path)


def test_raters_are_named_and_what_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert raters_of("endpoint:http://localhost:1/v1#tiny", {})[0].name == "tiny"
    for wrong in ("judge", "csv:", "endpoint:http://localhost:1/v1"):
        with pytest.raises(UsageError, match="no rater"):
            raters_of(wrong, {})
    assert main(["lab", "rate", "--part", "some"]) == 2
    assert "there are held-out, tuning and all" in capsys.readouterr().err


def test_agreement_is_printed_value_by_value_and_pair_by_pair(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ratings.csv"
    rows = [f"ann,{each.id},{key},{each.ratings.get(key, 1)}" for each in shipped_posts() for key in KEYS]
    path.write_text("rater,post,value,rating\n" + "\n".join(rows) + "\n")
    assert main(["lab", "rate", "--rater", "rules", "--rater", f"csv:{path}"]) == 0
    printed = capsys.readouterr().out
    assert all(value.name.split()[0] in printed for value in VALUES)
    assert "author, ann" in printed
    assert "1.00 to 1.00" in printed


def test_posts_of_one_s_own_are_rated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the encoder, which takes seconds to load: the slow test has it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(MeaningRater, "rate", lambda rater, posts: np.ones((len(posts), 8), np.int8))
    own = [
        {"id": "p1", "text": "No deals with them, ever.", "side": "none", "part": "held-out",
         "ratings": {"opposition_to_bipartisanship": 2}},
        {"id": "p2", "text": "Bread is out.", "side": "none", "part": "tuning", "ratings": {}},
    ]  # fmt: skip
    Path("posts.jsonl").write_text("".join(json.dumps(each) + "\n" for each in own))
    Path("ratings.csv").write_text("rater,post,value,rating\nann,p1,opposition_to_bipartisanship,2\n")
    arguments = ["--rater", "default", "--rater", "csv:ratings.csv", "--posts", "posts.jsonl", "--part", "all"]
    assert main(["lab", "rate", *arguments]) == 0
    assert "2 posts" in capsys.readouterr().out
