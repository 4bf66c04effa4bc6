"""What happens at a tick, in this order.

What was read in the texts that the last tick asked for enters; events take effect in rounds; deleted accounts go; texts
are chosen that are to be read until the next tick; at a campaign tick groups are searched for where it is time to, and
what accounts gain from each other is renewed; decisions of moderators take effect; alerts follow; accounts that were
silent for long leave; summaries of those whose total moved are published.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.reasons import TEXT_REASONS
from streaming.assess.account_alerts import AccountAlerts
from streaming.assess.account_evidence import Evidence, Observed
from streaming.assess.blind_sample import BlindSample
from streaming.assess.feedback import Overrides
from streaming.assess.group_alerts import GroupAlerts
from streaming.assess.groups import Groups
from streaming.assess.intake import Intake, Taken
from streaming.assess.meaning_reading import MeaningReading
from streaming.assess.outputs import Answer, Gone, Reranker, Sampled, TickOutput, TickStats
from streaming.assess.reranking import PendingTexts, Reranking, rerank_request, rerank_rounds
from streaming.assess.scores import Scores
from streaming.assess.settings import DAY_MS, AssessSettings
from streaming.assess.state import State
from streaming.assess.store import NEVER
from streaming.schema.observation import Observation
from streaming.schema.score import encode_score

PUBLISH_NATS: Final = 0.1
"""Change of an account's total that makes a new summary (docs/explanation/architecture.md)."""

_ROUNDING_NATS: Final = 1e-9
"""Difference that comes from adding in another order: a step of exactly `PUBLISH_NATS` counts."""

Rows = NDArray[np.int64]


class TickInput(NamedTuple):
    """What a tick is run on.

    Args:
        tick_ms: the tick.
        events: those before the tick that have not been handled, in order.
        decisions: bodies of moderators' decisions that take effect now.
        last: whether the input is over.
    """

    tick_ms: int
    events: list[Observation]
    decisions: list[bytes]
    last: bool


class TickRunner:
    """Runs ticks on the state.

    Args:
        settings: of the run.
        state: what is changed.
        intake: takes the events.
        evidence: lets them take effect.
        reranking: chooses what the second stage reads.
        meaning: chooses what is read for its meaning, and keeps it.
        groups: coordination.
        overrides: moderators' decisions.
        scores: makes score records.
        account_alerts: alerts about accounts.
        blind_sample: draws accounts that are not flagged.
        group_alerts: alerts about groups.
    """

    def __init__(
        self,
        settings: AssessSettings,
        state: State,
        *,
        intake: Intake,
        evidence: Evidence,
        reranking: Reranking,
        meaning: MeaningReading,
        groups: Groups,
        overrides: Overrides,
        scores: Scores,
        account_alerts: AccountAlerts,
        group_alerts: GroupAlerts,
        blind_sample: BlindSample,
    ) -> None:
        self._settings = settings
        self._state = state
        self._intake = intake
        self._evidence = evidence
        self._reranking = reranking
        self._meaning = meaning
        self._groups = groups
        self._overrides = overrides
        self._scores = scores
        self._account_alerts = account_alerts
        self._group_alerts = group_alerts
        self._blind_sample = blind_sample

    def run(self, given: TickInput, reranker: Reranker) -> TickOutput:
        """Run one tick.

        Args:
            given: what it is run on.
            reranker: has texts read; called where there are any.
        """
        state, tick_ms = self._state, given.tick_ms
        self._evidence.withheld.clear()
        answer, read, flagged = self._enter(tick_ms, reranker)
        taken = self._intake.take(given.events)
        observed = self._evidence.observe(taken.events, tick_ms)
        self._intake.store(taken)
        forced_groups = self._groups_showing(taken)
        forgotten = self._account_alerts.forget(taken.forgotten, taken.forgotten_names, tick_ms)
        updated = self._forget(taken, observed)
        meanings = self._meaning.choose(updated, tick_ms)  # while all texts of this tick are there
        self._settle_texts(taken)
        candidates = self._reranking.choose(
            self._evidence.active(updated, taken.texts), tick_ms, state.accounts, state.texts
        )
        # Copies: an edit of a kept text changes what is shown, and nobody reads twice.
        state.asked = PendingTexts(candidates.copied(), meanings.copied())
        flagged = [row for row in [*flagged, *observed.flagged] if row not in taken.forgotten]
        changed = [updated, read[~np.isin(read, list(taken.forgotten))]]
        is_campaign = given.last or tick_ms % self._settings.campaign_tick_ms == 0
        merged: list[tuple[str, str]] = []
        if is_campaign and self._groups.on:
            searched = self._groups.tick(tick_ms, end=given.last)
            merged = [(ended.id, ended.merged_into) for ended in searched.ended if ended.merged_into is not None]
            if searched.evidence is not None:
                moved = self._evidence.set_groups(searched.evidence)
                flagged += self._evidence.flag(moved, tick_ms)
                changed.append(moved)
        applied = self._overrides.apply(given.decisions)
        decided = np.array(sorted(applied.rows), np.int64)
        if len(decided):
            flagged += self._evidence.flag(decided, tick_ms)
        changed.append(decided)
        self._account_alerts.flagged([*applied.flagged, *flagged])
        groups = self._group_alerts.settle(tick_ms, merged, forced_groups | applied.groups, all_groups=is_campaign)
        changed_rows = np.unique(np.concatenate(changed))
        accounts = self._account_alerts.settle(tick_ms, changed_rows.tolist(), self._accounts_showing(taken))
        gone = [Gone(name, None) for name in sorted(taken.forgotten_names)]
        samples = self._sample(taken, tick_ms, last=given.last)
        summaries = self._publish(changed_rows)
        gone += self._retire(tick_ms)
        state.tick_ms, state.closed = tick_ms, given.last
        return TickOutput(
            tick_ms,
            [*forgotten.revisions, *groups.revisions, *accounts.revisions],
            [*forgotten.pages, *groups.pages, *accounts.pages],
            [*((each.account, None) for each in gone), *summaries],
            gone,
            answer,
            self._stats(taken, observed, len(given.events), answer, is_campaign=is_campaign),
            samples,
        )

    def _forget(self, taken: Taken, observed: Observed) -> Rows:
        """Let deleted events and accounts go; of the accounts that were updated, those that are still there."""
        for row, key in taken.deleted:
            self._state.narratives.forget_event(row, key)
        self._free(list(taken.forgotten))
        self._groups.forget_names(taken.forgotten_names)
        self._state.decisions.forget(taken.forgotten_names)
        if not taken.forgotten:
            return observed.updated
        still: Rows = observed.updated[~np.isin(observed.updated, list(taken.forgotten))]
        return still

    def _settle_texts(self, taken: Taken) -> None:
        """Of every account with a new text, drop the texts that need not be kept."""
        evidence, of_row = self._state.accounts.rerank_evidence, self._groups.of_row
        for row in taken.with_texts.difference(taken.forgotten):
            suspect = evidence[row] >= self._reranking.low or row in of_row
            self._state.texts.settle(row, suspect=bool(suspect))

    def _enter(self, tick_ms: int, reranker: Reranker) -> tuple[Answer, Rows, list[int]]:
        """Let what was read in the texts that the last tick asked for take effect.

        Nothing has happened since, so all accounts and events that it is about are there.

        Args:
            tick_ms: the tick.
            reranker: reads; called where anything was asked for.

        Returns:
            The answer, whose evidence it changed, and who was flagged.
        """
        state = self._state
        asked, state.asked = state.asked, PendingTexts()
        if not asked:
            return Answer.unread(), np.zeros(0, np.int64), []
        answer = reranker(rerank_request(asked, tick_ms))
        self._meaning.keep(asked.meanings, answer.vectors)
        flagged: list[int] = []
        for one_each in rerank_rounds(asked.candidates, answer.llrs, state.texts):
            flagged += self._evidence.observe_reranked(one_each, tick_ms)
        return answer, np.unique(np.array(asked.candidates.rows, np.int64)), flagged

    def _groups_showing(self, taken: Taken) -> set[str]:
        """Ids of open group alerts that name a deleted account or quote a deleted event."""
        names, keys = taken.forgotten_names, {key for _, key in taken.deleted}
        if not names and not keys:
            return set()
        return {
            alert.id
            for alert in self._state.alerts.of_groups.values()
            if alert.open
            and not (names.isdisjoint(alert.members) and names.isdisjoint(alert.near) and keys.isdisjoint(alert.shown))
        }

    def _accounts_showing(self, taken: Taken) -> set[int]:
        """Rows whose open alert quotes a deleted event."""
        state = self._state
        shown: set[int] = set()
        for row, key in taken.deleted:
            if row not in taken.forgotten:
                alert = state.alerts.of_account(state.accounts.name(row))
                if alert is not None and alert.open and key in alert.shown:
                    shown.add(row)
        return shown

    def _free(self, rows: list[int]) -> None:
        """Make rows free: everything of their accounts goes."""
        if not rows:
            return
        state = self._state
        self._groups.forget(rows)
        state.alerts.forget_campaigns(rows)
        state.texts.forget(rows)
        state.narratives.drop(rows)
        state.recent_events.forget(rows)
        self._evidence.forget(np.array(rows, np.int64))
        state.accounts.free(rows)

    def _sample(self, taken: Taken, tick_ms: int, *, last: bool) -> list[Sampled]:
        """The blind sample of a day that is over, and who is to be forgotten in earlier ones.

        Args:
            taken: what the tick took in.
            tick_ms: the tick.
            last: whether the input is over, and with it the day.
        """
        if not self._settings.blind_sample_per_day:
            return []
        samples = [Sampled(name, None) for name in sorted(taken.forgotten_names)]
        day = self._state.retention_day  # as `_retire` left it: that of the ticks before
        if last and day == NEVER:
            day = tick_ms // DAY_MS
        return [*samples, *self._blind_sample.draw(day, tick_ms)] if last or day != tick_ms // DAY_MS else samples

    def _retire(self, tick_ms: int) -> list[Gone]:
        """Once a day: let go of texts past their retention and of accounts that were silent for long."""
        state, settings, day = self._state, self._settings, tick_ms // DAY_MS
        if day == state.retention_day:
            return []
        state.retention_day = day
        state.texts.expire(tick_ms - settings.text_ttl_days * DAY_MS)
        state.narratives.expire(tick_ms - settings.text_ttl_days * DAY_MS)
        accounts = state.accounts
        live = accounts.live()
        rows = live[accounts.last_at[live] < tick_ms - settings.account_ttl_days * DAY_MS]
        rows = np.array(sorted(rows.tolist(), key=accounts.name), np.int64)
        gone = [Gone(score.account, score) for score in self._scores.of(rows)]
        for each, row in zip(gone, rows.tolist(), strict=True):
            state.alerts.forget_row(row)
            accounts.give_up(each.account)
        self._free(rows.tolist())
        self._meaning.sweep()
        return gone

    def _publish(self, rows: Rows) -> list[tuple[str, bytes | None]]:
        """Summaries of those of `rows` whose total moved, or whose flag changed, since they were last published."""
        accounts = self._state.accounts
        moved = np.abs(accounts.total[rows] - accounts.published_total[rows]) >= PUBLISH_NATS - _ROUNDING_NATS
        rows = rows[moved | (accounts.flagged[rows] != accounts.published_flag[rows])]
        accounts.published_total[rows] = accounts.total[rows]
        accounts.published_flag[rows] = accounts.flagged[rows]
        rows = np.array(sorted(rows.tolist(), key=accounts.name), np.int64)
        return [(score.account, encode_score(score)) for score in self._scores.of(rows)]

    def _stats(self, taken: Taken, observed: Observed, events: int, answer: Answer, *, is_campaign: bool) -> TickStats:
        state = self._state
        drift, flagged_share = self._evidence.against_people(state.accounts.live()) if is_campaign else (None, None)
        return TickStats(
            drift=drift,
            flagged_share=flagged_share,
            chance=self._groups.by_chance() if is_campaign else None,
            withheld=dict(self._evidence.withheld),
            events=events,
            duplicates=taken.duplicates,
            texts=taken.texts,
            reranked=len(answer.llrs),
            meanings=len(answer.vectors),
            accounts=len(state.accounts),
            flagged=int(state.accounts.flagged.sum()),
            groups=len(self._groups.accepted),
            held_back=len(state.alerts.waiting) + state.alerts.held_back,
            campaign_tick=is_campaign,
            abstained={TEXT_REASONS.get(reason, str(reason)): count for reason, count in observed.abstained.items()},
        )
