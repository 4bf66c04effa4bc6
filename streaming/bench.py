"""Speed and memory of the two stages of `swarmlight run` on a long stream: `python -m streaming.bench`.

The stream is made first (`streaming.loadtest`, into a file of its own), then played through the same two stages as
`swarmlight run`, and measured on the way: events per second, what each text stage saw, and memory at several points.
Memory has to follow live accounts and windows, not the length of the stream: of the part of the stream in which the
number of live accounts no longer grows, the second half may need `--memory-ratio` times the first half's at most, or
the exit status is 1. Several `--rounds` make that part as long as one likes. One round of a recording is no longer than
the windows, which fill until its end: it gives figures, and no verdict about memory.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from detector.errors import UsageError
from detector.models import Models
from detector.text.features import TextAbstain, TextFeatures
from streaming.assess import Answer, Assess, AssessSettings, Reranker, RerankRequest
from streaming.assess.outputs import NOT_READ
from streaming.cli import run_function
from streaming.config import load_config
from streaming.playback import configured_models, live_reranker, play
from streaming.schema.dead_letter import DeadLetter
from streaming.schema.observation import Observation
from streaming.score import WRITTEN, FirstStageReader, Scorer
from streaming.sources.base import SourceRecord
from streaming.sources.files import RecordingFiles

MEMORY_RATIO: Final = 1.15
"""Largest growth of memory at the same number of live accounts: room for the allocator, none for a stream."""

SETTLED: Final = 0.99
"""Share of the final number of live accounts from which it no longer grows."""

POINTS: Final = 12
"""Rows of the table of memory."""

_MIB: Final = 1024 * 1024


@dataclass(frozen=True)
class Sample:
    """The state of a run after some records. Memory in MiB (resident), time in seconds of one core."""

    records: int
    accounts: int
    resident_mib: float
    cpu_s: float
    wall_s: float


@dataclass
class TextStageCosts:
    """What the text stages saw and what they cost, in seconds of one core."""

    posts: int = 0
    """Events with text that their account wrote."""
    first_stage: int = 0
    """Texts read by the first-stage model."""
    with_evidence: int = 0
    """Texts in which it saw evidence, one way or the other: it abstained from the rest."""
    second_stage: int = 0
    """Texts read by the second-stage model."""
    first_stage_s: float = 0.0
    score_s: float = 0.0
    """All of the stage `score`: parsing, language, the first-stage model, observations."""
    second_stage_s: float = 0.0
    meanings: int = 0
    """Texts read for their meaning."""
    meaning_s: float = 0.0


class MeasuredText:
    """A first-stage text model that counts."""

    def __init__(self, text: FirstStageReader, seen: TextStageCosts) -> None:
        self.name, self.version, self.languages = text.name, text.version, text.languages
        self._text, self._seen = text, seen

    def read(self, texts: Sequence[str], langs: Sequence[str]) -> TextFeatures:
        """The model's own text features."""
        start = time.process_time()
        text_features = self._text.read(texts, langs)
        self._seen.first_stage_s += time.process_time() - start
        self._seen.first_stage += len(texts)
        self._seen.with_evidence += int((text_features["abstain"] == TextAbstain.NONE).sum())
        return text_features


class MeasuredScorer(Scorer):
    """The stage `score`, counting posts and time."""

    def __init__(self, text: FirstStageReader | None, seen: TextStageCosts) -> None:
        super().__init__(None if text is None else MeasuredText(text, seen))
        self._seen = seen

    def score(self, records: Sequence[SourceRecord], now_ms: int) -> tuple[list[Observation], list[DeadLetter]]:
        """As `Scorer.score`."""
        start = time.process_time()
        observations, letters = super().score(records, now_ms)
        self._seen.score_s += time.process_time() - start
        self._seen.posts += sum(1 for one in observations if one.text and one.kind in WRITTEN)
        return observations, letters


def measured_reranker(reranker: Reranker, seen: TextStageCosts) -> Reranker:
    """What reads texts for `assess`, counting those of the second stage and of meanings apart."""

    def read(request: RerankRequest) -> Answer:
        start = time.process_time()
        llrs = reranker(request._replace(meanings=[])).llrs
        between = time.process_time()
        vectors = reranker(request._replace(texts=[], langs=[], first_stage=request.first_stage[:0])).vectors
        seen.second_stage_s += between - start
        seen.meaning_s += time.process_time() - between
        seen.second_stage += int((llrs != NOT_READ).sum())
        seen.meanings += int(vectors.any(axis=1).sum())
        return Answer(llrs, vectors)

    return read


def resident_mib() -> float:
    """Memory of this process that lies in RAM; where the system does not say, the most it ever was."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pages * resource.getpagesize() / _MIB


def measure(
    records: Iterable[SourceRecord], models: Models, settings: AssessSettings, now_ms: Callable[[], int]
) -> tuple[list[Sample], TextStageCosts, Assess]:
    """Play a recording through both stages.

    Args:
        records: of the stream, in its order.
        models: of both stages.
        settings: of `assess`.
        now_ms: the wall clock, in ms since 1970 UTC.

    Returns:
        One sample per chunk of records, the last after the last tick; what the text stages saw; and the state.
    """
    seen, read, samples = TextStageCosts(), 0, []
    scorer = MeasuredScorer(None if "text" in settings.without else models.text, seen)
    assess = Assess(settings, models, partitions=1)

    def counted() -> Iterator[SourceRecord]:
        nonlocal read
        for record in records:
            read += 1
            yield record

    begun_cpu, begun = time.process_time(), time.monotonic()
    for _ in play(counted(), assess, scorer, measured_reranker(live_reranker(models), seen), now_ms):
        cpu_s, wall_s = time.process_time() - begun_cpu, time.monotonic() - begun
        samples.append(Sample(read, assess.accounts, resident_mib(), cpu_s, wall_s))
    return samples, seen, assess


def memory_ratio(samples: Sequence[Sample]) -> float | None:
    """Peak memory of the second half over that of the first, where the number of live accounts no longer grows.

    None where that part of the stream has fewer than two samples in either half: too short to say.
    """
    final = max((sample.accounts for sample in samples), default=0)
    settled = [sample for sample in samples if sample.accounts >= SETTLED * final]
    if not settled:
        return None
    middle = (settled[0].records + settled[-1].records) / 2
    first = [sample.resident_mib for sample in settled if sample.records <= middle]
    second = [sample.resident_mib for sample in settled if sample.records > middle]
    return max(second) / max(first) if min(len(first), len(second)) >= 2 else None


def report(samples: Sequence[Sample], seen: TextStageCosts, assess: Assess) -> dict[str, Any]:
    """All figures of a run, as JSON-serialisable values.

    Args:
        samples: the states of the run, in order.
        seen: what the text stages saw and cost.
        assess: the stage `assess` after the run.
    """
    last = samples[-1]
    posts = max(seen.posts, 1)
    counts = assess.counts
    return {
        "events": last.records,
        "events_per_s": round(last.records / max(last.wall_s, 1e-9), 1),
        "events_per_core_s": round(last.records / max(last.cpu_s, 1e-9), 1),
        "wall_s": round(last.wall_s, 2),
        "core_s": {
            "score": round(seen.score_s, 2),
            "of_it_text_model": round(seen.first_stage_s, 2),
            "second_stage": round(seen.second_stage_s, 2),
            "meaning": round(seen.meaning_s, 2),
            "assess": round(last.cpu_s - seen.score_s - seen.second_stage_s - seen.meaning_s, 2),
        },
        "posts_with_text": seen.posts,
        "share_of_posts_seen": {
            "first_stage": round(seen.first_stage / posts, 5),
            "first_stage_gave_evidence": round(seen.with_evidence / posts, 5),
            "second_stage": round(seen.second_stage / posts, 5),
            "meaning": round(seen.meanings / posts, 5),
        },
        "outcomes": {
            "accepted": counts.accepted,
            "duplicate": counts.duplicate,
            "late": counts.late,
            "dead": counts.dead,
        },
        "accounts": last.accounts,
        "peak_mib": round(max(sample.resident_mib for sample in samples), 1),
        "memory_ratio": None if (ratio := memory_ratio(samples)) is None else round(ratio, 4),
        "memory": [asdict(sample) for sample in points(samples)],
    }


def points(samples: Sequence[Sample], count: int = POINTS) -> list[Sample]:
    """`count` samples evenly over the records, each with the peak memory since the one before."""
    chosen: list[Sample] = []
    peak = 0.0
    for sample in samples:
        peak = max(peak, sample.resident_mib)
        if sample.records * count >= samples[-1].records * (len(chosen) + 1) and len(chosen) < count:
            chosen.append(Sample(sample.records, sample.accounts, round(peak, 1), sample.cpu_s, sample.wall_s))
            peak = 0.0
    if chosen and peak > chosen[-1].resident_mib:
        end = samples[-1]
        chosen[-1] = Sample(end.records, end.accounts, round(peak, 1), end.cpu_s, end.wall_s)
    return chosen


def lines(figures: dict[str, Any]) -> Iterator[str]:
    """The figures for people."""
    cores = figures["core_s"]
    yield f"{figures['events']:,} events in {figures['wall_s']:,} s: {figures['events_per_s']:,} events/s"
    yield (
        f"one core: {figures['events_per_core_s']:,} events/s; seconds: score {cores['score']} "
        f"(text model {cores['of_it_text_model']}), second stage {cores['second_stage']}, meaning {cores['meaning']}, "
        f"assess {cores['assess']}"
    )
    shares = figures["share_of_posts_seen"]
    yield (
        f"{figures['posts_with_text']:,} posts with text: the first stage saw {shares['first_stage']:.2%} (and gave "
        f"evidence on {shares['first_stage_gave_evidence']:.2%}), the second stage {shares['second_stage']:.3%}; "
        f"read for their meaning {shares['meaning']:.3%}"
    )
    yield "outcomes: " + ", ".join(f"{name} {count:,}" for name, count in figures["outcomes"].items())
    yield f"peak memory {figures['peak_mib']:,} MiB at {figures['accounts']:,} accounts"
    yield f"{'events':>12} {'accounts':>10} {'peak MiB':>10} {'events/s':>10}"
    before = (0, 0.0)
    for point in figures["memory"]:
        rate = (point["records"] - before[0]) / max(point["wall_s"] - before[1], 1e-9)
        before = (point["records"], point["wall_s"])
        yield f"{point['records']:>12,} {point['accounts']:>10,} {point['resident_mib']:>10,.1f} {rate:>10,.0f}"


def bench(
    inputs: Annotated[list[Path], typer.Option("--input", metavar="FILE", help="recording to be copied; repeatable")],
    copies: Annotated[int, typer.Option(metavar="N", help="copies at once")] = 160,
    rounds: Annotated[int, typer.Option(metavar="N", help="how often the recording is played, one after another")] = 1,
    seed: Annotated[int, typer.Option(metavar="N", help="of the copies")] = 0,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="configuration file")] = None,
    without: Annotated[
        list[str] | None, typer.Option(metavar="COMPONENT", help="evidence component to leave out; repeatable")
    ] = None,
    most: Annotated[
        float, typer.Option("--memory-ratio", metavar="RATIO", help="largest growth of memory before status 1")
    ] = MEMORY_RATIO,
    stream: Annotated[
        Path | None, typer.Option(metavar="FILE", help="where the stream is kept; a temporary file unless given")
    ] = None,
    report_file: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="write the figures as JSON")
    ] = None,
) -> int:
    """Measure the speed and the memory of `swarmlight run` on many copies of a recording.

    Prints events per second, what each text stage saw, and memory at several points. The exit status is 1 where memory
    follows the length of the stream.

    Args:
        inputs: recordings that are copied.
        most: growth of memory at the same number of live accounts, as a ratio.
        report_file: for the figures.

    Raises:
        UsageError: the stream cannot be made, or a file cannot be read.
        SwarmlightError: models or settings that cannot be used.
    """
    with ExitStack() as stack:
        if stream is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="swarmlight-bench-"))
            stream = Path(folder) / "stream.jsonl"
        _make_stream(inputs, stream, copies, rounds, seed)
        settings_file = load_config(config, os.environ)
        settings = AssessSettings.from_config(settings_file, without or [])
        models = configured_models(settings_file)
        records = stack.enter_context(RecordingFiles([stream]))
        figures = report(*measure(records, models, settings, lambda: time.time_ns() // 1_000_000))
    for line in lines(figures):
        print(line)
    if report_file is not None:
        report_file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return judge(figures["memory_ratio"] if rounds > 1 else None, most)


def main(argv: Sequence[str] | None = None) -> int:
    """Run it as a program. Exit status 0; 1 where memory follows the stream's length; 2 unusable arguments or input."""
    return run_function(bench, "python -m streaming.bench", argv)


def _make_stream(inputs: Sequence[Path], stream: Path, copies: int, rounds: int, seed: int) -> None:
    """Write the stream in a process of its own, so that what making it takes is not measured."""
    command = [sys.executable, "-m", "streaming.loadtest", "--output", str(stream)]
    command += [argument for path in inputs for argument in ("--input", str(path))]
    command += ["--copies", str(copies), "--rounds", str(rounds), "--seed", str(seed)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603 - our own module
    if done.returncode:
        reason = done.stderr.strip().splitlines()
        raise UsageError(f"the stream cannot be made: {reason[-1] if reason else f'status {done.returncode}'}")


def judge(ratio: float | None, most: float) -> int:
    """Report whether memory follows the stream's length; the exit status."""
    if ratio is None:
        print("memory at the same number of live accounts: the stream is too short to say; use more --rounds")
        return 0
    print(
        f"memory of the second half over the first, at the same number of live accounts: {ratio:.3f} (at most {most})"
    )
    if ratio > most:
        print("bench: memory follows the length of the stream", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
