"""The same posts in other words: what tells copies of a stream apart without changing their look.

Each copy has its own substitution of words by words of the same stream: of the same language, length and case, and
about as common, so that function words stay function words. It is a permutation worked out by arithmetic, not a table,
so that any number of copies costs no memory. Within a copy a word always becomes the same word: texts that were alike
stay as much alike as they were, while the same text in two copies shares next to no run of three words.

`python -m streaming.loadtest`: many copies of a recording laid over each other, for measuring speed and memory.

Each copy has its own accounts, events, links, tags and wording and starts a little later than the
recording, by a time drawn for it. So the copies share no object, hardly a run of three words and no second, and what
one of them holds (campaigns, bursts, near-duplicates) it holds as the recording did. Where the recording is played
several rounds, one after the other, the accounts of a copy stay and everything else is new in each round: the stream
gets longer, and the number of live accounts does not.

Memory follows the vocabulary of the recording and the events within the spread of the copies, not their number.
"""

from __future__ import annotations

import argparse
import hashlib
import heapq
import random
import re
import sys
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from math import gcd
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import msgspec

from detector.errors import EventError, SwarmlightError, UsageError
from detector.text.tokenize import detect_language
from detector.times import format_time
from streaming.schema import entities
from streaming.schema.event import Event, parse
from streaming.sources.files import Inputs

SHARE: Final = 0.75
"""Share of the words that a copy replaces. A run of three words then survives in two copies unchanged once in
(1 - 0.75)^6 = 0.0002 times, and the rest of the text keeps its sense of the original stream."""

BLOCK: Final = 16
"""Words that replace each other: neighbours in frequency. Fewer would leave too many copies alike."""

OWN_WORDS: Final = 500
"""Different words from which a language has its own vocabulary; the rarer languages of a stream share one."""

LONGEST: Final = 12
"""From this length on words count as equally long: there are too few of each to choose from."""

_word = re.compile(rf"[\w{entities.MARKS}]+(?:['’]\w+)*")

Class = tuple[str, int, str, int]


class Vocabulary:
    """The words of a stream by language, length, case and script, each class in blocks of similar frequency.

    Args:
        texts: (language, text) of every post.
    """

    def __init__(self, texts: Iterable[tuple[str, str]]) -> None:
        counts: Counter[tuple[str, str]] = Counter()
        for language, text in texts:
            counts.update((language, word) for word in _word.findall(_bare(text)))
        types = Counter(language for language, _ in counts)
        self._languages = frozenset(language for language, number in types.items() if number >= OWN_WORDS)
        pooled: Counter[tuple[str, str]] = Counter()
        for (language, word), count in counts.items():
            pooled[self._own(language), word] += count
        classes: defaultdict[Class, list[str]] = defaultdict(list)
        for (language, word), _ in sorted(pooled.items(), key=lambda item: (-item[1], item[0])):
            classes[_class(language, word)].append(word)
        self._place: dict[tuple[str, str], tuple[list[str], int, int]] = {}
        number = 0
        for key, words in sorted(classes.items()):
            blocks = max(1, len(words) // BLOCK)
            for i in range(blocks):
                block = words[i * BLOCK : (i + 1) * BLOCK if i + 1 < blocks else None]
                number += 1
                for index, word in enumerate(block):
                    self._place[key[0], word] = (block, index, number)

    def __len__(self) -> int:
        return len(self._place)

    def _own(self, language: str) -> str:
        return language if language in self._languages else ""

    def substitute(self, language: str, word: str, key: bytes, share: float) -> str:
        """What `word` becomes in the copy named by `key`; itself where it is unknown or among those that stay."""
        place = self._place.get((self._own(language), word))
        if place is None or len(place[0]) == 1:
            return word
        block, index, number = place
        size = len(block)
        draw = _draw(key, b"", number)
        factor = 1 + draw % size
        while gcd(factor, size) != 1:
            factor += 1
        chosen = _draw(key, word.encode("utf-8", "surrogatepass"), number)
        if chosen % 1_000_003 >= share * 1_000_003:
            return word
        return block[(factor * index + draw // size) % size]


class Wording:
    """The wording of one copy.

    Args:
        vocabulary: of the stream.
        name: of the copy; another name is another wording.
        share: share of the words that are replaced.
    """

    def __init__(self, vocabulary: Vocabulary, name: str, share: float = SHARE) -> None:
        self._vocabulary = vocabulary
        self._key = hashlib.blake2b(name.encode(), digest_size=32).digest()
        self._share = share

    def word(self, language: str, word: str) -> str:
        """What one word becomes."""
        return self._vocabulary.substitute(language, word, self._key, self._share)

    def text(self, language: str, text: str, links: Callable[[str], str], names: Callable[[str], str]) -> str:
        """`text` in other words: spaces and punctuation stay, links become `links(link)`, tags and mentions
        `names(word)`."""
        parts, end = [], 0
        for found in entities.LINK.finditer(text):
            parts.append(self._words(language, text[end : found.start()], names))
            link = entities.trim(found.group())
            parts.append(links(link) if link else "")
            end = found.start() + len(link)
        parts.append(self._words(language, text[end:], names))
        return "".join(parts)

    def _words(self, language: str, text: str, names: Callable[[str], str]) -> str:
        def other(found: re.Match[str]) -> str:
            before = text[found.start() - 1] if found.start() else " "
            return names(found.group()) if before in "#＃@＠" else self.word(language, found.group())

        return _word.sub(other, text)


def _bare(text: str) -> str:
    """The text without links, tags and mentions."""
    return re.sub(r"[@#＠＃]\w+", " ", entities.LINK.sub(" ", text))


def _class(language: str, word: str) -> Class:
    if word.isdigit():
        case = "number"
    elif word.islower():
        case = "lower"
    elif word.isupper() and len(word) > 1:
        case = "upper"
    elif word[:1].isupper():
        case = "title"
    else:
        case = "other"
    script = 0 if ord(max(word)) < 0x250 else ord(word[0]) >> 7
    return language, min(len(word), LONGEST), case, script


def _draw(key: bytes, what: bytes, number: int) -> int:
    digest = hashlib.blake2b(what + number.to_bytes(8, "big"), key=key, digest_size=8).digest()
    return int.from_bytes(digest, "big")


SPREAD_MS: Final = 3_600_000
"""Copies start within an hour of each other: they overlap nearly all of the time, and no two posts share a second."""

_FAR_FUTURE_MS: Final = 2**60


DAY_MS: Final = 86_400_000
"""Rounds begin whole days apart, so that everybody keeps their hours."""


class Played(NamedTuple):
    """One event of a recording, the language of its text, and the round it is played in."""

    event: Event
    language: str
    round: int = 0


class Copy:
    """One copy of a recording.

    Args:
        number: of the copy; every name in it ends with it.
        wording: its words, by round.
        shift_ms: how much later it happens.
    """

    def __init__(self, number: int, wording: Callable[[int], Wording], shift_ms: int) -> None:
        self._suffix = f"c{number:03}"
        self._wording = wording
        self.shift_ms = shift_ms

    def name(self, name: str) -> str:
        """An account or campaign of this copy; "" stays "" (nobody)."""
        return name + self._suffix if name else ""

    def record(self, played: Played) -> bytes:
        """The JSON line of this copy's version of an event, without line end."""
        event, language, turn = played
        part = self._suffix + (f"r{turn}" if turn else "")
        wording = self._wording(turn)

        def renamed(name: str) -> str:
            return name + part if name else ""

        def link(url: str) -> str:  # on a site of its own: neither the link nor its domain is another copy's
            scheme, mark, rest = url.partition("://")
            return f"{scheme}://{part}.{rest}" if mark else f"{part}.{url}"

        fields: dict[str, Any] = {
            "id": renamed(event.id),
            "account": self.name(event.account),
            "at": format_time(event.at + self.shift_ms),
            "kind": event.kind.name.lower(),
            "text": wording.text(language, event.text, link, renamed) if event.text else "",
            "lang": event.lang,
            "target": renamed(event.target),
            "target_account": self.name(event.target_account),
            "mentions": [self.name(name) for name in event.mentions],
            "urls": [link(url) for url in event.urls],
            "hashtags": [renamed(tag) for tag in event.hashtags],
        }
        if event.profile is not None:
            profile = msgspec.to_builtins(event.profile)
            for field in ("name", "bio", "location"):
                if profile[field]:
                    profile[field] = self._wording(0).text("", profile[field], link, renamed)
            fields["profile"] = {field: value for field, value in profile.items() if value is not None}
        return msgspec.json.encode({field: value for field, value in fields.items() if value not in ("", [])})


def make_copies(vocabulary: Vocabulary, copies: int, seed: int, spread_ms: int, share: float) -> list[Copy]:
    """Copies 0 to `copies` - 1; copy 0 starts with the recording."""
    rng = random.Random(seed)
    shifts = [0, *(rng.randrange(spread_ms + 1) for _ in range(copies - 1))]

    def wording(number: int, turn: int) -> Wording:
        return Wording(vocabulary, f"{seed}/{number}/{turn}", share)

    return [Copy(number, partial(wording, number), shift) for number, shift in enumerate(shifts)]


def overlay(events: Iterable[Played], copies: list[Copy]) -> Iterator[bytes]:
    """The records of all copies in order of time, if `events` are; events of one time by the number of their copy.

    Memory: the events within the spread of the copies.
    """
    source = iter(events)
    window: deque[Played] = deque()
    first = 0  # index of window[0] in the recording
    slowest = max(range(len(copies)), key=lambda number: (copies[number].shift_ms, number))

    def at(index: int) -> Played | None:
        while index - first >= len(window):
            item = next(source, None)
            if item is None:
                return None
            window.append(item)
        return window[index - first]

    heap: list[tuple[int, int, int]] = []
    begin = at(0)
    if begin is not None:
        heap = [(begin.event.at + copy.shift_ms, number, 0) for number, copy in enumerate(copies)]
        heapq.heapify(heap)
    while heap:
        _, number, index = heap[0]
        yield copies[number].record(window[index - first])
        following = at(index + 1)
        if following is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (following.event.at + copies[number].shift_ms, number, index + 1))
        if number == slowest:
            window.popleft()
            first += 1


def read_events(paths: list[Path], detect: Callable[[str], str] = detect_language) -> Iterator[Played]:
    """The valid events of some recordings; dead records are left out.

    The far future counts as now: what is measured must not depend on today.
    """
    with Inputs(paths) as inputs:
        for record in inputs:
            try:
                event = parse(record.value, now_ms=_FAR_FUTURE_MS)
            except EventError:
                continue
            yield Played(event, event.lang or (detect(event.text) if event.text else ""))


def rounds(play: Callable[[], Iterator[Played]], count: int) -> Iterator[Played]:
    """`count` times the same recording, each round the fewest whole days later that keep it behind the one before."""
    first, last, period = -1, -1, 0
    for turn in range(count):
        for event, language, _ in play():
            if turn == 0:
                first, last = (event.at if first < 0 else first), max(last, event.at)
            yield Played(msgspec.structs.replace(event, at=event.at + turn * period), language, turn)
        period = (last - first) // DAY_MS * DAY_MS + DAY_MS


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
    parser = argparse.ArgumentParser(prog="python -m streaming.loadtest", description=__doc__)
    parser.add_argument("--input", type=Path, action="append", required=True, help="recording; read twice, so no pipe")
    parser.add_argument("--output", type=Path, help="JSON lines; standard output unless given")
    parser.add_argument("--copies", type=int, default=160, help="how many (160)")
    parser.add_argument("--rounds", type=int, default=1, help="how often the recording is played, one after another")
    parser.add_argument("--seed", type=int, default=0, help="of wording and start times (0)")
    parser.add_argument("--share", type=float, default=SHARE, help=f"share of words replaced ({SHARE})")
    parser.add_argument("--spread-s", type=int, default=SPREAD_MS // 1000, help="copies start within it (3600)")
    parser.add_argument("--truth", type=Path, help="truth of the recording: JSON lines with `account`, `campaign`")
    parser.add_argument("--truth-output", type=Path, help="where the truth of all copies goes")
    options = parser.parse_args(argv)
    try:
        if min(options.copies, options.rounds) < 1 or options.spread_s < 0 or not 0 <= options.share <= 1:
            raise UsageError("--copies and --rounds must be at least 1, --spread-s at least 0, --share from 0 to 1")
        if (options.truth is None) != (options.truth_output is None):
            raise UsageError("--truth and --truth-output go together")
        vocabulary = Vocabulary((one.language, one.event.text) for one in read_events(options.input))
        copies = make_copies(vocabulary, options.copies, options.seed, options.spread_s * 1000, options.share)
        with ExitStack() as stack:
            if options.truth is not None:
                copy_truth(options.truth, copies, stack.enter_context(options.truth_output.open("wb")))
            out = sys.stdout.buffer
            if options.output is not None:
                out = stack.enter_context(options.output.open("wb"))
            for record in overlay(rounds(lambda: read_events(options.input), options.rounds), copies):
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
