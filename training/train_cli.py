"""`swarmlight train text`: train, calibrate and describe the text models.

`swarmlight train account`: learn the account model from bags of cross-fitted readings and from real accounts.

`swarmlight train fusion`: thresholds on the whole system's totals of people who had no part in training.

`swarmlight train graph`: the graph model, from randomised societies.

Societies are simulated and run through the system as subprocesses; --society adds recordings with truth of your own.
The first are trained on, the next calibrate, the last measure. A plan is selected by how much it gains on operator
families that it has never seen. Where the calibrated model gains nothing on the last societies, it ships as abstaining.

`swarmlight train text | account | graph | fusion`: each kind of model has a module of its own, named here.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from detector.account import model as account_files
from detector.account.model import BEHAVIOUR_LIMIT_NATS, AccountModel
from detector.errors import UsageError
from detector.models import GRAPH, SHIPPED, load_readers
from detector.text import first_stage, second_stage
from detector.weights_io import save_weights
from graph.links import SageNet
from training.account import BOOST, FOLDS, Learning, Readers, calibrated, fit_behaviour, fit_text, gather, out_of_fold
from training.calibrate import shipped_thresholds
from training.cards import (
    account_card,
    account_report,
    expert_card,
    expert_report,
    report_table,
    text_card,
    text_report,
)
from training.links import DRAWS, PLANS, Plan, calibration, fit, judge, save_network
from training.links_report import ablation_table, acting_together, family_table, graph_card, left_out, measured
from training.second_stage import TrainedExpert, calibrate_named, train_expert
from training.societies import FAMILIES, Example, Societies, gather_societies
from training.text import (
    ProgressCallback,
    cheap_model,
    crossfit,
    crossfit_path,
    crossfit_table,
    quiet,
    train_cheap,
    version_of,
)

WIDTH: Final = 150
"""Columns of the printed table: sources, and a measure with its interval for each model."""


def train_text_command(argv: list[str]) -> int:
    """Run `swarmlight train text ...`; the exit status."""
    given = _text_arguments(argv)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("training", total=1.0)

        def say(what: str, share: float) -> None:
            progress.update(task, description=what, completed=share)

        trained = train_cheap(given.data, exclude=given.exclude, seed=given.seed, say=say)
        model = cheap_model(trained)
        crossed = crossfit_table(trained, model)
        given.cache.mkdir(parents=True, exist_ok=True)
        crossed.to_parquet(crossfit_path(given.cache, given.exclude, given.seed))
        expert = _expert(given, crossed, say)
        say("measuring", 0.99)
        report = text_report(trained, crossed, seed=given.seed)
        full = expert_report(expert, trained, seed=given.seed) if expert else None
        say("done", 1.0)

    out = Console(width=WIDTH)
    out.print(report_table(report["leave_one_source_out"]))
    if full:
        out.print(report_table(full["leave_one_source_out"]))
    if given.out is None:
        return 0
    common: dict[str, Any] = {"excluded": sorted(given.exclude), "seed": given.seed}
    meta = {
        **common,
        "name": model.name,
        "version": model.version,
        "languages": dict(trained.calibrator.groups),
        "report": report,
    }
    _write(given.out, first_stage.FILE, trained.arrays, meta, text_card(meta))
    if expert:
        meta = {"name": "minilm", **common, **expert.meta, "version": version_of(expert.arrays), "report": full}
        _write(given.out, second_stage.FILE, expert.arrays, meta, expert_card(meta))
    console.print(f"wrote weights, reports and cards to {given.out}")
    return 0


def _expert(given: argparse.Namespace, crossed: pd.DataFrame, say: ProgressCallback) -> TrainedExpert | None:
    if given.no_expert:
        return None
    if given.expert:
        return calibrate_named(crossed, given.expert, machine_label=given.machine_label, say=say)
    return train_expert(crossed, given.cache, say=say)


def _text_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="swarmlight train text", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the text sets (with text/NAME.parquet)")
    parser.add_argument("--out", type=Path, help="folder for text.* and expert.*: weights, report, card")
    parser.add_argument("--exclude", action="append", default=[], metavar="SOURCE", help="set, cluster or source")
    parser.add_argument("--seed", type=int, default=0, help="which rows capped sources keep; bootstrap draws")
    parser.add_argument("--cache", type=Path, default=Path("build/crossfit"), help="folder for cross-fitted scores")
    parser.add_argument("--no-expert", action="store_true", help="train the cheap model alone")
    parser.add_argument("--expert", metavar="MODEL", help="calibrate this Hugging Face model (folder or name) instead")
    parser.add_argument("--machine-label", type=int, default=-1, help="which output of MODEL means machine (the last)")
    parser.add_argument(
        "--report",
        choices=["leave-one-source-out"],
        help="print how each source is told apart when left out; without --out, write no weights",
    )
    given = parser.parse_args(argv)
    if given.out is None and given.report is None:
        parser.error("give --out DIR for the weights, or --report leave-one-source-out")
    return given


def _write(folder: Path, stem: str, arrays: dict[str, Any], meta: dict[str, Any], card: str) -> None:
    save_weights(folder / stem, arrays, meta)
    (folder / f"{stem}.card.md").write_text(card, encoding="utf-8")
    (folder / f"{stem}.report.json").write_text(json.dumps(meta["report"], indent=1) + "\n", encoding="utf-8")


def train_account_command(argv: list[str]) -> int:
    """Run `swarmlight train account ...`; the exit status."""
    given = _account_arguments(argv)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("training", total=1.0)

        def say(what: str, share: float) -> None:
            progress.update(task, description=what, completed=share)

        text, expert, versions = load_readers(given.models)
        rows = gather(given.data, given.cache, Readers(text, expert), exclude=given.exclude, seed=given.seed, say=say)
        if given.without_stream:
            rows = rows.take((rows.label == 0) | ~rows.timed)
        model = train_account(rows, versions, seed=given.seed, say=say)
    save(model, given.out, excluded=given.exclude, seed=given.seed)
    console.print(f"wrote account.safetensors, account.json and account.card.md to {given.out}")
    for line in model.report["by_age"]:
        console.print(line)
    return 0


def train_account(
    rows: Learning, readers: dict[str, str], *, seed: int = 0, folds: int = FOLDS, say: ProgressCallback = quiet
) -> AccountModel:
    """The account model learned from `rows`, with its report.

    Args:
        rows: from `training.account.gather`.
        readers: versions of the text models whose readings they hold.
        seed: of boosting.
        folds: of the out-of-fold calibration.
        say: progress.
    """
    unseen = out_of_fold(rows, lambda part: fit_text(part, seed=seed), folds, lambda share: say("out of fold", share))
    say("fitting on everything", 0.95)
    text, llr = calibrated(fit_text(rows, seed=seed), unseen, rows)
    joint, alone = fit_behaviour(rows, llr), fit_behaviour(rows, None)
    arrays = {**text.arrays("text"), **joint.arrays("joint"), **alone.arrays("behaviour")}
    report: dict[str, Any] = {
        **account_report(rows, llr),
        "accounts": _counts(rows),
        "readers": readers,
        "trees": BOOST.trees,
        "boosting": asdict(BOOST),
        "behaviour_limit_nats": BEHAVIOUR_LIMIT_NATS,
        "slope": round(float(text.line[1]), 4),
    }
    say("done", 1.0)
    return AccountModel("account", version_of(arrays), text, joint, alone, report)


def save(model: AccountModel, out: Path, *, excluded: list[str], seed: int) -> None:
    """Write the model and its card into `out`."""
    about: dict[str, Any] = {"excluded": sorted(excluded), "seed": seed}
    model.save(out, about)
    described = {**about, "name": model.name, "version": model.version, "report": model.report}
    (out / f"{account_files.NAME}.card.md").write_text(account_card(described), encoding="utf-8")


def _counts(rows: Learning) -> dict[str, dict[str, int]]:
    _, first = np.unique(rows.account, return_index=True)
    counts: dict[str, dict[str, int]] = {}
    for group, label in zip(rows.group[first].tolist(), rows.label[first].tolist(), strict=True):
        place = counts.setdefault(_set_of(group), {"people": 0, "machine": 0})
        place["machine" if label else "people"] += 1
    return counts


def _set_of(group: str) -> str:
    head = group.split("/")[0]
    return {"people": "human_short_text", "stream": group}.get(head, head)


def _account_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="swarmlight train account", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with text/ and streams/")
    parser.add_argument("--out", type=Path, required=True, help="folder for account.*: weights, report, card")
    parser.add_argument("--models", type=Path, help="folder of the text models, trained with the same --exclude")
    parser.add_argument("--exclude", action="append", default=[], metavar="SOURCE", help="set, cluster or source")
    parser.add_argument("--without-stream", action="store_true", help="learn from no machine of the labelled stream")
    parser.add_argument("--seed", type=int, default=0, help="of bags, capped sources and boosting")
    parser.add_argument("--cache", type=Path, default=Path("build/crossfit"), help="folder for cross-fitted scores")
    return parser.parse_args(argv)


def train_fusion_command(argv: list[str]) -> int:
    """Run `swarmlight train fusion ...`; the exit status."""
    given = _fusion_arguments(argv)
    console = Console(stderr=True)
    with console.status("running the system over the calibration people"), tempfile.TemporaryDirectory() as work:
        table = crossfit(given.data, given.cache, exclude=given.exclude, seed=given.seed)
        made = shipped_thresholds(given.data, given.models or SHIPPED, given.out, Path(work), table)
    console.print(f"wrote thresholds of {made.people} people to {given.out}; horizon {made.horizon_posts} texts")
    return 0


def _fusion_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="swarmlight train fusion", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with text/ and streams/")
    parser.add_argument("--out", type=Path, required=True, help="folder for the whole bundle with its thresholds")
    parser.add_argument("--models", type=Path, help="folder of text, expert and account (the shipped ones)")
    parser.add_argument("--exclude", action="append", default=[], metavar="SOURCE", help="as in train text")
    parser.add_argument("--seed", type=int, default=0, help="as in train text")
    parser.add_argument("--cache", type=Path, default=Path("build/crossfit"), help="folder for cross-fitted scores")
    return parser.parse_args(argv)


SELECTION_EPOCHS: Final = 18
"""Epochs while plans are compared: half of what the shipped network gets."""

LEFT_OUT_FOLDS: Final = 4
"""Parts into which operator families are cut, each left out in turn."""

FEWEST: Final = 4
"""Societies, at least: two to learn from, one to calibrate, one to measure."""


def train_graph_command(argv: list[str]) -> int:
    """Run `swarmlight train graph ...`; the exit status."""
    given = _graph_arguments(argv)
    torch.set_num_threads(1)  # sums in another order would be another model
    if given.societies + len(given.society) < FEWEST:
        raise UsageError(f"{given.societies + len(given.society)} societies are too few: at least {FEWEST}")
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress, tempfile.TemporaryDirectory() as scratch:
        task = progress.add_task("graph", total=1.0)

        def say(what: str, share: float) -> None:
            progress.update(task, description=what, completed=share)

        societies = gather_societies(
            given.work or Path(scratch), given.societies, given.society, given.models, given.seed,
            lambda what, share: say(what, 0.5 * share),
        )  # fmt: skip
        meta = train(societies, given.out, given.seed, lambda what, share: say(what, 0.5 + 0.5 * share))
    out = Console(width=140)
    for title, (header, lines) in (
        ("held-out societies", ablation_table(meta["report"]["test"])),
        ("operator families left out of training", family_table(meta["report"]["left_out"])),
    ):
        table = Table(title=title)
        for name in header:
            table.add_column(name)
        for line in lines:
            table.add_row(*line)
        out.print(table)
    console.print(f"wrote {meta['name']}@{meta['version']} to {given.out}; abstains: {meta['abstains'] or 'no'}")
    return 0


def train(
    societies: Societies, out: Path, seed: int, say: ProgressCallback, *, plans: Sequence[Plan] = PLANS
) -> dict[str, Any]:
    """Select, fit, calibrate, measure and write; the meta of what was written."""
    present = sorted(
        {part for one in societies.train for part in np.unique(one.part[one.label == 1]).tolist()} & {*FAMILIES}
        or {part for one in societies.train for part in np.unique(one.part[one.label == 1]).tolist()}
    )
    folds = [present[k::LEFT_OUT_FOLDS] for k in range(LEFT_OUT_FOLDS) if present[k::LEFT_OUT_FOLDS]]
    selection: dict[str, float] = {}
    tables = {}
    steps = len(plans) * len(folds) + 3
    for p, plan in enumerate(plans):
        nets: list[tuple[Sequence[str], SageNet]] = []
        for k, families in enumerate(folds):
            say(f"{plan}: without {', '.join(families)}", (p * len(folds) + k) / steps)
            nets.append(
                (
                    families,
                    fit(
                        societies.train,
                        replace(plan, epochs=min(SELECTION_EPOCHS, plan.epochs)),
                        seed,
                        without=families,
                    ),
                )
            )
        tables[plan] = left_out(nets, [_last(societies.calibrate, name) for name in _names(societies.calibrate)], seed)
        gains = [found["gain in AUROC"][0] + found["without text"][0] - 0.5 for found in tables[plan].values()]
        selection[str(plan)] = float(np.mean(gains)) if gains else 0.0
    best = max(plans, key=lambda plan: selection[str(plan)])
    say(f"the model itself: {best}", (steps - 3) / steps)
    net = fit(societies.train, best, seed)
    say("calibrating", (steps - 1) / steps)
    knots, values = calibration(judge(net, societies.calibrate, seed, DRAWS), seed)
    test = measured(net, knots, values, societies.test, societies.broken, seed)
    tested = [_last(societies.calibrate, name) for name in _names(societies.calibrate)]
    together = acting_together([*tested, *societies.test], seed)
    no_gain = "no gain on held-out societies: the interval of its gain in nats holds 0"
    report = {
        "plan": str(best), "societies": societies.count, "selection": selection, "left_out": tables[best],
        "knots": knots.tolist(), "values": values.tolist(), "test": test, "together": together,
    }  # fmt: skip
    abstains = "" if test["gain_nats"][1] > 0 else no_gain
    meta = save_network(net, out, knots, values, seed, abstains=abstains, report=report)
    (out / f"{GRAPH}.card.md").write_text(graph_card(meta), encoding="utf-8")
    return meta


def _names(examples: Sequence[Example]) -> list[str]:
    return sorted({one.society for one in examples})


def _last(examples: Sequence[Example], society: str) -> Example:
    return [one for one in examples if one.society == society][-1]


def _graph_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="swarmlight train graph", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for graph.safetensors, graph.json and the card")
    parser.add_argument("--societies", type=int, default=16, metavar="N", help="societies to simulate")
    parser.add_argument(
        "--society", nargs=2, action="append", default=[], metavar=("EVENTS", "TRUTH"), help="one of your own, besides"
    )
    parser.add_argument("--models", type=Path, metavar="DIR", help="bundle that runs over them (the shipped one)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep societies and graphs here, and use them again")
    parser.add_argument("--seed", type=int, default=0, help="of societies, weights and draws")
    return parser.parse_args(argv)


SUBCOMMANDS: Final[dict[str, tuple[Callable[[list[str]], int], str]]] = {
    "text": (train_text_command, "the cheap text model and the expert's head, from single posts"),
    "account": (train_account_command, "the account model, from bags of one author's readings"),
    "graph": (train_graph_command, "the graph model, from simulated societies"),
    "fusion": (train_fusion_command, "thresholds on held-out people's running maxima"),
}
"""Subcommand -> what runs it, and what it trains. Add a line to add one."""


def train_command(argv: list[str]) -> int:
    """Run `swarmlight train WHAT ...`; the exit status."""
    parser = argparse.ArgumentParser(
        prog="swarmlight train",
        description="Train a model: weights (safetensors and JSON), a report, and a model card.",
        epilog="; ".join(f"{name}: {about}" for name, (_, about) in SUBCOMMANDS.items()),
    )
    parser.add_argument("what", choices=sorted(SUBCOMMANDS), help="which model")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help="its own arguments; WHAT --help lists them")
    given = parser.parse_args(argv)
    return SUBCOMMANDS[given.what][0](given.rest)
