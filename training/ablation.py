"""What each evidence component adds: the whole system with components left out, on recordings with truth.

`python -m training.ablation` writes the page `docs/explanation/ablation.md`. Every recording is run with the first
component alone, with the first two, and so on, once with text and once without: what is left out is left out
everywhere, so that nobody is a suspect, or read again, for it. Recordings are labelled streams, and societies with
texts that the same-controller model was not trained on. Scores in the work folder are not made again while the models
are the same.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import fill
from typing import Annotated, Any, Final

import numpy as np
import typer
from rich.console import Console

from detector.errors import UsageError
from detector.evidence import COMPONENTS, Component
from detector.models import SHIPPED
from streaming.cli import run_function
from training.account_data import read_truth
from training.cards import table_rows
from training.evaluate import EvaluationTable, intervals, measured, pooled
from training.metrics import auroc, tpr_at
from training.progress import progress_bar
from training.same_controller import KEPT_TO_MEASURE
from training.society_plan import ACCOUNTS
from training.society_texts import make_societies
from training.system import BUNDLE_FILES, read_lines, run_system
from training.text import ProgressCallback

CONDITIONS: Final[Mapping[str, tuple[Component, ...]]] = {
    "With text": COMPONENTS, "Without text": tuple(name for name in COMPONENTS if name != "text"),
}  # fmt: skip
"""What the page has a section for, with the components that are added one after another."""

FIRST_SEED: Final = 500_000
"""Seeds of these societies begin here, those of training societies far below."""

SOCIETIES: Final = "societies"
"""The name of all societies together."""


@dataclass(frozen=True)
class LabelledRecording:
    """Events with their truth, under a name; societies of one name are measured together."""

    name: str
    events: Path
    truth: Path


def run(recording: LabelledRecording, kept: Sequence[Component], models: Path, work: Path) -> EvaluationTable:
    """The accounts of a recording as the system scores them with some components.

    Args:
        recording: what is run.
        kept: components; all others are left out.
        models: models directory.
        work: folder for the scores.

    Raises:
        UsageError: a file cannot be read, or the truth is of another recording.
    """
    key = json.dumps([versions(models), str(recording.events.resolve()), recording.events.stat().st_size])
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]
    scores = work / f"{digest}-{'-'.join(kept)}.scores"
    if not scores.exists():
        work.mkdir(parents=True, exist_ok=True)
        made = scores.with_suffix(".part")
        run_system([recording.events], models, scores=made, without=[name for name in COMPONENTS if name not in kept])
        made.replace(scores)
    found = measured(recording.name, read_truth(recording.truth), read_lines(scores))
    whose = np.char.add(f"{digest}/", found.campaign)
    return replace(found, campaign=np.where(found.campaign != "", whose, ""))


def side_by_side(tables: Sequence[EvaluationTable]) -> EvaluationTable:
    """Runs of one recording as one table, whose columns are the totals of each."""
    return replace(tables[0], components=np.stack([table.score() for table in tables], axis=1))


def figures(given: EvaluationTable, rows: Sequence[str], seed: int, draws: int) -> list[dict[str, Any]]:
    """Ranking by each column of totals, and what each adds to the one before, with intervals over campaigns and people.

    Args:
        given: accounts with a column of totals for each row.
        rows: their names.
        seed: of the bootstrap.
        draws: of the bootstrap.
    """

    def measure(drawn: EvaluationTable) -> dict[str, float]:
        result: dict[str, float] = {}
        last = 0.5
        for n, row in enumerate(rows):
            area = auroc(drawn.label, drawn.components[:, n])
            result |= {f"{row}/auroc": area, f"{row}/adds": area - last}
            result[f"{row}/tpr"] = tpr_at(drawn.label, drawn.components[:, n], 0.01)
            last = area
        return result

    spread = intervals(given, measure, np.random.default_rng(seed), draws)
    values = {key: [value, *spread[key]] for key, value in measure(given).items()}
    return [{"row": row} | {key: values[f"{row}/{key}"] for key in ("auroc", "tpr", "adds")} for row in rows]


def measure_all(
    recordings: Sequence[LabelledRecording], models: Path, work: Path, *, seed: int, draws: int, say: ProgressCallback
) -> dict[str, Any]:
    """Everything that the page tells, as JSON-serialisable figures.

    Args:
        recordings: in the order of the page.
        models: models directory.
        work: folder for scores; what it has already is not made again.
        seed: of the bootstrap.
        draws: of the bootstrap.
        say: told of progress.
    """
    names = list(dict.fromkeys(each.name for each in recordings))
    found: dict[str, list[dict[str, Any]]] = {}
    total = len(recordings) * sum(map(len, CONDITIONS.values()))
    done = 0
    for condition, components in CONDITIONS.items():
        nested = [components[: n + 1] for n in range(len(components))]
        tables: dict[str, list[EvaluationTable]] = {}
        for each in recordings:
            runs = []
            for kept in nested:
                say(f"{each.name}: {', '.join(kept)}", done / total)
                runs.append(run(each, kept, models, work))
                done += 1
            tables.setdefault(each.name, []).append(side_by_side(runs))
        rows = [components[0], *(f"+ {name}" for name in components[1:])]
        found[condition] = []
        for name in names:
            everybody = pooled(tables[name])
            found[condition].append(
                {
                    "name": name,
                    "people": int((everybody.label == 0).sum()),
                    "machines": int(everybody.label.sum()),
                    "campaigns": len({name for name in everybody.campaign.tolist() if name}),
                    "rows": figures(everybody, rows, seed, draws),
                }
            )
    return {
        "figures": found,
        "models": versions(models),
        "societies": sum(each.name == SOCIETIES for each in recordings),
    }


def versions(models: Path) -> dict[str, str]:
    """The name and version of each model of a bundle."""
    found = {}
    for stem in BUNDLE_FILES:
        if (models / f"{stem}.json").exists():
            meta = json.loads((models / f"{stem}.json").read_text(encoding="utf-8"))
            found[stem] = f"{meta['name']}@{meta['version']}"
    return found


def held_out(
    data: Path, work: Path, count: int, seed: int, say: ProgressCallback, accounts: tuple[int, int] = ACCOUNTS
) -> list[LabelledRecording]:
    """Societies with texts that no model was trained on; what the work folder has of them is taken.

    Args:
        data: folder with `text/` and `streams/`.
        work: folder for them.
        count: how many.
        seed: of all.
        say: told of progress.
        accounts: bounds of their number.

    Raises:
        UsageError: the data cannot be used.
    """
    made = make_societies(
        work, count, data, FIRST_SEED + seed, say, without=sorted(KEPT_TO_MEASURE), role="calibrate", accounts=accounts
    )
    return [LabelledRecording(SOCIETIES, files.events, files.truth) for files in made]


WIDTH: Final = 120
"""Characters of a line of the page, tables left aside."""

INTRO: Final = """# What each component adds

This page is written by `make ablation DATA=folder`; do not edit it. The system ({models}) runs over each recording with
the first component alone, then with one more at a time. Intervals are 95%, by bootstrap over campaigns, with
people drawn one by one. *Adds* is the gain in AUROC over the line before, drawn together with it; bold where its
interval leaves out 0."""

ABOUT: Final = """**Societies** ({societies}) are simulated and filled with texts as those are that the same-controller
model is trained on, with other seeds and with people who train no model. Text models have read some of the machines'
texts, so that text is better there than on posts of strangers, and what the others add is less."""


def page(found: Mapping[str, Any]) -> str:
    """The page of what `measure_all` found."""
    models = ", ".join(f"`{name}`" for name in found["models"].values())
    parts = [_wrapped(INTRO.format(models=models))]
    if found["societies"]:
        parts.append(_wrapped(ABOUT.format(societies=found["societies"])))
    header = ["on", "people, machines, campaigns", "components", "AUROC", "TPR at 1% FPR", "adds"]
    for condition, recordings in found["figures"].items():
        lines = []
        for each in recordings:
            counts = f"{each['people']:,}, {each['machines']:,}, {each['campaigns']:,}"
            for n, row in enumerate(each["rows"]):
                head = [each["name"], counts] if n == 0 else ["", ""]
                adds = _gain(row["adds"]) if n else "-"
                lines.append([*head, row["row"], _figure(row["auroc"]), _figure(row["tpr"]), adds])
        parts += [f"## {condition}", table_rows(header, lines)]
    return "\n\n".join(parts) + "\n"


def _wrapped(paragraphs: str) -> str:
    return "\n\n".join(
        text if text.startswith("#") else fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)
        for text in paragraphs.split("\n\n")
    )


def _figure(values: Sequence[float]) -> str:
    return "{:.3f} [{:.3f}, {:.3f}]".format(*values)


def _gain(values: Sequence[float]) -> str:
    text = "{:+.3f} [{:+.3f}, {:+.3f}]".format(*values)
    return f"**{text}**" if values[1] > 0 or values[2] < 0 else text


def ablate(
    stream: Annotated[
        list[Path] | None, typer.Option(metavar="EVENTS TRUTH", help="a recording with truth; may be repeated")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="folder with text/ and streams/, for the societies")
    ] = None,
    societies: Annotated[int, typer.Option(metavar="N", min=0, help="societies with texts, where --data is given")] = 6,
    out: Annotated[Path, typer.Option(metavar="PAGE.md", help="the page")] = Path("docs/explanation/ablation.md"),
    figures_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="write all figures")] = None,
    models: Annotated[Path | None, typer.Option(metavar="DIR", help="models directory (the shipped one)")] = None,
    work: Annotated[Path | None, typer.Option(metavar="DIR", help="keep societies and scores here")] = None,
    draws: Annotated[int, typer.Option(metavar="N", help="bootstrap draws")] = 200,
    seed: Annotated[int, typer.Option(metavar="N", help="of societies and the bootstrap")] = 0,
) -> int:
    """Measure what each evidence component adds, on labelled streams and on societies with texts.

    Writes the page and, with `--json`, all figures. What the work folder has is not made again: remove it after a
    change of the code.

    Args:
        stream: events and truth by turns.
        out: the page.

    Raises:
        UsageError: nothing to measure on, a recording cannot be read, or a file cannot be written.
    """
    pairs = stream or []
    recordings = [
        LabelledRecording(events.name.split(".")[0], events, truth)
        for events, truth in zip(pairs[::2], pairs[1::2], strict=True)
    ]
    with progress_bar(Console(stderr=True), "ablation") as say, tempfile.TemporaryDirectory() as scratch:
        place = work or Path(scratch)
        if data is not None:
            recordings += held_out(data, place / "societies", societies, seed, say)
        if not recordings:
            raise UsageError("nothing to measure on: give --stream EVENTS TRUTH or --data DIR")
        found = measure_all(recordings, models or SHIPPED, place, seed=seed, draws=draws, say=say)
    try:
        out.write_text(page(found), encoding="utf-8")
        if figures_file is not None:
            figures_file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{error.filename}: cannot be written: {error.strerror}; name another file") from None
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run it as a program. Exit status 0; 1 an error; 2 unusable arguments."""
    return run_function(ablate, "python -m training.ablation", argv)


if __name__ == "__main__":
    sys.exit(main())
