"""Reading the texts of one shard of accounts: the first stage, and ahead of `assess` what it is likely to ask for.

What `assess` has read, by the second stage and for its meaning, costs a hundred times as much as all else, and which
texts those are follows from the evidence of accounts and from budgets over all of them. The answer to a text depends on
that text alone; so a guess of what will be asked for is read here, where there are many cores, and what was guessed
wrongly costs time and changes nothing: `assess` reads itself what it does not find (`streaming.parallel.gathering`).

The guess follows the rules of `streaming.assess` on the evidence of the shard's accounts, without second thoughts:
nothing is deleted, budgets are the shard's share, and what is remembered is lost with the process.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from detector.account.features import language_code
from detector.account.statistics import AccountStatistics
from detector.models import Models
from detector.text.features import TextAbstain
from graph.narratives import VECTORS_KEPT
from streaming.assess import Answer, AssessSettings, Reranker, RerankRequest
from streaming.assess.account_evidence import Evidence
from streaming.assess.duplicates import text_feature_offset
from streaming.assess.event_columns import TickEvents
from streaming.assess.meaning_reading import DRAWN, PANEL, REPLACE_MS, are_suspects, draw
from streaming.assess.reranking import ReadingLimits, Reranking, ShareBudget, TextBudget, rerank_rounds
from streaming.assess.settings import DAY_MS
from streaming.assess.store import NEVER, AccountTable, KeptText, KeptTexts
from streaming.parallel.slices import ReadTexts, ScoredPart, SlicePart, meaning_key, second_stage_key
from streaming.schema.observation import Kind, Observation
from streaming.score import Scorer

_DELETIONS: Final = frozenset(map(int, (Kind.DELETE, Kind.DELETE_ACCOUNT)))
_LLR_AT: Final = text_feature_offset("llr")
_ABSTAIN_AT: Final = text_feature_offset("abstain")
_NO_TEXT: Final = int(TextAbstain.NO_TEXT)
_GIVES: Final = int(TextAbstain.NONE)

_HASHES: Final = float(1 << 64)


class PartReader:
    """Scores the parts of one shard, in order, and reads ahead.

    Args:
        scorer: the stage `score`.
        ahead: guesses what will be asked for; None reads nothing ahead.
    """

    def __init__(self, scorer: Scorer, ahead: ReadAhead | None) -> None:
        self._scorer = scorer
        self._ahead = ahead

    def read(self, part: SlicePart) -> ScoredPart:
        """What there is to say of a part."""
        whole, before = part.slice, self._scorer.texts_cut
        observations, letters = self._scorer.score(whole.records, whole.now_ms)
        return ScoredPart(
            part.shard,
            part.parts,
            whole.partition,
            whole.partitions,
            whole.start,
            whole.end,
            whole.last,
            self._scorer.models,
            observations,
            letters,
            self._scorer.texts_cut - before,
            ReadTexts() if self._ahead is None else self._ahead.read(observations),
        )


class ReadAhead:
    """Guesses which texts of a shard's accounts `assess` will ask for, and has them read.

    Args:
        settings: of the run.
        models: of the run.
        shards: of accounts.
        reranker: reads.
    """

    def __init__(self, settings: AssessSettings, models: Models, shards: int, reranker: Reranker) -> None:
        self._settings = settings
        self._shards = shards
        self._reranker = reranker
        self._reads = models.second_stage is not None and "text" not in settings.without
        self._compares = (
            models.meaning is not None and "coordination" not in settings.without and settings.meaning_texts_per_s > 0
        )
        self._accounts = AccountTable()
        self._statistics = AccountStatistics()
        self._evidence = Evidence(settings, models, self._accounts, self._statistics)
        self._texts = KeptTexts()
        limits = ReadingLimits(
            settings.second_stage_texts_per_s if self._reads else 0.0,
            settings.second_stage_share,
            settings.second_stage_texts_per_account_h,
            DAY_MS,  # a part may be of a minute or of days
            far=settings.second_stage_far,
        )
        self._reranking = Reranking(limits, self._evidence.threshold, TextBudget(), ShareBudget())
        self._vectors: dict[int, tuple[int, int]] = {}
        """Of an account (row): vectors that were made, and the time of the last text, ms."""
        self._day = NEVER

    def read(self, observations: list[Observation]) -> ReadTexts:
        """Take what accounts did and read what is likely to be asked for.

        Args:
            observations: of one part.
        """
        if not (self._reads or self._compares):
            return ReadTexts()
        held = sorted(
            (each for each in observations if not each.dead and each.kind not in _DELETIONS), key=lambda each: each.at
        )
        if not held:
            return ReadTexts()
        self._retire(held[0].at)
        fresh = self._observe(held)
        meanings = self._meanings(fresh)
        rows = np.array(sorted(fresh), np.int64)
        chosen = self._reranking.choose(
            self._evidence.active(rows, sum(map(len, fresh.values()))), held[-1].at, self._accounts, self._texts
        )
        request = RerankRequest(
            0,
            [text.text for text in chosen.texts],
            [text.lang for text in chosen.texts],
            np.array([text.first_stage for text in chosen.texts], np.int16),
            meanings,
        )
        answer = self._reranker(request) if chosen.texts or meanings else Answer.unread()
        for one_each in rerank_rounds(chosen, answer.llrs, self._texts):
            self._statistics.observe_second_stage(one_each.rows, one_each.second_stage, one_each.first_stage)
            self._evidence.refresh(one_each.rows)
        for row in fresh:
            suspect = self._accounts.rerank_evidence[row] >= self._reranking.low
            self._texts.settle(row, suspect=bool(suspect))
        return ReadTexts(
            [second_stage_key(text.text, text.lang, text.first_stage) for text in chosen.texts],
            answer.llrs.astype("<i2").tobytes(),
            [meaning_key(text) for text in meanings],
            answer.vectors.tobytes(),
        )

    def _observe(self, observations: list[Observation]) -> dict[int, list[KeptText]]:
        """Let events take effect; texts with evidence by account, as a flag needs to know them."""
        accounts, events = self._accounts, TickEvents()
        fresh: dict[int, list[KeptText]] = {}
        for each in observations:
            row = accounts.row(each.account)
            accounts.last_at[row] = each.at
            events.add(row, each, language_code(each.lang))
            features = each.text_features
            if not features or features[_ABSTAIN_AT] == _NO_TEXT:
                continue
            llr = int.from_bytes(features[_LLR_AT : _LLR_AT + 2], "little", signed=True)
            text = KeptText(each.at, each.id, each.text, each.lang, llr, llr, gives=features[_ABSTAIN_AT] == _GIVES)
            accounts.posts[row] += 1
            fresh.setdefault(row, []).append(text)
            self._texts.add(row, text)
        self._statistics.grow(accounts.capacity)
        for one_each in events.rounds(events.columns()):
            self._statistics.observe(
                one_each.rows,
                one_each.times,
                one_each.kinds,
                one_each.features,
                one_each.has_text,
                one_each.languages,
                one_each.links,
            )
        self._evidence.refresh(np.array(sorted(events.by_row), np.int64))
        return fresh

    def _retire(self, now_ms: int) -> None:
        """Once a day: let go of what `assess` lets go of by then."""
        day, settings, accounts = now_ms // DAY_MS, self._settings, self._accounts
        if day == self._day:
            return
        self._day = day
        self._texts.expire(now_ms - settings.text_ttl_days * DAY_MS)
        live = accounts.live()
        gone = live[accounts.last_at[live] < now_ms - settings.account_ttl_days * DAY_MS]
        rows: list[int] = gone.tolist()
        for row in rows:
            accounts.give_up(accounts.name(row))
            self._vectors.pop(row, None)
        self._texts.forget(rows)
        self._evidence.forget(gone)
        accounts.free(rows)

    def _meanings(self, fresh: dict[int, list[KeptText]]) -> list[str]:
        """Texts of suspects and of the panel, as many as an account gets vectors."""
        if not self._compares:
            return []
        accounts = self._accounts
        posting = max(int((accounts.posts[: accounts.used] > 0).sum()), 1) * self._shards
        limit = _HASHES * min(1.0, PANEL * DRAWN / posting)
        rows = sorted(fresh)
        suspects = are_suspects(accounts, np.array(rows, np.int64)).tolist()
        wanted: list[str] = []
        for row, suspect in zip(rows, suspects, strict=True):
            if not suspect and draw(accounts.name(row), self._settings.seed) >= limit:
                continue
            made, last = self._vectors.get(row, (0, NEVER))
            for text in fresh[row]:
                if text.gives and (made < VECTORS_KEPT or text.at - last >= REPLACE_MS):
                    made, last = made + 1, text.at
                    wanted.append(text.text)
            self._vectors[row] = made, last
        return list(dict.fromkeys(wanted))
