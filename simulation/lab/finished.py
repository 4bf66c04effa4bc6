"""Experiments that take long, several at once: each is written down when it is finished, and is not done again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from detector.errors import ConfigError, UsageError


class FinishedLine(Protocol):
    """A line of a file of results: a msgspec Struct that has the options it belongs to."""

    @property
    def options(self) -> Any: ...


R = TypeVar("R", bound=FinishedLine)


def read_done(path: Path, kind: type[R]) -> dict[Any, R]:
    """Results by their options; a last line that was cut off in writing is left out.

    Raises:
        ConfigError: another line is none of this file's.
    """
    if not path.exists():
        return {}
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; name another folder") from None
    done = {}
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):
            break
        try:
            one = msgspec.json.decode(line, type=kind)
        except msgspec.DecodeError:
            raise ConfigError(
                f"{path}, line {number}: not a result of this command; name another folder, or remove the file"
            ) from None
        done[one.options] = one
    return done


def finish_all(
    groups: Sequence[Sequence[Any]],
    work: Callable[[Sequence[Any]], list[R]],
    kind: type[R],
    path: Path,
    processes: int,
) -> Iterator[R]:
    """Do what is left of experiments, several groups at once.

    Args:
        groups: options of experiments; those of a group are done together, and all of them again if one is left.
        work: does a group, in a process of its own with one thread.
        kind: of a result.
        path: the file of results; others in it stay.
        processes: groups at once.

    Yields:
        Each result: those of the file first, then in the order in which they are finished.

    Raises:
        UsageError: the file cannot be written.
        ConfigError: it is another file.
    """
    done = read_done(path, kind)
    yield from (done[one] for group in groups for one in group if one in done)
    left = [group for group in groups if any(one not in done for one in group)]
    if not left:
        return
    try:
        file = path.open("ab")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}; name another folder") from None
    with file, ProcessPoolExecutor(min(processes, len(left)), get_context("forkserver")) as pool:
        whole = sum(len(line) for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n"))
        file.truncate(whole)
        waiting = [pool.submit(_alone, work, group) for group in left]
        try:
            for future in as_completed(waiting):
                found = [one for one in future.result() if one.options not in done]
                file.write(b"".join(msgspec.json.encode(one) + b"\n" for one in found))
                file.flush()
                os.fsync(file.fileno())
                yield from found
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _alone(work: Callable[[Sequence[Any]], list[R]], group: Sequence[Any]) -> list[R]:
    with threadpool_limits(limits=1):  # so that results do not depend on how many cores there are
        return work(group)
