"""What happens at a tick, in this order.

Events take effect in rounds; deleted accounts go; experts read and their results enter; at a campaign tick groups are
tested and every member's coordination part is renewed, and every six hours the graph part; decisions of moderators take
effect; alerts follow; accounts that were silent for long leave; summaries of those whose total moved are told.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.account.features import language_tag
from detector.explain import TEXT_REASONS
from streaming.assess.account_alerts import AccountAlerts, Shared
from streaming.assess.accounts import NEVER
from streaming.assess.connections import GraphLooks
from streaming.assess.experts import Experts as ExpertChoice
from streaming.assess.experts import answer, request
from streaming.assess.group_alerts import GroupAlerts
from streaming.assess.groups import Groups
from streaming.assess.handling import Handled, Handler
from streaming.assess.records import Experts, Gone, TickOutput, TickStats, to_json
from streaming.assess.rulings import Rulings
from streaming.assess.settings import DAY_MS
from streaming.observations import Observation

TELL_NATS: Final = 0.1
"""Change of an account's total that makes a new summary (docs/architecture.md)."""

_NO_ANSWER: Final = np.zeros(0, np.int16)


class TickWork:
    """Runs ticks on the parts of the state."""

    def __init__(
        self,
        shared: Shared,
        handler: Handler,
        experts: ExpertChoice,
        groups: Groups,
        rulings: Rulings,
        account_alerts: AccountAlerts,
        group_alerts: GroupAlerts,
        graph: GraphLooks,
    ) -> None:
        self._shared = shared
        self._handler = handler
        self._experts = experts
        self._groups = groups
        self._rulings = rulings
        self._account_alerts = account_alerts
        self._group_alerts = group_alerts
        self._graph = graph
        self._day = NEVER

    def run(
        self, tick_ms: int, events: list[Observation], bodies: list[bytes], experts: Experts, *, last: bool
    ) -> TickOutput:
        """Run one tick.

        Args:
            events: those before the tick, in order.
            bodies: decisions that take effect now.
            experts: has texts read; called where there are any.
            last: whether the input is over.
        """
        shared = self._shared
        accounts, evidence = shared.accounts, shared.evidence
        done = self._handler.handle(events)
        updated, abstained = evidence.observe(done.seen, tick_ms)
        self._handler.store(done)
        forced_groups = self._groups_showing(done)
        records, pages = self._account_alerts.forget(done.forgotten, done.forgotten_names, tick_ms)
        self._leave(list(done.forgotten))
        self._rulings.forget(done.forgotten_names)
        if done.forgotten:
            updated = updated[~np.isin(updated, list(done.forgotten))]
        for row in done.with_texts.difference(done.forgotten):
            suspect = accounts.undecided[row] >= self._experts.low or row in self._groups.of_row
            shared.texts.settle(row, suspect=bool(suspect))
        answered = self._read(updated, tick_ms, experts)
        changed = [updated]
        is_campaign = last or tick_ms % shared.settings.campaign_tick_ms == 0
        merged: list[tuple[str, str]] = []
        if is_campaign and self._groups.on:
            merged = self._campaign_tick(tick_ms, changed, last=last)
        if is_campaign and (found := self._graph.look(tick_ms, last=last)) is not None:
            rows = evidence.connect(found)
            evidence.flag(rows, tick_ms)
            changed.append(rows)
        ruled, ruled_groups, again = self._rulings.apply(bodies)
        if ruled:
            evidence.flag(np.array(sorted(ruled), np.int64), tick_ms)
        self._account_alerts.flagged([*again, *evidence.take_flagged()])
        new, new_pages = self._group_alerts.settle(
            tick_ms, merged, forced_groups | ruled_groups, all_groups=is_campaign
        )
        records, pages = [*records, *new], [*pages, *new_pages]
        changed_rows = np.unique(np.concatenate([*changed, np.array(sorted(ruled), np.int64)]))
        new, new_pages = self._account_alerts.settle(tick_ms, changed_rows.tolist(), self._accounts_showing(done))
        records, pages = [*records, *new], [*pages, *new_pages]
        gone = [Gone(name, None) for name in sorted(done.forgotten_names)]
        summaries = self._tell(changed_rows)
        gone += self._evict(tick_ms)
        return TickOutput(
            tick_ms,
            records,
            pages,
            [*((each.account, None) for each in gone), *summaries],
            gone,
            answered,
            self._stats(len(events), done, answered, abstained, is_campaign),
        )

    def _read(self, rows: NDArray[np.int64], tick_ms: int, experts: Experts) -> NDArray[np.int16]:
        """Have texts of undecided accounts read, and let the results enter."""
        shared = self._shared
        asked = self._experts.choose(rows, tick_ms, shared.accounts, shared.texts)
        if not asked.rows:
            return _NO_ANSWER
        given = experts(request(asked, tick_ms))
        for chosen, llr, cheap in answer(asked, given):
            shared.evidence.statistics.observe_expert(chosen, llr, cheap)
            shared.evidence.refresh(chosen)
            shared.evidence.flag(chosen, tick_ms)
        return given

    def _campaign_tick(self, tick_ms: int, changed: list[NDArray[np.int64]], *, last: bool) -> list[tuple[str, str]]:
        accounts, evidence = self._shared.accounts, self._shared.evidence
        tags = {code: language_tag(code) for code in np.unique(accounts.language).tolist()}
        languages = accounts.language
        done = self._groups.tick(tick_ms, accounts.name, lambda row: tags[int(languages[row])], end=last)
        rows = evidence.coordinate(self._groups.parts(lambda rows: accounts.text[rows] + accounts.behaviour[rows]))
        evidence.flag(rows, tick_ms)
        self._group_alerts.examine(tick_ms)
        changed.append(rows)
        return [(ended.id, ended.merged_into) for ended in done.ended if ended.merged_into is not None]

    def _groups_showing(self, done: Handled) -> set[str]:
        """Ids of open group alerts that name a deleted account or quote a deleted event."""
        names, keys = done.forgotten_names, {key for _, key in done.deleted}
        if not names and not keys:
            return set()
        return {
            alert.id
            for alert in self._shared.book.of_groups()
            if alert.open and not (names.isdisjoint(alert.members) and keys.isdisjoint(alert.shown))
        }

    def _accounts_showing(self, done: Handled) -> set[int]:
        """Rows whose open alert quotes a deleted event."""
        accounts, book = self._shared.accounts, self._shared.book
        shown: set[int] = set()
        for row, key in done.deleted:
            if row not in done.forgotten:
                alert = book.of_account(accounts.name(row))
                if alert is not None and alert.open and key in alert.shown:
                    shown.add(row)
        return shown

    def _leave(self, rows: list[int]) -> None:
        """Make rows free: everything of their accounts goes."""
        if not rows:
            return
        shared = self._shared
        self._groups.forget(rows)
        self._group_alerts.forget(rows)
        shared.texts.forget(rows)
        shared.timeline.forget(rows)
        shared.evidence.forget(np.array(rows, np.int64))
        shared.accounts.free(rows)

    def _evict(self, tick_ms: int) -> list[Gone]:
        """Once a day: let go of texts past their retention and of accounts that were silent for long."""
        day = tick_ms // DAY_MS
        if day == self._day:
            return []
        self._day = day
        shared = self._shared
        shared.texts.expire(tick_ms - shared.settings.text_ttl_days * DAY_MS)
        live = shared.accounts.live()
        rows = live[shared.accounts.last_at[live] < tick_ms - shared.settings.account_ttl_days * DAY_MS]
        rows = np.array(sorted(rows.tolist(), key=shared.accounts.name), np.int64)
        gone = [Gone(score["account"], score) for score in shared.scores.rows(rows)]
        for each, row in zip(gone, rows.tolist(), strict=True):
            self._account_alerts.evict(row)
            shared.accounts.give_up(each.account)
        self._leave(rows.tolist())
        return gone

    def _tell(self, rows: NDArray[np.int64]) -> list[tuple[str, bytes | None]]:
        """Summaries of those of `rows` whose total moved, or whose flag changed, since they were last told."""
        accounts, scores = self._shared.accounts, self._shared.scores
        moved = np.abs(accounts.total[rows] - accounts.told[rows]) >= TELL_NATS - 1e-9
        rows = rows[moved | (accounts.flagged[rows] != accounts.told_flag[rows])]
        accounts.told[rows] = accounts.total[rows]
        accounts.told_flag[rows] = accounts.flagged[rows]
        rows = np.array(sorted(rows.tolist(), key=accounts.name), np.int64)
        return [(score["account"], to_json(score)) for score in scores.rows(rows)]

    def _stats(
        self, events: int, done: Handled, answered: NDArray[np.int16], abstained: dict[int, int], is_campaign: bool
    ) -> TickStats:
        accounts = self._shared.accounts
        return TickStats(
            events=events,
            duplicates=done.duplicates,
            texts=done.texts,
            expert_texts=len(answered),
            accounts=len(accounts),
            flagged=int(accounts.flagged.sum()),
            groups=len(self._groups.accepted),
            held_back=len(self._account_alerts.waiting) + self._group_alerts.held_back,
            campaign_tick=is_campaign,
            abstained={TEXT_REASONS.get(reason, str(reason)): count for reason, count in abstained.items()},
        )

    def state(self) -> dict[str, Any]:
        """For a snapshot; `restore` is the inverse."""
        return {"day": self._day}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        self._day = state["day"]
