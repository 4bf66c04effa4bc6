"""Reasons for an alert as data: which there are, and which of them an alert gives.

`assess` makes `Reason`s and `Limitation`s out of the numbers behind an alert (`AccountCase`, `GroupCase`) and puts them
into its record; `detector.reason_sentences` says them in English.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, NamedTuple

import msgspec

from detector.account.model import BehaviourAbstain
from detector.account.plain_features import FEATURE_WORDS, PlainFeature
from detector.text.features import TextAbstain
from detector.thresholds import Thresholds

TEXT_REASONS: Final[Mapping[int, str]] = {
    TextAbstain.NO_TEXT: "no text",
    TextAbstain.TOO_SHORT: "texts too short",
    TextAbstain.LANGUAGE: "language not calibrated",
    TextAbstain.SWITCHED_OFF: "switched off",
}
"""What `abstained.text` of a score says."""

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

NOT_IN_A_GROUP: Final = "in no group"

MACHINE_ACCOUNT: Final = "account.machine_driven"
ACTIVE_ACCOUNT: Final = "account.active"
TEXT: Final = "text.posts_read_machine"
STYLE: Final = "text.style_"
"""Beginning of the codes that name a plain feature of how an account writes: `text.style_commas`."""
BEHAVIOUR: Final = "behaviour.posting_rhythm"
COORDINATION: Final = "coordination.acts_with_others"
GRAPH: Final = "graph.contacts"
FALSE_FLAGS: Final = "threshold.false_flags"
MACHINE_GROUP: Final = "group.machine_driven"
COORDINATED_GROUP: Final = "group.coordinated"
ACTIVE_GROUP: Final = "group.active"
SHARED: Final = "coordination.shared_"
"""Beginning of the codes that say what members shared; `shared_code` has the whole code of a kind of edge."""
BEYOND_DECOYS: Final = "coordination.beyond_decoys"
BEYOND_CHANCE: Final = "coordination.beyond_chance"
"""In alerts before version 3, which have e-values of groups."""

TALKING_POINTS: Final = "coordination.talking_points"
GROUP_EVIDENCE: Final = "group.own_evidence"
WITHDRAWN_AUTOMATED: Final = "withdrawn.declares_automation"
WITHDRAWN_DECIDED: Final = "withdrawn.decided"
WITHDRAWN_PERSON: Final = "withdrawn.no_longer_machine"
WITHDRAWN_DELETED: Final = "withdrawn.account_deleted"
WITHDRAWN_TEXT: Final = "withdrawn.text_deleted"
WITHDRAWN_CHANGED: Final = "withdrawn.group_changed"
WITHDRAWN_WEAK: Final = "withdrawn.group_weak"
WITHDRAWN_MODEL: Final = "withdrawn.other_model"
MERGED: Final = "merged.into_group"

NOT_USED: Final = "component.not_used"
FEW_TEXTS: Final = "text.few"
NOT_RERANKED: Final = "text.second_stage_not_read"
RATE_BOUNDS: Final = "threshold.rate_bounds"
BEYOND_HORIZON: Final = "threshold.beyond_horizon"
SAYS_AUTOMATED: Final = "account.says_automated"
MODEL_HELP: Final = "account.model_help"
OTHER_COMMUNITIES: Final = "threshold.other_communities"
NO_OFFENCE: Final = "group.no_offence"
FOR_INFORMATION: Final = "group.for_information"
NOT_FLAGGED: Final = "group.members_not_flagged"
OPERATOR_UNSEEN: Final = "group.operator_unseen"
AUTOMATION_LEFT_OUT: Final = "group.automation_left_out"
DECIDED_PEOPLE: Final = "group.decided_people"
NEAR_NO_MEMBERS: Final = "group.near_no_members"
REMOVED: Final = "record.removed"
FORGOTTEN: Final = "record.forgotten"

MOST_REFERENCES: Final = 5
"""Posts or objects one reason refers to: enough to look, and a record stays small."""

MOST_FEATURES: Final = 2
"""Plain features that an alert names: all of its sentences are to be read in twenty seconds."""

LEAST_FEATURE_NATS: Final = 0.25
"""Nats from which a plain feature is named: with less, the evidence would be hardly a quarter smaller without it."""

_FEW_POSTS: Final = 10
"""Texts under which an account's evidence is called thin."""


class Reason(msgspec.Struct, frozen=True):
    """One reason for an alert.

    Args:
        code: a stable identifier, such as `text.posts_read_machine`; docs/reference/alerts.md lists them.
        component: the evidence component it belongs to, None for none of the four.
        nats: evidence, or None where the reason is no evidence by itself.
        observed: a number that was seen; what it counts follows from the code. None where there is none.
        expected: what the number would be by chance or by design. None where there is none.
        posts: ids of quoted posts that show it, at most `MOST_REFERENCES`.
        objects: shared objects (or, of a merged alert, the other alert) that show it, at most `MOST_REFERENCES`.
    """

    code: str
    component: str | None = None
    nats: float | None = None
    observed: float | None = None
    expected: float | None = None
    posts: list[str] = []
    objects: list[str] = []


class Limitation(msgspec.Struct, frozen=True):
    """One thing that is not known, or that restricts what is said.

    Args:
        code: a stable identifier, such as `component.not_used`.
        component: the evidence component it is about.
        detail: why, in the words of `abstained` of the scores.
        count: texts, accounts or members, as the code says.
        low: lower bound of a rate.
        high: upper bound of a rate.
    """

    code: str
    component: str | None = None
    detail: str | None = None
    count: int | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class AccountCase:
    """The numbers behind an account alert.

    Args:
        text, behaviour, coordination, graph: components in nats.
        posts: texts that gave evidence.
        target_fpr: the rate of false flags asked for.
        thresholds: the calibration that flagged the account.
        rate_bounds: 95% band of the realised rate in its group of accounts; None for that of everybody.
        text_high: share of its texts with an LLR above 0, NaN where not known.
        reranked_texts: texts that the second-stage model has read too.
        automated: what the profile says of itself, -1 nothing.
        group_size: members of the tested group it belongs to, 0 without one.
        abstained: component -> reason.
        quoted: ids of quoted posts that look machine-written, the weightiest first.
        style: plain features of how it writes, the most machine-like first.
    """

    text: float
    behaviour: float
    coordination: float
    graph: float
    posts: int
    target_fpr: float
    thresholds: Thresholds
    rate_bounds: tuple[float, float] | None = None
    text_high: float = math.nan
    reranked_texts: int = 0
    automated: int = -1
    group_size: int = 0
    abstained: Mapping[str, str] = field(default_factory=dict)
    quoted: Sequence[str] = ()
    style: Sequence[PlainFeature] = ()

    @property
    def total(self) -> float:
        """Sum of the components, nats."""
        return self.text + self.behaviour + self.coordination + self.graph


class SharedKind(NamedTuple):
    """What members shared of one kind: co-occurrences of pairs, those expected by chance, and the objects."""

    observed: float
    expected: float
    objects: Sequence[str] = ()


@dataclass(frozen=True)
class GroupCase:
    """The numbers behind a campaign or coordination alert.

    Args:
        members: accounts in the group.
        flagged: how many of them are flagged by their own evidence.
        machine_nats: the members' own evidence of automation as a group, nats.
        decoy_q: how often as much is found among decoys, for each time it is found.
        decoy_groups: groups that the same search found among as many comparable accounts, on average.
        target_fdr: the false-discovery rate asked for.
        shared: kind of edge -> what members shared of it.
        is_campaign: whether the group is machine-driven besides.
        points: for each talking point how many members say it, and ids of posts that do, the most typical first.
        near: accounts that members copy or act upon, and that are no members.
        left_out: members that are declared or permitted automation.
        decided_people: whether a moderator decided that people coordinate here.
        quoted: ids of quoted posts that look machine-written, the weightiest first.
    """

    members: int
    flagged: int
    machine_nats: float
    decoy_q: float
    target_fdr: float
    shared: Mapping[str, SharedKind]
    is_campaign: bool
    decoy_groups: float = 0.0
    points: Sequence[tuple[int, Sequence[str]]] = ()
    near: int = 0
    left_out: int = 0
    decided_people: bool = False
    quoted: Sequence[str] = ()


def shared_code(kind: str) -> str:
    """The code of the reason that members shared objects of this kind of edge: `coordination.shared_links`."""
    return SHARED + (kind if kind.endswith("s") else f"{kind}s")


def is_shared(reason: Reason) -> bool:
    """Whether a reason says what members shared: `observed` co-occurrences of pairs beside `expected` ones."""
    return reason.code.startswith(SHARED)


def is_style(reason: Reason) -> bool:
    """Whether a reason names a plain feature of how the account writes, which is part of the text's evidence."""
    return reason.code.startswith(STYLE)


def account_reasons(case: AccountCase) -> list[Reason]:
    """Why an account is alerted: what and since when, then its components, the weightiest first, then the odds."""
    share = None if math.isnan(case.text_high) else round(case.text_high, 4)
    posts = list(case.quoted[:MOST_REFERENCES])
    components = [
        Reason(TEXT, "text", case.text, observed=share, posts=posts),
        Reason(BEHAVIOUR, "behaviour", case.behaviour),
        Reason(GRAPH, "graph", case.graph),
    ]
    if case.group_size > 1:
        components.insert(2, Reason(COORDINATION, "coordination", case.coordination, observed=case.group_size - 1))
    said = [reason for reason in components if reason.component not in case.abstained]
    out = [Reason(MACHINE_ACCOUNT, nats=round(case.total, 6)), Reason(ACTIVE_ACCOUNT, observed=case.posts)]
    for reason in sorted(said, key=lambda reason: -abs(reason.nats or 0.0)):
        out.append(reason)
        if reason.code == TEXT:
            out.extend(_style_reasons(case.style))
    return [*out, Reason(FALSE_FLAGS, expected=case.target_fpr)]


def _style_reasons(style: Iterable[PlainFeature]) -> list[Reason]:
    """The plain features that speak most for a machine; what they are worth is part of the text's evidence."""
    named = [each for each in style if each.nats >= LEAST_FEATURE_NATS and each.name in FEATURE_WORDS]
    return [
        Reason(STYLE + each.name, "text", round(each.nats, 3), round(each.observed, 4), round(each.expected, 4))
        for each in sorted(named, key=lambda each: (-each.nats, each.name))[:MOST_FEATURES]
    ]


def account_limitations(case: AccountCase) -> list[Limitation]:
    """What is not known about an account."""
    low, high = case.rate_bounds or case.thresholds.interval(case.target_fpr)
    horizon = case.thresholds.horizon_posts
    out = [Limitation(NOT_USED, name, reason) for name, reason in sorted(case.abstained.items()) if name != "flag"]
    if case.posts < _FEW_POSTS:
        out.append(Limitation(FEW_TEXTS, "text", count=case.posts))
    if case.reranked_texts == 0 and "text" not in case.abstained:
        out.append(Limitation(NOT_RERANKED, "text"))
    if case.posts > horizon:
        out.append(Limitation(BEYOND_HORIZON, count=horizon))
    if case.automated == 1:
        out.append(Limitation(SAYS_AUTOMATED))
    bounds = Limitation(RATE_BOUNDS, count=horizon, low=round(low, 6), high=round(high, 6))
    return [*out, bounds, Limitation(MODEL_HELP), Limitation(OTHER_COMMUNITIES)]


def group_reasons(case: GroupCase) -> list[Reason]:
    """Why a group is alerted: what and since when, the three kinds it shared most beyond chance, and how likely."""
    ranked = sorted(case.shared.items(), key=lambda item: (item[1].expected - item[1].observed, item[0]))
    out = [
        Reason(MACHINE_GROUP if case.is_campaign else COORDINATED_GROUP, observed=case.members),
        Reason(ACTIVE_GROUP),
        *(
            Reason(
                shared_code(kind),
                "coordination",
                observed=found.observed,
                expected=round(found.expected, 4),
                objects=list(found.objects[:MOST_REFERENCES]),
            )
            for kind, found in ranked[:3]
        ),
    ]
    for members, posts in case.points[:1]:
        references = list(posts[:MOST_REFERENCES])
        out.insert(2, Reason(TALKING_POINTS, "coordination", observed=members, posts=references))
    out.append(Reason(BEYOND_DECOYS, "coordination", observed=case.decoy_q, expected=case.target_fdr))
    if case.is_campaign:
        posts = list(case.quoted[:MOST_REFERENCES])
        out.append(Reason(GROUP_EVIDENCE, nats=round(case.machine_nats, 6), observed=case.flagged, posts=posts))
    return out


def group_limitations(case: GroupCase) -> list[Limitation]:
    """What is not known about a group."""
    out = [Limitation(NO_OFFENCE)]
    if not case.is_campaign:
        out.append(Limitation(FOR_INFORMATION))
    elif case.flagged < case.members:
        out.append(Limitation(NOT_FLAGGED, count=case.members - case.flagged))
    out.append(Limitation(OPERATOR_UNSEEN))
    if case.near:
        out.append(Limitation(NEAR_NO_MEMBERS, count=case.near))
    if case.left_out:
        out.append(Limitation(AUTOMATION_LEFT_OUT, count=case.left_out))
    if case.decided_people:
        out.append(Limitation(DECIDED_PEOPLE))
    return out
