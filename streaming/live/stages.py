"""Listened events straight into the two stages, in this process, with the moderators' console beside it.

Everything lies in one folder: `alerts.jsonl`, `alert-details.jsonl` and `blind-sample.jsonl`, which the console reads,
its database and the decisions taken in it, and snapshots of the state. A commit is a snapshot, so that a listener that
is ended goes on with what it knew; after a crash it takes up the stream at the last one, and the files are cut to what
they were then.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from detector.errors import SwarmlightError, UsageError
from streaming.assess import Assess, AssessSettings
from streaming.assess import feedback as decisions
from streaming.assess.snapshot import restore, snapshot
from streaming.config import Config
from streaming.live.destinations import GrowingFile, ListenedEvent, growing
from streaming.playback import configured_models, due, live_reranker, scorer_of
from streaming.schema.dead_letter import DeadLetter, RepeatedLetters, encode
from streaming.schema.observation import NO_TIME, Feedback
from streaming.schema.score import encode_score
from streaming.score import cut
from streaming.sinks.base import LiveSink, open_live_sink
from streaming.sinks.result_file import ResultFile
from streaming.sources.base import SourceRecord
from streaming.watermark import Watermark

ALERTS: Final = "alerts.jsonl"
DETAILS: Final = "alert-details.jsonl"
SCORES: Final = "scores.jsonl"
SAMPLES: Final = "blind-sample.jsonl"
DECISIONS: Final = "decisions.jsonl"
DATABASE: Final = "console.db"

DECISION_BYTES: Final = 1 << 20
"""Read of the decisions at once; one of them has a few hundred bytes."""


class StagesInProcess:
    """The stages `score` and `assess` as a destination.

    Args:
        config: of the stages.
        folder: for everything that is kept; made where it is missing.
        kept: the numbers of the checkpoint.
        dead_letters: file of dead letters; None to only count them.
        sinks: further places for alerts, `NAME:TARGET`.
        now_ms: milliseconds since 1970.

    Raises:
        UsageError: the folder or a file cannot be written, or a sink not opened.
        LogError: the snapshot cannot be gone on from.
        ModelError: weights that cannot be used.
    """

    def __init__(
        self,
        config: Config,
        folder: Path,
        kept: Mapping[str, int],
        *,
        dead_letters: Path | None = None,
        sinks: Sequence[str] = (),
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.commit_s = config.state.snapshot_every_s
        self.place = str(folder / ALERTS)
        self._folder = folder
        self._now_ms = now_ms
        settings, models = AssessSettings.from_config(config), configured_models(config)
        self._assess = Assess(settings, models, partitions=1)
        self._scorer = scorer_of(models, settings)
        self._reranker = live_reranker(models)
        self._watermark = Watermark(settings.allowed_lateness_s * 1000)
        self._snapshots = kept.get("snapshot", 0)
        if self._snapshots:
            restore(self._snapshot(self._snapshots), self._assess)
            self._watermark.raise_to(kept.get("watermark", NO_TIME))
        (self._offset,) = self._assess.positions
        self._decisions_read = kept.get("decisions", 0)
        self._alerts = GrowingFile(folder / ALERTS, "--folder", kept.get("alerts"))
        self._details = GrowingFile(folder / DETAILS, "--folder", kept.get("details"))
        self._samples = GrowingFile(folder / SAMPLES, "--folder", kept.get("samples"))
        self._letters = growing(kept, "letters", dead_letters, "--dead-letters")
        self._repeated = RepeatedLetters()
        self._sinks: list[LiveSink] = [open_live_sink(spec, config) for spec in sinks]

    @property
    def found(self) -> str:
        """What was found so far, in a few words."""
        assess = self._assess
        late = f", {assess.counts.late:,} late" if assess.counts.late else ""
        return (
            f"{assess.accounts:,} accounts, {assess.flagged:,} flagged, {assess.campaigns:,} campaigns, "
            f"{assess.counts.duplicate:,} duplicate{late}"
        )

    def write(self, events: list[ListenedEvent], letters: list[DeadLetter]) -> None:
        """Score events and run the ticks that they make due."""
        records = [SourceRecord(self._offset + number, -1, event.value, "live@") for number, event in enumerate(events)]
        end = self._offset + len(records)
        observations, more = self._scorer.score(records, self._now_ms())
        self._write_letters([*letters, *more])
        for batch in cut(
            observations,
            partition=0,
            partitions=1,
            start=self._offset,
            end=end,
            watermark=self._watermark,
            models=self._scorer.models,
        ):
            self._assess.feed(batch)
        self._offset = end
        for body in self._new_decisions():
            self._assess.feed(Feedback(0, 1, body))
        for output in due(self._assess, self._reranker):
            for _, page in output.details:
                if page is not None:
                    self._details.write(page)
            self._details.flush()
            for each in output.samples:
                if each.body is not None:
                    self._samples.write(each.body)
            self._samples.flush()
            for alert in output.alerts:
                self._alerts.write(alert.body)
                for sink in self._sinks:
                    sink.write(alert.id, alert.body)
            self._alerts.flush()

    def commit(self) -> dict[str, int]:
        """Take a snapshot; the one before goes once another checkpoint names this one."""
        for sink in self._sinks:
            sink.flush()
        self._remove_but(self._snapshots)
        self._snapshots += 1
        snapshot(self._snapshot(self._snapshots), self._assess)
        sizes = {
            "snapshot": self._snapshots,
            "watermark": self._watermark.value,
            "decisions": self._decisions_read,
            "alerts": self._alerts.commit(),
            "details": self._details.commit(),
            "samples": self._samples.commit(),
        }
        return sizes if self._letters is None else sizes | {"letters": self._letters.commit()}

    def rewind(self) -> None:
        """Never asked for: nothing here raises BrokerError but a sink, whose error ends the listener."""
        raise SwarmlightError("the stages cannot be rewound: start the listener again")

    def close(self) -> None:
        """Write the scores as they are, and let go of the files."""
        scores = ResultFile(self._folder / SCORES, "--folder")
        for score in self._assess.scores():
            scores.write(encode_score(score) + b"\n")
        scores.publish()
        for file in (self._alerts, self._details, self._samples, self._letters):
            if file is not None:
                file.close()
        for sink in self._sinks:
            sink.close()

    def _write_letters(self, letters: list[DeadLetter]) -> None:
        if self._letters is not None:
            for letter in letters:
                if self._repeated.keeps(letter):
                    self._letters.write(encode(letter))

    def _new_decisions(self) -> list[bytes]:
        """Whole lines of the console's decisions that were not read yet, and are decisions."""
        try:
            with (self._folder / DECISIONS).open("rb") as file:
                file.seek(self._decisions_read)
                data = file.read(DECISION_BYTES)
        except OSError:
            return []
        end = data.rfind(b"\n") + 1
        self._decisions_read += end
        return [line for line in data[:end].splitlines() if decisions.parse(line) is not None]

    def _snapshot(self, number: int) -> Path:
        return self._folder / f"state-{number}.snapshot"

    def _remove_but(self, number: int) -> None:
        for path in self._folder.glob("state-*.snapshot"):
            if path != self._snapshot(number):
                path.unlink(missing_ok=True)


class Console:
    """`swarmlight feed` beside the listener, on the files of its folder. Use it as a context.

    Args:
        folder: of the stages.
        config: file of the configuration; None for none.

    Raises:
        UsageError: its packages are not installed.
    """

    END_S: Final = 10.0
    """It ends in well under this; what takes longer is killed."""

    def __init__(self, folder: Path, config: Path | None) -> None:
        if any(find_spec(name) is None for name in ("fastapi", "sqlalchemy", "uvicorn")):
            raise UsageError("--console needs the packages of the feed: pip install 'swarmlight[feed]'")
        self._command = [
            sys.executable, "-m", "streaming", "feed",
            "--alerts", str(folder / ALERTS), "--details", str(folder / DETAILS),
            "--blind-sample", str(folder / SAMPLES),
            "--feedback", str(folder / DECISIONS), "--database", f"sqlite:///{folder / DATABASE}",
            *(["--config", str(config)] if config is not None else []),
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        # A session of its own, so that Ctrl-C reaches the listener alone, which then ends both in order.
        self._process = subprocess.Popen(self._command, start_new_session=True)  # noqa: S603 - our own program
        return self

    def ended(self) -> bool:
        """Whether it ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(self.END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
