"""A small first-stage model made of random numbers: everything but knowledge."""

from __future__ import annotations

import numpy as np

from detector.text.calibration import BANDS, Calibrator
from detector.text.features import BUCKETS, RARITIES, STYLE_DIM
from detector.text.first_stage import FirstStageModel


def calibrator(slope: float = 1.0, bound: float = 4.0) -> Calibrator:
    """English and French alike."""
    shape = (1, BANDS)
    return Calibrator(
        np.full(shape, slope), np.zeros(shape), np.full(shape, -bound), np.full(shape, bound), {"en": 0, "fr": 0}
    )


def first_stage_model(seed: int = 0) -> FirstStageModel:
    """A model with random weights."""
    rng = np.random.default_rng(seed)
    return FirstStageModel(
        name="toy",
        version="1",
        weights=rng.normal(0, 0.3, BUCKETS).astype(np.float16),
        style_weights=rng.normal(0, 0.3, STYLE_DIM).astype(np.float32),
        style_mean=np.full(STYLE_DIM, 0.2, dtype=np.float32),
        style_spread=np.full(STYLE_DIM, 0.3, dtype=np.float32),
        bias=0.1,
        rarity=rng.integers(1, 255, RARITIES).astype(np.uint8),
        calibrator=calibrator(),
    )
