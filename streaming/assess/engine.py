"""What happens at a tick, in this order.

Events take effect in rounds; deleted accounts go; experts read and their results enter; at a campaign tick groups are
tested and every member's coordination part is renewed, and every six hours the graph part; decisions of moderators take
effect; alerts follow; accounts that were silent for long leave; summaries of those whose total moved are told.

The single ordered state machine of `assess`: everything that remembers, as a pure function of the observation log.

No clock, no threads, no I/O. Entries are fed in any interleaving of partitions; `advance` runs the next tick that is
due, if any. Which ticks run, and what they say, follows from the log alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from detector.account.features import language_tag
from detector.errors import LogError
from detector.models import Models
from detector.reasons import TEXT_REASONS
from streaming.assess.account_alerts import AccountAlerts
from streaming.assess.alert_records import AlertContext
from streaming.assess.alert_store import AlertStore
from streaming.assess.evidence import Evidence, RerankChoice, answer, request
from streaming.assess.feedback import Decisions, Rulings
from streaming.assess.group_alerts import GroupAlerts
from streaming.assess.groups import GraphLooks, GraphTick, Groups, e_value
from streaming.assess.intake import Handled, Handler
from streaming.assess.ordering import Counts, Ordering
from streaming.assess.outputs import Gone, Reranker, TickOutput, TickStats
from streaming.assess.scores import GroupMembership, Scores
from streaming.assess.settings import DAY_MS, AssessSettings
from streaming.assess.store import NEVER, Accounts, Texts, Timeline
from streaming.schema.observation import NO_TIME, Batch, Entry, Observation
from streaming.schema.score import ScoreRecord, encode_score

TELL_NATS: Final = 0.1
"""Change of an account's total that makes a new summary (docs/explanation/architecture.md)."""

_NO_ANSWER: Final = np.zeros(0, np.int16)


class TickWork:
    """Runs ticks on the parts of the state."""

    def __init__(
        self,
        shared: AlertContext,
        handler: Handler,
        experts: RerankChoice,
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
        self, tick_ms: int, events: list[Observation], bodies: list[bytes], experts: Reranker, *, last: bool
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

    def _read(self, rows: NDArray[np.int64], tick_ms: int, experts: Reranker) -> NDArray[np.int16]:
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
            for alert in self._shared.store.of_groups.values()
            if alert.open and not (names.isdisjoint(alert.members) and keys.isdisjoint(alert.shown))
        }

    def _accounts_showing(self, done: Handled) -> set[int]:
        """Rows whose open alert quotes a deleted event."""
        accounts, store = self._shared.accounts, self._shared.store
        shown: set[int] = set()
        for row, key in done.deleted:
            if row not in done.forgotten:
                alert = store.of_account(accounts.name(row))
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
        gone = [Gone(score.account, score) for score in shared.scores.of(rows)]
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
        return [(score.account, encode_score(score)) for score in scores.of(rows)]

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


NOT_BEGUN: Final = -1
"""`tick_ms` before the first tick."""


class Assess:
    """The state and its next tick.

    Args:
        settings: what is told from outside.
        models: account model, thresholds, and whether there is an expert.
        partitions: of `posts`, as every entry of the log says.

    Raises:
        UsageError: an explicit `target_fpr` is finer than the calibration people support.
    """

    def __init__(self, settings: AssessSettings, models: Models, partitions: int) -> None:
        self.settings = settings
        self.models = models
        self.partitions = partitions
        self.tick_ms = NOT_BEGUN
        self._closed = False
        self._log_models: dict[str, str] | None = None
        self.ordering = Ordering(
            partitions, settings.tick_ms, settings.allowed_lateness_s * 1000, settings.campaign_tick_ms
        )
        self._accounts = Accounts()
        self._evidence = Evidence(settings, models, self._accounts)
        self._texts = Texts()
        self._timeline = Timeline()
        self._groups = Groups(settings)
        self._book = AlertStore()
        self._decisions = Decisions()
        self._rulings = Rulings(self._accounts, self._evidence, self._book, self._decisions)
        self._graph = GraphLooks(settings, models.graph, self._accounts, lambda: self._groups.coordination)
        self._groups.traced = self._graph.model is not None
        has_graph = self._graph.model is not None
        self._scores = Scores(settings, self._accounts, self._evidence, self._membership, has_graph)
        shared = AlertContext(
            settings, models, self._accounts, self._evidence, self._texts, self._timeline, self._scores, self._book
        )
        self._account_alerts = AccountAlerts(shared)
        self._group_alerts = GroupAlerts(shared, self._groups, self._decisions)
        reads = models.expert is not None and "text" not in settings.without
        self._experts = RerankChoice(settings.expert_texts_per_s if reads else 0.0, self._evidence.threshold)
        self._handler = Handler(
            settings, self._accounts, self._texts, self._timeline, self._groups, self._rulings, self.ordering.counts
        )
        self._work = TickWork(
            shared,
            self._handler,
            self._experts,
            self._groups,
            self._rulings,
            self._account_alerts,
            self._group_alerts,
            self._graph,
        )

    def feed(self, entry: Entry) -> None:
        """Take one log entry; nothing happens until `advance`.

        Raises:
            LogError: it was written for another number of partitions, or by another model version.
        """
        if isinstance(entry, Batch) and entry.models != self._log_models:
            if self._log_models is not None:
                raise LogError(
                    f"the log mixes observations of {self._log_models} and of {entry.models}: two model versions are "
                    "never mixed in one account; start the new version under a topic_prefix of its own"
                )
            self._log_models = dict(entry.models)
        self.ordering.feed(entry)

    def watch(self, look: Callable[[str, int, float, str], None]) -> None:
        """Have `look` told (account, texts, total, main language) whenever a total is held against the threshold."""
        accounts = self._accounts

        def each(rows: NDArray[np.int64]) -> None:
            for row in rows.tolist():
                language = language_tag(int(accounts.language[row]))
                look(accounts.name(row), int(accounts.posts[row]), float(accounts.total[row]), language)

        self._evidence.watch = each

    def watch_graphs(self, look: Callable[[GraphTick], None]) -> None:
        """Have `look` told every account graph, also where there is no graph model."""
        self._graph.watch = look
        self._groups.traced = True

    def next_tick(self) -> int | None:
        """Time of the tick that `advance` would run, ms since 1970; None where none is due."""
        due = self._due()
        return None if due is None else due[0]

    def ready(self) -> bool:
        """Whether a tick is due."""
        return self._due() is not None

    def advance(self, experts: Reranker) -> TickOutput | None:
        """Run the next due tick and say what it says; None where none is due.

        Args:
            experts: has texts read (`streaming.assess.outputs.RerankRequest`); called at most once.

        Raises:
            LogError: the expert's answer does not fit the question.
        """
        due = self._due()
        if due is None:
            return None
        tick_ms, last = due
        events, bodies = self.ordering.take(tick_ms), self.ordering.take_decisions(tick_ms)
        output = self._work.run(tick_ms, events, bodies, experts, last=last)
        self.tick_ms = tick_ms
        self._closed = last
        return output

    def _due(self) -> tuple[int, bool] | None:
        """The next tick, and whether it is the last."""
        if self._closed:
            return None
        low = self.ordering.low
        if low == NO_TIME:
            return None
        ticks = [] if (first := self.ordering.next_tick()) is None else [first]
        if self.tick_ms != NOT_BEGUN and (campaign := self._groups.next_tick(self.tick_ms)) is not None:
            ticks.append(campaign)
        if not self.ordering.over:
            tick = min(ticks, default=low + 1)
            return (tick, False) if tick <= low else None
        last = self.ordering.last_tick()
        if last is None:
            if self.tick_ms == NOT_BEGUN:
                return None
            last = self.tick_ms + self.settings.tick_ms
        tick = min([*ticks, last])
        return tick, tick == last

    def ended(self) -> bool:
        """Whether the log is over and its last tick has run."""
        return self._closed or (self.ordering.over and self._due() is None)

    @property
    def positions(self) -> list[int]:
        """Next source offset of every partition of `posts`."""
        return self.ordering.positions

    @property
    def counts(self) -> Counts:
        """Records by outcome, and what was wrong with the log."""
        return self.ordering.counts

    @property
    def accounts(self) -> int:
        """Accounts with a score row."""
        return len(self._accounts)

    @property
    def flagged(self) -> int:
        """Accounts flagged now."""
        return int(self._accounts.flagged.sum())

    @property
    def campaigns(self) -> int:
        """Campaign alerts open now."""
        return sum(alert.kind == "campaign" and alert.open for alert in self._book.of_groups.values())

    def scores(self) -> Iterator[ScoreRecord]:
        """One score per live account, in the order of their names."""
        rows = sorted(self._accounts.live().tolist(), key=self._accounts.name)
        yield from self._scores.of(np.array(rows, np.int64))

    def _membership(self, row: int) -> GroupMembership:
        group = self._groups.of_row.get(row)
        campaign = self._group_alerts.campaign_of.get(row)
        if group is None:
            return GroupMembership(campaign=campaign)
        return GroupMembership(group.id, e_value(group.log_e), campaign, len(group.members))

    def language(self, row: int) -> str:
        """Main language of the account in a row, "" where unknown."""
        return language_tag(int(self._accounts.language[row]))

    def state(self) -> dict[str, Any]:
        """The whole state as nested dictionaries of arrays and plain values; `restore` is the inverse."""
        return {
            "partitions": self.partitions,
            "structure": self.settings.structure(),
            "models": self.models.versions,
            "log_models": self._log_models,
            "tick_ms": self.tick_ms,
            "closed": self._closed,
            "statistics": self._evidence.statistics.arrays(),
            "alert_store": msgspec.msgpack.encode(self._book),
            **{name: part.state() for name, part in self._parts().items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave, into a fresh object.

        Raises:
            LogError: the state is of other settings, models or partitions, with which its history is another.
        """
        self._must_equal("settings", state["structure"], self.settings.structure())
        self._must_equal("models", state["models"], self.models.versions)
        self._log_models = state["log_models"]
        self.tick_ms, self._closed = state["tick_ms"], state["closed"]
        for name, part in self._parts().items():
            part.restore(state[name])
        self._evidence.restore(state["statistics"])
        kept = msgspec.msgpack.decode(state["alert_store"], type=AlertStore)
        for name in AlertStore.__struct_fields__:
            setattr(self._book, name, getattr(kept, name))
        self._handler.counts = self.ordering.counts
        self._account_alerts.link()

    def _parts(self) -> dict[str, Any]:
        """What has `state` and `restore`, in the order of restoring."""
        return {
            "ordering": self.ordering,
            "accounts": self._accounts,
            "texts": self._texts,
            "timeline": self._timeline,
            "groups": self._groups,
            "decisions": self._decisions,
            "rulings": self._rulings,
            "experts": self._experts,
            "handler": self._handler,
            "group_alerts": self._group_alerts,
            "ticks": self._work,
            "graph": self._graph,
        }

    @staticmethod
    def _must_equal(what: str, kept: dict[str, str], now: dict[str, str]) -> None:
        other = sorted(name for name in {*kept, *now} if kept.get(name) != now.get(name))
        if other:
            changed = ", ".join(f"{name} {kept.get(name)} -> {now.get(name)}" for name in other)
            raise LogError(
                f"the snapshot was taken with other {what} ({changed}): its history would have been another; restore "
                "them, or start the changed deployment from offset 0 under a topic_prefix of its own"
            )
