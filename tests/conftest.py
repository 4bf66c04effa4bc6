"""What all tests share: how they are dealt out to processes, and where the measured data lies, if anywhere."""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from detector.text.encoder import Encoder

ROOT = Path(__file__).resolve().parent.parent

# Before anything imports numpy or torch: processes of a test run share the cores, and one thread in each is enough.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says more about the other processes than about the code.
settings.register_profile("patient", settings.default, deadline=None)
settings.load_profile("patient")


def pytest_configure(config: pytest.Config) -> None:
    """Commands and extension points are found by what is installed, which `git pull` does not change."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    wanted = {(group, name, value) for group, lines in declared.items() for name, value in lines.items()}
    there = {(each.group, each.name, each.value) for each in distribution("swarmlight").entry_points}
    if not wanted <= there:
        raise pytest.UsageError(
            "the installed entry points are not those of pyproject.toml: "
            "run `rm -rf *.egg-info && python -m pip install -e . --no-deps --no-build-isolation` first"
        )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """How tests are dealt out where there are several processes (`make test`)."""
    from tests.scheduling import Scheduling

    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Kafka's tests first: while they wait, the other process has work left to do."""
    from tests.scheduling import KAFKA, group

    items.sort(key=lambda item: group(item.nodeid) != KAFKA)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with `streams/`, `text/` and `graph/`: $SWARMLIGHT_DATA, or ../shared/data beside the repository."""
    path = Path(os.environ.get("SWARMLIGHT_DATA") or ROOT.parent / "shared" / "data")
    if not path.is_dir():
        pytest.skip(f"no data at {path}: set SWARMLIGHT_DATA to the folder with streams/, text/ and graph/")
    return path


@pytest.fixture(scope="module")
def texts_read_once() -> Iterator[None]:
    """For modules that run the system often over the same texts: the encoder reads each text once in a process.

    What it says of a text depends on the text and its weights alone, which tests/detector/text hold it to.
    """
    import numpy as np

    from detector.text.encoder import Encoder

    own = Encoder.embed
    names: dict[Encoder, str] = {}

    def embed(self: Encoder, texts: Iterable[str]) -> NDArray[np.float32]:
        given = list(texts)
        if self not in names:
            names[self] = _weights_of(self)
        known = READ.setdefault(names[self], {})
        new = list(dict.fromkeys(text for text in given if text not in known))
        if new or not given:
            rows = own(self, new)
            known.update(zip(new, rows, strict=True))
            if not given:
                return rows
        return np.stack([known[text] for text in given])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Encoder, "embed", embed)
        yield


READ: dict[str, dict[str, NDArray[np.float32]]] = {}
"""What encoders said of texts in this process, by their weights."""


def _weights_of(encoder: Encoder) -> str:
    from detector.text.encoder import TUNED_PREFIX

    digest = hashlib.blake2b(repr((encoder._taken, encoder._tokenizer.truncation, encoder._unit)).encode())
    for name, weight in sorted(encoder._weights.items()):
        if name.startswith(TUNED_PREFIX):
            digest.update(weight.float().numpy().tobytes())
    return digest.hexdigest()


@pytest.fixture
def clean_environ(monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration from outside."""
    for name in list(os.environ):
        if name.startswith("SWARMLIGHT_") and name != "SWARMLIGHT_DATA":
            monkeypatch.delenv(name)
