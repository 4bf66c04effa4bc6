"""Coordination as one state machine: touches in, tested groups out, at ticks of event time.

A tick runs in this order: walk the touches since the last tick and let the frozen groups meet them, settle the bets
that are due, accept by e-LOND, drop groups that nothing continues, expire touches, and propose groups anew. A proposal
is frozen at its tick and bet on only with objects whose first member comes after it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from detector.errors import LogError
from graph.affinity import learn_due
from graph.bets import Bets, Record, Touched, capped, close, due_ms, forget, meet, worth
from graph.campaigns import Campaigns
from graph.dispersion import Dispersion
from graph.elond import log_bar
from graph.evidence import Edge, edges_within
from graph.followers import Followers
from graph.freeze import compare
from graph.group import CampaignTick, Ended, Group, inherit
from graph.habits import REFRESH_MS, Habits
from graph.identity import first_meeting, group_id, match
from graph.outsiders import Outsiders
from graph.proposals import Proposal, coarse, near, propose
from graph.state import SNAPSHOT_VERSION, State, decode_state
from graph.touches import HOUR_MS, TOUCH_KINDS, CoordinationSettings, Touch
from graph.view import View, look
from graph.window import TouchWindow

COARSE_MS: Final = 6 * HOUR_MS
"""How often coarse communities are learned anew, and with them whom every group is compared with."""

PROMISING_NATS: Final = 2.0
"""Log e-value from which a group that no proposal continues is watched for a whole window."""

PRUNE_TICKS: Final = 6
"""Ticks between two clean-ups of what groups remember: an hour."""


class Coordination:
    """Who acts together, from touches in event order.

    Deterministic: the outcome is a function of settings, seed, names, touches and tick times. Rows may be any numbers.
    """

    def __init__(self, settings: CoordinationSettings | None = None, seed: int = 0) -> None:
        self.settings = settings or CoordinationSettings()
        self.seed = seed
        self.window = TouchWindow()
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
        self._habits: Habits | None = None

    def add(self, touches: Sequence[Touch]) -> None:
        """Take touches in event order ((at, account name, event id)); touches of one event next to each other."""
        self.window.add(touches)

    def forget_account(self, row: int) -> None:
        """Forget all of an account: its touches, and its place in groups. The row may be given to another account."""
        self.window.forget(row)
        self._habits = None
        self._blocks.pop(row, None)
        self._homes.pop(row, None)
        for group in list(self._groups.values()):
            for bets in (group.bets, group.shadow):
                if bets is not None:
                    forget(bets, row)
            if len(group.bets.members) < 2:
                del self._groups[group.number]
        self._followers.reset()

    def forget_event(self, row: int, at_ms: int) -> None:
        """Forget what `row` touched at `at_ms`: its objects go unless somebody else touched them."""
        self.window.forget(row, at_ms)
        self._habits = None

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

    def examine(self, machine: Collection[int], at_ms: int) -> None:
        """Test the groups whose numbers are in `machine`, the machine-driven ones, as campaigns (`graph.campaigns`)."""
        self._campaigns.examine(self.groups(), machine, self.settings.target_fdr, at_ms)

    def groups(self) -> list[Group]:
        """All groups under test, in order of creation."""
        return [self._groups[n] for n in sorted(self._groups)]

    @property
    def discoveries(self) -> int:
        """Groups accepted so far, those that have ended included."""
        return self._discoveries

    def _proposal_is_due(self) -> bool:
        """Enough is new, and a large window is not looked through more often than `touches_per_tick` allows."""
        size = len(self.window)
        fresh = self.window.end - self._proposed_end
        every = -(-size // self.settings.touches_per_tick)
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
        cells = at // self.settings.activity_bin_ms * TOUCH_KINDS + kind
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
        touches = [
            Touched(*touch)
            for touch in zip(
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
            for number, shadow in holders[low[n] : high[n]]:
                self._meet(number, shadow, rows[n], ats[n], touches[n:until], now_ms)
            n = until

    def _meet(self, number: int, shadow: bool, row: int, at: int, touched: list[Touched], now_ms: int) -> None:
        group = self._groups[number]
        bets = group.shadow if shadow else group.bets
        if bets is None or row not in bets.members:
            return
        before = bets.opened
        bundle = meet(bets, row, at, touched, self.settings.popular)
        if bundle < 0:
            return
        if bets.opened > before:
            if not shadow and not group.hypothesis:
                self._hypotheses += 1
                group.hypothesis = self._hypotheses
            self._due.setdefault(due_ms(bets.bundles[bundle]), []).append((number, shadow, bundle))
        elif capped(bets.bundles[bundle], self.settings.hit_cap):
            self._due.setdefault(now_ms - 1, []).append((number, shadow, bundle))

    def _settle(self, now_ms: int, end: bool) -> None:
        learn_due(self.groups(), everybody=self._ticks % PRUNE_TICKS == 0)
        if self._habits is None or self._habits.until_ms != now_ms // REFRESH_MS * REFRESH_MS:
            self._habits = Habits(self.window, now_ms, self.settings)
        record = Record(self.window, self._habits, self._totals, self._dispersion.inflation(), self.settings)
        moved: dict[int, Bets] = {}
        due = sorted(t for t in self._due if end or t < now_ms)
        for time in due:
            for number, shadow, bundle in self._due.pop(time):
                group = self._groups.get(number)
                bets = None if group is None else group.shadow if shadow else group.bets
                if bets is None:
                    continue
                settled = close(bets, bundle, record)
                if not shadow:
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
            self._followers.reset()
        return out

    def _patience_ms(self, group: Group) -> int:
        if group.stands:
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
                    uids = np.fromiter(bets.seen, np.int64, len(bets.seen))
                    for uid in uids[~self.window.living(uids)].tolist():
                        if bets.seen[uid] < 0:
                            del bets.seen[uid]
                    for cells in (bets.active, bets.pool_active):
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
        proposals, outsiders = propose(view, self._blocks, self._homes, self.settings, self.seed, languages)
        new, merged = self._adopt(now_ms, view, proposals, outsiders)
        if learn_anew:
            for group in self.groups():
                compare(group, view, outsiders, self.window, now_ms, self.settings)
            self._followers.reset()
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
                    inherit(group, standing[other])
                    ended.append(self._end(standing[other], group.id))
                self._refreeze(group, proposal, view, outsiders, now_ms)
        for small, place in plan.absorbed:
            group, into = standing[small], standing[plan.continued[place][0]]
            # What stands better alone is left standing: a small group's evidence would drown in a large one's.
            if group.stands == into.stands and (group.stands or group.log_e <= max(into.log_e, 0.0)):
                inherit(into, group)
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
        self._followers.reset()
        return new, ended

    def _freeze(self, proposal: Proposal, view: View, outsiders: Outsiders, now_ms: int) -> Group:
        meeting = first_meeting(view, self.window, proposal.members)
        self._created += 1
        bets = Bets(dict.fromkeys(proposal.members, now_ms))
        group = Group(group_id(meeting), self._created, meeting.at_ms, now_ms, now_ms, proposal.strength, bets)
        compare(group, view, outsiders, self.window, now_ms, self.settings)
        return group

    def _refreeze(self, group: Group, proposal: Proposal, view: View, outsiders: Outsiders, now_ms: int) -> None:
        group.proposed_ms = now_ms
        group.strength = proposal.strength
        members = group.bets.members
        if set(proposal.members) != set(members):
            group.bets.members = {row: members.get(row, now_ms) for row in proposal.members}
            group.frozen_ms = now_ms
            compare(group, view, outsiders, self.window, now_ms, self.settings)

    def edges_within(self, members: Sequence[int], limit: int = 50) -> list[Edge]:
        """What pairs of `members` (rows) had in common in the window, largest residual first, ties in the given order.

        `expected` is n_a n_b times the chance that two touches of that kind in the window are of one object.
        """
        return edges_within(self.window, members, limit)

    def arrays(self) -> dict[str, NDArray[Any] | bytes]:
        """The whole state, for a snapshot: arrays and MessagePack bytes."""
        state = State(
            SNAPSHOT_VERSION, self.groups(), self._due, self._totals, self._blocks, self._homes, self._walked,
            self._first_ms, self._created, self._hypotheses, self._discoveries, self._ticks, self._coarse_ms,
            self._proposed_tick, self._proposed_end, self._dispersion, self._campaigns,
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
        if "state" not in arrays:
            raise LogError("the snapshot lacks the coordination state: use another snapshot")
        state = decode_state(bytes(arrays["state"]))
        self = cls(settings, seed)
        prefix = "window."
        self.window = TouchWindow.from_arrays({k[len(prefix) :]: v for k, v in arrays.items() if k.startswith(prefix)})
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
