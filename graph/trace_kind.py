"""What a kind of trace is: one row of the table in `graph/traces.py`, and all that a package needs to add a row.

A trace is what an account leaves when it uses a shared object: a link, a hashtag, a post that it reposts. A kind says
which objects of an event those are and how near in time two accounts must use one to coincide. A further kind is one
`TraceKind` in a module of one's own and one line in that package's entry points:

    [project.entry-points."swarmlight.traces"]
    emoji = "my_package.emoji:EMOJI"
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

HOUR_MS: Final = 3_600_000

Look: TypeAlias = Literal["text", "link", "repost", "talk", "other"]
"""Colours of ties in the console: `.tie-NAME` in `moderation/web/static/pages.css` has a light and a dark one."""


class TracedEvent(NamedTuple):
    """What of an event can be shared with other accounts.

    Args:
        account: whose event it is.
        action: `post`, `reply`, `repost`, `quote`, `like` or `follow`.
        target: id of the event that it acts upon, "" without one.
        target_account: whose that is, or who is followed, "" where unknown.
        urls: normalised links, not too many.
        domains: of the links, each once.
        hashtags: without `#`, in lower case.
        mentions: names of accounts, not too many.
        text: what was written, "" without.
        cluster: of nearly equal texts, None without one.
    """

    account: str
    action: str
    target: str = ""
    target_account: str = ""
    urls: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    hashtags: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    text: str = ""
    cluster: str | None = None


Take: TypeAlias = Callable[[TracedEvent], Iterable[str]]
"""From an event to the keys of its shared objects of one kind. A key names one object of the kind for good."""

ActedUpon: TypeAlias = Callable[[str], tuple[str, str] | None]
"""From the key of an object to (interaction, account) where the object is somebody's."""


@dataclass(frozen=True)
class TraceKind:
    """A kind of trace.

    Args:
        name: in alerts (`edges.kind`), records and snapshots; lower case with underscores.
        singular: one shared object in a sentence, as in "they met in ...": "the same link".
        plural: several of them: "the same links".
        title: of a tie in the console.
        take: the shared objects of an event; None for a kind that is derived from others at a search.
        actions: the only ones whose events can have such an object, so that others need not be looked at; None: any.
        window_ms: how long after each other two accounts may use an object and still coincide.
        direct: whether the object is the target of the event, so that the account acts upon the target's account.
        acted_upon: whose the object is.
        readable: whether the key of an object says something to a person; others are ids.
        look: its colour in the console.
    """

    name: str
    singular: str
    plural: str
    title: str
    take: Take | None
    window_ms: int = 24 * HOUR_MS
    direct: bool = False
    acted_upon: ActedUpon | None = None
    readable: bool = False
    look: Look = "other"
    actions: tuple[str, ...] | None = None


def object_key(account: str, event: str) -> str:
    """The object that the event `event` of `account` is; ids need not be unique across accounts."""
    return f"{account}\n{event}" if account else event


def owner(interaction: str) -> ActedUpon:
    """Reads the account off an `object_key`."""

    def of(key: str) -> tuple[str, str] | None:
        account, known, _ = key.partition("\n")
        return (interaction, account) if known else None

    return of


def target_of(action: str) -> Take:
    """Takes the target of events that do `action`."""

    def take(event: TracedEvent) -> Iterable[str]:
        return (object_key(event.target_account, event.target),) if event.action == action and event.target else ()

    return take
