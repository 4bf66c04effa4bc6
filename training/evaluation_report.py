"""An evaluation as one JSON-serialisable report, and as tables on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from training.evaluation import BY_POSTS, Judged, flags, intervals, pairs, ranking
from training.scoring import auroc, average_precision, tpr_at


def stream_report(
    title: str,
    main: Judged,
    ablation: Mapping[str, tuple[Judged, Sequence[str]]],
    runs: Sequence[Judged],
    baseline: tuple[NDArray[np.int64], NDArray[np.float64]],
    *,
    target_fpr: float,
    rng: np.random.Generator,
    draws: int,
) -> dict[str, Any]:
    """Everything there is to say of one stream.

    Args:
        title: of the report.
        main: the accounts as judged by the whole system.
        ablation: name -> (accounts as judged, parts that count).
        runs: all accounts of each run, for groups: they are found, not fitted.
        baseline: labels and out-of-fold scores of the metadata-only model.
        target_fpr: what flags promise.
        rng: of the bootstrap.
        draws: of the bootstrap.
    """
    rows = {}
    for name, (result, parts) in ablation.items():
        figures = ranking(result, parts)
        if figures:
            spread = intervals(result, lambda drawn, parts=parts: ranking(drawn, parts), rng, draws)  # type: ignore[misc]
            rows[name] = {key: [value, *spread[key]] for key, value in figures.items()}
    label, score = baseline
    counts: dict[str, float] = {}
    if 0 < label.sum() < len(label):
        counts = {
            "auroc": auroc(label, score),
            "ap": average_precision(label, score),
            "tpr_at_1pct_fpr": tpr_at(label, score, 0.01),
        }
    slices = sorted({str(part) for part in main.part if part})
    return {
        "title": title,
        "target_fpr": target_fpr,
        "missing": int(np.isnan(main.parts).any(axis=1).sum()),
        "ranking": rows,
        "metadata_only": counts,
        "flags": {
            "all": flags(main, target_fpr),
            **{name: flags(main.take(main.part == name), target_fpr) for name in slices},
        },
        "pairs": {field: _mean([pairs(run, field) for run in runs]) for field in ("campaign", "group")},
    }


def _mean(found: Sequence[Mapping[str, float] | None]) -> dict[str, float] | None:
    given = [one for one in found if one is not None]
    if not given:
        return None
    return {key: float(np.mean([one[key] for one in given])) for key in given[0]}


def print_report(out: Console, report: Mapping[str, Any]) -> None:
    """Print a report of `stream_report`, or one of flags alone."""
    out.rule(report["title"])
    if report.get("missing"):
        out.print(f"{report['missing']} accounts of the truth have no row in the scores; they count as lowest.")
    if report.get("ranking"):
        table = _table("ranking by", "AUROC", "average precision", "TPR at 1% FPR")
        for name, figures in report["ranking"].items():
            table.add_row(name, *(f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, low, high in figures.values()))
        if report["metadata_only"]:
            table.add_row("metadata alone (boosting)", *(f"{v:.3f}" for v in report["metadata_only"].values()))
        out.print(table)
    table = _table(
        "flags", "people", "machines", "precision", "recall", "false flags (95%)", "p more than target",
        *(f"by post {posts}" for posts in BY_POSTS),
    )  # fmt: skip
    for name, figures in report["flags"].items():
        low, high = figures["fpr_95"]
        wrong = f"{figures['false_flags']} = {_percent(figures['fpr'])} ({_percent(low)} to {_percent(high)})"
        table.add_row(
            name,
            str(figures["people"]),
            str(figures["machines"]),
            f"{figures['precision']:.3f}" if figures["flagged"] else "-",
            _percent(figures["recall"]),
            wrong if figures["people"] else "-",
            f"{figures['p_more_than_target']:.3f}" if figures["people"] else "-",
            *(_percent(figures[f"flagged_by_{posts}"]) for posts in BY_POSTS),
        )
    out.print(table)
    out.print(f"target_fpr {report['target_fpr']:g}; exact one-sided binomial test against it.")
    if any(report.get("pairs", {}).values()):
        table = _table("pairs of", "true", "found", "half of members found", "precision", "recall", "F1")
        for field, figures in report["pairs"].items():
            if figures:
                table.add_row(
                    field,
                    *(f"{figures[key]:g}" for key in ("true", "found", "found_half")),
                    *(f"{figures[key]:.3f}" for key in ("precision", "recall", "f1")),
                )
        out.print(table)


def _table(*columns: str) -> Table:
    table = Table(show_edge=False, pad_edge=False)
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right")
    return table


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}%"
