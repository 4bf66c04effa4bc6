"""What a shadow does beside deciding: the stage `compare` says whom it would add and remove, the stage `choose` puts
the alerts of both deployments together for a canary.

Each is one process's at a time, by a lease, and writes transactions under an id of its own, so that one that was
replaced while it stood still writes nothing more. After any error it begins again from what it has written. The live
deployment knows nothing of either.
"""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import msgspec
from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError

from detector.errors import BrokerError, FencedError, UsageError
from streaming.config import Config
from streaming.kafka import client
from streaming.kafka.client import CALL_MS, Clients, Topics, close, ensure_outputs
from streaming.kafka.journal import CALL_S, JournalReader, bounded
from streaming.kafka.leader import Lease
from streaming.schema.alert import AlertRecord, read_alert, read_page
from streaming.schema.shadow_comparison import ComparisonRecord, encode_comparison, read_comparison
from streaming.shadow import Choice, Chosen, Comparison, Side, Told
from streaming.worker_metrics import Metrics

log = logging.getLogger(__name__)

TURN_S: Final = 0.5
"""Pause between two looks: alerts come once a tick."""

LAST_TURNS: Final = 3
"""Turns after the last that either side wrote: what it wrote shows within one, and is compared in the next."""

POLL_MS: Final = 100
"""Longest wait for records that are known to be there."""

READ_S: Final = 60.0
"""Longest time to read topics to their end as it was."""

RECORDS: Final = 2000
"""Records a poll returns at most."""

FULL_BYTES: Final = 4 << 20
"""Size at which a transaction is closed, where the alerts of both are put together anew."""

PATIENCE: Final = 20
"""How often a page waits a turn for its alert: both are of one transaction, and a broker shows parts of it at once."""

SOURCE: Final = "source"
"""Header of an alert that was put out under `canary_prefix`: whose revision it is, as `live/7`."""


class TopicReader:
    """All records of some topics that are committed, from the beginning or from given offsets on.

    Args:
        clients: makes the consumer.
        topics: their names.
        group: in which offsets may be committed; empty: none.
    """

    def __init__(self, clients: Clients, topics: Iterable[str], group: str = "") -> None:
        self._clients = clients
        with clients.explained("reading alerts"):
            self.consumer: KafkaConsumer = clients.reader(group=group or None, records=RECORDS, committed=True)
            self.places = [
                TopicPartition(topic, number)
                for topic in topics
                for number in sorted(self.consumer.partitions_for_topic(topic) or {0})
            ]
            self.consumer.assign(self.places)
            self.seek(self.consumer.beginning_offsets(self.places, CALL_MS))

    def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Go on from these offsets."""
        for place, offset in offsets.items():
            self.consumer.seek(place, offset)

    def read(self) -> Iterator[Any]:
        """Every record up to the end as it is now.

        Raises:
            BrokerError: the broker is away.
        """
        with self._clients.explained("reading alerts"):
            ends = self.consumer.end_offsets(self.places, CALL_MS)
        deadline = time.monotonic() + READ_S
        while any((self.consumer.position(place, CALL_MS) or 0) < end for place, end in ends.items()):
            with self._clients.explained("reading alerts"):
                if time.monotonic() > deadline:
                    raise KafkaTimeoutError("the end was not reached")
                polled = self.consumer.poll(POLL_MS)
            for records in polled.values():
                yield from records

    def positions(self) -> dict[TopicPartition, int]:
        """Next offset of every partition."""
        return {place: self.consumer.position(place, CALL_MS) or 0 for place in self.places}

    def close(self) -> None:
        close(self.consumer)


class ShadowOutput(NamedTuple):
    """One record to write; `value` None removes what the key had."""

    topic: str
    key: str
    value: bytes | None
    source: str = ""


class Transactions:
    """Writes records in transactions under an id that fences whoever had it before.

    Args:
        clients: makes the producer.
        transactional_id: of the stage.

    Raises:
        BrokerError: the broker is away.
    """

    def __init__(self, clients: Clients, transactional_id: str) -> None:
        self._clients = clients
        self._producer = clients.transactional(transactional_id)
        with clients.explained("initialising transactions"):
            bounded(self._producer.init_transactions)

    def write(self, records: Iterable[ShadowOutput], reader: TopicReader | None = None, metadata: str = "") -> None:
        """Commit these records, and how far they are put together from what was read.

        Args:
            records: in order.
            reader: whose positions are committed with them.
            metadata: said beside each position.

        Raises:
            FencedError: another process writes now.
            BrokerError: it is not known what was written.
        """
        producer, since = self._producer, time.monotonic()
        try:
            bounded(producer.begin_transaction)
            sent = [
                producer.send(
                    each.topic,
                    each.value,
                    key=each.key.encode(),
                    headers=[(SOURCE, each.source.encode())] if each.source else [],
                )
                for each in records
            ]
            if reader is not None:
                offsets = {
                    place: OffsetAndMetadata(position, metadata, -1) for place, position in reader.positions().items()
                }
                bounded(lambda: producer.send_offsets_to_transaction(offsets, reader.consumer.group_metadata()))
            producer.flush(CALL_S)
            for future in sent:
                future.get(timeout=CALL_S)
            bounded(producer.commit_transaction)
        except KafkaError as error:
            if client.is_fencing(error):
                raise FencedError("the broker fenced this process: another one writes now") from error
            raise client.broker_error("writing", self._clients.servers, error, since) from error

    def close(self) -> None:
        close(self._producer, 1.0)


class PairStage(ABC):
    """A stage that follows the live deployment and the shadow, in one process at a time.

    Args:
        clients: makes the Kafka clients.
        topics: of the shadow, with those of the live deployment.
        metrics: told what is found.
        name: of the stage.
        over: whether nothing more can come, so that the loop ends once all was taken; None: never.
    """

    def __init__(
        self, clients: Clients, topics: Topics, metrics: Metrics, name: str, over: Callable[[], bool] | None
    ) -> None:
        if topics.live is None:
            raise UsageError(f"--stage {name} is of a shadow: set [shadow] log to live or own")
        self._clients, self._topics, self._metrics, self._name = clients, topics, metrics, name
        self._pair = (topics.live, topics)
        self._id = f"{topics.prefix}swarmlight-{name}"
        self._lease = Lease(clients, topics, group=f"{self._id}-lease")
        self._open: list[Callable[[], None]] = []
        self._begun = False
        self._over, self._last_turns = over, LAST_TURNS
        self.done = False
        """Nothing more can come, and all was taken."""

    def turn(self) -> None:
        """Run one turn of the loop.

        Raises:
            BrokerError: the broker is away or refuses; the next turn begins again.
        """
        over = self._over is not None and self._over()
        if not self._lease.holds(0.0 if self._begun else TURN_S):
            self._drop()
            return
        try:
            with self._dropped_on_errors():
                self._begun = self._begun or self._begin()
                if self._begun:
                    self._step()
                    self._last_turns -= over
                    self.done = not self._last_turns
        except FencedError as error:
            log.warning("%s: no longer active, standing by: %s", self._name, error)
            self._lease.rejoin()
        time.sleep(TURN_S)

    @contextmanager
    def _dropped_on_errors(self) -> Iterator[None]:
        try:
            yield
        except (BrokerError, FencedError, KafkaError):
            self._drop()
            raise

    def _drop(self) -> None:
        self._begun = False
        while self._open:
            self._open.pop()()

    def _reader(self, topics: Iterable[str], group: str = "") -> TopicReader:
        reader = TopicReader(self._clients, topics, group)
        self._open.append(reader.close)
        return reader

    def _writer(self) -> Transactions:
        writer = Transactions(self._clients, self._id)
        self._open.append(writer.close)
        return writer

    def _journals(self) -> tuple[JournalReader, ...]:
        readers = tuple(JournalReader(self._clients, each) for each in self._pair)
        for reader in readers:
            self._open.append(reader.close)
            reader.read_end()
        return readers

    @abstractmethod
    def _begin(self) -> bool:
        """Make what the stage needs; False where it is not yet time to."""

    @abstractmethod
    def _step(self) -> None:
        """Take what is new."""

    def close(self) -> None:
        """Leave it to another process."""
        self._drop()
        self._lease.close()


def ticks(journals: Iterable[JournalReader]) -> list[int | None]:
    """The last committed tick of each, ms; None where there is none."""
    found: list[int | None] = []
    for each in journals:
        journal = each.catch_up()
        found.append(journal.tick_ms)
        if journal.tick_ms is not None:
            journal.forget(journal.tick_ms)
    return found


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
                time.sleep(TURN_S)
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
