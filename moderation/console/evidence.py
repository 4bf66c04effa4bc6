"""The evidence of an alert as bars, numbers and sentences. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Final

from moderation import words
from moderation.hostile import visible
from moderation.records import PARTS, AlertRecord
from moderation.summary import KIND_URGENCY

FULL_BAR_NATS: Final = 5.0
"""Evidence that fills a bar: odds of 148 to 1."""

PIPS: Final = ((5.0, "very strong"), (3.5, "strong"), (2.0, "clear"), (1.0, "some"), (-math.inf, "weak"))
"""Nats of the mean member from which evidence is called so: odds of 148, 33, 7 and 3 to 1."""

_MET: Final = re.compile(r"pairs of them met ([\d,]+) times in (.+); about ([\d.,]+) would be expected by chance\.?")


@dataclass(frozen=True)
class Bar:
    """One part of the evidence. `width` is 0 to 100 in steps of 2 and `toward` is `machine`, `person` or `neither`."""

    part: str
    label: str
    meaning: str
    nats: float
    width: int
    toward: str
    words: str
    abstained: str


@dataclass(frozen=True)
class Together:
    """How often members met in one kind of thing, and how often chance would have it; widths are 0 to 100."""

    words: str
    seen: int
    seen_width: int
    expected_words: str
    expected_width: int
    times: str


def even(percent: float) -> int:
    """A width in the steps that the style sheet has."""
    return 2 * round(min(max(percent, 0.0), 100.0) / 2)


def number(value: object) -> float:
    """A number of a record, 0.0 where it is none."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else 0.0  # type: ignore[arg-type]


def bars(record: AlertRecord) -> list[Bar]:
    """One bar for each part."""
    unused = _abstained(record)
    return [bar(part, *words.PARTS[part], number(record.evidence.get(part)), unused.get(part, "")) for part in PARTS]


def bar(part: str, label: str, meaning: str, nats: float, abstained: str) -> Bar:
    """A bar of `nats`."""
    toward = "neither" if abs(nats) < 0.1 else "machine" if nats > 0 else "person"
    width = even(100 * abs(nats) / FULL_BAR_NATS)
    return Bar(part, label, meaning, nats, width, toward, words.evidence_words(nats), abstained)


def strength(row: Any) -> tuple[int, str]:
    """How strong the evidence that a machine drives them is: 0 to 5 and a word, out of a row's urgency.

    The urgency holds it: the kind's level, the mean member's nats, and three times the logarithm of the size.
    """
    if row.kind == "coordination" or row.status != "open":
        return 0, ""
    nats = row.urgency - KIND_URGENCY[row.kind] - 3 * math.log(max(row.members, 1))
    return next((5 - place, word) for place, (least, word) in enumerate(PIPS) if nats >= least)


def seen_together(record: AlertRecord) -> list[Together]:
    """The alert's sentences on how often members met, as numbers; the most frequent first."""
    found = []
    for label, rest in words.labelled(record.why):
        match = _MET.fullmatch(rest) if label == "Together" else None
        if match is not None:
            found.append(
                (int(match[1].replace(",", "")), visible(match[2]), float(match[3].replace(",", "").rstrip(".")))
            )
    found.sort(key=lambda each: -each[0])
    most = max((max(seen, expected) for seen, _, expected in found), default=0) or 1
    return [
        Together(
            name, seen, even(100 * seen / most), f"{expected:g}", even(100 * expected / most),
            f"{seen / expected:,.0f} times" if expected >= 0.05 and seen / expected >= 1.5 else "",
        )
        for seen, name, expected in found
    ]  # fmt: skip


def in_detail(record: AlertRecord, together: list[Together]) -> list[tuple[str, str]]:
    """The alert's other sentences, as (label, text): what is shown elsewhere on the page is left out."""
    return [
        (label, visible(text))
        for label, text in words.labelled(record.why)
        if label not in ("What", "Since") and not (together and label == "Together" and _MET.fullmatch(text))
    ]


def statistic(record: AlertRecord) -> str:
    """The number that made it an alert, and the one it had to pass."""
    if record.statistic is None or record.threshold is None:
        return ""
    if record.threshold_kind == "e_value":
        rate = f", so that at most {record.target_fdr:.0%} of listed groups are chance" if record.target_fdr else ""
        return f"e-value {record.statistic:.3g}, {record.threshold:.3g} is needed{rate}"
    rate = f", set so that {record.target_fpr:.1%} of people would ever pass it" if record.target_fpr else ""
    return f"total {record.statistic:.2f} nats, the threshold is {record.threshold:.2f}{rate}"


def _abstained(record: AlertRecord) -> dict[str, str]:
    """Parts that were not used, and why, out of "Not used: part (reason)."."""
    found = {}
    for sentence in record.limits:
        label, _, rest = sentence.partition(": ")
        part, _, reason = rest.partition(" (")
        if label == "Not used" and part in PARTS:
            found[part] = visible(reason.rstrip(").")) or "not used"
    return found
