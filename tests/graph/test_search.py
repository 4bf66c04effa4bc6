"""The two searches for groups: what is planted is found, and what decoys show too is not accepted."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from graph.decoys import exchanged
from graph.pair_model import FEATURES, PairFeatures, PairModel
from graph.search import LEAST_CONTROLS, Accounts, among_all, among_suspects, pair_features
from graph.trace_memory import TraceView
from graph.traces import HASHTAG, LINK, REPOST
from graph.wording import Wording
from tests.graph.views import DAY, HOUR, MINUTE, NOW, Use, view_of

FDR = 0.05
SUSPECTS, CONTROLS, POSTS, POINTS = 40, 90, 8, 4
BEFORE = 10
"""Controls whose names come before the suspects'."""
CAMPAIGN = tuple(range(BEFORE + 5, BEFORE + 13))
SEED = 3


def weights() -> PairModel:
    """Likeness and shared links speak for one controller; a pair with nothing in common has log-odds of -2."""
    coefficients = np.zeros(len(FEATURES))
    coefficients[FEATURES.index("wording")], coefficients[FEATURES.index("link")] = 5.0, 0.5
    return PairModel(coefficients, -1.0, cut=0.5, worth=0.5, most=2.0)


def name(place: int) -> str:
    return f"n{place:03d}"


Groups = tuple[tuple[int, ...], ...]


def posts(groups: Groups, k: int) -> Wording:
    """Posts of k accounts; those of a group say the same things, each in its own words."""
    rng = np.random.default_rng(1)
    vectors = rng.integers(-60, 61, (k, POSTS, 64))
    for group in groups:
        points = rng.integers(-60, 61, (POINTS, 64))
        for account in group:
            vectors[account, :POINTS] = points + rng.integers(-20, 21, (POINTS, 64))
    return Wording(np.repeat(np.arange(k), POSTS), vectors.reshape(-1, 64).astype(np.int8), k)


def stream(groups: Groups, k: int, objects: int = 8) -> list[Use]:
    """Two weeks of k people who use links and tags of the day; those of a group push the same links within the hour."""
    rng = np.random.default_rng(2)
    uses = []
    for account in range(k):
        for at in rng.integers(-14 * DAY, -HOUR, 24).tolist():
            kind = int(rng.choice([LINK, HASHTAG, REPOST]))
            uses.append(Use(name(account), at, kind, f"of day {at // DAY} {int(rng.pareto(0.8) * 4)}"))
    for group in groups:
        for n in range(objects):
            start = -14 * DAY + n * 36 * HOUR
            pushed = f"pushed by {group[0]} {n}"
            uses += [Use(name(account), start + int(rng.integers(40)) * MINUTE, LINK, pushed) for account in group]
    return uses


def suspected(k: int) -> NDArray[np.bool_]:
    return (np.arange(k) >= BEFORE) & (np.arange(k) < BEFORE + SUSPECTS)


def accounts(view: TraceView, suspects: NDArray[np.bool_]) -> Accounts:
    k = len(suspects)
    place_of = {called: place for place, called in enumerate(view.names)}
    return Accounts(
        np.array([place_of[name(n)] for n in range(k)]), suspects, np.where(suspects, 2.0, -1.0), np.full(k, POSTS),
        np.zeros(k, np.int64),
    )  # fmt: skip


def laid_out(*groups: tuple[int, ...], controls: int = CONTROLS) -> tuple[PairFeatures, Accounts]:
    k = SUSPECTS + controls
    view = view_of(stream(groups, k), NOW)
    found = accounts(view, suspected(k))
    return pair_features(view, found, posts(groups, k), NOW)[0], found


def test_a_campaign_among_suspects_is_found_whole_and_accepted() -> None:
    features, everybody = laid_out(CAMPAIGN)
    found = among_suspects(features, everybody, weights(), SEED)
    assert sorted(found.groups[0].members) == list(CAMPAIGN)
    assert found.q[0] <= FDR
    assert found.decoy_groups < 1.0
    again = among_suspects(features, everybody, weights(), SEED)
    assert again == found


def test_what_controls_show_too_is_not_accepted() -> None:
    """Almost all of the controls are in groups as good as the one among the suspects."""
    size = len(CAMPAIGN)
    groups = [
        tuple(range(start, start + size)) for start in range(BEFORE + SUSPECTS, BEFORE + SUSPECTS + 5 * size, size)
    ]
    features, everybody = laid_out(CAMPAIGN, *groups, controls=BEFORE + 5 * size)
    found = among_suspects(features, everybody, weights(), SEED)
    assert sorted(found.groups[0].members) == list(CAMPAIGN)
    assert found.q[0] > 2 * FDR
    assert found.decoy_groups > 1.0


def test_evidence_of_accounts_does_not_tie_them() -> None:
    """All machines look like machines, whoever drives them."""
    features, everybody = laid_out(CAMPAIGN)
    surer = everybody._replace(own=everybody.own + 3.0)
    assert among_suspects(features, surer, weights(), SEED) == among_suspects(features, everybody, weights(), SEED)


def test_groups_of_the_unsuspicious_are_not_looked_for() -> None:
    controls_only = tuple(range(BEFORE + SUSPECTS + 5, BEFORE + SUSPECTS + 13))
    features, everybody = laid_out(controls_only)
    found = among_suspects(features, everybody, weights(), SEED)
    named = {member for group in found.groups for member in group.members}
    assert not named & set(controls_only)
    assert all(q > FDR for q in found.q)


def test_suspects_with_nothing_in_common_are_no_campaign() -> None:
    features, everybody = laid_out()
    assert all(q > FDR for q in among_suspects(features, everybody, weights(), SEED).q)


@pytest.mark.parametrize("controls", [0, LEAST_CONTROLS - 1])
def test_with_too_few_controls_nothing_is_accepted(controls: int) -> None:
    features, everybody = laid_out(CAMPAIGN)
    k = len(everybody.suspect)
    found = among_suspects(features, everybody._replace(suspect=np.arange(k) < k - controls), weights(), SEED)
    assert sorted(found.groups[0].members) == list(CAMPAIGN)
    assert set(found.q) == {1.0}


def test_texts_need_not_be_read() -> None:
    k = SUSPECTS + CONTROLS
    view = view_of(stream((CAMPAIGN,), k), NOW)
    everybody = accounts(view, suspected(k))
    features, met = pair_features(view, everybody, None, NOW)
    assert len(set(np.unique(features.wording).tolist())) == 1
    inside = np.ix_(CAMPAIGN, CAMPAIGN)
    off = ~np.eye(len(CAMPAIGN), dtype=bool)
    assert features.nats[LINK][inside][off].min() > np.median(features.nats[LINK])
    assert len(met.a) > 0


PEOPLE = 120


def test_accounts_that_push_the_same_links_are_found_among_all_and_accepted() -> None:
    view = view_of(stream((CAMPAIGN,), PEOPLE), NOW)
    found = among_all(view, NOW, SEED)
    best = found.groups[0]
    members = {view.names[place] for place in best.members}
    assert {name(place) for place in CAMPAIGN} <= members
    assert len(members) <= 2 * len(CAMPAIGN)
    assert found.q[0] <= FDR
    assert among_all(view, NOW, SEED) == found


def test_with_accounts_exchanged_nothing_is_accepted() -> None:
    view = exchanged(view_of(stream((CAMPAIGN,), PEOPLE), NOW), 77)
    assert all(q > FDR for q in among_all(view, NOW, SEED).q)


def test_among_people_alone_nothing_is_accepted() -> None:
    assert all(q > FDR for q in among_all(view_of(stream((), PEOPLE), NOW), NOW, SEED).q)


def test_nothing_is_found_among_nobody() -> None:
    assert among_all(view_of([]), NOW, SEED) == ([], [], 0.0)
