"""The input format `information-operations`: posts of accounts that X removed, as X and FiveThirtyEight published them.

X's own tables have hashed names of small accounts, minutes without zone (UTC), and lists in brackets. FiveThirtyEight's
have month, day and year, English names of languages, and account ids that a spreadsheet rounded (`9.06E+17`); the ids
of post and account are taken from the post's address. What was passed on is not its account's own words.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from detector.errors import EventError
from streaming.sources.documents import Json
from streaming.sources.fields import language, timed
from streaming.sources.platform_times import MINUTE_S, us_minute, written
from streaming.sources.rows import TableFormat, cell, identity, listed, reference

_HASHED: Final = {"tweetid", "userid", "tweet_time", "tweet_text"}
_FIVE_THIRTY_EIGHT: Final = {"external_author_id", "author", "content", "publish_date"}

_STATUS: Final = re.compile(r"https?://(?:www\.)?(?:twitter|x)\.com/([^/\s]+)/status(?:es)?/(\d+)")

_TRUE: Final = {"true", "1", "t", "yes"}


def looks(columns: Sequence[str]) -> bool:
    """Whether these are the columns of one of the two."""
    return set(columns) >= _HASHED or set(columns) >= _FIVE_THIRTY_EIGHT


def convert(row: Mapping[str, Any]) -> Json:
    """The post event of one row."""
    return _hashed(row) if "tweetid" in row else _five_thirty_eight(row)


def _hashed(row: Mapping[str, Any]) -> Json:
    def named(column: str) -> str:
        return reference(row.get(column), column)

    made = written(cell(row["tweet_time"]))
    at, precision = (None, 0) if made is None else made
    created = written(cell(row.get("account_creation_date")))
    event: Json = {
        "id": identity(row["tweetid"], "tweetid"),
        "account": identity(row["userid"], "userid"),
        "at": timed(at, "tweet_time"),
        "at_precision_s": precision or None,
        "profile": _profile(
            name=cell(row.get("user_display_name")),
            bio=cell(row.get("user_profile_description")),
            location=cell(row.get("user_reported_location")),
            created_at=None if created is None else created[0],
            followers=_count(row.get("follower_count")),
            following=_count(row.get("following_count")),
        ),
    }
    if cell(row.get("is_retweet")).lower() in _TRUE or row.get("is_retweet") is True:
        return event | {"kind": "repost", "target": named("retweet_tweetid"),
                        "target_account": named("retweet_userid")}  # fmt: skip
    answered, quoted = named("in_reply_to_tweetid"), named("quoted_tweet_tweetid")
    return event | {
        "kind": "reply" if answered else "quote" if quoted else "post",
        "text": html.unescape(cell(row["tweet_text"])),
        "lang": language(cell(row.get("tweet_language"))),
        "target": answered or quoted,
        "target_account": named("in_reply_to_userid") if answered else "",
        "urls": listed(row.get("urls")),
        "mentions": listed(row.get("user_mentions")),
        "hashtags": listed(row.get("hashtags")),
    }


def _five_thirty_eight(row: Mapping[str, Any]) -> Json:
    place = _STATUS.match(cell(row.get("article_url")))
    links = [cell(row.get(f"tco{number}_step1")) for number in (1, 2, 3)]
    own = [link for link in links if link and not (place and link.startswith(place[0]))]
    event: Json = {
        "id": place[2] if place else identity(row.get("tweet_id"), "tweet_id"),
        "account": _author(row, place),
        "at": timed(us_minute(row["publish_date"]), "publish_date"),
        "at_precision_s": MINUTE_S,
        "profile": _profile(
            name=cell(row["author"]),
            followers=_count(row.get("followers")),
            following=_count(row.get("following")),
            posts=_count(row.get("updates")),
        ),
    }
    if cell(row.get("retweet")) == "1" or cell(row.get("post_type")).upper() == "RETWEET":
        return event | {"kind": "repost"}
    quoted = next((match for link in own if (match := _STATUS.match(link))), None)
    is_quote = cell(row.get("post_type")).upper() == "QUOTE_TWEET"
    return event | {
        "kind": "quote" if is_quote else "post",
        "text": html.unescape(cell(row["content"])),
        "lang": language(cell(row.get("language"))),
        "target": quoted[2] if is_quote and quoted else "",
        "urls": own,
    }


def _author(row: Mapping[str, Any], place: re.Match[str] | None) -> str:
    """The account's id: of the address, or of a column that no spreadsheet rounded; else its name, unique as well."""
    if place is not None and place[1].isdigit():
        return place[1]
    for column in ("alt_external_id", "external_author_id"):
        try:
            return identity(row.get(column), column)
        except EventError:
            continue
    return identity(row["author"], "author")


def _count(value: Any) -> int | None:
    said = cell(value)
    return int(said) if said.isdigit() and len(said) < 16 else None


def _profile(**fields: Any) -> Json:
    return {key: value for key, value in fields.items() if value is not None and value != ""}


FORMAT: Final = TableFormat(looks, convert)
"""CSV files of X's archive of information operations, and of FiveThirtyEight's `russian-troll-tweets`."""
