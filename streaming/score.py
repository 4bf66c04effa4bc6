"""The core of the stage `score`: records of `posts` become observations. It remembers nothing.

Records enter in chunks of any size, one call of the text model each; what is said of a record depends on that record
(and the time it was written) alone, so a chunk scored again, or cut elsewhere, says the same. Dead records leave as
dead letters and as observations that say no more than that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final, Protocol

import msgspec
import numpy as np

from detector.errors import EventError, LogError
from detector.text.features import TEXT_FEATURES, TextAbstain, TextFeatures, pack
from detector.text.tokenize import settle_language, unpadded
from streaming.schema.dead_letter import DeadLetter, dead_letter
from streaming.schema.event import Event, Profile, parse
from streaming.schema.observation import BATCH_BYTES, NO_TIME, TEXT_CUT, Batch, Kind, Observation, encode
from streaming.sources.base import SourceRecord
from streaming.watermark import Watermark

WRITTEN: Final = frozenset({Kind.POST, Kind.REPLY, Kind.QUOTE})
"""Kinds whose text the account wrote itself. The text that comes with a repost or a like is somebody else's and no
evidence about this account: its features abstain with `TextAbstain.NO_TEXT`."""

TIMING_S: Final = 60
"""How roughly the time of an event may be known, in seconds, if it is to be evidence of timing: a minute, as tables of
research have it, and the shortest window in which acts count as together."""

DIGEST_BYTES: Final = 16
"""Bytes of the SHA-256 of a record that order duplicates: enough that two different records never tie."""


_ROUGH: Final = (
    f"is more than {TIMING_S}: the time is no evidence of timing; leave that out, "
    "as `run --without behaviour coordination graph` does"
)


LanguageChoice = Callable[[str, str, Collection[str]], str]
"""(text, declared tag, languages that can be read) -> the language the text is read in, "" where there is none."""


class FirstStageReader(Protocol):
    """The first-stage text model as `score` needs it (`detector.text.first_stage.FirstStageModel` is one)."""

    name: str
    version: str

    @property
    def languages(self) -> Collection[str]:
        """Primary tags of the languages it gives evidence in."""
        ...

    def read(self, texts: Sequence[str], langs: Sequence[str]) -> TextFeatures:
        """Features of every text; row i depends on `texts[i]` and `langs[i]` alone."""
        ...


class Scorer:
    """Scores chunks of records.

    Args:
        text: the first-stage model; None leaves text evidence out everywhere (`--without text`).
        language: in which language a text is read; what was declared is a hint to it and no more.
        timing: whether times are evidence; events whose time is known too roughly for that (`TIMING_S`) are dead then.
    """

    def __init__(
        self, text: FirstStageReader | None, *, language: LanguageChoice = settle_language, timing: bool = True
    ) -> None:
        self._text = text
        self._language = language
        self._timing = timing
        self.texts_cut = 0
        """Events so far whose text was too long to be read whole (`streaming.schema.event.TEXT_BYTES`)."""

    @property
    def models(self) -> dict[str, str]:
        """Name and version of every model used, as batches carry them."""
        return {} if self._text is None else {"text": f"{self._text.name}@{self._text.version}"}

    def score(self, records: Sequence[SourceRecord], now_ms: int) -> tuple[list[Observation], list[DeadLetter]]:
        """One observation per record, in order, and one dead letter per dead record, in order.

        Args:
            records: of one partition, in order of their offsets.
            now_ms: the present, ms since 1970: the time a record was written where it does not say, and when it was
                found dead.
        """
        events: list[Event | None] = []
        letters: list[DeadLetter] = []
        for record in records:
            try:
                event = event_of(record, now_ms)
                if self._timing and event.at_precision_s > TIMING_S:
                    raise EventError("at_precision_s", _ROUGH)
            except EventError as error:
                events.append(None)
                letters.append(dead_letter(record, error, now_ms))
                continue
            events.append(event)
            self.texts_cut += event.text_cut
        texts = ["" if event is None else cut_text(event.text) for event in events]
        langs = self._languages(events, texts)
        features = self._read(events, texts, langs)
        observations = [
            _dead(record) if event is None else _observation(record, event, texts[i], langs[i], features[i])
            for i, (record, event) in enumerate(zip(records, events, strict=True))
        ]
        return observations, letters

    def _languages(self, events: list[Event | None], texts: list[str]) -> list[str]:
        """Of each event: of what the account wrote itself the text decides, of the rest what was declared."""
        readable = () if self._text is None else self._text.languages
        return [
            ""
            if event is None
            else self._language(text, event.lang, readable)
            if text and event.kind in WRITTEN
            else event.lang
            for event, text in zip(events, texts, strict=True)
        ]

    def _read(self, events: list[Event | None], texts: list[str], langs: list[str]) -> list[bytes]:
        """Packed features of the texts, b"" where there is no text."""
        own = [i for i, event in enumerate(events) if event is not None and texts[i] and event.kind in WRITTEN]
        rows = [b"" if not text else _OTHERS_TEXT for text in texts]
        if self._text is None:
            return [row and _SWITCHED_OFF for row in rows]
        if own:
            read = self._text.read([texts[i] for i in own], [langs[i] for i in own])
            for i, row in zip(own, pack(read), strict=True):
                rows[i] = row
        return rows


def cut_text(text: str) -> str:
    """What is kept of a text: its first `TEXT_CUT` characters, without leading white space where they were blank.

    Of a longer text, characters that nobody sees are left out first, as a model that reads the text leaves them out.
    """
    text = unpadded(text)
    cut = text[:TEXT_CUT]
    return cut if not text or not cut.isspace() else text.lstrip()[:TEXT_CUT]


def cut(
    observations: Sequence[Observation],
    *,
    partition: int,
    partitions: int,
    start: int,
    end: int,
    watermark: Watermark,
    models: Mapping[str, str],
    offset_gap: int = 0,
    limit: int = BATCH_BYTES,
) -> Iterator[Batch]:
    """Batches of at most `limit` encoded bytes that together cover source offsets [`start`, `end`) without a gap.

    Every batch reaches to the first observation of the next one, so offsets that hold no record are covered too; with
    no observation at all one empty batch covers the range, and an empty range gives no batch.

    Args:
        observations: all that were read in the range, by ascending offset.
        watermark: the writer's clock of the partition, moved on here record by record; batches carry its value. A
            writer that starts in the middle raises it first to what the last batch of the partition carries.
        offset_gap: source offsets before `start` that retention removed unread; the first batch carries it.
        limit: for tests; a single observation must fit.

    Raises:
        LogError: observations out of order or outside the range, or one that alone is larger than `limit`.
    """
    room = limit - _envelope(models)
    held: list[Observation] = []
    size, first, last = 0, start, start - 1
    base = Batch(partition, partitions, start, end, NO_TIME, dict(models), [], offset_gap)
    for observation in observations:
        if not last < observation.offset < end:
            raise LogError(f"observation at offset {observation.offset} does not follow {last} within [{start}, {end})")
        last = observation.offset
        bytes_needed = len(_encoder.encode(observation))
        if bytes_needed > room:
            raise LogError(f"one observation takes {bytes_needed} bytes and does not fit a batch of {limit}")
        if held and size + bytes_needed > room:
            yield msgspec.structs.replace(
                base, start=first, end=observation.offset, watermark=watermark.value, observations=held
            )
            base = msgspec.structs.replace(base, offset_gap=0)
            first, held, size = observation.offset, [], 0
        held.append(observation)
        size += bytes_needed
        if not observation.dead:
            watermark.see(observation.at, observation.stamp, observation.broker_stamp)
    if first < end:
        yield msgspec.structs.replace(base, start=first, end=end, watermark=watermark.value, observations=held)


_encoder = msgspec.msgpack.Encoder()

_LARGEST: Final = 2**62


def _envelope(models: Mapping[str, str]) -> int:
    """Encoded bytes of a batch beside its observations, at most: 4 more for the longest list's length."""
    empty = Batch(_LARGEST, _LARGEST, _LARGEST, _LARGEST, NO_TIME, dict(models), [], _LARGEST)
    return len(encode(empty)) + 4


def _abstaining(reason: TextAbstain) -> bytes:
    row = np.zeros(1, TEXT_FEATURES)
    row["abstain"] = reason
    return row.tobytes()


_OTHERS_TEXT: Final = _abstaining(TextAbstain.NO_TEXT)
_SWITCHED_OFF: Final = _abstaining(TextAbstain.SWITCHED_OFF)


def event_of(record: SourceRecord, now_ms: int) -> Event:
    """The event in a record.

    Raises:
        EventError: it is dead: its field and the reason.
    """
    if record.oversize is not None:
        raise EventError("", "is longer than any event can be")
    if record.problem is not None:
        raise EventError(record.problem.field, record.problem.reason)
    return parse(record.value, now_ms=now_ms if record.stamp < 0 else record.stamp)


_NO_PROFILE: Final = Profile()


def _dead(record: SourceRecord) -> Observation:
    return Observation(record.offset, True, record.stamp)


def _observation(record: SourceRecord, event: Event, text: str, lang: str, features: bytes) -> Observation:
    said = event.profile or _NO_PROFILE
    return Observation(
        record.offset,
        False,
        record.stamp,
        event.at,
        event.account,
        event.id,
        hashlib.sha256(record.value).digest()[:DIGEST_BYTES],
        int(event.kind),
        lang,
        text,
        features,
        event.target,
        event.target_account,
        event.mentions,
        event.urls,
        event.hashtags,
        -1 if said.automated is None else int(said.automated),
        record.broker_stamp,
        -1 if said.created_at is None else said.created_at,
        -1 if said.followers is None else max(said.followers, -1),
    )
