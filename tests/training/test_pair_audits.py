"""What the same-controller model must not live on: it gains nothing where accounts are exchanged, and what accounts are
like by themselves does not tell a campaign's members from their twins. Each audit is shown to notice what it looks for.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from graph.decoys import exchanged
from graph.pair_model import FEATURES, PairModel
from graph.search import Accounts, pair_features
from graph.trace_memory import TraceMemory, TraceView
from graph.traces import DAY_MS, HASHTAG, HOUR_MS, LINK, MINUTE_MS, REPOST, Trace
from graph.wording import NEUTRAL
from tests.training.society_data import SMALL, text_sets
from training import society_plan
from training.pair_training import fit_regression, odds_by, pair_areas, regression_judge
from training.pairs import Example, Society, examples
from training.society_texts import text_society

START = 1_760_000_000_000
DAYS = 4
CAMPAIGNS, MEMBERS, PEOPLE = 3, 8, 50
NOISE = 0.05
"""Spread of likeness, in which campaigns and people are the same: words say nothing here."""


def acting(seed: int) -> TraceView:
    """Campaigns push links and reposts of their own within minutes; everybody uses what is popular."""
    rng = np.random.default_rng(seed)
    accounts = CAMPAIGNS * MEMBERS + PEOPLE
    traces = []
    for account in range(accounts):
        for at in rng.integers(START, START + DAYS * 24 * HOUR_MS, 20).tolist():
            kind = int(rng.choice([LINK, HASHTAG, REPOST]))
            traces.append(Trace(at, account, kind, f"popular {at // (24 * HOUR_MS)} {int(rng.pareto(1.0) * 6)}", -1))
    for campaign in range(CAMPAIGNS):
        for task in range(10):
            start = START + int(rng.integers(DAYS * 24 * HOUR_MS))
            for member in rng.choice(MEMBERS, 6, replace=False).tolist():
                at, kind = start + int(rng.integers(40)) * MINUTE_MS, int(rng.choice([LINK, REPOST]))
                traces.append(Trace(at, campaign * MEMBERS + member, kind, f"own {campaign} {task}", -1))
    memory = TraceMemory()
    memory.add(sorted(traces, key=lambda trace: trace.at_ms))
    return memory.view(lambda row: f"u{row:03d}", START + (DAYS + 1) * 24 * HOUR_MS)


def seen(view: TraceView, seed: int) -> Society:
    """The society as the model sees it, with words that tell nothing."""
    rng = np.random.default_rng(seed)
    k = len(view.names)
    places, posts, language = np.arange(k), np.full(k, 8), np.zeros(k, np.int64)
    everybody = Accounts(places, np.ones(k, np.bool_), np.zeros(k), posts, language)
    features, _ = pair_features(view, everybody, None, START + (DAYS + 1) * 24 * HOUR_MS)
    campaign = np.where(places < CAMPAIGNS * MEMBERS, places // MEMBERS, -1)
    words = np.triu(rng.normal(NEUTRAL, NOISE, (k, k)), 1)
    return Society(
        f"s{seed}", list(view.names), features.nats, (words + words.T).astype(np.float32), posts, language,
        (campaign >= 0).astype(np.int64), campaign, np.full(k, -1), [""] * k, [""] * k, [""] * k, np.zeros(k, np.bool_),
    )  # fmt: skip


def area(model: PairModel, drawn: list[Example]) -> float:
    """Mean pair AUROC of the regression."""
    return float(np.mean([area for area, _ in pair_areas(drawn, odds_by(regression_judge(model), drawn))]))


def test_exchanged_accounts_leave_the_model_nothing() -> None:
    train = [acting(seed) for seed in range(3)]
    test = [acting(seed) for seed in range(3, 6)]
    true = list(examples([seen(view, n) for n, view in enumerate(train)], 2, 0))
    mixed = list(examples([seen(exchanged(view, n, block_ms=DAY_MS), n) for n, view in enumerate(train)], 2, 0))
    unseen = list(examples([seen(view, n) for n, view in enumerate(test)], 2, 1))
    mixed_unseen = list(examples([seen(exchanged(view, n, block_ms=DAY_MS), n) for n, view in enumerate(test)], 2, 1))
    model = fit_regression(true)
    gain = area(model, unseen) - 0.5
    assert gain > 0.4
    # Who is busy meets more of everybody, and stays as busy: that much remains.
    assert area(model, mixed_unseen) - 0.5 < gain / 2
    # Nor is there anything to learn from where accounts are exchanged: what is fitted there hardly speaks.
    taught = fit_regression(mixed)
    assert area(taught, mixed_unseen) - 0.5 < gain / 2
    kinds = [FEATURES.index(name) for name in ("link", "repost", "hashtag")]
    assert taught.coefficients[kinds].sum() < 0.5 * model.coefficients[kinds].sum()


def lives(folder: Path, data: Path, seed: int) -> tuple[dict[str, dict[str, float]], dict[str, int]]:
    """What each account is like by itself, and which are a campaign's members (1) or their twins (0)."""
    files = text_society(
        np.random.default_rng(seed), data, folder, without=["chitchat"], accounts=SMALL, families=list(STILL)
    )
    truth = [json.loads(line) for line in files.truth.read_text().splitlines()]
    side = {
        row["account"]: int(bool(row["campaign"])) for row in truth if row["campaign"] or row["twin_of"]
    }  # fmt: skip
    hours = defaultdict(list)
    texts: defaultdict[str, int] = defaultdict(int)
    for line in files.events.read_text().splitlines():
        event = json.loads(line)
        if event["account"] in side:
            hours[event["account"]].append(event["at"] // HOUR_MS % 24)
            texts[event["account"]] += "text" in event
    found = {
        name: {
            "texts": texts[name], "events": len(mine), "hour": float(np.mean(mine)), "hours": len(set(mine)),
            "busiest hour": max(map(mine.count, mine)) / len(mine),
        }
        for name, mine in hours.items()
    }  # fmt: skip
    return found, side


STILL = ("waves", "links", "drip", "jitter")
"""Tactics of accounts that act like people but for what they do it for."""


def told_apart(found: list[tuple[dict[str, dict[str, float]], dict[str, int]]], what: str) -> float:
    """AUROC of members against twins by one thing alone, over several societies."""
    label = [side[name] for lives, side in found for name in lives]
    return float(roc_auc_score(label, [life[what] for lives, _ in found for life in lives.values()]))


def test_what_accounts_are_like_does_not_tell_members_from_their_twins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(society_plan, "DAYS", (1.0, 1.0))
    monkeypatch.setattr(society_plan, "STEP_MINUTES", (60.0, 60.0))
    data = text_sets(tmp_path)
    found = [lives(tmp_path / str(seed), data, seed) for seed in range(4)]
    assert sum(sum(side.values()) for _, side in found) > 40
    measured = {what: told_apart(found, what) for what in ("texts", "events", "hour", "hours", "busiest hour")}
    assert all(0.36 < each < 0.64 for each in measured.values()), measured
    # Members who wrote half as much again would be noticed.
    for one, side in found:
        for name in one:
            one[name]["texts"] *= 1 + 0.5 * side[name]
    assert told_apart(found, "texts") > 0.64
