"""Which texts are read for what they say, and whose vectors are kept: those of suspects and of a panel.

A suspect is an account whose own evidence (text and behaviour) speaks for a machine. The panel are accounts that are
no suspects, drawn by a hash of their names: what suspects say is rare or not against what the panel says.
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detector.errors import LogError
from detector.text.meaning import MEANING_DIM
from graph.narratives import VECTORS_KEPT, Narratives
from streaming.assess.duplicates import event_key
from streaming.assess.reranking import ChosenTexts, TextBudget
from streaming.assess.store import AccountTable, KeptText, KeptTexts

SUSPECT_NATS: Final = 0.0
"""Own evidence above which an account is a suspect: what it wrote speaks for a machine rather than for a person."""

PANEL: Final = 512
"""Accounts of the panel: their posts say what is common, and twenty decoy sets are drawn from them."""

DRAWN: Final = 1.5
"""Accounts drawn for each of the panel: of those drawn some are suspects, or have written nothing that can be read."""

REPLACE_MS: Final = 3_600_000
"""An account that has all its vectors gets at most one new one an hour: what it talks about changes slowly, and who
posts without pause does not take the budget of the others."""

MOST_AT_ONCE: Final = 1024
"""Texts asked for at one tick at most, whatever was saved up: their vectors are in one record of the journal."""

GROWTH: Final = 2
"""Growth, since accounts that are neither suspects nor of the panel were last swept out, at which they are again."""

FEWEST_SWEPT: Final = PANEL * VECTORS_KEPT
"""Vectors below which there is nothing to sweep: those of a full panel, 3 MB."""

_HASHES: Final = 1 << 64

Rows = NDArray[np.int64]


def are_suspects(accounts: AccountTable, rows: Rows) -> NDArray[np.bool_]:
    """Which of the accounts in `rows` are suspects, (n,)."""
    suspects: NDArray[np.bool_] = accounts.text[rows] + accounts.behaviour[rows] > SUSPECT_NATS
    return suspects


def draw(account: str, seed: int) -> int:
    """A number below `_HASHES` by account and seed of the run; the panel and controls are those with small ones."""
    name, salt = account.encode("utf-8", "surrogatepass"), seed.to_bytes(8, "little", signed=True)
    return int.from_bytes(hashlib.blake2b(name, digest_size=8, salt=salt).digest(), "little")


class MeaningReading:
    """Chooses texts, pays for them and keeps their vectors.

    Args:
        texts_per_s: of event time; 0 asks nothing and keeps nothing.
        tick_ms: length of a tick.
        seed: of the run, which draws the panel.
        accounts: their evidence, posts and names.
        texts: what is kept of their texts.
        narratives: the vectors, which this class changes.
        budget: the part of the state from which texts are paid.
    """

    def __init__(
        self,
        texts_per_s: float,
        tick_ms: int,
        seed: int,
        accounts: AccountTable,
        texts: KeptTexts,
        narratives: Narratives,
        budget: TextBudget,
    ) -> None:
        self._texts_per_s, self._tick_ms = texts_per_s, tick_ms
        self._seed = seed
        self._accounts = accounts
        self._texts = texts
        self._narratives = narratives
        self._budget = budget

    def choose(self, rows: Rows, tick_ms: int) -> ChosenTexts:
        """Choose among the kept texts of the accounts active in this tick what is to be read, and pay for it.

        Who has fewest vectors comes first, and of an account the newest text. What is not chosen can be when the
        account next posts, while the text is kept.

        Args:
            rows: (n,) accounts active in this tick.
            tick_ms: the tick.
        """
        chosen = ChosenTexts()
        if not self._texts_per_s:
            return chosen
        if len(self._narratives) > GROWTH * max(self._narratives.swept, FEWEST_SWEPT):
            self.sweep()
        limit = min(self._budget.earn(self._texts_per_s, tick_ms, self._tick_ms), MOST_AT_ONCE)
        if not limit:
            return chosen
        narratives = self._narratives
        choices: list[tuple[int, int, int, KeptText]] = []
        for row, draw in self._observed(np.array([row for row in rows.tolist() if self._texts.of(row)], np.int64)):
            had = narratives.count(row)
            for turn, text in enumerate(self._unread(row)):
                choices.append((had + turn, draw, row, text))
        choices.sort(key=lambda choice: choice[:3])
        for _, _, row, text in choices[:limit]:
            chosen.rows.append(row)
            chosen.texts.append(text)
        self._budget.spend(len(chosen.rows))
        return chosen

    def keep(self, chosen: ChosenTexts, vectors: NDArray[np.int8]) -> None:
        """Keep the vectors of the texts that were read.

        Args:
            chosen: what was asked.
            vectors: (n, `MEANING_DIM`); zeros where a text was left out.

        Raises:
            LogError: the answer is not one vector for every text.
        """
        if vectors.dtype != np.int8 or vectors.shape != (len(chosen.rows), MEANING_DIM):
            raise LogError(
                f"the meaning of {len(chosen.rows)} texts was asked for, and the answer is "
                f"{vectors.dtype}{list(vectors.shape)}: the journal and the log do not belong together; start from a "
                "snapshot of this deployment"
            )
        for row, text, vector in zip(chosen.rows, chosen.texts, vectors, strict=True):
            self._narratives.put(row, text.at, event_key(self._accounts.name(row), text.id), vector)

    def sweep(self) -> None:
        """Let go of the vectors of accounts that are neither suspects nor of the panel any more."""
        rows = self._narratives.rows()
        stay = [row for row, _ in self._observed(rows)]
        self._narratives.sweep(np.setdiff1d(rows, stay).tolist())

    def _observed(self, rows: Rows) -> list[tuple[int, int]]:
        """Those of `rows` that are suspects or of the panel, each with its draw."""
        accounts = self._accounts
        posting = int((accounts.posts[: accounts.used] > 0).sum())
        limit = _HASHES if posting <= PANEL * DRAWN else int(_HASHES * (PANEL * DRAWN / posting))
        drawn = [(row, draw(accounts.name(row), self._seed)) for row in rows.tolist()]
        suspect = are_suspects(accounts, rows).tolist()
        return [each for each, known in zip(drawn, suspect, strict=True) if known or each[1] < limit]

    def _unread(self, row: int) -> list[KeptText]:
        """Texts of an account that may be read, newest first."""
        narratives, name = self._narratives, self._accounts.name(row)
        unread = [
            text
            for text in reversed(self._texts.of(row))
            if text.gives and not narratives.has(row, event_key(name, text.id))
        ]
        room = VECTORS_KEPT - narratives.count(row)
        if room > 0:
            return unread[:room]
        newest_ms = narratives.newest_ms(row)
        assert newest_ms is not None
        return [text for text in unread[:1] if text.at - newest_ms >= REPLACE_MS]
