"""The commands `swarmlight lab run` and `lab search`: policies compared over societies, and policies searched for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from detector.errors import UsageError

if TYPE_CHECKING:
    from simulation.lab.trial_society import SocietySettings


def run_command(
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="where outcomes are kept and found again, and the report goes")
    ],
    policies: Annotated[
        list[Path] | None, typer.Argument(metavar="POLICY.toml...", help="policies to compare; those that ship")
    ] = None,
    societies: Annotated[int, typer.Option(metavar="N", min=2, max=1000, help="every policy is tried in each")] = 30,
    varied: Annotated[
        int, typer.Option(metavar="N", min=0, help="of them, in which every assumed number is varied, too")
    ] = 6,
    mixed: Annotated[
        int, typer.Option(metavar="N", min=0, help="of them, in which feed algorithms are put together")
    ] = 3,
    accounts: Annotated[int | None, typer.Option(metavar="N", min=80, help="of a society")] = None,
    days: Annotated[float | None, typer.Option(metavar="D", help="of a society")] = None,
    hit: Annotated[float, typer.Option(metavar="W", min=0, help="what a hundredth of people hit weighs")] = 5.0,
    engagement: Annotated[
        float, typer.Option(metavar="W", min=0, help="what a hundredth of engagement lost weighs")
    ] = 1.0,
    closed: Annotated[
        bool, typer.Option("--closed", help="the detector reads again what each policy has changed")
    ] = False,
    rounds: Annotated[
        int, typer.Option(metavar="N", min=0, help="times that operators answer, evenly over the days (--closed)")
    ] = 0,
    spare: Annotated[
        float, typer.Option(metavar="S", min=0.0, max=2.0, help="accounts operators hold back, as a share of theirs")
    ] = 0.0,
    processes: Annotated[int, typer.Option(metavar="N", min=1, help="societies that are made at once")] = 2,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="of the first society")] = 0,
    models: Annotated[Path | None, typer.Option(metavar="DIR", help="models in place of the shipped ones")] = None,
    people_texts: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="corpus:FILE; in its place the demo's people")
    ] = None,
    machine_texts: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="corpus:FILE; in its place the demo's planted posts")
    ] = None,
) -> int:
    """Compare policies against campaigns over simulated societies, with the detector and its errors in the loop.

    Writes report.html, run.json, table.md, campaigns.parquet and people.parquet into the folder. What the folder holds
    already is not made again: a run that is broken off goes on where it was.

    Args:
        out: folder of outcomes and results.
        policies: files; the policies that ship where there are none.
        societies: how many.
        varied: how many of them are acted out with each assumed number a fifth lower and higher.
        mixed: how many of them are acted out under each feed algorithm and each pair.
        accounts, days: of a society.
        hit, engagement: worth of harms.
        closed: whether the detector reads beside each policy what that has made of the society.
        rounds: how often operators answer what was done about their accounts; needs `closed`.
        spare: accounts that operators hold back to replace others.
        processes: societies made at once.
        seed: of the first.
        models: models directory.
        people_texts, machine_texts: sources of texts.

    Raises:
        ConfigError: a policy cannot be used; the message names its line.
        UsageError: an option cannot be used, or the folder is another comparison's.
        SwarmlightError: the detector failed.
    """
    import msgspec
    from rich.console import Console

    from simulation.lab.comparison import ComparisonSettings, ComparisonWorkspace, compare
    from simulation.lab.feed_mixes import kept_mixes
    from simulation.lab.interventions import Assumed, read_policies
    from simulation.lab.outcomes import detected
    from simulation.lab.policy_report import page, record
    from simulation.lab.policy_tables import markdown, write_tables
    from simulation.lab.ranking import HarmWeights, rank
    from streaming.schema.lab_run import encode_lab_run

    chosen = read_policies(policies or [])
    idle = [policy.name for policy in chosen if policy.idle]
    if not idle:
        raise UsageError('lab run: add a policy with measure = "nothing": the others are held against it')
    if rounds and not closed:
        raise UsageError("lab run: --rounds needs --closed: operators answer what is done while the society goes on")
    console = Console(stderr=True)
    trial = msgspec.structs.replace(
        _trial(out, accounts, days, models, people_texts, machine_texts), closed=closed, rounds=rounds, spare=spare
    )
    setting = ComparisonSettings(
        trial=trial, policies=tuple(chosen), societies=societies, varied=min(varied, societies), seed=seed
    )
    outcomes = compare(
        setting,
        ComparisonWorkspace(out, models, processes),
        lambda done: console.print(f"society {done} of {societies}"),
    )
    found = {seed + i: detected(trial, seed + i, _FPR, models, out) for i in range(min(mixed, societies))}
    together = kept_mixes(trial, dict(found), Assumed(), out) if found else []
    worth = HarmWeights(hit=hit, engagement=engagement)
    ranking = rank(outcomes, idle[0], worth, seed)
    write_tables(outcomes, out)
    said = markdown(ranking, together)
    (out / "table.md").write_text(said, encoding="utf-8")
    (out / "report.html").write_text(page(setting, outcomes, ranking, worth, together), encoding="utf-8")
    (out / "run.json").write_bytes(encode_lab_run(record(setting, ranking)))
    Console().print(said, end="", soft_wrap=True, markup=False, highlight=False)
    console.print(f"wrote {out / 'report.html'}")
    return 0


_LONGEST_DAYS: Final = 60.0
"""A society of a few hundred accounts takes the detector minutes a day."""

_FPR: Final = 0.01
"""Share of people that the detector may flag where feed algorithms are put together."""


def search_command(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="where outcomes are kept and front.md goes")],
    tries: Annotated[int, typer.Option(metavar="N", min=2, help="policies")] = 60,
    societies: Annotated[int, typer.Option(metavar="N", min=1, help="each policy is tried in each")] = 5,
    accounts: Annotated[int | None, typer.Option(metavar="N", min=80, help="of a society")] = None,
    days: Annotated[float | None, typer.Option(metavar="D", help="of a society")] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="of the search and of the first society")] = 0,
    models: Annotated[Path | None, typer.Option(metavar="DIR", help="models in place of the shipped ones")] = None,
    people_texts: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="corpus:FILE; in its place the demo's people")
    ] = None,
    machine_texts: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="corpus:FILE; in its place the demo's planted posts")
    ] = None,
) -> int:
    """Search policies that no other beats in reach prevented, people hit and engagement lost, without weighing these.

    Args:
        out: folder of outcomes; `swarmlight lab run` with the same options finds what the detector said there.
        tries: how many policies.
        societies: in which each is tried.
        accounts, days: of a society.
        seed: of the search and of the first society.
        models: models directory.
        people_texts, machine_texts: sources of texts.

    Raises:
        UsageError: an option cannot be used, or Optuna is not installed.
        SwarmlightError: the detector failed.
    """
    from rich.console import Console

    from simulation.lab.policy_search import markdown, search

    try:
        import optuna  # noqa: F401
    except ImportError:
        raise UsageError("the search needs optuna: pip install 'swarmlight[lab]'") from None
    console = Console(stderr=True)
    trial = _trial(out, accounts, days, models, people_texts, machine_texts)
    seeds = [seed + i for i in range(societies)]
    front = search(
        trial, seeds, out, tries, models=models, seed=seed,
        told=lambda one: console.print(f"{one.policy.name}: {one.prevented:.0%} prevented, {one.hit:.1%} hit"),
    )  # fmt: skip
    said = markdown(front)
    (out / "front.md").write_text(said, encoding="utf-8")
    Console().print(said, end="", soft_wrap=True, markup=False, highlight=False)
    return 0


def _trial(
    out: Path, accounts: int | None, days: float | None, models: Path | None, people: str | None, machines: str | None
) -> SocietySettings:
    """What the societies of a comparison share; its texts are written into the folder where none are named."""
    import msgspec

    from simulation.lab.trial_society import SocietySettings
    from simulation.redteam.measure import fingerprint, sources

    if days is not None and not 0 < days <= _LONGEST_DAYS:
        raise UsageError(f"--days {days:g}: give a number above 0 and at most {_LONGEST_DAYS:g}")
    people, machines = sources(out, people, machines)
    trial = SocietySettings(people=people, machines=machines, fingerprint=fingerprint(people, machines, models))
    if accounts is not None:
        trial = msgspec.structs.replace(trial, accounts=accounts)
    return trial if days is None else msgspec.structs.replace(trial, days=days)
