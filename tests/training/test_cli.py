"""The commands from end to end on a made-up town: calibrate, evaluate, audit."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from detector.errors import UsageError
from detector.models import SHIPPED, load_models
from detector.thresholds import Thresholds
from streaming.cli import invoke
from tests.training import textsets
from training import calibrate
from training.account_data import RawEvents
from training.empirical_null import FEWEST_ACCOUNTS
from training.system import copy_models

PEOPLE = 60
POSTS = 5
WORDS = (  # noqa: SIM905 - prose
    "the rain at our stop again and my bus came late so we walked home past that bakery with warm bread which was "
    "nice but the queue took ages lol i forgot my keys then found them under a cat who would not move anyway"
).split()


ROBOT = (  # noqa: SIM905 - prose
    "furthermore delve journey vibrant truly essential foster insight tapestry it is important to note that we should "
    "embrace meaningful transformative solutions and unlock seamless innovation for everyone"
).split()
"""Words that the shipped text model takes for a machine's."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped models without the second stage: what it adds is not the matter here, and it is slow."""
    place = tmp_path_factory.mktemp("models")
    copy_models(SHIPPED, place, ("text", "account", "thresholds"))
    return place


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of people who say unconnected things."""
    return recorded(tmp_path_factory.mktemp("town") / "people.jsonl", PEOPLE)


def recorded(path: Path, people: int) -> Path:
    """Write a recording of so many people."""
    rng = np.random.default_rng(0)
    start = 1_760_000_000_000
    events = sorted(
        (start + int(rng.integers(0, 86_400_000)), f"person {i}", f"{i}-{k}", " ".join(rng.choice(WORDS, 12)))
        for i in range(people)
        for k in range(POSTS)
    )
    with path.open("w") as file:
        for at, account, event, text in events:
            file.write(
                json.dumps({"id": event, "account": account, "at": at, "kind": "post", "text": text, "lang": "en"})
            )
            file.write("\n")
    return path


def test_your_own_people_set_the_thresholds(models: Path, town: Path, tmp_path: Path) -> None:
    assert invoke(["calibrate", "--input", str(town), "--out", str(tmp_path), "--models", str(models)]) == 0
    made = Thresholds.load(tmp_path)
    assert made.people == PEOPLE
    assert made.languages == {"en"}
    assert made.horizon_posts == POSTS
    load_models(tmp_path)
    with pytest.raises(UsageError, match="calibration people support"):
        made.threshold(0.01)
    assert "60" in (tmp_path / "thresholds.card.md").read_text()


def test_a_platform_s_own_accounts_set_them_without_labels(
    models: Path, town: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = recorded(tmp_path / "stream.jsonl", FEWEST_ACCOUNTS)
    assert invoke(["calibrate", str(stream), "--out", str(tmp_path), "--models", str(models)]) == 0
    assert "200 accounts; people moved by" in " ".join(capsys.readouterr().err.split())
    assert Thresholds.load(tmp_path).languages == {"en"}
    assert "without labels" in (tmp_path / "thresholds.card.md").read_text()
    load_models(tmp_path)
    with pytest.raises(UsageError, match="too few"):
        invoke(["calibrate", str(town), "--out", str(tmp_path), "--models", str(models)])
    with pytest.raises(UsageError, match="STREAM"):
        invoke(["calibrate", "--out", str(tmp_path), "--models", str(models)])


def test_a_stream_is_measured_against_its_truth(models: Path, town: Path, tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"
    labels = [{"account": f"person {i}", "label": int(i < 9), "campaign": None, "slice": None} for i in range(PEOPLE)]
    truth.write_text("\n".join(map(json.dumps, labels)))
    report = tmp_path / "report.json"
    given = [str(town), "--truth", str(truth), "--models", str(models), "--without", "coordination", "graph"]
    assert invoke(["evaluate", *given, "--draws", "20", "--json", str(report)]) == 0
    (found,) = json.loads(report.read_text())
    assert found["missing"] == 0
    assert found["flags"]["all"]["people"] == PEOPLE - 9
    value, low, high = found["ranking"]["as asked"]["auroc"]
    assert 0 <= low <= value <= high <= 1
    assert 0 <= found["metadata_only"]["auroc"] <= 1


def test_a_stream_of_another_format_is_measured_as_its_events_are(models: Path, town: Path, tmp_path: Path) -> None:
    table, truth = tmp_path / "town.csv", tmp_path / "truth.jsonl"
    events = [json.loads(line) for line in town.read_text().splitlines()]
    table.write_text("post_id,user_id,created_at,body,lang\n" + "".join(
        f"{item['id']},{item['account']},{item['at']},{item['text']},en\n" for item in events
    ))  # fmt: skip
    truth.write_text("\n".join(json.dumps({"account": f"person {i}", "label": int(i < 9)}) for i in range(PEOPLE)))
    found = []
    for stream, form in ((town, "events"), (table, "table")):
        report = tmp_path / f"{form}.json"
        given = [str(stream), "--truth", str(truth), "--models", str(models), "--format", form]
        without = ["--without", "behaviour", "coordination", "graph", "--draws", "20", "--json", str(report)]
        assert invoke(["evaluate", *given, *without]) == 0
        found.append(json.loads(report.read_text())[0]["ranking"])
    assert found[0] == found[1]


def test_a_truth_that_matches_nothing_is_an_error(models: Path, town: Path, tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"
    truth.write_text(json.dumps({"account": "Person 0", "label": 1}) + "\n")
    given = ["--truth", str(truth), "--models", str(models), "--without", "coordination", "graph"]
    with pytest.raises(UsageError, match=f"none of the 1 accounts of the truth is among the {PEOPLE} of the stream"):
        invoke(["evaluate", str(town), *given])


def test_streams_and_truths_come_in_pairs(town: Path) -> None:
    with pytest.raises(UsageError, match="one for each"):
        invoke(["evaluate", str(town), str(town), "--truth", "t"])
    with pytest.raises(UsageError, match="--data"):
        invoke(["evaluate", str(town), "--truth", "t", "--cross-validate", "2"])


def test_people_are_audited_by_source_and_native_writing(models: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    texts = [" ".join(rng.choice(WORDS, 15)) for _ in range(120)]
    essays = pd.DataFrame({"text": texts, "label": 0, "native": ["0", "1"] * 60, "lang": "en"})
    posts = pd.DataFrame({"text": texts, "label": 0, "source": "village", "lang": ["en", "yo"] * 60})
    essays.to_parquet(tmp_path / "liang_toefl.parquet")
    posts.to_parquet(tmp_path / "human_short_text.parquet")
    report = tmp_path / "audit.json"
    given = ["--data", str(tmp_path), "--models", str(models), "--target-fpr", "0.05", "--json", str(report)]
    assert invoke(["audit", *given]) == 0
    found = {record["group"]: record for record in json.loads(report.read_text())}
    assert set(found) == {
        "human_short_text: village, en",
        "human_short_text: village, yo",
        "liang_toefl: native writers",
        "liang_toefl: non-native writers",
    }
    assert found["human_short_text: village, yo"]["abstained"] == 1.0
    assert not found["human_short_text: village, yo"]["may_be_flagged"]
    assert found["liang_toefl: native writers"]["bags"] == 6


def test_an_audit_without_its_sets_says_so(models: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds neither"):
        invoke(["audit", "--data", str(tmp_path), "--models", str(models)])


def test_the_audit_of_populations_left_out_says_how_each_fares_and_fails_where_one_does_not_pass(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = textsets.write(tmp_path / "data", rows=20)
    (data / "streams").mkdir()
    stream = recorded(data / "streams" / "contest-dev.jsonl", 90)
    (data / "streams" / "contest-dev.jsonl.gz").write_bytes(gzip.compress(stream.read_bytes(), mtime=0))
    labels = [{"account": f"person {i}", "label": 0, "campaign": None, "slice": None} for i in range(90)]
    (data / "streams" / "contest-dev.truth.jsonl").write_text("\n".join(map(json.dumps, labels)))
    rng = np.random.default_rng(1)
    words = {"irc_ubuntu_threads": WORDS, "nus_sms_en_zh": ROBOT}
    rows = [
        {"text": " ".join(rng.choice(words[source], 12)), "source": source, "author_id": f"a{person}", "lang": "en",
         "label": 0, "created_at": f"2010-01-0{text + 1}T10:00:00", "native_speaker": ("yes", "no")[person % 2]}
        for source in words for person in range(110) for text in range(POSTS)
    ]  # fmt: skip
    pd.DataFrame(rows).to_parquet(data / "text" / "people_authors.parquet")
    nobody = RawEvents([], *(np.zeros(0, np.int64),) * 3, [], [], np.zeros(0, np.int64), [])
    monkeypatch.setattr(calibrate, "chat_people", lambda role, known: nobody)
    report = tmp_path / "report.json"
    given = ["audit", "--data", str(data), "--left-out", "--models", str(models), "--json", str(report)]
    assert invoke([*given, "--target-fpr", "0.05"]) == 1
    shown = capsys.readouterr()
    by_name = {row["name"]: row for row in json.loads(report.read_text())["populations"]}
    assert by_name["irc"]["passes"]
    assert not by_name["sms"]["passes"]
    assert by_name["sms: native"]["people"] + by_name["sms: second language"]["people"] == by_name["sms"]["people"]
    assert "sms: native" in shown.out
    assert "unlike the people who calibrate" in " ".join(shown.err.split())
