"""The events of a tick in their order: duplicates and deletions settled, the rest gathered for the arrays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from detector.text.features import TEXT_FEATURES, TextAbstain
from graph.traces import Trace
from streaming.assess.feedback import Rulings
from streaming.assess.groups import Groups, observed_traces
from streaming.assess.ordering import Counts, Languages, RecentKeys, Seen, event_key
from streaming.assess.settings import AssessSettings
from streaming.assess.store import UNSAID, Accounts, Kept, NearDuplicates, Texts, Timeline
from streaming.schema.observation import Kind, Observation


def _offset(name: str) -> int:
    fields = TEXT_FEATURES.fields
    assert fields is not None
    return int(fields[name][1])


_LLR_AT: Final = _offset("llr")
_ABSTAIN_AT: Final = _offset("abstain")

# Plain integers: looking up an enum's member costs half a microsecond, per event and member.
_DELETE: Final = int(Kind.DELETE)
_DELETE_ACCOUNT: Final = int(Kind.DELETE_ACCOUNT)
_NO_TEXT: Final = int(TextAbstain.NO_TEXT)
_GIVES: Final = int(TextAbstain.NONE)


@dataclass
class Handled:
    """What the events of one tick come to."""

    seen: Seen = field(default_factory=Seen)
    touches: list[Trace] = field(default_factory=list)
    names: list[int] = field(default_factory=list)
    """Hash of the id of each event in `seen`."""
    deleted: list[tuple[int, bytes]] = field(default_factory=list)
    """(row, event key) of deleted events, whether or not anything was kept of them."""
    forgotten: dict[int, str] = field(default_factory=dict)
    """Rows of deleted accounts, with their names."""
    forgotten_names: set[str] = field(default_factory=set)
    """All deleted accounts, also those that had no row (any more)."""
    with_texts: set[int] = field(default_factory=set)
    """Rows of which a text was kept."""
    texts: int = 0
    duplicates: int = 0
    last: dict[int, int] = field(default_factory=dict)
    """Row -> time of its last event."""


class Handler:
    """Handles events in order. `counts` are those of the ordering, which settles the other two outcomes."""

    def __init__(
        self,
        settings: AssessSettings,
        accounts: Accounts,
        texts: Texts,
        timeline: Timeline,
        groups: Groups,
        rulings: Rulings,
        counts: Counts,
    ) -> None:
        self.counts = counts
        self._accounts = accounts
        self._texts = texts
        self._timeline = timeline
        self._groups = groups
        self._rulings = rulings
        self._with_text = "text" not in settings.without
        window = settings.duplicate_window_ms
        self._events = RecentKeys(window)
        self._deleted_events = RecentKeys(window)
        self._deleted_accounts = RecentKeys(window)
        self._near = NearDuplicates()
        self._languages = Languages()

    def handle(self, events: Iterable[Observation]) -> Handled:
        """Handle the events of one tick, in order."""
        done = Handled()
        counts, remembered = self.counts, self._events
        for seen in events:
            key = event_key(seen.account, seen.id)
            if remembered.get(key, seen.at) is not None:
                counts.duplicate += 1
                done.duplicates += 1
                continue
            remembered.put(key, seen.at)
            counts.accepted += 1
            if seen.kind == _DELETE_ACCOUNT:
                self._delete_account(seen, done)
            else:
                self._event(seen, key, done)
        return done

    def _event(self, seen: Observation, key: bytes, done: Handled) -> None:
        accounts = self._accounts
        row = accounts.find(seen.account)
        if row is None:
            row = accounts.row(seen.account)
            if self._rulings.any:
                self._rulings.returning(row, seen.account)
        done.last[row] = seen.at
        if seen.kind == _DELETE:
            self._delete(seen, row, done)
            return
        if seen.reading:
            done.texts += 1
        if self._is_deleted(seen, key):
            accounts.posts[row] += bool(seen.reading)
            return
        if seen.automated != UNSAID:
            accounts.automated[row] = seen.automated
        done.seen.add(row, seen, self._languages.code(seen.lang))
        done.names.append(_short(key))
        cluster = None
        if seen.reading and self._with_text:
            cluster = self._near.key(seen.reading, seen.at)
            if self._keep(row, seen):
                done.with_texts.add(row)
        if self._groups.gathers:
            done.touches.extend(observed_traces(seen, row, accounts, cluster))

    def _is_deleted(self, seen: Observation, key: bytes) -> bool:
        if self._deleted_events and self._deleted_events.get(key, seen.at) is not None:
            return True
        accounts = self._deleted_accounts
        return bool(accounts) and accounts.get(event_key(seen.account, ""), seen.at) is not None

    def _keep(self, row: int, seen: Observation) -> bool:
        """Keep an event's text, unless it is somebody else's."""
        abstain = seen.reading[_ABSTAIN_AT]
        if abstain == _NO_TEXT:
            return False
        llr = int.from_bytes(seen.reading[_LLR_AT : _LLR_AT + 2], "little", signed=True)
        kept = Kept(seen.at, seen.id, seen.text, seen.lang, llr, llr, gives=abstain == _GIVES)
        self._texts.add(row, kept)
        return True

    def _delete(self, seen: Observation, row: int, done: Handled) -> None:
        if not seen.target:
            return
        key = event_key(seen.account, seen.target)
        self._deleted_events.put(key, seen.at)
        self._texts.forget_event(row, seen.target)
        done.deleted.append((row, key))

    def _delete_account(self, seen: Observation, done: Handled) -> None:
        self._deleted_accounts.put(event_key(seen.account, ""), seen.at)
        done.forgotten_names.add(seen.account)
        if self._accounts.find(seen.account) is None:
            return
        row = self._accounts.give_up(seen.account)
        done.forgotten[row] = seen.account
        done.seen.forget(row)
        done.last.pop(row, None)
        self._texts.forget([row])

    def store(self, done: Handled) -> None:
        """Put what was gathered into timeline and window, and take out what was deleted."""
        accounts = self._accounts
        if done.last:
            accounts.last_at[list(done.last)] = list(done.last.values())
        rows = np.array(done.seen.rows, np.int64)
        live = rows >= 0
        if live.any():
            self._timeline.add(
                rows[live],
                np.array(done.seen.times, np.int64)[live],
                np.array(done.seen.kinds, np.int8)[live],
                np.array(done.names, np.uint32)[live],
            )
        gone = done.forgotten
        if gone:
            self._groups.add([touch for touch in done.touches if touch.account not in gone and touch.other not in gone])
        else:
            self._groups.add(done.touches)
        if done.deleted:
            named = [(row, _short(key)) for row, key in done.deleted if row not in gone]
            self._groups.forget_events(self._timeline.find(named))

    def state(self) -> dict[str, Any]:
        """For a snapshot; `restore` is the inverse."""
        return {
            "events": self._events.state(),
            "deleted_events": self._deleted_events.state(),
            "deleted_accounts": self._deleted_accounts.state(),
            "near": self._near.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        self._events.restore(state["events"])
        self._deleted_events.restore(state["deleted_events"])
        self._deleted_accounts.restore(state["deleted_accounts"])
        self._near.restore(state["near"])


def _short(key: bytes) -> int:
    return int.from_bytes(key[:4], "little")
