"""What a run came to, whoever carried it out: its summary, and whether its input was one of post events."""

from __future__ import annotations

import resource
import sys
import time
from typing import Final, NamedTuple

from detector.models import Models
from streaming.assess.ordering import Counts
from streaming.schema.run_summary import PeopleRecord, RunSummary
from streaming.sinks.files import Outputs

_BYTES_A_MIB: Final = 1024 * 1024

_RSS_UNIT: Final = 1 if sys.platform == "darwin" else 1024
"""Bytes in a unit of `ru_maxrss`: macOS counts bytes, Linux KiB."""


class RunTotals(NamedTuple):
    """What a run counted.

    Args:
        counts: of the records by outcome.
        accounts: with a score.
        flagged: of them.
        campaigns: alerts open.
        texts_cut: events whose text was cut.
        threshold: total (nats) above which an account is flagged.
    """

    counts: Counts
    accounts: int
    flagged: int
    campaigns: int
    texts_cut: int
    threshold: float


def run_summary(
    totals: RunTotals, *, outputs: Outputs, models: Models, started: float, skipped: dict[str, int]
) -> RunSummary:
    """The summary of a run that ends now.

    Args:
        totals: what it counted.
        outputs: where dead letters went.
        models: of the run.
        started: when it began, by the monotonic clock.
        skipped: records that are no post events, by what they are.
    """
    counts, people = totals.counts, models.thresholds.people_totals()
    return RunSummary(
        read=counts.settled,
        accepted=counts.accepted,
        duplicate=counts.duplicate,
        late=counts.late,
        dead=counts.dead,
        accounts=totals.accounts,
        flagged=totals.flagged,
        campaigns=totals.campaigns,
        wall_s=round(time.monotonic() - started, 3),
        peak_rss_mib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT / _BYTES_A_MIB, 1),
        models=models.versions,
        texts_cut=totals.texts_cut,
        revised=counts.revised,
        skipped=skipped,
        letters_left_out=outputs.letters_left_out,
        people=PeopleRecord(people.people, people.quantiles, people.highest, round(totals.threshold, 3)),
    )


def is_usable(told: RunSummary) -> bool:
    """Whether at least half of what was read are post events, and not all of it was skipped."""
    return 2 * (told.read - told.dead) >= told.read and (told.read > 0 or not told.skipped)
