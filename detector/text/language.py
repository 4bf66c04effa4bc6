"""Which language a text is in, offline, and language tags brought to their primary subtag."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from detector.text.normalise import normalise

CHARACTERS: Final = 160
"""Characters of the normalised text that are looked at: the identifier's time grows with them, its answer hardly."""

MIN_LETTERS: Final = 8
"""Below this many letters no answer is given: `haha`, `ok` and names are every language's."""

MIN_CONFIDENCE: Final = 0.35
"""Probability (temperature-scaled by the identifier) below which the answer is "" (not sure)."""

MIN_ENGLISH: Final = 3
"""Unmistakably English words that settle the matter without the identifier, ten times cheaper."""

_ENGLISH_WORDS: Final = """
the and of that you it's i'm don't this with not they what your just would there their when from about will been his
were them because how could should
"""
_ENGLISH: Final = frozenset(_ENGLISH_WORDS.split())

_tag = re.compile(r"^[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8})*$|^[A-Za-z]{4,8}(?:[-_][A-Za-z0-9]{1,8})*$")
_word = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")


@lru_cache(maxsize=1)
def _identifier() -> Any:
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@lru_cache(maxsize=4096)
def normalise_language(tag: str) -> str:
    """The primary subtag of a BCP 47 tag in lower case (`pt-BR` -> `pt`); "" where `tag` is none.

    `und`, `mul`, `zxx` and Twitter's `qme`, `qht` and kin (the private range `qaa`-`qtz`) say nothing: "".
    """
    if not _tag.match(tag):
        return ""
    primary = re.split("[-_]", tag, maxsplit=1)[0].lower()
    if primary in {"und", "mul", "zxx", "mis", "art"} or ("qaa" <= primary <= "qtz" and len(primary) == 3):
        return ""
    return _ALIASES.get(primary, primary)


_ALIASES: Final = {
    "eng": "en", "fra": "fr", "fre": "fr", "deu": "de", "ger": "de", "spa": "es", "ita": "it", "por": "pt",
    "iw": "he", "in": "id", "ji": "yi", "jw": "jv", "mo": "ro", "arz": "ar", "ary": "ar",
}  # fmt: skip


def detect_language(text: str) -> str:
    """The BCP 47 primary tag of the language `text` is most likely in; "" when not sure. Deterministic, offline."""
    clean = normalise(text)[:CHARACTERS]
    if clean.isascii():
        words = _word.findall(clean.lower())
        if sum(word in _ENGLISH for word in words) >= max(MIN_ENGLISH, len(words) // 5):
            return "en"
    if sum(map(str.isalpha, clean)) < MIN_LETTERS:
        return ""
    language, confidence = _identifier().classify(clean)
    return normalise_language(str(language)) if confidence >= MIN_CONFIDENCE else ""
