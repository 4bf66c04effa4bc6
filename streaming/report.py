"""The command `swarmlight report`: what a run found, as one HTML page that a person can look at and pass on.

In: the files that `swarmlight run` wrote (alerts, details, scores, summary, dead letters), told apart by their records.
Out: one page with nothing outside it: no script, no address that it loads from, light and dark, wide and narrow.
Everything in it that comes from events is a stranger's text and is escaped; links of theirs are text, not links.
"""

from __future__ import annotations

import heapq
import html
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Annotated, Final, Self

import msgspec
import typer

from detector.errors import RecordError, UsageError
from detector.evidence import COMPONENTS
from detector.reasons import direction
from detector.times import parse_time, rfc3339
from streaming.logs import shown
from streaming.pipeline import RunEnd
from streaming.schema.alert import AlertRecord, PageRecord, read_alert, read_page
from streaming.schema.dead_letter import Tally, letters
from streaming.schema.run_summary import RunSummary
from streaming.schema.score import ScoreRecord, read_score
from streaming.sinks.result_file import STDOUT, ResultFile
from streaming.sources.files import Inputs

ACCOUNTS_SHOWN: Final = 200
"""Accounts with the most evidence against them that are listed: more than anybody reads."""

CAMPAIGNS_SHOWN: Final = 100
MEMBERS_DRAWN: Final = 40
"""Members in a drawing: beyond them a network is a blot; all members are counted."""

POSTS_SHOWN: Final = 8
OBJECTS_SHOWN: Final = 12
TEXT_SHOWN: Final = 280
BINS: Final = 40

_summary: Final = msgspec.json.Decoder(RunSummary)


@dataclass
class Results:
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
    dead: Tally | None = None


def results_of(paths: Sequence[Path]) -> Results:
    """Read the files of a run; of a folder, those in it that are of one.

    Raises:
        UsageError: a file cannot be read or is none of a run's, or there is none.
    """
    found, used = Results(), 0
    for path in paths:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            if file.is_file() and file.suffix != ".partial":
                taken = _take(found, file)
                used += taken
                if not taken and not path.is_dir():
                    raise UsageError(
                        f"{shown(file)} is no file that `swarmlight run` writes: give those, or their folder"
                    )
    if not used:
        raise UsageError(
            f"no results of a run in {', '.join(shown(path) for path in paths)}: give the files that --alerts, "
            "--scores and --summary wrote, or their folder"
        )
    for each, held in found.pages.items():
        held[:] = [page for page in held if each in found.alerts and page.revision == found.alerts[each].revision]
    found.top.sort(key=_rank)
    return found


def _rank(score: ScoreRecord) -> tuple[float, str]:
    return -score.llr.total, score.account


def _take(found: Results, path: Path) -> bool:
    """Read one file; False where it is none of a run's."""
    with Inputs([path]) as inputs:
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
            raise UsageError(f"{shown(path)} cannot be read: {shown(str(error))}") from None
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


def _alerts(found: Results, records: Iterator[bytes], path: Path) -> None:
    for record in records:
        alert = read_alert(record)
        found.alerts[alert.id] = alert


def _details(found: Results, records: Iterator[bytes], path: Path) -> None:
    for record in records:
        page = read_page(record)
        found.pages.setdefault(page.id, []).append(page)


def _scores(found: Results, records: Iterator[bytes], path: Path) -> None:
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


def _of_run(found: Results, records: Iterator[bytes], path: Path) -> None:
    found.summary = _summary.decode(next(records))


def _dead(found: Results, records: Iterator[bytes], path: Path) -> None:
    found.dead = found.dead or Tally()
    for letter in letters((shown(path), record) for record in records):
        found.dead.add(letter)


_READERS: Final = {"alerts": _alerts, "details": _details, "scores": _scores, "summary": _of_run, "dead": _dead}


def page(found: Results, title: str) -> str:
    """The page.

    Args:
        found: what it shows.
        title: its heading.
    """
    groups = sorted((a for a in found.alerts.values() if a.status == "open" and a.kind != "account"), key=_severity)
    sections = [
        _section("What was read", _read(found)),
        _section("Campaigns", _campaigns(found, groups)),
        _section("Accounts", _accounts(found)),
        _section("How scores are spread", _spread(found)),
        _section("What could not be judged", _abstained(found)),
        _section("How to read this", _READING),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{_e(title)}</title><style>{_STYLE}</style></head><body><main><h1>{_e(title)}</h1>"
        f"{''.join(sections)}</main></body></html>\n"
    )


def _e(value: object) -> str:
    """Escaped, and without what changes the direction of the text around it."""
    text = "".join(" " if ord(char) < 32 or char in _DIRECTIONS else char for char in str(value))
    return html.escape(text)


_DIRECTIONS: Final = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _section(heading: str, body: str) -> str:
    return f"<section><h2>{_e(heading)}</h2>{body}</section>"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already; cells beyond the first column are numbers."""
    head = "".join(f'<th scope="col">{_e(column)}</th>' for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _read(found: Results) -> str:
    told = found.summary
    if told is None:
        return "<p>No summary was given (<code>--summary FILE</code>).</p>"
    numbers = [("records read", told.read), ("accepted", told.accepted), ("of them edits", told.revised),
               ("duplicates", told.duplicate), ("late", told.late), ("unreadable", told.dead),
               ("accounts", told.accounts), ("flagged", told.flagged), ("campaigns", told.campaigns)]  # fmt: skip
    tiles = "".join(
        f'<div class="tile"><b>{count:,}</b> {_e(name)}</div>'
        for name, count in numbers
        if count or name not in ("of them edits", "late")
    )
    parts = [f'<div class="tiles">{tiles}</div>']
    if told.skipped:
        rows = [(_e(what), f"{count:,}") for what, count in sorted(told.skipped.items(), key=lambda item: -item[1])]
        parts.append("<h3>Skipped: in order, and no post events</h3>" + _table(("what", "records"), rows))
    if found.dead is not None and found.dead.letters:
        dead = found.dead.by_problem.most_common(10)
        rows = [(_e(f"{name}: {reason}"), f"{count:,}") for (name, reason), count in dead]
        parts.append("<h3>Why records could not be read</h3>" + _table(("reason", "records"), rows))
    return "".join(parts)


def _severity(alert: AlertRecord) -> tuple[bool, float, str]:
    return alert.kind != "campaign", -len(alert.members), alert.id


def _campaigns(found: Results, groups: Sequence[AlertRecord]) -> str:
    if not groups:
        return "<p>No group of accounts was found to act together.</p>"
    parts = [_campaign(alert, found.pages.get(alert.id, [])) for alert in groups[:CAMPAIGNS_SHOWN]]
    if len(groups) > CAMPAIGNS_SHOWN:
        parts.append(f"<p>and {len(groups) - CAMPAIGNS_SHOWN:,} more, which are in the file of alerts.</p>")
    return "".join(parts)


def _campaign(alert: AlertRecord, pages: Sequence[PageRecord]) -> str:
    what = "act together and look machine-driven" if alert.kind == "campaign" else "act together"
    note = "" if alert.kind == "campaign" else " Nothing shows that they are machine-driven; this is for information."
    since = (
        f"{(alert.first_post_at or '')[:16].replace('T', ' ')} to {(alert.last_post_at or '')[:16].replace('T', ' ')}"
    )
    why = "".join(f"<li>{_e(sentence)}</li>" for sentence in alert.why)
    limits = "".join(f"<li>{_e(sentence)}</li>" for sentence in alert.limits)
    quotes = "".join(
        f"<li><q>{_e(post.text[:TEXT_SHOWN])}</q> <small>{_e(post.account)}, {_e(_minute(post.at))}</small></li>"
        for post in alert.posts[:POSTS_SHOWN]
    )
    members = ", ".join(_e(member.account) for member in alert.members[:MEMBERS_DRAWN])
    others = len(alert.members) - MEMBERS_DRAWN
    return (
        f"<article><h3>{len(alert.members):,} accounts {what}</h3><p>{_e(since)}, UTC.{note}</p>"
        f"<h4>Why</h4><ul>{why}</ul>"
        f'<div class="pair"><figure>{_network(alert)}<figcaption>Who is tied to whom; thicker: more in common.'
        f"</figcaption></figure><figure>{_time_line(alert, pages)}<figcaption>When each of them acted.</figcaption>"
        f"</figure></div>{_shared(alert, pages)}<h4>What they wrote</h4><ul>{quotes}</ul>"
        f"<h4>Members</h4><p>{members}{f' and {others:,} more' if others > 0 else ''}</p>"
        f"<details><summary>What is not known</summary><ul>{limits}</ul></details></article>"
    )


def _minute(at: str | None) -> str:
    return (at or "")[:16].replace("T", " ")


def _network(alert: AlertRecord) -> str:
    """Members on a circle, in order of how strongly they are tied, and what they share."""
    members = [member.account for member in alert.members[:MEMBERS_DRAWN]]
    place = {
        name: (
            160 + 120 * math.sin(2 * math.pi * i / len(members)),
            160 - 120 * math.cos(2 * math.pi * i / len(members)),
        )
        for i, name in enumerate(members)
    }
    shared: Counter[tuple[str, str]] = Counter()
    for edge in alert.edges:
        if edge.a in place and edge.b in place:
            shared[edge.a, edge.b] += max(int(edge.count), 1)
    most = max(shared.values(), default=1)
    lines = "".join(
        f'<line x1="{place[a][0]:.1f}" y1="{place[a][1]:.1f}" x2="{place[b][0]:.1f}" y2="{place[b][1]:.1f}" '
        f'stroke-width="{0.5 + 3.5 * count / most:.2f}"/>'
        for (a, b), count in sorted(shared.items())
    )
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{max(3, 9 - len(members) / 8):.1f}"><title>{_e(name)}</title></circle>'
        for name, (x, y) in place.items()
    )
    label = f"Network of {len(members)} accounts with {len(shared)} ties"
    return f'<svg viewBox="0 0 320 320" role="img" aria-label="{label}"><g class="ties">{lines}</g>{dots}</svg>'


def _time_line(alert: AlertRecord, pages: Sequence[PageRecord]) -> str:
    """A row of dots for every member."""
    moments = [(moment.account, moment.at) for each in pages for moment in each.posts]
    moments = moments or [(post.account, post.at) for post in alert.posts]
    members = {member.account: row for row, member in enumerate(alert.members[:MEMBERS_DRAWN])}
    timed = [(members[name], at) for name, text in moments if name in members and (at := parse_time(text)) is not None]
    if not timed:
        return "<p>No times were kept (<code>--details FILE</code>).</p>"
    begin, end = min(at for _, at in timed), max(at for _, at in timed)
    height, span = 300 / max(len(members), 1), max(end - begin, 1)
    dots = "".join(
        f'<circle cx="{8 + 304 * (at - begin) / span:.1f}" cy="{8 + height * (row + 0.5) * 0.93:.1f}" r="2"/>'
        for row, at in sorted(set(timed))
    )
    label = f"{len(timed):,} acts from {rfc3339(begin)} to {rfc3339(end)}"
    ends = (
        f'<text x="8" y="314">{_minute(rfc3339(begin))}</text>'
        f'<text x="312" y="314" text-anchor="end">{_minute(rfc3339(end))}</text>'
    )
    return f'<svg viewBox="0 0 320 320" role="img" aria-label="{label}">{dots}{ends}</svg>'


def _shared(alert: AlertRecord, pages: Sequence[PageRecord]) -> str:
    """What most members share, apart from hashes that say nothing to a reader."""
    sharers: Counter[tuple[str, str]] = Counter()
    for each in pages:
        for item in each.objects:
            sharers[item.kind, item.object] = max(sharers[item.kind, item.object], len(item.accounts))
    if not sharers:
        sharers.update((edge.kind, item) for edge in alert.edges for item in edge.objects)
    rows = [
        (_e(item), _e(kind.replace("_", " ")), f"{count:,}")
        for (kind, item), count in sorted(sharers.items(), key=lambda pair: (-pair[1], pair[0]))
        if kind != "near_duplicate"
    ][:OBJECTS_SHOWN]
    return "<h4>What they share</h4>" + _table(("what", "kind", "accounts"), rows) if rows else ""


def _accounts(found: Results) -> str:
    if not found.accounts:
        return "<p>No scores were given (<code>--scores FILE</code>).</p>"
    most = max((abs(score.llr.total) for score in found.top), default=1.0) or 1.0
    rows = []
    for score in found.top:
        total = score.llr.total
        width = f'<span class="bar"><i style="width:{100 * max(total, 0.0) / most:.0f}%"></i></span>'
        mark = '<span class="flag">flagged</span>' if score.flagged else ""
        parts = [_nats(getattr(score.llr, name)) for name in COMPONENTS]
        rows.append((f"{_e(score.account)} {mark}", f"{score.posts:,}", f"{width} {_nats(total)}", *parts,
                     _e(direction(total))))  # fmt: skip
    told = f"The {len(rows):,} of {found.accounts:,} accounts with the most evidence against them, in nats."
    return f'<p>{told}</p><div class="figures">' + _table(_COLUMNS, rows) + "</div>"


_COLUMNS: Final = ("account", "posts", "total", *COMPONENTS, "in words")


def _nats(value: float) -> str:
    return f"{round(value, 1) + 0.0:+.1f}"


def _spread(found: Results) -> str:
    if not found.totals:
        return "<p>No scores were given (<code>--scores FILE</code>).</p>"
    low, high = min(total for total, _ in found.totals), max(total for total, _ in found.totals)
    step = max(math.ceil((high - low + 1) / BINS), 1)
    bins: Counter[tuple[int, bool]] = Counter()
    for (total, flagged), count in found.totals.items():
        bins[(total - low) // step, flagged] += count
    number = (high - low) // step + 1
    most = max(bins[i, False] + bins[i, True] for i in range(number))
    bars = []
    for i in range(number):
        bottom = 150.0
        for flagged in (False, True):
            size = 140 * bins[i, flagged] / most
            bottom -= size
            if size:
                name, left = "flagged" if flagged else "others", 10 + 620 * i / number
                bars.append(
                    f'<rect class="{name}" x="{left:.1f}" y="{bottom:.1f}" width="{max(620 / number - 1, 1):.1f}" '
                    f'height="{size:.1f}"/>'
                )
    axis = (f'<text x="10" y="170">{low / 10:+.1f} nats</text>'
            f'<text x="630" y="170" text-anchor="end">{high / 10:+.1f} nats</text>')  # fmt: skip
    flagged_count = sum(count for (_, flagged), count in found.totals.items() if flagged)
    label = f"{found.accounts:,} accounts by total evidence, {flagged_count:,} of them flagged"
    return (f'<figure><svg viewBox="0 0 640 176" role="img" aria-label="{label}">{"".join(bars)}{axis}</svg>'
            f"<figcaption>{label}; the tallest bar is {most:,} accounts.</figcaption></figure>")  # fmt: skip


def _abstained(found: Results) -> str:
    if not found.abstained:
        return "<p>Every component judged every account, or no scores were given.</p>"
    rows = [(_e(name), _e(reason), f"{count:,}") for (name, reason), count in found.abstained.most_common(20)]
    return _table(("component", "why it says nothing", "accounts"), rows)


_READING: Final = (
    "<p>Evidence is a log-likelihood ratio in nats: +1 means that what was seen is 2.7 times likelier for an account "
    "that a language model drives than for a person, +3 twenty times, and numbers below 0 speak for a person. "
    "<em>Text</em>, <em>behaviour</em>, <em>coordination</em> and <em>graph</em> add up to the total. An account is "
    "flagged where its total passes a threshold that was set on people. A flag is a request to look, and no verdict: "
    "some people are flagged, and some machines are not.</p>"
)

_STYLE: Final = """
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6675;--paper:#fff;--panel:#f4f6f9;--line:#d5dbe3;--mark:#b3261e;
--tie:#3c6ea8}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#a3adba;--paper:#12161c;--panel:#1b212a;--line:#36404d;
--mark:#ff8a80;--tie:#7fb2ef}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:1100px;margin:0 auto;padding:1rem}h1{font-size:1.6rem}h2{font-size:1.3rem;margin-top:2.5rem;
border-bottom:1px solid var(--line)}h3{margin-bottom:.2rem}h4{margin:1rem 0 .3rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(8.5rem,1fr));gap:.6rem}
.tile{background:var(--panel);padding:.6rem .8rem;border-radius:.4rem;color:var(--soft)}
.tile b{display:block;font-size:1.4rem;color:var(--ink)}
article{background:var(--panel);border-radius:.5rem;padding:.5rem 1rem 1rem;margin:1rem 0;overflow-wrap:anywhere}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(17rem,100%),1fr));gap:1rem}
figure{margin:0}figcaption,small{color:var(--soft);font-size:.85rem}svg{width:100%;height:auto;max-height:24rem}
svg text{fill:var(--soft);font-size:11px}circle,.others{fill:var(--tie)}.ties line{stroke:var(--tie);opacity:.35}
.flagged{fill:var(--mark)}.flag{color:var(--mark);font-weight:600;font-size:.85rem}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
td:first-child{overflow-wrap:anywhere;min-width:9rem}.figures td:not(:first-child){white-space:nowrap}
.bar{display:inline-block;width:5rem;height:.6rem;background:var(--line);border-radius:.2rem;overflow:hidden}
.bar i{display:block;height:100%;background:var(--tie)}
"""


class RunReport:
    """The page at the end of a run, `run --report`. Use it as a context around the run.

    Args:
        out: the page.
        named: the run's files of results by their options; those that are not kept are written to a temporary folder.
        inputs: of the run.

    Raises:
        UsageError: the page cannot be written, or is one of the run's other files.
    """

    def __init__(self, out: Path, named: Mapping[str, Path | None], inputs: Sequence[str]) -> None:
        others = [*inputs, *(str(path) for path in named.values() if path is not None)]
        if out.resolve() in {Path(name).resolve() for name in others if name != STDOUT}:
            raise UsageError(f"--report {str(out)!a} is also another file of the run: name another")
        for name, path in named.items():
            if path is not None and (str(path) == STDOUT or (path.exists() and not path.is_file())):
                raise UsageError(f"--{name} {str(path)!a}: with --report it has to be a file")
        self._stack = ExitStack()
        self._file = ResultFile(out, "--report")
        scratch = Path(self._stack.enter_context(TemporaryDirectory()))
        self._named = {name for name, path in named.items() if path is not None}
        self.files: dict[str, Path | None] = {name: path or scratch / name for name, path in named.items()}
        """What the run has to write, by the names of its options."""

    def told(self, end: RunEnd) -> RunEnd:
        """The end of the run with the files that were asked for."""
        kept = {name: path for name, path in end.files.items() if name in self._named or name not in self.files}
        return end._replace(files=kept | {"report": self._file.path})

    def publish(self) -> None:
        """Write the page.

        Raises:
            UsageError: it cannot be written.
        """
        found = results_of([path for path in self.files.values() if path is not None and path.stat().st_size])
        self._file.write(page(found, TITLE).encode("utf-8", "replace"))
        self._file.publish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.abandon()
        self._stack.close()


TITLE: Final = "What Swarmlight found"


def report_command(
    results: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="files that run wrote, or the folder in which they are")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.html", help="page to write; - is standard output")] = Path(
        "report.html"
    ),
    title: Annotated[str, typer.Option(metavar="TEXT", help="its heading")] = TITLE,
) -> int:
    """Show what a run found on one page: what was read and lost, campaigns, accounts, scores, and what is not known.

    The page holds everything that it shows and loads nothing, so that it can be sent and kept.

    Args:
        results: alerts, details, scores, summary and dead letters; whichever there are.
    """
    file = ResultFile(out, "--out")
    try:
        file.write(page(results_of(results), title).encode("utf-8", "replace"))
    except BaseException:
        file.abandon()
        raise
    file.publish()
    return 0
