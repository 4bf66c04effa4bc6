"""What the statistics of accounts promise: constant memory, forgetting, and rows that do not know their neighbours."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detector.account.features import (
    BEHAVIOUR_NAMES,
    CADENCE,
    HALF_LIFE_MS,
    HALF_LIFE_POSTS,
    TEXT_NAMES,
    language_code,
    language_tag,
)
from detector.account.model import AccountModel
from detector.account.statistics import AccountStatistics
from detector.errors import UsageError
from detector.models import SHIPPED
from detector.text.features import TEXT_FEATURES, TextAbstain, TextFeatures

DAY_MS = 86_400_000
MODEL = AccountModel.load(SHIPPED)
"""The shipped one."""
EN = language_code("en")
FR = language_code("fr")


def text_features(n: int, seed: int = 0, llr: float | None = None) -> TextFeatures:
    rng = np.random.default_rng(seed)
    out = np.zeros(n, TEXT_FEATURES)
    out["llr"] = rng.integers(-5000, 5000, n) if llr is None else round(llr * 1000)
    out["words"] = 9
    out["style"] = rng.normal(size=(n, out["style"].shape[1]))
    sketch = rng.normal(size=(n, out["sketch"].shape[1]))
    out["sketch"] = np.rint(127 * sketch / np.linalg.norm(sketch, axis=1, keepdims=True))
    out["minhash"] = rng.integers(1, 2**32, out["minhash"].shape)
    return out


def observe(
    statistics: AccountStatistics,
    rows: list[int],
    seen: TextFeatures,
    at_ms: int = 0,
    kind: int = 0,
    text: bool = True,
    language: int = EN,
) -> None:
    n = len(rows)
    statistics.observe(
        np.array(rows),
        np.full(n, at_ms),
        np.full(n, kind),
        seen,
        np.full(n, text),
        np.full(n, language, np.uint16),
        np.zeros(n, np.int64),
    )


def text_feature(statistics: AccountStatistics, row: int, name: str) -> float:
    return float(statistics.features(np.array([row])).text[0, TEXT_NAMES.index(name)])


def behaviour_feature(statistics: AccountStatistics, row: int, name: str) -> float:
    return float(statistics.features(np.array([row])).behaviour[0, BEHAVIOUR_NAMES.index(name)])


def same(a: Any, b: Any) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_an_account_keeps_at_most_a_kilobyte_after_ten_thousand_posts() -> None:
    statistics = AccountStatistics(1)
    seen = text_features(10_000)
    for i in range(10_000):
        observe(statistics, [0], seen[i : i + 1], at_ms=i * 60_000)
    assert statistics.posts[0] == 10_000
    assert sum(len(array.tobytes()) for array in statistics.arrays().values()) <= 1000
    assert np.isfinite(statistics.features(np.array([0])).text).all()


def check_finite(statistics: AccountStatistics, rows: NDArray[np.int64]) -> None:
    """Everything kept and everything computed from it is a number, without a warning on the way."""
    with np.errstate(all="raise", under="ignore"):
        features = statistics.features(rows)
        evidence = MODEL.components(features)
    for values in (statistics.table[rows], features.text, features.behaviour, features.weight, features.second_stage):
        assert np.isfinite(values).all()
    assert np.isfinite(evidence.text).all()
    assert np.isfinite(evidence.behaviour).all()
    assert (features.behaviour >= 0).all()


def test_evidence_of_an_account_with_thousands_of_posts_is_a_number() -> None:
    """The second stage read one text at the beginning: its count halves every fifty posts, below what divides anything.

    So does the count of what was written, where an account has only liked since.
    """
    statistics = AccountStatistics(3)
    rows, kinds = np.arange(3), np.array([0, 4, 0])
    observe(statistics, [0, 1, 2], text_features(3, 1, llr=0.5))
    statistics.observe_second_stage(rows, np.full(3, 2500, np.int16), np.full(3, 500, np.int16))
    seen, text = text_features(3, 2, llr=0.5), np.array([True, False, True])
    language, links = np.full(3, EN, np.uint16), np.zeros(3, np.int64)
    for i in range(8_000):
        statistics.observe(rows, np.full(3, i * 1000), kinds, seen, text, language, links)
        if i % 500 == 0:
            check_finite(statistics, rows)
    check_finite(statistics, rows)
    assert statistics.features(rows).second_stage.tolist() == pytest.approx([0.0, 1.0, 0.0], abs=0.01)
    never_read = AccountStatistics(1)
    for i in range(300):
        observe(never_read, [0], seen[:1], at_ms=i * 1000)
    evidence = [MODEL.components(each.features(np.array([0]))).text[0] for each in (statistics, never_read)]
    assert evidence[0] == pytest.approx(evidence[1], abs=0.05), "what was read so long ago says nothing any more"


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),
            st.sampled_from([0, 1000, DAY_MS, HALF_LIFE_MS, 40 * HALF_LIFE_MS, 130 * HALF_LIFE_MS, 145 * HALF_LIFE_MS]),
            st.sampled_from([TextAbstain.NONE, TextAbstain.TOO_SHORT, TextAbstain.NO_TEXT]),
            st.booleans(),
            st.sampled_from([1, 1, 1, 2, 30]),
        ),
        min_size=5,
        max_size=40,
    )
)
def test_no_history_makes_a_number_that_is_none(history: list[tuple[int, int, int, bool, int]]) -> None:
    """Pauses of up to 145 half-lives do in one step what thousands of posts do."""
    statistics, row = AccountStatistics(1), np.array([0])
    at_ms = 0
    for kind, pause_ms, abstain, read, times in history:
        seen = text_features(1, kind)
        seen["abstain"] = abstain
        for _ in range(times):
            at_ms += pause_ms
            observe(statistics, [0], seen, at_ms=at_ms, kind=kind, text=abstain != TextAbstain.NO_TEXT)
        if read:
            statistics.observe_second_stage(row, np.array([3000], np.int16), np.array([-3000], np.int16))
        check_finite(statistics, row)


@pytest.mark.slow
def test_a_million_events_of_one_account_are_numbers_all_along() -> None:
    statistics, rng = AccountStatistics(1), np.random.default_rng(5)
    row, links = np.array([0]), np.zeros(1, np.int64)
    seen, language = text_features(64, 7), np.full(1, EN, np.uint16)
    at_ms, phase = 0, 0
    for i in range(1_000_000):
        if i % 20_000 == 0:
            phase = int(rng.integers(3))  # writes, only likes, writes what gives no evidence
        at_ms += int(rng.integers(60_000))
        one = seen[i % 64 : i % 64 + 1].copy()
        one["abstain"] = TextAbstain.TOO_SHORT if phase == 2 else TextAbstain.NONE
        kind = np.array([4 if phase == 1 else 0])
        statistics.observe(row, np.array([at_ms]), kind, one, np.array([phase != 1]), language, links)
        if i % 50_000 == 7:
            statistics.observe_second_stage(row, np.array([2500], np.int16), np.array([500], np.int16))
        if i % 200 == 0:
            check_finite(statistics, row)
    check_finite(statistics, row)
    assert statistics.events[0] == 1_000_000


def test_kinds_may_be_of_any_integer_type() -> None:
    """The observation log has them in eight bits, and there are more columns than those can number."""
    kept = []
    for dtype in (np.int8, np.uint8, np.int64):
        statistics = AccountStatistics(6)
        at_ms, text, links = np.arange(6), np.ones(6, bool), np.zeros(6, np.int64)
        statistics.observe(
            np.arange(6), at_ms, np.arange(6, dtype=dtype), text_features(6), text, np.full(6, EN, np.uint16), links
        )
        kept.append(statistics.arrays())
    assert len(kept[2]) > 3
    for arrays in kept[:2]:
        assert all(np.array_equal(value, kept[2][name]) for name, value in arrays.items())


def test_what_is_kept_comes_back_exactly() -> None:
    statistics = AccountStatistics(7)
    for i in range(30):
        observe(statistics, [1, 4, 6], text_features(3, i), at_ms=i * 3_000_000)
    again = AccountStatistics.from_arrays({name: value.copy() for name, value in statistics.arrays().items()})
    for each in (statistics, again):
        observe(each, [4, 2], text_features(2, 99), at_ms=31 * 3_000_000)
    assert all(np.array_equal(value, again.arrays()[name]) for name, value in statistics.arrays().items())


def test_arrays_of_another_version_are_refused() -> None:
    arrays = AccountStatistics(3).arrays()
    with pytest.raises(UsageError, match="another version"):
        AccountStatistics.from_arrays({**arrays, "table": np.zeros((3, 5), np.float32)})
    with pytest.raises(UsageError, match="lack posts"):
        AccountStatistics.from_arrays({name: value for name, value in arrays.items() if name != "posts"})


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 5), st.integers(0, 3 * DAY_MS), st.integers(0, 5), st.sampled_from([0, 0, 0, 1, 2, 3])
        ),
        min_size=1,
        max_size=60,
    ),
    st.integers(0, 2**31),
)
def test_a_row_does_not_know_who_else_is_in_the_call(events: list[tuple[int, int, int, int]], seed: int) -> None:
    events = sorted(events, key=lambda event: event[1])
    seen = text_features(len(events), seed)
    seen["abstain"] = [event[3] for event in events]
    text = np.array([event[3] != TextAbstain.NO_TEXT for event in events])
    rows, at_ms, kinds = (np.array([event[i] for event in events]) for i in range(3))
    language = np.where(rows % 2, EN, FR).astype(np.uint16)

    def feed(statistics: AccountStatistics, part: NDArray[np.int64]) -> None:
        statistics.observe(rows[part], at_ms[part], kinds[part], seen[part], text[part], language[part], rows[part] % 2)

    alone, together = AccountStatistics(6), AccountStatistics(6)
    for i in range(len(events)):
        feed(alone, np.array([i]))
    waiting = list(range(len(events)))
    while waiting:
        chosen: dict[int, int] = {}
        for i in waiting:
            chosen.setdefault(int(rows[i]), i)
        feed(together, np.array(list(chosen.values())))
        waiting = [i for i in waiting if i not in chosen.values()]
    assert all(np.array_equal(value, together.arrays()[name]) for name, value in alone.arrays().items())
    every = alone.features(np.arange(6))
    for row in range(6):
        assert same(alone.features(np.array([row])), [value[row : row + 1] for value in every])


def test_growing_keeps_what_is_there() -> None:
    statistics = AccountStatistics(2)
    observe(statistics, [0, 1], text_features(2))
    before = statistics.features(np.array([0, 1]))
    statistics.grow(50)
    assert statistics.capacity == 50
    assert same(before, statistics.features(np.array([0, 1])))
    observe(statistics, [49], text_features(1))
    assert statistics.posts[49] == 1


def test_a_cleared_row_is_as_new() -> None:
    statistics = AccountStatistics(2)
    observe(statistics, [0, 1], text_features(2))
    statistics.clear(np.array([0]))
    fresh = AccountStatistics(1)
    assert all(np.array_equal(value[:1], fresh.arrays()[name]) for name, value in statistics.arrays().items())
    assert statistics.posts[1] == 1


def test_an_account_that_changes_hands_is_judged_by_the_new_ones() -> None:
    statistics = AccountStatistics(1)
    for i in range(200):
        observe(statistics, [0], text_features(1, i, llr=-2.0), at_ms=i * 3_600_000)
    for i in range(round(HALF_LIFE_POSTS)):
        observe(statistics, [0], text_features(1, i, llr=2.0), at_ms=(200 + i) * 3_600_000)
    assert text_feature(statistics, 0, "llr_mean") > 0


def test_time_alone_forgets_how_much_is_known_but_not_what() -> None:
    statistics = AccountStatistics(2)
    for i in range(10):
        observe(statistics, [0, 1], text_features(2, i, llr=1.0), at_ms=i * 1000)
    observe(statistics, [0], text_features(1, llr=1.0), at_ms=10_000)
    observe(statistics, [1], text_features(1, llr=1.0), at_ms=10_000 + HALF_LIFE_MS)
    weight = statistics.features(np.array([0, 1])).weight
    assert weight[1] - 1 == pytest.approx((weight[0] - 1) / 2, rel=1e-3)
    assert text_feature(statistics, 1, "llr_mean") == pytest.approx(1.0, abs=1e-5)


def test_mean_spread_and_self_similarity_are_those_of_the_posts() -> None:
    statistics = AccountStatistics(1)
    seen = text_features(3, 5)
    for i in range(3):
        observe(statistics, [0], seen[i : i + 1])
    share = 2.0 ** (-np.array([2.0, 1.0, 0.0]) / HALF_LIFE_POSTS)
    llr = seen["llr"] / 1000
    mean = np.average(llr, weights=share)
    variance = (share * (llr - mean) ** 2).sum() / (share.sum() - (share**2).sum() / share.sum())
    assert text_feature(statistics, 0, "llr_mean") == pytest.approx(mean, rel=1e-4)
    assert text_feature(statistics, 0, "llr_sd") == pytest.approx(np.sqrt(variance), rel=1e-4)
    unit = seen["sketch"] / 127.0
    cosine, pairs = unit @ unit.T, np.outer(share, share)
    np.fill_diagonal(pairs, 0)
    assert text_feature(statistics, 0, "self_similarity") == pytest.approx(
        (cosine * pairs).sum() / pairs.sum(), abs=0.02
    )


def test_texts_that_give_no_evidence_leave_the_text_statistics_alone() -> None:
    statistics = AccountStatistics(1)
    seen = text_features(1, llr=3.0)
    seen["abstain"] = TextAbstain.LANGUAGE
    for _ in range(3):
        observe(statistics, [0], seen, language=language_code("yo"))
    features = statistics.features(np.array([0]))
    assert features.abstain[0] == TextAbstain.LANGUAGE
    assert features.posts[0] == 0
    assert not features.text.any()
    assert statistics.events[0] == 3


def test_an_account_that_repeats_itself_is_noticed() -> None:
    statistics = AccountStatistics(2)
    same_text = text_features(1, 3)
    for i in range(6):
        observe(statistics, [0], same_text, at_ms=i)
        observe(statistics, [1], text_features(1, i), at_ms=i)
    assert text_feature(statistics, 0, "repeats") > 0.8
    assert text_feature(statistics, 1, "repeats") == 0


def test_the_main_language_is_the_one_written_most() -> None:
    statistics = AccountStatistics(1)
    for i, tag in enumerate(["fr", "en", "de", "en", "es", "en", "it", "en"]):
        observe(statistics, [0], text_features(1, i), language=language_code(tag))
    assert language_tag(int(statistics.features(np.array([0])).language[0])) == "en"


def test_sittings_end_after_half_an_hour() -> None:
    statistics = AccountStatistics(1)
    for minutes in (0, 1, 2, 60, 61, 200):
        observe(statistics, [0], text_features(1, minutes), at_ms=minutes * 60_000)
    assert behaviour_feature(statistics, 0, "sittings_per_text") == pytest.approx(3 / 6, rel=0.05)


def test_likes_and_reposts_do_not_change_the_cadence_of_writing() -> None:
    with_likes, without = AccountStatistics(1), AccountStatistics(1)
    for i in range(10):
        observe(without, [0], text_features(1, i), at_ms=i * 5_000_000)
        observe(with_likes, [0], text_features(1, i), at_ms=i * 5_000_000)
        observe(with_likes, [0], text_features(1), at_ms=i * 5_000_000 + 7000, kind=4, text=False)
    for name in BEHAVIOUR_NAMES[CADENCE]:
        assert behaviour_feature(with_likes, 0, name) == pytest.approx(behaviour_feature(without, 0, name), abs=0.12)
    assert behaviour_feature(with_likes, 0, "like_share") == pytest.approx(0.5, abs=0.02)


def test_moving_the_clock_by_whole_weeks_changes_nothing() -> None:
    early, late = AccountStatistics(1), AccountStatistics(1)
    for i in range(20):
        observe(early, [0], text_features(1, i), at_ms=i * 5_000_000)
        observe(late, [0], text_features(1, i), at_ms=i * 5_000_000 + 520 * 7 * DAY_MS)
    assert same(early.features(np.array([0])), late.features(np.array([0])))


def test_second_stage_evidence_is_kept_beside_that_of_the_first_stage() -> None:
    statistics = AccountStatistics(1)
    observe(statistics, [0], text_features(1, llr=0.5))
    statistics.observe_second_stage(np.array([0]), np.array([2500], np.int16), np.array([500], np.int16))
    assert text_feature(statistics, 0, "expert_mean") == pytest.approx(2.5)
    assert text_feature(statistics, 0, "expert_gain") == pytest.approx(2.0)
    assert statistics.features(np.array([0])).second_stage[0] == 1


@pytest.mark.parametrize("tag", ["en", "fr", "pcm", "zh", "a"])
def test_a_language_tag_survives_its_code(tag: str) -> None:
    assert language_tag(language_code(tag)) == tag


def test_what_is_no_language_tag_has_code_zero() -> None:
    assert [language_code(tag) for tag in ("", "e1", "é", "engl")] == [0, 0, 0, 0]


def test_a_hundred_thousand_updates_a_second() -> None:
    statistics = AccountStatistics(1000)
    rows, seen = np.arange(1000), text_features(1000)
    arguments = (np.zeros(1000, np.int64), np.zeros(1000, np.int64), seen, np.ones(1000, bool))
    best = np.inf
    for _ in range(5):
        began = time.perf_counter()
        statistics.observe(rows, *arguments, np.full(1000, EN, np.uint16), np.zeros(1000, np.int64))
        best = min(best, time.perf_counter() - began)
    assert 1000 / best > 100_000
