"""`swarmlight train account`: learn the account model from bags of cross-fitted readings and from real accounts."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from detector.account import model as account_files
from detector.account.model import BEHAVIOUR_LIMIT_NATS, AccountModel
from detector.bundle import load_readers
from training.account import BOOST, FOLDS, Learning, calibrated, fit_behaviour, fit_text, out_of_fold
from training.account_report import account_card, account_report
from training.learning import Readers, gather
from training.text import Say, quiet, version_of


def command(argv: list[str]) -> int:
    """Run `swarmlight train account ...`; the exit status."""
    given = _arguments(argv)
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
    rows: Learning, readers: dict[str, str], *, seed: int = 0, folds: int = FOLDS, say: Say = quiet
) -> AccountModel:
    """The account model learned from `rows`, with its report.

    Args:
        rows: from `training.learning.gather`.
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


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="swarmlight train account", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with text/ and streams/")
    parser.add_argument("--out", type=Path, required=True, help="folder for account.*: weights, report, card")
    parser.add_argument("--models", type=Path, help="folder of the text models, trained with the same --exclude")
    parser.add_argument("--exclude", action="append", default=[], metavar="SOURCE", help="set, cluster or source")
    parser.add_argument("--without-stream", action="store_true", help="learn from no machine of the labelled stream")
    parser.add_argument("--seed", type=int, default=0, help="of bags, capped sources and boosting")
    parser.add_argument("--cache", type=Path, default=Path("build/crossfit"), help="folder for cross-fitted scores")
    return parser.parse_args(argv)
