"""What each part of the evidence adds, on societies whose operator families the graph model has never seen.

Operator families are cut into folds. For each, the graph network is fitted and calibrated without these families'
accounts and put into a copy of the bundle; societies of these families alone, with texts, are simulated and run through
the whole system with it: as they are, without their texts, and without texts and with accounts exchanged within blocks
of time, which leaves the graph model nothing that is true. Recordings with truth are run through the bundle as it is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from detector.bundle import GRAPH, SHIPPED
from detector.evidence import PARTS, Part
from training.accounts import read_truth
from training.evaluation import Judged, intervals, judged, pooled
from training.graph_calibrate import DRAWS, calibration, judge
from training.graph_data import Example
from training.graph_fit import PLANS, Plan, fit
from training.graph_societies import gather
from training.scoring import auroc, average_precision, tpr_at
from training.societies import FAMILIES, shuffled, simulate, society_toml
from training.system import PARTS_OF_A_BUNDLE, copy_parts, read_lines, run_system
from training.text import Say

FOLDS: Final = 4
"""Folds of operator families: two of the eight are left out at a time."""

SIZES: Final = (800, 1000)
"""Bounds of the accounts of a held-out society: so many that the demo's texts are all used."""

NO_TEXT: Final = ("text",)

EXCHANGED: Final = "without text, accounts exchanged"
"""Name of the condition in which who acts with whom is chance."""

FIRST_SEED: Final = 500_000
"""Seeds of held-out societies begin here, those of training societies far below."""


@dataclass(frozen=True)
class Measured:
    """One thing measured. `rows`: ablation -> figure -> value, low, high; `adds`: part -> what it adds to AUROC."""

    name: str
    people: int
    machines: int
    campaigns: int
    rows: dict[str, dict[str, list[float]]]
    adds: dict[str, list[float]]


def folds() -> list[list[str]]:
    """Operator families, cut into folds."""
    names = sorted(FAMILIES)
    return [names[k::FOLDS] for k in range(FOLDS)]


def leave_out(
    train: Sequence[Example], calibrate: Sequence[Example], families: Sequence[str], models: Path, out: Path,
    seed: int, plan: Plan = PLANS[0],
) -> None:  # fmt: skip
    """A bundle in `out` whose graph model has learned nothing from `families`; a model that is there is kept."""
    if not (out / f"{GRAPH}.json").exists():
        net = fit(train, plan, seed, without=families)
        given = judge(net, calibrate, seed, DRAWS)
        knots, values = calibration(given.take(~np.isin(given.part, list(families))), seed)
        net.save(out, knots, values, seed, version=f"0.without-{'-'.join(families)}")
    copy_parts(models, out, [stem for stem in PARTS_OF_A_BUNDLE if stem != GRAPH])


def society(families: Sequence[str], number: int, place: Path, seed: int, sizes: tuple[int, int]) -> tuple[Path, Path]:
    """Events and truth of a society that has operators of these families alone; what is there is kept."""
    events, truth = place / "events.jsonl", place / "truth.jsonl"
    if not truth.exists():
        place.mkdir(parents=True, exist_ok=True)
        drawn = FIRST_SEED + 1000 * seed + number
        toml = society_toml(np.random.default_rng(drawn), families, sizes, "demo")
        simulate(toml, drawn, events, truth)
    return events, truth


def run(events: Path, truth: Path, models: Path, scores: Path, without: Sequence[Part], name: str) -> Judged:
    """The accounts of a recording as judged by the system; campaigns are named after it, so that they can be pooled.

    Scores of the same versions of the models are kept beside `scores` and not made again.
    """
    key = hashlib.sha256(json.dumps(versions(models)).encode()).hexdigest()[:8]
    kept = scores.with_name(f"{scores.stem}-{key}.scores")
    if not kept.exists():
        run_system([events], models, scores=scores, without=without)
        scores.replace(kept)
    found = judged(read_truth(truth), read_lines(kept))
    return replace(found, campaign=np.where(found.campaign != "", np.char.add(f"{name}/", found.campaign), ""))


def conditions(
    events: Path, truth: Path, models: Path, place: Path, name: str, *, exchanged: bool
) -> dict[str, Judged]:
    """A recording run as it is, without its texts, and, if `exchanged`, with accounts exchanged besides."""
    found = {
        "with text": run(events, truth, models, place / "text.scores", (), name),
        "without text": run(events, truth, models, place / "silent.scores", NO_TEXT, name),
    }
    if exchanged:
        mixed = place / "exchanged.jsonl"
        if not mixed.exists():
            shuffled(events, mixed, 0)
        found[EXCHANGED] = run(mixed, truth, models, place / "exchanged.scores", NO_TEXT, name)
    return found


def figures(given: Judged, parts: Sequence[Part], name: str, seed: int, draws: int) -> Measured:
    """Ranking by the first part, by the first two, and so on, and what each adds, with intervals over campaigns."""
    nested = {" + ".join(parts[: i + 1]): parts[: i + 1] for i in range(len(parts))}

    def measure(drawn: Judged) -> dict[str, float]:
        result: dict[str, float] = {}
        last = 0.5
        for row, kept in nested.items():
            score = drawn.score(kept)
            area = auroc(drawn.label, score)
            result |= {f"{row}/auroc": area, f"{row}/ap": average_precision(drawn.label, score)}
            result |= {f"{row}/tpr": tpr_at(drawn.label, score, 0.01), f"adds/{kept[-1]}": area - last}
            last = area
        return result

    spread = intervals(given, measure, np.random.default_rng(seed), draws)
    values = {key: [value, *spread[key]] for key, value in measure(given).items()}
    return Measured(
        name,
        int((given.label == 0).sum()),
        int(given.label.sum()),
        len({name for name in given.campaign.tolist() if name}),
        {row: {key: values[f"{row}/{key}"] for key in ("auroc", "ap", "tpr")} for row in nested},
        {kept[-1]: values[f"adds/{kept[-1]}"] for kept in nested.values()},
    )


def measure_all(given: argparse.Namespace, work: Path, say: Say) -> dict[str, Any]:
    """Everything that the page tells, as JSON-serialisable figures. What `work` has already is not made again."""
    models = given.models or SHIPPED
    cut = folds()
    everything = gather(
        work / "train", given.societies, (), given.models, given.seed, lambda what, share: say(what, 0.3 * share)
    )
    runs: dict[str, dict[str, list[Judged]]] = {}
    total = len(cut) * given.held_out + len(given.stream)
    done = 0
    for k, families in enumerate(cut):
        bundle = work / f"without-{'-'.join(families)}"
        say(f"the graph model without {', '.join(families)}", 0.3 + 0.7 * done / total)
        leave_out(everything.train, everything.calibrate, families, models, bundle, given.seed)
        for i in range(given.held_out):
            place = work / f"held-{k}-{i}"
            say(f"a society of {', '.join(families)}", 0.3 + 0.7 * done / total)
            events, truth = society(families, k * 100 + i, place, given.seed, SIZES)
            each = conditions(events, truth, bundle, place, f"{k}-{i}", exchanged=True)
            for condition, found in each.items():
                runs.setdefault(f"{', '.join(families)} left out", {}).setdefault(condition, []).append(found)
            done += 1
    texts = sum(
        int(np.count_nonzero(np.nan_to_num(one.parts[:, 0]))) for each in runs.values() for one in each["with text"]
    )
    accounts = sum(len(one.names) for each in runs.values() for one in each["with text"])
    everybody: dict[str, list[Judged]] = {}
    for found_by in runs.values():
        for condition, found_in in found_by.items():
            everybody.setdefault(condition, []).extend(found_in)
    runs = {"all held-out societies": everybody, **runs}
    for events, truth in given.stream:
        name = Path(events).name.split(".")[0]
        place = work / name
        place.mkdir(parents=True, exist_ok=True)
        say(name, 0.3 + 0.7 * done / total)
        streams = conditions(Path(events), Path(truth), models, place, name, exchanged=False)
        runs[name] = {condition: [one] for condition, one in streams.items()}
        done += 1
    result = {
        condition: [
            _plain(figures(pooled(each[condition]), PARTS if condition == "with text" else PARTS[1:], name, given.seed,
                           given.draws))
            for name, each in runs.items() if condition in each
        ]
        for condition in ("with text", "without text", EXCHANGED)
    }  # fmt: skip
    return {
        "figures": result,
        "models": versions(models),
        "spoke": texts,
        "accounts": accounts,
        "societies": len(cut) * given.held_out,
    }


def _plain(found: Measured) -> dict[str, Any]:
    return dict(vars(found))


def versions(models: Path) -> Mapping[str, str]:
    """The name and version of each part of a bundle."""
    found = {}
    for stem in PARTS_OF_A_BUNDLE:
        if (models / f"{stem}.json").exists():
            meta = json.loads((models / f"{stem}.json").read_text(encoding="utf-8"))
            found[stem] = f"{meta['name']}@{meta['version']}"
    return found
