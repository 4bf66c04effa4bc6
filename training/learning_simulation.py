"""What learning from decisions brings back after a drift, and how often the estimate of misses covers the truth.

    python -m training.learning_simulation            (make bench-learning)

Societies of accounts with four evidence components, of which the live model's sum is the right one until machines
change. Evidence moves: `moved`: texts of a new language model look more like people's, while operators post more
regularly; `turned`: texts of the new model lie beyond people's, on the other side; `irregular`: machines post less
regularly than people do. Or it goes: `weak`: texts look more like people's and nothing else changes; `alone`: machines
no longer act together. What is not in the evidence any more no weights bring back, so of those two little is to be had.
In three more machines become two kinds: `half turned` and `half irregular` (the other half stay as they were), and
`two ways` (half of them either). People never change; the live threshold and the learned one are set by the same 520 of
them, who are fitted to by neither. 200 decisions are drawn as they would be made: alerts, and a blind sample of the
unflagged with known probabilities (`detector.blind_sampling`).

Recovered is the share of the recall lost by the drift that is had back; attainable the same for a model fitted to the
truth of every account, which no set of decisions can beat with these four weights; and `any rule` the same for the
likelihood ratio of what was drawn, which no rule of any shape on these four components can beat (Neyman and Pearson).
Intervals are over seeds.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from detector.blind_sampling import estimate, inclusion
from detector.errors import UsageError
from training.decision_learning import Floats, conformal_threshold, fit

Flagging = Callable[[Floats], NDArray[np.bool_]]

Drift = Literal["moved", "turned", "irregular", "weak", "alone", "half turned", "half irregular", "two ways"]

CALIBRATION_PEOPLE: Final = 520
"""As many as set the shipped thresholds."""

TEXT_STRENGTH: Final = (1.2, 2.6)
BEHAVIOUR_STRENGTH: Final = (0.7, 1.4)
"""Standard deviations between people's and machines' evidence, by society; together AUROC 0.84 to 0.98, as in
`training.drawn_evidence`."""

UNSEEN_SHIFT: Final = (0.0, 1.0)
"""The same for texts of a language model that no text model has met."""

TURNED_SHIFT: Final = (-2.0, -1.0)

REGULAR_NATS: Final = 1.0
"""By which machines of the drift `moved` post more like machines."""

IRREGULAR_SHIFT: Final = -1.0
"""Of machines' behaviour from people's, in standard deviations, in the drift `irregular`."""

IN_CAMPAIGNS: Final = 0.6
IN_CROWDS: Final = 0.1
"""Shares of machines and of people that act with others."""

ALONE_MEANS: Final = (-0.2, -0.2)
ALONE_DEVIATIONS: Final = (0.1, 0.5)
"""Coordination and graph evidence, in nats, on accounts that act with nobody."""

PARTS_OF: Final[Mapping[Drift | None, tuple[Drift | None, Drift | None]]] = {
    "half turned": (None, "turned"),
    "half irregular": (None, "irregular"),
    "two ways": ("turned", "irregular"),
}
"""What the halves of the machines do in drifts that make them two kinds."""

ALERTS_SHOWN: Final = 80
BLIND_SHOWN: Final = 120
"""Of the 200 decisions: alerts, and accounts of the blind sample on average: after a drift the sample says more."""

FRESH: Final = 20_000
"""Fresh people and machines on whom rates are measured."""


@dataclass(frozen=True)
class DriftSettings:
    """What is simulated.

    Args:
        drift: how machines change.
        share: of machines among all accounts.
        accounts: that were seen.
        target_fpr: share of people that may be flagged.
        wrong: share of decisions that are wrong.
    """

    drift: Drift
    share: float = 0.02
    accounts: int = 20_000
    target_fpr: float = 0.01
    wrong: float = 0.0


@dataclass(frozen=True)
class LearningRates:
    """Rates of one society: recall before the drift, after it, learned, attainable by four weights and by any rule;
    false flags, live and learned."""

    before: float
    after: float
    learned: float
    attainable: float
    any_rule: float
    false_live: float
    false_learned: float


class EvidenceCluster(NamedTuple):
    """Accounts of one kind: their share, and means and standard deviations of the four components, which are normal."""

    share: float
    means: tuple[float, float, float, float]
    deviations: tuple[float, float, float, float]


@dataclass(frozen=True)
class DriftSociety:
    """What evidence is like in one society, and how its machines change.

    Args:
        text: standard deviations between people's and machines' text evidence.
        behaviour: the same of behaviour.
        unseen: of new texts from people's, in standard deviations.
        turned: the same where they turned.
    """

    text: float
    behaviour: float
    unseen: float
    turned: float

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> DriftSociety:
        """One of those that there may be."""
        return cls(*(float(rng.uniform(*each)) for each in (
            TEXT_STRENGTH, BEHAVIOUR_STRENGTH, UNSEEN_SHIFT, TURNED_SHIFT
        )))  # fmt: skip

    def people(self) -> list[EvidenceCluster]:
        """People, those in crowds first."""
        text, behaviour = self.text, self.behaviour
        means = -(text**2) / 2, -(behaviour**2) / 2
        return [
            EvidenceCluster(IN_CROWDS, (*means, 0.3, -0.2), (text, behaviour, 0.8, 0.5)),
            EvidenceCluster(1.0 - IN_CROWDS, (*means, *ALONE_MEANS), (text, behaviour, *ALONE_DEVIATIONS)),
        ]

    def machines(self, drift: Drift | None) -> list[EvidenceCluster]:
        """Machines before a drift (None) or after it.

        Args:
            drift: how they changed.
        """
        if drift in PARTS_OF:
            first, second = PARTS_OF[drift]
            both = [*self.machines(first), *self.machines(second)]
            return [each._replace(share=each.share / 2) for each in both]
        text, behaviour = self.text**2 / 2, self.behaviour**2 / 2
        if drift in ("weak", "moved", "turned"):
            text = -text + self.text * (self.turned if drift == "turned" else self.unseen)
        if drift == "moved":
            behaviour += REGULAR_NATS
        if drift == "irregular":
            behaviour = -behaviour + IRREGULAR_SHIFT * self.behaviour
        together = IN_CROWDS if drift == "alone" else IN_CAMPAIGNS
        own = self.text, self.behaviour
        return [
            EvidenceCluster(together, (text, behaviour, 2.0, 0.8), (*own, 1.2, 0.8)),
            EvidenceCluster(1.0 - together, (text, behaviour, *ALONE_MEANS), (*own, *ALONE_DEVIATIONS)),
        ]


def draw(kinds: Sequence[EvidenceCluster], count: int, rng: np.random.Generator) -> Floats:
    """Evidence on accounts; shape (count, 4).

    Args:
        kinds: of accounts, whose shares add up to 1.
        count: how many.
        rng: where chance comes from.
    """
    which = rng.choice(len(kinds), count, p=[each.share for each in kinds])
    means = np.array([each.means for each in kinds])[which]
    result: Floats = means + rng.normal(size=(count, 4)) * np.array([each.deviations for each in kinds])[which]
    return result


def density(kinds: Sequence[EvidenceCluster], at: Floats) -> Floats:
    """Logarithm of how dense accounts of these kinds are; shape (accounts,).

    Args:
        kinds: as in `draw`.
        at: evidence, shape (accounts, 4).
    """
    each = [
        math.log(share) + np.asarray(norm.logpdf(at, means, deviations)).sum(axis=1)
        for share, means, deviations in kinds
    ]
    result: Floats = np.logaddexp.reduce(each)
    return result


def simulate(setting: DriftSettings, seed: int) -> LearningRates:
    """One society, its drift, and what 200 decisions bring back."""
    rng = np.random.default_rng([seed, round(1000 * setting.share), get_args(Drift).index(setting.drift)])
    society = DriftSociety.drawn(rng)
    people, machines = society.people(), society.machines(setting.drift)
    count = round(setting.accounts * setting.share)
    calibration = draw(people, CALIBRATION_PEOPLE, rng)
    seen = np.vstack([draw(people, setting.accounts - count, rng), draw(machines, count, rng)])
    truth = np.arange(len(seen)) >= len(seen) - count
    live = conformal_threshold(calibration.sum(axis=1), setting.target_fpr)
    chosen, probabilities = shown(seen, seen.sum(axis=1) > live, setting.share, rng)
    said = truth[chosen] ^ (rng.random(len(chosen)) < setting.wrong)
    best = fit(seen, truth, np.ones(len(seen)), calibration, prior=setting.share, target_fpr=setting.target_fpr)
    fresh = draw(people, FRESH, rng)
    before = draw(society.machines(None), FRESH, rng)
    try:
        shadow = fit(seen[chosen], said, probabilities, calibration, prior=setting.share, target_fpr=setting.target_fpr)
        learned: Flagging = shadow.flags
    except UsageError:
        # Hardly a machine among the decisions: the live model stays.
        learned = best.live_flags
    after = draw(machines, FRESH, rng)

    def ratio(at: Floats) -> Floats:
        return density(machines, at) - density(people, at)

    return LearningRates(
        before=float(best.live_flags(before).mean()),
        after=float(best.live_flags(after).mean()),
        learned=float(learned(after).mean()),
        attainable=float(best.flags(after).mean()),
        any_rule=float((ratio(after) > conformal_threshold(ratio(calibration), setting.target_fpr)).mean()),
        false_live=float(best.live_flags(fresh).mean()),
        false_learned=float(learned(fresh).mean()),
    )


def shown(
    seen: Floats, flagged: NDArray[np.bool_], prior: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], Floats]:
    """Which accounts are decided on, and with which probability each was to be.

    Args:
        seen: evidence on all.
        flagged: whom the live model flags.
        prior: share of machines that the operator assumes.
        rng: where chance comes from.
    """
    chance = np.full(len(seen), min(1.0, ALERTS_SHOWN / max(1, int(flagged.sum()))))
    unflagged = ~flagged
    chance[unflagged] = inclusion(seen[unflagged], prior, BLIND_SHOWN / int(unflagged.sum()))
    chosen = np.flatnonzero(rng.random(len(seen)) < chance)
    return chosen, chance[chosen]


def recovered(found: Sequence[LearningRates]) -> tuple[float, float, float]:
    """Shares of the lost recall that were had back, and that could have been by four weights and by any rule, over all
    societies together."""
    lost = sum(each.before - each.after for each in found)
    learned = sum(each.learned - each.after for each in found)
    attainable = sum(each.attainable - each.after for each in found)
    any_rule = sum(each.any_rule - each.after for each in found)
    return learned / lost, attainable / lost, any_rule / lost


def interval(found: Sequence[LearningRates], rng: np.random.Generator, draws: int = 2000) -> tuple[float, float]:
    """95% of what `recovered` gives when the societies are drawn again (bootstrap).

    Args:
        found: what came of each society.
        rng: where chance comes from.
        draws: how often they are drawn again.
    """
    places = rng.integers(0, len(found), (draws, len(found)))
    values = [recovered([found[place] for place in row])[0] for row in places]
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def coverage(accounts: int, missed: int, sample: float, seeds: int) -> tuple[float, float]:
    """How often the 95% interval of missed accounts has the truth in it, and its middle width beside the truth.

    Args:
        accounts: unflagged ones.
        missed: how many of them are machines.
        sample: how many are shown on average.
        seeds: simulations.
    """
    hits, widths = 0, []
    for seed in range(seeds):
        rng = np.random.default_rng([seed, accounts, missed])
        society = DriftSociety.drawn(rng)
        kinds = society.people(), society.machines("weak")
        seen = np.vstack([draw(kinds[0], accounts - missed, rng), draw(kinds[1], missed, rng)])
        chance = inclusion(seen, 0.01, sample / accounts)
        drawn = rng.random(accounts) < chance
        told = estimate(chance[drawn & (np.arange(accounts) >= accounts - missed)], float(chance.min()))
        hits += told.low <= missed <= told.high
        widths.append(told.high - told.low)
    return hits / seeds, float(np.median(widths)) / max(1, missed)


def told(setting: DriftSettings, found: Sequence[LearningRates]) -> str:
    """The line of the table about some societies, two at least.

    Args:
        setting: of all of them.
        found: what came of each.
    """
    middle = {name: float(np.mean([getattr(each, name) for each in found])) for name in LearningRates.__annotations__}
    back, most, any_rule = recovered(found)
    low, high = interval(found, np.random.default_rng(0))
    more = np.array([each.false_learned - each.false_live for each in found])
    half = 1.959964 * float(more.std(ddof=1)) / math.sqrt(len(more))
    return (
        f"{setting.drift:<14} {setting.share:5.0%} {setting.wrong:6.0%} {middle['before']:7.3f} {middle['after']:6.3f} "
        f"{middle['learned']:8.3f} {middle['attainable']:11.3f}   {back:5.0%} ({low:.0%} to {high:.0%}) {most:11.0%} "
        f"{any_rule:9.0%}   {middle['false_live']:.2%} -> {middle['false_learned']:.2%}  {more.mean():+.2%} "
        f"({more.mean() - half:+.2%} to {more.mean() + half:+.2%})"
    )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=60, metavar="N", help="societies of each kind (default 60)")
    parser.add_argument("--samples", type=int, default=1000, metavar="N", help="samples of each kind (default 1000)")
    parser.add_argument("--drift", choices=get_args(Drift), help="of one kind alone (default all)")
    given = parser.parse_args()
    print("200 decisions after a drift. Recall on fresh machines, false flags on fresh people, at a target of 1%.")
    print("drift          share  wrong  before  after  learned  attainable  recovered (95%)     attainable  any rule  "
          "false flags        difference (95%)")  # fmt: skip
    for drift in get_args(Drift) if given.drift is None else (given.drift,):
        for share, wrong in ((0.02, 0.0), (0.05, 0.0), (0.05, 0.05)):
            setting = DriftSettings(drift, share, wrong=wrong)
            found = [simulate(setting, seed) for seed in range(given.seeds)]
            print(told(setting, found), flush=True)
    print("\nThe interval of missed accounts, from a blind sample.")
    print("accounts  missed  shown  covers (95% of what a rate of 95% gives)   width / missed")
    half = 1.959964 * math.sqrt(0.95 * 0.05 / given.samples)
    for accounts, missed, sample in (
        (5000, 0, 100),
        (5000, 20, 100),
        (5000, 100, 100),
        (5000, 100, 300),
        (20000, 400, 200),
    ):
        rate, width = coverage(accounts, missed, sample, given.samples)
        print(f"{accounts:8} {missed:7} {sample:6}  {rate:6.1%} (above {0.95 - half:.1%})   {width:20.1f}")


if __name__ == "__main__":
    main()
