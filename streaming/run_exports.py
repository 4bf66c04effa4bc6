"""What is made of a run's files at its end: the page that shows it (`run --report`), its network (`run --network`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from detector.errors import UsageError
from streaming.pipeline import RunEnd
from streaming.run_report import TITLE, page
from streaming.run_results import check_network, results_of, write_network
from streaming.sinks.result_file import STDOUT, ResultFile
from streaming.sinks.table_file import is_table


class RunExports:
    """What is to be made at the end of a run. Use it as a context around the run.

    Args:
        named: the run's files of results by their options; those that are not kept are written to a temporary folder.
        inputs: of the run.
        report: the page, if one is to be made.
        network: of the groups, if it is to be written.

    Raises:
        UsageError: what is to be made cannot be written, or is one of the run's other files.
    """

    def __init__(
        self,
        named: Mapping[str, Path | None],
        inputs: Sequence[str],
        *,
        report: Path | None = None,
        network: Path | None = None,
    ) -> None:
        self._made = {"report": report, "network": network}
        used = {Path(name).resolve() for name in inputs if name != STDOUT}
        used |= {path.resolve() for path in named.values() if path is not None and str(path) != STDOUT}
        asked = {option: path for option, path in self._made.items() if path is not None}
        for option, made in asked.items():
            if made.resolve() in used:
                raise UsageError(f"--{option} {str(made)!a} is also another file of the run: name another")
            used.add(made.resolve())
        for name, path in named.items() if asked else ():
            if path is not None and (str(path) == STDOUT or (path.exists() and not path.is_file())):
                raise UsageError(f"--{name} {str(path)!a}: with --{next(iter(asked))} it has to be a file")
        check_network("--network", network)
        self._stack = ExitStack()
        self._page = None if report is None else ResultFile(report, "--report")
        self._named = {name for name, path in named.items() if path is not None}
        self.files: dict[str, Path | None] = dict(named)
        """What the run has to write, by the names of its options."""
        self.copies: dict[str, Path] = {}
        """What it has to write as JSON lines as well, since a table does not hold all of it."""
        if asked:
            scratch = Path(self._stack.enter_context(TemporaryDirectory()))
            for name, path in named.items():
                if path is None:
                    self.files[name] = scratch / name
                elif is_table(path):
                    self.copies[name] = scratch / name

    def told(self, end: RunEnd, *, made: bool = True) -> RunEnd:
        """The end of the run with the files that were asked for, those that this makes only if they are `made`."""
        kept = {name: path for name, path in end.files.items() if name in self._named or name not in self.files}
        more = {option: path for option, path in self._made.items() if path is not None and made}
        return end._replace(files=kept | more)

    def publish(self) -> None:
        """Write what is to be made; nothing where nothing is.

        Raises:
            UsageError: it cannot be written.
        """
        network = self._made["network"]
        if self._page is None and network is None:
            return
        files = [self.copies.get(name, path) for name, path in self.files.items()]
        found = results_of([path for path in files if path is not None and path.stat().st_size])
        if network is not None:
            write_network(network, found)
        if self._page is not None:
            self._page.write(page(found, TITLE).encode("utf-8", "replace"))
            self._page.publish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._page is not None:
            self._page.abandon()
        self._stack.close()
