"""What an alert's page shows of its evidence, its history and its network, made out of records and rows.

`bars`, `seen_together`, `in_detail` and `limits` say in numbers and sentences why there is an alert; `past_decision`
and `rights_of` what was decided and what whoever looks may do now; `graph_json` is what the pictures are drawn from.
Pure: no database, and the time is an argument.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from detector.evidence import COMPONENTS
from detector.reason_sentences import Sentence, limit_sentences, shared_words
from detector.reasons import (
    ACTIVE_ACCOUNT,
    ACTIVE_GROUP,
    BEHAVIOUR,
    COORDINATED_GROUP,
    GRAPH,
    MACHINE_ACCOUNT,
    MACHINE_GROUP,
    NOT_USED,
    is_shared,
)
from graph.traces import KIND_WORDS
from moderation import words
from moderation.cases import AlertWithDetails
from moderation.odds import SPEAKS_NATS, account_threshold, certainty, look, percent
from moderation.permissions import Actor
from moderation.topic_records import milliseconds
from moderation.web.untrusted_text import visible
from streaming.schema.alert import AlertRecord

FULL_BAR_NATS: Final = 5.0
"""Evidence that fills a bar: odds of 148 to 1."""

SAID_ELSEWHERE: Final = frozenset({MACHINE_ACCOUNT, ACTIVE_ACCOUNT, MACHINE_GROUP, COORDINATED_GROUP, ACTIVE_GROUP})
"""Reasons that the headline and the summary of a page say."""

SAID_BY_A_BAR: Final = frozenset({BEHAVIOUR, GRAPH})
"""Reasons that say no more than the bar of their component."""


@dataclass(frozen=True)
class Bar:
    """One evidence component. `width` is 0 to 100 in steps of 2 and `toward` is `machine`, `person` or `neither`."""

    component: str
    label: str
    meaning: str
    nats: float
    width: int
    toward: str
    words: str
    short_words: str
    abstained: str

    @property
    def factor(self) -> str:
        """How many times likelier it makes a machine; under 1 for a person."""
        return words.factor(self.nats)


@dataclass(frozen=True)
class Together:
    """How often members met in one kind of thing, and how often chance would have it; widths are 0 to 100."""

    words: str
    seen: int
    seen_width: int
    expected_words: str
    expected_width: int
    times: str


def even(percent: float) -> int:
    """A width in the steps that the style sheet has."""
    return 2 * round(min(max(percent, 0.0), 100.0) / 2)


def bars(record: AlertRecord) -> list[Bar]:
    """One bar for each component."""
    unused = _abstained(record)
    alone = record.kind == "account"
    return [
        bar(name, words.COMPONENTS[name][0], words.ALONE[name] if alone else words.COMPONENTS[name][1],
            getattr(record.evidence, name), unused.get(name, ""))
        for name in COMPONENTS
    ]  # fmt: skip


def bar(component: str, label: str, meaning: str, nats: float, abstained: str) -> Bar:
    """One bar.

    Args:
        component: the evidence component, or `total`.
        label: its name on the page.
        meaning: what it looks at, in a few words.
        nats: its evidence.
        abstained: why it says nothing, "" where it speaks.
    """
    toward = "neither" if abs(nats) < SPEAKS_NATS else "machine" if nats > 0 else "person"
    width = even(100 * abs(nats) / FULL_BAR_NATS)
    said = words.direction(nats)
    return Bar(component, label, meaning, nats, width, toward, said, words.direction(nats, "a machine"), abstained)


def seen_together(record: AlertRecord) -> list[Together]:
    """How often members met in what they share, beside what chance would give; the most frequent first."""
    found = [
        (round(each.observed or 0), visible(shared_words(each, KIND_WORDS)), each.expected or 0.0)
        for each in record.reasons
        if is_shared(each)
    ]
    found.sort(key=lambda each: -each[0])
    most = max((max(seen, expected) for seen, _, expected in found), default=0) or 1
    return [
        Together(
            name, seen, even(100 * seen / most), _by_chance(expected), even(100 * expected / most),
            _times_as_often(seen, expected),
        )
        for seen, name, expected in found
    ]  # fmt: skip


def _times_as_often(seen: int, expected: float) -> str:
    """`7.7 times`, `53 times`; "" where it is no more often, or chance is too rare to divide by."""
    if expected < 0.05 or seen < 1.5 * expected:
        return ""
    return f"{seen / expected:.1f} times" if seen < 9.95 * expected else f"{seen / expected:,.0f} times"


def _by_chance(expected: float) -> str:
    """How often chance would have it: `15.8`, `under 0.1`."""
    return f"{expected:.1f}" if expected >= 0.05 or expected == 0 else "under 0.1"


def in_detail(record: AlertRecord) -> list[Sentence]:
    """The alert's sentences without those that are shown elsewhere on its page."""
    return [
        Sentence(sentence.label, visible(sentence.text))
        for reason, sentence in words.sentences(record)
        if reason is None or not (reason.code in SAID_ELSEWHERE | SAID_BY_A_BAR or is_shared(reason))
    ]


def limits(record: AlertRecord) -> list[str]:
    """What is not known, without the components that were not used: their bars say so."""
    if not record.limitations:
        return [visible(text) for text in record.limits]
    return [visible(text) for text in limit_sentences(each for each in record.limitations if each.code != NOT_USED)]


def statistic(record: AlertRecord) -> str:
    """The number that made it an alert, and the one it had to pass; it may have fallen below it since."""
    if record.statistic is None or record.threshold is None:
        return ""
    rate = f", so that at most {record.target_fdr:.0%} of listed groups are chance" if record.target_fdr else ""
    if record.threshold_kind == "decoy_q":
        passed = "it was listed at" if record.statistic > record.threshold else "it is listed at"
        return f"{words.as_often(record.statistic)}; {passed} {record.threshold:.1%} or less{rate}"
    fallen = record.statistic < record.threshold
    if record.threshold_kind == "e_value":  # before version 3
        passed = (
            f"it was listed when it passed {record.threshold:.3g}" if fallen else f"{record.threshold:.3g} is needed"
        )
        return f"e-value {record.statistic:.3g}; {passed}{rate}"
    rate = f", set so that {record.target_fpr:.1%} of people would ever pass it" if record.target_fpr else ""
    passed = "it was flagged when it passed" if fallen else "the threshold is"
    return f"total {record.statistic:.2f} nats; {passed} {record.threshold:.2f}{rate}"


def odds(record: AlertRecord) -> str:
    """What the evidence comes to, given how rare machines are taken to be; "" where not known."""
    sure = certainty(record)
    if sure.odds is None or sure.base_rate is None:
        return ""
    if record.kind == "account":
        of = "of those with such evidence would be"
    else:
        of = f"of these {words.counted(len(record.members), 'member')} would be, on what is seen of each"
    return f"if {percent(sure.base_rate)} of all accounts were machine-driven, {percent(sure.odds)} {of}"


def _abstained(record: AlertRecord) -> dict[str, str]:
    """Components that were not used, and why."""
    return {
        each.component: visible(each.detail or "not used")
        for each in record.limitations
        if each.code == NOT_USED and each.component is not None
    }


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
    at_ms: int
    ago: str
    policy: str
    reason: str
    note: str
    undone: bool
    undone_words: str
    undoable: bool
    alert_words: str
    batch: str
    part_of: str


@dataclass(frozen=True)
class DeliveryView:
    """What a receiver was told, and how that went; `again` where it can be sent again."""

    number: int
    id: str
    alert_id: str
    title: str
    receiver: str
    what: str
    state_words: str
    look: str
    made: int
    at: int
    attempts: int
    problem: str
    again: bool


@dataclass(frozen=True)
class OutcomeView:
    """What a receiver says that it did."""

    at: int
    receiver: str
    account: str
    did: str
    words: str


def delivery_view(row: Any, now: int) -> DeliveryView:
    """A delivery.

    Args:
        row: of `deliveries`, with `title` of the alert or without.
        now: ms since 1970 UTC.
    """
    tries = row.attempts and row.state == "waiting"
    words_of_state = {
        "waiting": f"tried again {words.until(row.next_at, now)}" if tries else "being sent",
        "delivered": "taken", "dead": "not taken", "dropped": "not sent",
    }  # fmt: skip
    looks = {"waiting": "due" if tries else "free", "delivered": "decided", "dead": "overdue", "dropped": "withdrawn"}
    return DeliveryView(
        number=row.seq, id=row.id, alert_id=row.alert_id,
        title=visible(getattr(row, "title", None) or "an alert that names nobody"), receiver=row.receiver,
        what="decision" if row.kind == "decision" else "taking back", state_words=words_of_state[row.state],
        look=looks[row.state], made=row.made, at=row.at, attempts=row.attempts, problem=visible(row.problem),
        again=row.state == "dead",
    )  # fmt: skip


def outcome_view(row: Any) -> OutcomeView:
    """What a receiver did; `row` as `actions.outcomes` gives it."""
    did = words.OUTCOMES.get(row.outcome, row.outcome)
    return OutcomeView(
        row.at, row.receiver or "a receiver", visible(row.account) if row.account else "", did, visible(row.words)
    )


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


def past_decision(row: Any, actor: Actor, known: set[str], now: int) -> PastDecision:
    """One line of the history.

    Args:
        row: of `decision_lists.history`.
        actor: who looks.
        known: ids of alerts that there are.
        now: ms since 1970 UTC.
    """
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
        at=words.when(row.at), at_ms=row.at, ago=words.ago(row.at, now), policy=visible(row.policy),
        reason=visible(row.reason),
        note=visible(row.note), undone=row.undone_by is not None, undoable=undoable,
        undone_words=_undone(row, now), alert_words=_alert_words(row), batch=row.batch or "", part_of=row.part_of or "",
    )  # fmt: skip


def _undone(row: Any, now: int) -> str:
    """Who took a decision back, when and why; "" where nobody did."""
    if row.undone_by is None:
        return ""
    said = f"taken back by {row.undone_name or 'somebody'}"
    if row.undone_at:
        said += f", {words.ago(row.undone_at, now)}"
    return said + (f": {visible(row.undone_reason)}" if row.undone_reason else "")


def _alert_words(row: Any) -> str:
    """The alert that a decision is on: whom it names."""
    if row.title is None:
        return "an alert that is not here"
    names = [visible(name) for name in row.title.split(", ")] if row.title else []
    return f"{words.KINDS.get(row.kind, row.kind)}: {', '.join(names) or 'nobody named any more'}"


def rights_of(row: Any, actor: Actor, now: int) -> Rights:
    """What `actor` may do with an alert now, and why not more.

    Args:
        row: of the alert, with `holder`.
        actor: who looks.
        now: ms since 1970 UTC.
    """
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
        why = "This alert was escalated: only a lead works on it now."
    entitled = leads or not row.escalated
    can = works and undecided and entitled
    return Rights(
        claim=can and free, release=works and held and (mine or leads), decide=can and free and not why,
        snooze=can and (free or leads) and row.snoozed_until <= now, wake=can and row.snoozed_until > now,
        escalate=can and (free or leads) and not row.escalated, hand_back=can and leads and bool(row.escalated),
        assign=can and leads, why_not=why,
    )  # fmt: skip


def graph_json(
    whole: AlertWithDetails, on_accounts: Mapping[str, Any], flagged: Collection[str] = ()
) -> dict[str, Any]:
    """What the picture and the time line are drawn from.

    Args:
        whole: the alert with its details.
        on_accounts: account -> the decision row that holds on it.
        flagged: accounts that have an open alert of their own.

    Returns:
        `nodes`: `{"id", "look", "odds", "strength", "verdict"}`; `edges`: `{"a", "b", "kind", "count",
        "expected", "surprise", "objects"}`, ends as places in nodes; `posts`: `{"n", "at", "kind"}`, place and ms;
        `kinds`: the kinds' words; `first`, `last`: ms; `complete`: whether these are all.
    """
    record = whole.record
    known = {member.account: member for member in record.members}
    pages = whole.details
    edges = [edge for page in pages for edge in page.edges] if pages else record.edges
    moments = [post for page in pages for post in page.posts]
    order: dict[str, int] = {name: place for place, name in enumerate(known)}
    for edge in edges:
        order.setdefault(edge.a, len(order))
        order.setdefault(edge.b, len(order))
    for post in moments:
        order.setdefault(post.account, len(order))
    nodes = []
    threshold = account_threshold(record)
    for name in order:
        member = known.get(name)
        decided = on_accounts.get(name)
        nodes.append(
            {
                "id": visible(name),
                "look": look(member, threshold, flagged=name in flagged) if member else "outside",
                "odds": percent(member.posterior) if member and member.posterior else None,
                "strength": round(member.strength, 4) if member else 0.0,
                "verdict": decided.verdict if decided is not None else None,
            }
        )
    times = [(order[post.account], milliseconds(post.at), post.kind) for post in moments]
    if not times:
        times = [(order.get(post.account, 0), milliseconds(post.at), "post") for post in record.posts if order]
    return {
        "nodes": nodes,
        "edges": [
            {
                "a": order[edge.a], "b": order[edge.b], "kind": edge.kind, "count": edge.count,
                "expected": edge.expected, "surprise": edge.nats if edge.z is None else edge.z,
                "objects": [visible(name)[:200] for name in edge.objects[:10]],
            }
            for edge in edges
        ],
        "posts": [{"n": place, "at": at, "kind": kind} for place, at, kind in times if at is not None],
        "kinds": {kind: words.EDGE_KINDS.get(kind, visible(kind)) for kind in sorted({edge.kind for edge in edges})},
        "first": whole.row.first_post_at,
        "last": whole.row.last_post_at,
        "complete": whole.complete,
    }  # fmt: skip
