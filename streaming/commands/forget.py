"""`swarmlight forget ACCOUNT`: remove everything that is kept of an account."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from streaming.config import load_config
from streaming.kafka.forgetting import forget


def command(argv: list[str]) -> int:
    """Write the event that does it, and say what only retention can remove. Exit status 0."""
    parser = argparse.ArgumentParser(
        prog="swarmlight forget",
        description="Remove everything that is kept of an account: state, alerts, scores. The request goes into the "
        "stream as a delete_account event, so that every replay forgets as well.",
    )
    parser.add_argument("account", metavar="ACCOUNT", help="name of the account, as events have it")
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file; environment variables win over it")
    arguments = parser.parse_args(argv)
    for line in forget(load_config(arguments.config, os.environ), arguments.account):
        print(line)
    return 0
