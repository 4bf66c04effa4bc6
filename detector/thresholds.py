"""Conformal thresholds on an account's total evidence, and the addition of evidence components to that total.

Thresholds are order statistics of running maxima of people who had no part in training, by group of accounts
(`detector.threshold_groups`). The total of the four components says no more than the number of these calibration people
supports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.account.features import language_code, language_tag
from detector.account.model import whole_millinats
from detector.errors import ModelError, UsageError
from detector.threshold_groups import (
    CELLS,
    GroupThresholds,
    Looks,
    Source,
    group_thresholds,
    passing,
    pooled,
)
from detector.weights_io import load_weights, save_weights, take

NAME: Final = "thresholds"

MIN_LANGUAGE_PEOPLE: Final = 50
"""Calibration people who must write mainly in a language before accounts in it may be flagged: with fewer, not even
a false-flag rate of 2% could be told from none."""

HORIZON_PEOPLE: Final = 100
"""The horizon is the largest number of posts that this many calibration people reach."""


QUANTILES: Final = tuple(step / 20 for step in range(21))
"""Of the totals of calibration people that are kept: every 5%, which names nobody."""

SMALLER: Final = tuple(step / 20 for step in range(19, 0, -1))
"""Parts of a rate that are tried, in this order, where no groups support the rate itself."""

TOTALS: Final = "totals"
"""Key of the card under which they are."""


class PeopleTotals(NamedTuple):
    """Totals of calibration people.

    Args:
        people: how many.
        quantiles: at `QUANTILES`, nats.
        highest: whether they are running maxima; else they are totals after the last post.
    """

    people: int
    quantiles: list[float]
    highest: bool


def quantiles_of(totals: Sequence[float] | NDArray[np.float64]) -> list[float]:
    """The quantiles of totals at `QUANTILES`, in whole thousandths of a nat."""
    return [round(float(value), 3) for value in np.quantile(np.asarray(totals, np.float64), QUANTILES)]


@dataclass(frozen=True)
class Thresholds:
    """Running maxima of calibration people's `total`, by population, each looked at after every post.

    For a further person of a population of n, P(running maximum > k-th largest of the n) <= k / (n + 1), whatever
    their distribution (split conformal prediction, Vovk et al. 2005). `by_group` gives what accounts are flagged at;
    `threshold`, where there are no groups, is the strictest of the populations large enough to support the rate.

    Args:
        name, version: of the model file.
        maxima: population -> (n,) running maxima in nats, sorted from the largest down.
        horizon_posts: posts with evidence after which the guarantee begins anew.
        languages: primary subtags calibrated.
        card: what the model card says of the people.
        looks: population -> its people group by group; none, and everybody has the same threshold.
        min_texts: texts with evidence from which on people were looked at: accounts with fewer are not flagged.
    """

    name: str
    version: str
    maxima: Mapping[str, NDArray[np.float64]]
    horizon_posts: int
    languages: frozenset[str]
    card: Mapping[str, Any]
    looks: Mapping[str, Looks] = field(default_factory=dict)
    min_texts: int = 1
    _groups: dict[float, GroupThresholds] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What `by_group` has worked out: it looks at every person."""

    @property
    def people(self) -> int:
        """Calibration people in all populations."""
        return sum(len(values) for values in self.maxima.values())

    @property
    def cap_nats(self) -> float:
        """log(n + 1): the most evidence these people can support."""
        return float(np.log(self.people + 1))

    @property
    def finest_fpr(self) -> float:
        """The smallest false-positive rate that some population supports."""
        return 1.0 / (max(len(values) for values in self.maxima.values()) + 1)

    def threshold(self, target_fpr: float) -> float:
        """The total (nats) above which an account is flagged.

        Raises:
            UsageError: `target_fpr` is no rate, or finer than the calibration people support.
        """
        return self._strictest(target_fpr).threshold

    def interval(self, target_fpr: float) -> tuple[float, float]:
        """95% band of the realised false-positive rate over the draw of the calibration people who set the threshold.

        With the cut at the k-th largest of n, the rate is Beta(k, n + 1 - k) distributed (at most, with ties).

        Raises:
            UsageError: as `threshold`.
        """
        return self._strictest(target_fpr).interval()

    def by_group(self, target_fpr: float) -> GroupThresholds:
        """The threshold of every group of accounts.

        Raises:
            UsageError: as `threshold`.
        """
        if target_fpr not in self._groups:
            strictest = GroupThresholds.of(target_fpr, 0, self._strictest(target_fpr), {})
            made = group_thresholds(self.looks, self.languages, target_fpr) if self.looks else None
            self._groups[target_fpr] = made or self._at_smaller_rate(target_fpr, strictest)
        return self._groups[target_fpr]

    def _at_smaller_rate(self, target_fpr: float, strictest: GroupThresholds) -> GroupThresholds:
        """What accounts are flagged at where no groups support a rate: those of the largest smaller rate that they do
        support, or the strictest population's threshold for all, whichever more people pass.

        Both keep the rate. Without it who allows more false flags could find fewer machines.
        """
        if not self.looks:
            return strictest
        for part in SMALLER:
            made = group_thresholds(self.looks, self.languages, part * target_fpr)
            if made is not None:
                everyone = pooled(self.looks)
                more = (
                    passing(everyone, made, self.languages).sum() > passing(everyone, strictest, self.languages).sum()
                )
                return made if more else strictest
        return strictest

    def _strictest(self, target_fpr: float) -> Source:
        """Of the populations that support a rate, the one with the highest threshold."""
        if not 0.0 < target_fpr < 1.0:
            raise UsageError(f"target_fpr is {target_fpr:g}; it must lie between 0 and 1")
        best: Source | None = None
        for values in self.maxima.values():
            rank = int(np.floor(target_fpr * (len(values) + 1) + 1e-9))
            if rank >= 1 and (best is None or values[rank - 1] > best.threshold):
                best = Source(float(values[rank - 1]), rank, len(values))
        if best is None:
            raise UsageError(
                f"target_fpr = {target_fpr:g} is finer than {self.people} calibration people support: "
                f"the finest is {self.finest_fpr:.2g}; use that, or calibrate on more people (swarmlight calibrate)"
            )
        return best

    def people_totals(self) -> PeopleTotals:
        """Totals of the calibration people, to hold others' beside.

        Of thresholds whose card has no totals after the last post, as of those made before they were kept, the running
        maxima are given.
        """
        kept = self.card.get(TOTALS)
        if isinstance(kept, list) and len(kept) == len(QUANTILES):
            return PeopleTotals(self.people, [float(value) for value in kept], highest=False)
        maxima = np.concatenate(list(self.maxima.values()))
        return PeopleTotals(self.people, quantiles_of(maxima), highest=True)

    def calibrated(self, languages: NDArray[np.uint16]) -> NDArray[np.bool_]:
        """(n,) whether accounts whose main language has these codes may be flagged."""
        codes = np.array(sorted(language_code(tag) for tag in self.languages), np.uint16)
        return np.isin(languages, codes)

    def why_uncalibrated(self, language: int) -> str:
        """The reason `abstained.flag` gives for an account whose main language has this code."""
        tag = language_tag(language)
        known = ", ".join(sorted(self.languages)) or "none"
        return f"uncalibrated: language {tag or 'unknown'} (calibrated: {known})"

    @classmethod
    def of(
        cls,
        maxima: Mapping[str, Sequence[float] | NDArray[np.float64]],
        horizon_posts: int,
        languages: frozenset[str],
        version: str,
        card: Mapping[str, Any] | None = None,
        *,
        looks: Mapping[str, Looks] | None = None,
        min_texts: int = 1,
    ) -> Thresholds:
        """Thresholds from running maxima.

        Args:
            maxima: population -> running maxima of its people's totals in nats, in any order.
            horizon_posts: texts over which the maxima were taken.
            languages: primary tags that enough of the people write in.
            version: of these thresholds.
            card: what to say of the people.
            looks: population -> the same people group by group.
            min_texts: texts with evidence from which on they were looked at.

        Raises:
            UsageError: there are no people, or a maximum is not finite.
        """
        ordered = {
            population: np.sort(np.asarray(values, np.float64))[::-1].copy()
            for population, values in sorted(maxima.items())
            if len(values)
        }
        if not ordered:
            raise UsageError("no calibration person has a post that gives evidence: nothing to calibrate on")
        if not all(np.isfinite(values).all() for values in ordered.values()):
            raise UsageError(
                "a calibration person's running maximum is not finite: the models are damaged, train them again"
            )
        groups = {name: each for name, each in sorted((looks or {}).items()) if name in ordered}
        return cls(NAME, version, ordered, horizon_posts, languages, dict(card or {}), groups, min_texts)

    def save(self, directory: Path, meta: Mapping[str, Any] | None = None) -> None:
        """Write the thresholds into `directory`."""
        arrays: dict[str, NDArray[Any]] = {f"maxima.{population}": values for population, values in self.maxima.items()}
        for population, looks in self.looks.items():
            where = np.stack([looks.person, looks.language, looks.cell], axis=1)
            arrays |= {f"where.{population}": where.astype(np.int32), f"highest.{population}": looks.highest}
        described = {
            **(meta or {}),
            "name": self.name,
            "version": self.version,
            "horizon_posts": self.horizon_posts,
            "languages": sorted(self.languages),
            "min_texts": self.min_texts,
            "report": dict(self.card),
        }
        save_weights(directory / NAME, arrays, described)

    @classmethod
    def load(cls, directory: Path) -> Thresholds:
        """The thresholds in `directory`.

        Raises:
            ModelError: they are missing or damaged.
        """
        path = directory / NAME
        arrays, meta = load_weights(path)
        horizon, languages, least = meta.get("horizon_posts"), meta.get("languages"), meta.get("min_texts", 1)
        if not isinstance(horizon, int) or not isinstance(languages, list) or not isinstance(least, int):
            raise ModelError(f"the thresholds in {path} lack horizon_posts or languages: calibrate again")
        maxima = {
            key.removeprefix("maxima."): take(arrays, key, (None,), path).astype(np.float64)
            for key in sorted(arrays)
            if key.startswith("maxima.")
        }
        looks = {name: _looks(arrays, name, path) for name in maxima if f"where.{name}" in arrays}
        try:
            return cls.of(
                maxima,
                horizon,
                frozenset(map(str, languages)),
                meta["version"],
                meta.get("report") or {},
                looks=looks,
                min_texts=least,
            )
        except UsageError as error:
            raise ModelError(f"the thresholds in {path} cannot be used ({error}): calibrate again") from error


def _looks(arrays: Mapping[str, NDArray[Any]], population: str, path: Path) -> Looks:
    where = take(arrays, f"where.{population}", (None, 3), path).astype(np.int64)
    highest = take(arrays, f"highest.{population}", (len(where),), path).astype(np.float64)
    if (where < 0).any() or (where[:, 1] >> 16).any() or (where[:, 2] >= CELLS).any() or not np.isfinite(highest).all():
        raise ModelError(f"the groups of {population} in {path} are out of range: calibrate again")
    return Looks(where[:, 0], where[:, 1].astype(np.uint16), where[:, 2], highest)


FloatArray = NDArray[np.float64]


class Fused(NamedTuple):
    """Parts of n accounts after the cap; `total` is their sum."""

    text: FloatArray
    behaviour: FloatArray
    coordination: FloatArray
    graph: FloatArray
    total: FloatArray


def combine(text: FloatArray, behaviour: FloatArray, coordination: FloatArray, graph: FloatArray, cap: float) -> Fused:
    """Add the components, and shrink them together so that the total stays under `cap`.

    n people cannot show that an event is rarer than 1 / (n + 1), so no total beyond log(n + 1) nats can be checked.
    The sum s becomes cap * tanh(s / cap): small sums stay as they are, order stays, and every component is scaled by
    the same factor, so the components still add up and none changes sign.

    Args:
        text, behaviour, coordination, graph: (n,) LLRs in nats; 0.0 where a component abstains.
        cap: largest absolute total, in nats, positive.
    """
    total = text + behaviour + coordination + graph
    bounded = cap * np.tanh(total / cap)
    factor = np.where(np.abs(total) > _TINY, bounded / np.where(np.abs(total) > _TINY, total, 1.0), 1.0)
    components = [whole_millinats(component * factor) for component in (text, behaviour, coordination, graph)]
    return Fused._make((*components, whole_millinats(components[0] + components[1] + components[2] + components[3])))


_TINY = 1e-9


def posterior(total: FloatArray, prior: float) -> FloatArray:
    """P(a language model drives the account) for prior share `prior` of such accounts, in (0, 1)."""
    logit = total + np.log(prior / (1.0 - prior))
    result: FloatArray = 1.0 / (1.0 + np.exp(-logit))
    return result
