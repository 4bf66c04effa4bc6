"""Algorithms: their parts add up to their scores, and what cannot be used is refused; candidates are as stated."""

from __future__ import annotations

import numpy as np
import pytest

from detector.errors import UsageError
from simulation.actors import Feed
from simulation.feeds.candidates import COMMUNITY, FOLLOWED, FRESH, NEW, PUSHED, Pools, batches
from simulation.feeds.plan import Algorithm, FeedPlan, algorithm, plan_of, to_one
from simulation.feeds.posts import Posts
from simulation.feeds.reading import top
from simulation.feeds.scorers import OUT, Amplification, Engagement, Moderation, Societal, Standing
from simulation.population import Graph
from simulation.sampling import HOUR_MS, Flags

N = 40
NOW = 50 * HOUR_MS
HOME = np.arange(N) % 2


def posts() -> Posts:
    """Every account wrote one post an hour, the last an hour ago: post i is of account i, some of it with reactions."""
    feed = Feed(N)
    written = np.arange(N, dtype=np.int64)
    feed.append(100 + written, NOW - (N - written) * HOUR_MS, written)
    made = Posts(feed, N)
    made.likes = (written % 7).astype(np.int32)
    made.reposts = (written % 3).astype(np.int32)
    made.replies = (written % 5).astype(np.int32)
    made.shown = np.zeros(N, np.int32)
    made.rating = (written / N).astype(np.float32)
    made.hidden = written == 20
    made.carried.note(written, written)
    return made


def graph() -> Graph:
    """Account a follows the next a % 6 accounts."""
    degree = np.arange(N) % 6
    follows = np.concatenate([(a + 1 + np.arange(d)) % N for a, d in enumerate(degree)])
    return Graph(np.concatenate(([0], np.cumsum(degree))), follows.astype(np.int32), np.bincount(follows, minlength=N))


def pools(pushed: Flags | None = None) -> Pools:
    return Pools(posts(), HOME, NOW, 2.0, pushed)


def test_candidates_are_of_those_followed_and_of_the_pools_each_once() -> None:
    made, ties, found = posts(), graph(), {}
    made.seen.note(np.array([5]), np.array([7]))
    for rows, some in batches(made, ties, HOME, pools(np.arange(N) == 3), np.arange(N)):
        for row, reader in enumerate(rows.tolist()):
            there = some.slot[row] >= 0
            slots = some.slot[row][there].tolist()
            assert len(slots) == len(set(slots))
            found[reader] = dict(zip(slots, some.source[row][there].tolist(), strict=True))
    assert sorted(found) == list(range(N))
    assert all(reader not in slots and 20 not in slots for reader, slots in found.items())
    assert [slot for slot, source in found[4].items() if source == FOLLOWED] == [5, 6, 7, 8]
    assert 7 not in found[5]
    assert found[6][3] in (PUSHED, COMMUNITY)
    fresh = [slot for slot, source in found[6].items() if source in (FRESH, COMMUNITY)]
    assert set(range(N - 2 * NEW, N, 2)) - {20} <= set(fresh)
    assert all(HOME[slot] == HOME[6] for slot in fresh)


@pytest.mark.parametrize("name", ["engagement", "chronological", "follows", "societal", "everything"])
def test_the_parts_of_a_score_add_up_to_it(name: str) -> None:
    standing = Standing.of(N)
    standing.removed[4], standing.put_down[6] = True, 2.0
    every = Algorithm(
        name, (Engagement(), Societal(out_from=0.9), Moderation(standing), Amplification(np.arange(N) == 3, 2.0))
    )
    chosen = every if name == "everything" else algorithm(name)
    made = posts()
    of_posts = chosen.post_scores(made, NOW)
    seen = 0
    for _, some in batches(made, graph(), HOME, pools(), np.arange(N)):
        total = chosen.scores(made, of_posts, some)
        parts = sum(chosen.parts(made, NOW, some).values())
        assert np.allclose(total[some.there], np.asarray(parts)[some.there], atol=1e-4)
        assert (total[~some.there] == OUT).all()
        seen += int(some.there.sum())
    assert seen > N


def test_a_mix_weighs_scores_that_are_brought_to_one_scale() -> None:
    scaled = to_one(np.array([[1.0, 3.0, -np.inf], [5.0, 5.0, 5.0], [-np.inf] * 3], np.float32))
    assert scaled.tolist() == [[0.0, 1.0, -np.inf], [1.0, 1.0, 1.0], [-np.inf] * 3]


def test_a_page_has_the_highest_scores_first() -> None:
    scores = np.random.default_rng(0).normal(size=(50, 30)).astype(np.float32)
    assert np.array_equal(top(scores, 7), np.argsort(-scores, axis=1)[:, :7])
    assert top(scores[:, :3], 7).shape == (50, 3)


@pytest.mark.parametrize(
    ("text", "together", "message"),
    [
        ("engagment=1", "readers", "no feed algorithm 'engagment': there are engagement"),
        ("engagement=x", "readers", "'engagement=x': write a name and a share"),
        ("engagement=0", "readers", "the share of engagement is 0"),
        ("engagement=nan", "readers", "the share of engagement is nan"),
        ("engagement,engagement", "readers", "each once"),
        ("engagement", "both", "'both': algorithms work together by readers or weights"),
    ],
)
def test_a_plan_that_cannot_be_used_is_refused(text: str, together: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan_of(text, together)


def test_a_plan_needs_an_algorithm() -> None:
    with pytest.raises(UsageError, match="at least one"):
        FeedPlan([])
