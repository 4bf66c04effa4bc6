"""Reads the configuration: one TOML file and the environment over it.

A file sets `[kafka] topic_prefix`; the environment sets the same key as `SWARMLIGHT_KAFKA__TOPIC_PREFIX` and wins.
What is not a key is refused with the nearest one that is, in the file and in the environment alike.
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from detector.errors import ConfigError
from streaming.settings import (
    SECTIONS,
    Config,
    FeedConfig,
    KafkaConfig,
    Key,
    LogConfig,
    MetricsConfig,
    ModelsConfig,
    Secret,
    StateConfig,
    keys,
)

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
