"""`score`: what single texts say, before anything is remembered of an account."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from detector.evidence import MILLINAT
from detector.models import load_readers
from detector.reasons import TEXT_REASONS
from detector.text.features import TextAbstain
from detector.text.tokenize import settle_language
from swarmlight.recordings import Recording
from swarmlight.records import Records

BATCH: Final = 2000
"""Texts read at once."""


class TextScore(NamedTuple):
    """What one text says of who wrote it.

    Args:
        text: as it was given.
        lang: the language it was read in; "" where nothing plausible can be read.
        nats: log-likelihood ratio: above 0 speaks for a language model, below 0 for a person.
        abstained: why it says nothing (too short, a language nobody was calibrated for); None where it does.
    """

    text: str
    lang: str
    nats: float
    abstained: str | None


def score(
    texts: Iterable[str] | Recording,
    *,
    lang: str = "",
    models: str | Path | None = None,
    second_stage: bool = True,
) -> Records[TextScore]:
    """Read texts one by one, as the system does before it gathers evidence by account.

    A single text decides nothing: it is at most some nats, and many people write like machines once.

    Args:
        texts: texts, one text, or a recording, whose posts with text are taken.
        lang: language tag that came with all of them; it only chooses among the languages that a text may be in.
        models: models directory; the shipped models where None.
        second_stage: whether the second-stage model reads them too, which a run does for accounts near the threshold.

    Raises:
        ModelError: the models cannot be used.
    """
    first, second, _ = load_readers(None if models is None else Path(models))
    found: list[TextScore] = []
    given = _given(texts, lang)
    for begin in range(0, len(given), BATCH):
        part = given[begin : begin + BATCH]
        said, langs = [text for text, _ in part], [settle_language(text, tag, first.languages) for text, tag in part]
        features = first.read(said, langs)
        llr = features["llr"]
        if second_stage and second is not None:
            llr = second.score(said, langs, np.asarray(llr, np.int16))
        for text, tag, nats, reason in zip(said, langs, llr.tolist(), features["abstain"].tolist(), strict=True):
            why = None if reason == TextAbstain.NONE else TEXT_REASONS.get(reason, str(reason))
            found.append(TextScore(text, tag, nats / MILLINAT if why is None else 0.0, why))
    return Records(found, TextScore._fields, TextScore._asdict)


def _given(texts: Iterable[str] | Recording, lang: str) -> Sequence[tuple[str, str]]:
    if isinstance(texts, Recording):
        return [(event.text, lang or event.lang) for event in texts if event.text]
    return [(text, lang) for text in ([texts] if isinstance(texts, str) else texts)]
