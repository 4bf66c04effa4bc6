"""Subcommands that look after the feed's database, run beside a serving feed or without one."""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import Any

from sqlalchemy import Connection

from detector.errors import FeedError, UsageError
from moderation import audit, forgetting, sessions, tokens, users
from moderation.commands.common import add_common, configuration, open_database
from moderation.database import Database
from moderation.loops import now_ms
from moderation.roles import RIGHTS, ROLES, SCOPES, SYSTEM, Actor
from streaming.config import Config
from streaming.logs import shown


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
    token.add_argument("--days", type=int, default=tokens.DEFAULT_DAYS)
    add_common(token, inherited=True)
    verify = subcommands.add_parser("verify-audit", help="check the hash chain of the audit log")
    verify.add_argument("--head", metavar="HASH", help="a head printed earlier, which has to be in the chain")
    add_common(verify, inherited=True)
    forget = subcommands.add_parser("forget", help="remove everything the feed keeps of an account")
    forget.add_argument("account", metavar="ACCOUNT", help="name of the account, as events have it")
    add_common(forget, inherited=True)


def run(options: argparse.Namespace) -> int:
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
            for row in users.everybody(connection, SYSTEM):
                print(f"{row.name:<20} {row.role:<10} {'active' if row.active else 'away':<8} {row.pseudonym}")
        return 0
    if options.doing == "add":
        password = None if options.no_password else _ask()
        database.transact(
            lambda connection: users.add(connection, SYSTEM, options.name, options.role, password, now_ms())
        )
        print(f"added {shown(options.name)} as {options.role}")
        return 0
    password = _ask() if options.password else None
    active = {"yes": True, "no": False, None: None}[options.active]

    def work(connection: Connection) -> None:
        user = users.by_name(connection, options.name)
        users.change(connection, SYSTEM, user.id, now_ms(), role=options.role, active=active, password=password)

    database.transact(work)
    print(f"changed {shown(options.name)}")
    return 0


def _link(options: argparse.Namespace, config: Config, database: Database) -> int:
    def work(connection: Connection) -> str:
        return sessions.make_link(connection, users.by_name(connection, options.name).id, now_ms())

    secret = database.transact(work)
    print(login_link(public_url(config), secret, options.page))
    return 0


def _token(options: argparse.Namespace, database: Database) -> int:
    def work(connection: Connection) -> str:
        user = users.by_name(connection, options.name)
        actor = Actor(user.id, user.name, user.pseudonym, user.role, RIGHTS[user.role])
        return tokens.add(connection, actor, user, options.label, options.scope or ["read"], options.days, now_ms())[1]

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
    done = database.transact(lambda connection: forgetting.forget(connection, SYSTEM, options.account, now_ms()))
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
