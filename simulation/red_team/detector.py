"""The detector as its users run it: `swarmlight run` as a subprocess on a recording; what it said of every account."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from detector.errors import SwarmlightError
from simulation.inputs import lines_of


class Score(msgspec.Struct):
    """What is read of one line of scores."""

    account: str
    flagged: bool
    posts: int
    campaign: str | None
    group: str | None


@dataclass(frozen=True)
class Found:
    """What a run found: scores by account, and the versions of the models it ran with."""

    scores: dict[str, Score]
    models: dict[str, str]


def detect(events: Path, folder: Path, models: Path | None) -> Found:
    """Run the detector over `events`; its files go into `folder`.

    Args:
        models: bundle; the shipped one where None.

    Raises:
        SwarmlightError: the run failed.
    """
    scores, summary = folder / "scores.jsonl", folder / "summary.json"
    settings = {"SWARMLIGHT_MODELS__DIR": str(models)} if models is not None else {}
    clean = {key: value for key, value in os.environ.items() if not key.startswith("SWARMLIGHT_")}
    command = [sys.executable, "-m", "streaming", "run", "--input", str(events)]
    command += ["--scores", str(scores), "--summary", str(summary)]
    done = subprocess.run(  # noqa: S603 - our own interpreter and module, no shell
        command, env=clean | settings, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines()[-1:] or ["no message"])[0]
        raise SwarmlightError(f"swarmlight run on {events.name}: {said}; run it by itself to see more")
    decoder = msgspec.json.Decoder(Score)
    rows = [decoder.decode(line) for line in lines_of(scores)]
    told: dict[str, Any] = msgspec.json.decode(summary.read_bytes())
    return Found({row.account: row for row in rows}, {str(key): str(name) for key, name in told["models"].items()})
