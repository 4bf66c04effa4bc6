"""Finds what could be shown to a reader: posts of those followed, of the community, of anywhere, and what is pushed.

The first of the two stages of a feed (retrieval, then ranking). Pools are the same for all readers of a community and
are made once a step (`Pools`); what those followed wrote or reposted is looked up for each reader. Readers come in
batches of those who follow about equally many, so that memory depends on neither accounts nor their ties.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from simulation.feeds.posts import Posts, Scores
from simulation.population import Graph
from simulation.sampling import Flags, Ints

SEEN: Final = 0
"""Source: the reader was shown it lately. The lowest number wins where a post comes twice, so this takes posts out."""
FOLLOWED: Final = 1
"""Written or reposted by somebody the reader follows."""
COMMUNITY: Final = 2
FRESH: Final = 3
WORLD: Final = 4
PUSHED: Final = 5

SOURCES: Final = ("seen", "followed", "popular in the community", "new in the community", "popular anywhere", "pushed")

POPULAR: Final = 16
"""Most engaging posts of a community that its members can be shown."""

NEW: Final = 10
"""Newest posts of a community that its members can be shown."""

EVERYWHERE: Final = 12
"""Most engaging posts of all that everybody can be shown."""

PUSHES: Final = 6
"""Newest posts of accounts whose posts are pushed."""

LOOKED_AT: Final = 256
"""Followed accounts whose posts are looked up, closest first; few people follow more who post the same day."""

BATCH_CELLS: Final = 1 << 18
"""Readers times candidates at once: arrays of one or two MiB, which a processor's cache holds."""

_SOURCE_BITS: Final = 3
_RANK_BITS: Final = 9


@dataclass
class Candidates:
    """Posts that could be shown to each of a batch of readers.

    reader (readers,): accounts; slot (readers, width): of the post, -1 for none, each post once for a reader; source
    (readers, width): where it was found; rank (readers, width): place of who carried it among those followed, closest
    first, 0 based, meaningful where the source is `FOLLOWED`.
    """

    reader: Ints
    slot: Ints
    source: Ints
    rank: Ints

    @property
    def there(self) -> Flags:
        """Where there is a post."""
        result: Flags = self.slot >= 0
        return result

    def tie(self) -> Scores:
        """Closeness to who carried each post: 1 for the closest tie, falling as the square root of the rank."""
        found: Scores = np.where(self.source == FOLLOWED, 1.0 / np.sqrt(1.0 + self.rank), 0.0).astype(np.float32)
        return found


class Pools:
    """What could be shown to all members of a community, as it stands at the beginning of a step.

    Args:
        posts: of which pools are made.
        community: shape (accounts,), of each account.
        now_ms: the beginning of the step.
        fading_h: hours in which the weight of a post's engagement falls by e.
        pushed: shape (accounts,), whose posts are pushed; None for nobody's.
    """

    def __init__(
        self, posts: Posts, community: Ints, now_ms: int, fading_h: float, pushed: Flags | None = None
    ) -> None:
        author = posts.feed.author[: len(posts)]
        alive = np.flatnonzero(~posts.hidden)
        heat: Scores = (np.log1p(posts.engagement()) - posts.age_h(now_ms) / fading_h).astype(np.float32)
        hottest = alive[np.argsort(-heat[alive], kind="stable")]
        home = community[author]
        count = int(community.max()) + 1
        popular = _first_of_each(home, hottest, POPULAR, count)
        fresh = _first_of_each(home, alive[::-1], NEW, count)
        top = np.sort(hottest[:EVERYWHERE])
        paid = alive[pushed[author[alive]]][-PUSHES:] if pushed is not None else alive[:0]
        shared = np.concatenate((np.tile(top, (count, 1)), np.tile(paid, (count, 1))), axis=1)
        self.slot = np.concatenate((popular, fresh, shared), axis=1)
        widths = (popular.shape[1], fresh.shape[1], len(top), len(paid))
        self.source = np.repeat(np.array((COMMUNITY, FRESH, WORLD, PUSHED), np.int64), widths)


def _first_of_each(home: Ints, ordered: Ints, most: int, count: int) -> Ints:
    """The first `most` of every community in an order of slots: (count, most), -1 where there are fewer.

    Args:
        home: shape (posts,), community of each.
        ordered: slots, best first.
        most: of one community.
        count: communities.
    """
    where = home[ordered]
    if count <= np.iinfo(np.uint16).max:
        where = where.astype(np.uint16)  # NumPy sorts 16 bits in linear time
    by_home = np.argsort(where, kind="stable")
    where, ordered = where[by_home], ordered[by_home]
    first = np.searchsorted(where, np.arange(count))
    place = np.arange(len(ordered)) - first[where]
    kept = place < most
    result = np.full((count, most), -1, np.int64)
    result[where[kept], place[kept]] = ordered[kept]
    return result


def batches(
    posts: Posts, graph: Graph, community: Ints, pools: Pools, readers: Ints
) -> Iterator[tuple[Ints, Candidates]]:
    """Candidates of all readers, batch by batch: indices into `readers`, and what could be shown to those.

    Args:
        posts: what there is.
        graph: who follows whom.
        community: shape (accounts,).
        pools: of this step.
        readers: shape (k,), accounts, each once.
    """
    degree = np.minimum(graph.start[readers + 1] - graph.start[readers], LOOKED_AT)
    order = np.argsort(degree, kind="stable")
    carried = posts.carried.rows
    done = 0
    while done < len(order):
        # The last of a batch follows most; as many readers as fit beside it.
        width = int(degree[order[done]]) * carried.shape[1] + pools.slot.shape[1]
        some = order[done : done + max(1, BATCH_CELLS // width)]
        while len(some) > 1 and (int(degree[some[-1]]) * carried.shape[1] + pools.slot.shape[1]) > 2 * width:
            some = some[: len(some) // 2]
        done += len(some)
        yield some, _candidates(posts, graph, community, pools, readers[some])


def _candidates(posts: Posts, graph: Graph, community: Ints, pools: Pools, reader: Ints) -> Candidates:
    first = graph.start[reader]
    degree = np.minimum(graph.start[reader + 1] - first, LOOKED_AT)
    most = int(degree.max())
    ranks = np.arange(most)
    index = first[:, None] + ranks
    follows = graph.follows[np.minimum(index, len(graph.follows) - 1)] if most else np.zeros((len(reader), 0), np.int32)
    slot = posts.carried.rows[follows] - posts.base
    slot[ranks >= degree[:, None]] = -1
    size = slot.shape[2]
    near = (slot << (_SOURCE_BITS + _RANK_BITS)) | (FOLLOWED << _RANK_BITS) | ranks[None, :, None]
    far = (pools.slot << (_SOURCE_BITS + _RANK_BITS)) | (pools.source << _RANK_BITS)
    seen = (posts.seen.rows[reader] - posts.base) << (_SOURCE_BITS + _RANK_BITS)
    key = np.concatenate((near.reshape(len(reader), most * size), far[community[reader]], seen), axis=1)
    key.sort(axis=1)  # by post, then by source, then by rank: what comes first of a post is kept
    found = key >> (_SOURCE_BITS + _RANK_BITS)
    bad = found < 0
    bad[:, 1:] |= found[:, 1:] == found[:, :-1]
    kept = np.where(bad, 0, found)
    if len(posts):
        bad |= posts.hidden[kept]
        bad |= posts.feed.author[kept] == reader[:, None]
    source = (key >> _RANK_BITS) & ((1 << _SOURCE_BITS) - 1)
    bad |= source == SEEN
    return Candidates(reader, np.where(bad, -1, found), source, key & ((1 << _RANK_BITS) - 1))
