"""The console lists the policy lab's runs, and shows their reports as what they are: somebody else's pages."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from detector.errors import FeedError, RecordError
from moderation.lab_runs import lab_report, lab_runs
from streaming.schema.lab_run import LabRunRecord, encode_lab_run, read_lab_run
from tests.moderation.conftest import Site


def written(folder: Path, name: str, at_s: int, **more: object) -> Path:
    """A run's folder."""
    place = folder / name
    place.mkdir(parents=True)
    whole = {"headline": f"Best: {name}.", "best": name, "prevented": 0.5, "hit": 0.01, "policies": ["nothing", name]}
    record = LabRunRecord(**(whole | {"societies": 30, "seed": 0} | more))  # type: ignore[arg-type]
    (place / "run.json").write_bytes(encode_lab_run(record))
    (place / "report.html").write_text(f"<!doctype html><title>{name}</title>", encoding="utf-8")
    os.utime(place / "report.html", (at_s, at_s))
    return place


def test_finished_runs_are_listed_newest_first(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    written(folder, "labels", 100)
    written(folder, "limits", 200)
    (folder / "goes-on").mkdir()
    (folder / "notes.txt").write_text("no run", encoding="utf-8")
    (written(folder, "torn", 300) / "run.json").write_bytes(b'{"v":1,"headline"')
    (written(folder, "huge", 300) / "run.json").write_bytes(b" " * 70_000)
    assert [(run.name, run.at_ms) for run in lab_runs(folder)] == [("limits", 200_000), ("labels", 100_000)]
    assert lab_runs(None) == []
    with pytest.raises(FeedError, match="lab_runs"):
        lab_runs(tmp_path / "nowhere")
    with pytest.raises(RecordError, match="run it again"):
        read_lab_run(b"[]")


def test_nothing_outside_the_folder_is_shown(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    inside, outside = written(folder, "in", 100), written(tmp_path, "out", 100)
    (folder / "link").symlink_to(outside)
    (written(folder, "linked", 100) / "report.html").unlink()
    (folder / "linked" / "report.html").symlink_to(outside / "report.html")
    assert lab_report(folder, "in") == (inside / "report.html").read_bytes()
    for name in ("link", "linked", "..", "../out", "", ".", "gone"):
        with pytest.raises(FeedError, match="no such run"):
            lab_report(folder, name)
    assert [run.name for run in lab_runs(folder)] == ["in"]


def test_the_pages_show_them_to_who_may_read(site: Site, tmp_path: Path) -> None:
    viewer = site.browser("viewer")
    assert "No folder of runs" in viewer.get("/lab").text
    assert "Policy lab</a>" not in viewer.get("/queue").text
    site.services.settings = replace(site.services.settings, lab_runs=tmp_path)
    assert "No runs yet" in viewer.get("/lab").text
    written(tmp_path, "labels", 100, headline="Best: <b>labels</b>.")
    page = viewer.get("/lab").text
    assert "Best: &lt;b&gt;labels&lt;/b&gt;." in page
    assert "2 policies in 30 societies" in page
    assert '<a href="/lab">Policy lab</a>' in viewer.get("/queue").text
    report = viewer.get("/lab/labels")
    assert report.text.startswith("<!doctype html>")
    assert report.headers["content-security-policy"].endswith("sandbox")
    assert report.headers["x-content-type-options"] == "nosniff"
    assert viewer.get("/lab/%2e%2e").status_code in {404, 422}
    assert viewer.get("/lab/gone").status_code == 404
    assert site.client().get("/lab/labels").headers["location"].startswith("/login")
