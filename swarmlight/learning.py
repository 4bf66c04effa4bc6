"""`train`, `calibrate` and `evaluate`: models and thresholds of one's own, and what they are worth.

The packages of the extra `train` are imported when one of these is called, and not before.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from detector.errors import UsageError
from detector.models import SHIPPED
from detector.text import first_stage, second_stage
from streaming.schema.flat_rows import Row
from streaming.schema.score import encode_score
from swarmlight.recordings import Source, recording_of
from swarmlight.records import Records
from swarmlight.runs import Run, assess

if TYPE_CHECKING:
    from detector.thresholds import Thresholds


class Evaluation(NamedTuple):
    """What a run is worth against a truth.

    Args:
        ranking: `auroc`, `ap` (average precision) and `tpr_at_1pct_fpr` of the total evidence; empty without both
            people and machines.
        flags: people, machines, precision, recall, `fpr` with its 95% interval, and by which post machines are flagged.
        campaigns: pair precision, recall and F1 of alerted campaigns against the true ones; None without either.
        accounts: account, label, campaign, total, flagged: all that is in the truth.
    """

    ranking: Mapping[str, float]
    flags: Mapping[str, Any]
    campaigns: Mapping[str, float] | None
    accounts: Records[Row]


def train(
    recording: Source,
    truth: str | Path,
    out: str | Path,
    *,
    data: str | Path | None = None,
    second_stage: bool = True,
    seed: int = 0,
) -> Path:
    """Train the text models on a labelled recording, and write a models directory with them.

    What the account model makes of texts is learned from other texts than these, so the thresholds of the directory do
    not hold for it: call `calibrate` on it before anything is flagged. Machines of other campaigns than those that were
    learned from are found less well; `evaluate` on a recording that was not learned from says how well.

    Args:
        recording: posts of people and of machines.
        truth: what its accounts are: JSON lines of `account` and `label` (1: a language model drives it), perhaps
            `campaign`.
        out: folder for the models: weights, reports and model cards.
        data: folder of further text sets, as `swarmlight train text --data` takes it.
        second_stage: whether the second stage is trained too: four fine-tunings, at some hundred texts a second each.
        seed: which texts are kept where there are many, and draws.

    Returns:
        `out`, for `assess(models=...)` and `calibrate`.

    Raises:
        UsageError: too little to learn from, a file that cannot be read, or the extra `train` is not installed.
    """
    text_models, system = _training("text_models"), _training("system")
    own = _training("own_texts").own_texts(recording_of(recording), _truth(truth))
    place = Path(out)
    with TemporaryDirectory(prefix="swarmlight-") as cache:
        text_models.train_text_models(
            None if data is None else Path(data), place, Path(cache), own=own, seed=seed, second_stage=second_stage
        )
    # The shipped second stage reads the first stage's evidence: it does not go with another first stage.
    kept = [stem for stem in system.BUNDLE_FILES if stem not in _TEXT]
    system.copy_models(SHIPPED, place, kept)
    return place


_TEXT: Final = (first_stage.FILE, second_stage.FILE)


def calibrate(people: Source, out: str | Path, *, models: str | Path | None = None) -> Thresholds:
    """Set thresholds on people of one's own, as `swarmlight calibrate` does, and write a models directory with them.

    Args:
        people: a recording of accounts that are people beyond doubt, a few hundred.
        out: folder for the models; may be `models` itself.
        models: what is calibrated; the shipped models where None.

    Returns:
        The thresholds: `threshold(0.01)` is the total in nats that one person in a hundred reaches.

    Raises:
        UsageError: the recording cannot be read, there are too few people in it, or the extra `train` is not installed.
    """
    given = recording_of(people)
    with TemporaryDirectory(prefix="swarmlight-") as folder:
        events = Path(folder) / "people.jsonl"
        given.save(events)
        made: Thresholds = _training("calibrate").calibrate_on(
            events, Path(out), SHIPPED if models is None else Path(models), "events"
        )
    return made


def evaluate(
    found: Run | Source, truth: str | Path, *, models: str | Path | None = None, target_fpr: float = 0.01
) -> Evaluation:
    """Measure a run against what its accounts are known to be.

    Figures are honest only where neither the models nor the thresholds have learned from these accounts.

    Args:
        found: a run, or a recording, which is judged first.
        truth: JSON lines of `account`, `label` (1: a language model drives it), perhaps `campaign`.
        models: of a recording that is judged first.
        target_fpr: share of people that may be flagged, which false flags are tested against.

    Raises:
        UsageError: no account of the truth is in the run, or the extra `train` is not installed.
    """
    measures = _training("evaluate")
    run = found if isinstance(found, Run) else assess(found, models=models)
    labels = _truth(truth)
    rows = [_plain(score) for score in run.scores]
    table = measures.measured(str(run.folder), labels, rows)
    totals = {row["account"]: row["llr"]["total"] for row in rows}
    flagged = {row["account"] for row in rows if row["flagged"]}
    accounts: list[Row] = [
        {"account": name, "label": int(known["label"]), "campaign": known.get("campaign") or None,
         "total": totals.get(name), "flagged": name in flagged}
        for name, known in labels.items()
    ]  # fmt: skip
    return Evaluation(
        measures.ranking(table),
        measures.flags(table, target_fpr),
        measures.pairs(table, "campaign"),
        Records(accounts, ("account", "label", "campaign", "total", "flagged"), dict),
    )


def _plain(score: Any) -> dict[str, Any]:
    import msgspec

    plain: dict[str, Any] = msgspec.json.decode(encode_score(score))
    return plain


def _truth(path: str | Path) -> dict[str, dict[str, Any]]:
    labels: dict[str, dict[str, Any]] = _training("account_data").read_truth(Path(path))
    return labels


def _training(module: str) -> Any:
    try:
        return import_module(f"training.{module}")
    except ImportError as error:
        raise UsageError(
            f"training needs {error.name or 'packages'}, which the core install does without: "
            "pip install 'swarmlight[train]'"
        ) from None
