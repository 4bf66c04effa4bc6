"""The account model: evidence of an account from its features, as two nested components in nats, text and behaviour.

`AccountModel.components` takes `AccountFeatures` of n accounts and gives `AccountEvidence`. A component is one or more
heads; a `Head` holds what logistic regression and gradient boosting learned as plain arrays, so that scoring needs
neither library, and its answer for a row does not depend, to the bit, on the other rows of the call (matrix products
would; sums along a row do not).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.account.features import (
    BEHAVIOUR_DIM,
    CADENCE,
    PAIRS,
    SECOND_STAGE,
    TEXT_DIM,
    AccountFeatures,
    fingerprint,
)
from detector.account.trees import Floats, Trees
from detector.errors import ModelError
from detector.evidence import MILLINAT
from detector.text.features import TextAbstain
from detector.weights_io import load_weights, save_weights, take

CLIP: Final = 4.0
"""Standard deviations at which a standardised feature is cut: a single odd habit decides nothing."""

_CHUNK: Final = 256
"""Rows scored at once: keeps the scratch arrays in the processor's cache."""


@dataclass(frozen=True)
class Head:
    """logit = mix[0] + mix[1] * linear + mix[2] * trees.

    Term j is feature `column[j]`, standardised and clipped, times n / (n + `shrink[j]`), where n is the count the
    feature rests on: few posts say little, and a term without any says nothing. The linear part weighs the terms, and
    the trees compare them.

    Args:
        column: (J,) feature of each term.
        centre, scale: (J,) standardisation.
        shrink: (J,) posts at which a term has half of its size.
        weight: (J,).
        trees: over the J terms, in logits.
        mix: (3,).
    """

    column: NDArray[np.int64]
    centre: Floats
    scale: Floats
    shrink: Floats
    weight: Floats
    trees: Trees
    mix: Floats

    def logit(self, values: Floats, counts: Floats) -> Floats:
        """The logit of each row.

        Args:
            values: (n, D) features.
            counts: (n, D) how many observations each rests on.
        """
        out = np.empty(len(values))
        for start in range(0, len(values), _CHUNK):
            part = slice(start, start + _CHUNK)
            terms = self.terms(values[part], counts[part])
            linear = self.mix[1] * (terms * self.weight).sum(axis=1) if self.mix[1] else 0.0
            trees = self.mix[2] * self.trees.predict(terms) if self.mix[2] else 0.0
            out[part] = self.mix[0] + linear + trees
        return out

    def terms(self, values: Floats, counts: Floats) -> Floats:
        """(n, J) terms."""
        # `take` keeps each row contiguous; indexing would not, and a row's sum would then depend on how many there are.
        terms: Floats = np.take(values, self.column, axis=1)
        terms -= self.centre
        terms /= self.scale
        np.clip(terms, -CLIP, CLIP, out=terms)
        rests = np.take(counts, self.column, axis=1)
        terms *= rests / (rests + self.shrink)
        return terms

    def arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """The head as named arrays in the types they are stored in."""
        stored = {name: np.asarray(getattr(self, name), dtype) for name, dtype in _STORED.items()}
        return {f"{prefix}.{name}": value for name, value in stored.items()} | self.trees.arrays(f"{prefix}.trees")

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], prefix: str, width: int, path: Path) -> Head:
        """The head stored under a prefix.

        Args:
            arrays: of a weights file.
            prefix: of the names.
            width: number of features.
            path: of the file, for messages.

        Raises:
            ModelError: an array is missing or of a shape that does not fit the others or the features.
        """
        terms = len(take(arrays, f"{prefix}.column", (None,), path))
        shapes: dict[str, tuple[int | None, ...]] = {"mix": (3,)}
        loaded: dict[str, NDArray[Any]] = {}
        for name, dtype in _STORED.items():
            value = take(arrays, f"{prefix}.{name}", shapes.get(name, (terms,)), path)
            loaded[name] = value.astype(np.int64 if np.issubdtype(dtype, np.integer) else np.float64)
        column = loaded["column"]
        if column.size and not 0 <= int(column.min()) <= int(column.max()) < width:
            raise ModelError(f"{prefix}.column in {path} asks for what this version does not have: train it again")
        if not bool((loaded["scale"] > 0).all() and (loaded["shrink"] > 0).all()):
            raise ModelError(f"{prefix} in {path} has a scale or shrink that is not positive: train it again")
        return cls(**loaded, trees=Trees.from_arrays(arrays, f"{prefix}.trees", terms, path))


@dataclass(frozen=True)
class Mixture:
    """logit = line[0] + line[1] * log(mean of exp(logit) over heads): machines are of one kind or of another.

    Each head knows another kind of machine against the same people; the likelihood of a mixture of kinds is the mean of
    theirs.

    Args:
        heads: at least one.
        line: (2,) shift and slope of the calibration.
    """

    heads: tuple[Head, ...]
    line: Floats

    def logit(self, values: Floats, counts: Floats) -> Floats:
        """The logit of each row; arguments as of `Head.logit`."""
        said = np.stack([head.logit(values, counts) for head in self.heads])
        out: Floats = self.line[0] + self.line[1] * (np.logaddexp.reduce(said, axis=0) - np.log(len(self.heads)))
        return out

    def arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """The mixture as named arrays in the types they are stored in."""
        stored: dict[str, NDArray[Any]] = {f"{prefix}.line": np.asarray(self.line, np.float64)}
        for i, head in enumerate(self.heads):
            stored |= head.arrays(f"{prefix}.{i}")
        return stored

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], prefix: str, width: int, path: Path) -> Mixture:
        """The mixture stored under a prefix.

        Args:
            arrays: of a weights file.
            prefix: of the names.
            width: number of features.
            path: of the file, for messages.

        Raises:
            ModelError: as `Head.from_arrays`, or there is no head.
        """
        line = take(arrays, f"{prefix}.line", (2,), path).astype(np.float64)
        heads = [Head.from_arrays(arrays, f"{prefix}.0", width, path)]
        while f"{prefix}.{len(heads)}.column" in arrays:
            heads.append(Head.from_arrays(arrays, f"{prefix}.{len(heads)}", width, path))
        return cls(tuple(heads), line)


_STORED: Final[dict[str, type[np.generic]]] = {
    "column": np.int32,
    "centre": np.float32,
    "scale": np.float32,
    "shrink": np.float32,
    "weight": np.float32,
    "mix": np.float64,
}


BEHAVIOUR_LIMIT_NATS: Final = 0.25
"""Most that cadence and habits may add or take: what one platform's accounts teach of them carries over badly."""

MIN_WRITTEN: Final = 3
"""Posts, replies and quotes before behaviour says anything: two pauses."""

NAME: Final = "account"


class BehaviourAbstain(IntEnum):
    """Why behaviour gives no evidence; 0 when it does."""

    NONE = 0
    TOO_FEW = 1
    SWITCHED_OFF = 2


class AccountEvidence(NamedTuple):
    """Evidence of n accounts, one element each."""

    text: NDArray[np.float64]
    """LLR in nats, whole millinats; 0.0 where it abstains."""
    behaviour: NDArray[np.float64]
    """What behaviour adds to text, or alone where text abstains; LLR in nats, whole millinats."""
    text_abstain: NDArray[np.uint8]
    """A TextAbstain."""
    behaviour_abstain: NDArray[np.uint8]
    """A BehaviourAbstain."""


def text_inputs(features: AccountFeatures) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n, TEXT_DIM + 2) values, and the counts they rest on: the text features, then texts and reranked texts.

    The counts themselves rest on nothing that could be few (count infinity would do; a large number does).
    """
    n = len(features.weight)
    values = np.empty((n, TEXT_DIM + 2))
    values[:, :TEXT_DIM] = features.text
    values[:, TEXT_DIM] = np.log1p(features.weight)
    values[:, TEXT_DIM + 1] = np.log1p(features.second_stage)
    counts = np.empty((n, TEXT_DIM + 2))
    counts[:, : PAIRS.start] = features.weight[:, None]
    counts[:, PAIRS] = np.maximum(features.weight - 1, 0)[:, None]
    counts[:, SECOND_STAGE] = features.second_stage[:, None]
    counts[:, TEXT_DIM:] = _CERTAIN
    return values, counts


def behaviour_inputs(features: AccountFeatures) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n, BEHAVIOUR_DIM) values, and the counts they rest on."""
    values = features.behaviour.astype(np.float64)
    counts = np.repeat(features.events.astype(np.float64)[:, None], BEHAVIOUR_DIM, axis=1)
    counts[:, CADENCE] = np.maximum(features.written - 1, 0)[:, None]
    return values, counts


_CERTAIN: Final = 1e6

_FADED: Final = 0.2
"""What a few posts may have faded by while they were written; 3 posts within weeks still count as 3."""


@dataclass(frozen=True)
class AccountModel:
    """Nested heads: `text` = logit q(y|T), `joint` = what B adds to it, `behaviour` = logit q(y|B).

    `text` is a mixture over kinds of machines.

    Trained with both classes at equal weight at every number of posts, so the prior's logit is 0 and a logit is an
    LLR. The components add up by construction: text + behaviour = logit q(y|T, B).
    """

    name: str
    version: str
    text: Mixture
    joint: Head
    behaviour: Head
    report: dict[str, Any]

    @classmethod
    def load(cls, directory: Path) -> AccountModel:
        """The model in `directory`.

        Raises:
            ModelError: it is missing, damaged, or made for other features.
        """
        path = directory / NAME
        arrays, meta = load_weights(path)
        if meta.get("features") != fingerprint():
            raise ModelError(
                f"the account model in {path} was trained on other features than this version's: train it again"
            )
        text = Mixture.from_arrays(arrays, "text", TEXT_DIM + 2, path)
        joint, behaviour = (Head.from_arrays(arrays, part, BEHAVIOUR_DIM, path) for part in ("joint", "behaviour"))
        report = meta.get("report")
        return cls(meta["name"], meta["version"], text, joint, behaviour, report if isinstance(report, dict) else {})

    def save(self, directory: Path, meta: dict[str, Any] | None = None) -> None:
        """Write the model into `directory`, with `meta` (provenance) beside name, version and report."""
        arrays = self.text.arrays("text") | self.joint.arrays("joint") | self.behaviour.arrays("behaviour")
        described = {
            **(meta or {}),
            "features": fingerprint(),
            "name": self.name,
            "version": self.version,
            "report": self.report,
        }
        save_weights(directory / NAME, arrays, described)

    def components(self, features: AccountFeatures, *, text: bool = True, behaviour: bool = True) -> AccountEvidence:
        """The evidence of n accounts.

        Args:
            features: of n accounts.
            text: whether the text component may speak; switched off it abstains, and behaviour is what it says alone.
            behaviour: whether the behaviour component may speak.
        """
        n = len(features.weight)
        text_llr = np.zeros(n)
        behaviour_llr = np.zeros(n)
        text_abstain = features.abstain if text else np.full(n, TextAbstain.SWITCHED_OFF, np.uint8)
        speaks = text_abstain == TextAbstain.NONE
        if speaks.all():
            text_llr = self.text.logit(*text_inputs(features))
        elif speaks.any():
            text_llr[speaks] = self.text.logit(*text_inputs(features.take(speaks)))
        if behaviour:
            few = features.written < MIN_WRITTEN - _FADED
            behaviour_abstain = np.where(few, BehaviourAbstain.TOO_FEW, BehaviourAbstain.NONE).astype(np.uint8)
            if not few.all():
                inputs = behaviour_inputs(features)
                beside = self.joint.logit(*inputs) if speaks.any() else behaviour_llr
                alone = behaviour_llr if speaks.all() else self.behaviour.logit(*inputs)
                behaviour_llr = np.where(few, 0.0, np.where(speaks, beside, alone))
                behaviour_llr = np.clip(behaviour_llr, -BEHAVIOUR_LIMIT_NATS, BEHAVIOUR_LIMIT_NATS)
        else:
            behaviour_abstain = np.full(n, BehaviourAbstain.SWITCHED_OFF, np.uint8)
        return AccountEvidence(
            whole_millinats(text_llr), whole_millinats(behaviour_llr), text_abstain, behaviour_abstain
        )


def whole_millinats(llr: NDArray[np.float64]) -> NDArray[np.float64]:
    """Nats rounded to a thousandth, without negative zeros."""
    return np.rint(llr * MILLINAT) / MILLINAT + 0.0
