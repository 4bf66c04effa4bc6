"""Both text models trained, measured and written together: what `swarmlight train text` does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from detector.text import first_stage
from detector.text import second_stage as second_stage_files
from detector.times import AT_MAX
from detector.weights_io import save_weights
from streaming.sources.recording import events_of
from training.account_data import read_truth
from training.cards import first_stage_card, second_stage_card
from training.model_reports import first_stage_report, second_stage_report
from training.own_texts import own_texts
from training.second_stage import TrainedSecondStage, calibrate_named, train_second_stage
from training.text import (
    ProgressCallback,
    crossfit_path,
    crossfit_table,
    first_stage_model,
    quiet,
    train_first_stage,
    version_of,
)


def texts_of(recording: Path, truth: Path, format_name: str) -> pd.DataFrame:
    """The texts of a labelled recording, as `train_text_models` takes them.

    Args:
        recording: posts.
        truth: what its accounts are, one object a line.
        format_name: of the recording.

    Raises:
        UsageError: one of them cannot be read, or there is too little to learn from.
    """
    labels = read_truth(truth)
    return own_texts(events_of([recording], format_name, AT_MAX), labels)


def train_text_models(
    data: Path | None,
    out: Path | None,
    cache: Path,
    *,
    own: pd.DataFrame | None = None,
    exclude: Sequence[str] = (),
    seed: int = 0,
    second_stage: bool = True,
    named_model: str | None = None,
    machine_label: int = -1,
    device: str = "cpu",
    processes: int = 1,
    say: ProgressCallback = quiet,
) -> list[dict[str, Any]]:
    """Train, calibrate and describe the text models.

    Args:
        data: folder of the text sets; None where `own` is all there is.
        out: folder for weights, reports and cards; None writes none.
        cache: folder for cross-fitted scores and fine-tuned encoders.
        own: a set of one's own, of `texts_of`.
        exclude: names of sets, clusters or sources to leave out.
        seed: which rows capped sources keep, and bootstrap draws.
        second_stage: whether the second stage is trained too.
        named_model: a Hugging Face model that is calibrated as second stage in place of the fine-tuned MiniLM.
        machine_label: which of its outputs means machine.
        device: of torch, "cpu" or "cuda", where the encoder is fine-tuned.
        processes: models trained at the same time, each in one thread.
        say: told of progress.

    Returns:
        The report of the first stage, and that of the second where there is one.

    Raises:
        UsageError: nothing to learn from, or a name that is none.
    """
    trained = train_first_stage(data, exclude=exclude, seed=seed, say=say, own=own, processes=processes)
    model = first_stage_model(trained)
    crossed = crossfit_table(trained, model)
    cache.mkdir(parents=True, exist_ok=True)
    crossed.to_parquet(crossfit_path(cache, exclude, seed, own))
    head: TrainedSecondStage | None = None
    if second_stage and named_model:
        head = calibrate_named(crossed, named_model, machine_label=machine_label, say=say)
    elif second_stage:
        head = train_second_stage(crossed, cache, device=device, processes=processes, say=say)
    say("measuring", 0.99)
    reports = [first_stage_report(trained, crossed, seed=seed)]
    if head is not None:
        reports.append(second_stage_report(head, trained, seed=seed))
    say("done", 1.0)
    if out is None:
        return reports
    common: dict[str, Any] = {"excluded": sorted(exclude), "seed": seed}
    meta = {
        **common,
        "name": model.name,
        "version": model.version,
        "languages": dict(trained.calibrator.groups),
        "report": reports[0],
    }
    _write(out, first_stage.FILE, trained.arrays, meta, first_stage_card(meta))
    if head is not None:
        meta = {"name": "minilm", **common, **head.meta, "version": version_of(head.arrays), "report": reports[1]}
        _write(out, second_stage_files.FILE, head.arrays, meta, second_stage_card(meta))
    return reports


def _write(folder: Path, stem: str, arrays: dict[str, Any], meta: dict[str, Any], card: str) -> None:
    save_weights(folder / stem, arrays, meta)
    (folder / f"{stem}.card.md").write_text(card, encoding="utf-8")
    (folder / f"{stem}.report.json").write_text(json.dumps(meta["report"], indent=1) + "\n", encoding="utf-8")
