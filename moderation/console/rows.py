"""One alert in a list, made out of its row. Pure: no database, no request; the time is an argument."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from moderation import words
from moderation.console.evidence import strength
from moderation.hostile import visible
from moderation.roles import Actor

SAYS: Final = {
    "campaign": ("looks machine-driven", "act together and look machine-driven"),
    "account": ("looks machine-driven", "look machine-driven"),
    "coordination": ("acts together with others; no sign of a machine", "act together; no sign of a machine"),
}
"""What an alert says of one account, and of several."""


@dataclass(frozen=True)
class QueueRow:
    """One alert in a list. `badges` are (class, words); `pips`, of five, say how strong the evidence is."""

    id: str
    kind: str
    kind_words: str
    who: str
    names: list[str]
    others: int
    says: str
    pips: int
    strength: str
    members: int
    since: str
    last: str
    lasted: str
    at: str
    ago: str
    badges: list[tuple[str, str]]
    holder: str
    mine: bool
    decision: str


def queue_row(row: Any, actor: Actor, now: int) -> QueueRow:
    """A list row out of a row with the columns of `queue.LISTED` and `holder`."""
    held = row.claimed_by is not None and row.claimed_until > now
    badges = []
    if row.escalated:
        badges.append(("escalated", "escalated"))
    if row.returned:
        badges.append(("returned", "came back"))
    if row.status == "merged":
        badges.append(("merged", "merged"))
    if row.status == "withdrawn":
        badges.append(("withdrawn", "withdrawn"))
    if row.decision is not None:
        badges.append(("decided", words.VERDICTS.get(row.decision, row.decision)))
    if row.status == "open" and row.decision is None and row.snoozed_until > now:
        badges.append(("snoozed", f"put off until {words.when(row.snoozed_until)}"))
    if row.status == "open" and row.decision is None and row.waits_revision >= row.revision:
        badges.append(("needs-more", "waits for more"))
    names = [visible(name) for name in row.title.split(", ")] if row.title else []
    return QueueRow(
        id=row.id, kind=row.kind, kind_words=words.KINDS.get(row.kind, row.kind),
        who=words.who(names, max(row.members, len(names))) if names else "No names are kept of it", names=names,
        others=max(0, row.members - len(names)),
        says=SAYS[row.kind][0 if max(row.members, len(names)) == 1 else 1] if names else "",
        pips=strength(row)[0], strength=strength(row)[1], members=row.members,
        since=words.when(row.first_post_at), last=words.when(row.last_post_at),
        lasted=words.span(row.first_post_at, row.last_post_at), at=words.when(row.at),
        ago=words.ago(row.arrived, now), badges=badges, holder=(row.holder or "somebody") if held else "",
        mine=held and row.claimed_by == actor.user_id,
        decision=words.VERDICTS.get(row.decision, "") if row.decision else "",
    )  # fmt: skip
