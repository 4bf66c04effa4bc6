"""Links, hashtags and mentions: found in a text, and brought to one spelling so that two accounts' can be compared.

Every pattern is linear in the text, so that no text can make it slow.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import SplitResult, urlsplit

LIST_KEPT: Final = 32
"""Distinct links, hashtags or mentions kept of one event: a post has a handful; more are spam of the list itself."""

OBJECT_CUT: Final = 512
"""Characters of one link, hashtag or mention that are kept; of a longer one the end becomes its hash, so that equal
ones stay equal and an observation stays far below the size of a batch."""

_HASH_CHARS: Final = 32

_TRACKING_NAMES: Final = """
fbclid gclid dclid gbraid wbraid msclkid yclid twclid ttclid igshid igsh mc_cid mc_eid mkt_tok ref_src ref_url _ga _gl
oly_anon_id oly_enc_id vero_id wickedid _hsenc _hsmi spm scid cmpid
"""

TRACKING: Final = frozenset(_TRACKING_NAMES.split())
"""Query parameters that name the sharer or the campaign, not the page (besides every `utm_...`)."""

_SHARER: Final[dict[str, set[str]]] = {
    "x.com": {"s", "t"},
    "twitter.com": {"s", "t"},
    "youtube.com": {"si", "feature"},
    "youtu.be": {"si", "feature"},
    "open.spotify.com": {"si"},
}
"""Parameters that do the same on one site only."""

_PORTS: Final = {"http": 80, "https": 443}

LINK: Final = re.compile(
    r"(?:https?://|(?<![\w@./-])www\.)[^\s<>\"“”«»\u3000-\u3002\uff01-\uff0f]{1,2048}", re.IGNORECASE
)
"""A link in running text, perhaps with the punctuation of its sentence (see `trim`)."""

MARKS: Final = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u0669\u06d6-\u06ed\u0900-\u0963\u0966-\u0fbc"
    "\u1000-\u109f\u1780-\u17d3\u200c\u200d\u3005"
)
"""Characters within words that `\\w` leaves out: vowel signs, accents and joiners, as ranges of a character class."""

_hashtag = re.compile(rf"(?<![\w&/#＃])[#＃]([\w{MARKS}]+)")
_mention = re.compile(
    r"(?<![\w@＠/.+-])[@＠]("
    r"[A-Za-z0-9_]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"  # Mastodon: user@host
    r"|[a-z0-9-]+(?:\.[a-z0-9-]+)+(?!\.?\w)"  # Bluesky: a domain name
    r"|[A-Za-z0-9_]+|\w+)"
)
_TRAILING: Final = ".,;:!?'’…*_~"
_PAIRS: Final = ((")", "("), ("]", "["), ("}", "{"))
_number = re.compile(r"\d+")


_HASHES: Final = re.compile(r"[\s#＃]*")

_ATS: Final = re.compile(r"[\s@＠]*")


def urls_of(text: str) -> tuple[str, ...]:
    """Distinct canonical links in `text`, in order, at most `LIST_KEPT`."""
    lowered = text.lower()
    if "://" not in lowered and "www." not in lowered:
        return ()
    return distinct((trim(found) for found in LINK.findall(text)), canonical_url)


def hashtags_of(text: str) -> tuple[str, ...]:
    """Distinct hashtags in `text` outside its links, canonical, in order, at most `LIST_KEPT`.

    Digits alone are no hashtag (`#1`).
    """
    if "#" not in text and "＃" not in text:
        return ()
    found = _hashtag.findall(LINK.sub(" ", text))
    return distinct((tag for tag in found if not _number.fullmatch(tag)), canonical_hashtag)


def mentions_of(text: str) -> tuple[str, ...]:
    """Distinct accounts mentioned in `text` outside its links, without the `@`, in order, at most `LIST_KEPT`."""
    if "@" not in text and "＠" not in text:
        return ()
    return distinct(_mention.findall(LINK.sub(" ", text)), canonical_mention)


def distinct(values: Iterable[str], canonical: Callable[[str], str]) -> tuple[str, ...]:
    """The canonical spellings of `values` without empty ones and repetitions, in order, at most `LIST_KEPT`."""
    kept: dict[str, None] = {}
    for value in values:
        spelling = canonical(value)
        if spelling:
            kept[spelling] = None
            if len(kept) == LIST_KEPT:
                break
    return tuple(kept)


def canonical_url(url: str) -> str:
    """One spelling for the links that lead to the same page; "" for a blank one. Idempotent.

    Scheme and host in lower case, `http` as `https`, no `www.`, default port, fragment, trailing slash or parameter
    that only says who shared it. What is no web link (`mailto:`, nonsense) stays as it is.
    """
    url = "".join(url.split())
    lowered = url[:8].lower()
    if lowered.startswith("www."):
        url = "https://" + url
    elif not lowered.startswith(("http://", "https://")):
        return _shorten(url)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return _shorten(url)
    host = host.rstrip(".")
    while host.startswith("www."):
        host = host[4:]
    if not host:
        return _shorten(url)
    if ":" in host:
        host = f"[{host}]"
    if port is not None and port != _PORTS[parts.scheme]:
        host = f"{host}:{port}"
    return _shorten("https://" + host + parts.path.rstrip("/") + _query(parts, host))


def domain_of(url: str) -> str:
    """The host of a canonical link, "" where it is no web link."""
    if not url.startswith("https://"):
        return ""
    return re.split(r"[/?#]", url[8:], maxsplit=1)[0]


def canonical_hashtag(tag: str) -> str:
    """One spelling of a hashtag: no `#`, compatibility forms folded (full-width letters), no case. Idempotent."""
    tag = _without_mark(_HASHES, tag)
    return _shorten(tag.lower() if tag.isascii() else _fold(tag))


def canonical_mention(name: str) -> str:
    """The mentioned account's name without `@`. Case stays: whether it matters is the platform's business."""
    return _shorten(_without_mark(_ATS, name))


def _without_mark(marks: re.Pattern[str], name: str) -> str:
    """A name without the marks and white space before it, however they alternate, and white space behind it."""
    return name[marks.match(name).end() :].rstrip()  # type: ignore[union-attr]  # it matches nothing, too


def _fold(tag: str) -> str:
    for _ in range(3):  # folding case can undo normal form and the other way round: until it no longer changes
        folded = _without_mark(_HASHES, unicodedata.normalize("NFKC", tag.casefold()))
        if folded == tag:
            break
        tag = folded
    return tag


def _query(parts: SplitResult, host: str) -> str:
    if not parts.query:
        return ""
    sharer = _SHARER.get(host, set())
    kept = []
    for pair in parts.query.split("&"):
        name = pair.partition("=")[0].lower()
        if pair and name not in TRACKING and name not in sharer and not name.startswith("utm_"):
            kept.append(pair)
    return "?" + "&".join(kept) if kept else ""


def trim(url: str) -> str:
    """A link as written in running text without the sentence's own punctuation: `(see https://a.b/c).`"""
    while url:
        if url[-1] in _TRAILING:
            url = url.rstrip(_TRAILING)
            continue
        for close, opening in _PAIRS:
            if url[-1] == close and url.count(close) > url.count(opening):
                url = url[:-1]
                break
        else:
            break
    return url


def _shorten(value: str) -> str:
    if len(value) <= OBJECT_CUT:
        return value
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_CHARS]
    return value[: OBJECT_CUT - _HASH_CHARS] + digest
