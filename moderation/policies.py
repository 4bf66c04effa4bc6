"""Which policy an alert is proposed to be decided under, by the operator's own words (`ModerationPolicy`).

The proposal routes an alert to a queue and is chosen in its form beforehand; it decides nothing. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from moderation.console_config import ConsoleConfig, ModerationPolicy
from moderation.word_index import words_of
from streaming.schema.alert import AlertRecord


def propose(config: ConsoleConfig, record: AlertRecord) -> str:
    """Code of the first policy whose kinds and words fit the alert; "" where none does.

    A policy without words and kinds is never proposed.

    Args:
        config: with the policies, in their order.
        record: the alert.
    """
    candidates = [each for each in config.policies if each.words or each.kinds]
    if not candidates:
        return ""
    written = [f" {' '.join(words_of(text))} " for text in _texts(record)]
    return next((each.code for each in candidates if _fits(each, record.kind, written)), "")


def _fits(policy: ModerationPolicy, kind: str, written: list[str]) -> bool:
    if policy.kinds and kind not in policy.kinds:
        return False
    runs = [run for run in (" ".join(words_of(each)) for each in policy.words) if run]
    return not policy.words or any(f" {run} " in text for run in runs for text in written)


def _texts(record: AlertRecord) -> Iterator[str]:
    """What its members say and share."""
    yield from (post.text for post in record.posts)
    yield from (post.text for point in record.talking_points for post in point.posts)
    yield from {name for edge in record.edges for name in edge.objects}
