"""Coordination as one state machine: traces in, tested groups out, at ticks of event time.

A tick runs in this order: walk the traces since the last tick and let the fixed groups meet them, settle the bets
that are due, accept by e-LOND, drop groups that nothing continues, expire traces, and propose groups anew. A proposal
is fixed at its tick and bet on only with objects whose first member comes after it.

`edges_within` says what members of a group had in common, for a person to check. `coordination_components` says what
membership is worth for an account, in nats. Derived, not fitted: a group shares one controller with probability rho,
which grows with its e-value. Under one controller all members are machines or none is, and machines have kappa times
the odds they have by themselves, for those who act as one are oftener operators than people are. With S the discounted
sum of the others' text and behaviour LLR, and u the chance that an operator uses a generator whose posts look like
people's to the text models,

    component = log((rho kappa L + (1 - rho) B) / (rho + (1 - rho) B)),    L = (1 - u) e^S + u,    B = q L + 1 - q,

where B is what the others' LLR are worth when this account has nothing to do with them: by chance q their group is a
machine's anyway. An account's own evidence does not enter its component. S counts the others as `n / (1 + (n - 1) icc)`
independent ones, since one operator's posts, or one community's manner, make their LLR err together. Where the others'
posts say nothing (S = 0) the component is log(1 + rho (kappa - 1)), half a nat at most, far from what flags anybody;
where they look like people's it falls below 0. The component is bounded, downwards most of all: a machine that hides
among people must not be cleared by them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from detector.errors import LogError
from graph.baselines import Dispersion, Followers, compare, learn_due
from graph.coincidences import View, build_view
from graph.group_test import (
    REFRESH_MS,
    AuthorRates,
    Bets,
    Record,
    TracedObject,
    capped,
    close,
    due_ms,
    forget,
    log_threshold,
    meet,
    worth,
)
from graph.groups import Campaigns, CampaignTick, ControlSet, Ended, Group, founding_pair, group_id, inherit, match
from graph.proposals import Proposal, coarse, near, propose
from graph.trace_window import TraceWindow
from graph.traces import (
    BET_WINDOW_MS,
    FAST_REPOST,
    FAST_REPOST_MS,
    HOUR_MS,
    KIND_NAMES,
    KINDS,
    REPOST,
    CoordinationSettings,
    Trace,
)

MAX_OBJECTS: Final = 5
"""Objects named per edge: enough to check, small enough for an alert."""

MAX_TOUCHERS: Final = 200
"""Members of one object that are paired (the earliest): a group of a thousand would make half a million pairs."""


class Edge(msgspec.Struct, frozen=True):
    """What two members had in common, of one kind: rows a, b, objects shared, expected, residual, some objects."""

    a: int
    b: int
    kind: str
    count: int
    expected: float
    z: float
    objects: tuple[str, ...]


def edges_within(window: TraceWindow, members: Sequence[int], limit: int) -> list[Edge]:
    """Edges between `members` (rows), largest residual first, ties in the order of `members`; at most `limit`.

    Args:
        window: the traces.
        members: rows.
        limit: edges at most.
    """
    place = {row: n for n, row in enumerate(members)}
    at, row, slot = window.view()
    mine = np.flatnonzero(np.isin(row, np.asarray(members, np.int64)))
    first: dict[int, dict[int, int]] = defaultdict(dict)  # slot -> member -> its first trace, in order of time
    n_traces: dict[tuple[int, int], int] = defaultdict(int)
    for n in mine.tolist():
        s, r = int(slot[n]), int(row[n])
        first[s].setdefault(r, int(at[n]))
        n_traces[r, int(window.kind[s])] += 1
    chance = _chance(window)
    shared: dict[tuple[int, int, int], list[tuple[int, int]]] = defaultdict(list)
    for s, who in first.items():
        rows = list(who)[:MAX_TOUCHERS]
        kind = int(window.kind[s])
        for i, a in enumerate(rows):
            for b in rows[i + 1 :]:
                lag = who[b] - who[a]
                if lag > BET_WINDOW_MS[kind]:
                    break
                fast = kind == REPOST and lag <= FAST_REPOST_MS
                low, high = sorted((a, b), key=place.__getitem__)
                shared[low, high, FAST_REPOST if fast else kind].append((who[b], s))
    edges = []
    for (a, b, kind), objects in shared.items():
        source = REPOST if kind == FAST_REPOST else kind
        expected = n_traces[a, source] * n_traces[b, source] * chance[source]
        z = (len(objects) - expected) / math.sqrt(expected + 1.0)
        keys = tuple(window.key(s) for _, s in sorted(objects, key=lambda o: (o[0], window.key(o[1])))[:MAX_OBJECTS])
        edges.append(Edge(a, b, KIND_NAMES[kind], len(objects), expected, z, keys))
    edges.sort(key=lambda e: (-e.z, place[e.a], place[e.b], e.kind))
    return edges[:limit]


def _chance(window: TraceWindow) -> list[float]:
    """Probability that two traces of a kind in the window are of one object, by kind."""
    out = []
    for kind in range(KINDS):
        counts = window.count[window.kind == kind].astype(np.float64)
        total = counts.sum()
        out.append(float((counts * (counts - 1)).sum() / (total * (total - 1))) if total > 1 else 0.0)
    return out


class ComponentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Assumptions of the derivation, each to be fitted once there are labelled campaigns."""

    prior_group: float = 0.01  # pi: a proposed group shares one controller before anything is bet on it
    max_shared: float = 0.5  # rho never exceeds this: groups of people pass too (explanation/coordination.md)
    machine_group: float = 0.05  # q: a group is machine-driven independently of this member
    machine_odds: float = 2.3  # kappa: 1 + max_shared (kappa - 1) is what societies support
    unseen: float = 0.3  # u: the share of campaigns that `train graph` takes to be unknown to the text models
    icc: float = 0.2  # correlation of members' LLR errors; 0.1 already turns a rate of 1% into 7.7% when ignored
    member_cap: float = 1.0  # nats that one other member can give or take: only many speak for a group
    up_cap: float = 6.0  # largest gain, nats
    down_cap: float = 1.0  # largest loss, nats


def shared_probability(log_e: float, settings: ComponentSettings) -> float:
    """rho = pi e / (1 - pi + pi e), at most `max_shared`: the chance that a group with log e-value `log_e` is one."""
    odds = math.exp(min(log_e, 50.0)) * settings.prior_group / (1.0 - settings.prior_group)
    return min(odds / (1.0 + odds), settings.max_shared)


def member_components(llr: Sequence[float], log_e: float, settings: ComponentSettings) -> NDArray[np.float64]:
    """The component of each member of one group, in nats.

    Args:
        llr: text + behaviour LLR of each member, in nats, shape (n,).
        log_e: log of the group's e-value.

    Returns:
        float64, shape (n,), rounded to a thousandth; zeros for fewer than two members.
    """
    n = len(llr)
    if n < 2:
        return np.zeros(n)
    rho, q, u = shared_probability(log_e, settings), settings.machine_group, settings.unseen
    each = np.clip(np.asarray(llr, np.float64), -settings.member_cap, settings.member_cap)
    total = math.fsum(each.tolist())
    others = (total - each) / (1.0 + (n - 2) * settings.icc)
    likelihood = (1.0 - u) * np.exp(np.clip(others, -50.0, 50.0)) + u
    unrelated = q * likelihood + 1.0 - q
    shared = rho * settings.machine_odds * likelihood
    component = np.log((shared + (1.0 - rho) * unrelated) / (rho + (1.0 - rho) * unrelated))
    return np.asarray(np.round(np.clip(component, -settings.down_cap, settings.up_cap), 3) + 0.0)


def coordination_components(
    groups: Iterable[tuple[Sequence[int], float]], llr: Mapping[int, float], settings: ComponentSettings | None = None
) -> dict[int, float]:
    """The coordination component of every account in a group, in nats.

    Args:
        groups: (rows of the members, log e-value) of each group, accepted or not: early evidence counts as far as
            its e-value goes.
        llr: text + behaviour LLR by row, in nats; members it lacks count as 0 and get a component.
        settings: assumptions; the defaults where None.

    Returns:
        row -> component. An account in several groups gets the component of largest size (the positive one of a tie).
    """
    settings = settings or ComponentSettings()
    out: dict[int, float] = {}
    for members, log_e in groups:
        components = member_components([llr.get(row, 0.0) for row in members], log_e, settings)
        for row, component in zip(members, components.tolist(), strict=True):
            out[row] = max(out.get(row, 0.0), component, key=lambda p: (abs(p), p))
    return out


SNAPSHOT_VERSION: Final = 5


class CoordinationState(msgspec.Struct, array_like=True):
    """Everything of `Coordination` but its window; fields as there."""

    version: int
    kinds: tuple[str, ...]
    groups: list[Group]
    due: dict[int, list[tuple[int, bool, int]]]
    totals: dict[int, int]
    blocks: dict[int, int]
    homes: dict[int, int]
    walked: int
    first_ms: int
    created: int
    hypotheses: int
    discoveries: int
    ticks: int
    coarse_ms: int
    proposed_tick: int
    proposed_end: int
    dispersion: Dispersion
    campaigns: Campaigns


def decode_state(raw: bytes) -> CoordinationState:
    """The state in `raw`.

    Raises:
        LogError: the snapshot is of another version or damaged.
    """
    try:
        state = msgspec.msgpack.decode(raw, type=CoordinationState)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise LogError(f"the snapshot's coordination state cannot be read ({error}): use another snapshot") from error
    if state.version != SNAPSHOT_VERSION:
        raise LogError(
            f"the snapshot's coordination state has version {state.version}, not {SNAPSHOT_VERSION}: replay the log"
        )
    if state.kinds != KIND_NAMES:
        raise LogError(
            f"the snapshot was made with the kinds of trace {', '.join(state.kinds)}, and installed are "
            f"{', '.join(KIND_NAMES)}: install the same packages, or replay the log"
        )
    return state


COARSE_MS: Final = 6 * HOUR_MS
"""How often coarse communities are learned anew, and with them whom every group is compared with."""

PROMISING_NATS: Final = 2.0
"""Log e-value from which a group that no proposal continues is watched for a whole window."""

PRUNE_TICKS: Final = 6
"""Ticks between two clean-ups of what groups remember: an hour."""


class Coordination:
    """Who acts together, from traces in event order.

    Deterministic: the outcome is a function of settings, seed, names, traces and tick times. Rows may be any numbers.
    """

    def __init__(self, settings: CoordinationSettings | None = None, seed: int = 0) -> None:
        self.settings = settings or CoordinationSettings()
        self.seed = seed
        self.window = TraceWindow()
        self._groups: dict[int, Group] = {}
        self._followers = Followers(self._groups)
        self._due: dict[int, list[tuple[int, bool, int]]] = {}
        self._totals: dict[int, int] = {}
        self._blocks: dict[int, int] = {}
        self._homes: dict[int, int] = {}
        self._walked = 0
        self._first_ms = -1
        self._created = 0
        self._hypotheses = 0
        self._discoveries = 0
        self._ticks = 0
        self._proposed_tick = 0
        self._proposed_end = 0
        self._coarse_ms = 0
        self._dispersion = Dispersion()
        self._campaigns = Campaigns()
        self._author_rates: AuthorRates | None = None

    def add(self, traces: Sequence[Trace]) -> None:
        """Take traces in event order ((at, account name, event id)); traces of one event next to each other."""
        self.window.add(traces)

    def forget_account(self, row: int) -> None:
        """Forget all of an account: its traces, and its place in groups. The row may be given to another account."""
        self.window.forget(row)
        self._author_rates = None
        self._blocks.pop(row, None)
        self._homes.pop(row, None)
        for group in list(self._groups.values()):
            for bets in (group.bets, group.reference):
                if bets is not None:
                    forget(bets, row)
            if len(group.bets.members) < 2:
                del self._groups[group.number]
        self._followers.reset()

    def forget_event(self, row: int, at_ms: int) -> None:
        """Forget what `row` acted on at `at_ms`: its objects go unless somebody else acted on them."""
        self.window.forget(row, at_ms)
        self._author_rates = None

    def tick(
        self,
        at_ms: int,
        names: Callable[[int], str],
        languages: Callable[[int], str] | None = None,
        *,
        end: bool = False,
    ) -> CampaignTick:
        """Run the campaign tick `at_ms`: everything added is before it.

        Args:
            names: account name of a row; order and ids come from names alone.
            languages: main language of a row, "" where unknown; used to find comparable other accounts.
            end: the input is over: every open bet is settled as of now and nothing is proposed.
        """
        self._walk(at_ms)
        self._settle(at_ms, end)
        accepted = self._accept(at_ms)
        ended = [] if end else self._drop(at_ms)
        self.window.expire(at_ms - self.settings.window_ms)
        self._prune()
        new: list[str] = []
        proposed = 0
        self._ticks += 1
        if not end and self._proposal_is_due():
            self._proposed_tick, self._proposed_end = self._ticks, self.window.end
            view = build_view(self.window, at_ms, names, self.settings)
            if view is not None and at_ms - self._first_ms >= self.settings.learn_ms:
                new, merged, proposed = self._propose(at_ms, view, languages)
                ended += merged
        return CampaignTick(at_ms, proposed, new, accepted, ended)

    def examine(self, machine: Collection[int], at_ms: int) -> None:
        """Test the groups whose numbers are in `machine`, the machine-driven ones, as campaigns (`graph.groups`)."""
        self._campaigns.examine(self.groups(), machine, self.settings.target_fdr, at_ms)

    def groups(self) -> list[Group]:
        """All groups under test, in order of creation."""
        return [self._groups[n] for n in sorted(self._groups)]

    @property
    def discoveries(self) -> int:
        """Groups accepted so far, those that have ended included."""
        return self._discoveries

    def _proposal_is_due(self) -> bool:
        """Enough is new, and a large window is not looked through more often than `traces_per_tick` allows."""
        size = len(self.window)
        fresh = self.window.end - self._proposed_end
        every = -(-size // self.settings.traces_per_tick)
        return (
            fresh >= max(self.settings.fresh_share * size, self.settings.fresh_least)
            and self._ticks - self._proposed_tick >= every
        )

    def _walk(self, now_ms: int) -> None:
        at, row, slot = self.window.view(self._walked)
        first = self.window.end - len(at)
        self._walked = self.window.end
        if not len(at):
            return
        if self._first_ms < 0:
            self._first_ms = int(at[0])
        kind = self.window.kind[slot].astype(np.int64)
        cells = at // self.settings.activity_bin_ms * KINDS + kind
        live = row >= 0
        for cell, count in zip(*(v.tolist() for v in np.unique(cells[live], return_counts=True)), strict=True):
            self._totals[cell] = self._totals.get(cell, 0) + count
        if not self._groups:
            return
        self._followers.count_activity(row, cells)
        start, stop_at, holders = self._followers.memberships(row)
        mine = np.flatnonzero(live & (stop_at > start))
        before = self.window.before(slot, mine)
        rows, ats = row[mine].tolist(), at[mine].tolist()
        low, high = start[mine].tolist(), stop_at[mine].tolist()
        traces = [
            TracedObject(*trace)
            for trace in zip(
                (mine + first).tolist(),
                kind[mine].tolist(),
                self.window.uids(slot[mine]).tolist(),
                before.tolist(),
                strict=True,
            )
        ]
        n, stop = 0, len(rows)
        while n < stop:
            until = n + 1
            while until < stop and rows[until] == rows[n] and ats[until] == ats[n]:
                until += 1
            for number, reference in holders[low[n] : high[n]]:
                self._meet(number, reference, rows[n], ats[n], traces[n:until], now_ms)
            n = until

    def _meet(self, number: int, reference: bool, row: int, at: int, objects: list[TracedObject], now_ms: int) -> None:
        group = self._groups[number]
        bets = group.reference if reference else group.bets
        if bets is None or row not in bets.members:
            return
        before = bets.opened
        bundle = meet(bets, row, at, objects, self.settings.popular)
        if bundle < 0:
            return
        if bets.opened > before:
            if not reference and not group.hypothesis:
                self._hypotheses += 1
                group.hypothesis = self._hypotheses
            self._due.setdefault(due_ms(bets.bundles[bundle]), []).append((number, reference, bundle))
        elif capped(bets.bundles[bundle], self.settings.hit_cap):
            self._due.setdefault(now_ms - 1, []).append((number, reference, bundle))

    def _settle(self, now_ms: int, end: bool) -> None:
        learn_due(self.groups(), everybody=self._ticks % PRUNE_TICKS == 0)
        if self._author_rates is None or self._author_rates.until_ms != now_ms // REFRESH_MS * REFRESH_MS:
            self._author_rates = AuthorRates(self.window, now_ms, self.settings)
        record = Record(self.window, self._author_rates, self._totals, self._dispersion.inflation(), self.settings)
        moved: dict[int, Bets] = {}
        due = sorted(t for t in self._due if end or t < now_ms)
        for time in due:
            for number, reference, bundle in self._due.pop(time):
                group = self._groups.get(number)
                bets = None if group is None else group.reference if reference else group.bets
                if bets is None:
                    continue
                settled = close(bets, bundle, record)
                if not reference:
                    if settled:
                        moved[number] = bets
                else:
                    for kind, hits, mu in settled:
                        self._dispersion.record(kind, hits, mu)
        for bets in moved.values():
            bets.log_value = worth(bets)

    def _accept(self, now_ms: int) -> list[str]:
        out: list[str] = []
        for group in self.groups():
            if group.hypothesis and not group.accepted_among_all:
                threshold = log_threshold(group.hypothesis, self._discoveries, self.settings.target_fdr)
                if group.log_e >= threshold:
                    group.accepted_ms = now_ms
                    self._discoveries += 1
                    out.append(group.id)
        return out

    def _drop(self, now_ms: int) -> list[Ended]:
        out: list[Ended] = []
        for group in self.groups():
            if now_ms - group.proposed_ms > self._patience_ms(group):
                out.append(self._end(group, None))
        if out:
            self._followers.reset()
        return out

    def _patience_ms(self, group: Group) -> int:
        if group.accepted:
            return self.settings.accepted_patience_ms
        return self.settings.window_ms if group.log_e > PROMISING_NATS else self.settings.patience_ms

    def _end(self, group: Group, into: str | None) -> Ended:
        del self._groups[group.number]
        return Ended(group.id, group.log_e, group.hypothesis, group.accepted_among_all, into)

    def _prune(self) -> None:
        """Forget what can no longer matter, once per hour of ticks: it is the longest list of all that is kept."""
        if self._ticks % PRUNE_TICKS or not len(self.window):
            return
        oldest = int(self.window.view()[0][0]) // self.settings.activity_bin_ms * KINDS
        self._totals = {cell: n for cell, n in self._totals.items() if cell >= oldest}
        for group in self._groups.values():
            for bets in (group.bets, group.reference):
                if bets is not None:
                    uids = np.fromiter(bets.seen, np.int64, len(bets.seen))
                    for uid in uids[~self.window.living(uids)].tolist():
                        if bets.seen[uid] < 0:
                            del bets.seen[uid]
                    for cells in (bets.active, bets.control_active):
                        for cell in [cell for cell in cells if cell < oldest]:
                            del cells[cell]

    def _propose(
        self, now_ms: int, view: View, languages: Callable[[int], str] | None
    ) -> tuple[list[str], list[Ended], int]:
        learn_anew = now_ms - self._coarse_ms >= COARSE_MS
        if learn_anew:
            self._blocks = coarse(view, self.settings, self.seed)
            self._homes = near(view, self._blocks, self.settings, self.seed)
            self._coarse_ms = now_ms
        proposals, control_set = propose(view, self._blocks, self._homes, self.settings, self.seed, languages)
        new, merged = self._adopt(now_ms, view, proposals, control_set)
        if learn_anew:
            for group in self.groups():
                compare(group, view, control_set, self.window, now_ms, self.settings)
            self._followers.reset()
        return new, merged, len(proposals)

    def _adopt(
        self, now_ms: int, view: View, proposals: Sequence[Proposal], control_set: ControlSet
    ) -> tuple[list[str], list[Ended]]:
        """Continue, merge and split existing groups as the proposals say, and fix what is new."""
        plan = match([set(g.bets.members) for g in self.groups()], [set(p.members) for p in proposals])
        current = self.groups()
        ended: list[Ended] = []
        new: list[str] = []
        for place, proposal in enumerate(proposals):
            heirs = plan.continued.get(place, [])
            if heirs:
                group = current[heirs[0]]
                for other in heirs[1:]:
                    inherit(group, current[other])
                    ended.append(self._end(current[other], group.id))
                self._fix_again(group, proposal, view, control_set, now_ms)
        for small, place in plan.absorbed:
            group, into = current[small], current[plan.continued[place][0]]
            # What does better alone is left alone: a small group's evidence would drown in a large one's.
            if group.accepted == into.accepted and (group.accepted or group.log_e <= max(into.log_e, 0.0)):
                inherit(into, group)
                ended.append(self._end(group, into.id))
        taken = {g.id for g in self.groups()}
        for place, proposal in enumerate(proposals):
            if place not in plan.continued:
                group = self._fix(proposal, view, control_set, now_ms)
                if group.id in taken:  # the same two met first in another group that is still listed
                    continue
                taken.add(group.id)
                self._groups[group.number] = group
                new.append(group.id)
        self._followers.reset()
        return new, ended

    def _fix(self, proposal: Proposal, view: View, control_set: ControlSet, now_ms: int) -> Group:
        pair = founding_pair(view, self.window, proposal.members)
        self._created += 1
        bets = Bets(dict.fromkeys(proposal.members, now_ms))
        group = Group(group_id(pair), self._created, pair.at_ms, now_ms, now_ms, proposal.strength, bets)
        compare(group, view, control_set, self.window, now_ms, self.settings)
        return group

    def _fix_again(self, group: Group, proposal: Proposal, view: View, control_set: ControlSet, now_ms: int) -> None:
        group.proposed_ms = now_ms
        group.strength = proposal.strength
        members = group.bets.members
        if set(proposal.members) != set(members):
            group.bets.members = {row: members.get(row, now_ms) for row in proposal.members}
            group.fixed_ms = now_ms
            compare(group, view, control_set, self.window, now_ms, self.settings)

    def edges_within(self, members: Sequence[int], limit: int = 50) -> list[Edge]:
        """What pairs of `members` (rows) had in common in the window, largest residual first, ties in the given order.

        `expected` is n_a n_b times the chance that two traces of that kind in the window are of one object.
        """
        return edges_within(self.window, members, limit)

    def arrays(self) -> dict[str, NDArray[Any] | bytes]:
        """The whole state, for a snapshot: arrays and MessagePack bytes."""
        state = CoordinationState(
            SNAPSHOT_VERSION, KIND_NAMES, self.groups(), self._due, self._totals, self._blocks, self._homes,
            self._walked, self._first_ms, self._created, self._hypotheses, self._discoveries, self._ticks,
            self._coarse_ms, self._proposed_tick, self._proposed_end, self._dispersion, self._campaigns,
        )  # fmt: skip
        return {f"window.{name}": value for name, value in self.window.arrays().items()} | {
            "state": msgspec.msgpack.encode(state)
        }

    @classmethod
    def from_arrays(
        cls, arrays: dict[str, Any], settings: CoordinationSettings | None = None, seed: int = 0
    ) -> Coordination:
        """The state that `arrays()` described.

        Args:
            arrays: what `arrays()` gave.
            settings: of coordination.
            seed: of coordination.

        Raises:
            LogError: the snapshot is of another version or damaged.
        """
        if "state" not in arrays:
            raise LogError("the snapshot lacks the coordination state: use another snapshot")
        state = decode_state(bytes(arrays["state"]))
        self = cls(settings, seed)
        prefix = "window."
        self.window = TraceWindow.from_arrays({k[len(prefix) :]: v for k, v in arrays.items() if k.startswith(prefix)})
        self._groups.update({group.number: group for group in state.groups})
        self._due, self._totals = state.due, state.totals
        self._blocks, self._homes = state.blocks, state.homes
        self._walked, self._created, self._ticks = state.walked, state.created, state.ticks
        self._first_ms = state.first_ms
        self._hypotheses, self._discoveries = state.hypotheses, state.discoveries
        self._coarse_ms = state.coarse_ms
        self._proposed_tick, self._proposed_end = state.proposed_tick, state.proposed_end
        self._dispersion, self._campaigns = state.dispersion, state.campaigns
        self._followers.reset()
        return self
