"""The models that one system runs with: all of a models directory, loaded together or not at all.

`load_models` gives the first-stage text model, the account model and the thresholds, and, where the directory has
them, the second-stage text model, the graph weights, and what decisions of moderators taught about the components.
The second stage is what the directory holds, or what the configuration names: a head over MiniLM embeddings as
shipped, a Hugging Face model, or what a package has installed (`TextModelLoader`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from detector import component_weights
from detector.account.model import AccountModel
from detector.component_weights import UNWEIGHTED, ComponentWeights
from detector.errors import ModelError
from detector.plugins import TEXT_MODELS, installed, load
from detector.text.first_stage import FirstStageModel
from detector.text.huggingface import HuggingFaceClassifier
from detector.text.meaning import MeaningEncoder
from detector.text.second_stage import FILE, MiniLMSecondStage, SecondStageModel, WithFamilies
from detector.thresholds import Thresholds
from detector.weights_io import Arrays, load_weights

MINILM: Final = "minilm"
"""`kind` in `expert.json` of a head over MiniLM embeddings; taken where none is given."""

TextModelLoader: TypeAlias = Callable[[Path], SecondStageModel]
"""Loads a second-stage text model from a models directory. A package adds one by an entry point of the group
`swarmlight.text_models`; `[models] second_stage = "NAME"` or `kind` in `expert.json` names it."""


def load_minilm(directory: Path) -> SecondStageModel:
    """The shipped kind: a head over MiniLM embeddings, from `expert.*` in `directory`.

    Raises:
        ModelError: it is missing, damaged, or made for another encoder.
    """
    return MiniLMSecondStage.load(directory)


def load_huggingface(directory: Path) -> SecondStageModel:
    """A Hugging Face model with the calibrator in `expert.*` of `directory`, which names it.

    Raises:
        ModelError: the calibrator is missing or damaged, or the model cannot be loaded.
    """
    return HuggingFaceClassifier.load(directory / FILE)


def load_second_stage(directory: Path, name: str = "") -> SecondStageModel | None:
    """The second-stage text model of a models directory.

    Args:
        directory: where `expert.json` and the weights lie, if any.
        name: of an installed text model in place of what `expert.json` says.

    Returns:
        None where no name is given and there is no `expert.json`.

    Raises:
        UsageError: no text model is installed under `name`.
        ModelError: it is damaged, of an unknown kind, or what it needs is not installed.
    """
    if name:
        return _loaded(name, directory)
    if not (directory / f"{FILE}.json").exists():
        return None
    _, meta = load_weights(directory / FILE)
    kind = str(meta.get("kind", MINILM))
    if kind not in installed(TEXT_MODELS):
        raise ModelError(
            f"{directory / FILE}.json is of kind {kind!r}, which is not installed: install its package, or train it "
            "again"
        )
    return _loaded(kind, directory)


def _loaded(name: str, directory: Path) -> SecondStageModel:
    loader: TextModelLoader = load(TEXT_MODELS, name)
    model = loader(directory)
    if not isinstance(model, SecondStageModel):
        raise ModelError(f"the text model {name!a} has no name, version or score: its package has to be repaired")
    return model


SHIPPED: Final = Path(__file__).parent / "weights"
"""The weights inside the package."""

GRAPH: Final = "graph"
"""Stem of the graph model's files; a bundle may lack them, and then the graph component abstains."""


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
    """Everything learned that a run uses; `versions` (model -> name@version) is what the log and alerts name.

    A bundle without a second-stage model has no encoder of meaning either: it is to do without a network.
    """

    text: FirstStageModel
    second_stage: SecondStageModel | None
    account: AccountModel
    thresholds: Thresholds
    versions: dict[str, str]
    graph: SavedWeights | None = None
    meaning: MeaningEncoder | None = None
    weights: ComponentWeights = UNWEIGHTED


def load_readers(
    directory: Path | None = None, second_stage: str = ""
) -> tuple[FirstStageModel, SecondStageModel | None, dict[str, str]]:
    """The text models in `directory`, or the shipped ones, and their versions by model.

    `second_stage` names an installed text model in place of the directory's own.

    Raises:
        ModelError: `text` is missing, or one of them is damaged.
    """
    place = SHIPPED if directory is None else directory
    text = FirstStageModel.load(place)
    reader = load_second_stage(place, second_stage)
    versions = {"text": f"{text.name}@{text.version}"}
    if text.families:
        versions["families"] = "+".join(f"{family.name}@{family.version}" for family in text.families)
        reader = None if reader is None else WithFamilies(reader, text)
    if reader is not None:
        versions["expert"] = f"{reader.name}@{reader.version}"
    return text, reader, versions


def load_models(directory: Path | None = None, second_stage: str = "") -> Models:
    """The models in `directory`, or the shipped ones.

    Args:
        directory: of a bundle; the shipped one where None.
        second_stage: name of an installed text model in place of the directory's own.

    Raises:
        UsageError: no such text model is installed.
        ModelError: one of `text`, `account`, `thresholds` is missing, or any of them is damaged.
    """
    place = SHIPPED if directory is None else directory
    text, reader, versions = load_readers(directory, second_stage)
    account = AccountModel.load(place)
    thresholds = Thresholds.load(place)
    versions["account"] = f"{account.name}@{account.version}"
    versions["thresholds"] = f"{thresholds.name}@{thresholds.version}"
    graph = SavedWeights.load(place / GRAPH) if (place / f"{GRAPH}.json").exists() else None
    if graph is not None:
        versions["graph"] = f"{graph.name}@{graph.version}"
    meaning = None if reader is None else MeaningEncoder()
    if meaning is not None:
        versions["meaning"] = f"{meaning.name}@{meaning.version}"
    weights = ComponentWeights.load(place)
    if weights.version:
        versions["decisions"] = f"{component_weights.NAME}@{weights.version}"
    return Models(text, reader, account, thresholds, versions, graph, meaning, weights)
