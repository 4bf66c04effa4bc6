"""What all subcommands of the feed share: the database's address and the configuration."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from moderation.database import Database
from streaming.config import Config, load_config


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
