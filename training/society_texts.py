"""Simulated societies whose accounts write real texts: what the same-controller model is trained on.

The simulator acts out who does what, when and with whom (`simulation.world`); the words come from the pools of
`training.text_pools`, so that acting together and talking about one thing can be told apart:

- an operator's campaign is filled with one campaign's texts, an account with one author's: its narrative where it
  serves a task of the operator, cover elsewhere, each text once;
- an organic crowd has people who talk about one thing, often about the very thing that a campaign talks about;
- matched controls, other people and lone machines have authors of their own; half of the control groups share a topic.

All texts have one typography (`text_pools.plain`), and nobody has more of them than the society allows, so that neither
tells who is who. `text_society` makes one society, `make_societies` a work folder of them.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np

from detector.data_splits import Split
from detector.errors import UsageError
from simulation import world as manners
from simulation.content.base import Text
from simulation.content.given import Given
from simulation.output import Renderer
from simulation.population_files import written
from simulation.roles import CROWDS, ORDINARY
from simulation.sampling import Flags, Ints, Json
from simulation.world import Chunk, World
from training.society_plan import ACCOUNTS, FAMILIES, FAMILIES_EACH, Plan, between, drawn_pool, planned
from training.text import ProgressCallback
from training.text_pools import ANY_POINT, HUMAN, Author, Pool, TextPools, left_out, plain, read_pools

LONE: Final = (0.01, 0.08)
"""Share of accounts that a machine writes for and nobody coordinates."""

LONE_SLICE: Final = "lone"

LANGUAGE_PEOPLE: Final = 0.06
"""Share of ordinary people who write in the language of a campaign, for each that is not English: it is not alone."""

TOPIC_SHARED: Final = 0.6
"""How often a crowd talks about what a campaign talks about (`Pool.topic`), where people do."""

TWINS_TOPICAL: Final = 0.5
"""Share of control groups whose people all talk about one thing."""

BY_POINT: Final = 0.6
"""Share of campaigns whose tasks each have a talking point; in the others members take whichever comes next."""

PEOPLE: Final[Mapping[str, float]] = {
    "contest-dev": 0.35, "chitchat": 0.18, "people_authors": 0.2, "human_short_text": 0.2, "more_generators": 0.05,
    "tweepfake": 0.02,
}  # fmt: skip
"""How often other people are of a set: those of a public platform, with hours and words of their own, most often."""

VERSION: Final = 1
"""Of what `make_societies` writes: folders of another are made anew."""


class SocietyFiles(NamedTuple):
    """A society on disk: post events as JSON lines, and its truth, one line an account."""

    events: Path
    truth: Path


def text_society(
    rng: np.random.Generator,
    data: Path,
    out: Path,
    *,
    families: Sequence[str] | None = None,
    campaigns: Sequence[str] | None = None,
    without: Sequence[str] = (),
    role: Split | None = "train",
    accounts: tuple[int, int] = ACCOUNTS,
) -> SocietyFiles:
    """Make a society with texts: `out/events.jsonl` and `out/truth.jsonl`.

    A line of the truth has account, label, campaign (the operator's), family (tactics), texts (name of the pool),
    author (in that pool), generator, group (organic crowd), slice, role and twin_of as the simulator gives them. Equal
    generators and data give equal files.

    Args:
        rng: where chance comes from.
        data: folder with `text/` and `streams/`.
        out: folder for the files.
        families: of operators' tactics, drawn from `FAMILIES` where None.
        campaigns: pools that campaigns may be filled with (names or their beginnings); all where None.
        without: pools that nobody's texts are taken from.
        role: of the people of the stream and the chats (`text_pools.read_pools`).
        accounts: bounds of their number.

    Raises:
        UsageError: a name is none, the texts do not suffice, or a file cannot be written.
    """
    pools = read_pools(data, without, role)
    for name in families or ():
        if name not in FAMILIES:
            raise UsageError(f"no family of tactics {name!a}: there are {', '.join(FAMILIES)}")
    usable = [pool for pool in pools.campaigns if campaigns is None or left_out(pool.name, campaigns)]
    if not usable:
        raise UsageError(f"no campaign texts named {', '.join(campaigns or ())}; there are, for example, "
                         f"{', '.join(pool.name for pool in pools.campaigns[:8])}")  # fmt: skip
    drawn = sorted(rng.choice(sorted(FAMILIES), FAMILIES_EACH, replace=False).tolist())
    plan = planned(rng, usable, list(families or drawn), accounts)
    world = World(plan.population, int(rng.integers(2**31)), Given())
    chunk = Chunk.joined(list(world.chunks()))
    written_by = np.bincount(chunk.account[manners.written(chunk.kind)], minlength=len(world.people))
    voices = Casting(rng, pools, world, plan, written_by).voices()
    texts = TextAssignment(rng, world, chunk, voices).texts()
    kept = worth_keeping(chunk, [text is not None for text in texts])
    out.mkdir(parents=True, exist_ok=True)
    files = SocietyFiles(out / "events.jsonl", out / "truth.jsonl")
    renderer = Renderer(world)
    with written(files.events) as file:
        file.write(renderer.lines(chunk.where(kept), [texts[i] for i in np.flatnonzero(kept).tolist()]))
    rows = sorted(truth_rows(world, renderer.names, voices, plan), key=lambda row: str(row["account"]))
    with written(files.truth) as file:
        file.writelines(msgspec.json.encode(row) + b"\n" for row in rows)
    return files


def make_societies(
    work: Path,
    count: int,
    data: Path,
    seed: int,
    say: ProgressCallback,
    *,
    families: Sequence[str] | None = None,
    campaigns: Sequence[str] | None = None,
    without: Sequence[str] = (),
    role: Split | None = "train",
    accounts: tuple[int, int] = ACCOUNTS,
) -> list[SocietyFiles]:
    """Make societies in a work folder, or take those that are there from an earlier call with the same arguments.

    Args:
        work: the folder; society i of a seed is in `work/SEED-iii`.
        count: how many.
        data: folder with `text/` and `streams/`.
        seed: of all of them; society i does not depend on `count`.
        say: told what is done and which share of it.
        families: of operators' tactics, drawn from `FAMILIES` where None.
        campaigns: pools that campaigns may be filled with (names or their beginnings); all where None.
        without: pools that nobody's texts are taken from.
        role: of the people of the stream and the chats (`text_pools.read_pools`).
        accounts: bounds of their number.

    Raises:
        UsageError: as `text_society`.
    """
    made = []
    choices = {"families": families, "campaigns": campaigns, "without": sorted(without), "role": role}
    label = msgspec.json.encode({"version": VERSION, "seed": seed, "accounts": accounts, **choices})
    for i in range(count):
        say(f"society {i + 1} of {count}", i / count)
        place = work / f"{seed}-{i:03d}"
        files = SocietyFiles(place / "events.jsonl", place / "truth.jsonl")
        mark = place / "made.json"
        whole = mark.is_file() and files.events.is_file() and files.truth.is_file()
        if not whole or mark.read_bytes() != label:
            shutil.rmtree(place, ignore_errors=True)
            rng = np.random.default_rng([seed, i])
            text_society(
                rng, data, place, families=families, campaigns=campaigns, without=without, role=role, accounts=accounts
            )
            mark.write_bytes(label)
        made.append(files)
    return made


# Who writes whose texts


@dataclass
class Voice:
    """Whose texts an account writes, and how many are left to say.

    Args:
        pool: name of the pool.
        author: whose texts they are.
        most: texts it writes at most.
        by_point: its campaign, where each task of that has a talking point; else -1.
    """

    pool: str
    author: Author
    most: int
    by_point: int = -1
    told: list[tuple[str, str]] = field(default_factory=list)  # point and text, in order
    cover: list[str] = field(default_factory=list)


class Casting:
    """Gives every account an author, no author to two accounts, and no text to two authors.

    Args:
        rng: where chance comes from.
        pools: whose texts there are.
        world: the society, acted out.
        plan: what was drawn for it.
        written_by: shape (accounts,), posts, replies and quotes of each.
    """

    def __init__(self, rng: np.random.Generator, pools: TextPools, world: World, plan: Plan, written_by: Ints) -> None:
        self._rng, self._pools, self._world, self._plan = rng, pools, world, plan
        self._written = written_by
        self._taken: set[tuple[str, str]] = set()  # set and author
        self._said: set[str] = set()
        self._voices: dict[int, Voice] = {}
        self._order: dict[str, list[int]] = {}
        self._lone = between(rng, LONE)

    def voices(self) -> dict[int, Voice]:
        """A voice by account; accounts that no author was left for have none, and say nothing."""
        rng, roles, plan = self._rng, self._world.roles, self._plan
        for number, campaign in enumerate(roles.campaigns):
            pool = plan.pools[number]
            point = number if rng.random() < BY_POINT else -1
            for account in campaign.members.tolist():
                self._give(account, [pool], plan.most, point)
        crowds = crowds_of(self._world)
        for members in crowds.values():
            topic = self._topic()
            for account in members.tolist():
                self._give_people(account, topic, plan.most)
        for campaign in roles.campaigns:
            topic = self._topic() if rng.random() < TWINS_TOPICAL else None
            for account, control in zip(campaign.members.tolist(), campaign.controls.tolist(), strict=True):
                mine = self._voices.get(account)
                most = len(mine.told) + len(mine.cover) if mine else plan.most
                self._give_people(control, topic, min(most, plan.most))
        self._others()
        return self._voices

    def _give_people(self, account: int, topic: Pool | None, most: int) -> None:
        if topic is None or not self._give(account, [topic], most):
            self._give(account, self._pools.people, most)

    def _topic(self) -> Pool | None:
        """A crowd's pool: of a campaign's topic by the share `TOPIC_SHARED`, else of any."""
        topics = {pool.topic for pool in self._plan.pools}
        used = {voice.pool for voice in self._voices.values()}
        free = [pool for pool in self._pools.crowds if pool.name not in used]
        same = [pool for pool in free if pool.topic in topics]
        if same and self._rng.random() < TOPIC_SHARED:
            return same[int(self._rng.integers(len(same)))]
        return free[drawn_pool(self._rng, free, {})] if free else None

    def _others(self) -> None:
        rng, world = self._rng, self._world
        people = list(self._pools.people)
        langs = sorted({pool.lang for pool in self._plan.pools} - {"en", ""})
        leaders = {group.leader for group in world.roles.groups}
        for account in rng.permutation(len(world.people)).tolist():
            if account in self._voices or world.roles.label[account]:
                continue
            speakers = [pool for pool in people if pool.lang in langs]
            if lone_possible(world, account, leaders) and rng.random() < self._lone:
                self._give(account, self._pools.machines, self._plan.most)
            elif speakers and rng.random() < LANGUAGE_PEOPLE * len(langs):
                self._give(account, speakers, self._plan.most)
            else:
                self._give(account, people, self._plan.most)

    def _give(self, account: int, pools: Sequence[Pool], most: int, by_point: int = -1) -> bool:
        """Give an account the next author of one of the pools who has something left to say; whether anybody has."""
        left = list(pools)
        while left:
            place = drawn_pool(self._rng, left, PEOPLE) if len(left) > 1 else 0
            pool = left[place]
            order = self._order.setdefault(pool.name, self._rng.permutation(len(pool.authors)).tolist())
            while order:
                author = pool.authors[order.pop()]
                key = (pool.name.split("/")[0], author.name)
                if key in self._taken:
                    continue
                voice = self._voice(pool, author, min(most, int(self._written[account])), by_point)
                if voice.told or voice.cover or not self._written[account]:
                    self._taken.add(key)
                    self._voices[account] = voice
                    return True
            left.pop(place)
        return False

    def _voice(self, pool: Pool, author: Author, most: int, by_point: int) -> Voice:
        """An author's texts that nobody has said, from a random one on."""
        voice = Voice(pool.name, author, most, by_point)
        points = author.points or ("",) * len(author.texts)
        begin = 0 if author.points else int(self._rng.integers(max(len(author.texts) - most, 0) + 1))
        for text, point in list(zip(author.texts, points, strict=True))[begin:]:
            if not author.points and len(voice.cover) >= most:
                break
            words = plain(text)
            if not words or words.lower() in self._said:
                continue
            self._said.add(words.lower())
            if point:
                voice.told.append((point, words))
            else:
                voice.cover.append(words)
        return voice


def crowds_of(world: World) -> dict[str, Ints]:
    """The organic crowds of a society by an id: accounts that gather around moments, and circles of friends."""
    found: dict[str, Ints] = {}
    slices = {name.replace("_", "-") for name in CROWDS} | {"friends"}
    groups = [group.members for group in world.roles.groups] + [circle for circle, _ in world.roles.circles]
    for members in groups:
        part = world.roles.slice[int(members[0])]
        if part in slices and not world.roles.label[members[0]]:
            found[f"{part}-{len(found):03d}"] = members
    return found


def lone_possible(world: World, account: int, leaders: set[int]) -> bool:
    """Whether a machine may write for this account: it has no other part in the society.

    Args:
        world: the society.
        account: row of the account.
        leaders: people whom groups copy, frame or amplify.
    """
    return world.roles.slice[account] == ORDINARY and account not in leaders


# What each event says


class TextAssignment:
    """Gives the events of a society their texts.

    Members of a campaign say its narrative in what serves a task of theirs, and cover elsewhere; when narrative is left
    over they say it anywhere. Where a task has a talking point, members who have something on it say that. Posts that
    copy, and headlines of share buttons, repeat.

    Args:
        rng: where chance comes from.
        world: the society.
        chunk: all its events.
        voices: by account.
    """

    def __init__(self, rng: np.random.Generator, world: World, chunk: Chunk, voices: Mapping[int, Voice]) -> None:
        self._rng, self._world, self._chunk, self._voices = rng, world, chunk, voices
        self._points: dict[int, str] = {}  # by task
        self._known: dict[int, list[str]] = defaultdict(list)  # talking points by campaign
        for voice in voices.values():
            if voice.by_point >= 0:
                self._known[voice.by_point] += sorted({point for point, _ in voice.told} - {ANY_POINT})

    def texts(self) -> list[Text | None]:
        """A text or none for each event."""
        chunk = self._chunk
        repeats, first = self._repeats()
        speaks = self._speaking(repeats & ~first, first)
        found: list[Text | None] = [None] * len(chunk)
        place = {serial: i for i, serial in enumerate(chunk.serial.tolist())}
        shared: dict[tuple[int, int], Text] = {}
        for i in range(len(chunk)):
            if not (speaks[i] or repeats[i]):
                continue
            if chunk.manner[i] == manners.COPIED:
                found[i] = found[place[source]] if (source := int(chunk.words[i])) in place else None
                continue
            key = (int(chunk.manner[i]), int(chunk.words[i]))
            if repeats[i] and key in shared:
                found[i] = shared[key]
            elif speaks[i]:
                found[i] = self._say(i)
                if repeats[i] and (text := found[i]) is not None:
                    shared[key] = text
        return found

    def _repeats(self) -> tuple[Flags, Flags]:
        """Which events repeat words that others use, and which of these are the first to use them."""
        chunk = self._chunk
        shared = np.isin(chunk.manner, (manners.VERBATIM, manners.HEADLINE)) & manners.written(chunk.kind)
        shared &= chunk.words >= 0
        first: Flags = np.zeros(len(chunk), bool)
        at = np.flatnonzero(shared)
        keys = chunk.words[at] * 16 + chunk.manner[at]
        first[at[np.unique(keys, return_index=True)[1]]] = True
        return shared | (chunk.manner == manners.COPIED), first

    def _speaking(self, silent: Flags, first: Flags) -> Flags:
        """Events with words of their account's own: so many of each as it has texts, at any time of the society.

        Args:
            silent: events that have no words of their own.
            first: events whose words others wait for: these have words before others.
        """
        chunk, rng = self._chunk, self._rng
        speaks: Flags = np.zeros(len(chunk), bool)
        events = np.flatnonzero(manners.written(chunk.kind) & ~silent)
        order = events[np.argsort(chunk.account[events], kind="stable")]
        owners, starts = np.unique(chunk.account[order], return_index=True)
        for account, mine in zip(owners.tolist(), np.split(order, starts[1:]), strict=True):
            voice = self._voices.get(account)
            if voice is None:
                continue
            count = min(voice.most, len(voice.told) + len(voice.cover), len(mine))
            rank = rng.random(len(mine)) - first[mine]
            if voice.told:
                # As many of the events that serve a task as there is narrative for, before any other.
                serving = np.flatnonzero(chunk.task[mine] >= 0)
                serving = serving[np.argsort(rank[serving])][: len(voice.told)]
                rank[serving] -= 1.0
            speaks[mine[np.argsort(rank, kind="stable")[:count]]] = True
        return speaks

    def _say(self, i: int) -> Text | None:
        voice = self._voices[int(self._chunk.account[i])]
        task = int(self._chunk.task[i])
        if task >= 0 and voice.told:
            words = voice.told.pop(self._on_point(voice, task))[1]
        elif voice.cover:
            words = voice.cover.pop(0)
        elif voice.told:
            words = voice.told.pop(0)[1]
        else:
            return None
        return Text(words, voice.author.lang)

    def _on_point(self, voice: Voice, task: int) -> int:
        """Which of its texts an account says for a task: the first on the task's point, else the first."""
        known = self._known.get(voice.by_point, [])
        if not known:
            return 0
        if task not in self._points:
            self._points[task] = known[int(self._rng.integers(len(known)))]
        return next((k for k, (point, _) in enumerate(voice.told) if point == self._points[task]), 0)


def worth_keeping(chunk: Chunk, worded: Iterable[bool]) -> Flags:
    """Which events are written: posts without words only where they carry something or somebody reacts to them.

    Replies, quotes, reposts, likes and follows are reactions with words or without.

    Args:
        chunk: the events.
        worded: for each, whether it has words.
    """
    answered = np.isin(chunk.serial, chunk.target[chunk.target >= 0])
    carries = (chunk.link >= 0) | (chunk.tag >= 0)
    kept: Flags = (chunk.kind != manners.POST) | np.fromiter(worded, bool, len(chunk)) | carries | answered
    return kept


def truth_rows(world: World, names: Sequence[str], voices: Mapping[int, Voice], plan: Plan) -> list[Json]:
    """What is true of every account, with whose texts it writes.

    Args:
        world: the society.
        names: of its accounts.
        voices: by account.
        plan: what was drawn.
    """
    family = {
        int(member): plan.families[number]
        for number, campaign in enumerate(world.roles.campaigns)
        for member in campaign.members
    }
    crowd = {int(member): name for name, members in crowds_of(world).items() for member in members}
    rows = []
    for account, name in enumerate(names):
        row = world.roles.truth(account, name)
        voice = voices.get(account)
        generator = voice.author.generator if voice else None
        driven = generator not in (None, HUMAN)
        if driven and not row["label"]:
            row |= {"label": 1, "slice": LONE_SLICE}
        rows.append(
            row
            | {
                "slice": family.get(account, row["slice"]),
                "family": family.get(account, LONE_SLICE if row["slice"] == LONE_SLICE else None),
                "group": crowd.get(account),
                "texts": voice.pool if voice else None,
                "author": voice.author.name if voice else None,
                "generator": generator,
            }
        )
    return rows
