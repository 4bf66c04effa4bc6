"""What a run's scores are worth against a stream's truth: ranking, flags, groups, with intervals.

The definitions are those a reader expects: accounts that have no row in the scores count as lowest and unflagged; a
campaign's pairs count among flagged accounts, a group's among all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.evidence import PARTS
from training.scoring import auroc, average_precision, differs, exceeds, interval, tpr_at

DRAWS: Final = 200
"""Bootstrap draws behind a 95% interval."""

BY_POSTS: Final = (5, 10, 20)
"""Posts by which the share of machines flagged is told."""

Score = Mapping[str, Any]


@dataclass(frozen=True)
class Judged:
    """A stream's accounts with truth and scores side by side, (n,) each.

    Args:
        names: of the accounts in the truth file, in its order.
        label: 1 = machine.
        campaign: true campaign, "" for none.
        part: the slice of the truth file, "" for none.
        parts: (n, 4) LLRs in the order of `detector.evidence.PARTS`; NaN where an account has no row.
        flagged: whether it was flagged.
        flag_posts: posts at the flag, infinity where there is none.
        found_campaign, found_group: ids in the scores, "" for none.
    """

    names: list[str]
    label: NDArray[np.int64]
    campaign: NDArray[np.str_]
    part: NDArray[np.str_]
    parts: NDArray[np.float64]
    flagged: NDArray[np.bool_]
    flag_posts: NDArray[np.float64]
    found_campaign: NDArray[np.str_]
    found_group: NDArray[np.str_]

    def take(self, chosen: NDArray[Any]) -> Judged:
        """The accounts `chosen` (a mask or indices)."""
        rows = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen
        arrays = {name: value[rows] for name, value in vars(self).items() if name != "names"}
        return Judged(names=[self.names[i] for i in rows.tolist()], **arrays)

    def score(self, parts: Sequence[str] = PARTS) -> NDArray[np.float64]:
        """(n,) sum of `parts`; accounts without a row lie below all others."""
        total: NDArray[np.float64] = self.parts[:, [PARTS.index(part) for part in parts]].sum(axis=1)
        here = np.isfinite(total)
        lowest = total[here].min() - 1 if here.any() else 0.0
        return np.where(here, total, lowest)


def judged(truth: Mapping[str, Score], scores: Sequence[Score]) -> Judged:
    """Truth (account -> its record) and score rows side by side."""
    rows = {row["account"]: row for row in scores}
    found = [rows.get(name) for name in truth]
    nothing = dict.fromkeys(PARTS, float("nan"))
    return Judged(
        names=list(truth),
        label=np.array([record["label"] for record in truth.values()], np.int64),
        campaign=np.array([record.get("campaign") or "" for record in truth.values()]),
        part=np.array([record.get("slice") or "" for record in truth.values()]),
        parts=np.array([[(row["llr"] if row else nothing)[part] for part in PARTS] for row in found], np.float64),
        flagged=np.array([bool(row and row["flagged"]) for row in found]),
        flag_posts=np.array([_posts_at_flag(row) for row in found]),
        found_campaign=np.array([(row and row.get("campaign")) or "" for row in found]),
        found_group=np.array([(row and row.get("group")) or "" for row in found]),
    )


def _posts_at_flag(row: Score | None) -> float:
    posts = row.get("posts_at_flag") if row and row["flagged"] else None
    return float("inf") if posts is None else float(posts)


def pooled(parts: Sequence[Judged]) -> Judged:
    """Accounts of several judged sets one after another."""
    names = [name for part in parts for name in part.names]
    columns = [name for name in vars(parts[0]) if name != "names"]
    return Judged(names=names, **{name: np.concatenate([getattr(part, name) for part in parts]) for name in columns})


def ranking(given: Judged, parts: Sequence[str] = PARTS) -> dict[str, float]:
    """AUROC, average precision and TPR at 1% FPR of the sum of `parts`; empty without both classes."""
    if not 0 < given.label.sum() < len(given.label):
        return {}
    score = given.score(parts)
    return {
        "auroc": auroc(given.label, score),
        "ap": average_precision(given.label, score),
        "tpr_at_1pct_fpr": tpr_at(given.label, score, 0.01),
    }


def flags(given: Judged, target_fpr: float) -> dict[str, Any]:
    """Precision, recall and false-positive rate of the flags, with an exact interval and tests against the target."""
    people, machines = given.label == 0, given.label == 1
    wrong, right = int(given.flagged[people].sum()), int(given.flagged[machines].sum())
    count = int(people.sum())
    found: dict[str, Any] = {
        "people": count,
        "machines": int(machines.sum()),
        "flagged": wrong + right,
        "false_flags": wrong,
        "precision": right / max(wrong + right, 1),
        "recall": right / int(machines.sum()) if machines.any() else None,
        "fpr": wrong / count if count else None,
        "fpr_95": list(interval(wrong, count)),
        "p_more_than_target": exceeds(wrong, count, target_fpr),
        "p_other_than_target": differs(wrong, count, target_fpr),
    }
    for posts in BY_POSTS:
        share = float((given.flag_posts[machines] <= posts).mean()) if machines.any() else None
        found[f"flagged_by_{posts}"] = share
    return found


def pairs(given: Judged, field: str) -> dict[str, float] | None:
    """Pair precision, recall and F1 of `campaign` (flagged accounts) or `group` (all) against the true campaigns.

    Also how many true campaigns have half of their members in one found group. None where there is neither.
    """
    true: defaultdict[str, list[str]] = defaultdict(list)
    found: defaultdict[str, list[str]] = defaultdict(list)
    ids = given.found_campaign if field == "campaign" else given.found_group
    for i, name in enumerate(given.names):
        if given.campaign[i]:
            true[str(given.campaign[i])].append(name)
        if ids[i] and (field == "group" or given.flagged[i]):
            found[str(ids[i])].append(name)
    actual, claimed = _pairs_of(true), _pairs_of(found)
    if not actual and not claimed:
        return None
    hits = len(actual & claimed)
    precision, recall = hits / max(len(claimed), 1), hits / max(len(actual), 1)
    halves = [
        max((len(set(members) & set(group)) for group in found.values()), default=0) / len(members)
        for members in true.values()
    ]
    return {
        "true": len(true),
        "found": len(found),
        "found_half": sum(share >= _HALF for share in halves),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / max(precision + recall, 1e-12),
    }


_HALF: Final = 0.5


def _pairs_of(groups: Mapping[str, Sequence[str]]) -> set[tuple[str, ...]]:
    return {tuple(sorted(pair)) for members in groups.values() for pair in combinations(members, 2)}


def intervals(
    given: Judged, measure: Callable[[Judged], Mapping[str, float]], rng: np.random.Generator, draws: int = DRAWS
) -> dict[str, tuple[float, float]]:
    """95% bootstrap intervals of what `measure` says. A campaign is drawn as a whole, any other account by itself."""
    alone = np.array([f"\0{name}" for name in given.names])
    cluster = np.where(given.campaign != "", given.campaign, alone)
    _, inverse = np.unique(cluster, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(inverse))[:-1])
    machine = np.array([given.label[rows[0]] == 1 for rows in members])
    kinds = [np.flatnonzero(machine), np.flatnonzero(~machine)]
    found: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(draws):
        drawn = [members[i] for kind in kinds if len(kind) for i in rng.choice(kind, len(kind))]
        for name, value in measure(given.take(np.concatenate(drawn))).items():
            found[name].append(value)
    return {
        name: (float(np.nanquantile(values, 0.025)), float(np.nanquantile(values, 0.975)))
        for name, values in found.items()
    }
