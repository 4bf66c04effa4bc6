"""The drawing is a valid SVG of the network, the hours and one campaign, and a function of the seed."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np

from simulation.files import parse
from simulation.plots import CAMPAIGNS, DRAWN, Plot, layout
from simulation.world import World
from streaming.cli import invoke
from tests.simulation.test_cli import SMALL

SVG = "{http://www.w3.org/2000/svg}"


def plotted(seed: int = 0) -> Plot:
    world = World(parse(SMALL, "here"), seed)
    plot = Plot(world)
    for chunk in world.chunks():
        plot.take(chunk)
    return plot


def test_the_drawing_shows_every_chosen_account_every_hour_and_a_campaign() -> None:
    plot = plotted()
    root = ElementTree.fromstring(plot.svg())
    circles = root.findall(f"{SVG}circle")
    assert len(plot.drawn) <= DRAWN
    assert len(circles) > len(plot.drawn)
    assert any(circle.get("fill") in CAMPAIGNS for circle in circles)
    assert plot.hourly.shape == (4, 12)
    assert (plot.hourly.sum(axis=1) > 0).all()
    assert len(root.findall(f"{SVG}rect")) > 20


def test_equal_seeds_draw_equally() -> None:
    assert plotted(1).svg() == plotted(1).svg() != plotted(2).svg()


def test_those_with_ties_are_drawn_near_each_other() -> None:
    weight = np.zeros((20, 20))
    weight[:10, :10] = weight[10:, 10:] = 3.0
    np.fill_diagonal(weight, 0)
    place = layout(weight, np.random.default_rng(0))
    apart = np.linalg.norm(place[:, None] - place[None], axis=2)
    assert apart[:10, :10].mean() < apart[:10, 10:].mean() / 1.5
    assert place.min() >= 0
    assert place.max() <= 1


def test_a_population_without_campaigns_is_drawn_too(tmp_path: Path) -> None:
    path = tmp_path / "null.svg"
    assert invoke(["simulate", "--preset", "null", "--accounts", "200", "--days", "0.25", "--plot", str(path)]) == 0
    ElementTree.fromstring(path.read_text(encoding="utf-8"))
