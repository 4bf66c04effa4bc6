"""Real texts by author, in pools for the accounts of simulated societies: campaigns, crowds, people, lone machines.

A *pool* is authors who belong together: the accounts of one operator's campaign (`frontier_campaigns/C3`, a thread of
`synthpai`), people who talk about one thing (a channel, a summit, a stance, the same hotel reviews), people who talk
about anything, machines that nobody coordinates. An author has texts by one hand, in their order. Where a set names no
authors, texts of one source, generator and language are dealt out to bags that stand for authors. Data never enter the
project; only the path to them does.
"""

from __future__ import annotations

import functools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from detector.data_splits import Split, split_of
from detector.errors import UsageError
from detector.text.tokenize import detect_language, normalise, normalise_language
from simulation.sampling import stream
from training.account_data import read_stream, read_truth
from training.data import ONE_SIDED, shorten

BAG: Final = (6, 14)
"""Texts that stand for one author where a set names none: about what an account of a two-day stream writes."""

LEAST_TEXTS: Final = 3
"""Texts of an author: two say nothing about a hand. People of `ONE_POST` have fewer."""

MOST_TEXTS: Final = 60
"""Texts kept of an author: an account of a society writes fewer, and one person is one person."""

LEAST_AUTHORS: Final = 5
"""Authors of a campaign or a crowd: fewer are no group."""

CONTEST: Final = "contest-dev"
"""The stream whose people write in the societies; their texts are not in `text/`."""

CONTEST_POPULATION: Final = "contest"
"""The name under which `detector.data_splits` splits the people of that stream."""

CHAT: Final = "chitchat"


@dataclass(frozen=True, slots=True)
class Author:
    """Texts of one hand.

    Args:
        name: of the author in the set.
        lang: primary subtag, "" where not known.
        generator: what wrote them; `HUMAN` for people.
        texts: as the set has them, in order.
        points: the talking point of each text of a campaign: "" for cover, `ANY_POINT` where the set names none; empty
            for authors of no campaign.
    """

    name: str
    lang: str
    generator: str
    texts: tuple[str, ...]
    points: tuple[str, ...] = ()


HUMAN: Final = "human"

ANY_POINT: Final = "*"


@dataclass(frozen=True, slots=True)
class Pool:
    """Authors who belong together.

    Args:
        name: of the set and what of it, such as `frontier_campaigns/C3`.
        topic: what they talk about where people and machines of one set do: equal for a campaign and its crowd.
        authors: in the order of their names.
    """

    name: str
    topic: str
    authors: tuple[Author, ...]

    @property
    def lang(self) -> str:
        """The language most authors write in."""
        langs = [author.lang for author in self.authors]
        return max(sorted(set(langs)), key=langs.count)


@dataclass(frozen=True)
class TextPools:
    """All pools of a data folder, in the order of their names."""

    campaigns: tuple[Pool, ...]
    crowds: tuple[Pool, ...]
    people: tuple[Pool, ...]
    machines: tuple[Pool, ...]


_hash_run = re.compile(r"(?:\s*#\w+)+\s*$")
_leftovers = re.compile(r"<[^<>]{0,40}>|https?\b\S*|(?<=\w)http$|[#@<>\\*]")
_addressed = re.compile(r"^[^\s,:]{2,20}[,:]\s+(?=\S)")


def plain(text: str) -> str:
    """A text in the one typography of a society: no emoji, mentions, links or line breaks, straight quotes, no tags.

    Tags at the end are left out and others become words: the tags and links of an event are the simulator's.

    >>> plain("Café ☕ open —  @you see #Bakery  #NewYear #food https://t.co/x")
    'Café open - see Bakery'
    """
    short = normalise(shorten(text))
    return " ".join(_leftovers.sub("", _hash_run.sub("", short)).split())


def unaddressed(text: str) -> str:
    """A line of a chat channel without the nickname that it is addressed to, which no platform's post begins with."""
    return _addressed.sub("", text, count=1)


def read_pools(data: Path, without: Iterable[str] = (), role: Split | None = "train") -> TextPools:
    """The pools of a folder with `text/`, `streams/`, and of the package `chitchat-dataset` where it is installed.

    Args:
        data: the folder; sets that it lacks are left out.
        without: names of pools, or beginnings of them (`frontier_posts`, `synthpai/t004`, `contest-dev`), to leave out.
        role: people of the stream and of the chats that are split by `detector.data_splits` are of this role; all where
            None.

    Raises:
        UsageError: there are no people or no campaigns.
    """
    return _read_pools(data, tuple(sorted(without)), role)


@functools.lru_cache(maxsize=2)
def _read_pools(data: Path, without: tuple[str, ...], role: Split | None) -> TextPools:
    """Kept, for reading takes longer than making a society."""
    sets = _Sets(data / "text" if (data / "text").is_dir() else data)
    campaigns = [*_written_campaigns(sets), *_topics(sets, label=1)]
    crowds = [*_communities(sets), *_topics(sets, label=0), *_stances(sets)]
    people = [*_people(sets)]
    if not left_out(CONTEST, without):
        people += _stream_people(data / "streams", role)
    if not left_out(CHAT, without):
        alone, by_prompt = _chats(role)
        people += alone
        crowds += by_prompt
    kinds = (campaigns, crowds, people, [*_lone_machines(sets)])
    least = (LEAST_AUTHORS, LEAST_AUTHORS, 1, 1)
    kept = [
        tuple(
            sorted(
                (pool for pool in pools if len(pool.authors) >= few and not left_out(pool.name, without)),
                key=lambda pool: pool.name,
            )
        )
        for pools, few in zip(kinds, least, strict=True)
    ]
    found = TextPools(*kept)
    if not found.campaigns or not found.people:
        missing = "campaigns" if not found.campaigns else "people"
        raise UsageError(f"{data} has no texts of {missing} that may be used; give --data FOLDER with the text sets")
    return found


def left_out(name: str, without: Iterable[str]) -> bool:
    """Whether a pool is among those left out, by its name or the parts that its name begins with."""
    return any(name == one or name.startswith(one + "/") for one in without)


class _Sets:
    """The parquet files of a folder, each read once, with texts and "" for what is not known."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, pd.DataFrame] = {}

    def rows(self, name: str, source: str = "", label: int | None = None) -> pd.DataFrame:
        """Rows of a set whose source begins with `source`; none where the file is not there.

        Args:
            name: of the set.
            source: beginning of the source.
            label: 1 for machines, 0 for people, both where None.
        """
        if name not in self._read:
            self._read[name] = self._load(name)
        table = self._read[name]
        keep = table["source"].str.startswith(source) if source else pd.Series(True, index=table.index)
        return table[keep & (table["label"] == label)] if label is not None else table[keep]

    def _load(self, name: str) -> pd.DataFrame:
        path = self._folder / f"{name}.parquet"
        if not path.is_file():
            return pd.DataFrame({column: pd.Series([], dtype=object) for column in _COLUMNS} | {"label": []})
        raw = pd.read_parquet(path)
        table = pd.DataFrame({"label": raw["label"].astype(int)})
        for column in _COLUMNS:
            given = raw[column] if column in raw else pd.Series("", index=raw.index)
            table[column] = given.astype("object").where(given.notna(), "").astype(str)
        table["lang"] = table["lang"].map(normalise_language).replace("pcm", "en")
        if name in _MASKS:
            table["text"] = table["text"].str.replace(_MASKS[name], " ", regex=True)
        return table[table["text"].str.strip() != ""]


_COLUMNS: Final = (
    "text", "generator", "source", "author_id", "lang", "parent_id", "group", "campaign", "talking_point", "created_at",
)  # fmt: skip

_MASKS: Final[Mapping[str, str]] = {"more_generators": r"(?i)emoji|\buser\b"}
"""Words that stand for what was masked in a set, and that `normalise` cannot know from real ones."""


def _authors(rows: pd.DataFrame, least: int = LEAST_TEXTS) -> list[Author]:
    """The authors of rows that name them."""
    made = []
    for name, mine in rows[rows["author_id"] != ""].groupby("author_id", sort=True):
        if len(mine) >= least:
            made.append(_author(str(name), mine))
    return made


def _author(name: str, mine: pd.DataFrame, points: Sequence[str] = ()) -> Author:
    (lang, count), *_ = Counter(mine["lang"].tolist()).most_common(1)
    return Author(
        name,
        lang if count >= ONE_LANGUAGE * len(mine) else "",
        mine["generator"].tolist()[0] if mine["label"].tolist()[0] else HUMAN,
        tuple(mine["text"].tolist()[:MOST_TEXTS]),
        tuple(points[:MOST_TEXTS]),
    )


ONE_LANGUAGE: Final = 0.8
"""Share of an author's texts in one language, from which it is the author's."""


def _bags(rows: pd.DataFrame, name: str, point: str = "") -> list[Author]:
    """Authors made of rows that name none: shuffled, and dealt out."""
    rng = stream(0, "bags", name)
    order = rng.permutation(len(rows))
    made: list[Author] = []
    used = 0
    while used < len(rows):
        size = int(rng.integers(BAG[0], BAG[1] + 1))
        mine = rows.iloc[order[used : used + size]]
        used += size
        if len(mine) >= LEAST_TEXTS:
            made.append(_author(f"{name}:{len(made)}", mine, [point] * len(mine) if point else ()))
    return made


def _pool(name: str, authors: Sequence[Author], topic: str = "") -> Pool:
    return Pool(name, topic or name, tuple(authors))


# Campaigns


def _written_campaigns(sets: _Sets) -> Iterable[Pool]:
    """Campaigns whose accounts are authors: written for the purpose, agents with a narrative, threads of personas."""
    frontier = sets.rows("frontier_campaigns")
    for name, rows in frontier.groupby("campaign", sort=True):
        yield _pool(f"frontier_campaigns/{name}", list(_pointed(rows, rows["talking_point"])))
    posts = sets.rows("frontier_posts")
    for name, rows in posts[posts["source"] != "independent"].groupby("source", sort=True):
        told = rows["group"].map(lambda part: ANY_POINT if part == "narrative" else "")
        yield _pool(f"frontier_posts/{name}", list(_pointed(rows, told)))
    harm = sets.rows("agents", "oasis_harm_groups")
    for name, rows in harm[~harm["campaign"].isin(["", BENIGN])].groupby("campaign", sort=True):
        yield _pool(f"oasis_harm_groups/{name}", list(_pointed(rows, pd.Series(ANY_POINT, index=rows.index))))
    yield from _threads(sets.rows("agents", "synthpai"))
    for name, rows in sets.rows("agents", "opinion_agents").groupby("generator", sort=True):
        told = pd.Series(ANY_POINT, index=rows.index)
        yield _pool(f"opinion_agents/{_word(str(name))}", list(_pointed(rows, told)))


BENIGN: Final = "benign"
"""The part of `oasis_harm_groups` that has no narrative: its agents are lone machines."""


def _pointed(rows: pd.DataFrame, points: pd.Series[str]) -> Iterable[Author]:
    for name, mine in rows.groupby("author_id", sort=True):
        if len(mine) >= LEAST_TEXTS and str(name):
            yield _author(str(name), mine, points.loc[mine.index].tolist())


THREAD_TEXTS: Final = 2
"""Comments of a persona in a thread, from which it is one of its campaign's accounts."""

THREAD_COVER: Final = 6
"""Comments of it in other threads that it posts as cover, at most: about as many as `frontier_campaigns` has."""


def _threads(rows: pd.DataFrame) -> Iterable[Pool]:
    """Each thread of `synthpai` as a campaign: what its personas say there, and in other threads for cover.

    A thread begins with a comment that answers nothing, and its comments follow it in the file.
    """
    if not len(rows):
        return
    rows = rows.assign(thread=(rows["parent_id"] == "").cumsum())
    everything = {str(name): mine for name, mine in rows.groupby("author_id", sort=True)}
    for thread, told in rows.groupby("thread", sort=True):
        authors = []
        for name, mine in told[told["parent_id"] != ""].groupby("author_id", sort=True):
            if len(mine) < THREAD_TEXTS:
                continue
            elsewhere = everything[str(name)]
            cover = elsewhere[(elsewhere["thread"] != thread) & (elsewhere["parent_id"] != "")].iloc[:THREAD_COVER]
            both = pd.concat([mine, cover]).sort_index()
            authors.append(_author(str(name), both, ["" if t != thread else ANY_POINT for t in both["thread"]]))
        yield _pool(f"synthpai/t{thread:03d}", authors)


_TOPICS: Final[Mapping[tuple[str, str], tuple[str, str]]] = {
    ("electai", ""): ("generator", ""),
    ("many_generators", "llama33_building_tweets"): ("lang", ""),
    ("many_generators", "mixtral_ai_education_tweets"): ("", ""),
    ("more_generators", "maideup_hotel"): ("lang", "lang"),
    ("more_generators", "german_hate"): ("generator", ""),
    ("more_generators", "headphone_reviews"): ("", ""),
    ("more_generators", "slop_cms"): ("", ""),
    ("more_generators", "hotel_reviews_small_llms"): ("generator", ""),
}
"""Sources whose texts are all about one thing but name no author: by what a campaign of machines, and a crowd of
people, is split further."""


def _topics(sets: _Sets, label: int) -> Iterable[Pool]:
    for (name, source), columns in _TOPICS.items():
        rows = sets.rows(name, source, label)
        column = columns[0] if label == 1 else columns[1]
        about = f"{name}/{source}" if source else name
        who = "machines" if label == 1 else "people"
        for key, part in [("", rows)] if not column else rows.groupby(column, sort=True):
            if str(key) in ONE_SIDED or not len(part):
                continue
            topic = about + (f"/{key}" if column == "lang" else "")
            full = f"{about}/{who}" + (f"/{_word(str(key))}" if key else "")
            yield _pool(full, _bags(part, full, ANY_POINT if label == 1 else ""), topic)


def _word(name: str) -> str:
    """A name that can be the part of another: the first word of a generator's long name."""
    return re.sub(r"[^a-z0-9.-]+", "-", name.lower())[:24].strip("-")


# People


def _stances(sets: _Sets) -> Iterable[Pool]:
    """Tweets of one source and language, dealt out to people: stances towards one thing, reviews, one kind of talk."""
    rows = sets.rows("human_short_text")
    rows = rows[~rows["lang"].isin(list(ONE_SIDED))]
    family = rows["source"].str.replace(r"-(?:train|test)$", "", regex=True)
    for source, part in rows[family.str.contains("stance|hate|offensive|Reviews|Editorial")].groupby(family, sort=True):
        name = f"human_short_text/{source}"
        yield _pool(name, _bags(part, name))
    for forum, part in sets.rows("grid_reddit_qa", "grid/ask", 0).groupby("source", sort=True):
        name = f"grid_reddit_qa/{str(forum).split('/')[-1]}"
        yield _pool(name, _bags(part, name))


CHANNEL_YEARS: Final = 3
"""Years of a channel that are one crowd: by then it talks about another release."""


def _communities(sets: _Sets) -> Iterable[Pool]:
    """People by name in one place: a technical channel by years, an afternoon about a summit, a country's messages."""
    irc = _irc(sets)
    if len(irc):
        era = irc["created_at"].str[:4].replace("", "0").astype(int) // CHANNEL_YEARS * CHANNEL_YEARS
        for years, rows in irc.groupby(era, sort=True):
            yield _pool(f"people_authors/irc_ubuntu/{years}", _authors(rows), "irc_ubuntu")
    yield _pool("people_authors/cop26_stream", _authors(sets.rows("people_authors", "cop26"), ONE_POST))
    sms = sets.rows("people_authors", "nus_sms")
    for lang, rows in sms.groupby("lang", sort=True):
        yield _pool(f"people_authors/nus_sms/{lang}", _authors(rows))


ONE_POST: Final = 1
"""Texts of a person of an afternoon's stream, where hardly anybody has more: its crowd acts much and says little."""


def _irc(sets: _Sets) -> pd.DataFrame:
    rows = sets.rows("people_authors", "irc_ubuntu")
    rows = rows.assign(text=rows["text"].map(unaddressed))
    return rows[rows["text"].str.count(r"\S+") >= CHAT_WORDS]


CHAT_WORDS: Final = 4
"""Words of a chat message that is taken as a post: shorter ones are answers that say nothing by themselves."""


def _people(sets: _Sets) -> Iterable[Pool]:
    yield _pool("people_authors/irc_ubuntu", _authors(_irc(sets)))
    sms = sets.rows("people_authors", "nus_sms")
    for lang, rows in sms.groupby("lang", sort=True):
        yield _pool(f"people_authors/nus_sms/{lang}", _authors(rows))
    tweets = sets.rows("human_short_text")
    tweets = tweets[~tweets["lang"].isin(list(ONE_SIDED)) & ~tweets["source"].str.contains("vader/[an]")]
    for lang, rows in tweets.groupby("lang", sort=True):
        name = f"human_short_text/{lang}"
        yield _pool(name, _bags(rows, name))
    for lang, rows in sets.rows("more_generators", "maideup_hotel", 0).groupby("lang", sort=True):
        name = f"more_generators/maideup_hotel/people/{lang}"
        yield _pool(name, _bags(rows, name))
    yield _pool("tweepfake/people", _authors(sets.rows("tweepfake", label=0)))


def _stream_people(folder: Path, role: Split | None) -> Iterable[Pool]:
    """People of the contest's stream with their own posts, by language."""
    events, truth = folder / f"{CONTEST}.jsonl.gz", folder / f"{CONTEST}.truth.jsonl"
    if not events.is_file() or not truth.is_file():
        return
    said: defaultdict[str, list[str]] = defaultdict(list)
    raw = read_stream(events)
    for account, text in zip(raw.account.tolist(), raw.texts, strict=True):
        said[raw.names[account]].append(text)
    pools: defaultdict[str, list[Author]] = defaultdict(list)
    for name, record in sorted(read_truth(truth).items()):
        texts = [text for text in said[name] if text][:MOST_TEXTS]
        chosen = role is None or split_of(CONTEST_POPULATION, name) == role
        if record["label"] == 0 and chosen and len(texts) >= LEAST_TEXTS:
            lang = detect_language(" ".join(texts)[:2000]) or ""
            pools[lang].append(Author(name, lang, HUMAN, tuple(texts)))
    for lang, authors in sorted(pools.items()):
        yield _pool(f"{CONTEST}/{lang or 'und'}", authors)


def _chats(role: Split | None) -> tuple[list[Pool], list[Pool]]:
    """People of `chitchat-dataset` of one role: each with what they said, and by the prompt that they talked about.

    Nothing where the package is not installed.
    """
    try:
        from chitchat_dataset import Dataset
    except ImportError:
        return [], []
    return chat_pools(Dataset(), role)


def chat_pools(conversations: Mapping[str, Any], role: Split | None) -> tuple[list[Pool], list[Pool]]:
    """The pools of conversations in the form of `chitchat-dataset`: everybody, and those who got one prompt.

    Args:
        conversations: by id, each with `messages`, lists of turns of utterances, and often a `prompt`.
        role: of the people taken, as in `detector.data_splits`; all where None.
    """
    said: defaultdict[str, list[str]] = defaultdict(list)
    prompted: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for _, conversation in sorted(conversations.items()):
        prompt = str(conversation.get("prompt") or "")
        for turn in conversation["messages"]:
            for message in turn:
                who, text = str(message["sender"]), str(message["text"])
                if len(text.split()) < CHAT_WORDS or (role is not None and split_of(CHAT, who) != role):
                    continue
                said[who].append(text)
                if prompt:
                    prompted[prompt][who].append(text)

    def authors(texts: Mapping[str, list[str]]) -> list[Author]:
        return [
            Author(who, "en", HUMAN, tuple(mine[:MOST_TEXTS]))
            for who, mine in sorted(texts.items())
            if len(mine) >= LEAST_TEXTS
        ]

    everybody = [_pool(CHAT, authors(said))] if said else []
    crowds = [
        _pool(f"{CHAT}/prompt-{number:03d}", authors(texts))
        for number, (_, texts) in enumerate(sorted(prompted.items()))
    ]
    return everybody, crowds


# Machines that nobody coordinates

_LONE_AUTHORS: Final = (
    ("frontier_social", "personas"), ("frontier_social", "imitate"), ("frontier_posts", "independent"),
    ("agents", "agent_debates"), ("agents", "moltbook"), ("agents", "oasis2"), ("tweepfake", ""),
)  # fmt: skip
"""Sources of machines with authors: set and beginning of the source."""

_LONE_BAGS: Final = (
    ("frontier_social", "chat"), ("frontier_social", "topic"), ("frontier_social", "multi"),
    ("frontier_social", "threads"), ("frontier_social", "spin"), ("many_generators", "gpt41mini"),
    ("many_generators", "byota"), ("many_generators", "syndisco"), ("many_generators", "amazon"),
    ("authormimic", ""), ("more_generators", "inspaired"), ("more_generators", "sarcasm"),
    ("more_generators", "reddit_dolphin"),
)  # fmt: skip
"""Sources of machines that name none: bags are of one source, generator, style, language and imitated author."""


def _lone_machines(sets: _Sets) -> Iterable[Pool]:
    for name, source in _LONE_AUTHORS:
        rows = sets.rows(name, source, 1)
        yield _pool(f"{name}/{source or 'machines'}", _authors(rows))
    harm = sets.rows("agents", "oasis_harm_groups")
    yield _pool(f"oasis_harm_groups/{BENIGN}", _authors(harm[harm["campaign"] == BENIGN]))
    for name, source in _LONE_BAGS:
        rows = sets.rows(name, source, 1)
        full = f"{name}/{source}" if source else name
        authors: list[Author] = []
        named = ["generator", "group", "lang"] + (["author_id"] if name == "authormimic" else [])
        for key, part in rows.groupby(named, sort=True):
            authors += _bags(part, "/".join(map(str, (full, *key))))
        yield _pool(full, authors)
