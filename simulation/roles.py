"""Decides which role each account has: an operator's account, its matched control, an organic look-alike, or none.

An operator's accounts are accounts of people by every parameter: rows of the population, taken evenly over levels of
activity. The matched control of each is another row that gets its parameters. Campaign sizes are quantiles of the
log-uniform distribution between the family's bounds, evenly spread, made smaller where `campaigns` or `machines` ask
for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from detector.times import format_time, parse_time
from simulation.coordinated_groups import CoordinatedGroup
from simulation.population import People
from simulation.population_config import LookAlike, Operator, PopulationConfig, Tactics
from simulation.sampling import DAY_MS, Flags, Ints, Json, stream

ORDINARY: Final = "ordinary"
CONTROL: Final = "twin"
"""Slice of matched controls, as files of truth have it."""

FRAMED: Final = "framed"

FLAGS: Final = ("automated", "scheduled", "helped", "foreign", "headline")
"""Marks of single accounts: a declared bot; posts by a scheduler; writes with help; writes in a second language; posts
headlines from share buttons."""

DRAWS: Final = 64
"""Draws of operators' accounts of which the most even is taken."""

CROWDS: Final[dict[str, Tactics]] = {
    "news": Tactics(cadence="waves", goals=("link", "tag", "swarm"), hijack=1.0),
    "fandom": Tactics(cadence="waves", goals=("tag", "amplify"), hijack=0.3, wording="paraphrase"),
    "activists": Tactics(cadence="waves", goals=("link", "tag", "swarm")),
    "giveaway": Tactics(cadence="jitter", goals=("tag", "swarm"), wording="verbatim"),
    "live_event": Tactics(cadence="waves", goals=("tag", "swarm")),
    "fan_club": Tactics(cadence="waves", goals=("swarm",), awake=True),
}
"""Look-alikes that gather around moments, with what they gather for; numbers come from the configuration."""


@dataclass
class Campaign:
    """One operator's campaign: `members` (accounts), `controls` (their matched controls, in the same order)."""

    name: str
    family: Operator
    members: Ints
    controls: Ints
    quiet: Ints
    bought: Ints
    framed: int = -1


@dataclass
class RoleAssignment:
    """Who is what. Arrays of shape (accounts,): label, automated, scheduled, helped, foreign, headline."""

    label: Flags
    slice: list[str]
    campaign: list[str | None]
    group: list[str | None]
    control_of: list[str | None]
    role: list[str | None]
    since_ms: Ints  # from when on a machine writes; before, of bought accounts, a person did; 0: all the time
    campaigns: list[Campaign] = field(default_factory=list)
    groups: list[CoordinatedGroup] = field(default_factory=list)
    circles: list[tuple[Ints, float]] = field(default_factory=list)  # accounts to knit together, share of closest ties
    flags: dict[str, Flags] = field(default_factory=dict)

    def truth(self, account: int, name: str) -> Json:
        """One line of the truth file."""
        return {
            "account": name,
            "label": int(self.label[account]),
            "campaign": self.campaign[account],
            "group": self.group[account],
            "slice": self.slice[account],
            "role": self.role[account],
            "twin_of": self.control_of[account],
            "since": format_time(int(self.since_ms[account])) if self.since_ms[account] else None,
        }


def assign_roles(population: PopulationConfig, people: People, seed: int) -> RoleAssignment:
    """Who plays what; people's parameters are changed in place where a part asks for it.

    Args:
        population: shares, sizes and tactics.
        people: changed in place where a role asks for it.
        seed: equal seeds give equal roles.
    """
    n = len(people)
    rng = stream(seed, "cast")
    result = RoleAssignment(
        np.zeros(n, bool), [ORDINARY] * n, [None] * n, [None] * n, [None] * n, [None] * n, np.zeros(n, np.int64),
        flags={name: np.zeros(n, bool) for name in FLAGS},
    )  # fmt: skip
    free = _operators(population, people, result, rng)
    _lookalikes(population, people, result, free, rng)
    return result


def sizes(family: Operator, count: int, rng: np.random.Generator) -> Ints:
    """Sizes of `count` campaigns: evenly spread quantiles of the log-uniform distribution, in a random order.

    Args:
        family: bounds of the sizes.
        count: how many.
        rng: where chance comes from.
    """
    low, high = family.size
    quantile = (np.arange(count) + rng.random(count)) / count
    drawn = np.exp(np.log(low) + quantile * (np.log(high + 1) - np.log(low))).astype(np.int64)
    return rng.permutation(np.minimum(drawn, high))


def mean_size(family: Operator) -> float:
    """Mean of that distribution."""
    low, high = family.size
    return (high + 1 - low) / float(np.log((high + 1) / low)) - 0.5


def plan(population: PopulationConfig, rng: np.random.Generator) -> list[tuple[Operator, int]]:
    """Families and sizes of all campaigns: together `machines` of the accounts, to within the smallest campaign."""
    wanted = round(population.machines * population.accounts)
    if not population.operators or wanted == 0:
        return []
    weight = np.array([family.weight for family in population.operators])
    weight = weight / weight.sum()
    mean = float(sum(w * mean_size(family) for w, family in zip(weight, population.operators, strict=True)))
    count = max(population.campaigns, round(wanted / mean), 1)
    number = np.floor(np.cumsum(weight) * count + 0.5).astype(np.int64)
    each = np.diff(number, prepend=0)
    planned = [
        (family, int(size))
        for family, k in zip(population.operators, each, strict=True)
        for size in sizes(family, int(k), rng)
    ]
    return fitted(planned, wanted)


def fitted(planned: list[tuple[Operator, int]], wanted: int) -> list[tuple[Operator, int]]:
    """The same campaigns with sizes scaled, within their family's bounds, so that they sum to `wanted` where they can.

    Where even the smallest sizes are too many, the last campaigns are left out.
    """
    low = np.array([family.size[0] for family, _ in planned])
    high = np.array([family.size[1] for family, _ in planned])
    drawn = np.array([size for _, size in planned])
    lo, hi = 1e-3, 1e3
    for _ in range(60):
        scale = (lo * hi) ** 0.5
        if np.clip(np.round(drawn * scale), low, high).sum() < wanted:
            lo = scale
        else:
            hi = scale
    final = np.clip(np.round(drawn * lo), low, high).astype(np.int64)
    kept = np.cumsum(final) <= max(wanted, int(low.min()))
    return [(family, int(size)) for (family, _), size, keep in zip(planned, final, kept, strict=True) if keep]


def _operators(population: PopulationConfig, people: People, result: RoleAssignment, rng: np.random.Generator) -> Ints:
    """Cast the campaigns and their matched controls; the accounts left over."""
    n = len(people)
    planned = plan(population, rng)
    total = sum(size for _, size in planned)
    start_ms = parse_time(population.start) or 0
    levels = np.argsort(people.rate + rng.random(n) * 1e-9)
    chosen, controls = evenly(people, levels, total, rng)
    order = rng.permutation(total)
    chosen, controls = chosen[order], controls[order]
    if population.controls:
        people.copy_rows(chosen, controls)
    else:
        controls = controls[:0]
    taken = np.zeros(n, bool)
    taken[chosen] = taken[controls] = True
    families = [family.name for family, _ in planned]
    used = 0
    for number, (family, size) in enumerate(planned):
        members, pair = chosen[used : used + size], controls[used : used + size]
        used += size
        spoken = population.given.machines != "none" and families.count(family.name) == 1
        _campaign(
            family.name if spoken else f"c{number:03d}", family, members, pair, people, result, taken, start_ms, rng
        )
    return rng.permutation(np.flatnonzero(~taken))


def evenly(people: People, levels: Ints, total: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """The most even of `DRAWS` draws of accounts: the largest difference in mean rank of any parameter is smallest.

    An operator wants accounts like everybody's; without this, chance alone tells a few hundred of them apart by
    some parameter or other.

    Args:
        people: their parameters.
        levels: accounts in order of activity.
        total: how many to draw.
        rng: where chance comes from.
    """
    columns = [people.branching, people.gap_s, (people.peak - people.zone) % 24, people.links, people.tags]
    columns += [people.following.astype(float), people.fame, people.age_days, *people.kinds.T]
    ranks = np.stack([np.argsort(np.argsort(column)) / len(levels) - 0.5 for column in columns], axis=1)
    draws = [levels_apart(levels, total, rng) for _ in range(DRAWS)]
    return min(draws, key=lambda draw: float(np.abs(ranks[draw[0]].mean(axis=0)).max()) if total else 0.0)


def levels_apart(levels: Ints, total: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Two disjoint sets of `total` accounts, spread evenly over `levels` (accounts in order of activity).

    Args:
        levels: accounts in order of activity.
        total: how many in each set.
        rng: where chance comes from.
    """
    edges = np.linspace(0, len(levels), total + 1).astype(np.int64)
    width = np.diff(edges)
    a = (rng.random(total) * width).astype(np.int64)
    b = (a + 1 + (rng.random(total) * (width - 1)).astype(np.int64)) % np.maximum(width, 1)
    return levels[edges[:-1] + a], levels[edges[:-1] + b]


def _campaign(
    name: str, family: Operator, members: Ints, controls: Ints, people: People, result: RoleAssignment, taken: Flags,
    start_ms: int, rng: np.random.Generator,
) -> None:  # fmt: skip
    size = len(members)
    shuffled = rng.permutation(size)
    quiet = members[shuffled[: int(family.quiet * size)]]
    bought = members[shuffled[size - int(family.bought * size) :]]
    led = family.tactics.cadence in ("copied", "framing") or "amplify" in family.tactics.goals
    leader = _leader(people, taken, rng) if led else -1
    begin = round(family.begin_day * DAY_MS)
    home = int(people.community[members[0]])
    campaign = Campaign(name, family, members, controls, quiet, bought)
    result.groups.append(CoordinatedGroup(members, family.tactics, home, quiet, begin, leader))
    private = family.tactics
    if private.cadence in ("copied", "framing"):
        rate = float(people.rate[leader] * (1 - people.branching[leader]))
        private = msgspec.structs.replace(private, cadence="waves", tasks_per_day=rate)
    for member in members.tolist():
        result.label[member] = True
        result.slice[member] = family.name
        if size > 1:
            result.campaign[member] = result.group[member] = name
    for member, control in zip(members.tolist(), controls.tolist(), strict=False):
        result.slice[control] = CONTROL
        result.control_of[control] = name
        hushed = np.array([control] if member in quiet else [], np.int64)
        idol = int(rng.integers(len(people))) if "amplify" in private.goals else -1
        result.groups.append(CoordinatedGroup(np.array([control]), private, home, hushed, begin, idol))
    for who in quiet.tolist():
        result.role[who] = "quiet"
    for who in bought.tolist():
        result.role[who] = "bought"
        result.since_ms[who] = start_ms + begin
    if family.tactics.cadence == "framing":
        campaign.framed = leader
        result.slice[leader] = FRAMED
    if family.tactics.clique > 0:
        result.circles.append((members, family.tactics.clique))
    _make_crude(family, people, members)
    result.campaigns.append(campaign)


def _leader(people: People, taken: Flags, rng: np.random.Generator) -> int:
    """A busy person of no other part: somebody with much to copy, frame or amplify."""
    rate = np.where(taken, 0.0, people.rate * (1 - people.branching))
    busy = np.argsort(rate)[-max(20, len(rate) // 20) :]
    leader = int(rng.choice(busy[rate[busy] > 0]))
    taken[leader] = True
    return leader


def _make_crude(family: Operator, people: People, members: Ints) -> None:
    crude = family.crude
    people.rate[members] *= crude.rate
    people.age_days[members] *= crude.age
    people.fame[members] *= crude.audience
    people.kinds[members, 2] *= crude.reposts
    people.kinds[members, 4] *= crude.likes
    people.kinds[members] /= people.kinds[members].sum(axis=1, keepdims=True)
    people.night[members] = people.night[members] * (1 - crude.flat) + crude.flat


def _lookalikes(
    population: PopulationConfig, people: People, result: RoleAssignment, free: Ints, rng: np.random.Generator
) -> None:
    """Cast the organic look-alikes among the accounts in `free`."""
    used = 0
    for name in population.lookalikes.__struct_fields__:
        settings: LookAlike = getattr(population.lookalikes, name)
        count = min(round(settings.share * population.accounts), len(free) - used)
        who, used = free[used : used + count], used + count
        label = name.replace("_", "-")
        for account in who.tolist():
            result.slice[account] = label
        if name == "fan_club":
            people.kinds[who] = np.array([0.2, 0.15, 0.45, 0.02, 0.15, 0.03])
        if name in CROWDS:
            _crowds(name, settings, who, people, result, rng)
        elif name == "friends":
            for circle in _split(settings, _by_community(who, people), rng):
                result.circles.append((circle, 0.7))
        elif name == "brand":
            result.flags["scheduled"][who] = True
            people.kinds[who] = np.array([0.85, 0.1, 0.02, 0.02, 0.01, 0.0])
            people.links[who] = 0.9
        elif name == "declared_bot":
            result.flags["automated"][who] = result.flags["scheduled"][who] = True
            people.kinds[who] = np.array([1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
            people.night[who] = 1.0
            people.rate[who] = np.maximum(people.rate[who], 24.0)
        else:
            flag = {"share_button": "headline", "writing_help": "helped", "second_language": "foreign"}[name]
            result.flags[flag][who] = True


def _by_community(who: Ints, people: People) -> Ints:
    return who[np.argsort(people.community[who], kind="stable")]


def _split(settings: LookAlike, who: Ints, rng: np.random.Generator) -> list[Ints]:
    """Crowds of log-uniform size, one after another; what is left at the end joins the last."""
    low, high = settings.size
    crowds, start = [], 0
    while start < len(who):
        size = int(np.exp(rng.uniform(np.log(low), np.log(high + 1))))
        if len(who) - start - size < low:
            size = len(who) - start
        crowds.append(who[start : start + size])
        start += size
    return crowds


def _crowds(
    name: str, settings: LookAlike, who: Ints, people: People, result: RoleAssignment, rng: np.random.Generator
) -> None:
    base = CROWDS[name]
    tactics = Tactics(
        cadence=base.cadence, goals=base.goals, hijack=base.hijack, wording=base.wording, awake=base.awake,
        tasks_per_day=settings.tasks_per_day, joint=settings.joint, lag_s=settings.lag_s,
    )  # fmt: skip
    together = _by_community(who, people) if name in ("activists", "fandom") else who
    for number, crowd in enumerate(_split(settings, together, rng)):
        leader = int(rng.integers(len(people))) if "amplify" in base.goals else -1
        result.groups.append(CoordinatedGroup(crowd, tactics, int(people.community[crowd[0]]), leader=leader))
        if name in ("activists", "fan_club"):
            for account in crowd.tolist():
                result.group[account] = f"{name[0]}{number:03d}"
