"""How tests are dealt out to processes: whole files, so that what they share is made once; all of Kafka's as one."""

from __future__ import annotations

from typing import Final

from xdist.scheduler.loadscope import LoadScopeScheduling  # type: ignore[import-untyped]

KAFKA: Final = "tests/streaming/kafka/"
"""Its tests share one broker. They wait more than they compute, and take longest: other processes do the rest."""


NEED_NO_BROKER: Final = frozenset(
    f"{KAFKA}test_{name}.py"
    for name in (
        "assess_worker",
        "decompression",
        "journal",
        "log",
        "rates",
        "shared_snapshots",
        "snapshots",
        "text_reader",
        "trouble_page",
    )
)
"""Files of that folder that any process may run: without them Kafka's process ends no later than the others."""


def group(nodeid: str) -> str:
    """Tests of one group run in one process."""
    file = nodeid.partition("::")[0]
    return KAFKA if file.startswith(KAFKA) and file not in NEED_NO_BROKER else file


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # it is Any
    """Deals out groups. (xdist's own marks for groups do not work with pytest 9.2.)"""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)
