"""Snapshots on disk: whole or not there, and only as many as needed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from detector.errors import LogError
from streaming.kafka.snapshots import ABANDONED_S, KEPT, Place, Snapshots


def place(tick_ms: int, run: str = "run") -> Place:
    return Place(run, tick_ms, [tick_ms], 0)


def save(folder: Path) -> None:
    folder.mkdir()
    (folder / "state").write_text("state")


def test_the_newest_come_first_and_only_the_newest_are_kept(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path, "p-")
    for tick in (60, 180, 120, 240):
        snapshots.write(place(tick), save)
    assert [each.place.tick_ms for each in snapshots.all()] == [240, 180]
    assert len(list((tmp_path / "p-assess").iterdir())) == KEPT


def test_a_snapshot_that_fails_leaves_the_others_and_no_rubbish(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path, "")
    snapshots.write(place(60), save)

    def full(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(LogError, match="No space left"):
        snapshots.write(place(120), full)
    assert [each.name for each in (tmp_path / "assess").iterdir()] == ["snapshot-000000000000060"]


def test_one_that_was_cut_short_by_a_crash_is_not_seen(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path, "")

    def crash(folder: Path) -> None:
        save(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        snapshots.write(place(60), crash)
    assert snapshots.all() == []


def test_a_damaged_place_is_skipped(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path, "")
    snapshots.write(place(60), save)
    snapshots.write(place(120), save)
    newest = snapshots.all()[0]
    (newest.folder / "place.json").write_bytes(b"{")
    assert [each.place.tick_ms for each in snapshots.all()] == [60]


def test_the_same_tick_of_another_run_is_replaced(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path, "")
    snapshots.write(place(60, "old"), save)
    snapshots.write(place(60, "new"), save)
    assert [each.place.run for each in snapshots.all()] == ["new"]


def test_deployments_do_not_see_each_others(tmp_path: Path) -> None:
    Snapshots(tmp_path, "a-").write(place(60), save)
    assert Snapshots(tmp_path, "b-").all() == []


def test_what_a_dead_process_left_unfinished_goes_after_a_day(tmp_path: Path) -> None:
    old, new = tmp_path / "assess" / "unfinished-1-x", tmp_path / "assess" / "unfinished-2-x"
    for folder in (old, new):
        folder.mkdir(parents=True)
    past = time.time() - ABANDONED_S - 60
    os.utime(old, (past, past))
    Snapshots(tmp_path, "").write(place(60), save)
    assert not old.exists()
    assert new.exists()
