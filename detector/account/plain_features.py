"""Plain features of how an account writes, and what each is worth in its text evidence: what a person can check.

The account model weighs features together, some of them through trees. What one is worth is what the evidence loses
without it (occlusion; Zeiler and Fergus 2014, ECCV): the feature is given no observations to rest on, which makes its
terms those of an account about which nothing is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from detector.account.features import TEXT_NAMES, AccountFeatures
from detector.account.model import AccountModel, text_inputs
from detector.text.features import STYLE_DIM, STYLE_NAMES

EVENNESS: Final = "evenness"
"""How much the style differs from post to post, all of its features together."""

_COLUMNS: Final[dict[str, tuple[int, ...]]] = {
    **{name: (TEXT_NAMES.index(f"style_mean_{i}"),) for i, name in enumerate(STYLE_NAMES)},
    EVENNESS: tuple(TEXT_NAMES.index(f"style_sd_{i}") for i in range(STYLE_DIM)),
    "self_similarity": (TEXT_NAMES.index("self_similarity"),),
    "repeats": (TEXT_NAMES.index("repeats"),),
}
"""Feature -> its columns among the text features."""

PLAIN_FEATURES: Final = tuple(_COLUMNS)


FEATURE_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "log_words": ("longer posts", "shorter posts"),
    "word_length": ("longer words", "shorter words"),
    "word_length_spread": ("long and short words mixed more", "words of more equal length"),
    "upper_letters": ("more capital letters", "fewer capital letters"),
    "capitalised_words": ("more capitalised words", "fewer capitalised words"),
    "shouted_words": ("more words in capitals", "fewer words in capitals"),
    "starts_upper": ("more posts that begin with a capital", "fewer posts that begin with a capital"),
    "ends_with_stop": ("more posts that end with a full stop", "fewer posts that end with a full stop"),
    "commas": ("more commas", "fewer commas"),
    "full_stops": ("more full stops", "fewer full stops"),
    "exclamations": ("more exclamation marks", "fewer exclamation marks"),
    "questions": ("more question marks", "fewer question marks"),
    "apostrophes": ("more apostrophes", "fewer apostrophes"),
    "dashes_colons": ("more dashes and colons", "fewer dashes and colons"),
    "dot_runs": ("more trailing dots", "fewer trailing dots"),
    "quotes_brackets": ("more quotation marks and brackets", "fewer quotation marks and brackets"),
    "digits": ("more digits", "fewer digits"),
    "hashtags": ("more hashtags", "fewer hashtags"),
    "small_words": ("more of the smallest words", "fewer of the smallest words"),
    "first_person": ("more of I and we", "less of I and we"),
    "second_person": ("more of you", "less of you"),
    "distinct_words": ("fewer words said twice in a post", "more words said twice in a post"),
    "chat_words": ("more of the short forms of chats", "fewer of the short forms of chats"),
    "log_sentence_words": ("longer sentences", "shorter sentences"),
    "evenness": ("posts that differ more from each other in style", "posts that are more alike in style"),
    "self_similarity": ("posts that are more alike in wording", "posts that are less alike in wording"),
    "repeats": ("more posts said again", "fewer posts said again"),
}
"""Plain feature -> what is said of it where the account has more of it than the middle of accounts, and where less."""


class PlainFeature(NamedTuple):
    """One feature of one account.

    Args:
        name: of `PLAIN_FEATURES`.
        nats: what the text evidence would lose without it; negative where it speaks for a person.
        observed: the account's own, mean of its columns, in the features' own unit (mostly a share between 0 and 1).
        expected: the same of the middle of the accounts that the model learned from.
    """

    name: str
    nats: float
    observed: float
    expected: float


def plain_features(model: AccountModel, features: AccountFeatures, worth: float = 1.0) -> list[PlainFeature]:
    """What each plain feature is worth for one account, the most machine-like first.

    Args:
        model: whose text evidence is taken apart.
        features: of one account.
        worth: factor by which text evidence counts.
    """
    values, counts = text_inputs(features)
    # One row for all features, and one without each: a row's logit does not depend on the others.
    without = np.repeat(counts, 1 + len(_COLUMNS), axis=0)
    for row, columns in enumerate(_COLUMNS.values(), start=1):
        without[row, list(columns)] = 0.0
    logits = model.text.logit(np.repeat(values, len(without), axis=0), without)
    centres: dict[int, list[float]] = {}
    for head in model.text.heads:
        for column, centre in zip(head.column.tolist(), head.centre.tolist(), strict=True):
            centres.setdefault(column, []).append(centre)
    found = []
    for (name, columns), logit in zip(_COLUMNS.items(), logits[1:].tolist(), strict=True):
        used = [column for column in columns if column in centres]
        if not used:
            continue
        observed = float(values[0, used].mean())
        expected = float(np.mean([np.mean(centres[column]) for column in used]))
        found.append(PlainFeature(name, worth * (float(logits[0]) - logit), observed, expected))
    return sorted(found, key=lambda each: (-each.nats, each.name))
