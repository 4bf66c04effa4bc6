"""`swarmlight dlq`: look at dead letters, count them by problem, and send their records to `posts` again."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streaming.config import Config, load_config
from streaming.dlq import Letter, Tally, letters
from streaming.sources import Inputs

if TYPE_CHECKING:
    from streaming.kafka.replay import Replay

SHOWN: Final = 20
"""Letters printed unless asked for more: a screen."""


def command(argv: list[str]) -> int:
    """Print letters and a count by problem; with `--replay`, send their records again. Exit status 0."""
    parser = argparse.ArgumentParser(
        prog="swarmlight dlq",
        description="Look at dead letters: records that are no post event, with the field and the reason.",
        epilog="With --replay the original bytes go to the topic posts once more, for instance when events came before "
        "their time. Records over 4 KiB are not kept whole and cannot be sent. Events older than the allowed "
        "lateness will be late: what has to be repaired first is repaired where the events are made.",
    )
    parser.add_argument(
        "--input",
        type=Path,
        metavar="FILE",
        help="a file written by run --dead-letters (default: the topic dead-letters)",
    )
    parser.add_argument(
        "--field", metavar="NAME", help="only letters about this field; 'record' for the record as a whole"
    )
    parser.add_argument(
        "--limit", type=int, default=SHOWN, metavar="N", help=f"letters to print (default {SHOWN}; all are counted)"
    )
    parser.add_argument("--replay", action="store_true", help="send the records to posts again")
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration file")
    options = parser.parse_args(argv)
    config = load_config(options.config, os.environ)
    with ExitStack() as stack:
        replay: Replay | None = None
        if options.replay:
            from streaming.kafka.replay import Replay

            replay = stack.enter_context(Replay(config.kafka))
        tally = Tally()
        for letter in _letters(options.input, config, stack):
            if options.field is not None and options.field != (letter.field or "record"):
                continue
            tally.add(letter)
            if tally.letters <= options.limit:
                print(letter.line())
            if replay is not None:
                replay.send(letter.record())
        if replay is not None:
            replay.finish()
            print(f"{replay.sent} records sent to {replay.topic} again, {replay.incomplete} not kept whole")
    for line in tally.lines():
        print(line, file=sys.stderr)
    return 0


def _letters(path: Path | None, config: Config, stack: ExitStack) -> Iterator[Letter]:
    if path is not None:
        inputs = stack.enter_context(Inputs([path]))
        return letters((record.source, record.value) for record in inputs)
    from streaming.kafka.replay import dead_letters

    return letters(dead_letters(config.kafka))
