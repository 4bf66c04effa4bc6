"""What the pages show, made out of rows and records. Pure: no database, no request; the time is an argument."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from moderation import words
from moderation.alerts import Whole
from moderation.hostile import visible
from moderation.likeness import Segment, segments, share
from moderation.records import PARTS, AlertRecord, milliseconds
from moderation.roles import Actor

FULL_BAR_NATS: Final = 5.0
"""Evidence that fills a bar: odds of 148 to 1."""

MOST_MEMBERS: Final = 1000


@dataclass(frozen=True)
class QueueRow:
    """One alert in a list. `badges` are (class, words)."""

    id: str
    kind: str
    kind_words: str
    who: str
    members: int
    since: str
    last: str
    lasted: str
    at: str
    ago: str
    badges: list[tuple[str, str]]
    holder: str
    mine: bool
    decision: str


@dataclass(frozen=True)
class Bar:
    """One part of the evidence. `width` is 0 to 100 and `toward` is `machine`, `person` or `neither`."""

    part: str
    label: str
    meaning: str
    nats: float
    width: int
    toward: str
    words: str
    abstained: str


@dataclass(frozen=True)
class Post:
    """One quoted post: its text in segments that other members wrote too and segments that are its own."""

    account: str
    at: str
    segments: list[Segment]
    shared_percent: int
    words: str


@dataclass(frozen=True)
class MemberRow:
    """One member: `bars` in the order of `PARTS`; `verdict` holds on it alone."""

    account: str
    posterior_percent: int
    total: float
    total_words: str
    strength_percent: int
    verdict: str
    verdict_words: str


@dataclass(frozen=True)
class SharedObject:
    """Something that members shared."""

    kind_words: str
    name: str
    accounts: int


@dataclass(frozen=True)
class Sentence:
    """One labelled sentence of the alert's own reasons."""

    label: str
    text: str


@dataclass(frozen=True)
class PastDecision:
    """One line of the history. `undoable` by whoever looks."""

    id: str
    alert_id: str
    alert_known: bool
    account: str
    verdict: str
    verdict_words: str
    by: str
    at: str
    ago: str
    policy: str
    reason: str
    note: str
    undone: bool
    undoable: bool


@dataclass(frozen=True)
class Rights:
    """What whoever looks can do with the alert now; templates show nothing else."""

    claim: bool
    release: bool
    decide: bool
    snooze: bool
    wake: bool
    escalate: bool
    hand_back: bool
    assign: bool
    why_not: str


@dataclass(frozen=True)
class AlertView:
    """Everything on an alert's page."""

    row: QueueRow
    headline: str
    what: str
    who: str
    since: str
    reasons: list[Sentence]
    limits: list[str]
    bars: list[Bar]
    total: Bar
    statistic_words: str
    posts: list[Post]
    members: list[MemberRow]
    members_total: int
    objects: list[SharedObject]
    edge_kinds: list[tuple[str, str, int]]
    has_details: bool
    details_note: str
    decisions: list[PastDecision]
    decision_words: str
    rights: Rights
    merged_into: str
    status: str
    revision: int
    models: list[tuple[str, str]]
    lease_until: str


def queue_row(row: Any, actor: Actor, now: int) -> QueueRow:
    """A list row out of a row with the columns of `queue.LISTED` and `holder`."""
    held = row.claimed_by is not None and row.claimed_until > now
    badges = []
    if row.escalated:
        badges.append(("escalated", "escalated"))
    if row.returned:
        badges.append(("returned", "came back"))
    if row.status == "merged":
        badges.append(("merged", "merged"))
    if row.status == "withdrawn":
        badges.append(("withdrawn", "withdrawn"))
    if row.decision is not None:
        badges.append(("decided", words.VERDICTS.get(row.decision, row.decision)))
    if row.status == "open" and row.decision is None and row.snoozed_until > now:
        badges.append(("snoozed", f"put off until {words.when(row.snoozed_until)}"))
    if row.status == "open" and row.decision is None and row.waits_revision >= row.revision:
        badges.append(("needs-more", "waits for more"))
    names = [visible(name) for name in row.title.split(", ")] if row.title else []
    return QueueRow(
        id=row.id, kind=row.kind, kind_words=words.KINDS.get(row.kind, row.kind),
        who=words.who(names, max(row.members, len(names))), members=row.members,
        since=words.when(row.first_post_at), last=words.when(row.last_post_at),
        lasted=words.span(row.first_post_at, row.last_post_at), at=words.when(row.at),
        ago=words.ago(row.arrived, now), badges=badges, holder=(row.holder or "somebody") if held else "",
        mine=held and row.claimed_by == actor.user_id,
        decision=words.VERDICTS.get(row.decision, "") if row.decision else "",
    )  # fmt: skip


def alert_view(
    whole: Whole, actor: Actor, decisions: Sequence[Any], on_accounts: Mapping[str, Any], known: set[str], now: int
) -> AlertView:
    """An alert's page.

    Args:
        decisions: rows of `decisions.history`.
        on_accounts: account -> the decision row that holds on it.
        known: ids among the decisions' alerts that there are.
    """
    row, record = whole.row, whole.record
    listed = queue_row(row, actor, now)
    names = [member.account for member in record.members]
    lead = words.sentence(record, "What")
    who = words.who([visible(name) for name in names], row.members)
    reasons = [Sentence(label, visible(text)) for label, text in words.labelled(record.why)
               if label not in ("What", "Since")]  # fmt: skip
    return AlertView(
        row=listed, headline=_headline(record, row), what=visible(lead) or _headline(record, row), who=who,
        since=f"{words.when(row.first_post_at)} to {words.when(row.last_post_at)} UTC, "
              f"over {words.span(row.first_post_at, row.last_post_at)}",
        reasons=reasons, limits=[visible(text) for text in record.limits], bars=_bars(record),
        total=_bar("total", "Together", "all parts added up", float(_number(record.evidence.get("total"))), ""),
        statistic_words=_statistic(record), posts=_posts(record), members=_members(record, on_accounts),
        members_total=row.members, objects=_objects(whole), edge_kinds=_edge_kinds(whole),
        has_details=bool(whole.details), details_note=_details_note(whole),
        decisions=[past_decision(each, actor, known, now) for each in decisions],
        decision_words=words.VERDICTS.get(row.decision, "") if row.decision else "",
        rights=_rights(row, actor, now), merged_into=row.merged_into or "", status=row.status,
        revision=row.revision, models=sorted(record.models.items()),
        lease_until=words.when(row.claimed_until) if listed.holder else "",
    )  # fmt: skip


def past_decision(row: Any, actor: Actor, known: set[str], now: int) -> PastDecision:
    """One line of the history out of a row of `decisions.history`."""
    undoable = (
        row.verdict != "undo"
        and row.undone_by is None
        and actor.may("work")
        and (row.user_id == actor.user_id or actor.may("lead"))
    )
    return PastDecision(
        id=row.id, alert_id=row.alert_id, alert_known=row.alert_id in known,
        account=visible(row.account) if row.account else "", verdict=row.verdict,
        verdict_words=words.VERDICTS.get(row.verdict, row.verdict), by=row.by_name or row.by or "somebody",
        at=words.when(row.at), ago=words.ago(row.at, now), policy=visible(row.policy), reason=visible(row.reason),
        note=visible(row.note), undone=row.undone_by is not None, undoable=undoable,
    )  # fmt: skip


def _headline(record: AlertRecord, row: Any) -> str:
    accounts = words.counted(max(row.members, 1), "account")
    if record.kind == "campaign":
        return f"{accounts} that act together and look driven by a language model"
    if record.kind == "coordination":
        return f"{accounts} that act together; nothing shows that a machine drives them"
    return "An account that a language model probably drives"


def _bars(record: AlertRecord) -> list[Bar]:
    unused = _abstained(record)
    return [
        _bar(part, *words.PARTS[part], float(_number(record.evidence.get(part))), unused.get(part, ""))
        for part in PARTS
    ]


def _bar(part: str, label: str, meaning: str, nats: float, abstained: str) -> Bar:
    toward = "neither" if abs(nats) < 0.1 else "machine" if nats > 0 else "person"
    width = round(100 * min(abs(nats), FULL_BAR_NATS) / FULL_BAR_NATS)
    return Bar(part, label, meaning, nats, width, toward, words.evidence_words(nats), abstained)


def _abstained(record: AlertRecord) -> dict[str, str]:
    """Parts that were not used, and why, out of "Not used: part (reason)."."""
    found = {}
    for sentence in record.limits:
        label, _, rest = sentence.partition(": ")
        part, _, reason = rest.partition(" (")
        if label == "Not used" and part in PARTS:
            found[part] = visible(reason.rstrip(").")) or "not used"
    return found


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def _statistic(record: AlertRecord) -> str:
    if record.statistic is None or record.threshold is None:
        return ""
    if record.threshold_kind == "e_value":
        rate = f", so that at most {record.target_fdr:.0%} of listed groups are chance" if record.target_fdr else ""
        return f"e-value {record.statistic:.3g}, {record.threshold:.3g} is needed{rate}"
    rate = f", set so that {record.target_fpr:.1%} of people would ever pass it" if record.target_fpr else ""
    return f"total {record.statistic:.2f} nats, the threshold is {record.threshold:.2f}{rate}"


def _posts(record: AlertRecord) -> list[Post]:
    shown = [(post.account, visible(post.text)) for post in record.posts]
    cut = segments(shown)
    return [
        Post(
            account=visible(post.account), at=words.when(milliseconds(post.at) or 0), segments=parts,
            shared_percent=round(100 * share(parts)), words=words.evidence_words(post.llr),
        )
        for post, parts in zip(record.posts, cut, strict=True)
    ]  # fmt: skip


def _members(record: AlertRecord, on_accounts: Mapping[str, Any]) -> list[MemberRow]:
    rows = []
    for member in record.members[:MOST_MEMBERS]:
        total = member.llr.get("total", 0.0)
        decided = on_accounts.get(member.account)
        verdict = decided.verdict if decided is not None else ""
        rows.append(
            MemberRow(
                account=member.account, posterior_percent=round(100 * member.posterior), total=total,
                total_words=words.evidence_words(total), strength_percent=round(100 * min(max(member.strength, 0), 1)),
                verdict=verdict, verdict_words=words.VERDICTS.get(verdict, ""),
            )
        )  # fmt: skip
    return rows


def _objects(whole: Whole) -> list[SharedObject]:
    if whole.details:
        found = [each for page in whole.details for each in page.objects]
        return [
            SharedObject(words.EDGE_KINDS.get(each.kind, each.kind), visible(each.object)[:300], len(each.accounts))
            for each in found[:50]
        ]
    shared: dict[tuple[str, str], set[str]] = {}
    for edge in whole.record.edges:
        for name in edge.objects:
            shared.setdefault((edge.kind, name), set()).update((edge.a, edge.b))
    ranked = sorted(shared.items(), key=lambda item: (-len(item[1]), item[0]))
    return [
        SharedObject(words.EDGE_KINDS.get(kind, kind), visible(name)[:300], len(who))
        for (kind, name), who in ranked[:50]
    ]


def _edge_kinds(whole: Whole) -> list[tuple[str, str, int]]:
    edges = [edge for page in whole.details for edge in page.edges] if whole.details else whole.record.edges
    counts: dict[str, int] = {}
    for edge in edges:
        counts[edge.kind] = counts.get(edge.kind, 0) + 1
    return [(kind, words.EDGE_KINDS.get(kind, kind), count)
            for kind, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]  # fmt: skip


def _details_note(whole: Whole) -> str:
    if not whole.details:
        return "The whole network has not arrived; this shows the strongest ties only."
    if not whole.complete:
        return "Part of the network has not arrived yet."
    if whole.details[0].revision != whole.row.revision:
        return f"The network is that of revision {whole.details[0].revision}; the alert is at {whole.row.revision}."
    return ""


def _rights(row: Any, actor: Actor, now: int) -> Rights:
    held = row.claimed_by is not None and row.claimed_until > now
    mine = held and row.claimed_by == actor.user_id
    works, leads = actor.may("work"), actor.may("lead")
    undecided = row.status == "open" and row.decision is None
    free = not held or mine
    why = ""
    if not works:
        why = "You can look, but not decide."
    elif row.status == "merged":
        why = "This alert is now part of another."
    elif row.status != "open":
        why = "This alert was withdrawn: there is nothing left to decide."
    elif row.decision is not None:
        why = "This alert is decided. Take the decision back to work on it again."
    elif not free:
        why = f"{row.holder or 'Somebody'} is working on this alert."
    elif row.escalated and not leads:
        why = "This alert was escalated: a lead decides on it."
    can = works and undecided
    return Rights(
        claim=can and free, release=works and held and (mine or leads), decide=can and free and not why,
        snooze=can and (free or leads) and row.snoozed_until <= now, wake=can and row.snoozed_until > now,
        escalate=can and (free or leads) and not row.escalated, hand_back=can and leads and bool(row.escalated),
        assign=can and leads, why_not=why,
    )  # fmt: skip
