"""Which texts the second-stage model reads: those of reranking candidates, within budgets.

A candidate is an account that may be flagged and is near its threshold by its evidence *without* the second stage, so
that what the second stage said, or did not get to say, never decides what it is asked next. How near it has to be
shrinks with what was read of it: the mean of n readings is known to 1 / sqrt(n), and so far a further one can move it.
Texts are paid for three times: of event time, of the account's hour, and as a share of all texts.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from detector.account.features import HALF_LIFE_POSTS
from detector.errors import LogError
from streaming.assess.outputs import NOT_READ, RerankRequest
from streaming.assess.settings import HOUR_MS
from streaming.assess.store import AccountTable, KeptText, KeptTexts

BELOW_NATS: Final = 6.0
"""How far below the threshold an account is still a candidate. A transformer that reads a dozen texts moves an account
by a few nats; what lies further away than that it would not flag."""

ABOVE_NATS: Final = 3.0
"""How far above the threshold an account is still a candidate: a second opinion can still spare a person the flag."""

SETTLED_TEXTS: Final = 3.0
"""Texts read of an account after which the distance at which it is still a candidate has shrunk by 1 / sqrt(2): as
many as an account needs to be flagged at all."""

CARRY_TEXTS: Final = 10_000
"""Texts of whose share the unused part is carried over: a campaign that breaks out after a quiet day is read, and a
quiet month is not saved for one hour."""

CARRY_TICKS: Final = 1
"""Ticks of unused budget that are carried over: what is asked for at one tick is then never more than is earned in two,
and whoever reads it has the time until the next tick. A quiet night is not saved for one minute."""

_MICRO: Final = 1_000_000
"""Parts of a text in which the budget is counted, so that it is a whole number at every tick."""


class TextBudget(msgspec.Struct):
    """How many texts one kind of reading may read at present: so many per second of event time.

    Args:
        millionths: of a text.
        since_ms: tick up to which the budget was earned, None before the first.
    """

    millionths: int = 0
    since_ms: int | None = None

    def earn(self, texts_per_s: float, tick_ms: int, width_ms: int) -> int:
        """Add what was earned up to a tick, that of one tick at the first; at most that of 1 + `CARRY_TICKS` is kept.

        Args:
            texts_per_s: of event time.
            tick_ms: the tick, not before the last.
            width_ms: length of a tick.

        Returns:
            Texts that may be read now.
        """
        rate = round(texts_per_s * _MICRO)
        most = max(rate * width_ms * (1 + CARRY_TICKS) // 1000, _MICRO)
        since_ms = tick_ms - width_ms if self.since_ms is None else self.since_ms
        self.millionths = min(self.millionths + rate * (tick_ms - since_ms) // 1000, most)
        self.since_ms = tick_ms
        return self.millionths // _MICRO

    def spend(self, texts: int) -> None:
        """Pay for texts that are read."""
        self.millionths -= texts * _MICRO


class ShareBudget(msgspec.Struct):
    """How many texts may be read as a share of all that came.

    Args:
        millionths: of a text.
    """

    millionths: int = 0

    def earn(self, share: float, texts: int) -> int:
        """The share of some further texts is added, that of `CARRY_TEXTS` texts at most.

        Args:
            share: of texts that may be read.
            texts: that came.

        Returns:
            Texts that may be read now.
        """
        rate = round(share * _MICRO)
        self.millionths = min(self.millionths + rate * texts, rate * CARRY_TEXTS)
        return self.millionths // _MICRO

    def spend(self, texts: int) -> None:
        """Pay for texts that are read."""
        self.millionths -= texts * _MICRO


@dataclass(frozen=True)
class ReadingLimits:
    """How much the second stage may read.

    Args:
        texts_per_s: of event time; 0 asks nothing.
        share: of all texts.
        texts_per_account_h: of one account in an hour of event time.
        tick_ms: length of a tick.
        far: whether accounts are read however far they are from their threshold.
    """

    texts_per_s: float
    share: float = 1.0
    texts_per_account_h: int = 12
    tick_ms: int = 60_000
    far: bool = False


class ChosenTexts(msgspec.Struct):
    """Texts chosen at a tick, and the rows of the accounts they are of; lists are of one length."""

    rows: list[int] = []
    texts: list[KeptText] = []

    def copied(self) -> ChosenTexts:
        """The same with texts of its own, which no later edit changes."""
        return ChosenTexts(self.rows, [copy(text) for text in self.texts])


class PendingTexts(msgspec.Struct):
    """What the tick before asked for: it is answered at the next one, before anything else happens.

    Args:
        candidates: texts for the second-stage model.
        meanings: texts whose vectors are asked for.
    """

    candidates: ChosenTexts = msgspec.field(default_factory=ChosenTexts)
    meanings: ChosenTexts = msgspec.field(default_factory=ChosenTexts)

    def __bool__(self) -> bool:
        return bool(self.candidates.rows or self.meanings.rows)


class Active(NamedTuple):
    """The accounts active in a tick.

    Args:
        rows: (n,) of the account table.
        able: (n,) whether an account has the texts that a flag needs.
        thresholds: (n,) total (nats) above which each is flagged.
        posts: (n,) texts of each that gave evidence.
        texts: that came in this tick, of all accounts.
    """

    rows: NDArray[np.int64]
    able: NDArray[np.bool_]
    thresholds: NDArray[np.float64]
    posts: NDArray[np.int64]
    texts: int


class Reranking:
    """Chooses texts and pays for them.

    Args:
        limits: how much may be read.
        threshold: on the raw evidence (nats) that flags where a group of accounts has none of its own.
        budget: the part of the state that is paid from by event time.
        share: the part of the state that is paid from by texts.
    """

    def __init__(self, limits: ReadingLimits, threshold: float, budget: TextBudget, share: ShareBudget) -> None:
        self._limits = limits
        self.low = threshold - BELOW_NATS
        """Evidence (nats) from which an account may become a candidate: more of its texts are kept."""
        self._budget = budget
        self._share = share

    def choose(
        self,
        active: Active,
        tick_ms: int,
        accounts: AccountTable,
        texts: KeptTexts,
    ) -> ChosenTexts:
        """Choose among the kept texts of the accounts active in this tick what is to be read, and pay for it.

        Accounts nearest to their threshold, for what was read of them, come first, and of an account the newest text;
        each gets one text before any gets a second. What is not chosen can be when the account next posts, while the
        text is kept.

        Args:
            active: accounts active in this tick.
            tick_ms: the tick.
            accounts: whose second-stage counters are moved on.
            texts: whose chosen ones are marked as read.
        """
        limits = self._limits
        limit = min(
            self._budget.earn(limits.texts_per_s, tick_ms, limits.tick_ms), self._share.earn(limits.share, active.texts)
        )
        chosen = ChosenTexts()
        if limit <= 0 or not len(active.rows):
            return chosen
        hour = tick_ms // HOUR_MS
        rows, posts = active.rows, active.posts
        since = np.maximum(posts - accounts.second_stage_posts[rows], 0)
        asked = accounts.second_stage_asked[rows] * np.exp2(-since / HALF_LIFE_POSTS)
        beyond = accounts.rerank_evidence[rows] - active.thresholds
        within = np.where(beyond < 0, BELOW_NATS, ABOVE_NATS) / np.sqrt(1.0 + asked / SETTLED_TEXTS)
        far = np.abs(beyond) / within
        choices: list[tuple[int, float, str, int, KeptText]] = []
        near = np.ones(len(far), np.bool_) if limits.far else far <= 1.0
        for i in np.flatnonzero(near & active.able).tolist():
            row = int(rows[i])
            used = int(accounts.second_stage_texts[row]) if accounts.second_stage_hour[row] == hour else 0
            unread = [text for text in reversed(texts.of(row)) if text.gives and not text.reranked]
            for turn, text in enumerate(unread[: max(limits.texts_per_account_h - used, 0)]):
                choices.append((turn, float(far[i]), accounts.name(row), i, text))
        choices.sort(key=lambda choice: choice[:3])
        for _, _, _, i, text in choices[:limit]:
            row = int(rows[i])
            if accounts.second_stage_hour[row] != hour:
                accounts.second_stage_hour[row], accounts.second_stage_texts[row] = hour, 0
            accounts.second_stage_texts[row] += 1
            asked[i] += 1.0
            accounts.second_stage_asked[row], accounts.second_stage_posts[row] = asked[i], posts[i]
            text.reranked = True
            chosen.rows.append(row)
            chosen.texts.append(text)
        self._budget.spend(len(chosen.rows))
        self._share.spend(len(chosen.rows))
        return chosen


def rerank_request(asked: PendingTexts, tick_ms: int) -> RerankRequest:
    """What the shell is asked.

    Args:
        asked: the texts.
        tick_ms: the tick at which the answer enters.
    """
    chosen, meanings = asked.candidates, asked.meanings
    return RerankRequest(
        tick_ms,
        [text.text for text in chosen.texts],
        [text.lang for text in chosen.texts],
        np.array([text.first_stage for text in chosen.texts], np.int16),
        [text.text for text in meanings.texts],
    )


class RerankRound(NamedTuple):
    """One round of an answer, distinct accounts: (n,) rows, the second-stage and the first-stage LLR in millinats."""

    rows: NDArray[np.int64]
    second_stage: NDArray[np.int16]
    first_stage: NDArray[np.int16]


def rerank_rounds(chosen: ChosenTexts, answer: NDArray[np.int16], kept: KeptTexts) -> list[RerankRound]:
    """Set the LLR of the texts that were read, and give the answer in rounds of distinct accounts.

    Args:
        chosen: what was asked.
        kept: texts, whose LLR is set where they are still kept.
        answer: (n,) LLR of each text, millinats; `NOT_READ` where it was left out.

    Raises:
        LogError: the answer is not one int16 for every text.
    """
    if answer.dtype != np.int16 or answer.shape != (len(chosen.rows),):
        raise LogError(
            f"the second-stage model was asked about {len(chosen.rows)} texts and gave "
            f"{answer.dtype}{list(answer.shape)}: the journal and the log do not belong together; start from a "
            "snapshot of this deployment"
        )
    rounds: list[list[int]] = []
    turn: dict[int, int] = {}
    for i, (row, text) in enumerate(zip(chosen.rows, chosen.texts, strict=True)):
        if answer[i] == NOT_READ:
            continue
        for each in kept.of(row):
            if (each.at, each.id) == (text.at, text.id):
                each.llr = int(answer[i])
        number = turn.get(row, 0)
        turn[row] = number + 1
        if number == len(rounds):
            rounds.append([])
        rounds[number].append(i)
    rows = np.array(chosen.rows, np.int64)
    first_stage = np.array([text.first_stage for text in chosen.texts], np.int16)
    return [RerankRound(rows[index], answer[index], first_stage[index]) for index in map(np.array, rounds)]
