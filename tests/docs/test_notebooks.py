"""The notebooks of the documentation run from the first cell to the last, and are kept without what they printed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs.commands import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))

TIMEOUT_S = 900
"""Seconds for one cell, on a machine that does other things beside it."""


def executed(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The cells of a notebook after it ran in a folder of its own, with the `swarmlight` of this environment."""
    from nbclient import NotebookClient
    from nbformat.v4 import reads

    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    notebook: Any = reads(path.read_text(encoding="utf-8"))  # type: ignore[no-untyped-call]
    here = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=TIMEOUT_S, kernel_name="python3", resources=here).execute()
    cells: list[dict[str, Any]] = notebook["cells"]
    return cells


def shown(cells: list[dict[str, Any]]) -> str:
    """All that the cells printed and showed, as text."""
    found = [output for cell in cells for output in cell.get("outputs", [])]
    return "\n".join(str(each.get("text") or each.get("data", {}).get("text/plain", "")) for each in found)


def test_there_are_two_without_outputs() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["judge", "retrain"]
    for path in (NOTEBOOKS[0], NOTEBOOKS[1]):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        assert len(code) > 5
        assert [cell for cell in code if cell["outputs"] or cell["execution_count"]] == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_recording_is_judged_and_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = executed(NOTEBOOKS[0], tmp_path, monkeypatch)
    said = shown(cells)
    assert "texts too short" in said
    assert "auroc" in said
    assert "<main>" in (tmp_path / "found.html").read_text(encoding="utf-8")
    assert (tmp_path / "groups.graphml").read_text(encoding="utf-8").count("<node ") >= 3
    assert any("text/html" in output.get("data", {}) for output in cells[-7].get("outputs", []))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_models_are_trained_on_ones_own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = shown(executed(NOTEBOOKS[1], tmp_path, monkeypatch))
    assert said.count("auroc") >= 2
    assert "part-" in (tmp_path / "models" / "text.card.md").read_text(encoding="utf-8")
    assert (tmp_path / "models" / "thresholds.card.md").is_file()
