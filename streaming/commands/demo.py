"""`swarmlight demo`: a small broker, real people, planted campaigns, and what the worker says about them."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Final

from detector.errors import UsageError

SECONDS: Final = 45.0
"""In which the stream's two days are played: slow enough to watch, and campaigns come well within a minute."""


def command(argv: list[str]) -> int:
    """Run the demo, or write its stream. Exit status 0; 130 when interrupted."""
    parser = argparse.ArgumentParser(
        prog="swarmlight demo",
        description="Start a small Kafka broker, play two days of posts into it, show the campaigns that are caught. "
        "People are real (package chitchat-dataset, people kept for this), planted accounts were written for it.",
    )
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help=f"time to play two days in (default {SECONDS:g})"
    )
    parser.add_argument("--seed", type=int, default=0, help="another stream of the same make (default 0)")
    parser.add_argument("--no-wait", action="store_true", help="end when all is played, do not wait for Ctrl-C")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the stream and FILE.truth, play nothing")
    options = parser.parse_args(argv)
    if not 5 <= options.seconds <= 86_400:
        raise UsageError(f"--seconds {options.seconds:g}: give 5 to 86400")
    if options.seed < 0:
        raise UsageError(f"--seed {options.seed}: give 0 or more")
    if options.write is not None:
        return _write(options.write, options.seed)
    from streaming.demo.show import Show, console

    return Show(options.seconds, options.seed, not options.no_wait, os.environ, console()).run()


def _write(path: Path, seed: int) -> int:
    from streaming.demo.cast import people, planted
    from streaming.demo.stream import build

    stream = build(people(seed), planted(), seed)
    truth = Path(f"{path}.truth")
    try:
        for target, rows in ((path, stream.events), (truth, stream.truth)):
            with target.open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be written: {error.strerror}") from None
    print(f"{len(stream.events)} events in {path}, {len(stream.truth)} accounts in {truth}", file=sys.stderr)
    return 0
