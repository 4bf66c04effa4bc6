"""From a society's events to examples of pairs: what is read, what is kept, and what a real operation gives."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from graph.pair_model import FEATURES
from graph.traces import LINK
from graph.wording import NEUTRAL
from streaming.score import Scorer
from tests.training.made_up import society
from tests.training.society_data import WordEncoder
from training import pairs
from training.pairs import OPERATION, Society, example, examples, read_operation, read_society
from training.society_texts import SocietyFiles
from training.vector_cache import VectorCache

START = 1_760_000_000_000
MINUTE = 60_000
CAMPAIGN = ("a", "b", "c")
PEOPLE = ("d", "e", "f", "g")


class Broken:
    """An encoder that must not be asked."""

    def vectors(self, texts: Sequence[str]) -> NDArray[np.int8]:
        raise AssertionError("read again")


def posts() -> list[dict[str, Any]]:
    """Four posts each; those of the campaign say the same and push a link within minutes."""
    made = []
    for n, account in enumerate((*CAMPAIGN, *PEOPLE)):
        for k in range(4):
            together = account in CAMPAIGN
            words = f"the harbour plan {k} must stop" if together else f"{account} met {account}{k} and {account}-{k}"
            at = START + k * 40 * MINUTE + n * (MINUTE if together else 7 * MINUTE)
            made.append(
                {"id": f"{account}{k}", "account": account, "at": at, "kind": "post", "text": words, "lang": "en"}
                | ({"urls": [f"https://x.example/{k}"]} if together else {})
            )
    made.append({"id": "s", "account": "silent", "at": START, "kind": "like", "target": "a0", "target_account": "a"})
    return made


@pytest.fixture
def files(tmp_path: Path) -> SocietyFiles:
    """A society, and one account of its truth that does nothing."""
    found = SocietyFiles(tmp_path / "events.jsonl", tmp_path / "truth.jsonl")
    found.events.write_text("\n".join(map(json.dumps, posts())))
    rows = [
        {
            "account": name, "label": int(name in CAMPAIGN), "campaign": "op" if name in CAMPAIGN else None,
            "family": "links" if name in CAMPAIGN else None, "texts": "frontier_campaigns/C1", "generator": "model-x",
            "group": "news-000" if name in "de" else None,
        }
        for name in (*CAMPAIGN, *PEOPLE, "silent", "nobody")
    ]  # fmt: skip
    found.truth.write_text("\n".join(map(json.dumps, rows)))
    return found


def read(files: SocietyFiles) -> Society:
    return read_society(files, Scorer(None), VectorCache(WordEncoder()), "town")


def test_a_society_has_what_its_accounts_share_and_whose_they_are(files: SocietyFiles) -> None:
    found = read(files)
    assert found.accounts == [*CAMPAIGN, *PEOPLE]  # who says nothing is never compared
    assert found.campaign.tolist() == [0, 0, 0, -1, -1, -1, -1]
    assert found.crowd.tolist() == [-1, -1, -1, 0, 0, -1, -1]
    assert found.label.tolist() == [1, 1, 1, 0, 0, 0, 0]
    assert found.family == ["links"] * 3 + [""] * 4
    assert found.generator == ["model-x"] * 7
    assert found.posts.tolist() == [4] * 7
    assert found.compared
    assert not found.known.any()
    together = np.ix_([0, 1, 2], [0, 1, 2])
    assert (found.nats[LINK][together][~np.eye(3, dtype=bool)] > 1).all()
    assert found.nats[LINK].sum() == pytest.approx(found.nats[LINK][together].sum())
    assert found.wording[0, 1] > found.wording[3, 4]


def test_what_was_read_is_kept_and_another_versions_is_read_again(
    files: SocietyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read(files)
    kept = read_society(files, Scorer(None), Broken(), "town")
    assert kept.accounts == first.accounts
    assert np.array_equal(kept.nats, first.nats)
    assert np.array_equal(kept.wording, first.wording)
    monkeypatch.setattr(pairs, "VERSION", pairs.VERSION + 1)
    with pytest.raises(AssertionError, match="read again"):
        read_society(files, Scorer(None), Broken(), "town")


def test_a_society_without_some_is_the_others_as_they_were(files: SocietyFiles) -> None:
    whole = read(files)
    gone = np.array([name in "bd" for name in whole.accounts])
    rest = whole.without(gone)
    assert rest.accounts == ["a", "c", "e", "f", "g"]
    assert rest.campaign.tolist() == [0, 0, -1, -1, -1]
    assert rest.nats[LINK, 0, 1] == whole.nats[LINK, 0, 2]
    assert rest.wording[0, 4] == whole.wording[0, 6]
    assert len(rest.family) == len(rest.texts) == len(rest.generator) == len(rest.known) == 5


def test_an_operation_has_its_categories_as_campaigns_and_compares_no_words(tmp_path: Path) -> None:
    assert read_operation(tmp_path, tmp_path, Scorer(None)) is None
    stream = tmp_path / "streams"
    stream.mkdir()
    with gzip.open(stream / f"{OPERATION}.jsonl.gz", "wt") as file:
        file.write("\n".join(map(json.dumps, posts())))
    rows = [
        {"account": name, "label": 0, "campaign": "ira-X" if name in CAMPAIGN else None, "slice": "swapped"}
        for name in (*CAMPAIGN, *PEOPLE, "silent")
    ]
    (stream / f"{OPERATION}.truth.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for _ in range(2):  # read, and kept
        found = read_operation(tmp_path, tmp_path / "work", Scorer(None))
        assert found is not None
        assert found.label.tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
        assert found.accounts[-1] == "silent"  # everybody counts by what they do
        assert found.posts.tolist() == [4] * 7 + [1]
        assert (found.wording == np.float32(NEUTRAL)).all()
        assert not found.compared
        assert found.nats[LINK, 0, 1] > 1


def test_suspects_follow_from_drawn_evidence_and_pairs_from_the_suspects() -> None:
    given = society(1)
    each = example(given, np.random.default_rng(0))
    assert (each.own[each.suspects] > 0).all()
    assert (each.own[np.setdiff1d(np.arange(len(given.accounts)), each.suspects)] <= 0).all()
    n = len(each.suspects)
    assert len(each.y) == n * (n - 1) // 2
    assert each.x.shape == (len(each.y), len(FEATURES))
    one = int(np.flatnonzero(each.y)[0])
    ends = each.suspects[[each.a[one], each.b[one]]]
    assert given.campaign[ends[0]] == given.campaign[ends[1]] >= 0
    assert each.x[one, LINK] == pytest.approx(np.log1p(given.nats[LINK][ends[0], ends[1]]))
    assert each.crowded.sum() == sum(
        given.crowd[each.suspects[i]] == given.crowd[each.suspects[j]] >= 0 for i, j in zip(each.a, each.b, strict=True)
    )
    assert each.counted.all()


def test_draws_differ_and_do_not_depend_on_other_draws() -> None:
    given = society(1)
    three = list(examples([given], 3, 5))
    one = list(examples([given], 1, 5))
    assert len(three) == 3
    assert np.array_equal(three[0].own, one[0].own)
    assert not np.array_equal(three[0].own, three[1].own)
    nobody = society(1, campaigns=0, crowd=0, people=1)
    assert list(examples([nobody], 3, 0)) == []
