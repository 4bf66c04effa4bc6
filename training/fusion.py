"""The shipped thresholds: which people they rest on, and the card that says so."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

import pandas as pd

from detector.account import model as account_files
from detector.bundle import GRAPH
from detector.text import cheap, minilm
from detector.thresholds import NAME, Thresholds
from training.accounts import chat_people, read_truth
from training.calibration import calibrate, calibrates, preliminary, write_recording
from training.cards import rows as table
from training.learning import POPULATION, known_texts
from training.system import copy_parts

TARGETS: Final = (0.1, 0.05, 0.02, 0.01, 0.005)
"""Rates whose thresholds the card prints, where the people support them."""

ACTIVITIES: Final = ((1, "one text a day"), (5, "5 texts a day"), (20, "20 texts a day"), (100, "100 texts a day"))
"""Texts a day at which the card says how often a person is flagged in a year."""

DAYS: Final = 365

CARD: Final = {
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
        models: with text, account, and perhaps expert and graph; their thresholds, if any, are not used.
        out: where the bundle is written.
        work: folder for intermediate files.
        table: what the text models were trained on: its authors calibrate nothing.
        left_out: people of the stream that must not calibrate (a fold's).
    """
    work.mkdir(parents=True, exist_ok=True)
    bundle = work / "bundle"
    copy_parts(models, bundle, (cheap.FILE, minilm.FILE, account_files.NAME, GRAPH))
    preliminary().save(bundle)
    chat = work / "chat.jsonl"
    write_recording(chat_people("calibrate", known_texts(table)), chat)
    streams = data / "streams"
    truth = read_truth(streams / "contest-dev.truth.jsonl")
    recordings = {
        POPULATION: (streams / "contest-dev.jsonl.gz", calibrates(truth, left_out)),
        "chat": (chat, lambda name: True),
    }
    made = calibrate(bundle, out, recordings, work, {"people": CARD})
    (out / f"{NAME}.card.md").write_text(thresholds_card(made), encoding="utf-8")
    return made


def thresholds_card(made: Thresholds) -> str:
    """The card of thresholds."""
    populations: Mapping[str, Mapping[str, Any]] = made.card["populations"]
    who: Mapping[str, str] = made.card.get("people", {})
    people = [
        [
            name,
            str(about["people"]),
            f"{about['texts_median']:g}",
            ", ".join(f"{tag} {count}" for tag, count in about["languages"].items()),
            who.get(name, ""),
        ]
        for name, about in sorted(populations.items())
    ]
    supported = [target for target in TARGETS if target >= made.finest_fpr]
    rates = []
    for target in supported:
        low, high = made.interval(target)
        rates.append([f"{target:g}", f"{made.threshold(target):.3f}", f"{100 * low:.2f}% to {100 * high:.2f}%"])
    yearly = [
        [words, f"{DAYS * daily / made.horizon_posts:.1f}"]
        + [f"{min(DAYS * daily / made.horizon_posts * target, 1.0):.3f}" for target in supported]
        for daily, words in ACTIVITIES
    ]
    return f"""# {made.name}@{made.version}: conformal thresholds on `total`

An account is flagged when its total passes the threshold at any look. Of people like those below, at most the target
rate is ever flagged within {made.horizon_posts} texts: thresholds are order statistics of {made.people} people's
running maxima of the shipped system's own total, all parts together, looked at after every post.

- Languages calibrated: {", ".join(sorted(made.languages))}. Accounts that write mainly in others are only ranked.
- Horizon: {made.horizon_posts} texts, the most that a hundred calibration people reach; then the clock begins anew.
- No total exceeds {made.cap_nats:.2f} nats, log(n + 1) of these people. The finest rate is {made.finest_fpr:.4f}.
- Of the populations large enough for a rate, the one with the highest threshold sets it.

## The people

{table(["population", "people", "texts each (median)", "languages", "who"], people)}

None of them had a part in training any model. The rate holds for people like these: language, platform, activity. It is
marginal over people: for the most active of them it is higher, for the others lower.

## Thresholds

{table(["target_fpr", "threshold (nats)", "realised rate, 95% band over the draw of people"], rates)}

## False flags per person and year

Upper bounds, each stretch of {made.horizon_posts} texts taken as a new chance at the target rate, and never above 1.

{table(["activity", "stretches a year", *(f"at {target:g}" for target in supported)], yearly)}

## Where it fails

Other platforms, older or more careful writers, newsrooms, and people who have a model polish their posts: their totals
lie higher, and more of them are flagged than the target says. `swarmlight calibrate` builds thresholds from the people
of a platform.
"""
