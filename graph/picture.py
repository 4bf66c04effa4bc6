"""A picture of groups of accounts: each group a disc of its own, with its number and size, as PNG, SVG or PDF.

Within a disc, accounts lie near those they are tied to (Fruchterman & Reingold 1991); discs are packed around the
largest. A dot's size is how strongly an account is tied to its group. Names stand beside the dots while there is room;
larger pictures have a list of the groups and their strongest accounts at the side. Equal networks give equal pictures.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.errors import UsageError
from graph.exports import Network, beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ENDINGS: Final = (".png", ".svg", ".pdf")

DRAWN: Final = 2000
"""Accounts drawn, of the groups in their order: beyond, dots are smaller than a screen shows."""

EDGES: Final = 20_000
"""Ties drawn, the strongest of each group: more are a grey ball, and a file that no program opens quickly."""

ROUNDS: Final = 120
"""Of the layout, at which it has settled."""

NAMED: Final = 80
"""Accounts up to which every name is written."""

NAMES_EACH: Final = 2
"""Accounts of a group named in that list."""

NAME_CHARACTERS: Final = 20

LISTED: Final = 45
"""Groups listed beside a larger picture, the first."""

COLOURS: Final = (
    "#4269d0", "#d97700", "#c4343f", "#2b8a8f", "#3f8f3f", "#a463f2", "#97684a", "#c2477f", "#5f6b7a", "#8a7a00",
)  # fmt: skip
"""Told apart by most people, on white and in print."""

STYLE: Final[dict[str, Any]] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "swarmlight",  # otherwise identifiers in the file are random
    "text.parse_math": False,  # a `$` in a name is a `$`
    "font.size": 8.0,
}

INCHES: Final = 11.0

DOTS_PER_INCH: Final = 200

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def require_drawing() -> None:
    """Make sure that drawing is possible, before anything that takes long.

    Raises:
        UsageError: matplotlib is not installed.
    """
    try:
        import matplotlib.style  # noqa: F401
    except ImportError:
        raise UsageError(
            "a picture needs matplotlib, which is not installed: pip install 'swarmlight[simulate]'"
        ) from (None)


def draw(path: Path, network: Network, title: str) -> None:
    """Draw a network's groups; accounts of none are left out.

    Args:
        path: `.png`, `.svg` or `.pdf`.
        network: what is drawn.
        title: above it.

    Raises:
        UsageError: it cannot be written, or matplotlib is not installed.
    """
    require_drawing()
    import matplotlib.style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    groups = _groups(network)
    with matplotlib.style.context(["default", STYLE]), beside(path) as place:
        wide = INCHES * (1.0 if sum(map(len, groups)) <= NAMED else 1.45)
        figure = Figure((wide, INCHES), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_axis_off()
        axes.set_aspect("equal")
        axes.set_title(_plain(title, 120), loc="left", fontsize=13)
        if groups:
            _draw(axes, network, groups)
        else:
            axes.text(0.5, 0.5, "no groups", ha="center", transform=axes.transAxes)
        suffix = path.suffix.lower()
        metadata: dict[str, Any] = {} if suffix == ".png" else {"Date" if suffix == ".svg" else "CreationDate": None}
        figure.savefig(place, dpi=DOTS_PER_INCH, metadata=metadata, format=suffix[1:])


def _groups(network: Network) -> list[Ints]:
    """Places of each group's accounts, the most strongly tied first, as many groups as are drawn."""
    out: list[Ints] = []
    total = 0
    for number in np.unique(network.group[network.group > 0]).tolist():
        members = np.flatnonzero(network.group == number)
        members = members[np.lexsort((members, -network.strength[members]))][: DRAWN - total]
        if not len(members):
            break
        out.append(members)
        total += len(members)
    return out


def _draw(axes: Axes, network: Network, groups: list[Ints]) -> None:
    from matplotlib.collections import LineCollection

    few = sum(map(len, groups)) <= NAMED
    radius = [math.sqrt(len(members)) + 0.6 for members in groups]
    # The largest in the middle, whatever their order: the rest fits around.
    by_size = sorted(range(len(groups)), key=lambda number: (-len(groups[number]), number))
    placed = dict(zip(by_size, _packed([radius[number] for number in by_size]), strict=True))
    centres = [placed[number] for number in range(len(groups))]
    corners = np.array([(x + d * r, y + d * r) for (x, y), r in zip(centres, radius, strict=True) for d in (-1, 1)])
    low, high = corners.min(axis=0), corners.max(axis=0)
    span = float((high - low).max())
    unit = INCHES * 72 * 0.9 / span  # points that a unit is wide
    for number, (members, r, centre) in enumerate(zip(groups, radius, centres, strict=True)):
        colour = COLOURS[number % len(COLOURS)]
        places, source, target, weight = _layout(network, members)
        at = np.array(centre) + places * (r - 0.6)
        axes.add_patch(_disc(centre, r, colour))
        if len(source):
            width = 0.3 + 0.9 * weight / weight.max()
            alpha = float(np.clip(8 / math.sqrt(len(source)), 0.06, 0.55))
            lines = LineCollection(list(np.stack([at[source], at[target]], 1)), linewidths=width, colors=colour)
            lines.set_alpha(alpha)
            axes.add_collection(lines)
        size = (unit * (0.28 + 0.42 * network.strength[members])) ** 2
        axes.scatter(
            at[:, 0], at[:, 1], np.clip(size, 4, 140), color=colour, edgecolors="white", linewidths=0.4, zorder=3
        )
        if few:
            _name(axes, [network.labels[place] for place in members], at)
        axes.annotate(
            f"{number + 1} · {len(members)} accounts" if few else f"{number + 1}", (centre[0], centre[1] + r),
            ha="center", va="bottom", fontsize=9 if few else 8, color=colour, fontweight="bold", zorder=5,
        )  # fmt: skip
    if not few:
        _list(axes, network, groups)
    axes.set_xlim(low[0] - 0.02 * span, high[0] + 0.02 * span)
    axes.set_ylim(low[1] - 0.02 * span, high[1] + 0.06 * span)


def _disc(centre: tuple[float, float], radius: float, colour: str) -> Any:
    from matplotlib.patches import Circle

    return Circle(centre, radius, facecolor=colour, alpha=0.07, edgecolor=colour, linewidth=0.8)


def _name(axes: Axes, labels: list[str], at: Floats) -> None:
    for label, place in zip(labels, at, strict=True):
        axes.annotate(
            _plain(label, NAME_CHARACTERS), place, xytext=(0, 4), textcoords="offset points", ha="center", va="bottom",
            fontsize=6, color="#222222", zorder=6,
        )  # fmt: skip


def _list(axes: Axes, network: Network, groups: list[Ints]) -> None:
    """Beside the drawing: number, size and strongest accounts of each group."""
    for number, members in enumerate(groups[:LISTED]):
        names = ", ".join(_plain(network.labels[place], NAME_CHARACTERS) for place in members[:NAMES_EACH])
        more = len(members) - NAMES_EACH
        y = 1 - number / LISTED
        axes.annotate(
            f"{number + 1}", (1.02, y), xycoords="axes fraction", ha="right", va="top", fontweight="bold",
            color=COLOURS[number % len(COLOURS)], fontsize=8,
        )  # fmt: skip
        axes.annotate(
            f"  {len(members):,} accounts: {names}" + (f" and {more:,} more" if more > 0 else ""), (1.02, y),
            xycoords="axes fraction", ha="left", va="top", fontsize=7, color="#222222",
        )  # fmt: skip
    if len(groups) > LISTED:
        axes.annotate(
            f"  and {len(groups) - LISTED:,} more groups", (1.02, 0), xycoords="axes fraction", ha="left", va="top",
            fontsize=7, color="#222222",
        )  # fmt: skip


def _plain(text: str, characters: int) -> str:
    """Text on one line, cut, without what cannot be printed."""
    shown = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text[: characters + 1])
    return shown if len(shown) <= characters else shown[: characters - 1] + "…"


def _layout(network: Network, members: Ints) -> tuple[Floats, Ints, Ints, Floats]:
    """Where members lie in a disc of radius 1, and the ties among them: (places, source, target, nats)."""
    n = len(members)
    row = np.full(len(network.names), -1, np.int64)
    row[members] = np.arange(n)
    source, target = row[network.source], row[network.target]
    inside = np.flatnonzero((source >= 0) & (target >= 0))
    inside = inside[np.argsort(-network.nats[inside], kind="stable")][:EDGES]
    source, target, weight = source[inside], target[inside], network.nats[inside].astype(np.float64)
    # Begin on a sunflower's seeds, the strongest in the middle: even, and the same every time.
    seed = np.arange(n) + 0.5
    angle = seed * math.pi * (3 - math.sqrt(5))
    places = np.sqrt(seed / n)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    if n < 3 or not len(source):
        return places, source, target, weight
    pull = np.zeros((n, n))
    np.add.at(pull, (source, target), weight / weight.max())
    pull += pull.T
    pull = np.sqrt(pull)
    pull *= 4.0 / max(float(pull.sum(axis=1).mean()), 1e-9)
    ideal = 1.0 / math.sqrt(n)
    for number in range(ROUNDS):
        apart = places[:, None, :] - places[None, :, :]
        distance = np.sqrt((apart**2).sum(axis=2)) + 1e-6
        force = ideal**2 / distance**2 - pull * distance / (4.0 * ideal) * ideal
        move = (apart * force[:, :, None]).sum(axis=1)
        length = np.sqrt((move**2).sum(axis=1)) + 1e-9
        step = 0.15 * (1 - number / ROUNDS)
        places = places + move / length[:, None] * np.minimum(length, step)[:, None]
        reach = np.sqrt((places**2).sum(axis=1))
        places = places / np.maximum(reach, 1.0)[:, None]
    places -= places.mean(axis=0)
    furthest = float(np.sqrt((places**2).sum(axis=1)).max())
    return places / max(furthest, 1e-9), source, target, weight


def _packed(radius: list[float]) -> list[tuple[float, float]]:
    """Centres of discs that do not overlap, each as near to the middle as one of many directions allows."""
    gap = 1.4  # room for a number
    out: list[tuple[float, float]] = []
    angles = np.linspace(0, 2 * math.pi, 72, endpoint=False)
    centres = np.zeros((0, 2))
    radii = np.zeros(0)
    for r in radius:
        if not out:
            best = (0.0, 0.0)
        else:
            # Along the rim of each disc that lies already, where no other is in the way.
            rim = (radii + r + gap)[:, None, None] * np.stack([np.cos(angles), np.sin(angles)], 1)[None]
            tries = (centres[:, None, :] + rim).reshape(-1, 2)
            clear = np.sqrt(((tries[:, None, :] - centres[None]) ** 2).sum(axis=2)) >= radii[None] + r + gap - 1e-6
            free = tries[clear.all(axis=1)]
            nearest = free[int(np.argmin(np.round((free**2).sum(axis=1), 6)))]
            best = (float(nearest[0]), float(nearest[1]))
        out.append(best)
        centres = np.vstack([centres, best])
        radii = np.r_[radii, r]
    return out
