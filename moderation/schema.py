"""The tables. Times are whole milliseconds since 1970 UTC, wall clock unless stated; 0 stands for never.

A table changes together with a new module in `migrations/versions`; a test holds the two to each other.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from sqlalchemy import BigInteger, Float, Index, Integer, String, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

UNDECIDED: Final = text("status = 'open' AND decision IS NULL")
"""The condition of the partial index; a query has to have it in these words, not in parameters, to be served by it."""


class Base(DeclarativeBase):
    """All tables."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {str: Text, int: BigInteger, float: Float}


class Alert(Base):
    """The latest revision of one alert, and what people are doing with it.

    An alert waits in the queue while it is `open` and has no `decision`, is not put off (`snoozed_until`), and does not
    wait for its next revision (`waits_revision` reached). A claim holds until `claimed_until`.
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
    digest: Mapped[str]
    """Lower-case text that the search looks in."""
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
    """1 where it came back after a decision had sent it away."""
    claimed_by: Mapped[str | None] = mapped_column(String(32))
    claimed_until: Mapped[int] = mapped_column(server_default="0")

    __table_args__ = (
        # What waits, in its order, with all that decides whether it waits: the queue never reads what is decided.
        Index(
            "alerts_by_urgency",
            text("escalated DESC"),
            text("urgency DESC"),
            "id",
            "snoozed_until",
            "waits_revision",
            "revision",
            sqlite_where=UNDECIDED,
            postgresql_where=UNDECIDED,
        ),
        Index("alerts_by_time", text("at DESC"), "id"),
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


class Member(Base):
    """Who is in which alert; `place` is its position in the record."""

    __tablename__ = "members"
    alert_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    account: Mapped[str] = mapped_column(primary_key=True)
    place: Mapped[int] = mapped_column(Integer)
    total: Mapped[float]
    __table_args__ = (Index("members_by_account", "account"),)


class Decision(Base):
    """One decision, for good: undoing adds another and marks this one."""

    __tablename__ = "decisions"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    alert_id: Mapped[str] = mapped_column(String(128), index=True)
    account: Mapped[str | None] = mapped_column(index=True)
    verdict: Mapped[str] = mapped_column(String(32))
    undoes: Mapped[str | None] = mapped_column(String(64))
    undone_by: Mapped[str | None] = mapped_column(String(64))
    at: Mapped[int] = mapped_column(index=True)
    user_id: Mapped[str] = mapped_column(String(32), index=True)
    policy: Mapped[str]
    reason: Mapped[str]
    note: Mapped[str]
    revision: Mapped[int] = mapped_column(Integer)


class Outgoing(Base):
    """A decision's record on its way to topic `feedback`; its body is emptied once it is there."""

    __tablename__ = "outbox"
    seq: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
    decision_id: Mapped[str] = mapped_column(String(64), unique=True)
    alert_id: Mapped[str] = mapped_column(String(128))
    body: Mapped[str]
    sent: Mapped[int] = mapped_column(server_default="0", index=True)


class User(Base):
    """A person who works here. `pseudonym` is what decisions and the audit log call them."""

    __tablename__ = "users"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    pseudonym: Mapped[str] = mapped_column(String(32), unique=True)
    role: Mapped[str] = mapped_column(String(16))
    password: Mapped[str]
    """Argon2id hash; empty where only a login link lets in."""
    active: Mapped[int] = mapped_column(Integer, server_default="1")
    created: Mapped[int]


class Session(Base):
    """A login in a browser, by the hash of its cookie."""

    __tablename__ = "sessions"
    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(32), index=True)
    csrf: Mapped[str] = mapped_column(String(64))
    created: Mapped[int]
    expires: Mapped[int]


class Link(Base):
    """A link that logs in once, by the hash of its secret."""

    __tablename__ = "links"
    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(32))
    expires: Mapped[int]


class Token(Base):
    """A program's key, by its hash. `scopes` are words separated by spaces."""

    __tablename__ = "tokens"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[str] = mapped_column(String(32), index=True)
    name: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[str]
    created: Mapped[int]
    expires: Mapped[int]
    used: Mapped[int] = mapped_column(server_default="0")


class View(Base):
    """A queue's filters that somebody saved; `query` is in the form of `queue.Filters.query`."""

    __tablename__ = "views"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(32), index=True)
    name: Mapped[str] = mapped_column(String(64))
    query: Mapped[str]
    shared: Mapped[int] = mapped_column(Integer, server_default="0")


class AuditEntry(Base):
    """One link of the audit chain; the database refuses to change or delete it."""

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
    """The newest link: one row, locked while the next is written."""

    __tablename__ = "audit_head"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    seq: Mapped[int]
    hash: Mapped[str] = mapped_column(String(64))


class Meta(Base):
    """What is remembered about the feed itself: positions in its sources, the key of pseudonyms."""

    __tablename__ = "meta"
    key: Mapped[str] = mapped_column(String(256), primary_key=True)
    value: Mapped[str]


class Forgotten(Base):
    """Pseudonyms of accounts that were forgotten, so that no old record brings them back."""

    __tablename__ = "forgotten"
    mark: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[int]
