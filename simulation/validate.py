"""The metadata check: what counts, shares, hours, gaps and directions alone say about who is a machine.

A simulated population is worth testing in only if they say little. `judge` trains gradient boosting on some twenty such
features of every account, cross-validated. A population that is not meant to be easy fails where machines are told from
people with an AUROC above `BOOSTED`, any one feature does so above `SINGLE` (in either direction), or campaign members
are told from their matched controls above `CONTROLS`. Members and their controls are put into the same fold, so that
pairs, which are alike, cannot turn the result around.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

import numpy as np

from detector.errors import UsageError
from simulation.objects import DOMAIN_BITS
from simulation.sampling import DAY_MS, HOUR_MS, Flags, Floats, Ints
from simulation.world import LIKE, POST, QUOTE, REPLY, REPOST, Chunk, World, written

BOOSTED: Final = 0.65
SINGLE: Final = 0.60
CONTROLS: Final = 0.55
"""The bounds of the issue that this package was built to, on AUROC."""

FOLDS: Final = 5

PEOPLE: Final = 6000
"""Of more people than that a random part is enough for the boosting: the number of machines limits what it learns."""

FEATURES: Final = (
    "events", "posts", "replies", "reposts", "quotes", "likes", "links", "tags", "distinct links", "distinct domains",
    "distinct tags", "hour sine", "hour cosine", "hour spread", "night", "median gap", "short gap", "burstiness",
    "days active", "received", "received replies", "partners", "mutual", "followers", "following", "age",
)  # fmt: skip


@dataclass
class MetadataReport:
    """What metadata says about one population. `single`: AUROC of each feature, machines against people."""

    boosted: float
    single: dict[str, float]
    controls: float
    machines: int
    people: int

    @property
    def worst(self) -> tuple[str, float]:
        """The feature that tells most, and its AUROC in its own direction."""
        name = max(self.single, key=lambda key: abs(self.single[key] - 0.5))
        return name, max(self.single[name], 1 - self.single[name])

    def failures(self) -> list[str]:
        """What is above its bound, in words."""
        name, single = self.worst
        found = (("machines against people", self.boosted, BOOSTED), (f"`{name}` alone", single, SINGLE),
                 ("members against their matched controls", self.controls, CONTROLS))  # fmt: skip
        return [f"{what}: AUROC {value:.3f} is above {bound}" for what, value, bound in found if value > bound]


def judge(world: World, chunks: Iterable[Chunk], seed: int = 0) -> MetadataReport:
    """Simulate what is left of the world and say what its metadata tell.

    Args:
        world: simulated to its end, or as far as `chunks` go.
        chunks: its events.
        seed: of folds and of the people who are left out.
    """
    table = features(world, Chunk.joined(list(chunks)))
    acting = table[:, 0] > 0
    label = world.roles.label
    machines, people = np.flatnonzero(label & acting), np.flatnonzero(~label & acting)
    everybody = np.concatenate((machines, people))
    fold = np.random.default_rng(seed).integers(0, FOLDS, len(label))
    single = {name: auroc(table[everybody, i], label[everybody]) for i, name in enumerate(FEATURES)}
    some = np.random.default_rng(seed).permutation(people)[:PEOPLE]
    mixed = np.concatenate((machines, some))
    boosted = crossed(table[mixed], label[mixed], fold[mixed])
    members = np.concatenate([np.zeros(0, np.int64), *(c.members for c in world.roles.campaigns)])
    controls = np.concatenate([np.zeros(0, np.int64), *(c.controls for c in world.roles.campaigns)])
    both = acting[members] & acting[controls]
    pair = np.concatenate((members[both], controls[both]))
    pair_fold = np.tile(fold[members[both]], 2)
    against_controls = crossed(table[pair], label[pair], pair_fold)
    return MetadataReport(boosted, single, against_controls, len(machines), len(people))


def auroc(score: Floats, label: Flags) -> float:
    """Area under the ROC curve, ties half; 0.5 where a class is missing. Scores that are NaN tie above all others."""
    if not 0 < label.sum() < len(label):
        return 0.5
    missing = np.isnan(score)
    highest = float(score[~missing].max()) if not missing.all() else 0.0
    roc_auc_score = _scikit_learn("metrics").roc_auc_score
    return float(roc_auc_score(label, np.where(missing, highest + 1, score)))


def crossed(table: Floats, label: Flags, fold: Ints) -> float:
    """AUROC of gradient boosting on folds it has not seen; the mean over folds.

    Args:
        table: shape (accounts, features).
        label: shape (accounts,), true for machines.
        fold: shape (accounts,), from 0 to `FOLDS` - 1.
    """
    results = []
    boosting = _scikit_learn("ensemble").HistGradientBoostingClassifier
    for k in range(FOLDS):
        held = fold == k
        if len(set(label[held].tolist())) < 2 or len(set(label[~held].tolist())) < 2:
            continue
        model = boosting(max_iter=60, max_leaf_nodes=15, min_samples_leaf=10, l2_regularization=1.0, random_state=0)
        model.fit(table[~held], label[~held])
        results.append(auroc(model.predict_proba(table[held])[:, 1], label[held]))
    return float(np.mean(results)) if results else 0.5


def _scikit_learn(module: str) -> Any:
    """A module of scikit-learn, imported when the gate is asked for: simulating needs none of it."""
    try:
        return import_module(f"sklearn.{module}")
    except ImportError:
        raise UsageError(
            "the gate needs scikit-learn, which is not installed: pip install 'swarmlight[simulate]'"
        ) from None


def features(world: World, chunk: Chunk) -> Floats:
    """Metadata of every account, shape (accounts, len(FEATURES)); nothing that names who acted with whom."""
    n = len(world.people)
    account, kind = chunk.account, chunk.kind
    events = np.bincount(account, minlength=n).astype(float)
    text = written(kind)
    texts = np.bincount(account[text], minlength=n)
    columns = [events]
    columns += [
        _share(np.bincount(account[kind == k], minlength=n), events) for k in (POST, REPLY, REPOST, QUOTE, LIKE)
    ]
    carrying = [(chunk.link >= 0, chunk.link), (chunk.tag >= 0, chunk.tag)]
    columns += [_share(np.bincount(account[has], minlength=n), texts) for has, _ in carrying]
    linked, tagged = chunk.link >= 0, chunk.tag >= 0
    domain = chunk.link & ((1 << DOMAIN_BITS) - 1)
    for has, values in ((linked, chunk.link), (linked, domain), (tagged, chunk.tag)):
        columns.append(_share(_distinct(account[has], values[has], n), np.bincount(account[has], minlength=n)))
    columns += _hours(account, chunk.at, events, n)
    columns += _gaps(account, chunk.at, n)
    columns += _partners(chunk, n)
    people = world.people
    columns += [world.graph.followers.astype(float), world.graph.degrees().astype(float), people.age_days]
    return np.stack(columns, axis=1)


def _share(part: Ints, whole: Floats | Ints) -> Floats:
    """Shares, missing where there is nothing to share."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _distinct(account: Ints, value: Ints, n: int) -> Ints:
    """How many different values each account has."""
    order = np.lexsort((value, account))
    account, value = account[order], value[order]
    new = np.ones(len(account), bool)
    new[1:] = (account[1:] != account[:-1]) | (value[1:] != value[:-1])
    return np.bincount(account[new], minlength=n)


def _hours(account: Ints, at: Ints, events: Floats, n: int) -> list[Floats]:
    angle = (at % DAY_MS) * (2 * np.pi / DAY_MS)
    total = np.maximum(events, 1)
    sine = np.bincount(account, np.sin(angle), n) / total
    cosine = np.bincount(account, np.cos(angle), n) / total
    night = np.bincount(account, (at % DAY_MS < 6 * HOUR_MS).astype(float), n) / total
    return [sine, cosine, 1 - np.hypot(sine, cosine), night]


def _gaps(account: Ints, at: Ints, n: int) -> list[Floats]:
    """Median and tenth percentile of the logarithm of gaps, burstiness (Goh and Barabasi 2008), days active."""
    order = np.lexsort((at, account))
    account, at = account[order], at[order]
    same = account[1:] == account[:-1]
    gap, owner = np.log1p(np.diff(at)[same]), account[1:][same]
    order = np.lexsort((gap, owner))
    gap, owner = gap[order], owner[order]
    count = np.bincount(owner, minlength=n)
    first = np.cumsum(count) - count
    columns = []
    for quantile in (0.5, 0.1):
        column = np.full(n, np.nan)
        some = count > 0
        column[some] = gap[(first + (count * quantile).astype(np.int64))[some]]
        columns.append(column)
    seconds = np.expm1(gap)
    mean = _share(np.bincount(owner, seconds, n), count)
    spread = np.sqrt(np.maximum(_share(np.bincount(owner, seconds**2, n), count) - mean**2, 0))
    columns.append(np.where(count > 2, (spread - mean) / np.maximum(spread + mean, 1e-9), np.nan))
    columns.append(_distinct(account, at // DAY_MS, n).astype(float))
    return columns


def _partners(chunk: Chunk, n: int) -> list[Floats]:
    """Reactions received, replies received, different accounts reacted to a reaction, share of them that react back."""
    aimed = chunk.target_account >= 0
    source, target, kind = chunk.account[aimed], chunk.target_account[aimed], chunk.kind[aimed]
    received = np.bincount(target, minlength=n).astype(float)
    replied = np.bincount(target[(kind == REPLY) | (kind == QUOTE)], minlength=n).astype(float)
    ties = np.unique(source * n + target)
    back = np.isin(ties % n * n + ties // n, ties)
    mutual = np.bincount(ties // n, back.astype(float), n)
    partners = np.bincount(ties // n, minlength=n)
    return [received, replied, _share(partners, np.bincount(source, minlength=n)), _share(mutual, partners)]
