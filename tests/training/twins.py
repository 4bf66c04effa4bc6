"""Small societies in which members and their organic twins differ in joint behaviour alone."""

from __future__ import annotations

import numpy as np

from graph.account_graph import account_graph
from graph.coincidences import build_view
from graph.trace_window import TraceWindow
from graph.traces import HOUR_MS, LINK, CoordinationSettings, Trace
from tests.graph.society import in_order, name_of, society
from training.societies import Example

PEOPLE, CAMPAIGNS, SIZE, TASKS = 320, 4, 10, 16
HOURS = 40
SETTINGS = CoordinationSettings()


def traces_of(seed: int) -> list[Trace]:
    """People with tastes and hours; members who take up their campaign's links together; and twins.

    Twins take up as many links, at the same times, each known to as many accounts; only that it is now with these and
    now with those.
    """
    rng = np.random.default_rng(seed)
    traces = society(seed, (PEOPLE // 2, PEOPLE // 2), 0.5, per_day=6.0, hours=HOURS, kind=LINK)
    for campaign in range(CAMPAIGNS):
        for task in range(TASKS):
            start = rng.uniform(1, HOURS - 1) * HOUR_MS
            for crowd in ("member", "twin"):
                everybody = np.arange(CAMPAIGNS * SIZE)
                own = everybody[campaign * SIZE : (campaign + 1) * SIZE]
                among = own if crowd == "member" else rng.permutation(everybody)[:SIZE]
                for place in among[rng.random(SIZE) < 0.6].tolist():
                    row = place + (CAMPAIGNS * SIZE if crowd == "twin" else 0)
                    at = int(start + rng.exponential(HOUR_MS / 6))
                    traces.append(Trace(at, row, LINK, f"{crowd}{campaign}-{task}"))
    return in_order(traces)


def example(seed: int, traces: list[Trace]) -> Example:
    """The graph of a society, with the truth: rows below `CAMPAIGNS` x `SIZE` are members, the next as many twins."""
    window = TraceWindow()
    window.add(traces)
    view = build_view(window, HOURS * HOUR_MS, name_of, SETTINGS)
    assert view is not None
    graph = account_graph(view, [], SETTINGS, 0, lambda kind, key: None, window.key)
    member, twin = graph.rows < CAMPAIGNS * SIZE, graph.rows < 2 * CAMPAIGNS * SIZE
    part = np.where(member, "member", np.where(twin, "twin", "ordinary"))
    campaign = np.where(member, graph.rows // SIZE, -1)
    return Example(
        f"t{seed}", HOURS * HOUR_MS, graph, member.astype(np.int64), campaign, np.full(len(member), -1), part, []
    )
