"""Where each number of an account lies in its row, and the half-lives with which rows forget.

One row of float32 per account, so that an update is one gather, one product, one sum and one scatter however many
statistics there are. The first block forgets with every post that gives text evidence, the second with every event;
both forget with time.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from detector.text.reading import SKETCH_DIM, STYLE_DIM, TextAbstain

HALF_LIFE_POSTS: Final = 50.0
"""Posts after which a post counts half. Account evidence gains little beyond 20 to 50 posts, and an account that
changes hands must be judged by its new hands after about as many."""

HALF_LIFE_MS: Final = 30 * 86_400_000
"""Milliseconds after which a post counts half: a sold or hijacked account that posts once a day is still mostly
judged by the last month, and a fortnight's holiday forgets a quarter."""

SITTING_GAP_MS: Final = 30 * 60_000
"""A pause longer than this ends a sitting: the usual session boundary of log analysis."""

LLR_EDGES: Final = np.array(
    [-2, -1.2, -0.8, -0.5, -0.25, 0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2, 2.8], dtype=np.float64
)
"""Inner edges (nats) of the 16-bin histogram of post LLRs: fine where single posts lie, which is within 3 nats."""

WRITES: Final = np.array([True, True, False, True, False, False])
"""By kind: what is written. Pauses, sittings and hours are those of writing, which every platform has and which the
model could learn from; likes and reposts come in the rhythm of an interface."""

GAP_EDGES_S: Final = np.array([2, 5, 15, 60, 300, 900, 1800, 7200, 28_800, 86_400, 604_800], dtype=np.float64)
"""Inner edges (seconds) of the 12-bin histogram of gaps, about equal steps in the logarithm."""

KINDS: Final = 6
"""post, reply, repost, quote, like, follow, in the order of the observation log; deletions are no habit."""

LANGUAGES: Final = 3
"""Languages counted per account (heaviest kept): enough for a bilingual person and one stray detection."""

RECENT: Final = 8
"""Fingerprints of the last texts, to notice an account that repeats itself."""


class _Columns:
    """Hands out consecutive columns."""

    def __init__(self) -> None:
        self.used = 0

    def take(self, count: int) -> slice:
        start = self.used
        self.used += count
        return slice(start, self.used)


_columns = _Columns()

# Forgets with posts that give text evidence.
WEIGHT: Final = _columns.take(1).start
WEIGHT_SQUARED: Final = _columns.take(1).start
LLR_SUM: Final = _columns.take(1).start
LLR_SQUARED: Final = _columns.take(1).start
REPEATS: Final = _columns.take(1).start
LLR_BINS: Final = _columns.take(len(LLR_EDGES) + 1)
STYLE_SUM: Final = _columns.take(STYLE_DIM)
STYLE_SQUARED: Final = _columns.take(STYLE_DIM)
SKETCH_SUM: Final = _columns.take(SKETCH_DIM)
LANGUAGE_WEIGHT: Final = _columns.take(LANGUAGES)
EXPERT_COUNT: Final = _columns.take(1).start
EXPERT_SUM: Final = _columns.take(1).start
EXPERT_SQUARED: Final = _columns.take(1).start
GAIN_SUM: Final = _columns.take(1).start
GAIN_SQUARED: Final = _columns.take(1).start
TEXT_BLOCK: Final = slice(0, _columns.used)

# Forgets with every event.
EVENTS: Final = _columns.take(1).start
WRITTEN: Final = _columns.take(1).start
GAP_BINS: Final = _columns.take(len(GAP_EDGES_S) + 1)
GAP_SUM: Final = _columns.take(1).start
GAP_SQUARED: Final = _columns.take(1).start
SITTINGS: Final = _columns.take(1).start
HOURS: Final = _columns.take(24)
KIND_BINS: Final = _columns.take(KINDS)
LINKED: Final = _columns.take(1).start
ABSTAINED: Final = _columns.take(len(TextAbstain))
EVENT_BLOCK: Final = slice(TEXT_BLOCK.stop, _columns.used)

COLUMNS: Final = _columns.used
