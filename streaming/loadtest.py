"""Load generator: many copies of a recording laid over each other, for measuring speed and memory.

`python -m streaming.loadtest` writes them. Each copy has its own accounts, events, links and tags, its texts in other
words, and a start a little later than the recording's, drawn for it. So the copies share no object and hardly a run of
three words, and what the recording holds (campaigns, bursts, near-duplicates) each copy holds too. In further rounds,
one after another, the accounts of a copy stay and everything else is new: the stream gets longer, the number of live
accounts does not. Memory follows the vocabulary of the recording and the events within the spread of the copies.

The words of a copy are a permutation, worked out by arithmetic without a table, among words of the same stream,
language, length and case that are about as common. Within a copy a word always becomes the same word, so texts stay as
much alike as they were.
"""

from __future__ import annotations

import hashlib
import heapq
import random
import re
import sys
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from math import gcd
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, NamedTuple

import msgspec
import typer

from detector.errors import EventError, UsageError
from detector.text.tokenize import detect_language
from detector.times import format_time
from streaming.cli import run_function
from streaming.schema import entities
from streaming.schema.event import Event, parse
from streaming.sources.files import RecordingFiles

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
        """What a word becomes in a copy.

        Args:
            language: of the text, BCP 47.
            word: as it is in the text.
            key: of the copy.
            share: of the words that are replaced.

        Returns:
            `word` itself where it is unknown or among those that stay.
        """
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


class LoadTestText:
    """The words of one copy's texts.

    Args:
        vocabulary: of the stream.
        name: of the copy; another name gives other words.
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
        """A text in other words; spaces and punctuation stay.

        Args:
            language: of the text, BCP 47.
            text: of the recording.
            links: gives what a link becomes.
            names: gives what a tag or a mention becomes.
        """
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
        load_test_text: the words of its texts, by round.
        shift_ms: how much later it happens.
    """

    def __init__(self, number: int, load_test_text: Callable[[int], LoadTestText], shift_ms: int) -> None:
        self._suffix = f"c{number:03}"
        self._load_test_text = load_test_text
        self.shift_ms = shift_ms

    def name(self, name: str) -> str:
        """An account or campaign of this copy; "" stays "" (nobody)."""
        return name + self._suffix if name else ""

    def record(self, played: Played) -> bytes:
        """The JSON line of this copy's version of an event, without line end."""
        event, language, turn = played
        part = self._suffix + (f"r{turn}" if turn else "")
        load_test_text = self._load_test_text(turn)

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
            "text": load_test_text.text(language, event.text, link, renamed) if event.text else "",
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
                    profile[field] = self._load_test_text(0).text("", profile[field], link, renamed)
            fields["profile"] = {field: value for field, value in profile.items() if value is not None}
        return msgspec.json.encode({field: value for field, value in fields.items() if value not in ("", [])})


def make_copies(vocabulary: Vocabulary, copies: int, seed: int, spread_ms: int, share: float) -> list[Copy]:
    """Copies 0 to `copies` - 1; copy 0 starts with the recording.

    Args:
        vocabulary: of the recording.
        copies: how many.
        seed: of words and start times.
        spread_ms: all start within it.
        share: of the words that are replaced.
    """
    rng = random.Random(seed)
    shifts = [0, *(rng.randrange(spread_ms + 1) for _ in range(copies - 1))]

    def load_test_text(number: int, turn: int) -> LoadTestText:
        return LoadTestText(vocabulary, f"{seed}/{number}/{turn}", share)

    return [Copy(number, partial(load_test_text, number), shift) for number, shift in enumerate(shifts)]


def overlaid(events: Iterable[Played], copies: list[Copy]) -> Iterator[bytes]:
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
    with RecordingFiles(paths) as inputs:
        for record in inputs.by_time():
            try:
                event = parse(record.value, now_ms=_FAR_FUTURE_MS)
            except EventError:
                continue
            yield Played(event, event.lang or (detect(event.text) if event.text else ""))


def in_rounds(play: Callable[[], Iterator[Played]], count: int) -> Iterator[Played]:
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

    Args:
        truth: of the recording, JSON lines.
        copies: of the recording.
        out: gets one line for each line and copy.

    Raises:
        UsageError: the file is no JSON lines of objects with an `account`.
    """
    with RecordingFiles([truth]) as inputs:
        for record in inputs:
            try:
                row = msgspec.json.decode(record.value, type=dict[str, Any])
                account, campaign = str(row["account"]), row.get("campaign")
            except (msgspec.MsgspecError, KeyError, ValueError):
                raise UsageError(
                    f"{record.source} is no line of a truth file: write an object with `account`"
                ) from None
            for copy in copies:
                renamed = row | {"account": copy.name(account)}
                if campaign:
                    renamed["campaign"] = copy.name(str(campaign))
                out.write(msgspec.json.encode(renamed) + b"\n")


def load_test(
    inputs: Annotated[
        list[Path], typer.Option("--input", metavar="FILE", help="recording; read twice, so no pipe; repeatable")
    ],
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON lines; standard output unless given")
    ] = None,
    copies: Annotated[int, typer.Option(metavar="N", min=1, help="how many")] = 160,
    rounds: Annotated[
        int, typer.Option(metavar="N", min=1, help="how often the recording is played, one after another")
    ] = 1,
    seed: Annotated[int, typer.Option(metavar="N", help="of the words and the start times")] = 0,
    share: Annotated[float, typer.Option(metavar="SHARE", min=0, max=1, help="share of words replaced")] = SHARE,
    spread_s: Annotated[
        int, typer.Option(metavar="SECONDS", min=0, help="time within which all copies start")
    ] = SPREAD_MS // 1000,
    truth: Annotated[
        Path | None, typer.Option(metavar="FILE", help="truth of the recording: JSON lines with `account`, `campaign`")
    ] = None,
    truth_output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="where the truth of all copies goes")
    ] = None,
) -> int:
    """Write many copies of a recording, laid over each other in order of time.

    Each copy has its own accounts, links, tags and words, and starts a little later than the recording.

    Args:
        inputs: recordings.

    Raises:
        UsageError: an option cannot be used, or a file cannot be read or written.
    """
    if (truth is None) != (truth_output is None):
        raise UsageError("--truth and --truth-output go together")
    vocabulary = Vocabulary((one.language, one.event.text) for one in read_events(inputs))
    made = make_copies(vocabulary, copies, seed, spread_s * 1000, share)
    try:
        with ExitStack() as stack:
            if truth is not None and truth_output is not None:
                copy_truth(truth, made, stack.enter_context(truth_output.open("wb")))
            out = sys.stdout.buffer if output is None else stack.enter_context(output.open("wb"))
            for record in overlaid(in_rounds(lambda: read_events(inputs), rounds), made):
                out.write(record + b"\n")
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UsageError(
            f"cannot write {error.filename or 'standard output'}: {error.strerror}; name another file"
        ) from None
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run it as a program. Exit status 0, or 2 on unusable arguments or input."""
    return run_function(load_test, "python -m streaming.loadtest", argv)


if __name__ == "__main__":
    sys.exit(main())
