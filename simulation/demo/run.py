"""The command `swarmlight demo`: starts a broker, a worker and a player, shows alerts as they come, ends everything.

In: a seed and how fast to play. Out: a panel in the terminal, or lines where there is none, and in the end how what was
found compares with the truth; with `--write`, the stream and its truth as files and nothing else.
"""

from __future__ import annotations

import http.client
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

import msgspec
import typer
from kafka import KafkaConsumer, TopicPartition
from rich.console import Console, RenderableType
from rich.live import Live

from detector.errors import SwarmlightError, UsageError
from simulation.demo.panel import Board, announce, draw, draw_verdict, report
from simulation.demo.processes import (
    Child,
    DemoFeed,
    Player,
    broker,
    free_port,
    installed,
    listening,
    quiet_environ,
    wait_for,
    worker,
)
from simulation.demo.stream import Stream, make_stream
from simulation.population_files import written
from streaming.config import Config, load_config
from streaming.kafka.client import Clients, Topics, close, ensure_topics

BROKER_S: Final = 30.0
"""It listens after a third of a second; a machine that is busy with something else gets time."""

IDLE_S: Final = 5.0
"""Once everything has been sent, the worker ends the topic after this long: a busy machine may stall us for seconds."""

QUIET_SHARE: Final = 0.02
"""The longest pause that is played (`player.QUIET_MS`) as a share of two days with their nights cut, rounded up."""

ENDINGS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that end the demo."""

REFRESH_S: Final = 0.25
"""Between two looks at the alerts and the worker's numbers."""

CONFIG: Final = """\
seed = {seed}
# Two days in under a minute: a decision per account every ten minutes of event time, per group every half hour.
tick_s = 600
campaign_tick_s = 1800
[kafka]
bootstrap_servers = "127.0.0.1:{port}"
partitions = 1
[state]
dir = "state"
[metrics]
port = {metrics}
[log]
level = "WARNING"
"""


class Show:
    """One run of the demo. Use `run`."""

    def __init__(
        self,
        seconds: float,
        seed: int,
        wait: bool,
        environ: Mapping[str, str],
        console: Console,
        *,
        feed: bool = True,
    ) -> None:
        self._seconds = seconds
        self._seed = seed
        self._wait = wait
        self._environ = quiet_environ(environ)
        self._console = console
        self._board = Board()
        self._announced: set[str] = set()
        self._with_feed = feed and installed()
        self._feed: DemoFeed | None = None
        self._began = time.monotonic()

    def run(self) -> int:
        """Play, watch and report. Exit status 0, also when it was interrupted after all was played."""
        self._console.print("Reading the people and writing the stream ...")
        stream = make_stream(self._seed)
        with ExitStack() as stack:
            stack.enter_context(_terminated_as_interrupted())
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="swarmlight-demo-")))
            try:
                self._play(stream, folder, stack)
            finally:
                # An impatient second Ctrl-C must not leave processes behind: ending them takes seconds at most.
                for number in ENDINGS:
                    signal.signal(number, signal.SIG_IGN)
        return 0

    def _play(self, stream: Stream, folder: Path, stack: ExitStack) -> None:
        port, metrics = free_port(), free_port()
        path = folder / "demo.toml"
        path.write_text(CONFIG.format(seed=self._seed, port=port, metrics=metrics), encoding="utf-8")
        config = load_config(path, {})
        self._console.print(
            f"Starting a broker and a worker; {len(stream.events):,} events in {self._seconds:.0f} s ..."
        )
        carrier = stack.enter_context(broker(folder, port, self._environ))
        wait_for(carrier, lambda: listening(port), BROKER_S)
        judge = stack.enter_context(worker(folder, path, self._idle_s(), self._environ))
        player, consumer = self._connect(config, stream, stack)
        if self._with_feed:
            self._feed = DemoFeed(folder, path, free_port(), self._environ)
            stack.enter_context(self._feed.child)
        self._began = time.monotonic()
        player.start()
        self._watch(stream, player, consumer, judge, metrics)

    def _idle_s(self) -> float:
        """A pause of the stream is not its end, and it may take a share of the time in which all is played."""
        return IDLE_S + self._seconds * QUIET_SHARE

    def _connect(self, config: Config, stream: Stream, stack: ExitStack) -> tuple[Player, KafkaConsumer]:
        clients, topics = Clients(config.kafka), Topics(config.kafka.topic_prefix)
        ensure_topics(clients, topics, config.kafka, snapshots=bool(config.state.dir))
        consumer = clients.reader(records=500, committed=True)
        stack.callback(close, consumer)
        place = TopicPartition(topics.alerts, 0)
        consumer.assign([place])
        consumer.seek(place, 0)
        player = Player(clients, topics.posts, stream.events, self._seconds)
        stack.callback(player.leave)
        return player, consumer

    def _watch(self, stream: Stream, player: Player, consumer: KafkaConsumer, judge: Child, metrics: int) -> None:
        """Look and draw until the worker has ended and all its alerts are here."""
        with self._live() as live:
            status: int | None = None
            while True:
                ended, status = status is not None, judge.status()
                news = self._look(consumer, metrics)
                if live is not None:
                    live.update(self._drawn(player, self._note(), self._console.size.height))
                else:
                    self._announce()
                self._show_feed()
                if ended and not news:
                    break
                if player.error:
                    raise SwarmlightError(player.error)
            if status:
                raise SwarmlightError(f"the demo's worker ended with status {status}: {judge.tail()}")
            verdict = self._board.verdict(stream)
        if live is None:
            for line in report(verdict):
                self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            self._console.print(self._drawn(player, "done", None), draw_verdict(verdict))
        stays = live is not None and self._wait
        self._end_with_feed(stays)
        if stays:
            self._linger()

    def _note(self) -> str:
        """What stands below the panel."""
        address = self._feed.address if self._feed is not None else None
        return f"console: {address}   Ctrl-C ends everything" if address else "Ctrl-C ends everything"

    def _show_feed(self) -> None:
        """Open the console on the first campaign that was caught."""
        caught = self._first_campaign()
        if self._feed is not None and caught is not None:
            self._feed.ask(caught, browser=self._console.is_terminal)

    def _first_campaign(self) -> str | None:
        """The id of the campaign that was caught first."""
        caught = [each for each in self._board.groups() if each.alert.kind == "campaign"]
        return min(caught, key=lambda each: each.after_s).alert.id if caught else None

    def _end_with_feed(self, stays: bool) -> None:
        """Say where the console is, with a link that has not been used; or how to have it stay."""
        caught = self._first_campaign()
        if self._feed is None:
            hint = "swarmlight feed needs its packages: pip install 'swarmlight[feed]'"
            if self._with_feed or installed():
                return
            self._console.print(hint, markup=False, highlight=False, soft_wrap=True)
            return
        if not stays:
            self._console.print("in a terminal, the console stays open on the campaign until Ctrl-C", markup=False)
            return
        address = self._feed.link(caught) if caught is not None else None
        if address is not None:
            self._console.print(
                f"look at it, claim it, decide: {address}", markup=False, highlight=False, soft_wrap=True
            )

    def _look(self, consumer: KafkaConsumer, metrics: int) -> bool:
        """Take the alerts that have come and the worker's numbers; whether there were any alerts."""
        elapsed = time.monotonic() - self._began
        taken = consumer.poll(round(REFRESH_S * 1000))
        for records in taken.values():
            for record in records:
                if record.value is not None:
                    self._board.alert(record.value, elapsed)
        page = _metrics(metrics)
        if page is not None:
            self._board.numbers(page, elapsed)
        return bool(taken)

    def _drawn(self, player: Player, note: str, rows: int | None) -> RenderableType:
        elapsed = time.monotonic() - self._began
        return draw(
            self._board,
            elapsed_s=elapsed,
            sent=player.sent,
            total=player.total,
            clock_ms=player.now_ms,
            note=note,
            rows=rows,
        )

    def _announce(self) -> None:
        """Without a terminal: one line for each group, once."""
        for caught in self._board.groups():
            key = f"{caught.alert.kind}/{caught.alert.id}"
            if key not in self._announced:
                self._announced.add(key)
                self._console.print(announce(caught), markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def _live(self) -> Iterator[Live | None]:
        if not self._console.is_terminal:
            yield None
            return
        with Live(console=self._console, refresh_per_second=4, vertical_overflow="crop", transient=True) as live:
            yield live

    def _linger(self) -> None:
        self._console.print("Ctrl-C to end.")
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM and a closed terminal end the demo as Ctrl-C does: with its processes."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in ENDINGS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _metrics(port: int) -> str | None:
    """The worker's numbers, None while it does not answer: it starts after us and ends before us."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1.0)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        return answer.read().decode() if answer.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def console() -> Console:
    """Standard output, as wide as it is."""
    return Console(file=sys.stdout)


SECONDS: Final = 45.0
"""In which the stream's two days are played: slow enough to watch, and campaigns come well within a minute."""


def demo_command(
    seconds: Annotated[float, typer.Option(metavar="S", help="time to play two days in")] = SECONDS,
    seed: Annotated[int, typer.Option(metavar="N", help="another stream of the same make")] = 0,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="end when all is played, do not wait for Ctrl-C")] = False,
    write: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write the stream and FILE.truth, play nothing")
    ] = None,
) -> int:
    """Start a small Kafka broker, play two days of posts into it, show the campaigns that are caught.

    People are real (package chitchat-dataset, people kept for this), planted accounts were written for it.

    Args:
        seconds: 5 to 86,400.
        seed: at least 0.
        no_wait: end when everything is played.
        write: file for the events in place of playing them; the truth goes beside it.

    Returns:
        0; an interrupt is raised as KeyboardInterrupt.

    Raises:
        UsageError: arguments that cannot be used.
        SwarmlightError: a process of the demo failed.
    """
    if not 5 <= seconds <= 86_400:
        raise UsageError(f"--seconds {seconds:g}: give 5 to 86400")
    if seed < 0:
        raise UsageError(f"--seed {seed}: give 0 or more")
    if write is not None:
        return _write(write, seed)
    return Show(seconds, seed, not no_wait, os.environ, console()).run()


def _write(path: Path, seed: int) -> int:
    stream = make_stream(seed)
    truth = Path(f"{path}.truth")
    with written(path) as file:
        file.writelines(event.line + b"\n" for event in stream.events)
    with written(truth) as file:
        file.writelines(msgspec.json.encode(row) + b"\n" for row in stream.truth)
    print(f"{len(stream.events)} events in {path}, {len(stream.truth)} accounts in {truth}", file=sys.stderr)
    return 0
