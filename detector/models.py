"""The models that one system runs with: all of a models directory, loaded together or not at all.

`load_models` gives the first-stage text model, the account model and the thresholds, and, where the directory has them,
the second-stage text model (the shipped head, or a Hugging Face model named by its user) and the graph weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from detector.account.model import AccountModel
from detector.errors import ModelError
from detector.text.first_stage import FirstStageModel
from detector.text.huggingface import KIND as HUGGINGFACE
from detector.text.huggingface import HuggingFaceClassifier
from detector.text.second_stage import FILE, MiniLMSecondStage, SecondStageModel
from detector.thresholds import Thresholds
from detector.weights_io import Arrays, load_weights

MINILM: Final = "minilm"
"""`kind` in `expert.json` of a head over MiniLM embeddings; taken where none is given."""


def load_second_stage(directory: Path) -> SecondStageModel | None:
    """The expert in `directory`; `None` where there is none.

    Raises:
        ModelError: it is damaged, of an unknown kind, or what it needs is not installed.
    """
    if not (directory / f"{FILE}.json").exists():
        return None
    _, meta = load_weights(directory / FILE)
    kind = meta.get("kind", MINILM)
    if kind == MINILM:
        return MiniLMSecondStage.load(directory)
    if kind == HUGGINGFACE:
        return HuggingFaceClassifier.load(directory / FILE)
    raise ModelError(f"{directory / FILE}.json is of kind {kind!r}, which this release does not know; train it again")


SHIPPED: Final = Path(__file__).parent / "weights"
"""The weights inside the package."""

GRAPH: Final = "graph"
"""Stem of the graph model's files; a bundle may lack them, and then the graph part abstains."""


@dataclass(frozen=True)
class SavedWeights:
    """Arrays and meta as they were saved, for a folder that knows what they mean.

    Args:
        name, version: of the model.
        path: where they lie, without suffix, for messages.
    """

    name: str
    version: str
    arrays: Arrays
    meta: dict[str, Any]
    path: Path

    @classmethod
    def load(cls, path: Path) -> SavedWeights:
        """The pair of files at `path`.

        Raises:
            ModelError: one is missing or damaged.
        """
        arrays, meta = load_weights(path)
        return cls(meta["name"], meta["version"], arrays, meta, path)


@dataclass(frozen=True)
class Models:
    """Everything learned that a run uses; `versions` (part -> name@version) is what the log and alerts name."""

    text: FirstStageModel
    expert: SecondStageModel | None
    account: AccountModel
    thresholds: Thresholds
    versions: dict[str, str]
    graph: SavedWeights | None = None


def load_readers(directory: Path | None = None) -> tuple[FirstStageModel, SecondStageModel | None, dict[str, str]]:
    """The text models in `directory`, or the shipped ones, and their versions by part.

    Raises:
        ModelError: `text` is missing, or one of them is damaged.
    """
    place = SHIPPED if directory is None else directory
    text = FirstStageModel.load(place)
    expert = load_second_stage(place)
    versions = {"text": f"{text.name}@{text.version}"}
    if expert is not None:
        versions["expert"] = f"{expert.name}@{expert.version}"
    return text, expert, versions


def load_models(directory: Path | None = None) -> Models:
    """The models in `directory`, or the shipped ones.

    Raises:
        ModelError: one of `text`, `account`, `thresholds` is missing, or any of them is damaged.
    """
    place = SHIPPED if directory is None else directory
    text, expert, versions = load_readers(directory)
    account = AccountModel.load(place)
    thresholds = Thresholds.load(place)
    versions["account"] = f"{account.name}@{account.version}"
    versions["thresholds"] = f"{thresholds.name}@{thresholds.version}"
    graph = SavedWeights.load(place / GRAPH) if (place / f"{GRAPH}.json").exists() else None
    if graph is not None:
        versions["graph"] = f"{graph.name}@{graph.version}"
    return Models(text, expert, account, thresholds, versions, graph)
