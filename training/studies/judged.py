"""Posts of a study put into accounts, and the whole system run over them as over any recording.

A study is a table with a row for each post: `slice` (what is told apart), `author_id`, `text`, `lang`. `dealt` makes
accounts of posts without an author, `people` gives those that nothing was learned from or calibrated on, and `judge`
says what the system makes of every account.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from detector.errors import UsageError
from training.account_data import read_stream, read_truth
from training.calibrate import account_of, pauses_of, population_recording
from training.metrics import auroc, share_interval, tpr_at
from training.populations import NO_TIME, population_people
from training.system import read_lines, run_system

ALONE: Final = ("coordination", "graph")
"""Components left out: accounts of a study have no contacts. Behaviour stays, since nobody is flagged without it; the
pauses that it sees are drawn alike for everybody."""

POSTS: Final = 10
"""Posts of an account that is made of posts without an author: as many as an account of the streams has."""

FEWEST_POSTS: Final = 5
"""Posts below which an account is left out."""

PEOPLE: Final = ("irc", "sms", "climate", "bag-en", "bag-aae")
"""Populations that machines are held against: people of the role `measure`, from whom nothing was learned."""

STREAMS: Final = ("frontier_posts", "frontier_campaigns")
"""Sets of machines that no text model learned from: their texts are those of the labelled streams."""


def text_set(data: Path, name: str) -> pd.DataFrame:
    """The rows of a text set, "" where something is not known.

    Args:
        data: folder with `text/`.
        name: of the set.

    Raises:
        UsageError: it is not there.
    """
    path = data / "text" / f"{name}.parquet"
    if not path.is_file():
        raise UsageError(f"{path} is not there; give the folder that holds it under text/ with --data")
    table = pd.read_parquet(path)
    for column in ("author_id", "parent_id", "group", "generator", "source", "lang"):
        given = table[column] if column in table else pd.Series("", index=table.index)
        table[column] = given.astype("object").where(given.notna(), "").astype(str)
    return table[table["text"].str.strip() != ""]


def dealt(
    rows: pd.DataFrame, name: str, *, most: int, by: Sequence[str] = (), seed: int = 0, fewest: int = FEWEST_POSTS
) -> pd.DataFrame:
    """Posts as accounts of one slice: by author where they are known, else dealt out within what is alike.

    Args:
        rows: of a text set.
        name: of the slice.
        most: accounts, at most, drawn by the seed.
        by: columns in which posts of one account agree, where authors are not known.
        seed: of the draws.
        fewest: posts of an account, at least.

    Returns:
        Columns `slice`, `author_id`, `text`, `lang`: `POSTS` posts of an account at most.
    """
    rng = np.random.default_rng(seed)
    rows = rows.iloc[rng.permutation(len(rows))]
    if (rows["author_id"] != "").all():
        author = rows["author_id"]
    else:
        keys = rows[list(by)].astype(str).agg("/".join, axis=1) if by else pd.Series("", index=rows.index)
        turn = keys.groupby(keys).cumcount() // POSTS
        author = keys + ":" + turn.astype(str)
    rows = rows.assign(author_id=author.astype(str), slice=name)
    rows = rows[rows.groupby("author_id").cumcount() < POSTS]
    rows = rows[rows.groupby("author_id")["text"].transform("size") >= fewest]
    names = sorted(set(rows["author_id"]))
    kept = [names[place] for place in rng.permutation(len(names))[:most]]
    return rows.loc[rows["author_id"].isin(kept), ["slice", "author_id", "text", "lang"]].reset_index(drop=True)


def people(data: Path, most: int, seed: int = 0, names: Sequence[str] = PEOPLE) -> pd.DataFrame:
    """People from whom no model learned and on whom nothing was calibrated, as `dealt` gives accounts.

    Args:
        data: folder with `text/`.
        most: of each population.
        seed: of the draws.
        names: populations; those whose set is not there are left out.
    """
    parts = []
    for name in names:
        try:
            rows = population_people(data, "measure", names=[name])
        except UsageError:
            continue
        if len(rows):
            parts.append(dealt(rows, f"people/{name}", most=most, seed=seed))
    if not parts:
        raise UsageError(f"{data} has none of the people that machines are held against ({', '.join(names)})")
    return pd.concat(parts, ignore_index=True)


PAUSES_MS: Final = np.array([60_000, 600_000, 3_600_000, 21_600_000], np.int64)
"""Pauses between posts where the stream is not there that has those of real people."""


def _pauses(data: Path) -> NDArray[np.int64]:
    stream, truth = data / "streams" / "contest-dev.jsonl.gz", data / "streams" / "contest-dev.truth.jsonl"
    if not stream.is_file() or not truth.is_file():
        return PAUSES_MS
    trained = {name for name, record in read_truth(truth).items() if record["label"] == 0}
    return pauses_of(read_stream(stream), trained.__contains__)


def judge(posts: pd.DataFrame, data: Path, models: Path, without: Sequence[str] = ALONE) -> pd.DataFrame:
    """What the system says of every account.

    Args:
        posts: of a study.
        data: folder whose stream has the pauses between posts of real people.
        models: models directory.
        without: components to leave out.

    Returns:
        A row for each account: `slice`, `author_id`, `score` (total, nats; below all others where no text gave
        evidence), `flagged`, `abstained` (why it could not be flagged, "" where it could).
    """
    given = posts.rename(columns={"slice": "population"}).assign(at_ms=NO_TIME)
    with TemporaryDirectory() as work:
        recording, scores = Path(work) / "study.jsonl", Path(work) / "study.scores"
        population_recording(given, _pauses(data), recording)
        run_system([recording], models, scores=scores, without=without)
        rows = {row["account"]: row for row in read_lines(scores)}
    accounts = posts[["slice", "author_id"]].drop_duplicates().reset_index(drop=True)
    found = [rows.get(account_of(*key)) for key in accounts.itertuples(index=False)]
    silent = [row is None or "text" in row["abstained"] for row in found]
    total = [row["llr"]["total"] if row else 0.0 for row in found]
    lowest = min(total, default=0.0) - 1
    return accounts.assign(
        score=[lowest if mute else nats for mute, nats in zip(silent, total, strict=True)],
        flagged=[bool(row and row["flagged"]) for row in found],
        abstained=[str(row["abstained"].get("flag", "")) if row else "no events" for row in found],
    )


def against_people(judged: pd.DataFrame, name: str) -> dict[str, float]:
    """How one slice is told from the people of a study.

    Args:
        judged: of `judge`.
        name: of the slice, whose accounts count as machines.

    Returns:
        `accounts`, `auroc`, `tpr` (at 1% of the people), `flagged` with `flagged_low` and `flagged_high` (95%), `mute`
        (share that could not be flagged: language, too few texts).
    """
    mine = judged[judged["slice"] == name]
    others = judged[judged["slice"].str.startswith("people/")]
    label = np.r_[np.ones(len(mine), np.int64), np.zeros(len(others), np.int64)]
    score = np.r_[mine["score"].to_numpy(np.float64), others["score"].to_numpy(np.float64)]
    count = int(mine["flagged"].sum())
    low, high = share_interval(count, len(mine))
    return {
        "accounts": len(mine),
        "auroc": auroc(label, score),
        "tpr": tpr_at(label, score, 0.01),
        "flagged": count / max(len(mine), 1),
        "flagged_low": low,
        "flagged_high": high,
        "mute": float((mine["abstained"] != "").mean()) if len(mine) else 0.0,
    }


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as Markdown, as the pages have it."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def figures(found: Mapping[str, float]) -> list[str]:
    """The cells of a record of `against_people`: accounts, AUROC, TPR at 1%, share flagged with its interval."""
    flagged = f"{100 * found['flagged']:.0f}% ({100 * found['flagged_low']:.0f} to {100 * found['flagged_high']:.0f})"
    return [f"{found['accounts']:.0f}", f"{found['auroc']:.3f}", f"{found['tpr']:.2f}", flagged]
