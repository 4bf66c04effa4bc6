"""The whole system as a subprocess: `swarmlight run` with a models directory, for calibration and evaluation."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from detector.account import model as account_files
from detector.errors import SwarmlightError, UsageError
from detector.models import GRAPH
from detector.text import first_stage, second_stage
from detector.thresholds import NAME as THRESHOLDS

PARTS_OF_A_BUNDLE: Final = (first_stage.FILE, second_stage.FILE, account_files.NAME, GRAPH, THRESHOLDS)
"""Stems of the files of a models directory."""

_SUFFIXES: Final = (".safetensors", ".json", ".card.md")


def copy_parts(source: Path, target: Path, stems: Sequence[str]) -> None:
    """Copy the files of `stems` that are in `source` into `target`, which is made."""
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
    target_fpr: float | None = None,
) -> None:
    """Run `swarmlight run` over `inputs` to its end.

    Args:
        inputs: recordings.
        models: directory with text, account, thresholds and perhaps expert.
        scores, trajectories: where to write them.
        without: parts to leave out.
        target_fpr: over the configuration's; None leaves that.

    Raises:
        UsageError: the run ended with status 2; its message is passed on.
        SwarmlightError: it failed otherwise.
    """
    command = [sys.executable, "-m", "streaming", "run", "--input", *map(str, inputs)]
    for name, path in (("--scores", scores), ("--trajectories", trajectories)):
        if path is not None:
            command += [name, str(path)]
    if without:
        command += ["--without", *without]
    settings = {"SWARMLIGHT_MODELS__DIR": str(models)}
    if target_fpr is not None:
        settings["SWARMLIGHT_TARGET_FPR"] = repr(target_fpr)
    done = subprocess.run(  # noqa: S603 - our own interpreter and module, no shell
        command, env={**clean_environment(), **settings}, stderr=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        error = UsageError if done.returncode == _USAGE else SwarmlightError
        raise error(f"swarmlight run on {', '.join(map(str, inputs))}: {last_line(done.stderr)}")


_USAGE: Final = 2


def clean_environment() -> Mapping[str, str]:
    """This process's environment without the settings of a deployment, on which no figure may depend."""
    return {key: value for key, value in os.environ.items() if not key.startswith("SWARMLIGHT_")}


def last_line(message: str) -> str:
    """What a process said last."""
    return (message.strip().splitlines()[-1:] or ["no message"])[0]


def read_lines(path: Path) -> list[Any]:
    """The JSON values of a file, one a line.

    Raises:
        UsageError: the file cannot be read or is not of that form.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            return [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error
