"""The command `swarmlight listen`: follow Bluesky or Mastodon into a file, into Kafka, or into the stages here."""

from __future__ import annotations

import math
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Final, NamedTuple, TextIO

import typer

from detector.errors import UsageError
from detector.times import parse_time
from streaming.config import Config, load_config
from streaming.interrupts import Interrupts
from streaming.live.base import LiveSource, StreamPosition
from streaming.live.checkpoint import CheckpointFile
from streaming.live.destinations import Destination, PostsTopic, RecordingFile
from streaming.live.jetstream import COLLECTIONS, HOST, Jetstream
from streaming.live.listener import Listener, StreamCounts, summary
from streaming.live.mastodon_stream import MastodonStream
from streaming.logs import shown
from streaming.sources.events import RECORD_BYTES

KAFKA: Final = "kafka"
"""In place of a file's name."""

STAGES: Final = "stages"
"""Likewise."""

FOLDER: Final = Path("swarmlight-live")

app: Final = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    subcommand_metavar="bluesky|mastodon",
    help="Follow a public stream: into a file, into Kafka, or into the stages in this process.",
    epilog="`swarmlight listen bluesky --help` says more about one of them.",
)

To = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|kafka|stages",
        help="a file of post events, compressed as .gz or .zst says; kafka: topic posts; stages: score here",
    ),
]
WithConsole = Annotated[
    bool, typer.Option("--console", help="score here (--to stages), with the moderators' console beside it")
]
Cursor = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="where the place in the stream is kept, to go on from (default: beside --to)"),
]
DeadLetters = Annotated[
    Path | None, typer.Option(metavar="FILE", help="write records that are no event, with the reason")
]
Folder = Annotated[Path | None, typer.Option(metavar="DIR", help="of --to stages (default swarmlight-live)")]
Sinks = Annotated[
    list[str] | None, typer.Option("--sink", metavar="NAME:TARGET...", help="with --to stages: send alerts there too")
]
Seconds = Annotated[float | None, typer.Option(metavar="S", help="end after so many seconds (default: when told to)")]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="TOML file; environment variables win over it")
]


@app.command("bluesky", help="Follow Bluesky by Jetstream: posts, replies, reposts, likes, follows and deletions.")
def bluesky_command(
    to: To = None,
    console: WithConsole = False,
    host: Annotated[str, typer.Option(metavar="URL", help="of an instance's /subscribe")] = HOST,
    collection: Annotated[
        list[str] | None, typer.Option(metavar="NSID...", help=f"what to ask for (default: {' '.join(COLLECTIONS)})")
    ] = None,
    did: Annotated[list[str] | None, typer.Option(metavar="DID...", help="only acts of these accounts")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="begin there, up to 36 hours ago, where no cursor is kept yet")
    ] = None,
    zstd_dictionary: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Jetstream's dictionary, to receive compressed messages"),
    ] = None,
    cursor: Cursor = None,
    dead_letters: DeadLetters = None,
    folder: Folder = None,
    sinks: Sinks = None,
    seconds: Seconds = None,
    config: ConfigFile = None,
) -> int:
    """Follow Bluesky until Ctrl-C or SIGTERM; exit status 0 then, with one line that accounts for every record.

    Args:
        to: where events go.
        console: with the console beside the stages.
        host: WebSocket of Jetstream.
        collection: what to ask for.
        did: of whom.
        since: where to begin.
        zstd_dictionary: file of the dictionary.
        cursor: file of the checkpoint.
        dead_letters: file of dead letters.
        folder: of the stages.
        sinks: further places for alerts.
        seconds: end after them.
        config: of the stages and of Kafka.

    Raises:
        UsageError: unusable arguments, or a file that cannot be written.
        DeliveryError: the platform refuses.
    """
    source = Jetstream(host, collections=collection or COLLECTIONS, dids=did or (), dictionary=zstd_dictionary)
    begin = None if since is None else _since(since)
    wanted = _Wanted(to, console, cursor, dead_letters, folder, sinks or [], seconds, config)
    return _listen(source, load_config(config, os.environ), wanted, begin)


@app.command("mastodon", help="Follow a Mastodon server by its streaming API: public statuses, edits and deletions.")
def mastodon_command(
    host: Annotated[
        str, typer.Option(metavar="URL", help="of the server: https:// for server-sent events, wss:// for a WebSocket")
    ],
    to: To = None,
    console: WithConsole = False,
    stream: Annotated[str, typer.Option(metavar="NAME", help="public, public:local or hashtag:TAG")] = "public",
    cursor: Cursor = None,
    dead_letters: DeadLetters = None,
    folder: Folder = None,
    sinks: Sinks = None,
    seconds: Seconds = None,
    config: ConfigFile = None,
) -> int:
    """Follow Mastodon until Ctrl-C or SIGTERM; exit status 0 then, with one line that accounts for every record.

    Most servers ask for a token: SWARMLIGHT_LISTEN__TOKEN, or the file that [listen] token_file names.

    Args:
        host: of the server.
        to: where events go.
        console: with the console beside the stages.
        stream: which of its streams.
        cursor: file of the checkpoint.
        dead_letters: file of dead letters.
        folder: of the stages.
        sinks: further places for alerts.
        seconds: end after them.
        config: of the stages and of Kafka, and where the token lies.

    Raises:
        UsageError: unusable arguments, or a file that cannot be written.
        DeliveryError: the server refuses.
    """
    loaded = load_config(config, os.environ)
    token = loaded.listen.secret()
    source = MastodonStream(host, stream=stream, token=None if token is None else token.get_secret_value())
    wanted = _Wanted(to, console, cursor, dead_letters, folder, sinks or [], seconds, config)
    return _listen(source, loaded, wanted, None)


def _since(value: str) -> StreamPosition:
    at_ms = parse_time(value)
    if at_ms is None:
        raise UsageError(f"--since {value!a} is no time: write for example 2026-03-01T12:00:00Z")
    return StreamPosition(at_ms * 1000)


class _Wanted(NamedTuple):
    """The options that both platforms have."""

    to: str | None
    console: bool
    cursor: Path | None
    dead_letters: Path | None
    folder: Path | None
    sinks: list[str]
    seconds: float | None
    config: Path | None

    def checked(self) -> str:
        """Where events go.

        Raises:
            UsageError: options that do not fit together.
        """
        to = STAGES if self.to is None and self.console else self.to
        if to is None:
            raise UsageError("say where events go: --to FILE.jsonl.gz, --to kafka, --to stages, or --console")
        if self.console and to != STAGES:
            raise UsageError("--console is beside the stages in this process: leave --to out")
        if to != STAGES and (self.sinks or self.folder is not None):
            raise UsageError("--sink and --folder are of --to stages: leave them out")
        if to == KAFKA and self.dead_letters is not None:
            raise UsageError("--dead-letters: with --to kafka dead letters go to the topic dead-letters; leave it out")
        if self.seconds is not None and not (math.isfinite(self.seconds) and self.seconds > 0):
            raise UsageError(f"--seconds {self.seconds:g}: give a number above 0")
        return to


def _listen(source: LiveSource, config: Config, wanted: _Wanted, begin: StreamPosition | None) -> int:
    to, place = wanted.checked(), wanted.folder or FOLDER
    if to == STAGES:
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--folder {str(place)!a} cannot be made: {error.strerror}") from None
    path = wanted.cursor or _default_cursor(to, place, source.name)
    line = RateLine(sys.stderr)

    def open_destination(kept: dict[str, int]) -> Destination:
        if to == KAFKA:
            return PostsTopic(config)
        if to == STAGES:
            # What it imports takes seconds, and only this destination needs it.
            from streaming.live.stages import StagesInProcess

            return StagesInProcess(config, place, kept, dead_letters=wanted.dead_letters, sinks=wanted.sinks)
        return RecordingFile(Path(to), wanted.dead_letters, kept)

    with ExitStack() as stack:
        listener = Listener(source, open_destination, stack.enter_context(CheckpointFile(path)), line, begin=begin)
        interrupts = stack.enter_context(Interrupts())
        interrupts.patient = True
        if wanted.console:
            from streaming.live.stages import Console

            stack.enter_context(Console(place, wanted.config))
        ends_at = math.inf if wanted.seconds is None else time.monotonic() + wanted.seconds
        tally = listener.run(lambda: interrupts.received is not None or time.monotonic() >= ends_at)
    line.clear()
    found = getattr(listener.destination, "found", "")
    last = summary(tally, listener.destination.place, str(path))
    print(f"{last}; {found}" if found else last, file=sys.stderr)
    return 0


def _default_cursor(to: str, folder: Path, name: str) -> Path:
    if to == STAGES:
        return folder / "cursor.json"
    return Path(f"swarmlight-{name}.cursor.json") if to == KAFKA else Path(f"{to}.cursor.json")


ON_TERMINAL_S: Final = 0.5
"""Seconds between two looks of the line of progress."""

IN_LOG_S: Final = 60.0
"""The same where standard error is no terminal: a line a minute is a log that can be read."""

RATE_S: Final = 10.0
"""The rate that is shown is that of so many seconds."""


class RateLine:
    """Shows how a listener does, on one line of a terminal or as lines of a log.

    Args:
        stream: standard error.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._shown_at = time.monotonic()
        self._times: list[tuple[float, int]] = [(self._shown_at, 0)]

    def said(self, text: str) -> None:
        """A line of its own."""
        self.clear()
        print(shown(text, RECORD_BYTES), file=self._stream, flush=True)

    def advanced(self, tally: StreamCounts, newest_us: int, waiting: int) -> None:
        """The line of progress, where it is time for it.

        Args:
            tally: of what was settled.
            newest_us: position of the newest record.
            waiting: bytes that were received and are not settled.
        """
        now = time.monotonic()
        if now - self._shown_at < (ON_TERMINAL_S if self._terminal else IN_LOG_S):
            return
        self._shown_at = now
        self._times.append((now, tally.received))
        while len(self._times) > 2 and now - self._times[1][0] >= RATE_S:
            self._times.pop(0)
        begun, before = self._times[0]
        rate = max(tally.received - before, 0) / max(now - begun, 1e-9)
        behind = max(time.time() - newest_us / 1e6, 0.0) if newest_us > 0 else 0.0
        text = (
            f"{tally.received:,} received  {rate:,.0f}/s  {tally.events:,} events  {tally.dead:,} dead  "
            f"{tally.cuts:,} cuts  {behind:,.0f} s behind  {waiting / 2**20:.1f} MiB waiting"
        )
        self._stream.write(f"\r\x1b[K{text}" if self._terminal else f"{text}\n")
        self._stream.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
