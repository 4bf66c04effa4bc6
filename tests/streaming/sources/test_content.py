"""What a file is made of is seen by its content: compression, byte order marks, arrays."""

from __future__ import annotations

import codecs
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.errors import UsageError
from streaming.sources import events, files
from streaming.sources.base import FileRecord
from streaming.sources.content import content
from streaming.sources.files import RecordingFiles
from tests.streaming.builders import event, lines, record

ITEMS = [event("ann", at=at, text="Ünï \U0001f600") for at in range(3)]
BODY = lines(ITEMS)
RECORDS = [record(item) for item in ITEMS]


class Pipe(io.RawIOBase):
    """Bytes that come one at a time, and cannot be sought in."""

    def __init__(self, body: bytes) -> None:
        self._body = io.BytesIO(body)

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        piece = self._body.read(1)
        target[: len(piece)] = piece
        return len(piece)


def values(path: Path | str, stdin: bytes = b"") -> list[bytes]:
    with RecordingFiles([path], stdin=io.BufferedReader(Pipe(stdin))) as inputs:
        return [item.value for item in inputs]


def zstd(body: bytes, window_log: int = 10) -> bytes:
    parameters = zstandard.ZstdCompressionParameters(window_log=window_log, enable_ldm=False)
    unsized = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return unsized.compress(body) + unsized.flush()


FORMS = {
    "plain": BODY,
    "gzip": gzip.compress(BODY),
    "zstd": zstd(BODY),
    "a mark": codecs.BOM_UTF8 + BODY,
    "a compressed mark": gzip.compress(codecs.BOM_UTF8 + BODY),
    "UTF-16": BODY.decode().encode("utf-16"),
    "UTF-16, big end first": codecs.BOM_UTF16_BE + BODY.decode().encode("utf-16-be"),
    "an array": json.dumps(ITEMS, ensure_ascii=False).encode(),
    "an indented array with a mark": codecs.BOM_UTF8 + json.dumps(ITEMS, indent=2, ensure_ascii=False).encode(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pipe", [False, True])
def test_the_name_does_not_matter_and_nothing_is_lost(tmp_path: Path, form: str, pipe: bool) -> None:
    path = tmp_path / "any.jsonl"
    path.write_bytes(FORMS[form])
    got = values("-", FORMS[form]) if pipe else values(path)
    assert [json.loads(value) for value in got] == ITEMS
    assert got == RECORDS or "array" in form


@pytest.mark.parametrize("mark", [b"\xef", b"\xef\xbb", b"\xff", b"{", b""])
def test_a_beginning_that_is_no_mark_is_kept(mark: bytes) -> None:
    assert values("-", mark) == ([mark] if mark else [])


def test_frames_with_long_windows_are_read(tmp_path: Path) -> None:
    path = tmp_path / "long.zst"
    path.write_bytes(zstd(BODY, window_log=30))
    with pytest.raises(zstandard.ZstdError):
        zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())
    assert values(path) == RECORDS


def test_a_lone_surrogate_of_utf16_makes_its_record_dead_alone() -> None:
    text = BODY.decode().replace("Ü", "\ud800", 1)
    got = values("-", text.encode("utf-16", "surrogatepass"))
    assert got[1:] == RECORDS[1:]
    with pytest.raises(UnicodeDecodeError):
        got[0].decode()


@pytest.mark.parametrize("form", ["gzip", "zstd", "UTF-16", "an array"])
@pytest.mark.parametrize("keep", [True, False])
def test_what_was_readable_of_a_file_cut_short_is_kept_where_asked(tmp_path: Path, form: str, keep: bool) -> None:
    many = [event("ann", at=at, text="Ünï") for at in range(5000)]
    body = {
        "gzip": gzip.compress(lines(many)),
        "zstd": zstd(lines(many)),
        "UTF-16": lines(many).decode().encode("utf-16"),
        "an array": json.dumps(many).encode(),
    }[form]
    path, whole = tmp_path / "a", tmp_path / "b"
    path.write_bytes(body[: len(body) * 3 // 4 - 1])
    whole.write_bytes(lines(many))
    with RecordingFiles([path, whole], keep_readable=keep) as inputs:
        if not keep:
            with pytest.raises(UsageError, match=r"a beyond line \d\d+: the data ends too early"):
                list(inputs)
            return
        got = list(inputs)
        (failure,) = inputs.failures
    assert [json.loads(item.value) for item in got[-5000:]] == many
    readable = len(got) - 5000
    assert 1000 < readable < 5000
    assert [json.loads(item.value) for item in got[:readable]] == many[:readable]
    assert f"{path} beyond line {readable}: the data ends too early" in failure


@pytest.mark.parametrize(
    ("array", "elements"),
    [
        (b'[{"a": "]}\\"\\\\"}, {"b": [1, {"c": 2}]}]', [b'{"a": "]}\\"\\\\"}', b'{"b": [1, {"c": 2}]}']),
        (b'[{}, 7, "x, y", null,\n[1,2] , {}\n]\n\n', [b"{}", b"7", b'"x, y"', b"null", b"[1,2]", b"{}"]),
        (b"[{},,{}]", [b"{}", b"", b"{}"]),
        (b'[{}]\nmore\n{"d": 1}', [b"{}", b"more", b'{"d": 1}']),
        (b"[{bad}, {}]", [b"{bad}", b"{}"]),
    ],
)
def test_elements_of_an_array_are_records_whatever_they_are(array: bytes, elements: list[bytes]) -> None:
    assert [value for value, _ in events._elements([array])] == elements
    for size in range(1, len(array)):
        chunks = [array[i : i + size] for i in range(0, len(array), size)]
        assert [value for value, _ in events._elements(chunks)] == elements


@settings(max_examples=100)
@given(
    st.lists(st.dictionaries(st.text(max_size=4), st.text(max_size=9) | st.lists(st.integers()), max_size=3)),
    st.integers(1, 30), st.sampled_from([None, 1]), st.booleans(),
)  # fmt: skip
def test_an_array_is_cut_where_its_elements_end(items: list[Any], size: int, indent: int | None, plain: bool) -> None:
    body = json.dumps(items, indent=indent, ensure_ascii=plain).encode()
    chunks = [body[i : i + size] for i in range(0, len(body), size)]
    assert [json.loads(value) for value, _ in events._elements(chunks)] == items


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_element_too_long_is_kept_by_its_beginning_size_and_hash(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "RECORD_BYTES", 25)
    monkeypatch.setattr(events, "KEPT_BYTES", 10)
    array = b'[{"a": 1}, {"b": "' + b"x" * 90 + b'"}, {"c": 3}]'
    (first, one), (second, two), (third, three) = events._elements(
        array[i : i + size] for i in range(0, len(array), size)
    )
    assert (first, one, third, three) == (b'{"a": 1}', None, b'{"c": 3}', None)
    assert two is not None
    assert second.strip() in b'{"b": "xxx'
    assert two.size in (99, 100), "white space before it may count"


def test_an_array_of_post_events_is_recognised_and_read_by_number(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(json.dumps(ITEMS, indent=1).encode())
    assert events.recognises(path.read_bytes()[:200])
    with RecordingFiles([path], format_name="auto") as inputs:
        assert [item.source for item in inputs] == [f"{path}:{number}" for number in (1, 2, 3)]


def test_a_format_may_close_the_file_it_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closing:
        def recognises(self, head: bytes) -> bool:
            return True

        def read(self, file: io.BufferedIOBase) -> Iterator[FileRecord]:
            yield from [FileRecord(number, line) for number, line in enumerate(file, 1)]
            file.close()

    monkeypatch.setattr(files, "format_named", lambda name: Closing())
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        path.write_bytes(b"1\n2\n")
    with RecordingFiles(paths) as inputs:
        assert len(list(inputs)) == 4
        assert inputs.position == inputs.size == 8


def test_a_plain_file_can_be_sought_in(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(BODY)
    with path.open("rb") as file:
        assert content("a", file) is file
