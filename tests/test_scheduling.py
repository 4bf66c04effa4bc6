"""Tests that share the broker run in one process, and no others do."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.scheduling import KAFKA, NEED_NO_BROKER, group

ROOT = Path(__file__).resolve().parent.parent
BROKERS = {"broker", "apache", "home", "deployment", "kafka"}
"""Fixtures that begin a broker."""


def asks_for_a_broker(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    return any(each.arg in BROKERS for function in functions for each in function.args.args)


def test_files_that_need_no_broker_ask_for_none_and_all_others_share_it() -> None:
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / KAFKA).glob("test_*.py")}
    assert len(files) > len(NEED_NO_BROKER) > 0
    assert files >= NEED_NO_BROKER
    for name in sorted(files):
        needs = asks_for_a_broker(ROOT / name)
        assert (group(f"{name}::test_x") == KAFKA) == needs, name
    assert group("tests/streaming/test_run.py::test_x") == "tests/streaming/test_run.py"
