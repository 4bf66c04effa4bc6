"""Groups and pairs as files that other tools read: GraphML, CSV and Parquet tables of nodes and edges, JSON.

GraphML opens in Gephi, Cytoscape, igraph and networkx; the CSV tables have the columns that Gephi's import looks for
(`Id`, `Label`; `Source`, `Target`, `Type`, `Weight`). Every file is written beside its place and put there when it is
whole. Names are strangers' text: what XML cannot hold is replaced, and what a spreadsheet would run is made text.
"""

from __future__ import annotations

import csv
import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from detector.errors import UsageError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Network(NamedTuple):
    """Accounts and what ties them, n and m of them.

    Args:
        names: of the accounts, n.
        labels: what to show for each, n.
        group: number of each account's group, from 1; 0 for none, shape (n,).
        strength: of each account's ties to its group, from 0 to 1, shape (n,).
        source: place of one end of each edge, shape (m,).
        target: of the other, shape (m,).
        objects: how many objects both shared, shape (m,).
        nats: how surprising that is; equal to `objects` where nothing was expected, shape (m,).
    """

    names: list[str]
    labels: list[str]
    group: Ints
    strength: Floats
    source: Ints
    target: Ints
    objects: Ints
    nats: Floats


EDGES_AT_ONCE: Final = 100_000
"""Edges that are Python's numbers at once: there may be tens of millions."""

_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 (2.2) cannot hold, not even escaped."""

_FORMULA: Final = re.compile(r"[=+\-@\t\r].*[(|!]|=", re.DOTALL)
"""What a spreadsheet runs: a cell that begins like a formula and calls something (`=cmd|' /C calc'!A0`)."""


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A place beside `path` to write to, which takes its place at the end; nothing is left where that is not reached.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
            place = Path(folder) / path.name
            yield place
            place.replace(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror or error})") from None


def write_json(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result as JSON, its sequences one element at a time.

    Raises:
        UsageError: it cannot be written.
    """
    with beside(path) as place, place.open("w", encoding="utf-8", errors="surrogatepass") as file:
        # With an indent, json goes through lists in Python, as they iterate.
        json.dump(result, file, ensure_ascii=False, indent=1, default=_Elements)
        file.write("\n")


class _Elements(list[Any]):
    """A sequence as the list that `json` takes, whose elements are made when they are written."""

    def __init__(self, made: Sequence[Any]) -> None:
        super().__init__()
        self._made = made

    def __len__(self) -> int:
        return len(self._made)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._made)


def write_graphml(path: Path, network: Network) -> None:
    """Write a network as GraphML (Brandes et al. 2002), undirected.

    Raises:
        UsageError: it cannot be written.
    """
    keys = (
        ("label", "node", "string"), ("group", "node", "int"), ("strength", "node", "double"),
        ("weight", "edge", "double"), ("objects", "edge", "int"),
    )  # fmt: skip
    with beside(path) as place, place.open("w", encoding="utf-8") as file:
        file.write('<?xml version="1.0" encoding="UTF-8"?>\n<graphml xmlns="http://graphml.graphdrawing.org/xmlns">\n')
        for name, of, kind in keys:
            file.write(f'<key id="{name}" for="{of}" attr.name="{name}" attr.type="{kind}"/>\n')
        file.write('<graph edgedefault="undirected">\n')
        for name, label, group, strength in _nodes(network):
            file.write(
                f'<node id={_attribute(name)}><data key="label">{escape(_xml(label))}</data>'
                f'<data key="group">{group}</data><data key="strength">{strength:.4f}</data></node>\n'
            )
        for source, target, nats, objects in _edges(network):
            file.write(
                f"<edge source={_attribute(source)} target={_attribute(target)}>"
                f'<data key="weight">{nats:.3f}</data><data key="objects">{objects}</data></edge>\n'
            )
        file.write("</graph>\n</graphml>\n")


def write_nodes(path: Path, network: Network) -> None:
    """Write a table of accounts, as `.csv` or `.parquet`.

    Raises:
        UsageError: it cannot be written, or is neither.
    """
    rows = list(_nodes(network))
    if path.suffix.lower() == ".parquet":
        names, labels, groups, strengths = (list(column) for column in zip(*rows, strict=True)) if rows else ([],) * 4
        _parquet(
            path,
            {
                "id": np.array(names, object),
                "label": np.array(labels, object),
                "group": np.array(groups, np.int64),
                "strength": np.array(strengths, np.float64),
            },
        )
        return
    _csv(
        path,
        ("Id", "Label", "Group", "Strength"),
        [(*map(safe_cell, row[:2]), row[2], f"{row[3]:.4f}") for row in rows],
    )


def write_edges(path: Path, network: Network) -> None:
    """Write a table of ties, as `.csv` or `.parquet`.

    Raises:
        UsageError: it cannot be written, or is neither.
    """
    if path.suffix.lower() == ".parquet":
        names = np.array([*network.names, ""], object)[:-1]
        _parquet(
            path,
            {
                "source": names[network.source],
                "target": names[network.target],
                "weight": network.nats,
                "objects": network.objects,
            },
        )
        return
    rows = (
        (safe_cell(a), safe_cell(b), "Undirected", f"{nats:.3f}", objects) for a, b, nats, objects in _edges(network)
    )
    _csv(path, ("Source", "Target", "Type", "Weight", "Objects"), rows)


def require_endings(files: Sequence[tuple[str, Path | None, tuple[str, ...]]]) -> None:
    """Refuse files that could not be written, before anything that takes long.

    Args:
        files: option, file and the endings that it may have.

    Raises:
        UsageError: an ending, or a folder that is not there.
    """
    for option, path, endings in files:
        if path is None:
            continue
        if path.suffix.lower() not in endings:
            raise UsageError(f"{option} {path}: the name has to end in {' or '.join(endings)}")
        if not path.parent.is_dir():
            raise UsageError(f"{option} {path}: there is no folder {path.parent}")


def _nodes(network: Network) -> Iterator[tuple[str, str, int, float]]:
    yield from zip(network.names, network.labels, network.group.tolist(), network.strength.tolist(), strict=True)


def _edges(network: Network) -> Iterator[tuple[str, str, float, int]]:
    for begin in range(0, len(network.source), EDGES_AT_ONCE):
        columns = (network.source, network.target, network.nats, network.objects)
        part = (column[begin : begin + EDGES_AT_ONCE].tolist() for column in columns)
        for source, target, nats, objects in zip(*part, strict=True):
            yield network.names[source], network.names[target], nats, objects


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def _attribute(text: str) -> str:
    return quoteattr(_xml(text))


def safe_cell(text: str) -> str:
    """A name as a cell that no spreadsheet runs: one that could be run gets an apostrophe in front."""
    return f"'{text}" if _FORMULA.match(text) else text


def _csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with beside(path) as place, place.open("w", newline="", encoding="utf-8", errors="surrogatepass") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def _parquet(path: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    import duckdb

    with beside(path) as place, duckdb.connect(config={"autoinstall_known_extensions": False}) as database:
        database.register("columns", dict(columns))
        database.execute("COPY (SELECT * FROM columns) TO ? (FORMAT parquet)", [str(place)])
