"""The interface of sources of texts: what they are asked for (`Request`), what they give (`Text`), their protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

Purpose: TypeAlias = Literal["post", "reply", "quote", "paraphrase", "improve"]


@dataclass(frozen=True)
class Request:
    """One text that is wanted.

    Args:
        account: row of who writes.
        number: of the event; a source that draws seeds with it.
        purpose: what the text is for.
        about: the campaign's brief or topic, "" for none.
        before: the text that is replied to, quoted, said again or improved, "" where there is none.
    """

    account: int
    number: int
    purpose: Purpose
    about: str = ""
    before: str = ""


@dataclass(frozen=True)
class Text:
    """A text and its language (BCP 47), "" where that is not known."""

    words: str
    lang: str = ""


class TextSource(Protocol):
    """Anything that writes. `speaks`: it can be asked to reply, paraphrase or improve; a corpus only has texts."""

    speaks: bool

    def write(self, requests: Sequence[Request]) -> list[Text | None]:
        """A text for each request, in order; None where there is none to be had."""
