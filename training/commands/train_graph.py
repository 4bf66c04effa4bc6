"""`swarmlight train graph`: the graph model, from randomised societies.

Societies are simulated and run through the system as subprocesses; --society adds recordings with truth of your own.
The first are trained on, the next calibrate, the last measure. A plan is selected by how much it gains on operator
families that it has never seen. Where the calibrated model gains nothing on the last societies, it ships as abstaining.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from detector.bundle import GRAPH
from detector.errors import UsageError
from training.graph_calibrate import DRAWS, calibration, judge
from training.graph_data import Example
from training.graph_fit import PLANS, Plan, fit
from training.graph_net import SageNet
from training.graph_report import ablation_table, acting_together, family_table, graph_card, left_out, measured
from training.graph_societies import Societies, gather
from training.societies import FAMILIES
from training.text import Say

SELECTION_EPOCHS: Final = 18
"""Epochs while plans are compared: half of what the shipped network gets."""

FOLDS: Final = 4
"""Parts into which operator families are cut, each left out in turn."""

FEWEST: Final = 4
"""Societies, at least: two to learn from, one to calibrate, one to measure."""


def command(argv: list[str]) -> int:
    """Run `swarmlight train graph ...`; the exit status."""
    given = _arguments(argv)
    torch.set_num_threads(1)  # sums in another order would be another model
    if given.societies + len(given.society) < FEWEST:
        raise UsageError(f"{given.societies + len(given.society)} societies are too few: at least {FEWEST}")
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress, tempfile.TemporaryDirectory() as scratch:
        task = progress.add_task("graph", total=1.0)

        def say(what: str, share: float) -> None:
            progress.update(task, description=what, completed=share)

        societies = gather(
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


def train(societies: Societies, out: Path, seed: int, say: Say, *, plans: Sequence[Plan] = PLANS) -> dict[str, Any]:
    """Select, fit, calibrate, measure and write; the meta of what was written."""
    present = sorted(
        {part for one in societies.train for part in np.unique(one.part[one.label == 1]).tolist()} & {*FAMILIES}
        or {part for one in societies.train for part in np.unique(one.part[one.label == 1]).tolist()}
    )
    folds = [present[k::FOLDS] for k in range(FOLDS) if present[k::FOLDS]]
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
    meta = net.save(out, knots, values, seed, abstains=abstains, report=report)
    (out / f"{GRAPH}.card.md").write_text(graph_card(meta), encoding="utf-8")
    return meta


def _names(examples: Sequence[Example]) -> list[str]:
    return sorted({one.society for one in examples})


def _last(examples: Sequence[Example], society: str) -> Example:
    return [one for one in examples if one.society == society][-1]


def _arguments(argv: list[str]) -> argparse.Namespace:
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
