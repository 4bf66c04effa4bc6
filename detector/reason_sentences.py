"""Reasons and limitations in English: the one place that turns them into sentences.

`explain` and `limit_sentences` make what the record's `why` and `limits`, the terminal, the moderators' console and the
page of an account's owner say. No sentence is ever read back.

A sentence carries one fact, so that a moderator reads all of them in twenty seconds. Nothing that users wrote goes into
one: texts, names and links stand in the alert's own fields, which reasons refer to by id.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from detector.account.plain_features import FEATURE_WORDS
from detector.reasons import (
    ACTIVE_ACCOUNT,
    ACTIVE_GROUP,
    AUTOMATION_LEFT_OUT,
    BEHAVIOUR,
    BEYOND_CHANCE,
    BEYOND_DECOYS,
    BEYOND_HORIZON,
    COORDINATED_GROUP,
    COORDINATION,
    DECIDED_PEOPLE,
    FALSE_FLAGS,
    FEW_TEXTS,
    FOR_INFORMATION,
    FORGOTTEN,
    GRAPH,
    GROUP_EVIDENCE,
    MACHINE_ACCOUNT,
    MACHINE_GROUP,
    MERGED,
    MODEL_HELP,
    NEAR_NO_MEMBERS,
    NO_OFFENCE,
    NOT_FLAGGED,
    NOT_RERANKED,
    NOT_USED,
    OPERATOR_UNSEEN,
    OTHER_COMMUNITIES,
    RATE_BOUNDS,
    REMOVED,
    SAYS_AUTOMATED,
    SHARED,
    STYLE,
    TALKING_POINTS,
    TEXT,
    WITHDRAWN_AUTOMATED,
    WITHDRAWN_CHANGED,
    WITHDRAWN_DECIDED,
    WITHDRAWN_DELETED,
    WITHDRAWN_MODEL,
    WITHDRAWN_PERSON,
    WITHDRAWN_TEXT,
    WITHDRAWN_WEAK,
    Limitation,
    Reason,
    is_shared,
    is_style,
    shared_code,
)

_EVEN: Final = 0.05
"""Nats under which evidence is called neither here nor there (a factor of 1.05)."""


class Sentence(NamedTuple):
    """One sentence for people: a label of one word, "" where there is none, and the text after it."""

    label: str
    text: str

    def __str__(self) -> str:
        return f"{self.label}: {self.text}" if self.label else self.text


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
