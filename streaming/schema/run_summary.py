"""The summary of one run over a recording: what `swarmlight run --summary` writes."""

from __future__ import annotations

import msgspec


class PeopleRecord(msgspec.Struct, frozen=True):
    """Totals of the people on whom the thresholds were set, beside which a run's scores are shown.

    Args:
        people: how many.
        quantiles: of their totals in nats, at equal steps from the lowest to the highest.
        highest: whether a total is the highest that a person reached in their first posts, as thresholds need it, or
            the one after their last post, as scores have it.
        threshold: the total in nats above which the run flags.
    """

    people: int
    quantiles: list[float]
    highest: bool
    threshold: float


class RunSummary(msgspec.Struct, frozen=True, omit_defaults=True):
    """Counts, cost and models of a run; the first five numbers are records of the recording.

    Args:
        read: records read; the sum of the four outcomes below.
        accepted: events that counted.
        duplicate: repetitions of an event within the duplicate window.
        late: events older than the allowed lateness.
        dead: records that are no post event.
        accounts: accounts with a score row.
        flagged: of these, flagged ones.
        campaigns: campaign alerts open at the end.
        wall_s: seconds the run took.
        peak_rss_mib: largest resident memory of the process so far, MiB.
        models: name@version by model of the bundle.
        texts_cut: events whose text was longer than 64 KiB and was cut; left out where there is none.
        revised: of the accepted events those that are edits: the same account and id with another text; left out where
            there is none.
        skipped: records of the input's format that are no post events and not counted in `read` ("a block"), by what
            they are; left out where there is none.
        letters_left_out: dead records without a letter, since more than a thousand others had the same bytes.
        people: whom the thresholds were set on.
    """

    read: int
    accepted: int
    duplicate: int
    late: int
    dead: int
    accounts: int
    flagged: int
    campaigns: int
    wall_s: float
    peak_rss_mib: float
    models: dict[str, str]
    texts_cut: int = 0
    revised: int = 0
    skipped: dict[str, int] = {}
    letters_left_out: int = 0
    people: PeopleRecord | None = None
