"""The journal keeps answers of the second-stage model, and refuses another program's records."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.errors import LogError
from streaming.assess.outputs import RerankRequest
from streaming.kafka.journal import Journal, JournalEntry, RerankResults, decode, encode, results


def request(tick_ms: int, texts: int) -> RerankRequest:
    return RerankRequest(tick_ms, [""] * texts, [""] * texts, np.zeros(texts, np.int16))


@given(st.lists(st.integers(-32768, 32767), max_size=50))
@settings(max_examples=25)
def test_a_replay_gets_what_the_second_stage_said_the_first_time(llr: list[int]) -> None:
    said = np.array(llr, np.int16)
    journal = Journal()
    entry = JournalEntry("run", 60, [1], "s", False, [RerankResults(60, results(said))] if llr else [])
    journal.add(decode(encode(entry), "journal-0@0"), 0)
    answer = journal.answer(request(60, len(llr)))
    assert answer.dtype == np.int16
    assert answer.tolist() == llr


def test_an_answer_of_another_length_is_refused() -> None:
    journal = Journal()
    journal.add(JournalEntry("run", 60, [1], "s", False, [RerankResults(60, b"\1\0")]), 0)
    with pytest.raises(LogError, match="1 answers of the second-stage model for tick 60, the replay asks for 2"):
        journal.answer(request(60, 2))


def test_what_is_used_up_is_forgotten() -> None:
    journal = Journal()
    both = [RerankResults(60, b"\1\0"), RerankResults(120, b"\2\0")]
    journal.add(JournalEntry("run", 120, [1], "s", False, both), 0)
    journal.forget(60)
    assert list(journal.reranked) == [120]


@pytest.mark.parametrize("record", [b"", b"{}", b"\x81\xa1v\x02", encode(JournalEntry("r", 1, [], "s", False, [], 2))])
def test_a_strange_record_is_refused_with_its_place(record: bytes) -> None:
    with pytest.raises(LogError, match="journal-0@7"):
        decode(record, "journal-0@7")


def test_settings_are_remembered_where_they_change() -> None:
    journal = Journal()
    for offset, (tick, digest) in enumerate([(60, "a"), (120, "a"), (180, "b")]):
        journal.add(JournalEntry("run", tick, [1], digest, False, []), offset)
    assert journal.settings == [(120, "a"), (180, "b")]
    assert journal.other_settings(None, "b")
    assert not journal.other_settings(120, "b")
