"""What the same-controller model learns from: every two suspects of simulated societies with texts, and the truth.

A society's events go through the first stage, the memory of traces and the encoder of meaning as in a run
(`read_society`); own evidence is drawn (`training.drawn_evidence`), since the shipped text models know some of the
texts. Who is a suspect follows from it, so that one society gives several examples (`examples`). A real operation is
read in the same way (`read_operation`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.account.features import language_code
from graph.narratives import VECTORS_KEPT
from graph.pair_model import PairFeatures, columns
from graph.search import Accounts, pair_features
from graph.trace_memory import TraceMemory
from graph.traces import BUILT_IN
from graph.wording import NEUTRAL, Wording
from streaming.assess.duplicates import SeenBefore
from streaming.assess.event_traces import observed_traces
from streaming.assess.meaning_reading import SUSPECT_NATS
from streaming.assess.store import AccountTable
from streaming.schema.observation import Kind, Observation
from streaming.score import Scorer
from streaming.sources.base import SourceRecord
from streaming.sources.files import RecordingFiles
from training.account_data import read_truth
from training.drawn_evidence import drawn_llr
from training.society_texts import SocietyFiles
from training.vector_cache import Meanings

VERSION: Final = 1
"""Of what `read_society` keeps beside a society."""

OPERATION: Final = "ira-dev"
"""The stream of a real operation, whose campaigns are the categories of its accounts."""

AT_ONCE: Final = 4096
"""Events that the first stage reads at once: their features are held beside the events."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Society:
    """k accounts of a society with everything they have in common; arrays of shape (k,) unless stated.

    Args:
        name: of the society.
        accounts: names, sorted.
        nats: surprise by kind, shape (kinds, k, k).
        wording: likeness of what they say, shape (k, k).
        posts: texts.
        language: codes.
        label: 1 = machine.
        campaign: number of the campaign, -1 for none.
        crowd: number of the organic crowd, -1 for none.
        family: tactics of the campaign, "" for none.
        texts: name of the pool of the account's texts.
        generator: what wrote them, "" where not known.
        known: whether the account is of a campaign that the model to be measured has learned from.
    """

    name: str
    accounts: list[str]
    nats: NDArray[np.float32]
    wording: NDArray[np.float32]
    posts: Ints
    language: Ints
    label: Ints
    campaign: Ints
    crowd: Ints
    family: list[str]
    texts: list[str]
    generator: list[str]
    known: Flags

    @property
    def compared(self) -> bool:
        """Whether anybody's texts were compared: those of the real operation are not."""
        return bool((self.wording != NEUTRAL).any())

    def without(self, gone: Flags) -> Society:
        """The society without some of its accounts; what stands around a post for its likeness stays as it was.

        Args:
            gone: whether an account is left out, shape (k,).
        """
        at = np.flatnonzero(~gone)
        rows = at.tolist()
        return replace(
            self, accounts=[self.accounts[n] for n in rows],
            nats=np.ascontiguousarray(self.nats[:, at][:, :, at]), wording=self.wording[np.ix_(at, at)],
            posts=self.posts[at], language=self.language[at], label=self.label[at], campaign=self.campaign[at],
            crowd=self.crowd[at], family=[self.family[n] for n in rows], texts=[self.texts[n] for n in rows],
            generator=[self.generator[n] for n in rows], known=self.known[at],
        )  # fmt: skip


def read_society(
    files: SocietyFiles, scorer: Scorer, encoder: Meanings | None, name: str, kept: Path | None = None
) -> Society:
    """Read a society, or what was kept of it.

    Args:
        files: its events, compressed or not, and truth.
        scorer: reads the texts' first-stage features, for nearly equal texts.
        encoder: of meaning; where None, no two accounts' texts are compared.
        name: of the society.
        kept: file for what is kept; beside the events where None.

    Raises:
        UsageError: a file cannot be read.
    """
    kept = kept or files.events.with_name("pairs.npz")
    truth = read_truth(files.truth)
    if kept.is_file():
        with np.load(kept, allow_pickle=False) as arrays:
            if int(arrays["version"]) == VERSION and arrays["nats"].shape[0] == len(BUILT_IN):
                return _society(
                    name, [str(each) for each in arrays["accounts"]], truth,
                    (arrays["nats"].astype(np.float32), arrays["wording"], arrays["posts"], arrays["language"]),
                )  # fmt: skip
    names, features, posts, language = _measured(files, scorer, encoder)
    # Half precision: three digits of a nat, a quarter of the room.
    np.savez_compressed(
        kept, version=VERSION, accounts=np.array(names), nats=features.nats.astype(np.float16),
        wording=features.wording, posts=posts, language=language,
    )  # fmt: skip
    return _society(name, names, truth, (features.nats.astype(np.float16).astype(np.float32), features.wording, posts,
                                         language))  # fmt: skip


def read_operation(data: Path, work: Path, scorer: Scorer) -> Society | None:
    """The real operation of a data folder, or what was kept of it; None where the folder lacks it.

    People wrote its texts, so nothing is learned from what they say. To the drawing of evidence its members are
    machines: what a campaign of machines does together is learned from them.

    Args:
        data: folder with `streams/`.
        work: folder for what is kept.
        scorer: as in `read_society`.

    Raises:
        UsageError: a file cannot be read.
    """
    stream = data / "streams"
    files = SocietyFiles(stream / f"{OPERATION}.jsonl.gz", stream / f"{OPERATION}.truth.jsonl")
    if not files.events.is_file() or not files.truth.is_file():
        return None
    (work / OPERATION).mkdir(parents=True, exist_ok=True)
    found = read_society(files, scorer, None, OPERATION, work / OPERATION / "pairs.npz")
    return replace(found, label=(found.campaign >= 0).astype(np.int64))


def _society(
    name: str,
    accounts: list[str],
    truth: dict[str, dict[str, object]],
    arrays: tuple[NDArray[np.float32], NDArray[np.float32], Ints, Ints],
) -> Society:
    rows = [truth.get(account, {}) for account in accounts]
    return Society(
        name, accounts, *arrays,
        np.array([int(str(row.get("label") or 0)) for row in rows], np.int64),
        _numbers([row.get("campaign") for row in rows]), _numbers([row.get("group") for row in rows]),
        [str(row.get("family") or "") for row in rows], [str(row.get("texts") or "") for row in rows],
        [str(row.get("generator") or "") for row in rows], np.zeros(len(rows), np.bool_),
    )  # fmt: skip


def _numbers(names: Sequence[object]) -> Ints:
    known = {name: n for n, name in enumerate(sorted({str(name) for name in names if name}))}
    return np.array([known[str(name)] if name else -1 for name in names], np.int64)


class Remembered(NamedTuple):
    """What is remembered after a recording, as a run would.

    Args:
        accounts: the account table, names alone.
        memory: traces of all accounts.
        texts: of accounts, by row.
        langs: of those texts.
        acts: number of events, by row.
        now_ms: just after the last event.
    """

    accounts: AccountTable
    memory: TraceMemory
    texts: dict[int, list[str]]
    langs: dict[int, list[str]]
    acts: dict[int, int]
    now_ms: int


def remembered(path: Path, scorer: Scorer) -> Remembered:
    """Read a recording into the memory of traces.

    Args:
        path: of the events.
        scorer: reads the texts' first-stage features, for nearly equal texts.

    Raises:
        UsageError: the file cannot be read.
    """
    accounts, seen, memory = AccountTable(), SeenBefore.begin(0), TraceMemory()
    texts: dict[int, list[str]] = defaultdict(list)
    langs: dict[int, list[str]] = defaultdict(list)
    acts: dict[int, int] = defaultdict(int)
    now = 0
    for number, event in enumerate(_observations(path, scorer)):
        row = accounts.row(event.account) if (found := accounts.find(event.account)) is None else found
        cluster = seen.texts.key(event.text_features, event.at, number) if event.text_features else None
        memory.add(list(observed_traces(event, row, accounts, cluster)))
        acts[row] += 1
        if event.text and event.kind in (Kind.POST, Kind.REPLY, Kind.QUOTE):
            texts[row].append(event.text)
            langs[row].append(event.lang)
        now = event.at + 1
    return Remembered(accounts, memory, texts, langs, acts, now)


def _measured(
    files: SocietyFiles, scorer: Scorer, encoder: Meanings | None
) -> tuple[list[str], PairFeatures, Ints, Ints]:
    accounts, memory, texts, langs, acts, now = remembered(files.events, scorer)
    # Where nobody's texts are compared, everybody counts, by all that they do.
    counts = acts if encoder is None else {row: len(each) for row, each in texts.items()}
    rows = np.array(sorted(counts, key=accounts.name), np.int64)
    view = memory.view(accounts.name, now, rows)
    place_of = {int(row): n for n, row in enumerate(view.rows.tolist())}
    posts = np.array([counts[row] for row in rows.tolist()], np.int64)
    language = np.array([_language(langs[row]) for row in rows.tolist()], np.int64)
    said = None
    if encoder is not None:
        newest = [texts[row][-VECTORS_KEPT:] for row in rows.tolist()]
        owner = np.repeat(np.arange(len(rows)), [len(each) for each in newest])
        said = Wording(owner, encoder.vectors([text for each in newest for text in each]), len(rows))
    places = np.array([place_of[row] for row in rows.tolist()], np.int64)
    everybody = Accounts(places, np.ones(len(rows), np.bool_), np.zeros(len(rows)), posts, language)
    features, _ = pair_features(view, everybody, said, now)
    return [accounts.name(row) for row in rows.tolist()], features, posts, language


def _language(langs: Sequence[str]) -> int:
    """Code of the language that most are in."""
    return language_code(max(sorted(set(langs)), key=langs.count, default=""))


def _observations(path: Path, scorer: Scorer) -> list[Observation]:
    found: list[Observation] = []
    with RecordingFiles([path]) as lines:
        records = [SourceRecord(offset, -1, line.value) for offset, line in enumerate(lines)]
    for start in range(0, len(records), AT_ONCE):
        observations, _ = scorer.score(records[start : start + AT_ONCE], 2**60)
        found += [each for each in observations if not each.dead]
    return sorted(found, key=lambda each: (each.at, each.account, each.id))


class Example(NamedTuple):
    """The suspects of a society under one draw of evidence.

    Args:
        society: whose.
        own: evidence of all k accounts, nats.
        suspects: places of n of them.
        a, b: places in `suspects` of every pair, a < b.
        x: the model's columns of every pair.
        y: whether they have the same controller.
        crowded: whether they are of one organic crowd.
        counted: whether they count when a model is measured: not both are of campaigns that it has learned from.
    """

    society: Society
    own: Floats
    suspects: Ints
    a: Ints
    b: Ints
    x: Floats
    y: Flags
    crowded: Flags
    counted: Flags


MOST_CROWDED: Final = 0.3
"""Chance that an organic crowd is taken for machines as a whole in a draw: text models accuse whole communities, whose
pairs are the hardest to tell from a campaign's."""

CROWD_SHIFT: Final = 1.5
"""Nats that such a crowd's evidence is raised by."""


def example(society: Society, rng: np.random.Generator) -> Example:
    """Draw evidence for a society's accounts.

    Args:
        society: whose.
        rng: of the draw.
    """
    own, _ = drawn_llr(society.label, society.campaign, society.crowd, rng)
    for number in range(int(society.crowd.max(initial=-1)) + 1):
        if rng.random() < MOST_CROWDED:
            own[(society.crowd == number) & (society.label == 0)] += CROWD_SHIFT
    suspects = np.flatnonzero((own > SUSPECT_NATS) & (society.posts > 0))
    a, b = np.triu_indices(len(suspects), 1)
    features = PairFeatures(society.nats, society.wording)
    x = columns(features, suspects[a], suspects[b])
    campaign = society.campaign[suspects]
    y = (campaign[a] == campaign[b]) & (campaign[a] >= 0)
    crowd, known = society.crowd[suspects], society.known[suspects]
    crowded = (crowd[a] == crowd[b]) & (crowd[a] >= 0)
    return Example(society, own, suspects, a, b, x, y, crowded, ~(known[a] & known[b]))


def examples(societies: Sequence[Society], draws: int, seed: int) -> Iterator[Example]:
    """Several draws of every society; those without a pair of suspects are left out.

    Args:
        societies: in order.
        draws: of each.
        seed: of all draws.
    """
    for number, society in enumerate(societies):
        for draw in range(draws):
            found = example(society, np.random.default_rng([seed, number, draw]))
            if len(found.y):
                yield found
