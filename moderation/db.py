"""The database: its tables, and the connection to SQLite (a file, the default) or PostgreSQL (through its URL).

All other modules speak SQL through `Database`. Reads see a snapshot. Writes are transactions that SQLite runs one at a
time (`BEGIN IMMEDIATE`) and PostgreSQL side by side; so every change that two people could race for is one conditional
statement.

Times are whole milliseconds since 1970 UTC, wall clock unless stated; 0 stands for never. A table changes together
with a new module in `migrations/versions`; a test compares the two.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import (
    BigInteger,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from detector.errors import UsageError

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


class Departure(Base):
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


BUSY_TIMEOUT_S: Final = 15.0
"""How long SQLite waits for another process's transaction; the feed's own take milliseconds."""

MIGRATIONS: Final = Path(__file__).with_name("migrations")

MIGRATION_LOCK: Final = 7_283_114
"""Number of the PostgreSQL advisory lock under which the schema is brought up to date: any, but always the same."""

RETRIABLE: Final = frozenset({"40001", "40P01"})
"""SQLSTATE of a serialisation failure and of a deadlock: the transaction can simply be run again."""

RETRIES: Final = 5
"""Enough for two bulk actions that keep meeting each other; a sixth failure is a fault."""

POOL_SIZE: Final = 20
"""Connections kept open; as many again are made for a moment. Together they are the service's 40 worker threads."""

T = TypeVar("T")


def now_ms() -> int:
    """The wall clock, ms since 1970."""
    return time.time_ns() // 1_000_000


class Database:
    """A pool of connections, with the schema up to date.

    Args:
        url: `sqlite:///feed.db`, or `postgresql://user@host/name`, with `?sslmode=require`, or `verify-full` and,
            where the system's authorities are not the server's, `sslrootcert=FILE`.
        password: of the PostgreSQL account, where the URL has none.

    Raises:
        UsageError: a URL that names no database, or a database that cannot be used.
    """

    def __init__(self, url: str, password: str | None = None) -> None:
        self._url, tls = _parsed(url)
        if password is not None and self._url.password is None and self._url.get_backend_name() == "postgresql":
            self._url = self._url.set(password=password)
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        # SQLite has one writer; a lock queues the threads of this process fairly, SQLite's own polling does not.
        self._write_lock = threading.Lock() if self.is_sqlite else None
        self.engine = _engine(self._url, tls)
        self._writing = self.engine.execution_options(swarmlight_write=True)
        if self.is_sqlite:
            _private(Path(str(self._url.database)))
        try:
            self._migrate()
        except (DBAPIError, OSError) as error:
            self.engine.dispose()
            raise UsageError(
                f"--database {self._url.render_as_string(hide_password=True)!a} cannot be used: {_reason(error)!a}; "
                "is the server running, and does the account own the database?"
            ) from None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for reading; whatever it does is rolled back."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A connection in a transaction: committed at the end, rolled back on any error."""
        with self._write_lock or nullcontext(), self._writing.begin() as connection:
            yield connection

    def transact(self, work: Callable[[Connection], T]) -> T:
        """The result of `work` in one transaction, which is run again where it lost a deadlock on PostgreSQL."""
        for _ in range(RETRIES):
            try:
                with self.write() as connection:
                    return work(connection)
            except DBAPIError as error:
                if _sqlstate(error) not in RETRIABLE:
                    raise
        with self.write() as connection:
            return work(connection)

    def alive(self) -> bool:
        """Whether the database answers."""
        try:
            with self.read() as connection:
                connection.execute(text("SELECT 1"))
        except (SQLAlchemyError, OSError):
            return False
        return True

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def _migrate(self) -> None:
        with self.write() as connection:
            if not self.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
            migrate(connection)


def migrate(connection: Connection, to: str = "head") -> None:
    """Bring the schema to version `to` within the connection's transaction."""
    config = AlembicConfig()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def upsert(connection: Connection, table: Any) -> Any:
    """`INSERT` of the connection's dialect, which knows `on_conflict_do_update`."""
    make: Callable[[Any], Any] = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    return make(table)


def _reason(error: Exception) -> str:
    """What the database or the way to it said, in one line."""
    if not isinstance(error, DBAPIError):
        return str(error).partition("\n")[0]
    said = error.orig.args[0] if error.orig is not None and error.orig.args else ""
    return str(said.get("M", "") if isinstance(said, dict) else said).partition("\n")[0]


def _sqlstate(error: DBAPIError) -> str:
    """PostgreSQL's code of an error, "" where it has none."""
    said = error.orig.args[0] if error.orig is not None and error.orig.args else None
    return str(said.get("C", "")) if isinstance(said, dict) else ""


def _parsed(url: str) -> tuple[URL, ssl.SSLContext | bool | None]:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise UsageError(
            "--database: this is no database URL; write sqlite:///feed.db or postgresql://user@host/name"
        ) from None
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+pg8000", query={}), _tls(parsed)
    if backend == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed.set(drivername="sqlite"), None
    raise UsageError("--database: sqlite:///FILE and postgresql://... are the databases this feed can use")


def _tls(url: URL) -> ssl.SSLContext | bool | None:
    """How the way to PostgreSQL is encrypted, in libpq's words; None: where the server offers it. False: never."""
    asked = dict(url.query)
    mode, authority = asked.pop("sslmode", "prefer"), asked.pop("sslrootcert", None)
    if asked or mode not in ("disable", "prefer", "require", "verify-full"):
        raise UsageError(
            "--database: of a URL's options this feed knows sslmode=disable|prefer|require|verify-full and sslrootcert"
        )
    if mode in ("disable", "prefer"):
        return None if mode == "prefer" else False
    try:
        context = ssl.create_default_context(cafile=str(authority) if authority is not None else None)
    except OSError as error:
        raise UsageError(
            f"--database: sslrootcert cannot be used: {error.strerror or 'it is no certificate'}"
        ) from None
    if mode == "require" and authority is None:
        # Encrypted, whoever answers: for a network one trusts, as libpq has it.
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    elif mode == "require":
        context.check_hostname = False
    return context


def _engine(url: URL, tls: ssl.SSLContext | bool | None) -> Engine:
    try:
        if url.drivername == "sqlite":
            engine = create_engine(
                url, connect_args={"timeout": BUSY_TIMEOUT_S}, pool_size=POOL_SIZE, max_overflow=POOL_SIZE
            )
            event.listen(engine, "connect", _sqlite_connected)
            event.listen(engine, "begin", _sqlite_begins)
            return engine
        options = {"ssl_context": tls} if tls is not None else {}
        return create_engine(url, connect_args=options, pool_size=POOL_SIZE, max_overflow=POOL_SIZE, pool_pre_ping=True)
    except (NoSuchModuleError, ModuleNotFoundError):
        raise UsageError("--database: PostgreSQL needs pg8000: pip install 'swarmlight[feed]'") from None


def _private(path: Path) -> None:
    """Make a new file readable by its owner alone: it holds texts and names. SQLite gives its other files the same."""
    with suppress(OSError):
        path.touch(mode=0o600, exist_ok=False)


def _sqlite_connected(connection: Any, _record: object) -> None:
    # We begin transactions ourselves (`_sqlite_begins`); the driver would do it too late to see a stable snapshot.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _sqlite_begins(connection: Connection) -> None:
    writing = connection.get_execution_options().get("swarmlight_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
