"""The search finds what pages show: whole posts, links, names, objects, in any script; nothing that was forgotten."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import text

from moderation import alert_lists, ingest, privacy, word_index
from moderation.word_index import MAX_WORD_CHARACTERS, words_of, words_of_record
from streaming.schema.alert import MomentRecord, ObjectRecord, PageRecord
from tests.moderation.builders import alert, pages
from tests.moderation.conftest import Feed

LONG = "word " * 90 + "at the very end stands xylophone"
"""A post as long as alerts keep them."""


def found(feed: Feed, q: str) -> list[str]:
    filters = alert_lists.Filters.read({"q": q, "state": "all"})
    return sorted(
        row.id for row in feed.see(alert_lists.list_alerts, feed.actors["viewer"], filters, feed.clock()).rows
    )


def test_whole_posts_links_names_and_objects_are_found(feed: Feed) -> None:
    names = [f"member_{n}" for n in range(60)]
    record = alert("big", accounts=names, texts=["plain", "Read https://Lamp.example/buy?id=77&x=Blue_Lamp now", LONG])
    shared = ObjectRecord("hashtags", "#voteno #harbour", names[:3])
    detail = PageRecord("big", 1, 2, 2, posts=[MomentRecord("late_arrival", "2025-06-01T09:00:00Z")], objects=[shared])
    feed.put(record, alert("other", accounts=("ada",), texts=["nothing alike"]))
    feed.put(replace(detail, page=1, posts=[], objects=[]), detail)
    for q in (
        "xylophone", "XYLOPHONE", "xylo", "https://lamp.example/buy?id=77&x=blue_lamp", "lamp.example", "member_59",
        "voteno", "#harbour", "late_arrival", "blue lamp", "big", "end stands very",
        # Words of different parts of one alert: of a post and of its details.
        "xylophone voteno",
    ):  # fmt: skip
        assert found(feed, q) == ["big"], q
    assert found(feed, "xylophone alike") == []
    assert found(feed, "nearly_duplicate") == []


@pytest.mark.parametrize(
    ("post", "q"),
    [
        ("النفق سيكلف كل أسرة", "سيكلف"),
        ("港口隧道的费用太高了", "隧道"),
        ("港口隧道的费用太高了", "隧"),
        ("Der Müller zahlt die STRASSE", "müller straße"),
        ("so true 🔥🔥 agree", "🔥"),
        ("ＦＵＬＬ width", "full"),
        ("it's O'Brien's 100% \"quoted\" a*b", "o'brien's \"quoted\" 100%"),
    ],
)
def test_every_script_is_found(feed: Feed, post: str, q: str) -> None:
    feed.put(alert("one", texts=[post]), alert("two", texts=["something else"]))
    assert found(feed, q) == ["one"]


@pytest.mark.parametrize(
    "q", ["'", '"', '" OR 1', "a* NEAR b", "' | '", "x':* | 'y", "-", "()", "\\", "col:x", "^", "NOT"]
)
def test_no_operator_of_a_database_is_one_here(feed: Feed, q: str) -> None:
    feed.put(alert("one", texts=["quiet"]))
    assert found(feed, q) == []


@given(st.text(max_size=200))
def test_words_are_what_both_databases_take(value: str) -> None:
    words = words_of(f"{value} kettle")
    assert "kettle" in words
    for word in words:
        assert 0 < len(word) <= MAX_WORD_CHARACTERS
        assert not set(word) & set("'\"\\*:&|!() \0")
        assert words_of(word) == [word]


def test_a_revision_is_found_by_its_own_words_alone(feed: Feed) -> None:
    feed.put(alert("c1", texts=["first kettle"]), *pages("c1"))
    feed.put(alert("c1", revision=2, texts=["second teapot"]))
    assert (found(feed, "kettle"), found(feed, "teapot")) == ([], ["c1"])
    with feed.database.write() as connection:
        ingest.delete_page(connection, "c1", 1)
    assert found(feed, "teapot tunnel.example") == ["c1"]


def test_nothing_that_was_forgotten_is_in_the_index(feed: Feed) -> None:
    feed.put(
        alert("c1", accounts=("ada", "quetzalcoatl"), texts=["mine", "hers"]),
        *pages("c1", accounts=("ada", "quetzalcoatl")),
    )
    assert found(feed, "quetzalcoatl") == ["c1"]
    feed.do(privacy.forget, "admin", "quetzalcoatl")
    assert found(feed, "quetzalcoatl") == []
    assert found(feed, "ada") == ["c1"]
    if feed.database.is_sqlite:
        with feed.database.read() as connection:
            blocks = b"".join(row[0] for row in connection.execute(text("SELECT block FROM search_words_data")))
        assert b"quetzal" not in blocks


def test_alerts_of_an_earlier_release_are_found_after_the_start(feed: Feed) -> None:
    feed.put(alert("c1", texts=["kettle"]), *pages("c1"))
    with feed.database.write() as connection:
        if feed.database.is_sqlite:
            connection.execute(text("DELETE FROM search_words"))
        connection.execute(text("DELETE FROM search_parts"))
    assert found(feed, "kettle") == []
    ingest.refresh_summaries(feed.database, 3)
    assert found(feed, "kettle tunnel.example") == ["c1"]


def test_the_systems_own_words_are_not_searched() -> None:
    words = set(words_of_record(alert()))
    assert {"ada", "harbour", "tunnel", "example", "facts"} <= words
    assert not words & {"campaign", "open", "conformal", "coordination", "link"}


def test_a_rare_word_is_found_by_its_alerts_whatever_else_is_looked_for(
    feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(word_index, "FEW", 2)
    feed.put(*(alert(f"c{number}", accounts=[f"twin{number}", "ada"]) for number in range(4)))
    with feed.database.read() as connection:
        assert word_index.few_with(connection, "ada") is None
        assert word_index.few_with(connection, "twin3 ada") == word_index.RareWordAlerts("twin3", ["c3"])
    assert found(feed, "twin3") == found(feed, "twin3 ada") == ["c3"]
    assert found(feed, "twin3 nobody") == []
    assert len(found(feed, "ada")) == len(found(feed, "twin")) == 4
