"""What must hold on SQLite holds on PostgreSQL: the same tests on another database, where there is one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from detector.errors import UsageError
from moderation import audit, users
from moderation.db import Database
from moderation.permissions import ROLES, SYSTEM
from tests.moderation import (
    postgres,
    test_decisions,
    test_ingest,
    test_outbox,
    test_privacy,
    test_queue,
    test_related,
    test_web,
    test_word_index,
)
from tests.moderation.conftest import NOW, Clock, Feed

pytestmark = pytest.mark.skipif(postgres.program("initdb") is None, reason="no PostgreSQL server on this machine")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The server's own certificate for 127.0.0.1, signed by nobody else; empty where there is no openssl."""
    openssl = shutil.which("openssl")
    if openssl is None:
        return {}
    key, made = (tmp_path_factory.mktemp("tls") / name for name in ("server.key", "server.pem"))
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=feed test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(made)],
        check=True, capture_output=True,
    )  # fmt: skip
    return {"ssl_key_file": str(key), "ssl_cert_file": str(made)}


@pytest.fixture(scope="module")
def server(fast_passwords: None, certificate: dict[str, str]) -> Iterator[tuple[str, Feed]]:
    """A server whose database `feed` is a template with people in it."""
    with postgres.server(certificate, fsync="off") as address:
        database = Database(address)
        actors = {}
        with database.write() as connection:
            for name, role in [*((role, role) for role in ROLES), ("colleague", "moderator")]:
                number = users.add_user(connection, SYSTEM, name, role, f"password of {name}", NOW)
                actor = users.find_session(connection, users.begin_session(connection, number, NOW, "test").cookie, NOW)
                assert actor is not None
                actors[name] = actor
        database.close()
        yield address, Feed(database, Clock(), actors)


@pytest.fixture
def feed(server: tuple[str, Feed]) -> Iterator[Feed]:
    address, template = server
    base = address.rpartition("/")[0]
    postgres.run(f"{base}/postgres", "DROP DATABASE IF EXISTS copy")
    postgres.run(f"{base}/postgres", "CREATE DATABASE copy TEMPLATE feed")
    database = Database(f"{base}/copy")
    yield replace(template, database=database, clock=Clock())
    database.close()


test_many_at_once = test_queue.test_many_people_at_once_never_get_the_same_alert
test_bulk = test_decisions.test_bulk_does_what_its_preview_showed_and_nothing_else


@pytest.mark.slow
class TestTheRest:
    """In a class, so that the mark is not set on the tests themselves, which are others' too."""

    test_searched = staticmethod(test_word_index.test_whole_posts_links_names_and_objects_are_found)
    test_search_forgets = staticmethod(test_word_index.test_nothing_that_was_forgotten_is_in_the_index)
    test_search_after_start = staticmethod(test_word_index.test_alerts_of_an_earlier_release_are_found_after_the_start)
    test_operators = staticmethod(test_word_index.test_no_operator_of_a_database_is_one_here)
    test_scripts = staticmethod(test_word_index.test_every_script_is_found)
    test_covers = staticmethod(
        test_related.test_one_decision_covers_the_chosen_alerts_of_members_and_is_taken_back_as_one
    )
    test_contradicts = staticmethod(test_related.test_a_contradiction_is_refused_until_it_is_meant)
    test_escalated = staticmethod(test_queue.test_what_was_escalated_is_the_leads_alone_in_every_way)
    test_forgotten = staticmethod(test_privacy.test_nothing_of_it_is_left)
    test_used = staticmethod(test_web.test_claim_decide_and_take_back)
    test_order = staticmethod(test_ingest.test_order_repetition_and_batches_change_nothing)
    test_untrusted_names = staticmethod(test_ingest.test_untrusted_names_are_stored_as_they_are)
    test_merge = staticmethod(test_ingest.test_a_claim_follows_a_merge_where_the_other_is_free)
    test_held_by_one = staticmethod(test_queue.test_an_alert_is_held_by_one_person_until_the_lease_ends)
    test_pages = staticmethod(test_queue.test_pages_of_the_queue_show_every_alert_once_in_order)
    test_filters = staticmethod(test_queue.test_filters_find_by_kind_size_state_and_words)
    test_what_holds = staticmethod(test_decisions.test_current_is_the_last_decision_that_was_not_undone)
    test_failing = staticmethod(test_decisions.test_nothing_is_left_of_a_decision_whose_transaction_fails)
    test_arrival = staticmethod(test_outbox.test_every_decision_arrives_at_least_once_and_in_order)


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit", "TRUNCATE audit"])
def test_the_server_refuses_to_change_the_log(feed: Feed, statement: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"), feed.database.write() as connection:
        connection.execute(text(statement))


def test_the_chain_holds_under_many_writers(feed: Feed) -> None:
    test_queue.test_many_people_at_once_never_get_the_same_alert(feed)
    assert feed.see(audit.verify).problem is None


def test_the_way_to_the_server_is_encrypted_and_its_name_checked(
    server: tuple[str, Feed], certificate: dict[str, str]
) -> None:
    if not certificate:
        pytest.skip("no openssl: there is no certificate to check")
    asked = text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    own = certificate["ssl_cert_file"]
    for options, encrypted in (
        ("", True),
        ("?sslmode=disable", False),
        ("?sslmode=require", True),
        (f"?sslmode=verify-full&sslrootcert={own}", True),
    ):
        database = Database(server[0] + options)
        with database.read() as connection:
            assert connection.scalar(asked) is encrypted
        database.close()
    with pytest.raises(UsageError, match="cannot be used"):
        Database(server[0] + "?sslmode=verify-full")
    with pytest.raises(UsageError, match="cannot be used"):
        Database(server[0].replace("127.0.0.1", "localhost") + f"?sslmode=verify-full&sslrootcert={own}")
