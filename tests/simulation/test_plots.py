"""The drawing is a valid SVG of the network, the hours and one campaign, and a function of the seed."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from detector.errors import UsageError
from simulation.plots import CAMPAIGNS, DRAWN, KINDS, Plot, layout, svg
from simulation.population_files import parse
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


def drawn(root: ElementTree.Element, gid: str, what: str) -> list[ElementTree.Element]:
    """The elements of one kind in the group that matplotlib wrote for the artist with this `gid`."""
    group = root.find(f".//{SVG}g[@id='{gid}']")
    return [] if group is None else list(group.iter(f"{SVG}{what}"))


def texts(root: ElementTree.Element) -> list[str]:
    return ["".join(element.itertext()) for element in root.iter(f"{SVG}text")]


def test_the_drawing_shows_every_chosen_account_every_hour_and_a_campaign() -> None:
    plot = plotted()
    root = ElementTree.fromstring(plot.svg())
    circles = drawn(root, "accounts", "path")
    assert 0 < len(plot.drawn) <= DRAWN
    assert len(circles) == len(plot.drawn)
    assert any(colour in circle.get("style", "") for circle in circles for colour in CAMPAIGNS)
    assert len(drawn(root, "ties", "path")) == 1
    assert plot.hourly.shape == (4, 12)
    assert (plot.hourly.sum(axis=1) > 0).all()
    assert [len(drawn(root, f"activity-{name}", "path")) for name in KINDS] == [1, 1, 1, 1]
    assert sum(len(drawn(root, f"events-{name}", "use")) for name in ("own", "controls", "members")) > 20


def test_titles_and_the_legend_are_text_that_can_be_searched() -> None:
    plot = plotted()
    said = texts(ElementTree.fromstring(plot.svg()))
    assert f"Who meets whom ({len(plot.drawn)} accounts)" in said
    assert "Events an hour, in percent of each kind's own" in said
    assert {"people", "organic look-alikes", "matched controls of campaigns"} <= set(said)
    assert sum(" waves, " in text or " drip, " in text for text in said) >= 3


def test_equal_seeds_draw_equally() -> None:
    assert plotted(1).svg() == plotted(1).svg() != plotted(2).svg()


def test_the_time_of_drawing_is_not_in_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = svg(lambda figure: figure.subplots().set_title("a < $b$ & c"), "title", (2.0, 2.0))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    again = svg(lambda figure: figure.subplots().set_title("a < $b$ & c"), "title", (2.0, 2.0))
    assert plain == again
    assert "1970" not in again
    assert "a < $b$ & c" in texts(ElementTree.fromstring(plain))


def test_without_matplotlib_a_drawing_is_refused_before_anything_is_simulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.style", None)
    events = tmp_path / "events.jsonl"
    arguments = ["simulate", "--preset", "null", "--accounts", "50", "--plot", str(tmp_path / "a.svg")]
    with pytest.raises(UsageError, match=r"pip install 'swarmlight\[simulate\]'"):
        invoke([*arguments, "--events", str(events)])
    with pytest.raises(UsageError, match="matplotlib"):
        invoke([*arguments, "--adaptive", "1"])
    assert not list(tmp_path.iterdir())


def test_matplotlib_is_not_imported_before_something_is_drawn() -> None:
    code = "import sys, simulation.cli, simulation.redteam.__main__; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


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
    root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    assert "No campaign in this population" in texts(root)
    assert len(drawn(root, "accounts", "path")) > 100
