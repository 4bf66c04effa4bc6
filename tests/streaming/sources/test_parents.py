"""Whose post was answered: found among the posts before, and where times are rough among those after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from streaming.sources.base import FieldProblem, SourceRecord
from streaming.sources.files import RecordingFiles
from streaming.sources.parents import Parents, with_parents
from tests.streaming.builders import event


def records(*items: dict[str, Any]) -> list[SourceRecord]:
    return [SourceRecord(n, -1, json.dumps(item).encode()) for n, item in enumerate(items)]


def answered(found: list[SourceRecord]) -> list[str | None]:
    return [json.loads(record.value).get("target_account") for record in found]


POST, ANSWER = event("ann", id="p"), event("bob", id="r", kind="reply", target="p")


def test_the_author_of_an_earlier_post_is_found_and_what_is_said_stays() -> None:
    said = ANSWER | {"id": "s", "target_account": "zoe"}
    given = records(POST, ANSWER, said, event("bob", id="d", kind="delete", target="p"))
    assert answered(list(with_parents(given))) == [None, "ann", "zoe", None]


def test_a_later_post_is_found_where_it_was_noted_when_it_was_read() -> None:
    parents = Parents()
    for record in records(POST, event("eve", id="p"), event("eve", id="gone", kind="delete", target="p")):
        parents.note(record)
    given = records(ANSWER, POST)
    assert answered(list(with_parents(given))) == [None, None]
    assert answered(list(with_parents(given, known=parents.known))) == ["ann", None]
    assert "gone" not in parents.known


def test_memory_has_a_bound_and_what_cannot_be_read_is_none() -> None:
    parents = Parents(kept=2)
    bad = SourceRecord(0, -1, b"{", problem=FieldProblem("", "is not JSON"))
    for record in [bad, *records(*(event("ann", id=str(n)) for n in range(5)))]:
        parents.note(record)
    assert sorted(parents.known) == ["0", "1"]
    many = records(*(event("ann", id=f"n{n}") for n in range(6)), event("bob", id="r", kind="reply", target="n0"))
    assert answered(list(with_parents(many, kept=4)))[-1] is None


def test_comments_whose_times_are_reckoned_may_come_before_what_they_answer(tmp_path: Path) -> None:
    def comment(number: str, who: str, when: float) -> dict[str, Any]:
        return {"cid": number, "text": "so good", "channel": who, "time": "2 months ago", "time_parsed": when}

    path = tmp_path / "comments.jsonl"
    both = (comment("A.1", "bob", 1.6e9), comment("A", "ann", 1.7e9))
    path.write_text("".join(json.dumps(each) + "\n" for each in both))
    with RecordingFiles([path], format_name="youtube") as inputs:
        assert answered(list(inputs.by_time())) == ["ann", None]
