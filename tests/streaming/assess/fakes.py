"""Deterministic stand-ins for the models: evidence that a test can choose by the words of a text."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from detector.account.features import AccountFeatures
from detector.account.model import AccountEvidence, AccountModel, BehaviourAbstain
from detector.models import Models
from detector.text.features import MINHASH_DIM, TEXT_FEATURES, TextAbstain, TextFeatures
from detector.text.first_stage import FirstStageModel
from detector.text.meaning import MEANING_DIM
from detector.thresholds import Thresholds
from graph.coordination import Edge
from graph.groups import Campaigns, CampaignTick, Ended, Group
from graph.traces import CoordinationSettings, Trace

PEOPLE = np.linspace(-3.0, 3.0, 199)
"""Running maxima of 199 people: a target_fpr of 0.01 puts the threshold at about 2.97 nats."""


class WordCounter:
    """A text model for which every "robot" in a text is one nat for a machine and every "human" one for a person."""

    name = "fake"
    version = "1"

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


class MeanModel:
    """An account model whose text component is the mean LLR of the texts times the root of how many there are."""

    name = "fake"
    version = "1"

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


def meanings(texts: Sequence[str]) -> NDArray[np.int8]:
    """Vectors that differ where texts do, (n, MEANING_DIM)."""
    made = [np.random.default_rng(zlib.crc32(text.encode())).integers(-127, 128, MEANING_DIM) for text in texts]
    return np.array(made, np.int8).reshape(-1, MEANING_DIM)


class CrcMeaning:
    """An encoder of meaning that makes a vector of a text's checksum, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def vectors(self, texts: Sequence[str]) -> NDArray[np.int8]:
        self.asked += texts
        return meanings(texts)


def models(second_stage: Any = None, languages: frozenset[str] = frozenset({"en"}), *, meaning: Any = None) -> Models:
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
    )


@dataclass
class ScriptedGroup:
    """A group as `graph` gives it."""

    id: str
    members: list[int]
    number: int = 1
    log_e: float = 20.0
    hypothesis: int = 1
    accepted_among_all: bool = True
    since_ms: int = 0
    chosen: int = 0
    campaign_ms: int | None = None
    campaign_threshold: float = 3.0
    accepted: bool = True


class ScriptedCoordination:
    """Coordination that knows its groups: id -> names of the members, from a time on.

    `script` is [(ms since 1970, {id: names}, {id: the id it is merged into})], in order of time.
    """

    def __init__(self, script: list[tuple[int, dict[str, list[str]], dict[str, str]]]) -> None:
        self.script = script
        self.settings = CoordinationSettings(target_fdr=0.05)
        self._rows: set[int] = set()
        self._groups: dict[str, ScriptedGroup] = {}
        self._log_e = 20.0
        self.discoveries = 0

    def add(self, traces: Sequence[Trace]) -> None:
        self._rows.update(trace.account for trace in traces)

    def tick(self, at_ms: int, names: Any, languages: Any, *, end: bool) -> CampaignTick:
        rows = {names(row): row for row in self._rows}
        accepted: list[str] = []
        ended: list[Ended] = []
        while self.script and self.script[0][0] <= at_ms:
            since, groups, merged = self.script.pop(0)
            accepted += [name for name in groups if name not in self._groups]
            ended = [Ended(name, 20.0, 1, True, into) for name, into in merged.items()]
            self._groups = {
                name: ScriptedGroup(name, [rows[each] for each in members if each in rows], place, since_ms=since)
                for place, (name, members) in enumerate(groups.items(), 1)
            }
        self.discoveries += len(accepted)
        return CampaignTick(at_ms, 0, [], accepted, ended)

    def examine(self, machine: Collection[int], at_ms: int) -> None:
        Campaigns().examine(cast("list[Group]", self.groups()), machine, 0.05, at_ms)

    def groups(self) -> list[ScriptedGroup]:
        return list(self._groups.values())

    def edges_within(self, members: Sequence[int], limit: int) -> list[Edge]:
        return [Edge(members[0], other, "link", 3, 0.1, 9.0, ("https://a.example/1",)) for other in members[1:]]

    def forget_account(self, row: int) -> None:
        self._rows.discard(row)
        for group in self._groups.values():
            group.members = [member for member in group.members if member != row]

    def forget_event(self, row: int, at_ms: int) -> None:
        pass
