"""The command `swarmlight feed`: serve the moderators' feed, or look after its database.

Without a subcommand it serves until it is told to stop. The subcommands work beside a serving feed or without one:
`user` and `link` for people, `token` for programs, `verify-audit`, `forget`. --config and --database stand before or
after a subcommand alike. Typer makes the options of the parameters, whose `help` says what they are.
"""

from __future__ import annotations

import getpass
import ipaddress
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple
from urllib.parse import urlsplit

import typer
import uvicorn
from sqlalchemy import Connection

from detector.errors import FeedError, UsageError
from moderation import action_loop, audit, console_config, oidc_users, privacy, second_looks, users
from moderation.action_loop import ActionLoop
from moderation.app import create_app
from moderation.db import Database, now_ms
from moderation.http_protocol import PromptProtocol
from moderation.ingest import IngestLoop, refresh_summaries
from moderation.oidc import OidcSettings, Provider, read_roles
from moderation.outbox import FeedbackFile, FeedbackLoop, FeedbackSink, FeedbackTopic
from moderation.permissions import RIGHTS, ROLES, SCOPES, SYSTEM, Actor
from moderation.services import Services, Settings, build_services
from moderation.sources import AlertFiles, AlertSource, AlertTopics
from streaming import logs
from streaming.cli import among, one_of
from streaming.config import Config, load_config
from streaming.config_keys import OIDC_SECRET_VARIABLE
from streaming.logs import shown

ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="TOML file; environment variables win over it")
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option("--database", metavar="URL", help="sqlite:///FILE or postgresql://... (default: [feed] database)"),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="of somebody who may log in")]

app: Final = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    subcommand_metavar="[SUBCOMMAND]",
    epilog="`swarmlight feed SUBCOMMAND --help` says more about one of them.",
)
people: Final = typer.Typer(help="Add or change people.", add_completion=False, rich_markup_mode=None)
tokens: Final = typer.Typer(help="Make a token for a program.", add_completion=False, rich_markup_mode=None)
app.add_typer(people, name="user")
app.add_typer(tokens, name="token")


class _Common(NamedTuple):
    """What stood before a subcommand."""

    config: Path | None
    database: str | None


def open_database(url: str | None, config: Config) -> Database:
    """The database that is meant, its schema up to date. A password in the environment wins over one in a file.

    Args:
        url: of the command line; the configuration's where None.
        config: `[feed]` has the address, and where the password lies.
    """
    password = os.environ.get("PGPASSWORD")
    kept = config.feed.database_password() if password is None else None
    return Database(url or config.feed.database, kept.get_secret_value() if kept is not None else password)


@contextmanager
def _opened(context: typer.Context, config: Path | None, database: str | None) -> Iterator[tuple[Config, Database]]:
    """Configuration and database of a subcommand, by its own options or those before it."""
    before = context.find_object(_Common) or _Common(None, None)
    loaded = load_config(config or before.config, os.environ)
    opened = open_database(database or before.database, loaded)
    try:
        yield loaded, opened
    finally:
        opened.close()


@people.command("add", help="Add somebody; the password is asked for.")
def user_add(
    context: typer.Context,
    name: Name,
    role: Annotated[str, typer.Option(metavar="ROLE", help=", ".join(ROLES), callback=one_of(ROLES))] = "moderator",
    no_password: Annotated[bool, typer.Option("--no-password", help="only login links let them in")] = False,
    config: ConfigFile = None,
    database: DatabaseUrl = None,
) -> None:
    """Add somebody.

    Args:
        name: as they log in.
    """
    with _opened(context, config, database) as (_, store):
        password = None if no_password else _ask()
        store.transact(lambda connection: users.add_user(connection, SYSTEM, name, role, password, now_ms()))
    print(f"added {shown(name)} as {role}")


@people.command("change", help="Change a role, a password, or who may come in.")
def user_change(
    context: typer.Context,
    name: Name,
    role: Annotated[str | None, typer.Option(metavar="ROLE", help=", ".join(ROLES), callback=one_of(ROLES))] = None,
    password: Annotated[bool, typer.Option("--password", help="ask for a new password")] = False,
    active: Annotated[
        Literal["yes", "no"] | None, typer.Option(metavar="yes|no", help="whether they may log in")
    ] = None,
    subject: Annotated[
        str | None, typer.Option(metavar="ID", help="their id at the OpenID provider, where they sign in from now on")
    ] = None,
    config: ConfigFile = None,
    database: DatabaseUrl = None,
) -> None:
    """Change somebody.

    Args:
        name: as they log in.
    """
    with _opened(context, config, database) as (loaded, store):
        issuer = loaded.sign_in.oidc_issuer
        if subject is not None and not issuer:
            raise UsageError("--subject needs [sign_in] oidc_issuer in the configuration: no provider is known")
        new = _ask() if password else None
        allowed = {"yes": True, "no": False, None: None}[active]

        def work(connection: Connection) -> None:
            user = users.user_by_name(connection, name)
            users.change_user(connection, SYSTEM, user.id, now_ms(), role=role, active=allowed, password=new)
            if subject is not None:
                oidc_users.link(connection, SYSTEM, user, issuer, subject, now_ms())

        store.transact(work)
    print(f"changed {shown(name)}")


@people.command("list", help="List everybody.")
def user_list(context: typer.Context, config: ConfigFile = None, database: DatabaseUrl = None) -> None:
    """List everybody.

    Args:
        context: of the command line.
        config, database: options.
    """
    with _opened(context, config, database) as (_, store), store.read() as connection:
        for row in users.list_users(connection, SYSTEM):
            print(f"{row.name:<20} {row.role:<10} {'active' if row.active else 'away':<8} {row.pseudonym}")


@app.command("link", help="Print a link that logs somebody in once, within 15 minutes.")
def link(
    context: typer.Context,
    name: Name,
    page: Annotated[str, typer.Option(metavar="PATH", help="where it leads")] = "/queue",
    config: ConfigFile = None,
    database: DatabaseUrl = None,
) -> None:
    """Print a login link.

    Args:
        name: of whom it lets in.
    """
    with _opened(context, config, database) as (loaded, store):

        def work(connection: Connection) -> str:
            return users.make_link(connection, users.user_by_name(connection, name).id, now_ms())

        print(login_link(public_url(loaded), store.transact(work), page))


@tokens.command("add", help="Make a token for a program, and print it once.")
def token_add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="whom it acts for")],
    label: Annotated[str, typer.Option(metavar="TEXT", help="what it is for")] = "command line",
    scope: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SCOPE", help=f"{', '.join(SCOPES)}; may be repeated (default: read)", callback=among(SCOPES)
        ),
    ] = None,
    days: Annotated[int, typer.Option(metavar="N", help="for which it is valid")] = users.DEFAULT_TOKEN_DAYS,
    config: ConfigFile = None,
    database: DatabaseUrl = None,
) -> None:
    """Print a new token.

    Args:
        name: of whom it acts for.
    """
    with _opened(context, config, database) as (_, store):

        def work(connection: Connection) -> str:
            user = users.user_by_name(connection, name)
            actor = Actor(user.id, user.name, user.pseudonym, user.role, RIGHTS[user.role])
            return users.add_token(connection, actor, user, label, scope or ["read"], days, now_ms())[1]

        print(store.transact(work))


@tokens.callback()
def _token() -> None:
    """Make a token for a program."""


@app.command("verify-audit", help="Check the hash chain of the audit log.")
def verify_audit(
    context: typer.Context,
    head: Annotated[
        str | None, typer.Option(metavar="HASH", help="a head printed earlier, which has to be in the chain")
    ] = None,
    config: ConfigFile = None,
    database: DatabaseUrl = None,
) -> int:
    """Check the audit log. Exit status 1 where it does not hold.

    Args:
        head: which has to be in the chain.
    """
    with _opened(context, config, database) as (_, store), store.read() as connection:
        found = audit.verify(connection, head)
    if found.problem is not None:
        print(f"the audit log does NOT hold: {found.problem}", file=sys.stderr)
        return 1
    print(f"the audit log holds: {found.entries} entries, head {found.head or 'none'}")
    return 0


@app.command("forget", help="Remove everything the feed keeps of an account.")
def forget(
    context: typer.Context,
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="name of the account, as events have it")],
    config: ConfigFile = None,
    database: DatabaseUrl = None,
) -> None:
    """Remove everything the feed keeps of an account.

    Args:
        account: as events have it.
    """
    if not account or "\0" in account:
        raise UsageError("forget needs the name of an account as events have it")
    with _opened(context, config, database) as (_, store):
        done = store.transact(lambda connection: privacy.forget(connection, SYSTEM, account, now_ms()))
    print(
        f"forgotten here: {done.alerts} alerts and {done.pages} pages of details rewritten, {done.decisions} decisions "
        f"stripped, {done.unsent} unsent decisions dropped. `swarmlight forget` removes the account from the stream."
    )


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
    """The address that logs in once.

    Args:
        base: where the feed is, without a slash at the end.
        secret: of the link.
        page: where it leads.
    """
    return f"{base}/enter?token={secret}" + (f"&next={page}" if page != "/queue" else "")


FIRST: Final = "admin"
"""Who is added where there is nobody yet."""

SHUTDOWN_S: Final = 3
"""Open requests are given this long to finish; live updates end at once."""

BACKLOG: Final = 2048


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    alerts: Annotated[Path | None, typer.Option(metavar="FILE", help="follow this file of alerts")] = None,
    details: Annotated[Path | None, typer.Option(metavar="FILE", help="and this file of their details")] = None,
    sample: Annotated[
        Path | None, typer.Option("--blind-sample", metavar="FILE", help="and this file of the blind sample")
    ] = None,
    feedback: Annotated[Path | None, typer.Option(metavar="FILE", help="append decisions to this file")] = None,
    kafka: Annotated[bool, typer.Option("--kafka", help="read and write the topics of [kafka] instead")] = False,
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="to listen on (default [feed] host, 127.0.0.1)")
    ] = None,
    port: Annotated[
        int | None, typer.Option(metavar="N", help="to listen on (default [feed] port, 8080; 0: any)")
    ] = None,
    config: ConfigFile = None,
    database: DatabaseUrl = None,
) -> int:
    """Serve the moderators' feed: a web page where alerts are understood, claimed and decided.

    Without a subcommand it serves, until SIGTERM or SIGINT.

    Args:
        context: of the command line.

    Raises:
        UsageError: unusable arguments, a file or database that cannot be used, or an address that is taken.
    """
    context.obj = _Common(config, database)
    if context.invoked_subcommand is not None:
        return 0
    loaded = load_config(config, os.environ)
    changes = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    loaded = loaded.model_copy(update={"feed": loaded.feed.model_copy(update=changes)})
    if not 0 <= loaded.feed.port <= 65535:
        raise UsageError(f"--port {loaded.feed.port}: give 0 to 65535")
    logs.configure(loaded.log)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    if kafka and (alerts or details or sample or feedback):
        raise UsageError(
            "--kafka reads and writes topics: leave out --alerts, --details, --blind-sample and --feedback"
        )
    if not kafka and alerts is None:
        raise UsageError("say where alerts come from: --alerts FILE or --kafka")
    named = loaded.feed.console_file
    console = console_config.load(Path(named)) if named else console_config.NOTHING
    source: AlertSource = AlertTopics(loaded.kafka) if alerts is None else AlertFiles(alerts, details, sample)
    sink: FeedbackSink | None = FeedbackFile(feedback) if feedback is not None else None
    if kafka:
        sink = FeedbackTopic(loaded.kafka)
    listener = _listen(loaded)
    taken_port = int(listener.getsockname()[1])
    loaded = loaded.model_copy(update={"feed": loaded.feed.model_copy(update={"port": taken_port})})
    store = open_database(database, loaded)
    services = build_services(store, _settings(loaded))
    store.transact(lambda connection: console_config.keep(connection, console))
    services.oidc = open_provider(loaded, os.environ)
    store.transact(lambda connection: second_looks.set_share(connection, loaded.feed.second_look_share))
    refresh_summaries(store, loaded.feed.watch_below_posts)
    if console.receiver:
        services.actions = ActionLoop(store, action_loop.ways(console, services.now), services.metrics, services.now)
    services.ingest = IngestLoop(store, source, services.metrics, services.now, services.settings.watch_below)
    if sink is not None:
        services.feedback = FeedbackLoop(store, sink, services.metrics, services.now)
    # After an orderly end uvicorn raises the signal again: that end is a good one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        print(_welcome(store, loaded), flush=True)
        return _serve(services, listener)
    finally:
        store.close()


def _serve(services: Services, listener: socket.socket) -> int:
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(services),
            http=PromptProtocol,
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


def _listen(config: Config) -> socket.socket:
    host, port = config.feed.host, config.feed.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio switches Nagle's algorithm off only then; with it, answers wait 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
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
    return Settings(
        tuple(sorted(names)),
        secure=secure,
        proxied=bool(config.feed.public_url),
        watch_below=config.feed.watch_below_posts,
        public_url=config.feed.public_url,
        local_accounts=config.sign_in.local_accounts == "yes",
        lab_runs=Path(config.feed.lab_runs) if config.feed.lab_runs else None,
    )


def open_provider(config: Config, environ: Mapping[str, str]) -> Provider | None:
    """The OpenID provider of `[sign_in]`; None without one. A secret in the environment wins over one in a file.

    Args:
        config: names it, and its groups' roles.
        environ: may hold the client's secret.

    Raises:
        ConfigError: groups without a role, or a secret's file that cannot be read.
    """
    found = config.sign_in
    if not found.oidc_issuer:
        return None
    kept = None if OIDC_SECRET_VARIABLE in environ else found.client_secret()
    secret = environ.get(OIDC_SECRET_VARIABLE) or (kept.get_secret_value() if kept is not None else None)
    return Provider(
        OidcSettings(
            issuer=found.oidc_issuer, client_id=found.oidc_client_id, client_secret=secret, scopes=found.oidc_scopes,
            role_claim=found.oidc_role_claim, roles=read_roles(found.oidc_roles), name_claim=found.oidc_name_claim,
            label=found.oidc_label,
        )
    )  # fmt: skip


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
