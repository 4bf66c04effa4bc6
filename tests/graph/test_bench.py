"""The table that `graph.bench table` makes: as many rows as asked, in no order, with teams that share links at once."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import duckdb
import pytest

from graph.bench import write_shares


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_has_its_rows_and_its_teams(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"shares.{ending}"
    write_shares(path, 20_000, 0)
    with duckdb.connect() as database:
        database.execute(f"CREATE VIEW shares AS SELECT * FROM '{path}'")
        rows = database.execute("SELECT count(*), count(DISTINCT account), count(DISTINCT link) FROM shares").fetchone()
        teams = database.execute(
            "SELECT min(n), max(n), max(lasted) FROM (SELECT count(DISTINCT account) AS n, "
            "max(shares.at) - min(shares.at) AS lasted FROM shares WHERE link LIKE '%team-%' GROUP BY link)"
        ).fetchone()
        times = [row[0] for row in database.execute("SELECT shares.at FROM shares").fetchall()]
    assert rows is not None
    assert rows[0] == 20_000
    assert 400 < rows[1] < 1_200
    assert 1_000 < rows[2] < 10_001
    assert teams is not None
    assert teams[:2] == (10, 10)
    assert teams[2] <= 60
    assert sum(one > other for one, other in pairwise(times)) > 1_000
