"""Whose post was answered, where a platform names the post and not its account: a join, by time.

Reddit, Telegram, YouTube and some tables name what was answered or passed on (`target`) and not who wrote it
(`target_account`). Records in the order of their time have the answered post first, so that one pass finds its account,
whatever order the files were in; where times are rough (`at_precision_s`) it may come later, and is found among
those that `Parents` noted while they were read. Only what the recording itself holds can be found.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from streaming.sources.base import SourceRecord

POSTS_KEPT: Final = 2_000_000
"""Latest posts whose account is remembered, about 400 MB: more answers than nearly all come within so many posts."""


class _Named(msgspec.Struct):
    id: str
    account: str
    kind: str
    target: str = ""
    target_account: str = ""


_named = msgspec.json.Decoder(_Named)


class Parents:
    """Whose posts are whose, noted as they are read, before they are in order: the first `kept` of them.

    Args:
        kept: posts that are noted.
    """

    def __init__(self, kept: int = POSTS_KEPT) -> None:
        self.known: dict[str, str] = {}
        self._kept = kept

    def note(self, record: SourceRecord) -> None:
        """Note whose post a record is."""
        if len(self.known) < self._kept and (event := _event(record)) is not None and event.kind != "delete":
            self.known.setdefault(event.id, event.account)


def with_parents(
    records: Iterable[SourceRecord], kept: int = POSTS_KEPT, known: Mapping[str, str] | None = None
) -> Iterator[SourceRecord]:
    """The records, with `target_account` where it was missing and the target was among the posts before, or is known.

    Args:
        records: by time.
        kept: latest posts that are remembered.
        known: account of further posts, by id.
    """
    further = known or {}
    newer: dict[str, str] = {}
    older: dict[str, str] = {}
    for record in records:
        event = _event(record)
        if event is None:
            yield record
            continue
        if event.target and not event.target_account and event.kind != "delete":
            found = newer.get(event.target) or older.get(event.target) or further.get(event.target)
            if found is not None:
                whole: dict[str, Any] = msgspec.json.decode(record.value)
                value = msgspec.json.encode(whole | {"target_account": found})
                record = msgspec.structs.replace(record, value=value)
        newer[event.id] = event.account
        if len(newer) * 2 > kept:
            newer, older = {}, newer
        yield record


def _event(record: SourceRecord) -> _Named | None:
    if record.problem is not None or record.oversize is not None:
        return None
    try:
        return _named.decode(record.value)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
