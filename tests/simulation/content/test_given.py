"""Given posts: people's appear when they were written, machines' in order when their account writes, each once."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from detector.errors import UsageError
from simulation.content.given import Given, GivenPost, Placed, planted, read_given
from simulation.content.language_models import writer_of
from simulation.output import Renderer, truth
from simulation.population_config import Activity, GivenPosts, LookAlike, LookAlikes, Operator, PopulationConfig
from simulation.world import GIVEN, Chunk, World

NOBODY = LookAlikes(**{name: LookAlike(share=0.0) for name in LookAlikes.__struct_fields__})

CONFIG = PopulationConfig(
    accounts=40,
    days=1.0,
    start="2024-03-04T00:00:00Z",
    machines=0.2,
    controls=False,
    lookalikes=NOBODY,
    activity=Activity(mean_per_day=30.0, spread=0.1),
    operators=(
        Operator(name="north", size=(5, 5)),
        Operator(name="lone", size=(1, 1), weight=3.0),
    ),
    campaigns=4,
)

START_MS = 1_709_510_400_000
"""Of the simulated population above."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recording of two people, the second of whom answers the first, and three planted accounts."""
    post = {"id": "1", "account": "ann", "at": "2020-01-01T08:00:00Z", "kind": "post", "text": "a first word"}
    answer = {"id": "2", "account": "ben", "at": "2020-01-01T08:05:00Z", "kind": "reply", "text": "an answer"}
    liked = {"id": "3", "account": "ben", "at": "2020-01-01T08:06:00Z", "kind": "like", "target": "1"}
    late = {"id": "4", "account": "ann", "at": "2020-01-02T08:00:00Z", "kind": "post", "text": "the day after"}
    rows = [late, post, answer | {"target": "1", "target_account": "ann"}, liked | {"target_account": "ann"}]
    (tmp_path / "people.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    personas = [
        {"account": "norah", "campaign": "north", "posts": ["north one", "north two"]},
        {"account": "solo", "campaign": None, "posts": ["solo one", "solo two", "solo three"]},
        {"account": "stray", "campaign": "south", "posts": ["nobody says this"]},
    ]
    (tmp_path / "machines.jsonl").write_text("\n".join(json.dumps(row) for row in personas) + "\n", encoding="utf-8")
    return tmp_path


def acted(folder: Path, seed: int = 0) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Events and truth of the simulated population with the posts of `folder`."""
    given = GivenPosts(people=f"posts:{folder / 'people.jsonl'}", machines=f"posts:{folder / 'machines.jsonl'}")
    world = World(msgspec.structs.replace(CONFIG, given=given), seed)
    renderer, writer = Renderer(world), writer_of(world, {})
    assert writer is not None
    lines = [line for chunk in world.chunks() for line in renderer.rows(chunk, writer.texts(chunk))]
    return [json.loads(line) for line in lines], truth(world, renderer.names)


def said(events: list[dict[str, Any]], account: str) -> list[str]:
    """What an account wrote, the links that the simulator put behind it left out."""
    return [
        event["text"].split(" https://")[0].split(" #")[0]
        for event in events
        if event["account"] == account and "text" in event
    ]


def test_people_write_at_their_own_times_and_answer_what_they_answered(folder: Path) -> None:
    events, rows = acted(folder)
    written = [event for event in events if event["account"] in ("ann", "ben") and "text" in event]
    assert [(event["account"], event["kind"]) for event in written] == [("ann", "post"), ("ben", "reply")]
    assert [event["at"] - START_MS for event in written] == [8 * 3_600_000, 8 * 3_600_000 + 300_000]
    assert written[1]["target"] == written[0]["id"]
    assert written[1]["target_account"] == "ann"
    assert {row["account"]: row["label"] for row in rows if row["account"] in ("ann", "ben")} == {"ann": 0, "ben": 0}


def test_machines_write_their_posts_in_order_and_each_once(folder: Path) -> None:
    events, rows = acted(folder)
    assert said(events, "norah") == ["north one", "north two"]
    assert said(events, "solo") == ["solo one", "solo two", "solo three"]
    assert not any("nobody says this" in event.get("text", "") for event in events)
    found = {row["account"]: row for row in rows}
    assert (found["norah"]["label"], found["norah"]["campaign"], found["norah"]["slice"]) == (1, "north", "north")
    assert (found["solo"]["label"], found["solo"]["campaign"], found["solo"]["slice"]) == (1, None, "lone")
    assert "stray" not in found


def test_who_has_said_everything_goes_on_without_words(folder: Path) -> None:
    events, _ = acted(folder)
    kinds = Counter(event["kind"] for event in events if event["account"] == "norah" and "text" not in event)
    assert sum(kinds.values()) > 5
    assert set(kinds) <= {"repost", "like", "follow"}


def test_equal_seeds_give_equal_events(folder: Path) -> None:
    assert acted(folder, 3) == acted(folder, 3)
    assert acted(folder, 3) != acted(folder, 4)


@pytest.mark.parametrize(("reactions", "links"), [(0.5, 0.1), (1.5, 0.4)])
def test_given_posts_bring_about_reactions_and_get_links_as_often_as_stated(reactions: float, links: float) -> None:
    posts = [GivenPost(i % 20, f"post {i}", at_ms=20_000_000 + i * 50_000) for i in range(1000)]
    given = Given([f"p{i}" for i in range(20)], [""] * 20, posts)
    config = msgspec.structs.replace(CONFIG, given=GivenPosts(reactions=reactions, links=links))
    world = World(config, 0, given)
    chunk = Chunk.joined(list(world.chunks()))
    mine = world.given.timed[chunk.account]
    said = mine & (chunk.manner == GIVEN)
    assert said.sum() == 1000
    assert abs((mine & ~said).sum() / 1000 - reactions) < 0.2 * reactions
    assert abs((chunk.link[said] >= 0).mean() - links) < 0.05


def test_without_matched_controls_nobody_is_one() -> None:
    world = World(CONFIG, 0)
    assert "twin" not in world.roles.slice
    assert set(world.roles.control_of) == {None}
    assert "twin" in World(msgspec.structs.replace(CONFIG, controls=True), 0).roles.slice


def test_the_planted_accounts_are_as_many_as_said() -> None:
    personas = planted()
    campaigns = Counter(persona.campaign for persona in personas if persona.campaign)
    assert len(campaigns) >= 3
    assert min(campaigns.values()) >= 8
    assert all(len(persona.posts) >= 12 for persona in personas)
    lone = [persona for persona in personas if persona.campaign is None]
    assert len(lone) >= 6
    assert all(len(persona.posts) >= 15 for persona in lone)
    texts = [text for persona in personas for text in persona.posts]
    assert len(set(texts)) == len(texts)
    assert len({persona.account for persona in personas}) == len(personas)


def test_posts_of_authors_without_an_account_are_left_out() -> None:
    given = Given(["a", "b"], ["", ""], [GivenPost(0, "x", at_ms=5), GivenPost(1, "y", at_ms=3)])
    placed = Placed(given, np.array([7, -1]), 10, 1000)
    rows, times, posts = placed.due(1000, 2000)
    assert (rows.tolist(), times.tolist(), posts.tolist()) == ([7], [1005], [0])


@pytest.mark.parametrize("given", [GivenPosts(people="corpus:x"), GivenPosts(machines="posts:")])
def test_a_source_of_another_kind_is_refused(given: GivenPosts) -> None:
    with pytest.raises(UsageError, match="posts:FILE"):
        read_given(given, 0)


def test_an_account_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    row = json.dumps({"account": "twice", "campaign": "x", "posts": ["one"]})
    (tmp_path / "m.jsonl").write_text(f"{row}\n{row}\n", encoding="utf-8")
    with pytest.raises(UsageError, match="'twice' is there twice"):
        read_given(GivenPosts(machines=f"posts:{tmp_path / 'm.jsonl'}"), 0)


def test_a_line_that_is_no_planted_account_is_refused_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"account": 5}\n', encoding="utf-8")
    with pytest.raises(UsageError, match=r"m\.jsonl:1: write one account a line"):
        read_given(GivenPosts(machines=f"posts:{tmp_path / 'm.jsonl'}"), 0)
