"""Fields of records that strangers made: any of them may be missing, or of any type.

What is not of the type that was asked for counts as absent; what a post event cannot be without is refused by name.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any, Final

from detector.errors import EventError
from detector.times import AT_MAX

_TAG: Final = re.compile(r"<[^<>]*>")
_ATTRIBUTE: Final = re.compile(r"""\b(href|class)\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)

HTML_CUT: Final = 1 << 20
"""Characters of HTML that are read: a post of the longest text that is kept has far fewer."""

EDITED_MS: Final = 1
"""By how much an edited post is later here than the same one before: enough to come after it, and no timing."""

LANGUAGES: Final = {
    "afrikaans": "af", "albanian": "sq", "arabic": "ar", "armenian": "hy", "azerbaijani": "az", "basque": "eu",
    "belarusian": "be", "bengali": "bn", "bulgarian": "bg", "catalan": "ca", "chinese": "zh", "croatian": "hr",
    "czech": "cs", "danish": "da", "dutch": "nl", "english": "en", "estonian": "et", "farsi": "fa",
    "farsi (persian)": "fa", "filipino": "tl", "finnish": "fi", "french": "fr", "georgian": "ka", "german": "de",
    "greek": "el", "gujarati": "gu", "hebrew": "he", "hindi": "hi", "hungarian": "hu", "icelandic": "is",
    "indonesian": "id", "irish": "ga", "italian": "it", "japanese": "ja", "kannada": "kn", "kazakh": "kk",
    "korean": "ko", "kurdish": "ku", "latvian": "lv", "lithuanian": "lt", "macedonian": "mk", "malay": "ms",
    "malayalam": "ml", "marathi": "mr", "nepali": "ne", "norwegian": "no", "pashto": "ps", "persian": "fa",
    "polish": "pl", "portuguese": "pt", "punjabi": "pa", "romanian": "ro", "russian": "ru", "serbian": "sr",
    "simplified chinese": "zh", "slovak": "sk", "slovenian": "sl", "somali": "so", "spanish": "es", "swahili": "sw",
    "swedish": "sv", "tagalog": "tl", "tagalog (filipino)": "tl", "tamil": "ta", "telugu": "te", "thai": "th",
    "traditional chinese": "zh", "turkish": "tr", "ukrainian": "uk", "urdu": "ur", "uzbek": "uz", "vietnamese": "vi",
    "welsh": "cy", "yiddish": "yi",
}  # fmt: skip
"""Tags of languages by their English names, as tables of research write them."""


def dig(value: Any, *path: str) -> Any:
    """What lies in objects inside each other under the keys of `path`; None where one of them is missing."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def text(value: Any) -> str:
    """A string; "" for anything else."""
    return value if isinstance(value, str) else ""


def name(value: Any) -> str:
    """An id, which may be written as a string or as a whole number; "" for anything else."""
    if isinstance(value, str):
        return value.strip()
    return str(value) if type(value) is int and value >= 0 else ""


def needed(value: Any, field: str) -> str:
    """An id that an event cannot be without.

    Raises:
        EventError: there is none.
    """
    found = name(value)
    if not found:
        raise EventError(field, "is missing" if value is None else "is empty, or no string or whole number")
    return found


def timed(at: int | None, field: str) -> int:
    """A time that an event cannot be without.

    Raises:
        EventError: there is none.
    """
    if at is None:
        raise EventError(field, "is missing, or no time as this format writes them")
    return at


def snapshot_at(at: int, *, edited: bool) -> int:
    """The time of a post that was read at some moment after it was written, ms.

    The same post, read before and after an edit, is two records of one id. The edited one has to come after the other
    in whatever file and order they are read, and yet tells when the post was written.

    Args:
        at: when it was written, ms.
        edited: whether it was edited since.
    """
    return min(at + EDITED_MS, AT_MAX) if edited else at


def whole(value: Any) -> int | None:
    """A whole number; None for anything else."""
    return value if type(value) is int and abs(value) < 2**63 else None


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """The objects in a list; none of anything else."""
    if isinstance(value, list):
        yield from (each for each in value if isinstance(each, dict))


def strings(value: Any) -> list[str]:
    """The strings in a list that are not empty; none of anything else."""
    return [each for each in value if isinstance(each, str) and each] if isinstance(value, list) else []


def language(value: Any) -> str:
    """A language tag, of a tag or of a language's English name."""
    said = text(value).strip()
    return LANGUAGES.get(said.lower(), said if len(said) <= 35 else "")


def present(**fields: Any) -> dict[str, Any] | None:
    """Those of the fields that are there, as one object; None where none is."""
    found = {key: value for key, value in fields.items() if value is not None and value != ""}
    return found or None


def from_html(markup: str) -> tuple[str, list[str]]:
    """The text of a post in HTML, and its links in order.

    Lines and paragraphs become line feeds. Links are read from `href`, as what is shown of them may be cut; one stands
    in the text as a whole. Anchors of the classes `mention` and `hashtag` are no links.

    Args:
        markup: HTML, of which `HTML_CUT` characters are read.
    """
    markup = markup[:HTML_CUT]
    out: list[str] = []
    links: list[str] = []
    place, link = 0, None
    for match in _TAG.finditer(markup):
        if link is None:
            out.append(markup[place : match.start()])
        place = match.end()
        tag = match.group()[1:-1].strip().lower()
        if tag.startswith("a ") and link is None:
            href, classes = _anchor(match.group())
            if href.startswith(("http://", "https://")) and not classes & {"mention", "hashtag"}:
                links.append(href)
                link = href
        elif tag == "/a" and link is not None:
            out.append(link.replace("&", "&amp;"))
            link = None
        elif link is None and (tag.startswith("br") or tag == "/p"):
            out.append("\n" if tag.startswith("br") else "\n\n")
    if link is None:
        out.append(markup[place:])
    return html.unescape("".join(out)).strip(), links


def _anchor(tag: str) -> tuple[str, set[str]]:
    found = {key.lower(): html.unescape(double or single) for key, double, single in _ATTRIBUTE.findall(tag)}
    return found.get("href", "").strip(), set(found.get("class", "").split())
