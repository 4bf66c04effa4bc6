"""What a worker counts, for Prometheus: one `Metrics` per process, on a registry of its own, passed to constructors.

No label ever holds a text, an account, an id or anything else that a stranger chose: labels are the words below and
the names and versions of models. What comes as a free word (a reason, an alarm) is held to a short lower-case pattern
and to a bounded number of different ones, so that a mistake elsewhere can neither leak nor fill Prometheus' memory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from detector.evidence import Component

Outcome = Literal["accepted", "duplicate", "late", "dead"]
TextStage = Literal["first", "second", "meaning"]
Stage = Literal["score", "assess"]
Step = Literal[
    "poll",
    "parse",
    "read_text",
    "send",
    "feed",
    "tick",
    "second_stage",
    "commit",
    "snapshot",
    "snapshot_copy",
    "restore",
]

Alarm = Literal[
    "gap", "offset_gap", "clock_jump", "send_failed", "snapshot_failed", "partitions", "sink", "text_reader"
]
AlertKind = Literal["account", "campaign", "coordination"]

NAMESPACE: Final = "swarmlight"

SECONDS_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""One transaction costs 5 to 100 ms, a batch 10 to 500 ms, a snapshot or a restore seconds: all show a shape."""

DELAY_BUCKETS: Final = (0.5, 1, 2, 3, 5, 10, 15, 30, 60, 90, 120, 180, 300, 600, 1200, 3600, 14_400, 86_400)
"""Seconds. By design a decision comes after the allowed lateness and a tick, two minutes as configured by default; with
both small, two seconds are promised."""

MOST_WORDS: Final = 64
"""Different free words a label may take; there are about twenty reasons to abstain."""

WORD: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")

OTHER: Final = "other"


class LabelWords:
    """Admits at most `MOST_WORDS` different short words as label values; everything else becomes `other`."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def admit(self, word: str) -> str:
        if word in self._seen:
            return word
        if len(self._seen) >= MOST_WORDS or not WORD.fullmatch(word):
            return OTHER
        self._seen.add(word)
        return word


class Metrics:
    """All metrics of one process. Methods name what happened; attributes are read by tests only."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        self._words: dict[str, LabelWords] = {}
        ProcessCollector(registry=self.registry)
        self._records = self._counter("records", "Records of posts by what became of them", "outcome")
        self._texts_cut = self._counter("texts_cut", "Events whose text was longer than 64 KiB and was cut")
        self._texts = self._counter(
            "texts_scored",
            "Texts read by the model of the first or second stage, or for their meaning",
            "stage",
        )
        self._read = self._counter("records_read", "Records of posts that score has read")
        self._skipped = self._counter(
            "records_skipped", "Records of posts that are in order in their format and no post events"
        )
        self._lag = self._gauge("lag_records", "Records that wait, by partition of the input", "stage", "partition")
        self._lag_s = self._gauge("lag_seconds", "Seconds since the newest handled record was written", "stage")
        self._watermark = self._gauge("watermark_age_seconds", "Wall clock minus the smallest watermark")
        self._step = Histogram(
            "step_seconds",
            "Seconds one step of a stage took",
            ("stage", "step"),
            namespace=NAMESPACE,
            buckets=SECONDS_BUCKETS,
            registry=self.registry,
        )
        self._delay = Histogram(
            "decision_delay_seconds",
            "Seconds from the tick of event time to its committed decision",
            namespace=NAMESPACE,
            buckets=DELAY_BUCKETS,
            registry=self.registry,
        )
        self._transactions = self._counter("transactions", "Transactions by how they ended", "result")
        self._committed_at = self._gauge(
            "last_commit_timestamp_seconds", "When assess last committed, or took over; seconds since 1970, 0: never"
        )
        self._snapshot_at = self._gauge(
            "last_snapshot_timestamp_seconds", "When assess last wrote a snapshot, or took over; 0: never"
        )
        self._restores = self._counter("restores", "Starts of assess by where its state came from", "source")
        self._snapshots = self._counter("snapshots", "Snapshots written")
        self._alerts = self._counter("alerts", "Revisions of alerts written", "kind", "status")
        self._alerts_opened = self._counter("alerts_opened", "Alerts that were not there before", "kind")
        self._abstained = self._counter(
            "abstentions", "Times an evidence component abstained, by its reason", "component", "reason"
        )
        self._models = self._gauge("model_info", "Models in use", "model", "name_version")
        self._offset_gaps = self._counter("offset_gap_records", "Records that retention removed before they were read")
        self._alarms = self._counter("alarms", "What should not happen and was survived", "kind")
        self._shed = self._counter(
            "second_stage_texts_shed", "Texts that the budget of the second-stage model had no room for"
        )
        self._budget = self._gauge(
            "second_stage_budget_texts_per_second",
            "Texts per second of event time that the second-stage model may read",
        )
        self._drift = self._gauge(
            "totals_drift",
            "How far accounts' totals have moved from the calibration people's (population stability index)",
        )
        self._flagged_share = self._gauge("flagged_share", "Share flagged of the accounts that can be flagged")
        self._chance = self._gauge(
            "group_chance_share", "Share of the listed groups that are expected to be chance, by search", "among"
        )
        self._decoys = self._gauge(
            "decoy_groups", "Groups that a search shows where nobody acts together, mean of its draws", "among"
        )
        self._compared = self._gauge(
            "shadow_accounts",
            "Accounts in open alerts of this shadow and of the live deployment, or of one alone",
            "listed",
        )
        self._shadow_behind = self._gauge(
            "shadow_behind_seconds", "Event time by which this shadow is behind the live deployment"
        )
        self._chosen = self._counter(
            "canary_alerts", "Revisions put out under canary_prefix, by whose they are", "side"
        )
        self._active = self._gauge("assess_active", "1 where this process decides, 0 where it stands by")
        self._size = self._gauge("state_size", "Entries in the state of assess, by kind", "what")
        self._partitions = self._gauge("partitions_owned", "Partitions of posts that this process scores")
        self._unread = self._gauge(
            "partitions_unread", "Partitions of posts assigned to this process that have no partition of observations"
        )
        self._broker = self._gauge("broker_up", "1 where the broker answers")
        self._begin()

    def _begin(self) -> None:
        """Let every series be there at 0: what is born at 1 has not risen for Prometheus, and its rule stays silent."""
        for outcome in get_args(Outcome):
            self._records.labels(outcome)
        for kind in get_args(Alarm):
            self._alarms.labels(self._word("alarms", kind))
        for kind in get_args(AlertKind):
            self._alerts_opened.labels(kind)
        for result in ("committed", "aborted", "fenced"):
            self._transactions.labels(result)
        for stage in get_args(TextStage):
            self._texts.labels(stage)

    def records(self, outcome: Outcome, count: int = 1) -> None:
        """Records of `posts` that came to this end."""
        self._records.labels(outcome).inc(count)

    def records_read(self, count: int) -> None:
        """Records of `posts` that `score` has read, whatever becomes of them."""
        self._read.inc(count)

    def records_skipped(self, count: int) -> None:
        """Records of `posts` that are in order in their format and no post events."""
        self._skipped.inc(count)

    def texts(self, stage: TextStage, count: int = 1) -> None:
        """Texts that a model of this stage has read."""
        self._texts.labels(stage).inc(count)

    def texts_cut(self, count: int) -> None:
        """Events whose text was too long to be read whole."""
        self._texts_cut.inc(count)

    def lag(self, stage: Stage, by_partition: Mapping[int, int], seconds: float) -> None:
        """How far a stage is behind its input.

        Args:
            stage: the stage.
            by_partition: records that wait, by number of the partition; partitions that are not in it disappear.
            seconds: age of the newest handled record, over all partitions.
        """
        for labels in [sample.labels for metric in self._lag.collect() for sample in metric.samples]:
            if labels["stage"] == stage and int(labels["partition"]) not in by_partition:
                self._lag.remove(stage, labels["partition"])
        for partition, records in by_partition.items():
            self._lag.labels(stage, str(int(partition))).set(max(0, records))
        self._lag_s.labels(stage).set(max(0.0, seconds))

    def watermark_age(self, seconds: float) -> None:
        """Wall clock minus the smallest watermark."""
        self._watermark.set(seconds)

    def step(self, stage: Stage, step: Step, seconds: float) -> None:
        """One step was done.

        Args:
            stage: whose step it was.
            step: what was done.
            seconds: how long it took.
        """
        self._step.labels(stage, step).observe(seconds)

    def decision_delay(self, seconds: float) -> None:
        """Seconds from a tick of event time to its committed decision; a clock that is behind counts as 0."""
        self._delay.observe(max(0.0, seconds))

    def transaction(self, result: Literal["committed", "aborted", "fenced"]) -> None:
        """A transaction of `assess` ended."""
        self._transactions.labels(result).inc()

    def restore(self, source: Literal["snapshot", "beginning"]) -> None:
        """`assess` started, from a snapshot or from the beginning of the log."""
        self._restores.labels(source).inc()

    def committed(self, now_s: float) -> None:
        """`assess` committed something, or took over what is committed, at `now_s` (since 1970)."""
        self._committed_at.set(now_s)

    def snapshot(self, now_s: float) -> None:
        """A snapshot was written at `now_s` (since 1970)."""
        self._snapshots.inc()
        self._snapshot_at.set(now_s)

    def took_over(self, now_s: float) -> None:
        """This process decides from `now_s` (since 1970) on: nothing of it is old yet."""
        self._committed_at.set(now_s)
        self._snapshot_at.set(now_s)

    def alert(
        self,
        kind: AlertKind,
        status: Literal["open", "withdrawn", "merged"],
        count: int = 1,
    ) -> None:
        """Revisions of alerts were committed.

        Args:
            kind: what the alert is about.
            status: the status that the revision gives it.
            count: how many.
        """
        self._alerts.labels(kind, status).inc(count)

    def alert_opened(self, kind: AlertKind) -> None:
        """The first revision of an alert was committed."""
        self._alerts_opened.labels(kind).inc()

    def abstention(self, component: Component | Literal["flag"], reason: str, count: int = 1) -> None:
        """A component of the evidence could not judge.

        Args:
            component: of the evidence, or `flag` where an account is ranked but not flagged.
            reason: a code such as `no_text`, not the sentence that people read.
            count: how often.
        """
        self._abstained.labels(component, self._word("abstentions", reason)).inc(count)

    def models(self, versions: Mapping[str, str]) -> None:
        """Model versions in use (`{"text": "name@version"}`), replacing those said before."""
        self._models.clear()
        for model, name_version in versions.items():
            self._models.labels(self._word("models", model), name_version[:100]).set(1)

    def offset_gap(self, records: int) -> None:
        """Retention removed records before they were read."""
        self._offset_gaps.inc(records)

    def alarm(self, kind: Alarm) -> None:
        """Something happened that should not, and was survived."""
        self._alarms.labels(self._word("alarms", kind)).inc()

    def shed(self, texts: int) -> None:
        """Texts were left out because the budget of the second stage had no room."""
        self._shed.inc(texts)

    def budget(self, texts_per_s: float) -> None:
        """What the second-stage model may read, texts per second of event time."""
        self._budget.set(texts_per_s)

    def against_people(self, drift: float, flagged_share: float) -> None:
        """How accounts stand beside the calibration people.

        Args:
            drift: of their totals.
            flagged_share: of those that can be flagged.
        """
        self._drift.set(drift)
        self._flagged_share.set(flagged_share)

    def groups_by_chance(self, among: Literal["suspects", "all"], chance_share: float, decoy_groups: float) -> None:
        """How the listed groups stand beside decoys.

        Args:
            among: whom the search looked at.
            chance_share: mean of the groups' q.
            decoy_groups: what a draw of decoys showed in the newest search.
        """
        self._chance.labels(among).set(chance_share)
        self._decoys.labels(among).set(decoy_groups)

    def compared(self, tally: Mapping[str, int], behind_s: float) -> None:
        """A shadow was compared with the live deployment.

        Args:
            tally: accounts that both list, that are added and that are removed.
            behind_s: event time by which the shadow is behind.
        """
        for listed, accounts in tally.items():
            self._compared.labels(listed).set(accounts)
        self._shadow_behind.set(behind_s)

    def chosen(self, side: Literal["live", "shadow"]) -> None:
        """A revision was put out under `canary_prefix`."""
        self._chosen.labels(side).inc()

    def active(self, active: bool) -> None:
        """Whether this process decides, or stands by. One that stands by says nothing of the state's present."""
        self._active.set(active)
        if not active:
            self.lag("assess", {}, 0.0)
            self._watermark.set(0.0)

    def size(
        self,
        what: Literal["accounts", "flagged", "groups", "held_back", "waiting", "unconfirmed"],
        count: int,
    ) -> None:
        """How many of these the state of `assess` holds now."""
        self._size.labels(what).set(count)

    def partitions(self, count: int) -> None:
        """Partitions of `posts` that this process scores now."""
        self._partitions.set(count)

    def partitions_unread(self, count: int) -> None:
        """Partitions of `posts` that came after the observations were begun, and that nobody reads."""
        self._unread.set(count)

    def broker(self, up: bool) -> None:
        """Whether the broker answered when it was last asked."""
        self._broker.set(up)

    def _word(self, label: str, word: str) -> str:
        return self._words.setdefault(label, LabelWords()).admit(word)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, namespace=NAMESPACE, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, namespace=NAMESPACE, registry=self.registry)
