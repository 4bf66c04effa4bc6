"""Extension points: what installed packages add to Swarmlight through entry points.

A package names a Python object under one of the groups below in its `pyproject.toml`; Swarmlight finds it by name and
imports it when it is used, and not before. Swarmlight's own input formats, outputs, models, trace kinds and commands
are entry points of the same groups. docs/how-to/ has a page with a working example for each of them.
"""

from __future__ import annotations

import difflib
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from detector.errors import SwarmlightError, UsageError

COMMANDS: Final = "swarmlight.commands"
"""Subcommands of `swarmlight`: a Typer app, or a function that Typer can make a command of."""

SOURCES: Final = "swarmlight.sources"
"""Input formats: a `streaming.sources.base.SourceFormat`."""

SINKS: Final = "swarmlight.sinks"
"""Where alerts go: a `streaming.sinks.base.SinkFactory`."""

TEXT_MODELS: Final = "swarmlight.text_models"
"""Second-stage text models: a `detector.models.TextModelLoader`."""

TRACES: Final = "swarmlight.traces"
"""Kinds of traces that accounts leave on shared objects: a `TraceKind` of `graph.traces`."""

_WORDS: Final = {
    COMMANDS: "command",
    SOURCES: "input format",
    SINKS: "sink",
    TEXT_MODELS: "text model",
    TRACES: "trace",
}
"""What one of a group is called in messages."""


def installed(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group by name, in the order of their names; nothing is imported.

    Raises:
        UsageError: two packages install different things under one name.
    """
    found: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=group), key=lambda each: each.name):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise UsageError(
                f"two packages install the {_WORDS.get(group, group)} {entry.name!a}: {package(other)} "
                f"({other.value}) and {package(entry)} ({entry.value}); uninstall one of them"
            )
    return found


def package(entry: EntryPoint) -> str:
    """The name of the package that an entry point comes from."""
    return entry.dist.name if entry.dist is not None else "?"


def load(group: str, name: str) -> Any:
    """Import what is installed under `name`.

    Raises:
        UsageError: nothing is; the message names the nearest, or all there is.
        SwarmlightError: it cannot be imported.
    """
    known = installed(group)
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        there_is = f"did you mean {close[0]}?" if close else f"installed are {', '.join(known) or 'none'}"
        raise UsageError(
            f"no {_WORDS.get(group, group)} {name!a}: {there_is} (a package adds one by an entry point of the group "
            f"{group!r}; after a change of pyproject.toml, install the package again)"
        )
    return load_entry(known[name])


def load_entry(entry: EntryPoint) -> Any:
    """Import what an entry point names.

    Raises:
        SwarmlightError: it cannot be imported; the message says which package is at fault.
    """
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        raise SwarmlightError(
            f"{entry.name!a} of package {package(entry)} cannot be imported from {entry.value}: {error}; "
            "install what it needs, or uninstall it"
        ) from error
