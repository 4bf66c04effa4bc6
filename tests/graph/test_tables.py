"""Tables of traces as people have them: every row is used or counted, and none is taken for what it is not."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detector.errors import UnusableError, UsageError
from graph.tables import TimeUnit, read_tables
from graph.trace_table import Names, TraceTable
from graph.traces import KIND_NAMES, REPOST

NOW_MS = 1_800_000_000_000

T = 1_623_881_091

Row = tuple[int, str, str, str]


def read(path: Path, columns: str = "", unit: TimeUnit = "auto") -> TraceTable:
    return read_tables([path], columns=columns, kind=REPOST, unit=unit, now_ms=NOW_MS)


def written(folder: Path, text: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def rows(table: TraceTable) -> list[Row]:
    """(ms, account, kind, object) of each trace."""
    return [
        (int(at), table.accounts[int(account)], KIND_NAMES[kind], table.objects[int(item)])
        for at, account, kind, item in zip(table.at, table.account, table.kind, table.object, strict=True)
    ]


PLAIN = f"account,object,at\nb,x,{T}\na,y,{T}\na,x,{T + 60}\n"

PLAIN_ROWS = [(T * 1000, "a", "repost", "y"), (T * 1000, "b", "repost", "x"), ((T + 60) * 1000, "a", "repost", "x")]

OBJECTS = [{"account": "b", "object": "x", "at": T}, {"account": "a", "object": "y", "at": T}]
OBJECTS.append({"account": "a", "object": "x", "at": T + 60})


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        codecs.BOM_UTF8 + PLAIN.encode(),
        PLAIN.replace(",", ";"),
        "sep=;\r\n" + PLAIN.replace(",", ";").replace("\n", "\r\n"),
        PLAIN.replace(",", "\t"),
        PLAIN.encode("utf-16"),
        gzip.compress(PLAIN.encode(), mtime=0),
        zstandard.ZstdCompressor().compress(PLAIN.encode()),
        "".join(json.dumps(each) + "\n" for each in OBJECTS),
        json.dumps(OBJECTS),
        re.sub(r"(\d{10})", r"\1.0", PLAIN),
        PLAIN.replace("account,object,at", "account_id,object_id,timestamp_share"),
        PLAIN.replace("account,object,at", " Author_ID ,Object_Id,created_at_unix"),
    ],
    ids=[
        "csv", "bom", "semicolons", "sep", "tabs", "utf16", "gzip", "zstd", "lines", "array", "floats", "coortweet",
        "capitals",
    ],
)  # fmt: skip
def test_one_table_in_many_forms_is_one_table(tmp_path: Path, content: str | bytes) -> None:
    table = read(written(tmp_path, content))
    assert rows(table) == PLAIN_ROWS
    assert table.reading.used == table.reading.rows == 3
    assert [column.dtype for column in table[:4]] == [np.int64, np.int32, np.uint8, np.int64]


def test_a_parquet_table_is_read_with_its_types(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {"account": ["b", "a", "a"], "object": [[7], [8], [7]], "at": [float(T), float(T), float(T + 60)]}
    parquet.write_table(arrow.table(columns), tmp_path / "t.parquet")
    expected = [(at, who, kind, {"x": "7", "y": "8"}[item]) for at, who, kind, item in PLAIN_ROWS]
    assert rows(read(tmp_path / "t.parquet")) == sorted(expected)


def test_several_files_are_one_table(tmp_path: Path) -> None:
    one = written(tmp_path, f"account,object,at\nb,x,{T}\n", "1.csv")
    two = written(tmp_path, "".join(json.dumps(each) + "\n" for each in OBJECTS[1:]), "2.jsonl")
    table = read_tables([one, two], kind=REPOST, now_ms=NOW_MS)
    assert rows(table) == PLAIN_ROWS
    assert table.reading.rows == 3


def test_every_row_is_accounted_for(tmp_path: Path) -> None:
    good = "".join(f"a,x{n},{T}\n" for n in range(8))
    bad = f",z,{T}\nq,,{T}\nq,NA,{T}\nq,z,\nq,z,morning\nq,z,{T},9\nq\nq,z,3\n"
    reading = read(written(tmp_path, "account,object,at\n" + good + bad)).reading
    assert reading.rows == 16
    assert {why: n for why, n in reading.skipped.items() if n} == {
        "account missing": 1,
        "object missing": 2,
        "time missing": 1,
        "time unreadable": 1,
        "time before 2000 or in the future": 1,
        "row broken": 2,
    }
    assert "16 rows: 8 used (8 traces), 1 skipped: account missing" in reading.sentence()


def test_broken_lines_of_json_are_counted(tmp_path: Path) -> None:
    lines = "".join(json.dumps(each) + "\n" for each in OBJECTS) + '{"account": \n'
    reading = read(written(tmp_path, lines)).reading
    assert (reading.rows, reading.used, reading.skipped["row broken"]) == (4, 3, 1)


def test_less_than_half_is_refused_with_the_reasons(tmp_path: Path) -> None:
    with pytest.raises(UnusableError, match="of 3 rows 1 could be used \\(2 object missing\\)"):
        read(written(tmp_path, f"account,object,at\na,x,{T}\na,,{T}\na,,{T}\n"))


@pytest.mark.parametrize(
    ("cell", "objects"),
    [
        ("""['x', "it's", 'y']""", ["it's", "x", "y"]),
        ('["x", "\\u00e4"]', ["x", "ä"]),
        ("[1, 2]", ["1", "2"]),
        ("['a\\'b']", ["a'b"]),
        ("[x", ["[x"]),
    ],
)
def test_a_list_is_as_many_objects(tmp_path: Path, cell: str, objects: list[str]) -> None:
    out = io.StringIO()
    csv.writer(out).writerows([("account", "object", "at"), ("a", cell, T)])
    assert [row[3] for row in rows(read(written(tmp_path, out.getvalue())))] == objects


TOOLKIT = f"""message_id,user_id,username,repost_id,reply_id,message,timestamp,urls
1,7,ann,,,"Hello  @bob World",{T},http://a.b http://c.d
2,8,bob,1,,"RT hello",{T + 1},http://a.b
3,9,cy,,1,"hello world",{T + 2},
4,9,cy,,,,{T + 3},
"""


def test_a_row_of_the_toolkit_is_traces_of_several_kinds_and_a_repost_of_one(tmp_path: Path) -> None:
    table = read(written(tmp_path, TOOLKIT))
    assert [row[1:] for row in rows(table)] == [
        ("7", "link", "http://a.b"), ("7", "link", "http://c.d"), ("7", "near_duplicate", "hello world"),
        ("8", "repost", "1"), ("9", "reply_target", "1"), ("9", "near_duplicate", "hello world"),
    ]  # fmt: skip
    assert [table.label(n) for n in range(3)] == ["ann", "bob", "cy"]
    assert (table.reading.used, table.reading.bare) == (3, 1)


def test_post_events_are_a_table_too(tmp_path: Path) -> None:
    events = [
        {
            "id": "1",
            "account": "a",
            "at": "2021-01-01T00:00:00Z",
            "kind": "post",
            "urls": ["u", "v"],
            "text": "Hi there",
        },
        {"id": "2", "account": "b", "at": "2021-01-01T00:00:01Z", "kind": "reply", "target": "1"},
        {"id": "3", "account": "c", "at": "2021-01-01T00:00:02Z", "kind": "post", "hashtags": ["h"]},
    ]
    table = read(written(tmp_path, "".join(json.dumps(each) + "\n" for each in events)))
    assert [row[1:] for row in rows(table)] == [
        ("a", "link", "u"), ("a", "link", "v"), ("a", "near_duplicate", "hi there"), ("b", "reply_target", "1"),
        ("c", "hashtag", "h"),
    ]  # fmt: skip


@pytest.mark.parametrize("column", [0, 1, 2])
def test_rounded_numbers_are_refused_with_what_to_do(tmp_path: Path, column: int) -> None:
    row = ["a", "x", str(T)]
    row[column] = ["9.06E+17", "9.06123e+17", "1.62E+12"][column]
    with pytest.raises(UsageError, match=r"rounded numbers .* with this column as text"):
        read(written(tmp_path, "account,object,at\n" + ",".join(row) + "\n"))


def test_floats_that_hold_every_digit_are_ids_and_larger_ones_are_refused(tmp_path: Path) -> None:
    exact = f"account,object,at\n9007199254740991.0,7.0,{T}000000000.0\n"
    assert rows(read(written(tmp_path, exact))) == [(T * 1000, "9007199254740991", "repost", "7")]
    for column in (0, 1):
        row = ["a", "x", str(T)]
        row[column] = "906000000000000000.0"
        with pytest.raises(UsageError, match=r"rounded numbers such as '906000000000000000\.0'"):
            read(written(tmp_path, "account,object,at\n" + ",".join(row) + "\n"))


def test_large_ids_stay_what_they_are(tmp_path: Path) -> None:
    line = f'{{"account": 906123456789012345, "object": 906123456789012346, "at": {T}}}\n'
    assert rows(read(written(tmp_path, line)))[0][1::2] == ("906123456789012345", "906123456789012346")


@pytest.mark.parametrize(("factor", "unit"), [(1, "seconds"), (10**3, "milli"), (10**6, "micro"), (10**9, "nano")])
def test_the_unit_of_times_is_recognised(tmp_path: Path, factor: int, unit: str) -> None:
    table = read(written(tmp_path, f"account,object,at\na,x,{T * factor}\n"))
    assert int(table.at[0]) == T * 1000
    assert any(unit in note for note in table.reading.notes)


@pytest.mark.parametrize("when", ["1000", str(T + 10**9)])
def test_implausible_times_are_refused_unless_their_unit_is_named(tmp_path: Path, when: str) -> None:
    path = written(tmp_path, f"account,object,at\na,x,{when}\n")
    with pytest.raises(UsageError, match="before 2000 or in the future; name their unit"):
        read(path)
    assert int(read(path, unit="s").at[0]) == 1000 * int(when)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2021-06-16T22:04:51.5Z", T * 1000 + 500),
        ("2021-06-17 00:04:51+02:00", T * 1000),
        ("2021-06-16 22:04:51", T * 1000),
        ("Wed Jun 16 22:04:51 +0000 2021", T * 1000),
    ],
)
def test_times_are_read_as_people_write_them(tmp_path: Path, text: str, ms: int) -> None:
    table = read(written(tmp_path, f"account,object,at\na,x,{text}\n"))
    assert int(table.at[0]) == ms
    assert any("without a zone" in note for note in table.reading.notes) == (text == "2021-06-16 22:04:51")


def test_kinds_are_read_and_unknown_ones_counted(tmp_path: Path) -> None:
    table = read(written(tmp_path, f"account,object,at,kind\na,x,{T},LINK\nb,x,{T},\nc,x,{T},telepathy\n"))
    assert [row[2] for row in rows(table)] == ["link", "repost"]
    assert table.reading.skipped["unknown kind"] == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        (codecs.BOM_UTF8, "is empty"),
        (PLAIN.replace("\n", "\r"), "old Macintoshes"),
        (b"BZh91AY&SY", "compressed by bzip2"),
        (gzip.compress(b"t.csv" + bytes(252) + b"ustar\x0000" + bytes(248), mtime=0), "is a tar archive"),
        ('{"a":' * 50_000, "holds no JSON objects"),
        (PLAIN.replace(str(T), "1/2/2026 10:01"), "such as '1/2/2026 10:01', cannot be read: .*at_format"),
        (b"PK\x03\x04..", "save the table as CSV"),
        (gzip.compress(PLAIN.encode(), mtime=0)[:-12], "cannot be read"),
        ("a,b,c\n1,2,3\n", "which column is the account\\? Its columns are a, b, c"),
        ("account,object,at\n", "of 0 rows 0 could be used"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: str | bytes, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read(written(tmp_path, content))


def test_a_file_that_is_not_there_and_columns_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"missing\.csv: cannot be read \(No such file or directory\)$"):
        read(tmp_path / "missing.csv")
    with pytest.raises(UsageError, match=r"cannot be read \(Is a directory\)$"):
        read(tmp_path)
    with pytest.raises(UsageError, match="has no column 'who'"):
        read(written(tmp_path, PLAIN), "who,object,at")


def test_any_file_name_is_a_name_and_no_pattern(tmp_path: Path) -> None:
    written(tmp_path, PLAIN, "other.csv")
    assert read(written(tmp_path, PLAIN, "o'*[a]?.csv")).reading.rows == 3


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=8))
def test_any_names_come_out_as_they_went_in(tmp_path: Path, pairs: list[tuple[str, str]]) -> None:
    lines = [{"account": "q" + a, "object": "q" + b, "at": T} for a, b in pairs]
    path = written(tmp_path, "".join(json.dumps(each) + "\n" for each in lines), "n.jsonl")
    expected = sorted((f"q{a}".rstrip(" \t\r\n"), f"q{b}".rstrip(" \t\r\n")) for a, b in pairs)
    assert [row[1::2] for row in rows(read(path))] == expected


@given(st.lists(st.text(max_size=5)))
def test_names_are_a_sequence(names: list[str]) -> None:
    kept = Names.of(names)
    assert (kept[:], len(kept)) == (names, len(names))
    if names:
        assert kept[-1] == names[-1]
    with pytest.raises(IndexError):
        kept[len(names)]
