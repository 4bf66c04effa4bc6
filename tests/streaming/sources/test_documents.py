"""JSON as lines, arrays and documents: the same records whichever way, and bounded memory for the longest."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.errors import EventError
from streaming.sources import documents, events
from streaming.sources.base import FileRecord
from streaming.sources.documents import Json, JsonFormat, Skipped


def _convert(record: Json, around: Mapping[str, Any]) -> Json | Skipped:
    if "skip" in record:
        return Skipped("asked for")
    if "n" not in record:
        raise EventError("n", "is missing")
    return {"n": record["n"], "of": around.get("of")}


FORM = JsonFormat(lambda record: "n" in record, lambda: _convert, lists=(("list",), ("all", "", "list")))

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def found(data: bytes) -> list[FileRecord]:
    return list(FORM.read(io.BufferedReader(io.BytesIO(data))))


def numbers(data: bytes) -> list[Any]:
    return [json.loads(record.value)["n"] for record in found(data)]


@settings(max_examples=50)
@given(
    st.lists(st.fixed_dictionaries({"n": VALUES.filter(lambda n: n not in (None, ""))}), min_size=1, max_size=4),
    st.sampled_from([None, 0, 1]),
)
def test_lines_arrays_and_documents_hold_the_same(items: list[Json], indent: int | None) -> None:
    expected = [item["n"] for item in items]
    files = [
        b"".join(json.dumps(item).encode() + b"\n" for item in items),
        json.dumps(items, indent=indent).encode(),
        json.dumps({"of": 5, "list": items, "more": [1]}, indent=indent).encode(),
        json.dumps({"x": {"list": 3}, "all": [{"list": items[:1]}, {"list": items[1:]}]}, indent=indent).encode(),
    ]
    assert [numbers(data) for data in files] == [expected] * 4
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents, "DOCUMENT_BYTES", 2)
        assert [numbers(data) for data in files[2:]] == [expected] * 2


@settings(max_examples=50)
@given(st.lists(st.fixed_dictionaries({"n": VALUES}), max_size=4), st.integers(1, 9))
def test_elements_come_whole_however_the_bytes_are_cut(items: list[Json], size: int) -> None:
    data = json.dumps({"of": "a", "list": items, "all": []}, indent=1).encode()
    chunks = [data[i : i + size] for i in range(0, len(data), size)]
    assert [json.loads(value) for _, value in documents._elements(chunks, FORM.lists)] == items


def test_documents_that_follow_each_other_and_a_document_that_is_a_record() -> None:
    one, two = json.dumps({"n": 1}, indent=2), json.dumps({"list": [{"n": 2}, {"n": 3}]}, indent=2)
    assert numbers(f"{one}\n{two}\n".encode()) == [1, 2, 3]
    assert [record.position for record in found(f"{one}\n{two}\n".encode())] == [1, 2, 3]


def test_what_stands_before_a_list_is_known_of_a_document_too_long_to_be_held(monkeypatch: pytest.MonkeyPatch) -> None:
    data = json.dumps({"of": 7, "list": [{"n": 1}]}, indent=1).encode()
    whole = found(data)
    monkeypatch.setattr(documents, "DOCUMENT_BYTES", 2)
    assert found(data) == whole == [FileRecord(1, b'{"n":1,"of":7}')]


def test_a_damaged_first_line_does_not_make_a_file_a_document() -> None:
    (first, second) = found(b'{"n": 1, "x\n{"n": 2}\n')
    assert (first.problem and first.problem.reason, json.loads(second.value)) == ("is not JSON", {"n": 2})


def test_lines_that_are_indented_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "DOCUMENT_BYTES", 2)
    assert numbers(b' {"n": 1}\n  {"n": 2}\n') == [1, 2]


def test_every_element_is_something() -> None:
    seen = found(json.dumps({"list": [{"n": 1}, {"skip": 1}, {}, 5, None, [1]]}).encode())
    assert [bool(record.problem) for record in seen] == [False, False, True, True, True, True]
    assert [record.skipped for record in seen] == ["", "asked for", "", "", "", ""]


def test_a_document_cut_short_gives_its_whole_elements() -> None:
    data = json.dumps({"list": [{"n": 1}, {"n": 2}, {"n": 3}]}, indent=1).encode()
    seen = []
    with pytest.raises(EOFError):
        seen += [json.loads(r.value)["n"] for r in FORM.read(io.BufferedReader(io.BytesIO(data[:-12])))]
    assert seen == []
    reading = FORM.read(io.BufferedReader(io.BytesIO(data[:-12])))
    assert [json.loads(next(reading).value)["n"] for _ in range(2)] == [1, 2]


def test_a_long_document_of_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "DOCUMENT_BYTES", 2)
    with pytest.raises(ValueError, match="without any records"):
        found(b'{\n"other": [{"n": 1}]}\n')


def test_an_element_too_long_is_dead_with_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "RECORD_BYTES", 40)
    monkeypatch.setattr(documents, "DOCUMENT_BYTES", 2)
    data = json.dumps({"list": [{"n": "x" * 60}, {"n": 2}]}, indent=1).encode()
    first, second = found(data)
    assert first.oversize is not None
    assert first.oversize.size == len(json.dumps({"n": "x" * 60}, separators=(",", ":")))
    assert json.loads(second.value) == {"n": 2}


def test_one_record_of_a_topic_is_converted_and_a_post_event_stays() -> None:
    assert FORM.convert(b'{"n": 4}') == FileRecord(0, b'{"n":4}')
    event = b'{"id": "1", "account": "a", "at": 5, "kind": "post"}'
    assert FORM.convert(event) == FileRecord(0, event)
    problem = FORM.convert(b"").problem
    assert problem is not None
    assert problem.reason == "is empty"
