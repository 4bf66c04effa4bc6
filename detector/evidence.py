"""Names, order and unit of the evidence components of an account.

Every component is a log-likelihood ratio (LLR) in nats: how much likelier the observation is for an LLM-driven account
than for a person. 0.0 is no evidence; a component that abstains is 0.0 and says why.
"""

from __future__ import annotations

from typing import Final, Literal

Component = Literal["text", "behaviour", "coordination", "graph"]

COMPONENTS: Final[tuple[Component, ...]] = ("text", "behaviour", "coordination", "graph")

MILLINAT: Final = 1000
"""Scores enter the log in whole thousandths of a nat, so that a replay cannot differ by rounding."""
