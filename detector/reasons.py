"""Plain sentences from parts and numbers: what, who, since when, why, how unlikely by chance, what is not known.

They are read by a moderator in twenty seconds, so every sentence carries one fact. Nothing that users wrote goes
into them: neither texts nor names nor links, which stand in the alert's own fields.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from typing import Final

from detector.account.model import BehaviourAbstain
from detector.text.features import TextAbstain
from detector.thresholds import Thresholds

TEXT_REASONS: Final[Mapping[int, str]] = {
    TextAbstain.NO_TEXT: "no text",
    TextAbstain.TOO_SHORT: "texts too short",
    TextAbstain.LANGUAGE: "language not calibrated",
    TextAbstain.SWITCHED_OFF: "switched off",
}
"""What `abstained.text` says."""

BEHAVIOUR_REASONS: Final[Mapping[int, str]] = {
    BehaviourAbstain.TOO_FEW: "too few events",
    BehaviourAbstain.SWITCHED_OFF: "switched off",
}
"""What `abstained.behaviour` says."""

NO_GRAPH_MODEL: Final = "no graph model"


class GraphAbstain(IntEnum):
    """Why the graph model gives no evidence; 0 when it does."""

    NONE = 0
    NOT_YET = 1
    NO_TIES = 2


GRAPH_REASONS: Final[Mapping[int, str]] = {
    GraphAbstain.NOT_YET: "not looked at yet",
    GraphAbstain.NO_TIES: "no strong ties to others",
}
"""What `abstained.graph` says where there is a model."""

NOT_IN_A_GROUP: Final = "in no tested group"

_EVEN: Final = 0.05
"""Nats under which evidence is called neither here nor there (a factor of 1.05)."""

_FEW_POSTS: Final = 10
"""Texts under which an account's evidence is called thin."""


@dataclass(frozen=True)
class AccountCase:
    """The numbers behind an account alert.

    Args:
        text, behaviour, coordination, graph: parts in nats.
        posts: texts that gave evidence.
        first_ms, last_ms: times of the first and the last post the alert rests on.
        target_fpr: the rate of false flags asked for.
        thresholds: the calibration that flagged the account.
        text_high: share of its texts with an LLR above 0, NaN where not known.
        expert_texts: texts that an expert model has read too.
        automated: what the profile says of itself, -1 nothing.
        group_size: members of the tested group it belongs to, 0 without one.
        abstained: part -> reason.
    """

    text: float
    behaviour: float
    coordination: float
    graph: float
    posts: int
    first_ms: int
    last_ms: int
    target_fpr: float
    thresholds: Thresholds
    text_high: float = math.nan
    expert_texts: int = 0
    automated: int = -1
    group_size: int = 0
    abstained: Mapping[str, str] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """Sum of the parts, nats."""
        return self.text + self.behaviour + self.coordination + self.graph


@dataclass(frozen=True)
class CampaignCase:
    """The numbers behind a campaign or coordination alert.

    Args:
        members: accounts in the group.
        flagged: how many of them are flagged by their own evidence.
        machine_nats: the group's evidence of automation, nats; `machine_threshold` what it had to pass.
        log_e: natural logarithm of the group's e-value.
        target_fdr: the false-discovery rate asked for.
        first_ms, last_ms: times of the members' first and last shared object.
        shared: kind of edge -> (times members met, times expected by chance).
        is_campaign: whether both statements hold.
        words: kind of edge -> words for one shared object and for several; a kind without is called by its name.
    """

    members: int
    flagged: int
    machine_nats: float
    log_e: float
    target_fdr: float
    first_ms: int
    last_ms: int
    shared: Mapping[str, tuple[float, float]]
    is_campaign: bool
    words: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def account_why(case: AccountCase) -> list[str]:
    """Sentences for an account alert, the weightiest first."""
    out = [
        (
            f"What: a language model probably drives this account: what was seen is about {factor(case.total)} "
            "likelier for such an account than for a person."
        ),
        f"Since: {when(case.first_ms)}, last seen {when(case.last_ms)}, over {counted(case.posts, 'text')}.",
    ]
    sentences: list[tuple[float, str]] = []
    if "text" not in case.abstained:
        share = "" if math.isnan(case.text_high) else f"; {case.text_high:.0%} of its texts look machine-written singly"
        sentences.append((case.text, f"Text: how it writes is {direction(case.text)}{share}."))
    if "behaviour" not in case.abstained:
        sentences.append(
            (case.behaviour, f"Habits: its pauses, sittings and hours are, beside that, {direction(case.behaviour)}.")
        )
    if case.group_size > 1 and "coordination" not in case.abstained:
        sentences.append(
            (
                case.coordination,
                (
                    f"Group: it acts together with {counted(case.group_size - 1, 'other account')}, and what they "
                    f"write is {direction(case.coordination)}."
                ),
            )
        )
    if "graph" not in case.abstained:
        sentences.append((case.graph, f"Contacts: whom it deals with is {direction(case.graph)}."))
    out += [sentence for _, sentence in sorted(sentences, key=lambda pair: -abs(pair[0]))]
    low, high = case.thresholds.interval(case.target_fpr)
    out.append(
        f"Chance: of 1,000 people like those the system was calibrated on, about {1000 * case.target_fpr:g} "
        f"({1000 * low:.0f} to {1000 * high:.0f}) would ever be flagged within {case.thresholds.horizon_posts} texts."
    )
    return out


def account_limits(case: AccountCase) -> list[str]:
    """Sentences on what is not known about an account."""
    out = [f"Not used: {part} ({reason})." for part, reason in sorted(case.abstained.items()) if part != "flag"]
    if case.posts < _FEW_POSTS:
        out.append(f"Only {counted(case.posts, 'text')} so far: the evidence is thin.")
    if case.expert_texts == 0 and "text" not in case.abstained:
        out.append("The slower text model has not read this account.")
    if case.posts > case.thresholds.horizon_posts:
        out.append(
            f"More texts than the {case.thresholds.horizon_posts} the stated rate covers: beyond them it begins anew."
        )
    if case.automated == 1:
        out.append("The account calls itself automated: that may be permitted here.")
    return [*out, *_ALWAYS_UNKNOWN]


_ALWAYS_UNKNOWN: Final = (
    "Help by a model (translation, correction, drafting) can look the same as an account that a model drives.",
    "The stated rate holds for people like the calibration people; other communities may differ.",
)


def campaign_why(case: CampaignCase) -> list[str]:
    """Sentences for a campaign or coordination alert."""
    if case.is_campaign:
        what = f"What: {counted(case.members, 'account')} act together and look driven by a language model."
    else:
        what = f"What: {counted(case.members, 'account')} act together; nothing shows that a machine drives them."
    out = [what, f"Since: {when(case.first_ms)}, last seen {when(case.last_ms)}."]
    ranked = sorted(case.shared.items(), key=lambda item: (item[1][1] - item[1][0], item[0]))
    for kind, (count, expected) in ranked[:3]:
        words = case.words.get(kind, (kind, kind))[0 if round(count) == 1 else 1]
        out.append(
            f"Together: pairs of them met {times(count)} in {words}; about {expected:.1f} would be expected by chance."
        )
    out.append(
        f"Chance: on what they shared after the group was first suspected, it is {factor(case.log_e)} likelier that "
        f"they act together than not; at most {case.target_fdr:.0%} of the groups listed are expected to be chance."
    )
    if case.is_campaign:
        out.append(
            f"Machine: the members' own texts and habits are {direction(case.machine_nats)} as a group; "
            f"{case.flagged} of {case.members} are flagged by their own total."
        )
    return out


def campaign_limits(case: CampaignCase) -> list[str]:
    """Sentences on what is not known about a group."""
    out = ["Acting together is no offence: parties, newsrooms and fan clubs do it too."]
    if not case.is_campaign:
        out.append("This is for information: nobody is flagged for belonging to the group.")
    elif case.flagged < case.members:
        out.append(
            f"{counted(case.members - case.flagged, 'member')} not flagged singly: some may be people the group met."
        )
    out.append("Who runs the accounts, and why, cannot be seen from posts.")
    return out


def factor(nats: float) -> str:
    """A log-likelihood ratio as "20 times", never more digits than it deserves."""
    if nats > math.log(1e6):
        return "over a million times"
    if nats > math.log(9.5):
        magnitude = 10 ** math.floor(nats / math.log(10))
        return f"{round(math.exp(nats) / magnitude) * magnitude:,.0f} times"
    return f"{math.exp(nats):.1f} times"


def direction(nats: float) -> str:
    """Which way evidence points, and how far."""
    if abs(nats) < _EVEN:
        return "about as likely for a person as for a machine"
    if nats > 0:
        return f"{factor(nats)} likelier for a machine-driven account"
    return f"{factor(-nats)} likelier for a person"


def counted(count: int, noun: str) -> str:
    """ "1 text", "12 texts"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def times(count: float) -> str:
    """ "once", "7 times"."""
    return "once" if round(count) == 1 else f"{round(count):,} times"


def when(at_ms: int) -> str:
    """A time as people read it, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%-d %B %Y %H:%M UTC")
