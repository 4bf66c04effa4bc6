"""The book of alerts: which revision comes next, whether there is one at all, and how many a day may bring.

An alert is *open*, *withdrawn* or *merged*. Revisions count 1, 2, 3 whatever happens in between; the book keeps the
count of an alert for good, so that a returning account's alert goes on where it stopped.

Writes alerts and their details pages as the contract has them, within its limits.

One alert per flagged account: opened, revised as evidence moves, withdrawn with the flag.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np

from detector.account.features import TEXT_NAMES
from detector.models import Models
from detector.reasons import AccountCase, account_limits, account_why
from graph.coordination import Edge
from streaming.assess.alert_store import AlertStore, StoredAlert
from streaming.assess.evidence import Evidence, Scores, scored
from streaming.assess.ordering import event_key
from streaming.assess.outputs import AlertRecord, rfc3339, to_json
from streaming.assess.settings import AssessSettings
from streaming.assess.store import NEVER, Accounts, Kept, Texts, Timeline
from streaming.schema.observation import Kind

OVER_NATS: Final = 0.0
"""Total at which an account alert is withdrawn by itself: what was seen no longer speaks for a machine at all. Flags
are judged on running maxima, so falling back under the threshold alone takes nothing back."""

MOST_POSTS: Final = 20
MOST_EDGES: Final = 50
MOST_MEMBERS: Final = 1_000
"""What the contract lets one alert show."""

POSTS_PER_MEMBER: Final = 3
"""Texts of one member that a group's alert quotes: a moderator should see many accounts, not one."""

RECORD_BYTES: Final = 900_000
"""Largest record of topic `alerts` (contract), under Kafka's default of a mebibyte."""

PAGE_BYTES: Final = 500_000
"""Largest page of topic `alert-details` (contract)."""

_PAGE_ROOM: Final = 4_096
"""Bytes of a page kept for what stands around its items."""

Json = dict[str, Any]


def alert_record(alert: StoredAlert, body: Json) -> AlertRecord:
    """The record of the alert's present revision; lists in `body` are shortened until it fits.

    Args:
        alert: after `StoredAlert.revise`.
        body: the contract's fields except those the book knows.
    """
    record: Json = {
        "v": 1,
        "id": alert.id,
        "kind": alert.kind,
        "revision": alert.revision,
        "status": alert.status,
        "merged_into": alert.merged_into,
        **body,
    }
    lists = {"members": MOST_MEMBERS, "edges": MOST_EDGES, "posts": MOST_POSTS}
    for name, most in lists.items():
        record[name] = record[name][:most]
    encoded = to_json(record)
    while len(encoded) > RECORD_BYTES:
        sizes = {name: len(to_json(record[name])) for name in lists}
        longest = max(lists, key=lambda name: (sizes[name], name))
        record[longest] = record[longest][: len(record[longest]) // 2]
        encoded = to_json(record)
    return AlertRecord(alert.id, alert.revision, alert.kind, alert.status, encoded)


def detail_pages(
    alert: StoredAlert, edges: Sequence[Json], posts: Sequence[Json], objects: Sequence[Json]
) -> list[tuple[str, bytes | None]]:
    """The pages of a revision, keyed `ID/PAGE` from 1, and the deletion of pages that only older revisions have.

    `alert.pages` becomes the number of pages.
    """
    pages: list[dict[str, list[msgspec.Raw]]] = [{}]
    room = PAGE_BYTES - _PAGE_ROOM
    for name, items in (("edges", edges), ("posts", posts), ("objects", objects)):
        for item in items:
            encoded = to_json(item)
            if len(encoded) + 1 > room:
                if not pages[-1]:
                    pages.pop()
                pages.append({})
                room = PAGE_BYTES - _PAGE_ROOM
            pages[-1].setdefault(name, []).append(msgspec.Raw(encoded))
            room -= len(encoded) + 1
    keyed: list[tuple[str, bytes | None]] = []
    for number, page in enumerate(pages, 1):
        body = {"id": alert.id, "revision": alert.revision, "page": number, "pages": len(pages)}
        lists = {name: page.get(name, []) for name in ("edges", "posts", "objects")}
        keyed.append((f"{alert.id}/{number}", to_json(body | lists)))
    keyed += [(f"{alert.id}/{number}", None) for number in range(len(pages) + 1, alert.pages + 1)]
    alert.pages = len(pages)
    return keyed


def no_pages(alert: StoredAlert) -> list[tuple[str, bytes | None]]:
    """The deletion of all pages of an alert."""
    keyed: list[tuple[str, bytes | None]] = [(f"{alert.id}/{number}", None) for number in range(1, alert.pages + 1)]
    alert.pages = 0
    return keyed


def edge_json(edge: Edge, name_a: str, name_b: str) -> Json:
    """One edge of the contract; names in order, numbers rounded."""
    a, b = sorted((name_a, name_b))
    return {
        "a": a,
        "b": b,
        "kind": edge.kind,
        "count": edge.count,
        "expected": round(edge.expected, 4),
        "z": round(edge.z, 4),
        "objects": [readable(key) for key in edge.objects],
    }


def readable(key: str) -> str:
    """An object's key as it is shown: `account/event` for events of a known account."""
    return key.replace("\n", "/")


def post_json(event: str, account: str, at_ms: int, text: str, millinats: int) -> Json:
    """One quoted text of the contract."""
    return {"id": event, "account": account, "at": rfc3339(at_ms), "text": text, "llr": millinats / 1000}


def mean_parts(members: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Mean of the members' parts: the `evidence` of a group."""
    names = ("text", "behaviour", "coordination", "graph", "total")
    count = max(len(members), 1)
    return {name: round(sum(member["llr"][name] for member in members) / count, 6) for name in names}


def objects_of(edges: Sequence[Json]) -> Iterator[Json]:
    """The objects that a group shared, each with its kind and the members seen to share it, most shared first."""
    shared: dict[tuple[str, str], set[str]] = {}
    for edge in edges:
        for name in edge["objects"]:
            shared.setdefault((edge["kind"], name), set()).update((edge["a"], edge["b"]))
    for (kind, name), accounts in sorted(shared.items(), key=lambda item: (-len(item[1]), item[0])):
        yield {"kind": kind, "object": name, "accounts": sorted(accounts)}


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
    book: AlertStore

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
        self._open: dict[int, StoredAlert] = {}
        self.waiting: set[int] = set()

    def link(self) -> None:
        """Find out from book and flags which rows have an open alert and which wait for one (after a restore)."""
        accounts = self._shared.accounts
        self._open, self.waiting = {}, set()
        for alert in self._shared.book.of_accounts.values():
            row = accounts.find(alert.account) if alert.open else None
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
                left.revise("withdrawn", (0.0,))
                records.append(emptied(left, tick_ms, shared, ["Withdrawn: a text was deleted after it left."]))
                pages += no_pages(left)
        for row in list(self.waiting):
            self._take_flag_back(row)
            if not accounts.flagged[row]:
                self.waiting.discard(row)
        if self.waiting and shared.book.has_room(tick_ms, shared.settings.max_alerts_per_day):
            rows = np.array(sorted(self.waiting), np.int64)
            strength = dict(zip(rows.tolist(), evidence.raw(rows).tolist(), strict=True))
            for row in sorted(self.waiting, key=lambda row: (-strength[row], accounts.name(row))):
                if not shared.book.admit(tick_ms, shared.settings.max_alerts_per_day):
                    break
                name = accounts.name(row)
                self._open[row] = alert = shared.book.open_account(name)
                self.waiting.discard(row)
                self._write(alert, row, tick_ms, "open", records, pages)
        return records, pages

    def _take_flag_back(self, row: int) -> None:
        """An account loses its flag once nothing speaks for a machine any more, or it says itself that it is one."""
        accounts = self._shared.accounts
        if accounts.total[row] <= OVER_NATS or accounts.automated[row] == 1:
            self._shared.evidence.unflag(row)

    def _write(
        self, alert: StoredAlert, row: int, tick_ms: int, status: str, records: list[AlertRecord], pages: Pages
    ) -> None:
        shared = self._shared
        accounts = shared.accounts
        alert.revise("open" if status == "open" else "withdrawn", (float(accounts.total[row]),))
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
            alert.account, alert.withheld_flag = "", None
            alert.revise("withdrawn", (0.0,))
            records.append(emptied(alert, tick_ms, shared, ["Withdrawn: the account was deleted."]))
            pages += no_pages(alert)
        return records, pages

    def evict(self, row: int) -> None:
        """The account of `row` left; its alert stays as it is."""
        self._open.pop(row, None)
        self.waiting.discard(row)


def emptied(alert: StoredAlert, tick_ms: int, shared: Shared, why: list[str]) -> AlertRecord:
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
