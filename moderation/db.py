"""The connection to the feed's database: SQLite (a file, the default) or PostgreSQL (through its URL).

All other modules speak SQL through `Database`, about the tables of `database_tables`. Reads see a snapshot. Writes are
transactions that SQLite runs one at a time (`BEGIN IMMEDIATE`) and PostgreSQL side by side; so every change that two
people could race for is one conditional statement.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from detector.errors import UsageError

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
            reason = _reason(error)
            raise UsageError(
                f"--database {self._url.render_as_string(hide_password=True)!a} cannot be used: {reason!a}; "
                f"{self._advice(reason)}"
            ) from None

    def _advice(self, reason: str) -> str:
        """What to do about a database that cannot be used."""
        if not self.is_sqlite:
            return "is the server running, and does the account own the database?"
        if "locked" in reason:
            return f"another program has been writing to the file for {BUSY_TIMEOUT_S:g} s: stop it, then start again"
        return "name a file that is an SQLite database or does not exist yet, in a folder that this user may write to"

    @property
    def no_answer_advice(self) -> str:
        """What to look at where the database does not answer."""
        if self.is_sqlite:
            return "the database file cannot be read: is it still there, and may this user read it?"
        return "the database does not answer: is its server running?"

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
