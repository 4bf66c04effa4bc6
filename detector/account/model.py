"""The account model: two nested parts, text and what behaviour adds to it, in nats."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.account.features import BEHAVIOUR_DIM, CADENCE, EXPERTS, PAIRS, TEXT_DIM, AccountFeatures, fingerprint
from detector.account.head import Head, Mixture
from detector.errors import ModelError
from detector.evidence import MILLINAT
from detector.text.reading import TextAbstain
from detector.weights_io import load_weights, save_weights

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


class AccountParts(NamedTuple):
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
    """(n, TEXT_DIM + 2) values, and the counts they rest on: the text features, then how many texts and expert texts.

    The counts themselves rest on nothing that could be few (count infinity would do; a large number does).
    """
    n = len(features.weight)
    values = np.empty((n, TEXT_DIM + 2))
    values[:, :TEXT_DIM] = features.text
    values[:, TEXT_DIM] = np.log1p(features.weight)
    values[:, TEXT_DIM + 1] = np.log1p(features.expert)
    counts = np.empty((n, TEXT_DIM + 2))
    counts[:, : PAIRS.start] = features.weight[:, None]
    counts[:, PAIRS] = np.maximum(features.weight - 1, 0)[:, None]
    counts[:, EXPERTS] = features.expert[:, None]
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
    LLR. The parts add up by construction: text + behaviour = logit q(y|T, B).
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

    def parts(self, features: AccountFeatures, *, text: bool = True, behaviour: bool = True) -> AccountParts:
        """The evidence of n accounts. A part switched off abstains, and the other is what it says alone."""
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
        return AccountParts(whole_millinats(text_llr), whole_millinats(behaviour_llr), text_abstain, behaviour_abstain)


def whole_millinats(llr: NDArray[np.float64]) -> NDArray[np.float64]:
    """Nats rounded to a thousandth, without negative zeros."""
    return np.rint(llr * MILLINAT) / MILLINAT + 0.0
