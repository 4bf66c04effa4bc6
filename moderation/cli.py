"""What all subcommands of the feed share: the database's address and the configuration.

Subcommands that look after the feed's database, run beside a serving feed or without one.

Serves the feed until it is told to stop.

`swarmlight feed`: serve the feed, or keep it: people, links, tokens, the audit log, forgetting.
"""

from __future__ import annotations

import argparse
import getpass
import ipaddress
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import uvicorn
from sqlalchemy import Connection

from detector.errors import FeedError, UsageError
from moderation import audit, privacy, users
from moderation.app import create_app
from moderation.db import Database, now_ms
from moderation.ingest import IngestLoop
from moderation.outbox import FeedbackFile, FeedbackLoop, FeedbackSink, FeedbackTopic
from moderation.permissions import RIGHTS, ROLES, SCOPES, SYSTEM, Actor
from moderation.services import Services, Settings, build_services
from moderation.sources import AlertFiles, AlertSource, AlertTopics
from streaming import telemetry
from streaming.config import Config, load_config
from streaming.telemetry import shown


def add_common(parser: argparse.ArgumentParser, *, inherited: bool = False) -> None:
    """Arguments that stand before or after a subcommand alike."""
    absent = argparse.SUPPRESS if inherited else None
    parser.add_argument(
        "--config", type=Path, metavar="FILE", default=absent, help="TOML file; environment variables win over it"
    )
    parser.add_argument(
        "--database",
        metavar="URL",
        default=absent,
        help="sqlite:///FILE or postgresql://... (default: [feed] database)",
    )


def configuration(options: argparse.Namespace) -> Config:
    """The configuration, the environment over the file."""
    return load_config(options.config, os.environ)


def open_database(options: argparse.Namespace, config: Config) -> Database:
    """The database that is meant, its schema up to date. A password in the environment wins over one in a file."""
    password = os.environ.get("PGPASSWORD")
    kept = config.feed.database_password() if password is None else None
    return Database(options.database or config.feed.database, kept.reveal() if kept is not None else password)


def add_parsers(subcommands: Any) -> None:
    """Declare the subcommands."""
    user = subcommands.add_parser("user", help="add or change people")
    doing = user.add_subparsers(dest="doing", metavar="ACTION", required=True)
    add = doing.add_parser("add", help="add somebody; the password is asked for")
    add.add_argument("name", metavar="NAME")
    add.add_argument("--role", choices=ROLES, default="moderator")
    add.add_argument("--no-password", action="store_true", help="only login links let them in")
    add_common(add, inherited=True)
    change = doing.add_parser("change", help="change a role, a password, or who may come in")
    change.add_argument("name", metavar="NAME")
    change.add_argument("--role", choices=ROLES)
    change.add_argument("--password", action="store_true", help="ask for a new password")
    change.add_argument("--active", choices=("yes", "no"))
    add_common(change, inherited=True)
    add_common(doing.add_parser("list", help="list everybody"), inherited=True)
    link = subcommands.add_parser("link", help="print a link that logs somebody in once, within 15 minutes")
    link.add_argument("name", metavar="NAME")
    link.add_argument("--page", metavar="PATH", default="/queue", help="where it leads (default /queue)")
    add_common(link, inherited=True)
    token = subcommands.add_parser("token", help="make a token for a program")
    token.add_argument("doing", choices=("add",), metavar="add")
    token.add_argument("name", metavar="NAME", help="whom it acts for")
    token.add_argument("--label", default="command line", help="what it is for")
    token.add_argument("--scope", action="append", choices=SCOPES, help="may be repeated (default: read)")
    token.add_argument("--days", type=int, default=users.DEFAULT_TOKEN_DAYS)
    add_common(token, inherited=True)
    verify = subcommands.add_parser("verify-audit", help="check the hash chain of the audit log")
    verify.add_argument("--head", metavar="HASH", help="a head printed earlier, which has to be in the chain")
    add_common(verify, inherited=True)
    forget = subcommands.add_parser("forget", help="remove everything the feed keeps of an account")
    forget.add_argument("account", metavar="ACCOUNT", help="name of the account, as events have it")
    add_common(forget, inherited=True)


def run_upkeep(options: argparse.Namespace) -> int:
    """Run one of them. Exit status 0; 1 where the audit log does not hold."""
    config = configuration(options)
    database = open_database(options, config)
    try:
        if options.subcommand == "user":
            return _user(options, database)
        if options.subcommand == "link":
            return _link(options, config, database)
        if options.subcommand == "token":
            return _token(options, database)
        if options.subcommand == "verify-audit":
            return _verify(options, database)
        return _forget(options, database)
    finally:
        database.close()


def _user(options: argparse.Namespace, database: Database) -> int:
    if options.doing == "list":
        with database.read() as connection:
            for row in users.list_users(connection, SYSTEM):
                print(f"{row.name:<20} {row.role:<10} {'active' if row.active else 'away':<8} {row.pseudonym}")
        return 0
    if options.doing == "add":
        password = None if options.no_password else _ask()
        database.transact(
            lambda connection: users.add_user(connection, SYSTEM, options.name, options.role, password, now_ms())
        )
        print(f"added {shown(options.name)} as {options.role}")
        return 0
    password = _ask() if options.password else None
    active = {"yes": True, "no": False, None: None}[options.active]

    def work(connection: Connection) -> None:
        user = users.user_by_name(connection, options.name)
        users.change_user(connection, SYSTEM, user.id, now_ms(), role=options.role, active=active, password=password)

    database.transact(work)
    print(f"changed {shown(options.name)}")
    return 0


def _link(options: argparse.Namespace, config: Config, database: Database) -> int:
    def work(connection: Connection) -> str:
        return users.make_link(connection, users.user_by_name(connection, options.name).id, now_ms())

    secret = database.transact(work)
    print(login_link(public_url(config), secret, options.page))
    return 0


def _token(options: argparse.Namespace, database: Database) -> int:
    def work(connection: Connection) -> str:
        user = users.user_by_name(connection, options.name)
        actor = Actor(user.id, user.name, user.pseudonym, user.role, RIGHTS[user.role])
        return users.add_token(
            connection, actor, user, options.label, options.scope or ["read"], options.days, now_ms()
        )[1]

    print(database.transact(work))
    return 0


def _verify(options: argparse.Namespace, database: Database) -> int:
    with database.read() as connection:
        found = audit.verify(connection, options.head)
    if found.problem is not None:
        print(f"the audit log does NOT hold: {found.problem}", file=sys.stderr)
        return 1
    print(f"the audit log holds: {found.entries} entries, head {found.head or 'none'}")
    return 0


def _forget(options: argparse.Namespace, database: Database) -> int:
    if not options.account or "\0" in options.account:
        raise UsageError("forget needs the name of an account as events have it")
    done = database.transact(lambda connection: privacy.forget(connection, SYSTEM, options.account, now_ms()))
    print(
        f"forgotten here: {done.alerts} alerts and {done.pages} pages of details rewritten, {done.decisions} decisions "
        f"stripped, {done.unsent} unsent decisions dropped. `swarmlight forget` removes the account from the stream."
    )
    return 0


def _ask() -> str:
    """A password, from the terminal twice or from the first line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise FeedError("invalid", "the two passwords differ")
    return password


def public_url(config: Config) -> str:
    """Where browsers find the feed."""
    feed = config.feed
    host = f"[{feed.host}]" if ":" in feed.host else feed.host
    return feed.public_url.rstrip("/") or f"http://{host}:{feed.port}"


def login_link(base: str, secret: str, page: str = "/queue") -> str:
    """The address that logs in once."""
    return f"{base}/enter?token={secret}" + (f"&next={page}" if page != "/queue" else "")


log = logging.getLogger(__name__)

FIRST: Final = "admin"
"""Who is added where there is nobody yet."""

SHUTDOWN_S: Final = 3
"""Open requests are given this long to finish; live updates end at once."""

BACKLOG: Final = 2048


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of serving."""
    parser.add_argument("--alerts", type=Path, metavar="FILE", help="follow this file of alerts")
    parser.add_argument("--details", type=Path, metavar="FILE", help="and this file of their details")
    parser.add_argument("--feedback", type=Path, metavar="FILE", help="append decisions to this file")
    parser.add_argument("--kafka", action="store_true", help="read and write the topics of [kafka] instead")
    parser.add_argument("--host", help="address to listen on (default [feed] host, 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default [feed] port, 8080; 0: any)")
    add_common(parser)


def serve(options: argparse.Namespace) -> int:
    """Serve. Exit status 0 after SIGTERM or SIGINT.

    Raises:
        UsageError: unusable arguments, a file or database that cannot be used, or an address that is taken.
    """
    config = configuration(options)
    changes = {name: getattr(options, name) for name in ("host", "port") if getattr(options, name) is not None}
    config = msgspec.structs.replace(config, feed=msgspec.structs.replace(config.feed, **changes))
    if not 0 <= config.feed.port <= 65535:
        raise UsageError(f"--port {config.feed.port}: give 0 to 65535")
    telemetry.configure(config.log)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    source, sink = _source(options, config), _sink(options, config)
    listener = _listen(config)
    config = msgspec.structs.replace(
        config, feed=msgspec.structs.replace(config.feed, port=int(listener.getsockname()[1]))
    )
    database = open_database(options, config)
    services = build_services(database, _settings(config))
    if source is not None:
        services.ingest = IngestLoop(database, source, services.metrics, services.now)
    if sink is not None:
        services.feedback = FeedbackLoop(database, sink, services.metrics, services.now)
    # After an orderly end uvicorn raises the signal again: that end is a good one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        print(_welcome(database, config), flush=True)
        return _serve(services, listener)
    finally:
        database.close()


def _serve(services: Services, listener: socket.socket) -> int:
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(services),
            # Addresses hold names of accounts and login links: there is no access log. Metrics count requests.
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=True,
            proxy_headers=False,
            timeout_graceful_shutdown=SHUTDOWN_S,
            timeout_keep_alive=30,
            backlog=BACKLOG,
            h11_max_incomplete_event_size=64 * 1024,
        )
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    server.run(sockets=[listener])
    return 0


def _source(options: argparse.Namespace, config: Config) -> AlertSource | None:
    if options.kafka and (options.alerts or options.details or options.feedback):
        raise UsageError("--kafka reads and writes topics: leave out --alerts, --details and --feedback")
    if options.kafka:
        return AlertTopics(config.kafka)
    if options.alerts is None:
        raise UsageError("say where alerts come from: --alerts FILE or --kafka")
    return AlertFiles(options.alerts, options.details)


def _sink(options: argparse.Namespace, config: Config) -> FeedbackSink | None:
    if options.kafka:
        return FeedbackTopic(config.kafka)
    return FeedbackFile(options.feedback) if options.feedback is not None else None


def _listen(config: Config) -> socket.socket:
    host, port = config.feed.host, config.feed.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # Whoever follows the link we print is answered, if a moment later.
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"--host {host!a} --port {port}: cannot listen there: {error.strerror}; is another feed running?"
        ) from None
    return listener


def _settings(config: Config) -> Settings:
    """Under which names browsers may ask: loopback's own, the address, and the public one."""
    names = {"localhost", "127.0.0.1", "[::1]"}
    host = config.feed.host
    if not _everywhere(host):
        names.add(f"[{host}]" if ":" in host else host.lower())
    if config.feed.public_url:
        public = urlsplit(config.feed.public_url)
        names.add((public.hostname or "").lower())
    secure = config.feed.public_url.startswith("https://")
    if _everywhere(host) and not config.feed.public_url:
        raise UsageError(
            "--host listens on every address: set [feed] public_url to the address that browsers will use, so that "
            "no other name is answered"
        )
    return Settings(tuple(sorted(names)), secure=secure, proxied=bool(config.feed.public_url))


def _everywhere(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _welcome(database: Database, config: Config) -> str:
    """Where it is, and for the very first start a link that lets in."""
    base = public_url(config)
    with database.read() as connection:
        if users.count_users(connection):
            return f"the feed is at {base}"
    secret = database.transact(
        lambda connection: users.make_link(
            connection, users.add_user(connection, SYSTEM, FIRST, "admin", None, now_ms()), now_ms()
        )
    )
    hint = "" if sys.stdout.isatty() else " (keep it to yourself)"
    return (
        f"the feed is at {base}\nnobody has been here yet: this link lets '{FIRST}' in once, within 15 minutes{hint}\n"
        f"{login_link(base, secret)}"
    )


KEEPING: Final = ("user", "link", "token", "verify-audit", "forget")


def command(argv: list[str]) -> int:
    """Run `swarmlight feed ARGV...`.

    Raises:
        UsageError: unusable arguments, or a database or file that cannot be used.
        FeedError: what was asked for cannot be done.
    """
    parser = argparse.ArgumentParser(
        prog="swarmlight feed",
        description="The moderators' feed: a web page where alerts are understood, claimed and decided. Without a "
        "subcommand it serves.",
        epilog="`swarmlight feed SUBCOMMAND --help` says more about one of them.",
    )
    add_arguments(parser)
    subcommands = parser.add_subparsers(dest="subcommand", metavar="SUBCOMMAND")
    add_parsers(subcommands)
    options = parser.parse_args(argv)
    return serve(options) if options.subcommand is None else run_upkeep(options)
