"""What an alert is about: talking points, phrases that several accounts write, sites, tags, targets and scripts.

Talking points come with the alert where `assess` finds them; everything else is read off the quoted posts and the
objects that members share. Counts are of accounts, never of posts: one that repeats itself makes no subject. Pure.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from moderation.cases import AlertWithDetails
from moderation.languages import scripts
from moderation.web.similarity import URL, segments
from moderation.web.untrusted_text import visible
from streaming.schema.alert import AlertRecord

MOST: Final = 3
"""Of each sort: a first card is read in seconds."""

LEAST_ACCOUNTS: Final = 2
"""Accounts that make something shared."""

TARGET_KINDS: Final = frozenset({"repost", "reply_target", "quote"})
"""Kinds of ties whose objects are posts, written `account/post`."""

_word: Final = re.compile(r"\w+(?:['’]\w+)*")


class Mentioned(NamedTuple):
    """Something that an alert is about, and how many accounts bring it up (0: not known)."""

    text: str
    accounts: int


@dataclass(frozen=True)
class Subject:
    """What an alert is about; each list has the most widely shared first.

    Args:
        points: talking points, in words.
        phrases: runs of words that several accounts write.
        sites: hosts of links.
        tags: sets of hashtags.
        targets: accounts that are reposted, answered, quoted or mentioned.
        scripts: in which they write, such as `Arabic`; languages where the alert names them.
    """

    points: list[Mentioned]
    phrases: list[Mentioned]
    sites: list[Mentioned]
    tags: list[Mentioned]
    targets: list[Mentioned]
    scripts: list[str]

    @property
    def known(self) -> bool:
        """Whether anything is known of it."""
        return bool(self.points or self.phrases or self.sites or self.tags or self.targets)


def subject(whole: AlertWithDetails) -> Subject:
    """What an alert is about."""
    record = whole.record
    members = {member.account for member in record.members}
    shared: dict[tuple[str, str], set[str]] = defaultdict(set)
    for edge in [*record.edges, *(edge for page in whole.details for edge in page.edges)]:
        for name in edge.objects:
            shared[edge.kind, name].update((edge.a, edge.b))
    for each in (each for page in whole.details for each in page.objects):
        shared[each.kind, each.object].update(each.accounts)
    sites: dict[str, set[str]] = defaultdict(set)
    tags: dict[str, set[str]] = defaultdict(set)
    targets: dict[str, set[str]] = defaultdict(set)
    for (kind, name), who in shared.items():
        if kind == "link":
            sites[_host(name)] |= who
        elif kind == "domain":
            sites[name.lower()] |= who
        elif kind in {"hashtag", "hashtags"}:  # the latter before version 3
            tags[name] |= who
        elif kind in TARGET_KINDS:
            targets[name.partition("/")[0]] |= who
        elif kind == "mention":
            targets[name.lstrip("@")] |= who
    alone = len(members) < LEAST_ACCOUNTS
    for post in record.posts:
        for link in URL.findall(post.text):
            sites[_host(link)].add(post.account)
    return Subject(
        points=_points(record),
        phrases=_phrases([(post.account, post.text) for post in record.posts]),
        sites=_ranked(sites, 1 if alone else LEAST_ACCOUNTS),
        tags=_ranked(tags),
        # Members who repost each other are the group, not what it is about.
        targets=_ranked({name: who - {name} for name, who in targets.items() if name not in members}),
        scripts=_languages(record) or scripts(post.text for post in record.posts),
    )


def _ranked(found: dict[str, set[str]], least: int = LEAST_ACCOUNTS) -> list[Mentioned]:
    ranked = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    return [Mentioned(visible(name)[:200], len(who)) for name, who in ranked if name and len(who) >= least][:MOST]


def _host(link: str) -> str:
    try:
        host = urlsplit(link if "//" in link else f"//{link}").hostname
    except ValueError:
        host = None
    return (host or link[:100]).lower().removeprefix("www.")


def _phrases(posts: Sequence[tuple[str, str]]) -> list[Mentioned]:
    """Runs of words of several accounts, those that most words of most accounts are made of first."""
    words = [(account, [match.group().casefold() for match in _word.finditer(URL.sub(" ", text))])
             for account, text in posts]  # fmt: skip
    found: dict[str, tuple[str, int, int]] = {}
    for parts in segments(posts):
        for part in parts:
            run = [match.group().casefold() for match in _word.finditer(part.text)]
            if not part.shared or not run:
                continue
            who = {account for account, text in words if _contains(text, run)}
            found.setdefault(" ".join(run), (part.text, len(who), len(run)))
    ranked = sorted(
        ((text, who, size, key) for key, (text, who, size) in found.items() if who >= LEAST_ACCOUNTS),
        key=lambda each: (-each[1] * min(each[2], 12), each[3]),
    )
    chosen: list[tuple[str, int, str]] = []
    for text, count, _, key in ranked:
        if not any(key in other or other in key for _, _, other in chosen):
            chosen.append((text, count, key))
    return [Mentioned(visible(text), count) for text, count, _ in chosen[:MOST]]


def _contains(words: Sequence[str], run: Sequence[str]) -> bool:
    return any(words[place : place + len(run)] == run for place in range(len(words) - len(run) + 1))


def _points(record: AlertRecord) -> list[Mentioned]:
    """Talking points, where the alert has them: the most typical words, and how many members say the same."""
    found = [Mentioned(visible(each.posts[0].text), each.members) for each in record.talking_points if each.posts]
    return sorted(found, key=lambda each: -each.accounts)[:MOST]


def _languages(record: Any) -> list[str]:
    named = getattr(record, "languages", None) or ()
    return [visible(each)[:40] for each in named if isinstance(each, str)][:MOST]
