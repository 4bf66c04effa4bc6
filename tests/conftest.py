"""What all tests share: how they are dealt out to processes, and where the measured data lies, if anywhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

# Before anything imports numpy or torch: processes of a test run share the cores, and one thread in each is enough.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says more about the other processes than about the code.
settings.register_profile("patient", settings.default, deadline=None)
settings.load_profile("patient")

BROKERS = {"broker", "home"}
"""Fixtures of tests that need the session's Kafka broker or start one of their own."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Deal out whole files, so that what they share is made once, and all that use a broker as one, and first.

    They wait more than they compute, and take longest: the other process does the rest meanwhile.
    """
    waiting = [bool(BROKERS & set(getattr(item, "fixturenames", ()))) for item in items]
    for item, waits in zip(items, waiting, strict=True):
        item.add_marker(pytest.mark.xdist_group("kafka" if waits else item.nodeid.partition("::")[0]))
    order = sorted(range(len(items)), key=lambda number: not waiting[number])
    items[:] = [items[number] for number in order]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with `streams/`, `text/` and `graph/`: $SWARMLIGHT_DATA, or ../shared/data beside the repository."""
    path = Path(os.environ.get("SWARMLIGHT_DATA") or ROOT.parent / "shared" / "data")
    if not path.is_dir():
        pytest.skip(f"no data at {path}: set SWARMLIGHT_DATA to the folder with streams/, text/ and graph/")
    return path


@pytest.fixture
def clean_environ(monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration from outside."""
    for name in list(os.environ):
        if name.startswith("SWARMLIGHT_") and name != "SWARMLIGHT_DATA":
            monkeypatch.delenv(name)
