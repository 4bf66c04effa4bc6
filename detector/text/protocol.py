"""What every text expert is: a costlier second look at texts of accounts that are still undecided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@runtime_checkable
class Expert(Protocol):
    """Scores texts given what the cheap model said. Deterministic; no text's score depends on its neighbours."""

    name: str
    version: str

    def score(self, texts: Sequence[str], langs: Sequence[str], cheap: NDArray[np.int16]) -> NDArray[np.int16]:
        """LLR of each text in millinats given the text *and* its cheap LLR, which it replaces; all (n,).

        Args:
            texts: as posted, cut at 500 characters or not.
            langs: BCP 47 tags, "" where not known.
            cheap: LLR of the cheap model in millinats.

        Returns:
            Where the expert abstains (language not calibrated, too few words) the cheap LLR unchanged.
        """
        ...
