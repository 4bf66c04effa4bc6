"""The commands `swarmlight audit`, `calibrate` and `evaluate`.

Each `..._command` function is one command: Typer makes its options of the parameters, whose `help` says what they are.
What they do is in `training.report`, `training.calibrate` and `training.evaluate`; tables go to standard output,
progress to standard error.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from detector.errors import UsageError
from detector.evidence import COMPONENTS, Component
from detector.models import SHIPPED, load_models
from streaming.assess import AssessSettings
from streaming.cli import among
from streaming.ingest_cli import as_events
from streaming.sources.files import EVENTS
from training.account_data import read_stream, read_truth
from training.baseline import metadata_scores
from training.calibrate import calibrate_on, thresholds_of
from training.data import load_texts
from training.empirical_null import STATED_SHARE, calibrate_unlabelled
from training.evaluate import CrossValidation, EvaluationTable, folds_of, held_out, measured, once, pooled
from training.evaluate import flags as flag_figures
from training.left_out import MOST, Audited, audited, failing, gap, gather_people, left_out
from training.progress import progress_bar
from training.reading_budget import reading_costs
from training.report import BAG, STRONG_NATS, audit, groups, print_report, stream_report
from training.system import read_lines, run_system

TARGET_FPR: Final = 0.01
"""Share of people that may be flagged: the default of the configuration."""


def audit_command(
    data: Annotated[Path, typer.Option(metavar="DIR", help="folder with the text sets of people")],
    models: Annotated[Path | None, typer.Option(metavar="DIR", help="models directory (the shipped one)")] = None,
    target_fpr: Annotated[float, typer.Option(metavar="SHARE", help="whose threshold counts")] = TARGET_FPR,
    seed: Annotated[int, typer.Option(metavar="N", help="of the bags")] = 0,
    report: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="write all figures")] = None,
    populations: Annotated[
        bool,
        typer.Option(
            "--left-out",
            help="run the whole system over every population and leave each out of calibration in turn; exit status 1 "
            "where one does not pass",
        ),
    ] = False,
    exclude: Annotated[list[str] | None, typer.Option(metavar="SOURCE", help="as in train text")] = None,
    work: Annotated[
        Path | None, typer.Option(metavar="DIR", help="with --left-out: keep runs here, and use them again")
    ] = None,
) -> int:
    """Measure evidence against people and false flags, by language, dialect and native writing.

    Single texts, and bags of ten texts of one group that stand for an account without times. The shipped text model has
    learned from these sets that they are people's, so a group that stands out here stands out in spite of it; how
    people of a source look to a model that has not seen it is in the model cards.

    With --left-out every population that there are authors of is held against thresholds of the others: people who
    wrote nothing that the text models learned from.

    Args:
        report: file for the figures.
    """
    if populations:
        return _audit_left_out(data, models or SHIPPED, target_fpr, work, exclude or [], report)
    loaded = load_models(models)
    loaded.thresholds.threshold(target_fpr)
    console = Console(stderr=True)
    found = [
        audit(group, loaded.text, loaded.account, loaded.thresholds, target_fpr, seed)
        for group in track(list(groups(data)), "auditing", console=console)
    ]
    found.sort(key=lambda record: -(record["passing"] or 0.0))
    _print(Console(width=150), found, target_fpr)
    if report is not None:
        report.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


ESSAYS: Final = ("toefl", "native-essays")
"""Second-language and native writers, whose shares are compared."""

GAP_FPR: Final = 0.05
"""Rate at which they are compared: at one in a hundred so few essays show nothing."""


def _audit_left_out(
    data: Path, models: Path, target_fpr: float, work: Path | None, exclude: list[str], report: Path | None
) -> int:
    """The table of populations left out in turn; the exit status."""
    console, out = Console(stderr=True), Console(width=150)
    with progress_bar(console, "auditing") as say, tempfile.TemporaryDirectory() as scratch:
        people, measuring, groups = gather_people(data, models, work or Path(scratch), load_texts(data, exclude), say)
    parts = groups.get

    def told_apart(account: str) -> str:
        return parts(account) or ""

    rows = list(left_out(people, measuring, target_fpr, parts=told_apart))
    print_left_out(out, rows, target_fpr)
    figures: dict[str, Any] = {"target_fpr": target_fpr, "populations": [record_of(row) for row in rows]}
    if all(name in people for name in ESSAYS):
        others = {name: each for name, each in people.items() if name not in ESSAYS}
        made = thresholds_of(others, {}, AssessSettings().min_texts)
        second, native = (next(audited(name, people[name], made, GAP_FPR)) for name in ESSAYS)
        if second.judged and native.judged:
            apart = gap(second, native)
            figures["essays"] = {"second": apart.share, "native": apart.other, "gap_95": list(apart.interval)}
            out.print(
                f"essays at {GAP_FPR:g}: second language {_share(second.share, list(second.interval))}, native "
                f"{_share(native.share, list(native.interval))}; gap {100 * (apart.share - apart.other):+.1f} points "
                f"({100 * apart.interval[0]:+.1f} to {100 * apart.interval[1]:+.1f})"
            )
    if report is not None:
        report.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    wrong = failing(rows)
    for row in wrong:
        console.print(
            f"{row.name}: {100 * row.share:.1f}% flagged, more than {100 * MOST:g}%: unlike the people who calibrate; "
            "calibrate on some of them"
        )
    return int(bool(wrong))


def print_left_out(out: Console, rows: Sequence[Audited], target_fpr: float) -> None:
    """Print the table of populations left out.

    Args:
        out: where to.
        rows: of the table.
        target_fpr: whose thresholds counted.
    """
    table = Table(show_edge=False, pad_edge=False)
    titles = ("left out", "people", "ranked only", f"above the threshold for {target_fpr:g} (95%)", "")
    for i, column in enumerate(titles):
        table.add_column(column, justify="left" if i in {0, len(titles) - 1} else "right")
    for row in rows:
        verdict = "" if row.judged else "uncalibrated: ranked only"
        if not row.passes:
            verdict = f"more than {100 * MOST:g}%"
        if row.mixed:
            verdict = f"{verdict}, bags of several people".removeprefix(", ")
        share = _share(row.share if row.judged else None, list(row.interval))
        table.add_row(row.name, str(row.people), str(row.ranked_only), share, verdict)
    out.print(table)


def record_of(row: Audited) -> dict[str, Any]:
    """A line of the table as a record."""
    return {**asdict(row), "share": row.share, "share_95": list(row.interval), "passes": row.passes}


def _print(out: Console, found: list[dict[str, Any]], target_fpr: float) -> None:
    table = Table(show_edge=False, pad_edge=False)
    for i, column in enumerate(
        (
            "people",
            "texts",
            "abstained",
            "mean LLR (nats)",
            f"texts above +{STRONG_NATS:g} nat (95%)",
            f"bags of {BAG}",
            f"bags passing at {target_fpr:g} (95%)",
            "flagging",
        )
    ):
        table.add_column(column, justify="left" if i == 0 else "right")
    for record in found:
        table.add_row(
            record["group"],
            str(record["texts"]),
            f"{100 * record['abstained']:.0f}%",
            "-" if record["mean_nats"] is None else f"{record['mean_nats']:+.2f}",
            _share(record["strong"], record["strong_95"]),
            str(record["bags"]),
            _share(record["passing"], record["passing_95"]),
            "on" if record["may_be_flagged"] else "off: language",
        )
    out.print(table)


def _share(value: float | None, spread: list[float]) -> str:
    return "-" if value is None else f"{100 * value:.1f}% ({100 * spread[0]:.1f} to {100 * spread[1]:.1f})"


def calibrate_command(
    out: Annotated[Path, typer.Option(metavar="DIR", help="models directory to write")],
    stream: Annotated[
        Path | None, typer.Argument(metavar="STREAM", help="recording of your platform, people and machines alike")
    ] = None,
    recording: Annotated[
        Path | None, typer.Option("--input", metavar="PEOPLE.jsonl", help="recording of people's events, instead")
    ] = None,
    models: Annotated[Path | None, typer.Option(metavar="DIR", help="models to calibrate (the shipped ones)")] = None,
    stated: Annotated[
        float,
        typer.Option(
            "--machines-at-most", metavar="SHARE", help="with STREAM: share of its accounts that are machines"
        ),
    ] = STATED_SHARE,
    format_name: Annotated[
        str, typer.Option("--format", metavar="NAME", help="input format of the recording, as in run")
    ] = EVENTS,
) -> int:
    """Fit thresholds on your own platform.

    From STREAM, a recording of your platform, without labels: where most accounts lie is where people do, if no more
    than the stated share are machines. The card says what was assumed. Or from --input, where every account is taken
    for a person: give a few hundred whom you trust to be people, as they post on your platform, in every language that
    you want accounts to be flagged in; that assumes nothing about the others.

    Args:
        stream: of all accounts.
        recording: of people's events.
        stated: share of machines at most.
    """
    console = Console(stderr=True)
    if (stream is None) == (recording is None):
        raise UsageError(
            "calibrate: give a recording of your platform (STREAM), or of people only (--input PEOPLE.jsonl)"
        )
    if stream is not None:
        with console.status("running the system over your platform"), tempfile.TemporaryDirectory() as work:
            events = as_events(stream, format_name, Path(work) / "recording")
            made, found = calibrate_unlabelled(models or SHIPPED, out, events, Path(work), stated)
        console.print(
            f"{found.accounts} accounts; people moved by {found.shift:+.2f} nats, scale {found.scale:.2f}; "
            f"threshold for 1% {found.threshold:.2f} ({found.interval[0]:.2f} to {found.interval[1]:.2f}); "
            f"{100 * found.machines:.1f}% too many above people, at most {100 * found.stated:g}% assumed; "
            f"languages {', '.join(sorted(made.languages))}. Point [models] dir at {out} to use it."
        )
        return 0
    assert recording is not None
    with console.status("running the system over your people"):
        made = calibrate_on(recording, out, models or SHIPPED, format_name)
    console.print(
        f"{made.people} people; finest target_fpr {made.finest_fpr:.4g}; horizon {made.horizon_posts} texts; "
        f"languages {', '.join(sorted(made.languages))}. Point [models] dir at {out} to use it."
    )
    return 0


ABLATIONS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = tuple(
    (" + ".join(COMPONENTS[: i + 1]), COMPONENTS[i + 1 :]) for i in range(len(COMPONENTS))
)
"""Name and what is left out: text, text + behaviour, + coordination, + graph."""


class _Given(NamedTuple):
    """The arguments of one evaluation."""

    streams: list[Path]
    truths: list[Path]
    models: Path
    without: list[str]
    folds: int
    data: Path | None
    exclude: list[str]
    cache: Path
    draws: int
    seed: int


def evaluate_command(
    streams: Annotated[list[Path], typer.Argument(metavar="STREAM...", help="recording of events")],
    truth: Annotated[list[Path], typer.Option(metavar="FILE...", help="one for each stream")],
    models: Annotated[Path | None, typer.Option(metavar="DIR", help="models directory (the shipped one)")] = None,
    without: Annotated[
        list[str] | None, typer.Option(metavar="COMPONENT...", help="as in run", callback=among(COMPONENTS))
    ] = None,
    cross_validate: Annotated[int, typer.Option(metavar="K", help="folds; 0 measures --models as is")] = 0,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="folder with text/ and streams/, for fold models")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(metavar="SOURCE", help="as in train text")] = None,
    cache: Annotated[Path, typer.Option(metavar="DIR", help="folder for cross-fitted scores")] = Path("build/crossfit"),
    work: Annotated[
        Path | None, typer.Option(metavar="DIR", help="keep fold models and runs here, and use them again")
    ] = None,
    format_name: Annotated[
        str, typer.Option("--format", metavar="NAME", help="input format of the streams, as in run")
    ] = EVENTS,
    draws: Annotated[int, typer.Option(metavar="N", help="bootstrap draws")] = 200,
    seed: Annotated[int, typer.Option(metavar="N", help="of folds of the baseline and of the bootstrap")] = 0,
    reading: Annotated[
        bool, typer.Option("--reading", help="what the budget of the second stage costs, and nothing else")
    ] = False,
    report: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="write all figures")] = None,
) -> int:
    """Measure what the system is worth on a stream whose truth is known.

    Runs the stream through `swarmlight run`, whole and with components left out, and prints ranking, flags, groups and
    the metadata-only baseline with 95% intervals. With --cross-validate, models and thresholds are fitted anew for
    every fold without its accounts, and every account is measured by the fold that does not know it.

    It fails where no account of the truth is in the stream.

    Args:
        streams: recordings of events.
        report: file for the figures.
    """
    if len(streams) != len(truth):
        raise UsageError(f"{len(streams)} streams and {len(truth)} truth files: give one for each")
    if cross_validate and data is None:
        raise UsageError("--cross-validate trains fold models and needs --data, the folder with text/ and streams/")
    given = _Given(
        streams, truth, models or SHIPPED, without or [], cross_validate, data, exclude or [], cache, draws, seed
    )
    console = Console(stderr=True)
    with progress_bar(console, "evaluating") as say, tempfile.TemporaryDirectory() as scratch:
        place = work or Path(scratch)
        place.mkdir(parents=True, exist_ok=True)
        recordings = [
            as_events(stream, format_name, Path(scratch) / f"recording{number}")
            for number, stream in enumerate(streams)
        ]
        given = given._replace(streams=recordings)
        if reading:
            return _reading(given, Path(scratch), say, report)
        reports = _cross_validated(given, place, say) if given.folds else _as_shipped(given, place, say)
    out = Console(width=140)
    for each in reports:
        print_report(out, each)
    if report is not None:
        report.write_text(json.dumps(reports, indent=1) + "\n", encoding="utf-8")
    return 0


def _reading(given: _Given, scratch: Path, say: Any, report: Path | None) -> int:
    """Print what the budget of the second stage costs on each stream."""
    models = load_models(given.models)
    table = Table(show_edge=False, pad_edge=False)
    for i, column in enumerate(
        ("stream", "reading", "texts read", "AUROC", "TPR at 1% FPR", "flagged: machines, people")
    ):
        table.add_column(column, justify="left" if i < 2 else "right")
    found = []
    for number, (stream, truth) in enumerate(zip(given.streams, given.truths, strict=True)):
        say(f"{stream.name}: read whole, and within the budget", number / len(given.streams))
        for record in reading_costs(stream, read_truth(truth), models, scratch, given.without):
            found.append({"stream": stream.name, **record})
            table.add_row(
                stream.name,
                record["reading"],
                f"{record['reads']:,} ({100 * record['share']:.1f}%)",
                *(f"{record[name]:.3f}" if name in record else "-" for name in ("auroc", "tpr_at_1pct_fpr")),
                f"{record['machines_flagged']}, {record['people_flagged']}",
            )
    Console(width=140).print(table)
    if report is not None:
        report.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def _as_shipped(given: _Given, work: Path, say: Any) -> list[dict[str, Any]]:
    reports = []
    for number, (stream, truth_path) in enumerate(zip(given.streams, given.truths, strict=True)):
        truth = read_truth(truth_path)
        found: dict[str, EvaluationTable] = {}
        plan = [("as asked", tuple(given.without))] if given.without else list(reversed(ABLATIONS))
        for step, (name, without) in enumerate(plan):
            say(f"{stream.name}: {name}", (number + step / len(plan)) / len(given.streams))
            whole = next(iter(found.values()), None)
            if without == ("graph",) and whole is not None and not np.nan_to_num(whole.components[:, -1]).any():
                found[name] = whole
                continue
            scores = work / f"{stream.name}.{number}.{step}.scores"
            run_system([stream], given.models, scores=scores, without=without)
            found[name] = measured(stream.name, truth, read_lines(scores))
        main = next(iter(found.values()))
        ablation: dict[str, tuple[EvaluationTable, Sequence[str]]] = {}
        if given.without:
            ablation |= _nested(main, [name for name in COMPONENTS if name not in given.without])
        ablation |= {name: (result, COMPONENTS) for name, result in reversed(found.items())}
        reports.append(_report(stream, truth, main, ablation, [main], "as shipped", given))
    return reports


def _nested(main: EvaluationTable, kept: Sequence[Component]) -> dict[str, tuple[EvaluationTable, Sequence[str]]]:
    """The ablation of one run. A component's column is what it adds to those before it, whichever come after."""
    return {" + ".join(kept[: i + 1]): (main, kept[: i + 1]) for i in range(len(kept))}


def _cross_validated(given: _Given, work: Path, say: Any) -> list[dict[str, Any]]:
    assert given.data is not None
    trained = CrossValidation(given.data, given.models, given.cache, work, given.folds, exclude=given.exclude, say=say)
    reports, everyone = [], []
    title = f"cross-validated in {given.folds} folds by account and campaign"
    for stream, truth_path in zip(given.streams, given.truths, strict=True):
        truth = read_truth(truth_path)
        results = trained.measure(stream, truth, given.without)
        main = held_out(results, folds_of(truth, given.folds))
        everyone.append(main)
        reports.append(_report(stream, truth, main, _nested(main, COMPONENTS), results, title, given))
    if len(everyone) > 1:
        people = pooled(everyone).take(once(everyone))
        reports.append(
            {
                "title": "false flags, each person counted once over all streams",
                "target_fpr": TARGET_FPR,
                "flags": {"all": flag_figures(people, TARGET_FPR)},
            }
        )
    return reports


def _report(
    stream: Path,
    truth: Mapping[str, Mapping[str, Any]],
    main: EvaluationTable,
    ablation: Mapping[str, tuple[EvaluationTable, Sequence[str]]],
    runs: Sequence[EvaluationTable],
    title: str,
    given: _Given,
) -> dict[str, Any]:
    raw = read_stream(stream)
    known = [i for i, name in enumerate(raw.names) if name in truth]
    label = np.array([int(truth[name]["label"]) if name in truth else 0 for name in raw.names], np.int64)
    cluster = np.array([(truth.get(name, {}).get("campaign") or f"account/{name}") for name in raw.names])
    baseline = metadata_scores(raw, label, cluster, given.seed)[known]
    return stream_report(
        f"{stream.name}, {title}",
        main,
        ablation,
        runs,
        (label[known], baseline),
        target_fpr=TARGET_FPR,
        rng=np.random.default_rng(given.seed),
        draws=given.draws,
    )
