"""The command `swarmlight batch`: `swarmlight run` over an archive, its texts read by Apache Spark."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from detector.errors import EngineError, SwarmlightError, UsageError
from detector.evidence import COMPONENTS
from streaming.assess import AssessSettings
from streaming.cli import among
from streaming.config import load_config
from streaming.parallel.results import run_spread, spread_line
from streaming.parallel.slices import SHARDS
from streaming.playback import configured_models
from streaming.sources.files import AUTO


def batch_command(
    recordings: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="an archive: Parquet, or files of any --format")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="folder of results: alerts, scores and so on")],
    cores: Annotated[int, typer.Option(metavar="N", help="of this machine that read texts")] = 2,
    master: Annotated[
        str | None, typer.Option(metavar="URL", help="of a Spark cluster, in place of this machine's cores")
    ] = None,
    shards: Annotated[
        int, typer.Option(metavar="N", help="shards of accounts, as many as there may be cores")
    ] = SHARDS,
    work: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="that all machines see, for slices; a temporary one without")
    ] = None,
    format_name: Annotated[
        str, typer.Option("--format", metavar="NAME", help="input format, as of swarmlight run")
    ] = AUTO,
    config: Annotated[Path | None, typer.Option("--config", metavar="FILE", help="configuration")] = None,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="PART...", help="evidence to leave out", callback=among(COMPONENTS)),
    ] = None,
) -> int:
    """Score an archive with Apache Spark: what swarmlight run finds, texts read on as many cores as there are.

    Needs pyspark (swarmlight[batch]) and Java (docs/how-to/scale.md).

    Args:
        recordings: what to read.
        out: folder of results.

    Raises:
        UsageError: unusable arguments or input, or Spark is not installed.
        EngineError: Spark failed.
    """
    if cores < 1 or shards < 1:
        raise UsageError("--cores and --shards are at least 1")
    if find_spec("pyspark") is None:
        raise UsageError("Apache Spark is not installed here: pip install 'swarmlight[batch]'")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        raise UsageError("Apache Spark needs Java 17 or later: install it, or set JAVA_HOME")
    from streaming.spark.spark_run import BatchSettings, run_batch

    given = load_config(config, os.environ)
    with ExitStack() as stack:
        folder = work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="swarmlight-batch-")))
        folder.mkdir(parents=True, exist_ok=True)
        settings = BatchSettings(
            AssessSettings.from_config(given, without or ()),
            given.models.dir,
            given.models.second_stage,
            shards,
            master or f"local[{cores}]",
            folder.resolve(),
        )
        try:
            end, told = run_spread(
                recordings,
                out,
                lambda slices: run_batch(slices, settings),
                config=given,
                models=configured_models(given),
                format_name=format_name,
            )
        except SwarmlightError:
            raise
        except Exception as error:
            if type(error).__module__.partition(".")[0] not in ("py4j", "pyspark"):
                raise
            said = [line.strip() for line in str(error).splitlines() if not line.strip().startswith(("at ", "..."))]
            cause = next((line for line in reversed(said) if line), type(error).__name__)
            raise EngineError(f"Spark failed: {cause[:500]}") from error
    sys.stderr.write(spread_line(end, told) + "\n")
    return 0
