"""`python -m tests.figures`: how large the house is, and how much of it has one name.

The figures of docs/explanation/architecture.md.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

FOLDERS = ("detector", "graph", "streaming", "moderation", "simulation", "training", "swarmlight")

FEW = 3
"""Parameters from which a public function documents each of them."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules(root: Path = ROOT) -> list[Path]:
    """The modules of the product, the `__init__` of packages among them."""
    return sorted(path for folder in FOLDERS for path in (root / folder).rglob("*.py"))


def twice(names: Iterator[str]) -> int:
    """How many of these names come more than once."""
    return sum(count > 1 for count in Counter(names).values())


def public_functions(tree: ast.Module) -> Iterator[Function]:
    """Functions, and methods of classes, whose names have no underscore before them."""
    for outer in ast.walk(tree):
        if isinstance(outer, ast.Module | ast.ClassDef) and not getattr(outer, "name", "").startswith("_"):
            yield from (node for node in outer.body if isinstance(node, Function) and not node.name.startswith("_"))


def undocumented(function: Function) -> bool:
    """Whether it takes `FEW` parameters or more and says nothing of them under `Args:`."""
    given = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    many = len([each for each in given if each.arg not in {"self", "cls"}]) >= FEW
    return many and "Args:" not in (ast.get_docstring(function) or "")


def figures(root: Path = ROOT) -> dict[str, int]:
    """What is counted -> how much of it there is.

    Args:
        root: of the checkout.
    """
    paths = modules(root)
    texts = [path.read_text(encoding="utf-8") for path in paths]
    trees = [ast.parse(text) for text in texts]
    ideas = [path for path in paths if path.stem not in {"__init__", "__main__"}]
    lines = [len(text.splitlines()) for text in texts]
    return {
        "modules": len(paths),
        "lines": sum(lines),
        "modules over 500 lines": sum(number > 500 for number in lines),
        "file names used twice": twice(path.stem for path in ideas),
        "class names used twice": twice(
            node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
        ),
        "public functions": sum(1 for tree in trees for _ in public_functions(tree)),
        "public functions whose three or more parameters are undocumented": sum(
            undocumented(each) for tree in trees for each in public_functions(tree)
        ),
    }


if __name__ == "__main__":
    for what, number in figures().items():
        print(f"{number:>7,}  {what}")
