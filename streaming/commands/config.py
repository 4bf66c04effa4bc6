"""`swarmlight config`: every key with its value, default and reason, as a file that can be loaded again."""

from __future__ import annotations

import argparse
import json
import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

from msgspec import Meta

from streaming.config import Config, load_config, variable
from streaming.settings import Key, keys

WIDTH: Final = 110
"""Columns of a comment."""


def command(argv: list[str]) -> int:
    """Print the configuration that `--config FILE` and the environment make. Exit status 0."""
    parser = argparse.ArgumentParser(
        prog="swarmlight config",
        description="Print all keys with their values, defaults and reasons, as a TOML file that can be loaded again.",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="start from this file instead of the defaults")
    options = parser.parse_args(argv)
    sys.stdout.write(render(load_config(options.config, os.environ)))
    return 0


def render(config: Config) -> str:
    """The whole configuration as TOML. Secrets are not keys, so none can be in it."""
    lines = ["# Swarmlight's configuration. Each key can also be set by the variable named above it, which wins."]
    section = ""
    for key in keys():
        if key.section != section:
            section = key.section
            lines += ["", f"[{section}]"]
        lines += ["", *_comment(key), f"{key.name} = {_toml(_value(config, key))}"]
    return "\n".join(lines) + "\n"


def _value(config: Config, key: Key) -> Any:
    return getattr(getattr(config, key.section) if key.section else config, key.name)


def _comment(key: Key) -> Iterator[str]:
    for line in textwrap.wrap(key.reason[0].upper() + key.reason[1:] + ".", WIDTH):
        yield f"# {line}"
    yield f"# {variable(key)}; default {_toml(key.default)}{_range(key)}"


def _range(key: Key) -> str:
    """The values a key may take, in words, or nothing where any will do."""
    kind, *metas = get_args(key.type)
    choices = get_args(kind)
    if choices:
        return "; one of " + ", ".join(_toml(choice) for choice in choices)
    parts = []
    for meta in metas:
        if isinstance(meta, Meta):
            bounds = (("above", meta.gt), ("at least", meta.ge), ("below", meta.lt), ("at most", meta.le))
            parts += [f"{word} {bound}" for word, bound in bounds if bound is not None]
    return "; " + ", ".join(parts) if parts else ""


def _toml(value: Any) -> str:
    """A value in TOML; JSON's strings and numbers are TOML's."""
    return json.dumps(value)
