"""What stands around the evidence: the platform's own pages, what events said of accounts, who is near, similar cases.

Pure: no database and no request, and the time is an argument.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from moderation import console_config, words
from moderation.console_config import PlatformLinks
from moderation.odds import percent
from moderation.similar_cases import LikeThis, PastCase
from moderation.topic_records import milliseconds
from moderation.web.charts import strip
from moderation.web.untrusted_text import visible
from streaming.schema.alert import AccountProfileRecord, AlertRecord, EdgeRecord, PageRecord

MOST_NEIGHBOURS: Final = 12
"""Accounts that an account's page names besides."""

FEW: Final = 5
"""Past cases under which a share says nothing."""


@dataclass(frozen=True)
class Platform:
    """Addresses on the platform, "" where none is configured; names and ids are put in encoded."""

    links: PlatformLinks

    @property
    def name(self) -> str:
        """What the platform is called."""
        return self.links.name

    def account(self, account: str) -> str:
        """Of an account."""
        return console_config.link(self.links.account, account=account)

    def post(self, account: str, post: str) -> str:
        """Of a post."""
        return console_config.link(self.links.post, account=account, post=post)

    def thread(self, account: str, post: str) -> str:
        """Of the thread that a post began."""
        return console_config.link(self.links.thread, account=account, post=post, thread=post)


@dataclass(frozen=True)
class Target:
    """A post of somebody else's that members reposted, quoted or replied to."""

    account: str
    at: str
    text: str
    post: str
    thread: str


def targets(record: AlertRecord, platform: Platform) -> list[Target]:
    """The posts of others that members passed on or answered."""
    return [
        Target(
            each.account, words.when(milliseconds(each.at) or 0), visible(each.text),
            platform.post(each.account, each.id), platform.thread(each.account, each.id),
        )
        for each in record.targets
    ]  # fmt: skip


def profile_words(profile: AccountProfileRecord | None, seen: int) -> str:
    """What events said of an account: `made 3 Jan 2025, 40 days before; 12 followers; says that it is automated`.

    Args:
        profile: as the alert has it; None says nothing.
        seen: when, ms since 1970.
    """
    if profile is None:
        return ""
    said = []
    made = milliseconds(profile.created)
    if made is not None:
        said.append(f"made {words.when(made).partition(',')[0]}, {words.span(made, max(seen, made))} before this")
    if profile.followers is not None:
        said.append(words.counted(profile.followers, "follower"))
    if profile.automated is not None:
        said.append("says that it is automated" if profile.automated else "says that it is not automated")
    return "; ".join(said)


def latest_profile(members: Sequence[tuple[int, AccountProfileRecord | None]]) -> str:
    """What events said of an account last; `members` are (time, profile) of its alerts."""
    known = [(at, profile) for at, profile in members if profile is not None]
    if not known:
        return ""
    at, profile = max(known, key=lambda each: each[0])
    return profile_words(profile, at)


@dataclass(frozen=True)
class NearAccount:
    """An account that another one is tied to: by what, and in how many alerts."""

    account: str
    by: str


def neighbours(account: str, edges: Iterable[EdgeRecord]) -> list[NearAccount]:
    """Accounts that an account is tied to, the most tied first."""
    kinds: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for edge in edges:
        other = edge.b if edge.a == account else edge.a if edge.b == account else None
        if other is not None:
            kinds[other][edge.kind] = max(kinds[other][edge.kind], edge.count)
    ranked = sorted(kinds.items(), key=lambda item: (-len(item[1]), -sum(item[1].values()), item[0]))
    return [
        NearAccount(name, words.listed(words.EDGE_KINDS.get(kind, visible(kind)) for kind in sorted(found)))
        for name, found in ranked[:MOST_NEIGHBOURS]
    ]


@dataclass(frozen=True)
class PostingTimes:
    """When an account posted: a chart, and the same in a sentence."""

    chart: Markup
    said: str


def activity(account: str, pages: Iterable[PageRecord], records: Iterable[AlertRecord]) -> PostingTimes | None:
    """When an account acted, as far as its alerts show; None where they show fewer than two moments.

    Args:
        account: its name.
        pages: details of alerts that name it.
        records: the alerts.
    """
    moments = {(each.at, each.kind) for page in pages for each in page.posts if each.account == account}
    moments |= {(post.at, "post") for record in records for post in record.posts if post.account == account}
    times = sorted(at for at in (milliseconds(each) for each, _ in moments) if at is not None)
    if len(times) < 2:
        return None
    said = f"{words.counted(len(times), 'act')} from {words.when(times[0])} to {words.when(times[-1])}, UTC"
    return PostingTimes(strip(times, f"When it acted: {said}"), said)


@dataclass(frozen=True)
class SimilarCase:
    """A past case that was much like one that is looked at."""

    id: str
    title: str
    verdict_words: str
    sure: str
    members: int
    ago: str


def similar_views(cases: Sequence[PastCase], now: int) -> list[SimilarCase]:
    """Past cases for a page; `now` in ms since 1970."""
    return [
        SimilarCase(
            each.alert_id, visible(each.title) or "nobody named any more",
            words.VERDICTS.get(each.verdict, each.verdict), percent(each.odds) if each.odds is not None else "",
            each.members, words.ago(each.at, now),
        )
        for each in cases
    ]  # fmt: skip


def like_this_words(found: LikeThis, kind: str) -> str:
    """`Of 40 campaigns like this, 34 were confirmed.`; "" where too few were decided."""
    if found.decided < FEW:
        return ""
    noun = {"campaign": "campaigns", "account": "accounts", "coordination": "groups"}.get(kind, "alerts")
    were = "was" if found.confirmed == 1 else "were"
    return f"Of {found.decided:,} {noun} with such odds that were decided, {found.confirmed:,} {were} confirmed."
