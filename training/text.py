"""Training the first-stage text model: cross-fitted scores of unseen sources, calibration on them, the final fit.

`train_first_stage` takes the folder of the text sets and returns the model's arrays with everything its report needs.
What later stages train on is the cross-fitted table, whose features no model made that had seen the text::

    from training.text import crossfit, text_features_of
    rows = crossfit(Path("data"), Path("build/crossfit"))   # a pandas table, cached as text.parquet
    features = text_features_of(rows)   # (n,) TEXT_FEATURES; llr from the model that had NOT seen the row's cluster

`rows` has one row per training text: `text`, `label`, `set`, `source`, `cluster`, `generator`, `author_id`,
`parent_id`, `lang`, `group`, `words`, and three scores in millinats: `llr` (cluster left out: an unseen generator on
an unseen platform), `llr_near` (only the row's own thread, author or prompt left out: the generator and the platform
are seen), and `raw` / `raw_near`, the scores before calibration. What a new stream looks like lies between the two.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Callable, Collection
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from detector.text.calibration import Calibrator
from detector.text.features import RARITIES, TEXT_FEATURES, TextFeatures, char_hashes, rarity_bucket, unpack
from detector.text.first_stage import FirstStageModel
from detector.text.tokenize import encode
from training.data import load_texts, source_weights
from training.linear import Design, FitSettings, Linear, design, fit
from training.own_texts import digest_of
from training.text_calibration import calibrate

Floats = NDArray[np.float64]

CAP: Final = 2500
"""Rows of one source and class in training: sources count alike whatever their size, and more rows of one cost time."""

NEAR_FOLDS: Final = 3
PEOPLE_FOLDS: Final = 4
"""Every model of a left-out cluster also leaves out a quarter of the people-only sources, in turn."""

RARITY_STEP: Final = 22.0
"""Units of the rarity table per nat: the rarest bucket of a hundred thousand texts stays below 255."""

ProgressCallback = Callable[[str, float], None]
"""Called with what is being done and the share of the work that is behind."""


def quiet(what: str, share: float) -> None:
    """A `ProgressCallback` that says nothing."""


@dataclass(frozen=True, slots=True)
class CrossScores:
    """Scores of rows by models that had not seen them, (n,) each: raw log-odds at equal classes."""

    out: Floats
    near: Floats
    style: Floats
    """As `out`, of the baseline that has style features only."""


def cluster_folds(table: pd.DataFrame) -> list[NDArray[np.bool_]]:
    """Rows that each model leaves out: one cluster with machine texts, and a quarter of the people-only clusters."""
    cluster = table["cluster"].to_numpy()
    has_machine = table.groupby("cluster")["label"].max()
    machine = sorted(has_machine[has_machine == 1].index)
    people = sorted(has_machine[has_machine == 0].index)
    folds = []
    for index, name in enumerate(machine):
        quarter = [one for place, one in enumerate(people) if place % PEOPLE_FOLDS == index % PEOPLE_FOLDS]
        folds.append(np.isin(cluster, [name, *quarter]))
    return folds


def near_folds(table: pd.DataFrame) -> NDArray[np.int64]:
    """Fold of every row, such that a thread, prompt or author is in one fold."""
    key = table["parent_id"].where(table["parent_id"] != "", table["author_id"])
    key = table["set"] + "/" + key.where(key != "", table["text"])
    digests = [hashlib.blake2b(one.encode(), digest_size=8).digest() for one in key]
    return np.array([int.from_bytes(digest, "little") % NEAR_FOLDS for digest in digests], dtype=np.int64)


def sample(table: pd.DataFrame, cap: int) -> pd.DataFrame:
    """At most `cap` rows of each source and class, chosen by the hash of their text, in the table's order."""
    digest = [hashlib.blake2b(text.encode(), digest_size=8).hexdigest() for text in table["text"]]
    order = table.assign(digest=digest).sort_values("digest", kind="stable")
    kept = order[order.groupby(["source", "label"]).cumcount() < cap].index
    return table.loc[table.index.isin(kept)].reset_index(drop=True)


@dataclass(frozen=True, slots=True)
class _LeavingOut:
    """What every model that leaves rows out learns from; processes are forked with it, as it is large."""

    rows: Design
    label: NDArray[np.int64]
    source: NDArray[np.str_]
    table: pd.DataFrame
    settings: tuple[FitSettings, ...]

    def scores(self, left_out: NDArray[np.bool_], each: int) -> list[Floats]:
        """Scores of the rows left out, by models of the first `each` settings that learned from the others."""
        train, test = np.flatnonzero(~left_out), np.flatnonzero(left_out)
        learned, held = self.rows.take(train), self.rows.take(test)
        weight = source_weights(self.table.iloc[train])
        return [
            fit(learned, self.label[train], weight, self.source[train], how).score(held) for how in self.settings[:each]
        ]


_leaving_out: _LeavingOut | None = None
"""In a forked process: what its parent had."""


def _scores(left_out: NDArray[np.bool_], each: int) -> list[Floats]:
    assert _leaving_out is not None
    with threadpool_limits(limits=1):
        return _leaving_out.scores(left_out, each)


def _all_scores(
    what: _LeavingOut, tasks: list[tuple[NDArray[np.bool_], int]], processes: int, say: ProgressCallback
) -> list[list[Floats]]:
    """`_LeavingOut.scores` of every task, in their order."""
    global _leaving_out  # what a forked process begins with
    done: list[list[Floats]] = []
    if processes <= 1:
        for place, task in enumerate(tasks):
            say("leaving sources out", place / len(tasks))
            done.append(what.scores(*task))
        return done
    _leaving_out = what
    try:
        with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("fork")) as pool:
            waiting = [pool.submit(_scores, *task) for task in tasks]
            for place, future in enumerate(waiting):
                say("leaving sources out", place / len(tasks))
                done.append(future.result())
    finally:
        _leaving_out = None
    return done


def cross_scores(
    table: pd.DataFrame,
    rows: Design,
    settings: FitSettings,
    say: ProgressCallback = quiet,
    near: bool = True,
    processes: int = 1,
) -> CrossScores:
    """Scores of every row by models that had not seen its cluster (`out`, `style`) or its thread (`near`).

    A people-only cluster is left out by several models; its rows get their mean.

    Args:
        table: the texts.
        rows: their n-grams and style.
        settings: of the fits.
        say: told of progress.
        near: whether to leave threads out too; zeros otherwise.
        processes: models fitted at the same time, each in one thread; the scores are the same.
    """
    bare = FitSettings(use_grams=False, use_sources=False, style_penalty=settings.style_penalty)
    what = _LeavingOut(
        rows,
        table["label"].to_numpy().astype(np.int64),
        table["source"].to_numpy().astype(str),
        table,
        (settings, bare),
    )
    folds = cluster_folds(table)
    fold = near_folds(table) if near else np.zeros(0, np.int64)
    threads = [fold == index for index in range(NEAR_FOLDS)] if near else []
    found = _all_scores(what, [*((left, 2) for left in folds), *((left, 1) for left in threads)], processes, say)
    sums = np.zeros((2, len(table)))
    count = np.zeros(len(table))
    for left_out, scored in zip(folds, found[: len(folds)], strict=True):
        sums[:, left_out] += np.stack(scored)
        count[left_out] += 1
    sums /= np.maximum(count, 1)
    near_score = np.zeros(len(table))
    for left_out, scored in zip(threads, found[len(folds) :], strict=True):
        near_score[left_out] = scored[0]
    return CrossScores(sums[0], near_score, sums[1])


def rarities(texts: list[str]) -> NDArray[np.uint8]:
    """Weight of each bucket of trigrams and words in the sketch: RARITY_STEP x log(texts / texts with it)."""
    seen = np.zeros(RARITIES)
    for begin in range(0, len(texts), 2048):
        encoded = encode(texts[begin : begin + 2048])
        hashes, valid = char_hashes(encoded, 3)
        place = np.flatnonzero(valid)
        owner = np.searchsorted(encoded.ends, place, side="right")
        for found, owners in ((hashes[place], owner), (encoded.word_hash, encoded.word_owner)):
            pairs = np.unique(owners * RARITIES + rarity_bucket(found))
            seen += np.bincount(pairs % RARITIES, minlength=RARITIES)
    weight = np.rint(RARITY_STEP * np.log(len(texts) / np.maximum(seen, 1)))
    return np.clip(weight, 1, 255).astype(np.uint8)


def first_stage_arrays(
    model: Linear, rarity: NDArray[np.uint8], calibrator: Calibrator
) -> dict[str, NDArray[np.generic]]:
    """The arrays of `text.safetensors`.

    Args:
        model: fitted on everything.
        rarity: (RARITIES,) weights of the sketch.
        calibrator: of the model's scores.
    """
    return {
        "weights": model.weights.astype(np.float16),
        "style_weights": model.style_weights.astype(np.float32),
        "style_mean": model.mean.astype(np.float32),
        "style_spread": model.spread.astype(np.float32),
        "bias": np.array([model.bias], dtype=np.float32),
        "rarity": rarity,
        **calibrator.arrays(),
    }


@dataclass(frozen=True, slots=True)
class TrainedFirstStage:
    """Everything one training run made."""

    table: pd.DataFrame
    cross: CrossScores
    calibrator: Calibrator
    arrays: dict[str, NDArray[np.generic]]
    settings: FitSettings


def train_first_stage(
    data: Path | None,
    *,
    exclude: Collection[str] = (),
    seed: int = 0,
    cap: int = CAP,
    settings: FitSettings | None = None,
    say: ProgressCallback = quiet,
    own: pd.DataFrame | None = None,
    processes: int = 1,
) -> TrainedFirstStage:
    """Train the first-stage model.

    Args:
        data: folder of the text sets; None where `own` is all there is.
        exclude: names of sets, clusters or sources to leave out.
        seed: which rows a capped source keeps.
        cap: rows of one source and class that are kept.
        settings: of the fit; the defaults where None.
        say: told of progress.
        own: a set of one's own, of `training.own_texts`.
        processes: models fitted at the same time, each in one thread; the weights are the same.

    Raises:
        UsageError: no set is there, or an excluded name is none.
    """
    with threadpool_limits(limits=1):  # so that the weights do not depend on how many cores trained them
        say("reading the text sets", 0.0)
        return _trained(load_texts(data, exclude, seed, cap, own), settings or FitSettings(), say, processes)


def _trained(table: pd.DataFrame, settings: FitSettings, say: ProgressCallback, processes: int) -> TrainedFirstStage:
    rows = design(table["text"].tolist())
    cross = cross_scores(table, rows, settings, say, processes=processes)
    calibrator = calibrate(table, cross.out, cross.near)
    say("fitting on everything", 0.97)
    label = table["label"].to_numpy().astype(np.int64)
    model = fit(rows, label, source_weights(table), table["source"].to_numpy().astype(str), settings)
    arrays = first_stage_arrays(model, rarities(table["text"].tolist()), calibrator)
    return TrainedFirstStage(table, cross, calibrator, arrays, settings)


def version_of(arrays: dict[str, NDArray[np.generic]]) -> str:
    """A version that names the weights themselves: `1.` and eight hex digits of their SHA-256."""
    digest = hashlib.sha256()
    for name, value in sorted(arrays.items()):
        digest.update(name.encode() + np.ascontiguousarray(value).tobytes())
    return f"1.{digest.hexdigest()[:8]}"


def crossfit_table(trained: TrainedFirstStage, model: FirstStageModel) -> pd.DataFrame:
    """The cross-fitted table of this module's docstring, with a packed `reading` per row."""
    table, cross = trained.table, trained.cross
    words = table["words"].to_numpy().astype(np.int64)
    group = trained.calibrator.group_of(table["lang"].tolist())
    text_features = model.read(table["text"].tolist(), table["lang"].tolist())
    text_features["llr"] = trained.calibrator.millinats(cross.out, words, group)
    raw = text_features.tobytes()
    size = TEXT_FEATURES.itemsize
    return table.assign(
        llr=text_features["llr"].astype(np.int64),
        llr_near=trained.calibrator.millinats(cross.near, words, group).astype(np.int64),
        raw=cross.out,
        raw_near=cross.near,
        reading=[raw[i : i + size] for i in range(0, len(raw), size)],
    )


def crossfit_path(cache: Path, exclude: Collection[str], seed: int, own: pd.DataFrame | None = None) -> Path:
    """Where a cross-fitted table is cached.

    Args:
        cache: folder.
        exclude: names of sets, clusters or sources that are left out.
        seed: which rows a capped source keeps.
        own: a set of one's own that was learned from.
    """
    what = [sorted(exclude), seed, CAP, asdict(FitSettings()), TEXT_FEATURES.itemsize, CROSSFIT_FORMAT]
    key = json.dumps(what if own is None else [*what, digest_of(own)])
    return cache / f"text-{hashlib.sha256(key.encode()).hexdigest()[:12]}.parquet"


def crossfit(
    data: Path, cache: Path, *, exclude: Collection[str] = (), seed: int = 0, say: ProgressCallback = quiet
) -> pd.DataFrame:
    """Cross-fitted text features of every training row (see the module's docstring), from `cache` where they are there.

    `swarmlight train text` leaves them in its `--cache`, so that nothing is fitted twice.

    Args:
        data: folder of the text sets.
        cache: folder for one table per `exclude` and `seed`; outside the repository or ignored by it.
        exclude: names of sets, clusters or sources to leave out.
        seed: which rows a capped source keeps.
    """
    path = crossfit_path(cache, exclude, seed)
    if path.is_file():
        return pd.read_parquet(path)
    trained = train_first_stage(data, exclude=exclude, seed=seed, say=say)
    rows = crossfit_table(trained, first_stage_model(trained))
    cache.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(path)
    return rows


CROSSFIT_FORMAT: Final = 5
"""Raised when features or fits change, so that an older cache is not mistaken for a current one."""


def first_stage_model(trained: TrainedFirstStage) -> FirstStageModel:
    """The trained model, without going through files."""
    arrays = trained.arrays
    return FirstStageModel(
        name="cheap",
        version=version_of(arrays),
        weights=arrays["weights"].astype(np.float16),
        style_weights=arrays["style_weights"].astype(np.float32),
        style_mean=arrays["style_mean"].astype(np.float32),
        style_spread=arrays["style_spread"].astype(np.float32),
        bias=float(arrays["bias"].astype(np.float64)[0]),
        rarity=arrays["rarity"].astype(np.uint8),
        calibrator=trained.calibrator,
    )


def text_features_of(rows: pd.DataFrame) -> TextFeatures:
    """The text features of a cross-fitted table, (n,) of dtype TEXT_FEATURES, `llr` cross-fitted."""
    return unpack(rows["reading"].tolist()).copy()
