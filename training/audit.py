"""Who is falsely accused: evidence against people and false flags by language, dialect, and native writing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from detector.account.model import AccountModel
from detector.errors import UsageError
from detector.evidence import MILLINAT
from detector.fusion import combine
from detector.text.cheap import CheapText
from detector.text.language import normalise_language
from detector.text.reading import Readings, TextAbstain
from detector.thresholds import Thresholds
from training.accounts import codes
from training.scoring import interval
from training.trajectories import Events, snapshots

BAG: Final = 10
"""Texts of one group that stand for an account: as many as half of the people of a day's stream have."""

STRONG_NATS: Final = 1.0
"""Evidence of one text that is counted as an accusation: nearly three times likelier for a machine."""

FEWEST: Final = 30
"""Texts by which a group is told of."""


@dataclass(frozen=True)
class Group:
    """People who share a way of writing."""

    name: str
    texts: list[str]
    langs: list[str]


def groups(data: Path) -> Iterator[Group]:
    """The people's texts of `human_short_text` and `liang_toefl` under `data`, by source, language and native writing.

    Raises:
        UsageError: neither set is there.
    """
    folder = data / "text" if (data / "text").is_dir() else data
    found = False
    for name, keys in (("liang_toefl", ["native"]), ("human_short_text", ["source", "lang"])):
        path = folder / f"{name}.parquet"
        if not path.is_file():
            continue
        found = True
        table = pd.read_parquet(path)
        table = table[table["label"] == 0]
        for value, rows in table.groupby(keys, sort=True, dropna=False):
            words = [_NATIVE.get(str(part), str(part)) if name == "liang_toefl" else str(part) for part in value]
            if len(rows) >= FEWEST:
                yield Group(
                    f"{name}: {', '.join(words)}",
                    rows["text"].astype(str).tolist(),
                    [normalise_language(tag) for tag in rows["lang"].astype(str)],
                )
    if not found:
        raise UsageError(f"{folder} holds neither human_short_text.parquet nor liang_toefl.parquet; give --data")


_NATIVE: Final[Mapping[str, str]] = {
    "1": "native writers",
    "0": "non-native writers",
}


def audit(
    group: Group, text: CheapText, account: AccountModel, thresholds: Thresholds, target_fpr: float, seed: int = 0
) -> dict[str, Any]:
    """What the models say of a group of people: of single texts, and of bags of `BAG` texts as accounts.

    Args:
        group: the people.
        text, account, thresholds: the models.
        target_fpr: whose threshold counts.
        seed: of the bags.
    """
    readings = text.read(group.texts, group.langs)
    speaks = readings["abstain"] == TextAbstain.NONE
    llr = readings["llr"][speaks] / MILLINAT
    strong = int((llr > STRONG_NATS).sum())
    totals = _bag_totals(group, readings, account, thresholds, seed)
    flagged = int((totals > thresholds.threshold(target_fpr)).sum())
    calibrated = bool(thresholds.calibrated(codes(group.langs)).mean() > _MOSTLY)
    return {
        "group": group.name,
        "texts": len(group.texts),
        "abstained": float(1 - speaks.mean()),
        "mean_nats": float(llr.mean()) if len(llr) else None,
        "strong": strong / len(llr) if len(llr) else None,
        "strong_95": list(interval(strong, len(llr))),
        "bags": len(totals),
        "passing": flagged / len(totals) if len(totals) else None,
        "passing_95": list(interval(flagged, len(totals))),
        "may_be_flagged": calibrated,
    }


_MOSTLY: Final = 0.5


def _bag_totals(
    group: Group, readings: Readings, account: AccountModel, thresholds: Thresholds, seed: int
) -> NDArray[np.float64]:
    """Running maximum of the total over each bag, times unknown, bags without evidence left out."""
    count = len(group.texts) // BAG
    if not count:
        return np.zeros(0)
    order = np.random.default_rng(seed).permutation(len(group.texts))[: count * BAG]
    n = len(order)
    events = Events(
        account=np.repeat(np.arange(count), BAG),
        at_ms=np.zeros(n, np.int64),
        kind=np.zeros(n, np.int64),
        readings=readings[order],
        has_text=np.ones(n, bool),
        language=codes(group.langs)[order],
        links=np.zeros(n, np.int64),
        expert=np.full(n, np.nan),
    )
    seen = snapshots(events, count, after=None)
    parts = account.parts(seen.features, behaviour=False)
    nothing = np.zeros(len(parts.text))
    total = combine(parts.text, parts.behaviour, nothing, nothing, thresholds.cap_nats).total
    highest = np.full(count, -np.inf)
    np.maximum.at(highest, seen.account, total)
    evident: NDArray[np.float64] = highest[np.isfinite(highest)]
    return evident
