"""The tutorial, typed as it stands, in a fresh clone of the repository.

`.ci/run` types it where `make setup` finds the environment that is there and has nothing to do. Another slow test types
the same page where it builds one from nothing, which needs a package index.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Final

import pytest

from tests.docs.commands import ROOT, blocks

PAGE: Final = Path("docs/tutorial.md")

FEED_S: Final = 40.0
"""Longest start of the feed on a busy machine."""


TYPED_S: Final = 500.0
"""Longest typing of the whole page, half a minute on a quiet machine, while others use this one."""

SETUP_S: Final = 1800.0
"""Longest installation: 1.5 GB from an index, most of it torch."""


def cloned(folder: Path) -> Path:
    """The last commit in `folder`, without an environment."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout: there is nothing to clone")
    subprocess.run(["git", "clone", "--quiet", "--local", str(ROOT), str(folder)], check=True)
    return folder


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with the environment that is there: `make setup` takes minutes."""
    folder = cloned(tmp_path_factory.mktemp("clone") / "swarmlight")
    (folder / ".venv").symlink_to(ROOT / ".venv")
    (folder / "pyproject.toml").touch()
    os.utime(folder / "pyproject.toml", (0, 0))
    (ROOT / ".venv" / ".ready").touch()
    return folder


def environment(folder: Path) -> dict[str, str]:
    """Nobody's configuration, and the clone's own code before the checkout's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SWARMLIGHT_")}
    return kept | {"PYTHONPATH": str(folder), "BROWSER": "true"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_tutorial_can_be_typed_from_its_first_line_to_its_last(clone: Path) -> None:
    typed = [block for kind, block in blocks(clone / PAGE) if kind != "feed"]
    assert len(typed) >= 5
    script = "set -euo pipefail\n" + "\n".join(typed)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=clone,
        env=environment(clone),
        capture_output=True,
        text=True,
        timeout=TYPED_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((clone / "tutorial" / "summary.json").read_text())
    assert summary["read"] == summary["accepted"] > 1000
    assert summary["flagged"] > 20
    own = json.loads((clone / "tutorial" / "own-summary.json").read_text())
    assert (own["read"], own["accepted"], own["dead"], own["flagged"]) == (6, 5, 1, 0)
    assert "flagged=True" in done.stdout


@pytest.mark.slow
def test_the_tutorials_feed_starts_and_ends(clone: Path) -> None:
    (block,) = [block for kind, block in blocks(clone / PAGE) if kind == "feed"]
    assert (clone / "tutorial" / "alerts.jsonl").is_file(), "the tutorial's run comes first"
    names = environment(clone) | {"SWARMLIGHT_FEED__PORT": "0"}
    path = f"{clone / '.venv' / 'bin'}:{os.environ['PATH']}"
    started = subprocess.Popen(
        ["bash", "-c", f"exec {block}"],
        cwd=clone,
        env=names | {"PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert started.stdout is not None
    deadline, said = time.monotonic() + FEED_S, ""
    while "http://" not in said and time.monotonic() < deadline:
        said += started.stdout.readline()
    address = next(word for word in said.split() if word.startswith("http://"))
    with urllib.request.urlopen(address.split("/login")[0] + "/healthz", timeout=20) as answer:
        assert answer.status == 200
    started.send_signal(signal.SIGTERM)
    assert started.wait(30) == 0


@pytest.mark.slow
@pytest.mark.timeout(SETUP_S + 300)
def test_the_tutorial_can_be_typed_where_nothing_is_installed(tmp_path: Path) -> None:
    """`PIP_FLAGS` from outside counts, as for anybody who types it."""
    asked = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "--dest", str(tmp_path)]
    if subprocess.run([*asked, "pluggy"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no package index can be reached: `make setup` has nothing to install from")
    folder = cloned(tmp_path / "swarmlight")
    typed = [block for kind, block in blocks(folder / PAGE) if kind != "feed"]
    assert typed[0].splitlines()[0] == "make setup"
    # Nobody's environment: neither this one's packages nor its commands.
    kept = {name: value for name, value in environment(folder).items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(
        ["bash", "-c", "\n".join(["set -euo pipefail", *typed, "command -v swarmlight"])],
        cwd=folder,
        env=kept,
        capture_output=True,
        text=True,
        timeout=SETUP_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith(str(folder / ".venv" / "bin" / "swarmlight"))
    assert not (folder / ".venv").is_symlink()
    assert len((folder / "tutorial" / "scores.jsonl").read_text().splitlines()) > 100
    own = json.loads((folder / "tutorial" / "own-summary.json").read_text())
    assert (own["read"], own["accepted"], own["dead"], own["flagged"]) == (6, 5, 1, 0)
    shutil.rmtree(folder / ".venv")  # gigabytes, which pytest would keep for three runs
