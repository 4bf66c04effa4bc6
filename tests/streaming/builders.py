"""Small builders for tests: post events as dictionaries, JSON lines and log observations, with every field optional.

>>> lines([event("a", at=0, text="Hello there"), event("b", at=1000, kind="like", target="a-0")])  # doctest: +SKIP
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import zstandard

from detector.text.features import TEXT_FEATURES, TextAbstain
from streaming.schema.observation import NO_TIME, Batch, End, Kind, Observation

T0: Final = 1_767_225_600_000
"""2026-01-01T00:00:00Z, ms: where the events of tests begin; a multiple of every tick."""


def event(
    account: str = "ann", *, at: int | str = 0, id: str | None = None, kind: str = "post", **more: Any
) -> dict[str, Any]:
    """A post event. An integer `at` below 10^11 is ms after `T0`; the id is made from account and time.

    Fields given as None are left out.
    """
    small = isinstance(at, int) and not isinstance(at, bool) and abs(at) < 10**11
    time = T0 + int(at) if small else at
    built = {"id": f"{account}-{at}" if id is None else id, "account": account, "at": time, "kind": kind, **more}
    return {field: value for field, value in built.items() if value is not None}


def record(item: Mapping[str, Any] | bytes) -> bytes:
    """The bytes of one record of `posts`: bytes as they are, an event as JSON."""
    return item if isinstance(item, bytes) else json.dumps(item, ensure_ascii=False).encode()


def lines(items: Iterable[Mapping[str, Any] | bytes]) -> bytes:
    """JSON lines, each closed by a line feed."""
    return b"".join(record(item) + b"\n" for item in items)


def write_lines(path: Path, items: Iterable[Mapping[str, Any] | bytes]) -> Path:
    """Write JSON lines to `path`, compressed as its name says (`.gz`, `.zst`); the path again."""
    data = lines(items)
    if path.suffix == ".gz":
        data = gzip.compress(data, mtime=0)
    elif path.suffix == ".zst":
        data = zstandard.ZstdCompressor().compress(data)
    path.write_bytes(data)
    return path


def packed_features(
    llr: float = 0.0,
    *,
    words: int = 8,
    abstain: TextAbstain = TextAbstain.NONE,
    style: Sequence[float] = (),
    sketch: Sequence[int] = (),
    minhash: Sequence[int] = (),
) -> bytes:
    """One packed record of text features. `llr` in nats; vectors shorter than their length are filled with zeros."""
    row = np.zeros(1, TEXT_FEATURES)
    row["llr"], row["words"], row["abstain"] = round(llr * 1000), words, abstain
    for name, values in (("style", style), ("sketch", sketch), ("minhash", minhash)):
        row[name][0, : len(values)] = values
    return row.tobytes()


def observation(offset: int, account: str = "ann", at: int = 0, **more: Any) -> Observation:
    """What was seen in one good record; `at` is ms after `T0`. With `text` alone, text features of 0 nats."""
    more.setdefault("id", f"{account}-{at}")
    more["kind"] = int(more.get("kind", Kind.POST))
    if more.get("text"):
        more.setdefault("text_features", packed_features())
        more.setdefault("lang", "en")
    digest = hashlib.sha256(repr((account, at, sorted(more.items()))).encode()).digest()[:16]
    more.setdefault("digest", digest)
    return Observation(offset=offset, dead=False, at=T0 + at, account=account, **more)


def dead(offset: int, stamp: int = -1) -> Observation:
    """What was seen in a record that is no post event."""
    return Observation(offset=offset, dead=True, stamp=stamp)


def batch(
    observations: Sequence[Observation],
    *,
    partition: int = 0,
    partitions: int = 1,
    start: int | None = None,
    end: int | None = None,
    watermark: int = NO_TIME,
    models: Mapping[str, str] | None = None,
    offset_gap: int = 0,
) -> Batch:
    """A batch that covers its observations, from the first to the last unless told otherwise."""
    first = observations[0].offset if observations else 0
    last = observations[-1].offset + 1 if observations else first
    return Batch(
        partition=partition,
        partitions=partitions,
        start=first if start is None else start,
        end=last if end is None else end,
        watermark=watermark,
        models=dict(models or {"text": "fake@1"}),
        observations=list(observations),
        offset_gap=offset_gap,
    )


def end(offset: int, *, partition: int = 0, partitions: int = 1) -> End:
    """The end mark of a partition."""
    return End(partition=partition, partitions=partitions, offset=offset)
