"""What the files of a run hold, read again: for the page that shows a run, its network, and the Python API.

In: the files that `swarmlight run` wrote (alerts, details, scores, summary, dead letters), told apart by their records.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from detector.errors import RecordError, UsageError
from graph.exports import Network, require_endings, write_edges, write_graphml
from streaming.logs import shown
from streaming.schema.alert import AlertRecord, PageRecord, read_alert, read_page
from streaming.schema.dead_letter import DeadLetterCounts, letters
from streaming.schema.run_summary import RunSummary
from streaming.schema.score import ScoreRecord, read_score
from streaming.sinks.table_file import is_table
from streaming.sources.files import RecordingFiles

ACCOUNTS_SHOWN: Final = 200
"""Accounts with the most evidence against them that are kept: more than anybody reads."""

_summary: Final = msgspec.json.Decoder(RunSummary)


@dataclass
class RunResults:
    """What the files of a run hold, as far as the page shows it.

    Args:
        summary: of the run; None where no file has one.
        alerts: last revision of every alert, by id.
        pages: pages of details of these revisions.
        top: accounts with the most evidence against them, the first first.
        totals: how many accounts have which total, in tenths of a nat, and whether they are flagged.
        abstained: how many accounts lack which component, by its reason.
        accounts: with a score.
        dead: dead letters.
    """

    summary: RunSummary | None = None
    alerts: dict[str, AlertRecord] = field(default_factory=dict)
    pages: dict[str, list[PageRecord]] = field(default_factory=dict)
    top: list[ScoreRecord] = field(default_factory=list)
    totals: Counter[tuple[int, bool]] = field(default_factory=Counter)
    abstained: Counter[tuple[str, str]] = field(default_factory=Counter)
    accounts: int = 0
    dead: DeadLetterCounts | None = None


def results_of(paths: Sequence[Path]) -> RunResults:
    """Read the files of a run; of a folder, those in it that are of one.

    Raises:
        UsageError: a file cannot be read or is none of a run's, or there is none.
    """
    found, used, tables = RunResults(), 0, list[Path]()
    for path in paths:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            if file.is_file() and file.suffix != ".partial":
                taken = _take(found, file)
                used += taken
                if not taken and is_table(file):
                    tables.append(file)
                elif not taken and not path.is_dir() and file.stat().st_size:
                    raise UsageError(
                        f"{shown(file)} is no file that `swarmlight run` writes: give those, or their folder"
                    )
    if not used:
        where = ", ".join(shown(path) for path in paths)
        found_tables = f"{shown(tables[0])} is a table, and only JSON lines hold all of it; " if tables else ""
        raise UsageError(
            f"no results of a run in {where}, or empty ones: {found_tables}give the files that --alerts, --scores and "
            "--summary wrote, or their folder"
        )
    for each, held in found.pages.items():
        held[:] = [page for page in held if each in found.alerts and page.revision == found.alerts[each].revision]
    found.top.sort(key=_rank)
    return found


def _rank(score: ScoreRecord) -> tuple[float, str]:
    return -score.llr.total, score.account


def _take(found: RunResults, path: Path) -> bool:
    """Read one file; False where it is none of a run's."""
    with RecordingFiles([path]) as inputs:
        records = (record.value for record in inputs)
        try:
            first = next(records, b"")
        except UsageError:
            return False
        kind = _kind(first)
        if kind is None:
            return False
        try:
            _READERS[kind](found, _chained(first, records), path)
        except (RecordError, msgspec.MsgspecError) as error:
            raise UsageError(
                f"{shown(path)} is damaged, or of another release: {shown(str(error))}; write it again"
            ) from None
    return True


def _chained(first: bytes, records: Iterable[bytes]) -> Iterator[bytes]:
    yield first
    yield from (record for record in records if record.strip())


def _kind(record: bytes) -> str | None:
    try:
        fields = msgspec.json.decode(record)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    signs = {"alerts": {"members", "revision", "threshold_kind"}, "details": {"page", "pages", "revision"},
             "scores": {"posterior", "llr", "abstained"}, "summary": {"read", "accepted", "peak_rss_mib"},
             "dead": {"sha256", "reason", "source"}}  # fmt: skip
    return next((kind for kind, needed in signs.items() if needed <= set(fields)), None)


def _alerts(found: RunResults, records: Iterator[bytes], path: Path) -> None:
    for record in records:
        alert = read_alert(record)
        found.alerts[alert.id] = alert


def _details(found: RunResults, records: Iterator[bytes], path: Path) -> None:
    for record in records:
        page = read_page(record)
        found.pages.setdefault(page.id, []).append(page)


def _scores(found: RunResults, records: Iterator[bytes], path: Path) -> None:
    heap: list[tuple[float, int, ScoreRecord]] = []
    for number, record in enumerate(records):
        score = read_score(record)
        found.accounts += 1
        found.totals[round(10 * score.llr.total), score.flagged] += 1
        found.abstained.update(score.abstained.items())
        item = (score.llr.total, -number, score)
        if len(heap) < ACCOUNTS_SHOWN:
            heapq.heappush(heap, item)
        else:
            heapq.heappushpop(heap, item)
    found.top += [score for _, _, score in heap]


def _of_run(found: RunResults, records: Iterator[bytes], path: Path) -> None:
    found.summary = _summary.decode(next(records))


def _dead(found: RunResults, records: Iterator[bytes], path: Path) -> None:
    found.dead = found.dead or DeadLetterCounts()
    for letter in letters((shown(path), record) for record in records):
        found.dead.add(letter)


_READERS: Final = {"alerts": _alerts, "details": _details, "scores": _scores, "summary": _of_run, "dead": _dead}


def groups_of(found: RunResults) -> list[AlertRecord]:
    """Open alerts about groups: campaigns first, and the larger ones first."""
    return sorted((a for a in found.alerts.values() if a.status == "open" and a.kind != "account"), key=_severity)


def _severity(alert: AlertRecord) -> tuple[bool, float, str]:
    return alert.kind != "campaign", -len(alert.members), alert.id


def network_of(found: RunResults) -> Network:
    """The members of groups that are alerted, and the ties between them.

    Groups are numbered as `groups_of` has them; a tie is what two accounts share of every kind together. Ties are those
    of the details where there are any, since alerts hold the strongest alone.
    """
    group: dict[str, int] = {}
    strength: dict[str, float] = {}
    tied: dict[tuple[str, str], tuple[int, float]] = {}
    for number, alert in enumerate(groups_of(found), 1):
        for member in alert.members:
            group.setdefault(member.account, number)
            strength[member.account] = max(strength.get(member.account, 0.0), member.strength)
        pages = found.pages.get(alert.id, [])
        edges = [edge for held in pages for edge in held.edges] or alert.edges
        pairs: dict[tuple[str, str], tuple[int, float]] = {}
        for edge in edges:
            count, nats = pairs.get((edge.a, edge.b), (0, 0.0))
            pairs[edge.a, edge.b] = (count + max(int(edge.count), 1), nats + edge.nats)
        tied |= {pair: each for pair, each in pairs.items() if pair[0] in group and pair[1] in group}
    names = sorted(group)
    place = {name: number for number, name in enumerate(names)}
    ordered = sorted(tied.items())
    return Network(
        names,
        names,
        np.array([group[name] for name in names], np.int64),
        np.array([strength[name] for name in names], np.float64),
        np.array([place[a] for (a, _), _ in ordered], np.int64),
        np.array([place[b] for (_, b), _ in ordered], np.int64),
        np.array([count for _, (count, _) in ordered], np.int64),
        np.array([nats for _, (_, nats) in ordered], np.float64),
    )


NETWORKS: Final = (".graphml", ".csv", ".parquet")
"""Endings of files of networks: GraphML has accounts and ties, the tables have ties."""


def check_network(option: str, path: Path | None) -> None:
    """Refuse a network that could not be written, before anything that takes long.

    Raises:
        UsageError: an ending, or a folder that is not there.
    """
    require_endings([(option, path, NETWORKS)])


def write_network(path: Path, found: RunResults) -> None:
    """Write the network of the groups that are alerted, as GraphML or a table of ties, by the file's ending.

    Raises:
        UsageError: it cannot be written.
    """
    write = write_graphml if path.suffix.lower() == ".graphml" else write_edges
    write(path, network_of(found))
