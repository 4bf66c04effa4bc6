"""What each evidence component is worth: 1 as the models say it, otherwise as decisions of moderators taught.

A bundle with a file of these (`swarmlight train decisions --bundle`) multiplies each component before they are added
up. Its thresholds are then set by people under the same weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np

from detector.errors import ModelError
from detector.evidence import COMPONENTS
from detector.weights_io import load_weights, save_weights, take

NAME: Final = "decisions"
"""Stem of the files; a bundle may lack them, and then each component counts as it is."""

LARGEST: Final = 20.0
"""No component is worth more, either way round: a file that says so was not learned from decisions."""


@dataclass(frozen=True)
class ComponentWeights:
    """A factor for each component, in the order of `COMPONENTS`; negative where what spoke for a person speaks for a
    machine now.

    Args:
        values: the factors.
        version: of the file; "" where there is none.
        card: what they were learned from.
    """

    values: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    version: str = ""
    card: Mapping[str, Any] = field(default_factory=dict)

    def of(self, component: str) -> float:
        """The factor of a component."""
        return self.values[COMPONENTS.index(component)]

    @classmethod
    def learned(cls, values: tuple[float, ...], card: Mapping[str, Any]) -> ComponentWeights:
        """Factors with a version that follows from them.

        Args:
            values: four factors.
            card: what they were learned from.
        """
        text, behaviour, coordination, graph = (round(float(each), 6) for each in values)
        digest = sha256(repr((text, behaviour, coordination, graph)).encode()).hexdigest()[:8]
        return cls((text, behaviour, coordination, graph), f"1.{digest}", dict(card))

    def save(self, directory: Path) -> None:
        """Write them into `directory`."""
        meta = {"name": NAME, "version": self.version, "report": dict(self.card)}
        save_weights(directory / NAME, {"weights": np.array(self.values, np.float64)}, meta)

    @classmethod
    def load(cls, directory: Path) -> ComponentWeights:
        """Those of a bundle; each is 1 where it has none.

        Raises:
            ModelError: the files are damaged, or a factor is none that decisions could teach.
        """
        path = directory / NAME
        if not path.with_suffix(".json").exists():
            return cls()
        arrays, meta = load_weights(path)
        values = take(arrays, "weights", (len(COMPONENTS),), path).astype(np.float64).tolist()
        if max(abs(each) for each in values) > LARGEST:
            raise ModelError(f"the weights in {path} are beyond {LARGEST:g}: learn them from decisions again")
        return cls((values[0], values[1], values[2], values[3]), meta["version"], meta.get("report") or {})


UNWEIGHTED: Final = ComponentWeights()
"""Each component as the models say it."""
