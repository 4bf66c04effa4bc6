"""`swarmlight audit`: evidence against people and false flags, by language, dialect and native writing.

Single texts, and bags of ten texts of one group that stand for an account without times. The shipped text model has
learned from these sets that they are people's, so a group that stands out here stands out in spite of it; how people of
a source look to a model that has not seen it is in the model cards.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from detector.bundle import load_models
from training.audit import BAG, STRONG_NATS, audit, groups


def command(argv: list[str]) -> int:
    """Run `swarmlight audit ...`; the exit status."""
    given = _arguments(argv)
    models = load_models(given.models)
    models.thresholds.threshold(given.target_fpr)
    console = Console(stderr=True)
    found = [
        audit(group, models.text, models.account, models.thresholds, given.target_fpr, given.seed)
        for group in track(list(groups(given.data)), "auditing", console=console)
    ]
    found.sort(key=lambda record: -(record["passing"] or 0.0))
    _print(Console(width=150), found, given.target_fpr)
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def _print(out: Console, found: list[dict[str, Any]], target_fpr: float) -> None:
    table = Table(show_edge=False, pad_edge=False)
    for i, column in enumerate(
        (
            "people",
            "texts",
            "abstained",
            "mean LLR (nats)",
            f"texts above +{STRONG_NATS:g} nat (95%)",
            f"bags of {BAG}",
            f"bags passing at {target_fpr:g} (95%)",
            "flagging",
        )
    ):
        table.add_column(column, justify="left" if i == 0 else "right")
    for record in found:
        table.add_row(
            record["group"],
            str(record["texts"]),
            f"{100 * record['abstained']:.0f}%",
            "-" if record["mean_nats"] is None else f"{record['mean_nats']:+.2f}",
            _share(record["strong"], record["strong_95"]),
            str(record["bags"]),
            _share(record["passing"], record["passing_95"]),
            "on" if record["may_be_flagged"] else "off: language",
        )
    out.print(table)


def _share(value: float | None, spread: list[float]) -> str:
    return "-" if value is None else f"{100 * value:.1f}% ({100 * spread[0]:.1f} to {100 * spread[1]:.1f})"


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="swarmlight audit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with the text sets of people")
    parser.add_argument("--models", type=Path, metavar="DIR", help="models directory (the shipped one)")
    parser.add_argument("--target-fpr", type=float, default=0.01, help="whose threshold counts")
    parser.add_argument("--seed", type=int, default=0, help="of the bags")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    return parser.parse_args(argv)
