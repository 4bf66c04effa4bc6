"""`swarmlight train text`: train, calibrate and describe the text models."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from detector.text.cheap import FILE
from detector.weights_io import save_weights
from training.cards import text_card
from training.report_text import report_table, text_report
from training.text import cheap_model, crossfit_path, crossfit_table, train_cheap, version_of


def command(argv: list[str]) -> int:
    """Run `swarmlight train text ...`; the exit status."""
    parser = argparse.ArgumentParser(prog="swarmlight train text", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the text sets (with text/NAME.parquet)")
    parser.add_argument("--out", type=Path, help="folder for text.safetensors, text.json and text.card.md")
    parser.add_argument("--exclude", action="append", default=[], metavar="SOURCE", help="set, cluster or source")
    parser.add_argument("--seed", type=int, default=0, help="which rows capped sources keep; bootstrap draws")
    parser.add_argument("--cache", type=Path, default=Path("build/crossfit"), help="folder for cross-fitted scores")
    parser.add_argument(
        "--report",
        choices=["leave-one-source-out"],
        help="print how each source is told apart when it was left out, instead of writing weights",
    )
    given = parser.parse_args(argv)
    if given.out is None and given.report is None:
        parser.error("give --out DIR for the weights, or --report leave-one-source-out")

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("training", total=1.0)
        trained = train_cheap(
            given.data,
            exclude=given.exclude,
            seed=given.seed,
            say=lambda what, share: progress.update(task, description=what, completed=share),
        )
        model = cheap_model(trained)
        crossed = crossfit_table(trained, model)
        report = text_report(trained, crossed, seed=given.seed)
        progress.update(task, description="done", completed=1.0)
    given.cache.mkdir(parents=True, exist_ok=True)
    crossed.to_parquet(crossfit_path(given.cache, given.exclude, given.seed))
    Console().print(report_table(report))
    if given.out is not None:
        meta: dict[str, Any] = {
            "name": model.name,
            "version": version_of(trained.arrays),
            "languages": dict(trained.calibrator.groups),
            "excluded": sorted(given.exclude),
            "seed": given.seed,
            "report": report,
        }
        save_weights(given.out / FILE, trained.arrays, meta)
        (given.out / f"{FILE}.card.md").write_text(text_card(meta), encoding="utf-8")
        (given.out / f"{FILE}.report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        console.print(f"wrote {FILE}.safetensors, {FILE}.json, {FILE}.report.json and {FILE}.card.md to {given.out}")
    return 0
