"""Recordings as files: every line a record, none lost, and clear words where a file cannot be read."""

from __future__ import annotations

import gzip
import hashlib
import io
import tempfile
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.errors import UsageError
from streaming.sources import events, files
from streaming.sources.base import FileRecord, Oversize, SourceRecord
from streaming.sources.files import RecordingFiles
from streaming.sources.sorting import CHUNK_BYTES, Sorter
from tests.streaming.builders import T0, event, lines, record, write_lines

DAY = 24 * 3_600_000


def read(*paths: Path | str, stdin: bytes = b"") -> list[SourceRecord]:
    with RecordingFiles(paths, stdin=io.BufferedReader(io.BytesIO(stdin))) as inputs:
        return list(inputs.by_time())


def values(*paths: Path | str, stdin: bytes = b"") -> list[bytes]:
    return [item.value for item in read(*paths, stdin=stdin)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "noted.txt"])
def test_every_format_gives_the_same_records(tmp_path: Path, name: str) -> None:
    events = [event("ann", at=i * 1000, text="word " * i) for i in range(300)]
    got = read(write_lines(tmp_path / name, events))
    assert [item.value for item in got] == [record(item) for item in events]
    assert [item.offset for item in got] == list(range(300))
    assert got[41].source == f"{tmp_path / name}:42"
    assert {item.stamp for item in got} == {-1}


@pytest.mark.parametrize(
    ("data", "records"),
    [
        (b"", []),
        (b"\n", [b""]),
        (b"a\nb", [b"a", b"b"]),
        (b"a\nb\n", [b"a", b"b"]),
        (b"a\r\nb\r\n", [b"a", b"b"]),
        (b"a\n\n \n\nb\n", [b"a", b"", b" ", b"", b"b"]),
        (b"a\rb\n", [b"a\rb"]),
        (b"a\x00\x0b\x0c\x85\xe2\x80\xa8b\n", [b"a\x00\x0b\x0c\x85\xe2\x80\xa8b"]),
    ],
)
def test_a_line_is_a_record_even_an_empty_one(data: bytes, records: list[bytes]) -> None:
    assert values("-", stdin=data) == records


def test_standard_input_is_named_by_its_line() -> None:
    assert [item.source for item in read("-", stdin=b"a\nb\n")] == ["-:1", "-:2"]


@settings(max_examples=100)
@given(st.lists(st.binary(max_size=20), max_size=20))
def test_cutting_into_chunks_loses_and_adds_nothing(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    expected = [line.removesuffix(b"\r") for line in whole.split(b"\n")]
    if not whole or whole.endswith(b"\n"):
        expected.pop()
    assert [line for line, _ in events.lines(chunks)] == expected


@settings(max_examples=100)
@given(st.lists(st.binary(max_size=30) | st.just(b"\n"), max_size=30))
def test_a_line_too_long_is_kept_by_its_beginning_size_and_hash(chunks: list[bytes]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "RECORD_BYTES", 25)
        patch.setattr(events, "KEPT_BYTES", 10)
        got = list(events.lines(chunks))
    whole = b"".join(chunks).split(b"\n")
    if not whole[-1]:
        whole.pop()
    assert len(got) == len(whole)
    for line, (kept, oversize) in zip(whole, got, strict=True):
        if len(line) <= 25:
            assert (kept, oversize) == (line.removesuffix(b"\r"), None)
        else:
            assert kept == line[:10]
            assert oversize is not None
            assert (oversize.size, oversize.sha256) == (len(line), hashlib.sha256(line).hexdigest())


def test_two_lines_too_long_in_one_chunk_have_their_own_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "RECORD_BYTES", 25)
    first, second = b"a" * 30, b"b" * 40
    got = [oversize for _, oversize in events.lines([first + b"\n" + second + b"\nshort\n" + first])]
    assert [each and (each.size, each.sha256) for each in got] == [
        (30, hashlib.sha256(first).hexdigest()),
        (40, hashlib.sha256(second).hexdigest()),
        None,
        (30, hashlib.sha256(first).hexdigest()),
    ]


def test_several_inputs_are_merged_by_time_with_their_own_positions(tmp_path: Path) -> None:
    first = write_lines(tmp_path / "a.jsonl", [event("a", at=at) for at in (0, 20, 20, 50)])
    second = write_lines(tmp_path / "b.jsonl.gz", [event("b", at=at) for at in (10, 20, 60)])
    third = write_lines(tmp_path / "c.jsonl.zst", [event("c", at="2026-01-01T00:00:00.055Z")])
    got = read(first, second, third)
    assert [Path(item.source).name for item in got] == [
        "a.jsonl:1", "b.jsonl.gz:1", "a.jsonl:2", "a.jsonl:3", "b.jsonl.gz:2", "a.jsonl:4", "c.jsonl.zst:1",
        "b.jsonl.gz:3",
    ]  # fmt: skip
    assert [item.offset for item in got] == list(range(8))


def test_records_without_a_time_stay_beside_their_neighbours(tmp_path: Path) -> None:
    bad = [b"not json", b"", b"[]", b'{"at":true}', b'{"at":1e400}', b'{"at":"today"}', b"\xff", b"[" * 100_000]
    first = write_lines(tmp_path / "a.jsonl", [event("a", at=0), *bad, event("a", at=50)])
    second = write_lines(tmp_path / "b.jsonl", [event("b", at=at) for at in (10, 60)])
    assert values(first, second)[:9] == [record(event("a", at=0)), *bad]


@pytest.mark.parametrize("wrong", [40 * DAY, "9999-01-01T00:00:00Z"])
@pytest.mark.parametrize("place", [0, 1, 7])
def test_one_wrong_clock_does_not_hold_its_file_back(tmp_path: Path, wrong: int | str, place: int) -> None:
    good = [event("a", at=at * 1000) for at in range(10)]
    first = write_lines(tmp_path / "a.jsonl", [*good[:place], event("x", at=wrong), *good[place:]])
    second = write_lines(tmp_path / "b.jsonl", [event("b", at=at * 1000 + 500) for at in range(10)])
    got = [item for item in values(first, second) if b'"x"' not in item]
    assert got == [record(event("ab"[i % 2], at=i * 500)) for i in range(20)]


def test_a_real_gap_is_no_wrong_clock(tmp_path: Path) -> None:
    first = write_lines(tmp_path / "a.jsonl", [event("a", at=at) for at in [0, *range(9 * DAY, 9 * DAY + 300)]])
    second = write_lines(tmp_path / "b.jsonl", [event("b", at=at) for at in range(1, 200)])
    assert [b'"a"' in item for item in values(first, second)] == [True] + [False] * 199 + [True] * 300


class Untimed(Sorter):
    """A sorter that remembers how many runs it merged."""

    merged = 0

    def _merged(self) -> Any:
        self.merged = len(self._runs)
        return super()._merged()


def sort(items: list[bytes], chunk_bytes: int = CHUNK_BYTES, fan_in: int = 64) -> tuple[list[SourceRecord], int]:
    """The records by time, and how many runs on disk were merged."""
    with Untimed(chunk_bytes=chunk_bytes, fan_in=fan_in) as sorter:
        records = (SourceRecord(0, -1, item, "f:", place) for place, item in enumerate(items, 1))
        assert len(list(sorter.add(records))) == sorter.count == len(items)
        return list(sorter.records()), sorter.merged


@settings(max_examples=100)
@given(st.lists(st.integers(0, 9)), st.sampled_from([1, 700, 1500, CHUNK_BYTES]), st.integers(2, 4))
def test_records_come_by_time_and_of_equal_times_in_their_order(times: list[int], chunk: int, fan_in: int) -> None:
    items = [record(event(str(place), at=at)) for place, at in enumerate(times)]
    expected = [items[place] for place in sorted(range(len(times)), key=lambda place: (times[place], place))]
    got, _ = sort(items, chunk, fan_in)
    assert [item.value for item in got] == expected
    assert [item.offset for item in got] == list(range(len(items)))
    assert [items[item.position - 1] for item in got] == expected


def test_what_is_in_order_is_one_run_and_what_is_small_is_none() -> None:
    items = [record(event(str(at), at=at)) for at in range(50)]
    assert sort(items)[1] == 0
    assert sort(items, 2000)[1] == 1
    assert sort(items[::-1], 2000)[1] > 5


def test_a_long_record_keeps_its_beginning_size_and_hash_on_disk(tmp_path: Path) -> None:
    whole = record(event("a", at=5, text="x" * 100))
    long = SourceRecord(0, -1, whole[:20], "f:", 1, Oversize(len(whole), "ab" * 32))
    with Sorter(chunk_bytes=1) as sorter:
        assert len(list(sorter.add([long, SourceRecord(0, -1, record(event("b", at=1)), "f:", 2)]))) == 2
        got = list(sorter.records())
    assert [item.oversize for item in got] == [long.oversize, None], "a record without a time stays where it stood"


def test_no_room_for_sorting_names_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> Any:
        return Path("/dev/full").open("r+b", buffering=0)

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(UsageError, match=r"temporary files in .*: .*TMPDIR"):
        sort([record(event(str(at), at=-at)) for at in range(50)], 100)


@settings(max_examples=50)
@given(st.lists(st.lists(st.integers(0, 3 * DAY), max_size=8).map(sorted), min_size=2, max_size=4))
def test_merging_sorted_inputs_sorts_and_keeps_everything(times: list[list[int]]) -> None:
    items = [record(event(str(name), at=at)) for name, ats in enumerate(times) for at in ats]
    expected = sorted((at, str(name)) for name, ats in enumerate(times) for at in ats)
    assert [item.value for item in sort(items)[0]] == [record(event(name, at=at)) for at, name in expected]


def test_more_inputs_than_a_process_may_open_are_read(tmp_path: Path) -> None:
    paths = [write_lines(tmp_path / f"{place}", [event(at=2000 - place)]) for place in range(1500)]
    assert [item.value for item in read(*paths)] == [record(event(at=at)) for at in range(501, 2001)]


def refusal(*paths: Path | str) -> str:
    with pytest.raises(UsageError) as caught:
        read(*paths)
    return str(caught.value)


def test_no_input_and_standard_input_twice_are_refused() -> None:
    assert refusal() == "no input: name at least one file, or - for standard input"
    assert refusal("-", "-") == "- is given twice as input; standard input can be read only once"


def test_missing_files_and_folders_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    good = write_lines(tmp_path / "a.jsonl", [event()])
    with pytest.raises(UsageError, match=r"cannot read input .*none\.jsonl: No such file"):
        RecordingFiles([good, tmp_path / "none.jsonl"])
    with pytest.raises(UsageError, match="Is a directory"):
        RecordingFiles([tmp_path])


@pytest.mark.parametrize("suffix", ["gz", "zst"])
@pytest.mark.parametrize("kept", [0, 0.02, 0.5, 0.999])
def test_truncated_input_is_refused_with_its_place(tmp_path: Path, suffix: str, kept: float) -> None:
    path = write_lines(tmp_path / f"a.jsonl.{suffix}", [{"noise": hashlib.sha256(bytes([i, j])).hexdigest()}
                       for i in range(20) for j in range(100)])  # fmt: skip
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    assert f"cannot read input {path} beyond line " in refusal(path)
    assert "ends too early" in refusal(path)


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_what_is_not_compressed_as_its_name_says_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.jsonl.{suffix}"
    path.write_bytes(lines([event()]))
    assert "damaged, or the file is not compressed as its name says" in refusal(path)
    write_lines(path, [event(text=f"{i}") for i in range(999)])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    assert f"cannot read input {path}" in refusal(path)


def test_compressed_files_joined_together_are_one(tmp_path: Path) -> None:
    parts = [lines([event("a")]), lines([event("b")])]
    zipped, zstd = tmp_path / "a.gz", tmp_path / "a.zst"
    zipped.write_bytes(b"".join(map(gzip.compress, parts)))
    zstd.write_bytes(b"".join(zstandard.ZstdCompressor().compress(part) for part in parts))
    assert values(zipped) == values(zstd) == [record(event("a")), record(event("b"))]


def test_an_empty_recording_is_no_error_if_its_compression_is_whole(tmp_path: Path) -> None:
    assert values(write_lines(tmp_path / "a.gz", [])) == []
    assert values(write_lines(tmp_path / "a.zst", [])) == []
    assert values(write_lines(tmp_path / "a.jsonl", [])) == []


def test_progress_knows_how_far_it_is(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [event()] * 10)
    with RecordingFiles([path]) as inputs:
        assert inputs.size == path.stat().st_size
        assert inputs.position == 0
        assert len(list(inputs.by_time())) == 10
        assert inputs.position == inputs.size
    with RecordingFiles(["-"], stdin=io.BufferedReader(io.BytesIO())) as inputs:
        assert inputs.size is None


def test_a_file_name_of_odd_bytes_can_still_be_shown(tmp_path: Path) -> None:
    path = tmp_path / "a\udcff.jsonl"
    path.write_bytes(b"x\n")
    read(path)[0].source.encode()


class Numbers:
    """A format of decimal numbers, a line each, as likes."""

    def recognises(self, head: bytes) -> bool:
        return head[:1].isdigit()

    def read(self, file: BufferedIOBase) -> Iterator[FileRecord]:
        for place, line in enumerate(file, 1):
            yield FileRecord(place, record(event(id=str(int(line)), at=int(line), kind="like")))


def with_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the format `numbers` beside the shipped one."""
    formats: dict[str, object] = {"events": events, "numbers": Numbers(), "nothing": object()}
    monkeypatch.setattr(files, "load", lambda group, name: formats[name])
    monkeypatch.setattr(files, "installed", lambda group: dict.fromkeys(["events", "numbers"]))


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_a_format_reads_what_is_decompressed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ending: str) -> None:
    with_numbers(monkeypatch)
    content = b"".join(b"%d\n" % number for number in range(50_000))
    packed = {"": content, ".gz": gzip.compress(content), ".zst": zstandard.ZstdCompressor().compress(content)}
    path = tmp_path / f"n{ending}"
    path.write_bytes(packed[ending])
    with RecordingFiles([path], format_name="numbers") as inputs:
        got = list(inputs)
    assert [item.value for item in got[::9999]] == [
        record(event(id=str(number), at=number, kind="like")) for number in range(0, 50_000, 9999)
    ]
    assert got[-1].source == f"{path}:50000"


def test_formats_are_recognised_file_by_file_and_merged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_numbers(monkeypatch)
    numbers, posts = tmp_path / "n", write_lines(tmp_path / "p", [b"", event(at=3), event(at=9)])
    numbers.write_bytes(b"5\n7\n")
    with RecordingFiles([numbers, posts], format_name="auto") as inputs:
        assert [Path(item.source).name for item in inputs.by_time()] == ["p:1", "p:2", "n:1", "n:2", "p:3"]
    (tmp_path / "x").write_bytes(b"neither")
    with (
        RecordingFiles([tmp_path / "x"], format_name="auto") as inputs,
        pytest.raises(UsageError, match="x is of none of the"),
    ):
        list(inputs)


def test_a_file_that_is_of_no_format_is_named_with_what_it_seems_to_be(tmp_path: Path) -> None:
    posts = write_lines(tmp_path / "p", [event()])
    for content, said in ((b"BZh91AY&SY", "compressed by bzip2"), (b"who;when\nann;1\n", "CSV with semicolons")):
        (tmp_path / "x").write_bytes(content)
        with RecordingFiles([posts, tmp_path / "x"], format_name="auto") as inputs, pytest.raises(UsageError) as caught:
            list(inputs)
        assert f"{tmp_path / 'x'} is of none of the formats" in str(caught.value)
        assert said in str(caught.value)


@pytest.mark.parametrize("name", ["auto", "table", "x", "telegram", "events"])
def test_an_empty_file_has_no_records_whatever_its_format(tmp_path: Path, name: str) -> None:
    for ending, content in (("", b""), ("b", b"\xef\xbb\xbf"), (".gz", gzip.compress(b"")), ("p", b"[]\n")):
        (tmp_path / f"e{ending}").write_bytes(content)
        with RecordingFiles([tmp_path / f"e{ending}"], format_name=name) as inputs:
            assert list(inputs) == []


@pytest.mark.parametrize("chunk", [1, CHUNK_BYTES])
def test_times_before_2000_among_later_ones_are_a_problem_of_their_records(chunk: int) -> None:
    early_ones = record(event("b") | {"at": T0 // 1000}), record(event("c", at="1999-12-31T23:59:59Z"))
    values = [record(event("a")), b"no json", early_ones[0], b"no json", early_ones[1]]
    got, _ = sort(values, chunk)
    assert [item.value for item in got if item.problem is not None] == [values[2], values[4]]
    assert all("lies before 2000" in item.problem.reason for item in got if item.problem is not None)
    early, _ = sort([values[2], values[4]], chunk)
    assert [item.problem for item in early] == [None, None], "whoever reads nothing else is told of the unit"


def test_a_file_that_is_not_of_its_format_is_refused_where_it_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_numbers(monkeypatch)
    (tmp_path / "n").write_bytes(b"5\nsix\x1b\n")
    with RecordingFiles([tmp_path / "n"], format_name="numbers") as inputs, pytest.raises(UsageError) as caught:
        list(inputs)
    assert "beyond line 1: it is not of the format numbers" in str(caught.value)
    assert "\x1b" not in str(caught.value)
    with pytest.raises(UsageError, match="no `recognises` and `read`"):
        RecordingFiles([tmp_path / "n"], format_name="nothing")


def test_the_shipped_format_recognises_post_events() -> None:
    assert files.recognising(b"not json\n" + lines([event()])) == "events"
    assert not any(events.recognises(head) for head in (b"", b"id,account,at\n", b"[1]\n", b'{"id": "a"}\n', b"\xff\n"))
