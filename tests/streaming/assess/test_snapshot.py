"""Snapshots: the fields of the state and nothing else, whole or refused."""

from __future__ import annotations

import zipfile
from dataclasses import fields
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from detector.errors import LogError
from streaming.assess import Assess, AssessSettings
from streaming.assess import snapshot as snapshot_module
from streaming.assess.snapshot import ADDED, OLDEST, VERSION, copied, members, read, restore, snapshot, write_copied
from streaming.assess.state import State
from streaming.assess.store import AccountTable
from tests.streaming.assess import harness, societies
from tests.streaming.assess.fakes import models
from tests.streaming.builders import batch, end, event

MINUTE = 60_000


def short() -> Assess:
    """A state with three posts in it."""
    items = [event("ann", at=i * MINUTE, id=str(i), text="robot said the old man here", lang="en") for i in range(3)]
    return harness.play([batch(harness.score(items)), end(3)]).assess


@pytest.fixture(scope="module")
def rich() -> Assess:
    """A state with everything in it, some of it still waiting."""
    observed = harness.score(societies.society(5))
    return harness.play([batch(observed)]).assess


def test_a_snapshot_has_a_member_for_every_field_of_the_state(rich: Assess) -> None:
    names = [name for name, _ in members(rich.state)]
    assert len(names) == len(set(names))
    assert {name.split("/")[0] for name in names} == {each.name for each in fields(State)}
    assert {f"accounts/{column}" for column in AccountTable.columns()} <= set(names)
    with zipfile.ZipFile(BytesIO(harness.written(rich))) as archive:
        kept = {name.removesuffix(".npy").removesuffix(".msgpack") for name in archive.namelist()}
    assert kept == {*names, "taken_with"}


def test_a_restored_state_is_the_same_and_writes_the_same_bytes(rich: Assess, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rich.ordering.waiting > 0
    assert rich.state.alerts.of_accounts
    assert rich.state.texts.of_row
    assert len(rich.state.narratives) > 0
    fresh = harness.through_disk(rich)
    assert harness.picture(fresh) == harness.picture(rich)
    assert fresh.state.alerts == rich.state.alerts
    assert fresh.state.ordering == rich.state.ordering
    assert fresh.state.seen == rich.state.seen
    assert fresh.state.accounts.rows == rich.state.accounts.rows
    assert fresh.state.groups.of_row.keys() == rich.state.groups.of_row.keys()
    first = harness.written(fresh)
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    assert first == harness.written(harness.through_disk(fresh))


def test_only_rows_in_use_are_written(rich: Assess) -> None:
    parts = dict(members(rich.state))
    total = parts["accounts/total"]
    assert isinstance(total, np.ndarray)
    assert len(total) == rich.state.accounts.used < rich.state.accounts.capacity


def test_a_snapshot_file_is_replaced_whole(tmp_path: Path, rich: Assess) -> None:
    path = tmp_path / "state"
    for _ in range(2):
        snapshot(path, rich)
    fresh = harness.begin()
    restore(path, fresh)
    assert harness.picture(fresh) == harness.picture(rich)
    assert [each.name for each in tmp_path.iterdir()] == ["state"]


@pytest.mark.parametrize("place", [3, 25, 60, 500, -1])
def test_a_damaged_snapshot_is_refused(place: int) -> None:
    broken = bytearray(harness.written(short()))
    broken[place] ^= 1
    with pytest.raises(LogError):
        read(BytesIO(bytes(broken)), harness.begin(), "a snapshot")


@pytest.mark.parametrize("size", [0, 10, 100, 5000])
def test_a_snapshot_cut_short_is_refused(size: int) -> None:
    with pytest.raises(LogError):
        read(BytesIO(harness.written(short())[:size]), harness.begin(), "a snapshot")


@pytest.mark.parametrize("version", [OLDEST - 1, VERSION + 1])
def test_a_snapshot_of_another_version_is_refused_with_what_to_do(version: int) -> None:
    other = harness.written(short()).replace(b"%06d" % VERSION, b"%06d" % version, 1)
    with pytest.raises(LogError, match=rf"version 0+{version}.*reads versions {OLDEST} to {VERSION}.*offset 0"):
        read(BytesIO(other), harness.begin(), "a snapshot")


def test_a_snapshot_of_each_older_version_that_is_read_goes_on_with_what_it_lacks_as_at_the_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    began = short()
    whole = dict(members(began.state))
    assert OLDEST < VERSION
    for version in range(OLDEST, VERSION):
        lacks = {name for name, since in ADDED.items() if since > version}
        assert lacks
        with monkeypatch.context() as patched:
            patched.setattr(snapshot_module, "VERSION", version)
            kept = [(name, part) for name, part in whole.items() if name not in lacks]
            patched.setattr(snapshot_module, "members", lambda _, kept=kept: kept)
            written = harness.written(began)
        assert b"%06d" % version in written[:40]
        fresh = harness.begin()
        read(BytesIO(written), fresh, "an older snapshot")
        found = dict(members(fresh.state))
        for name in whole.keys() - lacks:
            assert np.array_equal(found[name], whole[name]), name
        for name in lacks:
            assert found[name] == dict(members(harness.begin().state))[name]


def test_a_copied_state_is_that_of_its_moment_whatever_happens_afterwards() -> None:
    assess = harness.begin()
    observed = harness.score(societies.society(5))
    assess.feed(batch(observed[:200]))
    harness.drain(assess)
    written, copy = harness.written(assess), copied(assess)
    rest = batch(observed[200:400])
    assess.feed(rest)
    assess.feed(end(rest.end))
    harness.drain(assess)
    file = BytesIO()
    write_copied(file, copy)
    assert file.getvalue() == written != harness.written(assess)


def test_a_refused_snapshot_leaves_the_state_as_it_was() -> None:
    fresh = harness.begin()
    before = fresh.state
    with pytest.raises(LogError):
        read(BytesIO(harness.written(short())[:-1]), fresh, "a snapshot")
    assert fresh.state is before


def test_a_missing_snapshot_and_one_of_other_models_or_partitions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="no-such"):
        restore(tmp_path / "no-such", harness.begin())
    snapshot(tmp_path / "state", short())
    other = models(second_stage=object(), meaning=object())
    other.versions["account"] = "fake@2"
    with pytest.raises(LogError, match="fake@2"):
        restore(tmp_path / "state", harness.begin(bundle=other))
    with pytest.raises(LogError, match="partitions"):
        restore(tmp_path / "state", harness.begin(partitions=2))


def test_settings_that_shape_history_must_be_those_of_the_snapshot() -> None:
    with pytest.raises(LogError, match="duplicate_window_s"):
        harness.through_disk(short(), AssessSettings(duplicate_window_s=1))
