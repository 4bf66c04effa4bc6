"""A local model writes reproducibly, and one that is not there is refused with what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from detector.errors import UsageError
from simulation.texts.local import LocalModel
from simulation.texts.personas import Personas
from simulation.texts.requests import Request


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of two small layers with a byte vocabulary, saved as transformers saves one."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({letter: i for i, letter in enumerate(["<end>", *letters])}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel()
    core.decoder = decoders.ByteLevel()
    tokenizer: Any = PreTrainedTokenizerFast
    tokenizer(tokenizer_object=core, eos_token="<end>").save_pretrained(folder)
    shape = LlamaConfig(
        vocab_size=len(letters) + 1, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=1024, eos_token_id=0, bos_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(shape).save_pretrained(folder)
    return folder


def test_a_folder_of_transformers_writes_and_writes_the_same_again(tiny: Path) -> None:
    asked = [Request(i, i, "post") for i in range(3)]
    texts = [LocalModel(str(tiny), Personas.shipped(), seed, max_tokens=12).write(asked) for seed in (1, 1, 2)]
    assert len(texts[0]) == 3
    assert texts[0] == texts[1] != texts[2]


def test_models_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no model"):
        LocalModel(str(tmp_path / "none"), Personas.shipped(), 0)
    with pytest.raises(UsageError, match="cannot be loaded"):
        LocalModel(str(tmp_path), Personas.shipped(), 0)
