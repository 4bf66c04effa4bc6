"""What each evidence component adds, on societies whose operator families the graph model has never seen.

`python -m training.ablation` writes the page `docs/explanation/ablation.md`. Operator families are cut into folds. For
each, the graph network is fitted and calibrated without these families' accounts and put into a copy of the bundle;
societies of these families alone, with texts, are simulated and run through the whole system with it: as they are,
without their texts, and without texts and with accounts exchanged within blocks of time, which leaves the graph model
nothing that is true. Recordings with truth are run through the bundle as it is. What the work folder has is not made
again: remove it after a change of the code; models of the bundle may be replaced.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import fill
from typing import Annotated, Any, Final

import numpy as np
import torch
import typer
from rich.console import Console

from detector.errors import UsageError
from detector.evidence import COMPONENTS, Component
from detector.models import GRAPH, SHIPPED
from streaming.cli import run_function
from training.account_data import read_truth
from training.cards import table_rows
from training.evaluate import EvaluationTable, evaluation_table, intervals, pooled
from training.links import DRAWS, PLANS, TrainingPlan, calibration, fit, judge, save_network
from training.metrics import auroc, average_precision, tpr_at
from training.progress import progress_bar
from training.societies import FAMILIES, Example, gather_societies, shuffled, simulate, society_toml
from training.system import BUNDLE_FILES, copy_models, read_lines, run_system
from training.text import ProgressCallback

FOLDS: Final = 4
"""Folds of operator families: two of the eight are left out at a time."""

SIZES: Final = (800, 1000)
"""Bounds of the accounts of a held-out society: so many that the demo's texts are all used."""

NO_TEXT: Final = ("text",)

EXCHANGED: Final = "without text, accounts exchanged"
"""Name of the condition in which who acts with whom is chance."""

FIRST_SEED: Final = 500_000
"""Seeds of held-out societies begin here, those of training societies far below."""


@dataclass(frozen=True)
class Measured:
    """One thing measured. `rows`: ablation -> figure -> value, low, high; `adds`: component -> gain in AUROC."""

    name: str
    people: int
    machines: int
    campaigns: int
    rows: dict[str, dict[str, list[float]]]
    adds: dict[str, list[float]]


def folds() -> list[list[str]]:
    """Operator families, cut into folds."""
    names = sorted(FAMILIES)
    return [names[k::FOLDS] for k in range(FOLDS)]


def leave_out(
    train: Sequence[Example], calibrate: Sequence[Example], families: Sequence[str], models: Path, out: Path,
    seed: int, plan: TrainingPlan = PLANS[0],
) -> None:  # fmt: skip
    """Make a bundle whose graph model has learned nothing from some operator families; a model that is there is kept.

    Args:
        train: graphs to train on.
        calibrate: graphs to calibrate on.
        families: whose accounts are left out of both.
        models: bundle of the other models.
        out: models directory to write.
        seed: of training.
        plan: of the network.
    """
    if not (out / f"{GRAPH}.json").exists():
        net = fit(train, plan, seed, without=families)
        given = judge(net, calibrate, seed, DRAWS)
        knots, values = calibration(given.take(~np.isin(given.part, list(families))), seed)
        save_network(net, out, knots, values, seed, version=f"0.without-{'-'.join(families)}")
    copy_models(models, out, [stem for stem in BUNDLE_FILES if stem != GRAPH])


def society(families: Sequence[str], number: int, place: Path, seed: int, sizes: tuple[int, int]) -> tuple[Path, Path]:
    """Simulate a society that has operators of some families alone; what is there is kept.

    Args:
        families: of the operators.
        number: of the society.
        place: folder for it.
        seed: of all societies.
        sizes: bounds of its accounts.

    Returns:
        The files of its events and its truth.
    """
    events, truth = place / "events.jsonl", place / "truth.jsonl"
    if not truth.exists():
        place.mkdir(parents=True, exist_ok=True)
        drawn = FIRST_SEED + 1000 * seed + number
        toml = society_toml(np.random.default_rng(drawn), families, sizes, "demo")
        simulate(toml, drawn, events, truth)
    return events, truth


def run(
    events: Path, truth: Path, models: Path, scores: Path, without: Sequence[Component], name: str
) -> EvaluationTable:
    """The accounts of a recording as the system scores them.

    Scores of the same versions of the models are kept beside `scores` and not made again.

    Args:
        events: the recording.
        truth: its truth file.
        models: models directory.
        scores: file for the scores; the versions of the models are added to its name.
        without: components to leave out.
        name: of the recording; campaigns are named after it, so that recordings can be pooled.
    """
    key = hashlib.sha256(json.dumps(versions(models)).encode()).hexdigest()[:8]
    kept = scores.with_name(f"{scores.stem}-{key}.scores")
    if not kept.exists():
        run_system([events], models, scores=scores, without=without)
        scores.replace(kept)
    found = evaluation_table(read_truth(truth), read_lines(kept))
    return replace(found, campaign=np.where(found.campaign != "", np.char.add(f"{name}/", found.campaign), ""))


def conditions(
    events: Path, truth: Path, models: Path, place: Path, name: str, *, exchanged: bool
) -> dict[str, EvaluationTable]:
    """Run a recording as it is and without its texts.

    Args:
        events: the recording.
        truth: its truth file.
        models: models directory.
        place: folder for the scores.
        name: of the recording.
        exchanged: whether to run it with accounts exchanged besides.

    Returns:
        Condition -> accounts with their scores.
    """
    found = {
        "with text": run(events, truth, models, place / "text.scores", (), name),
        "without text": run(events, truth, models, place / "silent.scores", NO_TEXT, name),
    }
    if exchanged:
        mixed = place / "exchanged.jsonl"
        if not mixed.exists():
            shuffled(events, mixed, 0)
        found[EXCHANGED] = run(mixed, truth, models, place / "exchanged.scores", NO_TEXT, name)
    return found


def figures(given: EvaluationTable, components: Sequence[Component], name: str, seed: int, draws: int) -> Measured:
    """Ranking by the first component, by the first two, and so on, and what each adds, with intervals over campaigns.

    Args:
        given: accounts with their scores.
        components: of the evidence, in this order.
        name: of what is measured.
        seed: of the bootstrap.
        draws: of the bootstrap.
    """
    nested = {" + ".join(components[: i + 1]): components[: i + 1] for i in range(len(components))}

    def measure(drawn: EvaluationTable) -> dict[str, float]:
        result: dict[str, float] = {}
        last = 0.5
        for row, kept in nested.items():
            score = drawn.score(kept)
            area = auroc(drawn.label, score)
            result |= {f"{row}/auroc": area, f"{row}/ap": average_precision(drawn.label, score)}
            result |= {f"{row}/tpr": tpr_at(drawn.label, score, 0.01), f"adds/{kept[-1]}": area - last}
            last = area
        return result

    spread = intervals(given, measure, np.random.default_rng(seed), draws)
    values = {key: [value, *spread[key]] for key, value in measure(given).items()}
    return Measured(
        name,
        int((given.label == 0).sum()),
        int(given.label.sum()),
        len({name for name in given.campaign.tolist() if name}),
        {row: {key: values[f"{row}/{key}"] for key in ("auroc", "ap", "tpr")} for row in nested},
        {kept[-1]: values[f"adds/{kept[-1]}"] for kept in nested.values()},
    )


@dataclass(frozen=True)
class AblationOptions:
    """What is measured.

    Args:
        streams: recordings with their truth.
        models: bundle, all but its graph model; the shipped one where None.
        societies: simulated for training, as in `swarmlight train graph`.
        held_out: societies of each pair of families.
        draws: of the bootstrap.
        seed: of societies, weights and the bootstrap.
    """

    streams: Sequence[tuple[Path, Path]] = ()
    models: Path | None = None
    societies: int = 16
    held_out: int = 2
    draws: int = 200
    seed: int = 0


def measure_all(given: AblationOptions, work: Path, say: ProgressCallback) -> dict[str, Any]:
    """Everything that the page tells, as JSON-serialisable figures.

    Args:
        given: what is measured.
        work: folder for societies, bundles and scores; what it has already is not made again.
        say: told of progress.
    """
    models = given.models or SHIPPED
    cut = folds()
    everything = gather_societies(
        work / "train", given.societies, (), given.models, given.seed, lambda what, share: say(what, 0.3 * share)
    )
    runs: dict[str, dict[str, list[EvaluationTable]]] = {}
    total = len(cut) * given.held_out + len(given.streams)
    done = 0
    for k, families in enumerate(cut):
        bundle = work / f"without-{'-'.join(families)}"
        say(f"the graph model without {', '.join(families)}", 0.3 + 0.7 * done / total)
        leave_out(everything.train, everything.calibrate, families, models, bundle, given.seed)
        for i in range(given.held_out):
            place = work / f"held-{k}-{i}"
            say(f"a society of {', '.join(families)}", 0.3 + 0.7 * done / total)
            events, truth = society(families, k * 100 + i, place, given.seed, SIZES)
            each = conditions(events, truth, bundle, place, f"{k}-{i}", exchanged=True)
            for condition, found in each.items():
                runs.setdefault(f"{', '.join(families)} left out", {}).setdefault(condition, []).append(found)
            done += 1
    texts = sum(
        int(np.count_nonzero(np.nan_to_num(one.components[:, 0])))
        for each in runs.values()
        for one in each["with text"]
    )
    accounts = sum(len(one.names) for each in runs.values() for one in each["with text"])
    everybody: dict[str, list[EvaluationTable]] = {}
    for found_by in runs.values():
        for condition, found_in in found_by.items():
            everybody.setdefault(condition, []).extend(found_in)
    runs = {"all held-out societies": everybody, **runs}
    for events, truth in given.streams:
        name = events.name.split(".")[0]
        place = work / name
        place.mkdir(parents=True, exist_ok=True)
        say(name, 0.3 + 0.7 * done / total)
        streams = conditions(events, truth, models, place, name, exchanged=False)
        runs[name] = {condition: [one] for condition, one in streams.items()}
        done += 1
    result = {
        condition: [
            _plain(figures(pooled(each[condition]), COMPONENTS if condition == "with text" else COMPONENTS[1:], name,
                           given.seed, given.draws))
            for name, each in runs.items() if condition in each
        ]
        for condition in ("with text", "without text", EXCHANGED)
    }  # fmt: skip
    return {
        "figures": result,
        "models": versions(models),
        "spoke": texts,
        "accounts": accounts,
        "societies": len(cut) * given.held_out,
    }


def _plain(found: Measured) -> dict[str, Any]:
    return dict(vars(found))


def versions(models: Path) -> Mapping[str, str]:
    """The name and version of each model of a bundle."""
    found = {}
    for stem in BUNDLE_FILES:
        if (models / f"{stem}.json").exists():
            meta = json.loads((models / f"{stem}.json").read_text(encoding="utf-8"))
            found[stem] = f"{meta['name']}@{meta['version']}"
    return found


FIGURES: Final = {"auroc": "AUROC", "ap": "Average precision", "tpr": "TPR at 1% FPR"}

WIDTH: Final = 120
"""Characters of a line of the page, tables left aside."""

INTRO: Final = """# What each component adds

Text, behaviour, coordination and graph, one after another. This page is written by `make ablation DATA=folder`; do not
edit it. Intervals are 95%, by bootstrap over campaigns, with people drawn one by one. *Adds* is the gain in AUROC over
the column before, drawn together with it; bold where its interval leaves out 0.

**Held-out societies** ({societies}) have operators of two families alone. Their graph model was fitted and calibrated
without any account of these families; the other components are those of the bundle: {models}. They have {low:,} to
{high:,} accounts and about two days, drawn as in `training/societies.py`, and the demo's texts, which are enough for a
part of the events: the text component says something of {spoke:,} of their {accounts:,} accounts. Machines' texts are
posts written for other campaigns, the demo's, so that the level of text evidence is the demo's; what is added to it is
the point. Recordings named by their file are judged by the bundle as it is.
"""

ABOUT: Final = {
    "with text": "## With text",
    "without text": "## Without text\n\nThe same recordings with `--without text`.",
    EXCHANGED: "## Without text, accounts exchanged\n\nThe same societies, in which accounts "
    "have exchanged what they did within six hours and kinds of event: everybody does as much, and who acts with whom "
    "is chance. What the graph model still gains here, it has not learned from joint action.",
}


def ablate(
    stream: Annotated[
        list[Path] | None, typer.Option(metavar="EVENTS TRUTH", help="a recording with truth; may be repeated")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="PAGE.md", help="the page")] = Path("docs/explanation/ablation.md"),
    figures_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="write all figures")] = None,
    models: Annotated[
        Path | None, typer.Option(metavar="DIR", help="bundle, all but its graph model (the shipped one)")
    ] = None,
    work: Annotated[Path | None, typer.Option(metavar="DIR", help="keep societies and refitted models here")] = None,
    societies: Annotated[int, typer.Option(metavar="N", help="as in train graph")] = 16,
    held_out: Annotated[int, typer.Option(metavar="N", help="societies of each pair of operator families")] = 2,
    draws: Annotated[int, typer.Option(metavar="N", help="bootstrap draws")] = 200,
    seed: Annotated[int, typer.Option(metavar="N", help="of societies, weights and the bootstrap")] = 0,
) -> int:
    """Measure what each evidence component adds on societies of operator families that the graph model has not seen.

    Writes the page and, with `--json`, all figures. What the work folder has is not made again: remove it after a
    change of the code.

    Args:
        stream: events and truth by turns.
        out: the page.

    Raises:
        UsageError: a recording cannot be read, or a file cannot be written.
    """
    torch.set_num_threads(1)  # sums in another order would be another model
    pairs = stream or []
    options = AblationOptions(list(zip(pairs[::2], pairs[1::2], strict=True)), models, societies, held_out, draws, seed)
    with progress_bar(Console(stderr=True), "ablation") as say, tempfile.TemporaryDirectory() as scratch:
        found = measure_all(options, work or Path(scratch), say)
    try:
        out.write_text(page(found), encoding="utf-8")
        if figures_file is not None:
            figures_file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{error.filename}: cannot be written: {error.strerror}") from None
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run it as a program. Exit status 0; 1 an error; 2 unusable arguments."""
    return run_function(ablate, "python -m training.ablation", argv)


def page(found: Mapping[str, Any]) -> str:
    """The page of what `measure_all` found."""
    models = ", ".join(f"`{name}`" for name in found["models"].values())
    told = {"societies": found["societies"], "models": models, "low": SIZES[0], "high": SIZES[1]}
    paragraphs = [INTRO.format(**told, spoke=found["spoke"], accounts=found["accounts"])]
    for condition, measured in found["figures"].items():
        if measured:
            tables = [_areas(measured), _graph(measured)]
            if condition != EXCHANGED:
                tables += [_others(measured, key) for key in ("ap", "tpr")]
            paragraphs += [ABOUT[condition], *tables]
    return "\n\n".join(_wrapped(each) for each in paragraphs) + "\n"


def _wrapped(paragraph: str) -> str:
    """Paragraphs in lines of `WIDTH`; tables and headings as they are."""
    return "\n\n".join(
        text if text.startswith(("|", "#")) else fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)
        for text in paragraph.strip().split("\n\n")
    )


def _short(measured: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """The rows of the ablation, in full and as heads of columns."""
    nested = list(measured[0]["rows"])
    return nested, [nested[0], *(f"+ {row.rsplit(' + ', 1)[1]}" for row in nested[1:])]


def _areas(measured: Sequence[Mapping[str, Any]]) -> str:
    nested, short = _short(measured)
    added = [row.removeprefix("+ ") for row in short[1:]]
    head = ["on", "people, machines, campaigns", *short, *(f"{component} adds" for component in added)]
    lines = [
        [
            one["name"],
            f"{one['people']:,}, {one['machines']:,}, {one['campaigns']:,}",
            *(_figure(one["rows"][row]["auroc"]) for row in nested),
            *(_gain(one["adds"][component]) for component in added),
        ]
        for one in measured
    ]
    return f"{FIGURES['auroc']}:\n\n{table_rows(head, lines)}"


def _others(measured: Sequence[Mapping[str, Any]], key: str) -> str:
    nested, short = _short(measured)
    lines = [[one["name"], *(_figure(one["rows"][row][key]) for row in nested)] for one in measured]
    return f"{FIGURES[key]}:\n\n{table_rows(['on', *short], lines)}"


def _graph(measured: Sequence[Mapping[str, Any]]) -> str:
    """What the graph model does, in words, where an interval says it."""
    sorts: dict[str, list[str]] = {"adds": [], "takes away": [], "is not shown to do either": []}
    for one in measured:
        _, low, high = one["adds"]["graph"]
        sorts["adds" if low > 0 else "takes away" if high < 0 else "is not shown to do either"].append(one["name"])
    return (
        "The graph component "
        + "; ".join(f"{what} on: {' / '.join(names)}" for what, names in sorts.items() if names)
        + "."
    )


def _figure(values: Sequence[float]) -> str:
    value, low, high = values
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _gain(values: Sequence[float]) -> str:
    value, low, high = values
    text = f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"
    return f"**{text}**" if low > 0 or high < 0 else text


if __name__ == "__main__":
    sys.exit(main())
