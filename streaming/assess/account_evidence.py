"""What accounts' events say of them: statistics, evidence components, total, and the one statistic that flags.

Events of a tick are taken in rounds of distinct accounts, so that every account is looked at after every post of its
own while the arithmetic stays vectorised.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.account.features import SECOND_STAGE as SECOND_STAGE_FEATURES
from detector.account.features import AccountFeatures
from detector.account.statistics import AccountStatistics
from detector.drift import FEWEST_ACCOUNTS, drift
from detector.errors import UsageError
from detector.models import Models
from detector.reasons import GraphAbstain
from detector.text.features import TextAbstain
from detector.threshold_groups import Source, cells
from detector.thresholds import Fused, combine
from streaming.assess.event_columns import EventColumns, TickEvents
from streaming.assess.groups import SearchEvidence
from streaming.assess.reranking import Active, RerankRound
from streaming.assess.settings import AssessSettings
from streaming.assess.store import NEVER, AccountTable

# Plain integers: looking up an enum's member costs half a microsecond.
_NONE: Final = int(TextAbstain.NONE)
_NO_TEXT: Final = int(TextAbstain.NO_TEXT)

_LANGUAGE_CODES: Final = 1 << 16

Rows = NDArray[np.int64]

TotalsWatch = Callable[[Rows], None]
"""Told whose total is about to be held against the threshold."""


class Observed(NamedTuple):
    """What the events of a tick changed.

    Args:
        updated: accounts with an event, ascending.
        flagged: accounts newly flagged after one of their posts.
        abstained: of the updated accounts, how many abstain on text, by reason.
    """

    updated: Rows
    flagged: list[int]
    abstained: dict[int, int]


class Evidence:
    """Computes the columns of evidence in the account table from the statistics.

    Args:
        settings: of the run.
        models: account model and thresholds.
        accounts: the table whose columns this class fills in.
        statistics: of all accounts, row by row.

    Raises:
        UsageError: an explicit `target_fpr` is finer than the calibration people support, or an explicit `min_texts`
            is smaller than they were looked at with.
    """

    def __init__(
        self, settings: AssessSettings, models: Models, accounts: AccountTable, statistics: AccountStatistics
    ) -> None:
        self.statistics = statistics
        self._accounts = accounts
        self._model = models.account
        self._weights = models.weights
        self._thresholds = models.thresholds
        self._text = "text" not in settings.without
        self._behaviour = "behaviour" not in settings.without
        self._coordination = "coordination" not in settings.without
        self._graph = "graph" not in settings.without
        self.target_fpr = settings.target_fpr
        try:
            self._by_group = models.thresholds.by_group(settings.target_fpr)
        except UsageError:
            finest = models.thresholds.finest_fpr
            if settings.explicit_fpr or finest < settings.target_fpr:
                raise
            self.target_fpr = finest
            self._by_group = models.thresholds.by_group(finest)
        if settings.explicit_min_texts and settings.min_texts < models.thresholds.min_texts:
            raise UsageError(
                f"min_texts = {settings.min_texts}: the thresholds were set on accounts with at least "
                f"{models.thresholds.min_texts} texts; ask for no fewer, or calibrate again (swarmlight calibrate)"
            )
        self.min_texts = max(settings.min_texts, models.thresholds.min_texts)
        self.cap = models.thresholds.cap_nats
        self._people_totals = models.thresholds.people_totals()
        self._calibrated = models.thresholds.calibrated(np.arange(_LANGUAGE_CODES).astype(np.uint16))
        self.watch: TotalsWatch | None = None
        self.withheld: Counter[str] = Counter()
        """Looks since this was emptied at which an account passed its threshold and was not flagged, by reason."""

    def observe(self, events: TickEvents, tick_ms: int) -> Observed:
        """Let the events of a tick take effect, and flag who passes the threshold after a post."""
        accounts = self._accounts
        if not events.by_row:
            return Observed(np.zeros(0, np.int64), [], {})
        self.statistics.grow(accounts.capacity)
        columns = events.columns()
        if not self._text:
            features = columns.features.copy()
            features["abstain"] = TextAbstain.SWITCHED_OFF
            columns = replace(columns, features=features)
        flagged: list[int] = []
        stale: set[int] = set()
        for one_each in events.rounds(columns):
            self._observe_round(one_each)
            posting = one_each.rows[one_each.has_text]
            self.refresh(posting)
            flagged += self.flag(posting, tick_ms)
            stale.update(one_each.rows[~one_each.has_text].tolist())
            stale.difference_update(posting.tolist())
        self.refresh(np.array(sorted(stale), np.int64))
        updated = np.array(sorted(events.by_row), np.int64)
        reasons, counts = np.unique(accounts.text_abstain[updated], return_counts=True)
        abstained = {int(r): int(c) for r, c in zip(reasons, counts, strict=True) if r}
        return Observed(updated, flagged, abstained)

    def _observe_round(self, one_each: EventColumns) -> None:
        accounts, rows = self._accounts, one_each.rows
        self.statistics.observe(
            rows,
            one_each.times,
            one_each.kinds,
            one_each.features,
            one_each.has_text,
            one_each.languages,
            one_each.links,
        )
        posting, times = rows[one_each.has_text], one_each.times[one_each.has_text]
        accounts.posts[posting] += 1
        accounts.last_post[posting] = times
        first = accounts.first_post[posting] == NEVER
        accounts.first_post[posting[first]] = times[first]

    def observe_reranked(self, one_each: RerankRound, tick_ms: int) -> list[int]:
        """Let second-stage results take effect, one text of each account; accounts newly flagged."""
        self.statistics.observe_second_stage(one_each.rows, one_each.second_stage, one_each.first_stage)
        self.refresh(one_each.rows)
        return self.flag(one_each.rows, tick_ms)

    def refresh(self, rows: Rows) -> None:
        """Recompute components and total of `rows` from their statistics."""
        if not len(rows):
            return
        accounts = self._accounts
        features = self.statistics.features(rows)
        components = self._model.components(features, text=self._text, behaviour=self._behaviour)
        text = accounts.text[rows] = self._weights.of("text", components.text)
        behaviour = accounts.behaviour[rows] = self._weights.of("behaviour", components.behaviour)
        accounts.text_abstain[rows] = components.text_abstain
        accounts.behaviour_abstain[rows] = components.behaviour_abstain
        accounts.language[rows] = features.language
        accounts.rerank_evidence[rows] = text + behaviour
        read = features.second_stage > 0
        if read.any():
            without = self._model.components(
                _without_second_stage(features, read), text=self._text, behaviour=self._behaviour
            )
            text, behaviour = self._weights.of("text", without.text), self._weights.of("behaviour", without.behaviour)
            accounts.rerank_evidence[rows[read]] = text + behaviour
        self.fuse(rows)

    def fuse(self, rows: Rows) -> None:
        """Recompute the total of `rows` from their components."""
        self._accounts.total[rows] = self.fused(rows).total

    def fused(self, rows: Rows) -> Fused:
        """The components of `rows` as they are shown: they add up to the total."""
        accounts = self._accounts
        return combine(
            accounts.text[rows],
            accounts.behaviour[rows],
            accounts.coordination[rows],
            accounts.graph[rows],
            self.cap,
        )

    def own(self, rows: Rows) -> NDArray[np.float64]:
        """(n,) what the accounts' own text and behaviour say, bounded like a total, to compare with people's."""
        accounts, nothing = self._accounts, np.zeros(len(rows))
        return combine(accounts.text[rows], accounts.behaviour[rows], nothing, nothing, self.cap).total

    def raw(self, rows: Rows) -> NDArray[np.float64]:
        """(n,) the sum of the components before the cap, which evidence can still grow beyond."""
        accounts = self._accounts
        own: NDArray[np.float64] = accounts.text[rows] + accounts.behaviour[rows]
        return own + accounts.coordination[rows] + accounts.graph[rows]

    def set_groups(self, evidence: SearchEvidence) -> Rows:
        """Set what a search says of accounts, and 0 for all others; who changed, ascending."""
        accounts = self._accounts
        before = np.flatnonzero((accounts.coordination != 0.0) | (accounts.graph != 0.0))
        changed = np.union1d(before, evidence.rows)
        old = accounts.coordination[changed].copy(), accounts.graph[changed].copy()
        accounts.coordination[before] = 0.0
        accounts.graph[before] = 0.0
        accounts.graph_abstain[accounts.live()] = GraphAbstain.NO_TIES
        if self._coordination:
            accounts.coordination[evidence.rows] = self._weights.of("coordination", evidence.coordination)
        if self._graph:
            accounts.graph[evidence.rows] = self._weights.of("graph", evidence.graph)
            accounts.graph_abstain[evidence.rows[evidence.graph > 0]] = GraphAbstain.NONE
        moved: Rows = changed[(accounts.coordination[changed] != old[0]) | (accounts.graph[changed] != old[1])]
        self.fuse(moved)
        return moved

    def may_flag(self, rows: Rows) -> NDArray[np.bool_]:
        """(n,) whether these accounts may be flagged at all: enough text in a calibrated language, all switched on."""
        accounts = self._accounts
        if not (self._text and self._behaviour):
            return np.zeros(len(rows), np.bool_)
        speaks: NDArray[np.bool_] = (accounts.posts[rows] > 0) & (accounts.text_abstain[rows] == _NONE)
        return speaks & self._calibrated[accounts.language[rows]] & (self.statistics.posts[rows] >= self.min_texts)

    @property
    def threshold(self) -> float:
        """The total (nats) above which an account is flagged where its group has no threshold of its own."""
        return self._by_group.everybody.threshold

    def thresholds(self, rows: Rows) -> NDArray[np.float64]:
        """(n,) the total (nats) above which each account is flagged: that of the group it is in now."""
        return self._by_group.thresholds(self._accounts.language[rows], self._cells(rows))

    def against_people(self, rows: Rows) -> tuple[float | None, float | None]:
        """How accounts that can be flagged stand beside the calibration people.

        Args:
            rows: all live accounts.

        Returns:
            How far the totals of those not flagged have drifted (`detector.drift`), and the share that is flagged; None
            where there are too few.
        """
        able = rows[self.may_flag(rows)]
        if len(able) < FEWEST_ACCOUNTS:
            return None, None
        flagged = self._accounts.flagged[able]
        return drift(self._people_totals, self._accounts.total[able[~flagged]]), round(float(flagged.mean()), 6)

    def active(self, rows: Rows, texts: int) -> Active:
        """What decides whether texts of accounts are read again.

        Args:
            rows: accounts active in a tick.
            texts: that came in it, of all accounts.
        """
        posts = self.statistics.posts[rows].astype(np.int64)
        return Active(rows, posts >= self.min_texts, self.thresholds(rows), posts, texts)

    def threshold_source(self, row: int) -> Source:
        """Where the threshold of an account comes from."""
        cell = int(self._cells(np.array([row], np.int64))[0])
        return self._by_group.source(int(self._accounts.language[row]), cell)

    def _cells(self, rows: Rows) -> NDArray[np.int64]:
        return cells(self.statistics.mean_log_words(rows), self.statistics.posts[rows])

    def flag(self, rows: Rows, tick_ms: int) -> list[int]:
        """Flag those of `rows` whose total passes the threshold now; the accounts newly flagged."""
        accounts = self._accounts
        if self.watch is not None:
            self.watch(rows)
        passing: Rows = rows[(accounts.total[rows] > self.thresholds(rows)) & ~accounts.flagged[rows]]
        if not len(passing):
            return []
        allowed = self.may_flag(passing) & (accounts.automated[passing] != 1)
        allowed &= self.raw(passing) > accounts.suppression_threshold[passing]
        self.withheld.update(map(self._withheld, passing[~allowed].tolist()))
        new: Rows = passing[allowed]
        accounts.flagged[new] = True
        accounts.flagged_at[new] = tick_ms
        accounts.posts_at_flag[new] = accounts.posts[new]
        return list(new.tolist())

    def _withheld(self, row: int) -> str:
        """Why an account above its threshold is not flagged, in one word for a metric."""
        if self.may_flag(np.array([row], np.int64))[0]:
            return "automated" if self._accounts.automated[row] == 1 else "decided"
        if not (self._text and self._behaviour):
            return "switched_off"
        if self._accounts.text_abstain[row] != _NONE or self._accounts.posts[row] == 0:
            return "no_text"
        return "too_few_texts" if self._calibrated[self._accounts.language[row]] else "language_not_calibrated"

    def unflag(self, row: int) -> None:
        """Take the flag back: its alert is withdrawn."""
        self._accounts.flagged[row] = False
        self._accounts.flagged_at[row] = NEVER
        self._accounts.posts_at_flag[row] = 0

    def why_not_flagged(self, row: int) -> str | None:
        """What `abstained.flag` says of an account, None where it could be flagged."""
        accounts = self._accounts
        if accounts.posts[row] == 0 or accounts.text_abstain[row] == _NO_TEXT:
            return "no text: such accounts are never flagged"
        if not (self._text and self._behaviour):
            return "uncalibrated: the thresholds are for text and behaviour together"
        if accounts.text_abstain[row] != _NONE:
            return "uncalibrated: no text gave evidence"
        language = int(accounts.language[row])
        if not self._calibrated[language]:
            return self._thresholds.why_uncalibrated(language)
        texts = int(self.statistics.posts[row])
        if texts < self.min_texts:
            return f"too few texts: {texts} of at least {self.min_texts} (min_texts)"
        if accounts.automated[row] == 1:
            return "the account says itself that it is automated"
        if accounts.suppression_threshold[row] == np.inf:
            return "permitted automation, as decided"
        return None

    def forget(self, rows: Rows) -> None:
        """The accounts of `rows` left."""
        self.statistics.clear(rows[rows < self.statistics.capacity])


def _without_second_stage(features: AccountFeatures, chosen: NDArray[np.bool_]) -> AccountFeatures:
    """The features of the chosen accounts as if the second stage had read none of their texts."""
    taken = AccountFeatures._make(column[chosen] for column in features)
    text = taken.text.copy()
    text[:, SECOND_STAGE_FEATURES] = 0
    return taken._replace(text=text, second_stage=np.zeros_like(taken.second_stage))
