"""Snapshots on disk are whole or not there; `assess` starts from offset 0, or from one that the log still covers."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from detector.errors import LogError
from streaming.kafka.journal import Journal, JournalEntry
from streaming.kafka.snapshots import (
    ABANDONED_S,
    KEPT,
    RecoveryState,
    Snapshot,
    SnapshotManifest,
    SnapshotStore,
    check_consistency,
    starting_points,
)


def entry(tick_ms: int = 600, *, settings: str = "s", positions: tuple[int, ...] = (10, 20)) -> JournalEntry:
    return JournalEntry("run", tick_ms, list(positions), settings, False, [])


def journal(*entries: JournalEntry, first: int = 0) -> Journal:
    made = Journal(first=first)
    for number, each in enumerate(entries):
        made.add(each, first + 2 * number)
    return made


def snapshot(tick_ms: int, positions: tuple[int, ...] = (10, 20), *, run: str = "run", journal: int = 0) -> Snapshot:
    return Snapshot(Path(f"snapshot-{tick_ms}"), SnapshotManifest(run, tick_ms, list(positions), journal))


def found(**changes: object) -> RecoveryState:
    usual = RecoveryState(journal(entry()), 600, [0, 0], [15, 25], True, [], "s")
    return replace(usual, **changes)  # type: ignore[arg-type]


def names(of: RecoveryState) -> list[str | None]:
    return [None if each is None else each.folder.name for each in starting_points(of, [])]


def test_a_new_deployment_starts_from_offset_0() -> None:
    fresh = found(journal=Journal(), group_tick_ms=None, outputs=False)
    check_consistency(fresh)
    assert names(fresh) == [None]


def test_the_newest_snapshot_not_beyond_the_committed_tick_comes_first_and_offset_0_last() -> None:
    snapshots = [snapshot(700), snapshot(500), snapshot(400)]
    assert names(found(snapshots=snapshots)) == ["snapshot-500", "snapshot-400", None]


def test_a_snapshot_of_another_history_is_not_used() -> None:
    assert names(found(snapshots=[snapshot(500, run="other")])) == [None]


def test_a_missing_snapshot_heals_where_the_log_begins_at_0() -> None:
    assert names(found(snapshots=[])) == [None]


def test_a_missing_snapshot_fails_where_retention_has_removed_the_beginning() -> None:
    with pytest.raises(LogError, match="retention removed the beginning of partition"):
        names(found(firsts=[0, 3]))


def test_a_snapshot_older_than_what_retention_left_fails() -> None:
    gone = found(firsts=[12, 0], snapshots=[snapshot(500)])
    with pytest.raises(LogError, match="older than what retention has left"):
        names(gone)


def test_a_log_shorter_than_the_snapshot_is_not_started_from_it() -> None:
    short = found(ends=[15, 19], snapshots=[snapshot(500)])
    assert names(short) == [None]


def test_a_log_shorter_than_what_was_committed_fails() -> None:
    with pytest.raises(LogError, match="was recreated or its broker lost data"):
        check_consistency(found(ends=[15, 19]))


def test_expired_group_offsets_heal_from_the_journal() -> None:
    state = found(group_tick_ms=None)
    check_consistency(state)
    assert names(state) == [None]


def test_group_offsets_without_a_journal_fail() -> None:
    with pytest.raises(LogError, match="the journal is empty"):
        check_consistency(found(journal=Journal()))


def test_alerts_without_journal_and_positions_fail() -> None:
    with pytest.raises(LogError, match="neither journal entries nor committed positions"):
        check_consistency(found(journal=Journal(), group_tick_ms=None))


def test_group_offsets_and_journal_that_disagree_fail() -> None:
    with pytest.raises(LogError, match="one of them was changed"):
        check_consistency(found(group_tick_ms=660))


def test_a_replay_through_ticks_of_another_configuration_fails() -> None:
    mixed = journal(entry(400, settings="old"), entry(600))
    with pytest.raises(LogError, match="another configuration"):
        names(found(journal=mixed, snapshots=[snapshot(300)]))


def test_a_snapshot_taken_after_the_configuration_changed_will_do() -> None:
    mixed = journal(entry(400, settings="old"), entry(600))
    assert next(starting_points(found(journal=mixed, snapshots=[snapshot(400)]), [])) == snapshot(400)


def test_a_snapshot_whose_journal_is_gone_is_not_used() -> None:
    late = found(journal=journal(entry(), first=50), snapshots=[snapshot(500, journal=49)])
    with pytest.raises(LogError, match="left of the journal"):
        names(late)


def manifest(tick_ms: int, run: str = "run") -> SnapshotManifest:
    return SnapshotManifest(run, tick_ms, [tick_ms], 0)


def save(folder: Path) -> None:
    folder.mkdir()
    (folder / "state").write_text("state")


def test_the_newest_come_first_and_only_the_newest_are_kept(tmp_path: Path) -> None:
    snapshots = SnapshotStore(tmp_path, "p-")
    for tick in (60, 180, 120, 240):
        snapshots.write(manifest(tick), save)
    assert [each.manifest.tick_ms for each in snapshots.all()] == [240, 180]
    assert len(list((tmp_path / "p-assess").iterdir())) == KEPT


def test_a_snapshot_that_fails_leaves_the_others_and_no_rubbish(tmp_path: Path) -> None:
    snapshots = SnapshotStore(tmp_path, "")
    snapshots.write(manifest(60), save)

    def full(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(LogError, match="No space left"):
        snapshots.write(manifest(120), full)
    assert [each.name for each in (tmp_path / "assess").iterdir()] == ["snapshot-000000000000060"]


def test_one_that_was_cut_short_by_a_crash_is_not_seen(tmp_path: Path) -> None:
    snapshots = SnapshotStore(tmp_path, "")

    def crash(folder: Path) -> None:
        save(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        snapshots.write(manifest(60), crash)
    assert snapshots.all() == []


def test_a_damaged_place_is_skipped(tmp_path: Path) -> None:
    snapshots = SnapshotStore(tmp_path, "")
    snapshots.write(manifest(60), save)
    snapshots.write(manifest(120), save)
    newest = snapshots.all()[0]
    (newest.folder / "place.json").write_bytes(b"{")
    assert [each.manifest.tick_ms for each in snapshots.all()] == [60]


def test_the_same_tick_of_another_run_is_replaced(tmp_path: Path) -> None:
    snapshots = SnapshotStore(tmp_path, "")
    snapshots.write(manifest(60, "old"), save)
    snapshots.write(manifest(60, "new"), save)
    assert [each.manifest.run for each in snapshots.all()] == ["new"]


def test_deployments_do_not_see_each_others(tmp_path: Path) -> None:
    SnapshotStore(tmp_path, "a-").write(manifest(60), save)
    assert SnapshotStore(tmp_path, "b-").all() == []


def test_what_a_dead_process_left_unfinished_goes_after_a_day(tmp_path: Path) -> None:
    old, new = tmp_path / "assess" / "unfinished-1-x", tmp_path / "assess" / "unfinished-2-x"
    for folder in (old, new):
        folder.mkdir(parents=True)
    past = time.time() - ABANDONED_S - 60
    os.utime(old, (past, past))
    SnapshotStore(tmp_path, "").write(manifest(60), save)
    assert not old.exists()
    assert new.exists()


def test_nobody_else_may_look_into_a_snapshot(tmp_path: Path) -> None:
    SnapshotStore(tmp_path, "").write(manifest(60), save)
    (folder,) = (tmp_path / "assess").iterdir()
    assert folder.stat().st_mode & 0o077 == 0


def test_two_processes_that_share_the_folder_may_write_the_same_tick_at_once(tmp_path: Path) -> None:
    ours, theirs = SnapshotStore(tmp_path, ""), SnapshotStore(tmp_path, "")

    def meanwhile(folder: Path) -> None:
        theirs.write(manifest(60), save)
        save(folder)

    ours.write(manifest(60), meanwhile)
    (kept,) = ours.all()
    assert (kept.state / "state").read_text() == "state"
    assert [each.name for each in (tmp_path / "assess").iterdir()] == ["snapshot-000000000000060"]
