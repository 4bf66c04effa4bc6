"""`swarmlight report`: one page that shows what a run found, whatever strangers wrote, and loads nothing."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest

from detector.errors import UsageError
from streaming.cli import invoke
from streaming.pipeline import RunEnd
from streaming.run_exports import RunExports
from streaming.run_report import page
from streaming.run_results import ACCOUNTS_SHOWN, RunResults, network_of, results_of
from streaming.schema.alert import AlertRecord, EdgeRecord, MemberRecord, MomentRecord, ObjectRecord, PageRecord
from streaming.schema.alert import PostRecord as Post
from streaming.schema.run_summary import PeopleRecord, RunSummary
from streaming.schema.score import LlrRecord, ScoreRecord

AT = "2026-01-01T08:00:00Z"
HOSTILE = "\"><script>alert(1)</script><img src=https://x.example/>\u202e'&\x00"


def alert(**more: Any) -> AlertRecord:
    names = ("ann", "bob", "zoe")
    given: dict[str, Any] = {
        "v": 3, "id": "c1", "kind": "campaign", "revision": 2, "status": "open", "at": AT, "first_post_at": AT,
        "last_post_at": "2026-01-01T09:30:00Z", "members": [MemberRecord(name, 0.9, strength=0.5) for name in names],
        "threshold_kind": "decoy_q", "posts": [Post("1", "ann", AT, "Round one has begun", 1.0)],
        "edges": [EdgeRecord("ann", "bob", "link", 5, 0.1, 9.0, ["https://push.example/1"])],
        "why": ["3 accounts act together"], "limits": ["who pays them"],
    }  # fmt: skip
    return AlertRecord(**(given | more))


def score(name: str, total: float, *, flagged: bool = False, abstained: dict[str, str] | None = None) -> ScoreRecord:
    return ScoreRecord(
        account=name, posterior=0.5, llr=LlrRecord(total, 0.0, 0.0, 0.0, total), abstained=abstained or {}, posts=7,
        flagged=flagged,
    )  # fmt: skip


def details() -> PageRecord:
    moments = [MomentRecord("ann", AT), MomentRecord("bob", "2026-01-01T09:00:00Z")]
    objects = [
        ObjectRecord("link", "https://push.example/2", ["ann", "bob"]),
        ObjectRecord("near_duplicate", "ffff", ["a"]),
    ]
    return PageRecord("c1", 2, 1, 1, [], moments, objects)


def folder(place: Path, alerts: list[AlertRecord], scores: list[ScoreRecord], **summary: Any) -> Path:
    counts = dict.fromkeys(("accepted", "duplicate", "late", "dead", "accounts", "flagged", "campaigns"), 0)
    fields: dict[str, Any] = {"read": 1234, "wall_s": 1.0, "peak_rss_mib": 1.0, "models": {}}
    told = RunSummary(**(fields | counts | summary))
    encode = msgspec.json.encode
    place.mkdir(exist_ok=True)
    (place / "alerts.jsonl").write_bytes(b"".join(encode(each) + b"\n" for each in alerts))
    (place / "details.jsonl").write_bytes(encode(details()) + b"\n")
    (place / "scores.jsonl").write_bytes(b"".join(encode(each) + b"\n" for each in scores))
    (place / "summary.json").write_bytes(encode(told) + b"\n")
    letter = {
        "at": AT,
        "source": "x:1",
        "field": "at",
        "reason": "is missing",
        "bytes": "",
        "size": 0,
        "sha256": "0" * 64,
    }
    (place / "dead.jsonl").write_text(json.dumps(letter) + "\n")
    (place / "events.jsonl").write_text('{"id": "1", "account": "a", "at": 5, "kind": "post"}\n')
    return place


class Balanced(HTMLParser):
    """Sees that every tag is closed, and notes tags and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def test_the_page_says_what_was_read_found_and_not_judged(tmp_path: Path) -> None:
    scores = [score("ann", 4.2, flagged=True), score("bob", -1.0, abstained={"graph": "no ties"})]
    place = folder(
        tmp_path / "run", [alert(revision=1, why=["outdated"]), alert()], scores, skipped={"a block": 9}, dead=1
    )
    assert invoke(["report", str(place), "--out", str(tmp_path / "page.html")]) == 0
    said = text_of((tmp_path / "page.html").read_text(encoding="utf-8"))
    for words in ("1,234 records read", "a block 9", "at: is missing 1",
                  "3 accounts act together and look machine-driven",
                  "Round one has begun", "https://push.example/2 link 2", "who pays them", "ann flagged", "no ties 1",
                  "2 accounts by total evidence, 1 of them flagged"):  # fmt: skip
        assert words in said, words
    assert "outdated" not in said
    assert "ffff" not in said


def test_what_strangers_wrote_is_text_and_the_page_loads_nothing(tmp_path: Path) -> None:
    group = alert(members=[MemberRecord(HOSTILE)], posts=[Post("1", HOSTILE, AT, HOSTILE)], why=[HOSTILE],
                  edges=[EdgeRecord(HOSTILE, HOSTILE, "link", 1, 0.0, 0.0, [HOSTILE])])  # fmt: skip
    place = folder(tmp_path / "run", [group], [score(HOSTILE, 1.0, abstained={"text": HOSTILE})])
    html = page(results_of([place]), HOSTILE)
    seen = Balanced()
    seen.feed(html)
    assert seen.open == []
    assert not seen.tags & {"script", "img", "a", "link", "iframe", "object", "form"}
    assert not seen.attributes & {"src", "href", "onclick", "onload", "srcset"}
    assert "\u202e" not in html
    assert "\x00" not in html
    assert "default-src 'none'" in html


def test_of_many_accounts_those_with_the_most_evidence_are_listed(tmp_path: Path) -> None:
    scores = [score(f"a{i}", i / 100) for i in range(ACCOUNTS_SHOWN + 50)]
    found = results_of([folder(tmp_path / "run", [], scores)])
    assert [each.account for each in found.top[:2]] == [f"a{ACCOUNTS_SHOWN + 49}", f"a{ACCOUNTS_SHOWN + 48}"]
    assert (len(found.top), found.accounts) == (ACCOUNTS_SHOWN, ACCOUNTS_SHOWN + 50)
    assert "No group of accounts was found" in page(found, "x")


def test_some_of_the_files_are_enough_and_none_are_said(tmp_path: Path) -> None:
    place = folder(tmp_path / "run", [alert()], [score("ann", 1.0)])
    assert "No scores were given" in page(results_of([place / "alerts.jsonl"]), "x")
    with pytest.raises(UsageError, match=r"events\.jsonl is no file that `swarmlight run` writes"):
        results_of([place / "events.jsonl"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no results of a run"):
        results_of([tmp_path / "empty"])
    (tmp_path / "empty" / "alerts.jsonl").touch()
    with pytest.raises(UsageError, match="or empty ones"):
        results_of([tmp_path / "empty" / "alerts.jsonl"])
    assert results_of([tmp_path / "empty" / "alerts.jsonl", place / "scores.jsonl"]).accounts == 1
    (tmp_path / "empty" / "scores.csv").write_text("account,posterior\nann,0.5\n")
    for given in (tmp_path / "empty", tmp_path / "empty" / "scores.csv"):
        with pytest.raises(UsageError, match=r"scores\.csv is a table, and only JSON lines hold all of it"):
            results_of([given])
    (place / "scores.jsonl").write_bytes((place / "scores.jsonl").read_bytes() + b'{"account": 5}\n')
    with pytest.raises(UsageError, match=r"scores\.jsonl is damaged"):
        results_of([place])


def test_scores_stand_beside_those_of_people(tmp_path: Path) -> None:
    scores = [score(f"p{i}", -1.0) for i in range(19)] + [score("m", 4.0, flagged=True)]
    people = PeopleRecord(520, [-3.0 + 0.25 * step for step in range(21)], False, 2.5)
    html = page(results_of([folder(tmp_path / "run", [], scores, people=people)]), "x")
    outline = re.search(r'class="people" d="M([^"]*)"', html)
    assert outline is not None
    steps = [tuple(map(float, re.split("[ H]", step))) for step in outline[1].split("L")]
    heights = [150 - y for _, y, _ in steps]
    inside = [height for height in heights if height > 0][1:-1]
    assert len(inside) > 10
    assert max(inside) - min(inside) <= 0.2  # people who are spread evenly have an even outline
    assert steps[-1][2] == pytest.approx(630, abs=0.2)
    said = text_of(html)
    assert "520 people who had no part in training" in said
    assert "95% below +1.8. The dashed line is the threshold, +2.5 nats" in said
    assert "too far right" not in said


def test_maxima_of_people_are_said_to_be_maxima(tmp_path: Path) -> None:
    people = PeopleRecord(9, [0.0] * 21, True, 1.0)
    html = page(results_of([folder(tmp_path / "run", [], [score("p", 0.0)], people=people)]), "x")
    assert "the highest total that each reached" in text_of(html)
    assert "too far right" in text_of(html)


def test_the_network_is_of_open_groups_with_the_ties_of_all_kinds_added_up(tmp_path: Path) -> None:
    edges = [EdgeRecord("ann", "bob", "link", 5, 0.1, nats=9.0), EdgeRecord("ann", "bob", "repost", 2, 0.1, nats=1.5)]
    gone = alert(id="c2", status="withdrawn", members=[MemberRecord("eve")])
    found = results_of([folder(tmp_path / "run", [alert(), gone], [])])
    found.pages["c1"] = [PageRecord("c1", 2, 1, 1, edges)]
    network = network_of(found)
    assert network.names == ["ann", "bob", "zoe"]
    assert (network.group.tolist(), network.strength.tolist()) == ([1, 1, 1], [0.5, 0.5, 0.5])
    ties = zip(network.source, network.target, network.objects, network.nats, strict=True)
    assert [tuple(map(float, each)) for each in ties] == [(0, 1, 7, 10.5)]
    assert invoke(["report", str(tmp_path / "run"), "--out", str(tmp_path / "p.html"), "--network",
                   str(tmp_path / "ties.csv")]) == 0  # fmt: skip
    assert (tmp_path / "ties.csv").read_text().splitlines()[1] == "ann,bob,Undirected,0.000,5"


SUMMARY = RunSummary(
    read=0, accepted=0, duplicate=0, late=0, dead=0, accounts=0, flagged=0, campaigns=0, wall_s=0.0, peak_rss_mib=0.0,
    models={},
)  # fmt: skip

NOT_NAMED: dict[str, Path | None] = dict.fromkeys(("alerts", "details", "scores", "summary", "dead-letters"))


def test_a_run_ends_with_the_page_and_keeps_only_what_was_asked_for(tmp_path: Path) -> None:
    out, kept = tmp_path / "page.html", tmp_path / "scores.jsonl"
    out.write_text("earlier")
    with RunExports(NOT_NAMED | {"scores": kept}, ["events.jsonl"], report=out) as report:
        files = {name: path for name, path in report.files.items() if path is not None}
        assert files["scores"] == kept
        kept.write_bytes(msgspec.json.encode(score("ann", 1.0)) + b"\n")
        files["alerts"].write_bytes(msgspec.json.encode(alert()) + b"\n")
        for name in ("details", "summary", "dead-letters"):
            files[name].touch()
        assert report.told(RunEnd(SUMMARY, files, True), made=False).files == {"scores": kept}
        told = report.told(RunEnd(SUMMARY, files, True))
        assert told.files == {"scores": kept, "report": out}
        assert out.read_text() == "earlier"
        report.publish()
    assert "3 accounts act together" in out.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "scores.jsonl"]


def test_the_page_of_a_run_of_nothing_says_so() -> None:
    nothing = page(RunResults(summary=SUMMARY), "x")
    assert nothing.count("There are no accounts: no post was read.") == 3
    assert "No scores were given" not in nothing
    assert page(RunResults(), "x").count("No scores were given") == 3


def test_a_run_that_fails_leaves_the_earlier_page(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    out.write_text("earlier")
    with pytest.raises(UsageError, match="broken"), RunExports(NOT_NAMED, [], report=out):
        raise UsageError("broken")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["earlier"]


@pytest.mark.parametrize(
    ("named", "said"),
    [({"alerts": Path("same.html")}, "also another file of the run"), ({"scores": Path("-")}, "has to be a file")],
)
def test_a_page_that_cannot_be_meant_is_refused_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: dict[str, Path | None], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=said):
        RunExports(NOT_NAMED | named, [], report=Path("same.html"))
    assert list(tmp_path.iterdir()) == []
