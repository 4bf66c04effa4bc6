"""Style of a text in 24 bounded numbers: case, length, punctuation, and habits of small words.

They are computed from the normalised text, so links, mentions and emoji do not enter. Lengths and case are among them
for the account model, which sees how they vary; the text model does not use them (`FOR_TEXT`).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from detector.text.encode import CharClass, Encoded, among, hash_words
from detector.text.reading import STYLE_DIM

STYLE_NAMES: Final = (
    "log_words",
    "word_length",
    "word_length_spread",
    "upper_letters",
    "capitalised_words",
    "shouted_words",
    "starts_upper",
    "ends_with_stop",
    "commas",
    "full_stops",
    "exclamations",
    "questions",
    "apostrophes",
    "dashes_colons",
    "dot_runs",
    "quotes_brackets",
    "digits",
    "hashtags",
    "small_words",
    "first_person",
    "second_person",
    "distinct_words",
    "chat_words",
    "log_sentence_words",
)

NOT_FOR_TEXT: Final = frozenset(
    {
        "log_words",
        "log_sentence_words",
        "upper_letters",
        "capitalised_words",
        "shouted_words",
        "starts_upper",
        "ends_with_stop",
    }
)
"""Lengths tell data sets apart; case and the final stop are what a model drops when told to write lazily, and what
many people never set: as evidence they would accuse a way of writing."""

FOR_TEXT: Final = np.array([name not in NOT_FOR_TEXT for name in STYLE_NAMES])
"""(STYLE_DIM,) which features the text model may use."""

LOG_WORDS_MAX: Final = 256
"""Words at which the logarithm of a length reaches 1: a text of 500 characters hardly has more."""

# A table instead of `log`, whose last bit may depend on where in an array a number stands.
_LOG: Final = np.log1p(np.arange(LOG_WORDS_MAX + 1)) / np.log1p(LOG_WORDS_MAX)

_SMALL = """
the a an and or but of to in on at for with from by as is are was were be been it this that these those not no if so
le la les un une des du de et ou mais dans sur pour avec par que qui est sont ce cette pas au aux
der die das ein eine und oder aber im am auf mit von zu den dem nicht ist sind war wie es
el los las una y o pero en con por para no es son del al se su lo
il lo gli uno e ma nel con per non di da che si
o os um uma em no na com por para nao é são do da dos das
"""
_FIRST = "i i'm i've i'd i'll im ive me my mine myself we we're our us je j'ai moi mon ma mes nous ich mir mein wir"
_SECOND = "you you're your yours u ur yourself you'll you've tu te toi ton ta tes vous votre du dir dein ihr"
_CHAT = """
lol lmao lmfao omg wtf idk tbh ngl imo imho smh fr rn u ur r thx pls plz gonna wanna gotta kinda sorta ya yeah yea yep
nah nope haha hahaha hehe ok okay dont cant wont didnt doesnt isnt wasnt youre theyre thats whats im ive ill id aint
yall tho cuz cause bc bro dude mdr ptdr jsp tkt stp svp pk ouais bah ben
"""


def _lists() -> tuple[NDArray[np.uint64], ...]:
    return tuple(hash_words(words.split()) for words in (_SMALL, _FIRST, _SECOND, _CHAT))


_SMALL_HASHES, _FIRST_HASHES, _SECOND_HASHES, _CHAT_HASHES = _lists()


def _share(part: NDArray[np.int64], whole: NDArray[np.int64], scale: float = 1.0) -> NDArray[np.float64]:
    """scale x part / whole, 0 where there is no whole, at most 1."""
    return np.minimum(scale * part / np.maximum(whole, 1), 1.0)


def styles(encoded: Encoded) -> NDArray[np.float16]:
    """Style features, (n, STYLE_DIM), each in [0, 1], in the order of `STYLE_NAMES`; zeros where there is no word."""
    n = encoded.size
    out = np.zeros((n, STYLE_DIM), dtype=np.float64)
    if not n or not len(encoded.word_starts):
        return out.astype(np.float16)
    codes, classes, total = encoded.codes, encoded.classes, encoded.total
    words = encoded.word_counts
    word_total = encoded.word_total

    def marks(chars: str) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = codes == ord(chars[0])
        for char in chars[1:]:
            found |= codes == ord(char)
        return found

    upper = classes == CharClass.UPPER
    lower = classes == CharClass.LOWER
    letters = total(upper | lower | (classes == CharClass.LETTER))
    lengths = encoded.word_ends - encoded.word_starts
    uppers = np.concatenate([[0], np.cumsum(upper)])
    in_caps = uppers[encoded.word_ends] - uppers[encoded.word_starts]
    capital = upper[encoded.word_starts]
    dots = marks(".")
    run = np.zeros(len(codes), dtype=bool)
    run[1:] = dots[1:] & dots[:-1]
    stops = marks(".!?")
    stop_end = stops.copy()
    stop_end[:-1] &= ~stops[1:]
    sentences = np.maximum(total(stop_end), 1)
    last = np.maximum(encoded.ends - 2, 0)
    apostrophe = np.zeros(len(codes), dtype=bool)
    apostrophe[1:-1] = (codes[1:-1] == ord("'")) & (classes[:-2] >= CharClass.LOWER) & (classes[2:] >= CharClass.LOWER)

    order = np.lexsort((encoded.word_hash, encoded.word_owner))
    owner, sorted_hash = encoded.word_owner[order], encoded.word_hash[order]
    fresh = np.ones(len(order), dtype=bool)
    fresh[1:] = (owner[1:] != owner[:-1]) | (sorted_hash[1:] != sorted_hash[:-1])
    distinct = np.bincount(owner[fresh], minlength=n)

    first = word_total(lengths) / np.maximum(words, 1)
    second = word_total(lengths * lengths) / np.maximum(words, 1)
    columns = (
        _LOG[np.minimum(words, LOG_WORDS_MAX)],
        np.minimum(first / 12, 1),
        np.minimum(np.sqrt(np.maximum(second - first * first, 0)) / 8, 1),
        _share(total(upper), letters),
        _share(word_total(capital), words),
        _share(word_total((in_caps == lengths) & (lengths > 1)), words),
        word_total(capital & (encoded.word_offsets[encoded.word_owner] == np.arange(len(lengths)))),
        stops[last] | marks(")\"'")[last] & stops[np.maximum(last - 1, 0)],
        _share(total(marks(",،、")), words, 4),
        _share(total(dots & ~run), words, 4),
        _share(total(marks("!")), words, 4),
        _share(total(marks("?¿؟")), words, 4),
        _share(total(apostrophe), words, 4),
        _share(total(marks("-:;")), words, 4),
        _share(total(run), words, 4),
        _share(total(marks('"()[]*')), words, 4),
        _share(total(classes == CharClass.DIGIT), letters, 4),
        _share(total(marks("#")), words, 4),
        _share(word_total(among(encoded.word_hash, _SMALL_HASHES)), words),
        _share(word_total(among(encoded.word_hash, _FIRST_HASHES)), words, 4),
        _share(word_total(among(encoded.word_hash, _SECOND_HASHES)), words, 4),
        _share(distinct, words),
        _share(word_total(among(encoded.word_hash, _CHAT_HASHES)), words, 4),
        _LOG[np.minimum(words // sentences, LOG_WORDS_MAX)],
    )
    for index, column in enumerate(columns):
        out[:, index] = column
    out[words == 0] = 0
    return out.astype(np.float16)
