"""`swarmlight train fusion`: thresholds on the whole system's totals of people who had no part in training."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from rich.console import Console

from detector.bundle import SHIPPED
from training.fusion import shipped_thresholds
from training.text import crossfit


def command(argv: list[str]) -> int:
    """Run `swarmlight train fusion ...`; the exit status."""
    given = _arguments(argv)
    console = Console(stderr=True)
    with console.status("running the system over the calibration people"), tempfile.TemporaryDirectory() as work:
        table = crossfit(given.data, given.cache, exclude=given.exclude, seed=given.seed)
        made = shipped_thresholds(given.data, given.models or SHIPPED, given.out, Path(work), table)
    console.print(f"wrote thresholds of {made.people} people to {given.out}; horizon {made.horizon_posts} texts")
    return 0


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="swarmlight train fusion", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with text/ and streams/")
    parser.add_argument("--out", type=Path, required=True, help="folder for the whole bundle with its thresholds")
    parser.add_argument("--models", type=Path, help="folder of text, expert and account (the shipped ones)")
    parser.add_argument("--exclude", action="append", default=[], metavar="SOURCE", help="as in train text")
    parser.add_argument("--seed", type=int, default=0, help="as in train text")
    parser.add_argument("--cache", type=Path, default=Path("build/crossfit"), help="folder for cross-fitted scores")
    return parser.parse_args(argv)
