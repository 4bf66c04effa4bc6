"""Thresholds for a platform from its own accounts, without knowing which of them are people: an empirical null.

Assumed is that at most a stated share of the accounts are machines, that machines lie above the middle, and that the
platform's people are distributed as the calibration people are, but for where they lie and how far they spread. Then
the lower and middle part of all accounts is that of people, and says both (central matching: Efron 2004, JASA 99,
96-104).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.errors import UsageError
from detector.text import second_stage
from detector.threshold_groups import Looks
from detector.thresholds import MIN_LANGUAGE_PEOPLE, NAME, TOTALS, Thresholds, quantiles_of
from streaming.assess import AssessSettings
from training.calibrate import Person, read_people
from training.cards import thresholds_card
from training.system import BUNDLE_FILES, copy_models, run_system

Floats = NDArray[np.float64]

CENTRAL: Final = np.arange(0.10, 0.601, 0.05)
"""Quantiles that are matched: above the lowest, which are accounts with hardly any text, and under the highest, where
machines are. With a tenth of machines the quantile at 0.6 is that of people at 0.67, which sets thresholds too high
rather than too low."""

SCALES: Final = (0.5, 2.0)
"""How much less or more than the calibration people a platform's may spread. Beyond, they are another kind of thing."""

FEWEST_ACCOUNTS: Final = 200
"""Accounts by which the middle of a platform is known: its quantiles then move by a tenth of their spread."""

STATED_SHARE: Final = 0.1
"""Share of machines that is assumed at most where none is stated."""

LARGEST_SHARE: Final = 0.3
"""Larger ones reach into the quantiles that are matched."""

DRAWS: Final = 200
"""Bootstrap draws of accounts behind the interval of a threshold."""

_FPR: Final = 0.01
_UPPER: Final = 0.95
"""Quantile of the null above which accounts that are too many for people are counted."""


@dataclass(frozen=True)
class Null:
    """Where a platform's people lie, beside the calibration people.

    Args:
        accounts: with enough texts.
        shift: nats added to what calibration people reach, after `scale`; of the population that sets the threshold.
        scale: by which it is multiplied.
        threshold: for one in a hundred, nats.
        interval: 95% bootstrap interval of that threshold over the draw of accounts.
        machines: share of accounts that are too many above the people's 95% quantile; an estimate of machines.
        stated: share that was assumed at most.
    """

    accounts: int
    shift: float
    scale: float
    threshold: float
    interval: tuple[float, float]
    machines: float
    stated: float


def central_match(accounts: Floats, people: Floats) -> tuple[float, float]:
    """Shift and scale that move people's values onto the middle of the accounts'.

    Args:
        accounts: (n,) of the platform.
        people: (m,) of calibration people.
    """
    x, y = np.quantile(people, CENTRAL), np.quantile(accounts, CENTRAL)
    spread = float(((x - x.mean()) ** 2).sum())
    scale = float(((x - x.mean()) * (y - y.mean())).sum()) / spread if spread > 0 else 1.0
    scale = float(np.clip(scale, *SCALES))
    return float(y.mean() - scale * x.mean()), scale


def empirical_null(reference: Thresholds, accounts: Floats, stated: float = STATED_SHARE) -> tuple[Thresholds, Null]:
    """Thresholds of calibration people moved onto a platform, and what was found.

    Every population of calibration people, with its groups, is matched to the platform by itself, and the strictest
    sets the threshold, as without.

    Args:
        reference: thresholds of calibration people.
        accounts: (n,) running maximum of the total of each account of the platform.
        stated: share of them that are machines, at most.

    Raises:
        UsageError: the share is out of range, there are too few accounts, or more of them lie above the people than
            are stated to be machines, so that the assumption does not hold.
    """
    if not 0.0 <= stated <= LARGEST_SHARE:
        raise UsageError(f"a share of {stated:g} machines cannot be assumed: state one from 0 to {LARGEST_SHARE:g}")
    if len(accounts) < FEWEST_ACCOUNTS:
        raise UsageError(
            f"{len(accounts)} accounts with enough texts are too few to see where a platform's people lie: "
            f"{FEWEST_ACCOUNTS} are needed; or calibrate on accounts known to be people (--input)"
        )
    made, shift, scale = _moved(reference, accounts)
    target = max(_FPR, made.finest_fpr)
    threshold = made.threshold(target)
    upper = made.threshold(1 - _UPPER) if made.finest_fpr <= 1 - _UPPER else threshold
    beyond = float((accounts > upper).mean())
    machines = max(0.0, (beyond - (1 - _UPPER)) / _UPPER)
    rng = np.random.default_rng(0)
    drawn = [_moved(reference, rng.choice(accounts, len(accounts)))[0].threshold(target) for _ in range(DRAWS)]
    low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
    error = 1.96 * float(np.sqrt(beyond * (1 - beyond) / len(accounts)))
    if machines - error > stated:
        raise UsageError(
            f"{100 * machines:.0f}% of the accounts lie above what people reach here, more than the {100 * stated:g}% "
            "that are machines at most: the assumption does not hold. State a larger share (--machines-at-most), or "
            "calibrate on accounts known to be people (--input)"
        )
    return made, Null(len(accounts), shift, scale, threshold, (low, high), machines, stated)


def _moved(reference: Thresholds, accounts: Floats) -> tuple[Thresholds, float, float]:
    """The thresholds with every population moved onto the accounts; shift and scale of the strictest."""
    maxima: dict[str, Floats] = {}
    looks: dict[str, Looks] = {}
    fits: dict[str, tuple[float, float]] = {}
    for name, values in reference.maxima.items():
        shift, scale = fits[name] = central_match(accounts, values)
        maxima[name] = shift + scale * values
        if name in reference.looks:
            each = reference.looks[name]
            looks[name] = replace(each, highest=shift + scale * each.highest)
    made = replace(reference, maxima=maxima, looks=looks)
    target = max(_FPR, made.finest_fpr)
    setting = next(name for name, values in maxima.items() if made.threshold(target) in values)
    return made, *fits[setting]


def calibrate_unlabelled(
    models: Path, out: Path, stream: Path, work: Path, stated: float = STATED_SHARE
) -> tuple[Thresholds, Null]:
    """Write a models directory whose thresholds come from a platform's own accounts, whoever they are.

    Args:
        models: bundle to calibrate; its thresholds say how people are distributed.
        out: where the calibrated bundle is written.
        stream: recording of the platform.
        work: folder for intermediate files.
        stated: share of its accounts that are machines, at most.

    Raises:
        UsageError: the recording cannot be read, has too few accounts, or contradicts the assumption.
    """
    work.mkdir(parents=True, exist_ok=True)
    reference = Thresholds.load(models)
    bundle = work / "bundle"
    copy_models(models, bundle, BUNDLE_FILES)
    least = max(AssessSettings().min_texts, reference.min_texts)
    # With a second stage, twice: whom it reads depends on the thresholds.
    for _ in range(2 if (bundle / f"{second_stage.FILE}.json").exists() else 1):
        runs = work / "accounts.trajectories"
        run_system([stream], bundle, trajectories=runs)
        people = [person for person in read_people(runs, _everybody).values() if person.texts >= least]
        made, found = platform_thresholds(reference, people, least, stated)
        made.save(bundle)
    copy_models(bundle, out, BUNDLE_FILES)
    (out / f"{NAME}.card.md").write_text(thresholds_card(made), encoding="utf-8")
    return made, found


def platform_thresholds(
    reference: Thresholds, people: list[Person], min_texts: int, stated: float
) -> tuple[Thresholds, Null]:
    """Thresholds from a platform's accounts, with what the card needs to say.

    Args:
        reference: thresholds of calibration people.
        people: the accounts, look by look.
        min_texts: texts from which on an account may be flagged.
        stated: share of machines, at most.

    Raises:
        UsageError: as `empirical_null`, or no language has enough accounts.
    """
    maxima = np.array([person.maximum(reference.horizon_posts, min_texts) for person in people])
    moved, found = empirical_null(reference, maxima[np.isfinite(maxima)], stated)
    counts = Counter(person.language for person in people)
    languages = frozenset(tag for tag, count in counts.items() if count >= MIN_LANGUAGE_PEOPLE)
    if not languages:
        raise UsageError(
            f"no language has {MIN_LANGUAGE_PEOPLE} accounts ({dict(counts.most_common(3))}): "
            "more of them are needed before anybody may be flagged"
        )
    card: Mapping[str, Any] = {
        **reference.card,
        TOTALS: quantiles_of([person.looks[-1].total for person in people]),
        "null": {
            "accounts": found.accounts,
            "languages": dict(counts.most_common()),
            "shift": round(found.shift, 3),
            "scale": round(found.scale, 3),
            "threshold": round(found.threshold, 3),
            "interval": [round(value, 3) for value in found.interval],
            "machines": round(found.machines, 4),
            "stated": found.stated,
        },
    }
    digest = sha256(json.dumps([card["null"], reference.version], sort_keys=True).encode()).hexdigest()[:8]
    made = replace(
        moved, card=card, languages=languages, version=f"{reference.version.split('.')[0]}.local-{digest}",
        min_texts=min_texts,
    )  # fmt: skip
    return made, found


def _everybody(name: str) -> bool:
    return True
