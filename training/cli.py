"""`swarmlight audit`: evidence against people and false flags, by language, dialect and native writing.

Single texts, and bags of ten texts of one group that stand for an account without times. The shipped text model has
learned from these sets that they are people's, so a group that stands out here stands out in spite of it; how people of
a source look to a model that has not seen it is in the model cards.

`swarmlight calibrate`: thresholds from your own people.

Every account of the recording is taken for a person. Give a few hundred whom you trust to be people, as they post on
your platform, in every language that you want accounts to be flagged in.

`swarmlight evaluate`: what the system is worth on a stream whose truth is known.

Runs the stream through `swarmlight run`, whole and with parts left out, and prints ranking, flags, groups and the
metadata-only baseline with 95% intervals. With --cross-validate, models and thresholds are fitted anew for every fold
without its accounts, and every account is measured by the fold that does not know it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, track
from rich.table import Table

from detector.errors import UsageError
from detector.evidence import PARTS, Part
from detector.models import SHIPPED, load_models
from detector.thresholds import NAME
from training.account_data import read_stream, read_truth
from training.baseline import metadata_scores
from training.calibrate import calibrate, thresholds_card
from training.evaluate import CrossValidation, Judged, folds_of, held_out, judged, once, pooled
from training.evaluate import flags as flag_figures
from training.report import BAG, STRONG_NATS, audit, groups, print_report, stream_report
from training.system import read_lines, run_system


def audit_command(argv: list[str]) -> int:
    """Run `swarmlight audit ...`; the exit status."""
    given = _audit_arguments(argv)
    models = load_models(given.models)
    models.thresholds.threshold(given.target_fpr)
    console = Console(stderr=True)
    found = [
        audit(group, models.text, models.account, models.thresholds, given.target_fpr, given.seed)
        for group in track(list(groups(given.data)), "auditing", console=console)
    ]
    found.sort(key=lambda record: -(record["passing"] or 0.0))
    _print(Console(width=150), found, given.target_fpr)
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


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


def _audit_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="swarmlight audit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with the text sets of people")
    parser.add_argument("--models", type=Path, metavar="DIR", help="models directory (the shipped one)")
    parser.add_argument("--target-fpr", type=float, default=0.01, help="whose threshold counts")
    parser.add_argument("--seed", type=int, default=0, help="of the bags")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    return parser.parse_args(argv)


def calibrate_command(argv: list[str]) -> int:
    """Run `swarmlight calibrate ...`; the exit status."""
    given = _calibrate_arguments(argv)
    console = Console(stderr=True)
    with console.status("running the system over your people"), tempfile.TemporaryDirectory() as work:
        recordings = {"people": (given.input, lambda name: True)}
        card = {"people": {"people": "people given to `swarmlight calibrate`"}}
        made = calibrate(given.models or SHIPPED, given.out, recordings, Path(work), card)
    (given.out / f"{NAME}.card.md").write_text(thresholds_card(made), encoding="utf-8")
    console.print(
        f"{made.people} people; finest target_fpr {made.finest_fpr:.4g}; horizon {made.horizon_posts} texts; "
        f"languages {', '.join(sorted(made.languages))}. Point [models] dir at {given.out} to use it."
    )
    return 0


def _calibrate_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="swarmlight calibrate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--input", type=Path, required=True, metavar="PEOPLE.jsonl", help="recording of people's events"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="models directory to write")
    parser.add_argument("--models", type=Path, metavar="DIR", help="models to calibrate (the shipped ones)")
    return parser.parse_args(argv)


TARGET_FPR: Final = 0.01

ABLATIONS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = tuple(
    (" + ".join(PARTS[: i + 1]), PARTS[i + 1 :]) for i in range(len(PARTS))
)
"""Name and what is left out: text, text + behaviour, + coordination, + graph."""


def evaluate_command(argv: list[str]) -> int:
    """Run `swarmlight evaluate ...`; the exit status."""
    given = _evaluate_arguments(argv)
    if len(given.stream) != len(given.truth):
        raise UsageError(f"{len(given.stream)} streams and {len(given.truth)} truth files: give one for each")
    if given.cross_validate and given.data is None:
        raise UsageError("--cross-validate trains fold models and needs --data, the folder with text/ and streams/")
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress, tempfile.TemporaryDirectory() as scratch:
        task = progress.add_task("evaluating", total=1.0)

        def say(what: str, share: float) -> None:
            progress.update(task, description=what, completed=share)

        work = given.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        reports = _cross_validated(given, work, say) if given.cross_validate else _as_shipped(given, work, say)
    out = Console(width=140)
    for report in reports:
        print_report(out, report)
    if given.json is not None:
        given.json.write_text(json.dumps(reports, indent=1) + "\n", encoding="utf-8")
    return 0


def _as_shipped(given: argparse.Namespace, work: Path, say: Any) -> list[dict[str, Any]]:
    models = given.models or SHIPPED
    reports = []
    for number, (stream, truth_path) in enumerate(zip(given.stream, given.truth, strict=True)):
        truth = read_truth(truth_path)
        found: dict[str, Judged] = {}
        plan = [("as asked", tuple(given.without))] if given.without else list(reversed(ABLATIONS))
        for step, (name, without) in enumerate(plan):
            say(f"{stream.name}: {name}", (number + step / len(plan)) / len(given.stream))
            whole = next(iter(found.values()), None)
            if without == ("graph",) and whole is not None and not np.nan_to_num(whole.parts[:, -1]).any():
                found[name] = whole
                continue
            scores = work / f"{stream.name}.{number}.{step}.scores"
            run_system([stream], models, scores=scores, without=without)
            found[name] = judged(truth, read_lines(scores))
        main = next(iter(found.values()))
        ablation: dict[str, tuple[Judged, Sequence[str]]] = {}
        if given.without:
            ablation |= _nested(main, [part for part in PARTS if part not in given.without])
        ablation |= {name: (result, PARTS) for name, result in reversed(found.items())}
        reports.append(_report(stream, truth, main, ablation, [main], "as shipped", given))
    return reports


def _nested(main: Judged, kept: Sequence[Part]) -> dict[str, tuple[Judged, Sequence[str]]]:
    """The ablation of one run. A part's column is what it adds to those before it, whichever come after."""
    return {" + ".join(kept[: i + 1]): (main, kept[: i + 1]) for i in range(len(kept))}


def _cross_validated(given: argparse.Namespace, work: Path, say: Any) -> list[dict[str, Any]]:
    models = given.models or SHIPPED
    trained = CrossValidation(
        given.data, models, given.cache, work, given.cross_validate, exclude=given.exclude, say=say
    )
    reports, everyone = [], []
    title = f"cross-validated in {given.cross_validate} folds by account and campaign"
    for stream, truth_path in zip(given.stream, given.truth, strict=True):
        truth = read_truth(truth_path)
        results = trained.measure(stream, truth, given.without)
        main = held_out(results, folds_of(truth, given.cross_validate))
        everyone.append(main)
        reports.append(_report(stream, truth, main, _nested(main, PARTS), results, title, given))
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
    main: Judged,
    ablation: Mapping[str, tuple[Judged, Sequence[str]]],
    runs: Sequence[Judged],
    title: str,
    given: argparse.Namespace,
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


def _evaluate_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="swarmlight evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stream", type=Path, nargs="+", metavar="STREAM", help="recording of events")
    parser.add_argument("--truth", type=Path, nargs="+", required=True, metavar="FILE", help="one for each stream")
    parser.add_argument("--models", type=Path, metavar="DIR", help="models directory (the shipped one)")
    parser.add_argument("--without", nargs="+", default=[], choices=PARTS, metavar="PART", help="as in run")
    parser.add_argument("--cross-validate", type=int, default=0, metavar="K", help="folds; 0 measures --models as is")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder with text/ and streams/, for fold models")
    parser.add_argument("--exclude", action="append", default=[], metavar="SOURCE", help="as in train text")
    parser.add_argument("--cache", type=Path, default=Path("build/crossfit"), help="folder for cross-fitted scores")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep fold models and runs here, and use them again")
    parser.add_argument("--draws", type=int, default=200, help="bootstrap draws")
    parser.add_argument("--seed", type=int, default=0, help="of folds of the baseline and of the bootstrap")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    return parser.parse_args(argv)
