"""A society whose people read feeds: who is shown what, what follows from it, and that equal seeds give equal steps."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from pathlib import Path

import duckdb
import msgspec
import numpy as np
import pytest

from detector.errors import UsageError
from simulation.feeds.exposures import ExposureFile, Exposures
from simulation.feeds.plan import Algorithm, FeedPlan, algorithm, plan_of
from simulation.feeds.posts import Scores
from simulation.feeds.reading import ReaderSettings, reacted_to
from simulation.feeds.scorers import Amplification, Chronological, Engagement, Moderation, Societal
from simulation.feeds.society import FeedSociety, Rated, unrated
from simulation.population_files import preset
from simulation.world import LIKE, Chunk, World
from tests.simulation.populations import QUIET


def society(
    plan: FeedPlan, seed: int = 0, rated: Rated = unrated, reading: ReaderSettings | None = None
) -> FeedSociety:
    population = msgspec.structs.replace(QUIET, accounts=300, days=0.5, start="2024-03-04T12:00:00Z")
    return FeedSociety(World(population, seed), plan, reading, rated)


def acted(feeds: FeedSociety) -> tuple[Chunk, Exposures]:
    steps = list(feeds.steps())
    return Chunk.joined([step.events for step in steps]), Exposures.joined([step.exposures for step in steps])


@cache
def by_engagement() -> tuple[Chunk, Exposures, FeedSociety]:
    feeds = society(FeedPlan([(algorithm("engagement"), 1)]))
    return *acted(feeds), feeds


def test_equal_seeds_give_equal_events_and_exposures() -> None:
    events, seen, _ = by_engagement()
    again, seen_again = acted(society(FeedPlan([(algorithm("engagement"), 1)])))
    assert all(np.array_equal(getattr(seen, f.name), getattr(seen_again, f.name)) for f in fields(Exposures))
    assert all(np.array_equal(getattr(events, f.name), getattr(again, f.name)) for f in fields(Chunk))
    other, _ = acted(society(FeedPlan([(algorithm("engagement"), 1)]), seed=1))
    assert not np.array_equal(events.target, other.target)


def test_people_react_to_what_they_were_shown_or_to_who_replied_to_them() -> None:
    events, seen, _ = by_engagement()
    reacting = np.flatnonzero(events.target >= 0)
    shown = set(zip(seen.reader.tolist(), seen.post.tolist(), strict=True))
    known = [(int(events.account[i]), int(events.target[i])) in shown for i in reacting]
    replies = {}
    for i in np.flatnonzero(events.target_account >= 0).tolist():
        replies[int(events.serial[i])] = int(events.target_account[i])
    answers = [replies.get(int(events.target[i])) == int(events.account[i]) for i in reacting]
    assert len(reacting) > 200
    assert all(a or b for a, b in zip(known, answers, strict=True))
    assert np.mean(known) > 0.8


def test_nobody_is_shown_own_posts_or_one_post_twice_in_a_row_or_anything_before_it_was_written() -> None:
    events, seen, _ = by_engagement()
    assert len(seen) > 2000
    assert (seen.reader != seen.author).all()
    pairs = seen.reader.astype(np.int64) << 32 | seen.post
    assert len(np.unique(pairs)) > 0.97 * len(pairs)  # within the last 32 that one was shown
    at = dict(zip(events.serial.tolist(), events.at.tolist(), strict=True))
    written = np.array([at.get(post, 0) for post in seen.post.tolist()])
    assert (written < seen.at).all()
    posts = {int(s) for s, kind in zip(events.serial, events.kind, strict=True) if kind in (0, 1, 3)}
    assert {post for post in seen.post.tolist() if post in at} <= posts


def test_counts_of_reactions_are_those_of_the_events() -> None:
    events, _, feeds = by_engagement()
    posts = feeds.posts
    recent = feeds.world.feed.serial[: len(posts)]
    liked = events.target[events.kind == LIKE]
    expected = [int((liked == serial).sum()) for serial in recent.tolist()]
    assert sum(expected) > 20
    assert posts.likes.tolist() == expected


def test_engagement_gathers_reactions_on_fewer_posts_than_time_does() -> None:
    """The feedback: what was reacted to is ranked higher, so it is shown and reacted to more."""

    def concentration(seen: Exposures) -> float:
        counts = np.sort(np.unique(seen.post, return_counts=True)[1])[::-1]
        return float(counts[: len(counts) // 10].sum() / counts.sum())

    _, seen, _ = by_engagement()
    _, newest = acted(society(FeedPlan([(algorithm("chronological"), 1)])))
    assert concentration(seen) > concentration(newest) + 0.05


def test_engagement_counts_only_where_it_is_ranked_by() -> None:
    """The rival of the feedback: with weights of 0 the same ranking gathers fewer reactions."""
    flat = Algorithm("flat", (Engagement(likes=0, reposts=0, replies=0),))
    _, seen, _ = by_engagement()
    _, without = acted(society(FeedPlan([(flat, 1)])))
    top = [np.sort(np.unique(each.post, return_counts=True)[1])[-20:].mean() for each in (seen, without)]
    assert top[0] > top[1]


def test_several_feeds_are_read_by_their_shares_of_people() -> None:
    feeds = society(plan_of("engagement=3,chronological=1"))
    _, seen = acted(feeds)
    share = np.bincount(feeds.algorithm_of)[0] / 300
    assert 0.65 < share < 0.85
    assert (feeds.algorithm_of[seen.reader] == seen.algorithm).all()
    assert set(seen.algorithm.tolist()) == {0, 1}


def test_weights_of_a_mix_move_it_from_one_feed_to_the_other() -> None:
    plain = [acted(society(FeedPlan([(algorithm(name), 1)])))[1] for name in ("follows", "chronological")]
    mixed = acted(society(plan_of("follows=1000,chronological=1", "weights")))[1]
    alike = [len(set(mixed.post.tolist()) & set(each.post.tolist())) for each in plain]
    assert alike[0] > 0
    assert society(plan_of("follows=1,chronological=1", "weights")).plan.names == ("follows + chronological",)


def test_a_feed_of_those_followed_shows_what_they_wrote_or_reposted() -> None:
    feeds = society(FeedPlan([(algorithm("follows"), 1)]))
    events, seen = acted(feeds)
    graph = feeds.world.graph
    carried = {(int(a), int(p)) for a, p, k in zip(events.account, events.target, events.kind, strict=True) if k == 2}
    wrong = 0
    for reader, author, post in zip(seen.reader.tolist(), seen.author.tolist(), seen.post.tolist(), strict=True):
        follows = graph.follows[graph.start[reader] : graph.start[reader + 1]].tolist()
        wrong += author not in follows and not any((one, post) in carried for one in follows)
    assert len(seen) > 1000
    assert wrong == 0


def heated(chunk: Chunk) -> Scores:
    """Every fourth account writes what goes against the values."""
    ratings: Scores = (chunk.account % 4 == 0).astype(np.float32)
    return ratings


def test_a_societal_objective_shows_less_of_what_goes_against_its_values_and_none_where_it_is_out() -> None:
    seen = {}
    for name, scorers in {
        "engagement": (Engagement(),),
        "down": (Engagement(), Societal(weight=4.0)),
        "out": (Engagement(), Societal(out_from=0.5)),
    }.items():
        seen[name] = acted(society(FeedPlan([(Algorithm(name, scorers), 1)]), rated=heated))[1]
    shares = {name: float(each.rating.mean()) for name, each in seen.items()}
    assert shares["engagement"] > 0.2
    assert shares["down"] < 0.5 * shares["engagement"]
    assert shares["out"] == 0


def test_decisions_about_accounts_are_carried_out_from_the_next_step_on() -> None:
    feeds = society(FeedPlan([(algorithm("engagement"), 1)]))
    feeds.plan = FeedPlan([(algorithm("engagement").with_scorer(Moderation(feeds.standing)), 1)])
    feeds.standing.labelled[:100] = True
    before = [feeds.step().exposures for _ in range(8)]
    feeds.standing.removed[100:200] = True
    after = [feeds.step().exposures for _ in range(6)]
    earlier, later = Exposures.joined(before), Exposures.joined(after)
    assert ((earlier.author >= 100) & (earlier.author < 200)).any()
    assert not ((later.author >= 100) & (later.author < 200)).any()
    assert np.array_equal(later.labelled, later.author < 100)


def test_what_is_pushed_is_seen_more() -> None:
    pushed = np.arange(300) < 15
    plain = by_engagement()[1]
    feeds = society(FeedPlan([(algorithm("engagement").with_scorer(Amplification(pushed)), 1)]))
    feeds.pushed = pushed
    _, lifted = acted(feeds)
    assert (lifted.author < 15).mean() > 2 * (plain.author < 15).mean()


def test_operators_accounts_read_nothing_and_act_as_before() -> None:
    population = msgspec.structs.replace(preset("town"), accounts=400, days=0.3)
    feeds = FeedSociety(World(population, 0), FeedPlan([(Algorithm("newest", (Chronological(),)), 1)]))
    events, seen = acted(feeds)
    label = feeds.world.roles.label
    assert label.sum() > 5
    assert not label[seen.reader].any()
    assert label[events.account].any()


def test_a_reader_reacts_to_a_post_once_and_to_the_likelier_more_often() -> None:
    appeal = np.tile(np.array([0.5, 0.1, 0.0], np.float32), (4000, 1))
    order = reacted_to(appeal, ReaderSettings(attention=0.0), 3, np.random.default_rng(0))
    assert (np.sort(order, axis=1) == [-1, 0, 1]).all()
    assert abs((order[:, 0] == 0).mean() - 5 / 6) < 0.02


def test_exposures_are_written_as_parquet_with_the_names_of_feeds(tmp_path: Path) -> None:
    _, seen, _ = by_engagement()
    path = tmp_path / "it's.parquet"
    with ExposureFile(path, ["engagement", "other"]) as file:
        file.write(seen)
        file.write(Exposures.none())
    query = 'SELECT reader, post, epoch_ms("at"), place, algorithm, rating FROM read_parquet(?)'
    rows = duckdb.connect().execute(query, [str(path)]).fetchall()
    columns = list(zip(*rows, strict=True))
    assert list(columns[0]) == seen.reader.tolist()
    assert list(columns[1]) == seen.post.tolist()
    assert list(columns[2]) == seen.at.tolist()
    assert list(columns[3]) == seen.place.tolist()
    assert set(columns[4]) == {"engagement"}


def test_a_file_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "seen.parquet"
    with (
        pytest.raises(UsageError, match=r"missing/seen\.parquet: exposures cannot be written"),
        ExposureFile(path, ["a"]),
    ):
        pass
