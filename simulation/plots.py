"""Draws a simulated population as one SVG: who meets whom, activity over time, a campaign beside its controls.

Two accounts meet where they use the same link or hashtag, react to the same text, or to each other. `Plot` is told of
every chunk of events and keeps counts alone, so that memory is of the size of what is drawn. `svg` draws with
matplotlib, which is imported only then; equal data gives equal bytes on one version of it.
"""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from detector.errors import UsageError
from simulation.population_files import written
from simulation.roles import CONTROL
from simulation.sampling import HOUR_MS, Floats, Ints, stream
from simulation.world import Chunk, World

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DRAWN: Final = 420
"""Accounts in the network: more is a grey ball."""

SHOWN: Final = 8
"""Campaigns in the network, of those that are large enough to see, at most `MEMBERS` of each, and as many crowds."""

MEMBERS: Final = 20

TALK: Final = 25
"""An object that more of the drawn accounts share is the talk of the day, and makes no ties."""

ROUNDS: Final = 80
"""Of the layout: it has settled by then."""

TIES: Final = 4000
"""Ties in the network, the heaviest: more take longer to show than anybody looks."""

ROWS: Final = 40
"""Members of the campaign that is drawn beside its controls, and as many of these."""

STYLE: Final[dict[str, Any]] = {
    "svg.fonttype": "none",  # text stays text, so that it can be searched and read aloud
    "svg.hashsalt": "swarmlight",  # otherwise identifiers in the file are random
    "text.parse_math": False,  # a `$` in a name is a `$`
    "path.simplify": False,
    "font.size": 9.0,
    "axes.titlesize": 12.0,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
}
"""Settings of matplotlib in place of the user's own, whose defaults apply to the rest."""

PEOPLE: Final = "#9aa5b1"
CROWD: Final = "#e3b341"
CONTROLS: Final = "#3c8dbc"
OTHERS: Final = "#4b5563"
CAMPAIGNS: Final = ("#c0392b", "#8e44ad", "#d35400", "#16a085", "#7f1d1d", "#db2777", "#4d7c0f", "#0f766e")
KINDS: Final = {"people": PEOPLE, "crowds": CROWD, "controls": CONTROLS, "machines": CAMPAIGNS[0]}
"""Whose activity is drawn, in the order of the rows of `Plot.hourly`, and in which colour."""


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
        self.hourly = np.zeros((4, hours), np.int64)  # rows as in `KINDS`
        large = max(roles.campaigns, key=lambda campaign: len(campaign.members), default=None)
        self._rows = np.full(len(world.people), -1, np.int64)
        self._raster = large
        if large is not None:
            half = large.members[:ROWS], large.controls[:ROWS]
            for first, side in zip((0, ROWS), half, strict=True):
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
        """Draw into a file (`svg` says what).

        Raises:
            UsageError: it cannot be written, or matplotlib is not installed.
        """
        drawing = self.svg()
        with written(path) as file:
            file.write(drawing.encode())

    def svg(self) -> str:
        """The drawing, with three plots, as SVG.

        - The network: a dot for each of at most `DRAWN` accounts, larger with its followers and in the colour of its
          role; a line for each of the `TIES` pairs that met most often; those that met often stand close together.
        - Activity: for people, organic look-alikes, matched controls and operators' accounts the share of their events
          that falls into each hour, in percent.
        - The largest campaign: a mark for each event of up to `ROWS` members (above) and of their matched controls
          (below) at its time, coloured where it serves a joint task.

        Raises:
            UsageError: matplotlib is not installed.
        """
        return svg(self._draw, "A simulated population", (12.0, 12.0))

    def _draw(self, figure: Figure) -> None:
        plots = figure.subplot_mosaic(
            [["network", "legend"], ["activity", "activity"], ["campaign", "campaign"]],
            height_ratios=[6.0, 1.2, 1.4], width_ratios=[3.0, 1.0],
        )  # fmt: skip
        self._network(plots["network"])
        self._legend(plots["legend"])
        self._activity(plots["activity"])
        self._campaign_raster(plots["campaign"])

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

    def _network(self, axes: Axes) -> None:
        weight = self.met()
        x, y = layout(weight, stream(self._world.seed, "layout")).T
        axes.set_title(f"Who meets whom ({len(self.drawn)} accounts)")
        axes.set_axis_off()
        axes.set_aspect("equal")
        pairs = np.argwhere(np.triu(weight, 1) > 0)
        first, second = pairs[np.argsort(-weight[pairs[:, 0], pairs[:, 1]], kind="stable")[:TIES]].T
        gap = np.full(len(first), np.nan)  # ends a line, so that all of them are one path
        axes.plot(
            np.stack((x[first], x[second], gap), axis=1).ravel(), np.stack((y[first], y[second], gap), axis=1).ravel(),
            color="#6b7280", alpha=0.18, linewidth=0.7, gid="ties",
        )  # fmt: skip
        order = np.argsort(self._campaign[self.drawn], kind="stable")  # campaigns last, above the others
        accounts = self.drawn[order]
        radius = 1.3 + 0.36 * np.log1p(self._world.graph.followers[accounts])  # points
        colours = [self._colour(account) for account in accounts.tolist()]
        axes.scatter(x[order], y[order], s=(2 * radius) ** 2, c=colours, linewidths=0, zorder=3, gid="accounts")

    def _legend(self, axes: Axes) -> None:
        rows = [(PEOPLE, "people"), (CROWD, "organic look-alikes"), (CONTROLS, "matched controls of campaigns")]
        campaigns = self._world.roles.campaigns
        for number, colour in zip(self._shown, CAMPAIGNS, strict=False):
            campaign = campaigns[number]
            rows.append((colour, f"{campaign.name} {campaign.family.name}, {len(campaign.members)} accounts"))
        if len(campaigns) > len(self._shown):
            rows.append((OTHERS, f"{len(campaigns) - len(self._shown)} campaigns more"))
        axes.set_axis_off()
        for colour, text in rows:
            axes.scatter([], [], c=colour, label=text)
        axes.legend(loc="upper left", frameon=False).set_gid("legend")

    def _activity(self, axes: Axes) -> None:
        axes.set_title("Events an hour, in percent of each kind's own")
        percent = 100 * self.hourly / np.maximum(self.hourly.sum(axis=1, keepdims=True), 1)
        hours = np.arange(self.hourly.shape[1]) + 0.5
        for row, (name, colour) in zip(percent, KINDS.items(), strict=True):
            if row.any():
                axes.plot(hours, row, color=colour, linewidth=1.2, label=name, gid=f"activity-{name}")
        axes.legend(loc="upper right", ncols=len(KINDS), frameon=False)
        axes.set_xlim(0, max(self.hourly.shape[1], 1))
        axes.set_ylim(0, 1.3 * percent.max() + 1e-9)  # room for the legend

    def _campaign_raster(self, axes: Axes) -> None:
        axes.set_xlabel("hours since the beginning")
        if self._raster is None:
            axes.set_title("No campaign in this population")
            axes.set_yticks([])
            return
        world = self._world
        title = f"{self._raster.name} ({self._raster.family.name}, above) and its controls (below): events, joint ones"
        axes.set_title(f"{title} coloured")
        dots = np.array(self._dots, np.int64).reshape(-1, 3)
        hour = (dots[:, 1] - world.start_ms) / HOUR_MS
        joint, control = dots[:, 2] > 0, dots[:, 0] >= ROWS
        sides = {"own": (~joint, "#d1d5db"), "controls": (joint & control, CONTROLS),
                 "members": (joint & ~control, CAMPAIGNS[0])}  # fmt: skip
        for name, (mask, colour) in sides.items():
            axes.plot(
                hour[mask], dots[mask, 0], linestyle="", marker="s", markersize=1.8, markeredgewidth=0, color=colour,
                gid=f"events-{name}",
            )  # fmt: skip
        axes.set_xlim(0, (world.end_ms - world.start_ms) / HOUR_MS)
        axes.set_ylim(2 * ROWS, -1)
        axes.set_yticks([])


def require_matplotlib() -> None:
    """Make sure that drawing is possible, before anything that takes long.

    Raises:
        UsageError: matplotlib is not installed.
    """
    try:
        import matplotlib.style  # noqa: F401
    except ImportError:
        raise UsageError("drawings need matplotlib, which is not installed: pip install 'swarmlight[simulate]'") from (
            None
        )


def svg(draw: Callable[[Figure], object], title: str, inches: tuple[float, float]) -> str:
    """Draw with matplotlib, in one style and with nothing in it that another run would write differently.

    Args:
        draw: adds plots to an empty figure.
        title: of the file.
        inches: width and height.

    Returns:
        SVG, whose groups have the `gid` of what `draw` made as `id`.

    Raises:
        UsageError: matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib import style
    from matplotlib.figure import Figure

    out = StringIO()
    with style.context(["default", STYLE]):
        figure = Figure(figsize=inches, layout="constrained")
        draw(figure)
        figure.savefig(out, format="svg", metadata={"Title": title, "Creator": "Swarmlight", "Date": None})
    return out.getvalue()


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
