"""The demo's other processes: the broker and the worker, started quietly and ended for certain."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from detector.errors import BrokerError, SwarmlightError, UsageError
from streaming.logs import shown

GRACE_S: Final = 10.0
"""A worker finishes its batch and commits in well under this; what takes longer is killed."""

AFTERMATH_S: Final = 2.0
"""What a process started gets this long after it; the broker saves in a few milliseconds."""

TAIL_CHARACTERS: Final = 600
"""Of a process's log, shown when it ends by itself."""


class Child:
    """A process of its own session, so that Ctrl-C reaches only the demo, which then ends it in order."""

    def __init__(self, name: str, command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own programs, no shell
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env=dict(environ),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def status(self) -> int | None:
        """The exit status, None while it runs."""
        return self._process.poll()

    def tail(self) -> str:
        """The end of its log as printable ASCII."""
        text = self._log.read_text(encoding="utf-8", errors="replace")[-TAIL_CHARACTERS:]
        return " / ".join(shown(line, TAIL_CHARACTERS) for line in text.splitlines() if line.strip())

    def stop(self) -> None:
        """End it and what it started: SIGTERM to its group, and SIGKILL to what is left of that.

        `noida-db` is a script around a program, which would go on without it.
        """
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_S)
        deadline = time.monotonic() + AFTERMATH_S
        with suppress(ProcessLookupError):
            while time.monotonic() < deadline:
                os.killpg(self._process.pid, 0)
                time.sleep(0.05)
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def free_port() -> int:
    """A loopback port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def quiet_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without Swarmlight's own variables: the demo's processes are configured by the demo."""
    return {name: value for name, value in environ.items() if not name.startswith("SWARMLIGHT_")}


def broker(folder: Path, port: int, environ: Mapping[str, str]) -> Child:
    """`noida-db` as a Kafka broker on 127.0.0.1. Its warning about GLIBC goes to its log and means nothing.

    Raises:
        UsageError: it is not installed.
    """
    beside = Path(sys.executable).with_name("noida-db")
    program = str(beside) if beside.exists() else shutil.which("noida-db")
    if program is None:
        raise UsageError("the demo's broker noida-db is not installed: pip install 'swarmlight[demo]' or `make setup`")
    command = [program, "start", "--data-dir", str(folder / "broker"), "--only", "kafka", "--kafka-port", str(port)]
    return Child("broker", command, folder, environ)


def worker(folder: Path, config: Path, idle_s: float, environ: Mapping[str, str]) -> Child:
    """`swarmlight worker` on the demo's configuration, until the stream has been over for `idle_s` seconds."""
    command = [sys.executable, "-m", "streaming", "worker", "--config", str(config), "--exit-when-idle", str(idle_s)]
    return Child("worker", command, folder, environ)


def wait_for(
    child: Child,
    ready: Callable[[], bool],
    timeout_s: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until `ready`.

    Raises:
        SwarmlightError: the process ended, or did not get ready in time.
    """
    deadline = clock() + timeout_s
    while not ready():
        status = child.status()
        if status is not None:
            raise SwarmlightError(f"the demo's {child.name} ended with status {status}: {child.tail()}")
        if clock() > deadline:
            raise BrokerError(f"the demo's {child.name} was not ready after {timeout_s:.0f} s: {child.tail()}")
        sleep(0.1)


def listening(port: int) -> bool:
    """Whether somebody accepts connections on the loopback port."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1.0):
            return True
    except OSError:
        return False
