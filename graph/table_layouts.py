"""What the columns of a table of traces mean: recognised by the header, or named by whoever reads the table.

A table holds who shared what, and when. `layout_of` says which of its columns names the account, the time, and the
shared objects, of which a row may have several of different kinds: a row of coordination-network-toolkit says in four
columns what was reposted, answered, linked to and written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from detector.errors import UsageError
from graph.traces import GIVEN_NAMES, given_kind

Form: TypeAlias = Literal["one", "words", "text"]
"""How a column holds objects: one, or a list as Python or JSON writes it; several with spaces between; a text, which is
one object with everybody who wrote the same, mentions, capitals and spacing left out."""


class SharedColumn(NamedTuple):
    """A column that holds shared objects.

    Args:
        column: its name.
        kind: of the objects; "" where the kind column, or else the default, says it.
        form: how it holds them.
        own: whether it counts only in rows that are no reposts, whose links and words are another account's.
    """

    column: str
    kind: str = ""
    form: Form = "one"
    own: bool = False


@dataclass(frozen=True)
class Layout:
    """The meaning of a table's columns.

    Args:
        source: what tables like this are called, or their columns.
        account: column of the account.
        at: column of the time.
        shared: columns of shared objects.
        kind: column of the kind, "" without one.
        label: column of a name to show beside the account, "" without one.
        repost: column that is filled in rows that are reposts, "" without one.
        sparse: whether rows without any shared object are ordinary.
    """

    source: str
    account: str
    at: str
    shared: tuple[SharedColumn, ...]
    kind: str = ""
    label: str = ""
    repost: str = ""
    sparse: bool = False

    def columns(self) -> list[str]:
        """The columns it needs, each once."""
        named = [self.account, self.at, *(each.column for each in self.shared), self.kind, self.label, self.repost]
        return list(dict.fromkeys(name for name in named if name))


COORTWEET: Final = Layout("CooRTweet", "account_id", "timestamp_share", (SharedColumn("object_id"),))
"""What `prep_data` of CooRTweet (Righetti & Balluff 2025) makes of any platform's data; `content_id` is not needed."""

TOOLKIT: Final = Layout(
    "coordination-network-toolkit", "user_id", "timestamp",
    (
        SharedColumn("repost_id", "repost"),
        SharedColumn("reply_id", "reply_target", own=True),
        SharedColumn("urls", "link", "words", own=True),
        SharedColumn("message", "near_duplicate", "text", own=True),
    ),
    label="username", repost="repost_id", sparse=True,
)  # fmt: skip
"""The CSV of QUT's coordination-network-toolkit (Graham & QUT Digital Observatory 2020): its co-retweet, co-reply,
co-link and co-tweet networks in one."""

EVENTS: Final = Layout(
    "post events", "account", "at",
    (
        SharedColumn("target"),
        SharedColumn("urls", "link"),
        SharedColumn("hashtags", "hashtag"),
        SharedColumn("text", "near_duplicate", "text"),
    ),
    kind="kind", sparse=True,
)  # fmt: skip
"""What `swarmlight run` reads (docs/reference/events.md), as JSON. What its kinds do to `target` is `ACTIONS`."""

ACTIONS: Final = {"reply": "reply_target"}
"""Kinds of events that are called otherwise as traces; `post` acts upon nothing."""

_ACCOUNT: Final = ("account", "account_id", "user_id", "author_id", "user", "author", "username", "screen_name", "did")

_AT: Final = (
    "at", "timestamp", "timestamp_share", "created_at_unix", "created_at", "created_utc", "time", "datetime", "date",
)  # fmt: skip

_OBJECT: Final = {
    "object": "", "object_id": "", "shared_object_id": "", "url": "link", "urls": "link", "link": "link",
    "expanded_url": "link", "hashtag": "hashtag", "hashtags": "hashtag", "repost_of": "repost",
    "retweet_id": "repost", "retweeted_id": "repost", "repost_id": "repost", "reply_to": "reply_target",
    "in_reply_to_status_id": "reply_target", "quoted_id": "quote",
}  # fmt: skip
"""Names of columns for the object -> the kind that they imply. Here and above, what comes first is taken first."""


def layout_of(header: Sequence[str], asked: str, where: str) -> Layout:
    """The layout of a table.

    Args:
        header: names of its columns.
        asked: names of the columns of account, object, time and perhaps kind, with commas between; "" to recognise
            them.
        where: the table, for messages.

    Raises:
        UsageError: the columns are not there, or cannot be recognised.
    """
    spelled = {name.strip().casefold(): name for name in reversed(header)}

    def spelling(name: str) -> str:
        return name if name in header else spelled.get(name.strip().casefold(), "")

    if asked:
        names = [name.strip() for name in asked.split(",")]
        if len(names) not in (3, 4) or not all(names):
            raise UsageError(f"--columns {asked}: name three or four columns, as in account,object,at,kind")
        absent = [name for name in names if not spelling(name)]
        if absent:
            raise UsageError(f"{where}: has no column {absent[0]!a} (--columns); its columns are {_listed(header)}")
        account, shared, at, kind = [*map(spelling, names), ""][:4]
        return Layout("--columns", account, at, (SharedColumn(shared),), kind)
    if {"id", "account", "at", "kind"} <= set(header) and "object" not in header:
        return EVENTS
    for known in (TOOLKIT, COORTWEET):
        if all(spelling(name) for name in known.columns()):
            return _spelled(known, spelling)
    account, at, shared = (
        next((spelling(name) for name in names if spelling(name)), "") for names in (_ACCOUNT, _AT, tuple(_OBJECT))
    )
    missing = [what for what, name in (("account", account), ("object", shared), ("time", at)) if not name]
    if missing:
        raise UsageError(
            f"{where}: which column is the {missing[0]}? Its columns are {_listed(header)}; "
            "name three with --columns ACCOUNT,OBJECT,TIME, or read a recording of a platform with --format auto"
        )
    implied = _OBJECT[shared.strip().casefold()]
    return Layout(
        f"{account}, {shared}, {at}", account, at, (SharedColumn(shared, implied),), "" if implied else spelling("kind")
    )


def given_or_refused(option: str, name: str) -> int:
    """The number of a kind that an option names.

    Args:
        option: for the message.
        name: of the kind.

    Raises:
        UsageError: there is no such kind.
    """
    number = given_kind(name)
    if number is None:
        raise UsageError(f"{option} {name!a}: known are {', '.join(GIVEN_NAMES)}")
    return number


def _spelled(layout: Layout, spelling: Callable[[str], str]) -> Layout:
    return Layout(
        layout.source, spelling(layout.account), spelling(layout.at),
        tuple(each._replace(column=spelling(each.column)) for each in layout.shared),
        layout.kind, spelling(layout.label) if layout.label else "", spelling(layout.repost) if layout.repost else "",
        layout.sparse,
    )  # fmt: skip


SHOWN_COLUMNS: Final = 20
"""Names of columns that a message lists; a table of hundreds would fill the terminal."""


def _listed(header: Sequence[str]) -> str:
    more = len(header) - SHOWN_COLUMNS
    shown = ", ".join(ascii(name[:40])[1:-1] for name in header[:SHOWN_COLUMNS])
    return f"{shown} and {more} more" if more > 0 else shown or "none"
