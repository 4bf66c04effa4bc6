"""Copies of snapshots at a URL: whole or not there, checked when they are fetched, and never in the way."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from detector.errors import ConfigError, LogError
from streaming.assess.ordering import OrderingState
from streaming.kafka.shared_snapshots import KEPT, SharedSnapshots
from streaming.kafka.snapshots import MANIFEST, PeriodicSnapshots, SnapshotManifest, SnapshotStore
from streaming.worker_metrics import Metrics
from tests.streaming.kafka.test_snapshots import manifest, save
from tests.streaming.kafka.tiny import LATENESS_MS, TinyCore


@pytest.fixture(params=["memory", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder that nobody has written to."""
    return f"memory://{uuid.uuid4().hex}" if request.param == "memory" else f"file://{tmp_path}/shared"


def store(folder: Path, url: str) -> SnapshotStore:
    return SnapshotStore(folder, "p-", SharedSnapshots(url, "p-"))


def put(store: SnapshotStore, *ticks: int, run: str = "run") -> None:
    assert store.shared is not None
    for tick in ticks:
        store.shared.put(store.write(manifest(tick, run), save))


def test_another_process_finds_them_and_fetches_the_one_it_starts_from(url: str, tmp_path: Path) -> None:
    put(store(tmp_path / "a", url), 60, 120)
    other = store(tmp_path / "b", url)
    newest, older = other.all()
    assert (newest.manifest.tick_ms, older.manifest.tick_ms) == (120, 60)
    fetched = other.on_disk(newest)
    assert (fetched.state / "state").read_text() == "state"
    assert fetched.folder.stat().st_mode & 0o077 == 0
    assert [each.shared is None for each in other.all()] == [True, False], "what is on disk is not fetched again"


def test_the_newest_of_a_history_are_kept_and_those_of_others_left_alone(url: str, tmp_path: Path) -> None:
    ours = store(tmp_path / "a", url)
    put(ours, 60, run="old")
    put(ours, *range(120, 120 + 60 * (KEPT + 2), 60))
    shared = SharedSnapshots(url, "p-").all()
    assert sorted(each.tick_ms for _, each in shared if each.run == "run") == [240, 300, 360]
    assert [each.tick_ms for _, each in shared if each.run == "old"] == [60]
    assert SharedSnapshots(url, "other-").all() == []


def test_one_without_a_manifest_is_not_there_and_one_that_was_changed_is_refused(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/shared"
    put(store(tmp_path / "a", url), 60, 120)
    newest, older = sorted((tmp_path / "shared" / "p-assess").iterdir(), reverse=True)
    (newest / "state" / "state").write_text("other")
    (older / MANIFEST).unlink()
    other = store(tmp_path / "b", url)
    (found,) = other.all()
    with pytest.raises(LogError, match="is not what was written there"):
        other.on_disk(found)
    assert not list((tmp_path / "b" / "p-assess").iterdir()), "nothing half fetched is left"


def test_a_manifest_that_names_files_elsewhere_writes_none(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/shared"
    put(store(tmp_path / "a", url), 60)
    shared = SharedSnapshots(url, "p-")
    ((name, found),) = shared.all()
    evil = SnapshotManifest(found.run, 60, found.positions, 0, files={"../../evil": next(iter(found.files.values()))})
    with pytest.raises(LogError, match="outside its folder"):
        shared.fetch(name, evil, tmp_path / "b" / "snapshot-60")
    assert not (tmp_path / "evil").exists()


def test_storage_that_does_not_answer_costs_nothing_but_the_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = store(tmp_path / "a", f"memory://{uuid.uuid4().hex}")
    put(ours, 60)

    def away(*_: object, **__: object) -> None:
        raise TimeoutError("made to fail")

    files = ours.shared._files  # type: ignore[union-attr]
    monkeypatch.setattr(files, "ls", away, raising=True)
    monkeypatch.setattr(files, "put_file", away, raising=True)
    assert [each.manifest.tick_ms for each in ours.all()] == [60]
    metrics = Metrics()
    periodic = PeriodicSnapshots(ours, 0.0, metrics, time.monotonic)
    periodic.write(manifest(120), core())
    periodic.finish()
    said = generate_latest(metrics.registry).decode()
    assert 'swarmlight_alarms_total{kind="snapshot_failed"} 1.0' in said
    assert "swarmlight_snapshots_total 1.0" in said


def core() -> TinyCore:
    made = TinyCore(1)
    made.begin(OrderingState.begin(1, LATENESS_MS))
    return made


def test_a_slow_disk_holds_no_tick_up_and_is_written_to_once_at_a_time(tmp_path: Path) -> None:
    free, begun = threading.Event(), []

    class Slow(SnapshotStore):
        def write(self, manifest: SnapshotManifest, save: Callable[[Path], None]):  # type: ignore[no-untyped-def]
            begun.append(manifest.tick_ms)
            assert free.wait(30)
            return super().write(manifest, save)

    periodic = PeriodicSnapshots(Slow(tmp_path, ""), 0.0, Metrics(), time.monotonic)
    began = time.monotonic()
    periodic.write(manifest(60), core())
    periodic.write(manifest(120), core())
    assert time.monotonic() - began < 10.0
    assert not periodic.due
    free.set()
    periodic.finish()
    periodic.write(manifest(60), core())
    periodic.finish()
    assert begun == [60], "nor twice the same"


@pytest.mark.parametrize("url", ["nonsense://bucket", "s3x://bucket"])
def test_a_url_that_nothing_reaches_is_refused_with_what_to_install(url: str) -> None:
    with pytest.raises(ConfigError, match=r"\[state\] url = .*s3fs"):
        SharedSnapshots(url, "")
