"""Builds logs, plays them into `Assess`, and reduces states and outputs to values that can be compared."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import msgspec
import numpy as np

from detector.models import Models
from streaming.assess import Answer, Assess, AssessSettings, Gone, RerankRequest, TickOutput
from streaming.assess.ordering import event_order
from streaming.assess.snapshot import members, read, write
from streaming.schema.alert import AlertRecord, read_alert
from streaming.schema.feedback import DecisionKind, FeedbackRecord, encode_feedback
from streaming.schema.observation import Batch, End, Entry, Feedback, Observation
from streaming.schema.score import ScoreRecord
from streaming.score import Scorer
from streaming.sources.base import SourceRecord
from tests.streaming import builders
from tests.streaming.assess.fakes import ScriptedGroups, meanings
from tests.streaming.assess.fakes import models as fake_models

SETTINGS = AssessSettings(
    tick_s=60, campaign_tick_s=600, second_stage_texts_per_s=0.05, meaning_texts_per_s=0.05, min_texts=1
)


MILD = "robot said the old man here"
"""A text that speaks for a machine, by a nat."""


def posts(
    account: str, count: int, text: str = MILD, *, start: int = 0, step: int = 60_000, lang: str = "en"
) -> list[dict[str, Any]]:
    """Texts of one account, `step` ms apart."""
    return [
        builders.event(account, at=start + i * step, id=f"{account}-{start}-{i}", text=text, lang=lang)
        for i in range(count)
    ]


def score(items: Iterable[dict[str, Any]], bundle: Models | None = None) -> list[Observation]:
    """What `score` sees in post events given as dictionaries."""
    records = [SourceRecord(i, -1, builders.record(item)) for i, item in enumerate(items)]
    observed, _ = Scorer(
        (bundle or fake_models()).text, language=lambda text, declared, readable: declared or "en"
    ).score(records, builders.T0 + 10**11)
    return observed


def logs(
    observations: Sequence[Observation], partitions: int, cuts: random.Random, *, keyed: bool = False
) -> list[list[Entry]]:
    """The logs of some partitions: every observation in one of them, in batches of random lengths, closed."""
    spread: list[list[Observation]] = [[] for _ in range(partitions)]
    for seen in observations:
        place = sum(seen.account.encode()) % partitions if keyed else cuts.randrange(partitions)
        spread[place].append(_at(seen, len(spread[place])))
    result: list[list[Entry]] = []
    for number, held in enumerate(spread):
        entries: list[Entry] = []
        start = 0
        while start < len(held):
            stop = min(len(held), start + cuts.randint(1, 9))
            entries.append(builders.batch(held[start:stop], partition=number, partitions=partitions))
            start = stop
        entries.append(End(number, partitions, len(held)))
        result.append(entries)
    return result


def _at(seen: Observation, offset: int) -> Observation:

    return msgspec.structs.replace(seen, offset=offset)


def repeated(entries: Sequence[Entry], cuts: random.Random) -> list[Entry]:
    """The same log as a writer that crashed and began again might have left it: repeated and overlapping batches."""
    seen: list[Observation] = []
    result: list[Entry] = []
    for entry in entries:
        result.append(entry)
        if isinstance(entry, Batch):
            seen += entry.observations
            if cuts.random() < 0.4:
                back = cuts.randint(1, min(len(seen), 12))
                again = seen[-back:]
                first = again[: cuts.randint(1, len(again))]
                result.append(builders.batch(first, partition=entry.partition, partitions=entry.partitions))
    return result


def overlapping(entries: Sequence[Entry], cuts: random.Random) -> list[Entry]:
    """The same log cut otherwise, some batches reaching back over what was already written."""
    seen = [each for entry in entries if isinstance(entry, Batch) for each in entry.observations]
    first = entries[0]
    result: list[Entry] = []
    done = 0
    while done < len(seen):
        start = max(0, done - cuts.randint(0, 5))
        stop = min(len(seen), done + cuts.randint(1, 20))
        result.append(builders.batch(seen[start:stop], partition=first.partition, partitions=first.partitions))
        done = stop
    return [*result, *(entry for entry in entries if not isinstance(entry, Batch))]


def interleaved(parts: Sequence[Sequence[Entry]], order: random.Random) -> Iterator[Entry]:
    """One order in which a reader may see several logs."""
    left = [list(part) for part in parts]
    while any(left):
        part = order.choice([part for part in left if part])
        yield part.pop(0)


@dataclass
class Played:
    """What came out."""

    assess: Assess
    outputs: list[TickOutput] = field(default_factory=list)

    def alerts(self) -> list[AlertRecord]:
        """Every revision, in order."""
        return [read_alert(alert.body) for output in self.outputs for alert in output.alerts]

    def scores(self) -> dict[str, ScoreRecord]:
        """Scores by account."""
        return {row.account: row for row in self.assess.scores()}

    def gone(self) -> list[Gone]:
        return [each for output in self.outputs for each in output.gone]

    def said(self) -> list[Any]:
        """All outputs of ticks that said anything."""
        return [
            (o.tick_ms, o.alerts, o.details, o.accounts, o.gone, *(part.tolist() for part in o.rerank_answer))
            for o in self.outputs
            if o.alerts or o.details or o.accounts or o.gone or not o.rerank_answer.empty
        ]


def echo(request: RerankRequest) -> Answer:
    """A second stage that finds every text half a nat more machine-like, and vectors that differ where texts do."""
    return Answer((request.first_stage + 500).astype(np.int16), meanings(request.meanings))


def drain(assess: Assess) -> list[TickOutput]:
    """Every tick that is due."""
    outputs = []
    while (output := assess.advance(echo)) is not None:
        outputs.append(output)
    return outputs


def begin(settings: AssessSettings = SETTINGS, partitions: int = 1, bundle: Models | None = None) -> Assess:
    """A fresh state machine with fake models."""
    return Assess(settings, bundle or fake_models(second_stage=object(), meaning=object()), partitions)


def play(
    entries: Iterable[Entry],
    settings: AssessSettings = SETTINGS,
    partitions: int = 1,
    bundle: Models | None = None,
    *,
    snapshots: Iterable[int] = (),
    lazy: bool = False,
    groups: ScriptedGroups | None = None,
) -> Played:
    """Feed entries and run every due tick.

    Args:
        snapshots: numbers of entries after which the state is written, and a fresh machine goes on from it.
        lazy: run ticks only at the end.
        groups: instead of those that are searched for.
    """
    played = Played(begin(settings, partitions, bundle))
    if groups is not None:
        groups.take_over(played.assess)
    places = set(snapshots)
    for number, entry in enumerate(entries):
        played.assess.feed(entry)
        if number in places:
            played.assess = through_disk(played.assess, settings, partitions, bundle)
        if not lazy:
            played.outputs += drain(played.assess)
    played.outputs += drain(played.assess)
    return played


def through_disk(
    assess: Assess, settings: AssessSettings = SETTINGS, partitions: int = 1, bundle: Models | None = None
) -> Assess:
    """The state after being written and read back."""
    file = BytesIO()
    write(file, assess)
    file.seek(0)
    fresh = begin(settings, partitions, bundle)
    read(file, fresh, "a snapshot")
    return fresh


def written(assess: Assess) -> bytes:
    """The bytes of a snapshot."""
    file = BytesIO()
    write(file, assess)
    return file.getvalue()


def picture(assess: Assess, *, log: bool = True) -> dict[str, Any]:
    """The whole state as plain values by name.

    Args:
        log: whether to show what depends on how the log was cut or spread.
    """
    state = assess.state
    parts: dict[str, Any] = dict(members(state)) | {"alerts": state.alerts}
    if not log:
        ordering, counts = state.ordering, assess.counts
        waiting = sorted((event for bucket in ordering.waiting.values() for event in bucket), key=event_order)
        parts["ordering"] = (
            [_at(msgspec.structs.replace(event, stamp=-1), 0) for event in waiting],
            sorted((place, sorted(bodies)) for place, bodies in ordering.decisions.items()),
            (counts.accepted, counts.duplicate, counts.late, counts.dead),
        )
    return {name: _plain(part) for name, part in parts.items()}


def _plain(value: Any) -> Any:
    return (str(value.dtype), value.shape, value.tobytes()) if isinstance(value, np.ndarray) else value


def feedback(
    decision: DecisionKind, alert: str, number: str, *, at: str = "2026-01-01T00:00:00Z", **more: Any
) -> Feedback:
    """A decision in the log of the only partition."""
    record = FeedbackRecord(alert=alert, decision=decision, id=number, at=at, **more)
    return Feedback(0, 1, encode_feedback(record))
