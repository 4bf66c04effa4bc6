"""The work folder: texts, and the fingerprint that says whether what lies in it still counts."""

from __future__ import annotations

import hashlib
from pathlib import Path

from detector.bundle import SHIPPED
from detector.errors import UsageError
from simulation.red_team.own_texts import machine_corpus, people_corpus
from streaming.demo.cast import planted


def sources(folder: Path, people: str | None, machines: str | None) -> tuple[str, str]:
    """The sources of texts: those named, or the project's own, which are written into the folder.

    Raises:
        UsageError: the folder cannot be written, or the demo's people are not installed.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be used as a work folder: {error.strerror}") from None
    return (
        people if people is not None else people_corpus(folder / "people.jsonl"),
        machines if machines is not None else machine_corpus(folder / "machines.jsonl"),
    )


def fingerprint(people: str, machines: str, models: Path | None) -> str:
    """SHA-256 over the contents of both corpora and of the models, so that results are not mixed."""
    digest = hashlib.sha256()
    for source in (people, machines):
        scheme, _, rest = source.partition(":")
        digest.update(_content(Path(rest)) if scheme == "corpus" else source.encode())
    for file in sorted((models or SHIPPED).glob("*.safetensors")):
        digest.update(file.name.encode() + _content(file))
    return digest.hexdigest()


def _content(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None


def own_posts() -> int:
    """How many posts the project's own machine corpus has."""
    return sum(len(each.posts) for each in planted())
