"""Every configuration key: default, range, and the reason for both. `streaming/config.py` fills them in.

The classes below are the only list of keys there is; `swarmlight config` prints it. Adding a key means adding a field.

Reads the configuration: one TOML file and the environment over it.

A file sets `[kafka] topic_prefix`; the environment sets the same key as `SWARMLIGHT_KAFKA__TOPIC_PREFIX` and wins.
What is not a key is refused with the nearest one that is, in the file and in the environment alike.

`swarmlight config`: every key with its value, default and reason, as a file that can be loaded again.
"""

from __future__ import annotations

import difflib
import json
import math
import re
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, get_args, get_type_hints

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
            description="share of people that may be flagged within the calibration's horizon (architecture page)",
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


__all__ = [
    "Config",
    "FeedConfig",
    "KafkaConfig",
    "LogConfig",
    "MetricsConfig",
    "ModelsConfig",
    "Secret",
    "StateConfig",
    "load_config",
    "variable",
]

PREFIX: Final = "SWARMLIGHT_"

OTHER_VARIABLES: Final = frozenset({"SWARMLIGHT_DATA", "SWARMLIGHT_DEBUG"})
"""Variables with the prefix that are no configuration: the tests' data folder, and tracebacks on errors."""

PASSWORD_VARIABLE: Final = "SWARMLIGHT_KAFKA__SASL_PASSWORD"  # noqa: S105 - the name, not the password
"""The one secret there is. It has no key in the file, so that no file of settings becomes a file of secrets."""

LARGEST_FILE_BYTES: Final = 1 << 20
"""A configuration has a few dozen lines; a larger file is another file named by mistake."""


def load_config(path: Path | None, environ: Mapping[str, str]) -> Config:
    """The configuration from `path` (None: no file) with the variables of `environ` over it.

    Raises:
        ConfigError: an unreadable file, an unknown key, or a value of the wrong type or out of range. The message
            names the file and line, or the variable.
    """
    known = {key.path: key for key in keys()}
    values: dict[str, tuple[Any, str]] = {}
    if path is not None:
        values.update(_from_file(path, known))
    values.update(_from_environ(environ, known))
    sections: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for key_path, (value, where) in values.items():
        key = known[key_path]
        sections[key.section][key.name] = _checked(key, value, where)
    if PASSWORD_VARIABLE in environ:
        sections["kafka"]["sasl_password"] = Secret(environ[PASSWORD_VARIABLE])
    config = Config(
        kafka=KafkaConfig(**sections["kafka"]),
        state=StateConfig(**sections["state"]),
        metrics=MetricsConfig(**sections["metrics"]),
        models=ModelsConfig(**sections["models"]),
        log=LogConfig(**sections["log"]),
        feed=FeedConfig(**sections["feed"]),
        given=frozenset(values),
        **sections[""],
    )
    _check_together(config, {key_path: where for key_path, (_, where) in values.items()})
    return config


def variable(key: Key) -> str:
    """The environment variable that sets `key`."""
    return PREFIX + key.path.replace(".", "__").upper()


def _from_file(path: Path, known: Mapping[str, Key]) -> dict[str, tuple[Any, str]]:
    text = _read(path)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: this is not TOML: {error}") from None
    values: dict[str, tuple[Any, str]] = {}
    for name, value in table.items():
        if name not in SECTIONS or not name:
            _take(values, known, text, path, "", name, value)
        elif isinstance(value, dict):
            for inner, inner_value in value.items():
                _take(values, known, text, path, name, inner, inner_value)
        else:
            where = _where(text, path, "", name)
            raise ConfigError(f"{where}: {name} is a table: write [{name}] on a line of its own and its keys below it")
    return values


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: the configuration cannot be read: {error.strerror}") from None
    if len(data) > LARGEST_FILE_BYTES:
        raise ConfigError(
            f"{path}: larger than {LARGEST_FILE_BYTES} bytes, so it is no configuration; name another file"
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: the configuration is not UTF-8; save it as UTF-8") from None


def _take(
    values: dict[str, tuple[Any, str]],
    known: Mapping[str, Key],
    text: str,
    path: Path,
    section: str,
    name: str,
    value: Any,
) -> None:
    key_path = f"{section}.{name}" if section else name
    where = _where(text, path, section, name)
    if key_path not in known:
        if key_path == "kafka.sasl_password":
            raise ConfigError(
                f"{where}: a password does not belong in the configuration; put it in a file of its own and set "
                f"sasl_password_file, or set {PASSWORD_VARIABLE}"
            )
        shown = f"[{name}]" if isinstance(value, dict) and not section else key_path
        raise ConfigError(f"{where}: unknown key {_shown(shown)}{_nearest(key_path, known)}")
    values[key_path] = (value, where)


def _from_environ(environ: Mapping[str, str], known: Mapping[str, Key]) -> dict[str, tuple[Any, str]]:
    by_variable = {variable(key): key for key in known.values()}
    values: dict[str, tuple[Any, str]] = {}
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in OTHER_VARIABLES or name == PASSWORD_VARIABLE:
            continue
        key = by_variable.get(name)
        if key is None:
            close = difflib.get_close_matches(name, [*by_variable, PASSWORD_VARIABLE], n=1, cutoff=0.0)
            raise ConfigError(
                f"unknown environment variable {_shown(name)}: did you mean {close[0]}? "
                "`swarmlight config` lists all keys"
            )
        values[key.path] = (_parsed(key, environ[name], name), name)
    return values


def _parsed(key: Key, text: str, where: str) -> Any:
    """The text of a variable as a value of the key's kind; the range is checked with the file's values."""
    if isinstance(key.default, str):
        return text
    try:
        return int(text) if isinstance(key.default, int) else float(text)
    except ValueError:
        kind = "a whole number" if isinstance(key.default, int) else "a number"
        raise ConfigError(f"{where}: {key.path} is {kind}, not {_shown(text)} ({key.reason})") from None


def _checked(key: Key, value: Any, where: str) -> Any:
    try:
        checked = msgspec.convert(value, type=key.type)
    except msgspec.ValidationError as error:
        problem = str(error).replace("`", "")
        raise ConfigError(f"{where}: {key.path} = {_shown(value)}: {problem} ({key.reason})") from None
    if isinstance(checked, float) and not math.isfinite(checked):
        raise ConfigError(f"{where}: {key.path} = {checked}: it has to be finite ({key.reason})")
    return checked


def _check_together(config: Config, where: Mapping[str, str]) -> None:
    """What no key alone can show."""
    kafka = config.kafka
    at = where.get("kafka.bootstrap_servers", "default")
    for server in kafka.bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ConfigError(
                f"{at}: kafka.bootstrap_servers: {_shown(server)} is no host:port; write for example localhost:9092"
            )
    if kafka.security_protocol.startswith("SASL"):
        at = where["kafka.security_protocol"]
        if not kafka.sasl_mechanism or not kafka.sasl_username:
            raise ConfigError(f"{at}: {kafka.security_protocol} needs kafka.sasl_mechanism and kafka.sasl_username")
        if kafka.sasl_password is None and not kafka.sasl_password_file:
            raise ConfigError(f"{at}: {kafka.security_protocol} needs kafka.sasl_password_file or {PASSWORD_VARIABLE}")
    elif kafka.sasl_mechanism:
        at = where["kafka.sasl_mechanism"]
        raise ConfigError(
            f"{at}: kafka.sasl_mechanism has no effect with {kafka.security_protocol}; "
            "set kafka.security_protocol to SASL_SSL"
        )


def _nearest(key_path: str, known: Mapping[str, Key]) -> str:
    """The known key that was probably meant: by its own name first, as a right name in a wrong table is common."""
    name = key_path.rpartition(".")[2]
    same = [path for path in known if path.rpartition(".")[2] == name]
    close = same or difflib.get_close_matches(key_path, known, n=1, cutoff=0.0)
    section, _, inner = close[0].rpartition(".")
    meant = f"[{section}] {inner}" if section else close[0]
    return f"; did you mean {meant}? `swarmlight config` lists all keys"


def _where(text: str, path: Path, section: str, name: str) -> str:
    """`file:line` of a key's assignment; only `file` where it is written in a way that this scan does not see."""
    table = ""
    quoted = r"""["']?"""
    assignment = re.compile(rf"\s*{quoted}{re.escape(name)}{quoted}\s*[=.]")
    dotted = re.compile(rf"\s*{quoted}{re.escape(section)}{quoted}\s*\.\s*{quoted}{re.escape(name)}{quoted}\s*=")
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(rf"\s*\[+\s*{quoted}([^\]\"']+?){quoted}\s*\]", line)
        if header:
            table = header.group(1)
            if not section and table.split(".")[0].strip() == name:
                return f"{path}:{number}"
        elif (table == section and assignment.match(line)) or (section and not table and dotted.match(line)):
            return f"{path}:{number}"
    return str(path)


def _shown(value: object) -> str:
    """A value in a message: escaped, and cut, as it may be anything."""
    shown = ascii(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."


WIDTH: Final = 110
"""Columns of a comment."""


def render(config: Config) -> str:
    """The whole configuration as TOML. Secrets are not keys, so none can be in it."""
    lines = ["# Swarmlight's configuration. Each key can also be set by the variable named above it, which wins."]
    section = ""
    for key in keys():
        if key.section != section:
            section = key.section
            lines += ["", f"[{section}]"]
        lines += ["", *_comment(key), f"{key.name} = {_toml(_value(config, key))}"]
    return "\n".join(lines) + "\n"


def _value(config: Config, key: Key) -> Any:
    return getattr(getattr(config, key.section) if key.section else config, key.name)


def _comment(key: Key) -> Iterator[str]:
    for line in textwrap.wrap(key.reason[0].upper() + key.reason[1:] + ".", WIDTH):
        yield f"# {line}"
    yield f"# {variable(key)}; default {_toml(key.default)}{_range(key)}"


def _range(key: Key) -> str:
    """The values a key may take, in words, or nothing where any will do."""
    kind, *metas = get_args(key.type)
    choices = get_args(kind)
    if choices:
        return "; one of " + ", ".join(_toml(choice) for choice in choices)
    parts = []
    for meta in metas:
        if isinstance(meta, Meta):
            bounds = (("above", meta.gt), ("at least", meta.ge), ("below", meta.lt), ("at most", meta.le))
            parts += [f"{word} {bound}" for word, bound in bounds if bound is not None]
    return "; " + ", ".join(parts) if parts else ""


def _toml(value: Any) -> str:
    """A value in TOML; JSON's strings and numbers are TOML's."""
    return json.dumps(value)
