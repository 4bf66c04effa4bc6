"""Fine-tunes the packaged sentence encoder to tell machine-written texts from people's.

The word vectors stay as they are in the package, so that what ships is the layers above them. A text's score is a
linear function of the mean of its last hidden states.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.text.encoder import DIM, TUNED_PREFIX, TUNED_TOKENS, encoder_folder, fastest_dtype, load_encoder
from training.text import ProgressCallback

Floats = NDArray[np.float64]

BUCKET: Final = 64
"""Batches among which texts are sorted by length before they are cut: little padding, and still shuffled."""


@dataclass(frozen=True, slots=True)
class FineTuning:
    """How the encoder is tuned; no value was searched for.

    Args:
        epochs: passes over the texts.
        batch: texts of one step.
        rate: largest learning rate, of a one-cycle schedule (Smith and Topin 2018).
        smoothing: of the labels.
        decay: weight decay (AdamW).
        disturbed: share of the texts that are disturbed (`training.disturb`).
        warm_up: share of the steps in which the rate rises.
    """

    epochs: int = 1
    batch: int = 32
    rate: float = 6e-5
    smoothing: float = 0.04
    decay: float = 0.01
    disturbed: float = 0.15
    warm_up: float = 0.1


class TunedEncoder:
    """The encoder with a linear output, for training and scoring in batches.

    Args:
        device: of torch, "cpu" or "cuda".

    Raises:
        ModelError: the encoder cannot be loaded.
    """

    def __init__(self, device: str = "cpu", seed: int = 0) -> None:
        import torch

        torch.manual_seed(seed)
        self.tokenizer, self.model = load_encoder(encoder_folder(), torch.float32)
        for weight in self.model.embeddings.parameters():
            weight.requires_grad_(False)
        self.head: Any = torch.nn.Linear(DIM, 1)
        torch.nn.init.zeros_(self.head.weight)
        torch.nn.init.zeros_(self.head.bias)
        self.model.to(device)
        self.head.to(device)
        self._torch = torch
        self._device = device

    def pieces(self, texts: Sequence[str]) -> list[list[int]]:
        """Word pieces of normalised texts, at most `TUNED_TOKENS` of each."""
        return [list(ids) for ids in self.tokenizer(list(texts), truncation=True, max_length=TUNED_TOKENS)["input_ids"]]

    def fit(
        self,
        pieces: Sequence[Sequence[int]],
        label: NDArray[np.int64],
        weight: Floats,
        settings: FineTuning,
        seed: int,
        say: ProgressCallback,
    ) -> None:
        """Tune the layers and the output.

        Args:
            pieces: of n texts.
            label: (n,) 1 = machine.
            weight: (n,) how much each counts, mean about 1.
            settings: of the training.
            seed: of the order.
            say: told of progress.
        """
        torch = self._torch
        weights = [weight for weight in self.model.parameters() if weight.requires_grad] + list(self.head.parameters())
        optimiser = torch.optim.AdamW(weights, lr=settings.rate, weight_decay=settings.decay)
        steps = settings.epochs * math.ceil(len(pieces) / settings.batch)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, max_lr=settings.rate, total_steps=steps + 1, pct_start=settings.warm_up
        )
        target = label * (1 - settings.smoothing) + settings.smoothing / 2
        self.model.train()
        step = 0
        rng = np.random.default_rng(seed)
        for _ in range(settings.epochs):
            for rows in _batches([len(each) for each in pieces], settings.batch, rng):
                if step % 20 == 0:
                    say("fine-tuning the encoder", step / steps)
                score = self._score([pieces[row] for row in rows])
                loss = torch.nn.functional.binary_cross_entropy_with_logits(
                    score,
                    torch.tensor(target[rows], dtype=torch.float32, device=self._device),
                    weight=torch.tensor(weight[rows], dtype=torch.float32, device=self._device),
                )
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(weights, 1.0)
                optimiser.step()
                schedule.step()
                step += 1

    def _score(self, pieces: Sequence[Sequence[int]]) -> Any:
        torch = self._torch
        longest = max(map(len, pieces))
        ids = torch.zeros(len(pieces), longest, dtype=torch.long)
        mask = torch.zeros(len(pieces), longest, dtype=torch.long)
        for row, each in enumerate(pieces):
            ids[row, : len(each)] = torch.tensor(each)
            mask[row, : len(each)] = 1
        ids, mask = ids.to(self._device), mask.to(self._device)
        fast = self._device != "cpu" or fastest_dtype(torch) is torch.bfloat16
        with torch.autocast(self._device, dtype=torch.bfloat16, enabled=fast):
            states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        held = mask[:, :, None].float()
        mean = (states.float() * held).sum(1) / held.sum(1)
        return self.head(mean)[:, 0]

    def score(self, pieces: Sequence[Sequence[int]], say: ProgressCallback, batch: int = 64) -> Floats:
        """Logits of n texts, (n,).

        Args:
            pieces: of n texts.
            say: told of progress.
            batch: texts at once.
        """
        self.model.eval()
        out = np.zeros(len(pieces))
        order = np.argsort([len(each) for each in pieces], kind="stable")
        with self._torch.inference_mode():
            for begin in range(0, len(order), batch):
                say("scoring with the tuned encoder", begin / len(order))
                rows = order[begin : begin + batch]
                out[rows] = self._score([pieces[row] for row in rows]).float().cpu().numpy()
        return out

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Layers in 16 bits and the output, by name."""
        torch = self._torch
        layers = {
            name: value.detach().to(torch.float16).cpu().numpy()
            for name, value in self.model.encoder.state_dict().items()
        }
        return {
            **{f"{TUNED_PREFIX}{name}": value for name, value in layers.items()},
            "head.weight": self.head.weight.detach().float().cpu().numpy()[0],
            "head.bias": self.head.bias.detach().float().cpu().numpy(),
        }


def _batches(lengths: Sequence[int], size: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Rows of each batch, texts of like length together, in random order."""
    order = rng.permutation(len(lengths))
    batches: list[NDArray[np.int64]] = []
    length = np.asarray(lengths)
    for begin in range(0, len(order), size * BUCKET):
        part = order[begin : begin + size * BUCKET]
        part = part[np.argsort(length[part], kind="stable")]
        batches += [part[start : start + size] for start in range(0, len(part), size)]
    for place in rng.permutation(len(batches)):
        yield batches[place]
