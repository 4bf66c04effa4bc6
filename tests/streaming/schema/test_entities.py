"""Links, hashtags and mentions in texts, and their one spelling."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.schema.entities import (
    LIST_KEPT,
    OBJECT_CUT,
    canonical_hashtag,
    canonical_mention,
    canonical_url,
    domain_of,
    hashtags_of,
    mentions_of,
    urls_of,
)


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("no link here, example.com neither", ()),
        ("https://t.co/AbC123", ("https://t.co/AbC123",)),
        ("(see http://a.example/b_(c)).", ("https://a.example/b_(c)",)),
        ("www.Example.com, or HTTP://EXAMPLE.com/", ("https://example.com",)),
        ("one https://a.b/1 two https://a.b/2 one https://a.b/1", ("https://a.b/1", "https://a.b/2")),
        ("“https://a.b/c”…", ("https://a.b/c",)),
        ("https://a.b/x?y=1&utm_medium=z#frag!", ("https://a.b/x?y=1",)),
        ("記事はhttps://a.b/c。次", ("https://a.b/c",)),
        ("mail bob@www.example.com", ()),
        ("http:// nothing", ()),
    ],
)
def test_links_in_texts(text: str, urls: tuple[str, ...]) -> None:
    assert urls_of(text) == urls


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("#One #two_2 #ONE", ("one", "two_2")),
        ("number #1 and a#b and &#39; and http://x.y/#frag", ()),
        ("#été, #हिन्दी! #日本語。 ＃Ｗｉｄｅ", ("été", "हिन्दी", "日本語", "wide")),
        ("#tag\U0001f389 #STRASSE #Straße", ("tag", "strasse")),
    ],
)
def test_hashtags_in_texts(text: str, tags: tuple[str, ...]) -> None:
    assert hashtags_of(text) == tags


@pytest.mark.parametrize(
    ("text", "accounts"),
    [
        ("@bob and @Ann_1: hi @bob", ("bob", "Ann_1")),
        ("mail me@example.com", ()),
        ("@user@mastodon.social and @alice.bsky.social.", ("user@mastodon.social", "alice.bsky.social")),
        ("thanks @bob.Great", ("bob",)),
        ("@alice你好 @中文", ("alice", "中文")),
        ("https://medium.com/@someone", ()),
        ("@ nobody", ()),
    ],
)
def test_mentions_in_texts(text: str, accounts: tuple[str, ...]) -> None:
    assert mentions_of(text) == accounts


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("", ""),
        ("  ", ""),
        ("http://user:pw@WWW.Example.COM:80/Path/?b=2&a=1&fbclid=x", "https://example.com/Path?b=2&a=1"),
        ("https://a.b:8443/", "https://a.b:8443"),
        ("http://a.b:443", "https://a.b:443"),
        ("https://x.com/u/status/1?s=20&t=abc", "https://x.com/u/status/1"),
        ("https://a.b/?s=20", "https://a.b?s=20"),
        ("https://[2001:DB8::1]:8080/x", "https://[2001:db8::1]:8080/x"),
        ("mailto:a@b.c", "mailto:a@b.c"),
        ("https://", "https://"),
        ("http://[bad", "http://[bad"),
        ("http://a.b:99999/", "http://a.b:99999/"),
    ],
)
def test_canonical_links(url: str, canonical: str) -> None:
    assert canonical_url(url) == canonical


def test_domains() -> None:
    assert domain_of("https://a.b/c?d") == "a.b"
    assert domain_of("https://a.b?d") == "a.b"
    assert domain_of("mailto:a@b.c") == ""


def test_long_objects_are_cut_but_stay_apart() -> None:
    long = "https://a.b/" + "x" * 3000
    cut, other = canonical_url(long), canonical_url(long + "y")
    assert len(cut) == len(other) == OBJECT_CUT
    assert cut != other
    assert canonical_url(cut) == cut


def test_no_more_than_a_handful_is_kept() -> None:
    assert len(hashtags_of(" ".join(f"#t{i}" for i in range(500)))) == LIST_KEPT


@pytest.mark.parametrize(
    "text",
    [
        "http://" + ")" * 60_000, "(" * 60_000 + "http://a" + ")" * 60_000, "@a." * 20_000, "@" * 60_000,
        "@" + "a." * 30_000 + "A", "www." * 16_000, "#" * 60_000, "#" + "a" * 60_000 + "##", "@" + "a" * 60_000 + "@",
        "http://a.b/?" + "&" * 60_000, "https://" * 8_000, "@a-" * 20_000, "@" + "-" * 60_000, " @" * 30_000,
        "http://a.b/" + "." * 60_000 + "x",
    ],
)  # fmt: skip
def test_no_text_makes_it_slow(text: str) -> None:
    start = time.process_time()
    urls_of(text), hashtags_of(text), mentions_of(text)
    assert time.process_time() - start < 0.5


any_text = st.text(max_size=80) | st.text("@#./:-_ahtpsw＠＃ß\u0301&?=", max_size=80)


def test_marks_and_spaces_before_a_name_may_alternate() -> None:
    assert canonical_hashtag(" # #\x85＃ Tag ") == "tag"
    assert canonical_mention("@ ＠ @name ") == "name"
    assert canonical_hashtag("\x85#" * 20_000) == canonical_mention("@ " * 20_000) == ""


@settings(max_examples=200)
@given(any_text)
def test_canonical_spellings_are_final(text: str) -> None:
    for canonical in (canonical_url, canonical_hashtag, canonical_mention):
        for spelled in (canonical(text), canonical("https://www." + text), canonical(text * 40)):
            assert canonical(spelled) == spelled
            assert len(spelled) <= OBJECT_CUT


@settings(max_examples=100)
@given(any_text, any_text)
def test_what_is_found_stays_found_beside_other_text(before: str, after: str) -> None:
    text = f"{before} https://a.example/q #Tag @name {after}"
    assert "https://a.example/q" in urls_of(text)
    assert "tag" in hashtags_of(text)
    assert "name" in mentions_of(text)
