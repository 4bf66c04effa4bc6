"""Groups among all accounts: what ties, who belongs, what is compared, and what decoys accept."""

from __future__ import annotations

import numpy as np
import pytest

from graph.coincidences import Uses, shared_uses
from graph.decoys import cells, exchange
from graph.dense_groups import Ties, dense_groups, ties
from graph.permutation import Injection, Traces, injected, injection_trial, null_trial, permuted, upper_rate
from graph.search import LEAST_CONTRAST, among_uses
from graph.traces import DAY_MS, DOMAIN, HOUR_MS, REPOST


def people(seed: int, accounts: int = 300, per_account: int = 12, days: int = 8) -> Traces:
    """Accounts of heavy-tailed activity that repost what is popular at the time, each on its own account."""
    rng = np.random.default_rng(seed)
    n, objects = accounts * per_account, accounts * per_account // 4
    busy, fame = rng.lognormal(0, 1, accounts), rng.pareto(1.2, objects) + 0.1
    item = rng.choice(objects, n, p=fame / fame.sum())
    at = (rng.uniform(0, (days - 1) * DAY_MS, objects)[item] + rng.exponential(5 * HOUR_MS, n)).astype(np.int64)
    order = np.argsort(at, kind="stable")
    account = rng.choice(accounts, n, p=busy / busy.sum())
    return Traces(at[order], account[order], np.full(n, REPOST), item[order], accounts)


def uses_of(traces: Traces) -> Uses:
    return shared_uses(traces.at, traces.account, traces.kind, traces.item)


def tie_list(rows: list[tuple[int, int, float]], accounts: int) -> Ties:
    a, b, nats = zip(*rows, strict=True)
    one, two, weight = np.array(a), np.array(b), np.array(nats, float)
    # Much else goes on, so that hardly anything of a tie is explained by activity.
    activity = np.bincount(one, weight, accounts) + np.bincount(two, weight, accounts)
    return Ties(one, two, weight, np.full(len(one), 3), np.r_[activity, 1e6])


def clique(members: range, nats: float) -> list[tuple[int, int, float]]:
    return [(a, b, nats) for a in members for b in members if a < b]


def test_two_objects_tie_nobody_and_three_do() -> None:
    def found(objects: int) -> int:
        at = np.repeat(np.arange(objects) * DAY_MS, 2)
        account, item = np.tile([0, 1], objects), np.repeat(np.arange(objects), 2)
        return len(ties(shared_uses(at, account, np.full(2 * objects, REPOST), item), 50, None).tied().a)

    assert (found(2), found(3)) == (0, 1)


def test_what_is_used_once_and_links_to_one_site_are_nobodys_coincidence() -> None:
    at = np.arange(6)
    uses = shared_uses(at, at, np.array([REPOST] * 4 + [DOMAIN] * 2), np.array([0, 0, 1, 2, 3, 3]))
    assert uses.item.tolist() == [0, 0]


def test_age_counts_only_where_it_is_asked_for() -> None:
    traces, _ = injected(people(1), Injection(5, 8, 2.0, 60_000), 1)
    now = int(traces.at[-1])
    fresh, old = (ties(uses_of(traces), traces.accounts, when).nats.sum() for when in (None, now + 200 * DAY_MS))
    assert fresh > 0
    assert old == 0


def test_a_tight_group_in_a_loose_community_is_found_for_itself() -> None:
    loose = [(a, a + 1, 9.0) for a in range(60)] + [(a, a + 7, 9.0) for a in range(54)]
    groups = dense_groups(tie_list(loose + clique(range(20, 26), 60.0), 70), 0)
    assert sorted(groups[0].members) == list(range(20, 26))
    assert groups[0].statistic > 3 * groups[1].statistic


def test_who_is_tied_less_than_half_as_strongly_is_no_member() -> None:
    stranger = [(0, 6, 20.0)]
    near = [(a, 7, 20.0) for a in range(5)]
    groups = dense_groups(tie_list(clique(range(6), 24.0) + stranger + near, 10), 0)
    assert sorted(groups[0].members) == [0, 1, 2, 3, 4, 5, 7]


def test_groups_do_not_depend_on_where_a_search_begins() -> None:
    rows = clique(range(5), 30.0) + clique(range(5, 12), 20.0) + [(4, 5, 9.0)]
    one, two = (dense_groups(tie_list(rows, 20), seed) for seed in (0, 1))
    assert [sorted(group.members) for group in one] == [sorted(group.members) for group in two]
    assert {len(group.members) for group in one} == {5, 7}


def test_activity_explains_ties_between_those_who_do_much() -> None:
    quiet = tie_list(clique(range(4), 30.0), 10)
    busy = quiet._replace(activity=np.r_[np.full(4, 6000.0), np.zeros(6), 1e6])
    assert len(dense_groups(quiet, 0)) == 1
    assert dense_groups(busy, 0) == []


def test_a_circle_of_a_community_has_little_contrast_and_one_that_keeps_apart_much() -> None:
    rng = np.random.default_rng(0)
    fading = [(a, b, float(rng.exponential(20.0))) for a in range(40) for b in range(a + 1, 40)]
    apart = clique(range(40, 45), 40.0) + [(a, a - 40, 8.0) for a in range(40, 45)]
    found = {min(group.members): group for group in dense_groups(tie_list(fading + apart, 50), 0)}
    assert sorted(found.pop(40).members) == [40, 41, 42, 43, 44]
    groups = dense_groups(tie_list(fading + apart, 50), 0)
    assert groups[0].statistic == pytest.approx(40.0 / (8.0 / 4 + 1.0), rel=0.02)
    assert found
    assert all(group.statistic < LEAST_CONTRAST for group in found.values())


def test_a_group_that_is_nearly_all_that_happens_in_its_hours_is_accepted() -> None:
    """Exchanged accounts look as they did in those hours: the decoy is the group itself."""
    traces = people(6, days=8)
    begin = int(traces.at[-1]) + 3 * DAY_MS
    rng = np.random.default_rng(0)
    at, account, item = [], [], []
    for night in range(6):
        for tag in range(5):
            start = begin + night * 4 * DAY_MS + tag * 600_000
            at.append(start + rng.integers(0, 600_000, 15))
            account.append(np.arange(15))
            item.append(np.full(15, 10**6 + 5 * night + tag))
    every = Traces(
        np.r_[traces.at, np.concatenate(at)], np.r_[traces.account, np.concatenate(account)],
        np.full(len(traces.at) + 450, REPOST), np.r_[traces.item, np.concatenate(item)], traces.accounts,
    )  # fmt: skip
    found = among_uses(uses_of(every), every.accounts, None, 0)
    assert sorted(found.groups[0].members) == list(range(15))
    assert found.q[0] <= 0.05


def test_exchanging_keeps_who_was_active_and_what_was_popular_in_every_block() -> None:
    traces = people(2)
    cell = cells(traces.at, traces.kind, None, 6 * HOUR_MS)
    moved = exchange(traces.account, cell, 3)
    assert (moved != traces.account).any()
    for block in np.unique(cell):
        assert np.array_equal(np.sort(moved[cell == block]), np.sort(traces.account[cell == block]))


def test_strata_are_exchanged_within_themselves() -> None:
    traces = people(2)
    stratum = traces.account % 3
    moved = exchange(traces.account, cells(traces.at, traces.kind, stratum), 3)
    assert np.array_equal(moved % 3, stratum)


def test_two_groups_of_different_strength_are_both_accepted_and_nobody_else() -> None:
    traces, strong = injected(permuted(people(3), 0), Injection(10, 20, 6.0, 60_000), 1)
    traces, weak = injected(traces, Injection(5, 5, 6.0, 60_000), 2)
    found = among_uses(uses_of(traces), traces.accounts, None, 0)
    accepted = [set(group.members) for group, q in zip(found.groups, found.q, strict=True) if q <= 0.05]
    assert [len(group & set(strong)) for group in accepted if len(group & set(strong)) > 5] == [10]
    assert any(len(group & set(weak)) >= 4 and len(group) <= 6 for group in accepted)
    assert len(accepted) == 2


def test_trials_find_what_is_injected_and_nothing_else() -> None:
    traces = people(4)
    null = null_trial(traces, 0, 0.05)
    assert null.accepted == 0
    trial = injection_trial(traces, Injection(8, 6, 2.0, 600_000), 0, 0.05)
    assert (trial.accepted, trial.members, trial.false) == (True, 8, 0)


def test_equal_tables_and_seeds_give_equal_groups() -> None:
    traces, _ = injected(people(5), Injection(6, 10, 2.0, 60_000), 1)
    one, two = (among_uses(uses_of(traces), traces.accounts, None, 7) for _ in range(2))
    assert one == two


def test_nobody_and_nothing_shared_are_no_groups() -> None:
    empty = np.zeros(0, np.int64)
    assert among_uses(shared_uses(empty, empty, empty, empty), 0, None, 0).groups == []
    assert dense_groups(Ties(empty, empty, np.zeros(0), empty, np.zeros(3)), 0) == []


def test_upper_rate_is_exact() -> None:
    assert upper_rate(0, 50) == pytest.approx(0.0582, abs=1e-4)
    assert upper_rate(1, 50) == pytest.approx(0.0914, abs=1e-4)
    assert upper_rate(3, 3) == 1.0
