"""The commands `swarmlight study ...`: figures that answer one question each, as tables of the pages.

What they do is in the other modules of this folder. Tables go to standard output as Markdown, progress to standard
error.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from detector.errors import UsageError
from detector.models import SHIPPED, load_models
from detector.text.meaning import MeaningEncoder
from training.account_data import read_truth
from training.data import load_texts
from training.progress import progress_bar
from training.second_stage import train_second_stage
from training.studies.cited_posts import cited_posts
from training.studies.few_examples import few_examples
from training.studies.hard_cases import hard_cases
from training.studies.peers import CAP, peers, statistics_alone
from training.studies.text_attacks import attack_costs
from training.text import crossfit
from training.train_cli import CACHE, Cache
from training.vector_cache import VectorCache

app: typer.Typer = typer.Typer(
    help="Study the system: attacks, hard cases, explanations, rivals.",
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=False,
)

Data = Annotated[Path, typer.Option("--data", metavar="DIR", help="folder with text/ and streams/")]
ModelsDir = Annotated[Path | None, typer.Option("--models", metavar="DIR", help="models directory (the shipped one)")]
Accounts = Annotated[int, typer.Option("--accounts", metavar="N", min=1, help="accounts of each set, at most")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="of the draws")]


@app.callback()
def study() -> None:
    """Study the system: attacks, hard cases, explanations, rivals."""


@app.command("attacks", short_help="what attacks on characters and words cost")
def study_attacks_command(data: Data, models: ModelsDir = None, accounts: Accounts = 60, seed: Seed = 0) -> int:
    """Attack machines' posts as RAID does, and print what each attack costs.

    People's posts stay as they are, and are of people whom no model learned from.

    Args:
        data: text sets, and the stream whose pauses are drawn from.

    Raises:
        UsageError: the text sets are not there.
        ModelError: the models cannot be used.
    """
    with Console(stderr=True).status("running the system over attacked posts"):
        table = attack_costs(data, models or SHIPPED, accounts, seed)
    print(table)
    return 0


LEFT_OUT: Final = (
    "frontier",
    "agents/synthpai_gpt4_reddit_threads",
    "agents/moltbook_2026",
    "many_generators/syndisco",
    "authormimic",
    "more_generators/reddit_dolphin_mistral",
    "tweepfake",
    "showerthoughts",
    "electai",
    "grid",
    "more_generators/sarcasm_lines_gpt4o",
)
"""Clusters that are added in turn: each has hundreds of posts in English, from small fine-tuned models to today's."""


@app.command("few-examples", short_help="what a hundred posts of a new generator teach")
def study_few_examples_command(
    data: Data,
    cluster: Annotated[
        list[str] | None, typer.Option("--cluster", metavar="NAME", help="add this one (eleven in turn)")
    ] = None,
    rival: Annotated[
        bool, typer.Option("--rival", help="also a logistic regression on the encoder's vectors; minutes more")
    ] = False,
    cache: Cache = CACHE,
    seed: Seed = 0,
) -> int:
    """Add posts of a generator that was left out, as `train text --add` does, and print before and after.

    Rests on the cross-fitted scores that `train text` leaves in its cache, and makes them where they are not there.

    Args:
        data: text sets.
        cluster: what is left out together; as `train text` leaves sources out.

    Raises:
        UsageError: the text sets are not there, or a cluster has too few posts.
    """
    encoder = VectorCache(MeaningEncoder(), cache / "vectors") if rival else None
    with progress_bar(Console(stderr=True), "adding") as say:
        crossed = crossfit(data, cache)
        there = set(crossed.loc[crossed["label"] == 1, "cluster"])
        print(few_examples(crossed, cluster or [name for name in LEFT_OUT if name in there], encoder, seed, say))
    return 0


@app.command("hard-cases", short_help="imitation, disguise, polish, copies, mixed languages")
def study_hard_cases_command(data: Data, models: ModelsDir = None, accounts: Accounts = 60, seed: Seed = 0) -> int:
    """Judge accounts of texts that are hard to judge, and print a table for machines and one for people who had help.

    Args:
        data: text sets, and the stream whose pauses are drawn from.

    Raises:
        UsageError: the text sets are not there.
        ModelError: the models cannot be used.
    """
    with Console(stderr=True).status("running the system over hard cases"):
        tables = hard_cases(data, models or SHIPPED, accounts, seed)
    print(tables)
    return 0


@app.command("explanations", short_help="whether flags rest on the posts that alerts quote")
def study_explanations_command(
    stream: Annotated[Path, typer.Argument(metavar="STREAM", help="recording")],
    truth: Annotated[Path, typer.Option(metavar="FILE", help="what its accounts are, as for evaluate")],
    models: ModelsDir = None,
    seed: Seed = 0,
) -> int:
    """Remove the posts that alerts quote, and as many others, and print how many flags that undoes.

    Args:
        stream: events as lines of JSON, compressed or not.
        truth: its accounts; others are left out.

    Raises:
        UsageError: a file cannot be read, or nobody is flagged.
        ModelError: the models cannot be used.
    """
    with Console(stderr=True).status("removing posts"):
        table = cited_posts(stream, read_truth(truth), load_models(models), seed)
    print(table)
    return 0


@app.command("peers", short_help="rivals beside the text models, in one table")
def study_peers_command(
    data: Data,
    second_stage: Annotated[
        bool,
        typer.Option("--second-stage", help="both stages too; encoders that the cache lacks are trained"),
    ] = False,
    language_model: Annotated[
        list[str] | None,
        typer.Option("--language-model", metavar="FOLDER", help="causal model, for Fast-DetectGPT; two for Binoculars"),
    ] = None,
    statistics: Annotated[
        bool, typer.Option("--statistics", help="of language models alone, which learn nothing and need no fits")
    ] = False,
    texts: Annotated[int, typer.Option("--texts", metavar="N", help="of each source and class")] = CAP,
    cache: Cache = CACHE,
    seed: Seed = 0,
) -> int:
    """Let rivals learn from the same texts, leave every source out in turn, and print one table.

    Rests on the cross-fitted scores that `train text` leaves in its cache, and makes them where they are not there.

    Args:
        data: text sets.
        language_model: for statistics that nothing is learned for.
        texts: to learn from and to measure on.

    Raises:
        UsageError: the text sets are not there.
        ModelError: a model cannot be loaded.
    """
    if statistics:
        if not language_model:
            raise UsageError("--statistics needs a --language-model FOLDER, twice for Binoculars")
        with progress_bar(Console(stderr=True), "statistics") as say:
            print(statistics_alone(load_texts(data), language_model, texts, seed, say))
        return 0
    crossed = crossfit(data, cache)
    with progress_bar(Console(stderr=True), "peers") as say:
        both = None
        if second_stage:
            trained = train_second_stage(crossed, cache, say=say)
            both = trained.table.assign(score=trained.out).set_index(["source", "text"])["score"]
        print(
            peers(crossed, cache, both_stages=both, language_models=language_model or [], cap=texts, seed=seed, say=say)
        )
    return 0
