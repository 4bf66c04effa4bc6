"""Serves the feed until it is told to stop."""

from __future__ import annotations

import argparse
import ipaddress
import logging
import signal
import socket
import sys
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
import uvicorn

from detector.errors import UsageError
from moderation import sessions, users
from moderation.commands.common import add_common, configuration, open_database
from moderation.commands.keep import login_link, public_url
from moderation.database import Database
from moderation.feedback import FileSink, KafkaSink, Sink
from moderation.loops import Feedback, Ingest, now_ms
from moderation.roles import SYSTEM
from moderation.service import create_app
from moderation.services import Services, Settings, build
from moderation.sources import Source
from moderation.sources.files import FileSource
from moderation.sources.kafka import KafkaSource
from streaming import logs
from streaming.config import Config

log = logging.getLogger(__name__)

FIRST: Final = "admin"
"""Who is added where there is nobody yet."""

SHUTDOWN_S: Final = 3
"""Open pages are given this long to finish; live updates never do by themselves."""

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


def run(options: argparse.Namespace) -> int:
    """Serve. Exit status 0 after SIGTERM or SIGINT.

    Raises:
        UsageError: unusable arguments, a file or database that cannot be used, or an address that is taken.
    """
    config = configuration(options)
    changes = {name: getattr(options, name) for name in ("host", "port") if getattr(options, name) is not None}
    config = msgspec.structs.replace(config, feed=msgspec.structs.replace(config.feed, **changes))
    if not 0 <= config.feed.port <= 65535:
        raise UsageError(f"--port {config.feed.port}: give 0 to 65535")
    logs.configure(config.log)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    source, sink = _source(options, config), _sink(options, config)
    listener = _listen(config)
    config = msgspec.structs.replace(
        config, feed=msgspec.structs.replace(config.feed, port=int(listener.getsockname()[1]))
    )
    database = open_database(options, config)
    services = build(database, _settings(config))
    if source is not None:
        services.ingest = Ingest(database, source, services.metrics, services.now)
    if sink is not None:
        services.feedback = Feedback(database, sink, services.metrics, services.now)
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


def _source(options: argparse.Namespace, config: Config) -> Source | None:
    if options.kafka and (options.alerts or options.details or options.feedback):
        raise UsageError("--kafka reads and writes topics: leave out --alerts, --details and --feedback")
    if options.kafka:
        return KafkaSource(config.kafka)
    if options.alerts is None:
        raise UsageError("say where alerts come from: --alerts FILE or --kafka")
    return FileSource(options.alerts, options.details)


def _sink(options: argparse.Namespace, config: Config) -> Sink | None:
    if options.kafka:
        return KafkaSink(config.kafka)
    return FileSink(options.feedback) if options.feedback is not None else None


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
        if users.count(connection):
            return f"the feed is at {base}"
    secret = database.transact(
        lambda connection: sessions.make_link(
            connection, users.add(connection, SYSTEM, FIRST, "admin", None, now_ms()), now_ms()
        )
    )
    hint = "" if sys.stdout.isatty() else " (keep it to yourself)"
    return (
        f"the feed is at {base}\nnobody has been here yet: this link lets '{FIRST}' in once, within 15 minutes{hint}\n"
        f"{login_link(base, secret)}"
    )
