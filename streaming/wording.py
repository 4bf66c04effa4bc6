"""The same posts in other words: what tells copies of a stream apart without changing their look.

Each copy has its own substitution of words by words of the same stream: of the same language, length and case, and
about as common, so that function words stay function words. It is a permutation worked out by arithmetic, not a table,
so that any number of copies costs no memory. Within a copy a word always becomes the same word: texts that were alike
stay as much alike as they were, while the same text in two copies shares next to no run of three words.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from math import gcd
from typing import Final

from streaming import extract

SHARE: Final = 0.75
"""Share of the words that a copy replaces. A run of three words then survives in two copies unchanged once in
(1 - 0.75)^6 = 0.0002 times, and the rest of the text keeps its sense of the original stream."""

BLOCK: Final = 16
"""Words that replace each other: neighbours in frequency. Fewer would leave too many copies alike."""

OWN_WORDS: Final = 500
"""Different words from which a language has its own vocabulary; the rarer languages of a stream share one."""

LONGEST: Final = 12
"""From this length on words count as equally long: there are too few of each to choose from."""

_word = re.compile(rf"[\w{extract.MARKS}]+(?:['’]\w+)*")

Class = tuple[str, int, str, int]


class Vocabulary:
    """The words of a stream by language, length, case and script, each class in blocks of similar frequency.

    Args:
        texts: (language, text) of every post.
    """

    def __init__(self, texts: Iterable[tuple[str, str]]) -> None:
        counts: Counter[tuple[str, str]] = Counter()
        for language, text in texts:
            counts.update((language, word) for word in _word.findall(_bare(text)))
        types = Counter(language for language, _ in counts)
        self._languages = frozenset(language for language, number in types.items() if number >= OWN_WORDS)
        pooled: Counter[tuple[str, str]] = Counter()
        for (language, word), count in counts.items():
            pooled[self._own(language), word] += count
        classes: defaultdict[Class, list[str]] = defaultdict(list)
        for (language, word), _ in sorted(pooled.items(), key=lambda item: (-item[1], item[0])):
            classes[_class(language, word)].append(word)
        self._place: dict[tuple[str, str], tuple[list[str], int, int]] = {}
        number = 0
        for key, words in sorted(classes.items()):
            blocks = max(1, len(words) // BLOCK)
            for i in range(blocks):
                block = words[i * BLOCK : (i + 1) * BLOCK if i + 1 < blocks else None]
                number += 1
                for index, word in enumerate(block):
                    self._place[key[0], word] = (block, index, number)

    def __len__(self) -> int:
        return len(self._place)

    def _own(self, language: str) -> str:
        return language if language in self._languages else ""

    def substitute(self, language: str, word: str, key: bytes, share: float) -> str:
        """What `word` becomes in the copy named by `key`; itself where it is unknown or among those that stay."""
        place = self._place.get((self._own(language), word))
        if place is None or len(place[0]) == 1:
            return word
        block, index, number = place
        size = len(block)
        draw = _draw(key, b"", number)
        factor = 1 + draw % size
        while gcd(factor, size) != 1:
            factor += 1
        chosen = _draw(key, word.encode("utf-8", "surrogatepass"), number)
        if chosen % 1_000_003 >= share * 1_000_003:
            return word
        return block[(factor * index + draw // size) % size]


class Wording:
    """The wording of one copy.

    Args:
        vocabulary: of the stream.
        name: of the copy; another name is another wording.
        share: share of the words that are replaced.
    """

    def __init__(self, vocabulary: Vocabulary, name: str, share: float = SHARE) -> None:
        self._vocabulary = vocabulary
        self._key = hashlib.blake2b(name.encode(), digest_size=32).digest()
        self._share = share

    def word(self, language: str, word: str) -> str:
        """What one word becomes."""
        return self._vocabulary.substitute(language, word, self._key, self._share)

    def text(self, language: str, text: str, links: Callable[[str], str], names: Callable[[str], str]) -> str:
        """`text` in other words: spaces and punctuation stay, links become `links(link)`, tags and mentions
        `names(word)`."""
        parts, end = [], 0
        for found in extract.LINK.finditer(text):
            parts.append(self._words(language, text[end : found.start()], names))
            link = extract.trim(found.group())
            parts.append(links(link) if link else "")
            end = found.start() + len(link)
        parts.append(self._words(language, text[end:], names))
        return "".join(parts)

    def _words(self, language: str, text: str, names: Callable[[str], str]) -> str:
        def other(found: re.Match[str]) -> str:
            before = text[found.start() - 1] if found.start() else " "
            return names(found.group()) if before in "#＃@＠" else self.word(language, found.group())

        return _word.sub(other, text)


def _bare(text: str) -> str:
    """The text without links, tags and mentions."""
    return re.sub(r"[@#＠＃]\w+", " ", extract.LINK.sub(" ", text))


def _class(language: str, word: str) -> Class:
    if word.isdigit():
        case = "number"
    elif word.islower():
        case = "lower"
    elif word.isupper() and len(word) > 1:
        case = "upper"
    elif word[:1].isupper():
        case = "title"
    else:
        case = "other"
    script = 0 if ord(max(word)) < 0x250 else ord(word[0]) >> 7
    return language, min(len(word), LONGEST), case, script


def _draw(key: bytes, what: bytes, number: int) -> int:
    digest = hashlib.blake2b(what + number.to_bytes(8, "big"), key=key, digest_size=8).digest()
    return int.from_bytes(digest, "big")
