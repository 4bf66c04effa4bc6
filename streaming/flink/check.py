"""The Flink job beside `swarmlight run`: equal alerts, and how fast: `python -m streaming.flink.check STREAM`.

On a cluster of this machine (`streaming.flink.cluster`) it runs at some parallelisms, with a task manager killed on the
way, and stopped with a savepoint and begun again at another parallelism. The exit status is 1 where any result differs
from that of `swarmlight run` in one byte.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from detector.errors import EngineError
from streaming.cli import run_function
from streaming.flink.cluster import LocalCluster, session_cpu_s
from streaming.parallel.results import FILES

COMPARED: Final = ("alerts", "details", "scores")
"""Results that have to be equal, byte for byte."""

_SAMPLE_S: Final = 0.5

BEFORE_FAULT: Final = 1
"""Checkpoints that a job has made when something is done to it."""


_OFTEN: Final = ("--checkpoint-s", "1", "--slice-records", "100")
"""Options with which a job makes checkpoints often."""


@dataclass(frozen=True)
class CheckedRun:
    """One run.

    Args:
        what: it was.
        seconds: it took, without the start of a cluster.
        cpu_s: seconds of the processor, all processes together; 0 where the system does not say.
        equal: whether its results are those of `swarmlight run`.
    """

    what: str
    seconds: float
    cpu_s: float
    equal: bool


class FlinkCheck:
    """Runs of one stream, each held against `swarmlight run`.

    Args:
        stream: recording.
        work: folder for all of it.
        python: interpreter of `swarmlight run`; perhaps of another environment.
        more: further options of both commands.
    """

    def __init__(self, stream: Path, work: Path, python: str = sys.executable, more: Sequence[str] = ()) -> None:
        self._stream, self._work, self._python, self._more = stream, work.resolve(), python, list(more)
        self._reference = self._work / "run"
        self._number = 0

    def reference(self) -> CheckedRun:
        """`swarmlight run`."""
        self._reference.mkdir(parents=True, exist_ok=True)
        files = [word for name in COMPARED for word in (f"--{name}", str(self._reference / FILES[name]))]
        begun = time.monotonic()
        cpu_s = self._call([self._python, "-m", "streaming", "run", str(self._stream), *files, *self._more])
        return CheckedRun("swarmlight run", time.monotonic() - begun, cpu_s, True)

    def batch(self, cores: int) -> CheckedRun:
        """`swarmlight batch`.

        Args:
            cores: that read.
        """
        out, begun = self._work / f"batch-{cores}", time.monotonic()
        command = [self._python, "-m", "streaming", "batch", str(self._stream), "--out", str(out)]
        cpu_s = self._call([*command, "--cores", str(cores), *self._more])
        return CheckedRun(f"spark, {cores} cores", time.monotonic() - begun, cpu_s, self._equal(out))

    def plain(self, parallelism: int) -> CheckedRun:
        """A job that nothing happens to."""
        with self._cluster(1, parallelism) as cluster:
            return self._job(f"flink, parallelism {parallelism}", cluster, parallelism)

    def killed(self) -> CheckedRun:
        """A job at parallelism 2 on two task managers of one slot, of which one is killed on the way."""
        with self._cluster(2, 1) as cluster:
            jobs: list[str] = []

            def kill() -> None:
                jobs.append(cluster.running_job(BEFORE_FAULT))
                cluster.add_taskmanager()
                cluster.kill_taskmanager(0)

            row = self._job("flink, parallelism 2, a task manager killed", cluster, 2, _OFTEN, kill)
            if not cluster.get(f"/jobs/{jobs[0]}/exceptions")["exceptionHistory"]["entries"]:
                raise EngineError("the job was over before the kill: take a longer stream")
            return row

    def rescaled(self) -> CheckedRun:
        """A job at parallelism 2 that is stopped with a savepoint, and goes on at 4."""
        work, found = self._work / "rescaled", list[str]()
        with self._cluster(2, 2) as cluster:

            def stop() -> None:
                job = cluster.running_job(BEFORE_FAULT)
                found.append(cluster.stop_with_savepoint(job, work / "savepoints"))

            more = [*_OFTEN, "--work", str(work)]
            begun = time.monotonic()
            with suppress(EngineError):
                self._job("stopped", cluster, 2, more, stop)
            if not found:
                return CheckedRun("flink, no savepoint was made", time.monotonic() - begun, 0.0, False)
            name = "flink, from a savepoint at parallelism 2 to 4"
            return self._job(name, cluster, 4, [*more, "--savepoint", found[0]])

    def _cluster(self, taskmanagers: int, slots: int) -> LocalCluster:
        self._number += 1
        return LocalCluster(self._work / f"cluster-{self._number}", taskmanagers, slots)

    def _job(
        self,
        what: str,
        cluster: LocalCluster,
        parallelism: int,
        more: Sequence[str] = (),
        fault: Callable[[], None] | None = None,
    ) -> CheckedRun:
        """Run a job beside what is done to it, and compare.

        Args:
            what: it is called.
            cluster: where it runs.
            parallelism: of reading.
            more: options.
            fault: is done to it.
        """
        out = self._work / f"out-{self._number}"
        command = [sys.executable, "-m", "streaming", "flink", str(self._stream), "--out", str(out)]
        command += ["--jobmanager", cluster.address, "--parallelism", str(parallelism), *more, *self._more]
        failed: list[BaseException] = []

        def guarded() -> None:
            try:
                assert fault is not None
                fault()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=guarded, daemon=True) if fault is not None else None
        begun, before = time.monotonic(), cluster.cpu_s()
        if thread is not None:
            thread.start()
        cpu_s = self._call(command) + cluster.cpu_s() - before
        seconds = time.monotonic() - begun
        if thread is not None:
            thread.join(10)
            if failed or thread.is_alive():
                raise EngineError(f"{what}: nothing could be done to the job: {failed or 'it ended before'}")
        return CheckedRun(what, seconds, cpu_s, self._equal(out))

    def _equal(self, out: Path) -> bool:
        return all(
            (out / FILES[each]).read_bytes() == (self._reference / FILES[each]).read_bytes() for each in COMPARED
        )

    def _call(self, command: Sequence[str]) -> float:
        """Run a command to its end; seconds of the processor that it and all that it started took."""
        spent = 0.0
        with tempfile.TemporaryFile("w+") as told:
            process = subprocess.Popen(command, stdout=told, stderr=told, start_new_session=True)  # noqa: S603 - ours
            while process.poll() is None:
                spent = max(spent, session_cpu_s(process.pid))
                time.sleep(_SAMPLE_S)
            told.seek(0)
            said = told.read().strip()
        print(said.splitlines()[-1] if said else "", file=sys.stderr, flush=True)
        if process.returncode:
            raise EngineError(f"{' '.join(command[2:6])}: status {process.returncode}: {said[-500:]}")
        return spent


def check(
    stream: Annotated[Path, typer.Argument(metavar="STREAM", help="a recording")],
    parallelisms: Annotated[list[int] | None, typer.Option("--parallelism", metavar="N", help="repeatable")] = None,
    batch: Annotated[bool, typer.Option(help="swarmlight batch on two cores as well")] = False,
    faults: Annotated[bool, typer.Option(help="kill task managers, and rescale from a savepoint")] = True,
    run_python: Annotated[
        str, typer.Option(metavar="FILE", help="interpreter for swarmlight run, of another environment")
    ] = sys.executable,
) -> int:
    """Hold the Flink job against swarmlight run on one stream.

    Args:
        stream: a recording.
        parallelisms: 1, 2 and 4 where none is named.
        batch: whether Spark is there, beside swarmlight run.
        faults: whether things are done to jobs as well.
        run_python: of the reference.

    Raises:
        EngineError: a run failed.
    """
    rows: list[CheckedRun] = []
    with tempfile.TemporaryDirectory(prefix="swarmlight-flink-check-") as folder:
        checked = FlinkCheck(stream, Path(folder), run_python)
        steps: list[Callable[[], CheckedRun]] = [checked.reference]
        steps += [lambda n=number: checked.plain(n) for number in parallelisms or (1, 2, 4)]  # type: ignore[misc]
        steps += [lambda: checked.batch(2)] if batch else []
        steps += [checked.killed, checked.rescaled] if faults else []
        for step in steps:
            row = step()
            rows.append(row)
            print(
                f"{row.what:50} {row.seconds:7.1f} s  {row.cpu_s:7.1f} core s  {'equal' if row.equal else 'DIFFERENT'}",
                flush=True,
            )
    return int(not all(row.equal for row in rows))


def main(argv: Sequence[str] | None = None) -> int:
    """Run it as a program. Exit status 0; 1 where results differ."""
    return run_function(check, "python -m streaming.flink.check", argv)


if __name__ == "__main__":
    sys.exit(main())
