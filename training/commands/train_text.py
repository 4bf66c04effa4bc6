"""`swarmlight train text`: train, calibrate and describe the text models."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Final

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from detector.text import cheap, minilm
from detector.weights_io import save_weights
from training.cards import expert_card, text_card
from training.expert import TrainedExpert, train_expert
from training.named_expert import calibrate_named
from training.report_text import expert_report, report_table, text_report
from training.text import Say, cheap_model, crossfit_path, crossfit_table, train_cheap, version_of

WIDTH: Final = 150
"""Columns of the printed table: sources, and a measure with its interval for each model."""


def command(argv: list[str]) -> int:
    """Run `swarmlight train text ...`; the exit status."""
    given = _arguments(argv)
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
    _write(given.out, cheap.FILE, trained.arrays, meta, text_card(meta))
    if expert:
        meta = {"name": "minilm", **common, **expert.meta, "version": version_of(expert.arrays), "report": full}
        _write(given.out, minilm.FILE, expert.arrays, meta, expert_card(meta))
    console.print(f"wrote weights, reports and cards to {given.out}")
    return 0


def _expert(given: argparse.Namespace, crossed: pd.DataFrame, say: Say) -> TrainedExpert | None:
    if given.no_expert:
        return None
    if given.expert:
        return calibrate_named(crossed, given.expert, machine_label=given.machine_label, say=say)
    return train_expert(crossed, given.cache, say=say)


def _arguments(argv: list[str]) -> argparse.Namespace:
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
