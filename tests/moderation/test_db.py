"""The database is brought up to date by itself, and is what the tables say."""

from __future__ import annotations

import sqlite3
import warnings
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from detector.errors import ConfigError, UsageError
from moderation import cli
from moderation.database_tables import Base
from moderation.db import Database, migrate
from moderation.migrations.versions.v0001_first import SORTS
from streaming.config import load_config


def comparable(_item: Any, name: str | None, kind: str, *_: Any) -> bool:
    """Indexes with a direction are expressions to SQLite, and cannot be compared but by name; the search's virtual
    table is SQLite's alone."""
    if kind == "table" and name is not None and name.startswith("search_words"):
        return False
    return kind != "index" or name not in SORTS


def test_the_migrations_make_the_tables_of_the_schema(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'feed.db'}")
    with database.read() as connection, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        context = MigrationContext.configure(connection, opts={"include_object": comparable})
        assert compare_metadata(context, Base.metadata) == []
        kept = {row[0] for row in connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'index'"))}
    declared = {index.name for table in Base.metadata.tables.values() for index in table.indexes}
    assert declared <= kept
    database.close()


def test_starting_again_changes_nothing_and_keeps_what_is_there(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'feed.db'}"
    first = Database(url)
    with first.write() as connection:
        connection.execute(text("INSERT INTO meta VALUES ('a', 'b')"))
    first.close()
    second = Database(url)
    with second.read() as connection:
        assert connection.execute(text("SELECT value FROM meta WHERE key = 'a'")).scalar_one() == "b"
    second.close()


def test_going_down_removes_every_table(tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config

    from moderation.db import MIGRATIONS

    database = Database(f"sqlite:///{tmp_path / 'feed.db'}")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]
        migrate(connection)
        assert "alerts" in inspect(connection).get_table_names()
    database.close()


@pytest.mark.parametrize(
    "url",
    ["nonsense", "mysql://x/y", "sqlite://", "sqlite:///:memory:", "sqlite:////nowhere/at/all/feed.db",
     "postgresql://feed@127.0.0.1:1/feed", "postgresql://feed@127.0.0.1:1/feed?sslmode=verify-ca",
     "postgresql://feed@127.0.0.1:1/feed?sslmode=verify-full&sslrootcert=/nowhere", "postgresql://x/y?options=-c"],
)  # fmt: skip
def test_a_database_that_cannot_be_used_is_said_at_once(url: str) -> None:
    with pytest.raises(UsageError, match="--database"):
        Database(url)


def test_no_password_is_shown(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as said:
        Database("postgresql://feed:topsecret@127.0.0.1:1/feed")
    assert "topsecret" not in str(said.value)


def test_the_file_is_its_owner_s_alone(tmp_path: Path) -> None:
    Database(f"sqlite:///{tmp_path / 'feed.db'}").close()
    assert [path.stat().st_mode & 0o077 for path in tmp_path.glob("feed.db*")] == [0]


def test_the_password_may_lie_in_a_file_and_the_environment_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str | None] = []
    monkeypatch.setattr(cli, "Database", lambda url, password: given.append(password))
    secret = tmp_path / "secret"
    secret.write_text("correct horse\n")
    config = load_config(None, {"SWARMLIGHT_FEED__DATABASE_PASSWORD_FILE": str(secret)})
    monkeypatch.delenv("PGPASSWORD", raising=False)
    cli.open_database(None, config)
    cli.open_database(None, load_config(None, {}))
    monkeypatch.setenv("PGPASSWORD", "battery staple")
    cli.open_database(None, config)
    assert given == ["correct horse", None, "battery staple"]
    monkeypatch.delenv("PGPASSWORD")
    secret.unlink()
    with pytest.raises(ConfigError, match="database_password_file"):
        cli.open_database(None, config)


def test_a_file_that_another_program_writes_to_is_not_taken_for_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moderation.db.BUSY_TIMEOUT_S", 0.05)
    path = tmp_path / "feed.db"
    with sqlite3.connect(path) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(UsageError, match=r"database is locked'; another program has been writing to the file"):
            Database(f"sqlite:///{path}")
        other.rollback()
    (tmp_path / "notes.db").write_bytes(b"no database at all, but a text of some length" * 100)
    with pytest.raises(UsageError, match="name a file that is an SQLite database"):
        Database(f"sqlite:///{tmp_path / 'notes.db'}")
