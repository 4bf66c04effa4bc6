"""Societies with texts: whose words each account says, what is said together, and that equal seeds give equal files."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.data_splits import split_of
from detector.errors import UsageError
from simulation.sampling import Ints
from simulation.world import LIKE, POST, REPLY, Chunk
from tests.training.society_data import SMALL, text_sets
from training import society_plan, society_texts
from training.drawn_evidence import drawn_llr
from training.society_texts import SocietyFiles, make_societies, text_society, worth_keeping
from training.text_pools import chat_pools, plain, read_pools


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Societies of a day, in steps of an hour: a tenth of the time."""
    monkeypatch.setattr(society_plan, "DAYS", (1.0, 1.0))
    monkeypatch.setattr(society_plan, "STEP_MINUTES", (60.0, 60.0))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_sets(tmp_path_factory.mktemp("data"))


def made(
    data: Path, out: Path, seed: int = 0, **choices: Any
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Events, and truth by account, of a small society."""
    choices = {"without": ["chitchat"], "accounts": SMALL, **choices}
    files = text_society(np.random.default_rng(seed), data, out, **choices)
    return read(files)


def read(files: SocietyFiles) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    events = [json.loads(line) for line in files.events.read_text().splitlines()]
    truth = [json.loads(line) for line in files.truth.read_text().splitlines()]
    return events, {row["account"]: row for row in truth}


def words(event: dict[str, Any]) -> str:
    """An event's text without the tag and the link that the simulator puts at its end."""
    return re.sub(r"(?: #\w+)?(?: https://\S+)?$", "", event["text"])


def test_each_account_of_a_campaign_says_what_one_author_of_one_campaign_wrote(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(society_plan, "WORDINGS", {"independent": 1.0})
    events, truth = made(data, tmp_path)
    said = defaultdict(set)
    for event in events:
        if "text" in event and truth[event["account"]]["campaign"]:
            said[event["account"]].add(re.sub(r" says number.*", "", words(event)))
    authors = [next(iter(beginnings)) for beginnings in said.values()]
    assert len(said) >= 10
    assert all(len(beginnings) == 1 for beginnings in said.values())
    assert len(set(authors)) == len(authors)
    pools = defaultdict(set)
    for account in said:
        pools[truth[account]["campaign"]].add(truth[account]["texts"])
        assert truth[account]["texts"].split("/")[1] == truth[account]["author"].split("-")[1]
    assert all(len(names) == 1 for names in pools.values())
    assert len({*map(tuple, pools.values())}) == len(pools)


def test_no_text_is_said_twice_but_by_those_who_copy(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = {}
    for wording in ("independent", "copied"):
        monkeypatch.setattr(society_plan, "WORDINGS", {wording: 1.0})
        events, truth = made(data, tmp_path / wording, seed=4)
        repeating = {"giveaway", "share-button"}
        said = [
            event
            for event in sorted(events, key=lambda event: event["at"])
            if "text" in event and truth[event["account"]]["slice"] not in repeating
        ]
        count = Counter(words(event) for event in said)
        copies[wording] = sum(times - 1 for times in count.values())
    assert copies["independent"] == 0
    assert copies["copied"] > 0


def test_members_who_serve_a_task_with_a_point_say_something_on_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(society_plan, "WORDINGS", {"independent": 1.0})
    monkeypatch.setattr(society_texts, "BY_POINT", 1.0)
    monkeypatch.setattr(society_plan, "TASKS", (8.0, 8.0))
    monkeypatch.setattr(society_plan, "JOINT", (0.9, 0.9))
    monkeypatch.setattr(society_plan, "QUIET", (0.0, 0.0))
    together = 0
    other = 0
    for seed in range(3):
        events, truth = made(data, tmp_path / str(seed), seed=seed, families=["links"])
        by_link = defaultdict(list)
        for event in events:
            if "text" in event and event.get("urls") and truth[event["account"]]["campaign"]:
                number = int(words(event).rsplit(" ", 1)[1])
                if number % 3:
                    by_link[event["urls"][0]].append(number % 3)
        for points in by_link.values():
            together += sum(a == b for i, a in enumerate(points) for b in points[:i])
            other += sum(a != b for i, a in enumerate(points) for b in points[:i])
    assert together > 2 * other > 0


def test_the_truth_says_who_drives_an_account_with_whose_texts(data: Path, tmp_path: Path) -> None:
    _, truth = made(data, tmp_path, families=["drip"], campaigns=["frontier_campaigns/C2"])
    driven = [row for row in truth.values() if row["campaign"]]
    assert {row["texts"] for row in driven} - {None} == {"frontier_campaigns/C2"}
    assert {row["family"] for row in driven} == {"drip"} == {row["slice"] for row in driven}
    assert {row["generator"] for row in driven} - {None} == {"model-x"}
    assert all(row["label"] == 1 for row in driven)
    twins = [row for row in truth.values() if row["slice"] == "twin"]
    assert Counter(row["twin_of"] for row in twins) == Counter(row["campaign"] for row in driven)
    assert {row["generator"] for row in truth.values() if row["label"] == 0} <= {"human", None}
    lone = [row for row in truth.values() if row["label"] == 1 and not row["campaign"]]
    assert all(row["family"] == "lone" == row["slice"] and row["texts"] == "frontier_social/personas" for row in lone)


def test_a_crowd_talks_about_one_thing(data: Path, tmp_path: Path) -> None:
    _, truth = made(data, tmp_path, accounts=(120, 120))
    crowds = defaultdict(list)
    for row in truth.values():
        if row["group"]:
            assert row["label"] == 0
            crowds[row["group"]].append(row["texts"])
    crowd_pools = {pool.name for pool in read_pools(data, ["chitchat"]).crowds}
    main = {name: Counter(texts).most_common(1)[0] for name, texts in crowds.items()}
    topical = [name for name, (pool, count) in main.items() if pool in crowd_pools and 2 * count > len(crowds[name])]
    assert topical


def test_all_texts_have_one_typography_and_a_language(data: Path, tmp_path: Path) -> None:
    events, _ = made(data, tmp_path)
    texts = [event for event in events if "text" in event]
    assert len(texts) > 100
    for event in texts:
        assert not re.search(r"[@\n🎉]|t\.co", event["text"])
        assert re.fullmatch(r"[^#]*(?: #\w+)?(?: https://\S+)?", event["text"])
        assert event["lang"] == "en"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One\ntwo  “three” — four", 'One two "three" - four'),
        ("Vote #Yes today #Vote #Now", "Vote Yes today"),
        ("@a @b thanks 😀 https://t.co/abc", "thanks"),
        ("#only #tags", ""),
    ],
)
def test_plain_takes_away_what_tells_sources_apart(text: str, expected: str) -> None:
    assert plain(text) == expected


def test_equal_generators_give_equal_files_and_others_do_not(data: Path, tmp_path: Path) -> None:
    first, again, other = (made(data, tmp_path / name, seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert first == again
    assert first != other


def test_what_is_left_out_is_nowhere(data: Path, tmp_path: Path) -> None:
    without = ["chitchat", "frontier_campaigns/C1", "people_authors/irc_ubuntu"]
    for seed in range(2):
        events, truth = made(data, tmp_path / str(seed), seed, without=without)
        assert all(not (row["texts"] or "").startswith(tuple(without)) for row in truth.values())
        assert not any("irc_ubuntu" in event.get("text", "") for event in events)


def test_names_that_are_none_are_refused_with_those_there_are(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there are waves, links"):
        made(data, tmp_path, families=["wave"])
    with pytest.raises(UsageError, match="frontier_campaigns/C1"):
        made(data, tmp_path, campaigns=["frontier_campaign"])
    with pytest.raises(UsageError, match="no texts of people"):
        made(data, tmp_path, without=["chitchat", "people_authors", "human_short_text"])
    with pytest.raises(UsageError, match="no texts of campaigns"):
        made(tmp_path, tmp_path)


def test_a_work_folder_keeps_societies_of_the_same_choices(data: Path, tmp_path: Path) -> None:
    told: list[str] = []

    def make(count: int, seed: int = 1, without: tuple[str, ...] = ("chitchat",)) -> list[SocietyFiles]:
        say = lambda what, _: told.append(what)  # noqa: E731
        return make_societies(tmp_path, count, data, seed, say, without=without, accounts=SMALL)

    first = make(2)
    before = [files.events.stat().st_mtime_ns for files in first]
    assert make(2) == first
    assert [files.events.stat().st_mtime_ns for files in first] == before
    kept = first[0].events.read_bytes()
    first[0].truth.unlink()
    assert make(1)[0].events.read_bytes() == kept
    assert first[0].truth.is_file()
    changed = make(1, without=("chitchat", "frontier_campaigns/C1"))
    assert changed[0].events.read_bytes() != kept
    assert make(1, seed=2)[0].events != first[0].events
    assert told[:2] == ["society 1 of 2", "society 2 of 2"]


def test_posts_without_words_stay_where_they_carry_something_or_are_answered() -> None:
    def ints(*values: int) -> Ints:
        return np.array(values, np.int64)

    none = ints(-1, -1, -1, -1, -1)
    chunk = Chunk(
        serial=ints(0, 1, 2, 3, 4), at=ints(0, 1, 2, 3, 4), account=ints(0, 1, 2, 3, 4),
        kind=np.array([POST, POST, POST, REPLY, LIKE], np.int8), target=ints(-1, -1, -1, 1, 1),
        target_account=none, link=ints(-1, -1, 7, -1, -1), tag=none, task=none,
        manner=np.zeros(5, np.int8), words=none,
    )  # fmt: skip
    assert worth_keeping(chunk, [False] * 5).tolist() == [False, True, True, True, True]
    assert worth_keeping(chunk, [True, False, False, False, False]).tolist() == [True] * 5


def test_chats_are_taken_of_one_role_and_by_prompt() -> None:
    people = [f"person-{i}" for i in range(40)]
    conversations = {
        str(i): {
            "prompt": "What about bees?" if i % 2 else None,
            "messages": [[{"sender": who, "text": f"{who} said a thing {k}"} for k in range(4)]],
        }
        for i, who in enumerate(people)
    }
    everybody, crowds = chat_pools(conversations, "train")
    expected = sorted(who for who in people if split_of("chitchat", who) == "train")
    assert [author.name for author in everybody[0].authors] == expected
    assert len(expected) > 3
    assert {author.name for pool in crowds for author in pool.authors} == {
        who for i, who in enumerate(people) if i % 2 and who in expected
    }
    assert len(chat_pools(conversations, None)[0][0].authors) == 40


def test_drawn_evidence_is_silent_or_right_on_average_and_common_to_a_crowd() -> None:
    rng = np.random.default_rng(0)
    n = 4000
    label = np.repeat([1, 1, 0, 0], n // 4)
    campaign = np.where(np.arange(n) < n // 4, np.arange(n) // 20, -1)
    crowd = np.where(np.arange(n) >= 3 * n // 4, np.arange(n) // 20, -1)
    means, between = [], []
    for _ in range(30):
        llr, speaks = drawn_llr(label, campaign, crowd, rng)
        assert (llr[~speaks] == 0).all()
        heard = [llr[part * n // 4 : (part + 1) * n // 4] for part in range(4)]
        means.append([part[part != 0].mean() for part in heard])
        between.append([heard[k].reshape(-1, 20).mean(axis=1).var() / heard[k].var() for k in (2, 3)])
    campaigns, lone, people, crowds = np.mean(means, axis=0)
    assert campaigns > 0.2 > 0 > people
    assert lone > 0.2
    assert crowds < 0
    alone, together = np.mean(between, axis=0)
    assert together > 2 * alone
