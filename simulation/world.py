"""The simulation itself: acts out, step by step, everything that the accounts of a population do.

In: a configuration (`PopulationConfig`) and a seed. Out: `Chunk`s, events as columns in order of time, and the
roles of the accounts. In one step (`World.step`) shared objects come up and fade; tasks and news call people; sessions
begin and bring about events; each event gets its kind, whom it reacts to and what it shares; members of coordinated
groups put their task in the place of what they would choose; given posts appear at their times. State is of the size of
the population and of the last hours, whatever the number of days.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Final, TypeAlias

import numpy as np

from detector.times import parse_time
from simulation.actors import HORIZON, Feed, Reader, Sessions, clusters
from simulation.content.given import Given, Placed, read_given
from simulation.coordinated_groups import CADENCES, GOALS, CoordinatedGroups, Tasks
from simulation.objects import Catalogue
from simulation.population import build, draw, knit, pareto
from simulation.population_config import PopulationConfig
from simulation.roles import RoleAssignment, assign_roles
from simulation.sampling import DAY_MS, HOUR_MS, Bytes, Flags, Floats, Ints, stream
from streaming.schema.observation import Kind

POST: Final = int(Kind.POST)
REPLY: Final = int(Kind.REPLY)
REPOST: Final = int(Kind.REPOST)
QUOTE: Final = int(Kind.QUOTE)
LIKE: Final = int(Kind.LIKE)
FOLLOW: Final = int(Kind.FOLLOW)

OWN: Final = 0
"""Manner: own words. The others say whose words a text is made of."""
VERBATIM: Final = 1
PARAPHRASE: Final = 2
INDEPENDENT: Final = 3
COPIED: Final = 4
HEADLINE: Final = 5
GIVEN: Final = 6


@dataclass
class Chunk:
    """Columns of shape (events,); -1 is none.

    serial: number of the event; at: ms since 1970; account, target_account: rows; kind; target: serial of the event
    reacted to; link, tag: objects; task: the task served; manner: how the words were found; words: the task, link or
    serial they were found in, by manner.
    """

    serial: Ints
    at: Ints
    account: Ints
    kind: Bytes
    target: Ints
    target_account: Ints
    link: Ints
    tag: Ints
    task: Ints
    manner: Bytes
    words: Ints

    def __len__(self) -> int:
        return len(self.serial)

    def where(self, mask: Flags) -> Chunk:
        """The events of `mask`."""
        return Chunk(**{field.name: getattr(self, field.name)[mask] for field in fields(self)})

    @staticmethod
    def joined(chunks: list[Chunk]) -> Chunk:
        """All events of several chunks, which follow each other in time."""
        return Chunk(**{f.name: np.concatenate([getattr(chunk, f.name) for chunk in chunks]) for f in fields(Chunk)})


def written(kind: Bytes) -> Flags:
    """True for what carries words: posts, replies, quotes."""
    result: Flags = (kind == POST) | (kind == REPLY) | (kind == QUOTE)
    return result


QUARTER_MS = 15 * 60 * 1000
"""Schedulers post on the quarter of an hour."""


Chooser: TypeAlias = Callable[[Reader, Ints, Ints, np.random.Generator], Ints]
"""Gives the slot of the text that each reaction is to, as `Reader.choose` does; feeds put theirs in its place."""


class World:
    """A simulated population in motion: read `roles`, `people` and `graph`; call `groups.adapt` between steps only.

    Args:
        population: what it is made of.
        seed: equal seeds give equal events.
        given: posts for its accounts to write; those that `population.given` names where None.
    """

    def __init__(self, population: PopulationConfig, seed: int, given: Given | None = None) -> None:
        self.population, self.seed = population, seed
        start = parse_time(population.start)
        self.start_ms = 0 if start is None else start
        self.end_ms = self.start_ms + round(population.days * DAY_MS)
        self.now_ms = self.start_ms - round(population.burn_in_hours * HOUR_MS)
        self.people = draw(population, seed)
        self.roles: RoleAssignment = assign_roles(population, self.people, seed)
        rng = stream(seed, "graph")
        self.graph = build(self.people, population.ties, rng)
        knit(self.graph, self.roles.circles, rng)
        n = len(self.people)
        self.community = self.people.community.astype(np.int64)
        self.sessions = Sessions(self.people, population.activity.peakedness)
        self.groups = CoordinatedGroups(self.roles.groups, n, self.start_ms)
        self.gather()
        self._led = np.zeros((3, 0), np.int64)  # group, time, link of tasks that leaders made in the last step
        sizes = np.bincount(self.community)
        self.links = Catalogue(population.links, sizes)
        self.tags = Catalogue(population.tags, sizes)
        self.feed = Feed(n)
        self.tasks = Tasks()
        self.given = self._place(read_given(population.given, seed) if given is None else given)
        self._kinds = np.cumsum(self.people.kinds, axis=1)
        self._rng = stream(seed, "acts")
        self.choose: Chooser = Reader.choose
        self.acted = 0  # events so far, those before the start included
        self._pending = np.zeros((4, 0), np.int64)  # account, time, task, given post
        self._residents = np.argsort(self.community, kind="stable")
        self._first = np.searchsorted(self.community[self._residents], np.arange(len(sizes) + 1))

    def _place(self, given: Given) -> Placed:
        """Give every author's posts to an account: a machine's to one of its operator's, a person's to a person.

        What is left over on either side stays as it is: accounts without given posts act as the simulator has them.
        """
        rng = stream(self.seed, "given")
        driven: dict[str, list[int]] = {"": rng.permutation(np.flatnonzero(~self.roles.label)).tolist()}
        for campaign in self.roles.campaigns:
            driven.setdefault(campaign.family.name, []).extend(campaign.members.tolist())
        free = {operator: iter(rows) for operator, rows in driven.items()}
        rows = np.array([next(free.get(operator, iter(())), -1) for operator in given.operator], np.int64)
        placed = Placed(given, rows, len(self.people), self.start_ms)
        if placed.timed.any():
            # What they write is given, so what else they do has no words.
            shares = self.people.kinds[placed.timed]
            shares[:, [POST, REPLY, QUOTE]] = 0.0
            self.people.kinds[placed.timed] = shares / shares.sum(axis=1, keepdims=True)
            self.people.links[placed.timed] = self.population.given.links
            # In a branching process an event brings about b / (1 - b) others, all generations together.
            self.people.branching[placed.timed] = self.population.given.reactions / (
                1 + self.population.given.reactions
            )
        return placed

    def gather(self) -> None:
        """Take note of who leads which group; to be called after `groups.adapt` has changed a cadence."""
        self.groups.lead_rate = self._lead_rates()
        self._follower = np.full(len(self.people), -1, np.int64)  # the group that copies or frames each account
        led = np.flatnonzero(self.groups.led())
        self._follower[self.groups.leader[led]] = led

    def draw_from(self, rng: np.random.Generator) -> None:
        """Take all chance from another stream from now on: worlds that do so in every step share the luck of each."""
        self._rng = rng

    def chunks(self) -> Iterator[Chunk]:
        """The events from the start to the end, step by step, each chunk in order of time."""
        while self.now_ms < self.end_ms:
            chunk = self.step()
            if self.now_ms > self.start_ms:
                yield chunk.where((chunk.at >= self.start_ms) & (chunk.at < self.end_ms))

    def step(self) -> Chunk:
        """Everybody's acts in the next `step_minutes`."""
        begin, end = self.now_ms, self.now_ms + round(self.population.step_minutes * 60_000)
        rng = self._rng
        self.feed.forget(begin - round(HORIZON * self.population.feed.recency_hours * HOUR_MS))
        self.tasks.forget(begin - DAY_MS)
        for catalogue in (self.links, self.tags):
            catalogue.turn(begin, end, rng)
        reader = Reader(
            self.feed, self.graph, self.community, self.population.feed, self.population.ties.closeness, begin
        )
        account, at, task, post = self._acts(begin, end, reader)
        kind = self._kind(account)
        if len(self.given.given):
            self._speak(account, at, kind, post)
        chunk = self._decide(account, at, task, kind, post, reader, end - begin)
        self.now_ms = end
        return chunk

    def _lead_rates(self) -> Floats:
        """Acts of each group's leader that make tasks, a ms, on average over the day."""
        leader = np.maximum(self.groups.leader, 0)
        people = self.people
        texts = people.kinds[leader][:, [POST, REPLY, QUOTE]].sum(axis=1)
        links = people.rate[leader] * texts * people.links[leader]
        framing = self.groups.cadence == CADENCES.index("framing")
        rates: Floats = np.where(framing, links, self.sessions.per_day[leader]) / DAY_MS
        return rates

    # Who acts, and when

    def _acts(self, begin: int, end: int, reader: Reader) -> tuple[Ints, Ints, Ints, Ints]:
        """Accounts, times, tasks (number) and given posts (index; -1 none) of the events in [begin, end), by time."""
        rng = self._rng
        own_account, own_at = self.sessions.starts(begin, end, rng)
        free = ~self.given.timed[own_account]
        own_account, own_at = own_account[free], own_at[free]
        gone = self.groups.displaced(own_account, own_at, *self._rates(own_account, own_at))
        stays = rng.random(len(own_account)) >= gone
        called = self._called(begin, end, reader)
        self._led = self._copied(own_account[stays], own_at[stays], end - begin)
        news = self._news(begin, end)
        given = self.given.due(begin, end)
        account = np.concatenate((own_account[stays], called[0], news[0], given[0]))
        at = np.concatenate((own_at[stays], called[1], news[1], given[1]))
        none = np.full(len(account), -1, np.int64)
        task, post = none.copy(), none
        task[int(stays.sum()) : len(account) - len(given[0])] = np.concatenate((called[2], news[2]))
        post[len(account) - len(given[0]) :] = given[2]
        more = clusters(self.people, account, at, task, rng)
        further = np.stack((*more, np.full(len(more[0]), -1, np.int64)))
        fresh = np.concatenate((np.stack((account, at, task, post)), further), axis=1)
        fresh[1] = self._scheduled(fresh[0], fresh[1])
        everything = np.concatenate((self._pending, fresh), axis=1)
        now = everything[1] < end
        self._pending = everything[:, ~now]
        due = everything[:, now]
        due = due[:, np.lexsort((due[0], due[1]))]
        return due[0], due[1], due[2], due[3]

    def _rates(self, account: Ints, at: Ints) -> tuple[Floats, Floats]:
        """Intensity of each account's own sessions, and of its group's tasks, at each time, per ms."""
        intensity = self.sessions.per_day[account] / DAY_MS * self.sessions.rhythm(account, at)
        if not len(self.groups):
            return intensity, np.zeros(len(account))
        group = self.groups.of[account]
        led = self.groups.lead_rate[group] * self.sessions.rhythm(np.maximum(self.groups.leader[group], 0), at)
        return intensity, np.where(self.groups.led()[group], led, self.groups.supply(group, at, self.sessions))

    def _called(self, begin: int, end: int, reader: Reader) -> tuple[Ints, Ints, Ints]:
        """Sessions that the tasks which begin now bring about: accounts, times, tasks."""
        rng = self._rng
        group, at = self.groups.moments(begin, end, self.sessions, rng)
        link = np.concatenate((np.full(len(group), -1, np.int64), self._led[2]))
        group, at = np.concatenate((group, self._led[0])), np.concatenate((at, self._led[1]))
        n = len(group)
        hijack = rng.random(n) < self.groups.hijack[group]
        home = self.groups.community[group]
        link = np.where(hijack & (link < 0), self.links.pick(home, rng), link)
        tag = np.where(hijack, self.tags.pick(home, rng), -1)
        target = reader.popular(np.full(n, -1), np.zeros(n, bool), rng, home)
        target = np.where(target >= 0, target + self.feed.base, -1)
        number = self._new_tasks(group, at, link, tag, target)
        index, member, time = self.groups.called(group, at, rng)
        taken = rng.random(len(index)) < self.groups.accepts(group[index], *self._rates(member, time))
        return member[taken], time[taken], number[index[taken]]

    def _copied(self, account: Ints, at: Ints, span: int) -> Ints:
        """Tasks from the sessions of people who are copied, one step later: group, time, link (none)."""
        group = self._follower[account]
        copied = (group >= 0) & (at >= self.groups.begin_ms[group]) if len(self.groups) else group >= 0
        copied[copied] = self.groups.cadence[group[copied]] == CADENCES.index("copied")
        return np.stack((group[copied], at[copied] + span, np.full(int(copied.sum()), -1, np.int64)))

    def _framed(self, account: Ints, at: Ints, link: Ints, span: int) -> Ints:
        """Tasks from the links of people who are framed, one step later: group, time, link."""
        group = self._follower[account]
        framed = (group >= 0) & (link >= 0)
        framed[framed] = (self.groups.cadence[group[framed]] == CADENCES.index("framing")) & (
            at[framed] >= self.groups.begin_ms[group[framed]]
        )
        return np.stack((group[framed], at[framed] + span, link[framed]))

    def _new_tasks(self, group: Ints, at: Ints, link: Ints, tag: Ints, target: Ints) -> Ints:
        """Put tasks up; what they do not take from people (-1) is new, and from then on there for everybody."""
        rng = self._rng
        found = []
        for catalogue, code in ((self.links, link), (self.tags, tag)):
            missing = np.flatnonzero(code < 0)
            fresh = catalogue.fresh(len(missing), rng)
            code = code.copy()
            code[missing] = fresh
            life = rng.exponential(catalogue.settings.life_hours * HOUR_MS, len(missing))
            appeal = pareto(catalogue.settings.appeal, len(missing), rng)
            catalogue.add(fresh, self.groups.community[group[missing]], appeal, at[missing], life)
            found.append(code)
        return self.tasks.add(group, at, found[0], found[1], target)

    def _news(self, begin: int, end: int) -> tuple[Ints, Ints, Ints]:
        """Sessions that news brings about: accounts, times, tasks."""
        rng, news = self._rng, self.population.news
        n = int(rng.poisson(news.per_day * (end - begin) / DAY_MS))
        at = begin + (rng.random(n) * (end - begin)).astype(np.int64)
        local = rng.random(n) < news.community
        home = self.links.homes(n, rng)
        number = self.tasks.add(
            np.full(n, -1, np.int64), at, self.links.fresh(n, rng), self.tags.fresh(n, rng), np.full(n, -1, np.int64)
        )
        accounts, times, tasks = [], [], []
        for i in range(n):
            public = self._residents[self._first[home[i]] : self._first[home[i] + 1]] if local[i] else self._residents
            who = public[rng.random(len(public)) < news.drawn]
            when = at[i] + (rng.exponential(news.fade_minutes * 60_000, len(who))).astype(np.int64)
            awake = rng.random(len(who)) * self.sessions.highest < self.sessions.rhythm(who, when)
            accounts.append(who[awake])
            times.append(when[awake])
            tasks.append(np.full(int(awake.sum()), number[i]))
        none = np.zeros(0, np.int64)
        return np.concatenate([none, *accounts]), np.concatenate([none, *times]), np.concatenate([none, *tasks])

    def _scheduled(self, account: Ints, at: Ints) -> Ints:
        """Those on schedulers act on the next quarter of an hour, give or take a second."""
        on = self.roles.flags["scheduled"][account]
        quarter = -(-at // QUARTER_MS) * QUARTER_MS + at % 1000
        return np.where(on, quarter, at)

    # What they do

    def _kind(self, account: Ints) -> Bytes:
        uniform = self._rng.random(len(account))
        chosen = (uniform[:, None] >= self._kinds[account, :5]).sum(axis=1)
        result: Bytes = chosen.astype(np.int8)
        return result

    def _speak(self, account: Ints, at: Ints, kind: Bytes, post: Ints) -> None:
        """Find which events write given posts: `kind` and `post` in place.

        Who has said all that was given, or is to begin only at the start, reposts, likes or follows instead.
        """
        given = self.given
        timed = post >= 0
        kind[timed] = np.where(given.answers[post[timed]] >= 0, REPLY, POST)
        for i in np.flatnonzero(given.ordered[account] & written(kind)).tolist():
            post[i] = given.next_of(int(account[i])) if at[i] >= self.start_ms else -1
            if post[i] < 0:
                shares = self.people.kinds[account[i], [REPOST, LIKE, FOLLOW]]
                kind[i] = self._rng.choice((REPOST, LIKE, FOLLOW), p=shares / shares.sum())

    def _answered(self, kind: Bytes, post: Ints, numbers: Ints) -> Ints:
        """The slot that each given post answers, -1 for none; an answer to what is no longer in sight is a post."""
        said = np.flatnonzero(post >= 0)
        self.given.number[post[said]] = numbers[said]
        target = np.full(len(post), -1, np.int64)
        replies = said[self.given.answers[post[said]] >= 0]
        target[replies] = self.feed.slot(self.given.number[self.given.answers[post[replies]]])
        kind[replies[target[replies] < 0]] = POST
        return target

    def _decide(self, account: Ints, at: Ints, task: Ints, kind: Bytes, post: Ints, reader: Reader, span: int) -> Chunk:
        """Whom the events react to and what they share."""
        rng, feed, people = self._rng, self.feed, self.people
        n = len(account)
        serial = self.acted + np.arange(n, dtype=np.int64)
        self.acted += n
        text = written(kind)
        numbers = np.full(n, -1, np.int64)
        numbers[text] = feed.append(serial[text], at[text], account[text])
        reader.written(span)
        target = self._answered(kind, post, numbers)
        reacting = (kind != POST) & (target < 0)
        target[reacting] = self.choose(reader, account[reacting], at[reacting], rng)
        link = self._shared(self.links, text & (rng.random(n) < people.links[account]), account, feed.link)
        tag = self._shared(self.tags, text & (rng.random(n) < people.tags[account]), account, feed.tag)
        task, manner, words = self._serve(account, at, kind, task, target, link, tag, reader)
        manner[post >= 0], words[post >= 0] = GIVEN, post[post >= 0]
        self._led = np.concatenate((self._led, self._framed(account, at, link, span)), axis=1)
        slots = feed.slot(numbers[text])
        feed.link[slots], feed.tag[slots] = link[text], tag[text]
        feed.latest[account[text]] = numbers[text]
        hit = target >= 0
        np.add.at(feed.reactions, target[hit], 1)
        feed.seen.note(account[hit], target[hit] + feed.base)
        answered = hit & ((kind == REPLY) | (kind == QUOTE))
        whom = np.where(hit, feed.author[target], -1) if len(feed.author) else target
        feed.inbox[whom[answered]] = numbers[answered]
        event = np.where(hit & (kind != FOLLOW), feed.serial[target], -1) if len(feed.serial) else target
        keep = hit | (kind == POST)
        chunk = Chunk(serial, at, account, kind, event, whom, link, tag, task, manner, words)
        return chunk.where(keep)

    def _shared(self, catalogue: Catalogue, carrying: Flags, account: Ints, on_feed: Ints) -> Ints:
        """What each event carries: something of one's own, what somebody close has just used, or what is about."""
        rng, settings = self._rng, catalogue.settings
        result = np.full(len(account), -1, np.int64)
        who = np.flatnonzero(carrying)
        way = rng.random(len(who))
        copying = who[way < settings.copied]
        friend = self.graph.turn_to(account[copying], rng.random(len(copying)), self.population.ties.closeness)
        seen = np.where(friend >= 0, self.feed.slot(self.feed.latest[friend]), -1)
        result[copying] = np.where(seen >= 0, on_feed[seen], -1) if len(on_feed) else -1
        own = who[way >= 1 - settings.own]
        result[own] = catalogue.fresh(len(own), rng)
        rest = who[result[who] < 0]
        result[rest] = catalogue.pick(self.community[account[rest]], rng)
        bare = who[(result[who] < 0) | catalogue.again(account[who], result[who])]
        result[bare] = catalogue.fresh(len(bare), rng)
        catalogue.take(account[who], result[who])
        return result

    def _serve(
        self, account: Ints, at: Ints, kind: Bytes, task: Ints, target: Ints, link: Ints, tag: Ints, reader: Reader
    ) -> tuple[Ints, Bytes, Ints]:
        """Put the task in the place of what members of groups would have chosen: `target`, `link`, `tag` in place.

        Returns: the tasks served (number), manner and source of the words.
        """
        rng, groups, tasks = self._rng, self.groups, self.tasks
        n = len(account)
        manner, words = np.zeros(n, np.int8), np.full(n, -1, np.int64)
        slot = tasks.slot(task)
        group = groups.of[account] if len(groups) else np.full(n, -1, np.int64)
        if len(groups):
            drip = (
                (group >= 0)
                & (groups.cadence[group] == CADENCES.index("drip"))
                & groups.active[account]
                & (at >= groups.begin_ms[group])
            )
            drip = np.flatnonzero(drip & (rng.random(n) < groups.joint[group]))
            slot[drip] = tasks.recent(group[drip], at[drip], rng)
        bearing = (kind == POST) | (link >= 0) | (tag >= 0)
        serving = np.flatnonzero(slot >= 0)
        serving = serving[tasks.once(slot[serving], account[serving], bearing[serving])]
        s, c = slot[serving], tasks.group[slot[serving]]
        news = c < 0
        carried = news & (rng.random(len(serving)) < self.population.news.carried)
        goals = groups.goals[c] if len(groups) else np.zeros((len(c), len(GOALS)), bool)
        goal: dict[str, Flags] = {name: np.where(news, carried, goals[:, i]) for i, name in enumerate(GOALS)}
        for name, column, source in (("link", link, tasks.link), ("tag", tag, tasks.tag)):
            use = goal[name] & (column[serving] >= 0)
            column[serving[use]] = source[s[use]]
        k = kind[serving]
        aimed = self.feed.slot(tasks.target[s])
        reacting = (k != POST) & (k != FOLLOW)
        self._aim(serving, ~news & goal["swarm"] & reacting, aimed, account, at, target)
        if len(groups):
            idol = reader.latest_of(np.maximum(groups.leader[c], 0), at[serving])
            spreading = (k == REPOST) | (k == LIKE)
            self._aim(serving, ~news & goal["amplify"] & spreading & (groups.leader[c] >= 0), idol, account, at, target)
            saying = serving[~news & (k == POST)]
            manner[saying] = groups.wording[group[saying]]
            words[saying] = tasks.number[slot[saying]]
            self._copy_posts(saying[manner[saying] == COPIED], account, manner, words, link, reader)
        headline = self.roles.flags["headline"][account] & (link >= 0) & (kind == POST)
        manner[headline], words[headline] = HEADLINE, link[headline]
        served = np.full(n, -1, np.int64)
        served[serving] = tasks.number[s]
        return served, manner, words

    def _copy_posts(self, saying: Ints, account: Ints, manner: Bytes, words: Ints, link: Ints, reader: Reader) -> None:
        """Posts that are somebody else's, word for word, with its link where both have one: `words` is its serial."""
        home = self.community[account[saying]]
        slot = reader.popular(account[saying], np.zeros(len(saying), bool), self._rng, home)
        manner[saying[slot < 0]], words[saying[slot < 0]] = INDEPENDENT, -1
        saying, slot = saying[slot >= 0], slot[slot >= 0]
        words[saying] = self.feed.serial[slot]
        both = (link[saying] >= 0) & (self.feed.link[slot] >= 0)
        link[saying[both]] = self.feed.link[slot[both]]

    def _aim(self, serving: Ints, mask: Flags, slot: Ints, account: Ints, at: Ints, target: Ints) -> None:
        """Turn the reactions of `mask` to the texts in `slot`, where those are there, earlier and somebody else's."""
        good = mask & (slot >= 0)
        good[good] &= self.feed.author[slot[good]] != account[serving[good]]
        good[good] &= self.feed.at[slot[good]] < at[serving[good]]
        target[serving[good]] = slot[good]
