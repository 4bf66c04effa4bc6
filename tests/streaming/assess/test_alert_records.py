"""Records and details pages of alerts stay within the limits of the contract."""

from __future__ import annotations

from streaming.assess.alert_records import PAGE_BYTES, RECORD_BYTES, details_pages, fitted
from streaming.assess.alert_store import StoredAlert
from streaming.schema.alert import (
    AlertRecord,
    EdgeRecord,
    MemberRecord,
    MomentRecord,
    PostRecord,
    read_alert,
    read_page,
)


def test_no_record_is_too_large_whatever_the_names() -> None:
    members = [MemberRecord(f"{i:04d}" + "n" * 1020) for i in range(1000)]
    edge = EdgeRecord("n" * 1024, "n" * 1024, "link", objects=["o" * 500] * 5)
    post = PostRecord("p", "a", "2026-01-01T00:00:00Z", "t" * 500)
    record = AlertRecord(
        id="x",
        kind="campaign",
        revision=1,
        status="open",
        at="2026-01-01T00:00:00Z",
        members=members,
        edges=[edge] * 60,
        posts=[post] * 30,
    )
    revision = fitted(record)
    shown = read_alert(revision.body)
    assert {post for reason in shown.reasons for post in reason.posts} <= {each.id for each in shown.posts}
    assert len(revision.body) <= RECORD_BYTES
    assert shown.members == members[: len(shown.members)]
    assert (len(shown.edges), len(shown.posts)) == (50, 20)


def test_pages_are_cut_and_surplus_ones_of_an_older_revision_deleted() -> None:
    alert = StoredAlert("x", "campaign", revision=1, status="open")
    edges = [EdgeRecord("n" * 1000, str(i), "link") for i in range(1200)]
    first = details_pages(alert, edges, [MomentRecord("a", "2026-01-01T00:00:00Z")], [])
    assert len(first) == alert.pages > 2
    assert all(body is not None and len(body) <= PAGE_BYTES for _, body in first)
    read = [read_page(body) for _, body in first if body is not None]
    assert [edge for page in read for edge in page.edges] == edges
    assert {page.pages for page in read} == {len(first)}
    second = details_pages(alert, edges[:1], [], [])
    assert [key for key, body in second if body is None] == [f"x/{n}" for n in range(2, len(first) + 1)]
