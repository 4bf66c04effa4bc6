"""Reasons for an alert as data, and the one place that turns them into sentences.

`assess` makes `Reason`s and `Limitation`s out of the numbers behind an alert (`AccountCase`, `GroupCase`) and
puts them into its record; `explain` and `limit_sentences` turn them into English for the record's `why` and `limits`,
the terminal, the moderators' console and the page of an account's owner. No sentence is ever read back.

A sentence carries one fact, so that a moderator reads all of them in twenty seconds. Nothing that users wrote goes into
one: texts, names and links stand in the alert's own fields, which reasons refer to by id.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
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

_EVEN: Final = 0.05
"""Nats under which evidence is called neither here nor there (a factor of 1.05)."""

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


class Sentence(NamedTuple):
    """One sentence for people: a label of one word, "" where there is none, and the text after it."""

    label: str
    text: str

    def __str__(self) -> str:
        return f"{self.label}: {self.text}" if self.label else self.text


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


KindWords = Mapping[str, tuple[str, str]]
"""Kind of edge -> words for one shared object and for several (`graph.traces.KIND_WORDS`)."""


class _Facts(NamedTuple):
    """What sentences need beside their own reason: times of the first and last post (ms), members of the group."""

    first_ms: int
    last_ms: int
    members: int


def explain(reasons: Iterable[Reason], first_ms: int, last_ms: int, words: KindWords) -> list[Sentence]:
    """One sentence for each reason, in the same order.

    Args:
        reasons: of one alert.
        first_ms: time of the first post the alert rests on, ms since 1970 UTC.
        last_ms: time of the last one.
        words: of the kinds of edges; a kind without words is called by its name.
    """
    reasons = list(reasons)
    members = next((each.observed for each in reasons if each.code in (MACHINE_GROUP, COORDINATED_GROUP)), None)
    facts = _Facts(first_ms, last_ms, round(members or 0))
    return [_together(each, words) if is_shared(each) else _sentence(each, facts) for each in reasons]


def limit_sentences(limitations: Iterable[Limitation]) -> list[str]:
    """One sentence for each limitation, in the same order."""
    return [_LIMITS[each.code](each) if each.code in _LIMITS else each.code for each in limitations]


def shared_words(reason: Reason, words: KindWords) -> str:
    """What members shared, in words: `reposts of the same posts`."""
    kind = next((kind for kind in words if shared_code(kind) == reason.code), None)
    one, many = words[kind] if kind is not None else (reason.code.removeprefix(SHARED),) * 2
    return one if round(reason.observed or 0) == 1 else many


def likelier(nats: float) -> str:
    """How much likelier what was seen of an account is for a machine, as a clause."""
    return f"what was seen is about {factor(nats)} likelier for such an account than for a person"


def _together(reason: Reason, words: KindWords) -> Sentence:
    met, chance = times(reason.observed or 0.0), reason.expected or 0.0
    return Sentence(
        "Together",
        f"pairs of them met {met} in {shared_words(reason, words)}; about {chance:.1f} would be expected by chance.",
    )


def is_style(reason: Reason) -> bool:
    """Whether a reason names a plain feature of how the account writes, which is part of the text's evidence."""
    return reason.code.startswith(STYLE)


def _style(reason: Reason) -> Sentence:
    words = FEATURE_WORDS.get(reason.code.removeprefix(STYLE))
    if words is None:
        return Sentence("Style", reason.code)
    more = (reason.observed or 0.0) >= (reason.expected or 0.0)
    return Sentence(
        "Style",
        f"{words[0] if more else words[1]} than is usual; without that, the evidence of its texts would be "
        f"{factor(reason.nats or 0.0)} smaller.",
    )


def _sentence(reason: Reason, facts: _Facts) -> Sentence:
    if is_style(reason):
        return _style(reason)
    written = _WHY.get(reason.code)
    return Sentence("", reason.code) if written is None else Sentence(written[0], written[1](reason, facts))


def _text(reason: Reason, _: _Facts) -> str:
    share = "" if reason.observed is None else f"; {reason.observed:.0%} of its texts look machine-written singly"
    return f"how it writes is {direction(reason.nats or 0.0)}{share}."


def _own_evidence(reason: Reason, facts: _Facts) -> str:
    return (
        f"the members' own texts and habits are {direction(reason.nats or 0.0)} as a group; "
        f"{reason.observed or 0:.0f} of {facts.members} are flagged by their own total."
    )


def _said(text: str) -> Callable[[Reason, _Facts], str]:
    return lambda reason, facts: text


_WHY: Final[Mapping[str, tuple[str, Callable[[Reason, _Facts], str]]]] = {
    MACHINE_ACCOUNT: (
        "What",
        lambda reason, _: f"a language model probably drives this account: {likelier(reason.nats or 0.0)}.",
    ),
    ACTIVE_ACCOUNT: (
        "Since",
        lambda reason, facts: (
            f"{when(facts.first_ms)}, last seen {when(facts.last_ms)}, "
            f"over {counted(round(reason.observed or 0), 'text')}."
        ),
    ),
    TEXT: ("Text", _text),
    BEHAVIOUR: (
        "Habits",
        lambda reason, _: f"its pauses, sessions and hours are, beside that, {direction(reason.nats or 0.0)}.",
    ),
    COORDINATION: (
        "Group",
        lambda reason, _: (
            f"it acts together with {counted(round(reason.observed or 0), 'other account')}, and what they write is "
            f"{direction(reason.nats or 0.0)}."
        ),
    ),
    GRAPH: ("Contacts", lambda reason, _: f"whom it deals with is {direction(reason.nats or 0.0)}."),
    FALSE_FLAGS: (
        "Chance",
        lambda reason, _: (
            f"of 1,000 people like those the system was calibrated on, about {1000 * (reason.expected or 0.0):g} would "
            "ever be flagged."
        ),
    ),
    MACHINE_GROUP: (
        "What",
        lambda _, facts: f"{counted(facts.members, 'account')} act together and look driven by a language model.",
    ),
    COORDINATED_GROUP: (
        "What",
        lambda _, facts: f"{counted(facts.members, 'account')} act together; nothing shows that a machine drives them.",
    ),
    ACTIVE_GROUP: ("Since", lambda _, facts: f"{when(facts.first_ms)}, last seen {when(facts.last_ms)}."),
    TALKING_POINTS: (
        "Says",
        lambda reason, _: f"{counted(round(reason.observed or 0), 'member')} say the same in words of their own.",
    ),
    BEYOND_DECOYS: (
        "Chance",
        lambda reason, _: (
            "the same search was run where nobody acts together; going by what it found there, "
            f"{reason.observed or 0.0:.1%} of groups as strong as this one are chance, and at most "
            f"{reason.expected or 0.0:.0%} may be for a group to be listed."
        ),
    ),
    BEYOND_CHANCE: (
        "Chance",
        lambda reason, _: (
            f"at most {reason.expected or 0.0:.0%} of the groups listed are expected to act together by chance."
        ),
    ),
    GROUP_EVIDENCE: ("Machine", _own_evidence),
    WITHDRAWN_AUTOMATED: ("Withdrawn", _said("the account now says itself that it is automated.")),
    WITHDRAWN_DECIDED: ("Withdrawn", _said("a moderator decided so.")),
    WITHDRAWN_PERSON: ("Withdrawn", _said("what was seen since no longer speaks for a machine.")),
    WITHDRAWN_DELETED: ("Withdrawn", _said("the account was deleted.")),
    WITHDRAWN_TEXT: ("Withdrawn", _said("a text was deleted after it left.")),
    WITHDRAWN_CHANGED: ("Withdrawn", _said("a member or decision changed.")),
    WITHDRAWN_WEAK: (
        "Withdrawn",
        _said("the texts no longer show machines, and without them too little speaks for a group."),
    ),
    WITHDRAWN_MODEL: ("Withdrawn", _said("other models decide now, and they do not show it.")),
    MERGED: ("Merged", lambda reason, _: f"the group is now part of {', '.join(reason.objects)}."),
}
"""Code -> the sentence's label, and its text out of the reason."""

_LIMITS: Final[Mapping[str, Callable[[Limitation], str]]] = {
    NOT_USED: lambda each: f"Not used: {each.component} ({each.detail}).",
    FEW_TEXTS: lambda each: f"Only {counted(each.count or 0, 'text')} so far: the evidence is thin.",
    NOT_RERANKED: lambda each: "The slower text model has not read this account.",
    BEYOND_HORIZON: lambda each: (
        f"More texts than the {each.count} the stated rate covers: beyond them it begins anew."
    ),
    SAYS_AUTOMATED: lambda each: "The account calls itself automated: that may be permitted here.",
    RATE_BOUNDS: lambda each: (
        f"The stated rate is of an account's first {each.count} texts; the people calibrated on leave it between "
        f"{1000 * (each.low or 0.0):.0f} and {1000 * (each.high or 0.0):.0f} of 1,000."
    ),
    MODEL_HELP: lambda each: (
        "Help by a model (translation, correction, drafting) can look the same as an account that a model drives."
    ),
    OTHER_COMMUNITIES: lambda each: (
        "The stated rate holds for people like the calibration people; other communities may differ."
    ),
    NO_OFFENCE: lambda each: "Acting together is no offence: parties, newsrooms and fan clubs do it too.",
    FOR_INFORMATION: lambda each: "This is for information: nobody is flagged for belonging to the group.",
    NOT_FLAGGED: lambda each: (
        f"{counted(each.count or 0, 'member')} not flagged singly: some may be people the group met."
    ),
    OPERATOR_UNSEEN: lambda each: "Who runs the accounts, and why, cannot be seen from posts.",
    NEAR_NO_MEMBERS: lambda each: (
        f"{counted(each.count or 0, 'account')} that members copied or acted upon stand near the group and are no "
        "part of it."
    ),
    AUTOMATION_LEFT_OUT: lambda each: f"Left out: {each.count} members that are declared or permitted automation.",
    DECIDED_PEOPLE: lambda each: "A moderator decided that people coordinate here.",
    REMOVED: lambda each: "Everything else about it was removed.",
    FORGOTTEN: lambda each: "Left out: what was forgotten here on request.",
}
"""Code -> the sentence out of the limitation."""


_TELLING: Final = math.log(2)
"""An owner is told of what is at least twice as likely for a machine; less than that is said of anybody."""

TO_OWNER: Final[dict[str, str]] = {
    "text": "how the texts are written is more usual for text that a language model wrote than for people's",
    "behaviour": "when and how regularly the account posts is more usual for automated accounts than for people",
    "coordination": "the account acts together with others more often than accounts do by chance",
    "graph": "the account's dealings with others are those of accounts that are steered from one place",
}
"""Evidence component -> what an account's owner is told where it speaks for a machine. Never which words, times,
objects or accounts, and no numbers: what would show others how to write past the system is not needed to contest a
decision."""


def explain_to_owner(nats: Mapping[str, float]) -> list[str]:
    """What was seen of an account, in sentences for its owner, the weightiest first.

    Args:
        nats: evidence component -> log-likelihood ratio on this account.
    """
    speaking = sorted((name for name in TO_OWNER if nats.get(name, 0.0) > _TELLING), key=lambda name: -nats[name])
    if not speaking:
        return ["Several weak signs, none of which means much alone."]
    return [f"{TO_OWNER[name][:1].upper()}{TO_OWNER[name][1:]}." for name in speaking]


def factor(nats: float) -> str:
    """A log-likelihood ratio as "20 times", never more digits than it deserves."""
    if nats > math.log(1e6):
        return "over a million times"
    if nats > math.log(9.5):
        magnitude = 10 ** math.floor(nats / math.log(10))
        return f"{round(math.exp(nats) / magnitude) * magnitude:,.0f} times"
    return f"{math.exp(nats):.1f} times"


def direction(nats: float, machine: str = "machine-driven account") -> str:
    """Which way evidence points, and how far; `machine` is what the other of a person is called."""
    if abs(nats) < _EVEN:
        return "about as likely for a person as for a machine"
    if nats > 0:
        return f"{factor(nats)} likelier for a {machine}"
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
