"""Who acts in the demo: real people, read from `chitchat-dataset`, and the accounts that were written for it.

What joins the accounts of the demo: likes, reposts, follows and shared links, the same for people and planted ones.

The model has what real interaction has: a few accounts and links get most of the attention, communities keep to
themselves, news comes in bursts, and people act in sittings. Whether an account is planted is not an input, so that
neither interacting nor sharing a popular link gives it away. What gives a campaign away is in `stream.py`: that its
members are told to touch the same things.

What makes accounts of the demo act together: operators who give their accounts orders, and a fan club of people.

The club is there because coordination is not automation: its members are people, act together as much as a campaign's
accounts do, and must not be called machines.

The demo's stream: events in the contract's form, in order of time, and the truth about who is planted.

The same seed gives the same stream. Times run over two days from `START_MS`; account ids of people are not theirs.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from detector.data_splits import pseudonym, split_of
from detector.errors import UsageError
from detector.times import parse_time

POPULATION: Final = "chitchat"
"""The name under which `detector.data_splits` splits these people."""

LEAST_POSTS: Final = 12
"""Messages a person must have sent, so that there is something to be wrong about."""

MOST_POSTS: Final = 60
"""Messages taken of one person: the most talkative sent 23,661, and one person is one person."""

MOST_PEOPLE: Final = 120
"""People in the demo; together with the planted accounts a stream that plays in under a minute."""

DAY_MS: Final = 86_400_000

STREAM_DAYS: Final = 2

SPAN_MS: Final = STREAM_DAYS * DAY_MS


class Message(msgspec.Struct, frozen=True):
    """One message of a person: ms since the stream's first midnight, and which message of whom it answers, if any."""

    at: int
    author: str
    text: str
    answers: int = -1
    """Index, in the list of all messages, of the other person's message before it in its conversation; -1: none."""


class Persona(msgspec.Struct, frozen=True):
    """One planted account: what its operator had it be, and its posts in order."""

    account: str
    campaign: str | None
    persona: str
    posts: tuple[str, ...]


def planted() -> list[Persona]:
    """The accounts that were written for this project, in the order of the file."""
    text = resources.files("simulation.demo").joinpath("planted.jsonl").read_text(encoding="utf-8")
    return [msgspec.json.decode(line, type=Persona) for line in text.splitlines()]


def known_people() -> frozenset[str]:
    """Pseudonyms of people kept for the demo whose messages the shipped text model has read all the same.

    They are in two of the sets that it was trained on (`training/account_data.py` makes the list).
    """
    file = resources.files("simulation.demo").joinpath("known_people.json")
    return frozenset(msgspec.json.decode(file.read_bytes(), type=list[str]))


def people(seed: int) -> list[Message]:
    """Messages of people kept for the demo, ordered by time, each conversation at its real time of day.

    A conversation moves as a whole, by whole days, to one of the stream's days, so that hours, sittings and answers
    stay real. Nobody in it trains or calibrates anything, and no shipped model has read a message of theirs.

    Raises:
        UsageError: `chitchat-dataset` is not installed.
    """
    try:
        from chitchat_dataset import Dataset
    except ImportError:
        raise UsageError(
            "the demo's people come from the package chitchat-dataset, which is not installed: "
            "pip install 'swarmlight[demo]', or run `make setup`"
        ) from None
    return choose(Dataset(), seed, known_people())


def choose(conversations: Mapping[str, Any], seed: int, known: Collection[str] = ()) -> list[Message]:
    """`people` on a given data set: conversations by id, each with `messages`, lists of turns of utterances.

    Args:
        known: pseudonyms of people to leave out.
    """
    counts: dict[str, int] = defaultdict(int)
    for _, author, text in _utterances(conversations.values()):
        counts[author] += bool(text)
    kept = sorted(
        author
        for author, count in counts.items()
        if count >= LEAST_POSTS and split_of(POPULATION, author) == "demo" and pseudonym(author) not in known
    )
    rng = np.random.default_rng(seed)
    order = sorted(conversations)
    left = {kept[i]: MOST_POSTS for i in rng.permutation(len(kept))[:MOST_PEOPLE]}
    messages: list[Message] = []
    for i in rng.permutation(len(order)):
        messages += _moved(conversations[order[i]], left, int(rng.integers(STREAM_DAYS)), len(messages))
    return _by_time(messages)


def _moved(conversation: Any, left: dict[str, int], day: int, base: int) -> list[Message]:
    """The part of a conversation that is wanted, on its new day; `answers` counts from `base`."""
    moved: list[Message] = []
    start: int | None = None
    last: dict[str, int] = {}
    for at, author, text in _utterances([conversation]):
        start = at if start is None else start
        time = day * DAY_MS + start % DAY_MS + (at - start)
        if not text or left.get(author, 0) <= 0 or not 0 <= time < SPAN_MS:
            continue
        left[author] -= 1
        others = [index for other, index in last.items() if other != author]
        last[author] = base + len(moved)
        moved.append(Message(time, author, text, max(others, default=-1)))
    return moved


def _by_time(messages: Sequence[Message]) -> list[Message]:
    """Ordered by time, with `answers` following; an answer never comes before what it answers."""
    order = sorted(range(len(messages)), key=lambda i: (messages[i].at, messages[i].author, i))
    place = {old: new for new, old in enumerate(order)}
    return [
        msgspec.structs.replace(
            messages[old], answers=place[messages[old].answers] if messages[old].answers >= 0 else -1
        )
        for old in order
    ]


def _utterances(conversations: Any) -> Iterator[tuple[int, str, str]]:
    """(ms since 1970, author, text) of every utterance, in the data set's order."""
    for conversation in conversations:
        for turn in conversation["messages"]:
            for utterance in turn:
                at = parse_time(utterance["timestamp"])
                if at is not None:
                    yield at, utterance["sender"], " ".join(utterance["text"].split())


COMMUNITIES: Final = 6
"""Circles of about 25 accounts, as large as the groups people keep up with."""

INTERACTIONS_MEDIAN: Final = 18.0
"""Of likes, reposts and follows in two days; log-normal, so that a few are on all day."""

INTERACTIONS_SPREAD: Final = 0.9

HOME: Final = 6.0
"""How much likelier a post of one's own community is noticed."""

NOTICED_MS: Final = 4 * 3_600_000
"""Older posts have left everybody's feed."""

HALF_LIFE_MS: Final = 3_600_000
"""Of attention to a post."""

BESIDE_OWN_POST: Final = 0.75
"""Share of interactions within a sitting in which the account also posts; the others come at its own other hours."""

SITTING_MS: Final = 600_000

KINDS: Final = ("like", "repost", "follow")

KIND_SHARES: Final = (0.70, 0.24, 0.06)

NEWS: Final = 60
"""Links in circulation over the two days."""

NEWS_DOMAINS: Final = (
    "daily-lantern",
    "northwire",
    "the-outpost",
    "gridiron-post",
    "clipvault",
    "songshelf",
    "memehouse",
)

NEWS_BURST_MS: Final = 5 * 3_600_000
"""How long a link stays fresh (mean of an exponential)."""

LINK_SHARE: Final = 0.1
"""Share of posts with a link, in people's and planted accounts' own posts alike."""


class Post(msgspec.Struct, frozen=True):
    """A post that can be noticed."""

    at: int
    account: int
    id: str


class Interaction(msgspec.Struct, frozen=True):
    """One account did `kind` to one post (or, for a follow, to its author)."""

    at: int
    account: int
    kind: str
    post: Post


class Society:
    """Habits of `accounts` accounts, drawn once."""

    def __init__(self, accounts: int, span_ms: int, rng: np.random.Generator) -> None:
        self._rng = rng
        self._span_ms = span_ms
        self._community = rng.integers(COMMUNITIES, size=accounts)
        self._popularity = rng.pareto(1.3, size=accounts) + 0.2
        self._eagerness = rng.lognormal(np.log(INTERACTIONS_MEDIAN), INTERACTIONS_SPREAD, size=accounts)
        self._news_at = rng.uniform(-NEWS_BURST_MS, span_ms, size=NEWS)
        self._news_weight = rng.pareto(1.1, size=NEWS) + 0.1
        self._news = [
            f"https://{NEWS_DOMAINS[int(rng.integers(len(NEWS_DOMAINS)))]}.example/{2000 + number}"
            for number in range(NEWS)
        ]

    def link(self, at: int) -> str | None:
        """The link that a post of this moment carries, mostly none; popular ones more often, while they are news."""
        if self._rng.random() >= LINK_SHARE:
            return None
        age = at - self._news_at
        weight = np.where(age >= 0, self._news_weight * np.exp(-np.maximum(age, 0) / NEWS_BURST_MS), 0.0)
        total = weight.sum()
        return self._news[int(self._rng.choice(NEWS, p=weight / total))] if total > 0 else None

    def interactions(self, posts: Sequence[Post]) -> list[Interaction]:
        """Everybody's likes, reposts and follows, each thing once; `posts` in order of time."""
        times = np.array([post.at for post in posts])
        authors = np.array([post.account for post in posts])
        appeal = self._popularity[authors] * (self._rng.pareto(1.5, size=len(posts)) + 0.1)
        done: list[Interaction] = []
        for account in range(len(self._community)):
            own = times[authors == account]
            seen: set[tuple[str, str]] = set()
            for at in self._moments(own, int(self._rng.poisson(self._eagerness[account]))):
                post = self._noticed(account, at, posts, times, authors, appeal)
                if post is None:
                    continue
                kind = str(self._rng.choice(KINDS, p=KIND_SHARES))
                what = str(post.account) if kind == "follow" else post.id
                if (kind, what) not in seen:
                    seen.add((kind, what))
                    done.append(Interaction(at, account, kind, post))
        return done

    def _moments(self, own: NDArray[np.int64], count: int) -> list[int]:
        """When an account with posts at `own` interacts: beside them, or at such an hour on the other day."""
        if not len(own):
            return []
        base = self._rng.choice(own, size=count)
        elsewhere = self._rng.random(count) >= BESIDE_OWN_POST
        day = self._span_ms // 2
        base = np.where(elsewhere, (base + day) % self._span_ms, base)
        moments = base + self._rng.laplace(0, SITTING_MS, size=count)
        return sorted(int(moment) for moment in moments if 0 <= moment < self._span_ms)

    def _noticed(
        self,
        account: int,
        at: int,
        posts: Sequence[Post],
        times: NDArray[np.int64],
        authors: NDArray[np.int64],
        appeal: NDArray[np.float64],
    ) -> Post | None:
        low, high = np.searchsorted(times, (at - NOTICED_MS, at))
        if low == high:
            return None
        window = slice(int(low), int(high))
        home = np.where(self._community[authors[window]] == self._community[account], HOME, 1.0)
        weight = appeal[window] * home * np.exp2(-(at - times[window]) / HALF_LIFE_MS) * (authors[window] != account)
        total = weight.sum()
        return posts[int(low) + int(self._rng.choice(int(high - low), p=weight / total))] if total > 0 else None


HOUR_MS: Final = 3_600_000

ROUND_HOURS: Final = (0.5, 2.0, 3.5, 15.0, 16.75, 18.5, 20.25, 22.0, 25.0, 27.0, 39.0, 41.0)
"""When an operator has its accounts act, in hours of the stream: at the hours at which the people here are awake."""

ROUND_MS: Final = 75 * 60_000
"""How long the accounts of a campaign take over one round, so that they do not all act in one minute."""

TAKES_PART: Final = 0.85
"""Chance that an account follows a round; otherwise its post goes out on its own, hours later."""

LIFTS: Final = 0.8
"""Chance that an account reposts the round's first post where the round is about lifting it."""

AMPLIFIES: Final = 0.2
"""The same chance in other rounds."""

RUNS_ERRANDS: Final = 0.6
"""Chance that an account reposts what the operator wants lifted."""

CHEERS: Final = 0.75
"""Chance that a fan reposts a piece of news."""

CLUB: Final = 8
"""Members of the fan club: as many as a campaign has accounts."""

CLUB_PAUSE_MS: Final = 2 * HOUR_MS
"""Between two pieces of news, at the hours at which somebody is awake to post them."""


PROMINENT_WORDS: Final = 6
"""A post that others take up says something."""


class Draft(msgspec.Struct):
    """A post on its way to becoming an event. Times are ms since the stream's beginning."""

    at: int
    account: int
    text: str
    link: str | None = None
    answers: Draft | None = None
    id: str = ""


class Orders(msgspec.Struct):
    """What was done on orders: posts, and reposts as (time, account, post)."""

    posts: list[Draft]
    reposts: list[tuple[int, int, Draft]]


def operate(
    personas: Sequence[Persona], rows: Sequence[int], people: list[Draft], society: Society, rng: np.random.Generator
) -> Orders:
    """Everything that planted accounts do; `rows` are the accounts of `personas`."""
    done = Orders([], [])
    campaigns = sorted({persona.campaign for persona in personas if persona.campaign})
    for account, persona in zip(rows, personas, strict=True):
        if persona.campaign is None:
            done.posts += _own_posts(persona.posts, account, people, society, rng)
    for campaign in campaigns:
        members = [(row, one) for row, one in zip(rows, personas, strict=True) if one.campaign == campaign]
        shift = int(rng.uniform(-HOUR_MS / 2, HOUR_MS / 2))
        for number in range(len(members[0][1].posts)):
            start = max(0, int(ROUND_HOURS[number % len(ROUND_HOURS)] * HOUR_MS) + shift)
            _round(done, campaign, number, start, [(row, one.posts[number]) for row, one in members], people, rng)
    return done


def cheer(people: list[Draft], accounts: int, rng: np.random.Generator) -> tuple[set[int], Orders]:
    """The fan club: who is in it, and their reposts of what concerns it, whoever says it. Their posts are their own."""
    club = {int(row) for row in rng.permutation(accounts)[:CLUB]}
    done = Orders([], [])
    last = -CLUB_PAUSE_MS
    for news in people:
        if news.at >= last + CLUB_PAUSE_MS and len(news.text.split()) >= PROMINENT_WORDS:
            last = news.at
            fans = [fan for fan in sorted(club) if fan != news.account and rng.random() < CHEERS]
            done.reposts += [(_within(news.at, rng), fan, news) for fan in fans]
    return club, done


def _round(
    done: Orders,
    campaign: str,
    number: int,
    start: int,
    posts: Sequence[tuple[int, str]],
    people: list[Draft],
    rng: np.random.Generator,
) -> None:
    """One instruction of an operator: to share a page, to answer the same post, or to lift one of their own.

    With it goes an errand that takes no words: to repost somebody else's post that suits the operator.
    """
    target = _prominent(people, start, rng)
    errand = _prominent(people, start, rng)
    page = f"https://{campaign}-voices.example/{number + 1}"
    first: Draft | None = None
    for account, text in (posts[i] for i in rng.permutation(len(posts))):
        takes_part = rng.random() < TAKES_PART
        at = start + int(rng.uniform(0, ROUND_MS) if takes_part else rng.uniform(2, 6) * HOUR_MS)
        draft = Draft(min(at, SPAN_MS - 1), account, text)
        if takes_part and number % 3 == 0:
            draft.link = page
        elif takes_part and number % 3 == 1:
            draft.answers = target
        done.posts.append(draft)
        if first is None and takes_part:
            first = draft
        elif first is not None and rng.random() < (LIFTS if number % 3 == 2 and takes_part else AMPLIFIES):
            done.reposts.append((_after(first, rng), account, first))
        if errand is not None and rng.random() < RUNS_ERRANDS:
            done.reposts.append((_within(start, rng), account, errand))


def _own_posts(
    posts: Iterable[str], account: int, people: list[Draft], society: Society, rng: np.random.Generator
) -> list[Draft]:
    """A lone account's posts at the hours of the stream's people."""
    texts = list(posts)
    hours = sorted(people[int(i)].at for i in rng.integers(len(people), size=len(texts)))
    times = [min(SPAN_MS - 1, max(0, at + int(rng.normal(0, HOUR_MS / 2)))) for at in hours]
    return [Draft(at, account, text, society.link(at)) for at, text in zip(sorted(times), texts, strict=True)]


def _prominent(people: list[Draft], start: int, rng: np.random.Generator) -> Draft | None:
    """A person's post of the two hours before, for all of a campaign to answer; None where nobody posted."""
    recent = [
        draft
        for draft in people
        if start - 2 * HOUR_MS <= draft.at < start and len(draft.text.split()) >= PROMINENT_WORDS
    ]
    return recent[int(rng.integers(len(recent)))] if recent else None


def _within(start: int, rng: np.random.Generator) -> int:
    """A moment of the round that begins at `start`."""
    return min(SPAN_MS - 1, start + int(rng.uniform(0, ROUND_MS)))


def _after(post: Draft, rng: np.random.Generator) -> int:
    return min(SPAN_MS - 1, post.at + 60_000 + int(rng.exponential(40 * 60_000)))


START_MS: Final = 1_748_822_400_000
"""2025-06-02T00:00:00Z, a Monday: any past midnight would do, and a fixed one keeps the stream the same."""


class Stream(msgspec.Struct, frozen=True):
    """Events in order of time, and for every account its label (1: planted) and campaign."""

    events: list[dict[str, Any]]
    truth: list[dict[str, Any]]

    def campaigns(self) -> dict[str, set[str]]:
        """Accounts of each planted campaign."""
        found: dict[str, set[str]] = {}
        for row in self.truth:
            if row["campaign"]:
                found.setdefault(row["campaign"], set()).add(row["account"])
        return found

    def club(self) -> set[str]:
        """The people who act together and are people."""
        return {row["account"] for row in self.truth if row["slice"] == "people-club"}

    def machines(self) -> set[str]:
        return {row["account"] for row in self.truth if row["label"]}


def build(messages: Sequence[Message], personas: Sequence[Persona], seed: int) -> Stream:
    """The stream of these people and planted accounts."""
    rng = np.random.default_rng(seed)
    authors = Counter(message.author for message in messages)
    names = [f"user_{pseudonym(author)[:8]}" for author in sorted(authors)] + [persona.account for persona in personas]
    row = {author: number for number, author in enumerate(sorted(authors))}
    society = Society(len(names), SPAN_MS, rng)
    people = _people(messages, row, society)
    rows = range(len(row), len(names))
    ordered = operate(personas, rows, people, society, rng)
    club, cheered = cheer(people, len(row), rng)
    drafts = sorted([*people, *ordered.posts], key=lambda draft: (draft.at, draft.account))
    for number, draft in enumerate(drafts):
        draft.id = f"p{number}"
    acts = [
        (touch.at, touch.account, touch.kind, touch.post)
        for touch in society.interactions([Post(draft.at, draft.account, draft.id) for draft in drafts])
    ]
    reposts = [*ordered.reposts, *cheered.reposts]
    acts += [(at, account, "repost", Post(post.at, post.account, post.id)) for at, account, post in reposts]
    events = [_post_event(draft, names) for draft in drafts]
    events += [_act_event(number, act, names) for number, act in enumerate(acts)]
    events.sort(key=lambda event: (event["at"], event["account"], event["id"]))
    return Stream(events, _truth(names, personas, club))


def _people(messages: Sequence[Message], row: dict[str, int], society: Society) -> list[Draft]:
    drafts: list[Draft] = []
    for message in messages:
        answers = drafts[message.answers] if message.answers >= 0 else None
        link = None if answers else society.link(message.at)
        drafts.append(Draft(message.at, row[message.author], message.text, link, answers))
    return drafts


def _time(at: int) -> str:
    return datetime.fromtimestamp((START_MS + at) / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _post_event(draft: Draft, names: Sequence[str]) -> dict[str, Any]:
    event: dict[str, Any] = {
        "v": 1,
        "id": draft.id,
        "account": names[draft.account],
        "at": _time(draft.at),
        "kind": "reply" if draft.answers else "post",
        "text": f"{draft.text} {draft.link}" if draft.link else draft.text,
    }
    if draft.answers:
        event |= {"target": draft.answers.id, "target_account": names[draft.answers.account]}
    return event


def _act_event(number: int, act: tuple[int, int, str, Post], names: Sequence[str]) -> dict[str, Any]:
    at, account, kind, post = act
    event = {"v": 1, "id": f"a{number}", "account": names[account], "at": _time(at), "kind": kind}
    if kind != "follow":
        event["target"] = post.id
    return event | {"target_account": names[post.account]}


def _truth(names: Sequence[str], personas: Sequence[Persona], club: set[int]) -> list[dict[str, Any]]:
    """One row per account, in the form that `swarmlight evaluate` reads."""
    people = len(names) - len(personas)
    rows: list[dict[str, Any]] = [
        {"account": name, "label": 0, "campaign": None, "slice": "people-club" if row in club else "people"}
        for row, name in enumerate(names[:people])
    ]
    for persona in personas:
        part = f"campaign-{persona.campaign}" if persona.campaign else "lone"
        rows.append({"account": persona.account, "label": 1, "campaign": persona.campaign, "slice": part})
    return rows
