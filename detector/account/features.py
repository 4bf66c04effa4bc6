"""The layout of an account's statistics, and the features that the account model is given.

One row of float32 per account, so that an update is one gather, one product, one sum and one scatter however many
statistics there are. The first block decays with every post that gives text evidence, the second with every event;
both decay with time. `AccountFeatures` holds means, spreads and shares of them, and how many observations they rest on.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.text.features import SKETCH_DIM, STYLE_DIM, TextAbstain

HALF_LIFE_POSTS: Final = 50.0
"""Posts after which a post counts half. Account evidence gains little beyond 20 to 50 posts, and an account that
changes hands must be judged by its new hands after about as many."""

HALF_LIFE_MS: Final = 30 * 86_400_000
"""Milliseconds after which a post counts half: a sold or hijacked account that posts once a day is still mostly
judged by the last month, and a fortnight's holiday forgets a quarter."""

FORGOTTEN: Final = 2.0**-40
"""Decayed count under which nothing is known: the last observation is forty half-lives (2,000 posts) ago, and the model
gives such a count no weight. Counts go on halving to numbers that float32 cannot divide by."""

SESSION_GAP_MS: Final = 30 * 60_000
"""A pause longer than this ends a sitting: the usual session boundary of log analysis."""

LLR_EDGES: Final = np.array(
    [-2, -1.2, -0.8, -0.5, -0.25, 0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2, 2.8], dtype=np.float64
)
"""Inner edges (nats) of the 16-bin histogram of post LLRs: fine where single posts lie, which is within 3 nats."""

WRITES: Final = np.array([True, True, False, True, False, False])
"""By kind: what is written. Pauses, sessions and hours are those of writing, which every platform has and which the
model could learn from; likes and reposts come in the rhythm of an interface."""

GAP_EDGES_S: Final = np.array([2, 5, 15, 60, 300, 900, 1800, 7200, 28_800, 86_400, 604_800], dtype=np.float64)
"""Inner edges (seconds) of the 12-bin histogram of gaps, about equal steps in the logarithm."""

KINDS: Final = 6
"""post, reply, repost, quote, like, follow, in the order of the observation log; deletions are no pattern of use."""

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
SECOND_STAGE_COUNT: Final = _columns.take(1).start
SECOND_STAGE_SUM: Final = _columns.take(1).start
SECOND_STAGE_SQUARED: Final = _columns.take(1).start
GAIN_SUM: Final = _columns.take(1).start
GAIN_SQUARED: Final = _columns.take(1).start
TEXT_BLOCK: Final = slice(0, _columns.used)

# Forgets with every event.
EVENTS: Final = _columns.take(1).start
WRITTEN: Final = _columns.take(1).start
GAP_BINS: Final = _columns.take(len(GAP_EDGES_S) + 1)
GAP_SUM: Final = _columns.take(1).start
GAP_SQUARED: Final = _columns.take(1).start
SESSIONS: Final = _columns.take(1).start
HOURS: Final = _columns.take(24)
KIND_BINS: Final = _columns.take(KINDS)
LINKED: Final = _columns.take(1).start
ABSTAINED: Final = _columns.take(len(TextAbstain))
EVENT_BLOCK: Final = slice(TEXT_BLOCK.stop, _columns.used)

COLUMNS: Final = _columns.used


_LLR_LEVELS: Final = len(LLR_EDGES)
_GAP_LEVELS: Final = len(GAP_EDGES_S) + 1

TEXT_NAMES: Final[tuple[str, ...]] = (
    "llr_mean",
    *(f"llr_below_{edge:g}" for edge in LLR_EDGES),
    *(f"style_mean_{i}" for i in range(STYLE_DIM)),
    "repeats",
    "llr_sd",
    *(f"style_sd_{i}" for i in range(STYLE_DIM)),
    "self_similarity",
    "expert_mean",
    "expert_gain",
    "expert_sd",
)
"""Text features in their order: first those a single post gives, then those that need two, then the second stage's."""

SINGLES: Final = slice(0, 1 + _LLR_LEVELS + STYLE_DIM + 1)
PAIRS: Final = slice(SINGLES.stop, SINGLES.stop + 1 + STYLE_DIM + 1)
SECOND_STAGE: Final = slice(PAIRS.stop, PAIRS.stop + 3)
TEXT_DIM: Final = SECOND_STAGE.stop

BEHAVIOUR_NAMES: Final[tuple[str, ...]] = (
    *(f"gap_share_{i}" for i in range(_GAP_LEVELS)),
    "gap_log_mean",
    "gap_log_sd",
    "sittings_per_text",
    "hour_entropy",
    "quiet_hours",
    "reply_share",
    "repost_share",
    "quote_share",
    "like_share",
    "follow_share",
    "kind_entropy",
    "linked_share",
    "textless_share",
)
BEHAVIOUR_DIM: Final = len(BEHAVIOUR_NAMES)
CADENCE: Final = slice(0, BEHAVIOUR_NAMES.index("reply_share"))
"""Behaviour features that rest on what was written; the others rest on all events."""


def fingerprint() -> str:
    """What a model's weights are made for: a digest of the features, their order, and all that shapes their values."""
    shapes = [
        TEXT_NAMES,
        BEHAVIOUR_NAMES,
        LLR_EDGES.tolist(),
        GAP_EDGES_S.tolist(),
        WRITES.tolist(),
        [HALF_LIFE_POSTS, HALF_LIFE_MS, SESSION_GAP_MS, RECENT, _QUIET],
    ]
    return hashlib.sha256(json.dumps(shapes).encode()).hexdigest()[:16]


class AccountFeatures(NamedTuple):
    """Features of n accounts, one row each. Arrays are float32 unless stated."""

    text: NDArray[np.float32]
    """(n, TEXT_DIM); 0 where undefined (see the counts)."""
    behaviour: NDArray[np.float32]
    """(n, BEHAVIOUR_DIM)."""
    weight: NDArray[np.float32]
    """(n,) decayed number of texts that gave evidence."""
    second_stage: NDArray[np.float32]
    """(n,) decayed number of texts that the second stage has read."""
    events: NDArray[np.float32]
    """(n,) decayed number of events."""
    written: NDArray[np.float32]
    """(n,) decayed number of posts, replies and quotes."""
    posts: NDArray[np.uint32]
    """(n,) texts that gave evidence, not decayed."""
    language: NDArray[np.uint16]
    """(n,) code of the heaviest language among the texts that gave evidence, 0 without any."""
    abstain: NDArray[np.uint8]
    """(n,) a TextAbstain: 0 where some text gave evidence, else the reason met most often."""

    def take(self, chosen: NDArray[Any]) -> AccountFeatures:
        """The features of the rows `chosen` (a mask or indices)."""
        return AccountFeatures(
            self.text[chosen],
            self.behaviour[chosen],
            self.weight[chosen],
            self.second_stage[chosen],
            self.events[chosen],
            self.written[chosen],
            self.posts[chosen],
            self.language[chosen],
            self.abstain[chosen],
        )


def language_code(tag: str) -> int:
    """A primary language subtag (two or three letters) as a number under 2^16; 0 for anything else."""
    code = 0
    for letter in tag.lower():
        step = ord(letter) - 96
        if not 1 <= step <= 26:
            return 0
        code = code * 27 + step
    return code if code < 1 << 16 else 0


def language_tag(code: int) -> str:
    """The subtag whose `language_code` this is."""
    letters = ""
    while code:
        code, step = divmod(code, 27)
        letters = chr(96 + step) + letters
    return letters


def features_of(table: NDArray[np.float32], posts: NDArray[np.uint32], language: NDArray[np.uint16]) -> AccountFeatures:
    """Features of accounts from their rows of `AccountStatistics`.

    Args:
        table: (n, COLUMNS).
        posts: (n,).
        language: (n, LANGUAGES).
    """
    index = np.arange(len(table))
    weight = table[:, WEIGHT]
    chosen = table[:, LANGUAGE_WEIGHT].argmax(axis=1)
    reasons = table[:, ABSTAINED]
    reason = reasons[:, 1:].argmax(axis=1) + 1
    reason = np.where(reasons[:, 1:].any(axis=1), reason, TextAbstain.NO_TEXT)
    return AccountFeatures(
        text=_text(table),
        behaviour=_behaviour(table),
        weight=weight.copy(),
        second_stage=np.where(table[:, SECOND_STAGE_COUNT] > FORGOTTEN, table[:, SECOND_STAGE_COUNT], 0).astype(
            np.float32
        ),
        events=table[:, EVENTS].copy(),
        written=table[:, WRITTEN].copy(),
        posts=posts,
        language=np.where(posts > 0, language[index, chosen], 0).astype(np.uint16),
        abstain=np.where(posts > 0, 0, reason).astype(np.uint8),
    )


def _text(table: NDArray[np.float32]) -> NDArray[np.float32]:
    out = np.empty((len(table), TEXT_DIM), np.float32)
    weight = table[:, WEIGHT]
    per_post = _inverse(weight)[:, None]
    # Variances are of a weighted sample: W^2 / (W^2 - W2) makes them unbiased; undefined (0) for a single post.
    spare = weight * weight - table[:, WEIGHT_SQUARED]
    several = (weight > FORGOTTEN) & (spare > _SMALL * weight * weight)
    pairs = np.where(several, 1 / np.where(several, spare, 1), 0).astype(np.float32)[:, None]
    unbiased = pairs * (weight * weight)[:, None]

    out[:, 0] = table[:, LLR_SUM] * per_post[:, 0]
    below = np.cumsum(table[:, LLR_BINS], axis=1)[:, :-1]
    np.multiply(below, per_post, out=out[:, 1 : 1 + _LLR_LEVELS])
    style = out[:, 1 + _LLR_LEVELS : SINGLES.stop - 1]
    np.multiply(table[:, STYLE_SUM], per_post, out=style)
    out[:, SINGLES.stop - 1] = table[:, REPEATS] * per_post[:, 0]

    mean = out[:, 0]
    start = PAIRS.start
    out[:, start] = table[:, LLR_SQUARED] * per_post[:, 0] - mean * mean
    spread = out[:, start + 1 : start + 1 + STYLE_DIM]
    np.multiply(table[:, STYLE_SQUARED], per_post, out=spread)
    spread -= style * style
    both = out[:, start : start + 1 + STYLE_DIM]
    np.maximum(both, 0, out=both)
    both *= unbiased
    np.sqrt(both, out=both)
    sketch = table[:, SKETCH_SUM]
    out[:, PAIRS.stop - 1] = ((sketch * sketch).sum(axis=1) - table[:, WEIGHT_SQUARED]) * pairs[:, 0]

    per_read = _inverse(table[:, SECOND_STAGE_COUNT])
    second_stage = table[:, SECOND_STAGE_SUM] * per_read
    out[:, SECOND_STAGE.start] = second_stage
    out[:, SECOND_STAGE.start + 1] = table[:, GAIN_SUM] * per_read
    out[:, SECOND_STAGE.start + 2] = np.sqrt(
        np.maximum(table[:, SECOND_STAGE_SQUARED] * per_read - second_stage * second_stage, 0)
    )
    return out


def _behaviour(table: NDArray[np.float32]) -> NDArray[np.float32]:
    out = np.empty((len(table), BEHAVIOUR_DIM), np.float32)
    gaps = table[:, GAP_BINS]
    per_gap = _inverse(gaps.sum(axis=1))
    per_event = _inverse(table[:, EVENTS])
    np.multiply(gaps, per_gap[:, None], out=out[:, :_GAP_LEVELS])
    mean = table[:, GAP_SUM] * per_gap
    per_written = _inverse(table[:, WRITTEN])
    hours = table[:, HOURS] * per_written[:, None]
    kinds = table[:, KIND_BINS] * per_event[:, None]
    i = _GAP_LEVELS
    out[:, i] = mean
    out[:, i + 1] = np.sqrt(np.maximum(table[:, GAP_SQUARED] * per_gap - mean * mean, 0))
    out[:, i + 2] = table[:, SESSIONS] * per_written
    out[:, i + 3] = _entropy(hours)
    out[:, i + 4] = (hours < _QUIET).sum(axis=1)
    out[:, i + 5 : i + 10] = kinds[:, 1:]
    out[:, i + 10] = _entropy(kinds)
    out[:, i + 11] = table[:, LINKED] * per_event
    out[:, i + 12] = table[:, ABSTAINED.start + TextAbstain.NO_TEXT] * per_event
    return out


_SMALL: Final = 1e-3
"""Share of the weight beyond a single post under which a spread is undefined: rounding, not a second post."""

_QUIET: Final = 0.005
"""Share of what was written under which an hour of the day counts as quiet."""


def _inverse(count: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 / count, 0 where nothing is known."""
    known = count > FORGOTTEN
    return np.where(known, 1 / np.where(known, count, 1), 0).astype(np.float32)


def _entropy(shares: NDArray[np.float32]) -> NDArray[Any]:
    """Entropy (nats) of each row of shares."""
    terms: NDArray[Any] = shares * np.log(np.where(shares > 0, shares, 1))
    total: NDArray[Any] = terms.sum(axis=1)
    return -total
