"""Coordination as one state machine: touches in, tested groups out, at ticks of event time.

A tick runs in this order: walk the touches since the last tick and let the frozen groups meet them, settle the bets
that are due, accept by e-LOND, drop groups that nothing continues, expire touches, and propose groups anew. A proposal
is frozen at its tick and bet on only with objects whose first member comes after it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from detector.errors import LogError
from graph.bets import Bets, close, learn, meet, mixture
from graph.elond import log_bar
from graph.evidence import Edge, edges_within
from graph.identity import first_meeting, group_id, match
from graph.outsiders import Outsiders
from graph.proposals import Proposal, coarse, propose
from graph.touches import HOUR_MS, TOUCH_KINDS, CoordinationSettings, Touch
from graph.view import View, look
from graph.window import TouchWindow

COARSE_MS: Final = 6 * HOUR_MS
"""How often coarse communities are learned anew, and with them whom every group is compared with."""

PROMISING_NATS: Final = 2.0
"""Log e-value from which a group that no proposal continues is watched for a whole window."""

INFLATION_PRIOR: Final = 20.0
"""Expected hits of prior weight at no overdispersion, so that a handful of shadows' bets does not swing it."""

INFLATION_HALF: Final = 5000.0
"""Expected hits per kind after which the shadows' older record is halved: it follows the platform, slowly."""

PRUNE_TICKS: Final = 6
"""Ticks between two clean-ups of what groups remember: an hour."""

SNAPSHOT_VERSION: Final = 1


class Group(msgspec.Struct):
    """A proposed group, its bets, and what became of it."""

    id: str
    number: int  # order of creation, ties of a tick by strength
    since_ms: int  # when its founding pair met
    frozen_ms: int
    proposed_ms: int  # the last proposal that continued it
    strength: int
    bets: Bets
    shadow: Bets | None = None
    hypothesis: int = 0  # e-LOND number, 0 until its first bet opens
    accepted_ms: int | None = None
    merged_into: str | None = None

    @property
    def members(self) -> list[int]:
        """Rows of the members."""
        return list(self.bets.members)

    @property
    def log_e(self) -> float:
        """Log of the group's e-value, in nats."""
        return self.bets.log_value

    @property
    def accepted(self) -> bool:
        """Whether e-LOND accepted it as a discovery at `target_fdr`."""
        return self.accepted_ms is not None


class Ended(NamedTuple):
    """A group that is under test no longer, and why: merged into another, or continued by no proposal for long."""

    id: str
    log_e: float
    hypothesis: int
    accepted: bool
    merged_into: str | None


class CampaignTick(NamedTuple):
    """What one tick did: how many groups were proposed, ids that are new, were accepted, and have ended."""

    at_ms: int
    proposed: int
    new: list[str]
    accepted: list[str]
    ended: list[Ended]


class Coordination:
    """Who acts together, from touches in event order.

    Deterministic: the outcome is a function of settings, seed, names, touches and tick times. Rows may be any numbers.
    """

    def __init__(self, settings: CoordinationSettings | None = None, seed: int = 0) -> None:
        self.settings = settings or CoordinationSettings()
        self.seed = seed
        self.window = TouchWindow()
        self._groups: dict[int, Group] = {}
        self._followers: dict[int, list[tuple[int, bool]]] | None = None
        self._due: dict[int, list[tuple[int, bool, int]]] = {}
        self._totals: dict[int, int] = {}
        self._blocks: dict[int, int] = {}
        self._walked = 0
        self._first_ms = -1
        self._created = 0
        self._hypotheses = 0
        self._discoveries = 0
        self._ticks = 0
        self._proposed_tick = 0
        self._proposed_end = 0
        self._coarse_ms = 0
        self._lookup: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
        self._targets: list[dict[int, int]] = []
        self._squares = [0.0] * TOUCH_KINDS
        self._expected = [0.0] * TOUCH_KINDS
        self._hits = [0.0] * TOUCH_KINDS

    # -- input -------------------------------------------------------------------------------------------------

    def add(self, touches: Sequence[Touch]) -> None:
        """Take touches in event order ((at, account name, event id)); touches of one event next to each other."""
        self.window.add(touches)

    def forget_account(self, row: int) -> None:
        """Forget all of an account: its touches, and its place in groups. The row may be given to another account."""
        self.window.forget(row)
        self._blocks.pop(row, None)
        for group in list(self._groups.values()):
            for bets in (group.bets, group.shadow):
                if bets is not None:
                    bets.members.pop(row, None)
                    bets.pool = [r for r in bets.pool if r != row]
            if len(group.bets.members) < 2:
                del self._groups[group.number]
        self._reindex()

    def forget_event(self, row: int, at_ms: int) -> None:
        """Forget what `row` touched at `at_ms`: its objects go unless somebody else touched them."""
        self.window.forget(row, at_ms)

    # -- ticks -------------------------------------------------------------------------------------------------

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
            languages: main language of a row, "" where unknown; used to find comparable outsiders.
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
            view = look(self.window, at_ms, names, self.settings)
            if view is not None and at_ms - self._first_ms >= self.settings.learn_ms:
                new, merged, proposed = self._propose(at_ms, view, languages)
                ended += merged
        return CampaignTick(at_ms, proposed, new, accepted, ended)

    def groups(self) -> list[Group]:
        """All groups under test, in order of creation."""
        return [self._groups[n] for n in sorted(self._groups)]

    @property
    def discoveries(self) -> int:
        """Groups accepted so far, those that have ended included."""
        return self._discoveries

    def inflation(self) -> list[float]:
        """Overdispersion of the shadows' hits by kind, at least 1, shape (TOUCH_KINDS,).

        The larger of the upper half's variance over the expectation and of hits over the expectation, both shrunk to 1.
        (Where hits fall short of the expectation, bets are safe already.)
        """
        prior = INFLATION_PRIOR
        return [
            max(1.0, (s + prior) / (e + prior), (h + prior) / (e + prior))
            for s, e, h in zip(self._squares, self._expected, self._hits, strict=True)
        ]

    def _proposal_is_due(self) -> bool:
        """Enough is new, and a large window is not looked through more often than `touches_per_tick` allows."""
        size = len(self.window)
        fresh = self.window.end - self._proposed_end
        every = -(-size // self.settings.touches_per_tick)
        return (
            fresh >= max(self.settings.fresh_share * size, self.settings.fresh_least)
            and self._ticks - self._proposed_tick >= every
        )

    # -- the parts of a tick -----------------------------------------------------------------------------------

    def _walk(self, now_ms: int) -> None:
        at, row, slot = self.window.view(self._walked)
        first = self.window.end - len(at)
        self._walked = self.window.end
        if not len(at):
            return
        if self._first_ms < 0:
            self._first_ms = int(at[0])
        kind = self.window.kind[slot].astype(np.int64)
        cells = at // self.settings.activity_bin_ms * TOUCH_KINDS + kind
        live = row >= 0
        for cell, count in zip(*(v.tolist() for v in np.unique(cells[live], return_counts=True)), strict=True):
            self._totals[cell] = self._totals.get(cell, 0) + count
        if not self._groups:
            return
        self._count_activity(row, cells)
        followed = np.zeros(int(row.max()) + 1, bool)
        by_row = self._by_row()
        known = np.fromiter(by_row, np.int64, len(by_row))
        followed[known[known < len(followed)]] = True
        mine = np.flatnonzero(live & followed[row])
        rows, ats = row[mine].tolist(), at[mine].tolist()
        slots, kinds, places = slot[mine].tolist(), kind[mine].tolist(), (mine + first).tolist()
        n, stop = 0, len(rows)
        while n < stop:
            until = n + 1
            while until < stop and rows[until] == rows[n] and ats[until] == ats[n]:
                until += 1
            touched = list(zip(places[n:until], slots[n:until], kinds[n:until], strict=True))
            for number, shadow in by_row[rows[n]]:
                self._meet(number, shadow, rows[n], ats[n], touched, now_ms)
            n = until

    def _meet(
        self, number: int, shadow: bool, row: int, at: int, touched: list[tuple[int, int, int]], now_ms: int
    ) -> None:
        group = self._groups[number]
        bets = group.shadow if shadow else group.bets
        if bets is None or row not in bets.members:
            return
        before = bets.opened
        bundle = meet(bets, row, at, touched, self.window, self.settings)
        if bundle < 0:
            return
        if bets.opened > before:
            if not shadow and not group.hypothesis:
                self._hypotheses += 1
                group.hypothesis = self._hypotheses
            for span in {item.window_ms for item in bets.bundles[bundle].items}:
                self._due.setdefault(at + span, []).append((number, shadow, bundle))
        elif any(len(item.hits) >= self.settings.hit_cap for item in bets.bundles[bundle].items):
            self._due.setdefault(now_ms - 1, []).append((number, shadow, bundle))

    def _count_activity(self, row: NDArray[np.int32], cells: NDArray[np.int64]) -> None:
        """Add the new touches to the activity of every group, shadow and pool that their account is in."""
        rows, codes = self._index()
        order = np.argsort(row, kind="stable")
        ordered = row[order]
        left, right = np.searchsorted(rows, ordered, "left"), np.searchsorted(rows, ordered, "right")
        times = right - left
        total = int(times.sum())
        if not total:
            return
        offset = np.arange(total) - np.repeat(np.cumsum(times) - times, times)
        code = codes[np.repeat(left, times) + offset]
        base = int(cells.min())
        span = int(cells.max()) - base + 1
        key, count = np.unique(code * span + np.repeat(cells[order] - base, times), return_counts=True)
        for k, n in zip(key.tolist(), count.tolist(), strict=True):
            target = self._targets[k // span]
            cell = k % span + base
            target[cell] = target.get(cell, 0) + n

    def _index(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(rows in ascending order, place in `_targets` of the activity they add to)."""
        if self._lookup is None:
            rows: list[int] = []
            codes: list[int] = []
            self._targets = []
            for number in sorted(self._groups):
                group = self._groups[number]
                for bets in (group.bets, group.shadow):
                    if bets is None:
                        continue
                    for accounts, target in ((list(bets.members), bets.active), (bets.pool, bets.pool_active)):
                        rows += accounts
                        codes += [len(self._targets)] * len(accounts)
                        self._targets.append(target)
            order = np.argsort(np.array(rows, np.int64), kind="stable")
            self._lookup = np.array(rows, np.int64)[order], np.array(codes, np.int64)[order]
        return self._lookup

    def _reindex(self) -> None:
        """Groups changed: who is followed is to be looked up anew."""
        self._lookup = None
        self._followers = None

    def _by_row(self) -> dict[int, list[tuple[int, bool]]]:
        """Row -> (group number, whether as a shadow) of the groups it is in."""
        if self._followers is None:
            self._followers = {}
            for number in sorted(self._groups):
                group = self._groups[number]
                for shadow, bets in ((False, group.bets), (True, group.shadow)):
                    for row in bets.members if bets is not None else ():
                        self._followers.setdefault(row, []).append((number, shadow))
        return self._followers

    def _settle(self, now_ms: int, end: bool) -> None:
        self._learn()
        inflation = self.inflation()
        due = sorted(t for t in self._due if end or t < now_ms)
        for time in due:
            for number, shadow, bundle in self._due.pop(time):
                group = self._groups.get(number)
                bets = None if group is None else group.shadow if shadow else group.bets
                if bets is None:
                    continue
                settled = close(bets, bundle, now_ms, self.window, self._totals, inflation, self.settings, end)
                if shadow:
                    for kind, hits, mu in settled:
                        self._record(kind, hits, mu)

    def _learn(self) -> None:
        """Learn the affinities that this tick's bets are settled with, from earlier ticks' alone."""
        visits, expected = [INFLATION_PRIOR] * TOUCH_KINDS, [INFLATION_PRIOR] * TOUCH_KINDS
        for group in self.groups():
            for kind in range(TOUCH_KINDS):
                visits[kind] += group.bets.kin[kind]
                expected[kind] += group.bets.kin_expected[kind]
        prior = [v / e for v, e in zip(visits, expected, strict=True)]
        for group in self.groups():
            for bets in (group.bets, group.shadow):
                if bets is not None and bets.stale:
                    learn(bets, prior)

    def _record(self, kind: int, hits: int, mu: float) -> None:
        self._squares[kind] += max(hits - mu, 0.0) ** 2
        self._expected[kind] += mu
        self._hits[kind] += hits
        if self._expected[kind] > INFLATION_HALF:
            self._squares[kind] /= 2
            self._expected[kind] /= 2
            self._hits[kind] /= 2

    def _accept(self, now_ms: int) -> list[str]:
        out: list[str] = []
        for group in self.groups():
            if group.hypothesis and not group.accepted:
                bar = log_bar(group.hypothesis, self._discoveries, self.settings.target_fdr)
                if group.log_e >= bar:
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
            self._reindex()
        return out

    def _patience_ms(self, group: Group) -> int:
        if group.accepted:
            return self.settings.accepted_patience_ms
        return self.settings.window_ms if group.log_e > PROMISING_NATS else self.settings.patience_ms

    def _end(self, group: Group, into: str | None) -> Ended:
        del self._groups[group.number]
        return Ended(group.id, group.log_e, group.hypothesis, group.accepted, into)

    def _prune(self) -> None:
        """Forget what can no longer matter, once per hour of ticks: it is the longest list of all that is kept."""
        if self._ticks % PRUNE_TICKS or not len(self.window):
            return
        oldest = int(self.window.view()[0][0]) // self.settings.activity_bin_ms * TOUCH_KINDS
        self._totals = {cell: n for cell, n in self._totals.items() if cell >= oldest}
        for group in self._groups.values():
            for bets in (group.bets, group.shadow):
                if bets is not None:
                    bets.seen = {uid: n for uid, n in bets.seen.items() if n >= 0 or self.window.alive(uid)}
                    for cells in (bets.active, bets.pool_active):
                        for cell in [cell for cell in cells if cell < oldest]:
                            del cells[cell]

    def _propose(
        self, now_ms: int, view: View, languages: Callable[[int], str] | None
    ) -> tuple[list[str], list[Ended], int]:
        learn_anew = now_ms - self._coarse_ms >= COARSE_MS
        if learn_anew:
            self._blocks = coarse(view, self.settings, self.seed)
            self._coarse_ms = now_ms
        proposals, outsiders = propose(view, self._blocks, self.settings, self.seed, languages)
        new, merged = self._adopt(now_ms, view, proposals, outsiders)
        if learn_anew:
            for group in self.groups():
                self._compare(group, view, outsiders, now_ms)
            self._reindex()
        return new, merged, len(proposals)

    def _adopt(
        self, now_ms: int, view: View, proposals: Sequence[Proposal], outsiders: Outsiders
    ) -> tuple[list[str], list[Ended]]:
        """Continue, merge and split existing groups as the proposals say, and freeze what is new."""
        plan = match([set(g.bets.members) for g in self.groups()], [set(p.members) for p in proposals])
        standing = self.groups()
        ended: list[Ended] = []
        new: list[str] = []
        for place, proposal in enumerate(proposals):
            heirs = plan.continued.get(place, [])
            if heirs:
                group = standing[heirs[0]]
                for other in heirs[1:]:
                    _inherit(group, standing[other])
                    ended.append(self._end(standing[other], group.id))
                self._refreeze(group, proposal, view, outsiders, now_ms)
        for small, place in plan.absorbed:
            group, into = standing[small], standing[plan.continued[place][0]]
            # What stands better alone is left standing: a small group's evidence would drown in a large one's.
            if group.accepted == into.accepted and (group.accepted or group.log_e <= max(into.log_e, 0.0)):
                _inherit(into, group)
                ended.append(self._end(group, into.id))
        taken = {g.id for g in self.groups()}
        for place, proposal in enumerate(proposals):
            if place not in plan.continued:
                group = self._freeze(proposal, view, outsiders, now_ms)
                if group.id in taken:  # the same two met first in another group that still stands
                    continue
                taken.add(group.id)
                self._groups[group.number] = group
                new.append(group.id)
        self._reindex()
        return new, ended

    def _freeze(self, proposal: Proposal, view: View, outsiders: Outsiders, now_ms: int) -> Group:
        meeting = first_meeting(view, self.window, proposal.members)
        self._created += 1
        bets = Bets(dict.fromkeys(proposal.members, now_ms))
        group = Group(group_id(meeting), self._created, meeting.at_ms, now_ms, now_ms, proposal.strength, bets)
        self._compare(group, view, outsiders, now_ms)
        return group

    def _refreeze(self, group: Group, proposal: Proposal, view: View, outsiders: Outsiders, now_ms: int) -> None:
        group.proposed_ms = now_ms
        group.strength = proposal.strength
        members = group.bets.members
        if set(proposal.members) != set(members):
            group.bets.members = {row: members.get(row, now_ms) for row in proposal.members}
            group.frozen_ms = now_ms
            self._compare(group, view, outsiders, now_ms)

    def _compare(self, group: Group, view: View, outsiders: Outsiders, now_ms: int) -> None:
        """Find whom the group is compared with from now on, and what all of them usually do."""
        ranks = view.ranks(list(group.bets.members))
        if not ranks:
            return
        pool, shadow = outsiders.compare(ranks, self.settings)
        self._follow(group.bets, view, ranks, pool)
        if group.shadow is None and len(shadow) >= self.settings.min_size:
            group.shadow = Bets(dict.fromkeys(view.rows[shadow].tolist(), now_ms))
            self._follow(group.shadow, view, shadow, sorted(set(pool) - set(shadow)))

    def _follow(self, bets: Bets, view: View, members: Sequence[int], pool: Sequence[int]) -> None:
        """Take up from the view (by rank) what members and pool did so far; a new pool's visits begin from nothing."""
        bets.base, bets.pool_base = view.base_rates(members), view.base_rates(pool)
        bets.share, bets.pool_share = view.shares(members), view.shares(pool)
        bets.active = view.activity(members, self.settings.activity_bin_ms)
        bets.pool_active = view.activity(pool, self.settings.activity_bin_ms)
        rows = view.rows[list(pool)].tolist()
        if 2 * len(set(rows) & set(bets.pool)) < len(rows):
            bets.visits, bets.visits_expected, bets.stale = {}, [0.0] * TOUCH_KINDS, True
        bets.pool = rows

    # -- what an alert shows -----------------------------------------------------------------------------------

    def edges_within(self, members: Sequence[int], limit: int = 50) -> list[Edge]:
        """What pairs of `members` (rows) had in common in the window, largest residual first, ties in the given order.

        `expected` is n_a n_b times the chance that two touches of that kind in the window are of one object.
        """
        return edges_within(self.window, members, limit)

    # -- snapshot ----------------------------------------------------------------------------------------------

    def arrays(self) -> dict[str, NDArray[Any] | bytes]:
        """The whole state, for a snapshot: arrays and MessagePack bytes."""
        state = _State(
            SNAPSHOT_VERSION, self.groups(), self._due, self._totals, self._blocks, self._walked, self._first_ms,
            self._created, self._hypotheses, self._discoveries, self._ticks, self._coarse_ms,
            self._proposed_tick, self._proposed_end,
            self._squares, self._expected,
            self._hits,
        )  # fmt: skip
        return {f"window.{name}": value for name, value in self.window.arrays().items()} | {
            "state": msgspec.msgpack.encode(state)
        }

    @classmethod
    def from_arrays(
        cls, arrays: dict[str, Any], settings: CoordinationSettings | None = None, seed: int = 0
    ) -> Coordination:
        """The state that `arrays()` described.

        Raises:
            LogError: the snapshot is of another version or damaged.
        """
        try:
            state = msgspec.msgpack.decode(bytes(arrays["state"]), type=_State)
            found = state.version
        except (msgspec.DecodeError, msgspec.ValidationError, KeyError) as error:
            raise LogError(
                f"the snapshot's coordination state cannot be read ({error}): use another snapshot"
            ) from error
        if found != SNAPSHOT_VERSION:
            raise LogError(
                f"the snapshot's coordination state has version {found}, not {SNAPSHOT_VERSION}: replay the log"
            )
        self = cls(settings, seed)
        prefix = "window."
        self.window = TouchWindow.from_arrays({k[len(prefix) :]: v for k, v in arrays.items() if k.startswith(prefix)})
        self._groups = {group.number: group for group in state.groups}
        self._due, self._totals, self._blocks = state.due, state.totals, state.blocks
        self._walked, self._created, self._ticks = state.walked, state.created, state.ticks
        self._first_ms = state.first_ms
        self._hypotheses, self._discoveries = state.hypotheses, state.discoveries
        self._coarse_ms = state.coarse_ms
        self._proposed_tick, self._proposed_end = state.proposed_tick, state.proposed_end
        self._squares, self._expected, self._hits = state.squares, state.expected, state.hits
        self._reindex()
        return self


class _State(msgspec.Struct, array_like=True):
    version: int
    groups: list[Group]
    due: dict[int, list[tuple[int, bool, int]]]
    totals: dict[int, int]
    blocks: dict[int, int]
    walked: int
    first_ms: int
    created: int
    hypotheses: int
    discoveries: int
    ticks: int
    coarse_ms: int
    proposed_tick: int
    proposed_end: int
    squares: list[float]
    expected: list[float]
    hits: list[float]


def _inherit(group: Group, other: Group) -> None:
    """Merge `other`'s evidence into `group`: the mean of two e-processes is one, whatever their dependence."""
    ours, theirs = group.bets.log_e, other.bets.log_e
    group.bets.log_e = [
        max(a, b) + math.log((1.0 + math.exp(-abs(a - b))) / 2) for a, b in zip(ours, theirs, strict=True)
    ]
    group.bets.log_value = mixture(group.bets.log_e)
    if other.accepted_ms is not None:
        group.accepted_ms = min(group.accepted_ms or other.accepted_ms, other.accepted_ms)
        group.hypothesis = group.hypothesis or other.hypothesis
