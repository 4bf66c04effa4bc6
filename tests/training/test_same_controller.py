"""What is left out in turn, how both models are measured on it, and which of them ships."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.training.made_up import silent, society
from training import pair_network, pair_training, same_controller
from training.cards import left_out_tables, verdict
from training.pair_training import CUTS, PairCounts
from training.pairs import OPERATION, Society
from training.same_controller import (
    MODELS,
    NETWORK,
    REGRESSION,
    Judged,
    Measured,
    TrainingSocieties,
    ahead,
    family,
    fit_both,
    leave_out,
    maker,
    members_of,
    report_of,
    text_set,
)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_network, "EPOCHS", 1)
    monkeypatch.setattr(pair_training, "CUTS", CUTS[::4])


def quiet(what: str, share: float) -> None:
    assert 0 <= share <= 1


def test_a_campaign_is_of_what_most_of_its_members_are() -> None:
    given = society(0)
    given.texts[0] = ""
    by_set = members_of(given, text_set)
    assert sorted(by_set) == ["frontier_campaigns", "oasis_harm_groups", "synthpai"]
    assert np.flatnonzero(by_set["frontier_campaigns"]).tolist() == list(range(8))
    assert sorted(members_of(given, family)) == ["drip", "links", "waves"]
    assert sorted(members_of(given, maker)) == ["Meta", "OpenAI", "frontier model of 2026"]
    given.texts[8:16], given.generator[8:16] = ["electai/machines/x"] * 8, ["unheard-of"] * 8
    assert "others" in members_of(given, text_set)
    assert "others" in members_of(given, maker)


def test_what_is_left_out_is_in_no_society_learned_from_and_alone_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    societies = [society(seed, size=5, people=40) for seed in range(4)]
    learned: list[list[Society]] = []

    def watched(train: list[Society], draws: int, seed: int) -> dict[str, Judged]:
        learned.append(train)
        return fit_both(train, draws, seed)

    monkeypatch.setattr(same_controller, "fit_both", watched)
    operation = replace(silent(society(9, people=40)), name=OPERATION)
    found = leave_out(societies, [operation], family, 1, 0, quiet)
    assert sorted(found) == ["drip", "links", "waves"]
    order = iter(learned)
    for name in sorted(found):
        measured = {unit[0] for model in MODELS for unit in found[name][model].tally}
        assert measured == {each.name for each in societies}
        for half in range(2):
            train = next(order)
            assert [each.name for each in train] == [
                *(each.name for n, each in enumerate(societies) if n % 2 != half), OPERATION,
            ]  # fmt: skip
            assert all(name not in each.family for each in train[:-1])
        # Campaigns 0, 1 and 2 are of waves, drip and links.
        number = ["waves", "drip", "links"].index(name)
        assert {unit[1] for unit in found[name][REGRESSION].tally} <= {number, -1}
        assert sum(found[name][REGRESSION].tally[each.name, number].true for each in societies) > 0


def table_of(hits: int, other: int, units: int) -> dict[str, Measured]:
    """Campaigns of ten true pairs, of which each model groups some, and nothing else."""
    return {
        model: Measured(tally={(f"s{n}", 0): PairCounts(hit, hit, 10, 1, 1) for n in range(units)})
        for model, hit in ((REGRESSION, hits), (NETWORK, other))
    }


def test_the_network_is_ahead_only_by_more_than_chance_over_campaigns() -> None:
    value, low, high = ahead([table_of(5, 8, 20)], 0)
    assert value == pytest.approx(16 / 18 - 10 / 15)
    assert low == pytest.approx(value) == high  # all campaigns alike
    one = table_of(5, 5, 20)
    one[NETWORK].tally["s0", 0] = PairCounts(10, 10, 10, 1, 1)  # ahead on a single campaign
    value, low, high = ahead([one], 0)
    assert low <= 0 < value < high
    assert ahead([table_of(8, 5, 20)], 0)[2] < 0
    assert ahead([], 0) == [0.0, 0.0, 0.0]


def test_a_campaign_of_several_tables_is_drawn_as_one() -> None:
    rng = np.random.default_rng(0)
    one = table_of(5, 5, 30)
    for n in range(30):
        hit = int(rng.integers(0, 11))
        one[NETWORK].tally[f"s{n}", 0] = PairCounts(hit, hit, 10, 1, 1)
    assert ahead([one, one, one], 1) == pytest.approx(ahead([one], 1))


def test_the_report_has_every_table_and_a_verdict() -> None:
    societies = [society(seed, size=5, crowd=6, people=44) for seed in range(4)]
    operation = replace(silent(society(9, people=40)), name=OPERATION)
    report = report_of(TrainingSocieties(societies, operation), 1, 0, quiet)
    assert report["societies"] == 4
    assert report["campaigns"] == 12
    assert report["operation"] == {"accounts": len(operation.accounts), "members": 24}
    assert {line["set"]: line["campaign"] for line in report["sources"]} == {
        "frontier_campaigns": 20, "oasis_harm_groups": 20, "people_authors": 0, "synthpai": 20,
    }  # fmt: skip
    by_name = {table: [row["left_out"] for row in rows] for table, rows in report["tables"].items()}
    assert by_name == {
        "texts": ["frontier_campaigns", "oasis_harm_groups", "synthpai"], "families": ["drip", "links", "waves"],
        "generators": ["Meta", "OpenAI", "frontier model of 2026"], "societies": ["societies", OPERATION],
    }  # fmt: skip
    for rows in report["tables"].values():
        for row in rows:
            for model in MODELS:
                assert 0 <= row[model]["f1"] <= 1
                assert row[model]["accepted"] == sum(row[model][key] for key in ("right", "people", "wrong"))
    assert min(row[REGRESSION]["auroc"] for row in report["tables"]["families"]) > 0.9
    assert report["network_ahead"] == (report["ahead"]["all"][1] > 0)
    tables = left_out_tables(report)
    assert [len(lines) for _, lines in tables.values()] == [6, 6, 6, 4]
    assert all(len(line) == len(header) for header, lines in tables.values() for line in lines)
    assert "the regression ships" in verdict(report | {"network_ahead": False})
    assert "should ship" in verdict(report | {"network_ahead": True})


def test_the_networks_cut_is_chosen_where_it_has_not_learned() -> None:
    both = fit_both([society(seed, people=40) for seed in range(2)], 1, 0)
    assert set(both) == {REGRESSION, NETWORK}
    one = fit_both([society(0, people=40)], 1, 0)  # nothing to hold out
    assert one[NETWORK].cut in CUTS
