"""What the same-controller model learns from, and how it and its rival do on what was left out.

Four tables leave out in turn sets of campaign texts, families of tactics, makers of generators, and whole societies.
In the first three the societies are cut into halves: campaigns of what is left out are taken out of one half, both
models learn from it, and they are measured on the other half, where those campaigns are. What ships is the regression
unless the network is ahead on the groups of campaigns left out by more than chance over campaigns explains.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from detector.models import load_readers
from detector.text.meaning import MeaningEncoder
from graph.decoys import Matched
from graph.pair_model import FEATURES
from streaming.score import Scorer
from training.pair_network import fit_network, network_judge
from training.pair_training import (
    Accepted,
    Judge,
    PairCounts,
    Unit,
    accepted,
    best_cut,
    decoys_of,
    fit_regression,
    odds_by,
    pair_areas,
    regression_judge,
    scores_of,
    tallies,
)
from training.pairs import OPERATION, Example, Flags, Society, examples, read_operation, read_society
from training.society_texts import make_societies
from training.text import ProgressCallback
from training.text_pools import CONTEST
from training.vector_cache import VectorCache, VersionedMeanings

KEPT_TO_MEASURE: Final = (CONTEST, "frontier_posts")
"""Pools that no society of training has unless asked: the streams `contest-dev` and `planted-dev` are made of them, and
would measure nothing any more."""

TARGET_FDR: Final = 0.05
"""At which groups are accepted in the tables: the configuration's default."""

FOLDS: Final = 4
"""Folds of societies left out whole."""

HALVES: Final = 2
"""Parts of the societies in the other tables: one is learned from, the other measured."""

CUT_FOLDS: Final = 2
"""Parts of training societies on which the network's cut is chosen with networks that have not seen them: on what it
has learned from it is far too sure. The regression has too few weights for that."""

BOOTSTRAP: Final = 2000
"""Draws of campaigns behind an interval."""

SETS: Final = ("frontier_campaigns", "oasis_harm_groups", "synthpai")
"""Sets of campaign texts that are left out each by itself; the others go together, for each has few campaigns."""

OTHERS: Final = "others"

MAKERS: Final[Mapping[str, tuple[str, ...]]] = {
    "frontier model of 2026": ("frontier",), "OpenAI": ("gpt",), "Google": ("gemini", "gemma"),
    "Meta": ("llama", "groq"), "Mistral": ("mistral", "mixtral"),
}  # fmt: skip
"""Makers of generators by beginnings of the names of those; the hosted pool of `oasis_harm_groups` is mostly Llama."""

REGRESSION: Final = "regression"
NETWORK: Final = "network"
MODELS: Final = (REGRESSION, NETWORK)


class Judged(NamedTuple):
    """A model with the cut of its linkage."""

    judge: Judge
    cut: float


def fit_both(train: Sequence[Society], draws: int, seed: int) -> dict[str, Judged]:
    """Both models, by name, fitted on the same draws of the same societies.

    Args:
        train: societies to learn from.
        draws: of evidence, of each.
        seed: of draws and weights.
    """
    drawn = list(examples(train, draws, seed))
    model = fit_regression(drawn)
    network = network_judge(fit_network(drawn, model, seed), model)
    cut = _unseen_cut(drawn, seed)
    return {REGRESSION: Judged(regression_judge(model), model.cut), NETWORK: Judged(network, cut)}


def _unseen_cut(drawn: Sequence[Example], seed: int) -> float:
    """The network's cut, by networks that have not seen what it is chosen on."""
    names = list(dict.fromkeys(each.society.name for each in drawn if each.society.compared))
    held: list[Example] = []
    odds = []
    for part in range(CUT_FOLDS):
        out = {*names[part::CUT_FOLDS]}
        seen = [each for each in drawn if each.society.name not in out]
        unseen = [each for each in drawn if each.society.name in out]
        if not unseen or not any(each.society.compared for each in seen):
            continue
        model = fit_regression(seen)
        held += unseen
        odds += odds_by(network_judge(fit_network(seen, model, seed), model), unseen)
    return best_cut(held, odds)


@dataclass
class Measured:
    """What one model does on examples left out, gathered over folds.

    Args:
        areas: AUROC and average precision of each example.
        tally: of each campaign.
        accepted: groups beyond decoys.
    """

    areas: list[tuple[float, float]] = field(default_factory=list)
    tally: dict[Unit, PairCounts] = field(default_factory=dict)
    accepted: Accepted = Accepted(0, 0, 0, 0, 0)  # noqa: RUF009 - a tuple of numbers

    def add(self, drawn: Sequence[Example], decoys: Sequence[Sequence[Matched]], model: Judged) -> None:
        """Measure a model on further examples.

        Args:
            drawn: the examples.
            decoys: draws of them for each.
            model: with its cut.
        """
        odds = odds_by(model.judge, drawn)
        self.areas += pair_areas(drawn, odds)
        for unit, tally in tallies(drawn, odds, model.cut).items():
            self.tally[unit] = self.tally.get(unit, PairCounts()).plus(tally)
        found = accepted(drawn, decoys, model.judge, model.cut, TARGET_FDR)
        self.accepted = Accepted(*(one + two for one, two in zip(self.accepted, found, strict=True)))

    def figures(self) -> dict[str, Any]:
        """As plain numbers; a figure that nothing was measured for is None."""
        auroc, precision = np.mean(self.areas, axis=0).tolist() if self.areas else (None, None)
        groups = scores_of(self.tally.values())
        return {"auroc": auroc, "average_precision": precision, **groups._asdict(), **_named(self.accepted)}


def _named(found: Accepted) -> dict[str, int]:
    return {
        "accepted": found.right + found.people + found.wrong, "right": found.right, "people": found.people,
        "wrong": found.wrong, "accepted_half": found.half, "campaigns": found.campaigns,
    }  # fmt: skip


Value = Callable[[Society, int], str]
"""What is left out of a campaign's: of the account at a place in a society."""


def text_set(society: Society, place: int) -> str:
    """The set that an account's texts are of."""
    name = society.texts[place].split("/")[0]
    return name if name in SETS else OTHERS


def family(society: Society, place: int) -> str:
    """The tactics of an account's campaign."""
    return society.family[place] or OTHERS


def maker(society: Society, place: int) -> str:
    """Who made the generator of an account's texts."""
    name = society.generator[place].lower()
    return next((who for who, names in MAKERS.items() if name.startswith(names)), OTHERS)


def members_of(society: Society, value: Value) -> dict[str, Flags]:
    """Members of the campaigns of each value, as masks of accounts; a campaign is of what most of its members are.

    Args:
        society: whose.
        value: what is left out.
    """
    found: dict[str, Flags] = {}
    for number in range(int(society.campaign.max(initial=-1)) + 1):
        inside = society.campaign == number
        counts = Counter(value(society, place) for place in np.flatnonzero(inside).tolist())
        if counts:
            name = max(sorted(counts), key=lambda each: counts[each])
            found[name] = found.get(name, np.zeros(len(inside), np.bool_)) | inside
    return found


def leave_out(
    societies: Sequence[Society], always: Sequence[Society], value: Value, draws: int, seed: int, say: ProgressCallback
) -> dict[str, dict[str, Measured]]:
    """Both models on campaigns of each value, learned from without these: value -> model -> what was measured.

    Args:
        societies: in order.
        always: societies to learn from in any case.
        value: what is left out in turn.
        draws: of evidence.
        seed: of draws and weights.
        say: told what is done, and which share of it.
    """
    members = [members_of(society, value) for society in societies]
    names = sorted({name for each in members for name in each})
    found: dict[str, dict[str, Measured]] = {}
    for k, name in enumerate(names):
        found[name] = {model: Measured() for model in MODELS}
        for half in range(HALVES):
            say(f"without {name}", (k * HALVES + half) / (len(names) * HALVES))
            train = [
                society.without(inside[name]) if name in inside else society
                for n, (society, inside) in enumerate(zip(societies, members, strict=True))
                if n % HALVES != half
            ]
            test = [
                replace(society, known=(society.campaign >= 0) & ~inside[name])
                for n, (society, inside) in enumerate(zip(societies, members, strict=True))
                if n % HALVES == half and name in inside
            ]
            if test and any((society.campaign >= 0).any() for society in train):
                _measure(found[name], fit_both([*train, *always], draws, seed), test, draws, seed)
    return found


def leave_out_societies(
    societies: Sequence[Society], operation: Society | None, draws: int, seed: int, say: ProgressCallback
) -> dict[str, dict[str, Measured]]:
    """Both models on societies that they have not seen, and on the real operation.

    Args:
        societies: in order.
        operation: learned from for all societies, and measured by what was learned from them alone.
        draws: of evidence.
        seed: of draws and weights.
        say: told what is done, and which share of it.
    """
    found = {SOCIETIES: {model: Measured() for model in MODELS}}
    always = [operation] if operation else []
    folds = min(FOLDS, len(societies))
    for fold in range(folds):
        say(f"without a {folds}th of the societies", fold / (folds + 1))
        train = [society for n, society in enumerate(societies) if n % folds != fold]
        _measure(found[SOCIETIES], fit_both([*train, *always], draws, seed), societies[fold::folds], draws, seed)
    if operation:
        say(f"without {OPERATION}", folds / (folds + 1))
        found[OPERATION] = {model: Measured() for model in MODELS}
        _measure(found[OPERATION], fit_both(societies, draws, seed), [operation], draws, seed)
    return found


SOCIETIES: Final = "societies"


def _measure(
    into: Mapping[str, Measured], models: Mapping[str, Judged], test: Sequence[Society], draws: int, seed: int
) -> None:
    # Other draws of evidence than those that were learned from.
    drawn = list(examples(test, draws, seed + 1))
    decoys = [decoys_of(each) for each in drawn]
    for name, model in models.items():
        into[name].add(drawn, decoys, model)


def ahead(rows: Sequence[Mapping[str, Measured]], seed: int) -> list[float]:
    """The network's F1 of pairs in groups less the regression's: value, and 95% interval over campaigns.

    Args:
        rows: of tables; a campaign that is in several is drawn in all of them at once.
        seed: of the draws.
    """
    units = sorted({unit for row in rows for model in MODELS for unit in row[model].tally})
    if not units:
        return [0.0, 0.0, 0.0]
    counts = {
        model: np.array(
            [
                np.sum([row[model].tally.get(unit, PairCounts())[:3] for row in rows], axis=0)
                for unit in units
            ],
            np.float64,
        )
        for model in MODELS
    }  # fmt: skip

    def gain(weight: np.ndarray[Any, np.dtype[np.float64]]) -> Any:
        scores = []
        for model in (NETWORK, REGRESSION):
            hit, said, true = (weight @ counts[model]).T
            scores.append(2 * hit / np.maximum(said + true, 1.0))
        return scores[0] - scores[1]

    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(units), np.full(len(units), 1 / len(units)), BOOTSTRAP).astype(np.float64)
    low, high = np.quantile(gain(drawn), (0.025, 0.975)).tolist()
    return [float(gain(np.ones((1, len(units))))[0]), low, high]


VALUES: Final[Mapping[str, Value]] = {"texts": text_set, "families": family, "generators": maker}

TABLES: Final = (*VALUES, SOCIETIES)
"""Left out in turn, by name in the report."""


def left_out_report(
    societies: Sequence[Society], operation: Society | None, draws: int, seed: int, say: ProgressCallback
) -> dict[str, Any]:
    """All tables and what they decide, as JSON-serialisable figures.

    Args:
        societies: in order; at least two.
        operation: the real one, where it is a teacher.
        draws: of evidence.
        seed: of draws and weights.
        say: told what is done, and which share of it.
    """
    always = [operation] if operation else []
    found: dict[str, dict[str, dict[str, Measured]]] = {}
    for k, table in enumerate(TABLES):
        part = _part(say, k / len(TABLES), 1 / len(TABLES))
        if table in VALUES:
            found[table] = leave_out(societies, always, VALUES[table], draws, seed, part)
        else:
            found[table] = leave_out_societies(societies, operation, draws, seed, part)
    # The operation's one campaign of hundreds has more pairs than all societies: it would decide alone.
    rows = {
        table: [models for name, models in by_name.items() if name != OPERATION] for table, by_name in found.items()
    }
    gains = {table: ahead(of_table, seed) for table, of_table in rows.items()}
    gains["all"] = ahead([models for of_table in rows.values() for models in of_table], seed)
    return {
        "tables": {
            table: [
                {"left_out": name} | {model: models[model].figures() for model in MODELS}
                for name, models in by_name.items()
                if models[REGRESSION].tally
            ]
            for table, by_name in found.items()
        },
        "ahead": gains,
        "network_ahead": gains["all"][1] > 0,
    }


def _part(say: ProgressCallback, start: float, share: float) -> ProgressCallback:
    return lambda what, done: say(what, start + share * done)


class TrainingSocieties(NamedTuple):
    """What is learned from.

    Args:
        societies: simulated, with texts.
        operation: the real one, None where it is left out or not there.
    """

    societies: list[Society]
    operation: Society | None


def gather_societies(
    data: Path, work: Path, count: int, without: Sequence[str], seed: int, say: ProgressCallback,
    encoder: VersionedMeanings | None = None, **choices: Any,
) -> TrainingSocieties:  # fmt: skip
    """Make the societies and read them, or take what the work folder has of them.

    Args:
        data: folder with `text/` and `streams/`.
        work: folder for societies, what was read of them, and vectors.
        count: societies.
        without: pools left out, and `OPERATION` for the real operation.
        seed: of the societies.
        say: told what is done, and which share of it.
        encoder: of meaning; the packaged one where None.
        choices: further ones of `make_societies`.

    Raises:
        UsageError: the data cannot be used.
        ModelError: the encoder is not installed.
    """
    pools = [name for name in without if name != OPERATION]
    files = make_societies(work, count, data, seed, _part(say, 0.0, 0.3), without=pools, **choices)
    text, _, _ = load_readers()
    scorer, cache = Scorer(text), VectorCache(encoder or MeaningEncoder(), work)
    societies = []
    for n, each in enumerate(files):
        say(f"reading society {n + 1} of {count}", 0.3 + 0.7 * n / (count + 1))
        societies.append(read_society(each, scorer, cache, each.events.parent.name))
    operation = None
    if OPERATION not in without:
        say(f"reading {OPERATION}", 0.3 + 0.7 * count / (count + 1))
        operation = read_operation(data, work, scorer)
    return TrainingSocieties(societies, operation)


def learned_from(given: TrainingSocieties) -> list[dict[str, Any]]:
    """How many accounts had texts of each set, by what they were in the societies."""
    counts: dict[str, Counter[str]] = {}
    for society in given.societies:
        for n, pool in enumerate(society.texts):
            if pool:
                part = (
                    "campaign" if society.campaign[n] >= 0 else "crowd" if society.crowd[n] >= 0
                    else "lone" if society.label[n] else "people"
                )  # fmt: skip
                counts.setdefault(pool.split("/")[0], Counter())[part] += 1
    return [
        {"set": name} | {part: counts[name][part] for part in ("campaign", "lone", "crowd", "people")}
        for name in sorted(counts)
    ]


def report_of(given: TrainingSocieties, draws: int, seed: int, say: ProgressCallback) -> dict[str, Any]:
    """Everything that the card tells beside the weights.

    Args:
        given: what is learned from.
        draws: of evidence.
        seed: of draws and weights.
        say: told what is done, and which share of it.
    """
    found = left_out_report(given.societies, given.operation, draws, seed, say)
    operation = given.operation
    return {
        "societies": len(given.societies),
        "accounts": sum(len(society.accounts) for society in given.societies),
        "campaigns": sum(len(set(society.campaign.tolist()) - {-1}) for society in given.societies),
        "draws": draws,
        "target_fdr": TARGET_FDR,
        "operation": None if operation is None else {
            "accounts": len(operation.accounts), "members": int((operation.campaign >= 0).sum()),
        },
        "sources": learned_from(given),
        "features": list(FEATURES),
        **found,
    }  # fmt: skip
