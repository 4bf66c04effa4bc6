"""Which texts an expert reads: those of accounts that are still undecided, within a budget of event time.

*Undecided* is judged by the evidence without experts, so that what an expert said, or did not get to say, never decides
what it is asked next.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.errors import LogError
from streaming.assess.accounts import Accounts
from streaming.assess.records import NOT_READ, ExpertRequest
from streaming.assess.settings import DAY_MS
from streaming.assess.texts import Kept, Texts

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


class Experts:
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


def request(asked: Asked, tick_ms: int) -> ExpertRequest:
    """What the shell is asked."""
    return ExpertRequest(
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
