"""Reads population configurations from TOML files and presets, and the user's recordings and tables; writes files.

A name that ends in `.gz` or `.zst` is compressed on the way out and unpacked on the way in; `-` is standard output.
"""

from __future__ import annotations

import difflib
import gzip
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import IO, Any, Final, cast

import msgspec
import zstandard

from detector.errors import ConfigError, UsageError
from detector.times import parse_time
from simulation.population_config import Part, PopulationConfig
from simulation.sampling import Json
from streaming.sources.files import RecordingFiles

PRESETS: Final = ("town", "election", "fandom-storm", "botnet-classic", "botnet-frontier", "quiet", "null", "demo")

LARGEST_FILE_BYTES: Final = 1 << 20
"""A simulated population has a few dozen lines; a larger file is another file named by mistake."""

GZIP_LEVEL: Final = 1
"""Writing keeps up with the simulation; higher levels halve its speed to save a tenth."""

ZSTD_LEVEL: Final = 3


def preset(name: str) -> PopulationConfig:
    """The simulated population that ships under this name.

    Raises:
        UsageError: there is none.
    """
    if name not in PRESETS:
        close = difflib.get_close_matches(name, PRESETS, n=1)
        meant = f"did you mean {close[0]}? " if close else ""
        raise UsageError(f"no preset {name!a}: {meant}There are {', '.join(PRESETS)}")
    text = files("simulation").joinpath(f"presets/{name}.toml").read_text(encoding="utf-8")
    return parse(text, f"preset {name}")


def load(path: Path) -> PopulationConfig:
    """The simulated population in a TOML file.

    Raises:
        ConfigError: it cannot be read, or a key or value in it cannot be used; the message names both.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: the simulated population cannot be read: {error.strerror}") from None
    if len(data) > LARGEST_FILE_BYTES:
        raise ConfigError(
            f"{path}: larger than {LARGEST_FILE_BYTES} bytes, so it is no simulated population; name another file"
        )
    try:
        return parse(data.decode("utf-8"), str(path))
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8; save it as UTF-8") from None


def parse(text: str, where: str) -> PopulationConfig:
    """The simulated population in TOML; `where` is what messages call it."""
    try:
        population = msgspec.toml.decode(text, type=PopulationConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {explained(str(error))}") from None
    except msgspec.DecodeError as error:
        raise ConfigError(f"{where}: this is not TOML: {error}") from None
    check(population, where)
    return population


def check(population: PopulationConfig, where: str) -> None:
    """What no key alone can show.

    Raises:
        ConfigError: the parts do not fit together.
    """
    if parse_time(population.start) is None:
        raise ConfigError(f"{where}: start: write a time with offset, such as 2024-03-04T00:00:00Z")
    if population.feed.close + population.feed.answer + population.feed.world > 1:
        raise ConfigError(f"{where}: feed: close, answer and world are shares of reactions: make them sum to at most 1")
    for name, objects in (("links", population.links), ("tags", population.tags)):
        if objects.own + objects.copied > 1:
            raise ConfigError(f"{where}: {name}: own and copied are shares of uses: make them sum to at most 1")
    sizes = [(family.name, family.size) for family in population.operators]
    looks = population.lookalikes
    crowds = [(name.replace("_", "-"), getattr(looks, name).size) for name in looks.__struct_fields__]
    for name, (low, high) in [*sizes, *crowds]:
        if not 1 <= low <= high:
            raise ConfigError(f"{where}: {name}: size is [smallest, largest], both at least 1")
    shares = sum(getattr(looks, name).share for name in looks.__struct_fields__)
    operated = (2 if population.controls else 1) * population.machines
    if operated + shares > 0.95:
        raise ConfigError(
            f"{where}: machines, their matched controls (as many) and look-alikes would be {operated + shares:.0%} of "
            "all accounts: leave at least 5% for ordinary people"
        )
    if population.machines > 0 and not population.operators:
        raise ConfigError(
            f"{where}: machines is {population.machines} but there are no [[operators]]: name some, or set it to 0"
        )


def explained(message: str) -> str:
    """msgspec's message, with the nearest known key for an unknown one."""
    match = re.search(r"unknown field `([^`]*)`(?: - at `\$\.?([^`]*)`)?", message)
    if match is None:
        return message.replace("`", "")
    key, path = match.group(1), match.group(2) or ""
    known = _fields_at(path)
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
    place = f" in [{path}]" if path else ""
    return f"unknown key {key!a}{place}" + (f": did you mean {close[0]}?" if close else "")


def _fields_at(path: str) -> list[str]:
    found: Any = PopulationConfig
    for name in re.sub(r"\[[^]]*\]", "", path).split("."):
        if name:
            types = {field.name: field.type for field in msgspec.structs.fields(found)}
            found = types.get(name)
            arguments = getattr(found, "__args__", ())
            found = arguments[0] if arguments else found
    return list(found.__struct_fields__) if isinstance(found, type) and issubclass(found, Part) else []


@contextmanager
def written(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to, compressed where its name ends in `.gz` or `.zst`; `-` is standard output.

    Equal content gives equal bytes.

    Raises:
        UsageError: it cannot be written.
    """
    if str(path) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        raw = path.open("wb")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}; name another file") from None
    with raw:
        if path.suffix == ".gz":
            with gzip.GzipFile("", "wb", GZIP_LEVEL, raw, mtime=0) as file:
                yield cast(IO[bytes], file)
        elif path.suffix == ".zst":
            with zstandard.ZstdCompressor(level=ZSTD_LEVEL).stream_writer(raw, closefd=False) as stream:
                yield cast(IO[bytes], stream)
        else:
            yield raw


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a recording or another file of JSON lines that are not blank; `.gz` and `.zst` are unpacked.

    Raises:
        UsageError: it cannot be read or is damaged.
    """
    with RecordingFiles([path]) as records:
        for record in records:
            if record.value.strip():
                yield record.value


def table_of(path: Path) -> Iterator[Json]:
    """The rows of a parquet file, batch by batch.

    Raises:
        UsageError: it cannot be read, or nothing that reads parquet is installed.
    """
    try:
        from pyarrow import parquet
    except ImportError:
        raise UsageError(f"{path}: reading parquet needs pyarrow: install swarmlight[train], or use .jsonl") from None
    try:
        file: Any = parquet.ParquetFile(path)
        for batch in file.iter_batches():
            yield from batch.to_pylist()
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read as parquet: {error}") from None
