"""The command `swarmlight lab`: experiments of the policy lab, each with a table on standard output and a folder."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, get_args

import typer

from detector.errors import UsageError
from simulation.feeds.cli import bench_command, read_command
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
        str, typer.Option(metavar="count|each", help="new posts only count, or each wins followers and likes")
    ] = "count",
    observation: Annotated[
        str, typer.Option(metavar="raw|log", help="what the network sees: counts, or the logarithm of 1 + each")
    ] = "raw",
) -> None:
    """Let posters learn on the reward platform and hold what they post against the published figures.

    Writes posters.jsonl as posters finish (a run that is broken off goes on with the others), and at the end
    episodes.csv, table.md and polarity.svg.

    Args:
        out: folder of results.
        seeds: how many posters.
        episodes: in which each learns.
        steps: of an episode.
        processes: posters that learn at once.
        start: counts that an episode begins with.
        posts_enter: what new posts do.
        observation: what the network sees.

    Raises:
        UsageError: an option cannot be used, or a file cannot be written.
        ConfigError: the folder has another file where results would go.
    """
    _require_lab()
    from simulation.lab.outrage_platform import ObservationScale, OutragePlatform, PostsEnter
    from simulation.lab.polarity_report import drawing, markdown, write_rows
    from simulation.lab.polarity_training import Training, train_all

    for option, value, known in (
        ("--posts-enter", posts_enter, get_args(PostsEnter)),
        ("--observation", observation, get_args(ObservationScale)),
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
        )
        for seed in range(seeds)
    ]
    trained = []
    for one in train_all(wanted, _folder(out) / "posters.jsonl", processes):
        trained.append(one)
        print(
            f"poster {one.options.seed}: {len(trained)} of {seeds}, {one.cpu_s:.0f} processor seconds", file=sys.stderr
        )
    rows = [row for one in trained for row in one.rows]
    write_rows(rows, out / "episodes.csv")
    table = markdown(rows)
    (out / "table.md").write_text(table, encoding="utf-8")
    (out / "polarity.svg").write_text(drawing(rows), encoding="utf-8")
    print(table, end="")
