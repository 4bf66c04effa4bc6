"""`assess`: whole recordings judged, and what was found."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from detector.errors import UsageError
from detector.evidence import Component
from graph.exports import Network
from streaming.config import Config, load_config
from streaming.pipeline import RunProgress, run_recording
from streaming.run_report import TITLE, page
from streaming.run_results import RunResults, check_network, network_of, results_of, write_network
from streaming.schema.alert import AlertRecord, read_alert
from streaming.schema.flat_rows import ALERTS, SCORES, alert_row, score_row
from streaming.schema.run_summary import RunSummary
from streaming.schema.score import ScoreRecord, read_scores
from streaming.sources.files import RecordingFiles
from swarmlight.recordings import Source, recording_of
from swarmlight.records import Records

FILES: Final = {
    "alerts": "alerts.jsonl", "details": "details.jsonl", "scores": "scores.jsonl", "summary": "summary.json",
    "dead_letters": "dead-letters.jsonl",
}  # fmt: skip
"""What a run is kept in, by the name of what is in it."""

PAGE_HEIGHT: Final = 640
"""Pixels of the page in a notebook."""


class Run:
    """What was found in a recording. It is read from its files when it is asked for.

    Args:
        folder: with the files of the run.
        kept: keeps a temporary folder as long as the run is used; None for a folder of one's own.
    """

    def __init__(self, folder: Path, kept: TemporaryDirectory[str] | None = None) -> None:
        self.folder = folder
        self._kept = kept

    def __repr__(self) -> str:
        told = self.summary
        found = f"{told.accounts:,} accounts, {told.flagged:,} flagged, {told.campaigns:,} campaigns"
        return f"<Run: {told.read:,} records, {found}>"

    def _repr_html_(self) -> str:
        """The page in a notebook."""
        body = html.escape(page(self._results, TITLE), quote=True)
        return f'<iframe srcdoc="{body}" style="width:100%;height:{PAGE_HEIGHT}px;border:0" sandbox></iframe>'

    @cached_property
    def summary(self) -> RunSummary:
        """Counts of records, accounts and flags, cost, and which models judged."""
        return msgspec.json.decode((self.folder / FILES["summary"]).read_bytes(), type=RunSummary)

    @cached_property
    def scores(self) -> Records[ScoreRecord]:
        """Every account with its evidence in nats, by name."""
        with (self.folder / FILES["scores"]).open("rb") as lines:
            return Records(list(read_scores(lines)), list(SCORES.columns), score_row)

    @cached_property
    def revisions(self) -> Records[AlertRecord]:
        """Every revision of every alert, in order."""
        with RecordingFiles([self.folder / FILES["alerts"]]) as lines:
            found = [read_alert(record.value) for record in lines]
        return Records(found, list(ALERTS.columns), alert_row)

    @cached_property
    def alerts(self) -> Records[AlertRecord]:
        """The alerts that are open at the end, campaigns first and the larger ones first."""
        last = {alert.id: alert for alert in self.revisions}
        held = [alert for alert in last.values() if alert.status == "open"]
        held.sort(key=lambda alert: (alert.kind != "campaign", -len(alert.members), alert.id))
        return Records(held, list(ALERTS.columns), alert_row)

    @property
    def network(self) -> Network:
        """The members of groups that are alerted, and the ties between them."""
        return network_of(self._results)

    def save_network(self, path: str | Path) -> None:
        """Write the network as `.graphml`, or its ties as `.csv` or `.parquet`.

        Raises:
            UsageError: another ending, or it cannot be written.
        """
        check_network("the network", Path(path))
        write_network(Path(path), self._results)

    def report(self, path: str | Path, title: str = TITLE) -> Path:
        """Write the page that shows the run, as `swarmlight report` does.

        Args:
            path: of the page.
            title: its heading.

        Raises:
            UsageError: it cannot be written.
        """
        place = Path(path)
        try:
            place.write_text(page(self._results, title), encoding="utf-8", errors="replace")
        except OSError as error:
            raise UsageError(f"{place} cannot be written: {error.strerror}; name another file") from None
        return place

    @cached_property
    def _results(self) -> RunResults:
        return results_of([self.folder])


def assess(
    recording: Source,
    *,
    folder: str | Path | None = None,
    models: str | Path | None = None,
    config: Config | str | Path | None = None,
    without: Iterable[Component] = (),
    on_step: Callable[[RunProgress], None] | None = None,
) -> Run:
    """Judge a recording to its end, as `swarmlight run` does.

    Args:
        recording: what `read` gave, or the path of a file.
        folder: where the files of the run are kept; a temporary one, gone with the run, where None.
        models: models directory, as `train` and `calibrate` write one; the shipped models where None.
        config: settings, or the path of a TOML file (`swarmlight config` prints all); the defaults where None.
        without: evidence components to leave out everywhere: `text`, `behaviour`, `coordination`, `graph`.
        on_step: told how far it is.

    Raises:
        UsageError: the recording cannot be read to its end, or its times are impossible.
        UnusableError: less than half of its records are post events.
        ModelError: the models cannot be used.
    """
    given = recording_of(recording)
    kept = TemporaryDirectory(prefix="swarmlight-") if folder is None else None
    place = Path(kept.name if kept is not None else str(folder))
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{place} cannot be made: {error.strerror}; name another folder") from None
    settings = config if isinstance(config, Config) else load_config(None if config is None else Path(config), {})
    run_recording(
        given.paths,
        config=settings,
        models=None if models is None else Path(models),
        without=without,
        alerts=place / FILES["alerts"],
        details=place / FILES["details"],
        scores=place / FILES["scores"],
        summary=place / FILES["summary"],
        dead_letters=place / FILES["dead_letters"],
        format_name=given.format,
        keep=False,
        on_step=on_step,
    )
    return Run(place, kept)


def open_run(folder: str | Path) -> Run:
    """A run that `assess` kept in a folder.

    Raises:
        UsageError: there is none.
    """
    place = Path(folder)
    missing = [name for name in FILES.values() if not (place / name).is_file()]
    if missing:
        raise UsageError(f"{place} is no folder of a run: it lacks {', '.join(missing)}")
    return Run(place)
