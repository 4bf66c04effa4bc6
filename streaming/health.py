"""Whether the process lives and is ready, as a pure state: it is told what happened and when, and asked with a clock.

*Live* means that a restart would not help. A broker that is away is no reason to restart; a loop that no longer turns,
or a process that another has replaced, is. *Ready* means that what is written now will be decided on in due time.
"""

from __future__ import annotations

from typing import Final

import msgspec


class HealthLimits(msgspec.Struct, frozen=True):
    """Seconds after which silence counts as trouble."""

    turn_s: float = 300.0
    """The loop's slowest honest turn: Kafka's own `max_poll_interval_ms`, after which the broker gives up on it too."""
    heard_s: float = 60.0
    """Two metadata refreshes (30 s each) without an answer: the broker is away."""
    commit_s: float = 120.0
    """Twice a transaction's timeout: what should have been committed is stuck."""


class HealthReport(msgspec.Struct, frozen=True):
    """One answer: `problems` say in words why it is not live or not ready."""

    live: bool
    ready: bool
    problems: tuple[str, ...]
    role: str


STARTING: Final = "starting"


class Health:
    """Told by the worker's loop, asked by the endpoint's thread. All times are seconds of one monotonic clock."""

    def __init__(self, now: float, limits: HealthLimits | None = None) -> None:
        self._limits = limits or HealthLimits()
        self._turned = now
        self._heard: float | None = None
        self._commit_due: float | None = None
        self._fenced = False
        self._stopping = False
        self._replay: tuple[int, int] | None = None
        self._role = STARTING

    def role(self, role: str) -> None:
        """What this process does now: `score`, `active`, `standby` or several of them, in words of our own."""
        self._role = role

    def turned(self, now: float) -> None:
        """The loop went round once, whatever it found."""
        self._turned = now

    def heard(self, now: float) -> None:
        """The broker answered: records came, or metadata, or an acknowledgement. An empty poll is no answer."""
        self._heard = now

    def commit_due(self, now: float) -> None:
        """There is something to commit since `now`; while it is due, later calls change nothing."""
        if self._commit_due is None:
            self._commit_due = now

    def committed(self, now: float) -> None:
        self._commit_due = None
        self._heard = now

    def fenced(self) -> None:
        """Another process owns the state now; this one is to stop."""
        self._fenced = True

    def stopping(self) -> None:
        """The process was asked to end and is finishing its batch."""
        self._stopping = True

    def replaying(self, done: int, total: int) -> None:
        """Entries of the log read on the way back to the present; `done >= total` ends the replay."""
        self._replay = (done, total) if done < total else None

    def report(self, now: float) -> HealthReport:
        dead = []
        if self._fenced:
            dead.append("fenced: another process has taken over")
        if now - self._turned > self._limits.turn_s:
            dead.append(f"the loop has not turned for {now - self._turned:.0f} s")
        waiting = []
        if self._role == STARTING:
            waiting.append("starting")
        if self._stopping:
            waiting.append("stopping")
        if self._heard is None:
            waiting.append("the broker has not answered yet")
        elif now - self._heard > self._limits.heard_s:
            waiting.append(f"the broker has not answered for {now - self._heard:.0f} s")
        if self._commit_due is not None and now - self._commit_due > self._limits.commit_s:
            waiting.append(f"nothing could be committed for {now - self._commit_due:.0f} s")
        if self._replay is not None:
            waiting.append("replaying the log: {} of {}".format(*self._replay))
        return HealthReport(not dead, not dead and not waiting, (*dead, *waiting), self._role)
