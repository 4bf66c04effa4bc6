"""How alike two accounts' posts are in what they say, beyond what those around them say.

Members of a campaign repeat its talking points in words of their own. Posts are compared by vectors of meaning; a pair
of accounts by its best-matching posts. In a crowd that talks about one thing all posts are alike, so each post's
nearness to those around it is taken off (cross-domain similarity local scaling, Conneau et al. 2018): with r(p) the
mean cosine of p to the nearest posts of other accounts, two posts are as alike as 2 cos(p, q) - r(p) - r(q), and two
accounts as the mean of their `BEST` best.

Vectors are whole numbers and so are the products of them, exact in float32 whatever the order of the sum.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

BEST: Final = 4
"""Best-matching pairs of posts that are averaged: one could be a shared quotation."""

AROUND: Final = 1 / 60
"""Share of all other posts that count as those around a post."""

LEAST_AROUND: Final = 5
"""But at least so many."""

NEUTRAL: Final = -0.2
"""Likeness where there are no posts to compare, and that stands in for what is missing of the best four: somewhat above
what the best of two people's posts come to (a median of -0.43 in the training societies), far below a talking point."""

_EXACT: Final = 1 << 24
"""Whole numbers below this are exact in float32."""

_CHUNK: Final = 1024
"""Posts compared with all others at once: 1,024 by 16,384 products are 64 MB."""

_ACCOUNTS: Final = 32
"""Accounts whose pairs are looked at together, for the same reason."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


class TalkingPoint(NamedTuple):
    """Posts that say the same.

    Args:
        posts: places of the posts, the most typical first.
        likeness: mean likeness of the most typical one to the others.
    """

    posts: list[int]
    likeness: float


class Wording:
    """Posts of k accounts, compared.

    Args:
        owner: place of each post's account, ascending, shape (m,), below `accounts`.
        vectors: of meaning, int8, shape (m, width).
        accounts: k.
    """

    def __init__(self, owner: Ints, vectors: NDArray[np.int8], accounts: int) -> None:
        self.owner = owner
        self.accounts = accounts
        centre = np.round(vectors.mean(axis=0)) if len(vectors) else 0.0
        centred = vectors.astype(np.float64) - centre
        length = np.sqrt((centred**2).sum(axis=1))
        exact = float(length.max(initial=0.0)) ** 2 < _EXACT
        self._centred = centred.astype(np.float32) if exact else centred
        self._scale = (1.0 / np.maximum(length, 1e-9)).astype(np.float32)
        self._around = self._nearness()

    def _cosines(self, posts: Ints) -> Floats:
        products: Floats = (self._centred[posts] @ self._centred.T).astype(np.float32, copy=False)
        products *= self._scale[posts][:, None]
        products *= self._scale
        return products

    def _nearness(self) -> Floats:
        """r of every post, shape (m,)."""
        m = len(self.owner)
        out = np.zeros(m, np.float32)
        most = int(np.bincount(self.owner).max(initial=0))
        near = min(max(round(m * AROUND), LEAST_AROUND), m - most)  # every post has so many of others
        for start in range(0, m if near else 0, _CHUNK):
            posts = np.arange(start, min(start + _CHUNK, m))
            cosines = self._cosines(posts)
            cosines[self.owner[posts][:, None] == self.owner] = -1.0
            cosines.partition(m - near, axis=1)
            out[posts] = np.sort(cosines[:, m - near :], axis=1).mean(axis=1, dtype=np.float64)
        return out

    def likeness(self, posts: Ints) -> Floats:
        """2 cos - r - r of `posts` with all posts, shape (len(posts), m)."""
        out = self._cosines(posts)
        out *= 2.0
        out -= self._around[posts][:, None]
        out -= self._around
        return out

    def pairs(self) -> Floats:
        """Likeness of every two accounts, shape (k, k); `NEUTRAL` without posts and on the diagonal."""
        k = self.accounts
        out = np.full((k, k), NEUTRAL, np.float32)
        held, start, count = np.unique(self.owner, return_index=True, return_counts=True)
        if len(held) < 2:
            return out
        # Every account's posts side by side, in as many places each: the best of a pair are found along one axis.
        most = max(int(count.max()), BEST)
        column = np.arange(len(self.owner)) - np.repeat(start, count) + np.repeat(np.arange(len(held)) * most, count)
        for first in range(0, len(held), _ACCOUNTS):
            last = min(first + _ACCOUNTS, len(held))
            mine = np.arange(start[first], start[last - 1] + count[last - 1])
            row = column[mine] - first * most
            table = np.full(((last - first) * most, len(held) * most), -np.inf, np.float32)
            table[row[:, None], column] = self.likeness(mine)
            best = _largest(table.reshape(-1, len(held), most))
            best = best.reshape(last - first, most, len(held), BEST).transpose(0, 2, 1, 3)
            best = _largest(np.ascontiguousarray(best).reshape(last - first, len(held), most * BEST))
            best = np.where(np.isneginf(best), np.float32(NEUTRAL), best)
            values = np.sort(best, axis=2).mean(axis=2, dtype=np.float64).astype(np.float32)
            out[held[first:last, None], held] = values
        out = np.maximum(out, out.T)  # equal but for the last bit of a sum
        np.fill_diagonal(out, NEUTRAL)
        return out


def _largest(values: Floats) -> Floats:
    """The `BEST` largest along the last axis, in any order."""
    width = values.shape[-1]
    values.partition(width - BEST, axis=-1)
    return values[..., width - BEST :]


def talking_points(wording: Wording, members: Ints, least: float, most: int) -> list[TalkingPoint]:
    """What several members say, each in words of its own, best first.

    A point grows around the post that most members have one alike to; the posts in it are taken away, and the next is
    looked for. Of each member the post nearest to the typical one is named.

    Args:
        wording: the posts.
        members: places of the accounts.
        least: likeness from which posts say the same.
        most: points at most.
    """
    posts = np.flatnonzero(np.isin(wording.owner, members))
    if len(posts) < 2:
        return []
    owner = wording.owner[posts]
    alike = wording.likeness(posts)[:, posts]
    alike[owner[:, None] == owner] = -np.inf
    left = np.ones(len(posts), np.bool_)
    found: list[TalkingPoint] = []
    while len(found) < most:
        near = (alike >= least) & left & left[:, None]
        said_by = np.array([len(set(owner[row].tolist())) for row in near])
        strength = np.where(near, alike, 0.0).sum(axis=1)
        if not len(said_by) or int(said_by.max()) < 2:
            break
        best = int(np.lexsort((np.arange(len(posts)), -strength, -said_by))[0])
        chosen: list[int] = []
        for member in dict.fromkeys(owner[near[best]].tolist()):
            theirs = np.flatnonzero(near[best] & (owner == member))
            chosen.append(int(theirs[np.argmax(alike[best, theirs])]))
        chosen.sort(key=lambda n: (-alike[best, n], n))
        found.append(TalkingPoint([int(posts[n]) for n in (best, *chosen)], float(alike[best, chosen].mean())))
        left[[best, *np.flatnonzero(near[best]).tolist()]] = False
    return found
