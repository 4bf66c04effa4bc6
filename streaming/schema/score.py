"""The score of one account: a line of `--scores`, and its summary in topic `accounts`, which is the same record.

`assess` makes a `ScoreRecord` of every account that acted; evaluation, the red team and the simulator's report read
them with `read_score`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from detector.errors import RecordError


class LlrRecord(msgspec.Struct, frozen=True, gc=False):
    """Evidence that a language model drives an account: log-likelihood ratios in nats.

    The four components add up to `total` to 1e-6; a component that abstains is 0.0.
    """

    text: float = 0.0
    behaviour: float = 0.0
    coordination: float = 0.0
    graph: float = 0.0
    total: float = 0.0


class ScoreRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one account.

    `posterior` is sigmoid(total + logit(prior)); `abstained` names the components that say nothing, and `flag` where
    the account cannot be flagged, each with its reason; `posts` counts accepted events with text. `flagged_at` and
    `posts_at_flag` are set while `flagged`. `group` is the coordinated group the account belongs to and `group_q` how
    often as much is found among decoys, for each time it is found; `campaign` is set for members of an alerted campaign
    alone.
    """

    account: str
    posterior: float
    llr: LlrRecord
    abstained: dict[str, str]
    posts: int
    flagged: bool
    flagged_at: str | None = None
    posts_at_flag: int | None = None
    campaign: str | None = None
    group: str | None = None
    group_q: float | None = None


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(ScoreRecord)


def encode_score(score: ScoreRecord) -> bytes:
    """One JSON object, without line end."""
    return _encoder.encode(score)


def read_score(line: bytes | str) -> ScoreRecord:
    """The score in a line of `--scores` or a record of topic `accounts`.

    Raises:
        RecordError: it is none.
    """
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordError(f"this is no score of an account ({error}): give a file that --scores wrote") from None


def read_scores(lines: Iterable[bytes]) -> Iterator[ScoreRecord]:
    """The scores in the lines of a file; blank lines are skipped.

    Raises:
        RecordError: a line is none; it is named by its number.
    """
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield read_score(line)
            except RecordError as error:
                raise RecordError(f"line {number}: {error}") from None
