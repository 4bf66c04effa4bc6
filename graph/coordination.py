"""Groups of accounts in a table of traces, as records and as a network: what `swarmlight coordinate` finds.

It looks among all accounts, with an error rate by decoys (`graph.search`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from detector.times import AT_MAX, rfc3339
from graph.coincidences import Uses, shared_uses
from graph.decoys import MANY_DRAWS
from graph.dense_groups import ties
from graph.exports import Network
from graph.groups import Proposal
from graph.search import among_uses
from graph.trace_table import TraceTable
from graph.traces import KIND_TABLE

OBJECTS: Final = 20
"""Shared objects of a group that are kept."""


class GroupsFound(NamedTuple):
    """Groups among all accounts.

    Args:
        groups: accepted ones first, the strongest first: number, accepted, decoy_q, contrast, members (account, label,
            strength), shared_objects, objects (kind, object, members), from, to.
        network: of the accepted ones.
    """

    groups: list[dict[str, Any]]
    network: Network


def find_groups(table: TraceTable, target_fdr: float = 0.05, seed: int = 0) -> GroupsFound:
    """Groups that act together more than decoys do.

    Args:
        table: traces.
        target_fdr: share of the accepted groups that may be false.
        seed: of the decoys.
    """
    uses = shared_uses(table.at, table.account.astype(np.int64), table.kind.astype(np.int64), table.object)
    found = among_uses(uses, len(table.accounts), None, seed, draws=MANY_DRAWS, target_fdr=target_fdr)
    order = sorted(range(len(found.groups)), key=lambda n: (found.q[n] > target_fdr, -found.groups[n].statistic))
    groups, q = [found.groups[n] for n in order], [found.q[n] for n in order]
    accepted = sum(value <= target_fdr for value in q)
    written = [
        {"number": number, **_group(table, uses, group, value, accepted=value <= target_fdr)}
        for number, (group, value) in enumerate(zip(groups, q, strict=True), 1)
    ]
    return GroupsFound(written, _group_network(table, uses, groups[:accepted]))


def _group(table: TraceTable, uses: Uses, group: Proposal, q: float, *, accepted: bool) -> dict[str, Any]:
    """A group as it is written: who, what they share, and since when."""
    inside = np.flatnonzero(np.isin(uses.account, group.members))
    item, account, at = uses.item[inside], uses.account[inside], uses.at[inside]
    span = int(account.max(initial=0)) + 1
    once = np.unique(item * span + account) // span
    objects, members = np.unique(once, return_counts=True)
    several = members >= 2
    objects, members = objects[several], members[several]
    times = at[np.isin(item, objects)]
    best = np.lexsort((objects, -members))[:OBJECTS]
    shared = [
        {
            "kind": KIND_TABLE[table.object_kind[objects[place]]].name,
            "object": table.objects[int(objects[place])],
            "members": int(members[place]),
        }
        for place in best.tolist()
    ]
    strongest = max(group.strength[0], 1e-9)
    who = [
        {"account": table.accounts[member], "label": table.label(member), "strength": round(tie / strongest, 4)}
        for member, tie in zip(group.members, group.strength, strict=True)
    ]
    return {
        "accepted": accepted,
        "decoy_q": round(q, 4),
        "contrast": round(group.statistic, 3),
        "members": who,
        "shared_objects": len(objects),
        "objects": shared,
        "from": rfc3339(min(int(times.min(initial=AT_MAX)), AT_MAX)),
        "to": rfc3339(max(int(times.max(initial=0)), 0)),
    }


def _group_network(table: TraceTable, uses: Uses, groups: Sequence[Proposal]) -> Network:
    """Members of groups and the ties inside them."""
    n = len(table.accounts)
    number, strength = np.zeros(n, np.int64), np.zeros(n)
    for place, group in enumerate(groups, 1):
        number[group.members] = place
        strength[group.members] = np.array(group.strength) / max(group.strength[0], 1e-9)
    members = np.flatnonzero(number)
    row = np.zeros(n, np.int64)
    row[members] = np.arange(len(members))
    every = ties(uses, n, None).tied()
    inside = np.flatnonzero((number[every.a] == number[every.b]) & (number[every.a] > 0))
    return Network(
        [table.accounts[int(one)] for one in members], [table.label(int(one)) for one in members], number[members],
        strength[members], row[every.a[inside]], row[every.b[inside]], every.objects[inside], every.nats[inside],
    )  # fmt: skip
