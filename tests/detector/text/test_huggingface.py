"""Any Hugging Face model as the second stage, on tiny models made here with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.errors import ModelError
from detector.models import load_second_stage
from detector.text.huggingface import KIND, HuggingFaceClassifier, RawScorer
from detector.text.second_stage import SecondStageModel
from detector.weights_io import save_weights
from tests.detector.text import toy

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "cat", "sat", "on", "the", "mat", "today", "again"]
TEXTS = ["the cat sat on the mat", "a mat again today a cat", "the", "sat on the mat again again again"]


def _tokenizer(folder: Path) -> None:
    from transformers import BertTokenizer

    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(str(folder))


def tiny_classifier(folder: Path) -> str:
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        initializer_range=1.0,
    )
    BertForSequenceClassification(config).save_pretrained(str(folder))
    _tokenizer(folder)
    return str(folder)


def tiny_causal(folder: Path) -> str:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(3)
    config = GPT2Config(vocab_size=len(WORDS), n_embd=16, n_layer=1, n_head=2, n_positions=32)
    GPT2LMHeadModel(config).save_pretrained(str(folder))
    _tokenizer(folder)
    return str(folder)


def _calibrator(path: Path, model: str) -> Path:
    calibrator = toy.calibrator()
    arrays: dict[str, Any] = {"mix": np.array([0.1, 0.5, 0.0], dtype=np.float32), **calibrator.arrays()}
    meta = {
        "name": "tiny",
        "version": "1",
        "kind": KIND,
        "model": model,
        "machine_label": -1,
        "languages": dict(calibrator.groups),
    }
    save_weights(path, arrays, meta)
    return path


@pytest.mark.parametrize("make", [tiny_classifier, tiny_causal])
def test_a_named_model_scores_each_text_by_itself(tmp_path: Path, make: Any) -> None:
    model = make(tmp_path)
    _calibrator(tmp_path / "expert", model)
    second_stage = load_second_stage(tmp_path)
    assert isinstance(second_stage, HuggingFaceClassifier)
    assert isinstance(second_stage, SecondStageModel)
    first_stage = np.array([500, -500, 700, 0], dtype=np.int16)
    langs = ["en", "en", "en", "sw"]
    together = second_stage.score(TEXTS, langs, first_stage)
    alone = [
        second_stage.score([t], [g], first_stage[i : i + 1])[0]
        for i, (t, g) in enumerate(zip(TEXTS, langs, strict=True))
    ]
    assert together.tolist() == alone
    assert together[2:].tolist() == [700, 0]  # too short, and a language without calibration
    assert len(set(together[:2].tolist())) == 2


def test_the_log_odds_of_two_outputs_are_opposite(tmp_path: Path) -> None:
    model = tiny_classifier(tmp_path)
    first, last = RawScorer(model, machine_label=0), RawScorer(model)
    assert first.score(TEXTS[0]) == pytest.approx(-last.score(TEXTS[0]), abs=1e-6)
    assert abs(last.score(TEXTS[0])) > 1e-3


def test_atiny_causal_model_finds_its_own_words_likelier(tmp_path: Path) -> None:
    import torch
    from transformers import GPT2LMHeadModel

    model = tiny_causal(tmp_path)
    lm: Any = GPT2LMHeadModel.from_pretrained(model)
    with torch.inference_mode():
        # the model's likeliest continuation, and one of words it finds unlikely
        ids = [2]
        odd = [2]
        for _ in range(12):
            ids.append(int(lm(torch.tensor([ids])).logits[0, -1, 4:].argmax()) + 4)
            odd.append(int(lm(torch.tensor([odd])).logits[0, -1, 4:].argmin()) + 4)
    scorer = RawScorer(model)
    assert scorer.causal
    own, other = (scorer.score(" ".join(WORDS[i] for i in seq[1:])) for seq in (ids, odd))
    assert own > other


def test_a_calibrator_of_another_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="another model"):
        HuggingFaceClassifier("some/model", _calibrator(tmp_path / "calibrator", "other/model"))


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    name = str(tmp_path / "absent")
    with pytest.raises(ModelError, match="absent"):
        HuggingFaceClassifier(name, _calibrator(tmp_path / "calibrator", name))


def test_a_second_stage_of_unknown_kind_is_refused_and_none_is_none(tmp_path: Path) -> None:
    assert load_second_stage(tmp_path) is None
    save_weights(tmp_path / "expert", {}, {"name": "x", "version": "1", "kind": "oracle"})
    with pytest.raises(ModelError, match="oracle"):
        load_second_stage(tmp_path)
