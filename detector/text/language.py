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

MIN_CONFIDENCE: Final = 0.25
"""Probability (temperature-scaled by the identifier) below which the answer is "" (not sure)."""

MIN_TELLING: Final = 3
"""Telling words of one language that settle the matter without the identifier, ten times cheaper."""

LEAD: Final = 3
"""How many times as many telling words the first language needs as the second."""

CANDIDATES: Final = tuple(
    """
    en fr de es it pt nl pl ru uk cs sk sl hr sr bs bg mk ro hu fi et lv lt sv da no nb nn is el tr az kk uz fa ar he
    ur hi bn pa gu mr ne ta te kn ml si th km lo my vi id ms jv tl zh ja ko sw so ha yo ig zu xh am af sq hy ka mn cy
    ga ca gl eu ht pcm arz
    """.split()  # noqa: SIM905
)
"""Languages that are considered: those with much use in social media, and African languages written beside English.
The rarest of the identifier's languages cost time and draw ill-spelled posts to themselves."""

_TELLING_WORDS: Final = {
    "en": "the and of that you it's i'm don't this with not they what your just would there their when from about "
    "will been his were them because how could should have",
    "fr": "le les des est une pas dans pour avec qui c'est j'ai je il nous vous mais ça cette sont au aux du d'un plus "
    "fait être très ils elle quand comme faut tout j'suis t'as c'était qu'il n'est",
    "de": "der das und ich nicht ist ein eine zu den mit auf für sich auch noch dem wie haben wird sind oder aber wenn",
    "es": "el los las una y es por del pero muy esta esto está como cuando porque hay yo qué más también sin todo",
    "it": "il che di è per gli della sono anche questo questa più perché ma ho mi ha della nel con cosa quando",
    "pt": "que não uma com os um você isso mais muito está ele ela mas pra também porque eu meu minha são foi tem",
}
_telling = {
    word: tuple(language for language, words in _TELLING_WORDS.items() if word in words.split())
    for words in _TELLING_WORDS.values()
    for word in words.split()
}

_tag = re.compile(r"^[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8})*$|^[A-Za-z]{4,8}(?:[-_][A-Za-z0-9]{1,8})*$")
_word = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")


@lru_cache(maxsize=1)
def _identifier() -> Any:
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages([language for language in CANDIDATES if language in set(identifier.labels)])
    return identifier


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
    told = _by_telling_words(clean)
    if told:
        return told
    if sum(map(str.isalpha, clean)) < MIN_LETTERS:
        return ""
    language, confidence = _identifier().classify(clean)
    return normalise_language(str(language)) if confidence >= MIN_CONFIDENCE else ""


def _by_telling_words(clean: str) -> str:
    """The language whose telling words lead clearly, "" where none does."""
    counts = dict.fromkeys(_TELLING_WORDS, 0)
    for word in _word.findall(clean.lower()):
        for language in _telling.get(word, ()):
            counts[language] += 1
    (second, _), (first, language) = sorted((count, language) for language, count in counts.items())[-2:]
    return language if first >= MIN_TELLING and first >= LEAD * second else ""
