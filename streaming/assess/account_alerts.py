"""One alert per flagged account: opened, revised as evidence moves, withdrawn with the flag."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from detector.account.features import TEXT_NAMES
from detector.bundle import Models
from detector.explain import AccountCase, account_limits, account_why
from streaming.assess.accounts import NEVER, Accounts
from streaming.assess.alerts import MOST_POSTS, alert_record, detail_pages, no_pages, post_json
from streaming.assess.evidence import Evidence
from streaming.assess.lifecycle import OVER_NATS, Alert, Book, account_alert_id
from streaming.assess.recent import event_key
from streaming.assess.records import AlertRecord, rfc3339
from streaming.assess.scores import Scores, scored
from streaming.assess.settings import AssessSettings
from streaming.assess.texts import Kept, Texts
from streaming.assess.timeline import Timeline
from streaming.observations import Kind

_BELOW_ZERO: Final = TEXT_NAMES.index("llr_below_0")

Pages = list[tuple[str, bytes | None]]


@dataclass(frozen=True)
class Shared:
    """What account and group alerts are written from."""

    settings: AssessSettings
    models: Models
    accounts: Accounts
    evidence: Evidence
    texts: Texts
    timeline: Timeline
    scores: Scores
    book: Book

    def timeline_of(self, rows: Iterable[int]) -> list[dict[str, Any]]:
        """The last events of some accounts, as details pages show them, in order of time."""
        found = self.timeline.last(np.fromiter(rows, np.int64))
        return [
            {"account": self.accounts.name(row), "at": rfc3339(at), "kind": Kind(kind).name.lower()}
            for row, at, kind in zip(*(column.tolist() for column in found), strict=True)
        ]


def strongest(texts: Iterable[Kept]) -> list[Kept]:
    """Texts by what they say, the most machine-like first."""
    return sorted(texts, key=lambda text: (-text.llr, text.at, text.id))


class AccountAlerts:
    """Keeps account alerts in step with the flags.

    Args:
        shared: what they are written from.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._open: dict[int, Alert] = {}
        self.waiting: set[int] = set()

    def link(self) -> None:
        """Find out from book and flags which rows have an open alert and which wait for one (after a restore)."""
        accounts = self._shared.accounts
        self._open, self.waiting = {}, set()
        for alert in self._shared.book:
            row = accounts.find(alert.account) if alert.kind == "account" and alert.open else None
            if row is not None and accounts.flagged[row]:  # one that left and returned unflagged begins anew
                self._open[row] = alert
        self.waiting = set(np.flatnonzero(accounts.flagged).tolist()) - set(self._open)

    def flagged(self, rows: Iterable[int]) -> None:
        """These accounts were newly flagged. One that returned, with its alert still open, goes on with that one."""
        for row in rows:
            if row not in self._open:
                alert = self._shared.book.of_account(self._shared.accounts.name(row))
                if alert is not None and alert.open:
                    self._open[row] = alert
                else:
                    self.waiting.add(row)

    def settle(self, tick_ms: int, changed: Iterable[int], forced: set[int]) -> tuple[list[AlertRecord], Pages]:
        """The revisions that a tick brings.

        Args:
            changed: rows whose evidence or flag may have changed.
            forced: rows whose alert shows something that was deleted.
        """
        shared = self._shared
        accounts, evidence = shared.accounts, shared.evidence
        records: list[AlertRecord] = []
        pages: Pages = []
        for row in sorted({row for row in (*changed, *forced) if row in self._open}, key=accounts.name):
            alert = self._open[row]
            self._take_flag_back(row)
            if not accounts.flagged[row]:
                del self._open[row]
                self._write(alert, row, tick_ms, "withdrawn", records, pages)
            elif row in forced or alert.moved((float(accounts.total[row]),), shared.settings.alert_step_nats):
                self._write(alert, row, tick_ms, "open", records, pages)
        for row in sorted(forced.difference(self._open), key=accounts.name):
            left = shared.book.of_account(accounts.name(row))
            if left is not None and left.open:  # of an account that left the state: all that can be said is nothing
                shared.book.revise(left, "withdrawn", (0.0,))
                records.append(emptied(left, tick_ms, shared, ["Withdrawn: a text was deleted after it left."]))
                pages += no_pages(left)
        for row in list(self.waiting):
            self._take_flag_back(row)
            if not accounts.flagged[row]:
                self.waiting.discard(row)
        if self.waiting and shared.book.has_room(tick_ms):
            rows = np.array(sorted(self.waiting), np.int64)
            strength = dict(zip(rows.tolist(), evidence.raw(rows).tolist(), strict=True))
            for row in sorted(self.waiting, key=lambda row: (-strength[row], accounts.name(row))):
                if not shared.book.admits(tick_ms):
                    break
                name = accounts.name(row)
                self._open[row] = alert = shared.book.entry(account_alert_id(name), "account", name)
                self.waiting.discard(row)
                self._write(alert, row, tick_ms, "open", records, pages)
        return records, pages

    def _take_flag_back(self, row: int) -> None:
        """An account loses its flag once nothing speaks for a machine any more, or it says itself that it is one."""
        accounts = self._shared.accounts
        if accounts.total[row] <= OVER_NATS or accounts.automated[row] == 1:
            self._shared.evidence.unflag(row)

    def _write(
        self, alert: Alert, row: int, tick_ms: int, status: str, records: list[AlertRecord], pages: Pages
    ) -> None:
        shared = self._shared
        accounts = shared.accounts
        shared.book.revise(alert, "open" if status == "open" else "withdrawn", (float(accounts.total[row]),))
        score = next(shared.scores.rows(np.array([row], np.int64)))
        quoted = strongest(shared.texts.of(row))[:MOST_POSTS] if alert.open else []
        if alert.open:
            alert.members = [score["account"]]
            alert.shown = [event_key(score["account"], text.id) for text in quoted]
        case = self._case(row, score)
        why, limits = account_why(case), account_limits(case)
        if not alert.open:
            why = [self._why_withdrawn(row), *why]
        records.append(
            alert_record(
                alert,
                {
                    "at": rfc3339(tick_ms),
                    "first_post_at": rfc3339(case.first_ms),
                    "last_post_at": rfc3339(case.last_ms),
                    "members": [scored(score) | {"strength": 1.0}],
                    "statistic": score["llr"]["total"],
                    "threshold": round(shared.evidence.threshold, 6),
                    "threshold_kind": "conformal_p",
                    "target_fpr": shared.evidence.target_fpr,
                    "target_fdr": None,
                    "evidence": score["llr"],
                    "posts": [post_json(t.id, score["account"], t.at, t.text, t.llr) for t in quoted],
                    "edges": [],
                    "models": shared.models.versions,
                    "why": why,
                    "limits": limits,
                },
            )
        )
        pages += detail_pages(alert, [], shared.timeline_of([row]), []) if alert.open else no_pages(alert)

    def _case(self, row: int, score: dict[str, Any]) -> AccountCase:
        shared = self._shared
        accounts, llr = shared.accounts, score["llr"]
        features = shared.evidence.statistics.features(np.array([row], np.int64))
        first, last = int(accounts.first_post[row]), int(accounts.last_post[row])
        return AccountCase(
            text=llr["text"],
            behaviour=llr["behaviour"],
            coordination=llr["coordination"],
            graph=llr["graph"],
            posts=int(features.posts[0]),
            first_ms=first if first != NEVER else int(accounts.last_at[row]),
            last_ms=last if last != NEVER else int(accounts.last_at[row]),
            target_fpr=shared.evidence.target_fpr,
            thresholds=shared.models.thresholds,
            text_high=1.0 - float(features.text[0, _BELOW_ZERO]),
            expert_texts=round(float(features.expert[0])),
            automated=int(accounts.automated[row]),
            group_size=shared.scores.group_size(row),
            abstained=score["abstained"],
        )

    def _why_withdrawn(self, row: int) -> str:
        accounts = self._shared.accounts
        if accounts.automated[row] == 1:
            return "Withdrawn: the account now says itself that it is automated."
        if accounts.bar[row] > -np.inf:
            return "Withdrawn: a moderator decided so."
        return "Withdrawn: what was seen since no longer speaks for a machine."

    def forget(self, rows: Iterable[int], names: set[str], tick_ms: int) -> tuple[list[AlertRecord], Pages]:
        """Accounts were deleted: the last revision of their alerts says nothing of them."""
        shared = self._shared
        records: list[AlertRecord] = []
        pages: Pages = []
        for row in rows:
            self.evict(row)
        for name in sorted(names):
            alert = shared.book.of_account(name)
            if alert is None or not alert.revision:
                continue
            alert.account, alert.flag = "", None
            shared.book.revise(alert, "withdrawn", (0.0,))
            records.append(emptied(alert, tick_ms, shared, ["Withdrawn: the account was deleted."]))
            pages += no_pages(alert)
        return records, pages

    def evict(self, row: int) -> None:
        """The account of `row` left; its alert stays as it is."""
        self._open.pop(row, None)
        self.waiting.discard(row)


def emptied(alert: Alert, tick_ms: int, shared: Shared, why: list[str]) -> AlertRecord:
    """A record that names nobody."""
    is_account = alert.kind == "account"
    return alert_record(
        alert,
        {
            "at": rfc3339(tick_ms),
            "first_post_at": rfc3339(tick_ms),
            "last_post_at": rfc3339(tick_ms),
            "members": [],
            "statistic": 0.0,
            "threshold": round(shared.evidence.threshold, 6) if is_account else 0.0,
            "threshold_kind": "conformal_p" if is_account else "e_value",
            "target_fpr": shared.evidence.target_fpr if is_account else None,
            "target_fdr": None if is_account else shared.settings.target_fdr,
            "evidence": dict.fromkeys(("text", "behaviour", "coordination", "graph", "total"), 0.0),
            "posts": [],
            "edges": [],
            "models": shared.models.versions,
            "why": why,
            "limits": ["Everything else about it was removed."],
        },
    )
