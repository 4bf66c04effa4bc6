"""The blind sample: a few accounts a day that are not flagged, for moderators to decide on.

Drawn once for each day of event time in which something happens, at the first tick after it and at the last of a
recording, among the accounts that could have been flagged in it and were not. Who is drawn follows from a keyed hash of
account and day (`detector.blind_sampling`), so a replay draws the same; the key is the seed of the configuration.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from detector.blind_sampling import inclusion, is_drawn
from detector.evidence import COMPONENTS
from detector.times import rfc3339
from streaming.assess.alert_records import AlertContext, member_record, post_record
from streaming.assess.alert_store import NOT_SUPPRESSED
from streaming.assess.outputs import Sampled
from streaming.assess.settings import DAY_MS
from streaming.assess.store import NEVER
from streaming.schema.sample import SampleRecord, encode_sample, sample_id

_DIGITS: Final = 9
"""Decimals of a probability: exact enough for one in a million, and the same text wherever it is computed."""


class BlindSample:
    """Draws the accounts of a day.

    Args:
        context: the state they are drawn from.
    """

    def __init__(self, context: AlertContext) -> None:
        self._context = context
        self._key = b"blind sample of seed %d" % context.settings.seed

    def draw(self, day: int, tick_ms: int) -> list[Sampled]:
        """The accounts of a day, in the order of their names.

        Args:
            day: number of the day since 1970; the accounts are those active in it or later.
            tick_ms: time of the tick, ms since 1970 UTC.
        """
        context, per_day = self._context, self._context.settings.blind_sample_per_day
        rows = self._population(day) if per_day > 0 and day != NEVER else np.zeros(0, np.int64)
        if not len(rows):
            return []
        fused = context.evidence.fused(rows)
        components = np.stack([getattr(fused, name) for name in COMPONENTS], axis=1)
        chances = np.round(inclusion(components, min(1.0, per_day / len(rows))), _DIGITS)
        chances = np.maximum(chances, 10.0**-_DIGITS)
        name_of_day = rfc3339(day * DAY_MS)[:10]
        names = [context.accounts.name(row) for row in rows.tolist()]
        drawn = [
            (name, row, chance)
            for name, row, chance in zip(names, rows.tolist(), chances.tolist(), strict=True)
            if is_drawn(self._key, sample_id(name, name_of_day), chance)
        ]
        scores = context.scores.of(np.array([row for _, row, _ in sorted(drawn)], np.int64))
        return [
            Sampled(
                name,
                encode_sample(
                    SampleRecord(
                        id=sample_id(name, name_of_day),
                        account=name,
                        day=name_of_day,
                        at=rfc3339(tick_ms),
                        sampled_with=chance,
                        smallest=float(chances.min()),
                        population=len(rows),
                        member=member_record(score, context.accounts, row),
                        posts=[post_record(name, text) for text in context.texts.of(row)],
                        moments=context.moments_of([row]),
                        models=context.models.versions,
                    )
                ),
            )
            for (name, row, chance), score in zip(sorted(drawn), scores, strict=True)
        ]

    def _population(self, day: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Rows of accounts that could have been flagged and were not, and that no decision and no campaign is about."""
        context, accounts = self._context, self._context.accounts
        rows = np.sort(accounts.live())
        rows = rows[(accounts.last_post[rows] >= day * DAY_MS) & ~accounts.flagged[rows]]
        rows = rows[(accounts.automated[rows] != 1) & (accounts.suppression_threshold[rows] == NOT_SUPPRESSED)]
        rows = rows[context.evidence.may_flag(rows)]
        known = context.store.campaign_of
        chosen = [row for row in rows.tolist() if row not in known and context.texts.of(row)]
        return np.array(chosen, np.int64)
