"""What the graph model is trained on: account graphs of simulated societies with their truth.

Societies are randomised (operators drawn from tactic families with random strength; every campaign has its organic
matched control in the truth), made by the simulator and run through the system, which writes the graphs. Text evidence
is drawn, since societies have no texts of their own. `gather_societies` makes them, keeps them in a work folder, and
sorts them by what they are for: training, calibration, test.
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from detector.errors import UsageError
from detector.models import SHIPPED
from detector.times import parse_time
from detector.weights_io import load_weights
from graph.account_graph import AccountGraph, within_stratum_rank
from graph.coordination import coordination_components
from graph.traces import HOUR_MS
from simulation.files import parse as parse_society
from simulation.files import written
from simulation.redteam.measure import record
from streaming.sources.files import Inputs
from training.account_data import read_truth
from training.drawn_evidence import drawn_llr
from training.system import run_system
from training.text import ProgressCallback

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

    Args:
        toml: the society, as `swarmlight simulate --config` takes it.
        seed: of the simulation.
        events: recording to write.
        truth: file to write, one line an account.

    Raises:
        SwarmlightError: the society cannot be simulated, or a file cannot be written.
    """
    made = record(parse_society(toml, "a training society"), seed, events)
    with written(truth) as file:
        for row in made.truth:
            file.write(msgspec.json.encode(row) + b"\n")


def account_graphs(events: Path, out: Path, models: Path | None, *, coordination: bool) -> None:
    """Run the system over a recording and keep what the graph model sees.

    Args:
        events: the recording.
        out: folder for the graphs; what is in it is removed.
        models: bundle; the shipped one where None.
        coordination: whether groups are tested, which takes several times as long; else the graphs have no groups.
    """
    shutil.rmtree(out, ignore_errors=True)
    run_system(
        [events],
        models or SHIPPED,
        account_graphs=out,
        without=["text", "graph"] if coordination else ["text", "graph", "coordination"],
        settings={"SWARMLIGHT_CAMPAIGN_TICK_S": str(TICK_S)},
    )


def shuffled(events: Path, out: Path, seed: int) -> None:
    """A recording in which accounts have exchanged what they did within blocks of time and kinds.

    Everybody does as much of each kind in each block, every object is acted on at the same times, and who acts with
    whom is chance: a graph model that still gains anything has learned something else.

    Args:
        events: the recording.
        out: the recording to write.
        seed: of the exchange.

    Raises:
        UsageError: the recording cannot be read.
    """
    rng = np.random.default_rng(seed)
    with Inputs([events]) as records:
        try:
            rows = [json.loads(one.value) for one in records]
        except ValueError as error:
            raise UsageError(f"{events} cannot be shuffled, a line is no JSON: {error}") from error
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


def at_ms(at: int | str) -> int:
    """A time of a truth file or an event, ms since 1970 or RFC 3339, in ms.

    Raises:
        UsageError: it is neither.
    """
    time = at if isinstance(at, int) else parse_time(at)
    if time is None:
        raise UsageError(f"{at!a} is no time of RFC 3339 with offset, such as 2026-01-31T08:00:00Z")
    return time


Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Example:
    """One graph of a society with the truth about its nodes, arrays of shape (n,).

    Args:
        society: its name; tick_ms: when it was taken.
        label: 1 = machine by then.
        campaign: number of the campaign, -1 for none; crowd: number of the organic crowd, -1 for none.
        part: slice of the truth.
        groups: (places of the members, log e-value) of groups under test.
    """

    society: str
    tick_ms: int
    graph: AccountGraph
    label: Ints
    campaign: Ints
    crowd: Ints
    part: NDArray[np.str_]
    groups: list[tuple[list[int], float]]

    @property
    def prior_logit(self) -> float:
        """Logit of the share of machines among its nodes: what training subtracts."""
        machines = max(int(self.label.sum()), 1)
        return float(np.log(machines / max(len(self.label) - machines, 1)))


class Own(NamedTuple):
    """Own evidence of the nodes: LLR in nats (0 where silent), who speaks, and the coordination component."""

    llr: Floats
    speaks: NDArray[np.bool_]
    coordination: Floats

    @property
    def standing(self) -> Floats:
        """Where each stands among all others: in a society all write one language, and as much."""
        alike = np.zeros(len(self.llr), np.int64)
        return within_stratum_rank(self.llr, self.speaks, alike, alike)


def read_examples(directory: Path, truth: Path, society: str) -> list[Example]:
    """The graphs in a folder, earliest first.

    Args:
        directory: of the graphs.
        truth: truth file of the society.
        society: its name.

    Raises:
        UsageError: there are none.
    """
    said = read_truth(truth)
    examples = []
    for path in sorted(directory.glob("*.json")):
        arrays, meta = load_weights(path)
        names = [str(name) for name in meta["accounts"]]
        records = [said.get(name, {"label": 0}) for name in names]
        tick = int(meta["tick_ms"])
        label = [int(r["label"]) if not r.get("since") or at_ms(r["since"]) <= tick else 0 for r in records]
        graph = AccountGraph(
            np.arange(len(names)), names, arrays["features"], arrays["candidate"],
            arrays["source"].astype(np.int64), arrays["target"].astype(np.int64),
            arrays["relation"].astype(np.int64), arrays["edge"],
        )  # fmt: skip
        ends = np.cumsum(arrays["group_sizes"])[:-1].astype(np.int64)
        members = [part.tolist() for part in np.split(arrays["group_members"].astype(np.int64), ends)]
        logs = arrays["group_log_e"].tolist()
        examples.append(
            Example(
                society,
                tick,
                graph,
                np.array(label, np.int64),
                _numbers([r.get("campaign") for r in records]),
                _numbers([r.get("group") for r in records]),
                np.array([r.get("slice") or "" for r in records]),
                list(zip(members[: len(logs)], logs, strict=True)),
            )
        )
    if not examples:
        raise UsageError(f"no account graph came of {society}: it is shorter than twelve hours, or nobody met")
    return examples


def _numbers(names: Sequence[str | None]) -> Ints:
    known = {name: i for i, name in enumerate(sorted({name for name in names if name}))}
    return np.array([known[name] if name else -1 for name in names], np.int64)


def drawn_evidence(example: Example, rng: np.random.Generator, *, speaks: bool) -> Own:
    """Text and behaviour evidence of the nodes as a calibrated model would give it (`training.drawn_evidence`).

    Args:
        example: whose nodes.
        rng: of the draws.
        speaks: whether there is text evidence at all.
    """
    n = len(example.label)
    if not speaks:
        return Own(np.zeros(n), np.zeros(n, np.bool_), _coordination(example, np.zeros(n)))
    llr, talks = drawn_llr(example.label, example.campaign, example.crowd, rng)
    return Own(llr, talks, _coordination(example, llr))


def _coordination(example: Example, llr: Floats) -> Floats:
    components = coordination_components(example.groups, dict(enumerate(llr.tolist())))
    coordination = np.zeros(len(llr))
    coordination[list(components)] = list(components.values())
    return coordination


MATURE_MS: Final = 11 * HOUR_MS
"""Graphs are learned from when they are this much older than the first: younger ones hardly have campaigns in them."""


@dataclass
class Societies:
    """Graphs of societies by what they are for; `broken` are the test societies' with accounts exchanged."""

    train: list[Example]
    calibrate: list[Example]
    test: list[Example]
    broken: list[Example]
    count: dict[str, int]


def gather_societies(
    work: Path, count: int, own: Sequence[tuple[str, str]], models: Path | None, seed: int, say: ProgressCallback
) -> Societies:
    """Make, or find in `work`, the societies and their graphs.

    Args:
        count: of simulated ones.
        own: events and truth of the user's, besides.
        models: bundle that runs over them; the shipped one where None.
    """
    wanted = count + len(own)
    held = max(wanted * 3 // 16, 1)
    found: list[list[Example]] = []
    broken: list[Example] = []
    for i in range(wanted):
        place = work / f"s{i:02d}"
        place.mkdir(parents=True, exist_ok=True)
        say(f"society {i + 1} of {wanted}", i / wanted)
        if i < count:
            events, truth = place / "events.jsonl", place / "truth.jsonl"
            if not truth.exists():
                toml = society_toml(np.random.default_rng([seed, i]))
                simulate(toml, seed * 1000 + i, events, truth)
        else:
            events, truth = map(Path, own[i - count])
        held_out = i >= wanted - 2 * held
        if not list((place / "graphs").glob("*.json")):
            account_graphs(events, place / "graphs", models, coordination=held_out)
        found.append(read_examples(place / "graphs", truth, f"s{i:02d}"))
        if i >= wanted - held:
            if not list((place / "broken").glob("*.json")):
                mixed = place / "broken.jsonl"
                shuffled(events, mixed, i)
                account_graphs(mixed, place / "broken", models, coordination=False)
            broken.append(read_examples(place / "broken", truth, f"s{i:02d}")[-1])
    cut = wanted - 2 * held
    train_on = [one for each in found[:cut] for one in _mature(each)]
    calibrate_on = [one for each in found[cut : cut + held] for one in _mature(each)]
    counts = {"train": cut, "calibrate": held, "test": held}
    return Societies(train_on, calibrate_on, [each[-1] for each in found[cut + held :]], broken, counts)


def _mature(examples: Sequence[Example]) -> list[Example]:
    return [one for one in examples if one.tick_ms >= examples[0].tick_ms + MATURE_MS] or list(examples[-1:])
