"""The tables of the feed's database.

Times are whole milliseconds since 1970 UTC, wall clock unless stated; 0 stands for never. A table changes together
with a new module in `migrations/versions`; a test compares the two.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from sqlalchemy import BigInteger, Float, Index, Integer, String, Text, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

UNDECIDED: Final = text("status = 'open' AND decision IS NULL")
"""The condition of the partial index; a query has to have it in these words, not in parameters, to be served by it."""


class Base(DeclarativeBase):
    """All tables."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {str: Text, int: BigInteger, float: Float}


class AlertRow(Base):
    """The latest revision of one alert, and what people are doing with it.

    An alert waits in the queue while it is `open`, has no `decision`, rests on enough posts (`watch` is 0), is not
    snoozed (`snoozed_until`), and does not wait for its next revision (`waits_revision`). A claim is valid until
    `claimed_until`.
    """

    __tablename__ = "alerts"
    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    status: Mapped[str] = mapped_column(String(16))
    revision: Mapped[int] = mapped_column(Integer)
    merged_into: Mapped[str | None] = mapped_column(String(128))
    at: Mapped[int]
    """Event time of the revision."""
    first_post_at: Mapped[int]
    last_post_at: Mapped[int]
    members: Mapped[int] = mapped_column(Integer)
    urgency: Mapped[float]
    title: Mapped[str]
    """Names of the first members, as shown in a list."""
    body: Mapped[str]
    """The record of topic `alerts`, JSON."""
    arrived: Mapped[int]
    changed: Mapped[int]
    decision: Mapped[str | None] = mapped_column(String(32))
    decision_id: Mapped[str | None] = mapped_column(String(64))
    decided: Mapped[int] = mapped_column(server_default="0")
    waits_revision: Mapped[int] = mapped_column(Integer, server_default="0")
    snoozed_until: Mapped[int] = mapped_column(server_default="0")
    escalated: Mapped[int] = mapped_column(Integer, server_default="0")
    returned: Mapped[int] = mapped_column(Integer, server_default="0")
    """1 where it was reopened after a decision had closed it."""
    claimed_by: Mapped[str | None] = mapped_column(String(32))
    claimed_until: Mapped[int] = mapped_column(server_default="0")
    odds: Mapped[float | None]
    """As `odds.Certainty` has them."""
    posts: Mapped[int] = mapped_column(Integer, server_default="0")
    watch: Mapped[int] = mapped_column(Integer, server_default="0")
    """1 where it rests on too few posts to be decided on."""
    escalated_by: Mapped[str | None] = mapped_column(String(32))
    escalated_at: Mapped[int] = mapped_column(server_default="0")
    escalated_reason: Mapped[str] = mapped_column(server_default="")
    snoozed_by: Mapped[str | None] = mapped_column(String(32))
    snoozed_at: Mapped[int] = mapped_column(server_default="0")
    snoozed_reason: Mapped[str] = mapped_column(server_default="")
    script: Mapped[str] = mapped_column(String(40), server_default="")
    """Script that most letters of its quoted posts are of, such as `Latin`; "" where none is quoted."""
    policy: Mapped[str] = mapped_column(String(64), server_default="")
    """Code of the policy that it is proposed to be decided under (`policies`); "" where there is none."""
    text_nats: Mapped[float] = mapped_column(server_default="0")
    """Its evidence, and so the three below: what similar cases are found by."""
    behaviour_nats: Mapped[float] = mapped_column(server_default="0")
    coordination_nats: Mapped[float] = mapped_column(server_default="0")
    graph_nats: Mapped[float] = mapped_column(server_default="0")
    language: Mapped[str] = mapped_column(String(16), server_default="")
    """Primary tag of the language of its quoted posts, such as `pt`; "" where that is not clear."""

    __table_args__ = (
        # Waiting alerts in the queue's order, with every column of that condition: decided alerts are never read.
        Index(
            "alerts_by_urgency",
            text("escalated DESC"),
            text("urgency DESC"),
            "id",
            "snoozed_until",
            "waits_revision",
            "revision",
            "watch",
            sqlite_where=UNDECIDED,
            postgresql_where=UNDECIDED,
        ),
        Index("alerts_by_time", text("at DESC"), "id"),
        Index("alerts_by_arrival", "arrived", "id"),
        Index("alerts_by_members", text("members DESC"), "id"),
        Index("alerts_by_change", "changed"),
        Index("alerts_by_holder", "claimed_by"),
        Index("alerts_by_successor", "merged_into"),
    )


class Page(Base):
    """One page of an alert's details (topic `alert-details`)."""

    __tablename__ = "pages"
    alert_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    page: Mapped[int] = mapped_column(Integer, primary_key=True)
    revision: Mapped[int] = mapped_column(Integer)
    pages: Mapped[int] = mapped_column(Integer)
    body: Mapped[str]


class SearchPart(Base):
    """A part of an alert in the search's index (`search`): its record, or a page of its details.

    Its words are in the virtual table `search_words` on SQLite, in column `words` on PostgreSQL.
    """

    __tablename__ = "search_parts"
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
    alert_id: Mapped[str] = mapped_column(String(128))
    part: Mapped[int] = mapped_column(Integer)
    __table_args__ = (UniqueConstraint("alert_id", "part", name="search_parts_of_alert"),)


class Member(Base):
    """A member of an alert; `place` is its position in the record."""

    __tablename__ = "members"
    alert_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    account: Mapped[str] = mapped_column(primary_key=True)
    place: Mapped[int] = mapped_column(Integer)
    total: Mapped[float]
    __table_args__ = (Index("members_by_account", "account"),)


class DecisionRow(Base):
    """One decision. Rows are only added: undoing one adds another and marks this one in `undone_by`."""

    __tablename__ = "decisions"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    alert_id: Mapped[str] = mapped_column(String(128), index=True)
    account: Mapped[str | None] = mapped_column(index=True)
    verdict: Mapped[str] = mapped_column(String(32))
    undoes: Mapped[str | None] = mapped_column(String(64), index=True)
    undone_by: Mapped[str | None] = mapped_column(String(64))
    at: Mapped[int] = mapped_column(index=True)
    user_id: Mapped[str] = mapped_column(String(32), index=True)
    policy: Mapped[str]
    reason: Mapped[str]
    note: Mapped[str]
    revision: Mapped[int] = mapped_column(Integer)
    part_of: Mapped[str | None] = mapped_column(String(64), index=True)
    """The decision on a campaign that this one, on a member's own alert, was made with."""
    batch: Mapped[str | None] = mapped_column(String(64), index=True)
    """The bulk action that made it."""
    kind: Mapped[str] = mapped_column(String(16), server_default="")
    """Of the alert; this and all below is what the alert showed when it was decided on."""
    odds: Mapped[float | None]
    members: Mapped[int] = mapped_column(Integer, server_default="0")
    arrived: Mapped[int] = mapped_column(server_default="0")
    text_nats: Mapped[float | None]
    behaviour_nats: Mapped[float | None]
    coordination_nats: Mapped[float | None]
    graph_nats: Mapped[float | None]
    __table_args__ = (Index("decisions_by_kind", "kind", "at"),)


class Outgoing(Base):
    """The outbox: a decision's record on its way to topic `feedback`; its body is emptied once it is sent."""

    __tablename__ = "outbox"
    seq: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
    decision_id: Mapped[str] = mapped_column(String(64), unique=True)
    alert_id: Mapped[str] = mapped_column(String(128))
    body: Mapped[str]
    sent: Mapped[int] = mapped_column(server_default="0", index=True)


class Delivery(Base):
    """What one receiver is told of a decision (`actions`); its body is emptied once the receiver has taken it.

    `decision_id` is the decision, or the undoing, that caused it; `about` the decision that it tells of. `made` is when
    its days of attempts began, `at` when it was last attempted or taken.
    """

    __tablename__ = "deliveries"
    seq: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(36), unique=True)
    receiver: Mapped[str] = mapped_column(String(40))
    decision_id: Mapped[str] = mapped_column(String(64))
    about: Mapped[str] = mapped_column(String(64))
    alert_id: Mapped[str] = mapped_column(String(128))
    kind: Mapped[str] = mapped_column(String(16))
    body: Mapped[str]
    made: Mapped[int]
    next_at: Mapped[int]
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    state: Mapped[str] = mapped_column(String(16))
    at: Mapped[int] = mapped_column(server_default="0")
    problem: Mapped[str] = mapped_column(server_default="")
    __table_args__ = (
        Index("deliveries_by_state", "state", "next_at"),
        Index("deliveries_by_alert", "alert_id", "receiver", "state"),
        Index("deliveries_by_decision", "about"),
    )


class OutcomeRow(Base):
    """What a receiver says it did after a delivery."""

    __tablename__ = "outcomes"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    delivery_id: Mapped[str] = mapped_column(String(36))
    alert_id: Mapped[str] = mapped_column(String(128))
    account: Mapped[str | None]
    outcome: Mapped[str] = mapped_column(String(16))
    words: Mapped[str]
    at: Mapped[int]
    user_id: Mapped[str] = mapped_column(String(32))
    __table_args__ = (Index("outcomes_by_alert", "alert_id", "at"),)


class User(Base):
    """A user of the feed. `pseudonym` is their id in feedback records and in the audit log."""

    __tablename__ = "users"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    pseudonym: Mapped[str] = mapped_column(String(32), unique=True)
    role: Mapped[str] = mapped_column(String(16))
    password: Mapped[str]
    """Argon2id hash; empty where the user can only log in by a link."""
    active: Mapped[int] = mapped_column(Integer, server_default="1")
    created: Mapped[int]
    issuer: Mapped[str | None]
    subject: Mapped[str | None]
    """OpenID provider that vouches for them, and their id there; both None where they have a local account."""
    blur: Mapped[int] = mapped_column(Integer, server_default="0")
    """1 where texts are blurred for them until they ask."""
    __table_args__ = (Index("users_by_identity", "issuer", "subject", unique=True),)


class Session(Base):
    """A session in a browser, by the hash of its cookie."""

    __tablename__ = "sessions"
    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(32), index=True)
    csrf: Mapped[str] = mapped_column(String(64))
    created: Mapped[int]
    expires: Mapped[int]


class PendingSignIn(Base):
    """A sign-in under way at the OpenID provider (`oidc_users`), by the hash of its `state`."""

    __tablename__ = "departures"
    state: Mapped[str] = mapped_column(String(64), primary_key=True)
    browser: Mapped[str] = mapped_column(String(64))
    """Hash of the secret of the browser that began it."""
    nonce: Mapped[str] = mapped_column(String(64))
    verifier: Mapped[str] = mapped_column(String(64))
    onward: Mapped[str]
    expires: Mapped[int]


class Link(Base):
    """A link that logs somebody in once, by the hash of its secret."""

    __tablename__ = "links"
    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(32))
    expires: Mapped[int]


class Token(Base):
    """An API token of a user, by its hash. `scopes` are separated by spaces."""

    __tablename__ = "tokens"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[str] = mapped_column(String(32), index=True)
    name: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[str]
    created: Mapped[int]
    expires: Mapped[int]
    used: Mapped[int] = mapped_column(server_default="0")


class SavedView(Base):
    """Filters of the queue that a user saved under a name; `query` is in the form of `alert_lists.Filters.query`.

    A shared one may be a queue (`queue` 1): alerts that fit it are its own unless an earlier one has them, and are to
    be decided within `due_minutes` of their arrival (0: no such time).
    """

    __tablename__ = "views"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(32), index=True)
    name: Mapped[str] = mapped_column(String(64))
    query: Mapped[str]
    shared: Mapped[int] = mapped_column(Integer, server_default="0")
    queue: Mapped[int] = mapped_column(Integer, server_default="0")
    due_minutes: Mapped[int] = mapped_column(Integer, server_default="0")


class CaseEntry(Base):
    """A line of a case's history (`case_log`); decisions are in a table of their own."""

    __tablename__ = "case_log"
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
    alert_id: Mapped[str] = mapped_column(String(128))
    at: Mapped[int]
    user_id: Mapped[str | None] = mapped_column(String(32))
    action: Mapped[str] = mapped_column(String(32))
    words: Mapped[str]
    __table_args__ = (Index("case_log_by_alert", "alert_id", "at"),)


class Skip(Base):
    """An alert that a user passed over: it is not given to them again until a time."""

    __tablename__ = "skips"
    user_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    alert_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    until: Mapped[int]


class Draft(Base):
    """What a user typed into an alert's form and did not send."""

    __tablename__ = "drafts"
    user_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    alert_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    at: Mapped[int]
    body: Mapped[str]


class Notice(Base):
    """The page for an account's owner (`appeals`), by the hash of its address."""

    __tablename__ = "notices"
    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    account: Mapped[str] = mapped_column(index=True)
    alert_id: Mapped[str] = mapped_column(String(128))
    decision_id: Mapped[str] = mapped_column(String(64))
    facts: Mapped[str]
    """What it shows, JSON."""
    made: Mapped[int]
    made_by: Mapped[str] = mapped_column(String(32))
    expires: Mapped[int]


class Appeal(Base):
    """What an account's owner says against a decision, and what came of it."""

    __tablename__ = "appeals"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    decision_id: Mapped[str] = mapped_column(String(64))
    alert_id: Mapped[str] = mapped_column(String(128), index=True)
    account: Mapped[str] = mapped_column(index=True)
    words: Mapped[str]
    at: Mapped[int]
    outcome: Mapped[str] = mapped_column(String(16), server_default="")
    """"" while it is open, then `upheld` or `overturned`."""
    answered: Mapped[int] = mapped_column(server_default="0")
    answered_by: Mapped[str | None] = mapped_column(String(32))
    answer: Mapped[str] = mapped_column(server_default="")
    __table_args__ = (UniqueConstraint("decision_id", "account", name="appeals_once"),)


class SecondLook(Base):
    """A decision that was drawn to be decided a second time, by somebody who does not see it (`second_looks`)."""

    __tablename__ = "second_looks"
    decision_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    alert_id: Mapped[str] = mapped_column(String(128), index=True)
    first_by: Mapped[str] = mapped_column(String(32))
    verdict: Mapped[str] = mapped_column(String(32))
    at: Mapped[int]
    second_verdict: Mapped[str] = mapped_column(String(32), server_default="")
    second_by: Mapped[str | None] = mapped_column(String(32))
    second_at: Mapped[int] = mapped_column(server_default="0")
    note: Mapped[str] = mapped_column(server_default="")
    snapshot: Mapped[str]
    """The alert's record as the first saw it; "" once the second has decided."""


class SampledAccount(Base):
    """An account of the blind sample: nothing had flagged it when it was drawn (`missed_accounts`)."""

    __tablename__ = "blind_sample"
    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    account: Mapped[str] = mapped_column(index=True)
    """Its name, whole; "" once it is decided or dropped and the name is needed no more."""
    day: Mapped[str] = mapped_column(String(10))
    sampled_with: Mapped[float]
    smallest: Mapped[float]
    population: Mapped[int]
    body: Mapped[str]
    """The record of topic `blind-sample`; "" once it is decided."""
    arrived: Mapped[int]
    verdict: Mapped[str] = mapped_column(String(32), server_default="")
    decided: Mapped[int] = mapped_column(server_default="0")
    decided_by: Mapped[str | None] = mapped_column(String(32))
    note: Mapped[str] = mapped_column(server_default="")
    __table_args__ = (Index("blind_sample_by_day", "day"), Index("blind_sample_waiting", "verdict", "arrived"))


class AuditEntry(Base):
    """One entry of the audit log; triggers in the database refuse to change or delete it."""

    __tablename__ = "audit"
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[int]
    actor: Mapped[str] = mapped_column(String(32))
    action: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(String(128))
    facts: Mapped[str]
    before: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))


class AuditHead(Base):
    """Number and hash of the newest audit entry: one row, locked while the next entry is written."""

    __tablename__ = "audit_head"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    seq: Mapped[int]
    hash: Mapped[str] = mapped_column(String(64))


class Meta(Base):
    """State of the feed itself: positions in its sources, the key of pseudonyms."""

    __tablename__ = "meta"
    key: Mapped[str] = mapped_column(String(256), primary_key=True)
    value: Mapped[str]


class Forgotten(Base):
    """Pseudonyms of forgotten accounts, so that an old record read later does not bring them back."""

    __tablename__ = "forgotten"
    mark: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[int]
