"""The journal keeps answers of the second-stage model, and refuses another program's records."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.errors import LogError
from detector.text.meaning import MEANING_DIM
from streaming.assess.outputs import Answer, RerankRequest
from streaming.kafka.journal import (
    FULL_RECORD_BYTES,
    VERSION,
    Journal,
    JournalEntry,
    RerankResults,
    decode,
    encode,
    entries,
)
from tests.streaming.assess.fakes import meanings


def request(tick_ms: int, texts: int, vectors: int = 0) -> RerankRequest:
    return RerankRequest(tick_ms, [""] * texts, [""] * texts, np.zeros(texts, np.int16), [""] * vectors)


@given(st.lists(st.integers(-32768, 32767), max_size=50), st.lists(st.text(max_size=3), max_size=5))
@settings(max_examples=25, deadline=None)
def test_a_replay_gets_what_was_read_the_first_time(llr: list[int], texts: list[str]) -> None:
    said = Answer(np.array(llr, np.int16), meanings(texts))
    journal = Journal()
    entry = JournalEntry("run", 60, [1], "s", False, [] if said.empty else [RerankResults.of(60, said)])
    journal.add(decode(encode(entry), "journal-0@0"), 0)
    answer = journal.answer(request(60, len(llr), len(texts)))
    assert [answer.llrs.dtype, answer.vectors.dtype] == [np.dtype(np.int16), np.dtype(np.int8)]
    assert answer.llrs.tolist() == llr
    assert answer.vectors.tolist() == said.vectors.tolist()


def test_many_answers_go_into_several_records_of_which_the_last_is_as_good_as_the_whole() -> None:
    n = FULL_RECORD_BYTES // 3 // MEANING_DIM
    answers = [
        RerankResults.of(tick, Answer.unread(2)._replace(vectors=np.full((n, MEANING_DIM), tick, np.int8)))
        for tick in range(9)
    ]
    whole = JournalEntry("run", 8, [1], "s", False, answers)
    parts = list(entries(whole))
    assert len(parts) > 2
    assert all(len(encode(part)) < 1.1 * FULL_RECORD_BYTES for part in parts)
    journal, once = Journal(), Journal()
    for offset, part in enumerate(parts):
        journal.add(decode(encode(part), "journal-0@0"), offset)
    once.add(whole, len(parts) - 1)
    assert journal.reranked == once.reranked
    assert (journal.tick_ms, journal.last_offset, journal.settings) == (8, len(parts) - 1, [(8, "s")])
    assert list(entries(JournalEntry("run", 8, [1], "s", False, []))) == [JournalEntry("run", 8, [1], "s", False, [])]


def test_an_answer_of_another_length_is_refused() -> None:
    journal = Journal()
    journal.add(JournalEntry("run", 60, [1], "s", False, [RerankResults(60, b"\1\0", b"")]), 0)
    with pytest.raises(LogError, match=r"1 answers of the second-stage model and 0 vectors for tick 60.* 2 and 0:"):
        journal.answer(request(60, 2))
    with pytest.raises(LogError, match="asks for 1 and 1:"):
        journal.answer(request(60, 1, 1))


def test_what_is_used_up_is_forgotten() -> None:
    journal = Journal()
    both = [RerankResults(60, b"\1\0", b""), RerankResults(120, b"\2\0", b"")]
    journal.add(JournalEntry("run", 120, [1], "s", False, both), 0)
    journal.forget(60)
    assert list(journal.reranked) == [120]


@pytest.mark.parametrize(
    "record",
    [b"", b"{}", b"\x81\xa1v\x02", *(encode(JournalEntry("r", 1, [], "s", False, [], v)) for v in (1, VERSION + 1))],
)
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
