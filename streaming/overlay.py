"""`python -m streaming.overlay`: many copies of a recording laid over each other, for measuring speed and memory.

Each copy has its own accounts, events, links, tags and wording (`streaming.wording`) and starts a little later than the
recording, by a time drawn for it. So the copies share no object, hardly a run of three words and no second, and what
one of them holds (campaigns, bursts, near-duplicates) it holds as the recording did.

Memory follows the vocabulary of the recording and the events within the spread of the copies, not their number.
"""

from __future__ import annotations

import argparse
import heapq
import random
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from detector.errors import EventError, SwarmlightError, UsageError
from detector.text.language import detect_language
from streaming.events import Event, format_time, parse
from streaming.sources import Inputs
from streaming.wording import SHARE, Vocabulary, Wording

SPREAD_MS: Final = 3_600_000
"""Copies start within an hour of each other: they overlap nearly all of the time, and no two posts share a second."""

_FAR_FUTURE_MS: Final = 2**60


class Copy:
    """One copy of a recording.

    Args:
        number: of the copy; every name in it ends with it.
        wording: its words.
        shift_ms: how much later it happens.
    """

    def __init__(self, number: int, wording: Wording, shift_ms: int) -> None:
        self._suffix = f"c{number:03}"
        self._wording = wording
        self.shift_ms = shift_ms

    def name(self, name: str) -> str:
        """An account, event, tag or mention of this copy; "" stays "" (nobody)."""
        return name + self._suffix if name else ""

    def link(self, link: str) -> str:
        """A link of this copy: of a site of its own, so that neither the link nor its domain is another copy's."""
        scheme, mark, rest = link.partition("://")
        return f"{scheme}://{self._suffix}.{rest}" if mark else f"{self._suffix}.{link}"

    def record(self, event: Event, language: str) -> bytes:
        """The JSON line of this copy's version of `event`, without line end.

        Args:
            language: of the event's text.
        """
        names = (self.name(name) for name in (event.id, event.account, event.target, event.target_account))
        fields: dict[str, Any] = dict(zip(("id", "account", "target", "target_account"), names, strict=True))
        fields |= {"at": format_time(event.at + self.shift_ms), "kind": event.kind.name.lower(), "lang": event.lang}
        fields["text"] = self._wording.text(language, event.text, self.link, self.name) if event.text else ""
        fields["mentions"] = [self.name(name) for name in event.mentions]
        fields["hashtags"] = [self.name(tag) for tag in event.hashtags]
        fields["urls"] = [self.link(url) for url in event.urls]
        if event.profile is not None:
            profile = msgspec.to_builtins(event.profile)
            for field in ("name", "bio", "location"):
                if profile[field]:
                    profile[field] = self._wording.text("", profile[field], self.link, self.name)
            fields["profile"] = {field: value for field, value in profile.items() if value is not None}
        return msgspec.json.encode({field: value for field, value in fields.items() if value not in ("", [])})


def make_copies(vocabulary: Vocabulary, copies: int, seed: int, spread_ms: int, share: float) -> list[Copy]:
    """Copies 0 to `copies` - 1; copy 0 starts with the recording."""
    rng = random.Random(seed)
    shifts = [0, *(rng.randrange(spread_ms + 1) for _ in range(copies - 1))]
    return [Copy(number, Wording(vocabulary, seed, number, share), shift) for number, shift in enumerate(shifts)]


def overlay(events: Iterable[tuple[Event, str]], copies: list[Copy]) -> Iterator[bytes]:
    """The records of all copies in order of time, if `events` are; events of one time by the number of their copy.

    Args:
        events: the recording, each with the language of its text.
    """
    source = iter(events)
    window: deque[tuple[Event, str]] = deque()
    first = 0  # index of window[0] in the recording
    slowest = max(range(len(copies)), key=lambda number: (copies[number].shift_ms, number))

    def at(index: int) -> tuple[Event, str] | None:
        while index - first >= len(window):
            item = next(source, None)
            if item is None:
                return None
            window.append(item)
        return window[index - first]

    heap: list[tuple[int, int, int]] = []
    begin = at(0)
    if begin is not None:
        heap = [(begin[0].at + copy.shift_ms, number, 0) for number, copy in enumerate(copies)]
        heapq.heapify(heap)
    while heap:
        _, number, index = heap[0]
        event, language = window[index - first]
        yield copies[number].record(event, language)
        following = at(index + 1)
        if following is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (following[0].at + copies[number].shift_ms, number, index + 1))
        if number == slowest:
            window.popleft()
            first += 1


def read_events(paths: list[Path], detect: Callable[[str], str] = detect_language) -> Iterator[tuple[Event, str]]:
    """The valid events of some recordings with the language of their text; dead records are left out.

    The far future counts as now: what is measured must not depend on today.
    """
    with Inputs(paths) as inputs:
        for record in inputs:
            try:
                event = parse(record.value, now_ms=_FAR_FUTURE_MS)
            except EventError:
                continue
            yield event, event.lang or (detect(event.text) if event.text else "")


def copy_truth(truth: Path, copies: list[Copy], out: BinaryIO) -> None:
    """Write the truth of every copy: `account` and `campaign` renamed, all else as it is.

    Raises:
        UsageError: the file is no JSON lines of objects with an `account`.
    """
    with Inputs([truth]) as inputs:
        for record in inputs:
            try:
                row = msgspec.json.decode(record.value, type=dict[str, Any])
                account, campaign = str(row["account"]), row.get("campaign")
            except (msgspec.MsgspecError, KeyError, ValueError):
                raise UsageError(f"{record.source} is no line of a truth file: an object with `account`") from None
            for copy in copies:
                renamed = row | {"account": copy.name(account)}
                if campaign:
                    renamed["campaign"] = copy.name(str(campaign))
                out.write(msgspec.json.encode(renamed) + b"\n")


def main(argv: list[str] | None = None) -> int:
    """Entry point; 0, or 2 on unusable arguments or input."""
    parser = argparse.ArgumentParser(prog="python -m streaming.overlay", description=__doc__)
    parser.add_argument("--input", type=Path, action="append", required=True, help="recording; read twice, so no pipe")
    parser.add_argument("--output", type=Path, help="JSON lines; standard output unless given")
    parser.add_argument("--copies", type=int, default=160, help="how many (160)")
    parser.add_argument("--seed", type=int, default=0, help="of wording and start times (0)")
    parser.add_argument("--share", type=float, default=SHARE, help=f"share of words replaced ({SHARE})")
    parser.add_argument("--spread-s", type=int, default=SPREAD_MS // 1000, help="copies start within it (3600)")
    parser.add_argument("--truth", type=Path, help="truth of the recording: JSON lines with `account`, `campaign`")
    parser.add_argument("--truth-output", type=Path, help="where the truth of all copies goes")
    options = parser.parse_args(argv)
    try:
        if options.copies < 1 or options.spread_s < 0 or not 0 <= options.share <= 1:
            raise UsageError("--copies must be at least 1, --spread-s at least 0, --share from 0 to 1")
        if (options.truth is None) != (options.truth_output is None):
            raise UsageError("--truth and --truth-output go together")
        vocabulary = Vocabulary((language, event.text) for event, language in read_events(options.input))
        copies = make_copies(vocabulary, options.copies, options.seed, options.spread_s * 1000, options.share)
        with ExitStack() as stack:
            if options.truth is not None:
                copy_truth(options.truth, copies, stack.enter_context(options.truth_output.open("wb")))
            out = sys.stdout.buffer
            if options.output is not None:
                out = stack.enter_context(options.output.open("wb"))
            for record in overlay(read_events(options.input), copies):
                out.write(record + b"\n")
    except SwarmlightError as error:
        print(f"overlay: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"overlay: cannot write {error.filename or 'standard output'}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
