"""Recordings as files: opened, read in an input format, and put in the order of their time.

`RecordingFiles` gives the records of one or several files, or of standard input, as `swarmlight run` takes them. What
the bytes of a file mean is the business of its format (`streaming.sources.base.SourceFormat`); post events, one JSON
object a line, are the format `events`.
"""

from __future__ import annotations

import csv
import gzip
import os
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import Final, Self, cast

import msgspec
import zstandard

from detector.errors import UsageError
from detector.plugins import SOURCES, installed, load
from streaming.logs import ERROR_CHARACTERS, shown
from streaming.sources.base import ConfigurableFormat, SourceFormat, SourceRecord
from streaming.sources.content import HEAD_BYTES, content
from streaming.sources.guess import MAGIC, unknown_kind
from streaming.sources.parents import Parents, with_parents
from streaming.sources.sorting import Sorter, TimeRange

STDIN: Final = "-"

EVENTS: Final = "events"
"""The format of post events, one JSON object a line."""

AUTO: Final = "auto"
"""In place of a format's name: recognise the format of each file."""

GENERIC: Final = "table"
"""The format that takes any table: a file is recognised as one only where no other format recognises it."""

HEADS_KEPT: Final = 8
"""Files of which the beginning is kept, for a guess at what they are where they turn out to be no events."""

_TOLD_EVERY: Final = 20_000
"""Records between two reports of how far reading is: a few a second."""


class RecordingFiles:
    """The records of some recordings. Use it as a context.

    Iterated, it gives them file after file, each in its own order, numbered from 0: one file is open at a time.
    `by_time` sorts all of them.

    Args:
        paths: what is compressed by gzip or zstd is decompressed whatever its name, `-` is standard input.
        stdin: what `-` reads; the process's own unless given.
        format_name: of the files: an installed input format, with its options behind a colon (`table:account=user`),
            or `auto` to recognise each file by its beginning.
        keep_readable: what is done with a file that cannot be read to its end (a compressed file cut short, damaged, or
            not compressed as its name says): with it, what came before stays, the other files are read, and `failures`
            says so.

    Raises:
        UsageError: no input, `-` twice, an unknown format, or a file that cannot be opened; while iterating: one that
            cannot be read to its end, unless `keep_readable`, and one that is not of the format from its first record.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        stdin: BufferedReader | None = None,
        format_name: str = EVENTS,
        *,
        keep_readable: bool = False,
    ) -> None:
        self._names = [str(path) for path in paths]
        self._form = format_named(format_name) if format_name != AUTO else None
        self._forms = recognisers() if self._form is None else {}
        if not self._names:
            raise UsageError("no input: name at least one file, or - for standard input")
        if self._names.count(STDIN) > 1:
            raise UsageError("- is given twice as input; standard input can be read only once")
        self.failures: list[str] = []
        """Which files could not be read to their end, how far they were read, and why."""
        self._heads: list[tuple[str, bytes]] = []
        self.skipped: Counter[str] = Counter()
        """Records so far that are in order and no post events ("a block"), by what they are; they are not given."""
        self._stdin = stdin
        self.format_name = format_name
        self._keep_readable = keep_readable
        self._sizes = {name: _size(name) for name in self._names if name != STDIN}
        self._done = 0
        self._file: BufferedReader | None = None
        self._sorter: Sorter | None = None
        self._joins = False

    @property
    def size(self) -> int | None:
        """Bytes of all files as they lie on disk; None where standard input is among them."""
        return None if STDIN in self._names else sum(self._sizes[name] for name in self._names)

    @property
    def position(self) -> int:
        """Bytes of the files read so far, for progress; standard input counts as 0."""
        file = self._file
        return self._done + (file.tell() if file is not None and not file.closed and file.seekable() else 0)

    def __iter__(self) -> Iterator[SourceRecord]:
        offset = 0
        for name in self._names:
            for record in self._records(name):
                yield msgspec.structs.replace(record, offset=offset)
                offset += 1

    def by_time(
        self,
        *,
        check: Callable[[TimeRange], None] | None = None,
        on_read: Callable[[int], None] | None = None,
        sorter: Sorter | None = None,
    ) -> Iterator[SourceRecord]:
        """The records by `at`, of equal times in the order of the inputs, numbered from 0 in that order.

        Of formats that name the answered post and not its account (`streaming.sources.parents`), the account is looked
        up among the posts before, and where times are wrong among those after.

        All is read when this returns, and kept in temporary files where it is much, until the context is left.

        Args:
            check: sees which times there are; may raise.
            on_read: told every now and then how many records were read, and when all are.
            sorter: for tests; one of the usual size where None.

        Raises:
            UsageError: as while iterating, or no room for temporary files.
        """
        self._sorter = sort = sorter if sorter is not None else Sorter()
        parents = Parents()
        for number, _ in enumerate(sort.add(self._noting(parents)), 1):
            if on_read is not None and number % _TOLD_EVERY == 0:
                on_read(number)
        if on_read is not None:
            on_read(sort.count)
        if check is not None:
            check(sort.times)
        return with_parents(sort.records(), known=parents.known) if self._joins else sort.records()

    def guesses(self) -> Iterator[str]:
        """Sentences that say what the first files seem to be, where that is not what they were read as."""
        for name, head in self._heads:
            said = looks_like(name, head, self.format_name)
            if said is not None:
                yield said

    def _noting(self, parents: Parents) -> Iterator[SourceRecord]:
        """The records; whose posts are whose is noted where that will be asked."""
        for record in self:
            if self._joins:
                parents.note(record)
            yield record

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None and not (STDIN in self._names and self._file is self._standard()):
            self._file.close()
        if self._sorter is not None:
            self._sorter.close()

    def _standard(self) -> BufferedReader:
        return self._stdin if self._stdin is not None else cast(BufferedReader, sys.stdin.buffer)

    def _records(self, name: str) -> Iterator[SourceRecord]:
        """Records of one file with offset 0 and their position, from 1."""
        if name == STDIN:
            self._file = self._standard()
            yield from self._read(name, self._file)
            return
        with closing(_open(name)) as file:
            self._file = file
            yield from self._read(name, file)
        # A format may have closed the file by itself, as a TextIOWrapper does when it goes.
        self._file = None
        self._done += self._sizes.get(name, 0)

    def _read(self, name: str, file: BufferedReader) -> Iterator[SourceRecord]:
        origin, position, form, head = f"{_shown(name)}:", 0, self.format_name, b""
        try:
            opened = content(name, file)
            head = bytes(opened.peek(HEAD_BYTES)[:HEAD_BYTES])
            if not head or head.split() == [b"[]"]:
                return
            if len(self._heads) < HEADS_KEPT:
                self._heads.append((_shown(name), head))
            reader = self._form or _recognised(head, self._forms, _shown(name))
            self._joins = self._joins or getattr(reader, "joins", False)
            for record in reader.read(opened):
                position = record.position
                if record.skipped:
                    self.skipped[record.skipped] += 1
                    continue
                yield SourceRecord(0, -1, record.value, origin, position, record.oversize, problem=record.problem)
        except EOFError:
            reason = "the data ends too early; copy the file again"
        except (gzip.BadGzipFile, zlib.error, zstandard.ZstdError):
            reason = "the compressed data is damaged, or the file is not compressed as its name says"
        except OSError as error:
            reason = error.strerror or "it cannot be read"
        except (ValueError, csv.Error) as error:
            reason = f"it is not of the format {form}: {shown(str(error), ERROR_CHARACTERS)}"
            if not position:
                said = looks_like(_shown(name), head, form)
                guess = "" if said is None else f". {said}"
                raise UsageError(f"cannot read input {_shown(name)} beyond line 0: {reason}{guess}") from None
        else:
            return
        failure = f"cannot read input {_shown(name)} beyond line {position}: {reason}"
        if not self._keep_readable:
            raise UsageError(failure)
        self.failures.append(failure)


def looks_like(name: str, head: bytes, read_as: str) -> str | None:
    """A sentence that says what a file seems to be, and what to do.

    Args:
        name: of the file, as it is shown.
        head: its beginning, decompressed and without byte order mark.
        read_as: the format that it was read in, perhaps with options.

    Returns:
        None where nothing can be said, and where it is what it was read as.
    """
    asked, what = read_as.partition(":")[0], None
    if not head.lstrip().startswith(tuple(MAGIC)):
        found = recognising(head)
        if asked == AUTO or found in (EVENTS, asked):
            return None
        what = None if found is None else f"the format {found}: read it with --format {found}"
    what = unknown_kind(head) if what is None else what
    return None if what is None else f"{shown(name)} looks like {what}"


def _open(name: str) -> BufferedReader:
    try:
        return Path(name).open("rb")
    except OSError as error:
        raise UsageError(f"cannot read input {_shown(name)}: {error.strerror or 'it cannot be opened'}") from None


def _size(name: str) -> int:
    """Bytes of a file on disk; sees that it can be opened. A pipe is opened only once, when it is read."""
    path = Path(name)
    if path.exists() and not path.is_file() and not path.is_dir():
        return 0
    with _open(name) as file:
        return os.fstat(file.fileno()).st_size


def _shown(name: str) -> str:
    """A file name as it can be printed and encoded, whatever bytes it is made of."""
    return os.fsencode(name).decode("utf-8", "replace")


SKIPPED_TOLD: Final = 5
"""Kinds of skipped records that are told; the summary has all."""


def counted(skipped: Mapping[str, int]) -> str:
    """What was skipped, the most frequent first: `1,200 a block, 7 a list and 3 of other kinds`."""
    ordered = sorted(skipped.items(), key=lambda item: (-item[1], item[0]))
    told = ", ".join(f"{count:,} {what}" for what, count in ordered[:SKIPPED_TOLD])
    others = sum(count for _, count in ordered[SKIPPED_TOLD:])
    return f"{told} and {others:,} of other kinds" if others else told


def nothing_but(skipped: Mapping[str, int]) -> str:
    """A sentence about recordings all of whose records were skipped."""
    count = sum(skipped.values())
    return f"none of {count:,} records is a post event: {counted(skipped)}"


def format_named(name: str) -> SourceFormat:
    """The input format that is installed under `name`, which may be followed by a colon and its options.

    Raises:
        UsageError: there is none, it cannot read files, or the options cannot be used.
    """
    name, colon, options = name.partition(":")
    found = load(SOURCES, name)
    if not isinstance(found, SourceFormat):
        raise UsageError(f"--format {name!a}: what is installed under this name has no `recognises` and `read`")
    if not colon:
        return found
    if not isinstance(found, ConfigurableFormat):
        raise UsageError(f"--format {name!a} takes no options: leave away the colon and what follows it")
    try:
        return found.configured(options)
    except ValueError as error:
        raise UsageError(f"--format {name!a}: {shown(str(error), 500)}") from None


def recognisers() -> dict[str, SourceFormat]:
    """The installed formats by name, in the order in which they are asked: post events first, any table last, and those
    in between by name. To look for installed packages takes milliseconds."""
    order = sorted(installed(SOURCES), key=lambda each: (each != EVENTS, each == GENERIC, each))
    return {name: format_named(name) for name in order}


def recognising(head: bytes, forms: Mapping[str, SourceFormat] | None = None) -> str | None:
    """The name of the format of a file that begins with `head`; None where none of `forms`, or of the installed ones,
    recognises it."""
    asked = recognisers() if forms is None else forms
    return next((name for name, form in asked.items() if form.recognises(head)), None)


def _recognised(head: bytes, forms: Mapping[str, SourceFormat], name: str) -> SourceFormat:
    """The one of `forms` that a file has which begins with `head`.

    Raises:
        UsageError: none recognises it.
    """
    found = recognising(head, forms)
    if found is not None:
        return forms[found]
    what = unknown_kind(head)
    seems = "name its format" if what is None else f"it looks like {what}"
    raise UsageError(f"--format {AUTO}: {name} is of none of the formats {', '.join(sorted(forms))}; {seems}")
