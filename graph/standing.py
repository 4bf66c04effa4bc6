"""Where an account's own evidence stands among accounts alike.

What text models say of people differs from platform to platform, and machines by a generator they never met look like
people, only a little less so than real ones. A rank among accounts of the same language and like number of posts keeps
that little and drops the rest: it asks no model to be right about where people lie, only that machines lie higher.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from graph.account_graph import MIN_STRATUM, stratified_ranks


def standing(
    own: NDArray[np.float64], speaks: NDArray[np.bool_], posts: NDArray[Any], language: NDArray[Any]
) -> NDArray[np.float64]:
    """Twice the mid-rank less one, in (-1, 1), of each account that speaks; 0 for the others.

    Args:
        own: text and behaviour evidence, nats, shape (n,).
        speaks: whether text gave evidence, shape (n,).
        posts: texts of each account, shape (n,); accounts are compared within powers of two of it.
        language: code of the main language, shape (n,); languages of fewer than `MIN_STRATUM` accounts are compared
            with each other.
    """
    out = np.zeros(len(own))
    codes, place = np.unique(language, return_inverse=True)
    spoken = np.bincount(place[speaks], minlength=len(codes))
    population = np.where(spoken >= MIN_STRATUM, np.arange(1, len(codes) + 1), 0)[place]
    for number in np.unique(population[speaks]):
        mine = np.flatnonzero(speaks & (population == number))
        ranks = stratified_ranks(own[mine, None], posts[mine].astype(np.int64))[:, 0]
        out[mine] = 2.0 * ranks - 1.0
    return out
