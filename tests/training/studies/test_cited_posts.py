"""Without the posts that its alert quotes an account is not flagged; without as many others it mostly is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detector.errors import UsageError
from streaming.cli import main
from tests.streaming.assess.fakes import EchoSecondStage, models
from tests.streaming.assess.harness import posts
from training.studies import cli
from training.studies.cited_posts import cited_posts

LOUD = "robot robot robot robot robot robot I say"
PLAIN = "the old man said human things to us"


def recording(path: Path) -> Path:
    """Three accounts with two telling posts in twelve, and one person."""
    items = [
        *(item for name in ("ann", "bob", "eve") for item in posts(name, 2, LOUD)),
        *(item for name in ("ann", "bob", "eve", "joe") for item in posts(name, 10, PLAIN, start=10_000_000)),
    ]
    path.write_text("".join(json.dumps(item) + "\n" for item in sorted(items, key=lambda item: int(item["at"]))))
    return path


def test_flags_rest_on_what_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "load_models", lambda folder: models(EchoSecondStage()))
    stream = recording(tmp_path / "stream.jsonl")
    truth = tmp_path / "truth.jsonl"
    labels = {"ann": 1, "bob": 1, "eve": 1, "joe": 0}
    truth.write_text("".join(json.dumps({"account": name, "label": label}) + "\n" for name, label in labels.items()))
    assert main(["study", "explanations", str(stream), "--truth", str(truth)]) == 0
    out = capsys.readouterr().out
    assert "3 accounts are flagged, 3 of them machines" in out
    needed, random, *_ = (line.split("|")[4].strip() for line in out.splitlines()[4:])
    assert needed.startswith("100%")
    assert float(random.split("%")[0]) < 50


def test_where_nobody_is_flagged_there_is_nothing_to_explain(tmp_path: Path) -> None:
    stream = tmp_path / "stream.jsonl"
    stream.write_text("".join(json.dumps(item) + "\n" for item in posts("joe", 5, PLAIN)))
    with pytest.raises(UsageError, match="nobody is flagged"):
        cited_posts(stream, {"joe": {"label": 0}}, models())
