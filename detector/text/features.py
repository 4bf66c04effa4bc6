"""Text features: style, hashed n-grams and resemblance sketches of a text, and their packed record for the log.

- Style: 24 bounded numbers for case, length, punctuation and habits of small words, computed from the normalised text,
  so links, mentions and emoji do not enter. Lengths and case are among them for the account model, which sees how they
  vary; the text model does not use them (`FOR_TEXT`).
- N-grams: characters 2-5 within words (their surrounding spaces included) and words 1-2, hashed into 2^18 buckets.
- Resemblance: a signed projection for self-similarity and MinHash for near-duplicates, in constant size.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detector.text.tokenize import CharClass, Encoded, among, hash_words, mix

STYLE_DIM: Final = 24
"""Style features of one text: enough for case, length, punctuation, and function-word habits."""

SKETCH_DIM: Final = 32
"""Signed random projection of the text's word and character n-grams, unit length times 127. The squared norm of
an account's mean sketch is the mean cosine between its posts: self-similarity in constant memory."""

MINHASH_DIM: Final = 12
"""MinHash values of word 3-shingles: 6 bands of 2 find 80% of pairs with Jaccard similarity 0.5 and 97% at 0.7."""


class TextAbstain(IntEnum):
    """Why a text gives no evidence; 0 when it does."""

    NONE = 0
    NO_TEXT = 1
    TOO_SHORT = 2
    LANGUAGE = 3
    SWITCHED_OFF = 4


TEXT_FEATURES: Final = np.dtype(
    [
        ("llr", "<i2"),  # millinats, clipped to +-32.767 nats
        ("abstain", "u1"),  # a TextAbstain
        ("words", "<u2"),  # words of the normalised text, clipped to 65,535
        ("style", "<f2", (STYLE_DIM,)),
        ("sketch", "i1", (SKETCH_DIM,)),
        ("minhash", "<u4", (MINHASH_DIM,)),
    ]
)
"""The features of one text, 153 bytes packed."""

TextFeatures = NDArray[np.void]
"""An array of dtype TEXT_FEATURES."""


def pack(features: TextFeatures) -> list[bytes]:
    """One bytes object per text, for the observation log."""
    raw = features.tobytes()
    size = TEXT_FEATURES.itemsize
    return [raw[i : i + size] for i in range(0, len(raw), size)]


def unpack(rows: list[bytes]) -> TextFeatures:
    """TextFeatures from their packed rows, in order; every row must be `TEXT_FEATURES.itemsize` bytes."""
    return np.frombuffer(b"".join(rows), dtype=TEXT_FEATURES)


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


BUCKETS: Final = 1 << 18
"""Buckets of the hash: half a megabyte of float16 weights; twice as many changed no figure by more than the noise."""

CHAR_SIZES: Final = (2, 3, 4, 5)

_SHIFT: Final = np.uint64(64 - 18)
_SALTS: Final = {size: np.uint64(0xA24BAED4963EE407 * (size + 1) % 2**64) for size in (1, 2, 3, 4, 5, 12)}

Buckets = NDArray[np.int32]


def char_hashes(encoded: Encoded, size: int) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Mixed hash of the window of `size` characters at every position, and whether it is an n-gram of one word.

    An n-gram may begin or end with the space beside its word and holds no other, so none spans two texts.
    """
    count = len(encoded.codes) - size
    raw = (encoded.prefix[size : size + count] - encoded.prefix[:count]) * encoded.unshift[:count]
    space = encoded.classes == CharClass.SPACE
    inside = np.zeros(count, dtype=bool)
    for k in range(1, size - 1):
        inside |= space[k : k + count]
    if size == 2:
        inside = space[:count] & space[1 : 1 + count]
    return mix(raw + _SALTS[size]), ~inside


def char_buckets(encoded: Encoded, size: int) -> tuple[Buckets, NDArray[np.bool_]]:
    """Bucket of every window of `size` characters, and whether it is an n-gram, both (chars - size,)."""
    hashes, valid = char_hashes(encoded, size)
    return (hashes >> _SHIFT).astype(np.int32), valid


def word_buckets(encoded: Encoded) -> tuple[Buckets, Buckets, NDArray[np.bool_]]:
    """Bucket of every word, of every word with its next, (words,); and whether that pair is in one text."""
    single = (mix(encoded.word_hash + _SALTS[1]) >> _SHIFT).astype(np.int32)
    following = np.roll(encoded.word_hash, -1)
    pair = (mix(encoded.word_hash * np.uint64(3) + following + _SALTS[12]) >> _SHIFT).astype(np.int32)
    valid = encoded.word_owner == np.roll(encoded.word_owner, -1)
    if len(valid):
        valid[-1] = False
    return single, pair, valid


def sums(encoded: Encoded, weights: NDArray[np.int32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weight of each text's character and word n-grams, each divided by the root of how many there are, (n,) both.

    Args:
        encoded: the texts.
        weights: (BUCKETS,) whole numbers; the sums are exact, so no text's sum depends on another's.
    """
    size = encoded.size
    chars = np.zeros(size, dtype=np.int64)
    char_count = np.zeros(size, dtype=np.int64)
    padded = len(encoded.codes)
    for n in CHAR_SIZES:
        buckets, valid = char_buckets(encoded, n)
        value = np.zeros(padded, dtype=np.int32)
        np.multiply(weights[buckets], valid, out=value[: len(buckets)])
        chars += encoded.total(value)
        kept = np.zeros(padded, dtype=bool)
        kept[: len(valid)] = valid
        char_count += encoded.total(kept)
    single, pair, valid = word_buckets(encoded)
    words = encoded.word_total(weights[single].astype(np.int64) + weights[pair] * valid.astype(np.int64))
    word_count = encoded.word_counts + encoded.word_total(valid)
    return chars / np.sqrt(np.maximum(char_count, 1)), words / np.sqrt(np.maximum(word_count, 1))


def entries(encoded: Encoded) -> tuple[NDArray[np.int64], Buckets, NDArray[np.float32]]:
    """The same as (text, bucket, value) triples for training: `sums` is their product with the weights, summed.

    Character and word n-grams share the buckets and are scaled apart, as in `sums`.
    """
    owners, buckets = [], []
    position = np.searchsorted(encoded.ends, np.arange(len(encoded.codes)), side="right")
    char_count = np.zeros(encoded.size, dtype=np.int64)
    for n in CHAR_SIZES:
        bucket, valid = char_buckets(encoded, n)
        owner = position[: len(bucket)][valid]
        owners.append(owner)
        buckets.append(bucket[valid])
        char_count += np.bincount(owner, minlength=encoded.size)[: encoded.size]
    chars = sum(map(len, owners))
    single, pair, valid = word_buckets(encoded)
    owners += [encoded.word_owner, encoded.word_owner[valid]]
    buckets += [single, pair[valid]]
    word_count = encoded.word_counts + encoded.word_total(valid)
    owner = np.concatenate(owners)
    scale = np.empty(len(owner), dtype=np.float32)
    scale[:chars] = (1 / np.sqrt(np.maximum(char_count, 1)))[owner[:chars]]
    scale[chars:] = (1 / np.sqrt(np.maximum(word_count, 1)))[owner[chars:]]
    return owner, np.concatenate(buckets), scale


RARITIES: Final = 1 << 16
"""Buckets of the table of how rare a trigram or word is; common ones say nothing about who resembles whom."""

_SIGN_BITS: Final = np.uint64(32)
_RARITY_BITS: Final = np.uint64(0xFFFF)
_MULTIPLIERS: Final = mix(np.arange(1, MINHASH_DIM + 1, dtype=np.uint64)) | np.uint64(1)
_OFFSETS: Final = mix(np.arange(101, MINHASH_DIM + 101, dtype=np.uint64))
_SHINGLE: Final = np.array([0x9DDFEA08EB382D69, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], dtype=np.uint64)


def rarity_bucket(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Bucket of the rarity table for mixed hashes."""
    return (hashes & _RARITY_BITS).astype(np.int64)


def _signed(hashes: NDArray[np.uint64], weight: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(k, SKETCH_DIM): the weight where the hash's sign bit is set, else 0."""
    bits = np.unpackbits((hashes >> _SIGN_BITS).astype("<u4").view(np.uint8).reshape(-1, 4), axis=1)
    return bits * weight[:, None]


def sketches(encoded: Encoded, rarity: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Signed hashed projection of words and character trigrams, weighed by rarity, unit length times 127.

    Args:
        encoded: n texts.
        rarity: (RARITIES,) weight 0-255 of each bucket of trigrams and words.

    Returns:
        (n, SKETCH_DIM); zeros for a text without words. Dot product of two rows / 127^2 estimates their cosine
        (Charikar 2002, with counts in place of sets).
    """
    n = encoded.size
    out = np.zeros((n, SKETCH_DIM), dtype=np.int64)
    if not n:
        return out.astype(np.int8)
    hashes, valid = char_hashes(encoded, 3)
    place = np.flatnonzero(valid)
    owner = np.searchsorted(encoded.ends, place, side="right")
    for found, owners in ((hashes[place], owner), (encoded.word_hash, encoded.word_owner)):
        counts = np.bincount(owners, minlength=n)
        some = np.flatnonzero(counts)
        if not len(some):
            continue
        weight = rarity[rarity_bucket(found)]
        offsets = (np.cumsum(counts) - counts)[some]
        positive = np.add.reduceat(_signed(found, weight), offsets, axis=0, dtype=np.int64)
        total = np.add.reduceat(weight, offsets, dtype=np.int64)
        out[some] += 2 * positive - total[:, None]
    out[encoded.word_counts == 0] = 0
    norm = np.sqrt((out * out).sum(axis=1))
    unit: NDArray[np.int8] = np.rint(out * 127 / np.maximum(norm, 1)[:, None]).astype(np.int8)
    return unit


def minhashes(encoded: Encoded) -> NDArray[np.uint32]:
    """MinHash of the set of word 3-shingles (lower case, without punctuation), (n, MINHASH_DIM).

    A text of one or two words is one shingle; a text without words is all zeros. Two texts agree in each value with
    probability of about their Jaccard similarity (Broder 1997).
    """
    n = encoded.size
    out = np.zeros((n, MINHASH_DIM), dtype=np.uint32)
    words = encoded.word_hash
    if not len(words):
        return out
    counts = encoded.word_counts
    rank = np.arange(len(words)) - encoded.word_offsets[encoded.word_owner]
    left = counts[encoded.word_owner] - rank
    second = np.where(left >= 2, np.roll(words, -1), 0).astype(np.uint64)
    third = np.where(left >= 3, np.roll(words, -2), 0).astype(np.uint64)
    kept = (left >= 3) | (rank == 0)
    shingles = mix(words * _SHINGLE[0] + second * _SHINGLE[1] + third * _SHINGLE[2])[kept]
    owner = encoded.word_owner[kept]
    some, offsets = np.unique(owner, return_index=True)
    values = ((shingles[:, None] * _MULTIPLIERS + _OFFSETS) >> np.uint64(32)).astype(np.uint32)
    out[some] = np.minimum.reduceat(values, offsets, axis=0)
    return out
