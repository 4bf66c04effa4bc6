"""Reads the user's own files: JSON lines, compressed or not, and parquet tables."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import zstandard

from detector.errors import UsageError
from simulation.arrays import Json


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a file that are not blank; `.gz` and `.zst` are unpacked.

    Raises:
        UsageError: it cannot be read or is damaged.
    """
    try:
        with path.open("rb") as raw:
            for line in _unpacked(raw, path.suffix):
                if line.strip():
                    yield line
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{path}: cannot be read: {reason}") from None


def _unpacked(raw: IO[bytes], suffix: str) -> Iterator[bytes]:
    if suffix == ".gz":
        yield from gzip.GzipFile(fileobj=raw)
    elif suffix == ".zst":
        yield from io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(raw))
    else:
        yield from raw


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
