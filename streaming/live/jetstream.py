"""Bluesky's Jetstream: every public act as an object of JSON, over a WebSocket, with a cursor to go on from.

The protocol is that of `/subscribe`, which both generations of Jetstream speak. The cursor is `time_us`, when the relay
saw an act, and it names the same place on every instance, though not to the microsecond: so a little is asked for
again.
Messages are text, or with a dictionary binary zstd. The dictionary is a file of Jetstream's own repository; it is not
part of this package, and whoever has it names it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
import zstandard

from detector.errors import UsageError
from streaming.live.base import MICROSECONDS, PRESENT, SKEW_US, LiveRecord, Lost, StreamPosition
from streaming.live.websocket import FRAME_BYTES, WebSocket
from streaming.outgoing import Lookup, checked_url, look_up
from streaming.sources.base import FileRecord
from streaming.sources.bluesky import FORMAT

HOST: Final = "wss://jetstream2.us-east.bsky.network/subscribe"
"""One of the public instances."""

COLLECTIONS: Final = ("app.bsky.feed.post", "app.bsky.feed.repost", "app.bsky.feed.like", "app.bsky.graph.follow")
"""What becomes a post event; deletions of accounts come as well."""

OVERLAP_US: Final = 5 * MICROSECONDS
"""Instances see the same act within a second or so of each other, and clocks differ a little."""

LOOKBACK_US: Final = 36 * 3600 * MICROSECONDS
"""How far back the public instances go; an older cursor begins there without a word."""

DICTIONARY_BYTES: Final = 4 << 20
"""Jetstream's own has 113 kB; a larger file is another file named by mistake."""

SKIPPED_US: Final = MICROSECONDS
"""Where a message is longer than any record may be, the stream is taken up again so much later, doubled each time."""


class _CommitTime(msgspec.Struct):
    time_us: int = -1


_head: Final = msgspec.json.Decoder(_CommitTime)


class Jetstream:
    """A source of Jetstream's events.

    Args:
        url: of an instance's `/subscribe`, ws or wss.
        collections: what to ask for; all where empty.
        dids: accounts to ask for; all where empty.
        dictionary: file of the zstd dictionary; None for plain JSON.
        lookup: gives the addresses of a host.
        now_us: the present, microseconds since 1970.
        frame_bytes: longest message.

    Raises:
        UsageError: the URL or the dictionary cannot be used.
    """

    name = "bluesky"
    overlap_us = OVERLAP_US

    def __init__(
        self,
        url: str = HOST,
        *,
        collections: Sequence[str] = COLLECTIONS,
        dids: Sequence[str] = (),
        dictionary: Path | None = None,
        lookup: Lookup = look_up,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        frame_bytes: int = FRAME_BYTES,
    ) -> None:
        if checked_url(url, "--host", ("wss", "ws")).query:
            raise UsageError("--host: leave the query away; --collection and --did say what is asked for")
        self._parameters = [("wantedCollections", each) for each in collections]
        self._parameters += [("wantedDids", each) for each in dids]
        self._unpack = None if dictionary is None else _decompressor(dictionary)
        if self._unpack is not None:
            self._parameters.append(("compress", "true"))
        # Jetstream refuses a connection that offers both compressions.
        self._socket = WebSocket(url, "--host", deflate=dictionary is None, lookup=lookup, frame_bytes=frame_bytes)
        self._now_us = now_us
        self._frame_bytes = frame_bytes
        self._too_large = (0, 0, PRESENT)
        self.host = self._socket.host
        self.identity = f"{self.name} {url} {' '.join(sorted(collections))} {' '.join(sorted(dids))}"

    def interrupt(self) -> None:
        """Have the connection end; called from another thread."""
        self._socket.interrupt()

    def converting(self) -> Callable[[bytes], FileRecord]:
        """Makes post events of Jetstream's."""
        return FORMAT.convert

    @contextmanager
    def connect(self, place: StreamPosition) -> Iterator[Iterator[LiveRecord | Lost]]:
        """Connect, and give events from a place on.

        Raises:
            DeliveryError: no connection, or it broke; while iterating as well.
        """
        place, lost = self._beyond_too_large(place)
        parameters = list(self._parameters)
        if place.position >= 0:
            parameters.append(("cursor", str(place.position)))
            gone_us = self._now_us() - LOOKBACK_US - place.position
            if gone_us > 0:
                lost.append(
                    Lost(f"the stream goes back {LOOKBACK_US // 3600 // MICROSECONDS} hours, and about "
                         f"{gone_us / 3600 / MICROSECONDS:,.1f} hours before that are not to be had")
                )  # fmt: skip
        with self._socket.messages(f"?{urlencode(parameters)}" if parameters else "") as messages:
            yield self._events(lost, messages)

    def _events(self, lost: list[Lost], messages: Iterator[bytes | str]) -> Iterator[LiveRecord | Lost]:
        yield from lost
        for message in messages:
            value = message.encode("utf-8", "surrogatepass") if isinstance(message, str) else self._plain(message)
            yield LiveRecord(value, self._position(value))

    def _plain(self, message: bytes) -> bytes:
        """A binary message decompressed; as it is where it cannot be, so that it is counted as dead."""
        if self._unpack is None:
            return message
        try:
            # What a frame says of its own size is taken from memory at once.
            if zstandard.frame_content_size(message) > self._frame_bytes:
                return message
            plain: bytes = self._unpack.decompress(message, max_output_size=self._frame_bytes)
        except zstandard.ZstdError:
            return message
        return plain

    def _position(self, value: bytes) -> int:
        try:
            position = _head.decode(value).time_us
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return -1
        return position if 0 <= position <= self._now_us() + SKEW_US else -1

    def _beyond_too_large(self, place: StreamPosition) -> tuple[StreamPosition, list[Lost]]:
        """Where to go on if the last connections all ended with a message that is too long, just behind this place."""
        known, times, before = self._too_large
        now = self._socket.too_large
        times = times + 1 if now > known and (times == 0 or before == place) else int(now > known)
        self._too_large = (now, times, place)
        if times < 2 or place.position < 0:
            return place, []
        skipped = SKIPPED_US * 2 ** min(times - 2, 20)
        # The overlap is asked for again by whoever named the place; what is too long lies beyond it.
        beyond = place.position + self.overlap_us + skipped
        said = f"a message of more than {self._frame_bytes:,} bytes: {skipped / MICROSECONDS:,.0f} s of the stream"
        return StreamPosition(min(beyond, self._now_us())), [Lost(f"{said} around it are not to be had")]


def _decompressor(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            data = file.read(DICTIONARY_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"--zstd-dictionary {str(path)!a} cannot be read: {error.strerror}; is its name right?"
        ) from None
    if len(data) > DICTIONARY_BYTES or not data:
        raise UsageError(f"--zstd-dictionary {str(path)!a} is no dictionary of Jetstream: give its zstd_dictionary")
    try:
        dictionary = zstandard.ZstdCompressionDict(data, dict_type=zstandard.DICT_TYPE_FULLDICT)
        dictionary.precompute_compress(level=1)
        return zstandard.ZstdDecompressor(dict_data=dictionary, max_window_size=FRAME_BYTES)
    except (zstandard.ZstdError, ValueError):
        raise UsageError(
            f"--zstd-dictionary {str(path)!a} is no zstd dictionary: give zstd_dictionary of Jetstream"
        ) from None
