"""`swarmlight calibrate`: thresholds from your own people.

Every account of the recording is taken for a person. Give a few hundred whom you trust to be people, as they post on
your platform, in every language that you want accounts to be flagged in.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from rich.console import Console

from detector.bundle import SHIPPED
from detector.thresholds import NAME
from training.calibration import calibrate
from training.fusion import thresholds_card


def command(argv: list[str]) -> int:
    """Run `swarmlight calibrate ...`; the exit status."""
    given = _arguments(argv)
    console = Console(stderr=True)
    with console.status("running the system over your people"), tempfile.TemporaryDirectory() as work:
        recordings = {"people": (given.input, lambda name: True)}
        card = {"people": {"people": "people given to `swarmlight calibrate`"}}
        made = calibrate(given.models or SHIPPED, given.out, recordings, Path(work), card)
    (given.out / f"{NAME}.card.md").write_text(thresholds_card(made), encoding="utf-8")
    console.print(
        f"{made.people} people; finest target_fpr {made.finest_fpr:.4g}; horizon {made.horizon_posts} texts; "
        f"languages {', '.join(sorted(made.languages))}. Point [models] dir at {given.out} to use it."
    )
    return 0


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="swarmlight calibrate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--input", type=Path, required=True, metavar="PEOPLE.jsonl", help="recording of people's events"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="models directory to write")
    parser.add_argument("--models", type=Path, metavar="DIR", help="models to calibrate (the shipped ones)")
    return parser.parse_args(argv)
