"""Kafka clients, their errors in our words, and the topics of a deployment.

`Clients` makes consumers, producers and admin clients, all with one connection and the settings that
docs/explanation/kafka.md explains. What they raise becomes a `BrokerError` with a reason to act on: a wrong password, a
plaintext client on a TLS port and a broker that is away all raise the same "Unable to bootstrap", and what was the
matter is only in the log of the `kafka` package, so its latest warnings are remembered here. `Topics` names the topics
and groups under one prefix; `ensure_topics` makes those that are missing and checks the others at every start.
"""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import google_crc32c
from kafka import ConsumerRebalanceListener, KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    InvalidProducerEpochError,
    InvalidTopicError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    ProducerFencedError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailedError,
)
from kafka.record import util as record_util

from detector.errors import BrokerError, LogError, UsageError
from streaming.config import KafkaConfig, ShadowConfig
from streaming.kafka.decompression import bound_batches

log = logging.getLogger(__name__)

GATHERED_BYTES: Final = 1 << 16
"""What the broker waits for before it answers, `GATHERED_MS` at most: at thousands of records a second each answer has
hundreds of them then, in place of ten, and costs about as much."""

GATHERED_MS: Final = 200
"""Longest wait for more: a tenth of the two seconds in which decisions are promised."""

REMEMBERED: Final = 100
"""Warnings of the client kept: a failed bootstrap writes about five a second."""

LONGEST: Final = 300
"""Characters of a reason; the client quotes whole responses in some."""

_ROUTINE: Final = re.compile(
    r"not ready; waiting|Unable to bootstrap|backoff/retry|Proceeding to force close|in the clear|^socket disc|^Abort"
)

_AUTHENTICATION: Final = re.compile(r"[Aa]uthentication|[Ss]asl")

_ENCRYPTION: Final = re.compile(r"SSL|TLS|certificate")

_HUNG_UP: Final = re.compile(r"socket disconnected")

_ANY: Final = re.compile(r"")

_OBJECT: Final = re.compile(r"<Kafka\w+ [^>]*>:? ?")

_BACKOFF: Final = re.compile(r" \(backoff [0-9.]+ secs\)")

_AUTHORIZATION: Final = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailedError,
)

BOOTSTRAP_MS: Final = 10_000
"""A broker that does not answer for this long at start is away."""

REQUEST_MS: Final = 10_000
"""One request; a broker under load answers in well under a second."""

CALL_MS: Final = 10_000
"""A blocking call of the consumer (offsets, positions, commit)."""

DELIVERY_MS: Final = 30_000
"""A record is given up after this long, which rides out a broker's restart (4 s to 12 s)."""

LARGEST_REQUEST_BYTES: Final = 8 << 20
"""As large as a record of `observations` may be (`LARGEST_RECORD_BYTES`)."""

FETCH_BYTES: Final = 4 << 20
"""Compressed bytes per fetch of our own topics: about eight of the largest batches. A larger record still comes."""

TRANSACTION_MS: Final = 60_000
"""The broker aborts a transaction left open for this long; a successor ends it at once anyway."""

MAX_POLL_MS: Final = 300_000
"""A member that has not polled for this long is taken for dead. The longest tick has to fit."""

SEND_BUFFER_BLOCK_MS: Final = 30_000
"""Waiting for metadata before a send."""

LARGEST_RECORD_BYTES: Final = 8 << 20
"""Of `observations`: one observation may be larger than a batch is cut at, never than its record of `posts`."""

SEGMENT_MS: Final = "3600000"
"""Of compacted topics: only closed segments are compacted, and Kafka's default closes them after a week."""

DECISIONS_MS: Final = str(90 * 86_400_000)
"""Of `feedback`: as long as an account without posts is remembered. Decisions name accounts, so not for ever."""

SAMPLES_MS: Final = str(30 * 86_400_000)
"""Of `blind-sample`: as long as the console keeps an account that nobody has decided on. It holds what people wrote."""

DEAD_LETTERS_BYTES: Final = 1 << 30
"""Of `dead-letters`: a producer that writes nothing but rubbish must not fill the broker's disk with letters about it,
which are longer than a short record. The newest stay."""

VISIBLE_S: Final = 10.0
"""Longest wait until topics that were just made, perhaps by another worker, show in the metadata."""


class _RecentWarnings(logging.Handler):
    """Keeps the latest warnings of the client with their time."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: deque[tuple[float, str]] = deque(maxlen=REMEMBERED)

    def emit(self, record: logging.LogRecord) -> None:
        text = _BACKOFF.sub("", _OBJECT.sub("", record.getMessage()))
        self.messages.append((time.monotonic(), " ".join(text.split())[:LONGEST]))


_recent_warnings: Final = _RecentWarnings()


def capture_client_log() -> None:
    """Start to remember the warnings of the `kafka` package; safe to call often."""
    logger = logging.getLogger("kafka")
    # Says at every hiccup of the machine that one of its own tasks was slow.
    logging.getLogger("kafka.net.selector").setLevel(logging.ERROR)
    if _recent_warnings not in logger.handlers:
        logger.addHandler(_recent_warnings)
        if logger.getEffectiveLevel() < logging.WARNING:
            logger.setLevel(logging.WARNING)


def compile_checksums() -> None:
    """Have the client compute its checksums (CRC-32C) compiled: in Python they are a fifth of what `score` costs.

    It takes the package `crc32c` by itself where that is installed, whose licence (LGPL) is not ours to ask for.
    """
    if record_util.calc_crc32c.__defaults__ == (record_util.crc32c_py,):
        record_util.calc_crc32c.__defaults__ = (_checksum,)


def _checksum(part: memoryview) -> int:
    return int(google_crc32c.value(bytes(part)))


def reason(since: float) -> str:
    """The client's most telling message after `since` (`time.monotonic`), `""` if there was none.

    A broker that refuses a password often hangs up before saying so, so that of several attempts only one tells.
    """
    telling = [message for at, message in _recent_warnings.messages if at >= since and not _ROUTINE.search(message)]
    for pattern in (_AUTHENTICATION, _ENCRYPTION, _ANY):
        for message in reversed(telling):
            if pattern.search(message):
                return message
    return ""


@contextmanager
def explained(doing: str, servers: str) -> Iterator[None]:
    """Raise what the Kafka client raises inside as one `BrokerError` that says what was being done and why it failed.

    Raises:
        BrokerError: the client raised anything; its own error is the cause.
    """
    since = time.monotonic()
    try:
        yield
    except KafkaError as error:
        raise broker_error(doing, servers, error, since) from error


def broker_error(doing: str, servers: str, error: KafkaError, since: float) -> BrokerError:
    """The error to raise in place of the client's.

    Args:
        doing: what was being done, for the message ("reading posts").
        servers: the brokers it was done with.
        error: what the client raised.
        since: `time.monotonic` when it began; the client's warnings after that may tell the reason.
    """
    why = str(error)[:LONGEST] or type(error).__name__
    logged = reason(since)
    if isinstance(error, _AUTHORIZATION):
        advice = "grant this to the worker's user (docs/explanation/kafka.md lists the ACLs)"
    elif _AUTHENTICATION.search(f"{why} {logged}"):
        advice = "check [kafka] sasl_mechanism, sasl_username and the password"
    elif _ENCRYPTION.search(f"{why} {logged}"):
        advice = "check [kafka] security_protocol and ssl_cafile"
    elif _HUNG_UP.search(logged):
        advice = (
            "the broker hung up on us: check [kafka] security_protocol, sasl_mechanism, sasl_username, the password"
        )
    else:
        advice = "check that the broker runs, [kafka] bootstrap_servers and security_protocol"
    because = f"{why} ({logged})" if logged else why
    return BrokerError(f"{doing} at {servers} failed: {because}; {advice}")


def is_permanent(error: BrokerError) -> bool:
    """Whether trying again cannot help: the broker does not let us, or does not take what we write."""
    return isinstance(error.__cause__, (*_AUTHORIZATION, InvalidTopicError, MessageSizeTooLargeError))


def is_fencing(error: BaseException) -> bool:
    """Whether the client's error means that another producer has taken the transactional id.

    kafka-python wraps the broker's `ProducerFencedError` in a plain `KafkaError` as an argument or a cause, or only
    names it in the message, depending on which call meets it first.
    """
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, ProducerFencedError | InvalidProducerEpochError) or "ProducerFenced" in str(each):
            return True
        waiting.extend(arg for arg in each.args if isinstance(arg, BaseException))
        waiting.extend(other for other in (each.__cause__, each.__context__) if other is not None)
    return False


class Clients:
    """Makes consumers, producers and admin clients for one configuration."""

    def __init__(self, kafka: KafkaConfig) -> None:
        capture_client_log()
        bound_batches()
        compile_checksums()
        self.servers = kafka.bootstrap_servers
        self.session_ms = round(kafka.session_timeout_s * 1000)
        self._connection: dict[str, Any] = {
            "bootstrap_servers": [server.strip() for server in kafka.bootstrap_servers.split(",")],
            "security_protocol": kafka.security_protocol,
            "bootstrap_timeout_ms": BOOTSTRAP_MS,
            "request_timeout_ms": REQUEST_MS,
            "reconnect_backoff_max_ms": 1000,
            "metadata_max_age_ms": 30_000,
            "metrics_enabled": False,
        }
        if kafka.ssl_cafile:
            self._connection["ssl_cafile"] = kafka.ssl_cafile
        password = kafka.password()
        if kafka.sasl_mechanism:
            self._connection |= {
                "sasl_mechanism": kafka.sasl_mechanism,
                "sasl_plain_username": kafka.sasl_username,
                "sasl_plain_password": password.get_secret_value() if password is not None else "",
            }

    def explained(self, doing: str) -> AbstractContextManager[None]:
        """Inside, what the client raises becomes a `BrokerError` with its reason (see `explained`)."""
        return explained(doing, self.servers)

    def member(self, group: str, records: int, *, name: str = "swarmlight", gather: bool = False) -> KafkaConsumer:
        """A member of `group`, to be subscribed: offsets by hand and no position of its own making.

        Partitions are dealt by range: the same number of two topics comes to the same member, in the order of the
        members' ids.

        Args:
            group: the consumer group.
            records: records a poll returns at most.
            name: the member's id begins with it.
            gather: wait a moment for more where little is there (`GATHERED_BYTES`).
        """
        return self._consumer(
            client_id=name,
            group_id=group,
            max_poll_records=records,
            fetch_min_bytes=GATHERED_BYTES if gather else 1,
            session_timeout_ms=self.session_ms,
            heartbeat_interval_ms=min(3000, self.session_ms // 3),
            max_poll_interval_ms=MAX_POLL_MS,
            isolation_level="read_committed",
            partition_assignment_strategy=[RangePartitionAssignor],
        )

    def subscribe(self, consumer: KafkaConsumer, topics: list[str], listener: ConsumerRebalanceListener) -> None:
        """Let a member take its share of `topics`, which exist.

        A member that deals out partitions before it has heard of a topic deals none of it, and nothing would make the
        group deal again: hence the wait for the metadata of topics that were made a moment ago.

        Args:
            consumer: from `member`.
            topics: names of topics.
            listener: told of every assignment, on the client's own thread.

        Raises:
            BrokerError: the broker does not know the topics.
        """
        consumer.subscribe(topics, listener=listener)
        deadline = time.monotonic() + CALL_MS / 1000
        with self.explained("waiting for the metadata of the topics"):
            while not all(consumer.partitions_for_topic(topic) for topic in topics):
                if time.monotonic() > deadline:
                    raise KafkaTimeoutError(f"no metadata of {', '.join(topics)}")
                time.sleep(0.05)

    def reader(
        self, *, group: str | None = None, records: int = 100, committed: bool = False, gather: bool = False
    ) -> KafkaConsumer:
        """A consumer for partitions assigned by hand.

        Args:
            group: group whose offsets it can read and commit, without being a member.
            records: records a poll returns at most.
            committed: hide records of transactions that are open or were aborted.
            gather: wait a moment for more where little is there (`GATHERED_BYTES`).
        """
        return self._consumer(
            fetch_min_bytes=GATHERED_BYTES if gather else 1,
            group_id=group,
            max_poll_records=records,
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_max_bytes=FETCH_BYTES,
            isolation_level="read_committed" if committed else "read_uncommitted",
        )

    def _consumer(self, **settings: Any) -> KafkaConsumer:
        with self.explained("connecting a consumer"):
            return KafkaConsumer(
                **self._connection,
                enable_auto_commit=False,
                # A missing position is an error for us to look at: never let the client pick one.
                auto_offset_reset="none",
                allow_auto_create_topics=False,
                fetch_max_wait_ms=GATHERED_MS,
                **settings,
            )

    def producer(self) -> KafkaProducer:
        """An idempotent producer of whole batches."""
        return self._producer(linger_ms=5)

    def transactional(self, transactional_id: str) -> KafkaProducer:
        """A transactional producer, not yet initialised. One transaction costs about one `retry_backoff_ms`."""
        return self._producer(
            transactional_id=transactional_id,
            transaction_timeout_ms=TRANSACTION_MS,
            retry_backoff_ms=5,
            linger_ms=20,
        )

    def _producer(self, **settings: Any) -> KafkaProducer:
        with self.explained("connecting a producer"):
            return KafkaProducer(
                **self._connection,
                acks="all",
                compression_type="lz4",
                batch_size=1 << 18,
                delivery_timeout_ms=DELIVERY_MS,
                max_block_ms=SEND_BUFFER_BLOCK_MS,
                max_request_size=LARGEST_REQUEST_BYTES,
                allow_auto_create_topics=False,
                **settings,
            )

    @contextmanager
    def admin(self) -> Iterator[KafkaAdminClient]:
        """An admin client, closed at the end."""
        with self.explained("connecting an admin client"):
            settings = {key: value for key, value in self._connection.items() if key != "metrics_enabled"}
            admin = KafkaAdminClient(**settings)
        try:
            yield admin
        finally:
            close(admin)


def close(client: KafkaConsumer | KafkaProducer | KafkaAdminClient | None, timeout_s: float = 5.0) -> None:
    """Close any client within about `timeout_s`. They raise when the broker is away, which changes nothing here."""
    if client is None:
        return
    started = time.monotonic()
    try:
        if isinstance(client, KafkaConsumer):
            client.close(autocommit=False, timeout_ms=timeout_s * 1000)
        elif isinstance(client, KafkaProducer):
            client.close(timeout=timeout_s)
        else:
            client.close()
    except (KafkaError, OSError, RuntimeError) as error:
        log.info("a %s did not close in order (%s)", type(client).__name__, type(error).__name__)
        # A producer whose flush timed out leaves its sender running, which would go on sending what was given up.
        sender = getattr(client, "_sender", None)
        if sender is not None:
            sender.force_close()
    if time.monotonic() - started > 2 * timeout_s:
        log.warning("closing a %s took %.0f s", type(client).__name__, time.monotonic() - started)


class Topics:
    """All names under one `topic_prefix`.

    Args:
        prefix: stands before every name.
        posts: the topic that posts are read from, where it has a name of its own; the prefix is not put before it.
    """

    def __init__(self, prefix: str, posts: str = "") -> None:
        self.prefix = prefix
        self.live: Topics | None = None
        """Those of the live deployment, where this one is a shadow."""
        self.posts = posts or f"{prefix}posts"
        self.feedback = f"{prefix}feedback"
        self.observations = f"{prefix}observations"
        self.journal = f"{prefix}journal"
        self.alerts = f"{prefix}alerts"
        self.details = f"{prefix}alert-details"
        self.accounts = f"{prefix}accounts"
        self.blind_sample = f"{prefix}blind-sample"
        self.dead_letters = f"{prefix}dead-letters"
        self.comparison = f"{prefix}comparison"
        self.lease = f"{prefix}assess-lease"
        self.score_group = f"{prefix}swarmlight-score"
        self.lease_group = f"{prefix}swarmlight-assess-lease"
        self.assess_group = f"{prefix}swarmlight-assess"
        self.transactional_id = f"{prefix}swarmlight-assess"

    @classmethod
    def of(cls, kafka: KafkaConfig, shadow: ShadowConfig | None = None) -> Topics:
        """The names that a configuration gives."""
        topics = cls(kafka.topic_prefix, kafka.posts_topic)
        if shadow is not None and shadow.log:
            topics.live = live = cls(shadow.live_prefix, kafka.posts_topic)
            topics.posts, topics.feedback = live.posts, live.feedback
            if shadow.log == "live":
                topics.observations = live.observations
        return topics

    @property
    def of_live(self) -> frozenset[str]:
        """Topics that a shadow reads and does not make: those of the live deployment."""
        return frozenset() if self.live is None else frozenset({self.posts, self.feedback, self.live.observations})

    def all(self) -> list[str]:
        """Every topic."""
        ours = (self.observations, self.journal, self.alerts, self.details, self.accounts, self.blind_sample)
        compared = (
            [] if self.live is None else [self.comparison, self.live.observations, self.live.alerts, self.live.journal]
        )
        return sorted({self.posts, self.feedback, self.lease, self.dead_letters, *ours, *compared})

    def written_by_us(self, kafka: KafkaConfig, *, snapshots: bool) -> dict[str, tuple[int, dict[str, str]]]:
        """Partitions and settings of every topic but `posts` and `observations`, by name.

        `observations` has as many partitions as `posts` and the settings of `log_settings`.
        """
        kept = log_retention(kafka, snapshots=snapshots)
        compacted = {"cleanup.policy": "compact", "segment.ms": SEGMENT_MS}
        compared = {} if self.live is None else {self.comparison: (1, compacted)}
        return compared | {
            self.feedback: (1, {"retention.ms": DECISIONS_MS}),
            self.journal: (1, kept),
            self.alerts: (1, compacted),
            self.details: (1, compacted),
            self.accounts: (1, compacted),
            self.blind_sample: (1, {"retention.ms": SAMPLES_MS}),
            self.dead_letters: (
                1,
                {"retention.ms": str(kafka.retention_s * 1000), "retention.bytes": str(DEAD_LETTERS_BYTES)},
            ),
            self.lease: (1, {}),
        }


def log_retention(kafka: KafkaConfig, *, snapshots: bool) -> dict[str, str]:
    """How long the observation log and the journal are kept: without snapshots a start needs them from offset 0."""
    return {"retention.ms": str(kafka.retention_s * 1000) if snapshots else "-1", "cleanup.policy": "delete"}


def ensure_outputs(clients: Clients, topics: Topics, kafka: KafkaConfig) -> None:
    """Create those of the topics that people read (alerts, their details, the blind sample) that are missing.

    Args:
        clients: for an admin client.
        topics: the names.
        kafka: replication of the topics that are made.

    Raises:
        UsageError: they are missing and may not be created.
        BrokerError: the broker is away or refuses us.
    """
    wanted = {
        name: settings
        for name, settings in topics.written_by_us(kafka, snapshots=True).items()
        if name in (topics.alerts, topics.details, topics.blind_sample)
    }
    with clients.admin() as admin, clients.explained("checking the topics"):
        found = _partitions(admin, topics)
        if missing := {name: settings for name, settings in wanted.items() if name not in found}:
            _create(admin, missing, kafka)


def ensure_topics(clients: Clients, topics: Topics, kafka: KafkaConfig, *, snapshots: bool) -> int:
    """Create the topics that are missing, check those that are there, and return the partitions of `posts` to read.

    Where `posts` got more partitions after its observations were begun, the first ones are counted, as many as the
    observations have: the others are not read (`streaming.kafka.score_worker`).

    Args:
        clients: for an admin client.
        topics: the names.
        kafka: partitions, replication and retention of the topics that are made.
        snapshots: whether `assess` writes snapshots; without them a start needs the whole observation log, so it is
            kept for ever.

    Raises:
        UsageError: a topic has a number of partitions that cannot work, or is missing and may not be created.
        BrokerError: the broker is away or refuses us.
    """
    with clients.admin() as admin, clients.explained("checking the topics"):
        found = _partitions(admin, topics)
        wanted_of_live = () if topics.live is None else (*topics.of_live, topics.live.alerts, topics.live.journal)
        if absent := sorted(name for name in wanted_of_live if name not in found):
            raise UsageError(
                f"the live deployment has no topic {', '.join(absent)}: a shadow reads what it has; start it first, or "
                "see whether [shadow] live_prefix is its [kafka] topic_prefix"
            )
        if topics.posts not in found:
            _create(admin, {topics.posts: (kafka.partitions, {})}, kafka)
            found = _partitions(admin, topics)
        posts = found.get(topics.posts, kafka.partitions)
        log_settings = log_retention(kafka, snapshots=snapshots) | {"max.message.bytes": str(LARGEST_RECORD_BYTES)}
        wanted = {topics.observations: (posts, log_settings)} | topics.written_by_us(kafka, snapshots=snapshots)
        missing = {name: settings for name, settings in wanted.items() if name not in found}
        if missing:
            _create(admin, missing, kafka)
        deadline = time.monotonic() + VISIBLE_S
        while not wanted.keys() <= (found := _partitions(admin, topics)).keys() and time.monotonic() < deadline:
            time.sleep(0.1)
    _check(found, {name: partitions for name, (partitions, _) in wanted.items()}, topics)
    return min(posts, found[topics.observations])


def _partitions(admin: KafkaAdminClient, topics: Topics) -> dict[str, int]:
    described = admin.describe_topics(topics.all())
    return {each["name"]: len(each["partitions"]) for each in described if each["partitions"]}


def _create(admin: KafkaAdminClient, wanted: Mapping[str, tuple[int, dict[str, str]]], kafka: KafkaConfig) -> None:
    request: dict[str, dict[str, Any]] = {
        name: {"num_partitions": count, "replication_factor": kafka.replication_factor, "configs": configs}
        for name, (count, configs) in wanted.items()
    }
    try:
        # The result holds every setting of every topic, secrets of the cluster included: it is never looked at.
        admin.create_topics(request, wait_for_metadata=True)
    except TopicAlreadyExistsError:
        log.info("another worker created the topics at the same time")
    except KafkaError as error:
        raise UsageError(
            f"the topics {', '.join(sorted(wanted))} are missing and could not be created ({type(error).__name__}); "
            "create them yourself as docs/explanation/kafka.md lists them, or let the worker's user create topics"
        ) from error


def _check(found: Mapping[str, int], wanted: Mapping[str, int], topics: Topics) -> None:
    for name, partitions in wanted.items():
        if name not in found:
            raise UsageError(f"topic {name} is missing: create it with {partitions} partition(s) (docs: kafka.md)")
        if name == topics.observations and found[name] > partitions:
            raise LogError(
                f"topic {topics.posts} has {partitions} partitions and {name} has {found[name]}: partition p of one "
                "belongs to partition p of the other; start over under another [kafka] topic_prefix, or recreate both"
            )
        if name in (topics.lease, topics.journal) and found[name] != 1:
            raise UsageError(f"topic {name} has {found[name]} partitions and needs exactly one: recreate it")
