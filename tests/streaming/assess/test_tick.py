"""What ticks do to accounts over time: languages, flags, retention, and which ticks run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from detector.account.features import AccountFeatures
from detector.account.model import AccountEvidence, AccountModel
from detector.drift import DRIFTED, FEWEST_ACCOUNTS
from detector.errors import LogError, UsageError
from detector.thresholds import TOTALS, Thresholds, quantiles_of
from streaming.assess import AssessSettings
from tests.streaming.assess import harness
from tests.streaming.assess.fakes import PEOPLE, MeanModel, models
from tests.streaming.assess.harness import MILD, Played, posts
from tests.streaming.builders import T0, batch, end, event

MINUTE, DAY = 60_000, 86_400_000


def run(items: list[dict[str, Any]], settings: AssessSettings = harness.SETTINGS, **more: Any) -> Played:
    observed = harness.score(sorted(items, key=lambda item: int(item["at"])))
    return harness.play([batch(observed), end(len(observed))], settings, **more)


def test_an_uncalibrated_language_is_ranked_and_never_flagged() -> None:
    robot = "robot robot robot robot robot robot"
    played = run([*posts("ann", 9, robot), *posts("ben", 9, robot, start=1, lang="fi")])
    ann, ben = played.scores()["ann"], played.scores()["ben"]
    assert ann.llr.total == ben.llr.total
    assert (ann.flagged, ben.flagged) == (True, False)
    assert ben.abstained["flag"].startswith("uncalibrated: language fi")
    assert "flag" not in ann.abstained


class Busy(MeanModel):
    """An account model that finds every habit very suspicious."""

    def components(self, features: AccountFeatures, *, text: bool = True, behaviour: bool = True) -> AccountEvidence:
        found = super().components(features, text=text, behaviour=behaviour)
        return found._replace(behaviour=np.full(len(features.weight), 4.0))


def test_accounts_without_text_are_never_flagged() -> None:
    likes = [event("ann", at=i * MINUTE, id=str(i), kind="like", target="x", target_account="bob") for i in range(400)]
    bundle = models()
    row = run(likes, bundle=replace(bundle, account=cast(AccountModel, Busy()))).scores()["ann"]
    assert row.llr.total > 2.97
    assert (row.flagged, row.posts) == (False, 0)
    assert row.abstained == {
        "text": "no text",
        "coordination": "in no group",
        "graph": "no graph model",
        "flag": "no text: such accounts are never flagged",
    }


def test_without_text_nobody_is_flagged_and_no_text_is_kept() -> None:
    played = run(posts("ann", 20, "robot robot robot robot"), AssessSettings(without=frozenset({"text"})))
    row = played.scores()["ann"]
    assert (row.llr.text, row.flagged, row.posts) == (0.0, False, 20)
    assert row.abstained["flag"].startswith("uncalibrated")
    assert played.assess.state.texts.of_row == {}


def test_the_flag_is_looked_at_after_every_post_even_within_a_tick() -> None:
    robot, human = "robot robot robot robot here", "human human human human human human human human human human"
    items = [event("ann", at=i, id=str(i), lang="en", text=robot if i < 2 else human) for i in range(8)]
    row = run(items).scores()["ann"]
    assert row.llr.total < 0
    assert not row.flagged
    brief = run(items[:2]).scores()["ann"]
    assert (brief.flagged, brief.posts_at_flag) == (True, 1)


def test_silent_accounts_leave_with_their_last_score() -> None:
    items = [*posts("ann", 3), *posts("bob", 1, start=91 * DAY + MINUTE), *posts("bob", 1, start=92 * DAY)]
    played = run(items)
    (gone,) = played.gone()
    assert gone.account == "ann"
    assert gone.score is not None
    assert gone.score.posts == 3
    assert list(played.scores()) == ["bob"]
    assert played.assess.state.accounts.find("ann") is None
    forgotten = [name for output in played.outputs for name, body in output.accounts if body is None]
    assert forgotten == ["ann"]


def test_a_returning_account_begins_again_and_its_alert_goes_on() -> None:
    robot = "robot robot robot robot robot robot"
    items = [*posts("ann", 9, robot), *posts("bob", 1, start=91 * DAY), *posts("ann", 9, robot, start=95 * DAY)]
    played = run(items)
    revisions = [alert.revision for alert in played.alerts()]
    assert revisions == list(range(1, len(revisions) + 1))
    assert played.scores()["ann"].posts == 9
    observed = harness.score(items)
    entries = [batch([each]) for each in observed] + [end(len(observed))]
    broken = harness.play(entries, snapshots=range(len(entries)))
    assert broken.said() == played.said()


def test_a_text_deleted_after_its_account_left_leaves_the_alert() -> None:
    robot = "robot robot robot robot robot robot"
    items = [*posts("ann", 9, robot), event("ann", at=100 * DAY, kind="delete", target="ann-0-0")]
    last = run([*items, *posts("bob", 1, start=92 * DAY)]).alerts()[-1]
    assert (last.status, last.posts, last.members) == ("withdrawn", [], [])


def test_texts_are_kept_for_two_weeks() -> None:
    played = run([*posts("ann", 3), *posts("bob", 1, start=15 * DAY)])
    assert list(played.assess.state.texts.of_row) == [1]


@pytest.mark.slow
def test_memory_of_accounts_follows_those_that_live() -> None:
    items = [event(f"a{i}", at=i * DAY, id="x", text=MILD, lang="en") for i in range(400)]
    played = run(items, AssessSettings(campaign_tick_s=86_400, tick_s=86_400))
    assert played.assess.accounts < 95
    assert len(played.assess.state.accounts.names) < 100
    assert len(played.gone()) == 400 - played.assess.accounts


def test_an_explicit_rate_that_the_people_do_not_support_is_refused() -> None:
    with pytest.raises(UsageError, match="finest"):
        harness.begin(AssessSettings(target_fpr=0.001, explicit_fpr=True))
    assert harness.begin(AssessSettings(target_fpr=0.001)).target_fpr == 1 / 200


def test_two_model_versions_in_one_log_are_refused() -> None:
    assess = harness.begin()
    observed = harness.score(posts("ann", 2))
    assess.feed(batch(observed[:1], models={"text": "a@1"}))
    with pytest.raises(LogError, match="a@2"):
        assess.feed(batch(observed[1:], models={"text": "a@2"}))


def test_ticks_are_multiples_and_cover_what_is_before_them() -> None:
    played = run([event(at=0), event("bob", at=MINUTE - 1), event("cid", at=MINUTE)])
    assert [output.tick_ms - T0 for output in played.outputs] == [MINUTE, 2 * MINUTE, 3 * MINUTE]
    assert [output.stats.events for output in played.outputs] == [2, 1, 0], "the last is for what was read meanwhile"
    assert played.assess.ended()
    assert T0 % MINUTE == 0


def test_campaign_ticks_need_not_be_regular_ones() -> None:
    settings = AssessSettings(tick_s=60, campaign_tick_s=90)
    played = run([event(str(i), at=i * 20_000, text=MILD, lang="en") for i in range(12)], settings)
    ticks = [
        ((output.tick_ms - T0) // 1000, output.stats.campaign_tick, output.stats.events) for output in played.outputs
    ]
    assert ticks == [(60, False, 3), (90, True, 2), (120, False, 1), (180, True, 3), (240, False, 3), (300, True, 0)]


@pytest.mark.parametrize(
    ("text", "most", "drifted"), [("robot human said the old man here", 10, False), (MILD, 2, True)]
)
def test_a_campaign_tick_says_how_far_accounts_are_from_the_calibration_people(
    text: str, most: int, drifted: bool
) -> None:
    card = {TOTALS: quantiles_of(np.linspace(0.005, 0.099, 401))}  # the fake evidence of 1 to 10 events
    bundle = replace(models(), thresholds=Thresholds.of({"people": PEOPLE}, 100, frozenset({"en"}), "1", card))
    items = [item for n in range(FEWEST_ACCOUNTS) for item in posts(f"a{n:03}", 1 + n % most, text, start=n)]
    played = run(items, bundle=bundle)
    last = played.outputs[-1].stats
    assert last.drift is not None
    assert (last.drift > DRIFTED) == drifted
    assert last.flagged_share == 0.0
    assert all(output.stats.drift is None for output in played.outputs if not output.stats.campaign_tick)


def test_an_account_is_not_flagged_on_fewer_texts_than_asked_and_says_so() -> None:
    robot = "robot robot robot robot robot robot"
    settings = replace(harness.SETTINGS, min_texts=3)
    few, enough = (run(posts("ann", count, robot), settings).scores()["ann"] for count in (2, 3))
    assert few.llr.total > 2.97
    assert not few.flagged
    assert few.abstained["flag"] == "too few texts: 2 of at least 3 (min_texts)"
    withheld = [output.stats.withheld for output in run(posts("ann", 3, robot), settings).outputs]
    assert [each for each in withheld if each] == [{"too_few_texts": 1}] * 2
    assert enough.flagged
    assert enough.posts_at_flag == 3
    assert "flag" not in enough.abstained


def test_fewer_texts_than_the_thresholds_were_set_with_are_refused_where_asked_for() -> None:
    made = Thresholds.of({"people": PEOPLE}, 100, frozenset({"en"}), "1", min_texts=5)
    bundle = replace(models(), thresholds=made)
    with pytest.raises(UsageError, match="at least 5 texts"):
        run(posts("ann", 1), replace(harness.SETTINGS, min_texts=3, explicit_min_texts=True), bundle=bundle)
    played = run(posts("ann", 4, "robot robot robot robot robot robot"), bundle=bundle)
    assert played.scores()["ann"].abstained["flag"] == "too few texts: 4 of at least 5 (min_texts)"


def test_an_account_that_switches_languages_counts_as_writing_in_the_one_most_texts_are_in() -> None:
    robot = "robot robot robot robot robot robot"
    mostly = [*posts("ann", 6, robot), *posts("ann", 4, robot, start=30_000, lang="fi")]
    hardly = [*posts("ben", 4, robot), *posts("ben", 6, robot, start=30_000, lang="fi")]
    scores = run([*mostly, *hardly]).scores()
    assert "flag" not in scores["ann"].abstained
    assert scores["ben"].abstained["flag"].startswith("uncalibrated: language fi")
