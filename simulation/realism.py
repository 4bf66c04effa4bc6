"""Compares a simulated population with a real stream, fact by fact, and writes the report.

A real stream is a recording of post events, or a table (`.parquet`, `.csv`) of who shared which object and when, as
co-sharing tools have it. Both streams are brought to one form (`Acts`); the simulated one is cut to the real one's
kinds of acts, length and number of accounts (`like`). A fact is a mean over accounts or objects: burstiness by Goh and
Barabasi 2008, tail exponents by Hill 1975 on the largest tenth; a session ends after half an hour of silence, as in the
study of web sessions (Catledge and Pitkow 1995).

Intervals are percentiles of a bootstrap over accounts or objects. A simulated fact *fits* where its 95% interval meets
the real one, is *near* within a quarter of the real value, and *misses* otherwise. A real interval leaves out how the
sample came about, so a miss of little may be the sample's.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from detector.errors import EventError, UnusableError, UsageError
from detector.times import AT_MAX, parse_time
from simulation import world as kinds
from simulation.population_config import PopulationConfig
from simulation.population_files import lines_of, table_of
from simulation.sampling import Bytes, Flags, Floats, Ints, stream
from simulation.world import Chunk, World
from streaming.schema.event import parse

ACCOUNT_COLUMNS: Final = ("account_id", "author_id", "account", "user_id")
OBJECT_COLUMNS: Final = ("object_id", "shared_object_id", "object", "url")
TIME_COLUMNS: Final = ("timestamp_share", "created_at_unix", "at", "created_at", "timestamp")
"""Names that co-sharing tools give to their three columns, in the order they are looked for."""

KINDS: Final = ("post", "reply", "repost", "quote", "like", "follow")


@dataclass
class Acts:
    """Columns of shape (acts,), in order of time; -1 is none. `account`, `target` and `link` are numbers of names."""

    account: Ints
    at: Ints  # ms
    kind: Bytes
    target: Ints
    target_account: Ints
    link: Ints

    def __len__(self) -> int:
        return len(self.account)

    def where(self, mask: Flags) -> Acts:
        """The acts of `mask`."""
        return Acts(**{field.name: getattr(self, field.name)[mask] for field in fields(self)})

    @property
    def days(self) -> float:
        """From the first act to the last."""
        return float(self.at[-1] - self.at[0]) / 86_400_000 if len(self) else 0.0

    def kinds(self) -> list[int]:
        """The kinds that occur."""
        return sorted(set(self.kind.tolist()))


def read(path: Path) -> Acts:
    """The acts in a real stream.

    Raises:
        UsageError: it cannot be read or holds no acts.
    """
    if path.suffix in (".parquet", ".csv"):
        rows: Iterable[Mapping[str, Any]] = table_of(path) if path.suffix == ".parquet" else _csv(path)
        found = _from_table(rows, path)
    else:
        found = _from_events(path)
    if len(found) < 2:
        raise UsageError(
            f"{path}: no acts in it that could be compared; give a recording of posts, or name its --format"
        )
    order = np.argsort(found.at, kind="stable")
    return Acts(**{field.name: getattr(found, field.name)[order] for field in fields(found)})


def _from_events(path: Path) -> Acts:
    names: dict[str, int] = {}
    events: dict[str, int] = {}
    links: dict[str, int] = {}
    rows = []
    read = dead = 0
    for line in lines_of(path):
        read += 1
        try:
            event = parse(line, now_ms=AT_MAX)
        except EventError:
            dead += 1
            continue
        if int(event.kind) >= len(KINDS):
            continue
        rows.append((
            names.setdefault(event.account, len(names)), event.at, int(event.kind),
            events.setdefault(event.target, len(events)) if event.target else -1,
            names.setdefault(event.target_account, len(names)) if event.target_account else -1,
            links.setdefault(event.urls[0], len(links)) if event.urls else -1,
        ))  # fmt: skip
    if dead * 2 > read:
        raise UnusableError(f"{path}: {dead:,} of {read:,} lines are no post events; name its --format")
    return _columns(rows)


def _from_table(rows: Iterable[Mapping[str, Any]], path: Path) -> Acts:
    names: dict[str, int] = {}
    objects: dict[str, int] = {}
    found = []
    columns: list[str] = []
    for row in rows:
        if not columns:
            columns = [_column(row, choices, path) for choices in (ACCOUNT_COLUMNS, OBJECT_COLUMNS, TIME_COLUMNS)]
        account, thing, when = (row[name] for name in columns)
        at = _time(when)
        if account is None or thing is None or at is None:
            continue
        number = objects.setdefault(str(thing), len(objects))
        found.append((names.setdefault(str(account), len(names)), at, kinds.REPOST, number, -1, number))
    return _columns(found)


def _columns(rows: list[tuple[int, int, int, int, int, int]]) -> Acts:
    table = np.array(rows, np.int64).reshape(-1, 6).T
    return Acts(table[0], table[1], table[2].astype(np.int8), table[3], table[4], table[5])


def _column(row: Mapping[str, Any], choices: tuple[str, ...], path: Path) -> str:
    for name in choices:
        if name in row:
            return name
    raise UsageError(f"{path}: none of the columns {', '.join(choices)} is in it; rename yours to the first of them")


def _time(value: Any) -> int | None:
    """Milliseconds since 1970 of a date, a text or a number of seconds."""
    if isinstance(value, datetime):
        return round((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp() * 1000)
    if isinstance(value, str):
        try:
            return round(float(value) * 1000)
        except ValueError:
            return parse_time(value)
    return round(float(value) * 1000) if isinstance(value, int | float) else None


def _csv(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            yield from csv.DictReader(file)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: cannot be read as csv: {error}") from None


def of_chunk(chunk: Chunk) -> Acts:
    """Simulated acts."""
    return Acts(chunk.account, chunk.at, chunk.kind, chunk.target, chunk.target_account, chunk.link)


def like(simulated: Acts, real: Acts, rng: np.random.Generator) -> Acts:
    """The simulated acts as a sample of the same make as the real ones.

    The same kinds (a stream of texts alone has no likes; texts of every kind then count as posts), as many accounts,
    drawn at random among those that act and no less active than the real stream's least active, over the same time.

    Args:
        simulated: acts of a simulation.
        real: the acts whose make is taken.
        rng: where chance comes from.
    """
    wanted = real.kinds()
    if wanted == [kinds.POST]:
        simulated = simulated.where(kinds.written(simulated.kind))
        simulated.kind[:] = kinds.POST
    else:
        simulated = simulated.where(np.isin(simulated.kind, wanted))
    if len(simulated) and real.days < simulated.days:
        simulated = simulated.where(simulated.at < simulated.at[0] + round(real.days * 86_400_000))
    counts = np.bincount(simulated.account)
    least = int(np.bincount(real.account)[np.unique(real.account)].min())
    acting = np.flatnonzero(counts >= max(least, 1))
    chosen = rng.permutation(acting)[: len(np.unique(real.account))]
    return simulated.where(np.isin(simulated.account, chosen))


SESSION_MS: Final = 30 * 60 * 1000

ENOUGH: Final = 10
"""Acts of an account from which its own gaps and hours are measured."""

TAIL: Final = 0.1
"""Share of the largest values that a tail exponent is measured on."""

BLOCK_MS: Final = 6 * 3_600_000
"""Accounts are swapped inside blocks of so long for the null of co-sharing: activity and the talk of the hour stay."""

FAST_MS: Final = 60_000
"""Two shares of one object so close are what co-sharing tools call coordinated."""


@dataclass(frozen=True)
class Fact:
    """One fact: its name, its values by account or object, and how they are summed up."""

    name: str
    values: Floats
    summed: Callable[[Floats], float]


def mean(values: Floats) -> float:
    """The mean."""
    return float(values.mean())


def median(values: Floats) -> float:
    """The median."""
    return float(np.median(values))


def hill(values: Floats) -> float:
    """Exponent of the tail of positive values; larger is lighter."""
    ordered = np.sort(values)[::-1]
    k = max(int(len(ordered) * TAIL), 2)
    if len(ordered) <= k:
        return float("nan")
    logs = np.log(ordered[:k] / ordered[k])
    return float(1 / logs.mean()) if logs.mean() > 0 else float("nan")


def top(values: Floats) -> float:
    """Share of the whole that the largest hundredth has."""
    ordered = np.sort(values)[::-1]
    return float(ordered[: max(len(ordered) // 100, 1)].sum() / max(ordered.sum(), 1e-12))


def measure(acts: Acts, rng: np.random.Generator) -> list[Fact]:
    """All facts that the acts can show."""
    _, account = np.unique(acts.account, return_inverse=True)
    account = account.astype(np.int64)
    counts = np.bincount(account).astype(float)
    found = [
        Fact("acts per account", counts, mean),
        Fact("tail exponent of acts per account", counts, hill),
    ]
    found += _timing(account, acts.at, counts)
    if len(acts.kinds()) > 1:
        replies = np.bincount(account, np.isin(acts.kind, (kinds.REPLY, kinds.QUOTE)).astype(float))
        found.append(Fact("share of replies and quotes", replies / counts, mean))
    found += _reactions(acts)
    found += _sharing(account, acts, rng)
    return [fact for fact in found if len(fact.values) >= ENOUGH]


def _timing(account: Ints, at: Ints, counts: Floats) -> list[Fact]:
    order = np.lexsort((at, account))
    account, at = account[order], at[order]
    same = account[1:] == account[:-1]
    owner, gap = account[1:][same], np.diff(at)[same].astype(float)
    n = np.bincount(owner, minlength=len(counts))
    mean_gap = np.bincount(owner, gap, len(counts)) / np.maximum(n, 1)
    spread = np.sqrt(np.maximum(np.bincount(owner, gap**2, len(counts)) / np.maximum(n, 1) - mean_gap**2, 0))
    enough = counts >= ENOUGH
    burstiness = (spread - mean_gap) / np.maximum(spread + mean_gap, 1e-9)
    sessions = 1 + np.bincount(owner, (gap > SESSION_MS).astype(float), len(counts))
    angle = at * (2 * np.pi / 86_400_000)
    vector = np.hypot(np.bincount(account, np.cos(angle)), np.bincount(account, np.sin(angle)))
    inside = gap[gap <= SESSION_MS] / 1000
    return [
        Fact("burstiness of an account's gaps", burstiness[enough], mean),
        Fact("acts per session", (counts / sessions)[enough], mean),
        Fact("median gap inside a session, s", inside, median),
        Fact("share of gaps under a minute", (gap < 60_000).astype(float), mean),
        Fact("concentration of an account's hours", (vector / counts)[enough], mean),
    ]


def _reactions(acts: Acts) -> list[Fact]:
    """How unevenly reactions fall on texts and on accounts."""
    found = []
    hit = acts.target >= 0
    if hit.any():
        sizes = np.unique(acts.target[hit], return_counts=True)[1].astype(float)
        found += [
            Fact("reactions per text reacted to", sizes, mean),
            Fact("tail exponent of reactions per text", sizes, hill),
            Fact("share of texts with a single reaction", (sizes == 1).astype(float), mean),
        ]
    aimed = acts.target_account >= 0
    if aimed.any():
        received = np.unique(acts.target_account[aimed], return_counts=True)[1].astype(float)
        found += [
            Fact("tail exponent of reactions per account", received, hill),
            Fact("share of reactions on the top hundredth", received, top),
        ]
    return found


def _sharing(account: Ints, acts: Acts, rng: np.random.Generator) -> list[Fact]:
    """How often accounts use the same objects, and how much more often than when they are swapped within blocks."""
    things = acts.link if (acts.link >= 0).any() else acts.target
    has = things >= 0
    if has.sum() < ENOUGH:
        return []
    who, what, at = account[has], things[has], acts.at[has]
    pairs, uses = np.unique(np.stack((who, what)), axis=1, return_counts=True)
    users = np.unique(pairs[1], return_counts=True)[1].astype(float)
    order = np.lexsort((at, what))
    near = np.diff(at[order])[(np.diff(what[order]) == 0) & (np.diff(who[order]) != 0)]
    swapped = _swapped(who, at, rng)
    meets = _meetings(who, what)
    return [
        Fact("accounts per object", users, mean),
        Fact("share of objects with one account", (users == 1).astype(float), mean),
        Fact("repeated uses per use", (uses > 1).astype(float), mean),
        Fact("pairs per account sharing two objects", meets, mean),
        Fact("the same, accounts swapped in blocks", _meetings(swapped, what), mean),
        Fact("share of co-shares within a minute", (near < FAST_MS).astype(float), mean),
    ]


def _swapped(who: Ints, at: Ints, rng: np.random.Generator) -> Ints:
    """The accounts, shuffled among the acts of each block of time."""
    block = at // BLOCK_MS
    order = np.argsort(block, kind="stable")
    shuffled = np.lexsort((rng.random(len(who)), block))
    result = np.empty_like(who)
    result[order] = who[shuffled]
    return result


def _meetings(who: Ints, what: Ints) -> Floats:
    """For each account, with how many others it shares at least two objects."""
    pairs = np.unique(np.stack((what, who)), axis=1)
    starts = np.flatnonzero(np.diff(pairs[0], prepend=-1))
    keys = []
    width = int(who.max()) + 1
    for first, last in zip(starts.tolist(), [*starts[1:].tolist(), len(pairs[0])], strict=True):
        members = pairs[1][first:last]
        if 1 < len(members) <= 500:
            a, b = np.triu_indices(len(members), 1)
            keys.append(members[a] * width + members[b])
    found: Floats = np.zeros(width)
    if keys:
        pair, shared = np.unique(np.concatenate(keys), return_counts=True)
        both = pair[shared > 1]
        np.add.at(found, both // width, 1)
        np.add.at(found, both % width, 1)
    return found[np.unique(who)]


DRAWS: Final = 200

LARGEST: Final = 20_000
"""Values that a draw resamples: of more, a part says as much."""

NEAR: Final = 0.25

Judgement: TypeAlias = Literal["fits", "near", "misses"]


@dataclass(frozen=True)
class BootstrapEstimate:
    """A value with its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Line:
    """One fact in both streams."""

    name: str
    real: BootstrapEstimate
    simulated: BootstrapEstimate

    @property
    def judgement(self) -> Judgement:
        """Whether the simulated fact fits."""
        real, made = self.real, self.simulated
        if made.low <= real.high and real.low <= made.high:
            return "fits"
        return "near" if abs(made.value - real.value) <= NEAR * abs(real.value) else "misses"


def estimate(fact: Fact, rng: np.random.Generator) -> BootstrapEstimate:
    """A fact with its bootstrap interval."""
    values = fact.values
    drawn = min(len(values), LARGEST)
    results = [fact.summed(values[rng.integers(0, len(values), drawn)]) for _ in range(DRAWS)]
    shrink = np.sqrt(drawn / len(values))
    value = fact.summed(values)
    if not np.isfinite(results).any():
        return BootstrapEstimate(value, value, value)
    low, high = (value + (np.nanpercentile(results, q) - np.nanmedian(results)) * shrink for q in (2.5, 97.5))
    return BootstrapEstimate(value, float(low), float(high))


def compare(real: Acts, simulated: Acts, rng: np.random.Generator) -> list[Line]:
    """Every fact that both streams show.

    Args:
        real: acts of the real stream.
        simulated: acts of the simulation, made alike.
        rng: where chance comes from.
    """
    made = {fact.name: fact for fact in measure(simulated, rng)}
    lines = []
    for fact in measure(real, rng):
        other = made.get(fact.name)
        if other is not None:
            line = Line(fact.name, estimate(fact, rng), estimate(other, rng))
            if np.isfinite([line.real.value, line.simulated.value]).all():
                lines.append(line)
    return lines


LONGEST_DAYS: Final = 14.0
"""A real stream may be of months; a simulated population is compared over its first two weeks."""

COLOURS: Final = {"fits": "green", "near": "yellow", "misses": "red"}


def report(population: PopulationConfig, seed: int, path: Path, console: Console, page: Path | None) -> list[Line]:
    """Compare a simulated population with a real stream; print, and write into a page where one is named.

    Args:
        population: what is simulated.
        seed: of the simulation and the bootstrap.
        path: the real stream.
        console: where the table goes.
        page: Markdown page to write into, None for none.

    Raises:
        UsageError: the real stream or the page cannot be used.
    """
    real = read(path)
    accounts = len(np.unique(real.account))
    days = min(max(real.days, 1.0), LONGEST_DAYS)
    enough = max(population.accounts, 2 * accounts)
    world = World(msgspec.structs.replace(population, days=days, accounts=enough), seed)
    rng = stream(seed, "report")
    simulated = like(of_chunk(Chunk.joined(list(world.chunks()))), real, rng)
    if len(simulated) < 2:
        raise UsageError(
            f"{path}: the simulated population has no acts of the kinds in it, so there is nothing to compare"
        )
    lines = compare(real, simulated, rng)
    console.print(table(path.name, lines, real, simulated))
    missing = [line.name for line in lines if line.judgement == "misses"]
    console.print(sentence(lines, missing))
    if page is not None:
        _into(page, path.name, lines, real, simulated)
    return lines


def sentence(lines: list[Line], missing: list[str]) -> str:
    """What the report comes to, in words."""
    if not missing:
        return f"None of {len(lines)} facts misses."
    return f"{len(missing)} of {len(lines)} facts miss: {'; '.join(missing)}."


def table(name: str, lines: list[Line], real: Acts, simulated: Acts) -> Table:
    """The report for a terminal.

    Args:
        name: of the real stream.
        lines: the facts.
        real: acts of the real stream.
        simulated: acts of the simulation.
    """
    made = Table(title=f"{name}: {_size(real)}; simulated: {_size(simulated)}")
    for column in ("fact", "real", "simulated", ""):
        made.add_column(column, justify="left" if column in ("fact", "") else "right")
    for line in lines:
        style = COLOURS[line.judgement]
        made.add_row(line.name, _shown(line.real), _shown(line.simulated), f"[{style}]{line.judgement}[/]")
    return made


def _size(acts: Acts) -> str:
    return f"{len(acts):,} acts, {len(np.unique(acts.account)):,} accounts, {acts.days:.1f} days"


def _shown(estimate: BootstrapEstimate) -> str:
    return f"{estimate.value:.3g} ({estimate.low:.3g} to {estimate.high:.3g})"


def _into(page: Path, name: str, lines: list[Line], real: Acts, simulated: Acts) -> None:
    """Put the report into a page, in the place of the last one about the same stream."""
    begin, end = f"<!-- realism {name} -->", f"<!-- end realism {name} -->"
    missing = [line.name for line in lines if line.judgement == "misses"]
    rows = [f"| {line.name} | {_shown(line.real)} | {_shown(line.simulated)} | {line.judgement} |" for line in lines]
    text = "\n".join([
        begin, f"**{name}**: {_size(real)}. Simulated: {_size(simulated)}.", "", "| fact | real | simulated | |",
        "| --- | --- | --- | --- |", *rows, "", sentence(lines, missing), end,
    ])  # fmt: skip
    try:
        before = page.read_text(encoding="utf-8") if page.exists() else ""
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        found = pattern.search(before)
        after = (
            before[: found.start()] + text + before[found.end() :] if found else before.rstrip() + "\n\n" + text + "\n"
        )
        page.write_text(after.lstrip(), encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{page}: cannot be rewritten: {error}; name another page") from None
