"""Conformal thresholds from people: the running maximum of the whole system's `total` of every calibration person.

`calibrate` runs recordings of people through a bundle and writes it again with their thresholds;
`shipped_thresholds` does so with the people that the shipped bundle rests on.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from detector.account import model as account_files
from detector.data_splits import Role, pseudonym, split_of
from detector.errors import UsageError
from detector.models import GRAPH
from detector.text import first_stage, second_stage
from detector.threshold_groups import Looks, cells
from detector.thresholds import HORIZON_PEOPLE, MIN_LANGUAGE_PEOPLE, NAME, TOTALS, Thresholds, quantiles_of
from streaming.assess import AssessSettings
from streaming.assess.outputs import Look
from streaming.ingest_cli import as_events
from training.account_data import RawEvents, chat_people, codes, read_stream, read_truth
from training.account_training_set import POPULATION, known_texts
from training.cards import thresholds_card
from training.populations import NO_TIME, POPULATIONS, is_there, population_people
from training.system import BUNDLE_FILES, copy_models, read_lines, run_system


@dataclass(frozen=True)
class Person:
    """One calibration person, look by look, and the language they write most.

    Args:
        looks: what was known at each look, in order.
        language: the main one of all texts.
    """

    looks: list[Look]
    language: str

    @property
    def texts(self) -> int:
        """Texts that gave evidence."""
        return self.looks[-1].texts

    @property
    def posts(self) -> int:
        """Posts with text."""
        return self.looks[-1].posts

    def within(self, horizon: int, min_texts: int = 1) -> list[Look]:
        """The looks that could flag: at enough texts, and at no more posts than the horizon has."""
        return [look for look in self.looks if look.posts <= horizon and look.texts >= min_texts]

    def maximum(self, horizon: int, min_texts: int = 1) -> float:
        """Highest total at a look that could flag; minus infinity where none could."""
        return max((look.total for look in self.within(horizon, min_texts)), default=-np.inf)


def read_people(path: Path, chosen: Callable[[str], bool]) -> dict[str, Person]:
    """The people of a trajectories file (`swarmlight run --trajectories`) that are `chosen`.

    Accounts none of whose texts gave evidence are left out: nothing could flag them.
    """
    looks: defaultdict[str, list[Look]] = defaultdict(list)
    for line in read_lines(path):
        look = Look(*line)
        if chosen(look.account) and look.language:
            looks[look.account].append(look)
    return {name: Person(each, each[-1].language) for name, each in looks.items()}


def looks_of(people: Iterable[Person], horizon: int, min_texts: int) -> Looks:
    """The highest total of each person in every group they were in, of the people who could be flagged at all.

    Args:
        people: to be numbered in this order.
        horizon: posts after which looks no longer count.
        min_texts: texts with evidence before which they do not count yet.
    """
    highest: dict[tuple[int, str, int], float] = {}
    number = 0
    for person in people:
        looks = person.within(horizon, min_texts)
        if not looks:
            continue
        log_words = np.array([look.log_words for look in looks])
        for look, cell in zip(looks, cells(log_words, np.array([look.texts for look in looks])).tolist(), strict=True):
            key = (number, look.language, cell)
            highest[key] = max(highest.get(key, -np.inf), look.total)
        number += 1
    return Looks(
        np.array([person for person, _, _ in highest], np.int64),
        codes([language for _, language, _ in highest]),
        np.array([cell for _, _, cell in highest], np.int64),
        np.array(list(highest.values()), np.float64),
    )


def horizon_of(people: Iterable[Person]) -> int:
    """The largest number of texts that `HORIZON_PEOPLE` people reach; all that anybody has where there are fewer."""
    reached = sorted((person.posts for person in people), reverse=True)
    if not reached:
        raise UsageError("no calibration person has a text that gives evidence: nothing to calibrate on")
    return reached[min(HORIZON_PEOPLE, len(reached)) - 1]


def thresholds_of(
    populations: Mapping[str, Mapping[str, Person]], card: Mapping[str, Any], min_texts: int = 1
) -> Thresholds:
    """Thresholds from the people of each population, with what the card needs to say of them.

    Args:
        populations: name -> its people by account.
        card: what to say of them.
        min_texts: texts with evidence from which on an account may be flagged; people with fewer calibrate nothing.

    Raises:
        UsageError: nobody has that many texts, or no language has enough people.
    """
    populations = {
        name: {account: person for account, person in people.items() if person.texts >= min_texts}
        for name, people in populations.items()
    }
    everyone = [person for people in populations.values() for person in people.values()]
    horizon = max(horizon_of(everyone), min_texts)
    looks = {name: looks_of(people.values(), horizon, min_texts) for name, people in populations.items()}
    maxima = {name: each.maxima().tolist() for name, each in looks.items() if each.people}
    counts = Counter(person.language for person in everyone)
    languages = frozenset(tag for tag, count in counts.items() if count >= MIN_LANGUAGE_PEOPLE)
    if not languages:
        raise UsageError(
            f"no language has {MIN_LANGUAGE_PEOPLE} calibration people ({dict(counts.most_common(3))}): "
            "more people are needed before anybody may be flagged"
        )
    described = {
        **card,
        TOTALS: quantiles_of([person.looks[-1].total for person in everyone]),
        "populations": {
            name: {
                "people": len(people),
                "texts": sum(person.posts for person in people.values()),
                "texts_median": float(np.median([person.posts for person in people.values()])),
                "languages": dict(Counter(person.language for person in people.values()).most_common()),
            }
            for name, people in populations.items()
            if people
        },
    }
    digest = sha256(json.dumps([maxima, min_texts], sort_keys=True).encode()).hexdigest()[:8]
    return Thresholds.of(maxima, horizon, languages, f"2.{digest}", described, looks=looks, min_texts=min_texts)


Recorded = tuple[Path, Callable[[str], bool]]
"""A recording, and which of its accounts count."""


def calibrate(
    models: Path,
    out: Path,
    recordings: Mapping[str, Recorded],
    work: Path,
    card: Mapping[str, Any],
) -> Thresholds:
    """Write a models directory whose thresholds come from people in recordings.

    Args:
        models: bundle to calibrate; its own thresholds say which texts the second stage reads in the first round.
        out: where the calibrated bundle is written.
        recordings: population -> (recording, which of its accounts are calibration people).
        work: folder for intermediate files.
        card: what to say of the people.

    Raises:
        UsageError: a recording cannot be read, or nobody in it gives evidence.
    """
    work.mkdir(parents=True, exist_ok=True)
    copy_models(models, out, BUNDLE_FILES)
    made = Thresholds.load(out)
    least = AssessSettings().min_texts
    # Twice: how many people there are bounds every total, and whom the second stage reads depends on the thresholds.
    for _ in range(2):
        populations = {}
        for name, (recording, chosen) in recordings.items():
            path = work / f"{name}.trajectories"
            run_system([recording], out, trajectories=path)
            populations[name] = read_people(path, chosen)
        made = thresholds_of(populations, card, least)
        made.save(out)
    return made


def calibrate_on(recording: Path, out: Path, models: Path, format_name: str) -> Thresholds:
    """Write a models directory whose thresholds come from the people of a recording, with its card.

    Args:
        recording: of people alone.
        out: where the calibrated bundle is written.
        models: bundle to calibrate.
        format_name: of the recording.

    Raises:
        UsageError: the recording cannot be read, or there are too few people in it.
    """
    with TemporaryDirectory() as work:
        events = as_events(recording, format_name, Path(work) / "recording")
        card = {"people": {"people": "people given to `swarmlight calibrate`"}}
        made = calibrate(models, out, {"people": (events, lambda name: True)}, Path(work), card)
    (out / f"{NAME}.card.md").write_text(thresholds_card(made), encoding="utf-8")
    return made


def write_recording(raw: RawEvents, path: Path) -> None:
    """Write events as a recording that `swarmlight run` reads."""
    with path.open("w", encoding="utf-8") as file:
        for i, account in enumerate(raw.account.tolist()):
            at = datetime.fromtimestamp(int(raw.at_ms[i]) / 1000, UTC).isoformat(timespec="milliseconds")
            event = {"id": f"e{i}", "account": raw.names[account], "at": at, "kind": "post", "text": raw.texts[i]}
            file.write(json.dumps({**event, "lang": raw.langs[i] or None}) + "\n")


def calibrates(truth: Mapping[str, Mapping[str, Any]], left_out: Collection[str] = ()) -> Callable[[str], bool]:
    """Which accounts of the labelled stream calibrate: its people that do not train, but for those `left_out`.

    The demo shows nobody of that stream, so those it might have shown calibrate too: the rate of 1% needs them.
    """
    people = {name for name, record in truth.items() if record["label"] == 0 and split_of(POPULATION, name) != "train"}
    return people.difference(left_out).__contains__


RECORDED: Final = ("irc", "sms", "climate")
"""Populations of `training.populations` that calibrate. Bags do not: texts of several people vary less from bag to bag
than people do, so a bag passes for a more ordinary person than anybody is. Chinese text messages cannot: the text model
reads no Chinese. Nor do essays: cut into posts they are no account of a platform, stand far above every other
population, and would set the threshold of whoever writes at length; the audit measures them."""


def population_recording(people: pd.DataFrame, pauses_ms: NDArray[np.int64], path: Path) -> None:
    """Write people as a recording.

    Posts whose times are not known come after pauses of other people, drawn by a hash of the account, from one and the
    same hour on.

    Args:
        people: of `training.populations.population_people`, in order of time by author.
        pauses_ms: pauses between posts of people whose times are known.
        path: the file.
    """
    events: list[tuple[int, str, str]] = []
    for (population, author), rows in people.groupby(["population", "author_id"], sort=True):
        name = account_of(str(population), str(author))
        times = rows["at_ms"].to_numpy(np.int64)
        if (times == NO_TIME).any():
            rng = np.random.default_rng(int(pseudonym(name), 16))
            times = _EPOCH_MS + np.cumsum(rng.choice(pauses_ms, len(times)))
        events += zip(times.tolist(), [name] * len(times), rows["text"], strict=True)
    events.sort()
    with path.open("w", encoding="utf-8") as file:
        for number, (at_ms, name, text) in enumerate(events):
            at = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
            event = {"id": f"e{number}", "account": name, "at": at, "kind": "post", "text": text}
            file.write(json.dumps(event) + "\n")


def account_of(population: str, author: str) -> str:
    """The account of a person in a recording; it does not show who it is."""
    return f"{population}/{pseudonym(author)}"


_EPOCH_MS: Final = 1_711_929_600_000
"""1 April 2024, UTC: when posts without times begin."""


def pauses_of(raw: RawEvents, chosen: Callable[[str], bool]) -> NDArray[np.int64]:
    """Pauses (ms) between posts of the chosen accounts, sorted."""
    account, at_ms = raw.account, raw.at_ms
    order = np.lexsort((at_ms, account))
    same = account[order][1:] == account[order][:-1]
    kept = np.array([chosen(name) for name in raw.names])[account[order][1:]]
    pauses: NDArray[np.int64] = np.sort(np.diff(at_ms[order])[same & kept])
    return pauses


PRELIMINARY: Final = 200
"""People that thresholds which calibrate nothing pretend to: a bundle needs some before its first run."""


def preliminary() -> Thresholds:
    """Thresholds that only say which texts the second stage reads at first: of people around -2 nats, up to +2."""
    return Thresholds.of({"nobody": list(np.linspace(-6.0, 2.0, PRELIMINARY))}, 1, frozenset({"en"}), "0-preliminary")


POPULATIONS_CARD: Final = {
    "contest": "people of the contest's stream (real posts of March 2024, English and French) who train nothing",
    "chat": "people of chitchat-dataset (MIT, 2018, English) whose role is to calibrate, none of whose messages is in "
    "the text sets",
    **{each.name: each.about for each in POPULATIONS if each.name in RECORDED},
}


def shipped_thresholds(
    data: Path, models: Path, out: Path, work: Path, table: pd.DataFrame, *, left_out: Collection[str] = ()
) -> Thresholds:
    """Calibrate the models in `models` on the shipped calibration people and write the bundle into `out`.

    Args:
        data: folder with `streams/contest-dev.*`.
        models: with text and account, perhaps a second stage and a graph; their thresholds, if any, are not used.
        out: where the bundle is written.
        work: folder for intermediate files.
        table: what the text models were trained on: its authors calibrate nothing.
        left_out: people of the stream that must not calibrate (a fold's).
    """
    work.mkdir(parents=True, exist_ok=True)
    bundle = work / "bundle"
    copy_models(models, bundle, (first_stage.FILE, first_stage.FAMILIES, second_stage.FILE, account_files.NAME, GRAPH))
    preliminary().save(bundle)
    recordings = calibration_recordings(data, work, table, left_out=left_out)
    made = calibrate(bundle, out, recordings, work, {"people": POPULATIONS_CARD})
    (out / f"{NAME}.card.md").write_text(thresholds_card(made), encoding="utf-8")
    return made


def calibration_recordings(
    data: Path, work: Path, table: pd.DataFrame, *, left_out: Collection[str] = (), role: Role = "calibrate"
) -> dict[str, Recorded]:
    """Recordings of the populations that calibrate: name -> (recording, which of its accounts count).

    Args:
        data: folder with `text/` and `streams/contest-dev.*`.
        work: folder in which recordings are written.
        table: what the text models were trained on: its authors are left out.
        left_out: people of the stream that must not calibrate.
        role: whose people; of the stream always those who calibrate.
    """
    known = known_texts(table)
    streams = data / "streams"
    truth = read_truth(streams / "contest-dev.truth.jsonl")
    recordings: dict[str, Recorded] = {
        POPULATION: (streams / "contest-dev.jsonl.gz", calibrates(truth, left_out)),
    }
    if role != "measure":  # of chat those who would measure are the demo's
        chat = work / "chat.jsonl"
        write_recording(chat_people(role, known), chat)
        recordings["chat"] = (chat, _everybody)
    trains = {name for name, record in truth.items() if record["label"] == 0}.difference(left_out)
    pauses = pauses_of(read_stream(streams / "contest-dev.jsonl.gz"), trains.__contains__)
    for name in (each.name for each in POPULATIONS if each.name in RECORDED and is_there(data, each)):
        people = population_people(data, role, names=[name], known_texts=known)
        people = people[people.groupby("author_id")["text"].transform("size") >= AssessSettings().min_texts]
        if len(people):
            population_recording(people, pauses, work / f"{name}.jsonl")
            recordings[name] = (work / f"{name}.jsonl", _everybody)
    return recordings


def _everybody(name: str) -> bool:
    return True
