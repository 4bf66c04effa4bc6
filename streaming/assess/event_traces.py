"""From an event to its traces: which shared objects the account left a trace on that another account could have too.

What a trace of each kind is, is a row of `graph.traces.KIND_TABLE`; here an observation of the log becomes the event
that those rows read.
"""

from __future__ import annotations

from typing import Final

import msgspec

from graph.trace_kind import TracedEvent
from graph.traces import Trace, traces_of
from streaming.assess.store import AccountTable
from streaming.schema.entities import domain_of
from streaming.schema.observation import Kind, Observation

OBJECTS_PER_KIND: Final = 8
"""Links, and accounts mentioned, taken of one event: more are a list, not a choice, and would flood the window."""

UNKNOWN: Final = -1
"""Row of an account that has none."""

_ACTIONS: Final = tuple(kind.name.lower() for kind in Kind)


def observed_traces(event: Observation, row: int, accounts: AccountTable, cluster: str | None) -> list[Trace]:
    """The traces of one event, next to each other as `graph` wants them.

    Args:
        event: no deletion.
        row: whose it is.
        accounts: rows of the accounts acted upon, where they have one.
        cluster: of nearly equal texts, None without one.
    """
    other = UNKNOWN
    if event.target_account and event.target_account != event.account:
        found = accounts.find(event.target_account)
        other = UNKNOWN if found is None else found
    urls = event.urls[:OBJECTS_PER_KIND]
    domains = tuple(domain for domain in dict.fromkeys(map(domain_of, urls)) if domain) if urls else ()
    traced = TracedEvent(
        event.account, _ACTIONS[event.kind], event.target, event.target_account, urls, domains, event.hashtags,
        event.mentions[:OBJECTS_PER_KIND], event.text, cluster,
    )  # fmt: skip
    return traces_of(traced, event.at, row, other)


def named_traces(event: Observation, row: int, accounts: AccountTable) -> list[Trace]:
    """The traces of what a text names: links, their sites, hashtags, accounts. An edit can leave no others.

    Args:
        event: with a text.
        row: whose it is.
        accounts: rows of the accounts acted upon; nobody is by an edit.
    """
    alone = msgspec.structs.replace(event, kind=int(Kind.POST), target="", target_account="")
    return observed_traces(alone, row, accounts, None)
