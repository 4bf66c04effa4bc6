"""The single ordered state machine of `assess`: everything that remembers, as a pure function of the observation log.

No clock, no threads, no I/O. Entries are fed in any interleaving of partitions; `advance` runs the next tick that is
due, if any. Which ticks run, and what they say, follows from the log alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.account.features import language_tag
from detector.bundle import Models
from detector.errors import LogError
from streaming.assess.account_alerts import AccountAlerts, Shared
from streaming.assess.accounts import Accounts
from streaming.assess.connections import GraphLooks, GraphTick
from streaming.assess.evidence import Evidence
from streaming.assess.experts import Experts as ExpertChoice
from streaming.assess.feedback import Decisions
from streaming.assess.group_alerts import GroupAlerts
from streaming.assess.groups import Groups, e_value
from streaming.assess.handling import Handler
from streaming.assess.lifecycle import Book
from streaming.assess.ordering import Counts, Ordering
from streaming.assess.records import Experts, ScoreRow, TickOutput
from streaming.assess.rulings import Rulings
from streaming.assess.scores import Membership, Scores
from streaming.assess.settings import AssessSettings
from streaming.assess.texts import Texts
from streaming.assess.ticks import TickWork
from streaming.assess.timeline import Timeline
from streaming.observations import NO_TIME, Batch, Entry

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
        self._book = Book(settings.max_alerts_per_day)
        self._decisions = Decisions()
        self._rulings = Rulings(self._accounts, self._evidence, self._book, self._decisions)
        self._graph = GraphLooks(settings, models.graph, self._accounts, lambda: self._groups.coordination)
        self._groups.traced = self._graph.model is not None
        has_graph = self._graph.model is not None
        self._scores = Scores(settings, self._accounts, self._evidence, self._membership, has_graph)
        shared = Shared(
            settings, models, self._accounts, self._evidence, self._texts, self._timeline, self._scores, self._book
        )
        self._account_alerts = AccountAlerts(shared)
        self._group_alerts = GroupAlerts(shared, self._groups, self._decisions)
        reads = models.expert is not None and "text" not in settings.without
        self._experts = ExpertChoice(settings.expert_texts_per_s if reads else 0.0, self._evidence.threshold)
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

    def advance(self, experts: Experts) -> TickOutput | None:
        """Run the next due tick and say what it says; None where none is due.

        Args:
            experts: has texts read (`streaming.assess.records.ExpertRequest`); called at most once.

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
        return sum(alert.kind == "campaign" and alert.open for alert in self._book.of_groups())

    def scores(self) -> Iterator[ScoreRow]:
        """One score row per live account, in the order of their names."""
        rows = sorted(self._accounts.live().tolist(), key=self._accounts.name)
        yield from self._scores.rows(np.array(rows, np.int64))

    def _membership(self, row: int) -> Membership:
        group = self._groups.of_row.get(row)
        campaign = self._group_alerts.campaign_of.get(row)
        if group is None:
            return Membership(campaign=campaign)
        return Membership(group.id, e_value(group.log_e), campaign, len(group.members))

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
            "book": self._book,
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
