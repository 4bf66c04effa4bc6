"""What holds of every input format: it is recognised, accounts for every record, and survives damage of any kind."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from detector.errors import EventError
from detector.plugins import SOURCES, installed
from streaming.schema.event import parse
from streaming.sources.base import RecordFormat, SourceFormat
from streaming.sources.files import EVENTS, RecordingFiles, format_named, recognising
from tests.streaming.sources.formats import NOW
from tests.streaming.sources.samples import SAMPLES

VARIANTS = [(name, variant) for name, variants in SAMPLES.items() for variant in variants]

MEAN: list[Any] = [
    None,
    True,
    -1,
    0,
    2**63,
    10**400,
    1e308,
    "",
    " ",
    "\x00",
    "a" * 70_000,
    "\ud800",
    "9.06E+17",
    [],
    {},
    [[]],
    [None],
    {"": 0},
    {"id": {}},
    "0000-00-00T00:00:00Z",
    "<a href=",
    "https://[::1",
]
"""Values that a record may hold in place of the one that belongs there."""


def test_every_installed_format_has_samples() -> None:
    assert set(SAMPLES) == set(installed(SOURCES)) - {EVENTS}


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_a_file_is_recognised_by_what_is_in_it_and_by_one_format_alone(name: str, variant: str) -> None:
    data = SAMPLES[name][variant]
    assert recognising(data[: 1 << 16]) == name
    others = [each for each in SAMPLES if each not in (name, "table") and format_named(each).recognises(data)]
    assert others == []


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_one_command_takes_it_and_accounts_for_every_record(name: str, variant: str, tmp_path: Path) -> None:
    path = tmp_path / "recording"
    path.write_bytes(SAMPLES[name][variant])
    with RecordingFiles([path], format_name="auto") as inputs:
        records = list(inputs.by_time())
        assert records or inputs.skipped
        for record in records:
            assert record.problem is None
            parse(record.value, now_ms=NOW)


def _mutations(data: bytes, rng: random.Random) -> Iterator[bytes]:
    """Damaged copies of a file: bytes changed, cut or doubled, and JSON with other values in it."""
    while True:
        if rng.random() < 0.5:
            damaged = bytearray(data)
            for _ in range(rng.randint(1, 8)):
                place = rng.randrange(len(damaged) or 1)
                what = rng.randrange(4)
                if what == 0:
                    damaged[place : place + 1] = bytes([rng.randrange(256)])
                elif what == 1:
                    del damaged[place : place + rng.randint(1, 40)]
                elif what == 2:
                    damaged[place:place] = damaged[place : place + rng.randint(1, 40)]
                else:
                    damaged[place:place] = rng.choice(
                        [b'"', b"{", b"]", b"\\", b"\n", b"\r", b",", b"\xff", b"\x00", b"'"]
                    )
            yield bytes(damaged)
        else:
            yield b"\n".join(_mean(line, rng) for line in data.split(b"\n"))


def _mean(line: bytes, rng: random.Random) -> bytes:
    try:
        value = json.loads(line)
    except ValueError:
        cells = line.split(b",")
        if line:
            cells[rng.randrange(len(cells))] = str(rng.choice(MEAN)).encode("utf-8", "surrogatepass")
        return b",".join(cells)
    return json.dumps(_spoilt(value, rng)).encode()


def _spoilt(value: Any, rng: random.Random) -> Any:
    if rng.random() < 0.04:
        return rng.choice(MEAN)
    if isinstance(value, dict):
        return {key: _spoilt(each, rng) for key, each in value.items() if rng.random() > 0.03}
    if isinstance(value, list):
        return [_spoilt(each, rng) for each in value]
    if isinstance(value, str) and value.startswith("{"):
        return _mean(value.encode(), rng).decode()
    return value


def fuzz(name: str, records: int) -> None:
    """Read damaged files until `records` records came out of them; whatever they hold, each becomes one thing."""
    rng = random.Random(name)
    form, seen = format_named(name), 0
    sources = [_mutations(data, rng) for data in SAMPLES[name].values()]
    while seen < records:
        for source in sources:
            for data in islice(source, 20):
                form.recognises(data)
                seen += _read_all(form, data)
                if isinstance(form, RecordFormat):
                    form.convert(data.partition(b"\n")[0])


def _read_all(form: SourceFormat, data: bytes) -> int:
    count = 0
    try:
        for record in form.read(io.BufferedReader(io.BytesIO(data))):
            count += 1
            assert not (record.skipped and record.problem)
            if record.skipped or record.problem is not None or record.oversize is not None:
                continue
            try:
                parse(record.value, now_ms=NOW)
            except EventError:
                continue
    except UnicodeError:
        raise
    except (ValueError, EOFError):
        pass
    return count


@pytest.mark.parametrize("name", SAMPLES)
def test_damaged_files_crash_nothing(name: str) -> None:
    fuzz(name, 60)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
def test_a_hundred_thousand_damaged_records_crash_nothing(name: str) -> None:
    fuzz(name, 100_000)


def test_lines_stay_one_record_each_however_they_are_damaged() -> None:
    for name in ("bluesky", "reddit"):
        (data, *_) = SAMPLES[name].values()
        good = data.split(b"\n")[0] + b"\n"
        damages = _mutations(good, random.Random(name))
        for _ in range(60):
            damaged = next(damages)
            line = damaged.replace(b"\n", b" ").lstrip(b"[ \t\r") + b"\n"
            found = list(format_named(name).read(io.BufferedReader(io.BytesIO(good + line + good))))
            assert len(found) == 3
            assert found[0] == found[2]._replace(position=1)
