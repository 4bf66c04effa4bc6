"""Commands of `swarmlight lab` about feeds. What they need is imported when one is run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from detector.errors import UsageError
from simulation.population_files import PRESETS
from streaming.cli import one_of


def bench_command(
    name: Annotated[
        str, typer.Option("--preset", metavar="NAME", help=", ".join(PRESETS), callback=one_of(PRESETS))
    ] = "election",
    accounts: Annotated[
        list[int] | None, typer.Option(metavar="N", min=20, help="a size to measure, may be repeated; else three")
    ] = None,
    days: Annotated[float, typer.Option(metavar="D", help="after the day before the start")] = 1.0,
) -> int:
    """Measure events a second and memory of a society whose people read feeds, size by size.

    Args:
        name: of the preset.
        accounts: sizes in place of the usual three.
        days: acted out.

    Raises:
        UsageError: `days` is no length of time.
    """
    from rich.console import Console

    from simulation.bench import growth
    from simulation.feeds.bench import SIZES, measured, table

    if not 0 < days < float("inf"):
        raise UsageError(f"--days {days:g}: give a number above 0")
    sizes = accounts or list(SIZES)
    rows = measured(name, sizes, days)
    console = Console()
    console.print(table(f"{name} with feeds, {days:g} days", sizes, rows))
    console.print(growth(sizes, rows))
    return 0


def rate_command(
    rater: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="rules, meanings, default, csv:FILE or endpoint:ADDRESS#MODEL; repeat for more"
        ),
    ] = None,
    posts: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="posts with their author's ratings; those shipped")
    ] = None,
    part: Annotated[
        str, typer.Option(metavar="PART", help="held-out (no rater was tuned on them), tuning, or all")
    ] = "held-out",
) -> int:
    """Rate posts on eight democratic values by several raters, and say how far they agree.

    Args:
        rater: who rates beside the author; rules, meanings and both where None.
        posts: in place of those that come with Swarmlight.
        part: of the posts.

    Raises:
        UsageError: there is no such rater or part.
        ConfigError: a file cannot be used.
    """
    from rich.console import Console

    from simulation.feeds.rating_report import against_author, pairs, rated, raters_of
    from simulation.feeds.values import load_posts, shipped_posts

    everything = shipped_posts() if posts is None else load_posts(posts)
    if part not in ("held-out", "tuning", "all"):
        raise UsageError(f"--part {part!a}: there are held-out, tuning and all")
    some = tuple(post for post in everything if part in (post.part, "all"))
    if not some:
        raise UsageError(f"--part {part}: there are no such posts in {posts}")
    raters = [one for name in rater or ("rules", "meanings", "default") for one in raters_of(name)]
    ratings = rated(some, raters)
    console = Console()
    console.print(against_author(ratings))
    console.print(pairs(ratings))
    return 0


def feeds_command(
    seeds: Annotated[int, typer.Option(metavar="N", min=2, help="societies, each with a seed of its own, from 0")] = 20,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="print what `effect_weak` comes to on forty other societies, and end")
    ] = False,
    show_numbers: Annotated[
        bool, typer.Option("--numbers", help="print every number with where it comes from, and end")
    ] = False,
) -> int:
    """Give the people of simulated societies the four feeds of a published study, and hold effects against it.

    Args:
        seeds: how many societies.
        calibrate: print the calibrated effect instead.
        show_numbers: print the numbers instead.
    """
    from rich.console import Console
    from rich.progress import track

    from simulation.feeds.study import CALIBRATION_SEEDS, calibrated, numbers, simulated
    from simulation.feeds.study_report import doses, numbers_table, study_table

    console = Console()
    known = numbers()
    if show_numbers:
        console.print(numbers_table(known))
        return 0
    given = {name: number.value for name, number in known.items()}
    chosen = CALIBRATION_SEEDS if calibrate else range(seeds)
    societies = track(chosen, "societies", console=Console(stderr=True), transient=True)
    everybody = [simulated(seed, given) for seed in societies]
    if calibrate:
        console.print(f"effect_weak = {calibrated(everybody, given):.1f}")
        return 0
    console.print(study_table(everybody, given))
    console.print(doses(everybody))
    return 0


def explain_command(
    reader: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="row of a person; else the first who follows ten accounts")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="OUT.html", help="write it as a page that needs nothing else")
    ] = None,
    values: Annotated[
        str, typer.Option(metavar="KEY=WEIGHT,...", help="values that a healthier mix is to keep to; or all")
    ] = "all",
    name: Annotated[
        str, typer.Option("--preset", metavar="NAME", help=", ".join(PRESETS), callback=one_of(PRESETS))
    ] = "town",
    feeds: Annotated[str, typer.Option(metavar="NAME=SHARE,...", help="as in read")] = "engagement=1",
    accounts: Annotated[int, typer.Option(metavar="N", min=20, help="in place of the preset's own")] = 2000,
    days: Annotated[float, typer.Option(metavar="D", help="acted out before the page is looked at")] = 0.5,
    seed: Annotated[int, typer.Option(metavar="N", min=0)] = 0,
) -> int:
    """Say to a person of a simulated society why the feed shows what it shows, and what would change it.

    Args:
        reader: whose feed.
        out: page to write beside the lines that are printed.
        values: weights of values for the healthier mix.
        name: of the preset.
        feeds: algorithms and their shares.
        accounts, days: in place of the preset's own.
        seed: of everything that is drawn.

    Raises:
        UsageError: an option cannot be used, or the page cannot be written.
    """
    import msgspec
    import numpy as np
    from rich.console import Console

    from simulation.feeds.explain import Explainer, weights_of
    from simulation.feeds.explain_page import as_page, as_text
    from simulation.feeds.plan import plan_of
    from simulation.feeds.post_texts import Content
    from simulation.feeds.society import FeedSociety
    from simulation.output import names
    from simulation.population_files import preset
    from simulation.world import World

    weights, plan = weights_of(values), plan_of(feeds)
    if not 0 < days < float("inf"):
        raise UsageError(f"--days {days:g}: give a number above 0")
    world = World(msgspec.structs.replace(preset(name), accounts=accounts, days=days), seed)
    content = Content(world)
    society = FeedSociety(world, plan, rated=content)
    for _ in society.steps():
        pass
    called = names(accounts, seed)
    if reader is None:
        reader = int(np.flatnonzero(society.people & (world.graph.degrees() >= 10)).min(initial=accounts))
    found = Explainer(society, content, called, reader).explanation(weights)
    Console().print(as_text(found, called), markup=False, highlight=False)
    if out is not None:
        try:
            out.write_text(as_page(found, called), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{out}: the page cannot be written: {error.strerror}") from None
    return 0


def read_command(
    out: Annotated[Path, typer.Option("--exposures", metavar="OUT.parquet", help="who saw what")],
    name: Annotated[
        str, typer.Option("--preset", metavar="NAME", help=", ".join(PRESETS), callback=one_of(PRESETS))
    ] = "town",
    feeds: Annotated[
        str,
        typer.Option(
            metavar="NAME=SHARE,...", help="engagement, chronological, follows, societal, each with its share"
        ),
    ] = "engagement=1",
    together: Annotated[
        str, typer.Option(metavar="readers|weights", help="each reader has one of them, or all have their mix")
    ] = "readers",
    accounts: Annotated[int | None, typer.Option(metavar="N", min=20, help="in place of the preset's own")] = None,
    days: Annotated[float | None, typer.Option(metavar="D", help="in place of the preset's own")] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0)] = 0,
) -> int:
    """Let the people of a simulated society read ranked feeds; write who saw what, and say how much.

    Args:
        out: Parquet file of exposures.
        name: of the preset.
        feeds: algorithms and their shares.
        together: how they work together.
        accounts, days: in place of the preset's own.
        seed: of everything that is drawn.

    Raises:
        UsageError: an option cannot be used, or the file cannot be written.
    """
    import msgspec
    from rich.console import Console

    from simulation.feeds.exposures import ExposureFile
    from simulation.feeds.plan import plan_of
    from simulation.feeds.society import FeedSociety
    from simulation.feeds.summary import ExposureSummary
    from simulation.population_files import preset
    from simulation.world import World

    plan = plan_of(feeds, together)
    population = preset(name)
    if accounts is not None:
        population = msgspec.structs.replace(population, accounts=accounts)
    if days is not None:
        if not 0 < days < float("inf"):
            raise UsageError(f"--days {days:g}: give a number above 0")
        population = msgspec.structs.replace(population, days=days)
    society = FeedSociety(World(population, seed), plan)
    summary = ExposureSummary(plan.names, society.world.roles.label)
    with ExposureFile(out, plan.names) as file:
        for step in society.steps():
            file.write(step.exposures)
            summary.take(step)
    Console().print(summary.table())
    return 0
