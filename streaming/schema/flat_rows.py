"""Scores and alerts as rows of a table, for spreadsheets, R, pandas and databases.

A row has plain values alone. `FlatTable` says which columns there are, of which type, and how a record becomes a row;
`SCORES` and `ALERTS` are the two. Files of them are written by `streaming.sinks.table_file`, data frames are made of
them by the Python API.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from streaming.schema.alert import AlertRecord, read_alert
from streaming.schema.score import LlrRecord, ScoreRecord, read_score

Cell: TypeAlias = str | int | float | bool | None
"""What stands in a table; None where there is nothing."""

CellType: TypeAlias = Literal["text", "whole", "number", "yes"]

Row: TypeAlias = dict[str, Cell]


class FlatTable(NamedTuple):
    """A kind of record as a table.

    Args:
        columns: name -> type of its values.
        row_of: makes the row of a record as it is written, a JSON object. Raises RecordError where it is none.
    """

    columns: Mapping[str, CellType]
    row_of: Callable[[bytes], Row]


_EVIDENCE: Final[dict[str, CellType]] = dict.fromkeys(
    ("total", "text", "behaviour", "coordination", "graph"), "number"
)  # fmt: skip


def _evidence(llr: LlrRecord) -> Row:
    return {name: getattr(llr, name) for name in _EVIDENCE}


def _sentences(said: list[str]) -> str | None:
    return " ".join(said) or None


def score_row(score: ScoreRecord) -> Row:
    """One account: its evidence in nats, and `abstained` as text, `COMPONENT: REASON` with `; ` between."""
    return {
        "account": score.account,
        **_evidence(score.llr),
        "posterior": score.posterior,
        "posts": score.posts,
        "flagged": score.flagged,
        "flagged_at": score.flagged_at,
        "posts_at_flag": score.posts_at_flag,
        "campaign": score.campaign,
        "group": score.group,
        "group_q": score.group_q,
        "abstained": "; ".join(f"{name}: {why}" for name, why in sorted(score.abstained.items())) or None,
    }


def alert_row(alert: AlertRecord) -> Row:
    """One revision of an alert: `accounts` is a JSON list of its members, as the alert has them."""
    return {
        "id": alert.id,
        "revision": alert.revision,
        "kind": alert.kind,
        "status": alert.status,
        "at": alert.at,
        "first_post_at": alert.first_post_at,
        "last_post_at": alert.last_post_at,
        "members": len(alert.members),
        "accounts": json.dumps([member.account for member in alert.members], ensure_ascii=False),
        **_evidence(alert.evidence),
        "statistic": alert.statistic,
        "threshold": alert.threshold,
        "threshold_kind": alert.threshold_kind or None,
        "decoy_q": alert.decoy_q,
        "merged_into": alert.merged_into,
        "why": _sentences(alert.why),
        "limits": _sentences(alert.limits),
    }


SCORES: Final = FlatTable(
    {
        "account": "text", **_EVIDENCE, "posterior": "number", "posts": "whole", "flagged": "yes", "flagged_at": "text",
        "posts_at_flag": "whole", "campaign": "text", "group": "text", "group_q": "number", "abstained": "text",
    },
    lambda body: score_row(read_score(body)),
)  # fmt: skip

ALERTS: Final = FlatTable(
    {
        "id": "text", "revision": "whole", "kind": "text", "status": "text", "at": "text", "first_post_at": "text",
        "last_post_at": "text", "members": "whole", "accounts": "text", **_EVIDENCE, "statistic": "number",
        "threshold": "number", "threshold_kind": "text", "decoy_q": "number", "merged_into": "text", "why": "text",
        "limits": "text",
    },
    lambda body: alert_row(read_alert(body)),
)  # fmt: skip


def as_text(value: Any) -> str:
    """A cell of CSV: yes as `true`, nothing as nothing, times and numbers as they are in JSON."""
    if value is None:
        return ""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
