"""The page of a run in a browser: light, dark, on a phone; it fits, bars nobody, and asks for nothing.

`make screenshots` keeps pictures of it. What it shows is drawn here, with the posts written for the demo.
"""

from __future__ import annotations

import io
import json
import os
import random
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from detector.times import rfc3339
from streaming.run_report import page as page_of
from streaming.run_results import results_of
from streaming.schema.alert import (
    AlertRecord,
    EdgeRecord,
    MemberRecord,
    MomentRecord,
    ObjectRecord,
    PageRecord,
    PostRecord,
)
from streaming.schema.run_summary import PeopleRecord, RunSummary
from streaming.schema.score import LlrRecord, ScoreRecord
from tests.moderation.browser.conftest import FLAGS, chromium_path, violations
from tests.streaming.builders import T0

sync_api = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install playwright")

LOOKS: Final[dict[str, dict[str, Any]]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1180, "height": 1500}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1180, "height": 1500}},
    "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 1400}, "is_mobile": True},
}

COLOURS: Final = 96
"""Of a picture: the page has few."""

PEOPLE: Final = 240


def campaign(rng: random.Random) -> tuple[AlertRecord, PageRecord]:
    """The demo's campaign for a relief road: eight accounts that share a survey and post within minutes."""
    rows = map(json.loads, (files("simulation") / "content" / "planted.jsonl").read_text("utf-8").splitlines())
    planted = [row for row in rows if row["campaign"] == "harrowmere"]
    names = [row["account"] for row in planted]
    start = T0 + 8 * 3_600_000
    moments = [
        MomentRecord(name, rfc3339(start + 3_600_000 * turn + rng.randrange(400_000)))
        for turn in range(11)
        for name in names
        if rng.random() < 0.8
    ]
    edges = [
        EdgeRecord(a, b, "link", rng.randint(1, 9), 0.2, nats=rng.uniform(4, 30))
        for i, a in enumerate(sorted(names))
        for b in sorted(names)[i + 1 :]
        if rng.random() < 0.7
    ]
    posts = [
        PostRecord(str(n), row["account"], rfc3339(start + 600_000 * n), row["posts"][0], 1.4)
        for n, row in enumerate(planted)
    ]
    alert = AlertRecord(
        v=3, id="road", kind="campaign", revision=1, status="open", at=rfc3339(start + 40_000_000),
        first_post_at=rfc3339(start), last_post_at=rfc3339(start + 39_600_000),
        members=[MemberRecord(name, 0.9, strength=1 - n / 10) for n, name in enumerate(names)], posts=posts,
        edges=edges,
        why=["8 accounts act together: they share 9 links that few others share, within minutes of each other.",
             "Their posts are likelier a language model's than a person's, by a factor of 40."],
        limits=["Who operates the accounts is not known.", "People who agree act together, too."],
    )  # fmt: skip
    objects = [
        ObjectRecord("link", "https://survey.example/relief-road", names),
        ObjectRecord("hashtag", "openmillstreet", names[:6]),
        ObjectRecord("repost", "council-meeting-17", names[:4]),
    ]
    return alert, PageRecord("road", 1, 1, 1, edges, moments, objects)


def scores(rng: random.Random, members: list[str]) -> list[ScoreRecord]:
    """People around -2 nats, and the members of the campaign above the threshold."""
    made = [(f"person_{n:03}", rng.gauss(-2.0, 1.1), 0.0) for n in range(PEOPLE)]
    made += [(name, rng.uniform(2.6, 4.5), 1.3) for name in members]
    return [
        ScoreRecord(
            account=name, posterior=0.5, llr=LlrRecord(total - tied, 0.0, tied, 0.0, total), posts=rng.randint(3, 60),
            abstained={} if tied else {"coordination": "in no group", "graph": "no ties to others"},
            flagged=total > 2.2,
        )
        for name, total, tied in made
    ]  # fmt: skip


def results(place: Path) -> Path:
    """The files of a run, in a folder."""
    rng = random.Random(3)
    alert, details = campaign(rng)
    rows = scores(rng, [member.account for member in alert.members])
    flagged = sum(row.flagged for row in rows)
    quantiles = [-5.0, -3.9, -3.5, -3.2, -3.0, -2.8, -2.6, -2.45, -2.3, -2.15, -2.0, -1.85, -1.7, -1.55, -1.4, -1.2,
                 -1.0, -0.75, -0.45, 0.1, 2.4]  # fmt: skip
    told = RunSummary(
        read=5805, accepted=5798, duplicate=3, late=0, dead=4, accounts=len(rows), flagged=flagged, campaigns=1,
        wall_s=18.2, peak_rss_mib=900.0, models={}, revised=12, skipped={"a block": 41, "a list": 7},
        people=PeopleRecord(520, quantiles, False, 2.2),
    )  # fmt: skip
    place.mkdir()
    for name, records in (("alerts", [alert]), ("details", [details]), ("scores", rows), ("summary", [told])):
        (place / f"{name}.jsonl").write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in records))
    place_of = {"at": rfc3339(T0), "source": "posts.jsonl:17", "field": "at", "reason": "is missing"}
    letter = place_of | {"bytes": "", "size": 0, "sha256": "0" * 64}
    (place / "dead.jsonl").write_text((json.dumps(letter) + "\n") * 4)
    return place


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    page = folder / "page.html"
    page.write_text(page_of(results_of([results(folder / "run")]), "What Swarmlight found"), encoding="utf-8")
    return page


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = chromium_path()
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield launched
        launched.close()


@pytest.mark.parametrize(
    "look", ["phone", *(pytest.param(look, marks=pytest.mark.slow) for look in LOOKS if look != "phone")]
)
def test_the_page_fits_bars_nobody_and_asks_for_nothing(browser: Any, html: Path, look: str) -> None:
    context = browser.new_context(**LOOKS[look])
    view = context.new_page()
    asked: list[str] = []
    said: list[str] = []
    view.on("request", lambda request: asked.append(request.url))
    view.on("console", lambda message: said.append(message.text))
    view.goto(html.as_uri())
    assert view.evaluate("document.documentElement.scrollWidth <= innerWidth")
    paper = view.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (look != "dark")
    assert view.locator("svg").count() == 3
    assert view.locator("svg .people").is_visible()
    assert (asked, said) == ([html.as_uri()], [])
    assert violations(view) == []
    keep(view.screenshot(), f"report-{look}")
    spread = view.locator("section").filter(has=view.get_by_role("heading", name="How scores are spread"))
    keep(spread.screenshot(), f"report-spread-{look}")
    context.close()


def keep(taken: bytes, name: str) -> None:
    """A picture for the documentation, where one is asked for."""
    from PIL import Image

    folder = os.environ.get("SWARMLIGHT_SCREENSHOTS")
    if folder is not None:
        picture = Image.open(io.BytesIO(taken)).convert("RGB")
        small = picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
        small.save(Path(folder) / f"{name}.png", optimize=True)
