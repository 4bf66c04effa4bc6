"""The commands `swarmlight train text`, `account`, `graph` and `fusion`, and those of `learning_cli`.

Each `train_..._command` function is one command: it learns a model with the modules of this folder and writes weights
(safetensors and JSON), a report and a model card. Typer makes the options of the parameters, whose `help` says what
they are. Tables go to standard output, progress to standard error.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import torch
import typer
from rich.console import Console
from rich.table import Table

from detector.errors import UsageError
from detector.models import GRAPH, SHIPPED, load_readers
from detector.times import AT_MAX
from graph.pair_model import FEATURES
from streaming.cli import among
from streaming.sources.files import EVENTS
from streaming.sources.recording import events_of
from training.account import save_account, train_account
from training.account_data import read_truth
from training.account_training_set import TextModels, gather
from training.calibrate import shipped_thresholds
from training.cards import graph_card, left_out_tables, verdict
from training.families import add_family, background, decided_accounts, labelled_posts
from training.learning_cli import decisions_in, learn_command, sample_command, shadow_command
from training.model_reports import report_table
from training.pair_training import fit_regression, save_pair_model
from training.pairs import OPERATION, examples
from training.progress import progress_bar
from training.same_controller import KEPT_TO_MEASURE, TrainingSocieties, gather_societies, report_of
from training.text import ProgressCallback, crossfit
from training.text_models import texts_of, train_text_models

WIDTH: Final = 150
"""Columns of the printed table: sources, and a measure with its interval for each model."""

app: Final = typer.Typer(
    help="Train a model: weights (safetensors and JSON), a report, and a model card.",
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=False,
)

app.command("decisions", short_help="a shadow model from moderators' decisions, and whom it would move")(learn_command)
app.command("shadow", short_help="who is flagged with other models, and who with those in use")(shadow_command)
app.command("sample", short_help="a blind sample of unflagged accounts, for moderators to decide on")(sample_command)

Excluded = Annotated[list[str] | None, typer.Option("--exclude", metavar="SOURCE", help="set, cluster or source")]
Cache = Annotated[Path, typer.Option("--cache", metavar="DIR", help="folder for cross-fitted scores")]

CACHE: Final = Path("build/crossfit")


@app.command("text", short_help="the first-stage text model and the second stage's head, from single posts")
def train_text_command(
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="folder of the text sets (with text/NAME.parquet)")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="folder for text.* and expert.*: weights, report, card")
    ] = None,
    recording: Annotated[
        Path | None, typer.Option(metavar="FILE", help="labelled recording of your own, with or without --data")
    ] = None,
    truth: Annotated[Path | None, typer.Option(metavar="FILE", help="what its accounts are, as for evaluate")] = None,
    format_name: Annotated[
        str, typer.Option("--format", metavar="NAME", help="input format of the recording, as in run")
    ] = EVENTS,
    add: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="recording with some hundred posts of a generator that is new: it is added to --models, nothing else "
            "is trained",
        ),
    ] = None,
    decisions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="with --add: moderators' decisions (--feedback), for --truth")
    ] = None,
    family: Annotated[str, typer.Option(metavar="NAME", help="with --add: what the new generator is called")] = "added",
    models: Annotated[Path | None, typer.Option(metavar="DIR", help="with --add: models (the shipped ones)")] = None,
    exclude: Excluded = None,
    seed: Annotated[int, typer.Option(metavar="N", help="which rows capped sources keep; bootstrap draws")] = 0,
    cache: Cache = CACHE,
    no_second_stage: Annotated[
        bool, typer.Option("--no-second-stage", help="train the first-stage model alone")
    ] = False,
    named_model: Annotated[
        str | None,
        typer.Option(
            "--second-stage", metavar="MODEL", help="calibrate this Hugging Face model (folder or name) instead"
        ),
    ] = None,
    machine_label: Annotated[
        int, typer.Option(metavar="N", help="which output of MODEL means machine; -1 is the last")
    ] = -1,
    device: Annotated[
        Literal["cpu", "cuda"], typer.Option(help="where the encoder is fine-tuned; weights differ by device")
    ] = "cpu",
    processes: Annotated[
        int, typer.Option(metavar="N", min=1, help="models trained at the same time, each in one thread")
    ] = 2,
    report: Annotated[
        Literal["leave-one-source-out"] | None,
        typer.Option(
            metavar="leave-one-source-out",
            help="print how each source is told apart when left out; without --out, write no weights",
        ),
    ] = None,
) -> int:
    """Train, calibrate and describe the text models.

    Learns from single posts of people and machines, whole sources left out in turn, and prints how well each source is
    told apart by a model that has not seen it.

    Args:
        data: folder with text/NAME.parquet.
        out: where weights go; None writes none, and needs `report`.
        recording: posts to learn from, of accounts that `truth` labels.
        add: posts of a new generator, and perhaps of people; with `data` people of the text sets stand beside them.
        decisions: on accounts of `add`.

    Raises:
        UsageError: neither weights nor a report are asked for, nothing to learn from, or texts that cannot be used.
    """
    if add is not None:
        return _add(add, truth, decisions, format_name, data, models or SHIPPED, out, family)
    if out is None and report is None:
        raise UsageError("train text: give --out DIR for the weights, or --report leave-one-source-out")
    if (recording is None) != (truth is None):
        raise UsageError("train text: --recording and --truth go together, the posts and what their accounts are")
    if data is None and recording is None:
        raise UsageError(
            "train text: give --data DIR, or a labelled recording of your own with --recording and --truth"
        )
    console = Console(stderr=True)
    with progress_bar(console, "training") as say:
        own = None if recording is None or truth is None else texts_of(recording, truth, format_name)
        found = train_text_models(
            data,
            out,
            cache,
            own=own,
            exclude=exclude or [],
            seed=seed,
            second_stage=not no_second_stage,
            named_model=named_model,
            machine_label=machine_label,
            device=device,
            processes=processes,
            say=say,
        )
    screen = Console(width=WIDTH)
    for each in found:
        screen.print(report_table(each["leave_one_source_out"]))
    if out is not None:
        console.print(f"wrote weights, reports and cards to {out}")
    return 0


def _add(
    recording: Path, truth: Path | None, decisions: Path | None, format_name: str, data: Path | None, models: Path,
    out: Path | None, name: str,
) -> int:  # fmt: skip
    """Add a family to a models directory, and say what it came to."""
    if out is None or (truth is None) == (decisions is None):
        raise UsageError("train text --add: give --out DIR, and what the accounts are by --truth or by --decisions")
    events = list(events_of([recording], format_name, AT_MAX))
    if truth is not None:
        labels = {account: int(record["label"]) for account, record in read_truth(truth).items()}
    else:
        assert decisions is not None
        labels = decided_accounts(decisions_in(decisions), {event.account for event in events})
    console = Console(stderr=True)
    with console.status("learning the new generator"):
        found = add_family(labelled_posts(events, labels), background(data), models, out, name)
    before, after = found["before"], found["after"]
    print(f"{found['posts']:,} posts of {name}, {found['people']:,} of people, in {', '.join(found['languages'])}")
    print(
        f"authors left out in turn: AUROC {before['auroc']:.3f} before and {after['auroc']:.3f} now, found at 1% of "
        f"these people {before['tpr']:.2f} and {after['tpr']:.2f}"
    )
    console.print(
        f"wrote {out}; set thresholds anew (swarmlight calibrate --models {out}), since people may rank higher"
    )
    return 0


@app.command("account", short_help="the account model, from bags of one author's texts and from real accounts")
def train_account_command(
    data: Annotated[Path, typer.Option(metavar="DIR", help="folder with text/ and streams/")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="folder for account.*: weights, report, card")],
    models: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="text models, trained with the same --exclude (the shipped ones)"),
    ] = None,
    exclude: Excluded = None,
    without_stream: Annotated[
        bool, typer.Option("--without-stream", help="learn from no machine of the labelled stream")
    ] = False,
    seed: Annotated[int, typer.Option(metavar="N", help="of bags, capped sources and boosting")] = 0,
    cache: Cache = CACHE,
) -> int:
    """Learn the account model from bags of cross-fitted text evidence and from real accounts.

    Args:
        without_stream: leaves machines with times out; texts alone are learned from.

    Raises:
        UsageError: the data cannot be used.
        ModelError: the text models cannot be used.
    """
    console = Console(stderr=True)
    with progress_bar(console, "training") as say:
        text, reader, versions = load_readers(models)
        rows = gather(data, cache, TextModels(text, reader), exclude=exclude or [], seed=seed, say=say)
        if without_stream:
            rows = rows.take((rows.label == 0) | ~rows.timed)
        model = train_account(rows, versions, seed=seed, say=say)
    save_account(model, out, excluded=exclude or [], seed=seed)
    console.print(f"wrote account.safetensors, account.json and account.card.md to {out}")
    for line in model.report["by_age"]:
        console.print(line)
    return 0


@app.command("fusion", short_help="thresholds, on the running maxima of people kept out of training")
def train_fusion_command(
    data: Annotated[Path, typer.Option(metavar="DIR", help="folder with text/ and streams/")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="folder for the whole bundle with its thresholds")],
    models: Annotated[
        Path | None, typer.Option(metavar="DIR", help="folder of text, expert and account (the shipped ones)")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(metavar="SOURCE", help="as in train text")] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="as in train text")] = 0,
    cache: Cache = CACHE,
) -> int:
    """Set thresholds on the whole system's totals of people who had no part in training.

    Args:
        data: folder with text/ and streams/.

    Raises:
        UsageError: the data cannot be used.
    """
    console = Console(stderr=True)
    with console.status("running the system over the calibration people"), tempfile.TemporaryDirectory() as work:
        table = crossfit(data, cache, exclude=exclude or [], seed=seed)
        made = shipped_thresholds(data, models or SHIPPED, out, Path(work), table)
    console.print(f"wrote thresholds of {made.people} people to {out}; horizon {made.horizon_posts} texts")
    return 0


FEWEST: Final = 4
"""Societies, at least: two halves, each with two to choose the network's cut on."""

WORK: Final = Path("build/societies")


@app.command("graph", short_help="the same-controller model, from simulated societies with texts")
def train_graph_command(
    data: Annotated[Path, typer.Option(metavar="DIR", help="folder with text/ and streams/")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="folder for graph.safetensors, graph.json and the card")],
    work: Annotated[
        Path, typer.Option(metavar="DIR", help="keeps societies and vectors of their texts, and uses them again")
    ] = WORK,
    societies: Annotated[int, typer.Option(metavar="N", help="societies to simulate")] = 20,
    without: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME...", help=f"text sets or pools to leave out; {OPERATION}: the real operation"),
    ] = None,
    measured: Annotated[
        list[str] | None,
        typer.Option(
            "--with", metavar="NAME...", help=f"use these all the same, kept to measure: {', '.join(KEPT_TO_MEASURE)}",
            callback=among(KEPT_TO_MEASURE),
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="of societies, weights and draws")] = 0,
    draws: Annotated[int, typer.Option(metavar="N", min=1, help="of own evidence, for each society")] = 2,
) -> int:  # fmt: skip
    """Train the model that says whether two accounts have the same controller.

    Societies are simulated and filled with texts, and read as a run reads them; a real operation teaches what accounts
    do together. The logistic regression and a graph neural network are measured on sets of texts, tactics, makers of
    generators and societies left out in turn; the regression is written, and the card says how the two compare.

    Args:
        data: text sets and labelled recordings.

    Raises:
        UsageError: too few societies, or the data cannot be used.
        ModelError: the encoder of meaning is not installed.
    """
    torch.set_num_threads(1)  # sums in another order would be another model
    if societies < FEWEST:
        raise UsageError(f"{societies} societies are too few: at least {FEWEST}")
    left_away = sorted({*(without or ()), *KEPT_TO_MEASURE} - {*(measured or ())})
    console = Console(stderr=True)
    with progress_bar(console, "graph") as say:
        given = gather_societies(data, work, societies, left_away, seed, lambda what, share: say(what, 0.5 * share))
        meta = write_graph(given, out, left_away, draws, seed, lambda what, share: say(what, 0.5 + 0.5 * share))
    screen = Console(width=WIDTH)
    for title, (header, lines) in left_out_tables(meta["report"]).items():
        table = Table(title=title)
        for name in header:
            table.add_column(name)
        for line in lines:
            table.add_row(*line)
        screen.print(table)
    screen.print(verdict(meta["report"]))
    console.print(f"wrote {meta['name']}@{meta['version']} and its card to {out}")
    return 0


def write_graph(
    given: TrainingSocieties, out: Path, without: Sequence[str], draws: int, seed: int, say: ProgressCallback
) -> dict[str, Any]:
    """Measure, fit and write the model and its card; what its JSON file says.

    Args:
        given: what is learned from.
        out: folder for weights and card.
        without: what was left out, for the card.
        draws: of evidence.
        seed: of draws and weights.
        say: told what is done, and which share of it.
    """
    report = report_of(given, draws, seed, lambda what, share: say(what, 0.95 * share)) | {"without": list(without)}
    say("the model itself", 0.95)
    teachers = [*given.societies, *([given.operation] if given.operation else [])]
    model = fit_regression(list(examples(teachers, draws, seed)))
    meta = save_pair_model(model, out, seed, report)
    coefficients = dict(zip(FEATURES, model.coefficients.tolist(), strict=True))
    (out / f"{GRAPH}.card.md").write_text(graph_card(meta, coefficients), encoding="utf-8")
    return meta
