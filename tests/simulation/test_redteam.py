"""The red team: prices, learning, what an operator is told, going on after a break, and what the page says."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import msgspec
import numpy as np
import pytest

from detector.errors import UsageError
from simulation.redteam.adaptive import (
    SIDES,
    Game,
    GameFolder,
    GameSettings,
    Round,
    draw_curve,
    family,
    fielded,
    play,
    recall,
)
from simulation.redteam.measure import (
    SIZES,
    DetectorResult,
    clopper_pearson,
    fingerprint,
    machine_corpus,
    measure,
    shown,
    small,
    summed,
    together,
)
from simulation.redteam.menu import BUDGET, LEAST, MENU, Chance, OperatorMemory, affordable, price, size, teams
from simulation.redteam.page import page
from streaming.cli import invoke
from streaming.schema.score import LlrRecord, ScoreRecord
from tests.simulation.test_plots import drawn
from tests.simulation.test_plots import texts as texts_of

MACHINE_LINES = "".join(f'{{"author":"m{i % 9}","text":"the bridge toll is wrong {i}"}}\n' for i in range(900))
PEOPLE_LINES = "".join(f'{{"author":"p{i % 40}","text":"nice weather number {i}"}}\n' for i in range(2000))


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("texts")
    (folder / "people.jsonl").write_text(PEOPLE_LINES, encoding="utf-8")
    (folder / "machines.jsonl").write_text(MACHINE_LINES, encoding="utf-8")
    return f"corpus:{folder / 'people.jsonl'}", f"corpus:{folder / 'machines.jsonl'}"


def setting(texts: tuple[str, str], **changes: object) -> GameSettings:
    small = GameSettings(rounds=3, accounts=80, each=8, days=0.5, per_day=6.0, people=texts[0], machines=texts[1])
    return msgspec.structs.replace(small, **changes)


class ByWords:
    """A detector that flags whoever wrote machines' words of their own: what is copied from people it misses."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, events: Path, models: Path | None) -> DetectorResult:
        self.calls += 1
        rows = [msgspec.json.decode(line) for line in events.read_bytes().splitlines()]
        wrote = {row["account"] for row in rows if "bridge" in row.get("text", "")}
        names = {row["account"] for row in rows}
        scores = {
            name: ScoreRecord(
                account=name,
                posterior=0.5,
                llr=LlrRecord(),
                abstained={},
                posts=1,
                flagged=name in wrote,
                campaign="k" if name in wrote else None,
            )
            for name in names
        }
        return DetectorResult(scores, {"text": "words@1"})


def test_every_plan_is_within_the_budget_and_some_are_not_affordable() -> None:
    plans = affordable(BUDGET)
    assert all(price(plan) <= BUDGET for plan in plans)
    assert len(plans) == len(set(plans))
    everything = affordable(100)
    assert len(plans) < len(everything) == np.prod([len(options) for options in MENU.values()])
    assert set(everything) - set(plans) == {plan for plan in everything if price(plan) > BUDGET}


def test_the_learner_finds_the_option_that_survives_and_chance_does_not() -> None:
    rng = np.random.default_rng(0)
    learner, chance = OperatorMemory(), Chance()
    survived = {}
    for name, chooser in (("learner", learner), ("chance", chance)):
        outcomes = []
        for _ in range(150):
            plan = chooser.choose(rng)
            kept = int(rng.binomial(6, 0.9 if plan[0] == "copied from people" else 0.3))
            chooser.learn(plan, kept, 6 - kept)
            outcomes.append(kept)
        survived[name] = sum(outcomes[-50:]) / 300
    assert survived["learner"] > 0.8
    assert survived["chance"] < 0.6
    shares = learner.survivors()
    assert shares["wording", "copied from people"] > shares["wording", "verbatim"] + 0.2


@pytest.mark.parametrize("accounts", [3, 4, 12, 13, 17])
def test_teams_field_exactly_the_accounts_and_none_is_too_small(accounts: int) -> None:
    found = teams(Chance(), accounts, np.random.default_rng(accounts))
    assert sum(many for _, many in found) == accounts
    assert all(many >= LEAST for _, many in found)
    assert all(many <= size(plan) + LEAST - 1 for plan, many in found)


def test_a_plan_becomes_the_tactics_it_names() -> None:
    plan = ("copied from people", "drip", "four fifths cover", "teams of 4", "bought")
    made = family("adaptive-00", plan, 4, 2.0)
    assert (made.tactics.wording, made.tactics.cadence, made.tactics.joint) == ("copied", "drip", 0.2)
    assert (made.size, made.bought, made.begin_day) == ((4, 4), 1.0, 1.0)


def test_the_population_of_a_round_has_every_team_at_its_size(texts: tuple[str, str]) -> None:
    from simulation.world import World

    planned = [(side, *team) for side in SIDES for team in teams(Chance(), 8, np.random.default_rng(1))]
    world = World(fielded(setting(texts), planned), 1)
    sizes = {campaign.family.name: len(campaign.members) for campaign in world.roles.campaigns}
    assert sizes == {f"{side}-{i:02d}": many for i, (side, _, many) in enumerate(planned)}


def test_operators_are_told_of_their_own_accounts_and_a_broken_game_goes_on_to_the_same_end(
    texts: tuple[str, str], tmp_path: Path
) -> None:
    whole = ByWords()
    told: list[Round] = []
    game = play(setting(texts), GameFolder(tmp_path / "whole"), told.append, whole)
    assert [each.number for each in told] == [0, 1, 2]
    assert whole.calls == 3
    for each in game.rounds:
        for side in SIDES:
            acted, flagged, _ = each.total(side)
            assert 0 <= flagged <= acted <= 8
    assert sum(each.total(side)[1] for each in game.rounds for side in SIDES) > 0
    play(setting(texts, rounds=3), GameFolder(tmp_path / "broken"), told.append, whole)
    (tmp_path / "broken" / "round-02.json").unlink()
    again = ByWords()
    assert play(setting(texts), GameFolder(tmp_path / "broken"), told.append, again) == game
    assert again.calls == 1
    later = msgspec.structs.replace(game.rounds[2], models={"text": "words@2"})
    (tmp_path / "broken" / "round-02.json").write_bytes(msgspec.json.encode(later))
    with pytest.raises(UsageError, match="models were replaced"):
        play(setting(texts), GameFolder(tmp_path / "broken"), told.append, again)
    with pytest.raises(UsageError, match="other settings"):
        play(setting(texts, seed=4), GameFolder(tmp_path / "whole"), told.append, whole)


def test_slices_count_what_the_detector_said_and_are_kept(texts: tuple[str, str], tmp_path: Path) -> None:
    detector = ByWords()
    found = measure("town", tmp_path, "k" * 64, *texts, None, 0, detector)
    assert measure("town", tmp_path, "k" * 64, *texts, None, 0, detector) == found
    assert detector.calls == 1
    assert {each.name for each in found.of(machines=True)} == {"waves", "drip", "reply-swarm", "amplify"}
    assert all(each.flagged == each.campaign <= each.acted <= SIZES["town"] for each in found.slices)
    assert sum(each.flagged for each in found.of(machines=True)) > 0
    assert sum(each.flagged for each in found.of(machines=False)) == 0
    twice = {each.name: each.acted for each in summed([found, found], machines=False)}
    assert twice == {each.name: 2 * each.acted for each in found.of(machines=False)}
    both = together([found, found])
    assert (both.accounts, both.texts) == (2 * found.accounts, 2 * found.texts)
    assert {(each.name, each.machines) for each in both.slices} == {(e.name, e.machines) for e in found.slices}
    with pytest.raises(UsageError, match="models were replaced"):
        together([found, msgspec.structs.replace(found, models={"text": "words@2"})])


@pytest.mark.parametrize("name", sorted(SIZES))
def test_every_tactic_of_a_preset_is_there_at_the_red_teams_size(name: str) -> None:
    from simulation.roles import plan

    population = small(name, "none", "none")
    names = {family.name for family, _ in plan(population, np.random.default_rng(0))}
    assert names == {family.name for family in population.operators}


def game_of(adaptive: int, control: int) -> Game:
    from simulation.redteam.adaptive import Team

    first = affordable(BUDGET)[0]
    rounds = tuple(
        Round(i, (Team("adaptive", first, 10, adaptive, 5), Team("control", first, 10, control, 7)), 60, 1, 500, 90,
              {"text": "words@1"})
        for i in range(20)
    )  # fmt: skip
    return Game(GameSettings(), rounds)


def test_the_page_says_what_was_measured(texts: tuple[str, str], tmp_path: Path) -> None:
    found = measure("town", tmp_path, "k" * 64, *texts, None, 0, ByWords())
    text = page([found], game_of(2, 8), own=378, plot="red-team.svg")
    assert "`words@1`" in text
    assert "no graph model" in text
    assert "| adaptive: flagged |" in text
    assert "| all | 40 of 200: 20% (15% to 26%) | 160 of 200: 80% (74% to 85%) |" in text
    assert "+60 points in the operator's favour" in text
    assert "Learning pays." in text
    assert "Nobody was accused." in text
    assert "Not measured for this page: `election`, " in text
    assert "No gain is shown." in page([found], game_of(5, 5), own=None, plot="p.svg")
    assert "Learning does worse" in page([found], game_of(8, 2), own=None, plot="p.svg")


def test_the_curve_sums_the_rounds_it_says() -> None:
    game = game_of(2, 8)
    assert recall(game, "adaptive", 0, 5) == (10, 50)
    assert recall(game, "control", -4, 1) == (8, 10)
    root = ElementTree.fromstring(draw_curve(game))
    assert sum(len(drawn(root, f"rounds-{side}", "use")) for side in SIDES) == 40
    assert [len(drawn(root, f"line-{side}", "path")) for side in SIDES] == [1, 1]
    assert "Share of an operator's accounts that are flagged, by round" in texts_of(root)
    assert draw_curve(game) == draw_curve(game_of(2, 8)) != draw_curve(game_of(3, 8))


def test_intervals_are_exact() -> None:
    # Clopper and Pearson: 0 of n has the upper bound 1 - 0.025^(1/n).
    assert clopper_pearson(0, 10) == pytest.approx((0.0, 1 - 0.025**0.1))
    assert clopper_pearson(10, 10) == pytest.approx((0.025**0.1, 1.0))
    assert clopper_pearson(5, 20) == pytest.approx((0.0866, 0.4910), abs=1e-4)
    assert shown(0, 0) == "-"


def test_other_texts_or_models_are_another_game(texts: tuple[str, str], tmp_path: Path) -> None:
    own = machine_corpus(tmp_path / "own.jsonl")
    assert len((tmp_path / "own.jsonl").read_text(encoding="utf-8").splitlines()) > 300
    first = fingerprint(texts[0], texts[1], None)
    assert first == fingerprint(texts[0], texts[1], None)
    assert len({first, fingerprint(texts[0], own, None), fingerprint(texts[0], texts[1], tmp_path)}) == 3


def test_options_of_the_game_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="go with --adaptive"):
        invoke(["simulate", "--preset", "town", "--events", str(tmp_path / "e"), "--out", str(tmp_path / "o")])
    with pytest.raises(UsageError, match="another run"):
        invoke(["simulate", "--preset", "town", "--adaptive", "2", "--gate"])
    with pytest.raises(UsageError, match="rounds"):
        invoke(["simulate", "--preset", "town", "--adaptive", "0", "--people-texts", "none", "--machine-texts", "none"])
