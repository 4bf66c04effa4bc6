"""The shipped second stage: neighbours, abstentions, and refusal of another encoder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from detector.errors import ModelError
from detector.text import encoder as module
from detector.text.encoder import (
    DIM,
    TUNED_PREFIX,
    TUNED_TOKENS,
    Encoder,
    encoder_digest,
    encoder_folder,
    fastest_dtype,
    load_encoder,
)
from detector.text.second_stage import FILE, MiniLMSecondStage, SecondStageModel
from detector.text.tokenize import normalise
from detector.weights_io import load_weights, save_weights
from tests.detector.text import toy
from training.fine_tuning import TunedEncoder

TEXTS = [
    "Honestly, I think we all need to talk about this more often.",
    "lol my bus never came so i walked home in the rain",
    "Je ne sais pas quoi dire, c'est vraiment fou cette histoire",
    "two words",
    "Sijui la kusema, hii ni hadithi ya ajabu sana",
]
LANGS = ["en", "en", "fr", "en", "sw"]
FIRST_STAGE = np.array([400, -300, 100, 50, 60], dtype=np.int16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("second-stage")
    calibrator = toy.calibrator()
    rng = np.random.default_rng(0)
    layers = {
        name: value.to(torch.float16).numpy()
        for name, value in Encoder()._weights.items()
        if name.startswith(TUNED_PREFIX)
    }
    key = f"{TUNED_PREFIX}layer.5.output.dense.bias"
    layers[key] = layers[key] + rng.normal(0, 0.5, DIM).astype(np.float16)
    arrays = {
        **layers,
        "head.weight": rng.normal(0, 0.5, DIM).astype(np.float32),
        "head.bias": np.zeros(1, dtype=np.float32),
        "mix": np.array([1, 1], dtype=np.float32),
        **calibrator.arrays(),
    }
    meta = {
        "name": "toy",
        "version": "1",
        "languages": dict(calibrator.groups),
        "encoder_sha256": encoder_digest(encoder_folder()),
    }
    save_weights(place / FILE, arrays, meta)
    return place


@pytest.fixture(scope="module")
def second_stage(folder: Path) -> MiniLMSecondStage:
    return MiniLMSecondStage.load(folder)


def test_a_second_stage_reads_each_text_by_itself_and_always_alike(second_stage: MiniLMSecondStage) -> None:
    assert isinstance(second_stage, SecondStageModel)
    together = second_stage.score(TEXTS, LANGS, FIRST_STAGE)
    order = np.array([4, 2, 0, 3, 1])
    shuffled = second_stage.score([TEXTS[i] for i in order], [LANGS[i] for i in order], FIRST_STAGE[order])
    assert together.dtype == np.int16
    assert shuffled.tolist() == together[order].tolist()
    assert len(set(together[:3].tolist())) == 3


def test_where_it_abstains_the_first_stage_evidence_is_kept(second_stage: MiniLMSecondStage) -> None:
    assert second_stage.score(TEXTS[3:], LANGS[3:], FIRST_STAGE[3:]).tolist() == [50, 60]


def test_what_the_first_stage_said_counts(folder: Path, tmp_path: Path) -> None:
    arrays, meta = load_weights(folder / FILE)
    arrays["mix"] = np.array([0, 1], dtype=np.float32)
    save_weights(tmp_path / FILE, arrays, {k: v for k, v in meta.items() if k not in {"sha256", "format"}})
    low, high = MiniLMSecondStage.load(tmp_path).score(
        TEXTS[:1] * 2, LANGS[:1] * 2, np.array([-100, 150], dtype=np.int16)
    )
    assert (low, high) == (-100, 150)


def test_embeddings_of_the_package_have_unit_parts() -> None:
    found = Encoder(layers=(2, 6)).embed(TEXTS)
    assert found.shape == (5, 2 * DIM)
    np.testing.assert_allclose(np.linalg.norm(found.reshape(5, 2, DIM), axis=2), 1, atol=1e-5)


def test_embeddings_are_those_of_the_library(second_stage: MiniLMSecondStage, folder: Path) -> None:
    tokenizer, model = load_encoder(encoder_folder(), torch.float32)
    long = "word " * 200

    def means(tokens: int) -> NDArray[np.float32]:
        rows = []
        for text in [*TEXTS, long, ""]:
            pieces = tokenizer(text, return_tensors="pt", truncation=True, max_length=tokens)
            with torch.no_grad():
                rows.append(model.eval()(**pieces).last_hidden_state[0].mean(dim=0).numpy())
        return np.array(rows)

    package = means(96)
    package /= np.linalg.norm(package, axis=1, keepdims=True)
    np.testing.assert_allclose(Encoder(layers=(6,)).embed([*TEXTS, long, ""]), package, atol=3e-3)
    arrays, _ = load_weights(folder / FILE)
    names = model.encoder.state_dict()
    model.encoder.load_state_dict({name: torch.from_numpy(arrays[TUNED_PREFIX + name].copy()) for name in names})
    tuned = means(TUNED_TOKENS)
    np.testing.assert_allclose(second_stage._encoder.embed([*TEXTS, long, ""]), tuned, atol=0.02)
    assert np.abs(tuned / np.linalg.norm(tuned, axis=1, keepdims=True) - package).max() > 0.05


def test_a_text_is_cut_into_the_pieces_that_training_saw() -> None:
    texts = [
        *TEXTS,
        "word " * 200,
        "",
        "Ünïcödé 漢字 🙂🙂 a@b.c #tag https://x.example/y?z=1",
        "[MASK] [SEP] [CLS]",
        "\x00\n\ttab",
    ]
    at_work = [Encoder(tokens=TUNED_TOKENS)._tokenizer.encode(text).ids for text in texts]
    assert at_work == TunedEncoder().pieces(texts)


def test_an_encoder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot load the encoder in .*FileNotFoundError; install it again"):
        Encoder(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not one")
    with pytest.raises(ModelError, match="cannot load the encoder"):
        Encoder(tmp_path)
    (tmp_path / "model.safetensors").write_bytes((encoder_folder() / "model.safetensors").read_bytes())
    with pytest.raises(ModelError, match="cannot load the encoder"):
        Encoder(tmp_path)


def test_what_reads_texts_at_work_does_without_the_library_that_training_needs() -> None:
    code = "import sys; from detector.text.meaning import MeaningEncoder; MeaningEncoder().vectors(['a text']); "
    code += "assert 'transformers' not in sys.modules, 'four seconds of a start'; print('read')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "read\n", done.stderr


def test_the_logit_is_what_training_computes(second_stage: MiniLMSecondStage, folder: Path) -> None:
    arrays, _ = load_weights(folder / FILE)
    tuned = TunedEncoder()
    names = tuned.model.encoder.state_dict()
    tuned.model.encoder.load_state_dict(
        {name: torch.from_numpy(arrays[f"{TUNED_PREFIX}{name}"].copy()).float() for name in names}
    )
    with torch.no_grad():
        tuned.head.weight.copy_(torch.from_numpy(arrays["head.weight"].copy())[None])
    clean = [normalise(text) for text in [*TEXTS, "word " * 200]]
    assert max(map(len, tuned.pieces(clean))) == TUNED_TOKENS
    np.testing.assert_allclose(
        second_stage.logits(clean), tuned.score(tuned.pieces(clean), lambda what, share: None), atol=0.15
    )


def test_a_text_does_not_feel_its_neighbours(second_stage: MiniLMSecondStage) -> None:
    texts = [*TEXTS, " ".join(TEXTS), "word " * 200, "", *TEXTS[::-1]]
    alone = np.concatenate([second_stage._encoder.embed([text]) for text in texts])
    assert (second_stage._encoder.embed(texts) == alone).all()
    assert (second_stage._encoder.embed(texts * 8) == np.concatenate([alone] * 8)).all()  # enough for several threads


def test_a_head_made_for_another_encoder_is_refused(folder: Path, tmp_path: Path) -> None:
    for suffix in (".json", ".safetensors"):
        (tmp_path / f"{FILE}{suffix}").write_bytes((folder / f"{FILE}{suffix}").read_bytes())
    path = tmp_path / f"{FILE}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "encoder_sha256": "0" * 64}))
    with pytest.raises(ModelError, match="another encoder"):
        MiniLMSecondStage.load(tmp_path)


def test_layers_of_another_model_are_refused(folder: Path, tmp_path: Path) -> None:
    arrays, meta = load_weights(folder / FILE)
    kept = {name: value for name, value in arrays.items() if not name.startswith(f"{TUNED_PREFIX}layer.5")}
    save_weights(tmp_path / FILE, kept, {k: v for k, v in meta.items() if k not in {"sha256", "format"}})
    with pytest.raises(ModelError, match="train it again"):
        MiniLMSecondStage.load(tmp_path).score(TEXTS, LANGS, FIRST_STAGE)


def test_a_head_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="expert"):
        MiniLMSecondStage.load(tmp_path)


@pytest.mark.parametrize(
    ("avx512", "amx", "expected"),
    [(False, False, "float32"), (True, False, "bfloat16"), (False, True, "bfloat16")],
)
def test_numbers_are_those_that_the_processor_multiplies(avx512: bool, amx: bool, expected: str) -> None:
    processor = SimpleNamespace(_is_avx512_bf16_supported=lambda: avx512, _is_amx_tile_supported=lambda: amx)
    kinds = SimpleNamespace(cpu=processor, bfloat16="bfloat16", float32="float32")
    assert fastest_dtype(kinds) == expected


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_in_either_kind_of_numbers_neighbours_change_nothing(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "fastest_dtype", lambda _: getattr(torch, dtype))
    loaded = module._loaded.__wrapped__(encoder_folder())
    assert {value.dtype for value in loaded.weights.values()} == {getattr(torch, dtype)}
    monkeypatch.setattr(module, "_loaded", lambda path: loaded)
    encoder = Encoder(layers=(1,))
    texts = ["x", "no", "the bus was late", "the bus was late again and nobody said why it was", "what a day"]
    together = encoder.embed(texts)
    assert np.array_equal(together, np.concatenate([encoder.embed([text]) for text in texts]))
