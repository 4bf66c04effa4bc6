"""Account graphs as files, for `swarmlight train graph`: what the graph model sees, as it sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from detector.weights_io import save_weights
from graph.touches import HOUR_MS
from streaming.assess.connections import GraphTick

EVERY_MS: Final = 12 * HOUR_MS
"""Event time between two graphs that are kept: those in between differ little."""


class AccountGraphs:
    """Writes graphs to `directory`/<tick>.safetensors and .json, those of multiples of `EVERY_MS`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._next = 0

    def write(self, tick: GraphTick) -> None:
        """Keep this graph where it is time."""
        if tick.tick_ms < self._next:
            return
        self._next = (tick.tick_ms // EVERY_MS + 1) * EVERY_MS
        graph = tick.graph
        members = [place for places, _ in tick.groups for place in places]
        arrays = {
            "features": graph.features,
            "candidate": graph.candidate,
            "source": graph.source.astype(np.int32),
            "target": graph.target.astype(np.int32),
            "relation": graph.relation.astype(np.int8),
            "edge": graph.edge,
            "own": tick.own,
            "speaks": tick.speaks,
            "group_members": np.array(members, np.int32),
            "group_sizes": np.array([len(places) for places, _ in tick.groups], np.int32),
            "group_log_e": np.array([log_e for _, log_e in tick.groups], np.float64),
        }
        meta = {"name": "account-graph", "version": "1", "tick_ms": tick.tick_ms, "accounts": graph.names}
        save_weights(self._directory / str(tick.tick_ms), arrays, meta)
