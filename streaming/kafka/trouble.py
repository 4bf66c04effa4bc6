"""Turns the Kafka client's errors into ours, with the reason that the client only writes to its log.

A wrong password, a plaintext client on a TLS port and a broker that is away all raise the same "Unable to bootstrap";
what was the matter is only in the `kafka` logger.
"""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from kafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    InvalidProducerEpochError,
    KafkaError,
    ProducerFencedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailedError,
)

from detector.errors import BrokerError

REMEMBERED: Final = 100
"""Messages kept: a failed bootstrap writes about five a second."""

LONGEST: Final = 300
"""Characters of a reason; the client quotes whole responses in some."""

_NOISE: Final = re.compile(
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


class _Memory(logging.Handler):
    """Keeps the latest warnings of the client with their time."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: deque[tuple[float, str]] = deque(maxlen=REMEMBERED)

    def emit(self, record: logging.LogRecord) -> None:
        text = _BACKOFF.sub("", _OBJECT.sub("", record.getMessage()))
        self.messages.append((time.monotonic(), " ".join(text.split())[:LONGEST]))


_memory: Final = _Memory()


def listen() -> None:
    """Start to remember what the client logs; safe to call often."""
    logger = logging.getLogger("kafka")
    # Says at every hiccup of the machine that one of its own tasks was slow.
    logging.getLogger("kafka.net.selector").setLevel(logging.ERROR)
    if _memory not in logger.handlers:
        logger.addHandler(_memory)
        if logger.getEffectiveLevel() < logging.WARNING:
            logger.setLevel(logging.WARNING)


def reason(since: float) -> str:
    """The client's most telling message after `since` (`time.monotonic`), `""` if there was none.

    A broker that refuses a password often hangs up before saying so, so that of several attempts only one tells.
    """
    told = [message for at, message in _memory.messages if at >= since and not _NOISE.search(message)]
    for pattern in (_AUTHENTICATION, _ENCRYPTION, _ANY):
        for message in reversed(told):
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
    """The error to raise for the client's `error` while `doing` something with the brokers `servers`."""
    why = str(error)[:LONGEST] or type(error).__name__
    logged = reason(since)
    if isinstance(error, _AUTHORIZATION):
        advice = "grant this to the worker's user (docs/kafka.md lists the ACLs)"
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


def is_hopeless(error: BrokerError) -> bool:
    """Whether trying again cannot help: the broker does not let us."""
    return isinstance(error.__cause__, _AUTHORIZATION)


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
