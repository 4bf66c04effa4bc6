"""How alike accounts' posts are, beyond what those around them say."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from graph.wording import BEST, NEUTRAL, Wording, talking_points

Vectors = NDArray[np.int8]


def posts(seed: int, count: int, width: int = 48) -> Vectors:
    return np.random.default_rng(seed).integers(-60, 61, (count, width), np.int8)


def about(topic: Vectors, count: int, seed: int, spread: int = 12) -> Vectors:
    """Posts near one vector."""
    noise = np.random.default_rng(seed).integers(-spread, spread + 1, (count, len(topic)))
    drawn: Vectors = np.clip(topic.astype(np.int64) + noise, -127, 127).astype(np.int8)
    return drawn


def each(owners: list[int]) -> NDArray[np.int64]:
    return np.array(owners, np.int64)


def plain(owner: NDArray[np.int64], vectors: Vectors, accounts: int) -> NDArray[np.float64]:
    """The likeness of every two accounts as the module describes it, in float64 and post by post."""
    centred = vectors.astype(np.float64) - np.round(vectors.astype(np.float64).mean(axis=0))
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    cosine = unit @ unit.T
    near = max(round(len(owner) / 60), 5)
    r = [np.sort(cosine[p, owner != owner[p]])[-near:].mean() for p in range(len(owner))]
    out = np.full((accounts, accounts), NEUTRAL)
    for a in range(accounts):
        for b in range(accounts):
            mine, theirs = np.flatnonzero(owner == a), np.flatnonzero(owner == b)
            if a != b and len(mine) and len(theirs):
                alike = sorted((2 * cosine[p, q] - r[p] - r[q] for p in mine for q in theirs), reverse=True)
                out[a, b] = np.mean([*alike, *[NEUTRAL] * BEST][:BEST])
    return out


def test_pairs_are_what_plain_sums_in_double_precision_give() -> None:
    counts = np.random.default_rng(4).integers(1, 9, 70)  # more accounts than are looked at together
    owner = np.repeat(np.arange(70), counts)
    vectors = posts(1, len(owner))
    vectors[np.cumsum(counts) - 1] = about(posts(2, 1)[0], 70, 3)
    found = Wording(owner, vectors, 72).pairs()
    assert found == pytest.approx(plain(owner, vectors, 72), abs=2e-6)


def test_the_largest_vectors_lose_nothing() -> None:
    """Vectors whose products are beyond what float32 holds exactly."""
    owner = np.repeat(np.arange(6), 4)
    rng = np.random.default_rng(1)
    side = np.where(np.arange(24)[:, None] % 2, 127, -128) * np.ones(2400, np.int64)
    vectors = np.where(rng.random((24, 2400)) < 0.1, rng.integers(-128, 128, (24, 2400)), side).astype(np.int8)
    found = Wording(owner, vectors, 6).pairs()
    assert found == pytest.approx(plain(owner, vectors, 6), abs=2e-6)
    for _ in range(3):  # sums that lose nothing do not depend on their order
        assert np.array_equal(Wording(owner, vectors[:, rng.permutation(2400)], 6).pairs(), found)


def test_equal_posts_are_most_alike() -> None:
    said = posts(1, 4)
    owner = np.repeat(np.arange(12), 4)
    vectors = np.vstack([said, said, posts(2, 40)])
    found = Wording(owner, vectors, 12).pairs()
    assert found[0, 1] == found.max()
    assert found[0, 1] > 1.0
    assert found[2:, 2:].max() < 0.6


def test_in_a_crowd_that_says_one_thing_that_is_no_likeness() -> None:
    """Two accounts are as near each other in a stream of all topics as in one with a crowd that says the same."""
    topic = posts(1, 1)[0]
    pair, crowd, others = about(topic, 2 * 4, 3), about(topic, 40 * 4, 2), posts(4, 150 * 4)
    among_others = Wording(np.repeat(np.arange(152), 4), np.vstack([pair, others]), 152).pairs()[0, 1]
    in_crowd = Wording(np.repeat(np.arange(192), 4), np.vstack([pair, crowd, others]), 192).pairs()[0, 1]
    assert among_others > 0.5
    assert abs(in_crowd) < 0.2


def test_without_posts_likeness_is_neutral() -> None:
    found = Wording(np.repeat(each([1, 2]), 8), posts(1, 16), 4).pairs()
    assert (found[0] == np.float32(NEUTRAL)).all()
    assert (found[3] == np.float32(NEUTRAL)).all()
    assert (found.diagonal() == np.float32(NEUTRAL)).all()
    assert found[1, 2] != np.float32(NEUTRAL)
    nobody = Wording(each([]), np.zeros((0, 4), np.int8), 3).pairs()
    assert (nobody == np.float32(NEUTRAL)).all()
    alone = Wording(each([1, 1, 1]), posts(1, 3), 3).pairs()
    assert (alone == np.float32(NEUTRAL)).all()


def test_one_equal_post_alone_is_not_the_mean_of_four() -> None:
    said = posts(1, 1)
    vectors = np.vstack([said, said, posts(2, 60)])
    owner = each([0, 1, *np.repeat(np.arange(2, 22), 3).tolist()])
    wording = Wording(owner, vectors, 22)
    best = float(wording.likeness(each([0]))[0, 1])
    assert wording.pairs()[0, 1] == pytest.approx((best + (BEST - 1) * NEUTRAL) / BEST, abs=1e-6)


def test_unlike_posts_are_unlike_however_many_posts_a_third_account_has() -> None:
    """Only what is missing of the best four is neutral."""
    topics = posts(1, 40)
    vectors = np.vstack([about(topic, 4, n, 3) for n, topic in enumerate(topics)])
    owner = np.repeat(np.arange(40), 4)
    before = Wording(owner, vectors, 40).pairs()
    off = ~np.eye(40, dtype=bool)
    assert (before[off] < NEUTRAL).any()
    more = Wording(np.r_[owner, 39, 39], np.vstack([vectors, posts(2, 2)]), 40).pairs()
    assert more[:39, :39] == pytest.approx(before[:39, :39], abs=0.1)
    assert ((before < NEUTRAL - 0.1) <= (more < NEUTRAL))[:39, :39].all()


def test_a_post_is_held_against_posts_of_others_alone_however_few_there_are() -> None:
    """Two accounts that say the same in one post of four each, and nobody else."""
    said = posts(1, 1)[0]
    vectors = np.vstack([said, posts(2, 3), said, posts(3, 3)])
    wording = Wording(each([0, 0, 0, 0, 1, 1, 1, 1]), vectors, 2)
    cosine = np.corrcoef(vectors.astype(np.float64) - np.round(vectors.mean(axis=0)))
    around = cosine[0, 4:].mean()
    assert wording.likeness(each([0]))[0, 4] == pytest.approx(2 - 2 * around, abs=0.05)


def test_likeness_is_symmetric_and_does_not_depend_on_the_order_of_accounts() -> None:
    counts = np.random.default_rng(1).integers(1, 9, 50)
    owner = np.repeat(np.arange(50), counts)
    vectors = posts(2, len(owner))
    found = Wording(owner, vectors, 50).pairs()
    assert np.array_equal(found, found.T)
    order = np.random.default_rng(3).permutation(50)
    mixed = np.concatenate([np.flatnonzero(owner == account) for account in order])
    again = Wording(np.repeat(np.arange(50), counts[order]), vectors[mixed], 50).pairs()
    assert np.array_equal(again, found[np.ix_(order, order)])


def test_members_are_named_once_for_each_point_the_most_typical_first() -> None:
    one, two = posts(1, 2)
    said = np.vstack([about(one, 4, 2, 20), about(one, 1, 3, 60)])[[0, 1, 4, 2, 3]]  # one in very different words
    # Accounts 0 to 4 have a post on the first point, 0 to 2 on the second, and each something else.
    parts, owners = [], []
    for account in range(5):
        parts += [said[account : account + 1], posts(10 + account, 2)]
        owners += [account] * 3
        if account < 3:
            parts.append(about(two, 1, 20 + account, 15))
            owners.append(account)
        if account == 0:  # says the first thing twice
            parts.append(about(one, 1, 30, 20))
            owners.append(account)
    parts.append(posts(50, 600))
    owners += np.repeat(np.arange(5, 205), 3).tolist()
    owner = each(owners)
    wording = Wording(owner, np.vstack(parts), 205)
    found = talking_points(wording, np.arange(5), 0.2, 5)
    assert [[int(owner[post]) for post in sorted(point.posts)] for point in found[:2]] == [[0, 1, 2, 3, 4], [0, 1, 2]]
    first = found[0]
    alike = wording.likeness(each(first.posts))[:, first.posts]
    assert alike[0, 1:].min() >= 0.2
    assert (alike[1:] < 0.2).any(), "others are not like all of them"
    assert alike[0, 1:].tolist() == sorted(alike[0, 1:].tolist(), reverse=True)
    assert first.likeness == pytest.approx(alike[0, 1:].mean(), abs=1e-6)
    assert len({post for point in found for post in point.posts}) == sum(len(point.posts) for point in found)
    assert found[:1] == talking_points(wording, np.arange(5), 0.2, 1)


def test_what_two_members_say_is_no_point_of_several() -> None:
    topic = posts(1, 1)[0]
    vectors = np.vstack([about(topic, 2, 2), posts(3, 40)])
    wording = Wording(np.arange(42), vectors, 42)
    assert talking_points(wording, np.arange(5), 0.2, 5) == []
    assert talking_points(wording, each([0]), 0.4, 5) == []
    assert talking_points(Wording(each([]), np.zeros((0, 4), np.int8), 3), np.arange(3), 0.4, 5) == []
