"""A simulated society whose people read ranked feeds: the simulator's world with feeds in the place of its readers.

In: a `World`, a `FeedPlan` and `ReaderSettings`. Out: `SocietyStep`s, the events of the world as before and the
exposures that went with them. People react to what their feed has shown them, or to who replied to them; reactions
count towards the ranking of the next step, so a feed shapes what it ranks. How much a person does stays the person's;
the feed decides whom to. Operators' accounts go on as the simulator has them: they act by their tasks and read nothing.
Feeds stand still during a step (`step_minutes`), as popularity does in the simulator. Equal worlds, plans and seeds
give equal events and exposures; feeds draw from a stream of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from simulation.actors import Reader
from simulation.feeds.candidates import Pools, batches
from simulation.feeds.exposures import Exposures
from simulation.feeds.plan import FeedPlan
from simulation.feeds.posts import Posts, Scores
from simulation.feeds.reading import Pages, ReaderSettings, Warned, pages_of, reacted_to
from simulation.feeds.scorers import Standing
from simulation.sampling import DAY_MS, Flags, Ints, stream
from simulation.world import Chunk, World

POOL_FADING_H: Final = 2.0
"""Hours in which the weight of engagement in the pools falls by e: as `scorers.Engagement` has it."""

Rated: TypeAlias = Callable[[Chunk], Scores]
"""Ratings against democratic values, 0 to 1, of a step's events; what carries no words is ignored."""


def unrated(chunk: Chunk) -> Scores:
    """0 for every event."""
    return np.zeros(len(chunk), np.float32)


@dataclass
class SocietyStep:
    """What happened in [begin_ms, end_ms): events, and who saw what."""

    begin_ms: int
    end_ms: int
    events: Chunk
    exposures: Exposures


class FeedSociety:
    """People and operators of a world, whose people read feeds. `plan` and `standing` may be changed between steps.

    Args:
        world: a simulated population that has not been acted out yet; it is changed.
        plan: the algorithms at work.
        reading: how people read.
        rated: ratings of new posts against democratic values; all 0 where not given.
        pushed: shape (accounts,), whose posts are put before everybody; nobody's where None.
        shared_luck: take all chance of a step from streams of that step, so that societies of one seed share it (common
            random numbers): the same accounts act and read at the same times, and what differs is what was changed.
    """

    def __init__(
        self,
        world: World,
        plan: FeedPlan,
        reading: ReaderSettings | None = None,
        rated: Rated = unrated,
        pushed: Flags | None = None,
        *,
        shared_luck: bool = False,
    ) -> None:
        n = len(world.people)
        self.world, self.plan, self.rated, self.pushed = world, plan, rated, pushed
        self.reading = ReaderSettings() if reading is None else reading
        self.standing = Standing.of(n)
        self.people: Flags = ~world.roles.label
        self.posts = Posts(world.feed, n)
        self.algorithm_of = plan.assigned(n, world.seed)
        self._rng = stream(world.seed, "feeds")
        self._shared_luck = shared_luck
        self._exposures = Exposures.none()
        world.choose = self._choose

    def steps(self) -> Iterator[SocietyStep]:
        """The steps from the start to the end, those before the start acted out but not given."""
        world = self.world
        while world.now_ms < world.end_ms:
            step = self.step()
            if step.end_ms > world.start_ms:
                for columns in ("events", "exposures"):
                    table = getattr(step, columns)
                    setattr(step, columns, table.where((table.at >= world.start_ms) & (table.at < world.end_ms)))
                yield step

    def step(self) -> SocietyStep:
        """What everybody does and sees in the next `step_minutes`."""
        begin = self.world.now_ms
        if self._shared_luck:
            self.world.draw_from(stream(self.world.seed, "acts", str(begin)))
            self._rng = stream(self.world.seed, "feeds", str(begin))
        self._exposures = Exposures.none()
        events = self.kept(self.world.step())
        self.posts.take(events, self.rated(events))
        return SocietyStep(begin, self.world.now_ms, events, self._exposures)

    def kept(self, events: Chunk) -> Chunk:
        """What of a step's events reaches the platform: all of it, unless a policy says otherwise."""
        return events

    def _choose(self, reader: Reader, account: Ints, at: Ints, rng: np.random.Generator) -> Ints:
        """As `Reader.choose`: the slot each reaction is to. Everybody who reads in this step does so here."""
        own, feed, posts = self._rng, self.world.feed, self.posts
        posts.forget()
        target = np.full(len(account), -1, np.int64)
        person = self.people[account]
        machine = np.flatnonzero(~person)
        target[machine] = reader.choose(account[machine], at[machine], rng)
        answering = np.flatnonzero(person & (own.random(len(account)) < self.world.population.feed.answer))
        target[answering] = feed.slot(feed.inbox[account[answering]])
        target[reader.again(account, target) & person] = -1
        asking = np.flatnonzero(person & (target < 0))
        asking = asking[np.argsort(account[asking], kind="stable")]
        readers, first, wanted = np.unique(account[asking], return_index=True, return_counts=True)
        pages = self._read(readers, at[asking[first]], wanted)
        if len(asking):
            columns = reacted_to(pages.appeal[: len(readers)], self.reading, int(wanted.max()), own)
            turn = np.arange(len(asking)) - np.repeat(first, wanted)
            row = np.repeat(np.arange(len(readers)), wanted)
            column = np.where(turn < columns.shape[1], columns[row, np.minimum(turn, columns.shape[1] - 1)], -1)
            target[asking] = np.where(column >= 0, pages.slot[row, np.maximum(column, 0)], -1)
        return target

    def _read(self, acting: Ints, acting_at: Ints, wanted: Ints) -> Pages:
        """The pages of those who are to react, in order, and after them of those who only read; exposures are kept."""
        rng, posts, settings = self._rng, self.posts, self.reading
        alone, alone_at = self._only_reading(acting)
        readers, at = np.concatenate((acting, alone)), np.concatenate((acting_at, alone_at))
        depth = rng.geometric(1 / max(settings.depth, 1.0), len(readers)).astype(np.int64)
        depth[: len(acting)] = np.maximum(depth[: len(acting)], wanted)
        which = self.algorithm_of[readers]
        slot = np.full((len(readers), settings.page), -1, np.int64)
        appeal = np.zeros((len(readers), settings.page), np.float32)
        labelled = np.zeros((len(readers), settings.page), bool)
        warned = Warned(self.standing.labelled[posts.feed.author[: len(posts)]], self.plan.label_from()[which])
        if len(readers) and len(posts):
            now = self.world.now_ms
            ranking = self.plan.ranking(posts, now)
            pools = Pools(posts, self.world.community, now, POOL_FADING_H, self.pushed)
            for rows, candidates in batches(posts, self.world.graph, self.world.community, pools, readers):
                scores = ranking.scores(candidates, which[rows])
                slot[rows], appeal[rows], labelled[rows] = pages_of(
                    candidates, scores, depth[rows], settings, posts.rating, warned.of(rows)
                )
        pages = Pages(readers, at, which, slot, appeal, labelled)
        self._note(pages)
        return pages

    def _only_reading(self, acting: Ints) -> tuple[Ints, Ints]:
        """People who read a page in this step without reacting, each once, and when; those acting are left out."""
        rng, world = self._rng, self.world
        span = round(world.population.step_minutes * 60_000)
        highest = world.sessions.highest
        n = int(rng.poisson(len(self.people) * self.reading.sessions_per_day * highest * span / DAY_MS))
        account = rng.integers(0, len(self.people), n)
        at = world.now_ms + (rng.random(n) * span).astype(np.int64)
        taken = rng.random(n) * highest < world.sessions.rhythm(account, at)
        account, at = account[taken & self.people[account]], at[taken & self.people[account]]
        account, first = np.unique(account, return_index=True)
        new = ~np.isin(account, acting, assume_unique=True)
        return account[new], at[first[new]]

    def _note(self, pages: Pages) -> None:
        """Keep who saw what."""
        posts = self.posts
        row, place = np.nonzero(pages.slot >= 0)
        slot = pages.slot[row, place]
        np.add.at(posts.shown, slot, 1)
        posts.seen.note(pages.reader[row], slot + posts.base)
        self._exposures = Exposures(
            reader=pages.reader[row].astype(np.int32),
            author=posts.feed.author[slot].astype(np.int32),
            post=posts.feed.serial[slot],
            at=pages.at[row],
            place=place.astype(np.uint8),
            algorithm=pages.algorithm[row].astype(np.uint8),
            labelled=pages.labelled[row, place],
            appeal=pages.appeal[row, place],
            rating=posts.rating[slot],
        )
