"""Whether the posts that an alert quotes are what flagged the account: flags without them, and without as many others.

Every account is judged by its own posts: coordination and graph are left out and every text is read by the second
stage, so that nothing depends on who else is there. Posts are removed in the order in which the alert quotes them, the
most machine-like first, until the account would not have been flagged; as many drawn at random are the control.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from detector.errors import UsageError
from detector.models import Models
from streaming.config import load_config
from streaming.pipeline import run_recording
from streaming.sources.files import RecordingFiles
from training.metrics import share_interval
from training.reading_budget import UNLIMITED, RememberingSecondStage
from training.studies.judged import ALONE, markdown

STEPS: Final = (1, 2, 3, 4, 5, 6, 7, 8)
"""Quoted posts that are removed, until the flag is undone; at most eight are kept of an account."""

REFERRED: Final = 5
"""Posts that the reason in the alert refers to."""

DRAWS: Final = 3
"""Random removals of each account."""

Events = dict[str, list[dict[str, Any]]]


class FlagJudge:
    """Flags of accounts by their events.

    Args:
        models: loaded; what their second stage has read is remembered.
        scratch: folder for files.
    """

    def __init__(self, models: Models, scratch: Path) -> None:
        reader = models.second_stage
        self._models = models if reader is None else replace(models, second_stage=RememberingSecondStage(reader))
        self._scratch = scratch

    def flagged(self, events: Events) -> dict[str, list[str]]:
        """The accounts that are flagged, each with the ids of the posts that its alert quotes.

        Args:
            events: of accounts, by name.
        """
        recording, alerts, scores = (self._scratch / f"study.{name}" for name in ("jsonl", "alerts", "scores"))
        rows = sorted((event for mine in events.values() for event in mine), key=lambda event: str(event["at"]))
        recording.write_text("".join(json.dumps(event) + "\n" for event in rows), encoding="utf-8")
        run_recording(
            [recording], config=load_config(None, UNLIMITED | NO_LIMIT), models=self._models, without=ALONE,
            alerts=alerts, scores=scores, keep=False,
        )  # fmt: skip
        quoted: dict[str, list[str]] = {}
        for line in alerts.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            if record["kind"] == "account" and record["posts"]:
                quoted[record["members"][0]["account"]] = [post["id"] for post in record["posts"]]
        # A flag once raised is no more taken back by the end: that is what counts, as in the scores.
        on = {
            row["account"] for row in map(json.loads, scores.read_text(encoding="utf-8").splitlines()) if row["flagged"]
        }
        return {name: quoted.get(name, []) for name in sorted(on)}


NO_LIMIT: Final = {"SWARMLIGHT_MAX_ALERTS_PER_DAY": "100000"}
"""Every flagged account has its alert."""


def read_events(stream: Path) -> Events:
    """The events of a recording by account.

    Raises:
        UsageError: it cannot be read.
    """
    found: Events = {}
    with RecordingFiles([stream]) as records:
        for record in records:
            event = json.loads(record.value)
            found.setdefault(str(event["account"]), []).append(event)
    return found


def without_posts(events: Events, removed: Mapping[str, Sequence[str]]) -> Events:
    """Events of the accounts named, but for the posts removed of each."""
    return {
        name: [event for event in events[name] if str(event["id"]) not in set(ids)] for name, ids in removed.items()
    }


def cited_posts(stream: Path, truth: Mapping[str, Mapping[str, Any]], models: Models, seed: int = 0) -> str:
    """The table as Markdown: flags undone by removing quoted posts, and as many others.

    Args:
        stream: recording, with a line of JSON for each event.
        truth: account -> its record.
        models: loaded.
        seed: of the random removals.

    Raises:
        UsageError: nobody is flagged.
    """
    rng = np.random.default_rng(seed)
    with TemporaryDirectory() as scratch:
        judge = FlagJudge(models, Path(scratch))
        events = read_events(stream)
        flagged = judge.flagged(events)
        flagged = {name: quoted for name, quoted in flagged.items() if name in truth and quoted}
        if not flagged:
            raise UsageError(f"{stream}: nobody is flagged by text and behaviour, so there is nothing to explain")
        texts = {name: [str(e["id"]) for e in events[name] if e.get("text")] for name in flagged}

        def undone(removed: Mapping[str, Sequence[str]]) -> set[str]:
            return set(removed) - set(judge.flagged(without_posts(events, removed)))

        enough: dict[str, int] = {}
        for step in STEPS:
            left = {name: quoted[:step] for name, quoted in flagged.items() if name not in enough}
            if not left:
                break
            enough |= {name: len(left[name]) for name in undone(left)}
        needed = {name: enough.get(name, min(len(flagged[name]), STEPS[-1])) for name in flagged}
        lines = [
            _line("what was needed of the quoted, the strongest first", needed, texts, [set(enough)]),
            _line("as many at random", needed, texts, [undone(_drawn(texts, needed, rng)) for _ in range(DRAWS)]),
        ]
        few = {name: min(REFERRED, len(quoted)) for name, quoted in flagged.items()}
        cited = undone({name: quoted[:REFERRED] for name, quoted in flagged.items()})
        lines += [
            _line(f"the first {REFERRED} quoted, which the reason refers to", few, texts, [cited]),
            _line("as many at random", few, texts, [undone(_drawn(texts, few, rng)) for _ in range(DRAWS)]),
        ]
    machines = sum(int(truth[name]["label"]) for name in flagged)
    header = ("removed", "posts (median)", "of an account's", "flags undone (95%)")
    said = f"{len(flagged)} accounts are flagged, {machines} of them machines."
    return f"{said}\n\n{markdown(header, lines)}"


def _drawn(
    texts: Mapping[str, Sequence[str]], count: Mapping[str, int], rng: np.random.Generator
) -> dict[str, list[str]]:
    return {name: [texts[name][place] for place in rng.permutation(len(texts[name]))[: count[name]]] for name in count}


def _line(
    name: str, count: Mapping[str, int], texts: Mapping[str, Sequence[str]], undone: Sequence[set[str]]
) -> list[str]:
    """A row: how much was removed, and the mean share of flags undone with the interval of one removal."""
    share = float(np.mean([len(each) for each in undone])) / len(count)
    low, high = share_interval(round(share * len(count)), len(count))
    part = float(np.median([count[each] / max(len(texts[each]), 1) for each in count]))
    middle = float(np.median(list(count.values())))
    return [name, f"{middle:g}", f"{100 * part:.0f}%", f"{100 * share:.0f}% ({100 * low:.0f} to {100 * high:.0f})"]
