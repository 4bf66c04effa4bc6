"""Which texts an expert reads: those of accounts that are still undecided, within a budget of event time.

*Undecided* is judged by the evidence without experts, so that what an expert said, or did not get to say, never decides
what it is asked next.

What accounts' events say of them: statistics, parts, total, and the one statistic that flags.

Events of a tick are taken in rounds of distinct accounts, so that every account is looked at after every post of its
own while the arithmetic stays vectorised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.account.features import EXPERTS as EXPERT_FEATURES
from detector.account.features import AccountFeatures
from detector.account.state import AccountStatistics
from detector.errors import LogError, UsageError
from detector.models import Models
from detector.reasons import GraphAbstain
from detector.text.features import TextAbstain
from detector.thresholds import Fused, combine
from streaming.assess.groups import Connections
from streaming.assess.ordering import Columns, Seen
from streaming.assess.outputs import NOT_READ, RerankRequest
from streaming.assess.settings import DAY_MS, AssessSettings
from streaming.assess.store import NEVER, Accounts, Kept, Texts

TEXTS_PER_DAY: Final = 12
"""Texts of one account that experts read a day: beyond a dozen, the spread of an account's texts is known."""

BELOW_NATS: Final = 6.0
"""How far below the threshold an account is still undecided. A transformer that reads a dozen texts moves an account by
a few nats; what lies further away than that it would not flag."""

ABOVE_NATS: Final = 3.0
"""How far above the threshold an account is still undecided: a second opinion can still spare a person the flag."""

CARRY_S: Final = 600
"""Seconds of unused budget that are carried over: a burst of a campaign's posts is read, a quiet night is not saved."""

_MICRO: Final = 1_000_000


class Asked(NamedTuple):
    """Texts chosen at a tick, and whose they are."""

    rows: list[int]
    texts: list[Kept]


class RerankChoice:
    """The budget and the choice.

    Args:
        texts_per_s: of event time; 0 asks nothing.
        threshold: on the raw evidence (nats) that flags.
    """

    def __init__(self, texts_per_s: float, threshold: float) -> None:
        self._rate = round(texts_per_s * _MICRO)
        self.low = threshold - BELOW_NATS
        self._high = threshold + ABOVE_NATS
        self._budget = 0
        self._since: int | None = None

    def choose(self, rows: NDArray[np.int64], tick_ms: int, accounts: Accounts, texts: Texts) -> Asked:
        """Choose among the kept texts of `rows` (the accounts active in this tick) what is to be read, and pay for it.

        Accounts nearest to the threshold come first, and of an account the newest text; each gets one text before
        any gets a second. What is not chosen can be when the account next posts, while the text is kept.
        """
        self._earn(tick_ms)
        asked = Asked([], [])
        limit = self._budget // _MICRO
        if not limit or not len(rows):
            return asked
        evidence = accounts.undecided[rows]
        rows = rows[(evidence >= self.low) & (evidence <= self._high)]
        day = tick_ms // DAY_MS
        middle = self.low + BELOW_NATS
        choices: list[tuple[int, float, str, int, Kept]] = []
        for row in rows.tolist():
            used = int(accounts.expert_texts[row]) if accounts.expert_day[row] == day else 0
            unread = [text for text in reversed(texts.of(row)) if text.gives and not text.read]
            distance = abs(float(accounts.undecided[row]) - middle)
            for turn, text in enumerate(unread[: TEXTS_PER_DAY - used]):
                choices.append((turn, distance, accounts.name(row), row, text))
        choices.sort(key=lambda choice: choice[:3])
        for _, _, _, row, text in choices[:limit]:
            if accounts.expert_day[row] != day:
                accounts.expert_day[row], accounts.expert_texts[row] = day, 0
            accounts.expert_texts[row] += 1
            text.read = True
            asked.rows.append(row)
            asked.texts.append(text)
        self._budget -= len(asked.rows) * _MICRO
        return asked

    def _earn(self, tick_ms: int) -> None:
        if self._since is not None:
            self._budget += self._rate * (tick_ms - self._since) // 1000
        else:
            self._budget = self._rate * CARRY_S
        self._budget = min(self._budget, self._rate * CARRY_S)
        self._since = tick_ms

    def state(self) -> dict[str, Any]:
        """For a snapshot; `restore` is the inverse."""
        return {"budget": self._budget, "since": self._since}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        self._budget, self._since = state["budget"], state["since"]


def request(asked: Asked, tick_ms: int) -> RerankRequest:
    """What the shell is asked."""
    return RerankRequest(
        tick_ms,
        [text.text for text in asked.texts],
        [text.lang for text in asked.texts],
        np.array([text.cheap for text in asked.texts], np.int16),
    )


class Answered(NamedTuple):
    """One round of an answer, distinct accounts: (n,) rows, the expert's LLR and the cheap one, millinats."""

    rows: NDArray[np.int64]
    llr: NDArray[np.int16]
    cheap: NDArray[np.int16]


def answer(asked: Asked, given: NDArray[np.int16]) -> list[Answered]:
    """Take note of the answer, in rounds of distinct accounts.

    Raises:
        LogError: the answer is not one int16 for every text.
    """
    if given.dtype != np.int16 or given.shape != (len(asked.rows),):
        raise LogError(
            f"an expert was asked about {len(asked.rows)} texts and gave {given.dtype}{list(given.shape)}: the journal "
            "and the log do not belong together; start from a snapshot of this deployment"
        )
    rounds: list[list[int]] = []
    turn: dict[int, int] = {}
    for i, (row, text) in enumerate(zip(asked.rows, asked.texts, strict=True)):
        if given[i] == NOT_READ:
            continue
        text.llr = int(given[i])
        number = turn.get(row, 0)
        turn[row] = number + 1
        if number == len(rounds):
            rounds.append([])
        rounds[number].append(i)
    rows = np.array(asked.rows, np.int64)
    cheap = np.array([text.cheap for text in asked.texts], np.int16)
    return [Answered(rows[index], given[index], cheap[index]) for index in map(np.array, rounds)]


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
