"""`Records`: results as a sequence of typed records, and as a data frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar, overload

from detector.errors import UsageError
from streaming.schema.flat_rows import Row

if TYPE_CHECKING:
    import pandas as pd

R = TypeVar("R")


class Records(Sequence[R], Generic[R]):
    """Records in order. `records[0]` is one, with its fields as attributes; `to_pandas()` has them all.

    Args:
        items: the records.
        columns: of their data frame.
        row_of: makes its row of a record.
    """

    def __init__(self, items: Sequence[R], columns: Sequence[str], row_of: Callable[[R], Row]) -> None:
        self._items = items
        self._columns = list(columns)
        self._row_of = row_of

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> R: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[R]: ...
    def __getitem__(self, index: int | slice) -> R | Sequence[R]:
        return self._items[index]

    def __iter__(self) -> Iterator[R]:
        return iter(self._items)

    def __repr__(self) -> str:
        return f"<{len(self):,} records: {', '.join(self._columns)}>"

    def rows(self) -> list[Row]:
        """The records as plain dictionaries, one value for each column of `to_pandas`."""
        return [self._row_of(item) for item in self._items]

    def to_pandas(self) -> pd.DataFrame:
        """The records as a data frame, a row each.

        Raises:
            UsageError: pandas is not installed.
        """
        return frame(self.rows(), self._columns)


def frame(rows: Sequence[Row], columns: Sequence[str]) -> pd.DataFrame:
    """Rows as a data frame.

    Args:
        rows: dictionaries of plain values.
        columns: which there are, also where there is no row.

    Raises:
        UsageError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise UsageError(
            "to_pandas needs pandas, which the core install does without: pip install pandas, or 'swarmlight[train]'"
        ) from None
    return pd.DataFrame(rows, columns=list(columns))
