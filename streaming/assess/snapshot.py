"""The whole state of `Assess` in one file: arrays, and MessagePack for the rest. Nothing in it can run code.

The file begins with a line that says what it is, of which version, and the SHA-256 of what follows, an `.npz` archive
without pickle. It is written beside the old one and renamed, so that a reader sees one whole snapshot or none.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from pathlib import Path
from typing import IO, Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from detector.errors import LogError, UsageError
from streaming.assess.engine import Assess

VERSION: Final = 3
"""Of the format and of everything in it; another number is refused."""

_MAGIC: Final = b"SWARMLIGHT-SNAPSHOT"
_DIGEST_CHARS: Final = 64
_HEADER_BYTES: Final = len(_MAGIC) + 1 + 6 + 1 + _DIGEST_CHARS + 1
_PLAIN: Final = "plain"
_ARRAY: Final = "array:"
_BLOCK: Final = 1 << 20


def snapshot(path: Path, assess: Assess) -> None:
    """Write the state of `assess` to the file `path`, whose folder must be there; an older one is replaced at once."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with os.fdopen(handle, "w+b") as file:
            write(file, assess)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write(file: IO[bytes], assess: Assess) -> None:
    """Write the state of `assess` to a seekable binary file."""
    arrays: dict[str, NDArray[Any]] = {}
    plain = _split(assess.state(), "", arrays)
    arrays[_PLAIN] = np.frombuffer(msgspec.msgpack.encode(plain), np.uint8)
    start = file.tell()
    file.write(bytes(_HEADER_BYTES))
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
    end = file.tell()
    digest = _digest(file, start + _HEADER_BYTES)
    file.seek(start)
    file.write(b"%b %06d %b\n" % (_MAGIC, VERSION, digest.encode()))
    file.seek(end)


def restore(path: Path, assess: Assess) -> None:
    """Fill a fresh `assess` with the state in the file `path`.

    Raises:
        LogError: the file is missing, damaged or of another version, or was taken with other settings or models.
    """
    try:
        with path.open("rb") as file:
            read(file, assess, str(path))
    except OSError as error:
        raise LogError(f"cannot read the snapshot {path}: {error.strerror}; use an older one or offset 0") from error


def read(file: IO[bytes], assess: Assess, name: str) -> None:
    """As `restore`, from an open file; `name` is what messages call it."""
    header = file.read(_HEADER_BYTES).split()
    if len(header) != 3 or header[0] != _MAGIC:
        raise LogError(f"{name} is no snapshot, or is cut short; use an older one or offset 0")
    if header[1] != b"%06d" % VERSION:
        raise LogError(
            f"{name} is a snapshot of version {header[1].decode('ascii', 'replace')}, this release reads {VERSION}; "
            "read the log from offset 0"
        )
    if _digest(file, _HEADER_BYTES) != header[2].decode("ascii", "replace"):
        raise LogError(f"{name} is damaged: its checksum does not match; use an older one or offset 0")
    try:
        assess.restore(_load(file))
    except (zipfile.BadZipFile, msgspec.MsgspecError, ValueError, KeyError, TypeError, UsageError) as error:
        raise LogError(f"{name} cannot be read ({error}); use an older one or offset 0") from error


def _load(file: IO[bytes]) -> dict[str, Any]:
    arrays: dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(file) as archive:
        for entry in archive.namelist():
            with archive.open(entry) as member:
                arrays[entry.removesuffix(".npy")] = np.lib.format.read_array(member, allow_pickle=False)
    plain = msgspec.msgpack.decode(arrays.pop(_PLAIN).tobytes(), strict=False)
    joined = _join(plain, arrays)
    assert isinstance(joined, dict)
    return joined


def _split(value: Any, path: str, arrays: dict[str, NDArray[Any]]) -> Any:
    """`value` with its arrays taken out into `arrays` by path, each leaving its path behind."""
    if isinstance(value, np.ndarray):
        arrays[path] = value
        return _ARRAY + path
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _split(each, f"{path}/{key}" if path else key, arrays) for key, each in value.items()}
    return value


def _join(value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    if isinstance(value, str) and value.startswith(_ARRAY) and value[len(_ARRAY) :] in arrays:
        return arrays[value[len(_ARRAY) :]]
    if isinstance(value, dict):
        return {key: _join(each, arrays) for key, each in value.items()}
    return value


def _digest(file: IO[bytes], start: int) -> str:
    file.seek(start)
    digest = hashlib.sha256()
    while block := file.read(_BLOCK):
        digest.update(block)
    file.seek(start)
    return digest.hexdigest()
