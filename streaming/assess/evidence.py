"""What accounts' events say of them: statistics, parts, total, and the one statistic that flags.

Events of a tick are taken in rounds of distinct accounts, so that every account is looked at after every post of its
own while the arithmetic stays vectorised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.account.features import EXPERTS as EXPERT_FEATURES
from detector.account.features import AccountFeatures
from detector.account.statistics import AccountStatistics
from detector.bundle import Models
from detector.errors import UsageError
from detector.explain import GraphAbstain
from detector.fusion import Fused, combine
from detector.text.reading import TextAbstain
from streaming.assess.accounts import NEVER, Accounts
from streaming.assess.connections import Connections
from streaming.assess.seen import Columns, Seen
from streaming.assess.settings import AssessSettings

# Plain integers: looking up an enum's member costs half a microsecond.
_NONE: Final = int(TextAbstain.NONE)
_NO_TEXT: Final = int(TextAbstain.NO_TEXT)

_LANGUAGE_CODES: Final = 1 << 16

Rows = NDArray[np.int64]

Watch = Callable[[Rows], None]
"""Told whose total is about to be held against the threshold."""


class Evidence:
    """Statistics and parts of all accounts.

    Args:
        settings: of the run.
        models: account model and thresholds.
        accounts: rows and columns, which this class fills in.

    Raises:
        UsageError: an explicit `target_fpr` is finer than the calibration people support.
    """

    def __init__(self, settings: AssessSettings, models: Models, accounts: Accounts) -> None:
        self.statistics = AccountStatistics(accounts.capacity)
        self._accounts = accounts
        self._model = models.account
        self._thresholds = models.thresholds
        self._text = "text" not in settings.without
        self._behaviour = "behaviour" not in settings.without
        self._coordination = "coordination" not in settings.without
        self.target_fpr = settings.target_fpr
        try:
            self.threshold = models.thresholds.threshold(settings.target_fpr)
        except UsageError:
            finest = models.thresholds.finest_fpr
            if settings.explicit_fpr or finest < settings.target_fpr:
                raise
            self.target_fpr = finest
            self.threshold = models.thresholds.threshold(finest)
        self.cap = models.thresholds.cap_nats
        self._calibrated = models.thresholds.calibrated(np.arange(_LANGUAGE_CODES).astype(np.uint16))
        self._flagged: list[int] = []
        self.watch: Watch | None = None

    def observe(self, seen: Seen, tick_ms: int) -> tuple[Rows, dict[int, int]]:
        """Let the events of a tick take effect, and flag who passes the threshold after a post.

        Returns:
            The accounts updated, ascending; how many of them abstain on text, by reason.
        """
        accounts = self._accounts
        if not seen.by_row:
            return np.zeros(0, np.int64), {}
        self.statistics.grow(accounts.capacity)
        columns = seen.columns()
        if not self._text:
            readings = columns.readings.copy()
            readings["abstain"] = TextAbstain.SWITCHED_OFF
            columns = replace(columns, readings=readings)
        stale: set[int] = set()
        for chosen in seen.rounds(columns):
            self._round(chosen)
            posting = chosen.rows[chosen.has_text]
            self.refresh(posting)
            self.flag(posting, tick_ms)
            stale.update(chosen.rows[~chosen.has_text].tolist())
            stale.difference_update(posting.tolist())
        self.refresh(np.array(sorted(stale), np.int64))
        updated = np.array(sorted(seen.by_row), np.int64)
        reasons, counts = np.unique(accounts.text_abstain[updated], return_counts=True)
        return updated, {int(r): int(c) for r, c in zip(reasons, counts, strict=True) if r}

    def _round(self, chosen: Columns) -> None:
        accounts, rows = self._accounts, chosen.rows
        self.statistics.observe(
            rows, chosen.times, chosen.kinds, chosen.readings, chosen.has_text, chosen.languages, chosen.links
        )
        posting, times = rows[chosen.has_text], chosen.times[chosen.has_text]
        accounts.posts[posting] += 1
        accounts.last_post[posting] = times
        first = accounts.first_post[posting] == NEVER
        accounts.first_post[posting[first]] = times[first]

    def refresh(self, rows: Rows) -> None:
        """Recompute parts and total of `rows` from their statistics."""
        if not len(rows):
            return
        accounts = self._accounts
        features = self.statistics.features(rows)
        parts = self._model.parts(features, text=self._text, behaviour=self._behaviour)
        accounts.text[rows] = parts.text
        accounts.behaviour[rows] = parts.behaviour
        accounts.text_abstain[rows] = parts.text_abstain
        accounts.behaviour_abstain[rows] = parts.behaviour_abstain
        accounts.language[rows] = features.language
        accounts.undecided[rows] = parts.text + parts.behaviour
        read = features.expert > 0
        if read.any():
            without = self._model.parts(_unread(features, read), text=self._text, behaviour=self._behaviour)
            accounts.undecided[rows[read]] = without.text + without.behaviour
        self.fuse(rows)

    def fuse(self, rows: Rows) -> None:
        """Recompute the total of `rows` from their parts."""
        self._accounts.total[rows] = self.fused(rows).total

    def fused(self, rows: Rows) -> Fused:
        """The parts of `rows` as they are shown: they add up to the total."""
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
        """(n,) the sum of the parts before the cap, which evidence can still grow beyond."""
        accounts = self._accounts
        own: NDArray[np.float64] = accounts.text[rows] + accounts.behaviour[rows]
        return own + accounts.coordination[rows] + accounts.graph[rows]

    def coordinate(self, parts: dict[int, float]) -> Rows:
        """Set the coordination part of the accounts in `parts` (nats), and 0 for all others; who changed, ascending."""
        accounts = self._accounts
        before = np.flatnonzero(accounts.coordination)
        rows = np.array(sorted(parts), np.int64)
        changed = np.union1d(before, rows)
        old = accounts.coordination[changed].copy()
        accounts.coordination[before] = 0.0
        if self._coordination:
            accounts.coordination[rows] = [parts[int(row)] for row in rows]
        moved: Rows = changed[accounts.coordination[changed] != old]
        self.fuse(moved)
        return moved

    def connect(self, found: Connections) -> Rows:
        """Set the graph part of the accounts it says something of, and 0 for all others; who changed, ascending."""
        accounts = self._accounts
        changed = np.union1d(np.flatnonzero(accounts.graph), found.rows)
        old = accounts.graph[changed].copy()
        accounts.graph[changed] = 0.0
        accounts.graph[found.rows] = found.nats
        accounts.graph_abstain[accounts.live()] = GraphAbstain.NO_TIES
        accounts.graph_abstain[found.rows] = GraphAbstain.NONE
        moved: Rows = changed[accounts.graph[changed] != old]
        self.fuse(moved)
        return moved

    def may_flag(self, rows: Rows) -> NDArray[np.bool_]:
        """(n,) whether these accounts may be flagged at all: text, a calibrated language, no part switched off."""
        accounts = self._accounts
        if not (self._text and self._behaviour):
            return np.zeros(len(rows), np.bool_)
        speaks: NDArray[np.bool_] = (accounts.posts[rows] > 0) & (accounts.text_abstain[rows] == _NONE)
        return speaks & self._calibrated[accounts.language[rows]]

    def flag(self, rows: Rows, tick_ms: int) -> Rows:
        """Flag those of `rows` whose total passes the threshold now; who was newly flagged."""
        accounts = self._accounts
        if self.watch is not None:
            self.watch(rows)
        passing: Rows = rows[(accounts.total[rows] > self.threshold) & ~accounts.flagged[rows]]
        if not len(passing):
            return passing
        allowed = self.may_flag(passing) & (accounts.automated[passing] != 1)
        allowed &= self.raw(passing) > accounts.bar[passing]
        new: Rows = passing[allowed]
        accounts.flagged[new] = True
        accounts.flagged_at[new] = tick_ms
        accounts.posts_at_flag[new] = accounts.posts[new]
        self._flagged += new.tolist()
        return new

    def take_flagged(self) -> list[int]:
        """Rows newly flagged since this was last asked."""
        flagged, self._flagged = self._flagged, []
        return flagged

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
        if accounts.automated[row] == 1:
            return "the account says itself that it is automated"
        if accounts.bar[row] == np.inf:
            return "permitted automation, as decided"
        return None

    def forget(self, rows: Rows) -> None:
        """The accounts of `rows` left."""
        self.statistics.clear(rows[rows < self.statistics.capacity])

    def restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Take over the statistics of a snapshot."""
        self.statistics = AccountStatistics.from_arrays(arrays)


def _unread(features: AccountFeatures, chosen: NDArray[np.bool_]) -> AccountFeatures:
    """The features of the chosen accounts as if no expert had read any of their texts."""
    taken = AccountFeatures._make(column[chosen] for column in features)
    text = taken.text.copy()
    text[:, EXPERT_FEATURES] = 0
    return taken._replace(text=text, expert=np.zeros_like(taken.expert))
