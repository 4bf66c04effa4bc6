"""Deterministic stand-ins for the models: evidence that a test can choose by the words of a text."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from detector.account.features import AccountFeatures
from detector.account.model import AccountEvidence, AccountModel, BehaviourAbstain, Head, Mixture
from detector.account.trees import Trees
from detector.models import Models, SavedWeights
from detector.text.features import MINHASH_DIM, TEXT_FEATURES, TextAbstain, TextFeatures
from detector.text.first_stage import FirstStageModel
from detector.text.meaning import MEANING_DIM
from detector.thresholds import Thresholds
from graph.groups import Group
from graph.pair_model import FEATURES, WORDING, PairModel
from streaming.assess import Assess
from streaming.assess.group_list import Ended, Listed
from streaming.assess.groups import Searched

PEOPLE = np.linspace(-3.0, 3.0, 199)
"""Running maxima of 199 people: a target_fpr of 0.01 puts the threshold at about 2.97 nats."""


class WordCounter:
    """A text model for which every "robot" in a text is one nat for a machine and every "human" one for a person."""

    name = "fake"
    version = "1"
    languages = frozenset({"en"})

    def read(self, texts: Sequence[str], langs: Sequence[str]) -> TextFeatures:
        rows = np.zeros(len(texts), TEXT_FEATURES)
        for row, text in zip(rows, texts, strict=True):
            words = text.split()
            row["words"] = len(words)
            row["llr"] = 1000 * (words.count("robot") - words.count("human"))
            row["abstain"] = TextAbstain.TOO_SHORT if len(words) < 4 else TextAbstain.NONE
            row["minhash"] = _minhash(words)
            row["style"][0] = len(text) / 100
        return rows


def _minhash(words: Sequence[str]) -> list[int]:
    shingles = {" ".join(words[i : i + 3]) for i in range(max(len(words) - 2, 1))} if words else set()
    return [min((zlib.crc32(f"{seed}{s}".encode()) for s in shingles), default=0) for seed in range(MINHASH_DIM)]


_ONE: Final = np.ones(1)
_LEAF: Final = Trees(np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1), np.zeros((1, 2), np.int64), np.zeros(1))
_MEAN_LLR: Final = Head(np.zeros(1, np.int64), 0 * _ONE, _ONE, _ONE, _ONE, _LEAF, np.array([0.0, 1.0, 0.0]))


class MeanModel:
    """An account model whose text component is the mean LLR of the texts times the root of how many there are."""

    name = "fake"
    version = "1"
    text = Mixture((_MEAN_LLR,), np.array([0.0, 1.0]))
    """As far as plain features are looked at: it has none."""

    def components(self, features: AccountFeatures, *, text: bool = True, behaviour: bool = True) -> AccountEvidence:
        n = len(features.weight)
        speaks = (features.abstain == 0) & text
        llr = np.round(features.text[:, 0].astype(float) * np.sqrt(features.weight.astype(float)), 3)
        habit = np.round(0.01 * features.events.astype(float), 3) if behaviour else np.zeros(n)
        off = np.full(n, TextAbstain.SWITCHED_OFF, np.uint8)
        silent = np.full(n, BehaviourAbstain.NONE if behaviour else BehaviourAbstain.SWITCHED_OFF, np.uint8)
        return AccountEvidence(np.where(speaks, llr, 0.0), habit, features.abstain if text else off, silent)


class EchoSecondStage:
    """A second stage that adds a nat to the evidence of the first, and remembers what it was asked."""

    name = "echo"
    version = "1"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def score(self, texts: Sequence[str], langs: Sequence[str], first_stage: NDArray[np.int16]) -> NDArray[np.int16]:
        self.asked += texts
        return (first_stage + 1000).astype(np.int16)


TOPIC = "about:"
"""What a word that names the topic of a text begins with."""


def meanings(texts: Sequence[str]) -> NDArray[np.int8]:
    """Vectors that differ where texts do, and only a little where they name the same topic, (n, MEANING_DIM)."""
    made = []
    for text in texts:
        topic = next((word for word in text.split() if word.startswith(TOPIC)), text)
        made.append(_drawn(topic, 100) + _drawn(text, 27))
    return np.array(made, np.int8).reshape(-1, MEANING_DIM)


def _drawn(text: str, largest: int) -> NDArray[np.int64]:
    return np.random.default_rng(zlib.crc32(text.encode())).integers(-largest, largest + 1, MEANING_DIM)


def pair_weights() -> SavedWeights:
    """A same-controller model made by hand: what two accounts say decides, and shared links help."""
    coefficients = np.zeros(len(FEATURES))
    coefficients[FEATURES.index(WORDING)] = 8.0
    coefficients[FEATURES.index("link")] = 0.5
    meta = PairModel(coefficients, -2.0, cut=0.0, worth=0.5, most=2.0).meta()
    return SavedWeights("graph", "1", {"coefficients": coefficients}, meta, Path("graph"))


class CrcMeaning:
    """An encoder of meaning that makes a vector of a text's checksum, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def vectors(self, texts: Sequence[str]) -> NDArray[np.int8]:
        self.asked += texts
        return meanings(texts)


def models(
    second_stage: Any = None,
    languages: frozenset[str] = frozenset({"en"}),
    *,
    meaning: Any = None,
    graph: SavedWeights | None = None,
) -> Models:
    """A bundle of fakes."""
    thresholds = Thresholds.of({"people": PEOPLE}, 100, languages, "1")
    versions = {"text": "fake@1", "account": "fake@1", "thresholds": "thresholds@1"}
    return Models(
        cast(FirstStageModel, WordCounter()),
        second_stage,
        cast(AccountModel, MeanModel()),
        thresholds,
        versions,
        meaning=meaning,
        graph=graph,
    )


class ScriptedGroups:
    """A search that knows its groups: id -> names of the members, from a time on, accepted at once.

    `script` is [(ms since 1970, {id: names}, {id: the id it is merged into})], in order of time.
    """

    def __init__(self, script: list[tuple[int, dict[str, list[str]], dict[str, str]]]) -> None:
        self.script = script

    def take_over(self, assess: Assess) -> None:
        """Have campaign ticks of `assess` follow the script instead of searching."""

        def tick(tick_ms: int, *, end: bool) -> Searched:
            return self._tick(assess, tick_ms)

        cast(Any, assess)._groups.tick = tick

    def _tick(self, assess: Assess, tick_ms: int) -> Searched:
        state = assess.state.groups
        book, find = state.book, assess.state.accounts.find
        ended: list[Ended] = []
        while self.script and self.script[0][0] <= tick_ms:
            _, groups, merged = self.script.pop(0)
            ended += [Ended(name, into) for name, into in merged.items()]
            before = {each.group.id: each for each in book.listed}
            book.listed = []
            for name, members in groups.items():
                rows = [row for member in members if (row := find(member)) is not None]
                if name not in before:
                    found = Group(name, book.created, "suspects", tick_ms, tick_ms, [], [], 9.0, 0.01)
                    found.passed, found.accepted_ms = 2, tick_ms
                    before[name] = Listed(found)
                    book.created += 1
                group = before[name].group
                group.members, group.strength = rows, [1.0 - place / 100 for place in range(len(rows))]
                book.listed.append(before[name])
        state.read()
        return Searched(None, ended)
