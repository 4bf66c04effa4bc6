"""Who machine accounts pretend to be, and what a model is asked: from `personas.toml`, which ships.

A persona is a function of the seed and the account, so that an account keeps its own.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

import msgspec

from detector.errors import ConfigError
from simulation.arrays import stream
from simulation.texts.requests import Request


class Personas(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Templates, and the lists that personas are put together from."""

    system: str
    brief: str
    post: str
    topic: str
    reply: str
    quote: str
    paraphrase: str
    improve: str
    ages: list[str]
    work: list[str]
    place: list[str]
    likes: list[str]
    style: list[str]
    everyday: list[str]
    briefs: list[str]

    @staticmethod
    @cache
    def shipped() -> Personas:
        """Those that come with the project."""
        text = files("simulation.texts").joinpath("personas.toml").read_text(encoding="utf-8")
        return msgspec.toml.decode(text, type=Personas)

    @staticmethod
    def load(path: Path) -> Personas:
        """Those of a file of the same form.

        Raises:
            ConfigError: it cannot be read or lacks something.
        """
        try:
            return msgspec.toml.decode(path.read_text(encoding="utf-8"), type=Personas)
        except OSError as error:
            raise ConfigError(f"{path}: the personas cannot be read: {error.strerror}") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: these are no personas: {error}") from None

    def about(self, seed: int, campaign: str) -> str:
        """What a campaign is for."""
        return self.briefs[int(stream(seed, "brief", campaign).integers(len(self.briefs)))]

    def system_prompt(self, seed: int, request: Request) -> str:
        """Who the account of a request is, and what it cares about."""
        rng = stream(seed, "persona", str(request.account))
        age, work, place, like, other, style = (
            options[int(rng.integers(len(options)))]
            for options in (self.ages, self.work, self.place, self.likes, self.likes, self.style)
        )
        who = f"{work}, {age}, living in {place}; you like {like}" + (f" and {other}" if other != like else "")
        about = self.brief.format(about=request.about) if request.about else ""
        return self.system.format(who=who, style=style, about=about).strip()

    def prompt(self, seed: int, request: Request) -> str:
        """What the account is asked to write."""
        if request.purpose == "post" and not request.about:
            options = self.everyday
            number = int(stream(seed, "topic", str(request.number)).integers(len(options)))
            return self.topic.format(about=options[number])
        if request.purpose in ("reply", "quote") and not request.before:
            return self.post
        template: str = getattr(self, request.purpose)
        return template.format(before=request.before.replace('"', "'"))
