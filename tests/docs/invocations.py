"""Which command lines a test runs, read from its code: for pages' commands that are run by tests of other folders.

A test is named as pytest names it, `tests/folder/test_file.py::test_name`; where it leaves the command line to a helper
of another file, the helper follows, `tests/folder/file.py::Class.method`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final, TypeAlias

from tests.docs.commands import ROOT

RUNNERS: Final = frozenset({"invoke", "main", "run", "Popen"})
"""What runs a command line: the command's own functions, `subprocess`, and a fixture's method that calls it."""

Definition: TypeAlias = ast.FunctionDef | ast.ClassDef


@cache
def _definitions(path: Path) -> dict[str, Definition]:
    """Functions and classes of a file by name, methods as `Class.method` and by their own name."""
    found: dict[str, Definition] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            inside = {each.name: each for each in node.body if isinstance(each, ast.FunctionDef)}
            found |= inside | {f"{node.name}.{name}": each for name, each in inside.items()}
        if isinstance(node, Definition):
            found[node.name] = node
    return found


def _called(node: ast.AST) -> Iterator[str]:
    """Last names of what is called in `node`."""
    for each in ast.walk(node):
        if isinstance(each, ast.Call):
            if isinstance(each.func, ast.Name):
                yield each.func.id
            elif isinstance(each.func, ast.Attribute):
                yield each.func.attr


def _reached(path: Path, name: str) -> list[ast.AST]:
    """The function `name` of a file with what it calls of the same file, and what that calls."""
    there = _definitions(path)
    if name not in there:
        raise AssertionError(f"{path.relative_to(ROOT)} has no {name}")
    waiting, reached = [name], dict[str, ast.AST]()
    while waiting:
        one = waiting.pop()
        if one in there and one not in reached:
            reached[one] = there[one]
            waiting += _called(there[one])
    return list(reached.values())


def _words(node: ast.AST) -> Iterator[list[str | None]]:
    """Literal words of each list and call in `node`, in order; None for what is computed."""
    for each in ast.walk(node):
        parts = each.elts if isinstance(each, ast.List) else each.args if isinstance(each, ast.Call) else []
        yield [part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else None for part in parts]


def _stands(wanted: Sequence[str], words: Sequence[str | None]) -> bool:
    size = len(wanted)
    return any(list(words[start : start + size]) == list(wanted) for start in range(len(words) - size + 1))


def lacking(steps: Sequence[str], command: Sequence[str], options: Sequence[str]) -> str:
    """What the code of a test lacks to run a command; "" where it runs it.

    Args:
        steps: the test, and helpers in other files, each called by the one before it.
        command: subcommand and, where it has any, its own subcommand, such as `("train", "account")`; they have to
            stand together in one list or call.
        options: that have to stand in the code too.

    Raises:
        AssertionError: a file has no function of that name.
    """
    nodes: list[ast.AST] = []
    for number, step in enumerate(steps):
        place, _, name = step.partition("::")
        last = name.rpartition(".")[2]
        if number and last not in {called for node in nodes for called in _called(node)}:
            return f"{steps[number - 1]} does not call {last}"
        nodes = [*nodes, *_reached(ROOT / place, name)]
    if not any(_stands(command, words) for node in nodes for words in _words(node)):
        return f"{steps[-1]} has no command line with {' '.join(command)}"
    if not RUNNERS & {called for node in nodes for called in _called(node)}:
        return f"{steps[-1]} runs no command line"
    written = {word for node in nodes for words in _words(node) for word in words}
    missing = [option for option in options if option not in written]
    return f"{steps[-1]} does not give {', '.join(missing)}" if missing else ""
