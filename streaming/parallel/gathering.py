"""The one operator that decides: parts of slices in, in any order of shards; what `assess` says of them out.

A slice is fed to `assess` when all its parts are there, in the order of its partition. Texts that a tick asks for are
looked up among those that were read ahead, and read here where they are not among them.

What an engine keeps of this operator between two checkpoints is its *input*: every part as it came, with what was read
here. From time to time, when those have become as long as the state itself, the state takes their place (`keep`). After
a failure the operator goes on from the last state and takes the kept inputs again in silence, with the answers it had.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Final

import msgspec
import numpy as np

from detector.errors import LogError
from detector.models import Models
from detector.text.meaning import MEANING_DIM
from streaming.assess import AlertRevision, Answer, Assess, AssessSettings, Gone, Reranker, RerankRequest, TickOutput
from streaming.assess import snapshot as snapshots
from streaming.assess.ordering import Counts
from streaming.assess.outputs import Sampled
from streaming.parallel.slices import ReadTexts, ScoredPart, decode_scored, meaning_key, second_stage_key
from streaming.schema.dead_letter import DeadLetter
from streaming.schema.observation import NO_TIME, Batch, End
from streaming.schema.score import ScoreRecord

ANSWERS_KEPT: Final = 200_000
"""Answers that were read ahead and not asked for yet, of each kind; the oldest are forgotten. A vector takes about half
a kilobyte with its key."""

LEAST_KEPT: Final = 32 * 1024 * 1024
"""Bytes of inputs below which the state does not take their place: less is read again in seconds."""

SCORES_A_RECORD: Final = 1_000
"""Scores in one record of output at the end."""


class SaidRecord(msgspec.Struct):
    """What the operator says of one input: the fields of `streaming.assess.TickOutput` that a run writes.

    Args:
        number: of the record, from 0; a job that was begun again says some twice.
        letters: dead letters.
        alerts: revisions, in order.
        details: (`ID/PAGE`, JSON), None where a page is to be deleted.
        gone: accounts that left, with their last score.
        samples: of the blind sample.
        scores: of live accounts; only at the end.
        end: counts; only in the last record.
    """

    number: int
    letters: list[DeadLetter] = []
    alerts: list[AlertRevision] = []
    details: list[tuple[str, bytes | None]] = []
    gone: list[Gone] = []
    samples: list[Sampled] = []
    scores: list[ScoreRecord] = []
    end: EndOfRun | None = None


class EndOfRun(msgspec.Struct):
    """What is told at the end.

    Args:
        counts: of the records by outcome.
        campaigns: alerts open.
        texts_cut: events whose text was cut.
        threshold: total (nats) above which an account is flagged.
        hits: texts that `assess` asked for and that had been read ahead.
        misses: texts that it read itself.
    """

    counts: Counts
    campaigns: int
    texts_cut: int
    threshold: float
    hits: int
    misses: int


class _Journaled(msgspec.Struct, array_like=True, gc=False):
    """One answer as it was used."""

    tick_ms: int
    llrs: bytes
    vectors: bytes


class KeptInput(msgspec.Struct, array_like=True, gc=False):
    """One input and the answers used at the ticks that it made due; how many of them were read ahead and were not."""

    part: bytes
    answers: list[_Journaled]
    hits: int
    misses: int


class _Saved(msgspec.Struct, array_like=True):
    """The operator's state: of `assess` a snapshot, and what waits here."""

    assess: bytes
    waiting: list[bytes]
    number: int
    texts_cut: int
    ended: bool
    hits: int
    misses: int


_kept: Final = msgspec.msgpack.Decoder(KeptInput)
_saved: Final = msgspec.msgpack.Decoder(_Saved)
_said: Final = msgspec.json.Decoder(SaidRecord)


def encode_said(record: SaidRecord) -> str:
    """A record of output as one line of JSON."""
    return msgspec.json.encode(record).decode()


def decode_said(line: str | bytes) -> SaidRecord:
    """The inverse of `encode_said`.

    Raises:
        LogError: it is none.
    """
    try:
        return _said.decode(line)
    except msgspec.MsgspecError as error:
        raise LogError(f"an output of the job cannot be read ({error}): run the job again") from None


class AheadAnswers:
    """Answers that were read ahead: a `Reranker` that looks them up and has the others read.

    Args:
        live: reads what is not there.
    """

    def __init__(self, live: Reranker) -> None:
        self._live = live
        self._llrs: dict[bytes, int] = {}
        self._vectors: dict[bytes, bytes] = {}
        self.hits = 0
        self.misses = 0

    def add(self, read: ReadTexts) -> None:
        """Take what was read ahead."""
        llrs = np.frombuffer(read.llrs, "<i2").tolist()
        for key, llr in zip(read.texts, llrs, strict=True):
            self._llrs[key] = llr
        for place, key in enumerate(read.meanings):
            self._vectors[key] = read.vectors[place * MEANING_DIM : (place + 1) * MEANING_DIM]
        for held in (self._llrs, self._vectors):
            while len(held) > ANSWERS_KEPT:
                del held[next(iter(held))]

    def __call__(self, request: RerankRequest) -> Answer:
        """The answer to a request."""
        firsts = request.first_stage.tolist()
        texts = zip(request.texts, request.langs, firsts, strict=True)
        llrs = [self._llrs.get(second_stage_key(*each)) for each in texts]
        vectors = [self._vectors.get(meaning_key(text)) for text in request.meanings]
        unread = [n for n, llr in enumerate(llrs) if llr is None]
        unseen = [n for n, vector in enumerate(vectors) if vector is None]
        self.hits += len(llrs) + len(vectors) - len(unread) - len(unseen)
        self.misses += len(unread) + len(unseen)
        if unread or unseen:
            read = self._live(
                RerankRequest(
                    request.tick_ms,
                    [request.texts[n] for n in unread],
                    [request.langs[n] for n in unread],
                    request.first_stage[unread],
                    [request.meanings[n] for n in unseen],
                )
            )
            for n, llr in zip(unread, read.llrs.tolist(), strict=True):
                llrs[n] = llr
            for n, vector in zip(unseen, read.vectors, strict=True):
                vectors[n] = vector.tobytes()
        matrix = np.frombuffer(b"".join(each for each in vectors if each is not None), np.int8)
        return Answer(np.array(llrs, np.int16), matrix.reshape(-1, MEANING_DIM).copy())


def feed_slice(assess: Assess, parts: Sequence[ScoredPart]) -> list[DeadLetter]:
    """Give `assess` a slice, and its partition's end where it is the last.

    Args:
        assess: has everything before the slice.
        parts: all parts of the slice.

    Returns:
        Its dead letters, in the order of its records.
    """
    one = parts[0]
    observations = sorted((each for part in parts for each in part.observations), key=attrgetter("offset"))
    if one.end > one.start:
        assess.feed(Batch(one.partition, one.partitions, one.start, one.end, NO_TIME, one.models, observations))
    if one.last:
        assess.feed(End(one.partition, one.partitions, one.end))
    letters: dict[int, DeadLetter] = {}
    for part in parts:
        dead = (each.offset for each in part.observations if each.dead)
        letters.update(zip(dead, part.letters, strict=True))
    return [letters[offset] for offset in sorted(letters)]


class Gathering:
    """Puts slices together, feeds them to `assess`, and says what comes of it.

    Args:
        settings: of the run.
        models: of the run.
        partitions: of `posts`.
        live: reads texts that were not read ahead.
    """

    def __init__(self, settings: AssessSettings, models: Models, partitions: int, live: Reranker) -> None:
        self.assess = Assess(settings, models, partitions)
        self._answers = AheadAnswers(live)
        self._parts: dict[tuple[int, int, bool], list[ScoredPart]] = {}
        self._waiting: dict[tuple[int, int, bool, int], bytes] = {}
        self._number = 0
        self._texts_cut = 0
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether the last tick has run and everything was said."""
        return self._ended

    def take(self, body: bytes) -> tuple[list[SaidRecord], KeptInput]:
        """Take one part.

        Args:
            body: a `ScoredPart` as it crosses processes.

        Returns:
            What it leads to, and what is to be kept of it.

        Raises:
            LogError: it does not belong to the others.
        """
        used: list[_Journaled] = []
        hits, misses = self._answers.hits, self._answers.misses

        def reading(request: RerankRequest) -> Answer:
            answer = self._answers(request)
            used.append(_Journaled(request.tick_ms, answer.llrs.astype("<i2").tobytes(), answer.vectors.tobytes()))
            return answer

        said = self._take(body, reading)
        return said, KeptInput(body, used, self._answers.hits - hits, self._answers.misses - misses)

    def again(self, kept: KeptInput) -> None:
        """Take an input that was taken before; what it leads to was said.

        Args:
            kept: what `take` gave.

        Raises:
            LogError: it does not follow on the state.
        """
        journal = {each.tick_ms: each for each in kept.answers}

        def reading(request: RerankRequest) -> Answer:
            held = journal.get(request.tick_ms)
            if held is None:
                raise LogError("the kept inputs do not belong to the state of the job: start it from a savepoint")
            vectors = np.frombuffer(held.vectors, np.int8).reshape(-1, MEANING_DIM)
            return Answer(np.frombuffer(held.llrs, "<i2").astype(np.int16), vectors)

        self._take(kept.part, reading)
        self._answers.hits += kept.hits
        self._answers.misses += kept.misses

    def _take(self, body: bytes, reranker: Reranker) -> list[SaidRecord]:
        part = decode_scored(body)
        self._answers.add(part.read)
        self._texts_cut += part.texts_cut
        self._parts.setdefault((part.partition, part.start, part.last), []).append(part)
        self._waiting[part.partition, part.start, part.last, part.shard] = body
        letters: list[DeadLetter] = []
        while (whole := self._complete(part.partition)) is not None:
            letters += feed_slice(self.assess, whole)
        outputs: list[TickOutput] = []
        while (output := self.assess.advance(reranker)) is not None:
            outputs.append(output)
        said = [self._say(letters, outputs)] if letters or outputs else []
        if self.assess.ended() and not self._ended:
            self._ended = True
            said += self._end()
        return said

    def _complete(self, partition: int) -> list[ScoredPart] | None:
        """The parts of the next slice of a partition, where all are there."""
        start = self.assess.positions[partition]
        for last in (False, True):
            held = self._parts.get((partition, start, last), [])
            if held and len(held) == held[0].parts:
                for part in self._parts.pop((partition, start, last)):
                    del self._waiting[partition, start, last, part.shard]
                return held
        return None

    def _say(self, letters: list[DeadLetter], outputs: Iterable[TickOutput]) -> SaidRecord:
        record = SaidRecord(self._number, letters)
        for output in outputs:
            record.alerts += output.alerts
            record.details += output.details
            record.gone += output.gone
            record.samples += output.samples
        self._number += 1
        return record

    def _end(self) -> list[SaidRecord]:
        scores = list(self.assess.scores())
        said = []
        for begin in range(0, len(scores), SCORES_A_RECORD):
            said.append(SaidRecord(self._number, scores=scores[begin : begin + SCORES_A_RECORD]))
            self._number += 1
        assess, answers = self.assess, self._answers
        end = EndOfRun(assess.counts, assess.campaigns, self._texts_cut, assess.threshold, answers.hits, answers.misses)
        said.append(SaidRecord(self._number, end=end))
        self._number += 1
        return said

    def save(self) -> bytes:
        """The state of the operator."""
        file = io.BytesIO()
        snapshots.write(file, self.assess)
        answers = self._answers
        waiting = list(self._waiting.values())
        return msgspec.msgpack.encode(
            _Saved(file.getvalue(), waiting, self._number, self._texts_cut, self._ended, answers.hits, answers.misses)
        )

    def restore(self, saved: bytes) -> None:
        """Go on from a state that `save` gave.

        Args:
            saved: of the same settings, models and partitions.

        Raises:
            LogError: it is of others.
        """
        held = _saved.decode(saved)
        snapshots.read(io.BytesIO(held.assess), self.assess, "the state of the job")
        self._number, self._texts_cut, self._ended = held.number, held.texts_cut, held.ended
        self._answers.hits, self._answers.misses = held.hits, held.misses
        self._parts, self._waiting = {}, {}
        for body in held.waiting:
            part = decode_scored(body)
            self._answers.add(part.read)
            self._parts.setdefault((part.partition, part.start, part.last), []).append(part)
            self._waiting[part.partition, part.start, part.last, part.shard] = body


def decode_kept(body: bytes) -> KeptInput:
    """A kept input as `encode_kept` wrote it.

    Raises:
        LogError: it is none.
    """
    try:
        return _kept.decode(body)
    except msgspec.MsgspecError as error:
        raise LogError(f"the state of the job cannot be read ({error}): start it from an older savepoint") from None


def encode_kept(kept: KeptInput) -> bytes:
    """A kept input as it is stored."""
    return msgspec.msgpack.encode(kept)
