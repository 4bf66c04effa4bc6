"""What all tests share: where the measured data lies, if it is there at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


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
