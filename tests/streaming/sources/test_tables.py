"""Tables: archives of information operations, two toolkits, and any other with a map of its columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from detector.errors import UsageError
from streaming.sources import table
from streaming.sources.files import RecordingFiles, format_named
from streaming.sources.information_operations import FORMAT as ARCHIVES
from streaming.sources.toolkits import COORTWEET, QUT
from tests.streaming.builders import T0
from tests.streaming.sources.formats import Read, one, read

HASHED = (
    "tweetid",
    "userid",
    "user_display_name",
    "follower_count",
    "account_creation_date",
    "tweet_language",
    "tweet_text",
    "tweet_time",
    "in_reply_to_tweetid",
    "in_reply_to_userid",
    "quoted_tweet_tweetid",
    "is_retweet",
    "retweet_userid",
    "retweet_tweetid",
    "hashtags",
    "urls",
    "user_mentions",
)


def csv_of(columns: tuple[str, ...], *rows: dict[str, str], separator: str = ",") -> str:
    def line(cells: list[str]) -> str:
        return separator.join('"' + cell.replace('"', '""') + '"' for cell in cells) + "\r\n"

    return line(list(columns)) + "".join(line([row.get(column, "") for column in columns]) for row in rows)


def hashed(**more: str) -> dict[str, str]:
    return {
        "tweetid": "877919995476496385",
        "userid": "249064136",
        "tweet_language": "ru",
        "follower_count": "12",
        "tweet_text": "R&amp;B\nsoul",
        "tweet_time": "2017-06-22 16:03",
        "is_retweet": "false",
        "account_creation_date": "2011-02-08",
        **more,
    }


def test_a_hashed_archive_has_minutes_without_zone_and_lists_in_brackets() -> None:
    event = one(
        ARCHIVES,
        csv_of(
            HASHED,
            hashed(
                hashtags="['one', \"it's\"]",
                urls="[https://a.example/, https://b.example/]",
                user_mentions="[34, 56]",
                userid="x" * 40,
            ),
        ),
    )
    assert event == {
        "id": "877919995476496385",
        "account": "x" * 40,
        "at": 1498147380000,
        "at_precision_s": 60,
        "kind": "post",
        "text": "R&B\nsoul",
        "lang": "ru",
        "urls": ["https://a.example/", "https://b.example/"],
        "mentions": ["34", "56"],
        "hashtags": ["one", "it's"],
        "profile": {"created_at": 1297123200000, "followers": 12},
    }


def test_reposts_replies_and_quotes_of_a_hashed_archive() -> None:
    found = read(
        ARCHIVES,
        csv_of(
            HASHED,
            hashed(is_retweet="True", retweet_userid="34", retweet_tweetid="1", tweet_text="RT @x: y"),
            hashed(in_reply_to_tweetid="2", in_reply_to_userid="34"),
            hashed(quoted_tweet_tweetid="3"),
        ),
    )
    assert [(event["kind"], event["target"]) for event in found.events] == [
        ("repost", "1"),
        ("reply", "2"),
        ("quote", "3"),
    ]
    assert "text" not in found.events[0]
    assert found.events[1]["target_account"] == "34"


@pytest.mark.parametrize("column", ["tweetid", "userid"])
@pytest.mark.parametrize("said", ["9.06E+17", "8.7792e17", ""])
def test_ids_that_a_spreadsheet_rounded_or_lost_are_dead_and_merge_nothing(column: str, said: str) -> None:
    ((field, reason),) = read(ARCHIVES, csv_of(HASHED, hashed(**{column: said}))).problems
    assert field == column
    assert ("rounded" in reason) == bool(said)


@pytest.mark.parametrize("column", ["retweet_tweetid", "retweet_userid"])
def test_rounded_ids_of_others_posts_are_dead_too_since_all_would_share_one(column: str) -> None:
    found = read(ARCHIVES, csv_of(HASHED, hashed(is_retweet="true", **{column: "9.06E+17"})))
    assert [field for field, _ in found.problems] == [column]


FIVE = (
    "external_author_id",
    "author",
    "content",
    "language",
    "publish_date",
    "following",
    "followers",
    "updates",
    "post_type",
    "retweet",
    "alt_external_id",
    "tweet_id",
    "article_url",
    "tco1_step1",
    "tco2_step1",
)


def five(**more: str) -> dict[str, str]:
    return {
        "external_author_id": "9.06E+17",
        "author": "10_GOP",
        "content": "So good",
        "language": "Farsi (Persian)",
        "publish_date": "10/1/2017 19:58",
        "following": "1052",
        "tweet_id": "9.15E+17",
        "retweet": "0",
        "article_url": "http://twitter.com/905874659358453760/statuses/914580356430536707",
        "tco1_step1": "https://twitter.com/905874659358453760/status/914580356430536707/video/1",
        "tco2_step1": "https://a.example/x",
        **more,
    }


def test_fivethirtyeights_ids_are_those_of_the_address() -> None:
    event = one(ARCHIVES, csv_of(FIVE, five()))
    assert event == {
        "id": "914580356430536707",
        "account": "905874659358453760",
        "at": 1506887880000,
        "at_precision_s": 60,
        "kind": "post",
        "text": "So good",
        "lang": "fa",
        "profile": {"name": "10_GOP", "following": 1052},
        "urls": ["https://twitter.com/905874659358453760/status/914580356430536707/video/1", "https://a.example/x"],
    }
    assert one(ARCHIVES, csv_of(FIVE, five(retweet="1")))["kind"] == "repost"
    without = five(article_url="", tweet_id="914580356430536707")
    assert one(ARCHIVES, csv_of(FIVE, without | {"alt_external_id": "905"}))["account"] == "905"
    assert one(ARCHIVES, csv_of(FIVE, without))["account"] == "10_GOP"
    assert read(ARCHIVES, csv_of(FIVE, five(article_url=""))).problems[0][0] == "tweet_id"


def test_rows_in_the_order_of_dates_as_text_come_out_by_time(tmp_path: Path) -> None:
    path = tmp_path / "troll.csv"
    dates = ["10/1/2017 19:58", "10/10/2016 8:00", "2/3/2015 7:00"]
    rows = [five(publish_date=date, article_url=f"http://twitter.com/9/statuses/{i}") for i, date in enumerate(dates)]
    path.write_bytes(b"\xef\xbb\xbf" + csv_of(FIVE, *rows).encode())
    with RecordingFiles([path], format_name="auto") as inputs:
        assert [json.loads(record.value)["id"] for record in inputs.by_time()] == ["2", "1", "0"]


def test_coortweets_rows_are_shares_of_one_object_each() -> None:
    columns = ("object_id", "account_id", "content_id", "timestamp_share")
    first, second = read(
        COORTWEET,
        csv_of(
            columns,
            *(
                {"object_id": shared, "account_id": "ann", "content_id": "p1", "timestamp_share": str(T0 // 1000)}
                for shared in ("https://a.example/", "tweet-5")
            ),
        ),
    ).events
    assert first["id"] != second["id"]
    assert (first["kind"], first["urls"], first["at"]) == ("post", ["https://a.example/"], T0)
    assert (second["kind"], second["target"]) == ("repost", "tweet-5")


def test_quts_rows_find_whom_they_repeat(tmp_path: Path) -> None:
    columns = ("message_id", "user_id", "username", "repost_id", "reply_id", "message", "timestamp", "urls")
    at = T0 // 1000
    rows = [
        {"message_id": "2", "user_id": "bob", "repost_id": "1", "message": "hi", "timestamp": str(at + 5)},
        {
            "message_id": "1",
            "user_id": "ann",
            "username": "Ann",
            "message": "hi",
            "timestamp": str(at),
            "urls": "https://a.example/ https://b.example/",
        },
    ]
    path = tmp_path / "qut.csv"
    path.write_text(csv_of(columns, *rows))
    assert QUT.recognises(path.read_bytes())
    with RecordingFiles([path], format_name="auto") as inputs:
        first, second = (json.loads(record.value) for record in inputs.by_time())
    assert first["urls"] == ["https://a.example/", "https://b.example/"]
    assert (second["kind"], second["target"], second["target_account"], "text" in second) == (
        "repost",
        "1",
        "ann",
        False,
    )


MAPPED = "table:account=who,at=when,text=what,id=nr,reply_to=answers"
TABLE = ("who", "when", "what", "nr", "answers")


def row(**more: str) -> dict[str, str]:
    return {"who": "ann", "when": str(T0), "what": "hello; you, there", "nr": "1", **more}


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_any_separator_and_quoted_cells(separator: str) -> None:
    event = one(format_named(MAPPED), csv_of(TABLE, row(answers="0"), separator=separator))
    assert event == {"id": "1", "account": "ann", "at": T0, "kind": "reply", "text": "hello; you, there", "target": "0"}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_may_end_as_on_any_machine(end: str) -> None:
    data = "user_id,created_at,body" + end + f"ann,{T0},hello" + end
    assert table.FORMAT.recognises(data.encode())
    assert one(table.FORMAT, data)["text"] == "hello"


@pytest.mark.parametrize(
    ("said", "at", "precision"),
    [
        (str(T0), T0, None),
        (str(T0 // 1000), T0, None),
        (str(T0 * 1000), T0, None),
        (str(T0 * 10**6), T0, None),
        (f"{T0 // 1000}.5", T0 + 500, None),
        ("2026-01-01T00:00:00Z", T0, None),
        ("2026-01-01 00:00:00", T0, None),
        ("2026-01-01 01:00:00+01:00", T0, None),
        ("2026-01-01 00:00:00.250 UTC", T0 + 250, None),
        ("2026-01-01 00:00", T0, 60),
        ("2026-01-01", T0, 86_400),
        ("Thu Jan 01 00:00:00 +0000 2026", T0, None),
    ],
)
def test_times_of_any_unit_and_usual_dates(said: str, at: int, precision: int | None) -> None:
    event = one(format_named(MAPPED), csv_of(TABLE, row(when=said)))
    assert (event["at"], event.get("at_precision_s")) == (at, precision)


def test_ids_of_a_column_of_floats_are_the_whole_numbers_they_were() -> None:
    form = format_named(MAPPED)
    event = one(form, csv_of(TABLE, row(who="7.0", nr="12.0", answers="11.0")))
    assert (event["account"], event["id"], event["target"]) == ("7", "12", "11")
    for field in ("who", "nr", "answers"):
        for said in ("906000000000000000.0", "9.06E+17"):
            ((column, reason),) = read(form, csv_of(TABLE, row(**{field: said}))).problems
            assert (column, "rounded" in reason) == (field, True)


def test_a_date_that_is_two_dates_needs_a_form() -> None:
    assert read(format_named(MAPPED), csv_of(TABLE, row(when="1/2/2026"))).problems[0][0] == "when"
    event = one(format_named(f"{MAPPED},at_format=%d/%m/%Y"), csv_of(TABLE, row(when="1/2/2026")))
    assert event["at"] == T0 + 31 * 86_400_000


def test_usual_names_need_no_map_and_equal_rows_without_id_are_one_event() -> None:
    columns = ("user_id", "created_at", "body")
    rows = [{"user_id": "ann", "created_at": "2026-01-01T00:00:00Z", "body": text} for text in ("a", "a", "b")]
    assert table.FORMAT.recognises(csv_of(columns, *rows).encode())
    first, again, other = read(table.FORMAT, csv_of(columns, *rows)).events
    assert first["id"] == again["id"] != other["id"]
    assert not table.FORMAT.recognises(b"user_id,created_at\n1,2\n")


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("table", "which column is at.*table:at=COLUMN; there are account, hour"),
        ("table:at=day", "there is no column day among account, hour"),
        ("table:at", "'at' is not FIELD=COLUMN"),
        ("table:when=hour", "'when' is none of the fields id, account"),
    ],
)
def test_a_map_that_does_not_fit_is_refused_with_the_columns(tmp_path: Path, form: str, said: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text("account,hour\nann,5\n")
    with pytest.raises(UsageError, match=said), RecordingFiles([path], format_name=form) as inputs:
        list(inputs)


def test_every_row_is_accounted_for(tmp_path: Path) -> None:
    data = csv_of(TABLE, row()) + 'ann,1\r\n"a"b,1,2,3,4\r\n\r\n' + csv_of(TABLE, row(who="")).split("\r\n", 1)[1]
    assert read(
        format_named(MAPPED), data + "bob," + str(T0) + ",é,2,\n".encode("latin-1").decode("utf-8", "ignore")
    ) == Read(
        [
            {"id": "1", "account": "ann", "at": T0, "kind": "post", "text": "hello; you, there"},
            {"id": "2", "account": "bob", "at": T0, "kind": "post"},
        ],
        [],
        [
            ("", "has not the 5 cells of the heading"),
            ("", "is no row of a table: a quote stands inside a cell"),
            ("who", "is empty"),
        ],
    )
    latin = read(format_named(MAPPED), csv_of(TABLE, row(what="caf\xe9")).encode("latin-1"))
    assert latin.problems == [("", "is not UTF-8, or holds a lone surrogate, which is no character")]
    path = tmp_path / "open.csv"
    path.write_text(csv_of(TABLE, row()) + '"ann,1,2\nann,1,2,3,4\n')
    with RecordingFiles([path], format_name=MAPPED, keep_readable=True) as inputs:
        assert len(list(inputs)) == 1
    assert "a quote opens and is never closed" in inputs.failures[0]


def test_parquet_with_its_own_types(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    path = tmp_path / "posts.parquet"
    columns: dict[str, list[Any]] = {
        "user_id": [905874659358453760, 2, 3],
        "created_at": [datetime(2026, 1, 1, tzinfo=UTC)] * 2 + [None],
        "text": ["hello", None, "x"],
        "urls": [["https://a.example/"], [], None],
        "followers": [3.0, float("nan"), 1.0],
    }
    parquet.write_table(pa.table(columns), path)
    with RecordingFiles([path], format_name="table") as inputs:
        found = list(inputs)
    first, second = (json.loads(record.value) for record in found[:2])
    assert (first["account"], first["at"], first["urls"]) == ("905874659358453760", T0, ["https://a.example/"])
    assert (first["profile"], "profile" in second) == ({"followers": 3}, False)
    assert found[2].problem is not None
    floats = tmp_path / "floats.parquet"
    parquet.write_table(pa.table({"account": [9.06e17], "at": [T0], "text": ["x"]}), floats)
    with RecordingFiles([floats], format_name="table") as inputs:
        (record,) = inputs
    assert record.problem is not None
    assert "rounded" in record.problem.reason
    with (
        pytest.raises(UsageError, match="cannot be read as Parquet"),
        RecordingFiles([_cut(path)], format_name="table") as inputs,
    ):
        list(inputs)


def _cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-30])
    return path


def test_json_with_a_map_that_leads_into_objects() -> None:
    form = format_named("table:account=user.id,at=when,text=body.plain")
    item = {"user": {"id": 5}, "when": T0 // 1000, "body": {"plain": "hello"}}
    for data in (json.dumps(item), json.dumps([item]), [item]):
        assert one(form, data)["account"] == "5"
    deep = format_named("table:account=user.id,at=when,text=body.plain,records=data.items")
    assert len(read(deep, {"data": {"items": [item, item]}}).events) == 2
    assert read(form, [{"user": 5}]).problems == [("user.id", "is empty")]
