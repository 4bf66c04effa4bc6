"""Normalised texts, their language, and their words as arrays of code points and hashes.

Data sets mask links and mentions differently (`@user`, `http`, `https://t.co/x`, `<URL>`), curl quotes or not, damage
emoji, escape HTML or JSON, and cut at 140 or 500 characters. `normalise` removes all of that, so that no model can
learn a platform's or a data set's marks; words, their case and their punctuation are left. `detect_language` and
`settle_language`, which also hears what was declared, work offline. `encode` gives many texts as one array: everything
computed from it is exact integer arithmetic per text, so that a text's features cannot depend, to the last bit, on the
texts beside it.
"""

from __future__ import annotations

import html
import re
import tempfile
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from detector.errors import UsageError
from detector.text.broken_words import mended

TEXT_CUT: Final = 500
"""Characters of a text that are read; the rest is not seen. Equal to what the observation log keeps, so that a text
says the same whether it is read from the stream or from the log."""

CUT_LENGTHS: Final = frozenset({139, 140, 279, 280})
"""Raw lengths at which platforms cut: a text this long that ends inside a word has lost the rest of that word."""

_QUOTES = dict.fromkeys(map(ord, "‘’‚‛`´ʼ′＇"), "'") | dict.fromkeys(map(ord, "“”„‟«»″＂"), '"')
_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−﹘﹣－"), "-")
_ODD = {ord("…"): "...", ord("•"): "-", ord("·"): "-"}

_KEPT_SYMBOLS: Final = frozenset("€£¥%$+<>=~|^")


class _Translate(dict[int, str]):
    """What a character becomes, worked out once per character: quotes and dashes straight, emoji and controls gone."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        category = unicodedata.category(char)
        if category == "Cf" or 0xFE00 <= code <= 0xFE0F:
            value = ""
        elif category in {"Zs", "Zl", "Zp", "Cc", "Cs", "Co", "Cn"}:
            value = " "
        elif category in {"So", "Sk", "Sm"}:
            value = char if char in _KEPT_SYMBOLS else " "
        else:
            value = char
        if code < 0x10000:  # bounded by the plane that texts are mostly written in
            self[code] = value
        return value


_table = _Translate(_QUOTES | _DASHES | _ODD)

_escape = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|[nrt](?![a-z]))")
_control = re.compile(r"[\x00-\x1f\x7f]+")
_url = re.compile(
    r"(?i)\(?(?:\bhttps?:\s?/{1,2}\s?\S*|\bwww\.\S+|\bpic\.twitter\.com\S*"
    r"|\b[a-z0-9][a-z0-9-]*(?:\.[a-z0-9-]+)*\.(?:com|org|net|co|ly|me|gov|edu|io|tv|info|example|be|gl)/\S*"
    r"|[<\[{]{1,2}\s?(?:url|link|http)s?\s?[>\]}]{1,2}|\bhttpurl\b|\bhttps?(?:/url)?\b(?![\w'-])…?)"
)
_markdown_link = re.compile(r"\[([^\]\n]{1,200})\]\([^)\s]{0,500}\)?")
_mention = re.compile(r"(?i)\{@[^{}\n]{1,60}@\}|\{\{\s?user(?:name)?\s?\}\}|<user(?:name)?>|@\s?anonymous\b|@\w+:?")
_retweet = re.compile(r"^(?:\W{0,3}\bRT\b[\s:]*)+")
_lost_emoji = re.compile(r"(?<!\S)(?:\?{2,}|\ufffd+)(?!\S)")
_before_mark = re.compile(r" +(?=[?!,;:](?:\s|$|[?!.]))| +(?=\.(?!\w))")
_long_run = re.compile(r"(\S)\1{3,}")
_trailing_cut = re.compile(r"\s*\S*…\s*$")
_last_word = re.compile(r"\s+\S+$")


_padding = re.compile("[\u200b\u2060\ufeff]+")


def unpadded(text: str) -> str:
    """A text that is longer than what is read, without characters that nobody sees: they shall not push words out."""
    return _padding.sub("", text) if len(text) > TEXT_CUT else text


def normalise(text: str) -> str:
    """The text as the models read it: at most `TEXT_CUT` characters, single spaces, no marks of where it came from.

    Case and punctuation stay. Empty when nothing is left.

    >>> normalise("RT @user: I&#39;m “he” 🎉 here… https://t.co/a1b2")
    'I\\'m "here'
    """
    text = unpadded(text)
    cut = len(text) > TEXT_CUT or len(text) in CUT_LENGTHS or len(text) == TEXT_CUT
    text = text[:TEXT_CUT]
    if "&" in text:
        text = html.unescape(html.unescape(text))[:TEXT_CUT]
    if "\\" in text:
        text = _escape.sub(_unescape, text).replace('\\"', '"').replace("\\'", "'")
    if cut and text and (text[-1].isalnum() or text[-1] in "/@#…"):
        text = _last_word.sub("", text)
    if "](" in text:
        text = _markdown_link.sub(r"\1", text)
    lowered = text.lower()
    if "/" in text or "http" in lowered or "url" in lowered or "www." in lowered or "link" in lowered:
        text = _url.sub(" ", text)
    if not text.isascii():
        text = _trailing_cut.sub("", text) if text.rstrip().endswith("…") else text
        text = unicodedata.normalize("NFKC", text.translate(_table)).translate(_table)
        text = _plain_latin(text)
    else:
        text = _control.sub(" ", text.replace("`", "'"))
    if "@" in text or "user" in lowered:
        text = _mention.sub(" ", text)
    if "RT" in text:
        text = _retweet.sub("", text)
    text = _lost_emoji.sub(" ", text) if "??" in text or "\ufffd" in text else text
    text = _long_run.sub(r"\1\1\1", text)
    text = " ".join(text.split())
    text = mended(_before_mark.sub("", text))
    text = text[:TEXT_CUT].strip(" -")
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip(" -")
    return text


_LOOKALIKES: Final = str.maketrans(
    "абеорсухіјѕһԁԛԝӏАВЕКМНОРСТУХІЈЅԌԜαονρτυχικΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
    "a6eopcyxijshdqwlABEKMHOPCTYXIJSGWaovptuxikABEZHIKMNOPTYX",
)
"""Cyrillic and Greek letters that look like Latin ones (Unicode's confusables, the common ones)."""

_LATIN_LEAD: Final = 1
"""Latin letters for each lookalike by which a text is taken for Latin: people mix scripts by the word, not the letter,
and in a text that is really Cyrillic or Greek most letters are no Latin ones."""

_lookalike = re.compile("[" + "".join(map(chr, _LOOKALIKES)) + "]")
_latin = re.compile("[A-Za-z]")
_no_lookalike = re.compile("(?![" + "".join(map(chr, _LOOKALIKES)) + "])[\u0370-\u03ff\u0400-\u052f]")


def _plain_latin(text: str) -> str:
    """The text with lookalikes of Latin letters made Latin, where it is Latin otherwise.

    It is too where every Cyrillic or Greek letter is a lookalike and some are Latin all the same: so a text becomes in
    which all that can be replaced is.
    """
    hidden = len(_lookalike.findall(text))
    if not hidden:
        return text
    latin = len(_latin.findall(text))
    if latin < _LATIN_LEAD * hidden and (not latin or _no_lookalike.search(text)):
        return text
    return text.translate(_LOOKALIKES)


def _unescape(match: re.Match[str]) -> str:
    digits = match.group(1) or match.group(2)
    if digits is None:
        return " "
    char = chr(int(digits, 16))
    return " " if unicodedata.category(char) in {"Cs", "Cc", "Co", "Cn"} else char


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
    "will been his were them because how could should have for are but my like get got know people out who one more "
    "now think want we can all our has had here than then only see time really good some why make need never even much "
    "still being into over too very back off going did does doing i'll i've isn't doesn't didn't can't won't we're "
    "you're they're he she its",
    "fr": "le les des est une pas dans pour avec qui c'est j'ai je il nous vous mais ça cette sont au aux du d'un plus "
    "fait être très ils elle quand comme faut tout j'suis t'as c'était qu'il n'est",
    "de": "der das und ich nicht ist ein eine zu den mit auf für sich auch noch dem wie haben wird sind oder aber wenn "
    "es er ihr mir mich dich du von bei nach bis nur doch kann man hat habe war im am zum zur einen einem einer mein "
    "meine dass weil schon immer jetzt hier",
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
    try:
        identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    except OSError as error:
        raise UsageError(
            f"languages are recognised with a file of some megabytes in {tempfile.gettempdir()!a}, which cannot be "
            f"written or read: {error.strerror or 'it is damaged'}; make room, or name another folder in the "
            "environment variable TMPDIR"
        ) from None
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


PLAUSIBLE: Final = 0.5
"""Share of the first language's probability from which another is as plausible, where the identifier is not sure. At
this share unsure English and Portuguese posts are read (a tenth of the latter were not) and of unsure posts in
languages that nothing reads one in five."""


class Detected(NamedTuple):
    """What a text alone says of its language.

    Args:
        sure: primary tag, "" when not sure.
        plausible: where not sure, the tags that are about as likely as the first, the likeliest first.
    """

    sure: str
    plausible: tuple[str, ...] = ()


def detected(text: str) -> Detected:
    """The language of a text, or those that it may well be in. Deterministic, offline."""
    clean = normalise(text)[:CHARACTERS]
    told = _by_telling_words(clean)
    if told:
        return Detected(told)
    if sum(map(str.isalpha, clean)) < MIN_LETTERS:
        return Detected("")
    ranked = [(normalise_language(str(tag)), float(share)) for tag, share in _identifier().rank(clean)]
    first, most = ranked[0]
    if most >= MIN_CONFIDENCE:
        return Detected(first)
    return Detected("", tuple(tag for tag, share in ranked if share >= PLAUSIBLE * most))


def detect_language(text: str) -> str:
    """The BCP 47 primary tag of the language `text` is most likely in; "" when not sure. Deterministic, offline."""
    return detected(text).sure


def settle_language(text: str, declared: str, readable: Collection[str]) -> str:
    """The language a text is read in: its own where that is sure, else a plausible one that can be read.

    What was declared chooses among plausible languages that can be read, and does nothing else. So whether a text is
    read at all never depends on it: a wrong tag silences no evidence and creates none.

    Args:
        text: as posted.
        declared: BCP 47 tag that came with it, "" for none.
        readable: primary tags of the languages that a model reads.

    Returns:
        A primary tag; "" where nothing plausible can be read.
    """
    sure, plausible = detected(text)
    if sure:
        return sure
    choices = [tag for tag in plausible if tag in readable]
    hint = normalise_language(declared)
    return hint if hint in choices else next(iter(choices), "")


def _by_telling_words(clean: str) -> str:
    """The language whose telling words lead clearly, "" where none does."""
    counts = dict.fromkeys(_TELLING_WORDS, 0)
    for word in _word.findall(clean.lower()):
        for language in _telling.get(word, ()):
            counts[language] += 1
    (second, _), (first, language) = sorted((count, language) for language, count in counts.items())[-2:]
    return language if first >= MIN_TELLING and first >= LEAD * second else ""


U64 = NDArray[np.uint64]

BASE: Final = np.uint64(0x9E3779B97F4A7C15)
"""Base of the polynomial hash modulo 2^64: odd, so that it has an inverse and a prefix hash can be shifted back."""

BASE_INVERSE: Final = np.uint64(pow(0x9E3779B97F4A7C15, -1, 2**64))
MIX: Final = np.uint64(0xD6E8FEB86659FD93)

PAD: Final = 8
"""Spaces after the last text, so that the longest n-gram window stays inside the array."""

PLANE: Final = 0x10000


class CharClass(IntEnum):
    """What a character is, as far as style and word boundaries care."""

    MARK = 0
    SPACE = 1
    LOWER = 2
    UPPER = 3
    DIGIT = 4
    LETTER = 5
    """A letter without case, or a mark that belongs to one."""
    IDEOGRAPH = 6
    """A character that is a word by itself: Chinese, Japanese kana, and other scripts without spaces."""


_BY_CATEGORY: Final = {"Ll": CharClass.LOWER, "Lu": CharClass.UPPER, "Lt": CharClass.UPPER, "Nd": CharClass.DIGIT}


def _classify(char: str) -> CharClass:
    category = unicodedata.category(char)
    if "\u2e80" <= char <= "\u9fff" or "\uf900" <= char <= "\ufaff":
        return CharClass.IDEOGRAPH if category[0] == "L" else CharClass.MARK
    if char.isspace():
        return CharClass.SPACE
    return _BY_CATEGORY.get(category, CharClass.LETTER if category[0] in "LM" else CharClass.MARK)


@lru_cache(maxsize=1)
def _tables() -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    """Class and folded code of every character of the first plane: lower case, digits all `0`."""
    chars = [chr(code) for code in range(PLANE)]
    classes = np.array([_classify(char) for char in chars], dtype=np.uint8)
    lower = [char.lower() for char in chars]
    folded = np.array([ord(low if len(low) == 1 else char) for char, low in zip(chars, lower, strict=True)], np.uint32)
    folded[classes == CharClass.DIGIT] = ord("0")
    return classes, folded


@lru_cache(maxsize=4)
def _powers(length: int) -> tuple[U64, U64]:
    """BASE^i and BASE^-i modulo 2^64 for i < length."""
    out = []
    for base in (BASE, BASE_INVERSE):
        steps = np.full(length, base, dtype=np.uint64)
        steps[0] = 1
        out.append(np.multiply.accumulate(steps))
    return out[0], out[1]


def mix(hashes: U64) -> U64:
    """Spread the entropy of polynomial hashes over all bits (two rounds of multiply and xor-shift)."""
    x = (hashes ^ (hashes >> np.uint64(32))) * MIX
    x = (x ^ (x >> np.uint64(32))) * MIX
    return x ^ (x >> np.uint64(29))


@dataclass(frozen=True, slots=True)
class Encoded:
    """Texts as arrays. Text i is characters `starts[i]` to `ends[i]`, one space before and after it included.

    `codes`, `folded`, `classes`: (chars,), as written, lower-cased with digits as `0`, and `CharClass`.
    `prefix`, `unshift`: (chars + 1,) prefix sums of the polynomial hash of `folded`, and BASE^-i.
    `word_starts`, `word_ends`, `word_owner`, `word_hash`: (words,) runs of letters and digits (an apostrophe between
    letters belongs to its word), the text they are in, and their mixed 64-bit hash.
    `word_counts`, `word_offsets`: (n,) words of each text, and where they begin.
    """

    size: int
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    codes: NDArray[np.uint32]
    folded: NDArray[np.uint32]
    classes: NDArray[np.uint8]
    prefix: U64
    unshift: U64
    word_starts: NDArray[np.int64]
    word_ends: NDArray[np.int64]
    word_owner: NDArray[np.int64]
    word_hash: U64
    word_counts: NDArray[np.int64]
    word_offsets: NDArray[np.int64]

    def total(self, values: NDArray[np.generic]) -> NDArray[np.int64]:
        """Sum of per-character integers (or booleans) over each text, shape (n,)."""
        if not self.size:
            return np.zeros(0, dtype=np.int64)
        kept = values[: int(self.ends[-1])]
        return np.add.reduceat(kept, self.starts, dtype=np.int64)

    def word_total(self, values: NDArray[np.generic]) -> NDArray[np.int64]:
        """Sum of per-word integers (or booleans) over each text, shape (n,)."""
        sums = np.zeros(len(values) + 1, dtype=np.int64)
        np.cumsum(values, out=sums[1:])
        total: NDArray[np.int64] = sums[self.word_offsets + self.word_counts] - sums[self.word_offsets]
        return total


def encode(texts: Sequence[str]) -> Encoded:
    """Encode normalised texts (`normalise.normalise`), in order."""
    class_of, fold_of = _tables()
    blob = "".join([f" {text} " for text in texts]) + " " * PAD
    codes = np.frombuffer(blob.encode("utf-32-le", errors="replace"), dtype="<u4").astype(np.uint32)
    lengths = np.fromiter((len(text) + 2 for text in texts), dtype=np.int64, count=len(texts))
    ends = np.cumsum(lengths)
    starts = ends - lengths
    low = np.minimum(codes, PLANE - 1)
    beyond = codes >= PLANE
    classes = class_of[low]
    folded = fold_of[low]
    if beyond.any():
        classes[beyond] = CharClass.LETTER
        folded[beyond] = codes[beyond]

    power, unshift = _powers(1 << (len(codes) + 1).bit_length())
    prefix = np.zeros(len(codes) + 1, dtype=np.uint64)
    np.cumsum((folded + np.uint32(1)).astype(np.uint64) * power[: len(codes)], out=prefix[1:])

    is_word = classes >= CharClass.LOWER
    joint = codes == ord("'")
    joint[1:-1] &= is_word[:-2] & is_word[2:]
    is_word |= joint
    alone = classes == CharClass.IDEOGRAPH
    begins = is_word.copy()
    begins[1:] &= ~is_word[:-1] | alone[1:] | alone[:-1]
    finishes = is_word.copy()
    finishes[:-1] &= ~is_word[1:] | alone[1:] | alone[:-1]
    word_starts = np.flatnonzero(begins)
    word_ends = np.flatnonzero(finishes) + 1
    word_owner = np.searchsorted(ends, word_starts, side="right")
    word_hash = mix((prefix[word_ends] - prefix[word_starts]) * unshift[word_starts])
    word_counts = np.bincount(word_owner, minlength=len(texts))
    return Encoded(
        size=len(texts),
        starts=starts,
        ends=ends,
        codes=codes,
        folded=folded,
        classes=classes,
        prefix=prefix,
        unshift=unshift,
        word_starts=word_starts,
        word_ends=word_ends,
        word_owner=word_owner,
        word_hash=word_hash,
        word_counts=word_counts,
        word_offsets=np.cumsum(word_counts) - word_counts,
    )


def hash_words(words: Sequence[str]) -> U64:
    """The sorted `word_hash` of each of `words` (lower case, single words), for membership tests."""
    return np.unique(encode(words).word_hash)


def among(hashes: U64, known: U64) -> NDArray[np.bool_]:
    """Which of `hashes` are in the sorted array `known`."""
    place = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    found: NDArray[np.bool_] = known[place] == hashes
    return found
