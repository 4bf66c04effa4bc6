"""`swarmlight feed`: serve the feed, or keep it: people, links, tokens, the audit log, forgetting."""

from __future__ import annotations

import argparse
from typing import Final

from moderation.commands import keep, serve

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
    serve.add_arguments(parser)
    subcommands = parser.add_subparsers(dest="subcommand", metavar="SUBCOMMAND")
    keep.add_parsers(subcommands)
    options = parser.parse_args(argv)
    return serve.run(options) if options.subcommand is None else keep.run(options)
