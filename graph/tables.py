"""Tables of who shared what, and when: read from CSV, JSON and Parquet files of any size into sorted arrays.

`read_tables` takes the files that toolkits and spreadsheets write and gives a `TraceTable`: one row for each trace, in
event order, accounts and objects as numbers with their names beside. DuckDB reads, joins and sorts, on disk where
memory does not suffice; what the result itself takes is 21 bytes a trace and the bytes of the names. Who needs a part
of the traces (`Wanted`) gets that part: the others never leave the disk.

Nothing is lost in silence: every row is used or counted under a reason (`RowCounts`), and a table is refused with what
to do where its numbers cannot be what they seem: ids that a spreadsheet rounded (`9.06E+17`), times in another unit.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from detector.errors import UnusableError, UsageError
from detector.times import AT_MAX, rfc3339
from graph.table_files import TableInput, member_path, opened, source_of, unreadable
from graph.table_layouts import ACTIONS, EVENTS, Form, Layout, layout_of
from graph.trace_table import EVERYTHING, RowCounts, TraceTable, Wanted, count_of, numbered, reduced
from graph.traces import DAY_MS, KIND_TABLE

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

TimeUnit: TypeAlias = Literal["auto", "s", "ms", "us", "ns"]
"""Of times that are numbers since 1970 UTC; `auto` takes the unit of most of a file's numbers, by their size."""

UNITS: Final[tuple[TimeUnit, ...]] = ("auto", "s", "ms", "us", "ns")

_PER_MS: Final[Mapping[TimeUnit, float]] = {"s": 1e-3, "ms": 1.0, "us": 1e3, "ns": 1e6}

_UNIT_WORDS: Final = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}

_SMALLEST: Final[Mapping[TimeUnit, float]] = {"s": 0.0, "ms": 1e11, "us": 1e14, "ns": 1e17}
"""A number from here on is of this unit: 1e11 is 1973 in milliseconds, and the year 5138 in seconds."""

EARLIEST_MS: Final = 946_684_800_000
"""2000-01-01: nothing that is studied for coordination is older, and numbers of another unit are."""

AHEAD_MS: Final = DAY_MS
"""How far beyond now a time may lie: clocks and zones are wrong by hours."""

EMPTY: Final = ("", "NA", "N/A", "<NA>", "NaN", "nan", "null", "NULL", "None")
"""What R, pandas and databases write where there is nothing; as an account it would be one that did everything."""

_ROUNDED: Final = r"[+-]?\d(\.\d+)?[eE]\+?(1[1-9]|[2-9]\d|\d{3,})"
"""A number as spreadsheets write it from twelve digits on: the last digits are gone, and different ids are equal."""

EXACT: Final = 2**53
"""Beyond it not every whole number is a float: ids that were floats are not what they were."""

_QUOTED: Final = r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\s,\[\]'"]+)"""
"""An element of a list as Python writes it."""


_X_DATE: Final = "%a %b %d %H:%M:%S %z %Y"
"""How X (Twitter) 1.1 writes times: `Thu Jul 28 16:10:07 +0000 2022`."""

MEMORY: Final = "3GB"
"""What DuckDB may hold before it uses the disk: with what it holds besides, and the traces that are wanted of a hundred
million rows beside it, the process stays below 8 GB."""

_WHY: Final = (
    "account missing",
    "object missing",
    "time missing",
    "time unreadable",
    "time before 2000 or in the future",
    "unknown kind",
)
"""Why a row is skipped; the first that holds counts. A place in it is the number in the column `why`."""

UNREADABLE: Final = "row broken"
"""Rows that have not as many fields as the header, or are no UTF-8 or no JSON."""


def read_tables(
    paths: Sequence[Path],
    *,
    columns: str = "",
    kind: int,
    unit: TimeUnit = "auto",
    now_ms: int,
    wanted: Wanted = EVERYTHING,
) -> TraceTable:
    """Read tables of traces.

    Args:
        paths: CSV with `,`, `;`, tabs or `|`, one JSON object a line or an array of them, or Parquet; compressed by
            gzip or zstd or not; `-` is standard input. What a file is, is seen by its content.
        columns: names of the columns of account, object, time and perhaps kind, with commas between; "" recognises
            them (`graph.table_layouts`).
        kind: number of the kind of rows that have none.
        unit: of times that are numbers; one that is named is believed, whatever times it gives.
        now_ms: the present, ms since 1970: what lies beyond it is no time of a trace.
        wanted: which traces are given.

    Raises:
        UsageError: a file that cannot be read, or whose columns, ids or times cannot be what they should be; no trace
            is of a kind that is wanted.
        UnusableError: less than half of the rows could be used.
    """
    import duckdb

    with tempfile.TemporaryDirectory(prefix="swarmlight-") as folder, _at_work(folder) as database:
        _define(database)
        reading = RowCounts()
        labelled = False
        for number, path in enumerate(paths):
            try:
                file = opened(path, Path(folder), number)
                layout = layout_of(file.header, columns, file.shown)
                if layout is EVENTS and file.kind not in ("lines", "array"):
                    raise UsageError(f"{file.shown}: post events are read as JSON; name columns with --columns")
                _load(database, file, layout)
                reading = _take(database, file, layout, (kind, unit, now_ms), reading)
                database.execute("DROP VIEW staged; DROP TABLE raw")
            except duckdb.Error as error:
                raise unreadable(path, error) from None
            labelled = labelled or bool(layout.label)
        _check(reading)
        try:
            capped = reduced(database, wanted)
            return numbered(database, reading, labelled=labelled)._replace(capped=capped)
        except duckdb.Error as error:
            raise unreadable(Path(folder), error) from None


@contextmanager
def _at_work(folder: str) -> Iterator[DuckDBPyConnection]:
    """A database in `folder` that fetches nothing from outside."""
    import duckdb

    options: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY,
        "temp_directory": folder,
        "autoinstall_known_extensions": False,
    }
    database = duckdb.connect(":memory:", config=options)
    try:
        yield database
    finally:
        database.close()


def _define(database: DuckDBPyConnection) -> None:
    """The words in which the statements below are written."""
    database.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false; SET enable_progress_bar = false")
    empty = ", ".join(f"'{word}'" for word in EMPTY)
    longest = max(map(len, EMPTY))
    database.execute(
        f"""
        CREATE MACRO tidy(x) AS
            CASE WHEN ord(x) <= 32 OR ord(right(x, 1)) <= 32 THEN trim(x, E' \\t\\r\\n') ELSE x END;
        CREATE MACRO empty(x) AS CASE WHEN strlen(x) <= {longest} THEN x IN ({empty}) ELSE x IS NULL END;
        CREATE MACRO filled(x) AS CASE WHEN NOT empty(x) THEN x END;
        CREATE MACRO named(x) AS CASE WHEN empty(x) THEN NULL
            WHEN suffix(x, '.0') AND abs(try_cast(x AS DOUBLE)) < {EXACT}
            THEN regexp_replace(x, '^(\\d+)\\.0$', '\\1') ELSE x END;
        CREATE MACRO rounded(x) AS
            CASE WHEN ord(x) < 58 THEN coalesce(regexp_full_match(x, '{_ROUNDED}'), false) ELSE false END;
        CREATE MACRO merged(x) AS rounded(x) OR CASE WHEN ord(x) < 58 AND suffix(x, '.0')
            THEN abs(coalesce(try_cast(x AS DOUBLE), 0)) >= {EXACT} ELSE false END;
        CREATE MACRO spaced(x) AS contains(x, ' ') OR contains(x, chr(9)) OR contains(x, chr(10))
            OR contains(x, chr(12)) OR contains(x, chr(13));
        CREATE MACRO number(x) AS CASE WHEN isfinite(try_cast(x AS DOUBLE)) THEN try_cast(x AS DOUBLE) END;
        CREATE MACRO moment(x) AS coalesce(
            try_cast(x AS TIMESTAMPTZ), try_strptime(x, '{_X_DATE}')::TIMESTAMPTZ);
        CREATE MACRO finite_ms(x) AS CASE WHEN isfinite(x) THEN epoch_ms(x) END;
        CREATE MACRO zoned(x) AS regexp_matches(x, '([Zz]|UTC|GMT|[+-]\\d\\d(:?\\d\\d)?|[+-]\\d{{4}} \\d{{4}})$');
        CREATE MACRO unquoted(x) AS CASE WHEN x[1] IN ('"', '''')
            THEN regexp_replace(x[2:-2], '\\\\(.)', '\\1', 'g') ELSE x END;
        CREATE MACRO elements(x) AS CASE
            WHEN x[1] <> '[' OR x[-1] <> ']' THEN [x]
            WHEN json_valid(x) THEN list_transform(from_json(x, '["JSON"]'), lambda e: e ->> '$')
            ELSE list_transform(regexp_extract_all(x, '{_QUOTED.replace("'", "''")}', 0), lambda e: unquoted(e)) END;
        CREATE MACRO wording(x) AS regexp_replace(regexp_replace(lower(x), '@\\w+', '', 'g'), '\\s+', ' ', 'g');
        CREATE TABLE kinds (name VARCHAR, number UTINYINT);
        CREATE TABLE traces (account VARCHAR, kind UTINYINT, object VARCHAR, ms BIGINT);
        CREATE TABLE labels (account VARCHAR, label VARCHAR);
        """
    )
    given = [(each.name, number) for number, each in enumerate(KIND_TABLE) if each.take is not None]
    numbers = dict(given)
    given += [(action, numbers[name]) for action, name in ACTIONS.items()]
    database.executemany("INSERT INTO kinds VALUES (?, ?)", given)


def _load(database: DuckDBPyConnection, file: TableInput, layout: Layout) -> None:
    """Fill the table `raw` with the columns of `layout` as text: account, label, repost, kind, given (the time), s0,
    s1, ...; beside the time what it is as a number, or else the ms that it says as a date."""
    parameters: list[str] = []

    def column(name: str) -> str:
        if not name:
            return "NULL::VARCHAR"
        if file.kind == "csv":
            return f"c{file.header.index(name)}"
        if file.kind == "parquet":
            return _parquet_text(database, file, name)
        outer, dot, inner = name.partition(".")
        parameters.extend([member_path(name)] + ([member_path(outer) + member_path(inner)[1:]] if dot else []))
        return "coalesce(json ->> ?, json ->> ?)" if dot else "(json ->> ?)"

    wanted = [layout.account, layout.label, layout.repost, layout.kind, layout.at, *(s.column for s in layout.shared)]
    texts = [column(name) for name in wanted]
    places = range(len(layout.shared))
    tidied = "".join(f", tidy({texts[5 + n]}) AS s{n}" for n in places)
    shared = "".join(f", filled(s{n}) AS s{n}" for n in places)
    source = source_of(file)
    database.execute("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")
    database.execute(
        f"""
        CREATE TABLE raw AS
        SELECT named(account) AS account, filled(label) AS label, filled(repost) AS repost, filled(kind) AS kind,
            filled(given) AS given, number(given) AS number,
            CASE WHEN number(given) IS NULL THEN finite_ms(moment(filled(given))) END AS dated, broken{shared}
        FROM (
            SELECT tidy({texts[0]}) AS account, tidy({texts[1]}) AS label, tidy({texts[2]}) AS repost,
                tidy({texts[3]}) AS kind, tidy({texts[4]}) AS given,
                {"json IS NULL" if file.kind == "lines" else "false"} AS broken{tidied}
            FROM {source}
        )
        """,  # noqa: S608 - columns by place or quoted, values as parameters
        [*parameters, file.path],
    )


def _parquet_text(database: DuckDBPyConnection, file: TableInput, name: str) -> str:
    """A column of a Parquet file as text: whole numbers without a point, lists as JSON."""
    quoted = '"' + name.replace('"', '""') + '"'
    found = database.execute(
        f"SELECT typeof({quoted}) FROM read_parquet(?) LIMIT 1",  # noqa: S608 - quoted
        [file.path],
    ).fetchone()
    kind = str(found[0]) if found else "VARCHAR"
    if kind in ("DOUBLE", "FLOAT"):
        exact = f"{quoted} = floor({quoted}) AND abs({quoted}) < {EXACT}"
        return f"CASE WHEN {exact} THEN {quoted}::BIGINT::VARCHAR ELSE {quoted}::VARCHAR END"
    return f"to_json({quoted})::VARCHAR" if kind.endswith("]") else f"{quoted}::VARCHAR"


def _take(
    database: DuckDBPyConnection, file: TableInput, layout: Layout, how: tuple[int, TimeUnit, int], before: RowCounts
) -> RowCounts:
    """Add the traces of `raw` to `traces`, and its rows to `before`.

    Args:
        database: with `raw` filled.
        file: what was read.
        layout: of its columns.
        how: the default kind, the unit of times, and the present.
        before: what was read before.

    Raises:
        UsageError: ids or times that cannot be what they seem.
    """
    kind, unit, now_ms = how
    _refuse_rounded(database, file, layout)
    taken, scale = _unit(database, unit)
    earliest, latest = (EARLIEST_MS, now_ms + AHEAD_MS) if unit == "auto" else (0, AT_MAX)
    filled = [_filled(layout, n) for n in range(len(layout.shared))]
    some = " OR ".join(filled)
    kindless = " OR ".join(f for f, each in zip(filled, layout.shared, strict=True) if not each.kind) or "false"
    database.execute(
        f"""
        CREATE OR REPLACE VIEW staged AS
        WITH timed AS (
            SELECT *, CASE WHEN number IS NOT NULL THEN round(number * {scale}) ELSE dated END AS ms,
                lower(raw.kind) AS asked
            FROM raw WHERE NOT broken
        )
        SELECT timed.*, coalesce(kinds.number, {kind}) AS kind_number, CASE
            WHEN account IS NULL THEN 0
            WHEN NOT ({some}) THEN {"255" if layout.sparse else "1"}
            WHEN given IS NULL THEN 2
            WHEN ms IS NULL THEN 3
            WHEN ms < {earliest} OR ms > {latest} THEN 4
            WHEN asked IS NOT NULL AND kinds.number IS NULL AND ({kindless}) THEN 5
            END AS why
        FROM timed LEFT JOIN kinds ON kinds.name = asked
        """  # noqa: S608 - numbers and columns by place
    )
    counts = dict(database.execute("SELECT coalesce(why, 254), count(*) FROM staged GROUP BY 1").fetchall())
    broken = _broken(database, file)
    skipped = dict(before.skipped)
    for number, why in enumerate(_WHY):
        skipped[why] = skipped.get(why, 0) + counts.get(number, 0)
    skipped[UNREADABLE] = skipped.get(UNREADABLE, 0) + broken
    _refuse_times(database, file, counts, unit)
    traces = _insert(database, layout)
    notes = [f"{file.shown}: columns of {layout.source}"]
    if taken:
        notes.append(f"{file.shown}: times in {_UNIT_WORDS[taken]}")
    if file.encoding != "utf-8":
        notes.append(f"{file.shown}: read as {file.encoding.upper()}")
    if count_of(database, "SELECT count(*) FROM staged WHERE why IS NULL AND number IS NULL AND NOT zoned(given)"):
        notes.append(f"{file.shown}: times without a zone were taken as UTC")
    return RowCounts(
        rows=before.rows + sum(counts.values()) + broken,
        used=before.used + counts.get(254, 0),
        bare=before.bare + counts.get(255, 0),
        skipped=skipped,
        traces=before.traces + traces,
        notes=(*before.notes, *notes),
    )


def _filled(layout: Layout, number: int) -> str:
    """Whether a row has a shared object in a column."""
    shared = layout.shared[number]
    test = f"s{number} IS NOT NULL AND s{number} <> '[]'"
    return f"({test} AND repost IS NULL)" if shared.own and layout.repost else f"({test})"


_ITEMS: Final[Mapping[Form, tuple[tuple[str, str], ...]]] = {
    "one": (("{}", "NOT starts_with({}, '[')"), ("unnest(elements({}))", "starts_with({}, '[')")),
    "words": (("{}", "NOT spaced({})"), ("unnest(string_split_regex({}, '\\s+'))", "spaced({})")),
    "text": (("tidy(wording({}))", "true"),),
}
"""By form of a column: its objects, and of which rows; lists apart, which cost more. What `tidy`, `rounded` and
`spaced` look at first costs less than what it spares nearly all rows."""


def _insert(database: DuckDBPyConnection, layout: Layout) -> int:
    """Add a trace for every shared object of every row that is in order; how many."""
    before = count_of(database, "SELECT count(*) FROM traces")
    for number, shared in enumerate(layout.shared):
        kind = "kind_number" if not shared.kind else str([each.name for each in KIND_TABLE].index(shared.kind))
        for items, which in _ITEMS[shared.form]:
            database.execute(
                f"""
                INSERT INTO traces SELECT account, kind, named(item), ms FROM (
                    SELECT account, {kind} AS kind, {items.format(f"s{number}")} AS item, ms::BIGINT AS ms
                    FROM staged WHERE why IS NULL AND {_filled(layout, number)} AND {which.format(f"s{number}")}
                ) WHERE named(item) IS NOT NULL
                """  # noqa: S608 - columns by place
            )
    if layout.label:
        database.execute(
            "INSERT INTO labels SELECT account, arg_max(label, ms) FROM staged "
            "WHERE label IS NOT NULL AND why IS NULL GROUP BY account"
        )
    return count_of(database, "SELECT count(*) FROM traces") - before


def _broken(database: DuckDBPyConnection, file: TableInput) -> int:
    """Rows of the file that could not be read at all."""
    if file.kind == "csv":
        return count_of(database, "SELECT count(DISTINCT line) FROM reject_errors")
    return count_of(database, "SELECT count(*) FROM raw WHERE broken")


def _refuse_rounded(database: DuckDBPyConnection, file: TableInput, layout: Layout) -> None:
    """Refuse a table whose ids or times have lost their last digits: they merge what is different.

    Raises:
        UsageError: there are such.
    """
    looked = [("account", layout.account, "merged"), ("given", layout.at, "rounded")]
    looked += [(f"s{n}", each.column, "merged") for n, each in enumerate(layout.shared) if each.form == "one"]
    tested = ", ".join(
        f"count(*) FILTER ({test}({column})), min({column}) FILTER ({test}({column}))" for column, _, test in looked
    )
    found = database.execute(f"SELECT {tested} FROM raw").fetchone()  # noqa: S608 - columns by place
    assert found is not None
    for (_, name, _), rounded, such in zip(looked, found[::2], found[1::2], strict=True):
        if rounded:
            raise UsageError(
                f"{file.shown}: {rounded:,} values of column {name!a} are rounded numbers such as {such!a}: their "
                "last digits are lost, and different ids look alike. Export the table again with this column as text "
                "(in a spreadsheet: import it as text; in pandas: dtype=str), and do not save it from a spreadsheet"
            )


def _unit(database: DuckDBPyConnection, unit: TimeUnit) -> tuple[TimeUnit | None, float]:
    """The unit of times that are numbers, None where there are none, and what they are multiplied with to get ms."""
    if unit == "auto":
        order = sorted(_SMALLEST, key=lambda each: -_SMALLEST[each])
        cases = " ".join(f"WHEN abs(number) >= {_SMALLEST[each]} THEN '{each}'" for each in order)
        found = database.execute(
            f"SELECT CASE {cases} END AS unit, count(*) FROM raw WHERE number IS NOT NULL "  # noqa: S608 - numbers
            "GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1"
        ).fetchone()
        if found is None:
            return None, 1.0
        unit = found[0]
    return unit, 1.0 / _PER_MS[unit]


def _refuse_times(database: DuckDBPyConnection, file: TableInput, counts: Mapping[int, int], unit: TimeUnit) -> None:
    """Refuse a file most of whose times are implausible or written in another way than times are read.

    Raises:
        UsageError: most lie before 2000 or in the future.
        UnusableError: most cannot be read.
    """
    if counts.get(3, 0) > counts.get(254, 0):
        such = database.execute("SELECT min(given) FROM staged WHERE why = 3").fetchone()
        assert such is not None
        raise UnusableError(
            f"{file.shown}: {counts[3]:,} times, such as {str(such[0])[:40]!a}, cannot be read: write them as "
            "2026-01-31 10:00:00, or say how they are written, as in --format "
            "'table:account=COLUMN,at=COLUMN,urls=COLUMN,at_format=%d/%m/%Y %H:%M' (docs/how-to/read.md)"
        )
    if not counts.get(4) or counts[4] <= counts.get(254, 0):
        return
    found = database.execute("SELECT min(ms), max(ms), min(given) FROM staged WHERE why = 4").fetchone()
    assert found is not None
    first, last = (rfc3339(min(max(int(ms), 0), AT_MAX))[:10] for ms in found[:2])
    hint = (
        "name their unit with --time-unit s, ms, us or ns; times that count from some other beginning than 1970 are "
        "taken as they are if it is named"
        if unit == "auto"
        else f"they are not in {_UNIT_WORDS[unit]} since 1970: leave --time-unit away, and it is recognised"
    )
    raise UsageError(
        f"{file.shown}: {counts[4]:,} times, such as {str(found[2])!a}, would lie between {first} and {last}, before "
        f"2000 or in the future; {hint}"
    )


def _check(reading: RowCounts) -> None:
    """Refuse input of which less than half could be used.

    Raises:
        UnusableError: it is so.
    """
    if reading.traces and 2 * (reading.used + reading.bare) >= reading.rows:
        return
    reasons = sorted(((n, why) for why, n in reading.skipped.items() if n), reverse=True)
    said = ", ".join(f"{n:,} {why}" for n, why in reasons) or "nobody shared anything"
    raise UnusableError(
        f"of {reading.rows:,} rows {reading.used:,} could be used ({said}); "
        "name the columns with --columns ACCOUNT,OBJECT,TIME[,KIND] if they are others"
        + (
            f"; known kinds are {', '.join(k.name for k in KIND_TABLE if k.take)}"
            if reading.skipped.get(_WHY[5])
            else ""
        )
    )
