"""What the pages show of alerts, made out of rows and records: a line of a list, and everything on an alert's page.

Pure: no database and no request, and the time is an argument.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from detector.reason_sentences import Sentence
from graph.traces import KIND_TABLE
from moderation import words
from moderation.alert_lists import TeamQueue, queue_of
from moderation.cases import AlertWithDetails
from moderation.console_config import PlatformLinks
from moderation.decisions import VERDICTS
from moderation.odds import Certainty, account_threshold, claim, look, passes, percent
from moderation.permissions import Actor
from moderation.topic_records import milliseconds
from moderation.web.context_views import Platform
from moderation.web.evidence_views import (
    Bar,
    PastDecision,
    Rights,
    Together,
    bar,
    bars,
    in_detail,
    limits,
    odds,
    past_decision,
    rights_of,
    seen_together,
    statistic,
)
from moderation.web.similarity import Segment, segments, similar_groups
from moderation.web.untrusted_text import short, visible
from streaming.schema.alert import AlertRecord

NO_PLATFORM: Final = Platform(PlatformLinks())

SAYS: Final = {
    "campaign": ("acts together with others", "act together"),
    "account": ("", ""),
    "coordination": ("acts together with others; no sign of a machine", "act together; no sign of a machine"),
}
"""What an alert says of one account, and of several, before the odds that a machine drives them."""


@dataclass(frozen=True)
class QueueRow:
    """One alert in a list. `badges` are (class, words); `pips`, of five, and `sure` say what its odds are."""

    id: str
    kind: str
    kind_words: str
    who: str
    names: list[str]
    others: int
    says: str
    pips: int
    sure: str
    members: int
    since: str
    last: str
    lasted: str
    at: str
    ago: str
    badges: list[tuple[str, str]]
    queue: str
    holder: str
    mine: bool
    decision: str


def queue_row(row: Any, actor: Actor, now: int, queues: Sequence[TeamQueue] = ()) -> QueueRow:
    """One alert in a list.

    Args:
        row: with the columns of `alert_lists.LIST_COLUMNS` and `holder`.
        actor: who looks.
        now: ms since 1970 UTC.
        queues: of the team, in their order: its queue says until when it is to be decided.
    """
    held = row.claimed_by is not None and row.claimed_until > now
    badges = []
    if row.escalated:
        badges.append(("escalated", "escalated"))
    if row.watch and row.status == "open" and row.decision is None:
        badges.append(("watch", "watch"))
    if row.returned:
        badges.append(("returned", "came back"))
    if row.status == "merged":
        badges.append(("merged", "merged"))
    if row.status == "withdrawn":
        badges.append(("withdrawn", "withdrawn"))
    if row.decision is not None:
        badges.append(("decided", f"decided: {words.VERDICTS.get(row.decision, row.decision)}"))
    if row.status == "open" and row.decision is None and row.snoozed_until > now:
        badges.append(("snoozed", f"put off until {words.when(row.snoozed_until)}"))
    if row.status == "open" and row.decision is None and row.waits_revision >= row.revision:
        badges.append(("needs-more", "waits for more"))
    within = queue_of(row, queues)
    if within is not None and within.due_ms and row.status == "open" and row.decision is None:
        due = row.arrived + within.due_ms
        badges.append(("overdue" if due <= now else "due", words.due(due, now)))
    names = [visible(name) for name in row.title.split(", ")] if row.title else []
    certain = Certainty(row.odds, None, row.posts)
    return QueueRow(
        id=row.id, kind=row.kind, kind_words=words.KINDS.get(row.kind, row.kind),
        who=words.who(names, max(row.members, len(names))) if names else "No names are kept of it", names=names,
        others=max(0, row.members - len(names)),
        says=_says(row, max(row.members, len(names))) if names else "",
        pips=certain.steps, sure=percent(row.odds) if row.odds is not None else "", members=row.members,
        since=words.when(row.first_post_at), last=words.when(row.last_post_at),
        lasted=words.span(row.first_post_at, row.last_post_at), at=words.when(row.at),
        ago=words.ago(row.arrived, now), badges=badges, queue=within.name if within is not None else "",
        holder=(row.holder or "somebody") if held else "",
        mine=held and row.claimed_by == actor.user_id,
        decision=words.VERDICTS.get(row.decision, "") if row.decision else "",
    )  # fmt: skip


def _says(row: Any, members: int) -> str:
    """What an alert says of those it names: `act together; probably driven by a language model: 77%`."""
    before = SAYS[row.kind][0 if members == 1 else 1]
    if row.kind == "coordination":
        return before
    return "; ".join(part for part in (before, claim(row.odds, row.posts if row.watch else 0)) if part)


MOST_MEMBERS: Final = 1000

SOON_MS: Final = 12 * 3_600_000
"""A time of day within this is the next one of its name."""

MOST_TIES: Final = 50
"""Ties named in the table beside the picture: those an alert itself carries."""


DRAWN: Final = frozenset(
    ("near_duplicate", "link", "domain", "hashtag", "repost", "reply_target", "quote", "mention", "like", "contact")
)  # fmt: skip
"""Kinds of edges that the style sheet has a line of their own for."""

TIES: Final = {kind.name: kind.name if kind.name in DRAWN else kind.look for kind in KIND_TABLE}
"""Kinds of edges by what they are drawn like: a package's own kind as the built-in ones of its sort."""

MOST_BECAUSE: Final = 2
"""Parts named in the sentence that says why."""

READABLE: Final = frozenset(kind.name for kind in KIND_TABLE if kind.readable)
"""Kinds whose objects say something to a person; others are ids."""

LEAST_SHARED: Final = 25
MOST_SHARED: Final = 2
"""Of all accounts in percent, and how many: what the summary names of what they share."""

CLOSED: Final = {"withdrawn": "This alert was withdrawn", "merged": "This alert became part of another one"}
"""What a closed alert that names nobody any more says."""


@dataclass(frozen=True)
class QuotedPost:
    """One quoted post: its text in segments that other members wrote too and segments that are its own."""

    account: str
    at: str
    href: str
    segments: list[Segment]
    words: str


@dataclass(frozen=True)
class MemberRow:
    """One member; `verdict` holds on it alone."""

    account: str
    posterior_percent: int
    total: float
    total_words: str
    width: int
    look: str
    strength_percent: int
    verdict: str
    verdict_words: str


@dataclass(frozen=True)
class PostGroup:
    """Posts that share wording, or (`alike` false) those that share it with none."""

    alike: bool
    posts: list[QuotedPost]
    accounts: int


@dataclass(frozen=True)
class Tie:
    """What two members did together, of one kind."""

    a: str
    b: str
    kind_words: str
    count: str
    expected: str
    objects: list[str]


@dataclass(frozen=True)
class SaidPost:
    """A member's words for a talking point."""

    account: str
    at: str
    text: str


@dataclass(frozen=True)
class Point:
    """What `members` members say, each in words of its own."""

    members: int
    posts: list[SaidPost]


@dataclass(frozen=True)
class SharedObject:
    """Something that members shared; `percent` of them."""

    kind_words: str
    name: str
    accounts: int
    percent: int
    readable: bool


@dataclass(frozen=True)
class Handover:
    """Who escalated an alert or put it off, when, why, and until when."""

    by: str
    at: int
    ago: str
    reason: str
    until: int


@dataclass(frozen=True)
class AlertView:
    """Everything on an alert's page."""

    row: QueueRow
    headline: str
    who: list[str]
    others: int
    because: str
    example: str
    shared: list[SharedObject]
    reasons: list[Sentence]
    limits: list[str]
    bars: list[Bar]
    total: Bar
    together: list[Together]
    statistic_words: str
    odds_words: str
    points: list[Point]
    posts: list[PostGroup]
    posts_total: int
    members: list[MemberRow]
    members_total: int
    objects: list[SharedObject]
    edge_kinds: list[tuple[str, str, int, str]]
    ties: list[Tie]
    details_note: str
    decisions: list[PastDecision]
    current_decision: PastDecision | None
    watch: bool
    posts_known: int
    escalated: Handover | None
    snoozed: Handover | None
    rights: Rights
    merged_into: str
    status: str
    revision: int
    changed: int
    models: list[tuple[str, str]]
    lease_until: str
    policy: str


def alert_view(
    whole: AlertWithDetails,
    actor: Actor,
    decisions: Sequence[Any],
    on_accounts: Mapping[str, Any],
    known: set[str],
    now: int,
    flagged: Collection[str] = (),
    queues: Sequence[TeamQueue] = (),
    platform: Platform = NO_PLATFORM,
) -> AlertView:
    """An alert's page.

    Args:
        whole: the alert with its details.
        actor: who looks.
        decisions: rows of `decision_lists.history`.
        on_accounts: account -> the decision row that holds on it.
        known: ids among the decisions' alerts that there are.
        now: ms since 1970 UTC.
        flagged: members that have an open alert of their own.
        queues: of the team.
        platform: where its posts are.
    """
    row, record = whole.row, whole.record
    listed = queue_row(row, actor, now, queues)
    names = [member.account for member in record.members]
    headline = _headline(record, row)
    posts = _posts(record, platform)
    shown = [past_decision(each, actor, known, now) for each in decisions]
    grouped = _grouped(record, posts)
    objects = _objects(whole)
    components = bars(record)
    together = seen_together(record)
    return AlertView(
        row=listed, headline=headline,
        watch=bool(row.watch), posts_known=row.posts,
        escalated=_handover(row.escalated_name, row.escalated_at, row.escalated_reason, 0, now)
        if row.escalated else None,
        snoozed=_handover(row.snoozed_name, row.snoozed_at, row.snoozed_reason, row.snoozed_until, now)
        if row.snoozed_until > now else None,
        who=names[: words.NAMED], others=max(0, row.members - len(names[: words.NAMED])),
        because=_because(record, together), example=_example(grouped),
        shared=[each for each in objects if each.readable and each.percent >= LEAST_SHARED][:MOST_SHARED],
        reasons=in_detail(record),
        limits=limits(record), bars=components,
        total=total_bar(record),
        together=together, statistic_words=statistic(record), odds_words=odds(record),
        points=_points(record), posts=grouped, posts_total=len(posts),
        members=_members(record, on_accounts, flagged), members_total=row.members, objects=objects,
        edge_kinds=_edge_kinds(whole), ties=_ties(record),
        details_note=_details_note(whole), decisions=shown,
        current_decision=_current_decision(row, shown),
        rights=rights_of(row, actor, now), merged_into=row.merged_into or "", status=row.status,
        revision=row.revision, changed=row.changed,
        models=[(visible(name), visible(value)) for name, value in sorted(record.models.items())],
        lease_until=_until(row.claimed_until, now) if listed.holder else "", policy=row.policy,
    )  # fmt: skip


def _current_decision(row: Any, decisions: Sequence[PastDecision]) -> PastDecision | None:
    """The decision on the alert as a whole that holds now, None where it waits for one."""
    if not row.decision and row.waits_revision < row.revision:
        return None
    return next((each for each in decisions if each.verdict in VERDICTS and not each.account and not each.undone), None)


def total_bar(record: AlertRecord) -> Bar:
    """The bar of all components together: it has a machine's colour only where it passes what decides."""
    made = bar("total", "All together", "the components added up", record.evidence.total, "")
    return replace(made, toward="neither") if made.toward == "machine" and not passes(record) else made


def _until(at: int, now: int) -> str:
    """When a claim ends: the time alone where that is soon."""
    return words.clock(at) if at - now < SOON_MS else words.when(at)


def _headline(record: AlertRecord, row: Any) -> str:
    if not record.members and record.status in CLOSED:
        return CLOSED[record.status]
    accounts = words.counted(max(row.members, 1), "account")
    if record.kind == "campaign":
        return f"{accounts} act together; {claim(row.odds)}"
    if record.kind == "coordination":
        return f"{accounts} act together; nothing shows that a machine drives them"
    name = short(record.members[0].account, 60) if record.members else "this account"
    return f"{name}: {claim(row.odds, row.posts if row.watch else 0)}"


def _handover(by: str | None, at: int, reason: str, until: int, now: int) -> Handover:
    return Handover(by or "somebody", at, words.ago(at, now), visible(reason), until)


def _because(record: AlertRecord, together: Sequence[Together]) -> str:
    """Why, in one sentence."""
    met = ""
    if together:
        first = together[0]
        met = f"they met {first.seen:,} times in {first.words}, where chance would give about {first.expected_words}"
    if record.kind == "coordination":
        return _capital(f"{met or 'they do the same things more often than chance would have it'}.")
    if record.kind == "account":
        speaking = sorted((each for each in bars(record) if each.toward == "machine"), key=lambda each: -each.nats)
        if not speaking:
            return ""
        most, *others = speaking[:MOST_BECAUSE]
        reasons = [f"{most.meaning} is {most.words}", *(f"{each.meaning} {_times(each)}" for each in others)]
        return _capital(f"{', and '.join(reasons)}.")
    said = f"what is seen of the mean member is {words.direction(record.evidence.total)}"
    return _capital(f"{said}, and {met}." if met else f"{said}.")


def _capital(sentence: str) -> str:
    """The sentence with a large letter at its beginning, and no other changed."""
    return sentence[:1].upper() + sentence[1:]


def _times(bar: Bar) -> str:
    """`2.1 times`, or that it says nothing."""
    return words.direction(bar.nats) if bar.toward == "neither" else f"{words.factor(abs(bar.nats))} times"


def _in_short(bar: Bar) -> str:
    """`300x machine`, with a sign for times: for a table."""
    return "neither" if bar.toward == "neither" else f"{_times(bar).removesuffix(' times')}\u00d7 {bar.toward}"


def _posts(record: AlertRecord, platform: Platform) -> list[QuotedPost]:
    shown = [(post.account, visible(post.text)) for post in record.posts]
    cut = segments(shown)
    return [
        QuotedPost(
            account=visible(post.account), at=words.when(milliseconds(post.at) or 0), segments=parts,
            href=platform.post(post.account, post.id),
            words=words.direction(post.llr),
        )
        for post, parts in zip(record.posts, cut, strict=True)
    ]  # fmt: skip


def _points(record: AlertRecord) -> list[Point]:
    """The talking points that somebody's words are left of."""
    return [
        Point(
            each.members,
            [
                SaidPost(visible(post.account), words.when(milliseconds(post.at) or 0), visible(post.text))
                for post in each.posts
            ],
        )
        for each in record.talking_points
        if each.posts
    ]


def _grouped(record: AlertRecord, posts: list[QuotedPost]) -> list[PostGroup]:
    """The posts that share wording side by side, the largest group first, and then the others."""
    together = similar_groups([(post.account, visible(post.text)) for post in record.posts])
    alike = [PostGroup(True, [posts[place] for place in group], len({posts[place].account for place in group}))
             for group in together]  # fmt: skip
    used = {place for group in together for place in group}
    rest = [post for place, post in enumerate(posts) if place not in used]
    return alike + ([PostGroup(False, rest, len({post.account for post in rest}))] if rest else [])


def _example(grouped: Sequence[PostGroup]) -> str:
    """One post that stands for the others: of those that share wording, where there are any."""
    return "".join(piece.text for piece in grouped[0].posts[0].segments) if grouped else ""


def _ties(record: AlertRecord) -> list[Tie]:
    return [
        Tie(
            visible(edge.a), visible(edge.b), words.EDGE_KINDS.get(edge.kind, visible(edge.kind)), f"{edge.count:g}",
            f"{edge.expected:.1f}", [visible(name)[:200] for name in edge.objects[:10]],
        )
        for edge in record.edges[:MOST_TIES]
    ]  # fmt: skip


def _members(record: AlertRecord, on_accounts: Mapping[str, Any], flagged: Collection[str]) -> list[MemberRow]:
    rows = []
    threshold = account_threshold(record)
    for member in record.members[:MOST_MEMBERS]:
        total = member.llr.total
        decided = on_accounts.get(member.account)
        verdict = decided.verdict if decided is not None else ""
        shown = bar("", "", "", total, "")
        rows.append(
            MemberRow(
                account=member.account, posterior_percent=round(100 * member.posterior), total=total,
                total_words=_in_short(shown), width=shown.width,
                look=look(member, threshold, flagged=member.account in flagged),
                strength_percent=round(100 * min(max(member.strength, 0), 1)),
                verdict=verdict, verdict_words=words.VERDICTS.get(verdict, ""),
            )
        )  # fmt: skip
    return rows


def _objects(whole: AlertWithDetails) -> list[SharedObject]:
    size = max(whole.row.members, 1)
    if whole.details:
        found = [each for page in whole.details for each in page.objects]
        return [
            _object(each.kind, each.object, len(each.accounts), size)
            for each in sorted(found, key=lambda each: -len(each.accounts))[:50]
        ]
    shared: dict[tuple[str, str], set[str]] = {}
    for edge in whole.record.edges:
        for name in edge.objects:
            shared.setdefault((edge.kind, name), set()).update((edge.a, edge.b))
    ranked = sorted(shared.items(), key=lambda item: (-len(item[1]), item[0]))
    return [_object(kind, name, len(who), size) for (kind, name), who in ranked[:50]]


def _object(kind: str, name: str, accounts: int, size: int) -> SharedObject:
    share = min(100, round(100 * accounts / size))
    how = words.EDGE_KINDS.get(kind, visible(kind))
    return SharedObject(how, visible(name)[:300], accounts, share, kind in READABLE)


def _edge_kinds(whole: AlertWithDetails) -> list[tuple[str, str, int, str]]:
    edges = [edge for page in whole.details for edge in page.edges] if whole.details else whole.record.edges
    counts: dict[str, int] = {}
    for edge in edges:
        counts[edge.kind] = counts.get(edge.kind, 0) + 1
    return [(kind, words.EDGE_KINDS.get(kind, visible(kind)), count, TIES.get(kind, "other"))
            for kind, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]  # fmt: skip


def _details_note(whole: AlertWithDetails) -> str:
    if not whole.details:
        return "The whole network has not arrived; this shows the strongest ties only."
    if not whole.complete:
        return "Part of the network has not arrived yet."
    if whole.details[0].revision != whole.row.revision:
        return f"The network is that of revision {whole.details[0].revision}; the alert is at {whole.row.revision}."
    return ""
