"""Fits the same-controller model and its rival, a graph neural network, and measures both on what was left out.

The logistic regression has no negative weight for anything that two accounts have in common, so that nothing shared
ever speaks against one controller. The cut of the linkage, and what mates are worth, are chosen on training societies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.metrics import average_precision_score, roc_auc_score

from detector.models import GRAPH
from detector.weights_io import save_weights
from graph.decoys import Matched, matched_draws, q_values
from graph.groups import MIN_SIZE, linked
from graph.pair_model import CAP_NATS, FEATURES, WORDING, PairFeatures, PairModel, worth_of_mates
from graph.search import LEAST_CONTROLS, Accounts, among_suspects
from training.pairs import Example, Society

RIDGE: Final = 0.5
"""Weight of the squared coefficients in one society's loss: a kind that hardly any campaign shares gets little."""

CROWD_WEIGHT: Final = 0.25
"""Weight of a pair in one organic crowd: those people do act together, and whether machines drive them is another
question, asked of the group (`streaming.assess.machine_groups`); but what such a crowd merely talks about must not
count."""

CUTS: Final = tuple(np.arange(-3.0, 0.51, 0.25).tolist())
"""Cuts that are tried."""

WORTHS: Final = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)
MOSTS: Final = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
"""What is tried for the worth of mates: at most what an account's own posts need to flag it."""

PEOPLE_ABOVE: Final = (0.005, 0.01, 0.02, 0.05)
"""Shares of people above the lines at which worths are compared, around the rate that is flagged by default: at one of
them alone, a few people would choose."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def fit_pairs(examples: Sequence[Example], crowd_weight: float = CROWD_WEIGHT) -> tuple[Floats, float]:
    """Coefficients and intercept; every example counts the same.

    Societies whose texts were not compared have an intercept of their own, which is dropped: how seldom a pair there
    is of one campaign, and that nobody knows what the two say, must not weaken what is learned about words.

    Args:
        examples: of training societies; at least one with texts that were compared.
        crowd_weight: of a pair in one organic crowd.
    """
    x = np.concatenate([each.x for each in examples])
    y = np.concatenate([each.y for each in examples]).astype(np.float64)
    w = np.concatenate([np.where(each.crowded, crowd_weight, 1.0) / len(each.y) for each in examples])
    silent = np.concatenate([np.full(len(each.y), not each.society.compared) for each in examples])
    w /= len(examples)
    scale = np.maximum(x.std(axis=0), 1e-6)
    z = x / scale
    z[silent, FEATURES.index(WORDING)] = 0.0

    def loss(beta: Floats) -> tuple[float, Floats]:
        odds = z @ beta[:-2] + np.where(silent, beta[-1], beta[-2])
        value = float((w * (np.logaddexp(0.0, odds) - y * odds)).sum())
        residual = w * (expit(odds) - y)
        penalty = RIDGE / len(x) * len(examples)
        gradient = np.r_[z.T @ residual + penalty * beta[:-2], residual[~silent].sum(), residual[silent].sum()]
        return value + penalty * float((beta[:-2] ** 2).sum()) / 2, gradient

    bounds = [(0.0, None)] * x.shape[1] + [(None, None)] * 2
    found = minimize(loss, np.zeros(x.shape[1] + 2), jac=True, method="L-BFGS-B", bounds=bounds)
    return found.x[:-2] / scale, float(found.x[-2])


class Judge(Protocol):
    """A model of pairs, as a function."""

    def __call__(self, society: Society, places: Ints, own: Floats) -> Floats:
        """Log-odds of every two of some accounts, at most `CAP_NATS`, symmetric, shape (n, n).

        Args:
            society: whose accounts.
            places: of n accounts.
            own: evidence that they are taken to have, shape (n,).
        """
        ...


def regression_judge(model: PairModel) -> Judge:
    """The logistic regression as a function."""

    def judged(society: Society, places: Ints, own: Floats) -> Floats:
        return model.log_odds(PairFeatures(society.nats, society.wording).of(places))

    return judged


def odds_by(judge: Judge, examples: Sequence[Example]) -> list[Floats]:
    """Log-odds of every two suspects of each example, each of shape (n, n)."""
    return [judge(each.society, each.suspects, each.own[each.suspects]) for each in examples]


class GroupScores(NamedTuple):
    """How well groups among suspects are found.

    Args:
        half: share of campaigns with three suspects or more that have half of those in one group.
        precision, recall, f1: of pairs of suspects.
    """

    half: float
    precision: float
    recall: float
    f1: float


class PairCounts(NamedTuple):
    """Pairs of suspects of one campaign, or of what groups hold beside campaigns, added up over draws.

    Args:
        hit: in one group, and of the campaign.
        said: in groups of which this campaign has the most members.
        true: of the campaign.
        half: draws in which half of it is in one group.
        draws: in which it has three suspects or more.
    """

    hit: int = 0
    said: int = 0
    true: int = 0
    half: int = 0
    draws: int = 0

    def plus(self, other: PairCounts) -> PairCounts:
        """The sums of both."""
        return PairCounts(*(one + two for one, two in zip(self, other, strict=True)))


Unit = tuple[str, int]
"""A campaign by its society's name and its number there, -1 for what groups hold beside campaigns."""


def _pairs(count: int) -> int:
    return count * (count - 1) // 2


def tallies(examples: Sequence[Example], odds: Sequence[Floats], cut: float) -> dict[Unit, PairCounts]:
    """Groups by average linkage against the truth, by campaign.

    Campaigns that the model has learned from (`Society.known`) are not counted, nor groups of which they are half.

    Args:
        examples: with their truth.
        odds: log-odds of every two suspects of each, shape (n, n).
        cut: of the linkage.
    """
    found: dict[Unit, PairCounts] = {}

    def add(unit: Unit, tally: PairCounts) -> None:
        found[unit] = found.get(unit, PairCounts()).plus(tally)

    for each, matrix in zip(examples, odds, strict=True):
        society = each.society
        groups = [group.members for group in linked(np.minimum(matrix, CAP_NATS), cut)]
        known = society.known[each.suspects]
        campaign = np.where(known, -1, society.campaign[each.suspects])
        for members in groups:
            seen = int(known[members].sum())
            if 2 * seen >= len(members):
                continue
            counts = np.bincount(campaign[members] + 1)[1:]
            for number in np.flatnonzero(counts).tolist():
                add((society.name, number), PairCounts(hit=_pairs(int(counts[number]))))
            most = int(counts.argmax()) if counts.any() else -1
            add((society.name, most), PairCounts(said=_pairs(len(members)) - _pairs(seen)))
        for number in np.unique(campaign[campaign >= 0]).tolist():
            size = int((campaign == number).sum())
            tally = PairCounts(true=_pairs(size))
            if size >= MIN_SIZE:
                best = max((int((campaign[members] == number).sum()) for members in groups), default=0)
                tally = tally._replace(draws=1, half=int(2 * best >= size))
            add((society.name, number), tally)
    return found


def scores_of(counted: Iterable[PairCounts]) -> GroupScores:
    """The scores of what was counted; nothing said is precise, nothing to find is found."""
    total = PairCounts()
    for each in counted:
        total = total.plus(each)
    precision = total.hit / total.said if total.said else 1.0
    recall = total.hit / total.true if total.true else 1.0
    f1 = 2 * total.hit / (total.said + total.true) if total.said + total.true else 1.0
    return GroupScores(total.half / total.draws if total.draws else 1.0, precision, recall, f1)


def group_scores(examples: Sequence[Example], odds: Sequence[Floats], cut: float) -> GroupScores:
    """As `tallies`, of all campaigns together.

    Args:
        examples: with their truth.
        odds: log-odds of every two suspects of each, shape (n, n).
        cut: of the linkage.
    """
    return scores_of(tallies(examples, odds, cut).values())


def odds_of(coefficients: Floats, intercept: float, each: Example) -> Floats:
    """Log-odds of every two suspects of an example by the logistic regression, shape (n, n).

    Args:
        coefficients: of the columns.
        intercept: of a pair with nothing in common.
        each: the example.
    """
    n = len(each.suspects)
    out = np.zeros((n, n))
    out[each.a, each.b] = np.minimum(each.x @ coefficients + intercept, CAP_NATS)
    return out + out.T


def best_cut(examples: Sequence[Example], odds: Sequence[Floats]) -> float:
    """The cut with the best pair F1, of those with pair precision 0.9 if there are any."""
    scored = [(cut, group_scores(examples, odds, cut)) for cut in CUTS]
    pure = [each for each in scored if each[1].precision >= 0.9] or scored
    return float(max(pure, key=lambda each: each[1].f1)[0])


class MateWorth(NamedTuple):
    """What mates are worth: nats for each nat of their weighed evidence, and the most that they add."""

    worth: float
    most: float


def fit_worth(examples: Sequence[Example], model: PairModel) -> MateWorth:
    """The worth of mates under which most machines stand above all but a few people; the smallest of equal ones.

    Accounts are suspects and others alike, as both gain, and all examples are taken together, as one threshold is.

    Args:
        examples: of training societies.
        model: of pairs; its own worth is not looked at.
    """
    own, mates, others, label = [], [], [], []
    for each in examples:
        society = each.society
        speaking = np.flatnonzero(society.posts > 0)
        suspect = np.isin(speaking, each.suspects)
        features = PairFeatures(society.nats, society.wording).of(speaking)
        evidence = each.own[speaking]
        accounts = Accounts(speaking, suspect, evidence, society.posts[speaking], society.language[speaking])
        found = among_suspects(features, accounts, model, 0)
        group, sure = np.full(len(speaking), -1, np.int64), np.zeros(len(speaking))
        for number, (proposal, q) in enumerate(zip(found.groups, found.q, strict=True)):
            group[proposal.members], sure[proposal.members] = number, 1.0 - q
        heard = np.where(suspect, evidence, 0.0)
        gain = worth_of_mates(model.log_odds(features), heard, group, sure, worth=1.0, most=np.inf)
        own.append(evidence)
        mates.append(gain.mates)
        others.append(gain.near)
        label.append(society.label[speaking])
    o, m, b, y = (np.concatenate(part) for part in (own, mates, others, label))
    people, machines = y == 0, y == 1

    def found_machines(each: MateWorth) -> float:
        total = o + np.minimum(each.worth * (m + b), each.most)
        lines = np.quantile(total[people], [1.0 - share for share in PEOPLE_ABOVE])
        return float((total[machines][:, None] > lines).mean())

    return max((MateWorth(worth, most) for worth in WORTHS for most in MOSTS), key=found_machines)


def pair_areas(examples: Sequence[Example], odds: Sequence[Floats]) -> list[tuple[float, float]]:
    """How well pairs of suspects are told apart: AUROC and average precision of each example with pairs of both kinds.

    Args:
        examples: with their truth.
        odds: log-odds of every two suspects of each, shape (n, n).
    """
    found = []
    for each, matrix in zip(examples, odds, strict=True):
        y, said = each.y[each.counted], matrix[each.a, each.b][each.counted]
        if 0 < y.sum() < len(y):
            found.append((float(roc_auc_score(y, said)), float(average_precision_score(y, said))))
    return found


class Accepted(NamedTuple):
    """Groups that the search with decoys accepts.

    Args:
        right: of which half or more is one campaign.
        people: of the others, those of which half or more is one organic crowd: people who act together.
        wrong: the rest.
        half: campaigns with half of their suspects in one of them.
        campaigns: with three suspects or more.
    """

    right: int
    people: int
    wrong: int
    half: int
    campaigns: int


def decoys_of(each: Example) -> list[Matched]:
    """Draws of decoys for the suspects of an example; none where there are too few controls."""
    society = each.society
    controls = np.setdiff1d(np.arange(len(society.accounts)), each.suspects)
    if len(controls) < LEAST_CONTROLS:
        return []
    return matched_draws(each.suspects, controls, society.posts, society.language, 0)


def accepted(
    examples: Sequence[Example], decoys: Sequence[Sequence[Matched]], judge: Judge, cut: float, target_fdr: float
) -> Accepted:
    """The whole search among suspects with its decoys, as at work (`graph.search.among_suspects`).

    What the model has learned from is left out as in `tallies`.

    Args:
        examples: with their truth.
        decoys: draws of them for each.
        judge: the model.
        cut: of the linkage.
        target_fdr: q up to which a group is accepted.
    """
    right = people = wrong = half = campaigns = 0
    for each, draws in zip(examples, decoys, strict=True):
        society = each.society
        campaign = np.where(society.known, -1, society.campaign)
        passed = [members for members, q in searched(each, draws, judge, cut) if q <= target_fdr]
        for members in passed:
            least = len(members) / 2
            if society.known[members].sum() >= least:
                continue
            if np.bincount(campaign[members] + 1)[1:].max(initial=0) >= least:
                right += 1
            elif np.bincount(society.crowd[members] + 1)[1:].max(initial=0) >= least:
                people += 1
            else:
                wrong += 1
        inside = campaign[each.suspects]
        sizes = np.bincount(inside[inside >= 0]) if (inside >= 0).any() else np.zeros(0, np.int64)
        for number in np.flatnonzero(sizes >= MIN_SIZE).tolist():
            campaigns += 1
            best = max((int((campaign[members] == number).sum()) for members in passed), default=0)
            half += int(2 * best >= sizes[number])
    return Accepted(right, people, wrong, half, campaigns)


def searched(each: Example, draws: Sequence[Matched], judge: Judge, cut: float) -> list[tuple[list[int], float]]:
    """Groups among the suspects of an example, as places in its society, each with its q.

    A decoy is judged with the own evidence of the suspect that it stands for: whether somebody looks like a machine
    must not tell decoys from suspects.

    Args:
        each: the example.
        draws: of decoys.
        judge: the model.
        cut: of the linkage.
    """
    (matrix,) = odds_by(judge, [each])
    groups = [group._replace(members=each.suspects[group.members].tolist()) for group in linked(matrix, cut)]
    if not draws or not groups:
        return [(group.members, 1.0) for group in groups]
    decoys = []
    for draw in draws:
        odds = judge(each.society, draw.decoys, each.own[draw.suspects])
        decoys.append([group.statistic for group in linked(odds, cut)])
    q = q_values([group.statistic for group in groups], decoys)
    return [(group.members, value) for group, value in zip(groups, q, strict=True)]


def fit_regression(examples: Sequence[Example]) -> PairModel:
    """The whole model: weights, the cut of the linkage, and what mates are worth.

    The last two are chosen on societies whose texts were compared: without them fewer pairs pass any cut.

    Args:
        examples: of training societies.
    """
    coefficients, intercept = fit_pairs(examples)
    compared = [each for each in examples if each.society.compared]
    cut = best_cut(compared, [odds_of(coefficients, intercept, each) for each in compared])
    model = PairModel(coefficients, intercept, cut=cut, worth=0.0, most=0.0)
    worth = fit_worth(compared, model)
    return PairModel(coefficients, intercept, cut=cut, worth=worth.worth, most=worth.most)


def save_pair_model(model: PairModel, out: Path, seed: int, report: Mapping[str, Any]) -> dict[str, Any]:
    """Write the same-controller model of a bundle; all that its file says.

    Args:
        model: to write.
        out: folder of the bundle, which is made.
        seed: of training.
        report: figures on what was left out.
    """
    arrays = {"coefficients": np.asarray(model.coefficients, np.float64)}
    digest = hashlib.sha256(arrays["coefficients"].tobytes() + repr(sorted(model.meta().items())).encode()).hexdigest()
    meta = {"name": GRAPH, "version": f"2.{digest[:8]}", "seed": seed, **model.meta(), "report": dict(report)}
    out.mkdir(parents=True, exist_ok=True)
    save_weights(out / GRAPH, arrays, meta)
    return meta
