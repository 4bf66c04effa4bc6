"""The commands `swarmlight train decisions`, a shadow model from moderators' decisions, and perhaps a bundle of it,
`train shadow`, who is flagged with other models, and `train sample`, a blind sample from the scores of a run.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final

import numpy as np
import typer
from numpy.typing import NDArray

from detector.blind_sampling import CountEstimate, estimate_among, inclusion, is_drawn
from detector.component_weights import ComponentWeights
from detector.errors import RecordError, UsageError
from detector.evidence import COMPONENTS
from detector.models import SHIPPED
from streaming.assess.alert_store import account_alert_id
from streaming.logs import shown
from streaming.schema.feedback import FeedbackRecord, read_feedback
from streaming.schema.score import ScoreRecord, read_scores
from streaming.shadow import moved_lines
from streaming.sources.files import EVENTS
from training.calibrate import calibrate_on
from training.decision_learning import Floats, Shadow, fit
from training.system import BUNDLE_FILES, copy_models

MACHINE: Final = frozenset({"llm_campaign", "permitted_automation"})
"""Decisions that say that a machine writes."""

PERSON: Final = frozenset({"not_a_campaign", "human_coordination"})
"""Decisions that say that people do."""

LEAST_KEY_BYTES: Final = 16
"""Of the sample's key: shorter ones can be guessed."""


@dataclass(frozen=True)
class Decided:
    """Accounts that were decided on.

    Args:
        components: shape (decisions, 4), nats.
        machine: what was decided.
        probabilities: with which each was shown.
        shares: what each counts: members of one campaign share one decision.
        left_out: decisions that say nothing here, by reason.
        blind: shape (decisions,), whether it could have been flagged when the scores were written, and was not.
        able: accounts that are not flagged and could be, for whom the blind ones stand.
    """

    components: Floats
    machine: NDArray[np.bool_]
    probabilities: Floats
    shares: Floats
    left_out: Counter[str]
    blind: NDArray[np.bool_]
    able: int

    def misses(self) -> CountEstimate | None:
        """How many unflagged accounts moderators would find to be machines; None without a blind sample."""
        if not self.blind.any():
            return None
        return estimate_among(self.probabilities[self.blind & self.machine], self.probabilities[self.blind], self.able)


def components_of(scores: Iterable[ScoreRecord]) -> Floats:
    """Evidence of accounts; shape (accounts, 4)."""
    return np.array([[getattr(each.llr, name) for name in COMPONENTS] for each in scores], np.float64).reshape(-1, 4)


def decided(scores: Sequence[ScoreRecord], records: Iterable[FeedbackRecord]) -> Decided:
    """Join decisions with the scores of the accounts that they are about.

    The last decision on a subject that was not taken back counts. One on a whole campaign is about each of its members,
    who share it.

    Args:
        scores: of accounts, as `--scores` writes them.
        records: in the order in which they were made.
    """
    by_name = {each.account: each for each in scores}
    by_alert = {account_alert_id(name): [name] for name in by_name}
    for each in scores:
        if each.campaign is not None:
            by_alert.setdefault(each.campaign, []).append(each.account)
    made = list(records)
    undone = {record.undoes for record in made if record.decision == "undo"}
    current: dict[tuple[str, str | None], FeedbackRecord] = {}
    for record in made:
        if record.id not in undone and record.decision in MACHINE | PERSON:
            current[record.alert, record.account] = record
    left_out = Counter[str]()
    left_out["taken back, or says neither"] = len(made) - len(current)
    rows: dict[str, tuple[bool, float, float]] = {}
    # Decisions on one member are the more exact ones: they come last and win.
    for (alert, account), record in sorted(current.items(), key=lambda item: (item[0][1] is not None, item[0][0])):
        names = [account] if account is not None else by_alert.get(alert, [])
        known = [name for name in names if name in by_name]
        if not known:
            left_out["no score of the account"] += 1
        elif record.sampled_with is None or not 0.0 < record.sampled_with <= 1.0:
            left_out["not known how likely it was shown"] += 1
        else:
            rows |= {name: (record.decision in MACHINE, record.sampled_with, 1.0 / len(known)) for name in known}
    names = sorted(rows)
    return Decided(
        components=components_of(by_name[name] for name in names),
        machine=np.array([rows[name][0] for name in names], np.bool_),
        probabilities=np.array([rows[name][1] for name in names], np.float64),
        shares=np.array([rows[name][2] for name in names], np.float64),
        left_out=+left_out,
        blind=np.array([_could_be_flagged(by_name[name]) and rows[name][1] < 1.0 for name in names], np.bool_),
        able=sum(_could_be_flagged(each) for each in scores),
    )


def _could_be_flagged(score: ScoreRecord) -> bool:
    return not score.flagged and "flag" not in score.abstained


def difference(scores: Sequence[ScoreRecord], shadow: Shadow) -> tuple[list[str], list[str]]:
    """Who would be flagged besides those who are, and who no more; each most certain first."""
    components = components_of(scores)
    flags, score = shadow.flags(components), shadow.score(components)
    live = np.array([each.flagged for each in scores], np.bool_)
    order = np.argsort(-score, kind="stable")
    return (
        [scores[place].account for place in order if flags[place] and not live[place]],
        [scores[place].account for place in order[::-1] if live[place] and not flags[place]],
    )


def learn_command(
    scores: Annotated[Path, typer.Option(metavar="FILE", help="scores of the accounts now (run --scores)")],
    people: Annotated[Path, typer.Option(metavar="FILE", help="scores of the calibration people")],
    decisions: Annotated[Path, typer.Option(metavar="FILE", help="decisions, as the feed writes them (--feedback)")],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="write the shadow model, and whom it moves")] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="write a models directory that counts as learned (--people-input)"),
    ] = None,
    people_input: Annotated[
        Path | None, typer.Option(metavar="FILE", help="recording of people alone, who set the bundle's thresholds")
    ] = None,
    format_name: Annotated[str, typer.Option("--format", metavar="NAME", help="of --people-input")] = EVENTS,
    models: Annotated[Path | None, typer.Option(metavar="DIR", help="models in use now (the shipped ones)")] = None,
    target_fpr: Annotated[float, typer.Option(metavar="RATE", help="share of people that may be flagged")] = 0.01,
    prior: Annotated[float, typer.Option(metavar="SHARE", help="of machine-driven accounts")] = 0.01,
) -> None:
    """Fit a shadow model to decisions, and say whom it would add and remove. The live model is left as it is.

    With --bundle the shadow is written as a models directory, which a run or a worker takes by [models] dir.

    Args:
        scores: of the accounts that were decided on, and of all others.
        people: one line an account, or several, of which the highest counts.
        decisions: with `sampled_with`.
        out: JSON.
        bundle: its thresholds are set by the people of `people_input`, who are looked at after each post as always.
        people_input: they are fitted to by nothing.
        format_name: its input format.
        models: what was learned before, if anything, counts first, and what is learned now on top of it.
        target_fpr: at which both thresholds are set.
        prior: base rate.

    Raises:
        UsageError: a file that cannot be read, too few decisions, or a bundle without people.
    """
    if (bundle is None) != (people_input is None):
        raise UsageError(
            "--bundle needs --people-input, and that needs the other: a recording of people sets its thresholds"
        )
    known = read(scores)
    made = decided(known, decisions_in(decisions))
    components = components_of(read(people))
    shadow = fit(
        made.components, made.machine, made.probabilities, components, components_of(known), prior=prior,
        target_fpr=target_fpr, shares=made.shares,
    )  # fmt: skip
    added, removed = difference(known, shadow)
    print(f"{shadow.decisions} accounts decided on, {int(made.machine.sum())} of them machines; they count as "
          f"{shadow.effective:.0f} drawn evenly")  # fmt: skip
    for reason, count in sorted(made.left_out.items()):
        print(f"  left out: {count} ({reason})")
    print(f"  about {shadow.wrong:.1%} of the decisions seem to be wrong")
    for name, curve in zip(COMPONENTS, shadow.curves, strict=True):
        low, high = curve.slopes()
        print(f"  {name:<12} counts {low:.2f} times what it does now where it is low, {high:.2f} where it is high")
    print(f"threshold {shadow.threshold:.3f} for the shadow, {shadow.live_threshold:.3f} for the plain sum, by "
          f"{len(components)} calibration scores")  # fmt: skip
    missed = made.misses()
    if missed is not None:
        print(f"unflagged accounts that moderators would find to be machines: {missed.number:.0f} "
              f"(95% interval {missed.low:.0f} to {missed.high:.0f})")  # fmt: skip
    print("\n".join(moved_lines(added, removed)))
    if out is not None:
        out.write_text(json.dumps(_file(shadow, target_fpr, prior, added, removed), indent=1) + "\n", encoding="utf-8")
    if bundle is not None and people_input is not None:
        made_of = write_bundle(shadow, models or SHIPPED, bundle, people_input, format_name)
        print(f"bundle in {shown(bundle)}: decisions@{made_of.version}; set [models] dir to it, or run both "
              "and compare: swarmlight train shadow --live SCORES --shadow SCORES")  # fmt: skip


def write_bundle(
    shadow: Shadow, models: Path, bundle: Path, people: Path, format_name: str = EVENTS
) -> ComponentWeights:
    """Write a models directory with the learned curves, whose thresholds are set by people under these curves.

    Args:
        shadow: what was learned.
        models: models in use now.
        bundle: where it is written.
        people: recording of people alone.
        format_name: of that recording.

    Raises:
        UsageError: the recording cannot be read, or has too few people.
    """
    before = ComponentWeights.load(models)
    card = {
        "decisions": shadow.decisions, "effective": round(shadow.effective, 1), "wrong": round(shadow.wrong, 3),
        "before": before.version,
    }  # fmt: skip
    weights = before.then(shadow.curves, card)
    with TemporaryDirectory() as work:
        # Elsewhere first: thresholds of the plain sum beside these curves would flag whom they should not.
        folder, done = Path(work) / "weighted", Path(work) / "done"
        copy_models(models, folder, BUNDLE_FILES)
        weights.save(folder)
        calibrate_on(people, done, folder, format_name)
        shutil.copytree(done, bundle, dirs_exist_ok=True)
    return weights


def shadow_command(
    live: Annotated[Path, typer.Option(metavar="FILE", help="scores of a run with the models in use (run --scores)")],
    shadow: Annotated[Path, typer.Option(metavar="FILE", help="scores of a run of the same recording with others")],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="write all names that are added and removed")] = None,
) -> None:
    """Say who is flagged with other models and not with those in use, and the other way round.

    Args:
        live: of the models in use.
        shadow: of the others.
        out: JSON.

    Raises:
        UsageError: a file that cannot be read, or scores of different accounts.
    """
    sides = [{each.account: each for each in read(path)} for path in (live, shadow)]
    if sides[0].keys() != sides[1].keys():
        raise UsageError(
            "--live and --shadow are scores of different accounts: run both models over the same recording"
        )
    flagged = [{name for name, each in side.items() if each.flagged} for side in sides]
    added = sorted(flagged[1] - flagged[0], key=lambda name: (-sides[1][name].llr.total, name))
    removed = sorted(flagged[0] - flagged[1], key=lambda name: (-sides[0][name].llr.total, name))
    print(f"{len(sides[0]):,} accounts, {len(flagged[0]):,} flagged now and {len(flagged[1]):,} with the others")
    print("\n".join(moved_lines(added, removed)))
    if out is not None:
        out.write_text(json.dumps({"v": 1, "added": added, "removed": removed}, indent=1) + "\n", encoding="utf-8")


def sample_command(
    scores: Annotated[Path, typer.Option(metavar="FILE", help="scores of all accounts (run --scores)")],
    key_file: Annotated[Path, typer.Option(metavar="FILE", help="secret of 16 bytes or more")],
    share: Annotated[float, typer.Option(metavar="SHARE", help="of the unflagged accounts")] = 0.001,
) -> None:
    """Print a blind sample of accounts that could be flagged and are not, as JSON lines with each one's `sampled_with`.

    Args:
        scores: as `--scores` writes them.
        key_file: the key of the draw.
        share: how many are drawn on average.

    Raises:
        UsageError: a file that cannot be read, a short key, a share that is none.
    """
    if not 0.0 < share <= 1.0:
        raise UsageError(f"--share {share:g}: give a share above 0 and at most 1")
    try:
        key = key_file.read_bytes().strip()
    except OSError as error:
        raise UsageError(f"--key-file {key_file}: cannot be read: {error.strerror}; is its name right?") from None
    if len(key) < LEAST_KEY_BYTES:
        raise UsageError(f"--key-file {key_file}: the key has {len(key)} bytes: give at least {LEAST_KEY_BYTES}")
    unflagged = sorted(filter(_could_be_flagged, read(scores)), key=lambda each: each.account)
    for each, chance in zip(unflagged, inclusion(components_of(unflagged), share), strict=True):
        if is_drawn(key, each.account, float(chance)):
            print(json.dumps({"account": each.account, "sampled_with": round(float(chance), 6)}))


def read(path: Path) -> list[ScoreRecord]:
    """The scores in a file, one of each account: the one with the highest total.

    Raises:
        UsageError: it cannot be read, or holds something else.
    """
    found: dict[str, ScoreRecord] = {}
    try:
        with path.open("rb") as file:
            for each in read_scores(file):
                if each.account not in found or each.llr.total > found[each.account].llr.total:
                    found[each.account] = each
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; is its name right?") from None
    except RecordError as error:
        raise UsageError(f"{path}: {error}") from None
    return list(found.values())


def decisions_in(path: Path) -> list[FeedbackRecord]:
    """The decisions in a file, as the feed writes them.

    Raises:
        UsageError: it cannot be read, or a line is no decision.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; is its name right?") from None
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(read_feedback(line))
            except RecordError as error:
                raise UsageError(f"{path}:{number}: {error}") from None
    return found


def _file(shadow: Shadow, target_fpr: float, prior: float, added: list[str], removed: list[str]) -> Mapping[str, Any]:
    return {
        "v": 1,
        "curves": {
            name: {key: round(number, 6) for key, number in curve._asdict().items()}
            for name, curve in zip(COMPONENTS, shadow.curves, strict=True)
        },
        "intercept": round(shadow.intercept, 6),
        "threshold": round(shadow.threshold, 6),
        "target_fpr": target_fpr,
        "prior": prior,
        "decisions": shadow.decisions,
        "effective": round(shadow.effective, 1),
        "wrong": round(shadow.wrong, 4),
        "added": added,
        "removed": removed,
    }
