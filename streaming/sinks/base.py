"""What a run hands on: a step to its output files, and every revision of an alert to its sinks.

A further sink is one function that opens it, and one line in a package's entry points:

    [project.entry-points."swarmlight.sinks"]
    chat = "my_package.chat:open_sink"

Then `swarmlight run --sink chat:ROOM` sends alerts there. docs/how-to/add-a-sink.md has a whole example.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

from detector.errors import UsageError
from detector.plugins import SINKS, load
from streaming.assess import TickOutput
from streaming.config import Config
from streaming.schema.dead_letter import DeadLetter


class Step(NamedTuple):
    """What a chunk of records led to: its dead letters, and the outputs of the ticks that became due."""

    letters: list[DeadLetter]
    outputs: list[TickOutput]


class AlertSink(Protocol):
    """Where alerts go."""

    def write(self, alert_id: str, body: bytes) -> None:
        """Take one revision of an alert; revisions of an id come in order, each in place of the one before.

        Args:
            alert_id: the same for all revisions of an alert.
            body: the alert as JSON, without line end.

        Raises:
            SwarmlightError: it cannot be written; the run ends with the message.
        """
        ...

    def close(self) -> None:
        """Finish: called once, after the last revision or when the run has failed."""
        ...


@runtime_checkable
class LiveSink(AlertSink, Protocol):
    """A sink that can also be used for as long as a deployment lives, and then never reaches an end.

    What was written and not flushed when a process died is written again by the next one, so it may come twice. After
    an error the sink is closed and opened again, and what was not flushed is written once more.
    """

    flush_s: float
    """Seconds between two flushes; 0 where what was written is safe when `write` returns."""

    def flush(self) -> None:
        """Return once everything that was written is safe where it was sent.

        Raises:
            SwarmlightError: it is not; what was written since the last flush will be written again.
        """
        ...


@runtime_checkable
class Abandonable(Protocol):
    """A sink that wants to know whether a run has failed: then `abandon` is called, and `close` after it."""

    def abandon(self) -> Path | None:
        """Keep what there is from being taken for complete; the path where it lies, if it does. Does not raise."""
        ...


SinkFactory: TypeAlias = Callable[[str, Config], AlertSink]
"""Opens a sink. Takes what stands behind `NAME:` (may be empty) and the configuration; called before anything is read.
Raises `UsageError` where the target cannot be used."""


def open_sink(spec: str, config: Config) -> AlertSink:
    """The sink that `NAME:TARGET` means.

    Args:
        spec: as `--sink` takes it; without a colon the target is empty.
        config: handed on to the sink.

    Raises:
        UsageError: no such sink, or its target cannot be used.
    """
    name, _, target = spec.partition(":")
    factory: SinkFactory = load(SINKS, name)
    if not callable(factory):
        raise UsageError(f"--sink {name!a}: what is installed under this name is no function that opens a sink")
    return factory(target, config)


def open_live_sink(spec: str, config: Config) -> LiveSink:
    """The sink that `NAME:TARGET` means, where alerts have no end.

    Args:
        spec: as `--sink` takes it.
        config: handed on to the sink.

    Raises:
        UsageError: as `open_sink`, and for a sink that is complete only at an end.
    """
    sink = open_sink(spec, config)
    if isinstance(sink, LiveSink):
        return sink
    sink.close()
    raise UsageError(
        f"the sink {spec.partition(':')[0]!a} with this target is complete only at the end of a run: a deployment that "
        "lives takes webhook, kafka, parquet with a folder, ozone with a URL, osprey or prometheus"
    )
