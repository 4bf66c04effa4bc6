"""The demo's other processes: broker, worker and console, started quietly and ended for certain; and the player.

`Player` is a thread that sends the events into the topic `posts` at many times their own speed. `DemoFeed` is the
moderators' console in a process of its own, with links that let one in once, on the page of a caught campaign.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from itertools import accumulate, pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from kafka.errors import KafkaError

from detector.errors import BrokerError, SwarmlightError, UsageError
from simulation.demo.stream import PlayedEvent
from streaming.kafka.client import Clients, close
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

    Args:
        folder: for its data and log.
        port: where it listens on loopback.
        environ: its environment.

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
    """`swarmlight worker` on the demo's configuration, until the stream has been over for `idle_s` seconds.

    Args:
        folder: for its state and log.
        config: the demo's configuration.
        idle_s: seconds of silence after which the stream is over.
        environ: its environment.
    """
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

    Args:
        child: the process.
        ready: whether it is.
        timeout_s: longest wait.
        clock: seconds, monotonic.
        sleep: waits so many seconds.

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


STEP_S: Final = 0.05
"""Events are sent twenty times a second, those due by then at once."""

QUIET_MS: Final = 20 * 60_000
"""Longest pause that is played: nobody wants to watch the night."""


def schedule(times_ms: Sequence[int], seconds: float) -> list[float]:
    """Seconds after the start at which each event is due: their own pauses, cut at `QUIET_MS`, made to fit."""
    pauses = [min(QUIET_MS, after - before) for before, after in pairwise(times_ms)]
    scale = seconds / max(1, sum(pauses))
    return [passed * scale for passed in accumulate(pauses, initial=0)]


class Player(threading.Thread):
    """Sends each event when its share of `seconds` has passed. `sent` and `now_ms` may be read at any time."""

    def __init__(self, clients: Clients, topic: str, events: Sequence[PlayedEvent], seconds: float) -> None:
        super().__init__(name="player", daemon=True)
        self._clients = clients
        self._topic = topic
        self._times = [event.at_ms for event in events]
        self._due = schedule(self._times, seconds)
        self._records = [(event.account.encode(), event.line) for event in events]
        self._leave = threading.Event()
        self.sent = 0
        self.now_ms = self._times[0]
        self.error: str | None = None

    @property
    def total(self) -> int:
        return len(self._records)

    def leave(self) -> None:
        """Stop sending and end the thread."""
        self._leave.set()
        self.join(5.0)

    def run(self) -> None:
        try:
            producer = self._clients.producer()
        except BrokerError as error:
            self.error = str(error)
            return
        try:
            self._play(producer)
            producer.flush(timeout=30)
        except KafkaError as error:
            self.error = f"the demo's events could not be sent: {type(error).__name__}"
        finally:
            close(producer)

    def _play(self, producer: Any) -> None:
        began = time.monotonic()
        while self.sent < self.total and not self._leave.is_set():
            now = time.monotonic() - began
            while self.sent < self.total and self._due[self.sent] <= now:
                key, value = self._records[self.sent]
                producer.send(self._topic, value, key=key)
                self.now_ms = self._times[self.sent]
                self.sent += 1
            self._leave.wait(STEP_S)


LINK_S: Final = 60.0
"""Making a link starts a process, which takes two seconds, or more beside a worker that starts as well."""

FIRST: Final = "admin"
"""Whom the feed adds to a database where there is nobody yet."""


def installed() -> bool:
    """Whether the packages of `swarmlight[feed]` are here."""
    return all(find_spec(name) is not None for name in ("fastapi", "sqlalchemy", "uvicorn", "argon2", "jinja2"))


class DemoFeed:
    """`swarmlight feed` on the demo's broker. Use `child` as a context.

    Args:
        folder: where its database lies.
        config: the demo's configuration.
        port: where it listens on loopback.
    """

    def __init__(self, folder: Path, config: Path, port: int, environ: Mapping[str, str]) -> None:
        database = f"sqlite:///{folder / 'feed.db'}"
        self._environ = dict(environ) | {"SWARMLIGHT_FEED__PORT": str(port)}
        self._folder = folder
        self._common = ["--config", str(config), "--database", database]
        self._program = [sys.executable, "-m", "streaming", "feed"]
        self.child = Child("feed", [*self._program, "--kafka", *self._common], folder, self._environ)
        self._thread: threading.Thread | None = None
        self.address: str | None = None
        """The newest link, once it is made."""

    def ask(self, alert: str, *, browser: bool) -> None:
        """Have a link to an alert made in the background, once; and open it where there is a screen."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._make, args=(alert, browser), name="link", daemon=True)
            self._thread.start()

    def link(self, alert: str) -> str | None:
        """A link that lets one in once, on the page of an alert; None where the feed does not run."""
        command = [*self._program, "link", FIRST, "--page", f"/alerts/{alert}", *self._common]
        try:
            done = subprocess.run(  # noqa: S603 - our own program, no shell
                command,
                cwd=self._folder,
                env=self._environ,
                capture_output=True,
                text=True,
                timeout=LINK_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    def _make(self, alert: str, browser: bool) -> None:
        found = self.link(alert)
        if found is not None and browser and _has_screen(self._environ) and webbrowser.open(found):
            # It has been used; the demo's end gives another.
            found = found.partition("/enter")[0]
        self.address = found


def _has_screen(environ: Mapping[str, str]) -> bool:
    """Whether a browser would open in a window of its own, not in this terminal."""
    return sys.platform in ("darwin", "win32") or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))
