"""What leaves, leaves every copy: state, sketches, vectors, snapshots, journal, topics and the moderators' feed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from moderation import ingest
from moderation.ingest import IngestCounts
from moderation.topic_records import read_alert, read_page
from streaming.assess import Assess, AssessSettings, TickOutput
from streaming.assess.duplicates import text_feature_offset
from streaming.kafka.journal import JournalEntry, RerankResults, encode
from streaming.kafka.leader import AssessCore
from streaming.kafka.snapshots import KEPT, PeriodicSnapshots, SnapshotManifest, SnapshotStore
from streaming.worker_metrics import Metrics
from tests.moderation.conftest import Feed
from tests.moderation.test_privacy import dump_of_all_tables
from tests.streaming.assess import harness
from tests.streaming.assess.fakes import meanings
from tests.streaming.builders import batch, event

NAME = "slyFox77"
TEXT = "robot robot robot zanzibarine said the old robot to his only friend"
OTHER = "robot robot robot marmalade told us about the garden and the rain"
LINK = "https://foxhole.example/den7"
MINUTE, DAY = 60_000, 86_400_000
SETTINGS = AssessSettings(
    min_texts=1, account_ttl_days=3, text_ttl_days=2, meaning_texts_per_s=10, second_stage_share=1.0
)


def lived() -> list[dict[str, Any]]:
    """A machine that posts, somebody like it who stays, and people who deal with it."""
    items = []
    for n in range(6):
        items.append(event(NAME, at=n * MINUTE, id=f"fox-{n}", text=f"{TEXT} {LINK}", lang="en", urls=[LINK]))
        items.append(event("ann", at=n * MINUTE + 1, id=f"ann-{n}", text=OTHER, lang="en", urls=[LINK]))
        items.append(
            event("bob", at=n * MINUTE + 2, id=f"bob-{n}", kind="repost", target=f"fox-{n}", target_account=NAME)
        )
    return items


def leaves(how: str) -> list[dict[str, Any]]:
    """The events by which it leaves."""
    if how == "delete_account":
        return [event(NAME, at=20 * MINUTE, id="gone", kind="delete_account")]
    if how == "delete":
        return [event(NAME, at=20 * MINUTE + n, id=f"gone{n}", kind="delete", target=f"fox-{n}") for n in range(6)]
    return []


class Copies:
    """All that is written while a stream is played: topics as compaction leaves them, journal, snapshots, feed."""

    def __init__(self, folder: Path, feed: Feed) -> None:
        self.assess: Assess = harness.begin(SETTINGS)
        self.feed = feed
        self.topics: dict[str, dict[str, bytes | None]] = {"alerts": {}, "details": {}, "accounts": {}}
        self.results: list[RerankResults] = []
        self.snapshots = PeriodicSnapshots(SnapshotStore(folder, ""), 0.0, Metrics(), time.monotonic)
        self.folder = folder
        self._offset = 0

    def play(self, items: list[dict[str, Any]]) -> None:
        observed = harness.score(items)
        shifted = [msgspec.structs.replace(each, offset=self._offset + n) for n, each in enumerate(observed)]
        self._offset += len(shifted)
        self.assess.feed(batch(shifted))
        while (output := self.assess.advance(harness.echo)) is not None:
            self._take(output)

    def _take(self, output: TickOutput) -> None:
        self.topics["alerts"].update((alert.id, alert.body) for alert in output.alerts)
        self.topics["details"].update(output.details)
        self.topics["accounts"].update(output.accounts)
        if not output.rerank_answer.empty:
            self.results.append(RerankResults.of(output.tick_ms, output.rerank_answer))
        counts = IngestCounts()
        with self.feed.database.write() as connection:
            ingest.store_alerts(connection, [read_alert(each.body) for each in output.alerts], 0, counts)
            for key, body in output.details:
                if body is None:
                    alert, page = key.rsplit("/", 1)
                    ingest.delete_page(connection, alert, int(page))
                else:
                    ingest.store_pages(connection, [read_page(body)], counts)
        self.snapshots.write(SnapshotManifest("run", output.tick_ms, [0], 0), AssessCore(self.assess))
        self.snapshots.finish()

    def where(self, secret: bytes) -> list[str]:
        """The copies that hold something."""
        journal = encode(JournalEntry("run", 0, [0], "s", False, self.results))
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        holds: dict[str, Callable[[], bool]] = {
            "state": lambda: secret in harness.written(self.assess),
            "snapshots": lambda: any(secret in path.read_bytes() for path in files),
            "feed": lambda: secret in dump_of_all_tables(self.feed).encode(),
        }
        holds |= {
            name: lambda records=records: any(secret in body for body in records.values() if body is not None)  # type: ignore[misc]
            for name, records in self.topics.items()
        }
        if len(secret) < len(VECTOR):
            holds["journal"] = lambda: secret in journal  # vectors leave it with its retention
        return [name for name, held in holds.items() if held()]


VECTOR = meanings([f"{TEXT} {LINK}"]).tobytes()


def sketch() -> bytes:
    """A part of the MinHash of its text that no other text here has."""
    at = text_feature_offset("minhash")
    mine, theirs = (
        harness.score([event("x", text=text, lang="en")])[0].text_features[at : at + 48]
        for text in (f"{TEXT} {LINK}", OTHER)
    )
    return next(mine[i : i + 8] for i in range(0, 48, 8) if mine[i : i + 8] != theirs[i : i + 8])


STAYS: dict[str, dict[str, list[str]]] = {
    "delete_account": {},
    # The account was there until it was silent for too long; another account reposted the post, and names both.
    "delete": {
        "name": ["state", "snapshots", "feed", "alerts", "details"],
        "id": ["state", "snapshots"],
    },
    # Silence and age are no wish of its owner: alerts stay readable, and what others did to it is kept for 60 days.
    "retention": {
        "name": ["state", "snapshots", "feed", "alerts", "details"],
        "word": ["feed", "alerts"],
        "id": ["state", "snapshots", "feed", "alerts"],
    },
}


@pytest.mark.parametrize("how", ["delete_account", "delete", "retention"])
def test_what_leaves_is_in_no_copy(how: str, tmp_path: Path, feed: Feed) -> None:
    copies = Copies(tmp_path / "state", feed)
    copies.play([*lived(), event("zed", at=15 * MINUTE, id="z")])
    secrets = {"name": NAME.encode(), "word": b"zanzibarine", "sketch": sketch(), "vector": VECTOR, "id": b"fox-3"}
    before = {what: copies.where(secret) for what, secret in secrets.items()}
    assert {"state", "snapshots", "alerts", "feed"} <= set(before["name"])
    assert {"state", "snapshots", "alerts", "feed"} <= set(before["word"])
    assert before["sketch"] == before["vector"] == ["state", "snapshots"]
    later = [event("zed", at=n * DAY // 2, id=f"z{n}", text=OTHER, lang="en") for n in range(1, 10 + 2 * KEPT)]
    copies.play([*leaves(how), *later])
    left = {what: found for what, secret in secrets.items() if (found := copies.where(secret))}
    assert left == STAYS[how]
    assert copies.where(b"marmalade"), "what others wrote is still there"
