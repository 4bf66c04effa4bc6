"""Societies to learn the graph model from: randomised, made by the simulator, run through the system for its graphs.

The simulator and the system run as subprocesses, as their users run them; this folder imports neither. Operators are
drawn from tactic families with random strength, and every campaign has its organic twin in the truth.
"""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from detector.errors import SwarmlightError, UsageError
from training.system import clean_environment, last_line

FAMILIES: Final[Mapping[str, str]] = {
    "waves": 'cadence = "waves", goals = ["link", "tag", "swarm"]',
    "links": 'cadence = "waves", goals = ["link"]',
    "drip": 'cadence = "drip", goals = ["link", "tag"]',
    "jitter": 'cadence = "jitter", goals = ["link", "swarm"]',
    "copied-times": 'cadence = "copied", goals = ["link", "swarm"]',
    "reply-swarm": 'cadence = "waves", goals = ["swarm"]',
    "amplify": 'cadence = "jitter", goals = ["amplify", "link"], clique = 0.6',
    "hijack": 'cadence = "drip", goals = ["tag", "swarm"], hijack = 1.0',
}
"""Tactics of a family, to which strength is added."""

FAMILIES_EACH: Final = 4
"""Families in one society."""

ACCOUNTS: Final = (1500, 3000)
DAYS: Final = (1.75, 2.5)
MACHINES: Final = (0.06, 0.14)
TASKS_PER_DAY: Final = (3.0, 9.0)
JOINT: Final = (0.4, 0.85)
LAG_S: Final = (300.0, 2400.0)
"""Ranges of what is drawn: from operators who meet a few times in two days to ones who hardly do anything else."""

CROWDS: Final = ("news", "fandom", "activists", "giveaway", "live_event", "friends")
CROWD_SHARE: Final = (0.01, 0.06)
"""Organic crowds whose share of the accounts is drawn: people who look coordinated are no rarity."""

TICK_S: Final = 14_400
"""Campaign ticks of these runs: four hours in place of ten minutes make a run five times shorter, and groups that are
proposed and bet on a little less often."""

BLOCK_MS: Final = 6 * 3_600_000
"""Within such a block and kind `shuffled` exchanges accounts: activity and popularity stay as they were."""


def society_toml(
    rng: np.random.Generator,
    families: Sequence[str] | None = None,
    sizes: tuple[int, int] = ACCOUNTS,
    texts: str = "none",
) -> str:
    """A random `society.toml`.

    Args:
        families: of its operators; `FAMILIES_EACH` random ones where None.
        sizes: bounds of its accounts.
        texts: source of people's and machines' texts.
    """

    def between(bounds: tuple[float, float]) -> float:
        return float(np.exp(rng.uniform(*np.log(bounds))))

    accounts = int(between(sizes))
    machines = rng.uniform(*MACHINES)
    lines = [
        f"accounts = {accounts}", f"days = {rng.uniform(*DAYS):.3f}", f"machines = {machines:.4f}",
        f"campaigns = {int(rng.integers(6, 13))}", "[texts]", f'people = "{texts}"', f'machines = "{texts}"',
        "[news]", f"per_day = {rng.uniform(1, 6):.2f}",
    ]  # fmt: skip
    for crowd in CROWDS:
        lines += [f"[lookalikes.{crowd}]", f"share = {between(CROWD_SHARE):.4f}"]
    drawn = rng.choice(sorted(FAMILIES), FAMILIES_EACH, replace=False).tolist()
    for name in sorted(drawn if families is None else families):
        strength = (
            f"tasks_per_day = {between(TASKS_PER_DAY):.2f}, joint = {rng.uniform(*JOINT):.3f}, "
            f"lag_s = {between(LAG_S):.0f}"
        )
        lines += [
            "[[operators]]", f'name = "{name}"', f"size = [4, {int(rng.integers(20, 90))}]",
            f"tactics = {{ {FAMILIES[name]}, {strength} }}",
        ]  # fmt: skip
    return "\n".join(lines) + "\n"


def simulate(toml: str, seed: int, events: Path, truth: Path) -> None:
    """Simulate a society into a recording and its truth.

    Raises:
        SwarmlightError: the simulator failed.
    """
    config = events.with_suffix(".toml")
    config.write_text(toml, encoding="utf-8")
    _run(["simulate", "--config", str(config), "--events", str(events), "--truth", str(truth), "--seed", str(seed)], {})


def account_graphs(events: Path, out: Path, models: Path | None, *, coordination: bool) -> None:
    """Run the system over a recording and keep what the graph model sees, in `out`.

    Args:
        models: bundle; the shipped one where None.
        coordination: whether groups are tested, which takes several times as long; else the graphs have no groups.
    """
    shutil.rmtree(out, ignore_errors=True)
    settings = {"SWARMLIGHT_CAMPAIGN_TICK_S": str(TICK_S)}
    if models is not None:
        settings["SWARMLIGHT_MODELS__DIR"] = str(models)
    without = ["text", "graph"] if coordination else ["text", "graph", "coordination"]
    _run(["run", "--input", str(events), "--without", *without, "--account-graphs", str(out)], settings)


def _run(arguments: list[str], settings: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", "streaming", *arguments]
    done = subprocess.run(  # noqa: S603 - our own interpreter and module, no shell
        command, env={**clean_environment(), **settings}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SwarmlightError(f"swarmlight {arguments[0]} for a training society: {last_line(done.stderr)}")


def shuffled(events: Path, out: Path, seed: int) -> None:
    """A recording in which accounts have exchanged what they did within blocks of time and kinds.

    Everybody does as much of each kind in each block, every object is touched at the same times, and who acts with
    whom is chance: a graph model that still gains anything has learned something else.

    Raises:
        UsageError: the recording cannot be read.
    """
    rng = np.random.default_rng(seed)
    rows = read_events(events)
    blocks: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        blocks[str(row["kind"]), at_ms(row["at"]) // BLOCK_MS].append(i)
    names = [row["account"] for row in rows]
    profiles = [row.get("profile") for row in rows]
    for places in blocks.values():
        for place, other in zip(places, rng.permutation(places).tolist(), strict=True):
            rows[place]["account"] = names[other]
            if profiles[other] is not None:
                rows[place]["profile"] = profiles[other]
    with out.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")


def read_events(events: Path) -> list[dict[str, Any]]:
    """The records of a recording (plain or gzip).

    Raises:
        UsageError: it cannot be read.
    """
    try:
        with gzip.open(events, "rt") if events.suffix == ".gz" else events.open(encoding="utf-8") as file:
            return [json.loads(line) for line in file]
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {events}: {error}") from error


def at_ms(at: int | str) -> int:
    """A time in events, ms since 1970 or RFC 3339, in ms."""
    return at if isinstance(at, int) else int(datetime.fromisoformat(at).timestamp() * 1000)
