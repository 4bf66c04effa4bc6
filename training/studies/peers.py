"""Rivals beside the system's own text models, in one table: each learns from the same texts, judges what was left out.

A peer gives every text a row of features once, which is what it costs at work, and learns from the rows of all clusters
but one. What a peer needs and is not there (a package, a language model) is named in its place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from detector.errors import ModelError
from detector.text.encoder import one_thread
from detector.text.features import styles
from detector.text.huggingface import RawScorer
from detector.text.meaning import MeaningEncoder
from detector.text.tokenize import encode
from training.boosting import BoostingSettings, boost
from training.data import source_weights
from training.linear import Block, Design, FitSettings, design, fit, fit_logistic
from training.model_reports import left_out
from training.studies.judged import markdown
from training.text import ProgressCallback, cluster_folds, sample
from training.vector_cache import VectorCache

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

CAP: Final = 120
"""Texts of each source and class: the whole table takes some ten minutes of one core."""

STRENGTH: Final = 8.0
"""C of the plain logistic regression on n-grams, as it was first measured."""

TIMED: Final = 300
"""Texts on which the speed of features is measured."""

LM_TEXTS: Final = 12
"""Texts of each source and class that a language model reads: ten a second are all it manages."""

Learn = Callable[[Any, Labels, Floats, "NDArray[np.str_]"], Callable[[Any], Floats]]
"""Features, labels, weights and sources of what is learned from -> a function of features to scores."""


class Peer:
    """A way to tell machines' texts from people's.

    Args:
        name: in the table.
        features: texts to a row each, in whatever form `learn` and `take` know.
        learn: from features.
        take: rows of features.
    """

    def __init__(
        self,
        name: str,
        features: Callable[[Sequence[str]], Any],
        learn: Learn,
        take: Callable[[Any, NDArray[np.intp]], Any] = lambda given, rows: given[rows],
    ) -> None:
        self.name, self.features, self.learn, self.take = name, features, learn, take

    def scores(self, table: pd.DataFrame, folds: Sequence[NDArray[np.bool_]], say: ProgressCallback) -> Floats:
        """Scores of every text by models that had not seen its cluster, (n,); the mean where several had not.

        Args:
            table: texts with label and source.
            folds: rows that each model leaves out.
            say: told of progress.
        """
        given = self.features(table["text"].tolist())
        label = table["label"].to_numpy().astype(np.int64)
        source = table["source"].to_numpy().astype(str)
        total, count = np.zeros(len(table)), np.zeros(len(table))
        for place, out in enumerate(folds):
            say(self.name, place / len(folds))
            train, test = np.flatnonzero(~out), np.flatnonzero(out)
            score = self.learn(self.take(given, train), label[train], source_weights(table.iloc[train]), source[train])
            total[test] += score(self.take(given, test))
            count[test] += 1
        return total / np.maximum(count, 1)


def speed(read: Callable[[Sequence[str]], Any], texts: Sequence[str]) -> float:
    """Texts a second of processor time, of one core; the first few are read before the clock starts."""
    read(texts[:8])
    begin = time.process_time()
    read(texts)
    return len(texts) / max(time.process_time() - begin, 1e-6)


def _ngrams(texts: Sequence[str]) -> csr_array:
    return design([text.lower() for text in texts]).grams


def _plain(given: csr_array, label: Labels, weight: Floats, source: NDArray[np.str_]) -> Callable[[Any], Floats]:
    found = fit_logistic([Block(given, 1 / (STRENGTH * len(label)))], label, weight)
    weights, bias = found.weights[0], found.bias

    def score(rows: csr_array) -> Floats:
        said: Floats = rows @ weights + bias
        return said

    return score


def _styles(texts: Sequence[str]) -> Floats:
    return styles(encode(list(texts))).astype(np.float64)


def _boosted(given: Floats, label: Labels, weight: Floats, source: NDArray[np.str_]) -> Callable[[Any], Floats]:
    return boost(given, label, weight, BoostingSettings()).logit


def _regression(given: Floats, label: Labels, weight: Floats, source: NDArray[np.str_]) -> Callable[[Any], Floats]:
    fitted = LogisticRegression(C=10.0, max_iter=400).fit(given, label, sample_weight=weight)

    def score(rows: Floats) -> Floats:
        said: Floats = fitted.decision_function(rows)
        return said

    return score


def _own(given: Design, label: Labels, weight: Floats, source: NDArray[np.str_]) -> Callable[[Any], Floats]:
    return fit(given, label, weight, source, FitSettings()).score


class StaticVectors:
    """Mean of static word-piece vectors, which the package `wordllama` holds; nothing is downloaded.

    Raises:
        ModelError: the package is not installed.
    """

    def __init__(self) -> None:
        spec = find_spec("wordllama")
        if spec is None or not spec.submodule_search_locations:
            raise ModelError("wordllama is not installed: pip install --no-deps wordllama")
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        folder = Path(next(iter(spec.submodule_search_locations)))
        self._tokenizer: Any = Tokenizer.from_file(str(next((folder / "tokenizers").glob("l2_supercat*.json"))))
        self._tokenizer.no_padding()
        (self._vectors,) = load_file(str(folder / "weights" / "l2_supercat_256.safetensors")).values()

    def __call__(self, texts: Sequence[str]) -> Floats:
        """Vectors of unit length, (n, 256)."""
        rows = [each.ids for each in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]
        mean = np.stack([self._vectors[ids or [0]].astype(np.float64).mean(axis=0) for ids in rows])
        unit: Floats = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-9)
        return unit


class Binoculars:
    """Perplexity over cross-perplexity of two language models (Hans et al. 2024), with the sign turned.

    Args:
        observer: folder of a causal language model.
        performer: folder of another with the same tokenizer.

    Raises:
        ModelError: one cannot be loaded.
    """

    def __init__(self, observer: str, performer: str) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._torch = torch
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(observer, local_files_only=True)
            self._models: list[Any] = [
                AutoModelForCausalLM.from_pretrained(path, local_files_only=True, use_safetensors=True)
                for path in (observer, performer)
            ]
        except (OSError, ValueError) as error:
            raise ModelError(f"cannot load a causal language model from {observer!a} and {performer!a}") from error

    def score(self, text: str) -> float:
        """Larger is more machine-like; 0 for fewer than three tokens."""
        torch = self._torch
        pieces = self._tokenizer(text, return_tensors="pt", truncation=True, max_length=256)
        tokens = pieces["input_ids"][0]
        if len(tokens) < 3:
            return 0.0
        with one_thread(torch):
            observed, performed = (
                torch.log_softmax(model(**pieces).logits[0, :-1].double(), dim=-1) for model in self._models
            )
            surprise = -performed.gather(1, tokens[1:, None]).mean()
            cross = -(observed.exp() * performed).sum(-1).mean()
        return -float(surprise / cross)


def statistics_of(language_models: Sequence[str]) -> dict[str, Callable[[str], float]]:
    """Statistics that need no learning, by name: of one language model, and of two.

    Args:
        language_models: folders; none gives nothing, two give Binoculars too.

    Raises:
        ModelError: one cannot be loaded.
    """
    found: dict[str, Callable[[str], float]] = {}
    if language_models:
        found["Fast-DetectGPT"] = RawScorer(language_models[0]).score
    if len(language_models) > 1:
        found["Binoculars"] = Binoculars(*language_models[:2]).score
    return found


OURS: Final = "ours, first stage, as many texts"
OURS_ALL: Final = "ours, first stage, all texts"
OURS_BOTH: Final = "ours, both stages, all texts"


def peers(
    crossed: pd.DataFrame,
    cache: Path,
    *,
    both_stages: pd.Series[float] | None,
    language_models: Sequence[str],
    cap: int,
    seed: int,
    say: ProgressCallback,
) -> str:
    """The table as Markdown.

    Args:
        crossed: of `training.text.crossfit`.
        cache: keeps the encoder's vectors.
        both_stages: scores of the second stage by (source, text), by models that had not seen the cluster; None where
            they are not there.
        language_models: of `statistics_of`.
        cap: texts of each source and class.
        seed: of the bootstrap.
        say: told of progress.

    Raises:
        ModelError: a language model cannot be loaded.
    """
    table = sample(crossed, cap)
    folds = cluster_folds(table)
    encoder = VectorCache(MeaningEncoder(), cache / "vectors")
    texts = table["text"].tolist()[:: max(len(table) // TIMED, 1)]

    def vectors(given: Sequence[str]) -> Floats:
        return encoder.vectors(given).astype(np.float64) / 127

    ways: list[Peer] = [
        Peer("n-grams, logistic regression", _ngrams, _plain),
        Peer("style, boosting", _styles, _boosted),
        Peer("MiniLM as it is, logistic regression", vectors, _regression),
    ]
    missing: list[list[str]] = []
    try:
        ways.append(Peer("wordllama, logistic regression", StaticVectors(), _regression))
    except ModelError as error:
        missing.append(["wordllama, logistic regression", str(error), *[""] * 5])
    ways.append(Peer(OURS, design, _own, Design.take))
    scores: dict[str, Floats] = {}
    speeds: dict[str, float] = {}
    with threadpool_limits(limits=1):
        for way in ways:
            scores[way.name] = way.scores(table, folds, say)
            read = MeaningEncoder().vectors if way.features is vectors else way.features
            speeds[way.name] = speed(read, texts)
    scores[OURS_ALL] = np.array(table["raw"].tolist(), np.float64)
    speeds[OURS_ALL] = speeds[OURS]
    lines = _lines(table, scores, speeds, seed)
    if both_stages is not None:
        known = both_stages.to_dict()
        found = np.array([known.get(key, np.nan) for key in zip(table["source"], table["text"], strict=True)])
        here = np.isfinite(found)
        both = {OURS_BOTH: found[here]}
        lines += _lines(table[here].reset_index(drop=True), both, {OURS_BOTH: np.nan}, seed)
    lines += _statistics(table, language_models, LM_TEXTS, seed, say)
    if len(language_models) < 2:
        absent = ("Fast-DetectGPT", "Binoculars")[len(language_models) :]
        missing += [[name, "give --language-model FOLDER, twice for Binoculars", *[""] * 5] for name in absent]
    return markdown(HEADER, [*lines, *missing])


HEADER: Final = ("peer", "mean AUROC", "worst", "worst source", "mean TPR at 1%", "sources", "texts per core-second")


def statistics_alone(
    table: pd.DataFrame, language_models: Sequence[str], texts: int, seed: int, say: ProgressCallback
) -> str:
    """The rows of language models' statistics, which learn nothing, as Markdown.

    Args:
        table: texts with source, label and number of words.
        language_models: of `statistics_of`.
        texts: of each source and class, the same that `peers` takes.
        seed: of the bootstrap.
        say: told of progress.

    Raises:
        ModelError: a language model cannot be loaded.
    """
    return markdown(HEADER, _statistics(table, language_models, texts, seed, say))


def _statistics(
    table: pd.DataFrame, language_models: Sequence[str], texts: int, seed: int, say: ProgressCallback
) -> list[list[str]]:
    few = sample(table, texts)
    lines: list[list[str]] = []
    for name, statistic in statistics_of(language_models).items():
        said = np.zeros(len(few))
        begin = time.process_time()
        for row, text in enumerate(few["text"]):
            if row % 20 == 0:
                say(name, row / len(few))
            said[row] = statistic(text)
        title = f"{name}, {texts} texts of each"
        rate = len(few) / max(time.process_time() - begin, 1e-6)
        lines += _lines(few, {title: said}, {title: rate}, seed)
    return lines


def _lines(
    table: pd.DataFrame, scores: Mapping[str, Floats], speeds: Mapping[str, float], seed: int
) -> list[list[str]]:
    """A row for each score: its figures over sources left out, at like length."""
    records = left_out(table, dict(scores), seed, draws=1)
    lines = []
    for name in scores:
        area = {str(record["source"]): record[f"{name}_auroc"][0] for record in records}
        rate = np.mean([record[f"{name}_tpr_at_1pct_fpr"][0] for record in records])
        worst = min(area, key=lambda source: area[source])
        pace = "-" if np.isnan(speeds[name]) else f"{speeds[name]:,.0f}"
        mean = f"{np.mean(list(area.values())):.3f}"
        lines.append([name, mean, f"{area[worst]:.2f}", worst, f"{rate:.3f}", str(len(area)), pace])
    return lines
