"""Which texts the second-stage model reads: those of reranking candidates, within a budget of event time.

A candidate is an account near the threshold by its evidence *without* the second stage, so that what the second stage
said, or did not get to say, never decides what it is asked next.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from detector.errors import LogError
from streaming.assess.outputs import NOT_READ, RerankRequest
from streaming.assess.settings import DAY_MS
from streaming.assess.store import AccountTable, KeptText, KeptTexts

TEXTS_PER_DAY: Final = 12
"""Texts of one account that the second stage reads a day: beyond a dozen, the spread of an account's texts is known."""

BELOW_NATS: Final = 6.0
"""How far below the threshold an account is still a candidate. A transformer that reads a dozen texts moves an account
by a few nats; what lies further away than that it would not flag."""

ABOVE_NATS: Final = 3.0
"""How far above the threshold an account is still a candidate: a second opinion can still spare a person the flag."""

CARRY_S: Final = 600
"""Seconds of unused budget that are carried over: a burst of a campaign's posts is read, a quiet night is not saved."""

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

    def earn(self, texts_per_s: float, tick_ms: int) -> int:
        """What was earned up to a tick is added, `CARRY_S` seconds of it at most; at the first tick all of those.

        Args:
            texts_per_s: of event time.
            tick_ms: the tick, not before the last.

        Returns:
            Texts that may be read now.
        """
        rate = round(texts_per_s * _MICRO)
        most = rate * CARRY_S
        if self.since_ms is None:
            self.millionths = most
        else:
            self.millionths = min(self.millionths + rate * (tick_ms - self.since_ms) // 1000, most)
        self.since_ms = tick_ms
        return self.millionths // _MICRO

    def spend(self, texts: int) -> None:
        """Pay for texts that are read."""
        self.millionths -= texts * _MICRO


class Candidates(NamedTuple):
    """Texts chosen at a tick, and the rows of the accounts they are of; lists are of one length."""

    rows: list[int]
    texts: list[KeptText]


class Reranking:
    """Chooses texts and pays for them.

    Args:
        texts_per_s: of event time; 0 asks nothing.
        threshold: on the raw evidence (nats) that flags.
        budget: the part of the state that this class changes.
    """

    def __init__(self, texts_per_s: float, threshold: float, budget: TextBudget) -> None:
        self._texts_per_s = texts_per_s
        self.low = threshold - BELOW_NATS
        """Evidence (nats) from which an account is a candidate."""
        self._high = threshold + ABOVE_NATS
        self._budget = budget

    def choose(self, rows: NDArray[np.int64], tick_ms: int, accounts: AccountTable, texts: KeptTexts) -> Candidates:
        """Choose among the kept texts of the accounts active in this tick what is to be read, and pay for it.

        Accounts nearest to the threshold come first, and of an account the newest text; each gets one text before
        any gets a second. What is not chosen can be when the account next posts, while the text is kept.

        Args:
            rows: (n,) accounts active in this tick.
            tick_ms: the tick.
            accounts: whose second-stage counters are moved on.
            texts: whose chosen ones are marked as read.
        """
        limit = self._budget.earn(self._texts_per_s, tick_ms)
        chosen = Candidates([], [])
        if not limit or not len(rows):
            return chosen
        evidence = accounts.rerank_evidence[rows]
        rows = rows[(evidence >= self.low) & (evidence <= self._high)]
        day = tick_ms // DAY_MS
        middle = self.low + BELOW_NATS
        choices: list[tuple[int, float, str, int, KeptText]] = []
        for row in rows.tolist():
            used = int(accounts.second_stage_texts[row]) if accounts.second_stage_day[row] == day else 0
            unread = [text for text in reversed(texts.of(row)) if text.gives and not text.reranked]
            distance = abs(float(accounts.rerank_evidence[row]) - middle)
            for turn, text in enumerate(unread[: TEXTS_PER_DAY - used]):
                choices.append((turn, distance, accounts.name(row), row, text))
        choices.sort(key=lambda choice: choice[:3])
        for _, _, _, row, text in choices[:limit]:
            if accounts.second_stage_day[row] != day:
                accounts.second_stage_day[row], accounts.second_stage_texts[row] = day, 0
            accounts.second_stage_texts[row] += 1
            text.reranked = True
            chosen.rows.append(row)
            chosen.texts.append(text)
        self._budget.spend(len(chosen.rows))
        return chosen


def rerank_request(chosen: Candidates, meanings: Candidates, tick_ms: int) -> RerankRequest:
    """What the shell is asked at a tick.

    Args:
        chosen: for the second-stage model.
        meanings: for their meaning.
        tick_ms: the tick.
    """
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


def rerank_rounds(chosen: Candidates, answer: NDArray[np.int16]) -> list[RerankRound]:
    """Set the LLR of the texts that were read, and give the answer in rounds of distinct accounts.

    Args:
        chosen: what was asked.
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
        text.llr = int(answer[i])
        number = turn.get(row, 0)
        turn[row] = number + 1
        if number == len(rounds):
            rounds.append([])
        rounds[number].append(i)
    rows = np.array(chosen.rows, np.int64)
    first_stage = np.array([text.first_stage for text in chosen.texts], np.int16)
    return [RerankRound(rows[index], answer[index], first_stage[index]) for index in map(np.array, rounds)]
