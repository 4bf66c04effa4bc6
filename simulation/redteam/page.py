"""Writes the page `docs/explanation/red-team.md` from the red team's results; no number on it comes from anywhere else.

In: what the detector said about each preset (`simulation.redteam.measure`) and the game of the adaptive operator
(`simulation.redteam.adaptive`). Out: Markdown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from simulation.redteam.adaptive import SIDES, WINDOW, Game, recall, spent
from simulation.redteam.measure import PRESETS, PresetResult, Slice, shown, summed
from simulation.redteam.menu import MENU, used

INTRO = """# Red team

What the detector, as shipped, says about simulated populations: which look-alikes it accuses, which tactics it
misses, and what an operator achieves who learns from what was flagged. This page is written by `make red-team`; do not
edit it.

Every share has its exact 95% interval (Clopper-Pearson) over accounts. Accounts of one campaign are alike, so the true
uncertainty is larger. Accounts that did nothing are left out; accounts without a text are never flagged, by contract,
and count as missed where they are machines.
"""

OWN = """**Texts** are the demo's: people's are chat messages of `chitchat-dataset`, by people whom no shipped model has
read; machines' are the {machines} posts that were written for the demo. Chat and campaign posts differ in more than who
wrote them, so shares of machines found here say more about tactics beside each other than about the world. All are
English and nobody's are smoothed by a model: the rows `second-language` and `writing-help` are ordinary people here.
With other texts: `make red-team ARGS="--people-texts corpus:FILE --machine-texts SOURCE"`.
"""

SMALLER = """## The presets
Smaller than as shipped and with half their activity, so that all of them take minutes; with as many campaigns as there
are tactics, so that each is there, and therefore in places with more machines. Accounts, events and texts are those of
all simulated populations of a preset, which differ in their seed.

"""

MISSED = """## Which tactics are missed
Operators' accounts, over all presets; the most missed first. Campaigns are small here, of a few accounts in all but the
botnets, so that what is said about naming campaigns holds for small ones.

"""

GIVEN = "**Texts** are the user's: `{people}` for people and `{machines}` for machines.\n"


LEARNS = """## An operator that learns
{rounds} rounds. In each, two operators field {each} new accounts each in one population of {accounts} accounts over
{days} days; the detector reads it afresh. The *adaptive* one is told which of its accounts were flagged and chooses by
Thompson sampling; the *control* chooses at random from the same plans. A plan answers {questions} questions; the prices
of its answers (in brackets) sum to at most {budget} points:
"""

COST = """Points spent an account: adaptive {adaptive:.1f}, control {control:.1f}. Acts that served a goal, an account:
adaptive {acts:.1f}, control {other:.1f}: what evasion costs in reach.

The operators differ in nothing but memory, and share people, crowds and texts in every round. One game is one draw of
the operator's luck; `--seed` plays another.
"""


def page(results: Sequence[PresetResult], game: Game, *, own: int | None, plot: str) -> str:
    """The page.

    Args:
        results: one a preset.
        game: the adaptive operator's.
        own: how many posts the project's own machine corpus has, None where texts were given.
        plot: file name of the curve, as the page links to it.
    """
    setting = game.setting
    texts = (
        OWN.format(machines=own) if own is not None else GIVEN.format(people=setting.people, machines=setting.machines)
    )
    parts = [INTRO, texts, _models(results), _societies(results)]
    parts += [_people(results), _tactics(results), _each(results), _adaptive(game, plot)]
    return "\n".join(parts)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; what is between cells is escaped by nobody, so cells hold numbers and names of ours alone."""
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def _models(results: Sequence[PresetResult]) -> str:
    versions = {named(each.models) for each in results}
    return f"**Models** of the presets: {'; '.join(sorted(versions))}. All settings are as shipped.\n"


def named(models: Mapping[str, str]) -> str:
    """Versions of models, and whether the graph is among them."""
    versions = ", ".join(f"{part} `{name}`" for part, name in sorted(models.items()))
    return versions if "graph" in models else f"{versions}, no graph model"


def _societies(results: Sequence[PresetResult]) -> str:
    rows = [
        [f"`{each.preset}`", f"{each.accounts:,}", f"{each.days:g}", f"{each.events:,}", f"{each.texts:,}",
         _flagged(each.of(machines=True)), _flagged(each.of(machines=False)), _campaign(each.of(machines=False))]
        for each in results
    ]  # fmt: skip
    head = ("preset", "accounts", "days", "events", "texts", "machines flagged", "people flagged",
            "people named a campaign")  # fmt: skip
    left = [f"`{name}`" for name in PRESETS if name not in {each.preset for each in results}]
    note = f"\nNot measured for this page: {', '.join(left)}.\n" if left else ""
    return SMALLER + table(head, rows) + note


def _flagged(slices: Sequence[Slice]) -> str:
    return shown(sum(each.flagged for each in slices), sum(each.acted for each in slices))


def _campaign(slices: Sequence[Slice]) -> str:
    return shown(sum(each.campaign for each in slices), sum(each.acted for each in slices))


def _people(results: Sequence[PresetResult]) -> str:
    found = sorted(summed(results, machines=False), key=lambda each: -each.flagged / max(each.acted, 1))
    rows = [[_name(each.name), shown(each.flagged, each.acted), shown(each.campaign, each.acted), str(each.group)]
            for each in found]  # fmt: skip
    accused = [_name(each.name) for each in found if each.flagged or each.campaign]
    says = f"Somebody was accused among: {', '.join(accused)}." if accused else "Nobody was accused."
    return (
        "## Who is wrongly accused\nPeople, over all presets. In a reported group is no accusation: people who "
        "coordinate are reported as that.\n\n"
        + table(("people", "flagged as machines", "named a campaign", "in a reported group"), rows)
        + f"\n{says}\n"
    )


def _tactics(results: Sequence[PresetResult]) -> str:
    found = sorted(summed(results, machines=True), key=lambda each: each.flagged / max(each.acted, 1))
    rows = [[_name(each.name), shown(each.flagged, each.acted), shown(each.flagged, each.spoke),
             shown(each.campaign, each.acted)] for each in found]  # fmt: skip
    return MISSED + table(("tactic", "flagged", "flagged, of those with a text", "in a campaign that was named"), rows)


def _each(results: Sequence[PresetResult]) -> str:
    rows = [
        [f"`{result.preset}`", _name(each.name), "machines" if each.machines else "people", str(each.acted),
         str(each.flagged), str(each.campaign), str(each.group)]
        for result in results for each in result.slices
    ]  # fmt: skip
    head = ("preset", "slice", "who", "accounts", "flagged", "in a named campaign", "in a reported group")
    return "## Every slice of every preset\n" + table(head, rows)


def _name(slice_: str) -> str:
    return f"`{slice_}`"


def _adaptive(game: Game, plot: str) -> str:
    setting, rounds = game.setting, game.rounds
    half = len(rounds) // 2
    accused, people = sum(each.accused for each in rounds), sum(each.people for each in rounds)
    spans = [(i, min(i + WINDOW, len(rounds))) for i in range(0, len(rounds), WINDOW)]
    rows = [[f"{a + 1} to {b}", *(shown(*recall(game, side, a, b)) for side in SIDES)] for a, b in spans]
    rows.append(["all", *(shown(*recall(game, side, 0, len(rounds))) for side in SIDES)])
    late = [[question, name, *(f"{share:.0%}" for share in shares)] for question, name, shares in _shares(game, half)]
    parts = [
        LEARNS.format(
            rounds=len(rounds), each=setting.each, accounts=setting.accounts, days=f"{setting.days:g}",
            questions=len(MENU), budget=setting.budget,
        ),
        *(f"- {question}: " + ", ".join(f"{one.name} ({one.price})" for one in MENU[question]) for question in MENU),
        f"\nModels of the game: {named(game.rounds[0].models)}.\n",
        f"![recall by round]({plot})\n",
        table(("rounds", "adaptive: flagged", "control: flagged"), rows),
        _comes_to(game, half),
        f"\nPeople flagged in these rounds: {shown(accused, people)}.\n",
        f"What the operators used in rounds {half + 1} to {len(rounds)}, share of their accounts:\n",
        table(("question", "answer", "adaptive", "control"), late),
        COST.format(
            adaptive=spent(game, "adaptive"), control=spent(game, "control"), acts=_joint(game, "adaptive"),
            other=_joint(game, "control"),
        ),
    ]  # fmt: skip
    return "\n".join(parts)


def _comes_to(game: Game, half: int) -> str:
    (a, n), (b, m) = (recall(game, side, half, len(game.rounds)) for side in SIDES)
    p, q = a / max(n, 1), b / max(m, 1)
    error = (p * (1 - p) / max(n, 1) + q * (1 - q) / max(m, 1)) ** 0.5
    low, high = q - p - 1.96 * error, q - p + 1.96 * error
    verdict = "Learning pays" if low > 0 else ("Learning does worse than chance" if high < 0 else "No gain is shown")
    return (
        f"In the second half {a} of {n} accounts of the adaptive operator were flagged, {b} of {m} of the control's: "
        f"{100 * (q - p):+.0f} points in the operator's favour ({100 * low:+.0f} to {100 * high:+.0f}, normal "
        f"approximation). {verdict}."
    )


def _joint(game: Game, side: str) -> float:
    totals = [each.total(side) for each in game.rounds]
    return sum(total[2] for total in totals) / max(sum(total[0] for total in totals), 1)


def _shares(game: Game, first: int) -> list[tuple[str, str, list[float]]]:
    tables = []
    for side in SIDES:
        mine = [(team.plan, team.acted) for each in game.rounds[first:] for team in each.teams if team.side == side]
        total = max(sum(acted for _, acted in mine), 1)
        tables.append({key: count / total for key, count in used(mine).items()})
    return [
        (question, each.name, [table.get((question, each.name), 0.0) for table in tables])
        for question in MENU
        for each in MENU[question]
    ]
