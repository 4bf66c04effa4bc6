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
from typing import Any, Final

import numpy as np
import pandas as pd

from detector.account import model as account_files
from detector.data_splits import split_of
from detector.errors import UsageError
from detector.models import GRAPH
from detector.text import first_stage, second_stage
from detector.thresholds import HORIZON_PEOPLE, MIN_LANGUAGE_PEOPLE, NAME, TOTALS, Thresholds, quantiles_of
from training.account_data import RawEvents, chat_people, read_truth
from training.account_training_set import POPULATION, known_texts
from training.cards import thresholds_card
from training.system import BUNDLE_FILES, copy_models, read_lines, run_system


@dataclass(frozen=True)
class Person:
    """One calibration person: texts so far and total after each post, in order, and the language they write most."""

    texts: list[int]
    totals: list[float]
    language: str

    def maximum(self, horizon: int) -> float:
        """Running maximum of the total over the first `horizon` texts."""
        return max(total for texts, total in zip(self.texts, self.totals, strict=True) if texts <= horizon)


def read_people(path: Path, chosen: Callable[[str], bool]) -> dict[str, Person]:
    """The people of a trajectories file (`swarmlight run --trajectories`) that are `chosen`.

    Accounts none of whose texts gave evidence are left out: nothing could flag them.
    """
    texts: defaultdict[str, list[int]] = defaultdict(list)
    totals: defaultdict[str, list[float]] = defaultdict(list)
    language: dict[str, str] = {}
    for account, count, total, tag in read_lines(path):
        if chosen(account) and tag:
            texts[account].append(int(count))
            totals[account].append(float(total))
            language[account] = str(tag)
    return {name: Person(texts[name], totals[name], language[name]) for name in texts}


def horizon_of(people: Iterable[Person]) -> int:
    """The largest number of texts that `HORIZON_PEOPLE` people reach; all that anybody has where there are fewer."""
    reached = sorted((person.texts[-1] for person in people), reverse=True)
    if not reached:
        raise UsageError("no calibration person has a text that gives evidence: nothing to calibrate on")
    return reached[min(HORIZON_PEOPLE, len(reached)) - 1]


def thresholds_of(populations: Mapping[str, Mapping[str, Person]], card: Mapping[str, Any]) -> Thresholds:
    """Thresholds from the people of each population, with what the card needs to say of them."""
    everyone = [person for people in populations.values() for person in people.values()]
    horizon = horizon_of(everyone)
    maxima = {name: [person.maximum(horizon) for person in people.values()] for name, people in populations.items()}
    counts = Counter(person.language for person in everyone)
    languages = frozenset(tag for tag, count in counts.items() if count >= MIN_LANGUAGE_PEOPLE)
    if not languages:
        raise UsageError(
            f"no language has {MIN_LANGUAGE_PEOPLE} calibration people ({dict(counts.most_common(3))}): "
            "more people are needed before anybody may be flagged"
        )
    described = {
        **card,
        TOTALS: quantiles_of([person.totals[-1] for person in everyone]),
        "populations": {
            name: {
                "people": len(people),
                "texts": sum(person.texts[-1] for person in people.values()),
                "texts_median": float(np.median([person.texts[-1] for person in people.values()])),
                "languages": dict(Counter(person.language for person in people.values()).most_common()),
            }
            for name, people in populations.items()
            if people
        },
    }
    digest = sha256(json.dumps(maxima, sort_keys=True).encode()).hexdigest()[:8]
    return Thresholds.of(maxima, horizon, languages, f"1.{digest}", described)


def calibrate(
    models: Path,
    out: Path,
    recordings: Mapping[str, tuple[Path, Callable[[str], bool]]],
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
    # With a second stage, twice: whom it reads depends on the thresholds.
    for _ in range(2 if (out / f"{second_stage.FILE}.json").exists() else 1):
        populations = {}
        for name, (recording, chosen) in recordings.items():
            path = work / f"{name}.trajectories"
            run_system([recording], out, trajectories=path)
            populations[name] = read_people(path, chosen)
        made = thresholds_of(populations, card)
        made.save(out)
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


PRELIMINARY: Final = 200
"""People that thresholds which calibrate nothing pretend to: a bundle needs some before its first run."""


def preliminary() -> Thresholds:
    """Thresholds that only say which texts the second stage reads at first: of people around -2 nats, up to +2."""
    return Thresholds.of({"nobody": list(np.linspace(-6.0, 2.0, PRELIMINARY))}, 1, frozenset({"en"}), "0-preliminary")


POPULATIONS_CARD: Final = {
    "contest": "people of the contest's stream (real posts of March 2024, English and French) who train nothing",
    "chat": "people of chitchat-dataset (MIT, 2018, English) whose role is to calibrate, none of whose messages is in "
    "the text sets",
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
    copy_models(models, bundle, (first_stage.FILE, second_stage.FILE, account_files.NAME, GRAPH))
    preliminary().save(bundle)
    chat = work / "chat.jsonl"
    write_recording(chat_people("calibrate", known_texts(table)), chat)
    streams = data / "streams"
    truth = read_truth(streams / "contest-dev.truth.jsonl")
    recordings = {
        POPULATION: (streams / "contest-dev.jsonl.gz", calibrates(truth, left_out)),
        "chat": (chat, lambda name: True),
    }
    made = calibrate(bundle, out, recordings, work, {"people": POPULATIONS_CARD})
    (out / f"{NAME}.card.md").write_text(thresholds_card(made), encoding="utf-8")
    return made
