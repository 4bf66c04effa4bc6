"""`coordinate`: groups and pairs of accounts in a table of who shared what, and when."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from detector.errors import UsageError
from graph.co_sharing import MAX_OBJECT, find_pairs, pairs_want
from graph.coordination import find_groups
from graph.exports import Network, require_endings, write_edges, write_graphml
from graph.table_layouts import given_or_refused
from graph.tables import TimeUnit, read_tables
from graph.trace_table import SHARED, RowCounts
from streaming.ingest_cli import ingest
from streaming.schema.flat_rows import Row
from swarmlight.recordings import Recording
from swarmlight.records import Records


class Coordination(NamedTuple):
    """What was found in a table.

    Args:
        groups: of accounts, accepted ones first; where pairs were asked for, none.
        pairs: that share enough, where they were asked for.
        network: of accepted groups, or of pairs.
        reading: what became of the rows.
    """

    groups: Records[dict[str, Any]]
    pairs: Records[dict[str, Any]]
    network: Network
    reading: RowCounts

    def save_network(self, path: str | Path) -> None:
        """Write the network as `.graphml`, or its ties as `.csv` or `.parquet`.

        Raises:
            UsageError: another ending, or it cannot be written.
        """
        place = Path(path)
        require_endings([("the network", place, (".graphml", ".csv", ".parquet"))])
        (write_graphml if place.suffix.lower() == ".graphml" else write_edges)(place, self.network)


def coordinate(
    tables: str | Path | Recording | Sequence[str | Path],
    *,
    columns: str = "",
    kind: str = "repost",
    time_unit: TimeUnit = "auto",
    target_fdr: float = 0.05,
    min_shared: int | None = None,
    window_s: float = 60.0,
    max_object: int = MAX_OBJECT,
    seed: int = 0,
) -> Coordination:
    """Groups of accounts that act together, with an error rate by decoys; or pairs by the definition of other tools.

    Args:
        tables: CSV, JSON or Parquet files of any size, or a recording, whose events say who shared what.
        columns: columns of account, object, time and perhaps kind, with commas between; recognised where "".
        kind: of rows that have none.
        time_unit: of times that are numbers.
        target_fdr: share of the accepted groups that may be false.
        min_shared: list pairs that share so many objects instead of groups.
        window_s: within which a pair shares an object, seconds.
        max_object: for pairs, objects shared more often are left out.
        seed: of the decoys.

    Raises:
        UsageError: a table cannot be read, or its columns, ids or times cannot be what they should be.
        UnusableError: less than half of the rows can be used.
    """
    if not 0 < target_fdr < 1:
        raise UsageError(f"target_fdr {target_fdr:g}: must lie between 0 and 1, for instance 0.05")
    if min_shared is not None and (min_shared < 1 or window_s < 0 or max_object < 2):
        raise UsageError("min_shared has to be at least 1, window_s at least 0, max_object at least 2")
    with TemporaryDirectory(prefix="swarmlight-") as folder:
        if isinstance(tables, Recording):
            paths = [Path(folder) / "events.jsonl"]
            ingest(tables.paths, paths[0], format_name=tables.format)
        else:
            paths = [Path(tables)] if isinstance(tables, str | Path) else [Path(path) for path in tables]
        table = read_tables(
            paths,
            columns=columns,
            kind=given_or_refused("kind", kind),
            unit=time_unit,
            now_ms=time.time_ns() // 1_000_000,
            wanted=SHARED if min_shared is None else pairs_want(window_s, max_object),
        )
    if min_shared is not None:
        by_definition = find_pairs(table, min_shared, window_s, max_object)
        return Coordination(_groups([]), _pairs(by_definition.pairs), by_definition.network, table.reading)
    found = find_groups(table, target_fdr, seed)
    return Coordination(_groups(found.groups), _pairs([]), found.network, table.reading)


_GROUP = ("number", "accepted", "decoy_q", "contrast", "members", "accounts", "shared_objects", "from", "to")


def _groups(groups: Sequence[dict[str, Any]]) -> Records[dict[str, Any]]:
    return Records(groups, _GROUP, _group_row)


def _group_row(group: dict[str, Any]) -> Row:
    names = [member["account"] for member in group["members"]]
    plain: Row = {name: group[name] for name in _GROUP if name not in ("members", "accounts")}
    return plain | {"members": len(names), "accounts": json.dumps(names, ensure_ascii=False)}


def _pairs(pairs: Sequence[dict[str, Any]]) -> Records[dict[str, Any]]:
    return Records(pairs, ("a", "b", "count"), dict)
