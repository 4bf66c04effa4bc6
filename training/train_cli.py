"""The commands `swarmlight train text`, `account`, `graph` and `fusion`.

Each `train_..._command` function is one command: it learns a model with the modules of this folder and writes weights
(safetensors and JSON), a report and a model card. Typer makes the options of the parameters, whose `help` says what
they are. Tables go to standard output, progress to standard error.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from detector.errors import UsageError
from detector.models import GRAPH, SHIPPED, load_readers
from detector.text import first_stage, second_stage
from detector.weights_io import save_weights
from graph.links import SageNet
from training.account import save_account, train_account
from training.account_training_set import TextModels, gather
from training.calibrate import shipped_thresholds
from training.cards import first_stage_card, second_stage_card
from training.links import DRAWS, PLANS, TrainingPlan, calibration, fit, judge, save_network
from training.links_report import ablation_table, acting_together, family_table, graph_card, left_out, measured
from training.model_reports import first_stage_report, report_table, second_stage_report
from training.progress import progress_bar
from training.second_stage import TrainedSecondStage, calibrate_named, train_second_stage
from training.societies import FAMILIES, Example, Societies, gather_societies
from training.text import (
    ProgressCallback,
    crossfit,
    crossfit_path,
    crossfit_table,
    first_stage_model,
    train_first_stage,
    version_of,
)

WIDTH: Final = 150
"""Columns of the printed table: sources, and a measure with its interval for each model."""

app: Final = typer.Typer(
    help="Train a model: weights (safetensors and JSON), a report, and a model card.",
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=False,
)

Excluded = Annotated[list[str] | None, typer.Option("--exclude", metavar="SOURCE", help="set, cluster or source")]
Cache = Annotated[Path, typer.Option("--cache", metavar="DIR", help="folder for cross-fitted scores")]

CACHE: Final = Path("build/crossfit")


@app.command("text", short_help="the first-stage text model and the second stage's head, from single posts")
def train_text_command(
    data: Annotated[Path, typer.Option(metavar="DIR", help="folder of the text sets (with text/NAME.parquet)")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="folder for text.* and expert.*: weights, report, card")
    ] = None,
    exclude: Excluded = None,
    seed: Annotated[int, typer.Option(metavar="N", help="which rows capped sources keep; bootstrap draws")] = 0,
    cache: Cache = CACHE,
    no_second_stage: Annotated[bool, typer.Option("--no-expert", help="train the first-stage model alone")] = False,
    named_model: Annotated[
        str | None,
        typer.Option("--expert", metavar="MODEL", help="calibrate this Hugging Face model (folder or name) instead"),
    ] = None,
    machine_label: Annotated[
        int, typer.Option(metavar="N", help="which output of MODEL means machine; -1 is the last")
    ] = -1,
    report: Annotated[
        Literal["leave-one-source-out"] | None,
        typer.Option(
            metavar="leave-one-source-out",
            help="print how each source is told apart when left out; without --out, write no weights",
        ),
    ] = None,
) -> int:
    """Train, calibrate and describe the text models.

    Learns from single posts of people and machines, whole sources left out in turn, and prints how well each source is
    told apart by a model that has not seen it.

    Args:
        data: folder with text/NAME.parquet.
        out: where weights go; None writes none, and needs `report`.

    Raises:
        UsageError: neither weights nor a report are asked for, or a text set cannot be used.
    """
    if out is None and report is None:
        raise UsageError("train text: give --out DIR for the weights, or --report leave-one-source-out")
    left_away = exclude or []
    console = Console(stderr=True)
    with progress_bar(console, "training") as say:
        trained = train_first_stage(data, exclude=left_away, seed=seed, say=say)
        model = first_stage_model(trained)
        crossed = crossfit_table(trained, model)
        cache.mkdir(parents=True, exist_ok=True)
        crossed.to_parquet(crossfit_path(cache, left_away, seed))
        head: TrainedSecondStage | None = None
        if named_model and not no_second_stage:
            head = calibrate_named(crossed, named_model, machine_label=machine_label, say=say)
        elif not no_second_stage:
            head = train_second_stage(crossed, cache, say=say)
        say("measuring", 0.99)
        measured_text = first_stage_report(trained, crossed, seed=seed)
        full = second_stage_report(head, trained, seed=seed) if head else None
        say("done", 1.0)

    screen = Console(width=WIDTH)
    screen.print(report_table(measured_text["leave_one_source_out"]))
    if full:
        screen.print(report_table(full["leave_one_source_out"]))
    if out is None:
        return 0
    common: dict[str, Any] = {"excluded": sorted(left_away), "seed": seed}
    meta = {
        **common,
        "name": model.name,
        "version": model.version,
        "languages": dict(trained.calibrator.groups),
        "report": measured_text,
    }
    _write(out, first_stage.FILE, trained.arrays, meta, first_stage_card(meta))
    if head:
        meta = {"name": "minilm", **common, **head.meta, "version": version_of(head.arrays), "report": full}
        _write(out, second_stage.FILE, head.arrays, meta, second_stage_card(meta))
    console.print(f"wrote weights, reports and cards to {out}")
    return 0


def _write(folder: Path, stem: str, arrays: dict[str, Any], meta: dict[str, Any], card: str) -> None:
    save_weights(folder / stem, arrays, meta)
    (folder / f"{stem}.card.md").write_text(card, encoding="utf-8")
    (folder / f"{stem}.report.json").write_text(json.dumps(meta["report"], indent=1) + "\n", encoding="utf-8")


@app.command("account", short_help="the account model, from bags of one author's texts and from real accounts")
def train_account_command(
    data: Annotated[Path, typer.Option(metavar="DIR", help="folder with text/ and streams/")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="folder for account.*: weights, report, card")],
    models: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="text models, trained with the same --exclude (the shipped ones)"),
    ] = None,
    exclude: Excluded = None,
    without_stream: Annotated[
        bool, typer.Option("--without-stream", help="learn from no machine of the labelled stream")
    ] = False,
    seed: Annotated[int, typer.Option(metavar="N", help="of bags, capped sources and boosting")] = 0,
    cache: Cache = CACHE,
) -> int:
    """Learn the account model from bags of cross-fitted text evidence and from real accounts.

    Args:
        without_stream: leaves machines with times out; texts alone are learned from.

    Raises:
        UsageError: the data cannot be used.
        ModelError: the text models cannot be used.
    """
    console = Console(stderr=True)
    with progress_bar(console, "training") as say:
        text, reader, versions = load_readers(models)
        rows = gather(data, cache, TextModels(text, reader), exclude=exclude or [], seed=seed, say=say)
        if without_stream:
            rows = rows.take((rows.label == 0) | ~rows.timed)
        model = train_account(rows, versions, seed=seed, say=say)
    save_account(model, out, excluded=exclude or [], seed=seed)
    console.print(f"wrote account.safetensors, account.json and account.card.md to {out}")
    for line in model.report["by_age"]:
        console.print(line)
    return 0


@app.command("fusion", short_help="thresholds, on the running maxima of people kept out of training")
def train_fusion_command(
    data: Annotated[Path, typer.Option(metavar="DIR", help="folder with text/ and streams/")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="folder for the whole bundle with its thresholds")],
    models: Annotated[
        Path | None, typer.Option(metavar="DIR", help="folder of text, expert and account (the shipped ones)")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(metavar="SOURCE", help="as in train text")] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="as in train text")] = 0,
    cache: Cache = CACHE,
) -> int:
    """Set thresholds on the whole system's totals of people who had no part in training.

    Args:
        data: folder with text/ and streams/.

    Raises:
        UsageError: the data cannot be used.
    """
    console = Console(stderr=True)
    with console.status("running the system over the calibration people"), tempfile.TemporaryDirectory() as work:
        table = crossfit(data, cache, exclude=exclude or [], seed=seed)
        made = shipped_thresholds(data, models or SHIPPED, out, Path(work), table)
    console.print(f"wrote thresholds of {made.people} people to {out}; horizon {made.horizon_posts} texts")
    return 0


SELECTION_EPOCHS: Final = 18
"""Epochs while plans are compared: half of what the shipped network gets."""

LEFT_OUT_FOLDS: Final = 4
"""Parts into which operator families are cut, each left out in turn."""

FEWEST: Final = 4
"""Societies, at least: two to learn from, one to calibrate, one to measure."""


@app.command("graph", short_help="the graph model, from simulated societies")
def train_graph_command(
    out: Annotated[Path, typer.Option(metavar="DIR", help="folder for graph.safetensors, graph.json and the card")],
    societies: Annotated[int, typer.Option(metavar="N", help="societies to simulate")] = 16,
    society: Annotated[
        list[str] | None, typer.Option(metavar="EVENTS TRUTH", help="one of your own, besides; may be repeated")
    ] = None,
    models: Annotated[
        Path | None, typer.Option(metavar="DIR", help="bundle that runs over them (the shipped one)")
    ] = None,
    work: Annotated[
        Path | None, typer.Option(metavar="DIR", help="keep societies and graphs here, and use them again")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="of societies, weights and draws")] = 0,
) -> int:
    """Train the graph model on randomised societies.

    They are simulated and run through the system; --society adds recordings with truth of your own. The first are
    trained on, the next calibrate, the last measure. A plan is selected by how much it gains on operator families that
    it has never seen. Where the calibrated model gains nothing on the last societies, it ships as abstaining.

    Args:
        society: recordings and truth files in turn.

    Raises:
        UsageError: too few societies, or a recording that cannot be used.
    """
    torch.set_num_threads(1)  # sums in another order would be another model
    own = list(zip((society or [])[::2], (society or [])[1::2], strict=True))
    if societies + len(own) < FEWEST:
        raise UsageError(f"{societies + len(own)} societies are too few: at least {FEWEST}")
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress, tempfile.TemporaryDirectory() as scratch:
        task = progress.add_task("graph", total=1.0)

        def say(what: str, share: float) -> None:
            progress.update(task, description=what, completed=share)

        gathered = gather_societies(
            work or Path(scratch), societies, own, models, seed, lambda what, share: say(what, 0.5 * share)
        )
        meta = train(gathered, out, seed, lambda what, share: say(what, 0.5 + 0.5 * share))
    screen = Console(width=140)
    for title, (header, lines) in (
        ("held-out societies", ablation_table(meta["report"]["test"])),
        ("operator families left out of training", family_table(meta["report"]["left_out"])),
    ):
        table = Table(title=title)
        for name in header:
            table.add_column(name)
        for line in lines:
            table.add_row(*line)
        screen.print(table)
    console.print(f"wrote {meta['name']}@{meta['version']} to {out}; abstains: {meta['abstains'] or 'no'}")
    return 0


def train(
    societies: Societies, out: Path, seed: int, say: ProgressCallback, *, plans: Sequence[TrainingPlan] = PLANS
) -> dict[str, Any]:
    """Select, fit, calibrate, measure and write; the meta of what was written.

    Args:
        societies: to train on, to calibrate with and to measure on.
        out: folder for weights and card.
        seed: of weights and draws.
        say: told what is done, and which share of it.
        plans: among which the best on operator families left out is taken.
    """
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
