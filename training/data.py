"""The parquet text sets as one table, weighed so that no set, class or length stands for another.

A *source* is one place and one way of making texts (`frontier_social/chat`); a *cluster* is what must be left out
together for a source to be unseen: sources that share people, prompts or a generator. Data never enter the project;
only paths to them do.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from detector.errors import UsageError
from detector.text.tokenize import detect_language, encode, normalise, normalise_language
from training.populations import POPULATIONS, may_train


@dataclass(frozen=True, slots=True)
class TextSet:
    """One parquet file: which cluster it belongs to, its licence, and what it is."""

    name: str
    cluster: str
    licence: str
    about: str


_ACADEMIC: Final = "academic release without a stated licence"

SETS: Final = (
    TextSet("tweepfake", "tweepfake", _ACADEMIC, "people on Twitter and the GPT-2, RNN and Markov bots imitating them"),
    TextSet("electai", "electai", _ACADEMIC, "US election claims: people, Llama-2, Mistral, Falcon 7B"),
    TextSet("showerthoughts", "showerthoughts", _ACADEMIC, "one-sentence Reddit posts; fine-tuned GPT-2 and GPT-Neo"),
    TextSet("authormimic", "authormimic", _ACADEMIC, "tweets of seven models imitating authors"),
    TextSet("grid_reddit_qa", "grid", _ACADEMIC, "Reddit answers: people, GPT-3.5; the first sentences"),
    TextSet("matched_replies", "frontier", "made for this work", "one chat context answered by a person and a model"),
    TextSet("frontier_social", "frontier", "made for this work", "a 2026 frontier model in seven roles beside people"),
    TextSet("many_generators", "", "mixed academic releases", "short social text by fourteen named models"),
    TextSet("human_short_text", "", "MIT, Apache-2.0 and CC BY 4.0", "people only, before 2022, twelve languages"),
    TextSet("liang_toefl", "liang", "MIT", "essays by native and non-native writers, and GPT; the first sentences"),
    TextSet("agents", "", "mixed academic releases", "language-model agents talking to each other, and some people"),
    TextSet("more_generators", "", "mixed academic releases", "reviews, comments and replies by twenty models"),
    TextSet(
        "people_authors", "", "mixed academic releases", "people with authors: IRC, text messages, a summit's stream"
    ),
)
"""Every set a text model may learn from. `frontier_posts` and `frontier_campaigns` are not among them: their texts are
what streams measure."""

OWN_SET: Final = TextSet("own", "", "that of whoever trained", "a labelled recording of one's own")
"""A set that is no file of the folder: `training.own_texts` makes it of a labelled recording."""

CAP: Final = 4000
"""Rows of one source and class that are kept: more of the same teaches less than it costs."""

CUT: Final = 280
"""Characters to which long texts are cut, at the end of a sentence where there is one: posts are that long."""

ONE_SIDED: Final = frozenset({"yo", "ha", "ig", "zh", "ko"})
"""Languages with people only, or machines only: they would teach that the language is one's. Such texts abstain."""

POLISHED: Final = frozenset(
    {
        "frontier_social/spin",
        "many_generators/gpt41mini_sent140_rewrites",
        "liang_toefl/liang2023/HewlettStudentEssay_GPTsimplify_88",
        "liang_toefl/liang2023/TOEFL_gpt4polished_91",
    }
)
"""Set and source, as the files have them, whose machine texts are a person's own that a model has put into other words.
Whoever has help with writing is no machine, and taught as one these would accuse second-language writers: nothing
learns from them, and `training.studies.hard_cases` measures them as a slice of their own."""

_sentence_end = re.compile(r"[.!?][\"')]?\s")
_families = re.compile(r"-(?:train|test|val(?:idation)?)$")


def shorten(text: str) -> str:
    """At most `CUT` characters of a text, to the end of a sentence where there is one."""
    if len(text) <= CUT:
        return text
    ends = [match.end() for match in _sentence_end.finditer(text[: CUT + 2])]
    if ends and ends[-1] > CUT // 3:
        return text[: ends[-1]].rstrip()
    return text[:CUT].rsplit(None, 1)[0]


def _source(name: str, source: str, lang: str) -> str:
    """Our name of a source; the many parts of `human_short_text` are joined to families by origin and language."""
    if name == "human_short_text":
        family = _families.sub("", source)
        family = "tweeteval/stance" if family.startswith("tweeteval/stance") else family
        return f"people/{family}" if not family.startswith("umsab") else f"people/umsab-{lang}"
    if name in {"tweepfake", "electai", "showerthoughts", "grid_reddit_qa", "authormimic", "liang_toefl"}:
        return name
    if name == "matched_replies":
        return name
    return f"{name}/{source}"


def load_texts(
    data: Path | None,
    exclude: Collection[str] = (),
    seed: int = 0,
    cap: int = CAP,
    own: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """All text sets under `data` (the folder with `text/`, or that folder) as one table.

    Args:
        data: folder of the sets; None where `own` is all there is.
        exclude: names of sets, clusters or sources to leave out.
        seed: which rows a capped source keeps.
        cap: rows of one source and class that are kept.
        own: a set of one's own, of `training.own_texts`.

    Returns:
        Columns `text` (normalised, at most `CUT` characters for long forms), `label` (1 = machine), `set`, `cluster`,
        `source`, `generator`, `author_id`, `parent_id`, `lang`, `group`, `words`; "" where not known. Of the people of
        `training.populations` only those are in it whose role is to train. Duplicates of a text
        are dropped, the copy of the smaller source kept; texts of fewer than four words are dropped.

    Raises:
        UsageError: no set is there, or an excluded name is none.
    """
    frames = []
    if data is not None:
        folder = data / "text" if (data / "text").is_dir() else data
        frames = [_load_set(folder, spec) for spec in SETS if spec.name not in exclude]
    if own is not None:
        frames.append(_set(own, OWN_SET))
    frames = [frame for frame in frames if len(frame)]
    if not frames:
        raise UsageError(f"{data} holds none of the text sets ({', '.join(s.name for s in SETS)}); give --data")
    table = pd.concat(frames, ignore_index=True)
    known = {spec.name for spec in SETS} | set(table["cluster"]) | set(table["source"])
    for name in exclude:
        if name not in known:
            raise UsageError(f"--exclude {name}: no such set; there are {', '.join(sorted(s.name for s in SETS))}")
    table = table[~(table["cluster"].isin(list(exclude)) | table["source"].isin(list(exclude)))]
    table = table[~table["lang"].isin(ONE_SIDED)]
    sizes = table["source"].map(table["source"].value_counts())
    table = table.assign(size=sizes).sort_values(["size", "source"], kind="stable")
    table = table.drop_duplicates("text", keep="first").drop(columns="size")
    order = np.random.default_rng(seed).permutation(len(table))
    table = table.iloc[order]
    table = table[table.groupby(["source", "label"]).cumcount() < cap]
    return table.sort_values(["source", "label", "text"], kind="stable").reset_index(drop=True)


_addressed = re.compile(r"^(\S{1,30})[,:]\s+(?=\S)")


def _own_words(name: str, texts: pd.Series[str], authors: pd.Series[str]) -> list[str]:
    """Texts without the name of who is answered, which lines of IRC begin with: a mark of the place."""
    if name != "people_authors":
        return texts.tolist()
    names = {author.lower() for author in authors}
    out = []
    for text in texts:
        found = _addressed.match(text)
        out.append(text[found.end() :] if found and found.group(1).lower() in names else text)
    return out


def _load_set(folder: Path, spec: TextSet) -> pd.DataFrame:
    path = folder / f"{spec.name}.parquet"
    if not path.is_file():
        return pd.DataFrame()
    raw = pd.read_parquet(path)
    raw = raw[~_polished(spec.name, raw)].reset_index(drop=True)
    if any(population.file == spec.name for population in POPULATIONS):
        raw = raw[may_train(folder.parent, spec.name, raw)].reset_index(drop=True)
    return _set(raw, spec)


def _polished(name: str, raw: pd.DataFrame) -> NDArray[np.bool_]:
    """(n,) rows of a set's file that are a person's text in a model's words."""
    if "source" not in raw:
        return np.zeros(len(raw), np.bool_)
    polished: NDArray[np.bool_] = ((name + "/" + raw["source"]).isin(POLISHED) & (raw["label"] == 1)).to_numpy()
    return polished


def _set(raw: pd.DataFrame, spec: TextSet) -> pd.DataFrame:
    def column(name: str) -> pd.Series[str]:
        if name not in raw:
            return pd.Series("", index=raw.index)
        return raw[name].astype("object").where(raw[name].notna(), "").astype(str)

    lang = column("lang").map(normalise_language)
    unknown = lang == ""
    lang = lang.where(
        ~unknown, column("text").where(unknown, "").map(lambda text: detect_language(text) if text else "")
    )
    source = pd.Series(
        [_source(spec.name, s, lng) for s, lng in zip(column("source"), lang, strict=True)], index=raw.index
    )
    table = pd.DataFrame(
        {
            "text": [normalise(shorten(text)) for text in _own_words(spec.name, column("text"), column("author_id"))],
            "label": raw["label"].astype(int),
            "set": spec.name,
            "cluster": spec.cluster if spec.cluster else source,
            "source": source,
            "generator": column("generator"),
            "author_id": column("author_id"),
            "parent_id": column("parent_id"),
            "lang": lang.replace("pcm", "en"),
            "group": column("group"),
        }
    )
    table["words"] = encode(table["text"].tolist()).word_counts
    return table[table["words"] >= 4]


LENGTH_BINS: Final = 10


def length_bins(words: NDArray[np.int64], edges: NDArray[np.float64] | None = None) -> NDArray[np.int64]:
    """Which of ten bins each length is in; deciles of `words` themselves unless `edges` (9,) are given."""
    if edges is None:
        edges = np.quantile(words, np.linspace(0, 1, LENGTH_BINS + 1)[1:-1])
    return np.searchsorted(edges, words, side="right")


def balance(table: pd.DataFrame, rounds: int = 30, cap: float = 20.0) -> NDArray[np.float64]:
    """Weight of every row, mean 1: sources alike within a class, classes alike within each length and language.

    Iterative proportional fitting over (source, class), (length bin, class), and (language, class); where a margin has
    one class only it is left as it is.

    Args:
        table: of `load_texts`.
        rounds: of the fitting.
        cap: no row weighs more than this many times the mean, so that a source of a few rows does not dominate.
    """
    label = table["label"].to_numpy()
    source = pd.factorize(table["source"])[0] * 2 + label
    lang = pd.factorize(table["lang"])[0]
    length = length_bins(table["words"].to_numpy())
    weight = np.ones(len(table))

    def equalise(margin: NDArray[np.int64]) -> None:
        totals = np.bincount(margin * 2 + label, weights=weight, minlength=2 * (int(margin.max()) + 1)).reshape(-1, 2)
        both = totals.min(axis=1) > 0
        target = np.where(both, totals.mean(axis=1), 0.0)
        factor = np.where(both.reshape(-1, 1), target[:, None] / np.maximum(totals, 1e-12), 1.0)
        weight[:] *= factor[margin, label]

    for _ in range(rounds):
        totals = np.bincount(source, weights=weight)
        weight /= np.maximum(totals[source], 1e-12)
        equalise(lang)
        equalise(length)
        weight *= np.where(label == 1, 0.5 / weight[label == 1].sum(), 0.5 / weight[label == 0].sum())
        weight *= len(weight)
        np.minimum(weight, cap, out=weight)
    balanced: NDArray[np.float64] = weight / weight.mean()
    return balanced


LARGEST_WEIGHT: Final = 5.0
"""How many times the mean a row may weigh: a source of a hundred texts is not to be learned by heart."""


def source_weights(table: pd.DataFrame) -> NDArray[np.float64]:
    """Weight of every row, mean 1: every source alike within its class, and the classes alike.

    On accounts of a source left out against people of another place this ranked far better than `balance`, which makes
    up for languages and lengths with a few rows of large weight.

    Args:
        table: of `load_texts`.
    """
    label = table["label"].to_numpy()
    weight = 1 / table.groupby(["source", "label"])["text"].transform("size").to_numpy().astype(np.float64)
    for kind in (0, 1):
        rows = label == kind
        if rows.any():
            weight[rows] = np.minimum(weight[rows] / weight[rows].mean(), LARGEST_WEIGHT)
            weight[rows] *= len(table) / 2 / weight[rows].sum()
    even: NDArray[np.float64] = weight / weight.mean()
    return even


def describe(table: pd.DataFrame) -> Iterable[dict[str, object]]:
    """One record per source for cards and reports: rows by class, generators, languages."""
    for source, rows in table.groupby("source"):
        yield {
            "source": str(source),
            "set": str(rows["set"].iloc[0]),
            "people": int((rows["label"] == 0).sum()),
            "machine": int((rows["label"] == 1).sum()),
            "generators": sorted(set(rows.loc[rows["label"] == 1, "generator"])),
            "languages": sorted(set(rows["lang"])),
        }
