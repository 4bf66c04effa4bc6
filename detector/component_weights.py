"""What each evidence component is worth: itself as the models say it, otherwise as decisions of moderators taught.

A bundle with a file of these (`swarmlight train decisions --bundle`) puts each component through a curve before they
are added up. Its thresholds are then set by people under the same curves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.errors import ModelError
from detector.evidence import COMPONENTS, Component
from detector.weights_io import load_weights, save_weights, take

Floats = NDArray[np.float64]

NAME: Final = "decisions"
"""Stem of the files; a bundle may lack them, and then each component counts as it is."""

LARGEST: Final = 20.0
"""No component is worth more, either way round: a file that says so was not learned from decisions."""

STRAIGHT_BEYOND: Final = 2.5
"""Scales from the centre beyond which a curve goes on straight (as in Huber's loss), so that evidence that few accounts
have is not squared."""


def bend_of(evidence: Floats, centre: Floats | float, scale: Floats | float) -> Floats:
    """What is added to a component for each unit of bend: a parabola around the centre, 0 where the evidence is 0.

    Args:
        evidence: nats.
        centre: of the parabola, nats.
        scale: nats over which its slope grows by 1.
    """

    def parabola(z: Floats) -> Floats:
        away = np.abs(z)
        result: Floats = np.where(away < STRAIGHT_BEYOND, z * z, STRAIGHT_BEYOND * (2.0 * away - STRAIGHT_BEYOND))
        return result

    result: Floats = 0.5 * scale * (parabola((evidence - centre) / scale) - parabola(np.asarray(-centre / scale)))
    return result


class ComponentCurve(NamedTuple):
    """What a component is worth: `weight` times itself, and more or less far from `centre` by `bend`.

    A bend lets both very low and very high evidence speak for a machine, as it does where machines are of two kinds.

    Args:
        weight: slope at the centre; negative where what spoke for a person speaks for a machine now.
        bend: by which the slope grows for each scale above the centre, and shrinks below it.
        centre: nats, that of most accounts.
        scale: nats.
    """

    weight: float = 1.0
    bend: float = 0.0
    centre: float = 0.0
    scale: float = 1.0

    def of(self, evidence: Floats) -> Floats:
        """What evidence counts, nats; nothing counts nothing."""
        result: Floats = self.weight * evidence
        return result + self.bend * bend_of(evidence, self.centre, self.scale) if self.bend else result

    def slopes(self) -> tuple[float, float]:
        """How much an additional nat counts one scale below the centre, and one above it."""
        return self.weight - self.bend, self.weight + self.bend

    def steepest(self) -> float:
        """The largest slope, either way."""
        return abs(self.weight) + STRAIGHT_BEYOND * abs(self.bend)


_NOTHING: Final = 1e-6
"""Nats under which evidence is none."""

Curves = tuple[ComponentCurve, ComponentCurve, ComponentCurve, ComponentCurve]

AS_THEY_ARE: Final[Curves] = (ComponentCurve(),) * 4


@dataclass(frozen=True)
class ComponentWeights:
    """Curves for the components, in the order of `COMPONENTS`.

    Args:
        layers: what was learned, the first first: each time on top of what was learned before.
        version: of the file; "" where there is none.
        card: what they were learned from.
    """

    layers: tuple[Curves, ...] = ()
    version: str = ""
    card: Mapping[str, Any] = field(default_factory=dict)

    def of(self, component: Component, evidence: Floats) -> Floats:
        """What evidence of a component counts.

        Args:
            component: its name.
            evidence: nats.
        """
        place = COMPONENTS.index(component)
        for curves in self.layers:
            evidence = curves[place].of(evidence)
        return evidence

    def worth(self, component: Component, evidence: float) -> float:
        """How many times itself evidence of a component counts, on average from nothing up to there.

        Args:
            component: its name.
            evidence: nats.
        """
        at = evidence if abs(evidence) > _NOTHING else _NOTHING
        return float(self.of(component, np.array([at]))[0]) / at

    def then(self, curves: Sequence[ComponentCurve], card: Mapping[str, Any]) -> ComponentWeights:
        """These with curves on top, and a version that follows from all of them.

        Args:
            curves: one of each component.
            card: what they were learned from.
        """
        text, behaviour, coordination, graph = (ComponentCurve(*(round(float(n), 6) for n in each)) for each in curves)
        layers = (*self.layers, (text, behaviour, coordination, graph))
        numbers = [[tuple(curve) for curve in layer] for layer in layers]
        return ComponentWeights(layers, f"2.{sha256(repr(numbers).encode()).hexdigest()[:8]}", dict(card))

    def save(self, directory: Path) -> None:
        """Write them into `directory`."""
        meta = {"name": NAME, "version": self.version, "report": dict(self.card)}
        save_weights(directory / NAME, {"curves": np.array(self.layers, np.float64).reshape(-1, 4, 4)}, meta)

    @classmethod
    def load(cls, directory: Path) -> ComponentWeights:
        """Those of a bundle; each component counts as it is where it has none.

        Raises:
            ModelError: the files are damaged, or a curve is none that decisions could teach.
        """
        path = directory / NAME
        if not path.with_suffix(".json").exists():
            return cls()
        arrays, meta = load_weights(path)
        if "weights" in arrays:  # as releases before curves wrote them: four factors
            factors = take(arrays, "weights", (len(COMPONENTS),), path).astype(np.float64)
            numbers = np.column_stack([factors, np.zeros(4), np.zeros(4), np.ones(4)])[None]
        else:
            numbers = take(arrays, "curves", (None, len(COMPONENTS), 4), path).astype(np.float64)
        layers = tuple(
            (ComponentCurve(*text), ComponentCurve(*behaviour), ComponentCurve(*coordination), ComponentCurve(*graph))
            for text, behaviour, coordination, graph in numbers.tolist()
        )
        for curve in (curve for layer in layers for curve in layer):
            if not (curve.steepest() <= LARGEST and curve.scale > 0.0):
                raise ModelError(f"the curves in {path} are steeper than {LARGEST:g}: learn them from decisions again")
        return cls(layers, meta["version"], meta.get("report") or {})


UNWEIGHTED: Final = ComponentWeights()
"""Each component as the models say it."""
