"""What a society with feeds has come to, algorithm by algorithm: counts that are added up step by step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.table import Table

from simulation.feeds.society import SocietyStep
from simulation.sampling import Flags, Floats, Ints


class ExposureSummary:
    """Sums over exposures of each algorithm.

    seen: posts that people came past; operators: those of them that operators' accounts wrote; appeal, rating: sums of
    these columns; labelled: with a warning.

    Args:
        names: of the algorithms.
        label: shape (accounts,), whether an operator drives each.
    """

    def __init__(self, names: Sequence[str], label: Flags) -> None:
        self.names, self._label = tuple(names), label
        n = len(self.names)
        self.seen: Ints = np.zeros(n, np.int64)
        self.operators: Ints = np.zeros(n, np.int64)
        self.labelled: Ints = np.zeros(n, np.int64)
        self.appeal: Floats = np.zeros(n)
        self.rating: Floats = np.zeros(n)
        self._readers = np.zeros((n, len(label)), bool)
        self.events = 0

    def take(self, step: SocietyStep) -> None:
        """Add the exposures of a step."""
        seen, n = step.exposures, len(self.names)
        which = seen.algorithm
        self.events += len(step.events)
        self.seen += np.bincount(which, minlength=n)
        self.operators += np.bincount(which[self._label[seen.author]], minlength=n)
        self.labelled += np.bincount(which[seen.labelled], minlength=n)
        self.appeal += np.bincount(which, seen.appeal, minlength=n)
        self.rating += np.bincount(which, seen.rating, minlength=n)
        self._readers[which, seen.reader] = True

    def table(self) -> Table:
        """A row an algorithm."""
        result = Table(title=f"{self.events:,} events, {int(self.seen.sum()):,} exposures")
        for column in ("feed", "readers", "posts seen", "by operators", "appeal", "rating"):
            result.add_column(column, justify="left" if column == "feed" else "right")
        for i, name in enumerate(self.names):
            seen = max(int(self.seen[i]), 1)
            result.add_row(
                name, f"{int(self._readers[i].sum()):,}", f"{int(self.seen[i]):,}", f"{self.operators[i] / seen:.1%}",
                f"{self.appeal[i] / seen:.3f}", f"{self.rating[i] / seen:.3f}",
            )  # fmt: skip
        return result
