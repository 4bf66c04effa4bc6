"""Traces as sorted arrays, of a database that holds them: all of them, or those that are wanted.

A search needs few of the traces of a large table: those on objects that somebody else used too, or within a minute.
What is wanted is chosen while the traces are still in DuckDB, on disk where memory does not suffice, so that the memory
of everything after it grows with what is shared, not with the rows that were read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, overload

import msgspec
import numpy as np
from numpy.typing import NDArray

from detector.errors import UsageError
from graph.traces import KIND_TABLE

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

NAMES_AT_ONCE: Final = 100_000
"""Names fetched at once."""

Integers: TypeAlias = NDArray[np.int64]


class Names(Sequence[str]):
    """Names by number, ascending, as UTF-8 in one buffer: fifty million take their bytes and eight more each.

    Args:
        data: all names, one after the other.
        ends: where each ends in `data`, shape (names,).
    """

    def __init__(self, data: bytes, ends: Integers) -> None:
        self._data, self._ends = data, ends

    @classmethod
    def of(cls, names: Sequence[str]) -> Names:
        """The same names, kept so."""
        encoded = [name.encode("utf-8", "surrogatepass") for name in names]
        return cls(b"".join(encoded), np.cumsum([len(name) for name in encoded], dtype=np.int64))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[n] for n in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        start = int(self._ends[number - 1]) if number else 0
        return self._data[start : int(self._ends[number])].decode("utf-8", "surrogatepass")


class RowCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the rows that were read.

    Args:
        rows: how many there were.
        used: of them, those that gave at least one trace.
        bare: of them, those in which nothing was shared, where that is ordinary.
        skipped: number of the others, by reason.
        traces: how many traces there are.
        notes: what was taken for granted: columns, units, zones.
    """

    rows: int = 0
    used: int = 0
    bare: int = 0
    skipped: Mapping[str, int] = msgspec.field(default_factory=dict)
    traces: int = 0
    notes: tuple[str, ...] = ()

    def sentence(self) -> str:
        """Where every row went, in a line."""
        parts = [f"{self.used:,} used ({self.traces:,} traces)"]
        if self.bare:
            parts.append(f"{self.bare:,} that share nothing")
        parts += [f"{count:,} skipped: {why}" for why, count in self.skipped.items() if count]
        return f"{self.rows:,} rows: " + ", ".join(parts)


class Wanted(NamedTuple):
    """Which traces of a table are given; the others are read and counted.

    Args:
        kinds: numbers of the kinds; None for all.
        shared: those on objects with several traces alone.
        within_ms: those alone that have another trace on the same object within so long; None for any.
        max_object: traces of an object beyond which it is left out, and counted; None for any.
    """

    kinds: tuple[int, ...] | None = None
    shared: bool = False
    within_ms: int | None = None
    max_object: int | None = None


EVERYTHING: Final = Wanted()
"""All traces."""

SHARED: Final = Wanted(shared=True)
"""The traces that a search for groups looks at; with them alone it finds the same as with all."""


class TraceTable(NamedTuple):
    """Traces in event order: by time, then account, kind and object by name. n traces.

    Args:
        at: times, ms since 1970 UTC, shape (n,), int64.
        account: number of each account in `accounts`, shape (n,), int32.
        kind: place of each kind in `graph.traces.KIND_TABLE`, shape (n,), uint8.
        object: number of each object in `objects`, shape (n,), int64.
        accounts: their names, ascending.
        objects: their names, ascending within each kind; two kinds may have an object of one name.
        object_kind: kind of each object, ascending, shape (objects,), uint8.
        labels: what to show beside the name of an account, "" where nothing; None where no table has such a column.
        reading: what became of the rows.
        capped: objects left out because they have more traces than is wanted, and their traces.
    """

    at: Integers
    account: NDArray[np.int32]
    kind: NDArray[np.uint8]
    object: Integers
    accounts: Names
    objects: Names
    object_kind: NDArray[np.uint8]
    labels: Names | None
    reading: RowCounts
    capped: tuple[int, int] = (0, 0)

    def label(self, account: int) -> str:
        """What to show for an account: its label where it has one, else its name."""
        return (self.labels[account] if self.labels else "") or self.accounts[account]


def reduced(database: DuckDBPyConnection, wanted: Wanted) -> tuple[int, int]:
    """Leave in `traces` what is wanted; how many objects were left out as too large, and their traces.

    What is near another trace is looked for by the hash of an object, which is small. Two objects of one hash, should
    there be such, keep a trace too many, and none too few.

    Raises:
        UsageError: no trace is of a kind that is wanted.
    """
    if wanted.kinds is not None:
        database.execute(f"DELETE FROM traces WHERE kind NOT IN ({', '.join(map(str, wanted.kinds))})")  # noqa: S608
        if not count_of(database, "SELECT count(*) FROM traces"):
            asked = ",".join(KIND_TABLE[number].name for number in wanted.kinds)
            raise UsageError(f"--only {asked}: the table has no record of that kind")
    capped = (0, 0)
    large = ""
    if wanted.max_object is not None:
        database.execute(
            f"""
            CREATE TABLE large AS
            SELECT kind, object, count(*) AS size FROM traces WHERE hash(kind, object) IN (
                SELECT hash(kind, object) FROM traces GROUP BY 1 HAVING count(*) > {wanted.max_object}
            ) GROUP BY 1, 2 HAVING count(*) > {wanted.max_object}
            """  # noqa: S608 - numbers
        )
        found = database.execute("SELECT count(*), coalesce(sum(size), 0) FROM large").fetchone()
        assert found is not None
        capped = int(found[0]), int(found[1])
        large = "WHERE (kind, object) NOT IN (SELECT (kind, object) FROM large)" if capped[0] else ""
    if wanted.within_ms is not None:
        database.execute(
            f"""
            CREATE TABLE near AS SELECT * FROM traces SEMI JOIN (
                SELECT place FROM (
                    SELECT place, lead(ms) OVER w - ms AS ahead, ms - lag(ms) OVER w AS behind
                    FROM (SELECT rowid AS place, hash(kind, object) AS item, ms FROM traces {large})
                    WINDOW w AS (PARTITION BY item ORDER BY ms)
                ) WHERE ahead <= {wanted.within_ms} OR behind <= {wanted.within_ms}
            ) AS found ON traces.rowid = found.place;
            DROP TABLE traces;
            ALTER TABLE near RENAME TO traces;
            """  # noqa: S608 - numbers
        )
    elif large:
        database.execute("DELETE FROM traces WHERE (kind, object) IN (SELECT (kind, object) FROM large)")
    if wanted.shared:
        database.execute(
            """
            CREATE TABLE several AS SELECT traces.* FROM traces SEMI JOIN (
                SELECT kind, object FROM traces GROUP BY 1, 2 HAVING count(*) > 1
            ) AS found USING (kind, object);
            DROP TABLE traces;
            ALTER TABLE several RENAME TO traces;
            """
        )
    return capped


def numbered(database: DuckDBPyConnection, reading: RowCounts, *, labelled: bool) -> TraceTable:
    """The table `traces` as arrays.

    Args:
        database: with `traces`, and `labels` of accounts.
        reading: what became of the rows that it comes from.
        labelled: whether any table had labels.
    """
    count = count_of(database, "SELECT count(*) FROM traces")
    database.execute(
        """
        SET preserve_insertion_order = true;
        CREATE TABLE accounts AS SELECT account, row_number() OVER (ORDER BY account) - 1 AS number
            FROM (SELECT DISTINCT account FROM traces);
        CREATE TABLE objects AS SELECT kind, object, row_number() OVER (ORDER BY kind, object) - 1 AS number
            FROM (SELECT DISTINCT kind, object FROM traces);
        CREATE TABLE coded AS SELECT ms, accounts.number::INTEGER AS account, traces.kind, objects.number AS object
            FROM traces JOIN accounts USING (account) JOIN objects ON (objects.kind, objects.object) =
                (traces.kind, traces.object)
            ORDER BY 1, 2, 3, 4;
        DROP TABLE traces;
        """
    )
    arrays = _columns(database, "coded", ("ms", "account", "kind", "object"), count)
    n_objects = count_of(database, "SELECT count(*) FROM objects")
    object_kind = _columns(database, "(SELECT kind, number FROM objects ORDER BY number)", ("kind",), n_objects)
    labels = None
    if labelled:
        labels = _names(
            database,
            "SELECT coalesce(max(label), '') FROM accounts LEFT JOIN labels USING (account) "
            "GROUP BY number ORDER BY number",
        )
    return TraceTable(
        arrays["ms"],
        arrays["account"],
        arrays["kind"],
        arrays["object"],
        _names(database, "SELECT account FROM accounts ORDER BY number"),
        _names(database, "SELECT object FROM objects ORDER BY number"),
        object_kind["kind"],
        labels,
        reading,
    )


def _columns(database: DuckDBPyConnection, table: str, names: Sequence[str], rows: int) -> dict[str, Any]:
    found = database.execute(f"SELECT {', '.join(names)} FROM {table}").fetchnumpy()  # noqa: S608 - our own names
    assert all(len(found[name]) == rows for name in names)
    return {name: np.asarray(found[name]) for name in names}


def _names(database: DuckDBPyConnection, query: str) -> Names:
    result = database.execute(query)
    parts: list[bytes] = []
    ends: list[Integers] = []
    total = 0
    while rows := result.fetchmany(NAMES_AT_ONCE):
        encoded = [str(row[0]).encode() for row in rows]
        parts.append(b"".join(encoded))
        ends.append(total + np.cumsum([len(name) for name in encoded], dtype=np.int64))
        total = int(ends[-1][-1])
    return Names(b"".join(parts), np.concatenate(ends) if ends else np.zeros(0, np.int64))


def count_of(database: DuckDBPyConnection, query: str) -> int:
    found = database.execute(query).fetchone()
    assert found is not None
    return int(found[0])
