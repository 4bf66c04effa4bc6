"""How tests are dealt out to processes: whole files, so that what they share is made once; all of Kafka's as one."""

from __future__ import annotations

from typing import Final

from xdist.scheduler.loadscope import LoadScopeScheduling  # type: ignore[import-untyped]

KAFKA: Final = "tests/streaming/kafka/"
"""Its tests share one broker. They wait more than they compute, and take longest: other processes do the rest."""


def group(nodeid: str) -> str:
    """Tests of one group run in one process."""
    return KAFKA if nodeid.startswith(KAFKA) else nodeid.partition("::")[0]


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # it is Any
    """Deals out groups. (xdist's own marks for groups do not work with pytest 9.2.)"""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)
