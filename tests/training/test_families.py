"""A new generator is learned from a hundred posts, and what was known before stays as it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from detector.errors import UsageError
from detector.models import SHIPPED, load_readers
from detector.text import first_stage
from detector.text.first_stage import FAMILIES, FAMILY_SHARE, FirstStageModel, with_family
from detector.text.second_stage import SecondStageModel, WithFamilies
from detector.times import AT_MAX
from streaming.assess.alert_store import account_alert_id
from streaming.cli import main
from streaming.schema.feedback import FeedbackRecord, encode_feedback
from streaming.sources.files import EVENTS
from streaming.sources.recording import events_of
from tests.streaming.assess.fakes import EchoSecondStage
from tests.training.textsets import sentence, write
from training.families import add_family, background, decided_accounts, labelled_posts
from training.system import BUNDLE_FILES, copy_models

POSTS = 12
"""Of an account of the recording."""


def new_text(rng: np.random.Generator) -> str:
    """A post of the new generator: a person's, with a habit of its own."""
    return f"{sentence(rng, False, 0.3)} , as the saying goes"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recording of five machines and five people, its truth, decisions, text sets and models."""
    folder = tmp_path_factory.mktemp("family")
    rng = np.random.default_rng(1)
    events: list[dict[str, str]] = []
    truth: list[tuple[str, int]] = []
    for account in range(10):
        machine = account < 5
        truth.append((f"a{account}", int(machine)))
        for number in range(POSTS):
            text = new_text(rng) if machine else sentence(rng, False, 0.3)
            at = f"2025-06-02T12:{number:02d}:{account:02d}Z"
            events.append(
                {"id": f"{account}.{number}", "account": f"a{account}", "at": at, "kind": "post", "text": text}
            )
    (folder / "new.jsonl").write_text("".join(json.dumps(each) + "\n" for each in events))
    (folder / "truth.jsonl").write_text(
        "".join(json.dumps({"account": name, "label": label}) + "\n" for name, label in truth)
    )
    decisions = [
        FeedbackRecord(alert=account_alert_id(name), id=name, decision="llm_campaign" if label else "not_a_campaign")
        for name, label in truth
    ]
    (folder / "feedback.jsonl").write_bytes(b"\n".join(map(encode_feedback, decisions)))
    write(folder / "data")
    copy_models(SHIPPED, folder / "models", (first_stage.FILE,))
    return folder


def add(folder: Path, out: Path, *more: str, models: Path | None = None) -> int:
    """The command, with the people of the text sets."""
    given = [
        "--add",
        str(folder / "new.jsonl"),
        "--data",
        str(folder / "data"),
        "--models",
        str(models or folder / "models"),
    ]
    return main(["train", "text", *given, "--out", str(out), *more])


def evidence(folder: Path, texts: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """First-stage LLR, millinats."""
    found = FirstStageModel.load(folder).read(texts, ["en"] * len(texts))["llr"]
    return np.asarray(found)


def test_posts_of_the_new_generator_gain_and_others_do_not_sink(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert add(recording, tmp_path / "once", "--truth", str(recording / "truth.jsonl"), "--family", "sayings") == 0
    assert "posts of sayings" in capsys.readouterr().out
    rng = np.random.default_rng(9)
    new, people = [new_text(rng) for _ in range(40)], [sentence(rng, False, 0.3) for _ in range(40)]
    before, after = (np.r_[evidence(where, new)] for where in (recording / "models", tmp_path / "once"))
    assert np.median(after - before) > 200
    moved = evidence(tmp_path / "once", people) - evidence(recording / "models", people)
    assert moved.min() >= 0
    assert np.median(moved) < np.median(after - before) / 2
    assert "sayings" in (tmp_path / "once" / f"{FAMILIES}.card.md").read_text()

    text, _, versions = load_readers(tmp_path / "once")
    assert versions["families"].startswith("sayings@1.")
    reader = WithFamilies(EchoSecondStage(), text)
    assert isinstance(reader, SecondStageModel)
    first = np.zeros(len(new), np.int16)
    assert (reader.score(new, ["en"] * len(new), first) >= EchoSecondStage().score(new, ["en"] * len(new), first)).all()

    # Another family goes beside it; decisions say the same as the truth.
    decided = ["--decisions", str(recording / "feedback.jsonl"), "--family", "again"]
    assert add(recording, tmp_path / "twice", *decided, models=tmp_path / "once") == 0
    names = [family.name for family in FirstStageModel.load(tmp_path / "twice").families]
    assert names == ["sayings", "again"]
    copy_models(tmp_path / "twice", tmp_path / "copy", BUNDLE_FILES)
    assert (evidence(tmp_path / "copy", new) == evidence(tmp_path / "twice", new)).all()


def test_it_says_what_is_missing(recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = tmp_path / "few"
    few.mkdir()
    lines = (recording / "new.jsonl").read_text().splitlines(keepends=True)
    (few / "new.jsonl").write_text("".join(line for line in lines if '"a0"' in line or '"a7"' in line))
    labels = {f"a{account}": int(account < 5) for account in range(10)}
    posts = labelled_posts(events_of([few / "new.jsonl"], EVENTS, AT_MAX), labels)
    with pytest.raises(UsageError, match="12 posts of machines"):
        add_family(posts, background(None), recording / "models", tmp_path / "out", "few")
    assert add(recording, tmp_path / "out") != 0
    assert "--truth or by --decisions" in capsys.readouterr().err


def test_the_sum_of_kinds_is_exact_and_never_less_than_before() -> None:
    llr = np.array([-3000, 0, 1500, 4000, 700], np.int16)
    family = np.array([2500, -4000, 1500, 4000, 3000], np.int16)
    speaks = np.array([True, True, True, True, False])
    found = with_family(llr, family, speaks)
    exact = 1000 * np.log(np.exp(llr / 1000) + FAMILY_SHARE * np.exp(family / 1000))
    assert np.abs(found - exact)[:4].max() <= 1
    assert found[4] == 700
    assert (found >= llr).all()


def test_a_decision_that_was_taken_back_says_nothing_and_one_on_an_account_s_alert_is_about_it() -> None:
    records = [
        FeedbackRecord(alert=account_alert_id("ann"), decision="llm_campaign", id="1"),
        FeedbackRecord(alert="c-1", account="bob", decision="not_a_campaign", id="2"),
        FeedbackRecord(alert="c-1", account="eve", decision="llm_campaign", id="3"),
        FeedbackRecord(alert="c-1", account="eve", decision="undo", id="4", undoes="3"),
        FeedbackRecord(alert="c-2", decision="llm_campaign", id="5"),
    ]
    assert decided_accounts(records, ["ann", "bob", "eve"]) == {"ann": 1, "bob": 0}
