"""Every error Swarmlight raises on purpose. Each message says what was wrong, where, and what to do.

SwarmlightError
├── UsageError           unusable arguments, unreadable or truncated input       (exit 2)
│   ├── ConfigError      a configuration file or variable that cannot be used
│   └── UnusableError    input of which nothing, or less than half, could be used    (exit 3)
├── StoppedError         a signal ended a run before its end         (exit 130 or 143)
├── ModelError           a weights file that is missing, damaged or of another version
├── EventError           one record that is no post event: field and reason
├── RecordError          one record of another kind (alert, score, decision) that cannot be read
├── FeedError            what somebody asked of the moderators' feed, and did not get
├── BrokerError          the message broker is away, or refuses what was asked of it
├── EngineError          the engine that spreads a run over machines failed, or ended before the run did
├── DeliveryError        a service outside did not take what was sent to it, or does not give what was asked of it
└── LogError             the observation log contradicts the state, or a snapshot cannot be used
    ├── StartError       no snapshot, and not enough of the log, to start from
    └── FencedError      another process has taken over; this one must stop
"""

from __future__ import annotations


class SwarmlightError(Exception):
    """Base of all errors raised on purpose. `exit_status` is what a command ends with."""

    exit_status = 1


class UsageError(SwarmlightError):
    """The caller asked for something that cannot be done as asked (exit status 2)."""

    exit_status = 2


class UnusableError(UsageError):
    """Input of which nothing, or less than half, could be used; the message gives the commonest reasons."""

    exit_status = 3


class StoppedError(SwarmlightError):
    """A signal ended a run before its end; the message says how far it came.

    Args:
        message: what was done.
        signal_number: 2 for SIGINT, 15 for SIGTERM.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_status = 128 + signal_number


class ConfigError(UsageError):
    """A configuration value that cannot be used; the message names the file, line or variable."""


class ModelError(SwarmlightError):
    """A model file is missing, damaged, or of a version this code does not read."""


class EventError(SwarmlightError):
    """A record that is not a valid post event.

    Args:
        field: path of the offending field, `""` for the record as a whole.
        reason: what is wrong with it, in words, without the record's own text.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field or 'record'}: {reason}")
        self.field = field
        self.reason = reason


class RecordError(SwarmlightError):
    """A record of alerts, details, scores or feedback that cannot be read; the message says what to do about it."""


class BrokerError(SwarmlightError):
    """The message broker cannot be reached, or refuses what was asked of it; the message gives its reason."""


class EngineError(SwarmlightError):
    """The engine that spreads a run over machines (Flink, Spark) failed, or ended before the run did."""


class DeliveryError(SwarmlightError):
    """A service outside (a webhook's receiver, a platform's server) did not take a request; the message says why.

    Args:
        message: what was asked of whom, without secrets, what came back, and what to do.
        lasting: whether the same request will be refused again until somebody changes something.
        wait_s: seconds that the service asked to wait; None where it did not say.
    """

    def __init__(self, message: str, *, lasting: bool = False, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.lasting = lasting
        self.wait_s = wait_s


class FeedError(SwarmlightError):
    """The moderators' feed refuses what was asked of it.

    Args:
        code: why: `invalid`, `login`, `forbidden`, `not_found`, `conflict`, `limited`, `too_large`
            or `unavailable`.
        message: what was wrong and what to do, in words that may be shown to whoever asked.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class LogError(SwarmlightError):
    """The observation log and the state or a snapshot do not fit together."""


class StartError(LogError):
    """There is no snapshot, and not enough of the observation log, for `assess` to start from."""


class FencedError(LogError):
    """Another process owns the state now; this one must stop without writing."""
