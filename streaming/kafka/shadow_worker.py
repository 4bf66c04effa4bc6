"""What a shadow does beside deciding: the stage `compare` says whom it would add and remove, the stage `choose` puts
the alerts of both deployments together for a canary.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import msgspec

from detector.errors import BrokerError, UsageError
from streaming.config import Config
from streaming.kafka.client import CALL_MS, Clients, Topics, ensure_outputs
from streaming.kafka.pair_stage import SOURCE, PairStage, ShadowOutput, TopicReader, ticks
from streaming.schema.alert import AlertRecord, read_alert, read_page
from streaming.schema.shadow_comparison import ComparisonRecord, encode_comparison, read_comparison
from streaming.shadow import Choice, Chosen, Comparison, Side, Told
from streaming.worker_metrics import Metrics

log = logging.getLogger(__name__)

FULL_BYTES: Final = 4 << 20
"""Size at which a transaction is closed, where the alerts of both are put together anew."""

PATIENCE: Final = 20
"""How often a page waits a turn for its alert: both are of one transaction, and a broker shows parts of it at once."""


class CompareStage(PairStage):
    """Says in the topic `comparison`, and as metrics, whom the shadow adds and removes.

    Args:
        clients: makes the Kafka clients.
        topics: of the shadow.
        metrics: told how many they are.
        over: whether nothing more can come; None: never.
    """

    def __init__(
        self, clients: Clients, topics: Topics, metrics: Metrics, over: Callable[[], bool] | None = None
    ) -> None:
        super().__init__(clients, topics, metrics, "compare", over)
        self._tick: int | None = None
        self._settled = False

    def _begin(self) -> bool:
        self._out = self._writer()
        told: dict[str, ComparisonRecord] = {}
        for record in self._reader([self._topics.comparison]).read():
            name = record.key.decode()
            told.pop(name, None)
            if record.value is not None:
                told[name] = read_comparison(record.value)
        self._both = self._journals()
        self._alerts = self._reader([each.alerts for each in self._pair])
        self._comparison, self._tick, self._settled = Comparison(told), None, False
        return True

    def _step(self) -> None:
        due = self._tick  # a broker shows parts of a transaction at once: what was committed a turn ago is all there
        live, shadow = ticks(self._both)
        feed(self._comparison, self._alerts, self._pair[Side.LIVE].alerts)
        if due is not None:
            changes = self._comparison.advance(due) if self._settled else self._comparison.settle(due)
            self._settled = True
            if changes:
                self._out.write(
                    ShadowOutput(self._topics.comparison, name, None if one is None else encode_comparison(one))
                    for name, one in changes
                )
        if live is not None and shadow is not None:
            self._tick = min(live, shadow)
            self._metrics.compared(self._comparison.tally._asdict(), (live - shadow) / 1000)


def feed(comparison: Comparison, reader: TopicReader, live_alerts: str) -> None:
    """Have a comparison take what is new in the alerts of both sides.

    Args:
        comparison: takes it.
        reader: of both topics.
        live_alerts: name of that of the live deployment.
    """
    for record in reader.read():
        if record.value is not None:
            comparison.feed(Side(record.topic != live_alerts), read_alert(record.value))


class ChooseStage(PairStage):
    """Puts alerts, their pages and the blind sample of both deployments together under `canary_prefix`.

    Args:
        clients: makes the Kafka clients.
        topics: of the shadow.
        config: `[shadow]`.
        metrics: told whose alerts were put out.
        over: whether nothing more can come; None: never.
    """

    def __init__(
        self,
        clients: Clients,
        topics: Topics,
        config: Config,
        metrics: Metrics,
        over: Callable[[], bool] | None = None,
    ) -> None:
        super().__init__(clients, topics, metrics, "choose", over)
        if not config.shadow.canary_prefix:
            raise UsageError("--stage choose needs [shadow] canary_prefix")
        self._kafka, self._share = config.kafka, config.shadow.canary_share
        self._to = Topics(config.shadow.canary_prefix)
        self._sides = {
            name: side
            for side, each in zip(Side, self._pair, strict=True)
            for name in (each.alerts, each.details, each.blind_sample)
        }
        self._waits = False

    def _begin(self) -> bool:
        ensure_outputs(self._clients, self._to, self._kafka)
        self._out = self._writer()
        told: dict[str, Told] = {}
        for record in self._reader([self._to.alerts]).read():
            if record.value is not None:
                told[record.key.decode()] = _told(record)
        self._choice = Choice(self._share, told)
        self._new = self._reader(self._sides, self._id)
        said = f"share {self._share!r}"
        with self._clients.explained("asking how far alerts were put together"):
            kept = {
                place: self._new.consumer.committed(place, metadata=True, timeout_ms=CALL_MS)
                for place in self._new.places
            }
        self._said = said
        if all(each is not None and each.metadata == said for each in kept.values()):
            self._new.seek({place: each.offset for place, each in kept.items()})
            return True
        samples = {each.blind_sample for each in self._pair}
        self._new.seek({place: each.offset for place, each in kept.items() if each and place.topic in samples})
        try:
            return self._put_together(said)
        except LookupError:
            self._drop()
            return False  # of a transaction that the broker shows in part as yet

    def _put_together(self, said: str) -> bool:
        """Bring what was put out in line with the share; False where the shadow has still to get there.

        Raises:
            LookupError: the alert of a page is still to come.
        """
        if self._share > 0:
            live, shadow = ticks(self._journals())
            if live is not None and (shadow is None or shadow < live):
                if not self._waits:
                    log.info("choose waits until the shadow has come past the tick at which it is to decide")
                self._waits = True
                self._drop()
                return False
        self._waits = False
        pages: dict[str, set[str]] = {}
        for record in self._reader([self._to.details]).read():
            pages.setdefault(_alert_of(record.key), set()).add(record.key.decode())
        newest: tuple[dict[str, AlertRecord], dict[str, AlertRecord]] = ({}, {})
        details: list[Any] = []
        samples: list[Any] = []
        for record in self._new.read():
            if record.topic in (each.alerts for each in self._pair):
                if record.value is not None:
                    alert = read_alert(record.value)
                    newest[self._sides[record.topic]][alert.id] = alert
            elif record.topic in (each.details for each in self._pair):
                details.append(record)
            else:
                samples.append(record)
        alerts = list(self._choice.catch_up(*newest))
        by_alert: dict[str, list[ShadowOutput]] = {each.id: [self._alert(each)] for each in alerts}
        for name in self._choice.changed:
            by_alert[name] += [ShadowOutput(self._to.details, key, None) for key in sorted(pages.get(name, ()))]
        for record in details:
            name = _alert_of(record.key)
            if name in by_alert and record.value is not None:
                by_alert[name] += self._pages([record])
        waiting: list[ShadowOutput] = []
        for group in by_alert.values():  # an alert and its pages in one transaction
            waiting += group
            if sum(len(each.value or b"") for each in waiting) >= FULL_BYTES:
                self._out.write(waiting)
                waiting = []
        self._out.write([*waiting, *self._samples(samples)], self._new, said)
        log.info(
            "alerts of both deployments are put together anew", extra={"share": self._share, "alerts": len(alerts)}
        )
        return True

    def _step(self) -> None:
        before = self._new.positions()
        outgoing: list[ShadowOutput] = []
        details: list[Any] = []
        samples: list[Any] = []
        for _ in range(PATIENCE):
            for record in self._new.read():
                if record.topic in (each.alerts for each in self._pair):
                    if record.value is not None:
                        made = self._choice.take(self._sides[record.topic], read_alert(record.value))
                        outgoing += [] if made is None else [self._alert(made)]
                else:
                    (details if record.topic in (each.details for each in self._pair) else samples).append(record)
            try:
                outgoing += self._pages(details)
                break
            except LookupError:
                self._pause()
        else:
            raise BrokerError("pages of details came without the alert they belong to; reading both again")
        if self._new.positions() != before:
            self._out.write([*outgoing, *self._samples(samples)], self._new, self._said)

    def _alert(self, chosen: Chosen) -> ShadowOutput:
        side = "live" if chosen.told.side is Side.LIVE else "shadow"
        self._metrics.chosen("live" if side == "live" else "shadow")
        return ShadowOutput(self._to.alerts, chosen.id, chosen.body, f"{side}/{chosen.told.revision}")

    def _pages(self, records: list[Any]) -> list[ShadowOutput]:
        """Pages of details, those of the side whose alert it is.

        Raises:
            LookupError: the alert of one is still to come.
        """
        made: list[ShadowOutput] = []
        for record in records:
            side, key = self._sides[record.topic], record.key.decode()
            if record.value is None:
                told = self._choice.told.get(_alert_of(record.key))
                if told is not None and told.side is side:
                    made.append(ShadowOutput(self._to.details, key, None))
            elif (body := self._choice.page(side, read_page(record.value))) is not None:
                made.append(ShadowOutput(self._to.details, key, body))
        return made

    def _samples(self, records: list[Any]) -> list[ShadowOutput]:
        """Accounts of the blind sample, those of the side that decides on them."""
        return [
            ShadowOutput(self._to.blind_sample, record.key.decode(), record.value)
            for record in records
            if self._choice.side_of_account(record.key.decode()) is self._sides[record.topic]
        ]


def _alert_of(key: bytes) -> str:
    return key.decode().rpartition("/")[0]


class ChosenHead(msgspec.Struct):
    revision: int
    status: str


def _told(record: Any) -> Told:
    """What a record under `canary_prefix` says of itself."""
    (source,) = (value.decode() for name, value in record.headers if name == SOURCE)
    side, _, revision = source.partition("/")
    now = msgspec.json.decode(record.value, type=ChosenHead)
    return Told(Side.LIVE if side == "live" else Side.SHADOW, int(revision), now.revision, now.status == "open")
