"""The commands that draw a blind sample and learn from decisions, on files as the system writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.component_weights import ComponentCurve, ComponentWeights
from detector.errors import UsageError
from detector.evidence import COMPONENTS
from streaming.assess.alert_store import account_alert_id
from streaming.schema.feedback import FeedbackRecord, encode_feedback
from streaming.schema.score import LlrRecord, ScoreRecord, encode_score
from training import learning_cli
from training.decision_learning import Shadow
from training.learning_cli import decided, learn_command, sample_command, shadow_command, write_bundle


def score(name: str, values: Any, **more: Any) -> ScoreRecord:
    parts = [round(float(value), 3) for value in values]
    text, behaviour, coordination, graph = parts
    llr = LlrRecord(text, behaviour, coordination, graph, round(sum(parts), 3))
    return ScoreRecord(account=name, posterior=0.5, llr=llr, abstained={}, posts=9, flagged=llr.total > 3.0, **more)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Scores of 600 accounts, every fifth a machine that text does not see; people; decisions on 200 of them."""
    rng = np.random.default_rng(0)
    scores, said = [], []
    for number in range(600):
        machine = number % 5 == 0
        values = rng.normal(-0.5, 1.0, 4) + (np.array([-0.5, 2.0, 2.0, 1.0]) if machine else 0.0)
        scores.append(score(f"account {number}", values))
        if number < 200:
            said.append(
                FeedbackRecord(
                    alert=account_alert_id(f"account {number}"), id=f"d{number}",
                    decision="llm_campaign" if machine else "not_a_campaign",
                    sampled_with=1.0 if scores[-1].flagged else 0.5,
                )
            )  # fmt: skip
    people = [score(f"person {number}", rng.normal(-0.5, 1.0, 4)) for number in range(300)]
    paths = {name: tmp_path / f"{name}.jsonl" for name in ("scores", "people", "decisions", "key")}
    paths["scores"].write_bytes(b"".join(encode_score(each) + b"\n" for each in scores))
    paths["people"].write_bytes(b"".join(encode_score(each) + b"\n" for each in people))
    paths["decisions"].write_bytes(b"".join(encode_feedback(each) + b"\n" for each in said))
    paths["key"].write_text("a key of sixteen bytes")
    return paths


def test_the_shadow_says_whom_it_would_add_and_remove_and_what_is_missed(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "shadow.json"
    learn_command(files["scores"], files["people"], files["decisions"], out, prior=0.2)
    said = capsys.readouterr().out
    assert "200 accounts decided on, 40 of them machines" in said
    assert "unflagged accounts that moderators would find to be machines" in said
    found = json.loads(out.read_text())
    assert set(found["curves"]) == set(COMPONENTS)
    assert found["curves"]["text"]["weight"] < found["curves"]["behaviour"]["weight"]
    machines = {f"account {number}" for number in range(0, 600, 5)}
    assert len(machines.intersection(found["added"])) > len(set(found["added"]) - machines)
    assert f"{len(found['added'])} would be added" in said


def test_the_sample_is_of_the_unflagged_the_same_again_and_says_each_chance(
    files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    sample_command(files["scores"], files["key"], share=0.1)
    first = capsys.readouterr().out
    sample_command(files["scores"], files["key"], share=0.1)
    assert capsys.readouterr().out == first
    drawn = [json.loads(line) for line in first.splitlines()]
    assert 30 < len(drawn) < 90
    assert all(0 < each["sampled_with"] <= 1 for each in drawn)


def records(*rows: tuple[str, str | None, str, float | None]) -> list[FeedbackRecord]:
    return [
        FeedbackRecord(alert=alert, account=account, decision=what, id=f"d{number}", sampled_with=chance)  # type: ignore[arg-type]
        for number, (alert, account, what, chance) in enumerate(rows)
    ]


def test_a_campaigns_members_share_one_decision_and_one_of_their_own_wins() -> None:
    scores = [score(name, [1, 1, 1, 1], campaign="c1") for name in ("ada", "bob")]
    made = decided(scores, records(("c1", None, "llm_campaign", 1.0), ("c1", "bob", "not_a_campaign", 1.0)))
    assert list(made.machine) == [True, False]
    assert list(made.shares) == [0.5, 1.0]


def test_what_says_nothing_is_left_out_and_counted() -> None:
    own = account_alert_id("ada")
    made = decided(
        [score("ada", [1, 1, 1, 1])],
        [
            *records(
                (own, None, "llm_campaign", None), (own, None, "needs_more", 1.0), ("c9", None, "llm_campaign", 1.0)
            ),
            FeedbackRecord(alert=own, decision="not_a_campaign", id="x", sampled_with=1.0),
            FeedbackRecord(alert=own, decision="undo", id="y", undoes="x"),
        ],
    )
    assert len(made.machine) == 0
    assert made.left_out == {
        "taken back, or says neither": 3, "no score of the account": 1, "not known how likely it was shown": 1
    }  # fmt: skip
    assert made.misses() is None


def test_samples_of_two_days_are_not_added_up() -> None:
    scores = [score(f"a{number}", [0, 0, 0, 0]) for number in range(1000)]
    silent = ScoreRecord(
        account="silent", posterior=0.5, llr=scores[0].llr, abstained={"flag": "no text"}, posts=0, flagged=False
    )

    def estimated(days: int) -> float:
        said = records(
            *(
                (account_alert_id(f"a{n}"), None, "llm_campaign" if n % 5 == 0 else "not_a_campaign", 0.1)
                for n in range(100 * days)
            )
        )
        found = decided([*scores, silent], said).misses()
        assert found is not None
        assert found.low < 200 < found.high
        return found.number

    assert estimated(1) == pytest.approx(200)
    assert estimated(2) == pytest.approx(200)


def test_whom_nothing_could_flag_is_not_in_the_sample(
    files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with files["scores"].open("ab") as file:
        llr = LlrRecord(-9.0, 9.0, 0.0, 0.0, 0.0)
        silent = ScoreRecord(
            account="silent", posterior=0.5, llr=llr, abstained={"flag": "no text"}, posts=0, flagged=False
        )
        file.write(encode_score(silent) + b"\n")
    sample_command(files["scores"], files["key"], share=1.0)
    drawn = [json.loads(line)["account"] for line in capsys.readouterr().out.splitlines()]
    assert "silent" not in drawn
    assert len(drawn) > 300


def test_files_that_cannot_be_used_are_said(files: dict[str, Path], tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    broken = tmp_path / "broken"
    broken.write_text("{\n")
    short = tmp_path / "short"
    short.write_text("key")
    for given, match in (
        ((nowhere, files["people"], files["decisions"]), "nowhere"),
        ((files["scores"], broken, files["decisions"]), "broken"),
        ((files["scores"], files["people"], broken), "broken:1"),
    ):
        with pytest.raises(UsageError, match=match):
            learn_command(*given)
    with pytest.raises(UsageError, match="at least 16"):
        sample_command(files["scores"], short)
    with pytest.raises(UsageError, match="--share"):
        sample_command(files["scores"], files["key"], share=0.0)


def test_a_bundle_counts_as_was_learned_before_and_now_and_appears_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[ComponentWeights] = []

    def set_thresholds(recording: Path, out: Path, models: Path, format_name: str) -> None:
        seen.append(ComponentWeights.load(models))
        assert not (tmp_path / "bundle").exists()
        out.mkdir()
        seen[0].save(out)

    monkeypatch.setattr(learning_cli, "calibrate_on", set_thresholds)
    models = tmp_path / "models"
    plain = ComponentCurve()
    ComponentWeights().then((ComponentCurve(0.5), plain, plain, plain), {}).save(models)
    shadow = Shadow((ComponentCurve(-1.0, 0.5, -0.5, 1.0), plain, plain, plain), 0.0, 3.0, 3.0, 200, 90.0)
    write_bundle(shadow, models, tmp_path / "bundle", tmp_path / "people.jsonl")
    found = ComponentWeights.load(tmp_path / "bundle")
    evidence = np.array([-2.0, 0.0, 3.0])
    assert list(found.of("text", evidence)) == pytest.approx(list(shadow.curves[0].of(0.5 * evidence)))
    assert found.version == seen[0].version != ""
    assert found.card["decisions"] == 200


def test_a_bundle_without_people_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--people-input"):
        learn_command(files["scores"], files["people"], files["decisions"], bundle=tmp_path / "bundle")


def test_two_models_are_told_apart_by_whom_they_flag(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    live = [score("ada", (4, 0, 0, 0)), score("bob", (0, 0, 0, 0)), score("cyd", (3.5, 0, 0, 0))]
    other = [score("ada", (0, 0, 0, 0)), score("bob", (9, 0, 0, 0)), score("cyd", (3.5, 0, 0, 0))]
    for name, rows in (("live", live), ("shadow", other)):
        (tmp_path / name).write_bytes(b"".join(encode_score(each) + b"\n" for each in rows))
    shadow_command(tmp_path / "live", tmp_path / "shadow", tmp_path / "out.json")
    assert "1 would be added: bob" in capsys.readouterr().out
    assert json.loads((tmp_path / "out.json").read_text()) == {"v": 1, "added": ["bob"], "removed": ["ada"]}
    with pytest.raises(UsageError, match="different accounts"):
        shadow_command(tmp_path / "live", files["scores"])
