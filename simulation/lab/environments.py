"""The names by which `gymnasium.make` knows the policy lab's environments, once this module is imported.

`gymnasium.make("simulation.lab.environments:swarmlight/OutragePlatform-v0")` imports it by itself.
"""

from __future__ import annotations

from typing import Final

from gymnasium.envs.registration import register

OUTRAGE_PLATFORM: Final = "swarmlight/OutragePlatform-v0"

EPISODE_STEPS: Final = 10_000
"""Steps of an episode of Rowe's experiment."""

register(OUTRAGE_PLATFORM, "simulation.lab.outrage_platform:OutragePlatform", max_episode_steps=EPISODE_STEPS)
