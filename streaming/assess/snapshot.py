"""The whole `State` in one file: its fields one after the other, arrays as arrays and the rest as MessagePack.

The file begins with a line that says what it is, of which version, and the SHA-256 of what follows, a zip archive with
one member for each array (`accounts/total.npy`) and each plain field (`alerts.msgpack`). Which members there are
follows from the fields of `State`; reading asks for the same. Nothing in it can run code. The file is written beside
the old one and renamed, so that a reader sees one whole snapshot or none.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, Protocol, get_type_hints, runtime_checkable

import msgspec
import numpy as np
from numpy.typing import NDArray

from detector.errors import LogError, UsageError
from streaming.assess.engine import Assess
from streaming.assess.state import State
from streaming.assess.store import Table

VERSION: Final = 7
"""Of the format and of everything in it."""

OLDEST: Final = 6
"""Oldest version that is still read. A change that a fresh value cannot stand in for raises it to `VERSION`."""

ADDED: Final[Mapping[str, int]] = {"asked": 7}
"""Field of `State` -> version that first had it. In an older snapshot it is as at the beginning."""

_MAGIC: Final = b"SWARMLIGHT-SNAPSHOT"
_DIGEST_CHARS: Final = 64
_HEADER_BYTES: Final = len(_MAGIC) + 1 + 6 + 1 + _DIGEST_CHARS + 1
_BLOCK: Final = 1 << 20
_VERSION_COUNTS: Final = 7
_ARRAY: Final = ".npy"
_PLAIN: Final = ".msgpack"

_DATE: Final = (1980, 1, 1, 0, 0, 0)
"""The first that a zip archive can name."""
_TAKEN_WITH: Final = "taken_with"


class TakenWith(msgspec.Struct):
    """What a snapshot's history depends on besides the log.

    Args:
        partitions: of `posts`.
        settings: those that shape history, by name.
        models: name -> version.
    """

    partitions: int
    settings: dict[str, str]
    models: dict[str, str]

    @classmethod
    def of(cls, assess: Assess) -> TakenWith:
        """That of a state machine."""
        return cls(assess.partitions, assess.settings.structure(), assess.models.versions)

    def check(self, now: TakenWith) -> None:
        """See that a snapshot of this can be gone on from.

        Args:
            now: of the state machine that is to go on.

        Raises:
            LogError: it cannot.
        """
        if self.partitions != now.partitions:
            raise LogError(
                f"the snapshot is of {self.partitions} partitions of posts, the topic has {now.partitions}: the number "
                "may not change; begin again under another topic_prefix"
            )
        for what, kept, present in (("settings", self.settings, now.settings), ("models", self.models, now.models)):
            other = sorted(name for name in {*kept, *present} if kept.get(name) != present.get(name))
            if other:
                changed = ", ".join(f"{name} {kept.get(name)} -> {present.get(name)}" for name in other)
                raise LogError(
                    f"the snapshot was taken with other {what} ({changed}): its history would have been another; "
                    "restore them, or start the changed deployment from offset 0 under a topic_prefix of its own"
                )


@runtime_checkable
class NamedArrays(Protocol):
    """A part of the state that another package keeps; its class has `from_arrays`, the inverse."""

    def arrays(self) -> Mapping[str, NDArray[Any] | bytes]:
        """The part as arrays and MessagePack bytes by name."""
        ...


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


def _dated(member: str) -> zipfile.ZipInfo:
    """A member with one date for all, so that equal states are equal bytes whenever they are written."""
    return zipfile.ZipInfo(member, _DATE)


class CopiedState(NamedTuple):
    """The state of one moment, which later ticks do not change.

    Args:
        taken_with: what its history depends on.
        members: its parts by name.
    """

    taken_with: TakenWith
    members: list[tuple[str, NDArray[Any] | bytes]]


def copied(assess: Assess) -> CopiedState:
    """A copy of the state of `assess` in memory, from which a snapshot can be written while ticks go on."""
    parts = [(name, part if isinstance(part, bytes) else np.array(part)) for name, part in members(assess.state)]
    return CopiedState(TakenWith.of(assess), parts)


def write(file: IO[bytes], assess: Assess) -> None:
    """Write the state of `assess` to a seekable binary file."""
    _write(file, TakenWith.of(assess), members(assess.state))


def write_copied(file: IO[bytes], state: CopiedState) -> None:
    """Write a copied state to a seekable binary file: the bytes that `write` would have written when it was copied."""
    _write(file, state.taken_with, state.members)


def _write(file: IO[bytes], taken_with: TakenWith, parts: Iterable[tuple[str, NDArray[Any] | bytes]]) -> None:
    start = file.tell()
    file.write(bytes(_HEADER_BYTES))
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        archive.writestr(_dated(_TAKEN_WITH + _PLAIN), msgspec.msgpack.encode(taken_with))
        for name, value in parts:
            if isinstance(value, bytes):
                archive.writestr(_dated(name + _PLAIN), value)
            else:
                with archive.open(_dated(name + _ARRAY), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.ascontiguousarray(value), allow_pickle=False)
    end = file.tell()
    digest = _digest(file, start + _HEADER_BYTES, VERSION)
    file.seek(start)
    file.write(b"%b %06d %b\n" % (_MAGIC, VERSION, digest.encode()))
    file.seek(end)


def restore(path: Path, assess: Assess) -> None:
    """Have `assess` go on from the state in the file `path`.

    Raises:
        LogError: the file is missing, damaged or of another version, or was taken with other settings or models.
    """
    try:
        with path.open("rb") as file:
            read(file, assess, str(path))
    except OSError as error:
        raise LogError(f"cannot read the snapshot {path}: {error.strerror}; use an older one or offset 0") from error


def read(file: IO[bytes], assess: Assess, name: str) -> None:
    """As `restore`, from an open file.

    Args:
        file: seekable, at the beginning of the snapshot.
        assess: goes on from the state.
        name: what messages call the file.

    Raises:
        LogError: as `restore`.
    """
    header = file.read(_HEADER_BYTES).split()
    if len(header) != 3 or header[0] != _MAGIC:
        raise LogError(f"{name} is no snapshot, or is cut short; use an older one or offset 0")
    version = _version(header[1])
    if not OLDEST <= version <= VERSION:
        raise LogError(
            f"{name} is a snapshot of version {header[1].decode('ascii', 'replace')}, this release reads versions "
            f"{OLDEST} to {VERSION}: go on with the release that wrote it, or remove the snapshots and let this "
            "release read the observation log from offset 0 (docs/how-to/operate.md)"
        )
    if _digest(file, _HEADER_BYTES, version) != header[2].decode("ascii", "replace"):
        raise LogError(f"{name} is damaged: its checksum does not match; use an older one or offset 0")
    try:
        with zipfile.ZipFile(file) as archive:
            kept = msgspec.msgpack.decode(archive.read(_TAKEN_WITH + _PLAIN), type=TakenWith)
            kept.check(TakenWith.of(assess))
            later = frozenset(field for field, since in ADDED.items() if since > version)
            state = _filled(State, State.begin(assess.settings, assess.partitions), "", archive, later)
    except (zipfile.BadZipFile, msgspec.MsgspecError, ValueError, KeyError, TypeError, UsageError) as error:
        raise LogError(f"{name} cannot be read ({error}); use an older one or offset 0") from error
    assess.resume(state)


def members(value: Any, name: str = "") -> Iterator[tuple[str, NDArray[Any] | bytes]]:
    """The parts of `value` by name: arrays, and MessagePack of everything else.

    Args:
        value: a dataclass, whose fields given to its constructor are its parts; a part that gives its arrays by name;
            an array; or what msgspec encodes. Of a table only the entries in use are given.
        name: of `value`, "" for the whole.
    """
    if isinstance(value, np.ndarray):
        yield name, value
    elif is_dataclass(value):
        columns, used = (value.columns(), value.used) if isinstance(value, Table) else ({}, 0)
        for each in fields(value):
            if each.init:
                part = getattr(value, each.name)
                yield from members(part[:used] if each.name in columns else part, _below(name, each.name))
    elif isinstance(value, NamedArrays):
        for part_name, part in value.arrays().items():
            yield from members(part, _below(name, part_name))
    else:
        yield name, msgspec.msgpack.encode(value)


def _version(written: bytes) -> int:
    """The version in a header; -1 where it is no number."""
    return int(written) if written.isdigit() else -1


def _filled(kind: Any, fresh: Any, name: str, archive: zipfile.ZipFile, later: Collection[str] = frozenset()) -> Any:
    """The inverse of `members`.

    Args:
        kind: declared type of the part.
        fresh: the part as it is before anything was read.
        name: of the part.
        archive: where its members are.
        later: names of parts that are not in it, as they came with a later version; they stay fresh.
    """
    if name in later:
        return fresh
    if isinstance(fresh, np.ndarray):
        with archive.open(name + _ARRAY) as member:
            array: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
        if array.dtype != fresh.dtype or array.ndim != fresh.ndim:
            raise ValueError(f"{name} is {array.dtype} with {array.ndim} dimensions, not {fresh.dtype}, {fresh.ndim}")
        return array
    if is_dataclass(fresh):
        kinds, parts = get_type_hints(type(fresh)), {}
        for each in fields(fresh):
            if each.init:
                part = getattr(fresh, each.name)
                parts[each.name] = _filled(kinds[each.name], part, _below(name, each.name), archive, later)
        filled: Any = type(fresh)
        return filled(**parts)
    if isinstance(fresh, NamedArrays):
        return _from_arrays(fresh, {name: _member(member, archive) for name, member in _members_below(name, archive)})
    return msgspec.msgpack.decode(archive.read(name + _PLAIN), type=kind)


def _from_arrays(fresh: NamedArrays, arrays: dict[str, Any]) -> Any:
    """The part that `arrays` describe."""
    return type(fresh).from_arrays(arrays)  # type: ignore[attr-defined]


def _members_below(name: str, archive: zipfile.ZipFile) -> Iterator[tuple[str, str]]:
    """(name within the part, name in the archive) of the members of a part."""
    for member in archive.namelist():
        if member.startswith(name + "/"):
            yield member[len(name) + 1 :].removesuffix(_ARRAY).removesuffix(_PLAIN), member


def _member(member: str, archive: zipfile.ZipFile) -> Any:
    if member.endswith(_PLAIN):
        return msgspec.msgpack.decode(archive.read(member))
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _below(name: str, part: str) -> str:
    return f"{name}/{part}" if name else part


def _digest(file: IO[bytes], start: int, version: int) -> str:
    """The checksum of what follows `start`, and from version 7 on of the version too."""
    file.seek(start)
    digest = hashlib.sha256(b"" if version < _VERSION_COUNTS else b"%06d" % version)
    while block := file.read(_BLOCK):
        digest.update(block)
    file.seek(start)
    return digest.hexdigest()
