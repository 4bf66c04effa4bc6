"""Turns what the core of `assess` says about itself into metrics: differences of its counts, and its present sizes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, cast, get_args

from streaming.assess.ordering import NO_END, Counts, Ordering
from streaming.assess.records import TickOutput
from streaming.metrics import Metrics, Outcome
from streaming.observations import NO_TIME

OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)

_NO_WORD: Final = re.compile(r"[^a-z0-9]+")


class AssessMeter:
    """Counts what a process decided since it took over; what an earlier owner counted is not counted again."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._before = Counts()

    def already_told(self, ordering: Ordering) -> None:
        """The core is restored, or ran a tick again that an earlier owner committed."""
        self._before = _copy(ordering.counts)

    def committed(self, ordering: Ordering, outputs: Iterable[TickOutput]) -> None:
        """Ticks whose outputs are committed, and the core's ordering at that moment."""
        metrics, counts = self._metrics, ordering.counts
        for outcome in OUTCOMES:
            more = getattr(counts, outcome) - getattr(self._before, outcome)
            if more > 0:
                metrics.records(outcome, more)
        for _ in range(max(0, counts.gaps - self._before.gaps)):
            metrics.alarm("gap")
        self._before = _copy(counts)
        for output in outputs:
            for reason, count in output.stats.abstained.items():
                metrics.abstention("text", _NO_WORD.sub("_", reason.lower()).strip("_"), count)
            for alert in output.alerts:
                metrics.alert(cast(Any, alert.kind), cast(Any, alert.status))
            metrics.size("accounts", output.stats.accounts)
            metrics.size("groups", output.stats.groups)

    def now(self, ordering: Ordering, now_s: float) -> None:
        """The present, in seconds since 1970: how old the smallest watermark is, and how many events wait."""
        if NO_TIME < ordering.low < NO_END:
            self._metrics.watermark_age(now_s - ordering.low / 1000)
        self._metrics.size("waiting", ordering.waiting)


def _copy(counts: Counts) -> Counts:
    return Counts(**{name: getattr(counts, name) for name in (*OUTCOMES, "hole_records", "holes", "gaps", "repeated")})
