"""Every configuration key: default, range, and the reason for both. `streaming/config.py` fills them in.

The classes below are the only list of keys there is; `swarmlight config` prints it. Adding a key means adding a field.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, get_type_hints

import msgspec
from msgspec import Meta

from detector.errors import ConfigError


class Secret:
    """A text that no `repr`, log or traceback shows. `reveal` gives it to the one who needs it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


def _first_line(path: str, name: str) -> Secret:
    """The secret in a file.

    Raises:
        ConfigError: the file cannot be read or is empty.
    """
    try:
        with Path(path).open(encoding="utf-8") as file:
            line = file.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"{name} = {path!r} cannot be read: {reason}") from None
    if not line:
        raise ConfigError(f"{name} = {path!r} has an empty first line")
    return Secret(line)


class KafkaConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[kafka]`: where the broker is, and how this process talks to it."""

    bootstrap_servers: Annotated[
        str,
        Meta(min_length=1, description="brokers to ask first, host:port, separated by commas; two are better than one"),
    ] = "localhost:9092"
    topic_prefix: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9._-]{0,100}$",
            description="put before every topic and group name, so that deployments can share a broker",
        ),
    ] = ""
    security_protocol: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"],
        Meta(description="SASL_SSL wherever the broker is not on this machine"),
    ] = "PLAINTEXT"
    sasl_mechanism: Annotated[
        Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"],
        Meta(description="needed with SASL_PLAINTEXT and SASL_SSL; SCRAM never sends the password itself"),
    ] = ""
    sasl_username: Annotated[str, Meta(description="name of this service at the broker")] = ""
    sasl_password_file: Annotated[
        str,
        Meta(
            description="file whose first line is the password; SWARMLIGHT_KAFKA__SASL_PASSWORD may hold it instead, "
            "this file never does"
        ),
    ] = ""
    ssl_cafile: Annotated[
        str, Meta(description="certificate authority of the broker (PEM); empty: the system's own")
    ] = ""
    standby: Annotated[
        Literal["cold", "warm"],
        Meta(description="a warm standby reads along and takes over at once, at the price of the same work twice"),
    ] = "cold"
    partitions: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="partitions of posts where this program creates it: the most workers that can score",
        ),
    ] = 4
    replication_factor: Annotated[
        int, Meta(ge=-1, le=10, description="copies of every topic this program creates; -1: the broker's own default")
    ] = -1
    poll_records: Annotated[
        int,
        Meta(ge=1, le=100_000, description="records taken at once: 2000 saturate one core, 1 shows each at once"),
    ] = 2000
    session_timeout_s: Annotated[
        float,
        Meta(ge=1, le=1800, description="seconds until a dead process is replaced; short ones replace slow ones too"),
    ] = 45.0
    retention_s: Annotated[
        int,
        Meta(
            ge=60,
            description="seconds that observations are kept (default 7 days): longer than two snapshots and three days",
        ),
    ] = 604_800
    sasl_password: Secret | None = None

    def password(self) -> Secret | None:
        """The password, from the environment or from `sasl_password_file`; None where neither is set.

        Raises:
            ConfigError: the file cannot be read or is empty.
        """
        if self.sasl_password is not None or not self.sasl_password_file:
            return self.sasl_password
        return _first_line(self.sasl_password_file, "[kafka] sasl_password_file")


class StateConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[state]`: what assess keeps on disk."""

    dir: Annotated[
        str,
        Meta(
            min_length=1, description="folder for snapshots; shared storage lets a cold standby start from the newest"
        ),
    ] = "swarmlight-state"
    snapshot_every_s: Annotated[
        float,
        Meta(
            ge=1,
            description="seconds between snapshots: what a restart has to read again, against the time to write one",
        ),
    ] = 300.0


class MetricsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[metrics]`: the HTTP endpoint with /metrics, /healthz and /readyz."""

    host: Annotated[
        str,
        Meta(min_length=1, description="address to listen on; loopback, as the endpoint asks nobody for a password"),
    ] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port; 0: no endpoint")] = 9464


class ModelsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[models]`: the weights."""

    dir: Annotated[str, Meta(description="folder with text, expert, account and thresholds; empty: those shipped")] = ""


class LogConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[log]`: what the process says about itself on standard error."""

    level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], Meta(description="least severe message that is written")
    ] = "INFO"
    format: Annotated[
        Literal["json", "text"], Meta(description="json: one object a line, for machines; text: for eyes")
    ] = "json"


class FeedConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[feed]`: the moderators' feed."""

    database: Annotated[
        str,
        Meta(
            min_length=1,
            description="sqlite:///FILE, or for a team postgresql://user@host/name?sslmode=verify-full",
        ),
    ] = "sqlite:///swarmlight-feed.db"
    database_password_file: Annotated[
        str,
        Meta(description="file whose first line is PostgreSQL's password; PGPASSWORD may hold it instead"),
    ] = ""
    host: Annotated[
        str, Meta(min_length=1, description="address to listen on; loopback unless a proxy with TLS stands before it")
    ] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535, description="port to listen on; 0: any that is free")] = 8080
    public_url: Annotated[
        str,
        Meta(
            pattern=r"^(https?://[^/\s]+/?)?$",
            description="address that browsers use, where a proxy stands before the feed; https marks cookies secure",
        ),
    ] = ""

    def database_password(self) -> Secret | None:
        """The password in `database_password_file`; None where none is named.

        Raises:
            ConfigError: the file cannot be read or is empty.
        """
        if not self.database_password_file:
            return None
        return _first_line(self.database_password_file, "[feed] database_password_file")


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All keys. `given` names those that a file or variable set (`"kafka.topic_prefix"`), whatever their value."""

    target_fpr: Annotated[
        float,
        Meta(
            gt=0,
            lt=1,
            description="share of people that may be flagged within the calibration's horizon (docs/architecture.md)",
        ),
    ] = 0.01
    target_fdr: Annotated[
        float, Meta(gt=0, lt=1, description="share of the reported groups that may be no coordinated group")
    ] = 0.05
    prior: Annotated[
        float,
        Meta(
            gt=0,
            lt=1,
            description="share of accounts that are LLM-driven before any evidence; moves posteriors, never flags",
        ),
    ] = 0.01
    seed: Annotated[
        int, Meta(ge=0, le=4_294_967_295, description="of every random choice, so that two runs are equal")
    ] = 0
    allowed_lateness_s: Annotated[
        int,
        Meta(ge=0, le=86_400, description="seconds an event may come after later ones; every alert waits that long"),
    ] = 60
    duplicate_window_s: Annotated[
        int,
        Meta(ge=0, le=604_800, description="seconds of event time within which the same account and id are one event"),
    ] = 3600
    tick_s: Annotated[
        int, Meta(ge=1, le=86_400, description="seconds of event time between decisions about accounts")
    ] = 60
    campaign_tick_s: Annotated[
        int, Meta(ge=1, le=604_800, description="seconds of event time between decisions about groups, which cost more")
    ] = 600
    idle_partition_s: Annotated[
        float, Meta(ge=0, description="seconds until a silent partition no longer holds the others back; 0: never")
    ] = 60.0
    expert_texts_per_s: Annotated[
        float,
        Meta(
            ge=0, le=1_000_000, description="texts of undecided accounts the encoder may read per second of event time"
        ),
    ] = 20.0
    alert_step_nats: Annotated[
        float, Meta(ge=0, le=1000, description="nats by which evidence has to change before an alert is revised")
    ] = 1.0
    max_alerts_per_day: Annotated[
        int, Meta(ge=0, description="new alerts per day of event time: what the moderators can read; 0: no limit")
    ] = 1000
    kafka: KafkaConfig = KafkaConfig()
    state: StateConfig = StateConfig()
    metrics: MetricsConfig = MetricsConfig()
    models: ModelsConfig = ModelsConfig()
    log: LogConfig = LogConfig()
    feed: FeedConfig = FeedConfig()
    given: frozenset[str] = frozenset()


SECTIONS: Final[dict[str, type[msgspec.Struct]]] = {
    "": Config,
    "kafka": KafkaConfig,
    "state": StateConfig,
    "metrics": MetricsConfig,
    "models": ModelsConfig,
    "log": LogConfig,
    "feed": FeedConfig,
}
"""Tables of the file by name, `""` for the top level, in the order in which they are printed."""


class Key(NamedTuple):
    """One key of the configuration."""

    section: str
    name: str
    type: Any
    default: Any
    reason: str

    @property
    def path(self) -> str:
        """`"kafka.topic_prefix"`, or `"seed"` at the top level."""
        return f"{self.section}.{self.name}" if self.section else self.name


def keys() -> Iterator[Key]:
    """All keys, section by section. A field without a description is no key."""
    for section, cls in SECTIONS.items():
        hints = get_type_hints(cls, include_extras=True)
        for field in msgspec.structs.fields(cls):
            hint = hints[field.name]
            reasons = [meta.description for meta in getattr(hint, "__metadata__", ()) if isinstance(meta, Meta)]
            if reasons and reasons[0]:
                yield Key(section, field.name, hint, field.default, reasons[0])
