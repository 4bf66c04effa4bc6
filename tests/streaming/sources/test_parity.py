"""Events through an input format score as the same events given as post events, whatever the order of the file.

One small society is written as each platform's records are, and as the post events that those mean; what a format
cannot carry is left out on both sides, and stands here with the format. The file is shuffled and has one damaged
record, so that the same run shows that a recording goes in by one command, in any order, with every record accounted
for.
"""

from __future__ import annotations

import io
import json
import random
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from detector.evidence import COMPONENTS
from detector.models import SHIPPED, Models, load_models
from detector.plugins import SOURCES, installed
from streaming.pipeline import run_recording
from streaming.sources.files import EVENTS
from tests.streaming.builders import T0, event, write_lines
from tests.streaming.sources import test_mastodon as mastodon
from tests.streaming.sources import test_x as x
from tests.streaming.sources.test_tables import csv_of

Json = dict[str, Any]

ACTS: Final = 96
MINUTE_S: Final = 60


class Act(NamedTuple):
    """What one account does: number and account; what it answers or passes on, and whose; what it says."""

    number: int
    who: int
    kind: str
    target: int
    whose: int
    text: str
    urls: list[str]
    tags: list[str]
    mentions: list[int]

    @property
    def seconds(self) -> int:
        """When, since 1970: whole minutes, which every format can write."""
        return T0 // 1000 + MINUTE_S * self.number

    @property
    def when(self) -> datetime:
        """The same as a date."""
        return datetime.fromtimestamp(self.seconds, UTC)

    def event(self, account: str, name: str, **more: Any) -> Json:
        """The post event in which this act is; fields given as None are left out."""
        return event(account, at=self.seconds * 1000, id=name, **({"kind": self.kind, **more}))

    @property
    def said(self) -> Json:
        """Text and language, where the words are the account's own."""
        return {} if self.kind == "repost" else {"text": self.text, "lang": "en"}


def society() -> list[Act]:
    """Eight accounts: three push a link of the hour in much the same words, the others talk, answer and pass on."""
    rng = random.Random(1)
    made: list[Act] = []
    for number in range(ACTS):
        pushes = number % 8 < 3
        words = "the new bridge is a truly vibrant journey for our town" if pushes else " ".join(
            rng.choice("we missed that old bus again today and walked home in the rain with bread".split())  # noqa: SIM905
            for _ in range(9)
        )  # fmt: skip
        earlier = [act for act in made if act.kind == "post"]
        kind = "post" if number < 8 else rng.choice(["post", "post", "reply", "repost"])
        other = rng.choice(earlier) if kind != "post" else None
        urls = [f"https://push.example/{number // 8}"] if pushes else []
        made.append(
            Act(
                number, number % 8, kind, -1 if other is None else other.number, -1 if other is None else other.who,
                f"{words} {number if not pushes else ''}".strip(), [] if kind == "repost" else urls,
                [f"tag{number % 3}"] if kind == "post" and number % 2 else [],
                [(number + 1) % 8] if kind == "post" and number % 5 == 0 else [],
            )
        )  # fmt: skip
    return made


SOCIETY: Final = society()

Pair = tuple[Any, Json]
"""A record of a format, and the post event that it means."""


def of_bluesky(act: Act) -> Pair:
    """Jetstream carries everything."""
    did, collection = f"did:plc:u{act.who}", "app.bsky.feed.repost" if act.kind == "repost" else "app.bsky.feed.post"
    subject = {"uri": f"at://did:plc:u{act.whose}/app.bsky.feed.post/k{act.target}", "cid": "bafy"}
    features = [{"$type": "app.bsky.richtext.facet#link", "uri": url} for url in act.urls]
    features += [{"$type": "app.bsky.richtext.facet#tag", "tag": tag} for tag in act.tags]
    features += [{"$type": "app.bsky.richtext.facet#mention", "did": f"did:plc:u{who}"} for who in act.mentions]
    record: Json = {"$type": collection, "createdAt": "2020-02-02T00:00:00Z"}
    if act.kind == "repost":
        record["subject"] = subject
    else:
        record |= {"text": act.text, "langs": ["en"], "facets": [{"index": {}, "features": features}]}
        record |= {"reply": {"parent": subject, "root": subject}} if act.kind == "reply" else {}
    commit = {"rev": "r", "operation": "create", "collection": collection, "rkey": f"k{act.number}", "record": record}
    whole = {"did": did, "time_us": act.seconds * 1_000_000, "kind": "commit", "commit": commit}
    answers = {} if act.kind == "post" else {"target": subject["uri"], "target_account": f"did:plc:u{act.whose}"}
    lists = {} if act.kind == "repost" else {
        "urls": act.urls, "hashtags": act.tags, "mentions": [f"did:plc:u{who}" for who in act.mentions]
    }  # fmt: skip
    return whole, act.event(did, f"at://{did}/{collection}/k{act.number}", **act.said, **answers, **lists)


def of_bluesky_records(act: Act) -> Pair:
    """`listRecords` carries everything; the time is that of the client."""
    whole, made = of_bluesky(act)
    value = whole["commit"]["record"] | {"createdAt": act.when.isoformat()}
    return {"uri": made["id"], "cid": "bafy", "value": value}, made


def of_mastodon_stream(act: Act) -> Pair:
    """The streaming API sends statuses as text."""
    status, made = of_mastodon(act)
    return {"event": "update", "stream": ["public"], "payload": json.dumps(status)}, made


def of_mastodon(act: Act) -> Pair:
    """Links are in the text, and whoever is answered is mentioned."""

    def handle(who: int) -> str:
        return f"u{who}@m.example"

    def mention(who: int) -> Json:
        return {"id": f"id-u{who}", "username": f"u{who}", "acct": f"u{who}", "url": f"https://m.example/@u{who}"}

    links = "".join(f' <a href="{url}"><span class="ellipsis">{url[8:20]}</span></a>' for url in act.urls)
    named = [*act.mentions, *([act.whose] if act.kind == "reply" else [])]
    status = mastodon.status(
        act.number,
        uri=f"https://m.example/users/u{act.who}/statuses/{act.number}",
        account=mastodon.account(f"u{act.who}"),
        created_at=act.when.isoformat(),
        content=f"<p>{act.text}{links}</p>",
        tags=[{"name": tag} for tag in act.tags],
        mentions=[mention(who) for who in named],
    )
    answers: Json = {}
    if act.kind == "reply":
        status |= {"in_reply_to_id": str(act.target), "in_reply_to_account_id": f"id-u{act.whose}"}
        answers = {"target": str(act.target), "target_account": handle(act.whose)}
    elif act.kind == "repost":
        uri = f"https://m.example/users/u{act.whose}/statuses/{act.target}"
        status["reblog"] = {"uri": uri, "account": mastodon.account(f"u{act.whose}")}
        answers = {"target": uri, "target_account": handle(act.whose)}
    lists = {} if act.kind == "repost" else {
        "text": " ".join([act.text, *act.urls]), "lang": "en", "urls": act.urls, "hashtags": act.tags,
        "mentions": [handle(who) for who in named],
    }  # fmt: skip
    return status, act.event(handle(act.who), status["uri"], profile={"automated": False}, **answers, **lists)


def of_mastodon_export(act: Act) -> Pair:
    """An export is of one account; those of several, one after another, name posts by their addresses."""

    def uri(who: int, number: int) -> str:
        return f"https://m.example/users/u{who}/statuses/{number}"

    status, made = of_mastodon(act)
    actor = {"actor": f"https://m.example/users/u{act.who}", "published": act.when.isoformat()}
    made.pop("profile")
    if act.kind == "repost":
        record = mastodon.activity("Announce", uri(act.whose, act.target), **actor)
        return record | {"id": f"{made['id']}/activity"}, made | {"id": f"{made['id']}/activity"}
    tags = [{"type": "Mention", "name": f"@{name}"} for name in made["mentions"]]
    tags += [{"type": "Hashtag", "name": f"#{tag}"} for tag in act.tags]
    note = mastodon.note(id=made["id"], published=act.when.isoformat(), content=status["content"], tag=tags)
    if act.kind == "reply":
        note["inReplyTo"] = made["target"] = uri(act.whose, act.target)
    return mastodon.activity("Create", note, **actor), made


def _snowflake(number: int) -> str:
    return str(1_550_000_000_000_000_000 + number)


def _x_event(act: Act) -> Json:
    answers = {} if act.kind == "post" else {"target": _snowflake(act.target), "target_account": str(100 + act.whose)}
    lists = {} if act.kind == "repost" else {
        "urls": act.urls, "hashtags": act.tags, "mentions": [str(100 + who) for who in act.mentions]
    }  # fmt: skip
    return act.event(str(100 + act.who), _snowflake(act.number), **act.said, **answers, **lists)


def of_x_old(act: Act) -> Pair:
    """Version 1.1 carries everything; a repost comes cut off and with its original."""
    post = x.old(
        int(_snowflake(act.number)),
        created_at=act.when.strftime("%a %b %d %H:%M:%S %z %Y"),
        user={"id_str": str(100 + act.who)},
        full_text=act.text,
        entities={
            "urls": [{"url": "https://t.co/1", "expanded_url": url} for url in act.urls],
            "hashtags": [{"text": tag} for tag in act.tags],
            "user_mentions": [{"id_str": str(100 + who)} for who in act.mentions],
        },
    )
    if act.kind == "repost":
        original = x.old(int(_snowflake(act.target)), user={"id_str": str(100 + act.whose)})
        post |= {"full_text": f"RT @u{act.whose}: cut o…", "retweeted_status": original}
    elif act.kind == "reply":
        post |= {"in_reply_to_status_id_str": _snowflake(act.target), "in_reply_to_user_id_str": str(100 + act.whose)}
    return post, _x_event(act)


def of_x_new(act: Act) -> Pair:
    """Version 2 carries everything; whose post is passed on is in `includes`."""
    post: Json = {
        "id": _snowflake(act.number), "edit_history_tweet_ids": [_snowflake(act.number)], "text": act.text,
        "lang": "en", "author_id": str(100 + act.who), "created_at": act.when.isoformat(),
        "entities": {
            "urls": [{"expanded_url": url} for url in act.urls],
            "hashtags": [{"tag": tag} for tag in act.tags],
            "mentions": [{"id": str(100 + who), "username": f"u{who}"} for who in act.mentions],
        },
    }  # fmt: skip
    if act.kind != "post":
        how = "retweeted" if act.kind == "repost" else "replied_to"
        post["referenced_tweets"] = [{"type": how, "id": _snowflake(act.target)}]
        post |= {"in_reply_to_user_id": str(100 + act.whose)} if act.kind == "reply" else {}
    return post, _x_event(act)


def x_responses(posts: list[Any]) -> bytes:
    """Responses of the API, one after another, with the authors of posts that others refer to."""
    others = [{"id": _snowflake(act.number), "author_id": str(100 + act.who), "text": "x"} for act in SOCIETY]
    pages = [{"data": posts[n : n + 20], "includes": {"tweets": others}} for n in range(0, len(posts), 20)]
    return "\n".join(json.dumps(page, indent=1) for page in pages).encode()


HASHED: Final = (
    "tweetid", "userid", "tweet_language", "tweet_text", "tweet_time", "in_reply_to_tweetid", "in_reply_to_userid",
    "is_retweet", "retweet_userid", "retweet_tweetid", "hashtags", "urls", "user_mentions",
)  # fmt: skip


def of_hashed(act: Act) -> Pair:
    """X's archive of operations carries everything, at whole minutes."""
    row = {
        "tweetid": _snowflake(act.number), "userid": str(100 + act.who), "tweet_language": "en", "tweet_text": act.text,
        "tweet_time": act.when.strftime("%Y-%m-%d %H:%M"), "is_retweet": str(act.kind == "repost").lower(),
        "hashtags": str(act.tags), "urls": str(act.urls),
        "user_mentions": str([str(100 + who) for who in act.mentions]),
    }  # fmt: skip
    if act.kind == "repost":
        row |= {"retweet_userid": str(100 + act.whose), "retweet_tweetid": _snowflake(act.target)}
    elif act.kind == "reply":
        row |= {"in_reply_to_userid": str(100 + act.whose), "in_reply_to_tweetid": _snowflake(act.target)}
    return row, _x_event(act) | {"at_precision_s": MINUTE_S}


FIVE: Final = (
    "external_author_id", "author", "content", "publish_date", "language", "retweet", "article_url", "tco1_step1",
)  # fmt: skip


def of_five_thirty_eight(act: Act) -> Pair:
    """FiveThirtyEight's columns have no answers, no hashtags and no mentions, and do not say what was passed on."""
    row = {
        "external_author_id": "9.06E+17", "author": f"U{act.who}", "content": act.text, "language": "English",
        "publish_date": f"{act.when.month}/{act.when.day}/{act.when.year} {act.when.hour}:{act.when.minute:02}",
        "retweet": "1" if act.kind == "repost" else "0", "tco1_step1": "".join(act.urls),
        "article_url": f"http://twitter.com/{100 + act.who}/statuses/{_snowflake(act.number)}",
    }  # fmt: skip
    more: Json = {"kind": "repost"} if act.kind == "repost" else {"kind": "post", "urls": act.urls, **act.said}
    named = act.event(str(100 + act.who), _snowflake(act.number), at_precision_s=MINUTE_S, **more)
    return row, named


def of_reddit(act: Act) -> Pair | None:
    """Nothing is passed on; there are no hashtags and mentions, and links of submissions alone."""
    if act.kind == "repost":
        return None
    about: Json = {"id": f"k{act.number}", "author": f"u{act.who}", "created_utc": act.seconds, "subreddit": "town"}
    if act.kind == "reply":
        record = about | {"body": act.text, "parent_id": f"t3_k{act.target}", "link_id": f"t3_k{act.target}"}
        answers = {"target": f"t3_k{act.target}", "target_account": f"u{act.whose}"}
        return record, act.event(f"u{act.who}", f"t1_k{act.number}", text=act.text, **answers)
    record = about | {"title": act.text, "selftext": "", "is_self": not act.urls, "url": "".join(act.urls)}
    return record, act.event(f"u{act.who}", f"t3_k{act.number}", text=act.text, urls=act.urls or None)


def of_telegram(act: Act) -> Pair:
    """Languages are not said, and of what is passed on only whose it is; its text comes with it."""
    entities: list[Json] = [{"type": "text_link", "text": "", "href": url} for url in act.urls]
    entities += [{"type": "hashtag", "text": f"#{tag}"} for tag in act.tags]
    entities += [{"type": "mention_name", "text": "", "user_id": who} for who in act.mentions]
    message: Json = {
        "id": act.number, "type": "message", "date": "2026-01-01T03:00:00", "date_unixtime": str(act.seconds),
        "from_id": f"user{act.who}", "text": act.text, "text_entities": entities,
    }  # fmt: skip
    answers: Json = {}
    if act.kind == "repost":
        message |= {"forwarded_from": "U", "forwarded_from_id": f"user{act.whose}"}
        answers = {"target_account": f"user{act.whose}"}
    elif act.kind == "reply":
        message["reply_to_message_id"] = act.target
        answers = {"target": f"900/{act.target}", "target_account": f"user{act.whose}"}
    lists = {"urls": act.urls, "hashtags": act.tags, "mentions": [f"user{who}" for who in act.mentions]}
    return message, act.event(f"user{act.who}", f"900/{act.number}", text=act.text, **answers, **lists)


def of_youtube(act: Act) -> Pair | None:
    """Everything answers the video or a comment; nothing is passed on, and there are no lists and no languages."""
    if act.kind == "repost":
        return None
    snippet: Json = {"authorChannelId": {"value": f"UC{act.who}"}, "textOriginal": act.text, "videoId": "v1",
                     "publishedAt": act.when.isoformat()}  # fmt: skip
    answers: Json = {"target": "v1"}
    if act.kind == "reply":
        snippet["parentId"] = f"c{act.target}"
        answers = {"target": f"c{act.target}", "target_account": f"UC{act.whose}"}
    record = {"kind": "youtube#comment", "id": f"c{act.number}", "snippet": snippet}
    return record, act.event(f"UC{act.who}", f"c{act.number}", text=act.text, **answers | {"kind": "reply"})


def of_coortweet(act: Act) -> Pair | None:
    """Who shared which link or which post, and when; no texts."""
    shared = str(act.target) if act.kind == "repost" else "".join(act.urls)
    if not shared:
        return None
    row = {"object_id": shared, "account_id": f"u{act.who}", "content_id": f"m{act.number}",
           "timestamp_share": str(act.seconds)}  # fmt: skip
    what: Json = {"target": shared} if act.kind == "repost" else {"kind": "post", "urls": [shared]}
    return row, act.event(f"u{act.who}", f"m{act.number}/{shared}", **what)


QUT: Final = ("message_id", "user_id", "username", "repost_id", "reply_id", "message", "timestamp", "urls")


def of_qut(act: Act) -> Pair:
    """No hashtags, mentions and languages; whose post was meant is looked up."""
    row = {"message_id": f"m{act.number}", "user_id": f"u{act.who}", "username": "U", "message": act.text,
           "timestamp": str(act.seconds), "urls": " ".join(act.urls)}  # fmt: skip
    answers: Json = {}
    if act.kind != "post":
        row["repost_id" if act.kind == "repost" else "reply_id"] = f"m{act.target}"
        answers = {"target": f"m{act.target}", "target_account": f"u{act.whose}"}
    said = None if act.kind == "repost" else act.text
    return row, act.event(f"u{act.who}", f"m{act.number}", text=said, urls=act.urls, **answers)


TABLE: Final = (
    "post_id", "user_id", "created_at", "body", "lang", "kind", "target", "target_account", "urls", "hashtags",
    "mentions",
)  # fmt: skip


def of_table(act: Act) -> Pair:
    """A table with usual names of its columns carries everything."""
    answers = {} if act.kind == "post" else {"target": f"m{act.target}", "target_account": f"u{act.whose}"}
    row = {
        "post_id": f"m{act.number}", "user_id": f"u{act.who}", "created_at": act.when.isoformat(),
        "body": act.said.get("text", ""), "lang": "en", "kind": act.kind, "urls": " ".join(act.urls),
        "hashtags": " ".join(act.tags), "mentions": " ".join(f"u{who}" for who in act.mentions), **answers,
    }  # fmt: skip
    lists = {"urls": act.urls, "hashtags": act.tags, "mentions": [f"u{who}" for who in act.mentions]}
    return row, act.event(f"u{act.who}", f"m{act.number}", **act.said, **answers, **lists)


def of_table_json(act: Act) -> Pair:
    """The same as objects inside each other, with lists and a number for a time."""
    row, made = of_table(act)
    more = {"urls": act.urls, "hashtags": act.tags, "mentions": [f"u{who}" for who in act.mentions]}
    whole = row | more | {"user_id": None, "user": {"id": row["user_id"]}, "created_at": act.seconds}
    return whole, made


def as_parquet(rows: list[Any]) -> bytes:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    made = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist([{name: row.get(name) for name in TABLE} for row in rows]), made)
    return made.getvalue()


def as_lines(records: list[Any]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def as_document(key: str, **around: Any) -> Callable[[list[Any]], bytes]:
    return lambda records: json.dumps({**around, key: records}, indent=1).encode()


def as_csv(*columns: str) -> Callable[[list[Any]], bytes]:
    return lambda rows: csv_of(columns, *rows).encode()


class Shape(NamedTuple):
    """How a format is written: its name, each act's record and event, the file, a record that is none, and how the
    format is asked for."""

    name: str
    pair: Callable[[Act], Pair | None]
    file: Callable[[list[Any]], bytes]
    damaged: Json
    asked: str = "auto"


SHAPES: Final = {
    "bluesky": Shape("bluesky", of_bluesky, as_lines, {"did": "did:plc:x", "time_us": "late", "kind": "commit"}),
    "bluesky records": Shape(
        "bluesky", of_bluesky_records, as_document("records"),
        {"uri": "at://did:plc:x/app.bsky.feed.post/k", "value": {"$type": "app.bsky.feed.post", "createdAt": "never"}},
    ),
    "mastodon export": Shape(
        "mastodon", of_mastodon_export, as_document("orderedItems"),
        {"type": "Create", "actor": "nobody", "object": {"content": ""}},
    ),
    "mastodon stream": Shape("mastodon", of_mastodon_stream, as_lines, {"event": "update", "payload": "{}"}),
    "mastodon": Shape("mastodon", of_mastodon, as_lines, {"account": {}, "content": "", "created_at": "never"}),
    "x 1.1": Shape("x", of_x_old, as_lines, {"id_str": "1", "full_text": "of nobody", "user": {}}),
    "x 2": Shape("x", of_x_new, x_responses, {"id": "5", "text": "of nobody", "edit_history_tweet_ids": ["5"]}),
    "hashed archive": Shape("information-operations", of_hashed, as_csv(*HASHED), {"tweetid": "", "userid": "1"}),
    "fivethirtyeight": Shape(
        "information-operations", of_five_thirty_eight, as_csv(*FIVE), {"author": "U", "publish_date": "never"}
    ),
    "reddit": Shape("reddit", of_reddit, as_lines, {"id": "x", "author": "u1", "created_utc": None, "body": "when?"}),
    "telegram": Shape(
        "telegram", of_telegram, as_document("messages", name="Town", type="public_supergroup", id=900),
        {"id": None, "type": "message", "date": "", "text": ""},
    ),
    "youtube": Shape(
        "youtube", of_youtube, as_document("items", kind="youtube#commentListResponse"),
        {"kind": "youtube#comment", "id": "c", "snippet": {}},
    ),
    "coortweet": Shape(
        "coortweet", of_coortweet, as_csv("object_id", "account_id", "content_id", "timestamp_share"),
        {"object_id": "1", "account_id": ""},
    ),
    "qut": Shape("qut", of_qut, as_csv(*QUT), {"message_id": "1", "user_id": "u1", "timestamp": "never"}),
    "table": Shape("table", of_table, as_csv(*TABLE), {"user_id": "u1", "created_at": "never", "body": "when?"}),
    "parquet": Shape("table", of_table, as_parquet, {"user_id": "u1", "created_at": "never", "body": "when?"}),
    "table of objects": Shape(
        "table", of_table_json, as_lines, {"user": {"id": "u1"}, "created_at": "never", "body": "when?"},
        "table:account=user.id",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """The shipped models without the second stage, which takes most of a run's time and is not the matter."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(SHIPPED, folder, dirs_exist_ok=True)
    (folder / "expert.json").unlink()
    return load_models(folder)


def test_every_installed_format_is_among_them() -> None:
    assert {shape.name for shape in SHAPES.values()} == set(installed(SOURCES)) - {EVENTS}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_events_through_a_format_score_as_the_same_events_as_post_events(
    shape: Shape, models: Models, tmp_path: Path
) -> None:
    pairs = [pair for act in SOCIETY if (pair := shape.pair(act)) is not None]
    records = [record for record, _ in pairs] + [shape.damaged]
    random.Random(2).shuffle(records)
    foreign = tmp_path / "recording"
    foreign.write_bytes(shape.file(records))
    direct = run_recording([write_lines(tmp_path / "posts.jsonl", (made for _, made in pairs))], models=models)
    through = run_recording([foreign], format_name=shape.asked, models=models)
    told = through.summary
    assert (told.read, told.accepted, told.dead) == (len(records), len(pairs), 1)
    assert told.read + sum(told.skipped.values()) == len(records)
    assert [row.account for row in through.scores] == [row.account for row in direct.scores]
    assert len(direct.scores) == 8
    for one, other in zip(through.scores, direct.scores, strict=True):
        for name in (*COMPONENTS, "total"):
            assert getattr(one.llr, name) == pytest.approx(getattr(other.llr, name), abs=1e-6)
        assert (one.posts, one.flagged, one.group, one.abstained) == (
            other.posts, other.flagged, other.group, other.abstained
        )  # fmt: skip
    assert any(row.llr.total for row in direct.scores)
    assert any(row.llr.text for row in direct.scores) != (shape.name == "coortweet")
    assert [told_of(alert.body) for alert in through.alerts] == [told_of(alert.body) for alert in direct.alerts]


def told_of(body: bytes) -> dict[str, Any]:
    """An alert without what a platform shows of its accounts, which post events of ours do not carry."""
    alert: dict[str, Any] = json.loads(body)
    for member in alert["members"]:
        member.pop("profile", None)
    return alert


def test_only_three_formats_leave_whole_events_out() -> None:
    left_out = {name: ACTS - len([act for act in SOCIETY if shape.pair(act)]) for name, shape in SHAPES.items()}
    complete = [name for name, count in left_out.items() if not count]
    assert sorted(set(SHAPES) - set(complete)) == ["coortweet", "reddit", "youtube"]
