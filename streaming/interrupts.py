"""Ctrl-C and SIGTERM: asked for once, work ends at its next good place; asked for twice, at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Final, Self

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def terminable() -> Iterator[list[signal.Signals]]:
    """While it is entered, either signal raises KeyboardInterrupt: temporary files go, partial results are put aside.

    What takes the signals itself, as a service does, still gets them. A signal that is ignored (`nohup`) stays so, and
    in a process that was forked from this one they do what they did before.

    Returns:
        The signals that came so far. Libraries make other errors of the one that is raised.
    """
    received: list[signal.Signals] = []
    usual: dict[signal.Signals, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    process = os.getpid()

    def take(number: int, frame: FrameType | None) -> None:
        if os.getpid() != process:
            signal.signal(number, usual[signal.Signals(number)])
            signal.raise_signal(number)
        received.append(signal.Signals(number))
        raise KeyboardInterrupt

    taken = []
    if threading.current_thread() is threading.main_thread():
        taken = [number for number in SIGNALS if signal.getsignal(number) == usual[number]]
    for number in taken:
        signal.signal(number, take)
    try:
        yield received
    finally:
        for number in taken:
            if signal.getsignal(number) is take:
                signal.signal(number, usual[number])


class Interrupts:
    """Takes the two signals while it is entered. Use it as a context, in the main thread; elsewhere it does nothing.

    Until `patient` is set, a signal raises KeyboardInterrupt at once; then the first is only remembered in `received`,
    and whoever works looks at it.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.patient = False
        self._before: dict[signal.Signals, Any] = {}

    def _take(self, number: int, frame: FrameType | None) -> None:
        first, self.received = self.received is None, signal.Signals(number)
        if not self.patient or not first:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
