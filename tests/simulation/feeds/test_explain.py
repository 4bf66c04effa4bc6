"""Explanations of a feed: reasons are the ranker's own parts, what would change is what it would then show."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import pytest

from detector.errors import UsageError
from simulation.feeds.explain import LEAST, Explainer, Explanation, unfollowed, weights_of
from simulation.feeds.explain_page import OWN_REACTIONS, as_page, as_text
from simulation.feeds.plan import FeedPlan, algorithm
from simulation.feeds.post_texts import Content
from simulation.feeds.society import FeedSociety
from simulation.feeds.values import KEYS
from simulation.world import World
from streaming.cli import main
from tests.simulation.populations import QUIET

READER = 7
NAMES = [f"<{row}>" for row in range(300)]


@cache
def society() -> tuple[FeedSociety, Content]:
    world = World(msgspec.structs.replace(QUIET, accounts=300, days=0.5, start="2024-03-04T12:00:00Z"), 0)
    content = Content(world, heated=0.4)
    feeds = FeedSociety(world, FeedPlan([(algorithm("engagement"), 1)]), rated=content)
    for _ in feeds.steps():
        pass
    return feeds, content


@cache
def explained(reader: int = READER) -> Explanation:
    return Explainer(*society(), NAMES, reader).explanation(weights_of("all"))


def test_every_post_of_the_page_has_where_it_was_found_and_its_leading_parts() -> None:
    found = explained()
    assert len(found.page) == 10
    for shown in found.page:
        assert shown.found
        leading = [value for value in shown.parts.values() if value >= LEAST]
        assert len(shown.reasons) == min(3, len(leading))
    assert sum(len(shown.reasons) for shown in found.page) > 15


def test_the_page_is_the_ranker_s_own() -> None:
    """Parts differ from scores by what is the same for all candidates, so their sums fall from place to place."""
    sums = [sum(shown.parts.values()) for shown in explained().page]
    assert sums == pytest.approx(sorted(sums, reverse=True))


def test_a_healthier_mix_goes_less_against_the_stated_values() -> None:
    readers = [explained(reader) for reader in range(0, 60, 5)]
    before, after = ([getattr(each, name).rating for each in readers] for name in ("mix", "healthier"))
    assert np.mean(after) < 0.5 * np.mean(before)
    assert all(len(each.leaving) == len(set(each.mix.slots) - set(each.healthier.slots)) for each in readers)


def test_a_value_that_is_not_stated_is_not_kept_to() -> None:
    feeds, content = society()
    one = KEYS.index("social_distance")
    stated = weights_of("social_distance=2")
    assert stated == {"social_distance": 2.0}
    kept = {}
    for name, weights in (("one", stated), ("all", weights_of("all"))):
        mixes = [Explainer(feeds, content, NAMES, reader).explanation(weights).healthier for reader in range(0, 60, 3)]
        feed = feeds.world.feed
        slots = np.array([slot for mix in mixes for slot in mix.slots])
        kept[name] = content.ratings[content.index(feed.serial[slots], feed.author[slots])] - 1
    assert kept["one"][:, one].mean() <= kept["all"][:, one].mean()
    others = [i for i in range(8) if i != one]
    assert kept["one"][:, others].sum() > kept["all"][:, others].sum()


def test_what_an_act_changes_is_the_page_after_it() -> None:
    feeds, content = society()
    found = explained()
    assert {change.act for change in found.changes} >= {
        f"change to the feed “{name}”" for name in ("follows", "societal")
    }
    unfollow = next(change for change in found.changes if change.act.startswith("unfollow"))
    row = NAMES.index(unfollow.act.removeprefix("unfollow "))
    graph = feeds.world.graph
    try:
        feeds.world.graph = unfollowed(graph, READER, row)
        then = Explainer(feeds, content, NAMES, READER).explanation(weights_of("all"))
    finally:
        feeds.world.graph = graph
    assert then.mix == unfollow.mix
    assert unfollow.replaced == len(set(found.mix.slots) - set(then.mix.slots))


def test_unfollowing_takes_one_tie_and_no_other() -> None:
    graph = society()[0].world.graph
    friend = int(graph.follows[graph.start[READER]])
    changed = unfollowed(graph, READER, friend)
    for account in range(300):
        before = graph.follows[graph.start[account] : graph.start[account + 1]].tolist()
        after = changed.follows[changed.start[account] : changed.start[account + 1]].tolist()
        assert after == ([one for one in before if one != friend] if account == READER else before)
    assert changed.followers[friend] == graph.followers[friend] - 1


def test_the_page_needs_nothing_else_and_escapes_names() -> None:
    page = as_page(explained(), NAMES)
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=|url\(|https?:", page)
    assert f"<{READER}>" not in page
    assert f"&lt;{READER}&gt;" in page
    assert page.count("<article>") == 10
    assert OWN_REACTIONS in as_text(explained(), NAMES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kindness=1", "no value 'kindness'"),
        ("social_distance=-1", "weight of social_distance is '-1'"),
        ("social_distance=x", "weight of social_distance is 'x'"),
    ],
)
def test_values_that_cannot_be_used_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        weights_of(text)


def test_the_command_prints_the_reasons_and_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "why.html"
    small = ["--accounts", "200", "--days", "0.1"]
    assert main(["lab", "explain", "--preset", "town", "--out", str(out), *small]) == 0
    assert "What you could do" in capsys.readouterr().out
    assert "A healthier mix" in out.read_text(encoding="utf-8")
    assert main(["lab", "explain", "--reader", "500", "--accounts", "200", "--days", "0.1"]) == 2
    assert "--reader 500: no person" in capsys.readouterr().err


def test_the_command_takes_another_feed_and_stated_values(capsys: pytest.CaptureFixture[str]) -> None:
    stated = "partisan_animosity=2,social_distance"
    arguments = ["--preset", "null", "--feeds", "societal=1", "--values", stated, "--accounts", "100", "--days", "0.1"]
    assert main(["lab", "explain", *arguments]) == 0
    assert "The feed “societal”" in capsys.readouterr().out
