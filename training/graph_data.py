"""What the graph model learns from: account graphs of societies with their truth, and own evidence made up for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.errors import UsageError
from detector.weights_io import load_weights
from graph.account_graph import AccountGraph
from graph.part import coordination_part
from graph.standing import standing
from training.accounts import read_truth
from training.societies import at_ms

UNSEEN: Final = 0.3
"""Share of campaigns whose generator the text models do not know: their texts look much like people's."""

UNSEEN_SHIFT: Final = (0.0, 0.5, 1.0, 1.5)
"""Standard deviations by which texts of an unknown generator look less like people's than people's do, each as often.
The ten weakest sources left out of the account model's training lie 0.6 to 2.3 above (AUROC 0.66 to 0.95,
`account.card.md`); taken lower, to be careful. It does not depend on the society's `STRENGTH`: in one whose text models
are weak, an unknown generator can stand out more than a known one."""

STRENGTH: Final = (0.6, 2.0)
"""Standard deviations between people's and known machines' text evidence, by society: AUROC 0.66 to 0.92."""

ICC: Final = 0.2
"""Share of the variance of own evidence that members of an organic crowd have in common; a campaign's lack it."""

SILENT: Final = 0.2
"""Share of accounts without text evidence where texts are read at all."""

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
    """Own evidence of the nodes: LLR in nats (0 where silent), who speaks, and the coordination part that follows."""

    llr: Floats
    speaks: NDArray[np.bool_]
    coordination: Floats

    @property
    def standing(self) -> Floats:
        """Where each stands among all others: in a society all write one language, and as much."""
        alike = np.zeros(len(self.llr), np.int64)
        return standing(self.llr, self.speaks, alike, alike)


def read_examples(directory: Path, truth: Path, society: str) -> list[Example]:
    """The graphs in a folder, earliest first.

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
    """Text and behaviour evidence as a calibrated model would give it; societies have no texts of their own.

    People's evidence is normal with mean -d^2/2 and standard deviation d, known machines' with mean +d^2/2, which is an
    exact LLR. A share u = `UNSEEN` of campaigns writes like people but for a shift of s standard deviations, of which
    the likelihood ratio is r(x), the mean of exp(s z - s^2 / 2) over `UNSEEN_SHIFT`, z being x standardised by people:
    the LLR of all is log((1 - u) e^x + u r(x)). Members of an organic crowd share a part of their error; those of a
    campaign lack that part, and are a little less spread than the ratio assumes.
    """
    n = len(example.label)
    if not speaks:
        return Own(np.zeros(n), np.zeros(n, np.bool_), _coordination(example, np.zeros(n)))
    d = rng.uniform(*STRENGTH)
    campaigns, crowds = int(example.campaign.max(initial=-1)) + 2, int(example.crowd.max(initial=-1)) + 2
    common = np.where(
        example.crowd >= 0,
        rng.normal(size=crowds)[example.crowd],
        np.where(example.campaign >= 0, 0, rng.normal(size=n)),
    )
    driven = (example.label == 1) & (example.campaign >= 0)
    known = rng.random(campaigns) > UNSEEN
    shift = np.where(known, d, rng.choice(UNSEEN_SHIFT, campaigns))
    z = np.where(driven, shift[example.campaign], 0.0) + ICC**0.5 * common + (1 - ICC) ** 0.5 * rng.normal(size=n)
    like_people = np.mean([np.exp(s * z - s * s / 2) for s in UNSEEN_SHIFT], axis=0)
    llr = np.log((1 - UNSEEN) * np.exp(d * z - d * d / 2) + UNSEEN * like_people)
    talks = rng.random(n) > SILENT
    llr = np.where(talks, llr, 0.0)
    return Own(llr, talks, _coordination(example, llr))


def _coordination(example: Example, llr: Floats) -> Floats:
    part = coordination_part(example.groups, dict(enumerate(llr.tolist())))
    coordination = np.zeros(len(llr))
    coordination[list(part)] = list(part.values())
    return coordination
