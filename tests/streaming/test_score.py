"""The core of `score`: every record is seen once, alone, and batches cover every offset."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Collection, Sequence
from string import ascii_lowercase
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.errors import EventError, LogError
from detector.text.features import TEXT_FEATURES, TextAbstain, TextFeatures, unpack
from detector.times import format_time
from streaming.schema.dead_letter import DeadLetter, dead_letter, encode
from streaming.schema.observation import BATCH_BYTES, NO_TIME, TEXT_CUT, Batch, Kind, Observation, decode
from streaming.schema.observation import encode as encode_entry
from streaming.score import Scorer, cut
from streaming.sources.base import Oversize, SourceRecord
from streaming.watermark import Watermark
from tests.streaming.builders import T0, batch, dead, event, observation, record

MODELS = {"text": "fake@1"}


class FakeText:
    """A text model whose features of a text depend on that text and its language alone."""

    name, version = "fake", "1"
    languages = frozenset({"en", "fr"})

    def __init__(self) -> None:
        self.calls: list[int] = []

    def read(self, texts: Sequence[str], langs: Sequence[str]) -> TextFeatures:
        self.calls.append(len(texts))
        rows = np.zeros(len(texts), TEXT_FEATURES)
        for row, text, lang in zip(rows, texts, langs, strict=True):
            row["llr"] = zlib.crc32(f"{lang}:{text}".encode()) % 1000
            row["words"] = len(text.split())
        return rows


def fake_language(text: str, declared: str, readable: Collection[str]) -> str:
    return "fr" if "é" in text else declared or "en"


def scorer(text: FakeText | None = None) -> Scorer:
    return Scorer(text or FakeText(), language=fake_language)


def sources(*items: dict[str, Any] | bytes, start: int = 0, stamp: int = -1) -> list[SourceRecord]:
    return [SourceRecord(start + i, stamp, record(item), "posts-0@") for i, item in enumerate(items)]


def test_an_observation_says_what_the_event_says() -> None:
    line = event(
        "ann", at=5, kind="reply", text="Vu #Été @bob https://a.b/c", target="t", target_account="bob",
        profile={"automated": False},
    )  # fmt: skip
    (seen,), letters = scorer().score(sources(line, start=7, stamp=T0 + 9), T0)
    assert letters == []
    assert seen == Observation(
        offset=7,
        dead=False,
        stamp=T0 + 9,
        at=T0 + 5,
        account="ann",
        id="ann-5",
        digest=hashlib.sha256(record(line)).digest()[:16],
        kind=Kind.REPLY,
        lang="fr",
        text="Vu #Été @bob https://a.b/c",
        text_features=FakeText().read(["Vu #Été @bob https://a.b/c"], ["fr"]).tobytes(),
        target="t",
        target_account="bob",
        mentions=("bob",),
        urls=("https://a.b/c",),
        hashtags=("été",),
        automated=0,
    )


def test_the_language_is_settled_from_the_text_the_declared_tag_and_what_can_be_read() -> None:
    asked: list[tuple[str, str, list[str]]] = []

    def language(text: str, declared: str, readable: Collection[str]) -> str:
        asked.append((text, declared, sorted(readable)))
        return "fr"

    seen, _ = Scorer(FakeText(), language=language).score(sources(event(text="né", lang="de-CH"), event(text="ny")), T0)
    assert [one.lang for one in seen] == ["fr", "fr"]
    assert asked == [("né", "de", ["en", "fr"]), ("ny", "", ["en", "fr"])]


TAGS = [a + b for a in ascii_lowercase for b in ascii_lowercase] + ["cym", "zxx", "x-klingon", "?", ""]
"""Every two-letter tag there can be, and others."""


@pytest.mark.parametrize(
    "text",
    [
        "I will never understand why they closed the bridge again",  # sure
        "Gnea: what is a dvd being pirated",  # a few words
        "sup shifty smell purty",  # four words, in no language
        "brb gotta run thx",
    ],
)
def test_no_tag_of_the_world_silences_or_changes_evidence_of_english_text(text: str) -> None:
    reader = Scorer(FakeText())
    seen, _ = reader.score(sources(*(event(text=text, lang=tag) for tag in TAGS)), T0)
    assert {(one.lang, one.text_features) for one in seen} == {(seen[-1].lang, seen[-1].text_features)}
    assert seen[-1].lang in {"en", ""}


def test_an_event_without_text_has_no_features() -> None:
    (seen,), _ = scorer().score(sources(event(kind="like", target="x")), T0)
    assert (seen.text, seen.lang, seen.text_features) == ("", "", b"")


@pytest.mark.parametrize("kind", ["repost", "like", "follow", "delete", "delete_account"])
def test_the_text_of_others_counts_as_text_but_is_no_evidence(kind: str) -> None:
    text = FakeText()
    (seen,), _ = scorer(text).score(sources(event(kind=kind, text="their words")), T0)
    assert seen.text == "their words"
    assert unpack([seen.text_features])["abstain"].tolist() == [TextAbstain.NO_TEXT]
    assert text.calls == []


def test_without_text_evidence_all_features_are_switched_off() -> None:
    seen, _ = Scorer(None, language=fake_language).score(
        sources(event(text="a"), event(), event(kind="repost", text="b")), T0
    )
    assert [one.text_features and unpack([one.text_features])["abstain"].tolist() for one in seen] == [[4], b"", [4]]
    assert Scorer(None).models == {}


def test_the_log_keeps_the_first_500_characters_and_the_model_reads_the_same() -> None:
    long = "\U0001f600" * 400 + "x" * 400
    (seen,), _ = scorer().score(sources(event(text=long)), T0)
    assert seen.text == long[:TEXT_CUT]
    assert seen.text_features == FakeText().read([long[:TEXT_CUT]], ["en"]).tobytes()
    (seen,), _ = scorer().score(sources(event(text=" " * 600 + "late word")), T0)
    assert seen.text == "late word"


def test_links_beyond_the_cut_are_found() -> None:
    (seen,), _ = scorer().score(sources(event(text="x " * 300 + "https://a.b/c")), T0)
    assert seen.urls == ("https://a.b/c",)


def test_a_dead_record_leaves_a_letter_and_an_empty_observation() -> None:
    bad = record(event())[:-1]
    seen, letters = scorer().score(sources(event(), bad, event(), start=120, stamp=T0), T0 + 1234)
    assert [one.dead for one in seen] == [False, True, False]
    assert seen[1] == dead(121, stamp=T0)
    assert json.loads(encode(letters[0])) == {
        "at": "2026-01-01T00:00:01.234Z",
        "source": "posts-0@121",
        "field": "",
        "reason": "is not JSON",
        "bytes": base64.b64encode(bad).decode(),
        "size": len(bad),
        "sha256": hashlib.sha256(bad).hexdigest(),
    }


def test_a_letter_keeps_4_kib_and_the_size_and_hash_of_all() -> None:
    bad = b"\xff" * 5000
    _, (letter,) = scorer().score(sources(bad), T0)
    assert letter == DeadLetter(
        format_time(T0),
        "posts-0@0",
        "",
        "is not UTF-8 (byte 0)",
        base64.b64encode(bad[:4096]).decode(),
        5000,
        hashlib.sha256(bad).hexdigest(),
    )


def test_a_letter_of_a_line_is_named_by_file_and_line() -> None:
    line = SourceRecord(5, -1, b"", "posts.jsonl:", 6)
    assert dead_letter(line, EventError("at", "is missing"), T0).source == "posts.jsonl:6"


def test_a_record_too_long_to_read_is_dead_with_its_true_size_and_hash() -> None:
    long = SourceRecord(0, -1, record(event()), "f:", 1, Oversize(10**9, "ab" * 32))
    (seen,), (letter,) = scorer().score([long], T0)
    assert seen.dead
    assert (letter.reason, letter.size, letter.sha256) == ("is longer than any event can be", 10**9, "ab" * 32)


def test_how_far_ahead_an_event_is_counts_from_its_records_own_timestamp() -> None:
    ahead = event(at=300_001)
    assert scorer().score(sources(ahead), T0)[0][0].dead
    assert not scorer().score(sources(ahead), T0 + 1)[0][0].dead
    assert not scorer().score(sources(ahead, stamp=T0 + 1), T0)[0][0].dead
    assert scorer().score(sources(ahead, stamp=T0), T0 + 10**9)[0][0].dead


def test_a_chunk_is_one_call_of_the_model() -> None:
    text = FakeText()
    scorer(text).score(sources(*[event(text=f"word {i}") for i in range(50)], event(), b"bad"), T0)
    assert text.calls == [50]


lines = st.one_of(
    st.binary(max_size=40),
    st.builds(
        lambda **fields: record(event(**fields)),
        account=st.sampled_from("abc"),
        at=st.integers(0, 600_000),
        kind=st.sampled_from(["post", "repost", "like", "delete", "nonsense"]),
        text=st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
        v=st.none() | st.sampled_from([1, 2, True]),
    ),
)


@settings(max_examples=100)
@given(st.lists(lines, max_size=25), st.data())
def test_no_record_is_lost_and_no_chunking_changes_what_is_said(items: list[bytes], data: st.DataObject) -> None:
    records = sources(*items)
    seen, letters = scorer().score(records, T0)
    assert [one.offset for one in seen] == [one.offset for one in records]
    assert [letter.source for letter in letters] == [f"posts-0@{one.offset}" for one in seen if one.dead]

    where = data.draw(st.integers(0, len(records)))
    first, first_letters = scorer().score(records[:where], T0)
    second, second_letters = scorer().score(records[where:], T0)
    assert first + second == seen
    assert first_letters + second_letters == letters


def test_the_largest_observation_is_small_beside_a_batch() -> None:
    wide = "\U0001f600"
    spam = [wide * 4000 + str(i) for i in range(999)]
    biggest = event(
        wide * 256, at=0, id=wide * 256, text=wide * 16_000, target=wide * 256, target_account=wide * 256,
        mentions=spam, urls=spam, hashtags=spam,
    )  # fmt: skip
    (seen,), letters = scorer().score(sources(biggest), T0)
    assert letters == []
    assert len(encode_entry(batch([seen]))) < BATCH_BYTES // 2


def batches(observations: Sequence[Observation], start: int, end: int, **more: Any) -> list[Batch]:
    more.setdefault("watermark", Watermark(60_000))
    return list(cut(observations, partition=1, partitions=4, start=start, end=end, models=MODELS, **more))


def test_an_empty_range_needs_no_batch_and_a_range_of_gaps_one() -> None:
    assert batches([], 5, 5) == []
    assert batches([], 5, 9, offset_gap=2) == [Batch(1, 4, 5, 9, NO_TIME, MODELS, [], 2)]


def test_batches_carry_the_clock_of_their_partition_record_by_record() -> None:
    clock = Watermark(60_000)
    seen = [observation(i, at=i * 1000) for i in range(4)]
    got = batches([*seen, dead(9)], 0, 12, watermark=clock, limit=300)
    assert len(got) > 1
    assert [one.watermark for one in got] == [one.observations[-1].at - 60_000 for one in got[:-1]] + [
        T0 + 3000 - 60_000
    ]
    assert clock.value == T0 + 3000 - 60_000


def test_a_writer_that_starts_in_the_middle_goes_on_from_the_last_batch() -> None:
    clock = Watermark(60_000)
    clock.raise_to(T0)
    (one,) = batches([observation(50, at=-3_600_000)], 50, 51, watermark=clock)
    assert one.watermark == T0


@pytest.mark.parametrize("offsets", [[3, 2], [3, 3], [1, 5], [9], [10]])
def test_observations_outside_their_range_or_order_are_refused(offsets: list[int]) -> None:
    with pytest.raises(LogError, match="does not follow"):
        batches([observation(offset) for offset in offsets], 2, 9)


def test_an_observation_larger_than_a_batch_is_refused() -> None:
    with pytest.raises(LogError, match="does not fit"):
        batches([observation(0, text="x" * 500)], 0, 1, limit=400)


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 400), st.booleans()), max_size=30),
    st.integers(0, 100),
    st.integers(0, 3),
    st.integers(900, 2500),
)
def test_batches_rejoin_to_the_same_observations_and_cover_every_offset(
    steps: list[tuple[int, int, bool]], start: int, after: int, limit: int
) -> None:
    offset, seen = start - 1, []
    for gap, length, bad in steps:
        offset += gap
        seen.append(dead(offset) if bad else observation(offset, at=offset, text="x" * length))
    end = offset + 1 + after
    got = batches(seen, start, end, offset_gap=3, limit=limit)
    assert [one for part in got for one in part.observations] == seen
    assert [part.start for part in got] + [end] == [start] * (start == end) + [start] * (start < end) + [
        p.end for p in got
    ]
    assert all(len(encode_entry(part)) <= limit for part in got)
    assert all(part.start < part.end for part in got)
    assert all(part.start <= one.offset < part.end for part in got for one in part.observations)
    assert [part.offset_gap for part in got] == [3, 0, 0, 0, 0][: len(got)] + [0] * (len(got) - 5)
    assert all(decode(encode_entry(part)) == part for part in got)
    fullest = [len(encode_entry(part)) for part in got[:-1]]
    assert all(size > limit - 1000 for size in fullest), "a batch is not cut before it is needed"
