"""A corpus gives every account one author's voice, in one language, and nothing twice."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from detector.errors import UsageError
from simulation.content.base import Request
from simulation.content.corpus import Corpus, Speakers, rows


def speakers(n: int, *, foreign: bool = False) -> Speakers:
    return Speakers(np.zeros(n, np.int64), np.full(n, foreign), np.arange(n, 0, -1.0), 0)


def asked(corpus: Corpus, *accounts: int) -> list[str | None]:
    found = corpus.write([Request(account, i, "post") for i, account in enumerate(accounts)])
    return [text.words if text else None for text in found]


def test_an_account_keeps_its_author_and_no_text_comes_twice() -> None:
    corpus = Corpus({"a": ["a1", "a2", "a3"], "b": ["b1", "b2"]}, {"a": "en", "b": "en"}, speakers(2))
    assert asked(corpus, 0, 1, 0, 1, 0) == ["a1", "b1", "a2", "b2", "a3"]
    assert asked(corpus, 0, 1) == [None, None]
    assert corpus.missing == 2


def test_authors_are_shared_where_accounts_are_more_and_still_nothing_comes_twice() -> None:
    corpus = Corpus({"a": ["a1", "a2"]}, {"a": ""}, speakers(3))
    assert asked(corpus, 0, 1, 2) == ["a1", "a2", None]


def test_who_writes_most_gets_who_has_written_most() -> None:
    corpus = Corpus({"few": ["f"], "many": ["m1", "m2", "m3"]}, {"few": "", "many": ""}, speakers(2))
    assert asked(corpus, 0, 1) == ["m1", "f"]


def test_accounts_in_a_second_language_get_another_than_their_community() -> None:
    texts = {"a": ["a"] * 9, "b": ["b"] * 9}
    langs = {"a": "en", "b": "fr"}
    home = Corpus(texts, langs, speakers(1)).write([Request(0, 0, "post")])[0]
    away = Corpus(texts, langs, speakers(1, foreign=True)).write([Request(0, 0, "post")])[0]
    assert home is not None
    assert away is not None
    assert {home.lang, away.lang} == {"en", "fr"}


@pytest.mark.parametrize("name", ["c.jsonl", "c.jsonl.gz", "c.parquet"])
def test_files_of_every_kind_are_read_and_links_taken_out(tmp_path: Path, name: str) -> None:
    rows = [
        {"author": "x", "text": "look  at https://a.test/1 this", "lang": "en"},
        {"author": "x", "text": "   "},
        {"author": None, "text": "nobody"},
    ]
    path = tmp_path / name
    if name.endswith("parquet"):
        arrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(arrow.Table.from_pylist(rows), path)
    else:
        data = "\n".join(json.dumps(row) for row in rows).encode()
        path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    corpus = Corpus.load(path, speakers(1))
    assert asked(corpus, 0, 0) == ["look at this", None]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b'{"text": "a"}', "`author`"), (b"[1]", "object"), (b"{", "JSON"), (b"", "not a single text")],
)
def test_what_is_no_corpus_is_refused_with_the_reason(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        Corpus.load(path, speakers(1))


def test_damaged_and_absent_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl.gz"
    with pytest.raises(UsageError, match="cannot read input"):
        Corpus.load(path, speakers(1))
    path.write_bytes(gzip.compress(b'{"author": "x", "text": "y"}' * 99)[:-20])
    with pytest.raises(UsageError, match="cannot read input"):
        Corpus.load(path, speakers(1))


def test_the_demos_texts_are_a_source_by_name() -> None:
    people, machines = rows(machines=False), rows(machines=True)
    assert not {author for author, _, _ in people} & {author for author, _, _ in machines}
    assert len(machines) > 300
    corpus = Corpus.of(machines, speakers(1), "demo")
    assert asked(corpus, 0)[0] in {" ".join(text.split()) for _, text, _ in machines}
    with pytest.raises(UsageError, match="demo: not a single text"):
        Corpus.of([], speakers(1), "demo")
