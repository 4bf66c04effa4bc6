"""The first card of a case and what belongs to it: how sure, since when, what to do, which alerts a decision covers,
where its accounts appear besides, and what was decided there.

Pure: no database and no request, and the time is an argument.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from moderation import words
from moderation.cases import AlertWithDetails
from moderation.odds import EVEN_ODDS, certainty, percent
from moderation.permissions import Actor
from moderation.related import Contradiction, MemberAlert, OtherAlert
from moderation.topic_records import milliseconds
from moderation.web.evidence_views import PastDecision, Rights
from moderation.web.subject import Subject, subject
from moderation.web.untrusted_text import short, visible
from streaming.schema.alert import AlertRecord

MOST_NEIGHBOURS: Final = 12
"""Accounts near a group that one page names."""

PROBABLE: Final = 0.75
"""Odds from which the advice is to decide; below, to look for what speaks against it first."""

STATE_WORDS: Final = {
    "free": "open", "yours": "yours", "held": "claimed by {holder}", "escalated": "escalated: a lead's",
    "decided": "decided: {decision}", "watch": "on watch", "closed": "closed",
}  # fmt: skip
"""What people are doing with a member's own alert."""


@dataclass(frozen=True)
class Covered:
    """A member's own alert, and whether a decision on the case may cover it."""

    account: str
    id: str
    state_words: str
    odds: str
    coverable: bool


@dataclass(frozen=True)
class Elsewhere:
    """A decision in force on an account elsewhere."""

    account: str
    verdict: str
    verdict_words: str
    by: str
    ago: str
    alert_id: str
    alert_words: str


@dataclass(frozen=True)
class AlsoIn:
    """Another alert that names an account of this one."""

    id: str
    kind_words: str
    title: str
    status_words: str


@dataclass(frozen=True)
class Neighbour:
    """An account that is tied to members and is none; `alert_id` is its own alert, "" where it has none.

    `how` is how members deal with it, where the alert says so.
    """

    account: str
    ties: int
    alert_id: str
    how: str = ""


@dataclass(frozen=True)
class CaseView:
    """What the first card and the decision's form show of a case."""

    about: Subject
    first: int
    last: int
    since: str
    sure: list[str]
    to_do: str
    covers: list[Covered]
    elsewhere: list[Elsewhere]
    also_in: dict[str, list[AlsoIn]]
    neighbours: list[Neighbour]
    own_alerts: dict[str, Covered]

    @property
    def coverable(self) -> list[Covered]:
        """The members' alerts that a decision may cover."""
        return [each for each in self.covers if each.coverable]


@dataclass(frozen=True)
class RelatedAlerts:
    """What the database has about the accounts of an alert.

    Args:
        own: member -> its own alert.
        others: member -> other alerts that name it.
        elsewhere: decisions in force elsewhere.
        near: account tied to members and none itself -> its own alert, None where it has none.
    """

    own: Mapping[str, MemberAlert]
    others: Mapping[str, Sequence[OtherAlert]]
    elsewhere: Sequence[Contradiction]
    near: Mapping[str, MemberAlert | None]


@dataclass(frozen=True)
class CaseLine:
    """A line of a case's history: an act with its words, or (`decision` given) a decision."""

    at: int
    by: str
    said: str
    words: str
    decision: PastDecision | None


def case_lines(log: Sequence[Any], decisions: Sequence[PastDecision], arrived: int) -> list[CaseLine]:
    """The history of a case, the newest first: acts, revisions and decisions in one line of time.

    Args:
        log: rows of `case_log.entries`.
        decisions: of the case.
        arrived: when its alert came in, ms.
    """
    found = [
        CaseLine(
            row.at, (row.by_name or "somebody") if row.user_id else "", words.CASE_ACTIONS.get(row.action, row.action),
            visible(row.words), None,
        )
        for row in log
    ]  # fmt: skip
    found += [CaseLine(each.at_ms, each.by, "decided", "", each) for each in decisions]
    found.append(CaseLine(arrived, "", "came in", "", None))
    return sorted(found, key=lambda each: -each.at)


def neighbour_ties(whole: AlertWithDetails) -> dict[str, int]:
    """Accounts that are tied to members of a group and are none, and to how many: the most tied first."""
    members = {member.account for member in whole.record.members}
    if whole.record.kind == "account":
        return {}
    tied: dict[str, set[str]] = {}
    for edge in [*whole.record.edges, *(edge for page in whole.details for edge in page.edges)]:
        for one, other in ((edge.a, edge.b), (edge.b, edge.a)):
            if one not in members and other in members:
                tied.setdefault(one, set()).add(other)
    counts = {account: len(others) for account, others in tied.items()}
    for each in whole.record.near:
        if each.account not in members:
            counts[each.account] = max(counts.get(each.account, 0), each.members)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return dict(ranked[:MOST_NEIGHBOURS])


def case_view(whole: AlertWithDetails, links: RelatedAlerts, rights: Rights, actor: Actor, now: int) -> CaseView:
    """What belongs to an alert.

    Args:
        whole: the alert with its details.
        links: what the database has about its accounts.
        rights: what whoever looks may do with it.
        now: ms since 1970 UTC.
    """
    covers = {account: _covered(each) for account, each in links.own.items() if each.id != whole.row.id}
    ties = neighbour_ties(whole)
    how = {each.account: words.NEAR[each.how] for each in whole.record.near}
    first, last = first_activity(whole)
    return CaseView(
        first=first, last=last,
        about=subject(whole), since=since(whole, now), sure=sure(whole.record),
        to_do=to_do(whole, rights, sum(each.coverable for each in covers.values())),
        covers=sorted(covers.values(), key=lambda each: (not each.coverable, each.account)),
        elsewhere=[_elsewhere(each, now) for each in links.elsewhere],
        also_in={account: [_also_in(each) for each in found] for account, found in links.others.items()},
        neighbours=[
            Neighbour(
                account, count, near.id if (near := links.near.get(account)) is not None else "", how.get(account, "")
            )
            for account, count in ties.items()
        ],
        own_alerts=covers,
    )  # fmt: skip


def first_activity(whole: AlertWithDetails) -> tuple[int, int]:
    """Times of the first and last thing that an alert shows, ms: of its own record, quoted posts and time line."""
    moments = [moment.at for page in whole.details for moment in page.posts]
    shown = [milliseconds(at) for at in [*(post.at for post in whole.record.posts), *moments]]
    times = [at for at in shown if at is not None]
    return min([whole.row.first_post_at, *times]), max([whole.row.last_post_at, *times])


def since(whole: AlertWithDetails, now: int) -> str:
    """How long it lasted, and when it was last seen."""
    first, last = first_activity(whole)
    return f"over {words.span(first, last)}; last seen {words.ago(last, now)}."


def sure(record: AlertRecord) -> list[str]:
    """How sure it is, in a sentence or two."""
    found = certainty(record)
    said = []
    if found.odds is not None:
        base = f", if {percent(found.base_rate)} of all accounts were machine-driven" if found.base_rate else ""
        if record.kind == "account":
            said.append(f"{percent(found.odds)} that a language model drives it{base}.")
        else:
            count = round(found.odds * len(record.members))
            said.append(
                f"{percent(found.odds)} a member: about {count} of {words.counted(len(record.members), 'account')} "
                f"expected to be driven by a language model{base}."
            )
    if found.posts and record.kind == "account":
        said.append(f"It rests on {words.counted(found.posts, 'post')}.")
    if record.kind != "account" and record.target_fdr:
        said.append(f"At most {record.target_fdr:.0%} of the groups listed act together by chance.")
    if record.kind == "coordination":
        said.append("Nothing is said about machines.")
    return said


def to_do(whole: AlertWithDetails, rights: Rights, covered: int) -> str:
    """What to do about an alert now, in a sentence.

    Args:
        whole: the alert.
        rights: what whoever looks may do with it.
        covered: alerts of members that a decision may cover.
    """
    row, record = whole.row, whole.record
    if rights.why_not:
        return rights.why_not
    if row.watch:
        return "Wait for more posts: it comes into the queue by itself. Decide now only on what you know besides."
    if record.kind == "coordination":
        return "Decide only on what you know besides: acting together is no offence, and nobody is flagged for it."
    also = f" One decision may cover {words.counted(covered, 'alert')} of members too." if covered else ""
    odds = certainty(record).odds or 0.0
    many = record.kind != "account"
    if odds >= PROBABLE:
        what = "Check what speaks against it (what is not known, posts in words of their own), then decide."
    elif odds >= EVEN_ODDS:
        what = "Read the posts side by side first: the odds alone do not settle it."
    else:
        seen = "they share" if many else "it writes"
        what = (
            f"More likely {'people' if many else 'a person'}: decide only if what {seen} shows more than the odds do."
        )
    return what + also


def _covered(each: MemberAlert) -> Covered:
    said = STATE_WORDS[each.state].format(holder=each.holder, decision=words.VERDICTS.get(each.decision, each.decision))
    return Covered(each.account, each.id, said, percent(each.odds) if each.odds is not None else "", each.coverable)


def _elsewhere(each: Contradiction, now: int) -> Elsewhere:
    return Elsewhere(
        each.account, each.verdict, words.VERDICTS.get(each.verdict, each.verdict), each.by, words.ago(each.at, now),
        each.alert_id, short(each.title, 60) if each.title else "an alert that is gone",
    )  # fmt: skip


def _also_in(each: OtherAlert) -> AlsoIn:
    decided = f"decided: {words.VERDICTS.get(each.decision, each.decision)}" if each.decision else each.status
    title = words.who([visible(name) for name in each.title.split(", ")] if each.title else [], each.members)
    return AlsoIn(each.id, words.KINDS.get(each.kind, each.kind), title, decided)
