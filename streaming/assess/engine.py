"""The single ordered state machine of `assess`: everything that remembers, as a pure function of the observation log.

No clock, no threads, no I/O. Entries are fed in any interleaving of partitions; `advance` runs the next tick that is
due, if any. Which ticks run, and what they say, follows from the log alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from detector.account.features import language_tag
from detector.errors import LogError
from detector.models import Models
from streaming.assess.account_alerts import AccountAlerts
from streaming.assess.account_evidence import Evidence
from streaming.assess.alert_records import AlertContext
from streaming.assess.blind_sample import BlindSample
from streaming.assess.feedback import Overrides
from streaming.assess.group_alerts import GroupAlerts
from streaming.assess.groups import Groups, SearchWatch, load_pair_model
from streaming.assess.intake import Intake
from streaming.assess.meaning_reading import MeaningReading
from streaming.assess.ordering import Counts, Ordering
from streaming.assess.outputs import Look, Reranker, RerankRequest, TickOutput
from streaming.assess.reranking import ReadingLimits, Reranking, rerank_request
from streaming.assess.scores import Scores
from streaming.assess.settings import AssessSettings
from streaming.assess.state import NOT_BEGUN, State
from streaming.assess.tick import TickInput, TickRunner
from streaming.schema.observation import NO_TIME, Batch, Entry
from streaming.schema.score import ScoreRecord

TotalWatch = Callable[[Look], None]
"""Told every look at an account."""


class Assess:
    """The state and its next tick.

    Args:
        settings: what is set from outside.
        models: account model, thresholds, and whether there is a second stage.
        partitions: of `posts`, as every entry of the log says.

    Raises:
        UsageError: an explicit `target_fpr` is finer than the calibration people support.
        ModelError: the graph weights are of another release.
    """

    def __init__(self, settings: AssessSettings, models: Models, partitions: int) -> None:
        self.settings = settings
        self.models = models
        self.partitions = partitions
        self._pair_model = load_pair_model(settings, models.graph)
        self._total_watch: TotalWatch | None = None
        self._search_watch: SearchWatch | None = None
        self.resume(State.begin(settings, partitions))

    def resume(self, state: State) -> None:
        """Go on from `state`, of the same settings, models and number of partitions."""
        settings, models = self.settings, self.models
        self.state = state
        self.ordering = Ordering(state.ordering, settings.tick_ms, settings.campaign_tick_ms)
        self._evidence = evidence = Evidence(settings, models, state.accounts, state.statistics)
        evidence.watch = None if self._total_watch is None else self._tell_totals
        self._groups = Groups(
            settings, state.groups, state.accounts, state.narratives, self._pair_model, self._search_watch
        )
        self._scores = Scores(
            settings, state.accounts, evidence, state.groups, state.alerts, has_graph=self._pair_model is not None
        )
        reads = models.second_stage is not None and "text" not in settings.without
        compares = models.meaning is not None and "coordination" not in settings.without
        self._asks = reads or compares
        overrides = Overrides(state.accounts, evidence, state.alerts, state.decisions)
        context = AlertContext(
            settings, models, state.accounts, evidence, state.texts, state.recent_events, self._scores, state.alerts
        )
        self._ticks = TickRunner(
            settings,
            state,
            intake=Intake(settings, state, self._groups, overrides),
            evidence=evidence,
            reranking=Reranking(
                ReadingLimits(
                    settings.second_stage_texts_per_s if reads else 0.0,
                    settings.second_stage_share,
                    settings.second_stage_texts_per_account_h,
                    settings.tick_ms,
                    far=settings.second_stage_far,
                ),
                evidence.threshold,
                state.rerank_budget,
                state.rerank_share,
            ),
            meaning=MeaningReading(
                settings.meaning_texts_per_s if compares else 0.0,
                settings.tick_ms,
                settings.seed,
                state.accounts,
                state.texts,
                state.narratives,
                state.meaning_budget,
            ),
            groups=self._groups,
            overrides=overrides,
            scores=self._scores,
            account_alerts=AccountAlerts(context),
            group_alerts=GroupAlerts(context, self._groups, state.decisions),
            blind_sample=BlindSample(context),
        )

    def feed(self, entry: Entry) -> None:
        """Take one log entry; nothing happens until `advance`.

        Raises:
            LogError: it was written for another number of partitions, or by another model version.
        """
        state = self.state
        if isinstance(entry, Batch) and entry.models != state.log_models:
            if state.log_models is not None:
                raise LogError(
                    f"the log has observations of {state.log_models} and of {entry.models}: two model versions are "
                    "never mixed in one account; start the new version under a topic_prefix of its own, a shadow with "
                    'another first-stage text model with [shadow] log = "own"'
                )
            state.log_models = dict(entry.models)
        self.ordering.feed(entry)

    def watch(self, watch: TotalWatch) -> None:
        """Have `watch` told whenever a total is held against the threshold."""
        self._total_watch = watch
        self.resume(self.state)

    def watch_searches(self, watch: SearchWatch) -> None:
        """Have `watch` told every search among suspects, also where there is no same-controller model."""
        self._search_watch = watch
        self.resume(self.state)

    def _tell_totals(self, rows: NDArray[np.int64]) -> None:
        assert self._total_watch is not None
        accounts = self.state.accounts
        for row in rows.tolist():
            language = language_tag(int(accounts.language[row]))
            one = np.array([row], np.int64)
            self._total_watch(
                Look(
                    accounts.name(row),
                    int(accounts.posts[row]),
                    round(float(accounts.total[row]), 6),
                    language,
                    int(self.state.statistics.posts[row]),
                    round(float(self.state.statistics.mean_log_words(one)[0]), 6),
                )
            )

    def next_tick(self) -> int | None:
        """Time of the tick that `advance` would run, ms since 1970; None where none is due."""
        due = self._due()
        return None if due is None else due[0]

    def ready(self) -> bool:
        """Whether a tick is due."""
        return self._due() is not None

    def advance(self, reranker: Reranker) -> TickOutput | None:
        """Run the next due tick and say what it says; None where none is due.

        Args:
            reranker: has texts read (`streaming.assess.outputs.RerankRequest`); called at most once, with what
                `asked` says before the tick.

        Raises:
            LogError: the answer of the second stage does not fit the question.
        """
        due = self._due()
        if due is None:
            return None
        tick_ms, last = due
        events, decisions = self.ordering.take(tick_ms), self.ordering.take_decisions(tick_ms)
        return self._ticks.run(TickInput(tick_ms, events, decisions, last), reranker)

    def asked(self) -> RerankRequest | None:
        """What the next tick will have read, known as soon as the last one has run; None where nothing is asked for."""
        asked = self.state.asked
        return rerank_request(asked, self.state.tick_ms + self.settings.tick_ms) if asked else None

    def _due(self) -> tuple[int, bool] | None:
        """The next tick, and whether it is the last."""
        state = self.state
        if state.closed:
            return None
        low = self.ordering.low
        if low == NO_TIME:
            return None
        ticks = [] if (first := self.ordering.next_tick()) is None else [first]
        if state.asked:
            ticks.append(state.tick_ms + self.settings.tick_ms)
        if state.tick_ms != NOT_BEGUN and (campaign := self._groups.next_tick(state.tick_ms)) is not None:
            ticks.append(campaign)
        if not self.ordering.over:
            tick = min(ticks, default=low + 1)
            return (tick, False) if tick <= low else None
        last = self.ordering.last_tick()
        if last is None:
            if state.tick_ms == NOT_BEGUN:
                return None
            last = state.tick_ms + self.settings.tick_ms
        elif self._asks:
            last += self.settings.tick_ms  # what the tick of the last event asks for is answered at a further one
        tick = min([*ticks, last])
        return tick, tick == last

    def ended(self) -> bool:
        """Whether the log is over and its last tick has run."""
        return self.state.closed or (self.ordering.over and self._due() is None)

    @property
    def positions(self) -> list[int]:
        """Next source offset of every partition of `posts`."""
        return self.ordering.positions

    @property
    def counts(self) -> Counts:
        """Records by outcome, and what was wrong with the log."""
        return self.ordering.counts

    @property
    def target_fpr(self) -> float:
        """Share of people that may be flagged: as set, or the finest that the calibration people support."""
        return self._evidence.target_fpr

    @property
    def accounts(self) -> int:
        """Accounts with a score row."""
        return len(self.state.accounts)

    @property
    def threshold(self) -> float:
        """The total in nats above which an account is flagged."""
        return self._evidence.threshold

    @property
    def flagged(self) -> int:
        """Accounts flagged now."""
        return int(self.state.accounts.flagged.sum())

    @property
    def campaigns(self) -> int:
        """Campaign alerts open now."""
        return sum(alert.kind == "campaign" and alert.open for alert in self.state.alerts.of_groups.values())

    def scores(self) -> Iterator[ScoreRecord]:
        """One score per live account, in the order of their names."""
        accounts = self.state.accounts
        rows = sorted(accounts.live().tolist(), key=accounts.name)
        yield from self._scores.of(np.array(rows, np.int64))
