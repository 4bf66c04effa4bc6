"""The events of a tick in their order: duplicates and deletions settled, the rest gathered for the arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Final, NamedTuple

import numpy as np

from detector.account.features import language_code
from detector.text.features import TextAbstain
from graph.traces import Trace
from streaming.assess.duplicates import event_key, text_feature_offset, text_mark
from streaming.assess.event_columns import TickEvents
from streaming.assess.event_traces import named_traces, observed_traces
from streaming.assess.feedback import Overrides
from streaming.assess.groups import Groups
from streaming.assess.settings import AssessSettings
from streaming.assess.state import State
from streaming.assess.store import UNSAID, KeptText
from streaming.schema.observation import Kind, Observation

_LLR_AT: Final = text_feature_offset("llr")
_ABSTAIN_AT: Final = text_feature_offset("abstain")

# Plain integers: looking up an enum's member costs half a microsecond, per event and member.
_DELETE: Final = int(Kind.DELETE)
_DELETE_ACCOUNT: Final = int(Kind.DELETE_ACCOUNT)
_WRITTEN: Final = frozenset(map(int, (Kind.POST, Kind.REPLY, Kind.QUOTE)))
_NO_TEXT: Final = int(TextAbstain.NO_TEXT)
_GIVES: Final = int(TextAbstain.NONE)

LANGUAGES_KEPT: Final = 4096
"""Tags whose code is remembered: a hostile stream can invent tags, there are a few hundred languages."""

_code_of = lru_cache(maxsize=LANGUAGES_KEPT)(language_code)


class Revision(NamedTuple):
    """An edit whose text names something.

    Args:
        row: of the account.
        at_ms: when it was made.
        kind: of the event, as in the observation log.
        event: hash of the event's id.
        traces: of all that the text names now.
    """

    row: int
    at_ms: int
    kind: int
    event: int
    traces: list[Trace]


@dataclass
class Taken:
    """What the events of one tick come to.

    Args:
        events: those that have an effect.
        traces: theirs.
        hashes: hash of the id of each event in `events`.
        deleted: (row, event key) of deleted events, whether or not anything was kept of them.
        forgotten: rows of deleted accounts, with their names.
        forgotten_names: all deleted accounts, also those that had no row (any more).
        with_texts: rows of which a text was kept.
        texts: events with a text.
        duplicates: events seen before.
        revisions: edits whose text names something.
        last: row -> time of its last event, ms.
        withdrawn: names (as `NearDuplicates.key` takes them) of this tick's events of deleted accounts.
    """

    events: TickEvents = field(default_factory=TickEvents)
    traces: list[Trace] = field(default_factory=list)
    hashes: list[int] = field(default_factory=list)
    deleted: list[tuple[int, bytes]] = field(default_factory=list)
    forgotten: dict[int, str] = field(default_factory=dict)
    forgotten_names: set[str] = field(default_factory=set)
    with_texts: set[int] = field(default_factory=set)
    texts: int = 0
    duplicates: int = 0
    revisions: list[Revision] = field(default_factory=list)
    last: dict[int, int] = field(default_factory=dict)
    withdrawn: list[int] = field(default_factory=list)


class Intake:
    """Takes the events of a tick in order.

    Args:
        settings: of the run.
        state: of which this class changes the accounts' rows, kept texts, recent events and what was seen before.
        groups: take the traces.
        overrides: told of accounts that have a row again.
    """

    def __init__(self, settings: AssessSettings, state: State, groups: Groups, overrides: Overrides) -> None:
        self._accounts = state.accounts
        self._texts = state.texts
        self._recent = state.recent_events
        self._seen = state.seen
        self._counts = state.ordering.counts
        self._groups = groups
        self._overrides = overrides
        self._with_text = "text" not in settings.without

    def take(self, events: Iterable[Observation]) -> Taken:
        """Settle duplicates and deletions among the events of one tick, in order, and gather the others."""
        taken = Taken()
        counts, seen = self._counts, self._seen.events
        for event in events:
            key = event_key(event.account, event.id)
            mark = text_mark(event.text) if event.kind in _WRITTEN else 0
            repeated = seen.get(key, event.at) is not None
            if repeated and seen.mark(key) == mark:
                counts.duplicate += 1
                taken.duplicates += 1
                continue
            seen.put(key, event.at, mark)
            counts.accepted += 1
            if repeated:
                counts.revised += 1
                self._revise(event, key, taken)
            elif event.kind == _DELETE_ACCOUNT:
                self._delete_account(event, taken)
            else:
                self._take_event(event, key, taken)
        if taken.forgotten:
            self._seen.texts.forget([*taken.withdrawn, *self._recent.names(taken.forgotten)])
        return taken

    def _revise(self, event: Observation, key: bytes, taken: Taken) -> None:
        """Let an edit's text take the place of the one that is kept; it is no further post of the account.

        What the text names and did not name before leaves traces at the time of the edit.
        """
        row = self._accounts.find(event.account)
        if row is None or self._is_deleted(event, key):
            return
        self._texts.revise(row, event.id, event.text, event.lang)
        if self._groups.on and (traces := named_traces(event, row, self._accounts)):
            taken.revisions.append(Revision(row, event.at, event.kind, _short(key), traces))

    def _take_event(self, event: Observation, key: bytes, taken: Taken) -> None:
        accounts = self._accounts
        row = accounts.find(event.account)
        if row is None:
            row = accounts.row(event.account)
            self._overrides.returning(row, event.account)
        taken.last[row] = event.at
        if event.kind == _DELETE:
            self._delete_event(event, row, taken)
            return
        if event.text_features:
            taken.texts += 1
        if self._is_deleted(event, key):
            accounts.posts[row] += bool(event.text_features)
            return
        if event.automated != UNSAID:
            accounts.automated[row] = event.automated
        if event.created_at != UNSAID:
            accounts.created_at[row] = event.created_at
        if event.followers != UNSAID:
            accounts.followers[row] = event.followers
        taken.events.add(row, event, _code_of(event.lang))
        taken.hashes.append(_short(key))
        cluster = None
        if event.text_features and self._with_text:
            cluster = self._seen.texts.key(event.text_features, event.at, row << 32 | _short(key))
            if self._keep_text(row, event):
                taken.with_texts.add(row)
        if self._groups.on:
            taken.traces.extend(observed_traces(event, row, accounts, cluster))

    def _is_deleted(self, event: Observation, key: bytes) -> bool:
        seen = self._seen
        if seen.deleted_events and seen.deleted_events.get(key, event.at) is not None:
            return True
        accounts = seen.deleted_accounts
        return bool(accounts) and accounts.get(event_key(event.account, ""), event.at) is not None

    def _keep_text(self, row: int, event: Observation) -> bool:
        """Keep an event's text, unless it is somebody else's."""
        abstain = event.text_features[_ABSTAIN_AT]
        if abstain == _NO_TEXT:
            return False
        llr = int.from_bytes(event.text_features[_LLR_AT : _LLR_AT + 2], "little", signed=True)
        self._texts.add(row, KeptText(event.at, event.id, event.text, event.lang, llr, llr, gives=abstain == _GIVES))
        return True

    def _delete_event(self, event: Observation, row: int, taken: Taken) -> None:
        if not event.target:
            return
        key = event_key(event.account, event.target)
        self._seen.deleted_events.put(key, event.at)
        self._texts.forget_event(row, event.target)
        self._seen.texts.forget([row << 32 | _short(key)])
        taken.deleted.append((row, key))

    def _delete_account(self, event: Observation, taken: Taken) -> None:
        self._seen.deleted_accounts.put(event_key(event.account, ""), event.at)
        taken.forgotten_names.add(event.account)
        if self._accounts.find(event.account) is None:
            return
        row = self._accounts.give_up(event.account)
        taken.forgotten[row] = event.account
        taken.withdrawn += [row << 32 | taken.hashes[place] for place in taken.events.by_row.get(row, ())]
        taken.events.forget(row)
        taken.last.pop(row, None)
        self._texts.forget([row])

    def store(self, taken: Taken) -> None:
        """Put what was gathered into recent events and the window of traces, and take out what was deleted."""
        if taken.last:
            self._accounts.last_at[list(taken.last)] = list(taken.last.values())
        gone = taken.forgotten
        handled = list(zip(taken.events.rows, taken.events.times, taken.events.kinds, taken.hashes, strict=True))
        if renamed := self._renamed([each for each in taken.revisions if each.row not in gone], taken):
            handled += [(each.row, each.at_ms, each.kind, each.event) for each in renamed]
            handled.sort(key=itemgetter(1))
            taken.traces = sorted([*taken.traces, *(trace for each in renamed for trace in each.traces)], key=_at)
        columns = np.array(handled, np.int64).reshape(-1, 4)
        columns = columns[columns[:, 0] >= 0]
        if len(columns):
            self._recent.add(
                columns[:, 0], columns[:, 1], columns[:, 2].astype(np.int8), columns[:, 3].astype(np.uint32)
            )
        if gone:
            self._groups.add([trace for trace in taken.traces if trace.account not in gone and trace.other not in gone])
        else:
            self._groups.add(taken.traces)
        if taken.deleted:
            deleted = [(row, key) for row, key in taken.deleted if row not in gone]
            named = [(row, _short(key)) for row, key in deleted]
            self._groups.forget_events(self._recent.find(named), deleted)

    def _renamed(self, revisions: Sequence[Revision], taken: Taken) -> list[Revision]:
        """Of edits, those whose text names what the event did not name before, with the traces of that alone."""
        if not revisions:
            return []
        events = {(each.row, each.event) for each in revisions}
        here = zip(taken.events.rows, taken.events.times, taken.hashes, strict=True)
        moments = set(self._recent.find(events)) | {(row, at) for row, at, name in here if (row, name) in events}
        left = self._groups.left_at(moments)
        for trace in taken.traces:
            if (trace.account, trace.at_ms) in moments:
                left.setdefault(trace.account, set()).add((trace.kind, trace.key))
        renamed = []
        for each in revisions:
            named = left.setdefault(each.row, set())
            fresh = [trace for trace in each.traces if (trace.kind, trace.key) not in named]
            named.update((trace.kind, trace.key) for trace in fresh)
            if fresh:
                renamed.append(each._replace(traces=fresh))
        return renamed


def _at(trace: Trace) -> int:
    return trace.at_ms


def _short(key: bytes) -> int:
    return int.from_bytes(key[:4], "little")
