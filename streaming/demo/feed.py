"""The demo's moderator feed: a process of its own, and links that let one in once, on the page of a caught campaign."""

from __future__ import annotations

import subprocess
import sys
import threading
import webbrowser
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from streaming.demo.children import Child

LINK_S: Final = 60.0
"""Making a link starts a process, which takes two seconds, or more beside a worker that starts as well."""

FIRST: Final = "admin"
"""Whom the feed adds to a database where there is nobody yet."""


def installed() -> bool:
    """Whether the packages of `swarmlight[feed]` are here."""
    return all(find_spec(name) is not None for name in ("fastapi", "sqlalchemy", "uvicorn", "argon2", "jinja2"))


class DemoFeed:
    """`swarmlight feed` on the demo's broker. Use `child` as a context.

    Args:
        folder: where its database lies.
        config: the demo's configuration.
        port: where it listens on loopback.
    """

    def __init__(self, folder: Path, config: Path, port: int, environ: Mapping[str, str]) -> None:
        database = f"sqlite:///{folder / 'feed.db'}"
        self._environ = dict(environ) | {"SWARMLIGHT_FEED__PORT": str(port)}
        self._folder = folder
        self._common = ["--config", str(config), "--database", database]
        self._program = [sys.executable, "-m", "streaming", "feed"]
        self.child = Child("feed", [*self._program, "--kafka", *self._common], folder, self._environ)
        self._thread: threading.Thread | None = None
        self.address: str | None = None
        """The newest link, once it is made."""

    def ask(self, alert: str, *, browser: bool) -> None:
        """Have a link to an alert made in the background, once; and open it where there is a screen."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._make, args=(alert, browser), name="link", daemon=True)
            self._thread.start()

    def link(self, alert: str) -> str | None:
        """A link that lets one in once, on the page of an alert; None where the feed does not run."""
        command = [*self._program, "link", FIRST, "--page", f"/alerts/{alert}", *self._common]
        try:
            done = subprocess.run(  # noqa: S603 - our own program, no shell
                command,
                cwd=self._folder,
                env=self._environ,
                capture_output=True,
                text=True,
                timeout=LINK_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    def _make(self, alert: str, browser: bool) -> None:
        found = self.link(alert)
        if found is not None and browser and _has_screen(self._environ) and webbrowser.open(found):
            # It has been used; the demo's end gives another.
            found = found.partition("/enter")[0]
        self.address = found


def _has_screen(environ: Mapping[str, str]) -> bool:
    """Whether a browser would open in a window of its own, not in this terminal."""
    return sys.platform in ("darwin", "win32") or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))
