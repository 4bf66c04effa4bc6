"""`swarmlight train text | account | graph | fusion`: each kind of model has a module of its own, named here."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from typing import Final

SUBCOMMANDS: Final[dict[str, tuple[str, str]]] = {
    "text": ("training.commands.train_text", "the cheap text model and the expert's head, from single posts"),
    "account": ("training.commands.train_account", "the account model, from bags of one author's readings"),
    "graph": ("training.commands.train_graph", "the graph model, from simulated societies"),
    "fusion": ("training.commands.train_fusion", "thresholds on held-out people's running maxima"),
}
"""Subcommand -> module with `command(argv: list[str]) -> int`, and what it trains. Add a line to add one."""


def command(argv: list[str]) -> int:
    """Run `swarmlight train WHAT ...`; the exit status."""
    parser = argparse.ArgumentParser(
        prog="swarmlight train",
        description="Train a model: weights (safetensors and JSON), a report, and a model card.",
        epilog="; ".join(f"{name}: {about}" for name, (_, about) in SUBCOMMANDS.items()),
    )
    parser.add_argument("what", choices=sorted(SUBCOMMANDS), help="which model")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help="its own arguments; WHAT --help lists them")
    given = parser.parse_args(argv)
    run: Callable[[list[str]], int] = import_module(SUBCOMMANDS[given.what][0]).command
    return run(given.rest)
