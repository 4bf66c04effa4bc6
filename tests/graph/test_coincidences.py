"""Who coincided on what, and how surprising that is."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from graph.coincidences import (
    COPIES,
    HALF_LIFE_MS,
    LARGEST_NATS,
    LEAST_NATS,
    NEAREST,
    Coincidences,
    coincidences,
    pair_sums,
    same_minutes,
)
from graph.trace_memory import TraceView
from graph.traces import (
    COPIED,
    DOMAIN,
    HASHTAG,
    KIND_NAMES,
    KINDS,
    LIKE,
    LINK,
    NEAR_DUPLICATE,
    REPLY_TARGET,
    REPOST,
    WINDOW_MS,
)
from tests.graph.views import DAY, HOUR, MINUTE, NOW, Use, view_of

LAST = 10 * HOUR
"""Time of the last use in most of these tests: their surprises are as of then."""


def named(view: TraceView, found: Coincidences) -> dict[tuple[str, str, str, str], float]:
    """(account, account, kind, object) -> nats."""
    out: dict[tuple[str, str, str, str], float] = {}
    for a, b, kind, item, nats in zip(found.a, found.b, found.kind, found.item, found.nats, strict=True):
        key = view.names[item] if kind == COPIED else view.keys[item]
        one, two = sorted((view.names[a], view.names[b]))
        assert (one, two, KIND_NAMES[kind], key) not in out, "once a pair"
        out[one, two, KIND_NAMES[kind], key] = float(nats)
    return out


def of(*uses: Use, now_ms: int = NOW + LAST) -> dict[tuple[str, str, str, str], float]:
    view = view_of(uses, now_ms)
    return named(view, coincidences(view, now_ms))


def surprise(lag: int, window: int, strangers: int = 0, activity: float = 1.0) -> float:
    """The formula of `graph.coincidences`, in plain numbers."""
    return -math.log(1 - math.exp(-(strangers + 0.5) * (lag + MINUTE) / window * activity))


def test_two_uses_are_as_surprising_as_the_formula_says() -> None:
    found = of(Use("a", 0, LINK, "x"), Use("b", LAST, LINK, "x"))
    # Both use one object, as the mean account does; the circle is two accounts.
    assert found == {("a", "b", "link", "x"): pytest.approx(surprise(LAST, 48 * HOUR, 0, 1 / math.sqrt(2)))}


@pytest.mark.parametrize("strangers", [1, 2, 5])
def test_others_who_used_the_object_in_the_window_make_it_less_surprising(strangers: int) -> None:
    crowd = [Use(f"s{n}", HOUR, LINK, "x") for n in range(strangers)]
    found = of(Use("a", 0, LINK, "x"), *crowd, Use("b", LAST, LINK, "x"))
    circle = math.sqrt(strangers + 2)
    assert found["a", "b", "link", "x"] == pytest.approx(surprise(LAST, 48 * HOUR, strangers, 1 / circle))


def test_of_uses_at_one_time_none_is_the_first() -> None:
    """Whose name comes first does not matter: the pairs of three are equally surprising."""
    found = of(*[Use(who, LAST, NEAR_DUPLICATE, "c1") for who in "abc"], Use("d", LAST - HOUR, NEAR_DUPLICATE, "c1"))
    with_d = [nats for key, nats in found.items() if "d" in key[:2] and key[2] == "near_duplicate"]
    assert with_d == pytest.approx([with_d[0]] * 3)


def test_a_meeting_at_once_is_not_worth_more_than_the_largest_surprise() -> None:
    assert of(Use("a", LAST, LINK, "x"), Use("b", LAST, LINK, "x")) == {("a", "b", "link", "x"): LARGEST_NATS}


@pytest.mark.parametrize("kind", [LINK, DOMAIN, HASHTAG, REPOST, REPLY_TARGET])
def test_uses_coincide_up_to_the_window_of_their_kind_and_not_beyond(kind: int) -> None:
    window = WINDOW_MS[kind]
    inside = of(Use("a", 0, kind, "x"), Use("b", window, kind, "x"), now_ms=NOW + window)
    beyond = of(Use("a", 0, kind, "x"), Use("b", window + 1, kind, "x"), now_ms=NOW + window + 1)
    assert [key[2] for key in inside] == [KIND_NAMES[kind]]
    assert beyond == {}


def test_an_object_counts_once_for_a_pair_and_by_first_uses() -> None:
    once = of(Use("a", 0, LINK, "x"), Use("b", LAST, LINK, "x"))
    often = of(
        Use("a", 0, LINK, "x"), Use("a", LAST - 1, LINK, "x"), Use("b", LAST, LINK, "x"), Use("a", LAST, LINK, "x"),
    )  # fmt: skip
    assert often == once


def test_nobody_coincides_with_themselves() -> None:
    assert of(Use("a", 0, LINK, "x"), Use("a", 1, LINK, "x")) == {}


def test_each_use_is_held_against_the_nearest_before_it() -> None:
    view = view_of([Use(f"n{n:02d}", n * MINUTE, LINK, "x") for n in range(NEAREST + 5)])
    found = coincidences(view, NOW + HOUR)
    assert int((found.b - found.a).max()) <= NEAREST
    meetings = sum(min(n, NEAREST) for n in range(NEAREST + 5))
    assert 0.9 * meetings < len(found.a) <= meetings  # some are below what is counted at all


def test_strangers_between_two_accounts_hide_nothing_from_those_who_are_asked_about() -> None:
    uses = [Use("a", 0, LINK, "x"), Use("z", LAST, LINK, "x")]
    uses += [Use(f"m{n:02d}", HOUR, LINK, "x") for n in range(NEAREST)]
    uses += [Use(f"m{n:02d}", 2 * HOUR, LINK, f"y{k}") for n in range(NEAREST) for k in range(40)]
    view = view_of(uses)
    ends = np.array([0, len(view.names) - 1])
    assert not any({"a", "z"} == set(key[:2]) for key in named(view, coincidences(view, NOW + LAST)))
    asked = named(view, coincidences(view, NOW + LAST, ends))
    assert list(asked) == [("a", "z", "link", "x")]


def test_what_is_asked_for_some_is_what_all_show_of_them() -> None:
    rng = random.Random(3)
    uses = [Use(f"n{rng.randrange(9)}", rng.randrange(LAST), LINK, f"x{rng.randrange(12)}") for _ in range(80)]
    view = view_of(uses)
    few = np.array([1, 4, 6])
    everything = named(view, coincidences(view, NOW + LAST))
    wanted = {view.names[place] for place in few}
    assert named(view, coincidences(view, NOW + LAST, few)) == {
        key: nats for key, nats in everything.items() if set(key[:2]) <= wanted
    }


def test_a_popular_object_is_little_surprise() -> None:
    rare = of(Use("a", LAST - HOUR, LINK, "x"), Use("b", LAST, LINK, "x"))
    crowd = [Use(f"p{n}", n * MINUTE, LINK, "x") for n in range(200)]
    popular = of(*crowd, Use("a", LAST - HOUR, LINK, "x"), Use("b", LAST, LINK, "x"))
    key = ("a", "b", "link", "x")
    assert popular.get(key, 0.0) < rare[key] / 2


@pytest.mark.parametrize("busy", ["a", "b"])
def test_activity_is_the_geometric_mean_of_both(busy: str) -> None:
    more = [Use(busy, 0, LINK, f"own {n}") for n in range(3)]
    found = of(Use("a", 0, LINK, "x"), *more, Use("b", LAST, LINK, "x"))
    # Four objects and one, 2.5 on average, in a circle of two.
    activity = math.sqrt(4 * 1) / 2.5 / math.sqrt(2)
    assert found == {("a", "b", "link", "x"): pytest.approx(surprise(LAST, 48 * HOUR, 0, activity))}


def test_an_account_that_uses_everything_surprises_less() -> None:
    quiet = [Use(f"q{n}", n, LINK, f"own {n}") for n in range(40)]
    pair = [Use("a", LAST - HOUR, LINK, "x"), Use("b", LAST, LINK, "x")]
    busy = [Use("a", n * MINUTE, LINK, f"everything {n}") for n in range(30)]
    key = ("a", "b", "link", "x")
    assert of(*quiet, *pair, *busy)[key] < of(*quiet, *pair)[key]


def test_activity_is_by_kind() -> None:
    pair = [Use("a", LAST - HOUR, LINK, "x"), Use("b", LAST, LINK, "x")]
    likes = [Use("a", n * MINUTE, LIKE, f"post {n}") for n in range(30)]
    assert of(*pair, *likes) == of(*pair)


def test_surprise_halves_with_its_half_life() -> None:
    uses = Use("a", 0, LINK, "x"), Use("b", LAST, LINK, "x")
    key = ("a", "b", "link", "x")
    assert of(*uses, now_ms=NOW + LAST + HALF_LIFE_MS)[key] == pytest.approx(of(*uses)[key] / 2)


def test_next_to_no_surprise_is_left_out() -> None:
    """All dealings there are, ten of them, are of `a` with `b`: nothing else could have been expected."""
    dealings = [Use("a", LAST, LIKE, f"b{n}", "b") for n in range(10)]
    found = of(*dealings, Use("b", 0, LINK, "x"))
    assert -math.log(1 - math.exp(-10)) < LEAST_NATS
    assert found == {}
    assert len(of(*dealings[:2], Use("b", 0, LINK, "x"))) == 2


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 2, 0), (1, 0, 3, 2), (2, 3, 1, 0)])
def test_who_copies_the_same_account_coincides_whoever_is_stamped_first(order: tuple[int, ...]) -> None:
    """`src` and `a` say the same in one text, `src` and `b` in another, days apart: too far for a link."""
    posts = [("src", "c1"), ("a", "c1"), ("src", "c2"), ("b", "c2")]
    at = {place: n * HOUR for n, place in enumerate(order)}
    uses = [
        Use(who, at[n] + (3 * DAY if text == "c2" else 0), NEAR_DUPLICATE, text) for n, (who, text) in enumerate(posts)
    ]
    found = of(*uses, now_ms=NOW + 4 * DAY)
    copied = {key for key in found if key[2] == "copied"}
    assert copied == {("a", "b", "copied", "src")}
    assert ("a", "b", "near_duplicate", "c1") not in found


def test_a_text_that_everybody_repeats_is_copied_from_few() -> None:
    uses = [Use(f"p{n:02d}", n * MINUTE, NEAR_DUPLICATE, "meme") for n in range(3 * COPIES)]
    view = view_of(uses)
    found = coincidences(view, NOW + DAY)
    copied = found.kind == COPIED
    assert copied.any()
    assert int(np.abs(found.item - found.a)[copied].max()) <= COPIES


def test_contact_is_measured_against_dealings_placed_at_random() -> None:
    found = of(
        Use("a", 0, REPOST, "b1", "b"), Use("a", HOUR, REPLY_TARGET, "b2", "b"), Use("a", LAST, LIKE, "c1", "c"),
        Use("d", LAST, LIKE, "b3", "b"), Use("c", 0, LINK, "x"),
        # The same again is no further contact; one's own posts and unknown people's are none.
        Use("a", 2 * HOUR, REPOST, "b1", "b"), Use("b", 0, LIKE, "b1", "b"), Use("d", 0, LIKE, "who"),
    )  # fmt: skip
    # Four dealings; `a` has three of them, three are with `b`, one with `c`, `d` has one.
    chance = {"ab": 3 * 3 / 4, "ac": 3 * 1 / 4, "bd": 1 * 3 / 4}
    nats = {pair: -math.log(1 - math.exp(-expected)) for pair, expected in chance.items()}
    contact = {key[:2] + key[3:]: value for key, value in found.items() if key[2] == "contact"}
    assert contact == {
        ("a", "b", "b1"): pytest.approx(nats["ab"], rel=0.02),  # hours old
        ("a", "b", "b2"): pytest.approx(nats["ab"], rel=0.02),
        ("a", "c", "c1"): pytest.approx(nats["ac"]),
        ("b", "d", "b3"): pytest.approx(nats["bd"]),
    }


def test_contact_is_of_both_whoever_acts() -> None:
    there = Use("a", 0, LINK, "y"), Use("b", 0, HASHTAG, "z")
    forth, back = of(*there, Use("a", LAST, REPOST, "x", "b")), of(*there, Use("b", LAST, REPOST, "x", "a"))
    assert forth == back == {("a", "b", "contact", "x"): pytest.approx(-math.log(1 - math.exp(-1)))}


def test_whoever_comes_upon_itself_by_an_exchange_has_no_contact() -> None:
    view = view_of([Use("a", LAST, REPOST, "x", "b"), Use("b", 0, LINK, "y")])
    found = coincidences(view._replace(account=np.array([0, 1])), NOW + LAST)
    assert len(found.a) == 0


def test_names_of_accounts_change_nothing() -> None:
    rng = random.Random(5)
    accounts = [f"n{n}" for n in range(10)]
    owners = [rng.choice(accounts) for _ in range(25)]
    uses = []
    for at in rng.sample(range(LAST), 150):  # no two at once: such are taken in the order of names
        kind, thing = rng.choice((LINK, REPOST, NEAR_DUPLICATE, LIKE)), rng.randrange(25)
        owner = owners[thing] if kind in {REPOST, LIKE} else ""
        uses.append(Use(rng.choice(accounts), at, kind, f"{KIND_NAMES[kind]} {thing}", owner))
    called = dict(zip(accounts, rng.sample(accounts, len(accounts)), strict=True)) | {"": ""}
    before = of(*uses)
    after = of(*(use._replace(account=called[use.account], other=called[use.other]) for use in uses))
    renamed = {}
    for (one, two, kind_name, key), nats in before.items():
        pair = sorted((called[one], called[two]))
        renamed[pair[0], pair[1], kind_name, called.get(key, key)] = nats
    assert {key[2] for key in before} == {"link", "repost", "near_duplicate", "like", "copied", "contact"}
    assert after == pytest.approx(renamed)


def test_pairs_are_summed_by_kind() -> None:
    view = view_of(
        [Use("a", 0, LINK, "x"), Use("b", LAST, LINK, "x"), Use("a", 0, LINK, "y"), Use("b", HOUR, LINK, "y"),
         Use("b", 0, REPOST, "p"), Use("c", HOUR, REPOST, "p")]
    )  # fmt: skip
    found = coincidences(view, NOW + LAST)
    sums = pair_sums(found, len(view.names))
    assert list(zip(sums.a.tolist(), sums.b.tolist(), strict=True)) == [(0, 1), (1, 2)]
    assert sums.nats.shape == (2, KINDS)
    assert sums.nats[0, LINK] == pytest.approx(found.nats[found.kind == LINK].sum())
    assert sums.nats[1, REPOST] == pytest.approx(found.nats[found.kind == REPOST].sum())
    assert np.count_nonzero(sums.nats) == 2


def test_nothing_coincides_where_there_is_nothing() -> None:
    view = view_of([])
    found = coincidences(view, NOW)
    assert len(found.a) == 0
    assert len(pair_sums(found, 0).a) == 0
    assert same_minutes(view, np.zeros(0, np.int64)).shape == (0, 0)


def test_the_same_minutes_are_counted_against_everybodys() -> None:
    times = {"a": (0, 1), "b": (0, 1), "c": (2, 3, 4, 5)}
    uses = [Use(who, n * 10 * MINUTE, LINK, f"{who} {n}") for who, bins in times.items() for n in bins]
    # Likes, follows and reposts take no time to write; twice in ten minutes is once.
    uses += [Use("c", 0, LIKE, "x"), Use("c", 10 * MINUTE, REPOST, "y"), Use("a", 9 * MINUTE, LINK, "again")]
    view = view_of(uses)
    # Eight cells: bins 0 and 1 hold two of them each, four bins one. a and b: 2 x 2 x (2/16 + 4/64) = 3/4 expected.
    expected = 4 * (2 / 16 + 4 / 64)
    matrix = same_minutes(view, np.array([0, 1, 2]))
    assert matrix == pytest.approx(matrix.T)
    assert matrix[0, 1] == pytest.approx((2 - expected) / math.sqrt(expected + 1))
    assert matrix[0, 2] == 0.0
    assert not matrix.diagonal().any()
    assert same_minutes(view, np.array([1, 0])) == pytest.approx(matrix[:2, :2])
