"""Puts a worker together from its configuration: models, topics, stages, metrics."""

from __future__ import annotations

import hashlib
import logging
import signal
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np

from detector.bundle import Models, load_models
from streaming.assess.records import Experts
from streaming.assess.settings import AssessSettings
from streaming.config import Config
from streaming.endpoint import open_endpoint
from streaming.health import Health
from streaming.kafka.assessing import AssessStage
from streaming.kafka.clients import Clients
from streaming.kafka.core import make_core
from streaming.kafka.loops import Loops, Stage
from streaming.kafka.replica import Core
from streaming.kafka.scoring import ScoreStage
from streaming.kafka.topics import Topics, ensure
from streaming.local import live_experts
from streaming.metrics import Metrics
from streaming.score import Scorer

log = logging.getLogger(__name__)

StageName = Literal["all", "score", "assess"]

SAFE_RETENTION_S: Final = 3 * 86_400
"""A weekend: the observation log is there when somebody comes back to a deployment that stopped on Friday."""


class Judgement(NamedTuple):
    """What decides, apart from Kafka.

    Args:
        scorer: of the stage `score`.
        make: a core from the folder of a snapshot's state and the number of partitions of `posts`, or a new one.
        expert: reads texts for the core.
        prepare: loads what the expert needs.
        settings: digest of everything that outputs depend on besides the log.
        models: name and version of each, for metrics.
    """

    scorer: Scorer
    make: Callable[[Path | None, int], Core]
    expert: Experts
    prepare: Callable[[], None]
    settings: str
    models: dict[str, str]


def shipped(config: Config) -> Judgement:
    """The real one.

    Raises:
        ModelError: a model is missing or damaged.
        UsageError: settings that the models cannot honour.
    """
    models = load_models(Path(config.models.dir) if config.models.dir else None)
    settings = AssessSettings.from_config(config)
    return Judgement(
        Scorer(models.text),
        lambda folder, partitions: make_core(settings, models, partitions, folder),
        live_experts(models),
        lambda: _prepare(models),
        digest(settings, models),
        models.versions,
    )


def work(config: Config, stage: StageName, exit_s: float | None, judgement: Judgement) -> None:
    """Run a worker until its input is over (with `exit_s`), or until SIGTERM or SIGINT.

    Args:
        stage: which of the loops to run.
        exit_s: end when all that was written has been processed and nothing more came for so long; None: never.

    Raises:
        SwarmlightError: whatever only an operator can mend.
    """
    clients, topics = Clients(config.kafka), Topics(config.kafka.topic_prefix)
    partitions = ensure(clients, topics, config.kafka, snapshots=True)
    _warn_of_short_retention(config)
    metrics, health = Metrics(), Health(time.monotonic())
    metrics.models(judgement.models)
    if stage == "score":
        health.role("score")
    stages: dict[str, Callable[[], Stage]] = {}
    if stage in ("all", "score"):
        stages["score"] = lambda: ScoreStage(
            clients,
            topics,
            config,
            judgement.scorer,
            partitions,
            exit_s=exit_s,
            patient=stage == "all",
            metrics=metrics,
            health=health,
        )
    if stage in ("all", "assess"):
        stages["assess"] = lambda: AssessStage(
            clients,
            topics,
            config,
            partitions,
            make=lambda folder: judgement.make(folder, partitions),
            expert=judgement.expert,
            prepare=judgement.prepare,
            settings=judgement.settings,
            closing=exit_s is not None,
            metrics=metrics,
            health=health,
            role=lambda what: health.role(what if stage == "assess" else f"score, {what}"),
        )
    loops = Loops(stages, metrics, health)

    def stop(*_: object) -> None:
        health.stopping()
        loops.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    endpoint = open_endpoint(config, metrics, health, time.monotonic)
    log.info("worker begins: stage %s, %d partitions of %s", stage, partitions, topics.posts)
    try:
        loops.run()
    finally:
        if endpoint is not None:
            endpoint.close()
    log.info("worker ends")


def _prepare(models: Models) -> None:
    """Have the expert read something: an encoder takes seconds to load."""
    if models.expert is not None:
        models.expert.score(["good morning"], ["en"], np.zeros(1, np.int16))


def _warn_of_short_retention(config: Config) -> None:
    least_s = max(SAFE_RETENTION_S, 2 * config.state.snapshot_every_s)
    if config.kafka.retention_s < least_s:
        log.warning(
            "[kafka] retention_s = %d: a start needs a snapshot that the log still covers; keep it for %d s at least",
            config.kafka.retention_s,
            least_s,
        )


def digest(settings: AssessSettings, models: Models) -> str:
    """Names everything that a replay's outputs depend on besides the log: 16 hexadecimal digits."""
    what = {key: sorted(value) if isinstance(value, frozenset) else value for key, value in asdict(settings).items()}
    return hashlib.sha256(msgspec.json.encode([what, models.versions], order="deterministic")).hexdigest()[:16]
