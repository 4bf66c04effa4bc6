"""The benchmark's stream: copies that share nothing but what the recording itself is like."""

from __future__ import annotations

import json
import random
import re
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.loadtest import DAY_MS, Copy, LoadTestText, Played, Vocabulary, main, make_copies, overlaid, read_events
from streaming.schema.event import Event, parse
from streaming.schema.observation import Kind
from tests.streaming.builders import T0, event, write_lines

STEMS = ["ba", "de", "fi", "go", "lu", "ma", "ne", "pi", "ro", "su"]
WORDS = [a + b + c for a in STEMS for b in STEMS for c in ("n", "st", "mo")]


def texts(count: int, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    weights = [1 / (1 + i) for i in range(len(WORDS))]
    return [
        " ".join(rng.choices(WORDS, weights, k=rng.randrange(5, 25))).capitalize() + rng.choice(".!?")
        for _ in range(count)
    ]


def load_test_texts(count: int, sample: list[str], share: float = 0.75) -> list[LoadTestText]:
    vocabulary = Vocabulary(("en", text) for text in sample)
    return [LoadTestText(vocabulary, f"copy {number}", share) for number in range(count)]


def reword(load_test_text: LoadTestText, text: str) -> str:
    return load_test_text.text("en", text, lambda link: f"<{link}>", lambda name: f"{name}~")


def shingles(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + 3]) for i in range(len(words) - 2)}


def jaccard(a: str, b: str) -> float:
    return len(shingles(a) & shingles(b)) / max(1, len(shingles(a) | shingles(b)))


def test_copies_share_next_to_no_run_of_three_words() -> None:
    sample = texts(400)
    first, second = load_test_texts(2, sample)
    found = [jaccard(reword(first, text), reword(second, text)) for text in sample]
    assert sum(found) / len(found) < 0.02
    assert sum(value >= 0.5 for value in found) <= 2


def test_within_a_copy_texts_stay_as_much_alike_as_they_were() -> None:
    sample = texts(200)
    (load_test_text,) = load_test_texts(1, sample)
    for text in sample:
        retold = text.replace(text.split()[2], "bane", 1)
        assert abs(jaccard(reword(load_test_text, text), reword(load_test_text, retold)) - jaccard(text, retold)) < 0.35
    assert reword(load_test_text, sample[0]) == reword(load_test_text, sample[0])


def test_length_case_and_punctuation_stay() -> None:
    sample = [*texts(300), *(text.upper() for text in texts(100)), "In 2019, it's 42% (or 17)..."]
    (load_test_text,) = load_test_texts(1, sample, share=1.0)
    changed = 0
    for text in sample:
        other = reword(load_test_text, text)
        assert re.sub(r"[\w']", "x", other) == re.sub(r"[\w']", "x", text)
        assert [word.isupper() for word in other.split()] == [word.isupper() for word in text.split()]
        changed += other != text
    assert changed > 0.9 * len(sample)


def test_with_every_word_replaced_the_substitution_loses_no_word() -> None:
    sample = texts(400)
    (load_test_text,) = load_test_texts(1, sample, share=1.0)
    used = {word for text in sample for word in text.rstrip(".!?").split()}
    assert len({load_test_text.word("en", word) for word in used}) == len(used)


def test_about_the_stated_share_is_replaced() -> None:
    sample = texts(400)
    for share in (0.0, 0.3, 0.75):
        (load_test_text,) = load_test_texts(1, sample, share=share)
        changed = sum(load_test_text.word("en", word) != word for word in WORDS) / len(WORDS)
        assert share - 0.15 < changed <= share + 0.1


def test_unknown_words_stay_and_links_tags_and_mentions_are_renamed() -> None:
    (load_test_text,) = load_test_texts(1, texts(50))
    assert reword(load_test_text, "Zyx #Tag (https://a.b/c?d), @you…") == "Zyx #Tag~ (<https://a.b/c?d>), @you~…"


@settings(max_examples=80)
@given(st.lists(st.tuples(st.sampled_from(["en", "fr", ""]), st.text(max_size=40)), max_size=12))
def test_no_text_breaks_the_load_test_text(sample: list[tuple[str, str]]) -> None:
    load_test_text = LoadTestText(Vocabulary(sample), "")
    for language, text in sample:
        load_test_text.text(language, text, str, str).encode("utf-8", "surrogatepass")


def recording(count: int = 60) -> list[dict[str, Any]]:
    sample = texts(count)
    made = []
    for i in range(count):
        more: dict[str, Any] = {"text": sample[i] + " https://site.example/page #News"} if i % 3 else {}
        if i % 3 == 0 and i:
            more |= {"kind": "reply", "target": f"e{i - 1}", "target_account": f"acc{(i - 1) % 7}"}
        made.append(
            event(f"acc{i % 7}", at=i * 30_000, id=f"e{i}", profile={"name": "Ann", "automated": False}, **more)
        )
    return made


def made(tmp_path: Path, *more: str, copies: int = 5) -> list[dict[str, Any]]:
    source = write_lines(tmp_path / "in.jsonl", [*recording(), b"not an event"])
    out = tmp_path / "out.jsonl"
    assert (
        main(["--input", str(source), "--output", str(out), "--copies", str(copies), "--spread-s", "600", *more]) == 0
    )
    return [json.loads(line) for line in out.read_bytes().splitlines()]


def test_every_copy_has_every_event_in_order_of_time(tmp_path: Path) -> None:
    got = [parse(json.dumps(item).encode(), now_ms=2**60) for item in made(tmp_path)]
    assert len(got) == 5 * 60
    assert [one.at for one in got] == sorted(one.at for one in got)
    assert Counter(one.id[-4:] for one in got) == {f"c{i:03}": 60 for i in range(5)}
    assert Counter(one.kind for one in got) == {Kind.POST: 5 * 41, Kind.REPLY: 5 * 19}


def test_copies_share_no_account_object_link_domain_or_target(tmp_path: Path) -> None:
    got = made(tmp_path)
    assert len({one["id"][-4:] for one in got}) > 1
    readers: list[Callable[[dict[str, Any]], list[str]]] = [
        lambda one: [one["account"], one["id"]],
        lambda one: [one[field] for field in ("target", "target_account") if field in one],
        lambda one: [*one.get("urls", ()), *one.get("hashtags", ())],
        lambda one: [url.split("/")[2] for url in one.get("urls", ())],
        lambda one: re.findall(r"https?://\S+|#\w+", one.get("text", "")),
    ]
    for read in readers:
        owners: dict[str, set[str]] = {}
        for one in got:
            for name in read(one):
                owners.setdefault(name, set()).add(one["id"][-4:])
        assert owners
        assert all(len(copies) == 1 for copies in owners.values())


def test_inside_a_copy_replies_still_lead_to_their_posts(tmp_path: Path) -> None:
    got = made(tmp_path)
    accounts = {one["id"]: one["account"] for one in got}
    replies = [one for one in got if one["kind"] == "reply"]
    assert replies
    assert all(accounts[one["target"]] == one["target_account"] for one in replies)


def test_it_is_a_function_of_its_seed(tmp_path: Path) -> None:
    first, again, other = made(tmp_path), made(tmp_path), made(tmp_path, "--seed", "1")
    assert first == again
    assert [one.get("text") for one in first] != [one.get("text") for one in other]


def test_in_further_rounds_the_accounts_stay_and_the_rest_is_new(tmp_path: Path) -> None:
    got = made(tmp_path, "--rounds", "3", copies=2)
    size = len(got) // 3
    parts = [got[i * size : (i + 1) * size] for i in range(3)]
    for part in parts:
        assert [one["account"] for one in part] == [one["account"] for one in got[:size]]
        assert {one["id"] for one in part}.isdisjoint(
            one["id"] for other in parts if other is not part for one in other
        )
    links = [{url for one in part for url in one.get("urls", ())} for part in parts]
    assert all(links)
    assert links[0].isdisjoint(links[1])
    times = [[parse(json.dumps(one).encode(), now_ms=2**60).at for one in part] for part in parts]
    assert [at - times[0][i] for i, at in enumerate(times[2])] == [2 * DAY_MS] * size
    worded = [[re.sub(r"https?\S+", "", one["text"]) for one in part if "text" in one] for part in parts]
    assert sum(jaccard(a, b) for a, b in zip(worded[0], worded[1], strict=True)) / len(worded[0]) < 0.03


def test_the_truth_is_copied_along(tmp_path: Path) -> None:
    truth, out = tmp_path / "truth.jsonl", tmp_path / "truths.jsonl"
    write_lines(truth, [{"account": "acc1", "label": 1, "campaign": "x"}, {"account": "acc2", "campaign": None}])
    made(tmp_path, "--truth", str(truth), "--truth-output", str(out), copies=2)
    assert [json.loads(line) for line in out.read_bytes().splitlines()] == [
        {"account": "acc1c000", "label": 1, "campaign": "xc000"},
        {"account": "acc1c001", "label": 1, "campaign": "xc001"},
        {"account": "acc2c000", "campaign": None},
        {"account": "acc2c001", "campaign": None},
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--copies", "0"], "'--copies': Input should be greater than or equal to 1"),
        (["--share", "2"], "'--share': Input should be less than or equal to 1"),
        (["--truth", "x"], "go together"),
        (["--input", "none.jsonl"], "cannot read input none.jsonl"),
        (["--output", "/dev/null/x"], "cannot write /dev/null/x"),
    ],
)
def test_unusable_arguments_are_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    source = write_lines(tmp_path / "in.jsonl", [event(text="Hello")])
    assert main(["--input", str(source), *arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_memory_follows_the_spread_and_not_the_length_of_the_recording() -> None:
    def peak(count: int) -> int:
        copies = make_copies(Vocabulary([]), 4, 0, 60_000, 0.5)
        source = (Played(Event(f"e{i}", "a", T0 + i * 1000, Kind.LIKE), "") for i in range(count))
        tracemalloc.start()
        for _ in overlaid(source, copies):
            pass
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(100)  # what is made once is not counted
    assert peak(8000) < 3 * peak(800)  # ten times as much would be kept by length


@settings(max_examples=40)
@given(st.lists(st.integers(0, 100), max_size=12), st.lists(st.integers(0, 300), min_size=1, max_size=5))
def test_any_shifts_are_merged_in_order(steps: list[int], shifts: list[int]) -> None:
    times = [T0 + sum(steps[: i + 1]) for i in range(len(steps))]
    events = [Played(Event(f"e{i}", "a", at, Kind.LIKE), "") for i, at in enumerate(times)]
    plain = LoadTestText(Vocabulary([]), "")
    copies = [Copy(number, lambda _: plain, shift) for number, shift in enumerate(shifts)]
    got = [parse(line, now_ms=2**60) for line in overlaid(events, copies)]
    assert [one.at for one in got] == sorted(at + shift for at in times for shift in shifts)
    assert len({one.id for one in got}) == len(times) * len(shifts)


def test_planted_dev_in_two_copies_has_no_near_duplicates_between_them(data_dir: Path) -> None:
    stream = data_dir / "streams" / "planted-dev.jsonl.gz"
    if not stream.exists():
        pytest.skip(f"no {stream}")
    recorded = [one for one in read_events([stream], lambda _: "") if one.event.text]
    vocabulary = Vocabulary((one.language, one.event.text) for one in recorded)
    first, second = make_copies(vocabulary, 2, 0, 0, 0.75)
    values = []
    for one in recorded[::3]:
        a, b = (json.loads(copy.record(one))["text"] for copy in (first, second))
        a, b = (re.sub(r"https?://\S+", "", text) for text in (a, b))
        if len(shingles(a)) >= 2:
            values.append(jaccard(a, b))
    assert len(values) > 1000
    assert sum(values) / len(values) < 0.01
    assert sum(value >= 0.5 for value in values) / len(values) < 0.002
