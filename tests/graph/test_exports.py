"""Networks as files that other tools read, and hostile names in them."""

from __future__ import annotations

import csv
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detector.errors import UsageError
from graph.exports import Network, beside, require_endings, write_edges, write_graphml, write_json, write_nodes

GRAPHML = "{http://graphml.graphdrawing.org/xmlns}"


def network(names: list[str]) -> Network:
    """A chain of accounts, the first two of one group."""
    n = len(names)
    number = np.arange(n)
    strength, weight = np.array(1.0 / (number + 1.0), np.float64), np.array((number[1:] + 1) * 1.5, np.float64)
    return Network(
        names, [f"label of {name}" for name in names], np.where(number < 2, 1, 0), strength,
        number[:-1], number[1:], number[1:] + 2, weight,
    )  # fmt: skip


def test_graphml_has_every_account_and_tie(tmp_path: Path) -> None:
    write_graphml(tmp_path / "n.graphml", network(["a", "<&\"'>", "c"]))
    root = ElementTree.parse(tmp_path / "n.graphml").getroot()
    keys = {key.get("id"): key.get("attr.type") for key in root.iter(f"{GRAPHML}key")}
    assert keys == {"label": "string", "group": "int", "strength": "double", "weight": "double", "objects": "int"}
    nodes = {node.get("id"): {data.get("key"): data.text for data in node} for node in root.iter(f"{GRAPHML}node")}
    assert nodes["<&\"'>"] == {"label": "label of <&\"'>", "group": "1", "strength": "0.5000"}
    edges = [
        (edge.get("source"), edge.get("target"), [data.text for data in edge]) for edge in root.iter(f"{GRAPHML}edge")
    ]
    assert edges == [("a", "<&\"'>", ["3.000", "3"]), ("<&\"'>", "c", ["4.500", "4"])]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.text(st.characters(), max_size=6), min_size=2, max_size=4, unique=True))
def test_graphml_of_any_names_is_xml(tmp_path: Path, names: list[str]) -> None:
    write_graphml(tmp_path / "n.graphml", network(names))
    assert len(list(ElementTree.parse(tmp_path / "n.graphml").getroot().iter(f"{GRAPHML}node"))) == len(names)


def test_tables_have_the_columns_that_gephi_imports(tmp_path: Path) -> None:
    write_nodes(tmp_path / "n.csv", network(["a", "b", "c"]))
    write_edges(tmp_path / "e.csv", network(["a", "b", "c"]))
    with (tmp_path / "n.csv").open(newline="") as file:
        assert list(csv.reader(file))[:2] == [["Id", "Label", "Group", "Strength"], ["a", "label of a", "1", "1.0000"]]
    with (tmp_path / "e.csv").open(newline="") as file:
        assert list(csv.reader(file))[:2] == [
            ["Source", "Target", "Type", "Weight", "Objects"], ["a", "b", "Undirected", "3.000", "3"],
        ]  # fmt: skip


def test_a_spreadsheet_runs_no_name_and_handles_stay_handles(tmp_path: Path) -> None:
    names = ["=1+1", "+cmd|' /C calc'!A0", "@SUM(1)", "@user", "-quiet-", "+4912345"]
    write_nodes(tmp_path / "n.csv", network(names))
    with (tmp_path / "n.csv").open(newline="") as file:
        cells = [row[0] for row in csv.reader(file)][1:]
    assert cells == ["'=1+1", "'+cmd|' /C calc'!A0", "'@SUM(1)", "@user", "-quiet-", "+4912345"]


def test_parquet_tables_hold_the_same(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write_nodes(tmp_path / "n.parquet", network(["a", "b", "c"]))
    write_edges(tmp_path / "e.parquet", network(["a", "b", "c"]))
    assert parquet.read_table(tmp_path / "n.parquet").to_pylist()[1] == {
        "id": "b", "label": "label of b", "group": 1, "strength": 0.5,
    }  # fmt: skip
    assert parquet.read_table(tmp_path / "e.parquet").to_pylist()[1] == {
        "source": "b", "target": "c", "weight": 4.5, "objects": 4,
    }  # fmt: skip


def test_an_empty_network_is_a_file_too(tmp_path: Path) -> None:
    for write, name in ((write_graphml, "n.graphml"), (write_nodes, "n.csv"), (write_edges, "e.parquet")):
        write(tmp_path / name, network([]))
        assert (tmp_path / name).stat().st_size > 0


def test_what_was_there_stays_until_the_new_file_is_whole(tmp_path: Path) -> None:
    place = tmp_path / "r.json"
    place.write_text("old")
    with pytest.raises(UsageError, match="cannot be written"), beside(place) as half:
        (half / "no folder").write_text("half")
    assert place.read_text() == "old"
    write_json(place, {"name": "\udc80"})
    assert [each.name for each in tmp_path.iterdir()] == ["r.json"]
    with pytest.raises(UsageError, match=r"none/r\.json: cannot be written"):
        write_json(tmp_path / "none" / "r.json", {})


def test_endings_and_folders_are_checked_before_the_work(tmp_path: Path) -> None:
    require_endings([("--nodes", tmp_path / "n.CSV", (".csv", ".parquet")), ("--out", None, (".json",))])
    with pytest.raises(UsageError, match=r"--nodes .*n\.xlsx: the name has to end in \.csv or \.parquet"):
        require_endings([("--nodes", tmp_path / "n.xlsx", (".csv", ".parquet"))])
    with pytest.raises(UsageError, match="there is no folder"):
        require_endings([("--out", tmp_path / "x" / "n.json", (".json",))])
