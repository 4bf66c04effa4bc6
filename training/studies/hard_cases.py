"""Texts that are hard to judge, each kind as a slice of its own: imitation, disguise, polish, copies, mixed languages.

Text of a person that a model polished is a slice too and no machine's account: what is told of it is how often people
who let a model help them are flagged. Where a slice is made here out of others (copies, accounts that changed hands,
two languages in a post) it says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from training.populations import population_people
from training.populations import posts as posts_of_essay
from training.studies.judged import (
    FEWEST_POSTS,
    POSTS,
    against_people,
    dealt,
    figures,
    judge,
    markdown,
    people,
    text_set,
)

TRAINED: Final = "these sources"
NEAR: Final = "the generator"
UNSEEN: Final = "nothing"

LANGUAGES: Final = ("de", "fr", "es", "it", "pt", "hi", "ar")
"""Languages in which a machine whose English is known writes as well."""

FEW_PEOPLE: Final = 100
"""People below whom a share at 1% says nothing."""


ESSAYS: Final[Mapping[str, str]] = {
    "own words, second language, essays": "TOEFL_real_91",
    "polished by GPT-4": "TOEFL_gpt4polished_91",
    "own words, pupils, essays": "HewlettStudentEssay_real_88",
    "simplified by GPT": "HewlettStudentEssay_GPTsimplify_88",
}
"""Name of a slice -> group of `liang_toefl`."""

ESSAY: Final = "essay:"
ESSAY_POSTS: Final = 3
"""Posts of an essay, at least: most make three or four, as many as an account needs to be flagged."""


@dataclass(frozen=True)
class HardCase:
    """Accounts of one kind.

    Args:
        name: in the table.
        known: what of it was in training.
        posts: of `training.studies.judged.dealt`.
        whose: beginning of the slices of people that it is held against.
    """

    name: str
    known: str
    posts: pd.DataFrame
    whose: str = "people/"


def _split_hands(person: pd.DataFrame, machine: pd.DataFrame) -> pd.DataFrame:
    """Accounts whose first half a person wrote and whose second half a machine."""
    made: list[pd.DataFrame] = []
    half = POSTS // 2
    for (_, first), (_, second) in zip(person.groupby("author_id"), machine.groupby("author_id"), strict=False):
        both = pd.concat([first.iloc[:half], second.iloc[:half]])
        made.append(both.assign(author_id=f"sold:{len(made)}"))
    return pd.concat(made, ignore_index=True)


def _copied(originals: pd.DataFrame) -> pd.DataFrame:
    """Accounts each of whose posts is copied from another person."""
    turn = originals.groupby("author_id").cumcount()
    order = originals.assign(turn=turn).sort_values(["turn", "author_id"], kind="stable")
    dealt_out = np.arange(len(order)) // POSTS
    made = order.assign(author_id=[f"copies:{number}" for number in dealt_out]).drop(columns="turn")
    return made[made.groupby("author_id")["text"].transform("size") >= FEWEST_POSTS]


def _two_languages(one: pd.DataFrame, other: pd.DataFrame, seed: int) -> pd.DataFrame:
    """English posts whose second half is that of a post in another language, ten an account."""
    rng = np.random.default_rng(seed)
    second = other["text"].to_numpy()[rng.permutation(len(other))]
    texts = []
    for first, last in zip(one["text"], second, strict=False):
        here, there = first.split(), last.split()
        texts.append(" ".join([*here[: (len(here) + 1) // 2], *there[len(there) // 2 :]]))
    return pd.DataFrame({"text": texts, "author_id": "", "lang": ""})


def slices(data: Path, most: int, seed: int = 0) -> Iterator[HardCase]:
    """The slices of the study.

    Args:
        data: folder with `text/`.
        most: accounts of each.
        seed: of the draws.
    """

    def made(name: str, known: str, rows: pd.DataFrame, *by: str, whose: str = "people/") -> HardCase:
        fewest = ESSAY_POSTS if rows["author_id"].str.startswith(ESSAY).any() else FEWEST_POSTS
        return HardCase(name, known, dealt(rows, name, most=most, by=by, seed=seed, fewest=fewest), whose)

    social = text_set(data, "frontier_social")
    machine, person = social[social["label"] == 1], social[social["label"] == 0]
    yield made("imitates a person shown (frontier_social)", TRAINED, machine[machine["source"] == "imitate"])
    mimic = text_set(data, "authormimic")
    for setup in ("setup1", "setup3"):
        rows = mimic[(mimic["label"] == 1) & mimic["source"].str.endswith(setup)]
        rows = rows.assign(whose=rows["author_id"], author_id="")
        yield made(f"imitates an author (authormimic, {setup})", TRAINED, rows, "whose", "generator")
    single = machine[machine["source"].isin(["chat", "topic", "threads"])].assign(author_id="")
    for group in ("default", "persona", "lazy", "disguised"):
        yield made(f"{group} (frontier_social)", TRAINED, single[single["group"] == group], "source")
    lone = text_set(data, "frontier_posts")
    for group in ("default", "disguised"):
        rows = lone[(lone["source"] == "independent") & (lone["group"] == group)]
        yield made(f"{group} (frontier_posts, alone)", NEAR, rows)
    replies = text_set(data, "matched_replies").assign(author_id="")
    yield made("disguised (matched_replies)", TRAINED, replies[replies["group"] == "disguised"])
    lowered = text_set(data, "frontier_campaigns")
    lowered = lowered[lowered["lang"] == "en"]
    yield made("campaigns as written (frontier_campaigns)", NEAR, lowered)
    yield made("campaigns in lower case, no stops", NEAR, lowered.assign(text=_plain(lowered["text"])))

    yield from _polished(data, person, machine, made)

    irc = dealt(population_people(data, "measure", names=["irc"]), "irc", most=10 * most, seed=seed)
    yield HardCase("posts copied from ten people each (made here)", UNSEEN, _copied(irc).assign(slice="copied"))
    hands = _split_hands(irc, dealt(lowered, "m", most=most, seed=seed))
    yield HardCase("a person's account, sold (made here)", NEAR, hands.assign(slice="sold"))

    tongues = machine[machine["source"] == "multi"].assign(author_id="")
    for lang in LANGUAGES:
        own = dealt(
            person[(person["source"] == "multi") & (person["lang"] == lang)].assign(author_id=""), "", most=most
        )
        yield HardCase(f"people/multi-{lang}", TRAINED, own)
        rows = tongues[tongues["lang"] == lang]
        yield made(f"writes {lang} (frontier_social)", TRAINED, rows, whose=f"people/(?:multi|bag)-{lang}")
    mixed = [
        _two_languages(given[(given["source"] == "topic")], given[given["source"] == "multi"], seed)
        for given in (person, machine)
    ]
    yield made("people/two-languages", TRAINED, mixed[0])
    yield made("two languages in a post (made here)", TRAINED, mixed[1], whose="people/two-languages")


def _plain(texts: pd.Series[str]) -> pd.Series[str]:
    return texts.str.lower().str.replace(r"[.!,;:]+(?=\s|$)", "", regex=True)


def _polished(
    data: Path, person: pd.DataFrame, machine: pd.DataFrame, made: Callable[..., HardCase]
) -> Iterator[HardCase]:
    """People's own texts, and what a model made of them on request."""
    for name, group in ESSAYS.items():
        yield made(f"{name} (liang_toefl)", TRAINED, _essays(data, group))
    spin = person[person["source"] == "spin"].assign(author_id="")
    yield made("own words, tweets (spin)", TRAINED, spin)
    for group in ("paraphrase", "paraphrase-casual"):
        rows = machine[(machine["source"] == "spin") & (machine["group"] == group)].assign(author_id="")
        yield made(f"{group} of them (spin)", TRAINED, rows)
    rewritten = text_set(data, "many_generators")
    rewritten = rewritten[rewritten["source"] == "gpt41mini_sent140_rewrites"].assign(author_id="")
    yield made("own words, tweets (sent140)", TRAINED, rewritten[rewritten["label"] == 0])
    yield made("rewritten by gpt-4.1-mini (sent140)", TRAINED, rewritten[rewritten["label"] == 1])


def _essays(data: Path, group: str) -> pd.DataFrame:
    """Essays as accounts, each cut into posts."""
    rows = text_set(data, "liang_toefl")
    rows = rows[rows["group"] == group]
    cut = [
        (text, f"{ESSAY}{place}", lang)
        for place, (essay, lang) in enumerate(zip(rows["text"], rows["lang"], strict=True))
        for text in posts_of_essay(essay)
    ]
    return pd.DataFrame(cut, columns=["text", "author_id", "lang"])


ASSISTED: Final = ("own words", "polished", "simplified", "paraphrase", "rewritten")
"""What the names of slices begin with that are no machines' accounts."""


def hard_cases(data: Path, models: Path, most: int, seed: int = 0) -> str:
    """The tables as Markdown: machines first, then people who let a model help them.

    Args:
        data: folder with `text/` and `streams/`.
        models: models directory.
        most: accounts of each slice; ten times as many people of each population.
        seed: of the draws.
    """
    kinds = {f"{number:02d}": each for number, each in enumerate(slices(data, most, seed)) if len(each.posts)}
    names = {key: each.name if each.name.startswith("people/") else key for key, each in kinds.items()}
    bags = [f"bag-{lang}" for lang in LANGUAGES]
    english = people(data, 10 * most, seed)
    others = people(data, 10 * most, seed, bags)
    parts = [each.posts.assign(slice=names[key]) for key, each in kinds.items()]
    judged = judge(pd.concat([english, others, *parts], ignore_index=True), data, models)
    reference = set(english["slice"])
    tables: dict[bool, list[list[str]]] = {False: [], True: []}
    for key, each in kinds.items():
        if names[key] != key:
            continue
        beside = judged["slice"].isin(reference) if each.whose == "people/" else judged["slice"].str.match(each.whose)
        found = against_people(judged[beside | (judged["slice"] == key)], key)
        tables[each.name.startswith(ASSISTED)].append(_line(each, found, int(beside.sum())))
    header = ["accounts of", "in training", "accounts", "AUROC", "TPR at 1%", "flagged (95%)", "people beside"]
    return "\n\n".join(markdown(header, rows) for rows in tables.values())


def _line(each: HardCase, found: Mapping[str, float], beside: int) -> list[str]:
    count, area, rate, flagged = figures(found)
    rate = rate if beside >= FEW_PEOPLE else "-"
    flagged = "ranked only" if found["mute"] > 0.5 else flagged
    return [each.name, each.known, count, area, rate, flagged, str(beside)]
