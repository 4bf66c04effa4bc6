"""`python -m training.known_people`: lists the people kept for the demo whose texts a text model was trained on.

`simulation/content/chitchat.py` leaves them out, so that the demo shows nobody that its models have read.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from detector.data_splits import pseudonym, split_of
from detector.errors import UsageError
from detector.text.tokenize import normalise
from streaming.cli import run_function
from training.account_data import beginning
from training.data import load_texts

POPULATION: Final = "chitchat"

TELLING_WORDS: Final = 4
"""Shorter texts are written by many people, and no model learns from them."""

WRITERS: Final = 2
"""A text that more people wrote says nothing about who was read."""

ALL_ROWS: Final = 1_000_000
"""No cap: whatever rows a training keeps, these people are out."""


def known_people(texts: Iterable[str], authors: Iterable[str], conversations: Mapping[str, Any]) -> set[str]:
    """The people of role demo who are among `authors`, or wrote one of `texts` (normalised).

    Args:
        conversations: of `chitchat-dataset`, each with `messages`, lists of turns of utterances.
    """
    writers: defaultdict[str, set[str]] = defaultdict(set)
    for conversation in conversations.values():
        for turn in conversation["messages"]:
            for message in turn:
                text = normalise(message["text"])
                if len(text.split()) >= TELLING_WORDS:
                    writers[beginning(text)].add(message["sender"])
    everybody = set().union(*writers.values()) if writers else set()
    known = set(authors) & everybody
    for text in {beginning(text) for text in texts} & set(writers):
        if len(writers[text]) <= WRITERS:
            known |= writers[text]
    return {person for person in known if split_of(POPULATION, person) == "demo"}


def write_known_people(
    data: Annotated[Path, typer.Option(metavar="DIR", help="folder of the text sets")],
    write: Annotated[Path, typer.Option(metavar="FILE", help="file to write")],
) -> int:
    """List the people kept for the demo whose texts a text model was trained on.

    Two text sets hold messages of chitchat-dataset, of people of any split. The file has pseudonyms only; the simulator
    leaves these people out.

    Raises:
        UsageError: a text set cannot be read, or the file cannot be written.
    """
    from chitchat_dataset import Dataset

    table = load_texts(data, cap=ALL_ROWS)
    people = table[table["label"] == 0]
    known = known_people(people["text"], people["author_id"], Dataset())
    try:
        write.write_text(json.dumps(sorted(map(pseudonym, known)), indent=0) + "\n", encoding="ascii")
    except OSError as error:
        raise UsageError(f"{write}: cannot be written: {error.strerror}; name another file") from None
    print(f"{len(known)} people in {write}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run it as a program. Exit status 0; 1 an error; 2 unusable arguments."""
    return run_function(write_known_people, "python -m training.known_people", argv)


if __name__ == "__main__":
    sys.exit(main())
