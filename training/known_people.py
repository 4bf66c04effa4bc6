"""`python -m training.known_people --data DIR --write FILE`: which people kept for the demo a text model has read.

Two text sets hold messages of `chitchat-dataset`, of people of any role. Who is in them is no stranger to a model
trained on these sets, and must not appear in the demo as one. The file has pseudonyms only;
`streaming/demo/cast.py` leaves these people out.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from detector.people import pseudonym, role_of
from detector.text.normalise import normalise
from training.accounts import beginning
from training.datasets import load_texts

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
    return {person for person in known if role_of(POPULATION, person) == "demo"}


def main() -> None:
    """Read the sets and write the pseudonyms."""
    from chitchat_dataset import Dataset

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the text sets")
    parser.add_argument("--write", type=Path, required=True, help="file to write")
    options = parser.parse_args()
    table = load_texts(options.data, cap=ALL_ROWS)
    people = table[table["label"] == 0]
    known = known_people(people["text"], people["author_id"], Dataset())
    options.write.write_text(json.dumps(sorted(map(pseudonym, known)), indent=0) + "\n", encoding="ascii")
    print(f"{len(known)} people in {options.write}")


if __name__ == "__main__":
    main()
