"""`swarmlight worker`: puts a worker together from its configuration and runs its stages, each in a thread of its own.

`run_worker` checks the topics, makes the stages and the HTTP endpoint, and returns when the stages are done, one of
them failed, or a signal asked to stop. A broker that is away is no reason to end: the loops go on asking, and health
says so. Whatever asking again does not mend ends the whole worker with its error.
"""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Final, Literal, NamedTuple, Protocol

import msgspec
import numpy as np

from detector.errors import BrokerError, UsageError
from detector.models import Models
from streaming.assess.outputs import Reranker, RerankRequest
from streaming.assess.settings import AssessSettings
from streaming.config import Config
from streaming.health import Health, open_endpoint
from streaming.kafka import client
from streaming.kafka.assess_worker import AssessStage
from streaming.kafka.client import Clients, Topics, ensure_topics
from streaming.kafka.deliver import DeliverStage, name_of, sinks_of
from streaming.kafka.leader import make_core
from streaming.kafka.score_worker import ScoreStage
from streaming.kafka.shadow_worker import ChooseStage, CompareStage
from streaming.kafka.snapshots import Core
from streaming.kafka.text_reader import BackgroundReader, ReaderProcess
from streaming.playback import configured_models, live_reranker
from streaming.score import Scorer
from streaming.sources.base import FileRecord, RecordFormat
from streaming.sources.files import EVENTS, format_named
from streaming.worker_metrics import Metrics

log = logging.getLogger(__name__)

PAUSE_S: Final = 1.0
"""Wait after an error of the broker."""

CLOSE_S: Final = 25.0
"""Longest time to finish a batch, commit and leave: within the half minute that supervisors grant."""

StageName = Literal["all", "score", "assess", "deliver", "compare", "choose"]

SAFE_RETENTION_S: Final = 3 * 86_400
"""A weekend: the observation log is there when somebody comes back to a deployment that stopped on Friday."""


class Stage(Protocol):
    """A loop body: `turn` is called until `done`, then `close`."""

    done: bool

    def turn(self) -> None: ...

    def close(self) -> None: ...


class StageThreads:
    """The threads in which the stages of one worker turn.

    Args:
        stages: functions that make a stage, by name; each is called in the stage's own thread.
        metrics: told when a broker is away.
        health: told when the slowest of the loops last turned.
    """

    def __init__(self, stages: dict[str, Callable[[], Stage]], metrics: Metrics, health: Health) -> None:
        self._metrics, self._health = metrics, health
        self._turned = dict.fromkeys(stages, time.monotonic())
        self._stop = threading.Event()
        self._changed = threading.Event()
        self._errors: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._loop, args=(name, make), name=name, daemon=True)
            for name, make in stages.items()
        ]

    def stop(self) -> None:
        """Ask all loops to finish their batch and end; may be called from a signal handler."""
        self._stop.set()
        self._changed.set()

    def ended(self, name: str) -> bool:
        """Whether a loop has ended, or there is none of that name."""
        return self._turned.get(name, float("inf")) == float("inf")

    def run(self) -> bool:
        """Start all loops and return when all have ended; at most about `CLOSE_S` after being asked to.

        Returns:
            Whether all have ended.

        Raises:
            BaseException: the first error that ended a loop.
        """
        for thread in self._threads:
            thread.start()
        while any(thread.is_alive() for thread in self._threads) and not self._stop.is_set():
            self._changed.wait(0.2)
            self._changed.clear()
            self._health.turned(min(self._turned.values()))
        deadline = time.monotonic() + CLOSE_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if self._errors:
            raise self._errors[0]
        ended = not any(thread.is_alive() for thread in self._threads)
        if not ended:
            log.warning("not everything could be finished within %.0f s; the next start goes on from there", CLOSE_S)
        return ended

    def _loop(self, name: str, make: Callable[[], Stage]) -> None:
        try:
            stage = make()
            try:
                self._turn(name, stage)
            finally:
                self._turned[name] = float("inf")
                try:
                    stage.close()
                except BrokerError as error:
                    log.warning("stage %s did not close in order: %s", name, error)
        except BaseException as error:
            self._errors.append(error)
            self.stop()
        finally:
            self._changed.set()

    def _turn(self, name: str, stage: Stage) -> None:
        while not stage.done and not self._stop.is_set():
            self._turned[name] = time.monotonic()
            try:
                stage.turn()
            except BrokerError as error:
                if client.is_permanent(error):
                    raise
                log.warning("stage %s waits for the broker: %s", name, error)
                self._metrics.broker(False)
                self._stop.wait(PAUSE_S)


class Cores(NamedTuple):
    """What judges texts and accounts, apart from Kafka. Tests put smaller ones in.

    Args:
        scorer: of the stage `score`.
        make: a core from the folder of a snapshot's state and the number of partitions of `posts`, or a new one.
        reader: the second-stage model, which reads texts for the core.
        settings: digest of everything that outputs depend on besides the log.
        models: name and version of each, for metrics.
    """

    scorer: Scorer
    make: Callable[[Path | None, int], Core]
    reader: BackgroundReader
    settings: str
    models: dict[str, str]


def build_cores(config: Config) -> Cores:
    """The shipped models with the configured settings.

    Raises:
        ModelError: a model is missing or damaged.
        UsageError: settings that the models cannot honour.
    """
    models = configured_models(config)
    settings = AssessSettings.from_config(config)
    scorer = Scorer(models.text)
    log_models = scorer.models if config.shadow.log == "live" else None
    return Cores(
        scorer,
        lambda folder, partitions: make_core(settings, models, partitions, folder, log_models),
        ReaderProcess(partial(_reranker, config), specimen(models)),
        digest(settings, models),
        models.versions,
    )


def run_worker(config: Config, stage: StageName, exit_s: float | None, cores: Cores) -> None:
    """Run a worker until its input has ended (with `exit_s`), or until SIGTERM or SIGINT.

    Args:
        config: of the deployment.
        stage: which of the loops to run.
        exit_s: end when all that was written has been processed and nothing more came for so long; None: never.
        cores: what judges.

    Raises:
        SwarmlightError: whatever only an operator can mend.
    """
    clients, topics = Clients(config.kafka), Topics.of(config.kafka, config.shadow)
    runs = running(stage, config)
    partitions = ensure_topics(clients, topics, config.kafka, snapshots=True)
    _warn_of_short_retention(config)
    convert = converter(config.kafka.posts_format)
    metrics, health = Metrics(), Health(time.monotonic())
    metrics.models(cores.models)
    metrics.budget(config.second_stage_texts_per_s)
    if stage == "score":
        health.role("score")
    stages: dict[str, Callable[[], Stage]] = {}

    def over() -> bool:
        return threads.ended("assess")

    ends = None if exit_s is None else over
    if "score" in runs:
        stages["score"] = lambda: ScoreStage(
            clients,
            topics,
            config,
            cores.scorer,
            partitions,
            exit_s=exit_s,
            patient=stage == "all",
            metrics=metrics,
            health=health,
            convert=convert,
        )
    if "assess" in runs:
        stages["assess"] = lambda: AssessStage(
            clients,
            topics,
            config,
            partitions,
            make=lambda folder: cores.make(folder, partitions),
            reader=cores.reader,
            settings=f"{cores.settings} {config.shadow.begin}".rstrip(),
            closing=exit_s is not None,
            metrics=metrics,
            health=health,
            role=lambda what: health.role(f"score, {what}" if "score" in runs else what),
        )
    if "deliver" in runs:
        told = Topics(config.kafka.alerts_prefix) if config.kafka.alerts_prefix else topics
        stages |= _sinks(clients, told, config, metrics, exit_s, over=over)
    if "compare" in runs:
        stages["compare"] = lambda: CompareStage(clients, topics, metrics, ends)
    if "choose" in runs:
        stages["choose"] = lambda: ChooseStage(clients, topics, config, metrics, ends)
    threads: StageThreads = StageThreads(stages, metrics, health)

    def stop(*_: object) -> None:
        health.stopping()
        threads.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    endpoint = open_endpoint(config, metrics, health, time.monotonic)
    log.info("worker begins", extra={"stage": stage, "topic": topics.posts, "partitions": partitions})
    try:
        ended = threads.run()
    finally:
        if endpoint is not None:
            endpoint.close()
    log.info("worker ends")
    if not ended:
        # A loop is still busy, perhaps inside a matrix product: tearing the interpreter down around it would abort.
        logging.shutdown()
        os._exit(0)


def running(stage: StageName, config: Config) -> frozenset[str]:
    """The loops that a worker runs. A shadow that reads the live deployment's log has no `score`.

    Raises:
        UsageError: the configuration has nothing to do for this stage.
    """
    shadow = config.shadow
    if stage == "score" and shadow.log == "live":
        raise UsageError('--stage score: a shadow with [shadow] log = "live" reads what the live deployment scored')
    if stage != "all":
        return frozenset({stage})
    if not shadow.log:
        return frozenset({"score", "assess", "deliver"})
    runs = {"assess", "deliver", "compare"}
    runs |= {"score"} if shadow.log == "own" else set()
    return frozenset(runs | ({"choose"} if shadow.canary_prefix else set()))


def _sinks(
    clients: Clients,
    topics: Topics,
    config: Config,
    metrics: Metrics,
    exit_s: float | None,
    *,
    over: Callable[[], bool],
) -> dict[str, Callable[[], Stage]]:
    """A stage for each sink of the configuration, by name.

    Args:
        clients: make the Kafka clients.
        topics: names.
        config: names the sinks.
        metrics: told of failures.
        exit_s: set where the worker is to end with its input.
        over: whether this worker writes no more alerts.
    """

    def make(spec: str) -> Callable[[], Stage]:
        ends = None if exit_s is None else over
        return lambda: DeliverStage(clients, topics, config, spec, metrics=metrics, over=ends)

    return {f"sink {name_of(spec)}": make(spec) for spec in sinks_of(config)}


SPECIMEN: Final = (
    "We walked along the river this morning and it was so cold that the dog would not go into the water at all, "
    "which has never happened before."
)
"""Long enough for any second-stage model to read it: one that abstains loads nothing."""


def converter(format_name: str) -> Callable[[bytes], FileRecord] | None:
    """What makes post events of the records of `posts`; None where they are post events.

    Raises:
        UsageError: there is no such format, or it has no single records, as tables have none.
    """
    if format_name == EVENTS:
        return None
    found = format_named(format_name)
    if not isinstance(found, RecordFormat):
        raise UsageError(f"[kafka] posts_format = {format_name!a}: this format is of files, not of single records")
    return found.convert


def specimen(models: Models) -> RerankRequest:
    """A request that has everything loaded, the second stage in each of its languages: an encoder takes seconds."""
    model = models.second_stage
    languages = [] if model is None else sorted(getattr(model, "languages", ())) or ["en"]
    count = len(languages)
    meanings = [] if models.meaning is None else [SPECIMEN]
    return RerankRequest(0, [SPECIMEN] * count, languages, np.zeros(count, np.int16), meanings)


def _reranker(config: Config) -> Reranker:
    """What reads texts, made in the process that does."""
    return live_reranker(configured_models(config))


def _warn_of_short_retention(config: Config) -> None:
    least_s = max(SAFE_RETENTION_S, 2 * config.state.snapshot_every_s)
    if config.kafka.retention_s < least_s:
        log.warning(
            "[kafka] retention_s = %d: a start needs a snapshot that the log still covers; keep it for %d s at least",
            config.kafka.retention_s,
            least_s,
        )


RULES: Final = 2
"""Of what a tick does with its events; another number decides otherwise. 2: texts are read between two ticks."""


def digest(settings: AssessSettings, models: Models) -> str:
    """Names everything that a replay's outputs depend on besides the log: 16 hexadecimal digits."""
    what = {key: sorted(value) if isinstance(value, frozenset) else value for key, value in asdict(settings).items()}
    return hashlib.sha256(msgspec.json.encode([RULES, what, models.versions], order="deterministic")).hexdigest()[:16]
