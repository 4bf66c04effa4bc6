"""Reports of an evaluation, and of an audit of false accusations, as JSON-serialisable values and terminal tables.

`stream_report` and `print_report` tell what a run is worth on a stream; `audit` tells evidence against people and false
flags by language, dialect and native writing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from detector.account.model import AccountModel
from detector.errors import UsageError
from detector.evidence import MILLINAT
from detector.text.features import TextAbstain, TextFeatures
from detector.text.first_stage import FirstStageModel
from detector.text.tokenize import normalise_language
from detector.thresholds import Thresholds, combine
from training.account_data import Events, codes, snapshots
from training.evaluate import BY_POSTS, EvaluationTable, flags, intervals, pairs, ranking
from training.metrics import auroc, average_precision, share_interval, tpr_at


def stream_report(
    title: str,
    main: EvaluationTable,
    ablation: Mapping[str, tuple[EvaluationTable, Sequence[str]]],
    runs: Sequence[EvaluationTable],
    baseline: tuple[NDArray[np.int64], NDArray[np.float64]],
    *,
    target_fpr: float,
    rng: np.random.Generator,
    draws: int,
) -> dict[str, Any]:
    """Everything there is to say of one stream.

    Args:
        title: of the report.
        main: the accounts with the scores of the whole system.
        ablation: name -> (accounts with their scores, components that count).
        runs: all accounts of each run, for groups: they are found, not fitted.
        baseline: labels and out-of-fold scores of the metadata-only model.
        target_fpr: what flags promise.
        rng: of the bootstrap.
        draws: of the bootstrap.
    """
    rows = {}
    for name, (result, components) in ablation.items():
        figures = ranking(result, components)
        if figures:
            spread = intervals(result, lambda drawn, components=components: ranking(drawn, components), rng, draws)  # type: ignore[misc]
            rows[name] = {key: [value, *spread[key]] for key, value in figures.items()}
    label, score = baseline
    counts: dict[str, float] = {}
    if 0 < label.sum() < len(label):
        counts = {
            "auroc": auroc(label, score),
            "ap": average_precision(label, score),
            "tpr_at_1pct_fpr": tpr_at(label, score, 0.01),
        }
    slices = sorted({str(name) for name in main.slice_name if name})
    return {
        "title": title,
        "target_fpr": target_fpr,
        "missing": int(np.isnan(main.components).any(axis=1).sum()),
        "ranking": rows,
        "metadata_only": counts,
        "flags": {
            "all": flags(main, target_fpr),
            **{name: flags(main.take(main.slice_name == name), target_fpr) for name in slices},
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


BAG: Final = 10
"""Texts of one group that stand for an account: as many as half of the people of a day's stream have."""

STRONG_NATS: Final = 1.0
"""Evidence of one text that is counted as an accusation: nearly three times likelier for a machine."""

FEWEST: Final = 30
"""Texts by which a group is told of."""


@dataclass(frozen=True)
class WritingGroup:
    """People who share a way of writing."""

    name: str
    texts: list[str]
    langs: list[str]


def groups(data: Path) -> Iterator[WritingGroup]:
    """The people's texts of `human_short_text` and `liang_toefl` under `data`, by source, language and native writing.

    Raises:
        UsageError: neither set is there.
    """
    folder = data / "text" if (data / "text").is_dir() else data
    found = False
    for name, keys in (("liang_toefl", ["native"]), ("human_short_text", ["source", "lang"])):
        path = folder / f"{name}.parquet"
        if not path.is_file():
            continue
        found = True
        table = pd.read_parquet(path)
        table = table[table["label"] == 0]
        for value, rows in table.groupby(keys, sort=True, dropna=False):
            words = [_NATIVE.get(str(part), str(part)) if name == "liang_toefl" else str(part) for part in value]
            if len(rows) >= FEWEST:
                yield WritingGroup(
                    f"{name}: {', '.join(words)}",
                    rows["text"].astype(str).tolist(),
                    [normalise_language(tag) for tag in rows["lang"].astype(str)],
                )
    if not found:
        raise UsageError(f"{folder} holds neither human_short_text.parquet nor liang_toefl.parquet; give --data")


_NATIVE: Final[Mapping[str, str]] = {
    "1": "native writers",
    "0": "non-native writers",
}


def audit(
    group: WritingGroup,
    text: FirstStageModel,
    account: AccountModel,
    thresholds: Thresholds,
    target_fpr: float,
    seed: int = 0,
) -> dict[str, Any]:
    """What the models say of a group of people: of single texts, and of bags of `BAG` texts as accounts.

    Args:
        group: the people.
        text, account, thresholds: the models.
        target_fpr: whose threshold counts.
        seed: of the bags.
    """
    text_features = text.read(group.texts, group.langs)
    speaks = text_features["abstain"] == TextAbstain.NONE
    llr = text_features["llr"][speaks] / MILLINAT
    strong = int((llr > STRONG_NATS).sum())
    totals = _bag_totals(group, text_features, account, thresholds, seed)
    flagged = int((totals > thresholds.threshold(target_fpr)).sum())
    calibrated = bool(thresholds.calibrated(codes(group.langs)).mean() > _MOSTLY)
    return {
        "group": group.name,
        "texts": len(group.texts),
        "abstained": float(1 - speaks.mean()),
        "mean_nats": float(llr.mean()) if len(llr) else None,
        "strong": strong / len(llr) if len(llr) else None,
        "strong_95": list(share_interval(strong, len(llr))),
        "bags": len(totals),
        "passing": flagged / len(totals) if len(totals) else None,
        "passing_95": list(share_interval(flagged, len(totals))),
        "may_be_flagged": calibrated,
    }


_MOSTLY: Final = 0.5


def _bag_totals(
    group: WritingGroup, text_features: TextFeatures, account: AccountModel, thresholds: Thresholds, seed: int
) -> NDArray[np.float64]:
    """Running maximum of the total over each bag, times unknown, bags without evidence left out."""
    count = len(group.texts) // BAG
    if not count:
        return np.zeros(0)
    order = np.random.default_rng(seed).permutation(len(group.texts))[: count * BAG]
    n = len(order)
    events = Events(
        account=np.repeat(np.arange(count), BAG),
        at_ms=np.zeros(n, np.int64),
        kind=np.zeros(n, np.int64),
        text_features=text_features[order],
        has_text=np.ones(n, bool),
        language=codes(group.langs)[order],
        links=np.zeros(n, np.int64),
        second_stage=np.full(n, np.nan),
    )
    seen = snapshots(events, count, after=None)
    evidence = account.components(seen.features, behaviour=False)
    nothing = np.zeros(len(evidence.text))
    total = combine(evidence.text, evidence.behaviour, nothing, nothing, thresholds.cap_nats).total
    highest = np.full(count, -np.inf)
    np.maximum.at(highest, seen.account, total)
    evident: NDArray[np.float64] = highest[np.isfinite(highest)]
    return evident
