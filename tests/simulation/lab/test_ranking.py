"""What outcomes say of policies, and the page that tells it."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pytest

from simulation.lab.comparison import BASE, ComparisonSettings, Outcomes, variants
from simulation.lab.feed_mixes import FeedMix
from simulation.lab.interventions import VARIED, Assumed, Policy
from simulation.lab.outcomes import CampaignOutcome, PeopleOutcome, SocietyOutcome
from simulation.lab.policy_report import headline, page
from simulation.lab.policy_tables import markdown, write_tables
from simulation.lab.ranking import HarmWeights, agreement, next_move, pareto, rank, tiers, told_apart
from simulation.lab.trial_society import SocietySettings
from simulation.redteam.menu import MENU

PLAN = tuple(options[0].name for options in MENU.values())
OTHER = tuple(options[1].name for options in MENU.values())
NAMES = ("nothing", "strict", "mild", "harsh")


def made(policy: str, seed: int, reach: int, hit: int) -> SocietyOutcome:
    rng = np.random.default_rng(seed)
    noise = int(rng.integers(-3, 4))
    campaigns = tuple(
        CampaignOutcome(
            name=f"campaign-{i}", plan=plan, size=8, reach=max(reach * (i + 1) + noise, 0), posts=100,
            seen=min(max(reach, 0), 100), acted_on=4, named=0.25 if reach < 100 else None,
            days=0.5 if reach < 100 else None, cost=8,
        )
        for i, plan in enumerate((PLAN, OTHER))
    )  # fmt: skip
    people = (
        PeopleOutcome(slice="<b>friends</b>", lang="fr", people=60, hit=hit, reach=5000),
        PeopleOutcome(slice="<b>friends</b>", lang="<i>", people=40, hit=0, reach=0),
    )
    return SocietyOutcome(
        seed=seed, policy=policy, campaigns=campaigns, people=people, reach=6000, labelled=0, engagement=1000.0,
        hostility=60.0, review_cases=3,
    )  # fmt: skip


def outcomes(kinds: tuple[str, ...] = (BASE,), n: int = 12) -> Outcomes:
    table = {"nothing": (100, 0), "strict": (5, 1), "mild": (60, 0), "harsh": (4, 20)}
    return {(kind, name): [made(name, seed, *table[name]) for seed in range(n)] for kind in kinds for name in NAMES}


def test_policies_are_ranked_by_what_they_prevent_less_their_harm() -> None:
    ranking = rank(outcomes(), "nothing", HarmWeights())
    assert [each.name for each in ranking.results] == ["strict", "mild", "nothing", "harsh"]
    strict = ranking.results[0]
    assert strict.prevented.value == pytest.approx(0.95, abs=0.01)
    assert strict.prevented.low <= strict.prevented.value <= strict.prevented.high
    assert strict.hit.value == pytest.approx(0.01)
    assert strict.hit_by_slice == {"<b>friends</b>": (12, 1200)}
    assert strict.hit_by_language == {"fr": (12, 720), "<i>": (0, 480)}
    assert [(each.size, each.campaigns, each.stopped) for each in strict.stopped] == [(8, 24, 24)]
    assert ranking.results[1].stopped[0].stopped == 0
    assert strict.stopped[0].reached_less == 24
    assert (strict.named, strict.days) == (0.25, 0.5)
    assert strict.cost == pytest.approx(1.0, abs=0.2)
    assert ranking.alike == []
    assert ranking.tiers == [["strict"], ["mild"], ["nothing"], ["harsh"]]


def test_harm_that_weighs_nothing_changes_the_ranking_but_not_the_front() -> None:
    ranking = rank(outcomes(), "nothing", HarmWeights(hit=0.0))
    assert ranking.results[0].name == "harsh"
    assert set(ranking.front) == set(pareto(rank(outcomes(), "nothing", HarmWeights()).results))
    assert set(ranking.front) == {"nothing", "strict", "mild", "harsh"} - {"nothing"}


def test_policies_that_do_the_same_cannot_be_told_apart() -> None:
    table = outcomes()
    table[BASE, "mild"] = [made("mild", seed, 5, 1) for seed in range(12)]
    ranking = rank(table, "nothing", HarmWeights())
    assert ("mild", "strict") in ranking.alike
    assert ranking.tiers == [["mild", "strict"], ["nothing"], ["harsh"]]


def test_tiers_are_held_against_their_first_and_not_against_their_last() -> None:
    apart = {frozenset(pair) for pair in (("a", "c"), ("a", "d"), ("c", "d"))}
    assert tiers(["a", "b", "c", "d"], apart) == [["a", "b"], ["c"], ["d"]]


def test_pairs_are_told_apart_all_at_once() -> None:
    rng = np.random.default_rng(0)
    drawn = {f"p{i}": np.tile(rng.normal(size=(1000, 1)), 5) for i in range(20)}
    by_chance = {name: rng.normal(size=5) for name in drawn}
    found = [told_apart(by_chance, {name: draws + by_chance[name] for name, draws in drawn.items()})]
    for _ in range(9):  # as if the values were one of the draws: nothing to tell apart
        row = int(rng.integers(1000))
        whole = {name: draws[row] * 0.999 for name, draws in drawn.items()}
        found.append(told_apart(whole, {name: draws + whole[name] for name, draws in drawn.items()}))
    assert sum(bool(pairs) for pairs in found) <= 3  # of 190 pairs each, one alone at 95% would be in nearly all
    same = {"a": np.zeros(5), "b": np.zeros(5)}
    assert told_apart(same, {name: np.zeros((1000, 5)) for name in same}) == set()


def test_a_variant_that_turns_the_ranking_round_has_a_low_tau() -> None:
    table = outcomes((BASE, "label lower", "depth higher"))
    for name, other in zip(NAMES, reversed(NAMES), strict=True):
        table["label lower", name] = [
            made(name, seed, {"nothing": 100, "strict": 5, "mild": 60, "harsh": 4}[other], 0) for seed in range(12)
        ]
    apart = {frozenset(("nothing", "strict"))}
    tau, firm, least = agreement(table, "nothing", HarmWeights(), apart)
    assert tau["depth higher"] == firm["depth higher"] == 1.0
    assert tau["label lower"] < 0.5
    assert firm["label lower"] == -1.0  # nothing is done better than strictly there
    assert least.value == tau["label lower"]
    assert agreement(table, "nothing", HarmWeights(), set())[1] == {}


def test_every_assumed_number_is_varied_both_ways_and_shares_stay_shares() -> None:
    made_of = variants(Assumed(spares=0.95))
    assert len(made_of) == 1 + 2 * len(VARIED)
    assert made_of["spares higher"].spares == 1.0
    assert made_of["depth lower"].depth == pytest.approx(4.8)
    assert made_of[BASE] == Assumed(spares=0.95)


def test_an_operator_turns_to_what_kept_its_reach() -> None:
    table = outcomes()
    moves = next_move(table[BASE, "strict"], table[BASE, "nothing"])
    assert set(moves) == set(MENU)
    wording = moves["wording"]
    assert [n for _, n, _ in wording] == [12, 12]
    assert wording[0][2] >= wording[1][2]


def test_the_page_says_which_to_prefer_and_escapes_what_it_shows(tmp_path: Path) -> None:
    table = outcomes((BASE, "depth higher"))
    ranking = rank(table, "nothing", HarmWeights())
    policies = tuple(
        Policy(name=name, measure="nothing" if name == "nothing" else "remove", about="a <script>") for name in NAMES
    )
    setting = ComparisonSettings(trial=SocietySettings(), policies=policies, societies=12, varied=12)
    said = page(setting, table, ranking, HarmWeights(), [])
    assert "Best by the stated worth of harms: strict." in said
    assert "tau of at least 1.00" in headline(ranking)
    assert "<script>" not in said
    assert "12 of 720" in said
    assert '<th scope="col">&lt;i&gt;</th>' in said
    assert "&lt;b&gt;friends&lt;/b&gt;" in said
    assert "http:" not in said
    assert "https:" not in said
    assert markdown(ranking).count("\n| strict |") == 1
    assert markdown(ranking).count("| strict |") == 2
    mixed = markdown(ranking, [FeedMix(("follows", "societal"), 0.125, 900.0, 0.1)])
    assert "| follows + societal | 12.5% | 10.0% | 900 |" in mixed
    write_tables(table, tmp_path)
    with duckdb.connect() as connection:
        rows = connection.execute(f"SELECT count(*), sum(reach) FROM '{tmp_path}/campaigns.parquet'").fetchone()
    assert rows is not None
    assert rows[0] == 2 * len(NAMES) * 12 * 2
