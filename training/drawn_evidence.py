"""Draws the text and behaviour evidence that accounts of simulated societies would have.

The shipped text models have read some of the sources that societies are filled with, so what they say there is better
than what they say in use; and societies may have no texts at all. Drawn evidence is an exact LLR by construction and as
strong or weak as it is on texts that models have not read.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

UNSEEN: Final = 0.3
"""Share of campaigns whose generator the text models do not know: their texts look much like people's."""

UNSEEN_SHIFT: Final = (0.0, 0.5, 1.0, 1.5)
"""Standard deviations by which texts of an unknown generator look less like people's than people's do, each as often.
The ten weakest sources left out of the account model's training lie 0.6 to 2.3 above (AUROC 0.66 to 0.95,
`account.card.md`); taken lower, to be careful. It does not depend on the society's `STRENGTH`: in one whose text models
are weak, an unknown generator can stand out more than a known one."""

STRENGTH: Final = (1.2, 3.0)
"""Standard deviations between people's and known machines' evidence, by society: AUROC 0.80 to 0.98, as text and
behaviour together have on streams whose generators were seen or not (README)."""

ICC: Final = 0.2
"""Share of the variance of own evidence that members of an organic crowd have in common; a campaign's lack it."""

SILENT: Final = 0.2
"""Share of accounts without text evidence where texts are read at all."""


def drawn_llr(label: Ints, campaign: Ints, crowd: Ints, rng: np.random.Generator) -> tuple[Floats, NDArray[np.bool_]]:
    """Text and behaviour evidence as a calibrated model would give it.

    People's evidence is normal with mean -d^2/2 and standard deviation d, known machines' with mean +d^2/2, which is an
    exact LLR. A share u = `UNSEEN` of campaigns writes like people but for a shift of s standard deviations, of which
    the likelihood ratio is r(x), the mean of exp(s z - s^2 / 2) over `UNSEEN_SHIFT`, z being x standardised by people:
    the LLR of all is log((1 - u) e^x + u r(x)). Members of an organic crowd share a part of their error; those of a
    campaign lack that part, and are a little less spread than the ratio assumes. A machine of no campaign is like a
    campaign of one.

    Args:
        label: shape (accounts,), 1 for machines.
        campaign: shape (accounts,), number of the operator's campaign, -1 for none.
        crowd: shape (accounts,), number of the organic crowd, -1 for none.
        rng: where chance comes from.

    Returns: the LLR in nats, 0 where silent, and who speaks; shapes (accounts,).
    """
    n = len(label)
    d = rng.uniform(*STRENGTH)
    campaigns, crowds = int(campaign.max(initial=-1)) + 2, int(crowd.max(initial=-1)) + 2
    common = np.where(
        crowd >= 0,
        rng.normal(size=crowds)[crowd],
        np.where(campaign >= 0, 0, rng.normal(size=n)),
    )
    lone = np.flatnonzero((label == 1) & (campaign < 0))
    own = campaign.copy()
    own[lone] = campaigns + np.arange(len(lone))
    known = rng.random(campaigns + len(lone)) > UNSEEN
    shift = np.where(known, d, rng.choice(UNSEEN_SHIFT, len(known)))
    z = np.where(label == 1, shift[own], 0.0) + ICC**0.5 * common + (1 - ICC) ** 0.5 * rng.normal(size=n)
    like_people = np.mean([np.exp(s * z - s * s / 2) for s in UNSEEN_SHIFT], axis=0)
    llr = np.log((1 - UNSEEN) * np.exp(d * z - d * d / 2) + UNSEEN * like_people)
    speaks = rng.random(n) > SILENT
    return np.where(speaks, llr, 0.0), speaks
