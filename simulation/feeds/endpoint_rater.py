"""A language model as a rater: any endpoint that speaks OpenAI's chat protocol, asked by a zero-shot prompt.

The prompt (`rating_prompt.toml`) has the codebook of `feeds.values` and asks which criteria a post meets; ratings
follow by the same mapping as everybody's. An answer that cannot be read is a missing rating.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np

from simulation.content.chat_client import ChatClient
from simulation.feeds.agreement import MISSING, Ratings
from simulation.feeds.values import KEYS, RATING_OF, VALUES, RatedPost

MOST_TOKENS = 300
"""Of an answer: eight short lists take about 120."""


class EndpointRater:
    """Asks a model about each post.

    Args:
        client: of the endpoint.
        name: in tables, such as the model's.
    """

    def __init__(self, client: ChatClient, name: str) -> None:
        self.name, self._client = name, client
        prompt = tomllib.loads(files("simulation").joinpath("feeds/rating_prompt.toml").read_text(encoding="utf-8"))
        self._system = prompt["system"].strip().replace("{codebook}", codebook())
        self._user = prompt["user"].strip()

    def rate(self, posts: Sequence[RatedPost]) -> Ratings:
        """Ratings (posts, 8), `MISSING` where the answer cannot be read.

        Raises:
            SwarmlightError: the endpoint cannot be reached, refuses, or answers with something else.
        """
        requests = [
            {
                "messages": [
                    {"role": "system", "content": self._system},
                    {"role": "user", "content": self._user.replace("{post}", post.text)},
                ],
                "max_tokens": MOST_TOKENS,
                "temperature": 0.0,
            }
            for post in posts
        ]
        return np.array([read_answer(answer) for answer in self._client.answers(requests)], np.int8).reshape(-1, 8)


def codebook() -> str:
    """The values and their criteria as a prompt has them."""
    blocks = []
    for value in VALUES:
        criteria = "\n".join(f"  {number}. {text}" for number, text in enumerate(value.criteria, 1))
        blocks.append(f"{value.key} ({value.name})\n{criteria}")
    return "\n".join(blocks)


def read_answer(answer: str) -> list[int]:
    """Eight ratings from a model's answer; `MISSING` for a value that it leaves out or gets wrong."""
    begin, end = answer.find("{"), answer.rfind("}")
    try:
        found: Any = json.loads(answer[begin : end + 1])
    except ValueError:
        return [MISSING] * len(KEYS)
    return [_rating(found.get(key)) for key in KEYS] if isinstance(found, dict) else [MISSING] * len(KEYS)


def _rating(met: Any) -> int:
    good = isinstance(met, list) and all(type(number) is int and 1 <= number <= 3 for number in met)
    return RATING_OF[len(set(met))] if good else MISSING
