"""The files that a run writes.

`Outputs` are those of `swarmlight run`: alerts, their details, scores, the summary, dead letters, and the trajectories
that thresholds are calibrated on. They take the places of earlier ones together, when the run has succeeded.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import msgspec

from detector.errors import UsageError
from streaming.assess.outputs import Look, Sampled
from streaming.config import Config
from streaming.schema.dead_letter import RepeatedLetters, encode
from streaming.schema.flat_rows import ALERTS, SCORES
from streaming.schema.run_summary import RunSummary
from streaming.schema.score import ScoreRecord, encode_score, read_score
from streaming.sinks.base import Abandonable, AlertSink, Step, open_sink
from streaming.sinks.jsonl import JsonLines
from streaming.sinks.result_file import STDOUT, ResultFile, partial_path
from streaming.sinks.table_file import TableFile, is_table, result_file
from streaming.sources.files import STDIN


class Outputs:
    """Output files of one run, opened before it begins so that a mistyped path costs nothing. Use it as a context.

    They are complete, and take the places of earlier ones, with `publish`. Where the context is left without it, what
    was written stays at `NAME.partial` (`streaming.sinks.result_file`).

    Args:
        alerts, details, scores, dead_letters, summary, trajectories: where to write, None for nothing.
        blind_sample: where accounts that are not flagged go, to be decided on.
        inputs: files that must not be overwritten.
        sinks: further sinks of alerts, `NAME:TARGET`.
        config: handed on to them.
        copies: further files of alerts and scores as JSON lines, by their options' names, where those that were asked
            for are tables.

    Raises:
        UsageError: a file cannot be written, or is an input, or is named twice; one that is no table is to be one.
    """

    def __init__(
        self,
        *,
        alerts: Path | None,
        details: Path | None,
        scores: Path | None,
        dead_letters: Path | None,
        summary: Path | None,
        trajectories: Path | None,
        inputs: Sequence[str],
        sinks: Sequence[str],
        config: Config,
        copies: Mapping[str, Path] | None = None,
        blind_sample: Path | None = None,
    ) -> None:
        self._stack = ExitStack()
        named = {"alerts": alerts, "details": details, "scores": scores, "dead-letters": dead_letters,
                 "summary": summary, "trajectories": trajectories, "blind-sample": blind_sample}  # fmt: skip
        # The target of a sink may be a file, and then it is none of the others.
        targets = {f"sink {spec}": Path(spec.partition(":")[2]) for spec in sinks if spec.partition(":")[2]}
        _check_distinct(named | targets, inputs)
        _check_tables(named)
        self._sinks: list[AlertSink] = []
        self._files: dict[str, ResultFile | TableFile] = {}
        try:
            for name, path in named.items():
                if path is not None and name != "alerts":
                    self._files[name] = result_file(path, f"--{name}", SCORES)
            if alerts is not None:
                self._sinks.append(JsonLines(alerts, "--alerts", ALERTS))
            for name, path in (copies or {}).items():
                if name == "alerts":
                    self._sinks.append(JsonLines(path, "--alerts"))
                else:
                    self._files[_COPY] = ResultFile(path, f"--{name}")
            for spec in sinks:
                self._sinks.append(open_sink(spec, config))
            self._rows = self._latest()
            self._pages = self._latest()
        except BaseException:
            self.abandon()
            self._stack.close()
            raise
        self._details = self._files.get("details")
        self._scores = [self._files[name] for name in ("scores", _COPY) if name in self._files]
        self._letters, self._summary = self._files.get("dead-letters"), self._files.get("summary")
        self._trajectories = self._files.get("trajectories")
        self._samples = self._files.get("blind-sample")
        self._sampled: dict[str, list[bytes]] = {}
        self._repeated = RepeatedLetters()
        self.places = {name: path for name, path in named.items() if path is not None}
        """The files that are written, by their options' names."""

    def _latest(self) -> _Latest:
        return _Latest(self._stack.enter_context(tempfile.TemporaryFile()))

    def write(self, step: Step) -> None:
        """Write what a chunk of records led to."""
        if self._letters is not None:
            for letter in step.letters:
                if self._repeated.keeps(letter):
                    self._letters.write(encode(letter) + b"\n")
        for output in step.outputs:
            for sink in self._sinks:
                for alert in output.alerts:
                    sink.write(alert.id, alert.body)
            if self._details is not None:
                for key, page in output.details:
                    self._pages.put(_by_number(key), page)
            if self._samples is not None:
                self._sample(output.samples)
            for each in output.gone:
                self._rows.put(each.account, None if each.score is None else encode_score(each.score))

    def _sample(self, samples: Iterable[Sampled]) -> None:
        """Keep accounts of the blind sample until the end, as those that are deleted meanwhile are left out."""
        for each in samples:
            if each.body is None:
                self._sampled.pop(each.account, None)
            else:
                self._sampled.setdefault(each.account, []).append(each.body)

    @property
    def letters_left_out(self) -> int:
        """Dead letters that were not written, since their records repeat the bytes of many others."""
        return self._repeated.left_out

    def finish(self, live: Iterable[ScoreRecord], kept: list[ScoreRecord] | None = None) -> tuple[int, int]:
        """Write the last revisions' pages, the blind sample, and the scores: of live accounts, and the last ones of
        accounts that left.

        Pages are in the order of alert and page, scores in the order of accounts.

        Args:
            live: scores of the accounts that are in the state at the end.
            kept: takes all scores, in the same order; nothing where None.

        Returns:
            How many accounts there are, and how many of them are flagged.
        """
        if self._details is not None:
            for page in self._pages:
                self._details.write(page + b"\n")
        if self._samples is not None:
            for _, bodies in sorted(self._sampled.items()):
                for body in bodies:
                    self._samples.write(body + b"\n")
        for score in live:
            self._rows.put(score.account, encode_score(score))
        accounts = flagged = 0
        for body in self._rows:
            accounts += 1
            score = read_score(body)
            flagged += score.flagged
            for file in self._scores:
                file.write(body + b"\n")
            if kept is not None:
                kept.append(score)
        return accounts, flagged

    def write_trajectory(self, look: Look) -> None:
        """Append one look at an account to the trajectories: its fields as a list, on one line."""
        if self._trajectories is not None:
            self._trajectories.write(json.dumps(look).encode("ascii") + b"\n")

    def write_summary(self, summary: RunSummary) -> None:
        """Write the summary, on one line."""
        if self._summary is not None:
            self._summary.write(msgspec.json.encode(summary) + b"\n")

    def publish(self) -> None:
        """Everything is complete: let the files take the places of earlier ones, and close the sinks.

        Raises:
            UsageError: a file cannot be written; none has taken its place then.
        """
        for file in self._files.values():
            file.close()
        while self._sinks:
            self._sinks.pop(0).close()
        while self._files:
            self._files.pop(next(iter(self._files))).publish()

    def abandon(self) -> list[Path]:
        """Close everything as it is: the run has failed.

        Returns:
            Where partial results lie.
        """
        kept = [file.abandon() for file in self._files.values()]
        self._files = {}
        while self._sinks:
            sink = self._sinks.pop(0)
            if isinstance(sink, Abandonable):
                kept.append(sink.abandon())
            sink.close()
        return [path for path in kept if path is not None]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.abandon()
        finally:
            self._stack.close()


_COPY: Final = "scores as lines"


class _Latest:
    """The latest value of every key, on disk, as a compacted topic has them. Only keys are held in memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._places: dict[str, tuple[int, int]] = {}
        self._end = 0

    def put(self, key: str, value: bytes | None) -> None:
        """Replace the value of `key`; None deletes it."""
        if value is None:
            self._places.pop(key, None)
            return
        self._places[key] = (self._end, len(value))
        try:
            self._file.seek(self._end)
            self._file.write(value)
        except OSError as error:
            raise UsageError(
                f"the latest scores and pages are kept in {tempfile.gettempdir()!a} until the end: {error.strerror}; "
                "make room, or name another folder in the environment variable TMPDIR"
            ) from None
        self._end += len(value)

    def __iter__(self) -> Iterator[bytes]:
        """Values in the order of their keys."""
        for _, (place, size) in sorted(self._places.items()):
            self._file.seek(place)
            yield self._file.read(size)


def _by_number(key: str) -> str:
    """`ID/PAGE` such that pages sort by number."""
    alert, _, page = key.rpartition("/")
    return f"{alert}/{int(page):09d}"


def _check_tables(named: Mapping[str, Path | None]) -> None:
    for name, path in named.items():
        if is_table(path) and name not in ("scores", "alerts"):
            raise UsageError(f"--{name} {str(path)!a}: only --scores and --alerts can be tables; name a .jsonl")


def _check_distinct(named: Mapping[str, Path | None], inputs: Sequence[str]) -> None:
    used = {Path(name).resolve(): "--input" for name in inputs if name != STDIN}
    for name, path in named.items():
        if path is None or (path.exists() and not path.is_file() and str(path) != STDOUT):
            continue
        for place in (path.resolve(), partial_path(path)):
            if place in used:
                raise UsageError(f"--{name} {str(path)!a} is also {used[place]}: name another file")
            used[place] = f"--{name}"
