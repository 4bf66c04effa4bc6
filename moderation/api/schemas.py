"""What the API takes and gives, as pydantic models, and the rows of the database in that form. Times are RFC 3339 in
UTC.

The names of fields are the API's contract and change only with its version.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from moderation.actions import Outcome
from moderation.alert_lists import MAX_PAGE_SIZE, PAGE_SIZE
from moderation.decisions import Verdict
from moderation.topic_records import LARGEST_ACCOUNT, rfc3339


def _clean(text: str) -> str:
    """Text that a user wrote, stripped: no control characters but line ends and tabs, nothing that is not UTF-8."""
    if any(
        (ord(each) < 32 and each not in "\n\t") or ord(each) == 127 or 0xD800 <= ord(each) <= 0xDFFF for each in text
    ):
        raise ValueError("the text holds control characters or half a surrogate pair: remove them")
    return text.strip()


def _account(text: str) -> str:
    """An account's name, as events have it."""
    if "\0" in text or any(0xD800 <= ord(each) <= 0xDFFF for each in text):
        raise ValueError("no account has this name: it holds a NUL character or half a surrogate pair")
    return text


Line = Annotated[str, Field(max_length=200), AfterValidator(_clean)]
Note = Annotated[str, Field(max_length=2000), AfterValidator(_clean)]
Account = Annotated[str, Field(min_length=1, max_length=LARGEST_ACCOUNT), AfterValidator(_account)]
AlertId = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$", description="id of an alert")]
AlertName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$")]
Uuid = Annotated[
    str, Field(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$", description="a UUID")
]
RowId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="id of a user, view or token")]
Cursor = Annotated[str | None, Query(max_length=400, pattern=r"^[A-Za-z0-9_-]+$", description="`next` of a page")]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE, description="items on a page")]
DEFAULT_LIMIT: Final = PAGE_SIZE


class RequestBody(BaseModel):
    """The body of a request; unknown fields are refused, as they are mistakes of the caller."""

    model_config = ConfigDict(extra="forbid")


class Problem(BaseModel):
    """Why a request was refused."""

    code: str
    message: str


class Refusal(BaseModel):
    """The body of every error."""

    error: Problem


class AlertItem(BaseModel):
    """An alert in a list."""

    id: str
    kind: str
    status: str
    revision: int
    merged_into: str | None
    at: str
    first_post_at: str
    last_post_at: str
    members: int
    urgency: float
    title: str
    decision: str | None
    odds: float | None
    """That a language model drives the account, or the mean of the members', at the configured base rate."""
    posts: int
    """On how many it rests; 0 where that is not known."""
    watch: bool
    language: str
    """Primary tag of the language of its quoted posts; "" where that is not clear."""
    policy: str
    """Code of the policy that it is proposed to be decided under; "" where there is none."""
    escalated: bool
    returned: bool
    snoozed_until: str | None
    claimed_by: str | None
    claimed_until: str | None


class AlertList(BaseModel):
    """One page; `next` is the cursor of the following one."""

    alerts: list[AlertItem]
    next: str | None


class DecisionItem(BaseModel):
    """A decision that was made."""

    id: str
    alert: str
    account: str | None
    decision: str
    undoes: str | None
    undone: bool
    at: str
    by: str
    policy: str
    reason: str
    note: str
    revision: int
    part_of: str | None
    """The decision on a campaign that it was made with."""
    batch: str | None
    """The bulk action that made it."""


class DecisionList(BaseModel):
    """One page; `next` is the cursor of the following one."""

    decisions: list[DecisionItem]
    next: str | None


class CaseItem(BaseModel):
    """A line of a case's history besides decisions; `by` is "" where the system did it."""

    at: str
    by: str
    action: str
    words: str


class PolicyItem(BaseModel):
    """A policy that decisions may name; a retired one no longer."""

    code: str
    text: str
    severity: str
    reason_required: bool
    decisions: list[str]
    """Those that it goes with; none for all."""
    retired: bool


class PolicyList(BaseModel):
    """The operator's policies, in their order."""

    policies: list[PolicyItem]


class DeliveryItem(BaseModel):
    """What one receiver is told of a decision."""

    id: str
    receiver: str
    alert: str
    decision: str
    """Id of the decision that it tells of."""
    type: str
    state: str
    made: str
    attempts: int
    at: str | None
    """When it was taken, or last attempted."""
    problem: str


class DeliveryList(BaseModel):
    """One page; `next` goes into `before` for the following one."""

    deliveries: list[DeliveryItem]
    next: int | None


class NewOutcome(RequestBody):
    """What came of a delivery; without an account, with all accounts of it.

    With `id`, a UUID of the caller's, saying it again after a broken connection says it once.
    """

    delivery: Uuid
    outcome: Outcome
    account: Account | None = None
    text: Note = ""
    id: Uuid | None = None


class OutcomeItem(BaseModel):
    """What a receiver says it did."""

    id: str
    delivery: str
    receiver: str
    account: str | None
    outcome: str
    text: str
    at: str
    by: str


class AlertWithHistory(BaseModel):
    """An alert with its record (as in topic `alerts`) and the decisions on it."""

    alert: AlertItem
    record: dict[str, Any]
    decisions: list[DecisionItem]
    on_accounts: dict[str, str]
    """Account -> the current decision on it alone."""
    log: list[CaseItem]
    """What else happened to it, the newest first."""
    deliveries: list[DeliveryItem]
    """What receivers were told of decisions on it, the newest first."""
    outcomes: list[OutcomeItem]
    """What receivers say they did, the newest first."""
    member_alerts: dict[str, str]
    """Member -> id of the open alert that it has of its own."""
    also_in: dict[str, list[str]]
    """Member -> ids of other alerts that name it."""


class AlertDetails(BaseModel):
    """The network and time line: all pages of topic `alert-details` put together."""

    id: str
    revision: int | None
    complete: bool
    edges: list[dict[str, Any]]
    posts: list[dict[str, Any]]
    objects: list[dict[str, Any]]


class Claimed(BaseModel):
    """A claim, and until when it is valid."""

    id: str
    until: str


class Done(BaseModel):
    """The id of what was made or changed."""

    id: str


class NewDecision(RequestBody):
    """A decision to make. With `id`, a UUID of the caller's, asking again after a broken connection decides once."""

    decision: Verdict
    account: Account | None = None
    policy: Line = ""
    reason: Line = ""
    note: Note = ""
    revision: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    id: Uuid | None = None
    covers: Annotated[list[Account], Field(max_length=1000)] = []
    """Members whose own alerts get the same decision."""
    despite: bool = False
    """Whether it is meant although it contradicts decisions in force elsewhere; without it that is refused."""


class UndoReason(RequestBody):
    """Why a decision is undone."""

    reason: Line = ""


class MissedAccount(RequestBody):
    """An account that should have been found and that no alert names."""

    account: Account
    reason: Line = ""
    note: Note = ""


class Snooze(RequestBody):
    """For how many minutes an alert is snoozed; 0 brings it back."""

    minutes: Annotated[int, Field(ge=0, le=30 * 24 * 60)]
    reason: Line = ""


class NewComment(RequestBody):
    """What is said about an alert to colleagues; it stays in this database."""

    text: Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_clean)]


class Escalation(RequestBody):
    """Why an alert is escalated; for the leads."""

    reason: Line = ""


class Assignment(RequestBody):
    """The id of the user an alert is assigned to."""

    user: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class BulkOrder(RequestBody):
    """A bulk action: what to do with many alerts."""

    action: Literal["decide", "snooze", "claim", "release", "escalate"]
    ids: Annotated[list[AlertName], Field(min_length=1, max_length=200)]
    decision: Verdict | None = None
    policy: Line = ""
    reason: Line = ""
    note: Note = ""
    minutes: Annotated[int, Field(ge=0, le=30 * 24 * 60)] = 0


class BulkOutcome(BaseModel):
    """What a bulk action would do, or did, to one alert; `problem` says why nothing."""

    id: str
    title: str
    kind: str
    members: int
    revision: int
    problem: str | None


class BulkPreview(BaseModel):
    """What a bulk action would do. `until` (ms) replaces the minutes, so that preview and action mean the same time."""

    outcomes: list[BulkOutcome] = Field(serialization_alias="fates")
    until: int
    made: int
    proof: str


class BulkApply(RequestBody):
    """A bulk action to do, with what its preview gave."""

    order: BulkOrder
    revisions: dict[AlertName, Annotated[int, Field(ge=0, le=2**31 - 1)]]
    until: Annotated[int, Field(ge=0, le=2**53)]
    made: Annotated[int, Field(ge=0, le=2**53)]
    proof: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class BulkDone(BaseModel):
    """What a bulk action did."""

    outcomes: list[BulkOutcome] = Field(serialization_alias="fates")


class NewView(RequestBody):
    """Filters to save, as the query of the queue's address."""

    name: Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_clean)]
    query: Annotated[str, Field(max_length=1000)] = ""
    shared: bool = False


class ViewItem(BaseModel):
    """A saved view."""

    id: str
    name: str
    query: str
    shared: bool
    mine: bool


class ViewList(BaseModel):
    """The views one can use."""

    views: list[ViewItem]


class Me(BaseModel):
    """Whoever asks."""

    name: str
    pseudonym: str
    role: str
    rights: list[str]
    counts: dict[str, int]


class UserItem(BaseModel):
    """A user."""

    id: str
    name: str
    pseudonym: str
    role: str
    active: bool


class UserList(BaseModel):
    """All users."""

    users: list[UserItem]


class NewUser(RequestBody):
    """A user to add; without a password they can only log in by a link."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]
    role: Literal["viewer", "moderator", "lead", "admin"]
    password: Annotated[str, Field(min_length=12, max_length=200)] | None = None


class UserChange(RequestBody):
    """What to change of a user."""

    role: Literal["viewer", "moderator", "lead", "admin"] | None = None
    active: bool | None = None
    password: Annotated[str, Field(min_length=12, max_length=200)] | None = None


class TokenItem(BaseModel):
    """A token's description; the token itself cannot be read."""

    id: str
    name: str
    owner: str
    scopes: list[str]
    expires: str
    used: str | None


class TokenList(BaseModel):
    """The tokens one may see."""

    tokens: list[TokenItem]


class NewToken(RequestBody):
    """A token to make for oneself."""

    name: Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_clean)]
    scopes: Annotated[list[Literal["read", "report", "work", "lead", "admin"]], Field(min_length=1, max_length=5)]
    days: Annotated[int, Field(ge=1, le=366)] = 90


class TokenMade(BaseModel):
    """A new token. It is shown this once."""

    id: str
    token: str


class AuditItem(BaseModel):
    """One entry of the audit log."""

    seq: int
    at: str
    actor: str
    action: str
    subject: str
    facts: dict[str, str | int | float | bool | None]
    hash: str


class AuditList(BaseModel):
    """Entries, the newest first; `next` is the number to go on before."""

    entries: list[AuditItem]
    next: int | None


class AuditCheck(BaseModel):
    """What a check of the audit log's chain found."""

    entries: int
    head: str
    problem: str | None


class AccountHistory(BaseModel):
    """The alerts that name an account, and the decisions on it alone."""

    account: str
    alerts: list[AlertItem]
    decisions: list[DecisionItem]


def alert_item(row: Any, now: int) -> AlertItem:
    """A row of a list as the API gives it."""
    claimed = row.claimed_by is not None and row.claimed_until > now
    return AlertItem(
        id=row.id, kind=row.kind, status=row.status, revision=row.revision, merged_into=row.merged_into,
        at=rfc3339(row.at), first_post_at=rfc3339(row.first_post_at), last_post_at=rfc3339(row.last_post_at),
        members=row.members, urgency=row.urgency, title=row.title, decision=row.decision,
        odds=row.odds, posts=row.posts, watch=bool(row.watch), language=row.language, policy=row.policy,
        escalated=bool(row.escalated), returned=bool(row.returned),
        snoozed_until=rfc3339(row.snoozed_until) if row.snoozed_until > now else None,
        claimed_by=row.holder if claimed else None, claimed_until=rfc3339(row.claimed_until) if claimed else None,
    )  # fmt: skip


def decision_item(row: Any) -> DecisionItem:
    """A row of `decision_lists.history` as the API gives it."""
    return DecisionItem(
        id=row.id, alert=row.alert_id, account=row.account, decision=row.verdict, undoes=row.undoes,
        undone=row.undone_by is not None, at=rfc3339(row.at), by=row.by_name or row.by or "", policy=row.policy,
        reason=row.reason, note=row.note, revision=row.revision, part_of=row.part_of,
        batch=row.batch,
    )  # fmt: skip


def delivery_item(row: Any) -> DeliveryItem:
    """A row of `deliveries` as the API gives it."""
    return DeliveryItem(
        id=row.id, receiver=row.receiver, alert=row.alert_id, decision=row.about, type=row.kind, state=row.state,
        made=rfc3339(row.made), attempts=row.attempts, at=rfc3339(row.at) if row.at else None, problem=row.problem,
    )  # fmt: skip


def outcome_item(row: Any) -> OutcomeItem:
    """A row of `actions.outcomes` as the API gives it."""
    return OutcomeItem(
        id=row.id, delivery=row.delivery_id, receiver=row.receiver or "", account=row.account, outcome=row.outcome,
        text=row.words, at=rfc3339(row.at), by=row.by_name or "",
    )  # fmt: skip
