"""A cluster of Apache Flink on this machine, from the scripts that come with it: for checks and to try things out.

One job manager and some task managers, each a process of its own, on ports of their own. A task manager can be killed
as a machine would die, and another one started.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast

import pyflink
import urllib3

from detector.errors import EngineError

WAIT_S: Final = 900.0
"""Longest wait for a cluster to start, or for a job to have made its checkpoints: seconds on an idle machine."""

MEMORY: Final = {"jobmanager": "1024m", "taskmanager": "1400m"}
"""Of each process, without the Python processes beside a task manager."""

_STEP_S: Final = 0.2


class LocalCluster:
    """A cluster. Use it as a context.

    Args:
        folder: for its configuration and logs.
        taskmanagers: how many to start.
        slots: of each: operators that run side by side in it.
    """

    def __init__(self, folder: Path, taskmanagers: int = 1, slots: int = 2) -> None:
        self._folder = folder
        self._wanted = taskmanagers
        self._home = Path(pyflink.__file__).parent
        self._rpc, self._rest = _free_port(), _free_port()
        self._slots = slots
        self._processes: list[subprocess.Popen[bytes]] = []
        self._taskmanagers: list[subprocess.Popen[bytes]] = []
        self._http = urllib3.PoolManager(retries=False, timeout=30.0)

    @property
    def address(self) -> str:
        """HOST:PORT of the REST interface."""
        return f"localhost:{self._rest}"

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        shipped = (self._home / "conf" / "config.yaml").read_text(encoding="utf-8")
        options = next(line for line in shipped.splitlines() if line.strip().startswith("all: --add"))
        (self._folder / "config.yaml").write_text(
            f"env.java.opts.{options.strip()}\n"
            "jobmanager.bind-host: localhost\njobmanager.rpc.address: localhost\n"
            f"jobmanager.rpc.port: {self._rpc}\nrest.address: localhost\nrest.bind-address: localhost\n"
            f"rest.port: {self._rest}\nrest.bind-port: {self._rest}\n"
            "taskmanager.bind-host: localhost\ntaskmanager.host: localhost\n"
            f"taskmanager.numberOfTaskSlots: {self._slots}\n"
            f"jobmanager.memory.process.size: {MEMORY['jobmanager']}\n"
            f"taskmanager.memory.process.size: {MEMORY['taskmanager']}\n"
            "heartbeat.interval: 1000\nheartbeat.timeout: 10000\n",
            encoding="utf-8",
        )
        for name in ("log4j-console.properties", "log4j-cli.properties"):
            (self._folder / name).write_bytes((self._home / "conf" / name).read_bytes())
        try:
            self._processes.append(self._start("jobmanager", 0))
            for _ in range(self._wanted):
                self.add_taskmanager()
            self._wait(lambda: len(self.get("/taskmanagers")["taskmanagers"]) >= self._wanted)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes."""
        for process in [*self._taskmanagers, *self._processes]:
            _kill(process)
        self._processes, self._taskmanagers = [], []

    def cpu_s(self) -> float:
        """Seconds of the processor that its processes have taken, the Python processes of task managers with them; 0
        where the system does not say (Linux does)."""
        return sum(session_cpu_s(process.pid) for process in [*self._processes, *self._taskmanagers])

    def add_taskmanager(self) -> None:
        """Start one more task manager; does not wait for it."""
        self._taskmanagers.append(self._start("taskmanager", len(self._taskmanagers)))

    def kill_taskmanager(self, number: int) -> None:
        """SIGKILL for a task manager and the Python processes beside it.

        Args:
            number: in the order in which they were started.
        """
        _kill(self._taskmanagers[number])

    def get(self, path: str) -> Any:
        """What the REST interface says."""
        return self._asked("GET", path)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Ask the REST interface for something."""
        return self._asked("POST", path, body)

    def running_job(self, checkpoints: int = 0) -> str:
        """The id of the job that runs, once it has made so many checkpoints.

        Args:
            checkpoints: that are complete.

        Raises:
            EngineError: it ended before, or none comes.
        """
        found: list[str] = []

        def there() -> bool:
            jobs = self.get("/jobs")["jobs"]
            found[:] = [job["id"] for job in jobs if job["status"] == "RUNNING"]
            if not found:
                return False
            return int(self.get(f"/jobs/{found[0]}/checkpoints")["counts"]["completed"]) >= checkpoints

        self._wait(there)
        return found[0]

    def stop_with_savepoint(self, job: str, folder: Path) -> str:
        """Stop a job where it is; the path of the savepoint.

        Args:
            job: its id.
            folder: of savepoints.

        Raises:
            EngineError: there is none.
        """
        body = {"targetDirectory": folder.as_uri(), "drain": False}
        asked = self.post(f"/jobs/{job}/stop", body)["request-id"]
        path = f"/jobs/{job}/savepoints/{asked}"
        self._wait(lambda: self.get(path)["status"]["id"] == "COMPLETED")
        operation = self.get(path)["operation"]
        if "location" not in operation:
            raise EngineError(f"no savepoint was made: {str(operation)[:500]}")
        return cast(str, operation["location"])

    def _asked(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        try:
            return self._http.request(method, f"http://{self.address}{path}", json=body).json()
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise EngineError(f"the job manager at {self.address} does not answer: {error}") from None

    def _start(self, what: str, number: int) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "FLINK_CONF_DIR": str(self._folder.resolve()),
            "FLINK_LOG_DIR": str(self._folder.resolve()),
            "FLINK_HOME": str(self._home),
        }
        with (self._folder / f"{what}-{number}.log").open("wb") as log:
            return subprocess.Popen(  # noqa: S603 - Flink's own script
                ["bash", str(self._home / "bin" / f"{what}.sh"), "start-foreground"],  # noqa: S607 - of the PATH
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment, start_new_session=True,
            )  # fmt: skip

    def _wait(self, there: Any) -> None:
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            try:
                if there():
                    return
            except (EngineError, KeyError):
                pass
            time.sleep(_STEP_S)
        raise EngineError(f"the cluster did not get there in {WAIT_S:.0f} s: see the logs in {self._folder}")


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def session_cpu_s(session: int) -> float:
    """Seconds of the processor that a session's processes have taken, and those that ended and were waited for."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        if int(fields[3]) == session:
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("localhost", 0))
        return int(held.getsockname()[1])
