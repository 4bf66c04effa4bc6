"""What was seen before: the same event once more, events that were deleted, and texts that nearly equal earlier ones.

Everything here remembers for a window of event time in two generations, so that forgetting costs nothing per entry.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from typing import Final

import msgspec

from detector.text.features import MINHASH_DIM, TEXT_FEATURES

KEY_BYTES: Final = 12
"""96 bits: among 10^9 keys remembered at once, two collide with probability 10^-11."""

NO_GENERATION: Final = -(2**62)
"""Number of the generation before the first entry."""


def event_key(account: str, event: str) -> bytes:
    """The identity of an event (contract: the pair of account and id) in a fixed size."""
    name = account.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(
        b"%d:%b%b" % (len(name), name, event.encode("utf-8", "surrogatepass")), digest_size=KEY_BYTES
    ).digest()


MARKS: Final = 1 << 15
"""How many marks there are: with a time of 48 bits one fits 63 bits, so that marks cost no memory. Two different texts
have the same one in 1 of 32,767 edits, which then counts as a duplicate."""


def text_mark(text: str) -> int:
    """A mark for a text: 0 for none."""
    return 1 + zlib.crc32(text.encode("utf-8", "surrogatepass")) % (MARKS - 1) if text else 0


class DeduplicationSet(msgspec.Struct):
    """Key -> time and a mark, forgotten `window_ms` of event time later. Times put must not decrease.

    Args:
        window_ms: how long a key is remembered (inclusive).
        generation: number of the present generation.
        current: keys put in the present generation, with time * `MARKS` + mark.
        previous: keys put in the one before.
    """

    window_ms: int
    generation: int = NO_GENERATION
    current: dict[bytes, int] = {}
    previous: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self.current) + len(self.previous)

    def get(self, key: bytes, at_ms: int) -> int | None:
        """The time under which `key` was put, if that is at most the window before `at_ms`."""
        put = self._put(key) // MARKS
        return put if at_ms - put <= self.window_ms else None

    def mark(self, key: bytes) -> int:
        """The mark under which `key` was put; 0 where it was not."""
        return max(self._put(key), 0) % MARKS

    def _put(self, key: bytes) -> int:
        put = self.current.get(key)
        if put is None:
            put = self.previous.get(key)
        return NO_GENERATION * MARKS if put is None else put

    def put(self, key: bytes, at_ms: int, mark: int = 0) -> None:
        """Remember `key`; an older time and mark of it are replaced.

        Args:
            key: of an event.
            at_ms: its time.
            mark: of its text, below `MARKS`.
        """
        generation = at_ms // max(self.window_ms, 1)
        if generation != self.generation:
            self.previous = self.current if generation == self.generation + 1 else {}
            self.current = {}
            self.generation = generation
        self.current[key] = at_ms * MARKS + mark


NEAR_DUPLICATE_WORDS: Final = 6
"""Words below which two texts are alike by chance ("happy birthday to you")."""

NEAR_DUPLICATE_MS: Final = 24 * 3_600_000
"""How long a text is looked for at least, and at most twice as long: the longest bet on nearly equal texts is a day."""

_VALUES_PER_BAND: Final = 2
_BANDS: Final = MINHASH_DIM // _VALUES_PER_BAND
_VALUE_BYTES: Final = 4
_BAND_BYTES: Final = _VALUE_BYTES * _VALUES_PER_BAND
_MINHASH_BYTES: Final = _VALUE_BYTES * MINHASH_DIM
_AGREE: Final = MINHASH_DIM // 2
"""Values out of 12 that must agree with a cluster's first text, a Jaccard similarity of about a half: one band that
collides by chance joins nothing, and clusters do not drift."""


def text_feature_offset(name: str) -> int:
    """The byte at which a field lies in packed text features."""
    fields = TEXT_FEATURES.fields
    assert fields is not None
    return int(fields[name][1])


OWNERS: Final = 8
"""Events remembered of those that have the MinHash of a cluster's first text. Where all of these are deleted, the
cluster begins anew, however many further copies there are."""

_MINHASH_AT: Final = text_feature_offset("minhash")
_WORDS_AT: Final = text_feature_offset("words")


class TextGeneration(msgspec.Struct):
    """The texts of a day.

    Args:
        bands: band of a text's MinHash, with its number in front -> number of its cluster in `firsts`.
        firsts: MinHash of each cluster's first text, b"" where that was deleted.
        of_event: event -> MinHash of its text, so that a deletion finds it.
        owners: of each cluster the events whose text has its first one's MinHash, `OWNERS` at most, of all days.
        owner_of: the other way round.
    """

    bands: dict[bytes, int] = {}
    firsts: list[bytes] = []
    of_event: dict[int, bytes] = {}
    owners: list[list[int]] = []
    owner_of: dict[int, int] = {}

    def __post_init__(self) -> None:
        # A snapshot of before version 7 has none; what it holds cannot be found by a deletion and ages out.
        self.owners += [[] for _ in range(len(self.firsts) - len(self.owners))]

    def begin(self, first: bytes, owners: Iterable[int]) -> int:
        """Begin a cluster; its number."""
        number = len(self.firsts)
        self.firsts.append(first)
        self.owners.append(list(owners))
        self.owner_of.update(dict.fromkeys(self.owners[number], number))
        return number

    def own(self, event: int, number: int) -> None:
        """The text of an event has the MinHash of a cluster's first text."""
        if len(self.owners[number]) < OWNERS:
            self.owners[number].append(event)
            self.owner_of[event] = number

    def forget(self, event: int) -> None:
        """Forget what is of a deleted event alone."""
        number = self.owner_of.pop(event, None)
        if number is not None:
            self.owners[number].remove(event)
            if not self.owners[number]:
                self._drop(_bands(self.firsts[number]))
                self.firsts[number] = b""
        minhash = self.of_event.pop(event, None)
        if minhash is not None:
            self._drop(_bands(minhash))

    def _drop(self, bands: list[bytes]) -> None:
        """Drop bands that are not those of their cluster's first text, where that is owned by others."""
        for band in bands:
            number = self.bands.get(band)
            if number is not None and not (self.owners[number] and band in _bands(self.firsts[number])):
                del self.bands[band]


class NearDuplicates(msgspec.Struct):
    """Gives every text the key of its cluster of nearly equal texts, from its MinHash alone.

    A text joins the cluster of a text in the window with which it shares a band and half of all values; else it begins
    its own. A cluster is named by a hash of the MinHash of its first text. Only MinHashes are kept, and that of a
    deleted event goes with it: what is like that text alone then begins another cluster. Times given must not decrease.

    Args:
        generation: number of the present day.
        current: its texts.
        previous: those of the day before.
    """

    generation: int = NO_GENERATION
    current: TextGeneration = msgspec.field(default_factory=TextGeneration)
    previous: TextGeneration = msgspec.field(default_factory=TextGeneration)

    def key(self, features: bytes, at_ms: int, event: int) -> str | None:
        """The cluster of a text; None where it has too few words to be compared.

        Args:
            features: packed features of the text.
            at_ms: time of its event.
            event: names the event to `forget`.
        """
        if int.from_bytes(features[_WORDS_AT : _WORDS_AT + 2], "little") < NEAR_DUPLICATE_WORDS:
            return None
        minhash = features[_MINHASH_AT : _MINHASH_AT + _MINHASH_BYTES]
        if not any(minhash):
            return None
        self._turn(at_ms // NEAR_DUPLICATE_MS)
        bands = _bands(minhash)
        first, number, before = self._cluster(bands, minhash)
        current = self.current
        if number is None:
            number = current.begin(first, () if before is None else self.previous.owners[before])
        for band in bands:
            current.bands.setdefault(band, number)
        current.of_event[event] = minhash
        if minhash == first:
            current.own(event, number)
        return hashlib.blake2b(first, digest_size=8).hexdigest()

    def forget(self, events: Iterable[int]) -> None:
        """Forget the texts of deleted events, unless another text that is there has the same MinHash."""
        for event in events:
            self.current.forget(event)
            self.previous.forget(event)

    def _cluster(self, bands: list[bytes], minhash: bytes) -> tuple[bytes, int | None, int | None]:
        """MinHash of the first text of the nearest cluster, its number if it is of the present day, or of the last."""
        best, best_number, best_before, agreeing = minhash, None, None, _AGREE - 1
        current, previous = self.current, self.previous
        for band in bands:
            before = None
            number = current.bands.get(band)
            if number is not None:
                first = current.firsts[number]
            elif (before := previous.bands.get(band)) is not None:
                first = previous.firsts[before]
            else:
                continue
            if first is not best:
                agree = sum(
                    minhash[i : i + _VALUE_BYTES] == first[i : i + _VALUE_BYTES]
                    for i in range(0, _MINHASH_BYTES, _VALUE_BYTES)
                )
                if agree > agreeing:
                    best, best_number, best_before, agreeing = first, number, before, agree
        return best, best_number, best_before

    def _turn(self, generation: int) -> None:
        if generation != self.generation:
            self.previous = self.current if generation == self.generation + 1 else TextGeneration()
            self.current = TextGeneration()
            self.generation = generation


def _bands(minhash: bytes) -> list[bytes]:
    """The bands of a MinHash, each with its number in front; none of a deleted one."""
    return [bytes((i,)) + minhash[i * _BAND_BYTES : (i + 1) * _BAND_BYTES] for i in range(_BANDS) if minhash]


class SeenBefore(msgspec.Struct):
    """All that intake remembers to settle duplicates, deletions and nearly equal texts.

    Args:
        events: keys of all events.
        deleted_events: keys of events named by a deletion, whether or not they came.
        deleted_accounts: keys of accounts that were deleted.
        texts: clusters of nearly equal texts.
    """

    events: DeduplicationSet
    deleted_events: DeduplicationSet
    deleted_accounts: DeduplicationSet
    texts: NearDuplicates = msgspec.field(default_factory=NearDuplicates)

    @classmethod
    def begin(cls, window_ms: int) -> SeenBefore:
        """Nothing seen yet; events are duplicates, and deletions hold, within `window_ms`."""
        return cls(DeduplicationSet(window_ms), DeduplicationSet(window_ms), DeduplicationSet(window_ms))
