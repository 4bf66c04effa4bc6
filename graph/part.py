"""The coordination part of an account's evidence: that it acts with others, and what their posts say about it.

Derived, not fitted. A group shares one controller with probability rho, which grows with its e-value. Under one
controller all members are machines or none is, and machines have kappa times the odds they have by themselves, for
those who act as one are oftener operators than people are. With S the discounted sum of the others' text and behaviour
LLR, and u the chance that an operator uses a generator whose posts look like people's to the text models,

    part = log((rho kappa L + (1 - rho) B) / (rho + (1 - rho) B)),    L = (1 - u) e^S + u,    B = q L + 1 - q,

where B is what the others' LLR are worth when this account has nothing to do with them: by chance q their group is a
machine's anyway. An account's own evidence does not enter its part. S counts the others as `n / (1 + (n - 1) icc)`
independent ones, since one operator's posts, or one community's manner, make their LLR err together. Where the others'
posts say nothing (S = 0) the part is log(1 + rho (kappa - 1)), half a nat at most, far from what flags anybody; where
they look like people's it falls below 0. The part is bounded again, downwards most of all: a machine that hides among
people must not be cleared by them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray


class PartSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Assumptions of the derivation, each to be fitted once there are labelled campaigns."""

    prior_group: float = 0.01  # pi: a proposed group shares one controller before anything is bet on it
    max_shared: float = 0.5  # rho never exceeds this: groups of people pass too (`docs/coordination.md`, "Null")
    machine_group: float = 0.05  # q: a group is machine-driven independently of this member
    machine_odds: float = 2.3  # kappa: 1 + max_shared (kappa - 1) is what societies support (`docs/coordination.md`)
    unseen: float = 0.3  # u: the share of campaigns that `train graph` takes to be unknown to the text models
    icc: float = 0.2  # correlation of members' LLR errors; 0.1 already turns a rate of 1% into 7.7% when ignored
    member_cap: float = 1.0  # nats that one other member can give or take: only many speak for a group
    up_cap: float = 6.0  # largest gain, nats
    down_cap: float = 1.0  # largest loss, nats


def shared_probability(log_e: float, settings: PartSettings) -> float:
    """rho = pi e / (1 - pi + pi e), at most `max_shared`: the chance that a group with log e-value `log_e` is one."""
    odds = math.exp(min(log_e, 50.0)) * settings.prior_group / (1.0 - settings.prior_group)
    return min(odds / (1.0 + odds), settings.max_shared)


def member_parts(llr: Sequence[float], log_e: float, settings: PartSettings) -> NDArray[np.float64]:
    """The part of each member of one group, in nats.

    Args:
        llr: text + behaviour LLR of each member, in nats, shape (n,).
        log_e: log of the group's e-value.

    Returns:
        float64, shape (n,), rounded to a thousandth; zeros for fewer than two members.
    """
    n = len(llr)
    if n < 2:
        return np.zeros(n)
    rho, q, u = shared_probability(log_e, settings), settings.machine_group, settings.unseen
    each = np.clip(np.asarray(llr, np.float64), -settings.member_cap, settings.member_cap)
    total = math.fsum(each.tolist())
    others = (total - each) / (1.0 + (n - 2) * settings.icc)
    likelihood = (1.0 - u) * np.exp(np.clip(others, -50.0, 50.0)) + u
    unrelated = q * likelihood + 1.0 - q
    shared = rho * settings.machine_odds * likelihood
    part = np.log((shared + (1.0 - rho) * unrelated) / (rho + (1.0 - rho) * unrelated))
    return np.asarray(np.round(np.clip(part, -settings.down_cap, settings.up_cap), 3) + 0.0)


def coordination_part(
    groups: Iterable[tuple[Sequence[int], float]], llr: Mapping[int, float], settings: PartSettings | None = None
) -> dict[int, float]:
    """The coordination part of every account in a group, in nats.

    Args:
        groups: (rows of the members, log e-value) of each group, accepted or not: early evidence counts as far as
            its e-value goes.
        llr: text + behaviour LLR by row, in nats; members it lacks count as 0 and get a part.
        settings: assumptions; the defaults where None.

    Returns:
        row -> part. An account in several groups gets the part of largest size (the positive one of a tie).
    """
    settings = settings or PartSettings()
    out: dict[int, float] = {}
    for members, log_e in groups:
        parts = member_parts([llr.get(row, 0.0) for row in members], log_e, settings)
        for row, part in zip(members, parts.tolist(), strict=True):
            out[row] = max(out.get(row, 0.0), part, key=lambda p: (abs(p), p))
    return out
