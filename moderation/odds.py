"""How sure an alert is: its odds at the operator's base rate, what passed the threshold, on how many posts it rests.

An alert carries a posterior for each member, at the share of machine-driven accounts that the operator configured
(`prior`). An account's odds are its own posterior, a campaign's the mean of its members': the share of them expected to
be machine-driven. Coordination says nothing about machines and has no odds. Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from detector.reasons import ACTIVE_ACCOUNT, ACTIVE_GROUP
from streaming.schema.alert import AlertRecord, MemberRecord

LEVELS: Final = (
    (0.95, "very probably driven by a language model"),
    (0.75, "probably driven by a language model"),
    (0.5, "more likely than not driven by a language model"),
    (0.2, "possibly driven by a language model"),
    (0.0, "weak signs of a language model"),
)
"""Least odds of each claim, the strongest first: nothing is claimed of what is likelier to be a person."""

EVEN_ODDS: Final = 0.5

SPEAKS_NATS: Final = math.log(2)
"""Evidence under a factor of two either way is called neither here nor there: it has no colour and no direction."""

WATCH_BELOW_POSTS: Final = 3
"""Unless the operator says otherwise: one post decides nothing, and of two one may be quoted or translated."""

Look = Literal["flagged", "unclear", "person"]
"""Whether an account passes the threshold of an alert, does not, or looks like a person."""


@dataclass(frozen=True)
class Certainty:
    """How sure an alert is.

    Args:
        odds: probability that a language model drives the account, or mean of the members'; None where not known.
        base_rate: the share of machine-driven accounts at which the odds are; None where not known.
        posts: texts it rests on; 0 where not known.
    """

    odds: float | None
    base_rate: float | None
    posts: int

    @property
    def steps(self) -> int:
        """0 to 5: how many of the levels the odds reach; 0 where they are not known."""
        return 0 if self.odds is None else sum(self.odds >= least for least, _ in LEVELS)


def certainty(record: AlertRecord) -> Certainty:
    """How sure an alert is."""
    known = [member for member in record.members if 0.0 < member.posterior < 1.0]
    posts = next(
        (round(each.observed or 0) for each in record.reasons if each.code in (ACTIVE_ACCOUNT, ACTIVE_GROUP)), 0
    )
    if record.kind == "coordination" or not known:
        return Certainty(None, None, posts)
    return Certainty(math.fsum(member.posterior for member in known) / len(known), _base_rate(known[0]), posts)


def claim(odds: float | None, posts: int = 0) -> str:
    """What may be said at these odds: `probably driven by a language model: 77%`, `weak signs ...: 18%, one post`.

    Args:
        odds: as `Certainty.odds`.
        posts: on how many texts it rests, where they are so few that it has to be said; 0 says nothing.
    """
    if odds is None:
        return "signs of a language model, odds not known"
    said = next(words for least, words in LEVELS if odds >= least)
    few = {0: "", 1: ", one post"}.get(posts, f", {posts} posts")
    return f"{said}: {percent(odds)}{few}"


def percent(share: float) -> str:
    """`1%`, `9.6%`, `94%`; `over 99%` and `under 1%` where rounding would make it certain."""
    value = 100 * share
    if value > 99:
        return "over 99%"
    return f"{value:.0f}%" if value >= 10 else f"{value:.2g}%" if value >= 0.1 else "under 0.1%"


def rests_on_few(kind: str, posts: int, least: int) -> bool:
    """Whether an alert is to be watched and not to be decided: its texts are known and fewer than `least`.

    Args:
        kind: of the alert; groups rest on what many accounts share, whatever their texts.
        posts: as `Certainty.posts`.
        least: as the operator has it.
    """
    return kind == "account" and 0 < posts < least


def look(member: MemberRecord, threshold: float | None, *, flagged: bool) -> Look:
    """What an account looks like, by the threshold that decides and by nothing else.

    Args:
        member: with its evidence and odds.
        threshold: of an account's total, nats; None where the alert has none: then even odds.
        flagged: whether it has an open alert of its own, so that it passed.
    """
    total = member.llr.total
    passes = total >= threshold if threshold is not None else member.posterior >= EVEN_ODDS
    if flagged or passes:
        return "flagged"
    return "person" if total <= -SPEAKS_NATS else "unclear"


def account_threshold(record: AlertRecord) -> float | None:
    """The threshold of an account's total in nats, where the alert has one."""
    return record.threshold if record.threshold_kind == "conformal_p" else None


def passes(record: AlertRecord) -> bool:
    """Whether the evidence of a machine passes what decides: an account's threshold, a group's even odds."""
    threshold = account_threshold(record)
    if threshold is not None:
        return record.evidence.total >= threshold
    return (certainty(record).odds or 0.0) >= EVEN_ODDS


def _base_rate(member: MemberRecord) -> float | None:
    """The prior that a posterior was made with: its logit without the evidence; None where rounding hides it."""
    prior = 1 / (1 + math.exp(min(member.llr.total - math.log(member.posterior / (1 - member.posterior)), 700.0)))
    return prior if 0.0001 <= prior <= 0.9 else None
