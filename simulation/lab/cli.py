"""The command `swarmlight lab`: experiments of the policy lab, each with a table on standard output and a folder."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, get_args

import typer

from detector.errors import UsageError
from simulation.feeds.cli import bench_command, explain_command, feeds_command, rate_command, read_command
from simulation.lab.run_cli import run_command, search_command

if TYPE_CHECKING:
    from simulation.lab.outrage_platform import Account

app: Final = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    help="The policy lab: what a platform could do, tried on simulated people.",
    epilog="`swarmlight lab platform --help` says more about one of them.",
)


@app.callback()
def _lab() -> None:
    """Typer makes a group of an app with a callback, however few commands it has."""


app.command("bench")(bench_command)
app.command("read")(read_command)
app.command("run")(run_command)
app.command("search")(search_command)
app.command("explain")(explain_command)
app.command("feeds")(feeds_command)
app.command("rate")(rate_command)


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: cannot be used as a folder for results: {error.strerror}") from None
    return path


def _account(text: str) -> Account:
    from simulation.lab.outrage_platform import Account

    try:
        followers, following, posts, likes = (int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"--start {text!a}: write followers, following, posts and likes as whole numbers, such as 1,0,1,1"
        ) from None
    return Account(followers, following, posts, likes)


def _require_lab() -> None:
    try:
        for name in ("gymnasium", "matplotlib", "stable_baselines3"):
            import_module(name)
    except ImportError as error:
        raise UsageError(f"the policy lab needs {error.name}: pip install 'swarmlight[lab]'") from None


@app.command("platform")
def platform_command(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="where results are kept, and found again")],
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="posters, each with a seed of its own, from 0")] = 10,
    episodes: Annotated[int, typer.Option(metavar="N", min=1, help="in which a poster learns")] = 20,
    steps: Annotated[int, typer.Option(metavar="N", min=1, help="of an episode")] = 10_000,
    processes: Annotated[int, typer.Option(metavar="N", min=1, help="posters that learn at once")] = 2,
    start: Annotated[
        str, typer.Option(metavar="F,G,P,L", help="followers, following, posts and likes an episode begins with")
    ] = "1,0,1,1",
    posts_enter: Annotated[
        str,
        typer.Option(metavar="count|each|apart", help="new posts count, or each wins its own, or they are not added"),
    ] = "count",
    observation: Annotated[
        str, typer.Option(metavar="raw|log", help="what the network sees: counts, or the logarithm of 1 + each")
    ] = "raw",
    learner: Annotated[
        str, typer.Option(metavar="group|stable-baselines3", help="PPO for posters side by side, or one by one, slower")
    ] = "group",
    vary: Annotated[bool, typer.Option("--vary", help="vary what the experiment leaves open, one by one")] = False,
) -> None:
    """Let posters learn on the reward platform and hold what they post against the published figures.

    Writes posters.jsonl as posters finish (a run that is broken off goes on with the others), and at the end
    episodes.csv, table.md and polarity.svg; with --vary variants.md in place of these.

    Args:
        out: folder of results.
        seeds: how many posters.
        episodes: in which each learns.
        steps: of an episode.
        processes: posters that learn at once.
        start: counts that an episode begins with.
        posts_enter: what new posts do.
        observation: what the network sees.
        learner: who computes PPO.
        vary: train posters under each variant too.

    Raises:
        UsageError: an option cannot be used, or a file cannot be written.
        ConfigError: the folder has another file where results would go.
    """
    _require_lab()
    from simulation.lab.outrage_platform import ObservationScale, OutragePlatform, PostsEnter
    from simulation.lab.polarity_report import drawing, markdown, variants_table, write_rows
    from simulation.lab.polarity_training import Learner, Training, train_all, variants

    for option, value, known in (
        ("--posts-enter", posts_enter, get_args(PostsEnter)),
        ("--observation", observation, get_args(ObservationScale)),
        ("--learner", learner, get_args(Learner)),
    ):
        if value not in known:
            raise UsageError(f"{option} {value!a}: there are {', '.join(known)}")
    account = _account(start)
    OutragePlatform(account)  # refuses what cannot be started from, before anything is written
    wanted = [
        Training(
            seed=seed,
            episodes=episodes,
            steps=steps,
            start=account,
            posts_enter=posts_enter,  # type: ignore[arg-type]  # looked up above
            observation=observation,  # type: ignore[arg-type]
            learner=learner,  # type: ignore[arg-type]
        )
        for seed in range(seeds)
    ]
    if vary and learner != "group":
        raise UsageError("--vary: variants are of the learner `group`; leave --learner out")
    if vary:
        named = {name: [variants(one)[name] for one in wanted] for name in variants(wanted[0])}
        wanted = [one for each in named.values() for one in each]
    trained = {}
    for one in train_all(wanted, _folder(out) / "posters.jsonl", processes):
        trained[one.options] = one.rows
        print(f"{len(trained)} of {len(wanted)} posters, {one.cpu_s:.0f} processor seconds", file=sys.stderr)
    if vary:
        table = variants_table({name: [row for one in each for row in trained[one]] for name, each in named.items()})
        (out / "variants.md").write_text(table, encoding="utf-8")
    else:
        rows = [row for each in trained.values() for row in each]
        write_rows(rows, out / "episodes.csv")
        table = markdown(rows)
        (out / "table.md").write_text(table, encoding="utf-8")
        (out / "polarity.svg").write_text(drawing(rows), encoding="utf-8")
    print(table, end="")


@app.command("moderate")
def moderate_command(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="where results are kept, and found again")],
    moderators: Annotated[int, typer.Option(metavar="N", min=1, help="seeds that moderators are trained with")] = 2,
    populations: Annotated[int, typer.Option(metavar="N", min=1, help="of posters they are tried on")] = 24,
    ppo_populations: Annotated[int, typer.Option(metavar="N", min=0, help="of posters who learn by PPO")] = 2,
    posters: Annotated[int, typer.Option(metavar="N", min=1, help="in a population")] = 8,
    ppo_posters: Annotated[int, typer.Option(metavar="N", min=1, help="in a population of PPO")] = 4,
    candidates: Annotated[int, typer.Option(metavar="N", min=5, help="of a round of training")] = 48,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="of training")] = 14,
    episodes: Annotated[int, typer.Option(metavar="N", min=1, help="of a poster's life")] = 20,
    most_bonus: Annotated[
        float, typer.Option(metavar="X", min=1, help="times its own reach that a post may get")
    ] = 10.0,
    worth: Annotated[
        float, typer.Option(metavar="X", min=0, max=1, help="of reach given by a bonus in followers and likes")
    ] = 1.0,
    processes: Annotated[int, typer.Option(metavar="N", min=1, help="experiments at once")] = 2,
) -> None:
    """Train moderators who set prices on reach, and try them on posters they have not met.

    Writes moderators.jsonl and trials.jsonl as they are finished (a run that is broken off goes on with what is left),
    and at the end frontier.csv, frontier.md and frontier.svg.

    Args:
        out: folder of results.
        moderators: seeds.
        populations: held out, of posters who climb a gradient.
        ppo_populations: held out, of posters who learn by PPO.
        posters: in one of the first.
        ppo_posters: in one of the others.
        candidates: of a round of training.
        rounds: of training.
        episodes: of a poster's life.
        most_bonus: largest multiplier of reach.
        worth: of reach that a bonus gives.
        processes: experiments at once.

    Raises:
        UsageError: an option cannot be used, or a file cannot be written.
        ConfigError: the folder has another file where results would go.
    """
    _require_lab()
    from simulation.lab.moderator_report import frontier_drawing, frontier_rows, frontier_table
    from simulation.lab.moderator_trial import school_all, schoolings, trials, try_all
    from simulation.lab.poster_societies import EPISODE_WINDOWS
    from simulation.lab.reach_prices import Limits

    limits = Limits(most_bonus, worth)
    wanted = schoolings(moderators, limits, candidates, rounds, episodes * EPISODE_WINDOWS)
    schooled = []
    for one in school_all(wanted, _folder(out) / "moderators.jsonl", processes):
        schooled.append(one)
        print(f"{len(schooled)} of {len(wanted)} moderators", file=sys.stderr)
    planned = trials(schooled, ppo_populations, ppo_posters, "ppo") + trials(schooled, populations, posters, "gradient")
    outcomes = []
    for outcome in try_all(planned, out / "trials.jsonl", processes):
        outcomes.append(outcome)
        print(f"{len(outcomes)} of {len(planned)} populations", file=sys.stderr)
    frontier_rows(outcomes, out / "frontier.csv")
    table = frontier_table(outcomes)
    (out / "frontier.md").write_text(table, encoding="utf-8")
    (out / "frontier.svg").write_text(frontier_drawing(outcomes), encoding="utf-8")
    print(table, end="")
