"""`swarmlight worker`: the long-running process over Kafka; any number of them."""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
from pathlib import Path

from detector.errors import UsageError
from streaming import logs
from streaming.config import load_config
from streaming.kafka.worker import shipped, work


def command(argv: list[str]) -> int:
    """Run the worker.

    Raises:
        UsageError: unusable arguments.
    """
    parser = argparse.ArgumentParser(
        prog="swarmlight worker",
        description="Reads events from Kafka and writes alerts to Kafka. Start as many as you like: they share the "
        "partitions of `posts` among them, and one of them decides.",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file; environment variables win over it")
    parser.add_argument(
        "--stage",
        choices=("all", "score", "assess"),
        default="all",
        help="score: only read posts; assess: only decide, or stand by (default: all)",
    )
    parser.add_argument(
        "--exit-when-idle",
        type=float,
        metavar="SECONDS",
        help="the topic is bounded: close it once everything was read and nothing more came for SECONDS, and exit 0",
    )
    arguments = parser.parse_args(argv)
    exit_s: float | None = arguments.exit_when_idle
    if exit_s is not None and not (math.isfinite(exit_s) and exit_s >= 0):
        raise UsageError("--exit-when-idle takes a number of seconds, 0 or more")
    # Until the loops run there is nothing to finish; they install handlers of their own.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    config = load_config(arguments.config, os.environ)
    logs.configure(config.log)
    work(config, arguments.stage, exit_s, shipped(config))
    return 0
