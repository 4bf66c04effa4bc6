"""A tiny state machine in place of the real one, so that the Kafka shells are tested for what they do alone.

Every fifth event of an account makes another revision of its alert, which carries a hash over everything that was
handled before, in order: one event lost, repeated or out of order changes every later alert.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from detector.errors import LogError
from detector.times import rfc3339
from streaming.assess.ordering import NO_END, Ordering, OrderingState
from streaming.assess.outputs import AlertRevision, Answer, Reranker, RerankRequest, TickOutput, TickStats
from streaming.config import load_config
from streaming.kafka.text_reader import BackgroundReader, InProcess, ReaderProcess
from streaming.kafka.worker import Cores, run_worker
from streaming.schema.observation import NO_TIME, Entry
from streaming.score import Scorer
from tests.streaming.kafka import stepped_clock

STEP: Final = 5
TICK_MS: Final = 60_000
LATENESS_MS: Final = 60_000
ASK_FROM: Final = 3
"""Events of an account in one tick from which the second stage is asked about it."""


class TinyCore:
    """Counts events per account."""

    def __init__(self, partitions: int) -> None:
        self.begin(OrderingState.begin(partitions, LATENESS_MS))
        self.counts: dict[str, int] = {}
        self.said = 0
        self.digest = b""
        self.closed = False
        self.busy: list[str] = []

    def begin(self, events: OrderingState) -> None:
        self.events = events
        self.ordering = Ordering(events, TICK_MS)

    def feed(self, entry: Entry) -> None:
        self.ordering.feed(entry)

    def next_tick(self) -> int | None:
        if self.closed or self.ordering.low == NO_TIME:
            return None
        return self.ordering.next_tick()

    def asked(self) -> RerankRequest | None:
        """As the real core: what one tick asks for is used at the next."""
        return self._request(0) if self.busy else None

    def _request(self, tick_ms: int) -> RerankRequest:
        busy = self.busy
        return RerankRequest(tick_ms, busy, [""] * len(busy), np.zeros(len(busy), np.int16), busy[:1])

    def advance(self, reranker: Reranker) -> TickOutput | None:
        tick_ms = self.next_tick()
        if tick_ms is None:
            return None
        events = self.ordering.take(tick_ms)
        decisions = self.ordering.take_decisions(tick_ms)
        self.closed = self.ordering.over and self.ordering.last_tick() is None
        answer = reranker(self._request(tick_ms)) if self.busy else Answer.unread()
        self.busy = sorted({one.account for one in events if sum(x.account == one.account for x in events) >= ASK_FROM})
        self.said += int(answer.llrs.sum()) + int(answer.vectors.astype(int).sum())
        alerts = []
        for decision in decisions:
            self.digest = hashlib.sha256(self.digest + decision).digest()
        for seen in events:
            self.digest = hashlib.sha256(self.digest + f"{seen.account}/{seen.id}/{self.said}".encode()).digest()
            count = self.counts[seen.account] = self.counts.get(seen.account, 0) + 1
            if count % STEP == 0:
                revision = count // STEP
                body = {
                    **{"id": seen.account, "revision": revision, "tick": tick_ms, "digest": self.digest.hex()},
                    **{"kind": "account", "status": "open", "at": rfc3339(tick_ms)},
                    "members": [{"account": seen.account}],
                }
                alerts.append(AlertRevision(seen.account, revision, "account", "open", msgspec.json.encode(body)))
        details: list[tuple[str, bytes | None]] = [(f"{alert.id}/0", alert.body) for alert in alerts]
        return TickOutput(tick_ms, alerts, details, [], [], answer, TickStats(events=len(events)))

    def ended(self) -> bool:
        return self.closed or (self.ordering.over and self.next_tick() is None)

    def state(self) -> dict[str, Any]:
        return {
            "events": self.events,
            "counts": self.counts,
            "said": self.said,
            "digest": self.digest,
            "closed": self.closed,
            "busy": self.busy,
        }

    def snapshot(self) -> Callable[[Path], None]:
        state = msgspec.msgpack.encode(self.state())

        def save(folder: Path) -> None:
            folder.mkdir()
            (folder / "tiny").write_bytes(state)

        return save

    @classmethod
    def make(cls, folder: Path | None, partitions: int) -> TinyCore:
        core = cls(partitions)
        if folder is not None:
            try:
                state = msgspec.msgpack.decode((folder / "tiny").read_bytes())
            except OSError as error:
                raise LogError("the tiny snapshot is damaged") from error
            core.begin(msgspec.convert(state["events"], OrderingState))
            core.counts, core.said, core.digest = state["counts"], state["said"], state["digest"]
            core.closed, core.busy = state["closed"], state["busy"]
        return core


def no_two_alike(request: RerankRequest) -> Answer:
    """Models that answer differently every time they are asked: only the journal makes a replay repeat it."""
    rng, blank = np.random.default_rng(), Answer.unread(len(request.texts), len(request.meanings))
    return Answer(
        rng.integers(-1000, 1000, blank.llrs.shape).astype(np.int16),
        rng.integers(-127, 128, blank.vectors.shape).astype(np.int8),
    )


def steady(request: RerankRequest) -> Answer:
    """Models that answer the same every time."""
    blank = Answer.unread(len(request.texts), len(request.meanings))
    return Answer(np.array([len(text) for text in request.texts], np.int16), blank.vectors + np.int8(1))


def reader(reranker: str) -> BackgroundReader:
    """What reads texts: `steady` or `random` models in the worker's process, or `process`: steady ones in their own."""
    if reranker == "process":
        from tests.streaming.kafka.readers import made

        return ReaderProcess(made, RerankRequest(0, ["x"], [""], np.zeros(1, np.int16), []))
    return InProcess(no_two_alike if reranker == "random" else steady)


def tiny(reranker: str = "steady", settings: str = "tiny") -> Cores:
    """What decides in these tests."""
    return Cores(
        Scorer(None, language=lambda text, declared, readable: declared),
        TinyCore.make,
        reader(reranker),
        settings,
        {},
    )


def expected(events: list[dict[str, Any]], state: dict[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    """Last revisions of all alerts after these events, worked out without a broker.

    Args:
        events: in any order.
        state: filled with what decides further outputs, at the end.
    """
    from streaming.schema.observation import Batch, End
    from streaming.sources.base import SourceRecord

    core = TinyCore(1)
    records = [SourceRecord(i, -1, msgspec.json.encode(event)) for i, event in enumerate(events)]
    observations, _ = Scorer(None, language=lambda text, declared, readable: declared).score(records, 2**43)
    core.feed(Batch(0, 1, 0, len(events), NO_TIME, {}, observations))
    core.feed(End(0, 1, len(events)))
    alerts: dict[str, dict[str, Any]] = {}
    while (output := core.advance(steady)) is not None:
        alerts.update((alert.id, msgspec.json.decode(alert.body)) for alert in output.alerts)
    assert core.ordering.low == NO_END
    if state is not None:
        state.update((name, core.state()[name]) for name in ("counts", "said", "digest", "closed"))
    return alerts


def main(argv: list[str]) -> int:
    """`python -m tests.streaming.kafka.tiny CONFIG STAGE EXIT_S|- RERANKER SETTINGS`: a worker with the tiny core."""
    import logging
    import os

    stepped_clock.install()
    config, stage, exit_s, reranker, settings = argv
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True)
    logging.getLogger("kafka").setLevel(logging.WARNING)
    run_worker(
        load_config(Path(config), os.environ),
        stage,  # type: ignore[arg-type]
        None if exit_s == "-" else float(exit_s),
        tiny(reranker, settings),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
