"""The benchmark: what it counts, and when it says that memory follows the stream."""

from __future__ import annotations

import json
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from streaming.bench import Sample, judge, lines, main, memory_ratio, points
from tests.streaming.builders import event, write_lines


def samples(*memory: float, accounts: tuple[int, ...] | None = None) -> list[Sample]:
    counts = accounts or (100,) * len(memory)
    return [Sample((i + 1) * 10, counts[i], mib, i + 1.0, 2.0 * (i + 1)) for i, mib in enumerate(memory)]


def test_the_ratio_compares_the_halves_in_which_the_accounts_no_longer_grow() -> None:
    assert memory_ratio(samples(100, 110, 110, 121)) == pytest.approx(1.1)
    growing = samples(10, 20, 100, 110, 110, 121, accounts=(10, 50, 99, 99, 100, 100))
    assert memory_ratio(growing) == pytest.approx(1.1)


def test_a_stream_too_short_to_say_has_no_ratio() -> None:
    assert memory_ratio([]) is None
    assert memory_ratio(samples(1, 2, 3)) is None
    assert memory_ratio(samples(1, 2, 3, 4, accounts=(1, 2, 3, 100))) is None


def test_points_show_the_peak_since_the_point_before_and_the_end() -> None:
    found = points(samples(5, 9, 6, 7, 8, 20), count=3)
    assert [(one.records, one.resident_mib) for one in found] == [(20, 9), (40, 7), (60, 20)]
    assert [one.records for one in points(samples(1, 2), count=12)] == [10, 20]
    late = [*samples(1, 2), Sample(20, 100, 50, 9.0, 9.0)]
    assert points(late, count=2)[-1].resident_mib == 50


def small_stream(tmp_path: Path) -> Path:
    posts: list[dict[str, Any]] = [
        event(
            f"acc{i % 20}",
            at=i * 15_000,
            id=f"e{i}",
            text=f"We went to the {place} and it was lovely there, number {i}",
        )
        for i, place in enumerate(["park", "river", "market", "library"] * 60)
    ]
    likes: list[dict[str, Any]] = [
        event(who, at=i * 15_000 + 7_000, id=f"l{i}", kind="like", target=f"e{i}", target_account=who)
        for i, who in ((i, f"acc{i % 20}") for i in range(0, 240, 3))
    ]
    return write_lines(tmp_path / "in.jsonl.gz", sorted(posts + likes, key=itemgetter("at")))


@pytest.mark.slow
def test_a_run_accounts_for_every_event_and_every_text(
    tmp_path: Path, clean_environ: None, capsys: pytest.CaptureFixture[str]
) -> None:
    out, config = tmp_path / "figures.json", tmp_path / "config.toml"
    config.write_text("second_stage_texts_per_s = 0.005\nmeaning_texts_per_s = 0.005\n")
    arguments = ["--input", str(small_stream(tmp_path)), "--copies", "3", "--rounds", "2", "--report", str(out)]
    assert main([*arguments, "--config", str(config), "--memory-ratio", "9"]) == 0
    figures = json.loads(out.read_text())
    assert figures["events"] == 3 * 2 * 320
    assert figures["outcomes"] == {"accepted": 3 * 2 * 320, "duplicate": 0, "late": 0, "dead": 0}
    assert figures["posts_with_text"] == 3 * 2 * 240
    assert figures["share_of_posts_seen"]["first_stage"] == 1.0
    assert 0 < figures["share_of_posts_seen"]["second_stage"] < 0.1
    assert 0 < figures["share_of_posts_seen"]["meaning"] < 0.1
    assert figures["accounts"] == 3 * 20
    assert figures["peak_mib"] == max(point["resident_mib"] for point in figures["memory"])
    said = capsys.readouterr().out
    assert "1,920 events in" in said
    assert "the first stage saw 100.00%" in said


def test_without_text_no_text_is_seen(tmp_path: Path, clean_environ: None) -> None:
    out = tmp_path / "figures.json"
    arguments = ["--input", str(small_stream(tmp_path)), "--copies", "1", "--without", "text", "--report", str(out)]
    assert main([*arguments, "--memory-ratio", "0"]) == 0  # one round gives no verdict
    figures = json.loads(out.read_text())
    assert figures["share_of_posts_seen"] == {
        "first_stage": 0.0,
        "first_stage_gave_evidence": 0.0,
        "second_stage": 0.0,
        "meaning": 0.0,
    }
    assert figures["posts_with_text"] == 240


def test_growing_memory_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert judge(1.2, 1.15) == 1
    assert "memory follows the length of the stream" in capsys.readouterr().err
    assert judge(1.1, 1.15) == 0
    assert judge(None, 1.15) == 0


def test_a_stream_that_cannot_be_made_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--input", str(tmp_path / "none.jsonl")]) == 2
    assert "the stream cannot be made: python -m streaming.loadtest: cannot read input" in capsys.readouterr().err


def test_the_table_has_a_line_for_every_point() -> None:
    figures = {
        "events": 20, "wall_s": 2.0, "events_per_s": 10.0, "events_per_core_s": 20.0,
        "core_s": {"score": 1, "of_it_text_model": 1, "second_stage": 0, "meaning": 0, "assess": 1},
        "share_of_posts_seen": {
            "first_stage": 1.0, "first_stage_gave_evidence": 0.5, "second_stage": 0.01, "meaning": 0.2,
        },
        "posts_with_text": 9,
        "outcomes": {"accepted": 20}, "peak_mib": 3.0, "accounts": 5,
        "memory": [vars(one) for one in samples(1, 2)],
    }  # fmt: skip
    assert [line.split() for line in lines(figures)][-2:] == [["10", "100", "1.0", "5"], ["20", "100", "2.0", "5"]]
