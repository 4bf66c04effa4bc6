"""What an input file of a table is, seen by its content, and how DuckDB reads it.

Compression, encoding, delimiter and header are recognised by the beginning of the file, whatever its name says.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import sys
import zlib
from pathlib import Path
from typing import Final, Literal, NamedTuple

import zstandard

from detector.errors import UsageError

HEAD_BYTES: Final = 1 << 16
"""Of the beginning of a file, by which its kind, delimiter and encoding are recognised."""

_SEPARATORS: Final = ",;\t|"

_SAID_SEPARATOR: Final = re.compile(r"sep=([,;\t|])\s*\n", re.IGNORECASE)
"""What spreadsheets write before the header."""


_SPREADSHEET: Final = "a spreadsheet or an archive; save the table as CSV in UTF-8, ids as text"

_NO_TABLES: Final = {
    b"PK\x03\x04": _SPREADSHEET,
    b"\xd0\xcf\x11\xe0": _SPREADSHEET,
    b"BZh": "compressed by bzip2; decompress it, as in `bzcat FILE | swarmlight coordinate -`",
    b"\xfd7zXZ": "compressed by xz; decompress it, as in `xzcat FILE | swarmlight coordinate -`",
    b"SQLite format 3": "an SQLite database; export a table as CSV",
}
"""How files begin that hold no table as it is read here, and what to do with them."""


class TableInput(NamedTuple):
    """One input, ready for DuckDB.

    Args:
        shown: its name, for messages.
        path: of a link to it.
        kind: what it is; `lines` and `array` are JSON.
        compression: of the whole file.
        separator: of fields of a CSV.
        encoding: of the text.
        header: names of its columns.
        skip: lines up to the first row of a CSV.
    """

    shown: str
    path: str
    kind: Literal["csv", "lines", "array", "parquet"]
    compression: Literal["none", "gzip", "zstd"]
    separator: str
    encoding: Literal["utf-8", "utf-16", "latin-1"]
    header: list[str]
    skip: int = 1


def opened(path: Path, folder: Path, number: int) -> TableInput:
    """What a file is, by its content.

    Args:
        path: of it, `-` for standard input.
        folder: where a link to it is made, since DuckDB takes some characters of a name for patterns.
        number: of the file.

    Raises:
        UsageError: it cannot be read, or is no table.
    """
    place = folder / f"input-{number}"
    shown = str(path)
    try:
        if shown == "-":
            shown = "standard input"
            with place.open("wb") as copy:
                while piece := sys.stdin.buffer.read(1 << 20):
                    copy.write(piece)
        else:
            place.symlink_to(path.resolve(strict=True))
        with place.open("rb") as raw:
            magic = raw.read(4)
        compression: Literal["none", "gzip", "zstd"] = "none"
        if magic[:2] == b"\x1f\x8b":
            compression = "gzip"
        elif magic == b"\x28\xb5\x2f\xfd":
            compression = "zstd"
        head = _head(place, compression)
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"{shown}: cannot be read ({why})") from None
    if magic == b"PAR1":
        return TableInput(shown, str(place), "parquet", "none", "", "utf-8", _parquet_columns(place, shown))
    if head[257:].startswith(b"ustar"):
        raise UsageError(f"{shown}: is a tar archive; unpack it, and give the table in it")
    for begins, what in _NO_TABLES.items():
        if head.startswith(begins):
            raise UsageError(f"{shown}: is {what}")
    encoding: Literal["utf-8", "utf-16", "latin-1"] = "utf-8"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif not head.startswith(codecs.BOM_UTF8) and not _is_utf8(head):
        encoding = "latin-1"
    whole = head.decode(encoding, "replace").lstrip("\ufeff")
    text = whole.lstrip()
    if not text:
        raise UsageError(f"{shown}: is empty")
    if text[0] in "{[":
        if encoding != "utf-8":
            raise UsageError(f"{shown}: JSON has to be in UTF-8")
        kind: Literal["lines", "array"] = "array" if text[0] == "[" else "lines"
        return TableInput(shown, str(place), kind, compression, "", encoding, _json_columns(text, shown))
    said = _SAID_SEPARATOR.match(text)
    if said:
        text = text[said.end() :]
    separator = said[1] if said else max(_SEPARATORS, key=text.splitlines()[0].count)
    if "\r" in text and "\n" not in text:
        raise UsageError(f"{shown}: its lines end as those of old Macintoshes; convert it, as in `tr '\\r' '\\n'`")
    skip = 1 + whole[: len(whole) - len(text)].count("\n")
    header = [name.strip() for name in next(csv.reader(io.StringIO(text), delimiter=separator), [])]
    return TableInput(shown, str(place), "csv", compression, separator, encoding, header, skip)


def _head(place: Path, compression: str) -> bytes:
    with place.open("rb") as raw:
        if compression == "gzip":
            return gzip.GzipFile(fileobj=raw).read(HEAD_BYTES)
        if compression == "zstd":
            return zstandard.ZstdDecompressor(max_window_size=1 << 31).stream_reader(raw).read(HEAD_BYTES)
        return raw.read(HEAD_BYTES)


def _is_utf8(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _parquet_columns(place: Path, shown: str) -> list[str]:
    import duckdb

    try:
        with duckdb.connect() as database:
            found = database.execute("SELECT * FROM read_parquet(?) LIMIT 0", [str(place)]).description
    except duckdb.Error as error:
        raise unreadable(Path(shown), error) from None
    return [str(column[0]) for column in found or ()]


def _json_columns(text: str, shown: str) -> list[str]:
    """Names of the fields of the first records, those of objects in them as `outer.inner`."""
    decoder = json.JSONDecoder()
    names: dict[str, None] = {}
    start = text.find("{")
    while start >= 0:
        try:
            record, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):  # broken, or cut by the end of what is looked at
            end, record = text.find("\n", start), {}
            end = len(text) if end < 0 else end
        for name, value in record.items():
            names[name] = None
            if isinstance(value, dict):
                names.update((f"{name}.{inner}", None) for inner in value)
        start = text.find("{", end)
    if not names:
        raise UsageError(
            f"{shown}: holds no JSON objects of at most {HEAD_BYTES:,} bytes, with a field for each column"
        )
    return list(names)


def source_of(file: TableInput) -> str:
    """The table function that reads a file, whose path is the last parameter."""
    if file.kind == "parquet":
        return "read_parquet(?)"
    if file.kind != "csv":
        form = "array" if file.kind == "array" else "newline_delimited"
        ignore = "false" if file.kind == "array" else "true"
        return (
            f"read_json_objects(?, format='{form}', ignore_errors={ignore}, compression='{file.compression}', "
            "maximum_object_size=67108864)"
        )
    fields = ", ".join(f"'c{n}': 'VARCHAR'" for n in range(len(file.header)))
    return (
        f"read_csv(?, delim=chr({ord(file.separator)}), quote='\"', escape='\"', header=false, skip={file.skip}, "
        f"auto_detect=false, columns={{{fields}}}, compression='{file.compression}', encoding='{file.encoding}', "
        "ignore_errors=true, store_rejects=true, rejects_limit=0)"
    )


def member_path(name: str) -> str:
    """The JSON path of a member."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'$."{escaped}"'


def unreadable(path: Path, error: Exception) -> UsageError:
    said = ascii(str(error).splitlines()[0])[1:-1][:300]
    if "No space left" in said:
        return UsageError(f"the disk is full ({said}); point TMPDIR at a folder with room for the table twice over")
    return UsageError(f"{path}: cannot be read ({said})")
