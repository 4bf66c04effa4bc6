"""Who saw what: exposures as columns, and their file.

An exposure is one post that one person has come past in one feed. Its post is the serial number of the event (the event
`e` and the number in hexadecimal digits in the simulator's output), its accounts are rows of the population.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType

import duckdb
import numpy as np
from numpy.typing import NDArray

from detector.errors import UsageError
from simulation.feeds.posts import Scores
from simulation.sampling import Flags, Ints, Rows


@dataclass
class Exposures:
    """Columns of shape (exposures,), in order of reading sessions; 31 bytes an exposure.

    reader, author: accounts; post: serial of the event; at: ms since 1970; place: in the feed, from 0; algorithm: index
    of `FeedPlan.names`; labelled: whether it carried a warning; appeal: probability that this reader reacts to the post
    when it is read (`reading`); rating: of the post against democratic values, 0 to 1.
    """

    reader: Rows
    author: Rows
    post: Ints
    at: Ints
    place: NDArray[np.uint8]
    algorithm: NDArray[np.uint8]
    labelled: Flags
    appeal: Scores
    rating: Scores

    def __len__(self) -> int:
        return len(self.reader)

    def where(self, mask: Flags) -> Exposures:
        """The exposures of `mask`."""
        return Exposures(**{column.name: getattr(self, column.name)[mask] for column in fields(self)})

    @staticmethod
    def joined(several: Sequence[Exposures]) -> Exposures:
        """All exposures of several steps, one after another."""
        everything = [Exposures.none(), *several]
        return Exposures(
            **{f.name: np.concatenate([getattr(one, f.name) for one in everything]) for f in fields(Exposures)}
        )

    @staticmethod
    def none() -> Exposures:
        """No exposures."""
        kinds = {
            "reader": np.int32, "author": np.int32, "post": np.int64, "at": np.int64, "place": np.uint8,
            "algorithm": np.uint8, "labelled": bool, "appeal": np.float32, "rating": np.float32,
        }  # fmt: skip
        return Exposures(**{name: np.zeros(0, kind) for name, kind in kinds.items()})


class ExposureFile:
    """Exposures as a Parquet file, written at the end; until then they are on the disk and not in memory.

    Args:
        path: of the file.
        names: of the algorithms, by index.

    Raises:
        UsageError: it cannot be written.
    """

    def __init__(self, path: Path, names: Iterable[str]) -> None:
        if not os.access(path.parent, os.W_OK) or path.is_dir():
            raise UsageError(
                f"{path}: exposures cannot be written there: name a file in a folder that may be written to"
            )
        self._path = path
        self._folder = tempfile.TemporaryDirectory()
        self._rows = duckdb.connect(str(Path(self._folder.name) / "exposures.duckdb"))
        kinds = "', '".join(name.replace("'", "''") for name in names)
        self._rows.execute(f"CREATE TYPE algorithms AS ENUM ('{kinds}')")
        self._rows.execute(
            'CREATE TABLE exposures (reader INTEGER, author INTEGER, post BIGINT, "at" TIMESTAMP_MS, place UTINYINT, '
            "algorithm algorithms, labelled BOOLEAN, appeal FLOAT, rating FLOAT)"
        )

    def write(self, exposures: Exposures) -> None:
        """Append exposures."""
        if len(exposures):
            columns = {column.name: getattr(exposures, column.name) for column in fields(exposures)}
            self._rows.register("step", columns)
            self._rows.execute(
                'INSERT INTO exposures SELECT reader, author, post, epoch_ms("at"), place, '
                "enum_range(NULL::algorithms)[algorithm::INTEGER + 1], labelled, appeal, rating FROM step"
            )
            self._rows.unregister("step")

    def __enter__(self) -> ExposureFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if kind is None:
                part = self._path.with_name(self._path.name + ".part")
                target = str(part).replace("'", "''")
                self._rows.execute(f"COPY exposures TO '{target}' (FORMAT parquet, COMPRESSION zstd)")
                part.replace(self._path)
        except duckdb.Error as problem:
            raise UsageError(f"{self._path}: exposures cannot be written: {str(problem).splitlines()[0]}") from None
        finally:
            self._rows.close()
            self._folder.cleanup()
