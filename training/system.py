"""The whole system over recordings, with a models directory, for calibration and evaluation.

`run_system` is `swarmlight run` in this process; `copy_models` puts models directories together; `read_lines` reads
what a run wrote.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from detector.account import model as account_files
from detector.component_weights import NAME as DECISIONS
from detector.errors import UsageError
from detector.models import GRAPH
from detector.text import first_stage, second_stage
from detector.thresholds import NAME as THRESHOLDS
from streaming.config import load_config
from streaming.pipeline import run_recording

BUNDLE_FILES: Final = (
    first_stage.FILE, first_stage.FAMILIES, second_stage.FILE, account_files.NAME, GRAPH, THRESHOLDS, DECISIONS,
)  # fmt: skip
"""Stems of the files of a models directory."""

_SUFFIXES: Final = (".safetensors", ".json", ".card.md")


def copy_models(source: Path, target: Path, stems: Sequence[str]) -> None:
    """Copy the files of some models from one models directory into another.

    Args:
        source: models directory.
        target: made where it is not there yet; nothing is copied onto itself.
        stems: names of the models' files without suffix; what `source` lacks is left out.
    """
    target.mkdir(parents=True, exist_ok=True)
    if source.resolve() == target.resolve():
        return
    for stem in stems:
        for suffix in _SUFFIXES:
            if (source / f"{stem}{suffix}").exists():
                shutil.copyfile(source / f"{stem}{suffix}", target / f"{stem}{suffix}")


def run_system(
    inputs: Sequence[Path],
    models: Path,
    *,
    scores: Path | None = None,
    trajectories: Path | None = None,
    without: Sequence[str] = (),
    settings: Mapping[str, str] | None = None,
) -> None:
    """Run recordings through the whole system to their end, the texts of long ones read on all cores.

    No figure depends on the settings of a deployment: the environment of this process is not read.

    Args:
        inputs: recordings.
        models: directory with text, account, thresholds and perhaps a second stage and a graph model.
        scores: file for one line per account.
        trajectories: file for every total that was held against the threshold.
        without: components to leave out.
        settings: configuration values under the names of their environment variables; the defaults otherwise.

    Raises:
        UsageError: a recording cannot be read, or a file cannot be written.
        ModelError: the models cannot be used.
    """
    run_recording(
        inputs,
        config=load_config(None, settings or {}),
        models=models,
        without=without,
        scores=scores,
        trajectories=trajectories,
        keep=False,
        processes=None,
    )


def read_lines(path: Path) -> list[Any]:
    """The JSON values of a file, one a line.

    Raises:
        UsageError: the file cannot be read or is not of that form.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            return [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {error}; write it again") from error
