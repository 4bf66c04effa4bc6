"""Draws a simulated population as one SVG: who meets whom, activity over time, a campaign beside its controls.

Two accounts meet where they use the same link or hashtag, react to the same text, or to each other. `Plot` is told of
every chunk of events and keeps counts alone, so that memory is of the size of what is drawn.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Final

import numpy as np

from simulation.files import written
from simulation.roles import CONTROL
from simulation.sampling import HOUR_MS, Floats, Ints, stream
from simulation.world import Chunk, World

DRAWN: Final = 420
"""Accounts in the network: more is a grey ball."""

SHOWN: Final = 8
"""Campaigns in the network, of those that are large enough to see, at most `MEMBERS` of each, and as many crowds."""

MEMBERS: Final = 20

TALK: Final = 25
"""What more of the drawn accounts touch is the talk of the day, and ties nobody."""

ROUNDS: Final = 80
"""Of the layout: it has settled by then."""

WIDTH: Final = 1200

PEOPLE: Final = "#9aa5b1"
CROWD: Final = "#e3b341"
CONTROLS: Final = "#3c8dbc"
OTHERS: Final = "#4b5563"
CAMPAIGNS: Final = ("#c0392b", "#8e44ad", "#d35400", "#16a085", "#7f1d1d", "#db2777", "#4d7c0f", "#0f766e")


class Plot:
    """Collects what is drawn, chunk by chunk; `write` draws it."""

    def __init__(self, world: World) -> None:
        self._world = world
        roles = world.roles
        self._campaign = np.full(len(world.people), -1, np.int64)
        for number, campaign in enumerate(roles.campaigns):
            self._campaign[campaign.members] = number
        self._control = np.array([name == CONTROL for name in roles.slice])
        self._crowd = np.array([name not in ("ordinary", CONTROL) for name in roles.slice]) & ~roles.label
        self._place = np.full(len(world.people), -1, np.int64)
        self.drawn = self._chosen()
        self._place[self.drawn] = np.arange(len(self.drawn))
        self.ties = np.zeros((len(self.drawn), len(self.drawn)))
        hours = int(np.ceil((world.end_ms - world.start_ms) / HOUR_MS))
        self.hourly = np.zeros((4, hours), np.int64)  # people, crowds, matched controls, machines
        large = max(roles.campaigns, key=lambda campaign: len(campaign.members), default=None)
        self._rows = np.full(len(world.people), -1, np.int64)
        self._raster = large
        if large is not None:
            half = large.members[:40], large.controls[:40]
            for first, side in zip((0, 40), half, strict=True):
                self._rows[side] = first + np.arange(len(side))
        self._touched: dict[tuple[str, int], set[int]] = {}
        self._dots: list[tuple[int, int, int]] = []

    def _chosen(self) -> Ints:
        """Campaigns first, two of them with their matched controls, then crowds, then the busy; at most `DRAWN`."""
        world = self._world
        rng = stream(world.seed, "plot")
        campaigns = world.roles.campaigns
        self._shown = [i for i in rng.permutation(len(campaigns)).tolist() if len(campaigns[i].members) >= 5][:SHOWN]
        large = [campaigns[i] for i in self._shown]
        controls = [campaign.controls[:MEMBERS] for campaign in large[:2]]
        crowds = [
            group.members for group in world.groups.list if len(group.members) >= 5 and self._crowd[group.members[0]]
        ]
        chosen = [campaign.members[:MEMBERS] for campaign in large] + controls
        chosen += [crowds[i][:MEMBERS] for i in rng.permutation(len(crowds))[:SHOWN]]
        others = np.argsort(-world.people.rate * rng.random(len(world.people)))[:DRAWN]
        found = np.concatenate([*chosen, others])
        return np.sort(found[np.sort(np.unique(found, return_index=True)[1])][:DRAWN])

    def take(self, chunk: Chunk) -> None:
        """Take note of events."""
        if not len(chunk):
            return
        hour = (chunk.at - self._world.start_ms) // HOUR_MS
        kind = np.where(self._crowd[chunk.account], 1, np.where(self._control[chunk.account], 2, 0))
        kind[self._campaign[chunk.account] >= 0] = 3
        np.add.at(self.hourly, (kind, hour), 1)
        aimed = chunk.target_account >= 0
        a, b = self._place[chunk.account[aimed]], self._place[chunk.target_account[aimed]]
        both = (a >= 0) & (b >= 0)
        np.add.at(self.ties, (a[both], b[both]), 1.0)
        for name in ("link", "tag", "target"):
            value = getattr(chunk, name)
            touched = np.flatnonzero((value >= 0) & (self._place[chunk.account] >= 0))
            for i in touched.tolist():
                self._touched.setdefault((name, int(value[i])), set()).add(int(self._place[chunk.account[i]]))
        mine = np.flatnonzero(self._rows[chunk.account] >= 0)
        for i in mine.tolist():
            self._dots.append((int(self._rows[chunk.account[i]]), int(chunk.at[i]), int(chunk.task[i] >= 0)))

    def write(self, path: Path) -> None:
        """Draw into a file.

        Raises:
            UsageError: it cannot be written.
        """
        with written(path) as file:
            file.write(self.svg().encode())

    def svg(self) -> str:
        """The drawing."""
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} 1180" font-family="sans-serif">',
            f'<rect width="{WIDTH}" height="1180" fill="white"/>',
            *self._network(20, 50, 740),
            *self._legend(800, 60),
            *self._activity(60, 840, 1100, 120),
            *self._campaign_raster(60, 1010, 1100, 140),
            "</svg>",
        ]
        return "\n".join(parts) + "\n"

    def _colour(self, account: int) -> str:
        campaign = int(self._campaign[account])
        if campaign >= 0:
            return CAMPAIGNS[self._shown.index(campaign)] if campaign in self._shown else OTHERS
        if self._control[account]:
            return CONTROLS
        return CROWD if self._crowd[account] else PEOPLE

    def met(self) -> Floats:
        """How often the drawn accounts have met, two by two."""
        weight: Floats = self.ties + self.ties.T
        for places in self._touched.values():
            if 1 < len(places) <= TALK:
                each = np.array(sorted(places))
                weight[np.ix_(each, each)] += 1
        np.fill_diagonal(weight, 0)
        return weight

    def _network(self, left: int, top: int, size: int) -> list[str]:
        weight = self.met()
        place = layout(weight, stream(self._world.seed, "layout")) * (size - 20) + 10
        x, y = left + place[:, 0], top + place[:, 1]
        parts = [f'<text x="{left}" y="34" font-size="18">Who meets whom ({len(self.drawn)} accounts)</text>']
        heavy = np.argwhere(np.triu(weight, 1) > 0)
        order = np.argsort(-weight[heavy[:, 0], heavy[:, 1]], kind="stable")[:4000]
        lines = " ".join(f"M{x[a]:.0f} {y[a]:.0f}L{x[b]:.0f} {y[b]:.0f}" for a, b in heavy[order].tolist())
        parts.append(f'<path d="{lines}" stroke="#6b7280" stroke-opacity="0.18" fill="none"/>')
        for i in np.argsort(self._campaign[self.drawn], kind="stable").tolist():
            account = int(self.drawn[i])
            radius = 1.8 + 0.5 * np.log1p(self._world.graph.followers[account])
            parts.append(f'<circle cx="{x[i]:.0f}" cy="{y[i]:.0f}" r="{radius:.1f}" fill="{self._colour(account)}"/>')
        return parts

    def _legend(self, left: int, top: int) -> list[str]:
        rows = [(PEOPLE, "people"), (CROWD, "organic look-alikes"), (CONTROLS, "matched controls of campaigns")]
        campaigns = self._world.roles.campaigns
        for number, colour in zip(self._shown, CAMPAIGNS, strict=False):
            campaign = campaigns[number]
            rows.append((colour, f"{campaign.name} {campaign.family.name}, {len(campaign.members)} accounts"))
        if len(campaigns) > len(self._shown):
            rows.append((OTHERS, f"{len(campaigns) - len(self._shown)} campaigns more"))
        return [
            f'<circle cx="{left}" cy="{top + 22 * i - 5}" r="6" fill="{colour}"/>'
            f'<text x="{left + 14}" y="{top + 22 * i}" font-size="13">{escape(text)}</text>'
            for i, (colour, text) in enumerate(rows)
        ]

    def _activity(self, left: int, top: int, width: int, height: int) -> list[str]:
        parts = [
            f'<text x="{left}" y="{top - 12}" font-size="18">Events an hour, a hundredth of each kind\'s own</text>'
        ]
        scaled = self.hourly / np.maximum(self.hourly.sum(axis=1, keepdims=True), 1)
        highest = max(float(scaled.max()), 1e-9)
        step = width / max(self.hourly.shape[1], 1)
        for row, colour in zip(scaled, (PEOPLE, CROWD, CONTROLS, CAMPAIGNS[0]), strict=True):
            if row.any():
                points = " ".join(f"{left + (i + 0.5) * step:.0f},{top + height * (1 - v / highest):.0f}"
                                  for i, v in enumerate(row.tolist()))  # fmt: skip
                parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(f'<path d="M{left} {top + height}h{width}" stroke="black"/>')
        return parts

    def _campaign_raster(self, left: int, top: int, width: int, height: int) -> list[str]:
        if self._raster is None:
            return []
        world = self._world
        title = f"{self._raster.name} ({self._raster.family.name}, above) and its controls (below): acts, joint ones"
        parts = [f'<text x="{left}" y="{top - 12}" font-size="18">{escape(title)} dark</text>']
        span = world.end_ms - world.start_ms
        for row, at, joint in self._dots:
            x, y = left + width * (at - world.start_ms) / span, top + height * row / 80
            colour = (CONTROLS if row >= 40 else CAMPAIGNS[0]) if joint else "#d1d5db"
            parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="1.6" height="1.6" fill="{colour}"/>')
        return parts


def layout(weight: Floats, rng: np.random.Generator) -> Floats:
    """Places in the unit square, those with ties near each other (Fruchterman and Reingold 1991). Shape (n, 2)."""
    n = len(weight)
    place: Floats = rng.random((n, 2))
    ideal = np.sqrt(1 / max(n, 1))
    degree = np.maximum(np.log1p(weight).sum(axis=1), 1.0)
    pull = 3 * np.log1p(weight) / np.sqrt(degree[:, None] * degree[None])
    for turn in range(ROUNDS):
        apart = place[:, None] - place[None]
        distance = np.sqrt((apart**2).sum(axis=2)) + 1e-6
        force = ideal**2 / distance - pull * distance**2 / ideal
        np.fill_diagonal(force, 0)
        move = (apart / distance[:, :, None] * force[:, :, None]).sum(axis=1) - (place - 0.5) * ideal * 2
        length = np.sqrt((move**2).sum(axis=1, keepdims=True)) + 1e-9
        place = place + move / length * np.minimum(length, 0.1 * (1 - turn / ROUNDS))
    low, high = np.percentile(place, (3, 97), axis=0)
    result: Floats = np.clip((place - low) / np.maximum(high - low, 1e-9), 0, 1)
    return result
