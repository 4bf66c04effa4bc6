"""What learning from decisions brings back after a drift, and how often the estimate of misses covers the truth.

    python -m training.learning_simulation            (make bench-learning)

Societies of accounts with four evidence components, of which the live model's sum is the right one until machines
change. Evidence moves: `moved`: texts of a new language model look more like people's, while operators post more
regularly; `turned`: texts of the new model lie beyond people's, on the other side; `irregular`: machines post less
regularly than people do. Or it goes: `weak`: texts look more like people's and nothing else changes; `alone`: machines
no longer act together. What is not in the evidence any more no weights bring back, so of those two little is to be had.
In three more machines become two kinds: `half turned` and `half irregular` (the other half stay as they were), and
`two ways` (half of them either). In `random` machines become one to three kinds, each anywhere. People never change;
the live threshold and the learned one are set by the same 520 of them, who are fitted to by neither. 200 decisions are
drawn as they would be made: alerts, and a blind sample of the unflagged with known probabilities
(`detector.blind_sampling`).

Recovered is the share of the recall lost by the drift that is had back, and `any rule` the same for the likelihood
ratio of what was drawn, which no rule of any shape on these four components can beat (Neyman and Pearson). Plain rivals
are four weights without bends from the same decisions, and from as many of which the blind sample was drawn evenly.
Intervals are over seeds.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from detector.blind_sampling import estimate, estimate_among, inclusion
from detector.errors import UsageError
from training.decision_learning import Floats, conformal_threshold, fit

Flagging = Callable[[Floats], NDArray[np.bool_]]

Drift = Literal["moved", "turned", "irregular", "weak", "alone", "half turned", "half irregular", "two ways", "random"]

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

MOST_KINDS: Final = 3
STAYS: Final = 0.6
"""Chance that the first of several kinds is that of before."""
RANDOM_TEXT: Final = (-2.5, 2.2)
RANDOM_BEHAVIOUR: Final = (-1.8, 1.8)
RANDOM_IN_CAMPAIGNS: Final = (0.1, 0.75)
"""Of a kind at random: text and behaviour from people's, in standard deviations, and share that acts with others."""

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
    """Rates of one society: recall before the drift, after it, learned, learned by weights alone, by these from an
    evenly drawn sample, and of any rule; false flags, live and learned."""

    before: float
    after: float
    learned: float
    weights: float
    even: float
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
        kinds: machines of the drift `random`.
    """

    text: float
    behaviour: float
    unseen: float
    turned: float
    kinds: tuple[EvidenceCluster, ...] = ()

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> DriftSociety:
        """One of those that there may be."""
        text, behaviour, unseen, turned = (
            float(rng.uniform(*each)) for each in (TEXT_STRENGTH, BEHAVIOUR_STRENGTH, UNSEEN_SHIFT, TURNED_SHIFT)
        )
        made = cls(text, behaviour, unseen, turned)
        return replace(made, kinds=tuple(made._at_random(rng.spawn(1)[0])))

    def _at_random(self, rng: np.random.Generator) -> list[EvidenceCluster]:
        found: list[EvidenceCluster] = []
        shares = rng.dirichlet(np.full(int(rng.integers(1, MOST_KINDS + 1)), 3.0)).tolist()
        for place, share in enumerate(shares):
            if place == 0 and len(shares) > 1 and rng.random() < STAYS:
                kind = self.machines(None)
            else:
                text, behaviour, together = (
                    float(rng.uniform(*each)) for each in (RANDOM_TEXT, RANDOM_BEHAVIOUR, RANDOM_IN_CAMPAIGNS)
                )
                kind = self._machines(
                    -(self.text**2) / 2 + text * self.text,
                    -(self.behaviour**2) / 2 + behaviour * self.behaviour,
                    together,
                )
            found += [each._replace(share=share * each.share) for each in kind]
        return found

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
        if drift == "random":
            return list(self.kinds)
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
        return self._machines(text, behaviour, IN_CROWDS if drift == "alone" else IN_CAMPAIGNS)

    def _machines(self, text: float, behaviour: float, together: float) -> list[EvidenceCluster]:
        """Machines of one kind: means of their text and behaviour, and the share that acts with others."""
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
    flagged = seen.sum(axis=1) > live
    lies = rng.random(len(seen)) < setting.wrong

    def plain(at: Floats) -> NDArray[np.bool_]:
        result: NDArray[np.bool_] = at.sum(axis=1) > live
        return result

    def learned(chance: Floats, *, bent: bool) -> Flagging:
        chosen = np.flatnonzero(draws < chance)
        try:
            return fit(
                seen[chosen], (truth ^ lies)[chosen], chance[chosen], calibration, seen,
                prior=setting.share, target_fpr=setting.target_fpr, bent=bent,
            ).flags  # fmt: skip
        except UsageError:
            # Hardly a machine among the decisions: the live model stays.
            return plain

    def ratio(at: Floats) -> Floats:
        return density(machines, at) - density(people, at)

    draws = rng.random(len(seen))
    chance, evenly = shown(seen, flagged), shown(seen, flagged, evenly=True)
    fresh, after = draw(people, FRESH, rng), draw(machines, FRESH, rng)
    found = learned(chance, bent=True)
    return LearningRates(
        before=float(plain(draw(society.machines(None), FRESH, rng)).mean()),
        after=float(plain(after).mean()),
        learned=float(found(after).mean()),
        weights=float(learned(chance, bent=False)(after).mean()),
        even=float(learned(evenly, bent=False)(after).mean()),
        any_rule=float((ratio(after) > conformal_threshold(ratio(calibration), setting.target_fpr)).mean()),
        false_live=float(plain(fresh).mean()),
        false_learned=float(found(fresh).mean()),
    )


def shown(seen: Floats, flagged: NDArray[np.bool_], *, evenly: bool = False) -> Floats:
    """With which probability each account is to be decided on.

    Args:
        seen: evidence on all.
        flagged: whom the live model flags.
        evenly: whether the blind sample is drawn evenly, the plain rival.
    """
    chance = np.full(len(seen), min(1.0, ALERTS_SHOWN / max(1, int(flagged.sum()))))
    unflagged = ~flagged
    share = BLIND_SHOWN / int(unflagged.sum())
    chance[unflagged] = share if evenly else inclusion(seen[unflagged], share)
    return chance


def recovered(found: Sequence[LearningRates]) -> dict[str, float]:
    """Shares of the lost recall that were had back, over all societies together: learned, by the plain rivals
    (`weights`, `even`), and by any rule."""
    lost = sum(each.before - each.after for each in found)
    return {
        name: sum(getattr(each, name) - each.after for each in found) / lost
        for name in ("learned", "weights", "even", "any_rule")
    }


def _of_any_rule(found: Sequence[LearningRates]) -> float:
    shares = recovered(found)
    return shares["learned"] / shares["any_rule"]


def _over_weights(found: Sequence[LearningRates]) -> float:
    return float(np.mean([each.learned - each.weights for each in found]))


def interval(
    found: Sequence[LearningRates],
    rng: np.random.Generator,
    what: Callable[[Sequence[LearningRates]], float] = lambda found: recovered(found)["learned"],
    draws: int = 2000,
) -> tuple[float, float]:
    """95% of what a figure is when the societies are drawn again (bootstrap).

    Args:
        found: what came of each society.
        rng: where chance comes from.
        what: the figure: the share that was had back unless another is given.
        draws: how often they are drawn again.
    """
    places = rng.integers(0, len(found), (draws, len(found)))
    values = [what([found[place] for place in row]) for row in places]
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def coverage(accounts: int, missed: int, sample: float, seeds: int) -> tuple[float, float, float]:
    """How often the 95% interval of missed accounts has the truth in it, that of one day's sample and that of all who
    were shown together (`estimate_among`), and the middle width of the first beside the truth.

    Args:
        accounts: unflagged ones.
        missed: how many of them are machines.
        sample: how many are shown on average.
        seeds: simulations.
    """
    hits, together, widths = 0, 0, []
    for seed in range(seeds):
        rng = np.random.default_rng([seed, accounts, missed])
        society = DriftSociety.drawn(rng)
        kinds = society.people(), society.machines("weak")
        seen = np.vstack([draw(kinds[0], accounts - missed, rng), draw(kinds[1], missed, rng)])
        chance = inclusion(seen, sample / accounts)
        drawn = rng.random(accounts) < chance
        found = chance[drawn & (np.arange(accounts) >= accounts - missed)]
        told, all_told = estimate(found, float(chance.min())), estimate_among(found, chance[drawn], accounts)
        hits += told.low <= missed <= told.high
        together += all_told.low <= missed <= all_told.high
        widths.append(told.high - told.low)
    return hits / seeds, together / seeds, float(np.median(widths)) / max(1, missed)


def told(setting: DriftSettings, found: Sequence[LearningRates]) -> str:
    """The line of the table about some societies, two at least.

    Args:
        setting: of all of them.
        found: what came of each.
    """
    middle = {name: float(np.mean([getattr(each, name) for each in found])) for name in LearningRates.__annotations__}
    back = recovered(found)
    rivals = f"{back['weights']:.0%}, {back['even']:.0%}"
    low, high = interval(found, np.random.default_rng(0))
    least, most = interval(found, np.random.default_rng(0), _of_any_rule)
    worse, better = interval(found, np.random.default_rng(0), _over_weights)
    more = np.array([each.false_learned - each.false_live for each in found])
    half = 1.959964 * float(more.std(ddof=1)) / math.sqrt(len(more))
    return (
        f"| {setting.drift} | {setting.share:.0%} | {setting.wrong:.0%} | {middle['before']:.2f} "
        f"| {middle['after']:.2f} | {middle['learned']:.2f} | {back['learned']:.0%} ({low:.0%} to {high:.0%}) "
        f"| {back['any_rule']:.0%} | {_of_any_rule(found):.0%} ({least:.0%} to {most:.0%}) | {rivals} "
        f"| {100 * _over_weights(found):+.1f} ({100 * worse:+.1f} to {100 * better:+.1f}) "
        f"| {middle['false_live']:.2%} to {middle['false_learned']:.2%} "
        f"| {more.mean():+.2%} ({more.mean() - half:+.2%} to {more.mean() + half:+.2%}) |"
    )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=60, metavar="N", help="societies of each kind (default 60)")
    parser.add_argument("--samples", type=int, default=1000, metavar="N", help="samples of each kind (default 1000)")
    parser.add_argument("--drift", choices=get_args(Drift), help="of one kind alone (default all)")
    given = parser.parse_args()
    print("200 decisions after a drift. Recall on fresh machines, false flags on fresh people, at a target of 1%.")
    print("| machines | share | wrong | before | after | learned | recovered | any rule | of any rule "
          "| four weights, and evenly | over four weights | false flags, live to learned | difference |")  # fmt: skip
    print("|" + " --- |" * 13)
    for drift in get_args(Drift) if given.drift is None else (given.drift,):
        for share, wrong in ((0.02, 0.0), (0.05, 0.0), (0.05, 0.05)):
            setting = DriftSettings(drift, share, wrong=wrong)
            found = [simulate(setting, seed) for seed in range(given.seeds)]
            print(told(setting, found), flush=True)
    print("\nThe interval of missed accounts, from a blind sample.")
    print("accounts  missed  shown  covers, and all together (95% of what a rate of 95% gives)   width / missed")
    half = 1.959964 * math.sqrt(0.95 * 0.05 / given.samples)
    for accounts, missed, sample in (
        (5000, 0, 100),
        (5000, 20, 100),
        (5000, 100, 100),
        (5000, 100, 300),
        (20000, 400, 200),
    ):
        rate, together, width = coverage(accounts, missed, sample, given.samples)
        print(
            f"{accounts:8} {missed:7} {sample:6}  {rate:6.1%}, {together:6.1%} (above {0.95 - half:.1%})  {width:10.1f}"
        )


if __name__ == "__main__":
    main()
