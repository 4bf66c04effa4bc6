"""Reads the configuration: a TOML file, and the environment over it.

A file sets `[kafka] topic_prefix`; the environment sets the same key as `SWARMLIGHT_KAFKA__TOPIC_PREFIX` and wins.
What is not a key is refused with the nearest one that is, in the file and in the environment alike. `swarmlight config`
prints every key with its value, default and reason, as a file that can be loaded again. The keys themselves are in
`streaming/config_keys.py`.
"""

from __future__ import annotations

import difflib
import re
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import EnvSettingsSource

from detector.errors import ConfigError
from streaming.config_keys import (
    PASSWORD_VARIABLE,
    PREFIX,
    SECRETS,
    SECTIONS,
    Config,
    FeedConfig,
    KafkaConfig,
    Key,
    ListenConfig,
    LogConfig,
    MetricsConfig,
    ModelsConfig,
    ShadowConfig,
    SinksConfig,
    StateConfig,
    keys,
    shown_value,
    to_toml,
    variable,
)

__all__ = [
    "PASSWORD_VARIABLE",
    "Config",
    "FeedConfig",
    "KafkaConfig",
    "Key",
    "ListenConfig",
    "LogConfig",
    "MetricsConfig",
    "ModelsConfig",
    "ShadowConfig",
    "SinksConfig",
    "StateConfig",
    "keys",
    "load_config",
    "render",
    "variable",
]

OTHER_VARIABLES: Final = frozenset({"SWARMLIGHT_DATA", "SWARMLIGHT_DEBUG"})
"""Variables with the prefix that are no configuration: the tests' data folder, and tracebacks on errors."""

LARGEST_FILE_BYTES: Final = 1 << 20
"""A configuration has a few dozen lines; a larger file is another file named by mistake."""

COMMENT_COLUMNS: Final = 110
"""Width of the printed comments."""


def load_config(path: Path | None, environ: Mapping[str, str]) -> Config:
    """The configuration from `path` (None: no file) with the variables of `environ` over it.

    Raises:
        ConfigError: an unreadable file, an unknown key, or a value of the wrong type or out of range. The message
            names the file and line, or the variable.
    """
    known = {key.path: key for key in keys()}
    values, places = ({}, {}) if path is None else _from_file(path, known)
    variables = _own_variables(environ, known)
    for name, value in _Environment(variables)().items():
        values[name] = {**values.get(name, {}), **value} if name in SECTIONS else value
    places |= {key.path: variable(key) for key in known.values() if variable(key) in variables}
    try:
        return Config(**values, given=frozenset(places))
    except ValidationError as error:
        raise ConfigError(_problem(error.errors()[0], places, known)) from None


class _Environment(EnvSettingsSource):
    """The variables that `load_config` was given, in place of those of the process."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        super().__init__(Config)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in self._variables.items()}


def _own_variables(environ: Mapping[str, str], known: Mapping[str, Key]) -> dict[str, str]:
    """Those of `environ` that set a key or a secret.

    Raises:
        ConfigError: a variable with the prefix that does neither.
    """
    names = [*(variable(key) for key in known.values()), *SECRETS.values()]
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in OTHER_VARIABLES and name not in names:
            close = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
            raise ConfigError(
                f"unknown environment variable {shown_value(name)}: did you mean {close[0]}? "
                "`swarmlight config` lists all keys"
            )
    return {name: environ[name] for name in names if name in environ}


def _from_file(path: Path, known: Mapping[str, Key]) -> tuple[dict[str, Any], dict[str, str]]:
    """The tables of a file, and where it sets each key (`"seed"`: `"swarmlight.toml:3"`).

    Raises:
        ConfigError: no TOML file, or a key that there is not.
    """
    text = _read(path)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: this is not TOML: {error}") from None
    places: dict[str, str] = {}
    for name, value in table.items():
        if name not in SECTIONS or not name:
            places[name] = _place_of_known("", name, value, text=text, path=path, known=known)
        elif isinstance(value, dict):
            for inner, inner_value in value.items():
                place = _place_of_known(name, inner, inner_value, text=text, path=path, known=known)
                places[f"{name}.{inner}"] = place
        else:
            where = _where(text, path, "", name)
            raise ConfigError(f"{where}: {name} is a table: write [{name}] on a line of its own and its keys below it")
    return table, places


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


def _place_of_known(section: str, name: str, value: Any, *, text: str, path: Path, known: Mapping[str, Key]) -> str:
    """`file:line` of a key in the file.

    Raises:
        ConfigError: there is no such key.
    """
    key_path = f"{section}.{name}" if section else name
    where = _where(text, path, section, name)
    if key_path in SECRETS:
        raise ConfigError(
            f"{where}: a secret does not belong in the configuration; put it in a file of its own and set "
            f"{name}_file, or set {SECRETS[key_path]}"
        )
    if key_path not in known:
        shown = f"[{name}]" if isinstance(value, dict) and not section else key_path
        raise ConfigError(f"{where}: unknown key {shown_value(shown)}{_nearest(key_path, known)}")
    return where


def _problem(error: ErrorDetails, places: Mapping[str, str], known: Mapping[str, Key]) -> str:
    """What pydantic found, with the place, the permitted values and the reason of the key."""
    path = ".".join(str(part) for part in error["loc"][:2])
    if error["type"] == "refused":
        key_path = f"{path}.{error['ctx']['key']}".rstrip(".")
        return f"{places.get(key_path, 'default')}: {error['ctx']['problem']}"
    where = places.get(path, "default")
    key = known[path]
    return f"{where}: {path} = {shown_value(error['input'])}: it has to be {key.expected()} ({key.reason})"


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


def render(config: Config) -> str:
    """The whole configuration as TOML. Secrets are not keys, so none can be in it."""
    lines = ["# Swarmlight's configuration. Each key can also be set by the variable named above it, which wins."]
    section = ""
    for key in keys():
        if key.section != section:
            section = key.section
            lines += ["", f"[{section}]"]
        lines += ["", *_comment(key), f"{key.name} = {to_toml(_value(config, key))}"]
    return "\n".join(lines) + "\n"


def _value(config: Config, key: Key) -> Any:
    return getattr(getattr(config, key.section) if key.section else config, key.name)


def _comment(key: Key) -> Iterator[str]:
    for line in textwrap.wrap(key.reason[0].upper() + key.reason[1:] + ".", COMMENT_COLUMNS):
        yield f"# {line}"
    allowed = f"; {key.allowed()}" if key.allowed() else ""
    yield f"# {variable(key)}; default {to_toml(key.default)}{allowed}"
