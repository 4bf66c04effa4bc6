"""The words that people read: of kinds, evidence components, verdicts, times. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from detector.reason_sentences import Sentence, explain
from detector.reasons import BEYOND_DECOYS, COORDINATION, GROUP_EVIDENCE, TEXT, Reason
from graph.traces import KIND_TABLE, KIND_WORDS
from moderation.topic_records import milliseconds
from streaming.schema.alert import AlertRecord

KINDS: Final = {
    "campaign": "Campaign",
    "account": "Account",
    "coordination": "Coordination",
}
"""What an alert is about, in a word: what is said of it stands in a sentence with its odds."""

COMPONENTS: Final = {
    "text": ("Text", "how they write"),
    "behaviour": ("Habits", "pauses, sessions and hours of the day"),
    "coordination": ("Group", "what they do together"),
    "graph": ("Contacts", "whom they deal with"),
}
"""What is looked at, of several accounts."""

ALONE: Final = {
    "text": "how it writes",
    "behaviour": "its pauses, sessions and hours of the day",
    "coordination": "what it does together with others",
    "graph": "whom it deals with",
}
"""The same of one account."""

LOOKED_AT: Final = {
    "text": "The wording of each post, read by models that have seen what people and language models write.",
    "behaviour": "When they post: how long the pauses are, how long a session lasts, which hours are never slept.",
    "coordination": "What they have in common beyond chance: the same links, reposts, texts, targets, at the same "
    "time, and the same points in words of their own; and how those write who do so together.",
    "graph": "Suspicious accounts outside their group that share so much with them, and say so much of the same, that "
    "one controller is likelier than not; and how machine-like those are.",
}
"""What a component rests on, for those who ask."""

VERDICTS: Final = {
    "llm_campaign": "LLM campaign",
    "human_coordination": "Human coordination",
    "permitted_automation": "Permitted automation",
    "not_a_campaign": "Not a campaign",
    "needs_more": "Needs more",
    "missed": "Missed account",
    "undo": "Taken back",
}

VERDICT_EFFECTS: Final = {
    "llm_campaign": "Language models drive these accounts. The alert leaves the queue and stays open for follow-up.",
    "human_coordination": "People act together here. The alert leaves the queue and nobody counts as a machine for it.",
    "permitted_automation": "Machines, and allowed to be. These accounts stay out of the queue for good.",
    "not_a_campaign": "Nothing here. The alert comes back only when the evidence has grown clearly.",
    "needs_more": "Not enough to tell. The alert leaves the queue until its next revision.",
}

VERDICT_EFFECTS_ALONE: Final = VERDICT_EFFECTS | {
    "llm_campaign": "A language model drives this account. The alert leaves the queue and stays open for follow-up.",
    "human_coordination": "A person writes here, in concert with others. It comes back if the evidence grows clearly.",
    "permitted_automation": "A machine, and allowed to be. This account stays out of the queue for good.",
}
"""The same, of an alert on a single account."""

TO_OWNER: Final = {
    "llm_campaign": "A moderator decided that software, and not a person, writes for this account.",
    "human_coordination": "A moderator decided that people act together here. Nothing is held against this account for "
    "being automated.",
    "permitted_automation": "A moderator decided that this account is automated, and may be.",
    "not_a_campaign": "A moderator decided that nothing is wrong with this account.",
}
"""Decision -> what the owner of an account is told of it."""

CASE_ACTIONS: Final = {
    "claim": "claimed it", "release": "released it", "assign": "assigned it", "snooze": "put it off",
    "wake": "brought it back", "escalate": "escalated it", "hand_back": "handed it back", "skip": "passed it over",
    "comment": "said", "revised": "revised", "reopened": "opened again", "withdrawn": "withdrawn", "merged": "merged",
    "appeal": "appealed", "appeal_upheld": "upheld the decision on appeal",
    "appeal_overturned": "overturned the decision on appeal", "second_look": "looked a second time, blind",
}  # fmt: skip
"""What the history of a case says was done; without a name before it where the system did."""

DELIVERY_STATES: Final = {
    "waiting": "Waiting", "delivered": "Taken", "dead": "Dead letters", "dropped": "Not sent", "all": "All",
}  # fmt: skip

OUTCOMES: Final = {
    "removed": "removed", "suspended": "suspended", "limited": "limited", "labelled": "labelled",
    "no_action": "left as it is", "restored": "restored", "other": "did something else with",
}  # fmt: skip
"""What a platform says that it did with an account."""

AUDIT_ACTIONS: Final = {
    "login": "logged in", "claim": "claimed", "release": "released", "assign": "assigned", "snooze": "put off",
    "wake": "brought back", "escalate": "escalated", "hand_back": "handed back", "decide": "decided",
    "undo": "took back", "comment": "commented", "skip": "skipped",
    "resend": "sent an action again", "outcome": "noted an outcome", "forget": "forgot an account",
    "user_add": "added a person", "user_change": "changed a person", "password": "changed their password",
    "token_add": "made a token", "token_revoke": "revoked a token", "second_look": "looked a second time",
    "blind_sample": "decided on the blind sample",
}  # fmt: skip
"""What the audit log says was done."""

EDGE_KINDS: Final = {kind.name: kind.title for kind in KIND_TABLE}

STATES: Final = {
    "waiting": "Waiting", "mine": "Mine", "claimed": "Claimed", "escalated": "Escalated", "snoozed": "Put off",
    "watch": "Watch", "decided": "Decided", "closed": "Closed", "all": "All",
}  # fmt: skip

SORTS: Final = {"urgency": "Most urgent", "newest": "Newest", "oldest": "Oldest, by arrival", "largest": "Largest"}

KIND_FILTERS: Final = {"any": "All kinds"} | KINDS

NEAR: Final = {"copied": "its words copied by", "acted_upon": "answered, reposted, liked or followed by"}
"""How members deal with an account near their group."""

NAMED: Final = 3
"""Members named in a sentence."""


MILLION_NATS: Final = math.log(1e6)
"""Beyond odds of a million to one, digits are no longer worth reading."""


def factor(nats: float) -> str:
    """How many times likelier evidence of so many nats makes it, to three digits: `13.6`, `1.07`, `12,300`.

    Three digits and no fewer, so that the factors of the components multiply to the total as it is shown.
    """
    if nats > MILLION_NATS:
        return "over a million"
    value = math.exp(nats)
    return f"{value:.3g}" if value < 999.5 else f"{float(f'{value:.3g}'):,.0f}"


def direction(nats: float, machine: str = "a machine-driven account") -> str:
    """Which way evidence points, and how far: `13.6 times likelier for a machine-driven account`.

    Args:
        nats: log-likelihood ratio; above 0 it speaks for a machine.
        machine: what the other of a person is called.
    """
    shown = factor(abs(nats))
    if shown == "1":
        return "as likely for a person as for a machine"
    return f"{shown} times likelier for {machine if nats > 0 else 'a person'}"


def when(at_ms: int) -> str:
    """`14 Mar 2024, 09:05`, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%-d %b %Y, %H:%M")


def ago(at_ms: int, now_ms: int) -> str:
    """`5 min ago`, `3 h ago`, `12 days ago`, in steps nobody trips over."""
    seconds = max(0, (now_ms - at_ms) // 1000)
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{seconds // 60} min ago"
    if seconds < 2 * 86_400:
        return f"{seconds // 3600} h ago"
    return f"{seconds // 86_400} days ago"


def minutes(count: int) -> str:
    """A length of time in the largest unit that fits: `45 min`, `8 h`, `3 days`."""
    if count % 1440 == 0:
        return counted(count // 1440, "day")
    return f"{count // 60} h" if count % 60 == 0 else f"{count} min"


def due(at_ms: int, now_ms: int) -> str:
    """How much time is left to decide: `due in 25 min`, `overdue by 3 h`."""
    left = at_ms - now_ms
    minutes = abs(left) // 60_000
    if minutes < 120:
        said = f"{minutes} min"
    elif minutes < 48 * 60:
        said = f"{minutes // 60} h"
    else:
        said = f"{minutes // 1440} days"
    return f"due in {said}" if left > 0 else f"overdue by {said}"


def until(at_ms: int, now_ms: int) -> str:
    """When something is done: `at once`, `in 40 s`, `in 5 min`."""
    left = (at_ms - now_ms) // 1000
    if left <= 0:
        return "at once"
    return f"in {left} s" if left < 120 else f"in {left // 60} min"


def span(first_ms: int, last_ms: int) -> str:
    """How long something lasted: `40 minutes`, `5 hours`, `3 days`."""
    minutes = max(0, last_ms - first_ms) // 60_000
    if minutes < 120:
        return counted(max(1, minutes), "minute")
    if minutes < 48 * 60:
        return counted(minutes // 60, "hour")
    return counted(minutes // 1440, "day")


def counted(count: int, noun: str) -> str:
    """`1 account`, `12 accounts`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def listed(items: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    found = list(items)
    return f"{', '.join(found[:-1])} and {found[-1]}" if len(found) > 1 else "".join(found)


def who(names: list[str], total: int) -> str:
    """Whom an alert is about: `a, b, c and 9 others`."""
    if not names:
        return "nobody who may be named"
    named = names[:NAMED]
    others = total - len(named)
    if others > 0:
        return f"{', '.join(named)} and {counted(others, 'other')}"
    return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"


def clock(at_ms: int) -> str:
    """`09:05`, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%H:%M")


def sentences(record: AlertRecord) -> list[tuple[Reason | None, Sentence]]:
    """What an alert says for itself: each of its reasons with its sentence.

    An alert of version 1 has no reasons: its sentences are those of its `why`, without a label.
    """
    if not record.reasons:
        return [(None, Sentence("", text)) for text in record.why]
    at = milliseconds(record.at) or 0
    first, last = milliseconds(record.first_post_at) or at, milliseconds(record.last_post_at) or at
    said = explain(record.reasons, first, last, KIND_WORDS)
    return [
        (reason, Sentence(each.label, _RETOLD[reason.code](reason, len(record.members))))
        if reason.code in _RETOLD
        else (reason, each)
        for reason, each in zip(record.reasons, said, strict=True)
    ]


def _text(reason: Reason, _: int) -> str:
    share = "" if reason.observed is None else f"; {reason.observed:.0%} of its texts look machine-written singly"
    return f"how it writes is {direction(reason.nats or 0.0)}{share}."


def _group(reason: Reason, _: int) -> str:
    others = counted(round(reason.observed or 0), "other account")
    return f"it acts together with {others}, and what they write is {direction(reason.nats or 0.0)}."


def _beyond_decoys(reason: Reason, _: int) -> str:
    return (
        f"{as_often(reason.observed or 0.0)}; at most {reason.expected or 0.0:.0%} of the groups listed are expected "
        "to act together by chance."
    )


def as_often(decoy_q: float) -> str:
    """How often as much as a group shows is found among decoys, for each time it is found."""
    return f"as much is found {decoy_q:.1%} as often where nobody acts together"


def _own_evidence(reason: Reason, members: int) -> str:
    return (
        f"the members' own texts and habits are {direction(reason.nats or 0.0)} as a group; "
        f"{reason.observed or 0:.0f} of {members} are flagged by their own total."
    )


_RETOLD: Final[Mapping[str, Callable[[Reason, int], str]]] = {
    TEXT: _text, COORDINATION: _group, BEYOND_DECOYS: _beyond_decoys, GROUP_EVIDENCE: _own_evidence
}  # fmt: skip
"""Sentences with numbers, by code: on a page of bars and tables they have to agree to the last digit shown."""
